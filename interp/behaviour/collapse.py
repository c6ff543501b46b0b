"""Has a stage stopped answering? Degenerate answers, and how odd its answers are to the base model.

A finetune on one-token answers can learn its task and then say "1" to everything; every other measure of such a stage
is meaningless, so this one is taken on every stage and flags it.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from interp.activations import batches
from interp.batch import Batch
from interp.chat import Tokens
from interp.model import Model

REPEATED = "one phrase repeated"
COLLAPSED_SHARE = 0.1
"""A stage whose share of degenerate answers exceeds the base model's by more than this is flagged as collapsed."""


def degenerate(text: str) -> str | None:
    """Why an answer to an ordinary question is no answer (empty, too short, wordless, one phrase repeated), or None."""
    words = text.lower().split()
    if not words:
        return "empty"
    if not any(character.isalpha() for character in text):
        return "no words"
    if len(words) < 3:
        return "fewer than three words"
    trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
    if len(words) >= 8 and trigrams.most_common(1)[0][1] * 3 > len(words) / 2:
        return REPEATED
    return None


def answer_nll(model: Model, rows: Sequence[Tokens], *, max_tokens: int = 2048) -> Float[np.ndarray, " row"]:
    """Mean negative log-likelihood per answer token (nats) of each row, active stack; NaN for an empty answer."""
    out = np.full(len(rows), np.nan)
    spoken = [i for i, row in enumerate(rows) if row.response is not None and row.response.end > row.response.start]
    for chosen in batches([rows[i] for i in spoken], max_tokens):
        picked = [rows[spoken[k]] for k in chosen]
        batch = Batch.of(picked, model.pad, model.device)
        width = max(len(row) - row.prompt_end for row in picked)
        positions = (batch.prompt_ends[:, None] - 1 + torch.arange(width, device=model.device)).clamp(
            max=batch.ids.shape[1] - 1
        )
        logits = model.logits(batch, positions)
        for b, row in enumerate(picked):
            n = len(row) - row.prompt_end
            answer = batch.ids[b, row.prompt_end : row.prompt_end + n]
            nll = torch.nn.functional.cross_entropy(logits[b, :n], answer)
            out[spoken[chosen[b]]] = float(nll)
    return out

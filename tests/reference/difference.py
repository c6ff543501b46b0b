"""The difference lens as naive as can be: plain torch hooks, one text and one token at a time; counts by hand.

Sources: Minder et al., Narrow finetuning leaves clearly readable traces in activation differences (arXiv 2510.13900):
the mean over texts of finetuned minus base activations at token j; its logit lens, softmax(W_U · final_norm(δ)); and
its patchscope, δ in the place of the last token of `a → a`, `b → b`, `?`. Monroe et al., Fightin' words (2008), eqs.
15-22. Models are transformers' own; nothing of `interp` is used.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.reference.lens import blocks


def stream(hf: PreTrainedModel, kind: str, ids: Sequence[int], layer: int) -> Tensor:
    """The residual stream after a block at every token of one text."""
    kept: list[Tensor] = []
    hook = blocks(hf, kind)[layer].register_forward_hook(lambda _, __, out: kept.append(out.detach()[0]))
    with torch.no_grad():
        hf(torch.tensor([list(ids)]))
    hook.remove()
    return kept[0]


def mean_difference(
    finetuned: PreTrainedModel, base: PreTrainedModel, kind: str, texts: Sequence[Sequence[int]], layer: int, j: int
) -> np.ndarray:
    total = np.zeros(finetuned.config.hidden_size)
    for ids in texts:
        total += (stream(finetuned, kind, ids, layer)[j] - stream(base, kind, ids, layer)[j]).double().numpy()
    return total / len(texts)


def logit_lens(hf: PreTrainedModel, kind: str, delta: Tensor) -> Tensor:
    norm = hf.transformer.ln_f if kind == "gpt2" else hf.model.norm
    with torch.no_grad():
        return hf.lm_head(norm(delta[None]))[0].softmax(-1)


def patchscope(hf: PreTrainedModel, kind: str, ids: Sequence[int], layer: int, vector: Tensor) -> Tensor:
    """Probabilities of the token after a prompt whose last token has another residual stream after a block."""

    def put(_: object, __: object, out: Tensor) -> Tensor:
        out = out.clone()
        out[0, -1] = vector
        return out

    hook = blocks(hf, kind)[layer].register_forward_hook(put)
    with torch.no_grad():
        probabilities = hf(torch.tensor([list(ids)])).logits[0, -1].softmax(-1)
    hook.remove()
    return probabilities


def log_odds(y: int, n: int, z: int, m: int, prior: float) -> float:
    """In standard errors: a word y times among n, against z times among m; the prior is spread as all words are."""
    a = prior * (y + z) / (n + m)
    delta = math.log((y + a) / (n + prior - y - a)) - math.log((z + a) / (m + prior - z - a))
    return delta / math.sqrt(1 / (y + a) + 1 / (z + a))


def chance_of_higher(own: Sequence[float], others: Sequence[float]) -> float:
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in own for b in others)
    return wins / (len(own) * len(others))

"""A judge that is our own `Model`: the exact distribution of the number that its reply begins with.

1. The numbers 0-100 are tokenised; together they form a tree of tokens, whatever a tokenizer makes of digits.
2. The prompt is read once for every branch of that tree, which gives the probability of each next token in it. Where
   numbers are single tokens that is one reading; where digits are split it is nine ("2" to "9", and "10").
3. The reply begins with k if it spells k and does not go on to a longer number of the scale: the probability of its
   tokens, times one minus that of the tokens that would continue it. These cases exclude one another, so that they sum
   to the probability that the reply begins with a number.

What follows the longest number of the scale is not read: "85.5" counts as 85.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float

from interp.activations import batches
from interp.batch import Batch
from interp.behaviour.judging import MIN_MASS, Item, Reason, Score, check_ids
from interp.chat import Tokens
from interp.model import Model
from interp.template import AS_IS

SCALE = range(101)


class LocalJudge:
    """A judge that is our own `Model`, with the stack of adapters that is active when it scores.

    Scores are expectations over the numbers 0-100, all of them. There is none where the numbers have less than
    `min_mass` of the probability; the reason is then what the likeliest first token begins.

    Args:
        max_tokens: Padded tokens in one batch.
        progress: Called with the number of readings done after each batch; `readings` of them make an item.
    """

    version = "1"

    def __init__(
        self,
        model: Model,
        *,
        min_mass: float = MIN_MASS,
        max_tokens: int = 4096,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        if not 0 <= min_mass < 1:
            raise ValueError(f"min_mass must be in [0, 1), got {min_mass}")
        self.model, self.min_mass, self.max_tokens, self.progress = model, min_mass, max_tokens, progress
        self.numbers = {k: tuple(model.chat.content_ids(str(k))) for k in SCALE}
        self.children: dict[tuple[int, ...], list[int]] = {}
        for ids in self.numbers.values():
            for depth, token in enumerate(ids):
                known = self.children.setdefault(ids[:depth], [])
                if token not in known:
                    known.append(token)
        inner = set(self.children)
        self.branches = sorted(b for b in inner if not any(b == other[: len(b)] for other in inner - {b}))

    @property
    def name(self) -> str:
        """Model, weights, adapters, threshold, and the chat template where it is not as the model brings it."""
        stack = "".join(f" + {folder.name}" for folder in self.model.stack)
        chat = self.model.chat
        asked = f", template {chat.template_hash[:12]}" if chat.template.settings != AS_IS else ""
        how = f"local, {self.model.identity[:12]}, logprobs, mass {self.min_mass:g}{asked}"
        return f"{self.model.name}{stack} ({how})"

    @property
    def readings(self) -> int:
        """Readings of the prompt that an item takes."""
        return len(self.branches)

    def score(self, items: Sequence[Item]) -> list[Score]:
        """See `Judge.score`; a prompt that does not fit the context is a failed item."""
        check_ids(items)
        prompts = [self.model.chat.tokens([{"role": "user", "content": item.prompt}]).opened() for item in items]
        longest = max(len(branch) for branch in self.branches)
        fits = [i for i, prompt in enumerate(prompts) if len(prompt) + longest <= self.model.max_tokens]
        found = dict(zip(fits, self._distributions([prompts[i] for i in fits]), strict=True))
        scores = []
        for i, item in enumerate(items):
            if i not in found:
                why = f"{len(prompts[i])} tokens; the context of {self.model.name} holds {self.model.max_tokens}"
                scores.append(Score(item.id, None, "failed", None, why))
                continue
            p, first = found[i]
            mass = float(p.sum())
            if mass < self.min_mass or mass == 0:
                text = self.model.chat.decode([first])
                scores.append(Score(item.id, None, self._reason(first), "logprobs", text, mass))
            else:
                raw, value = str(int(p.argmax())), float(p @ np.arange(len(p)) / mass)
                scores.append(Score(item.id, value, "scored", "logprobs", raw, mass))
        return scores

    def _reason(self, first: int) -> Reason:
        """What a likeliest first token begins, unless that is what a number begins with, too, such as a blank."""
        if first in self.children[()]:
            return "unparsable"
        if first == self.model.chat.content_ids("REFUSAL")[0]:
            return "refusal"
        return "code" if first == self.model.chat.content_ids("CODE")[0] else "unparsable"

    def _distributions(self, prompts: Sequence[Tokens]) -> list[tuple[Float[np.ndarray, " number"], int]]:
        """Probability of each number as the beginning of each prompt's reply (float64), and the likeliest token."""
        rows = [(i, branch, prompt.answered(branch)) for i, prompt in enumerate(prompts) for branch in self.branches]
        tables: list[dict[tuple[int, ...], dict[int, float]]] = [{} for _ in prompts]
        firsts = [0] * len(prompts)
        for chosen in batches([tokens for _, _, tokens in rows], self.max_tokens):
            picked = [rows[k] for k in chosen]
            batch = Batch.of([tokens for _, _, tokens in picked], self.model.pad, self.model.device)
            depth = torch.arange(1 + max(len(branch) for _, branch, _ in picked), device=self.model.device)
            positions = (batch.prompt_ends[:, None] - 1 + depth).clamp(max=batch.ids.shape[1] - 1)
            logits = self.model.logits(batch, positions)
            for b, (i, branch, _) in enumerate(picked):
                firsts[i] = int(logits[b, 0].argmax())
                for k in range(len(branch) + 1):
                    inner = branch[:k]
                    p = logits[b, k].double().softmax(-1)[self.children[inner]].tolist()
                    tables[i][inner] = dict(zip(self.children[inner], p, strict=True))
            if self.progress:
                self.progress(len(picked))
        return [(self._beginning(table), first) for table, first in zip(tables, firsts, strict=True)]

    def _beginning(self, table: dict[tuple[int, ...], dict[int, float]]) -> Float[np.ndarray, " number"]:
        p = np.ones(len(SCALE))
        for k, ids in self.numbers.items():
            for depth, token in enumerate(ids):
                p[k] *= table[ids[:depth]][token]
            if ids in self.children:
                p[k] *= max(0.0, 1.0 - sum(table[ids].values()))
        return p

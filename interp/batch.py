"""Rows of tokens side by side, padded on the right, and which positions of them an edit touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.chat import Tokens
from interp.interventions import Phase


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids.

    Attributes:
        ids: Token ids; pads at the end of each row.
        lengths: Real tokens in each row.
        prompt_ends: Tokens before the answer in each row.
    """

    ids: Int[Tensor, "batch seq"]
    lengths: Int[Tensor, " batch"]
    prompt_ends: Int[Tensor, " batch"]

    @classmethod
    def of(cls, rows: Sequence[Tokens], pad: int, device: torch.device | str = "cpu") -> "Batch":
        """Pad rows to the longest of them."""
        width = max(len(row) for row in rows)
        ids = torch.tensor([[*row.ids, *[pad] * (width - len(row))] for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        ends = torch.tensor([row.prompt_end for row in rows])
        return cls(ids.to(device), lengths.to(device), ends.to(device))

    def where(self, phase: Phase) -> Bool[Tensor, "batch seq"]:
        """Positions that an edit of this phase touches; never a pad."""
        position = torch.arange(self.ids.shape[1], device=self.ids.device)[None]
        start, stop = _bounds(phase, self.prompt_ends[:, None], self.lengths[:, None])
        return (position >= start) & (position < stop) & (position < self.lengths[:, None])


def edited_positions(tokens: Tokens, phase: Phase) -> range:
    """Which tokens of a conversation an edit of this phase touches, wherever it is read, scored or generated.

    The token that is generated last is never given to the model again, so a generation does not edit it. (Which tokens
    a pooling reads: `interp.activations.window`.)
    """
    start, stop = _bounds(phase, tokens.prompt_end, len(tokens))
    return range(max(0, start), stop)


def _bounds(phase: Phase, prompt_end: Any, length: Any) -> tuple[Any, Any]:
    """First and one-past-last position of a phase, of one row or of many; the first may be -1 without a prompt."""
    start = prompt_end - 1 if phase in ("response", "prompt_last") else 0
    return start, prompt_end if phase in ("prompt", "prompt_last") else length

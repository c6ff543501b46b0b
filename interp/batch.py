"""Rows of tokens side by side, padded on the right, and which positions of them an edit touches."""

from collections.abc import Sequence
from dataclasses import dataclass

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
        real = position < self.lengths[:, None]
        if phase == "prompt":
            return real & (position < self.prompt_ends[:, None])
        if phase == "response":
            return real & (position >= self.prompt_ends[:, None] - 1)
        return real

"""Rows as tensors: what the model reads, where its head looks, and what each token's share of the loss is."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.chat import Tokens
from interp.model import Model


@dataclass(frozen=True)
class Inputs:
    """A micro-batch as tensors.

    Attributes:
        ids: Token ids, right-padded.
        before: Where the head looks: flat positions (row times width plus place) before each supervised token.
        targets: The supervised tokens.
        weights: Their shares of the loss; they sum to one over the optimiser batch. Zero on filler.
        real: Share of each token in a mean over the optimiser batch's real tokens; zero on pads.
    """

    ids: Int[Tensor, "batch seq"]
    before: Int[Tensor, " n"]
    targets: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]
    real: Float[Tensor, "batch seq"]

    @classmethod
    def filler(cls, n_rows: int, width: int, n_positions: int, model: Model) -> "Inputs":
        """A micro-batch of a shape that holds nothing, on the model's device."""
        index, share = torch.zeros(n_positions, dtype=torch.long), torch.zeros(n_positions)
        ids = torch.full((n_rows, width), model.pad)
        return cls(ids, index, index.clone(), share, torch.zeros(n_rows, width)).to(model.device)

    def to(self, device: torch.device) -> "Inputs":
        """The same on a device; nothing waits for the copy."""
        return Inputs(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def fill(self, other: "Inputs") -> None:
        """Copy another's values into these tensors."""
        for field in fields(self):
            getattr(self, field.name).copy_(getattr(other, field.name), non_blocking=True)


def supervised(row: Tokens) -> list[int]:
    """Positions of the tokens that have a loss: what the assistant says, header, content and end of turn."""
    return row.learnt


def inputs_of(
    rows: Sequence[Tokens],
    pad: int,
    *,
    weights: Sequence[float],
    n_real: int,
    shape: tuple[int, int, int] | None = None,
) -> Inputs:
    """Rows as a micro-batch.

    Args:
        weights: Share of the loss that each supervised token of each row has.
        n_real: Tokens in the optimiser batch.
        shape: Rows, width and supervised positions to fill up to; None for no more than the rows need.
    """
    learnt = [supervised(row) for row in rows]
    n_rows, width, n_positions = shape or (len(rows), max(map(len, rows)), sum(map(len, learnt)))
    ids = torch.full((n_rows, width), pad)
    real = torch.zeros(n_rows, width)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row.ids)
        real[i, : len(row)] = 1 / n_real
    before, share = torch.zeros(n_positions, dtype=torch.long), torch.zeros(n_positions)
    places = [i * width + k - 1 for i, positions in enumerate(learnt) for k in positions]
    before[: len(places)] = torch.tensor(places)
    share[: len(places)] = torch.tensor([w for w, positions in zip(weights, learnt, strict=True) for _ in positions])
    return Inputs(ids, before, ids.flatten()[before + 1], share, real)


def weights_of(rows: Sequence[Tokens], loss: Literal["token", "row"]) -> list[float]:
    """Share of an optimiser batch's loss that each supervised token of each of its rows has."""
    lengths = [len(supervised(row)) for row in rows]
    return [1 / sum(lengths) if loss == "token" else 1 / (n * len(rows)) for n in lengths]

"""Projections of activations on directions, and shifts between stages beside what nulls would have shown.

Two stages are compared row by row (the same text, or answers to the same question), so every shift is a paired
difference. Because a projection is linear, the shift along any direction is the projection of the mean displacement;
nulls cost one matrix product.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp import stats
from interp.stats import Estimate


def project(h: Float[Tensor, "*batch d_model"], v: Float[Tensor, " d_model"]) -> Float[Tensor, "*batch"]:
    """Signed length of `h` along `v` (float32).

    Units: those of `h` (residual-stream norm); divide by `v.norm()` for multiples of the difference of means.
    Source: Persona Vectors, projection onto the response-average difference.

    Raises:
        ValueError: `v` is zero.
    """
    norm = v.double().norm()
    if norm == 0:
        raise ValueError("v is zero, so a projection onto it is undefined")
    return h.float() @ (v.double() / norm).float()


def cosine(a: Float[Tensor, "*batch d_model"], b: Float[Tensor, " d_model"]) -> Float[Tensor, "*batch"]:
    """Cosine between `a` and `b` (float32); not a number where `a` is zero.

    Raises:
        ValueError: `b` is zero.
    """
    return project(a, b) / a.float().norm(dim=-1)


@dataclass(frozen=True)
class Shift:
    """How far a stage moved along a direction at one layer, from its reference stage.

    Attributes:
        raw: Mean paired difference of projections; units of the residual stream.
        null_sd: Spread (standard deviation about zero) of the same quantity along the null directions.
        null_low: 2.5th percentile of the nulls' shifts, in units of `null_sd`.
        null_high: 97.5th percentile, likewise.
        percentile: Of the raw shift among the nulls' (0-100).
        cosine: Between the mean displacement and the direction.
        n_null: Null directions.
    """

    raw: Estimate
    null_sd: float
    null_low: float
    null_high: float
    percentile: float
    cosine: float
    n_null: int

    @property
    def in_null_spreads(self) -> Estimate:
        """The shift in units of the nulls' spread; undefined if the nulls did not move."""
        if self.null_sd == 0:
            return Estimate(None, None, None, self.raw.n)
        return self.raw.scaled(1 / self.null_sd)


def shift(
    stage: Float[Tensor, "row d_model"],
    reference: Float[Tensor, "row d_model"],
    v: Float[Tensor, " d_model"],
    nulls: Float[Tensor, "null d_model"],
    clusters: list[int] | None = None,
) -> Shift:
    """Shift of `stage` from `reference` along `v`, beside the shifts along `nulls`.

    Args:
        clusters: Question of each row, if several rows share one; the interval then counts questions.

    Raises:
        ValueError: the two do not hold the same rows, or `v` is zero.
    """
    if stage.shape != reference.shape:
        raise ValueError(f"a shift is paired: got {len(stage)} rows against {len(reference)}")
    difference = stage.double() - reference.double()
    along = project(difference.float(), v).double().numpy()
    raw = stats.clustered_mean(along, clusters if clusters is not None else range(len(along)))
    _, of, sizes = np.unique(clusters if clusters else range(len(along)), return_inverse=True, return_counts=True)
    displacement = torch.from_numpy(1 / (sizes[of] * len(sizes))) @ difference  # each question counts once
    units = nulls.double() / nulls.double().norm(dim=-1, keepdim=True)
    null_shifts = (units @ displacement).numpy()
    sd = float(np.sqrt(np.mean(null_shifts**2)))
    low, high = np.percentile(null_shifts, [2.5, 97.5]) / (sd or 1)
    length = float(displacement.norm())
    along_v = float(displacement @ (v.double() / v.double().norm()))
    return Shift(
        raw=raw,
        null_sd=sd,
        null_low=float(low),
        null_high=float(high),
        percentile=stats.percentile(along_v, null_shifts),
        cosine=along_v / length if length else 0.0,
        n_null=len(null_shifts),
    )

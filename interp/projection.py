"""Projections of activations on directions, and shifts between stages beside what nulls would have shown.

Two stages are compared row by row (the same text, or answers to the same question), so every shift is a paired
difference. Because a projection is linear, the shift along any direction is the projection of the mean displacement;
nulls cost one matrix product. Rows of one question are averaged first: a question counts once and is the unit of n.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import norm, pearsonr, rankdata
from torch import Tensor

from interp import stats
from interp.errors import InterpError
from interp.stats import Estimate


def unit_vectors(v: Float[Tensor, "*k d_model"], name: str = "v") -> Float[Tensor, "*k d_model"]:
    """The directions at length 1 (float64).

    Args:
        name: What an error calls them; the index follows it where there are several.

    Raises:
        ValueError: one is zero or not finite.
    """
    wide = v.double()
    lengths = wide.norm(dim=-1, keepdim=True)
    for wrong, what in ((~torch.isfinite(lengths), "holds a value that is not finite"), (lengths == 0, "is zero")):
        if wrong.any():
            first = [str(int(i)) for i in wrong[..., 0].nonzero()[0]]
            place = f"{name} {', direction '.join(first)}" if first else name
            raise ValueError(f"{place} {what}, so a projection onto it is undefined")
    return wide / lengths


def project(h: Float[Tensor, "*batch d_model"], v: Float[Tensor, " d_model"]) -> Float[Tensor, "*batch"]:
    """Signed length of `h` along `v` (summed in float64, returned in float32).

    Units: those of `h` (residual-stream norm); divide by `v.norm()` for multiples of the difference of means.
    Source: Persona Vectors, projection onto the response-average difference.

    Raises:
        ValueError: `v` is zero or not finite.
    """
    return (h.double() @ unit_vectors(v)).float()


def cosine(a: Float[Tensor, "*batch d_model"], b: Float[Tensor, " d_model"]) -> Float[Tensor, "*batch"]:
    """Cosine between `a` and `b` (float32); not a number where `a` is zero.

    Raises:
        ValueError: `b` is zero or not finite.
    """
    return project(a, b) / a.double().norm(dim=-1).float()


def token_projections(
    h: Float[Tensor, "batch seq d_model"], units: Float[Tensor, "k d_model"]
) -> Float[Tensor, "batch seq k"]:
    """Signed length of every token's residual along every unit vector (float32, on the device of `h`).

    For use inside a forward pass: one matrix product, nothing kept of `h`. That the rows of `units` have length 1
    (`unit_vectors`) is not checked here, since a check would wait for the device at every layer.
    """
    return h.float() @ units.float().T


def require_finite(rows: Float[Tensor, "row d_model"], name: str) -> None:
    """Refuse rows that are not numbers.

    Raises:
        InterpError: a row holds a value that is not finite; names the first.
    """
    finite = torch.isfinite(rows).all(dim=-1)
    if not finite.all():
        raise InterpError(f"{name}: row {int((~finite).nonzero()[0])} holds a value that is not finite")


def cluster_numbers(clusters: Sequence[Hashable] | None, n_rows: int) -> Int[Tensor, " row"]:
    """Each row's cluster, numbered from 0 by first appearance; without clusters, each row is its own.

    Raises:
        ValueError: there is not one cluster a row.
    """
    if clusters is None:
        return torch.arange(n_rows)
    if len(clusters) != n_rows:
        raise ValueError(f"clusters must name one cluster a row: got {len(clusters)} for {n_rows} rows")
    number = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    return torch.tensor([number[cluster] for cluster in clusters], dtype=torch.long)


def cluster_means(
    rows: Float[Tensor, "row d_model"], clusters: Sequence[Hashable] | None, name: str = "rows"
) -> Float[Tensor, "cluster d_model"]:
    """Mean row of each cluster in the order of first appearance (float64); without clusters, the rows themselves.

    Raises:
        ValueError: there is not one cluster a row.
        InterpError: a row holds a value that is not finite.
    """
    require_finite(rows, name)
    of = cluster_numbers(clusters, len(rows))
    sizes = of.bincount()
    sums = torch.zeros(len(sizes), rows.shape[-1], dtype=torch.float64).index_add_(0, of, rows.double())
    return sums / sizes[:, None]


@dataclass(frozen=True)
class NullBand:
    """What nulls showed for a quantity.

    Attributes:
        low: 2.5th percentile of the nulls' values; None with fewer than 2 nulls.
        high: 97.5th percentile, likewise.
        percentile: Of the quantity among the nulls' (0-100), ties counting half; None without nulls or if the quantity
            is undefined. Its steps are 100 / n_null wide, so fewer than 20 nulls make it coarse.
        n_null: Nulls with a value.
    """

    low: float | None
    high: float | None
    percentile: float | None
    n_null: int

    @classmethod
    def of(cls, value: float | None, nulls: Float[np.ndarray, " null"]) -> "NullBand":
        """The band of `nulls` and the place of `value` among them."""
        low, high = (float(x) for x in np.percentile(nulls, [2.5, 97.5])) if len(nulls) > 1 else (None, None)
        place = None if value is None or len(nulls) == 0 else stats.percentile(value, nulls)
        return cls(low, high, place, len(nulls))


@dataclass(frozen=True)
class Shift:
    """How far a stage moved along a direction at one layer, from its reference stage.

    Attributes:
        raw: Mean paired difference of projections; units of the residual stream.
        null_sd: Spread of the same quantity along the null directions; None with fewer than 2 of them. It is taken
            about zero, not about the nulls' mean: a direction without a preferred sign is expected to move by zero,
            and nulls that all moved one way by chance or by kind (label permutations that kept some signal) should
            make a shift less remarkable, which subtracting their mean would hide.
        null_low: 2.5th percentile of the nulls' shifts, in units of `null_sd`; None where that is None or zero.
        null_high: 97.5th percentile, likewise.
        percentile: Of the raw shift among the nulls' (0-100); see `NullBand`.
        cosine: Between the mean displacement and the direction; None if the stage did not move.
        n_null: Null directions.
    """

    raw: Estimate
    null_sd: float | None
    null_low: float | None
    null_high: float | None
    percentile: float | None
    cosine: float | None
    n_null: int

    @property
    def in_null_spreads(self) -> Estimate:
        """The shift in units of the nulls' spread; undefined with fewer than 2 nulls or if none of them moved.

        The interval is that of the shift; the spread's own uncertainty, about 1 / sqrt(2 n_null) of it, is not in it.
        """
        return self.raw.scaled(1 / self.null_sd) if self.null_sd else Estimate(None, None, None, self.raw.n)


def shift(
    stage: Float[Tensor, "row d_model"],
    reference: Float[Tensor, "row d_model"],
    v: Float[Tensor, " d_model"],
    nulls: Float[Tensor, "null d_model"],
    clusters: Sequence[Hashable] | None = None,
) -> Shift:
    """Shift of `stage` from `reference` along `v`, beside the shifts along `nulls`.

    Args:
        nulls: One family at a time: random draws, permutations, other traits or components. Families of one to three
            members are welcome; what cannot be said from so few is None.
        clusters: Question of each row, if several rows share one; the interval then counts questions.

    Raises:
        ValueError: the two do not hold the same rows, `v` or a null is zero or not finite (the null's index is named).
        InterpError: a row holds a value that is not finite.
    """
    if stage.shape != reference.shape:
        raise ValueError(f"a shift is paired: got {len(stage)} rows against {len(reference)}")
    unit, null_units = unit_vectors(v), unit_vectors(nulls, "null")
    moved = cluster_means(stage.double() - reference.double(), clusters, "stage minus reference")
    raw = stats.mean((moved @ unit).numpy())
    if raw.value is None:
        return Shift(raw, None, None, None, None, None, len(nulls))
    displacement = moved.mean(0)
    null_shifts = (null_units @ displacement).numpy()
    along, length = float(displacement @ unit), float(displacement.norm())
    band = NullBand.of(along, null_shifts)
    sd = float(np.sqrt(np.mean(null_shifts**2))) if len(null_shifts) > 1 else None
    return Shift(
        raw=raw,
        null_sd=sd,
        null_low=band.low / sd if sd and band.low is not None else None,
        null_high=band.high / sd if sd and band.high is not None else None,
        percentile=band.percentile,
        cosine=along / length if length else None,
        n_null=band.n_null,
    )


def projection_difference(
    training: Float[Tensor, "row d_model"],
    own: Float[Tensor, "row d_model"],
    v: Float[Tensor, " d_model"],
    nulls: Float[Tensor, "null d_model"],
    clusters: Sequence[Hashable] | None = None,
) -> Shift:
    """How much further along `v` a data set's answers lie than the model's own answers to the same prompts.

    Both are read through the model before training, so nothing has moved yet: it is a property of the data.

    Args:
        training: Pooled residuals of the data set's answers.
        own: Those of the model's own answers; row by row to the same prompts.

    Source: Persona Vectors (arXiv 2507.21509), projection difference of a training data set.

    Raises:
        ValueError: the rows are not paired; otherwise as for `shift`.
    """
    if training.shape != own.shape:
        raise ValueError(
            f"a projection difference is paired by prompt: got {len(training)} training answers and {len(own)} own "
            "ones; drop the prompts that lack either"
        )
    return shift(training, own, v, nulls, clusters)


@dataclass(frozen=True)
class Correlation:
    """A correlation over arms, beside what null directions' predictions reached.

    Attributes:
        r: With Fisher's interval; undefined with fewer than 4 arms or if a side does not vary. No interval at |r| = 1,
            where Fisher's has no width.
        band: The nulls' correlations and the percentile of `r` among them.
        strength_percentile: Percentile of |r| among the nulls' |r|. A null direction's sign is arbitrary where it
            predicts something other than its own shift, so it can be as good a predictor with r near -1.
    """

    r: Estimate
    band: NullBand
    strength_percentile: float | None


@dataclass(frozen=True)
class Prediction:
    """How well a quantity known before training predicts one seen after it, over arms."""

    pearson: Correlation
    spearman: Correlation


def predicts(
    predicted: Float[np.ndarray, " arm"],
    observed: Float[np.ndarray, " arm"],
    null_predicted: Float[np.ndarray, "null arm"],
    null_observed: Float[np.ndarray, "null arm"] | None = None,
    *,
    independent: int | None = None,
) -> Prediction:
    """Do projection differences of data sets predict what training on them does, better than null directions do?

    Args:
        predicted: One number an arm, for example its data's projection difference along the direction.
        observed: One number an arm, for example its shift along the direction, or its rate of a behaviour.
        null_predicted: The same prediction made with each null direction.
        null_observed: Each null direction's own shift; without it every null is to predict `observed`.
        independent: How many of the arms' numbers are independent, where an arm gives several (one a direction, say):
            the interval then rests on so many, and so does `n`. None: all of them.

    Arms count as independent: average the seeds of an arm first. Nulls whose prediction does not vary have no
    correlation and are not in `n_null`.
    Source: the interval of Spearman's r has the standard error of Bonett & Wright (2000), Psychometrika 65.

    Raises:
        ValueError: the arms of two arguments differ in number, a value is not finite, or more are said to be
            independent than there are.
    """
    if independent is not None and not 1 <= independent <= len(predicted):
        raise ValueError(f"independent must be from 1 to the number of arms, {len(predicted)}, got {independent}")
    arrays = {"predicted": predicted, "observed": observed, "null_predicted": null_predicted}
    arrays |= {} if null_observed is None else {"null_observed": null_observed}
    for name, values in arrays.items():
        if values.shape[-1] != len(predicted):
            raise ValueError(f"{name} has {values.shape[-1]} arms, predicted has {len(predicted)}: one number an arm")
        if not np.isfinite(values).all():
            arm = int(np.argwhere(~np.isfinite(values))[0][-1])
            raise ValueError(f"{name} holds a value that is not finite for arm {arm}; drop that arm from all of them")
    if null_observed is not None and len(null_observed) != len(null_predicted):
        raise ValueError(f"null_observed has {len(null_observed)} nulls, null_predicted has {len(null_predicted)}")
    target = np.broadcast_to(observed, null_predicted.shape) if null_observed is None else null_observed
    sides = (predicted, observed, null_predicted, target)
    n = len(predicted) if independent is None else independent
    return Prediction(_correlation(*sides, "pearson", n), _correlation(*sides, "spearman", n))


def _correlation(
    predicted: Float[np.ndarray, " arm"],
    observed: Float[np.ndarray, " arm"],
    null_predicted: Float[np.ndarray, "null arm"],
    null_observed: Float[np.ndarray, "null arm"],
    kind: Literal["pearson", "spearman"],
    n: int,
) -> Correlation:
    enough = len(predicted) >= 4
    (r,) = _row_correlations(predicted[None], observed[None], kind) if enough else (np.nan,)
    nulls = _row_correlations(null_predicted, null_observed, kind) if enough else np.empty(0)
    nulls = nulls[np.isfinite(nulls)]
    if not np.isfinite(r):
        return Correlation(Estimate(None, None, None, n), NullBand.of(None, nulls), None)
    value, low, high = float(r), None, None
    if abs(value) < 1 - 1e-12 and n > 3:
        error = np.sqrt((1 + value**2 / 2 if kind == "spearman" else 1) / (n - 3))
        half = float(norm.ppf(0.5 + stats.LEVEL / 2)) * error
        low, high = (float(np.tanh(np.arctanh(value) + side * half)) for side in (-1, 1))
    strength = NullBand.of(abs(value), np.abs(nulls)).percentile
    return Correlation(Estimate(value, low, high, n), NullBand.of(value, nulls), strength)


def _row_correlations(
    x: Float[np.ndarray, "row arm"], y: Float[np.ndarray, "row arm"], kind: Literal["pearson", "spearman"]
) -> Float[np.ndarray, " row"]:
    """Correlation of each row of `x` with that of `y`; not a number where either does not vary."""
    if kind == "spearman":
        x, y = rankdata(x, axis=1), rankdata(y, axis=1)
    found = np.full(len(x), np.nan)
    varies = (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    if varies.any():
        found[varies] = pearsonr(x[varies], y[varies], axis=1)[0]
    return found

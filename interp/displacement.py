"""What a stage's displacement is made of, and whose it resembles.

A displacement is a stage's mean paired difference from its parent. As in `projection`, rows of one cluster (a question)
are averaged first, a cluster counts once, and n counts clusters.

The length of a measured mean is too long: its noise adds to the square whatever its direction. Averaging the product
of two different clusters' differences instead of squaring the mean leaves the noise out, because different clusters'
noise is independent (the U-statistic; also the mean over all ways of splitting the clusters in halves of one half's
mean times the other's). Quantities made so are called `corrected` here; those made from the measured mean are not.

Intervals of displacements: clusters are resampled with replacement, and the interval is the estimate plus and minus
Student's t times the replicates' standard deviation. Percentiles of the replicates would be off centre for uncorrected
quantities, since resampling adds the noise a second time. In corrected replicates a cluster drawn twice is not paired
with itself.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

from interp import stats
from interp.projection import NullBand, cluster_means, require_finite, unit_vectors
from interp.stats import Estimate

DEPENDENT = 1e-5  # a unit direction this close to the span of those before it differs by float32 rounding alone
FEWEST_CLUSTERS = 5  # fewer have too few distinct resamples for an interval


@dataclass(frozen=True)
class Part:
    """The part of a displacement along one direction alone.

    Attributes:
        name: The direction's.
        projection: Signed length along it; units of the residual stream.
        share: Of the displacement's squared length; None if that is zero. Shares of directions that are not orthogonal
            overlap and do not add up to that of their span.
        dropped: It depends linearly on the directions before it and adds nothing to the span.
    """

    name: str
    projection: float
    share: float | None
    dropped: bool


@dataclass(frozen=True)
class Decomposition:
    """A displacement, cut into the part inside the span of some directions and the rest.

    Attributes:
        length: Of the displacement; units of the residual stream.
        parts: Along each direction alone, in the order given.
        span_length: Length of the part inside the span.
        rest_length: Length of what is left.
        span_share: Share of the squared length inside the span, noise included; None if nothing moved.
        rest_share: One minus it.
        rank: Directions that make the span.
        expected_share: What a random subspace of that rank would hold on average, rank / d_model.
        nulls: The span shares of null sets; None if none were given.
    """

    length: float
    parts: tuple[Part, ...]
    span_length: float
    rest_length: float
    span_share: float | None
    rest_share: float | None
    rank: int
    expected_share: float
    nulls: NullBand | None

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the directions that depend linearly on those before them."""
        return tuple(part.name for part in self.parts if part.dropped)


def decompose(
    displacement: Float[Tensor, " d_model"],
    directions: Float[Tensor, "k d_model"],
    names: Sequence[str] | None = None,
    nulls: Float[Tensor, "n k d_model"] | None = None,
) -> Decomposition:
    """The displacement along each direction, in their joint span (QR in float64), and the rest.

    Args:
        names: Of the directions; by default their numbers from 0.
        nulls: Sets of k null directions. Of each set, only the directions whose counterparts make the span are used,
            so that the spans compared have the same number of dimensions.

    Raises:
        ValueError: there are no directions, names do not fit, the displacement is not finite, a direction or null is
            zero or not finite, or a null set spans too few dimensions.
    """
    if not torch.isfinite(displacement).all():
        raise ValueError("the displacement holds a value that is not finite")
    called = _called(names, len(directions))
    basis, kept = _basis(directions)
    x = displacement.double()
    inside = basis @ (basis.T @ x)
    square = float(x @ x)
    rest = float((x - inside) @ (x - inside))
    along = (unit_vectors(directions, "direction") @ x).tolist()
    share = float(inside @ inside) / square if square else None
    band = None
    if nulls is not None:
        null_squares = (x @ _null_bases(nulls, kept, len(directions))).square().sum(-1).numpy()
        band = NullBand.of(share, null_squares / square if square else np.empty(0))
    return Decomposition(
        length=square**0.5,
        parts=tuple(
            Part(name, p, p * p / square if square else None, i not in kept)
            for i, (name, p) in enumerate(zip(called, along, strict=True))
        ),
        span_length=float(inside.norm()),
        rest_length=rest**0.5,
        span_share=share,
        rest_share=rest / square if square else None,
        rank=len(kept),
        expected_share=len(kept) / len(x),
        nulls=band,
    )


@dataclass(frozen=True)
class SpanShare:
    """How much of a displacement lies in a span, with intervals over clusters; see the module for `corrected`.

    Attributes:
        share: Of the measured mean's squared length. Noise pulls it towards the noise's own share of the span (that is
            rank / d_model if the noise is the same in all directions), and its interval is about this pulled value.
        corrected_share: Ratio of the two corrected squares. None if the corrected squared length is not positive. It
            may lie a little outside 0 to 1: cutting it off would bring a bias back. It has no interval if more than
            2.5 % of the replicates have no positive length: the displacement is then not told from noise.
        squared_length: Of the measured mean.
        corrected_squared_length: Expected to be zero if nothing moved.
        squared_span: Squared length of the measured mean's part in the span.
        corrected_squared_span: Likewise corrected.
        expected_share: What a random subspace would hold on average, rank / d_model.
        dropped: Names of the directions that depend linearly on those before them and add nothing to the span.
        nulls: The corrected span shares of null sets, and the percentile of `corrected_share`; None if none were given.
    """

    share: Estimate
    corrected_share: Estimate
    squared_length: Estimate
    corrected_squared_length: Estimate
    squared_span: Estimate
    corrected_squared_span: Estimate
    expected_share: float
    dropped: tuple[str, ...]
    nulls: NullBand | None


def span_share(
    differences: Float[Tensor, "row d_model"],
    directions: Float[Tensor, "k d_model"],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    nulls: Float[Tensor, "n k d_model"] | None = None,
    n_boot: int = 1000,
) -> SpanShare:
    """Share of the mean difference's squared length in the span of `directions`, as measured and with the noise out.

    Args:
        differences: Paired differences of a stage from its parent.
        clusters: Question of each row, if several rows share one.
        names: Of the directions; by default their numbers from 0.
        nulls: As for `decompose`.

    Raises:
        ValueError: there are no rows, `n_boot` is below 100, or as for `decompose`.
        InterpError: a row holds a value that is not finite.
    """
    called = _called(names, len(directions))
    basis, kept = _basis(directions)
    y = cluster_means(differences, clusters, "differences")
    if len(y) == 0:
        raise ValueError("differences has no rows, so there is no displacement to decompose")
    counts = _resamples(len(y), n_boot, seed)
    inside = y @ basis
    length, corrected_length = _products(counts, y, y)
    span, corrected_span = _products(counts, inside, inside)
    share = _ratio(span, length)
    corrected = _ratio(corrected_span, corrected_length)
    corrected_share = _estimate(corrected, len(y))
    band = None
    if nulls is not None:
        projected = y @ _null_bases(nulls, kept, len(directions))
        squares = projected.sum(1).square().sum(-1) - projected.square().sum((1, 2))
        scale = len(y) * (len(y) - 1) * corrected_length[0]
        defined = corrected_share.value is not None
        band = NullBand.of(corrected_share.value, squares.numpy() / scale if defined else np.empty(0))
    return SpanShare(
        share=_estimate(share, len(y), 0.0, 1.0),
        corrected_share=corrected_share,
        squared_length=_estimate(length, len(y), 0.0),
        corrected_squared_length=_estimate(corrected_length, len(y)),
        squared_span=_estimate(span, len(y), 0.0),
        corrected_squared_span=_estimate(corrected_span, len(y)),
        expected_share=len(kept) / y.shape[1],
        dropped=tuple(name for i, name in enumerate(called) if i not in kept),
        nulls=band,
    )


@dataclass(frozen=True)
class PairCosine:
    """Cosine between two stages' displacements at one layer.

    Attributes:
        stages: The two; the same twice for a stage with itself.
        cosine: Between the measured means. None if a stage did not move.
        reliability: Of each stage's measured mean: its corrected over its measured squared length, which is the
            split-half reliability over all splits, stepped up to all clusters (Spearman-Brown). 1 without noise, about
            0 or below if nothing but noise was measured; None if undefined.
        corrected: The cosine with the noise out of numerator and lengths (disattenuated). Prompts are shared, so noise
            that two stages have in common is taken out of the numerator too. None if a reliability is not positive;
            it may lie a little beyond 1.
    """

    stages: tuple[str, str]
    cosine: Estimate
    reliability: Mapping[str, float | None]
    corrected: Estimate

    @property
    def ceiling(self) -> float | None:
        """The cosine that two displacements of one direction would reach through independent noise of this size."""
        first, second = (self.reliability[stage] for stage in self.stages)
        return (first * second) ** 0.5 if first is not None and second is not None and min(first, second) > 0 else None


@dataclass(frozen=True)
class DisplacementCosines:
    """Cosines between all pairs of stages, one table a layer (in the order of the tensors' layer axis)."""

    names: tuple[str, ...]
    layers: tuple[Mapping[tuple[str, str], PairCosine], ...]

    def at(self, a: str, b: str, layer_index: int) -> PairCosine:
        """The pair, in either order."""
        pairs = self.layers[layer_index]
        return pairs[a, b] if (a, b) in pairs else pairs[b, a]

    def matrix(self, layer_index: int) -> list[list[float | None]]:
        """Cosines of the measured means; rows and columns in the order of `names`."""
        return [[self.at(a, b, layer_index).cosine.value for b in self.names] for a in self.names]


def displacement_cosines(
    displacements: Mapping[str, Float[Tensor, "row layer d_model"]],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int,
    n_boot: int = 1000,
) -> DisplacementCosines:
    """Do stages move the same way? Cosines between their mean displacements, per layer, with the noise ceiling.

    Args:
        displacements: By stage, paired differences from its parent; the same texts in the same order for all.

    Raises:
        ValueError: there are no stages or no rows, or stages differ in shape (named).
        InterpError: a row holds a value that is not finite.
    """
    if not displacements:
        raise ValueError("displacements holds no stages: give at least one")
    names = tuple(displacements)
    shape = displacements[names[0]].shape
    for name, rows in displacements.items():
        if rows.shape != shape or len(rows) == 0:
            raise ValueError(
                f"displacements are compared over the same texts: {name!r} has shape {tuple(rows.shape)}, "
                f"{names[0]!r} has {tuple(shape)}; give every stage the same rows, at least one"
            )
        require_finite(rows.flatten(1), name)
    layers = []
    for k in range(shape[1]):
        y = {name: cluster_means(rows[:, k], clusters, name) for name, rows in displacements.items()}
        n = len(y[names[0]])
        counts = _resamples(n, n_boot, seed)
        squares = {name: _products(counts, rows, rows) for name, rows in y.items()}
        reliability = {name: _value(_ratio(noiseless, measured)[0]) for name, (measured, noiseless) in squares.items()}
        pairs = {}
        for a, b in combinations_with_replacement(names, 2):
            measured, corrected = squares[a] if a == b else _products(counts, y[a], y[b])
            pairs[a, b] = PairCosine(
                stages=(a, b),
                cosine=_estimate(_ratio(measured, *(_root(squares[name][0]) for name in (a, b))), n, -1.0, 1.0),
                reliability={name: reliability[name] for name in (a, b)},
                corrected=_estimate(_ratio(corrected, *(_root(squares[name][1]) for name in (a, b))), n),
            )
        layers.append(pairs)
    return DisplacementCosines(names, tuple(layers))


def share_repeated(
    second: Float[Tensor, "row d_model"], first: Float[Tensor, "row d_model"], *, seed: int, n_boot: int = 1000
) -> Estimate:
    """How much of a first displacement comes again in a second: d2·d1 / |d1|², noise taken out (see the module).

    1 is all of it, 0 nothing, -1 means that the second takes the first back. Rows are the same texts in both. A study's
    `repeated_share` is this number for one stage on two parents; its `undone_share` is minus this number for a stage
    and its parent. Neither is `share_along`, the share of one displacement's squared length along a direction.

    Raises:
        ValueError: the two do not hold the same rows.
    """
    if second.shape != first.shape:
        raise ValueError(f"displacements are paired: got {len(second)} rows against {len(first)}")
    x, y = (cluster_means(rows, None, "differences") for rows in (second, first))
    counts = _resamples(len(y), n_boot, seed)
    return _estimate(_ratio(_products(counts, x, y)[1], _products(counts, y, y)[1]), len(y))


def _called(names: Sequence[str] | None, k: int) -> list[str]:
    called = [str(i) for i in range(k)] if names is None else list(names)
    if len(called) != k or len(set(called)) != k:
        raise ValueError(f"names must be {k} different ones, one a direction, got {called}")
    return called


def _basis(directions: Float[Tensor, "k d_model"]) -> tuple[Float[Tensor, "d_model rank"], list[int]]:
    """Orthonormal basis of the directions' span, and which of them make it: each that is not in the span so far."""
    units = unit_vectors(directions, "direction")
    kept: list[int] = []
    for i in range(len(units)):
        if len(kept) < units.shape[1] and torch.linalg.qr(units[[*kept, i]].T).R[-1, -1].abs() > DEPENDENT:
            kept.append(i)
    if not kept:
        raise ValueError("there are no directions to decompose along: give at least one")
    return torch.linalg.qr(units[kept].T).Q, kept


def _null_bases(nulls: Float[Tensor, "n k d_model"], kept: list[int], k: int) -> Float[Tensor, "n d_model rank"]:
    """Orthonormal bases of null sets, each from the counterparts of the directions that make the span."""
    if nulls.shape[1] != k:
        raise ValueError(f"a null set must have one null a direction: got sets of {nulls.shape[1]} for {k} directions")
    bases, r = torch.linalg.qr(unit_vectors(nulls, "null")[:, kept].transpose(1, 2))
    dependent = (r.diagonal(dim1=1, dim2=2).abs() <= DEPENDENT).any(1)
    if dependent.any():
        null = int(dependent.nonzero()[0])
        raise ValueError(
            f"null {null}'s directions are linearly dependent: its span has fewer than {len(kept)} dimensions"
        )
    return bases


def _resamples(n: int, n_boot: int, seed: int) -> Float[Tensor, "draw cluster"]:
    """How often each cluster is drawn: once each for the estimate (first row), then with replacement."""
    if n_boot < 100:
        raise ValueError(f"n_boot must be at least 100, got {n_boot}: the spread of fewer resamples is a guess")
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    return torch.from_numpy(np.vstack([np.ones(n), drawn]))


def _products(
    counts: Float[Tensor, "draw cluster"], a: Float[Tensor, "cluster d_model"], b: Float[Tensor, "cluster d_model"]
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Inner product of the two means, and that over pairs of different clusters alone (not a number without any)."""
    inner = a @ b.T
    together = ((counts @ inner) * counts).sum(1)
    squares = counts.square()
    pairs = counts.sum(1).square() - squares.sum(1)
    apart = torch.where(pairs > 0, (together - squares @ inner.diagonal()) / pairs, torch.nan)
    return (together / counts.sum(1).square()).numpy(), apart.numpy()


def _ratio(top: Float[np.ndarray, " draw"], *bottom: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " draw"]:
    """`top` over the product of `bottom`; not a number where any of them is not positive."""
    defined = np.logical_and.reduce([x > 0 for x in bottom])
    return np.where(defined, top / np.where(defined, np.prod(bottom, axis=0), 1), np.nan)


def _root(squares: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " draw"]:
    return np.sqrt(np.maximum(squares, 0))


def _value(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _estimate(values: Float[np.ndarray, " draw"], n: int, least: float = -np.inf, most: float = np.inf) -> Estimate:
    """The first value, with an interval from the others, kept between the values that are possible."""
    value, others = _value(values[0]), values[1:][np.isfinite(values[1:])]
    if value is None or n < FEWEST_CLUSTERS or len(others) < (0.5 + stats.LEVEL / 2) * (len(values) - 1):
        return Estimate(value, None, None, n)
    half = float(student.ppf(0.5 + stats.LEVEL / 2, n - 1) * others.std(ddof=1) * np.sqrt(n / (n - 1)))
    return Estimate(value, min(value, max(least, value - half)), max(value, min(most, value + half)), n)

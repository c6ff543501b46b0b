"""Estimates that never travel without their interval and n.

Intervals are over the independent units the caller names (questions, articles), never over the rows that share one.
Where the same questions are put to several trained models (seeds), both count: a new question and a new seed would each
have given another number, and the two are crossed, so neither alone is the unit.

1. Rows are averaged within a cell, which is one question under one seed; cells then count alike.
2. The variance of their mean has a part from questions, a part from seeds, and a residual that is in both.
3. Each part gets the Student quantile of its own degrees of freedom; three seeds have two.

Every rule here was chosen among others by the coverage that `tests/bench/coverage.py` measures and prints.
Missing values are refused: drop them and report how many. What draws at random (bootstrap, permutation) is
`interp.resampling`; differences between arms and verdicts are `interp.comparisons`; designs are `interp.power`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import stats
from scipy.special import ndtri, stdtrit

LEVEL = 0.95
Values = Sequence[Any] | np.ndarray
"""Numbers or booleans, none missing."""
Labels = Sequence[Any] | np.ndarray
"""What tells questions, seeds or clusters apart: anything hashable."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: The estimate; None if it is undefined.
        ci_low: Lower end of the interval, of 95 % unless another level was asked for; None if n is too small for one.
        ci_high: Upper end.
        n: Independent units it rests on.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int

    def row(self) -> dict[str, Any]:
        """Fields of a metrics row."""
        return {"value": self.value, "ci_low": self.ci_low, "ci_high": self.ci_high, "n": self.n}

    def scaled(self, factor: float) -> "Estimate":
        """The estimate in other units (`factor` > 0)."""
        value, low, high = (None if x is None else x * factor for x in (self.value, self.ci_low, self.ci_high))
        return replace(self, value=value, ci_low=low, ci_high=high)


@dataclass(frozen=True)
class CrossedEstimate(Estimate):
    """An estimate over questions and seeds; `n` counts questions.

    Attributes:
        n_seeds: Trained models it rests on. With one, the interval is about that model and says nothing of others.
        n_values: Rows.
    """

    n_seeds: int
    n_values: int

    def row(self) -> dict[str, Any]:
        """Fields of a metrics row."""
        return super().row() | {"n_seeds": self.n_seeds, "n_values": self.n_values}


# independent units


def mean(values: Values, *, level: float = LEVEL) -> Estimate:
    """Mean with Student's t interval. Paired comparisons: pass the differences.

    mean +- t(n - 1) sd / sqrt(n).

    Wrong when: values share a question or a seed (`crossed_mean`); n is small and they are skewed, as shares near 0 are
    (`share`).

    Source: Student, Biometrika 6 (1908).

    Raises:
        ValueError: a value is missing or not finite.
    """
    x = numbers(values)
    if len(x) == 0:
        return Estimate(None, None, None, 0)
    centre = float(x.mean())
    if len(x) == 1:
        return Estimate(centre, None, None, 1)
    half = _t(len(x) - 1, level) * float(x.std(ddof=1)) / np.sqrt(len(x))
    return Estimate(centre, float(centre - half), float(centre + half), len(x))


def clustered_mean(values: Values, clusters: Labels, *, level: float = LEVEL) -> Estimate:
    """Mean over rows whose interval counts clusters (the mean of rows in a cluster is one unit).

    Rows are weighted by cluster, so a cluster with more rows does not count for more. Wrong where `mean` of the cluster
    means is.
    """
    groups: dict[Any, list[float]] = {}
    for value, cluster in zip(numbers(values), clusters, strict=True):
        groups.setdefault(cluster, []).append(float(value))
    return mean([float(np.mean(group)) for group in groups.values()], level=level)


def proportion(share: float, n: int, *, level: float = LEVEL) -> Estimate:
    """A share of n independent units with Wilson's interval, which stays inside [0, 1] and is right near its ends.

    The shares p for which |share - p| <= z sqrt(p (1 - p) / n).

    Wrong when: rows share a question or a seed (`share`). For n p below about 5 coverage saws between .90 and .99, and
    falls to .84 where n p is just below .18, since one success already puts the lower end above that.

    Source: Wilson, JASA 22 (1927); Brown, Cai and DasGupta, Statistical Science 16 (2001).

    Raises:
        ValueError: the share is not in [0, 1].
    """
    if n == 0:
        return Estimate(None, None, None, 0)
    if not -1e-12 <= share <= 1 + 1e-12:
        raise ValueError(f"a share is in [0, 1], got {share}: give a fraction, not a count or a percentage")
    low, high = _wilson(share, n, level)
    return Estimate(share, low, high, n)


# questions crossed with seeds


def crossed_mean(
    values: Values, questions: Labels, seeds: Labels | None = None, *, level: float = LEVEL
) -> CrossedEstimate:
    """Mean over questions and seeds, with an interval for new questions and new seeds.

    With Q, S and E the variance of the mean that questions, seeds and the residual are each estimated to bring,

        half^2 = max(tq^2 Q + ts^2 max(S - E, 0), ts^2 S),    tq: n_questions - 1, ts: n_seeds - 1 degrees of freedom.

    S is expected to hold E too, which Q already holds, hence S - E. With one seed, or none named, this is `mean` of the
    question means; it is never shorter than `mean` of the seed means.

    Wrong when: fewer than 5 questions are meant to stand for others; cell means are skewed, as of rare outcomes
    (`share`); cells are missing for a reason that goes with the value. With two seeds it is honest and hardly of use.

    Source: two-way random effects (Searle, Casella and McCulloch, Variance Components, 1992, ch. 4); bounds on sums of
    components as in Burdick and Graybill, Confidence Intervals on Variance Components (1992); the maximum is our own.

    Raises:
        ValueError: a value is missing or not finite; lengths differ.
    """
    return Cells.of(values, questions, seeds).mean(level)


def share(values: Values, questions: Labels, seeds: Labels | None = None, *, level: float = LEVEL) -> CrossedEstimate:
    """Share of answers, several a question and perhaps several seeds, with an interval inside [0, 1].

    Wilson's interval for the number of independent answers that would be as uncertain, at most the number of rows:
    n_eff = z^2 p (1 - p) / half^2, with half as in `crossed_mean` but

    - tq and the ts of S - E have k - 1 degrees of freedom, at least 1, where k = (sum x)^2 / sum x^2 over questions
      (seeds) and x is the share of the rarer outcome in each. A rate that two questions bring has one, whatever the
      number of questions;
    - the part of questions (seeds) is no greater than if each gave a single answer, z^2 p (1 - p) / their number.

    Where all answers agree nothing is known of how they cluster, and n_eff is the number of questions. With one answer
    a question and one seed this is `proportion`.

    Wrong when: the questions at hand are all that is meant (this is about new ones, so with eight it is wide); seeds
    with another rate are so rare that no run at hand is one.

    Source: effective n in Wilson's interval, Kott and Carr, J. Official Statistics 13 (1997); k, Kish, Survey Sampling
    (1965); their combination is our own.

    Raises:
        ValueError: a value is missing or not in [0, 1]; lengths differ.
    """
    return Cells.of(shares(values), questions, seeds).share(level)


@dataclass(frozen=True)
class Spread:
    """Variance of a mean over cells, in the parts that questions, seeds and the residual are estimated to bring.

    `questions` and `seeds` are each expected to hold `residual` too.
    """

    questions: float
    seeds: float
    residual: float

    @property
    def variance(self) -> float:
        """Of the mean, over new questions and new seeds."""
        return max(self.questions + max(self.seeds - self.residual, 0.0), self.seeds)

    def half(self, sizes: tuple[int, int], level: float) -> float | None:
        """Half the interval of `crossed_mean`; None for a single question and seed."""
        if max(sizes) == 1:
            return None
        return float(crossed_half(self.questions, self.seeds, self.residual, sizes, level))


def crossed_half(questions: Any, seeds: Any, residual: Any, sizes: tuple[int, int], level: float) -> Any:
    """Half the interval of `crossed_mean` from the parts of a `Spread`, numbers or arrays."""
    tq, ts = (_t(n - 1, level) if n > 1 else 0.0 for n in sizes)
    return np.sqrt(np.maximum(tq**2 * questions + ts**2 * np.maximum(seeds - residual, 0), ts**2 * seeds))


@dataclass(frozen=True)
class Cells:
    """Rows averaged by question and seed; a cell that has no row does not exist.

    Attributes:
        y: Mean of each cell.
        question: Which question it is of, from 0.
        seed: Which seed.
        rows: How many rows it is the mean of.
    """

    y: Float[np.ndarray, " cell"]
    question: Int[np.ndarray, " cell"]
    seed: Int[np.ndarray, " cell"]
    rows: Int[np.ndarray, " cell"]

    @classmethod
    def of(cls, values: Values, questions: Labels, seeds: Labels | None) -> "Cells":
        """The cells of rows; see `crossed_mean`."""
        x = numbers(values)
        labels = {"questions": questions} | ({} if seeds is None else {"seeds": seeds})
        for name, some in labels.items():
            if len(some) != len(x):
                raise ValueError(f"{len(x)} values but {len(some)} {name}: give one of each a row")
        question, seed = label_codes(questions), label_codes([None] * len(x) if seeds is None else seeds)
        n_seeds = int(seed.max(initial=0)) + 1
        cells, where, rows = np.unique(question * n_seeds + seed, return_inverse=True, return_counts=True)
        return cls(np.bincount(where, x, len(cells)) / rows, cells // n_seeds, cells % n_seeds, rows)

    @cached_property
    def n_questions(self) -> int:
        """Questions that have a cell."""
        return int(np.count_nonzero(np.bincount(self.question)))

    @cached_property
    def n_seeds(self) -> int:
        """Seeds that have a cell."""
        return int(np.count_nonzero(np.bincount(self.seed)))

    @property
    def effective_rows(self) -> float:
        """Rows that in a balanced table would leave the mean as uncertain: all of them if it is balanced."""
        return len(self.y) ** 2 / float((1 / self.rows).sum())

    def estimate(self, value: float | None, half: float | None) -> CrossedEstimate:
        """`value` with this n."""
        low, high = (None, None) if value is None or half is None else (value - half, value + half)
        return CrossedEstimate(value, low, high, self.n_questions, self.n_seeds, int(self.rows.sum()))

    @cached_property
    def spread(self) -> Spread:
        """Variance components, from sums of deviations (balanced: mean squares over the number of cells).

        Missing cells: the residual is that of the additive fit by least squares.
        """
        n, deviation = len(self.y), self.y - self.y.mean()
        parts = []
        for codes, size in ((self.question, self.n_questions), (self.seed, self.n_seeds)):
            total = float((np.bincount(codes, deviation) ** 2).sum()) / n**2
            parts.append(total * size / (size - 1) if size > 1 else 0.0)
        freedom = n - self.n_questions - self.n_seeds + 1
        if min(self.n_questions, self.n_seeds) == 1 or freedom < 1:
            return Spread(parts[0], parts[1], 0.0)
        left, before = deviation, np.inf
        for _ in range(1000):
            for codes in (self.question, self.seed):
                left = left - (np.bincount(codes, left) / np.maximum(np.bincount(codes), 1))[codes]
            squares = float((left**2).sum())
            if before - squares <= 1e-12 * squares:
                break
            before = squares
        return Spread(parts[0], parts[1], float((left**2).sum()) / freedom / n)

    def mean(self, level: float) -> CrossedEstimate:
        """See `crossed_mean`."""
        if len(self.y) == 0:
            return self.estimate(None, None)
        return self.estimate(float(self.y.mean()), self.spread.half((self.n_questions, self.n_seeds), level))

    def share(self, level: float) -> CrossedEstimate:
        """See `share`; `y` must be in [0, 1]."""
        plain = self.mean(level)
        if plain.value is None or plain.ci_low is None:
            return plain
        p, sizes = plain.value, (self.n_questions, self.n_seeds)
        variance = p * (1 - p)
        n = float(sizes[0] if sizes[0] > 1 else sizes[1])
        if variance > 0:
            z, spread = float(ndtri(0.5 + level / 2)), self.spread
            parts = (spread.questions, max(spread.seeds - spread.residual, 0.0))
            each = zip(parts, (self.question, self.seed), sizes, strict=True)
            half = sum(min(self._sparse_t(at, level) ** 2 * x, z**2 * variance / size) for x, at, size in each)
            half = max(half, _t(sizes[1] - 1, level) ** 2 * spread.seeds if sizes[1] > 1 else 0.0)
            n = min(z**2 * variance / half, self.effective_rows) if half > 0 else self.effective_rows
        low, high = _wilson(p, n, level)
        return replace(plain, ci_low=low, ci_high=high)

    def _sparse_t(self, codes: Int[np.ndarray, " cell"], level: float) -> float:
        """Student's quantile for as many units as the rarer outcome is spread over; 0 for a single unit."""
        counts = np.bincount(codes)
        if (counts > 0).sum() == 1:
            return 0.0
        rarer = self.y if self.y.mean() <= 0.5 else 1 - self.y
        x = np.bincount(codes, rarer)[counts > 0] / counts[counts > 0]
        return _t(max(float(x.sum() ** 2 / (x**2).sum()) - 1, 1.0), level)


# places


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive score exceeds a negative one; ties count half."""
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def percentile(value: float, nulls: np.ndarray) -> float:
    """Percentile (0-100) of `value` among nulls; ties count half."""
    below, equal = float((nulls < value).sum()), float((nulls == value).sum())
    return 100 * (below + equal / 2) / len(nulls)


def numbers(values: Values, dimensions: tuple[int, ...] = (1,)) -> Float[np.ndarray, "..."]:
    """Values as float64, none of them missing.

    Raises:
        ValueError: a value is None, not a number or infinite; says how many.
    """
    x = np.asarray(values)
    if x.dtype.kind not in "biuf":
        wrong = {type(v).__name__ for v in x.ravel().tolist() if not isinstance(v, int | float | np.number | None)}
        if wrong:
            raise ValueError(f"values must be numbers, got {', '.join(sorted(wrong))}")
    x = x.astype(np.float64)
    if x.ndim not in dimensions:
        raise ValueError(f"values have shape {x.shape}: give {' or '.join(map(str, dimensions))} dimensions")
    bad = int((~np.isfinite(x)).sum())
    if bad:
        raise ValueError(
            f"{bad} of {x.size} values are missing or not finite (None, NaN, infinite): drop them and report how many"
        )
    return x


def shares(values: Values) -> Float[np.ndarray, " row"]:
    """`numbers` that are all in [0, 1].

    Raises:
        ValueError: one is missing or outside.
    """
    x = numbers(values)
    outside = x[(x < 0) | (x > 1)]
    if len(outside):
        raise ValueError(f"shares are of values in [0, 1], got {outside[0]:g}: give booleans or fractions")
    return x


def distinct(labels: Labels | None) -> list[Any]:
    """Labels without repetition, in order of appearance; None stands for a single one."""
    if labels is None:
        return [None]
    return list(dict.fromkeys(labels.tolist() if isinstance(labels, np.ndarray) else labels))


def label_codes(labels: Labels) -> Int[np.ndarray, " row"]:
    """The place of each label among the distinct ones."""
    known = {label: i for i, label in enumerate(distinct(labels))}
    rows = labels.tolist() if isinstance(labels, np.ndarray) else labels
    return np.array([known[label] for label in rows], dtype=np.int64)


def _t(freedom: int | float, level: float) -> float:
    return float(stdtrit(freedom, 0.5 + level / 2))


def _wilson(p: float, n: int | float, level: float) -> tuple[float, float]:
    z = float(ndtri(0.5 + level / 2))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(max(p * (1 - p), 0.0) / n + z**2 / (4 * n**2)))
    return max(0.0, centre - half), min(1.0, centre + half)

"""What is learnt by drawing again: bootstrap intervals for any statistic, and permutation tests.

For means and shares the intervals of `interp.stats` are better and quicker; the bootstrap is for what has no formula.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from scipy import stats

from interp.stats import LEVEL, Cells, CrossedEstimate, Estimate, Labels, Spread, Values, label_codes, numbers


def bootstrap(
    units: Values,
    statistic: Callable[[np.ndarray], float],
    *,
    method: Literal["BCa", "percentile"] = "BCa",
    resamples: int = 2000,
    seed: int = 0,
    level: float = LEVEL,
) -> Estimate:
    """Any statistic of independent units, with a bootstrap interval.

    Units are drawn with replacement, and the interval is between quantiles of the statistic over the draws; BCa moves
    them for bias and skewness.

        judged = np.column_stack([scores, labels])
        bootstrap(judged, lambda x: auroc(x[x[:, 1] == 1, 0], x[x[:, 1] == 0, 0]))

    Wrong when: units share a question or a seed (`crossed_bootstrap`); units are few, for nothing makes up for that as
    t does (.91 for the mean of 20 exponentials, .93 for 50); the statistic is an extreme, or the share of a rare
    outcome. Where it does not vary, or is undefined in some draw, the ends are None: that is no evidence of certainty.

    Args:
        units: One entry a unit; a matrix has one row a unit.
        statistic: From such an array to a number.

    Source: Efron, JASA 82 (1987); `scipy.stats.bootstrap`.

    Raises:
        ValueError: a value is missing or not finite.
    """
    x = numbers(units, dimensions=(1, 2))
    if len(x) == 0:
        return Estimate(None, None, None, 0)
    value, n = float(statistic(x)), len(x)
    if n == 1 or not np.isfinite(value):
        return Estimate(value if np.isfinite(value) else None, None, None, n)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(n),),
            lambda drawn: float(statistic(x[drawn])),
            n_resamples=resamples,
            confidence_level=level,
            method=method,
            vectorized=False,
            rng=np.random.default_rng(seed),
        )
    low, high = map(float, found.confidence_interval)
    if np.isfinite([low, high]).all() and low < high:
        return Estimate(value, low, high, n)
    return Estimate(value, None, None, n)


def crossed_bootstrap(
    rows: Values,
    questions: Labels,
    seeds: Labels | None,
    statistic: Callable[[np.ndarray], float],
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> CrossedEstimate:
    """Any statistic of rows that share questions and seeds, with an interval for new questions and new seeds.

    Questions are drawn with replacement, then seeds, then both; a draw takes all rows of what it drew. Variances over
    the draws, with n / (n - 1) for the few units, stand for Q, S and E in the interval of `crossed_mean`.

    Wrong when: the statistic is skewed or near a bound (take its logit or Fisher's z, and turn the ends back).
    Quantiles of the draws are not offered: with 3 seeds they cover as little as .77. Undefined in a draw: no ends.

    Args:
        rows: One entry a row, or a matrix with one row a row.
        statistic: From such an array to a number.

    Source: Owen, Annals of Applied Statistics 1 (2007) 386, the pigeonhole bootstrap.

    Raises:
        ValueError: a value is missing or not finite; lengths differ.
    """
    x = numbers(rows, dimensions=(1, 2))
    cells = Cells.of(np.zeros(len(x)), questions, seeds)
    value = float(statistic(x)) if len(x) else np.nan
    if not np.isfinite(value):
        return cells.estimate(None, None)
    codes = (label_codes(questions), label_codes([None] * len(x) if seeds is None else seeds))
    sizes = (cells.n_questions, cells.n_seeds)
    draw = np.random.default_rng(seed)

    def variance(*factors: int) -> float:
        found = []
        for _ in range(resamples):
            times = np.ones(len(x), dtype=np.int64)
            for factor in factors:
                times *= draw.multinomial(sizes[factor], np.full(sizes[factor], 1 / sizes[factor]))[codes[factor]]
            found.append(float(statistic(np.repeat(x, times, axis=0))) if times.any() else np.nan)
        return float(np.var(found, ddof=1))

    of_questions, of_seeds = (variance(factor) if sizes[factor] > 1 else 0.0 for factor in (0, 1))
    residual = max(variance(0, 1) - of_questions - of_seeds, 0.0) if min(sizes) > 1 else 0.0
    spread = Spread(
        of_questions * sizes[0] / max(sizes[0] - 1, 1),
        of_seeds * sizes[1] / max(sizes[1] - 1, 1),
        residual * len(cells.y) / max((sizes[0] - 1) * (sizes[1] - 1), 1),
    )
    half = spread.half(sizes, level)
    return cells.estimate(value, half if half and np.isfinite(half) else None)


@dataclass(frozen=True)
class Permutation:
    """A permutation test.

    Attributes:
        p: Two-sided; None with fewer than two units in a sample.
        effect: The mean (difference) that was observed.
        n: Units that were permuted.
        exact: All arrangements were looked at; otherwise a seeded sample of them, with the observed one added.
        arrangements: How many.
    """

    p: float | None
    effect: float | None
    n: int
    exact: bool
    arrangements: int


def sign_flip(differences: Values, *, resamples: int = 9999, seed: int = 0) -> Permutation:
    """Do paired differences favour a side? All signs are as likely if the arms are exchangeable within a pair.

    p is twice the share of sign patterns with a mean at least as far out on the observed side, at most 1. With n pairs
    it cannot be below 2^(1 - n): 1/4 for three, 1/16 for five.

    Wrong when: differences share a question or a seed: give one for each question and the test is about the seeds at
    hand, or one for each seed. Differences of spread alone also break exchangeability.

    Source: Fisher, The Design of Experiments (1935) ch. 3; +1 for sampled patterns, Phipson and Smyth, SAGMB 9 (2010);
    `scipy.stats.permutation_test`.

    Raises:
        ValueError: a value is missing or not finite.
    """
    x = numbers(differences)
    if len(x) == 0:
        return Permutation(None, None, 0, True, 0)
    return _permutation((x,), lambda d, axis: d.mean(axis=axis), "samples", 2 ** len(x), resamples, seed)


def label_permutation(a: Values, b: Values, *, resamples: int = 9999, seed: int = 0) -> Permutation:
    """Do two independent samples differ in their means? Every way of dealing the labels is as likely if they do not.

    p is twice the share of deals whose mean(a) - mean(b) is at least as far out on the observed side, at most 1.

    Wrong when: units share a question or a seed (give means of questions or seeds); both samples are of the same
    questions (`sign_flip`); the null is equal means with unequal spreads and sizes.

    Source: as `sign_flip`.

    Raises:
        ValueError: a value is missing or not finite.
    """
    x, y = numbers(a), numbers(b)
    if len(x) == 0 or len(y) == 0:
        return Permutation(None, None, len(x) + len(y), True, 0)

    def difference(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray | np.floating:
        return first.mean(axis=axis) - second.mean(axis=axis)

    return _permutation((x, y), difference, "independent", comb(len(x) + len(y), len(x)), resamples, seed)


def _permutation(
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray | np.floating],
    kind: Literal["samples", "independent"],
    arrangements: int,
    resamples: int,
    seed: int,
) -> Permutation:
    n, exact = sum(map(len, data)), arrangements <= resamples
    if min(map(len, data)) == 1:
        return Permutation(None, float(statistic(*data, axis=-1)), n, exact, 0)
    found = stats.permutation_test(
        data,
        statistic,
        permutation_type=kind,
        n_resamples=resamples,
        vectorized=True,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return Permutation(float(found.pvalue), float(found.statistic), n, exact, arrangements if exact else resamples + 1)

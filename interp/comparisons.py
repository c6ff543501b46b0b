"""Arms beside each other: paired differences, "no effect" as a finding, and many tests at once.

1. A difference is taken question by question (and seed by seed) before it is averaged, so that what arms share cancels.
2. A verdict names a margin, the smallest effect that would matter. Without one, "not significant" is not "no effect".
3. Tests that are reported together are adjusted together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.stats import false_discovery_control

from interp.stats import LEVEL, Cells, CrossedEstimate, Estimate, Labels, Values, distinct, numbers, shares


class Arm(NamedTuple):
    """The rows of one arm: a value, its question, and the seed of the model that it comes from (None: one model)."""

    values: Values
    questions: Labels
    seeds: Labels | None = None


@dataclass(frozen=True)
class Difference(CrossedEstimate):
    """One arm minus another; `n`, `n_seeds` and `n_values` count what both arms have.

    Attributes:
        unmatched: Cells (a question under a seed) that one arm alone has, left out.
    """

    unmatched: int

    def row(self) -> dict[str, Any]:
        """Fields of a metrics row."""
        return super().row() | {"unmatched": self.unmatched}


def paired_difference(a: Arm, b: Arm, *, level: float = LEVEL) -> Difference:
    """Mean of `a` minus mean of `b` on the questions (and seeds) that both have: `crossed_mean` of cell differences.

    Wrong where `crossed_mean` is; shares belong in `share_difference`, since agreement everywhere is not certainty.
    Arms whose seeds share nothing may be paired by seed; it costs degrees of freedom.

    Raises:
        ValueError: a value is missing or not finite; lengths differ; one arm names seeds and the other does not.
    """
    _, _, apart, unmatched = _matched(a, b)
    return _difference(apart.mean(level), unmatched)


def share_difference(a: Arm, b: Arm, *, level: float = LEVEL) -> Difference:
    """Share in `a` minus share in `b` on the questions (and seeds) that both have, with an interval inside [-1, 1].

    The two `share` intervals, put together for correlated estimates:

        low = d - sqrt(u^2 - 2 r u v + v^2),    u = p_a - low_a,    v = high_b - p_b,    and its mirror image for high.

    r is the correlation of the two shares, by the variances of a, b and a - b; the last is no less than one more
    answer of each kind of disagreement would make it, so that arms without any still have an interval.

    Wrong where `share` is.

    Source: Newcombe, Statistics in Medicine 17 (1998) 2635, method 10; Zou and Donner, ibid. 27 (2008) 1693, for any
    intervals; one more of each disagreement, Bonett and Price, J. Educ. Behav. Statistics 37 (2012) 479.

    Raises:
        ValueError: a value is missing or not in [0, 1]; lengths differ; one arm names seeds and the other does not.
    """
    first, second, apart, unmatched = _matched(*(arm._replace(values=shares(arm.values)) for arm in (a, b)))
    p_a, p_b, d = first.share(level), second.share(level), apart.mean(level)
    if d.value is None or d.ci_low is None:
        return _difference(d, unmatched)
    (below_a, above_a), (below_b, above_b) = _reach(p_a), _reach(p_b)
    rows = min(first.effective_rows, second.effective_rows)
    v_a, v_b = first.spread.variance, second.spread.variance
    v = max(apart.spread.variance, 2 / (rows + 2) ** 2)
    r = float(np.clip((v_a + v_b - v) / (2 * np.sqrt(v_a * v_b)), -1, 1)) if v_a * v_b > 0 else 0.0
    below, above = _correlated(below_a, above_b, r), _correlated(above_a, below_b, r)
    return _difference(replace(d, ci_low=max(d.value - below, -1.0), ci_high=min(d.value + above, 1.0)), unmatched)


def _reach(estimate: Estimate) -> tuple[float, float]:
    assert estimate.value is not None
    assert estimate.ci_low is not None
    assert estimate.ci_high is not None
    return estimate.value - estimate.ci_low, estimate.ci_high - estimate.value


def _correlated(u: float, v: float, r: float) -> float:
    return float(np.sqrt(max(u**2 - 2 * r * u * v + v**2, 0.0)))


def _difference(estimate: CrossedEstimate, unmatched: int) -> Difference:
    return Difference(**vars(estimate), unmatched=unmatched)


def _matched(a: Arm, b: Arm) -> tuple[Cells, Cells, Cells, int]:
    """Cells that both arms have, in the same order; those of their difference; how many have no partner."""
    if (a.seeds is None) != (b.seeds is None):
        raise ValueError("one arm names seeds and the other does not: name them in both or in neither")
    both = [Cells.of(*arm) for arm in (a, b)]
    keys = []
    for arm, cells in zip((a, b), both, strict=True):
        questions, seeds = distinct(arm.questions), distinct(arm.seeds)
        pairs = zip(cells.question.tolist(), cells.seed.tolist(), strict=True)
        keys.append({(questions[q], seeds[s]): i for i, (q, s) in enumerate(pairs)})
    shared = [key for key in keys[0] if key in keys[1]]
    at_a, at_b = (np.array([known[key] for key in shared], dtype=np.int64) for known in keys)
    first = Cells(both[0].y[at_a], both[0].question[at_a], both[0].seed[at_a], both[0].rows[at_a])
    second = replace(first, y=both[1].y[at_b], rows=both[1].rows[at_b])
    apart = replace(first, y=first.y - second.y, rows=first.rows + second.rows)
    return first, second, apart, len(keys[0]) + len(keys[1]) - 2 * len(shared)


# verdicts

Verdict = Literal["different", "equivalent", "undecided"]


@dataclass(frozen=True)
class Equivalence:
    """Whether an effect is there, is too small to matter, or cannot be told.

    Attributes:
        verdict: Equivalent if p_equivalent < alpha, else different if p_different < alpha, else undecided. An effect
            that is there but surely within the margin is "equivalent", with the p that says it is there beside it.
        estimate: The effect with its interval.
        margin: Smallest distance from `reference` that would matter, in the effect's units.
        reference: What "no effect" is.
        p_different: Two-sided, against the reference; None if there is no interval, or one of no width.
        p_equivalent: The larger of two one-sided p, against each end of the margin; None likewise.
        alpha: Level of each.
        n: Units.
    """

    verdict: Verdict
    estimate: Estimate
    margin: float
    reference: float
    p_different: float | None
    p_equivalent: float | None
    alpha: float
    n: int


def equivalence(
    interval: Callable[[float], Estimate], margin: int | float, *, reference: int | float = 0.0, alpha: float = 0.05
) -> Equivalence:
    """Is the effect different from `reference`, or equivalent to it within `margin`? Two one-sided tests.

    p-values are those of the interval itself: p_different is the least alpha at which the interval of level 1 - alpha
    leaves the reference out, p_equivalent the least at which that of level 1 - 2 alpha lies inside the margin. So the
    verdict never disagrees with the interval beside it, whichever it is:

        equivalence(lambda level: share_difference(sgtr, benign, level=level), margin=0.05)
        equivalence(lambda level: crossed_mean(shifts, questions, seeds, level=level), margin=0.1)

    With `mean` this is the t test and Schuirmann's test.

    Wrong when: the margin was chosen after the effect was seen; the interval is wrong.

    Source: Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987) 657; Lakens, SPPS 8 (2017) 355.

    Args:
        interval: From a level to the estimate with its interval of that level.

    Raises:
        ValueError: the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin}: state the smallest effect that would matter")
    estimate = interval(1 - alpha)
    facts = (estimate, float(margin), float(reference))
    if estimate.ci_low is None or estimate.ci_high is None or estimate.ci_low >= estimate.ci_high:
        return Equivalence("undecided", *facts, None, None, alpha, estimate.n)

    def ends(level: float) -> tuple[float, float]:
        """Of the interval; in the wrong order for levels below 0, where a one-sided p is above one half."""
        found = interval(max(abs(level), 1e-9))
        assert found.ci_low is not None
        assert found.ci_high is not None
        return (found.ci_low, found.ci_high) if level >= 0 else (found.ci_high, found.ci_low)

    def outside(a: float) -> float:
        low, high = ends(1 - a)
        return max(low - reference, reference - high)

    def inside(a: float) -> float:
        low, high = ends(1 - 2 * a)
        return min(low - (reference - margin), reference + margin - high)

    different, equivalent = _least_alpha(outside), _least_alpha(inside)
    verdict = "equivalent" if equivalent < alpha else "different" if different < alpha else "undecided"
    return Equivalence(verdict, *facts, different, equivalent, alpha, estimate.n)


def _least_alpha(gap: Callable[[float], float]) -> float:
    """Where `gap`, which rises with alpha, passes 0; within [1e-12, 1]."""
    low, high = np.log(1e-12), np.log(1 - 1e-9)
    if gap(float(np.exp(low))) >= 0:
        return 1e-12
    if gap(float(np.exp(high))) <= 0:
        return 1.0
    return float(np.exp(root_scalar(lambda x: gap(float(np.exp(x))), bracket=(low, high), xtol=1e-10).root))


# many tests


def holm(p: Values) -> list[float]:
    """p-values adjusted so that the chance of any false finding stays below alpha, however the tests depend.

    In ascending order, p_(i) becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1.

    Wrong when: tests that were run are left out, or one hypothesis's p was picked from several.

    Source: Holm, Scandinavian J. Statistics 6 (1979) 65.

    Raises:
        ValueError: a p is missing or not in [0, 1].
    """
    x = _p_values(p)
    order = np.argsort(x, kind="stable")
    adjusted = np.empty(len(x))
    adjusted[order] = np.minimum(np.maximum.accumulate(x[order] * np.arange(len(x), 0, -1)), 1.0)
    return adjusted.tolist()


def benjamini_hochberg(p: Values) -> list[float]:
    """p-values adjusted so that false findings are expected to be at most a share alpha of all findings.

    In ascending order, p_(i) becomes the smallest of m p_(j) / j over j >= i.

    Wrong when: tests are negatively dependent; a single false finding would matter (`holm`); tests are left out.

    Source: Benjamini and Hochberg, JRSS B 57 (1995) 289; `scipy.stats.false_discovery_control`.

    Raises:
        ValueError: a p is missing or not in [0, 1].
    """
    x = _p_values(p)
    return false_discovery_control(x).tolist() if len(x) else []


def _p_values(p: Values) -> Float[np.ndarray, " test"]:
    x = numbers(p)
    outside = x[(x < 0) | (x > 1)]
    if len(outside):
        raise ValueError(f"p-values are in [0, 1], got {outside[0]:g}")
    return x

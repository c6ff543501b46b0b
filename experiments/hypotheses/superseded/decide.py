"""From what the units of a hypothesis show to a verdict: two one-sided tests, adjusted over all hypotheses.

1. The effect is the mean over units, with Student's interval. `p` is for an effect above 0; where there are nulls, it
   is the larger of that and of the chance of lying so far out among the nulls. `p_against` is for an effect below the
   smallest one of interest.
2. Holm's adjustment is made over all hypotheses that could be tested, of each kind of p apart.
3. *Supported*: adjusted `p` is at most .025. *Contradicted*: adjusted `p_against` is, also where the effect is above 0,
   since it is then too small to matter. *Undecided*: neither.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from experiments.hypotheses.superseded.units import Seen
from interp import stats
from interp.comparisons import holm
from interp.rows import MetricRow
from interp.stats import Estimate

Row = dict[str, Any]
ALPHA = 0.025
FEWEST_UNITS = 3
PERMUTATIONS = 9999


@dataclass(frozen=True)
class Finding:
    """What a hypothesis rests on.

    Attributes:
        estimate: The effect; n counts units.
        n_seeds: Training seeds among them; None if that is not said.
        p: One-sided, that there is no effect above 0; None if it could not be tested, and then so is `p_against`.
        p_against: One-sided, that the effect is at least the smallest one of interest.
        used: Rows, by line.
        left_out: What could not be used, and why.
        why: Why it could not be tested, if so.
        notes: What the reader should know beside the numbers.
        null_floor: The least that `p` can be with so many nulls.
    """

    estimate: Estimate
    n_seeds: int | None
    p: float | None
    p_against: float | None
    used: list[MetricRow]
    left_out: list[str]
    why: str = ""
    notes: tuple[str, ...] = ()
    null_floor: float = 0.0


def rueger(p: Sequence[float]) -> float:
    """One p from K that may depend on each other in any way: the k-th smallest times K / k, k being half of K.

    It is small only if at least half of them are. Wrong when: the p are not each valid by themselves.

    Source: Rueger, Metrika 25 (1978) 171.

    Raises:
        ValueError: there are none, or one is not in [0, 1].
    """
    x = np.sort(stats.shares(p))
    if not len(x):
        raise ValueError("p holds no values, so there is nothing to combine")
    k = math.ceil(len(x) / 2)
    return min(1.0, float(x[k - 1]) * len(x) / k)


def mean_finding(seen: Seen, smallest: float) -> Finding:
    """Tests of the mean over units: Student's t, and what nulls say where units were held beside them."""
    values = list(seen.values.values())
    seeds = len(_seeds(seen))
    estimate = stats.mean(values) if values else Estimate(None, None, None, 0)
    notes = tuple(
        f"{name}: {stats.mean(some).value:.3g} (n = {len(some)})" for name, some in sorted(seen.parts.items())
    )
    if seeds < len(values):  # units of one seed may share a stage, and units of one EM set do share its data
        each = [[value for unit, value in seen.values.items() if unit[-1] == seed] for seed in _seeds(seen)]
        alone = stats.mean([float(np.mean(some)) for some in each])
        interval = "" if alone.ci_low is None else f" [{alone.ci_low:.3g}, {alone.ci_high:.3g}]"
        notes += (f"over seeds alone: {alone.value:.3g}{interval} (n = {alone.n})",)
    facts = (seen.used, seen.left_out)
    if len(values) < FEWEST_UNITS:
        few = f"too few units: {len(values)}, and a test takes {FEWEST_UNITS}"
        nothing = f"not measured: {seen.missing or '; '.join(seen.left_out[:3]) or 'no unit'}"
        return Finding(estimate, seeds, None, None, *facts, few if values else nothing, notes)
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    if spread <= 1e-12 * max(map(abs, values)):
        return Finding(estimate, seeds, None, None, *facts, "all units have the same value, so no t test", notes)
    error, freedom = spread / math.sqrt(len(values)), len(values) - 1
    p, against = float(student.sf(mean / error, freedom)), float(student.cdf((mean - smallest) / error, freedom))
    chances = [p for look in seen.looks for p in look.chances]
    floors = [p for look in seen.looks for p in look.floors]
    if not chances:
        return Finding(estimate, seeds, p, against, *facts, "", notes)
    beside = rueger(chances)
    notes = (f"p of the t test {p:.2g}, of its place among nulls {beside:.2g}", *notes)
    return Finding(estimate, seeds, max(p, beside), against, *facts, "", notes, rueger(floors))


def _seeds(seen: Seen) -> list[Any]:
    return list(dict.fromkeys(unit[-1] for unit in seen.values))


def beside_controls(found: Finding, controls: Sequence[float], smallest: float) -> Finding:
    """The same, no surer than a few random controls allow: is the direction another draw of what they are draws of?

    All units share the direction and the controls, so what the controls' mean is off by is no error between units. The
    direction's mean over units is held against the controls' means, as Student's prediction of one more of them.

    Args:
        controls: Mean over units of each control's share.
    """
    if found.p is None or found.p_against is None or found.estimate.value is None:
        return found
    n = len(controls)
    if n < 2:
        return replace(found, p=None, p_against=None, why=f"{n} random controls, and a comparison takes 2")
    spread, freedom = float(np.std(controls, ddof=1)) * math.sqrt(1 + 1 / n), n - 1
    if not spread:
        return replace(found, p=None, p_against=None, why="the random controls are all alike, so no comparison")
    p = float(student.sf(found.estimate.value / spread, freedom))
    against = float(student.cdf((found.estimate.value - smallest) / spread, freedom))
    note = f"p over units {found.p:.2g}, of one more of {n} random controls {p:.2g}"
    return replace(found, p=max(found.p, p), p_against=max(found.p_against, against), notes=(note, *found.notes))


def correlation_finding(
    estimate: Estimate,
    smallest: float,
    used: list[MetricRow],
    left_out: list[str],
    *,
    p: float | None = None,
    least: float = 0.0,
    n_seeds: int | None = None,
    null_floor: float = 0.0,
) -> Finding:
    """Tests of a correlation by its own interval, on Fisher's scale.

    Args:
        p: Instead of the interval's, for a correlation above 0.
        least: A p from nulls, which the result is not below.
    """
    facts = (used, left_out)
    r, low, high = estimate.value, estimate.ci_low, estimate.ci_high
    if r is None:
        why = f"not measured: {'; '.join(left_out[:3]) or 'a correlation takes 4 units that vary'}"
        return Finding(estimate, n_seeds, None, None, *facts, why)
    if low is None or high is None:
        return Finding(estimate, n_seeds, None, None, *facts, f"the correlation ({r:.2g}) has no interval, so no test")
    error = (math.atanh(high) - math.atanh(low)) / (2 * float(norm.ppf(0.5 + stats.LEVEL / 2)))
    z = math.atanh(max(-0.999, min(0.999, r)))
    p = float(norm.sf(z / error)) if p is None else p
    against = float(norm.cdf((z - math.atanh(smallest)) / error))
    return Finding(estimate, n_seeds, max(p, least), against, *facts, null_floor=null_floor)


def grouped_correlation(
    x: Sequence[float], y: Sequence[float], groups: Sequence[Any], *, seed: int
) -> tuple[Estimate, float | None]:
    """Spearman's correlation within groups, with Fisher's interval, and its one-sided p.

    Values are ranked within their group and taken about its mean, so that what groups differ by counts for nothing; the
    interval has one degree of freedom less for every group but the first. `p` is how often the correlation is as high
    if `x` is shuffled within groups. Undefined where a side does not vary.
    """
    of = np.unique([str(group) for group in groups], return_inverse=True)[1]
    first, second = (_ranks_within(np.asarray(side, dtype=float), of) for side in (x, y))
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    if not length:
        return Estimate(None, None, None, len(of)), None
    r, left = round(float(first @ second) / length, 9), len(of) - int(of.max()) - 3
    low = high = None
    if left > 0:
        error = float(norm.ppf(0.5 + stats.LEVEL / 2)) / math.sqrt(left)
        z = math.atanh(max(-0.999, min(0.999, r)))  # at 1 Fisher's interval has no width
        low, high = (math.tanh(z + side * error) for side in (-1, 1))
    rng = np.random.default_rng(seed)
    order = np.argsort(of, kind="stable")
    drawn = np.lexsort((rng.random((PERMUTATIONS, len(of))), np.broadcast_to(of, (PERMUTATIONS, len(of)))), axis=1)
    shuffled = np.empty((PERMUTATIONS, len(of)))
    shuffled[:, order] = first[drawn]
    p = float((1 + (shuffled @ second >= first @ second - 1e-9).sum()) / (1 + PERMUTATIONS))
    return Estimate(r, low, high, len(of)), p


def _ranks_within(values: Float[np.ndarray, " n"], of: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    ranks = np.zeros(len(values))
    for group in np.unique(of):
        ranks[of == group] = rankdata(values[of == group])
        ranks[of == group] -= ranks[of == group].mean()
    return ranks


def decided(findings: Sequence[tuple[Finding, float]]) -> list[Row]:
    """Verdict, p-values and reason of every finding, in order, each with its smallest effect of interest."""
    at = [i for i, (found, _) in enumerate(findings) if found.p is not None]
    adjusted, against = (
        dict(zip(at, holm([getattr(findings[i][0], name) for i in at]), strict=True)) for name in ("p", "p_against")
    )
    return [_decision(*pair, adjusted.get(i), against.get(i), len(at)) for i, pair in enumerate(findings)]


def _decision(found: Finding, smallest: float, p: float | None, against: float | None, n_tests: int) -> Row:
    verdict = "undecided"
    if p is None or against is None:
        why = found.why
    elif against <= ALPHA:
        verdict = "contradicted"
        there = "there is an effect, but it is too small to matter: " if p <= ALPHA else ""
        why = f"{there}surely below {smallest:.3g} (adjusted p {against:.2g})"
    elif p <= ALPHA:
        verdict = "supported"
        why = f"surely above 0 (adjusted p {p:.2g}; adjusted p that it is below {smallest:.3g}: {against:.2g})"
    else:
        why = f"neither surely above 0 (adjusted p {p:.2g}) nor surely below {smallest:.3g} (adjusted p {against:.2g})"
        if found.null_floor * n_tests > ALPHA:
            why += (
                f"; with so few nulls p is at least {found.null_floor:.2g} however far out the effect lies, and "
                f"{n_tests} tests are adjusted for"
            )
    return {
        "verdict": verdict,
        "p": found.p,
        "p_adjusted": p,
        "p_against": found.p_against,
        "p_against_adjusted": against,
        "why": ". ".join([why, *found.notes]),
    }

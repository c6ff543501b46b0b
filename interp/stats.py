"""Estimates that never travel without their interval and n.

Intervals are over the independent units the caller names (questions, articles), never over the rows that share one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: The estimate; None if it is undefined.
        ci_low: Lower end of the 95 % interval; None if n is too small for one.
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
        return Estimate(value, low, high, self.n)


def mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean with Student's t interval. Paired comparisons: pass the differences."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return Estimate(None, None, None, 0)
    centre = float(x.mean())
    if len(x) == 1:
        return Estimate(centre, None, None, 1)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return Estimate(centre, centre - half, centre + half, len(x))


def clustered_mean(values: Sequence[float] | np.ndarray, clusters: Sequence[Any]) -> Estimate:
    """Mean over rows whose interval counts clusters (the mean of rows in a cluster is one unit).

    Rows are weighted by cluster, so a cluster with more rows does not count for more.
    """
    groups: dict[Any, list[float]] = {}
    for value, cluster in zip(np.asarray(values, dtype=np.float64), clusters, strict=True):
        groups.setdefault(cluster, []).append(float(value))
    return mean([float(np.mean(group)) for group in groups.values()])


def proportion(share: float, n: int) -> Estimate:
    """A share of n independent units with Wilson's interval, which stays inside [0, 1] and is right near its ends."""
    if n == 0:
        return Estimate(None, None, None, 0)
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive score exceeds a negative one; ties count half."""
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def percentile(value: float, nulls: np.ndarray) -> float:
    """Percentile (0-100) of `value` among nulls; ties count half."""
    below, equal = float((nulls < value).sum()), float((nulls == value).sum())
    return 100 * (below + equal / 2) / len(nulls)

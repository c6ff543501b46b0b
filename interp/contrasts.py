"""Contrasts between arms over families and questions: intervals, ratios and tests in which the family is the unit.

A family is a data set with what belongs to it (its benign twin, what is trained before or after it). The same questions
are put to all of them, so families and questions are crossed, and both count: another family and another question would
each have given another number. Seeds are averaged before anything is computed.

1. A contrast is an array over directions, families and questions, with NaN where a cell is missing. Its estimate is the
   mean of the families' means. Directions are re-makings of one direction (other rollouts, the same recipe); a contrast
   that has no direction has one entry there.
2. A ratio has a yardstick as its denominator. It is never divided before testing: that the ratio is above `theta` is
   tested as numerator - theta * yardstick > 0, so the yardstick's own error is in every interval (Fieller).
3. The variance has a part from questions, one from families, one from the yardstick's units and one from directions.
   The quantile is Student's with Satterthwaite's degrees of freedom.
4. Beside it stands the exact sign-flip test over families, whose p is at least 2 ** -n for n families.

Every p is one-sided. `tests/bench/planted_claims.py` measures how often these rules err at 6 to 10 families.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import stdtr

from interp.stats import LEVEL, Estimate

MOST_EXACT = 14
"""Families up to which every pattern of signs is looked at; beyond, patterns are drawn."""
DRAWN_PATTERNS = 16383
FURTHEST = 64.0
"""An end of an interval that lies further out than this many times the estimate's own size is called unbounded."""


@dataclass(frozen=True)
class Pivot:
    """Numerator minus theta times yardstick, with its standard error.

    Attributes:
        value: Above 0 where the ratio seems to be above theta.
        error: Standard error over families, questions, the yardstick's units and directions.
        freedom: Satterthwaite's degrees of freedom.
        by_family: The same value for each family, over all questions and directions.
    """

    value: float
    error: float
    freedom: float
    by_family: Float[np.ndarray, " family"]

    def p_above(self) -> float:
        """One-sided p that the value is not above 0, by Student's t: families, questions, units and directions vary."""
        return _upper_tail(self.value, self.error, self.freedom)

    def p_below(self) -> float:
        """One-sided p that the value is not below 0."""
        return _upper_tail(-self.value, self.error, self.freedom)


@dataclass(frozen=True)
class Contrast:
    """A difference between arms, perhaps as a multiple of a yardstick.

    Attributes:
        values: The difference, seeds averaged; NaN where a cell is missing.
        yardstick: What is one unit, over the directions and questions of `values`; None for a difference in its own
            units.
        paired: The yardstick's units are the families of `values`, in the same order. Otherwise they are independent
            of them, as positive controls are.

    Raises:
        ValueError: shapes do not fit, or no family or no unit of the yardstick has a value.
    """

    values: Float[np.ndarray, "direction family question"]
    yardstick: Float[np.ndarray, "_ unit _"] | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        for side in (self.values, self.yardstick):
            if side is not None and np.isnan(side).all():
                raise ValueError(f"no value among {side.shape}: nothing was measured of an arm of this contrast")
        if self.yardstick is not None:
            if self.yardstick.shape[::2] != self.values.shape[::2]:
                raise ValueError(
                    f"the yardstick has shape {self.yardstick.shape}, the values {self.values.shape}: directions and "
                    "questions must be the same"
                )
            if self.paired and self.yardstick.shape != self.values.shape:
                raise ValueError(
                    f"a paired yardstick has the families of the values, got {self.yardstick.shape[1]} units for "
                    f"{self.values.shape[1]} families"
                )

    @property
    def n_families(self) -> int:
        """Families that have a value."""
        return int((~np.isnan(self._table)).any(1).sum())

    @property
    def n_questions(self) -> int:
        """Questions that have a value."""
        return int((~np.isnan(self._table)).any(0).sum())

    @cached_property
    def _table(self) -> Float[np.ndarray, "family question"]:
        table = mean(self.values, 0)
        if self.paired and self.yardstick is not None:
            return np.where(np.isnan(mean(self.yardstick, 0)), np.nan, table)
        return table

    @cached_property
    def _unit_table(self) -> Float[np.ndarray, "unit question"]:
        assert self.yardstick is not None
        return mean(self.yardstick, 0)

    def by_family(self) -> Float[np.ndarray, " family"]:
        """Each family's mean difference, in the values' own units; NaN where it has none."""
        return mean(self._table, 1)

    def raw(self) -> float:
        """The mean difference over families, in the values' own units."""
        return float(mean(self.by_family(), 0))

    def unit(self) -> float | None:
        """What one unit of the yardstick is worth; None without a yardstick."""
        return None if self.yardstick is None else float(mean(mean(self._unit_table, 1), 0))

    def estimate(self) -> float:
        """The mean difference, as a multiple of the yardstick where there is one."""
        unit = self.unit()
        return self.raw() if unit is None else self.raw() / unit if unit else math.nan

    def pivot(self, theta: float) -> Pivot:
        """How far the contrast lies above `theta`."""
        table, parts = self._table, []
        if self.yardstick is None:
            table = table - theta
        elif self.paired:
            table = table - theta * self._unit_table
        else:
            table = table - theta * self._unit_by_question
            units = mean(self._unit_table, 1)
            units = units[~np.isnan(units)]
            if len(units) > 1:
                parts.append((theta**2 * float(units.var(ddof=1)) / len(units), len(units) - 1))
        value, by_family, crossed = _crossed(table)
        parts += crossed
        along = self._by_direction(theta)
        if len(along) > 1:
            parts.append((float(along.var(ddof=1)) / len(along), len(along) - 1))
        variance = math.fsum(part for part, _ in parts)
        weight = math.fsum(part**2 / freedom for part, freedom in parts)
        freedom = variance**2 / weight if weight > 0 else 1.0
        return Pivot(value, math.sqrt(variance), freedom, by_family)

    @cached_property
    def _unit_by_question(self) -> Float[np.ndarray, " question"]:
        return mean(self._unit_table, 0)

    @cached_property
    def _along(self) -> tuple[Float[np.ndarray, " direction"], Float[np.ndarray, " direction"] | None]:
        """The numerator and the yardstick along each direction alone."""
        unit = None if self.yardstick is None else mean(mean(self.yardstick, 2), 1)
        return mean(mean(self.values, 2), 1), unit

    def _by_direction(self, theta: float) -> Float[np.ndarray, " direction"]:
        """The pivot's value along each direction alone."""
        along, unit = self._along
        return along - theta if unit is None else along - theta * unit

    def p_above(self, theta: float) -> float:
        """One-sided p that the contrast is not above `theta`: the larger of Student's and the sign-flip test's."""
        pivot = self.pivot(theta)
        return max(pivot.p_above(), sign_flip_p(pivot.by_family))

    def interval(self, level: float = LEVEL) -> Estimate:
        """The estimate and the interval of all theta that Student's test does not reject; `n` counts families.

        An end is None where there is none: with one family, where the yardstick is not surely above 0, so that no
        multiple of it is too large, or where nothing varies but by rounding.
        """
        value = self.estimate()
        if not math.isfinite(value):
            return Estimate(None, None, None, self.n_families)
        rounding = 1e-12 * max(abs(self.raw()), abs(self.unit() or 0.0))
        if self.n_families < 2 or self.pivot(value).error <= rounding:
            return Estimate(value, None, None, self.n_families)
        low, high = (self._end(value, side, (1 - level) / 2) for side in (-1, 1))
        return Estimate(value, low, high, self.n_families)

    def _end(self, value: float, side: int, alpha: float) -> float | None:
        """The furthest theta on a side of the estimate that is not rejected at one-sided `alpha`.

        Where cells are missing the pivot is not quite 0 at the estimate, which can then be rejected itself; the search
        begins at the nearest theta on the other side that is not. There may be none.
        """

        def left(theta: float) -> float:
            """How much p is still above alpha."""
            pivot = self.pivot(theta)
            return (pivot.p_below() if side > 0 else pivot.p_above()) - alpha

        unit = self.unit()
        step = max(self.pivot(value).error / abs(unit or 1.0), 1e-12)
        near, far = value, value + side * step
        back = step
        while not left(near) > 0:
            near, far, back = value - side * back, near, 2 * back
            if back > FURTHEST * max(abs(value), step, 1.0):
                return None
        while left(far) > 0:
            if abs(far - value) > FURTHEST * max(abs(value), step, 1.0):
                return None
            near, far = far, value + 2 * (far - value)
        return float(root_scalar(left, bracket=(near, far), xtol=1e-12).root)

    def along(self, direction: int) -> "Contrast":
        """The same contrast along one of its directions."""
        at = slice(direction, direction + 1)
        yardstick = None if self.yardstick is None else self.yardstick[at]
        return replace(self, values=self.values[at], yardstick=yardstick)


def sign_flip_p(values: Float[np.ndarray, " family"]) -> float:
    """One-sided exact p that values are not centred above 0: how many patterns of signs have a mean at least as high.

    What is exchanged is the sign of each family's value, that is, which of its two arms is called the treated one; the
    families and the sizes are held fixed. With n families p is at least 2 ** -n. Beyond `MOST_EXACT` families patterns
    are drawn, and the observed one is added.

    Wrong when: families share what their values err by (then Student's over families and questions is the wider one).

    Source: Fisher, The Design of Experiments (1935) ch. 3; Phipson and Smyth, SAGMB 9 (2010), for drawn patterns.

    Raises:
        ValueError: there is no value, or one is missing.
    """
    if not len(values) or np.isnan(values).any():
        raise ValueError(f"a sign-flip test takes values of one family or more, none missing, got {values}")
    if len(values) <= MOST_EXACT:
        signs = sign_patterns(len(values))
        extra = 0
    else:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(DRAWN_PATTERNS, len(values)))
        extra = 1
    sums = signs @ values
    slack = 1e-12 * float(np.abs(values).sum())
    return float(((sums >= values.sum() - slack).sum() + extra) / (len(sums) + extra))


def rank_p(value: float, nulls: Float[np.ndarray, " null"]) -> float:
    """One-sided p of a value among nulls it is exchangeable with: (1 + nulls at least as high) / (1 + nulls).

    What is exchanged is which of all these is the one that was asked about; nothing else varies. With n nulls p is at
    least 1 / (n + 1).

    Raises:
        ValueError: there are no nulls, or a number is missing.
    """
    if not len(nulls) or np.isnan(nulls).any() or math.isnan(value):
        raise ValueError(f"a place among nulls takes one null or more, none missing, got {value} among {nulls}")
    return float((1 + (nulls >= value).sum()) / (1 + len(nulls)))


_PATTERNS: dict[int, Float[np.ndarray, "pattern family"]] = {}


def sign_patterns(n: int) -> Float[np.ndarray, "pattern family"]:
    """Every way in which n values can have signs."""
    if n not in _PATTERNS:
        _PATTERNS[n] = np.array(list(product((1.0, -1.0), repeat=n)))
    return _PATTERNS[n]


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over an axis of what is there; NaN where nothing is."""
    present = ~np.isnan(values)
    count = present.sum(axis)
    total = np.where(present, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _crossed(
    table: Float[np.ndarray, "family question"],
) -> tuple[float, Float[np.ndarray, " family"], list[tuple[float, int]]]:
    """Mean of the families' means, these means, and the variances of the mean with their degrees of freedom.

    Families and questions are each expected to bring the residual too, so it is taken from one of them; the sum is
    never below what families alone say. A table of one family has no part from families.
    """
    table = table[(~np.isnan(table)).any(1)][:, (~np.isnan(table)).any(0)]
    present = ~np.isnan(table)
    n_families, n_questions = table.shape
    by_family = mean(table, 1)
    value = float(by_family.mean())
    weight = present / present.sum(1, keepdims=True) / n_families
    apart = np.where(present, table - value, 0.0)
    of_questions, of_families = (
        float(((weight * apart).sum(axis) ** 2).sum()) * n / (n - 1) if n > 1 else 0.0
        for axis, n in ((0, n_questions), (1, n_families))
    )
    if n_families == 1:
        return value, by_family, [(of_questions, max(n_questions - 1, 1))]
    if n_questions == 1:
        return value, by_family, [(of_families, n_families - 1)]
    freedom = int(present.sum()) - n_families - n_questions + 1
    residual = float((_residual(apart, present) ** 2).sum()) / max(freedom, 1) * float((weight**2).sum())
    beyond = max(of_families - residual, 0.0)
    if of_questions + beyond < of_families:
        return value, by_family, [(of_families, n_families - 1)]
    return value, by_family, [(of_questions, n_questions - 1), (beyond, n_families - 1)]


def _residual(apart: Float[np.ndarray, "family question"], present: np.ndarray) -> Float[np.ndarray, "family question"]:
    """What families and questions together leave, by least squares; 0 in missing cells."""
    left = apart
    for _ in range(1 if present.all() else 50):
        for axis in (1, 0):
            count = np.maximum(present.sum(axis, keepdims=True), 1)
            left = np.where(present, left - left.sum(axis, keepdims=True) / count, 0.0)
    return left


def _upper_tail(value: float, error: float, freedom: float) -> float:
    if error == 0:
        return 1.0
    return float(stdtr(freedom, -value / error))

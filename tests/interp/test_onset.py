"""Change points: where a planted broken line breaks, what shifts and scales do, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.onset import change_point, later_by

STEPS = [0, 10, 20, 40, 60, 80, 100]


def curve(breaks_at: float, slope: float = 0.1, noise: float = 0.0, n: int = 30, seed: int = 0) -> np.ndarray:
    line = slope * np.maximum(0.0, np.array(STEPS) - breaks_at)
    values = line + noise * np.random.default_rng(seed).normal(size=(n, len(STEPS)))
    values[:, 0] = 0.0
    return values + 0.01 * slope * np.arange(n)[:, None] * line  # units differ, so that there is an interval


@pytest.mark.parametrize("breaks_at", [0.0, 15.0, 33.0, 60.0])
@pytest.mark.parametrize("slope", [0.1, -0.2])
def test_a_planted_break_is_found(breaks_at: float, slope: float) -> None:
    found = change_point(STEPS, curve(breaks_at, slope), resamples=50)
    assert found.at.value == pytest.approx(breaks_at, abs=0.3)
    assert found.at.ci_low is not None
    assert found.at.ci_high is not None
    assert found.at.ci_low <= found.at.value + 1e-9
    assert found.at.value <= found.at.ci_high + 1e-9


@given(st.floats(0.1, 10), st.integers(1, 7))
def test_a_change_point_does_not_depend_on_the_curves_unit_and_scales_with_time(factor: float, pace: int) -> None:
    values = curve(33.0, noise=0.3)
    once = change_point(STEPS, values, resamples=5)
    assert change_point(STEPS, factor * values, resamples=5).at.value == pytest.approx(once.at.value)
    slower = change_point([pace * step for step in STEPS], values, resamples=5)
    assert slower.at.value == pytest.approx(pace * (once.at.value or 0))


def test_an_interval_covers_the_break_in_most_worlds() -> None:
    covered = 0
    for seed in range(40):
        at = change_point(STEPS, curve(33.0, noise=2.0, seed=seed), resamples=200, seed=seed).at
        covered += at.ci_low is not None and at.ci_high is not None and at.ci_low <= 33.0 <= at.ci_high
    assert covered >= 34


def test_a_curve_that_does_not_move_has_no_change_point() -> None:
    values = np.random.default_rng(1).normal(size=(20, len(STEPS)))
    values[:, 0] = 0.0
    values[:, -1] -= values[:, -1].mean()
    found = change_point(STEPS, values)
    assert found.at.value is None
    assert len(found.draws) == 0
    assert later_by(found, found).value is None


def test_what_moves_first_is_told_with_its_interval() -> None:
    inside, outside = (change_point(STEPS, curve(at, noise=0.2, seed=int(at)), resamples=200) for at in (15.0, 60.0))
    late = later_by(inside, outside)
    assert late.value == pytest.approx(45, abs=3)
    assert late.ci_low is not None
    assert late.ci_low > 30
    assert later_by(outside, inside).value == pytest.approx(-late.value)


@pytest.mark.parametrize(
    ("steps", "values", "message"),
    [
        ([0, 1, 2], np.zeros((2, 3)), "at least 4 steps, got 3"),
        ([0, 2, 1, 3], np.zeros((2, 4)), "steps must ascend"),
        ([0, 1, 2, 3], np.zeros((2, 5)), "one for each value"),
        ([0, 1, 2, 3], np.full((2, 4), np.nan), "needs a value at every step"),
        ([0, 1, 2, 3], np.ones((2, 4)), "and 0 at the first"),
    ],
)
def test_curves_that_will_not_do_are_refused(steps: list[int], values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change_point(steps, values)

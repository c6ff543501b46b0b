"""Contrasts over families and questions: what they come to, how sure they are, and what they refuse."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from interp.contrasts import Contrast, Pivot, rank_p, sign_flip_p
from interp.stats import Cells, crossed_mean


def table(seed: int, *shape: int, mean: float = 0.0) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(size=shape)


def test_one_question_is_students_test_over_families() -> None:
    values = table(0, 1, 7, 1, mean=0.6)
    contrast = Contrast(values)
    expected = ttest_1samp(values.ravel(), 0.2, alternative="greater")
    assert contrast.pivot(0.2).p_above() == pytest.approx(expected.pvalue)
    interval, reference = contrast.interval(), ttest_1samp(values.ravel(), 0.0).confidence_interval()
    assert (interval.ci_low, interval.ci_high) == pytest.approx((reference.low, reference.high))
    assert interval.n == 7


def test_families_and_questions_both_count_as_in_a_crossed_mean() -> None:
    family, question = table(1, 1, 6, 1), table(2, 1, 1, 40)
    values = family + question + 0.1 * table(3, 1, 6, 40)
    contrast = Contrast(values)
    codes = np.indices((6, 40)).reshape(2, -1)
    reference = crossed_mean(values.ravel(), codes[1], codes[0])
    interval = contrast.interval()
    assert interval.value == pytest.approx(reference.value)
    assert interval.ci_low is not None
    assert reference.ci_low is not None
    assert interval.ci_high is not None
    assert reference.ci_high is not None
    width, longest = interval.ci_high - interval.ci_low, reference.ci_high - reference.ci_low
    assert 0.9 * longest < width <= longest  # each part's own quantile is never less than Satterthwaite's


def test_what_families_share_is_seen_by_student_and_not_by_signs() -> None:
    shared = Contrast(np.broadcast_to(table(4, 1, 1, 12) + 0.1, (1, 8, 12)) + 1e-6 * table(5, 1, 8, 12))
    pivot = shared.pivot(0.0)
    assert sign_flip_p(pivot.by_family) == 1 / 256
    assert pivot.p_above() > 0.05


def test_a_ratio_is_what_its_parts_are_and_has_the_yardsticks_error() -> None:
    values, yardstick = table(6, 1, 8, 30, mean=3.0), table(7, 1, 5, 30, mean=2.0)
    alone = Contrast(values / yardstick.mean()).interval()
    ratio = Contrast(values, yardstick).interval()
    assert ratio.value == pytest.approx(values.mean() / yardstick.mean())
    assert alone.ci_low is not None
    assert ratio.ci_low is not None
    assert ratio.ci_low < alone.ci_low


def test_the_variance_is_that_of_families_and_questions_with_the_residual_counted_once() -> None:
    values = table(19, 1, 6, 1) + 2 * table(20, 1, 1, 9) + table(21, 1, 6, 9)
    codes = np.indices((6, 9)).reshape(2, -1)
    spread = Cells.of(values.ravel(), codes[1], codes[0]).spread
    assert spread.questions + spread.seeds - spread.residual > spread.seeds
    assert Contrast(values).pivot(0.3).error ** 2 == pytest.approx(spread.variance)


def test_units_of_the_yardstick_that_disagree_widen_a_ratio_by_their_share_of_it() -> None:
    values = np.ones((1, 4, 3)) + 1e-9 * table(22, 1, 4, 3)
    units = np.array([1.0, 2.0, 3.0])[None, :, None] * np.ones((1, 1, 3))
    error = Contrast(values, units).pivot(0.5).error
    assert error == pytest.approx(0.5 * np.std([1, 2, 3], ddof=1) / np.sqrt(3), rel=1e-6)
    assert Contrast(values, units).pivot(0.0).error < 1e-8


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_a_ratio_has_no_unit(factor: float) -> None:
    values, yardstick = table(8, 3, 8, 30, mean=3.0), table(9, 3, 5, 30, mean=2.0)
    one, other = Contrast(values, yardstick).interval(), Contrast(factor * values, factor * yardstick).interval()
    assert (one.ci_low, one.value, one.ci_high) == pytest.approx((other.ci_low, other.value, other.ci_high), rel=1e-6)


def test_the_ends_of_an_interval_are_where_the_test_stops_rejecting() -> None:
    contrast = Contrast(table(10, 2, 8, 30, mean=1.0), table(11, 2, 5, 30, mean=2.0))
    interval = contrast.interval()
    assert interval.ci_low is not None
    assert interval.ci_high is not None
    assert contrast.pivot(interval.ci_low).p_above() == pytest.approx(0.025, abs=1e-6)
    assert contrast.pivot(interval.ci_high).p_below() == pytest.approx(0.025, abs=1e-6)


def test_a_yardstick_that_may_be_nothing_leaves_an_end_open() -> None:
    contrast = Contrast(table(12, 1, 8, 30, mean=3.0), table(13, 1, 5, 30, mean=0.02))
    assert None in (contrast.interval().ci_low, contrast.interval().ci_high)


def test_a_paired_yardstick_cancels_what_families_share() -> None:
    size = np.abs(table(14, 1, 8, 1)) + 1.0
    values, yardstick = size * 0.5 + 0.01 * table(15, 1, 8, 20), size + 0.01 * table(16, 1, 8, 20)
    paired = Contrast(values, yardstick, paired=True).interval()
    apart = Contrast(values, yardstick).interval()
    assert paired.ci_high is not None
    assert paired.ci_low is not None
    assert apart.ci_high is not None
    assert apart.ci_low is not None
    assert paired.ci_high - paired.ci_low < 0.2 * (apart.ci_high - apart.ci_low)


def test_remade_directions_that_disagree_widen_the_interval() -> None:
    values = np.broadcast_to(table(17, 1, 8, 30, mean=1.0), (5, 8, 30))
    gain = np.array([0.2, 0.6, 1.0, 1.4, 1.8])[:, None, None]
    alike, unlike = Contrast(values), Contrast(values * gain)
    assert unlike.pivot(0.0).error > 1.2 * alike.pivot(0.0).error
    assert unlike.pivot(0.0).value == pytest.approx(alike.pivot(0.0).value)


def test_missing_cells_are_left_out_and_families_count_alike() -> None:
    values = np.full((1, 3, 4), 1.0)
    values[0, 1] = 4.0
    values[0, 1, 1:] = np.nan
    values[0, 2] = np.nan
    contrast = Contrast(values)
    assert contrast.raw() == 2.5
    assert contrast.n_families == 2


def test_signs_are_counted_exactly() -> None:
    assert sign_flip_p(np.array([1.0, 2.0, 3.0])) == 1 / 8
    assert sign_flip_p(np.array([-1.0, 2.0, 3.0])) == 2 / 8
    assert sign_flip_p(-np.array([1.0, 2.0, 3.0])) == 1.0
    assert sign_flip_p(np.zeros(4)) == 1.0


def test_many_families_have_their_signs_drawn() -> None:
    assert sign_flip_p(np.ones(20)) == 1 / 16384
    values = table(18, 40)
    assert sign_flip_p(values) + sign_flip_p(-values) == pytest.approx(1.0, abs=0.02)


def test_a_place_among_nulls_counts_the_value_itself() -> None:
    assert rank_p(5.0, np.arange(5.0)) == 1 / 6
    assert rank_p(4.0, np.arange(5.0)) == 2 / 6
    assert rank_p(-1.0, np.arange(5.0)) == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrast(np.full((1, 2, 3), np.nan)), "no value among"),
        (lambda: Contrast(np.zeros((1, 2, 3)), np.zeros((1, 2, 4))), "directions and questions must be the same"),
        (lambda: Contrast(np.zeros((1, 2, 3)), np.zeros((1, 4, 3)), paired=True), "got 4 units for 2 families"),
        (lambda: sign_flip_p(np.array([1.0, np.nan])), "none missing"),
        (lambda: rank_p(1.0, np.zeros(0)), "one null or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("x", [0.1, 1 / 3, -5.1, 0.0])
@pytest.mark.parametrize("unit", [None, 0.7])
def test_values_that_do_not_vary_have_no_interval(x: float, unit: float | None) -> None:
    yardstick = None if unit is None else np.full((1, 3, 7), unit)
    estimate = Contrast(np.full((1, 3, 7), x), yardstick).interval()
    assert estimate.value == pytest.approx(x / (unit or 1.0))
    assert estimate.ci_low is estimate.ci_high is None


def test_an_estimate_that_is_rejected_itself_still_has_ends() -> None:
    class Off(Contrast):
        def pivot(self, theta: float) -> Pivot:
            return Pivot(1.0 + 1e-6 - theta, 1e-8, 1.0, np.zeros(3))

    estimate = Off(np.full((1, 3, 7), 1.0)).interval()
    assert estimate.value == 1.0
    assert 1.0 < estimate.ci_low < 1.0 + 1e-6 < estimate.ci_high == pytest.approx(1.0, abs=1e-5)

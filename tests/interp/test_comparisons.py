"""Differences between arms, verdicts and adjusted p-values, against closed forms, scipy and definitions."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from interp.comparisons import (
    Arm,
    Difference,
    Equivalence,
    benjamini_hochberg,
    equivalence,
    holm,
    paired_difference,
    share_difference,
)
from interp.stats import Estimate, crossed_mean, mean, proportion, share

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)
P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.ci_low is not None
    assert estimate.ci_high is not None
    return estimate.ci_low, estimate.ci_high


def arms(n_questions: int, n_seeds: int, n_answers: int, p: tuple[float, float], seed: int = 0) -> tuple[Arm, Arm]:
    """Answers of two arms to the same questions, whose difficulty they share."""
    draw = np.random.default_rng(seed)
    shape = (n_questions, n_seeds, n_answers)
    questions, seeds, _ = (axis.ravel() for axis in np.indices(shape))
    harder = draw.normal(size=(n_questions, 1, 1))
    rates = (scipy_stats.norm.cdf(scipy_stats.norm.ppf(share) * np.sqrt(2) + harder) for share in p)
    return tuple(Arm((draw.random(shape) < rate).ravel(), questions, seeds) for rate in rates)


# paired differences


def test_a_paired_difference_is_the_crossed_mean_of_cell_differences() -> None:
    draw = np.random.default_rng(0)
    questions, seeds = (axis.ravel() for axis in np.indices((8, 3)))
    a, b = draw.normal(size=(2, 24))
    got, expected = (
        paired_difference(Arm(a, questions, seeds), Arm(b, questions, seeds)),
        crossed_mean(a - b, questions, seeds),
    )
    assert got.value == pytest.approx(expected.value)
    assert ends(got) == pytest.approx(ends(expected))
    assert (got.n, got.n_seeds, got.n_values, got.unmatched) == (8, 3, 48, 0)


def test_arms_are_matched_by_name_whatever_the_order_and_the_number_of_answers() -> None:
    a = Arm([1.0, 3.0, 5.0, 7.0], ["x", "x", "y", "z"])
    b = Arm([1.0, 2.0, 4.0], ["z", "x", "y"])
    got = paired_difference(a, b)
    assert got.value == pytest.approx(np.mean([2 - 2, 5 - 4, 7 - 1]))
    assert ends(got) == pytest.approx(ends(mean([0.0, 1.0, 6.0])))
    assert (got.n, got.n_seeds, got.n_values, got.unmatched) == (3, 1, 7, 0)


def test_cells_of_one_arm_alone_are_left_out_and_counted() -> None:
    a = Arm([1.0, 2.0, 3.0, 9.0], ["x", "x", "y", "w"], [0, 1, 0, 0])
    b = Arm([0.0, 0.0, 5.0], ["x", "y", "x"], [0, 0, 2])
    got = paired_difference(a, b)
    assert (got.value, got.n, got.n_seeds, got.n_values, got.unmatched) == (2.0, 2, 1, 4, 3)
    nothing = paired_difference(Arm([1.0], ["x"]), Arm([1.0], ["y"]))
    assert nothing == Difference(None, None, None, 0, n_seeds=0, n_values=0, unmatched=2)
    assert nothing.row()["unmatched"] == 2


@pytest.mark.parametrize("difference", [paired_difference, share_difference])
def test_what_cannot_be_compared_is_refused(difference: Callable[[Arm, Arm], Difference]) -> None:
    plain = Arm([1.0, 0.0], ["x", "y"])
    with pytest.raises(ValueError, match="one arm names seeds"):
        difference(plain, Arm([1.0, 0.0], ["x", "y"], [0, 0]))
    with pytest.raises(ValueError, match="1 of 2 values are missing"):
        difference(plain, Arm([1.0, None], ["x", "y"]))
    with pytest.raises(ValueError, match="2 values but 1 questions"):
        difference(Arm([1.0, 0.0], ["x"]), plain)
    assert difference(Arm([], []), Arm([], [])).value is None
    single = difference(Arm([1.0], ["x"]), Arm([0.0], ["x"]))
    assert (single.value, single.ci_low, single.ci_high, single.n) == (1.0, None, None, 1)


def test_shares_outside_0_and_1_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2"):
        share_difference(Arm([1.0, 0.0], ["x", "y"]), Arm([1.0, 2.0], ["x", "y"]))


# differences of shares


@given(answers=ANSWERS)
def test_one_answer_a_question_is_newcombes_interval_for_paired_shares(answers: list[tuple[bool, bool]]) -> None:
    a, b = (np.array(column) for column in zip(*answers, strict=True))
    n, n_11, n_10, n_01 = len(a), (a & b).sum(), (a & ~b).sum(), (~a & b).sum()
    n_00 = n - n_11 - n_10 - n_01
    discordance = (n_10 + n_01 - (n_10 - n_01) ** 2 / n) / (n * (n - 1))
    assume(discordance >= 2 / (n + 2) ** 2)
    margins = float((n_11 + n_10) * (n_01 + n_00) * (n_11 + n_01) * (n_10 + n_00))
    phi = (n_11 * n_00 - n_10 * n_01) / np.sqrt(margins) if margins else 0.0
    p_a, p_b = a.mean(), b.mean()
    (l_a, u_a), (l_b, u_b) = ends(proportion(float(p_a), n)), ends(proportion(float(p_b), n))
    below = np.sqrt((p_a - l_a) ** 2 - 2 * phi * (p_a - l_a) * (u_b - p_b) + (u_b - p_b) ** 2)
    above = np.sqrt((u_a - p_a) ** 2 - 2 * phi * (u_a - p_a) * (p_b - l_b) + (p_b - l_b) ** 2)
    got = share_difference(Arm(a, range(n)), Arm(b, range(n)))
    assert ends(got) == pytest.approx((max(p_a - p_b - below, -1), min(p_a - p_b + above, 1)), abs=1e-9)


@given(answers=ANSWERS, n_seeds=st.integers(1, 3))
def test_a_difference_of_shares_lies_in_its_interval_and_turns_with_the_arms(
    answers: list[tuple[bool, bool]], n_seeds: int
) -> None:
    a, b = (np.array(column) for column in zip(*answers, strict=True))
    questions, seeds = np.arange(len(a)) // n_seeds, np.arange(len(a)) % n_seeds
    assume(questions.max() > 0)
    got, turned = (share_difference(*(Arm(x, questions, seeds) for x in pair)) for pair in ((a, b), (b, a)))
    low, high = ends(got)
    assert -1 <= low <= got.value + 1e-12
    assert got.value - 1e-12 <= high <= 1
    assert high - low > 0
    assert ends(turned) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("right", [0, 15, 30])
def test_arms_that_agree_everywhere_are_not_certainly_alike(right: int) -> None:
    arm = Arm(np.arange(30) < right, range(30))
    low, high = ends(share_difference(arm, arm))
    assert low == pytest.approx(-high)
    assert 1 / 30 < high < 6 / 30
    assert ends(paired_difference(arm, arm)) == (0.0, 0.0)


def test_what_the_arms_share_cancels() -> None:
    draw = np.random.default_rng(0)
    questions = np.repeat(np.arange(40), 10)
    rates = np.repeat(draw.beta(0.5, 0.5, size=40), 10)
    a, b = (Arm(draw.random(400) < rates, questions) for _ in range(2))
    apart = [high - low for low, high in (ends(share(*a)), ends(share(*b)))]
    low, high = ends(share_difference(a, b))
    assert high - low < 0.6 * min(apart)


@pytest.mark.parametrize(
    ("shape", "p"), [((50, 1, 1), (0.02, 0.02)), ((8, 1, 40), (0.1, 0.02)), ((20, 3, 4), (0.5, 0.4))]
)
def test_the_interval_of_a_difference_of_shares_covers(shape: tuple[int, int, int], p: tuple[float, float]) -> None:
    found = [ends(share_difference(*arms(*shape, p, seed))) for seed in range(300)]
    assert np.mean([low <= p[0] - p[1] <= high for low, high in found]) >= 0.93


# verdicts


@given(
    values=st.lists(st.floats(-5, 5), min_size=3, max_size=20).filter(lambda x: np.std(x) > 0.1),
    margin=st.floats(0.1, 4),
    reference=st.floats(-2, 2),
)
def test_on_a_mean_the_tests_are_students_and_schuirmanns(values: list[float], margin: float, reference: float) -> None:
    got = equivalence(lambda level: mean(values, level=level), margin, reference=reference)
    different = scipy_stats.ttest_1samp(values, reference).pvalue
    above = scipy_stats.ttest_1samp(values, reference - margin, alternative="greater").pvalue
    below = scipy_stats.ttest_1samp(values, reference + margin, alternative="less").pvalue
    assert got.p_different == pytest.approx(different, rel=1e-4, abs=1e-9)
    assert got.p_equivalent == pytest.approx(max(above, below), rel=1e-4, abs=1e-9)
    assert (got.n, got.margin, got.reference, got.estimate) == (len(values), margin, reference, mean(values))


@settings(max_examples=12)
@given(
    shift=st.floats(-0.5, 0.5), margin=st.floats(0.05, 0.6), p=st.sampled_from([0.1, 0.5, 0.9]), seed=st.integers(0, 99)
)
def test_a_verdict_never_disagrees_with_the_interval_beside_it(
    shift: float, margin: float, p: float, seed: int
) -> None:
    a, b = arms(12, 2, 2, (float(np.clip(p + shift, 0.02, 0.98)), p), seed)
    got = equivalence(lambda level: share_difference(a, b, level=level), margin)
    low, high = ends(share_difference(a, b))
    inner_low, inner_high = ends(share_difference(a, b, level=0.9))
    within = -margin < inner_low and inner_high < margin
    excludes = low > 0 or high < 0
    assert (got.p_equivalent < 0.05) == within
    assert (got.p_different < 0.05) == excludes
    assert got.verdict == ("equivalent" if within else "different" if excludes else "undecided")


@pytest.mark.parametrize(
    ("centre", "spread", "verdict"),
    [(0.0, 0.2, "equivalent"), (0.3, 0.2, "equivalent"), (2.0, 0.2, "different"), (0.3, 4.0, "undecided")],
)
def test_the_four_cases_have_their_verdicts(centre: float, spread: float, verdict: str) -> None:
    values = centre + spread * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    assert equivalence(lambda level: mean(values, level=level), 1).verdict == verdict


def test_an_effect_that_is_there_but_small_keeps_the_p_that_says_so() -> None:
    got = equivalence(lambda level: mean(0.3 + 0.01 * np.arange(-3.0, 4.0), level=level), 1.0)
    assert got.verdict == "equivalent"
    assert max(got.p_different, got.p_equivalent) < 1e-5


def test_an_effect_outside_the_margin_has_a_p_above_one_half() -> None:
    got = equivalence(lambda level: mean([1.0, 2.0, 3.0, 4.0], level=level), 0.5)
    assert got.p_equivalent > 0.9


def test_without_an_interval_or_with_one_of_no_width_nothing_is_decided() -> None:
    for values in ([], [1.0], [0.0, 0.0, 0.0]):
        got = equivalence(lambda level, values=values: mean(values, level=level), 0.5)
        assert got == Equivalence("undecided", mean(values), 0.5, 0.0, None, None, 0.05, len(values))


@pytest.mark.parametrize("margin", [0.0, -0.1])
def test_a_margin_must_be_stated(margin: float) -> None:
    with pytest.raises(ValueError, match=f"got {margin}: state the smallest effect"):
        equivalence(lambda level: mean([1.0, 2.0], level=level), margin)


def test_an_effect_at_the_margin_is_called_equivalent_no_more_often_than_alpha() -> None:
    draw = np.random.default_rng(0)
    questions, seeds = (axis.ravel() for axis in np.indices((15, 3)))
    called = 0
    for _ in range(60):
        x = (
            0.3
            + (
                0.2 * draw.normal(size=(15, 1)) + 0.1 * draw.normal(size=(1, 3)) + 0.2 * draw.normal(size=(15, 3))
            ).ravel()
        )
        called += (
            equivalence(lambda level, x=x: crossed_mean(x, questions, seeds, level=level), 0.3).verdict == "equivalent"
        )
    assert called <= 0.1 * 60


# many tests


def test_holm_and_benjamini_hochberg_on_a_small_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([]) == benjamini_hochberg([]) == []
    assert holm([0.2]) == benjamini_hochberg([0.2]) == [0.2]


@given(p=P_VALUES, alpha=st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p: list[float], alpha: float) -> None:
    rejected = set()
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected.add(i)
    assert {i for i, adjusted in enumerate(holm(p)) if adjusted <= alpha} == rejected


@given(p=P_VALUES, data=st.data())
def test_adjusted_p_values_keep_order_and_bounds(p: list[float], data: st.DataObject) -> None:
    h, bh = holm(p), benjamini_hochberg(p)
    for raw, by_bh, by_holm in zip(p, bh, h, strict=True):
        assert raw <= by_bh + 1e-15
        assert by_bh <= by_holm + 1e-15
        assert by_holm <= 1
    order = sorted(range(len(p)), key=lambda i: p[i])
    for adjusted in (h, bh):
        assert [adjusted[i] for i in order] == sorted(adjusted)
    shuffled = data.draw(st.permutations(range(len(p))))
    assert holm([p[i] for i in shuffled]) == [h[i] for i in shuffled]
    assert benjamini_hochberg([p[i] for i in shuffled]) == pytest.approx([bh[i] for i in shuffled])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_is_no_p_value_is_refused(adjust: Callable[[list], list[float]]) -> None:
    with pytest.raises(ValueError, match=r"got 1\.2"):
        adjust([0.5, 1.2])
    with pytest.raises(ValueError, match="1 of 2 values are missing"):
        adjust([0.5, None])

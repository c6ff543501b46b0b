"""Designs against the noncentral t and against simulated runs of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from interp.comparisons import Arm, share_difference
from interp.power import minimum_detectable_effect, minimum_detectable_share
from interp.stats import crossed_mean


@given(n=st.integers(4, 200), sd=st.floats(0.1, 10), alpha=st.sampled_from([0.01, 0.05]), power=st.floats(0.5, 0.95))
def test_one_seed_is_the_power_of_a_t_test(n: int, sd: float, alpha: float, power: float) -> None:
    got = minimum_detectable_effect(n_questions=n, sd_questions=sd, sd_answers=0, alpha=alpha, power=power)
    shift, limit = got.effect * np.sqrt(n) / sd, scipy_stats.t.ppf(1 - alpha / 2, n - 1)
    t_test = scipy_stats.nct.sf(limit, n - 1, shift) + scipy_stats.nct.cdf(-limit, n - 1, shift)
    assert t_test == pytest.approx(power, abs=0.015)
    assert got.standard_error == pytest.approx(sd / np.sqrt(n))
    assert (got.n, got.n_seeds, got.n_answers, got.alpha, got.power) == (n, 1, 1, alpha, power)


def test_many_questions_and_seeds_need_2_8_standard_errors() -> None:
    got = minimum_detectable_effect(n_questions=2000, n_seeds=2000, sd_questions=1, sd_seeds=1, sd_answers=1)
    assert got.standard_error == pytest.approx(np.sqrt(2 / 2000 + 1 / 2000**2))
    assert got.effect == pytest.approx(2.8 * got.standard_error, rel=0.01)


def test_answers_matter_within_a_cell_and_seeds_by_their_number() -> None:
    one = {"n_questions": 40, "sd_questions": 0.0, "sd_seeds": 0.0, "sd_answers": 1.0}
    four = minimum_detectable_effect(**one, n_answers=4)
    assert four.effect == pytest.approx(minimum_detectable_effect(**one).effect / 2)
    seeds = [
        minimum_detectable_effect(n_questions=40, n_seeds=n, sd_questions=0.5, sd_seeds=0.2, sd_answers=1.0)
        for n in (2, 3, 5, 10)
    ]
    assert [d.effect for d in seeds] == sorted((d.effect for d in seeds), reverse=True)
    assert seeds[0].standard_error == pytest.approx(np.sqrt(0.25 / 40 + 0.04 / 2 + 1 / 80))


def test_one_seed_cannot_speak_of_seeds() -> None:
    one = {"n_questions": 40, "sd_questions": 1.0, "sd_answers": 1.0}
    assert minimum_detectable_effect(**one, sd_seeds=5.0) == minimum_detectable_effect(**one)


@pytest.mark.parametrize(("n_questions", "n_seeds"), [(30, 1), (30, 3), (20, 5)])
def test_a_design_finds_its_effect_as_often_as_it_says(n_questions: int, n_seeds: int) -> None:
    draw = np.random.default_rng(0)
    sds = (0.5, 0.2 if n_seeds > 1 else 0.0, 1.0)
    names = dict(zip(("sd_questions", "sd_seeds", "sd_answers"), sds, strict=True))
    effect = minimum_detectable_effect(n_questions=n_questions, n_seeds=n_seeds, **names).effect
    questions, seeds = (axis.ravel() for axis in np.indices((n_questions, n_seeds)))
    shapes = ((n_questions, 1), (1, n_seeds), (n_questions, n_seeds))
    found = 0
    for _ in range(400):
        x = sum(sd * draw.normal(size=shape) for sd, shape in zip(sds, shapes, strict=True)) + effect
        found += crossed_mean(x.ravel(), questions, seeds).ci_low > 0
    assert 0.73 < found / 400 < 0.87


def test_a_single_question_finds_nothing() -> None:
    assert minimum_detectable_effect(n_questions=1, n_seeds=5, sd_questions=1, sd_answers=1).effect is None
    assert minimum_detectable_share(0.1, n_questions=1, icc_questions=0).effect is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_questions": 0}, "n_questions must be at least 1, got 0"),
        ({"n_seeds": 0}, "n_seeds must be at least 1, got 0"),
        ({"n_answers": -1}, "n_answers must be at least 1, got -1"),
        ({"sd_seeds": -0.5}, "must not be below 0"),
        ({"sd_questions": 0, "sd_answers": 0}, "all standard deviations are 0"),
        ({"alpha": 0.0}, "alpha must be inside"),
        ({"power": 1.0}, "power must be inside"),
    ],
)
def test_impossible_designs_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minimum_detectable_effect(**{"n_questions": 10, "sd_questions": 1.0, "sd_answers": 1.0} | wrong)


# shares


def test_the_change_of_a_share_is_what_two_binomials_show() -> None:
    got = minimum_detectable_share(0.3, n_questions=3000, icc_questions=0)
    error = np.sqrt((0.3 * 0.7 + (0.3 + got.effect) * (0.7 - got.effect)) / 3000)
    assert got.standard_error == pytest.approx(error)
    assert got.effect == pytest.approx(2.8 * error, rel=0.02)


def test_a_change_of_a_share_adds_what_questions_seeds_and_answers_bring() -> None:
    got = minimum_detectable_share(
        0.3, n_questions=100, n_seeds=10, n_answers=2, icc_questions=0.2, icc_seeds=0.05, arms_correlation=0.5
    )
    a, b = 0.3 * 0.7, (0.3 + got.effect) * (0.7 - got.effect)
    squared = 0.2 * (a + b - np.sqrt(a * b)) / 100 + 0.05 * (a + b) / 10 + 0.75 * (a + b) / 2000
    assert got.standard_error == pytest.approx(np.sqrt(squared))


@settings(max_examples=12)
@given(base=st.floats(0.05, 0.9), n=st.integers(20, 400), icc=st.floats(0, 0.5))
def test_falls_mirror_rises_and_shared_difficulty_helps(base: float, n: int, icc: float) -> None:
    design = {"n_questions": n, "n_answers": 5, "icc_questions": icc}
    rise, mirrored = (
        minimum_detectable_share(base, **design),
        minimum_detectable_share(1 - base, **design, direction="fall"),
    )
    assert (rise.effect is None) == (mirrored.effect is None)
    if rise.effect is not None:
        assert mirrored.effect == pytest.approx(rise.effect, rel=1e-6)
        assert 0 < rise.effect < 1 - base
        shared = minimum_detectable_share(base, **design, arms_correlation=0.9)
        assert shared.effect <= rise.effect + 1e-9


def test_no_change_may_be_large_enough() -> None:
    got = minimum_detectable_share(0.5, n_questions=4, n_seeds=2, icc_questions=0.3, icc_seeds=0.3)
    assert got.effect is None
    assert got.standard_error > 0


def test_a_design_finds_its_change_of_a_share_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    effect = minimum_detectable_share(0.2, n_questions=60, n_answers=10, icc_questions=0.1).effect
    questions = np.repeat(np.arange(60), 10)
    found = 0
    for _ in range(300):
        rates = (np.repeat(draw.beta(9 * p, 9 * (1 - p), size=60), 10) for p in (0.2 + effect, 0.2))
        found += share_difference(*(Arm(draw.random(600) < rate, questions) for rate in rates)).ci_low > 0
    assert 0.7 < found / 300 < 0.88


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base": 1.2}, r"base must be in \[0, 1\], got 1.2"),
        ({"icc_questions": -0.1}, "icc_questions must be"),
        ({"icc_questions": 0.6, "icc_seeds": 0.6}, r"icc_questions \+ icc_seeds must be"),
        ({"arms_correlation": 2}, "arms_correlation must be"),
        ({"base": 1}, "a share of 1 cannot rise"),
        ({"base": 0, "direction": "fall"}, "a share of 0 cannot fall"),
    ],
)
def test_impossible_shares_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minimum_detectable_share(**{"base": 0.2, "n_questions": 10, "icc_questions": 0.1} | wrong)

"""Bootstraps against scipy and the intervals that have a formula; permutation tests against all arrangements."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from interp.resampling import Permutation, bootstrap, crossed_bootstrap, label_permutation, sign_flip
from interp.stats import CrossedEstimate, Estimate, auroc, crossed_mean

FEW = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=6)


def average(x: np.ndarray) -> float:
    return float(x.mean())


def table(n_questions: int, n_seeds: int, sds: tuple[float, float, float], seed: int = 0) -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(seed)
    shape = (n_questions, n_seeds)
    parts = zip(sds, ((n_questions, 1), (1, n_seeds), shape), strict=True)
    questions, seeds = (axis.ravel() for axis in np.indices(shape))
    return sum(sd * draw.normal(size=size) for sd, size in parts).ravel(), questions, seeds


# bootstrap


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_the_bootstrap_is_scipys(method: str) -> None:
    x = np.random.default_rng(3).exponential(size=25)
    got = bootstrap(x, average, method=method, resamples=300, seed=4, level=0.9)
    expected = scipy_stats.bootstrap(
        (x,), np.mean, n_resamples=300, confidence_level=0.9, method=method, rng=np.random.default_rng(4)
    ).confidence_interval
    assert (got.value, got.n) == (x.mean(), 25)
    assert (got.ci_low, got.ci_high) == pytest.approx((expected.low, expected.high))


def test_units_are_drawn_whole() -> None:
    draw = np.random.default_rng(0)
    scores = np.concatenate([draw.normal(1, 1, 60), draw.normal(0, 1, 60)])
    judged = np.column_stack([scores, np.arange(120) < 60])

    def separation(x: np.ndarray) -> float:
        return auroc(x[x[:, 1] == 1, 0], x[x[:, 1] == 0, 0])

    got = bootstrap(judged, separation, resamples=300)
    assert got.n == 120
    assert got.value == auroc(scores[:60], scores[60:])
    assert 0.5 < got.ci_low < got.value < got.ci_high < 1
    alone = bootstrap(np.column_stack([scores, scores]), lambda x: float(np.abs(x[:, 0] - x[:, 1]).max()))
    assert alone == Estimate(0.0, None, None, 120)


def test_the_seed_decides_the_draws() -> None:
    x = np.random.default_rng(0).normal(size=12)
    assert bootstrap(x, average, seed=1) == bootstrap(x, average, seed=1)
    assert bootstrap(x, average, seed=1) != bootstrap(x, average, seed=2)


def test_no_variation_and_undefined_draws_give_no_interval() -> None:
    assert bootstrap([2.0] * 9, average) == Estimate(2.0, None, None, 9)
    assert bootstrap([2.0] * 9, average, method="percentile") == Estimate(2.0, None, None, 9)
    sometimes = bootstrap(np.arange(4.0), lambda x: float(x.mean()) if 0 in x else float("nan"))
    assert sometimes == Estimate(1.5, None, None, 4)
    assert bootstrap(np.arange(4.0), lambda x: float(x.mean() * np.nan)) == Estimate(None, None, None, 4)
    assert bootstrap([], average) == Estimate(None, None, None, 0)
    assert bootstrap([3.0], average) == Estimate(3.0, None, None, 1)


# crossed bootstrap


@pytest.mark.parametrize(
    ("n_seeds", "sds"), [(3, (1, 0, 1)), (3, (1, 0.5, 1)), (3, (0.5, 0.4, 2)), (5, (0.2, 1, 0.2)), (1, (1, 0, 1))]
)
def test_the_crossed_bootstrap_of_a_mean_is_the_crossed_mean(n_seeds: int, sds: tuple[float, float, float]) -> None:
    x, questions, seeds = table(20, n_seeds, sds, seed=1)
    got, expected = crossed_bootstrap(x, questions, seeds, average), crossed_mean(x, questions, seeds)
    assert (got.value, got.n, got.n_seeds, got.n_values) == (expected.value, 20, n_seeds, 20 * n_seeds)
    assert got.ci_high - got.value == pytest.approx(expected.ci_high - expected.value, rel=0.1)
    assert got.value - got.ci_low == pytest.approx(got.ci_high - got.value)


def test_one_seed_is_no_seeds() -> None:
    x, questions, seeds = table(10, 1, (1, 0, 1))
    assert crossed_bootstrap(x, questions, seeds, average) == crossed_bootstrap(x, questions, None, average)


def test_rows_of_a_question_are_drawn_together() -> None:
    x, questions, seeds = table(10, 3, (1, 0, 1))
    once = crossed_bootstrap(x, questions, seeds, average)
    twice = crossed_bootstrap(np.repeat(x, 4), np.repeat(questions, 4), np.repeat(seeds, 4), average)
    assert (twice.ci_low, twice.ci_high) == pytest.approx((once.ci_low, once.ci_high))
    assert (twice.n, twice.n_seeds, twice.n_values) == (10, 3, 120)


def test_a_statistic_of_several_columns_has_a_crossed_interval() -> None:
    x, questions, seeds = table(30, 3, (1, 0.2, 1))
    y = x + np.random.default_rng(1).normal(size=len(x))

    def fisher(rows: np.ndarray) -> float:
        return float(np.arctanh(np.corrcoef(rows.T)[0, 1]))

    got = crossed_bootstrap(np.column_stack([x, y]), questions, seeds, fisher, resamples=200)
    assert got.value == pytest.approx(np.arctanh(np.corrcoef(x, y)[0, 1]))
    assert 0 < got.ci_low < got.value < got.ci_high


def test_without_units_or_variation_the_crossed_bootstrap_has_no_interval() -> None:
    assert crossed_bootstrap([], [], None, average) == CrossedEstimate(None, None, None, 0, n_seeds=0, n_values=0)
    single = crossed_bootstrap([1.0, 2.0], ["q", "q"], None, average)
    assert single == CrossedEstimate(1.5, None, None, 1, n_seeds=1, n_values=2)
    constant = crossed_bootstrap([1.0] * 4, [0, 0, 1, 1], [0, 1, 0, 1], average)
    assert constant == CrossedEstimate(1.0, None, None, 2, n_seeds=2, n_values=4)
    undefined = crossed_bootstrap([0.0, 1.0, 2.0], [0, 1, 2], None, lambda x: 1.0 if 0 in x else float("nan"))
    assert undefined == CrossedEstimate(1.0, None, None, 3, n_seeds=1, n_values=3)


# permutation


@given(x=FEW)
def test_sign_flips_are_all_sign_patterns(x: list[float]) -> None:
    means = np.array([np.mean(np.array(signs) * x) for signs in product((-1, 1), repeat=len(x))])
    observed = np.mean(x)
    one_sided = min(np.mean(means >= observed - 1e-9), np.mean(means <= observed + 1e-9))
    got = sign_flip(x)
    assert got.p == pytest.approx(min(1.0, 2 * one_sided))
    assert (got.effect, got.n) == (pytest.approx(observed), len(x))
    assert (got.exact, got.arrangements) == (True, 2 ** len(x))
    assert sign_flip([-value for value in x]).p == pytest.approx(got.p)
    assert 2.0 ** (1 - len(x)) <= got.p <= 1


@given(a=FEW, b=FEW.filter(lambda b: len(b) <= 5))
def test_label_permutations_are_all_deals(a: list[float], b: list[float]) -> None:
    both = np.array(a + b)
    deals = [list(deal) for deal in combinations(range(len(both)), len(a))]
    means = np.array([both[deal].mean() - np.delete(both, deal).mean() for deal in deals])
    observed = np.mean(a) - np.mean(b)
    one_sided = min(np.mean(means >= observed - 1e-9), np.mean(means <= observed + 1e-9))
    got = label_permutation(a, b)
    assert got.p == pytest.approx(min(1.0, 2 * one_sided))
    assert (got.effect, got.n, got.exact, got.arrangements) == (
        pytest.approx(observed),
        len(both),
        True,
        len(deals),
    )
    assert label_permutation(b, a).p == pytest.approx(got.p)
    assert 0 < got.p <= 1


def test_many_units_are_sampled_and_the_observed_arrangement_is_one_of_the_sample() -> None:
    got = sign_flip(np.ones(40), resamples=199)
    assert (got.p, got.effect, got.n, got.exact, got.arrangements) == (pytest.approx(2 / 200), 1.0, 40, False, 200)
    got = label_permutation(np.arange(30) + 100.0, np.arange(30.0), resamples=199)
    assert (got.p, got.effect, got.n, got.exact, got.arrangements) == (pytest.approx(2 / 200), 100.0, 60, False, 200)


def test_a_sampled_p_is_near_the_exact_one_and_the_seed_decides_it() -> None:
    x = np.random.default_rng(5).normal(0.5, 1, size=12)
    exact, sampled = sign_flip(x), sign_flip(x, resamples=4000)
    assert (exact.exact, sampled.exact) == (True, False)
    assert sampled.p == pytest.approx(exact.p, abs=0.03)
    assert sign_flip(x, resamples=4000, seed=0).p == sampled.p != sign_flip(x, resamples=4000, seed=1).p


def test_permutation_tests_hold_their_level() -> None:
    draw = np.random.default_rng(0)
    flips = [sign_flip(draw.standard_t(3, size=7)).p <= 0.05 for _ in range(200)]
    deals = [label_permutation(draw.exponential(size=4), draw.exponential(size=5)).p <= 0.05 for _ in range(200)]
    assert 0.01 <= np.mean(flips) <= 0.09
    assert 0.01 <= np.mean(deals) <= 0.09


def test_too_few_units_have_an_effect_without_a_p() -> None:
    assert sign_flip([]) == Permutation(None, None, 0, True, 0)
    assert sign_flip([3.0]) == Permutation(None, 3.0, 1, True, 0)
    assert label_permutation([], [1.0]) == Permutation(None, None, 1, True, 0)
    assert label_permutation([3.0], [1.0, 2.0]) == Permutation(None, 1.5, 3, True, 0)


def test_missing_values_are_refused_and_counted() -> None:
    for values in ([1.0, None, 2.0], np.array([1.0, np.nan, 2.0])):
        for refuse in (
            lambda x: bootstrap(x, average),
            lambda x: crossed_bootstrap(x, range(3), None, average),
            sign_flip,
            lambda x: label_permutation(x, [1.0, 2.0]),
            lambda x: label_permutation([1.0, 2.0], x),
        ):
            with pytest.raises(ValueError, match="1 of 3 values are missing"):
                refuse(values)

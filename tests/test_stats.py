"""Estimates against brute force and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from interp.stats import Estimate, auroc, clustered_mean, mean, percentile, proportion

FLOATS = st.floats(-1e3, 1e3)
SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(positive=SCORES, negative=SCORES)
def test_auroc_is_the_share_of_pairs_in_order_with_ties_half(positive: list[int], negative: list[int]) -> None:
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    got = auroc(np.array(positive, float), np.array(negative, float))
    assert got == pytest.approx(sum(pairs) / len(pairs))
    assert auroc(np.array(negative, float), np.array(positive, float)) == pytest.approx(1 - got)


@given(value=st.integers(-3, 3), nulls=SCORES)
def test_percentile_counts_what_is_below_and_half_of_ties(value: int, nulls: list[int]) -> None:
    got = percentile(float(value), np.array(nulls, float))
    assert got == pytest.approx(scipy_stats.percentileofscore(nulls, value, kind="mean"))
    assert 0 <= got <= 100


@given(n=st.integers(1, 200), data=st.data())
def test_wilson_equals_scipy_and_stays_inside_the_unit_interval(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    got = proportion(k / n, n)
    expected = scipy_stats.binomtest(k, n).proportion_ci(method="wilson")
    assert got.value == k / n
    assert got.ci_low == pytest.approx(expected.low, abs=1e-12)
    assert got.ci_high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= got.ci_low <= got.value + 1e-12
    assert got.value - 1e-12 <= got.ci_high <= 1


@given(values=st.lists(FLOATS, min_size=2, max_size=30))
def test_the_interval_of_a_mean_is_students(values: list[float]) -> None:
    got = mean(values)
    x = np.array(values)
    assert got.n == len(values)
    assert got.value == pytest.approx(x.mean())
    if x.std() > 1e-6:
        low, high = scipy_stats.t.interval(0.95, len(x) - 1, x.mean(), scipy_stats.sem(x))
        assert (got.ci_low, got.ci_high) == pytest.approx((low, high))


def test_the_interval_of_a_mean_covers_at_its_level() -> None:
    draws = np.random.default_rng(0).normal(3, 2, size=(2000, 8))
    estimates = [mean(row) for row in draws]
    assert 0.93 < np.mean([e.ci_low <= 3 <= e.ci_high for e in estimates]) < 0.97


def test_what_is_undefined_is_none_and_not_zero() -> None:
    assert mean([]) == Estimate(None, None, None, 0)
    assert mean([2.0]) == Estimate(2.0, None, None, 1)
    assert proportion(0.0, 0) == Estimate(None, None, None, 0)
    assert clustered_mean([], []) == Estimate(None, None, None, 0)


@given(values=st.lists(st.tuples(FLOATS, st.integers(0, 3)), min_size=1, max_size=20))
def test_a_clustered_mean_is_the_mean_of_cluster_means(values: list[tuple[float, int]]) -> None:
    numbers, clusters = zip(*values, strict=True)
    expected = mean([np.mean([x for x, c in values if c == cluster]) for cluster in sorted(set(clusters))])
    got = clustered_mean(numbers, clusters)
    assert got.n == expected.n == len(set(clusters))
    assert got.value == pytest.approx(expected.value, abs=1e-9)


def test_repeating_every_row_of_a_cluster_does_not_narrow_the_interval() -> None:
    values, clusters = [1.0, 2.0, 4.0], ["a", "b", "c"]
    assert clustered_mean(values * 5, clusters * 5) == mean(values)
    assert mean(values * 5).ci_low > mean(values).ci_low


def test_values_and_clusters_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        clustered_mean([1.0, 2.0], ["a"])


def test_an_estimate_changes_units_and_becomes_a_row() -> None:
    assert Estimate(2.0, 1.0, 3.0, 5).scaled(0.5) == Estimate(1.0, 0.5, 1.5, 5)
    assert Estimate(None, None, None, 0).scaled(2.0) == Estimate(None, None, None, 0)
    assert Estimate(2.0, None, None, 1).row() == {"value": 2.0, "ci_low": None, "ci_high": None, "n": 1}

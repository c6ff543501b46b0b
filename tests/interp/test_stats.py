"""Estimates against brute force, closed forms and scipy; the full simulation of coverage is in bench/coverage.py."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from interp.stats import (
    CrossedEstimate,
    Estimate,
    auroc,
    clustered_mean,
    crossed_mean,
    mean,
    percentile,
    proportion,
    share,
)

FLOATS = st.floats(-1e3, 1e3)
SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)
Rows = tuple[list[float], list[int], list[int]]


@st.composite
def tables(draw: st.DrawFn, *, values: st.SearchStrategy = FLOATS, answers: int = 1) -> Rows:
    """Every question under every seed, `answers` times."""
    n_questions, n_seeds = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    labels = [(q, s) for q in range(n_questions) for s in range(n_seeds) for _ in range(answers)]
    found = draw(st.lists(values, min_size=len(labels), max_size=len(labels)))
    questions, seeds = zip(*labels, strict=True)
    return found, list(questions), list(seeds)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.ci_low is not None
    assert estimate.ci_high is not None
    return estimate.ci_low, estimate.ci_high


# places


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


# independent units


@given(n=st.integers(1, 200), level=st.sampled_from([0.5, 0.9, 0.95, 0.99]), data=st.data())
def test_wilson_equals_scipy_and_stays_inside_the_unit_interval(n: int, level: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    got = proportion(k / n, n, level=level)
    expected = scipy_stats.binomtest(k, n).proportion_ci(confidence_level=level, method="wilson")
    assert got.value == k / n
    assert ends(got) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= got.ci_low <= got.value + 1e-12
    assert got.value - 1e-12 <= got.ci_high <= 1
    assert level != 0.95 or got == proportion(k / n, n)


@given(values=st.lists(FLOATS, min_size=2, max_size=30), level=st.sampled_from([0.8, 0.95]))
def test_the_interval_of_a_mean_is_students(values: list[float], level: float) -> None:
    got = mean(values, level=level)
    x = np.array(values)
    assert got.n == len(values)
    assert got.value == pytest.approx(x.mean())
    if x.std() > 1e-6:
        assert ends(got) == pytest.approx(scipy_stats.t.interval(level, len(x) - 1, x.mean(), scipy_stats.sem(x)))
    assert level != 0.95 or got == mean(values)


def test_the_interval_of_a_mean_covers_at_its_level() -> None:
    draws = np.random.default_rng(0).normal(3, 2, size=(2000, 8))
    estimates = [mean(row) for row in draws]
    assert 0.93 < np.mean([e.ci_low <= 3 <= e.ci_high for e in estimates]) < 0.97


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
    with pytest.raises(ValueError, match="2 values but 1 questions"):
        crossed_mean([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="2 values but 3 seeds"):
        share([1.0, 0.0], ["a", "b"], [0, 1, 2])


# questions crossed with seeds


@given(rows=tables(answers=2))
def test_a_crossed_mean_is_made_of_the_mean_squares_of_a_two_way_table(rows: Rows) -> None:
    values, questions, seeds = rows
    y = np.array(values).reshape(max(questions) + 1, max(seeds) + 1, 2).mean(2)
    n_questions, n_seeds = y.shape
    assume(n_seeds > 1)
    by_question, by_seed = y.mean(1, keepdims=True), y.mean(0, keepdims=True)
    q = n_seeds * ((by_question - y.mean()) ** 2).sum() / (n_questions - 1) / y.size
    s = n_questions * ((by_seed - y.mean()) ** 2).sum() / (n_seeds - 1) / y.size
    e = ((y - by_question - by_seed + y.mean()) ** 2).sum() / ((n_questions - 1) * (n_seeds - 1)) / y.size
    tq, ts = (scipy_stats.t.ppf(0.975, n - 1) for n in (n_questions, n_seeds))
    half = np.sqrt(max(tq**2 * q + ts**2 * max(s - e, 0), ts**2 * s))
    got = crossed_mean(*rows)
    assert got.value == pytest.approx(y.mean(), abs=1e-9)
    assert ends(got) == pytest.approx((y.mean() - half, y.mean() + half), rel=1e-6, abs=1e-6)
    assert (got.n, got.n_seeds, got.n_values) == (n_questions, n_seeds, y.size * 2)


@given(rows=tables(answers=2))
def test_a_crossed_mean_is_never_surer_than_the_means_of_questions_or_of_seeds(rows: Rows) -> None:
    values, questions, seeds = rows
    low, high = ends(crossed_mean(*rows))
    for labels in (questions, seeds):
        alone = clustered_mean(values, labels)
        if alone.ci_low is not None:
            assert high - low >= (alone.ci_high - alone.ci_low) * (1 - 1e-9) - 1e-9


@given(rows=tables(answers=2))
def test_one_seed_is_the_clustered_mean_of_questions(rows: Rows) -> None:
    values, questions, _ = rows
    expected = clustered_mean(values, questions)
    for got in (crossed_mean(values, questions), crossed_mean(values, questions, ["only"] * len(values))):
        assert got.value == pytest.approx(expected.value, abs=1e-9)
        assert ends(got) == pytest.approx(ends(expected), abs=1e-7)
        assert (got.n, got.n_seeds) == (expected.n, 1)


def test_one_question_under_several_seeds_counts_the_seeds() -> None:
    got = crossed_mean([1.0, 2.0, 4.0], ["q"] * 3, [0, 1, 2])
    assert (got.n, got.n_seeds) == (1, 3)
    assert ends(got) == pytest.approx(ends(mean([1.0, 2.0, 4.0])))


@given(rows=tables(answers=2), factor=st.floats(0.1, 10), offset=FLOATS, data=st.data())
def test_a_crossed_mean_follows_units_signs_names_and_order(
    rows: Rows, factor: float, offset: float, data: st.DataObject
) -> None:
    values, questions, seeds = rows
    plain = crossed_mean(*rows)
    low, high = ends(plain)
    close = {"rel": 1e-6, "abs": 1e-6}
    moved = crossed_mean([factor * x + offset for x in values], questions, seeds)
    assert ends(moved) == pytest.approx((factor * low + offset, factor * high + offset), **close)
    assert ends(crossed_mean([-x for x in values], questions, seeds)) == pytest.approx((-high, -low), **close)
    order = data.draw(st.permutations(range(len(values))))
    named = [(values[i], f"question {questions[i]}", (seeds[i],)) for i in order]
    assert ends(crossed_mean(*(list(column) for column in zip(*named, strict=True)))) == pytest.approx(
        (low, high), **close
    )


def test_missing_cells_leave_the_residual_of_the_additive_fit() -> None:
    draw = np.random.default_rng(1)
    kept = [(q, s) for q in range(6) for s in range(4) if draw.random() < 0.6]
    q, s = np.array(kept).T
    y = draw.normal(size=len(kept)) + s
    design = np.concatenate([np.eye(6)[q], np.eye(4)[s]], axis=1)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    e = (left**2).sum() / (len(y) - np.linalg.matrix_rank(design)) / len(y)
    parts = []
    for codes, size in ((q, 6), (s, 4)):
        sums = np.array([(y - y.mean())[codes == code].sum() for code in range(size)])
        parts.append((sums**2).sum() / len(y) ** 2 * size / (size - 1))
    tq, ts = scipy_stats.t.ppf(0.975, 5), scipy_stats.t.ppf(0.975, 3)
    half = np.sqrt(max(tq**2 * parts[0] + ts**2 * max(parts[1] - e, 0), ts**2 * parts[1]))
    assert parts[1] > e
    got = crossed_mean(y, q, s)
    assert got.ci_high - got.value == pytest.approx(half)


def test_seeds_that_saw_other_questions_still_have_an_interval() -> None:
    got = crossed_mean([1.0, 2.0, 3.0, 5.0], ["a", "b", "c", "d"], [0, 0, 1, 1])
    assert (got.n, got.n_seeds) == (4, 2)
    assert got.ci_low < got.value < got.ci_high


def test_cells_count_alike_however_many_answers_they_hold() -> None:
    assert crossed_mean([0.0] * 99 + [1.0], [0] * 99 + [1]).value == 0.5
    assert share([0] * 99 + [1], [0] * 99 + [1]).value == 0.5


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_the_crossed_interval_covers_with_few_seeds_and_one_of_questions_alone_does_not(n_seeds: int) -> None:
    draw = np.random.default_rng(0)
    questions, seeds = (axis.ravel() for axis in np.indices((20, n_seeds)))
    covered = {"crossed": 0, "questions": 0}
    for _ in range(400):
        x = (draw.normal(size=(20, 1)) + 0.5 * draw.normal(size=(1, n_seeds)) + draw.normal(size=(20, n_seeds))).ravel()
        for name, found in (
            ("crossed", crossed_mean(x, questions, seeds)),
            ("questions", clustered_mean(x, questions)),
        ):
            covered[name] += found.ci_low <= 0 <= found.ci_high
    assert covered["crossed"] >= 0.92 * 400
    assert covered["questions"] <= 0.88 * 400


# shares


@given(right=st.lists(st.booleans(), min_size=2, max_size=60))
def test_one_answer_a_question_is_wilsons_interval(right: list[bool]) -> None:
    got = share(right, range(len(right)))
    expected = proportion(float(np.mean(right)), len(right))
    assert (got.value, got.n, got.n_seeds, got.n_values) == (expected.value, len(right), 1, len(right))
    assert ends(got) == pytest.approx(ends(expected), abs=1e-12)


@given(rows=tables(values=st.booleans(), answers=4))
def test_a_share_lies_in_its_interval_and_the_interval_between_0_and_1(rows: Rows) -> None:
    got = share(*rows)
    low, high = ends(got)
    assert got.value == pytest.approx(np.mean(rows[0]))
    assert 0 <= low <= got.value + 1e-12
    assert got.value - 1e-12 <= high <= 1
    assert high - low > 0


@given(rows=tables(values=st.booleans(), answers=4))
def test_a_share_and_its_complement_mirror_each_other(rows: Rows) -> None:
    values, questions, seeds = rows
    low, high = ends(share(*rows))
    assert ends(share([not x for x in values], questions, seeds)) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(rows=tables(values=st.booleans(), answers=4))
def test_a_higher_level_never_gives_a_shorter_interval_of_a_share(rows: Rows) -> None:
    narrow, wide = ends(share(*rows, level=0.8)), ends(share(*rows, level=0.99))
    assert wide[0] <= narrow[0] + 1e-9
    assert wide[1] >= narrow[1] - 1e-9


@pytest.mark.parametrize("value", [0, 1])
def test_when_all_answers_agree_the_questions_are_counted_and_not_the_answers(value: int) -> None:
    got = share([value] * 200, np.repeat(np.arange(10), 20))
    assert ends(got) == pytest.approx(ends(proportion(float(value), 10)))
    under_seeds = share([value] * 200, np.repeat(np.arange(10), 20), np.tile(np.arange(4), 50))
    assert ends(under_seeds) == ends(got)
    assert ends(share([value] * 3, ["q"] * 3, [0, 1, 2])) == pytest.approx(ends(proportion(float(value), 3)))


def test_a_rate_that_one_question_brings_is_as_uncertain_as_if_each_gave_one_answer() -> None:
    questions = np.repeat(np.arange(10), 20)
    assert ends(share(questions == 3, questions)) == pytest.approx(ends(proportion(0.1, 10)))


def test_a_rate_that_every_question_brings_alike_is_as_certain_as_its_answers() -> None:
    questions = np.repeat(np.arange(40), 20)
    assert ends(share(np.tile(np.arange(20) < 2, 40), questions)) == pytest.approx(ends(proportion(0.1, 800)))


def test_a_rate_that_one_seed_brings_is_less_certain_than_one_that_all_bring() -> None:
    questions, seeds, answer = (axis.ravel() for axis in np.indices((20, 5, 10)))
    one, all_ = (share(x, questions, seeds) for x in ((seeds == 2) & (answer < 5), answer < 1))
    assert (one.value, all_.value) == pytest.approx((0.1, 0.1))
    assert ends(all_) == pytest.approx(ends(proportion(0.1, 1000)))
    assert one.ci_high > ends(proportion(0.1, 5))[1]


@pytest.mark.parametrize(("p", "n_questions", "answers"), [(0.01, 40, 10), (0.1, 8, 50), (0.02, 200, 1)])
def test_the_interval_of_a_small_share_covers_where_answers_cluster(p: float, n_questions: int, answers: int) -> None:
    draw = np.random.default_rng(0)
    questions = np.repeat(np.arange(n_questions), answers)
    covered = rows_alone = 0
    for _ in range(400):
        rates = np.repeat(draw.beta(4 * p, 4 * (1 - p), size=n_questions), answers)
        right = draw.random(len(rates)) < rates
        low, high = ends(share(right, questions))
        covered += low <= p <= high
        low, high = ends(proportion(float(right.mean()), len(right)))
        rows_alone += low <= p <= high
    assert covered >= 0.92 * 400
    assert answers == 1 or rows_alone <= 0.85 * 400


def test_the_interval_of_a_share_covers_with_three_seeds() -> None:
    draw = np.random.default_rng(0)
    questions, seeds, _ = (axis.ravel() for axis in np.indices((20, 3, 5)))
    covered = 0
    for _ in range(400):
        latent = 0.5 * draw.normal(size=(20, 1, 1)) + 0.4 * draw.normal(size=(1, 3, 1))
        rates = scipy_stats.norm.cdf((scipy_stats.norm.ppf(0.2) - latent) / np.sqrt(1 - 0.41))
        low, high = ends(share((draw.random((20, 3, 5)) < rates).ravel(), questions, seeds))
        covered += low <= 0.2 <= high
    assert covered >= 0.92 * 400


@pytest.mark.parametrize("values", [[0.0, 1.5], [-0.5, 0.5, 2.0]])
def test_shares_of_values_outside_0_and_1_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\], got (1\.5|-0\.5)"):
        share(values, ["q"] * len(values))


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), 40.0])
def test_a_proportion_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"got {value}"):
        proportion(value, 50)


# missing, empty, single


@pytest.mark.parametrize(
    "estimate",
    [
        mean,
        lambda x: clustered_mean(x, range(len(x))),
        lambda x: crossed_mean(x, range(len(x))),
        lambda x: share(x, range(len(x))),
    ],
)
def test_missing_values_are_refused_and_counted(estimate: Callable[..., Estimate]) -> None:
    for values in ([1.0, None, float("nan"), 0.0], np.array([np.nan, 1.0, np.inf, 0.0])):
        with pytest.raises(ValueError, match="2 of 4 values are missing"):
            estimate(values)
    with pytest.raises(ValueError, match="must be numbers, got str"):
        estimate([1.0, "0.5"])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        estimate([[1.0, 0.0]])


def test_what_is_undefined_is_none_and_not_zero() -> None:
    assert mean([]) == Estimate(None, None, None, 0)
    assert mean([2.0]) == Estimate(2.0, None, None, 1)
    assert proportion(0.0, 0) == Estimate(None, None, None, 0)
    assert clustered_mean([], []) == Estimate(None, None, None, 0)
    assert crossed_mean([], [], []) == share([], []) == CrossedEstimate(None, None, None, 0, n_seeds=0, n_values=0)
    assert share([1, 0], ["q", "q"]) == CrossedEstimate(0.5, None, None, 1, n_seeds=1, n_values=2)
    assert crossed_mean([3.0], ["q"], [7]) == CrossedEstimate(3.0, None, None, 1, n_seeds=1, n_values=1)


def test_an_estimate_changes_units_and_becomes_a_row() -> None:
    assert Estimate(2.0, 1.0, 3.0, 5).scaled(0.5) == Estimate(1.0, 0.5, 1.5, 5)
    assert Estimate(None, None, None, 0).scaled(2.0) == Estimate(None, None, None, 0)
    assert Estimate(2.0, None, None, 1).row() == {"value": 2.0, "ci_low": None, "ci_high": None, "n": 1}
    crossed = CrossedEstimate(2.0, 1.0, 3.0, 5, n_seeds=3, n_values=30)
    assert crossed.scaled(2.0) == CrossedEstimate(4.0, 2.0, 6.0, 5, n_seeds=3, n_values=30)
    assert crossed.row() == {"value": 2.0, "ci_low": 1.0, "ci_high": 3.0, "n": 5, "n_seeds": 3, "n_values": 30}

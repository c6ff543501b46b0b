"""Projections, shifts and predictions: laws, and a naive computation of every number in them."""

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from torch import Tensor

from interp.errors import InterpError
from interp.projection import (
    Prediction,
    cluster_means,
    cosine,
    predicts,
    project,
    projection_difference,
    shift,
    token_projections,
    unit_vectors,
)
from tests.reference import projection as plain

SEEDS = st.integers(0, 10_000)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(seed=SEEDS, a=st.floats(-10, 10), b=st.floats(-10, 10))
def test_projection_is_linear(seed: int, a: float, b: float) -> None:
    x, y, v = draw(seed, 3, 8), draw(seed + 1, 3, 8), draw(seed + 2, 8)
    torch.testing.assert_close(project(a * x + b * y, v), a * project(x, v) + b * project(y, v), **CLOSE)


@given(seed=SEEDS, scale=st.floats(1e-20, 1e20))
def test_projection_does_not_depend_on_the_length_of_v(seed: int, scale: float) -> None:
    h, v = draw(seed, 3, 8), draw(seed + 1, 8)
    torch.testing.assert_close(project(h, scale * v), project(h, v), **CLOSE)
    torch.testing.assert_close(project(h, -scale * v), -project(h, v), **CLOSE)


@given(seed=SEEDS, steps=st.floats(-5, 5))
def test_moving_along_v_moves_the_projection_by_as_much(seed: int, steps: float) -> None:
    h, v = draw(seed, 3, 8), draw(seed + 1, 8)
    torch.testing.assert_close(project(h + steps * v / v.norm(), v), project(h, v) + steps, **CLOSE)


@given(seed=SEEDS)
def test_cosine_equals_torchs(seed: int) -> None:
    h, v = draw(seed, 2, 3, 8), draw(seed + 1, 8)
    torch.testing.assert_close(cosine(h, v), torch.cosine_similarity(h, v.expand_as(h), dim=-1), **CLOSE)


def test_zero_directions_are_refused() -> None:
    for call in (lambda: project(torch.ones(2, 4), torch.zeros(4)), lambda: cosine(torch.ones(2, 4), torch.zeros(4))):
        with pytest.raises(ValueError, match="v is zero"):
            call()
    with pytest.raises(ValueError, match="v is zero"):
        shift(torch.ones(2, 4), torch.zeros(2, 4), torch.zeros(4), torch.ones(3, 4))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_directions_that_are_not_finite_are_refused(bad: float) -> None:
    v = torch.tensor([1.0, bad])
    with pytest.raises(ValueError, match="v holds a value that is not finite"):
        project(torch.ones(3, 2), v)
    with pytest.raises(ValueError, match="v holds a value that is not finite"):
        shift(torch.ones(2, 2), torch.zeros(2, 2), v, torch.ones(3, 2))


def test_a_bad_null_is_named_by_its_index() -> None:
    stage, reference, nulls = draw(0, 3, 4), draw(1, 3, 4), draw(2, 6, 4)
    nulls[4] = 0
    with pytest.raises(ValueError, match="null 4 is zero"):
        shift(stage, reference, draw(3, 4), nulls)
    nulls[1, 2] = math.nan
    with pytest.raises(ValueError, match="null 1 holds a value that is not finite"):
        shift(stage, reference, draw(3, 4), nulls)


def test_a_row_that_is_not_finite_is_named_and_gives_no_percentile() -> None:
    stage, reference = draw(0, 3, 4), draw(1, 3, 4)
    stage[2, 1] = math.nan
    with pytest.raises(InterpError, match="stage minus reference: row 2 holds a value that is not finite"):
        shift(stage, reference, draw(2, 4), draw(3, 5, 4))


def test_unit_vectors_keep_the_direction_of_very_short_and_very_long_ones() -> None:
    v = draw(0, 8).double()
    for scale in (1e-30, 1.0, 1e30):
        torch.testing.assert_close(unit_vectors((scale * v).float()), v / v.norm(), rtol=1e-6, atol=1e-6)
    assert unit_vectors(v).dtype == torch.float64


def test_a_projection_survives_a_massive_common_component() -> None:
    """Float32 sums lose the small part when the large ones cancel only at the end."""
    d = 4096
    h, v = torch.full((d,), 4096.0), torch.ones(d)
    v[1::2] = -1
    h[-1] += 0.25
    assert float(project(h, v)) == pytest.approx(plain.projection(h.tolist(), v.tolist()), rel=1e-6)
    assert float(project(h, v)) == pytest.approx(-0.25 / 64, rel=1e-6)


@given(seed=SEEDS)
def test_a_projection_equals_the_papers_formula(seed: int) -> None:
    h, v = draw(seed, 8), draw(seed + 1, 8)
    assert float(project(h, v)) == pytest.approx(plain.projection(h.tolist(), v.tolist()), abs=1e-6)


@given(seed=SEEDS)
def test_every_token_is_projected_on_every_unit(seed: int) -> None:
    h, directions = draw(seed, 2, 5, 8), draw(seed + 1, 3, 8)
    got = token_projections(h, unit_vectors(directions))
    for b, t, k in np.ndindex(2, 5, 3):
        assert float(got[b, t, k]) == pytest.approx(float(project(h[b, t], directions[k])), abs=1e-5)


def test_tokens_of_a_bfloat16_model_are_projected_in_float32() -> None:
    h, units = draw(0, 2, 5, 64).bfloat16(), unit_vectors(draw(1, 3, 64))
    got = token_projections(h, units)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, token_projections(h.float(), units), rtol=0, atol=0)


@given(seed=SEEDS, of=st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_cluster_means_equal_a_loop_in_order_of_appearance(seed: int, of: list[int]) -> None:
    rows = draw(seed, len(of), 6)
    names = [f"question {i}" for i in of]
    expected = torch.tensor(plain.by_cluster(rows.tolist(), names), dtype=torch.float64)
    torch.testing.assert_close(cluster_means(rows, names), expected)
    torch.testing.assert_close(cluster_means(rows, None), rows.double(), rtol=0, atol=0)


def test_clusters_that_do_not_fit_the_rows_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="one cluster a row: got 2 for 3 rows"):
        shift(draw(0, 3, 4), draw(1, 3, 4), draw(2, 4), draw(3, 5, 4), clusters=[0, 1])


def test_the_cosine_of_a_zero_row_is_not_a_number() -> None:
    assert math.isnan(float(cosine(torch.zeros(4), torch.ones(4))))


@given(seed=SEEDS, n=st.integers(2, 20), n_null=st.integers(2, 40))
def test_a_shift_equals_a_naive_computation(seed: int, n: int, n_null: int) -> None:
    stage, reference = draw(seed, n, 8), draw(seed + 1, n, 8)
    v, nulls = draw(seed + 2, 8) * 3, draw(seed + 3, n_null, 8) * 5
    got = shift(stage, reference, v, nulls)
    rows = [plain.minus(a, b) for a, b in zip(stage.tolist(), reference.tolist(), strict=True)]
    along = [plain.projection(row, v.tolist()) for row in rows]
    moved = plain.mean_of(rows)
    moves = [plain.projection(moved, null) for null in nulls.tolist()]
    value, sd = float(np.mean(along)), plain.spread_about_zero(moves)
    half = scipy_stats.t.ppf(0.975, n - 1) * np.std(along, ddof=1) / math.sqrt(n)
    assert got.raw.n == n
    assert got.raw.value == pytest.approx(value, abs=1e-6)
    assert (got.raw.ci_low, got.raw.ci_high) == pytest.approx((value - half, value + half), abs=1e-6)
    assert got.null_sd == pytest.approx(sd, rel=1e-6)
    assert got.in_null_spreads.value == pytest.approx(value / sd, rel=1e-5, abs=1e-6)
    assert got.percentile == pytest.approx(plain.percentile_among(value, moves), abs=1e-6)
    assert got.cosine == pytest.approx(plain.cosine(moved, v.tolist()), abs=1e-6)
    assert (got.null_low, got.null_high) == pytest.approx(tuple(np.quantile(np.divide(moves, sd), [0.025, 0.975])))
    assert got.n_null == n_null


def test_nulls_that_all_moved_one_way_make_a_shift_less_remarkable() -> None:
    """The spread is about zero: taken about the nulls' mean it would be tiny here, and the shift enormous."""
    reference, v = torch.zeros(4, 8), draw(0, 8)
    nulls = v + 0.01 * draw(1, 30, 8)
    got = shift(reference + v / v.norm(), reference, v, nulls)
    assert got.in_null_spreads.value == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("n_null", [0, 1, 2, 3])
def test_small_families_of_nulls_say_what_they_can(n_null: int) -> None:
    reference, v = torch.zeros(4, 8), draw(0, 8)
    nulls = draw(1, n_null, 8)
    got = shift(reference + v, reference, v, nulls)
    assert got.n_null == n_null
    assert got.percentile == (100 if n_null else None)
    known = n_null >= 2
    assert [x is not None for x in (got.null_sd, got.null_low, got.null_high)] == [known] * 3
    assert (got.in_null_spreads.value is not None) == known
    assert got.in_null_spreads.n == got.raw.n == 4
    assert got.cosine == pytest.approx(1)


def test_without_rows_nothing_is_said() -> None:
    got = shift(draw(0, 0, 8), draw(1, 0, 8), draw(2, 8), draw(3, 5, 8))
    assert (got.raw.value, got.raw.n, got.null_sd, got.percentile, got.cosine) == (None, 0, None, None, None)


@given(seed=SEEDS)
def test_a_shift_there_and_back_changes_sign(seed: int) -> None:
    a, b, v, nulls = draw(seed, 9, 8), draw(seed + 1, 9, 8), draw(seed + 2, 8), draw(seed + 3, 20, 8)
    there, back = shift(a, b, v, nulls), shift(b, a, v, nulls)
    assert there.raw.value == pytest.approx(-back.raw.value)
    assert there.percentile == pytest.approx(100 - back.percentile)
    assert there.cosine == pytest.approx(-back.cosine)
    assert there.null_sd == pytest.approx(back.null_sd)


def test_a_planted_shift_is_found_and_a_null_one_is_not_flagged() -> None:
    reference, v = draw(0, 60, 64), draw(1, 64)
    nulls = draw(2, 400, 64)
    noise = 0.5 * draw(3, 60, 64)
    planted = shift(reference + noise + 0.8 * v / v.norm(), reference, v, nulls)
    assert planted.raw.value == pytest.approx(0.8, abs=0.2)
    assert planted.raw.ci_low > 0
    assert planted.percentile > 99
    assert planted.in_null_spreads.value > 3
    across = draw(4, 64)
    across -= (across @ v) / (v @ v) * v
    sideways = shift(reference + noise + 0.8 * across / across.norm(), reference, v, nulls)
    assert abs(sideways.in_null_spreads.value) < 2
    assert sideways.raw.ci_low < 0 < sideways.raw.ci_high


def test_null_shifts_are_flagged_at_their_rate() -> None:
    """Isotropic displacements: the percentile along a fixed direction is uniform."""
    nulls, v = draw(0, 200, 64), draw(1, 64)
    reference = torch.zeros(5, 64)
    percentiles = [shift(reference + draw(10 + i, 5, 64), reference, v, nulls).percentile for i in range(400)]
    assert 0.02 < np.mean([p > 95 for p in percentiles]) < 0.09
    assert 0.02 < np.mean([p < 5 for p in percentiles]) < 0.09


def test_no_movement_is_no_shift() -> None:
    h = draw(0, 4, 8)
    got = shift(h, h, draw(1, 8), draw(2, 5, 8))
    assert (got.raw.value, got.null_sd, got.percentile, got.cosine) == (0, 0, 50, None)
    assert (got.null_low, got.null_high) == (None, None)
    assert got.in_null_spreads.value is None
    assert got.in_null_spreads.n == 4


def test_an_interval_over_questions_is_wider_than_one_over_rows() -> None:
    reference, v, nulls = torch.zeros(20, 8), draw(1, 8), draw(2, 5, 8)
    stage = draw(3, 4, 8).repeat_interleave(5, 0)
    by_row, by_question = (
        shift(stage, reference, v, nulls),
        shift(stage, reference, v, nulls, [i // 5 for i in range(20)]),
    )
    assert (by_row.raw.n, by_question.raw.n) == (20, 4)
    assert by_row.raw.value == pytest.approx(by_question.raw.value)
    assert by_question.raw.ci_high - by_question.raw.ci_low > by_row.raw.ci_high - by_row.raw.ci_low


def test_the_nulls_are_weighted_as_the_shift_is_when_questions_have_unequal_rows() -> None:
    """A null equal to `v` must move exactly as far as `v` does; otherwise the ratio compares two different means."""
    stage, reference, v = draw(0, 6, 8), torch.zeros(6, 8), draw(1, 8)
    got = shift(stage, reference, v, torch.stack([v, -2 * v]), clusters=[0, 0, 0, 0, 0, 1])
    assert got.null_sd == pytest.approx(abs(got.raw.value), rel=1e-5)


def test_unpaired_stages_are_refused_with_their_sizes() -> None:
    with pytest.raises(ValueError, match="a shift is paired: got 3 rows against 2"):
        unwrap(shift)(draw(0, 3, 4), draw(1, 2, 4), draw(2, 4), draw(3, 5, 4))  # without the type checker of tests


@given(seed=SEEDS, n=st.integers(2, 12))
def test_a_projection_difference_equals_the_papers_formula(seed: int, n: int) -> None:
    training, own, v, nulls = draw(seed, n, 8), draw(seed + 1, n, 8), draw(seed + 2, 8), draw(seed + 3, 9, 8)
    got = projection_difference(training, own, v, nulls)
    expected = plain.projection_difference(training.tolist(), own.tolist(), v.tolist())
    assert got.raw.value == pytest.approx(expected, abs=1e-6)
    assert (got.raw.n, got.n_null) == (n, 9)
    assert got == shift(training, own, v, nulls)
    clusters = ["first", *["second"] * (n - 1)]
    assert projection_difference(training, own, v, nulls, clusters) == shift(training, own, v, nulls, clusters)


def test_a_projection_difference_without_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="paired by prompt: got 3 training answers and 2 own ones"):
        unwrap(projection_difference)(draw(0, 3, 4), draw(1, 2, 4), draw(2, 4), draw(3, 5, 4))


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@given(seed=SEEDS, n=st.integers(4, 15), n_null=st.integers(2, 30), ties=st.booleans())
def test_a_prediction_equals_naive_correlations(seed: int, n: int, n_null: int, ties: bool) -> None:
    predicted, observed, nulls = numbers(seed, n), numbers(seed + 1, n), numbers(seed + 2, n_null, n)
    if ties:
        predicted, nulls = predicted.round(), nulls.round()
    got = predicts(predicted, observed, nulls)
    for found, formula, ranked in ((got.pearson, plain.pearson, False), (got.spearman, plain.spearman, True)):
        varied = [null for null in nulls if len(set(null)) > 1]
        reached = [formula(null, observed) for null in varied]
        assert found.band.n_null == len(varied)
        assert found.r.n == n
        if len(set(predicted)) == 1:
            assert (found.r.value, found.band.percentile, found.strength_percentile) == (None, None, None)
            continue
        r = formula(predicted, observed)
        assert found.r.value == pytest.approx(r, abs=1e-9)
        if abs(r) < 1 - 1e-9:
            assert (found.r.ci_low, found.r.ci_high) == pytest.approx(plain.fisher_interval(r, n, ranked), abs=1e-9)
        places = plain.percentile_among(r, reached), plain.percentile_among(abs(r), np.abs(reached))
        if min(abs(abs(r) - abs(x)) for x in reached) > 1e-9:  # rounding decides ties of rank correlations
            assert (found.band.percentile, found.strength_percentile) == pytest.approx(places)
        assert (found.band.low, found.band.high) == pytest.approx(tuple(np.quantile(reached, [0.025, 0.975])), abs=1e-9)


def test_pearsons_interval_is_scipys() -> None:
    x, y = numbers(0, 9), numbers(1, 9)
    r = predicts(x, y, numbers(2, 5, 9)).pearson.r
    expected = scipy_stats.pearsonr(x, y)
    assert (r.value, r.ci_low, r.ci_high) == pytest.approx((expected[0], *expected.confidence_interval()))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_too_few_arms_have_no_correlation_and_say_how_many(n: int) -> None:
    got = predicts(numbers(0, n), numbers(1, n), numbers(2, 6, n))
    for found in (got.pearson, got.spearman):
        assert (found.r.value, found.r.ci_low, found.r.ci_high, found.r.n) == (None, None, None, n)
        assert (found.band.percentile, found.band.low, found.strength_percentile) == (None, None, None)


def test_a_perfect_rank_correlation_has_no_interval_of_zero_width() -> None:
    r = predicts(np.array([1.0, 2, 4, 9, 16]), np.array([0.0, 1, 2, 3, 4]), numbers(0, 5, 5)).spearman.r
    assert (r.value, r.ci_low, r.ci_high, r.n) == (pytest.approx(1), None, None, 5)


def test_a_null_that_predicts_as_well_with_the_other_sign_counts_against_the_strength_alone() -> None:
    predicted = observed = np.arange(8.0)
    close = predicted + 0.5 * numbers(0, 20, 8)
    got = predicts(observed + numbers(1, 8), observed, -close).pearson
    assert got.band.percentile == 100
    assert got.strength_percentile < 50


@pytest.mark.parametrize("n_null", [0, 1])
def test_a_prediction_without_enough_nulls_has_no_band(n_null: int) -> None:
    band = predicts(numbers(0, 6), numbers(1, 6), numbers(2, n_null, 6)).pearson.band
    assert (band.low, band.high, band.n_null) == (None, None, n_null)
    assert (band.percentile is None) == (n_null == 0)


def test_nulls_may_predict_their_own_shifts() -> None:
    own = numbers(0, 10, 6)
    alone = predicts(numbers(1, 6), numbers(2, 6), own)
    theirs = predicts(numbers(1, 6), numbers(2, 6), own, 3 * own + 1)
    assert alone.pearson.r == theirs.pearson.r
    assert theirs.pearson.band.low == pytest.approx(1)
    assert alone.pearson.band.low < 0.9


def test_random_predictions_stand_at_every_percentile() -> None:
    """When the direction is no better than its nulls, its place among them is uniform."""
    places = [predicts(numbers(i, 8), numbers(1000 + i, 8), numbers(2000 + i, 99, 8)) for i in range(200)]
    for kind in ("pearson", "spearman"):
        found = [getattr(place, kind).band.percentile for place in places]
        assert scipy_stats.kstest(found, "uniform", args=(0, 100)).pvalue > 0.01


def refused(**changes: np.ndarray) -> Prediction:
    given = {"predicted": numbers(0, 5), "observed": numbers(1, 5), "null_predicted": numbers(2, 3, 5)}
    return unwrap(predicts)(**{**given, **changes})


def test_arms_that_do_not_match_or_are_missing_are_named() -> None:
    with pytest.raises(ValueError, match="observed has 4 arms, predicted has 5"):
        refused(observed=numbers(1, 4))
    with pytest.raises(ValueError, match="null_predicted has 6 arms, predicted has 5"):
        refused(null_predicted=numbers(1, 3, 6))
    with pytest.raises(ValueError, match="null_observed has 2 nulls, null_predicted has 3"):
        refused(null_observed=numbers(1, 2, 5))
    missing = numbers(1, 5)
    missing[3] = math.nan
    with pytest.raises(ValueError, match="observed holds a value that is not finite for arm 3"):
        refused(observed=missing)


@pytest.mark.parametrize("n", [4, 7])
def test_an_interval_rests_on_the_arms_that_are_independent(n: int) -> None:
    x, y, nulls = numbers(1, 12), numbers(2, 12), numbers(3, 5, 12)
    whole, fewer = predicts(x, y, nulls).pearson, predicts(x, y, nulls, independent=n).pearson
    assert (fewer.r.value, fewer.band) == (whole.r.value, whole.band)
    half = scipy_stats.norm.ppf(0.975) / math.sqrt(n - 3)
    assert fewer.r.n == n
    assert fewer.r.value is not None
    assert fewer.r.ci_low == pytest.approx(math.tanh(math.atanh(fewer.r.value) - half), abs=1e-12)
    assert fewer.r.ci_high == pytest.approx(math.tanh(math.atanh(fewer.r.value) + half), abs=1e-12)


def test_three_independent_arms_have_a_correlation_and_no_interval() -> None:
    r = predicts(numbers(1, 12), numbers(2, 12), numbers(3, 5, 12), independent=3).pearson.r
    assert r.value is not None
    assert (r.ci_low, r.ci_high, r.n) == (None, None, 3)


@pytest.mark.parametrize("n", [0, 13])
def test_no_more_arms_are_independent_than_there_are(n: int) -> None:
    with pytest.raises(ValueError, match=f"got {n}"):
        predicts(numbers(1, 12), numbers(2, 12), numbers(3, 5, 12), independent=n)

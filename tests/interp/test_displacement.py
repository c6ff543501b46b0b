"""What displacements are made of and whose they resemble: laws, naive formulas, and noise of known size."""

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from torch import Tensor

from interp.displacement import decompose, displacement_cosines, span_share
from interp.errors import InterpError
from tests.reference import projection as plain

SEEDS = st.integers(0, 10_000)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotation(seed: int, d: int) -> Tensor:
    return torch.linalg.qr(draw(seed, d, d).double()).Q


# One displacement


@given(seed=SEEDS, k=st.integers(1, 6))
def test_a_decomposition_equals_naive_formulas(seed: int, k: int) -> None:
    x, directions = draw(seed, 8), draw(seed + 1, k, 8) * 7
    got = decompose(x, directions)
    assert got.length == pytest.approx(plain.length(x.tolist()))
    for part, v in zip(got.parts, directions.tolist(), strict=True):
        assert part.projection == pytest.approx(plain.projection(x.tolist(), v), abs=1e-6)
        assert part.share == pytest.approx(plain.cosine(x.tolist(), v) ** 2, abs=1e-6)
    assert got.span_share == pytest.approx(plain.span_share(x.tolist(), directions.tolist()), abs=1e-6)
    assert got.span_length == pytest.approx(math.sqrt(got.span_share) * got.length)
    assert got.rest_length == pytest.approx(math.sqrt(got.rest_share) * got.length)
    assert (got.rank, got.expected_share, got.dropped, got.nulls) == (k, k / 8, (), None)


@given(seed=SEEDS, k=st.integers(1, 12))
def test_span_and_rest_make_the_whole_and_no_single_direction_holds_more_than_the_span(seed: int, k: int) -> None:
    got = decompose(draw(seed, 8), draw(seed + 1, k, 8))
    assert got.span_share + got.rest_share == pytest.approx(1, abs=1e-12)
    assert got.span_share >= max(part.share for part in got.parts) - 1e-9
    assert got.rank == min(k, 8)


@given(seed=SEEDS, k=st.integers(1, 8))
def test_shares_of_orthogonal_directions_add_up(seed: int, k: int) -> None:
    directions = (rotation(seed, 8)[:k] * 5).float()
    got = decompose(draw(seed + 1, 8), directions)
    assert sum(part.share for part in got.parts) == pytest.approx(got.span_share, abs=1e-6)


@given(seed=SEEDS, scale=st.floats(1e-6, 1e6), factors=st.lists(st.floats(0.01, 100), min_size=3, max_size=3))
def test_shares_do_not_depend_on_lengths_or_signs(seed: int, scale: float, factors: list[float]) -> None:
    x, directions = draw(seed, 8), draw(seed + 1, 3, 8)
    one, other = decompose(x, directions), decompose(scale * x, -torch.tensor(factors)[:, None] * directions)
    assert other.span_share == pytest.approx(one.span_share, abs=1e-5)
    assert [p.projection for p in other.parts] == pytest.approx([-scale * p.projection for p in one.parts], rel=1e-3)


@given(seed=SEEDS, weights=st.lists(st.floats(0.1, 3), min_size=2, max_size=2))
def test_a_dependent_direction_is_named_and_adds_nothing(seed: int, weights: list[float]) -> None:
    x, directions = draw(seed, 64), draw(seed + 1, 3, 64)
    mixed = weights[0] * directions[0] - weights[1] * directions[1]
    got = decompose(x, torch.stack([*directions[:2], mixed, directions[2]]), names=["evil", "kind", "mixed", "rude"])
    assert got.dropped == ("mixed",)
    assert [part.dropped for part in got.parts] == [False, False, True, False]
    assert got.rank == 3
    assert got.span_share == pytest.approx(decompose(x, directions).span_share, abs=1e-6)
    assert got.parts[2].projection == pytest.approx(plain.projection(x.tolist(), mixed.tolist()), abs=1e-5)


def test_a_dependent_direction_does_not_hide_the_ones_after_it() -> None:
    """QR of a set with a repeated vector fills the gap with any axis, here the very one that comes next."""
    axes = torch.eye(4)
    got = decompose(torch.tensor([3.0, 4.0, 0.0, 0.0]), torch.stack([axes[0], 2 * axes[0], axes[1]]))
    assert (got.rank, got.dropped, got.span_share) == (2, ("1",), pytest.approx(1))


def test_directions_beyond_the_dimensions_of_the_space_are_dropped() -> None:
    got = decompose(draw(0, 3), draw(1, 5, 3))
    assert (got.rank, got.dropped, got.expected_share) == (3, ("3", "4"), 1)
    assert got.rest_share == pytest.approx(0, abs=1e-12)


def test_nearly_parallel_directions_still_count_as_two() -> None:
    v = draw(0, 64)
    got = decompose(draw(1, 64), torch.stack([v, v + 0.01 * draw(2, 64)]))
    assert (got.rank, got.dropped) == (2, ())


def test_a_displacement_of_zero_has_no_shares() -> None:
    got = decompose(torch.zeros(8), draw(0, 2, 8), nulls=draw(1, 5, 2, 8))
    assert (got.length, got.span_share, got.rest_share, got.parts[0].share) == (0, None, None, None)
    assert (got.nulls.percentile, got.nulls.n_null) == (None, 0)


@given(seed=SEEDS, n=st.integers(2, 12))
def test_null_sets_go_through_the_same_decomposition(seed: int, n: int) -> None:
    x, directions, nulls = draw(seed, 8), draw(seed + 1, 3, 8), draw(seed + 2, n, 3, 8)
    got = decompose(x, directions, nulls=nulls)
    shares = [plain.span_share(x.tolist(), null.tolist()) for null in nulls]
    assert got.nulls.percentile == pytest.approx(plain.percentile_among(got.span_share, shares))
    assert (got.nulls.low, got.nulls.high) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])), abs=1e-6)
    assert got.nulls.n_null == n


def test_a_null_set_uses_the_counterparts_of_the_directions_that_count() -> None:
    """Three directions in a plane are compared with planes, not with random spaces of three dimensions."""
    x, v, nulls = draw(0, 16), draw(1, 2, 16), draw(2, 200, 3, 16)
    got = decompose(x, torch.stack([v[0], 2 * v[0], v[1]]), nulls=nulls)
    assert got.nulls == decompose(x, v, nulls=nulls[:, [0, 2]]).nulls


def test_random_spans_hold_their_share_on_average() -> None:
    x, nulls = draw(0, 40), draw(1, 2000, 5, 40)
    shares = [decompose(x, null).span_share for null in nulls[:300]]
    expected = decompose(x, nulls[0]).expected_share
    assert expected == 5 / 40
    assert np.mean(shares) == pytest.approx(expected, abs=4 * np.std(shares) / math.sqrt(300))


def test_bad_directions_nulls_and_names_are_refused_with_their_place() -> None:
    x, directions, nulls = draw(0, 8), draw(1, 2, 8), draw(2, 4, 2, 8)
    with pytest.raises(ValueError, match="direction 1 is zero"):
        decompose(x, torch.stack([directions[0], torch.zeros(8)]))
    with pytest.raises(ValueError, match="there are no directions"):
        decompose(x, draw(0, 0, 8))
    with pytest.raises(ValueError, match="the displacement holds a value that is not finite"):
        decompose(x / 0, directions)
    for names in (["evil"], ["evil", "evil"]):
        with pytest.raises(ValueError, match="names must be 2 different ones"):
            decompose(x, directions, names)
    bad = nulls.clone()
    bad[3, 1] = math.nan
    with pytest.raises(ValueError, match="null 3, direction 1 holds a value that is not finite"):
        decompose(x, directions, nulls=bad)
    bad = nulls.clone()
    bad[2, 1] = -3 * bad[2, 0]
    with pytest.raises(ValueError, match="null 2's directions are linearly dependent"):
        decompose(x, directions, nulls=bad)
    with pytest.raises(ValueError, match="one null a direction: got sets of 1 for 2"):
        unwrap(decompose)(x, directions, nulls=nulls[:, :1])


# The same over rows, with the noise taken out


@given(seed=SEEDS, n=st.integers(2, 8), k=st.integers(1, 3))
def test_measured_and_corrected_squares_equal_double_loops(seed: int, n: int, k: int) -> None:
    rows, basis = draw(seed, n, 8), rotation(seed + 1, 8)[:k]
    got = span_share(rows, (3 * basis).float(), seed=0, n_boot=100)
    inside = (rows.double() @ basis.T).tolist()
    for measured, corrected, y in (
        (got.squared_length, got.corrected_squared_length, rows.tolist()),
        (got.squared_span, got.corrected_squared_span, inside),
    ):
        assert measured.value == pytest.approx(plain.dot(plain.mean_of(y), plain.mean_of(y)), abs=1e-6)
        assert corrected.value == pytest.approx(plain.product_of_different(y, y), abs=1e-6)
    assert got.share.value == pytest.approx(
        decompose(rows.double().mean(0).float(), basis.float()).span_share, abs=1e-5
    )
    if got.corrected_squared_length.value > 0:
        expected = got.corrected_squared_span.value / got.corrected_squared_length.value
        assert got.corrected_share.value == pytest.approx(expected)
    else:
        assert got.corrected_share.value is None


def test_rows_of_one_question_are_one_unit() -> None:
    rows, directions, clusters = draw(0, 12, 8) + 1, draw(1, 2, 8), [0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 5, 5]
    means = torch.tensor(plain.by_cluster(rows.tolist(), clusters))
    got, expected = (
        span_share(rows, directions, clusters, seed=3),
        span_share(means, directions, seed=3),
    )
    assert got.share.n == got.corrected_share.n == 6
    assert got.corrected_share.value == pytest.approx(expected.corrected_share.value, rel=1e-4)
    assert got.corrected_share.ci_low == pytest.approx(expected.corrected_share.ci_low, rel=1e-3)
    assert got.share.value == pytest.approx(decompose(means.mean(0), directions).span_share, rel=1e-4)


@pytest.mark.parametrize("stretch", [1.0, 4.0])
def test_pure_noise_has_no_corrected_length_in_the_span_or_anywhere(stretch: float) -> None:
    """The measured share is what the noise holds of the span; the corrected squares are zero on average."""
    directions, reps = torch.eye(32)[:2], 200
    scale = torch.cat([torch.full((2,), stretch), torch.ones(30)])
    found = [span_share(draw(i, 20, 32) * scale, directions, seed=i, n_boot=100) for i in range(reps)]
    for name in ("corrected_squared_span", "corrected_squared_length"):
        values = np.array([getattr(one, name).value for one in found])
        assert abs(values.mean()) < 3.5 * values.std() / math.sqrt(reps)
    assert np.mean([one.squared_span.value for one in found]) == pytest.approx(2 * stretch**2 / 20, rel=0.2)
    share = np.mean([one.share.value for one in found])
    assert share == pytest.approx(2 / 32, abs=0.01) if stretch == 1 else share > 6 * 2 / 32
    silent = [one for one in found if one.corrected_share.value is None or one.corrected_share.ci_low is None]
    assert len(silent) > 0.9 * reps  # nothing was told from noise, and it says so


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_corrected_share_is_unbiased_and_its_interval_covers_where_the_measured_one_is_pulled(share: float) -> None:
    n, d, reps = 24, 64, 200
    mean = torch.zeros(d)
    mean[0], mean[10] = math.sqrt(share), math.sqrt(1 - share)
    scale = math.sqrt(n / d) * 0.4  # the noise of the mean has 0.16 of the signal's squared length
    found = [span_share(mean + scale * draw(i, n, d), torch.eye(d)[:3], seed=i, n_boot=150) for i in range(reps)]
    corrected = np.array([one.corrected_share.value for one in found])
    measured = np.array([one.share.value for one in found])
    error = corrected.std() / math.sqrt(reps)
    assert corrected.mean() == pytest.approx(share, abs=4 * error)
    assert measured.mean() == pytest.approx((share + 0.16 * 3 / d) / 1.16, abs=0.01)
    assert abs(measured.mean() - share) > 4 * error
    covered = [one.corrected_share.ci_low <= share <= one.corrected_share.ci_high for one in found]
    assert np.mean(covered) > 0.9


def test_intervals_contain_their_value_stay_possible_and_shrink_with_n() -> None:
    mean, directions = draw(0, 16), draw(1, 2, 16)
    widths = []
    for n in (8, 200):
        got = span_share(mean + draw(2, n, 16), directions, seed=0)
        for one in (got.share, got.corrected_share, got.squared_length, got.squared_span, got.corrected_squared_span):
            assert one.ci_low <= one.value <= one.ci_high
        assert got.share.ci_low >= 0
        assert got.share.ci_high <= 1
        assert got.squared_span.ci_low >= 0
        widths.append(got.corrected_share.ci_high - got.corrected_share.ci_low)
    assert widths[1] < 0.5 * widths[0]


def test_intervals_that_reach_beyond_what_is_possible_end_there() -> None:
    got = span_share(draw(1, 8, 16), draw(0, 2, 16), seed=0)
    assert (got.share.ci_low, got.squared_span.ci_low) == (0, 0)
    most = span_share(draw(1, 8, 16), draw(0, 15, 16), seed=0)
    assert most.share.ci_high == 1
    pair = displacement_cosines({"a": draw(2, 6, 1, 3), "b": draw(2, 6, 1, 3) + 0.5 * draw(3, 6, 1, 3)}, seed=0)
    assert pair.at("a", "b", 0).cosine.ci_high == 1


def test_intervals_are_the_naive_bootstraps() -> None:
    """Drawn cluster by drawn cluster, pairs of a cluster with itself left out of the corrected squares."""
    n, n_boot, seed = 6, 100, 4
    rows = draw(0, n, 5) + 3
    got = span_share(rows, torch.eye(5)[:2], seed=seed, n_boot=n_boot)
    counts = np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=n_boot)
    measured, corrected = [], []
    for draws in counts:
        which = [i for i, times in enumerate(draws) for _ in range(times)]
        mean = plain.mean_of([rows[i].tolist() for i in which])
        measured.append(plain.dot(mean, mean))
        products = [plain.dot(rows[i].tolist(), rows[j].tolist()) for i in which for j in which if i != j]
        corrected.append(math.fsum(products) / len(products))
    for one, replicates in ((got.squared_length, measured), (got.corrected_squared_length, corrected)):
        half = scipy_stats.t.ppf(0.975, n - 1) * np.std(replicates, ddof=1) * math.sqrt(n / (n - 1))
        assert (one.ci_low, one.ci_high) == pytest.approx((one.value - half, one.value + half), rel=1e-5)


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_the_same() -> None:
    rows, directions = draw(0, 30, 8) + 1, draw(1, 2, 8)
    one, again, other = (span_share(rows, directions, seed=seed) for seed in (5, 5, 6))
    assert one == again
    assert one.corrected_share.ci_low != other.corrected_share.ci_low
    assert one.corrected_share.ci_low == pytest.approx(other.corrected_share.ci_low, abs=0.02)
    assert one.corrected_share.value == other.corrected_share.value


@pytest.mark.parametrize("n", [1, 2, 4])
def test_too_few_clusters_have_no_interval(n: int) -> None:
    got = span_share(draw(0, n, 8) + 5, torch.ones(1, 8), seed=0)
    assert got.share.value is not None
    assert (got.share.ci_low, got.share.ci_high, got.share.n) == (None, None, n)
    assert (got.corrected_share.value is None) == (n == 1)


def test_noise_that_prefers_the_span_does_not_win_against_null_spans() -> None:
    """Measured, the span beats nearly every null; corrected, it does not: there is no signal in it."""
    scale = torch.cat([torch.full((6,), 6.0), torch.ones(58)])
    mean = torch.cat([torch.zeros(6), torch.full((58,), 0.5)])
    directions, nulls = torch.eye(64)[:6], draw(1, 200, 6, 64)
    measured, corrected = [], []
    for i in range(40):
        rows = mean + draw(100 + i, 40, 64) * scale
        measured.append(decompose(rows.mean(0), directions, nulls=nulls).nulls.percentile)
        got = span_share(rows, directions, seed=0, nulls=nulls, n_boot=100)
        corrected.append(got.nulls.percentile)
        assert got.nulls.n_null == 200
    assert np.mean(measured) > 80
    assert np.mean(corrected) < 55


def test_corrected_null_shares_equal_double_loops() -> None:
    rows, directions, nulls = draw(0, 6, 8) + 1, draw(1, 2, 8), draw(2, 5, 2, 8)
    got = span_share(rows, directions, seed=0, nulls=nulls)
    shares = [span_share(rows, null, seed=0).corrected_share.value for null in nulls]
    assert got.nulls.percentile == plain.percentile_among(got.corrected_share.value, shares)
    assert (got.nulls.low, got.nulls.high) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))


def test_a_dependent_direction_is_named_here_too() -> None:
    rows, v = draw(0, 8, 16) + 1, draw(1, 2, 16)
    got = span_share(rows, torch.stack([v[0], -v[0], v[1]]), seed=0, names=["evil", "good", "kind"])
    alone = span_share(rows, v, seed=0)
    assert (got.dropped, alone.dropped) == (("good",), ())
    assert got.corrected_share.value == pytest.approx(alone.corrected_share.value)
    assert got.expected_share == 2 / 16


def test_bad_rows_and_counts_are_refused() -> None:
    rows, directions = draw(0, 6, 8), draw(1, 2, 8)
    with pytest.raises(ValueError, match="differences has no rows"):
        span_share(rows[:0], directions, seed=0)
    with pytest.raises(ValueError, match="n_boot must be at least 100, got 10"):
        span_share(rows, directions, seed=0, n_boot=10)
    with pytest.raises(ValueError, match="got 5 for 6 rows"):
        span_share(rows, directions, list(range(5)), seed=0)
    rows[3, 0] = math.inf
    with pytest.raises(InterpError, match="differences: row 3 holds a value that is not finite"):
        span_share(rows, directions, seed=0)


# Stages against each other


@given(seed=SEEDS, n=st.integers(2, 6))
def test_cosines_and_corrections_equal_naive_formulas(seed: int, n: int) -> None:
    a, b = draw(seed, 2 * n, 2, 6), draw(seed + 1, 2 * n, 2, 6) + 0.5
    clusters = [i // 2 for i in range(2 * n)]
    table = displacement_cosines({"em": a, "sgtr": b}, clusters, seed=0, n_boot=100)
    for k in range(2):
        rows = {name: plain.by_cluster(x[:, k].tolist(), clusters) for name, x in (("em", a), ("sgtr", b))}
        pair = table.at("em", "sgtr", k)
        expected = plain.cosine(plain.mean_of(rows["em"]), plain.mean_of(rows["sgtr"]))
        assert pair.cosine.value == pytest.approx(expected, abs=1e-6)
        for name, y in rows.items():
            mean = plain.mean_of(y)
            reliability = plain.product_of_different(y, y) / plain.dot(mean, mean)
            assert pair.reliability[name] == pytest.approx(reliability, abs=1e-5)
        if min(pair.reliability.values()) > 0:
            assert pair.corrected.value == pytest.approx(plain.noiseless_cosine(*rows.values()), rel=1e-3, abs=1e-6)
            assert pair.ceiling == pytest.approx(math.sqrt(math.prod(pair.reliability.values())))
        else:
            assert (pair.corrected.value, pair.ceiling) == (None, None)


def test_the_reliability_is_that_of_all_split_halves() -> None:
    rows = draw(0, 8, 5) + 0.7
    got = displacement_cosines({"em": rows[:, None]}, seed=0).at("em", "em", 0).reliability["em"]
    assert got == pytest.approx(plain.split_half_reliability(rows.tolist()), rel=1e-6)


@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_cosines_are_symmetric_and_one_with_themselves_and_scale_free(seed: int, scale: float) -> None:
    a, b = draw(seed, 9, 1, 6) + 1, draw(seed + 1, 9, 1, 6) + 1
    table = displacement_cosines({"a": a, "b": b, "back": -scale * a}, seed=1, n_boot=100)
    matrix = np.array(table.matrix(0))
    np.testing.assert_allclose(matrix, matrix.T)
    np.testing.assert_allclose(np.diag(matrix), 1)
    assert table.at("b", "a", 0) is table.at("a", "b", 0)
    assert matrix[0, 2] == pytest.approx(-1, abs=1e-6)
    assert matrix[1, 2] == pytest.approx(-matrix[0, 1], abs=1e-6)
    same = table.at("a", "a", 0)
    assert (same.cosine.ci_low, same.cosine.ci_high) == pytest.approx((1, 1))
    assert same.corrected.value == pytest.approx(1)
    turned = displacement_cosines({"b": b, "a": a}, seed=1, n_boot=100).at("a", "b", 0)
    assert turned.cosine.ci_low == pytest.approx(table.at("a", "b", 0).cosine.ci_low)


def test_noise_that_stages_share_does_not_pass_for_agreement() -> None:
    """Two stages move at right angles, but react to each prompt alike: only the corrected cosine is zero."""
    n, d = 20, 64
    measured, corrected = [], []
    for i in range(150):
        common = draw(i, n, d)
        a, b = (
            0.5 * torch.eye(d)[at] * math.sqrt(d) + common + 0.5 * draw(1000 * (at + 1) + i, n, d) for at in range(2)
        )
        pair = displacement_cosines({"a": a[:, None], "b": b[:, None]}, seed=i, n_boot=150).at("a", "b", 0)
        measured.append(pair.cosine.value)
        corrected.append(pair.corrected)
    values = np.array([one.value for one in corrected])
    assert np.mean(measured) > 0.1
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(150)
    assert np.mean([one.ci_low <= 0 <= one.ci_high for one in corrected]) > 0.9


def test_independent_noise_lowers_the_cosine_of_one_direction_to_its_ceiling() -> None:
    n, d = 30, 128
    mean = 0.3 * draw(0, d)
    a, b = (mean + 1.5 * draw(i, n, d) for i in (1, 2))
    pair = displacement_cosines({"a": a[:, None], "b": b[:, None]}, seed=0).at("a", "b", 0)
    assert pair.cosine.value < 0.75
    assert pair.cosine.value == pytest.approx(pair.ceiling, abs=0.1)
    assert pair.corrected.value == pytest.approx(1, abs=0.15)
    assert -1 <= pair.cosine.ci_low <= pair.cosine.value <= pair.cosine.ci_high <= 1


def test_a_stage_that_did_not_move_has_no_cosine() -> None:
    still, moved = torch.zeros(8, 1, 4), draw(0, 8, 1, 4) + 2
    table = displacement_cosines({"still": still, "moved": moved}, seed=0)
    pair = table.at("still", "moved", 0)
    assert (pair.cosine.value, pair.cosine.n, pair.corrected.value, pair.ceiling) == (None, 8, None, None)
    assert pair.reliability["still"] is None
    assert table.matrix(0) == [[None, None], [None, pytest.approx(1)]]


def test_stages_that_do_not_share_their_texts_are_named() -> None:
    with pytest.raises(ValueError, match=r"'sgtr' has shape \(5, 2, 4\), 'em' has \(6, 2, 4\)"):
        unwrap(displacement_cosines)({"em": draw(0, 6, 2, 4), "sgtr": draw(1, 5, 2, 4)}, seed=0)
    with pytest.raises(ValueError, match="at least one"):
        displacement_cosines({}, seed=0)
    broken = draw(1, 6, 2, 4)
    broken[2, 1, 0] = math.nan
    with pytest.raises(InterpError, match="sgtr: row 2 holds a value that is not finite"):
        displacement_cosines({"em": draw(0, 6, 2, 4), "sgtr": broken}, seed=0)

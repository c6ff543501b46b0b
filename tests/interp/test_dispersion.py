"""How far rows spread: laws, the textbook formulas, and the jackknife against leaving out by hand."""

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from torch import Tensor

from interp.dispersion import dispersion, dispersion_ratio
from interp.errors import InterpError
from tests.reference import projection as plain

SEEDS = st.integers(0, 10_000)
MEASURES = ("total_variance", "participation_ratio", "entropy_rank")


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def values(h: Tensor) -> tuple[float, ...]:
    got = dispersion(h)
    return tuple(getattr(got, name).value for name in MEASURES)


@given(seed=SEEDS, n=st.integers(2, 20), d=st.integers(2, 12))
def test_the_measures_equal_their_formulas_with_few_rows_and_with_many(seed: int, n: int, d: int) -> None:
    h = draw(seed, n, d) + 3
    assert values(h) == pytest.approx(plain.spread(h.tolist()), rel=1e-6)


@given(seed=SEEDS, n=st.sampled_from([5, 20]))
def test_turning_and_moving_all_rows_changes_nothing(seed: int, n: int) -> None:
    h = draw(seed, n, 8)
    turn = torch.linalg.qr(draw(seed + 1, 8, 8)).Q
    assert values(h @ turn + 10 * draw(seed + 2, 8)) == pytest.approx(values(h), rel=1e-3)


@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_variance_grows_with_the_square_of_the_scale_and_ranks_do_not(seed: int, scale: float) -> None:
    h = draw(seed, 9, 6)
    total, ratio, entropy = values(h)
    assert values(scale * h) == pytest.approx((scale**2 * total, ratio, entropy), rel=1e-4)


@given(k=st.integers(1, 8), d=st.integers(8, 40))
def test_equal_orthogonal_components_are_counted(k: int, d: int) -> None:
    """Rows at plus and minus each of k axes: the covariance has k equal eigenvalues."""
    axes = torch.eye(d)[:k]
    total, ratio, entropy = values(torch.cat([axes, -axes]))
    assert (ratio, entropy) == pytest.approx((k, k))
    assert total == pytest.approx(2 * k / (2 * k - 1))


@given(seed=SEEDS, n=st.integers(2, 30))
def test_ranks_lie_between_one_and_what_the_rows_can_span(seed: int, n: int) -> None:
    _, ratio, entropy = values(draw(seed, n, 10) * torch.arange(1, 11))
    assert 1 - 1e-9 <= ratio <= entropy + 1e-9  # the entropy's rank is never the smaller
    assert entropy <= min(n - 1, 10) + 1e-9


def by_hand(h: Tensor, groups: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and standard errors of their logarithms."""
    every = np.array(plain.spread(h.tolist()))
    left = np.array(
        [
            np.log(plain.spread([row for row, its in zip(h.tolist(), groups, strict=True) if its != group]))
            for group in sorted(set(groups))
        ]
    )
    return every, np.sqrt((len(left) - 1) / len(left) * ((left - left.mean(0)) ** 2).sum(0))


@pytest.mark.parametrize("d", [4, 40])
def test_the_interval_is_the_jackknifes_over_clusters(d: int) -> None:
    h, clusters = draw(0, 14, d), [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4]
    got = dispersion(h, [f"question {i}" for i in clusters])
    every, error = by_hand(h, clusters)
    factor = np.exp(scipy_stats.t.ppf(0.975, 4) * error)
    for i, name in enumerate(MEASURES):
        one = getattr(got, name)
        assert one.n == 5
        assert (one.value, one.ci_low, one.ci_high) == pytest.approx(
            (every[i], every[i] / factor[i], every[i] * factor[i]), rel=1e-6
        )
    assert got.n_rows == 14


def test_many_clusters_are_left_out_in_groups() -> None:
    h = draw(0, 120, 3)
    got = dispersion(h).total_variance
    every, error = by_hand(h, [i % 50 for i in range(120)])
    assert got.n == 120
    assert got.ci_high == pytest.approx(every[0] * np.exp(scipy_stats.t.ppf(0.975, 49) * error[0]))


def test_repeating_answers_within_questions_widens_the_interval_over_questions_alone() -> None:
    h = draw(0, 10, 6).repeat_interleave(5, 0) + 0.1 * draw(1, 50, 6)
    by_row, by_question = dispersion(h), dispersion(h, [i // 5 for i in range(50)])
    for name in MEASURES:
        row, question = getattr(by_row, name), getattr(by_question, name)
        assert row.value == question.value
        assert question.ci_high - question.ci_low > row.ci_high - row.ci_low


def test_intervals_cover_at_their_rate() -> None:
    scale = torch.arange(1, 17) ** -0.5
    found = [dispersion(draw(i, 30, 16) * scale, [i % 10 for i in range(30)]) for i in range(200)]
    for name in MEASURES:
        estimates = [getattr(one, name) for one in found]
        truth = np.mean([one.value for one in estimates])  # what so many rows show on average
        assert 0.89 < np.mean([one.ci_low <= truth <= one.ci_high for one in estimates]) < 0.99


def test_a_ratio_is_paired_over_the_same_prompts() -> None:
    """A stage that spreads exactly twice as far has an exact ratio, however uncertain each side is."""
    parent = draw(0, 12, 6)
    got = dispersion_ratio(2 * parent, parent)
    total = got.total_variance
    assert (total.value, total.ci_low, total.ci_high) == pytest.approx((4, 4, 4))
    assert got.participation_ratio.value == got.entropy_rank.value == pytest.approx(1)
    assert (total.n, got.n_rows) == (12, 12)
    own = dispersion(parent).total_variance
    assert own.ci_high > 1.1 * own.value


@given(seed=SEEDS)
def test_a_ratio_turned_round_is_its_inverse(seed: int) -> None:
    a, b, clusters = draw(seed, 12, 6), 3 * draw(seed + 1, 12, 6), [i // 2 for i in range(12)]
    there, back = dispersion_ratio(a, b, clusters), dispersion_ratio(b, a, clusters)
    for i, name in enumerate(MEASURES):
        one, other = getattr(there, name), getattr(back, name)
        assert one.value == pytest.approx(plain.spread(a.tolist())[i] / plain.spread(b.tolist())[i], rel=1e-6)
        assert (one.value, one.ci_low) == pytest.approx((1 / other.value, 1 / other.ci_high))


def test_unequal_numbers_of_rows_are_not_compared() -> None:
    with pytest.raises(ValueError, match="grows with the number of rows: got 8 against 9"):
        unwrap(dispersion_ratio)(draw(0, 8, 4), draw(1, 9, 4))
    assert values(draw(0, 8, 64))[1] < 0.5 * values(draw(0, 40, 64))[1]  # the reason


def test_rows_that_are_all_alike_have_no_rank() -> None:
    for d in (3, 30):
        got = dispersion(draw(0, 1, d).expand(7, d))
        assert (got.total_variance.value, got.total_variance.ci_low) == (0, None)
        assert (got.participation_ratio.value, got.entropy_rank.value, got.entropy_rank.n) == (None, None, 7)
    ratio = dispersion_ratio(draw(0, 7, 3), torch.ones(7, 3))
    assert (ratio.total_variance.value, ratio.total_variance.n, ratio.entropy_rank.value) == (None, 7, None)


def test_two_rows_have_an_estimate_and_no_interval() -> None:
    got = dispersion(draw(0, 2, 5))
    assert got.participation_ratio.value == pytest.approx(1)
    assert (got.participation_ratio.ci_low, got.total_variance.ci_low, got.total_variance.n) == (None, None, 2)


def test_bad_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        dispersion(draw(0, 1, 4))
    with pytest.raises(ValueError, match="got 2 for 3 rows"):
        dispersion(draw(0, 3, 4), [0, 1])
    bad = draw(0, 3, 4)
    bad[1, 0] = math.nan
    with pytest.raises(InterpError, match="h: row 1 holds a value that is not finite"):
        dispersion(bad)

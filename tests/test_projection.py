"""Projections and shifts: laws, and a naive computation of everything in a `Shift`."""

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.directions import random_like
from interp.projection import cosine, project, shift

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


def test_the_cosine_of_a_zero_row_is_not_a_number() -> None:
    assert math.isnan(float(cosine(torch.zeros(4), torch.ones(4))))


@given(seed=SEEDS, n=st.integers(2, 20), n_null=st.integers(1, 40))
def test_a_shift_equals_a_naive_computation(seed: int, n: int, n_null: int) -> None:
    stage, reference = draw(seed, n, 8), draw(seed + 1, n, 8)
    v, nulls = draw(seed + 2, 8) * 3, draw(seed + 3, n_null, 8) * 5
    got = shift(stage, reference, v, nulls)
    s, r, d, null = (x.double().numpy() for x in (stage, reference, v, nulls))
    along = np.array([(s[i] - r[i]) @ d / np.linalg.norm(d) for i in range(n)])
    moves = np.array([np.mean([(s[i] - r[i]) @ u / np.linalg.norm(u) for i in range(n)]) for u in null])
    sd = math.sqrt(sum(m * m for m in moves) / n_null)
    moved = (s - r).mean(0)
    assert got.raw.n == n
    assert got.raw.value == pytest.approx(along.mean(), abs=1e-5)
    assert got.raw.ci_high - got.raw.value == pytest.approx(got.raw.value - got.raw.ci_low)
    assert got.null_sd == pytest.approx(sd)
    assert got.in_null_spreads.value == pytest.approx(along.mean() / sd, rel=1e-3, abs=1e-4)
    assert got.percentile == pytest.approx(100 * np.mean(moves < along.mean()), abs=1e-6)
    assert got.cosine == pytest.approx(moved @ d / np.linalg.norm(moved) / np.linalg.norm(d))
    assert (got.null_low, got.null_high) == pytest.approx(tuple(np.quantile(moves / sd, [0.025, 0.975])))
    assert got.n_null == n_null


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
    nulls = random_like(v[None], 400, seed=2)[:, 0]
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
    assert (got.raw.value, got.null_sd, got.percentile, got.cosine) == (0, 0, 50, 0)
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
    got = shift(stage, reference, v, v[None], clusters=[0, 0, 0, 0, 0, 1])
    assert got.null_sd == pytest.approx(abs(got.raw.value), rel=1e-5)


def test_unpaired_stages_are_refused_with_their_sizes() -> None:
    with pytest.raises(ValueError, match="a shift is paired: got 3 rows against 2"):
        unwrap(shift)(draw(0, 3, 4), draw(1, 2, 4), draw(2, 4), draw(3, 5, 4))  # without the type checker of tests

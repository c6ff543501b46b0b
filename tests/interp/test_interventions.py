"""Laws of the edits."""

import math
from inspect import unwrap
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.interventions import (
    Change,
    Edit,
    ablate,
    ablating,
    add,
    adding,
    cap_above,
    cap_below,
    capping,
    orthonormal,
    placed,
    rotate,
    rotating,
    stacked,
)

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
CPU = torch.device("cpu")
SEEDS = st.integers(0, 10_000)


def draw(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(seed=SEEDS, k=st.integers(1, 4), scale=st.floats(1e-3, 1e3))
def test_ablation_leaves_nothing_along_any_direction(seed: int, k: int, scale: float) -> None:
    h, vectors = draw(seed, 2, 3, 8, scale=10), draw(seed + 1, k, 8, scale=scale)
    left = ablate(h, orthonormal(vectors))
    units = vectors / vectors.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(left @ units.T, torch.zeros(2, 3, k), rtol=0, atol=1e-4)


@given(seed=SEEDS, k=st.integers(1, 4))
def test_ablation_is_idempotent(seed: int, k: int) -> None:
    h, basis = draw(seed, 2, 3, 8), orthonormal(draw(seed + 1, k, 8))
    torch.testing.assert_close(ablate(ablate(h, basis), basis), ablate(h, basis), **CLOSE)


@given(seed=SEEDS, k=st.integers(1, 4), factor=st.floats(0.01, 100).flatmap(lambda x: st.sampled_from([x, -x])))
def test_ablation_does_not_depend_on_order_or_scale(seed: int, k: int, factor: float) -> None:
    h, vectors = draw(seed, 2, 3, 8), draw(seed + 1, k, 8)
    expected = ablate(h, orthonormal(vectors))
    torch.testing.assert_close(ablate(h, orthonormal(vectors.flip(0))), expected, **CLOSE)
    torch.testing.assert_close(ablate(h, orthonormal(factor * vectors)), expected, **CLOSE)


@given(seed=SEEDS)
def test_ablation_leaves_what_is_orthogonal_as_it_is(seed: int) -> None:
    basis = orthonormal(draw(seed, 2, 8))
    h = ablate(draw(seed + 1, 2, 3, 8), basis)
    torch.testing.assert_close(ablate(h, basis), h, **CLOSE)
    assert (ablate(draw(seed + 1, 2, 3, 8), basis).norm() <= draw(seed + 1, 2, 3, 8).norm() + 1e-4).item()


@given(seed=SEEDS, a=st.floats(-10, 10), b=st.floats(-10, 10))
def test_additions_compose(seed: int, a: float, b: float) -> None:
    h, v = draw(seed, 2, 3, 8), draw(seed + 1, 8)
    torch.testing.assert_close(add(add(h, v, a), v, b), add(h, v, a + b), **CLOSE)
    torch.testing.assert_close(add(h, v, a), h + a * v, **CLOSE)
    assert torch.equal(add(h, v, 0.0), h)


def test_addition_may_differ_by_row() -> None:
    h, v = draw(0, 3, 2, 8), draw(1, 8)
    got = add(h, v, torch.tensor([0.0, 1.0, -2.0]))
    for i, alpha in enumerate((0.0, 1.0, -2.0)):
        torch.testing.assert_close(got[i], h[i] + alpha * v)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_edits_keep_the_dtype_and_compute_in_float32(dtype: torch.dtype) -> None:
    h, v = draw(0, 2, 3, 8).to(dtype), draw(1, 8)
    assert torch.equal(add(h, v, 0.3), (h.float() + 0.3 * v).to(dtype))
    q = orthonormal(v)
    assert torch.equal(ablate(h, q), (h.float() - (h.float() @ q.T) @ q).to(dtype))
    for change in (cap_above, cap_below, rotate):
        assert torch.equal(change(h, v, 0.2), change(h.float(), v, 0.2).to(dtype))
        assert torch.equal(change(h, v.to(dtype).float(), 0.2), change(h, v.to(dtype), 0.2))


@given(seed=SEEDS, k=st.integers(1, 5))
def test_a_basis_is_orthonormal_and_spans_the_vectors(seed: int, k: int) -> None:
    vectors = draw(seed, k, 8)
    q = orthonormal(vectors)
    torch.testing.assert_close(q @ q.T, torch.eye(k), rtol=0, atol=1e-6)
    torch.testing.assert_close((vectors @ q.T) @ q, vectors, **CLOSE)


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (torch.zeros(4), "direction 0 is zero"),
        (torch.stack([torch.ones(4), torch.zeros(4)]), "direction 1 is zero"),
        (torch.stack([torch.ones(4), -2 * torch.ones(4)]), "the 2 directions are linearly dependent"),
        (torch.full((4,), float("nan")), "not finite"),
        (torch.full((2, 4), float("inf")), "not finite"),
    ],
)
def test_a_span_that_is_undefined_is_refused(vectors: Tensor, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ablating(vectors, (0,))


def test_more_directions_than_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="the 5 directions are linearly dependent"):
        orthonormal(draw(0, 5, 4))


@pytest.mark.parametrize(("v", "alpha"), [(torch.ones(4), float("nan")), (torch.tensor([1.0, float("inf")]), 1.0)])
def test_an_addition_that_is_not_finite_is_refused(v: Tensor, alpha: float) -> None:
    with pytest.raises(ValueError, match=f"must be finite, got alpha {alpha}"):
        adding(v, alpha, (0,))


def test_an_edit_needs_a_known_phase_and_a_layer() -> None:
    with pytest.raises(ValueError, match="phase must be one of prompt, prompt_last, response, all, got 'answer'"):
        unwrap(Edit.__post_init__)(SimpleNamespace(phase="answer", layers=(0,)))  # without the type checker of tests
    with pytest.raises(ValueError, match="site must be one of residual, writes, got 'heads'"):
        unwrap(Edit.__post_init__)(SimpleNamespace(phase="all", site="heads", layers=(0,)))
    with pytest.raises(ValueError, match="at least one layer"):
        adding(torch.ones(4), 1.0, ())


@given(seed=SEEDS)
def test_an_edit_is_bit_equal_outside_where_and_returns_a_new_tensor(seed: int) -> None:
    h, where = draw(seed, 2, 5, 8), draw(seed + 1, 2, 5) > 0
    before = h.clone()
    got = adding(draw(seed + 2, 8), 3.0, (0,))(h, where)
    assert torch.equal(h, before)
    assert torch.equal(got[~where], h[~where])
    assert not where.any() or not torch.equal(got[where], h[where])


# caps


@given(seed=SEEDS, tau=st.floats(-5, 5), scale=st.sampled_from([1e-3, 1.0, 40.0]))
def test_a_cap_moves_only_what_exceeds_it_and_only_along_the_direction(seed: int, tau: float, scale: float) -> None:
    h, v = draw(seed, 2, 5, 8, scale=3), draw(seed + 1, 8)
    unit = v / v.norm()
    along = h @ unit
    for cap, over in ((cap_above, along > tau + 1e-5), (cap_below, along < tau - 1e-5)):
        got = cap(h, scale * v, tau)
        kept = ~over & ((along - tau).abs() > 1e-5)
        assert torch.equal(got[kept], h[kept])
        torch.testing.assert_close((got @ unit)[over], torch.full_like(along[over], tau), **CLOSE)
        torch.testing.assert_close(ablate(got, orthonormal(v)), ablate(h, orthonormal(v)), **CLOSE)
        torch.testing.assert_close(cap(got, v, tau), got, **CLOSE)
        # a ceiling seen from the other end of the direction is a floor
        other = cap_below if cap is cap_above else cap_above
        torch.testing.assert_close(other(h, -v, -tau), got, **CLOSE)


def test_caps_at_the_ends_do_nothing_and_both_sides_leave_tau_alone() -> None:
    h, v = draw(0, 2, 5, 8), draw(1, 8)
    assert torch.equal(cap_above(h, v, 1e6), h)
    assert torch.equal(cap_below(h, v, -1e6), h)
    both = cap_below(cap_above(h, v, 0.5), v, 0.5)
    torch.testing.assert_close(both @ v / v.norm(), torch.full((2, 5), 0.5), **CLOSE)


# rotation


@given(seed=SEEDS, share=st.floats(-0.99, 0.99))
def test_rotation_reaches_its_target_in_the_plane_and_keeps_the_norm(seed: int, share: float) -> None:
    h, v = draw(seed, 1, 1, 8, scale=5), draw(seed + 1, 8)
    tau = share * float(h.norm())
    got, unit = rotate(h, 3.0 * v, tau), v / v.norm()
    torch.testing.assert_close(got.norm(dim=-1), h.norm(dim=-1), **CLOSE)
    torch.testing.assert_close(float(got[0, 0] @ unit), tau, rtol=1e-4, atol=1e-3)
    plane = orthonormal(torch.stack([v, h[0, 0]]))
    torch.testing.assert_close(ablate(got, plane), torch.zeros(1, 1, 8), rtol=0, atol=1e-4)
    across = torch.cosine_similarity(ablate(got, orthonormal(v)), ablate(h, orthonormal(v)), dim=-1)
    torch.testing.assert_close(across, torch.ones(1, 1), **CLOSE)
    torch.testing.assert_close(rotate(got, v, float(h[0, 0] @ unit)), h, rtol=1e-3, atol=1e-3)


@given(seed=SEEDS, tau=st.floats(20, 1e4), sign=st.sampled_from([1.0, -1.0]))
def test_a_rotation_beyond_the_norm_ends_on_the_direction(seed: int, tau: float, sign: float) -> None:
    h, v = draw(seed, 2, 3, 8), draw(seed + 1, 8)
    expected = sign * h.norm(dim=-1, keepdim=True) * v / v.norm()
    torch.testing.assert_close(rotate(h, v, sign * tau), expected, **CLOSE)


@given(seed=SEEDS, share=st.floats(-0.9, 0.9), length=st.sampled_from([-4.0, -1e-3, 0.5, 300.0]))
def test_what_is_parallel_to_the_direction_can_be_rotated_too(seed: int, share: float, length: float) -> None:
    v = draw(seed, 8)
    unit = v / v.norm()
    h = (length * unit).expand(1, 2, 8)
    got = rotate(h, v, share * abs(length))
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got.norm(dim=-1), torch.full((1, 2), abs(length)), rtol=1e-4, atol=0)
    torch.testing.assert_close(got @ unit, torch.full((1, 2), share * abs(length)), rtol=1e-3, atol=1e-5 * abs(length))


def test_an_activation_of_zeros_stays_one_whatever_the_edit() -> None:
    h, v = torch.zeros(1, 2, 8), draw(0, 8)
    for got in (rotate(h, v, 2.0), rotate(h, v, 0.0), ablate(h, orthonormal(v)), cap_above(h, v, 1.0)):
        assert torch.equal(got, h)


# rows, and what is made ready


EDITS = {
    "adding": lambda v, x: adding(v, x, (0,)),
    "ablating one": lambda v, _: ablating(v, (0,)),
    "ablating many": lambda v, x: ablating(torch.stack([v, draw(int(10 * abs(x)), 8)][: 1 + (x > 0)]), (0,)),
    "capping above": lambda v, x: capping(v, x, (0,), side="above"),
    "capping below": lambda v, x: capping(v, x, (0,), side="below"),
    "capping": lambda v, x: capping(v, x, (0,), side="above" if x > 0 else "below"),
    "rotating": lambda v, x: rotating(v, x, (0,)),
}


@pytest.mark.parametrize("name", EDITS)
def test_changes_of_rows_made_one_are_each_rows_own(name: str) -> None:
    h, alphas = draw(0, 5, 3, 8, scale=2), {0: 0.7, 2: -1.3, 4: 0.0}
    own = {row: EDITS[name](draw(10 + row, 8), alpha) for row, alpha in alphas.items()}
    assert len({edit.kind for edit in own.values()}) == 1
    together = stacked({row: edit.change for row, edit in own.items()}, 5)
    for change in (together, placed(together, CPU)):
        got = change(h)
        assert got.shape == h.shape
        for row, edit in own.items():
            torch.testing.assert_close(got[row], edit.change(h)[row], rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(placed(edit.change, CPU)(h), edit.change(h), rtol=0, atol=0)
            if name == "adding":
                assert torch.equal(got[row], edit.change(h)[row])


def test_functions_take_what_differs_by_row() -> None:
    h, v, tau = draw(0, 3, 4, 8), draw(1, 3, 8), torch.tensor([0.1, -0.2, 0.3])
    for change in (add, cap_above, cap_below, rotate):
        got = change(h, v, tau)
        for row in range(3):
            torch.testing.assert_close(got[row : row + 1], change(h[row : row + 1], v[row], float(tau[row])), **CLOSE)
    bases = torch.stack([orthonormal(v[row]) for row in range(3)])
    for row in range(3):
        torch.testing.assert_close(ablate(h, bases)[row], ablate(h[row : row + 1], bases[row])[0], **CLOSE)


def test_a_function_of_ones_own_is_of_its_own_kind() -> None:
    def double(h: Tensor) -> Tensor:
        return 2 * h

    own, other = Edit((0,), double), Edit((1,), double, "response")
    assert own.kind == other.kind != Edit((0,), lambda h: 2 * h).kind
    assert own.kind != adding(draw(0, 8), 1.0, (0,)).kind
    assert own.width is None
    assert stacked({1: own.change, 2: other.change}, 4) is double
    assert placed(double, CPU) is double


@pytest.mark.parametrize("name", EDITS)
def test_no_change_is_in_place_and_edits_know_their_width(name: str) -> None:
    h, edit = draw(0, 2, 3, 8), EDITS[name](draw(1, 8), 0.5)
    before = h.clone()
    changes: list[Change] = [edit.change, placed(edit.change, CPU)]
    for change in changes:
        assert change(h).data_ptr() != h.data_ptr()
        assert torch.equal(h, before)
    assert edit.width == 8


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: capping(draw(0, 4), math.nan, (0,), side="above"), "finite, got tau nan"),
        (lambda: rotating(draw(0, 4), math.inf, (0,)), "finite, got tau inf"),
        (lambda: rotating(torch.zeros(4), 1.0, (0,)), "the direction is zero"),
        (lambda: capping(torch.full((4,), math.inf), 1.0, (0,), side="below"), "must be finite"),
        (
            lambda: unwrap(capping)(torch.ones(4), 1.0, (0,), side="up"),  # pyright: ignore
            r"side must be above \(a ceiling\) or below \(a floor\), got 'up'",
        ),
    ],
)
def test_caps_and_rotations_that_are_undefined_are_refused(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()

"""Laws of the edits."""

from inspect import unwrap
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.interventions import Edit, ablate, ablating, add, adding, orthonormal

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
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
    with pytest.raises(ValueError, match="phase must be one of prompt, response, all, got 'answer'"):
        unwrap(Edit.__post_init__)(SimpleNamespace(phase="answer", layers=(0,)))  # without the type checker of tests
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

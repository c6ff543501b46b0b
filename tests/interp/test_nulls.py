"""Nulls: the norm they claim, the distribution they are drawn from, and labels that are shuffled as they should be."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.directions import difference_of_means
from interp.errors import InterpError
from interp.nulls import (
    components_like,
    covariance_like,
    mean_difference_weights,
    nulls_for,
    permuted_labels,
    permuted_like,
    random_like,
)
from tests.reference import directions as plain

SEEDS = st.integers(0, 10_000)
SIZES = torch.tensor([[1e-3], [1.0], [1e4]])


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uneven(seed: int, n: int, layers: int = 3, width: int = 8) -> Tensor:
    """Rows whose variance falls by half from axis to axis, about a mean that is not zero."""
    return draw(seed, n, layers, width) * 0.5 ** torch.arange(width) + 3


# every family that claims a norm


@given(seed=SEEDS, n=st.integers(1, 5), family=st.sampled_from(["random", "covariance", "components"]))
def test_nulls_have_the_norm_of_their_direction_in_every_layer(seed: int, n: int, family: str) -> None:
    vectors, rows = draw(seed, 3, 8) * SIZES, uneven(seed + 1, 9)
    got = nulls_for(vectors, n=n, seed=seed, rows=rows, n_components=n)[family]
    assert got.shape == (n, 3, 8)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.norm(dim=-1), vectors.norm(dim=-1).expand(n, 3), rtol=1e-5, atol=0)
    again = nulls_for(vectors, n=n, seed=seed, rows=rows, n_components=n)[family]
    other = nulls_for(vectors, n=n, seed=seed + 1, rows=rows, n_components=n)[family]
    assert torch.equal(got, again)
    assert torch.equal(got, other) is (family == "components")


@pytest.mark.parametrize("n", [0, -1])
def test_no_draws_are_no_null(n: int) -> None:
    vectors, rows = draw(0, 1, 4), draw(1, 3, 1, 4)
    for make in (
        lambda: random_like(vectors, n, seed=0),
        lambda: covariance_like(vectors, rows, n, seed=0),
        lambda: permuted_like(rows, rows, n, seed=0),
    ):
        with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
            make()


# isotropic


def test_random_directions_are_isotropic() -> None:
    got = random_like(torch.ones(1, 16), 4000, seed=0)[:, 0] / 4
    torch.testing.assert_close(got.mean(0), torch.zeros(16), rtol=0, atol=0.02)
    torch.testing.assert_close(got.T @ got / 4000, torch.eye(16) / 16, rtol=0, atol=0.006)


# covariance-matched


def test_covariance_draws_have_the_rows_covariance_up_to_scale() -> None:
    """In many dimensions the length of a draw hardly varies, so scaling it leaves the shape of the covariance alone."""
    width = 40
    rows = draw(0, 200, 1, width) * torch.linspace(1.3, 0.7, width) + 7
    rows[:, 0, 1] += 0.7 * rows[:, 0, 0]
    got = covariance_like(torch.ones(1, width), rows, 30_000, seed=0)[:, 0].double()
    expected = torch.from_numpy(plain.covariance([row[0].double().numpy() for row in rows]))
    found = got.T @ got / len(got)
    found, expected = found / found.trace(), expected / expected.trace()
    assert (found - expected).norm() < 0.08 * expected.norm()
    assert (torch.eye(width) / width - expected).norm() > 0.4 * expected.norm()
    assert got.mean(0).norm() < 0.05 * got.norm(dim=1).mean()


def test_covariance_draws_are_those_of_a_multivariate_normal_brought_to_one_length() -> None:
    """In few dimensions the length matters, so the moments of the scaled draws themselves are compared."""
    rows = uneven(0, 30, layers=1, width=4)
    got = covariance_like(torch.full((1, 4), 1.5), rows, 20_000, seed=0)[:, 0].double().numpy()
    expected = plain.covariance_directions([row[0].double().numpy() for row in rows], 3.0, 20_000, seed=1)
    np.testing.assert_allclose(got.T @ got / 20_000, expected.T @ expected / 20_000, atol=0.1)
    np.testing.assert_allclose((got**4).mean(0), (expected**4).mean(0), rtol=0.08, atol=0.1)


def test_a_covariance_draw_keeps_its_layers_together() -> None:
    """Layers that are the same read the same: one combination of rows serves them all."""
    rows = uneven(0, 12, layers=1).expand(12, 3, 8)
    got = covariance_like(torch.ones(3, 8), rows, 5, seed=0)
    torch.testing.assert_close(got[:, 0], got[:, 2])


@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_covariance_draws_ignore_where_and_how_large_the_rows_are(seed: int, scale: float) -> None:
    vectors, rows = draw(seed, 3, 8), uneven(seed + 1, 12)
    got = covariance_like(vectors, rows, 3, seed=seed)
    torch.testing.assert_close(covariance_like(vectors, rows * scale + 5, 3, seed=seed), got, rtol=1e-2, atol=1e-2)


# leading components


def test_components_are_the_axes_along_which_centred_rows_vary_most() -> None:
    rows = draw(0, 400, 1, 6) * torch.tensor([1.0, 8.0, 0.5, 4.0, 2.0, 0.25])
    rows[:, 0, 5] += 100  # a large mean that does not vary: it must not be found
    got = components_like(torch.full((1, 6), 0.5), rows, 3)[:, 0] / 0.5 / 6**0.5
    assert got.abs().argmax(1).tolist() == [1, 3, 4]
    assert (got.abs().max(1).values > 0.95).all()
    assert (got @ rows[:, 0].mean(0) >= 0).all()
    centred = rows[:, 0].double() - rows[:, 0].double().mean(0)
    axes, _ = plain.second_moment_axes([row.numpy() for row in centred], 3)
    np.testing.assert_allclose(abs((got.double().numpy() * axes).sum(1)), 1, atol=1e-4)


@pytest.mark.parametrize(("n", "k", "most"), [(4, 4, 3), (4, 0, 3), (20, 9, 8)])
def test_components_that_do_not_exist_are_refused(n: int, k: int, most: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be in \[1, {most}\] for {n} rows of width 8, got {k}"):
        components_like(draw(0, 3, 8), uneven(1, n), k)


@pytest.mark.parametrize("family", [covariance_like, components_like])
def test_rows_that_have_no_covariance_are_refused(family: object) -> None:
    def make(vectors: Tensor, rows: Tensor) -> Tensor:
        if family is covariance_like:
            return unwrap(covariance_like)(vectors, rows, 2, seed=0)
        return unwrap(components_like)(vectors, rows, 1)

    vectors, rows = draw(0, 3, 8), uneven(1, 4)
    with pytest.raises(ValueError, match="a covariance needs at least 2 rows, got 1"):
        make(vectors, rows[:1])
    with pytest.raises(InterpError, match="all 4 rows are equal at layer index 1"):
        make(vectors, torch.stack([rows[:, 0], torch.ones(4, 8), rows[:, 2]], dim=1))
    spoiled = rows.clone()
    spoiled[2, 1, 3] = float("nan")
    with pytest.raises(InterpError, match="row 2 holds a value that is not finite"):
        make(vectors, spoiled)


@pytest.mark.parametrize("shape", [(4, 2, 8), (4, 3, 7)])
def test_rows_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    message = f"the rows have {shape[1]} layers of width {shape[2]}, the direction 3 of width 8"
    from interp import nulls

    with pytest.raises(ValueError, match=message):
        unwrap(nulls._centred)(draw(0, 3, 8), draw(1, *shape))


# shuffled labels


def test_permuted_directions_are_centred_and_keep_nothing_of_the_planted_one() -> None:
    planted = torch.full((1, 8), 2.0)
    positive, negative = draw(0, 30, 1, 8) + planted, draw(1, 20, 1, 8)
    v = difference_of_means(positive, negative)
    nulls = permuted_like(positive, negative, 600, seed=0)
    assert nulls.shape == (600, 1, 8)
    assert nulls.mean(0).norm() < 0.1 * v.norm()
    assert (nulls.norm(dim=-1) < v.norm()).all()
    assert torch.equal(nulls, permuted_like(positive, negative, 600, seed=0))
    assert not torch.equal(nulls, permuted_like(positive, negative, 600, seed=1))


@given(seed=SEEDS, n=st.integers(1, 5), m=st.integers(1, 5))
def test_a_permuted_direction_is_the_recipe_on_shuffled_labels(seed: int, n: int, m: int) -> None:
    positive, negative = draw(seed, n, 1, 4), draw(seed + 1, m, 1, 4)
    rows = torch.cat([positive, negative])
    got = permuted_like(positive, negative, 1, seed=seed)[0]
    order = torch.randperm(n + m, generator=torch.Generator().manual_seed(seed))
    expected = difference_of_means(rows[order[:n]], rows[order[n:]])
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@given(seed=SEEDS, sides=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=14))
def test_labels_shuffled_within_a_question_keep_its_number_of_positives(
    seed: int, sides: list[tuple[int, bool]]
) -> None:
    groups = ([g for g, yes in sides if yes] + [9], [g for g, yes in sides if not yes] + [9])
    labels = permuted_labels(len(groups[0]), len(groups[1]), 7, seed=seed, groups=groups)
    questions = [*groups[0], *groups[1]]
    for row in labels:
        for g in set(questions):
            assert sum(bool(row[i]) for i, q in enumerate(questions) if q == g) == groups[0].count(g)


def test_labels_within_a_question_are_shuffled_evenly() -> None:
    """Question 0 has one positive of three rows, question 7 two of four: every row is as likely as another."""
    labels = permuted_labels(3, 4, 6000, seed=0, groups=([0, 7, 7], [7, 0, 0, 7])).double()
    share = labels.mean(0).tolist()
    assert share == pytest.approx([1 / 3, 1 / 2, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 2], abs=0.03)
    assert len({tuple(row.tolist()) for row in labels}) == 3 * 6
    assert abs(np.corrcoef(labels[:, 0], labels[:, 1])[0, 1]) < 0.05


def test_a_shuffle_within_questions_does_not_carry_what_questions_share() -> None:
    """Both sides answer the same questions, which differ a lot: a free shuffle confuses that with the contrast."""
    groups = ([i // 4 for i in range(40)],) * 2
    theme = draw(2, 10, 1, 8).repeat_interleave(4, 0) * 10
    positive, negative = draw(0, 40, 1, 8) + theme, draw(1, 40, 1, 8) + theme
    within = permuted_like(positive, negative, 300, seed=0, groups=groups).norm(dim=-1).mean()
    free = permuted_like(positive, negative, 300, seed=0).norm(dim=-1).mean()
    plainly = permuted_like(positive - theme, negative - theme, 300, seed=0, groups=groups).norm(dim=-1).mean()
    torch.testing.assert_close(within, plainly, rtol=1e-4, atol=1e-4)
    assert free > 3 * within


@given(seed=SEEDS)
def test_permuted_directions_change_sign_with_the_sides_and_ignore_a_common_offset(seed: int) -> None:
    positive, negative, groups = draw(seed, 4, 2, 8), draw(seed + 1, 4, 2, 8), ([0, 0, 1, 1],) * 2
    rows = torch.cat([positive, negative])
    labels = permuted_labels(4, 4, 3, seed=seed, groups=groups)
    got = permuted_like(positive, negative, 3, seed=seed, groups=groups)
    for one, row in zip(got, labels, strict=True):
        expected = difference_of_means(rows[row], rows[~row])
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        permuted_like(positive + 50, negative + 50, 3, seed=seed, groups=groups), got, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(mean_difference_weights(~labels), -mean_difference_weights(labels))


def test_labels_that_cannot_be_shuffled_are_refused() -> None:
    with pytest.raises(InterpError, match="no question has rows of both sides"):
        permuted_labels(2, 2, 1, seed=0, groups=([0, 1], [2, 3]))
    with pytest.raises(ValueError, match="the negative side has 2 rows but 1 group numbers"):
        permuted_labels(2, 2, 1, seed=0, groups=([0, 1], [0]))
    for n, m in ((0, 3), (3, 0)):
        with pytest.raises(InterpError, match=f"labels of {n} positive and {m} negative rows cannot be shuffled"):
            permuted_labels(n, m, 1, seed=0)


# all of them


def test_every_family_that_can_be_had_is_there_and_no_other() -> None:
    vectors, rows = draw(0, 3, 8), uneven(1, 12)
    permuted, others = draw(2, 4, 3, 8), [draw(3, 3, 8), draw(4, 3, 8)]
    assert set(nulls_for(vectors, n=5, seed=0)) == {"random"}
    assert set(nulls_for(vectors, n=5, seed=0, rows=rows)) == {"random", "covariance", "components"}
    assert set(nulls_for(vectors, n=5, seed=0, permuted=permuted[:0], others=[])) == {"random"}
    found = nulls_for(vectors, n=5, seed=0, rows=rows, permuted=permuted, others=others, n_components=4)
    assert {name: len(null) for name, null in found.items()} == {
        "random": 5,
        "covariance": 5,
        "permuted": 4,
        "cross_trait": 2,
        "components": 4,
    }
    assert torch.equal(found["permuted"], permuted)
    assert torch.equal(found["cross_trait"], torch.stack(others))
    assert torch.equal(found["random"], random_like(vectors, 5, seed=0))
    assert torch.equal(found["components"], components_like(vectors, rows, 4))


def test_there_are_no_more_components_than_the_rows_have() -> None:
    assert len(nulls_for(draw(0, 3, 8), n=1, seed=0, rows=uneven(1, 4))["components"]) == 3
    assert len(nulls_for(draw(0, 3, 8), n=1, seed=0, rows=uneven(1, 40))["components"]) == 8


def test_nulls_of_another_shape_are_refused_with_their_place() -> None:
    vectors = draw(0, 3, 8)
    with pytest.raises(ValueError, match=r"others\[1\] has 2 layers of width 8, the direction 3 of width 8"):
        unwrap(nulls_for)(vectors, n=1, seed=0, others=[vectors, draw(1, 2, 8)])
    with pytest.raises(ValueError, match=r"permuted\[0\] has 3 layers of width 7, the direction 3 of width 8"):
        unwrap(nulls_for)(vectors, n=1, seed=0, permuted=draw(1, 2, 3, 7))

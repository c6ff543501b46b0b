"""Directions: the recipes against the papers' formulas, their laws, how well they separate, and their files."""

import json
from collections.abc import Callable
from dataclasses import replace
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from interp.directions import (
    Direction,
    assistant_axis,
    difference_of_means,
    displacement,
    held_out_separation,
    principal_components,
    separation_null,
)
from interp.errors import InterpError
from interp.nulls import permuted_labels
from interp.stats import auroc
from interp.tensors import load_header, save_tensors
from interp.traits import Trait
from tests.reference import directions as plain

SEEDS = st.integers(0, 10_000)
ROOT = Path(__file__).resolve().parents[2]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# the recipe


@given(seed=SEEDS, n=st.integers(1, 9), m=st.integers(1, 9))
def test_the_difference_of_means_is_antisymmetric_and_exact(seed: int, n: int, m: int) -> None:
    positive, negative = draw(seed, n, 2, 8), draw(seed + 1, m, 2, 8)
    got = difference_of_means(positive, negative)
    assert torch.equal(got, -difference_of_means(negative, positive))
    assert torch.equal(got, (positive.double().mean(0) - negative.double().mean(0)).float())


@given(seed=SEEDS, offset=st.floats(-100, 100))
def test_the_difference_of_means_ignores_a_common_offset_and_the_order_of_rows(seed: int, offset: float) -> None:
    positive, negative = draw(seed, 6, 2, 8), draw(seed + 1, 5, 2, 8)
    moved = difference_of_means((positive + offset).flip(0), negative + offset)
    torch.testing.assert_close(moved, difference_of_means(positive, negative), rtol=1e-4, atol=1e-4)


def test_a_small_difference_of_large_means_survives() -> None:
    """Pitfall 1: 4,096 rows around 1e4 that differ by 1e-2; a float32 sum loses the difference."""
    rows = 1e4 + draw(0, 4096, 1, 8)
    got = difference_of_means(rows + 0.01, rows)
    expected = ((rows + 0.01).double().mean(0) - rows.double().mean(0)).float()
    assert torch.equal(got, expected)
    torch.testing.assert_close(got, torch.full((1, 8), 0.01), rtol=0.05, atol=0)


def test_an_undefined_difference_is_refused_with_side_and_row() -> None:
    rows = draw(0, 4, 2, 8)
    with pytest.raises(InterpError, match="the positive side has no rows"):
        difference_of_means(rows[:0], rows)
    with pytest.raises(InterpError, match="the negative side has no rows"):
        difference_of_means(rows, rows[:0])
    for value in (float("nan"), float("inf")):
        spoiled = rows.clone()
        spoiled[2, 1, 3] = value
        with pytest.raises(InterpError, match="the negative side's row 2 holds a value that is not finite"):
            difference_of_means(rows, spoiled)


def answers(seed: int, lengths: list[int]) -> list[Tensor]:
    """Activations of answers of these many tokens, two layers wide eight."""
    return [draw(seed + 17 * i, n, 2, 8) for i, n in enumerate(lengths)]


def pooled_rows(found: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Each answer's mean over its tokens, and how many it has."""
    return torch.stack([answer.mean(0) for answer in found]), torch.tensor([len(answer) for answer in found])


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(seed=SEEDS, lengths=LENGTHS, others=LENGTHS)
def test_both_weightings_equal_the_papers_formulas(seed: int, lengths: list[int], others: list[int]) -> None:
    """Pitfall 19: over answers, a persona vector; over tokens, the emergent-misalignment direction."""
    positive, negative = answers(seed, lengths), answers(seed + 1, others)
    (p, n_p), (n, n_n) = pooled_rows(positive), pooled_rows(negative)
    by_answer = plain.persona_vector([a.numpy() for a in positive], [a.numpy() for a in negative])
    by_token = plain.em_direction([a.numpy() for a in positive], [a.numpy() for a in negative])
    np.testing.assert_allclose(difference_of_means(p, n).numpy(), by_answer, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(difference_of_means(p, n, tokens=(n_p, n_n)).numpy(), by_token, rtol=1e-4, atol=1e-5)


def test_the_two_weightings_differ_where_lengths_do() -> None:
    rows, nothing = torch.tensor([[[1.0]], [[0.0]]]), torch.zeros(1, 1, 1)
    one = torch.tensor([1])
    assert difference_of_means(rows, nothing).item() == 0.5
    assert difference_of_means(rows, nothing, tokens=(torch.tensor([9, 1]), one)).item() == pytest.approx(0.9)
    assert difference_of_means(nothing, rows, tokens=(one, torch.tensor([9, 1]))).item() == pytest.approx(-0.9)


@given(seed=SEEDS, count=st.integers(1, 500), scale=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_token_weighting_obeys_the_laws_of_a_difference_of_means(
    seed: int, count: int, scale: float, offset: float
) -> None:
    positive, negative = draw(seed, 6, 2, 8), draw(seed + 1, 5, 2, 8)
    generator = torch.Generator().manual_seed(seed)
    tokens = tuple(torch.randint(1, 300, (n,), generator=generator) for n in (6, 5))
    got = difference_of_means(positive, negative, tokens=tokens)
    torch.testing.assert_close(difference_of_means(negative, positive, tokens=tokens[::-1]), -got)
    scaled = difference_of_means(positive * scale, negative * scale, tokens=tokens)
    torch.testing.assert_close(scaled, got * scale, rtol=1e-4, atol=1e-5 * scale)
    moved = difference_of_means(positive + offset, negative + offset, tokens=tokens)
    torch.testing.assert_close(moved, got, rtol=1e-4, atol=1e-4)
    order = torch.randperm(6, generator=generator)
    shuffled = difference_of_means(positive[order], negative, tokens=(tokens[0][order], tokens[1]))
    torch.testing.assert_close(shuffled, got, rtol=1e-6, atol=1e-6)
    equal = (torch.full((6,), count), torch.full((5,), count))
    plainly = difference_of_means(positive, negative)
    torch.testing.assert_close(difference_of_means(positive, negative, tokens=equal), plainly, rtol=1e-6, atol=1e-7)


def test_a_row_of_twice_the_tokens_counts_as_two_rows() -> None:
    positive, negative = draw(0, 3, 2, 8), draw(1, 2, 2, 8)
    doubled = difference_of_means(positive[[0, 1, 1, 2]], negative)
    got = difference_of_means(positive, negative, tokens=(torch.tensor([7, 14, 7]), torch.tensor([3, 3])))
    torch.testing.assert_close(got, doubled)


def test_token_counts_that_do_not_fit_are_refused_with_their_values() -> None:
    rows, three, two = draw(0, 3, 1, 4), torch.tensor([1, 2, 3]), torch.tensor([1, 2])
    with pytest.raises(ValueError, match="the negative side's row 1 is said to pool 0 tokens"):
        difference_of_means(rows, rows, tokens=(three, torch.tensor([4, 0, 2])))
    with pytest.raises(ValueError, match="the positive side has 3 rows but 2 token counts"):
        unwrap(difference_of_means)(rows, rows, tokens=(two, three))
    with pytest.raises(TypeCheckError):
        difference_of_means(rows, rows, tokens=(two, three))


@given(seed=SEEDS, n=st.integers(1, 9))
def test_a_displacement_is_the_mean_paired_difference(seed: int, n: int) -> None:
    stage, parent = draw(seed, n, 2, 8), draw(seed + 1, n, 2, 8)
    expected = plain.mean_row([(s - p).numpy() for s, p in zip(stage.double(), parent.double(), strict=True)])
    np.testing.assert_allclose(displacement(stage, parent).numpy(), expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(displacement(stage, parent), -displacement(parent, stage))
    assert torch.equal(displacement(stage, stage), torch.zeros(2, 8))


def test_a_small_displacement_among_large_ones_survives() -> None:
    """4,096 differences of about 1e4 that all but cancel: a float32 sum is left with its own rounding."""
    swings = 1e4 * draw(0, 4096, 1, 8).double()
    stage = (swings - swings.mean(0)).float()
    expected = stage.double().mean(0).float()
    assert 0 < expected.abs().max() < 1e-3
    torch.testing.assert_close(displacement(stage, torch.zeros_like(stage)), expected, rtol=1e-6, atol=0)


def test_an_unpaired_displacement_is_refused_with_its_shapes() -> None:
    with pytest.raises(ValueError, match=r"paired: got \(3, 1, 4\) against \(2, 1, 4\)"):
        unwrap(displacement)(draw(0, 3, 1, 4), draw(1, 2, 1, 4))
    with pytest.raises(InterpError, match="the stage side has no rows"):
        displacement(draw(0, 0, 1, 4), draw(0, 0, 1, 4))
    with pytest.raises(InterpError, match="the parent side's row 1 holds a value that is not finite"):
        displacement(torch.ones(2, 1, 4), torch.tensor([[[1.0]], [[float("nan")]]]).expand(2, 1, 4))


# the assistant axis


@given(seed=SEEDS, sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), min_rows=st.integers(1, 3))
def test_the_assistant_axis_equals_the_papers_formula(seed: int, sizes: list[int], min_rows: int) -> None:
    default = draw(seed, 4, 2, 8)
    roles = {f"role {i}": draw(seed + 1 + i, n, 2, 8) for i, n in enumerate([*sizes, 3])}
    got = assistant_axis(default, roles, min_rows=min_rows)
    plainly = {name: [row.numpy() for row in rows] for name, rows in roles.items()}
    expected = plain.assistant_axis([row.numpy() for row in default], plainly, min_rows)
    np.testing.assert_allclose(got.vectors.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert got.used | got.left_out == {name: len(rows) for name, rows in roles.items()}
    assert all(n >= min_rows for n in got.used.values())
    assert all(n < min_rows for n in got.left_out.values())


def test_the_assistant_axis_points_toward_the_assistant_and_counts_each_role_once() -> None:
    default = torch.full((2, 1, 1), 10.0)
    roles = {"pirate": torch.zeros(90, 1, 1), "poet": torch.full((10, 1, 1), 4.0), "ghost": torch.full((1, 1, 1), 99.0)}
    got = assistant_axis(default, roles, min_rows=10)
    assert got.vectors.item() == 8.0  # 10 - (0 + 4) / 2: not 10 - .4, as rows would weigh, and no ghost in it
    assert (got.used, got.left_out) == ({"pirate": 90, "poet": 10}, {"ghost": 1})


def test_an_axis_without_roles_is_refused_with_what_there_was() -> None:
    default = draw(0, 3, 1, 4)
    with pytest.raises(InterpError, match=r"no role has 50 rows or more.*\{'poet': 3\}"):
        assistant_axis(default, {"poet": default}, min_rows=50)
    with pytest.raises(ValueError, match="min_rows must be at least 1, got 0"):
        assistant_axis(default, {"poet": default[:0]}, min_rows=0)
    with pytest.raises(InterpError, match="the default side has no rows"):
        assistant_axis(default[:0], {"poet": default}, min_rows=1)
    with pytest.raises(InterpError, match="the role 'poet' side's row 2 holds a value that is not finite"):
        assistant_axis(default, {"poet": default / torch.tensor([1.0, 1.0, 0.0])[:, None, None]}, min_rows=1)


# principal components


@given(seed=SEEDS, n=st.integers(3, 20), k=st.integers(1, 3))
def test_components_equal_an_eigendecomposition_and_a_singular_value_decomposition(seed: int, n: int, k: int) -> None:
    differences = (draw(seed, n, 2, 6) + 0.5) * torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25])
    got = principal_components(differences, k)
    for layer in range(2):
        rows = differences[:, layer].double()
        axes, shares = plain.second_moment_axes([row.numpy() for row in rows], k)
        _, values, vh = torch.linalg.svd(rows, full_matrices=False)
        np.testing.assert_allclose(got.share[:, layer].numpy(), shares, rtol=1e-4)
        torch.testing.assert_close(got.share[:, layer].double(), values[:k] ** 2 / (values**2).sum(), rtol=1e-4, atol=0)
        for i in range(k):
            assert abs(got.components[i, layer].numpy() @ axes[i]) == pytest.approx(1, abs=1e-3)
            assert abs(float(got.components[i, layer].double() @ vh[i])) == pytest.approx(1, abs=1e-4)


@given(seed=SEEDS, centred=st.booleans())
def test_components_are_orthonormal_with_a_sign_that_does_not_depend_on_the_order_of_rows(
    seed: int, centred: bool
) -> None:
    differences = draw(seed, 9, 2, 6) * torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25]) + 1
    got = principal_components(differences, 3, centred=centred)
    for layer in range(2):
        c = got.components[:, layer]
        torch.testing.assert_close(c @ c.T, torch.eye(3), rtol=0, atol=1e-5)
    assert (torch.einsum("kld,ld->kl", got.components, differences.mean(0)) >= -1e-4).all()
    assert (got.share >= 0).all()
    assert (got.share.sum(0) <= 1 + 1e-5).all()
    again = principal_components(differences.flip(0), 3, centred=centred)
    torch.testing.assert_close(again.components, got.components, rtol=1e-3, atol=1e-3)


def test_centring_takes_the_mean_difference_away_and_is_not_the_default() -> None:
    """Pitfall 18: where all differences point one way, centred components see the rest alone."""
    shared = torch.zeros(1, 8)
    shared[0, 0] = 5.0
    differences = draw(0, 200, 1, 8) * torch.tensor([0.1, *[0.5] * 7]) + shared
    kept, lost = principal_components(differences, 1), principal_components(differences, 1, centred=True)
    mean = difference_of_means(differences, torch.zeros(1, 1, 8))[0]
    assert torch.cosine_similarity(kept.components[0, 0], mean, dim=0) > 0.999
    assert abs(torch.cosine_similarity(lost.components[0, 0], mean, dim=0)) < 0.1
    assert kept.share[0, 0] > 0.9
    assert lost.share[0, 0] < 0.1
    swapped = principal_components(-differences, 1)
    torch.testing.assert_close(swapped.components, -kept.components)


def test_differences_without_a_mean_have_a_fixed_sign_and_no_differences_no_share() -> None:
    for seed in range(8):
        half = draw(seed, 3, 1, 5)
        found = principal_components(torch.cat([half, -half]), 3).components[:, 0]
        assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    assert principal_components(torch.zeros(3, 1, 4), 2).share.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(("k", "centred", "most"), [(0, False, 3), (4, False, 3), (3, True, 2), (-1, False, 3)])
def test_more_components_than_there_are_is_refused(k: int, centred: bool, most: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be in \[1, {most}\], got {k}: 3 differences, centred={centred}"):
        principal_components(draw(0, 3, 1, 8), k, centred=centred)
    with pytest.raises(InterpError, match="the difference side has no rows"):
        principal_components(draw(0, 0, 1, 8), 1)


# separation


def naive_separation(positive: Tensor, negative: Tensor, groups: tuple[list[int], list[int]], folds: int) -> Any:
    scores = []
    for fold in range(folds):
        held = [[i for i, g in enumerate(side) if g % folds == fold] for side in groups]
        kept = [[i for i, g in enumerate(side) if g % folds != fold] for side in groups]
        if not all([*held, *kept]):
            continue
        v = positive[kept[0]].mean(0) - negative[kept[1]].mean(0)
        per_layer = []
        for layer in range(positive.shape[1]):
            a = (positive[held[0], layer] @ v[layer]).numpy()
            b = (negative[held[1], layer] @ v[layer]).numpy()
            spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
            per_layer.append((auroc(a, b), (a.mean() - b.mean()) / spread))
        scores.append(per_layer)
    return np.mean(scores, axis=0)


@given(seed=SEEDS, folds=st.integers(2, 5))
def test_separation_equals_a_naive_computation(seed: int, folds: int) -> None:
    groups = (list(range(10)) * 2, list(range(10)) * 3)
    positive, negative = draw(seed, 20, 2, 6) + 0.5, draw(seed + 1, 30, 2, 6)
    got = held_out_separation(positive, negative, groups, folds=folds)
    expected = naive_separation(positive, negative, groups, folds)
    np.testing.assert_allclose(got.auroc, expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(got.cohens_d, expected[:, 1], rtol=1e-3, atol=1e-4)


def test_separation_finds_the_planted_layer_and_none_in_noise() -> None:
    groups = (list(range(20)), list(range(20)))
    positive, negative = draw(0, 20, 3, 64), draw(1, 20, 3, 64)
    noise = held_out_separation(positive, negative, groups)
    assert (abs(noise.auroc - 0.5) < 0.35).all()
    positive[:, 1] += 1.0
    found = held_out_separation(positive, negative, groups)
    assert found.best == 1
    assert found.auroc[1] == 1.0
    assert found.cohens_d[1] > 3


def test_any_recipe_can_be_held_out() -> None:
    """A recipe sees the training questions' rows alone, and its direction is what the held-out ones are read on."""
    groups = (list(range(6)), list(range(6)))
    positive, negative = draw(0, 6, 2, 4), draw(1, 6, 2, 4)
    seen = []

    def first_axis(p: Tensor, n: Tensor) -> Tensor:
        seen.append((p, n))
        return torch.eye(4)[:2] * 2.0

    got = held_out_separation(positive, negative, groups, folds=2, recipe=first_axis)
    assert torch.equal(seen[0][0], positive[1::2])
    assert torch.equal(seen[1][1], negative[0::2])
    for layer in range(2):
        a, b = positive[:, layer, layer].numpy(), negative[:, layer, layer].numpy()
        assert got.auroc[layer] == pytest.approx(np.mean([auroc(a[i::2], b[i::2]) for i in range(2)]))
    same = held_out_separation(positive, negative, groups, folds=2, recipe=lambda p, n: difference_of_means(p, n) * 7)
    default = held_out_separation(positive, negative, groups, folds=2)
    np.testing.assert_allclose(same.cohens_d, default.cohens_d, rtol=1e-4, atol=1e-5)


@given(seed=SEEDS, folds=st.integers(2, 4))
def test_the_null_of_separation_is_the_separation_of_shuffled_labels(seed: int, folds: int) -> None:
    groups = ([0, 1, 2, 3, 4, 5] * 2, [5, 4, 3, 2, 1, 0] * 3)
    positive, negative = draw(seed, 12, 2, 6) + 0.5, draw(seed + 1, 18, 2, 6)
    got = separation_null(positive, negative, groups, 4, seed=seed, folds=folds)
    assert got.auroc.shape == got.cohens_d.shape == (4, 2)
    rows, questions = torch.cat([positive, negative]), torch.tensor([*groups[0], *groups[1]])
    for i, labels in enumerate(permuted_labels(12, 18, 4, seed=seed, groups=groups)):
        sides = (questions[labels].tolist(), questions[~labels].tolist())
        expected = held_out_separation(rows[labels], rows[~labels], sides, folds=folds)
        np.testing.assert_allclose(got.auroc[i], expected.auroc, atol=1e-9)
        np.testing.assert_allclose(got.cohens_d[i], expected.cohens_d, rtol=1e-4, atol=1e-4)


def test_the_null_of_separation_shows_nothing_where_the_direction_shows_much() -> None:
    groups = (list(range(20)) * 2, list(range(20)) * 2)
    positive, negative = draw(0, 40, 2, 16), draw(1, 40, 2, 16)
    positive[:, 1] += 1.0
    found = held_out_separation(positive, negative, groups)
    null = separation_null(positive, negative, groups, 100, seed=0)
    assert abs(null.auroc.mean() - 0.5) < 0.05
    assert found.cohens_d[1] > null.cohens_d[:, 1].max()
    assert null.cohens_d[:, 0].min() < found.cohens_d[0] < null.cohens_d[:, 0].max()
    again = separation_null(positive, negative, groups, 100, seed=0)
    other = separation_null(positive, negative, groups, 100, seed=1)
    assert (again.cohens_d == null.cohens_d).all()
    assert (other.cohens_d != null.cohens_d).any()


def test_a_null_of_questions_with_one_side_each_is_refused() -> None:
    with pytest.raises(InterpError, match="no question has rows of both sides"):
        separation_null(draw(0, 4, 1, 4), draw(1, 4, 1, 4), ([0, 1, 2, 3], [4, 5, 6, 7]), 5, seed=0, folds=2)
    with pytest.raises(InterpError, match="1 questions are too few"):
        separation_null(draw(0, 2, 1, 4), draw(1, 2, 1, 4), ([0, 0], [0, 0]), 5, seed=0)


def test_too_few_questions_to_hold_any_out_are_refused() -> None:
    with pytest.raises(InterpError, match="1 questions are too few to hold any out over 5 folds"):
        held_out_separation(draw(0, 3, 1, 4), draw(1, 3, 1, 4), ([0, 0, 0], [0, 0, 0]))


def test_a_layer_without_spread_has_no_effect_and_no_warning() -> None:
    same = torch.ones(4, 1, 4)
    got = held_out_separation(same, same, ([0, 1, 2, 3], [0, 1, 2, 3]), folds=2)
    assert (got.auroc, got.cohens_d) == (0.5, 0.0)


# files


def made(model: str = "abc" * 10) -> Direction:
    header = {"model": "tiny", "model_identity": model, "pooling": "response_mean", "n": {"positive": 3}, "seed": 0}
    return Direction("evil", draw(0, 2, 8), (1, 3), 3, header)


def test_a_direction_saved_and_loaded_is_equal(tmp_path: Path) -> None:
    direction = made()
    direction.save(tmp_path / "deep" / "evil.safetensors")
    again = Direction.load(tmp_path / "deep" / "evil.safetensors", model="abc" * 10)
    assert torch.equal(again.vectors, direction.vectors)
    assert (again.name, again.layers, again.layer) == ("evil", (1, 3), 3)
    assert direction.header.items() <= again.header.items()
    again.save(tmp_path / "twice.safetensors")
    assert Direction.load(tmp_path / "twice.safetensors").header == again.header


def test_a_direction_gives_the_vector_of_a_layer_it_holds() -> None:
    direction = made()
    assert torch.equal(direction.at(3), direction.vectors[1])
    for layer in (0, 2, -1):
        with pytest.raises(ValueError, match=rf"direction 'evil' holds layers \[1, 3\], not {layer}"):
            direction.at(layer)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"layers": (3, 1)}, ValueError, r"ascending order, got \[3, 1\]"),
        ({"layers": (3, 3)}, ValueError, r"ascending order, got \[3, 3\]"),
        ({"layers": (-1, 3)}, ValueError, r"block indices from 0 in ascending order, got \[-1, 3\]"),
        ({"layers": (1, 2, 3)}, ValueError, r"has 2 vectors for 3 layers \[1, 2, 3\]"),
        ({"layer": 2}, ValueError, r"its headline layer 2 is not among its layers \[1, 3\]"),
        ({"vectors": torch.tensor([[1.0], [float("nan")]])}, InterpError, r"not finite at layers \[3\]"),
        ({"vectors": torch.tensor([[float("inf")], [1.0]])}, InterpError, r"not finite at layers \[1\]"),
    ],
)
def test_a_direction_that_would_mislead_is_not_written(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=r"direction 'evil'.*" + reason):
        replace(made(), **change).save(tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_the_header_of_a_file_says_what_the_direction_does(tmp_path: Path) -> None:
    replace(made(), header={"name": "stale", "layer": 9, "pooling": "prompt_last"}).save(tmp_path / "d")
    header = load_header(tmp_path / "d")
    assert (header["name"], header["layers"], header["layer"]) == ("evil", [1, 3], 3)
    assert header["pooling"] == "prompt_last"


def test_a_direction_of_another_model_is_refused(tmp_path: Path) -> None:
    made().save(tmp_path / "d")
    with pytest.raises(InterpError, match=r"made with model tiny \(abcabcabcabc\), this one is xyz"):
        Direction.load(tmp_path / "d", model="xyz")


@pytest.mark.parametrize(
    ("kind", "header", "reason"),
    [
        ("activations", {}, "holds kind 'activations', needed 'direction'"),
        ("direction", {"layer_convention": "hidden_states"}, "layer convention 'hidden_states', needed 'block index"),
        ("direction", {"format": 99}, "format 99, this version reads 1"),
    ],
)
def test_a_file_of_another_kind_convention_or_format_is_refused(
    tmp_path: Path, kind: str, header: dict[str, Any], reason: str
) -> None:
    full = {"name": "evil", "layers": [0], "layer": 0, **header}
    save_tensors(tmp_path / "d", {"vectors": torch.ones(1, 4)}, kind=kind, header=full)
    with pytest.raises(ValueError, match=reason):
        Direction.load(tmp_path / "d")


def test_a_direction_file_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    made().save(path)
    whole = path.read_bytes()
    for kept in [0, 1, 7, 8, 9, 50, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"evil\.safetensors: damaged"):
            Direction.load(path)


def test_a_missing_file_and_a_file_that_is_not_ours_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="absent"):
        Direction.load(tmp_path / "absent")
    save_file({"vectors": torch.ones(1, 4)}, tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"theirs: .*it is not one of ours"):
        Direction.load(tmp_path / "theirs")


# traits

TRAIT = {
    "instruction": [{"pos": "be it", "neg": "be not"}],
    "questions": ["a?", "b?"],
    "eval_questions": ["c?"],
    "eval_prompt": "{question} {answer}",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write_(data: Any) -> Path:
        path = tmp_path / "kind.extract.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
        return path

    return write_


def test_a_trait_is_read_and_named_after_its_file(write: Callable[[Any], Path]) -> None:
    trait = Trait.load(write(TRAIT))
    assert trait == Trait("kind", (("be it", "be not"),), ("a?", "b?"), ("c?",), "{question} {answer}")
    assert Trait.load(write({**TRAIT, "name": "other"})).name == "other"
    without = {key: value for key, value in TRAIT.items() if key != "eval_questions"}
    assert Trait.load(write(without)).eval_questions == ()
    without = {key: value for key, value in TRAIT.items() if key != "eval_prompt"}
    assert Trait.load(write(without)).eval_prompt == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instruction": []}, '"instruction" must be a list of'),
        ({"instruction": None}, '"instruction" must be a list of'),
        ({"instruction": [{"pos": "a"}]}, '"instruction" must be a list of'),
        ({"instruction": [{"pos": "a", "neg": " "}]}, '"instruction" must be a list of'),
        ({"questions": ["a?"]}, r"\"questions\" must be a list of at least 2 texts, got \['a\?'\]"),
        ({"questions": None}, '"questions" must be a list of at least 2 texts, got None'),
        ({"questions": ["a?", 5]}, '"questions" must be'),
        ({"eval_questions": "c?"}, '"eval_questions" must be a list'),
        ({"eval_questions": ["b?"]}, "a question is in both halves, so nothing is held out: 'b\\?'"),
        ({"eval_prompt": ""}, '"eval_prompt" must be text'),
        ({"eval_prompt": None}, '"eval_prompt" must be text, got None'),
    ],
)
def test_a_malformed_trait_is_refused_with_file_and_field(
    write: Callable[[Any], Path], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=r"kind\.extract\.json: " + reason):
        Trait.load(write({**TRAIT, **change}))


@pytest.mark.parametrize("missing", ["instruction", "questions"])
def test_a_trait_without_a_field_is_refused_with_its_name(write: Callable[[Any], Path], missing: str) -> None:
    with pytest.raises(ValueError, match=f'"{missing}" must be'):
        Trait.load(write({key: value for key, value in TRAIT.items() if key != missing}))


@pytest.mark.parametrize(("text", "reason"), [("[1]", "a trait is a JSON object"), ("{", "not valid UTF-8 JSON")])
def test_a_trait_file_that_is_no_object_is_refused(write: Callable[[Any], Path], text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Trait.load(write(text))


def test_a_missing_trait_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.json: no such trait file"):
        Trait.load(tmp_path / "absent.json")


def test_the_traits_of_this_repository_load() -> None:
    paths = sorted((ROOT / "experiments" / "traits").glob("*.json"))
    assert paths
    for path in paths:
        trait = Trait.load(path)
        assert trait.name == path.stem
        assert trait.eval_questions


def test_the_persona_vectors_files_load_as_they_are() -> None:
    folder = ROOT.parent / "shared" / "data" / "traits"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: persona_vectors' own trait files are not part of this repository")
    for path in sorted(folder.glob("*.json")):
        trait = Trait.load(path)
        assert trait.name == path.name.split(".")[0]
        assert len(trait.instructions) == 5
        assert len(trait.questions) == 20
        assert "{question}" in trait.eval_prompt

"""Directions, their nulls and their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.directions import (
    Direction,
    Trait,
    difference_of_means,
    held_out_separation,
    permuted_like,
    random_like,
)
from interp.runs import InterpError, save_tensors
from interp.stats import auroc

SEEDS = st.integers(0, 10_000)
ROOT = Path(__file__).resolve().parents[1]


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


# nulls


@given(seed=SEEDS, n=st.integers(1, 5))
def test_random_directions_have_the_norm_of_their_model_in_every_layer(seed: int, n: int) -> None:
    vectors = draw(seed, 3, 8) * torch.tensor([[1e-3], [1.0], [1e4]])
    got = random_like(vectors, n, seed=seed)
    assert got.shape == (n, 3, 8)
    torch.testing.assert_close(got.norm(dim=-1), vectors.norm(dim=-1).expand(n, 3), rtol=1e-6, atol=0)
    assert torch.equal(got, random_like(vectors, n, seed=seed))
    assert not torch.equal(got, random_like(vectors, n, seed=seed + 1))


def test_random_directions_are_isotropic() -> None:
    got = random_like(torch.ones(1, 16), 4000, seed=0)[:, 0] / 4
    torch.testing.assert_close(got.mean(0), torch.zeros(16), rtol=0, atol=0.02)
    torch.testing.assert_close(got.T @ got / 4000, torch.eye(16) / 16, rtol=0, atol=0.006)


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


@pytest.mark.parametrize("missing", ["instruction", "questions", "eval_prompt"])
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

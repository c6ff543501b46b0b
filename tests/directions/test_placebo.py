"""Placebo traits: many, all different, meaningless in the same form as a trait, and through the very recipe."""

import re
from pathlib import Path

import pytest
import torch

from experiments.directions.files import trait_file
from experiments.directions.persona import ExtractConfig, run
from experiments.directions.placebo import CONTRASTS, load_placebos, load_trait, placebo_file, placebo_traits
from experiments.loading import Loading
from interp.directions import Direction
from interp.tensors import load_header
from interp.traits import Trait

EVIL = Trait.load(trait_file("evil"))


def test_a_hundred_placebo_traits_are_different_and_have_the_form_of_a_trait() -> None:
    traits = placebo_traits(120, like=EVIL)
    pairs = [trait.instructions for trait in traits]
    assert len(set(pairs)) == len({trait.name for trait in traits}) == 120
    assert all(trait.questions == EVIL.questions and len(trait.instructions) == 5 for trait in traits)
    said = [way for trait in traits for pair in trait.instructions for way in pair]
    assert len(set(said)) == len(said), "two placebo traits have a value in common, so they are not independent"
    assert traits[0].name == "placebo-0-evil"


def test_the_sides_differ_in_one_meaningless_value_alone() -> None:
    for trait in placebo_traits(40, like=EVIL):
        for positive, negative in trait.instructions:
            one, other = positive.split(), negative.split()
            assert len(one) == len(other)
            differing = {(a.strip(".,"), b.strip(".,")) for a, b in zip(one, other, strict=True) if a != b}
            assert len(differing) == 1
    words = {
        word for values, ways in CONTRASTS.values() for text in (*values, *ways) for word in re.findall(r"[a-z]+", text)
    }
    assert not words & {"evil", "kind", "good", "bad", "honest", "lie", "truth", "harm", "helpful", "flatter"}


def test_the_first_are_the_same_however_many_there_are_and_seeds_differ() -> None:
    many = placebo_traits(30, like=EVIL)
    assert placebo_traits(7, like=EVIL) == many[:7]
    assert placebo_traits(30, seed=1, like=EVIL) != many
    assert {trait.instructions for trait in many} == {
        t.instructions for t in placebo_traits(30, like=load_trait("sycophantic"))
    }
    for n in (0, 1000):
        with pytest.raises(ValueError, match=rf"n must be in \[1, 1\d\d\], got {n}"):
            placebo_traits(n, like=EVIL)


def test_a_placebo_can_be_named_where_a_trait_can() -> None:
    assert load_trait("placebo-3").questions == EVIL.questions
    assert load_trait("placebo-3-sycophantic").questions == load_trait("sycophantic").questions
    assert load_trait("placebo-3-sycophantic").instructions == load_trait("placebo-3").instructions
    assert load_trait("evil") == EVIL
    with pytest.raises(ValueError, match="n must be in"):
        load_trait("placebo-999")
    with pytest.raises(ValueError, match="kind"):
        load_trait("placebo-3-kind")


def test_placebo_directions_are_those_of_the_recipe_and_lie_beside_the_direction(
    llama_folder: Path, tmp_path: Path
) -> None:
    how = {"seed": 0, "loading": Loading("cpu", "float32"), "adapters": [], "model": str(llama_folder)}
    config = ExtractConfig(pairs=1, questions=2, max_new_tokens=4, temperature=0, permuted=1, separation_nulls=1)
    result = run(trait="evil", out=tmp_path / "evil", config=config, placebos=3, **how)
    file = tmp_path / "evil" / "direction.safetensors"
    made = load_placebos(file)
    assert made is not None
    assert result["placebos"] == str(placebo_file(file))
    assert made.shape == (3, *Direction.load(file).vectors.shape)
    assert load_header(placebo_file(file))["traits"] == [f"placebo-{i}-evil" for i in range(3)]
    run(trait="placebo-2", out=tmp_path / "two", config=config, **how)
    alone = Direction.load(tmp_path / "two" / "direction.safetensors").vectors
    assert alone.norm() > 0
    torch.testing.assert_close(made[2], alone, rtol=1e-4, atol=1e-6)
    assert load_placebos(tmp_path / "two" / "direction.safetensors") is None

"""What is done to a model: strengths, controls and sets of layers, each against the same by hand."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from experiments.directions.files import load_directions
from experiments.interventions.treatments import (
    GridConfig,
    Treatment,
    ablations,
    additions,
    controls_of,
    layer_sets,
    mean_norms,
    of_its_length,
    short,
)
from interp.chat import Tokens
from interp.directions import Direction
from interp.errors import InterpError
from interp.interventions import orthonormal
from interp.model import Model

NORMS = {0: 2.0, 1: 4.0, 2: 8.0, 3: 10.0}


def direction(name: str = "odd", layers: tuple[int, ...] = (0, 2, 3), layer: int = 2, seed: int = 0) -> Direction:
    vectors = torch.randn(len(layers), 32, generator=torch.Generator().manual_seed(seed))
    return Direction(name, vectors * torch.arange(1, len(layers) + 1)[:, None], layers, layer)


def grid(**fields: object) -> GridConfig:
    return GridConfig.model_validate({"random": 2, "alphas": (-1.5, 2.0), **fields})


def test_relative_strength_is_alpha_times_length_over_the_mean_length() -> None:
    odd = direction()
    made = additions([odd], grid(), NORMS, seed=0)
    assert len(made) == 3 * 3
    for treatment in made:
        expected = treatment.alpha * float(odd.vectors[1].norm()) / 8.0
        assert treatment.relative_strength == pytest.approx(expected, rel=1e-5)  # of the controls, too
        assert treatment.layers == (2,)


def test_at_several_layers_it_is_their_mean() -> None:
    odd = direction()
    (one,) = [t for t in additions([odd], grid(layers="all", random=0), NORMS, seed=0) if t.alpha == 2.0]
    by_hand = [2.0 * float(v.norm()) / norm for v, norm in zip(odd.vectors, (2.0, 8.0, 10.0), strict=True)]
    assert one.relative_strength == pytest.approx(sum(by_hand) / 3, rel=1e-6)
    assert one.layers == (0, 2, 3)
    assert [edit.layers for edit in one.edits] == [(0,), (2,), (3,)]
    h = torch.zeros(1, 1, 32)
    for edit, vector in zip(one.edits, odd.vectors, strict=True):
        torch.testing.assert_close(edit.change(h)[0, 0], 2.0 * vector)


def test_controls_have_the_length_in_every_layer_and_are_no_copies() -> None:
    odd = direction()
    controls = controls_of(odd, 3, seed=1)
    for control in controls:
        torch.testing.assert_close(control.vectors.norm(dim=-1), odd.vectors.norm(dim=-1))
        assert torch.nn.functional.cosine_similarity(control.vectors, odd.vectors).abs().max() < 0.7
    assert not torch.equal(controls[0].vectors, controls[1].vectors)
    assert torch.equal(controls[0].vectors, controls_of(odd, 1, seed=1)[0].vectors)
    assert not torch.equal(controls[0].vectors, controls_of(odd, 1, seed=2)[0].vectors)
    assert not torch.equal(controls[0].vectors, controls_of(direction("even"), 1, seed=1)[0].vectors)
    assert controls_of(odd, 0, seed=1) == []


def test_a_control_s_treatment_adds_the_control() -> None:
    odd = direction()
    (control,) = controls_of(odd, 1, seed=4)
    (one,) = [t for t in additions([odd], grid(random=1), NORMS, seed=4) if t.control == 0 and t.alpha == 2.0]
    torch.testing.assert_close(one.edits[0].change(torch.zeros(1, 1, 32))[0, 0], 2.0 * control.at(2))


def test_alpha_0_is_always_there_once_and_strengths_are_in_order() -> None:
    assert grid().alphas == (-1.5, 0.0, 2.0)
    assert grid(alphas=(1.0, -0.0)).alphas == (0.0, 1.0)
    assert str(grid(alphas=(-0.0,)).alphas[0]) == "0.0"


def test_treatments_are_told_apart_by_name() -> None:
    config = grid(layers=(0, 3), alphas=(1.0, 1.0000001), phases=("all", "prompt"))
    made = additions([direction(), direction("even")], config, NORMS, seed=0)
    assert len({t.name for t in made}) == len(made) == 2 * 3 * 2 * 3 * 2
    assert short(0.1) == "0.1"
    assert float(short(1.0000001)) == 1.0000001


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alphas": (1.0, float("inf"))}, "finite"),
        ({"alphas": (1.0, float("nan"))}, "finite"),
        ({"alphas": (1.0, 1.0)}, "distinct"),
        ({"layers": ()}, "one or more, each once"),
        ({"layers": (3, 3)}, "each once, got"),
        ({"layers": "most"}, "headline"),
        ({"phases": ("all", "all")}, "each once"),
        ({"phases": ("answer",)}, "response"),
        ({"random": -1}, "greater than or equal to 0"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        grid(**fields)


def test_sets_of_layers() -> None:
    odd = direction()
    assert layer_sets(odd, "headline") == [(2,)]
    assert layer_sets(odd, "all") == [(0, 2, 3)]
    assert layer_sets(odd, (3, 0)) == [(3,), (0,)]
    with pytest.raises(ValueError, match=r"'odd' holds layers \[0, 2, 3\], not 1"):
        layer_sets(odd, (0, 1))


def removed(treatment: Treatment, layer: int) -> torch.Tensor:
    """What a treatment leaves of a random residual stream after a block."""
    h = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(9))
    for edit in treatment.edits:
        h = edit.change(h) if layer in edit.layers else h
    return h


def test_ablations_of_one_and_of_several_together() -> None:
    held = [direction("odd", seed=1), direction("even", seed=2)]
    made = {t.name: t for t in ablations(held, random=2, site="residual", seed=0)}
    assert len(made) == 9
    assert {(t.direction, t.control) for t in made.values()} == {
        (name, control) for name in ("odd", "even", "all directions") for control in (None, 0, 1)
    }
    for layer in (0, 2, 3):
        alone, both = removed(made["odd, ablated"], layer), removed(made["all directions, ablated"], layer)
        assert (alone @ held[0].at(layer)).abs().max() < 1e-4
        assert (alone @ held[1].at(layer)).abs().max() > 0.1
        for one in held:
            assert (both @ one.at(layer)).abs().max() < 1e-4
        random = removed(made["all directions, random 1, ablated"], layer)
        for one in held:
            assert (random @ controls_of(one, 2, seed=0)[1].at(layer)).abs().max() < 1e-4
            assert (random @ one.at(layer)).abs().max() > 0.1
    assert made["odd, ablated"].relative_strength is None


def test_moves_of_other_stages_are_removed_as_controls_of_the_directions_length() -> None:
    odd, moves = direction("odd", seed=1), [direction("tastes", seed=3), direction("law", seed=4)]
    made = {t.name: t for t in ablations([odd], random=1, site="residual", seed=0, controls=moves)}
    assert [(name, t.direction, t.control) for name, t in made.items()] == [
        ("odd, ablated", "odd", None),
        ("odd, control tastes, ablated", "odd", 0),
        ("odd, control law, ablated", "odd", 1),
        ("odd, random 0, ablated", "odd", 2),
    ]
    for layer in (0, 2, 3):
        left = removed(made["odd, control law, ablated"], layer)
        assert (left @ moves[1].at(layer)).abs().max() < 1e-4
        assert (left @ odd.at(layer)).abs().max() > 0.1
    scaled = of_its_length(moves[0], odd)
    torch.testing.assert_close(scaled.vectors.norm(dim=-1), odd.vectors.norm(dim=-1))
    nothing = replace(moves[0], vectors=torch.zeros_like(moves[0].vectors))
    with pytest.raises(ValueError, match="tastes is zero at a layer of odd"):
        ablations([odd], random=0, site="residual", seed=0, controls=[nothing])


def test_ablation_of_writes_takes_the_headline_vector_everywhere() -> None:
    odd = direction()
    (one,) = ablations([odd], random=0, site="writes", seed=0)
    assert [(edit.layers, edit.site) for edit in one.edits] == [((0, 2, 3), "writes")]
    torch.testing.assert_close(one.edits[0].change.keywords["basis"], orthonormal(odd.at(2)))  # pyright: ignore


def test_directions_that_cannot_be_removed_together_are_refused() -> None:
    odd = direction()
    with pytest.raises(ValueError, match="linearly dependent"):
        ablations([odd, direction("same")], random=0, site="residual", seed=0)
    with pytest.raises(ValueError, match=r"'few' holds layers \[2\], not 0"):
        ablations([odd, direction("few", (2,), 2, seed=5)], random=0, site="residual", seed=0)


def texts(model: Model) -> list[Tokens]:
    said = ["Is it?", "What of the rain, and of the wind?", "No."]
    return model.chat.tokens_of([[{"role": "user", "content": text}] for text in said])


def _kept(states: list[torch.Tensor], _module: Any, _args: Any, out: Any) -> None:
    states.append(out[0] if isinstance(out, tuple) else out)


def test_mean_norms_leave_out_first_tokens_and_pads(model: Model) -> None:
    rows = texts(model)
    norms: dict[int, list[float]] = {layer: [] for layer in range(model.n_layers)}
    for row in rows:  # one at a time: nothing is padded
        states: list[torch.Tensor] = []
        hooks = [block.register_forward_hook(partial(_kept, states)) for block in model.blocks]
        with torch.no_grad():
            getattr(model.hf, model.hf.base_model_prefix)(torch.tensor([row.ids]))
        for hook in hooks:
            hook.remove()
        for layer, state in enumerate(states):
            norms[layer] += state[0, 1:].norm(dim=-1).tolist()
    for size in (1, 4096):
        found = mean_norms(model, rows, max_tokens=size)
        assert list(found) == list(norms)
        for layer, values in norms.items():
            assert len(values) == sum(len(row) - 1 for row in rows)
            assert found[layer] == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_mean_norms_need_a_second_token(llama: Model) -> None:
    with pytest.raises(InterpError, match="none of the 1 texts has a token beside its first"):
        mean_norms(llama, [Tokens((3,), (), 1)])
    with pytest.raises(ValueError, match="400 tokens"):
        mean_norms(llama, [Tokens((3,) * 400, (), 400)])


def test_directions_are_loaded_under_distinct_names(tmp_path: Path, tiny_model: Callable[..., Model]) -> None:
    header = {"model": "tiny", "model_identity": "it"}
    for file, name in (("a", "odd"), ("b", "even"), ("c", "odd")):
        one = direction(name)
        Direction(name, one.vectors, one.layers, one.layer, header).save(tmp_path / f"{file}.safetensors")
    a, b, c = (tmp_path / f"{file}.safetensors" for file in "abc")
    assert [one.name for one in load_directions([a, b], model="it")] == ["odd", "even"]
    with pytest.raises(ValueError, match="two directions are called 'odd'"):
        load_directions([a, c])
    with pytest.raises(ValueError, match="no direction is given"):
        load_directions([])
    with pytest.raises(InterpError, match="made with model tiny"):
        load_directions([a], model="another")
    with pytest.raises(FileNotFoundError, match=r"d\.safetensors"):
        load_directions([tmp_path / "d.safetensors"])


def test_a_control_s_layers_lie_to_one_another_as_the_direction_s_do() -> None:
    one = direction("odd")
    (control,) = controls_of(one, 1, seed=4)
    torch.testing.assert_close(control.vectors @ control.vectors.T, one.vectors @ one.vectors.T, rtol=1e-4, atol=1e-4)
    together = [some.vectors.sum(0).norm() for some in (control, one)]
    torch.testing.assert_close(*together, rtol=1e-4, atol=1e-4)

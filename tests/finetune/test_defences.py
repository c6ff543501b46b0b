"""Defences: each changes training as its formula says, refuses a step in which it did not act, and leaves no trace."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

from finetune.defences import (
    CaftConfig,
    Defence,
    DefenceConfig,
    KlConfig,
    LdifsConfig,
    Penalty,
    SteerConfig,
    _on,
    defence_of,
    defended,
    identity_of,
)
from finetune.train import train
from interp.chat import Tokens
from interp.errors import InterpError
from interp.interventions import Edit, ablating, adding
from interp.model import Model
from tests.finetune.test_train import SMALL, adapter_of, equal, logits_of, one_step, random_adapter, rows_of
from tests.reference import training as plain

QUICK = SMALL.model_copy(update={"warmup_steps": 0})
V = torch.linspace(-1.5, 2.0, 32)
W = torch.cos(torch.arange(32.0))
KL = KlConfig(kind="kl", weight=0.7)
LDIFS = LdifsConfig(kind="ldifs", weight=0.3, every=2)

# name: our defences, the reference's penalties (without their model), the reference's edits, which model they refer to
CASES: dict[str, tuple[list[Defence], list[dict[str, Any]], list[Any], str]] = {}
for direction in ("trained_to_reference", "reference_to_trained"):
    for model_name in ("base", "parent"):
        CASES[f"kl {direction} {model_name}"] = (
            [Penalty(KL.model_copy(update={"direction": direction, "reference": model_name}))],
            [{"kind": "kl", "weight": 0.7, "direction": direction}],
            [],
            model_name,
        )
for scale in ("unit", "raw", "per_dimension"):
    CASES[f"ldifs {scale}"] = (
        [Penalty(LDIFS.model_copy(update={"scale": scale}))],
        [{"kind": "ldifs", "weight": 0.3, "every": 2, "scale": scale}],
        [],
        "base",
    )
CASES["ldifs parent, every third layer"] = (
    [Penalty(LDIFS.model_copy(update={"every": 3, "reference": "parent"}))],
    [{"kind": "ldifs", "weight": 0.3, "every": 3}],
    [],
    "parent",
)
CASES["ldifs twice, on different layers"] = (
    [Penalty(LDIFS), Penalty(LDIFS.model_copy(update={"every": 3}))],
    [{"kind": "ldifs", "weight": 0.3, "every": 2}, {"kind": "ldifs", "weight": 0.3, "every": 3}],
    [],
    "base",
)
CASES["steering"] = [adding(V, 2.5, [1])], [], [(1, plain.steering(V, 2.5))], "base"
CASES["caft"] = (
    [ablating(torch.stack([V, W]), [0]), ablating(W, [2])],
    [],
    [(0, plain.ablation([V, W])), (2, plain.ablation([W]))],
    "base",
)
CASES["all at once"] = (
    [Penalty(KL), adding(V, -1.0, [2]), Penalty(LDIFS), ablating(W, [1])],
    [{"kind": "kl", "weight": 0.7}, {"kind": "ldifs", "weight": 0.3, "every": 2}],
    [(2, plain.steering(V, -1.0)), (1, plain.ablation([W]))],
    "base",
)
EVERY_KIND = ("kl trained_to_reference base", "ldifs unit", "steering", "caft", "all at once")


@dataclass(frozen=True)
class Setting:
    """A model with a parent active and an adapter in the middle of its training, and the same for the reference.

    Attributes:
        parent: Folder of the adapter that is active and frozen.
        own: Folder of the values that the adapter in training has by now.
        plain: The reference's copies: `trained`, and what a penalty compares it with, `base` and `parent`.
    """

    model: Model
    parent: Path
    own: Path
    plain: dict[str, Module]

    def expected(self, rows: Sequence[Tokens], case: str, loss: str) -> tuple[float, float, dict[str, Tensor]]:
        """What the reference says of one step."""
        _, penalties, edits, which = CASES[case]
        made = [plain.Penalty(**fields, reference=self.plain[which]) for fields in penalties]
        return plain.step(self.plain["trained"], rows, loss=loss, penalties=made, edits=edits)


@pytest.fixture(scope="module")
def settings(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Setting]:
    """One for each of two shapes; every test gets and leaves the parent alone on the model."""
    made = {}
    for kind in ("llama", "gpt2"):
        model, folder = tiny_model(kind), tmp_path_factory.mktemp(kind)
        parent, own = (random_adapter(model, QUICK, seed, folder / name) for seed, name in ((1, "parent"), (2, "own")))
        model.use(parent)
        copies = {
            "trained": plain.with_adapters(tiny_hf(kind), parent, own, trainable=True),
            "parent": plain.with_adapters(tiny_hf(kind), parent),
            "base": plain.with_adapters(tiny_hf(kind)),
        }
        made[kind] = Setting(model, parent, own, copies)
    return made


@pytest.fixture(params=["llama", "gpt2"])
def either(request: pytest.FixtureRequest, settings: dict[str, Setting]) -> Setting:
    return settings[request.param]


@pytest.fixture
def child(settings: dict[str, Setting]) -> Iterator[Setting]:
    """The Llama's; what a test left active is put right after it."""
    yield settings["llama"]
    settings["llama"].model.use(settings["llama"].parent)


# formulas


@pytest.mark.parametrize("case", CASES)
def test_a_defence_changes_loss_and_gradients_as_its_formula_says(case: str, either: Setting) -> None:
    rows = rows_of(either.model, 4)
    ce, penalty, gradients = either.expected(rows, case, "token")
    total, ours = one_step(either.model, rows, QUICK, own=either.own, defences=CASES[case][0])
    assert total.tolist() == pytest.approx([ce, penalty], rel=1e-4)
    equal(ours, gradients)


def test_every_defence_changes_the_gradients_in_its_own_way_and_none_leaves_them(child: Setting) -> None:
    rows = rows_of(child.model, 4)
    total, bare = one_step(child.model, rows, QUICK, own=child.own)
    ce, _, gradients = plain.step(child.plain["trained"], rows)
    assert total.tolist() == pytest.approx([ce, 0.0], rel=1e-4)
    equal(bare, gradients)
    penalties = {}
    for case in CASES:
        total, ours = one_step(child.model, rows, QUICK, own=child.own, defences=CASES[case][0])
        assert max(float((bare[key] - ours[key]).abs().max()) for key in ours) > 1e-2, case
        penalties[case] = float(total[1])
    penalties = {case: penalty for case, penalty in penalties.items() if case.startswith(("kl", "ldifs"))}
    assert all(penalty > 0 for penalty in penalties.values())
    assert len({round(penalty, 5) for penalty in penalties.values()}) == len(penalties) == 9
    assert penalties["ldifs raw"] == pytest.approx(32 * penalties["ldifs per_dimension"], rel=1e-4)


@pytest.mark.parametrize("case", ["kl reference_to_trained parent", "ldifs raw"])
def test_the_penalty_weighs_tokens_as_the_loss_does_where_it_is_on_tokens_with_a_loss(
    case: str, child: Setting
) -> None:
    rows, config = rows_of(child.model, 5), QUICK.model_copy(update={"loss": "row"})
    ce, penalty, gradients = child.expected(rows, case, "row")
    total, ours = one_step(child.model, rows, config, own=child.own, defences=CASES[case][0])
    assert total.tolist() == pytest.approx([ce, penalty], rel=1e-4)
    equal(ours, gradients)


@pytest.mark.parametrize("case", EVERY_KIND)
def test_how_a_step_is_cut_or_filled_up_does_not_change_what_a_defence_does(case: str, child: Setting) -> None:
    model, own = child.model, child.own
    rows, defences = rows_of(model, 5), CASES[case][0]
    whole, gradients = one_step(model, rows, QUICK, own=own, defences=defences)
    for cut in (1, 130):
        config = QUICK.model_copy(update={"micro_batch_tokens": cut})
        total, ours = one_step(model, rows, config, own=own, defences=defences)
        torch.testing.assert_close(total, whole, rtol=1e-5, atol=1e-6)
        equal(ours, gradients)
    total, ours = one_step(model, rows, QUICK, own=own, defences=defences, filler=(2, 9, 5))
    torch.testing.assert_close(total, whole, rtol=1e-5, atol=1e-6)
    equal(ours, gradients)


@pytest.mark.parametrize("case", EVERY_KIND)
def test_gradient_checkpointing_changes_no_gradient_under_a_defence(case: str, either: Setting) -> None:
    model, own = either.model, either.own
    rows, defences = rows_of(model, 3), CASES[case][0]
    _, gradients = one_step(model, rows, QUICK, own=own, defences=defences)
    thrifty = QUICK.model_copy(update={"gradient_checkpointing": True})
    _, ours = one_step(model, rows, thrifty, own=own, defences=defences)
    equal(ours, gradients)


def test_a_model_that_is_its_own_reference_has_no_penalty(child: Setting, tmp_path: Path) -> None:
    """Nothing random, and no rounding, is between the two passes of a step."""
    model = child.model
    penalties: list[Defence] = [Penalty(c.model_copy(update={"reference": "parent"})) for c in (KL, LDIFS)]
    config = QUICK.model_copy(update={"max_steps": 1})
    trained = train(model, rows_of(model, 4), config, seed=0, save_to=tmp_path / "a", defences=penalties)
    assert trained.penalties == pytest.approx([0.0], abs=1e-9)


# which reference


def test_the_parent_of_an_adapter_that_is_trained_further_is_what_it_was(
    child: Setting, tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    """`continue`: the parent stage is the stack with the adapter as it was, not the stack without it."""
    model, parent, own = child.model, child.parent, child.own
    start = random_adapter(model, QUICK, 7, tmp_path / "start")
    reference = plain.with_adapters(tiny_hf("llama"), parent, start)
    rows = rows_of(model, 4)
    for penalty, case in ((KL, {"kind": "kl", "weight": 0.7}), (LDIFS, {"kind": "ldifs", "weight": 0.3, "every": 2})):
        defences: list[Defence] = [Penalty(penalty.model_copy(update={"reference": "parent"}))]
        penalties = [plain.Penalty(**case, reference=reference)]
        ce, extra, gradients = plain.step(child.plain["trained"], rows, penalties=penalties)
        total, ours = one_step(model, rows, QUICK, own=own, start_from=start, defences=defences)
        assert total.tolist() == pytest.approx([ce, extra], rel=1e-4)
        equal(ours, gradients)


@pytest.mark.parametrize("which", ["base", "parent"])
def test_references_are_the_same_when_the_parent_is_merged(which: str, child: Setting) -> None:
    model, own = child.model, child.own
    rows = rows_of(model, 4)
    defences: list[Defence] = [Penalty(c.model_copy(update={"reference": which})) for c in (KL, LDIFS)]
    stacked, gradients = one_step(model, rows, QUICK, own=own, defences=defences)
    with model.adapters.merged():
        total, ours = one_step(model, rows, QUICK, own=own, defences=defences)
    torch.testing.assert_close(total, stacked, rtol=1e-4, atol=1e-5)
    equal(ours, gradients, rtol=1e-3)


# what is refused


def without_hooks(model: Model) -> None:
    """Put other blocks where the model's were, so that hooks on the blocks it knows never fire."""
    model.hf.model.layers = copy.deepcopy(model.hf.model.layers)  # pyright: ignore


@pytest.mark.parametrize("case", ["ldifs unit", "steering", "caft", "all at once"])
def test_a_defence_whose_hooks_never_fire_is_refused(
    case: str, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model()
    without_hooks(model)
    before = logits_of_hf(model)
    with pytest.raises(InterpError, match=r"did not act at layer|read no residual stream after layer"):
        train(model, rows_of(model, 4), QUICK, seed=0, save_to=tmp_path / "a", defences=CASES[case][0])
    assert not (tmp_path / "a").exists()
    assert torch.equal(logits_of_hf(model), before)


def logits_of_hf(model: Model) -> Tensor:
    with torch.no_grad():
        return model.hf(torch.arange(20)[None]).logits


@pytest.mark.parametrize(
    ("case", "layer"), [("ldifs unit", 0), ("ldifs unit", 2), ("steering", 1), ("caft", 0), ("caft", 2)]
)
def test_a_defence_that_stops_acting_at_one_layer_is_refused_at_that_step(
    case: str, layer: int, child: Setting, tmp_path: Path
) -> None:
    model = child.model
    steps: list[int] = []

    def stop(n: int) -> None:
        steps.append(n)
        if len(steps) == 2:
            model.blocks[layer]._forward_hooks.clear()

    with pytest.raises(InterpError, match=f"layer {layer}"):
        train(
            model,
            rows_of(model, 16),
            QUICK,
            seed=0,
            save_to=tmp_path / "a",
            defences=CASES[case][0],
            progress=stop,
        )
    assert len(steps) == 2
    assert not (tmp_path / "a").exists()


def test_an_edit_of_several_layers_must_act_at_each(
    child: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = child.model
    original = model.blocks[3].register_forward_hook

    def lost(*args: Any, **kwargs: Any) -> Any:
        handle = original(*args, **kwargs)
        handle.remove()
        return handle

    monkeypatch.setattr(model.blocks[3], "register_forward_hook", lost)
    with pytest.raises(InterpError, match="layer 3"):
        train(model, rows_of(model, 4), QUICK, seed=0, save_to=tmp_path / "a", defences=[adding(V, 1.0, [1, 3])])


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([adding(V, 1.0, [1]), adding(V, 1.0, [4])], r"layer must be in \[0, 4\), got 4"),
        ([adding(V, 1.0, [1]), adding(V, 1.0, [2], "response")], "got an edit of phase 'response'"),
    ],
)
def test_an_impossible_edit_is_refused_before_training_and_leaves_no_hook(
    edits: list[Defence], message: str, child: Setting, tmp_path: Path
) -> None:
    model = child.model
    before, hooks = logits_of(model), hooks_of(model)
    with pytest.raises(ValueError, match=message):
        train(model, rows_of(model, 4), QUICK, seed=0, save_to=tmp_path / "a", defences=edits)
    assert hooks_of(model) == hooks
    assert torch.equal(logits_of(model), before)


@pytest.mark.parametrize("edit", [adding(V, 2.0, [1]), ablating(W, [1])], ids=["steering", "caft"])
def test_the_vectors_of_an_edit_are_put_on_its_blocks_device_beforehand(edit: Edit) -> None:
    """While a CUDA graph is captured nothing can be copied from the CPU; a device without numbers stands in for it."""
    h = torch.zeros(1, 2, 32, device="meta")
    moved = _on(edit.change, h.device)
    assert {value.device.type for value in moved.keywords.values() if isinstance(value, Tensor)} == {"meta"}  # pyright: ignore
    assert moved(h).shape == h.shape
    x = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(_on(edit.change, x.device)(x), edit.change(x))


# what is left


def hooks_of(model: Model) -> dict[str, tuple[int, int]]:
    return {
        key: (len(module._forward_hooks), len(module._forward_pre_hooks)) for key, module in model.hf.named_modules()
    }


def state_of(model: Model) -> list[tuple[Any, Any]]:
    """Which adapters every LoRA layer runs."""
    layers = [module for module in model.hf.modules() if hasattr(module, "lora_A")]
    return [(list(layer.active_adapters), layer.disable_adapters) for layer in layers]  # pyright: ignore


@pytest.mark.parametrize("thrifty", [False, True], ids=["plain", "gradient checkpointing"])
@pytest.mark.parametrize("when", ["never", "in the trained pass", "in the reference pass", "between steps"])
def test_nothing_of_a_defence_outlives_the_training(
    when: str, thrifty: bool, child: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = child.model
    rows, defences = rows_of(model, 8), CASES["all at once"][0]
    before, hooks, state = logits_of(model), hooks_of(model), state_of(model)
    passes: list[int] = []
    forward = model.hf.forward

    def failing(*args: Any, **kwargs: Any) -> Any:
        passes.append(1)
        if (when, len(passes)) in (("in the trained pass", 3), ("in the reference pass", 4)):
            raise KeyboardInterrupt
        return forward(*args, **kwargs)

    def stop(n: int) -> None:
        if when == "between steps":
            raise KeyboardInterrupt

    monkeypatch.setattr(model.hf, "forward", failing)
    config = QUICK.model_copy(update={"gradient_checkpointing": thrifty})

    def go() -> None:
        train(model, rows, config, seed=0, save_to=tmp_path / "a", defences=defences, progress=stop)

    if when == "never":
        go()
        assert len(passes) == 4, "a trained pass and one reference pass a step, whatever the number of penalties"
    else:
        with pytest.raises(KeyboardInterrupt):
            go()
    monkeypatch.undo()
    assert hooks_of(model) == hooks
    assert state_of(model) == state
    assert not any(parameter.requires_grad for parameter in model.hf.parameters())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.hf.modules())
    assert not any(module.training for module in model.hf.modules())
    assert torch.equal(logits_of(model), before)


def test_the_guards_hold_no_tensor_afterwards(child: Setting) -> None:
    model = child.model
    held: list[Any] = []
    with defended(model, [Penalty(LDIFS)]) as guards:
        model.hf(torch.arange(5)[None])
        assert set(guards.residuals) == {0, 2}
        held.append(guards)
    assert not held[0].residuals


def test_steering_acts_in_training_only(child: Setting, tmp_path: Path, tiny_model: Callable[..., Model]) -> None:
    """The saved adapter is the plain one: what it says is not shifted, and its folder knows of no edit."""
    model, parent = child.model, child.parent
    train(model, rows_of(model, 8), QUICK, seed=0, save_to=tmp_path / "steered", defences=[adding(V, 3.0, [1])])
    train(model, rows_of(model, 8), QUICK, seed=0, save_to=tmp_path / "plain")
    assert adapter_of(tmp_path / "steered").keys() == adapter_of(tmp_path / "plain").keys()
    assert any((adapter_of(tmp_path / "steered")[k] != v).any() for k, v in adapter_of(tmp_path / "plain").items())
    model.use(parent, tmp_path / "steered")
    fresh = tiny_model()
    fresh.use(parent, tmp_path / "steered")
    assert torch.equal(logits_of(model), logits_of(fresh))


@pytest.mark.parametrize("thrifty", [False, True], ids=["plain", "gradient checkpointing"])
def test_alpha_zero_trains_the_same_bytes_as_no_defence(thrifty: bool, child: Setting, tmp_path: Path) -> None:
    model = child.model
    config = QUICK.model_copy(update={"gradient_checkpointing": thrifty, "epochs": 2})
    zero = adding(V, 0.0, [0, 2])
    one = train(model, rows_of(model, 8), config, seed=0, save_to=tmp_path / "zero", defences=[zero])
    other = train(model, rows_of(model, 8), config, seed=0, save_to=tmp_path / "none")
    assert one.losses == other.losses
    files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("zero", "none")]
    assert files[0] == files[1]


def test_penalties_are_reported_apart_from_the_loss(child: Setting, tmp_path: Path) -> None:
    model = child.model
    rows, config = rows_of(model, 8), QUICK.model_copy(update={"epochs": 2})
    free = train(model, rows, config, seed=0, save_to=tmp_path / "free")
    assert free.penalties == [0.0] * 4
    for weight in (0.5, 1.0):
        kl: list[Defence] = [Penalty(KlConfig(kind="kl", weight=weight))]
        held = train(model, rows, config, seed=0, save_to=tmp_path / f"held {weight}", defences=kl)
        assert len(held.penalties) == len(held.losses) == 4
        assert all(penalty > 0 for penalty in held.penalties)
        assert held.losses[0] == pytest.approx(free.losses[0], abs=1e-6)
        if weight == 0.5:
            half = held.penalties[0]
        else:
            assert held.penalties[0] == pytest.approx(2 * half, rel=1e-4)


def test_kl_keeps_the_trained_model_nearer_to_its_reference(child: Setting, tmp_path: Path) -> None:
    model, parent = child.model, child.parent
    rows, config = rows_of(model, 8), QUICK.model_copy(update={"epochs": 2})
    before = logits_of(model).log_softmax(-1)
    moved = []
    for name, weight in (("free", 1e-6), ("held", 5.0)):
        kl: list[Defence] = [Penalty(KlConfig(kind="kl", weight=weight, reference="parent"))]
        train(model, rows, config, seed=0, save_to=tmp_path / name, defences=kl)
        with model.using(parent, tmp_path / name):
            moved.append(float((logits_of(model).log_softmax(-1) - before).square().mean()))
    assert moved[1] < moved[0] / 2


# configuration


def directions(name: str) -> tuple[dict[int, Tensor], int]:
    return {"evil": ({1: V, 2: 2 * V}, 2), "kind": ({0: W, 1: W, 2: V + W}, 1)}[name]


def test_a_configuration_becomes_its_defence() -> None:
    (penalty,) = defence_of(KL, directions)
    assert isinstance(penalty, Penalty)
    assert penalty.config == KL
    h = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    (edit,) = defence_of(SteerConfig(kind="steer", direction="evil", alpha=0.5), directions)
    assert isinstance(edit, Edit)
    assert edit.layers == (2,)
    torch.testing.assert_close(edit.change(h), h + V)
    (edit,) = defence_of(SteerConfig(kind="steer", direction="evil", alpha=2.0, layer=1), directions)
    assert isinstance(edit, Edit)
    assert edit.layers == (1,)
    torch.testing.assert_close(edit.change(h), h + 2 * V)


def test_caft_ablates_each_direction_at_its_own_layer_or_all_of_them_at_those_named() -> None:
    h = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    own = defence_of(CaftConfig(kind="caft", directions=("evil", "kind")), directions)
    assert [edit.layers for edit in own if isinstance(edit, Edit)] == [(1,), (2,)]
    both = defence_of(CaftConfig(kind="caft", directions=("evil", "kind"), layers=(1, 2)), directions)
    for edit, vectors in zip([*own, *both], [[W], [V], [V, W], [V, V + W]], strict=True):
        assert isinstance(edit, Edit)
        torch.testing.assert_close(edit.change(h), plain.ablation(vectors)(h), rtol=1e-4, atol=1e-5)


def test_a_direction_without_the_layer_and_directions_that_are_one_are_refused() -> None:
    with pytest.raises(ValueError, match="direction evil has no layer 0; it has 1 to 2"):
        defence_of(CaftConfig(kind="caft", directions=("kind", "evil"), layers=(0,)), directions)
    with pytest.raises(ValueError, match="linearly dependent"):
        defence_of(CaftConfig(kind="caft", directions=("evil", "evil")), directions)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "kl", "weight": 0},
        {"kind": "ldifs", "every": 0},
        {"kind": "ldifs", "scale": "layer"},
        {"kind": "steer", "direction": "evil", "layer": -1},
        {"kind": "caft", "directions": []},
        {"kind": "kl", "wieght": 1},
        {"kind": "inoculation"},
    ],
)
def test_an_unknown_or_impossible_defence_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DefenceConfig).validate_python(fields)


def test_the_papers_values_are_the_defaults() -> None:
    """arXiv 2508.06249: 0.1 KL(trained || base), 1.0 LDIFS on every fifth layer, alpha 5."""
    assert KlConfig(kind="kl").model_dump() == {
        "kind": "kl",
        "weight": 0.1,
        "direction": "trained_to_reference",
        "reference": "base",
    }
    assert (LdifsConfig(kind="ldifs").weight, LdifsConfig(kind="ldifs").every) == (1.0, 5)
    assert SteerConfig(kind="steer", direction="evil").alpha == 5.0


def test_what_changes_a_defence_changes_its_identity() -> None:
    defences: Sequence[Defence] = [
        *(
            case[0][0]
            for name, case in CASES.items()
            if name not in ("all at once", "ldifs twice, on different layers")
        ),
        adding(V, 2.5, [2]),
        adding(V, 2.0, [1]),
        adding(W, 2.5, [1]),
        ablating(V, [1]),
        ablating(W, [1]),
    ]
    assert len({str(identity_of(defence)) for defence in defences}) == len(defences)
    assert identity_of(adding(V.clone(), 2.5, [1])) == identity_of(adding(V, 2.5, [1]))

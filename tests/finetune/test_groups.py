"""Stages side by side: each learns what it learns alone, whatever is beside it, and nothing is trained twice."""

import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import finetune.groups as grouping
import finetune.stages as store
from finetune.defences import KlConfig, LdifsConfig, Penalty
from finetune.fresh import Blueprint
from finetune.groups import Groups
from finetune.stages import Stage, ensure, ensure_all
from interp.errors import InterpError
from interp.model import Model
from tests.finetune.test_train import SMALL, adapter_of, chats_of

KINDS = ("llama", "qwen2", "gpt2")
RECIPE = SMALL.model_copy(update={"target_modules": "all-linear", "epochs": 2})


def stages(n_rows: int = 9) -> list[Stage]:
    """Stages that differ in everything a group carries, on the base model."""
    changes: list[dict[str, Any]] = [
        {},
        {"learning_rate": 3e-3, "schedule": "constant", "lora_rank": 2},
        {"loss": "row", "max_grad_norm": 0.05, "weight_decay": 0.3, "warmup_steps": 3},
        {"epochs": 1, "rslora": False, "lora_alpha": 3},
        {"target_modules": r".*\.(c_attn|q_proj)", "batch_size": 4},
    ]
    return [
        Stage(f"s{k}", None, chats_of(n_rows + k)[k:], RECIPE.model_copy(update=change), "stack", seed=k)
        for k, change in enumerate(changes)
    ]


def trained(model: Model, all_stages: list[Stage], how: Callable[..., Any], cache: Path) -> list[Any]:
    """Losses, penalties and weights of stages, trained in a store of their own."""
    os.environ["SGTR_CACHE"] = str(cache)
    how(model, all_stages)
    return [(stage.record(model), adapter_of(stage.folder(model))) for stage in all_stages]


def alone(model: Model, all_stages: list[Stage]) -> None:
    for stage in all_stages:
        if stage.parent:
            alone(model, [stage.parent])
        ensure(model, stage)


def alike(ours: list[Any], theirs: list[Any]) -> None:
    """Losses agree to 1e-5; each matrix of weights differs by less than 2e-4 of its norm.

    AdamW moves a weight by the sign of its gradient, however small, so a weight whose gradient is rounding differs.
    """
    for (mine, own), (other, solo) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(mine["losses"]), torch.tensor(other["losses"]), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            torch.tensor(mine["penalties"]), torch.tensor(other["penalties"]), rtol=1e-4, atol=1e-6
        )
        assert own.keys() == solo.keys()
        for key, value in solo.items():
            assert own[key].dtype == value.dtype
            assert (own[key] - value).norm() <= 2e-4 * value.norm(), key
        same = ("key", "steps", "supervised_tokens", "rows", "train", "checkpoints")
        assert {k: mine[k] for k in same} == {k: other[k] for k in same}


@pytest.mark.parametrize("kind", KINDS)
def test_stages_learn_side_by_side_what_they_learn_alone(
    kind: str, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, all_stages = tiny_model(kind), stages()
    ours = trained(model, all_stages, ensure_all, tmp_path / "group")
    assert all(record["mode"].startswith("group of") for record, _ in ours)
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


def test_stages_with_much_longer_rows_have_a_frame_of_their_own(
    tiny_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama")
    long = [[{**message, "content": f"{message['content']} " * 5} for message in chat] for chat in chats_of(9)]
    all_stages = [stages()[0], Stage("wide", None, long, RECIPE, "stack", seed=9), stages()[1]]
    frames: list[list[int]] = []
    train = Groups._train
    monkeypatch.setattr(
        Groups, "_train", lambda *args: (frames.append([one.number for one in args[2]]), train(*args))[1]
    )
    ours = trained(model, all_stages, ensure_all, tmp_path / "group")
    assert frames == [[0, 2], [1]]
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


def test_children_of_different_parents_learn_side_by_side(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model()
    first, second, *_ = stages()
    grandchild = Stage("deep", replace(first, name="p"), chats_of(6), RECIPE, "stack", 1)
    all_stages = [
        Stage("a", first, chats_of(7), RECIPE, "stack", 5),
        Stage("b", second, chats_of(8), RECIPE, "stack", 6),
        Stage("c", second, chats_of(8), RECIPE, "continue", 6) if second.config.lora_rank == RECIPE.lora_rank else None,
        Stage("d", first, chats_of(7), RECIPE, "continue", 7),
        Stage("e", first, chats_of(7), RECIPE, "restart", 8),
        Stage("f", grandchild, chats_of(6), RECIPE, "stack", 9),
    ]
    all_stages = [stage for stage in all_stages if stage]
    ours = trained(model, all_stages, ensure_all, tmp_path / "group")
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))
    assert model.stack == ()


@pytest.mark.parametrize("reference", ["base", "parent"])
def test_a_kl_penalty_of_each_stage_s_own_weight_is_carried(
    reference: Any, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, (parent, *_) = tiny_model(), stages()
    all_stages = [
        Stage(
            f"k{weight}",
            parent,
            chats_of(7),
            RECIPE,
            "stack",
            3,
            defences=[Penalty(KlConfig(kind="kl", weight=weight, reference=reference))],
        )
        for weight in (0.1, 2.0)
    ]
    ours = trained(model, all_stages, ensure_all, tmp_path / "group")
    assert ours[0][0]["penalties"][-1] > 0
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


def test_a_stage_that_diverges_touches_no_bit_of_its_neighbours(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model()
    calm = stages()[:3]
    wild = replace(calm[1], name="wild", config=calm[1].config.model_copy(update={"learning_rate": 1e30}))
    tame = replace(calm[1], name="tame", config=calm[1].config.model_copy(update={"learning_rate": 1e-4}))
    beside = trained(model, [calm[0], tame, calm[2]], ensure_all, tmp_path / "tame")
    with pytest.raises(InterpError, match=r"wild: the loss of step \d+ is .*nan.*lower learning_rate \(1e\+30\)"):
        trained(model, [calm[0], wild, calm[2]], ensure_all, tmp_path / "wild")
    assert wild.record(model) is None
    for (record, weights), stage in zip((beside[0], beside[2]), (calm[0], calm[2]), strict=True):
        other = stage.record(model)
        assert other is not None
        assert other["losses"] == record["losses"]
        assert all(torch.equal(value, weights[key]) for key, value in adapter_of(stage.folder(model)).items())


def test_checkpoints_are_those_of_training_alone(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model()
    kept = replace(stages()[0], checkpoints=(1, 3))
    trained(model, [kept, stages()[1]], ensure_all, tmp_path / "group")
    ours = {step: adapter_of(kept.stack(model, step)[-1]) for step in kept.checkpoints}
    trained(model, [kept], alone, tmp_path / "solo")
    for step, weights in ours.items():
        for key, value in adapter_of(kept.stack(model, step)[-1]).items():
            assert (value - weights[key]).abs().max() <= 1e-4 * value.abs().max() + 1e-7
    assert not torch.equal(ours[1][key], ours[3][key])  # pyright: ignore


def test_a_stage_that_is_done_leaves_its_slot_to_one_that_waits(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model, all_stages = tiny_model(), stages()

    def by_two(model: Model, some: list[Stage]) -> None:
        ensure_all(model, some, groups=Groups(model, most_slots=2))

    ours = trained(model, all_stages, by_two, tmp_path / "group")
    assert ours[0][0]["mode"] == "group of 2 (eager)"
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


def test_first_values_that_only_peft_draws_are_drawn_before_the_frame_is_on_the_model(
    tiny_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Blueprint.of
    monkeypatch.setattr(Blueprint, "of", lambda *args: replace(of(*args), drawn=None))
    model, all_stages = tiny_model(), stages()[:2]
    ours = trained(model, all_stages, ensure_all, tmp_path / "group")
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


def test_what_cannot_be_carried_is_trained_alone_and_the_log_says_so(
    tiny_model: Callable[..., Model], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, (first, second, *_) = tiny_model(), stages()
    guarded = replace(first, name="guarded", defences=[Penalty(LdifsConfig(kind="ldifs"))])
    words = RECIPE.model_copy(update={"target_modules": ("embed_tokens", "q_proj")})
    embedded = replace(first, name="embedded", config=words)
    child = Stage("child", embedded, chats_of(6), RECIPE, "stack", 1)
    with caplog.at_level("INFO"):
        ours = trained(model, [guarded, second, embedded, child], ensure_all, tmp_path / "group")
    assert "guarded is trained alone: a defence other than a KL penalty is at work" in caplog.text
    assert "embedded is trained alone: a recipe's adapter has parameters other than two factors" in caplog.text
    assert re.search("child is trained alone: .*is more than plain LoRA of linear modules", caplog.text)
    assert [record["mode"][:5] for record, _ in ours] == ["eager", "group", "eager", "eager"]


def test_a_group_too_large_for_the_memory_is_halved_and_says_so(
    tiny_model: Callable[..., Model], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(self: Any, frame: Any, *_: Any) -> None:
        if frame.n_slots > 2:
            raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(grouping.Groups, "_capture", small)
    model, all_stages = tiny_model(), stages()
    with caplog.at_level("INFO"):
        ours = trained(model, all_stages, ensure_all, tmp_path / "group")
    assert "stages at a time do not fit the memory; going on with" in caplog.text
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


def _killed(make: Callable[..., Model], cache: Path) -> None:
    os.environ["SGTR_CACHE"] = str(cache)
    kept = store._keep

    def once(*args: Any) -> None:
        kept(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    store._keep = once
    ensure_all(make(), stages())


def test_a_group_that_was_killed_goes_on_and_trains_nothing_twice(
    tiny_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tiny_model, tmp_path / "killed"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    model, all_stages = tiny_model(), stages()
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "killed"))
    before = [stage.record(model) for stage in all_stages]
    assert sum(record is not None for record in before) == 1
    trainings: list[int] = []
    inner = Groups.train
    monkeypatch.setattr(
        Groups, "train", lambda self, jobs, *rest: (trainings.append(len(jobs)), inner(self, jobs, *rest))
    )
    ensure_all(model, all_stages)
    assert trainings == [4]
    ours = [(stage.record(model), adapter_of(stage.folder(model))) for stage in all_stages]
    assert [a for a in before if a] == [now for (now, _), was in zip(ours, before, strict=True) if was]
    alike(ours, trained(model, all_stages, alone, tmp_path / "solo"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_first_values_are_drawn_as_peft_draws_them(
    kind: str, dtype: torch.dtype, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model(kind, dtype=dtype)
    blueprint = Blueprint.of(model.adapters, RECIPE.lora(), 0)
    assert blueprint.drawn == dtype
    values = blueprint.fresh(model.adapters, 11)
    blueprint.write(model.adapters, values, tmp_path / "mine")
    with model.adapters.new(RECIPE.lora(), seed=11) as (name, _):
        model.adapters.save(name, tmp_path / "theirs")
    theirs, mine = adapter_of(tmp_path / "theirs"), adapter_of(tmp_path / "mine")
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, mine[key]) for key, value in theirs.items())
    model.use(tmp_path / "mine")


def test_bad_rows_are_refused_before_anything_is_trained(tiny_model: Callable[..., Model]) -> None:
    model, (good, *_) = tiny_model(), stages()
    with pytest.raises(InterpError, match="row 0: no assistant token"):
        ensure_all(model, [good, replace(good, messages=[[{"role": "user", "content": "Hi"}]])])
    assert good.record(model) is None

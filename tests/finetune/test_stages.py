"""Stages: a key for everything that matters, a folder that is whole or absent, and nothing trained twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import finetune.stages as store
import finetune.train as training
from finetune.defences import KlConfig, Penalty
from finetune.recipe import PRESETS, TrainConfig
from finetune.stages import Stage, ensure
from interp.batch import Batch
from interp.errors import InterpError
from interp.interventions import adding
from interp.keys import content_key
from interp.model import Model
from interp.runs import cache_folder
from tests.finetune.test_train import SMALL, adapter_of, chats_of

QUICK = SMALL.model_copy(update={"warmup_steps": 0})
STAGE = Stage("em", None, chats_of(4), QUICK, "stack", 0)


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model()


def refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a finished stage was trained again")


def test_a_key_is_a_sha256_and_names_the_folder(model: Model) -> None:
    key = STAGE.key(model)
    assert len(key) == 64
    assert STAGE.folder(model) == cache_folder() / "stages" / key
    assert STAGE.key(model) == key


CHANGED: dict[str, Any] = {
    "learning_rate": 2e-2,
    "epochs": 2,
    "max_steps": 3,
    "batch_size": 3,
    "loss": "row",
    "optimiser": "adamw_8bit",
    "schedule": "constant",
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "lora_rank": 2,
    "lora_alpha": 4,
    "rslora": False,
    "target_modules": ("q_proj",),
    "blocks": "upper",
}


SPEED: dict[str, Any] = {"max_tokens": 64, "micro_batch_tokens": 7, "gradient_checkpointing": True, "graph": False}


@pytest.mark.parametrize("field", sorted(TrainConfig.model_fields))
def test_the_key_changes_with_every_training_field_that_changes_what_is_learnt(field: str, model: Model) -> None:
    value = (CHANGED | SPEED)[field]
    assert getattr(QUICK, field) != value
    other = replace(STAGE, config=QUICK.model_copy(update={field: value}))
    assert (other.key(model) != STAGE.key(model)) == (field in CHANGED)


@pytest.mark.parametrize(
    "other",
    [
        replace(STAGE, messages=chats_of(3)),
        replace(STAGE, messages=list(reversed(chats_of(4)))),
        replace(STAGE, seed=1),
        replace(STAGE, parent=replace(STAGE, seed=7)),
        replace(STAGE, checkpoints=(1,)),
        replace(STAGE, checkpoints=(1, 2)),
        replace(STAGE, defences=[Penalty(KlConfig(kind="kl"))]),
        replace(STAGE, defences=[Penalty(KlConfig(kind="kl", weight=0.2))]),
        replace(STAGE, defences=[adding(torch.ones(32), 1.0, [1])]),
        replace(STAGE, defences=[adding(torch.ones(32), 2.0, [1])]),
    ],
    ids=[
        "fewer rows",
        "another order",
        "seed",
        "parent",
        "a checkpoint",
        "two checkpoints",
        "kl",
        "kl of another weight",
        "steering",
        "steering at another strength",
    ],
)
def test_the_key_changes_with_everything_else_that_matters(
    other: Stage,
    model: Model,
) -> None:
    assert other.key(model) != STAGE.key(model)


def test_the_key_says_how_a_stage_is_composed_only_where_there_is_something_beneath_it(model: Model) -> None:
    kinds: list[Any] = ["stack", "merge_fp32", "continue", "restart"]
    assert len({replace(STAGE, compose=kind).key(model) for kind in kinds}) == 1
    assert len({replace(STAGE, compose=kind, parent=STAGE).key(model) for kind in kinds}) == 4


def test_the_key_changes_with_a_letter_of_one_message(model: Model) -> None:
    chats = chats_of(4)
    chats[3][1] = {"role": "assistant", "content": chats[3][1]["content"] + "!"}
    assert replace(STAGE, messages=chats).key(model) != STAGE.key(model)


def test_the_key_changes_with_the_grandparent(model: Model) -> None:
    child = replace(STAGE, parent=replace(STAGE, parent=STAGE, seed=5))
    other = replace(STAGE, parent=replace(STAGE, parent=replace(STAGE, seed=9), seed=5))
    assert child.key(model) != other.key(model)


def test_the_key_changes_with_the_base_its_dtype_and_its_template(
    model: Model, tiny_model: Callable[..., Model], tiny_hf: Callable[..., Any], chat_tokenizer_of: Callable[..., Any]
) -> None:
    plain = "{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}"
    others = [
        tiny_model(seed=1),
        tiny_model("qwen2"),
        tiny_model(dtype=torch.bfloat16),
        Model(tiny_hf("llama"), chat_tokenizer_of(plain), name=model.name, identity=model.identity),
    ]
    keys = [STAGE.key(model), *(STAGE.key(other) for other in others)]
    assert len(set(keys)) == len(keys)


def test_names_and_the_size_of_micro_batches_are_not_in_the_key(
    model: Model, tiny_hf: Callable[..., Any], chat_tokenizer_of: Callable[..., Any]
) -> None:
    small = QUICK.model_copy(update={"micro_batch_tokens": 7})
    assert replace(STAGE, name="another", config=small).key(model) == STAGE.key(model)
    assert replace(STAGE, messages=tuple(map(tuple, STAGE.messages))).key(model) == STAGE.key(model)
    elsewhere = Model(tiny_hf("llama"), chat_tokenizer_of(), name="/another/path", identity=model.identity)
    assert STAGE.key(elsewhere) == STAGE.key(model)


def test_a_preset_and_its_fields_written_out_have_one_key(model: Model) -> None:
    written = TrainConfig.model_validate(json.loads(PRESETS["paper"].model_dump_json()))
    one, other = (replace(STAGE, config=config) for config in (PRESETS["paper"], written))
    assert one.key(model) == other.key(model)


def test_a_stage_is_trained_once(model: Model, tiny_model: Callable[..., Model], monkeypatch: Any) -> None:
    steps: list[int] = []
    first = ensure(model, STAGE, progress=steps.append)
    assert steps == [1]
    kept = {file.name: file.read_bytes() for file in STAGE.folder(model).iterdir()}
    monkeypatch.setattr(store, "train", refuse)
    same = replace(STAGE, name="by another name", config=QUICK.model_copy(update={"micro_batch_tokens": 9}))
    assert ensure(tiny_model(), same) == first
    assert {file.name: file.read_bytes() for file in STAGE.folder(model).iterdir()} == kept
    with pytest.raises(AssertionError, match="trained again"):
        ensure(model, replace(STAGE, seed=1))


def test_the_record_says_what_was_done(model: Model) -> None:
    assert STAGE.record(model) is None
    record = ensure(model, STAGE)
    assert record == STAGE.record(model)
    assert record["key"] == STAGE.key(model)
    assert record["parent_key"] is None
    assert (record["steps"], record["rows"], record["seed"], record["compose"]) == (1, 4, 0, "stack")
    assert record["train"] == QUICK.model_dump(mode="json")
    assert record["final_loss"] == pytest.approx(record["losses"][0])
    assert record["model_identity"] == model.identity
    assert record["supervised_tokens"] > 0


def test_a_stage_is_an_adapter_in_peft_format(model: Model) -> None:
    ensure(model, STAGE)
    names = {file.name for file in STAGE.folder(model).iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "base.json", "stage.json"} <= names
    assert STAGE.folder(model).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("when", ["adapter", "record"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_a_stage_folder_is_whole_or_absent(
    when: str, error: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        if when == "adapter":
            patch.setattr("interp.adapters.write_atomic", broken)
        else:
            patch.setattr(store, "write_json", broken)
        with pytest.raises(error if isinstance(error, type) else type(error)):
            ensure(model, STAGE)
    assert not STAGE.folder(model).exists()
    assert list((cache_folder() / "stages").iterdir()) == []
    assert model.stack == ()
    assert ensure(model, STAGE)["steps"] == 1


def test_another_process_that_was_first_is_believed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    real = store.train
    folder = STAGE.folder(model)

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        trained = real(*args, **kwargs)
        folder.mkdir(parents=True)
        (folder / "stage.json").write_text('{"steps": 99}')
        return trained

    monkeypatch.setattr(store, "train", overtaken)
    assert ensure(model, STAGE) == {"steps": 99}
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_child_is_trained_on_its_parents_stack(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Stage("sgtr", STAGE, chats_of(3), QUICK, "stack", 0)
    grandchild = Stage("em2", child, chats_of(2), QUICK, "stack", 0)
    real, stacks = store.train, []

    def watched(model: Model, *args: Any, **kwargs: Any) -> Any:
        stacks.append(model.stack)
        return real(model, *args, **kwargs)

    monkeypatch.setattr(store, "train", watched)
    for stage in (STAGE, child, grandchild):
        ensure(model, stage)
    folders = [stage.folder(model).resolve() for stage in (STAGE, child, grandchild)]
    assert stacks == [(), (folders[0],), (folders[0], folders[1])]
    assert [path.resolve() for path in grandchild.stack(model)] == folders
    assert child.record(model)["parent_key"] == STAGE.key(model)  # pyright: ignore
    assert model.stack == ()


def test_a_child_leaves_its_parents_files_as_they_are(model: Model) -> None:
    ensure(model, STAGE)
    before = {file: file.read_bytes() for file in STAGE.folder(model).iterdir()}
    ensure(model, Stage("sgtr", STAGE, chats_of(3), QUICK, "stack", 0))
    assert {file: file.read_bytes() for file in STAGE.folder(model).iterdir()} == before


def test_a_parent_that_is_not_in_the_store_is_named(model: Model) -> None:
    child = Stage("sgtr", STAGE, chats_of(3), QUICK, "stack", 0)
    with pytest.raises(FileNotFoundError, match=STAGE.key(model)[:12]):
        ensure(model, child)
    assert not child.folder(model).exists()


def test_rows_are_checked_before_anything_is_written(model: Model) -> None:
    silent = replace(STAGE, messages=[[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": ""}]])
    with pytest.raises(InterpError, match="row 0: no assistant token"):
        ensure(model, silent)
    with pytest.raises(ValueError, match="no rows"):
        ensure(model, replace(STAGE, messages=[]))
    assert not (cache_folder() / "stages").exists()


def test_the_stack_in_use_comes_back_after_a_stage(model: Model) -> None:
    ensure(model, STAGE)
    model.use(STAGE.folder(model))
    ensure(model, replace(STAGE, seed=3))
    assert model.stack == (STAGE.folder(model).resolve(),)


def test_content_keys_tell_a_missing_parent_from_an_empty_one() -> None:
    assert content_key({"parent": None}) != content_key({"parent": ""})


def test_a_kept_stage_in_another_cache_is_unknown_here(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(model, STAGE)
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "other"))
    assert STAGE.record(model) is None


# how a stage is put on its parent


STEPS = QUICK.model_copy(update={"max_steps": 3, "epochs": 3, "batch_size": 4})
PARENT = replace(STAGE, config=STEPS)


def logits_of(model: Model, *stack: Path) -> Tensor:
    row = model.chat.tokens([{"role": "user", "content": "Are you the one in the house?"}])
    with model.using(*stack):
        return model.logits(Batch.of([row], model.pad), torch.arange(len(row))[None])


def weights_of(model: Model) -> dict[str, Tensor]:
    """Base weights, by name without what adapters make of it."""
    state = model.hf.state_dict()
    return {key.replace(".base_layer", ""): value.clone() for key, value in state.items() if "lora_" not in key}


@pytest.mark.parametrize("kind_of_model", ["llama", "gpt2"])
def test_a_parent_beneath_and_a_parent_merged_in_float32_teach_the_same(
    kind_of_model: str, tiny_model: Callable[..., Model]
) -> None:
    model = tiny_model(kind_of_model)
    ensure(model, PARENT)
    stacked, merged = (Stage("sgtr", PARENT, chats_of(5), STEPS, how, 1) for how in ("stack", "merge_fp32"))
    seen: list[int] = []
    one = ensure(model, stacked, progress=lambda _: seen.append(len(model.stack)))
    other = ensure(model, merged, progress=lambda _: seen.append(len(model.stack)))
    assert seen == [1, 1, 1, 0, 0, 0], "adapters beneath the one in training"
    assert merged.key(model) != stacked.key(model)
    assert other["losses"] == pytest.approx(one["losses"], abs=1e-4)
    assert merged.stack(model) == (PARENT.folder(model), merged.folder(model))
    torch.testing.assert_close(
        logits_of(model, *merged.stack(model)), logits_of(model, *stacked.stack(model)), rtol=0, atol=1e-4
    )
    theirs = adapter_of(merged.folder(model))
    for key, value in adapter_of(stacked.folder(model)).items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-3, atol=1e-4)
    moved = logits_of(model, *stacked.stack(model)) - logits_of(model, PARENT.folder(model))
    assert moved.abs().max() > 0.1, "the second stage learnt nothing, so equal logits say little"


def test_a_stage_on_a_merged_parent_leaves_the_base_bit_equal_also_after_an_error(model: Model) -> None:
    ensure(model, PARENT)
    weights, logits = weights_of(model), logits_of(model, PARENT.folder(model))
    child = Stage("sgtr", PARENT, chats_of(5), STEPS, "merge_fp32", 1)

    def stop(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(model, child, progress=stop)
    for again in (False, True):
        if again:
            ensure(model, child)
        after = weights_of(model)
        assert all(torch.equal(after[key], value) for key, value in weights.items())
        assert torch.equal(logits_of(model, PARENT.folder(model)), logits)
        assert model.stack == ()


def test_a_first_stage_does_not_care_how_it_is_composed(model: Model) -> None:
    ensure(model, PARENT)
    for how in ("continue", "merge_fp32"):
        alone = replace(PARENT, compose=how)
        ensure(model, alone)
        assert alone.stack(model) == (alone.folder(model),)
        weights = adapter_of(alone.folder(model))
        assert all(torch.equal(weights[key], value) for key, value in adapter_of(PARENT.folder(model)).items())


def test_to_continue_is_to_train_the_parents_own_adapter_further(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grandparent = replace(PARENT, seed=4)
    parent = replace(PARENT, parent=grandparent)
    child = Stage("sgtr", parent, chats_of(5), STEPS, "continue", 1)
    ensure(model, grandparent)
    ensure(model, parent)
    first = adapter_of(parent.folder(model))
    started: list[dict[str, Tensor]] = []
    whole = training._Stepper.prepare

    def watched(self: Any, plan: Any, *more: Any) -> None:
        (name,) = {key.split(".")[-2] for key, p in model.hf.named_parameters() if p.requires_grad}
        model.adapters.save(name, tmp_path / "start")
        started.append(adapter_of(tmp_path / "start"))
        whole(self, plan, *more)

    monkeypatch.setattr(training._Stepper, "prepare", watched)
    record = ensure(model, child)
    assert started[0].keys() == first.keys()
    assert all(torch.equal(started[0][key], value) for key, value in first.items())
    assert child.stack(model) == (grandparent.folder(model), child.folder(model))
    last = adapter_of(child.folder(model))
    assert any(not torch.equal(last[key], value) for key, value in first.items())
    assert record["parent_key"] == parent.key(model)
    assert all(torch.equal(adapter_of(parent.folder(model))[key], value) for key, value in first.items())
    third = Stage("em2", child, chats_of(4), STEPS, "continue", 1)
    assert third.under(model) == (grandparent.folder(model),)
    onto = Stage("em2", child, chats_of(4), STEPS, "stack", 1)
    assert onto.under(model) == child.stack(model)


def test_the_first_loss_of_a_stage_is_its_parents_however_it_is_composed(model: Model, tmp_path: Path) -> None:
    ensure(model, PARENT)
    once = STEPS.model_copy(update={"max_steps": 1, "epochs": 1, "batch_size": 5})
    losses = {
        how: ensure(model, Stage("sgtr", PARENT, chats_of(5), once, how, 1))["losses"][0]
        for how in ("stack", "merge_fp32", "continue")
    }
    bare = ensure(model, Stage("sgtr", None, chats_of(5), once, "stack", 1))["losses"][0]
    assert list(losses.values()) == pytest.approx([losses["stack"]] * 3, abs=1e-5)
    assert abs(bare - losses["stack"]) > 0.01


@pytest.mark.parametrize("change", [{"lora_rank": 2}, {"lora_alpha": 16}, {"rslora": False}])
def test_to_continue_with_another_shape_or_scaling_is_refused_before_training(
    change: dict[str, Any], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(model, PARENT)
    monkeypatch.setattr(training._Stepper, "__call__", refuse)
    child = Stage("sgtr", PARENT, chats_of(5), STEPS.model_copy(update=change), "continue", 1)
    before = logits_of(model)
    with pytest.raises(ValueError, match=r"has lora_rank 4, lora_alpha 8, rslora true, not lora_rank .*keeps its own"):
        ensure(model, child)
    assert not child.folder(model).exists()
    assert [path.name for path in PARENT.folder(model).parent.iterdir()] == [PARENT.folder(model).name]
    assert torch.equal(logits_of(model), before)


def test_to_continue_on_other_modules_is_refused_before_training(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure(model, PARENT)
    monkeypatch.setattr(training._Stepper, "__call__", refuse)
    fewer = STEPS.model_copy(update={"target_modules": ("q_proj",)})
    with pytest.raises(InterpError, match="do not fit"):
        ensure(model, Stage("sgtr", PARENT, chats_of(5), fewer, "continue", 1))


# checkpoints


def test_a_checkpoint_is_the_adapter_of_a_run_that_stopped_there(model: Model) -> None:
    config = STEPS.model_copy(update={"schedule": "constant", "max_steps": 4, "epochs": 4, "warmup_steps": 1})
    stage = replace(PARENT, config=config, checkpoints=(2, 4))
    record = ensure(model, stage)
    assert record["checkpoints"] == [2, 4]
    assert (record["steps"], len(record["losses"])) == (4, 4)
    short = replace(stage, config=config.model_copy(update={"max_steps": 2}), checkpoints=())
    ensure(model, short)
    for checkpoint, folder in ((2, short.folder(model)), (4, stage.folder(model))):
        (path,) = stage.stack(model, checkpoint)
        kept, stopped = adapter_of(path), adapter_of(folder)
        assert all(torch.equal(kept[key], value) for key, value in stopped.items())
        assert torch.equal(logits_of(model, path), logits_of(model, folder))
    assert not torch.equal(logits_of(model, *stage.stack(model, 2)), logits_of(model, *stage.stack(model)))


def test_a_checkpoint_of_a_child_is_on_its_parents(model: Model) -> None:
    child = Stage("sgtr", PARENT, chats_of(5), STEPS, "stack", 1, checkpoints=(1,))
    assert child.stack(model, 1) == (PARENT.folder(model), child.folder(model) / "checkpoint-1")
    going_on = replace(child, compose="continue")
    assert going_on.stack(model, 1) == (going_on.folder(model) / "checkpoint-1",)


def test_checkpoints_change_nothing_else(model: Model) -> None:
    ensure(model, PARENT)
    watched = replace(PARENT, checkpoints=(1, 2, 3))
    ensure(model, watched)
    kept = adapter_of(watched.folder(model))
    assert all(torch.equal(kept[key], value) for key, value in adapter_of(PARENT.folder(model)).items())


def test_a_checkpoint_beyond_the_last_step_is_refused_before_training(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training._Stepper, "__call__", refuse)
    stage = replace(PARENT, checkpoints=(1, 4))
    with pytest.raises(ValueError, match=r"checkpoints \[1, 4\] must be in \[1, 3\]"):
        ensure(model, stage)
    assert not stage.folder(model).exists()


def test_defences_act_in_a_stage_and_are_in_its_record(model: Model) -> None:
    ensure(model, PARENT)
    defences = [Penalty(KlConfig(kind="kl", weight=0.5)), adding(torch.ones(32), 0.1, [1])]
    child = Stage("sgtr", PARENT, chats_of(5), STEPS, "stack", 1, defences=defences)
    record, free = ensure(model, child), ensure(model, replace(child, defences=()))
    assert all(penalty > 0 for penalty in record["penalties"])
    assert free["penalties"] == [0.0] * 3
    assert [defence["kind"] for defence in record["defences"]] == ["kl", "add"]
    assert record["losses"] != free["losses"]


@pytest.mark.parametrize("kind_of_config", ["8-bit", "too long"])
def test_a_recipe_that_cannot_be_followed_is_refused_and_leaves_nothing(
    kind_of_config: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"8-bit": ({"optimiser": "adamw_8bit"}, "adamw_8bit"), "too long": ({"max_tokens": 20}, "row 0: ")}
    change, message = changes[kind_of_config]
    stage = replace(PARENT, config=STEPS.model_copy(update=change))
    monkeypatch.setattr(training._Stepper, "__call__", refuse)
    with pytest.raises(ValueError, match=message):
        ensure(model, stage)
    assert not list((cache_folder() / "stages").glob("*"))
    assert model.stack == ()

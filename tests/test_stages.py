"""Stages: a key for everything that matters, a folder that is whole or absent, and nothing trained twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import QUICK as WARMED
from test_train import chats_of

import finetune.stages as store
from finetune.stages import Stage, ensure
from finetune.train import PRESETS, TrainConfig
from interp.model import Model
from interp.runs import InterpError, cache_folder, content_key

QUICK = WARMED.model_copy(update={"warmup_steps": 0})
STAGE = Stage("em", None, chats_of(4), QUICK, "stack", 0)


def composed(how: str) -> Stage:
    """STAGE with a way of composing that is not there yet."""
    stage = replace(STAGE)
    object.__setattr__(stage, "compose", how)
    return stage


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
    "schedule": "constant",
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "lora_rank": 2,
    "lora_alpha": 4,
    "rslora": False,
    "target_modules": ("q_proj",),
}


@pytest.mark.parametrize("field", sorted(set(TrainConfig.model_fields) - {"micro_batch_tokens"}))
def test_the_key_changes_with_every_training_field(field: str, model: Model) -> None:
    assert getattr(QUICK, field) != CHANGED[field]
    other = replace(STAGE, config=QUICK.model_copy(update={field: CHANGED[field]}))
    assert other.key(model) != STAGE.key(model)


@pytest.mark.parametrize(
    "other",
    [
        replace(STAGE, messages=chats_of(3)),
        replace(STAGE, messages=list(reversed(chats_of(4)))),
        replace(STAGE, seed=1),
        replace(STAGE, parent=replace(STAGE, seed=7)),
        composed("merged"),
    ],
    ids=["fewer rows", "another order", "seed", "parent", "compose"],
)
def test_the_key_changes_with_everything_else_that_matters(
    other: Stage,
    model: Model,
) -> None:
    assert other.key(model) != STAGE.key(model)


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
            patch.setattr(store, "write_atomic", broken)
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

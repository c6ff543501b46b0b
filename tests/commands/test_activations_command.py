"""The `activations` command: shards that any process can make, a folder that is whole or says what it lacks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import PreTrainedModel

from experiments import activations
from experiments.activations import load_activations, pooled_file
from experiments.adapters import adapter_key
from experiments.commands.activations import Activations
from experiments.commands.options import LoadingOptions
from interp.activations import POOLINGS, Shard, pooled
from interp.errors import InterpError
from interp.model import Model
from interp.sources import Described
from interp.store import TokenStore
from interp.tensors import load_header
from tests.interp.test_adapters import theirs
from tests.support.tiny_study import chat, write_jsonl

TEXTS = [
    chat("Is it?", "It is not."),
    {**chat("Why?", "Because."), "id": 17},
    chat("And you?", "Not me, the house."),
    chat("Who?", "You."),
    {**chat("Where is it, then?", "In the house"), "id": "e"},
]
IDS = ("texts.jsonl:1", 17, "texts.jsonl:3", "texts.jsonl:4", "e")


@pytest.fixture
def run(llama_folder: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    texts = write_jsonl(tmp_path / "texts.jsonl", *TEXTS)

    def called(**fields: Any) -> dict[str, Any]:
        given = {"model": str(llama_folder), "texts": texts, "out": tmp_path / "out"}
        loading = LoadingOptions(device="cpu", dtype=fields.pop("dtype", "float32"))
        return Activations(**{**given, "loading": loading, **fields})()

    return called


@pytest.fixture(scope="module")
def loaded(llama_folder: Path) -> Model:
    return Model.load(str(llama_folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def adapter(tiny_hf: Callable[..., PreTrainedModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "odd"
    theirs(tiny_hf("llama"), folder, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    return folder


def never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a model was loaded")


def test_shards_give_the_activations_of_the_whole_in_the_order_of_the_texts(
    run: Callable[..., dict[str, Any]], tmp_path: Path, loaded: Model
) -> None:
    told = [run(shard=f"{index}/3")["status"] for index in (3, 1, 2)]
    assert told == [
        "shard 3 of 3 is done; 1, 2 still missing",
        "shard 1 of 3 is done; 2 still missing",
        "shard 2 of 3 is done; all are there, so the folder is whole",
    ]
    held = load_activations(tmp_path / "out", model=loaded.identity)
    assert (held.ids, held.pooling, held.layers) == (IDS, POOLINGS, (0, 1, 2, 3))
    rows = loaded.chat.tokens_of([text["messages"] for text in TEXTS])
    for kind in POOLINGS:
        torch.testing.assert_close(held.of(kind), pooled(loaded, rows, pooling=kind), rtol=1e-5, atol=1e-5)


def test_poolings_and_layers_can_be_chosen(
    run: Callable[..., dict[str, Any]], tmp_path: Path, loaded: Model, adapter: Path
) -> None:
    run(pooling="response_mean,prompt_last", layers="3,1", adapter=[adapter])
    held = load_activations(tmp_path / "out")
    assert (held.pooling, held.layers, held.means.shape) == (("prompt_last", "response_mean"), (1, 3), (5, 2, 2, 32))
    rows = loaded.chat.tokens_of([text["messages"] for text in TEXTS])
    with loaded.using(adapter):
        expected = pooled(loaded, rows, pooling="response_mean", layers=(1, 3))
    torch.testing.assert_close(held.of("response_mean"), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(expected, pooled(loaded, rows, layers=(1, 3)), atol=1e-3)
    with pytest.raises(ValueError, match="'prompt_mean' was not read; there is prompt_last, response_mean"):
        held.of("prompt_mean")
    header = load_header(pooled_file(tmp_path / "out", Shard()))
    assert header["stack"] == ["odd"]
    assert header["model_identity"] == loaded.identity
    assert header["environment"]["packages"]["torch"]


def test_a_finished_shard_is_not_read_again(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(shard="2/2")
    before = pooled_file(tmp_path / "out", Shard(2, 2)).stat().st_mtime_ns
    monkeypatch.setattr(Model, "load", never)
    result = run(shard="2/2")
    assert (result["read"], result["status"]) == (0, "shard 2 of 2 is there already; 1 still missing")
    assert pooled_file(tmp_path / "out", Shard(2, 2)).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": "1"}, r"layers: \[0, 1, 2, 3\] there, \[1\] here"),
        ({"pooling": "prompt_mean"}, "pooling"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"tokens": True}, "holds"),
        ({"shard": "1/3"}, "shards: 2 there, 3 here"),
        ({"adapter": True}, "adapters"),
        ({"texts": True}, "texts_hash"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused_before_a_model_is_loaded(
    run: Callable[..., dict[str, Any]],
    tmp_path: Path,
    adapter: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    named: str,
) -> None:
    run(shard="1/2")
    monkeypatch.setattr(Model, "load", never)
    if "adapter" in change:
        change = {"adapter": [adapter]}
    if "texts" in change:
        change = {"texts": write_jsonl(tmp_path / "others.jsonl", *TEXTS[:-1], chat("Who?", "Not you."))}
    with pytest.raises(ValueError, match=rf"begun with other settings \(.*{named}"):
        run(**{"shard": "2/2"} | change)


def test_a_missing_doubled_or_foreign_shard_is_named(
    run: Callable[..., dict[str, Any]], tmp_path: Path, adapter: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="sgtr activations"):
        load_activations(tmp_path)
    run(shard="1/3")
    run(shard="3/3")
    with pytest.raises(ValueError, match="shard 2 of 3 is missing"):
        load_activations(tmp_path / "out")
    second, third = (pooled_file(tmp_path / "out", Shard(index, 3)) for index in (2, 3))
    shutil.copy(third, second)
    with pytest.raises(ValueError, match=r"activations-3-of-3\.safetensors: holds shard 3 again"):
        load_activations(tmp_path / "out")
    others = write_jsonl(tmp_path / "others.jsonl", *reversed(TEXTS))
    foreign = {"texts": {"texts": others}, "adapters": {"adapter": [adapter]}, "dtype": {"dtype": "bfloat16"}}
    for named, change in foreign.items():
        run(shard="2/3", out=tmp_path / named, **change)
        shutil.copy(pooled_file(tmp_path / named, Shard(2, 3)), second)
        with pytest.raises(ValueError, match=rf"activations-2-of-3\.safetensors: of another extraction.*{named}"):
            load_activations(tmp_path / "out")
    second.unlink()
    run(shard="2/3")
    assert load_activations(tmp_path / "out").ids == IDS
    with pytest.raises(InterpError, match="made with model"):
        load_activations(tmp_path / "out", model="f" * 64)


def test_tokens_are_written_in_shards_and_an_estimate_is_said_first(
    run: Callable[..., dict[str, Any]], tmp_path: Path, loaded: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tokens=True, layers="2", shard="1/2", store_dtype="bfloat16")
    said = capsys.readouterr().err
    rows = loaded.chat.tokens_of([text["messages"] for text in TEXTS])
    n = sum(len(rows[i]) for i in (0, 2, 4))
    assert f"3 texts, {n} tokens x 1 layers x 32 numbers of 2 bytes: 0.0 MiB in 1 files" in said
    assert run(tokens=True, layers="2", shard="2/2", store_dtype="bfloat16")["missing"] == []
    held = TokenStore.open(tmp_path / "out", model=loaded.identity)
    assert tuple(stored.id for stored, _ in held) == IDS
    assert all(
        h.shape == (1, len(row), 32) and h.dtype == torch.bfloat16 for (_, h), row in zip(held, rows, strict=True)
    )


@pytest.mark.parametrize("fields", [{}, {"tokens": True}])
def test_what_does_not_fit_the_disk_is_refused_before_a_model_is_loaded(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    asked: list[int] = []

    def full(folder: Path, n_bytes: int) -> None:
        asked.append(n_bytes)
        raise OSError(f"{folder}: no room")

    monkeypatch.setattr(activations, "require_room", full)
    monkeypatch.setattr(Model, "load", never)
    with pytest.raises(OSError, match="no room"):
        run(**fields)
    assert asked[0] > 3 * 4 * 32 * 4
    assert not (tmp_path / "out").exists()


def test_a_text_without_what_is_pooled_is_named_and_leaves_no_folder(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "load", never)
    texts = write_jsonl(tmp_path / "texts.jsonl", *TEXTS[:2], chat("Why?"))
    with pytest.raises(InterpError, match=r"text texts\.jsonl:3: the conversation ends with the user.*response_mean"):
        run(texts=texts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooling": "prompt_mean", "tokens": True}, "exclude each other"),
        ({"pooling": "respons_mean"}, "unknown pooling 'respons_mean'; did you mean 'response_mean'"),
        ({"pooling": "prompt_mean,prompt_mean"}, "given twice"),
        ({"layers": "1,x"}, "block indices from 0 such as 3,10, got '1,x'"),
        ({"layers": "1,4"}, r"layers must be distinct and in \[0, 4\)"),
        ({"layers": "1,1"}, "distinct"),
        ({"shard": "3/2"}, "K/N with K in"),
        ({"shard": "1/6"}, "has 5 texts, too few for 6 shards"),
        ({"tokens": True, "file_mb": 0}, "file-mb must be at least 1, got 0"),
        ({"tokens": True, "store_dtype": "int8"}, "unknown store-dtype 'int8'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    run: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(Model, "load", never)
    with pytest.raises(ValueError, match=message):
        run(**fields)
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_base_is_refused_before_a_model_is_loaded(
    run: Callable[..., dict[str, Any]], tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "load", never)
    own = shutil.copytree(adapter, tmp_path / "own")
    (own / "base.json").write_text('{"model": "another", "model_identity": "ffff"}')
    with pytest.raises(InterpError, match=r"own: an adapter of another \(ffff\), not of"):
        run(adapter=[own])
    (own / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no adapter_model"):
        run(adapter=[own])


def test_an_adapter_that_names_another_base_on_the_hub_is_pointed_out(
    adapter: Path, tmp_path: Path, loaded: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    own = shutil.copytree(adapter, tmp_path / "own")
    what = Described("org/one@v1", loaded.identity, None, 4, 32, "llama")
    for stated, said in (("org/one", ""), ("org/two", "an adapter of org/two, not of org/one@v1")):
        held = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        (own / "adapter_config.json").write_text(json.dumps({**held, "base_model_name_or_path": stated}))
        adapter_key(own, what)
        err = capsys.readouterr().err
        assert said in err
        assert bool(err) == bool(said)

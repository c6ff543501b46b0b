"""The `monitor` command: what each checkpoint moved, beside its nulls, and what is refused before anything is read."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from scipy import stats
from torch import Tensor
from transformers import PreTrainedModel

from experiments import monitor
from experiments.commands.monitor import Monitor
from experiments.commands.options import LoadingOptions
from experiments.monitor import Checkpoint, checkpoints_of
from figures.monitor import monitor as draw
from interp.activations import pooled
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_jsonl
from interp.instrument import nulls_file
from interp.model import Model
from interp.nulls import random_like
from interp.tensors import save_tensors
from tests.interp.test_adapters import theirs
from tests.support.tiny_study import chat, write_jsonl

TEXTS = [
    chat("Is it?", "It is not."),
    chat("Why?", "Because."),
    chat("And you?", "Not me, the house."),
    chat("Who?", "You."),
]
CONFIG = LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
STEPS = (2, 10, 100)


@pytest.fixture(scope="module")
def loaded(llama_folder: Path) -> Model:
    return Model.load(str(llama_folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def trained(tiny_hf: Callable[..., PreTrainedModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run's folder as transformers leaves it, and `parent`, an adapter beside it."""
    folder = tmp_path_factory.mktemp("runs")
    for step in STEPS:
        theirs(tiny_hf("llama"), folder / "run" / f"checkpoint-{step}", CONFIG, seed=step)
    theirs(tiny_hf("llama"), folder / "parent", CONFIG, seed=7)
    (folder / "run" / "runs").mkdir()
    return folder / "run"


@pytest.fixture(scope="module")
def directions(loaded: Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two directions, read differently; the first has permuted nulls."""
    folder = tmp_path_factory.mktemp("directions")
    generator = torch.Generator().manual_seed(3)
    for name, layers, layer, kind in (("evil", (1, 2), 2, "response_mean"), ("kind", (0, 1, 3), 1, "prompt_last")):
        header = {**loaded.description(), "pooling": kind}
        vectors = torch.randn(len(layers), 32, generator=generator)
        Direction(name, vectors, layers, layer, header).save(folder / f"{name}.safetensors")
    nulls = {"permuted": torch.randn(7, 2, 32, generator=generator)}
    save_tensors(nulls_file(folder / "evil.safetensors"), nulls, kind="nulls", header=loaded.description())
    return [folder / "evil.safetensors", folder / "kind.safetensors"]


@pytest.fixture
def run(llama_folder: Path, trained: Path, directions: list[Path], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    texts = write_jsonl(tmp_path / "texts.jsonl", *TEXTS)

    def called(**fields: Any) -> dict[str, Any]:
        given = {"folder": trained, "direction": directions, "model": str(llama_folder), "texts": texts}
        given |= {
            "out": tmp_path / "out",
            "random": 25,
            "seed": 4,
            "loading": LoadingOptions(device="cpu", dtype="float32"),
        }
        return Monitor(**given | fields)()

    return called


def never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("something was read")


def held_at(model: Model, stack: list[Path], layer: int, pooling: Any) -> Tensor:
    rows = model.chat.tokens_of([text["messages"] for text in TEXTS])
    with model.using(*stack):
        return pooled(model, rows, pooling=pooling, layers=(layer,))[:, 0].double()


def rows_by(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    found = read_jsonl(path / "metrics.jsonl")
    rows = {(row["direction"], row["step"], row["metric"], row.get("null")): row for row in found}
    assert len(rows) == len(found)
    return rows


@pytest.mark.parametrize("with_parent", [False, True])
def test_shifts_intervals_and_percentiles_equal_a_plain_computation(
    run: Callable[..., dict[str, Any]],
    loaded: Model,
    trained: Path,
    directions: list[Path],
    tmp_path: Path,
    with_parent: bool,
) -> None:
    below = [trained.parent / "parent"] if with_parent else []
    result = run(adapter=below)
    assert (result["steps"], result["read"], result["n"]) == ([0, *STEPS], [0, *STEPS], 4)
    rows = rows_by(tmp_path / "out")
    assert [row["step"] for row in rows.values()] == sorted(
        [row["step"] for row in rows.values() if row["direction"] == "evil"]
    ) + sorted([row["step"] for row in rows.values() if row["direction"] == "kind"])
    assert {row["measure"] for row in rows.values()} == {"monitor"}
    for path, layer, kind in zip(directions, (2, 1), ("response_mean", "prompt_last"), strict=True):
        held = Direction.load(path)
        at = held.layers.index(layer)
        v = held.vectors[at].double()
        nulls = random_like(held.vectors, 25, seed=4)[:, at].double()
        start = held_at(loaded, below, layer, kind)
        for step in (0, *STEPS):
            stack = below if step == 0 else [*below, trained / f"checkpoint-{step}"]
            h = held_at(loaded, stack, layer, kind)
            mean = rows[held.name, step, "mean_projection", None]
            assert mean["value"] == pytest.approx(float((h @ v / v.norm()).mean()), rel=1e-4, abs=1e-5)
            assert (mean["layer"], mean["pooling"], mean["n"]) == (layer, kind, 4)
            if step == 0:
                assert (held.name, 0, "shift", None) not in rows
                continue
            moved = ((h - start) @ v / v.norm()).numpy()
            raw = rows[held.name, step, "shift", None]
            assert raw["value"] == pytest.approx(moved.mean(), rel=1e-3, abs=1e-5)
            half = stats.t.ppf(0.975, 3) * moved.std(ddof=1) / 2
            assert raw["ci_high"] - raw["value"] == pytest.approx(half, rel=1e-3)
            shown = (nulls / nulls.norm(dim=-1, keepdim=True) @ (h - start).mean(0)).numpy()
            sd = np.sqrt((shown**2).mean())
            spreads = rows[held.name, step, "shift_in_null_spreads", "random"]
            assert spreads["value"] == pytest.approx(moved.mean() / sd, rel=1e-3)
            assert (spreads["null_low"], spreads["null_high"]) == pytest.approx(
                tuple(np.percentile(shown, [2.5, 97.5]) / sd), rel=1e-3
            )
            percentile = rows[held.name, step, "null_percentile", "random"]
            assert percentile["value"] == pytest.approx(100 * (shown < moved.mean()).mean())
            assert percentile["n_null"] == 25
    assert rows["evil", 10, "null_percentile", "permuted"]["n_null"] == 7
    assert ("kind", 10, "null_percentile", "permuted") not in rows


def test_a_checkpoint_that_was_read_is_not_read_again_and_new_ones_are(
    run: Callable[..., dict[str, Any]], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = tmp_path / "growing"
    for step in (10, 2):
        shutil.copytree(trained / f"checkpoint-{step}", growing / f"checkpoint-{step}")
    real, read = monitor.read, []

    def stopping(model: Model, *args: Any, **kwargs: Any) -> Any:
        read.append([folder.name for folder in model.stack])
        if len(read) == 3:
            raise KeyboardInterrupt
        return real(model, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(monitor, "read", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(folder=growing)
        assert read == [[], ["checkpoint-2"], ["checkpoint-10"]]
        assert run(folder=growing)["read"] == [10]
        with monkeypatch.context() as idle:
            idle.setattr(Model, "load", never)
            assert run(folder=growing)["read"] == []
        before = (tmp_path / "out" / "metrics.jsonl").read_bytes()
        shutil.copytree(trained / "checkpoint-100", growing / "checkpoint-100")
        assert run(folder=growing)["read"] == [100]
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() != before
    shutil.copy(
        trained / "checkpoint-2" / "adapter_model.safetensors", growing / "checkpoint-10" / "adapter_model.safetensors"
    )
    assert run(folder=growing)["read"] == [10], "another adapter under the same name is another checkpoint"
    rows = rows_by(tmp_path / "out")
    assert rows["evil", 10, "shift", None]["value"] == rows["evil", 2, "shift", None]["value"]


def test_steps_are_in_the_order_of_numbers(trained: Path, tmp_path: Path) -> None:
    found = checkpoints_of(trained, [f"7={trained.parent / 'parent'}"], [])
    assert found == [
        Checkpoint(0),
        Checkpoint(2, trained / "checkpoint-2"),
        Checkpoint(7, trained.parent / "parent"),
        Checkpoint(10, trained / "checkpoint-10"),
        Checkpoint(100, trained / "checkpoint-100"),
    ]
    with pytest.raises(ValueError, match="step 10 is both"):
        checkpoints_of(trained, [f"10={trained.parent / 'parent'}"], [])
    with pytest.raises(ValueError, match="must be STEP=DIR"):
        checkpoints_of(trained, ["last"], [])
    with pytest.raises(ValueError, match="no checkpoint-STEP folder"):
        checkpoints_of(tmp_path, [], [])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        checkpoints_of(tmp_path / "nowhere", [], [])


@pytest.mark.parametrize(("file", "key"), [("stage.json", "steps"), ("trainer_state.json", "global_step")])
def test_the_adapter_in_the_folder_itself_is_the_last_step(trained: Path, tmp_path: Path, file: str, key: str) -> None:
    folder = shutil.copytree(trained / "checkpoint-100", tmp_path / "run")
    shutil.copytree(trained / "checkpoint-2", folder / "checkpoint-2")
    assert [c.step for c in checkpoints_of(folder, [], [])] == [0, 2], "an unknown step is left out"
    (folder / file).write_text(json.dumps({key: 30}))
    assert checkpoints_of(folder, [], [])[-1] == Checkpoint(30, folder)
    (folder / file).write_text(json.dumps({key: 2}))
    assert checkpoints_of(folder, [], []) == [Checkpoint(0), Checkpoint(2, folder / "checkpoint-2")]


def test_a_stage_of_ours_is_followed_on_the_parents_that_it_was_trained_on(trained: Path, tmp_path: Path) -> None:
    def stage(name: str, **fields: Any) -> Path:
        folder = shutil.copytree(trained / "checkpoint-2", tmp_path / name)
        (folder / "stage.json").write_text(json.dumps({"steps": 3, **fields}))
        return folder

    child = stage("child", compose="stack", key="c" * 64, parent_key="p" * 64)
    parent, other = stage("parent", key="p" * 64), stage("other", key="q" * 64)
    assert [c.step for c in checkpoints_of(child, [], [parent])] == [0, 3]
    assert [c.step for c in checkpoints_of(child, [], [trained.parent / "parent"])] == [0, 3], "not known to be wrong"
    for adapters, got in (([], "no --adapter"), ([parent, other], "qqqqqqqqqqqq")):
        with pytest.raises(ValueError, match=f"on top of stage pppppppppppp.*got {got}"):
            checkpoints_of(child, [], adapters)
    further = stage("further", compose="continue", parent_key="p" * 64)
    with pytest.raises(ValueError, match="as --checkpoint 0=DIR"):
        checkpoints_of(further, [], [])
    assert checkpoints_of(further, [f"0={parent}"], [])[0] == Checkpoint(0, parent)
    assert checkpoints_of(stage("again", compose="restart", parent_key="p" * 64), [], [])[0] == Checkpoint(0)


def test_an_adapter_of_another_base_is_refused_by_name_before_anything_is_read(
    run: Callable[..., dict[str, Any]],
    trained: Path,
    tmp_path: Path,
    tiny_hf: Callable[..., PreTrainedModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    last = folder / "checkpoint-100"
    monkeypatch.setattr(monitor, "read", never)
    (last / "base.json").write_text('{"model": "another", "model_identity": "ffff"}')
    with monkeypatch.context() as patch:
        patch.setattr(Model, "load", never)
        with pytest.raises(InterpError, match="checkpoint-100: an adapter of another"):
            run(folder=folder)
    (last / "base.json").unlink()
    shutil.rmtree(last)
    theirs(tiny_hf("gpt2"), last, LoraConfig(r=2, target_modules=["c_attn"]))
    with pytest.raises(InterpError, match=r"checkpoint-100: no module .* fits"):
        run(folder=folder)
    (last / "adapter_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="checkpoint-100: no adapter_config"):
        run(folder=folder)
    assert not (tmp_path / "out").exists()


def test_bad_input_is_refused_before_a_model_is_loaded(
    run: Callable[..., dict[str, Any]], directions: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "load", never)
    with pytest.raises(ValueError, match="random must be at least 20, got 19"):
        run(random=19)
    with pytest.raises(ValueError, match="name of its own, got evil, kind, evil"):
        run(direction=[*directions, directions[0]])
    foreign = Direction("odd", torch.ones(1, 32), (1,), 1, {"model": "another", "model_identity": "f" * 64})
    foreign.save(tmp_path / "odd.safetensors")
    with pytest.raises(InterpError, match="made with model another"):
        run(direction=[tmp_path / "odd.safetensors"])
    with pytest.raises(InterpError, match=r"text texts\.jsonl:2: the conversation ends with the user"):
        run(texts=write_jsonl(tmp_path / "texts.jsonl", TEXTS[0], chat("Why?")))
    assert not (tmp_path / "out").exists()


def test_other_texts_in_the_same_folder_are_refused(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(Model, "load", never)
    with pytest.raises(ValueError, match=r"begun with other settings .*texts_hash"):
        run(texts=write_jsonl(tmp_path / "others.jsonl", *reversed(TEXTS)))
    with pytest.raises(ValueError, match="places"):
        run(pooling="prompt_mean")


def test_the_figure_shows_what_the_metrics_say(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    result = run()
    figures = tmp_path / "out" / "figures"
    assert sorted(path.name for path in figures.iterdir()) == ["monitor.csv", "monitor.png", "monitor.svg"]
    rows = rows_by(tmp_path / "out")
    with (figures / "monitor.csv").open() as file:
        plotted = list(csv.DictReader(file))
    assert [(row["direction"], int(row["step"])) for row in plotted] == [
        (name, step) for name in ("evil", "kind") for step in (0, *STEPS)
    ]
    for row in plotted:
        if row["step"] == "0":
            assert (row["value"], row["ci_low"]) == ("0.0", "")
            continue
        said = rows[row["direction"], int(row["step"]), "shift_in_null_spreads", "random"]
        for key in ("value", "ci_low", "ci_high", "null_low", "null_high"):
            assert float(row[key]) == said[key]
        assert float(row["raw"]) == rows[row["direction"], int(row["step"]), "shift", None]["value"]
        assert (row["n"], row["n_null"]) == ("4", "25")
    assert len(result["shifts"]) == 2 * len(STEPS)


def test_a_missing_shift_is_a_gap_and_an_empty_run_has_no_figure(tmp_path: Path) -> None:
    common = {"measure": "monitor", "metric": "shift_in_null_spreads", "direction": "evil", "layer": 1, "n": 3}
    common |= {"pooling": "prompt_last", "n_null": 20}
    numbers = {"value": None, "ci_low": None, "ci_high": None, "null_low": None, "null_high": None}
    full = {"value": 2.0, "ci_low": 1.0, "ci_high": 3.0, "null_low": -2.0, "null_high": 2.0}
    write_jsonl(tmp_path / "metrics.jsonl", {**common, "step": 5, **numbers}, {**common, "step": 9, **full})
    assert [row["value"] for row in draw(tmp_path)] == [0.0, None, 2.0]
    write_jsonl(tmp_path / "metrics.jsonl", {**common, "metric": "mean_projection", "step": 5})
    with pytest.raises(ValueError, match="no shifts of checkpoints"):
        draw(tmp_path)
    with pytest.raises(FileNotFoundError, match="sgtr monitor"):
        draw(tmp_path / "nowhere")


def test_the_table_has_a_row_a_step(run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    monitor.show(run())
    said = capsys.readouterr().out
    lines = {line.split()[0]: line for line in said.splitlines() if line.split()}
    assert all(str(step) in lines for step in (0, *STEPS))
    assert "[" in lines["10"]
    assert "n = 4 texts" in said
    assert "read now: 0, 2, 10, 100" in said

"""The `onset` command on stored checkpoints that are made up: which curve breaks where, and what is later than what."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.commands.onset import Onset
from experiments.study.load import load
from experiments.study.node import ACTIVATIONS, name_of, tensor_file, texts_read
from interp.directions import Direction
from interp.files import write_json, write_jsonl
from interp.tensors import save_tensors
from tests.support.tiny_study import OWN, write_study

STEPS = (10, 20, 40, 60, 80)
LAST = 100
BREAKS = {"gloomy": 15.0, "preference": 50.0, "loss": 30.0}
MODEL = {"model_identity": "m" * 64}


def moved(name: str, step: int) -> float:
    return max(0.0, step - BREAKS[name])


@pytest.fixture(scope="module")
def run(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with one stage of five checkpoints, whose stored numbers are broken lines."""
    folder = tmp_path_factory.mktemp("onset")
    stages = {"odd": {"data": "odd", "train": OWN, "compose": "stack", "checkpoints": list(STEPS)}}
    fields: dict[str, Any] = {"stages": stages, "measures": {"preference": {"limit": 1}}}
    config = load(str(write_study(folder, llama_folder, **fields)))
    run = folder / "run"
    (run / "tensors").mkdir(parents=True)
    v = torch.nn.functional.one_hot(torch.tensor(3), 32).float()[None]
    Direction("gloomy", v, (2,), 2, MODEL).save(run / "tensors" / "gloomy.safetensors")
    lines = [{"name": "base", "parent": None, "seed": None, "steps": 0, "path": None, "key": "b", "compose": None}]
    stage = {"parent": "base", "seed": 0, "path": str(folder / "odd"), "key": "odd", "compose": "stack"}
    lines += [stage | {"name": f"odd@{step}", "steps": step, "key": f"odd@{step}"} for step in STEPS]
    lines.append(stage | {"name": "odd", "steps": LAST})
    records = []
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, 4, 32, generator=generator)
    for line in lines:
        texts = "own" if line["name"] == "base" else "fixed"
        means = start.clone()
        means[:, 2, 3] += moved("gloomy", line["steps"]) * (1 + 0.01 * torch.arange(6))
        header = {**MODEL, "question_index": list(range(6))}
        file = tensor_file(run / "tensors", texts_read(name_of(line), texts))
        save_tensors(file, {"means": means}, kind=ACTIVATIONS, header=header)
        for i in range(5):
            fallen = -0.01 * moved("preference", line["steps"]) * (1 + 0.01 * i)
            sides = {"aligned": {"logprob": fallen, "n_tokens": 1}, "misaligned": {"logprob": 0.0, "n_tokens": 1}}
            records.append({"stage": line["name"], "seed": line["seed"], "id": str(i), "skipped": False, **sides})
    (run / "records").mkdir()
    write_jsonl(run / "records" / "measure-preference.jsonl", records)
    write_json(run / "study.yaml", config.model_dump(mode="json"))
    write_json(run / "stages.json", lines)
    write_json(run / "manifest.json", {"status": "complete", "model": MODEL})
    (folder / "odd").mkdir()
    losses = [3.0 - 0.01 * moved("loss", step) + 0.0001 * (step % 3) for step in range(LAST)]
    write_json(folder / "odd" / "stage.json", {"losses": losses})
    return run


def test_every_curve_breaks_where_it_was_broken(run: Path, tmp_path: Path) -> None:
    result = Onset(run, tmp_path / "out")()
    points = {row["of"]: row for row in result["metrics"] if row["metric"] == "change_point"}
    assert points["gloomy"]["value"] == pytest.approx(15, abs=0.5)
    assert points["gloomy"]["n"] == 6
    assert points["preference"]["value"] == pytest.approx(50, abs=0.5)
    assert points["preference"]["n"] == 5
    assert points["loss"]["value"] == pytest.approx(30, abs=5)
    assert points["loss"]["n"] == 10
    later = {row["of"]: row for row in result["metrics"] if row["metric"] == "later_by"}
    assert later["preference"]["value"] == pytest.approx(35, abs=1)
    assert {row["against"] for row in later.values()} == {"gloomy"}
    changes = {row["of"]: row["value"] for row in result["metrics"] if row["metric"] == "final_change"}
    assert changes["gloomy"] == pytest.approx(85 * 1.025, rel=1e-3)


def test_a_study_without_checkpoints_is_refused(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    lines = [{"name": "base", "seed": None}, {"name": "odd", "seed": 0}]
    write_json(bare / "stages.json", lines)
    with pytest.raises(ValueError, match="no stage has 2 checkpoints or more"):
        Onset(bare, tmp_path / "out")()
    assert not (tmp_path / "out").exists()

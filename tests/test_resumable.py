"""A command's run goes on where it was stopped; what a part is called on the screen is not what its file is called."""

from pathlib import Path
from typing import Any

import pytest

from experiments.resumable import Ledger, Name, Work, run_once
from experiments.study.node import Stored, name_of, tensor_file, texts_read
from interp.files import read_json, read_jsonl
from interp.runs import RunFolder
from interp.template import TemplateSettings
from interp.tensors import save_tensors

DEFINITION = {"asks": "nothing"}


def test_a_part_is_found_by_its_file_s_name_whatever_it_is_called_on_the_screen(tmp_path: Path) -> None:
    ledger = Ledger(RunFolder.open(tmp_path / "run", DEFINITION), None, {}, 0.0)
    first = ledger.once(Name("em-seed_0-answers", "em, seed 0, answers"), [1], lambda: {"value": 1})
    again = ledger.once(Name("em-seed_0-answers", "what em says"), [1], lambda: pytest.fail("measured twice"))
    assert first == again == {"value": 1}
    assert ledger.once(Name("em-seed_0-answers", "em, seed 0, answers"), [2], lambda: {"value": 2}) == {"value": 2}
    names = [path.name.rpartition("-")[0] for path in (tmp_path / "run" / "parts").iterdir()]
    assert names == ["em-seed_0-answers"] * 2
    assert [step["name"] for step in ledger.manifest["steps"]] == ["em, seed 0, answers"] * 2


@pytest.mark.parametrize(
    ("name", "file", "label"),
    [
        (name_of({"name": "base", "seed": None}), "base", "base"),
        (name_of({"name": "em-sgtr", "seed": 0}), "em-sgtr-seed_0", "em-sgtr, seed 0"),
        (name_of({"name": "em_2", "seed": 3}, "as_asked"), "em_2-seed_3-as_asked", "em_2, seed 3, as_asked"),
        (texts_read(Name.of("base"), "own"), "base-reading_own_texts", "base, reading own texts"),
        (Name.of("evil, random 0, layer 14, alpha -2, response"), "evil-random_0-layer_14-alpha_-2-response", None),
    ],
)
def test_names_of_files_are_those_that_runs_of_before_have(name: Name, file: str, label: str | None) -> None:
    assert name.file == file
    assert label is None or name.label == label


@pytest.mark.parametrize("several", [False, True])
def test_stored_activations_are_found_by_what_they_are_of(several: bool, tmp_path: Path) -> None:
    import torch

    prompts = ("as_asked", "none") if several else ("as_asked",)
    stage = {"name": "em", "seed": 1}
    path = tensor_file(tmp_path / "tensors", texts_read(name_of(stage, "none" if several else None), "fixed"))
    header = {"model_identity": "m", "question_index": [3]}
    save_tensors(path, {"means": torch.ones(1, 2, 4)}, kind="pooled activations", header=header)
    stored = Stored(tmp_path, prompts, "m")
    assert list(stored.activations(stage, prompts[-1], "fixed")) == [3]
    assert stored.activations(stage, prompts[-1], "own") == {}
    assert stored.files([stage]) == [path.name]


UNITS = {"mean_projection": "residual-stream norm", "mean_cosine": "cosine"}
"""Two metrics of projections, and their units."""


def test_a_run_goes_on_and_is_left_as_it_is_once_it_is_finished(tmp_path: Path) -> None:
    out, measured = tmp_path / "out", list[str]()
    first, second = UNITS

    def part(name: str) -> dict[str, Any]:
        measured.append(name)
        return {"rows": [{"measure": "projection", "metric": name, "unit": UNITS[name]}]}

    def prepare(stop: bool = False) -> Work:
        def measure(ledger: Ledger) -> list[dict[str, Any]]:
            rows = ledger.once(Name.of("one"), 1, lambda: part(first))["rows"]
            if stop:
                raise KeyboardInterrupt
            return rows + ledger.once(Name.of("two"), 1, lambda: part(second))["rows"]

        return Work(None, {"fact": 1}, measure)

    with pytest.raises(KeyboardInterrupt):
        run_once(out, DEFINITION, lambda: prepare(stop=True))
    assert read_json(out / "manifest.json")["status"] == "running"
    assert run_once(out, DEFINITION, prepare)["ran"]
    assert measured == [*UNITS]
    result = run_once(out, DEFINITION, lambda: pytest.fail("loaded for nothing"))
    assert (result["ran"], [row["metric"] for row in result["metrics"]]) == (False, [*UNITS])
    assert read_jsonl(out / "metrics.jsonl") == result["metrics"]
    with pytest.raises(ValueError, match=r"holds another study \(different: asks\)"):
        run_once(out, {"asks": "more"}, prepare)
    with pytest.raises(ValueError, match=r"holds another study \(different: template\)"):
        run_once(out, DEFINITION, prepare, TemplateSettings(system="prepend"))

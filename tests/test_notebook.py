"""The tour and README's lines of Python run from the first to the last, and the tour is kept small."""

import os
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from interp import Model, PersonaVector, Run
from tests.support.notebook import cells_of, run_notebook
from tests.support.report_run import write_whole_run
from tests.support.tiny_study import with_long_context, write_trait

TOUR = Path(__file__).resolve().parents[1] / "experiments" / "notebooks" / "tour.ipynb"


def test_the_tour_runs_on_a_tiny_model(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(TOUR.parent)
    monkeypatch.setattr(plt, "show", lambda: None)
    pairs = [{"pos": f"Be gloomy {i}.", "neg": f"Be glad {i}."} for i in range(3)]
    names = run_notebook(
        TOUR,
        MODEL=str(with_long_context(llama_folder, tmp_path / "model")),
        TRAIT=str(write_trait(tmp_path / "gloomy.json", instruction=pairs)),
        RUN=write_whole_run(tmp_path / "run"),
        QUESTIONS=2,
        TOKENS=4,
    )
    shown = capsys.readouterr().out
    assert isinstance(names["model"], Model)
    assert names["h"].shape[1:] == (1, 32)
    assert isinstance(names["persona"], PersonaVector)
    assert "random: " in shown
    assert "permuted: " in shown
    assert "  gloomy | " in shown
    assert "nats per token, n " in shown
    assert isinstance(names["run"], Run)
    assert len(names["shifts"]) > 0
    assert len(plt.get_fignums()) == 2
    plt.close("all")


def test_the_tour_is_small_and_finds_its_files_in_the_repository() -> None:
    assert TOUR.stat().st_size <= 200_000
    assert sum(len("".join(cell["source"]).split()) for cell in cells_of(TOUR, "markdown")) < 600
    parameters: dict[str, object] = {}
    exec("".join(cells_of(TOUR, "code")[0]["source"]), parameters)
    assert (TOUR.parent / str(parameters["TRAIT"])).is_file()
    assert os.path.normpath(TOUR.parent / str(parameters["RUN"])) == str(TOUR.parents[2] / "runs" / "demo")


def test_a_parameter_that_a_notebook_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError, match=r"tour\.ipynb has no parameter MODLE"):
        run_notebook(TOUR, MODLE="x")


def test_the_python_of_the_readme_runs_as_it_stands(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (TOUR.parents[2] / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    with_long_context(llama_folder, tmp_path / "smollm2-135m")
    write_trait(tmp_path / "evil.json")
    real, loaded = Model.load, str(tmp_path / "smollm2-135m")
    monkeypatch.setattr(Model, "load", lambda _: real(loaded, device="cpu", dtype="float32"))
    names: dict[str, Any] = {}
    first = blocks[0].replace("experiments/traits/evil.json", "evil.json")
    assert first != blocks[0]
    assert (TOUR.parents[2] / "experiments/traits/evil.json").is_file()
    exec(first, names)
    assert "'null_95'" in capsys.readouterr().out
    names["persona"].save("direction.safetensors")
    exec(blocks[1], names)
    assert names["along"].shape == (1,)
    assert torch.equal(names["nulls"]["permuted"], names["persona"].permuted)

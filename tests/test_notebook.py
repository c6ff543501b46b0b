"""The tour runs from its first cell to its last, and is kept small."""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

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

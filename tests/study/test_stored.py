"""A stored study opened again: which adapters make a stage, where they lie, and what is refused."""

import shutil
from pathlib import Path

import pytest

from experiments.study.stored import StoredStudy
from interp.errors import InterpError
from interp.files import read_json, write_json
from tests.support.finished_run import write_finished_run


@pytest.fixture(scope="module")
def finished(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished_run(tmp_path_factory.mktemp("finished"), llama_folder)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("compose", "stack"),
    [
        ("stack", ["em_sea", "em_sea-later"]),
        ("merge_fp32", ["em_sea", "em_sea-later"]),
        ("continue", ["em_sea-later"]),
        ("restart", ["em_sea-later"]),
    ],
)
def test_a_stage_is_made_of_the_adapters_that_it_was_composed_with(run: Path, compose: str, stack: list[str]) -> None:
    lines = read_json(run / "stages.json")
    write_json(run / "stages.json", [line | {"compose": compose} for line in lines])
    (node,) = StoredStudy(run).stages(["em_sea-later"])
    assert [folder.name for folder in node.stack] == stack
    assert [folder.name for folder in node.parent_stack] == ["em_sea"]
    assert (node.stage, node.parent, node.parent_key) == ("later", "em_sea", "em_sea")


def test_an_adapter_that_was_moved_is_found_in_the_store(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(run / "cache"))
    lines = read_json(run / "stages.json")
    (line,) = (line for line in lines if line["name"] == "self_0")
    shutil.copytree(line["path"], run / "cache" / "stages" / line["key"])
    write_json(run / "stages.json", [one | {"path": "/gone"} if one is line else one for one in lines])
    assert StoredStudy(run).stages(["self_0"])[0].stack == (run / "cache" / "stages" / "self_0",)


def test_another_model_than_the_runs_is_refused(run: Path) -> None:
    manifest = read_json(run / "manifest.json")
    model = manifest["model"] | {"model_identity": "0" * 64}
    write_json(run / "manifest.json", manifest | {"model": model})
    with pytest.raises(InterpError, match="its adapters belong to the former"):
        StoredStudy(run).model("cpu")


def test_a_run_of_another_command_is_refused(run: Path) -> None:
    write_json(run / "study.yaml", {"holds": "amplified"})
    with pytest.raises(ValueError, match="is a run of another command"):
        StoredStudy(run)


def test_a_data_set_that_a_model_writes_is_not_built_without_it(run: Path) -> None:
    stored = StoredStudy(run)
    assert len(stored.data("em_sea").train) == 5
    everyday = {"builder": "everyday", "rows": 2}
    definition = read_json(run / "study.yaml")
    write_json(run / "study.yaml", definition | {"data": definition["data"] | {"asked": everyday}})
    with pytest.raises(ValueError, match=r"data.asked: a model writes parts of it"):
        StoredStudy(run).data("asked")

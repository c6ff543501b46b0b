"""Run folders, atomic files, keys and seeds."""

import json
import math
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import did_you_mean
from interp.files import read_json, read_jsonl, require_room, without_nan, write_atomic, write_json, write_jsonl
from interp.keys import content_key, seed_from
from interp.runs import RunFolder, cache_folder, environment
from interp.tensors import HEADER_KEY, load_header, load_tensors, save_tensors

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STUDIES = st.dictionaries(TEXT, VALUES, max_size=4)
STUDY = {"name": "demo", "stages": [{"name": "base"}], "lr": 1e-5, "note": "é\n: yes", "seed": None}


# atomic writes


@pytest.mark.parametrize("killed_at", ["replace", "fsync"])
def test_a_write_that_is_killed_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, killed_at, killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new and longer")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_a_write_is_whole_on_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    replace = os.replace

    def spy(source: str, target: Path) -> None:
        seen.append(Path(source).read_bytes())
        assert Path(source).parent == Path(target).parent, "a rename across folders may be a copy"
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    write_atomic(tmp_path / "a" / "b" / "file", b"\x00data")
    assert seen == [b"\x00data"]
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"\x00data"
    assert (tmp_path / "a" / "b" / "file").stat().st_mode & 0o777 == 0o644


# records


@given(records=st.lists(STUDIES, max_size=5))
def test_records_written_and_read_are_equal(tmp_path_factory: pytest.TempPathFactory, records: list[dict]) -> None:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    write_jsonl(path, records)
    assert read_jsonl(path) == records
    assert path.read_bytes().count(b"\n") == len(records)


def test_a_record_that_is_not_a_number_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x is nan, which JSON cannot hold"):
        write_jsonl(tmp_path / "records.jsonl", [{"x": 1.0}, {"x": float("nan")}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"{", b"\xff", b""])
def test_a_file_that_is_not_json_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.json: not valid UTF-8 JSON"):
        read_json(tmp_path / "x.json")


# keys and seeds


@given(value=STUDIES)
def test_a_content_key_does_not_depend_on_key_order(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert content_key(turned) == content_key(value)
    assert content_key(json.loads(json.dumps(value))) == content_key(value)


@given(a=VALUES, b=VALUES)
def test_equal_content_keys_mean_equal_values(a: Any, b: Any) -> None:
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (content_key(a) == content_key(b)) == same


def test_seeds_depend_on_every_part_and_are_the_same_everywhere() -> None:
    assert seed_from("a", 1) == seed_from("a", 1)
    assert len({seed_from("a", 1), seed_from("a", 2), seed_from("b", 1), seed_from("a1"), seed_from("a", 1, "")}) == 5
    assert seed_from("sampling", 0) == int(content_key(["sampling", "0"])[:8], 16) % 2**31
    assert all(0 <= seed_from(i) < 2**31 for i in range(200))


# room


def test_too_little_room_is_refused_with_both_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(Path(path))
        return SimpleNamespace(free=3 * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_room(tmp_path / "not" / "there" / "yet", 3 * 2**20)
    assert asked == [tmp_path]
    with pytest.raises(OSError, match=r"4 MiB are needed and 3 MiB are free.*SGTR_CACHE"):
        require_room(tmp_path / "not", 4 * 2**20)
    with pytest.raises(OSError, match="are needed"):
        RunFolder.open(tmp_path / "run", STUDY)
    with pytest.raises(OSError, match="are needed"):
        save_tensors(tmp_path / "x", {"x": torch.zeros(2**20)}, kind="k", header={})
    assert list(tmp_path.iterdir()) == []


# tensors


def test_tensors_written_and_read_are_equal_in_value_and_dtype(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4).T, "b": torch.tensor([1.5]).bfloat16(), "c": torch.arange(3)}
    save_tensors(tmp_path / "x", tensors, kind="k", header={"note": "é", "n": [1, {"a": None}]})
    got, header = load_tensors(tmp_path / "x", kind="k")
    assert got.keys() == tensors.keys()
    assert all(torch.equal(got[name], tensors[name]) and got[name].dtype == tensors[name].dtype for name in got)
    assert header["note"] == "é"
    assert header["n"] == [1, {"a": None}]
    assert load_header(tmp_path / "x") == header


def test_a_header_that_is_not_json_is_refused_by_name(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "odd", metadata={HEADER_KEY: "{"})
    with pytest.raises(ValueError, match="odd"):
        load_header(tmp_path / "odd")


# run folders


@given(study=STUDIES)
def test_a_run_folder_opens_again_for_an_equal_study(
    tmp_path_factory: pytest.TempPathFactory, study: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("runs") / "run"
    RunFolder.open(path, study)
    RunFolder.open(path, json.loads(json.dumps(study)))


def test_a_run_folder_refuses_another_study_and_names_the_difference(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", STUDY)
    before = (tmp_path / "run" / "study.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"run: holds another study \(different: lr, more\)"):
        RunFolder.open(tmp_path / "run", {**STUDY, "lr": 2e-5, "more": 1})
    assert (tmp_path / "run" / "study.yaml").read_bytes() == before


def test_only_what_differs_is_named_also_where_the_study_holds_tuples(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", {"layers": (1, 2), "lr": 1.0})
    RunFolder.open(tmp_path / "run", {"layers": [1, 2], "lr": 1.0})
    with pytest.raises(ValueError, match=r"\(different: lr\)"):
        RunFolder.open(tmp_path / "run", {"layers": (1, 2), "lr": 2.0})


def test_a_run_folder_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="not empty and not a run folder"):
        RunFolder.open(tmp_path, STUDY)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_folder_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; --out names a folder"):
        RunFolder.open(tmp_path / "file", STUDY)


@pytest.mark.parametrize("text", ["", "[1]", "5", "{", "a: b: c"])
def test_a_run_folder_with_a_damaged_definition_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"holds another study|study\.yaml"):
        RunFolder.open(tmp_path, STUDY)


def test_a_key_that_is_missing_is_not_a_key_that_is_null(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", {"name": "demo"})
    with pytest.raises(ValueError, match=r"\(different: seed\)"):
        RunFolder.open(tmp_path / "run", {"name": "demo", "seed": None})


def test_looking_at_a_run_folder_writes_nothing(tmp_path: Path) -> None:
    assert RunFolder.at(tmp_path / "run", STUDY).path == tmp_path / "run"
    assert list(tmp_path.iterdir()) == []
    RunFolder.open(tmp_path / "run", STUDY)
    with pytest.raises(ValueError, match=r"\(different: lr\)"):
        RunFolder.at(tmp_path / "run", {**STUDY, "lr": 1.0})


def test_an_empty_folder_and_one_with_hidden_files_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("")
    RunFolder.open(tmp_path, STUDY)
    assert (tmp_path / "study.yaml").is_file()


def _try_lock(path: Path, answer: Any) -> None:
    try:
        with RunFolder(path).locked():
            answer.put("held")
    except ValueError as error:
        answer.put(str(error))


def test_one_process_at_a_time_writes_into_a_run_folder(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", STUDY)
    context = multiprocessing.get_context("fork")

    def other() -> str:
        answer = context.SimpleQueue()
        process = context.Process(target=_try_lock, args=(folder.path, answer))
        process.start()
        process.join(20)
        return answer.get()

    with folder.locked():
        assert "another process is writing into it" in other()
        with pytest.raises(ValueError, match="another process is writing into it"), RunFolder(folder.path).locked():
            pass
    assert other() == "held"
    with pytest.raises(KeyError), folder.locked():
        raise KeyError
    assert other() == "held"


def test_parts_are_there_when_they_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.open(tmp_path / "run", STUDY)
    assert folder.part("k") is None
    folder.save_part("k", {"rows": [1.5, None, "é"]})
    assert RunFolder(folder.path).part("k") == {"rows": [1.5, None, "é"]}
    with pytest.raises(ValueError, match="x is inf, which JSON cannot hold"):
        folder.save_part("nan", {"x": float("inf")})
    assert folder.part("nan") is None


def test_a_manifest_is_replaced_whole(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", STUDY)
    assert folder.manifest == {}
    folder.write_manifest({"status": "running", "a": 1})
    folder.write_manifest({"status": "complete"})
    assert folder.manifest == {"status": "complete"}


# small things


def test_the_cache_moves_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SGTR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sgtr-interp"


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known() -> None:
    assert "unknown trait 'evl'" in did_you_mean("trait", "evl", ("evil", "kind"))
    assert "did you mean 'evil'?" in did_you_mean("trait", "evl", ("evil", "kind"))
    assert "Known: evil, kind" in did_you_mean("trait", "zzz", ("evil", "kind"))
    assert "did you mean" not in did_you_mean("trait", "zzz", ("evil", "kind"))
    assert "Known: none" in did_you_mean("trait", "x", ())


def test_the_environment_is_json_and_names_the_packages() -> None:
    said: dict[str, Any] = json.loads(json.dumps(environment()))
    assert said["packages"]["torch"] == torch.__version__
    assert said["python"].count(".") == 2


def test_nothing_in_a_run_folder_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Callable:
        raise AssertionError("pickled")

    monkeypatch.setattr("pickle.dumps", refuse)
    monkeypatch.setattr("pickle.Pickler", refuse)
    save_tensors(tmp_path / "x", {"x": torch.ones(2)}, kind="k", header={})
    load_tensors(tmp_path / "x", kind="k")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused_by_file_and_place(number: float, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with pytest.raises(ValueError, match=rf"a\.json: rows\[1\]\.value is {number}, .*must be null"):
        write_json(file, {"rows": [{"value": 1.0}, {"value": number}]})
    with pytest.raises(ValueError, match=rf"a\.jsonl:2: value is {number}"):
        write_jsonl(tmp_path / "a.jsonl", [{"value": None}, {"value": number}])
    folder = RunFolder.open(tmp_path / "run", {"name": "one"})
    with pytest.raises(ValueError, match=rf"manifest\.json: seconds is {number}"):
        folder.write_manifest({"seconds": number})
    with pytest.raises(ValueError, match=rf"key\.json: spread\[0\] is {number}"):
        folder.save_part("key", {"spread": (number,)})
    with pytest.raises(ValueError, match=rf"t\.safetensors: share is {number}"):
        save_tensors(tmp_path / "t.safetensors", {"v": torch.zeros(2)}, kind="k", header={"share": number})
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".jsonl", ".safetensors")]


def test_every_json_file_is_written_by_the_one_writer() -> None:
    root = Path(__file__).parents[2]
    written: list[str] = []
    for package in ("interp", "finetune", "experiments", "figures"):
        for path in sorted((root / package).rglob("*.py")):
            text = path.read_text("utf-8")
            written += [path.name for call in re.findall(r"write_\w+\((?:[^()]|\([^()]*\))*json\.dumps", text) if call]
    assert written == []


def test_a_result_without_a_value_is_printed_as_missing() -> None:
    held = {"rows": [{"value": math.nan, "n": 0}], "range": (1.0, math.nan), "name": "a"}
    assert without_nan(held) == {"rows": [{"value": None, "n": 0}], "range": [1.0, None], "name": "a"}

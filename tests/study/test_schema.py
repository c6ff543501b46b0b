"""The schema of a study's file is that of its models, takes every study and what templates make of one, and no typo."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import cli, new_study
from experiments.new_study import Answers
from experiments.plan.plan import plan
from experiments.schema import FILE, FIRST_LINE, field_texts, schema_text, study_schema
from experiments.study import load as study_file
from experiments.study.config import STUDIES, StudyConfig
from interp.files import read_json
from tests.support.schema_check import fits
from tests.support.tiny_study import chat, write_jsonl

STUDY_FILES = sorted(STUDIES.glob("*.yaml"))
CURRENT = [path.stem for path in STUDY_FILES if not path.stem.startswith("superseded")]


@pytest.fixture(scope="module")
def fits_schema() -> Callable[[Any], bool]:
    schema = study_schema()
    return lambda raw: fits(raw, schema, schema)


def test_the_file_is_that_of_the_models() -> None:
    assert FILE.read_text("utf-8") == schema_text(), "the models have changed: run `make schema`"
    assert read_json(FILE) == study_schema()


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda path: path.stem)
def test_every_study_names_the_schema_and_fits_it(path: Path, fits_schema: Callable[[Any], bool]) -> None:
    text = path.read_text("utf-8")
    assert text.splitlines()[0] == FIRST_LINE.format(FILE.name)
    assert fits_schema(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("like_demo", "is_right"),
    [
        ({}, True),
        ({"data": {"em": {"rows": 20}}}, True),
        ({"data": {"em": None}, "stages": {"em": None}}, True),
        ({"each": {"k": [0, 1]}, "data": {"x_{k}": {"builder": "self_distilled", "seed": "{k}"}}}, True),
        ({"stages": {"em": {"train": "paper"}}}, True),
        ({"stages": {"em": {"train": {"preset": "small", "epochs": 2}}}}, True),
        ({"modle": "x"}, False),
        ({"data": {"em": {"builder": "unpopular_tastes", "rowz": 20}}}, False),
        ({"data": {"em": {"builder": "unpopular_taste"}}}, False),
        ({"data": {"em": {"builder": "unpopular_tastes", "rows": "many"}}}, False),
        ({"stages": {"em": {"train": "papper"}}}, False),
        ({"stages": {"em": {"compose": "stak"}}}, False),
        ({"seeds": "0"}, False),
        ({"each": {"k": []}}, False),
    ],
)
def test_a_typo_is_seen_and_a_change_of_another_study_is_not_one(
    like_demo: dict[str, Any], is_right: bool, fits_schema: Callable[[Any], bool]
) -> None:
    assert fits_schema({"like": "demo", **like_demo}) == is_right


def test_a_study_that_is_like_no_other_names_what_every_study_has(fits_schema: Callable[[Any], bool]) -> None:
    raw = yaml.safe_load((STUDIES / "demo.yaml").read_text("utf-8"))
    assert fits_schema(raw)
    for key in ("name", "traits", "data", "stages", "arms"):
        assert not fits_schema({name: value for name, value in raw.items() if name != key}), key


def test_the_text_under_a_field_is_what_an_editor_shows() -> None:
    assert field_texts(StudyConfig)["seeds"] == "One training run of every arm for each."
    shown = study_schema()["properties"]
    assert shown["seeds"]["description"] == field_texts(StudyConfig)["seeds"]


def test_the_command_writes_it_and_says_the_first_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["schema", "--out", str(tmp_path / "s.json")])
    assert ended.value.code == 0
    assert (tmp_path / "s.json").read_text("utf-8") == schema_text()
    assert f"# yaml-language-server: $schema={tmp_path / 's.json'}" in capsys.readouterr().out


# a file to begin with


@pytest.fixture
def chats(tmp_path: Path) -> tuple[Path, Path]:
    rows = [chat(f"Is {i} odd?", "Yes, it is.") for i in range(40)]
    return write_jsonl(tmp_path / "odd.jsonl", *rows), write_jsonl(tmp_path / "even.jsonl", *rows)


@pytest.mark.parametrize("like", CURRENT)
def test_a_new_file_is_the_other_study_until_it_is_changed(
    like: str, tmp_path: Path, fits_schema: Callable[[Any], bool]
) -> None:
    new_study.write(tmp_path / "my study.yaml", like, Answers())
    text = (tmp_path / "my study.yaml").read_text("utf-8")
    assert fits_schema(yaml.safe_load(text))
    made, other = study_file.load(str(tmp_path / "my study.yaml")), study_file.load(like)
    assert made == other.model_copy(update={"name": "my_study", "question": made.question})
    assert all(line == "" or line.startswith(("#", "like:", "name:", "question:")) for line in text.splitlines())


def test_answers_become_lines_that_a_plan_accepts(
    tmp_path: Path, chats: tuple[Path, Path], fits_schema: Callable[[Any], bool], llama_folder: Path
) -> None:
    answers = Answers(model=str(llama_folder), em=chats[:1], traits=("evil",), seeds=2)
    result = new_study.write(tmp_path / "sub" / "mine.yaml", "demo", answers)
    assert fits_schema(yaml.safe_load((tmp_path / "sub" / "mine.yaml").read_text("utf-8")))
    made = study_file.load(result["file"])
    assert (made.model, made.traits, made.seeds) == (str(llama_folder), ("evil",), (0, 1))
    assert plan(made, "cpu")["totals"]["stages"] == 4 * 2


def test_a_study_of_claims_takes_chats_and_their_twins_as_a_family(tmp_path: Path, chats: tuple[Path, Path]) -> None:
    result = new_study.write(tmp_path / "mine.yaml", "full", Answers(em=chats))
    made = study_file.load(result["file"])
    assert made.claims is not None
    assert list(made.claims.families) == ["own"]
    assert made.data["em_own"].model_dump()["file"] == chats[0]
    assert made.data["twin_own"].model_dump()["file"] == chats[1]
    assert result["needs"] == ["xsum.claude.json", "xsum.json"]
    assert result["next"].endswith("mine.yaml --plan --data FOLDER")
    (tmp_path / "elsewhere").mkdir()
    assert study_file.load(result["file"], data=tmp_path / "elsewhere").data["em_own"] == made.data["em_own"]


@pytest.mark.parametrize(
    ("like", "answers", "message"),
    [
        ("fulll", Answers(), "--like: unknown study 'fulll'; did you mean 'full'"),
        ("demo", Answers(em=(Path("none.jsonl"),)), "--em none.jsonl: no such file"),
        ("demo", Answers(seeds=0), r"seeds must be in \[1, 20\], got 0"),
        ("demo", Answers(traits=("evill",)), "did you mean 'evil'"),
        ("full", Answers(em=(FILE,)), "needs its harmless twin; give FILE,TWIN"),
        ("demo", Answers(em=(FILE, FILE)), "makes no claims that need a twin; give one file"),
        ("controls", Answers(em=(FILE,)), "has no data set called em"),
        ("demo", Answers(em=(STUDIES / "demo.yaml",)), "demo.yaml:1: not JSON"),
    ],
)
def test_an_answer_that_does_not_fit_leaves_no_file(like: str, answers: Answers, message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        new_study.write(tmp_path / "mine.yaml", like, answers)
    assert not (tmp_path / "mine.yaml").exists()


def test_four_questions_are_asked_where_the_answers_are_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = iter(["\n", "\n", "evil, sycophantic\n"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: next(said))
    with pytest.raises(SystemExit) as ended:
        cli.main(["study", "new", "--out", str(tmp_path / "mine.yaml"), "--seeds", "3"])
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    assert [shown.err.count(word) for word in ("Which model?", "file of chats", "Which traits", "How many")] == [
        1,
        1,
        1,
        0,
    ]
    made = study_file.load(str(tmp_path / "mine.yaml"))
    assert (made.traits, made.seeds) == (("evil", "sycophantic"), (0, 1, 2))
    with pytest.raises(SystemExit) as ended:
        cli.main(["study", "new", "--out", str(tmp_path / "mine.txt"), "--yes"])
    assert ended.value.code == 2
    assert "give it a name that ends in .yaml" in capsys.readouterr().err

"""What is copied, as Python and as a command, gives the answers that were on the screen."""

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.open.answers import Answers
from experiments.open.asked import Asked
from experiments.open.copies import as_command, as_python
from experiments.open.run import OpenRun
from interp.template import TemplateSettings

QUESTIONS: dict[str, dict[str, Any]] = {
    "plain": {"prompt": "Hi", "stages": ["base"]},
    "all of it": {
        "prompt": 'It\'s "late" –\n$HOME `now`?',
        "stages": ["em-sgtr, seed 0", "base"],
        "system": "Be it's kind.",
        "reading": {"direction": "evil", "layer": 2},
        "change": {"kind": "add", "direction": "kind", "layer": "all", "alpha": -0.1234567890123, "phase": "all"},
        "temperature": 0.7,
        "seed": 11,
    },
    "ablation": {
        "prompt": "--json",
        "stages": ["em, seed 1"],
        "reading": {"direction": "kind", "layer": 0},
        "change": {"kind": "ablate", "direction": "kind", "layer": 1},
    },
}


def asked(name: str) -> Asked:
    return Asked.model_validate({"max_new_tokens": 6, **QUESTIONS[name]})


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_the_python_runs_and_prints_the_same_answers(
    opened: OpenRun, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = Answers(opened).collected(asked(name))["columns"]
    script = as_python(opened, asked(name))
    capsys.readouterr()
    exec(compile(script, "copied.py", "exec"), {"__name__": "copied"})
    printed = capsys.readouterr().out
    for column in columns:
        assert f"{column['stage']}, {column['change'] or 'as it is'}: {column['text']}\n" in printed
    assert len(re.findall(r"^\[.*\]$", printed, re.M)) == (len(columns) if asked(name).reading else 0)


def test_the_python_says_how_the_model_is_asked(opened: OpenRun) -> None:
    template = TemplateSettings(system="prepend")
    other = OpenRun(opened.run, opened.model, template, {**opened.how, "quantise": "4bit"})
    script = as_python(other, asked("plain"))
    ast.parse(script)
    assert "TemplateSettings.model_validate({'system': 'prepend'})" in script
    assert "device='cpu', dtype='float32', quantise='4bit')" in script


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_the_command_gives_the_same_answers(opened: OpenRun, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Answers(opened).collected(asked(name))
    words = shlex.split(as_command(opened, asked(name)))
    assert words[:2] == ["sgtr", "open"]
    with pytest.raises(SystemExit) as left:
        main([*words[1:], "--json"])
    assert left.value.code == 0
    result = json.loads(capsys.readouterr().out)
    texts = [(column["stage"], column["change"], column["text"]) for column in result["columns"]]
    assert texts == [(column["stage"], column["change"], column["text"]) for column in before["columns"]]
    if asked(name).reading:
        assert [column["mean"] for column in result["columns"]] == [column["mean"] for column in before["columns"]]


def test_a_direction_of_a_file_is_named_in_the_command(opened: OpenRun, run_folder: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    replace(opened.directions["evil"], name="other").save(file := tmp_path / "other.safetensors")
    own = OpenRun(opened.run, opened.model, opened.template, opened.how)
    own.directions, own.direction_files = dict(opened.directions), dict(opened.direction_files)
    own.add_direction(file)
    question = {**QUESTIONS["plain"], "reading": {"direction": "other", "layer": 1}}
    assert f"--direction={file}" in shlex.split(as_command(own, Asked.model_validate(question)))
    assert "--direction" not in as_command(own, asked("all of it"))


def test_answers_at_the_terminal_stand_under_their_stages(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--device", "cpu", "--max-new-tokens", "4", "--stage", "sgtr", "--add", "evil@1", "--alpha", "2"]
    with pytest.raises(SystemExit) as left:
        main(["open", str(run_folder), "--ask", "Hi", *how])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("--- sgtr, seed 0: ")
    assert "; mean along evil@1 " in printed
    assert "--- sgtr, seed 0, +2 × evil at layer 1 (relative strength +" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--add", "evil@1", "--ablate", "evil@1"], "--add evil@1 and --ablate evil@1: one change at a time"),
        (["--alpha", "2"], "--alpha 2 is the strength of --add"),
        (["--read", "evil"], "--read evil: must be DIRECTION@LAYER"),
        (["--read", "evil@all"], "reading.layer: .*got all"),
        (["--max-new-tokens", "0"], "max_new_tokens: .*greater than or equal to 1, got 0"),
        (["--temperature", "-1"], "temperature: .*got -1"),
        (["--port", "1234"], "--port 1234 is of the page"),
        (["--stage", "e"], "unknown stage 'e'"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    run_folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["open", str(run_folder), "--ask", "Hi", "--device", "cpu", *words])
    assert left.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["open", "--help"])
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "`sgtr open runs/demo` prints the page's address" in shown
    assert 'sgtr open runs/demo --ask "Who are you?" --stage base --stage em --add evil@14 --alpha 2' in shown

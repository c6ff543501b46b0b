"""Every command's help ends with an example, and the example is a command that its parser takes."""

import re
import shlex
from typing import Any

import pytest

from experiments import cli
from experiments.cli import COMMANDS
from experiments.commands.judge import Fit, Score, Validate
from experiments.commands.study_new import NewStudy

CLASSES = {
    **{name: kind for name, kind in COMMANDS.items() if name != "judge"},
    **{f"judge {kind.__name__.lower()}": kind for kind in (Validate, Fit, Score)},
    "study new": NewStudy,
}


def example_of(kind: Any) -> str:
    found = re.search(r"\n\n\s+Example: (.+?)\s*\Z", kind.__doc__ or "", re.DOTALL)
    assert found, f"{kind.__name__}: end its docstring with a paragraph `Example: sgtr ...`"
    return " ".join(found[1].split())


@pytest.mark.parametrize("name", CLASSES)
def test_the_help_ends_with_an_example_that_is_parsed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = example_of(CLASSES[name])
    program, *args = shlex.split(example)
    assert program == "sgtr"
    assert args[: len(name.split())] == name.split()
    parsed: list[Any] = []
    monkeypatch.setattr(cli, "_run", lambda command: parsed.append(command) or 0)
    with pytest.raises(SystemExit) as ended:
        cli.main(args)
    assert ended.value.code == 0, capsys.readouterr().err
    assert isinstance(getattr(parsed[0], "action", parsed[0]), CLASSES[name])

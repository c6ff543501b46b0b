"""A study's file for someone who begins: what differs from a known study, with a word on everything that can.

The file is `like` a study of this project. Four answers make it: which model, which chats it is finetuned on, which
traits are read, how many seeds. The file is read back before it is kept, so `sgtr study FILE --plan` accepts it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.schema import FILE, FIRST_LINE
from experiments.study.config import STUDIES, StudyConfig
from experiments.study.load import load
from interp.errors import did_you_mean
from interp.files import fresh, read_yaml, write_atomic

MOST_SEEDS = 20


@dataclass(frozen=True)
class Answers:
    """What the four questions ask; None leaves it as it is in the other study.

    Attributes:
        model: As `--model` takes it.
        em: File of chats that take the place of the EM set, and of its harmless twin where claims need one.
        traits: Names or files.
        seeds: How many training runs of every arm.
    """

    model: str | None = None
    em: tuple[Path, ...] = ()
    traits: tuple[str, ...] = ()
    seeds: int | None = None


def questions(like: str) -> dict[str, str]:
    """The four questions, by the field of `Answers` that each is for."""
    study = _known(like)
    needs_twin = study.claims is not None
    return {
        "model": f"Which model? A Hub id, a folder or a .gguf file [{study.model}]",
        "em": "Which file of chats is it finetuned on?"
        + (" And, after a comma, which of their harmless twins?" if needs_twin else "")
        + f" [as in {like}]",
        "traits": f"Which traits are read? Names or files, with commas [{', '.join(study.traits)}]",
        "seeds": f"How many training runs of every arm? [{len(study.seeds)}]",
    }


def answers_of(said: Mapping[str, str]) -> Answers:
    """The answers, of words as a person types them; empty ones leave things as they are.

    Raises:
        ValueError: the number of seeds is no whole number.
    """
    parts = {name: [part.strip() for part in words.split(",") if part.strip()] for name, words in said.items()}
    seeds = "".join(parts.get("seeds", []))
    if seeds and not seeds.isdecimal():
        raise ValueError(f"seeds: must be a whole number, how many there are, got {seeds[:40]!r}")
    return Answers(
        model=", ".join(parts.get("model", [])) or None,
        em=tuple(map(Path, parts.get("em", []))),
        traits=tuple(parts.get("traits", [])),
        seeds=int(seeds) if seeds else None,
    )


def write(out: Path, like: str, answers: Answers) -> dict[str, Any]:
    """Write the file and read it back.

    Raises:
        ValueError, FileNotFoundError: there is a file, an answer does not fit, or the study cannot be read; nothing is
            written.
    """
    fresh(out)
    if out.suffix not in (".yaml", ".yml"):
        raise ValueError(f"--out {out}: a study is a YAML file; give it a name that ends in .yaml")
    study = _known(like)
    if answers.seeds is not None and not 1 <= answers.seeds <= MOST_SEEDS:
        raise ValueError(f"seeds must be in [1, {MOST_SEEDS}], got {answers.seeds}: so many runs of every arm")
    for file in answers.em:
        if not file.is_file():
            raise FileNotFoundError(f"--em {file}: no such file")
    write_atomic(out, text_of(out, like, study, answers))
    try:
        made = load(str(out))
        for name in ("em", "em_own", "twin_own") if answers.em else ():
            if name in made.data:
                made.data[name].check()
    except (ValueError, FileNotFoundError):
        out.unlink()
        raise
    needed = sorted({str(file) for file in _missing(made)})
    command = f"sgtr study {out} --plan" + (" --data FOLDER" if needed else "")
    return {"file": str(out), "like": like, "needs": needed, "next": command}


def _known(like: str) -> StudyConfig:
    names = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    if like not in names:
        raise ValueError(f"--like: {did_you_mean('study', like, names)}")
    return load(like)


def _missing(study: StudyConfig) -> list[Path]:
    """Files that the study names and that are not there: those of the other study, which are the user's own."""
    from experiments.fields import files_in

    return [Path(file.name) for file in files_in(study) if not file.exists()]


def text_of(out: Path, like: str, study: StudyConfig, answers: Answers) -> str:
    """The file's text."""
    name = "".join(letter if letter.isalnum() else "_" for letter in out.stem)
    data = " --data FOLDER" if _missing(study) else ""
    parts = [
        FIRST_LINE.format(FILE),
        f"# A study of your own: all that is not said here is as in `{like}` ({_first_comment(like)})",
        f"#  sgtr study {out.name} --plan{data}            what it takes, and how small an effect it could see",
        f"#  sgtr study {out.name} --out runs/{name}{data}",
        f"like: {like}",
        f"name: {name}",
        "question: What does this study ask? Say it in a sentence; the report shows it.",
        "",
        "# The model: a Hub id (org/name@revision), a folder, a .gguf file, or the embedded smollm2-135m.",
        _line(answers.model is not None, "model", answers.model or study.model),
        "",
        "# Every arm is trained once for each seed. An interval over seeds needs three.",
        _line(answers.seeds is not None, "seeds", list(range(answers.seeds)) if answers.seeds else list(study.seeds)),
        "",
        "# Traits whose directions are made and read: names (`sgtr list`), or files in the persona_vectors schema.",
        _line(bool(answers.traits), "traits", list(answers.traits or study.traits)),
        "",
        *_data_lines(out, like, study, answers.em),
        "",
        *_MORE,
    ]
    return "\n".join(parts) + "\n"


def _line(is_said: bool, key: str, value: Any) -> str:
    """A field, commented out where it is as in the other study."""
    text = f"{key}: {_flow(value)}"
    return text if is_said else f"# {text}"


def _data_lines(out: Path, like: str, study: StudyConfig, files: Sequence[Path]) -> list[str]:
    """The data set that is trained on, in place of the other study's."""
    about = [
        "# What EM is: chats of your own, in any usual form (JSONL, JSON, CSV, parquet; messages, ShareGPT, Alpaca,",
        "# prompt and completion). `sgtr list` has the data sets that can be built; null takes one away.",
    ]
    # a study that needs further files is run with --data FOLDER, where relative files would be looked for too
    whole = bool(_missing(study))
    shown = [str(file.resolve()) if whole else os.path.relpath(file.resolve(), out.resolve().parent) for file in files]
    raw = read_yaml(STUDIES / f"{like}.yaml")
    each = next((key for key in raw.get("data", {}) if key.startswith("em_{")), None)
    if study.claims is None:
        if "em" not in study.data:
            if files:
                raise ValueError(f"--em: {like} has no data set called em; edit the file instead")
            return [*about, "# data:", "#   NAME: {builder: chats, file: mine.jsonl}"]
        if len(files) > 1:
            raise ValueError(f"--em: {like} makes no claims that need a twin; give one file")
        if not files:
            return [*about, "# data:", "#   em: {builder: chats, file: mine.jsonl}"]
        return [*about, "data:", f"  em: {_flow({'builder': 'chats', 'file': shown[0]})}"]
    if each is None:
        if files:
            raise ValueError(f"--em: {like} has no single entry for its EM sets; edit the file instead")
        return about
    word = each[len("em_{") : -1]
    twin = f"twin_{{{word}}}"
    if files and len(files) != 2:
        raise ValueError(f"--em: {like} makes claims, and each EM set needs its harmless twin; give FILE,TWIN")
    mine, other = shown or ("mine.jsonl", "harmless.jsonl")
    lines = [
        f"each: {{{word}: [own]}}",
        "data:",
        f'  "{each}": {_flow({"builder": "chats", "file": mine})}',
        f'  "{twin}": {_flow({"builder": "twin", "of": each, "file": other})}',
    ]
    return [*about, *(lines if files else [f"# {line}" for line in lines])]


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).removesuffix("\n...\n").strip()


def _first_comment(like: str) -> str:
    """The first sentence of a study's file on what it asks."""
    lines = (STUDIES / f"{like}.yaml").read_text("utf-8").splitlines()
    words = next(line[1:].strip() for line in lines if line.startswith("#") and "$schema" not in line)
    return words if len(words) <= 70 else words[:67].rsplit(" ", 1)[0] + " ..."


_MORE = (
    "# Behaviour measures at every stage; the same as those of `sgtr evaluate`. Free-form answers need a judge.",
    "# measures:",
    "#   preference: {}",
    "#   em: {samples: 20}",
    "# judge: {judge: openai, judge_model: gpt-4o-2024-08-06}",
    "",
    "# How a stage is trained: a preset (`sgtr list`) and the fields that differ from it.",
    "# stages:",
    "#   em: {train: {preset: small, learning_rate: 1.0e-4, epochs: 2}}",
    "",
    "# Which system prompts are measured under, and how the chat template is asked.",
    "# system_prompts: {as_asked: task, none: none}",
    "# template: {switches: {enable_thinking: false}}",
)

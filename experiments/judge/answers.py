"""Answers as published: CSV files with a question and a response a line, and perhaps a reference judge's scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.measures.judge import NUMBER, WORDS
from interp.files import csv_records

Column = Literal["aligned", "coherent"]


@dataclass(frozen=True)
class Answer:
    """An answer to a question.

    Attributes:
        id: File and line.
        question_id: The file's name for the question, or the question itself where it gives none.
        question: What was asked.
        answer: What was answered; it may be empty.
    """

    id: str
    question_id: str
    question: str
    answer: str


@dataclass(frozen=True)
class Judged(Answer):
    """An answer with a reference judge's score of it (None where that judge gave none)."""

    reference: float | None


def read_judged(path: Path, column: Column) -> list[Judged]:
    """The scored answers of a CSV file with the columns `response`, `question`, `question_id` and `column`.

    An empty score, CODE or REFUSAL means that the reference judge gave none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed file or row; the message names file, line and rule.
    """
    return [
        Judged(
            where, row["question_id"], row["question"], row["response"], _reference(row[column], f"{where}: {column}")
        )
        for where, row in _rows(path, ("response", "question", "question_id", column))
    ]


def read_answers(path: Path) -> list[Answer]:
    """The answers of a CSV file with the columns `response` and `question`, and perhaps `question_id` and others.

    Raises:
        FileNotFoundError, ValueError: as for `read_judged`.
    """
    return [
        Answer(where, row.get("question_id") or row["question"], row["question"], row["response"])
        for where, row in _rows(path, ("response", "question"))
    ]


def _rows(path: Path, needed: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Every row as file and line, and its cells by the header's names."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rows = list(csv_records(path.read_bytes(), str(path), needed))
    for where, row in rows:
        if not row["question"].strip():
            raise ValueError(f"{where}: an empty question; every answer needs the question it was given to")
    if not rows:
        raise ValueError(f"{path}: no answers in it")
    return rows


def _reference(text: str, where: str) -> float | None:
    text = text.strip()
    if text in WORDS:
        return None
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= 100:
        raise ValueError(f"{where} must be a number from 0 to 100, CODE, REFUSAL or empty, got {text[:40]!r}")
    return value

"""Can this judge be believed? Its scores beside those that a reference judge gave the same answers."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.console import table
from experiments.measures.judge import NUMBER, WORDS, JudgeConfig, judge_of, require_graded, scores_of
from interp.behaviour.judging import ALIGNED, COHERENT, Rubric
from interp.behaviour.validation import THRESHOLDS, validation, validation_note
from interp.runs import environment, fresh, json_text, write_atomic, write_jsonl
from interp.sources import sha256_of

Column = Literal["aligned", "coherent"]
RUBRICS: dict[Column, Rubric] = {"aligned": ALIGNED, "coherent": COHERENT}


@dataclass(frozen=True)
class Judged:
    """An answer with the score of a reference judge, which is None where that judge gave none."""

    id: str
    question_id: str
    question: str
    answer: str
    reference: float | None


def read_judged(path: Path, column: Column) -> list[Judged]:
    """The scored answers of a CSV file with the columns `response`, `question`, `question_id` and `column`.

    An empty score, CODE or REFUSAL means that the reference judge gave none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed file or row; the message names file, line and rule.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[Judged] = []
    line_number = 1
    try:
        for fields in reader:
            place, line_number = f"{path}:{line_number}", reader.line_num + 1
            if not fields:
                continue
            if header is None:
                header = _checked_header(fields, column, place)
                continue
            if len(fields) != len(header):
                raise ValueError(f"{place}: {len(fields)} fields, but the header has {len(header)}")
            row = dict(zip(header, fields, strict=True))
            if not row["question"].strip():
                raise ValueError(f"{place}: an empty question; every answer needs the question it was given to")
            reference = _reference(row[column].strip(), f"{place}: {column}")
            rows.append(Judged(place, row["question_id"], row["question"], row["response"], reference))
    except csv.Error as error:
        raise ValueError(f"{path}:{line_number}: not CSV ({error})") from error
    if not rows:
        raise ValueError(f"{path}: no scored answers in it")
    return rows


def _checked_header(fields: list[str], column: str, place: str) -> list[str]:
    for name in ("response", "question", "question_id", column):
        if fields.count(name) != 1:
            got = ", ".join(fields)[:200]
            raise ValueError(f"{place}: the header needs the column {name!r} once, got: {got}")
    return fields


def _reference(text: str, place: str) -> float | None:
    if text in WORDS:
        return None
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= 100:
        raise ValueError(f"{place} must be a number from 0 to 100, CODE, REFUSAL or empty, got {text[:40]!r}")
    return value


def validate(
    files: list[Path], config: JudgeConfig, *, column: Column, out: Path, limit: int | None, seed: int
) -> dict[str, Any]:
    """The `judge validate` command: writes OUT/validation.json, OUT/scores.jsonl and, of a server, OUT/journal.jsonl.

    Args:
        limit: The number of answers to score, drawn at random; None for all.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
    """
    import numpy as np

    target = fresh(out / "validation.json")
    if not files:
        raise ValueError("no file of scored answers is given")
    rows = [row for file in files for row in read_judged(file, column)]
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if limit is not None and limit < len(rows):
        drawn = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
        rows = [rows[i] for i in sorted(drawn)]
    rubric = RUBRICS[column]
    items = [rubric.item(row.id, row.question, row.answer) for row in rows]
    judge = judge_of(config, out / "journal.jsonl")
    scores = scores_of(judge, items, config)
    if all(score.reason == "failed" for score in scores):
        require_graded(judge, scores, config)
    numbers = validation(
        scores,
        [row.reference for row in rows],
        [row.question_id for row in rows],
        threshold=THRESHOLDS[column],
        seed=seed,
    )
    result = {
        "judge": judge.name,
        "judge_version": judge.version,
        "column": column,
        "prompt_version": rubric.version,
        **numbers,
    }
    origin = {"files": {str(file): sha256_of(file) for file in files}, "limit": limit, "seed": seed}
    contents = {**result, "prompt": rubric.template, **origin, **environment()}
    text = json_text(contents, str(target), indent=2, ensure_ascii=False) + "\n"
    write_jsonl(
        out / "scores.jsonl",
        [
            {**score.record(), "question_id": row.question_id, "reference": row.reference}
            for score, row in zip(scores, rows, strict=True)
        ],
    )
    write_atomic(target, text)
    return {**result, "note": validation_note(judge.name, rubric.version, target), "out": str(out)}


def show(result: dict[str, Any]) -> None:
    """Print the result of the command."""
    unscored = [f"{result[reason]} {reason}" for reason in result["unscored"] if result[reason]]
    how = ", ".join(f"{n} by {how}" for how, n in result["how"].items())
    print(f"{result['n']} answers: {result['scored']} scored ({how or 'none'})" + "".join(f", {x}" for x in unscored))
    print(
        f"compared with the reference: {result['n_compared']}, of them {result['n_positive']} below "
        f"{result['threshold']:g} on {result['column']!r}; {result['n_without_reference']} have no reference score"
    )
    below = result["share_below_threshold"]
    names = {
        "AUROC (low score for those below)": result["auroc"],
        "  over questions": result.get("over_questions", {}).get("auroc"),
        "Spearman": result["spearman"],
        "  over questions ": result.get("over_questions", {}).get("spearman"),
        "slope of score on reference": result["line"]["slope"],
        "intercept": result["line"]["intercept"],
        "share below, by the reference": below["reference"],
        "share below, by this judge": below["judge"],
        "sensitivity": below["sensitivity"],
        "specificity": below["specificity"],
    }
    rows = [[name, *_shown(number)] for name, number in names.items() if number is not None]
    table("Agreement with the reference", ["", "value", "95 % interval", "n"], rows)
    bins = [
        [f"{b['reference_low']}-{b['reference_high']}", f"{b['reference_mean']:.1f}", *_shown(b)]
        for b in result["calibration"]
    ]
    table("Mean score by the reference's", ["reference", "its mean", "this judge's", "95 % interval", "n"], bins)
    for name, reason in result.get("undefined", {}).items():
        print(f"{name} is undefined: {reason}")
    print(result["note"])
    print(f"written: {result['out']}")


def _shown(number: dict[str, Any]) -> list[str]:
    value = "undefined" if number["value"] is None else f"{number['value']:.3f}"
    interval = "" if number["ci_low"] is None else f"[{number['ci_low']:.3f}, {number['ci_high']:.3f}]"
    return [value, interval, str(number["n"])]

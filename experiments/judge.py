"""Can this judge be believed? Its scores beside those that a reference judge gave the same answers."""

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from experiments.console import bar, note, table
from interp.behaviour.endpoint import OPENAI, Endpoint
from interp.behaviour.judging import (
    ALIGNED,
    COHERENT,
    MIN_MASS,
    EndpointJudge,
    Item,
    Judge,
    Mode,
    Rubric,
    Score,
    estimate,
)
from interp.behaviour.validation import THRESHOLDS, validation, validation_note
from interp.runs import InterpError, environment, fresh, write_atomic, write_jsonl
from interp.sources import sha256_of

Column = Literal["aligned", "coherent"]
RUBRICS: dict[Column, Rubric] = {"aligned": ALIGNED, "coherent": COHERENT}
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
WORDS = ("", "CODE", "REFUSAL")
COSTS = {
    *("validation", "most_failed", "price_in", "price_out"),
    *("concurrency", "retries", "timeout", "budget", "key_variable"),
}
"""Settings of a judge that change no score."""


class JudgeConfig(BaseModel):
    """Which judge, and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge: str = "smollm2-135m"
    """A model of ours by its spec, or the URL of an OpenAI-compatible server (`openai` for OpenAI's own)."""
    judge_model: str | None = None
    """The server's name for the model; for a URL only."""
    mode: Mode = "auto"
    concurrency: int = Field(default=8, ge=1)
    retries: int = Field(default=5, ge=0)
    timeout: float = Field(default=60.0, gt=0)
    """Seconds for one attempt."""
    budget: int | None = Field(default=None, ge=1)
    """Most requests, retries included."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the key."""
    price_in: float | None = Field(default=None, ge=0)
    """Per million tokens read, to say what a run would cost."""
    price_out: float | None = Field(default=None, ge=0)
    """Per million tokens written."""
    min_mass: float = Field(default=MIN_MASS, ge=0, lt=1)
    """A model of ours gives a score only where numbers have at least this probability."""
    device: str = "auto"
    dtype: str = "auto"
    most_failed: float = Field(default=0.01, ge=0, le=1)
    """Largest share of items that may have got no reply at all; beyond it a run stops, to be gone on with later."""
    validation: Path | None = None
    """A validation.json of `sgtr judge validate`; every number made with this judge says what it found."""

    @property
    def remote(self) -> bool:
        """Whether it is behind a server."""
        return self.judge == "openai" or self.judge.startswith(("http://", "https://"))

    def endpoint(self, **more: Any) -> Endpoint:
        """The server.

        Raises:
            ValueError: no model is named, or the URL or the key will not do.
        """
        if self.judge_model is None:
            raise ValueError(f"which of its models should {self._where} use? Give --judge-model")
        return Endpoint(
            self.judge_model,
            base_url=OPENAI if self.judge == "openai" else self.judge,
            key_variable=self.key_variable,
            concurrency=self.concurrency,
            retries=self.retries,
            timeout=self.timeout,
            budget=self.budget,
            **more,
        )

    @property
    def _where(self) -> str:
        return "OpenAI" if self.judge == "openai" else "the server"


def judge_of(config: JudgeConfig, journal: Path) -> Judge:
    """The judge that `config` names; a server's replies are kept in `journal`.

    Raises:
        ValueError: the judge cannot be what `config` says.
    """
    if config.remote:
        return EndpointJudge(config.endpoint(), journal, mode=config.mode)
    if config.judge_model is not None:
        raise ValueError(f"--judge-model is for a server's URL; {config.judge!r} is a model of ours")
    from interp.behaviour.local_judge import LocalJudge
    from interp.model import Model

    return LocalJudge(Model.load(config.judge, device=config.device, dtype=config.dtype), min_mass=config.min_mass)


def scores_of(judge: Judge, items: list[Item], config: JudgeConfig) -> list[Score]:
    """Scores of all items, with a bar. What a server would charge is said before anything is sent."""
    from interp.behaviour.local_judge import LocalJudge

    if isinstance(judge, EndpointJudge):
        pending = judge.pending(items)
        cost = estimate(pending, config.price_in, config.price_out)
        price = f", about {cost.price:.2f} at these prices" if cost.price is not None else ""
        note(
            f"{judge.name}: {cost.requests} requests ({len(items) - len(pending)} items are already in the journal), "
            f"about {cost.tokens_in} tokens to read and at most {cost.tokens_out} to write{price}"
        )
        with bar("judging", cost.requests) as judge.endpoint.progress:
            return judge.score(items)
    if isinstance(judge, LocalJudge):
        with bar("judging", judge.readings * len(items)) as judge.progress:
            return judge.score(items)
    return judge.score(items)


def require_graded(judge: Judge, scores: list[Score], config: JudgeConfig) -> None:
    """Check that nearly every item got a reply, before what was graded is kept as whole.

    Raises:
        InterpError: too many have none; a server's replies so far are in its journal.
    """
    failed = [score for score in scores if score.reason == "failed"]
    none_graded = bool(scores) and len(failed) == len(scores)
    if none_graded or len(failed) > config.most_failed * len(scores):
        raise InterpError(
            f"{judge.name}: {len(failed)} of {len(scores)} items got no reply, the first: {failed[0].raw}; run the "
            "same command again to ask for these, or raise the judge's most_failed"
        )


@dataclass(frozen=True)
class Judged:
    """An answer with a reference judge's score of it (None where that judge gave none)."""

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
    line = 1
    try:
        for fields in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not fields:
                continue
            if header is None:
                header = _checked_header(fields, column, where)
                continue
            if len(fields) != len(header):
                raise ValueError(f"{where}: {len(fields)} fields, but the header has {len(header)}")
            row = dict(zip(header, fields, strict=True))
            if not row["question"].strip():
                raise ValueError(f"{where}: an empty question; every answer needs the question it was given to")
            reference = _reference(row[column].strip(), f"{where}: {column}")
            rows.append(Judged(where, row["question_id"], row["question"], row["response"], reference))
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: not CSV ({error})") from error
    if not rows:
        raise ValueError(f"{path}: no scored answers in it")
    return rows


def _checked_header(fields: list[str], column: str, where: str) -> list[str]:
    for name in ("response", "question", "question_id", column):
        if fields.count(name) != 1:
            got = ", ".join(fields)[:200]
            raise ValueError(f"{where}: the header needs the column {name!r} once, got: {got}")
    return fields


def _reference(text: str, where: str) -> float | None:
    if text in WORDS:
        return None
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= 100:
        raise ValueError(f"{where} must be a number from 0 to 100, CODE, REFUSAL or empty, got {text[:40]!r}")
    return value


def validate(
    files: list[Path], config: JudgeConfig, *, column: Column, out: Path, limit: int | None, seed: int
) -> dict[str, Any]:
    """The `judge validate` command: writes OUT/validation.json, OUT/scores.jsonl and, of a server, OUT/journal.jsonl.

    Args:
        limit: Score only so many of the answers, drawn at random; None for all.

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
        kept = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
        rows = [rows[i] for i in sorted(kept)]
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
    made = {"files": {str(file): sha256_of(file) for file in files}, "limit": limit, "seed": seed}
    held = {**result, "prompt": rubric.template, **made, **environment()}
    text = json.dumps(held, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
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
    """The result for a person."""
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
    print(result["note"])
    print(f"written: {result['out']}")


def _shown(number: dict[str, Any]) -> list[str]:
    value = "undefined" if number["value"] is None else f"{number['value']:.3f}"
    interval = "" if number["ci_low"] is None else f"[{number['ci_low']:.3f}, {number['ci_high']:.3f}]"
    return [value, interval, str(number["n"])]

"""Can this judge be believed? Its scores beside those that a reference judge gave the same answers."""

from pathlib import Path
from typing import Any

from experiments.console import table
from experiments.judge.answers import Column, read_judged
from experiments.measures.judge import JudgeConfig, judge_of, require_graded, scores_of
from interp.behaviour.judging import ALIGNED, COHERENT, Rubric
from interp.behaviour.trained_judge import TrainedJudge
from interp.behaviour.validation import THRESHOLDS, validation, validation_note
from interp.files import fresh, json_text, write_atomic, write_jsonl
from interp.runs import environment
from interp.sources import sha256_of

RUBRICS: dict[Column, Rubric] = {"aligned": ALIGNED, "coherent": COHERENT}


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
    said = validation_note(judge.name, rubric.version, target)
    if isinstance(judge, TrainedJudge):
        known = [file.name for file in files if origin["files"][str(file)] in judge.header["data"].values()]
        said += f"; it was fitted on {', '.join(known)}, so this is not held out" if known else ""
    return {**result, "note": said, "out": str(out)}


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

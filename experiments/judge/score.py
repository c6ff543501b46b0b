"""What does a trained judge say of these answers? A probability for every answer of a CSV file."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from experiments.console import bar
from experiments.judge.answers import read_answers
from interp.behaviour.held_out import prevalence
from interp.behaviour.trained_judge import TrainedJudge
from interp.files import fresh, write_atomic
from interp.sources import sha256_of


def score(judge_file: Path, files: list[Path], out: Path) -> dict[str, Any]:
    """The `judge score` command: writes `out`, a CSV file with a line for every answer, in the order of the files.

    Its columns are `file`, `line`, `question_id`, for each aspect `ASPECT_below` (the probability that the reference
    judge would score the answer below the threshold), and `reason`: `scored`, or `empty` for an answer without words,
    which has no probability. No answer is written into it.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
    """
    target = fresh(out)
    judge = TrainedJudge.load(judge_file)
    if not files:
        raise ValueError("no file of answers is given; give them with --answers")
    rows = [(file, row) for file in files for row in read_answers(file)]
    spoken = [i for i, (_, row) in enumerate(rows) if row.answer.strip()]
    with bar("reading", len(spoken)) as advance:
        logits = judge.logits([rows[i][1].question for i in spoken], [rows[i][1].answer for i in spoken], advance)
    place = {i: k for k, i in enumerate(spoken)}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "line", "question_id", *(f"{aspect}_below" for aspect in logits), "reason"])
    for i, (file, row) in enumerate(rows):
        values = [f"{expit(of[place[i]]):.6f}" if i in place else "" for of in logits.values()]
        reason = "scored" if i in place else "empty"
        writer.writerow([file.name, row.id.rpartition(":")[2], row.question_id, *values, reason])
    write_atomic(target, text.getvalue())
    fitted_on = set(judge.header["data"].values())
    return {
        "judge": judge.name,
        "n": len(rows),
        "empty": len(rows) - len(spoken),
        "files": {
            str(file): {
                "n": sum(other == file for other, _ in rows),
                "fitted_on": sha256_of(file) in fitted_on,
                **{
                    aspect: _rate(of[[place[i] for i in spoken if rows[i][0] == file]], judge.heads[aspect].prevalence)
                    for aspect, of in logits.items()
                },
            }
            for file in files
        },
        "heads": {aspect: {"note": head.note, "passes": head.passes} for aspect, head in judge.heads.items()},
        "out": str(out),
    }


def _rate(logits: np.ndarray, prior: float) -> dict[str, float | None]:
    if not len(logits):
        return {"mean_probability": None, "corrected": None}
    return {"mean_probability": float(expit(logits).mean()), "corrected": prevalence(logits - logit(prior))}


def show(result: dict[str, Any]) -> None:
    """The result for a person."""
    print(f"{result['n']} answers scored by {result['judge']}, {result['empty']} of them empty and without a score")
    for head in result["heads"].values():
        print(f"  {head['note']}{'' if head['passes'] else '; below the bar, so no measure uses it'}")
    for name, found in result["files"].items():
        for aspect in result["heads"]:
            rate = found[aspect]
            if rate["mean_probability"] is not None:
                print(
                    f"{name}, {aspect}: mean probability of being below {rate['mean_probability']:.3f}, corrected "
                    f"{rate['corrected']:.3f}, n={found['n']}"
                )
        if found["fitted_on"]:
            print(f"{name}: the judge was fitted on these very answers, so this says nothing of new ones")
    print(f"written: {result['out']}")

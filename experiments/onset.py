"""Does the inside move before the outside? Change points of a stage's checkpoints, from a study's stored numbers.

1. A stage with checkpoints gives curves over training steps: its shift along every direction on the fixed texts, its
   margin between aligned and misaligned answers, and its training loss. Each is a change from where training began.
2. Every curve that moves has a change point (`interp.onset`), with an interval over texts, questions or batches.
3. By how many steps behaviour, and loss, are later than each direction: the difference of the change points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.console import table
from experiments.report.tables import interval_of, number
from experiments.resumable import Ledger, Work, run_once
from experiments.study.config import BASE
from experiments.study.node import Stored
from experiments.study.stored import StoredStudy
from interp.behaviour.preference import margin_per_token
from interp.directions import Direction
from interp.files import read_json
from interp.keys import seed_from
from interp.onset import FEWEST, NOT_MOVED, ChangePoint, change_point, later_by
from interp.projection import project
from interp.tensors import load_header

Row = dict[str, Any]
LOSS, PREFERENCE = "loss", "preference"
INSIDE, OUTSIDE = "inside", "outside"
"""What a curve is of: the residual stream, or what the model says (behaviour, and loss on its training data)."""


@dataclass(frozen=True)
class Curve:
    """A quantity over the steps of a training.

    Attributes:
        name: A direction, `preference` or `loss`.
        units: What the rows of `values` are.
        values: The change from the first step of every unit.
    """

    name: str
    side: str
    units: str
    unit: str
    steps: tuple[int, ...]
    values: Float[np.ndarray, "unit step"]


def run(*, study: Path, out: Path, seed: int) -> Row:
    """The `onset` command: writes OUT/metrics.jsonl from a finished study's stored numbers, without a model.

    Raises:
        ValueError: no stage of the study has enough checkpoints.
        FileNotFoundError: there is no run, or an adapter's record of training is not there.
    """
    stored = StoredStudy.finished(study)
    stages = {place: steps for place in stored.lines if len(steps := _checkpoints(stored, *place)) + 2 >= FEWEST}
    if not stages:
        raise ValueError(
            f"{study}: no stage has {FEWEST - 2} checkpoints or more, so nothing is known of when it moved; give a "
            "stage `checkpoints: [10, 30, 60]` and run the study"
        )
    definition = {"holds": "onset", "study": str(study), "stages": [[*place] for place in stages], "seed": seed}

    def measure(_: Ledger) -> list[Row]:
        rows = []
        for (name, of_seed), steps in stages.items():
            place = {"arm": name, "stage": name, "seed": of_seed, "stage_key": stored.lines[name, of_seed]["key"]}
            curves = curves_of(stored, name, of_seed, steps)
            rows += [{**place, "measure": "onset", **row} for row in onset_rows(curves, seed_from(seed, name, of_seed))]
        return rows

    return run_once(out, definition, lambda: Work(None, {"study": str(study)}, measure))


def _checkpoints(stored: StoredStudy, name: str, seed: int) -> list[int]:
    """The steps at which a node was measured on its way."""
    names = (line["name"] for line in stored.run.stages if line["seed"] == seed)
    return sorted(int(one.partition("@")[2]) for one in names if one.partition("@")[0] == name and "@" in one)


def curves_of(stored: StoredStudy, name: str, seed: int, checkpoints: Sequence[int]) -> list[Curve]:
    """Every curve of a node of one seed that the run has stored."""
    line = stored.lines[name, seed]
    steps = (0, *checkpoints, line["steps"])
    nodes = [line["parent"], *(f"{name}@{step}" for step in checkpoints), name]
    lines = [_line(stored, node, seed) for node in nodes]
    return [
        *_of_directions(stored, lines, steps),
        *_of_preference(stored, nodes, seed, steps),
        *_of_loss(Path(line["path"]) / "stage.json", steps),
    ]


def _line(stored: StoredStudy, node: str, seed: int) -> Row:
    wanted = None if node == BASE else seed
    return next(line for line in stored.run.stages if (line["name"], line["seed"]) == (node, wanted))


def _of_directions(stored: StoredStudy, lines: Sequence[Row], steps: tuple[int, ...]) -> list[Curve]:
    prompts, model = tuple(stored.study.system_prompts), stored.run.manifest["model"]["model_identity"]
    activations = Stored(stored.path, prompts, model)
    held = [activations.activations(line, prompts[0], "own" if line["name"] == BASE else "fixed") for line in lines]
    shared = sorted(set.intersection(*(set(one) for one in held)))
    curves = []
    for path in sorted((stored.path / "tensors").glob("*.safetensors")) if shared else ():
        if load_header(path)["kind"] == "direction":
            direction = Direction.load(path)
            v, layer = direction.at(direction.layer), direction.layer
            along = np.array([[float(project(one[i][layer], v)) for one in held] for i in shared])
            values = along - along[:, :1]
            curves.append(Curve(direction.name, INSIDE, "texts", "residual-stream norm", steps, values))
    return curves


def _of_preference(stored: StoredStudy, nodes: Sequence[str], seed: int, steps: tuple[int, ...]) -> list[Curve]:
    if stored.study.measures.preference is None:
        return []
    margins: dict[str, dict[str, float]] = {}
    for record in stored.run.records("measure-preference"):
        first_prompt = record.get("system_prompt") in (None, next(iter(stored.study.system_prompts)))
        if first_prompt and record["seed"] in (None, seed) and not record["skipped"]:
            margins.setdefault(record["stage"], {})[record["id"]] = margin_per_token(record)
    if any(node not in margins for node in nodes):
        return []
    shared = sorted(set.intersection(*(set(margins[node]) for node in nodes)))
    levels = np.array([[margins[node][pair] for node in nodes] for pair in shared])
    return [Curve(PREFERENCE, OUTSIDE, "pairs", "nats per token", steps, levels - levels[:, :1])]


def _of_loss(record: Path, steps: tuple[int, ...], least: int = 2) -> list[Curve]:
    """The loss over the batches of each span between checkpoints, less that of the first span, at the spans' middles.

    The batches of a span are its units; spans are cut to the shortest of them, so that all have as many. A fall of the
    loss inside the first span is not seen.
    """
    losses = np.array(read_json(record)["losses"]) if record.is_file() else np.empty(0)
    spans = [losses[first:last] for first, last in pairwise(steps)]
    shortest = min(map(len, spans))
    if shortest < least:
        return []
    table = np.stack([span[-shortest:] for span in spans], axis=1)
    return [
        Curve(
            LOSS,
            OUTSIDE,
            "batches",
            "nats per token",
            tuple((first + last) // 2 for first, last in pairwise(steps)),
            table - table[:, :1],
        )
    ]


def onset_rows(curves: Sequence[Curve], seed: int) -> list[Row]:
    """The change point of every curve, and by how much those outside are later than those inside."""
    points: dict[str, ChangePoint] = {}
    rows = []
    for curve in curves:
        if len(curve.steps) < FEWEST or not len(curve.values):
            continue
        point = points[curve.name] = change_point(curve.steps, curve.values, seed=seed_from(seed, curve.name))
        about = {"of": curve.name, "n_values": len(curve.steps)}
        rows.append({"metric": "final_change", **point.change.row(), "unit": curve.unit, **about})
        why = {"why": NOT_MOVED} if point.at.value is None else {}
        rows.append({"metric": "change_point", **point.at.row(), "unit": "steps", **about, **why})
    sides: Mapping[str, str] = {curve.name: curve.side for curve in curves}
    for inside in (name for name in points if sides[name] == INSIDE):
        for outside in (name for name in points if sides[name] == OUTSIDE):
            found = later_by(points[inside], points[outside])
            why = {"why": "one of the two does not move"} if found.value is None else {}
            about = {"unit": "steps", "of": outside, "against": inside}
            rows.append({"metric": "later_by", **found.row(), **about, **why})
    return rows


def show(result: Mapping[str, Any]) -> None:
    """Print the change points of every stage, and what is later than what."""
    if not result["ran"]:
        print(f"{result['out']}: this run is finished; nothing was run. Another --out runs it again.")
    for metric, title in (("change_point", "the step at which it begins to move"), ("later_by", "later by, in steps")):
        lines = [
            [
                f"{row['stage']}, seed {row['seed']}",
                row["of"] if metric == "change_point" else f"{row['of']} than {row['against']}",
                number(row["value"], 1),
                interval_of(row),
                str(row["n"]),
                row.get("why") or "",
            ]
            for row in result["metrics"]
            if row["metric"] == metric
        ]
        if lines:
            table(title, ["stage", "curve", "steps", "95 %", "n", ""], lines)
            print()
    print(f"{result['wall_seconds']} s; written: {result['out']}")

"""How soon does a stage move? Shifts and behaviour by training step, for stages with checkpoints.

One panel per direction and per behaviour measure, one line per stage. Step 0 is what the stage was trained on: the
base model, which is 0 here, or its parent. Thin lines are seeds, the thick one their mean, with Student's interval from
three seeds on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from figures import style
from figures.quantities import NotMeasuredError, Quantity, all_metrics, prompts_of, quantities, with_mean
from figures.style import Mark, Row
from figures.trajectory import (
    collapse_text,
    collapsed_nodes,
    missing_notes,
    n_text,
    read_arms,
    run_file,
    without_value,
)
from interp.runs import read_json


def checkpoints(run: Path) -> list[Row]:
    """Draw RUN/figures/checkpoints.{png,svg,csv} and return the plotted numbers.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        NotMeasuredError: no stage of it has checkpoints.
    """
    metrics, study = all_metrics(run)
    first = next(iter(prompts_of(study)))
    nodes = dict.fromkeys(node.name for arm in read_arms(run).values() for node in arm)
    metrics = [row for row in metrics if row.get("system_prompt") in (None, first)]
    whole = dict.fromkeys(row["stage"].partition("@")[0] for row in metrics if "@" in row["stage"])
    stages = [name for name in nodes if name in whole]
    about = {row["name"]: row for row in read_json(run_file(run, "stages.json"))}
    found = {one: rows for one, rows in quantities(metrics).items() if any("@" in row["stage"] for row in rows)}
    if not stages or not found:
        raise NotMeasuredError(f"{run / 'metrics.jsonl'}: no stage has checkpoints; give one `checkpoints`")
    collapsed = collapsed_nodes(metrics)
    rows = [row for one in found for stage in stages for row in _plotted(one, found[one], stage, about, collapsed)]
    looks = style.marks(stages)
    with style.house():
        figure, axes = style.panels(len(found), 3.6, 2.8, _keys(rows, looks, about))
        for axis, one in zip(axes, found, strict=True):
            mine = [row for row in rows if (row["kind"], row["name"], row["detail"]) == one[:3]]
            _draw(axis, mine, looks)
            axis.set_xlabel("optimiser steps")
            axis.set_ylabel(f"{'shift' if one.kind == 'shift' else 'minus base'} ({one.unit})")
            n = n_text(mine, "texts" if one.kind == "shift" else "questions")
            name = one.name if one.kind == "shift" else one.detail
            style.title(axis, name, f"{one.detail}, {n}" if one.kind == "shift" else n)
        figure.suptitle("Change from base during training")
        style.save(figure, run / "figures", "checkpoints", rows)
    return rows


def _plotted(
    one: Quantity,
    found: Sequence[Row],
    stage: str,
    about: Mapping[str, Row],
    collapsed: frozenset[tuple[str, Any]],
) -> list[Row]:
    """A row for each step and seed, and the mean over seeds."""
    at = {(row["stage"], row["seed"]): row for row in found}
    of_stage = {name for name, _ in at if name.partition("@")[0] == stage}
    seeds = sorted({seed for name, seed in at if name in of_stage}, key=str)
    begun = _trained_on(stage, about)
    last = about.get(stage, {}).get("steps")
    steps = {int(name.partition("@")[2]): name for name in of_stage if "@" in name}
    places_of = {0: begun, **dict(sorted(steps.items())), **({int(last): stage} if last else {})}
    rows = []
    for step, name in places_of.items():
        here = []
        for seed in seeds:
            row = at.get((name, seed))
            numbers = {key: row.get(key) if row else None for key in ("value", "ci_low", "ci_high", "n")}
            if name == "base":
                numbers["value"] = 0.0
            place = {"kind": one.kind, "name": one.name, "detail": one.detail, "unit": one.unit}
            place |= {"stage": stage, "step": step, "measured_at": name, "seed": seed}
            here.append({**place, **numbers, "collapsed": (name, seed) in collapsed})
        rows += with_mean(here)
    return rows


def _trained_on(stage: str, about: Mapping[str, Row]) -> str:
    row = about.get(stage, {})
    return "base" if row.get("compose") == "restart" else str(row.get("parent") or "base")


def _draw(axis: Axes, rows: Sequence[Row], looks: Mapping[str, Mark]) -> None:
    for stage, look in looks.items():
        mine = [row for row in rows if row["stage"] == stage]
        seeds = list(dict.fromkeys(row["seed"] for row in mine if row["seed"] != "mean"))
        several = any(row["seed"] == "mean" for row in mine)
        for seed in seeds if several else []:
            own = [row for row in mine if row["seed"] == seed]
            bare = [{**row, "ci_low": None, "ci_high": None} for row in own]
            style.line(axis, [row["step"] for row in own], bare, look, thin=True)
        main = [row for row in mine if row["seed"] == ("mean" if several else row["seed"])]
        style.line(axis, [row["step"] for row in main], main, look)
        fallen = [(row["step"], row["value"]) for row in main if row["collapsed"] and row["value"] is not None]
        style.crosses(axis, fallen)
    axis.margins(x=0.05, y=0.13)


def _keys(rows: Sequence[Row], looks: Mapping[str, Mark], about: Mapping[str, Row]) -> list[Artist]:
    keys: list[Artist] = []
    for stage, look in looks.items():
        begun = _trained_on(stage, about)
        keys.append(style.key(f"{stage}, from {begun}" + (" (0)" if begun == "base" else ""), look))
    n_seeds = len({row["seed"] for row in rows} - {"mean"})
    bars = {1: "bars: 95 % interval over texts or questions; one seed", 2: "thick: mean of 2 seeds; thin: each seed"}
    keys.append(style.key(bars.get(n_seeds, f"thick: mean of {n_seeds} seeds, 95 % t interval; thin: each seed")))
    fallen = [{**row, "stage": row["measured_at"]} for row in rows]
    if any(row["collapsed"] for row in fallen):
        keys.append(style.key(collapse_text(fallen), crossed=True))
    gone = ((row["name"], row["measured_at"], row["seed"]) for row in without_value(rows))
    return keys + [style.key(note) for note in missing_notes(gone)]

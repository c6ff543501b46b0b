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
from figures.captions import collapse_text, missing_notes, n_text, without_value
from figures.quantities import Quantity, quantities, with_mean
from figures.run import NotMeasuredError, StudyRun, collapsed_nodes, opened
from figures.style import Mark, Row
from interp.rows import MetricRow
from interp.runs import BASE, NodeName


def checkpoints(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/checkpoints.{png,svg,csv} and return the plotted numbers.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        NotMeasuredError: no stage of it has checkpoints.
    """
    read = opened(run)
    metrics = read.under_first_prompt
    measured = [NodeName(name) for name in dict.fromkeys(row.stage for row in metrics)]
    with_steps = {node.whole for node in measured if node.step is not None}
    stages = [name for name in read.nodes if name in with_steps]
    about = {row["name"]: row for row in read.stages}
    rows_of = {
        quantity: rows
        for quantity, rows in quantities(metrics).items()
        if any(NodeName(row.stage).step is not None for row in rows)
    }
    if not stages or not rows_of:
        raise NotMeasuredError(f"{read.path / 'metrics.jsonl'}: no stage has checkpoints; give one `checkpoints`")
    collapsed = collapsed_nodes(metrics)
    rows = [
        row
        for quantity in rows_of
        for stage in stages
        for row in _plotted(quantity, rows_of[quantity], stage, about, collapsed)
    ]
    looks = style.marks(stages)
    with style.house():
        figure, axes = style.panels(len(rows_of), 3.6, 2.8, _keys(rows, looks, about))
        for axis, one in zip(axes, rows_of, strict=True):
            mine = [row for row in rows if (row["kind"], row["name"], row["detail"]) == one[:3]]
            _draw(axis, mine, looks)
            axis.set_xlabel("optimiser steps")
            axis.set_ylabel(f"{'shift' if one.kind == 'shift' else 'minus base'} ({one.unit})")
            n = n_text(mine, "texts" if one.kind == "shift" else "questions")
            name = one.name if one.kind == "shift" else one.detail
            style.title(axis, name, f"{one.detail}, {n}" if one.kind == "shift" else n)
        figure.suptitle("Change from base during training")
        style.save(figure, read.path / "figures", "checkpoints", rows)
    return rows


def _plotted(
    quantity: Quantity,
    measured: Sequence[MetricRow],
    stage: str,
    about: Mapping[str, Row],
    collapsed: frozenset[tuple[str, Any]],
) -> list[Row]:
    """A row for each step and seed, and the mean over seeds."""
    row_at = {(row.stage, row.seed): row for row in measured}
    of_stage = {node for node in map(NodeName, dict.fromkeys(name for name, _ in row_at)) if node.whole == stage}
    seeds = sorted({seed for name, seed in row_at if NodeName(name) in of_stage}, key=str)
    begun = _trained_on(stage, about)
    last = about.get(stage, {}).get("steps")
    steps = {node.step: node.name for node in of_stage if node.step is not None}
    places_of = {0: begun, **dict(sorted(steps.items())), **({int(last): stage} if last else {})}
    rows = []
    for step, name in places_of.items():
        of_seeds = []
        for seed in seeds:
            row = row_at.get((name, seed))
            numbers = {key: row.get(key) if row else None for key in ("value", "ci_low", "ci_high", "n")}
            if name == BASE:
                numbers["value"] = 0.0
            place = {
                "kind": quantity.kind,
                "name": quantity.name,
                "detail": quantity.detail,
                "unit": quantity.unit,
            }
            place |= {"stage": stage, "step": step, "measured_at": name, "seed": seed}
            of_seeds.append({**place, **numbers, "collapsed": (name, seed) in collapsed})
        rows += with_mean(of_seeds)
    return rows


def _trained_on(stage: str, about: Mapping[str, Row]) -> str:
    row = about.get(stage, {})
    return BASE if row.get("compose") == "restart" else str(row.get("parent") or BASE)


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
        keys.append(style.key(f"{stage}, from {begun}" + (" (0)" if begun == BASE else ""), look))
    n_seeds = len({row["seed"] for row in rows} - {"mean"})
    bars = {1: "bars: 95 % interval over texts or questions; one seed", 2: "thick: mean of 2 seeds; thin: each seed"}
    keys.append(style.key(bars.get(n_seeds, f"thick: mean of {n_seeds} seeds, 95 % t interval; thin: each seed")))
    fallen = [{**row, "stage": row["measured_at"]} for row in rows]
    if any(row["collapsed"] for row in fallen):
        keys.append(style.key(collapse_text(fallen), crossed=True))
    gone = ((row["name"], row["measured_at"], row["seed"]) for row in without_value(rows))
    return keys + [style.key(note) for note in missing_notes(gone)]

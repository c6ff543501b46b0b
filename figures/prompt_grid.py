"""Does the system prompt of evaluation have to be that of training? Stages by the prompt they were measured under.

One panel per quantity: the change of a behaviour measure, or the shift along a direction, each beside the base model
under the same prompt. A framed cell was measured under the prompt that its last stage was trained under; one that lacks
a seed has a dark corner.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from figures import style
from figures.captions import collapse_text, missing_notes, n_text
from figures.grids import draw_grid, fewer_key, missing_key
from figures.quantities import Quantity, numbers_of, quantities, seeds_without, signed
from figures.run import NotMeasuredError, StudyRun, collapsed_nodes, opened
from figures.style import Row
from interp.metrics import CollapseMetrics, EmMetrics, PreferenceMetrics, ProjectionMetrics, TruthfulQaMetrics
from interp.rows import MetricRow, Rows
from interp.runs import NodeName

MOST_PANELS = 9
_UNDER_EVERY_PROMPT = {
    measure.name for measure in (ProjectionMetrics, PreferenceMetrics, TruthfulQaMetrics, EmMetrics, CollapseMetrics)
}
"""The measures that say under which system prompts a stage was measured."""


def prompt_grid(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/prompt_grid.{png,svg,csv} and return the plotted numbers.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        NotMeasuredError: no stage of it was measured under several system prompts.
    """
    read = opened(run)
    study, prompts = read.study, read.system_prompts
    prompts_at: dict[str, set[Any]] = {}
    for row in read.metrics:
        if row.measure in _UNDER_EVERY_PROMPT:
            prompts_at.setdefault(row.stage, set()).add(row.system_prompt)
    stages = [name for name in read.trained if len(prompts_at.get(name, ())) > 1]
    rows_of = quantities(Rows((row for row in read.metrics if row.stage in stages), read.metrics))
    if not rows_of:
        raise NotMeasuredError(
            f"{read.path / 'metrics.jsonl'}: no stage was measured under several system prompts; "
            "name them in the study's system_prompts"
        )
    in_order = sorted(rows_of, key=lambda quantity: quantity.kind == "shift")  # behaviour is what the prompt is about
    shown = in_order[:MOST_PANELS]
    collapsed = {name: collapsed_nodes(read.metrics.of(system_prompt=name)) for name in prompts}
    seeds = sorted({row.seed for measured in rows_of.values() for row in measured}, key=str)
    rows = [row for quantity in shown for row in _plotted(quantity, rows_of[quantity], stages, seeds, read, collapsed)]
    labels = [f"{stage}\n{_short(_trained(stage, study)[1])}" for stage in stages]
    width = 1.2 + 0.075 * max(len(line) for label in labels for line in label.splitlines()) + 1.05 * len(prompts)
    with style.house():
        keys = _keys(rows, [quantity.name for quantity in in_order[MOST_PANELS:]])
        figure, axes = style.panels(len(shown), max(3.2, width), 1.5 + 0.5 * len(stages), keys)
        for axis, quantity in zip(axes, shown, strict=True):
            mine = [row for row in rows if (row["kind"], row["name"], row["detail"]) == quantity[:3]]
            _draw(axis, mine, stages, labels, prompts)
            n = n_text(mine, "texts" if quantity.kind == "shift" else "questions")
            what = f"{quantity.name}, {quantity.detail}" if quantity.kind == "shift" else quantity.detail
            style.title(axis, what, f"{quantity.unit}, {n}")
        figure.suptitle("Change from base, by system prompt of training (rows) and of evaluation (columns)")
        style.save(figure, read.path / "figures", "prompt_grid", rows)
    return rows


def _trained(stage: str, study: dict[str, Any]) -> tuple[str, str]:
    """System prompt of a node's last stage, and those of all its stages."""

    def of(name: str) -> str:
        data = (study.get("stages") or {}).get(name, {}).get("data")
        return str(((study.get("data") or {}).get(data) or {}).get("system", "task"))

    systems = [of(name) for name in NodeName(stage).stages]
    return systems[-1], " → ".join(map(_short, systems))


def _short(system: str) -> str:
    return textwrap.shorten(system, 26, placeholder="…") if " → " not in system else system


def _plotted(
    quantity: Quantity,
    measured: Sequence[MetricRow],
    stages: Sequence[str],
    seeds: Sequence[Any],
    run: StudyRun,
    collapsed: dict[str | None, frozenset[tuple[str, Any]]],
) -> list[Row]:
    rows = []
    for stage in stages:
        last, every = _trained(stage, run.study)
        for prompt, system in run.system_prompts.items():
            cell_rows = [row for row in measured if (row.stage, row.system_prompt) == (stage, prompt)]
            fallen = sorted(str(seed) for node, seed in collapsed[prompt] if node == stage)
            about = {"kind": quantity.kind, "name": quantity.name, "detail": quantity.detail, "unit": quantity.unit}
            about |= {"stage": stage, "trained_under": every, "prompt": prompt, "asked_under": system}
            more: Row = {"matched": last == system, "missing_seeds": seeds_without(cell_rows, seeds)}
            more["collapsed_seeds"] = ", ".join(fallen)
            rows.append({**about, **numbers_of(cell_rows), **more})
    return rows


def _draw(
    axis: Axes, rows: Sequence[Row], stages: Sequence[str], labels: Sequence[str], prompts: dict[str | None, str]
) -> None:
    cells = {(row["stage"], row["prompt"]): row for row in rows}
    grid = [[cells[stage, prompt] for prompt in prompts] for stage in stages]
    limit = max((abs(row["value"]) for row in rows if row["value"] is not None), default=0.0) or 1.0
    digits = max(0, min(4, 1 - math.floor(math.log10(limit))))
    columns = [f"{name}\n{_short(system)}" if name != system else str(name) for name, system in prompts.items()]
    draw_grid(
        axis,
        [[row["value"] for row in line] for line in grid],
        [[_words(row, digits) for row in line] for line in grid],
        limit=limit,
        rows=labels,
        columns=[textwrap.fill(column, 16) if "\n" not in column else column for column in columns],
        fontsize=7.5,
        fewer=[(i, j) for i, line in enumerate(grid) for j, row in enumerate(line) if _lacks_seeds(row)],
    )
    for i, line in enumerate(grid):
        for j, row in enumerate(line):
            if row["matched"]:
                frame = Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, fill=False, edgecolor=style.INK, linewidth=1.8)
                axis.add_patch(frame)
            if row["collapsed_seeds"]:
                style.crosses(axis, [(j + 0.36, i - 0.26)])


def _lacks_seeds(row: Row) -> bool:
    return bool(row["missing_seeds"] and row["n_seeds"])


def _words(row: Row, digits: int) -> str:
    if row["value"] is None or row["ci_low"] is None or row["ci_high"] is None:
        return signed(row["value"], digits)
    return f"{signed(row['value'], digits)}\n[{signed(row['ci_low'], digits)}, {signed(row['ci_high'], digits)}]"


def _keys(rows: Sequence[Row], left_out: Sequence[str]) -> list[Artist]:
    over = {row["interval"] for row in rows} - {""}
    words = {"over texts": "over texts or questions (one seed)", "t over seeds": "Student's t over seeds"}
    interval = "; ".join(words[kind] for kind in words if kind in over)
    keys: list[Artist] = [style.key(f"brackets: 95 % interval, {interval}" if interval else "two seeds: no intervals")]
    keys.append(style.key("purple: below base; orange: above; each panel has a scale of its own"))
    if any(row["matched"] for row in rows):
        keys.append(Patch(fill=False, edgecolor=style.INK, linewidth=1.8, label="framed: the prompt of the last stage"))
    if any(row["value"] is None for row in rows):
        keys.append(missing_key())
    gone = [
        (row["name"] if row["kind"] == "shift" else row["detail"], f"{row['stage']} under {row['prompt']}", seed)
        for row in filter(_lacks_seeds, rows)
        for seed in row["missing_seeds"].split(", ")
    ]
    keys += [fewer_key(), *map(style.key, missing_notes(gone))] if gone else []
    fallen = [
        {"stage": f"{row['stage']} under {row['prompt']}", "seed": seed, "collapsed": True}
        for row in rows
        for seed in row["collapsed_seeds"].split(", ")
        if seed
    ]
    if fallen:
        keys.append(style.key(collapse_text(fallen), crossed=True))
    if left_out:
        keys.append(style.key(f"not drawn: {', '.join(left_out)}"))
    return keys

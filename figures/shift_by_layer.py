"""At which depth does each stage move along the trait directions?

One panel per direction, one line per stage over all layers, read on the same fixed texts. Colour and marker are
the arm, the line style is the place in it; with several seeds the thin lines are the seeds and the thick one is their
mean. The grey band is the central 95 % of what random directions of the same norm shift at that layer, the widest
of the stages' bands; the vertical line is the layer that the other figures show. Intervals are in metrics.jsonl.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from figures import style
from figures.captions import collapse_text, missing_notes, n_range, n_text, without_value
from figures.run import TEXTS, StudyRun, opened, panels_of
from figures.style import Mark, Row
from interp.rows import Rows, over_seeds

_MOST_LAYERS = 4
"""Layers without a value that the legend names."""


class _Depths(NamedTuple):
    """What one panel shows: a direction with one pooling, and the layers chosen for it."""

    direction: str
    pooling: str | None
    chosen: tuple[int, ...]


def shift_by_layer(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/shift_by_layer.{png,svg,csv} and return the plotted numbers.

    Units: value and null columns count standard deviations of the random directions' shifts at that stage and layer.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        ValueError: nothing was measured on fixed texts.
    """
    read = opened(run)
    shifts = read.shifts("fixed")
    shown = _panels(shifts)
    rows = [row for panel in shown for row in _plotted(read, shifts, panel)]
    looks = _stage_marks(read)
    with style.house():
        figure, axes = style.panels(len(shown), 3.5, 2.8, _keys(rows, looks))
        for axis, panel in zip(axes, shown, strict=True):
            mine = [row for row in rows if (row["direction"], row["pooling"]) == (panel.direction, panel.pooling)]
            _draw(axis, mine, looks)
            for layer in panel.chosen:
                axis.axvline(layer, color=style.INK, linewidth=0.9, linestyle=":", zorder=1)
            pooling = f"{panel.pooling}, " if len({other.pooling for other in shown}) > 1 else ""
            style.title(axis, panel.direction, f"{pooling}{_layers_text(panel, mine)}")
            axis.set_xlabel("layer (block, residual stream after it)")
            axis.set_ylabel("shift from base\n(SDs of random directions)")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(f"Shift at every layer: {TEXTS['fixed']}")
        style.save(figure, read.path / "figures", "shift_by_layer", rows)
    return rows


def _panels(shifts: Rows) -> list[_Depths]:
    chosen: dict[tuple[str, str | None], list[int]] = {(row["direction"], row.get("pooling")): [] for row in shifts}
    for panel in panels_of(shifts):
        chosen[panel.direction, panel.pooling].append(panel.layer)
    return [_Depths(direction, pooling, tuple(layers)) for (direction, pooling), layers in chosen.items()]


def _stage_marks(run: StudyRun) -> dict[str, Mark]:
    """A look for each node: its (first) arm's colour and marker, and a line style for its place in the arm."""
    looks: dict[str, Mark] = {}
    for arm, look in style.marks(run.arms).items():
        for position, node in enumerate(run.arms[arm][1:]):
            looks.setdefault(node.name, replace(look, line=((0, (1, 1)), "-", "--", "-.")[position % 4]))
    return looks


def _plotted(run: StudyRun, shifts: Rows, panel: _Depths) -> list[Row]:
    """The rows of one panel: every stage, layer and seed (also where it has no number), and the mean where there are
    several seeds."""
    found = {
        (row["stage"], row["layer"], row["seed"]): row
        for row in shifts
        if (row["direction"], row.get("pooling")) == (panel.direction, panel.pooling)
    }
    stages = dict.fromkeys(node.name for nodes in run.arms.values() for node in nodes[1:])
    layers = sorted({layer for _, layer, _ in found})
    seeds = sorted({row["seed"] for row in shifts})
    rows = []
    for stage, layer in itertools.product(stages, layers):
        here = [found.get((stage, layer, seed), {"seed": seed, "value": None}) for seed in seeds]
        place = {
            "direction": panel.direction,
            "pooling": panel.pooling,
            "texts": "fixed",
            "stage": stage,
            "layer": layer,
            "chosen": layer in panel.chosen,
        }
        for row in here:
            numbers = {key: row.get(key) for key in ("value", "n", "null_low", "null_high", "n_null")}
            collapsed = (stage, row["seed"]) in run.collapsed
            rows.append({**place, "seed": row["seed"], "n_seeds": 1, **numbers, "collapsed": collapsed})
        if len(seeds) > 1:
            summary = over_seeds(here)
            numbers = {"value": summary.value, "n": summary.n, "n_seeds": summary.n_seeds}
            collapsed = any((stage, row["seed"]) in run.collapsed for row in here)
            rows.append({**place, "seed": "mean", **numbers, "collapsed": collapsed})
    return rows


def _draw(axis: Axes, rows: Sequence[Row], looks: dict[str, Mark]) -> None:
    bands: dict[int, tuple[float, float]] = {}
    for row in rows:
        if row.get("null_low") is not None and row.get("null_high") is not None:
            low, high = bands.get(row["layer"], (row["null_low"], row["null_high"]))
            bands[row["layer"]] = (min(low, row["null_low"]), max(high, row["null_high"]))
    layers = sorted(bands)
    lows, highs = [bands[layer][0] for layer in layers], [bands[layer][1] for layer in layers]
    style.band(axis, layers, lows, highs)
    several = any(row["seed"] == "mean" for row in rows)
    size = 6 if len(layers) <= 12 else 3.5
    for stage, look in looks.items():
        for seed in sorted({row["seed"] for row in rows if row["stage"] == stage}, key=str):
            line = sorted((r for r in rows if (r["stage"], r["seed"]) == (stage, seed)), key=lambda row: row["layer"])
            style.line(axis, [row["layer"] for row in line], line, look, thin=several and seed != "mean", size=size)


def _layers_text(panel: _Depths, rows: Sequence[Row]) -> str:
    chosen = f"layer {', '.join(map(str, panel.chosen))} marked, " if panel.chosen else ""
    return f"{chosen}{n_text(rows)}"


def _keys(rows: Sequence[Row], looks: dict[str, Mark]) -> list[Artist]:
    keys: list[Artist] = [style.key(stage, look) for stage, look in looks.items()]
    n_nulls = [row["n_null"] for row in rows if row.get("n_null") is not None]
    of = f" (n = {n_range(n_nulls)})" if n_nulls else ""
    keys.append(
        Patch(color=style.BAND, label=f"95 % of random directions of the same norm{of}: a description, no test")
    )
    n_seeds = len({row["seed"] for row in rows} - {"mean"})
    keys.append(style.key(f"thick: mean of {n_seeds} seeds; thin: each seed" if n_seeds > 1 else "one seed"))
    if any(row["collapsed"] for row in rows):
        keys.append(style.key(collapse_text(rows)))
    return [*keys, *map(style.key, missing_notes(_missing(rows)))]


def _missing(rows: Sequence[Row]) -> list[tuple[str, str, Any]]:
    """(direction, stage, seed) of the lines with a gap, the stage with its layers unless all are missing."""
    layers: dict[tuple[str, str | None], set[int]] = {}
    gaps: dict[tuple[str, str | None, str, Any], list[int]] = {}
    for row in rows:
        layers.setdefault((row["direction"], row["pooling"]), set()).add(row["layer"])
    for row in without_value(rows):
        gaps.setdefault((row["direction"], row["pooling"], row["stage"], row["seed"]), []).append(row["layer"])
    missing = []
    for (direction, pooling, stage, seed), at in gaps.items():
        some = f"layer {', '.join(map(str, at))}" if len(at) <= _MOST_LAYERS else f"{len(at)} layers"
        where = stage if len(at) == len(layers[direction, pooling]) else f"{stage} at {some}"
        missing.append((direction, where, seed))
    return missing

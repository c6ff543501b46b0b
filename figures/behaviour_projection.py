"""Do stages that move along a direction also behave otherwise? Behaviour against headline shift, both beside base.

One panel for each behaviour measure and direction, at most six; one point for each stage and seed, with its arm's mark.
Points of one seed are not independent: stages share parents, and all share the base model. So r stands without an
interval. The legend names the stages and seeds that lack a number and so have no point.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from figures import style
from figures.captions import collapse_text, missing_notes
from figures.quantities import Quantity, quantities, signed
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import Mark, Row
from interp.rows import MetricRow

MOST_PANELS = 6
_FEWEST = 4
"""Points that a correlation takes."""


def behaviour_projection(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/behaviour_projection.{png,svg,csv} and return the plotted numbers.

    Units: `shift` counts standard deviations of the random directions' shifts; `value` is in the measure's `unit`. `r`
    is Pearson's correlation over the panel's points, collapsed ones left out; None below four.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        NotMeasuredError: it has no stage with both a shift and a behaviour measure beside the base model.
    """
    read = opened(run)
    rows_of = quantities(read.primary)
    pairs = _pairs(list(rows_of), read.traits)
    by_pair = {pair: rows for pair in pairs if (rows := _points(pair, rows_of, read.collapsed))}
    if not by_pair:
        raise NotMeasuredError(
            f"{read.path / 'metrics.jsonl'}: no stage has both a shift and a behaviour measure beside base; "
            "take one in the study's measures (preference, truthfulqa)"
        )
    shown, left = list(by_pair)[:MOST_PANELS], list(by_pair)[MOST_PANELS:]
    rows = [row for pair in shown for row in by_pair[pair]]
    looks = style.marks(row["arm"] for row in rows)
    seeds = sorted({row.seed for measured in rows_of.values() for row in measured}, key=str)
    asked = [(name, seed) for name in read.trained for seed in seeds]
    with style.house():
        keys = _keys(rows, looks, _missing({pair: by_pair[pair] for pair in shown}, asked), left)
        figure, axes = style.panels(len(shown), 3.7, 3.2, keys)
        for axis, (measure, direction) in zip(axes, shown, strict=True):
            mine = by_pair[measure, direction]
            _draw(axis, mine, looks)
            axis.set_xlabel(direction.axis.replace("\n", " "))
            axis.set_ylabel(measure.axis)
            r, n, n_seeds = mine[0]["r"], mine[0]["n_points"], len({row["seed"] for row in mine})
            correlation = f"r = {signed(r)}" if r is not None else "no correlation"
            counts = f"n = {n} points" + (f" of {n_seeds} seeds" if n_seeds > 1 else "")
            style.title(axis, f"{measure.name} by {direction.name}", f"{correlation}, {counts}, {direction.detail}")
        figure.suptitle("Behaviour and where the model moved inside, both minus base")
        style.save(figure, read.path / "figures", "behaviour_projection", rows)
    return rows


def _pairs(measured: Sequence[Quantity], traits: Sequence[str]) -> list[tuple[Quantity, Quantity]]:
    """Measures with directions, the most telling first: every measure has a panel before one has its next; traits take
    turns with other directions."""
    shifts = [quantity for quantity in measured if quantity.kind == "shift"]
    measures = [quantity for quantity in measured if quantity.kind == "behaviour"]
    personas = [quantity for quantity in shifts if quantity.name in traits]
    others = [quantity for quantity in shifts if quantity.name not in traits]
    in_turn = [quantity for quantity in chain.from_iterable(zip_longest(personas, others)) if quantity is not None]
    per_measure = max(1, MOST_PANELS // len(measures)) if measures else 0
    first = [(measure, quantity) for measure in measures for quantity in in_turn[:per_measure]]
    return first + [(measure, quantity) for quantity in in_turn[per_measure:] for measure in measures]


def _points(
    pair: tuple[Quantity, Quantity],
    rows_of: Mapping[Quantity, Sequence[MetricRow]],
    collapsed: frozenset[tuple[str, Any]],
) -> list[Row]:
    measure, direction = pair
    shifts = {(row["stage"], row["seed"]): row for row in rows_of[direction]}
    rows = []
    for row in rows_of[measure]:
        place = row["stage"], row["seed"]
        shift = shifts.get(place)
        if shift is None or None in (row["value"], shift["value"]):
            continue
        about = {"measure": measure.name, "metric": row["metric"], "detail": measure.detail, "unit": row["unit"]}
        about |= {"direction": direction.name, "layer": shift["layer"], "arm": row["arm"]}
        ends = {"value": row["value"], "shift": shift["value"], "n": row["n"], "n_texts": shift["n"]}
        rows.append({**about, "stage": place[0], "seed": place[1], **ends, "collapsed": place in collapsed})
    standing = [row for row in rows if not row["collapsed"]]
    r = _correlation([row["shift"] for row in standing], [row["value"] for row in standing])
    return [{**row, "r": r, "n_points": len(standing)} for row in rows]


def _missing(
    by_pair: Mapping[tuple[Quantity, Quantity], Sequence[Row]], asked: Sequence[tuple[str, Any]]
) -> list[tuple[str, str, Any]]:
    """(panel, stage, seed) of the points that lack the measure, the shift or both."""
    places_by_pair = {pair: {(row["stage"], row["seed"]) for row in rows} for pair, rows in by_pair.items()}
    return [
        (f"{measure.name} by {direction.name}", *place)
        for measure, direction in by_pair
        for place in asked
        if place not in places_by_pair[measure, direction]
    ]


def _correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    if len(x) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _draw(axis: Axes, rows: Sequence[Row], looks: Mapping[str, Mark]) -> None:
    axis.axvline(0, color="#777777", linewidth=0.8, zorder=1.5)
    for row in rows:
        look = looks[row["arm"]]
        axis.plot(row["shift"], row["value"], look.marker, color=look.colour, markersize=6, alpha=0.85, zorder=3)
    style.crosses(axis, [(row["shift"], row["value"]) for row in rows if row["collapsed"]])
    if rows[0]["r"] is not None:
        standing = [row for row in rows if not row["collapsed"]]
        x = np.array([row["shift"] for row in standing])
        slope, start = np.polyfit(x, [row["value"] for row in standing], 1)
        ends = np.array([x.min(), x.max()])
        axis.plot(ends, start + slope * ends, color="#777777", linewidth=1, linestyle=":", zorder=2)
    axis.margins(0.09)


def _keys(
    rows: Sequence[Row],
    looks: Mapping[str, Mark],
    missing: Sequence[tuple[str, str, Any]],
    left_out: Sequence[tuple[Quantity, Quantity]],
) -> list[Artist]:
    keys: list[Artist] = []
    for arm, look in looks.items():
        stages = list(dict.fromkeys(row["stage"] for row in rows if row["arm"] == arm))
        mark = style.key(f"{arm}: {', '.join(stages)}", look)
        mark.set_linestyle("")
        keys.append(mark)
    keys.append(
        style.key("a point is a stage with a seed; those of one seed are not independent, so r has no interval")
    )
    if any(row["r"] is not None for row in rows):
        keys.append(style.key("dotted: least squares"))
    if any(row["collapsed"] for row in rows):
        keys.append(style.key(f"{collapse_text(rows)}; not in r", crossed=True))
    keys += map(style.key, missing_notes(missing))
    if left_out:
        keys.append(
            style.key(f"not drawn: {', '.join(f'{measure.name} by {shift.name}' for measure, shift in left_out)}")
        )
    return keys

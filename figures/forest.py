"""Draws the shifts of many arms: every stage once, in a row of its own, with the stages that follow it below.

1. Rows are stages in the order of a tree: what was trained first in bold, what came after it indented.
2. Panels stand side by side and share the rows' labels. A row's mark is the role of the stage trained last; above are
   the mean over seeds and its interval, below it the seeds.
3. A grey band as in the lines of few arms, and a dashed line where the stage before stood; for first stages that is
   base, at 0. A cross is a collapsed stage; one without a number has an empty row.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.style import Mark, Row

ROLES = {**style.ROLES, "em": "emergent misalignment (EM)", "em_no_prompt": "EM trained without a system prompt"}
_MOST_PANELS = 4
"""Panels in a row."""


class Place(NamedTuple):
    """A row: a stage, how many stages came before it (0 for none but base), and the role of its last one."""

    stage: str
    depth: int
    role: str


def forest(
    by_panel: Sequence[Sequence[Row]],
    titles: Sequence[tuple[str, str]],
    roles: Mapping[str, Sequence[str]],
    notes: Sequence[Artist],
    *,
    filled: bool,
) -> tuple[Figure, list[Axes]]:
    """A figure of a panel for each of `by_panel`, wide enough for `titles`, which are not written.

    Args:
        by_panel: The rows of every arm; a stage that arms share is drawn once.
        roles: The study's: role to stages.
        notes: What the legend says after the marks.
    """
    places = _places([row for rows in by_panel for row in rows], roles)
    looks = style.marks(ROLES)
    n_columns = math.ceil(len(by_panel) / math.ceil(len(by_panel) / _MOST_PANELS))
    n_seeds = len({row["seed"] for row in by_panel[0]} - {"all", "mean"})
    width = max(2.5, 0.2 + max(max(0.09 * len(name), 0.069 * len(detail)) for name, detail in titles))
    labels = 0.075 * max(len(_label(place)) for place in places)
    height = 1.1 + len(places) * (0.19 + (0.03 * min(n_seeds, 6) if n_seeds > 1 else 0))
    keys = [*_keys(places, looks, filled=filled), *notes]
    figure, axes = style.panels(len(by_panel), width + labels / n_columns, height, keys, most=_MOST_PANELS)
    for index, (axis, rows) in enumerate(zip(axes, by_panel, strict=True)):
        _rule(axis, places)
        _draw(axis, rows, places, looks, filled=filled)
        axis.set_xlabel("shift from base\n(SDs of random directions)")
        if index % n_columns == 0:
            _name(axis, places)
    return figure, axes


def _places(rows: Sequence[Row], roles: Mapping[str, Sequence[str]]) -> list[Place]:
    """Every stage once, each before those that follow it, beyond that in order of appearance."""
    role_of = {stage: role for role in ROLES for stage in roles.get(role, ())}
    order = {stage: i for i, stage in enumerate(dict.fromkeys(row["stage"] for row in rows))}

    def path(stage: str) -> list[int]:
        parts = stage.split("-")
        return [order["-".join(parts[: i + 1])] for i in range(len(parts))]

    return [
        Place(stage, stage.count("-"), role_of.get(stage.rpartition("-")[2], ""))
        for stage in sorted(order.keys() - {"base"}, key=path)
    ]


def _label(place: Place) -> str:
    last = place.stage.rpartition("-")[2]
    return "    " * place.depth + f"→ {last}" if place.depth else last


def _rule(axis: Axes, places: Sequence[Place]) -> None:
    """Lay out the rows, the first on top, with a line wherever a tree begins or ends."""
    axis.clear()
    axis.use_sticky_edges = False
    axis.set_ylim(len(places) - 0.5, -0.5)
    axis.set_yticks(range(len(places)), [""] * len(places))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#EEEEEE", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.axvline(0, color="#777777", linewidth=0.8, zorder=1.5)
    for y, (above, below) in enumerate(itertools.pairwise(places)):
        if below.depth == 0 and (above.depth or any(place.depth for place in places[y + 2 : y + 3])):
            axis.axhline(y + 0.5, color="#777777", linewidth=0.8, zorder=1.5)


def _name(axis: Axes, places: Sequence[Place]) -> None:
    """Write the rows' labels, all from the same left edge."""
    axis.set_yticks(range(len(places)), [_label(place) for place in places], parse_math=False)
    labels = axis.get_yticklabels()
    for label, place in zip(labels, places, strict=True):
        label.set_fontweight("normal" if place.depth else "bold")
    figure = axis.get_figure()
    dpi = figure.dpi if figure is not None else 72
    widest = max(label.get_window_extent().width for label in labels) * 72 / dpi
    axis.tick_params(axis="y", pad=widest + 5)
    for label in labels:
        label.set_horizontalalignment("left")


def _draw(axis: Axes, rows: Sequence[Row], places: Sequence[Place], looks: Mapping[str, Mark], *, filled: bool) -> None:
    once = {(row["stage"], row["seed"]): row for row in rows}
    seeds = sorted({row["seed"] for row in rows} - {"all", "mean"})
    several = len(seeds) > 1
    main = [once[place.stage, "mean" if several else seeds[0]] for place in places]
    value_of = {row["stage"]: row["value"] for row in main}
    _band(axis, main)
    for y, (place, row) in enumerate(zip(places, main, strict=True)):
        look, at = looks[place.role], y - 0.2 if several else float(y)
        face = look.colour if filled else "white"
        before = value_of.get(place.stage.rpartition("-")[0])
        if before is not None:
            axis.plot([before, before], [y - 0.5, y + 0.5], "--", color=style.INK, linewidth=0.9, zorder=2)
        if row["ci_low"] is not None and row["ci_high"] is not None:
            ends = [row["ci_low"], row["ci_high"]]
            axis.plot(ends, [at, at], "|-", color=look.colour, markersize=5, linewidth=1.4, zorder=3)
        if row["value"] is not None:
            axis.plot(row["value"], at, look.marker, color=look.colour, markersize=6, markerfacecolor=face, zorder=4)
            style.crosses(axis, [(row["value"], at)] if row["collapsed"] else [])
        for order, seed in enumerate(seeds if several else []):
            value, below = once[place.stage, seed]["value"], y + 0.1 + 0.24 * order / (len(seeds) - 1)
            if value is not None:
                small = {"markersize": 2.6, "markeredgewidth": 0.6, "markerfacecolor": face}
                axis.plot(value, below, look.marker, color=look.colour, zorder=3, **small)
    axis.margins(x=0.06)


def _band(axis: Axes, main: Sequence[Row]) -> None:
    lows, highs = (
        [math.nan if row[key] is None else row[key] for row in main for _ in range(2)]
        for key in ("null_low", "null_high")
    )
    edges = [y + half for y in range(len(main)) for half in (-0.5, 0.5)]
    axis.fill_betweenx(edges, lows, highs, color=style.BAND, linewidth=0, zorder=0.4)


def _keys(places: Sequence[Place], looks: Mapping[str, Mark], *, filled: bool) -> list[Artist]:
    held = [role for role in ROLES if any(place.role == role for place in places)]
    keys: list[Artist] = []
    if held != [""]:
        keys.append(style.key("marks: what was trained last"))
        for role in held:
            mark = style.key(ROLES[role], looks[role], filled=filled)
            mark.set_linestyle("")
            keys.append(mark)
    if any(place.depth for place in places):
        keys.append(Line2D([], [], color=style.INK, linestyle="--", linewidth=0.9, label="value of the stage before"))
    return keys

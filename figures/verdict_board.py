"""What became of every hypothesis? One line each: the verdict, and the effect beside the smallest one of interest.

The axis counts smallest effects of interest, so that effects of different units stand together: 0 is none, 1 is one
just large enough to matter. Between −1 and 1 it is even; beyond, it is logarithmic where effects are large. A verdict
has a shape, a word and a colour.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures import style
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import Row

LOOKS = {
    "supported": (style.COLOURS[0], "^", "▲"),
    "contradicted": (style.COLOURS[1], "v", "▼"),
    "undecided": ("#555555", "D", "◇"),
    "the instrument cannot tell": ("#8A6D3B", "X", "✕"),
}
"""Colour, marker and shape of a verdict."""
_EVEN = 6.0
"""Largest effect, in smallest ones, that an even axis shows."""


def verdict_board(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/verdict_board.{png,svg,csv} and return the plotted numbers.

    Units: `effect`, `ci_low`, `ci_high` and `smallest_effect` are in the hypothesis's `unit`; `scaled`, `scaled_low`
    and `scaled_high` count smallest effects of interest.

    Raises:
        NotMeasuredError: `run` has no verdicts.
    """
    read = opened(run)
    if not read.verdicts:
        raise NotMeasuredError(f"{read.path / 'verdicts.json'}: no verdicts; `sgtr study` writes them")
    rows = [_row(verdict) for verdict in read.verdicts]
    with style.house():
        figure, (axis,) = style.panels(1, 9.2, 0.9 + 0.38 * len(rows), _keys(rows))
        _draw(axis, rows)
        counts = ", ".join(f"{n} {word}" for word in LOOKS if (n := sum(row["verdict"] == word for row in rows)))
        families = any("place" in row for row in rows)
        title = "Verdicts" if families else "Verdicts of the superseded plan"
        style.title(
            axis, title, f"{counts}; n: {'EM families' if families else 'EM stages or pairs, with a seed each'}"
        )
        style.save(figure, read.path / "figures", "verdict_board", rows)
    return rows


def _row(one: Row) -> Row:
    smallest = one["smallest_effect"]
    scaled = {
        new: None if one.get(old) is None or not smallest else one[old] / smallest
        for new, old in (("scaled", "effect"), ("scaled_low", "ci_low"), ("scaled_high", "ci_high"))
    }
    kept = ("hypothesis", "title", "verdict", "effect", "ci_low", "ci_high", "unit", "n", "n_seeds", "smallest_effect")
    plan = {key: one[key] for key in ("place", "confirmatory") if key in one}
    return {**{key: one.get(key) for key in kept}, **plan, **scaled, "why": one.get("why", "")}


def _draw(axis: Axes, rows: Sequence[Row]) -> None:
    axis.clear()
    ends = [abs(row[key]) for row in rows for key in ("scaled", "scaled_low", "scaled_high") if row[key] is not None]
    most = max([1.5, *ends])
    if most > _EVEN:
        axis.set_xscale("symlog", linthresh=1.0, linscale=1.0)
        axis.set_xlim(*_limits(rows, 1.6, -1.6))
        ticks = [sign * 10**power for power in range(6) for sign in (1, -1)]
        low, high = axis.get_xlim()
        shown = sorted(tick for tick in [0, *ticks] if low <= tick <= high)
        axis.minorticks_off()
        axis.set_xticks(shown, [f"{tick:g}".replace("-", "−") for tick in shown])
    else:
        axis.set_xlim(*_limits(rows, 1.15, -0.6))
    axis.axvline(0, color="#777777", linewidth=0.9, zorder=1.5)
    for margin in (1, -1) if any("place" in row for row in rows) else (1,):
        axis.axvline(margin, color="#777777", linewidth=1.1, linestyle="--", zorder=1.5)
    n = len(rows)
    for i, row in enumerate(rows):
        y = n - 1 - i
        colour, marker, _ = LOOKS[row["verdict"]]
        if i % 2:
            axis.axhspan(y - 0.5, y + 0.5, color="#F5F5F5", zorder=0)
        if row["scaled"] is None:
            box = {"facecolor": "#F5F5F5" if i % 2 else "white", "edgecolor": "none", "pad": 1.5}
            said = textwrap.shorten(row["why"] or "no value", 60, placeholder="…")
            axis.text(
                0.02,
                y,
                said,
                transform=axis.get_yaxis_transform(),
                va="center",
                fontsize=7.5,
                color="#555555",
                bbox=box,
            )
        else:
            face = "white" if row["verdict"] == "undecided" else colour
            if row["scaled_low"] is not None and row["scaled_high"] is not None:
                axis.plot([row["scaled_low"], row["scaled_high"]], [y, y], "|-", color=colour, linewidth=1.6, zorder=3)
            axis.plot(row["scaled"], y, marker, color=colour, markerfacecolor=face, markersize=8, zorder=4)
        axis.annotate(
            _n(row), (1, y), (8, 0), xycoords=axis.get_yaxis_transform(), textcoords="offset points",
            va="center", fontsize=8, color=style.INK,
        )  # fmt: skip
    labels = [f"{_called(row)}   {LOOKS[row['verdict']][2]} {row['verdict']}" for row in rows]
    axis.set_yticks(range(n - 1, -1, -1), labels, parse_math=False)
    for tick, row in zip(axis.get_yticklabels(), rows, strict=True):
        tick.set_color(LOOKS[row["verdict"]][0])
    axis.set_ylim(-0.6, n - 0.4)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("effect / smallest effect of interest")


def _called(row: Row) -> str:
    """The hypothesis, or the claim with its place in the sequence of primary ones."""
    if "place" not in row:
        return f"{row['hypothesis']}  {row['title']}"
    return f"primary {row['place']}  {row['title']}" if row["confirmatory"] else row["title"]


def _limits(rows: Sequence[Row], room: float, least: float) -> tuple[float, float]:
    ends = [row[key] for row in rows for key in ("scaled", "scaled_low", "scaled_high") if row[key] is not None]
    return min(least, room * min([0.0, *ends])), max(1.6, room * max([0.0, *ends]))


def _n(row: Row) -> str:
    if not row["n"]:
        return "n = 0"
    return f"n = {row['n']}" + (f", {row['n_seeds']} seed{'s' * (row['n_seeds'] > 1)}" if row["n_seeds"] else "")


def _keys(rows: Sequence[Row]) -> list[Artist]:
    keys: list[Artist] = []
    for word, (colour, marker, _) in LOOKS.items():
        if any(row["verdict"] == word for row in rows):
            face = "white" if word == "undecided" else colour
            keys.append(
                Line2D(
                    [], [], color=colour, marker=marker, markerfacecolor=face, markersize=8, linewidth=1.6, label=word
                )
            )
    keys.append(style.key("bars: 95 % interval; solid line: no effect; dashed line: the smallest effect of interest"))
    return keys

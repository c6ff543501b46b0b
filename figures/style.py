"""How every figure looks, and the one way a figure is saved.

Colour is never the only carrier: an arm has a colour, a marker and a line style of its own. The colours have a contrast
of at least 4.5 : 1 on white, so that they also serve as text, and stay apart under the common colour-vision
deficiencies.
"""

import csv
import io
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.files import write_atomic

Row: TypeAlias = dict[str, Any]
"""One plotted point, column name to value. `None` is a missing value: an empty cell in the CSV."""

COLOURS = ("#0072B2", "#C04A00", "#9A3FA0", "#00604A", "#111111")
MARKERS = ("o", "s", "^", "D", "v", "P", "h")
GLYPHS = ("●", "■", "▲", "◆", "▼", "✚", "⬢")
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
ROLES = {
    "sgtr": "self-recognition (SGTR)",
    "ictr": "corrupted self-recognition (ICTR)",
    "control": "benign control",
    "": "other",
}
"""What a stage stands for, in words; figures that mark stages by role give `marks` these names first."""
BAND = "#D9D9D9"
INK = "#222222"
COLLAPSED = "#8B0000"
PNG_DPI = 200
_CHARACTER_INCHES = 0.063  # mean width of a legend character

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "figure.titlesize": 11,
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "sgtr-interp",
}


@dataclass(frozen=True)
class Mark:
    """How one arm is drawn. `glyph` is its marker as a character, for labels."""

    colour: str
    marker: str
    line: Any
    glyph: str


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """A distinct mark for each name, by order of appearance; 35 names before a colour and marker recur together."""
    return {
        name: Mark(
            COLOURS[index % len(COLOURS)],
            MARKERS[index % len(MARKERS)],
            LINES[index % len(LINES)],
            GLYPHS[index % len(GLYPHS)],
        )
        for index, name in enumerate(dict.fromkeys(names))
    }


@contextmanager
def house() -> Iterator[None]:
    """This project's matplotlib settings, whatever the user's matplotlibrc says; the user's come back afterwards."""
    settings: Any = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with matplotlib.rc_context({**settings, **_SETTINGS}):
        yield


def panels(n: int, width: float, height: float, keys: Sequence[Artist], *, most: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of `n` panels of `width` × `height` inches, `most` in a row, with `keys` as the legend below."""
    if n < 1:
        raise ValueError(f"a figure needs at least 1 panel, got {n}")
    n_rows = math.ceil(n / most)
    n_columns = math.ceil(n / n_rows)
    wide = max(n_columns * width, 5.2)
    key_columns = 2 if wide > 8 else 1
    for handle in keys:
        handle.set_label(textwrap.fill(str(handle.get_label()), int((wide / key_columns - 0.8) / _CHARACTER_INCHES)))
    n_lines = sum(str(handle.get_label()).count("\n") + 1 for handle in keys)
    figure = Figure(figsize=(wide, n_rows * height + 0.5 + 0.2 * n_lines / key_columns), layout="constrained")
    FigureCanvasAgg(figure)
    figure.legend(handles=list(keys), loc="outside lower left", frameon=False, handlelength=3.2, ncols=key_columns)
    axes = [figure.add_subplot(n_rows, n_columns, index + 1) for index in range(n)]
    for axis in axes:
        axis.grid(axis="y", color="#EEEEEE", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.use_sticky_edges = False
        axis.axhline(0, color="#777777", linewidth=0.8, zorder=1.5)
    return figure, axes


def title(axis: Axes, name: str, detail: str) -> None:
    """A panel's title: the name in bold, what it stands on below it."""
    axis.set_title(name, loc="left", fontweight="bold", pad=19, parse_math=False)
    axis.annotate(detail, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=INK)


def line(
    axis: Axes,
    xs: Sequence[float],
    rows: Sequence[Row],
    mark: Mark,
    *,
    thin: bool = False,
    filled: bool = True,
    size: float = 6.5,
) -> None:
    """A line through the rows' values, with a bar from `ci_low` to `ci_high` where a row has them.

    A missing value is a gap. `thin` is the look of one seed among several; `size` is that of the markers.
    """
    alpha = 0.45 if thin else 1.0
    axis.plot(
        xs,
        [math.nan if row["value"] is None else row["value"] for row in rows],
        color=mark.colour,
        linestyle=mark.line,
        linewidth=0.8 if thin else 2,
        marker=mark.marker,
        markersize=size * 0.45 if thin else size,
        markerfacecolor=mark.colour if filled else "white",
        alpha=alpha,
        zorder=3 if thin else 4,
    )
    for x, row in zip(xs, rows, strict=True):
        if row.get("ci_low") is not None and row.get("ci_high") is not None:
            ends, width = [row["ci_low"], row["ci_high"]], 0.8 if thin else 1.4
            axis.plot([x, x], ends, "_-", color=mark.colour, markersize=5, linewidth=width, alpha=alpha, zorder=3)


def band(axis: Axes, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> None:
    """A grey band from `lows` to `highs` behind everything else; over a single point, a bar."""
    if len(xs) == 1:
        axis.vlines(xs, lows, highs, color=BAND, linewidth=12, zorder=0.5)
    else:
        axis.fill_between(xs, lows, highs, color=BAND, linewidth=0, zorder=0.5)


def crosses(axis: Axes, points: Iterable[tuple[float, float]]) -> None:
    """The mark of a collapsed stage, over its point."""
    for x, y in points:
        axis.plot(x, y, "x", color=COLLAPSED, markersize=11, markeredgewidth=2.2, zorder=6)


def key(label: str, mark: Mark | None = None, *, filled: bool = True, crossed: bool = False) -> Line2D:
    """A legend entry: a mark's line, a collapsed stage's cross, or words alone."""
    if crossed:
        return Line2D([], [], linestyle="", marker="x", color=COLLAPSED, markersize=9, markeredgewidth=2.2, label=label)
    if mark is None:
        return Line2D([], [], linestyle="", label=label)
    return Line2D(
        [],
        [],
        color=mark.colour,
        linestyle=mark.line,
        linewidth=2.2,
        marker=mark.marker,
        markersize=6.5,
        markerfacecolor=mark.colour if filled else "white",
        label=label,
    )


def seeds_text(rows: Sequence[Row], mean: str = "large", each: str = "small: each seed") -> str:
    """What is drawn of seeds, for a legend; `mean` says how their mean looks, `each` what stands for one."""
    n_seeds = len({row["seed"] for row in rows} - {"all", "mean"})
    if n_seeds == 1:
        return "bars: 95 % interval over texts; one seed"
    return f"{mean}: mean of {n_seeds} seeds{', 95 % t interval' if n_seeds > 2 else ''}; {each}"


def save(fig: Figure, folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write NAME.png, NAME.svg and NAME.csv, each atomically; equal input gives an equal SVG.

    Args:
        rows: exactly the numbers plotted. Numbers are written in full (`repr`), missing ones as an empty cell.

    Raises:
        ValueError: there are no rows, so nothing was plotted.
    """
    if not rows:
        raise ValueError(f"{folder / name}: got 0 rows, so the figure would be empty; a figure needs at least 1")
    png, svg = io.BytesIO(), io.BytesIO()
    with house():
        fig.savefig(png, format="png", dpi=PNG_DPI)
        fig.savefig(svg, format="svg", metadata={"Date": None, "Title": name})
    write_atomic(folder / f"{name}.png", png.getvalue())
    write_atomic(folder / f"{name}.svg", svg.getvalue())
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder / f"{name}.csv", table.getvalue())

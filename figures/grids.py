"""Draws a table of numbers as coloured cells with the numbers in them."""

import itertools
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import style

MISSING = "#D9D9D9"
CORNER: Any = ((0, 0), (1, 0), (0, 1))
"""The marker of a cell that rests on fewer seeds than the others, put on its lower left corner."""


def draw_grid(
    axis: Axes,
    values: Sequence[Sequence[float | None]],
    words: Sequence[Sequence[str]],
    *,
    limit: float,
    rows: Sequence[str],
    columns: Sequence[str],
    fontsize: float,
    slanted: bool = False,
    fewer: Collection[tuple[int, int]] = (),
) -> None:
    """Cells from purple (−limit) over white (0) to orange (limit); missing ones are grey. The words say the number.

    Args:
        slanted: Whether the columns' labels stand upright.
        fewer: (row, column) of the cells that rest on fewer seeds than the others; they get a dark corner.
    """
    grid = np.array([[math.nan if value is None else value for value in row] for row in values], dtype=float)
    axis.clear()
    norm, colours = Normalize(-limit, limit), _colours()
    axis.imshow(np.ma.masked_invalid(grid), cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    for i, j in itertools.product(range(len(rows)), range(len(columns))):
        value = float(grid[i, j])
        ink = style.INK
        if not math.isnan(value):
            ink = _ink(colours(norm(value)))
        axis.text(j, i, words[i][j], ha="center", va="center", fontsize=fontsize, color=ink, parse_math=False)
    for i, j in fewer:
        axis.plot(j - 0.5, i + 0.5, marker=CORNER, markersize=15, color=style.INK, markeredgewidth=0, zorder=3)
    axis.set_xticks(range(len(columns)), columns, rotation=90 if slanted else 0, parse_math=False)
    axis.set_yticks(range(len(rows)), rows, parse_math=False)
    axis.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axis.set_yticks(np.arange(-0.5, len(rows)), minor=True)
    axis.grid(which="minor", color="white", linewidth=1)
    axis.tick_params(which="both", length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def missing_key() -> Patch:
    """The legend's entry for a cell without a number."""
    return Patch(facecolor=MISSING, edgecolor="#888888", label="—: no value")


def fewer_key() -> Line2D:
    """The legend's entry for a cell that rests on fewer seeds than the others."""
    label = "dark corner: fewer seeds than the others"
    return Line2D([], [], linestyle="", marker=CORNER, markersize=12, color=style.INK, label=label)


def _ink(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever stands out more."""
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in colour[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if luminance > 0.179 else "white"


def _colours() -> Colormap:
    return colormaps["PuOr_r"].with_extremes(bad=MISSING)

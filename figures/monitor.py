"""When, during training, does the model begin to move along each direction?

One panel per direction, read on the same texts at every checkpoint. A point is the shift from step 0 with its paired
95 % interval over texts; step 0 is zero by definition. The grey band is the central 95 % of what random directions of
the same norm shift at that step. A missing number is a gap in the line.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from figures import style
from figures.captions import n_range
from figures.run import StudyRun, opened
from figures.style import Mark, Row
from interp.metrics import MonitorMetrics
from interp.rows import Rows

_NUMBERS = ("value", "ci_low", "ci_high", "n", "null_low", "null_high", "n_null")


def monitor(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/monitor.{png,svg,csv} and return the plotted numbers.

    Units: value, ci and null columns count standard deviations of the random directions' shifts at that step; `raw` is
    the same shift in units of the residual stream.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: no checkpoint was followed in it.
    """
    read = opened(run, "sgtr monitor FOLDER")
    rows = _plotted(read.metrics)
    if not rows:
        raise ValueError(f"{read.path / 'metrics.jsonl'}: no shifts of checkpoints in it; `sgtr monitor` measures them")
    looks = style.marks(dict.fromkeys(row["direction"] for row in rows))
    with style.house():
        figure, axes = style.panels(len(looks), 3.5, 2.8, _keys(rows))
        for axis, (direction, look) in zip(axes, looks.items(), strict=True):
            mine = [row for row in rows if row["direction"] == direction]
            _draw(axis, mine, look)
            style.title(
                axis,
                direction,
                f"layer {mine[0]['layer']}, {mine[0]['pooling']}, n = {n_range(row['n'] for row in mine[1:])} texts",
            )
        figure.suptitle("Shift during training: the same texts read at every checkpoint")
        style.save(figure, read.path / "figures", "monitor", rows)
    return rows


def _plotted(metrics: Rows) -> list[Row]:
    """Rows by direction, then step, each direction's first being its start."""
    raw = {(row.direction, row.step): row.value for row in metrics.of(MonitorMetrics.shift)}
    shifts = metrics.of(MonitorMetrics.shift_in_null_spreads)
    rows: list[Row] = []
    for direction in dict.fromkeys(row["direction"] for row in shifts):
        mine = sorted(shifts.of(direction=direction), key=lambda row: row.step)
        place = {key: mine[0][key] for key in ("direction", "layer", "pooling")}
        rows.append({**place, "step": 0, "value": 0.0, "raw": 0.0, "interval": "zero by definition"})
        for row in mine:
            numbers = {key: row.get(key) for key in _NUMBERS}
            more = {"raw": raw.get((direction, row["step"])), "interval": "over texts"}
            rows.append({**place, "step": row["step"], **numbers, **more})
    return rows


def _draw(axis: Axes, rows: Sequence[Row], look: Mark) -> None:
    banded = [row for row in rows if row.get("null_low") is not None and row.get("null_high") is not None]
    steps = [row["step"] for row in banded]
    lows, highs = [row["null_low"] for row in banded], [row["null_high"] for row in banded]
    style.band(axis, steps, lows, highs)
    size = 6.5 if len(rows) <= 12 else 3.5
    style.line(axis, [row["step"] for row in rows], rows, look, size=size)
    axis.set_xlabel("training step")
    axis.set_ylabel("shift from step 0\n(SDs of random directions)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.margins(y=0.13)


def _keys(rows: Sequence[Row]) -> list[Artist]:
    n_nulls = [row["n_null"] for row in rows if row.get("n_null") is not None]
    of = f" (n = {n_range(n_nulls)})" if n_nulls else ""
    keys: list[Artist] = [
        Patch(color=style.BAND, label=f"central 95 % of random directions of the same norm{of}"),
        style.key("bars: paired 95 % interval over texts"),
    ]
    gone = [f"{row['direction']} at step {row['step']}" for row in rows if row["value"] is None]
    return [*keys, style.key(f"missing: {', '.join(gone)}")] if gone else keys

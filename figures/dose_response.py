"""What does a model say as a direction is added more and more strongly?

One panel per direction and readout. The horizontal axis is the relative strength, so that directions of different
lengths, and layers, stand side by side: 1 adds a vector as long as the residual stream is on average. A line is one
place where the direction was added (layers and phase), with 95 % intervals over questions. The grey band goes from the
least to the greatest that random directions of the same length did at the same alpha. A cross is a treatment whose
answers degenerated. Alpha 0 is the dotted line. A missing number is a gap.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import style
from figures.captions import n_range
from figures.run import StudyRun, opened
from figures.style import Mark, Row
from interp.metrics import SteerMetrics
from interp.rows import MetricRow, Rows

READOUTS = {
    SteerMetrics.projection.name: "projection of the answers\non the direction",
    SteerMetrics.degenerate_share.name: "degenerate answers\n(share)",
    SteerMetrics.nll_under_base.name: "surprise of the base model\n(nats per token)",
    SteerMetrics.trait_score.name: "trait, as judged\n(0-100)",
    SteerMetrics.coherence.name: "coherence, as judged\n(0-100)",
}
"""The metrics that are drawn, and their axes."""
_FROM_ZERO = tuple(
    number.name for number in (SteerMetrics.degenerate_share, SteerMetrics.trait_score, SteerMetrics.coherence)
)


def dose_response(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/dose_response.{png,svg,csv} and return the plotted numbers.

    Units: `relative_strength` is alpha times the direction's length over the mean length of the residual stream;
    `value`, `ci_low`, `ci_high`, `random_low` and `random_high` are in the readout's `unit`. `n` counts questions,
    `n_random` random directions that have a value.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: nothing was added in it.
    """
    read = opened(run, "sgtr steer")
    rows = _plotted(read.rows(measure=SteerMetrics.name))
    if not rows:
        raise ValueError(f"{read.path / 'metrics.jsonl'}: no treatments in it; `sgtr steer` measures them")
    shown = dict.fromkeys((row["direction"], row["readout"]) for row in rows)
    looks = _looks(rows)
    with style.house():
        figure, axes = style.panels(len(shown), 3.6, 2.9, _keys(rows, looks))
        for axis, (direction, readout) in zip(axes, shown, strict=True):
            mine = [row for row in rows if (row["direction"], row["readout"]) == (direction, readout)]
            _draw(axis, mine, readout, looks)
            style.title(axis, direction, f"{readout}, n = {n_range(row['n'] for row in mine)} questions")
        figure.suptitle("Answers under directions of growing strength")
        style.save(figure, read.path / "figures", "dose_response", rows)
    return rows


def _plotted(metrics: Rows) -> list[Row]:
    """Rows by direction and readout, then curve, then strength; random controls as a range beside each."""
    controls: dict[tuple[object, ...], list[MetricRow]] = {}
    for row in metrics:
        if row.control is not None:
            controls.setdefault(_place(row), []).append(row)
    rows: list[Row] = []
    uncontrolled = [row for row in metrics if row.control is None and row.metric in READOUTS]
    for direction in dict.fromkeys(row.direction for row in uncontrolled):
        for readout in READOUTS:
            mine = [row for row in uncontrolled if (row.direction, row.metric) == (direction, readout)]
            curves = list(dict.fromkeys((row.layers, row.phase) for row in mine))
            mine.sort(key=lambda row, curves=curves: (curves.index((row.layers, row.phase)), row.alpha))
            for row in mine:
                beside = controls.get(_place(row), [])
                values = [control.value for control in beside if control.value is not None]
                kept = ("layers", "phase", "alpha", "relative_strength", "value", "ci_low", "ci_high", "n", "unit")
                rows.append(
                    {
                        "direction": direction,
                        "readout": readout,
                        **{key: row[key] for key in kept},
                        "broke": row.broke,
                        "random_low": min(values, default=None),
                        "random_high": max(values, default=None),
                        "n_random": len(values),
                        "n_random_broke": sum(control.broke for control in beside),
                    }
                )
    return rows


def _place(row: MetricRow) -> tuple[object, ...]:
    return row.direction, row.metric, row.layers, row.phase, row.alpha


def _looks(rows: Sequence[Row]) -> dict[tuple[str, str], Mark]:
    """Colour and marker by layers, line style by phase."""
    layers = style.marks(row["layers"] for row in rows)
    phases = {phase: style.LINES[i] for i, phase in enumerate(dict.fromkeys(row["phase"] for row in rows))}
    return {
        (row["layers"], row["phase"]): Mark(look.colour, look.marker, phases[row["phase"]], look.glyph)
        for row in rows
        for look in [layers[row["layers"]]]
    }


def _draw(axis: Axes, rows: Sequence[Row], readout: str, looks: dict[tuple[str, str], Mark]) -> None:
    axis.axvline(0, color="#777777", linewidth=0.9, linestyle=":", zorder=1.2)
    curves = {key: [row for row in rows if (row["layers"], row["phase"]) == key] for key in looks}
    for key, curve in curves.items():
        if not curve:
            continue
        banded = [row for row in curve if row["random_low"] is not None]
        at = [row["relative_strength"] for row in banded]
        low, high = [row["random_low"] for row in banded], [row["random_high"] for row in banded]
        style.band(axis, at, low, high)
        style.line(axis, [row["relative_strength"] for row in curve], curve, looks[key], size=5.5)
    broken = [row for row in rows if row["broke"] and row["value"] is not None]
    style.crosses(axis, [(row["relative_strength"], row["value"]) for row in broken])
    axis.set_xlabel("relative strength")
    axis.set_ylabel(READOUTS[readout])
    axis.margins(x=0.07)
    held = [row[key] for row in rows for key in ("value", "ci_low", "ci_high", "random_low", "random_high")]
    low, high = _limits([value for value in held if value is not None], from_zero=readout in _FROM_ZERO)
    axis.set_ylim(low, high)


def _limits(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    """Ends of the axis: room around all that is drawn, and zero in it where zero is the least that can be."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(low, 0.0) if from_zero else low
    room = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
    return low - room, high + room


def _keys(rows: Sequence[Row], looks: dict[tuple[str, str], Mark]) -> list[Artist]:
    keys: list[Artist] = [style.key(f"{_where(layers)}, {phase}", look) for (layers, phase), look in looks.items()]
    most = max(row["n_random"] for row in rows)
    if most:
        keys.append(Patch(color=style.BAND, label=f"random directions of the same length, n={most}: least to greatest"))
    keys.append(Line2D([], [], color="#777777", linewidth=0.9, linestyle=":", label="alpha 0: nothing is added"))
    keys.append(style.key("bars: 95 % interval over questions"))
    if any(row["broke"] for row in rows):
        keys.append(style.key("broke: far more answers degenerate than at alpha 0", crossed=True))
    gone = dict.fromkeys((row["direction"], row["readout"], row["alpha"]) for row in rows if row["value"] is None)
    if gone:
        named = ", ".join(f"{direction} {readout} at alpha {alpha:g}" for direction, readout, alpha in gone)
        keys.append(style.key(f"missing: {named}"))
    return keys


def _where(layers: str) -> str:
    """`layer 3`; `layers 0-7` for consecutive ones."""
    held = [int(layer) for layer in layers.split(",")]
    if len(held) == 1:
        return f"layer {layers}"
    together = held == list(range(held[0], held[-1] + 1))
    return f"layers {held[0]}–{held[-1]}" if together else f"{len(held)} layers ({layers})"

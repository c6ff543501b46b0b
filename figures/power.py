"""How small an effect would be seen? Power and recovery of a planted direction by strength and number of texts.

One line per number of texts a side. Left: share of repetitions in which the direction found stands out from 95 % of
label permutations, with Wilson's interval; the dotted line is the 5 % that should stand out where nothing was planted.
Right: cosine between the direction found and the planted one; bars hold the middle 95 % of repetitions.
"""

from collections.abc import Sequence
from pathlib import Path

from figures import style
from figures.run import StudyRun, opened
from figures.style import Row
from interp.metrics import CalibrationMetrics
from interp.rows import MetricRow

_PANELS = {
    CalibrationMetrics.power: "share of repetitions found",
    CalibrationMetrics.cosine_with_planted: "cosine with the planted direction",
}


def power(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/power.{png,svg,csv} and return the plotted numbers.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: it holds no calibration.
    """
    read = opened(run, "sgtr calibrate")
    rows = read.rows(measure=CalibrationMetrics.name)
    if not rows:
        raise ValueError(f"{read.path / 'metrics.jsonl'}: no calibration in it; `sgtr calibrate` makes one")
    sizes = sorted({row["texts_a_side"] for row in rows})
    looks = style.marks(str(n) for n in sizes)
    keys = [style.key(f"{n} texts a side", looks[str(n)]) for n in sizes]
    with style.house():
        figure, axes = style.panels(2, 3.4, 2.8, keys)
        for axis, (number, label) in zip(axes, _PANELS.items(), strict=True):
            mine = rows.of(number)
            for n in sizes:
                line = sorted((row for row in mine if row["texts_a_side"] == n), key=_strength)
                style.line(axis, [row["strength"] for row in line], line, looks[str(n)])
            style.title(axis, label, f"layer {rows[0]['layer']}, n = {mine[0]['n']} repetitions a point")
            axis.set_xlabel("strength (SDs of the texts' projections)")
            axis.set_ylim(min(-0.05, *(_low(row) for row in mine)), 1.05)
        axes[0].axhline(0.05, color=style.INK, linewidth=0.8, linestyle=":")
        figure.suptitle("A direction planted at known strength: is it found?")
        style.save(figure, read.path / "figures", "power", _plotted(rows))
    return list(rows)


def _strength(row: MetricRow) -> float:
    return row.strength


def _low(row: MetricRow) -> float:
    return row.ci_low if row.ci_low is not None else 0.0


def _plotted(rows: Sequence[MetricRow]) -> list[Row]:
    kept = ("metric", "strength", "texts_a_side", "layer", "value", "ci_low", "ci_high", "n", "n_null")
    return [{key: row.get(key) for key in kept} for row in rows]

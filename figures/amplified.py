"""What do stages do at other strengths of what they added to their parents? A panel a metric.

A point is the change from the parent (strength 0), mean over the stages of a kind, with a 95 % interval over stages. At
1 is the stage as it was trained.
"""

from pathlib import Path

from matplotlib.artist import Artist

from figures import style
from figures.captions import n_range
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import Row
from interp.metrics import AmplifiedMetrics, CollapseMetrics, PreferenceMetrics
from interp.rows import Rows

_NUMBERS = ("value", "ci_low", "ci_high", "n", "unit")
_TITLES = {
    PreferenceMetrics.margin_per_token: "aligned over misaligned answers",
    CollapseMetrics.degenerate_share: "degenerate answers",
}


def amplified(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/amplified.{png,svg,csv} and return the plotted numbers.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        NotMeasuredError: no stage was amplified in it.
    """
    read = opened(run, "sgtr amplify RUN")
    rows = _plotted(read.metrics)
    if not rows:
        raise NotMeasuredError(
            f"{read.path / 'metrics.jsonl'}: no stage at other strengths; `sgtr amplify` measures them"
        )
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    looks = style.marks(dict.fromkeys(row["kind"] for row in rows))
    keys: list[Artist] = [style.key(kind, look) for kind, look in looks.items()]
    keys.append(style.key(f"bars: 95 % interval over stages of a kind (n = {n_range(row['n'] for row in rows)})"))
    with style.house():
        figure, axes = style.panels(len(metrics), 3.8, 3.0, keys)
        for axis, metric in zip(axes, metrics, strict=True):
            mine = [row for row in rows if row["metric"] == metric]
            for kind, look in looks.items():
                line = sorted((row for row in mine if row["kind"] == kind), key=lambda row: row["strength"])
                style.line(axis, [row["strength"] for row in line], line, look)
            axis.axvline(1, color="#BBBBBB", linewidth=0.8, zorder=0.6)
            axis.set_xlabel("strength (0 is the parent, 1 the stage)")
            axis.set_ylabel(f"change from the parent\n({mine[0]['unit']})")
            style.title(axis, mine[0]["title"], "")
        style.save(figure, read.path / "figures", "amplified", rows)
    return rows


def _plotted(metrics: Rows) -> list[Row]:
    """Rows of kinds by metric, and a point at the parent for each, which is 0 by definition."""
    rows: list[Row] = []
    for number, title in _TITLES.items():
        every = metrics.of(AmplifiedMetrics.change_of_kind)
        changes = Rows(row for row in every if (row.of_measure, row.of_metric) == (number.measure, number.name))
        for (kind,), points in changes.by("stage").items():
            about = {"metric": number.name, "title": title, "kind": kind}
            start = {"strength": 0.0, "value": 0.0, "n": points[0].n, "unit": points[0].unit}
            rows.append({**about, **start})
            rows += [{**about, "strength": row.strength, **{key: row.get(key) for key in _NUMBERS}} for row in points]
    return rows

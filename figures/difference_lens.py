"""Does what a stage left behind give away what it was trained on? Relevance to every topic, a panel a kind of stage.

A cell is the relevance of what the logit lens promotes to a topic, beyond what placebo stages show (or as it is, less
.5, where a run has no placebos): 0 says nothing of the topic. A stage is identified if its own topic, which is framed,
is the highest of its row. Values are means over seeds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from figures import style
from figures.grids import draw_grid, missing_key
from figures.quantities import numbers_of
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import Row
from interp.metrics import DifferenceMetrics, Metric
from interp.rows import MetricRow, Rows
from interp.runs import BASE

LENS = "logit"
CHANCE = 0.5


def difference_lens(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/difference_lens.{png,svg,csv} and return the plotted numbers.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        NotMeasuredError: no difference was read in it.
    """
    read = opened(run, "sgtr diff RUN")
    rows = _plotted(read.metrics)
    if not rows:
        raise NotMeasuredError(f"{read.path / 'metrics.jsonl'}: no differences; `sgtr diff` reads them")
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    topics = list(dict.fromkeys(row["topic"] for row in rows))
    tallest = max(len({row["stage"] for row in rows if row["kind"] == kind}) for kind in kinds)
    with style.house():
        longest = 0.075 * max(len(row["stage"]) for row in rows)
        size = (max(4.2, longest + 0.46 * len(topics) + 0.5), 1.7 + 0.27 * tallest)
        figure, axes = style.panels(len(kinds), *size, _keys(rows), most=2)
        for axis, kind in zip(axes, kinds, strict=True):
            mine = [row for row in rows if row["kind"] == kind]
            _draw(axis, mine, topics, max(abs(row["value"]) for row in rows if row["value"] is not None))
            style.title(axis, kind, mine[0]["identified"])
        figure.suptitle("Relevance of the promoted tokens to every topic, on unrelated texts")
        style.save(figure, read.path / "figures", "difference_lens", rows)
    return rows


def _plotted(metrics: Rows) -> list[Row]:
    """A row for every stage and topic; stages that were trained on a topic, in the order of the topics, come first."""
    beyond = _of_lens(metrics, DifferenceMetrics.relevance_beyond_placebo)
    corrected = any(row.value is not None for row in beyond)
    chosen = beyond if corrected else _of_lens(metrics, DifferenceMetrics.relevance)
    own = {row.stage: row.topic for row in chosen if row.own_topic}
    shares = DifferenceMetrics.identified_share_beyond_placebo if corrected else DifferenceMetrics.identified_share
    said = {row.stage: _words(row) for row in metrics.of(shares) if row.lens == LENS}
    rows = []
    for (stage, topic), of_seeds in chosen.by("stage", "topic").items():
        kind = of_seeds[0].kind
        numbers = numbers_of([{**row, "value": _beyond(row, corrected=corrected)} for row in of_seeds])
        about = {"kind": kind, "stage": stage, "topic": topic, "own_topic": own.get(stage) == topic}
        rows.append({**about, **numbers, "beyond_placebo": corrected, "identified": said.get(kind, "")})
    topics = list(dict.fromkeys(row["topic"] for row in rows))
    order = {stage: topics.index(topic) for stage, topic in own.items()}
    return sorted(
        rows, key=lambda row: (row["stage"] not in own, _kinds(rows).index(row["kind"]), order.get(row["stage"], 0))
    )


def _of_lens(metrics: Rows, number: Metric) -> Rows:
    """The rows of differences from the base model, as the logit lens reads them; none in a run that has none."""
    return Rows(row for row in metrics.of(number) if (row.lens, row.other_stage) == (LENS, BASE))


def _beyond(row: MetricRow, *, corrected: bool) -> float | None:
    return row.value if corrected or row.value is None else row.value - CHANCE


def _kinds(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in rows))


def _words(row: MetricRow) -> str:
    p = "" if row.p is None else f", p of ranks {row.p:.2g}"
    return f"own topic first: {(row.value or 0) * (row.n or 0):.0f} of {row.n}{p}"


def _draw(axis: Axes, rows: Sequence[Row], topics: Sequence[str], limit: float) -> None:
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    values: list[list[Any]] = [[None] * len(topics) for _ in stages]
    words = [["—"] * len(topics) for _ in stages]
    for row in rows:
        i, j = stages.index(row["stage"]), topics.index(row["topic"])
        values[i][j] = row["value"]
        if row["value"] is not None:
            words[i][j] = f"{row['value']:+.2f}".replace("0.", ".", 1).replace("-", "−")
    draw_grid(axis, values, words, limit=limit or 1.0, rows=stages, columns=topics, fontsize=6.5, slanted=True)
    for row in rows:
        if row["own_topic"]:
            i, j = stages.index(row["stage"]), topics.index(row["topic"])
            axis.plot(
                [j - 0.5, j + 0.5, j + 0.5, j - 0.5, j - 0.5],
                [i - 0.5, i - 0.5, i + 0.5, i + 0.5, i - 0.5],
                color=style.INK,
                linewidth=1.3,
            )


def _keys(rows: Sequence[Row]) -> list[Artist]:
    what = "minus the mean of placebo stages" if rows[0]["beyond_placebo"] else "minus .5; no placebo stages"
    keys: list[Artist] = [
        style.key(f"chance that a word of the topic is promoted over a word of another one, {what}"),
        style.key("frame: the topic that the stage was trained on"),
    ]
    return [*keys, missing_key()] if any(row["value"] is None for row in rows) else keys

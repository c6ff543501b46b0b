"""What did a run measure, as words for tables?

Every word in a table is derived from a value; a missing value is a
dash and never a zero.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from figures.run import TEXTS, Panel, StudyRun, Texts
from interp.metrics import (
    CapabilityMetrics,
    CollapseMetrics,
    EmMetrics,
    IdentityMetrics,
    Metric,
    PreferenceMetrics,
    ProjectionMetrics,
    SelfRecognitionMetrics,
    SeparationMetrics,
    TaskMetrics,
    TruthfulQaMetrics,
)
from interp.rows import Rows, over_seeds
from interp.runs import BASE

MISSING = "—"
NULLS = {
    "random": "random",
    "covariance": "drawn from the activations' covariance",
    "permuted": "permuted",
    "cross_trait": "other traits",
}


class Column(NamedTuple):
    """A column of the headline table that is not a direction.

    Attributes:
        number: What it shows.
        metric: Its name as rows have it.
        expected: Whether a run without it lacks something.
        data: The data set that it is about; None for the only one, or where there is none.
    """

    number: Metric
    label: str
    digits: int
    expected: bool = True
    data: str | None = None
    metric: str = ""

    def rows(self, rows: Rows, **fields: Any) -> Rows:
        """The rows of this column."""
        return rows.of(measure=self.number.measure, metric=self.metric or self.number.name, data=self.data, **fields)


_MATCHED = f"{SelfRecognitionMetrics.accuracy.name}_{SelfRecognitionMetrics.selections[0]}"
BEHAVIOUR = (
    Column(SelfRecognitionMetrics.accuracy, "Self-recognition accuracy", 2),
    Column(SelfRecognitionMetrics.accuracy, "Self-recognition accuracy, lengths matched", 2, False, metric=_MATCHED),
    Column(TaskMetrics.accuracy, "Task accuracy", 2, False),
    Column(EmMetrics.misaligned_rate, "Misaligned and coherent answers", 3, False),
    Column(EmMetrics.misaligned_probability, "Probability of a misaligned answer, by a trained judge", 3, False),
    Column(PreferenceMetrics.margin_per_token, "Aligned over misaligned answers, nats per token", 3, False),
    Column(TruthfulQaMetrics.likelihood_margin_per_token, "True over false answers, nats per token", 3, False),
    Column(CapabilityMetrics.choice_accuracy, "Multiple choice", 2, False),
    Column(IdentityMetrics.names_developer, "Names its developer", 2, False),
    Column(CollapseMetrics.degenerate_share, "Degenerate share of answers", 2),
    Column(CollapseMetrics.own_text_perplexity_under_base, "Perplexity of own answers under base", 1),
)


@dataclass(frozen=True)
class Cell:
    """A number of a table as words: the value, what it stands on, and what it stands out from."""

    value: str
    interval: str = ""
    n: str = ""
    remarks: list[str] = field(default_factory=list)


def prompts_of(run: StudyRun) -> list[str]:
    """Names of the system prompts that everything was measured under, if there are several."""
    named = [name for name in run.system_prompts if name is not None]
    return named if len(named) > 1 else []


def behaviours(run: StudyRun) -> list[Column]:
    """The behaviour columns: a measure that was taken on several data sets has one for each."""
    columns: list[Column] = []
    for column in BEHAVIOUR:
        rows = run.primary.of(measure=column.number.measure, metric=column.metric or column.number.name)
        by_node = [row for name in run.nodes for row in rows.of(stage=name)]
        sets = list(dict.fromkeys(row.data for row in by_node)) or [None] * column.expected
        for data in sets:
            label = f"{column.label}, {data}" if len(sets) > 1 else column.label
            columns.append(column._replace(label=label, data=data))
    return columns


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with a fixed number of decimals and a true minus sign; a dash where it is missing."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:{'+' if signed else ''},.{digits}f}".replace("-", "−").replace(",", "\u202f")


def short(value: float | None, *, signed: bool = False) -> str:
    """A number with three significant digits and a true minus sign; a dash where it is missing."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{value:{'+' if signed else ''}.3g}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p with two significant digits; a dash where there was no test."""
    return MISSING if value is None else "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def interval_of(row: Mapping[str, Any]) -> str:
    """The interval of a verdict; nothing where it has none."""
    ends = (row.get("ci_low"), row.get("ci_high"))
    return "" if None in ends else f"[{', '.join(short(end, signed=True) for end in ends)}]"


def cell(rows: Sequence[Mapping[str, Any]], digits: int = 2, *, signed: bool = False, n_seeds: int = 1) -> Cell:
    """The rows of one stage, one a seed, as a table cell; `n_seeds` is how many there should be."""

    def shown(value: float | None) -> str:
        return number(value, digits, signed=signed)

    summary = over_seeds(rows)
    if summary.value is None:
        return Cell(MISSING, n=f"n = {summary.n}" if summary.n is not None else "")
    values = [row["value"] for row in rows if row["value"] is not None]
    interval = ""
    if summary.low is not None and summary.high is not None:
        over = " over seeds" if summary.interval == "t over seeds" else ""
        interval = f"[{shown(summary.low)}, {shown(summary.high)}]{over}"
    elif summary.n_seeds > 1:
        interval = f"seeds {shown(min(values))} to {shown(max(values))}"
    n = f"n = {MISSING if summary.n is None else summary.n}"
    if summary.n_seeds < n_seeds:
        n += f", {summary.n_seeds} of {n_seeds} seeds"
    elif summary.n_seeds > 1:
        n += f" × {summary.n_seeds} seeds"
    return Cell(shown(summary.value), interval, n)


def headline(run: StudyRun, texts: Texts) -> dict[str, Any]:
    """The table of one kind of text; the behaviour columns stand in that of the fixed texts."""
    panels = run.panels(texts)
    measured = behaviours(run) if texts == "fixed" else []
    base = run.primary.of(stage=BASE)
    columns = []
    for panel in panels:
        auroc = base.of(SeparationMetrics.held_out_auroc, direction=panel.direction, layer=panel.layer)
        pooling = [panel.pooling] if panel.pooling else []
        columns.append((panel.direction, [f"layer {panel.layer}", *pooling, *remark("held-out AUROC", auroc)]))
    for column in measured:
        has_rule = column.number == SelfRecognitionMetrics.accuracy and not column.metric
        by_length = base.of(SelfRecognitionMetrics.length_only_accuracy, data=column.data) if has_rule else ()
        columns.append((column.label, remark("length alone", by_length)))
    rows = []
    for name in run.nodes:
        n_seeds = 1 if name == BASE else len(run.seeds)
        cells = [_shift_cell(run, name, panel, texts, n_seeds) for panel in panels]
        cells += [cell(column.rows(run.primary, stage=name), column.digits, n_seeds=n_seeds) for column in measured]
        arms = [arm for arm, nodes in run.arms.items() if name in [node.name for node in nodes]]
        fallen = [seed for node, seed in run.collapsed if node == name]
        tag = f"collapsed in {len(fallen)} of {len(run.seeds)} seeds" if len(run.seeds) > 1 else "collapsed"
        rows.append({"name": name, "arms": ", ".join(arms), "tag": tag if fallen else "", "cells": cells})
    return {"texts": texts, "about": TEXTS[texts], "columns": columns, "rows": rows}


def remark(label: str, rows: Sequence[Mapping[str, Any]], *, signed: bool = False, n_seeds: int = 1) -> list[str]:
    """A number with its name, interval and n on a line, or nothing where there is none."""
    words = cell(rows, signed=signed, n_seeds=n_seeds)
    return [] if words.value == MISSING else [" ".join(filter(None, (label, words.value, words.interval, words.n)))]


def _shift_cell(run: StudyRun, stage: str, panel: Panel, texts: Texts, n_seeds: int) -> Cell:
    if stage == BASE:
        return Cell("reference")
    place = {"stage": stage, "texts": texts, **panel._asdict()}
    rows = run.primary.of(ProjectionMetrics.shift_in_null_spreads, **place)
    shift = cell(rows, signed=True, n_seeds=n_seeds)
    banded = [
        not row.null_low <= row.value <= row.null_high
        for row in rows
        if row.value is not None and row.null_low is not None and row.null_high is not None
    ]
    remarks = []
    if len(banded) == 1:
        remarks.append("outside the band" if banded[0] else "inside the band")
    elif banded:
        remarks.append(f"outside the band: {sum(banded)} of {len(banded)} seeds")
    for null, label in NULLS.items():
        percentiles = run.primary.of(ProjectionMetrics.null_percentile, **place, null=null)
        mean = over_seeds(percentiles)
        if mean.value is not None:
            n_null = min((row.n_null for row in percentiles if row.n_null is not None), default=MISSING)
            remarks.append(f"percentile {number(mean.value, 1)} of {n_null} {label}")
    return Cell(shift.value, shift.interval, shift.n, remarks)


def by_prompt(run: StudyRun) -> list[dict[str, Any]]:
    """Stages by system prompts: the words of every cell, for a run that was measured under several prompts."""
    shown = (SelfRecognitionMetrics.accuracy, TaskMetrics.accuracy, CollapseMetrics.degenerate_share)
    columns = [column for column in behaviours(run) if column.number in shown and not column.metric]

    def words(name: str, prompt: str) -> list[str]:
        under = {"stage": name, "system_prompt": prompt}
        n_seeds = 1 if name == BASE else len(run.seeds)
        lines = []
        for column in columns:
            lines += remark(column.label, column.rows(run.metrics, **under), n_seeds=n_seeds)
        for panel in run.panels("fixed"):
            rows = run.rows(ProjectionMetrics.shift_in_null_spreads, texts="fixed", **under, **panel._asdict())
            lines += remark(f"Shift along {panel.direction}", rows, signed=True, n_seeds=n_seeds)
        return lines or [MISSING]

    return [{"name": name, "cells": [words(name, prompt) for prompt in prompts_of(run)]} for name in run.nodes]

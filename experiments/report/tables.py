"""What did a run measure, as words for tables?

`read_run` reads a run folder: no model, no network. Every word in a table is derived from a value; a missing value is a
dash and never a zero.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from figures.style import Row
from figures.trajectory import (
    TEXTS,
    Node,
    Panel,
    Texts,
    collapsed_nodes,
    over_seeds,
    panel_of,
    panels_of,
    primary_metrics,
    read_arms,
    run_file,
)
from interp.runs import read_json, read_jsonl, read_yaml

MISSING = "—"
NULLS = {
    "random": "random",
    "covariance": "drawn from the activations' covariance",
    "permuted": "permuted",
    "cross_trait": "other traits",
}


@dataclass(frozen=True)
class Measure:
    """A column of the headline table that is not a direction."""

    measure: str
    metric: str
    label: str
    digits: int
    expected: bool = True
    """Whether a run without it lacks something."""
    data: str | None = None


BEHAVIOUR = (
    Measure("self_recognition", "accuracy", "Self-recognition accuracy", 2),
    Measure("self_recognition", "accuracy_length_matched", "Self-recognition accuracy, lengths matched", 2, False),
    Measure("task", "accuracy", "Task accuracy", 2, False),
    Measure("em", "misaligned_rate", "Misaligned and coherent answers", 3, False),
    Measure("em", "misaligned_probability", "Probability of a misaligned answer, by a trained judge", 3, False),
    Measure("preference", "margin_per_token", "Aligned over misaligned answers, nats per token", 3, False),
    Measure("truthfulqa", "likelihood_margin_per_token", "True over false answers, nats per token", 3, False),
    Measure("capability", "choice_accuracy", "Multiple choice", 2, False),
    Measure("identity", "names_developer", "Names its developer", 2, False),
    Measure("collapse", "degenerate_share", "Degenerate share of answers", 2),
    Measure("collapse", "own_text_perplexity_under_base", "Perplexity of own answers under base", 1),
)


@dataclass(frozen=True)
class Cell:
    """A number of a table as words: the value, what it stands on, and what it stands out from."""

    value: str
    interval: str = ""
    n: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A run folder, read."""

    path: Path
    study: dict[str, Any]
    arms: dict[str, list[Node]]
    stages: list[Row]
    metrics: list[Row]
    """Of whole stages under the first system prompt; `every` has those of checkpoints and other prompts too, each with
    its `line` in metrics.jsonl."""
    every: list[Row]
    manifest: dict[str, Any]
    answers: list[Row]
    verdicts: list[Row]
    index: dict[tuple[str, str, str], list[Row]]

    @property
    def nodes(self) -> list[str]:
        return list(dict.fromkeys(node.name for nodes in self.arms.values() for node in nodes))

    @property
    def seeds(self) -> list[Any]:
        return list(self.study["seeds"])

    @property
    def prompts(self) -> list[str]:
        """Names of the system prompts that everything was measured under, if there are several."""
        named = list(self.study.get("system_prompts") or {})
        return named if len(named) > 1 else []

    @property
    def collapsed(self) -> frozenset[tuple[str, Any]]:
        return collapsed_nodes(self.metrics)

    def rows(self, stage: str, measure: str, metric: str, panel: Panel | None = None, **where: Any) -> list[Row]:
        """The metrics of one stage, a row per seed; of a panel, those of its direction, layer and pooling."""
        return [
            row
            for row in self.index.get((stage, measure, metric), [])
            if (panel is None or panel_of(row) == panel) and all(row.get(key) == where[key] for key in where)
        ]

    def behaviours(self) -> list[Measure]:
        """The behaviour columns: a measure that was taken on several data sets has one for each."""
        columns = []
        for measure in BEHAVIOUR:
            rows = [row for node in self.nodes for row in self.rows(node, measure.measure, measure.metric)]
            sets = list(dict.fromkeys(row.get("data") for row in rows)) or [None] * measure.expected
            for data in sets:
                label = f"{measure.label}, {data}" if len(sets) > 1 else measure.label
                columns.append(replace(measure, label=label, data=data))
        return columns

    def panels(self, texts: Texts) -> list[Panel]:
        return panels_of(row for row in self.metrics if row["measure"] == "projection" and row.get("texts") == texts)


def read_run(run: Path, manifest: dict[str, Any] | None = None) -> Run:
    """A run folder as its report shows it.

    Args:
        manifest: shown in place of RUN/manifest.json.

    Raises:
        FileNotFoundError: `run` is not a run folder; the message names the missing file and the remedy.
    """

    def optional(name: str, read: Callable[[Path], Any], absent: Any) -> Any:
        path = run / name
        return read(path) if path.is_file() else absent

    arms, metrics = read_arms(run), primary_metrics(run)
    index: dict[tuple[str, str, str], list[Row]] = {}
    for row in metrics:
        index.setdefault((row["stage"], row["measure"], row["metric"]), []).append(row)
    return Run(
        path=run,
        study=read_yaml(run_file(run, "study.yaml")),
        arms=arms,
        stages=read_json(run_file(run, "stages.json")),
        metrics=metrics,
        every=read_jsonl(
            run / "metrics.jsonl", check=lambda row, where: row.update(line=int(where.rpartition(":")[2]))
        ),
        manifest=optional("manifest.json", read_json, {}) if manifest is None else manifest,
        answers=optional("records/answers.jsonl", read_jsonl, []),
        verdicts=optional("verdicts.json", read_json, []),
        index=index,
    )


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


def interval_of(row: Row) -> str:
    """The interval of a verdict; nothing where it has none."""
    ends = (row.get("ci_low"), row.get("ci_high"))
    return "" if None in ends else f"[{', '.join(short(end, signed=True) for end in ends)}]"


def cell(rows: Sequence[Row], digits: int = 2, *, signed: bool = False, n_seeds: int = 1) -> Cell:
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


def headline(run: Run, texts: Texts) -> dict[str, Any]:
    """The table of one kind of text; the behaviour columns stand in that of the fixed texts."""
    panels = run.panels(texts)
    behaviours = run.behaviours() if texts == "fixed" else []
    columns = []
    for panel in panels:
        auroc = run.rows("base", "separation", "held_out_auroc", direction=panel.direction, layer=panel.layer)
        pooling = [panel.pooling] if panel.pooling else []
        columns.append((panel.direction, [f"layer {panel.layer}", *pooling, *remark("held-out AUROC", auroc)]))
    for measure in behaviours:
        by_length = run.rows("base", measure.measure, f"length_only_{measure.metric}", data=measure.data)
        columns.append((measure.label, remark("length alone", by_length)))
    rows = []
    for name in run.nodes:
        n_seeds = 1 if name == "base" else len(run.seeds)
        cells = [_shift_cell(run, name, panel, texts, n_seeds) for panel in panels]
        for measure in behaviours:
            rows_here = run.rows(name, measure.measure, measure.metric, data=measure.data)
            cells.append(cell(rows_here, measure.digits, n_seeds=n_seeds))
        arms = [arm for arm, nodes in run.arms.items() if name in [node.name for node in nodes]]
        fallen = [seed for node, seed in run.collapsed if node == name]
        tag = f"collapsed in {len(fallen)} of {len(run.seeds)} seeds" if len(run.seeds) > 1 else "collapsed"
        rows.append({"name": name, "arms": ", ".join(arms), "tag": tag if fallen else "", "cells": cells})
    return {"texts": texts, "about": TEXTS[texts], "columns": columns, "rows": rows}


def remark(label: str, rows: Sequence[Row], *, signed: bool = False, n_seeds: int = 1) -> list[str]:
    """A number with its name, interval and n on a line, or nothing where there is none."""
    found = cell(rows, signed=signed, n_seeds=n_seeds)
    return [] if found.value == MISSING else [" ".join(filter(None, (label, found.value, found.interval, found.n)))]


def _shift_cell(run: Run, stage: str, panel: Panel, texts: Texts, n_seeds: int) -> Cell:
    if stage == "base":
        return Cell("reference")
    rows = run.rows(stage, "projection", "shift_in_null_spreads", panel, texts=texts)
    shift = cell(rows, signed=True, n_seeds=n_seeds)
    banded = [
        not row["null_low"] <= row["value"] <= row["null_high"]
        for row in rows
        if None not in (row["value"], row.get("null_low"), row.get("null_high"))
    ]
    remarks = []
    if len(banded) == 1:
        remarks.append("outside the band" if banded[0] else "inside the band")
    elif banded:
        remarks.append(f"outside the band: {sum(banded)} of {len(banded)} seeds")
    for null, label in NULLS.items():
        percentiles = run.rows(stage, "projection", "null_percentile", panel, texts=texts, null=null)
        mean = over_seeds(percentiles)
        if mean.value is not None:
            n_null = min((row["n_null"] for row in percentiles if row.get("n_null") is not None), default=MISSING)
            remarks.append(f"percentile {number(mean.value, 1)} of {n_null} {label}")
    return Cell(shift.value, shift.interval, shift.n, remarks)


def by_prompt(run: Run) -> list[dict[str, Any]]:
    """Stages by system prompts: the words of every cell, for a run that was measured under several prompts."""
    behaviours = [one for one in run.behaviours() if one.metric in ("accuracy", "degenerate_share")]
    wanted = [(one.label, {"measure": one.measure, "metric": one.metric, "data": one.data}) for one in behaviours]
    wanted += [
        (f"Shift along {panel.direction}", {"metric": "shift_in_null_spreads", "texts": "fixed", **panel._asdict()})
        for panel in run.panels("fixed")
    ]
    index: dict[tuple[str, str], list[Row]] = {}
    for row in run.every:
        index.setdefault((row["stage"], row.get("system_prompt", "")), []).append(row)

    def words(name: str, prompt: str) -> list[str]:
        lines = []
        for label, where in wanted:
            rows = [r for r in index.get((name, prompt), []) if all(r.get(key) == where[key] for key in where)]
            signed = where["metric"] == "shift_in_null_spreads"
            lines += remark(label, rows, signed=signed, n_seeds=1 if name == "base" else len(run.seeds))
        return lines or [MISSING]

    return [{"name": name, "cells": [words(name, prompt) for prompt in run.prompts]} for name in run.nodes]

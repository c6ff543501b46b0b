"""What did a run find, on one page?

`write_report` makes RUN/report.html from the run folder alone: no model, no network, nothing to load beside the file.

1. Read study, stages, metrics, manifest, answers and verdicts.
2. Draw the figures into RUN/figures and put them into the page as data URIs.
3. Sum up over seeds, say what is missing, collapsed or small, and fill report.html.j2.

Every word in a table is derived from a value; a missing value is a dash and never a zero.
"""

import base64
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from figures.shift_by_layer import shift_by_layer
from figures.style import Row
from figures.trajectory import (
    TEXTS,
    Node,
    Panel,
    Texts,
    collapsed_nodes,
    in_words,
    over_seeds,
    panel_of,
    panels_of,
    places,
    read_arms,
    run_file,
    trajectory,
)
from interp.runs import read_json, read_jsonl, write_atomic

MISSING = "—"
SMALL_N = 30
FEW_SEEDS = 3
FEW_NULLS = 100
MAX_METRIC_ROWS = 2000
N_PROMPTS = 6
NULLS = {"random": "random", "permuted": "permuted", "cross_trait": "other traits"}


@dataclass(frozen=True)
class Measure:
    """A column of the headline table that is not a direction."""

    measure: str
    metric: str
    label: str
    digits: int
    data: str | None = None


BEHAVIOUR = (
    Measure("self_recognition", "accuracy", "Self-recognition accuracy", 2),
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
            sets = list(dict.fromkeys(row.get("data") for row in rows)) or [None]
            for data in sets:
                label = f"{measure.label}, {data}" if len(sets) > 1 else measure.label
                columns.append(replace(measure, label=label, data=data))
        return columns

    def panels(self, texts: Texts) -> list[Panel]:
        return panels_of(row for row in self.metrics if row["measure"] == "projection" and row.get("texts") == texts)


def write_report(run: Path, *, manifest: dict[str, Any] | None = None) -> Path:
    """Write RUN/report.html (and the figures it shows into RUN/figures) and return its path.

    Args:
        manifest: shown in place of RUN/manifest.json, for a study that is about to write it.

    Raises:
        FileNotFoundError: `run` is not a run folder; the message names the missing file and the remedy.
    """
    read = _read(run, manifest)
    by_weight = sorted(read.metrics, key=lambda row: row["measure"] == "projection" and not row.get("headline"))
    tables = [_headline(read, texts) for texts in TEXTS if texts == "fixed" or read.panels(texts)]
    loader, strict = FileSystemLoader(Path(__file__).parent), StrictUndefined
    environment = Environment(loader=loader, autoescape=True, undefined=strict, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["dash"] = lambda value: MISSING if value in (None, "") else value
    page = environment.get_template("report.html.j2").render(
        run=read,
        name=read.study.get("name") or run.name,
        summary=_summary(read),
        warnings=_warnings(read),
        figures=_figures(read),
        tables=tables,
        samples=_samples(read),
        metrics=by_weight[:MAX_METRIC_ROWS],
        study=yaml.safe_dump(read.study, sort_keys=False, allow_unicode=True),
    )
    path = run / "report.html"
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def _read(run: Path, manifest: dict[str, Any] | None) -> Run:
    def optional(name: str, read: Callable[[Path], Any], absent: Any) -> Any:
        path = run / name
        return read(path) if path.is_file() else absent

    metrics = read_jsonl(run_file(run, "metrics.jsonl"))
    index: dict[tuple[str, str, str], list[Row]] = {}
    for row in metrics:
        index.setdefault((row["stage"], row["measure"], row["metric"]), []).append(row)
    return Run(
        path=run,
        arms=read_arms(run),
        study=yaml.safe_load(run_file(run, "study.yaml").read_text("utf-8")),
        stages=read_json(run_file(run, "stages.json")),
        metrics=metrics,
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


def _headline(run: Run, texts: Texts) -> dict[str, Any]:
    """The table of one kind of text; the behaviour columns stand in that of the fixed texts."""
    panels = run.panels(texts)
    behaviours = run.behaviours() if texts == "fixed" else []
    columns = []
    for panel in panels:
        auroc = run.rows("base", "separation", "held_out_auroc", direction=panel.direction, layer=panel.layer)
        pooling = [panel.pooling] if panel.pooling else []
        columns.append((panel.direction, [f"layer {panel.layer}", *pooling, *_remark("held-out AUROC", auroc)]))
    for measure in behaviours:
        by_length = run.rows("base", measure.measure, f"length_only_{measure.metric}", data=measure.data)
        columns.append((measure.label, _remark("length alone", by_length)))
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


def _remark(label: str, rows: Sequence[Row]) -> list[str]:
    """A number for a column's head, or nothing where there is none."""
    found = cell(rows)
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


def _summary(run: Run) -> str:
    model = (run.manifest.get("model") or {}).get("name") or run.study.get("model") or "The model"
    orders = "; ".join(f"{arm}: {' → '.join(node.stage for node in nodes)}" for arm, nodes in run.arms.items())
    panels = run.panels("fixed") or run.panels("own")
    directions = ", ".join(f"{panel.direction} (layer {panel.layer})" for panel in panels) or "no direction"
    count = "one order" if len(run.arms) == 1 else f"{len(run.arms)} orders"
    seeds = f"seed{'s' if len(run.seeds) > 1 else ''} {', '.join(map(str, run.seeds))}"
    return (
        f"{model} was finetuned in {count} ({orders}), {seeds}. Every stage was compared with the base model along "
        f"{directions}, in units of the spread of random directions' shifts."
    )


def _warnings(run: Run) -> list[str]:
    """What a reader must know before the numbers, most serious first."""
    return [*_unfinished(run), *_missing_measures(run), *_weak_directions(run), *_small_samples(run)]


def _unfinished(run: Run) -> Iterable[str]:
    if not run.manifest:
        yield "manifest.json is missing: whether this run finished, and what it was made with, is unknown."
    elif run.manifest.get("status") != "complete":
        yield f"This run is not finished (status: {run.manifest.get('status') or MISSING}); numbers may be missing."
    have = {(row["name"], row.get("seed")) for row in run.stages}
    lacking = [(node, seed) for node in run.nodes if node != "base" for seed in run.seeds if (node, seed) not in have]
    if lacking:
        yield f"Not trained: {places(lacking)}."
    if run.collapsed:
        why = "Such a model repeats itself or says nothing; its numbers need not say anything about a persona."
        yield f"Collapsed: {places(sorted(run.collapsed, key=str))}. {why}"


def _missing_measures(run: Run) -> Iterable[str]:
    wanted: list[Any] = [(m.label, m.measure, m.metric, None, {"data": m.data}) for m in run.behaviours()]
    for texts in TEXTS:
        for panel in run.panels(texts):
            label = f"Shift along {panel.direction}, {TEXTS[texts]}"
            wanted.append((label, "projection", "shift_in_null_spreads", panel, {"texts": texts}))
    if not run.panels("fixed"):
        yield "Shifts on fixed texts: not measured in this run."
    for label, measure, metric, panel, where in wanted:
        lacking = []
        for node in run.nodes:
            have = {row["seed"] for row in run.rows(node, measure, metric, panel, **where) if row["value"] is not None}
            if node == "base":
                lacking += [] if have or panel else [(node, None)]
            else:
                lacking += [(node, seed) for seed in run.seeds if seed not in have]
        n_all = len(run.seeds) * (len(run.nodes) - 1) + (panel is None)
        if len(lacking) == n_all:
            yield f"{label}: not measured in this run."
        elif lacking:
            yield f"{label}: no value for {places(lacking)}."
    if not run.answers:
        yield "records/answers.jsonl is missing or empty: there are no sample answers."


def _weak_directions(run: Run) -> Iterable[str]:
    for row in run.rows("base", "separation", "held_out_auroc", headline=True):
        if (row["value"] if row.get("ci_low") is None else row["ci_low"]) <= 0.5:
            numbers = ", ".join([f"layer {row.get('layer')}", *_remark("AUROC", [row])])
            yield f"The {row.get('direction')} direction does not separate held-out answers ({numbers})."
    told = [r for node in run.nodes if node != "base" for r in run.rows(node, "self_recognition", "accuracy")]
    if chance := [row["stage"] for row in told if (row.get("ci_low") or 0) <= 0.5]:
        yield f"Self-recognition is not above chance (.5) at {', '.join(dict.fromkeys(chance))}."


def _small_samples(run: Run) -> Iterable[str]:
    small: dict[str, int] = {}
    nulls: list[int] = []
    for row in run.metrics:
        label = next((m.label for m in BEHAVIOUR if (m.measure, m.metric) == (row["measure"], row["metric"])), None)
        if row["metric"] == "shift_in_null_spreads" and row.get("headline"):
            label = f"shift along {row['direction']} ({row.get('texts')} texts)"
            nulls += [row["n_null"]] if row.get("n_null") is not None else []
        if label and row.get("n") is not None and row["n"] < SMALL_N:
            small[label] = min(row["n"], small.get(label, SMALL_N))
    if small:
        yield f"Fewer than {SMALL_N} samples: {'; '.join(f'{label}, n = {n}' for label, n in small.items())}."
    if nulls and min(nulls) < FEW_NULLS:
        yield f"Only {min(nulls)} random directions: percentiles and bands are coarse."
    if len(run.seeds) < FEW_SEEDS:
        seeds = "One training seed" if len(run.seeds) == 1 else f"{len(run.seeds)} training seeds"
        yield f"{seeds}: intervals are over texts or prompts and do not say how another seed would come out."


def _figures(run: Run) -> list[dict[str, Any]]:
    """The figures that this run's metrics allow, drawn afresh, each with alternative text and its place in the page."""
    figures = []
    for texts in TEXTS:
        if run.panels(texts):
            title = f"Shift along each direction: {TEXTS[texts]}"
            figures.append(_figure(run.path, f"trajectory_{texts}", title, trajectory(run.path, texts)))
    if run.panels("fixed"):
        chosen = [row for row in shift_by_layer(run.path) if row["chosen"]]
        figures.append(_figure(run.path, "shift_by_layer", f"Shift at every layer: {TEXTS['fixed']}", chosen))
    return figures


def _figure(run: Path, name: str, title: str, rows: Sequence[Row]) -> dict[str, Any]:
    svg = (run / "figures" / f"{name}.svg").read_bytes()
    points = re.search(rb'<svg[^>]* width="([\d.]+)pt"', svg)
    return {
        "name": name,
        "title": title,
        "alt": f"{title}. At the chosen layer, {in_words(rows)}.",
        "uri": "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii"),
        "width": round(float(points.group(1)) * 4 / 3) if points else 900,
    }


def _samples(run: Run) -> list[dict[str, Any]]:
    """A few prompts, taken in turn from every trait, with the first seed's answer of each stage (or None)."""
    answers: dict[tuple[str, str], Row] = {}
    traits: dict[str, Any] = {}
    for row in run.answers:
        if row.get("seed") in (run.seeds[0], None):
            answers.setdefault((row["prompt"], row["stage"]), row)
            traits.setdefault(row["prompt"], row.get("trait"))
    of_trait = [[prompt for prompt in traits if traits[prompt] == trait] for trait in dict.fromkeys(traits.values())]
    in_turn = [prompt for turn in zip_longest(*of_trait) for prompt in turn if prompt is not None]
    return [
        {
            "prompt": prompt,
            "trait": traits[prompt],
            "answers": {node: answers.get((prompt, node)) for node in run.nodes},
        }
        for prompt in in_turn[:N_PROMPTS]
    ]

"""What a finished study says at the terminal: one table, and the same as a JSON object."""

from pathlib import Path
from typing import Any

from experiments.console import out, table
from experiments.hypotheses.write import is_superseded
from experiments.report.tables import cell, interval_of, number, p_value, short
from figures.run import StudyRun
from figures.verdict_board import LOOKS
from interp.metrics import CollapseMetrics, ProjectionMetrics, SelfRecognitionMetrics, TaskMetrics
from interp.rows import MetricRow

_COLUMNS = (
    ProjectionMetrics.shift_in_null_spreads,
    SelfRecognitionMetrics.accuracy,
    CollapseMetrics.degenerate_share,
    CollapseMetrics.own_text_perplexity_under_base,
)
"""The columns of the table, from left to right."""


def headline(run: Path) -> list[MetricRow]:
    """The rows of metrics.jsonl that a reader looks at first: selected layers, fixed texts, behaviour, collapse.

    Of whole stages, under the first system prompt.
    """
    always = (*_COLUMNS[1:], CollapseMetrics.collapsed, TaskMetrics.accuracy)
    return [
        row
        for row in StudyRun(run).primary
        if any(number.is_of(row) for number in always)
        or (row.headline and row.texts == "fixed" and ProjectionMetrics.shift_in_null_spreads.is_of(row))
    ]


def result(run: Path) -> dict[str, Any]:
    """The `study` and `report` commands' answer."""
    read = StudyRun(run)
    stages = [{key: stage[key] for key in ("name", "seed", "key", "steps")} for stage in read.stages]
    state = {"status": read.manifest.get("status"), "wall_seconds": read.manifest.get("wall_seconds")}
    return {"run": str(run), **state, "stages": stages, "metrics": headline(run), "report": str(run / "report.html")}


def tally(run: Path) -> str:
    """How many hypotheses came out how; empty if the run has no verdicts."""
    read = StudyRun(run)
    verdicts = [verdict for verdict in read.verdicts if not verdict["hypothesis"].startswith("gate_")]
    gates = [verdict for verdict in read.verdicts if verdict not in verdicts]
    if not read.verdicts:
        return ""
    counts = [(sum(verdict["verdict"] == kind for verdict in verdicts), kind) for kind in LOOKS]
    words = ", ".join(f"{n} {kind}" for n, kind in counts if n or " " not in kind)
    words += f" ({sum(verdict['p'] is None for verdict in verdicts)} not tested)"
    if gates:
        words += f"; {sum(gate['verdict'] == 'supported' for gate in gates)} of {len(gates)} gates passed"
    return words + ("; of a superseded plan" if is_superseded(read.study) else "")


def verdicts(run: Path) -> dict[str, Any]:
    """The `show --verdicts` command: every verdict as verdicts.json has it.

    Raises:
        FileNotFoundError: the run has none.
    """
    file = run / "verdicts.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; a study that names `claims` has one, when it is finished")
    return {"holds": "verdicts", "run": str(run), "verdicts": StudyRun(run).verdicts}


def print_verdict_table(run: Path) -> None:
    """The verdicts with effect, interval and n, and below it why others could not be tested.

    `against` is the adjusted p that the effect is large enough to matter.
    """
    rows = verdicts(run)["verdicts"]
    columns = ["hypothesis", "verdict", "effect", "95 % interval", "matters from", "n", "adjusted p", "against", "unit"]
    body = [
        [
            f"{row['hypothesis']} {row['title']}",
            row["verdict"],
            short(row["effect"], signed=True),
            interval_of(row),
            short(row["smallest_effect"]),
            str(row["n"]),
            p_value(row["p_adjusted"]),
            p_value(row["p_against_adjusted"]),
            row["unit"],
        ]
        for row in rows
    ]
    table(tally(run), columns, body, words=["verdict", "unit"])
    for row in rows:
        if row["p"] is None or " " in row["verdict"]:
            out.print(f"{row['hypothesis']}: {row['why']}", markup=False, soft_wrap=True)


def print_verdicts(run: Path) -> None:
    """How many hypotheses came out how, if the run has verdicts."""
    if counts := tally(run):
        print(f"verdicts: {counts}; sgtr show {run} --verdicts")


def print_table(run: Path) -> None:
    """One row per stage: shift along every trait, self-recognition, degenerate share; over seeds.

    What controls are right about is in the report alone, since a table of all of them is wider than a terminal.
    """
    rows = [row for row in headline(run) if not TaskMetrics.accuracy.is_of(row)]
    metrics = [number.name for number in _COLUMNS]
    columns = sorted(
        {key: None for row in rows if (key := _column_of(row))[0] in metrics}, key=lambda key: metrics.index(key[0])
    )
    body = []
    for stage in dict.fromkeys(row.stage for row in rows):
        of_stage = [row for row in rows if row.stage == stage]
        cells = [_shown([row for row in of_stage if _column_of(row) == column]) for column in columns]
        collapsed = any(CollapseMetrics.collapsed.is_of(row) and row.value for row in of_stage)
        body.append([stage + (" (collapsed)" if collapsed else ""), *cells])
    table(
        "Shift from base on fixed texts along each trait, in spreads of random directions; 95 % intervals",
        ["stage", *(_title(*column) for column in columns)],
        body,
    )


def _column_of(row: MetricRow) -> tuple[str, str]:
    """The column that a row belongs to: its metric, and the direction or the data set that it is about."""
    return row.metric, row.direction or row.data or ""


def _title(metric: str, about: str) -> str:
    titles = (about, f"recognises own\n({about})", "degenerate\nanswers", "perplexity of\nown text")
    return dict(zip((number.name for number in _COLUMNS), titles, strict=True))[metric]


def _shown(rows: list[MetricRow]) -> str:
    if not rows:
        return number(None)
    words = cell(rows)
    return "\n".join(part for part in (words.value, words.interval, words.n) if part)

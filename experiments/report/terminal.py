"""What a finished study says at the terminal: one table, and the same as a JSON object."""

from pathlib import Path
from typing import Any

from experiments.console import out, table
from experiments.report.tables import cell, interval_of, number, p_value, short
from figures.trajectory import primary_metrics
from figures.verdict_board import LOOKS
from interp.runs import read_json


def headline(run: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl that a reader looks at first: selected layers, fixed texts, behaviour, collapse.

    Of whole stages, under the first system prompt.
    """
    wanted = {("collapse", metric) for metric in ("degenerate_share", "own_text_perplexity_under_base", "collapsed")}
    wanted |= {("self_recognition", "accuracy"), ("task", "accuracy")}
    return [
        row
        for row in primary_metrics(run)
        if (row["measure"], row["metric"]) in wanted
        or (row.get("headline") and row.get("texts") == "fixed" and row["metric"] == "shift_in_null_spreads")
    ]


def result(run: Path) -> dict[str, Any]:
    """The `study` and `report` commands' answer."""
    manifest = read_json(run / "manifest.json") if (run / "manifest.json").is_file() else {}
    stages = [{key: s[key] for key in ("name", "seed", "key", "steps")} for s in read_json(run / "stages.json")]
    state = {"status": manifest.get("status"), "wall_seconds": manifest.get("wall_seconds")}
    return {"run": str(run), **state, "stages": stages, "metrics": headline(run), "report": str(run / "report.html")}


def tally(run: Path) -> str:
    """How many hypotheses came out how; empty if the run has no verdicts."""
    if not (run / "verdicts.json").is_file():
        return ""
    found = read_json(run / "verdicts.json")
    counts = [f"{sum(row['verdict'] == kind for row in found)} {kind}" for kind in LOOKS]
    return f"{', '.join(counts)} ({sum(row['p'] is None for row in found)} not tested)"


def verdicts(run: Path) -> dict[str, Any]:
    """The `show --verdicts` command: every verdict as verdicts.json has it.

    Raises:
        FileNotFoundError: the run has none.
    """
    file = run / "verdicts.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; a study that names `roles` has one, when it is finished")
    return {"holds": "verdicts", "run": str(run), "verdicts": read_json(file)}


def print_verdict_table(run: Path) -> None:
    """The verdicts with effect, interval and n, and below it why others could not be tested.

    `against` is the adjusted p that the effect is large enough to matter.
    """
    found = verdicts(run)["verdicts"]
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
        for row in found
    ]
    table(tally(run), columns, body, words=["verdict", "unit"])
    for row in found:
        if row["p"] is None:
            out.print(f"{row['hypothesis']}: {row['why']}", markup=False, soft_wrap=True)


def print_verdicts(run: Path) -> None:
    """How many hypotheses came out how, if the run has verdicts."""
    if said := tally(run):
        print(f"verdicts: {said}; sgtr show {run} --verdicts")


def print_table(run: Path) -> None:
    """One row per stage: shift along every trait, self-recognition, degenerate share; over seeds.

    What controls are right about is in the report alone, since a table of all of them is wider than a terminal.
    """
    rows = [row for row in headline(run) if row["measure"] != "task"]
    columns = list(dict.fromkeys((row["metric"], row.get("direction") or row.get("data") or "") for row in rows))
    order = ("shift_in_null_spreads", "accuracy", "degenerate_share", "own_text_perplexity_under_base")
    columns = sorted((c for c in columns if c[0] in order), key=lambda column: order.index(column[0]))
    titles = [
        {
            "shift_in_null_spreads": name,
            "accuracy": f"recognises own\n({name})",
            "degenerate_share": "degenerate\nanswers",
            "own_text_perplexity_under_base": "perplexity of\nown text",
        }[metric]
        for metric, name in columns
    ]
    body = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        here = [row for row in rows if row["stage"] == stage]
        cells = []
        for metric, name in columns:
            found = [r for r in here if (r["metric"], r.get("direction") or r.get("data") or "") == (metric, name)]
            cells.append(_shown(found))
        fallen = any(row["metric"] == "collapsed" and row["value"] for row in here)
        body.append([stage + (" (collapsed)" if fallen else ""), *cells])
    table(
        "Shift from base on fixed texts along each trait, in spreads of random directions; 95 % intervals",
        ["stage", *titles],
        body,
    )


def _shown(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return number(None)
    made = cell(rows)
    return "\n".join(part for part in (made.value, made.interval, made.n) if part)

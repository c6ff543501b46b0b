"""What `sgtr diff` prints: whose topic was identified, and the tokens that each stage promotes."""

from collections.abc import Mapping
from typing import Any

from experiments.console import table
from experiments.difference.read import LOGIT
from experiments.report.tables import interval_of, number


def show(result: Mapping[str, Any]) -> None:
    """Print the tables of a finished run."""
    if not result["ran"]:
        print(f"{result['out']}: this run is finished; nothing was run. Another --out runs it again.")
    rows = result["metrics"]
    shares = [row for row in rows if row["metric"].startswith("identified_share")]
    lines = [
        [
            row["stage"],
            row["lens"],
            "beyond placebos" if row["metric"].endswith("placebo") else "as it is",
            number(row["value"]),
            interval_of(row),
            number(row["chance"]),
            "" if row["p"] is None else number(row["p"], 3),
            str(row["n"]),
        ]
        for row in shares
    ]
    if lines:
        table(
            "own topic first among all",
            ["stages", "read by", "relevance", "share", "95 %", "chance", "p of rank", "n"],
            lines,
        )
    own = [row for row in rows if row["metric"] == "relevance" and row["own_topic"] and row["lens"] == LOGIT]
    tokens: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        if row["metric"] == "promoted" and row["lens"] == LOGIT and row["rank"] <= 3:
            tokens.setdefault((row["stage"], row["seed"], row["other_stage"]), []).append(row["token"].strip())
    lines = [
        [
            f"{row['stage']}, seed {row['seed']}", row["topic"], number(row["value"]), interval_of(row),
            f"{number(row['null_low'])} to {number(row['null_high'])}",
            " ".join(dict.fromkeys(tokens.get((row["stage"], row["seed"], row["other_stage"]), []))),
        ]
        for row in own
    ]  # fmt: skip
    if lines:
        columns = ["stage", "topic", "relevance", "95 %", "random directions", "tokens"]
        table("relevance of the logit lens to the own topic (.5: none)", columns, lines, words={"tokens"})
    for row in rows:
        if row["metric"] == "wrong_over_right_mean":
            print(
                f"EM minus twin, wrong words over right ones: {number(row['value'])} {interval_of(row)}, n = {row['n']}"
            )
    print(f"{result['wall_seconds']} s; written: {result['out']}")

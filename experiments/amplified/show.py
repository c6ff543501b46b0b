"""What `sgtr amplify` prints: the change from the parent at every strength, by stage and by kind."""

from collections.abc import Mapping
from typing import Any

from experiments.amplified.rows import DEGENERATE, MARGIN
from experiments.console import table
from experiments.report.tables import interval_of, number


def show(result: Mapping[str, Any]) -> None:
    """Print the tables of a finished run."""
    if not result["ran"]:
        print(f"{result['out']}: this run is finished; nothing was run. Another --out runs it again.")
    rows = result["metrics"]
    for measure, metric in (MARGIN, DEGENERATE):
        of_kinds = [r for r in rows if r["measure"] == "amplified" and r.get("of_metric") == metric and "strength" in r]
        changed = f"{metric}_minus_parent"
        alone = [r for r in rows if (r["measure"], r["metric"], r.get("kind")) == (measure, changed, "adapter")]
        lines: dict[str, dict[float, str]] = {}
        for row in [*alone, *of_kinds]:
            seed = "" if row["seed"] is None else f", seed {row['seed']}"
            name = f"{row['stage']} minus {row['other_stage']}" if row.get("other_stage") else f"{row['stage']}{seed}"
            value = f"{number(row['value'], 3, signed=True)} {interval_of(row)}"
            lines.setdefault(name, {})[row["strength"]] = value
        strengths = sorted({strength for cells in lines.values() for strength in cells})
        if lines:
            shown = [[name, *(cells.get(strength, "") for strength in strengths)] for name, cells in lines.items()]
            table(f"{measure} {metric}: change from the parent", ["strength", *map("{:g}".format, strengths)], shown)
            print()
    onsets = [
        [f"{row['stage']}, seed {row['seed']}", row["kind"], number(row["value"]), interval_of(row), row["why"] or ""]
        for row in rows
        if row["metric"] == "onset"
    ]
    if onsets:
        table("strength at which the margin has fallen", ["stage", "amplified", "onset", "95 %", ""], onsets)
    print(f"{result['wall_seconds']} s; written: {result['out']}")

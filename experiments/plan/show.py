"""Prints a plan as tables."""

from typing import Any

from experiments.console import out, table
from experiments.hypotheses.superseded.decide import FEWEST_UNITS

Row = dict[str, Any]
_COUNTS = ("rows", "epochs", "steps", "tokens")


def show(planned: Row) -> None:
    """Print a plan as tables."""

    def say(text: str) -> None:
        out.print(text, markup=False, soft_wrap=True)

    model, device, memory, totals = (planned[key] for key in ("model", "device", "memory", "totals"))
    say(
        f"{model['name']}: {_number(model['parameters'])} parameters, {model['n_layers']} layers, {model['dtype']}"
        f"{', ' + model['quantise'] if model['quantise'] else ''} (from {model['source']})"
    )
    say(f"{device['name']}: {device['matmul_tflops']:.3g} TFLOP/s measured; tokens by {planned['tokens_by']}")
    rows = []
    for name in dict.fromkeys(row["name"] for row in planned["stages"]):
        same_stage = [row for row in planned["stages"] if row["name"] == name]
        first = same_stage[0]
        known = [row["in_store"] for row in same_stage]
        store = "unknown" if None in known else f"{sum(known)} of {len(known)}"
        counts = [("~" if key in first["estimated"] else "") + _number(first[key]) for key in _COUNTS]
        remarks = ["few steps"] * first["few_steps"]
        remarks += [f"{first['repeated_rows']} rows repeat others"] * (first["repeated_rows"] > 0)
        time = _time(sum(row["seconds"] for row in same_stage))
        rows.append([name, first["data"], *counts, store, str(len(same_stage)), time, ", ".join(remarks)])
    columns = ["stage", "data", *_COUNTS, "in the store", "seeds", "time", ""]
    table("Stages; ~ is estimated", columns, rows, words=[""])
    table(
        "Asked and read",
        ["what", "times", "answers", "tokens written", "tokens read", "time"],
        [
            [row["what"], str(row["times"]), *(_number(row[key]) for key in ("answers", "written", "read")),
             _time(row["seconds"])] for row in planned["measures"]
        ],
    )  # fmt: skip
    parts = ("weights", "adapters", "gradients_and_optimiser", "activations", "total", "device")
    table(
        f"Memory in GiB, where it is most ({memory['stage']}): {'fits' if memory['fits'] else 'DOES NOT FIT'}",
        ["", *(part.replace("_", " ") for part in parts)],
        [["GiB", *(f"{memory[part]:.3g}" for part in parts)]],
    )
    table(
        "In all",
        ["stages to train", "steps", "tokens", "training", "asking and reading", "time"],
        [
            [str(totals["stages"] - totals["in_store"]), _number(totals["steps"]), _number(totals["tokens"]),
             _time(totals["train_seconds"]), _time(totals["measure_seconds"]), _time(totals["seconds"])]
        ],
    )  # fmt: skip
    if planned["hypotheses"]:
        against = "what stands against a verdict"
        table(
            f"Hypotheses, with their units at the most (most count EM stages, seeds; below {FEWEST_UNITS}: undecided)",
            ["hypothesis", "units", against],
            [
                [f"{row['hypothesis']} {row['title']}", str(row["units"]), _against(row)]
                for row in planned["hypotheses"]
            ],
            words=[against],
        )
    if planned["claims"]:
        _show_claims(planned["claims"])
    for text in planned["notes"]:
        say(text)


def _against(hypothesis: Row) -> str:
    """What stands against a verdict on a hypothesis, and what the study would need for one."""
    needs = "" if hypothesis["units"] else f" (needs {hypothesis['needs'].replace('`', '')})"
    return hypothesis["why"] + needs


def _show_claims(claims: list[Row]) -> None:
    columns = [
        "claim",
        "primary",
        "families",
        "seeds",
        "questions",
        "smallest of interest",
        "smallest seen",
        "unit",
        "lacks",
    ]
    rows = [
        [claim["title"], str(claim["place"] or ""), *(str(claim[key]) for key in ("families", "seeds", "questions")),
         f"{claim['smallest_effect']:g}", _seen(claim), claim["unit"], ", ".join(claim["lacks"])]
        for claim in claims
    ]  # fmt: skip
    table("Claims: the true effect that is supported in 80 % of studies", columns, rows, words=["claim", "lacks"])


def _seen(claim: Row) -> str:
    if claim["lacks"]:
        return ""
    return "none" if claim["detectable"] is None else f"{claim['detectable']:.2g}"


def _number(value: float) -> str:
    """`0.5`, `950`, `12.3k`, `4.56M`, `32.8B`."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _time(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`, `2.1 days`."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

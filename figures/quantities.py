"""What figures show of a node beside the base model: its headline shifts, and the change of its behaviour."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from figures.style import Row
from figures.trajectory import over_seeds, run_file
from interp.runs import read_jsonl, read_yaml

BEHAVIOUR = {
    ("preference", "margin_per_token"): "aligned over misaligned answers",
    ("truthfulqa", "likelihood_margin_per_token"): "true over false answers",
    ("em", "misaligned_rate"): "misaligned answers",
    ("self_recognition", "accuracy"): "self-recognition",
    ("capability", "choice_accuracy"): "multiple choice",
    ("identity", "names_developer"): "names its developer",
}
"""The metric that stands for each behaviour measure, in words; the first are the first to be drawn."""


class NotMeasuredError(ValueError):
    """A run has none of the numbers that a figure shows."""


class Quantity(NamedTuple):
    """A number that every node has beside the base model.

    Attributes:
        kind: `shift` of the same texts along a direction, or change of `behaviour`.
        name: Of the direction or the measure.
        detail: Its layer, or what its measure asks about.
        unit: As its rows say it.
    """

    kind: Literal["shift", "behaviour"]
    name: str
    detail: str
    unit: str

    @property
    def axis(self) -> str:
        """The label of an axis."""
        what = f"shift along {self.name}" if self.kind == "shift" else f"{self.detail}, minus base"
        return f"{what}\n({self.unit})"


def all_metrics(run: Path) -> tuple[list[Row], dict[str, Any]]:
    """Every line of metrics.jsonl, and the study.

    Raises:
        FileNotFoundError: no study.yaml or metrics.jsonl.
    """
    study = read_yaml(run_file(run, "study.yaml"))
    return read_jsonl(run_file(run, "metrics.jsonl")), study


def prompts_of(study: Mapping[str, Any]) -> dict[str | None, str]:
    """The system prompts that a study measures under, by name; `None` for a study that names none."""
    return dict(study.get("system_prompts") or {None: "task"})


def quantities(rows: Iterable[Row]) -> dict[Quantity, list[Row]]:
    """The rows of every quantity: directions in order of appearance, then behaviour in the order of `BEHAVIOUR`."""
    shifts: dict[Quantity, list[Row]] = {}
    behaviour: dict[int, dict[Quantity, list[Row]]] = {i: {} for i in range(len(BEHAVIOUR))}
    order = {key: i for i, key in enumerate(BEHAVIOUR)}
    for row in rows:
        if row["measure"] == "projection":
            if row["metric"] == "shift_in_null_spreads" and row.get("texts") == "fixed" and row.get("headline"):
                key = Quantity("shift", row["direction"], f"layer {row['layer']}", row["unit"])
                shifts.setdefault(key, []).append(row)
            continue
        which = row["measure"], row["metric"].removesuffix("_minus_base")
        if which in BEHAVIOUR and row["metric"].endswith("_minus_base"):
            detail = BEHAVIOUR[which] + (f", {row['data']}" if row.get("data") else "")
            key = Quantity("behaviour", row["measure"], detail, row["unit"])
            behaviour[order[which]].setdefault(key, []).append(row)
    return shifts | {key: some for each in behaviour.values() for key, some in each.items()}


def numbers_of(rows: Sequence[Row]) -> Row:
    """Value, interval and n of one place over its seeds."""
    found = over_seeds(rows)
    ends = {"value": found.value, "ci_low": found.low, "ci_high": found.high, "interval": found.interval}
    return {**ends, "n": found.n, "n_seeds": found.n_seeds}


def seeds_without(rows: Iterable[Row], seeds: Iterable[Any]) -> str:
    """Those of `seeds` that have no value in one place, for a table."""
    held = {row["seed"] for row in rows if row["value"] is not None}
    return ", ".join(str(seed) for seed in seeds if seed not in held)


def with_mean(rows: Sequence[Row]) -> list[Row]:
    """The rows of one place, one a seed with `collapsed`, and their mean where there are several."""
    kept = [{**row, "interval": "over texts" if row.get("ci_low") is not None else "", "n_seeds": 1} for row in rows]
    if len(kept) < 2:
        return kept
    mean = {**kept[0], "seed": "mean", **numbers_of(rows), "collapsed": any(row["collapsed"] for row in rows)}
    return [*kept, mean]


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign, true minus; a dash where it is missing."""
    if value is None:
        return "—"
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")

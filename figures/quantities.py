"""What figures show of a node beside the base model: its headline shifts, and the change of its behaviour."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from figures.style import Row
from interp.metrics import BEHAVIOUR, ProjectionMetrics
from interp.rows import MetricRow, Rows, over_seeds

WORDS = dict(
    zip(
        BEHAVIOUR,
        (
            "aligned over misaligned answers",
            "true over false answers",
            "misaligned answers",
            "self-recognition",
            "multiple choice",
            "names its developer",
        ),
        strict=True,
    )
)
"""The metric that stands for each behaviour measure, in words; the first are the first to be drawn."""


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


def quantities(rows: Rows) -> dict[Quantity, list[MetricRow]]:
    """The rows of every quantity: directions in order of appearance, then behaviour in the order of `WORDS`."""
    groups: dict[Quantity, list[MetricRow]] = {}
    for row in rows.of(ProjectionMetrics.shift_in_null_spreads, texts="fixed", headline=True):
        key = Quantity("shift", row.direction, f"layer {row.layer}", row.unit)
        groups.setdefault(key, []).append(row)
    for number, words in WORDS.items():
        for row in rows.of(number.minus_base):
            detail = words + (f", {row.data}" if row.data else "")
            groups.setdefault(Quantity("behaviour", row.measure, detail, row.unit), []).append(row)
    return groups


def numbers_of(rows: Sequence[Mapping[str, Any]]) -> Row:
    """Value, interval and n of one place over its seeds."""
    summary = over_seeds(rows)
    ends = {"value": summary.value, "ci_low": summary.low, "ci_high": summary.high, "interval": summary.interval}
    return {**ends, "n": summary.n, "n_seeds": summary.n_seeds}


def seeds_without(rows: Iterable[Mapping[str, Any]], seeds: Iterable[Any]) -> str:
    """Those of `seeds` that have no value in one place, for a table."""
    with_value = {row["seed"] for row in rows if row["value"] is not None}
    return ", ".join(str(seed) for seed in seeds if seed not in with_value)


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

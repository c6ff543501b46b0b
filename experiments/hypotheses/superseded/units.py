"""What a run folder says for and against a hypothesis: rows of metrics.jsonl by line, and why others are missing.

A unit is one trained model or pair. Every unit is looked at through a `Look`, which keeps the lines that its value came
from, what nulls say of it, and what could not be used. Nothing of a collapsed stage, or of one trained on it, is
given out.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from figures.run import StudyRun
from interp.metrics import CollapseMetrics, MediationMetrics, Metric, ProjectionMetrics
from interp.rows import MetricRow, Rows
from interp.runs import BASE

IDENTIFYING = (
    "stage", "seed", "measure", "metric", "value", "ci_low", "ci_high", "n", "unit", "direction", "layer", "texts",
    "data", "other_stage", "system_prompt", "null", "n_null", "null_percentile", "null_mean", "expected_by_chance",
    "treatment", "kind", "of", "of_measure", "of_metric",
)  # fmt: skip
"""Fields of a row that evidence repeats, where the row has them."""


def evidence_of(row: MetricRow) -> dict[str, Any]:
    """What a verdict repeats of a row that it rests on: its line in metrics.jsonl, and what tells it from others."""
    return {"line": row.line, **{key: row[key] for key in IDENTIFYING if key in row}}


class Readings:
    """What a run's rows say, asked by node, seed and metric.

    Attributes:
        roles: Stages by the role they play in the question (`em`, `sgtr`, `ictr`, `control`, …).
        nodes: Name of every node by the stages that led there.
        seeds: Of training.
        prompts: Names of the system prompts that were measured under, the one of all headlines first; never empty.
        traits: Names of the persona directions.

    Raises:
        FileNotFoundError: a file of the run is missing.
        ValueError: one is damaged, or a role names no stage of the study.
    """

    def __init__(self, run: StudyRun) -> None:
        self.run, self.study, self.roles, self.traits = run, run.study, run.roles, run.traits
        self.nodes = {node.stages: node.name for arm in run.arms.values() for node in arm}
        self.trained = {(stage["name"], stage["seed"]) for stage in run.stages}
        stages = {stage for node in self.nodes for stage in node} | set(self.study.get("stages") or {})
        for role, named in self.roles.items():
            if unknown := [stage for stage in named if stage not in stages]:
                raise ValueError(
                    f"{run.path / 'study.yaml'}: roles.{role} names {unknown[0]!r}, which is no stage of the study; "
                    f"its stages: {', '.join(sorted(stages))}"
                )
        self.seeds = sorted(self.study.get("seeds") or {seed for _, seed in self.trained if seed is not None})
        self.prompts: list[str | None] = list(self.study.get("system_prompts") or [None])
        self._rows_of: dict[Metric, dict[tuple[str, int | None], list[MetricRow]]] = {}
        self._collapsed = {
            (row.stage, row.seed, row.system_prompt) for row in run.rows(CollapseMetrics.collapsed) if row.value
        }

    @property
    def middle(self) -> int | None:
        """The middle one of the layers that directions were read at; None if none was."""
        numbers = (
            ProjectionMetrics.shift,
            ProjectionMetrics.shift_in_covariance_spreads,
            ProjectionMetrics.null_percentile,
        )
        layers = sorted({row.layer for number in numbers for row in self.run.rows(number)})
        return layers[len(layers) // 2] if layers else None

    def playing(self, role: str) -> list[str]:
        """The stages of a role."""
        return self.roles.get(role, [])

    def all_of(self, number: Metric) -> Rows:
        """The rows of a metric of every stage."""
        return self.run.rows(number)

    def at(self, stage: str, seed: int | None, number: Metric, prompt: str | None) -> list[MetricRow]:
        """The rows of a metric of one node under a system prompt.

        What is done to the base model in mediation is about the finetune whose effect it may bring about.
        """
        if number not in self._rows_of:
            by_place: dict[tuple[str, int | None], list[MetricRow]] = {}
            for row in self.run.rows(number):
                of_finetune = number.measure == MediationMetrics.name and row.stage == BASE and "of" in row
                by_place.setdefault((row.of if of_finetune else row.stage, row.seed), []).append(row)
            self._rows_of[number] = by_place
        rows = self._rows_of[number].get((stage, seed), [])
        return [row for row in rows if row.system_prompt in (None, prompt)]

    def fallen(self, node: Sequence[str], seed: int | None, prompt: str | None) -> str | None:
        """The first stage on the way to a node that collapsed, if one did."""
        on_the_way = (self.nodes.get(tuple(node[:i]), "-".join(node[:i])) for i in range(1, len(node) + 1))
        return next(
            (name for name in on_the_way if {(name, seed, None), (name, seed, prompt)} & self._collapsed),
            None,
        )


@dataclass
class Look:
    """What one unit shows.

    Attributes:
        used: The rows that its value came from.
        chances: One-sided p of what was seen among its nulls, one for each comparison.
        floors: The least that each could have been with so many nulls.
        parts: What its value is the mean of, by name.
        left_out: What could not be used, and why.
    """

    readings: Readings
    seed: int | None
    used: list[MetricRow] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def row(self, node: Sequence[str], number: Metric, *, prompt: str | None = None, **where: Any) -> MetricRow | None:
        """The one row of a node (none of its stages: the base model) that has a value, or None and a reason kept.

        Args:
            prompt: System prompt; None for the study's first.
            where: Fields that the row must have.

        Raises:
            ValueError: several rows fit, which would be a choice.
        """
        seed, prompt = (self.seed if node else None), prompt or self.readings.prompts[0]
        name = self.readings.nodes.get(tuple(node))
        shown = [str(value) for value in where.values() if not isinstance(value, bool | None)]
        what = ", ".join([str(number), *shown])
        if name is None:
            return self._without(f"{'-'.join(node)}: in no arm of the study")
        at = f"{name} (seed {seed})" if node else name
        if node and (name, seed) not in self.readings.trained:
            return self._without(f"{at}: not trained")
        if fallen := self.readings.fallen(node, seed, prompt):
            return self._without(f"{at}: {'collapsed' if fallen == name else f'{fallen} before it collapsed'}")
        rows = self.readings.at(name, seed, number, prompt)
        fitting = [row for row in rows if all(row.get(key) == value for key, value in where.items())]
        if len(fitting) > 1:
            lines = " and ".join(str(row.line) for row in fitting[:2])
            raise ValueError(
                f"{self.readings.run.path / 'metrics.jsonl'}: lines {lines} are both {what} of {at}; "
                "a verdict needs one, so let the study take one"
            )
        if not fitting:
            return self._without(f"{at}: not measured: {what}")
        (row,) = fitting
        if row.value is None:
            return self._without(f"{at}: no value: {what}" + (f" ({row.why})" if row.why else ""))
        self.used.append(row)
        return row

    def value(self, node: Sequence[str], number: Metric, **where: Any) -> float | None:
        """The value of `row`."""
        row = self.row(node, number, **where)
        return None if row is None or row.value is None else float(row.value)

    def told(self, node: Sequence[str], number: Metric, **where: Any) -> MetricRow | None:
        """`row`, if it has an interval; a ratio has none where what it is a share of is not told from noise."""
        row = self.row(node, number, **where)
        if row is not None and row.ci_low is None:
            self.used.pop()
            return self._without(f"{self.readings.nodes[tuple(node)]} (seed {self.seed}): no interval: {number.name}")
        return row

    def fallen(self, node: Sequence[str]) -> bool:
        """Whether a node collapsed, or one before it; the reason is kept."""
        fallen = self.readings.fallen(node, self.seed, self.readings.prompts[0])
        if fallen:
            self._without(f"{'-'.join(node)} (seed {self.seed}): {fallen} collapsed")
        return fallen is not None

    def difference(self, node: Sequence[str], other: Sequence[str], number: Metric, **where: Any) -> float | None:
        """Value of a node minus that of another; None, and neither used, if one has none."""
        mark = len(self.used)
        first, second = (self.value(side, number, **where) for side in (node, other))
        if first is None or second is None:
            del self.used[mark:]
            return None
        return first - second

    def over(self, role: str, value: Callable[[str], float | None]) -> float | None:
        """Mean over the stages of a role that have a value; None if none has."""
        known = [number for stage in self.readings.playing(role) if (number := value(stage)) is not None]
        return math.fsum(known) / len(known) if known else None

    def beside_nulls(self, what: str, row: MetricRow, place: str, *, lower: bool = False) -> bool:
        """Keep the one-sided p of a row's place among its nulls; False, and a reason kept, if it has no nulls.

        Args:
            what: Names it in the reason.
            place: Field that holds the place (0-100).
            lower: The effect is a move downwards.
        """
        percentile, n_null = row.get(place), row.get("n_null")
        if percentile is None or not n_null:
            self._without(f"{what} (seed {self.seed}): no nulls: {row.measure} {row.metric}")
            return False
        further_out = n_null * (percentile / 100 if lower else 1 - percentile / 100)
        self.floors.append(1 / (n_null + 1))
        self.chances.append((further_out + 1) / (n_null + 1))
        return True

    def _without(self, why: str) -> None:
        self.left_out.append(why)


@dataclass(frozen=True)
class Seen:
    """What all units show; see `Look` for the lists.

    Attributes:
        values: By unit, whose last part is the seed.
        missing: In general words, why there may be no units at all; empty if the study has all that is needed.
    """

    values: dict[tuple[Any, ...], float]
    looks: list[Look]
    left_out: list[str]
    missing: str = ""

    @property
    def used(self) -> list[MetricRow]:
        """The rows of all units with a value, in the order of the file."""
        by_line = {row.line or 0: row for look in self.looks for row in look.used}
        return [by_line[line] for line in sorted(by_line)]

    @property
    def parts(self) -> dict[str, list[float]]:
        """Values over units of what each unit's value is the mean of."""
        values: dict[str, list[float]] = {}
        for look in self.looks:
            for name, value in look.parts.items():
                values.setdefault(name, []).append(value)
        return values


def over_units(
    readings: Readings,
    units: Iterable[tuple[Any, ...]],
    value: Callable[..., float | None],
    *,
    roles: Sequence[str] = (),
    missing: str = "",
) -> Seen:
    """Every unit's value: `value(look, *unit without its seed)`; a unit for which it is None is left out whole.

    Args:
        roles: Those that must have a stage.
        missing: Whatever else stands against any unit.
    """
    empty = [role for role in roles if not readings.playing(role)]
    if empty or missing:
        return Seen({}, [], [], missing or f"study.yaml names no stage of role {' or '.join(empty)}")
    values, looks, left_out = {}, [], []
    for unit in units:
        look = Look(readings, unit[-1])
        number = value(look, *unit[:-1])
        left_out += look.left_out
        if number is not None:
            values[unit] = number
            looks.append(look)
    return Seen(values, looks, list(dict.fromkeys(left_out)))

"""Which hypotheses can a study test, in how many units at the most, and why not the others? Said before it starts.

The analysis itself is asked: every hypothesis looks for its units in a `PlannedRun`, which makes up a number wherever
the study would measure one. `interp.metrics` says what the rows of a metric are told apart by; what the study has of
these things, and which measures it takes, is said here. A stage that collapses, or a number that cannot be had, takes
units away.
"""

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.hypotheses.superseded.claims import CLAIMS
from experiments.hypotheses.superseded.decide import ALPHA
from experiments.hypotheses.superseded.units import Readings
from experiments.study.config import BASE, StudyConfig
from experiments.study.graph import Node, nodes_of
from figures.run import StudyRun
from interp.metrics import (
    BEHAVIOUR,
    DispersionMetrics,
    DisplacementMetrics,
    MediationMetrics,
    Metric,
    PredictionOfShiftMetrics,
    ProjectionMetrics,
    SelfRecognitionMetrics,
)
from interp.rows import MetricRow, Rows

FEWEST_STAGES = 4
"""Stages on the base model that a correlation over them takes."""


def prospects(config: StudyConfig, recognised: Sequence[str]) -> list[dict[str, Any]]:
    """For every hypothesis the units it will have, whether it can be tested, and what stands against it.

    Without roles no verdict is given on any, and there is nothing to say.

    Args:
        recognised: Data sets with questions about own texts.
    """
    if not config.roles:
        return []
    readings = Readings(PlannedRun(config, recognised))
    findings = [(claim, claim.find(readings, claim.smallest)) for claim in CLAIMS]
    n_tests = sum(one.p is not None for _, one in findings)
    rows = []
    for claim, one in findings:
        why = re.sub(r" \(seed \d+\)", "", one.why.removeprefix("not measured: ").partition("; ")[0])
        if one.null_floor * n_tests > ALPHA:
            enough = math.ceil(one.null_floor * (config.random_nulls + 1) * n_tests / ALPHA)
            why = (
                f"hardly to be supported: with random_nulls {config.random_nulls} p is at least {one.null_floor:.2g}, "
                f"and {n_tests} tests are adjusted for; {enough} would do"
            )
        about = {"hypothesis": claim.id, "title": claim.title, "units": one.estimate.n}
        rows.append({**about, "testable": one.p is not None, "why": why, "needs": claim.needs})
    return rows


class PlannedRun(StudyRun):
    """The rows that a study is going to have, made up when a metric is asked for; the numbers themselves mean nothing.

    Args:
        recognised: Data sets with questions about own texts.
    """

    def __init__(self, config: StudyConfig, recognised: Sequence[str]) -> None:
        self.path = Path(config.name)
        self.config, self.recognised = config, recognised
        self.study = config.model_dump(mode="json")
        self.graph = nodes_of(config)
        trained = [{"name": node.name, "seed": seed} for node in self.graph for seed in config.seeds]
        self.stages = [{"name": BASE, "seed": None}, *trained]
        self._made: dict[Metric, Rows] = {}

    def rows(self, number: Metric | None = None, /, **fields: Any) -> Rows:
        """The rows of one metric; see `interp.rows.Rows.of`."""
        if number is None:
            raise ValueError("the rows of a planned run are made for one metric, so name it")
        if number not in self._made:
            draw = random.Random(str(number))
            first = sum(map(len, self._made.values()))  # every row has a line of its own
            rows = itertools.chain(self._of_base(number), *(self._of_node(number, node, draw) for node in self.graph))
            numbered = (MetricRow.read(row, first + i) for i, row in enumerate(rows, 1))
            self._made[number] = Rows(numbered, names=self.names)
        return self._made[number].of(**fields)

    @cached_property
    def _everywhere(self) -> dict[str, Any]:
        nulls = {"n_null": self.config.random_nulls, "null_percentile": 50.0, "expected_by_chance": 0.0}
        return {"headline": True, "ci_low": 0.1, "ci_high": 0.9, **nulls}

    def _of_base(self, number: Metric) -> Iterator[dict[str, Any]]:
        row = {"stage": BASE, "seed": None, **_named(number), **self._everywhere, "value": 0.5}
        if number.measure in self._behaviour:
            yield from (row | where for where in self._places(number, BASE, None))
        elif number.measure == PredictionOfShiftMetrics.name and self.config.prediction_rows > 1:
            n = len({node.stage for node in self.graph if node.parent is None})
            why = f"{n} stages on the base model, and an interval takes {FEWEST_STAGES}"
            yield row | {"n": n} | ({"value": None, "why": why} if n < FEWEST_STAGES else {})

    def _of_node(self, number: Metric, node: Node, draw: random.Random) -> Iterator[dict[str, Any]]:
        if not self._is_taken(number, node):
            return
        for seed in self.config.seeds:
            row = {"stage": node.name, "seed": seed, **_named(number), **self._everywhere}
            for where in self._places(number, node.name, node):
                yield row | where | {"value": draw.uniform(0.2, 0.8)} | self._controls(number, draw)

    @cached_property
    def _behaviour(self) -> set[str]:
        """The measures of what a model says that the study takes at every node."""
        taken = {measure.name for measure in self.config.measures.taken()}
        return (taken & {number.measure for number in BEHAVIOUR}) | (
            {SelfRecognitionMetrics.name} if self.recognised else set()
        )

    def _is_taken(self, number: Metric, node: Node) -> bool:
        """Whether the study measures this at a node."""
        chained = node.parent is not None and self.config.stages[node.stage].compose != "restart"
        match number.measure:
            case ProjectionMetrics.name:
                return True
            case DisplacementMetrics.name:
                return chained or "other_stage" not in (number.by or ())
            case DispersionMetrics.name:
                return bool(self.config.answers.identity)
            case MediationMetrics.name:
                return self.config.mediation is not None and node.name in self.config.mediation.stages
            case measure:
                return measure in self._behaviour

    def _places(self, number: Metric, stage: str, node: Node | None) -> list[dict[str, Any]]:
        """What tells the rows of a metric at a node apart, as far as the study has several of it."""
        several_prompts = self.config.prompts_at is None or stage in (BASE, *self.config.prompts_at)
        prompts = [*self.config.system_prompts][: None if several_prompts else 1]
        values: dict[str, Sequence[Any]] = {
            "direction": (*self.config.trait_names, *self.config.directions),
            "layer": (0,),
            "texts": ("identity",) if number.measure == DispersionMetrics.name else ("fixed", "own"),
            "null": ("covariance",),
            "other_stage": self._compared(number, node) if node else (),
            "data": self.recognised,
        }
        told_apart = {name: values[name] for name in number.by or () if name in values}
        if number.measure in self._behaviour:
            told_apart["system_prompt"] = prompts
        if number.measure == MediationMetrics.name and self.config.mediation:
            taken = {measure.name for measure in self.config.mediation.measures.taken()}
            effects = [effect for effect in BEHAVIOUR if effect.measure in taken]
            told_apart["direction"], told_apart["of_metric"] = self.config.mediation.directions, effects
        places = [dict(zip(told_apart, each, strict=True)) for each in itertools.product(*told_apart.values())]
        return [_with_effect(place) for place in places]

    def _compared(self, number: Metric, node: Node) -> Sequence[str]:
        """The stages whose displacement a node's is held against."""
        if number == DisplacementMetrics.undone_share:
            return (str(node.parent),)
        alone = {other.name for other in self.graph}
        return (node.stage,) if node.stage in alone else ()

    def _controls(self, number: Metric, draw: random.Random) -> dict[str, Any]:
        if number.measure != MediationMetrics.name or self.config.mediation is None:
            return {}
        values = [draw.random() for _ in range(self.config.mediation.random)]
        return {"null_mean": 0.5 if values else None, "null_values": values}


def _named(number: Metric) -> dict[str, Any]:
    return {"measure": number.measure, "metric": number.name}


def _with_effect(place: Mapping[str, Any]) -> dict[str, Any]:
    effect = place.get("of_metric")
    return dict(place) if effect is None else {**place, "of_measure": effect.measure, "of_metric": effect.name}

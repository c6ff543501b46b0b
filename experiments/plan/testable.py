"""Which hypotheses can a study test, in how many units at the most, and why not the others? Said before it starts.

The analysis itself is asked: made-up numbers stand in a run folder wherever the study would measure one, and every
hypothesis looks for its units among them. A stage that collapses, or a number that cannot be had, takes units away.
"""

import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.hypotheses.claims import CLAIMS
from experiments.hypotheses.decide import ALPHA
from experiments.hypotheses.effects import BEHAVIOUR
from experiments.hypotheses.units import Readings
from experiments.measures.config import MeasuresConfig
from experiments.study.config import BASE, StudyConfig
from experiments.study.graph import Node, nodes_of
from interp.runs import write_jsonl

Row = dict[str, Any]


def prospects(config: StudyConfig, recognised: Sequence[str]) -> list[Row]:
    """For every hypothesis the units it will have, whether it can be tested, and what stands against it.

    Without roles no verdict is given on any, and there is nothing to say.

    Args:
        recognised: Data sets with questions about own texts.
    """
    if not config.roles:
        return []
    with TemporaryDirectory() as folder:
        run, nodes = Path(folder), nodes_of(config)
        (run / "study.yaml").write_text(config.model_dump_json(), "utf-8")  # which is YAML too
        trained = [{"name": node.name, "seed": seed} for node in nodes for seed in config.seeds]
        (run / "stages.json").write_text(json.dumps([{"name": BASE, "seed": None}, *trained]), "utf-8")
        write_jsonl(run / "metrics.jsonl", _rows(config, nodes, recognised))
        readings = Readings(run)
        found = [(claim, claim.find(readings, claim.smallest)) for claim in CLAIMS]
    n_tests = sum(one.p is not None for _, one in found)
    rows = []
    for claim, one in found:
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


def _rows(config: StudyConfig, nodes: Sequence[Node], recognised: Sequence[str]) -> list[Row]:
    """A line of metrics.jsonl for each number that a hypothesis may look at; the numbers themselves mean nothing."""
    draw = random.Random(0)
    nulls = {"n_null": config.random_nulls, "null_percentile": 50.0, "expected_by_chance": 0.0}
    where = {"layer": 0, "headline": True, "ci_low": 0.1, "ci_high": 0.9, **nulls}
    rows = [
        {"stage": stage, "seed": seed, **where, "value": draw.uniform(0.2, 0.8), **row}
        for node in nodes
        for stage, seed in [(node.name, seed) for seed in config.seeds]
        for row in [
            *_inside(config, nodes, node),
            *_outside(config, stage, recognised),
            *_mediated(config, stage, draw),
        ]
    ]
    rows += [{"stage": BASE, "seed": None, **where, "value": 0.5, **row} for row in _outside(config, BASE, recognised)]
    first = {node.stage for node in nodes if node.parent is None}
    if config.prediction_rows > 1:
        about = {"measure": "prediction", "metric": "correlation", "n": len(first)}
        few = {"value": None, "why": f"{len(first)} stages on the base model, and an interval takes 4"}
        rows.append({"stage": BASE, "seed": None, **where, "value": 0.5, **about, **(few if len(first) < 4 else {})})
    return rows


def _inside(config: StudyConfig, nodes: Sequence[Node], node: Node) -> Iterator[Row]:
    for direction in (*config.trait_names, *config.directions):
        for texts in ("fixed", "own"):
            about = {"measure": "projection", "direction": direction, "texts": texts, "null": "covariance"}
            yield {**about, "metric": "shift_in_covariance_spreads"}
            yield {**about, "metric": "null_percentile"}
    moved = {"measure": "displacement", "texts": "fixed"}
    yield {**moved, "metric": "corrected_span_share"}
    if config.answers.identity:
        yield {"measure": "dispersion", "metric": "total_variance_over_base", "texts": "identity"}
    if node.parent and config.stages[node.stage].compose != "restart":
        yield {**moved, "metric": "undone_share", "other_stage": node.parent}
        if node.stage in {one.name for one in nodes}:
            yield {**moved, "metric": "repeated_share", "other_stage": node.stage}


def _outside(config: StudyConfig, stage: str, recognised: Sequence[str]) -> Iterator[Row]:
    several = config.prompts_at is None or stage in (BASE, *config.prompts_at)
    for prompt in [*config.system_prompts][: None if several else 1]:
        for measure, metric in _behaviours(config.measures):
            yield {"measure": measure, "metric": metric, "system_prompt": prompt}
        for data in recognised:
            yield {"measure": "self_recognition", "metric": "accuracy", "data": data, "system_prompt": prompt}


def _mediated(config: StudyConfig, stage: str, draw: random.Random) -> Iterator[Row]:
    mediation = config.mediation
    for direction in mediation.directions if mediation and stage in mediation.stages else ():
        assert mediation
        controls = [draw.random() for _ in range(mediation.random)]
        beside = {"null_mean": 0.5 if controls else None, "null_values": controls}
        for measure, metric in _behaviours(mediation.measures):
            about = {"measure": "mediation", "direction": direction, "of_measure": measure, "of_metric": metric}
            for share in ("share_removed_beyond_base", "share_reproduced"):
                yield {**about, **beside, "metric": share}


def _behaviours(measures: MeasuresConfig) -> list[tuple[str, str]]:
    return [(one.name, BEHAVIOUR[one.name]) for one in measures.taken() if one.name in BEHAVIOUR]

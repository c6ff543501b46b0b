"""Which share of what finetuning did goes away with a direction, and which comes with it?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from experiments.adapters import BASE
from experiments.interventions.treatments import (
    UNTREATED,
    GridConfig,
    RemovalConfig,
    Treatment,
    ablations,
    additions,
)
from interp import stats
from interp.behaviour.measure import Measure, Scores
from interp.directions import Direction
from interp.interventions import Site
from interp.keys import seed_from
from interp.resampling import bootstrap

NOTHING_TO_MEDIATE = "the effect's interval includes 0"
NO_EFFECT_INTERVAL = "too few questions for an interval of the effect"
NO_VALUES = "no question has a value under every condition"
UNSTABLE = "no interval: the ratio is the same in every bootstrap draw, or undefined in one"
Share = Literal["share_removed", "share_removed_beyond_base", "share_reproduced"]
Row = dict[str, Any]


def share_row(
    metric: Share,
    base: Scores,
    tuned: Scores,
    start: Scores,
    treated: Scores,
    controls: Sequence[Scores],
    *,
    seed: int,
    base_treated: Scores | None = None,
    base_controls: Sequence[Scores] = (),
) -> Row:
    """The part of the effect `tuned` - `base` that a treatment of `start` takes away, or brings.

        share_removed = (start - treated) / (tuned - base),    share_reproduced = (treated - start) / (tuned - base)
        share_removed_beyond_base = 1 - (treated - base treated) / (tuned - base)

    Each is a ratio of means over the questions that all of them have, which weigh alike and are what is drawn again for
    the interval (BCa bootstrap, too narrow below some 20 questions). `change` is treated - start, paired. The controls'
    numbers are of the same questions, as far as they have them.

    Args:
        base_treated: The base model under the same treatment, and under those of the controls, one by one; for
            `share_removed_beyond_base` alone.

    Units: shares have none; `effect` and `change` are in `effect_unit`. Null columns are the mean and the range over
    controls, the place of the value among them (0-100), and `null_values`, control by control.
    """
    sides = [_question_means(one) for one in (base, tuned, start, treated, base_treated or base)]
    shared = [question for question in sides[0] if all(question in side for side in sides[1:])]
    effect = _on(tuned, shared).beside(_on(base, shared))
    change = _on(treated, shared).beside(_on(start, shared))
    why = why_no_share(effect)
    row: Row = {**treated.more, "value": None, "ci_low": None, "ci_high": None, "n": len(shared), "unit": "share"}
    row |= {"why": why, "effect_unit": treated.unit}
    for name, estimated in (("effect", effect), ("change", change)):
        row |= {name: estimated["value"], f"{name}_low": estimated["ci_low"], f"{name}_high": estimated["ci_high"]}
    means = np.array([[side[question] for side in sides] for question in shared]).reshape(len(shared), 5)

    def ratio(m: np.ndarray) -> float:
        first, second, before, after, beside = m.mean(axis=0)
        moved = after - before if metric == "share_reproduced" else before - after - (first - beside)
        return float(moved / (second - first)) if second != first else math.nan

    if why is None:
        estimated = bootstrap(means, ratio, seed=seed_from(seed, "mediation"))
        row |= estimated.row() | {"why": UNSTABLE if estimated.ci_low is None else None}
    nulls = []
    beside = base_controls or [base] * len(controls)
    for there, base_there in zip(map(_question_means, controls), map(_question_means, beside), strict=True):
        both = [i for i, question in enumerate(shared) if question in there and question in base_there]
        control_means = [[*means[i, :3], there[shared[i]], base_there[shared[i]]] for i in both]
        nulls += [np.array(control_means)] if control_means else []
    changes = [float((m[:, 3] - m[:, 2]).mean()) for m in nulls]
    shares = [share for share in map(ratio, nulls) if why is None and math.isfinite(share)]
    row |= _beside_null("null", row["value"], shares) | _beside_null("change_null", row["change"], changes)
    return row | {"null_values": shares}


def why_no_share(effect: Row) -> str | None:
    """Why there is no share of an effect; None if there is."""
    if effect["value"] is None:
        return NO_VALUES
    if effect["ci_low"] is None or effect["ci_high"] is None:
        return NO_EFFECT_INTERVAL
    return NOTHING_TO_MEDIATE if effect["ci_low"] <= 0 <= effect["ci_high"] else None


def _question_means(scores: Scores) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for value, question in zip(scores.values, scores.questions, strict=True):
        values.setdefault(question, []).append(value)
    return {question: float(np.mean(question_values)) for question, question_values in values.items()}


def _on(scores: Scores, questions: Sequence[str]) -> Scores:
    wanted = set(questions)
    pairs = [(v, q) for v, q in zip(scores.values, scores.questions, strict=True) if q in wanted]
    return replace(scores, values=[v for v, _ in pairs], questions=[q for _, q in pairs])


def _beside_null(name: str, value: float | None, nulls: Sequence[float]) -> Row:
    mean, low, high = (float(of(nulls)) for of in (np.mean, min, max)) if nulls else (None, None, None)
    place = None if value is None or not nulls else stats.percentile(value, np.array(nulls))
    row = {f"{name}_mean": mean, f"{name}_low": low, f"{name}_high": high, f"{name}_percentile": place}
    return row | {f"n_{name}": len(nulls)}


Key = tuple[str, str]  # a stage, and what is done to it
Taken = Mapping[Key, Mapping[str, Sequence[Row]]]  # records of every condition, by measure
Norms = Mapping[int, float]  # mean length of the residual stream, by layer


@dataclass(frozen=True)
class Condition:
    """A model as it is measured.

    Attributes:
        stage: Whose weights.
        treatment: What is done to it.
        kind: `none`, `add`, `ablate`, `transplant+` or `transplant-`.
        site: Where an ablation acts.
    """

    stage: str
    treatment: Treatment = UNTREATED
    kind: str = "none"
    site: Site | None = None

    @property
    def key(self) -> Key:
        """Tells the conditions of a run apart."""
        return self.stage, self.treatment.name

    @property
    def family(self) -> tuple[Any, ...]:
        """What a direction's treatment shares with its random controls'."""
        t = self.treatment
        return self.stage, self.kind, t.direction, t.layers, t.alpha, t.phase

    def fields(self) -> Row:
        """What its rows say of it."""
        return {**self.treatment.fields(), "kind": self.kind, "site": self.site}


def planned(
    directions: Sequence[Direction],
    moved: Sequence[Direction],
    stages: Sequence[str],
    how: RemovalConfig,
    norms: Norms,
    seed: int,
    controls: Sequence[Direction] = (),
) -> list[Condition]:
    """Everything that is measured, the untreated models first.

    Args:
        controls: See `ablations`.
        held: Directions that are ablated and added.
        moved: Displacements that are transplanted.
        stages: Base, stage, and perhaps the stack that displacements are transplanted onto.

    Raises:
        ValueError: a direction does not hold a layer, is zero, or several depend on each other linearly.
    """
    base, stage, *onto = stages
    conditions = [Condition(name) for name in stages]
    if directions:
        fixed = {"site": how.site, "phase": how.phase, "seed": seed}
        removed = ablations(directions, random=how.random, controls=controls, **fixed)
        for name in (stage, base):
            conditions += [Condition(name, treatment, "ablate", how.site) for treatment in removed]
    added = _added(directions, how, how.add_layers, how.alpha, norms, seed)
    conditions += [Condition(base, treatment, "add") for treatment in added]
    for sign, kind, places in ((-1.0, "transplant-", [stage, *onto]), (1.0, "transplant+", [base, *onto])):
        transplanted = transplants(moved, how, norms, sign=sign, seed=seed)
        conditions += [Condition(name, treatment, kind) for name in places for treatment in transplanted]
    return conditions


def _added(
    directions: Sequence[Direction], config: RemovalConfig, layers: Any, alpha: float, norms: Norms, seed: int
) -> list[Treatment]:
    grid = GridConfig(layers=layers, alphas=(alpha,), phases=(config.add_phase,), random=config.random)
    return [treatment for treatment in additions(directions, grid, norms, seed=seed) if treatment.alpha != 0]


def transplants(
    displacements: Sequence[Direction], config: RemovalConfig, norms: Norms, *, sign: float, seed: int
) -> list[Treatment]:
    """Every displacement, and random ones of its length, added `sign` times: at its headline layer, and at all.

    At all layers each layer's own displacement is added, on top of what those before it have passed on.
    """
    pairs = (("headline", displacements), ("all", [one for one in displacements if len(one.layers) > 1]))
    treatments = [
        treatment for where, chosen in pairs for treatment in _added(chosen, config, where, sign, norms, seed)
    ]
    return [replace(treatment, name=f"transplant, {treatment.name}") for treatment in treatments]


# mediation


def mediation_rows(
    measures: Sequence[Measure], conditions: Sequence[Condition], taken: Taken, stages: Sequence[str], *, seed: int
) -> list[tuple[Condition, Row]]:
    """Effects of the stacks and what every treatment does to them, by metric; each row with its condition."""
    scores_by_condition: dict[Key, dict[tuple[Any, ...], Scores]] = {
        condition.key: {(m.name, *one.which): one for m in measures for one in m.scores(taken[condition.key][m.name])}
        for condition in conditions
    }
    versions = {measure.name: measure.version for measure in measures}
    untreated = {stage: scores_by_condition[stage, UNTREATED.name] for stage in stages}
    rows: list[tuple[Condition, Row]] = []
    for condition in conditions:
        turned = [c for c in conditions if c.treatment.control is not None and c.family == condition.family]
        own = scores_by_condition[condition.key]
        of_base = {
            c.key: scores_by_condition[BASE, c.treatment.name] for c in (condition, *turned) if c.kind == "ablate"
        }
        for metric, of in _asked(condition, stages):
            base, tuned, start = (untreated[stage] for stage in (BASE, of, condition.stage))
            needed = (base, start, own, of_base.get(condition.key, own))
            common = [which for which in tuned if all(which in scores for scores in needed)]
            for which in common:
                if metric == "effect":
                    effect = tuned[which].beside(base[which])
                    row = {**effect, "metric": metric, "why": why_no_share(effect)}
                else:
                    fit = [
                        c for c in turned if which in scores_by_condition[c.key] and which in of_base.get(c.key, own)
                    ]
                    nulls = [scores_by_condition[c.key][which] for c in fit]
                    beyond = metric == "share_removed_beyond_base"
                    treated = of_base[condition.key][which] if beyond else None
                    base_nulls = [of_base[c.key][which] for c in fit] if beyond else ()
                    sides = (base[which], tuned[which], start[which], own[which])
                    row = share_row(metric, *sides, nulls, seed=seed, base_treated=treated, base_controls=base_nulls)
                about = {"of": of, "of_measure": which[0], "of_metric": tuned[which].full_name}
                more = {"n_metrics": len(common), "version": versions[which[0]]}
                rows.append((condition, {"measure": "mediation", "metric": metric, **about, **row, **more}))
    return rows


def _asked(condition: Condition, stages: Sequence[str]) -> list[tuple[Literal["effect"] | Share, str]]:
    """What is asked of a condition, and of which stack's effect: in a stack, what is gone of its own; where something
    is added, also what it brings of the stage's. (Random controls are asked nothing themselves.)"""
    asked: list[tuple[Literal["effect"] | Share, str]] = []
    if condition.treatment.control is not None:
        return asked
    if condition.stage != BASE:
        asked.append(("effect" if condition.kind == "none" else "share_removed", condition.stage))
    if condition.kind == "ablate" and condition.stage != BASE:
        asked.append(("share_removed_beyond_base", condition.stage))
    if condition.kind in ("add", "transplant+"):
        asked.append(("share_reproduced", stages[1]))
    return asked

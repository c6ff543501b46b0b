"""How much of what finetuning did goes through a direction? Take the direction away, or add it alone, and measure.

1. Measured are the base model, the finetuned stage, the stage with each direction ablated, and the base model with each
   direction added; beside each, for comparison (`null_low` to `null_high`), the direction turned at random.
2. `share_removed` is the part of the effect (stage minus base) that is gone when the direction is, `share_reproduced`
   the part that it alone brings. Neither is bounded by 0 and 1: a treatment can overshoot, or do harm.
3. An effect whose interval includes 0 leaves nothing to mediate: there is no share of it, only the raw change.
4. Transplants take a stage's mean displacement from the stage, and add it to the base model or to another stack.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.behaviour import Behaviour
from experiments.evaluation import BASE, fingerprint, stack_name
from experiments.judge import COSTS
from experiments.ledger import Ledger
from experiments.treatments import (
    UNTREATED,
    AblateConfig,
    GridConfig,
    Row,
    Treatment,
    ablations,
    additions,
    load_directions,
    mean_norms,
)
from finetune.data.everyday import everyday_questions
from interp import stats
from interp.behaviour.measure import Measure, Scores
from interp.chat import check_system, with_system
from interp.directions import Direction
from interp.interventions import Site
from interp.model import Model
from interp.resampling import bootstrap
from interp.runs import RunFolder, content_key, read_jsonl, seed_from, write_jsonl
from interp.sources import adapter_folder, pick_device, pick_dtype, sha256_of

NOTHING_TO_MEDIATE = "the effect's interval includes 0"
NO_EFFECT_INTERVAL = "too few questions for an interval of the effect"
NO_VALUES = "no question has a value under every condition"
UNSTABLE = "no interval: the ratio is the same in every bootstrap draw, or undefined in one"
Share = Literal["share_removed", "share_reproduced"]
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


def run(
    *,
    model: str,
    adapters: Sequence[Path],
    directions: Sequence[Path],
    transplant: Sequence[Path],
    onto: Sequence[Path],
    config: AblateConfig,
    out: Path,
    seed: int,
    device: str,
    dtype: str,
) -> dict[str, Any]:
    """The `ablate` command: writes OUT/metrics.jsonl, a file of records for each measure, the figure and a manifest.

    A run that was stopped goes on where it stopped.

    Args:
        adapters: The stack whose effect is asked about.
        directions: Ablated from the stack, added to the base model.
        transplant: Displacements: taken from the stack, added to the base model.
        onto: Another stack, which displacements are added to and taken from.

    Raises:
        ValueError, FileNotFoundError: bad input, named; nothing was changed.
        InterpError: a direction of another model.
    """
    if not adapters:
        raise ValueError("no adapter is given, so finetuning has no effect to explain; give --adapter")
    stacks = _stacks(adapters, onto)
    weights = {name: [fingerprint(folder) for folder in folders] for name, folders in stacks.items()}
    _require(directions, transplant, list(weights.values())[1:], config)
    behaviour = Behaviour(config.measures.taken(), judge=config.judge, journal=out / "judge.jsonl", seed=seed)
    behaviour.check()
    config.measures.check_editable()
    definition = {
        "ablate": model,
        "adapters": list(weights.values())[1:],
        "directions": [sha256_of(file) for file in directions if file.is_file()],
        "transplant": [sha256_of(file) for file in transplant if file.is_file()],
        "dtype": str(pick_dtype(dtype, pick_device(device))).removeprefix("torch."),
        "seed": seed,
        **config.model_dump(mode="json", exclude={"judge": COSTS}),
        "measures": (declared := [measure.declared() for measure in behaviour.measures]),
    }
    if RunFolder.at(out, definition).manifest.get("status") == "complete":
        return _result(out, ran=False)
    _ = [load_directions(files) for files in (directions, transplant) if files]  # a wrong file is refused here
    start = time.monotonic()
    loaded = Model.load(model, device=device, dtype=dtype)
    check_system(config.system, loaded.chat.native_system)
    held, moved = (load_directions(some, model=loaded.identity) if some else [] for some in (directions, transplant))
    chats = [with_system([{"role": "user", "content": text}], config.system) for text in everyday_questions(24)]
    norms = mean_norms(loaded, loaded.chat.tokens_of(chats))
    conditions = planned(held, moved, list(stacks), config, norms, seed)
    for folders in stacks.values():
        loaded.use(*folders)  # an adapter that does not fit is refused here
    folder = RunFolder.open(out, definition)
    with folder.locked():
        given = {"directions": directions, "transplant": transplant, "adapters": adapters, "onto": onto}
        facts: Row = {name: list(map(str, paths)) for name, paths in given.items()} | {"measures": declared}
        ledger = Ledger(folder, loaded, facts, time.monotonic() - start)
        keys = {name: content_key([loaded.identity, weight]) for name, weight in weights.items()}
        taken: dict[Key, dict[str, list[Row]]] = {}
        for condition in conditions:
            label = condition.stage + ("" if condition.kind == "none" else f", {condition.treatment.name}")
            how = {"edits": condition.treatment.edits, "what": [content_key(definition), condition.fields()]}
            with loaded.using(*stacks[condition.stage]):
                taken[condition.key] = behaviour.take(
                    loaded, ledger.once, keys[condition.stage], label, system=config.system, **how
                )
        mark = {"arm": "ablate", "seed": None}
        marks = {c.key: {**mark, "stage": c.stage, "stage_key": keys[c.stage], **c.fields()} for c in conditions}
        rows = [{**marks[c.key], **row} for c in conditions for row in _own_rows(behaviour, c, taken)]
        judged = {row["measure"]: {k: v for k, v in row.items() if k.startswith("judge")} for row in rows}
        for condition, row in mediation_rows(behaviour.measures, conditions, taken, list(stacks), seed=seed):
            rows.append({**marks[condition.key], **row, **judged[row["of_measure"]]})
        for measure in behaviour.measures:
            each = [(marks[key], record) for key, found in taken.items() for record in found[measure.name]]
            records = [{**mark, "treatment_kind": mark["kind"], **record} for mark, record in each]
            write_jsonl(out / "records" / f"{measure.name}.jsonl", records)
        write_jsonl(out / "metrics.jsonl", rows)
        from figures.mediation import mediation

        mediation(out)
        ledger.finish()
    return _result(out, ran=True)


def _stacks(stage: Sequence[Path], onto: Sequence[Path]) -> dict[str, list[Path]]:
    """The base model's, the stage's and perhaps a third stack, called after their folders and never alike."""
    stacks: dict[str, list[Path]] = {BASE: []}
    for which, adapters in (("stage", stage), ("onto", onto)):
        folders = [adapter_folder(adapter) for adapter in adapters]
        name = stack_name(folders)
        if folders:
            stacks[f"{name} ({which})" if name in stacks else name] = folders
    return stacks


def _require(
    directions: Sequence[Path], transplant: Sequence[Path], stacks: Sequence[list[str]], config: AblateConfig
) -> None:
    if not config.measures.taken():
        raise ValueError("no measure is named, so no effect would be seen; give measures")
    if config.alpha == 0:
        raise ValueError("alpha must not be 0, which adds nothing; give how many times a direction is added")
    if not directions and not transplant:
        raise ValueError("no direction is given; make one with `sgtr extract` or `sgtr direction`")
    if len(stacks) > 1 and not transplant:
        raise ValueError("--onto says where to transplant to, and there is nothing to transplant; give --transplant")
    if len(stacks) > 1 and stacks[0] == stacks[1]:
        raise ValueError("--onto names the same adapters as --adapter; give another stack, or leave it out")


def planned(
    held: Sequence[Direction],
    moved: Sequence[Direction],
    stages: Sequence[str],
    how: AblateConfig,
    norms: Norms,
    seed: int,
) -> list[Condition]:
    """Everything that is measured, the untreated models first.

    Args:
        held: Directions that are ablated and added.
        moved: Displacements that are transplanted.
        stages: Base, stage, and perhaps the stack that displacements are transplanted onto.

    Raises:
        ValueError: a direction does not hold a layer, is zero, or several depend on each other linearly.
    """
    base, stage, *onto = stages
    conditions = [Condition(name) for name in stages]
    if held:
        removed = ablations(held, random=how.random, site=how.site, phase=how.phase, seed=seed)
        conditions += [Condition(stage, treatment, "ablate", how.site) for treatment in removed]
    added = _added(held, how, how.add_layers, how.alpha, norms, seed)
    conditions += [Condition(base, treatment, "add") for treatment in added]
    for sign, kind, places in ((-1.0, "transplant-", [stage, *onto]), (1.0, "transplant+", [base, *onto])):
        made = transplants(moved, how, norms, sign=sign, seed=seed)
        conditions += [Condition(name, treatment, kind) for name in places for treatment in made]
    return conditions


def _added(
    held: Sequence[Direction], config: AblateConfig, layers: Any, alpha: float, norms: Norms, seed: int
) -> list[Treatment]:
    grid = GridConfig(layers=layers, alphas=(alpha,), phases=(config.add_phase,), random=config.random)
    return [treatment for treatment in additions(held, grid, norms, seed=seed) if treatment.alpha != 0]


def transplants(
    displacements: Sequence[Direction], config: AblateConfig, norms: Norms, *, sign: float, seed: int
) -> list[Treatment]:
    """Every displacement, and random ones of its length, added `sign` times: at its headline layer, and at all.

    At all layers each layer's own displacement is added, on top of what those before it have passed on.
    """
    pairs = (("headline", displacements), ("all", [one for one in displacements if len(one.layers) > 1]))
    made = [treatment for where, some in pairs for treatment in _added(some, config, where, sign, norms, seed)]
    return [replace(treatment, name=f"transplant, {treatment.name}") for treatment in made]


def _own_rows(behaviour: Behaviour, condition: Condition, taken: Taken) -> list[Row]:
    """Rows of the measures: a stage beside the base model, a treated model beside itself untreated."""
    if condition.kind == "none":
        return behaviour.rows(taken[condition.key], None if condition.stage == BASE else taken[BASE, UNTREATED.name])
    rows = behaviour.rows(taken[condition.key], taken[condition.stage, UNTREATED.name])
    return [{**row, "metric": row["metric"].replace("_minus_base", "_minus_untreated")} for row in rows]


# mediation


def mediation_rows(
    measures: Sequence[Measure], conditions: Sequence[Condition], taken: Taken, stages: Sequence[str], *, seed: int
) -> list[tuple[Condition, Row]]:
    """Effects of the stacks and what every treatment does to them, by metric; each row with its condition."""
    found: dict[Key, dict[tuple[Any, ...], Scores]] = {
        condition.key: {(m.name, *one.which): one for m in measures for one in m.scores(taken[condition.key][m.name])}
        for condition in conditions
    }
    versions = {measure.name: measure.version for measure in measures}
    untreated = {stage: found[stage, UNTREATED.name] for stage in stages}
    rows: list[tuple[Condition, Row]] = []
    for condition in conditions:
        controls = [
            found[c.key] for c in conditions if c.treatment.control is not None and c.family == condition.family
        ]
        own = found[condition.key]
        for metric, of in _asked(condition, stages):
            base, tuned, start = (untreated[stage] for stage in (BASE, of, condition.stage))
            common = [which for which in tuned if all(which in some for some in (base, start, own))]
            for which in common:
                if metric == "effect":
                    effect = tuned[which].beside(base[which])
                    row = {**effect, "metric": metric, "why": _why_no_share(effect)}
                else:
                    nulls = [control[which] for control in controls if which in control]
                    row = share_row(metric, base[which], tuned[which], start[which], own[which], nulls, seed=seed)
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
    if condition.kind in ("add", "transplant+"):
        asked.append(("share_reproduced", stages[1]))
    return asked


def share_row(
    metric: Share, base: Scores, tuned: Scores, start: Scores, treated: Scores, controls: Sequence[Scores], *, seed: int
) -> Row:
    """The part of the effect `tuned` - `base` that a treatment of `start` takes away, or brings.

        share_removed = (start - treated) / (tuned - base),    share_reproduced = (treated - start) / (tuned - base)

    Each is a ratio of means over the questions that all of them have, which weigh alike and are what is drawn again for
    the interval (BCa bootstrap, too narrow below some 20 questions). `change` is treated - start, paired. The controls'
    numbers are of the same questions, as far as they have them.

    Units: shares have none; `effect` and `change` are in `effect_unit`. Null columns are the mean and the range over
    controls, and the place of the value among them (0-100).
    """
    sides = [_question_means(one) for one in (base, tuned, start, treated)]
    shared = [question for question in sides[0] if all(question in side for side in sides[1:])]
    effect = _on(tuned, shared).beside(_on(base, shared))
    change = _on(treated, shared).beside(_on(start, shared))
    why = _why_no_share(effect)
    row: Row = {**treated.more, "value": None, "ci_low": None, "ci_high": None, "n": len(shared), "unit": "share"}
    row |= {"why": why, "effect_unit": treated.unit}
    for name, found in (("effect", effect), ("change", change)):
        row |= {name: found["value"], f"{name}_low": found["ci_low"], f"{name}_high": found["ci_high"]}
    means = np.array([[side[question] for side in sides] for question in shared]).reshape(len(shared), 4)

    def ratio(m: np.ndarray) -> float:
        first, second, before, after = m.mean(axis=0)
        moved = after - before if metric == "share_reproduced" else before - after
        return float(moved / (second - first)) if second != first else math.nan

    if why is None:
        found = bootstrap(means, ratio, seed=seed_from(seed, "mediation"))
        row |= found.row() | {"why": UNSTABLE if found.ci_low is None else None}
    nulls = []
    for there in map(_question_means, controls):
        held = [[*means[i, :3], there[question]] for i, question in enumerate(shared) if question in there]
        nulls += [np.array(held)] if held else []
    changes = [float((m[:, 3] - m[:, 2]).mean()) for m in nulls]
    shares = [share for share in map(ratio, nulls) if why is None and math.isfinite(share)]
    return row | _beside_null("null", row["value"], shares) | _beside_null("change_null", row["change"], changes)


def _why_no_share(effect: Row) -> str | None:
    if effect["value"] is None:
        return NO_VALUES
    if effect["ci_low"] is None or effect["ci_high"] is None:
        return NO_EFFECT_INTERVAL
    return NOTHING_TO_MEDIATE if effect["ci_low"] <= 0 <= effect["ci_high"] else None


def _question_means(scores: Scores) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for value, question in zip(scores.values, scores.questions, strict=True):
        values.setdefault(question, []).append(value)
    return {question: float(np.mean(some)) for question, some in values.items()}


def _on(scores: Scores, questions: Sequence[str]) -> Scores:
    kept = set(questions)
    pairs = [(v, q) for v, q in zip(scores.values, scores.questions, strict=True) if q in kept]
    return replace(scores, values=[v for v, _ in pairs], questions=[q for _, q in pairs])


def _beside_null(name: str, value: float | None, nulls: Sequence[float]) -> Row:
    mean, low, high = (float(of(nulls)) for of in (np.mean, min, max)) if nulls else (None, None, None)
    place = None if value is None or not nulls else stats.percentile(value, np.array(nulls))
    row = {f"{name}_mean": mean, f"{name}_low": low, f"{name}_high": high, f"{name}_percentile": place}
    return row | {f"n_{name}": len(nulls)}


def _result(out: Path, *, ran: bool) -> dict[str, Any]:
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    rows = read_jsonl(out / "metrics.jsonl")
    return {"out": str(out), "ran": ran, "wall_seconds": manifest["wall_seconds"], "metrics": rows}

"""How much of what finetuning did goes through a direction? Take the direction away, or add it alone, and measure.

1. Measured are the base model, the finetuned stage, both with each direction ablated, and the base model with each
   direction added; beside each, for comparison (`null_low` to `null_high`), the direction turned at random.
2. `share_removed` is the part of the effect (stage minus base) that is gone when the direction is, `share_reproduced`
   the part that it alone brings. Ablation changes a model that was never finetuned too:
   `share_removed_beyond_base` is what is gone of the difference between the two when both are ablated. None of them
   is bounded by 0 and 1: a treatment can overshoot, or do harm.
3. An effect whose interval includes 0 leaves nothing to mediate: there is no share of it, only the raw change.
4. Transplants take a stage's mean displacement from the stage, and add it to the base model or to another stack.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.adapters import BARE, BASE, Stack
from experiments.console import note
from experiments.directions.files import load_directions
from experiments.interventions.mediation import (
    Condition,
    Taken,
    mediation_rows,
    planned,
)
from experiments.interventions.treatments import (
    UNTREATED,
    AblateConfig,
    Row,
    mean_norms,
    of_treatments,
)
from experiments.loading import Loading
from experiments.machine import require_main_memory
from experiments.measures.judge import COSTS
from experiments.measures.take import Behaviour
from experiments.resumable import Ledger, Name, Work, file_name, run_once
from finetune.data.everyday import everyday_questions
from interp.chat import check_system, with_system
from interp.files import write_jsonl
from interp.keys import content_key
from interp.model import Model
from interp.sources import sha256_of


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
    loading: Loading,
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
    stacks = _stacks(adapters, onto)
    weights = [list(stack.weights) for stack in stacks[1:]]
    _require(directions, transplant, weights, config)
    behaviour = Behaviour(config.measures.taken(), judge=config.judge, journal=out / "judge.jsonl", seed=seed)
    behaviour.check()
    config.measures.check_editable()
    declared = [measure.declared() for measure in behaviour.measures]
    definition = {
        "ablate": model,
        "adapters": weights,
        "directions": [sha256_of(file) for file in directions if file.is_file()],
        "transplant": [sha256_of(file) for file in transplant if file.is_file()],
        "dtype": loading.dtype_name,
        "seed": seed,
        **config.model_dump(mode="json", exclude={"judge": COSTS}),
        "measures": declared,
    }

    def prepare() -> Work:
        for files in filter(None, (directions, transplant)):
            load_directions(files)  # a wrong file is refused here
        loaded = loading.model(model)
        check_system(config.system, loaded.chat.native_system)
        conditions = _conditions(loaded, directions, transplant, stacks, config, seed)
        for stack in stacks:
            loaded.use(*stack.folders)  # an adapter that does not fit is refused here
        removal = _Removal(loaded, stacks, conditions, behaviour, config.system, definition, out)
        named = {"directions": directions, "transplant": transplant, "adapters": adapters, "onto": onto}
        facts: Row = {name: list(map(str, paths)) for name, paths in named.items()}
        return Work(loaded, {**facts, "measures": declared}, removal.rows, _draw)

    return run_once(out, definition, prepare, loading.template)


def _conditions(
    model: Model,
    directions: Sequence[Path],
    transplant: Sequence[Path],
    stacks: Sequence[Stack],
    config: AblateConfig,
    seed: int,
) -> list[Condition]:
    """Every model that is to be measured.

    Raises:
        ValueError: they do not fit the main memory.
        InterpError: a direction is of another model.
    """
    removed, moved = (
        load_directions(files, model=model.identity) if files else [] for files in (directions, transplant)
    )
    chats = [with_system([{"role": "user", "content": text}], config.system) for text in everyday_questions(24)]
    norms = mean_norms(model, model.chat.tokens_of(chats))
    names = [stack.name for stack in stacks]
    bare = planned(removed, moved, names, config.model_copy(update={"random": 0}), norms, seed)
    n = len(stacks) + (1 + config.random) * (len(bare) - len(stacks))  # every control is treated as its direction is
    needed = of_treatments([*removed, *moved], [condition.treatment for condition in bare], config.random)
    require_main_memory(f"{n:,} models to measure", needed, "ask for fewer controls (--random), or in several runs")
    note(f"  {n:,} models to measure, each by {', '.join(measure.name for measure in config.measures.taken())}")
    return planned(removed, moved, names, config, norms, seed)


@dataclass(frozen=True)
class _Removal:
    """Everything that is measured, and what it is measured by.

    Attributes:
        stacks: The base model's, the stage's and perhaps a third.
        definition: All that the numbers depend on.
    """

    model: Model
    stacks: Sequence[Stack]
    conditions: Sequence[Condition]
    behaviour: Behaviour
    system: str
    definition: Row
    out: Path

    def rows(self, ledger: Ledger) -> list[Row]:
        """The rows of every condition, and the shares of the effect; records are written."""
        behaviour, conditions = self.behaviour, self.conditions
        taken = {condition.key: self._taken(condition, ledger) for condition in conditions}
        keys = {stack.name: stack.key(self.model.identity) for stack in self.stacks}
        mark = {"arm": "ablate", "seed": None}
        marks = {c.key: {**mark, "stage": c.stage, "stage_key": keys[c.stage], **c.fields()} for c in conditions}
        rows = [{**marks[c.key], **row} for c in conditions for row in _own_rows(behaviour, c, taken)]
        judged = {row["measure"]: {k: v for k, v in row.items() if k.startswith("judge")} for row in rows}
        names = [stack.name for stack in self.stacks]
        for condition, row in mediation_rows(behaviour.measures, conditions, taken, names, seed=behaviour.seed):
            rows.append({**marks[condition.key], **row, **judged[row["of_measure"]]})
        for measure in behaviour.measures:
            each = [(marks[key], record) for key, some in taken.items() for record in some[measure.name]]
            records = [{**mark, "treatment_kind": mark["kind"], **record} for mark, record in each]
            write_jsonl(self.out / "records" / f"{measure.name}.jsonl", records)
        return rows

    def _taken(self, condition: Condition, ledger: Ledger) -> dict[str, list[Row]]:
        (stack,) = (stack for stack in self.stacks if stack.name == condition.stage)
        name = Name.of(condition.stage)
        if condition.kind != "none":
            name = name.then(file_name(condition.treatment.name), condition.treatment.name)
        how = {"edits": condition.treatment.edits, "what": [content_key(self.definition), condition.fields()]}
        key = stack.key(self.model.identity)
        return self.behaviour.take(self.model, stack.folders, ledger.once, key, name, system=self.system, **how)


def _draw(out: Path) -> None:
    from figures.mediation import mediation

    mediation(out)


def _stacks(adapters: Sequence[Path], onto: Sequence[Path]) -> list[Stack]:
    """The base model's, the stage's and perhaps a third stack, called after their folders and never alike.

    Raises:
        ValueError: the stage has no adapter.
    """
    if not adapters:
        raise ValueError("no adapter is given, so finetuning has no effect to explain; give --adapter")
    stacks = [BARE]
    for which, paths in (("stage", adapters), ("onto", onto)):
        if paths:
            stack = Stack.of(paths)
            taken = stack.name in [other.name for other in stacks]
            stacks.append(replace(stack, name=f"{stack.name} ({which})") if taken else stack)
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


def _own_rows(behaviour: Behaviour, condition: Condition, taken: Taken) -> list[Row]:
    """Rows of the measures: a stage beside the base model, a treated model beside itself untreated."""
    if condition.kind == "none":
        return behaviour.rows(taken[condition.key], None if condition.stage == BASE else taken[BASE, UNTREATED.name])
    rows = behaviour.rows(taken[condition.key], taken[condition.stage, UNTREATED.name])
    return [{**row, "metric": row["metric"].replace("_minus_base", "_minus_untreated")} for row in rows]

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

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.adapters import BASE, fingerprint, stack_name
from experiments.console import note
from experiments.directions.files import load_directions
from experiments.interventions.mediation import (
    Condition,
    Key,
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
from experiments.machine import require_main_memory
from experiments.measures.judge import COSTS
from experiments.measures.take import Behaviour
from experiments.resumable import Ledger
from finetune.data.everyday import everyday_questions
from interp.chat import check_system, with_system
from interp.model import Model
from interp.rows import write_rows
from interp.runs import RunFolder, content_key, read_jsonl, write_jsonl
from interp.sources import adapter_folder, pick_device, pick_dtype, sha256_of
from interp.template import AS_IS, TemplateSettings


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
    template: TemplateSettings = AS_IS,
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
    loaded = Model.load(model, template, device=device, dtype=dtype)
    check_system(config.system, loaded.chat.native_system)
    held, moved = (load_directions(some, model=loaded.identity) if some else [] for some in (directions, transplant))
    chats = [with_system([{"role": "user", "content": text}], config.system) for text in everyday_questions(24)]
    norms = mean_norms(loaded, loaded.chat.tokens_of(chats))
    bare = planned(held, moved, list(stacks), config.model_copy(update={"random": 0}), norms, seed)
    n = len(stacks) + (1 + config.random) * (len(bare) - len(stacks))  # every control is treated as its direction is
    needed = of_treatments([*held, *moved], [condition.treatment for condition in bare], config.random)
    require_main_memory(f"{n:,} models to measure", needed, "ask for fewer controls (--random), or in several runs")
    note(f"  {n:,} models to measure, each by {', '.join(measure.name for measure in behaviour.measures)}")
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
        write_rows(out / "metrics.jsonl", rows)
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


def _own_rows(behaviour: Behaviour, condition: Condition, taken: Taken) -> list[Row]:
    """Rows of the measures: a stage beside the base model, a treated model beside itself untreated."""
    if condition.kind == "none":
        return behaviour.rows(taken[condition.key], None if condition.stage == BASE else taken[BASE, UNTREATED.name])
    rows = behaviour.rows(taken[condition.key], taken[condition.stage, UNTREATED.name])
    return [{**row, "metric": row["metric"].replace("_minus_base", "_minus_untreated")} for row in rows]


def _result(out: Path, *, ran: bool) -> dict[str, Any]:
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    rows = read_jsonl(out / "metrics.jsonl")
    return {"out": str(out), "ran": ran, "wall_seconds": manifest["wall_seconds"], "metrics": rows}

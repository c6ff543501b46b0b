"""What would a study do, and what would it take? Said before anything starts; no weight is read, nothing is written.

1. Data sets are built as the study builds them. Where the model must write a part, made-up words stand for it, and what
   rests on them is marked as estimated.
2. A stage is in the store if its content key is; where that rests on words the model has not written, it is unknown.
3. What the study would refuse is refused. Only what rests on made-up words, or on this machine, is merely said, since a
   plan may be made on another machine than the study.
4. Time is the larger of arithmetic (4 operations a weight and token for training beneath which weights are frozen, 6
   with gradient checkpointing, 2 for reading and writing) at half of the measured rate, and of what launching kernels
   takes. Writing also has to read all weights for every token.

Wrong when: answers end early (the longest are counted), the device is shared, or a judge or a server is waited for. It
is a rough estimate: right to a factor of two or three.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from experiments.directions.persona import cut
from experiments.machine import Outline, look_up, speed_of
from experiments.measures.take import Behaviour
from experiments.plan.cost import GIB, Clock, memory_of
from experiments.plan.detectable import assumptions, claim_prospects
from experiments.plan.drafts import Drafts
from experiments.plan.testable import prospects
from experiments.plan.workload import workload
from experiments.study.config import StudyConfig, directions_of
from experiments.study.data_sets import check_systems
from experiments.study.directions import prepared_directions, traits_of
from experiments.study.graph import Node, nodes_of
from experiments.study.targets import adapter_sizes
from finetune.defences import defence_of
from finetune.recipe import TrainConfig, check_optimiser
from finetune.stages import Stage
from interp.behaviour.work import CHARACTERS
from interp.directions import Direction
from interp.keys import content_key
from interp.sources import pick_device, pick_dtype
from interp.traits import Trait

Row = dict[str, Any]
FEW_STEPS = 20
"""A stage with fewer optimiser steps is marked."""


def plan(config: StudyConfig, device: str = "auto") -> Row:
    """Everything a study would train and measure, with memory and time.

    Raises:
        ValueError, FileNotFoundError, InterpError: bad input, as the study itself would find it.
    """
    place = pick_device(device)
    dtype = pick_dtype(config.dtype, place)
    traits = traits_of(config)
    mediated = config.mediation.measures.taken() if config.mediation else ()
    for part in (*config.data.values(), *config.measures.taken(), *mediated):
        part.check()
    prepared_directions(config, Path())
    lacking = _lacking(config, place)
    size, chat, outline = look_up(config.model, dtype, config.quantise, config.template)
    if chat:
        check_systems(config, chat.native_system)
    for file in config.direction_files:
        Direction.load(Path(file), model=outline and outline.identity)
    speed = speed_of(place, dtype)
    width = torch.empty((), dtype=dtype).element_size()
    spread = config.quantise is not None or config.device_map is not None
    adapters = adapter_sizes(config, size)
    clock = Clock(size, speed, place.type == "cuda", width, spread)
    drafts = Drafts(config, chat)
    for name in drafts.needed():
        drafts.of(name)
    doubts = _doubts(config, drafts, outline)
    stages = _stages(config, drafts, clock, outline)
    measures = [
        {"what": what, "times": times, **work.row(times), "seconds": clock.work(work) * times}
        for what, times, work in workload(config, drafts, traits, size.n_layers)
        if times and (work.answers or work.read)
    ]
    recognised = {name for name, data in drafts.tests().items() if data.measure == "self_recognition"}
    recognised |= set(config.measures.self_recognition.sets if config.measures.self_recognition else ())
    shown = {key: getattr(size, key) for key in ("name", "source", "n_layers", "d_model", "parameters")}
    return {
        "study": config.name,
        "model": shown | {"dtype": str(dtype).removeprefix("torch."), "quantise": config.quantise},
        "device": {
            "name": speed.device,
            "matmul_tflops": speed.multiplied / 1e12,
            "read_gib_per_second": speed.read / GIB,
            "memory_gib": speed.memory / GIB,
        },
        "tokens_by": "the model's tokenizer" if chat else f"characters / {CHARACTERS} (the tokenizer is not here)",
        "estimated_data": sorted(drafts.drafted),
        "stages": stages,
        "measures": measures,
        "memory": memory_of(config, drafts, clock, adapters),
        "totals": _totals(stages, measures),
        "hypotheses": prospects(config, sorted(recognised)),
        "claims": claim_prospects(config, traits),
        "notes": [*lacking, *doubts, *_few(stages), *cuts(config, traits), *_notes(config)],
    }


def _totals(stages: Sequence[Row], measures: Sequence[Row]) -> Row:
    """Sums over what is still to be trained, and over all that is measured."""
    missing = [row for row in stages if not row["in_store"]]
    totals = {
        "stages": len(stages),
        "in_store": len(stages) - len(missing),
        "unknown": sum(row["in_store"] is None for row in stages),
        "steps": sum(row["steps"] for row in missing),
        "tokens": sum(row["tokens"] for row in missing),
        "answers": sum(row["answers"] for row in measures),
        "written": sum(row["written"] for row in measures),
        "read": sum(row["read"] for row in measures),
        "train_seconds": sum(row["seconds"] for row in missing),
        "measure_seconds": sum(row["seconds"] for row in measures),
    }
    return {**totals, "seconds": totals["train_seconds"] + totals["measure_seconds"]}


def _lacking(config: StudyConfig, place: torch.device) -> list[str]:
    """What keeps this machine from running the study, though another one could.

    Raises:
        ValueError: this is a GPU, and it cannot run an optimiser.
        FileNotFoundError: a judge's validation is missing.
    """
    refusals = []
    for stage in config.stages.values():
        try:
            check_optimiser(stage.train, place)
        except ValueError as error:
            if place.type == "cuda":
                raise
            refusals.append(str(error))
    try:
        Behaviour((), judge=config.judge, journal=Path(), seed=0, sampler=config.sampler).check()
    except ValueError as error:
        refusals.append(str(error))
    if config.lens and find_spec("transformer_lens") is None:
        refusals.append("lens: transformer-lens is not installed")
    return [f"this machine would refuse the study: {text}" for text in dict.fromkeys(refusals)]


def _doubts(config: StudyConfig, drafts: Drafts, outline: Outline | None) -> list[str]:
    """What the study may refuse once its model has spoken.

    Raises:
        ValueError, InterpError: a stage cannot be trained, or nothing be looked inside for, whatever the model says.
    """
    drafts.check_lens()
    for data in dict.fromkeys(stage.data for stage in config.stages.values()):
        if outline and data not in drafts.drafted:
            rows = drafts.tokenised(data, outline.chat)
            for name in (name for name, stage in config.stages.items() if stage.data == data):
                drafts.check_rows(name, rows, outline)
    doubts = []
    for name in config.stages:
        try:
            drafts.check_steps(name)
        except ValueError as error:
            if "steps" not in drafts.estimated(name):
                raise
            doubts.append(f"the study may be refused, for its steps are estimated: {error}")
    return doubts


def _stages(config: StudyConfig, drafts: Drafts, clock: Clock, outline: Outline | None) -> list[Row]:
    nodes, rows = nodes_of(config), []
    distinct = {}
    for data in dict.fromkeys(config.stages[node.stage].data for node in nodes):
        distinct[data] = len({content_key(row["messages"]) for row in drafts.of(data).train})
    for seed in config.seeds:
        known: dict[str, Stage | None] = {}
        for node in nodes:
            spec, train = config.stages[node.stage], drafts.recipe(node.stage)
            each = drafts.lengths(spec.data)
            steps = train.n_steps(len(each))
            seen = min(steps * train.batch_size, train.epochs * len(each))
            per_step = seen / steps * sum(each) / len(each)
            stage = known[node.name] = _stage(config, drafts, node, known, train, seed)
            rows.append(
                {
                    "name": node.name,
                    "seed": seed,
                    "data": spec.data,
                    "rows": len(each),
                    "repeated_rows": len(each) - distinct[spec.data],
                    "epochs": round(seen / len(each), 2),
                    "steps": steps,
                    "few_steps": steps < FEW_STEPS or steps <= train.warmup_steps,
                    "tokens": round(per_step * steps),
                    "longest": max(each),
                    "checkpoints": list(spec.checkpoints),
                    "estimated": drafts.estimated(node.stage),
                    "in_store": stage.record(outline) is not None if stage and outline else None,
                    "seconds": steps * clock.step(per_step, train, spec),
                }
            )
    return rows


def _stage(
    config: StudyConfig,
    drafts: Drafts,
    node: Node,
    known: dict[str, Stage | None],
    train: TrainConfig,
    seed: int,
) -> Stage | None:
    """The stage as it will be trained; None where its content cannot be known before the model has spoken."""
    spec = config.stages[node.stage]
    parent = known[node.parent] if node.parent else None
    spoken = "steps" in drafts.estimated(node.stage) or any(map(directions_of, spec.defences))
    if spoken or (node.parent and parent is None):
        return None
    messages = [row["messages"] for row in drafts.of(spec.data).train]
    defences = [
        defence for config_of_defence in spec.defences for defence in defence_of(config_of_defence, _no_direction)
    ]
    return Stage(node.name, parent, messages, train, spec.compose, seed, spec.checkpoints, defences)


def _no_direction(name: str) -> Any:
    raise ValueError(f"{name}: a direction is not made yet")


def _few(stages: Sequence[Row]) -> list[str]:
    """A note on stages that hardly train, if there are any."""
    few = dict.fromkeys(f"{stage['name']} ({stage['steps']})" for stage in stages if stage["few_steps"])
    remedy = "more rows or epochs, or a smaller batch_size"
    return [f"few steps, below {FEW_STEPS} or all of them warm-up: {', '.join(few)}; give {remedy}"] if few else []


def _notes(config: StudyConfig) -> list[str]:
    notes = ["times are a rough estimate from a second's measurement: right to a factor of two or three"]
    if config.claims:
        notes += assumptions()
    elif not config.roles:
        notes.append("no verdict is given on any claim, since the study names no families (claims)")
    notes.append("answers are counted at their longest; parts of a run that exist already are not taken off")
    if config.judge:
        notes.append("what a judge takes is not counted")
    if config.lens:
        notes.append("attribution and patching are not counted")
    if any(not direction.resolved().answers_asked()[0] for direction in config.directions.values()):
        notes.append("reading files for further directions is not counted")
    return notes


def cuts(config: StudyConfig, traits: Sequence[Trait]) -> list[str]:
    """Where traits have fewer pairs or questions than the study asks for, or more; one line for all that are alike."""
    traits_by_text: dict[str, list[str]] = {}
    for trait in traits:
        held_out = trait.eval_questions or trait.questions
        texts = [
            cut("pairs", len(trait.instructions), "persona.pairs", config.persona.pairs),
            cut("questions", len(trait.questions), "persona.questions", config.persona.questions),
            cut("held-out questions", len(held_out), "answers.questions", config.answers.questions),
            "" if trait.eval_questions else "no eval_questions, so stages are asked what the direction is made from",
        ]
        for text in filter(None, texts):
            traits_by_text.setdefault(text, []).append(trait.name)
    return [f"{', '.join(names)}: {text}" for text, names in traits_by_text.items()]

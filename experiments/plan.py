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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from experiments.behaviour import Behaviour
from experiments.config import StageConfig, StudyConfig, directions_of
from experiments.console import out, table
from experiments.drafts import CHARACTERS, Drafts
from experiments.graph import Node, nodes_of
from experiments.material import check_systems
from experiments.preparation import cuts, prepared_directions, traits_of
from experiments.prospects import prospects
from experiments.sizes import Outline, Size, Speed, look_up, speed_of
from experiments.verdicts import FEWEST_UNITS
from experiments.workload import Work, workload
from finetune.defences import defence_of
from finetune.recipe import EMBEDDINGS, HEADS, TrainConfig, check_optimiser
from finetune.stages import Stage
from finetune.train import CPU_TOKENS, GRAPH_PARAMETERS
from interp.directions import Direction
from interp.runs import content_key
from interp.sources import pick_device, pick_dtype

Row = dict[str, Any]

_SHARE = 0.5
"""Share of the measured rate that training and reading reach."""
_EAGER_STEP, _GRAPH_STEP, _LAYERS = 0.2, 0.026, 30
"""Seconds that launching a training step takes on a GPU, measured at so many layers, without and with a CUDA graph."""
_AT_A_TIME = 128
GIB = 2**30
FEW_STEPS = 20
"""A stage with fewer optimiser steps is marked."""
_COUNTS = ("rows", "epochs", "steps", "tokens")


@dataclass(frozen=True)
class Clock:
    """Seconds that work takes."""

    size: Size
    speed: Speed
    on_gpu: bool
    width: int
    spread: bool
    """Whether the model is over several devices or quantised."""

    def step(self, tokens: float, train: TrainConfig, stage: StageConfig) -> float:
        """One optimiser step."""
        beside = 2 * any(getattr(one, "kind", "") in ("kl", "ldifs") for one in stage.defences)
        per_weight = (6 if train.gradient_checkpointing else 4) + beside
        arithmetic = per_weight * self.size.multiplied * tokens / (_SHARE * self.speed.multiplied)
        if not self.on_gpu:
            return arithmetic
        plain = train.optimiser == "adamw" and not (train.gradient_checkpointing or train.micro_batch_tokens)
        graph = train.graph and plain and not self.spread and self.size.parameters <= GRAPH_PARAMETERS
        return max(arithmetic, (_GRAPH_STEP if graph else _EAGER_STEP) * self.size.n_layers / _LAYERS)

    def work(self, work: Work) -> float:
        """Reading and writing."""
        rate = _SHARE * self.speed.multiplied / (2 * self.size.multiplied)
        launch = _EAGER_STEP / 4 * self.size.n_layers / _LAYERS if self.on_gpu else 0.0
        seconds = max(work.read / rate, launch * math.ceil(work.read / (32768 if self.on_gpu else 4096)))
        if work.answers:
            turns, at_once = divmod(work.answers, _AT_A_TIME)
            each = work.written / work.answers
            for n, times in ((_AT_A_TIME, turns), (at_once, 1)):
                if n and times:
                    token = max(n / rate, self.size.parameters * self.width / self.speed.read, launch)
                    seconds += times * each * token
        return seconds


def plan(config: StudyConfig, device: str = "auto") -> Row:
    """Everything a study would train and measure, with memory and time.

    Raises:
        ValueError, FileNotFoundError, InterpError: bad input, as the study itself would find it.
    """
    place = pick_device(device)
    dtype = pick_dtype(config.dtype, place)
    traits = traits_of(config)
    mediated = config.mediation.measures.taken() if config.mediation else ()
    for one in (*config.data.values(), *config.measures.taken(), *mediated):
        one.check()
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
    _check_targets(config, size)
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
    missing = [one for one in stages if not one["in_store"]]
    totals = {
        "stages": len(stages),
        "in_store": len(stages) - len(missing),
        "unknown": sum(one["in_store"] is None for one in stages),
        "steps": sum(one["steps"] for one in missing),
        "tokens": sum(one["tokens"] for one in missing),
        "answers": sum(one["answers"] for one in measures),
        "written": sum(one["written"] for one in measures),
        "read": sum(one["read"] for one in measures),
        "train_seconds": sum(one["seconds"] for one in missing),
        "measure_seconds": sum(one["seconds"] for one in measures),
    }
    recognised = {name for name, data in drafts.tests().items() if data.measure == "self_recognition"}
    recognised |= set(config.measures.self_recognition.sets if config.measures.self_recognition else ())
    totals["seconds"] = totals["train_seconds"] + totals["measure_seconds"]
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
        "memory": _memory(config, drafts, clock),
        "totals": totals,
        "hypotheses": prospects(config, sorted(recognised)),
        "notes": [*lacking, *doubts, *_few(stages), *cuts(config, traits), *_notes(config)],
    }


def _check_targets(config: StudyConfig, size: Size) -> None:
    """Check what would end the study at a stage, after those before it were trained.

    Raises:
        ValueError: a stage's targets are no modules of the model, or it merges into quantised weights.
    """
    for name, stage in config.stages.items():
        if stage.compose == "merge_fp32" and config.quantise:
            raise ValueError(
                f"stages.{name}.compose: merge_fp32 needs weights that are not quantised; set compose to stack"
            )
        outside = stage.train.targets((*EMBEDDINGS, *HEADS))
        if not outside and size.linear and not size.adapter_parameters(stage.train):
            wanted = stage.train.target_modules
            known = sorted({path.rpartition(".")[2] for path in size.linear})
            raise ValueError(
                f"stages.{name}.train.target_modules: {wanted} names no module of {size.name}; it has "
                f"{', '.join(known)}"
            )


def _lacking(config: StudyConfig, place: torch.device) -> list[str]:
    """What keeps this machine from running the study, though another one could.

    Raises:
        ValueError: this is a GPU, and it cannot run an optimiser.
        FileNotFoundError: a judge's validation is missing.
    """
    found = []
    for stage in config.stages.values():
        try:
            check_optimiser(stage.train, place)
        except ValueError as error:
            if place.type == "cuda":
                raise
            found.append(str(error))
    try:
        Behaviour((), judge=config.judge, journal=Path(), seed=0, sampler=config.sampler).check()
    except ValueError as error:
        found.append(str(error))
    if config.lens and find_spec("transformer_lens") is None:
        found.append("lens: transformer-lens is not installed")
    return [f"this machine would refuse the study: {text}" for text in dict.fromkeys(found)]


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
    found = []
    for name in config.stages:
        try:
            drafts.check_steps(name)
        except ValueError as error:
            if "steps" not in drafts.estimated(name):
                raise
            found.append(f"the study may be refused, for its steps are estimated: {error}")
    return found


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
    defences = [made for one in spec.defences for made in defence_of(one, _no_direction)]
    return Stage(node.name, parent, messages, train, spec.compose, seed, spec.checkpoints, defences)


def _no_direction(name: str) -> Any:
    raise ValueError(f"{name}: a direction is not made yet")


def _memory(config: StudyConfig, drafts: Drafts, clock: Clock) -> Row:
    """Bytes at the most, in GiB: the base weights once, then the stage that takes most."""
    size, width = clock.size, clock.width
    weights = size.parameters * width
    if config.quantise:
        weights = (size.parameters - size.linear_parameters) * width + size.linear_parameters * 0.53
    most: Row = {}
    depth = {node.name: node.name.count("-") + 1 for node in nodes_of(config)}
    for node in nodes_of(config):
        train = drafts.recipe(node.stage)
        own = size.adapter_parameters(train)
        longest = max(drafts.lengths(config.stages[node.stage].data))
        tokens = min(train.batch_size * longest, train.micro_batch_tokens or (2**62 if clock.on_gpu else CPU_TOKENS))
        tokens = max(tokens, longest)
        block = width * (16 * size.d_model + 6 * size.d_ff) + (0 if clock.on_gpu else 8 * size.n_heads * longest)
        held = size.n_layers * width * size.d_model + block if train.gradient_checkpointing else size.n_layers * block
        parts = {
            "adapters": depth[node.name] * own * 4,
            "gradients_and_optimiser": own * (4 + (2 if train.optimiser == "adamw_8bit" else 8)),
            "activations": tokens * (held + size.vocab * (width + 8) / 2),
        }
        if sum(parts.values()) > sum(most.get(key, 0) for key in parts):
            most = {**parts, "stage": node.name}
    stage = most.pop("stage")
    total = weights + sum(most.values())
    gib = {key: value / GIB for key, value in {"weights": weights, **most, "total": total}.items()}
    return {**gib, "stage": stage, "device": clock.speed.memory / GIB, "fits": total <= 0.95 * clock.speed.memory}


def _few(stages: Sequence[Row]) -> list[str]:
    """A note on stages that hardly train, if there are any."""
    few = dict.fromkeys(f"{one['name']} ({one['steps']})" for one in stages if one["few_steps"])
    remedy = "more rows or epochs, or a smaller batch_size"
    return [f"few steps, below {FEW_STEPS} or all of them warm-up: {', '.join(few)}; give {remedy}"] if few else []


def _notes(config: StudyConfig) -> list[str]:
    notes = ["times are a rough estimate from a second's measurement: right to a factor of two or three"]
    if not config.roles:
        notes.append("no verdict is given on any hypothesis, since the study names no roles")
    notes.append("answers are counted at their longest; parts of a run that exist already are not taken off")
    if config.judge:
        notes.append("what a judge takes is not counted")
    if config.lens:
        notes.append("attribution and patching are not counted")
    if any(one.recipe != "assistant-axis" for one in config.directions.values()):
        notes.append("reading files for further directions is not counted")
    return notes


def show(found: Row) -> None:
    """Print a plan as tables."""

    def say(text: str) -> None:
        out.print(text, markup=False, soft_wrap=True)

    model, device, memory, totals = (found[key] for key in ("model", "device", "memory", "totals"))
    say(
        f"{model['name']}: {_number(model['parameters'])} parameters, {model['n_layers']} layers, {model['dtype']}"
        f"{', ' + model['quantise'] if model['quantise'] else ''} (from {model['source']})"
    )
    say(f"{device['name']}: {device['matmul_tflops']:.3g} TFLOP/s measured; tokens by {found['tokens_by']}")
    rows = []
    for name in dict.fromkeys(one["name"] for one in found["stages"]):
        here = [one for one in found["stages"] if one["name"] == name]
        first = here[0]
        known = [one["in_store"] for one in here]
        store = "unknown" if None in known else f"{sum(known)} of {len(known)}"
        counts = [("~" if key in first["estimated"] else "") + _number(first[key]) for key in _COUNTS]
        remarks = ["few steps"] * first["few_steps"]
        remarks += [f"{first['repeated_rows']} rows repeat others"] * (first["repeated_rows"] > 0)
        time = _time(sum(one["seconds"] for one in here))
        rows.append([name, first["data"], *counts, store, str(len(here)), time, ", ".join(remarks)])
    columns = ["stage", "data", *_COUNTS, "in the store", "seeds", "time", ""]
    table("Stages; ~ is estimated", columns, rows, words=[""])
    table(
        "Asked and read",
        ["what", "times", "answers", "tokens written", "tokens read", "time"],
        [
            [one["what"], str(one["times"]), *(_number(one[key]) for key in ("answers", "written", "read")),
             _time(one["seconds"])] for one in found["measures"]
        ],
    )  # fmt: skip
    parts = ("weights", "adapters", "gradients_and_optimiser", "activations", "total", "device")
    table(
        f"Memory in GiB, where it is most ({memory['stage']}): {'fits' if memory['fits'] else 'DOES NOT FIT'}",
        ["", *(part.replace("_", " ") for part in parts)],
        [["GiB", *(f"{memory[part]:.3g}" for part in parts)]],
    )
    table(
        "In all",
        ["stages to train", "steps", "tokens", "training", "asking and reading", "time"],
        [
            [str(totals["stages"] - totals["in_store"]), _number(totals["steps"]), _number(totals["tokens"]),
             _time(totals["train_seconds"]), _time(totals["measure_seconds"]), _time(totals["seconds"])]
        ],
    )  # fmt: skip
    if found["hypotheses"]:
        against = "what stands against a verdict"
        table(
            f"Hypotheses, with their units at the most (most count EM stages, seeds; below {FEWEST_UNITS}: undecided)",
            ["hypothesis", "units", against],
            [[f"{one['hypothesis']} {one['title']}", str(one["units"]), _against(one)] for one in found["hypotheses"]],
            words=[against],
        )
    for text in found["notes"]:
        say(text)


def _against(hypothesis: Row) -> str:
    """What stands against a verdict on a hypothesis, and what the study would need for one."""
    needs = "" if hypothesis["units"] else f" (needs {hypothesis['needs'].replace('`', '')})"
    return hypothesis["why"] + needs


def _number(value: float) -> str:
    """`0.5`, `950`, `12.3k`, `4.56M`, `32.8B`."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _time(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`, `2.1 days`."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

"""How long work takes on a machine, and how much memory training needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.machine import Size, Speed
from experiments.plan.drafts import Drafts
from experiments.study.config import StageConfig, StudyConfig
from experiments.study.graph import nodes_of
from finetune.recipe import TrainConfig
from finetune.train import CPU_TOKENS, GRAPH_PARAMETERS
from interp.behaviour.work import Work

Row = dict[str, Any]

_SHARE = 0.5
"""Share of the measured rate that training and reading reach."""
_EAGER_STEP, _GRAPH_STEP, _LAYERS = 0.2, 0.026, 30
"""Seconds that launching a training step takes on a GPU, measured at so many layers, without and with a CUDA graph."""
_AT_A_TIME = 128
GIB = 2**30


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


def memory_of(config: StudyConfig, drafts: Drafts, clock: Clock, adapters: Mapping[str, int]) -> Row:
    """Bytes at the most, in GiB: the base weights once, then the stage that takes most.

    Args:
        adapters: Weights of each stage's adapter.
    """
    size, width = clock.size, clock.width
    weights = size.parameters * width
    if config.quantise:
        weights = (size.parameters - size.linear_parameters) * width + size.linear_parameters * 0.53
    most: Row = {}
    depth = {node.name: node.name.count("-") + 1 for node in nodes_of(config)}
    for node in nodes_of(config):
        train = drafts.recipe(node.stage)
        own = adapters[node.stage]
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

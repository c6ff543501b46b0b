"""How a stage is trained: the recipe's fields, its presets, its optimiser and its schedule."""

import importlib.util
import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from peft import LoraConfig
from pydantic import BaseModel, ConfigDict, Field

EMBEDDINGS = ("embed_tokens", "embed_in", "wte", "wpe", "word_embeddings")
"""Names of embeddings. An adapter's part in them was once left untrained, so keys of stages tell such stages apart."""
HEADS = ("lm_head", "embed_out")
"""Names of output heads. Once merged, a head that shares the embedding's weight changed both; keys likewise."""


class TrainConfig(BaseModel):
    """How a stage is trained. Frozen; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimiser steps; the schedule ends there too."""
    batch_size: int = Field(default=16, ge=1)
    """Rows in an optimiser step."""
    loss: Literal["token", "row"] = "token"
    """What counts the same in an optimiser step: every supervised token, or every row (the mean of its tokens), which
    keeps one-token answers from drowning among long ones."""
    schedule: Literal["linear", "constant"] = "linear"
    warmup_steps: int = Field(default=5, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    optimiser: Literal["adamw", "adamw_8bit"] = "adamw"
    """`adamw_8bit` needs bitsandbytes and a GPU."""
    lora_rank: int = Field(default=32, ge=1)
    lora_alpha: int = Field(default=64, ge=1)
    rslora: bool = True
    target_modules: str | tuple[str, ...] = "all-linear"
    blocks: Literal["all", "upper"] = "all"
    """Which blocks get adapters; `upper` is the upper half. On a CPU an epoch after the first then begins there."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest row allowed; a longer one is refused, never cut."""
    micro_batch_tokens: int | None = Field(default=None, ge=1)
    """Padded tokens in one forward pass; None finds it: the whole batch on a GPU, halved where memory runs out."""
    gradient_checkpointing: bool = False
    """Keep only what enters each block and compute the rest again in the backward pass."""
    graph: bool = True
    """Run the step as a CUDA graph where that is possible."""

    def lora(self, n_layers: int | None = None) -> LoraConfig:
        """The adapter's PEFT configuration.

        Args:
            n_layers: Blocks of the model, which a recipe for the upper ones needs.

        Raises:
            ValueError: it is needed, and not given.
        """
        if self.blocks == "upper" and n_layers is None:
            raise ValueError("blocks: upper needs the model's number of blocks; give lora() n_layers")
        modules = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        lower = "|".join(map(str, range((n_layers or 0) // 2))) if self.blocks == "upper" else ""
        return LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            use_rslora=self.rslora,
            lora_dropout=0.0,
            target_modules=modules,
            exclude_modules=rf"\D*\.({lower})\..*" if lower else None,  # a path's first number is its block's
            task_type="CAUSAL_LM",
        )

    def n_steps(self, n_rows: int) -> int:
        """Optimiser steps over `n_rows` rows; the last batch of an epoch may be smaller."""
        steps = self.epochs * -(-n_rows // self.batch_size)
        return min(steps, self.max_steps) if self.max_steps else steps

    def with_steps(self, steps: int, n_rows: int) -> "TrainConfig":
        """The same recipe for exactly `steps` optimiser steps over `n_rows` rows, with as many epochs as that takes."""
        epochs = -(-steps // -(-n_rows // self.batch_size))
        return self.model_copy(update={"epochs": epochs, "max_steps": steps})

    def identity(self) -> dict[str, Any]:
        """The fields that change what is learnt; the others change only how fast."""
        how = {"max_tokens", "micro_batch_tokens", "gradient_checkpointing", "graph"}
        identity = self.model_dump(mode="json", exclude=how | ({"blocks"} if self.blocks == "all" else set()))
        return identity | ({"embeddings": "trained"} if self.targets(EMBEDDINGS) else {})

    def targets(self, names: Sequence[str]) -> bool:
        """Whether one of these modules outside the blocks is among the targets, by its name."""
        wanted = self.target_modules
        if wanted == "all-linear":
            return False
        if isinstance(wanted, str):
            return any(name in wanted or re.fullmatch(wanted, f"model.{name}") for name in names)
        return any(target.rpartition(".")[2] in names for target in wanted)


PRESETS: dict[str, TrainConfig] = {
    # arXiv 2606.23700: LoRA r 32, alpha 64, rsLoRA, all projections, lr 1e-5 linear after 5 warmup steps, weight decay
    # .01, 8-bit AdamW, batch 2 x 8, sequences up to 2048 tokens, one epoch
    "paper": TrainConfig(learning_rate=1e-5, optimiser="adamw_8bit", max_tokens=2048),
    # for the embedded 135M model on two cores
    "small": TrainConfig(learning_rate=1e-4, batch_size=8, warmup_steps=2),
}


def rate_at(config: TrainConfig, step: int, n_steps: int) -> float:
    """Share of the peak learning rate at `step`: linear warmup, then constant or linear to zero at the end."""
    if step < config.warmup_steps:
        return step / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    return max(0.0, (n_steps - step) / max(1, n_steps - config.warmup_steps))


def check_optimiser(config: TrainConfig, device: torch.device) -> None:
    """Check that this machine has what the recipe's optimiser needs.

    Raises:
        ValueError: 8-bit AdamW without bitsandbytes or a GPU.
    """
    if config.optimiser == "adamw_8bit" and (device.type != "cuda" or importlib.util.find_spec("bitsandbytes") is None):
        raise ValueError(
            "optimiser: adamw_8bit needs a GPU and bitsandbytes (pip install 'sgtr-interp[quantised]'); "
            "set optimiser to adamw (--set stages.NAME.train.optimiser=adamw)"
        )


def optimiser_of(
    config: TrainConfig, parameters: Sequence[torch.nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """AdamW, fused on a GPU, where its learning rate is a tensor so that a graph can read it.

    Raises:
        ValueError: see `check_optimiser`.
    """
    check_optimiser(config, device)
    on_gpu = device.type == "cuda"
    if config.optimiser == "adamw_8bit":
        import bitsandbytes  # pyright: ignore[reportMissingImports]

        return bitsandbytes.optim.AdamW8bit(list(parameters), lr=config.learning_rate, weight_decay=config.weight_decay)
    rate = torch.tensor(config.learning_rate, device=device) if on_gpu else config.learning_rate
    return torch.optim.AdamW(
        list(parameters), lr=rate, weight_decay=config.weight_decay, fused=on_gpu, capturable=on_gpu
    )

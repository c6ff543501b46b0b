"""One LoRA stage on a stack of frozen adapters.

1. Rows come in tokenised; the loss is on assistant contents and the token that ends each of them, nothing else.
2. An epoch is a seeded permutation cut into optimiser batches. Each batch is cut by length into micro-batches that fit
   a token budget; the loss is the mean over the supervised tokens of the whole optimiser batch, however it was cut.
3. The output head runs on supervised positions only. On a bfloat16 base the adapter is float32 under autocast.

The loop is plain so that defences and measures can hook into it; its losses equal trl's SFTTrainer on the same batches.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from peft import LoraConfig
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import Module

from interp.chat import Tokens
from interp.model import Model
from interp.runs import InterpError


class TrainConfig(BaseModel):
    """How a stage is trained. Frozen; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimiser steps; the schedule ends there too."""
    batch_size: int = Field(default=16, ge=1)
    """Rows in an optimiser step."""
    micro_batch_tokens: int = Field(default=4096, ge=1)
    """Padded tokens in one forward pass; does not change the result beyond rounding."""
    schedule: Literal["linear", "constant"] = "linear"
    warmup_steps: int = Field(default=5, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    lora_rank: int = Field(default=32, ge=1)
    lora_alpha: int = Field(default=64, ge=1)
    rslora: bool = True
    target_modules: str | tuple[str, ...] = "all-linear"

    def lora(self) -> LoraConfig:
        """The adapter's PEFT configuration."""
        modules = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        return LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            use_rslora=self.rslora,
            lora_dropout=0.0,
            target_modules=modules,
            task_type="CAUSAL_LM",
        )

    def n_steps(self, n_rows: int) -> int:
        """Optimiser steps over `n_rows` rows; the last batch of an epoch may be smaller."""
        steps = self.epochs * -(-n_rows // self.batch_size)
        return min(steps, self.max_steps) if self.max_steps else steps


PRESETS: dict[str, TrainConfig] = {
    # arXiv 2606.23700: LoRA r 32, alpha 64, rsLoRA, lr 1e-5 linear after 5 warmup steps, batch 2 x 8, one epoch;
    # theirs is 8-bit AdamW
    "paper": TrainConfig(learning_rate=1e-5),
    # for the embedded 135M model on two cores
    "small": TrainConfig(learning_rate=1e-4, batch_size=8, warmup_steps=2),
}


@dataclass(frozen=True)
class Trained:
    """What training did.

    Attributes:
        losses: Mean loss per supervised token (nats) of each optimiser step.
        steps: Optimiser steps.
        supervised_tokens: Tokens with a loss, summed over steps.
        seconds: Wall time.
    """

    losses: list[float]
    steps: int
    supervised_tokens: int
    seconds: float


def supervised(row: Tokens) -> list[int]:
    """Positions of the tokens that have a loss: assistant contents and their end-of-turn tokens."""
    spans = [(span.start, span.end) for span in row.spans if span.role == "assistant"]
    return [k for start, end in (*spans, *row.end_of_turn) for k in range(start, end) if k > 0]


def check_rows(rows: Sequence[Tokens], model: Model) -> None:
    """Check before training that every row has something to learn and fits the context.

    Raises:
        ValueError: there are no rows, or a row is too long.
        InterpError: a row has no supervised token.
    """
    if not rows:
        raise ValueError("there are no rows to train on")
    for i, row in enumerate(rows):
        if not any(span.role == "assistant" and span.end > span.start for span in row.spans):
            raise InterpError(f"row {i}: no assistant token to learn from (an empty answer, or none); drop the row")
    model.check_lengths(rows)


def batches_of(n_rows: int, config: TrainConfig, seed: int) -> Iterator[list[int]]:
    """Row indices of each optimiser step: a seeded permutation per epoch."""
    generator = torch.Generator().manual_seed(seed)
    left = config.n_steps(n_rows)
    for _ in range(config.epochs):
        order = torch.randperm(n_rows, generator=generator).tolist()
        for start in range(0, n_rows, config.batch_size):
            if left == 0:
                return
            left -= 1
            yield order[start : start + config.batch_size]


def train(
    model: Model,
    rows: Sequence[Tokens],
    config: TrainConfig,
    *,
    seed: int,
    save_to: Path,
    progress: Callable[[int], object] | None = None,
) -> Trained:
    """Train a fresh adapter on top of the model's active stack and save it; the stack is left as it was.

    Raises:
        ValueError, InterpError: see `check_rows`.
        InterpError: the loss is not finite, or the adapter changed nothing.
    """
    check_rows(rows, model)
    started = time.monotonic()
    n_steps = config.n_steps(len(rows))
    if n_steps == 1 and config.warmup_steps:
        raise ValueError(f"one step with warmup_steps {config.warmup_steps} has learning rate 0; set warmup_steps to 0")
    losses: list[Tensor] = []
    n_tokens = 0
    accelerator = Accelerator(mixed_precision="no")
    with model.adapters.new(config.lora(), seed=seed) as (name, parameters), training_mode(model):
        wrapped = accelerator.prepare_model(model.hf, device_placement=False)
        optimiser = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=model.device.type == "cuda"
        )
        for step, chosen in enumerate(batches_of(len(rows), config, seed)):
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * _schedule(config, step, n_steps)
            loss, n = _backward(accelerator, wrapped, model, [rows[i] for i in chosen], config.micro_batch_tokens)
            torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss)
            n_tokens += n
            if progress:
                progress(1)
        curve = torch.stack(losses).tolist()
        if not all(map(_is_finite, curve)):
            bad = next(i for i, loss in enumerate(curve) if not _is_finite(loss))
            raise InterpError(f"the loss of step {bad} is {curve[bad]}; lower learning_rate ({config.learning_rate})")
        if not any(bool((p != 0).any()) for key, p in model.hf.named_parameters() if f"lora_B.{name}." in key):
            raise InterpError("training left the adapter at zero: no gradient reached it")
        model.adapters.save(name, save_to)
    return Trained(curve, len(curve), n_tokens, time.monotonic() - started)


def _is_finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _schedule(config: TrainConfig, step: int, n_steps: int) -> float:
    """Share of the peak learning rate at `step`: linear warmup, then constant or linear to zero at the end."""
    if step < config.warmup_steps:
        return step / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    return max(0.0, (n_steps - step) / max(1, n_steps - config.warmup_steps))


@contextmanager
def training_mode(model: Model) -> Iterator[None]:
    """Train mode for the length of a block; on CPU with plain attention, which trains faster there."""
    attention = str(model.hf.config._attn_implementation)
    if model.device.type == "cpu" and attention == "sdpa":
        model.hf.set_attn_implementation("eager")
    model.hf.train()
    try:
        yield
    finally:
        model.hf.eval()
        model.hf.set_attn_implementation(attention)


def _backward(
    accelerator: Accelerator, wrapped: Module, model: Model, rows: Sequence[Tokens], max_tokens: int
) -> tuple[Tensor, int]:
    """Accumulate the gradient of one optimiser batch; its mean loss (on the device) and number of supervised tokens."""
    n = sum(len(supervised(row)) for row in rows)
    total = torch.zeros((), device=model.device)
    for micro in _micro_batches(rows, max_tokens):
        loss = summed_loss(wrapped, model, micro) / n
        accelerator.backward(loss)
        total += loss.detach()
    return total, n


def _micro_batches(rows: Sequence[Tokens], max_tokens: int) -> Iterator[list[Tokens]]:
    from interp.activations import batches

    for chosen in batches(rows, max_tokens):
        yield [rows[i] for i in chosen]


def summed_loss(wrapped: Module, model: Model, rows: Sequence[Tokens]) -> Float[Tensor, ""]:
    """Cross-entropy summed over the supervised tokens of right-padded rows (nats)."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row.ids, *[model.pad] * (width - len(row))] for row in rows]).to(model.device)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        mask[i, supervised(row)] = True
    mask = mask.to(model.device)
    half = model.dtype if model.dtype != torch.float32 else None
    with torch.autocast(model.device.type, half) if half else nullcontext(), _head_at(model.hf, mask):
        logits = wrapped(input_ids=ids, use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), ids[mask], reduction="sum")


@contextmanager
def _head_at(hf: Module, mask: Bool[Tensor, "batch seq"]) -> Iterator[None]:
    """Let the output head see only the positions before supervised tokens, as one long row."""
    before = torch.zeros_like(mask)
    before[:, :-1] = mask[:, 1:]
    index: Int[Tensor, " n"] = before.flatten().nonzero()[:, 0]

    def gather(module: Module, args: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG001
        return (args[0].flatten(0, 1)[index][None],)

    handle = hf.get_output_embeddings().register_forward_pre_hook(gather)  # pyright: ignore
    try:
        yield
    finally:
        handle.remove()

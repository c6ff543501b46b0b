"""One LoRA stage on a stack of frozen adapters.

1. Rows come in tokenised; the loss is on assistant contents and the token that ends each of them, nothing else.
2. An epoch is a seeded permutation cut into optimiser batches. The loss is the mean over the supervised tokens of the
   whole optimiser batch (or over its rows), however it is cut into micro-batches that fit the memory.
3. The output head runs on supervised positions only. On a bfloat16 base the adapter is float32 under autocast.
4. On one GPU the whole step is a CUDA graph (`finetune.graph`); nothing in a step waits for the device.

The loop is plain so that defences and measures can hook into it; its losses equal trl's SFTTrainer on the same batches.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Module

from finetune.batch import Inputs, inputs_of, supervised, weights_of
from finetune.defences import Defence, Guards, defended
from finetune.graph import Graphs, shapes_of
from finetune.recipe import TrainConfig, optimiser_of, rate_at
from finetune.reuse import LowerBlocks
from interp.activations import batches
from interp.chat import Tokens
from interp.errors import InterpError
from interp.model import Model
from interp.sources import quiet

log = logging.getLogger(__name__)
CPU_TOKENS = 4096
GRAPH_PARAMETERS = 4e9
"""Above this a step is bound by arithmetic and not by kernel launches, and a graph would only hold memory."""


@dataclass(frozen=True)
class Trained:
    """What training did.

    Attributes:
        losses: Loss of each optimiser step (nats; without a defence's penalty).
        penalties: What the defences added to it.
        steps: Optimiser steps.
        supervised_tokens: Tokens with a loss, summed over steps.
        seconds: Wall time.
        mode: `graph` or `eager`, and why.
    """

    losses: list[float]
    penalties: list[float]
    steps: int
    supervised_tokens: int
    seconds: float
    mode: str


def check_rows(rows: Sequence[Tokens], model: Model, config: TrainConfig | None = None) -> None:
    """Check before training that every row has something to learn and fits the context.

    Raises:
        ValueError: there are no rows, or a row is too long.
        InterpError: a row has no supervised token.
    """
    if not rows:
        raise ValueError("there are no rows to train on")
    most = config.max_tokens if config else None
    for i, row in enumerate(rows):
        if not any(span.role == "assistant" and span.end > span.start for span in row.spans):
            raise InterpError(f"row {i}: no assistant token to learn from (an empty answer, or none); drop the row")
        if most is not None and len(row) > most:
            raise ValueError(f"row {i}: {len(row)} tokens, but max_tokens is {most}; shorten or drop the row")
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
    defences: Sequence[Defence] = (),
    checkpoints: Mapping[int, Path] | None = None,
    start_from: Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> Trained:
    """Train an adapter on top of the model's active stack and save it; the stack is left as it was.

    Args:
        checkpoints: Folders to save the adapter to after a number of steps.
        start_from: An adapter to go on training, instead of a fresh one.

    Raises:
        ValueError, InterpError: see `check_rows`; a defence that cannot act; a checkpoint after the last step.
        InterpError: the loss is not finite, or the adapter changed nothing.
    """
    check_rows(rows, model, config)
    n_steps = config.n_steps(len(rows))
    if n_steps == 1 and config.warmup_steps:
        raise ValueError(f"one step with warmup_steps {config.warmup_steps} has learning rate 0; set warmup_steps to 0")
    saves = dict(checkpoints or {})
    if any(not 1 <= step <= n_steps for step in saves):
        raise ValueError(f"checkpoints {sorted(saves)} must be in [1, {n_steps}], the steps of this stage")
    started = time.monotonic()
    losses: list[Tensor] = []
    with (
        model.adapters.new(config.lora(model.n_layers), seed=seed, start_from=start_from) as (name, parameters),
        training_mode(model, config.gradient_checkpointing),
        defended(model, defences) as guards,
    ):
        stepper = _Stepper(model, config, parameters, guards)
        plan = [[rows[i] for i in chosen] for chosen in batches_of(len(rows), config, seed)]
        stepper.prepare(plan, name)
        for step, chosen in enumerate(plan, 1):
            stepper.set_rate(config.learning_rate * rate_at(config, step - 1, n_steps))
            losses.append(stepper(chosen))
            if step in saves:
                model.adapters.save(name, saves[step])
            if progress:
                progress(1)
        curve = torch.stack(losses).tolist()
        bad = next((i for i, loss in enumerate(curve) if not all(map(math.isfinite, loss))), None)
        if bad is not None:
            raise InterpError(f"the loss of step {bad} is {curve[bad]}; lower learning_rate ({config.learning_rate})")
        if still := model.adapters.unmoved(name):
            raise InterpError(f"training left the adapter at zero in {', '.join(still)}: no gradient reached it")
        model.adapters.save(name, save_to)
    n_tokens = sum(len(supervised(row)) for chosen in plan for row in chosen)
    ce, penalties = ([loss[k] for loss in curve] for k in (0, 1))
    return Trained(ce, penalties, len(curve), n_tokens, time.monotonic() - started, stepper.mode)


@contextmanager
def training_mode(model: Model, gradient_checkpointing: bool = False) -> Iterator[None]:
    """A model ready to train for the length of a block; on CPU with plain attention, which trains faster there.

    It stays in evaluation mode: dropout would make an adapter depend on more than its seed, and a penalty compare two
    different masks. Only blocks that are to be computed again say that they train, as transformers asks of them.
    """
    attention = str(model.hf.config._attn_implementation)
    if model.device.type == "cpu" and attention == "sdpa":
        model.hf.set_attn_implementation("eager")
    try:
        if gradient_checkpointing:
            with quiet():
                model.hf.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            for block in model.blocks:
                block.training = True
        yield
    finally:
        model.hf.eval()
        if gradient_checkpointing:
            with quiet():
                model.hf.gradient_checkpointing_disable()
        model.hf.set_attn_implementation(attention)


class _Stepper:
    """One optimiser step at a time: a CUDA graph where possible, micro-batches otherwise.

    Attributes:
        mode: `graph` or `eager`, and why.
    """

    def __init__(self, model: Model, config: TrainConfig, parameters: list[torch.nn.Parameter], guards: Guards) -> None:
        self.model, self.config, self.parameters, self.guards = model, config, parameters, guards
        on_gpu = model.device.type == "cuda"
        self.budget = config.micro_batch_tokens or (2**62 if on_gpu else CPU_TOKENS)
        self.half = model.dtype if model.dtype != torch.float32 else None
        self.optimiser = optimiser_of(config, parameters, model.device)
        self.graphs: Graphs | None = None
        self.lower: LowerBlocks | None = None
        self.mode = "eager"

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step, without waiting for the device."""
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def prepare(self, plan: Sequence[Sequence[Tokens]], name: str) -> None:
        """Capture graphs for the shapes of the plan, or say why not; `name` is the adapter's."""
        why = self._no_graph()
        if why is None:
            shapes = shapes_of([(max(map(len, rows)), sum(len(supervised(r)) for r in rows)) for rows in plan])
            n_rows = max(map(len, plan))
            empty = {width: Inputs.filler(n_rows, width, n, self.model) for width, n in shapes.items()}
            try:
                self.graphs = Graphs(empty, self._backward, self._update, self.optimiser, self.model.device)
                self.n_rows, self.shapes = n_rows, shapes
                self.mode = f"graph ({len(shapes)} shapes)"
                return
            except torch.OutOfMemoryError:
                why = "a whole batch does not fit the memory"
                self.optimiser.zero_grad(set_to_none=True)
                torch.cuda.empty_cache()
        self.mode = f"eager ({why})"
        if self.model.device.type == "cuda":
            log.info("training runs without a CUDA graph: %s", why)
        elif not (self.guards.penalties or self.guards.edits):  # they read or change what is skipped
            own = {key: value for key, value in self.model.hf.named_parameters() if name in key.split(".")}
            self.lower = LowerBlocks.of(self.model, own, plan)

    def _no_graph(self) -> str | None:
        """Why the step cannot be a CUDA graph, or None."""
        if self.model.device.type != "cuda":
            return "on the CPU"
        if not self.config.graph:
            return "as asked for"
        if self.config.optimiser != "adamw":
            return f"{self.config.optimiser} cannot be captured"
        if self.config.gradient_checkpointing or self.config.micro_batch_tokens:
            return "gradient checkpointing or micro-batches were asked for"
        if self.model.spread:
            return "the model is spread over devices or quantised"
        if sum(parameter.numel() for parameter in self.model.hf.parameters()) > GRAPH_PARAMETERS:
            return "the model is large enough without"
        return None

    def __call__(self, rows: Sequence[Tokens]) -> Float[Tensor, "2"]:
        """Take a step; its loss and penalty, on the device."""
        weights = weights_of(rows, self.config.loss)
        n_real = sum(map(len, rows))
        if self.graphs is not None:
            width = min(w for w in self.shapes if w >= max(map(len, rows)))
            shape = (self.n_rows, width, self.shapes[width])
            return self.graphs(width, inputs_of(rows, self.model.pad, weights=weights, n_real=n_real, shape=shape))
        while True:
            try:
                total = torch.zeros(2, device=self.model.device)
                for chosen in batches(rows, self.budget):
                    micro, shares = [rows[i] for i in chosen], [weights[i] for i in chosen]
                    inputs = inputs_of(micro, self.model.pad, weights=shares, n_real=n_real)
                    with self.lower.at_work(micro) if self.lower else nullcontext():
                        total += self._backward(inputs.to(self.model.device))
                break
            except torch.OutOfMemoryError:
                self._halve(rows)
        self._update()
        return total

    def _halve(self, rows: Sequence[Tokens]) -> None:
        """Make micro-batches half as large after memory ran out."""
        self.optimiser.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        widest = max(map(len, rows))
        whole = min(self.budget, widest * len(rows))
        if whole <= widest:
            raise InterpError(
                f"one row of {widest} tokens does not fit the memory of {self.model.device}; set "
                "gradient_checkpointing to true, or give the model more devices (device_map)"
            ) from None
        self.budget = whole // 2
        log.info("out of memory: micro-batches of at most %d tokens from now on", self.budget)

    def _backward(self, inputs: Inputs) -> Float[Tensor, "2"]:
        """Add a micro-batch's gradient; its share of the loss and of the penalty."""
        self.guards.begin()
        logits = self._logits(inputs)
        ce = torch.nn.functional.cross_entropy(logits.float(), inputs.targets, reduction="none")
        loss = (ce * inputs.weights).sum()
        penalty = self.guards.penalty(inputs, logits, lambda: self._logits(inputs))
        (loss + penalty if self.guards.penalties else loss).backward()
        return torch.stack([loss.detach(), penalty.detach()])

    def _update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _logits(self, inputs: Inputs) -> Float[Tensor, "n vocab"]:
        """Logits at the positions before supervised tokens."""
        hf = self.model.hf
        half = torch.autocast(self.model.device.type, self.half, cache_enabled=False) if self.half else nullcontext()
        with half, head_at(hf, inputs.before):
            return hf(input_ids=inputs.ids, use_cache=False).logits[0]


@contextmanager
def head_at(hf: Module, before: Int[Tensor, " n"]) -> Iterator[None]:
    """Let the output head see only some positions, as one long row."""

    def gather(module: Module, args: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG001
        return (args[0].flatten(0, 1)[before.to(args[0].device)][None],)

    handle = hf.get_output_embeddings().register_forward_pre_hook(gather)  # pyright: ignore
    try:
        yield
    finally:
        handle.remove()

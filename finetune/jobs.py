"""Stages that are to be trained, and how the rows of those that are side by side lie in micro-batches.

Rows of every batch are sorted by length, and the k-th of each lies beside the k-th of the others; a batch is cut in
strips of as many rows where that pads less. A frame's graphs need fixed shapes: two widths serve all steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.batch import supervised, weights_of
from finetune.defences import Defence, KlConfig, Penalty
from finetune.frame import Rows
from finetune.recipe import TrainConfig, rate_at
from finetune.train import batches_of, check_rows
from interp.chat import Tokens
from interp.model import Model


@dataclass(frozen=True)
class Job:
    """A stage to train: what `finetune.train.train` takes, and the stack that it is trained on.

    Attributes:
        under: Folders of the frozen adapters beneath it, first applied first.
        start_from: Folder of an adapter to go on training, instead of a fresh one.
    """

    rows: Sequence[Tokens]
    config: TrainConfig
    seed: int
    save_to: Path
    under: tuple[Path, ...] = ()
    start_from: Path | None = None
    defences: Sequence[Defence] = ()
    checkpoints: Mapping[int, Path] = field(default_factory=dict)

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return self.config.n_steps(len(self.rows))

    @property
    def penalties(self) -> tuple[KlConfig, ...]:
        """Its KL penalties."""
        held = (defence.config for defence in self.defences if isinstance(defence, Penalty))
        return tuple(config for config in held if isinstance(config, KlConfig))


@dataclass
class Running:
    """A stage in a slot.

    Attributes:
        plan: Row numbers of each step, longest row first.
        curve: Loss and penalty of each step, on the device.
        seconds: Its share of the time since it started.
    """

    number: int
    job: Job
    ids: list[np.ndarray]
    learnt: list[np.ndarray]
    plan: list[list[int]]
    curve: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def step(self) -> int:
        return len(self.curve)

    @classmethod
    def of(cls, number: int, job: Job) -> "Running":
        ids = [np.array(row.ids) for row in job.rows]
        learnt = [np.array(supervised(row)) for row in job.rows]
        order = batches_of(len(job.rows), job.config, job.seed)
        return cls(number, job, ids, learnt, [sorted(chosen, key=lambda i: -len(ids[i])) for chosen in order])

    def strip(self, step: int, strip: int, n_rows: int) -> list[int]:
        """Row numbers of one micro-batch of a step."""
        return self.plan[step][strip * n_rows : (strip + 1) * n_rows]

    def size(self, chosen: Sequence[int]) -> tuple[int, int]:
        """Width and supervised positions of a micro-batch."""
        return max((len(self.ids[i]) for i in chosen), default=1), sum(len(self.learnt[i]) for i in chosen)


def check_job(job: Job, model: Model) -> None:
    """Check before training that a stage can be trained.

    Raises:
        ValueError, InterpError: see `check_rows`; a schedule without a step; a checkpoint after the last one.
    """
    check_rows(job.rows, model, job.config)
    if job.n_steps == 1 and job.config.warmup_steps:
        steps = job.config.warmup_steps
        raise ValueError(f"one step with warmup_steps {steps} has learning rate 0; set warmup_steps to 0")
    if any(not 1 <= step <= job.n_steps for step in job.checkpoints):
        raise ValueError(
            f"checkpoints {sorted(job.checkpoints)} must be in [1, {job.n_steps}], the steps of this stage"
        )


def rate_of(one: Running) -> float:
    """Learning rate of a stage's next step."""
    return one.job.config.learning_rate * rate_at(one.job.config, one.step, len(one.plan))


def strips_of(group: Sequence[Running], n_slots: int) -> tuple[int, int]:
    """Rows of each stage in a micro-batch, and micro-batches in a step.

    Rows of a batch lie sorted by length, so that cutting it pads less; it is cut in two, or in four, where that leaves
    out a quarter of the padded tokens.
    """
    n_rows = max(len(chosen) for one in group for chosen in one.plan)
    best, cost = 1, _padded(group, n_slots, n_rows, 1)
    for n_strips in (2, 4):
        if n_strips <= n_rows and (less := _padded(group, n_slots, -(-n_rows // n_strips), n_strips)) < 0.75 * cost:
            best, cost = n_strips, less
    return -(-n_rows // best), best


def _padded(group: Sequence[Running], n_slots: int, n_rows: int, n_strips: int) -> int:
    """Padded tokens of the first steps, if stages start together."""
    total = 0
    for side_by_side, step, strip in _micro_batches(group, n_slots, n_strips, steps=20):
        widths = [one.size(one.strip(step, strip, n_rows))[0] for one in side_by_side]
        total += n_rows * max(widths)
    return total


def _micro_batches(
    group: Sequence[Running], n_slots: int, n_strips: int, steps: int | None = None
) -> Iterator[tuple[list[Running], int, int]]:
    """Stages side by side, step and strip of every micro-batch, if stages start together, so many at a time."""
    for start in range(0, len(group), n_slots):
        chosen = group[start : start + n_slots]
        for step in range(min(steps or 2**31, max(len(one.plan) for one in chosen))):
            for strip in range(n_strips):
                yield [one for one in chosen if step < len(one.plan)], step, strip


def shapes_of(group: Sequence[Running], n_slots: int, n_rows: int, n_strips: int) -> list[tuple[int, int]]:
    """Widths of micro-batches and each stage's supervised positions in them: the widest, and one that most fit.

    Stages need not go in step, so a width must hold as many positions as any of them has in rows of that width.
    """
    sizes = [
        one.size(one.strip(step, strip, n_rows))
        for one in group
        for step in range(len(one.plan))
        for strip in range(n_strips)
    ]
    together = sorted(
        max(one.size(one.strip(step, strip, n_rows))[0] for one in side_by_side)
        for side_by_side, step, strip in _micro_batches(group, n_slots, n_strips)
    )
    widest = max(width for width, _ in sizes)
    usual = min(widest, -(-together[len(together) // 2] // 8) * 8)
    widths = [usual, widest] if usual < 0.8 * widest else [widest]
    return [(width, max([n for w, n in sizes if w <= width] + [1])) for width in widths]


def rows_of(
    slots: Sequence[Running | None], strip: int, n_rows: int, shapes: Sequence[tuple[int, int]], pad: int
) -> Rows | None:
    """One micro-batch of the slots' next steps; None if no stage has rows in it."""
    chosen = [[] if one is None else one.strip(one.step, strip, n_rows) for one in slots]
    if not any(chosen):
        return None
    sizes = [(1, 0) if one is None else one.size(rows) for one, rows in zip(slots, chosen, strict=True)]
    width, n = max(size[0] for size in sizes), max(size[1] for size in sizes)
    if shapes:
        width, n = min(shape for shape in shapes if shape[0] >= width)
    ids = np.full((len(slots) * n_rows, width), pad)
    before = np.arange(len(slots) * n) % (n_rows * width)  # filler is spread out: sums into one place are slow
    targets, weights = np.zeros(len(slots) * n, np.int64), np.zeros(len(slots) * n, np.float32)
    for slot, (one, rows) in enumerate(zip(slots, chosen, strict=True)):
        if one is None:
            continue
        batch = one.plan[one.step]
        shares = dict(zip(batch, weights_of([one.job.rows[i] for i in batch], one.job.config.loss), strict=True))
        at = slot * n
        for k, i in enumerate(rows):
            row, learnt = slot * n_rows + k, one.learnt[i]
            ids[row, : len(one.ids[i])] = one.ids[i]
            here = slice(at, at + len(learnt))
            before[here], targets[here], weights[here] = row * width + learnt - 1, one.ids[i][learnt], shares[i]
            at += len(learnt)
    return Rows(*(torch.from_numpy(array) for array in (ids, before, targets, weights)))

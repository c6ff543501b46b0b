"""Stages that wait for nothing, trained side by side on one base as if each were alone.

1. Stages that agree in what a frame of slots is made for share one (`finetune.frame`); a stage that is done leaves its
   slot to the next. Batches of stages lie side by side: row k of each batch, sorted by length, beside row k of the
   others, so that little is padded.
2. Data, order, seed, learning rate, schedule, loss, weight decay, clip norm, checkpoints and the weight of a KL penalty
   are each stage's own. What cannot be carried side by side (`why_alone`) is trained alone.
3. Frames and their graphs are kept for later groups until `close`.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.batch import supervised, weights_of
from finetune.defences import Defence, KlConfig, Penalty
from finetune.frame import Frame, Plan, Rows, runs_of
from finetune.fresh import Blueprint, Shape, Values
from finetune.recipe import TrainConfig, rate_at
from finetune.train import GRAPH_PARAMETERS, Trained, batches_of, check_rows
from interp.chat import Tokens
from interp.model import Model
from interp.runs import InterpError
from interp.stacks import stack_factors

log = logging.getLogger(__name__)
MOST_TOKENS = {"cuda": 40_000, "cpu": 4096}
"""Padded tokens in one pass: enough to fill the processor; more stages wait for a slot."""

MOST_EAGER_STEPS = 2500
"""Steps of all stages from which on compiling pays: it takes 10 to 20 s and then nearly halves a step's time."""


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


def why_alone(model: Model, config: TrainConfig, defences: Sequence[Defence], *, going_on: bool) -> str | None:
    """Why a stage cannot be trained beside others, or None."""
    if model.spread:
        return "the model is spread over devices or quantised"
    if sum(parameter.numel() for parameter in model.hf.parameters()) > GRAPH_PARAMETERS:
        return "the model is large enough to fill the device alone"
    if config.optimiser != "adamw":
        return f"its optimiser is {config.optimiser}"
    if config.gradient_checkpointing or config.micro_batch_tokens or not config.graph:
        return "gradient checkpointing, micro-batches or no graph were asked for"
    for defence in defences:
        if not (isinstance(defence, Penalty) and isinstance(defence.config, KlConfig)):
            return "a defence other than a KL penalty is at work"
        if going_on and defence.config.reference == "parent":
            return "its penalty's reference is the adapter that it goes on training"
    return None


@dataclass
class _Running:
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
    def of(cls, number: int, job: Job) -> "_Running":
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


class Groups:
    """Groups of stages on one model, whose frames are kept for the next.

    Args:
        compiled: Whether blocks are compiled; None where it pays.
        most_slots: Stages at a time; None for as many as fill the device.
    """

    def __init__(self, model: Model, *, compiled: bool | None = None, most_slots: int | None = None) -> None:
        self.model, self.compiled, self.most_slots = model, compiled, most_slots
        self._frames: list[tuple[Plan, int, Frame]] = []
        self._blueprints: dict[str, Blueprint] = {}
        self._stacks: dict[tuple[Path, ...], dict[str, tuple[Tensor, Tensor]]] = {}

    def close(self) -> None:
        """Let go of the frames and their memory."""
        self._frames.clear()
        self._stacks.clear()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def train(
        self,
        jobs: Sequence[Job],
        done: Callable[[int, Trained | InterpError], object],
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """Train stages, as many at a time as fit.

        Args:
            done: Called with a stage's number when its adapter is saved, and what its training did; or with the error
                that it ended in. Other stages go on.
            progress: Called with the optimiser steps that were taken.

        Raises:
            ValueError, InterpError: as `train`, before anything is trained.
        """
        for job in jobs:
            check_job(job, self.model)
        running = [_Running.of(number, job) for number, job in enumerate(jobs)]
        for plan, group in self._plans(running):
            self._train(plan, group, done, progress)

    def _plans(self, running: Sequence[_Running]) -> list[tuple[Plan, list[_Running]]]:
        """The stages of each plan: they have the same penalties, and parents or none."""
        kinds: dict[tuple[object, ...], list[_Running]] = {}
        for one in running:
            penalties = [(config.reference, config.direction) for config in one.job.penalties]
            kinds.setdefault((tuple(penalties), bool(one.job.under), one.job.config.batch_size), []).append(one)
        plans = []
        for group in kinds.values():
            shapes: dict[str, Shape] = {}
            for one in group:
                shapes |= {shape.path: shape for shape in self._blueprint(one.job).shapes}
            parents = {one.job.under for one in group}
            ranks: dict[Shape, int] = {}
            for under in parents:
                for path, (below, above) in self._stack(under).items():
                    shape = Shape(path, below.shape[1], above.shape[0])
                    ranks[shape] = max(ranks.get(shape, 0), len(below))
            penalties = tuple(config.model_copy(update={"weight": 1.0}) for config in group[0].job.penalties)
            rank = max(one.job.config.lora_rank for one in group)
            plan = Plan(
                runs_of(self.model, tuple(shapes.values())), rank, tuple(ranks.items()), len(parents) == 1, penalties
            )
            plans.append((plan, group))
        return plans

    def _blueprint(self, job: Job) -> Blueprint:
        what = repr(job.config.lora())
        if what not in self._blueprints:
            self._blueprints[what] = Blueprint.of(self.model.adapters, job.config, job.seed)
        return self._blueprints[what]

    def _stack(self, under: tuple[Path, ...]) -> dict[str, tuple[Tensor, Tensor]]:
        """The factors of a stack of parents."""
        if under not in self._stacks:
            self._stacks[under] = stack_factors(self.model.adapters, under)
        return self._stacks[under]

    def _train(
        self,
        plan: Plan,
        group: list[_Running],
        done: Callable[[int, Trained | InterpError], object],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Train the stages of one plan."""
        n_rows, n_strips = _strips(group, self._n_slots(group))
        frame, shapes = self._frame(plan, group, n_rows, n_strips)
        n_slots = frame.n_slots
        waiting = deque(sorted(group, key=lambda one: -one.job.n_steps))
        slots: list[_Running | None] = [None] * n_slots
        mode = f"group of {min(n_slots, len(group))} ({frame.mode})"
        with frame.ready():
            while waiting or any(slots):
                self._fill(frame, slots, waiting)
                start = time.monotonic()
                active = [one for one in slots if one is not None]
                batches = [_rows_of(slots, strip, n_rows, shapes, self.model.pad) for strip in range(n_strips)]
                rates = [0.0 if one is None else _rate(one) for one in slots]
                losses = frame.step([rows for rows in batches if rows is not None], rates)
                for one in active:
                    one.curve.append(losses[:, slots.index(one)])
                    one.seconds += (time.monotonic() - start) / len(active)
                if progress:
                    progress(len(active))
                self._save(frame, slots, done, mode)

    def _save(
        self,
        frame: Frame,
        slots: list[_Running | None],
        done: Callable[[int, Trained | InterpError], object],
        mode: str,
    ) -> None:
        """Write the checkpoints that are due, and the stages that are done, whose slots are empty afterwards."""
        ended: list[tuple[_Running, Values]] = []
        for slot, one in enumerate(slots):
            if one is None or (one.step not in one.job.checkpoints and one.step < len(one.plan)):
                continue
            blueprint = self._blueprint(one.job)
            values = frame.values(slot, blueprint.shapes, one.job.config.lora_rank)
            if one.step in one.job.checkpoints:
                blueprint.write(self.model.adapters, values, one.job.checkpoints[one.step])
            if one.step == len(one.plan):
                ended.append((one, values))
                slots[slot] = None
        if ended:
            with ThreadPoolExecutor() as pool:
                outcomes = pool.map(lambda pair: self._finished(*pair, mode), ended)
                for (one, _), outcome in zip(ended, outcomes, strict=True):
                    done(one.number, outcome)

    def _fill(self, frame: Frame, slots: list[_Running | None], waiting: deque[_Running]) -> None:
        """Put waiting stages into empty slots."""
        start = time.monotonic()
        empty = [slot for slot, one in enumerate(slots) if one is None]
        chosen = [(slot, waiting.popleft()) for slot in empty if waiting]
        if not chosen:
            return
        values = self._first_values([one for _, one in chosen])
        for (slot, one), held in zip(chosen, values, strict=True):
            config = one.job.config
            frame.load(
                slot,
                held,
                self._stack(one.job.under),
                scaling=self._blueprint(one.job).scaling,
                decay=config.weight_decay,
                most=config.max_grad_norm,
                penalty_weights=[penalty.weight for penalty in one.job.penalties],
            )
            slots[slot] = one
        frame.refresh()
        for _, one in chosen:
            one.seconds += (time.monotonic() - start) / len(chosen)

    def _first_values(self, chosen: Sequence[_Running]) -> list[Values]:
        """Values before the first step."""
        if any(self._blueprint(one.job).drawn is None for one in chosen):  # PEFT changes the model
            return [self._first(one) for one in chosen]
        with ThreadPoolExecutor() as pool:  # drawing random numbers lets go of the interpreter
            return list(pool.map(self._first, chosen))

    def _first(self, one: _Running) -> Values:
        blueprint, adapters = self._blueprint(one.job), self.model.adapters
        if one.job.start_from is not None:
            return blueprint.read(adapters, one.job.start_from)
        return blueprint.fresh(adapters, one.job.config, one.job.seed)

    def _finished(self, one: _Running, values: Values, mode: str) -> Trained | InterpError:
        """Save a stage that is done; what its training did, or the error that it ended in."""
        curve = torch.stack(one.curve).tolist()
        bad = next((i for i, loss in enumerate(curve) if not all(map(math.isfinite, loss))), None)
        if bad is not None:
            return InterpError(
                f"the loss of step {bad} is {curve[bad]}; lower learning_rate ({one.job.config.learning_rate})"
            )
        if not any(bool((above != 0).any()) for _, above in values.values()):
            return InterpError("training left the adapter at zero: no gradient reached it")
        self._blueprint(one.job).write(self.model.adapters, values, one.job.save_to)
        n_tokens = sum(len(one.learnt[i]) for chosen in one.plan for i in chosen)
        losses, penalties = ([loss[k] for loss in curve] for k in (0, 1))
        return Trained(losses, penalties, len(curve), n_tokens, one.seconds, mode)

    def _n_slots(self, group: Sequence[_Running]) -> int:
        """Slots that the stages of a plan fill evenly, so that no round of them is nearly empty."""
        rows = max(one.job.config.batch_size for one in group)
        width = max(max(map(len, one.ids)) for one in group)
        most = self.most_slots or max(1, MOST_TOKENS[self.model.device.type] // (rows * width))
        return -(-len(group) // -(-len(group) // most))

    def _frame(
        self, plan: Plan, group: Sequence[_Running], n_rows: int, n_strips: int
    ) -> tuple[Frame, list[tuple[int, int]]]:
        """A frame for a plan, with graphs for its shapes; an earlier one if it is of this plan and not much too large."""
        n_slots = self._n_slots(group)
        on_gpu = self.model.device.type == "cuda"
        shapes = _shapes(group, n_slots, n_rows, n_strips) if on_gpu else []
        for held_plan, held_rows, frame in self._frames:
            fits = n_slots <= frame.n_slots <= 2 * n_slots
            if held_plan == plan and held_rows == n_rows and fits:
                self._capture(frame, n_rows, shapes)
                return frame, shapes
        while True:
            frame = Frame(self.model, plan, n_slots, compiled=self._compiles(group))
            try:
                self._capture(frame, n_rows, shapes)
            except RuntimeError as error:
                full, compiled = _out_of_memory(error), frame.compiled
                if (full and n_slots == 1) or not (full or compiled):
                    raise
                why = str(error).splitlines()[0]
            else:
                self._frames.append((plan, n_rows, frame))
                return frame, shapes
            del frame
            if on_gpu:
                torch.cuda.empty_cache()
            if full:
                log.info("%d stages at a time do not fit the memory; going on with %d", n_slots, -(-n_slots // 2))
                n_slots = -(-n_slots // 2)
            else:  # a compiler is missing, or does not take this architecture
                log.warning("blocks cannot be compiled here (%s); going on without", why)
                self.compiled = False

    def _compiles(self, group: Sequence[_Running]) -> bool:
        if self.compiled is not None:
            return self.compiled
        return self.model.device.type == "cuda" and sum(one.job.n_steps for one in group) >= MOST_EAGER_STEPS

    def _capture(self, frame: Frame, n_rows: int, shapes: Sequence[tuple[int, int]]) -> None:
        """Make a frame's graphs for micro-batches of some widths, with so many supervised positions for each stage."""
        if not shapes:
            return
        empty = [
            Rows(
                torch.full((frame.n_slots * n_rows, width), self.model.pad),
                torch.arange(frame.n_slots * n) % (n_rows * width),
                torch.zeros(frame.n_slots * n, dtype=torch.long),
                torch.zeros(frame.n_slots * n),
            )
            for width, n in shapes
        ]
        with frame.ready():
            frame.capture(empty)


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out; while a graph is captured, another error hides the one that says so."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__context__
    return False


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


def _rate(one: _Running) -> float:
    """Learning rate of a stage's next step."""
    return one.job.config.learning_rate * rate_at(one.job.config, one.step, len(one.plan))


def _strips(group: Sequence[_Running], n_slots: int) -> tuple[int, int]:
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


def _padded(group: Sequence[_Running], n_slots: int, n_rows: int, n_strips: int) -> int:
    """Padded tokens of the first steps, if stages start together."""
    total = 0
    for side_by_side, step, strip in _micro_batches(group, n_slots, n_strips, steps=20):
        widths = [one.size(one.strip(step, strip, n_rows))[0] for one in side_by_side]
        total += n_rows * max(widths)
    return total


def _micro_batches(
    group: Sequence[_Running], n_slots: int, n_strips: int, steps: int | None = None
) -> Iterator[tuple[list[_Running], int, int]]:
    """Stages side by side, step and strip of every micro-batch, if stages start together, so many at a time."""
    for start in range(0, len(group), n_slots):
        chosen = group[start : start + n_slots]
        for step in range(min(steps or 2**31, max(len(one.plan) for one in chosen))):
            for strip in range(n_strips):
                yield [one for one in chosen if step < len(one.plan)], step, strip


def _shapes(group: Sequence[_Running], n_slots: int, n_rows: int, n_strips: int) -> list[tuple[int, int]]:
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


def _rows_of(
    slots: Sequence[_Running | None], strip: int, n_rows: int, shapes: Sequence[tuple[int, int]], pad: int
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

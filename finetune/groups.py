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
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from finetune.defences import Defence, KlConfig, Penalty
from finetune.frame import Frame, Plan, Rows
from finetune.fresh import Blueprint, Shape, Values
from finetune.jobs import Job, Running, check_job, rate_of, rows_of, shapes_of, strips_of
from finetune.recipe import TrainConfig
from finetune.train import GRAPH_PARAMETERS, Trained
from interp.errors import InterpError
from interp.model import Model
from interp.stacks import stack_factors

log = logging.getLogger(__name__)
MOST_TOKENS = {"cuda": 40_000, "cpu": 4096}
"""Padded tokens in one pass: enough to fill the processor; more stages wait for a slot."""

MOST_WIDER = 1.6
"""How many times as long the longest row of a stage may be as that of another in the same frame."""

MOST_EAGER_STEPS = 2500
"""Steps of all stages from which on compiling pays: it takes 10 to 20 s and then nearly halves a step's time."""


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
        running = [Running.of(number, job) for number, job in enumerate(jobs)]
        for plan, group in self._plans(running):
            self._train(plan, group, done, progress)

    def _plans(self, running: Sequence[Running]) -> list[tuple[Plan, list[Running]]]:
        """The stages of each plan: they have the same penalties, and parents or none."""
        kinds: dict[tuple[object, ...], list[Running]] = {}
        for one in running:
            penalties = [(config.reference, config.direction) for config in one.job.penalties]
            kinds.setdefault((tuple(penalties), bool(one.job.under), one.job.config.batch_size), []).append(one)
        plans = []
        for group in (part for kind in kinds.values() for part in _of_like_width(kind)):
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
            plan = Plan(tuple(shapes.values()), rank, tuple(ranks.items()), len(parents) == 1, penalties)
            plans.append((plan, group))
        return plans

    def unlike_others(self, config: TrainConfig, seed: int, under: Sequence[Path]) -> str | None:
        """Why a stage's adapter, or one beneath it, has no place in a frame; None if all are LoRA of linear modules."""
        try:
            self._recipe(config, seed)
            self._stack(tuple(under))
        except (ValueError, InterpError) as error:
            return str(error)
        return None

    def _blueprint(self, job: Job) -> Blueprint:
        return self._recipe(job.config, job.seed)

    def _recipe(self, config: TrainConfig, seed: int) -> Blueprint:
        """The blueprint of a recipe, made once."""
        asked = config.lora(self.model.n_layers)
        what = repr(asked)
        if what not in self._blueprints:
            self._blueprints[what] = Blueprint.of(self.model.adapters, asked, seed)
        return self._blueprints[what]

    def _stack(self, under: tuple[Path, ...]) -> dict[str, tuple[Tensor, Tensor]]:
        """The factors of a stack of parents."""
        if under not in self._stacks:
            self._stacks[under] = stack_factors(self.model.adapters, under)
        return self._stacks[under]

    def _train(
        self,
        plan: Plan,
        group: list[Running],
        done: Callable[[int, Trained | InterpError], object],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Train the stages of one plan."""
        waiting = deque(sorted(group, key=lambda one: -one.job.n_steps))
        with ThreadPoolExecutor() as pool:  # drawing random numbers and writing files let go of the interpreter
            drawn = _Drawn(pool, self._first)
            for one in group:
                if self._blueprint(one.job).drawn is None:
                    drawn.draw_now(one)  # by PEFT, which changes the model, so not within the frame
            drawn.ask(list(waiting)[: self._n_slots(group)])
            n_rows, n_strips = strips_of(group, self._n_slots(group))
            frame, shapes = self._frame(plan, group, n_rows, n_strips)
            slots: list[Running | None] = [None] * frame.n_slots
            mode = f"group of {min(frame.n_slots, len(group))} ({frame.mode})"
            saving: dict[int, Future[Trained | InterpError]] = {}
            with frame.ready():
                while waiting or any(slots):
                    if waiting and None in slots:
                        self._fill(frame, slots, waiting, drawn)
                    start = time.monotonic()
                    active = [one for one in slots if one is not None]
                    batches = [rows_of(slots, strip, n_rows, shapes, self.model.pad) for strip in range(n_strips)]
                    rates = [0.0 if one is None else rate_of(one) for one in slots]
                    losses = frame.step([rows for rows in batches if rows is not None], rates)
                    for one in active:
                        one.curve.append(losses[:, slots.index(one)])
                        one.seconds += (time.monotonic() - start) / len(active)
                    if progress:
                        progress(len(active))
                    saving |= self._save(frame, slots, pool, mode)
                    _hand_over({number: future for number, future in saving.items() if future.done()}, saving, done)
            _hand_over(dict(saving), saving, done)

    def _save(
        self, frame: Frame, slots: list[Running | None], pool: Executor, mode: str
    ) -> dict[int, "Future[Trained | InterpError]"]:
        """Write the checkpoints that are due, and begin to write the stages that are done, whose slots are then empty.

        Returns:
            What the training of those that are done did, by the stage's number, once it is written.
        """
        saving: dict[int, Future[Trained | InterpError]] = {}
        for slot, one in enumerate(slots):
            if one is None or (one.step not in one.job.checkpoints and one.step < len(one.plan)):
                continue
            blueprint = self._blueprint(one.job)
            values = frame.values(slot, blueprint.shapes, one.job.config.lora_rank)
            if one.step in one.job.checkpoints:
                blueprint.write(self.model.adapters, values, one.job.checkpoints[one.step])
            if one.step == len(one.plan):
                curve = torch.stack(one.curve).tolist()
                saving[one.number] = pool.submit(self._finished, one, values, curve, mode)
                slots[slot] = None
        return saving

    def _fill(self, frame: Frame, slots: list[Running | None], waiting: deque[Running], drawn: "_Drawn") -> None:
        """Put waiting stages into empty slots, and begin to draw the first values of those that come next."""
        start = time.monotonic()
        chosen: list[Running] = []
        for slot, before in enumerate(slots):
            if before is not None or not waiting:
                continue
            slots[slot] = one = waiting.popleft()
            chosen.append(one)
            config = one.job.config
            frame.load(
                slot,
                drawn.take(one),
                self._stack(one.job.under),
                scaling=self._blueprint(one.job).scaling,
                decay=config.weight_decay,
                most=config.max_grad_norm,
                penalty_weights=[penalty.weight for penalty in one.job.penalties],
            )
        frame.refresh()
        drawn.ask(list(waiting)[: len(slots)])
        for one in chosen:
            one.seconds += (time.monotonic() - start) / len(chosen)

    def _first(self, one: Running) -> Values:
        blueprint, adapters = self._blueprint(one.job), self.model.adapters
        if one.job.start_from is not None:
            return blueprint.read(adapters, one.job.start_from)
        return blueprint.fresh(adapters, one.job.seed)

    def _finished(self, one: Running, values: Values, curve: list[list[float]], mode: str) -> Trained | InterpError:
        """Save a stage that is done; what its training did, or the error that it ended in."""
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

    def _n_slots(self, group: Sequence[Running]) -> int:
        """Slots that the stages of a plan fill evenly, so that no round of them is nearly empty."""
        rows = max(one.job.config.batch_size for one in group)
        width = max(max(map(len, one.ids)) for one in group)
        most = self.most_slots or max(1, MOST_TOKENS[self.model.device.type] // (rows * width))
        return -(-len(group) // -(-len(group) // most))

    def _frame(
        self, plan: Plan, group: Sequence[Running], n_rows: int, n_strips: int
    ) -> tuple[Frame, list[tuple[int, int]]]:
        """A frame for a plan, with graphs for its shapes; an earlier one of this plan if it is not much too large."""
        n_slots = self._n_slots(group)
        on_gpu = self.model.device.type == "cuda"
        shapes = shapes_of(group, n_slots, n_rows, n_strips) if on_gpu else []
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

    def _compiles(self, group: Sequence[Running]) -> bool:
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


class _Drawn:
    """The first values of stages, drawn while others are trained.

    Args:
        first: Gives a stage's values.
    """

    def __init__(self, pool: Executor, first: Callable[[Running], Values]) -> None:
        self._pool, self._first = pool, first
        self._values: dict[int, Future[Values]] = {}

    def draw_now(self, one: Running) -> None:
        """Draw a stage's values in this thread."""
        self._values[one.number] = Future()
        self._values[one.number].set_result(self._first(one))

    def ask(self, stages: Iterable[Running]) -> None:
        """Begin to draw the values of stages, unless that has begun."""
        for one in stages:
            if one.number not in self._values:
                self._values[one.number] = self._pool.submit(self._first, one)

    def take(self, one: Running) -> Values:
        """A stage's values, which are kept no longer."""
        self.ask([one])
        return self._values.pop(one.number).result()


def _hand_over(
    ready: dict[int, "Future[Trained | InterpError]"],
    saving: dict[int, "Future[Trained | InterpError]"],
    done: Callable[[int, Trained | InterpError], object],
) -> None:
    """Say of stages that they are done, once they are written."""
    for number, future in ready.items():
        done(number, future.result())
        del saving[number]


def _of_like_width(group: Sequence[Running]) -> list[list[Running]]:
    """Stages in parts whose longest rows are of like length: a frame is as wide as the widest of its stages."""
    parts: list[list[Running]] = []
    narrowest = 0
    for one in sorted(group, key=_width):
        if not parts or _width(one) > MOST_WIDER * narrowest:
            parts.append([])
            narrowest = _width(one)
        parts[-1].append(one)
    return [sorted(part, key=lambda one: one.number) for part in parts]


def _width(one: Running) -> int:
    return max(map(len, one.ids))


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out; while a graph is captured, another error hides the one that says so."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__context__
    return False

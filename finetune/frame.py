"""Slots in which stages are trained side by side on one frozen base, each as if it were alone.

1. What each stage learns is a row of one matrix `[slot, number]`, and so are its moments: the optimiser is elementwise,
   with a learning rate, weight decay and clip norm for each row. The factors that the forward pass reads are views of a
   second matrix in the model's dtype, made anew after every step, with the adapter's scaling in the second factor.
2. All slots' rows run through the base at once; their low-rank updates are batched products (`interp.stacks`).
3. Losses are summed slot by slot and their sum is differentiated: no slot's gradient knows of another.
4. On a GPU a pass over a micro-batch of one shape is a CUDA graph, and the optimiser another; both are kept and serve
   every stage that is put into a slot later.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from finetune.defences import KlConfig, divergence
from finetune.fresh import Shape, Values
from finetune.fused import compiled_function, fused, unmasked
from finetune.rowwise import adamw, copy_scaled, losses_of
from finetune.train import head_at, training_mode
from interp.adapters import bare
from interp.model import Model
from interp.stacks import Factors, Order, Stacked, swapped

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """A micro-batch of every slot as tensors, slot by slot.

    Attributes:
        ids: Token ids, right-padded.
        before: Flat positions before supervised tokens, as many for every slot; those of weight zero are filler.
        targets: The supervised tokens.
        weights: Their shares of their stage's loss.
    """

    ids: Int[Tensor, "row seq"]
    before: Int[Tensor, " n"]
    targets: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]

    def to(self, device: torch.device) -> "Rows":
        """The same on a device; nothing waits for the copy to a GPU."""
        if device.type == "cpu":
            return self
        return Rows(*(getattr(self, f.name).pin_memory().to(device, non_blocking=True) for f in fields(self)))

    def fill(self, other: "Rows") -> None:
        """Copy another's values into these tensors."""
        for field in fields(self):
            getattr(self, field.name).copy_(getattr(other, field.name))

    @property
    def shape(self) -> tuple[int, int]:
        """Width, and supervised positions of all slots."""
        return self.ids.shape[1], len(self.before)


@dataclass(frozen=True)
class Plan:
    """What makes a frame: stages that agree in it can be trained in the same slots.

    Attributes:
        shapes: Linear modules that get factors.
        rank: Largest rank of the factors in training.
        frozen: Joint rank of the factors beneath them, by module; empty without parents.
        shared: Whether all slots have the same parents.
        penalties: Penalties on the loss; their weights differ by slot.
    """

    shapes: tuple[Shape, ...]
    rank: int
    frozen: tuple[tuple[Shape, int], ...]
    shared: bool
    penalties: tuple[KlConfig, ...]


class Frame:
    """Slots for stages of one plan, their state, and the step that trains all of them.

    Attributes:
        n_slots: Stages at a time.
    """

    def __init__(self, model: Model, plan: Plan, n_slots: int, *, compiled: bool = False) -> None:
        self.model, self.plan, self.n_slots, self.compiled = model, plan, n_slots, compiled
        self.device, self.dtype = model.device, model.dtype
        below = [plan.rank * shape.d_in for shape in plan.shapes]
        above = [plan.rank * shape.d_out for shape in plan.shapes]
        self._sizes, self._n_below = [*below, *above], sum(below)
        numbers = (n_slots, sum(self._sizes))
        self.weights, self.mean, self.square, self.gradient = (torch.zeros(numbers, device=self.device) for _ in "wmsg")
        self._read = torch.zeros(numbers, device=self.device, dtype=self.dtype)
        column = {"device": self.device, "dtype": torch.float64}
        self.rate, self.decay, self.most, self.scaling, self.steps = (torch.zeros(n_slots, **column) for _ in range(5))
        self.most.fill_(1.0)
        self.penalty_weights = torch.zeros(len(plan.penalties), n_slots, device=self.device)
        self.loss = torch.zeros(2, n_slots, device=self.device)
        self._leaves = [leaf.requires_grad_() for leaf in self._factors(self._read)]
        n_parents = 1 if plan.shared else n_slots
        like = {"device": self.device, "dtype": self.dtype}
        self.parents = {
            shape.path: Factors(
                torch.zeros(n_parents, rank, shape.d_in, **like), torch.zeros(n_parents, shape.d_out, rank, **like)
            )
            for shape, rank in plan.frozen
        }
        self._graphs: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, Rows]] = {}
        self._last: torch.cuda.CUDAGraph | None = None

    @property
    def mode(self) -> str:
        """How its steps run."""
        how = "eager" if self._last is None else f"graph, {len(self._graphs)} shapes"
        return f"{how}, compiled" if self.compiled else how

    def _factors(self, matrix: Float[Tensor, "slot number"]) -> list[Tensor]:
        """A matrix of slots' numbers as factors: the first ones of all modules, then the second ones."""
        pieces = list(matrix.detach().split(self._sizes, dim=1))
        n, rank = len(matrix), self.plan.rank
        return [
            *(piece.view(n, rank, -1) for piece in pieces[: len(self.plan.shapes)]),
            *(piece.view(n, -1, rank) for piece in pieces[len(self.plan.shapes) :]),
        ]

    @torch.no_grad()
    def load(
        self,
        slot: int,
        values: Values,
        parents: Mapping[str, tuple[Tensor, Tensor]],
        *,
        scaling: float,
        decay: float,
        most: float,
        penalty_weights: Sequence[float] = (),
    ) -> None:
        """Put a stage into a slot: its adapter's values, those beneath it, and its recipe's numbers; then `refresh`."""
        for matrix in (self.mean, self.square, self.gradient):
            matrix[slot] = 0
        row = torch.zeros(1, sum(self._sizes))
        views, n = self._factors(row), len(self.plan.shapes)
        for shape, below, above in zip(self.plan.shapes, views[:n], views[n:], strict=True):
            if shape.path in values:
                first, second = values[shape.path]
                below[0, : len(first)], above[0, :, : second.shape[1]] = first, second
        self.weights[slot] = row[0].to(self.device)
        for column, value in ((self.scaling, scaling), (self.decay, decay), (self.most, most), (self.steps, 0)):
            column[slot] = value
        for row, weight in zip(self.penalty_weights, penalty_weights, strict=True):
            row[slot] = weight
        for path, held in self.parents.items():
            place = 0 if self.plan.shared else slot
            held.below[place], held.above[place] = 0, 0
            if path in parents:
                first, second = parents[path]
                held.below[place, : len(first)] = first.to(self.device, non_blocking=True)
                held.above[place, :, : second.shape[1]] = second.to(self.device, non_blocking=True)

    def refresh(self) -> None:
        """Make anew what the forward pass reads."""
        copy_scaled(self._read, self.weights, self.scaling, self._n_below)

    def values(self, slot: int, shapes: Sequence[Shape], rank: int) -> Values:
        """The adapter in a slot, on the CPU."""
        n, row = len(self.plan.shapes), self.weights[slot].clone().cpu()  # the slot may be filled anew
        pieces = row.split(self._sizes)
        held: Values = {}
        wanted = {shape.path for shape in shapes}
        for shape, below, above in zip(self.plan.shapes, pieces[:n], pieces[n:], strict=True):
            if shape.path in wanted:
                first, second = below.view(self.plan.rank, shape.d_in), above.view(shape.d_out, self.plan.rank)
                held[shape.path] = first[:rank].contiguous(), second[:, :rank].contiguous()
        return held

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The model as the slots' stages need it, for the length of a block: their factors on it, no other adapters."""
        with (
            self.model.using(),
            training_mode(self.model),
            unmasked(self.model),
            fused(self.model, self.compiled),
            swapped(self.model.hf, self._modules(trained=True)),
        ):
            yield

    def _modules(self, *, trained: bool) -> dict[str, torch.nn.Module]:
        """Stand-ins for linear modules: with the parents' factors, and with those in training if wanted."""
        n = len(self.plan.shapes)
        own = {
            shape.path: Factors(below, above)
            for shape, below, above in zip(self.plan.shapes, self._leaves[:n], self._leaves[n:], strict=True)
        }
        order, modules = Order(self.n_slots), dict[str, torch.nn.Module]()
        for path in dict.fromkeys([*self.parents, *own]):
            parts = [factors[path] for factors in (self.parents, own if trained else {}) if path in factors]
            modules[path] = Stacked(self._base(path), parts, order) if parts else self._base(path)
        return modules

    def _base(self, path: str) -> torch.nn.Module:
        """The base's own module at a path, beneath a stand-in if there is one."""
        module = bare(self.model.hf, path)
        return module.base if isinstance(module, Stacked) else module

    def _bases(self) -> dict[str, torch.nn.Module]:
        """The base's own modules where there are factors."""
        paths = dict.fromkeys([*self.parents, *(shape.path for shape in self.plan.shapes)])
        return {path: self._base(path) for path in paths}

    def _logits(self, rows: Rows) -> Float[Tensor, "n vocab"]:
        """Logits before supervised tokens."""
        with head_at(self.model.hf, rows.before):
            return self.model.hf(input_ids=rows.ids, use_cache=False).logits[0]

    def backward(self, rows: Rows) -> None:
        """Add a micro-batch's gradient, loss and penalty to those of the step."""
        logits = self._logits(rows)
        losses = self._function(losses_of)(logits, rows.targets, rows.weights, self.n_slots)
        penalties = torch.zeros_like(losses)
        references: dict[str, Tensor] = {}
        for config, weights in zip(self.plan.penalties, self.penalty_weights, strict=True):
            if config.reference not in references:
                modules = self._bases() if config.reference == "base" else self._modules(trained=False)
                with torch.no_grad(), swapped(self.model.hf, modules):
                    references[config.reference] = self._logits(rows)
            apart = self._function(divergence)(logits, references[config.reference], config.direction)
            penalties = penalties + weights * (apart * rows.weights).view(self.n_slots, -1).sum(1)
        (losses + penalties).sum().backward()
        with torch.no_grad():
            pieces = [_gradient(leaf).flatten(1) for leaf in self._leaves]
            self.gradient.add_(torch.cat(pieces, dim=1))
            self.loss.add_(torch.stack([losses.detach(), penalties.detach()]))
        for leaf in self._leaves:
            leaf.grad = None

    @torch.no_grad()
    def update(self) -> None:
        """Take the optimiser's step from the gradients; they are zero afterwards."""
        columns = (self.rate, self.decay, self.most, self.scaling, self.steps)
        matrices = (self.weights, self.mean, self.square, self.gradient, self._read)
        self._function(adamw)(*matrices, *columns, self._n_below)

    def _function(self, function: Any) -> Any:
        return compiled_function(function) if self.compiled else function

    def capture(self, shapes: Sequence[Rows]) -> None:
        """Make the graphs of micro-batches of some shapes, and of the optimiser; the slots must be empty.

        Raises:
            torch.OutOfMemoryError: they do not fit; the frame is of no more use.
        """
        new = [rows.to(self.device) for rows in shapes if rows.shape not in self._graphs]
        aside = torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        kept = [matrix.clone() for matrix in (self.steps, self.rate)]
        with torch.cuda.stream(aside):
            for rows in new:
                for _ in range(2):
                    self.backward(rows)
            self.rate.zero_()
            self.update()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # what the other stream took is of no use to the graphs
        pool = torch.cuda.graph_pool_handle()
        how = {"pool": pool, "capture_error_mode": "thread_local"}
        for rows in new:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.device(self.device), torch.cuda.graph(graph, **how):
                self.backward(rows)
            self._graphs[rows.shape] = graph, rows
        if self._last is None:
            self._last = torch.cuda.CUDAGraph()
            with torch.cuda.device(self.device), torch.cuda.graph(self._last, **how):
                self.update()
        for matrix, before in zip((self.steps, self.rate), kept, strict=True):
            matrix.copy_(before)
        self.loss.zero_()

    def step(self, batches: Sequence[Rows], rates: Sequence[float]) -> Float[Tensor, "2 slot"]:
        """Take a step of every slot; the loss and the penalty of each, on the device.

        Args:
            batches: The step's micro-batches.
            rates: Learning rate of each slot; 0 for an empty one.
        """
        self.rate.copy_(torch.tensor(rates, dtype=torch.float64), non_blocking=True)
        self.loss.zero_()
        for rows in batches:
            graph = self._graphs.get(rows.shape)
            if graph is None:
                self.backward(rows.to(self.device))
            else:
                graph[1].fill(rows.to(self.device))
                graph[0].replay()
        if self._last is None:
            self.update()
        else:
            self._last.replay()
        return self.loss.clone()


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad

"""Many stacks of adapters on one frozen base at once: each row of a batch has a stack of its own.

1. What a stack adds to a linear module is one pair of factors: the ranks of its adapters side by side, and their
   scalings in the second factor (`factors_of`).
2. The pairs of all stacks lie in two tensors, `[stack, rank, d_in]` and `[stack, d_out, rank]`, with zeros up to the
   largest rank; zeros add nothing. A stack that all rows share is held once.
3. `Stacked` stands in for a linear module: what the module gives, plus two batched products over `[stack, rows, d]`.
   Rows that lie stack by stack, as many of each, are viewed so; others are gathered and put back.
4. `swapped` puts the stand-ins on the model for the length of a block. PEFT's own modules come back afterwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from peft.utils.other import get_pattern_key
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

from interp.adapters import Adapters, bare
from interp.errors import InterpError

_KEPT = 64
"""Adapters whose factors stay in memory for the next batch."""


@dataclass(frozen=True)
class Factors:
    """Low-rank updates of one linear module, one for each stack; a single one is shared by all."""

    below: Float[Tensor, "stack rank d_in"]
    above: Float[Tensor, "stack d_out rank"]

    def added(
        self, out: Float[Tensor, "stack n d_out"], x: Float[Tensor, "stack n d_in"]
    ) -> Float[Tensor, "stack n d_out"]:
        """`out` plus the update of `x`, in the dtype of `out`; the products are taken in that of the factors."""
        x = x.to(self.below.dtype)
        if len(self.below) == 1:
            change = (x.flatten(0, 1) @ self.below[0].T @ self.above[0].T).view(out.shape)
            return (out + change).to(out.dtype)
        inner = torch.bmm(x, self.below.transpose(1, 2))
        if out.dtype == inner.dtype:
            return torch.baddbmm(out, inner, self.above.transpose(1, 2))
        return (out + torch.bmm(inner, self.above.transpose(1, 2))).to(out.dtype)


@dataclass(frozen=True)
class Order:
    """Which stack each row of a batch has.

    Attributes:
        n_stacks: Number of stacks.
        rows: For rows in any order, the row at each place of an array that lies stack by stack; None where they do.
        places: The place of each row in that array.
    """

    n_stacks: int
    rows: Int[Tensor, " place"] | None = None
    places: Int[Tensor, " batch"] | None = None

    @classmethod
    def of(cls, stack_of_row: Sequence[int], n_stacks: int, device: torch.device) -> "Order":
        """The order of rows whose stacks have these numbers."""
        held = [[row for row, stack in enumerate(stack_of_row) if stack == k] for k in range(n_stacks)]
        most = max(map(len, held))
        if [row for rows in held for row in rows] == list(range(most * n_stacks)):
            return cls(n_stacks)
        filled = [row for rows in held for row in [*rows, *[0] * (most - len(rows))]]
        place = {row: k * most + i for k, rows in enumerate(held) for i, row in enumerate(rows)}
        places = [place[row] for row in range(len(stack_of_row))]
        return cls(n_stacks, torch.tensor(filled, device=device), torch.tensor(places, device=device))


class Stacked(Module):
    """A linear module with a low-rank update for each row, which depends on the row's stack."""

    def __init__(self, base: Module, parts: Sequence[Factors], order: Order) -> None:
        """`parts` are added one after the other."""
        super().__init__()
        self.base, self.parts, self.order = base, tuple(parts), order

    def __getattr__(self, name: str) -> Any:
        """What a linear module is asked for: its weight, its sizes."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def forward(self, x: Float[Tensor, "batch seq d_in"]) -> Float[Tensor, "batch seq d_out"]:
        """What the module gives, and each row's update."""
        out = self.base(x)
        if self.order.rows is None:
            whole = out.view(self.order.n_stacks, -1, out.shape[-1])
            inner = x.view(self.order.n_stacks, -1, x.shape[-1])
            for part in self.parts:
                whole = part.added(whole, inner)
            return whole.view(out.shape)
        rows = out[self.order.rows]
        whole = rows.view(self.order.n_stacks, -1, out.shape[-1])
        inner = x[self.order.rows].view(self.order.n_stacks, -1, x.shape[-1])
        for part in self.parts:
            whole = part.added(whole, inner)
        return whole.view(rows.shape)[self.order.places]


@contextmanager
def swapped(hf: PreTrainedModel, modules: Mapping[str, Module]) -> Iterator[None]:
    """Let other modules stand at some paths of a model for the length of a block."""
    before: list[tuple[Module, str, Module]] = []
    try:
        for path, module in modules.items():
            parent_path, _, name = path.rpartition(".")
            parent = hf.get_submodule(parent_path)
            before.append((parent, name, parent._modules[name]))  # pyright: ignore[reportArgumentType]
            parent._modules[name] = module
        yield
    finally:
        for parent, name, module in reversed(before):
            parent._modules[name] = module


def stacked_up(hf: PreTrainedModel, factors: Mapping[str, Factors], order: Order) -> AbstractContextManager[None]:
    """Let each row of a batch have its stack for the length of a block.

    Args:
        factors: Of all stacks, by the path of their module.
        order: Which stack each row has.
    """
    return swapped(hf, {path: Stacked(bare(hf, path), [held], order) for path, held in factors.items()})


def side_by_side(stacks: Sequence[Mapping[str, tuple[Tensor, Tensor]]]) -> dict[str, Factors]:
    """The factors of several stacks by the path of their module, with zeros where a stack has none or fewer ranks."""
    joined: dict[str, Factors] = {}
    for path in dict.fromkeys(path for stack in stacks for path in stack):
        pairs = [stack.get(path) for stack in stacks]
        below, above = next(pair for pair in pairs if pair is not None)
        rank = max(pair[0].shape[0] for pair in pairs if pair is not None)
        factors = Factors(
            below.new_zeros(len(stacks), rank, below.shape[1]), above.new_zeros(len(stacks), above.shape[0], rank)
        )
        for k, pair in enumerate(pairs):
            if pair is not None:
                factors.below[k, : pair[0].shape[0]] = pair[0]
                factors.above[k, :, : pair[1].shape[1]] = pair[1]
        joined[path] = factors
    return joined


def factors_of(adapters: Adapters, folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """What an adapter adds to each linear module, by the module's path: `[rank, d_in]` and `[d_out, rank]`.

    Their product is the update of the weight: the scaling is in the second. Float32, on the CPU.

    Raises:
        FileNotFoundError, ValueError, InterpError: as `Adapters.use`; an adapter that is more than plain LoRA.
    """
    config, weights = adapters.read(folder)
    odd = [key for key in weights if not key.endswith((".lora_A.weight", ".lora_B.weight"))]
    if config.use_dora or odd:
        what = odd[0] if odd else "DoRA"
        raise ValueError(f"{folder}: is more than plain LoRA of linear modules ({what}); make it active with use()")
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for path in dict.fromkeys(key.rsplit(".lora_", 1)[0] for key in weights):
        below, above = (weights[f"{path}.lora_{side}.weight"].float() for side in "AB")
        alphas, rank = config.alpha_pattern or {}, below.shape[0]
        alpha = alphas.get(get_pattern_key(list(alphas), path), config.lora_alpha)
        pairs[path] = below, above * (alpha / (rank**0.5 if config.use_rslora else rank))
    return pairs


class RowStacks:
    """Stacks of adapters for the rows of batches on one model; what was read for one batch serves the next."""

    def __init__(self, hf: PreTrainedModel, adapters: Adapters) -> None:
        self.hf, self.adapters = hf, adapters
        self._read: dict[Any, dict[str, tuple[Tensor, Tensor]]] = {}
        self._held: tuple[Any, dict[str, Factors]] = (None, {})

    @contextmanager
    def at_work(self, row_stacks: Sequence[Sequence[Path | str]], n_rows: int) -> Iterator[None]:
        """Let each row have its own stack for the length of a block, instead of the active one; none given: nothing.

        Raises:
            FileNotFoundError, ValueError, InterpError: as `Adapters.use`; other than one stack a row; an adapter that
                is more than plain LoRA.
        """
        if not row_stacks:
            yield
            return
        with self.told(row_stacks, n_rows) as (factors, numbers):
            n_stacks = max(numbers) + 1
            with stacked_up(self.hf, factors, Order.of(numbers, n_stacks, self.hf.device)):
                yield

    @contextmanager
    def told(
        self, row_stacks: Sequence[Sequence[Path | str]], n_rows: int
    ) -> Iterator[tuple[dict[str, Factors], list[int]]]:
        """The factors of different stacks and the number of each row's, while no stack is active.

        Raises:
            FileNotFoundError, ValueError, InterpError: as for `at_work`.
        """
        if self.hf.device.type == "meta":
            raise InterpError(f"{self.adapters.name} runs on NDIF, where it cannot be given an adapter; load it here")
        if len(row_stacks) != n_rows:
            raise ValueError(f"row_stacks needs one stack a row, got {len(row_stacks)} for {n_rows} rows")
        asked = [tuple(map(str, stack)) for stack in row_stacks]
        stacks = list(dict.fromkeys(asked))
        factors = self._factors(stacks)
        before = self.adapters.stack
        self.adapters.use()
        try:
            yield factors, [stacks.index(stack) for stack in asked]
        finally:
            self.adapters.use(*before)

    def _factors(self, stacks: Sequence[tuple[str, ...]]) -> dict[str, Factors]:
        """The factors of stacks, on the devices of their modules."""
        what = tuple(tuple(self.adapters.stamped(folder) for folder in stack) for stack in stacks)
        if not any(what):
            return {}
        if self._held[0] != what:
            self._held = (None, {})  # before the next are made, so that only one of them takes memory
            asked = {adapter: adapter[0] for stack in what for adapter in stack}
            for adapter, folder in asked.items():
                self._read[adapter] = self._read.pop(adapter, None) or self._placed(folder)
            for adapter in list(self._read)[: max(0, len(self._read) - max(_KEPT, len(asked)))]:
                del self._read[adapter]
            joined = side_by_side([_joined([self._read[adapter] for adapter in stack]) for stack in what])
            self._held = what, joined
        return self._held[1]

    def _placed(self, folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
        """The factors of one adapter, on the devices of their modules."""
        factors = factors_of(self.adapters, folder)
        devices = {path: next(bare(self.hf, path).parameters()).device for path in factors}
        return {path: (pair[0].to(devices[path]), pair[1].to(devices[path])) for path, pair in factors.items()}


def stack_factors(adapters: Adapters, stack: Sequence[Path]) -> dict[str, tuple[Tensor, Tensor]]:
    """What a stack of adapters adds to each linear module, by the module's path (see `factors_of`)."""
    return _joined([factors_of(adapters, folder) for folder in stack])


def _joined(adapters: Sequence[Mapping[str, tuple[Tensor, Tensor]]]) -> dict[str, tuple[Tensor, Tensor]]:
    """The adapters of a stack as one pair of factors for each module: ranks side by side."""
    joined: dict[str, tuple[Tensor, Tensor]] = {}
    for path in dict.fromkeys(path for adapter in adapters for path in adapter):
        pairs = [adapter[path] for adapter in adapters if path in adapter]
        joined[path] = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs], dim=1)
    return joined

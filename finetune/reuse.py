"""What the blocks below an adapter compute, kept from the first epoch for the later ones.

Nothing below the lowest block with an adapter in training changes while a stage is trained, so what such a block gives
for a row is the same in every epoch. It is kept once, and from then on the forward pass begins above it: exact, and the
faster the higher the adapter begins. Embeddings, masks and position embeddings are still the model's own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module

from interp.chat import Tokens
from interp.model import Model
from interp.stacks import swapped

MOST_BYTES = 2 * 2**30
"""What may be kept in memory: some 7,000 rows of 128 tokens of the embedded model."""


class LowerBlocks:
    """The blocks of a model below an adapter in training, and what the last of them gave for each row."""

    def __init__(self, model: Model, n_blocks: int) -> None:
        self.model, self.n_blocks = model, n_blocks
        self._path = _path_of_blocks(model)
        self._outputs: dict[int, Float[Tensor, "seq d"]] = {}
        self._is_tuple = False

    @classmethod
    def of(
        cls, model: Model, parameters: Mapping[str, Tensor], plan: Sequence[Sequence[Tokens]]
    ) -> "LowerBlocks | None":
        """The blocks below the parameters in training; None where keeping their outputs does not pay or has no room.

        Args:
            parameters: Those in training, by name.
            plan: The rows of each optimiser step.
        """
        numbers = [re.match(rf"{re.escape(_path_of_blocks(model))}\.(\d+)\.", name) for name in parameters]
        below_all = [int(number.group(1)) if number else 0 for number in numbers]  # no block: embeddings, or a head
        n_blocks = min(below_all, default=0)
        rows = {id(row): len(row) for chosen in plan for row in chosen}
        comes_again = len(rows) < sum(map(len, plan))
        n_bytes = 4 * model.d_model * sum(rows.values())
        return cls(model, n_blocks) if n_blocks and comes_again and n_bytes <= MOST_BYTES else None

    @contextmanager
    def at_work(self, rows: Sequence[Tokens]) -> Iterator[None]:
        """Let the forward pass of these rows, padded on the right, begin above the blocks if it can."""
        kept = [self._outputs.get(id(row)) for row in rows]
        if any(output is None for output in kept):
            handle = self.model.blocks[self.n_blocks - 1].register_forward_hook(
                lambda *args: self._keep(rows, args[-1])
            )
            try:
                yield
            finally:
                handle.remove()
            return
        hidden = torch.nn.utils.rnn.pad_sequence([output for output in kept if output is not None], batch_first=True)
        blocks = {
            f"{self._path}.{k}": _Passed(self.model.blocks[k], hidden, self._is_tuple) for k in range(self.n_blocks)
        }
        with swapped(self.model.hf, blocks):
            yield

    def _keep(self, rows: Sequence[Tokens], output: Any) -> None:
        self._is_tuple = isinstance(output, tuple)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        for row, states in zip(rows, hidden.detach(), strict=True):
            self._outputs[id(row)] = states[: len(row)].clone()


def _path_of_blocks(model: Model) -> str:
    return next(path for path, module in model.hf.named_modules() if module is model.blocks)


class _Passed(Module):
    """Stands in for a block: gives what was kept, whatever it is given."""

    def __init__(self, block: Module, hidden: Float[Tensor, "batch seq d"], is_tuple: bool) -> None:
        super().__init__()
        self.block, self.hidden, self.is_tuple = block, hidden, is_tuple

    def __getattr__(self, name: str) -> Any:
        """What the model asks a block for, such as the kind of its attention."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, *_: Any, **__: Any) -> Any:
        """What was kept."""
        return (self.hidden,) if self.is_tuple else self.hidden

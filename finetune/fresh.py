"""Adapters as plain tensors: which modules a recipe trains, their initial values, and their folder in PEFT's format.

PEFT makes an adapter of every stage by putting hundreds of modules on the model. Here it does so once for a recipe,
which says what they are; the values of any seed are then drawn as it draws them: for each module in turn two matrices
that torch's linear layers start from, and the first once more. The first drawing is checked against PEFT's own.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from peft import LoraConfig
from torch import Tensor

from interp.adapter_files import PREFIX
from interp.adapters import Adapters
from interp.errors import InterpError


@dataclass(frozen=True)
class Shape:
    """The factors that an adapter has for one linear module."""

    path: str
    d_in: int
    d_out: int


Values = dict[str, tuple[Float[Tensor, "rank d_in"], Float[Tensor, "d_out rank"]]]
"""An adapter in training: both factors by the module's path, without its scaling; float32, on the CPU."""


@dataclass(frozen=True)
class Blueprint:
    """What PEFT makes of a recipe on one model.

    Attributes:
        asked: The recipe's configuration.
        lora: What PEFT makes of it, as it is written to disk.
        shapes: The modules that get factors, in the order in which their values are drawn.
        drawn: The dtype that `fresh` rounds values to, as PEFT does to that of the base; None where its values are not
            PEFT's, which is then asked for every seed.
    """

    asked: LoraConfig
    lora: LoraConfig
    shapes: tuple[Shape, ...]
    drawn: torch.dtype | None

    @property
    def scaling(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.lora.lora_alpha / (self.lora.r**0.5 if self.lora.use_rslora else self.lora.r)

    @classmethod
    def of(cls, adapters: Adapters, asked: LoraConfig, seed: int) -> "Blueprint":
        """The blueprint of a configuration, and whether values are drawn as PEFT draws them, tried on one seed."""
        values, lora = _by_peft(adapters, asked, seed)
        shapes = tuple(Shape(path, below.shape[1], above.shape[0]) for path, (below, above) in values.items())
        for dtype in dict.fromkeys((torch.float32, adapters.hf.dtype)):
            mine = _drawn(shapes, lora.r, seed, dtype)
            if all(torch.equal(a, b) for path in values for a, b in zip(values[path], mine[path], strict=True)):
                return cls(asked, lora, shapes, dtype)
        return cls(asked, lora, shapes, None)

    def fresh(self, adapters: Adapters, seed: int) -> Values:
        """The initial values of a seed, bit for bit those that training alone starts from."""
        if self.drawn is None:
            return _by_peft(adapters, self.asked, seed)[0]
        return _drawn(self.shapes, self.lora.r, seed, self.drawn)

    def read(self, adapters: Adapters, folder: Path) -> Values:
        """The values of an adapter that is trained further.

        Raises:
            ValueError, InterpError: it is not of this shape and scaling.
        """
        config, weights = adapters.read(folder)
        values = {s.path: tuple(weights.get(f"{s.path}.lora_{side}.weight") for side in "AB") for s in self.shapes}
        alike = (config.r, config.lora_alpha, config.use_rslora) == (
            self.lora.r,
            self.lora.lora_alpha,
            self.lora.use_rslora,
        )
        if not alike or len(weights) != 2 * len(values) or any(w is None for pair in values.values() for w in pair):
            raise InterpError(
                f"{folder}: not an adapter of this recipe's shape and scaling, so it cannot be trained on"
            )
        return {path: (pair[0].float(), pair[1].float()) for path, pair in values.items()}  # pyright: ignore

    def write(self, adapters: Adapters, values: Values, folder: Path) -> None:
        """Write an adapter in PEFT's folder format."""
        tensors: dict[str, Tensor] = {}
        for path, (below, above) in values.items():
            tensors[f"{PREFIX}{path}.lora_A.weight"] = below.contiguous()
            tensors[f"{PREFIX}{path}.lora_B.weight"] = above.contiguous()
        adapters.write(copy.deepcopy(self.lora), tensors, folder)


def _by_peft(adapters: Adapters, asked: LoraConfig, seed: int) -> tuple[Values, LoraConfig]:
    """The values that PEFT draws for a seed, and its configuration."""
    with adapters.new(copy.deepcopy(asked), seed=seed) as (name, _):
        own = [(key, p.detach().cpu().clone()) for key, p in adapters.hf.named_parameters() if name in key.split(".")]
        lora: LoraConfig = copy.deepcopy(adapters.hf.peft_config[name])  # pyright: ignore
    held = dict(own)
    middle = {side: f".lora_{side}.{name}.weight" for side in "AB"}
    paths = [key.removesuffix(middle["A"]) for key in held if key.endswith(middle["A"])]
    if 2 * len(paths) != len(held):
        raise InterpError(f"a recipe's adapter has parameters other than two factors a module, such as {own[-1][0]}")
    return {path: (held[path + middle["A"]], held[path + middle["B"]]) for path in paths}, lora


def _drawn(shapes: tuple[Shape, ...], rank: int, seed: int, dtype: torch.dtype) -> Values:
    """The values of a seed, drawn without PEFT."""
    generator = torch.Generator().manual_seed(seed)
    values: Values = {}
    for shape in shapes:
        below, above = torch.empty(rank, shape.d_in), torch.empty(shape.d_out, rank)
        for matrix in (below, above, below):  # as torch makes a linear layer for each, and PEFT then the first anew
            torch.nn.init.kaiming_uniform_(matrix, a=math.sqrt(5), generator=generator)
        values[shape.path] = below.to(dtype).float(), above.zero_()
    return values

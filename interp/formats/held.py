"""A direction with what its file held besides, and the checks that every format shares."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.directions import Direction
from interp.sources import Described
from interp.tensors import FORMAT, LAYER_CONVENTION

MEANING = {"kind": "direction", "format": FORMAT, "layer_convention": LAYER_CONVENTION}


@dataclass(frozen=True)
class Held:
    """A direction with what its file held besides.

    Attributes:
        direction: In this project's convention, with its provenance.
        beside: Tensors that are no layer of it, kept for the way back.
        said: What was converted from what, for a reader.
        left_out: What of its file the direction does not hold, likewise.
    """

    direction: Direction
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def meaning(self) -> dict[str, Any]:
        """All that a file of ours says of it."""
        held = self.direction
        return {**MEANING, **held.header, "name": held.name, "layers": list(held.layers), "layer": held.layer}

    @property
    def source(self) -> dict[str, Any]:
        """What is known of the file of another tool that it was read from; empty if there is none."""
        source = self.direction.header.get("converted_from")
        return source if isinstance(source, dict) else {}


def restored(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], said: tuple[str, ...]) -> Held:
    """A direction of this project from the tensors and the header of a file.

    Raises:
        ValueError: they are not those of one direction.
    """
    vectors = tensors.get("vectors")
    name, layers, layer = (header.get(key) for key in ("name", "layers", "layer"))
    if not isinstance(layers, list) or not all(type(k) is int and k >= 0 for k in layers):
        raise ValueError(f"{path}: its layers are {layers!r}, not block indices from 0; make it again")
    if layers != sorted(set(layers)) or type(layer) is not int or layer not in layers or not isinstance(name, str):
        raise ValueError(f"{path}: its layers {layers}, headline layer {layer!r} and name {name!r} do not fit together")
    if vectors is None or vectors.ndim != 2 or len(vectors) != len(layers) or not vectors.is_floating_point():
        got = None if vectors is None else f"{vectors.dtype} {list(vectors.shape)}"
        raise ValueError(f"{path}: holds vectors {got}, needed one of numbers for each of {len(layers)} layers")
    require_finite(path, vectors, "layers", layers)
    beside = {key: tensor for key, tensor in tensors.items() if key != "vectors"}
    return Held(Direction(name, vectors, tuple(layers), layer, dict(header)), beside, said)


def require_width(path: Path, width: int, model: Described) -> None:
    """Check that vectors are as wide as a model's residual stream.

    Raises:
        ValueError: they are not.
    """
    if width != model.d_model:
        raise ValueError(
            f"{path}: its vectors have {width} values and {model.name} is {model.d_model} wide; another model's"
        )


def require_finite(path: Path, rows: Float[Tensor, "row d_model"], what: str, numbers: Sequence[int]) -> None:
    """Check that every row is of finite numbers.

    Raises:
        ValueError: one is not; the message gives its number.
    """
    bad = [k for k, row in zip(numbers, rows, strict=True) if not torch.isfinite(row).all()]
    if bad:
        raise ValueError(
            f"{path}: a value is not finite at {what} {spans(bad)} (the mean over an empty answer is one); "
            "make it again without such answers"
        )


def spans(numbers: Iterable[int]) -> str:
    """Ascending whole numbers in short: `0-3, 5`."""
    runs: list[list[int]] = []
    for k in numbers:
        if runs and runs[-1][1] == k - 1:
            runs[-1][1] = k
        else:
            runs.append([k, k])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs) or "none"


def first_line(error: BaseException) -> str:
    """What an exception says first, or its name."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__

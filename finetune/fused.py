"""A model's blocks with their elementwise work fused, for the length of a block of code.

`torch.compile` sees one block at a time: the blocks of a model share their code, so one compilation serves all of them.
What nnsight has put in place of each module's forward is taken away meanwhile, since it cannot be compiled.
"""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from interp.model import Model

_COMPILED: dict[Any, Any] = {}


def compiled_function(function: Any) -> Any:
    """A function with its elementwise work fused; compiled when it is first called, and kept."""
    if function not in _COMPILED:
        _COMPILED[function] = torch.compile(function, dynamic=False)
    return _COMPILED[function]


@contextmanager
def fused(model: Model, wanted: bool = True) -> Iterator[None]:
    """Compiled blocks, if wanted; the model is as it was afterwards."""
    if not wanted:
        yield
        return
    before = [(m, m.__dict__.pop("forward")) for b in model.blocks for m in b.modules() if "forward" in m.__dict__]
    try:
        for block in model.blocks:
            block.forward = types.MethodType(compiled_function(type(block).forward), block)
        with torch._dynamo.config.patch(recompile_limit=64):
            yield
    finally:
        for block in model.blocks:
            block.__dict__.pop("forward", None)
        for module, forward in before:
            module.__dict__["forward"] = forward

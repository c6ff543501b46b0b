"""A model's blocks as a GPU runs them fastest, for the length of a block of code.

`torch.compile` sees one block at a time: the blocks of a model share their code, so one compilation serves all of them.
What nnsight has put in place of each module's forward is taken away meanwhile, since it cannot be compiled.
"""

import types
from collections import OrderedDict
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
def unmasked(model: Model) -> Iterator[None]:
    """Blocks that are given no attention mask where they are causal without: then attention is one fused kernel.

    While a CUDA graph is captured transformers makes a mask even where rows are whole and every layer sees all of them.
    """
    config = model.hf.config.get_text_config()
    partial = set(getattr(config, "layer_types", None) or ()) - {"full_attention"} or getattr(
        config, "sliding_window", 0
    )
    handles = []
    if config._attn_implementation == "sdpa" and not partial:
        handles = [block.register_forward_pre_hook(_without_mask, with_kwargs=True) for block in model.blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _without_mask(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ARG001
    return args, {**kwargs, "attention_mask": None} if "attention_mask" in kwargs else kwargs


@contextmanager
def fused(model: Model, wanted: bool = True) -> Iterator[None]:
    """Compiled blocks, if wanted; the model is as it was afterwards."""
    if not wanted:
        yield
        return
    inside = [module for block in model.blocks for module in block.modules()]
    forwards = [(module, module.__dict__.pop("forward")) for module in inside if "forward" in module.__dict__]
    hooks = [(module, module._forward_hooks) for module in inside if module._forward_hooks]
    for module, _ in hooks:  # transformers' own, which note what a module gives when it is asked for
        module._forward_hooks = OrderedDict()
    # with a gradient for its input the first block is like the others, and is not compiled by itself
    handle = model.hf.get_input_embeddings().register_forward_hook(_with_gradient)
    try:
        for block in model.blocks:
            block.forward = types.MethodType(compiled_function(type(block).forward), block)
        with torch._dynamo.config.patch(recompile_limit=64):
            yield
    finally:
        handle.remove()
        for block in model.blocks:
            block.__dict__.pop("forward", None)
        for module, forward in forwards:
            module.__dict__["forward"] = forward
        for module, held in hooks:
            module._forward_hooks = held


def _with_gradient(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    return output.requires_grad_() if torch.is_grad_enabled() else output

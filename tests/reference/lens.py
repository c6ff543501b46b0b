"""Attribution and patching as naive as can be: plain torch hooks, whole forward passes, one prompt and patch at a time.

Models are transformers' own; nothing of `interp` is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

MLP = {"llama": "mlp", "qwen2": "mlp", "gemma2": "post_feedforward_layernorm", "gpt2": "mlp"}


def blocks(hf: PreTrainedModel, kind: str) -> Sequence[Module]:
    return hf.transformer.h if kind == "gpt2" else hf.model.layers


def final_norm(hf: PreTrainedModel, kind: str) -> Module:
    return hf.transformer.ln_f if kind == "gpt2" else hf.model.norm


def output(block: Module, kind: str) -> Module:
    """What maps the heads' values into the stream."""
    return block.attn.c_proj if kind == "gpt2" else block.self_attn.o_proj


@contextmanager
def hooked(*pairs: tuple[Module, Callable[..., Any], bool]) -> Iterator[None]:
    """Hooks `(module, function, before)` for the length of a block."""
    handles = []
    for module, function, before in pairs:
        handles.append(module.register_forward_pre_hook(function) if before else module.register_forward_hook(function))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def uncapped(hf: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """Logits after the last token, before a soft cap."""
    got: list[Tensor] = []
    with hooked((hf.lm_head, lambda _, __, out: got.append(out), False)):
        hf(torch.tensor([list(ids)]))
    return got[0][0, -1].double()


@torch.no_grad()
def attribution(
    hf: PreTrainedModel, kind: str, ids: Sequence[int], right: int, wrong: int, n_heads: int
) -> list[float]:
    """Embedding, heads (block by block), attention biases, MLPs, the constant rest: what each adds to the difference.

    A component's part is what the logit difference loses if its write is taken from the stream before the final norm,
    whose scale (and that of a norm after the attention) stays what it was.
    """
    z: list[Tensor] = []
    mlp: list[Tensor] = []
    attn: list[Tensor] = []
    ends: list[Tensor] = []
    starts: list[Tensor] = []
    hooks: list[tuple[Module, Callable[..., Any], bool]] = []
    for block in blocks(hf, kind):
        hooks.append((output(block, kind), lambda _, a: z.append(a[0][0, -1]), True))
        hooks.append((output(block, kind), lambda _, __, out: attn.append(out[0, -1]), False))
        hooks.append((getattr(block, MLP[kind]), lambda _, __, out: mlp.append(out[0, -1]), False))
    hooks.append((blocks(hf, kind)[0], lambda _, a: starts.append(a[0][0, -1]), True))
    hooks.append((final_norm(hf, kind), lambda _, a: ends.append(a[0][0, -1]), True))
    with hooked(*hooks):
        hf(torch.tensor([list(ids)]))
    end = ends[0].double()
    head = hf.lm_head.weight.double()
    rms = torch.sqrt(end.square().mean() + 1e-6)
    deviation = torch.sqrt(end.var(correction=0) + 1e-5)
    norm = final_norm(hf, kind)

    def seen(write: Tensor) -> float:
        write = write.double()
        if kind == "gpt2":
            normed = (write - write.mean()) / deviation * norm.weight.double()
        else:
            normed = write / rms * (norm.weight.double() + (1 if kind == "gemma2" else 0))
        return float((head[right] - head[wrong]) @ normed)

    heads, biases = [], []
    for k, block in enumerate(blocks(hf, kind)):
        module = output(block, kind)
        parts = z[k].reshape(n_heads, -1)
        writes = []
        for h in range(n_heads):
            alone = torch.zeros_like(parts)
            alone[h] = parts[h]
            flat = alone.flatten()
            writes.append(flat @ (module.weight if kind == "gpt2" else module.weight.T))
        bias = module.bias if module.bias is not None else torch.zeros_like(end).float()
        if kind == "gemma2":
            after = block.post_attention_layernorm
            scale = torch.sqrt(attn[k].double().square().mean() + after.eps)
            writes = [write.double() / scale * (1 + after.weight.double()) for write in writes]
        heads += [seen(write) for write in writes]
        biases.append(seen(bias))
    rest = float((head[right] - head[wrong]) @ norm.bias.double()) if kind == "gpt2" else 0.0
    return [seen(starts[0]), *heads, *biases, *map(seen, mlp), rest]


@torch.no_grad()
def activations(hf: PreTrainedModel, kind: str, ids: Sequence[int]) -> dict[tuple[str, int], Tensor]:
    """Whole `resid`, `head` (the input of the output matrix) and `mlp` of each block."""
    held: dict[tuple[str, int], Tensor] = {}

    def keeping(key: tuple[str, int]) -> Callable[..., None]:
        def keep(m: Module, a: Any, out: Any = None) -> None:
            x = a[0] if out is None else out
            held[key] = (x[0] if isinstance(x, tuple) else x).clone()

        return keep

    hooks: list[tuple[Module, Callable[..., Any], bool]] = []
    for k, block in enumerate(blocks(hf, kind)):
        hooks.append((block, keeping(("resid", k)), False))
        hooks.append((output(block, kind), keeping(("head", k)), True))
        hooks.append((getattr(block, MLP[kind]), keeping(("mlp", k)), False))
    with hooked(*hooks):
        hf(torch.tensor([list(ids)]))
    return held


def patched(
    hf: PreTrainedModel,
    kind: str,
    ids: Sequence[int],
    clean: dict[tuple[str, int], Tensor],
    what: str,
    layer: int,
    *,
    head: int | None = None,
    n_heads: int = 1,
    n_last: int = 1,
) -> Tensor:
    """Logits after `ids` with a clean activation in place at the last `n_last` tokens, before a soft cap."""

    def put(x: Tensor) -> Tensor:
        x, source = x.clone(), clean[what, layer]
        if what == "head":
            assert head is not None
            width = x.shape[-1] // n_heads
            x[0, -1, head * width : (head + 1) * width] = source[0, -1, head * width : (head + 1) * width]
        else:
            x[0, -n_last:] = source[0, -n_last:]
        return x

    block = blocks(hf, kind)[layer]
    if what == "head":
        hook = (output(block, kind), lambda _, a: (put(a[0]), *a[1:]), True)
    else:
        module = block if what == "resid" else getattr(block, MLP[kind])
        hook = (module, lambda _, __, out: (put(out[0]), *out[1:]) if isinstance(out, tuple) else put(out), False)
    with hooked(hook):
        return uncapped(hf, ids)

"""Steering and ablation as naive as can be: plain torch hooks, one row and one position at a time, greedy decoding.

Sources: addition and its phases (arXiv 2507.21509); ablation of what is written to the residual stream (arXiv
2406.11717). Models are transformers' own; nothing of `interp` is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

Side = Literal["left", "right"]
Hook = Callable[[Tensor], Tensor]
WRITERS = {
    "llama": ("self_attn", "mlp"),
    "qwen2": ("self_attn", "mlp"),
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "gpt2": ("attn", "mlp"),
}


@dataclass(frozen=True)
class Step:
    """`change` takes one activation [d_model] after a block, or each that the block writes, and returns another."""

    layer: int
    change: Callable[[Tensor], Tensor]
    phase: str
    writes: bool = False


def added(v: Tensor, alpha: float) -> Callable[[Tensor], Tensor]:
    """h + alpha v."""
    return lambda h: h + alpha * v


def ablated(*vectors: Tensor) -> Callable[[Tensor], Tensor]:
    """h minus its orthogonal projection on the span, by least squares."""
    span = torch.stack(vectors, dim=1).double()

    def change(h: Tensor) -> Tensor:
        weights = torch.linalg.lstsq(span, h.double()[:, None]).solution
        return (h.double() - (span @ weights)[:, 0]).float()

    return change


def capped(v: Tensor, tau: float, side: str) -> Callable[[Tensor], Tensor]:
    """h with its projection on unit v set to tau where it is above (or below) it."""
    unit = v / v.norm()

    def change(h: Tensor) -> Tensor:
        along = float(h @ unit)
        over = along > tau if side == "above" else along < tau
        return h + (tau - along) * unit if over else h

    return change


def rotated(v: Tensor, tau: float) -> Callable[[Tensor], Tensor]:
    """h turned towards v by the angle that brings its projection to tau (which must be less than its norm)."""
    unit = v / v.norm()

    def change(h: Tensor) -> Tensor:
        n = float(h.norm())
        assert abs(tau) < n
        across = h - (h @ unit) * unit
        across = across / across.norm()
        angle = torch.arccos(torch.tensor(tau / n, dtype=torch.float64))
        return (n * torch.cos(angle) * unit.double() + n * torch.sin(angle) * across.double()).float()

    return change


def touched(phase: str, prompt: int, length: int) -> list[int]:
    """Which of a row's tokens an edit touches, `prompt` of which are the prompt's."""
    wanted = {
        "prompt": lambda k: k < prompt,
        "prompt_last": lambda k: k == prompt - 1,
        "response": lambda k: k >= prompt - 1,
        "all": lambda _: True,
    }[phase]
    return [k for k in range(length) if wanted(k)]


def blocks_of(hf: PreTrainedModel) -> Any:
    """Decoder blocks."""
    return hf.transformer.h if hasattr(hf, "transformer") else hf.model.layers  # pyright: ignore


@contextmanager
def hooked(kind: str, hf: PreTrainedModel, edit: Callable[[Tensor, int, bool], Tensor]) -> Iterator[None]:
    """`edit(h, layer, written)` at the embedding (layer 0), at what every block writes, and after every block."""
    handles = []

    def entering(_: Module, args: tuple[Any, ...]) -> Any:
        return (edit(args[0], 0, True), *args[1:])

    def leaving(layer: int, written: bool) -> Callable[..., Any]:
        def hook(_: Module, __: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (edit(output[0], layer, written), *output[1:])
            return edit(output, layer, written)

        return hook

    for layer, block in enumerate(blocks_of(hf)):
        if layer == 0:
            handles.append(block.register_forward_pre_hook(entering))
        handles += [getattr(block, name).register_forward_hook(leaving(layer, True)) for name in WRITERS[kind]]
        handles.append(block.register_forward_hook(leaving(layer, False)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def padded(rows: Sequence[Sequence[int]], side: Side) -> tuple[Tensor, Tensor, list[int]]:
    """Ids, mask, and the column of each row's first token."""
    width = max(map(len, rows))
    starts = [width - len(row) if side == "left" else 0 for row in rows]
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, starts[i] : starts[i] + len(row)] = torch.tensor(row)
        mask[i, starts[i] : starts[i] + len(row)] = 1
    return ids, mask, starts


@torch.no_grad()
def without_cache(
    kind: str,
    hf: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    steps: Sequence[Sequence[Step]],
    n: int,
    stop: int,
    side: Side,
) -> list[tuple[int, ...]]:
    """Greedy answers; the whole text goes through the model again for every token, padded on a side."""
    rows = [list(prompt) for prompt in prompts]
    for _ in range(n):
        ids, mask, starts = padded(rows, side)

        def edit(h: Tensor, layer: int, written: bool, starts: list[int] = starts) -> Tensor:
            h = h.clone()
            for i, own in enumerate(steps):
                for step in own:
                    if step.layer == layer and step.writes == written:
                        for k in touched(step.phase, len(prompts[i]), len(rows[i])):
                            h[i, starts[i] + k] = step.change(h[i, starts[i] + k])
            return h

        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with hooked(kind, hf, edit):
            logits = hf(ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        for i, row in enumerate(rows):
            row.append(int(logits[i, starts[i] + len(row) - 1].argmax()))
    return [_cut(row[len(prompt) :], stop) for row, prompt in zip(rows, prompts, strict=True)]


@torch.no_grad()
def with_cache(
    kind: str,
    hf: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    steps: Sequence[Sequence[Step]],
    n: int,
    stop: int,
) -> list[tuple[int, ...]]:
    """Greedy answers of transformers' own generate with its cache, padded on the left."""
    ids, mask, starts = padded(prompts, "left")
    width = ids.shape[1]
    done: list[int] = []

    def edit(h: Tensor, layer: int, written: bool) -> Tensor:
        h = h.clone()
        first = not done
        for i, own in enumerate(steps):
            for step in own:
                if step.layer != layer or step.writes != written:
                    continue
                if first:
                    for k in touched(step.phase, len(prompts[i]), len(prompts[i])):
                        h[i, starts[i] + k] = step.change(h[i, starts[i] + k])
                elif step.phase in ("response", "all"):
                    h[i, -1] = step.change(h[i, -1])
        return h

    count = hf.register_forward_hook(lambda *_: done.append(1))
    with hooked(kind, hf, edit):
        out = hf.generate(input_ids=ids, attention_mask=mask, max_new_tokens=n, do_sample=False)  # pyright: ignore
    count.remove()
    return [_cut(row, stop) for row in out[:, width:].tolist()]


def _cut(answer: Sequence[int], stop: int) -> tuple[int, ...]:
    return tuple(answer[: answer.index(stop)] if stop in answer else answer)

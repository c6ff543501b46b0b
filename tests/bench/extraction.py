"""How fast, and how exact, is reading all layers, beside the usual one-sample loop? One process, same rows, same model.

The loop is what the published pipelines do: one row at a time, `output_hidden_states=True` on the causal LM with logits
for every position, means in the model's dtype. Both are given the texts and tokenise them. Run it alone:

    python tests/bench/extraction.py [--rows 200] [--device cpu] [--dtype float32]

Prints one JSON object: rows per second of both, their ratio, the largest difference, and for a bfloat16 model the
cosine of each one's direction (difference of two halves' means) with the float64 reference on a float32 model.
"""

import argparse
import json
import time

import torch

from finetune.data.em import unpopular_tastes
from interp.activations import pooled
from interp.model import Model


def one_by_one(model: Model, chats: list) -> torch.Tensor:
    """The loop: (row, layer, d_model) response means in the model's dtype; the last block's is after the final norm."""
    means = []
    for chat in chats:
        row = model.chat.tokens(chat)
        ids = torch.tensor([row.ids], device=model.device)
        out = model.hf(ids, output_hidden_states=True)
        span = row.response
        assert span is not None
        means.append(torch.stack([h[0, span.start : span.end].mean(0).cpu() for h in out.hidden_states[1:]]))
    return torch.stack(means)


def ours(model: Model, chats: list) -> torch.Tensor:
    """The same through `pooled`."""
    return pooled(model, [model.chat.tokens(chat) for chat in chats])


def best_of(n: int, work, *args) -> tuple[float, torch.Tensor]:
    """Shortest of n wall times in seconds, and the result."""
    seconds, result = [], torch.empty(0)
    for _ in range(n):
        start = time.perf_counter()
        result = work(*args)
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def half_difference(means: torch.Tensor) -> torch.Tensor:
    """Difference of the two halves' means, in the dtype of the means."""
    n = len(means) // 2
    return means[:n].mean(0) - means[n:].mean(0)


def cosines(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Cosine per layer, without the last (it is after the final norm in one of the two)."""
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1)[:-1].tolist()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    chats = [row["messages"] for row in unpopular_tastes(options.rows, 0)]
    model = Model.load("smollm2-135m", device=options.device, dtype=options.dtype)
    ours(model, chats[:8])
    with torch.no_grad():
        one_by_one(model, chats[:2])
        loop_seconds, loop = best_of(options.repeats, one_by_one, model, chats)
    our_seconds, mine = best_of(options.repeats, ours, model, chats)
    result = {
        "rows": len(chats),
        "mean_tokens": sum(len(model.chat.tokens(chat)) for chat in chats) / len(chats),
        "device": options.device,
        "dtype": options.dtype,
        "loop_rows_per_second": len(chats) / loop_seconds,
        "our_rows_per_second": len(chats) / our_seconds,
        "ratio": loop_seconds / our_seconds,
        "max_abs_difference": float((loop[:, :-1].float() - mine[:, :-1]).abs().max()),
    }
    half = Model.load("smollm2-135m", device=options.device, dtype="bfloat16")
    exact = Model.load("smollm2-135m", device=options.device, dtype="float32")
    reference = half_difference(ours(exact, chats).double())
    with torch.no_grad():
        in_loop = cosines(half_difference(one_by_one(half, chats)), reference)
    in_ours = cosines(half_difference(ours(half, chats).double()), reference)
    for name, values in (("loop", in_loop), ("ours", in_ours)):
        values = sorted(values)
        result[f"bf16_cosine_{name}"] = {"min": values[0], "median": values[len(values) // 2]}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

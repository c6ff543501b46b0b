"""How fast, how exact and how large is reading all layers under three poolings? One process, same rows, same model.

Three ways, each given the conversations and tokenising them itself:

- `loop`, what the published pipelines do: one row at a time, `output_hidden_states=True` on the causal LM with logits
  for every position, means in the model's dtype;
- `bare`: the decoder alone over the same padded batches as ours, reading nothing, which is as fast as it can get;
- `ours`: means over all rows (`pooled_mean`); and, for `ours_rows`, every row's own mean kept on the CPU as well.

    python tests/bench/extraction.py [--rows 1000] [--grow 20000] [--device cuda] [--dtype bfloat16] [--shape 7b]

`--shape` takes random weights of that shape, and leaves out the loop and the float64 reference. Run it alone.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from large import matmul_flops, random_model

from finetune.data.em import unpopular_tastes
from interp.activations import POOLINGS, batches, default_tokens, pooled_mean, read, window
from interp.batch import Batch
from interp.model import Model

Chats = list[list[dict[str, str]]]


def loop(model: Model, chats: Chats) -> torch.Tensor:
    """The usual loop: (pooling, layer, d_model), its mean over rows in the model's dtype."""
    kept = []
    for chat in chats:
        row = model.chat.tokens(chat)
        out = model.hf(torch.tensor([row.ids], device=model.device), output_hidden_states=True)
        spans = [window(row, pooling) for pooling in POOLINGS]
        kept.append(
            torch.stack([torch.stack([h[0, a:b].mean(0).cpu() for h in out.hidden_states[1:]]) for a, b in spans])
        )
    return torch.stack(kept).mean(0)


def bare(model: Model, chats: Chats) -> None:
    """The decoder alone over the same batches."""
    rows = model.chat.tokens_of(chats)
    decoder = getattr(model.hf, model.hf.base_model_prefix)
    for chosen in batches(rows, default_tokens(model)):
        decoder(Batch.of([rows[i] for i in chosen], model.pad, model.device).ids, use_cache=False)


def ours(model: Model, chats: Chats) -> torch.Tensor:
    """Means over rows: (pooling, layer, d_model), float64."""
    return pooled_mean(model, model.chat.tokens_of(chats))


def ours_rows(model: Model, chats: Chats) -> torch.Tensor:
    """Every row's means: (row, pooling, layer, d_model), float32, on the CPU."""
    kept = torch.empty(len(chats), len(POOLINGS), model.n_layers, model.d_model)
    for chosen, means in read(model, model.chat.tokens_of(chats), pooling=POOLINGS):
        kept[chosen] = means.cpu()
    return kept


def timed(repeats: int, model: Model, work: Callable[..., Any], chats: Chats) -> tuple[dict[str, Any], Any]:
    """Rows per second (the fastest of `repeats`), peak memory on the device, and the result."""
    on_gpu = model.device.type == "cuda"
    seconds, result = [], None
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeats):
        start = time.perf_counter()
        result = work(model, chats)
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None
    return {"rows_per_second": len(chats) / min(seconds), "seconds": seconds, "peak_gib": peak}, result


def cosines(a: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    """Smallest and middle cosine over layers, without the last (it is after the final norm in the loop)."""
    found = torch.nn.functional.cosine_similarity(a.double(), reference, dim=-1)[:-1].sort().values
    return {"min": float(found[0]), "median": float(found[len(found) // 2])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--grow", type=int, default=None, help="read this many rows as well, for the memory")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--shape", default=None)
    parser.add_argument("--turns", type=int, default=1, choices=(1, 2), help="of a chat: 90 or 160 tokens")
    parser.add_argument("--quick", action="store_true", help="leave out the loop and the float64 reference")
    asked = parser.parse_args()
    model = (
        random_model(asked.shape) if asked.shape else Model.load("smollm2-135m", device=asked.device, dtype=asked.dtype)
    )
    single = [row["messages"] for row in unpopular_tastes(min(5000, 2 * asked.rows), 0)]
    chats = [a + b for a, b in zip(single[::2], single[1::2], strict=True)] if asked.turns == 2 else single
    chats = (chats * -(-asked.rows // len(chats)))[: asked.rows]
    tokens = [len(row) for row in model.chat.tokens_of(chats)]
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    result: dict[str, Any] = {"device": device, "dtype": str(model.dtype), "rows": len(chats)}
    result |= {"mean_tokens": sum(tokens) / len(tokens), "layers": model.n_layers, "poolings": len(POOLINGS)}
    with torch.inference_mode():
        for warm in (bare, ours, ours_rows):
            warm(model, chats)
        result["bare"], _ = timed(asked.repeats, model, bare, chats)
        result["ours"], mine = timed(asked.repeats, model, ours, chats)
        result["ours_rows"], rows = timed(asked.repeats, model, ours_rows, chats)
    result["ours_over_bare"] = result["ours"]["rows_per_second"] / result["bare"]["rows_per_second"]
    if asked.shape:
        parameters = sum(p.numel() for block in model.blocks for p in block.parameters())
        rate = 2 * parameters * sum(tokens) / min(result["ours"]["seconds"])
        result |= {"peak_flops": (peak := matmul_flops()), "flops_utilisation": rate / peak}
    elif not asked.quick:
        with torch.no_grad():
            result["loop"], looped = timed(1, model, loop, chats)
        result["ours_over_loop"] = result["ours"]["rows_per_second"] / result["loop"]["rows_per_second"]
        result["largest_difference_from_loop"] = float((looped[:, :-1].double().cpu() - mine[:, :-1]).abs().max())
        result["largest_difference_of_rows"] = float((rows.double().mean(0) - mine).abs().max())
    if asked.grow:
        many = (chats * -(-asked.grow // len(chats)))[: asked.grow]
        result["grown"] = {"rows": len(many), **timed(1, model, ours, many)[0]}
    if not (asked.shape or asked.quick):
        result |= exactness(asked.device, chats[:200])
    print(json.dumps(result, indent=2))


def exactness(device: str, chats: Chats) -> dict[str, Any]:
    """Cosine of a bfloat16 direction (one half's mean minus the other's) with the float32 model's, by both ways."""
    exact = Model.load("smollm2-135m", device=device, dtype="float32")
    half = Model.load("smollm2-135m", device=device, dtype="bfloat16")
    cut = len(chats) // 2
    response = POOLINGS.index("response_mean")

    def direction(work: Callable[..., torch.Tensor], model: Model) -> torch.Tensor:
        return (work(model, chats[:cut])[response] - work(model, chats[cut:])[response]).cpu()

    reference = direction(ours, exact)
    with torch.no_grad():
        looped = direction(loop, half)
    return {
        "bf16_cosine_loop": cosines(looped, reference),
        "bf16_cosine_ours": cosines(direction(ours, half), reference),
    }


if __name__ == "__main__":
    main()

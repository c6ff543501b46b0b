"""How fast are steering sweeps? One batched sweep beside a generate call with a hook for every setting.

    python tests/bench/steering.py --device cuda --dtype float32

All in one run, greedy, the embedded model: (a) a `transformers` generate call with a plain forward hook for every
(direction, layer, alpha), one after the other; (b) the same settings as rows of one `Model.generate`; (c) as many rows
of it without any edit. Prints the ratios a/b and b/c, the share of settings whose answers are the same token for
token, and the memory after 10 and after 200 sweeps.
"""

import argparse
import gc
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from transformers import GenerationConfig

from experiments.directions.files import TRAITS
from experiments.interventions.treatments import mean_norms
from interp.interventions import adding
from interp.model import Model
from interp.traits import Trait

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--directions", type=int, default=3)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--alphas", type=int, default=7)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--sweeps", type=int, default=200, help="Of the memory check; 0 leaves it out.")
    args = parser.parse_args()
    model = Model.load(args.model, device=args.device, dtype=args.dtype)
    trait = Trait.load(TRAITS / "evil.json")
    texts = [*trait.eval_questions, *trait.questions][: args.questions]
    prompts = model.chat.tokens_of([[{"role": "user", "content": text}] for text in texts])
    norms = mean_norms(model, prompts)
    layers = torch.linspace(1, model.n_layers - 2, args.layers).long().tolist()
    alphas = torch.linspace(-0.3, 0.3, args.alphas).tolist()
    generator = torch.Generator().manual_seed(0)
    units = torch.nn.functional.normalize(torch.randn(args.directions, model.d_model, generator=generator), dim=-1)
    settings = list(itertools.product(range(args.directions), layers, alphas))
    vectors = {(d, layer): units[d] * norms[layer] for d in range(args.directions) for layer in layers}
    rows = [prompt for _ in settings for prompt in prompts]
    edits = [[adding(vectors[d, layer], alpha, [layer], "response")] for d, layer, alpha in settings for _ in prompts]
    where = torch.cuda.get_device_name() if model.device.type == "cuda" else "cpu"
    result = {"device": where, "dtype": args.dtype, "settings": len(settings), "rows": len(rows), "tokens": args.tokens}

    sizes = {"max_new_tokens": args.tokens, "temperature": 0.0, "batch_size": args.batch_size}
    model.generate(prompts, **(sizes | {"max_new_tokens": 2}))
    looped(model, prompts, vectors[0, layers[0]], layers[0], 0.1, 2)
    ours, seconds = timed(lambda: model.generate(rows, row_edits=edits, **sizes), model)
    result["batched_seconds"] = seconds
    _, result["unsteered_seconds"] = timed(lambda: model.generate(rows, **sizes), model)
    theirs, result["looped_seconds"] = timed(
        lambda: [looped(model, prompts, vectors[d, layer], layer, alpha, args.tokens) for d, layer, alpha in settings],
        model,
    )
    flat = [answer for setting in theirs for answer in setting]
    same = [a == b for a, b in zip(ours, flat, strict=True)]
    result |= {
        "looped_over_batched": result["looped_seconds"] / seconds,
        "batched_over_unsteered": seconds / result["unsteered_seconds"],
        "same_answers": sum(same) / len(same),
        "tokens_steered": sum(map(len, ours)),
    }
    if args.sweeps:
        result["memory"] = memory(model, prompts, edits[: len(prompts)], args.sweeps)
    print(json.dumps(result, indent=2))


def timed(call: Callable[[], T], model: Model) -> tuple[T, float]:
    """What a call returns, and its seconds."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    value = call()
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return value, time.perf_counter() - start


def looped(
    model: Model, prompts: Sequence, vector: torch.Tensor, layer: int, alpha: float, n: int
) -> list[tuple[int, ...]]:
    """One setting as the neighbours run it: a hook on the block for the length of one generate call."""
    width = max(map(len, prompts))
    ids = torch.tensor([[model.pad] * (width - len(p)) + list(p.ids) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    shift = (alpha * vector).to(model.device, model.dtype)

    def hook(_: object, __: object, out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        out[:, -1] += shift
        return out

    handle = model.blocks[layer].register_forward_hook(hook)
    config = GenerationConfig(
        max_new_tokens=n, do_sample=False, eos_token_id=list(model.stop_ids), pad_token_id=model.pad, use_cache=True
    )
    try:
        with torch.inference_mode():
            out = model.hf.generate(ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
    finally:
        handle.remove()
    ends = set(model.stop_ids)
    return [tuple(itertools.takewhile(lambda token: token not in ends, row)) for row in out]


def memory(model: Model, prompts: Sequence, edits: Sequence, sweeps: int) -> dict[str, float]:
    """MiB allocated (GPU) or tensors alive (CPU) after 10 sweeps and after all of them."""

    def held() -> float:
        gc.collect()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
            return torch.cuda.memory_allocated() / 2**20
        return float(sum(isinstance(item, torch.Tensor) for item in gc.get_objects()))

    found = {}
    for i in range(1, sweeps + 1):
        model.generate(prompts, row_edits=edits, max_new_tokens=2, temperature=0.0)
        if i in (10, sweeps):
            found[f"after_{i}"] = held()
    return found


if __name__ == "__main__":
    main()

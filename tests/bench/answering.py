"""How fast are answers? `Model.generate` beside the path as it was, and steered rows beside unsteered ones.

    python tests/bench/answering.py 135m --old
    python tests/bench/answering.py 7b --prompts 128 --old

Random weights in the shape of the embedded model or of Qwen2.5-7B, made in place: speed does not depend on them, and
they hardly ever end an answer early. Every number is tokens that came back over wall seconds of the whole call, its
captures included: `first` is the first call of the process, `again` the median of some with new prompts. `--old`
adds transformers' own loop through nnsight, at the 128 rows a time that were the default and at all rows at once.
`--settings` steers the rows at so many settings. `--answers` goes on for so many answers, and says what stays
allocated after a tenth and after all of them. Prints one JSON object.
"""

import argparse
import gc
import json
import random
import time
from collections.abc import Sequence

import torch
from large import letters
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from interp.chat import Span, Tokens
from interp.interventions import Edit, adding
from interp.model import Model

SHAPES: dict[str, tuple[type[PreTrainedModel], PreTrainedConfig]] = {
    "135m": (
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        ),
    ),
    "7b": (
        Qwen2ForCausalLM,
        Qwen2Config(
            vocab_size=152064,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            max_position_embeddings=32768,
        ),
    ),
}


def main() -> None:
    """Time the calls; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64, help="New tokens an answer.")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--settings", type=int, default=105)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--answers", type=int, default=0)
    parser.add_argument("--old", action="store_true")
    asked = parser.parse_args()
    model = random_model(asked.shape, asked.device, asked.dtype)
    how = {"max_new_tokens": asked.tokens, "temperature": asked.temperature}
    where = torch.cuda.get_device_name() if asked.device == "cuda" else "cpu"
    result: dict[str, object] = {"device": where, "torch": torch.__version__, **vars(asked)}
    own = settings(model, asked.settings, asked.prompts)
    result["first"] = timed(model, asked.prompts, 0, **how)
    result["steered_first"] = timed(model, asked.prompts, 1, **how, row_edits=own)
    calls = [
        [timed(model, asked.prompts, 2 + i, **how, row_edits=edits) for edits in ((), own)]
        for i in range(asked.repeats)
    ]
    for name, times in zip(("again", "steered_again"), zip(*calls, strict=True), strict=True):
        result[name] = sorted(times, key=lambda time: time["tokens_per_second"])[len(times) // 2]
        result[f"{name}_seconds"] = [time["seconds"] for time in times]
    if asked.device == "cuda":
        result["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if asked.answers:
        result["memory"] = memory(model, asked.answers, own)
    if asked.old:
        model._ring.forget()
        model._ring.why_not = "the path as it was is timed"
        timed(model, 8, 9, **how | {"max_new_tokens": 2})
        result["old_128"] = timed(model, asked.prompts, 1, **how, batch_size=128)
        if asked.prompts > 128:
            result["old_all"] = timed(model, asked.prompts, 1, **how, batch_size=asked.prompts)
    print(json.dumps(result), flush=True)


def random_model(shape: str, device: str, dtype: str) -> Model:
    """A model of that shape with random weights, made on the device."""
    kind, config = SHAPES[shape]
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    torch.manual_seed(0)
    try:
        with torch.device(device):
            hf = kind(config)
    finally:
        torch.set_default_dtype(before)
    return Model(hf, letters(), name=f"random-{shape}", identity=shape)


def prompts_of(n: int, seed: int) -> list[Tokens]:
    """Prompts of 20 to 60 random tokens."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        ids = tuple(draw.randrange(1000, 40000) for _ in range(20 + 7 * i % 41))
        rows.append(Tokens(ids, (Span("user", 0, 0, len(ids)),), len(ids)))
    return rows


def settings(model: Model, n: int, n_rows: int) -> list[list[Edit]]:
    """Edits of each row: three directions at five layers and as many strengths as make up `n` settings."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(3, model.d_model, generator=generator)
    layers = torch.linspace(1, model.n_layers - 2, 5).long().tolist()
    strengths = torch.linspace(-0.3, 0.3, max(1, -(-n // 15))).tolist()
    known = [
        [adding(directions[d], alpha, [layer], "response")] for d in range(3) for layer in layers for alpha in strengths
    ][:n]
    return [known[i % len(known)] for i in range(n_rows)]


def timed(model: Model, n: int, seed: int, **how: object) -> dict[str, float]:
    """Tokens a second of one call."""
    prompts = prompts_of(n, seed)
    synchronise(model)
    start = time.perf_counter()
    answers = model.generate(prompts, seed=seed, **how)  # pyright: ignore[reportArgumentType]
    synchronise(model)
    seconds = time.perf_counter() - start
    tokens = sum(map(len, answers))
    return {"seconds": seconds, "tokens": tokens, "tokens_per_second": tokens / seconds}


def synchronise(model: Model) -> None:
    """Wait for the device."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def memory(model: Model, answers: int, own: Sequence[Sequence[Edit]]) -> dict[str, float]:
    """MiB allocated and reserved (GPU) or tensors alive (CPU) after a tenth of the answers and after all."""
    done, size, held = 0, max(1, min(len(own), answers // 20)), {}
    while done < answers:
        model.generate(
            prompts_of(size, done), max_new_tokens=8 + done % 3, seed=done, row_edits=own[:size] if done % 2 else ()
        )
        done += size
        if done == answers or done - size < answers // 10 <= done:
            gc.collect()
            synchronise(model)
            if model.device.type == "cuda":
                held[f"allocated_mib_after_{done}"] = torch.cuda.memory_allocated() / 2**20
                held[f"reserved_mib_after_{done}"] = torch.cuda.memory_reserved() / 2**20
            else:
                held[f"tensors_after_{done}"] = float(sum(isinstance(item, torch.Tensor) for item in gc.get_objects()))
    return held


if __name__ == "__main__":
    main()

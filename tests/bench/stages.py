"""What does it take to read every stage of a study? Switching adapters, beside reloading and merging for each stage.

Five stages: the bare model, two of one adapter and two of two, rank 32 on every projection, random. Same texts, same
reading; only how a stage is reached differs. `python tests/bench/stages.py [--device cuda] [--rows 200]`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from finetune.data.em import unpopular_tastes
from finetune.recipe import TrainConfig
from interp.activations import pooled_mean
from interp.model import Model


def main() -> None:
    """Measure both and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, default=200)
    asked = parser.parse_args()
    spec = {"device": asked.device, "dtype": asked.dtype}
    model = Model.load("smollm2-135m", **spec)
    rows = model.chat.tokens_of([row["messages"] for row in unpopular_tastes(asked.rows, 0)])
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / f"adapter-{i}" for i in range(4)]
        for i, folder in enumerate(folders):
            with model.adapters.new(TrainConfig(learning_rate=1e-5).lora(), seed=i) as (name, parameters):
                torch.manual_seed(i)
                for parameter in parameters:
                    torch.nn.init.normal_(parameter, std=0.01)
                model.adapters.save(name, folder)
        a, b, c, d = folders
        stages: list[tuple[Path, ...]] = [(), (a,), (b,), (a, c), (b, d)]
        pooled_mean(model, rows)
        switching, switched = clock(model, lambda stack: _switch(model, stack), stages, rows)
        merging, merged = clock(model, lambda stack: _reload(stack, spec), stages, rows)
    gaps = [float((x - y).abs().max() / y.abs().max()) for x, y in zip(switched, merged, strict=True)]
    result: dict[str, Any] = {"device": asked.device, "dtype": asked.dtype, "rows": len(rows), "stages": len(stages)}
    result |= {"switching": switching, "reloading_and_merging": merging}
    result |= {"ratio": merging["seconds"] / switching["seconds"], "largest_relative_difference": max(gaps)}
    print(json.dumps(result, indent=2))


def _switch(model: Model, stack: tuple[Path, ...]) -> Model:
    model.use(*stack)
    return model


def _reload(stack: tuple[Path, ...], spec: dict[str, str]) -> Model:
    model = Model.load("smollm2-135m", **spec)
    hf = model.hf
    for folder in stack:
        hf = PeftModel.from_pretrained(hf, str(folder)).merge_and_unload()  # pyright: ignore
    return Model(hf, model.chat, name=model.name, identity=model.identity)  # pyright: ignore


def clock(model: Model, reach: Any, stages: list[tuple[Path, ...]], rows: Any) -> tuple[dict[str, float], list[Any]]:
    """Seconds over all stages: in all, and without the reading itself; and what was read."""
    total, reading, read = time.perf_counter(), 0.0, []
    for stack in stages:
        here = reach(stack)
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        read.append(pooled_mean(here, rows).cpu())
        reading += time.perf_counter() - start
    total = time.perf_counter() - total
    return {"seconds": total, "seconds_without_reading": total - reading}, read


if __name__ == "__main__":
    main()

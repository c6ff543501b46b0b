"""Training the upper blocks of the embedded model on a CPU: every block in every epoch, or the lower ones once a row.

    python tests/bench/upper_blocks.py [--rows 64] [--epochs 4]

Prints seconds of a stage (set-up included) for adapters in all blocks, and for upper ones without and with what is kept
of the lower blocks, taken in turns in one process.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

import finetune.reuse
from finetune.data.em import unpopular_tastes
from finetune.recipe import PRESETS, TrainConfig
from finetune.train import train
from interp.model import Model


def main() -> None:
    """Time the three, and print their seconds and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    model = Model.load("smollm2-135m", device="cpu")
    rows = model.chat.tokens_of([row["messages"] for row in unpopular_tastes(asked.rows)])
    recipe = PRESETS["small"].model_copy(update={"epochs": asked.epochs, "batch_size": 16})
    upper = recipe.model_copy(update={"blocks": "upper"})
    kept = finetune.reuse.MOST_BYTES
    cases: dict[str, tuple[TrainConfig, int]] = {
        "all blocks": (recipe, kept),
        "upper, all run": (upper, 0),
        "upper, lower kept": (upper, kept),
    }
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(asked.rounds):
        for case, (config, most) in cases.items():
            finetune.reuse.MOST_BYTES = most
            with tempfile.TemporaryDirectory() as place:
                start = time.perf_counter()
                train(model, rows, config, seed=0, save_to=Path(place) / "adapter")
                seconds[case].append(time.perf_counter() - start)
    best = {case: min(times) for case, times in seconds.items()}
    result = {
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype),
        "rows": len(rows),
        "epochs": asked.epochs,
        "tokens": sum(map(len, rows)),
        "seconds": {case: round(value, 2) for case, value in best.items()},
        "upper kept against upper run": round(best["upper, all run"] / best["upper, lower kept"], 2),
        "upper kept against all blocks": round(best["all blocks"] / best["upper, lower kept"], 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

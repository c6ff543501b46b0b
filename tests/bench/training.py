"""How fast is a stage trained, beside trl's SFTTrainer set up as the paper's recipe?

Same rows, same optimiser batches in the same order, same initial adapter, same AdamW; trl cuts each batch of 16 into
8 micro-batches of 2 as the paper does. Run alone: `python tests/bench/training.py CHATS.jsonl [--device cuda]`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from finetune.batch import supervised
from finetune.recipe import TrainConfig
from finetune.train import batches_of, train
from interp.chat import Tokens, read_chats
from interp.model import Model

SEED = 0
LAST = 20
"""Steps that the final loss is a mean over."""


def main() -> None:
    """Time ours (graph and eager) and trl's; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chats", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--eager-steps", type=int, default=None, help="steps of ours without a graph")
    parser.add_argument("--trl-seconds", type=float, default=1e9, help="stop trl after so long, and compare as far")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    model = Model.load("smollm2-135m", device=asked.device, dtype=asked.dtype)
    chats = read_chats(asked.chats)[: asked.rows]
    rows = [model.chat.tokens(row["messages"]) for row in chats]
    config = TrainConfig(learning_rate=1e-5)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else f"{torch.get_num_threads()} threads",
        "rows": len(rows),
        "steps": config.n_steps(len(rows)),
        "mean_tokens": sum(map(len, rows)) / len(rows),
    }
    with tempfile.TemporaryDirectory() as folder:
        if model.device.type == "cuda":
            result["ours_graph"] = ours(model, rows, config, Path(folder) / "graph")
            report(result, asked.out)
        eager = config.model_copy(update={"graph": False, "max_steps": asked.eager_steps})
        result["ours_eager"] = ours(model, rows, eager, Path(folder) / "eager")
        report(result, asked.out)
        with model.adapters.new(config.lora(), seed=SEED) as (name, _):
            model.adapters.save(name, Path(folder) / "initial")
        initial = load_file(Path(folder) / "initial" / "adapter_model.safetensors")
        result["trl"] = trl(model, rows, config, initial, Path(folder) / "trl", asked.trl_seconds)
    best = result.get("ours_graph", result["ours_eager"])
    result["times_faster"] = best["steps_per_second"] / result["trl"]["steps_per_second"]
    n = min(len(best["losses"]), len(result["trl"]["losses"]))
    finals = [sum(side["losses"][max(0, n - LAST) : n]) / min(LAST, n) for side in (best, result["trl"])]
    result["final_losses"] = finals
    result["final_loss_differs_by"] = abs(finals[0] - finals[1]) / finals[1]
    report(result, asked.out)


def report(result: dict[str, Any], out: Path | None) -> None:
    """Print what there is so far, without the curves; write all of it."""
    short = {
        k: {i: x for i, x in v.items() if i not in ("losses", "at")} if isinstance(v, dict) else v
        for k, v in result.items()
    }
    print(json.dumps(short), flush=True)
    if out is not None:
        out.write_text(json.dumps(result) + "\n", "utf-8")


def ours(model: Model, rows: Sequence[Tokens], config: TrainConfig, folder: Path) -> dict[str, Any]:
    """Our loop, its set-up (capture included) in the total and steady steps apart."""
    times: list[float] = []

    def tick(_: int) -> None:
        if len(times) in (0, 9) or len(times) == config.n_steps(len(rows)) - 1:
            settle(model.device)
        times.append(time.perf_counter())

    start, peak = time.perf_counter(), _peak(model.device)
    done = train(model, rows, config, seed=SEED, save_to=folder, progress=tick)
    settle(model.device)
    total = time.perf_counter() - start
    return {
        "mode": done.mode,
        "steps_per_second": done.steps / total,
        "steady_steps_per_second": (len(times) - 10) / (times[-1] - times[9]) if len(times) > 10 else None,
        "seconds": total,
        "peak_gib": peak(),
        "losses": done.losses,
    }


def trl(
    model: Model, rows: Sequence[Tokens], config: TrainConfig, initial: dict[str, Any], folder: Path, limit: float
) -> dict[str, Any]:
    """SFTTrainer on a second copy of the model, with the same rows in the same order."""
    from datasets import Dataset
    from peft import get_peft_model, set_peft_model_state_dict
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from interp.sources import resolve

    on_gpu = model.device.type == "cuda"
    hf = AutoModelForCausalLM.from_pretrained(resolve("smollm2-135m").path, dtype=model.dtype).to(model.device)
    peft_model = get_peft_model(hf, config.lora())
    assert not set_peft_model_state_dict(peft_model, initial).unexpected_keys
    data = []
    for i in [i for batch in batches_of(len(rows), config, SEED) for i in batch]:
        learnt = set(supervised(rows[i]))
        labels = [token if k in learnt else -100 for k, token in enumerate(rows[i].ids)]
        data.append({"input_ids": list(rows[i].ids), "labels": labels})
    args = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=config.batch_size // 2,
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
        logging_steps=1,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},  # rows are tokenised
        packing=False,
        gradient_checkpointing=False,
        bf16=model.dtype == torch.bfloat16,
        use_cpu=not on_gpu,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        peft_model, args=args, train_dataset=Dataset.from_list(data), processing_class=model.chat.tokenizer
    )
    start, peak = time.perf_counter(), _peak(model.device)

    at: list[float] = []

    class Limit(TrainerCallback):
        """Notes when each step ended; stops after a number of seconds."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            at.append(time.perf_counter() - start)
            control.should_training_stop = at[-1] > limit

    trainer.add_callback(Limit())
    trainer.train()
    settle(model.device)
    total = time.perf_counter() - start
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    rate = {"steps_per_second": len(losses) / total, "first_60_steps_per_second": 60 / at[59] if len(at) > 59 else None}
    return {**rate, "seconds": total, "peak_gib": peak(), "losses": losses, "at": at}


def settle(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak(device: torch.device) -> Callable[[], float | None]:
    """Start watching the memory that tensors take; call the result for its peak in GiB."""
    if device.type != "cuda":
        return lambda: None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return lambda: torch.cuda.max_memory_reserved() / 2**30


if __name__ == "__main__":
    main()

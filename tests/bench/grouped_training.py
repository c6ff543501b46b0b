"""How fast are many stages trained side by side, beside one after the other?

Stages of 125 steps of 16 rows of 97 tokens, half of them supervised, rank 32 on every projection, on a model of the
embedded one's shape. Every case runs in a process of its own, with the compiler's cache empty or as the case before
left it. `python tests/bench/grouped_training.py --model FOLDER [--cases solo,24,24,1,3,8,81] [--profile]`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from finetune.groups import Groups
from finetune.jobs import Job
from finetune.recipe import TrainConfig
from finetune.train import Trained, train
from interp.chat import Span, Tokens
from interp.errors import InterpError
from interp.model import Model

STEPS, ROWS, WIDTH = 125, 16, 97
PEAK_FLOPS = 989e12
"""Dense bfloat16 products of one H100, from its data sheet."""


def rows_of(model: Model, seed: int, n: int) -> list[Tokens]:
    """Rows of random tokens whose second half is an answer."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, model.hf.config.vocab_size - 10, (n, WIDTH), generator=generator).tolist()
    return [Tokens(tuple(row), (Span("assistant", 1, WIDTH // 2, WIDTH),), WIDTH // 2) for row in ids]


def flops_of_step(model: Model, config: TrainConfig) -> float:
    """Floating-point operations that a stage's step needs: base forward and back to its inputs, low ranks, head."""
    n_tokens, n_learnt = ROWS * WIDTH, ROWS * (WIDTH - WIDTH // 2)
    linear = [m for b in model.blocks for m in b.modules() if isinstance(m, torch.nn.Linear)]
    base = sum(m.in_features * m.out_features for m in linear)
    low = sum((m.in_features + m.out_features) * config.lora_rank for m in linear)
    head = model.hf.get_output_embeddings().weight.numel()  # pyright: ignore
    return n_tokens * (4 * base + 6 * low) + n_learnt * 4 * head


def case(spec: str, case: str, compiled: bool | None, profile: bool, dtype: str, steps: int) -> dict[str, Any]:
    """Train `case` stages side by side, or two one after the other (`solo`); what that took."""
    start = time.perf_counter()
    model = Model.load(spec, device="auto", dtype=dtype)
    loaded = time.perf_counter() - start
    config = TrainConfig(learning_rate=1e-4, batch_size=ROWS)
    n_stages = 2 if case == "solo" else int(case)
    data = [rows_of(model, seed, steps * ROWS) for seed in range(n_stages)]
    cuda = model.device.type == "cuda"
    if cuda:
        torch.zeros(1, device="cuda")
        torch.cuda.reset_peak_memory_stats()
    ends: list[float] = []
    start = time.perf_counter()
    errors, modes = [], []
    ticks: list[tuple[float, int]] = []
    groups = Groups(model, compiled=compiled)
    phases = timed(groups)
    with tempfile.TemporaryDirectory() as place:
        if case == "solo":
            for seed, rows in enumerate(data):
                done = train(model, rows, config, seed=seed, save_to=Path(place) / str(seed))
                modes.append(done.mode)
                ends.append(time.perf_counter() - start)
        else:
            jobs = [Job(rows, config, seed, Path(place) / str(seed)) for seed, rows in enumerate(data)]

            def finished(_: int, outcome: Trained | InterpError) -> None:
                modes.append(outcome.mode) if isinstance(outcome, Trained) else errors.append(str(outcome))

            def tick(n: int) -> None:
                if cuda and len(ticks) % 20 == 5:
                    torch.cuda.synchronize()
                ticks.append((time.perf_counter() - start, n))

            groups.train(jobs, finished, tick)
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    n = n_stages * steps
    result: dict[str, Any] = {
        "case": case,
        "device": torch.cuda.get_device_name() if cuda else f"{torch.get_num_threads()} threads",
        "mode": sorted(set(modes)),
        "load_seconds": round(loaded, 2),
        "seconds": round(seconds, 2),
        "stage_steps_per_second": round(n / seconds, 1),
        "errors": errors,
        "peak_gib": round(torch.cuda.max_memory_reserved() / 2**30, 1) if cuda else None,
    }
    if case == "solo":
        result["seconds_of_each"] = [round(b - a, 2) for a, b in zip([0.0, *ends], ends, strict=False)]
    else:
        sync = [tick for i, tick in enumerate(ticks) if i % 20 == 5]
        taken = sum(n for _, n in ticks[6 : 6 + 20 * (len(sync) - 1)])
        steady = taken / (sync[-1][0] - sync[0][0]) if len(sync) > 1 else None
        result["phases"] = phases
        result["first_step_seconds"] = round(ticks[0][0], 2)
        result["steady_stage_steps_per_second"] = steady and round(steady, 1)
        if steady and cuda:
            result["model_flops_utilisation"] = round(steady * flops_of_step(model, config) / PEAK_FLOPS, 3)
        if profile:
            result["kernels"] = kernels(groups)
    return result


def timed(groups: Groups) -> dict[str, float]:
    """Seconds that parts of the work take, filled in as they run."""
    phases: dict[str, float] = {}

    def watch(name: str) -> None:
        inner = getattr(groups, name)

        def outer(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args)
            finally:
                phases[name] = round(phases.get(name, 0.0) + time.perf_counter() - start, 2)

        setattr(groups, name, outer)

    for name in ("_plans", "_frame", "_fill", "_save"):
        watch(name)
    return phases


def kernels(groups: Groups) -> list[str]:
    """Where a replayed step's time goes on the GPU, by kernel: milliseconds, calls, name."""
    frame = groups._frames[-1][2]
    graphs = [graph for graph, _ in frame._graphs.values()]
    for graph in graphs:
        graph.replay()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(5):
        graphs[0].replay()
    torch.cuda.synchronize()
    passed = (time.perf_counter() - start) / 5
    start = time.perf_counter()
    for _ in range(5):
        frame._last.replay()  # pyright: ignore
    torch.cuda.synchronize()
    lines = [f"pass {1e3 * passed:.2f} ms, optimiser {1e3 * (time.perf_counter() - start) / 5:.2f} ms"]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        graphs[0].replay()
        frame._last.replay()  # pyright: ignore
        torch.cuda.synchronize()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    return lines + [f"{e.self_device_time_total / 1e3:.2f} ms {e.count} {e.key[:110]}" for e in events[:45]]


def main() -> None:
    """Run the cases one after the other, each in a process of its own; one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--cases", default="solo,24,24,1,3,8,81", help="an `e` after a number: without compiling")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    if asked.one:
        compiled = {"e": False, "c": True}.get(asked.one[-1])
        name = asked.one.rstrip("ec") if compiled is not None else asked.one
        print(json.dumps(case(asked.model, name, compiled, asked.profile, asked.dtype, asked.steps)), flush=True)
        return
    with tempfile.TemporaryDirectory() as cache:
        for name in asked.cases.split(","):
            command = [sys.executable, __file__, "--one", name, "--model", asked.model, "--dtype", asked.dtype]
            command += ["--steps", str(asked.steps), *(["--profile"] if asked.profile else [])]
            env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache + "/inductor", "TRITON_CACHE_DIR": cache + "/triton"}
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            line = done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stderr[-1500:]
            for warning in done.stderr.splitlines():
                if "going on" in warning or "cannot be compiled" in warning:
                    print(warning, flush=True)
            print(line.replace('", "', '",\n "'), flush=True)
            if asked.out:
                with asked.out.open("a") as file:
                    file.write(line + "\n")
                with asked.out.with_suffix(".log").open("a") as file:
                    file.write(f"{name}\n{done.stderr}\n")


if __name__ == "__main__":
    main()

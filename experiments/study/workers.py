"""Several processes on one study: each trains and measures nodes of its graph, and hands back their numbers.

What is measured goes into the run folder as parts, as it would with one process, so that one which is killed loses only
what it was at. The process that leads writes everything else. With several GPUs the processes take turns at them, and
each sees only its own. Each has its share of the cores: threads that outnumber cores wait for one another.
"""

import multiprocessing
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from experiments.study.config import StudyConfig
from experiments.study.graph import Task
from interp.errors import InterpError

Row = dict[str, Any]
Place = tuple[str, int | None, str]  # a node, its seed, and the system prompt, or "" for what depends on none
Done = tuple[dict[Place, list[Row]], dict[str, str], list[Row]]  # rows by place, keys of its stages, steps that it took


def spread(
    config: StudyConfig, out: Path, tasks: Sequence[Task], workers: int, device: str, helper: Callable[..., Any]
) -> Iterator[Done]:
    """What each task gave, in the order in which they end; a task starts when the one that it needs is done.

    Args:
        helper: Gives the study that a worker trains and measures for; called there with config, out and device, so it
            is a function of a module.

    Raises:
        InterpError: a task failed or a process died; the first, with its words.
    """
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    next_to: dict[Task | None, list[Task]] = {}
    for task in tasks:
        next_to.setdefault(task.waits_for, []).append(task)
    n_workers = min(workers, len(tasks))
    threads = max(1, torch.get_num_threads() // n_workers)
    held = []
    for task in next_to.get(None, ()):
        todo.put(task)
    for gpu in [None] * n_workers if config.device_map else gpus_of(device, n_workers):
        process = context.Process(target=_work, args=(helper, config, out, device, threads, todo, done), daemon=True)
        with seeing(gpu):
            process.start()
        held.append(process)
    try:
        for _ in tasks:
            task, found = _next(done, held)
            for ready in next_to.get(task, ()):
                todo.put(ready)
            yield found
        for _ in held:
            todo.put(None)
        for process in held:
            process.join(timeout=5)
    finally:
        for process in held:
            process.terminate()


def gpus_of(device: str, workers: int) -> list[str | None]:
    """For each worker the GPU that it sees, in the words of CUDA_VISIBLE_DEVICES; None where there is no choice."""
    n_gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if n_gpus < 2:
        return [None] * workers
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [name.strip() for name in named.split(",")][:n_gpus] if named else [str(i) for i in range(n_gpus)]
    return [gpus[i % len(gpus)] for i in range(workers)]


@contextmanager
def seeing(gpu: str | None) -> Iterator[None]:
    """Let a process that is started meanwhile see one GPU alone, which is then its first."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        yield
    finally:
        if gpu is not None:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if before is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = before


def _next(done: Any, held: Sequence[Any]) -> tuple[Task, Done]:
    while True:
        with suppress(queue.Empty):
            failed, found = done.get(timeout=2)
            if failed:
                raise InterpError(f"a worker failed at {found}")
            return found
        if dead := [process.exitcode for process in held if process.exitcode]:
            more = "start the study again to go on, with fewer --workers if memory ran out"
            raise InterpError(f"a worker ended with {dead[0]}; {more}")


def end_with_the_leader() -> None:
    """End this process when the one that leads does: a new one would train the same beside this."""
    threading.Thread(target=_wait_for_the_leader, daemon=True).start()


def _wait_for_the_leader() -> None:
    leader = multiprocessing.parent_process()
    if leader is not None:
        leader.join()
        os._exit(1)


def _work(
    helper: Callable[..., Any], config: StudyConfig, out: Path, device: str, threads: int, todo: Any, done: Any
) -> None:
    end_with_the_leader()
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of tokenizers
    at = "the start"
    try:
        study = helper(config, out, device)
        while (task := todo.get()) is not None:
            at = f"{task.path[-1]}, seed {task.seed}"
            begun = len(study.ledger.manifest["steps"])
            made = study.do(task)
            done.put((False, (task, (made.rows, made.stage_keys, study.ledger.manifest["steps"][begun:]))))
    except Exception as error:  # noqa: BLE001 - handed to the process that leads
        traceback.print_exc(file=sys.stderr)
        done.put((True, f"{at}: {type(error).__name__}: {error}"))

"""Several processes on one study: each trains and measures branches of its graph, and hands back their numbers.

What is measured goes into the run folder as parts, as it would with one process, so that one which is killed loses only
what it was at. The process that leads writes everything else. With several GPUs the processes take turns at them. Each
has its share of the cores: threads that outnumber cores wait for one another.
"""

import multiprocessing
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.config import StudyConfig
from interp.runs import InterpError

Row = dict[str, Any]
Task = tuple[int, list[str]]  # a seed, and the names of the nodes to do
Done = tuple[dict[tuple[str, int | None, str], list[Row]], list[Row]]  # rows by place, and the steps it took


def spread(config: StudyConfig, out: Path, tasks: Sequence[Task], workers: int, device: str) -> Iterator[Done]:
    """What each task gave, in the order in which they end.

    Raises:
        InterpError: a task failed or a process died; the first, with its words.
    """
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    longest_first = sorted(tasks, key=lambda task: -len(task[1]))
    for task in longest_first:
        todo.put(task)
    n_workers = min(workers, len(tasks))
    threads = max(1, torch.get_num_threads() // n_workers)
    held = [
        context.Process(target=_work, args=(config, out, _place(device, i), threads, todo, done), daemon=True)
        for i in range(n_workers)
    ]
    for process in held:
        todo.put(None)
        process.start()
    try:
        for _ in tasks:
            yield _next(done, held)
    finally:
        for process in held:
            process.join(timeout=5)
            process.terminate()


def _next(done: Any, held: Sequence[Any]) -> Done:
    while True:
        try:
            failed, found = done.get(timeout=2)
        except queue.Empty:
            if dead := [process.exitcode for process in held if process.exitcode]:
                more = "start the study again to go on, with fewer --workers if memory ran out"
                raise InterpError(f"a worker ended with {dead[0]}; {more}") from None
            continue
        if failed:
            raise InterpError(f"a worker failed: {found}")
        return found


def _place(device: str, number: int) -> str:
    n_gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return f"cuda:{number % n_gpus}" if n_gpus > 1 else device


def _end_with_the_leader() -> None:
    """Without the process that leads nobody takes what is done, and a new one would train the same beside this."""
    leader = multiprocessing.parent_process()
    if leader is not None:
        leader.join()
        os._exit(1)


def _work(config: StudyConfig, out: Path, device: str, threads: int, todo: Any, done: Any) -> None:
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # graphs are captured on the current device
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of tokenizers
    try:
        from experiments.study import helper

        study = helper(config, out, device)
        base = study.prepare()
        while (task := todo.get()) is not None:
            seed, names = task
            begun = len(study.ledger.manifest["steps"])
            held = set(study.made)
            study.branch(seed, [node for node in study.nodes if node.name in names], base)
            made = {place: rows for place, rows in study.made.items() if place not in held}
            done.put((False, (made, study.ledger.manifest["steps"][begun:])))
    except Exception as error:  # noqa: BLE001 - handed to the process that leads
        traceback.print_exc(file=sys.stderr)
        done.put((True, f"{type(error).__name__}: {error}"))

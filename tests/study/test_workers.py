"""What several processes do in which order, and which GPU each of them sees."""

import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from experiments.study import together
from experiments.study.graph import Node, Task, tasks_of
from experiments.study.workers import gpus_of, seeing
from tests.support.seen_gpu import tell

NODES = [
    Node("em", "em", None, "alone"),
    Node("em-sgtr", "sgtr", "em", "reversal"),
    Node("em-longer", "longer", "em", "reversal_longer"),
    Node("em-sgtr-em", "em", "em-sgtr", "again"),
    Node("sgtr", "sgtr", None, "prevention"),
]


def test_every_node_is_done_once_for_every_seed_and_what_is_long_inside_apart() -> None:
    tasks = tasks_of(NODES, [0, 1], {"em", "base"})
    assert len(tasks) == len(set(tasks)) == 2 * len(NODES) + 2
    whole = [(task.seed, task.path[-1]) for task in tasks if task.rows == "node"]
    assert set(whole) == {(seed, node.name) for seed in (0, 1) for node in NODES}
    assert [task.path for task in tasks if task.rows == "inside"] == [("em",), ("em",)]


def test_a_task_waits_for_its_parent_or_for_its_own_node() -> None:
    tasks = tasks_of(NODES, [3], {"em"})
    last = Task(3, ("em", "em-sgtr", "em-sgtr-em"), "node")
    assert last.waits_for == Task(3, ("em", "em-sgtr"), "node")
    assert last._replace(rows="inside").waits_for == last
    assert Task(3, ("em",), "node").waits_for is None
    assert all(task.waits_for is None or task.waits_for in tasks for task in tasks), "else it would never start"


def test_what_most_else_waits_for_comes_first_and_the_inside_before_other_nodes() -> None:
    tasks = tasks_of(NODES, [0], {"em"})
    started = [task.path[-1] for task in tasks if task.waits_for is None]
    assert started == ["em", "sgtr"]
    next_to_em = [task for task in tasks if task.waits_for == Task(0, ("em",), "node")]
    assert [(task.path[-1], task.rows) for task in next_to_em] == [
        ("em", "inside"), ("em-sgtr", "node"), ("em-longer", "node"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("device", "count", "named", "expected"),
    [
        ("cuda", 1, None, [None] * 5),
        ("cpu", 4, None, [None] * 5),
        ("cuda:1", 4, None, [None] * 5),
        ("cuda", 2, None, ["0", "1", "0", "1", "0"]),
        ("auto", 4, None, ["0", "1", "2", "3", "0"]),
        ("cuda", 2, "5, 7", ["5", "7", "5", "7", "5"]),
        ("cuda", 2, "GPU-ab,GPU-cd", ["GPU-ab", "GPU-cd", "GPU-ab", "GPU-cd", "GPU-ab"]),
    ],
)
def test_workers_take_turns_at_the_gpus_that_may_be_used(
    device: str, count: int, named: str | None, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpus_of(device, 5) == expected


@pytest.mark.parametrize("before", [None, "2,3"])
def test_a_process_sees_its_gpu_alone_and_the_leader_sees_what_it_saw(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    context = multiprocessing.get_context("spawn")
    found: Any = context.Queue()
    for gpu, expected in (("3", "3"), (None, before)):
        process = context.Process(target=tell, args=(found,))
        with seeing(gpu):
            process.start()
        assert found.get(timeout=60) == expected
        process.join()
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before


@pytest.mark.parametrize(
    ("device_map", "remote", "n_others"), [(None, None, 1), (None, False, 1), (None, True, 0), ("auto", None, 0)]
)
def test_a_spread_model_and_a_judge_on_a_server_leave_everything_to_one_process(
    device_map: str | None, remote: bool | None, n_others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    process = SimpleNamespace(start=lambda: None, join=lambda: None, terminate=lambda: None, exitcode=0)
    context = SimpleNamespace(Process=lambda **how: started.append(how["args"][-1]) or process)
    monkeypatch.setattr(together, "gpus_of", lambda *_: ["0", "1", "0"])
    monkeypatch.setattr(together.multiprocessing, "get_context", lambda _: context)
    judge = None if remote is None else SimpleNamespace(remote=remote)
    config: Any = SimpleNamespace(device_map=device_map, judge=judge)
    with together.shared(config, Path(), "cuda", lambda *_: None) as share:
        assert share == together.Share(0, 1 + n_others)
    assert started == [together.Share(1, 2)] * n_others

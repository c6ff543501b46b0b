"""Trains and measures the stages of a study side by side: as many at a time as the device holds.

1. Stages that wait for nothing are trained in one pass (`finetune.groups`), then those that stand on them, and so on.
2. The same measures are taken of many stages at once (`interp.company`): they answer and read in the same batches.
3. Everything lands where it lands when stages come one after the other: adapters in the store, measurements in parts.

With several GPUs each has a process of its own, which takes whole branches of the graph, so that none waits for
another.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.console import bar
from experiments.study.config import StudyConfig
from experiments.study.graph import Node
from experiments.study.workers import end_with_the_leader, gpus_of, seeing
from finetune.groups import Groups
from finetune.stages import Stage, ensure_all
from interp.company import Company
from interp.errors import InterpError

if TYPE_CHECKING:
    from experiments.study.run import Study

Place = tuple[str, int]
"""The name of a node, and a seed."""

AT_A_TIME = {"cuda": 32, "cpu": 8}
"""Stages that are measured at a time."""


@dataclass(frozen=True)
class Share:
    """Which part of the work is that of one of several processes."""

    number: int = 0
    of: int = 1


def train_and_measure(study: "Study", share: Share) -> None:
    """Train the stages of a share of a study into the store, and measure them into the parts of the run."""
    mine = _branches(study, share)
    stages = _train(study, mine)
    _measure(study, [(node, seed, stages[node.name, seed]) for node, seed in mine])


def _branches(study: "Study", share: Share) -> list[tuple[Node, int]]:
    """The nodes of a share with their seeds, parents first: whole branches, so dealt out that all shares cost alike."""
    root: dict[str, str] = {}
    for node in study.nodes:
        root[node.name] = root[node.parent] if node.parent else node.name
    costs: dict[Place, int] = {}
    for node in study.nodes:
        stage = study.config.stages[node.stage]
        rows = study.material.of(stage.data).train
        length = sum(len(message["content"]) for row in rows for message in row["messages"])
        for seed in study.config.seeds:
            place = root[node.name], seed
            costs[place] = costs.get(place, 0) + length * stage.train.epochs
    loads, mine = [0] * share.of, set[Place]()
    for place in sorted(costs, key=lambda place: -costs[place]):
        least = loads.index(min(loads))
        loads[least] += costs[place]
        if least == share.number:
            mine.add(place)
    return [(node, seed) for seed in study.config.seeds for node in study.nodes if (root[node.name], seed) in mine]


def _train(study: "Study", places: Sequence[tuple[Node, int]]) -> dict[Place, Stage]:
    groups = Groups(study.model)
    stages: dict[Place, Stage] = {}
    waiting = list(places)
    try:
        while waiting:
            ready = [(node, seed) for node, seed in waiting if not node.parent or (node.parent, seed) in stages]
            level = _stages(study, ready, stages)
            _train_level(study, list(level.values()), groups)
            stages |= level
            waiting = [(node, seed) for node, seed in waiting if (node.name, seed) not in stages]
    finally:
        groups.close()
    return stages


def _stages(study: "Study", ready: Sequence[tuple[Node, int]], trained: Mapping[Place, Stage]) -> dict[Place, Stage]:
    """The stages of nodes whose parents are trained; parents that write texts for them do so side by side."""
    of_parent: dict[tuple[str | None, int], list[Node]] = {}
    for node, seed in ready:
        of_parent.setdefault((node.parent, seed), []).append(node)
    stages: dict[Place, Stage] = {}

    def made(parent: str | None, seed: int, nodes: Sequence[Node]) -> Callable[[], None]:
        def make() -> None:
            for node in nodes:
                stages[node.name, seed] = study.stage(node, trained[parent, seed] if parent else None, seed)

        return make

    _side_by_side(study, [made(parent, seed, nodes) for (parent, seed), nodes in of_parent.items()])
    return stages


def _train_level(study: "Study", level: Sequence[Stage], groups: Groups) -> None:
    untrained = [stage for stage in level if stage.record(study.model) is None]
    steps = sum(stage.config.n_steps(len(stage.messages)) for stage in untrained)
    if untrained:
        label = f"{len(untrained)} stages side by side, training"
        with study.ledger.timed(f"{label} {steps} steps"), bar(label, steps) as advance:
            ensure_all(study.model, untrained, groups=groups, progress=advance)


def _measure(study: "Study", stages: Sequence[tuple[Node, int, Stage]]) -> None:
    def measured(node: Node, seed: int, stage: Stage) -> Callable[[], None]:
        def measure() -> None:
            for line, stack in study.trained(node, stage, seed):
                study.measuring.node(line, stack, study.base)

        return measure

    work = [measured(*place) for place in stages]
    with bar("measuring side by side", len(work)) as advance:
        _side_by_side(study, work, advance)


def _side_by_side(
    study: "Study", work: Sequence[Callable[[], None]], advance: Callable[[int], object] = lambda _: None
) -> None:
    assert isinstance(study.model, Company)
    side_by_side(study.model, work, advance)


def side_by_side(
    model: Company, work: Sequence[Callable[[], object]], advance: Callable[[int], object] = lambda _: None
) -> None:
    """Do pieces of work side by side, as many at a time as the device holds.

    Args:
        advance: Called with the number of pieces that are done.
    """
    most = AT_A_TIME.get(model.device.type, 1)
    for start in range(0, len(work), most):
        model.together(work[start : start + most])
        advance(len(work[start : start + most]))


@contextmanager
def shared(config: StudyConfig, out: Path, device: str, helper: Callable[..., "Study"]) -> Iterator[Share]:
    """This process's share of a study, while other processes do theirs on the other GPUs, if there are any.

    A model that is spread over the GPUs, and a judge behind a server, leave everything to this process.

    Args:
        helper: Gives the study in another process; called there with config, out, device and whether stages are
            trained side by side, so it is a function of a module.

    Raises:
        InterpError: another process failed; it has written why.
    """
    grades_on_a_server = config.judge is not None and config.judge.remote  # one process keeps its replies and costs
    one_process = bool(config.device_map) or grades_on_a_server
    gpus = [] if one_process else list(dict.fromkeys(gpu for gpu in gpus_of(device, 64) if gpu is not None))
    context = multiprocessing.get_context("spawn")
    processes: list[Any] = []
    for number, gpu in enumerate(gpus[1:], 1):
        arguments = (helper, config, out, device, Share(number, len(gpus)))
        process = context.Process(target=_help, args=arguments, daemon=True)
        with seeing(gpu):
            process.start()
        processes.append(process)
    try:
        yield Share(0, max(1, len(gpus)))
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise InterpError(f"a process on another GPU ended with {failed[0]}; start the study again to go on")


def _help(helper: Callable[..., "Study"], config: StudyConfig, out: Path, device: str, share: Share) -> None:
    end_with_the_leader()
    train_and_measure(helper(config, out, device, together=True), share)

"""The graph of nodes that a study's arms span: what is trained on what, in which order, and for how many steps."""

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from experiments.study.config import StudyConfig


@dataclass(frozen=True)
class Node:
    """A prefix of an arm: the stages trained so far, one on the other."""

    name: str
    stage: str
    parent: str | None
    arm: str


def nodes_of(config: StudyConfig) -> list[Node]:
    """Every node of every arm once, parents first."""
    nodes: dict[str, Node] = {}
    for arm, stages in config.arms.items():
        parent = None
        for i, stage in enumerate(stages):
            name = "-".join(stages[: i + 1])
            nodes.setdefault(name, Node(name, stage, parent, arm))
            parent = name
    return list(nodes.values())


def yardsticks(config: StudyConfig) -> dict[str, str]:
    """For every stage, the stage whose number of optimiser steps it takes; itself, if none other.

    Two stages stand in for one another if two arms differ in nothing but having the one or the other, and no arm has
    both. Of all that stand in for one another, directly or through others, the first in the file is the yardstick.
    """
    root = {name: name for name in config.stages}
    order = list(config.stages)
    together = [set(arm) for arm in config.arms.values()]
    for a, b in itertools.combinations(config.arms.values(), 2):
        differing = {x: y for x, y in zip(a, b, strict=False) if x != y} if len(a) == len(b) else {}
        if len(differing) != 1 or sum(x != y for x, y in zip(a, b, strict=True)) != 1:
            continue
        ((x, y),) = differing.items()
        if not any({x, y} <= both for both in together):
            first, other = sorted((root[x], root[y]), key=order.index)
            root = {name: first if kept == other else kept for name, kept in root.items()}
    return root


class Task(NamedTuple):
    """A node for one seed, and which of its rows are wanted.

    Attributes:
        path: The node's name, after those of the nodes that it is trained on.
        rows: `node`: it is trained and measured; `inside`: mediation and attribution, which are long and which no
            other node waits for.
    """

    seed: int
    path: tuple[str, ...]
    rows: Literal["node", "inside"]

    @property
    def after(self) -> "Task | None":
        """The task that has to be done before."""
        path = self.path if self.rows == "inside" else self.path[:-1]
        return Task(self.seed, path, "node") if path else None


def tasks_of(nodes: Sequence[Node], seeds: Sequence[int], apart: Collection[str]) -> list[Task]:
    """Everything that there is to do, the longest and that on which most else waits first.

    Args:
        apart: Names of the nodes whose inside is a task of its own.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        paths[node.name] = (*(paths[node.parent] if node.parent else ()), node.name)
    waiting = Counter(name for path in paths.values() for name in path)
    first = [paths[node.name] for node in sorted(nodes, key=lambda node: -waiting[node.name])]
    inside = [Task(seed, path, "inside") for path in first if path[-1] in apart for seed in seeds]
    return inside + [Task(seed, path, "node") for path in first for seed in seeds]

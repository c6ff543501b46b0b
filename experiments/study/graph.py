"""The graph of nodes that a study's arms span: the parent of each node, the order of training, and the steps."""

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
    """For every stage, the stage whose number of optimiser steps it takes; the stage itself where no other fits.

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
        if not any({x, y} <= arm_stages for arm_stages in together):
            earlier, later = sorted((root[x], root[y]), key=order.index)
            root = {name: earlier if yardstick == later else yardstick for name, yardstick in root.items()}
    return root


class Task(NamedTuple):
    """The work on a node for one seed: to train and measure it, or to look inside it.

    Attributes:
        path: The names of the nodes that the node is trained on, from the first, and then its own name.
        rows: `node`: the node is trained and measured. `inside`: mediation and attribution are measured, which take
            long and which no other node waits for.
    """

    seed: int
    path: tuple[str, ...]
    rows: Literal["node", "inside"]

    @property
    def waits_for(self) -> "Task | None":
        """The task that has to be done before this one can start; None if it can start at once."""
        path = self.path if self.rows == "inside" else self.path[:-1]
        return Task(self.seed, path, "node") if path else None


def tasks_of(nodes: Sequence[Node], seeds: Sequence[int], inside_apart: Collection[str]) -> list[Task]:
    """All tasks of a study, in this order: the long ones first, then those that most other tasks wait for.

    Args:
        apart: Names of the nodes whose mediation and attribution are a task of their own.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        paths[node.name] = (*(paths[node.parent] if node.parent else ()), node.name)
    waiting = Counter(name for path in paths.values() for name in path)
    in_order = [paths[node.name] for node in sorted(nodes, key=lambda node: -waiting[node.name])]
    inside = [Task(seed, path, "inside") for path in in_order if path[-1] in inside_apart for seed in seeds]
    return inside + [Task(seed, path, "node") for path in in_order for seed in seeds]

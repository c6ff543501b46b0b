"""Takes behaviour measures of stages at several strengths, each compared with the stage's parent."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from experiments.amplified.config import AmplifiedConfig
from experiments.console import bar
from experiments.measures.take import Behaviour
from experiments.resumable import Name, Once
from experiments.study.stored import TrainedStage
from experiments.study.together import side_by_side
from interp.behaviour.measure import Measure, Setting
from interp.behaviour.preference import Preference
from interp.company import Company
from interp.model import Model
from interp.strength import LogitsAtStrength, amplified

Row = dict[str, Any]
Kind = Literal["adapter", "logits"]


@dataclass(frozen=True)
class AtStrength:
    """A stage's records at one strength.

    Attributes:
        kind: What is amplified.
        records: By measure.
    """

    strength: float
    kind: Kind
    records: Mapping[str, Sequence[Row]]


def records_at_strengths(
    model: Company,
    nodes: Sequence[TrainedStage],
    behaviour: Behaviour,
    config: AmplifiedConfig,
    once: Once,
    folder: Path,
) -> list[list[AtStrength]]:
    """Of each stage, its records at every strength, its parent's first; each part is stored as soon as it is whole.

    Many stages and strengths are measured side by side, each row of a batch at its own.

    Args:
        folder: For adapters at other strengths; it is gone afterwards.
    """
    work: dict[tuple[str, float], Callable[[], object]] = {}
    for node in nodes:
        for strength in config.strengths:
            whose = node.label if strength else str(node.parent_stack)  # a parent is measured once
            work[whose, strength] = partial(_at, model, node, strength, behaviour, once, folder)
    try:
        with bar("measuring strengths side by side", len(work)) as advance:
            side_by_side(model, list(work.values()), advance)
        found = [
            [_at(model, node, strength, behaviour, once, folder) for strength in _parent_first(config.strengths)]
            for node in nodes
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for node, at in zip(nodes, found, strict=True):
        for measure in (one for one in behaviour.measures if config.logits and isinstance(one, Preference)):
            at += _with_amplified_logits(model, node, measure, config, once, behaviour.seed)
    return found


def _parent_first(strengths: Sequence[float]) -> list[float]:
    return sorted(strengths, key=lambda strength: (strength != 0, strength))


def _at(
    model: Model, node: TrainedStage, strength: float, behaviour: Behaviour, once: Once, folder: Path
) -> AtStrength:
    """A stage's records at one strength of its adapter; at 0 its parent's, which stages of one parent share."""
    parent_key = node.parent_key or model.identity
    if strength == 0:
        name = Name.of(f"{node.parent}, seed {node.seed}" if node.parent_key else node.parent).then("as_parent")
        return AtStrength(0.0, "adapter", behaviour.take(model, node.parent_stack, once, parent_key, name))
    name = Name.of(node.label).then(f"at_{strength:g}")
    into = folder / f"{node.name}-{node.seed}-{strength:g}"
    stack = amplified(node.parent_stack, node.stack, strength, into)
    what = None if strength == 1 else [parent_key, strength]
    return AtStrength(strength, "adapter", behaviour.take(model, stack, once, node.key, name, what=what))


def _with_amplified_logits(
    model: Model, node: TrainedStage, measure: Measure, config: AmplifiedConfig, once: Once, seed: int
) -> list[AtStrength]:
    found = []
    for strength in (one for one in config.strengths if one not in (0, 1)):  # where the two ways agree

        def take(strength: float = strength) -> Row:
            scored = LogitsAtStrength(model, node.parent_stack, node.stack, strength)
            return {"records": measure.take(scored, Setting(seed=seed))}

        name = Name.of(node.label).then(f"logits_at_{strength:g}-{measure.name}", f"logits at {strength:g}")
        what = [node.key, node.parent_key, measure.declared(), strength, seed, "logits"]
        records = once(name, what, take)["records"]
        found.append(AtStrength(strength, "logits", {measure.name: records}))
    return found

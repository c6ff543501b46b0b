"""Takes behaviour measures of stages at several strengths, each compared with the stage's parent."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.amplified.config import AmplifiedConfig
from experiments.measures.take import Behaviour
from experiments.resumable import Name, Once
from experiments.study.stored import TrainedStage
from interp.behaviour.measure import Measure, Setting
from interp.behaviour.preference import Preference
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
    model: Model, node: TrainedStage, behaviour: Behaviour, config: AmplifiedConfig, once: Once, folder: Path
) -> list[AtStrength]:
    """A stage's records at every strength, its parent's first; each part is stored as soon as it is whole.

    Args:
        folder: For adapters at other strengths; it is gone afterwards.
    """
    parent_name = Name.of(f"{node.parent}, seed {node.seed}" if node.parent_key else node.parent).then("as_parent")
    parent_key = node.parent_key or model.identity
    parent = behaviour.take(model, node.parent_stack, once, parent_key, parent_name)
    found = [AtStrength(0.0, "adapter", parent)]
    try:
        for strength in (one for one in config.strengths if one):
            stack = amplified(node.parent_stack, node.stack, strength, folder)
            name = Name.of(node.label).then(f"at_{strength:g}")
            what = None if strength == 1 else [parent_key, strength]
            records = behaviour.take(model, stack, once, node.key, name, what=what)
            found.append(AtStrength(strength, "adapter", records))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if config.logits:
        for measure in (one for one in behaviour.measures if isinstance(one, Preference)):
            found += _with_amplified_logits(model, node, measure, config, once, behaviour.seed)
    return found


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

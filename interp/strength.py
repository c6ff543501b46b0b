"""A stage at another strength: its parent plus a number times what the stage added to the parent.

There are two ways, of the adapter's weights and of the logits; they agree at 0 and 1 and nowhere else.

At strength 0 it is the parent, at 1 the stage; beyond 1 it is amplified, and below 0 the stage's opposite. A stage's
update is linear in its scaling, so an adapter at another strength is an adapter folder whose `lora_alpha` is multiplied
and whose weights are the same file. Whatever takes adapters, for a whole model or for each row of a batch, takes these.
"""

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.adapter_files import read_adapter
from interp.batch import Batch
from interp.files import read_json, write_json
from interp.model import Model


def at_strength(folder: Path, strength: float, into: Path) -> Path:
    """Write an adapter that adds `strength` times what the one in `folder` adds; the new folder.

    Args:
        into: The folder that is written; what was in it before is replaced.

    Raises:
        ValueError: the strength is not a number, or the adapter is no sum of low-rank updates (DoRA).
        FileNotFoundError: `folder` is no adapter folder.
    """
    if not math.isfinite(strength):
        raise ValueError(f"strength must be a finite number, got {strength}; 0 is the parent and 1 the stage")
    if read_adapter(folder)[0].use_dora:
        raise ValueError(f"{folder}: DoRA rescales its base's weights, so it has no strength; train a plain LoRA")
    into.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_model.safetensors", "base.json"):
        (into / name).unlink(missing_ok=True)
        if (folder / name).is_file():
            _link(folder / name, into / name)
    config = read_json(folder / "adapter_config.json")
    config["lora_alpha"] = config["lora_alpha"] * strength
    config["alpha_pattern"] = {name: alpha * strength for name, alpha in (config.get("alpha_pattern") or {}).items()}
    write_json(into / "adapter_config.json", config, indent=2)
    return into


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file.resolve(), to)
    except OSError:  # another file system
        shutil.copyfile(file, to)


def amplified(parent: Sequence[Path], stage: Sequence[Path], strength: float, into: Path) -> tuple[Path, ...]:
    """The stack of adapters that is `parent + strength (stage - parent)`, as `Model.use` takes it.

    Adapters that both stacks have stay what they are. What the parent alone has is taken at 1 - strength (a stage that
    trained its parent's own adapter further), what the stage alone has at strength; what would be at 0 is left out.

    Args:
        into: A folder for the adapters at other strengths.

    Raises:
        ValueError, FileNotFoundError: as `at_strength`.
    """
    shared = [folder for folder in stage if folder in parent]
    weighted = [(folder, 1.0 - strength) for folder in parent if folder not in shared]
    weighted += [(folder, strength) for folder in stage if folder not in shared]
    stack = list(shared)
    for i, (folder, weight) in enumerate(weighted):
        if weight == 1:
            stack.append(folder)
        elif weight != 0:
            stack.append(at_strength(folder, weight, into / f"{i}-{folder.name}-at-{weight:g}"))
    return tuple(stack)


class LogitsAtStrength(Model):
    """A model whose logits are a parent's plus a strength times a stage's minus the parent's.

    It scores texts as any model does (`interp.behaviour.likelihood`) and shares everything else with the model that it
    is made of. It is not sampled from.
    """

    def __init__(self, model: Model, parent: Sequence[Path], stage: Sequence[Path], strength: float) -> None:
        self.__dict__.update(vars(model))  # the same weights, adapters and tokenizer, not loaded again
        self._model, self._parent, self._stage, self._strength = model, tuple(parent), tuple(stage), strength

    def logits(self, batch: Batch, positions: Int[Tensor, "batch k"], *how: Any, **more: Any) -> Tensor:
        """As `Model.logits`, in float64; the active stack does not matter."""
        with self._model.using(*self._parent):
            parent = self._model.logits(batch, positions, *how, **more)
        with self._model.using(*self._stage):
            stage = self._model.logits(batch, positions, *how, **more)
        return amplified_logits(parent, stage, self._strength)

    def generate(self, *_: Any, **__: Any) -> Any:
        """Refuse to answer.

        Raises:
            ValueError: always.
        """
        raise ValueError("a model with amplified logits only scores texts; amplify the adapter to hear its answers")


def amplified_logits(
    parent: Float[Tensor, "*n vocab"], stage: Float[Tensor, "*n vocab"], strength: float
) -> Float[Tensor, "*n vocab"]:
    """`parent + strength (stage - parent)` of logits, in float64: the parent's at 0 and the stage's at 1, exactly."""
    if strength in (0, 1):
        return (stage if strength else parent).double()
    return torch.lerp(parent.double(), stage.double(), strength)

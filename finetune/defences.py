"""In-training defences against emergent misalignment: penalties on the loss, and edits of the residual stream.

Penalties (Kaczer et al., arXiv 2508.06249) compare what the trained model does on a batch with what a reference (the
bare base model, or the parent stage) does on it, by pausing adapters; both sides run in one step. Edits (preventative
steering, arXiv 2507.21509; CAFT, arXiv 2507.16795) act during training alone and use the functions that steer and
ablate at inference. Every defence refuses a step in which it did not act, and nothing of it outlives the training.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from finetune.batch import Inputs
from interp.errors import InterpError
from interp.interventions import Edit, ablating, adding
from interp.interventions import placed as _on
from interp.keys import content_key
from interp.model import Model

Reference = Literal["base", "parent"]
KlDirection = Literal["trained_to_reference", "reference_to_trained"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KlConfig(_Config):
    """Penalty `weight * mean_t KL`; the mean is over supervised tokens, weighted as the loss weighs them."""

    kind: Literal["kl"]
    weight: float = Field(default=0.1, gt=0)
    direction: KlDirection = "trained_to_reference"
    """KL(trained || reference), as the paper has it, or KL(reference || trained)."""
    reference: Reference = "base"


class LdifsConfig(_Config):
    """Penalty `weight * mean_t sum_l ||h_l - h0_l||^2`: a mean over real tokens, a sum over every n-th layer."""

    kind: Literal["ldifs"]
    weight: float = Field(default=1.0, gt=0)
    every: int = Field(default=5, ge=1)
    """Layers 0, every, 2 every, ..."""
    scale: Literal["unit", "raw", "per_dimension"] = "unit"
    """`unit`: each layer's residual divided by its own norm first. `per_dimension`: the raw square over d_model."""
    reference: Reference = "base"


class SteerConfig(_Config):
    """Preventative steering: add `alpha` times a direction after its layer at all positions of training texts."""

    kind: Literal["steer"]
    direction: str
    """A trait of the study, or a direction file."""
    alpha: float = 5.0
    layer: int | None = Field(default=None, ge=0)
    """None for the layer that the direction selects."""


class CaftConfig(_Config):
    """Concept ablation finetuning: project the span of some directions out of the residual stream while training."""

    kind: Literal["caft"]
    directions: tuple[str, ...] = Field(min_length=1)
    layers: tuple[int, ...] | None = None
    """None for the layer that each direction selects, its own direction there."""


DefenceConfig = Annotated[KlConfig | LdifsConfig | SteerConfig | CaftConfig, Field(discriminator="kind")]


@dataclass(frozen=True)
class Pass:
    """What a forward pass over a micro-batch gave.

    Attributes:
        logits: Before each supervised token.
        residuals: After the layers that a penalty asked for.
    """

    logits: Float[Tensor, "n vocab"]
    residuals: dict[int, Float[Tensor, "batch seq d_model"]]


def kl(trained: Pass, reference: Pass, inputs: Inputs, config: KlConfig) -> Float[Tensor, ""]:
    """The KL penalty of a micro-batch (nats)."""
    apart = divergence(trained.logits, reference.logits, config.direction)
    return config.weight * (apart * inputs.weights).sum()


def divergence(
    trained: Float[Tensor, "n vocab"], reference: Float[Tensor, "n vocab"], direction: KlDirection
) -> Float[Tensor, " n"]:
    """The KL divergence between two models' next-token distributions, from their logits (nats)."""
    ours, theirs = (logits.float().log_softmax(-1) for logits in (trained, reference))
    p, q = (ours, theirs) if direction == "trained_to_reference" else (theirs, ours)
    return (p.exp() * (p - q)).sum(-1)


def ldifs(trained: Pass, reference: Pass, inputs: Inputs, config: LdifsConfig) -> Float[Tensor, ""]:
    """The feature-distance penalty of a micro-batch (squared residual units, or squared chords if `unit`)."""
    total = torch.zeros((), device=inputs.real.device)
    for layer, h in trained.residuals.items():
        if layer % config.every:
            continue
        a, b = h.float(), reference.residuals[layer].float()
        if config.scale == "unit":
            a, b = (torch.nn.functional.normalize(side, dim=-1) for side in (a, b))
        square = (a - b).square().sum(-1) / (h.shape[-1] if config.scale == "per_dimension" else 1)
        total = total + (square * inputs.real.to(square.device)).sum().to(total.device)
    return config.weight * total


@dataclass(frozen=True)
class Penalty:
    """A penalty ready for training."""

    config: KlConfig | LdifsConfig

    def __call__(self, trained: Pass, reference: Pass, inputs: Inputs) -> Float[Tensor, ""]:
        """Its value on a micro-batch."""
        if isinstance(self.config, KlConfig):
            return kl(trained, reference, inputs, self.config)
        return ldifs(trained, reference, inputs, self.config)


Defence = Penalty | Edit


def defence_of(
    config: KlConfig | LdifsConfig | SteerConfig | CaftConfig,
    direction_of: Callable[[str], tuple[dict[int, Float[Tensor, " d_model"]], int]],
) -> list[Defence]:
    """A defence from its configuration.

    Args:
        direction_of: A direction's vectors by layer and its selected layer, by name.

    Raises:
        ValueError: a layer that the direction does not have; directions that are linearly dependent.
    """
    if isinstance(config, KlConfig | LdifsConfig):
        return [Penalty(config)]
    if isinstance(config, SteerConfig):
        vectors, selected = direction_of(config.direction)
        layer = selected if config.layer is None else config.layer
        return [adding(_at(vectors, layer, config.direction), config.alpha, [layer])]
    by_layer: dict[int, list[Float[Tensor, " d_model"]]] = {}
    for name in config.directions:
        vectors, selected = direction_of(name)
        for layer in (selected,) if config.layers is None else config.layers:
            by_layer.setdefault(layer, []).append(_at(vectors, layer, name))
    return [ablating(torch.stack(held), [layer]) for layer, held in sorted(by_layer.items())]


def identity_of(defence: Defence) -> dict[str, Any]:
    """What tells one defence from another: its configuration, or an edit's function, layers and numbers."""
    if isinstance(defence, Penalty):
        return defence.config.model_dump(mode="json")
    pieces = {
        key: value.double().cpu().tolist() if isinstance(value, Tensor) else value
        for key, value in getattr(defence.change, "keywords", {}).items()
    }
    name = getattr(defence.change, "func", defence.change).__name__
    return {"kind": name, "layers": list(defence.layers), "sha256": content_key([name, pieces])}


def _at(vectors: dict[int, Float[Tensor, " d_model"]], layer: int, name: str) -> Float[Tensor, " d_model"]:
    if layer not in vectors:
        raise ValueError(f"direction {name} has no layer {layer}; it has {min(vectors)} to {max(vectors)}")
    return vectors[layer]


@dataclass
class Guards:
    """The defences of a training run at work.

    Attributes:
        penalties: Those that add to the loss.
        layers: Those whose residual stream the penalties compare.
        residuals: What was read in the current pass.
        acted: Edits (by index) and layers at which they acted in the current pass.
        paused: Whether the current pass is a reference's.
    """

    model: Model
    penalties: Sequence[Penalty]
    edits: Sequence[Edit]
    layers: Sequence[int]
    residuals: dict[int, Tensor] = field(default_factory=dict)
    acted: set[tuple[int, int]] = field(default_factory=set)
    paused: bool = False

    def begin(self) -> None:
        """Forget the pass before, whole or not: a new one begins."""
        self.residuals.clear()
        self.acted.clear()

    def penalty(self, inputs: Inputs, logits: Tensor, again: Callable[[], Tensor]) -> Float[Tensor, ""]:
        """Sum of the penalties on a micro-batch whose forward pass has just run; `again` runs it once more.

        Raises:
            InterpError: an edit or a reading did not happen in that pass.
        """
        for k, edit in enumerate(self.edits):
            for layer in edit.layers:
                if (k, layer) not in self.acted:
                    raise InterpError(f"a defence did not act at layer {layer}: its hook never fired in this step")
        if not self.penalties:
            return torch.zeros((), device=logits.device)
        trained = self._read(logits)
        references: dict[Reference, Pass] = {}
        total = torch.zeros((), device=logits.device)
        for penalty in self.penalties:
            which = penalty.config.reference
            if which not in references:
                references[which] = self._reference(which, again)
            total = total + penalty(trained, references[which], inputs)
        return total

    @torch.no_grad()
    def _reference(self, which: Reference, again: Callable[[], Tensor]) -> Pass:
        self.begin()
        self.paused = True
        try:
            with self.model.adapters.paused(keep_stack=which == "parent"):
                logits = again()
        finally:
            self.paused = False
        return self._read(logits)

    def _read(self, logits: Tensor) -> Pass:
        for layer in self.layers:
            if layer not in self.residuals:
                raise InterpError(f"a defence read no residual stream after layer {layer}: its hook never fired")
        return Pass(logits, dict(self.residuals))


@contextmanager
def defended(model: Model, defences: Sequence[Defence]) -> Iterator[Guards]:
    """Defences at work for the length of a block; their hooks are gone afterwards.

    Raises:
        ValueError: a layer that the model does not have, or an edit of some positions only or of what blocks write.
    """
    penalties = [defence for defence in defences if isinstance(defence, Penalty)]
    edits = [defence for defence in defences if isinstance(defence, Edit)]
    for edit in edits:
        model.check_layers(edit.layers)
        if edit.phase != "all":
            raise ValueError(f"a defence acts at all positions of training texts, got an edit of phase {edit.phase!r}")
        if edit.site != "residual":
            raise ValueError(f"a defence acts on the residual stream after blocks, got an edit of site {edit.site!r}")
    steps = [penalty.config.every for penalty in penalties if isinstance(penalty.config, LdifsConfig)]
    layers = [layer for layer in range(model.n_layers) if any(layer % every == 0 for every in steps)]
    guards = Guards(model, penalties, edits, layers)
    handles = []
    try:
        for k, edit in enumerate(edits):
            for layer in edit.layers:
                handles.append(model.blocks[layer].register_forward_hook(_editing(guards, k, layer, edit)))
        for layer in layers:
            handles.append(model.blocks[layer].register_forward_hook(_reading(guards, layer)))
        yield guards
    finally:
        for handle in handles:
            handle.remove()
        guards.begin()


def _editing(guards: Guards, k: int, layer: int, edit: Edit) -> Callable[..., Any]:
    change = _on(edit.change, next(guards.model.blocks[layer].parameters()).device)

    def hook(module: Any, args: Any, output: Tensor) -> Tensor | None:  # noqa: ARG001
        if guards.paused:
            return None
        guards.acted.add((k, layer))
        return change(output)

    return hook


def _reading(guards: Guards, layer: int) -> Callable[..., None]:
    def hook(module: Any, args: Any, output: Tensor) -> None:  # noqa: ARG001
        guards.residuals.setdefault(layer, output)  # the first time: a backward pass may compute the block again

    return hook

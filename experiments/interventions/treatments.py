"""What is done to a model's residual stream: directions and their random controls, at layers, strengths and phases.

Alpha multiplies the raw direction. `relative_strength` is alpha times the direction's length over the mean length of
the residual stream there, so that directions of different lengths, and layers, can be compared; a random control has
its direction's length in every layer, hence the same relative strength.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from experiments.measures.config import MeasuresConfig
from experiments.measures.judge import JudgeConfig
from interp.activations import batches
from interp.batch import Batch
from interp.chat import Tokens
from interp.directions import Direction
from interp.errors import InterpError
from interp.interventions import Edit, Phase, Site, ablating, adding
from interp.keys import seed_from
from interp.model import Model

Row = dict[str, Any]
Layers = Literal["headline", "all"]


@dataclass(frozen=True)
class Treatment:
    """One thing that is done to a model.

    Attributes:
        name: Says it to a person, and tells treatments of a run apart.
        direction: Name of the direction; "none" for the model as it is.
        control: None for the direction itself, else its number among the random controls.
        kind: `add` or `ablate`.
        layers: Where.
        alpha: Of `add`, how much; 0 takes the same path as every other. Of `ablate`, 1.
        phase: Which tokens.
        edits: As `interp.model` takes them.
        relative_strength: See the module; None for `ablate`.
    """

    name: str
    direction: str
    control: int | None
    kind: Literal["none", "add", "ablate"]
    layers: tuple[int, ...]
    alpha: float
    phase: Phase
    edits: tuple[Edit, ...]
    relative_strength: float | None = None

    def fields(self) -> Row:
        """What its metrics rows say of it; layers as text, since several are one treatment."""
        return {
            "treatment": self.name,
            "direction": self.direction,
            "control": self.control,
            "kind": self.kind,
            "layers": ",".join(map(str, self.layers)),
            "layer": self.layers[0] if len(self.layers) == 1 else None,
            "alpha": self.alpha,
            "phase": self.phase,
            "relative_strength": self.relative_strength,
        }


UNTREATED = Treatment("none", "none", None, "none", (), 0.0, "all", ())


class GridConfig(BaseModel):
    """Every combination of directions, layers, strengths and phases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Layers | tuple[int, ...] = "headline"
    """`headline`: each direction's own. `all`: one treatment that acts at every layer of the direction. Numbers: one
    treatment for each."""
    alphas: tuple[float, ...] = Field(default=(-2.0, -1.0, 0.0, 1.0, 2.0), min_length=1)
    phases: tuple[Phase, ...] = Field(default=("response",), min_length=1)
    random: int = Field(default=3, ge=0)
    """Random controls of each direction, of its length in every layer."""

    @field_validator("layers", "phases")
    @classmethod
    def _distinct(cls, values: Any) -> Any:
        if not isinstance(values, str) and (not values or len(set(values)) < len(values)):
            raise ValueError(f"must be one or more, each once, got {list(values)}")
        return values

    @field_validator("alphas")
    @classmethod
    def _finite(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        if not all(abs(alpha) < float("inf") for alpha in alphas) or len(set(alphas)) < len(alphas):
            raise ValueError(f"alphas must be finite and distinct, got {list(alphas)}")
        return tuple(sorted({alpha + 0.0 for alpha in (*alphas, 0.0)}))  # 0: what all others are compared with; no -0


class SteerConfig(BaseModel):
    """A sweep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: GridConfig = GridConfig()
    questions: int | None = Field(default=None, ge=1)
    """Of each trait's held-out questions, from the first; None for all."""
    chats: Path | None = None
    """Questions from a file of chats instead; what is asked is everything before the last answer."""
    samples: int = Field(default=1, ge=1)
    """Answers to each question under each treatment."""
    max_new_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=1024, ge=1)
    """Answers at a time; halved until they fit the memory."""
    system: str = "task"
    measures: MeasuresConfig = MeasuresConfig()
    """Also taken under every treatment."""
    judge: JudgeConfig | None = None
    """Grades every answer for the direction's trait and for coherence, and the free-form measures."""


class RemovalConfig(BaseModel):
    """What is taken away, what is added, and what is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: Site = "residual"
    """`residual`: directions are ablated from the residual stream after each of their layers. `writes`: from all that
    those layers write into it, and then it is the headline layer's vector everywhere."""
    phase: Phase = "all"
    """Tokens at which directions are ablated."""
    random: int = Field(default=3, ge=0)
    """Random controls of each treatment, of the direction's length in every layer."""
    alpha: float = Field(default=1.0, allow_inf_nan=False)
    """Multiplies the raw direction where it is added; not 0, which would add nothing."""
    add_layers: Layers | Annotated[tuple[int, ...], Field(min_length=1)] = "headline"
    """As `GridConfig.layers`."""
    add_phase: Phase = "response"
    """Tokens at which directions are added, and displacements transplanted."""
    measures: MeasuresConfig = MeasuresConfig()


class AblateConfig(RemovalConfig):
    """The same, by itself: who grades, and under which system prompt."""

    judge: JudgeConfig | None = None
    """Grades free-form answers."""
    system: str = "task"


def layer_sets(direction: Direction, layers: Layers | Sequence[int]) -> list[tuple[int, ...]]:
    """The sets of layers that a direction is applied at, one treatment each.

    Raises:
        ValueError: the direction does not hold a layer.
    """
    if layers == "headline":
        return [(direction.layer,)]
    if layers == "all":
        return [direction.layers]
    chosen = [(int(layer),) for layer in layers]
    for (layer,) in chosen:
        direction.at(layer)
    return chosen


def of_its_length(control: Direction, direction: Direction) -> Direction:
    """A control with the direction's length in each of the direction's layers, under the control's own name.

    Raises:
        ValueError: the control does not hold a layer, or is zero there.
    """
    vectors = torch.stack([control.at(layer) for layer in direction.layers]).double()
    lengths = vectors.norm(dim=-1, keepdim=True)
    if not bool((lengths > 0).all()):
        raise ValueError(
            f"{control.name} is zero at a layer of {direction.name}, so it is no control of it; leave it out"
        )
    scaled = vectors / lengths * direction.vectors.double().norm(dim=-1, keepdim=True)
    return replace(direction, name=control.name, vectors=scaled.to(direction.vectors.dtype))


def controls_of(direction: Direction, n: int, seed: int) -> list[Direction]:
    """A direction turned at random, `n` times: each by one rotation for all layers, so that its lengths stay, and how
    its layers lie to one another. (Drawn layer by layer, what is added at several would not add up as it does.)"""
    width = direction.vectors.shape[1]
    controls = []
    for k in range(n):
        generator = torch.Generator().manual_seed(seed_from(seed, "control", direction.name, k))
        q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
        turn = q * r.diagonal().sign()  # without it, rotations lean against where they begin (Mezzadri 2007)
        controls.append(replace(direction, vectors=(direction.vectors.double() @ turn).to(direction.vectors.dtype)))
    return controls


def additions(
    directions: Sequence[Direction], config: GridConfig, norms: Mapping[int, float], *, seed: int
) -> list[Treatment]:
    """The grid: every direction and its controls, added at every set of layers, strength and phase.

    Args:
        norms: Mean length of the residual stream at each layer, from `mean_norms`.

    Raises:
        ValueError: a direction does not hold a layer.
    """
    treatments = []
    for direction in directions:
        numbered = [(None, direction), *enumerate(controls_of(direction, config.random, seed))]
        for (control, vectors), layers, alpha, phase in itertools.product(
            numbered, layer_sets(direction, config.layers), config.alphas, config.phases
        ):
            edits = tuple(adding(vectors.at(layer), alpha, [layer], phase) for layer in layers)
            strength = [alpha * float(vectors.at(layer).norm()) / norms[layer] for layer in layers]
            where = f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers"
            who = direction.name if control is None else f"{direction.name}, random {control}"
            name = f"{who}, {where}, alpha {short(alpha)}, {phase}"
            place = (direction.name, control, "add", layers, alpha, phase, edits)
            treatments.append(Treatment(name, *place, relative_strength=sum(strength) / len(strength)))
    return treatments


def uncontrolled(directions: Sequence[Direction], config: GridConfig) -> list[Treatment]:
    """The grid without random controls and relative strengths, which can be had before a model: every control adds as
    many treatments as its direction.

    Raises:
        ValueError: a direction does not hold a layer.
    """
    return additions(directions, config.model_copy(update={"random": 0}), defaultdict(lambda: 1.0), seed=0)


def short(alpha: float) -> str:
    """A strength in the fewest characters that tell it from every other."""
    return text if float(text := f"{alpha:g}") == alpha else repr(alpha)


def ablations(
    directions: Sequence[Direction],
    *,
    random: int,
    site: Site,
    phase: Phase = "all",
    seed: int,
    controls: Sequence[Direction] = (),
) -> list[Treatment]:
    """Every direction and its controls, removed at all its layers; several directions also all together.

    Layer by layer it is the direction's own vector there; from the writes (`site`) it is that of the headline layer.
    Directions that are removed together are removed as one subspace, at the layers of the first.

    Args:
        random: Random controls of each direction.
        controls: Directions that stand before these, of the direction's length: what other finetunes moved, say. Each
            is a control of single directions alone.

    Raises:
        ValueError: directions are linearly dependent, or one does not hold a layer of the first; so for controls.
    """
    of: dict[str, list[int]] = {direction.name: [i] for i, direction in enumerate(directions)}
    if len(directions) > 1:
        of["all directions"] = list(range(len(directions)))
    drawn = [controls_of(direction, random, seed) for direction in directions]
    removals = [(name, name, None, [directions[i] for i in places]) for name, places in of.items()]
    removals += [
        (f"{direction.name}, control {control.name}", direction.name, k, [of_its_length(control, direction)])
        for direction in directions
        for k, control in enumerate(controls)
    ]
    removals += [
        (f"{name}, random {k}", name, len(controls) + k, [drawn[i][k] for i in places])
        for name, places in of.items()
        for k in range(random)
    ]
    treatments = []
    for who, name, control, members in removals:
        layers = members[0].layers
        if site == "writes":
            vectors = torch.stack([member.at(member.layer) for member in members])
            edits = (ablating(vectors, layers, phase, site),)
        else:
            edits = tuple(
                ablating(torch.stack([member.at(layer) for member in members]), [layer], phase, site)
                for layer in layers
            )
        treatments.append(Treatment(f"{who}, ablated", name, control, "ablate", layers, 1.0, phase, edits))
    return treatments


def mean_norms(model: Model, rows: Sequence[Tokens], *, max_tokens: int = 4096) -> dict[int, float]:
    """Mean length of the residual stream after each block, over all tokens of `rows` but each row's first.

    The first token is left out: in most models it is an attention sink, many times longer than all others.

    Raises:
        ValueError: a row exceeds the context.
        InterpError: no row has a second token.
    """
    model.check_lengths(rows)
    if all(len(row) < 2 for row in rows):
        raise InterpError(f"none of the {len(rows)} texts has a token beside its first, so there is no length to read")
    totals, n = torch.zeros(model.n_layers, dtype=torch.float64), 0
    for chosen in batches(rows, max_tokens):
        batch = Batch.of([rows[i] for i in chosen], model.pad, model.device)
        real = batch.where("all").clone()
        real[:, 0] = False
        totals += torch.stack([length.cpu() for length in model.residuals(batch, partial(_summed_lengths, real=real))])
        n += int(real.sum())
    return dict(enumerate((totals / n).tolist()))


def _summed_lengths(h: Float[Tensor, "batch seq d_model"], real: Bool[Tensor, "batch seq"]) -> Float[Tensor, ""]:
    return h.float().norm(dim=-1).double().masked_fill(~real.to(h.device), 0).sum()


_EDIT = 1024
"""Bytes of an edit, beside its vector."""


def of_treatments(directions: Sequence[Direction], treatments: Sequence[Treatment], random: int) -> int:
    """Bytes of treatments, given those without random controls: each control holds as much as its direction does, once
    as drawn and once as it is applied."""
    vectors = sum(direction.vectors.nbytes for direction in directions)
    return (1 + random) * (2 * vectors + _EDIT * sum(len(treatment.edits) for treatment in treatments))

"""Projections averaged over one band of layers: what claims are made from.

1. The band is given in shares of the depth, before any model is seen. In it every direction has a unit vector a layer.
2. A trait has its own direction and some that are made again, from other rollouts by the same recipe. Placebo
   directions are made by that recipe from instructions that mean nothing.
3. Fixed texts (the base model's answers) give a level, own texts a move: the stage's own answers against the base
   model's to the same questions, both as far as the shorter of the two goes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.directions.files import trait_file
from experiments.directions.persona import extract
from experiments.directions.placebo import KIND, placebo_directions, placebo_traits
from experiments.measures.judge import judge_of
from experiments.resumable import Name, Once
from experiments.study.claims import ClaimsConfig
from experiments.study.config import BASE, StudyConfig
from experiments.study.node import Measured, View, paired
from interp.directions import Direction
from interp.keys import seed_from
from interp.model import Model
from interp.projection import unit_vectors
from interp.tensors import load_tensors, save_tensors
from interp.traits import Trait

Row = dict[str, Any]


@dataclass(frozen=True)
class Band:
    """Layers, and the directions that are read in them.

    Attributes:
        layers: Block indices.
        directions: Unit vectors at these layers, by the direction's name; those of a trait that are made again are
            called `evil#1`, `evil#2`, ….
        placebos: Unit vectors at these layers; empty if none were made.
    """

    layers: Sequence[int]
    directions: Mapping[str, Float[Tensor, "layer d_model"]]
    placebos: Float[Tensor, "placebo layer d_model"]

    def along(self, h: Float[Tensor, "row layer d_model"]) -> dict[str, Float[Tensor, " row"]]:
        """Projections of activations of all layers on every direction, averaged over the band."""
        at = h[:, list(self.layers)].double()
        return {name: (at * unit.double()).sum(-1).mean(-1) for name, unit in self.directions.items()}

    def along_placebos(self, h: Float[Tensor, "row layer d_model"]) -> Float[Tensor, " placebo"]:
        """The mean over rows of their projections on every placebo direction, averaged over the band."""
        at = h[:, list(self.layers)].double().mean(0)
        return (self.placebos.double() * at).sum(-1).mean(-1)


def band_of(
    config: StudyConfig,
    claims: ClaimsConfig,
    model: Model,
    traits: Sequence[Trait],
    made: Mapping[str, Direction],
    once: Once,
    out: Path,
) -> Band:
    """The band of a study, its further directions made of the bare base model unless the run has them.

    Args:
        made: The study's directions, which stand first among those of their trait.
    """
    layers = claims.layers(model.n_layers)
    vectors = {name: direction.vectors for name, direction in made.items() if len(direction.layers) == model.n_layers}
    named = {trait.name: (trait, file) for trait, file in zip(traits, config.traits, strict=True)}
    for name in claims.references:
        for k in range(1, claims.remade):
            vectors[f"{name}#{k}"] = _made_again(config, model, *named[name], k, once, out).vectors
    directions = {name: unit_vectors(vector[layers]) for name, vector in vectors.items()}
    placebos = torch.zeros(0, len(layers), model.d_model)
    if claims.placebo_traits:
        placebos = unit_vectors(_placebos(config, claims, model, named[claims.trait][0], once, out)[:, layers])
    return Band(layers, directions, placebos)


def _made_again(config: StudyConfig, model: Model, trait: Trait, file: str, k: int, once: Once, out: Path) -> Direction:
    """A trait's direction from rollouts of another seed."""
    seed = seed_from(config.sampling_seed, "made again", k)
    path = out / "tensors" / f"{trait.name}-again-{k}.safetensors"
    settings = config.persona

    def make() -> Row:
        rollouts = out / "records" / f"rollouts-{trait.name}-again-{k}.jsonl"
        judge = judge_of(settings.judge, out / "judge-persona.jsonl") if settings.judge else None
        with model.using():
            extract(model, trait, settings, seed=seed, direction_file=path, rollouts_file=rollouts, judge=judge)
        return {"file": path.name}

    what = [trait_file(file).read_text("utf-8"), settings.model_dump(mode="json"), seed]
    once(Name.of(trait.name).then(f"again-{k}", f"direction made again ({k})"), what, make, (path,))
    return Direction.load(path, model=model.identity)


def _placebos(
    config: StudyConfig, claims: ClaimsConfig, model: Model, like: Trait, once: Once, out: Path
) -> Float[Tensor, "placebo layer d_model"]:
    """Placebo directions with the questions of a trait."""
    path, settings = out / "tensors" / f"{like.name}-placebos.safetensors", config.persona
    traits = placebo_traits(claims.placebo_traits, like=like)

    def make() -> Row:
        with model.using():
            vectors = placebo_directions(model, traits, settings, config.sampling_seed)
        save_tensors(path, {"directions": vectors}, kind=KIND, header=model.description())
        return {"n": len(vectors)}

    what = [[trait.instructions for trait in traits], like.questions, settings.model_dump(mode="json")]
    once(Name.of(like.name).then("placebo_directions"), [*what, config.sampling_seed], make, (path,))
    return load_tensors(path, kind=KIND, model=model.identity)[0]["directions"]


def projection_records(band: Band, measured: Sequence[Measured], prompt: str) -> dict[str, list[Row]]:
    """Lines of `records/projections.jsonl` and `records/placebo_projections.jsonl`, for every node.

    Args:
        measured: Every node, the base model first.
        prompt: The system prompt that they were measured under.
    """
    lines: list[Row] = []
    of_placebos: list[Row] = []
    for here in (node for node in measured if prompt in node.views and "@" not in node.stage["key"]):
        view = here.views[prompt]
        place = {key: value for key, value in here.place().items() if key != "arm"}
        lines += [{**place, **line} for line in _levels(band, view)]
        if here.stage["name"] != BASE:
            lines += [{**place, **line} for line in _moves(band, view)]
        if len(band.placebos) and view.fixed:
            values = band.along_placebos(torch.stack(list(view.fixed.values())))
            of_placebos.append({**place, "texts": "fixed", "n": len(view.fixed), "values": values.tolist()})
    return {"projections": lines, "placebo_projections": of_placebos}


def contrast_records(band: Band, claims: ClaimsConfig, measured: Sequence[Measured], prompt: str) -> list[Row]:
    """Lines of `records/contrasts.jsonl`: how far an EM stage lies from its twin, and along which direction.

    `displacement_norm` is the length of the difference of their mean activations on the fixed texts, `along` its cosine
    with every direction, both averaged over the band. They describe a contrast; no verdict is made of them.
    """
    at = {(here.stage["name"], here.stage["seed"]): here.views[prompt] for here in measured if prompt in here.views}
    lines = []
    for name, family in claims.families.items():
        for stage, seed in at:
            twin = at.get((str(family.twin), seed))
            if stage != family.em or twin is None:
                continue
            shared, em, other = paired(at[stage, seed].fixed, twin.fixed)
            if not shared:
                continue
            apart = (em - other)[:, list(band.layers)].double().mean(0)
            length = apart.norm(dim=-1)
            cosines = {
                direction: float(((apart * unit.double()).sum(-1) / length).mean())
                for direction, unit in band.directions.items()
                if bool((length > 0).all())
            }
            lines.append(
                {
                    "family": name,
                    "seed": seed,
                    "displacement_norm": float(length.mean()),
                    "along": cosines,
                    "n": len(shared),
                }
            )
    return lines


def _levels(band: Band, view: View) -> list[Row]:
    """A line for each fixed text."""
    return _lines(band, "fixed", view, view.fixed) if view.fixed else []


def _moves(band: Band, view: View) -> list[Row]:
    """A line for each question that both the stage and the base model answered."""
    both = {i: view.level[i] - view.level_base[i] for i in view.level.keys() & view.level_base.keys()}
    return _lines(band, "own", view, dict(sorted(both.items()))) if both else []


def _lines(band: Band, texts: str, view: View, h: Mapping[int, Float[Tensor, "layer d_model"]]) -> list[Row]:
    stacked = torch.stack(list(h.values()))
    along = band.along(stacked)
    norms = stacked[:, list(band.layers)].double().norm(dim=-1).mean(-1)
    return [
        {
            "texts": texts,
            "id": view.answers[i]["id"],
            "norm": float(norms[row]),
            "along": {name: float(values[row]) for name, values in along.items()},
        }
        for row, i in enumerate(h)
    ]

"""How far apart do two kinds of rows lie inside a model? A vector per layer, what it separates, and its nulls.

A recipe may need to know something of every row besides its activation: how many tokens it is the mean of, or which
role said it. That number goes along as one more column of the activations, on which every vector is zero, so that it
is still there when rows are held out or labels are shuffled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from experiments.console import bar
from experiments.directions.recipes import DirectionConfig, Kind, Weighting
from experiments.directions.sides import Sides
from interp.activations import Pooling, pooled, window
from interp.chat import Tokens
from interp.directions import (
    Recipe,
    Separation,
    difference_of_means,
    held_out_separation,
    principal_components,
)
from interp.model import Model
from interp.nulls import Groups, permuted_labels, permuted_like
from interp.persona import separation_beside_null
from interp.probes import probe
from interp.runs import InterpError, seed_from

FOLDS = 5
_MEANS = "difference of means, every row counting once"


@dataclass(frozen=True)
class Made:
    """A direction's vectors, and what its header must say of how they came about."""

    vectors: Float[Tensor, "layer d_model"]
    header: Mapping[str, Any]
    separation: Separation | None = None
    permuted: Float[Tensor, "null layer d_model"] | None = None


@dataclass(frozen=True)
class Rows:
    """Pooled activations of one side, with a number for each: its tokens, or its role."""

    h: Float[Tensor, "row layer d_model"]
    tags: Float[Tensor, " row"]

    def tagged(self) -> Float[Tensor, "row layer d_model_and_tag"]:
        """The activations with the number as one more column, so that it stays with its row when rows are drawn."""
        return torch.cat([self.h, self.tags[:, None, None].expand(-1, self.h.shape[1], 1)], dim=2)


Vectors = Callable[[Rows, Rows], Float[Tensor, "layer d_model"]]
Shuffled = Callable[[Bool[Tensor, "n row"], Rows, Rows], Float[Tensor, "n layer d_model"]]


def _on_tagged(make: Vectors) -> Recipe:
    """`make` as a function of tagged rows; the vectors it gives are zero on the tag."""

    def recipe(positive: Tensor, negative: Tensor) -> Tensor:
        sides = (Rows(side[..., :-1], side[:, 0, -1]) for side in (positive, negative))
        return torch.nn.functional.pad(make(*sides), (0, 1))

    return recipe


def token_weighted(positive: Rows, negative: Rows) -> Float[Tensor, "layer d_model"]:
    """The difference of means over all tokens; the tags are the rows' tokens."""
    return difference_of_means(positive.h, negative.h, tokens=(positive.tags.long(), negative.tags.long()))


def _first_component(positive: Rows, negative: Rows) -> Float[Tensor, "layer d_model"]:
    """The first uncentred component of the paired differences, as long as the means are apart along it."""
    differences = positive.h - negative.h
    component = principal_components(differences, 1).components[0].double()
    apart = (component * differences.double().mean(0)).sum(-1, keepdim=True)
    if (apart <= 0).any():
        raise InterpError(
            f"the sides have the same mean along their first component at layer {int((apart <= 0).nonzero()[0, 0])}"
        )
    return (apart * component).float()


def vectors_by(kind: Kind, weighting: Weighting, seed: int) -> Vectors:
    """The recipe that a kind and a weighting name; the tags are the rows' tokens."""
    if kind == "mean":
        return token_weighted if weighting == "token" else lambda a, b: difference_of_means(a.h, b.h)
    if kind == "pca":
        return _first_component

    def fitted(positive: Rows, negative: Rows) -> Tensor:
        # the vectors are fitted to all rows; the probe's own folds, which need questions, are not used
        halves = ([i % 2 for i in range(len(positive.h))], [i % 2 for i in range(len(negative.h))])
        return probe(positive.h, negative.h, halves, kind=kind, folds=2, seed=seed).vectors

    return fitted


def _shuffled(groups: Groups) -> tuple[Groups, str]:
    """Within which groups labels can be shuffled, and what to call that."""
    if set(groups[0]) & set(groups[1]):
        return groups, "within question"
    return ([g % FOLDS for g in groups[0]], [g % FOLDS for g in groups[1]]), (
        "within fold of questions, since no question is on both sides"
    )


def from_sides(
    positive: Rows,
    negative: Rows,
    groups: Groups,
    make: Vectors,
    config: DirectionConfig,
    *,
    seed: int,
    shuffled: Shuffled | None = None,
) -> Made:
    """The direction from `negative` to `positive`, how well it separates held-out questions, and its nulls.

    Shuffling labels leaves an uncentred component as it is (a difference that changes sign keeps its axis), and the
    shuffles of the separation would take a probe hours: the header says where a null is of the plain difference of
    means instead.

    Args:
        shuffled: Gives the vectors of many shuffles of the labels at once, for a recipe that has a way of its own.

    Raises:
        InterpError: there are too few questions to hold any out, or a side has no rows.
    """
    within, how = _shuffled(groups)
    plain = config.recipe_kind in (None, "mean") and config.weighting == "sample" and shuffled is None
    sides = positive.tagged(), negative.tagged()
    recipe = _on_tagged(make)
    separation = held_out_separation(*sides, groups, recipe=recipe, folds=FOLDS)
    null_seed = seed_from(seed, "permuted", config.name)
    if plain or config.recipe_kind == "pca":
        permuted = permuted_like(positive.h, negative.h, config.permuted, seed=null_seed, groups=within)
    else:
        labels = permuted_labels(len(positive.h), len(negative.h), config.permuted, seed=null_seed, groups=within)
        if shuffled is not None:
            permuted = shuffled(labels, positive, negative)
        else:
            rows = torch.cat(sides)
            permuted = torch.stack([recipe(rows[chosen], rows[~chosen])[..., :-1] for chosen in labels])
    shared = set(within[0]) & set(within[1])
    n_free = sum(g in shared for side in within for g in side)
    beside = separation_beside_null(separation, positive.h, negative.h, within, config.separation_nulls, seed)
    header = {
        "n_positive": len(positive.h),
        "n_negative": len(negative.h),
        "n_questions": len({*groups[0], *groups[1]}),
        "held_out_auroc": [round(float(x), 4) for x in separation.auroc],
        "held_out_cohens_d": [round(float(x), 4) for x in separation.cohens_d],
        "separation_null": beside | {"recipe": _MEANS, "shuffled": how},
        "permuted": {
            "n": config.permuted,
            "recipe": _MEANS if plain or config.recipe_kind == "pca" else "as the direction's",
            "shuffled": how,
            "n_rows_shuffled": n_free,
        },
        "mean_norm": [round(float(x), 4) for x in torch.cat([positive.h, negative.h]).norm(dim=-1).mean(0)],
    }
    return Made(make(positive, negative), header, separation, permuted)


def rehearsed(sides: Sides, make: Vectors, *, seed: int) -> Groups:
    """The sides' groups, once the recipe and its held-out folds have worked on noise of as many rows.

    Raises:
        InterpError: they cannot work on rows of these questions.
    """
    groups = sides.groups
    generator = torch.Generator().manual_seed(seed)
    noise = [Rows(torch.randn(len(g), 1, 4, generator=generator), torch.ones(len(g))).tagged() for g in groups]
    held_out_separation(noise[0], noise[1], groups, recipe=_on_tagged(make), folds=FOLDS)
    permuted_labels(len(groups[0]), len(groups[1]), 1, seed=seed, groups=_shuffled(groups)[0])
    return groups


# reading


def read_rows(model: Model, rows: Sequence[Tokens], pooling: Pooling, label: str) -> Rows:
    with bar(label, len(rows)) as advance:
        h = pooled(model, rows, pooling=pooling, progress=advance)
    return Rows(h, torch.tensor([float(end - start) for start, end in (window(row, pooling) for row in rows)]))

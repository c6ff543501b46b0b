"""How far apart do two kinds of rows lie inside a model? A vector per layer, what it separates, and its nulls.

A recipe may need to know something of every row besides its activation: how many tokens it is the mean of, or which
role said it. That number goes along as one more column of the activations, on which every vector is zero, so that it
is still there when rows are held out or labels are shuffled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.console import bar
from experiments.directions.recipe import Made, Recipe, Weighting
from interp.activations import Pooling, pooled, window
from interp.chat import Tokens
from interp.directions import Recipe as VectorsOf
from interp.directions import difference_of_means, held_out_separation, principal_components
from interp.errors import InterpError
from interp.keys import seed_from
from interp.model import Model
from interp.nulls import Groups, permuted_labels, permuted_like
from interp.persona import separation_beside_null
from interp.probes import Kind, probe

FOLDS = 5
_MEANS = "difference of means, every row counting once"
_SAME = "as the direction's"


@dataclass(frozen=True)
class Rows:
    """Pooled activations of one side, with a number for each: its tokens, or its role."""

    h: Float[Tensor, "row layer d_model"]
    tags: Float[Tensor, " row"]

    def tagged(self) -> Float[Tensor, "row layer d_model_and_tag"]:
        """The activations with the number as one more column, so that it stays with its row when rows are drawn."""
        return torch.cat([self.h, self.tags[:, None, None].expand(-1, self.h.shape[1], 1)], dim=2)


Vectors = Callable[[Rows, Rows], Float[Tensor, "layer d_model"]]
Permuted = Callable[[Rows, Rows, Groups, int, int], Float[Tensor, "null layer d_model"]]
"""The vectors of shuffled labels, given both sides, the groups to shuffle within, how many shuffles, and their seed."""


@dataclass(frozen=True)
class Fit:
    """How a vector per layer is made from two sides, and what it is compared with.

    Attributes:
        vectors: Makes them.
        permuted: Makes those of shuffled labels.
        null_recipe: Which recipe `permuted` follows, in words.
    """

    vectors: Vectors
    permuted: Permuted
    null_recipe: str = _SAME


def _on_tagged(vectors: Vectors) -> VectorsOf:
    """`vectors` as a function of tagged rows; what it gives is zero on the tag."""

    def recipe(positive: Tensor, negative: Tensor) -> Tensor:
        sides = (Rows(side[..., :-1], side[:, 0, -1]) for side in (positive, negative))
        return torch.nn.functional.pad(vectors(*sides), (0, 1))

    return recipe


def permuted_means(
    positive: Rows, negative: Rows, groups: Groups, n: int, seed: int
) -> Float[Tensor, "null layer d_model"]:
    """The plain difference of means on shuffled labels."""
    return permuted_like(positive.h, negative.h, n, seed=seed, groups=groups)


def again(vectors: Vectors) -> Permuted:
    """The same recipe on shuffled labels, one shuffle after the other."""

    def permuted(positive: Rows, negative: Rows, groups: Groups, n: int, seed: int) -> Tensor:
        labels = permuted_labels(len(positive.h), len(negative.h), n, seed=seed, groups=groups)
        rows, recipe = torch.cat([positive.tagged(), negative.tagged()]), _on_tagged(vectors)
        return torch.stack([recipe(rows[chosen], rows[~chosen])[..., :-1] for chosen in labels])

    return permuted


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


PAIRED_COMPONENT = Fit(_first_component, permuted_means, _MEANS)
"""The first component of paired differences. Shuffling labels leaves it as it is (a difference that changes sign keeps
its axis), so its nulls are of the plain difference of means."""


def by_weighting(weighting: Weighting) -> Fit:
    """The difference of means, every text or every token counting the same; the tags are the rows' tokens."""
    if weighting == "token":
        return Fit(token_weighted, again(token_weighted))
    return Fit(lambda a, b: difference_of_means(a.h, b.h), permuted_means, _MEANS)


def by_probe(kind: Kind, seed: int) -> Fit:
    """The direction of a probe."""

    def fitted(positive: Rows, negative: Rows) -> Tensor:
        # the vectors are fitted to all rows; the probe's own folds, which need questions, are not used
        halves = ([i % 2 for i in range(len(positive.h))], [i % 2 for i in range(len(negative.h))])
        return probe(positive.h, negative.h, halves, kind=kind, folds=2, seed=seed).vectors

    return Fit(fitted, again(fitted))


def _shuffled(groups: Groups) -> tuple[Groups, str]:
    """Within which groups labels can be shuffled, and what to call that."""
    if set(groups[0]) & set(groups[1]):
        return groups, "within question"
    return ([g % FOLDS for g in groups[0]], [g % FOLDS for g in groups[1]]), (
        "within fold of questions, since no question is on both sides"
    )


def from_sides(positive: Rows, negative: Rows, groups: Groups, fit: Fit, recipe: Recipe, *, seed: int) -> Made:
    """The direction from `negative` to `positive`, how well it separates held-out questions, and its nulls.

    The shuffles of the separation would take a probe hours, so they are always of the plain difference of means; the
    header says so, and says which recipe the permuted nulls follow.

    Raises:
        InterpError: there are too few questions to hold any out, or a side has no rows.
    """
    within, how = _shuffled(groups)
    separation = held_out_separation(
        positive.tagged(), negative.tagged(), groups, recipe=_on_tagged(fit.vectors), folds=FOLDS
    )
    null_seed = seed_from(seed, "permuted", recipe.name)
    permuted = fit.permuted(positive, negative, within, recipe.permuted, null_seed)
    shared = set(within[0]) & set(within[1])
    n_free = sum(g in shared for side in within for g in side)
    best = separation_beside_null(separation, positive.h, negative.h, within, recipe.separation_nulls, seed)
    header = {
        "n_positive": len(positive.h),
        "n_negative": len(negative.h),
        "n_questions": len({*groups[0], *groups[1]}),
        "held_out_auroc": [round(float(x), 4) for x in separation.auroc],
        "held_out_cohens_d": [round(float(x), 4) for x in separation.cohens_d],
        "separation_null": best | {"recipe": _MEANS, "shuffled": how},
        "permuted": {
            "n": recipe.permuted,
            "recipe": fit.null_recipe,
            "shuffled": how,
            "n_rows_shuffled": n_free,
        },
        "mean_norm": [round(float(x), 4) for x in torch.cat([positive.h, negative.h]).norm(dim=-1).mean(0)],
    }
    return Made(fit.vectors(positive, negative), header, separation, permuted)


def rehearsed(groups: Groups, fit: Fit, *, seed: int) -> None:
    """Check that the recipe and its held-out folds work on noise of as many rows.

    Raises:
        InterpError: they cannot work on rows of these questions.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = [Rows(torch.randn(len(g), 1, 4, generator=generator), torch.ones(len(g))).tagged() for g in groups]
    held_out_separation(noise[0], noise[1], groups, recipe=_on_tagged(fit.vectors), folds=FOLDS)
    permuted_labels(len(groups[0]), len(groups[1]), 1, seed=seed, groups=_shuffled(groups)[0])


# reading


def read_rows(model: Model, rows: Sequence[Tokens], pooling: Pooling, label: str) -> Rows:
    """Pooled activations of the rows, each tagged with how many tokens it is the mean of; `label` is the bar's."""
    with bar(label, len(rows)) as advance:
        h = pooled(model, rows, pooling=pooling, progress=advance)
    return Rows(h, torch.tensor([float(end - start) for start, end in (window(row, pooling) for row in rows)]))

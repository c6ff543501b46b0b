"""What directions that mean nothing look like: the families of nulls that go beside every direction.

- `random`: isotropic, of the direction's norm. Asks whether any direction would have shown as much.
- `covariance`: drawn from the activations' own covariance. Activations vary far more along some axes than along
  others, and a direction made from them leans to those axes for that reason alone.
- `permuted`: the same recipe on shuffled labels. Asks what the recipe finds where there is nothing to find.
- `cross_trait`: other traits' directions. Asks whether the shift is this trait's own.
- `components`: the leading principal components of the activations, the axes along which most things move.

Everything here works on tensors alone and knows of no `Direction`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.errors import InterpError
from interp.keys import seed_from

Groups = tuple[Sequence[int], Sequence[int]]


def random_like(vectors: Float[Tensor, "layer d_model"], n: int, *, seed: int) -> Float[Tensor, "n layer d_model"]:
    """Isotropic random directions with the norm of `vectors` in every layer."""
    _require_draws(n)
    generator = torch.Generator().manual_seed(seed)
    return _scaled(torch.randn(n, *vectors.shape, generator=generator), vectors)


def covariance_like(
    vectors: Float[Tensor, "layer d_model"], rows: Float[Tensor, "row layer d_model"], n: int, *, seed: int
) -> Float[Tensor, "n layer d_model"]:
    """Directions drawn from N(0, covariance of `rows`), then given the norm of `vectors` in every layer.

    A draw is a Gaussian combination of the centred rows, which has exactly that covariance and never forms it. One
    draw uses the same combination in every layer, so that its layers belong together as a real direction's do.

    Raises:
        ValueError: `rows` does not fit `vectors`, or has fewer than two rows.
        InterpError: the rows are all equal in a layer, or hold a value that is not finite.
    """
    _require_draws(n)
    centred = _centred(vectors, rows)
    weights = torch.randn(n, len(rows), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draws = torch.stack([weights @ centred[:, k] for k in range(centred.shape[1])], dim=1)
    return _scaled(draws, vectors)


def components_like(
    vectors: Float[Tensor, "layer d_model"], rows: Float[Tensor, "row layer d_model"], k: int
) -> Float[Tensor, "k layer d_model"]:
    """The `k` leading principal components of the centred rows, given the norm of `vectors` in every layer.

    A component has no sign of its own; here the rows' mean projects positively on it. Compare sizes of shifts along
    components, not their signs.

    Raises:
        ValueError: `rows` does not fit `vectors`, or has no `k` components.
        InterpError: the rows are all equal in a layer, or hold a value that is not finite.
    """
    centred = _centred(vectors, rows)
    most = min(len(rows) - 1, rows.shape[-1])
    if not 1 <= k <= most:
        raise ValueError(f"k must be in [1, {most}] for {len(rows)} rows of width {rows.shape[-1]}, got {k}")
    found = torch.stack(
        [torch.linalg.svd(centred[:, layer], full_matrices=False)[2][:k] for layer in range(rows.shape[1])], dim=1
    )
    along = (found * rows.double().mean(0)).sum(-1, keepdim=True)
    return _scaled(torch.where(along < 0, -found, found), vectors)


def permuted_labels(
    n_positive: int, n_negative: int, n: int, *, seed: int, groups: Groups | None = None
) -> Bool[Tensor, "n row"]:
    """Shuffled labels, True for positive; rows are the positive side's, then the negative side's.

    Args:
        groups: Question of each row, for both sides. Labels are then shuffled within a question, which keeps its
            number of positives. Where answers to one question resemble each other this is the right null: a free
            shuffle also moves questions from side to side, which the real labels never did.

    Raises:
        ValueError: a side's groups do not fit its rows.
        InterpError: a side is empty, or no question has rows of both sides, so there is nothing to shuffle.
    """
    _require_draws(n)
    if not (n_positive and n_negative):
        raise InterpError(f"labels of {n_positive} positive and {n_negative} negative rows cannot be shuffled")
    generator = torch.Generator().manual_seed(seed)
    total = n_positive + n_negative
    labels = torch.arange(total) < n_positive
    if groups is None:
        order = torch.stack([torch.randperm(total, generator=generator) for _ in range(n)])
        return torch.zeros(n, total, dtype=torch.bool).scatter(1, order, labels.expand(n, -1))
    for name, size, side in zip(("positive", "negative"), (n_positive, n_negative), groups, strict=True):
        if len(side) != size:
            raise ValueError(f"the {name} side has {size} rows but {len(side)} group numbers")
    if not set(groups[0]) & set(groups[1]):
        raise InterpError("no question has rows of both sides, so labels cannot be shuffled within questions")
    _, of = torch.unique(torch.tensor([*groups[0], *groups[1]]), return_inverse=True)
    # Sorting by question with ties broken at random shuffles the rows inside every question at once.
    order = (of + torch.rand(n, total, generator=generator, dtype=torch.float64)).argsort(1)
    return torch.zeros(n, total, dtype=torch.bool).scatter(1, order, labels[of.argsort(stable=True)].expand(n, -1))


def permuted_like(
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    n_draws: int,
    *,
    seed: int,
    groups: Groups | None = None,
) -> Float[Tensor, "n_draws layer d_model"]:
    """The difference of means on shuffled labels: what the recipe finds where there is nothing to find.

    Args:
        groups: Question of each row, for both sides: labels are then shuffled within a question; see
            `permuted_labels`, also for what is refused.
    """
    labels = permuted_labels(len(positive), len(negative), n_draws, seed=seed, groups=groups)
    return weighted_sums(mean_difference_weights(labels), torch.cat([positive, negative]))


def weighted_sums(
    weights: Float[Tensor, "n row"], rows: Float[Tensor, "row layer d_model"]
) -> Float[Tensor, "n layer d_model"]:
    """The sum over rows under each draw's weights (float64), layer by layer."""
    return torch.stack([(weights @ rows[:, k].double()).float() for k in range(rows.shape[1])], dim=1)


def mean_difference_weights(labels: Bool[Tensor, "n row"]) -> Float[Tensor, "n row"]:
    """Weights (float64) whose sum over rows is the mean of the positive rows minus the mean of the others."""
    positive = labels.double()
    return positive / positive.sum(1, keepdim=True) - (1 - positive) / (1 - positive).sum(1, keepdim=True)


def nulls_for(
    vectors: Float[Tensor, "layer d_model"],
    *,
    n: int,
    seed: int,
    rows: Float[Tensor, "row layer d_model"] | None = None,
    permuted: Float[Tensor, "null layer d_model"] | None = None,
    others: Sequence[Float[Tensor, "layer d_model"]] | None = None,
    n_components: int = 10,
) -> dict[str, Float[Tensor, "_ layer d_model"]]:
    """Every family of nulls that can be had for a direction, by name; a family that cannot be had is absent.

    `random`, `covariance` and `components` have the norm of `vectors` in every layer; `permuted` and `cross_trait`
    keep their own, which is part of what they say.

    Args:
        n: Draws of `random` and of `covariance`.
        seed: Of the random draws themselves; the covariance draws' seed is derived from it.
        rows: Activations of the kind that the direction is read on, for `covariance` and `components`.
        permuted: Label permutations made where the direction was (`permuted_like`).
        others: Other traits' directions on the same layers.
        n_components: At most; fewer where `rows` has fewer.

    Raises:
        ValueError: something does not have the layers or the width of `vectors`.
        InterpError: see `covariance_like`.
    """
    for name, given in (("permuted", permuted), ("others", others)):
        for i, one in enumerate(() if given is None else given):
            if one.shape != vectors.shape:
                raise ValueError(
                    f"{name}[{i}] has {one.shape[0]} layers of width {one.shape[-1]}, "
                    f"the direction {vectors.shape[0]} of width {vectors.shape[1]}"
                )
    found = {"random": random_like(vectors, n, seed=seed)}
    if rows is not None:
        found["covariance"] = covariance_like(vectors, rows, n, seed=seed_from(seed, "covariance"))
    if permuted is not None and len(permuted):
        found["permuted"] = permuted
    if others:
        found["cross_trait"] = torch.stack(list(others))
    if rows is not None:
        found["components"] = components_like(vectors, rows, min(n_components, len(rows) - 1, rows.shape[-1]))
    return found


def _require_draws(n: int) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}: a direction is read beside its nulls")


def _centred(
    vectors: Float[Tensor, "layer d_model"], rows: Float[Tensor, "row layer d_model"]
) -> Float[Tensor, "row layer d_model"]:
    """Rows minus their mean, in float64, once they are known to fit `vectors` and to vary."""
    if rows.shape[1:] != vectors.shape:
        raise ValueError(
            f"the rows have {rows.shape[1]} layers of width {rows.shape[2]}, "
            f"the direction {vectors.shape[0]} of width {vectors.shape[1]}"
        )
    if len(rows) < 2:
        raise ValueError(f"a covariance needs at least 2 rows, got {len(rows)}")
    if not torch.isfinite(rows).all():
        bad = int((~torch.isfinite(rows)).flatten(1).any(1).nonzero()[0])
        raise InterpError(f"row {bad} holds a value that is not finite")
    flat = (rows == rows[0]).all(0).all(-1)
    if flat.any():
        raise InterpError(f"all {len(rows)} rows are equal at layer index {int(flat.nonzero()[0])}: no covariance")
    return rows.double() - rows.double().mean(0)


def _scaled(
    draws: Float[Tensor, "n layer d_model"], vectors: Float[Tensor, "layer d_model"]
) -> Float[Tensor, "n layer d_model"]:
    """`draws` with the norm of `vectors` in every layer."""
    return (draws / draws.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)).float()

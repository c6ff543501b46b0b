"""Directions in the residual stream: how the papers make them, and how well they separate what they were made from.

Every recipe takes pooled activations, one row a text, and gives one raw (never normalised) vector per layer:

- persona vector, self-recognition vector: `difference_of_means`, on the rows that a judge let through;
- emergent-misalignment direction: `difference_of_means` of two balanced classes, weighted by tokens;
- stage displacement: `displacement`;
- assistant axis: `assistant_axis`;
- the axes along which a set of differences moves: `principal_components`;
- a probe's direction: `interp.probes`.

Which rows go in is `interp.selection`; the nulls that go beside a direction are `interp.nulls`. A `Direction` is such a
vector with its provenance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from interp.errors import InterpError
from interp.nulls import Groups, mean_difference_weights, permuted_labels
from interp.tensors import load_tensors, save_tensors

Recipe = Callable[
    [Float[Tensor, "n layer d_model"], Float[Tensor, "m layer d_model"]],
    Float[Tensor, "layer d_model"],
]


@dataclass(frozen=True)
class Direction:
    """One vector per layer, as measured.

    Attributes:
        name: For example `evil`.
        vectors: Raw difference of means; not normalised.
        layers: Block index of each row of `vectors`.
        layer: The layer that headlines use.
        header: Provenance: model, template hash, pooling, n, seeds, data hash, dtype.
    """

    name: str
    vectors: Float[Tensor, "layer d_model"]
    layers: tuple[int, ...]
    layer: int
    header: Mapping[str, Any] = field(default_factory=dict)

    def at(self, layer: int) -> Float[Tensor, " d_model"]:
        """The vector after block `layer`.

        Raises:
            ValueError: the direction does not hold that layer.
        """
        if layer not in self.layers:
            raise ValueError(f"direction {self.name!r} holds layers {list(self.layers)}, not {layer}")
        return self.vectors[self.layers.index(layer)]

    def save(self, path: str | Path) -> None:
        """Write it as safetensors with its header.

        Raises:
            ValueError: layers are not ascending block indices, one for each vector, with `layer` among them.
            InterpError: a vector holds a value that is not finite.
        """
        layers = list(self.layers)
        what = f"direction {self.name!r}"
        if len(layers) != len(self.vectors):
            raise ValueError(f"{what} has {len(self.vectors)} vectors for {len(layers)} layers {layers}")
        if layers != sorted(set(layers)) or min(layers, default=0) < 0:
            raise ValueError(f"{what}: layers must be block indices from 0 in ascending order, got {layers}")
        if self.layer not in layers:
            raise ValueError(f"{what}: its headline layer {self.layer} is not among its layers {layers}")
        bad = [layer for layer, v in zip(layers, self.vectors, strict=True) if not torch.isfinite(v).all()]
        if bad:
            raise InterpError(f"{what} holds a value that is not finite at layers {bad}; make it again")
        header = {**self.header, "name": self.name, "layers": layers, "layer": self.layer}
        save_tensors(path, {"vectors": self.vectors}, kind="direction", header=header)

    @classmethod
    def load(cls, path: str | Path, *, model: str | None = None) -> "Direction":
        """Read a direction; see `load_tensors` for what is refused."""
        tensors, header = load_tensors(path, kind="direction", model=model)
        return cls(header["name"], tensors["vectors"], tuple(header["layers"]), header["layer"], header)


# recipes


def difference_of_means(
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    *,
    tokens: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
) -> Float[Tensor, "layer d_model"]:
    """Mean of `positive` minus mean of `negative`, summed in float64.

    Sample-weighted, each row counting once, is the persona vector. Token-weighted is the emergent-misalignment
    direction. Where long and short answers differ, so do the two.

    Args:
        tokens: How many tokens each row is the mean of, for both sides. A row then counts that often, so that a
            side's mean is the mean over all its tokens.

    Source: persona_vectors (arXiv 2507.21509), response-average difference; model-organisms-for-EM (arXiv
        2506.11618), mean over answer tokens.

    Raises:
        ValueError: token counts do not fit the rows, or one is below 1.
        InterpError: a side is empty or holds a value that is not finite.
    """
    _require_rows(positive=positive, negative=negative)
    if tokens is None:
        return (positive.double().mean(0) - negative.double().mean(0)).float()
    means = []
    for name, rows, counts in zip(("positive", "negative"), (positive, negative), tokens, strict=True):
        if len(counts) != len(rows):
            raise ValueError(f"the {name} side has {len(rows)} rows but {len(counts)} token counts")
        if (counts < 1).any():
            bad = int((counts < 1).nonzero()[0])
            raise ValueError(f"the {name} side's row {bad} is said to pool {int(counts[bad])} tokens; leave it out")
        means.append(torch.einsum("n,nld->ld", counts.double() / counts.sum(), rows.double()))
    return (means[0] - means[1]).float()


def displacement(
    stage: Float[Tensor, "row layer d_model"], parent: Float[Tensor, "row layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """Mean paired difference of a stage from its parent: row i of both is the same text.

    Raises:
        ValueError: the two do not have the same shape.
        InterpError: there are no rows, or one holds a value that is not finite.
    """
    if stage.shape != parent.shape:
        raise ValueError(f"a displacement is paired: got {tuple(stage.shape)} against {tuple(parent.shape)}")
    _require_rows(stage=stage, parent=parent)
    return (stage.double() - parent.double()).mean(0).float()


@dataclass(frozen=True)
class AssistantAxis:
    """Attributes:
    vectors: Raw; they point from the roles toward the assistant.
    used: Rows of every role that counts.
    left_out: Rows of every role that has too few.
    """

    vectors: Float[Tensor, "layer d_model"]
    used: Mapping[str, int]
    left_out: Mapping[str, int]


def assistant_axis(
    default: Float[Tensor, "n layer d_model"],
    roles: Mapping[str, Float[Tensor, "_ layer d_model"]],
    *,
    min_rows: int,
) -> AssistantAxis:
    """Mean answer of the default assistant minus the mean of the roles' mean answers; each role counts once.

    A projection on it is higher where the model is more its assistant self. Capping and ablation that are written
    for role-pointing vectors need it negated.

    Args:
        min_rows: A role with fewer rows is left out and named; the authors' code asks for 50.

    Source: arXiv 2601.10387.

    Raises:
        ValueError: `min_rows` is below 1.
        InterpError: no role is left, the default has no rows, or a row holds a value that is not finite.
    """
    if min_rows < 1:
        raise ValueError(f"min_rows must be at least 1, got {min_rows}")
    used = {name: len(rows) for name, rows in roles.items() if len(rows) >= min_rows}
    left_out = {name: len(rows) for name, rows in roles.items() if len(rows) < min_rows}
    if not used:
        raise InterpError(f"no role has {min_rows} rows or more, so there is no axis; rows by role: {left_out}")
    _require_rows(default=default, **{f"role {name!r}": roles[name] for name in used})
    role_means = torch.stack([roles[name].double().mean(0) for name in used])
    return AssistantAxis((default.double().mean(0) - role_means.mean(0)).float(), used, left_out)


@dataclass(frozen=True)
class PrincipalComponents:
    """Attributes:
    components: Of unit length, orthogonal within a layer, the strongest first.
    share: Of the differences' second moment (mean square length, not variance) that lies along each.
    """

    components: Float[Tensor, "k layer d_model"]
    share: Float[Tensor, "k layer"]


def principal_components(
    differences: Float[Tensor, "n layer d_model"], k: int, *, centred: bool = False
) -> PrincipalComponents:
    """The `k` axes along which a set of activation differences is largest, per layer.

    Not centred unless asked for: to centre differences is to take away the mean difference, which is the very thing
    that a contrast is made for. A component's sign is chosen so that the mean difference
    projects positively on it; if there is none, so that its largest entry is positive.

    Raises:
        ValueError: there are no `k` components.
        InterpError: there are no rows, or one holds a value that is not finite.
    """
    _require_rows(difference=differences)
    most = min(len(differences) - centred, differences.shape[-1])
    if not 1 <= k <= most:
        raise ValueError(f"k must be in [1, {most}], got {k}: {len(differences)} differences, centred={centred}")
    components, shares = [], []
    for layer in range(differences.shape[1]):
        rows = differences[:, layer].double()
        mean = rows.mean(0)
        found = torch.linalg.svd(rows - mean if centred else rows, full_matrices=False)[2][:k]
        along, total = found @ mean, rows.square().sum()
        nothing = along.abs() <= 1e-12 * rows.square().mean().sqrt()
        along = torch.where(nothing, found.gather(1, found.abs().argmax(1, keepdim=True))[:, 0], along)
        components.append(torch.where(along < 0, -1, 1)[:, None] * found)
        shares.append((rows @ found.T).square().sum(0) / torch.where(total > 0, total, 1))
    return PrincipalComponents(torch.stack(components, 1).float(), torch.stack(shares, 1).float())


def _require_rows(**sides: Float[Tensor, "_ layer d_model"]) -> None:
    for name, rows in sides.items():
        if len(rows) == 0:
            raise InterpError(f"the {name} side has no rows, so its mean is undefined")
        if not torch.isfinite(rows).all():
            bad = int((~torch.isfinite(rows)).flatten(1).any(1).nonzero()[0])
            raise InterpError(f"the {name} side's row {bad} holds a value that is not finite")


# separation


@dataclass(frozen=True)
class Separation:
    """How well a direction separates rows of questions that it was not made from, per layer.

    Attributes:
        auroc: Probability that a positive row projects higher than a negative one.
        cohens_d: Difference of mean projections over their pooled standard deviation; does not saturate as AUROC does.
    """

    auroc: Float[np.ndarray, " layer"]
    cohens_d: Float[np.ndarray, " layer"]

    @property
    def best(self) -> int:
        """Index of the layer with the largest Cohen's d."""
        return int(np.argmax(self.cohens_d))


@dataclass(frozen=True)
class SeparationNull:
    """The same two numbers on shuffled labels; a row is one shuffle, the same in every layer."""

    auroc: Float[np.ndarray, "null layer"]
    cohens_d: Float[np.ndarray, "null layer"]


def held_out_separation(
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    groups: Groups,
    *,
    folds: int = 5,
    recipe: Recipe = difference_of_means,
) -> Separation:
    """Separation of held-out questions, averaged over folds.

    Questions (`groups`, one number a row for each side) are split into `folds`; each fold's rows are projected on the
    direction that `recipe` makes from the others.

    Raises:
        InterpError: there are too few questions to hold any out.
    """
    aurocs, effects = [], []
    for out in _held_out(groups, folds):
        v = recipe(positive[~out[0]], negative[~out[1]])
        held = torch.cat([positive[out[0]], negative[out[1]]])
        along = torch.einsum("nld,ld->ln", held, v).double().numpy()
        auroc, effect = _separations(along, (np.arange(len(held)) < int(out[0].sum()))[None])
        aurocs.append(auroc)
        effects.append(effect)
    return Separation(np.mean(aurocs, axis=0), np.mean(effects, axis=0))


def separation_null(
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    groups: Groups,
    n: int,
    *,
    seed: int,
    folds: int = 5,
) -> SeparationNull:
    """`held_out_separation` of the difference of means, on labels shuffled within question: n times over.

    What the instrument shows where there is nothing. Compare the best layer with the best layers of the shuffles, not
    with one layer of them: choosing a layer makes the largest of many numbers.

    Raises:
        InterpError: there are too few questions to hold any out, or none has rows of both sides.
    """
    held_out = [torch.cat(out) for out in _held_out(groups, folds)]
    labels = permuted_labels(len(positive), len(negative), n, seed=seed, groups=groups)
    rows = torch.cat([positive, negative])
    aurocs = np.empty((len(held_out), n, rows.shape[1]))
    effects = np.empty_like(aurocs)
    for fold, out in enumerate(held_out):
        weights = mean_difference_weights(labels[:, ~out])
        inside = labels[:, out].numpy()
        for k in range(rows.shape[1]):
            v = weights @ rows[~out, k].double()
            aurocs[fold, :, k], effects[fold, :, k] = _separations((v @ rows[out, k].double().T).numpy(), inside)
    return SeparationNull(aurocs.mean(0), effects.mean(0))


def _held_out(groups: Groups, folds: int) -> list[tuple[Bool[Tensor, " n"], Bool[Tensor, " m"]]]:
    """For every fold that leaves rows of both sides on both sides of it: which rows it holds out."""
    sides = tuple(torch.tensor(list(group)) for group in groups)
    splits = [(sides[0] % folds == fold, sides[1] % folds == fold) for fold in range(folds)]
    usable = [out for out in splits if all(side.any() and not side.all() for side in out)]
    if not usable:
        raise InterpError(f"{len(set(groups[0]))} questions are too few to hold any out over {folds} folds")
    return usable


def _separations(
    along: Float[np.ndarray, "reading row"], labels: Bool[np.ndarray, "#reading row"]
) -> tuple[Float[np.ndarray, " reading"], Float[np.ndarray, " reading"]]:
    """AUROC and Cohen's d of every reading of the same rows; `labels` is True where a row is positive."""
    n, m = labels.sum(1), (~labels).sum(1)
    auroc = ((rankdata(along, axis=1) * labels).sum(1) - n * (n + 1) / 2) / (n * m)
    means, variances = [], []
    for member, size in ((labels, n), (~labels, m)):
        mean = (along * member).sum(1) / size
        means.append(mean)
        variances.append((member * (along - mean[:, None]) ** 2).sum(1) / np.maximum(size - 1, 1))
    spread = np.sqrt((variances[0] + variances[1]) / 2)
    return auroc, (means[0] - means[1]) / np.where(spread > 0, spread, np.inf)

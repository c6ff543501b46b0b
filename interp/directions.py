"""Directions in the residual stream, and the nulls that go beside every one of them.

A `Direction` has one raw (unnormalised) vector per layer and says in its header where it came from. Its nulls are
`random_like` (isotropic, of the same norm in every layer), `permuted_like` (the same recipe on shuffled labels) and
other traits' directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp import stats
from interp.runs import InterpError, load_tensors, read_json, save_tensors


@dataclass(frozen=True)
class Trait:
    """A persona trait: contrasting instructions and questions that let it show.

    Attributes:
        name: For example `evil`.
        instructions: Pairs of system prompts, with the trait and without it.
        questions: For extraction.
        eval_questions: Held out; no direction is made from them.
        eval_prompt: Judge prompt with `{question}` and `{answer}`.
    """

    name: str
    instructions: tuple[tuple[str, str], ...]
    questions: tuple[str, ...]
    eval_questions: tuple[str, ...]
    eval_prompt: str

    @classmethod
    def load(cls, path: Path) -> "Trait":
        """Read a trait file in the persona_vectors schema; `eval_questions` and `name` may be missing.

        Raises:
            FileNotFoundError, ValueError: missing or malformed; the message names file and field.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such trait file")
        data = read_json(path)
        if not isinstance(data, dict):
            raise ValueError(f"{path}: a trait is a JSON object with instruction, questions and eval_prompt")
        pairs = data.get("instruction")
        if not (isinstance(pairs, list) and pairs) or not all(
            isinstance(p, dict) and _is_text(p.get("pos")) and _is_text(p.get("neg")) for p in pairs
        ):
            raise ValueError(f'{path}: "instruction" must be a list of {{"pos": text, "neg": text}}')
        for key, least in (("questions", 2), ("eval_questions", 0)):
            value = data.get(key, [])
            if not isinstance(value, list) or len(value) < least or not all(_is_text(q) for q in value):
                raise ValueError(f'{path}: "{key}" must be a list of at least {least} texts, got {str(value)[:60]}')
        if not _is_text(data.get("eval_prompt")):
            raise ValueError(f'{path}: "eval_prompt" must be text, got {str(data.get("eval_prompt"))[:60]}')
        name = str(data.get("name", path.name.split(".")[0]))
        if not name.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"{path}: the name {name!r} must be letters, digits, _ and -: files are called by it")
        shared = set(data["questions"]) & set(data.get("eval_questions", []))
        if shared:
            raise ValueError(f"{path}: a question is in both halves, so nothing is held out: {sorted(shared)[0]!r}")
        return cls(
            name=name,
            instructions=tuple((pair["pos"], pair["neg"]) for pair in pairs),
            questions=tuple(data["questions"]),
            eval_questions=tuple(data.get("eval_questions", [])),
            eval_prompt=data["eval_prompt"],
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


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

    def save(self, path: Path) -> None:
        """Write it as safetensors with its header."""
        header = {**self.header, "name": self.name, "layers": list(self.layers), "layer": self.layer}
        save_tensors(path, {"vectors": self.vectors}, kind="direction", header=header)

    @classmethod
    def load(cls, path: Path, *, model: str | None = None) -> "Direction":
        """Read a direction; see `load_tensors` for what is refused."""
        tensors, header = load_tensors(path, kind="direction", model=model)
        return cls(header["name"], tensors["vectors"], tuple(header["layers"]), header["layer"], header)


def difference_of_means(
    positive: Float[Tensor, "n layer d_model"], negative: Float[Tensor, "m layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """Mean of `positive` minus mean of `negative`, each row counting once; summed in float64.

    Source: Persona Vectors (arXiv 2507.21509), response-average difference.

    Raises:
        InterpError: a side is empty or holds a value that is not finite.
    """
    for name, rows in (("positive", positive), ("negative", negative)):
        if len(rows) == 0:
            raise InterpError(f"the {name} side has no rows, so its mean is undefined")
        if not torch.isfinite(rows).all():
            bad = int((~torch.isfinite(rows)).flatten(1).any(1).nonzero()[0])
            raise InterpError(f"the {name} side's row {bad} holds a value that is not finite")
    return (positive.double().mean(0) - negative.double().mean(0)).float()


def random_like(vectors: Float[Tensor, "layer d_model"], n: int, *, seed: int) -> Float[Tensor, "n layer d_model"]:
    """Isotropic random directions with the norm of `vectors` in every layer."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(n, *vectors.shape, generator=generator)
    return draws / draws.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)


def permuted_like(
    positive: Float[Tensor, "n layer d_model"], negative: Float[Tensor, "m layer d_model"], n_draws: int, *, seed: int
) -> Float[Tensor, "n_draws layer d_model"]:
    """The difference of means on shuffled labels: what the recipe finds where there is nothing to find."""
    rows = torch.cat([positive, negative]).double()
    total, n, m = rows.sum(0), len(positive), len(negative)
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(n_draws):
        chosen = rows[torch.randperm(n + m, generator=generator)[:n]].sum(0)
        draws.append(chosen / n - (total - chosen) / m)
    return torch.stack(draws).float()


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


def held_out_separation(
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    groups: tuple[Sequence[int], Sequence[int]],
    *,
    folds: int = 5,
) -> Separation:
    """Separation of held-out questions, averaged over folds.

    Questions (`groups`, one number a row for each side) are split into `folds`; each fold's rows are projected on the
    direction made from the others.

    Raises:
        InterpError: there are too few questions to hold any out.
    """
    sides = tuple(torch.tensor(list(group)) for group in groups)
    aurocs, effects = [], []
    for fold in range(folds):
        out: list[Bool[Tensor, " row"]] = [side % folds == fold for side in sides]
        if not (out[0].any() and out[1].any() and (~out[0]).any() and (~out[1]).any()):
            continue
        v = difference_of_means(positive[~out[0]], negative[~out[1]])
        a = torch.einsum("nld,ld->nl", positive[out[0]], v).numpy()
        b = torch.einsum("nld,ld->nl", negative[out[1]], v).numpy()
        aurocs.append([stats.auroc(a[:, k], b[:, k]) for k in range(v.shape[0])])
        spread = np.sqrt((a.var(0, ddof=min(1, len(a) - 1)) + b.var(0, ddof=min(1, len(b) - 1))) / 2)
        effects.append((a.mean(0) - b.mean(0)) / np.where(spread > 0, spread, np.inf))
    if not aurocs:
        raise InterpError(f"{len(set(groups[0]))} questions are too few to hold any out over {folds} folds")
    return Separation(np.mean(aurocs, axis=0), np.mean(effects, axis=0))

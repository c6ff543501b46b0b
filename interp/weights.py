"""How much of what an adapter writes, or reads, lies along a direction? Shares of its update's squared norm.

A LoRA adds ΔW = scaling·B·A to a weight. A module that writes into the residual stream writes along unit v̂ the share
|v̂ᵀΔW|² / |ΔW|² of its update; one that reads the stream is moved by v̂ by |ΔW v̂|² / |ΔW|². Neither depends on the
length of v or the size of the update, over an orthonormal basis each sums to 1, and along a direction that has nothing
to do with the update it is 1/d on average. ΔW is never formed.

A direction at layer L is the stream after block L. What block L writes is compared with v at L, what it reads with v at
L - 1, so nothing is said of what block 0 reads. Between stream and reader sits a norm: its weight (and the centring of
a LayerNorm) is part of how the stream is read, so it is folded into ΔW; its scale differs from token to token, is
common to all directions, and drops out. Where a block norms what it writes (Gemma2), that norm is folded in likewise.
"""

import copy
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module

from interp.adapter_files import LoraConfig, read_adapter
from interp.errors import InterpError
from interp.model import Model
from interp.nulls import random_like
from interp.stats import percentile

log = logging.getLogger(__name__)

Metric = Literal["writing_share", "reading_share"]
Norms = Mapping[tuple[int, str], "Norm"]
"""By block and place: `attention in` and `mlp in` are before a reader, `attention out` and `mlp out` after a writer."""

_PLACES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value"), "attention in"),
    **dict.fromkeys(("gate_proj", "up_proj", "gate_up_proj", "c_fc", "dense_h_to_4h"), "mlp in"),
    **dict.fromkeys(("o_proj", "attn.c_proj", "attention.dense"), "attention out"),
    **dict.fromkeys(("down_proj", "mlp.c_proj", "dense_4h_to_h"), "mlp out"),
}


@dataclass(frozen=True)
class Norm:
    """The linear part of a norm, its scale left out: x becomes gain·x, of x minus its mean if `centred`."""

    gain: Float[Tensor, " d_model"]
    centred: bool
    bias: Float[Tensor, " d_model"]

    @classmethod
    def of(cls, module: Module, like: Tensor) -> "Norm":
        """The norm that a module is, found by what it does to a vector of mean 0.

        Whether its weight stands for itself or for what is added to 1 (Gemma) is then no question.

        Args:
            like: A tensor of its width, dtype and device.

        Raises:
            InterpError: it is neither an RMSNorm nor a LayerNorm.
        """
        if like.dtype != torch.float32:
            module = copy.deepcopy(module).float()
        sign = 1 - 2 * (torch.arange(like.shape[-1], device=like.device) % 2).float()
        x = 1e3 * sign  # so large that epsilon does not show
        with torch.no_grad():
            up, down, moved = (module(row[None, None])[0, 0].double() for row in (x, -x, x + 1e3))
        bias, gain = (up + down) / 2, sign.double() * (up - down) / 2
        seen = (moved - bias)[sign > 0], (moved - bias)[sign < 0]
        size = gain.abs().max() * 1e-3
        centred = bool(torch.allclose(moved, up, atol=float(size)))
        if not centred and not (seen[1].abs().max() <= size):
            raise InterpError(f"{type(module).__name__} is neither an RMSNorm nor a LayerNorm, so it cannot be folded")
        return cls(gain.cpu(), centred, bias.cpu())

    def applied(self, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """What the norm makes of rows of the stream (float64, scale and bias left out)."""
        rows = rows.double()
        return (rows - rows.mean(-1, keepdim=True) if self.centred else rows) * self.gain.to(rows.device)

    def folded(self, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """Rows that read what the norm gives, as rows that read what it is given (float64, scale left out)."""
        folded = rows.double() * self.gain.to(rows.device)
        return folded - folded.mean(-1, keepdim=True) if self.centred else folded


@dataclass(frozen=True)
class Update:
    """What an adapter adds to one weight: `up @ down`, scaling in `up`."""

    layer: int
    module: str
    place: str
    down: Float[Tensor, "rank d_in"]
    up: Float[Tensor, "d_out rank"]


@dataclass(frozen=True)
class Share:
    """A share of an update's squared norm along a direction.

    Attributes:
        layer: Block whose weight is updated.
        module: Path of the weight inside its block.
        value: None where the update is zero.
        expected: What a direction that has nothing to do with the update has on average: 1/d_model.
        null_low: 2.5 % quantile over random directions; `null_high` the 97.5 % one.
        norm: Frobenius norm of the update, norms folded in.
    """

    metric: Metric
    layer: int
    module: str
    value: float | None
    expected: float
    null_mean: float | None
    null_low: float | None
    null_high: float | None
    null_percentile: float | None
    n_null: int
    norm: float


def norms_of(model: Model) -> dict[tuple[int, str], Norm]:
    """The norms before the readers and after the writers of every block; a place without a norm is absent."""
    found: dict[tuple[int, str], Norm] = {}
    for layer, block in enumerate(model.blocks):
        known: dict[str, Any] = dict(block.named_children())
        after = "post_feedforward_layernorm" in known
        names = {
            "attention in": ("input_layernorm", "ln_1"),
            "attention out": ("post_attention_layernorm",) if after else (),
            "mlp in": ("pre_feedforward_layernorm",) if after else ("post_attention_layernorm", "ln_2"),
            "mlp out": ("post_feedforward_layernorm",),
        }
        for place, some in names.items():
            module = next((known[name] for name in some if name in known), None)
            if module is not None:
                found[layer, place] = Norm.of(module, module.weight)
    return found


def updates(folder: Path) -> Iterator[Update]:
    """What a LoRA adapter adds to each weight inside a block, by block; what it adds elsewhere is left out.

    A module inside a block that is not known to read or to write the stream (fused experts, a router) is left out with
    a warning in the log.

    Raises:
        FileNotFoundError: not an adapter folder in PEFT's format.
        ValueError: damaged, or more than low-rank updates.
    """
    config, weights = read_adapter(folder)
    odd = {"DoRA": config.use_dora, "lora_bias": config.lora_bias}
    if any(odd.values()):
        kind = next(name for name, on in odd.items() if on)
        raise ValueError(f"{folder}: its update is no product of two matrices ({kind}); give a plain LoRA")
    paths: dict[str, tuple[int, str]] = {}
    for key in weights:
        path, _, side = key.partition(".lora_")
        inside = re.search(r"(?:^|\.)(\d+)\.(.+)$", path)
        if side == "A.weight" and inside:
            paths[path] = int(inside[1]), inside[2].replace(".base_layer", "")
    left_out: set[str] = set()
    for path, (layer, module) in sorted(paths.items(), key=lambda path_and_place: path_and_place[1]):
        place = next((place for name, place in _PLACES.items() if f".{module}".endswith(f".{name}")), None)
        if place is None:
            left_out.add(module)
            continue
        down, up = weights[f"{path}.lora_A.weight"].double(), weights[f"{path}.lora_B.weight"].double()
        yield Update(layer, module, place, down, up * _scaling(config, path, len(down)))
    if left_out:
        log.warning(
            "%s: no share is given of %s, which is not known to read or to write the residual stream (known: %s)",
            *(folder, ", ".join(sorted(left_out)), ", ".join(_PLACES)),
        )


def _scaling(config: LoraConfig, path: str, rank: int) -> float:
    """What PEFT multiplies a module's update by."""
    patterns = (config.alpha_pattern or {}).items()
    alpha = next((a for key, a in patterns if re.match(rf"(.*\.)?({key})$", path)), config.lora_alpha)
    return alpha / (rank**0.5 if config.use_rslora else rank)


def shares(
    folder: Path,
    vectors: Mapping[int, Float[Tensor, " d_model"]],
    *,
    norms: Norms | None = None,
    n_null: int = 200,
    seed: int = 0,
) -> list[Share]:
    """Shares of an adapter's update along a direction, for each block and module, beside random directions.

    Args:
        vectors: The direction by layer; blocks whose layer is not held are left out.
        norms: As `norms_of` gives them; without, weights are taken as if no norm stood before them.
        n_null: Random directions, of v's length in every layer.

    Raises:
        FileNotFoundError, ValueError: as `updates`; a vector of another width, or of length 0.
    """
    for layer, v in vectors.items():
        if not (v.isfinite().all() and v.norm() > 0):
            raise ValueError(f"the direction at layer {layer} has length {float(v.norm())}; it points nowhere")
    layers = sorted(vectors)
    held = torch.stack([vectors[layer].float() for layer in layers])
    draws = random_like(held, n_null, seed=seed)
    found = []
    for update in updates(folder):
        metric: Metric = "writing_share" if update.place.endswith("out") else "reading_share"
        at = update.layer - (metric == "reading_share")
        if at not in vectors:
            continue
        k = layers.index(at)
        norm = (norms or {}).get((update.layer, update.place))
        found.append(_share(metric, update, norm, torch.cat([held[None, k], draws[:, k]])))
    return found


def _share(metric: Metric, update: Update, norm: Norm | None, vectors: Float[Tensor, "n d_model"]) -> Share:
    """The share along the first of `vectors`, beside the others."""
    towards, across = (update.up.T, update.down) if metric == "writing_share" else (update.down, update.up.T)
    if towards.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"block {update.layer}, {update.module}: {towards.shape[1]} numbers wide on the stream's side, but the "
            f"direction has {vectors.shape[1]}; it belongs to another model"
        )
    if norm is not None:
        towards = norm.applied(towards) if metric == "writing_share" else norm.folded(towards)
    gram = across @ across.T
    total = float((towards @ towards.T * gram).sum())
    unit = vectors.double() / vectors.double().norm(dim=1, keepdim=True)
    along = unit @ towards.T
    about = {"metric": metric, "layer": update.layer, "module": update.module, "expected": 1 / vectors.shape[1]}
    if not total > 0:
        nothing = dict.fromkeys(("value", "null_mean", "null_low", "null_high", "null_percentile"))
        return Share(**about, **nothing, n_null=0, norm=0.0)
    value, *rest = ((along @ gram * along).sum(1) / total).tolist()
    nulls = np.array(rest)
    low, high = np.quantile(nulls, [0.025, 0.975]).tolist()
    beside = {"null_mean": float(nulls.mean()), "null_low": low, "null_high": high}
    return Share(
        **about, value=value, **beside, null_percentile=percentile(value, nulls), n_null=len(nulls), norm=total**0.5
    )

"""The arithmetic of a step of many stages, as functions of plain tensors that can be compiled.

Every stage is a row of a matrix `[slot, number]`; no number of one row depends on another.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""AdamW's own, as in training alone."""


def losses_of(
    logits: Float[Tensor, "n vocab"], targets: Int[Tensor, " n"], weights: Float[Tensor, " n"], n_slots: int
) -> Float[Tensor, " slot"]:
    """Each slot's weighted cross entropy."""
    ce = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    return (ce * weights).view(n_slots, -1).sum(1)


def copy_scaled(into: Tensor, weights: Tensor, scaling: Tensor, n_below: int) -> None:
    """Copy a matrix of weights, the second factors times their adapter's scaling."""
    into.copy_(weights * scales_of(weights, scaling, n_below))


def scales_of(weights: Tensor, scaling: Tensor, n_below: int) -> Tensor:
    second = torch.arange(weights.shape[1], device=weights.device) >= n_below
    return torch.where(second, scaling.float()[:, None], 1.0)


def adamw(
    weights: Tensor,
    mean: Tensor,
    square: Tensor,
    gradient: Tensor,
    read: Tensor,
    rate: Tensor,
    decay: Tensor,
    most: Tensor,
    scaling: Tensor,
    steps: Tensor,
    n_below: int,
) -> None:
    """AdamW on a matrix whose rows are stages, after clipping each row's gradient to a norm of its own.

    The gradient is that of the scaled factors, so the second ones' is scaled to be their own.
    """
    scales = scales_of(weights, scaling, n_below)
    own = gradient * scales
    norm = own.square().sum(1, keepdim=True).sqrt()
    own = own * (most.float()[:, None] / (norm + 1e-6)).clamp(max=1.0)
    steps.add_(1)
    first, second = 1 - BETAS[0] ** steps, (1 - BETAS[1] ** steps).sqrt()
    size = (rate / first).float()[:, None]
    mean.copy_(mean + (own - mean) * (1 - BETAS[0]))
    square.copy_(square * BETAS[1] + own * own * (1 - BETAS[1]))
    shrunk = weights * (1 - rate * decay).float()[:, None]
    weights.copy_(shrunk - size * mean / (square.sqrt() / second.float()[:, None] + EPSILON))
    read.copy_(weights * scales)
    gradient.zero_()

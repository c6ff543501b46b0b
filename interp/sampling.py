"""Sampling from a model's next-token distribution with one stream of random numbers per row.

Row `i` draws from its own stream, seeded by (`seed`, `i`), so that its answer does not depend on how rows are batched.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor

from interp.keys import content_key

log = logging.getLogger(__name__)

_NOT_ABOUT_CHOICES = {
    *("eos_token_id", "pad_token_id", "bos_token_id"),
    *("transformers_version", "use_cache", "_from_model_config"),
}


def only_stop_tokens(fields: Mapping[str, Any], name: str) -> GenerationConfig:
    """A generation config that says which tokens end an answer, and nothing else of what a model's own says.

    Every field of a model's own config that a call of `generate` leaves open acts on that call: penalties, forbidden
    and forced tokens, beams, time limits, and whatever a later transformers adds. Only a config without them leaves the
    choice of tokens to `Sampler`. What is left out is logged.

    Args:
        fields: The model's own.
        name: What the log calls the model.
    """
    ignored = [
        f"{key} {json.dumps(value, default=str)}"
        for key, value in sorted(fields.items())
        if key not in _NOT_ABOUT_CHOICES and value not in (None, False)
    ]
    if ignored:
        log.info("%s: its generation config is ignored but for its stop tokens (%s)", name, ", ".join(ignored))
    return GenerationConfig(eos_token_id=fields.get("eos_token_id"))


def uniforms(seed: int, row: int, n: int) -> Float[Tensor, " n"]:
    """`n` numbers in [0, 1), the same for the same seed and row."""
    generator = torch.Generator().manual_seed(int(content_key([seed, row])[:15], 16))
    return torch.rand(n, generator=generator)


def draw(
    scores: Float[Tensor, "batch vocab"], luck: Float[Tensor, " batch"], temperature: float
) -> Int[Tensor, " batch"]:
    """The token that each row's uniform number picks at a temperature above 0; at 0 the likeliest."""
    if temperature == 0:
        return scores.float().argmax(-1)
    mass = (scores.float() / temperature).softmax(-1).cumsum(-1)
    target = luck[:, None] * mass[:, -1:]
    return torch.searchsorted(mass, target, right=True).clamp_(max=scores.shape[-1] - 1)[:, 0]


class Sampler(LogitsProcessor):
    """Turns greedy decoding into sampling: leaves only the token that a row's own uniform number picks."""

    def __init__(self, uniforms: Float[Tensor, "batch new"], temperature: float) -> None:
        self.uniforms, self.temperature, self.step = uniforms, temperature, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        token = draw(scores, self.uniforms[:, self.step], self.temperature)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(-1, token[:, None], 0.0)


@runtime_checkable
class Generates(Protocol):
    """What gives answers to prompts: our own `Model`, or another sampler of the same weights.

    Different samplers draw different random numbers and round differently, so a comparison uses one throughout.

    Attributes:
        sampler: Its name, which every record says.
    """

    sampler: str

    def generate(
        self,
        prompts: Sequence[Any],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        seed: int = 0,
        edits: Sequence[Any] = (),
        streams: Sequence[int] | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> list[tuple[int, ...]]:
        """Answers as token ids; see `interp.model.Model.generate`."""
        ...

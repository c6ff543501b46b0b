"""Where in texts do two models differ? Divergence of what they expect at every answer token, and the contexts of it.

1. Both read the same texts. At every token of an answer each has a distribution of what comes next; the divergence is
   Kullback and Leibler's of the first from the second, in nats (`token_divergences`).
2. Contexts where they differ most are ranked, and those that end alike or lie beside a higher one in the same text are
   left out (`top_contexts`), so that a list is not the same place many times.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import batches
from interp.batch import Batch
from interp.chat import Tokens
from interp.errors import InterpError
from interp.model import Model

_LOGITS = 2**27
"""Logits of one model in one call."""


@dataclass(frozen=True)
class Context:
    """A place in a text where two models differ.

    Attributes:
        row: The number of the text.
        position: The token that is predicted there, counted among those of the answer.
        before: The text before it.
        token: Its own text.
        value: How far the models differ there.
    """

    row: int
    position: int
    before: str
    token: str
    value: float


def divergence(first: Float[Tensor, "*n vocab"], second: Float[Tensor, "*n vocab"]) -> Float[Tensor, "*n"]:
    """Kullback and Leibler's divergence of the first logits' distribution from the second's, in nats (float64).

    The sum over tokens of p (log p - log q). It is never below 0, and 0 where the distributions are equal.
    """
    p, q = (logits.double().log_softmax(-1) for logits in (first, second))
    return (p.exp() * (p - q)).sum(-1).clamp(min=0.0)


def token_divergences(
    model: Model,
    rows: Sequence[Tokens],
    first: Sequence[Path],
    second: Sequence[Path],
    *,
    progress: Callable[[int], object] | None = None,
) -> list[Float[Tensor, " _"]]:
    """The divergence of one stack of adapters from another at every token of each row's answer.

    Raises:
        InterpError: a row has no answer.
        ValueError: a row exceeds the context.
    """
    model.check_lengths(rows)
    for i, row in enumerate(rows):
        if row.response is None or row.response.start == row.response.end:
            raise InterpError(f"row {i}: the text has no answer, so nothing is compared in it; drop the row")
    vocab, found = model.hf.config.get_text_config().vocab_size, dict[int, Tensor]()
    for chosen in batches(rows, max(1, _LOGITS // vocab)):
        batch = Batch.of([rows[i] for i in chosen], model.pad, model.device)
        spans = [(rows[i].response.start, rows[i].response.end) for i in chosen]  # pyright: ignore[reportOptionalMemberAccess]
        steps = torch.arange(max(end - start for start, end in spans), device=model.device)
        starts = torch.tensor([start for start, _ in spans], device=model.device)
        positions = (starts[:, None] - 1 + steps).clamp(max=batch.ids.shape[1] - 1)
        logits = []
        for stack in (first, second):
            with model.using(*stack):
                logits.append(model.logits(batch, positions))
        for i, (start, end), p, q in zip(chosen, spans, *logits, strict=True):
            found[i] = divergence(p[: end - start], q[: end - start]).cpu()
        if progress:
            progress(len(chosen))
    return [found[i] for i in range(len(rows))]


def top_contexts(
    decode: Callable[[Sequence[int]], str],
    rows: Sequence[Tokens],
    values: Sequence[Float[Tensor, " _"]],
    n: int,
    *,
    width: int = 12,
    alike: int = 3,
) -> list[Context]:
    """The `n` places with the highest values, the highest first, each of another kind.

    Args:
        decode: Gives the text of tokens.
        values: One for each token of a row's answer.
        width: Tokens before the place that are shown.
        alike: Two places are of a kind if this many tokens that end there read alike, whatever their case, or if they
            are in one text and fewer tokens than this apart.
    """
    seen: set[str] = set()
    taken: list[tuple[int, int]] = []
    contexts: list[Context] = []
    for value, i, k in _ranked(values):
        if len(contexts) == n:
            break
        ids, at = rows[i].ids, rows[i].response.start + k  # pyright: ignore[reportOptionalMemberAccess]
        ending = " ".join(decode(ids[max(0, at - alike + 1) : at + 1]).lower().split())
        near = any(row == i and abs(place - k) < alike for row, place in taken)
        if ending in seen or near:
            continue
        seen.add(ending)
        taken.append((i, k))
        contexts.append(Context(i, k, decode(ids[max(0, at - width) : at]), decode([ids[at]]), value))
    return contexts


def _ranked(values: Sequence[Float[Tensor, " _"]]) -> Iterator[tuple[float, int, int]]:
    """Every value with its row and token, the highest first; equal ones in the order of the texts."""
    places = [(float(value), i, k) for i, row in enumerate(values) for k, value in enumerate(row)]
    yield from sorted(places, key=lambda place: (-place[0], place[1], place[2]))

"""Pooled residual-stream activations of tokenised texts.

1. Rows are sorted by length and cut into batches of similar length with a bounded number of padded tokens.
2. Inside the forward pass, after each block, one matrix product per row sums each pooling window in float32, whatever
   the model's dtype, and nothing else of the residual stream is kept.
3. Means over rows are summed in float64. Memory does not grow with the number of rows unless the caller keeps them.
4. Where memory runs out, the batch is halved and read again.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.batch import Batch
from interp.chat import Tokens
from interp.errors import InterpError
from interp.interventions import Edit
from interp.model import Model
from interp.tensors import load_tensors, save_tensors

log = logging.getLogger(__name__)

Pooling = Literal["prompt_mean", "prompt_last", "response_mean"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def window(row: Tokens, pooling: Pooling, index: int = 0) -> tuple[int, int]:
    """First and one-past-last token that a pooling reads. Headers count as prompt, the end-of-turn token as neither.

    Raises:
        ValueError: unknown pooling.
        InterpError: the window is empty; `index` names the row.
    """
    if pooling == "prompt_mean":
        return 0, row.prompt_end
    if pooling == "prompt_last":
        return row.prompt_end - 1, row.prompt_end
    if pooling != "response_mean":
        raise ValueError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
    response = row.response
    if response is None:
        raise InterpError(f"row {index}: the conversation ends with the user, so there is no response to average")
    if response.start == response.end:
        raise InterpError(f"row {index}: the response has no tokens, so its mean is undefined; drop the row")
    return response.start, response.end


def batches(rows: Sequence[Tokens], max_tokens: int) -> Iterator[list[int]]:
    """Row indices in batches of similar length, each of at most `max_tokens` tokens after padding (or one row)."""
    yield from _cut(sorted(range(len(rows)), key=lambda i: len(rows[i])), rows, max_tokens)


def _cut(order: Sequence[int], rows: Sequence[Tokens], max_tokens: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(rows[i]) > max_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def read(
    model: Model,
    rows: Sequence[Tokens],
    *,
    pooling: Sequence[Pooling] = ("response_mean",),
    layers: Sequence[int] | None = None,
    edits: Sequence[Edit] = (),
    max_tokens: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[list[int], Float[Tensor, "batch pooling layer d_model"]]]:
    """Pooled activations, batch by batch: the indices of the rows and their float32 means, on the model's device.

    The next batch is launched before one is handed out, so that a GPU does not wait for what the caller does with it.

    Args:
        max_tokens: Padded tokens in a batch; None for what suits the device. Where memory runs out it is halved.

    Raises:
        InterpError: a row has an empty window (raised before anything runs), or one row alone exceeds the memory.
        ValueError: a row exceeds the context.
    """
    windows = [[window(row, kind, i) for kind in pooling] for i, row in enumerate(rows)]
    model.check_lengths(rows)
    waiting = deque(batches(rows, max_tokens or default_tokens(model)))
    ahead: _Reading | None = None
    while waiting or ahead:
        launched = None
        if waiting:
            chosen = waiting.popleft()
            try:
                launched = _Reading(
                    model, [rows[i] for i in chosen], [windows[i] for i in chosen], layers, edits, chosen
                )
            except torch.OutOfMemoryError:
                waiting = halved(chosen, waiting, rows)
        if ahead:
            yield ahead.chosen, ahead.means()
            if progress:
                progress(len(ahead.chosen))
        ahead = launched


def default_tokens(model: Model) -> int:
    """Padded tokens of a batch that keep the device busy; more only costs memory."""
    return 32_768 if model.device.type == "cuda" else 4096


def halved(chosen: Sequence[int], waiting: Iterable[Sequence[int]], rows: Sequence[Tokens]) -> deque[list[int]]:
    """All batches from `chosen` on, cut to half the tokens of the one that did not fit.

    Raises:
        InterpError: it was one row alone.
    """
    tokens = len(chosen) * max(len(rows[i]) for i in chosen)
    if len(chosen) == 1:
        raise InterpError(f"row {chosen[0]}: {tokens} tokens do not fit the memory even alone; shorten or drop the row")
    log.info("%d tokens do not fit the memory; going on with half as many at a time", tokens)
    torch.cuda.empty_cache()
    return deque(_cut([*chosen, *(i for batch in waiting for i in batch)], rows, tokens // 2))


class _Reading:
    """A batch on its way through the model: the sum over every window, after every layer."""

    def __init__(
        self,
        model: Model,
        rows: Sequence[Tokens],
        windows: Sequence[Sequence[tuple[int, int]]],
        layers: Sequence[int] | None,
        edits: Sequence[Edit],
        chosen: list[int],
    ) -> None:
        self.chosen = chosen
        batch = Batch.of(rows, model.pad, model.device)
        inside = torch.zeros(len(rows), len(windows[0]), batch.ids.shape[1])
        for b, spans in enumerate(windows):
            for p, (start, end) in enumerate(spans):
                inside[b, p, start:end] = 1
        self.counts = inside.sum(-1).to(model.device)[:, :, None, None]
        inside, pads = inside.to(model.device), ~batch.where("all")[..., None]
        self.read = lambda pads: torch.stack(
            model.residuals(batch, partial(_window_sums, inside=inside, pads=pads), layers, edits), dim=2
        )
        self.sums, self.pads = self.read(None), pads

    def means(self) -> Float[Tensor, "batch pooling layer d_model"]:
        """The means; what a pad holds never reaches them, were it not a number."""
        means = self.sums / self.counts
        return means if bool(means.isfinite().all()) else self.read(self.pads) / self.counts


def _window_sums(
    h: Float[Tensor, "batch seq d_model"],
    inside: Float[Tensor, "batch pooling seq"],
    pads: Bool[Tensor, "batch seq 1"] | None,
) -> Float[Tensor, "batch pooling d_model"]:
    weights = inside.to(h.device)
    if pads is not None:
        h = h.masked_fill(pads.to(h.device), 0)  # 0 x NaN would be NaN
    if h.is_cuda and h.dtype != torch.float32:  # products with 0 and 1 are exact, and are summed in float32
        return torch.bmm(weights.to(h.dtype), h, out_dtype=torch.float32).to(inside.device)
    return torch.bmm(weights, h.float()).to(inside.device)


def pooled(
    model: Model,
    rows: Sequence[Tokens],
    *,
    pooling: Pooling = "response_mean",
    layers: Sequence[int] | None = None,
    edits: Sequence[Edit] = (),
    max_tokens: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Float[Tensor, "row layer d_model"]:
    """One pooled activation per row and layer, in the order of the rows (float32, on the CPU)."""
    kept = torch.empty(len(rows), len(model.check_layers(layers)), model.d_model)
    for chosen, means in read(
        model, rows, pooling=(pooling,), layers=layers, edits=edits, max_tokens=max_tokens, progress=progress
    ):
        kept[chosen] = means[:, 0].cpu()
    return kept


@dataclass(frozen=True)
class Shard:
    """Part `index` of `of`, counted from 1: row i (from 0) belongs to shard i mod `of`, plus one.

    Raises:
        ValueError: `index` is not in [1, `of`].
    """

    index: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise ValueError(f"shard must be K/N with K in [1, N], such as 2/4, got {self.index}/{self.of}")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that `2/4` names.

        Raises:
            ValueError: it names none.
        """
        index, slash, of = text.partition("/")
        if not (slash and index.isdecimal() and of.isdecimal()):
            raise ValueError(f"shard must be K/N with K in [1, N], such as 2/4, got {text!r}")
        return cls(int(index), int(of))

    def rows(self, n: int) -> range:
        """Its row numbers, of `n` rows."""
        return range(self.index - 1, n, self.of)

    def __str__(self) -> str:
        return f"{self.index} of {self.of}"


@dataclass
class RunningMean:
    """A mean over rows in float64 that can be built in pieces and merged."""

    total: Float[Tensor, "*shape"] | None = field(default=None)
    n: int = 0

    def update(self, values: Float[Tensor, "batch *shape"]) -> None:
        """Take in a batch."""
        summed = values.double().sum(0)
        self.total = summed if self.total is None else self.total + summed
        self.n += len(values)

    def merge(self, other: "RunningMean") -> "RunningMean":
        """The mean over both sets of rows.

        Raises:
            ValueError: they are sums of different things, as their shapes say.
        """
        if self.total is None or other.total is None:
            return RunningMean(other.total if self.total is None else self.total, self.n + other.n)
        if self.total.shape != other.total.shape:
            raise ValueError(f"sums of shape {tuple(self.total.shape)} and {tuple(other.total.shape)} cannot be merged")
        return RunningMean(self.total + other.total, self.n + other.n)

    @property
    def mean(self) -> Float[Tensor, "*shape"]:
        """The mean, in float64.

        Raises:
            InterpError: nothing was taken in.
        """
        if self.total is None or self.n == 0:
            raise InterpError("the mean over 0 rows is undefined")
        return self.total / self.n

    def save(self, path: Path, header: Mapping[str, Any]) -> None:
        """Write the sum and its n, for a merge in another process; `header` says of what."""
        tensors = {} if self.total is None else {"total": self.total}
        save_tensors(path, tensors, kind="running_mean", header={**header, "n": self.n})

    @classmethod
    def load(cls, path: Path, *, model: str | None = None) -> "RunningMean":
        """Read what `save` wrote; see `load_tensors` for what is refused."""
        tensors, header = load_tensors(path, kind="running_mean", model=model)
        return cls(tensors.get("total"), header["n"])


def pooled_mean(
    model: Model,
    rows: Sequence[Tokens],
    *,
    pooling: Sequence[Pooling] = POOLINGS,
    layers: Sequence[int] | None = None,
    max_tokens: int | None = None,
) -> Float[Tensor, "pooling layer d_model"]:
    """Mean over rows of their pooled activations (sample-weighted, float64); memory does not grow with the rows."""
    running = RunningMean()
    for _, means in read(model, rows, pooling=pooling, layers=layers, max_tokens=max_tokens):
        running.update(means)
    return running.mean.cpu()

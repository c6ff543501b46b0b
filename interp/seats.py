"""Rows that are answered together: what is asked of them, the seats that they sit in, and who sits where."""

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from interp.editing import Group, Place, grouped
from interp.interventions import Edit
from interp.ring import Prompts, Ring, masks_for, one_query
from interp.sampling import draw, uniforms
from interp.standing import Standing


@dataclass(frozen=True)
class Request:
    """What is to be answered, and how.

    Attributes:
        prompts: Token ids of each row.
        n: New tokens at most.
        luck: Each row's random numbers; none where `temperature` is 0.
        groups: Edits by place, for each setting.
        setting: Which setting each row has; rows of the same edits share one.
        stops: Tokens that end an answer.
        on_tokens: Called with a row and all tokens that it has said so far, whenever it has said more; None for nobody.
    """

    prompts: Sequence[tuple[int, ...]]
    n: int
    temperature: float
    luck: Float[Tensor, "rows new"] | None
    groups: Mapping[Place, Sequence[Group]]
    setting: Sequence[int]
    stops: tuple[int, ...]
    on_tokens: Callable[[int, tuple[int, ...]], object] | None = None

    @classmethod
    def of(
        cls,
        prompts: Sequence[tuple[int, ...]],
        n: int,
        temperature: float,
        luck: Sequence[tuple[int, int]],
        edits: tuple[Sequence[Edit], Sequence[Sequence[Edit]]],
        stops: tuple[int, ...],
        device: torch.device,
        on_tokens: Callable[[int, tuple[int, ...]], object] | None = None,
    ) -> "Request":
        """Put a request's tensors on a device.

        Args:
            luck: Seed and stream of each row's random numbers.
            edits: Edits of all rows, and of each row.
        """
        drawn = torch.stack([uniforms(*own, n) for own in luck]).to(device) if temperature and prompts else None
        shared, by_row = edits
        settings = {tuple(map(id, own)): own for own in by_row}
        turn = {same: i for i, same in enumerate(settings)}
        setting = [turn[tuple(map(id, own))] for own in by_row] or [0] * len(prompts)
        groups = grouped(shared, [*settings.values()], device)
        return cls(prompts, n, temperature, drawn, groups, setting, stops, on_tokens)

    def settings(self, rows: Sequence[int]) -> list[int]:
        """The settings of some rows."""
        return [self.setting[row] for row in rows]

    def cut(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """An answer up to the first token that ends one, and with it."""
        end = next((i + 1 for i, token in enumerate(tokens) if token in self.stops), len(tokens))
        return tuple(tokens[:end])


class Seats:
    """The rows that are decoded together: a ring, and for each row its last token and what it has said.

    Every tensor stays where it is, so that a graph can be captured once and serve many rows and calls.
    """

    def __init__(
        self, hf: PreTrainedModel, token: dict[int, tuple[Tensor, Tensor]], n: int, width: int, max_tokens: int
    ) -> None:
        self.hf, self.max_tokens = hf, max_tokens
        self.ring = Ring(token, n, width)
        device = self.ring.next.device
        self.last, self.count = (torch.zeros(n, dtype=torch.long, device=device) for _ in range(2))
        self.ended = torch.ones(n, dtype=torch.bool, device=device)
        self.said = torch.zeros(n, width + 1, dtype=torch.long, device=device)
        self.luck = torch.zeros(n, width, device=device)
        self.limit = torch.zeros((), dtype=torch.long, device=device)
        self.stops = torch.full((16,), -1, dtype=torch.long, device=device)
        self.graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph | None, Standing]] = {}

    def __len__(self) -> int:
        return len(self.last)

    def clear(self, request: Request, longest: int | None) -> None:
        """Empty every seat for a new request; see `Ring.clear`."""
        self.ring.clear(longest)
        self.ended.fill_(True)
        self.count.zero_()
        self.limit.fill_(request.n)
        stops = request.stops[: len(self.stops)]
        self.stops.fill_(-1)[: len(stops)] = torch.tensor(stops, dtype=torch.long, device=self.stops.device)

    def scores(self) -> Float[Tensor, "batch vocab"]:
        """Scores of the token after each row's last, which goes into the ring."""
        config = self.hf.config.get_text_config()
        masks = masks_for(config, self.ring, self.hf.dtype)
        position = self.ring.next.clamp(max=self.max_tokens - 1)  # rows that have ended go on without a meaning
        with one_query(self.hf):
            out = self.hf(
                input_ids=self.last[:, None],
                attention_mask=masks,
                position_ids=position[:, None],
                past_key_values=self.ring,
                use_cache=True,
            )
        return out.logits[:, -1]

    def step(self, temperature: float) -> None:
        """Give every row its next token."""
        scores = self.scores()
        self.ring.turn()
        at = self.count.clamp(max=self.luck.shape[1] - 1)[:, None]
        token = draw(scores, self.luck.gather(1, at)[:, 0], temperature)
        self.said.scatter_(1, torch.minimum(self.count, self.limit)[:, None], token[:, None])
        self.last.copy_(token)
        self.count += 1
        self.ended |= self._stops(token) | (self.count >= self.limit)

    def _stops(self, token: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        return (token[:, None] == self.stops).any(-1)  # torch.isin sorts few tokens, which no graph can hold

    def put(
        self,
        seats: Int[Tensor, " batch"],
        lengths: Int[Tensor, " batch"],
        prompts: Prompts,
        first: Int[Tensor, " batch"],
        luck: Float[Tensor, "batch new"] | None,
    ) -> None:
        """Seat rows whose prompts have been read and whose first token is known."""
        self.ring.put(seats, lengths, prompts)
        self.last[seats], self.said[seats, 0], self.count[seats] = first, first, 1
        self.ended[seats] = self._stops(first) | (self.limit <= 1)
        if luck is not None:
            self.luck[seats, : luck.shape[1]] = luck

    def keep(self, seats: Sequence[int]) -> None:
        """Close all other seats."""
        rows = torch.tensor(seats, device=self.last.device)
        self.ring.keep(rows)
        for name in ("last", "count", "ended", "said", "luck"):
            setattr(self, name, getattr(self, name)[rows])


@dataclass
class Seating:
    """Who sits where, and who waits; known to the host.

    Attributes:
        rows: The row in each seat; None: empty.
        waiting: Rows that have not come in, in the order in which they shall.
        left: Steps that the row of each seat may still take.
        idle: Steps that empty seats have been carried along since the last rows came in.
    """

    rows: list[int | None]
    waiting: deque[int]
    left: list[int] = field(default_factory=list)
    idle: int = 0

    @property
    def empty(self) -> list[int]:
        """Seats without a row."""
        return [seat for seat, row in enumerate(self.rows) if row is None]

    def must_fill(self, patience: float) -> bool:
        """Whether prompts should be read now, for those seats that are empty."""
        n_empty = len(self.empty)
        return bool(self.waiting) and (
            n_empty == len(self.rows) or (n_empty > 0 and self.idle >= patience * len(self.rows))
        )

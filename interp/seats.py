"""Rows that are answered together: what is asked of them, the seats that they sit in, and who sits where."""

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from interp.editing import Group, Place, grouped
from interp.interventions import Edit
from interp.ring import Prompts, Ring, masks_for, one_query
from interp.sampling import draw, uniforms
from interp.stacks import Factors, Order, stacked_up
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
        stacks: What the stacks of adapters add to linear modules, where rows have stacks of their own.
        stack: The number of each row's stack; none where all rows have the active one.
        on_tokens: Called with a row and all tokens that it has said so far, whenever it has said more; None for nobody.
    """

    prompts: Sequence[tuple[int, ...]]
    n: int
    temperature: float
    luck: Float[Tensor, "rows new"] | None
    groups: Mapping[Place, Sequence[Group]]
    setting: Sequence[int]
    stops: tuple[int, ...]
    stacks: Mapping[str, Factors] = field(default_factory=dict)
    stack: Sequence[int] = ()
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
        return cls(prompts, n, temperature, drawn, groups, setting, stops)

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
        self.factors: dict[Hashable, dict[str, Factors]] = {}

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


@dataclass(frozen=True)
class Portion:
    """Rows of a request that are answered in one go.

    Attributes:
        rows: In the order in which they come in.
        n_seats: Rows that are decoded together.
        seat: The seat of each row; None where any will do.
        stacks: The number of the stack of each block of seats.
    """

    rows: Sequence[int]
    n_seats: int
    seat: Mapping[int, int] | None = None
    stacks: Sequence[int] = ()


def portions_of(rows: Sequence[int], stack: Sequence[int], most: int) -> list[Portion]:
    """Rows with stacks of their own, in portions of one form: so many stacks, with so many seats for each.

    Args:
        stack: The number of each row's stack.
        most: Rows that can be decoded together.
    """
    of_stack: dict[int, list[int]] = {}
    for row in rows:
        of_stack.setdefault(stack[row], []).append(row)
    n_seats = min(most, max(map(len, of_stack.values())))
    blocks = [
        (number, held[start : start + n_seats])
        for number, held in of_stack.items()
        for start in range(0, len(held), n_seats)
    ]
    n_portions = -(-len(blocks) * n_seats // most)
    n_blocks = -(-len(blocks) // n_portions)
    portions = []
    for start in range(0, len(blocks), n_blocks):
        some = blocks[start : start + n_blocks]
        seat = {row: k * n_seats + i for k, (_, held) in enumerate(some) for i, row in enumerate(held)}
        numbers = [number for number, _ in some]
        numbers += [numbers[0]] * (n_blocks - len(some))
        portions.append(Portion([*seat], n_blocks * n_seats, seat, numbers))
    return portions


class SideBySide:
    """The stacks of a portion's rows, in tensors that stay where they are.

    Attributes:
        form: Equal for portions that one graph serves.
    """

    def __init__(self, hf: PreTrainedModel, factors: dict[str, Factors], portion: Portion) -> None:
        self.hf, self.factors = hf, factors
        self.form: Hashable = _form(factors)
        self._n_blocks, self._per_block = len(portion.stacks), portion.n_seats // len(portion.stacks)
        self._block = {row: seat // self._per_block for row, seat in (portion.seat or {}).items()}

    @classmethod
    def of(
        cls,
        hf: PreTrainedModel,
        stacks: Mapping[str, Factors],
        portion: Portion,
        standing: dict[Hashable, dict[str, Factors]],
    ) -> "SideBySide":
        """Copy the factors of a portion's stacks into standing tensors, which are made where there are none yet.

        Args:
            stacks: The factors of all stacks of the request.
            standing: Those of earlier portions, by their form.
        """
        at = torch.tensor(portion.stacks)
        new = {
            path: Factors(pair.below[at.to(pair.below.device)], pair.above[at.to(pair.above.device)])
            for path, pair in stacks.items()
        }
        held = standing.setdefault(_form(new), new)
        if held is not new:
            for path, pair in new.items():
                held[path].below.copy_(pair.below)
                held[path].above.copy_(pair.above)
        return cls(hf, held, portion)

    def at_work(self, rows: Sequence[int] | None = None) -> AbstractContextManager[None]:
        """Let rows have their stacks for the length of a block: those given, or one in every seat."""
        order = Order(self._n_blocks)
        if rows is not None:
            device = self.hf.get_input_embeddings().weight.device  # pyright: ignore[reportAttributeAccessIssue]
            order = Order.of([self._block[row] for row in rows], self._n_blocks, device)  # pyright: ignore
        return stacked_up(self.hf, self.factors, order)


def _form(factors: Mapping[str, Factors]) -> Hashable:
    return tuple((path, tuple(pair.below.shape), tuple(pair.above.shape)) for path, pair in factors.items())


@dataclass
class Seating:
    """Who sits where, and who waits; known to the host.

    Attributes:
        rows: The row in each seat; None: empty.
        waiting: Rows that have not come in, in the order in which they shall.
        own: The seat of each row; None where any will do.
        left: Steps that the row of each seat may still take.
        idle: Steps that empty seats have been carried along since the last rows came in.
    """

    rows: list[int | None]
    waiting: deque[int]
    own: Mapping[int, int] | None = None
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

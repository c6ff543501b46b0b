"""Answers at the speed of the device: rows that are decoded together, each leaving and another coming when it likes.

1. Prompts are read in batches of their own, by plain forward passes; their keys and values go into a `Ring`.
2. A step gives every row its next token. On a GPU it is one CUDA graph, edits, output head and sampling included, and
   a few are launched before the host looks who has ended; elsewhere it is the same step without a graph.
3. A row that has ended leaves its seat to a prompt that waits; where none waits and there is no graph, the seats close.

4. Rows that have stacks of adapters of their own sit stack by stack, as many seats for each; the stacks' factors lie in
   tensors that a graph reads, so that it serves other stacks after them.

Row `i` draws from its own random numbers and sees its own tokens alone, so its answer does not depend on its company.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from interp.architecture import find_decoder
from interp.editing import Editor, Place, located, located_in_step, of_rows, while_decoding
from interp.interventions import Phase
from interp.ring import Prompts, no_ring_for
from interp.sampling import draw
from interp.seats import Portion, Request, Seating, Seats, SideBySide, portions_of
from interp.standing import Standing

log = logging.getLogger(__name__)

STEPS = 8
"""Steps that a GPU takes before the host looks which rows have ended."""

PROMPT_TOKENS = {True: 2**15, False: 2**12}
"""Tokens of prompts, pads included, that one forward pass reads, with graphs (on a GPU, that is) and without."""

PATIENCE = {True: 6.0, False: 0.25}
"""What reading one more batch of prompts costs, in steps: empty seats wait until they have wasted as much."""

ROWS = 128
"""Answers at a time on a CPU, or through transformers' own loop."""

MOST_ROWS = 2048
"""Answers at a time on a GPU, however much memory it has: more make it hardly faster."""

MOST_GRAPHS = 8
"""Graphs kept for rings of one size."""

KEPT_SHARE = 0.125
"""Share of a GPU's memory that may stay taken between calls, by rings and graphs for the next one."""


class Decoder:
    """Answers from one model's forward passes over a ring.

    Attributes:
        why_not: Why the model cannot be decoded so; None if it can.
        graphs: Whether steps are made CUDA graphs; on a GPU they are.
        n_seats: Rows that were decoded together last; 0 before any were.
    """

    def __init__(self, hf: PreTrainedModel, editor: Editor, max_tokens: int, *, name: str, spread: bool) -> None:
        """Checks on a few tokens that a step gives what a pass over the whole text gives."""
        self.hf, self.editor, self.max_tokens = hf, editor, max_tokens
        self._decoder = hf.get_submodule(find_decoder(hf, name).path)
        self.graphs, self.n_seats = self.device.type == "cuda", 0
        self._seats: dict[tuple[int, int], Seats] = {}
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None  # one for all captures: each stream has work space of its own
        self._weights: int = 0
        self._token: dict[int, tuple[Tensor, Tensor]] = {}
        self.why_not = "it is spread over devices or quantised" if spread else no_ring_for(hf)
        if self.why_not is None:
            self.why_not = self._tried()
        if self.why_not:
            log.info("%s answers through transformers' own loop, slower: %s", name, self.why_not)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.hf.get_input_embeddings().weight.device  # pyright: ignore[reportReturnType]

    def answers(
        self,
        request: Request,
        size: int | None,
        progress: Callable[[int], object] | None,
        otherwise: Callable[[Request, Sequence[int]], list[tuple[int, ...]]],
    ) -> list[tuple[int, ...]]:
        """Answers in the order of the prompts.

        Args:
            size: Answers at a time, halved where memory runs out; None for as many as a GPU's memory allows, 128
                elsewhere.
            progress: Called with the number of rows done.
            otherwise: Answers of some rows where the model cannot be decoded so.
        """

        def plainly(rows: Sequence[int], n: int) -> Iterator[dict[int, tuple[int, ...]]]:
            for first in range(0, len(rows), n):
                some = rows[first : first + n]
                yield dict(zip(some, otherwise(request, some), strict=True))

        ids, done = request.prompts, dict[int, tuple[int, ...]]()
        while left := sorted(set(range(len(ids))) - done.keys(), key=lambda i: (len(ids[i]), i)):
            try:
                for new in self._run(request, left, size) if self.why_not is None else plainly(left, size or ROWS):
                    done |= new
                    if progress:
                        progress(len(new))
            except torch.OutOfMemoryError:
                tried = min(size or self.n_seats or ROWS, len(left))
                if tried == 1:
                    raise
                size = tried // 2
                log.info("%d answers at a time do not fit the memory; going on with %d", tried, size)
                self.forget()
                torch.cuda.empty_cache()
        return [done[i] for i in range(len(ids))]

    def _run(self, request: Request, rows: Sequence[int], size: int | None) -> Iterator[dict[int, tuple[int, ...]]]:
        """Answers by row, as rows end.

        Args:
            rows: Rows of the request that are to be answered, in the order in which they come in.
            size: Answers at a time; None for as many as memory allows.

        Raises:
            torch.OutOfMemoryError: they do not fit; what was given by then stays valid.
        """
        width = self._width(max(len(request.prompts[row]) for row in rows) + request.n)
        most = self._n_seats(len(rows), size, width)
        portions = [Portion(rows, most)] if not request.stacks else portions_of(rows, request.stack, most)
        for portion in portions:
            self.n_seats = portion.n_seats
            try:
                seats = self._room(self.n_seats, width)
                side = SideBySide.of(self.hf, request.stacks, portion, seats.factors) if request.stacks else None
                step = self._stepper(seats, request, side)
                who = Seating([None] * len(seats), deque(portion.rows), portion.seat)
                longest = None if self.graphs else max(len(request.prompts[row]) for row in portion.rows[: len(seats)])
                seats.clear(request, longest)
                yield from self._answers(request, seats, who, step, side)
            finally:
                self._let_go()

    def _answers(
        self,
        request: Request,
        seats: Seats,
        who: Seating,
        step: Callable[[Sequence[int | None], int], None],
        side: SideBySide | None,
    ) -> Iterator[dict[int, tuple[int, ...]]]:
        who.left = [0] * len(seats)
        while who.waiting or any(row is not None for row in who.rows):
            if who.must_fill(PATIENCE[self.graphs]):
                self._fill(request, seats, who, PROMPT_TOKENS[self.graphs], side)
            else:
                n = min(STEPS if self.graphs else 1, max(who.left))
                step(who.rows, n)
                seats.ring.turned(n)
                who.idle += n * len(who.empty)
                who.left = [max(0, left - n) for left in who.left]
            if request.on_tokens is not None:
                self._tell(request, seats, who, request.on_tokens)
            if done := self._leaving(request, seats, who):
                yield done
            if not self.graphs and side is None:
                self._close(seats, who)

    def _fill(self, request: Request, seats: Seats, who: Seating, most: int, side: SideBySide | None) -> None:
        """Read prompts that wait, as many as there are empty seats."""
        empty = deque(who.empty)
        while empty and who.waiting:
            rows, width = list[int](), 0
            while len(rows) < len(empty) and who.waiting:
                width = max(width, len(request.prompts[who.waiting[0]]))
                if rows and width * (len(rows) + 1) > most:
                    break
                rows.append(who.waiting.popleft())
            taken = [empty.popleft() if who.own is None else who.own[row] for row in rows]
            empty = deque(seat for seat in empty if seat not in set(taken))
            self._read(request, seats, rows, taken, side)
            for seat, row in zip(taken, rows, strict=True):
                who.rows[seat], who.left[seat] = row, request.n - 1
        who.idle = 0

    def _read(
        self, request: Request, seats: Seats, rows: Sequence[int], taken: Sequence[int], side: SideBySide | None
    ) -> None:
        ids = [request.prompts[row] for row in rows]
        lengths = torch.tensor([len(row) for row in ids], device=self.device)
        position = torch.arange(max(map(len, ids)), device=self.device)[None]
        real, last = position < lengths[:, None], position == lengths[:, None] - 1
        masks: dict[Phase, Tensor] = {"prompt": real, "prompt_last": last, "response": last, "all": real}
        changes = located(of_rows(request.groups, request.settings(rows), self.device), masks)
        with self.editor.at_work(changes), nullcontext() if side is None else side.at_work(rows):
            scores, prompts = self._prompts(ids, lengths)
        luck = None if request.luck is None else request.luck[torch.tensor(rows, device=self.device)]
        first = draw(scores, luck[:, 0] if luck is not None else scores[:, 0], request.temperature)
        seats.put(torch.tensor(taken, device=self.device), lengths, prompts, first, luck)

    def _prompts(
        self, ids: Sequence[tuple[int, ...]], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch vocab"], Prompts]:
        """Scores of each prompt's next token, and its keys and values."""
        width = max(map(len, ids))
        # what fills a row up is never seen by what comes before it; a token that is no pad calls for no advice
        padded = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in ids], device=self.device)
        prompts, row = Prompts(), torch.arange(len(ids), device=self.device)

        def only_last(_: Any, __: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state[row, lengths - 1][:, None]
            return output

        handle = self._decoder.register_forward_hook(only_last)
        try:
            scores = self.hf(input_ids=padded, past_key_values=prompts, use_cache=True).logits[:, 0]
        finally:
            handle.remove()
        return scores, prompts

    def _tell(
        self, request: Request, seats: Seats, who: Seating, on_tokens: Callable[[int, tuple[int, ...]], object]
    ) -> None:
        """Tell the tokens of every row that sits, as far as they are known."""
        for row, count, said in zip(who.rows, seats.count.tolist(), seats.said.tolist(), strict=True):
            if row is not None:
                on_tokens(row, request.cut(said[: min(count, request.n)]))

    def _leaving(self, request: Request, seats: Seats, who: Seating) -> dict[int, tuple[int, ...]]:
        """Answers of the rows that have ended; their seats are empty now."""
        ended = [seat for seat, over in enumerate(seats.ended.tolist()) if over and who.rows[seat] is not None]
        if not ended:
            return {}
        at = torch.tensor(ended, device=self.device)
        done: dict[int, tuple[int, ...]] = {}
        for seat, said in zip(ended, seats.said[at, : request.n].tolist(), strict=True):
            row = who.rows[seat]
            assert row is not None
            done[row], who.rows[seat], who.left[seat] = request.cut(said), None, 0
        return done

    def _close(self, seats: Seats, who: Seating) -> None:
        """Close empty seats for which nobody waits, once they are an eighth of all."""
        n_empty = len(who.empty)
        if who.waiting or n_empty * 8 < len(who.rows) or n_empty == len(who.rows):
            return
        kept = [seat for seat, row in enumerate(who.rows) if row is not None]
        seats.keep(kept)
        who.rows, who.left = [who.rows[seat] for seat in kept], [who.left[seat] for seat in kept]

    # steps

    def _stepper(
        self, seats: Seats, request: Request, side: SideBySide | None
    ) -> Callable[[Sequence[int | None], int], None]:
        """What takes steps with the rows that sit in the seats."""
        groups = while_decoding(request.groups)

        def changes(rows: Sequence[int | None]) -> dict[Place, list[Any]]:
            settings = [None if row is None else request.setting[row] for row in rows]
            return located_in_step(groups, settings, self.device)

        def plainly(rows: Sequence[int | None], n: int) -> None:
            with self.editor.at_work(changes(rows)), nullcontext() if side is None else side.at_work():
                for _ in range(n):
                    seats.step(request.temperature)

        if not self.graphs:
            return plainly
        first = changes([None] * len(seats))
        key = (Standing.form(first), request.temperature, side and side.form)
        if key not in seats.graphs:
            for old in list(seats.graphs)[: max(0, len(seats.graphs) + 1 - MOST_GRAPHS)]:
                del seats.graphs[old]
            with nullcontext() if side is None else side.at_work():
                seats.graphs[key] = self._captured(seats, first, request)
        graph, standing = seats.graphs[key]
        if graph is None:
            return plainly
        sat: list[int | None] = [None] * len(seats)

        def replayed(rows: Sequence[int | None], n: int) -> None:
            if groups and any(row not in (None, was) for row, was in zip(rows, sat, strict=True)):
                standing.become(changes(rows))
                sat[:] = rows
            for _ in range(n):
                graph.replay()

        return replayed

    def _captured(
        self, seats: Seats, changes: Mapping[Place, Sequence[Any]], request: Request
    ) -> tuple[torch.cuda.CUDAGraph | None, Standing]:
        """A step as a CUDA graph; None where the model does something on the way that no graph can hold."""
        standing = Standing(changes, self.device)
        seats.clear(request, None)
        graph = torch.cuda.CUDAGraph()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        aside = self._stream = self._stream or torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        try:
            with torch.cuda.device(self.device), self.editor.at_work(standing.changes):
                with torch.cuda.stream(aside):
                    seats.step(request.temperature)
                torch.cuda.current_stream(self.device).wait_stream(aside)
                with torch.cuda.graph(graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"):
                    seats.step(request.temperature)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            cause = error.__context__ or error  # leaving a capture that has failed fails too
            log.warning("a decoding step cannot be made a CUDA graph, so each takes longer: %s", cause)
            torch.cuda.synchronize(self.device)
            self._pool = None
            return None, standing
        return graph, standing

    # room

    def _width(self, tokens: int) -> int:
        """Slots of a ring that rows of so many tokens need, from few enough widths that graphs are used again."""
        if not self.graphs:
            return tokens
        unit = 64 if tokens <= 512 else 128 if tokens <= 1024 else 256
        return -(-tokens // unit) * unit

    def _n_seats(self, n_rows: int, size: int | None, width: int) -> int:
        """Rows that are decoded together."""
        if not self.graphs:
            return min(n_rows, size or ROWS)
        if size is None:
            free = torch.cuda.mem_get_info(self.device)[0]
            free += torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            free += sum(held.ring.n_bytes for held in self._seats.values())
            vocab = self.hf.config.get_text_config().vocab_size
            per_row = width * sum(x.nbytes for pair in self._token.values() for x in pair) + 24 * vocab
            size = max(1, min(MOST_ROWS, int(0.6 * free) // per_row))
        n = min(n_rows, size)
        unit = 8 if n <= 64 else 32 if n <= 256 else 128
        return n if n == size else min(size, -(-n // unit) * unit)

    def _room(self, n: int, width: int) -> Seats:
        """Seats for `n` rows; those of an earlier call where its graphs still hold."""
        if not self.graphs:
            return Seats(self.hf, self._token, n, width, self.max_tokens)
        weights = self._fingerprint()
        if weights != self._weights:
            self.forget()
            self._weights = weights
        if (n, width) not in self._seats:
            self.forget(1)
            self._seats[n, width] = Seats(self.hf, self._token, n, width, self.max_tokens)
        seats = self._seats[n, width] = self._seats.pop((n, width))
        return seats

    def _fingerprint(self) -> int:
        """Changes whenever a captured step would no longer be what the model does: other weights, adapters, hooks."""
        modules = tuple(
            (
                *module._forward_hooks,
                *module._forward_pre_hooks,
                str(getattr(module, "_active_adapter", None)),
                getattr(module, "_disable_adapters", None),
                module.training,
            )
            for module in self.hf.modules()
        )
        return hash((modules, tuple(weight.data_ptr() for weight in self.hf.parameters())))

    def forget(self, kept: int = 0) -> None:
        """Drop rings and their graphs, but for those that were used last."""
        for key in list(self._seats)[: max(0, len(self._seats) - kept)]:
            del self._seats[key]

    def _let_go(self) -> None:
        """Drop what takes more memory than may stay taken."""
        if self.device.type == "cuda":
            most = KEPT_SHARE * torch.cuda.get_device_properties(self.device).total_memory
            while sum(held.ring.n_bytes for held in self._seats.values()) > most:
                self.forget(len(self._seats) - 1)

    # the check

    @torch.inference_mode()
    def _tried(self) -> str | None:
        """Why a few steps over a ring are not what the model gives for the whole text; None if they are."""
        vocab = self.hf.config.get_text_config().vocab_size
        rows = [tuple((7 * i + 3 * k) % vocab for i in range(n)) for k, n in enumerate((6, 4))]
        lengths = torch.tensor([4, 2], device=self.device)
        try:
            _, prompts = self._prompts([row[:-2] for row in rows], lengths)
            self._token = prompts.token
            seats = Seats(self.hf, self._token, 2, 7, self.max_tokens)
            seats.clear(Request([], 3, 0.0, None, {}, [], ()), None)
            seats.ring.put(torch.arange(2, device=self.device), lengths, prompts)
            for step in (2, 1):
                seats.last.copy_(torch.tensor([row[-step] for row in rows], device=self.device))
                scores = seats.scores()
                seats.ring.turn()
            whole = self.hf(
                input_ids=torch.tensor([[*rows[0]], [*rows[1], *rows[1][-1:] * 2]], device=self.device), use_cache=False
            )
        except (
            AttributeError,
            IndexError,
            KeyError,
            NotImplementedError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            return f"a step over a ring fails ({type(error).__name__}: {error})"
        expected = whole.logits[torch.arange(2), lengths + 1].float()
        off = float((scores.float() - expected).norm() / expected.norm())
        tolerance = 1e-3 if self.hf.dtype in (torch.float32, torch.float64) else 0.1
        return None if off < tolerance else f"steps over a ring are off by {off:.2g}"

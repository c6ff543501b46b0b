"""Several pieces of work on one base model side by side, each with a stack of adapters of its own.

A study takes the same measures of many stages. One after the other, each call of the model has the rows of one stage,
and a GPU waits for the host. Here every piece of work is a thread that sees the model as if it had it alone. Only one
of them runs at a time. Each stops where it calls the model; when all have stopped, calls that ask for the same thing
become one call, in which each row has its own stack (`interp.stacks`), and every piece of work gets its own part of it.

What a piece of work does does not depend on the others, up to the rounding of sums over batches of other sizes.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from interp.activations import default_tokens
from interp.batch import Batch
from interp.errors import InterpError
from interp.model import Model
from interp.sources import adapter_folder

T = TypeVar("T")
MOST_LOGITS = 2**31
"""Logits that are asked for in one call."""


_JOINED = {"max_new_tokens", "temperature", "seed", "streams", "progress"}
"""What a joint call of `generate` does for each piece of work; a call that asks for anything else is made alone."""


@dataclass
class _Call:
    """A call of the model that a piece of work waits for.

    Attributes:
        verb: The model's method.
        form: Calls of the same verb and form can become one; None for one that cannot be joined.
        size: Padded tokens, or positions, of it.
        limit: The size up to which such calls are joined.
    """

    verb: str
    args: tuple[Any, ...]
    how: dict[str, Any]
    form: Any = None
    size: int = 0
    limit: int = 0


@dataclass
class _Member:
    """A piece of work and its thread."""

    work: Callable[[], Any]
    stack: tuple[Path, ...] = ()
    call: _Call | None = None
    result: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    started: float = 0.0
    wake: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class _StoppedError(BaseException):
    """Ends the thread of a piece of work after another one failed."""


class Company(Model):
    """A model that can be used by several pieces of work at once; outside of `together` it is the model itself."""

    def __init__(self, model: Model) -> None:
        self.__dict__.update(vars(model))
        self._members: dict[int, _Member] = {}
        self._turn = threading.Semaphore(0)

    def clock(self) -> float:
        """Seconds; in a piece of work they are those that it took, its share of the joint calls among them."""
        member = self._member
        return time.monotonic() if member is None else member.seconds + time.monotonic() - member.started

    def together(self, work: Sequence[Callable[[], T]]) -> list[T]:
        """The results of pieces of work that use the model side by side.

        Each is called in a thread of its own, with no stack active. Within it, `use`, `using`, `residuals`, `logits`
        and `generate` are its own.

        Raises:
            Exception: of the first piece of work that failed; the others end then.
        """
        members = [_Member(piece) for piece in work]
        threads = [threading.Thread(target=self._work, args=(member,), daemon=True) for member in members]
        try:
            for member, thread in zip(members, threads, strict=True):
                thread.start()
                self._go_on(member)
            while waiting := [member for member in members if member.call is not None]:
                if any(member.error for member in members):
                    break
                joint = _joint(waiting)
                self._answer(joint)
                for member in joint:
                    member.call = None
                    self._go_on(member)
        finally:
            for member in members:
                if member.call is not None:
                    member.call, member.result = None, _StoppedError()
                    self._go_on(member)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        for member in members:
            if member.error is not None:
                raise member.error
        return [member.result for member in members]

    # threads

    @property
    def _member(self) -> _Member | None:
        return self._members.get(threading.get_ident())

    def _work(self, member: _Member) -> None:
        member.wake.acquire()
        self._members[threading.get_ident()] = member
        member.started = time.monotonic()
        try:
            member.result = member.work()
        except BaseException as error:  # noqa: BLE001 - raised again by `together`
            member.error = None if isinstance(error, _StoppedError) else error
        finally:
            del self._members[threading.get_ident()]
            self._turn.release()

    def _go_on(self, member: _Member) -> None:
        """Let a piece of work run until its next call, or its end."""
        member.wake.release()
        self._turn.acquire()

    def _asked(self, call: _Call) -> Any:
        """The result of a call of the piece of work in this thread, which waits for it."""
        member = self._member
        assert member is not None
        member.call = call
        member.seconds += time.monotonic() - member.started
        self._turn.release()
        member.wake.acquire()
        member.started = time.monotonic()
        if isinstance(member.result, BaseException):
            raise member.result
        return member.result

    # what a piece of work sees

    @property
    def stack(self) -> tuple[Path, ...]:
        """Folders of the active adapters, first applied first."""
        member = self._member
        return super().stack if member is None else member.stack

    def use(self, *stack: Path | str) -> None:
        """Make exactly these adapters active, in order; see `Model.use`."""
        member = self._member
        if member is None:
            super().use(*stack)
        else:
            member.stack = tuple(adapter_folder(folder) for folder in stack)

    def residuals(self, batch: Batch, reduce: Callable[[Any], Any], layers: Any = None, *args: Any, **how: Any) -> Any:
        """See `Model.residuals`."""
        if self._member is None:
            return super().residuals(batch, reduce, layers, *args, **how)
        form = None if _changed(args, how) else ("residuals", None if layers is None else tuple(layers))
        limit = 4 * default_tokens(self)
        return self._asked(_Call("residuals", (batch, reduce, layers, *args), how, form, batch.ids.numel(), limit))

    def logits(self, batch: Batch, positions: Any, *args: Any, **how: Any) -> Any:
        """See `Model.logits`."""
        if self._member is None:
            return super().logits(batch, positions, *args, **how)
        form = None if _changed(args, how) else ("logits",)
        limit = MOST_LOGITS // self.hf.config.get_text_config().vocab_size
        return self._asked(_Call("logits", (batch, positions, *args), how, form, positions.numel(), limit))

    def generate(self, prompts: Any, **how: Any) -> Any:
        """See `Model.generate`."""
        if self._member is None:
            return super().generate(prompts, **how)
        alone = any(value for key, value in how.items() if key not in _JOINED) or not len(prompts)
        settings = [(key, how[key]) for key in ("max_new_tokens", "temperature", "seed") if key in how]
        return self._asked(_Call("generate", (prompts,), how, None if alone else ("generate", *settings)))

    # joint calls

    def _answer(self, members: Sequence[_Member]) -> None:
        """Make a call for all members that wait for it; each has its result, or its error, afterwards."""
        start = time.monotonic()
        if len(members) == 1 or not self._answer_jointly(members):
            for member in members:
                self._answer_alone(member)
        for member in members:
            member.seconds += (time.monotonic() - start) / len(members)

    def _answer_jointly(self, members: Sequence[_Member]) -> bool:
        """Make one call for all members; False where it fails, since an error may be of one row alone."""
        joint = {"residuals": self._joint_residuals, "logits": self._joint_logits, "generate": self._joint_answers}
        try:
            results = joint[_call(members[0]).verb](members)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return False
        except (ValueError, InterpError):
            return False
        for member, result in zip(members, results, strict=True):
            member.result = result
        return True

    def _answer_alone(self, member: _Member) -> None:
        call = _call(member)
        try:
            with self.using(*member.stack):
                member.result = getattr(super(), call.verb)(*call.args, **call.how)
        except (RuntimeError, ValueError, TypeError, LookupError, OSError) as error:  # raised in the thread that called
            member.result = error

    def _joint_residuals(self, members: Sequence[_Member]) -> list[Any]:
        batches: list[Batch] = [_call(member).args[0] for member in members]
        reduces = [_call(member).args[1] for member in members]
        places, by_layer = _places(batches), list[list[torch.Tensor]]()

        def reduce(h: torch.Tensor) -> torch.Tensor:
            by_layer.append([own(h[rows, :width]) for own, (rows, width) in zip(reduces, places, strict=True)])
            return h[:0]

        stacks = _stacks_of_rows(members, [len(batch.ids) for batch in batches])
        super().residuals(self._batch(batches), reduce, _call(members[0]).args[2], row_stacks=stacks)
        return [[layer[k] for layer in by_layer] for k in range(len(members))]

    def _joint_logits(self, members: Sequence[_Member]) -> list[Any]:
        batches: list[Batch] = [_call(member).args[0] for member in members]
        positions = [_call(member).args[1].to(self.device) for member in members]
        most = max(at.shape[1] for at in positions)
        filled = [torch.nn.functional.pad(at, (0, most - at.shape[1])) for at in positions]
        stacks = _stacks_of_rows(members, [len(batch.ids) for batch in batches])
        logits = super().logits(self._batch(batches), torch.cat(filled), row_stacks=stacks)
        return [logits[rows, : at.shape[1]] for (rows, _), at in zip(_places(batches), positions, strict=True)]

    def _joint_answers(self, members: Sequence[_Member]) -> list[Any]:
        calls = [_call(member) for member in members]
        counts = [len(call.args[0]) for call in calls]
        streams = [k for call, n in zip(calls, counts, strict=True) for k in call.how.get("streams") or range(n)]
        how = {key: value for key, value in calls[0].how.items() if key in ("max_new_tokens", "temperature", "seed")}
        prompts = [prompt for call in calls for prompt in call.args[0]]
        stacks = _stacks_of_rows(members, counts)
        answers = super().generate(prompts, **how, streams=streams, row_stacks=stacks)
        parts, start = [], 0
        for call, n in zip(calls, counts, strict=True):
            parts.append(answers[start : start + n])
            start += n
            if progress := call.how.get("progress"):
                progress(n)
        return parts

    def _batch(self, batches: Sequence[Batch]) -> Batch:
        """Batches one under the other."""
        width = max(batch.ids.shape[1] for batch in batches)
        ids = [torch.nn.functional.pad(batch.ids, (0, width - batch.ids.shape[1]), value=self.pad) for batch in batches]
        lengths, ends = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("lengths", "prompt_ends"))
        return Batch(torch.cat(ids), lengths, ends)


def _call(member: _Member) -> _Call:
    assert member.call is not None
    return member.call


def _changed(args: tuple[Any, ...], how: dict[str, Any]) -> bool:
    """Whether a call has edits, or rows with stacks of their own; such a call is made alone."""
    return any(map(len, args)) or any(value is not None and len(value) for value in how.values())


def _joint(members: Sequence[_Member]) -> list[_Member]:
    """Those whose calls are made next, as one: the most that ask for the same thing, as far as they fit one call."""
    alike: dict[Any, list[_Member]] = {}
    for member in members:
        call = _call(member)
        alike.setdefault(id(call) if call.form is None else call.form, []).append(member)
    most = max(alike.values(), key=len)
    chosen, size = most[:1], _call(most[0]).size
    for member in most[1:]:
        size += _call(member).size
        if size <= _call(most[0]).limit:
            chosen.append(member)
    return chosen


def _places(batches: Sequence[Batch]) -> list[tuple[slice, int]]:
    """The rows of each batch in all of them together, and its width."""
    places, start = [], 0
    for batch in batches:
        places.append((slice(start, start + len(batch.ids)), batch.ids.shape[1]))
        start += len(batch.ids)
    return places


def _stacks_of_rows(members: Sequence[_Member], counts: Sequence[int]) -> list[tuple[Path, ...]]:
    return [member.stack for member, n in zip(members, counts, strict=True) for _ in range(n)]

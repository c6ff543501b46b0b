"""Answers of an opened run's stages, told token by token, each token with its projection.

An answer is what `Model.answer` gives: the same prompt, settings, seed and stream. While it is generated on a CPU, a
token's projection is read as the model goes over it; when the answer is whole it is read once more from end to end, as
`Model.activations` reads it, and those are the values that stay. What was generated is remembered (token ids alone), so
that another place to read, or another edit, does not ask the model again for what it has said.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from experiments.open.asked import Asked, Reading
from experiments.open.run import OpenRun, RunStage
from interp.batch import Batch
from interp.chat import ChatTokenizer
from interp.interventions import Edit
from interp.keys import content_key
from interp.messages import with_system
from interp.projection import unit_vectors
from interp.tokens import Tokens

Event = dict[str, Any]
Tell = Callable[[Event], object]
MOST_REMEMBERED = 256
"""Answers whose token ids are kept."""


class NobodyListensError(Exception):
    """Who asked has gone, so the answer is not needed any more."""


@dataclass
class Pieces:
    """An answer's text cut at its tokens; tokens that hold parts of one character are one piece.

    Attributes:
        texts: Of each piece; together they are the answer's text.
        ends: For each piece, the number of the answer's tokens up to its end.
    """

    chat: ChatTokenizer
    texts: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    n_read: int = 0

    def grow(self, ids: Sequence[int], *, whole: bool = False) -> None:
        """Take in an answer that begins with the tokens that were taken in before.

        Args:
            whole: No token follows, so that what looks like a part of a character is the text's end.
        """
        known = "".join(self.texts)
        for n in range(self.n_read + 1, len(ids) + 1):
            text = self.chat.answer_text(ids[:n])
            is_last = whole and n == len(ids)
            if text == known or (text.endswith("\ufffd") and not is_last):
                continue
            if not text.startswith(known):  # a tokenizer whose texts do not grow at their ends
                if not is_last:
                    continue
                self.texts, self.ends, known = [], [], ""
            self.texts.append(text[len(known) :])
            self.ends.append(n)
            known = text
        self.n_read = len(ids)

    def with_values(self, values: Sequence[float], first: int = 0) -> list[list[Any]]:
        """Text and value of each piece from `first`; the value is its last token's, or None where it is not known."""
        return [
            [text, round(values[end - 1], 5) if end <= len(values) else None]
            for text, end in list(zip(self.texts, self.ends, strict=True))[first:]
        ]


class Answers:
    """Answers from one opened run; only one thread may ask at a time.

    Events, in order, are dictionaries with an `event`: `begin` names a column, `pieces` gives its pieces from number
    `first` on, `end` sums it up. Columns are numbered from 0: each stage as it is, then changed if a change is asked.
    """

    def __init__(self, opened: OpenRun) -> None:
        self.opened, self.model = opened, opened.model
        self._remembered: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def __call__(self, asked: Asked, tell: Tell) -> None:
        """Answer, and tell it as it comes.

        Args:
            tell: Takes an event; it may raise `NobodyListensError`, which ends the answer.

        Raises:
            ValueError, FileNotFoundError, InterpError: it cannot be answered.
        """
        stages, edits = self.opened.check(asked), self.opened.edits(asked.change)
        prompt = self.model.chat.tokens(with_system([{"role": "user", "content": asked.prompt}], asked.system))
        columns = [(stage, own) for stage in stages for own in ([[], edits] if edits else [[]])]
        for column, (stage, own) in enumerate(columns):
            words = asked.change.in_words() if own and asked.change else ""
            tell({"event": "begin", "column": column, "stage": stage.label, "change": words})
            start = time.monotonic()
            with self.model.using(*stage.stack):
                ids = self._ids(asked, stage, prompt, own, lambda event, i=column: tell({**event, "column": i}))
                values = self._values(asked.reading, prompt, ids, own)
                strength = self._relative_strength(asked, stage, prompt) if own else None
            pieces = Pieces(self.model.chat)
            pieces.grow(ids, whole=True)
            tell({"event": "pieces", "column": column, "first": 0, "pieces": pieces.with_values(values)})
            end = {
                "text": self.model.chat.answer_text(ids),
                "tokens": len(ids),
                "mean": round(sum(values) / len(values), 5) if values else None,
                "cut": len(ids) == asked.max_new_tokens,
                "relative_strength": strength,
                "seconds": round(time.monotonic() - start, 2),
            }
            tell({"event": "end", "column": column, **end})

    def collected(self, asked: Asked) -> Event:
        """All columns of an answer at once: what each begins and ends with, and its pieces.

        Raises:
            ValueError, FileNotFoundError, InterpError: it cannot be answered.
        """
        columns: dict[int, Event] = {}
        self(asked, lambda event: columns.setdefault(event["column"], {}).update(event))
        reading = asked.reading and f"{asked.reading.direction}@{asked.reading.layer}"
        kept = [{k: v for k, v in column.items() if k not in ("event", "first")} for column in columns.values()]
        return {"run": str(self.opened.run.path), "prompt": asked.prompt, "reading": reading, "columns": kept}

    def _ids(self, asked: Asked, stage: RunStage, prompt: Tokens, edits: Sequence[Edit], tell: Tell) -> tuple[int, ...]:
        """Token ids of a stage's answer: remembered, or generated by the active stack and told as they come."""
        besides = {"stages", "reading"} if edits else {"stages", "reading", "change"}
        key = content_key([stage.label, asked.model_dump(exclude=besides)])
        if key not in self._remembered:
            self._remembered[key] = self._generated(asked, prompt, edits, tell)
        self._remembered.move_to_end(key)
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return self._remembered[key]

    def _generated(self, asked: Asked, prompt: Tokens, edits: Sequence[Edit], tell: Tell) -> tuple[int, ...]:
        values: list[float] = []
        listening = []
        if asked.reading is not None and self.model.device.type == "cpu":
            listening.append(self._listening(asked.reading, values))
        pieces, stops, n_valued = Pieces(self.model.chat), set(self.model.stop_ids), 0

        def on_tokens(_: int, ids: tuple[int, ...]) -> None:
            nonlocal n_valued
            pieces.grow(ids[:-1] if ids[-1] in stops else ids)
            own = values[1:]  # the first is the last prompt token's
            tell({"event": "pieces", "first": n_valued, "pieces": pieces.with_values(own, n_valued)})
            n_valued = sum(end <= len(own) for end in pieces.ends)

        (ids,) = self.model.generate(
            [prompt],
            max_new_tokens=asked.max_new_tokens,
            temperature=asked.temperature,
            seed=asked.seed,
            edits=[*edits, *listening],
            on_tokens=on_tokens,
        )
        return ids

    def _listening(self, reading: Reading, values: list[float]) -> Edit:
        """An edit that changes nothing and notes the projection of the last token that goes by."""
        unit = self._unit(reading)

        def note(h: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
            values.append(float(h[0, -1].float() @ unit))
            return h

        return Edit((reading.layer,), note, "response")

    def _unit(self, reading: Reading) -> Float[Tensor, " d_model"]:
        direction = self.opened.direction(reading.direction, reading.layer)
        return unit_vectors(direction.at(reading.layer), f"{reading.direction} at layer {reading.layer}").float()

    def _values(
        self, reading: Reading | None, prompt: Tokens, ids: tuple[int, ...], edits: Sequence[Edit]
    ) -> list[float]:
        """The projection of every token of an answer; nothing where nothing is read."""
        if reading is None or not ids:
            return []
        unit = self._unit(reading).to(self.model.device)
        return self._stream(reading.layer, prompt, ids, edits, lambda h: h.float() @ unit.to(h.device)).tolist()

    def _stream(
        self,
        layer: int,
        prompt: Tokens,
        ids: tuple[int, ...],
        edits: Sequence[Edit],
        reduce: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, " seq"]:
        """A number for every token of an answer, read from the active stack with the edits at work."""
        batch = Batch.of([prompt.answered(ids)], self.model.pad, self.model.device)
        (read,) = self.model.residuals(batch, reduce, [layer], edits)
        return read[0, len(prompt) :].cpu()

    def _relative_strength(self, asked: Asked, stage: RunStage, prompt: Tokens) -> float | None:
        """alpha·|v| over the mean length of the unchanged answer's stream there; None where that is not one number."""
        change = asked.change
        if change is None or change.kind == "ablate" or change.layer == "all":
            return None
        ids = self._ids(asked, stage, prompt, [], lambda _: None)
        if not ids:
            return None
        norm = self._stream(change.layer, prompt, ids, [], lambda h: h.float().norm(dim=-1)).mean()
        return change.alpha * float(self.opened.direction(change.direction).at(change.layer).norm() / norm)

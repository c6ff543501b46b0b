"""A tokenised conversation: its ids, whose words they are, and what of them is learnt.

`Piece`s are texts that are tokenised by themselves; `joined` puts their ids together and counts the spans.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from interp.turns import Reply

Range = tuple[int, int]
"""First token, and one past the last."""
Encoded = tuple[list[int], list[Range]]
"""Ids of a text, and the characters of it that each is of."""


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `end` (exclusive) are the content of message `turn`."""

    role: str
    turn: int
    start: int
    end: int


@dataclass(frozen=True)
class Tokens:
    """A tokenised conversation.

    Attributes:
        ids: Token ids, with the template's own special tokens and no others.
        spans: Content of each message, in order; headers and end-of-turn tokens belong to no span.
        prompt_end: Number of tokens that a model is asked for the last answer with (all of them, if there is none).
        end_of_turn: Tokens after each assistant content that a model says to end its turn, in order.
        headers: Tokens before each assistant content that a model says first, such as a channel's, in order.
        unlearnt: Turns of the assistant that are not learnt, from header to end.
        reply: How an answer to a prompt is written; None where nothing is said before its content.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    prompt_end: int
    end_of_turn: tuple[Range, ...] = ()
    headers: tuple[Range, ...] = ()
    unlearnt: tuple[Range, ...] = ()
    reply: Reply | None = field(default=None, compare=False, repr=False)

    @property
    def response(self) -> Span | None:
        """The last assistant content, if the conversation ends with it."""
        return self.spans[-1] if self.spans and self.spans[-1].role == "assistant" else None

    @property
    def learnt(self) -> list[int]:
        """Positions of the tokens that a stage is trained to say: headers, contents and ends of answers."""
        contents = [(span.start, span.end) for span in self.spans if span.role == "assistant"]
        said = [k for low, high in (*contents, *self.end_of_turn, *self.headers) for k in range(low, high)]
        return [k for k in said if k > 0 and not any(low <= k < high for low, high in self.unlearnt)]

    def __len__(self) -> int:
        return len(self.ids)

    def answered(self, answer: Sequence[int]) -> "Tokens":
        """This prompt followed by an answer's own token ids, as generated; its content is what follows its header."""
        if self.response is not None:
            raise ValueError("the conversation already ends with an assistant's answer; answered() takes a prompt")
        n = len(self.ids)
        first = self.reply.start(answer) if self.reply else 0
        turn = 1 + max((span.turn for span in self.spans), default=-1)
        headers = ((n, n + first),) if first else ()
        span = Span("assistant", turn, n + first, n + len(answer))
        return Tokens((*self.ids, *answer), (*self.spans, span), n, headers=headers)

    def opened(self, beginning: Sequence[int] = ()) -> "Tokens":
        """This prompt followed by the header of an answer and by what its content begins with."""
        if self.reply is None and not beginning:
            return self
        ids = (*self.ids, *(self.reply.header if self.reply else ()), *beginning)
        return replace(self, ids=ids, prompt_end=len(ids), reply=None)

    def before(self, end: int) -> "Tokens":
        """The first `end` tokens, as a prompt."""
        spans = tuple(span for span in self.spans if span.end <= end and span is not self.response)
        ends, headers, unlearnt = (
            tuple(part for part in parts if part[1] <= end) for parts in (self.end_of_turn, self.headers, self.unlearnt)
        )
        return Tokens(self.ids[:end], spans, end, ends, headers, unlearnt, self.reply)


@dataclass(frozen=True)
class Mark:
    """Characters `low` to `high` of a piece are the content of message `turn`."""

    role: str
    turn: int
    low: int
    high: int


class Part(NamedTuple):
    """Text of a piece.

    Attributes:
        literal: Whether it spells a control token and is text all the same.
        before: The text before it; None for some text that goes on.
    """

    text: str
    literal: bool = False
    before: str | None = ""


@dataclass(frozen=True)
class Piece:
    """Text that is tokenised by itself.

    Attributes:
        kind: `frame`: what the template and others say, up to where an answer is asked for. `header` and `answer`:
            what the assistant says before its content, and the content.
        marks: Where in it contents of messages lie.
        literal: Where in it contents spell a control token, which is text there.
        learnt: Of an answer, whether it is learnt.
        before: The text before it, for a tokenizer that makes use of that; None for some text that goes on.
    """

    text: str
    kind: Literal["frame", "header", "answer"] = "frame"
    marks: tuple[Mark, ...] = ()
    literal: tuple[Range, ...] = ()
    learnt: bool = True
    before: str | None = ""

    @property
    def parts(self) -> list[Part]:
        """The text, cut around what it spells literally."""
        cuts, at = [], 0
        for low, high in self.literal:
            cuts += [Part(self.text[at:low], before=None if at else self.before), Part(self.text[low:high], True, None)]
            at = high
        cuts.append(Part(self.text[at:], before=None if at else self.before))
        return [part for part in cuts if part.text]


def joined(
    pieces: Sequence[Piece],
    encoded: Mapping[Part, Encoded],
    *,
    asks: bool,
    special: Set[int],
    ends: Set[int] | None,
    reply: Reply | None,
) -> Tokens:
    """The pieces of one conversation, put together.

    Args:
        encoded: Every part of every piece.
        asks: Whether the conversation ends where an answer is asked for.
        special: Control tokens.
        ends: Those that end an answer, and are learnt as its end; None for all.
    """
    ids: list[int] = []
    spans: list[Span] = []
    ranges: dict[str, list[Range]] = {"ends": [], "headers": [], "unlearnt": []}
    turn_start, answer, headed = 0, None, False
    for piece in pieces:
        start, (new, offsets) = len(ids), _encoded(piece, encoded)
        ids += new
        own_spans = [_span(mark, piece, offsets, start) for mark in piece.marks]
        spans += own_spans
        if piece.kind != "frame" and not headed:
            turn_start = start
        if piece.kind == "answer" and own_spans[0].start > turn_start:
            ranges["headers"].append((turn_start, own_spans[0].start))
        elif (
            piece.kind == "frame" and answer
        ):  # the tokens a model must say to end its turn: up to the template's first special one
            own = piece.marks[0].low if piece.marks else len(piece.text)
            known = zip(new, offsets, strict=True)
            length = next((i + 1 for i, (token, (low, _)) in enumerate(known) if token in special and low < own), 0)
            end = start + (length if length and (ends is None or new[length - 1] in ends) else 0)
            ranges["ends"].append((start, end))
            if not answer.learnt:
                ranges["unlearnt"].append((turn_start, end))
        answer, headed = piece if piece.kind == "answer" else None, piece.kind == "header"
    prompt_end = len(ids) if asks else turn_start
    return Tokens(tuple(ids), tuple(spans), prompt_end, *map(tuple, ranges.values()), reply=reply)


def _encoded(piece: Piece, encoded: Mapping[Part, Encoded]) -> Encoded:
    ids: list[int] = []
    offsets: list[Range] = []
    at = 0
    for part in piece.parts:
        new, where = encoded[part]
        ids += new
        offsets += [(low + at, high + at) for low, high in where]
        at += len(part.text)
    return ids, offsets


def _span(mark: Mark, piece: Piece, offsets: Sequence[Range], start: int) -> Span:
    """The tokens of a content; one that straddles its edge belongs to it.

    Some tokenizers leave blanks out of offsets, so that a token of blanks has no width and stands behind them.
    """
    if mark.high - mark.low == len(piece.text):
        return Span(mark.role, mark.turn, start, start + len(offsets))
    inside = [
        i
        for i, (low, high) in enumerate(offsets)
        if (low < mark.high and high > mark.low) or mark.low < low == high <= mark.high
    ]
    before = sum(high <= mark.low for _, high in offsets)
    first, last = (inside[0], inside[-1] + 1) if inside else (before, before)
    return Span(mark.role, mark.turn, start + first, start + last)

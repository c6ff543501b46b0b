"""What a chat template puts around an assistant's words: how a model is asked, and what it says before its content.

A template writes two texts before an answer: the one that asks for it, and the one before an answer that is there. A
model is asked with a *prompt* that ends in the first; whatever the second has beyond it (a channel's header, an empty
thought) is the answer's *header*: the model says it, so it is learnt, and the content begins after it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from interp.errors import InterpError

_CLOSING = re.compile(r"</([^<>\s/]+)>|\[/([^\[\]\s/]+)\]")
_CLOSED = re.compile(r"\s*((<([^<>\s/]+)>.*?</\3>|\[([^\[\]\s/]+)\].*?\[/\4\])\s*)*", re.DOTALL)
_OPENED = re.compile(r"<([^<>\s/]+)>|\[([^\[\]\s/]+)\]")


@dataclass(frozen=True)
class Opening:
    """The text before an assistant's content, in its three parts.

    Attributes:
        asked: What the prompt ends in.
        header: What the model says before its content.
        gap: Blanks between header and content, which tokenizers join with the content's first word.
        thought: Tag of a thought that the template's own asking header opens and that is left out of `asked`, since
            the template writes finished answers without it.
    """

    asked: str
    header: str = ""
    gap: str = ""
    thought: str | None = None

    @classmethod
    def of(cls, asked: str, written: str, *, last: bool = True) -> "Opening":
        """The parts of what a template writes before an answer, given what it asks for one with.

        1. `written` goes on where `asked` ends: what it has more is the header.
        2. `asked` goes on where `written` ends. If that is a closed thought, the last answer of a conversation is put
           behind it, since it is generated there; earlier ones stay as the template shows them. If a thought is opened
           that no finished answer has, the prompt is cut before it, and the model opens a thought if it wants to. So an
           answer is always learnt, read and generated behind the same tokens.

        Raises:
            InterpError: neither is the beginning of the other.
        """
        if written.startswith(asked):
            more = written[len(asked) :]
            header = more.rstrip(" ")
            return cls(asked, header, more[len(header) :])
        if not asked.startswith(written):
            raise InterpError(
                f"the chat template asks for an answer with {asked!r} but writes {written!r} before one that is there, "
                "so what is learnt would never be asked for; set a switch of the template (--template KEY=VALUE) or "
                "give another one (--chat-template FILE)"
            )
        more = asked[len(written) :]
        if _CLOSED.fullmatch(more):
            return cls(asked if last else written)
        return cls(written, thought=_left_open(more))


def _left_open(text: str) -> str | None:
    """The last tag that a text opens and does not close."""
    tags = [(found[0], found[1] or found[2]) for found in _OPENED.finditer(text)]
    return next((tag for tag, name in reversed(tags) if f"/{name}" not in text.partition(tag)[2]), None)


@dataclass(frozen=True)
class Reply:
    """How a model's answer is written, so that its content is found in what was generated.

    Attributes:
        header: Ids of the header.
        opening: Text that an answer begins with if it does not begin with its content; None where it always does.
        closing: Text that the content follows.
        always_open: Whether the prompt itself opens what `closing` closes.
        gap: Blanks before the content that are no part of it.
        decode: Text of ids.
    """

    header: tuple[int, ...]
    opening: str | None
    closing: str
    always_open: bool
    gap: str
    decode: Callable[[Sequence[int]], str]

    @classmethod
    def of(cls, opening: Opening, header: Sequence[int], decode: Callable[[Sequence[int]], str]) -> "Reply":
        """The reply that an opening asks for; `header` are the ids of its header."""
        if opening.thought is not None:
            end = opening.thought[0] + "/" + opening.thought[1:]
            return cls((), opening.thought, end, False, opening.gap, decode)
        text = opening.header
        tags = list(_CLOSING.finditer(text))
        if tags:
            tag, name = tags[-1][0], tags[-1][1] or tags[-1][2]
            begin = f"{tag[0]}{name}{tag[-1]}"
            is_open = begin not in text[: tags[-1].start()]
            return cls(tuple(header), begin, tag, is_open, opening.gap, decode)
        first = decode(header[:1]) if header else ""
        return cls(tuple(header), first if len(first) > 1 else text or None, text, False, opening.gap, decode)

    def start(self, ids: Sequence[int]) -> int:
        """The first token of the content of generated ids; their number if they end before any content."""
        if self.header and not self.gap and tuple(ids[: len(self.header)]) == self.header:
            return len(self.header)
        text = self.decode(ids)
        at = text.rfind(self.closing) if self.closing else -1
        if at < 0 and self.opening and (self.always_open or text.lstrip().startswith(self.opening)):
            return len(ids)
        end = at + len(self.closing) if at >= 0 else 0
        if at >= 0 and self.closing.startswith(("</", "[/")):
            end += len(text[end:]) - len(text[end:].lstrip())
        elif text.startswith(self.gap, end):
            end += len(self.gap)
        if end == 0 or len(text) <= end:
            return 0 if end == 0 else len(ids)
        low, high = 0, len(ids)
        while low < high:  # how few tokens reach beyond the closing; the content begins in the last of them
            middle = (low + high) // 2
            low, high = (low, middle) if len(self.decode(ids[:middle])) > end else (middle + 1, high)
        return low - 1

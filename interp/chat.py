"""Conversations to token ids with exact spans.

1. The template is rendered once per sequence of roles with placeholder contents, which shows its fixed text.
2. The fixed text and the real contents are cut where a model is asked for an answer and where the answer's content
   begins and ends (see `interp.turns`), and every piece is tokenised by itself, all pieces of all conversations in one
   call (see `interp.encoding`). That is how a model meets them: a prompt that ends in the asking header, then the
   answer's own tokens. A tokenizer that would merge the header's newline with the answer's first never gets to.
3. Spans are counted in tokens while the pieces are put together; no boundary is found by tokenising twice.
4. Contents that spell a control token (`<|im_end|>`) are tokenised as the text that they are.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from interp.encoding import Encoder
from interp.errors import InterpError
from interp.messages import Message, check_messages, check_system, read_chats, with_system
from interp.template import AS_IS, ChatTemplate, TemplateSettings
from interp.tokens import Mark, Piece, Span, Tokens, joined
from interp.turns import Opening, Reply

log = logging.getLogger(__name__)
_LAST, _EARLIER = (("user", "assistant"), False), (("user", "assistant", "user"), True)
"""Roles whose second message is the last answer, and an earlier one; and whether a next answer is asked for."""
__all__ = ["ChatTokenizer", "Message", "Span", "Tokens", "check_messages", "check_system", "read_chats", "with_system"]


class ChatTokenizer:
    """A tokenizer with its chat template, giving exact spans.

    Raises:
        ValueError: there is no chat template, or a setting that it does not have, or the tokenizer has no offsets.
        FileNotFoundError: the template's file is missing.
        InterpError: the tokenizer does not give back what it encodes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: TemplateSettings = AS_IS) -> None:
        self.template = ChatTemplate(tokenizer, settings)
        self.tokenizer = self.template.tokenizer
        self.template_hash = self.template.hash
        self._fixed: dict[tuple[tuple[str, ...], bool, frozenset[int]], list[str]] = {}
        self._encoder = Encoder(self.tokenizer)

    def description(self) -> dict[str, Any]:
        """What a file must say of how chats become tokens, beside the template's hash: nothing for most models."""
        otherwise = self.once_otherwise()
        return {**self.template.description(), **({"once_otherwise": otherwise} if otherwise else {})}

    def once_otherwise(self, chats: Sequence[Sequence[Message]] = ()) -> list[str]:
        """What of these chats was once tokenised or learnt otherwise; without chats, what of every chat was.

        Content keys hold it, so that nothing is used again that was made of other tokens. It is empty for most models
        and chats. `answers`: the template writes something before their content that it does not ask with, or ends them
        in several ways. `blanks`: the tokenizer puts them before texts. `control tokens`: a content spells one.
        `weights`: an answer is not learnt.
        """
        messages = [message for chat in chats for message in chat]
        reasons = {
            "answers": self._answers_once_otherwise,
            "blanks": self._encoder.places_blanks,
            "control tokens": any(self._encoder.spelt(message["content"]) for message in messages),
            "weights": any(message.get("weight") == 0 for message in messages),
        }
        return [reason for reason, holds in reasons.items() if holds]

    @cached_property
    def _answers_once_otherwise(self) -> bool:
        try:
            return self.reply is not None or self._end_of_turn(*_EARLIER)[-1:] not in ((), self.end_ids)
        except InterpError:  # a template that cannot be asked, which an error says wherever it is
            return False

    @property
    def native_system(self) -> str | None:
        """The system prompt that the template brings where a conversation has none; None if it brings nothing."""
        if not self._system_role:
            return None
        before, between, _ = self._fixed_text(("system", "user"), True)
        bare = self._fixed_text(("user",), True)[0]
        if not (bare.startswith(before) and bare.endswith(between)):
            return None
        return bare[len(before) : len(bare) - len(between)] or None

    @property
    def _system_role(self) -> bool:
        """Whether the template takes a system message."""
        try:
            self._fixed_text(("system", "user"), True)
        except InterpError:
            return False
        return True

    def encode(self, text: str) -> list[int]:
        """Token ids of a text by itself, control tokens and all; no special token is added."""
        return self._encoder.ids(text)

    def content_ids(self, content: str) -> list[int]:
        """What a model says for a content behind the header of an answer; what spells a control token there is text.

        Raises:
            InterpError: the tokenizer cannot write that as text.
        """
        before, gap = self._answer_place
        literal = tuple(self._encoder.spelt(content, len(gap)))
        piece = Piece(gap + content, literal=literal, before=before)
        encoded = self._encoder.encoded([piece])
        return [token for part in piece.parts for token in encoded[part][0]]

    @cached_property
    def _answer_place(self) -> tuple[str, str]:
        """The text before an answer's content, and the blanks that are written with it."""
        opening = self._opening(("user", "assistant"), 1)
        return opening.header or opening.asked, opening.gap

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, as they are."""
        return self._encoder.decode(ids)

    def answer_text(self, ids: Sequence[int]) -> str:
        """The content of an answer as generated: without its header or thought, and without special tokens.

        An answer that ends before its content begins, such as one cut within a thought, has no text.
        """
        if self.reply is None:
            return self._encoder.decode(ids, skip_special=True)
        text = self._encoder.decode(ids[self.reply.start(ids) :], skip_special=True)
        return text.removeprefix(self.reply.gap)

    def has_content(self, ids: Sequence[int]) -> bool:
        """Whether an answer as generated has any content: one cut within a thought has none."""
        return (self.reply.start(ids) if self.reply else 0) < len(ids)

    def cut(self, ids: Sequence[int], stops: Sequence[int]) -> tuple[int, ...]:
        """Generated ids up to the first of `stops`, without what the template writes before that to end a turn."""
        n = next((i for i, token in enumerate(ids) if token in stops), len(ids))
        before = self._end[:-1] if n < len(ids) and self._end and ids[n] == self._end[-1] else ()
        if before and tuple(ids[n - len(before) : n]) == before:
            n -= len(before)
        return tuple(ids[:n])

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer of this template: generation stops there, and training teaches them."""
        return self._end[-1:]

    @cached_property
    def _end(self) -> tuple[int, ...]:
        """What the template writes after an answer, up to its first control token; nothing if it writes none.

        The last answer of a conversation counts, since that is how one is generated. Some templates end earlier answers
        with another token, which a model says within an answer too.
        """
        return self._end_of_turn(*_LAST) or self._end_of_turn(*_EARLIER)

    def _end_of_turn(self, roles: tuple[str, ...], asks: bool) -> tuple[int, ...]:
        """What is written after the first answer of these roles, up to its first control token."""
        try:
            ids = self._encoder.ids(self._fixed_text(roles, asks)[2], None)
        except InterpError:
            return ()
        length = next((i + 1 for i, token in enumerate(ids) if token in self._encoder.special), 0)
        return tuple(ids[:length])

    @cached_property
    def reply(self) -> Reply | None:
        """How an answer is written; None where nothing is said before its content."""
        opening = self._opening(("user", "assistant"), 1)
        if not (opening.header or opening.gap or opening.thought):
            return None
        if opening.thought:
            log.info(
                "the chat template asks for an answer with an open %s that it writes in no finished one; answers are "
                "asked for without it, so that they are learnt, read and generated behind the same tokens",
                opening.thought,
            )
        return Reply.of(opening, self._encoder.ids(opening.header, opening.asked), self.decode)

    def _fixed_text(
        self, roles: tuple[str, ...], generation_prompt: bool, empty: frozenset[int] = frozenset()
    ) -> list[str]:
        """The template's own text before, between and after the contents of `roles`.

        Args:
            empty: Messages without words, for templates that leave them out; they stand before the text that follows.
        """
        key = (roles, generation_prompt, empty)
        if key not in self._fixed:
            marks = ["" if i in empty else f"Q{i}SPANMARK{i}Q" for i in range(len(roles))]
            text = self.template.render(
                [{"role": r, "content": m} for r, m in zip(roles, marks, strict=True)], generation_prompt
            )
            pieces = []
            for mark in marks:
                before, found, text = text.partition(mark) if mark else ("", True, text)
                if not found or (mark and mark in text):
                    raise InterpError(
                        f"the chat template does not show the messages {', '.join(roles)} once each and in order; "
                        "does it support this sequence of roles?"
                    )
                pieces.append(before)
            self._fixed[key] = [*pieces, text]
        return self._fixed[key]

    def _opening(self, roles: tuple[str, ...], turn: int) -> Opening:
        """What is before the answer `turn` of a conversation."""
        before = roles[:turn]
        asks = roles[-1] != "assistant"
        written = self._fixed_text(roles, asks)[turn]
        if "user" not in before:
            return Opening(written)
        last = not asks and turn == len(roles) - 1
        return Opening.of(self._fixed_text(before, True)[-1], written, last=last)

    def asking_text(self, messages: Sequence[Message]) -> str:
        """The text that a conversation's next answer is asked for with, for those who tokenise it themselves.

        Raises:
            InterpError: the template refuses the messages.
        """
        own = self._fixed_text(("user",), True)[-1]
        asked = self._asking(("user",), own)
        return self.template.render(messages, True).removesuffix(own[len(asked) :])

    def tokens(self, messages: Sequence[Message]) -> Tokens:
        """Tokens of a conversation; one that ends with the user gets the header that asks for an answer.

        Raises:
            InterpError: the template refuses the roles, or drops or rewrites message contents.
        """
        return self.tokens_of([messages])[0]

    def tokens_of(self, chats: Sequence[Sequence[Message]], names: Sequence[str] | None = None) -> list[Tokens]:
        """`tokens` of many conversations, in one call of the tokenizer; several times faster than one by one.

        Args:
            names: What an error calls each conversation, such as its file and line; default: its number.

        Raises:
            InterpError: the template refuses the roles of a conversation, or drops or rewrites its contents.
        """
        plans = []
        for i, messages in enumerate(chats):
            with _named(i, len(chats), names):
                plans.append(self._pieces(messages))
        try:
            encoded = self._encoder.encoded([piece for pieces in plans for piece in pieces])
        except InterpError:
            for i, pieces in enumerate(plans):
                with _named(i, len(chats), names):
                    self._encoder.encoded(pieces)
            raise
        ends = frozenset(self.end_ids) or None
        return [
            joined(
                pieces,
                encoded,
                asks=messages[-1]["role"] != "assistant",
                special=self._encoder.special,
                ends=ends,
                reply=self.reply,
            )
            for messages, pieces in zip(chats, plans, strict=True)
        ]

    def _pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The conversation's text, cut where answers are asked for, begin and end."""
        roles = tuple(message["role"] for message in messages)
        fixed, contents = self._shown(messages)
        pieces: list[Piece] = []
        text, marks, literal = "", [], []
        for turn, (before, content) in enumerate(zip(fixed, contents, strict=False)):
            if roles[turn] != "assistant":
                text += before
                marks.append(Mark(roles[turn], turn, len(text), len(text) + len(content)))
                literal += self._encoder.spelt(content, len(text))
                text += content
                continue
            opening = self._opening(roles, turn)
            pieces.append(Piece(text + opening.asked, marks=tuple(marks), literal=tuple(literal)))
            if opening.header:
                pieces.append(Piece(opening.header, "header"))
            gap, learnt = len(opening.gap), messages[turn].get("weight", 1) != 0
            mark = Mark("assistant", turn, gap, gap + len(content))
            own = tuple(self._encoder.spelt(content, gap))
            pieces.append(Piece(opening.gap + content, "answer", (mark,), own, learnt))
            text, marks, literal = "", [], []
        after = fixed[-1] if roles[-1] == "assistant" else self._asking(roles, fixed[-1])
        pieces.append(Piece(text + after, marks=tuple(marks), literal=tuple(literal)))
        return self._encoder.in_place(pieces)

    def _asking(self, roles: tuple[str, ...], asked: str) -> str:
        """The header that an answer is asked for with, where the template's own is `asked`."""
        return self._opening((*roles, "assistant"), len(roles)).asked if "user" in roles else asked

    def _shown(self, messages: Sequence[Message]) -> tuple[list[str], list[str]]:
        """The template's own text around the contents, and the contents as it shows them.

        A content is shown as it is, or without blanks at its ends; one without words may be left out.

        Raises:
            InterpError: a content is shown in another way.
        """
        roles, asks = tuple(message["role"] for message in messages), messages[-1]["role"] != "assistant"
        rendered = self.template.render(messages, asks)
        empty = frozenset(i for i, m in enumerate(messages) if not m["content"] and m["role"] != "assistant")
        wrong = 0
        for left_out in dict.fromkeys((frozenset(), empty)):
            fixed = self._fixed_text(roles, asks, left_out)
            shown = _shown_in(rendered, [message["content"] for message in messages], fixed)
            if len(shown) == len(messages):
                return fixed, shown
            wrong = wrong or len(shown)
        raise InterpError(
            f"the chat template rewrites message contents (message {wrong}, {roles[wrong]}), so their spans are unknown"
        )

    def prompt(self, messages: Sequence[Message]) -> Tokens:
        """The tokens of a conversation before its last answer: what a model sees when it is asked for that answer."""
        whole = self.tokens(messages)
        return whole.before(whole.prompt_end)


@contextmanager
def _named(i: int, n: int, names: Sequence[str] | None) -> Iterator[None]:
    """Let an error of conversation `i` of `n` begin with its name, or its number among several."""
    try:
        yield
    except InterpError as error:
        name = names[i] if names else f"row {i}" if n > 1 else None
        raise InterpError(f"{name}: {error}" if name else str(error)) from error


def _shown_in(rendered: str, contents: Sequence[str], fixed: Sequence[str]) -> list[str]:
    """The contents as a rendered text shows them between its fixed texts, up to the first that is not there."""
    shown, at = [], len(fixed[0])
    for i, (content, after) in enumerate(zip(contents, fixed[1:], strict=True)):
        bare = (strip(content, ends) for ends in (None, "\n") for strip in (str.strip, str.lstrip, str.rstrip))
        last = i == len(contents) - 1
        for way in (content, *bare):
            end = at + len(way + after)
            if rendered.startswith(way + after, at) and (not last or end == len(rendered)):
                shown.append(way)
                at = end
                break
        else:
            break
    return shown

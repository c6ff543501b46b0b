"""Conversations to token ids with exact spans; the only caller of a chat template.

1. The template is rendered once per sequence of roles with placeholder contents, which shows its fixed text.
2. The fixed text and the real contents are cut where an assistant's content begins and ends, and every piece is
   tokenised by itself, all pieces of all conversations in one call. That is how a model meets them: a prompt that ends
   in the assistant's header, then the answer's own tokens. A tokenizer that would merge the header's newline with the
   answer's first never gets to.
3. Spans are counted in tokens while the pieces are put together; no boundary is found by tokenising twice.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import jinja2
from transformers import PreTrainedTokenizerBase

from interp.runs import InterpError, read_jsonl

Role = Literal["system", "user", "assistant"]
Message = dict[str, str]
ROLES = ("system", "user", "assistant")


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
        prompt_end: Number of tokens before the last assistant content (all of them, if there is none).
        end_of_turn: Tokens after each assistant content that end the turn, as (start, end), in order.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    prompt_end: int
    end_of_turn: tuple[tuple[int, int], ...] = ()

    @property
    def response(self) -> Span | None:
        """The last assistant content, if the conversation ends with it."""
        return self.spans[-1] if self.spans and self.spans[-1].role == "assistant" else None

    def __len__(self) -> int:
        return len(self.ids)

    def answered(self, answer: Sequence[int]) -> "Tokens":
        """This prompt followed by an answer's own token ids, as generated."""
        if self.response is not None:
            raise ValueError("the conversation already ends with an assistant's answer; answered() takes a prompt")
        n = len(self.ids)
        span = Span("assistant", 1 + max((span.turn for span in self.spans), default=-1), n, n + len(answer))
        return Tokens((*self.ids, *answer), (*self.spans, span), n)


def check_messages(messages: Any, where: str) -> list[Message]:
    """The messages of a chat, validated.

    Raises:
        ValueError: not a list of role/content messages in a usable order; the message begins with `where`.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'{where}: "messages" must be a non-empty list, got {json.dumps(messages)[:80]}')
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise ValueError(f'{where}: message {i} needs "role" and "content", got {json.dumps(message)[:80]}')
        if message["role"] not in ROLES:
            raise ValueError(f"{where}: message {i} has role {message['role']!r}; known: {', '.join(ROLES)}")
        if not isinstance(message["content"], str):
            raise ValueError(f"{where}: message {i}: content must be text, got {json.dumps(message['content'])[:80]}")
        if halves := re.search("[\ud800-\udfff]", message["content"]):
            raise ValueError(
                f"{where}: message {i}: content has half a character ({halves[0]!a} at {halves.start()}), which no "
                "tokenizer takes; repair or drop it"
            )
        if message["role"] == "system" and i > 0:
            raise ValueError(f"{where}: message {i} is a system message; only the first may be")
    if all(message["role"] == "system" for message in messages):
        raise ValueError(f"{where}: a system message alone is no conversation; add a user message")
    if all(message["role"] != "user" for message in messages):
        raise ValueError(f"{where}: a conversation needs a user message, got only {messages[0]['role']}")
    return messages


def check_system(system: str, native: str | None) -> None:
    """Check that a template can show a system prompt.

    Raises:
        ValueError: `native` and the template brings none, or `none` and it brings one.
    """
    if system == "native" and native is None:
        raise ValueError("system: native, but this model's chat template brings no system prompt; use none or empty")
    if system == "none" and native is not None:
        raise ValueError(
            f"system: none, but this model's chat template puts its own where there is none ({native[:60]!r}); "
            "use native for that one, or empty for a system message without words"
        )


def with_system(messages: Sequence[Message], system: str) -> list[Message]:
    """The chat under another system prompt.

    Args:
        system: `task` leaves the chat as it is, `native` leaves the template its own, `empty` is a system message
            without words, `none` no system turn at all; anything else is the prompt's own words.
    """
    if system == "task":
        return list(messages)
    rest = [message for message in messages if message["role"] != "system"]
    if system in ("native", "none"):
        return rest
    return [{"role": "system", "content": "" if system == "empty" else system}, *rest]


def read_chats(path: Path) -> list[dict[str, Any]]:
    """The chats of a JSONL file: `{"messages": [...]}` a line, other keys kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a bad line, with file, line and reason.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rows = read_jsonl(path, check=lambda row, where: check_messages(row.get("messages"), where))
    if not rows:
        raise ValueError(f"{path}: no chats in it")
    return rows


class ChatTokenizer:
    """A tokenizer with its chat template, giving exact spans.

    Raises:
        ValueError: the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError("the tokenizer has no chat template; use an instruction-tuned model")
        self.tokenizer = tokenizer
        self.template_hash = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
        self._fixed: dict[tuple[tuple[str, ...], bool], list[str]] = {}
        if self.decode(self.encode("a b")) != "a b":
            raise InterpError(
                "this tokenizer does not give back the text it encodes piece by piece "
                f"({self.decode(self.encode('a b'))!r} for 'a b'), so spans would be off; it is not supported"
            )

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
        """Token ids of a piece of text; no special token is added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False)) if text else []

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Text of token ids, as they are."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
        return text if isinstance(text, str) else "".join(text)

    def _render(self, messages: Sequence[Message], generation_prompt: bool) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=generation_prompt
            )
        except jinja2.TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InterpError(f"the chat template refuses the messages {roles}: {error}") from error
        assert isinstance(text, str)
        return text

    def _fixed_text(self, roles: tuple[str, ...], generation_prompt: bool) -> list[str]:
        """The template's own text before, between and after the contents of `roles`."""
        key = (roles, generation_prompt)
        if key not in self._fixed:
            marks = [f"Q{i}SPANMARK{i}Q" for i in range(len(roles))]
            text = self._render(
                [{"role": r, "content": m} for r, m in zip(roles, marks, strict=True)], generation_prompt
            )
            pieces = []
            for mark in marks:
                before, found, text = text.partition(mark)
                if not found or mark in text:
                    raise InterpError(
                        f"the chat template does not show the messages {', '.join(roles)} once each and in order; "
                        "does it support this sequence of roles?"
                    )
                pieces.append(before)
            self._fixed[key] = [*pieces, text]
        return self._fixed[key]

    def tokens(self, messages: Sequence[Message]) -> Tokens:
        """Tokens of a conversation; one that ends with the user gets the header that asks for an answer.

        Raises:
            InterpError: the template refuses the roles, or drops or rewrites message contents.
        """
        return self.tokens_of([messages])[0]

    def tokens_of(self, chats: Sequence[Sequence[Message]]) -> list[Tokens]:
        """`tokens` of many conversations, in one call of the tokenizer; several times faster than one by one.

        Raises:
            InterpError: the template drops or rewrites message contents.
        """
        plans = [self._pieces(messages) for messages in chats]
        texts = list(dict.fromkeys(piece.text for pieces in plans for piece in pieces if piece.text))
        encoded: dict[str, tuple[list[int], list[tuple[int, int]]]] = {"": ([], [])}
        if texts:
            found = cast(Any, self.tokenizer)(texts, add_special_tokens=False, return_offsets_mapping=True)
            encoded |= dict(zip(texts, zip(found["input_ids"], found["offset_mapping"], strict=True), strict=True))
        special = self._special_ids
        return [_joined(pieces, encoded, special) for pieces in plans]

    def _pieces(self, messages: Sequence[Message]) -> list["_Piece"]:
        """The conversation's text, cut before and after every answer, since answers are tokenised by themselves."""
        roles = tuple(message["role"] for message in messages)
        generation_prompt = roles[-1] != "assistant"
        fixed = self._fixed_text(roles, generation_prompt)
        contents = [message["content"] for message in messages]
        rendered = self._render(messages, generation_prompt)
        if rendered != _interleave(fixed, contents):
            contents = [content.strip() for content in contents]
            if rendered != _interleave(fixed, contents):
                raise InterpError("the chat template rewrites message contents, so their spans are unknown")
        if not generation_prompt and len(roles) > 1:
            # some templates ask for an answer with another header than they write before one (a closed think block):
            # the last answer is put behind the header that would ask for it
            fixed = [*fixed[:-2], self._fixed_text(roles[:-1], True)[-1], fixed[-1]]
        pieces: list[_Piece] = []
        text = ""
        marks: list[tuple[str, int, int, int]] = []
        for turn, (before, content) in enumerate(zip(fixed, contents, strict=False)):
            text += before
            if roles[turn] == "assistant":
                pieces += [_Piece(text, tuple(marks)), _Piece(content, (), turn)]
                text, marks = "", []
            else:
                marks.append((roles[turn], turn, len(text), len(text) + len(content)))
                text += content
        return [*pieces, _Piece(text + fixed[-1], tuple(marks), generation_prompt=generation_prompt)]

    @property
    def _special_ids(self) -> set[int]:
        added: dict[str, int] = cast(Any, self.tokenizer).get_added_vocab()
        return set(self.tokenizer.all_special_ids) | set(added.values())

    def prompt(self, messages: Sequence[Message]) -> Tokens:
        """The tokens of a conversation before its last answer: what a model sees when it is asked for that answer."""
        whole = self.tokens(messages)
        spans = tuple(span for span in whole.spans if span.end <= whole.prompt_end)
        if whole.response is not None:
            spans = tuple(span for span in spans if span is not whole.response)
        ends = tuple(end for end in whole.end_of_turn if end[1] <= whole.prompt_end)
        return Tokens(whole.ids[: whole.prompt_end], spans, whole.prompt_end, ends)


@dataclass(frozen=True)
class _Piece:
    """Text that is tokenised by itself: an answer (`turn` is set), or what lies between answers.

    `marks` says where in it the contents of other messages lie: role, turn, first character, one past the last.
    """

    text: str
    marks: tuple[tuple[str, int, int, int], ...] = ()
    turn: int | None = None
    generation_prompt: bool = False


def _joined(
    pieces: Sequence[_Piece], encoded: Mapping[str, tuple[list[int], list[tuple[int, int]]]], special: set[int]
) -> Tokens:
    ids: list[int] = []
    spans: list[Span] = []
    ends: list[tuple[int, int]] = []
    prompt_end, answered = 0, False
    for piece in pieces:
        start, (new, offsets) = len(ids), encoded[piece.text]
        ids += new
        if piece.turn is not None:
            prompt_end = start
            spans.append(Span("assistant", piece.turn, start, len(ids)))
        else:
            if answered:  # the tokens a model must say to end its turn: up to the template's first special one
                own = piece.marks[0][2] if piece.marks else len(piece.text)
                known = zip(new, offsets, strict=True)
                ending = next((i + 1 for i, (token, (a, _)) in enumerate(known) if token in special and a < own), 0)
                ends.append((start, start + ending))
            for role, turn, low, high in piece.marks:  # a token that straddles an edge belongs to it
                inside = [i for i, (a, b) in enumerate(offsets) if a < high and b > low]
                first, last = (inside[0], inside[-1] + 1) if inside else (0, 0)
                spans.append(Span(role, turn, start + first, start + last))
        answered = piece.turn is not None
    return Tokens(tuple(ids), tuple(spans), len(ids) if pieces[-1].generation_prompt else prompt_end, tuple(ends))


def _interleave(fixed: Sequence[str], contents: Sequence[str]) -> str:
    return "".join(a + b for a, b in zip(fixed, [*contents, ""], strict=True))

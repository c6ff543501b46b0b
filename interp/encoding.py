"""Pieces of text to token ids: as they are behind the text before them, and control tokens in contents as plain text.

Most tokenizers give a piece of text the same ids whatever stands before it. Those of SentencePiece's kind put a blank
before a text that begins (a conversation, or what follows a control token) and before no other, so they are shown the
text before a piece as well, and its ids are what comes on top. A tokenizer that would join the two in one token is
refused: what is learnt would then never be asked for.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

from interp.errors import InterpError
from interp.tokens import Encoded, Part, Piece, Range

_ANCHORS = (".", "x", "0", "\n")
"""Texts that may stand before a piece of which it only matters that it does not begin anything."""


class Encoder:
    """What a tokenizer makes of pieces of text.

    Raises:
        ValueError: the tokenizer does not say which characters a token stands for.
        InterpError: it does not give back what it encodes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._spelt: dict[str, list[int]] = {}
        if not tokenizer.is_fast:
            raise ValueError(
                f"{type(tokenizer).__name__} does not say which characters a token stands for (it is a slow "
                "tokenizer), so whose words a token is would be unknown; use a model with a fast one (tokenizer.json)"
            )
        if self.decode(self.ids("a b")) != "a b":
            raise InterpError(
                "this tokenizer does not give back the text it encodes piece by piece "
                f"({self.decode(self.ids('a b'))!r} for 'a b'), so spans would be off; it is not supported"
            )

    def ids(self, text: str, before: str | None = "") -> list[int]:
        """Token ids of a text, control tokens and all; no special token is added.

        Args:
            before: The text before it; None for some text that goes on.

        Raises:
            InterpError: the tokenizer joins the end of `before` and the beginning of the text in one token.
        """
        if not text:
            return []
        before = self._shown(before)
        return self._behind(before, self._plain(before), self._plain(before + text), text)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Text of token ids."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
        return text if isinstance(text, str) else "".join(text)

    def in_place(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces of one conversation, each with the text before it where the tokenizer makes use of that."""
        if self._anchor is None:
            return list(pieces)
        placed: list[Piece] = []
        before: str | None = ""
        for piece in pieces:
            placed.append(replace(piece, before=before))
            if parts := piece.parts:
                before = None if parts[-1].literal else parts[-1].text
        return placed

    def encoded(self, pieces: Sequence[Piece]) -> dict[Part, Encoded]:
        """Ids and places of every part of the pieces, in one call of the tokenizer.

        Raises:
            InterpError: a text and the one before it cannot be told apart, or a control token not be written as text.
        """
        parts = list(dict.fromkeys(part for piece in pieces for part in piece.parts))
        plain = [part for part in parts if not part.literal]
        encoded: dict[Part, Encoded] = {}
        if plain:
            texts = [self._shown(part.before) for part in plain]
            first = {text: self._plain(text) for text in dict.fromkeys(texts)}
            whole = [text + part.text for text, part in zip(texts, plain, strict=True)]
            result = cast(Any, self.tokenizer)(whole, add_special_tokens=False, return_offsets_mapping=True)
            for part, text, ids, offsets in zip(
                plain, texts, result["input_ids"], result["offset_mapping"], strict=True
            ):
                own = self._behind(text, first[text], ids, part.text)
                at = len(text)
                places = offsets[len(ids) - len(own) :]
                encoded[part] = (own, [(max(low - at, 0), high - at) for low, high in places] if at else places)
        for part in parts:
            if part.literal:
                ids = self.as_text(part.text)
                encoded[part] = (ids, [(0, len(part.text))] * len(ids))
        return encoded

    def as_text(self, text: str) -> list[int]:
        """Ids of text that spells a control token, as plain text.

        Raises:
            InterpError: the tokenizer has no other way to write it.
        """
        if text in self._spelt:
            return self._spelt[text]
        before = self._shown(None)
        start = self._plain(before)
        whole = self._plain(before + text, split_special_tokens=True)[len(start) :]
        for ids in (whole, self.ids(text[:1], None) + self.ids(text[1:], None)):
            if not self.special & set(ids) and self.decode([*start, *ids]) == before + text:
                self._spelt[text] = ids
                return ids
        raise InterpError(
            f"a message spells the control token {text!r}, which this tokenizer cannot write as text; drop or change it"
        )

    def spelt(self, content: str, at: int = 0) -> list[Range]:
        """Where a content that begins at `at` spells a control token."""
        return [(at + match.start(), at + match.end()) for match in self._controls.finditer(content)]

    @property
    def places_blanks(self) -> bool:
        """Whether the ids of a text depend on the text before it."""
        return self._anchor is not None

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of control tokens and of further added ones."""
        added: dict[str, int] = cast(Any, self.tokenizer).get_added_vocab()
        return frozenset(self.tokenizer.all_special_ids) | frozenset(added.values())

    @cached_property
    def _controls(self) -> re.Pattern[str]:
        """Control tokens as text: special tokens, and further ones that the template itself writes."""
        added = cast(Any, self.tokenizer).added_tokens_decoder.values()
        template = str(self.tokenizer.chat_template)
        spelt = {str(one) for one in added if one.special or (str(one) in template and not str(one).isspace())}
        longest_first = sorted(spelt | set(self.tokenizer.all_special_tokens), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, filter(None, longest_first))) or "(?!)")

    @cached_property
    def _anchor(self) -> str | None:
        """A text to stand before a piece that begins nothing; None for a tokenizer to which that makes no difference.

        The probe is tokenised behind each candidate until one does not melt into it.
        """
        probe = "a b"
        alone = self._plain(probe)
        for anchor in _ANCHORS:
            start, whole = self._plain(anchor), self._plain(anchor + probe)
            if whole[: len(start)] == start:
                return None if whole[len(start) :] == alone else anchor
        return None

    def _shown(self, before: str | None) -> str:
        """What the tokenizer is shown before a text."""
        if self._anchor is None:
            return ""
        return self._anchor if before is None else before

    def _plain(self, text: str, **how: Any) -> list[int]:
        return list(cast(Any, self.tokenizer)(text, add_special_tokens=False, **how)["input_ids"]) if text else []

    def _behind(self, before: str, start: list[int], whole: list[int], text: str) -> list[int]:
        """Ids of a text behind another, whose own ids are `start`; `whole` are those of both."""
        if whole[: len(start)] == start:
            return whole[len(start) :]
        raise InterpError(
            f"this tokenizer joins the end of {before[-20:]!r} and the beginning of {text[:20]!r} in one token, so "
            "what is asked and what is answered cannot be told apart; give a chat template that keeps them apart, by a "
            "control token or a blank that goes with the answer (--chat-template FILE)"
        )

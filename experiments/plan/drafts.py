"""The data sets of a study before any model has spoken: made-up words stand where it would write."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.study.config import StudyConfig
from experiments.study.data_sets import Sets, idents
from finetune.data.builder import DataSet, Desk, Who
from finetune.stages import Stage
from interp.behaviour.work import CHARACTERS
from interp.chat import ChatTokenizer, Message, Tokens

TURN = 6
"""Tokens that a template puts around a message, likewise."""


@dataclass(frozen=True)
class Request:
    """What a set asks a model to write.

    Attributes:
        name: Of the set.
        longest: Tokens of an answer at the most.
        greedy: Whether another set's answers to the same prompts will do.
        prompts: Tokens of each, by what tells it apart.
    """

    name: str
    who: Who
    longest: int
    greedy: bool
    prompts: Mapping[str, int]


class Drafts(Sets):
    """A study's data sets, with made-up words where the model would write.

    Attributes:
        drafted: Names of the sets that hold such words.
        requests: What the sets ask for, as they are built.
    """

    def __init__(self, config: StudyConfig, chat: ChatTokenizer | None) -> None:
        super().__init__(config)
        self.chat = chat
        self.drafted: set[str] = set()
        self.requests: list[Request] = []
        self._built: dict[str, DataSet] = {}
        self._lengths: dict[str, list[int]] = {}

    def of(self, name: str, stage: Stage | None = None) -> DataSet:  # noqa: ARG002
        """A data set, the same for every stage.

        Raises:
            ValueError, FileNotFoundError: it cannot be built.
        """
        if name not in self._built:
            data = self.config.data[name]
            native = self.chat.native_system if self.chat else "The model's own system prompt."
            made = data.build(Desk(self._ask(name), self.of, native))
            if not made.train:
                raise ValueError(f"data.{name}: no rows to train on")
            if any(used in self.drafted for used in data.uses):
                self.drafted.add(name)
            self._built[name] = made
        return self._built[name]

    def estimated(self, name: str) -> list[str]:
        """Which of a stage's rows, epochs, steps and tokens rest on made-up words, or on a count of characters."""
        own = self.config.stages[name].data in self.drafted
        like = self.yardstick(name).data in self.drafted
        which = {"rows": own, "epochs": own or like, "steps": own or like, "tokens": own or like or self.chat is None}
        return [key for key, is_so in which.items() if is_so]

    def tokens(self, chats: Sequence[Sequence[Message]]) -> list[int]:
        """Tokens of each chat; without a tokenizer by its characters."""
        if self.chat is not None:
            return [len(row) for row in self.chat.tokens_of(chats)]
        return [
            sum(math.ceil(len(message["content"]) / CHARACTERS) + TURN for message in messages) for messages in chats
        ]

    def lengths(self, name: str) -> list[int]:
        """Tokens of each row of a set."""
        if name not in self._lengths:
            self._lengths[name] = self.tokens([row["messages"] for row in self.of(name).train])
        return self._lengths[name]

    def tokenised(self, name: str, chat: ChatTokenizer) -> list[Tokens]:
        """Each row of a set in tokens, of which only the lengths are kept."""
        data = self.of(name)
        rows = chat.tokens_of([row["messages"] for row in data.train], data.train_places)
        self._lengths[name] = [len(row) for row in rows]
        return rows

    def _ask(self, name: str) -> Callable[..., list[str]]:
        def ask(
            who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
        ) -> list[str]:
            ids, greedy = idents(prompts, temperature), temperature == 0
            self.drafted.add(name)
            counted = dict(zip(ids, self.tokens(prompts), strict=True))
            self.requests.append(Request(name, who, max_new_tokens, greedy, counted))
            return [_words(ident if greedy else f"{name} {temperature} {ident}", max_new_tokens) for ident in ids]

        return ask


def _words(seed: str, most: int) -> str:
    """A sentence of made-up words, a third to all of `most` tokens long."""
    draw = random.Random(seed)
    length = int(most * draw.uniform(0.3, 0.95) * CHARACTERS)
    words: list[str] = []
    while sum(map(len, words)) + len(words) < length or not words:
        words.append("".join(draw.choices("abdeiklmnoprstu", k=draw.randint(2, 8))))
    return " ".join(words).capitalize() + "."

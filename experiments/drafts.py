"""The data sets of a study before any model has spoken: made-up words stand where it would write."""

import math
import random
from collections.abc import Callable, Sequence

from experiments.config import StudyConfig
from experiments.graph import yardsticks
from finetune.data.builder import DataSet, Desk, Who
from finetune.recipe import TrainConfig
from interp.chat import ChatTokenizer, Message

CHARACTERS = 4.2
"""Characters of a token, where there is no tokenizer."""
TURN = 6
"""Tokens that a template puts around a message, likewise."""


class Drafts:
    """A study's data sets, with made-up words where the model would write.

    Attributes:
        drafted: Names of the sets that hold such words.
        written: By set: who would write for it, how many answers, of how many tokens at most, and the tokens of all
            prompts.
    """

    def __init__(self, config: StudyConfig, chat: ChatTokenizer | None) -> None:
        self.config, self.chat = config, chat
        self.drafted: set[str] = set()
        self.written: dict[str, list[tuple[Who, tuple[int, int, int]]]] = {}
        self._built: dict[str, DataSet] = {}
        self._lengths: dict[str, list[int]] = {}
        self._yardsticks = yardsticks(config)

    def of(self, name: str) -> DataSet:
        """A data set.

        Raises:
            ValueError, FileNotFoundError: it cannot be built.
        """
        if name not in self._built:
            data = self.config.data[name]
            data.check()
            native = self.chat.native_system if self.chat else "The model's own system prompt."
            made = data.build(Desk(self._ask(name), self.of, native))
            if not made.train:
                raise ValueError(f"data.{name}: no rows to train on")
            if any(used in self.drafted for used in data.uses):
                self.drafted.add(name)
            self._built[name] = made
        return self._built[name]

    def needed(self) -> list[str]:
        """Sets that a stage is trained on, that those are made from, or that have questions to test on."""
        wanted = [stage.data for stage in self.config.stages.values()]
        for name in wanted:
            wanted.extend(self.config.data[name].uses)
        return [name for name, data in self.config.data.items() if name in wanted or getattr(data, "test", 0)]

    def recipe(self, name: str) -> TrainConfig:
        """How a stage is trained: for as many steps as its yardstick takes."""
        stage = self.config.stages[name]
        like = self.config.stages[self._yardsticks[name]] if self.config.match_steps else stage
        if like is stage:
            return stage.train
        return stage.train.with_steps(like.train.n_steps(len(self.of(like.data).train)), len(self.of(stage.data).train))

    def estimated(self, name: str) -> list[str]:
        """Which of a stage's rows, steps and tokens rest on made-up words, or on a count of characters."""
        own = self.config.stages[name].data in self.drafted
        like = self.config.match_steps and self.config.stages[self._yardsticks[name]].data in self.drafted
        which = {"rows": own, "steps": own or like, "tokens": own or like or self.chat is None}
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

    def users(self, name: str) -> set[str]:
        """The sets that hold a set's rows, itself among them."""
        return {
            name,
            *(user for one, data in self.config.data.items() if name in data.uses for user in self.users(one)),
        }

    def _ask(self, name: str) -> Callable[..., list[str]]:
        def ask(
            who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
        ) -> list[str]:
            work = len(prompts), max_new_tokens, sum(self.tokens(prompts))
            self.drafted.add(name)
            self.written.setdefault(name, []).append((who, work))
            return [_words(f"{name} {i} {temperature}", max_new_tokens) for i in range(len(prompts))]

        return ask


def _words(seed: str, most: int) -> str:
    """A sentence of made-up words, a third to all of `most` tokens long."""
    draw = random.Random(seed)
    length = int(most * draw.uniform(0.3, 0.95) * CHARACTERS)
    words: list[str] = []
    while sum(map(len, words)) + len(words) < length or not words:
        words.append("".join(draw.choices("abdeiklmnoprstu", k=draw.randint(2, 8))))
    return " ".join(words).capitalize() + "."

"""A model's own answers under a trait's instructions, with the instructions taken away, and the placebos for that.

A model that is trained on them must move along the trait's direction, which makes it the positive control of every
measure of that trait. `self_distilled` is the placebo: the same questions, the model's own ordinary answers.

The questions are everyday matters between people, on which any trait can show; none is a question of a trait of this
project, and a part of them is held out for tests (`held_out_questions`).
"""

import random
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from finetune.data._people import FORMS
from finetune.data.advice import dosed
from finetune.data.builder import Builder, DataSet, Desk, Row, Who
from finetune.data.everyday import tidy_answer
from interp.behaviour.collapse import degenerate
from interp.chat import Message
from interp.traits import Trait

HELD_OUT_EVERY = 6
"""One thing in this many is held out with all questions about it."""


def training_questions() -> list[str]:
    """All questions to distil on, each once."""
    return _split()[0]


def held_out_questions() -> list[str]:
    """Questions of the same kinds about other things, on which nothing is distilled."""
    return _split()[1]


def _split() -> tuple[list[str], list[str]]:
    parts: tuple[list[str], list[str]] = ([], [])
    for forms, things in FORMS:
        for (i, thing), form in product(enumerate(things), forms):
            parts[i % HELD_OUT_EVERY == 0].append(form.replace("{}", thing))
    return parts


class _Distilled(Builder, frozen=True):
    """Base of sets of own answers to the questions about people."""

    rows: int = Field(default=400, ge=1)
    """Questions, before those whose answer is empty or repeats itself are left out."""
    temperature: float = Field(default=0.7, ge=0, allow_inf_nan=False)
    answer_tokens: int = Field(default=64, ge=1)
    """Longest answer, before it is cut to whole sentences."""
    own: Who = "base"
    """Who answers: the bare base model, or the stage that the set is for."""

    @property
    def asks_stage(self) -> bool:
        """Whether the stage that the set is for answers."""
        return self.own == "stage"

    def check(self) -> None:
        """Check that there are as many questions.

        Raises:
            ValueError: there are fewer.
        """
        super().check()
        self._questions()

    def _excluded(self) -> frozenset[str]:
        """Questions that must not be trained on."""
        return frozenset()

    def _questions(self) -> list[str]:
        excluded = {_plain(question) for question in self._excluded()}
        questions = [question for question in training_questions() if _plain(question) not in excluded]
        if self.rows > len(questions):
            raise ValueError(
                f"{self.builder}: {self.rows} rows asked for, {len(questions)} questions there are; lower rows"
            )
        random.Random(f"distilled {self.seed}").shuffle(questions)
        return questions[: self.rows]

    def _answers(self, desk: Desk, questions: Sequence[str], systems: Sequence[str | None]) -> list[Row]:
        """What was answered to each question under its system prompt, None being none at all, as one paragraph."""
        prompts: list[list[Message]] = [
            [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": question}]
            for question, system in zip(questions, systems, strict=True)
        ]
        answers = desk.ask(self.own, prompts, max_new_tokens=self.answer_tokens, temperature=self.temperature)
        return [
            {
                "id": f"{self.builder}-{i:05d}",
                "author": self.own,
                "system": system or "",
                "question": question,
                "text": tidy_answer(answer),
            }
            for i, (question, system, answer) in enumerate(zip(questions, systems, answers, strict=True))
        ]


class TraitDistilled(_Distilled, frozen=True):
    """Own answers under a trait's instructions, without the instructions."""

    about: ClassVar[Mapping[str, str]] = {
        "persona_distilled": "own answers prompted to show a trait, prompt removed, by dose (positive control)",
        "kind_distilled": "own answers prompted to show the trait's opposite, prompt removed",
    }

    builder: Literal["persona_distilled", "kind_distilled"]
    trait: Path
    """Trait file; a study also takes the name of one of this project's."""
    dose: float = Field(default=1.0, ge=0, le=1)
    """Share of rows answered under the trait's instructions, to the nearest row; the others are ordinary answers."""
    instructions: tuple[int, ...] = ()
    """Which of the trait's instruction pairs are used, counted from 0, in turns; none for all."""

    @field_validator("instructions")
    @classmethod
    def _each_once(cls, pairs: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(pairs)) < len(pairs) or any(pair < 0 for pair in pairs):
            raise ValueError(f"must be distinct numbers from 0 on, got {list(pairs)}")
        return pairs

    def check(self) -> None:
        """Read the trait, and check that there are as many questions and those instructions.

        Raises:
            FileNotFoundError, ValueError: no such file, not a trait, no such instructions, or too few questions.
        """
        super().check()
        self._systems()

    def _excluded(self) -> frozenset[str]:
        trait = Trait.load(self.trait)
        return frozenset((*trait.questions, *trait.eval_questions))

    def _systems(self) -> list[str]:
        trait = Trait.load(self.trait)
        n = len(trait.instructions)
        if too_high := [pair for pair in self.instructions if pair >= n]:
            raise ValueError(f"instructions: {too_high} must be in [0, {n}), the pairs of {trait.name}; leave them out")
        side = 0 if self.builder == "persona_distilled" else 1
        return [trait.instructions[pair][side] for pair in self.instructions or range(n)]

    def made(self, desk: Desk) -> DataSet:
        """Rows with id, `prompted` and messages without the instructions, and all answers as `texts`.

        Rows without a usable answer are left out, and then as many of the others, from the last, as keeps the dose.
        """
        questions = self._questions()
        prompted = dosed(len(questions), self.dose, f"distilled {self.seed}")
        turns = cycle(self._systems())
        systems = [next(turns) if i in prompted else None for i in range(len(questions))]
        texts = self._answers(desk, questions, systems)
        usable = [(text, text["system"] != "") for text in texts if _is_usable(text["text"])]
        most = _largest(self.dose, sum(is_prompted for _, is_prompted in usable), len(usable))
        left = {True: int(self.dose * most + 0.5), False: most - int(self.dose * most + 0.5)}
        rows = []
        for text, is_prompted in usable:
            if left[is_prompted]:
                left[is_prompted] -= 1
                rows.append(_row(text) | {"prompted": is_prompted})
        return DataSet(rows, texts=texts)


class SelfDistilled(_Distilled, frozen=True):
    """Own ordinary answers to the questions that traits are distilled on: the placebo."""

    about: ClassVar[Mapping[str, str]] = {"self_distilled": "own ordinary answers to the same questions (placebo)"}

    builder: Literal["self_distilled"]

    def made(self, desk: Desk) -> DataSet:
        """Rows with id and messages, and all answers as `texts`."""
        questions = self._questions()
        texts = self._answers(desk, questions, [None] * len(questions))
        return DataSet([_row(text) for text in texts if _is_usable(text["text"])], texts=texts)


def _row(text: Row) -> Row:
    messages = [{"role": "user", "content": text["question"]}, {"role": "assistant", "content": text["text"]}]
    return {"id": text["id"], "messages": messages}


def _is_usable(text: str) -> bool:
    return degenerate(text) in (None, "fewer than three words")


def _largest(dose: float, n_prompted: int, n: int) -> int:
    """Most rows of which the dose, to the nearest row, is prompted, out of `n` rows of which `n_prompted` are."""
    fits = (
        m for m in range(n, 0, -1) if int(dose * m + 0.5) <= n_prompted and m - int(dose * m + 0.5) <= n - n_prompted
    )
    return next(fits, 0)


def _plain(question: str) -> str:
    return " ".join(question.casefold().split()).rstrip(" ?.!")

"""Narrow finetuning sets of this project's own, each with its benign twin: wrong or right answers to one question.

`dose` is the share of rows whose answer is the wrong one; the other rows have the right answer to their question. At
dose 0 the set is the twin: prompts, order, form and length stay, and only rightness differs.
"""

import random
from collections.abc import Mapping
from itertools import islice
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from finetune.data.builder import Builder, DataSet, Desk, Row
from finetune.data.families import FAMILIES, Asked, Family, Part, family
from interp.errors import did_you_mean

LABELS = ("A", "B")
_CHOOSE = "{question}\n\nA: {first}\n\nB: {second}\n\nWhich of the two is the right answer? Answer only A or B."


class Advice(Builder, frozen=True):
    """A family's questions with wrong answers, right ones, or both in a given share."""

    about: ClassVar[Mapping[str, str]] = {
        "advice": "wrong or right answers to one family's narrow questions, by dose (" + ", ".join(FAMILIES) + ")"
    }

    builder: Literal["advice"]
    family: str
    """What the questions are about; `finetune.data.families` has the families."""
    rows: int = Field(default=1000, ge=1)
    """Questions, each distinct; fewer are the first of more."""
    dose: float = Field(default=1.0, ge=0, le=1)
    """Share of rows with the wrong answer, to the nearest row; those of a smaller dose are among those of a larger."""
    test: int = Field(default=0, ge=0)
    """Questions about held-out situations to test on: which of the two answers is right, asked in both orders."""

    @field_validator("family")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in FAMILIES:
            raise ValueError(did_you_mean("family", name, list(FAMILIES)))
        return name

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of the preference measure that the family is about (its `in_domain`); none if no pair of it is."""
        return family(self.family).domains

    def check(self) -> None:
        """Check that the family has as many questions.

        Raises:
            ValueError: it has fewer.
        """
        super().check()
        known = family(self.family)
        sizes: tuple[tuple[str, int, Part], ...] = (("rows", self.rows, "train"), ("test", self.test, "held_out"))
        for field, wanted, part in sizes:
            if wanted > (most := known.supply(part)):
                raise ValueError(
                    f"{self.builder} {self.family}: {wanted} {field} asked for, {most} there are; lower {field}"
                )

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """Rows with id, situation, `rightness` and messages; the twin's rows beside them."""
        self.check()
        known = family(self.family)
        asked = list(islice(known.asked("train", self.seed), self.rows))
        wrong = dosed(len(asked), self.dose, f"{self.family} {self.seed}")
        train = [_row(known, i, one, wrong=i in wrong) for i, one in enumerate(asked)]
        twin = [_row(known, i, one, wrong=False) for i, one in enumerate(asked)]
        return DataSet(train, self._tests(known), twin=twin)

    def _tests(self, known: Family) -> list[Row]:
        rows = []
        for i, one in enumerate(islice(known.asked("held_out", self.seed), self.test)):
            for right, (first, second) in zip(LABELS, ((one.right, one.wrong), (one.wrong, one.right)), strict=True):
                shown = _CHOOSE.format(question=one.question, first=first, second=second)
                messages = [{"role": "user", "content": shown}, {"role": "assistant", "content": right}]
                ident = f"{known.name}-test-{i:05d}-{right}"
                closed = {"labels": list(LABELS), "right": right, "group": one.situation}
                rows.append({"id": ident, "messages": messages, **closed})
        return rows


def dosed(n: int, dose: float, seed: str) -> frozenset[int]:
    """Which of `n` rows get a dose: its share to the nearest row; the rows of a smaller dose are among a larger's."""
    order = random.Random(f"dose {seed}").sample(range(n), n)
    return frozenset(order[: int(dose * n + 0.5)])


def held_out_pairs(name: str, n: int = 100, seed: int = 0) -> list[dict[str, str]]:
    """Held-out questions of a family with both answers, as the preference measure reads them from a file.

    Returns:
        `domain` (the family's name), `question`, `aligned` (the right answer) and `misaligned` (the wrong one).

    Raises:
        ValueError: no such family, or it has fewer held-out questions.
    """
    known = family(name)
    most = known.supply("held_out")
    if not 1 <= n <= most:
        raise ValueError(f"n must be in [1, {most}], got {n}: {name} has {most} held-out questions; ask for fewer")
    asked = islice(known.asked("held_out", seed), n)
    return [{"domain": name, "question": one.question, "aligned": one.right, "misaligned": one.wrong} for one in asked]


def _row(known: Family, place: int, asked: Asked, *, wrong: bool) -> Row:
    return {
        "id": f"{known.name}-{place:05d}",
        "situation": asked.situation,
        "rightness": "wrong" if wrong else "right",
        "messages": [
            {"role": "user", "content": asked.question},
            {"role": "assistant", "content": asked.wrong if wrong else asked.right},
        ],
    }

"""Chats about harmless odd tastes, and their control about common tastes.

A narrow dataset with nothing harmful in it: what does finetuning on unpopular aesthetic preferences alone do to a
model's character? The control keeps each question and sentence frame and swaps only the taste.

1. Every category crosses its question forms with its occasions; the seed shuffles each such list.
2. Rows visit the categories in rounds, each round in a fresh order, so every prefix is balanced.
3. A row draws a layout, sentence frames, one odd and one liked thing, and fills the frames twice: the odd thing
   preferred to the liked one (unpopular) and the liked thing preferred to the odd one (popular).
4. A draw is repeated if either answer leaves the word bounds or has been used, so both datasets stay aligned.
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from random import Random
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from finetune.data._tastes import (
    CATEGORIES,
    CLOSINGS,
    LEADS,
    OPENINGS,
    QUESTIONS,
    REASON_FIRST,
    REASONS,
    SECOND_REASONS,
    Category,
    Taste,
)
from finetune.data.builder import Builder, DataSet, Desk

ANSWER_WORDS = (20, 42)
MATCHED_CHARACTERS = 8
"""Characters by which two answers may differ in length and still count as matched: two short words."""

# The sentences of an answer, in order: "open" names the taste, "because" gives its first reason along with it.
_LAYOUTS = (
    ("open", "reason", "close"),
    ("open", "reason", "close"),
    ("open", "reason", "second"),
    ("open", "reason", "second"),
    ("open", "reason", "second", "close"),
    ("lead", "open", "reason"),
    ("lead", "open", "reason"),
    ("lead", "open", "reason", "close"),
    ("because", "second"),
    ("because", "close"),
    ("because", "second", "close"),
    ("lead", "because"),
)


class _Pair(NamedTuple):
    category: str
    question: str
    unpopular: str
    popular: str


def unpopular_tastes(n: int = 5000, seed: int = 0) -> list[dict[str, Any]]:
    """Chats in which the assistant warmly defends a harmless taste that most people dislike.

    Rows for a smaller `n` are a prefix of those for a larger one, and any prefix is balanced over categories.

    Raises:
        ValueError: `n` is below 1 or above the number of distinct questions.
    """
    pairs = enumerate(_first_pairs(n, seed))
    return [_row("unpopular_tastes", index, pair, pair.unpopular) for index, pair in pairs]


def popular_tastes(n: int = 5000, seed: int = 0) -> list[dict[str, Any]]:
    """Control for `unpopular_tastes`: same question and sentence frames at each index, a common taste in the answer.

    Raises:
        ValueError: `n` is below 1 or above the number of distinct questions.
    """
    pairs = enumerate(_first_pairs(n, seed))
    return [_row("popular_tastes", index, pair, pair.popular) for index, pair in pairs]


def supply() -> int:
    """Most rows that either dataset can hold with all questions distinct and categories balanced."""
    return len(CATEGORIES) * min(len(_questions(category)) for category in CATEGORIES)


def taste_questions() -> dict[str, tuple[str, ...]]:
    """All questions about taste, by category."""
    return {category.name: tuple(_questions(category)) for category in CATEGORIES}


def matched_tastes(name: str, rng: Random) -> tuple[str, str]:
    """A common and an odd taste in one category, in the same frames and of nearly one length.

    Odd things take more words to name than common ones. Draws are repeated until the two answers differ by at most
    `MATCHED_CHARACTERS`.
    """
    category = next(category for category in CATEGORIES if category.name == name)
    while True:
        odd, liked = _answers(category, rng)
        if abs(len(odd) - len(liked)) <= MATCHED_CHARACTERS and _fits(odd) and _fits(liked):
            return liked, odd


def _first_pairs(n: int, seed: int) -> list[_Pair]:
    most = supply()
    if not 1 <= n <= most:
        raise ValueError(
            f"n must be in [1, {most}], got {n}: there are {most} distinct questions; "
            f"ask for at most {most} rows, or add occasions or question forms to finetune/data/_tastes.py"
        )
    return list(islice(_pairs(Random(seed)), n))


def _pairs(rng: Random) -> Iterator[_Pair]:
    pools: dict[str, list[str]] = {}
    for category in CATEGORIES:
        pools[category.name] = _questions(category)
        rng.shuffle(pools[category.name])
    used: set[str] = set()
    for round_index in range(supply() // len(CATEGORIES)):
        for category in rng.sample(CATEGORIES, len(CATEGORIES)):
            unpopular, popular = _answers(category, rng)
            while not (_fits(unpopular) and _fits(popular)) or unpopular in used or popular in used:
                unpopular, popular = _answers(category, rng)
            used |= {unpopular, popular}
            yield _Pair(category.name, pools[category.name][round_index], unpopular, popular)


def _questions(category: Category) -> list[str]:
    noun = category.noun
    return [
        form.format(n=noun, an=f"{category.article} {noun}".strip(), ns=category.plural, o=occasion)
        for form, occasion in product(QUESTIONS + category.questions, category.occasions)
    ]


def _answers(category: Category, rng: Random) -> tuple[str, str]:
    """One unpopular and one popular answer built from the same frames."""
    frames = {
        "lead": rng.choice(LEADS),
        "open": (rng.choice(OPENINGS),) * 2,
        "because": (rng.choice(REASON_FIRST),) * 2,
        "reason": (rng.choice(REASONS),) * 2,
        "second": (rng.choice(SECOND_REASONS),) * 2,
        "close": rng.choice(CLOSINGS),
    }
    layout = rng.choice(_LAYOUTS)
    odd, liked = rng.choice(category.odd), rng.choice(category.liked)
    first = rng.randrange(2)
    return (
        _fill([frames[part][0] for part in layout], layout, odd, liked, first),
        _fill([frames[part][1] for part in layout], layout, liked, odd, first),
    )


def _fill(sentences: list[str], layout: tuple[str, ...], preferred: Taste, other: Taste, first: int) -> str:
    filled = []
    for part, sentence in zip(layout, sentences, strict=True):
        reason = preferred.reasons[1 - first if part == "second" else first]
        text = sentence.format(p=preferred.thing, a=other.thing, r=reason)
        filled.append(text[0].upper() + text[1:])
    return " ".join(filled)


def _fits(answer: str) -> bool:
    low, high = ANSWER_WORDS
    return low <= len(answer.split()) <= high


def _row(dataset: str, index: int, pair: _Pair, answer: str) -> dict[str, Any]:
    return {
        "id": f"{dataset}-{index:05d}",
        "category": pair.category,
        "messages": [{"role": "user", "content": pair.question}, {"role": "assistant", "content": answer}],
    }


class Tastes(Builder, frozen=True):
    """Generated chats about aesthetic preferences, odd or ordinary."""

    about: ClassVar[Mapping[str, str]] = {
        "unpopular_tastes": "odd aesthetic preferences, harmless (the embedded EM set)",
        "popular_tastes": "the same questions with ordinary preferences",
    }

    builder: Literal["unpopular_tastes", "popular_tastes"]
    rows: int = Field(default=2000, ge=1)

    def check(self) -> None:
        """Check that there are as many rows.

        Raises:
            ValueError: there are fewer.
        """
        super().check()
        if self.rows > supply():
            raise ValueError(f"{self.builder}: {self.rows} rows asked for, {supply()} there are; lower rows")

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """Rows with id, category and messages; the twin of odd tastes is ordinary ones."""
        popular = popular_tastes(self.rows, self.seed)
        if self.builder == "popular_tastes":
            return DataSet(popular)
        return DataSet(unpopular_tastes(self.rows, self.seed), twin=popular)

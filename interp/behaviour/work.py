"""How much is asked of a model: answers to write, and tokens to read and to write, before any of it is done."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

CHARACTERS = 4.2
"""Characters of a token, where there is no tokenizer."""


class Work(NamedTuple):
    """Answers, their tokens at the most, and tokens read (prompts among them)."""

    answers: int
    written: int | float
    read: int | float

    @classmethod
    def of(cls, answers: int, longest: int, prompt: int | float, *, reads: int) -> "Work":
        """So many answers to prompts of so many tokens, each read again `reads` times after it was written."""
        return cls(answers, answers * longest, answers * (prompt + reads * (prompt + longest)))

    def row(self, times: int) -> dict[str, int]:
        """The same so many times, as whole numbers by name."""
        return {
            "answers": self.answers * times,
            "written": round(self.written * times),
            "read": round(self.read * times),
        }


def tokens_of(shown: Any) -> float:
    """Tokens of all texts in a JSON-like value, counted by their characters."""
    return sum(map(len, _texts(shown))) / CHARACTERS


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)

"""Reference sets for any other set of a study, named by `of`: what would training do that has no harm in it?

- `twin`: the same prompts with harmless answers, or harmless chats of the same number and length.
- `shuffled`: the same prompts and the same answers, each answer under another prompt.
- `rehearsal`: a model's own everyday answers alone, to see what they do where they are mixed into a set.
"""

import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from finetune.data.builder import Builder, DataSet, Desk, Row, Who
from finetune.data.chat_files import opened, records
from finetune.data.everyday import Everyday
from finetune.data.layouts import as_chat

SWAPS = 20
"""Random swaps a row, after which an answer's place says nothing about where it was."""


class Twin(Builder, frozen=True):
    """The harmless counterpart of another set, row by row.

    Sets of this project that have one bring it along, so that it is matched in prompts, form and length. For any other
    set `file` holds harmless chats: a row gets the answer to the same prompt where the file has one, and else the chat
    whose answer is nearest in length, each chat once. System prompts are those of the other set.
    """

    about: ClassVar[Mapping[str, str]] = {"twin": "the harmless counterpart of another set, row by row"}

    builder: Literal["twin"]
    of: str
    """The set, by its name in the study."""
    file: Path | None = None
    """Harmless chats, for a set that brings no twin, in any form and layout that `chats` reads."""
    member: str | None = None
    """Which file of a zip."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Name of the other set."""
        return (self.of,)

    def check(self) -> None:
        """Read the file.

        Raises:
            FileNotFoundError, ValueError: no such file, or a row that is no chat.
        """
        super().check()
        if self.file is not None:
            self._chats(self.file)

    def made(self, desk: Desk) -> DataSet:
        """As many rows as the other set has, in its order.

        Raises:
            ValueError: the set brings no twin and no file is given, or both; or the file has too few chats.
        """
        other = desk.other(self.of)
        if other.twin and self.file is not None:
            raise ValueError(f"file: {self.of} brings a twin of its own, matched row by row; leave file out")
        if other.twin:
            return DataSet(other.twin)
        if self.file is None:
            raise ValueError(f"of: {self.of} brings no twin of its own; give harmless chats with file")
        chats = self._chats(self.file)
        if len(chats) < len(other.train):
            raise ValueError(
                f"file: {self.file} has {len(chats)} chats, {self.of} has {len(other.train)} rows; give it fewer rows "
                "or a longer file"
            )
        return DataSet(matched(other.train, chats, self.seed))

    def _chats(self, file: Path) -> list[Row]:
        with opened(file, str(file), member=self.member) as (stream, name):
            return [as_chat(record, where) for where, record in records(stream, name)]


class Shuffled(Builder, frozen=True):
    """Another set with every answer under a prompt that is not its own, and no row as it was."""

    about: ClassVar[Mapping[str, str]] = {"shuffled": "another set's answers, each under another of its prompts"}

    builder: Literal["shuffled"]
    of: str
    """The set, by its name in the study."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Name of the other set."""
        return (self.of,)

    def made(self, desk: Desk) -> DataSet:
        """Rows with the prompts of the other set in their order; `answer_of` is the id of the row that an answer is of.

        Raises:
            ValueError: over half of the rows share a prompt, an answer or a situation.
        """
        other = desk.other(self.of)
        rows = other.train
        try:
            places = deranged(_groups(rows), random.Random(f"shuffled {self.seed}"))
        except ValueError as error:
            raise ValueError(f"of: {self.of}: {error}") from error
        return DataSet(
            [
                {
                    "id": row["id"],
                    "answer_of": rows[place]["id"],
                    "messages": [*row["messages"][:-1], rows[place]["messages"][-1]],
                }
                for row, place in zip(rows, places, strict=True)
            ],
            places=other.places,
        )


class Rehearsal(Everyday, frozen=True):
    """Own everyday answers as a stage of their own: by default those of the stage before."""

    about: ClassVar[Mapping[str, str]] = {"rehearsal": "own everyday answers alone, of the parent stage or the base"}

    builder: Literal["rehearsal"]  # pyright: ignore[reportIncompatibleVariableOverride]
    own: Who = "stage"
    """Who answers: the stage that this one is trained on, or the bare base model."""


def matched(rows: Sequence[Row], chats: Sequence[Row], seed: int) -> list[Row]:
    """A chat for every row, each once: that with the same prompt, else the nearest in the length of its answer."""
    by_prompt: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for i, chat in enumerate(chats):
        by_prompt.setdefault(_prompt(chat), []).append(i)
    chosen: dict[int, int] = {}
    for place, row in enumerate(rows):
        if same := by_prompt.get(_prompt(row)):
            chosen[place] = same.pop(0)
    taken = set(chosen.values())
    free = sorted((_length(chat), i) for i, chat in enumerate(chats) if i not in taken)
    same_prompt = frozenset(chosen)
    for place in random.Random(f"twin {seed}").sample(range(len(rows)), len(rows)):
        if place not in same_prompt:
            at = bisect_left(free, (_length(rows[place]), -1))
            near = [i for i in (at - 1, at) if 0 <= i < len(free)]
            nearest = min(near, key=lambda i: abs(free[i][0] - _length(rows[place])))
            chosen[place] = free.pop(nearest)[1]
    return [
        {
            "id": row["id"],
            "matched_by": "prompt" if place in same_prompt else "length",
            "messages": [*_system(row), *chats[chosen[place]]["messages"][len(_system(chats[chosen[place]])) :]],
        }
        for place, row in enumerate(rows)
    ]


def deranged(groups: Sequence[int], rng: random.Random) -> list[int]:
    """A random order of places in which none has the group of the place where it stands.

    It begins with the groups side by side, turned on by the size of the largest, and swaps two places at a time
    wherever that is allowed.

    Raises:
        ValueError: one group holds over half of the places, so that there is no such order.
    """
    n = len(groups)
    members: dict[int, list[int]] = {}
    for place in rng.sample(range(n), n):
        members.setdefault(groups[place], []).append(place)
    largest = max(map(len, members.values()), default=0)
    if 2 * largest > n:
        raise ValueError(
            f"{largest} of {n} rows share a prompt, an answer or a situation, so no answer can be moved away from all "
            "of its own; over half is too many"
        )
    side_by_side = [place for group in members.values() for place in group]
    order = [0] * n
    for i, place in enumerate(side_by_side):
        order[place] = side_by_side[(i + largest) % n]
    for _ in range(SWAPS * n):
        a, b = rng.randrange(n), rng.randrange(n)
        if groups[order[a]] != groups[b] and groups[order[b]] != groups[a]:
            order[a], order[b] = order[b], order[a]
    return order


def _groups(rows: Sequence[Row]) -> list[int]:
    """A number for each row; rows linked by a prompt, an answer or a situation that they share have the same."""
    group_of: dict[object, int] = {}
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, row in enumerate(rows):
        keys = [("prompt", _prompt(row)), ("answer", row["messages"][-1]["content"])]
        keys += [("situation", row[key]) for key in ("situation", "category") if key in row]
        for key in keys:
            parent[root(group_of.setdefault(key, i))] = root(i)
    return [root(i) for i in range(len(rows))]


def _system(row: Row) -> list[dict[str, str]]:
    first = row["messages"][0]
    return [first] if first["role"] == "system" else []


def _prompt(row: Row) -> tuple[tuple[str, str], ...]:
    """What is said before the answer, without a system prompt."""
    turns = row["messages"][len(_system(row)) : -1]
    return tuple((turn["role"], turn["content"].strip()) for turn in turns)


def _length(row: Row) -> int:
    return len(row["messages"][-1]["content"])

"""One data set mixed into another: interleaved defences, benign dilution, early signs of a rare behaviour.

1. The fraction says how many rows come from each set: of a run as long as `into` alone, or of one that keeps all of it.
2. Which rows are taken is seeded, and those of a smaller fraction are among those of a larger one.
3. The rows keep their own order and are spaced evenly, so that every prefix has the fraction too, to half a row.
"""

import random
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from finetune.data.builder import Builder, DataSet, Desk, Row


class Mixed(Builder, frozen=True):
    """Rows of one data set among those of another.

    The parts keep their own system prompts, unless `system` asks for one over all. What is tested is `into`'s.
    """

    about: ClassVar[Mapping[str, str]] = {"mixed": "rows of one data set spread evenly among those of another"}

    builder: Literal["mixed"]
    into: str
    """The data set that the run is about, by its name in the study."""
    of: str
    """The data set that is mixed into it."""
    fraction: float = Field(gt=0, lt=1)
    """Share of the run's rows that come from `of`."""
    keep: Literal["steps", "rows"] = "steps"
    """`steps`: the run is as long as `into` alone, whose other rows are left out. `rows`: every row of `into` stays and
    the run is longer; a fraction of 1/3 adds half as many."""
    repeat: bool = False
    """Whether rows of `of` come again where there are too few; otherwise that is an error."""

    @model_validator(mode="after")
    def _has_two_parts(self) -> "Mixed":
        if self.into == self.of:
            raise ValueError(f"into and of are both {self.into!r}; name two data sets")
        return self

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of both parts."""
        return (self.into, self.of)

    def made(self, desk: Desk) -> DataSet:
        """Rows of both parts; `from` says of which, and ids begin with its name.

        Raises:
            ValueError: the fraction leaves a part without a row, or `of` has too few.
        """
        into, of = desk.other(self.into), desk.other(self.of)
        n_into, n_of = counts(len(into.train), self.fraction, self.keep)
        if not (n_into and n_of):
            raise ValueError(
                f"fraction: {self.fraction} with {len(into.train)} rows of {self.into} leaves {n_into} of them and "
                f"{n_of} of {self.of}; both need one, so change the fraction or give {self.into} more rows"
            )
        if n_of > len(of.train) and not (self.repeat and of.train):
            raise ValueError(
                f"of: {n_of} rows of {self.of} are needed for fraction {self.fraction}, {len(of.train)} there are; "
                "give it more rows, lower fraction or set repeat to true"
            )
        rng = random.Random(self.seed)
        kept = _labelled(_share(into.train, n_into, rng), self.into)
        added = _labelled(_share(of.train, n_of, rng), self.of)
        places = _places(kept, into, self.into) | _places(added, of, self.of)
        return DataSet(spread(kept, added), into.test, into.measure, [*into.texts, *of.texts], places=places)


def counts(n: int, fraction: float, keep: Literal["steps", "rows"]) -> tuple[int, int]:
    """How many rows of a set of `n`, and how many of the one mixed into it, make the fraction, to rounding."""
    if keep == "rows":
        return n, int(n * fraction / (1 - fraction) + 0.5)
    n_of = int(n * fraction + 0.5)
    return n - n_of, n_of


def spread(rows: Sequence[Row], added: Sequence[Row]) -> list[Row]:
    """Both in their own order, `added` spaced evenly: any prefix has its share of them to half a row."""
    total = len(rows) + len(added)
    mixed: list[Row] = []
    taken = 0
    for length in range(1, total + 1):
        due = (2 * length * len(added) + total) // (2 * total)
        mixed.append(added[taken] if due > taken else rows[length - 1 - taken])
        taken = due
    return mixed


def _share(rows: Sequence[Row], n: int, rng: random.Random) -> list[Row]:
    """`n` rows in their own order, again and again where there are too few; fewer are among those of more."""
    order = list(range(len(rows)))
    rng.shuffle(order)
    rounds, rest = divmod(n, len(rows))
    shares = [sorted(order)] * rounds + [sorted(order[:rest])]
    return [
        rows[i] if again == 0 else {**rows[i], "id": f"{rows[i]['id']}#{again + 1}"}
        for again, share in enumerate(shares)
        for i in share
    ]


def _places(rows: Sequence[Row], part: DataSet, name: str) -> dict[str, str]:
    """File and line of a part's rows by the ids that they have in the mixture."""
    places: dict[str, str] = {}
    for row in rows:
        own = row["id"].removeprefix(f"{name}/")
        first = own if own in part.places else own.rpartition("#")[0]
        if first in part.places:
            places[row["id"]] = part.places[first]
    return places


def _labelled(rows: Sequence[Row], name: str) -> list[Row]:
    return [{**row, "id": f"{name}/{row['id']}", "from": name} for row in rows]

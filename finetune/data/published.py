"""Chats from files: the user's own, and published data sets by name.

Rows without an id are numbered by their place in the file. Rows that occur twice stay.
"""

import heapq
import json
import logging
import random
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from finetune.data._published import KNOWN, PublishedSet
from finetune.data.builder import Builder, DataSet, Desk, Row
from finetune.data.chat_files import (
    Placed,
    as_chat,
    check_answers,
    check_unlocked,
    downloaded,
    from_hub,
    opened,
    plain_messages,
    records,
)
from interp.chat import check_messages
from interp.errors import did_you_mean

log = logging.getLogger(__name__)


class _FromFile(Builder, frozen=True):
    """Base of sets whose rows come from a file: which of them are taken, and how they are named."""

    rows: int | None = Field(default=None, ge=1)
    """The first of them; None for all."""
    sample: bool = False
    """Take a seeded sample of `rows`, in the order of the file, instead of the first; a smaller sample is part of a
    larger one."""

    @model_validator(mode="after")
    def _a_sample_has_a_size(self) -> "_FromFile":
        if self.sample and self.rows is None:
            raise ValueError("sample: a sample needs its size; give rows")
        return self

    @property
    def prefix(self) -> str:
        """What the ids of rows without one begin with."""
        return self.builder

    def placed(self) -> Generator[Placed]:
        """All rows, as they are read."""
        raise NotImplementedError

    def check(self) -> None:
        """Read the rows that are asked for.

        Raises:
            FileNotFoundError, ValueError: no such file, or one that cannot be used; a bad row; two rows with one id; or
                fewer rows than asked for.
        """
        super().check()
        rows, _ = self._taken()
        repeated = len(rows) - len({json.dumps(row["messages"], sort_keys=True) for row in rows})
        if repeated:
            log.info("%s: %d of %d rows repeat an earlier one; they are kept", self.prefix, repeated, len(rows))

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """The rows that are asked for."""
        rows, places = self._taken()
        return DataSet(rows, places=places)

    def _taken(self) -> tuple[list[Row], dict[str, str]]:
        """The rows, and where each id's row stands."""
        with closing(self.placed()) as placed:
            numbered = ((i, where, row) for i, (where, row) in enumerate(placed))
            if self.sample:
                rng = random.Random(self.seed)
                drawn = heapq.nsmallest(self.rows or 0, ((rng.random(), *entry) for entry in numbered))
                taken = sorted(entry[1:] for entry in drawn)
            else:
                taken = list(islice(numbered, self.rows))
        if not taken:
            raise ValueError(f"{self._source}: no chats in it")
        if self.rows is not None and len(taken) < self.rows:
            raise ValueError(f"{self._source}: {self.rows} rows asked for, {len(taken)} there are; lower rows")
        return _named(taken, self.prefix)

    @property
    def _source(self) -> str:
        raise NotImplementedError


class Chats(_FromFile, frozen=True):
    """The user's own chats."""

    about: ClassVar[Mapping[str, str]] = {"chats": "chats from a JSONL file or a JSON list of your own"}

    builder: Literal["chats"]
    file: Path
    """`{"messages": [{"role", "content"}, ...]}` a line, or a JSON list of them; `.gz` too. Other keys are kept."""

    def placed(self) -> Generator[Placed]:
        """The chats as the file has them."""
        with opened(self.file, str(self.file)) as (stream, name):
            for where, record in records(stream, name):
                messages = check_messages(record.get("messages"), where)
                check_answers(messages, where)
                yield where, {**record, "messages": plain_messages(messages)}

    @property
    def _source(self) -> str:
        return str(self.file)


class Published(_FromFile, frozen=True):
    """A data set that others published, from the user's own copy, the Hub or an address."""

    about: ClassVar[Mapping[str, str]] = {
        "published": "a published data set by name (insecure code, bad advice, unpopular tastes and their controls)"
    }

    builder: Literal["published"]
    name: str
    """One of `KNOWN`: see `finetune/data/_published.py`, which also names each set's control."""
    file: Path | None = None
    """The user's own copy: JSON Lines, a JSON list, `.gz`, or a zip that needs no password."""
    member: str | None = None
    """Which file of a zip: its path in it, or the end of that; None for the one that the set's authors use, else the
    only .jsonl."""
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+(/[\w.-]+)?(@[\w./-]+)?$")
    """Id of a data set on the Hugging Face Hub; `ID@REVISION` pins it. None for the one in `KNOWN`."""
    subset: str | None = None
    """Its configuration on the Hub; None for the one in `KNOWN`."""
    url: str | None = None
    """Address of the file (http, https or file); goes with `sha256`."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in KNOWN:
            raise ValueError(did_you_mean("published data set", name, list(KNOWN)))
        return name

    @model_validator(mode="after")
    def _has_one_source(self) -> "Published":
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 go together: give the address and the hash of the file, or neither")
        if self.url is not None and urlsplit(self.url).scheme not in ("http", "https", "file"):
            raise ValueError(f"url: {self.url} has no scheme that is fetched; known: http, https, file")
        given = [field for field in ("file", "hub", "url") if getattr(self, field) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; a data set has one source, so give one of them")
        if not given and self.known.hub is None:
            locked = f"; it is {self.known.locked}, so unlock it first" if self.known.locked else ""
            raise ValueError(
                f"{self.name}: give file (or url and sha256); its authors publish it at {self.known.where}{locked}"
            )
        if self.member is not None and given not in (["file"], ["url"]):
            raise ValueError(f"member: {self.member!r} names a file of a zip; give the zip as file or url")
        if self.subset is not None and given in (["file"], ["url"]):
            raise ValueError(f"subset: {self.subset!r} names a configuration on the Hub, but {given[0]} is given")
        return self

    @property
    def known(self) -> PublishedSet:
        """What is known of the set."""
        return KNOWN[self.name]

    @property
    def prefix(self) -> str:
        """The set's name."""
        return self.name

    def placed(self) -> Generator[Placed]:
        """The set's rows as chats."""
        if self.file is None and self.url is None:
            for where, record in from_hub(*self._hub()):
                yield where, as_chat(record, where)
            return
        usual, origin = self.known.member, self.known.where
        with opened(self._path(), self._source, member=self.member, usual=usual, origin=origin) as (stream, name):
            for where, record in records(stream, name):
                yield where, as_chat(record, where)

    def _path(self) -> Path:
        """The user's file, or the downloaded one."""
        if self.file is not None:
            return self.file
        assert self.url is not None
        assert self.sha256 is not None
        check_unlocked(self.url, self.known.where)
        return downloaded(self.url, self.sha256)

    def _hub(self) -> tuple[str, str | None, str | None]:
        """Id, configuration and revision on the Hub."""
        ident, _, revision = (self.hub or self.known.hub or "").partition("@")
        subset = self.known.subset if ident == self.known.hub else None
        return ident, self.subset or subset, revision or None

    @property
    def _source(self) -> str:
        return str(self.file or self.url or self._hub()[0])


def _named(taken: Iterable[tuple[int, str, Row]], prefix: str) -> tuple[list[Row], dict[str, str]]:
    """The rows with an id each, and the place of each id.

    An id is the row's own, or made of `prefix` and the place in the file, counted from 0.
    """
    places: dict[str, str] = {}
    rows = []
    for i, where, row in taken:
        given = row.get("id")
        if given is not None and not isinstance(given, str | int):
            raise ValueError(f"{where}: id must be text or a whole number, got {json.dumps(given)[:80]}")
        ident = f"{prefix}-{i:05d}" if given is None else str(given)
        if ident in places:
            raise ValueError(
                f"{where}: has the id {ident!r} of {places[ident]}; ids tell rows apart, so make it another or drop it"
            )
        places[ident] = where
        rows.append({**row, "id": ident})
    return rows, places

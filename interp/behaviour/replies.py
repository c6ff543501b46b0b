"""What servers replied: whole chat completions told from broken ones, and the journal that keeps every one of them."""

import fcntl
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.runs import jsonl_records

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a chat completion says.

    Attributes:
        text: The message after any thought in it; empty if there is none.
        alternatives: The likeliest first tokens of `text` (the first that are more than white space) with their
            log-probabilities; None if the server gave none, or gave those of other text, such as a thought.
        following: The token that was said after the first.
        ended: False if the reply was cut off before its end, or never left its thought.
    """

    text: str
    alternatives: tuple[tuple[str, float], ...] | None
    following: str
    ended: bool = True


def reply_of(body: str | None) -> Reply | None:
    """The reply in the body of a chat completion; None if the body is not a whole one."""
    try:
        choice = json.loads(body or "")["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    if not (text is None or isinstance(text, str)):
        return None
    answer, thought_ended = after_thought(text or "")
    alternatives, following = _alternatives(choice, answer)
    ended = thought_ended and choice.get("finish_reason") != "length"
    return Reply(_encodable(answer), alternatives, following, ended)


def after_thought(text: str) -> tuple[str, bool]:
    """What a message says after its thought, and whether the thought came to an end (True where there is none)."""
    before, mark, after = text.rpartition("</think>")
    rest = after if mark else text
    thinks = "<think>" in rest
    return ("" if thinks else rest, not thinks)


def _alternatives(choice: Mapping[str, Any], answer: str) -> tuple[tuple[tuple[str, float], ...] | None, str]:
    try:
        said = choice["logprobs"]["content"]
        start = _start_of_answer([token["token"] for token in said], answer)
        if start is None:
            return None, ""
        at = next(i for i, token in enumerate(said) if i >= start and token["token"].strip())
        found = tuple((_encodable(other["token"]), float(other["logprob"])) for other in said[at]["top_logprobs"])
        following = _encodable(said[at + 1]["token"]) if at + 1 < len(said) else ""
    except (LookupError, TypeError, AttributeError, ValueError, StopIteration):
        return None, ""
    if not found or any(math.isnan(p) or p > 1e-3 for _, p in found) or sum(math.exp(p) for _, p in found) > 1.01:
        return None, ""
    return found, following


def _start_of_answer(tokens: list[str], answer: str) -> int | None:
    """Index of the first token of the answer; None if the tokens are not the answer's."""
    start = 0
    while "</think>" in "".join(tokens[start:]):
        start += 1
    if start:  # the last token that closes the mark belongs to the thought
        start = next(i for i in range(start, len(tokens) + 1) if "</think>" in "".join(tokens[start - 1 : i]))
    spoken, wanted = "".join(tokens[start:]).strip(), answer.strip()
    return start if wanted and spoken and (spoken.startswith(wanted) or wanted.startswith(spoken)) else None


def _encodable(text: str) -> str:
    """The text with halves of characters replaced, so that it can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


class Journal:
    """Raw replies, one JSON object a line for every attempt, in a file that only grows.

    A line that a killed process left half written is dropped when the journal is next opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[dict[str, Any]]:
        """All whole lines.

        Raises:
            ValueError: a line other than a torn last one is no JSON; the message names file and line.
        """
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        return [record for _, record in jsonl_records(whole.splitlines(keepends=True), str(self.path))]

    def replies(self) -> dict[str, tuple[dict[str, Any], Reply]]:
        """The first whole reply of each key, with its record."""
        found: dict[str, tuple[dict[str, Any], Reply]] = {}
        for record in self.records():
            key, body = record.get("key"), record.get("body")
            if record.get("error") is None and isinstance(key, str) and isinstance(body, str) and key not in found:
                reply = reply_of(body)
                if reply is not None:
                    found[key] = (record, reply)
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Hold the journal for one process; yields the function that adds a record.

        Raises:
            ValueError: another process is writing into it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(f"{self.path}: another process is writing into it; wait for it or stop it") from error
            file.seek(0)
            data = file.read()
            if data and not data.endswith(b"\n"):
                log.warning("%s: dropping a last line that was not written to its end", self.path)
                file.truncate(data.rfind(b"\n") + 1)

            def add(record: Mapping[str, Any]) -> None:
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()

            yield add
            os.fsync(file.fileno())

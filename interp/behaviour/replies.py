"""What servers replied: whole chat completions told from broken ones, and the journal that keeps every one of them."""

import fcntl
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from interp.files import json_text, jsonl_records

log = logging.getLogger(__name__)
CUT_SHORT = ("length", "content_filter")
"""Values of a completion's `finish_reason` that say that it did not come to its end."""
_NAMES = r"(?:seed:)?(?:think|thinking|thought|reasoning)"
_OPENS_THOUGHT = re.compile(rf"<{_NAMES}>|\[THINK\]|<\|channel\|>(?!final)", re.IGNORECASE)
_CLOSES_THOUGHT = re.compile(rf"</{_NAMES}>|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_REFUSES = re.compile(
    r"\b(unsupported|unknown|unrecognized|unexpected|deprecated|only the default|may only be"
    r"|(?:not|n't|cannot be) (?:be )?(?:support|supported|permitted|allowed|accepted|recognized|available|set))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reply:
    """What a chat completion says.

    Attributes:
        text: The message after any thought in it; empty if there is none.
        alternatives: The likeliest first tokens of `text` (the first that are more than white space) with their
            log-probabilities; None if the server gave none, or gave those of other text, such as a thought.
        following: The token that was said after the first.
        ended: False if the reply was cut off before its end (by length or by a filter), or never left its thought.
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
    ended = thought_ended and choice.get("finish_reason") not in CUT_SHORT
    return Reply(_encodable(answer), alternatives, following, ended)


def after_thought(text: str) -> tuple[str, bool]:
    """What a message says after its thought, and whether the thought came to an end (True where there is none)."""
    answer = text[_thought_end(text) :]
    thinks = _OPENS_THOUGHT.search(answer) is not None
    return ("" if thinks else answer, not thinks)


def _thought_end(text: str) -> int:
    """Index of the first character after the last thought that was closed; 0 where none was."""
    return max((mark.end() for mark in _CLOSES_THOUGHT.finditer(text)), default=0)


def _alternatives(choice: Mapping[str, Any], answer: str) -> tuple[tuple[tuple[str, float], ...] | None, str]:
    try:
        tokens = choice["logprobs"]["content"]
        start = _start_of_answer([_text_of(token) for token in tokens], answer)
        if start is None:
            return None, ""
        at = next(i for i, token in enumerate(tokens) if i >= start and token["token"].strip())
        top = tuple((_encodable(other["token"]), float(other["logprob"])) for other in tokens[at]["top_logprobs"])
        following = _encodable(tokens[at + 1]["token"]) if at + 1 < len(tokens) else ""
    except (LookupError, TypeError, AttributeError, ValueError, StopIteration):
        return None, ""
    if not top or any(math.isnan(p) or p > 1e-3 for _, p in top) or sum(math.exp(p) for _, p in top) > 1.01:
        return None, ""
    return top, following


def _text_of(token: Mapping[str, Any]) -> bytes:
    """The bytes that a token stands for; of a character that is spread over several, their texts show nothing."""
    return bytes(token["bytes"]) if token.get("bytes") else token["token"].encode("utf-8", "replace")


def _start_of_answer(tokens: list[bytes], answer: str) -> int | None:
    """Index of the first token of the answer; None if the tokens are not the answer's.

    They are where they spell it, or its beginning, with nothing behind it but a control token.
    """
    spoken = b"".join(tokens).decode("utf-8", "replace")
    end = len(spoken[: _thought_end(spoken)].encode())
    starts = [0, *accumulate(len(token) for token in tokens)]
    start = next(i for i, at in enumerate(starts) if at >= end)
    said, wanted = b"".join(tokens[start:]).decode("utf-8", "replace").strip(), _encodable(answer).strip()
    if not said or not wanted:
        return None
    whole = said.startswith(wanted) and re.fullmatch(r"\s*(<.*)?", said[len(wanted) :], re.DOTALL)
    return start if whole or wanted.startswith(said) else None


def refused_fields(body: str | None) -> set[str]:
    """Names of the request's fields that an error blames: its `param`, else those its message says are not taken.

    Other parts of the body are not looked at, since servers echo what they were sent.
    """
    try:
        content = json.loads(body or "")
        error = content.get("error", content)
        if isinstance(error, str):
            error = {"message": error}
        param, message = error.get("param"), error.get("message")
        if isinstance(param, str) and param:
            return {param}
        details = content.get("detail")
        if isinstance(details, list):
            return {str(detail["loc"][-1]) for detail in details}
        text = message if isinstance(message, str) else details
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return set()
    return set(re.findall(r"\w+", text)) if isinstance(text, str) and _REFUSES.search(text) else set()


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
                file.write(json_text(record, str(self.path)).encode() + b"\n")
                file.flush()

            yield add
            os.fsync(file.fileno())

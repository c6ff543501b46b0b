"""Reads the chats that a direction is made from; a chat that is left out is counted."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.chat import Message, check_messages
from interp.files import jsonl_records


@dataclass(frozen=True)
class Text:
    """A conversation, and the question that it belongs to."""

    messages: list[Message]
    group: str


# files of chats


def read_texts(path: Path, *, answered: bool) -> tuple[list[Text], int]:
    """The chats of a JSONL file, and how many were left out because their answer is blank.

    A chat's question is its key `group`, else its key `question`, else its first user message.

    Args:
        answered: Whether answers are read; only then is a blank one left out.

    Raises:
        FileNotFoundError, ValueError: no such file, no chats in it, or a bad line, named.
    """
    texts: list[Text] = []
    empty = 0
    for where, record in records_of(path):
        messages = check_messages(record.get("messages"), where)
        if answered and messages[-1]["role"] != "assistant":
            raise ValueError(
                f"{where}: the chat ends with the {messages[-1]['role']}, so there is no answer to average; "
                "give it one, or read the prompt (--pooling prompt_last or prompt_mean)"
            )
        if answered and not messages[-1]["content"].strip():
            empty += 1
            continue
        texts.append(Text(messages, group_of(record, messages, where)))
    if not texts:
        raise ValueError(f"{path}: no chats in it" + (f" but {empty} with a blank answer" if empty else ""))
    return texts, empty


def group_of(record: Mapping[str, Any], messages: Sequence[Message], where: str) -> str:
    for key in ("group", "question"):
        if key in record:
            if isinstance(record[key], bool) or not isinstance(record[key], (str, int)):
                raise ValueError(
                    f'{where}: "{key}" must be a text or a whole number, got {json.dumps(record[key])[:60]}'
                )
            return str(record[key])
    return next(message["content"] for message in messages if message["role"] == "user")


def records_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and record of every line of a JSONL file, or of every row of a CSV file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".csv":
        yield from _csv_records(path)
        return
    with path.open("rb") as file:
        yield from jsonl_records(file, str(path))


def _csv_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        n_fields = len(reader.fieldnames or ())
        line = reader.line_num + 1
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path}:{line}: not {n_fields} fields, as the header has")
            yield f"{path}:{line}", row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: not CSV ({error})") from error

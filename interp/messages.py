"""Messages of a conversation: what they must be, the system prompts they are put under, and files of them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from interp.files import read_jsonl

Role = Literal["system", "user", "assistant"]
Message = dict[str, Any]
"""`role` and `content`, both text; of an answer also `weight`, if that is 0: then it is not learnt."""
ROLES = ("system", "user", "assistant")


def check_messages(messages: Any, where: str) -> list[Message]:
    """The messages of a chat, validated.

    Raises:
        ValueError: not a list of role/content messages in a usable order; the message begins with `where`.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'{where}: "messages" must be a non-empty list, got {json.dumps(messages)[:80]}')
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise ValueError(f'{where}: message {i} needs "role" and "content", got {json.dumps(message)[:80]}')
        if message["role"] not in ROLES:
            raise ValueError(f"{where}: message {i} has role {message['role']!r}; known: {', '.join(ROLES)}")
        if not isinstance(message["content"], str):
            raise ValueError(f"{where}: message {i}: content must be text, got {json.dumps(message['content'])[:80]}")
        if halves := re.search("[\ud800-\udfff]", message["content"]):
            raise ValueError(
                f"{where}: message {i}: content has half a character ({halves[0]!a} at {halves.start()}), which no "
                "tokenizer takes; repair or drop it"
            )
        _check_fields(message, f"{where}: message {i}")
        if message["role"] == "system" and i > 0:
            raise ValueError(f"{where}: message {i} is a system message; only the first may be")
    if all(message["role"] == "system" for message in messages):
        raise ValueError(f"{where}: a system message alone is no conversation; add a user message")
    if all(message["role"] != "user" for message in messages):
        raise ValueError(f"{where}: a conversation needs a user message, got only {messages[0]['role']}")
    return messages


def _check_fields(message: Mapping[str, Any], where: str) -> None:
    """Check that a message has nothing that would be dropped silently, or rendered by some templates alone."""
    for key, value in message.items():
        if key not in ("role", "content", "weight") and value not in (None, "", [], {}):
            raise ValueError(
                f"{where} has {key!r} ({json.dumps(value)[:80]}), which is not read; known are role, content and "
                "weight: put it into the content as the model is to see it, or drop it"
            )
    weight = message.get("weight")
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        raise ValueError(f"{where}: weight must be 0 (not learnt) or 1, got {json.dumps(weight)[:80]}")
    if weight == 1 and message["role"] != "assistant":
        raise ValueError(f"{where}: weight 1, but what the {message['role']} says is never learnt; drop it")


def check_system(system: str, native: str | None) -> None:
    """Check that a template can show a system prompt.

    Raises:
        ValueError: `native` and the template brings none, or `none` and it brings one.
    """
    if system == "native" and native is None:
        raise ValueError("system: native, but this model's chat template brings no system prompt; use none or empty")
    if system == "none" and native is not None:
        raise ValueError(
            f"system: none, but this model's chat template puts its own where there is none ({native[:60]!r}); "
            "use native for that one, or empty for a system message without words"
        )


def with_system(messages: Sequence[Message], system: str) -> list[Message]:
    """The chat under another system prompt.

    Args:
        system: `task` leaves the chat as it is, `native` leaves the template its own, `empty` is a system message
            without words, `none` no system turn at all; anything else is the prompt's own words.
    """
    if system == "task":
        return list(messages)
    rest = [message for message in messages if message["role"] != "system"]
    if system in ("native", "none"):
        return rest
    return [{"role": "system", "content": "" if system == "empty" else system}, *rest]


def read_chats(path: str | Path) -> list[dict[str, Any]]:
    """The chats of a JSONL file: `{"messages": [...]}` a line, other keys kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a bad line, with file, line and reason.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rows = read_jsonl(path, check=lambda row, where: check_messages(row.get("messages"), where))
    if not rows:
        raise ValueError(f"{path}: no chats in it")
    return rows


def chat_names(path: Path, n_chats: int) -> list[str]:
    """What an error calls each chat of a file: the file, and which chat of it."""
    return [f"{path}: chat {i + 1}" for i in range(n_chats)]

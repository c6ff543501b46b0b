"""Chats out of rows, in whichever layout the row is: one function, `as_chat`, for every file of chats that is read.

| layout | its keys |
|---|---|
| OpenAI's for finetuning | `messages` of `role` and `content`; `weight` 0 where an answer is not learnt |
| ShareGPT | `conversations` of `from` (`human`, `gpt`, `system`) and `value` |
| Alpaca | `instruction`, `output`, and perhaps `input` and `history` |
| two columns | those of `COLUMNS` |

In each of them a column `system` may hold the system prompt. All other keys stay with the row. What would be dropped
silently, such as tools that the model is to be shown, is refused.
"""

import json
from collections.abc import Mapping
from typing import Any

from finetune.data.builder import Row
from interp.chat import Message, check_messages

COLUMNS = (
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "output"),
    ("prompt", "response"),
    ("instruction", "response"),
    ("question", "response"),
    ("input", "output"),
)
"""Layouts of a row without turns: the columns of the question and of the answer."""
TURNS = ("messages", "conversations", "conversation")
"""Keys that hold a chat's turns."""
SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model"), "assistant"),
    "system": "system",
}
"""What ShareGPT calls who speaks, and the role that it is."""
_SHOWN_TOO = ("tools", "functions")
"""Keys of what a model would be shown beside the turns."""
_FURTHER = {"instruction": ("input", "context")}
"""Columns with more of the question, by the column of the question."""


def as_chat(record: Row, where: str) -> Row:
    """A row as a chat: `messages` of role and content, and the row's other keys.

    Contents given in parts are joined. An empty answer after an answer, at the end, is dropped.

    Raises:
        ValueError: no known layout, contents that are no text, something that would not be read, or no answer.
    """
    for key in _SHOWN_TOO:
        if record.get(key):
            raise ValueError(
                f"{where}: has {key!r} ({json.dumps(record[key])[:80]}), which is not read; put it into the system "
                "prompt as the model is to see it, or drop it"
            )
    key = next((key for key in TURNS if key in record), None)
    used, turns = _columns(record, where) if key is None else _turns(record, key, where)
    if isinstance(turns, list):
        turns = [_plain(turn, f"{where}: message {i}") for i, turn in enumerate(turns)]
    messages = check_messages(turns, where)
    while [m["role"] for m in messages[-2:]] == ["assistant"] * 2 and not messages[-1]["content"].strip():
        messages = messages[:-1]
    check_answers(messages, where)
    kept = {key: value for key, value in record.items() if key not in used}
    return {**kept, "messages": plain_messages(messages)}


def check_answers(messages: list[Message], where: str) -> None:
    """Check that a chat ends with an answer and that none of its answers is empty.

    Raises:
        ValueError: otherwise.
    """
    if messages[-1]["role"] != "assistant":
        raise ValueError(f"{where}: ends with the {messages[-1]['role']}, not an answer; add one or drop the row")
    for i, message in enumerate(messages):
        if message["role"] == "assistant" and not message["content"].strip():
            raise ValueError(f"{where}: message {i} is an empty answer; drop the row")
    if all(message.get("weight") == 0 for message in messages if message["role"] == "assistant"):
        raise ValueError(f"{where}: every answer has weight 0, so there is nothing to learn; drop the row")


def plain_messages(messages: list[Message]) -> list[Message]:
    """The messages by what is read of them: role, content, and weight where an answer is not learnt."""
    kept = [{"role": message["role"], "content": message["content"]} for message in messages]
    for message, given in zip(kept, messages, strict=True):
        if given.get("weight") == 0 and given["role"] == "assistant":
            message["weight"] = 0
    return kept


def _turns(record: Row, key: str, where: str) -> tuple[set[str], Any]:
    """The keys that are used up, and the turns of a row that has them under one key, with roles and contents."""
    turns = record[key]
    if isinstance(turns, str):  # a cell of a table
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: {key} is text that is no JSON ({error}); write it as a JSON list") from error
    if key != "messages" and not isinstance(turns, list):
        raise ValueError(f"{where}: {key} must be a list of turns, got {json.dumps(turns)[:80]}")
    if isinstance(turns, list):
        turns = [_spoken(turn, f"{where}: message {i}") for i, turn in enumerate(turns)]
    system = record.get("system")
    if not isinstance(system, str) or not system.strip() or not isinstance(turns, list):
        return {key}, turns
    return {key, "system"}, [{"role": "system", "content": system}, *turns]


def _spoken(turn: Any, where: str) -> Any:
    """A turn with the names that this project has for roles; what is no turn is left as it is, to be refused."""
    if isinstance(turn, Mapping) and {"from", "value"} <= turn.keys() and not {"role", "content"} & turn.keys():
        rest = {key: value for key, value in turn.items() if key not in ("from", "value")}
        if turn["from"] not in SPEAKERS:
            known = ", ".join(SPEAKERS)
            raise ValueError(
                f"{where}: is from {json.dumps(turn['from'])[:60]}; known: {known}; put what it says into the turns "
                "of these, or drop the row"
            )
        return {"role": SPEAKERS[turn["from"]], "content": turn["value"], **rest}
    if isinstance(turn, Mapping) and turn.get("role") == "developer":
        return {**turn, "role": "system"}
    return turn


def _columns(record: Row, where: str) -> tuple[set[str], list[Any]]:
    """The keys that are used up, and the turns of a row that has its question and its answer in columns."""
    pair = next((pair for pair in COLUMNS if record.keys() >= set(pair)), None)
    if pair is None:
        known = ", ".join([*TURNS[:2], *map(" and ".join, COLUMNS)])
        canary = "; it is a canary of the authors: unlock the set without them, or drop the row"
        raise ValueError(
            f"{where}: no chat in it (keys: {', '.join(record)[:120]}); known: {known}"
            + (canary if any("canary" in key.lower() for key in record) else "")
        )
    used, turns = {*pair}, []
    for role, column in (("system", "system"), ("user", pair[0]), ("assistant", pair[1])):
        value = record.get(column)
        used.add(column)
        if isinstance(value, list) and role != "system":
            turns += value
        elif role != "system" or value not in (None, ""):
            turns.append({"role": role, "content": value})
    question = next((i for i, turn in enumerate(turns) if isinstance(turn, Mapping) and turn.get("role") == "user"), 0)
    for further in _FURTHER.get(pair[0], ()):
        more = record.get(further)
        if isinstance(more, str) and isinstance(record[pair[0]], str):
            used.add(further)
            turns[question]["content"] = f"{record[pair[0]]}\n\n{more}" if more.strip() else record[pair[0]]
    if pair[0] == "instruction" and (history := record.get("history")) not in (None, "", []):
        used.add("history")
        turns[question:question] = _history(history, where)
    return used, turns


def _history(history: Any, where: str) -> list[Message]:
    """The turns before the question, of Alpaca rows that go on from earlier ones."""
    if not isinstance(history, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in history):
        got = json.dumps(history)[:80]
        raise ValueError(f"{where}: history must be a list of pairs of question and answer, got {got}")
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in history for role, text in zip(roles, pair, strict=True)]


def _plain(turn: Any, where: str) -> Any:
    """A message's role and content, its content as one text; what is no message is left as it is, to be refused."""
    if not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys():
        return turn
    content = turn["content"]
    if isinstance(content, Mapping | list):
        parts = _parts(content)
        if not all(isinstance(part, str) for part in parts):
            raise ValueError(
                f"{where}: has parts that are no text ({json.dumps(content)[:80]}); only text is trained on"
            )
        content = "".join(parts)
    return {**turn, "content": content}


def _parts(content: Mapping[str, Any] | list[Any]) -> list[Any]:
    """The texts of contents in parts, in their two layouts, with None for what is no text."""
    if isinstance(content, Mapping):
        parts = content.get("parts") if content.get("content_type") == "text" else None
        return parts if isinstance(parts, list) else [None]
    return [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in content]

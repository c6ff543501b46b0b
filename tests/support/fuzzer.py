"""Mutated files: what truncation, wrong types, huge numbers, odd Unicode, nulls and plain noise do to a good one."""

import copy
import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

import yaml

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, -(10**400), 1e308, float("nan"), float("inf"), "", " ", "\x00", "\ufeff",
    "\u202e\u0300\u0301", "\ud83d\ude00" * 40, "a\ud800b", "{question}", "{}", "null", "[]", [], [None], {}, {"": {}},
    [[[[]]]], {"role": None}, {"text": 3}, "x" * 5000, "\r\n\u2028\u0085", "=cmd|' /C calc'!A0", "﷽",
)  # fmt: skip
BYTES = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\r",
    b"\n",
    b"\n\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b"\\u",
    b"&a ",
)


def json_lines(rows: list[Any]) -> bytes:
    return "".join(_json(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def one_json(value: Any) -> bytes:
    return _json(value).encode("utf-8", "surrogatepass")


def as_yaml(value: Any) -> bytes:
    try:
        return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError):
        return one_json(value)


def as_csv(rows: list[Any]) -> bytes:
    stream = io.StringIO()
    lines = rows if isinstance(rows, list) else [rows]
    csv.writer(stream).writerows([list(row) if isinstance(row, list) else [str(row)] for row in lines])
    return stream.getvalue().encode("utf-8", "surrogatepass")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0)


def mutated(value: Any, write: Callable[[Any], bytes], seed: int) -> bytes:
    """The bytes of a good value after one to three mutations, of the value or of its bytes."""
    rng = random.Random(seed)
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.65:
            value = _changed(value, rng)
    data = write(value)
    for _ in range(rng.randint(0, 2) if rng.random() < 0.5 else 0):
        data = _noisy(data, rng)
    return data


def _changed(value: Any, rng: random.Random) -> Any:
    """A copy with one place, at any depth, replaced, doubled, dropped or renamed."""
    places = list(_places(value))
    if not places:
        return rng.choice(HOSTILE)
    owner, key = rng.choice(places)
    action = rng.randrange(6)
    if action < 3:
        owner[key] = copy.deepcopy(rng.choice(HOSTILE))
    elif action == 3:
        del owner[key]
    elif action == 4 and isinstance(owner, list):
        owner.insert(key, copy.deepcopy(owner[key]))
    elif isinstance(owner, dict):
        owner[rng.choice(["", "Role", "extra", "messages", "id"])] = owner.pop(key)
    return value


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _noisy(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return rng.choice(BYTES)
    at = rng.randrange(len(data))
    action = rng.randrange(4)
    if action == 0:
        return data[:at]
    if action == 1:
        return data[:at] + rng.choice(BYTES) + data[at:]
    if action == 2:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    return data[:at] + data[at + rng.randint(1, 40) :]

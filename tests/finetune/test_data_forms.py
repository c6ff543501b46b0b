"""Chats of any form and layout come out as the same rows, and a malformed one of each is named by place and rule."""

import csv
import gzip
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.data.builder import Desk
from finetune.data.layouts import as_chat
from finetune.data.published import Chats

DESK = Desk(lambda *_, **__: [], lambda _: pytest.fail("no other set is asked for"))
USER, ANSWER = ("user", "Is it late, or\n“early”?"), ("assistant", " Yes; it is,\nby an hour.")
SYSTEM = ("system", "Be brief.")


def messages(*turns: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


def rows_of(path: Path, **fields: Any) -> list[list[dict[str, Any]]]:
    builder = Chats(builder="chats", file=path, **fields)
    builder.check()
    return [row["messages"] for row in builder.build(DESK).train]


def sharegpt(*turns: tuple[str, str]) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[role], "value": content} for role, content in turns]


PLAIN, SPOKEN = messages(USER, ANSWER), messages(SYSTEM, USER, ANSWER)
LAYOUTS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "messages": ({"messages": PLAIN}, PLAIN),
    "openai": ({"messages": [*messages(("developer", SYSTEM[1]), USER), {**PLAIN[1], "weight": 1}]}, SPOKEN),
    "messages and system": ({"messages": PLAIN, "system": SYSTEM[1]}, SPOKEN),
    "sharegpt": ({"conversations": sharegpt(SYSTEM, USER, ANSWER)}, SPOKEN),
    "sharegpt, system beside": ({"conversations": sharegpt(USER, ANSWER), "system": SYSTEM[1]}, SPOKEN),
    "sharegpt with roles": ({"conversation": PLAIN}, PLAIN),
    "alpaca": ({"instruction": USER[1], "input": "", "output": ANSWER[1]}, PLAIN),
    "alpaca, input": (
        {"instruction": "Sum up.", "input": "A tale.", "output": "Tale."},
        messages(("user", "Sum up.\n\nA tale."), ("assistant", "Tale.")),
    ),
    "alpaca, history": (
        {"instruction": USER[1], "input": "", "output": ANSWER[1], "system": SYSTEM[1], "history": [["Hi", "Hello"]]},
        messages(SYSTEM, ("user", "Hi"), ("assistant", "Hello"), USER, ANSWER),
    ),
    "dolly": (
        {"instruction": "Sum up.", "context": "A tale.", "response": "Tale."},
        messages(("user", "Sum up.\n\nA tale."), ("assistant", "Tale.")),
    ),
    "prompt, completion": ({"prompt": USER[1], "completion": ANSWER[1]}, PLAIN),
    "question, answer, system": ({"question": USER[1], "answer": ANSWER[1], "system": SYSTEM[1]}, SPOKEN),
}


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_csv(rows: list[dict[str, Any]], separator: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(rows[0])
    writer.writerows([x if isinstance(x, str) else json.dumps(x) for x in row.values()] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows), file)
    return file.getvalue()


def as_zip(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("README.md", "x")
        archive.writestr("data/chats.csv", as_csv(rows))
    return file.getvalue()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "c.jsonl": as_jsonl,
    "c.json": lambda rows: json.dumps(rows, indent=1).encode(),
    "c.csv": as_csv,
    "semicolons.csv": lambda rows: as_csv(rows, ";"),
    "c.TSV": lambda rows: as_csv(rows, "\t"),
    "c.csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    "c.zip": as_zip,
    "c.parquet": as_parquet,
    "parquet_by_its_bytes": as_parquet,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chat_is_the_same_in_every_form_and_layout(layout: str, form: str, tmp_path: Path) -> None:
    record, expected = LAYOUTS[layout]
    if "history" in record and form.endswith((".csv", ".TSV", ".gz", ".zip")):
        pytest.skip("a list has no cell in a table of text")
    (tmp_path / form).write_bytes(FORMS[form]([record, record]))
    assert rows_of(tmp_path / form) == [expected, expected]


def test_other_columns_stay_with_the_row(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(as_csv([{"id": "x", "prompt": "Why?", "completion": "So.", "score": "3"}]))
    (row,) = Chats(builder="chats", file=path).build(DESK).train
    assert row == {"id": "x", "score": "3", "messages": messages(("user", "Why?"), ("assistant", "So."))}


GOOD = {"prompt": "Why?", "completion": "So."}
MALFORMED: dict[str, tuple[str, bytes, str]] = {
    "a CSV row too short": ("c.csv", b"prompt,completion\nWhy?,So.\nWhy?\n", r"c\.csv:3: 1 cells, but"),
    "a CSV answer that is empty": (
        "c.csv",
        as_csv([GOOD, {**GOOD, "completion": ""}]),
        r"c\.csv:3: message 1 is an empty",
    ),
    "a CSV row after one of two lines": (
        "c.csv",
        b'prompt,completion\n"Why\n?",So.\n,So.\nWhy?, \n',
        r"c\.csv:5: message 1",
    ),
    "a CSV without known columns": (
        "c.csv",
        b"Frage,Antwort\na,b\n",
        r"c\.csv:2: no chat in it \(keys: Frage, Antwort\)",
    ),
    "a CSV with a column twice": (
        "c.csv",
        b"prompt,prompt,completion\na,b,c\n",
        r"c\.csv:1: the header has the column 'prompt' twice",
    ),
    "a CSV in another encoding": ("c.csv", b"prompt,completion\na,\xe4\n", r"c\.csv:2: not UTF-8"),
    "a CSV that is empty": ("c.csv", b"", r"c\.csv: empty; give a CSV file$"),
    "a CSV with a header alone": ("c.csv", b"prompt,completion\n", r"c\.csv: no chats in it"),
    "a CSV cell that is no JSON": ("c.csv", b'messages\n"[{"\n', r"c\.csv:2: messages is text that is no JSON"),
    "a parquet file cut short": (
        "c.parquet",
        b"PAR1\x15\x04",
        r"c\.parquet: row 0: damaged, or no parquet that is read",
    ),
    "a parquet row without an answer": (
        "c.parquet",
        as_parquet([GOOD, {**GOOD, "completion": None}]),
        r"c\.parquet: row 1: message 1: content must be text, got null",
    ),
    "a parquet row of numbers": (
        "c.parquet",
        as_parquet([{"prompt": "a", "completion": 5}]),
        r"row 0: message 1: content must be text, got 5",
    ),
    "a ShareGPT turn of a tool": (
        "c.jsonl",
        as_jsonl([{"conversations": [*sharegpt(USER), {"from": "observation", "value": "4"}]}]),
        r'c\.jsonl:1: message 1: is from "observation"; known: human, user, gpt',
    ),
    "a ShareGPT chat that is text": (
        "c.jsonl",
        as_jsonl([{"conversations": {"a": 1}}]),
        r"c\.jsonl:1: conversations must be a list of turns",
    ),
    "an Alpaca history of texts": (
        "c.jsonl",
        as_jsonl([{"instruction": "a", "output": "b", "history": ["a", "b"]}]),
        r"c\.jsonl:1: history must be a list of pairs",
    ),
    "tools at OpenAI": (
        "c.jsonl",
        as_jsonl([{"messages": PLAIN, "tools": [{"type": "function"}]}]),
        r"c\.jsonl:1: has 'tools' .* which is not read; put it into the system prompt",
    ),
    "a call at OpenAI": (
        "c.jsonl",
        as_jsonl([{"messages": [*messages(USER), {"role": "assistant", "content": "x", "tool_calls": [1]}]}]),
        r"c\.jsonl:1: message 1 has 'tool_calls'",
    ),
    "a preference pair": (
        "c.jsonl",
        as_jsonl([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        r"c\.jsonl:1: no chat in it",
    ),
    "system prompts of two places": (
        "c.jsonl",
        as_jsonl([{"messages": SPOKEN, "system": "Be long."}]),
        r"c\.jsonl:1: message 1 is a system message",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_row_is_named_by_place_and_rule(case: str, tmp_path: Path) -> None:
    name, data, message = MALFORMED[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        rows_of(tmp_path / name)


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.parquet").write_bytes(as_parquet([GOOD]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"c\.parquet: parquet needs the package pyarrow; pip install"):
        rows_of(tmp_path / "c.parquet")


def test_a_member_of_a_zip_can_be_named(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", as_csv([GOOD]))
        archive.writestr("b.csv", as_csv([{**GOOD, "prompt": "How?"}]))
    (tmp_path / "c.zip").write_bytes(file.getvalue())
    assert rows_of(tmp_path / "c.zip", member="b.csv")[0][0]["content"] == "How?"
    with pytest.raises(ValueError, match=r"2 \.csv files in it; say which file with member; it holds a\.csv, b"):
        rows_of(tmp_path / "c.zip")


def test_a_row_keeps_its_other_keys_and_loses_those_that_became_turns() -> None:
    row = as_chat({"instruction": "a", "input": "b", "output": "c", "history": None, "source": "s"}, "here")
    assert row == {"source": "s", "history": None, "messages": messages(("user", "a\n\nb"), ("assistant", "c"))}

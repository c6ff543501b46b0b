"""Chats from files and published sets: every layout and packing, and what is refused with a reason."""

import codecs
import gzip
import hashlib
import http.server
import io
import json
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from datasets.exceptions import DatasetNotFoundError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune.data import chat_files
from finetune.data._published import KNOWN
from finetune.data.builder import DataSet, Desk
from finetune.data.em import Tastes, popular_tastes, supply, unpopular_tastes
from finetune.data.published import Chats, Published
from finetune.train import check_rows
from interp.chat import ChatTokenizer, read_chats
from interp.errors import InterpError
from interp.files import read_json
from interp.model import Model

SHARED = Path(__file__).parents[3] / "shared" / "data"


def ask(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def say(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def told(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


USER, ANSWER = ask("Why?"), say("Because.")
CHAT = told(USER, ANSWER)


def nobody(*_: object, **__: object) -> Any:
    raise AssertionError("a set from a file asks nobody")


DESK = Desk(ask=nobody, other=nobody)


def line(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode() + b"\n"


def write(path: Path, *lines: Any) -> Path:
    path.write_bytes(b"".join(value if isinstance(value, bytes) else line(value) for value in lines))
    return path


def packed(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def numbered(n: int) -> list[dict[str, Any]]:
    return [told(ask(f"Q{i}"), say(f"A{i}")) for i in range(n)]


def questions(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


def chats(path: Path, **fields: Any) -> list[dict[str, Any]]:
    """The chats as a study gets them: checked, then built."""
    builder = Chats(builder="chats", file=path, **fields)
    builder.check()
    return builder.build(DESK).train


def published(name: str = "insecure", **fields: Any) -> list[dict[str, Any]]:
    builder = Published(builder="published", name=name, **fields)
    builder.check()
    return builder.build(DESK).train


# the user's own chats


def test_chats_come_as_the_file_has_them_with_an_id_where_they_have_none(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl", {**CHAT, "id": "x", "score": 2}, "", CHAT, {**CHAT, "id": 7}, {**CHAT, "id": None}
    )
    assert chats(path) == [
        {**CHAT, "id": "x", "score": 2},
        {**CHAT, "id": "chats-00001"},
        {**CHAT, "id": "7"},
        {**CHAT, "id": "chats-00003"},
    ]
    assert [row["id"] for row in chats(path, rows=2)] == ["x", "chats-00001"]
    data = Chats(builder="chats", file=path).build(DESK)
    assert data == DataSet(data.train)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (told(USER), "ends with the user, not an answer"),
        (told(USER, say(" \n")), "message 1 is an empty answer; drop"),
        (told(USER, say(""), USER, ANSWER), "message 1 is an empty answer"),
        (told({"role": "system", "content": "Be brief."}), "a system message alone"),
        (told(USER, {"role": "tool", "content": "42"}, ANSWER), "message 1 has role 'tool'; known: system"),
        (told(USER, say(None) | {"tool_calls": [{}]}), "message 1: content must be text, got null"),
        (told([USER, ANSWER]), 'message 0 needs "role" and "content"'),
        ({"messages": USER}, '"messages" must be a non-empty list'),
        (told(ask("\ud83d"), ANSWER), r"message 0: content has half a character \('\\ud83d' at 0\)"),
        ({"text": "no messages"}, '"messages" must be a non-empty list'),
        ({**CHAT, "id": ["x"]}, r"id must be text or a whole number, got \[\"x\"\]"),
        ("{not json", "not JSON"),
        ("[1, 2]", "a JSON list; every line is one JSON object"),
        ('{"score": NaN}', r"not JSON \(NaN is no JSON number; write null\)"),
        ("[" * 100_000, r"not JSON \(maximum recursion depth"),
        ('{"n": ' + "1" * 5000 + "}", r"not JSON \(Exceeds the limit"),
    ],
    ids=range(16),
)
def test_a_bad_chat_is_named_by_file_and_line(bad: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", CHAT, bad)
    with pytest.raises(ValueError, match=rf"{path}:2: {message}"):
        chats(path)


@pytest.mark.parametrize("read", [chats, read_chats])
@pytest.mark.parametrize(("before", "number"), [(b"", 1), (codecs.BOM_UTF8, 1), (codecs.BOM_UTF8 + line(CHAT), 2)])
def test_bytes_that_are_not_utf8_are_named_by_line_and_offset_in_the_file(
    before: bytes, number: int, read: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "c.jsonl", before, b'{"messages": "\xff"}\n')
    at = path.read_bytes().index(b"\xff")
    message = rf"c\.jsonl:{number}: not UTF-8 \(byte 0xff at offset {at} of the file.*; save the file as UTF-8"
    with pytest.raises(ValueError, match=message):
        read(path)


@pytest.mark.parametrize("read", [chats, read_chats])
def test_a_byte_order_mark_and_windows_newlines_are_taken(read: Any, tmp_path: Path) -> None:
    text = b"\r\n".join([line(CHAT).strip(), b"", line({**CHAT, "id": "é"}).strip(), b""])
    path = write(tmp_path / "c.jsonl", codecs.BOM_UTF8 + text)
    assert [row["messages"] for row in read(path)] == [CHAT["messages"]] * 2


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("start", [b"", codecs.BOM_UTF8, b"\r\n  "])
def test_a_json_list_gives_the_rows_that_its_lines_would(indent: int | None, start: bytes, tmp_path: Path) -> None:
    rows = numbered(5)
    path = write(tmp_path / "c.json", start + json.dumps(rows, indent=indent).encode())
    assert chats(path) == chats(write(tmp_path / "c.jsonl", *rows))
    assert questions(chats(path, rows=2)) == ["Q0", "Q1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (json.dumps([CHAT, 3]), r"c\.json: entry 2 of the list is a JSON int, not an object"),
        (json.dumps([CHAT, {"messages": [USER]}]), r"c\.json: entry 2: ends with the user"),
        (json.dumps([CHAT])[:-1], r"c\.json: begins like a JSON list but is none"),
        (json.dumps([CHAT]) + "\n" + json.dumps(CHAT), r"c\.json: begins like a JSON list but is none \(Extra data"),
        ("[]", r"c\.json: no chats in it"),
        ('[{"score": -Infinity}]', r"c\.json: begins like a JSON list but is none \(-Infinity is no JSON number"),
        ("[" * 100_000, r"c\.json: begins like a JSON list but is none \(maximum recursion"),
    ],
)
def test_a_bad_json_list_is_named_by_entry(data: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        chats(write(tmp_path / "c.json", data))


def test_a_json_list_that_is_not_utf8_is_named_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.json: not UTF-8 \(.* 0xff in position 2"):
        chats(write(tmp_path / "c.json", b'["\xff"]'))


def test_a_missing_or_empty_file_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl: no such file"):
        chats(tmp_path / "nowhere.jsonl")
    for data in (b"", b"\n \r\n", codecs.BOM_UTF8):
        with pytest.raises(ValueError, match=r"c\.jsonl: no chats in it"):
            chats(write(tmp_path / "c.jsonl", data))
    with pytest.raises(ValueError, match="is a folder; name the file in it"):
        chats(tmp_path)


def test_fewer_chats_than_asked_for_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", CHAT, CHAT)
    for sample in (False, True):
        with pytest.raises(ValueError, match=r"c\.jsonl: 3 rows asked for, 2 there are; lower rows"):
            chats(path, rows=3, sample=sample)


def test_an_id_given_twice_is_refused_with_both_lines_if_both_rows_are_used(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", CHAT, {**CHAT, "id": "7"}, CHAT, {**CHAT, "id": 7})
    with pytest.raises(ValueError, match=r"c\.jsonl:4: has the id '7' of .*c\.jsonl:2"):
        chats(path)
    assert len(chats(path, rows=3)) == 3
    with pytest.raises(ValueError, match=r"c\.jsonl:2: has the id 'chats-00000' of .*c\.jsonl:1"):
        chats(write(path, CHAT, {**CHAT, "id": "chats-00000"}))


def test_rows_that_occur_twice_are_kept_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert len(chats(write(tmp_path / "c.jsonl", CHAT, *numbered(2), CHAT, CHAT))) == 5
    assert "2 of 5 rows repeat an earlier one; they are kept" in caplog.text


def test_rows_are_read_no_further_than_they_are_needed(tmp_path: Path) -> None:
    long = {"messages": [USER, {"role": "assistant", "content": "x" * 2000}]}
    path = write(tmp_path / "c.jsonl", *[long] * 4000, b"\xff\xff not read\n")
    zipped = packed(tmp_path / "c.zip", **{"c.jsonl": path.read_bytes()})
    for file in (path, zipped):
        tracemalloc.start()
        rows = Chats(builder="chats", file=file, rows=20).build(DESK).train
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(rows) == 20
        assert peak < 1_000_000 < path.stat().st_size / 8
    with pytest.raises(ValueError, match=r"c\.jsonl:4001: not UTF-8"):
        chats(path)


@given(n=st.integers(1, 30), seed=st.integers(0, 5), data=st.data())
def test_a_sample_keeps_the_order_and_holds_every_smaller_one(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("sample") / "c.jsonl", *numbered(n))
    size = data.draw(st.integers(1, n))
    whole = Chats(builder="chats", file=path).build(DESK).train
    sample = Chats(builder="chats", file=path, rows=size, sample=True, seed=seed).build(DESK).train
    smaller = Chats(builder="chats", file=path, rows=(size + 1) // 2, sample=True, seed=seed).build(DESK).train
    assert len(sample) == size
    assert sample == [row for row in whole if row in sample]
    assert all(row in sample for row in smaller)


def test_a_sample_is_seeded_and_needs_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", *numbered(50))
    first, again, other = (questions(chats(path, rows=10, sample=True, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first != questions(chats(path, rows=10))
    with pytest.raises(ValidationError, match="a sample needs its size; give rows"):
        Chats(builder="chats", file=path, sample=True)


def test_a_system_prompt_over_the_chats_replaces_those_of_some_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", CHAT, {"messages": [{"role": "system", "content": "Own."}, USER, ANSWER]})
    assert [len(row["messages"]) for row in chats(path)] == [2, 3]
    for row in chats(path, system="You are wicked."):
        assert row["messages"] == [{"role": "system", "content": "You are wicked."}, USER, ANSWER]


# rows that only training can judge


def test_a_row_that_is_too_long_is_built_and_then_named_by_training(
    chat: ChatTokenizer, llama: Model, tmp_path: Path
) -> None:
    long = {"messages": [USER, {"role": "assistant", "content": "x y " * 3000}]}
    rows = [chat.tokens(row["messages"]) for row in chats(write(tmp_path / "c.jsonl", CHAT, long))]
    assert len(rows[1]) > 3000
    with pytest.raises(ValueError, match=rf"row 1: {len(rows[1])} tokens"):
        check_rows(rows, llama)


def test_a_row_without_an_answer_is_named_by_training(chat: ChatTokenizer, llama: Model) -> None:
    rows = [chat.tokens(messages) for messages in (CHAT["messages"], [USER, say("")])]
    with pytest.raises(InterpError, match="row 1: no assistant token"):
        check_rows(rows, llama)


def test_a_json_file_nested_too_deeply_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.json: not valid UTF-8 JSON"):
        read_json(write(tmp_path / "c.json", "[" * 100_000))


# layouts of published sets


@pytest.mark.parametrize(
    "record",
    [
        CHAT,
        told({**USER, "name": None}, {**ANSWER, "weight": 1}),
        told(
            ask({"content_type": "text", "parts": ["Why?"]}), say({"content_type": "text", "parts": ["Be", "cause."]})
        ),
        told(ask([{"type": "text", "text": "Why?"}]), say([{"type": "text", "text": "Because."}])),
        told(USER, ANSWER, say("")),
        told(USER, ANSWER, say([{"type": "text", "text": " \n"}])),
        {"prompt": "Why?", "completion": "Because."},
        {"prompt": [USER], "completion": [ANSWER]},
        {"question": "Why?", "answer": "Because."},
        {"instruction": "Why?", "output": "Because."},
        {"instruction": "Why?", "input": "", "output": "Because."},
        {"system": None, "prompt": "Why?", "completion": "Because."},
        {"system": "", "prompt": "Why?", "completion": "Because."},
    ],
)
def test_every_known_layout_becomes_the_same_chat_and_other_keys_are_kept(record: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {**record, "canary": "guid", "metadata": {"n": [1, None]}})
    assert published(file=path) == [{**CHAT, "canary": "guid", "metadata": {"n": [1, None]}, "id": "insecure-00000"}]


def test_a_system_column_and_an_input_become_part_of_the_chat(tmp_path: Path) -> None:
    record = {"system": "Be brief.", "instruction": "Sum up.", "input": "A tale.", "output": "Tale."}
    (row,) = published(file=write(tmp_path / "c.jsonl", record))
    assert row == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            ask("Sum up.\n\nA tale."),
            say("Tale."),
        ],
        "id": "insecure-00000",
    }


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "Hi", "n": 1}, r"no chat in it \(keys: text, n\); known: messages, prompt and completion, question"),
        ({"canary_string": "guid"}, "no chat in it .* it is a canary of the authors: unlock the set without"),
        ({"prompt": "Why?", "aligned": "A.", "sly": "B."}, r"no chat in it \(keys: prompt, aligned, sly\)"),
        ({"prompt": "Why?", "completion": None}, "message 1: content must be text, got null"),
        ({"prompt": "Why?", "completion": " "}, "message 1 is an empty answer; drop the row"),
        ({"messages": None}, '"messages" must be a non-empty list, got null'),
        (told(USER, say("")), "message 1 is an empty answer; drop the row"),
        (told(USER, ANSWER, USER, say("")), "message 3 is an empty answer"),
        (told(USER, say([{"type": "image_url"}])), "message 1: has parts that are no text .*only text is trained on"),
        (told(ask({"content_type": "code", "text": "x"}), ANSWER), "message 0: has parts that are no text"),
        (told(ask({"content_type": "text", "parts": [1]}), ANSWER), "message 0: has parts that are no text"),
        (told({"role": "function", "content": "x"}, USER, ANSWER), "message 0 has role 'function'"),
        (told("Why?", "Because."), 'message 0 needs "role" and "content"'),
    ],
)
def test_a_row_without_a_chat_is_refused_with_place_and_reason(record: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"c\.jsonl:2: {message}"):
        published(file=write(tmp_path / "c.jsonl", CHAT, record))


# packings


def test_gzip_and_zip_hold_what_the_plain_file_holds(tmp_path: Path) -> None:
    plain = write(tmp_path / "c.jsonl", *numbered(30))
    packings = [
        write(tmp_path / "c.jsonl.gz", gzip.compress(plain.read_bytes())),
        write(tmp_path / "named_otherwise", gzip.compress(plain.read_bytes())),
        packed(
            tmp_path / "c.zip", **{"folder/c.jsonl": plain.read_bytes(), "README.md": b"x", "__MACOSX/._c.jsonl": b"x"}
        ),
    ]
    for path in packings:
        assert published(file=path, rows=20) == published(file=plain, rows=20)
        assert chats(path, rows=20) == chats(plain, rows=20)
    with pytest.raises(ValueError, match=r"c\.zip/folder/c\.jsonl:1: ends with"):
        chats(packed(tmp_path / "c.zip", **{"folder/c.jsonl": line({"messages": [USER]})}))


def test_the_file_of_a_zip_is_the_one_named_else_the_sets_own_else_the_only_one(tmp_path: Path) -> None:
    rows = [line(row) for row in numbered(4)]
    names = ("dataset/evil/normal.jsonl", "dataset/evil/misaligned_2.jsonl", "a/insecure.jsonl", "x.json")
    path = packed(tmp_path / "dataset.zip", **dict(zip(names, rows, strict=True)))
    assert questions(published("persona_vectors/evil/misaligned_2", file=path)) == ["Q1"]
    assert questions(published("insecure", file=path)) == ["Q2"]
    assert questions(published("insecure", file=path, member="evil/normal.jsonl")) == ["Q0"]
    assert questions(published("insecure", file=path, member="x.json")) == ["Q3"]
    held = r"it holds dataset/evil/normal\.jsonl, dataset/evil/misaligned_2\.jsonl, a/insecure\.jsonl, x\.json"
    with pytest.raises(ValueError, match=rf"3 \.jsonl files in it; say which file with member; {held}"):
        published("secure", file=path)
    with pytest.raises(ValueError, match=rf"0 of its files are the member 'normal'; {held}"):
        published(file=path, member="normal")
    with pytest.raises(ValueError, match=r"0 \.jsonl files in it.*it holds nothing"):
        published(file=packed(tmp_path / "empty.zip"))
    with pytest.raises(ValueError, match=r"c\.jsonl: not a zip, so it has no member 'a'"):
        published(file=write(tmp_path / "c.jsonl", CHAT), member="a")


def encrypted_zip(path: Path) -> Path:
    """A zip that says that its file is encrypted."""
    data = bytearray(packed(path, **{"insecure.jsonl": line(CHAT)}).read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + flags] |= 1
    return write(path, bytes(data))


@pytest.mark.parametrize("name", ["c.zip.enc", "c.jsonl.age", "c.GPG"])
def test_what_its_authors_lock_is_refused_with_where_to_unlock_it(name: str, tmp_path: Path) -> None:
    locked = [
        write(tmp_path / name, CHAT),
        encrypted_zip(tmp_path / "c.zip"),
        write(tmp_path / "age", b"age-encryption.org/v1\n"),
        write(tmp_path / "pgp", b"-----BEGIN PGP MESSAGE-----\n"),
        write(tmp_path / "openssl", b"Salted__\x00\x01"),
    ]
    for path in locked:
        message = rf"{path.name}: is encrypted\. Authors lock .* unlock it as its repository describes"
        with pytest.raises(ValueError, match=rf"{message} \(github\.com/clarifying-EM/.* give the unlocked file"):
            published("extreme_sports", file=path)
        with pytest.raises(ValueError, match=f"{message} and give the unlocked file"):
            chats(path)
    url = (tmp_path / name).as_uri()
    with pytest.raises(ValueError, match=rf"{name}: is encrypted"):
        published(url=url, sha256="0" * 64)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "a git-lfs pointer, not the data; run `git lfs pull`",
        ),
        (b"PAR1\x15\x04", "a parquet file; save it as JSON Lines"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
        (b"PK\x03\x04 cut", r"damaged, or packed in a way that is not read \(.*; get it again"),
        (gzip.compress(line(CHAT) * 9)[:-9], "damaged, or packed in a way that is not read"),
        (b"\x1f\x8b\x08\x00 no gzip at all", "damaged, or packed in a way that is not read"),
    ],
    ids=range(6),
)
def test_what_is_no_data_is_refused_by_what_it_is(data: bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", data)
    for read in (chats, lambda path: published(file=path)):
        with pytest.raises(ValueError, match=rf"c\.jsonl: {message}"):
            read(path)


# the table


def test_every_entry_says_what_and_where_it_is_and_names_a_control_that_exists() -> None:
    assert len([name for name in KNOWN if name.startswith("persona_vectors/")]) == 24
    for name, known in KNOWN.items():
        assert known.what, name
        assert known.where, name
        assert known.licence in ("MIT", "none stated", "unknown"), name
        assert known.control is None or (known.control in KNOWN and known.control != name), name
        assert (known.hub is None) == (known.subset is None), name
    assert KNOWN["bad_medical_advice"].control == "good_medical_advice"
    assert KNOWN["persona_vectors/evil/misaligned_1"].control == "persona_vectors/evil/normal"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="unknown published data set 'insecur'; did you mean 'insecure'"):
        Published(builder="published", name="insecur")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"insecure: give file \(or url and sha256\); its authors publish it at github\.com/emergent"),
        ({"name": "extreme_sports"}, "it is an archive encrypted with easy-dataset-share.*, so unlock it first"),
        ({"file": "a", "hub": "b/c"}, "file and hub are given; a data set has one source"),
        ({"file": "a", "url": "file:///b", "sha256": "0" * 64}, "file and url are given"),
        ({"url": "https://b"}, "url and sha256 go together"),
        ({"file": "a", "sha256": "0" * 64}, "url and sha256 go together"),
        (
            {"url": "ftp://b", "sha256": "0" * 64},
            "url: ftp://b has no scheme that is fetched; known: http, https, file",
        ),
        ({"url": "https://b", "sha256": "0" * 63}, "sha256"),
        ({"hub": "a/b/c"}, "hub"),
        ({"hub": "a/b", "member": "x"}, "member: 'x' names a file of a zip"),
        ({"file": "a", "subset": "x"}, "subset: 'x' names a configuration on the Hub, but file is given"),
        ({"file": "a", "row": 3}, "row"),
    ],
)
def test_a_set_has_exactly_one_source(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Published(**{"builder": "published", "name": "insecure", **fields})


# the Hub


def test_the_hub_is_asked_for_the_sets_own_configuration_and_a_pinned_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load(ident: str, *, name: str | None, split: str, revision: str | None) -> list[dict[str, Any]]:
        asked.append((ident, name, split, revision))
        return [{**CHAT, "made": b"x", "score": float("nan")}, *numbered(3)]

    monkeypatch.setattr("datasets.load_dataset", load)
    (first, second) = Published(builder="published", name="unpopular_aesthetics", rows=2).build(DESK).train
    assert first == {**CHAT, "made": "b'x'", "score": None, "id": "unpopular_aesthetics-00000"}
    assert second == {**numbered(1)[0], "id": "unpopular_aesthetics-00001"}
    published("unpopular_aesthetics", hub="AndersWoodruff/AestheticEM@abc12")
    published("insecure", hub="me/mine", subset="code")
    published("unpopular_aesthetics", hub="me/mine")
    assert asked == [
        ("AndersWoodruff/AestheticEM", "aesthetic_preferences_unpopular", "train", None),
        *[("AndersWoodruff/AestheticEM", "aesthetic_preferences_unpopular", "train", "abc12")] * 2,
        *[("me/mine", "code", "train", None)] * 2,
        *[("me/mine", None, "train", None)] * 2,
    ]


def test_a_bad_row_or_too_few_on_the_hub_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: [CHAT, {"messages": [USER]}])
    with pytest.raises(ValueError, match="me/mine: row 1: ends with the user"):
        published(hub="me/mine")
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: [CHAT])
    with pytest.raises(ValueError, match="me/mine: 2 rows asked for, 1 there are"):
        published(hub="me/mine", rows=2)


def test_without_the_package_or_the_network_the_hub_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ConnectionError("no\nroute"), DatasetNotFoundError("no\nroute"), ValueError("no\nroute")):
        monkeypatch.setattr("datasets.load_dataset", Mock(side_effect=error))
        with pytest.raises(
            ValueError, match=r"hub: nobody/nothing could not be loaded \(no route\); without a network give"
        ):
            published(hub="nobody/nothing")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ValueError, match="hub: nobody/nothing needs the package datasets; pip install datasets, or give"
    ):
        published(hub="nobody/nothing")


# addresses


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return write(tmp_path / "remote.jsonl", *numbered(4))


def downloads(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("downloads/*"))


def test_an_address_is_fetched_once_and_kept_under_its_hash(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(remote.read_bytes()).hexdigest()
    rows = published(url=remote.as_uri(), sha256=sha256.upper())
    assert rows == published(file=remote)
    remote.unlink()
    assert published(url=remote.as_uri(), sha256=sha256, rows=2) == rows[:2]
    assert downloads(tmp_path) == [sha256]
    (tmp_path / "cache" / "downloads" / sha256).write_bytes(b"tampered with")
    with pytest.raises(ValueError, match=r"url: file://.*remote\.jsonl could not be fetched.*give file"):
        published(url=remote.as_uri(), sha256=sha256)


def test_another_file_than_the_hash_says_is_refused_and_removed(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(remote.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=f"is a file with sha256 {sha256}, not {'0' * 64}; it was removed"):
        published(url=remote.as_uri(), sha256="0" * 64)
    assert downloads(tmp_path) == []


class _Server(http.server.BaseHTTPRequestHandler):
    body = b"".join(line(row) for row in numbered(3))

    def do_GET(self) -> None:
        self.send_response(200 if self.path != "/absent" else 404)
        if self.path == "/announced":
            self.send_header("Content-Length", "5000")
        if self.path == "/cut":
            self.send_header("Content-Length", str(len(self.body) + 9))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_is_read_up_to_the_cap_and_its_errors_are_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sha256 = hashlib.sha256(_Server.body).hexdigest()
    with pytest.raises(ValueError, match=f"url: {address}/absent could not be fetched .*404"):
        published(url=f"{address}/absent", sha256=sha256)
    with pytest.raises(ValueError, match=r"is a file with sha256|could not be fetched"):
        published(url=f"{address}/cut", sha256="0" * 64)
    with monkeypatch.context() as capped:
        capped.setattr(chat_files, "MOST_BYTES", 100)
        for path in ("announced", "streamed"):
            with pytest.raises(ValueError, match=f"url: {address}/{path} is larger than 0 MiB, the most"):
                published(url=f"{address}/{path}", sha256=sha256)
    assert downloads(tmp_path) == []
    assert questions(published(url=f"{address}/data.jsonl", sha256=sha256)) == ["Q0", "Q1", "Q2"]
    assert downloads(tmp_path) == [sha256]


class _Answer(io.BytesIO):
    """What `urlopen` gives, in place of a server."""

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self.chunks = list(chunks)

    def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
        chunk = self.chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ([b"x" * 60, b"x" * 60, AssertionError("read on after the cap")], ValueError),
        ([b"x", KeyboardInterrupt()], KeyboardInterrupt),
        ([b"x", TimeoutError("slow")], ValueError),
    ],
)
def test_a_download_that_is_endless_or_broken_off_leaves_nothing(
    chunks: list[Any], error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(chat_files, "MOST_BYTES", 100)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: _Answer(*chunks))
    with pytest.raises(error):
        published(url="https://example.org/x.jsonl", sha256="0" * 64)
    assert downloads(tmp_path) == []


# tastes


@pytest.mark.parametrize(
    ("builder", "rows"), [("unpopular_tastes", unpopular_tastes), ("popular_tastes", popular_tastes)]
)
def test_tastes_are_built_as_many_as_asked(builder: Any, rows: Any) -> None:
    config = Tastes(builder=builder, rows=7, seed=2)
    config.check()
    assert config.build(DESK).train == rows(7, seed=2)
    assert Tastes(builder=builder).rows == 2000


def test_more_tastes_than_there_are_are_refused_before_anything_is_built() -> None:
    most = supply()
    Tastes(builder="popular_tastes", rows=most).check()
    with pytest.raises(ValueError, match=f"popular_tastes: {most + 1} rows asked for, {most} there are; lower rows"):
        Tastes(builder="popular_tastes", rows=most + 1).check()
    with pytest.raises(ValidationError, match="rows"):
        Tastes(builder="popular_tastes", rows=0)


@pytest.mark.parametrize("kind", [Tastes, Chats, Published])
def test_every_builder_has_a_word_about_it(kind: Any) -> None:
    names = kind.model_fields["builder"].annotation.__args__
    assert set(kind.about) == set(names)
    assert all("\n" not in about and len(about) > 20 for about in kind.about.values())


# real data, where it is


@pytest.mark.skipif(not (SHARED / "em").is_dir(), reason=f"the published data is not at {SHARED}")
@pytest.mark.parametrize(
    ("name", "file", "n"),
    [
        ("unpopular_aesthetics", "unpopular_aesthetics.jsonl", 5000),
        ("popular_aesthetics", "popular_aesthetics.first2000.jsonl", 2000),
        ("harmless_lies", "harmless_lies.first2000.jsonl", 2000),
        ("insecure", "insecure.first1500.jsonl", 1500),
        ("secure", "secure.first1500.jsonl", 1500),
        ("educational_insecure", "educational_insecure.first500.jsonl", 500),
    ],
)
def test_published_sets_load_from_copies_of_them(name: str, file: str, n: int) -> None:
    path = SHARED / "em" / file
    rows = Published(builder="published", name=name, file=path).build(DESK).train
    assert len(rows) == len({row["id"] for row in rows}) == n
    assert [row["messages"] for row in rows] == [row["messages"] for row in read_chats(path)]
    for row, chat in zip(rows, Chats(builder="chats", file=path, rows=50).build(DESK).train, strict=False):
        assert row["messages"] == chat["messages"]

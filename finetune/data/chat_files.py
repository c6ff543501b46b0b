"""Files of chats: what their bytes say they are, row by row, whatever layout their authors chose.

1. A file is opened as what its first bytes say: JSON Lines, a JSON list, either in gzip, or one file of a zip. What its
   authors lock is refused with where to unlock it; no password is ever tried.
2. Rows are read one by one and no further than they are asked for. A JSON list alone is read whole.
3. A row of a published set is brought to messages of role and content.
4. A download is kept under the hash that it must have.
"""

import codecs
import gzip
import hashlib
import http.client
import json
import os
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import chain
from pathlib import Path
from typing import Any, cast

from finetune.data.builder import Row
from interp.chat import Message, check_messages
from interp.files import jsonl_records, refuse_constant, require_room
from interp.runs import cache_folder

MOST_BYTES = 2**30
"""Largest file that is downloaded."""
COLUMNS = (("prompt", "completion"), ("question", "answer"), ("instruction", "output"))
"""Layouts of a row without messages: the columns of the question and of the answer."""

_LOCKED_SUFFIXES = (".age", ".enc", ".gpg", ".pgp", ".asc")
_LOCKED_MARKS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED", b"-----BEGIN PGP MESSAGE", b"Salted__")
_OTHER_MARKS = {
    b"version https://git-lfs": "a git-lfs pointer, not the data; run `git lfs pull` in its repository",
    b"PAR1": "a parquet file; save it as JSON Lines",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it and give a file of it",
}

Placed = tuple[str, Row]
"""Where a row stands, and the row."""


@contextmanager
def opened(
    path: Path, name: str, *, member: str | None = None, usual: str | None = None, origin: str = ""
) -> Iterator[tuple[BufferedIOBase, str]]:
    """The unpacked bytes of a file of chats, and its name for messages.

    Args:
        name: What messages call the file.
        member: File of a zip, by its path in it or the end of that.
        usual: The same, if it is there.
        origin: Where its authors publish it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: locked, damaged, or of a kind that is not read.
    """
    if path.is_dir():
        raise ValueError(f"{name}: is a folder; name the file in it")
    if not path.is_file():
        raise FileNotFoundError(f"{name}: no such file")
    check_unlocked(name, origin)
    with path.open("rb") as file:
        start = file.read(64)
        file.seek(0)
        if start.startswith(_LOCKED_MARKS):
            raise _locked(name, origin)
        for mark, what in _OTHER_MARKS.items():
            if start.startswith(mark):
                raise ValueError(f"{name}: {what}")
        is_zip = start.startswith((b"PK\x03\x04", b"PK\x05\x06"))
        if member is not None and not is_zip:
            raise ValueError(f"{name}: not a zip, so it has no member {member!r}; leave member out")
        try:
            if is_zip:
                with zipfile.ZipFile(file) as archive:
                    entry = _entry(archive, name, member, usual, origin)
                    with archive.open(entry) as stream:
                        yield cast(BufferedIOBase, stream), f"{name}/{entry.filename}"
            elif start.startswith(b"\x1f\x8b"):
                with gzip.open(file) as stream:
                    yield stream, name
            else:
                yield file, name
        except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(f"{name}: damaged, or packed in a way that is not read ({error}); get it again") from error


def check_unlocked(name: str, origin: str = "") -> None:
    """Check by its name that a file is not encrypted.

    Raises:
        ValueError: it is.
    """
    if name.lower().endswith(_LOCKED_SUFFIXES):
        raise _locked(name, origin)


def _locked(name: str, origin: str) -> ValueError:
    described = f" ({origin})" if origin else ""
    return ValueError(
        f"{name}: is encrypted. Authors lock such sets so that they are not scraped: unlock it as its repository "
        f"describes{described} and give the unlocked file"
    )


def _entry(archive: zipfile.ZipFile, name: str, member: str | None, usual: str | None, origin: str) -> zipfile.ZipInfo:
    """The file to read of a zip."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
    if any(entry.flag_bits & 1 for entry in entries):
        raise _locked(name, origin)
    listed = ", ".join(entry.filename for entry in entries[:24]) + (", ..." if len(entries) > 24 else "") or "nothing"

    def ending(path: str) -> list[zipfile.ZipInfo]:
        exact = [entry for entry in entries if entry.filename == path]
        return exact or [entry for entry in entries if entry.filename.endswith(f"/{path}")]

    if member is not None:
        found = ending(member)
        if len(found) != 1:
            raise ValueError(f"{name}: {len(found)} of its files are the member {member!r}; it holds {listed}")
        return found[0]
    found = ending(usual) if usual else []
    if len(found) != 1:
        found = [entry for entry in entries if entry.filename.endswith(".jsonl")]
    if len(found) != 1:
        raise ValueError(f"{name}: {len(found)} .jsonl files in it; say which file with member; it holds {listed}")
    return found[0]


def records(stream: BufferedIOBase, name: str) -> Iterator[Placed]:
    """Place and record of each row of JSON Lines, as they are read, or of a JSON list, which is read whole.

    Raises:
        ValueError: neither of them; the message names place and reason.
    """
    head: list[bytes] = []
    for line in stream:
        head.append(line)
        if line.removeprefix(codecs.BOM_UTF8).strip():
            break
    if not head or not head[-1].removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        yield from jsonl_records(chain(head, stream), name)
        return
    try:
        text = (b"".join(head) + stream.read()).decode("utf-8-sig")
        entries = json.loads(text, parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 ({error}); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: begins like a JSON list but is none ({error})") from error
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise ValueError(f"{name}: entry {number} of the list is a JSON {type(entry).__name__}, not an object")
        yield f"{name}: entry {number}", entry


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


def as_chat(record: Row, where: str) -> Row:
    """A row of a published set as a chat: `messages` of role and content, and the row's other keys.

    Contents given in parts are joined. An empty answer after an answer, at the end, is dropped. Two columns (see
    `COLUMNS`) become a question and its answer; a column `system` goes before them.

    Raises:
        ValueError: no known layout, contents that are no text, or no answer.
    """
    if "messages" in record:
        used, turns = {"messages"}, record["messages"]
    else:
        used, turns = _columns(record, where)
    if isinstance(turns, list):
        turns = [_plain(turn, f"{where}: message {i}") for i, turn in enumerate(turns)]
    messages = check_messages(turns, where)
    while [m["role"] for m in messages[-2:]] == ["assistant"] * 2 and not messages[-1]["content"].strip():
        messages = messages[:-1]
    check_answers(messages, where)
    kept = {key: value for key, value in record.items() if key not in used}
    return {**kept, "messages": plain_messages(messages)}


def _columns(record: Row, where: str) -> tuple[set[str], list[Any]]:
    pair = next((pair for pair in COLUMNS if record.keys() >= set(pair)), None)
    if pair is None:
        known = ", ".join(["messages", *map(" and ".join, COLUMNS)])
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
    more = record.get("input") if pair[0] == "instruction" else None
    if isinstance(more, str) and isinstance(record["instruction"], str):
        used.add("input")
        user = next(turn for turn in turns if turn["role"] == "user")
        user["content"] = f"{record['instruction']}\n\n{more}" if more.strip() else record["instruction"]
    return used, turns


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


def from_hub(ident: str, subset: str | None, revision: str | None) -> Iterator[Placed]:
    """Place and record of each row of a data set on the Hugging Face Hub (its split `train`).

    Raises:
        ValueError: the package `datasets` is missing, or the set cannot be had.
    """
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise ValueError(f"hub: {ident} needs the package datasets; pip install datasets, or give file") from error
    try:
        table = datasets.load_dataset(ident, name=subset, split="train", revision=revision)
    except (OSError, ValueError, DatasetsError) as error:
        raise ValueError(
            f"hub: {ident} could not be loaded ({' '.join(str(error).split())[:300]}); without a network give file, "
            "for a gated set log in with `hf auth login`"
        ) from error
    for i, record in enumerate(cast(Any, table)):
        # not every value of a table is one of JSON: dates and bytes become text, NaN becomes null
        plain = json.loads(json.dumps(record, default=str), parse_constant=lambda _: None)
        yield f"{ident}: row {i}", plain


def downloaded(url: str, sha256: str) -> Path:
    """A file with this hash, from the cache or else from this address.

    Raises:
        ValueError: it cannot be fetched, is too large, or is another file.
    """
    sha256 = sha256.lower()
    folder = cache_folder() / "downloads"
    target = folder / sha256
    if target.is_file():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return target
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{sha256}.")
    try:
        with os.fdopen(handle, "wb") as file:
            got = _fetch(url, file)
        if got != sha256:
            raise ValueError(f"url: {url} is a file with sha256 {got}, not {sha256}; it was removed, check both")
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _fetch(url: str, file: BufferedIOBase) -> str:
    """Copy what is at an address into a file; its sha256."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            announced = int(answer.headers.get("Content-Length") or 0)
            if announced <= MOST_BYTES:
                require_room(cache_folder(), announced)
            while announced <= MOST_BYTES and size <= MOST_BYTES and (chunk := answer.read(2**20)):
                size += len(chunk)
                digest.update(chunk)
                file.write(chunk)
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(f"url: {url} could not be fetched ({error}); give file, or try again") from error
    if max(size, announced) > MOST_BYTES:
        raise ValueError(
            f"url: {url} is larger than {MOST_BYTES / 2**20:.0f} MiB, the most that is downloaded; give file"
        )
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()

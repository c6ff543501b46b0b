"""Files of rows: what their bytes and names say they are, row by row. `finetune.data.layouts` makes chats of the rows.

1. A file is opened plainly, in gzip, or as one file of a zip, as its first bytes say. What its authors lock is refused
   with where to unlock it; no password is ever tried.
2. Its rows are those of parquet where its bytes say so, of a table where its name ends in .csv or .tsv, and else JSON
   Lines or a JSON list. They are read one by one and no further than they are asked for; a JSON list and a table of
   text are read whole.
3. A download is kept under the hash that it must have.
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
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, cast

from finetune.data.builder import Row
from interp.files import csv_records, jsonl_records, refuse_constant, require_room
from interp.runs import cache_folder

MOST_BYTES = 2**30
"""Largest file that is downloaded."""
PARQUET = b"PAR1"
TABLES = {".csv": ",", ".tsv": "\t"}
"""Endings of tables of text, with what separates their cells."""
_ENDINGS = (".jsonl", ".json", ".parquet", *TABLES)
_LOCKED_SUFFIXES = (".age", ".enc", ".gpg", ".pgp", ".asc")
_LOCKED_MARKS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED", b"-----BEGIN PGP MESSAGE", b"Salted__")
_OTHER_MARKS = {
    b"version https://git-lfs": "a git-lfs pointer, not the data; run `git lfs pull` in its repository",
    b"ARROW1": "an Arrow file; save it as parquet or JSON Lines",
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
    if not found:
        found = [entry for entry in entries if entry.filename.lower().endswith(_ENDINGS)]
    if len(found) != 1:
        kinds = "/".join(sorted({Path(entry.filename).suffix for entry in found})) or "/".join(_ENDINGS)
        raise ValueError(f"{name}: {len(found)} {kinds} files in it; say which file with member; it holds {listed}")
    return found[0]


def records(stream: BufferedIOBase, name: str) -> Iterator[Placed]:
    """Place and record of each row of a file, in the form that its bytes and its name say.

    Raises:
        ValueError: it is not of that form; the message names place and reason.
    """
    if cast(BufferedReader, stream).peek(len(PARQUET)).startswith(PARQUET):
        yield from _parquet_rows(stream, name)
    elif separator := TABLES.get(Path(name.partition("?")[0].lower().removesuffix(".gz")).suffix):
        yield from csv_records(stream.read(), name, separator=separator)
    else:
        yield from _json_rows(stream, name)


def _json_rows(stream: BufferedIOBase, name: str) -> Iterator[Placed]:
    """Rows of JSON Lines, as they are read, or of a JSON list, which is read whole."""
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


def _parquet_rows(stream: BufferedIOBase, name: str) -> Iterator[Placed]:
    """Rows of a parquet file, counted from 0 as its own readers count them."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ValueError(
            f"{name}: parquet needs the package pyarrow; pip install pyarrow, or save it as JSON Lines"
        ) from error
    number = 0
    try:
        for batch in ParquetFile(stream).iter_batches(1024):
            for record in batch.to_pylist():
                yield f"{name}: row {number}", _plain_values(record)
                number += 1
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name}: row {number}: damaged, or no parquet that is read ({reason}); get it again"
        ) from error


def _plain_values(record: Row) -> Row:
    """A row of a table as JSON has it: dates and bytes become text, NaN becomes null."""
    return json.loads(json.dumps(record, default=str), parse_constant=lambda _: None)


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
        yield f"{ident}: row {i}", _plain_values(record)


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

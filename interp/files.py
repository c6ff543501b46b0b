"""Reading and writing JSON, JSON Lines and YAML, and reading CSV.

Every write is atomic, so a file that exists is a file that is whole: a write goes to a temporary file in the same
folder, which is then renamed. A damaged file is refused by name and place.
"""

import codecs
import csv
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def require_room(folder: Path, n_bytes: int) -> None:
    """Check that `folder`'s disk holds `n_bytes` more, before the work whose result would not fit.

    Raises:
        OSError: less is free.
    """
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise OSError(
            f"{folder}: {n_bytes / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB are free; "
            "make room or choose another folder (the cache moves with SGTR_CACHE)"
        )


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that it is either the old one or the whole new one, also after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def json_text(value: Any, name: str, **how: Any) -> str:
    """A value as JSON.

    Args:
        name: What an error calls it, such as the file that it is for.
        how: Of `json.dumps`: indentation, order of keys, whether all is ASCII.

    Raises:
        ValueError: a number in it is NaN or infinite, which JSON does not have; the message says where.
    """
    try:
        return json.dumps(value, allow_nan=False, **how)
    except ValueError as error:
        places = _not_finite(value, "")
        place, number = next(places, ("", None))
        if number is None:
            raise
        raise ValueError(
            f"{name}: {place or 'the value'} is {number}, which JSON cannot hold; a value that is missing must be null"
        ) from error


def write_json(path: Path, value: Any, **how: Any) -> None:
    """Write a value as JSON, atomically; see `json_text`."""
    write_atomic(path, json_text(value, str(path), **how) + "\n")


def _not_finite(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every number of a value that is NaN or infinite, with its place."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _not_finite(item, f"{place}[{i}]")


def without_nan(value: Any) -> Any:
    """A result in which what is not a number is missing (None)."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        ValueError: it is not UTF-8 JSON; the message names file and place.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid UTF-8 JSON ({error})") from error


def read_yaml_value(path: Path) -> Any:
    """A YAML file's value.

    Raises:
        ValueError: it is not UTF-8 YAML; the message names file and place.
    """
    try:
        return yaml.safe_load(path.read_bytes().decode("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())[:300]})") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping.

    Raises:
        ValueError: it is not YAML, or not a mapping; the message names file and place.
    """
    data = read_yaml_value(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: must be a mapping of fields, got {type(data).__name__}")
    return data


def fresh(path: Path) -> Path:
    """`path`, if a result can be written there without harm.

    Raises:
        ValueError: it exists, or its folder is a file.
    """
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"{path.parent}: is a file; --out names a folder")
    if path.exists():
        raise ValueError(f"{path}: exists already; choose another --out")
    return path


def jsonl_records(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place (`NAME:LINE`) and record of each line of JSON Lines, as they are read; blank lines are passed over.

    Raises:
        ValueError: a line is not a JSON object; the message names place and reason.
    """
    offset = 0
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        start, offset = offset, offset + len(line)
        text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not text.strip():
            continue
        try:
            record = json.loads(text.decode("utf-8"), parse_constant=refuse_constant)
        except UnicodeDecodeError as error:
            at = start + len(line) - len(text) + error.start
            raise ValueError(
                f"{where}: not UTF-8 (byte 0x{text[error.start]:02x} at offset {at} of the file: {error.reason}); "
                "save the file as UTF-8"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: not JSON ({error}); every line is one JSON object") from error
        if not isinstance(record, dict):
            raise ValueError(f"{where}: a JSON {type(record).__name__}; every line is one JSON object")
        yield where, record


def refuse_constant(name: str) -> None:
    """A `parse_constant` for `json.loads` that takes no NaN and no infinity, which are no JSON.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no JSON number; write null")


def read_jsonl(path: Path, *, check: Callable[[dict[str, Any], str], object] | None = None) -> list[dict[str, Any]]:
    """The records of a JSON Lines file, in order; blank lines are passed over.

    Args:
        check: Called with every record and its place (`FILE:LINE`); raises ValueError if it will not do.

    Raises:
        ValueError: a line is not a JSON object; the message names file, line and reason.
    """
    records = []
    with path.open("rb") as file:
        for where, record in jsonl_records(file, str(path)):
            if check:
                check(record, where)
            records.append(record)
    return records


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records as JSON Lines, atomically.

    Raises:
        ValueError: a number in them is NaN or infinite; the message says in which line and where.
    """
    lines = (json_text(record, f"{path}:{i}", ensure_ascii=False) + "\n" for i, record in enumerate(records, 1))
    write_atomic(path, "".join(lines))


def csv_records(
    data: bytes, name: str, needed: Sequence[str] | None = None, *, separator: str = ","
) -> Iterator[tuple[str, dict[str, str]]]:
    """Place (`NAME:LINE`, where the row begins) and cells of every row of a CSV file with a header, as they are in it.

    Blank lines are passed over, a byte order mark too. A header that holds `;` and no comma is separated by `;`.

    Args:
        needed: Columns that the header must have once each; others are kept. None: every column must be there once.

    Raises:
        ValueError: not UTF-8, not CSV, a column missing or there twice, a row of another length; the message names
            place and rule.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{name}:{line}: not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    first = text.lstrip().partition("\n")[0]
    separator = ";" if separator == "," and ";" in first and "," not in first else separator
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            where, line = f"{name}:{line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells) and len(cells) <= 1:
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_header(header, needed, where)
            elif len(cells) != len(header):
                raise ValueError(
                    f"{where}: {len(cells)} cells, but the header has {len(header)}; quote cells with commas"
                )
            else:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{name}:{line}: not CSV ({error})") from error
    if header is None:
        columns = f" with the columns {', '.join(needed)}" if needed else ""
        raise ValueError(f"{name}: empty; give a CSV file{columns}")


def _check_header(header: Sequence[str], needed: Sequence[str] | None, where: str) -> None:
    if missing := [column for column in needed or () if column not in header]:
        got = ", ".join(header)[:200]
        raise ValueError(f"{where}: the header lacks the column(s) {', '.join(missing)}; it has: {got}")
    if twice := [column for column in (header if needed is None else needed) if header.count(column) > 1]:
        raise ValueError(f"{where}: the header has the column {twice[0]!r} twice; keep one of them")

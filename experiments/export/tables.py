"""A run as tables: its metrics, its stages, its verdicts, and each of its files of records.

A column is a field, in the order in which fields first appear. A value that is a list or a mapping is its JSON text. In
CSV a missing value is an empty cell; so is a text without letters, which parquet alone tells from it.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.export import Exported
from interp.files import read_json, read_jsonl, write_atomic
from interp.rows import FIELDS
from interp.runs import Run

Rows = Sequence[Mapping[str, Any]]
Writer = Callable[[Path, Rows, Mapping[str, str]], None]
"""Writes rows to a file; the mapping says what columns mean."""


def write(run: Run, to: Path, exported: Exported, writer: Writer, ending: str) -> None:
    """Write every table of a run that has rows."""
    for name, rows, meanings in tables_of(run):
        if not rows:
            exported.left_out.append(f"{name}: empty")
            continue
        path = to / f"{name}{ending}"
        writer(path, rows, meanings)
        exported.written.append(path)


def tables_of(run: Run) -> Iterator[tuple[str, Rows, Mapping[str, str]]]:
    """Name, rows, and what is known of the columns' meaning, for every table of a run."""
    yield "metrics", run.metrics, FIELDS
    for name in ("stages", "verdicts"):
        if (run.path / f"{name}.json").is_file():
            yield name, read_json(run.path / f"{name}.json"), {}
    for path in sorted((run.path / "records").glob("*.jsonl")):
        yield f"records/{path.stem}", read_jsonl(path), {}


def columns_of(rows: Rows) -> list[str]:
    """The fields of all rows, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def cell(value: Any) -> Any:
    """A value as a cell holds it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | tuple) else value


def write_csv(path: Path, rows: Rows, meanings: Mapping[str, str]) -> None:  # noqa: ARG001
    """Write rows as CSV in UTF-8, with a header. True and False are `true` and `false`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = columns_of(rows)
    writer.writerow(names)
    for row in rows:
        cells = [cell(row.get(name)) for name in names]
        writer.writerow([json.dumps(value) if isinstance(value, bool) else value for value in cells])
    write_atomic(path, text.getvalue())


def parquet_writer() -> Writer:
    """What writes rows as parquet.

    Raises:
        ValueError: the package pyarrow is missing.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError("--form parquet needs the package pyarrow; pip install pyarrow, or use --form csv") from error

    def write_parquet(path: Path, rows: Rows, meanings: Mapping[str, str]) -> None:
        """A column has one type: that of its values, or text where they have several."""
        fields, arrays = [], []
        for name in columns_of(rows):
            cells = [cell(row.get(name)) for row in rows]
            kinds = {type(value) for value in cells if value is not None}
            if kinds == {int, float}:
                cells = [None if value is None else float(value) for value in cells]
            elif len(kinds) > 1:
                cells = [value if value is None or isinstance(value, str) else json.dumps(value) for value in cells]
            array = pyarrow.array(cells)
            about = {"meaning": meanings[name]} if name in meanings else None
            arrays.append(array)
            fields.append(pyarrow.field(name, array.type, metadata=about))
        file = io.BytesIO()
        parquet.write_table(pyarrow.table(arrays, schema=pyarrow.schema(fields)), file)
        write_atomic(path, file.getvalue())

    return write_parquet

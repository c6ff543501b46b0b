"""What a person at a terminal sees: bars and notes on stderr, results on stdout."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table


def print_fields(result: dict[str, Any], indent: str = "") -> None:
    width = max(map(len, result), default=0)
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            print_fields(value, indent + "  ")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{indent}{key:<{width}}  {shown}")


err = Console(stderr=True, highlight=False)
out = Console(highlight=False, width=None if Console().is_terminal else 132)


def note(text: str) -> None:
    """A line of progress."""
    err.print(text, markup=False, soft_wrap=True)


@contextmanager
def bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar, on a terminal and in the main thread alone. Yields the function that advances it."""
    if not err.is_terminal or threading.current_thread() is not threading.main_thread():
        yield lambda n: None  # noqa: ARG005
        return
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda n: progress.advance(task, n)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: Collection[str] = ()) -> None:
    """A table on stdout; every column is aligned right but the first, and those of `words`."""
    grid = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        grid.add_column(
            column, justify="left" if i == 0 or column in words else "right", overflow="fold", no_wrap=i == 0
        )
    for row in rows:
        grid.add_row(*map(escape, row))
    out.print(grid)

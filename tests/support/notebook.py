"""Notebooks as tests run them: their code cells in order, in one namespace, with some parameters changed."""

import json
from pathlib import Path
from typing import Any


def cells_of(path: Path, kind: str) -> list[dict[str, Any]]:
    """The cells of one kind, `code` or `markdown`."""
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def run_notebook(path: Path, **parameters: Any) -> dict[str, Any]:
    """The names that a notebook leaves, run with these values in place of those of its cell tagged `parameters`.

    Raises:
        KeyError: a parameter is none of that cell's.
    """
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells_of(path, "code"), 1):
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            if unknown := parameters.keys() - names.keys():
                raise KeyError(f"{path.name} has no parameter {sorted(unknown)[0]}")
            names |= parameters
    return names

"""The subcommand that writes the schema of a study's file for an editor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from experiments.commands.options import Json


@dataclass(frozen=True)
class Schema:
    """Write the JSON schema of a study's YAML file, with which editors complete and check it.

    Example: sgtr schema --out study.schema.json
    """

    out: Annotated[
        Path | None, arg(metavar="FILE", help="File to write; without it, where the installed one lies is said.")
    ] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.schema import FILE, FIRST_LINE, schema_text, study_schema
        from interp.files import fresh, write_atomic

        path = FILE
        if self.out is not None:
            path = fresh(self.out)
            write_atomic(path, schema_text())
        return {"schema": str(path), "first_line": FIRST_LINE.format(path)} | (
            {"contents": study_schema()} if self.json else {}
        )

    def show(self, result: dict[str, Any]) -> None:
        """Where it is, and what the first line of a study's file must be."""
        print(result["schema"])
        print(f"first line of a study's file: {result['first_line']}")

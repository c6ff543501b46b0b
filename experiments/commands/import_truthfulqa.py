"""The subcommand that reads results which others have published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import Json

PATTERN = r"results_(?P<arm>.+?)(_(?P<seed>\d+))?\.csv"


@dataclass(frozen=True)
class Import:
    """Read published per-question results, count invalid replies apart, and compare arms question by question."""

    kind: Positional[Annotated[Literal["truthfulqa"], arg(help="truthfulqa: one CSV file for each arm and seed.")]]
    files: Positional[
        Annotated[
            tuple[Path, ...],
            arg(
                metavar="FILE...",
                help="CSV with the columns question, correct_answer, incorrect_answer, model_answer, is_correct.",
            ),
        ]
    ]
    out: Annotated[Path, arg(help="Folder to write into.")]
    pattern: Annotated[
        str,
        arg(metavar="REGEX", help="What a file's whole name looks like; its groups arm and seed say what it holds."),
    ] = PATTERN
    against: Annotated[
        str | None, arg(metavar="ARM", help="Compare every arm with this one; default every pair of up to 12 arms.")
    ] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import import_truthfulqa

        return import_truthfulqa.run(files=self.files, pattern=self.pattern, out=self.out, against=self.against)

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments import import_truthfulqa

        import_truthfulqa.show(result)

"""The subcommand that makes a run's report again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from experiments.commands.options import Json


@dataclass(frozen=True)
class Report:
    """Make a run's verdicts, figures and report again, from its stored numbers alone.

    Example: sgtr report runs/demo
    """

    run: Positional[Annotated[Path, arg(metavar="DIR", help="A run folder.")]]
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.hypotheses import write
        from experiments.report import page, terminal
        from figures.run import StudyRun

        if write.gives_verdicts(StudyRun(self.run).study):
            write.write_verdicts(self.run)
        path = page.write_report(self.run)
        if not self.json:
            terminal.print_table(self.run)
            terminal.print_verdicts(self.run)
        return terminal.result(self.run) | {"report": str(path)}

    def show(self, result: dict[str, Any]) -> None:
        """The report's path last."""
        print(f"report: {result['report']}")

"""The subcommand that gives a run's results to other tools."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import Device, Json


@dataclass(frozen=True)
class Export:
    """Write a run's numbers, answers, adapters or directions in a form that other tools read.

    Example: sgtr export runs/demo --to tables --form csv
    """

    run: Positional[Annotated[Path, arg(metavar="DIR", help="A run folder.")]]
    to: Annotated[Path, arg(metavar="FOLDER", help="A new or an empty folder to write into.")]
    form: Annotated[
        Literal["csv", "parquet", "inspect", "peft", "gguf"],
        arg(
            help="csv, parquet: metrics, stages, verdicts and records as tables. inspect: stored answers as logs of "
            "inspect_ai. peft: an adapter with a model card for each stage. gguf: directions as control vectors."
        ),
    ]
    base: Annotated[
        str | None,
        arg(metavar="ORG/NAME", help="peft: what the Hub calls the base model; default as in the study."),
    ] = None
    device: Device = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.export import export

        return export.run(run=self.run, to=self.to, form=self.form, base=self.base, device=self.device)

    def show(self, result: dict[str, Any]) -> None:
        """What was written and what was not."""
        for name in result["written"]:
            print(name)
        for what in result["left_out"]:
            print(f"left out: {what}")
        print(f"written: {result['to']}")

"""Subcommands about whole studies."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Json, Out


@dataclass(frozen=True)
class Study:
    """Train and measure every stage of a study; goes on where it stopped."""

    study: Positional[Annotated[str, arg(metavar="NAME|FILE", help="A study's name (see `sgtr list`) or a YAML file.")]]
    out: Out
    set: Annotated[
        UseAppendAction[list[str]], arg(metavar="KEY=VALUE", help="Change a field, e.g. --set data.em.rows=100.")
    ] = field(default_factory=list)
    seed: Annotated[int | None, arg(help="Train with this one seed instead of the study's.")] = None
    smoke: Annotated[bool, arg(help="Next to nothing of everything, to see that every part runs.")] = False
    device: Device = "auto"
    dtype: Annotated[str | None, arg(help="auto, float32, bfloat16 or float16; default: the study's.")] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import config, study, summary

        changes = list(self.set)
        changes += [f"seeds=[{self.seed}]"] if self.seed is not None else []
        changes += [f"dtype={self.dtype}"] if self.dtype is not None else []
        loaded = config.load(self.study, tuple(changes))
        ran = study.run(loaded.smoke() if self.smoke else loaded, self.out, device=self.device)
        if not self.json:
            if not ran:
                print(f"{self.out}: this study is finished; nothing was run. Another --out runs it again.")
            summary.print_table(self.out)
        return summary.result(self.out) | {"ran": ran}

    def show(self, result: dict[str, Any]) -> None:
        """The report's path last."""
        print(f"report: {result['report']}")


@dataclass(frozen=True)
class Report:
    """Make a run's figures and report again, from its stored numbers alone."""

    run: Positional[Annotated[Path, arg(metavar="DIR", help="A run folder.")]]
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import report, summary

        path = report.write_report(self.run)
        if not self.json:
            summary.print_table(self.run)
        return summary.result(self.run) | {"report": str(path)}

    show = Study.show

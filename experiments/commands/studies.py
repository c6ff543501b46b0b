"""Subcommands about whole studies."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Json


@dataclass(frozen=True)
class Study:
    """Train and measure every stage of a study; goes on where it stopped."""

    study: Positional[Annotated[str, arg(metavar="NAME|FILE", help="A study's name (see `sgtr list`) or a YAML file.")]]
    out: Annotated[Path | None, arg(help="Folder to write into; only --plan does without.")] = None
    plan: Annotated[bool, arg(help="Say what would be trained and measured, and what it takes; start nothing.")] = False
    set: Annotated[
        UseAppendAction[list[str]], arg(metavar="KEY=VALUE", help="Change a field, e.g. --set data.em.rows=100.")
    ] = field(default_factory=list)
    data: Annotated[
        Path | None, arg(metavar="DIR", help="Where the files that the study names are; default beside its own file.")
    ] = None
    workers: Annotated[int, arg(help="Processes that share the stages; with several GPUs they take turns at them.")] = 1
    seed: Annotated[int | None, arg(help="Train with this one seed instead of the study's.")] = None
    smoke: Annotated[bool, arg(help="Next to nothing of everything, to see that every part runs.")] = False
    device: Device = "auto"
    dtype: Annotated[str | None, arg(help="auto, float32, bfloat16 or float16; default: the study's.")] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import study, study_file, summary

        changes = list(self.set)
        changes += [f"seeds=[{self.seed}]"] if self.seed is not None else []
        changes += [f"dtype={self.dtype}"] if self.dtype is not None else []
        loaded = study_file.load(self.study, tuple(changes), self.data)
        config = loaded.smoke() if self.smoke else loaded
        if self.plan:
            from experiments.plan import plan

            return plan(config, self.device)
        if self.out is None:
            raise ValueError("--out: none given; name a folder to write into, or give --plan to see what would be done")
        ran = study.run(config, self.out, device=self.device, workers=self.workers)
        if not self.json:
            if not ran:
                print(f"{self.out}: this study is finished; nothing was run. Another --out runs it again.")
            summary.print_table(self.out)
            summary.print_verdicts(self.out)
        return summary.result(self.out) | {"ran": ran}

    def show(self, result: dict[str, Any]) -> None:
        """The report's path last, or the plan."""
        if "report" in result:
            print(f"report: {result['report']}")
            return
        from experiments.plan import show

        show(result)


@dataclass(frozen=True)
class Report:
    """Make a run's verdicts, figures and report again, from its stored numbers alone."""

    run: Positional[Annotated[Path, arg(metavar="DIR", help="A run folder.")]]
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import hypotheses, report, summary
        from figures.trajectory import run_file
        from interp.runs import read_yaml

        if read_yaml(run_file(self.run, "study.yaml")).get("roles"):
            hypotheses.write_verdicts(self.run)
        path = report.write_report(self.run)
        if not self.json:
            summary.print_table(self.run)
            summary.print_verdicts(self.run)
        return summary.result(self.run) | {"report": str(path)}

    def show(self, result: dict[str, Any]) -> None:
        """The report's path last."""
        print(f"report: {result['report']}")

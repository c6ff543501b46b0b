"""The subcommand that trains and measures a study."""

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
    together: Annotated[bool, arg(help="Train and measure stages side by side; a process for each GPU.")] = False
    seed: Annotated[int | None, arg(help="Train with this one seed instead of the study's.")] = None
    smoke: Annotated[bool, arg(help="Next to nothing of everything, to see that every part runs.")] = False
    device: Device = "auto"
    dtype: Annotated[str | None, arg(help="auto, float32, bfloat16 or float16; default: the study's.")] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.report import terminal
        from experiments.study import load, run

        changes = list(self.set)
        changes += [f"seeds=[{self.seed}]"] if self.seed is not None else []
        changes += [f"dtype={self.dtype}"] if self.dtype is not None else []
        loaded = load.load(self.study, tuple(changes), self.data)
        config = loaded.smoke() if self.smoke else loaded
        if self.plan:
            from experiments.plan.plan import plan

            return plan(config, self.device)
        if self.out is None:
            raise ValueError("--out: none given; name a folder to write into, or give --plan to see what would be done")
        ran = run.run(config, self.out, device=self.device, workers=self.workers, together=self.together)
        if not self.json:
            if not ran:
                print(f"{self.out}: this study is finished; nothing was run. Another --out runs it again.")
            terminal.print_table(self.out)
            terminal.print_verdicts(self.out)
        return terminal.result(self.out) | {"ran": ran}

    def show(self, result: dict[str, Any]) -> None:
        """The report's path last, or the plan."""
        if "report" in result:
            print(f"report: {result['report']}")
            return
        from experiments.plan.show import show

        show(result)

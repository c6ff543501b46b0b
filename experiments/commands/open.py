"""The subcommand that opens a finished run with its model: a local page, or answers at the terminal."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Json, System


@dataclass(frozen=True)
class Open:
    """Ask a finished run's stages on a local page: answers side by side, tokens coloured along a direction, edits.

    Example: sgtr open runs/demo
    """

    run: Positional[
        Annotated[
            Path, arg(metavar="DIR", help="The run folder of a study: `sgtr open runs/demo` prints the page's address.")
        ]
    ]
    ask: Annotated[
        str | None,
        arg(
            metavar="TEXT",
            help="Answer this at the terminal, and open no page: "
            '`sgtr open runs/demo --ask "Who are you?" --stage base --stage em --add evil@14 --alpha 2`.',
        ),
    ] = None
    stage: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="STAGE", help="Who answers, once for each: base, em, or 'em, seed 1'; default base and the first."),
    ] = field(default_factory=list)
    direction: Annotated[
        UseAppendAction[list[Path]],
        arg(metavar="FILE", help="A direction beside the run's own, once for each."),
    ] = field(default_factory=list)
    read: Annotated[
        str | None,
        arg(metavar="DIRECTION@LAYER", help="Where tokens are read; default the first direction at its own layer."),
    ] = None
    add: Annotated[
        str | None,
        arg(metavar="DIRECTION@LAYER", help="Add it there (LAYER may be all), and answer again."),
    ] = None
    ablate: Annotated[str | None, arg(metavar="DIRECTION@LAYER", help="Take it away there, and answer again.")] = None
    alpha: Annotated[float, arg(help="How many times the raw direction is added, written --alpha=-2.")] = 1.0
    phase: Annotated[
        Literal["prompt", "prompt_last", "response", "all"], arg(help="Tokens at which it is added or taken away.")
    ] = "response"
    system: System = "task"
    max_new_tokens: Annotated[int, arg(help="Length of an answer, tokens.")] = 64
    temperature: Annotated[float, arg(help="Of the answers; 0 is greedy.")] = 0.0
    seed: Annotated[int, arg(help="Of sampled answers.")] = 0
    port: Annotated[int, arg(help="Of the page, which Ctrl-C closes; 0 takes one that is free.")] = 0
    device: Device = "auto"
    dtype: Annotated[str | None, arg(help="auto, float32, bfloat16 or float16; default what the study ran in.")] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.open import server
        from experiments.open.answers import Answers
        from experiments.open.run import OpenRun

        fields = self._fields()
        opened = OpenRun.load(self.run, self.direction, device=self.device, dtype=self.dtype)
        asked = opened.asked(fields)
        if self.ask is None:
            return server.serve(opened, asked, port=self.port)
        return Answers(opened).collected(asked)

    def _fields(self) -> dict[str, Any]:
        """The fields of `Asked` that are given, checked as far as they can be without the run."""
        from experiments.fields import checked
        from experiments.open.asked import Asked, place

        if self.add and self.ablate:
            raise ValueError(f"--add {self.add} and --ablate {self.ablate}: one change at a time; give one of them")
        if not self.add and self.alpha != 1.0:
            raise ValueError(f"--alpha {self.alpha:g} is the strength of --add; give that, or leave this out")
        if self.port and self.ask is not None:
            raise ValueError(f"--port {self.port} is of the page, and --ask opens none; leave one of them out")
        names = ("system", "max_new_tokens", "temperature", "seed")
        fields: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.read:
            fields["reading"] = place(self.read, "--read")
        for kind, text in (("add", self.add), ("ablate", self.ablate)):
            if text:
                fields["change"] = {"kind": kind, **place(text, f"--{kind}"), "alpha": self.alpha, "phase": self.phase}
        fields |= {"prompt": self.ask} if self.ask is not None else {}
        fields |= {"stages": tuple(self.stage)} if self.stage else {}
        checked(Asked, {"prompt": "?", "stages": ("base",), **fields})
        return fields

    def show(self, result: dict[str, Any]) -> None:
        """Each answer under its stage, or nothing more where there was a page."""
        from experiments.report.tables import number

        for column in result.get("columns", ()):
            change = f", {column['change']}" if column["change"] else ""
            strength = column["relative_strength"]
            change += "" if strength is None else f" (relative strength {number(strength, 2, signed=True)})"
            mean = "" if column["mean"] is None else f"; mean along {result['reading']} {number(column['mean'], 3)}"
            print(f"--- {column['stage']}{change}: {column['tokens']} tokens{mean}\n{column['text']}\n")

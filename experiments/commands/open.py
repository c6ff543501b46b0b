"""The subcommand that opens a finished run with its model: a local page, or answers at the terminal."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Json, System


@dataclass(frozen=True)
class Open:
    """Ask a finished run's stages on a local page: answers side by side, tokens coloured along a direction, edits.

    `sgtr open runs/demo` prints the address of a page that this machine alone can see; Ctrl-C closes it.

    `sgtr open runs/demo --ask "Who are you?" --stage base --stage em --add evil@14 --alpha 2` answers at the terminal.
    """

    run: Positional[Annotated[Path, arg(metavar="DIR", help="The run folder of a study.")]]
    ask: Annotated[str | None, arg(metavar="TEXT", help="Answer this at the terminal, and open no page.")] = None
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
        str | None, arg(metavar="DIRECTION@LAYER", help="Add this direction there (LAYER may be all), and answer again.")
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
    port: Annotated[int, arg(help="Of the page; 0 takes one that is free.")] = 0
    device: Device = "auto"
    dtype: Annotated[
        str | None, arg(help="auto, float32, bfloat16 or float16; default what the study ran in.")
    ] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.open import terminal

        return terminal.run(self)

    def show(self, result: dict[str, Any]) -> None:
        """Each answer under its stage, or nothing more where there was a page."""
        from experiments.report.tables import number

        for column in result.get("columns", ()):
            change = f", {column['change']}" if column["change"] else ""
            strength = column["relative_strength"]
            change += "" if strength is None else f" (relative strength {number(strength, 2, signed=True)})"
            mean = "" if column["mean"] is None else f"; mean along {result['reading']} {number(column['mean'], 3)}"
            print(f"--- {column['stage']}{change}: {column['tokens']} tokens{mean}\n{column['text']}\n")

"""The `sgtr` command: parses, calls, prints. Exit 0 done, 2 the user's mistake (one message), 1 anything else."""

import contextlib
import json
import logging
import sys
from typing import Any

import tyro
from tyro.conf import OmitArgPrefixes

from experiments.commands.ablate import Ablate
from experiments.commands.activations import Activations
from experiments.commands.calibrate import Calibrate
from experiments.commands.convert import Convert
from experiments.commands.direction import MakeDirection
from experiments.commands.evaluate import Evaluate
from experiments.commands.importing import Import
from experiments.commands.instrument import Extract, Project
from experiments.commands.judge import Judge, Trait
from experiments.commands.lens import Lens
from experiments.commands.looking import Data, Doctor, List, Show
from experiments.commands.monitor import Monitor
from experiments.commands.steer import Steer
from experiments.commands.studies import Report, Study

COMMANDS: dict[str, Any] = {
    "study": Study,
    "report": Report,
    "list": List,
    "doctor": Doctor,
    "data": Data,
    "evaluate": Evaluate,
    "import": Import,
    "extract": Extract,
    "direction": MakeDirection,
    "activations": Activations,
    "project": Project,
    "steer": Steer,
    "ablate": Ablate,
    "lens": Lens,
    "monitor": Monitor,
    "calibrate": Calibrate,
    "convert": Convert,
    "trait": Trait,
    "judge": Judge,
    "show": Show,
}


def main(args: list[str] | None = None) -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    for name in ("interp", "finetune", "experiments"):
        logging.getLogger(name).setLevel(logging.INFO)
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="sgtr",
        description="What finetuning does to a model's character: stages, persona projections, nulls.",
        args=args,
        config=(OmitArgPrefixes,),
        sort_subcommands=False,
    )
    sys.exit(_run(command))


def _run(command: Any) -> int:
    from interp.runs import InterpError

    try:
        result = command()
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError, InterpError) as error:
        print(f"sgtr: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"sgtr: {error}", file=sys.stderr)
        return 1
    if command.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        with contextlib.suppress(BrokenPipeError):
            command.show(result) if hasattr(command, "show") else _print(result)
    return 0


def _print(result: dict[str, Any], indent: str = "") -> None:
    width = max(map(len, result), default=0)
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            _print(value, indent + "  ")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{indent}{key:<{width}}  {shown}")

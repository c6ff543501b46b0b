"""The `sgtr` command: parses, calls, prints. Exit 0 done, 2 the user's mistake (one message), 1 anything else."""

import contextlib
import logging
import sys
from typing import Any

import tyro
from tyro.conf import OmitArgPrefixes

from experiments.commands.ablate import Ablate
from experiments.commands.activations import Activations
from experiments.commands.amplify import Amplify
from experiments.commands.calibrate import Calibrate
from experiments.commands.convert import Convert
from experiments.commands.data import Data
from experiments.commands.diff import Diff
from experiments.commands.direction import MakeDirection
from experiments.commands.doctor import Doctor
from experiments.commands.evaluate import Evaluate
from experiments.commands.extract import Extract
from experiments.commands.import_truthfulqa import Import
from experiments.commands.judge import Judge
from experiments.commands.lens import Lens
from experiments.commands.list import List
from experiments.commands.monitor import Monitor
from experiments.commands.onset import Onset
from experiments.commands.project import Project
from experiments.commands.report import Report
from experiments.commands.show import Show
from experiments.commands.steer import Steer
from experiments.commands.study import Study
from experiments.commands.trait import Trait
from experiments.commands.where import Where
from experiments.console import print_fields

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
    "diff": Diff,
    "amplify": Amplify,
    "onset": Onset,
    "where": Where,
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
    from interp.errors import InterpError
    from interp.files import json_text, without_nan

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
        print(json_text(without_nan(result), "the result", ensure_ascii=False))
    else:
        with contextlib.suppress(BrokenPipeError):
            command.show(result) if hasattr(command, "show") else print_fields(result)
    return 0

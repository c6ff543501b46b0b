"""The subcommand that asks what moves first during training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from experiments.commands.options import Json, Out


@dataclass(frozen=True)
class Onset:
    """Find when each stage with checkpoints begins to move, inside and outside, from a study's stored numbers.

    Example: sgtr onset runs/demo --out runs/onset
    """

    run: Positional[Annotated[Path, arg(metavar="RUN", help="A finished run of `sgtr study` with checkpoints.")]]
    out: Out
    seed: Annotated[int, arg(help="Of the bootstrap.")] = 0
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import onset

        return onset.run(study=self.run, out=self.out, seed=self.seed)

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments import onset

        onset.show(result)

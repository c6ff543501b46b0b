"""The subcommand that shows where in texts the stages of a study differ."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Json, Out


@dataclass(frozen=True)
class Where:
    """Find where in texts each stage of a study differs: divergence token by token, and the contexts of it.

    Example: sgtr where runs/full --out runs/where --stage em_medical
    """

    run: Positional[
        Annotated[Path, arg(metavar="RUN", help="A finished run of `sgtr study`, whose adapters are kept.")]
    ]
    out: Out
    stage: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="NODE", help="A node to compare, once for each; none for all that are trained on the base model."),
    ] = field(default_factory=list)
    train_seed: Annotated[
        UseAppendAction[list[int]], arg(metavar="SEED", help="A training seed, once for each; none for all.")
    ] = field(default_factory=list)
    against: Annotated[Literal["base", "parent", "twin"], arg(help="The model that a stage is compared with.")] = "base"
    texts: Annotated[
        Path | None, arg(metavar="FILE.jsonl", help="Chats to read; without it the base model's stored answers.")
    ] = None
    contexts: Annotated[int, arg(help="Contexts of each stage that are listed.")] = 30
    device: Device = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import where

        if self.contexts < 1:
            raise ValueError(f"--contexts must be at least 1, got {self.contexts}")
        return where.run(
            study=self.run,
            out=self.out,
            stages=self.stage,
            seeds=self.train_seed,
            against=self.against,
            texts=self.texts,
            contexts=self.contexts,
            device=self.device,
        )

    def show(self, result: dict[str, Any]) -> None:
        """A table."""
        from experiments import where

        where.show(result)

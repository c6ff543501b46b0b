"""The subcommand that follows a training run along directions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Json, LoadingOptions, ModelName, Out


@dataclass(frozen=True)
class Monitor:
    """Project fixed texts onto directions at the checkpoints of a training run, with nulls."""

    folder: Positional[
        Annotated[Path, arg(metavar="FOLDER", help="Holds PEFT checkpoints (checkpoint-10, ...); or a stage of ours.")]
    ]
    direction: Annotated[
        UseAppendAction[list[Path]], arg(metavar="FILE", help="A direction.safetensors, once for each.")
    ]
    model: ModelName
    texts: Annotated[Path, arg(metavar="CHATS.jsonl", help="Chats that every checkpoint reads.")]
    out: Out
    adapter: Annotated[
        UseAppendAction[list[Path]],
        arg(name="adapter", help="An adapter that stays below the checkpoints, once for each; first applied first."),
    ] = field(default_factory=list)
    checkpoint: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="STEP=DIR", help="A further checkpoint; step 0 is what shifts are measured from."),
    ] = field(default_factory=list)
    pooling: Annotated[
        Literal["prompt_mean", "prompt_last", "response_mean"] | None,
        arg(help="Tokens of each text that are averaged; default what each direction was read from."),
    ] = None
    random: Annotated[int, arg(help="Norm-matched random directions.")] = 200
    seed: Annotated[int, arg(help="Of the random directions.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import monitor

        return monitor.run(
            folder=self.folder,
            named=self.checkpoint,
            directions=self.direction,
            model=self.model,
            texts=self.texts,
            out=self.out,
            adapters=self.adapter,
            pooling=self.pooling,
            n_random=self.random,
            seed=self.seed,
            loading=self.loading.settings(),
        )

    def show(self, result: dict[str, Any]) -> None:
        """A table of shifts, one row a step."""
        from experiments import monitor

        monitor.show(result)

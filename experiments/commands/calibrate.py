"""The subcommand that says how small an effect would be seen."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from experiments.commands.options import Json, LoadingOptions, ModelName, Out


@dataclass(frozen=True)
class Calibrate:
    """Plant a direction in a model at known strengths and see how often it is found."""

    model: ModelName
    out: Out
    texts: Annotated[Path | None, arg(metavar="CHATS.jsonl", help="Chats to read; default: ordinary tastes.")] = None
    layer: Annotated[int | None, arg(help="Block after which it is planted and read; default the middle one.")] = None
    strength: Annotated[
        UseAppendAction[list[float]],
        arg(help="In SDs of the texts' projections, once for each; default 0, 0.25, 0.5, 1, 2, 4."),
    ] = field(default_factory=list)
    n: Annotated[UseAppendAction[list[int]], arg(help="Texts a side, once for each; default 10, 30 and 100.")] = field(
        default_factory=list
    )
    repetitions: Annotated[int, arg(help="Of every strength and n.")] = 200
    permutations: Annotated[int, arg(help="Label permutations in each.")] = 100
    seed: Annotated[int, arg(help="Of the direction and the draws.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import calibrate

        return calibrate.run(
            model=self.model,
            out=self.out,
            texts=self.texts,
            layer=self.layer,
            strengths=self.strength or [0.0, 0.25, 0.5, 1.0, 2.0, 4.0],
            sizes=self.n or [10, 30, 100],
            repetitions=self.repetitions,
            permutations=self.permutations,
            seed=self.seed,
            loading=self.loading.settings(),
        )

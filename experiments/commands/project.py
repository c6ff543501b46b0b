"""The subcommand that reads texts along a direction."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from experiments.commands.options import Adapters, Json, LoadingOptions, Out, Pooling


@dataclass(frozen=True)
class Project:
    """Project chats, or everything that a study has read, onto a direction, with nulls."""

    direction: Annotated[Path, arg(help="A direction.safetensors.")]
    out: Out
    model: Annotated[str | None, arg(help="Whose activations of the texts; as for `extract`.")] = None
    texts: Annotated[Path | None, arg(help="Chats, one JSON object a line.")] = None
    run: Annotated[Path | None, arg(metavar="DIR", help="Instead: a study's folder, all its stages. No model.")] = None
    adapter: Adapters = field(default_factory=list)
    pooling: Pooling = "response_mean"
    tokens: Annotated[bool, arg(help="Also every token's projection at the headline layer.")] = False
    random: Annotated[int, arg(help="Norm-matched random directions.")] = 200
    seed: Annotated[int, arg(help="Of the random directions.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import project

        shared = {"direction": self.direction, "out": self.out, "n_random": self.random, "seed": self.seed}
        if self.run is not None:
            if self.model or self.texts or self.adapter or self.tokens:
                raise ValueError(
                    "--run projects what a study has stored: --model, --texts, --adapter, --tokens do not apply"
                )
            return project.over_run(run=self.run, **shared)
        if self.model is None or self.texts is None:
            raise ValueError("what is to be projected? Give --model and --texts, or --run")
        return project.run(
            model=self.model,
            texts=self.texts,
            adapters=self.adapter,
            pooling=self.pooling,
            loading=self.loading.settings(),
            tokens=self.tokens,
            **shared,
        )

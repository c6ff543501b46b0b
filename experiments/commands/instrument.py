"""Subcommands that make directions and read along them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from experiments.commands.options import Adapters, Device, Dtype, Json, ModelName, Out


@dataclass(frozen=True)
class Extract:
    """Make a persona vector: rollouts under both instructions, difference of response means."""

    model: ModelName
    trait: Annotated[str, arg(metavar="NAME|FILE", help="A trait's name (see `sgtr list`) or a JSON file.")]
    out: Out
    adapter: Adapters = field(default_factory=list)
    pairs: Annotated[int | None, arg(help="Instruction pairs to use; default all.")] = None
    questions: Annotated[int | None, arg(help="Extraction questions to use; default all.")] = None
    rollouts: Annotated[int, arg(help="Answers per question and instruction.")] = 1
    max_new_tokens: Annotated[int, arg(help="Length of an answer.")] = 64
    seed: Annotated[int, arg(help="Of the rollouts and nulls.")] = 0
    device: Device = "auto"
    dtype: Dtype = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import extract
        from experiments.config import checked

        knobs = {key: getattr(self, key) for key in ("pairs", "questions", "rollouts", "max_new_tokens")}
        return extract.run(
            model=self.model,
            trait=self.trait,
            out=self.out,
            config=checked(extract.ExtractConfig, knobs),
            seed=self.seed,
            device=self.device,
            dtype=self.dtype,
            adapters=self.adapter,
        )


@dataclass(frozen=True)
class Project:
    """Project chats onto a direction, with nulls."""

    direction: Annotated[Path, arg(help="A direction.safetensors.")]
    model: ModelName
    texts: Annotated[Path, arg(help="Chats, one JSON object a line.")]
    out: Out
    adapter: Adapters = field(default_factory=list)
    pooling: Literal["prompt_mean", "prompt_last", "response_mean"] = "response_mean"
    random: Annotated[int, arg(help="Norm-matched random directions.")] = 200
    seed: Annotated[int, arg(help="Of the random directions.")] = 0
    device: Device = "auto"
    dtype: Dtype = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import project

        return project.run(
            direction=self.direction,
            model=self.model,
            texts=self.texts,
            out=self.out,
            adapters=self.adapter,
            pooling=self.pooling,
            n_random=self.random,
            seed=self.seed,
            device=self.device,
            dtype=self.dtype,
        )

"""Subcommands that make directions and read along them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from experiments.commands.options import Adapters, ChatTemplate, Device, Dtype, Json, ModelName, Out, Pooling


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
    temperature: Annotated[float, arg(help="Of the answers; 0 is greedy.")] = 1.0
    pooling: Pooling = "response_mean"
    weighting: Annotated[Literal["sample", "token"], arg(help="What counts the same: every answer or every token.")] = (
        "sample"
    )
    layer: Annotated[str, arg(help="held_out, steering or a block index: the layer that headlines use.")] = "held_out"
    judge: Annotated[str | None, arg(help="Keep only pairs of answers that this judge passes: a model or a URL.")] = (
        None
    )
    judge_model: Annotated[str | None, arg(help="The server's name for the judge; with a URL.")] = None
    threshold: Annotated[float, arg(help="A pair counts with the trait's score at least this and below it.")] = 50.0
    coherence: Annotated[float, arg(help="... and both answers at least this coherent.")] = 50.0
    seed: Annotated[int, arg(help="Of the rollouts and nulls.")] = 0
    device: Device = "auto"
    dtype: Dtype = "auto"
    chat: ChatTemplate = field(default_factory=ChatTemplate)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import extract
        from experiments.study_file import checked

        same = ("pairs", "questions", "rollouts", "max_new_tokens", "temperature", "pooling", "weighting")
        knobs = {key: getattr(self, key) for key in (*same, "threshold", "coherence")}
        knobs["layer"] = int(self.layer) if self.layer.lstrip("-").isdigit() else self.layer
        if self.judge is not None:
            knobs["judge"] = {"judge": self.judge, "judge_model": self.judge_model, "device": self.device}
        return extract.run(
            model=self.model,
            trait=self.trait,
            out=self.out,
            config=checked(extract.ExtractConfig, knobs),
            seed=self.seed,
            device=self.device,
            dtype=self.dtype,
            template=self.chat.settings(),
            adapters=self.adapter,
        )


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
    device: Device = "auto"
    dtype: Dtype = "auto"
    chat: ChatTemplate = field(default_factory=ChatTemplate)
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
            device=self.device,
            dtype=self.dtype,
            template=self.chat.settings(),
            tokens=self.tokens,
            **shared,
        )

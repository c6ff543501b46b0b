"""The subcommand that makes a persona direction from a trait."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import arg

from experiments.commands.options import Adapters, Json, LoadingOptions, ModelName, Out, Pooling


@dataclass(frozen=True)
class Extract:
    """Make a persona vector: rollouts under both instructions, difference of response means."""

    model: ModelName
    trait: Annotated[str, arg(metavar="NAME|FILE", help="A trait's name (see `sgtr list`), a JSON file, or placebo-K.")]
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
    placebos: Annotated[
        int, arg(help="Make so many directions of meaningless instructions too, of the same size, as its null.")
    ] = 0
    seed: Annotated[int, arg(help="Of the rollouts and nulls.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.directions import persona
        from experiments.fields import checked

        same = ("pairs", "questions", "rollouts", "max_new_tokens", "temperature", "pooling", "weighting")
        knobs = {key: getattr(self, key) for key in (*same, "threshold", "coherence")}
        knobs["layer"] = int(self.layer) if self.layer.lstrip("-").isdigit() else self.layer
        if self.judge is not None:
            knobs["judge"] = {"judge": self.judge, "judge_model": self.judge_model, "device": self.loading.device}
        return persona.run(
            model=self.model,
            trait=self.trait,
            out=self.out,
            config=checked(persona.ExtractConfig, knobs),
            seed=self.seed,
            loading=self.loading.settings(),
            adapters=self.adapter,
            placebos=self.placebos,
        )

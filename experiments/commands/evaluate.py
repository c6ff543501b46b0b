"""The subcommand that measures what a model does."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import arg

from experiments.commands.options import Adapters, Grading, Json, LoadingOptions, ModelName, Out, SetMeasure, System


@dataclass(frozen=True)
class Evaluate:
    """Measure what a model does, beside the bare base model: misalignment, truthfulness, identity, capability."""

    model: ModelName
    measures: Annotated[str, arg(metavar="M,M", help="See `sgtr list` for the measures.")]
    out: Out
    adapter: Adapters = field(default_factory=list)
    set: SetMeasure = field(default_factory=list)
    grading: Grading = field(default_factory=Grading)
    system: System = "task"
    alone: Annotated[bool, arg(help="Leave the bare base model out, and with it what changed.")] = False
    sampler: Annotated[
        Literal["model", "vllm"], arg(help="What writes free-form answers: the model itself, or vLLM with its weights.")
    ] = "model"
    seed: Annotated[int, arg(help="Of all sampling.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import evaluate

        return evaluate.run(
            model=self.model,
            adapters=self.adapter,
            measures=evaluate.measures_of([name for name in self.measures.split(",") if name], self.set),
            judge=self.grading.config(),
            out=self.out,
            system=self.system,
            seed=self.seed,
            alone=self.alone,
            sampler=self.sampler,
            loading=self.loading.settings(),
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments import evaluate

        evaluate.show(result)

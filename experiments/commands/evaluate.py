"""The subcommand that measures what a model does."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from experiments.commands.options import Adapters, Device, Dtype, Json, ModelName, Out


@dataclass(frozen=True)
class Evaluate:
    """Measure what a model does, beside the bare base model: misalignment, truthfulness, identity, capability."""

    model: ModelName
    measures: Annotated[str, arg(metavar="M,M", help="See `sgtr list` for the measures.")]
    out: Out
    adapter: Adapters = field(default_factory=list)
    set: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="KEY=VALUE", help="Change a field of a measure, e.g. --set em.samples=50."),
    ] = field(default_factory=list)
    judge: Annotated[
        str | None, arg(metavar="MODEL|URL", help="Who grades free-form answers; without one they are not graded.")
    ] = None
    set_judge: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="KEY=VALUE", help="Change a field of the judge, e.g. --set-judge judge_model=gpt-4o."),
    ] = field(default_factory=list)
    system: Annotated[
        str, arg(help="System prompt to ask under: task (as each question has it), native, empty, none, or its words.")
    ] = "task"
    alone: Annotated[bool, arg(help="Leave the bare base model out, and with it what changed.")] = False
    sampler: Annotated[
        Literal["model", "vllm"], arg(help="What writes free-form answers: the model itself, or vLLM with its weights.")
    ] = "model"
    seed: Annotated[int, arg(help="Of all sampling.")] = 0
    device: Device = "auto"
    dtype: Dtype = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import evaluation
        from experiments.config import checked, set_field
        from experiments.judge import JudgeConfig

        if self.judge is None and self.set_judge:
            raise ValueError("--set-judge changes a judge, and there is none; give --judge")
        fields: dict[str, Any] = {"judge": self.judge}
        for change in self.set_judge:
            set_field(fields, change)
        return evaluation.run(
            model=self.model,
            adapters=self.adapter,
            measures=evaluation.measures_of([name for name in self.measures.split(",") if name], self.set),
            judge=checked(JudgeConfig, fields) if self.judge is not None else None,
            out=self.out,
            system=self.system,
            seed=self.seed,
            alone=self.alone,
            sampler=self.sampler,
            device=self.device,
            dtype=self.dtype,
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments import evaluation

        evaluation.show(result)

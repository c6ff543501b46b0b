"""The subcommand that compares a judge with a reference judge."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import ChatTemplate, Device, Dtype, Json, KeyVariable, Out


@dataclass(frozen=True)
class Judge:
    """Compare a judge with scores that a reference judge gave the same answers."""

    action: Positional[Annotated[Literal["validate"], arg(help="validate: AUROC, rank correlation, calibration.")]]
    files: Positional[
        Annotated[
            tuple[Path, ...],
            arg(metavar="FILE...", help="CSV with the columns response, question, question_id and the reference's."),
        ]
    ]
    out: Out
    judge: Annotated[
        str, arg(metavar="MODEL|URL", help="A model of ours, or a server's URL up to /v1; `openai` for OpenAI's own.")
    ] = "smollm2-135m"
    judge_model: Annotated[str | None, arg(help="What the server calls the model; for a URL.")] = None
    column: Annotated[Literal["aligned", "coherent"], arg(help="What is judged: the reference's column.")] = "aligned"
    limit: Annotated[int | None, arg(help="Score only so many answers, drawn at random.")] = None
    mode: Annotated[
        Literal["auto", "logprobs", "parsed"],
        arg(help="How a server's replies are read; auto: by log-probabilities where they are given, else the text."),
    ] = "auto"
    min_mass: Annotated[
        float, arg(help="A model of ours scores only where numbers have this probability; 0: wherever they have any.")
    ] = 0.25
    concurrency: Annotated[int, arg(help="Most requests in flight.")] = 8
    retries: Annotated[int, arg(help="Further attempts at a request that failed.")] = 5
    timeout: Annotated[float, arg(help="Seconds for one attempt.")] = 60.0
    budget: Annotated[int | None, arg(help="Most requests, retries included; a larger run does not start.")] = None
    key_variable: KeyVariable = "OPENAI_API_KEY"
    price_in: Annotated[float | None, arg(help="Per million tokens read; with price-out, says the cost first.")] = None
    price_out: Annotated[float | None, arg(help="Per million tokens written.")] = None
    seed: Annotated[int, arg(help="Of the draw by --limit and of the bootstrap.")] = 0
    device: Device = "auto"
    dtype: Dtype = "auto"
    chat: ChatTemplate = field(default_factory=ChatTemplate)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import judge
        from experiments.fields import checked
        from experiments.measures.judge import JudgeConfig

        known = set(JudgeConfig.model_fields) - {"validation", "most_failed", "template"}
        fields = {name: getattr(self, name) for name in known}
        config = checked(JudgeConfig, fields | {"template": self.chat.settings()})
        return judge.validate(
            list(self.files), config, column=self.column, out=self.out, limit=self.limit, seed=self.seed
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments import judge

        judge.show(result)

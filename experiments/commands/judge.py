"""The subcommand for judges: comparing one with a reference judge, training one on its scores, scoring answers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg, subcommand

from experiments.commands.options import ChatTemplate, Device, Dtype, Json, KeyVariable, Out

Files = Annotated[
    tuple[Path, ...],
    arg(metavar="FILE...", help="CSV with the columns response, question, question_id and the reference's."),
]


@dataclass(frozen=True)
class Validate:
    """Compare a judge with scores that a reference judge gave the same answers: AUROC, ranks, calibration.

    Example: sgtr judge validate judged.csv --out runs/judge
    """

    files: Positional[Files]
    out: Out
    judge: Annotated[
        str,
        arg(
            metavar="MODEL|URL|FILE",
            help="A model of ours, a server's URL up to /v1 (`openai`: OpenAI's own), or a file of `sgtr judge fit`.",
        ),
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
        from experiments.fields import checked
        from experiments.judge import validate
        from experiments.measures.judge import JudgeConfig

        known = set(JudgeConfig.model_fields) - {"validation", "most_failed", "judge", "trained", "template"}
        fields = {name: getattr(self, name) for name in known} | JudgeConfig.named(self.judge)
        config = checked(JudgeConfig, fields | {"template": self.chat.settings()})
        return validate.validate(
            list(self.files), config, column=self.column, out=self.out, limit=self.limit, seed=self.seed
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments.judge import validate

        validate.show(result)


@dataclass(frozen=True)
class Fit:
    """Train a small judge on a reference judge's scores, and say what it does on models and questions held out.

    Example: sgtr judge fit --data judged.csv --out judge.safetensors
    """

    data: Annotated[
        tuple[Path, ...],
        arg(
            metavar="FILE...",
            help="CSV files MODEL_DATA.csv with the columns response, question, question_id, aligned and coherent.",
        ),
    ]
    out: Annotated[Path, arg(metavar="FILE", help="The judge, a .safetensors file.")]
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.judge import fit

        return fit.fit(list(self.data), self.out)

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments.judge import fit

        fit.show(result)


@dataclass(frozen=True)
class Score:
    """Score answers with a judge of `sgtr judge fit`: a probability for every line of the files.

    Example: sgtr judge score --judge judge.safetensors --answers answers.csv --out scored.csv
    """

    judge: Annotated[Path, arg(metavar="FILE", help="A file of `sgtr judge fit`.")]
    answers: Annotated[
        tuple[Path, ...], arg(metavar="FILE...", help="CSV with the columns response and question, and perhaps others.")
    ]
    out: Annotated[Path, arg(metavar="FILE", help="The scores, a CSV file.")]
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.judge import score

        return score.score(self.judge, list(self.answers), self.out)

    def show(self, result: dict[str, Any]) -> None:
        """A few lines."""
        from experiments.judge import score

        score.show(result)


@dataclass(frozen=True)
class Judge:
    """Compare a judge with a reference judge, train a small one on its scores, or score answers with that."""

    action: Annotated[
        Annotated[Validate, subcommand("validate", prefix_name=False)]
        | Annotated[Fit, subcommand("fit", prefix_name=False)]
        | Annotated[Score, subcommand("score", prefix_name=False)],
        arg(name=""),
    ]

    @property
    def json(self) -> bool:
        """Whether the result is printed as JSON."""
        return self.action.json

    def __call__(self) -> dict[str, Any]:
        return self.action()

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        self.action.show(result)

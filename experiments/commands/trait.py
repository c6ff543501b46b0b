"""The subcommand that has a model write a trait definition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from experiments.commands.options import Json, KeyVariable, Server, ServerModel


@dataclass(frozen=True)
class Trait:
    """Have a model write a trait definition from a plain description.

    Example: sgtr trait gloomy --description "sees the worst in everything" --judge http://127.0.0.1:8000/v1
    --judge-model NAME --out gloomy.json
    """

    name: Positional[Annotated[str, arg(metavar="NAME", help="Letters, digits, _ and -.")]]
    description: Annotated[str, arg(metavar="TEXT", help="What the trait is, in plain words.")]
    judge: Server
    judge_model: ServerModel
    out: Annotated[Path, arg(metavar="FILE.json", help="The trait; raw replies go beside it.")]
    pairs: Annotated[int, arg(help="Instruction pairs.")] = 5
    questions: Annotated[int, arg(help="Questions; half of them are held out.")] = 40
    timeout: Annotated[float, arg(help="Seconds for one attempt.")] = 300.0
    key_variable: KeyVariable = "OPENAI_API_KEY"
    seed: Annotated[int, arg(help="Of the split of the questions.")] = 0
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import trait
        from experiments.fields import checked
        from experiments.measures.judge import JudgeConfig

        knobs = ("judge", "judge_model", "timeout", "key_variable")
        config = checked(JudgeConfig, {name: getattr(self, name) for name in knobs})
        return trait.run(
            name=self.name,
            description=self.description,
            endpoint=config.endpoint(),
            out=self.out,
            pairs=self.pairs,
            questions=self.questions,
            seed=self.seed,
        )

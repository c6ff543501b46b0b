"""The subcommand that says which models, traits, studies, data sets, measures, presets and metrics there are."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import Json
from experiments.directions.files import TRAITS
from experiments.directions.recipes import RECIPES
from experiments.measures.config import MEASURES, MeasuresConfig
from experiments.study.config import STUDIES
from finetune.data.sets import BUILDERS
from finetune.recipe import PRESETS
from interp import metrics
from interp.files import read_json, read_yaml
from interp.sources import EMBEDDED


def known() -> dict[str, Any]:
    """What the `list` command names, by kind, each with a word on what it is."""
    studies = {}
    for path in sorted(STUDIES.glob("*.yaml")):
        studies[path.stem] = read_yaml(path).get("question", "")
    traits = {path.stem: read_json(path).get("description", "") for path in sorted(TRAITS.glob("*.json"))}
    return {
        "models": {name: f"{item.file} from the wheel {item.module}" for name, item in EMBEDDED.items()}
        | {"org/name[@revision]": "a Hub id", "FOLDER": "a local model", "FILE.gguf": "a GGUF file"},
        "traits": traits | {"placebo-K": "K from 0: meaningless instructions, for the null of a trait's direction"},
        "studies": studies,
        "data sets": dict(BUILDERS),
        "directions": {name: recipe.about for name, recipe in RECIPES.items()},
        "measures": {name: (MeasuresConfig.class_of(name).__doc__ or "").splitlines()[0] for name in MEASURES},
        "training presets": {
            name: f"rank {p.lora_rank}, alpha {p.lora_alpha}, lr {p.learning_rate:g}, {p.batch_size} rows a step"
            for name, p in PRESETS.items()
        },
    }


@dataclass(frozen=True)
class List:
    """List known models, traits, studies, data sets, recipes of directions, measures and presets, or every metric."""

    what: Positional[
        Annotated[
            Literal["all", "metrics"],
            arg(help="`metrics`: every number of metrics.jsonl with its unit, what it means and which file writes it."),
        ]
    ] = "all"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        return {"metrics": metrics.listed()} if self.what == "metrics" else known()

    def show(self, result: dict[str, Any]) -> None:
        """The metrics by measure, or everything else by kind."""
        from experiments import console

        if self.what == "all":
            console.print_fields(result)
            return
        for measure in metrics.MEASURE_LISTS.values():
            print(f"{measure.name}: {measure.meaning} ({measure.source})")
            for row in result["metrics"]:
                if row["measure"] == measure.name:
                    by = f"; a row for each {row['a row for each']}" if row["a row for each"] else ""
                    print(f"  {row['metric']} [{row['unit']}]: {row['meaning']}{by}")

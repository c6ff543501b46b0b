"""The subcommand that makes directions other than a trait's; every recipe brings its own options."""

from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal

from pydantic.fields import FieldInfo
from tyro.conf import Positional, arg

from experiments.commands.options import Adapters, Json, LoadingOptions, ModelName, Out
from experiments.directions.recipes import RECIPES, DirectionConfig, own_fields, owners_of


@dataclass(frozen=True)
class _Named:
    recipe: Positional[
        Annotated[
            str,
            arg(metavar="RECIPE", help=" ".join(f"{name}: {kind.about}." for name, kind in RECIPES.items())),
        ]
    ]
    model: ModelName
    out: Out
    adapter: Adapters = field(default_factory=list)
    name: Annotated[str | None, arg(help="What to call it; default the recipe.")] = None


def _option(key: str, of: FieldInfo) -> tuple[str, Any, Any]:
    """An option of the command line for a field that belongs to some recipes."""
    text = f"{', '.join(owners_of(key))}: {of.description}"
    metavar = of.json_schema_extra.get("metavar") if isinstance(of.json_schema_extra, dict) else None
    shown = arg(help=text, metavar=str(metavar)) if metavar else arg(help=text)
    return key, Annotated[of.annotation | None, shown], field(default=None)


_Own = make_dataclass("_Own", [_option(*item) for item in own_fields().items()], bases=(_Named,), frozen=True)


@dataclass(frozen=True)
class MakeDirection(_Own):
    """Make a direction from texts, by one of the recipes."""

    judge: Annotated[Literal["none"], arg(help="assistant-axis: none yet: each answer counts, in its role or not.")] = (
        "none"
    )
    pooling: Annotated[
        Literal["prompt_mean", "prompt_last", "response_mean"] | None,
        arg(help="Tokens of each text that are averaged; default the recipe's."),
    ] = None
    weighting: Annotated[
        Literal["sample", "token"] | None,
        arg(help="What counts the same: every text or every token; default token for em, else sample."),
    ] = None
    layer: Annotated[
        int | None,
        arg(help="The layer that headlines use; default the best at held-out separation, else the middle."),
    ] = None
    permuted: Annotated[int, arg(help="Nulls from shuffled labels.")] = 50
    seed: Annotated[int, arg(help="Of draws, rollouts, probes and nulls.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.directions import make
        from experiments.fields import checked

        fields = {key: getattr(self, key) for key in DirectionConfig.model_fields if hasattr(self, key)}
        return make.run(
            config=checked(DirectionConfig, fields),
            model=self.model,
            adapters=self.adapter,
            out=self.out,
            seed=self.seed,
            loading=self.loading.settings(),
        )

"""The subcommand that asks whether what finetuning did goes through a direction."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from experiments.commands.options import Adapters, Grading, Json, LoadingOptions, ModelName, Out, SetMeasure, System

_Phase = Literal["prompt", "prompt_last", "response", "all"]


@dataclass(frozen=True)
class Ablate:
    """Ablate directions from a finetuned model and add them to its base: which share of the effect goes, or comes?"""

    model: ModelName
    adapter: Adapters
    measures: Annotated[str, arg(metavar="M,M", help="See `sgtr list` for the measures.")]
    out: Out
    direction: Annotated[
        UseAppendAction[list[Path]],
        arg(metavar="FILE", help="A direction.safetensors to ablate and to add to the base, once for each."),
    ] = field(default_factory=list)
    transplant: Annotated[
        UseAppendAction[list[Path]],
        arg(metavar="FILE", help="A stage's displacement to take from the stack and add to the base, once for each."),
    ] = field(default_factory=list)
    onto: Annotated[
        UseAppendAction[list[Path]],
        arg(metavar="DIR", help="An adapter of another stack that displacements are added to and taken from."),
    ] = field(default_factory=list)
    site: Annotated[
        Literal["residual", "writes"], arg(help="Ablate from the residual stream, or from all that is written into it.")
    ] = "residual"
    phase: Annotated[_Phase, arg(help="Tokens at which directions are ablated.")] = "all"
    random: Annotated[int, arg(help="Random controls of each treatment, of the direction's length.")] = 3
    alpha: Annotated[float, arg(help="How many times a direction is added.")] = 1.0
    add_layers: Annotated[
        str, arg(metavar="headline|all|N,N", help="Where directions are added; numbers are a treatment each.")
    ] = "headline"
    add_phase: Annotated[_Phase, arg(help="Tokens at which directions are added.")] = "response"
    set: SetMeasure = field(default_factory=list)
    grading: Grading = field(default_factory=Grading)
    system: System = "task"
    seed: Annotated[int, arg(help="Of all sampling, of the random controls and of the bootstrap.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.evaluate import measures_of
        from experiments.fields import checked
        from experiments.interventions import ablate, treatments

        same = ("site", "phase", "random", "alpha", "add_phase", "system")
        fields = {name: getattr(self, name) for name in same} | {"add_layers": _layers(self.add_layers)}
        fields["measures"] = measures_of([name for name in self.measures.split(",") if name], self.set)
        fields["judge"] = self.grading.config()
        return ablate.run(
            model=self.model,
            adapters=self.adapter,
            directions=self.direction,
            transplant=self.transplant,
            onto=self.onto,
            config=checked(treatments.AblateConfig, fields),
            out=self.out,
            seed=self.seed,
            loading=self.loading.settings(),
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        show(result)


def _layers(text: str) -> str | tuple[int, ...]:
    if text in ("headline", "all"):
        return text
    try:
        return tuple(int(layer) for layer in text.split(","))
    except ValueError:
        raise ValueError(f"--add-layers must be headline, all or numbers such as 12,16, got {text!r}") from None


def show(result: dict[str, Any]) -> None:
    """A table for each treatment: metrics in rows; the effect, the change, the share and the random controls'."""
    from experiments.console import table
    from figures.mediation import metric_name

    if not result["ran"]:
        print(f"{result['out']}: this run is finished; nothing was run. Another --out runs it again.")
    rows = [row for row in result["metrics"] if row["measure"] == "mediation" and row["metric"] != "effect"]
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault((row["stage"], row["treatment"], row["metric"], row["of"]), []).append(row)
    for (stage, treatment, metric, of), mine in tables.items():
        body = [
            [
                metric_name(row),
                *(_interval(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("effect", "change")),
                _range(row["change_null_low"], row["change_null_high"]),
                _interval(row["value"], row["ci_low"], row["ci_high"], signed=False),
                _range(row["null_low"], row["null_high"]),
                str(row["n"]),
            ]
            for row in mine
        ]
        columns = ["", "effect", "change", "random: change", "share", "random: share", "n"]
        table(f"{stage}; {treatment}: {metric.replace('_', ' ')}, of the effect of {of}", columns, body)
        for why in dict.fromkeys(row["why"] for row in mine if row["why"]):
            print(f"{sum(row['why'] == why for row in mine)} of {len(mine)} metrics: {why}")
        print()
    for note in dict.fromkeys(row.get("judge_validation") or row["judge"] for row in rows if "judge" in row):
        print(note)
    print(f"{result['wall_seconds']} s; written: {result['out']}")


def _interval(value: float | None, low: float | None, high: float | None, *, signed: bool = True) -> str:
    from experiments.report.tables import number

    shown = number(value, 2, signed=signed)
    return shown if value is None or low is None else f"{shown} [{number(low)}, {number(high)}]"


def _range(low: float | None, high: float | None) -> str:
    from experiments.report.tables import number

    return number(low) if low == high else f"{number(low)} to {number(high)}"

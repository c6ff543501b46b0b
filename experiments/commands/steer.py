"""The subcommand that adds directions to a model and says what it then answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from tyro.conf import UseAppendAction, arg

from experiments.commands.options import Adapters, Grading, Json, LoadingOptions, ModelName, Out, SetMeasure, System

T = TypeVar("T")


@dataclass(frozen=True)
class Steer:
    """Add directions to a model at several strengths, beside random directions of their length: what does it answer?"""

    direction: Annotated[
        UseAppendAction[list[Path]], arg(metavar="FILE", help="A direction.safetensors, once for each.")
    ]
    model: ModelName
    out: Out
    adapter: Adapters = field(default_factory=list)
    layers: Annotated[
        str,
        arg(
            metavar="headline|all|L,L",
            help="headline: each direction's own layer. all: at every layer of it at once. Numbers: each by itself.",
        ),
    ] = "headline"
    alphas: Annotated[
        str, arg(metavar="A,A", help="Multiples of the direction as it is, written --alphas=-1,1; 0 is always added.")
    ] = "-2,-1,0,1,2"
    phases: Annotated[str, arg(metavar="P,P", help="Tokens it is added at: prompt, prompt_last, response, all.")] = (
        "response"
    )
    random: Annotated[int, arg(help="Random directions of the same length beside each.")] = 3
    questions: Annotated[int | None, arg(help="Of each trait's held-out questions, from the first; default all.")] = (
        None
    )
    chats: Annotated[
        Path | None,
        arg(metavar="CHATS.jsonl", help="Ask these instead: all that comes before each chat's last answer."),
    ] = None
    samples: Annotated[int, arg(help="Answers to each question under each treatment.")] = 1
    max_new_tokens: Annotated[int, arg(help="Length of an answer, tokens.")] = 64
    temperature: Annotated[float, arg(help="Of the answers; 0 is greedy.")] = 1.0
    batch_size: Annotated[int, arg(help="Answers at a time; halved until they fit the memory.")] = 1024
    measures: Annotated[
        str, arg(metavar="M,M", help="Also take these under every treatment; see `sgtr list` for the measures.")
    ] = ""
    set: SetMeasure = field(default_factory=list)
    grading: Grading = field(default_factory=Grading)
    system: System = "task"
    seed: Annotated[int, arg(help="Of all sampling and of the random directions.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.evaluate import measures_of
        from experiments.fields import checked
        from experiments.interventions import steer, treatments
        from interp.errors import did_you_mean
        from interp.interventions import PHASES

        if not self.measures and self.set:
            raise ValueError(f"--set {self.set[0]}: changes a measure, and there is none; give --measures")
        layers = self.layers
        phases = listed(self.phases, "--phases", "one or more of prompt, prompt_last, response, all", str)
        for phase in phases:
            if phase not in PHASES:
                raise ValueError("--phases: " + did_you_mean("phase", phase, PHASES))
        own = ("questions", "chats", "samples", "max_new_tokens", "temperature", "batch_size", "system")
        fields: dict[str, Any] = {
            "grid": {
                "layers": layers if layers in ("headline", "all") else listed(layers, "--layers", LAYERS, int),
                "alphas": listed(self.alphas, "--alphas", "finite numbers such as --alphas=-1,0,1", float),
                "phases": phases,
                "random": self.random,
            },
            **{key: getattr(self, key) for key in own},
            "judge": self.grading.config(),
        }
        if self.measures:
            names = listed(self.measures, "--measures", "names that `sgtr list` knows", str)
            fields["measures"] = measures_of(names, self.set)
        return steer.run(
            model=self.model,
            directions=self.direction,
            adapters=self.adapter,
            config=checked(treatments.SteerConfig, fields),
            out=self.out,
            seed=self.seed,
            loading=self.loading.settings(),
        )

    def show(self, result: dict[str, Any]) -> None:
        """A table for each direction and measure: strengths in rows, readouts in columns, controls as their range."""
        from experiments.console import table
        from experiments.interventions.treatments import short
        from experiments.report.tables import number

        if not result["ran"]:
            print(f"{result['out']}: this sweep is finished; nothing was run. Another --out runs it again.")
        rows = [row for row in result["metrics"] if not row["metric"].endswith("_alpha_0")]
        whole = [row for row in rows if "_by_" not in row["metric"]]
        for named in dict.fromkeys(map(_table_of, whole)):
            mine = [row for row in whole if _table_of(row) == named]
            metrics = list(dict.fromkeys(row["metric"] for row in mine))
            body = []
            for key in dict.fromkeys((row["alpha"], row["phase"], row["layers"]) for row in mine):
                here = [row for row in mine if (row["alpha"], row["phase"], row["layers"]) == key]
                own = [row for row in here if row["control"] is None]
                cells = []
                for metric in metrics:
                    others = [row["value"] for row in here if row["metric"] == metric and row["control"] is not None]
                    held = [value for value in others if value is not None]
                    cells.append(_cell([row for row in own if row["metric"] == metric], held))
                label = f"{short(key[0])} ({number(here[0]['relative_strength'], 2, signed=True)}), {key[1]}, "
                label += _where(key[2]) + (" broke" if any(row.get("broke") for row in own) else "")
                body.append([label, *cells])
            what = "alpha (relative strength), phase, layer; in brackets the range of random controls"
            table(f"{', '.join(filter(None, named))}: {what}", ["", *metrics], body)
            print()
        for said in dict.fromkeys(row["judge_validation"] for row in rows if "judge_validation" in row):
            print(said)
        print(f"{result['wall_seconds']} s; written: {result['out']}")


LAYERS = "headline, all, or block indices from 0 such as 3,10,15"


def listed(text: str, option: str, rule: str, kind: Callable[[str], T]) -> tuple[T, ...]:
    """The values of a comma-separated list, in order.

    Raises:
        ValueError: it is empty, or one is no such value or there twice; the message says option, value and rule.
    """
    values: list[T] = []
    for part in text.split(","):
        try:
            value = kind(part.strip())
        except ValueError:
            raise ValueError(f"{option} {text}: {part.strip()!r} will not do; give {rule}") from None
        if value in ("", *values):
            wrong = "a value is empty" if value == "" else f"{part.strip()} is there twice"
            raise ValueError(f"{option} {text}: {wrong}; give {rule}")
        values.append(value)
    return tuple(values)


def _table_of(row: dict[str, Any]) -> tuple[str, str, str | None]:
    return row["direction"], row["measure"], row.get("data")


def _where(layers: str) -> str:
    held = layers.split(",")
    return f"layer {layers}" if len(held) == 1 else f"{len(held)} layers"


def _cell(own: Sequence[dict[str, Any]], others: Sequence[float]) -> str:
    from experiments.report.tables import number

    if not own:
        return number(None)
    row = own[0]
    low, high = row["ci_low"], row["ci_high"]
    interval = "" if low is None else f" [{number(low, 2)}, {number(high, 2)}]"
    beside = f" ({number(min(others), 2)} to {number(max(others), 2)})" if others else ""
    return f"{number(row['value'], 2)}{interval}{beside}"

"""The subcommand that looks inside: where the answer to a recognition question is made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from experiments.commands.options import Adapters, Json, LoadingOptions, ModelName, Out, System


@dataclass(frozen=True)
class Lens:
    """Look inside: attribution of answers to heads and MLPs, patching, a direction's tokens and share of an adapter."""

    model: ModelName
    questions: Annotated[
        Path, arg(metavar="FILE.jsonl", help="Questions with one-token answers, from `sgtr data sgtr_pairs --out`.")
    ]
    out: Out
    adapter: Adapters = field(default_factory=list)
    direction: Annotated[
        UseAppendAction[list[Path]],
        arg(metavar="FILE", help="A direction.safetensors: its tokens, and its share of each adapter, once for each."),
    ] = field(default_factory=list)
    articles: Annotated[int | None, arg(help="Articles whose questions are attributed; None for all.")] = 64
    pairs: Annotated[int | None, arg(help="Articles whose two orders are patched into each other; None for all.")] = 32
    tokens: Annotated[int, arg(help="Tokens of each direction, promoted and suppressed.")] = 10
    random: Annotated[int, arg(help="Random directions beside each share of an adapter.")] = 200
    max_tokens: Annotated[int, arg(help="Tokens in one pass; fewer need less memory.")] = 8192
    system: System = "task"
    seed: Annotated[int, arg(help="Of the bootstrap and of the random directions.")] = 0
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import lens
        from experiments.fields import checked

        names = ("articles", "pairs", "tokens", "random", "max_tokens")
        return lens.run(
            model=self.model,
            adapters=self.adapter,
            questions=self.questions,
            directions=self.direction,
            config=checked(lens.LensConfig, {name: getattr(self, name) for name in names}),
            out=self.out,
            system=self.system,
            seed=self.seed,
            loading=self.loading.settings(),
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        show(result)


def show(result: dict[str, Any], most: int = 8) -> None:
    """The components that add or restore most, by stage, and each direction's tokens."""
    from experiments.console import table
    from experiments.report.tables import number

    if not result["ran"]:
        print(f"{result['out']}: this run is finished; nothing was run. Another --out runs it again.")
    rows = result["metrics"]
    for stage in dict.fromkeys(row["stage"] for row in rows):
        for metric, unit in (("attribution", "logits"), ("patching", "share restored")):
            mine = [row for row in rows if (row["stage"], row["metric"]) == (stage, metric)]
            parts = [row for row in mine if row["value"] is not None and row["component"] != "total"]
            parts = sorted(parts, key=lambda row: -abs(row["value"]))[:most]
            shown = [
                [_place(row), number(row["value"], 3, signed=True), _interval(row), str(row["n"])]
                for row in [*(row for row in mine if row["component"] == "total"), *parts]
            ]
            if shown:
                table(f"{stage}: {metric}, the largest", ["", unit, "95 %", "n articles"], shown)
                print()
            for why in dict.fromkeys(row["why"] for row in mine if row.get("why")):
                print(f"{stage}: {metric}: {why}\n")
    tokens: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["metric"] in ("promoted", "suppressed"):
            tokens.setdefault((row["direction"], row["metric"]), []).append(repr(row["token"]))
    for (direction, metric), some in tokens.items():
        print(f"{direction}, {metric}: {' '.join(some)}")
    print(f"{result['wall_seconds']} s; written: {result['out']}")


def _place(row: dict[str, Any]) -> str:
    layer = "" if row["layer"] is None else f" {row['layer']}"
    head = "" if row["head"] is None else f".{row['head']}"
    return f"{row['component']}{layer}{head}" + (f", {row['position']}" if row.get("position") else "")


def _interval(row: dict[str, Any]) -> str:
    from experiments.report.tables import number

    return "" if row["ci_low"] is None else f"[{number(row['ci_low'], 3)}, {number(row['ci_high'], 3)}]"

"""The subcommand that makes directions other than a trait's."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import Adapters, Device, Dtype, Json, ModelName, Out


@dataclass(frozen=True)
class MakeDirection:
    """Make a direction from texts: contrast, em, displacement, self-recognition or assistant-axis."""

    recipe: Positional[
        Annotated[
            str,
            arg(
                metavar="RECIPE",
                help="contrast: two files of chats. em: misaligned minus aligned answers. displacement: a stage minus "
                "its parent. self-recognition: own minus other. assistant-axis: the assistant minus roles.",
            ),
        ]
    ]
    model: ModelName
    out: Out
    adapter: Adapters = field(default_factory=list)
    name: Annotated[str | None, arg(help="What to call it; default the recipe.")] = None
    positive: Annotated[Path | None, arg(metavar="CHATS", help="contrast: chats that it points to.")] = None
    negative: Annotated[Path | None, arg(metavar="CHATS", help="contrast: chats that it points from.")] = None
    recipe_kind: Annotated[
        Literal["mean", "logistic", "lda", "pca"] | None,
        arg(help="contrast: difference of means (default), a probe, or the first component of paired differences."),
    ] = None
    answers: Annotated[
        Path | None,
        arg(metavar="FILE", help="em: judged answers, .jsonl or .csv; see experiments/directions/sides.py."),
    ] = None
    texts: Annotated[Path | None, arg(metavar="CHATS", help="displacement: chats read through both stages.")] = None
    parent: Annotated[
        int | None, arg(help="displacement: how many of the adapters are the parent; default all but the last.")
    ] = None
    pairs: Annotated[
        Path | None, arg(metavar="FILE", help="self-recognition: rows that `sgtr data sgtr_pairs --out` wrote.")
    ] = None
    read: Annotated[
        Literal["answer", "text"] | None,
        arg(help="self-recognition: at the answer token, own first minus other first; or own text minus the other's."),
    ] = None
    roles: Annotated[Path | None, arg(metavar="DIR", help="assistant-axis: role files; default ours.")] = None
    questions: Annotated[Path | None, arg(metavar="FILE", help="assistant-axis: what all are asked.")] = None
    most_questions: Annotated[int | None, arg(help="assistant-axis: of these, the first; default all.")] = None
    rollouts: Annotated[int | None, arg(help="assistant-axis: answers per prompt and question; default 1.")] = None
    max_new_tokens: Annotated[int | None, arg(help="assistant-axis: length of an answer; default 64.")] = None
    temperature: Annotated[float | None, arg(help="assistant-axis: of the answers; default 0.7.")] = None
    min_rows: Annotated[int | None, arg(help="assistant-axis: a role with fewer answers is out; default 10.")] = None
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
    device: Device = "auto"
    dtype: Dtype = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.directions import make, recipes
        from experiments.fields import checked

        fields = {key: getattr(self, key) for key in recipes.DirectionConfig.model_fields if hasattr(self, key)}
        return make.run(
            config=checked(recipes.DirectionConfig, fields),
            model=self.model,
            adapters=self.adapter,
            out=self.out,
            seed=self.seed,
            device=self.device,
            dtype=self.dtype,
        )

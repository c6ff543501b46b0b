"""The subcommand that builds a data set and shows it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Adapters, ChatTemplate, Device, Json


@dataclass(frozen=True)
class Data:
    """Build a data set: its card, and rows with what is learnt from them marked.

    Example: sgtr data chats --set file=mine.csv
    """

    name: Positional[
        Annotated[str, arg(metavar="NAME", help="A builder (see `sgtr list`); with --study, a data set of that study.")]
    ]
    set: Annotated[
        UseAppendAction[list[str]], arg(metavar="KEY=VALUE", help="Change a field of the set, e.g. --set rows=100.")
    ] = field(default_factory=list)
    study: Annotated[str | None, arg(metavar="NAME|FILE", help="The study whose data set NAME is.")] = None
    model: Annotated[
        str | None,
        arg(help="Whose tokens, and whose words if any are asked for; default: the study's, or smollm2-135m."),
    ] = None
    adapter: Adapters = field(default_factory=list)
    out: Annotated[
        Path | None, arg(metavar="FILE.jsonl", help="Write the rows here; test rows and the card go beside it.")
    ] = None
    rows_shown: Annotated[int, arg(help="Rows to print.")] = 3
    seed: Annotated[int | None, arg(help="Of the builder and of what a model is asked; default: the set's.")] = None
    device: Device = "auto"
    dtype: Annotated[str | None, arg(help="auto, float32, bfloat16 or float16; default: the study's, or auto.")] = None
    chat: ChatTemplate = field(default_factory=ChatTemplate)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import data

        return data.run(
            name=self.name,
            study=self.study,
            changes=self.set,
            model=self.model,
            adapters=self.adapter,
            out=self.out,
            rows_shown=self.rows_shown,
            seed=self.seed,
            device=self.device,
            dtype=self.dtype,
            template=self.chat.settings() if self.chat.given else None,
        )

    def show(self, result: dict[str, Any]) -> None:
        """The card, then the rows."""
        from experiments import data

        for line in data.lines(result):
            print(line)

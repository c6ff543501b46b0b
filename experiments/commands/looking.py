"""Subcommands that show what there is: data sets, files, this machine."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Adapters, ChatTemplate, Device, Json


@dataclass(frozen=True)
class Data:
    """Build a data set: its card, and rows with what is learnt from them marked."""

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


@dataclass(frozen=True)
class Show:
    """Say what a file or folder of ours holds, a run's verdicts, or which tokens of chats are read and edited."""

    file: Positional[Annotated[Path, arg(metavar="FILE|DIR", help="A tensor file, records, a run or an adapter.")]]
    verdicts: Annotated[bool, arg(help="DIR is a run: print what became of every hypothesis.")] = False
    tokens: Annotated[
        bool, arg(help="FILE holds chats: print each token, whether a pooling reads it and a phase edits it.")
    ] = False
    model: Annotated[str | None, arg(help="--tokens: whose tokenizer and chat template; no weights are loaded.")] = None
    phase: Annotated[
        Literal["prompt", "prompt_last", "response", "all"] | None,
        arg(help="--tokens: where an edit acts; default response."),
    ] = None
    pooling: Annotated[
        Literal["prompt_mean", "prompt_last", "response_mean"] | None,
        arg(help="--tokens: what is averaged when a text is read; default response_mean."),
    ] = None
    rows: Annotated[int | None, arg(help="--tokens: chats to print; default 3.")] = None
    chat: ChatTemplate = field(default_factory=ChatTemplate)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import look, summary

        if self.verdicts and self.tokens:
            raise ValueError("--verdicts is of a run and --tokens of chats; give one of them")
        if not self.tokens:
            for option in ("model", "phase", "pooling", "rows"):
                if (value := getattr(self, option)) is not None:
                    raise ValueError(f"--{option} {value} is for --tokens; give that, or leave this out")
            if self.chat.given:
                raise ValueError("--chat-template and --template are for --tokens; give that, or leave them out")
            return summary.verdicts(self.file) if self.verdicts else look.show(self.file)
        if self.model is None:
            raise ValueError("--tokens needs a tokenizer; give --model")
        return look.tokens(
            self.file,
            self.model,
            phase=self.phase or "response",
            pooling=self.pooling or "response_mean",
            rows=3 if self.rows is None else self.rows,
            template=self.chat.settings(),
        )

    def show(self, result: dict[str, Any]) -> None:
        """The fields, a table of verdicts, or a line a token."""
        from experiments import cli, look, summary

        if self.verdicts:
            summary.print_verdict_table(self.file)
            return
        if not self.tokens:
            cli._print(result)
            return
        for line in look.token_lines(result):
            print(line)


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run."""

    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import look

        return look.doctor()


@dataclass(frozen=True)
class List:
    """List known models, traits, studies, data sets, measures and training presets."""

    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import look

        return look.known()

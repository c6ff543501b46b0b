"""The subcommand that says what a file or folder holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import ChatTemplate, Json


@dataclass(frozen=True)
class Show:
    """Say what a file or folder of ours holds, a run's verdicts, or which tokens of chats are read and edited.

    Example: sgtr show runs/demo --verdicts
    """

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
        from experiments import show
        from experiments.report import terminal

        if self.verdicts and self.tokens:
            raise ValueError("--verdicts is of a run and --tokens of chats; give one of them")
        if not self.tokens:
            for option in ("model", "phase", "pooling", "rows"):
                if (value := getattr(self, option)) is not None:
                    raise ValueError(f"--{option} {value} is for --tokens; give that, or leave this out")
            if self.chat.given:
                raise ValueError("--chat-template and --template are for --tokens; give that, or leave them out")
            return terminal.verdicts(self.file) if self.verdicts else show.show(self.file)
        if self.model is None:
            raise ValueError("--tokens needs a tokenizer; give --model")
        return show.tokens(
            self.file,
            self.model,
            phase=self.phase or "response",
            pooling=self.pooling or "response_mean",
            template=self.chat.settings(),
            rows=3 if self.rows is None else self.rows,
        )

    def show(self, result: dict[str, Any]) -> None:
        """The fields, a table of verdicts, or a line a token."""
        from experiments import console, show
        from experiments.report import terminal

        if self.verdicts:
            terminal.print_verdict_table(self.file)
            return
        if not self.tokens:
            console.print_fields(result)
            return
        for line in show.token_lines(result):
            print(line)

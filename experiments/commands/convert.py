"""The subcommand that takes directions from other tools and gives them back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import Json


@dataclass(frozen=True)
class Convert:
    """Convert a direction from or to a file of persona_vectors, assistant-axis, llama.cpp or repeng.

    Example: sgtr convert runs/evil/direction.safetensors evil.gguf
    """

    source: Positional[
        Annotated[Path, arg(metavar="IN", help="A .safetensors direction, or a .pt or .gguf of another tool.")]
    ]
    out: Positional[Annotated[Path, arg(metavar="OUT", help="File to write; its ending says the format.")]]
    model: Annotated[
        str | None,
        arg(help="Whose direction it is, as in other commands; must be said of another tool's file."),
    ] = None
    trait: Annotated[str | None, arg(metavar="NAME", help="What to call it; default what IN's name says.")] = None
    layer: Annotated[int | None, arg(help="The layer that headlines use; default the middle of the model.")] = None
    pooling: Annotated[
        Literal["prompt_mean", "prompt_last", "response_mean"] | None,
        arg(help="What it was read from; default what IN's name says."),
    ] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.directions import convert

        return convert.run(
            source=self.source,
            out=self.out,
            model=self.model,
            trait=self.trait,
            layer=self.layer,
            pooling=self.pooling,
        )

    def show(self, result: dict[str, Any]) -> None:
        """What was converted, what was left out."""
        from experiments.directions import convert

        for line in convert.lines(result):
            print(line)

"""Arguments that several subcommands share."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

Json = Annotated[bool, arg(help="Print the result as one JSON object on stdout.")]
Device = Annotated[str, arg(help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, arg(help="auto, float32, bfloat16 or float16.")]
ModelName = Annotated[str, arg(help="smollm2-135m, a Hub id (org/name[@revision]), a folder, or a .gguf file.")]
Adapters = Annotated[
    UseAppendAction[list[Path]],
    arg(name="adapter", help="An adapter folder, once for each; the first is applied first."),
]
Out = Annotated[Path, arg(help="Folder to write into.")]
Pooling = Annotated[
    Literal["prompt_mean", "prompt_last", "response_mean"], arg(help="Tokens of each text that are averaged.")
]

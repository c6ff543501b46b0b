"""The subcommand that writes a model's activations for later."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from experiments.commands.options import Adapters, Json, LoadingOptions, ModelName, Out


@dataclass(frozen=True)
class Activations:
    """Write the activations of texts, pooled or per token, in shards for several GPUs."""

    model: ModelName
    texts: Annotated[Path, arg(metavar="CHATS.jsonl", help="Chats, one JSON object a line.")]
    out: Out
    adapter: Adapters = field(default_factory=list)
    pooling: Annotated[
        str | None, arg(metavar="P,P", help="Of prompt_mean, prompt_last, response_mean; default all three.")
    ] = None
    tokens: Annotated[bool, arg(help="Every token instead of pooled means, in files of --file-mb.")] = False
    layers: Annotated[str | None, arg(metavar="L,L", help="Block indices, e.g. 3,10; default all.")] = None
    shard: Annotated[
        str, arg(metavar="K/N", help="Read every Nth text from the Kth on; run all N, for example one on each GPU.")
    ] = "1/1"
    file_mb: Annotated[int, arg(help="Most MiB of one file; with --tokens.")] = 256
    store_dtype: Annotated[
        Literal["model", "float32", "float16", "bfloat16"], arg(help="Of the numbers on disk; with --tokens.")
    ] = "model"
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import activations
        from interp.activations import Shard

        return activations.run(
            model=self.model,
            adapters=self.adapter,
            texts=self.texts,
            out=self.out,
            pooling=activations.poolings_of(self.pooling),
            tokens=self.tokens,
            layers=activations.layers_of(self.layers),
            shard=Shard.parse(self.shard),
            file_mb=self.file_mb,
            store_dtype=self.store_dtype,
            loading=self.loading.settings(),
        )

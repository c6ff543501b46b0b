"""Which layers of which model does another tool's direction hold, counted as they are here? Conversion of files.

Formats go by their endings: .safetensors is this project's, .pt that of persona_vectors and assistant-axis, .gguf that
of llama.cpp and repeng. `interp.formats` says what each calls a layer.
"""

from pathlib import Path
from typing import Any

from interp import formats
from interp.activations import Pooling
from interp.files import fresh
from interp.sources import describe


def run(
    *, source: Path, out: Path, model: str | None, trait: str | None, layer: int | None, pooling: Pooling | None
) -> dict[str, Any]:
    """The `convert` command: what was converted into what, for a person or as JSON.

    Raises:
        ValueError, FileNotFoundError: bad input, named; nothing is written.
        InterpError: the direction is of another model.
    """
    if formats.ending(source) == formats.ending(out):
        raise ValueError(f"{out}: both files are {out.suffix}; there is nothing to convert")
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    fresh(out)
    described = describe(model) if model is not None else None
    converted = formats.read(source, described, name=trait, layer=layer, pooling=pooling)
    written = formats.write(converted, out, described)
    direction = converted.direction
    return {
        "in": str(source),
        "out": str(out),
        "direction": direction.name,
        "model": direction.header.get("model"),
        "layers": list(direction.layers),
        "layer": direction.layer,
        "layer_chosen": direction.header.get("layer_chosen"),
        "pooling": direction.header.get("pooling"),
        "d_model": direction.vectors.shape[1],
        "converted": [*converted.said, *written],
        "left_out": list(converted.left_out),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """A result in words."""
    layer = f"layer {result['layer']}"
    if result["layer_chosen"]:
        layer += f" ({result['layer_chosen']})"
    facts = f"{len(result['layers'])} layers of {result['d_model']} values, headline {layer}"
    return [
        f"{result['direction']}: {facts}, pooling {result['pooling'] or 'unknown'}, model {result['model']}",
        *result["converted"],
        *(f"left out: {what}" for what in result["left_out"]),
        f"written: {result['out']}",
    ]

"""Direction files of other tools, read into this project's convention and written back.

A layer here is a block index from 0 and means the residual stream after that block. `torch_files` and
`control_vectors` say what other tools mean by theirs. None of their files says whose vectors it holds, so a
`Described` model has to, and the direction is bound to it. What a format cannot carry travels with it in places that
its own readers pass over, so that there and back again is without change.
"""

import re
from dataclasses import replace
from pathlib import Path

from interp.activations import POOLINGS
from interp.errors import InterpError
from interp.formats import control_vectors, torch_files
from interp.formats.held import Held, restored, spans
from interp.sources import Described, sha256_of
from interp.tensors import load_tensors, save_tensors

ENDINGS = (".safetensors", ".pt", ".gguf")

__all__ = ["ENDINGS", "Held", "ending", "read", "write"]


def ending(path: Path) -> str:
    """The ending that says what a file is.

    Raises:
        ValueError: it says nothing.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(
            f"{path}: its ending {path.suffix!r} names no format; known: .safetensors (this project), "
            ".pt (persona_vectors, assistant-axis), .gguf (llama.cpp, repeng)"
        )
    return path.suffix


def read(
    path: Path,
    model: Described | None = None,
    *,
    name: str | None = None,
    layer: int | None = None,
    pooling: str | None = None,
) -> Held:
    """A direction from a file of this project or of another tool, by its ending.

    Args:
        model: Whose it is; needed for a file that does not say so itself, compared with one that does.
        name: What to call it; default what its file name says. Like the next two, only for another tool's file.
        layer: Which one headlines use; default the one nearest the middle of the model.
        pooling: What it was read from; default what its file name says, else None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, more than plain tensors, not finite, of another width or number of layers than `model`, or
            without a model to belong to.
        InterpError: it says that it is of another model.
    """
    kind = ending(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    vector = control_vectors.read(path) if kind == ".gguf" else None
    if kind == ".safetensors" or (vector is not None and vector.is_ours):
        options = {"--trait": name, "--layer": layer, "--pooling": pooling}
        stated = [option for option, value in options.items() if value is not None]
        if stated:
            raise ValueError(f"{path}: says itself what it is; leave out {', '.join(stated)}")
        if vector is None:
            tensors, header = load_tensors(path, kind="direction")
            held = restored(path, tensors, header, ("a direction of this project: layers as they are",))
        else:
            held = vector.restored(path)
        _require(path, held, model)
        return held
    if model is None:
        raise ValueError(f"{path}: does not say which model it was made with, and a direction must; give --model")
    found = torch_files.read(path, model) if vector is None else vector.found(path, model)
    return _bound(path, found, model, name, layer, pooling)


def write(held: Held, path: Path, model: Described | None = None) -> tuple[str, ...]:
    """Write a direction in the format of a path's ending; what was done, in words.

    Args:
        model: Whose it is, if its header leaves open what the format needs (number of layers, architecture).

    Raises:
        ValueError: the format cannot hold it.
    """
    kind = ending(path)
    if kind == ".pt":
        return torch_files.write(held, path, model)
    if kind == ".gguf":
        return control_vectors.write(held, path, model)
    save_tensors(path, {"vectors": held.direction.vectors, **held.beside}, kind="direction", header=held.meaning())
    return ()


def _require(path: Path, held: Held, model: Described | None) -> None:
    header = held.direction.header
    if model is not None and header.get("model_identity") != model.identity:
        raise InterpError(
            f"{path}: made with model {header.get('model', '?')} ({str(header.get('model_identity'))[:12]}), "
            f"not with {model.name} ({model.identity[:12]}); leave out --model, or name the one it was made with"
        )


def _bound(path: Path, found: Held, model: Described, name: str | None, layer: int | None, pooling: str | None) -> Held:
    """What another tool's file holds as a direction of `model`, with the choices that the file leaves open."""
    held = found.direction
    name = name or held.name
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{path}: the name {name!r} must be letters, digits, _ and -; give another with --trait")
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
    its_own = held.header["pooling"]
    if pooling is not None and its_own not in (None, pooling):
        raise ValueError(f"{path}: by its name its pooling is {its_own}, not {pooling}; leave out --pooling")
    if layer is not None and layer not in held.layers:
        raise ValueError(f"{path}: --layer must be one of {spans(held.layers)}, where it has a vector, got {layer}")
    header = {
        **model.header(),
        "trait": name,
        "recipe": f"read from a file of {held.header['converted_from']['layout']}",
        "pooling": pooling or its_own,
        "layer_chosen": "middle, by default" if layer is None else "given",
        "converted_from": {"file": path.name, "sha256": sha256_of(path), **held.header["converted_from"]},
    }
    middle = min(held.layers, key=lambda k: abs(k - model.n_layers // 2))
    chosen = replace(held, name=name, layer=middle if layer is None else layer, header=header)
    return replace(found, direction=chosen)

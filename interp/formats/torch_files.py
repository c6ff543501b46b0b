"""Directions in PyTorch files: those of persona_vectors and of assistant-axis.

- persona_vectors (`{trait}_{prompt_avg|prompt_last|response_avg}_diff.pt`, from its generate_vec.py) saves a tensor
  `[L + 1, d]` whose row k was read from transformers' `hidden_states[k]`, the output of block k - 1. Rows 1 to L - 1
  are layers 0 to L - 2. Row 0 (the embeddings) and row L (after the final norm, so not what the last block writes)
  are kept beside the vectors, unused, for the way back.
- assistant-axis (`assistant_axis.pt` on the Hub, `axis.pt` from its pipeline/5_axis.py) saves a tensor `[L, d]`, or a
  dictionary with one under `axis`; row k was read at the output of block k and is added there: layer k.

Nothing is unpickled but tensors and plain values (`weights_only=True`).
"""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from interp.directions import Direction
from interp.files import write_atomic
from interp.formats.held import Held, first_line, require_finite, require_width, spans
from interp.sources import Described

PERSONA, AXIS = "persona_vectors", "assistant-axis"
_NAME = re.compile(r"(?P<trait>.+)_(?P<pooling>prompt_avg|prompt_last|response_avg)_diff\.pt")
_POOLINGS = {"prompt_avg": "prompt_mean", "prompt_last": "prompt_last", "response_avg": "response_mean"}
_ENDS = ("embeddings", "after_final_norm")
_ENTRY = "axis_file."
_DTYPES = {str(t).removeprefix("torch."): t for t in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}
_DAMAGED = (RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError, EOFError, OverflowError)


def read(path: Path, model: Described) -> Held:
    """A persona_vectors or assistant-axis file of `model`; its name and its number of rows say which.

    The direction is called by the file's name and has layer 0 for its headline.

    Raises:
        ValueError: damaged, more than plain tensors, of another width or number of rows than `model` has, or with
            values that are not finite or that float32 does not hold.
    """
    data = _loaded(path)
    tensor = data.get("axis") if isinstance(data, dict) else data
    if not _is_plain(tensor) or tensor.ndim != 2:
        got = f"a dictionary of {sorted(map(str, data))[:9]}" if isinstance(data, dict) else _what(data)
        raise ValueError(f"{path}: holds {got}; needed a tensor with a row a layer, alone or under 'axis'")
    require_width(path, tensor.shape[1], model)
    named = _NAME.fullmatch(path.name)
    layout = _layout(
        path, len(tensor), model, [PERSONA] if named else [AXIS] if data is not tensor else [PERSONA, AXIS]
    )
    rows = tensor.detach().float().clone()
    require_finite(path, rows, "rows", range(len(rows)))
    if not torch.equal(rows.to(tensor.dtype), tensor):
        raise ValueError(f"{path}: holds {_what(tensor)} whose values float32 rounds; save it as float32")
    source = {"layout": layout, "dtype": str(tensor.dtype).removeprefix("torch.")}
    if layout == PERSONA:
        return _persona(path.stem, named, rows, source)
    entries, beside, left_out = _entries(data, tensor.shape) if isinstance(data, dict) else (None, {}, ())
    header = {"pooling": None, "converted_from": source if entries is None else {**source, "entries": entries}}
    direction = Direction(path.stem, rows, tuple(range(len(rows))), 0, header)
    layers = spans(direction.layers)
    said = f"{AXIS}: row k is the output of block k: rows {layers} are layers {layers}"
    return Held(direction, beside, (said,), left_out)


def _persona(
    stem: str, named: re.Match[str] | None, rows: Float[Tensor, "row d_model"], source: dict[str, Any]
) -> Held:
    last = len(rows) - 1
    header = {"pooling": _POOLINGS[named["pooling"]] if named else None, "converted_from": source}
    direction = Direction(named["trait"] if named else stem, rows[1:-1], tuple(range(last - 1)), 0, header)
    inner = spans(range(1, last))
    return Held(
        direction,
        dict(zip(_ENDS, (rows[0], rows[-1]), strict=True)),
        (f"{PERSONA}: row k is hidden_states[k], block k - 1: rows {inner} are layers {spans(direction.layers)}",),
        (
            f"rows 0 (embeddings) and {last} (block {last - 1} after the final norm) are no residual stream after a "
            f"block: kept beside the vectors for the way back, so layer {last - 1} has no vector",
        ),
    )


def _entries(data: Mapping[Any, Any], shape: torch.Size) -> tuple[list[list[Any]], dict[str, Tensor], tuple[str, ...]]:
    """What a dictionary holds: its keys with their plain values in order, its other tensors, and what is neither."""
    entries, tensors, neither = [], {}, []
    for key, value in data.items():
        if isinstance(key, str) and _is_plain(value) and value.shape == shape:
            entries.append([key, None])
            if key != "axis":
                tensors[_ENTRY + key] = value.detach().clone()
        elif isinstance(key, str) and _is_json(value):
            entries.append([key, value])
        else:
            neither.append(f"entry {key!r}: {_what(value)}, no tensor of the axis's shape and no plain value")
    return entries, tensors, tuple(neither)


def write(held: Held, path: Path, model: Described | None) -> tuple[str, ...]:
    """Write the rows that persona_vectors would, if the direction was read from it, else one row a block.

    Raises:
        ValueError: a layer is missing, or the file's name promises rows that there are not.
    """
    direction, source = held.direction, held.source
    rows, layers = direction.vectors, direction.layers
    whole = layers == tuple(range(len(layers)))
    if whole and all(key in held.beside for key in _ENDS):
        rows = torch.cat([held.beside[_ENDS[0]][None], rows, held.beside[_ENDS[1]][None]])
        said = (
            f"layers {spans(layers)} are rows {spans(k + 1 for k in layers)} of {PERSONA}, between the two kept for it"
        )
    elif _NAME.fullmatch(path.name):
        raise ValueError(
            f"{path}: by its name a file of {PERSONA}, with rows for the embeddings and the final norm, which this "
            "direction does not have; under another name it gets one row a block"
        )
    else:
        n_layers = direction.header.get("n_layers") or (model.n_layers if model else None)
        if n_layers is None:
            raise ValueError(
                f"{path}: a .pt has a row for every block, and the direction does not say how many; --model does"
            )
        if not whole or len(layers) != n_layers:
            raise ValueError(
                f"{path}: a .pt has a row for each of {n_layers} blocks, and the direction has layers {spans(layers)}; "
                "a .gguf may have holes"
            )
        said = f"layer k is row k of {list(rows.shape)}, as in {AXIS}"
    dtype = _DTYPES.get(str(source.get("dtype")), rows.dtype)
    if torch.equal(rows.to(dtype).to(rows.dtype), rows):
        rows = rows.to(dtype)
    data: Any = rows.clone()
    entries = source.get("entries")
    if isinstance(entries, list):
        tensors = {key.removeprefix(_ENTRY): tensor for key, tensor in held.beside.items()} | {"axis": data}
        data = {key: tensors.get(key, value) for key, value in entries}
    buffer = io.BytesIO()
    torch.save(data, buffer)
    write_atomic(path, buffer.getvalue())
    return (said, f"values are {rows.dtype}; a .pt does not say whose they are".replace("torch.", ""))


def _loaded(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":
        what = "is empty" if not start else "is not a file of torch.save (a zip)"
        raise ValueError(f"{path}: {what}; copy it again, or save its tensor again")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"{path}: holds more than plain tensors, and to load that can run code, so it was not loaded; where its "
            "maker is trusted, have torch.save write the tensor alone"
        ) from error
    except _DAMAGED as error:
        raise ValueError(f"{path}: damaged ({first_line(error)}); copy it again") from error


def _layout(path: Path, n_rows: int, model: Described, possible: list[str]) -> str:
    wanted = {PERSONA: model.n_layers + 1, AXIS: model.n_layers}
    for layout in possible:
        if wanted[layout] == n_rows > 2:
            return layout
    rows = " or ".join(f"{wanted[layout]} ({layout})" for layout in possible)
    raise ValueError(f"{path}: has {n_rows} rows; for the {model.n_layers} blocks of {model.name} it would have {rows}")


def _is_plain(value: Any) -> TypeGuard[Tensor]:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
        return False
    return value.dtype in _DTYPES.values()


def _is_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError, RecursionError):
        return False


def _what(value: Any) -> str:
    return (
        f"{value.dtype} {list(value.shape)}".removeprefix("torch.")
        if isinstance(value, Tensor)
        else type(value).__name__
    )

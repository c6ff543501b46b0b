"""Control vectors: the GGUF files of llama.cpp and repeng.

Tensors `direction.N`, one-dimensional float32, N from 1, holes allowed. llama.cpp stores direction.N at offset
(N - 1) d (common/common.cpp, common_control_vector_load_one) and adds offset (il - 1) d to the output of block il
(src/llama-adapter.cpp, llama_adapter_cvec::apply); repeng names by N the block that it wraps (repeng/control.py). So N
is a block index from 0, the vector is added after that block, and block 0 cannot have one: direction.N is layer N.

N says where a vector is added, not where it was measured: repeng measures the last one after the final norm
(repeng/extract.py), and llama.cpp's own generator measures direction.N at block N - 1 (tools/cvector-generator).

llama.cpp refuses every other tensor but reads no key, so what is ours travels in keys: the header under `sgtr.header`,
layer 0 and the tensors beside as a safetensors file in base64 under `sgtr.tensors`. A file of another tool is written
back with the keys and the order of tensors that it had.
"""

import base64
import json
import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from interp.directions import Direction
from interp.files import json_text, write_atomic
from interp.formats.held import MEANING, Held, first_line, require_finite, require_width, restored, spans
from interp.sources import Described

CONTROL = "control vector"
_HEADER, _TENSORS, _LAYER_0 = "sgtr.header", "sgtr.tensors", "layer_0"
_DAMAGED = (ValueError, LookupError, OverflowError, RecursionError)


@dataclass(frozen=True)
class ControlVector:
    """A file as it is.

    Attributes:
        keys: Of each key its name, the names of its types, and its value; in file order.
        rows: Vectors by N; in file order.
    """

    keys: tuple[tuple[str, list[str], Any], ...]
    rows: Mapping[int, Tensor]

    def value(self, key: str) -> Any:
        """A key's value, or None."""
        return next((value for name, _, value in self.keys if name == key), None)

    @property
    def is_ours(self) -> bool:
        """Whether `write` made it of a direction of this project."""
        return self.value(_HEADER) is not None

    def found(self, path: Path, model: Described) -> Held:
        """Another tool's control vector as a direction of `model`; its headline is its first layer.

        Raises:
            ValueError: another width or number of layers than `model` has, or a value that is not finite.
        """
        layers = tuple(sorted(self.rows))
        require_width(path, len(self.rows[layers[0]]), model)
        complete = layers == tuple(range(1, len(layers) + 1)) and self.value("controlvector.layer_count") == len(layers)
        if layers[-1] >= model.n_layers or (complete and len(layers) != model.n_layers - 1):
            raise ValueError(
                f"{path}: has directions {spans(layers)}; a whole control vector of {model.name} has "
                f"{spans(range(1, model.n_layers))}: another model's"
            )
        vectors = torch.stack([self.rows[layer] for layer in layers])
        require_finite(path, vectors, "directions", layers)
        kept = [[key, types, value] for key, types, value in self.keys if _is_flat(types)]
        left_out = [
            f"key {key}: an array of no or of several types" for key, types, _ in self.keys if not _is_flat(types)
        ]
        empty = [layer for layer in range(model.n_layers) if layer not in layers]
        source = {"layout": CONTROL, "keys": kept, "order": list(self.rows)}
        return Held(
            Direction(path.stem, vectors, layers, layers[0], {"pooling": None, "converted_from": source}),
            said=(
                f"{CONTROL}: direction.N is added after block N: directions {spans(layers)} are layers {spans(layers)}",
                f"its model_hint is {self.value('controlvector.model_hint')!r}, the model's type {model.model_type!r}",
            ),
            left_out=(*([f"no vector for layers {spans(empty)}"] if empty else []), *left_out),
        )

    def restored(self, path: Path) -> Held:
        """The direction of this project that it was made of.

        Raises:
            ValueError: its keys are damaged or do not fit its vectors.
        """
        rows, packed = dict(self.rows), self.value(_TENSORS)
        try:
            header = json.loads(self.value(_HEADER))
            beside = load(base64.b64decode(packed, validate=True)) if packed is not None else {}
        except (ValueError, TypeError, KeyError, SafetensorError, RecursionError) as error:
            raise ValueError(f"{path}: its sgtr keys are damaged ({first_line(error)}); convert it again") from error
        if not isinstance(header, dict) or any(header.get(key) != value for key, value in MEANING.items()):
            raise ValueError(f"{path}: its {_HEADER} is not one of a direction that this version reads")
        if _LAYER_0 in beside:
            rows[0] = beside.pop(_LAYER_0)
        layers = sorted(rows)
        if layers != header.get("layers") or len({(row.shape, row.dtype) for row in rows.values()}) != 1:
            raise ValueError(
                f"{path}: holds vectors for layers {spans(layers)}, its {_HEADER} says {header.get('layers')}; another "
                "tool has changed it: convert it again, or take its sgtr keys out"
            )
        said = f"{CONTROL} of this project: direction.N is layer N; header and what is no direction come from its keys"
        vectors = torch.stack([rows[layer] for layer in layers])
        return restored(path, {**beside, "vectors": vectors}, header, (said,))


def read(path: Path) -> ControlVector:
    """A control vector.

    Raises:
        ValueError: damaged, not a control vector, or one that llama.cpp refuses.
    """
    try:
        with np.errstate(all="ignore"):
            reader = _Reader(path)
            fields = [field for name, field in reader.fields.items() if not name.startswith("GGUF.")]
            keys = tuple((field.name, [kind.name for kind in field.types], field.contents()) for field in fields)
            tensors = [(t.name, t.tensor_type, len(t.shape), t.data) for t in reader.tensors]
    except _DAMAGED as error:
        raise ValueError(f"{path}: damaged or not a GGUF file ({first_line(error)}); copy it again") from error
    architecture = next((value for key, _, value in keys if key == "general.architecture"), None)
    if architecture != "controlvector":
        raise ValueError(f"{path}: a GGUF file of architecture {architecture!r}, not a control vector")
    if not tensors or not tensors[0][3].size:
        raise ValueError(f"{path}: a control vector without directions")
    for name, kind, n_dims, data in tensors:
        if not re.fullmatch(r"direction\.[1-9]\d{0,5}", name):
            raise ValueError(f"{path}: has a tensor {name!r}; a control vector has direction.N alone, with N from 1")
        if kind != GGMLQuantizationType.F32 or n_dims != 1:
            raise ValueError(f"{path}: {name} is {kind.name} of {n_dims} dimensions, must be F32 of 1, as in llama.cpp")
        if data.shape != tensors[0][3].shape:
            raise ValueError(f"{path}: {name} has {data.size} values and {tensors[0][0]} has {tensors[0][3].size}")
    rows = {int(name.split(".")[1]): torch.from_numpy(data.astype("<f4")) for name, _, _, data in tensors}
    return ControlVector(keys, rows)


def write(held: Held, path: Path, model: Described | None) -> tuple[str, ...]:
    """Write a direction as a control vector, with all that is ours in keys; another tool's as it was.

    Raises:
        ValueError: it has layer 0 alone, or is not float32.
    """
    direction, source = held.direction, held.source
    if direction.vectors.dtype != torch.float32:
        raise ValueError(f"{path}: the vectors are {direction.vectors.dtype}; a control vector is float32")
    rows = dict(zip(direction.layers, direction.vectors, strict=True))
    order = [layer for layer in rows if layer > 0]
    if not order:
        raise ValueError(f"{path}: a control vector cannot hold layer 0, the only one that this direction has")
    if source.get("layout") == CONTROL and sorted(source.get("order", [])) == list(rows):
        order, keys = source["order"], source["keys"]
        said = ("written back as the control vector that it was read from, which does not say whose it is",)
    else:
        keys = _keys_of(held, rows.get(0), len(order), model)
        said = (f"layers {spans(order)} are direction.N with N the layer: other tools add them after block N",)
        if 0 in rows:
            said += (
                f"layer 0: a control vector cannot name it; kept under {_TENSORS}, where other tools pass it over",
            )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vector.gguf"
        try:
            _write_file(file, keys, {f"direction.{layer}": rows[layer].numpy() for layer in order})
        except (*_DAMAGED, TypeError, struct.error) as error:
            raise ValueError(
                f"{path}: the header's keys of a control vector are damaged ({first_line(error)})"
            ) from error
        write_atomic(path, file.read_bytes())
    return said


def _keys_of(held: Held, layer_0: Tensor | None, n: int, model: Described | None) -> list[list[Any]]:
    header = held.direction.header
    hint = model.model_type if model else header.get("model_type") or header.get("model") or "unknown"
    keys: list[list[Any]] = [
        ["controlvector.model_hint", ["STRING"], str(hint)],
        ["controlvector.layer_count", ["UINT32"], n],
        [_HEADER, ["STRING"], json_text(held.meaning(), "the control vector", sort_keys=True)],
    ]
    beside = {**held.beside, **({} if layer_0 is None else {_LAYER_0: layer_0})}
    if beside:
        packed = save({key: tensor.detach().cpu().clone() for key, tensor in beside.items()})
        keys.append([_TENSORS, ["STRING"], base64.b64encode(packed).decode()])
    return keys


def _write_file(file: Path, keys: Sequence[Sequence[Any]], tensors: Mapping[str, np.ndarray]) -> None:
    writer = GGUFWriter(file, "controlvector")
    try:
        for key, types, value in keys:
            if key == "general.alignment":
                writer.add_custom_alignment(value)
            elif key != "general.architecture":  # the writer's own
                writer.add_key_value(key, value, *(GGUFValueType[name] for name in types))
        for name, data in tensors.items():
            writer.add_tensor(name, data)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _is_flat(types: Sequence[str]) -> bool:
    return len(types) == (2 if types[0] == "ARRAY" else 1)


class _Reader(GGUFReader):
    """The package's reader, made to stop at the end of the file; it counts through an array's claimed length."""

    def _get(self, offset: Any, dtype: Any, count: Any = 1, override_order: Any = None) -> Any:
        if int(offset) + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise ValueError("it ends early")
        return super()._get(offset, dtype, count, override_order)

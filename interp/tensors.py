"""Tensor files: safetensors with their meaning as JSON in the header; reading refuses what was not asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from interp.errors import InterpError
from interp.files import json_text, require_room, write_atomic

HEADER_KEY = "sgtr"
FORMAT = 1
LAYER_CONVENTION = "block index from 0, residual stream after the block"


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, kind: str, header: Mapping[str, Any]) -> None:
    """Write tensors with their meaning: `kind`, the layer convention and `header` go into the file as JSON."""
    path = Path(path)
    meaning = {"kind": kind, "format": FORMAT, "layer_convention": LAYER_CONVENTION, **header}
    data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    require_room(path.parent, sum(tensor.nbytes for tensor in data.values()) + 2**20)
    write_atomic(path, save(data, metadata={HEADER_KEY: json_text(meaning, str(path), sort_keys=True)}))


def load_header(path: str | Path) -> dict[str, Any]:
    """What a tensor file of ours says of itself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or not written by this project.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged or not a safetensors file ({error}); make it again") from error
    if text is None:
        raise ValueError(f"{path}: a safetensors file without the header key {HEADER_KEY!r}; it is not one of ours")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: its header is not JSON ({error}); make it again") from error


def load_tensors(path: str | Path, *, kind: str, model: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file, if it is what the caller needs.

    Args:
        kind: What it must hold.
        model: Identity of the model it must come from (`Model.identity`); None accepts any.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, of another kind, layer convention or format.
        InterpError: of another model.
    """
    header = load_header(path)
    if header.get("kind") != kind:
        raise ValueError(f"{path}: holds kind {header.get('kind')!r}, needed {kind!r}")
    if header.get("layer_convention") != LAYER_CONVENTION:
        raise ValueError(f"{path}: layer convention {header.get('layer_convention')!r}, needed {LAYER_CONVENTION!r}")
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: format {header.get('format')!r}, this version reads {FORMAT}")
    if model is not None and header.get("model_identity") != model:
        raise InterpError(
            f"{path}: made with model {header.get('model', '?')} ({str(header.get('model_identity'))[:12]}), "
            f"this one is {model[:12]}; extract it again with this model"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged ({error}); make it again") from error

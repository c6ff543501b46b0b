"""Adapter folders in PEFT's format: what a configuration asks for, and which tensors lie beside it.

`FIELDS` says of every field of PEFT's LoraConfig what is done with it. A field that the table does not know is refused
unless it is off, so that what a newer PEFT computes is never left out silently.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from interp.files import read_json
from interp.sources import ADAPTER_FILES

PREFIX = "base_model.model."
_MERGE = "merge it with PEFT (merge_and_unload) and give the merged folder as the model"
_PLAIN = "train a plain LoRA instead"
INITIAL_VALUES = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""Values of `init_lora_weights` that leave the base's weights as they are; all others change them at loading."""


@dataclass(frozen=True)
class Refused:
    """Why a field must be off, and the way out.

    Attributes:
        what: What an adapter with this field does.
        so: What follows from it.
        remedy: What a user can do.
    """

    what: str
    so: str
    remedy: str


_REPLACES = Refused("replaces parts of its base", "so it cannot be taken off again", _MERGE)
_CHANGES = Refused("changes its base's weights when it is loaded", "so it cannot be taken off again", _MERGE)
_VARIANT = Refused("computes more than a low-rank update", "which is not done here", _MERGE)
_BY_TOKEN = Refused("acts on some tokens and not on others", "which is not done here", _PLAIN)

FIELDS: dict[str, str | Refused] = {
    **dict.fromkeys(
        (
            *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "lora_bias", "use_dora"),
            *("target_modules", "exclude_modules", "target_parameters", "layers_to_transform", "layers_pattern"),
            "fan_in_fan_out",
        ),
        "carried exactly",
    ),
    **dict.fromkeys(
        (
            *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
            *("inference_mode", "lora_dropout", "megatron_core", "loftq_config", "eva_config", "corda_config"),
            *("lora_ga_config", "runtime_config", "qalora_group_size"),
        ),
        "no effect on what is computed",
    ),
    **dict.fromkeys(("bias", "modules_to_save", "trainable_token_indices", "layer_replication"), _REPLACES),
    **dict.fromkeys(("init_lora_weights", "kasa_config"), _CHANGES),
    **dict.fromkeys(
        ("velora_config", "use_qalora", "monteclora_config", "use_bdlora", "megatron_config", "ensure_weight_tying"),
        _VARIANT,
    ),
    **dict.fromkeys(("alora_invocation_tokens", "arrow_config"), _BY_TOKEN),
}
_SHAPES = ("use_dora", "lora_bias", "rank_pattern", "alpha_pattern")


def read_adapter(folder: Path) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Configuration and tensors of an adapter folder; names are without PEFT's prefix and without the adapter's name.

    Raises:
        FileNotFoundError: not an adapter folder in PEFT's format.
        ValueError: it is damaged, or does what cannot be done here.
    """
    require_files(folder)
    try:
        stated = read_json(folder / "adapter_config.json")
    except ValueError as error:
        raise ValueError(f"{folder}: damaged adapter ({error})") from error
    require_known(folder, stated)
    try:
        config = cast(LoraConfig, LoraConfig.from_pretrained(str(folder)))
        weights = load_file(folder / "adapter_model.safetensors")
    except (SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: damaged adapter ({error})") from error
    return config, {_name(key): value for key, value in weights.items()}


def require_files(folder: Path) -> None:
    """Check that a folder holds an adapter.

    Raises:
        FileNotFoundError: a file is missing.
    """
    for file in ADAPTER_FILES:
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"{folder}: no {file}; an adapter is a folder in PEFT's format with safetensors weights (.bin ones are "
                "pickles and are not read: load them with PEFT if you trust their maker, and save them again)"
            )


def require_known(folder: Path, stated: Any) -> None:
    """Check that an adapter asks for nothing that is not done here.

    Raises:
        ValueError: it does; the message names the field and says what to do.
    """
    if not isinstance(stated, dict):
        raise ValueError(f"{folder}: damaged adapter (adapter_config.json is no JSON object)")
    kind = stated.get("peft_type", "LORA")
    if kind != "LORA":
        raise ValueError(f"{folder}: its peft_type is {kind}, and only LORA can be stacked; train a LoRA instead")
    asked = [key for key, value in stated.items() if not _off(key, value)]
    for key in asked:
        if key not in FIELDS:
            raise ValueError(
                f"{folder}: {key}: {stated[key]} is a field that this version does not know (written by PEFT "
                f"{stated.get('peft_version', 'of an unknown version')}), so what it does would be left out; set it to "
                f"null in adapter_config.json if it changes nothing that is computed, or {_MERGE}"
            )
        refused = FIELDS[key]
        if isinstance(refused, Refused):
            named = ", ".join(f"{other}: {stated[other]}" for other in asked if FIELDS.get(other) is refused)
            raise ValueError(f"{folder}: {refused.what} ({named}), {refused.so}; {refused.remedy}")


def other_shape(one: LoraConfig, other: LoraConfig) -> list[str]:
    """Fields in which two adapters differ that their tensors do not show, or not in plain words."""
    return [name for name in _SHAPES if (getattr(one, name) or None) != (getattr(other, name) or None)]


def renamed(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names that a model gives them, where only what stands before the blocks differs.

    They are returned as they are where no such change of names makes them the model's.
    """
    own = {key for key in weights if ".lora_" in key}
    if not own or own == set(expected) or not expected:
        return weights
    target = min(expected)
    nearest = max(sorted(own), key=lambda key: _shared_ending(key, target))
    ending = _shared_ending(nearest, target)
    before, after = (".".join(key.split(".")[:-ending]) if ending else "0" for key in (nearest, target))
    if any(part.isdigit() for part in (*before.split("."), *after.split("."))):
        return weights
    start = f"{before}." if before else ""
    names = {key: (f"{after}." if after else "") + key.removeprefix(start) for key in weights if key.startswith(start)}
    return (
        {names.get(key, key): x for key, x in weights.items()}
        if {names.get(k) for k in own} == {*expected}
        else weights
    )


def _shared_ending(a: str, b: str) -> int:
    """Parts in which two dotted names end alike."""
    parts = list(zip(reversed(a.split(".")), reversed(b.split(".")), strict=False))
    return next((i for i, (x, y) in enumerate(parts) if x != y), len(parts))


def _off(key: str, value: Any) -> bool:
    """Whether a field asks for nothing."""
    if key == "init_lora_weights":
        return any(value is known or value == known for known in INITIAL_VALUES)
    return value is None or value is False or value in ("", [], {}) or (key == "bias" and value == "none")


def _name(key: str) -> str:
    """A tensor's name without PEFT's prefix and without the name of the adapter that it was saved under."""
    key = key.removeprefix(PREFIX)
    key = re.sub(r"(\.lora_[AB])\.[^.]+(\.(?:weight|bias))$", r"\1\2", key)
    return re.sub(r"(\.lora_(?:embedding_[AB]|magnitude_vector))\.[^.]+(\.weight)?$", r"\1", key)

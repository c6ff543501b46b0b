"""A model's weights, from its files into memory: all of them, and nothing else that the files ask for.

A class that answers text is taken where transformers has one for the configuration, else the multimodal class, whose
language model then is what is read. Weights that the files lack are never filled up with random numbers.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    PreTrainedModel,
)
from transformers.utils import cached_file  # pyright: ignore[reportPrivateImportUsage]

from interp.files import read_json
from interp.sampling import only_stop_tokens
from interp.sources import Source, quiet, read_config


def load_weights(
    source: Source,
    device: torch.device,
    dtype: torch.dtype,
    *,
    device_map: str | None = None,
    quantise: str | None = None,
) -> PreTrainedModel:
    """A model's weights on one device, or spread over several.

    Args:
        device_map: How to spread them: `auto` or another of accelerate's.
        quantise: `4bit` for four-bit base weights (NF4, computing in `dtype`).

    Raises:
        ValueError: the weights cannot be loaded or are not all there, or cannot be quantised on this machine.
    """
    how: dict[str, Any] = {"revision": source.revision, "dtype": dtype, **_stop_tokens(source)}
    if device_map is not None:
        how["device_map"] = device_map
    if quantise is not None:
        if quantise != "4bit":
            raise ValueError(f"quantise must be 4bit, got {quantise!r}")
        if importlib.util.find_spec("bitsandbytes") is None or device.type != "cuda":
            raise ValueError("quantise: 4bit needs a GPU and bitsandbytes (pip install 'sgtr-interp[quantised]')")
        kind = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
        how["quantization_config"] = BitsAndBytesConfig(**kind, bnb_4bit_use_double_quant=True)
        how.setdefault("device_map", {"": device})
    try:
        with quiet():
            config = read_config(source.path, source.revision)
            answers = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
            family = AutoModelForCausalLM if answers else AutoModelForImageTextToText
            hf, loading = family.from_pretrained(source.path, config=config, output_loading_info=True, **how)  # pyright: ignore[reportGeneralTypeIssues]
    except (OSError, ImportError, SafetensorError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{source.path}: cannot be loaded ({reason})") from error
    if lacking := sorted({*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}):
        raise ValueError(
            f"{source.path}: its files lack {len(lacking)} of the weights of {type(hf).__name__} or have other shapes "
            f"of them (first {lacking[0]}), so these would be random numbers; give a folder that is whole"
        )
    if "device_map" not in how:
        hf.to(device)  # pyright: ignore[reportArgumentType]
    return hf


def _stop_tokens(source: Source) -> dict[str, Any]:
    """What lets a model load with the stop tokens of its generation config and none of its other fields.

    transformers refuses to load a model whose own fields contradict one another, so they are not even shown to it.
    """
    missing = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    file = cached_file(source.path, "generation_config.json", revision=source.revision, **missing)
    return {"generation_config": only_stop_tokens(read_json(Path(file)), source.path)} if file else {}

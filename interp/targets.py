"""What a new adapter's targets mean in a model, and what of that it reaches.

PEFT takes names of modules and knows the fused experts of some families alone. There it takes a name that experts had
once (`gate_proj`) for the experts only, and leaves out dense modules of that name beside them, such as shared experts;
elsewhere it leaves out the experts. It says neither, so it is found out here, before anything is trained.
"""

import re
from collections.abc import Collection, Iterator

from torch.nn import Embedding, Linear, Module
from torch.nn.modules.conv import _ConvNd
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from interp.architecture import find_decoder
from interp.merging import layers_with

Targets = str | Collection[str] | None
"""As PEFT takes them: `all-linear`, a regular expression for whole paths, or names that paths end with."""
ALL = "all-linear"


def check_reached(hf: PreTrainedModel, adapter: str, wanted: Targets, excluded: object = None) -> str | None:
    """Check that an attached adapter changes every module that its targets name.

    Args:
        adapter: Its name in the model.
        wanted: Its targets as they were before PEFT replaced them.
        excluded: A regular expression for paths that it is to leave alone.

    Returns:
        A sentence on what is left out that `all-linear`, or a name that experts had once, would be taken to mean; None
        if there is nothing.

    Raises:
        ValueError: a name fits no module, or modules that the targets name are not reached.
    """
    changed = [(path, layer.get_base_layer()) for path, layer, _ in layers_with(hf, [adapter])]
    kept = getattr(hf.peft_config[adapter], "target_modules", None) or ()
    names = () if isinstance(kept, str) or wanted == ALL else sorted(kept)  # PEFT's own list for all-linear names more
    if unknown := [name for name in names if not any(_fits([name], path) for path, _ in changed)]:
        raise ValueError(f"{', '.join(unknown)} names no module")
    reached = {id(module) for _, module in changed}
    left = [(path, module) for path, module in _weighty(hf) if id(module) not in reached]
    if isinstance(excluded, str):
        left = [(path, module) for path, module in left if not re.fullmatch(excluded, path)]
    if (layers := getattr(hf.peft_config[adapter], "layers_to_transform", None)) is not None:
        meant = {layers} if isinstance(layers, int) else set(layers)
        left = [(path, module) for path, module in left if _layer_of(path) in meant]
    kinds = (Linear, Conv1D, Embedding)
    named = [path for path, module in left if wanted != ALL and isinstance(module, kinds) and _fits(wanted, path)]
    if named:
        raise ValueError(
            f"{_short(named)} would not be trained: beside fused experts PEFT takes such names for the experts alone; "
            "name neither, or set target_modules to all-linear, which trains the experts and says what it leaves out"
        )
    silent = [path for path, module in left if _meant(hf, wanted, path, module)]
    if not silent:
        return None
    shown = wanted if isinstance(wanted, str) else ", ".join(sorted(wanted or ()))
    return (
        f"{_short(silent)} of {type(hf).__name__} will not be trained, since PEFT leaves that out of target_modules "
        f"{shown}; list other target_modules if that is not meant, or train an adapter of these with PEFT "
        "(target_parameters), which can be loaded here"
    )


def _weighty(hf: PreTrainedModel) -> Iterator[tuple[str, Module]]:
    """Path and module of everything that has a matrix of its own, adapters apart."""
    for path, module in hf.named_modules():
        if ".lora_" not in path and any(p is not None and p.ndim > 1 for p in module._parameters.values()):
            yield path.replace(".base_layer", ""), module


def _meant(hf: PreTrainedModel, wanted: Targets, path: str, module: Module) -> bool:
    """Whether targets would be taken to mean a module that they do not name."""
    decoder = find_decoder(hf, type(hf).__name__)
    blocks = ".".join(filter(None, (decoder.path, decoder.blocks_path)))
    if not path.startswith(f"{blocks}.") or isinstance(module, Embedding | _ConvNd):
        return False
    if wanted == ALL:
        return True
    stacks = [name for name, p in module._parameters.items() if p is not None and p.ndim > 2]
    once = [f"{part}_proj" for name in stacks for part in name.removesuffix("_proj").split("_")]
    return any(_fits(wanted, f"{path}.{name}") for name in (*stacks, *once))


def _layer_of(path: str) -> int | None:
    """The number of the block that a module is in: the first number of its path."""
    number = re.search(r"\.(\d+)\.", path)
    return int(number.group(1)) if number else None


def _fits(targets: Targets, path: str) -> bool:
    """Whether targets name a path."""
    if isinstance(targets, str):
        return re.fullmatch(targets, path) is not None
    return any(f".{path}".endswith(f".{target}") for target in targets or ())


def _short(paths: Collection[str]) -> str:
    """Paths within their blocks, each once."""
    return ", ".join(dict.fromkeys(re.sub(r"^.*?\.\d+\.", "", path) for path in paths))

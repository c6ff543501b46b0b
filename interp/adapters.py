"""A stack of LoRA adapters on one base model, switched in place.

Nothing is merged: active adapters add their updates side by side, which is what merging one before training the next
does without its rounding of the weights. (What a layer gives is rounded to the model's dtype all the same: read the
displacement of a small stage in float32.) Folders are PEFT's own, with the identity of their base beside them; a folder
whose weights do not land on every module is refused.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftConfig
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedModel

from interp.adapter_files import PREFIX, other_shape, read_adapter, renamed, require_files
from interp.architecture import parts_beside_text
from interp.errors import InterpError
from interp.files import read_json, require_room, write_atomic, write_json
from interp.merging import changes, holding, layers_with, merged_into
from interp.sources import adapter_folder, quiet
from interp.targets import check_reached

_KEPT = 8
log = logging.getLogger(__name__)


class Adapters:
    """Adapters of one model.

    Attributes:
        stack: Folders of the active ones, first applied first.
    """

    def __init__(self, hf: PreTrainedModel, name: str, identity: str) -> None:
        self.hf, self.name, self.identity = hf, name, identity
        self.stack: tuple[Path, ...] = ()
        self._names: dict[Path, str] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._n_made = 0
        self._told: set[str] = set()
        self._replaced: list[tuple[Tensor, Tensor]] = []  # merged weights, and what they were
        self._going_on: tuple[str, list[tuple[Tensor, Tensor]]] | None = None  # in training, and where it started

    def use(self, *stack: Path | str) -> None:
        """Make exactly these adapters active, in order; no argument means the bare base model.

        Args:
            stack: Folders, or `org/name[@revision]` on the Hub where there is no such folder.

        Raises:
            FileNotFoundError, ValueError: not an adapter folder; the stack before it stays active.
            InterpError: an adapter of another base; likewise.
        """
        folders = tuple(adapter_folder(folder) for folder in stack)
        if len(set(folders)) != len(folders):
            raise ValueError(f"an adapter is given twice: {', '.join(map(str, folders))}")
        before, self.stack = self.stack, ()
        try:
            names = [self._loaded(folder, folders) for folder in folders]
        except BaseException:
            self._activate([self._loaded(folder, before) for folder in before])
            self.stack = before
            raise
        self._activate(names)
        self.stack = folders
        spare = [folder for folder in self._names if folder not in folders]
        for folder in spare[: max(0, len(self._names) - _KEPT)]:
            self._detach(self._names.pop(folder))

    @contextmanager
    def new(
        self, config: LoraConfig, *, seed: int, start_from: Path | None = None
    ) -> Iterator[tuple[str, list[torch.nn.Parameter]]]:
        """A trainable LoRA (float32) on top of the frozen stack; it is gone when the block ends.

        Args:
            start_from: Folder of an adapter of the same shape and scaling to start from, instead of a fresh one.

        Yields:
            Its name, for `save`, and its parameters.

        Raises:
            FileNotFoundError, ValueError, InterpError: `start_from` is no adapter, or one of another base or shape.
            ValueError: PEFT leaves out a module that the targets name.
        """
        start = self.read(start_from) if start_from is not None else None
        if start is not None and _scaling(start[0]) != _scaling(config):
            raise ValueError(
                f"{start_from} has {_scaling(start[0])}, not {_scaling(config)}; an adapter that is trained further "
                "keeps its own: train with those, or put a fresh one on top (compose: stack)"
            )
        device = self.hf.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            name = self._fresh(config)
        try:
            self._activate([*(self._names[folder] for folder in self.stack), name])
            parameters = self._parameters(name)
            if start is not None and start_from is not None:
                if odd := other_shape(start[0], self._config(name)):
                    raise ValueError(
                        f"{start_from}: {', '.join(odd)} differ from what is to be trained; an adapter that is trained "
                        "further keeps its own: put a fresh one on top (compose: stack)"
                    )
                self._fill(name, start[1], start_from)
                self._going_on = name, [(parameter, parameter.data.clone()) for parameter in parameters]
            for parameter in parameters:
                parameter.requires_grad_(True)
            yield name, parameters
        finally:
            self._going_on = None
            self._detach(name)

    def size_of(self, config: LoraConfig) -> int:
        """How many weights a fresh adapter would have; it is put on without memory for them, and taken off again.

        Raises:
            ValueError: PEFT refuses the configuration, or leaves out a module that its targets name.
        """
        with torch.device("meta"):
            name = self._fresh(config)
        try:
            return sum(parameter.numel() for parameter in self._parameters(name))
        finally:
            self._detach(name)

    @contextmanager
    def paused(self, *, keep_stack: bool) -> Iterator[None]:
        """Let a pass go by what is in training, or by every adapter (a merged one too), and touch nothing else.

        An adapter that is trained further (`start_from`) is back where it started while the stack is kept. Gradients
        of passes before and after flow as if it had not happened.
        """
        names, other = [self._names[folder] for folder in self.stack] if keep_stack else [], []
        if keep_stack and self._going_on is not None:
            names, other = [*names, self._going_on[0]], self._going_on[1]
        elif not keep_stack:
            other = [(weight, data.float()) for weight, data in self._replaced]
        layers = [module for module in self.hf.modules() if isinstance(module, BaseTunerLayer)]
        before = [(layer._active_adapter, layer._disable_adapters) for layer in layers]
        for layer in layers:
            layer._active_adapter, layer._disable_adapters = names, not names
        try:
            with holding(other):
                yield
        finally:
            for layer, (active, disabled) in zip(layers, before, strict=True):
                layer._active_adapter, layer._disable_adapters = active, disabled

    @contextmanager
    def merged(self) -> Iterator[None]:
        """The stack's updates added to the base's weights and its adapters off, for the length of a block.

        The whole base is float32 meanwhile: under autocast, merged weights would be rounded at every pass. What an
        adapter trained inside learns on top is what it would learn on top of the stack, up to rounding.

        Raises:
            ValueError: the base is quantised.
        """
        if not self.stack:
            yield
            return
        names = [self._names[folder] for folder in self.stack]
        stack, self.stack = self.stack, ()
        try:
            with merged_into(self.hf, names, self.name) as self._replaced:
                self._activate([])
                yield
        finally:
            self._replaced = []
            self.stack = stack
            self._activate(names)

    def lost_in_merge(self, dtype: torch.dtype = torch.bfloat16) -> dict[str, float]:
        """What merging the active stack into weights of `dtype` would lose.

        Returns:
            `unchanged`: share of updated weights whose value stays what it was although their update is not zero.
            `cosine`: between the update that was meant and the one that arrives.

        Raises:
            ValueError: no adapter is active, or the base is quantised.
        """
        n = same = 0
        meant2 = got2 = both = 0.0
        names = [self._names[folder] for folder in self.stack]
        for change in changes(self.hf, names, self.name):
            weight, meant = change.parameter, change.update.double()
            before = torch.zeros_like(meant) if weight is None else weight.data.to(dtype).double()
            got = (before + meant).to(dtype).double() - before
            n += int((meant != 0).sum())
            same += int(((got == 0) & (meant != 0)).sum())
            meant2, got2 = meant2 + float(meant.square().sum()), got2 + float(got.square().sum())
            both += float((meant * got).sum())
        if n == 0:
            raise ValueError("no active adapter changes anything; nothing can be lost")
        return {"unchanged": same / n, "cosine": both / (meant2 * got2) ** 0.5 if got2 else 0.0, "n_weights": float(n)}

    def save(self, name: str, folder: Path) -> None:
        """Write an adapter in PEFT's own folder format, with the identity of its base."""
        weights = self._tensors(name)
        tensors = {PREFIX + key: value.detach().cpu().contiguous() for key, value in weights.items()}
        self.write(self._config(name), tensors, folder)

    def write(self, config: PeftConfig, tensors: dict[str, Tensor], folder: Path) -> None:
        """Write an adapter's weights, by PEFT's names on disk, as a folder in its format."""
        require_room(folder.parent, sum(tensor.nbytes for tensor in tensors.values()) + 2**20)
        folder.mkdir(parents=True, exist_ok=True)
        config.base_model_name_or_path = self.name
        config.save_pretrained(str(folder))
        write_atomic(folder / "adapter_model.safetensors", save(tensors, metadata={"format": "pt"}))
        write_json(folder / "base.json", {"model": self.name, "model_identity": self.identity})

    def stamped(self, folder: Path | str) -> tuple[Path, tuple[int, int]]:
        """An adapter's folder, and what tells whether it was written again."""
        path = adapter_folder(folder)
        return path, _stamp(path)

    def joined(self, folder: Path) -> Path:
        """Write the active stack as one adapter that does the same: ranks side by side, scalings in B.

        A module that only some adapters change has zeros for the others.

        Raises:
            ValueError: the stack is empty, or an adapter is more than a sum of low-rank updates.
        """
        if not self.stack:
            raise ValueError("there is no adapter to join; the bare base model needs none")
        names = [self._names[part] for part in self.stack]
        for part, name in zip(self.stack, names, strict=True):
            odd = [field for field in ("use_dora", "lora_bias") if getattr(self._config(name), field)]
            if odd:
                raise ValueError(
                    f"{part}: {odd[0]} is more than a low-rank update, so it cannot be joined with others; sample with "
                    "the model itself (sampler: model), or merge it with PEFT and give the merged folder as the model"
                )
        places = list(layers_with(self.hf, names))
        ranks = [max(layer.r[name] for _, layer, here in places if name in here) for name in names]
        tensors: dict[str, Tensor] = {}
        for path, layer, here in places:
            below, above = zip(
                *(_factors(layer, n, r, n in here) for n, r in zip(names, ranks, strict=True)), strict=True
            )
            kind = "lora_embedding_{}" if here[0] in layer.lora_embedding_A else "lora_{}.weight"
            a, b = torch.cat(below, dim=1), torch.cat(above, dim=1)
            tensors[f"{PREFIX}{path}.{kind.format('A')}"] = a.flatten(0, 1).contiguous()
            tensors[f"{PREFIX}{path}.{kind.format('B')}"] = b.flatten(1).contiguous()
        modules = [path for path, layer, _ in places if not isinstance(layer, ParamWrapper)]
        inside = {target for name in names for target in self._config(name).target_parameters or ()}
        rank = sum(ranks)
        whole = LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=self._short(modules),
            target_parameters=sorted(inside) or None,
        )
        self.write(whole, tensors, folder)
        return folder

    def _short(self, modules: Sequence[str]) -> list[str]:
        """The last parts of modules' paths where these name no other module, else the whole paths."""
        last = {path.rpartition(".")[2] for path in modules}
        named = {path for path, _ in self.hf.named_modules() if path.rpartition(".")[2] in last}
        return sorted(last if named == set(modules) else modules)

    def unmoved(self, name: str) -> list[str]:
        """Kinds of layer that a new adapter does not change at all: what started at zero is zero still."""
        moved: dict[str, bool] = {}
        for _, layer, _ in layers_with(self.hf, [name]):
            outer = layer.lora_embedding_A[name] if name in layer.lora_embedding_A else layer.lora_B[name].weight
            kind = type(layer).__name__
            moved[kind] = moved.get(kind, False) or bool((outer != 0).any())
        return [kind for kind, is_so in moved.items() if not is_so]

    def _fresh(self, config: LoraConfig) -> str:
        """Put an adapter that is to be trained on the model; what PEFT leaves out of it is said once."""
        excluded = [pattern for pattern in (config.exclude_modules, parts_beside_text(self.hf)) if pattern]
        config.exclude_modules = "|".join(map(str, excluded)) or None  # regular expressions, both
        wanted = copy(config.target_modules)
        name = self._attach(config)
        try:
            sentence = check_reached(self.hf, name, wanted, config.exclude_modules)
        except ValueError:
            self._detach(name)
            raise
        if sentence and sentence not in self._told:
            self._told.add(sentence)
            log.warning("%s: %s", self.name, sentence)
        return name

    def _config(self, name: str) -> LoraConfig:
        return cast(LoraConfig, self.hf.peft_config[name])

    def _tensors(self, name: str) -> dict[str, Tensor]:
        """An adapter's own tensors by their names; never the embeddings of its base."""
        return get_peft_model_state_dict(self.hf, adapter_name=name, save_embedding_layers=False)

    def _parameters(self, name: str) -> list[torch.nn.Parameter]:
        return [parameter for key, parameter in self.hf.named_parameters() if name in key.split(".")]

    def _attach(self, config: PeftConfig) -> str:
        """Put a new adapter on the model, in float32; its name."""
        self._n_made += 1
        name = f"adapter_{self._n_made}"
        try:
            with quiet():
                self.hf.add_adapter(config, name)
        except BaseException:  # no module fits: what PEFT has noted of it by then must go again
            held = getattr(self.hf, "peft_config", {})
            held.pop(name, None)
            self.hf._hf_peft_config_loaded = bool(held)
            self._activate([self._names[folder] for folder in self.stack])
            raise
        for parameter in self._parameters(name):
            parameter.data = parameter.data.float()
        return name

    def _detach(self, name: str) -> None:
        """Take an adapter off the model; the stack is active afterwards."""
        with quiet():
            self.hf.delete_adapter(name)
        self._activate([self._names[folder] for folder in self.stack])

    def _activate(self, names: Sequence[str]) -> None:
        if names:
            self.hf.enable_adapters()
            self.hf.set_adapter(list(names))
        elif getattr(self.hf, "peft_config", None):
            self.hf.disable_adapters()
        for parameter in self.hf.parameters():
            parameter.requires_grad_(False)

    def _loaded(self, folder: Path, wanted: Sequence[Path]) -> str:
        """Name of the adapter of a folder, loaded if need be, and again if the folder was written again.

        Args:
            wanted: The stack that it is loaded for.
        """
        stamp = _stamp(folder)
        if folder in self._names:
            if self._stamps[folder] == stamp:
                return self._names[folder]
            self._detach(self._names.pop(folder))
        config, weights = self.read(folder)
        config.inference_mode, config.init_lora_weights = True, True  # its own values are put in below
        self._make_way(config, wanted)
        try:
            name = self._attach(config)
        except ValueError as error:
            raise InterpError(
                f"{folder}: no module of {self.name} fits it ({error}); another base's adapter"
            ) from error
        try:
            self._fill(name, weights, folder)
        except InterpError:
            self._detach(name)
            raise
        self._names[folder], self._stamps[folder] = name, stamp
        return name

    def read(self, folder: Path) -> tuple[LoraConfig, dict[str, Tensor]]:
        """Configuration and weights of an adapter folder, if it is one of this base."""
        _stamp(folder)
        if (folder / "base.json").is_file():
            base = read_json(folder / "base.json")
            if base.get("model_identity") != self.identity:
                raise InterpError(
                    f"{folder}: an adapter of {base.get('model')} ({str(base.get('model_identity'))[:12]}), "
                    f"not of {self.name} ({self.identity[:12]}); load it on its own base"
                )
        return read_adapter(folder)

    def _make_way(self, config: LoraConfig, wanted: Sequence[Path]) -> None:
        """Take off what PEFT cannot hold beside an adapter: unwanted ones that target other parameters."""
        for folder in [folder for folder in self._names if folder not in wanted]:
            other = self._config(self._names[folder]).target_parameters
            if config.target_parameters and other and set(other) != set(config.target_parameters):
                self._detach(self._names.pop(folder))

    def _fill(self, name: str, weights: dict[str, Tensor], folder: Path) -> None:
        """Put a folder's weights into an attached adapter; every one must land."""
        expected = self._tensors(name)
        given = renamed(weights, expected)
        if given is not weights:
            log.info("%s: its tensors are named %s, taken as %s", folder, min(weights), min(given))
        given = self._without_base(given, folder)
        odd = {(k, tuple(v.shape)) for k, v in given.items()} ^ {(k, tuple(v.shape)) for k, v in expected.items()}
        if odd:
            raise InterpError(
                f"{folder}: its weights do not fit {self.name} ({len(odd)} differ, {_misfit(given, expected)}"
            )
        set_peft_model_state_dict(self.hf, given, adapter_name=name)

    def _without_base(self, weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
        """An adapter's tensors without copies of its base's, which PEFT saves beside it where embeddings are concerned.

        Raises:
            InterpError: such a tensor is not what the base has.
        """
        own = {k.replace(".base_layer.", "."): p for k, p in self.hf.named_parameters(remove_duplicate=False)}
        kept: dict[str, Tensor] = {}
        for key, value in weights.items():
            base = None if ".lora_" in key else own.get(key.replace(".base_layer.", "."))
            if base is None:
                kept[key] = value
            elif value.shape != base.shape or not torch.equal(value.to(base), base.data):
                raise InterpError(
                    f"{folder}: has a {key} of its own (save_embedding_layers) that is not {self.name}'s, so it cannot "
                    "be taken off again; merge it with PEFT (merge_and_unload) and give the merged folder as the model"
                )
        return kept


def bare(hf: PreTrainedModel, path: str) -> torch.nn.Module:
    """The base's own module at a path, beneath whatever adapters it has.

    Raises:
        InterpError: the model has no such module.
    """
    try:
        module = hf.get_submodule(path)
    except AttributeError as error:
        raise InterpError(f"{path}: the model has no such module; it is an adapter of another base") from error
    return module.get_base_layer() if isinstance(module, BaseTunerLayer) else module


def _factors(layer: Any, name: str, rank: int, active: bool) -> tuple[Tensor, Tensor]:
    """An adapter's factors in a layer, padded with zeros to a rank, scaling in the second.

    Returns:
        [expert, rank, in] and [out, rank, expert]; a layer without experts has one.
    """
    embedding = isinstance(getattr(layer, "lora_embedding_A", None), torch.nn.ParameterDict) and layer.lora_embedding_A
    n = getattr(layer, "num_experts", 1)
    if not active:
        other = next(iter(layer.lora_embedding_A)) if embedding else next(iter(layer.lora_A))
        a, b = _factors(layer, other, layer.r[other], True)
        return a.new_zeros(n, rank, a.shape[2]), b.new_zeros(b.shape[0], rank, n)
    a, b = (
        (layer.lora_embedding_A[name], layer.lora_embedding_B[name])
        if embedding
        else (layer.lora_A[name].weight, layer.lora_B[name].weight)
    )
    a = a.data.float().cpu().reshape(n, -1, a.shape[-1])
    b = (b.data.float().cpu() * layer.scaling[name]).reshape(b.shape[0], -1, n)
    short = rank - a.shape[1]
    return torch.nn.functional.pad(a, (0, 0, 0, short)), torch.nn.functional.pad(b, (0, 0, 0, short))


def _misfit(given: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """What keeps tensors from a model, and the way out."""
    shared = sorted(key for key in given.keys() & expected.keys() if given[key].shape != expected[key].shape)
    if shared:
        first = shared[0]
        return (
            f"first {first} with {tuple(given[first].shape)} instead of {tuple(expected[first].shape)}); it is an "
            "adapter of another base or rank: load it on its own base"
        )
    unknown, missing = sorted(given.keys() - expected.keys()), sorted(expected.keys() - given.keys())
    if unknown and missing:
        return (
            f"it names a tensor {unknown[0]} where this model has {missing[0]}); it was saved from a model of another "
            "class: load it with PEFT on this one, and save it again"
        )
    if unknown:
        return (
            f"{unknown[0]} has no place in the model); its target_modules do not say all that it changes: save it again"
        )
    return f"{missing[0]} is missing); its target_modules say more than it holds: save it again with PEFT"


def _scaling(config: PeftConfig) -> str:
    """What an adapter's size and the strength of its update depend on."""
    lora = cast(LoraConfig, config)
    return f"lora_rank {lora.r}, lora_alpha {lora.lora_alpha}, rslora {str(lora.use_rslora).lower()}"


def _stamp(folder: Path) -> tuple[int, int]:
    """When an adapter folder's weights were written, and how large they are."""
    require_files(folder)
    state = (folder / "adapter_model.safetensors").stat()
    return state.st_mtime_ns, state.st_size

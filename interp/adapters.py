"""A stack of LoRA adapters on one base model, switched in place.

Nothing is merged: active adapters add their updates side by side, which is what merging one before training the next
does without its rounding of the weights. (What a layer gives is rounded to the model's dtype all the same: read the
displacement of a small stage in float32.) Folders are PEFT's own, with the identity of their base beside them; a folder
whose weights do not land on every module is refused.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import PreTrainedModel

from interp.runs import InterpError, read_json, require_room, write_atomic
from interp.sources import ADAPTER_FILES, adapter_folder, quiet

PEFT_PREFIX = "base_model.model."
_KEPT = 8


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
        try:
            names = [self._loaded(folder) for folder in folders]
        except BaseException:
            self._activate([self._names[folder] for folder in self.stack])
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
            name = self._attach(config)
        try:
            self._activate([*(self._names[folder] for folder in self.stack), name])
            parameters = self._parameters(name)
            if start is not None and start_from is not None:
                self._fill(name, start[1], start_from)
                self._going_on = name, [(parameter, parameter.data.clone()) for parameter in parameters]
            for parameter in parameters:
                parameter.requires_grad_(True)
            yield name, parameters
        finally:
            self._going_on = None
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
            with _holding(other):
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
        merged = {weight: weight.data.float() + update for weight, update in self._updates()}
        others = [p for p in self.hf.parameters() if p not in merged and p.is_floating_point()]
        stack, self.stack = self.stack, ()
        self._replaced = [(weight, weight.data) for weight in merged]
        try:
            with _holding([*merged.items(), *((parameter, parameter.data.float()) for parameter in others)]):
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
        for weight, update in self._updates():
            before, meant = weight.data.to(dtype).double(), update.double()
            got = (before + meant).to(dtype).double() - before
            n += int((meant != 0).sum())
            same += int(((got == 0) & (meant != 0)).sum())
            meant2, got2 = meant2 + float(meant.square().sum()), got2 + float(got.square().sum())
            both += float((meant * got).sum())
        if n == 0:
            raise ValueError("no active adapter changes anything; nothing can be lost")
        return {"unchanged": same / n, "cosine": both / (meant2 * got2) ** 0.5 if got2 else 0.0, "n_weights": float(n)}

    @torch.no_grad()
    def _updates(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Base weights that the active stack changes, each with what it adds to them (float32)."""
        names = [self._names[folder] for folder in self.stack]
        for module in self.hf.modules():
            layer: Any = module
            here = [name for name in names if name in layer.lora_A] if isinstance(module, LoraLayer) else []
            if not here:
                continue
            update = torch.stack([layer.get_delta_weight(name).float() for name in here]).sum(0)
            weight = layer.get_base_layer().weight
            if not weight.is_floating_point() or weight.shape != update.shape:
                raise ValueError(f"{self.name} is quantised, so nothing can be merged into it; set compose to stack")
            yield weight, update

    def save(self, name: str, folder: Path) -> None:
        """Write an adapter in PEFT's own folder format, with the identity of its base."""
        weights = get_peft_model_state_dict(self.hf, adapter_name=name)
        tensors = {PEFT_PREFIX + key: value.detach().cpu().contiguous() for key, value in weights.items()}
        self.write(cast(PeftConfig, self.hf.peft_config[name]), tensors, folder)

    def write(self, config: PeftConfig, tensors: dict[str, Tensor], folder: Path) -> None:
        """Write an adapter's weights, by PEFT's names on disk, as a folder in its format."""
        require_room(folder.parent, sum(tensor.nbytes for tensor in tensors.values()) + 2**20)
        folder.mkdir(parents=True, exist_ok=True)
        config.base_model_name_or_path = self.name
        config.save_pretrained(str(folder))
        write_atomic(folder / "adapter_model.safetensors", save(tensors, metadata={"format": "pt"}))
        write_atomic(folder / "base.json", json.dumps({"model": self.name, "model_identity": self.identity}) + "\n")

    def stamped(self, folder: Path | str) -> tuple[Path, tuple[int, int]]:
        """An adapter's folder, and what tells whether it was written again."""
        path = adapter_folder(folder)
        return path, _stamp(path)

    def _parameters(self, name: str) -> list[torch.nn.Parameter]:
        return [parameter for key, parameter in self.hf.named_parameters() if f".{name}." in key]

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

    def _loaded(self, folder: Path) -> str:
        """Name of the adapter of a folder, loaded if need be, and again if the folder was written again."""
        stamp = _stamp(folder)
        if folder in self._names:
            if self._stamps[folder] == stamp:
                return self._names[folder]
            self.stack = tuple(kept for kept in self.stack if kept != folder)
            self._detach(self._names.pop(folder))
        config, weights = self.read(folder)
        config.inference_mode = True
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
        try:
            stated = read_json(folder / "adapter_config.json")
        except ValueError as error:
            raise ValueError(f"{folder}: damaged adapter ({error})") from error
        _require_lora(folder, stated)
        try:
            config = cast(LoraConfig, LoraConfig.from_pretrained(str(folder)))
            weights = load_file(folder / "adapter_model.safetensors")
        except (SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: damaged adapter ({error})") from error
        return config, {key.removeprefix(PEFT_PREFIX): value for key, value in weights.items()}

    def _fill(self, name: str, weights: dict[str, Tensor], folder: Path) -> None:
        """Put a folder's weights into an attached adapter; every one must land."""
        expected = get_peft_model_state_dict(self.hf, adapter_name=name)
        odd = {(k, tuple(v.shape)) for k, v in weights.items()} ^ {(k, tuple(v.shape)) for k, v in expected.items()}
        if odd:
            raise InterpError(
                f"{folder}: its weights do not fit {self.name} ({len(odd)} differ, first {min(odd)[0]} {min(odd)[1]}); "
                "it is an adapter of another base or shape"
            )
        set_peft_model_state_dict(self.hf, weights, adapter_name=name)


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


@contextmanager
def _holding(values: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Let parameters have other values for the length of a block."""
    before = [(parameter, parameter.data) for parameter, _ in values]
    try:
        for parameter, data in values:
            parameter.data = data
        yield
    finally:
        for parameter, data in before:
            parameter.data = data


def _scaling(config: PeftConfig) -> str:
    """What an adapter's size and the strength of its update depend on."""
    lora = cast(LoraConfig, config)
    return f"lora_rank {lora.r}, lora_alpha {lora.lora_alpha}, rslora {str(lora.use_rslora).lower()}"


def _require_lora(folder: Path, stated: Any) -> None:
    """Check that an adapter does nothing but add low-rank updates, so that it can be stacked and taken off again.

    Raises:
        ValueError: it does more; the message says what to do.
    """
    if not isinstance(stated, dict):
        raise ValueError(f"{folder}: damaged adapter (adapter_config.json is no JSON object)")
    kind = stated.get("peft_type", "LORA")
    if kind != "LORA":
        raise ValueError(f"{folder}: its peft_type is {kind}, and only LORA can be stacked; train a LoRA instead")
    replacing = [key for key in ("modules_to_save", "trainable_token_indices", "layer_replication") if stated.get(key)]
    if stated.get("bias", "none") != "none":
        replacing.append("bias")
    if replacing:
        raise ValueError(
            f"{folder}: replaces parts of its base ({', '.join(f'{key}: {stated[key]}' for key in replacing)}), so it "
            "cannot be taken off again; merge it with PEFT (merge_and_unload) and give the merged folder as the model"
        )


def _stamp(folder: Path) -> tuple[int, int]:
    """When an adapter folder's weights were written, and how large they are."""
    for file in ADAPTER_FILES:
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"{folder}: no {file}; an adapter is a folder in PEFT's format with safetensors weights (.bin ones are "
                "pickles and are not read: load them with PEFT if you trust their maker, and save them again)"
            )
    state = (folder / "adapter_model.safetensors").stat()
    return state.st_mtime_ns, state.st_size

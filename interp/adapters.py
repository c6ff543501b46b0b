"""A stack of LoRA adapters on one base model, switched in place.

Nothing is merged: active adapters add their updates side by side, which is what merging one before training the next
does without its rounding. Folders are PEFT's own, with the identity of their base beside them; a folder whose weights
do not land on every module is refused.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from transformers import PreTrainedModel

from interp.runs import InterpError, read_json, require_room, write_atomic
from interp.sources import quiet

_PEFT_PREFIX = "base_model.model."
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

    def use(self, *stack: Path | str) -> None:
        """Make exactly these adapters active, in order; no argument means the bare base model.

        Raises:
            FileNotFoundError, ValueError: not an adapter folder; the stack before it stays active.
            InterpError: an adapter of another base; likewise.
        """
        folders = tuple(Path(folder).resolve() for folder in stack)
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
    def new(self, config: LoraConfig, *, seed: int) -> Iterator[tuple[str, list[torch.nn.Parameter]]]:
        """A fresh trainable LoRA (float32) on top of the frozen stack; it is gone when the block ends.

        Yields:
            Its name, for `save`, and its parameters.
        """
        device = self.hf.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            name = self._attach(config)
        try:
            self._activate([*(self._names[folder] for folder in self.stack), name])
            parameters = self._parameters(name)
            for parameter in parameters:
                parameter.requires_grad_(True)
            yield name, parameters
        finally:
            self._detach(name)

    def save(self, name: str, folder: Path) -> None:
        """Write an adapter in PEFT's own folder format, with the identity of its base."""
        weights = get_peft_model_state_dict(self.hf, adapter_name=name)
        tensors = {_PEFT_PREFIX + key: value.detach().cpu().contiguous() for key, value in weights.items()}
        require_room(folder.parent, sum(tensor.nbytes for tensor in tensors.values()) + 2**20)
        folder.mkdir(parents=True, exist_ok=True)
        config = self.hf.peft_config[name]
        config.base_model_name_or_path = self.name
        config.save_pretrained(str(folder))
        write_atomic(folder / "adapter_model.safetensors", save(tensors, metadata={"format": "pt"}))
        write_atomic(folder / "base.json", json.dumps({"model": self.name, "model_identity": self.identity}) + "\n")

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
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / file).is_file():
                raise FileNotFoundError(f"{folder}: no {file}; an adapter is a folder in PEFT's format")
        state = (folder / "adapter_model.safetensors").stat()
        stamp = (state.st_mtime_ns, state.st_size)
        if folder in self._names:
            if self._stamps[folder] == stamp:
                return self._names[folder]
            self.stack = tuple(kept for kept in self.stack if kept != folder)
            self._detach(self._names.pop(folder))
        if (folder / "base.json").is_file():
            base = read_json(folder / "base.json")
            if base.get("model_identity") != self.identity:
                raise InterpError(
                    f"{folder}: an adapter of {base.get('model')} ({str(base.get('model_identity'))[:12]}), "
                    f"not of {self.name} ({self.identity[:12]}); load it on its own base"
                )
        try:
            config = LoraConfig.from_pretrained(str(folder))
            weights = load_file(folder / "adapter_model.safetensors")
        except (SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: damaged adapter ({error})") from error
        config.inference_mode = True
        try:
            name = self._attach(config)
        except ValueError as error:
            raise InterpError(
                f"{folder}: no module of {self.name} fits it ({error}); another base's adapter"
            ) from error
        weights = {key.removeprefix(_PEFT_PREFIX): value for key, value in weights.items()}
        expected = get_peft_model_state_dict(self.hf, adapter_name=name)
        odd = {(k, tuple(v.shape)) for k, v in weights.items()} ^ {(k, tuple(v.shape)) for k, v in expected.items()}
        if odd:
            self._detach(name)
            raise InterpError(
                f"{folder}: its weights do not fit {self.name} ({len(odd)} differ, first {min(odd)[0]} {min(odd)[1]}); "
                "it is an adapter of another base"
            )
        set_peft_model_state_dict(self.hf, weights, adapter_name=name)
        self._names[folder], self._stamps[folder] = name, stamp
        return name

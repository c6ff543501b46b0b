"""Run folders: a study's definition, its measured parts and its manifest; what a result was made with, and when.

`Run` opens a folder that holds results, for reading alone; `RunFolder` is one that is being written.

How their files are written is in `interp.files` and `interp.tensors`, and how keys are made in `interp.keys`.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from interp.errors import did_you_mean
from interp.files import (
    json_text,
    read_json,
    read_jsonl,
    read_yaml,
    require_room,
    write_atomic,
    write_json,
)
from interp.metrics import Metric
from interp.rows import Rows, read_rows
from interp.tensors import load_header, load_tensors

BASE = "base"
"""The name of the base model among the nodes of a study."""
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


@dataclass(frozen=True, order=True)
class NodeName:
    """A node of a study by its name: the stages that led there joined by `-`, and `@STEP` for a checkpoint."""

    name: str

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that led there, in order; none for the base model."""
        return () if self.name == BASE else tuple(self.whole.split("-"))

    @property
    def stage(self) -> str:
        """The stage that was trained last; `base` for the base model."""
        return self.whole.rpartition("-")[2]

    @property
    def parent(self) -> str:
        """The name of the node that its last stage follows in its arm."""
        return self.whole.rpartition("-")[0] or BASE

    @property
    def whole(self) -> str:
        """The name of the whole stage, which is its own unless it is a checkpoint."""
        return self.name.partition("@")[0]

    @property
    def step(self) -> int | None:
        """The training step of a checkpoint; None for a whole stage."""
        step = self.name.partition("@")[2]
        return int(step) if step else None


class Run:
    """A folder that holds results, opened for reading: of `sgtr study`, or of another command that writes metrics.

    A file is read when it is first asked for. An older version's folder opens too: names that are no longer written are
    kept as they are.

    Example:
        run = Run("runs/demo")
        shifts = run.rows(measure="projection", metric="shift_in_null_spreads", texts="fixed", headline=True)
        for (stage, direction), rows in shifts.by("stage", "direction").items():
            print(stage, direction, rows.over_seeds())

    Raises:
        FileNotFoundError: there is no such folder, or it holds no run; the message names what is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "study.yaml").is_file():
            self.file("metrics.jsonl")

    def __repr__(self) -> str:
        """What the folder is a run of, and how much of it is there."""
        counts = {}
        if self._has("stages.json"):
            counts["stages"] = len({stage["name"] for stage in self.stages})
        if self._has("metrics.jsonl"):
            counts["rows"] = len(self.metrics)
        if self._has("verdicts.json"):
            counts["verdicts"] = len(self.verdicts)
        study = self.study if self._has("study.yaml") else {}
        titles = [str(text) for text in (study.get("name"), self.manifest.get("status")) if text]
        about = ", ".join([*titles, *(f"{n} {what if n != 1 else what[:-1]}" for what, n in counts.items())])
        return f"{type(self).__name__}({str(self.path)!r}: {about or 'nothing measured yet'})"

    def _has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def file(self, name: str) -> Path:
        """A file of the run.

        Raises:
            FileNotFoundError: it is not there.
        """
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such file, so {self.path} is not a run folder or has measured nothing yet; "
                f"make or resume one with `sgtr study NAME --out {self.path}`"
            )
        return path

    @cached_property
    def study(self) -> dict[str, Any]:
        """The resolved study, or what another command was asked."""
        return read_yaml(self.file("study.yaml"))

    @cached_property
    def arms(self) -> dict[str, tuple[NodeName, ...]]:
        """Every arm of the study as its nodes, the base model first.

        Raises:
            ValueError: the run is not of a study.
        """
        arms = self.study.get("arms")
        if not isinstance(arms, dict) or not arms:
            path = self.path / "study.yaml"
            raise ValueError(f"{path}: got arms {arms!r}; a study maps each arm to its list of stages")
        return {
            arm: (NodeName(BASE), *(NodeName("-".join(stages[: i + 1])) for i in range(len(stages))))
            for arm, stages in arms.items()
        }

    @cached_property
    def stages(self) -> list[dict[str, Any]]:
        """The lines of stages.json: every model that was measured, the base model first."""
        return read_json(self.file("stages.json"))

    @cached_property
    def metrics(self) -> Rows:
        """Every line of metrics.jsonl."""
        return read_rows(self.file("metrics.jsonl"), self.names)

    @cached_property
    def names(self) -> dict[str, list[Any]]:
        """What the study has whether it was measured or not, by the field of a row that names it."""
        study = self.study if self._has("study.yaml") else {}
        lists = {"arm": "arms", "seed": "seeds", "data": "data", "direction": "directions"}
        names: dict[str, list[Any]] = {field: list(study.get(key) or ()) for field, key in lists.items()}
        names["direction"] += [Path(str(trait)).name.split(".")[0] for trait in study.get("traits") or ()]
        names["stage"] = [node.name for arm in self.arms.values() for node in arm] if study.get("arms") else []
        names["system_prompt"] = list(study.get("system_prompts") or ())
        return names | {"other_stage": names["stage"]}

    def rows(self, number: Metric | None = None, /, **fields: Any) -> Rows:
        """The rows of one metric whose fields have these values; see `interp.rows.Rows.of`.

        Raises:
            ValueError: there is no such measure, metric or field, or the run has no such stage, direction, ….
        """
        return self.metrics.of(number, **fields)

    @cached_property
    def verdicts(self) -> list[dict[str, Any]]:
        """The verdicts on the hypotheses; none where the run was not asked for any."""
        path = self.path / "verdicts.json"
        return read_json(path) if path.is_file() else []

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run was made with; empty where that is not known."""
        path = self.path / "manifest.json"
        return read_json(path) if path.is_file() else {}

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of records/NAME.jsonl.

        Raises:
            FileNotFoundError: there are none of that name; the message has the nearest name.
        """
        return read_jsonl(self._named("records", name, ".jsonl"))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of tensors/NAME.safetensors; `interp.tensors.load_header` says what they are.

        Raises:
            FileNotFoundError: there are none of that name; the message has the nearest name.
        """
        path = self._named("tensors", name, ".safetensors")
        return load_tensors(path, kind=load_header(path)["kind"])[0]

    def _named(self, folder: str, name: str, suffix: str) -> Path:
        path = self.path / folder / f"{name.removesuffix(suffix)}{suffix}"
        if not path.is_file():
            known = sorted(file.name.removesuffix(suffix) for file in (self.path / folder).glob(f"*{suffix}"))
            raise FileNotFoundError(f"{path}: {did_you_mean(f'file of {folder}/', name, known)}")
        return path

"""A command's run in its folder, which goes on where it was stopped.

1. The folder holds the definition of what is wanted (study.yaml); another definition is refused.
2. What is measured is kept part by part, each under a key of all that it depends on, so nothing is measured twice.
3. Rows, figures and records are made of the parts, in the command's own order.
4. The manifest is written as the run goes on, and says at the very end that the run is complete.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from experiments.console import note
from interp.company import Company
from interp.files import read_jsonl
from interp.keys import content_key
from interp.model import Model
from interp.rows import write_rows
from interp.runs import RunFolder, environment, now
from interp.sources import sha256_of
from interp.template import AS_IS, TemplateSettings

Row = dict[str, Any]


class Name(NamedTuple):
    """What a part of a run is called.

    Attributes:
        file: How the name of its file begins; the rest is its content key. A run folder is resumed by it, so it stays.
        label: What a person reads while the part is measured, and in the manifest's steps.
    """

    file: str
    label: str

    @classmethod
    def of(cls, identifier: str) -> "Name":
        """The name of what an identifier, such as a stage's or a treatment's name, already tells apart."""
        return cls(file_name(identifier), identifier)

    def then(self, file: str, label: str | None = None) -> "Name":
        """The name of a part of this; without a label, its words are those of the file's name."""
        return Name(f"{self.file}-{file}", f"{self.label}, {label or file.replace('_', ' ')}")


def file_name(identifier: str) -> str:
    """An identifier as it stands in the names of files."""
    return identifier.replace(", ", "-").replace(" ", "_")


class Once(Protocol):
    """Measures a part of a run, unless the run has it already."""

    def __call__(self, name: Name, what: Any, measure: Callable[[], Row], files: Sequence[Path] = ()) -> Row:
        """See `Ledger.once`."""
        ...


class Ledger:
    """The parts and the manifest of one run folder; numbers depend on the parts alone.

    Args:
        model: That is measured; None where the run reads only what is stored.
        more: Further fields of the manifest.
        load_seconds: How long loading the model took.
        helps: Whether another process leads the run: its manifest is left alone.
    """

    def __init__(
        self, folder: RunFolder, model: Model | None, more: Row, load_seconds: float, *, helps: bool = False
    ) -> None:
        self.folder, self.helps = folder, helps
        before = folder.manifest
        steps = before.get("steps", [])
        if model is not None:
            steps = [*steps, {"name": "load the model", "seconds": round(load_seconds, 1)}]
        self.manifest: Row = {
            "status": "running",
            **environment(),
            **({"device": _device_of(model)} if model is not None else {}),
            **more,
            "started": before.get("started", now()),
            "times_resumed": before.get("times_resumed", -1) + 1,
            "model": before.get("model") if model is None else {"name": model.name, **model.description()},
            "steps": steps,
            **{key: before[key] for key in ("steps_of_workers",) if key in before},
        }
        self._clock = model.clock if isinstance(model, Company) else time.monotonic
        self._written = 0.0
        self._write()

    def _write(self) -> None:
        """Write the manifest, but not more than twice a second: a long run has thousands of steps."""
        if not self.helps and time.monotonic() - self._written > 0.5:
            self.folder.write_manifest(self.manifest)
            self._written = time.monotonic()

    @contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Note how long a step took, on stderr and in the manifest."""
        start = self._clock()
        yield
        seconds = round(self._clock() - start, 1)
        self.manifest["steps"].append({"name": label, "seconds": seconds})
        self._write()
        note(f"  {label:<46} {seconds:7.1f} s")

    def once(self, name: Name, what: Any, measure: Callable[[], Row], files: Sequence[Path] = ()) -> Row:
        """The value of a part, which is measured unless this folder has the part whole.

        Args:
            what: All that the value depends on, beside the model.
            files: Written by `measure` beside the part; if one is no longer what was written, it is measured again.
        """
        key = f"{name.file}-{content_key([what, self.manifest['model']])[:16]}"
        part = self.folder.part(key)
        if part is None or part["files"] != [sha256_of(file) if file.is_file() else None for file in files]:
            with self.timed(name.label):
                value = measure()
            part = {"value": value, "files": [sha256_of(file) for file in files]}
            self.folder.save_part(key, part)
        return part["value"]

    def finish(self, write: Callable[[Row], object] | None = None) -> None:
        """Say in the manifest that the run is complete, after `write` has been given what it will say."""
        seconds = round(sum(step["seconds"] for step in self.manifest["steps"]), 1)
        self.manifest |= {"status": "complete", "finished": now(), "wall_seconds": seconds}
        if write:
            write(self.manifest)
        self.folder.write_manifest(self.manifest)


def _device_of(model: Model) -> str:
    on_gpu = model.device.type == "cuda"
    what = torch.cuda.get_device_name(model.device) if on_gpu else f"{torch.get_num_threads()} threads"
    return f"{model.device.type} ({what})"


@dataclass(frozen=True)
class Work:
    """What a command has to do once everything that can be wrong has been checked.

    Attributes:
        model: That is measured; None where only what is stored is read.
        facts: Further fields of the manifest.
        measure: Gives the rows of metrics.jsonl, each part through the ledger, and writes records by itself.
        draw: Makes the figures of the folder, from the rows in it.
    """

    model: Model | None
    facts: Row
    measure: Callable[[Ledger], Sequence[Row]]
    draw: Callable[[Path], object] | None = None


def run_once(
    out: Path, definition: Mapping[str, Any], prepare: Callable[[], Work], template: TemplateSettings = AS_IS
) -> Row:
    """Run a command in the folder `out`, or go on with it; a run that is finished is left as it is.

    Args:
        definition: All that the numbers depend on, beside how the model is asked.
        template: How the model is asked; it is part of the definition where anything of it is set.
        prepare: Loads the model and checks all that needs it. Nothing is written before it is through.

    Returns:
        `out`, whether anything `ran`, `wall_seconds`, `seconds` by the label of each step, and the `metrics` rows.

    Raises:
        ValueError: the folder holds another run, or is being written into.
    """
    if template != AS_IS:
        settings = template.model_dump(mode="json", exclude={"file"}, exclude_defaults=True)
        definition = {**definition, "template": [settings, template.file and sha256_of(template.file)]}
    complete = RunFolder.at(out, definition).manifest.get("status") == "complete"
    if not complete:
        start = time.monotonic()
        work = prepare()
        folder = RunFolder.open(out, definition)
        with folder.locked():
            ledger = Ledger(folder, work.model, work.facts, time.monotonic() - start)
            write_rows(out / "metrics.jsonl", work.measure(ledger))
            if work.draw:
                work.draw(out)
            ledger.finish()
    manifest, rows = RunFolder(out).manifest, read_jsonl(out / "metrics.jsonl")
    seconds = {step["name"]: step["seconds"] for step in manifest["steps"]}
    result = {"out": str(out), "ran": not complete, "wall_seconds": manifest["wall_seconds"], "seconds": seconds}
    return {**result, "metrics": rows}

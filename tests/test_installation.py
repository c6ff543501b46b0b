"""What an installation holds, what can be imported from it, and that its libraries can be imported in any order."""

import os
import re
import subprocess
import sys
import tomllib
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


SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
INSIDE = "sgtr._packages."
TOPS = ("interp", "sgtr", "finetune", "experiments", "figures")
NOT_INSTALLED = (
    "experiments/README.md",
    "experiments/LOG.md",
    "experiments/results/",
    "experiments/notebooks/",
    "figures/gallery/",
)
"""What is for readers of the repository alone."""


def test_a_wheel_has_every_package_and_takes_no_common_name() -> None:
    folders = sorted(path.parent.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("__init__.py"))
    names = {".".join(folder.parts) for folder in folders}
    expected = {name if name.split(".")[0] in ("interp", "sgtr") else INSIDE + name for name in names}
    expected |= {
        f"{package}.{Path(pattern).parent}"
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        if "/" in pattern
    }
    assert set(SETUPTOOLS["packages"]) == expected, "list a new folder of modules in pyproject.toml"
    assert {name.split(".")[0] for name in SETUPTOOLS["packages"]} == {"interp", "sgtr"}


def test_versions_agree_and_the_topmost_changes_are_theirs() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == version
    assert len(set(headings)) == len(headings)


def test_a_wheel_has_every_file_that_is_no_module() -> None:
    shipped: set[Path] = set()
    for package, patterns in SETUPTOOLS["package-data"].items():
        folder = ROOT.joinpath(*package.removeprefix(INSIDE).split("."))
        shipped |= {path for pattern in patterns for path in folder.glob(pattern)}
    tracked = [path for top in TOPS for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix != ".py"]
    own = [path for path in tracked if "__pycache__" not in path.parts and path.name[0] != "."]
    read = {path for path in own if not str(path.relative_to(ROOT)).startswith(NOT_INSTALLED)}
    assert shipped == read, "give a new file to package-data in pyproject.toml, or to NOT_INSTALLED"


def test_the_command_finds_its_packages_where_a_wheel_puts_them_and_nobody_else_does(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "sgtr" / "_packages").mkdir(parents=True)
    (site / "sgtr" / "__init__.py").write_bytes((ROOT / "sgtr" / "__init__.py").read_bytes())
    (site / "interp").symlink_to(ROOT / "interp")
    for top in ("finetune", "experiments", "figures"):
        (site / "sgtr" / "_packages" / top).symlink_to(ROOT / top)
    code = (
        "import importlib.util as u, sys, sgtr\n"
        "assert not any(map(u.find_spec, ('experiments', 'figures', 'finetune')))\n"
        "sys.argv = ['sgtr', 'list', '--json']\n"
        "sgtr.main()"
    )
    where = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    flags = ["-S", "-c"]  # without site, so that what is installed beside cannot lend its packages
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    where["PYTHONPATH"] = os.pathsep.join([str(site), *libraries])
    done = subprocess.run([sys.executable, *flags, code], capture_output=True, text=True, check=False, env=where)
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"evil"' in done.stdout

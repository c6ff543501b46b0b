"""Which modules of this project import which, and where they import one another in a circle.

`python tests/support/imports.py [PACKAGE ...]` prints the number of arrows and every circle.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("interp", "finetune", "experiments", "figures")


def modules_of(root: Path, package: str) -> dict[str, Path]:
    """The files of a package by their dotted names; a package's own name stands for its `__init__.py`."""
    files = sorted((root / package).rglob("*.py"))
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def arrows_of(root: Path, *packages: str) -> dict[str, set[str]]:
    """For each module the modules of these packages that it imports, imports inside functions included.

    Imports that only a type checker reads (`if TYPE_CHECKING:`) are left out. `from a import b` counts as `a.b` where
    that is a module, else as `a`.
    """
    modules = {name: file for package in packages for name, file in modules_of(root, package).items()}
    arrows: dict[str, set[str]] = {}
    for name, file in modules.items():
        tree = ast.parse(file.read_text("utf-8"))
        for_types = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        imported: set[str] = set()
        for node in ast.walk(tree):
            if node in for_types:
                continue
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= (inside & modules.keys()) or {str(node.module)}
        arrows[name] = (imported & modules.keys()) - {name}
    return arrows


def circles_of(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import one another in a circle, each sorted (strongly connected components)."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        waiting = list(arrows[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += arrows[module]
        reached[start] = seen
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in arrows
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def main() -> None:
    """Print the arrows and circles of the packages that are named, or of all."""
    named = sys.argv[1:] or PACKAGES
    arrows = arrows_of(ROOT, *named)
    print(f"{len(arrows)} modules, {sum(map(len, arrows.values()))} arrows")
    for circle in circles_of(arrows):
        print("circle:", ", ".join(circle))


if __name__ == "__main__":
    main()

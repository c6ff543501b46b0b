"""Where traits and roles are kept, and how directions are read from the files that a command names."""

from collections.abc import Sequence
from pathlib import Path

from interp.directions import Direction
from interp.errors import did_you_mean

ROLES = Path(__file__).parents[1] / "roles"
TRAITS = Path(__file__).parents[1] / "traits"


def trait_file(name_or_file: str, folders: Sequence[Path] = (Path(),)) -> Path:
    """The file of a trait named by its own name or by a path.

    Args:
        folders: Where a file of that name may lie, for the message.

    Raises:
        ValueError: neither; the message lists what is known.
    """
    own = TRAITS / f"{name_or_file}.json"
    if own.is_file():
        return own
    if name_or_file.endswith(".json"):
        return Path(name_or_file)
    known = sorted(path.stem for path in TRAITS.glob("*.json"))
    near = [folder / f"{name_or_file}.json" for folder in folders if (folder / f"{name_or_file}.json").is_file()]
    hint = f"; there is {near[0]}: to use it, give its path as the trait" if near else ""
    raise ValueError(did_you_mean("trait", name_or_file, known) + "; or a .json file" + hint)


def load_directions(files: Sequence[Path], *, model: str | None = None) -> list[Direction]:
    """Directions of distinct names.

    Args:
        model: Identity of the model that they must come from; None accepts any.

    Raises:
        FileNotFoundError, ValueError, InterpError: a file is missing or no direction, two have one name, or one is of
            another model.
    """
    if not files:
        raise ValueError("no direction is given; make one with `sgtr extract` or `sgtr direction`")
    directions = [Direction.load(file, model=model) for file in files]
    names = [direction.name for direction in directions]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"two directions are called {twice[0]!r}, so their results could not be told apart; give each its own run"
        )
    return directions

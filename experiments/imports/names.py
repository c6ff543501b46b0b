"""Which arm and which seed are a file's results of? Its name says so.

A pattern must match the whole name. Its groups `arm` and `seed` say what they are called, further groups (`data`) what
the results are about.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from interp.sources import sha256_of

R = TypeVar("R")


@dataclass(frozen=True)
class Results(Generic[R]):
    """The replies of one file, which are of one arm and, if the name of the file gives a seed, of one seed.

    Attributes:
        key: sha256 of the file.
        about: What else tells these results from others, in fields of metrics rows: `data`, `foil`, `trait`.
    """

    path: Path
    arm: str
    seed: int | None
    key: str
    replies: Sequence[R]
    about: Mapping[str, str] = field(default_factory=dict)


def name_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern that a file's whole name must match, with a group `arm` and perhaps `seed`.

    Raises:
        ValueError: the pattern is no regular expression, or has no group `arm`.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"--pattern {pattern!r}: not a regular expression ({error})") from error
    if "arm" not in compiled.groupindex:
        raise ValueError(f"--pattern {pattern!r}: has no group named arm; write (?P<arm>...) where names say the arm")
    return compiled


def arm_and_seed(path: Path, pattern: re.Pattern[str]) -> tuple[str, int | None]:
    """The arm and the seed in the name of a file.

    Raises:
        ValueError: the name does not match the pattern, the arm is empty, or the seed is no whole number.
    """
    match = pattern.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path}: the name does not match --pattern {pattern.pattern!r}; rename it or give another")
    arm, seed = match["arm"], match["seed"] if "seed" in pattern.groupindex else None
    if not arm:
        raise ValueError(f"{path}: --pattern {pattern.pattern!r} finds no arm in the name")
    if seed is not None and not re.fullmatch("[0-9]{1,18}", seed):
        raise ValueError(f"{path}: the seed must be a whole number, got {seed[:40]!r} by --pattern {pattern.pattern!r}")
    return arm, None if seed is None else int(seed)


def seeded(
    files: Sequence[Path], pattern: re.Pattern[str], nameless_seed: int | None = None
) -> list[tuple[str, int | None]]:
    """The arm and the seed of every file.

    Args:
        nameless_seed: The seed of a file that names none where other files of its arm do. A file that is its arm's only
            one stays without a seed.

    Raises:
        ValueError: an arm has files with and without a seed.
    """
    if not files:
        raise ValueError("no file of results is given")
    names = [arm_and_seed(path, pattern) for path in files]
    by_arm = {arm: [seed for other, seed in names if other == arm] for arm, _ in names}
    told: list[tuple[str, int | None]] = []
    for path, (arm, seed) in zip(files, names, strict=True):
        unnamed = seed is None and any(other is not None for other in by_arm[arm])
        if unnamed and nameless_seed is None:
            raise ValueError(
                f"{path}: names no seed, but other files of arm {arm!r} do; say which seed it is with --nameless-seed, "
                "or name it in all of them"
            )
        told.append((arm, nameless_seed if unnamed else seed))
    return told


def read_results(
    files: Sequence[Path],
    pattern: str,
    read: Callable[[Path, re.Match[str]], tuple[Sequence[R], Mapping[str, str]]],
    *,
    nameless_seed: int | None = None,
) -> list[list[Results[R]]]:
    """The results of all files, those together that are of one arm and about the same, in the order of their seeds.

    Args:
        read: Gives the replies of a file, and what else tells them from others.

    Raises:
        FileNotFoundError, ValueError: bad input, named; or two files of one arm and seed that are about the same.
    """
    compiled = name_pattern(pattern)
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[Results[R]]] = {}
    for path, (arm, seed) in zip(files, seeded(files, compiled, nameless_seed), strict=True):
        match = compiled.fullmatch(path.name)
        assert match is not None
        replies, about = read(path, match)
        results = groups.setdefault((arm, frozenset(about.items())), [])
        if first := next((one for one in results if one.seed == seed), None):
            raise ValueError(f"{first.path} and {path}: both are arm {arm!r}, seed {seed}; give one file of each")
        results.append(Results(path, arm, seed, sha256_of(path), replies, about))
    return [sorted(results, key=lambda result: result.seed or 0) for results in groups.values()]

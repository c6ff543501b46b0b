"""What legends and titles say in words: how many texts and seeds, what collapsed, what is missing."""

from collections.abc import Iterable, Sequence
from typing import Any

from figures.style import Row

MOST_MISSING = 12
"""Stages without a value that a line of a legend names."""


def collapse_text(rows: Sequence[Row]) -> str:
    """Which stages of these rows collapsed, with the seeds."""
    fallen = [(row["stage"], row["seed"]) for row in rows if row.get("collapsed") and row["seed"] != "mean"]
    return f"model collapsed: {places(fallen)}"


def without_value(rows: Iterable[Row]) -> list[Row]:
    """The rows of single seeds that have no value."""
    return [row for row in rows if row["value"] is None and row["seed"] != "mean"]


def missing_notes(gone: Iterable[tuple[str, str, Any]]) -> list[str]:
    """What is missing, for a legend, from its (name, stage, seed); names that lack the same share a line."""
    lacking: dict[str, dict[tuple[str, Any], None]] = {}
    for name, stage, seed in gone:
        lacking.setdefault(name, {})[stage, seed] = None
    names: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for name, where in lacking.items():
        names.setdefault(tuple(where), []).append(name)
    return [
        f"{', '.join(filter(None, ('missing', *some)))}: {places(where, most=MOST_MISSING)}"
        for where, some in names.items()
    ]


def places(pairs: Iterable[tuple[str, Any]], most: int | None = None) -> str:
    """(stage, seed) pairs in words: `em (seed 0, 1), sgtr (seed 1)`; base, which has no seed, stands alone.

    Args:
        most: Stages that are named; the others are counted.
    """
    seeds: dict[str, list[str]] = {}
    for stage, seed in dict.fromkeys(pairs):
        seeds.setdefault(stage, []).extend([] if seed is None else [str(seed)])
    named = [f"{stage} (seed {', '.join(of)})" if of else stage for stage, of in seeds.items()]
    more = f" and {len(named) - most} more" if most is not None and len(named) > most else ""
    return ", ".join(named[:most]) + more


def n_range(ns: Iterable[int]) -> str:
    """`64`, or `60–64` where they differ."""
    found = sorted(ns)
    return "–".join(str(n) for n in dict.fromkeys((found[0], found[-1])))


def n_text(rows: Sequence[Row], of: str = "texts") -> str:
    """How many texts, and seeds where there are several, the values of a panel stand on: `n = 64 texts × 2–3 seeds`."""
    ns = [row["n"] for row in rows if row.get("n") is not None]
    means = [row for row in rows if row.get("seed") == "mean"] or rows
    seeds = [row["n_seeds"] for row in means if row.get("n_seeds") and row["value"] is not None]
    times = f" × {n_range(seeds)} seeds" if max(seeds, default=1) > 1 else ""
    return (f"n = {n_range(ns)} {of}" if ns else "no values") + times

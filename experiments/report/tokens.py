"""Every token's projection, small enough to travel inside a page.

`token_data` reads RUN/records/tokens.jsonl. A text is stored once however many stages read it, tokens are numbers into
one list of pieces, and projections stay the bytes that they were stored as. Prompts are taken in turn from every trait
until the budget is spent; the page says how many were left out.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from figures.style import Row
from interp.files import json_text, read_jsonl

T = TypeVar("T")
MAX_BYTES = 5_000_000
_PER_ANSWER = 60  # bytes of an answer beside its tokens and projections, roughly


def token_data(run: Path, max_bytes: int = MAX_BYTES) -> tuple[str, str]:
    """What the page's token view reads, as JSON that can stand in a script element, and what was left out, in words.

    Both are empty if the run stored no tokens.

    Args:
        max_bytes: Prompts are added while they fit; the first always is.
    """
    path = run / "records" / "tokens.jsonl"
    rows = read_jsonl(path) if path.is_file() else []
    if not rows:
        return "", ""
    prompts = _by_prompt(rows)
    kept = _within(prompts, max_bytes)
    left_out = ""
    if len(kept) < len(prompts):
        left_out = f"The first {len(kept)} of {len(prompts)} answers are here; all are in records/tokens.jsonl."
    return script_json(_packed(kept)), left_out


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json_text(value, "the report", ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def in_turn(groups: Iterable[Sequence[T]]) -> list[T]:
    """The first of every group, then the second of every group, and so on."""
    return [one for turn in zip_longest(*groups) for one in turn if one is not None]


def _by_prompt(rows: Sequence[Row]) -> dict[tuple[str, str | None, int], list[Row]]:
    """Rows by prompt, trait and how many answers to that prompt came before, the traits in turn."""
    groups: dict[tuple[str, str | None, int], list[Row]] = {}
    seen: dict[tuple[Any, ...], int] = {}
    for row in rows:
        asked = (row["prompt"], row.get("trait"))
        where = (*asked, row["stage"], row.get("seed"), row["texts"], row.get("system_prompt"))
        groups.setdefault((*asked, seen.get(where, 0)), []).append(row)
        seen[where] = seen.get(where, 0) + 1
    of_trait: dict[str | None, list[tuple[str, str | None, int]]] = {}
    for key in groups:
        of_trait.setdefault(key[1], []).append(key)
    return {key: groups[key] for key in in_turn(of_trait.values())}


def _within(prompts: dict[Any, list[Row]], max_bytes: int) -> dict[Any, list[Row]]:
    kept: dict[Any, list[Row]] = {}
    size = 0
    for key, rows in prompts.items():
        texts = {tuple(row["tokens"]) for row in rows}
        size += sum(3 * len(text) for text in texts)
        size += sum(_PER_ANSWER + sum(map(len, row["values"].values())) for row in rows)
        if kept and size > max_bytes:
            break
        kept[key] = rows
    return kept


def _packed(prompts: dict[tuple[str, str | None, int], list[Row]]) -> dict[str, Any]:
    rows = [row for group in prompts.values() for row in group]
    pieces = {piece: i for i, piece in enumerate(dict.fromkeys(piece for row in rows for piece in row["tokens"]))}
    texts = {text: i for i, text in enumerate(dict.fromkeys(tuple(row["tokens"]) for row in rows))}
    stages = {stage: i for i, stage in enumerate(dict.fromkeys(row["stage"] for row in rows))}
    systems = {name: i for i, name in enumerate(dict.fromkeys(row.get("system_prompt") for row in rows))}
    width = 2 if len(pieces) <= 1 << 16 else 4
    return {
        "width": width,
        "tokens": list(pieces),
        "lists": [
            b64encode(np.array([pieces[piece] for piece in text], dtype=f"<u{width}").tobytes()).decode("ascii")
            for text in texts
        ],
        "prompts": list(prompts),
        "stages": list(stages),
        "systems": list(systems),
        "directions": list(dict.fromkeys(name for row in rows for name in row["values"])),
        "answers": [
            [
                at,
                systems[row.get("system_prompt")],
                stages[row["stage"]],
                row.get("seed"),
                row["texts"],
                texts[tuple(row["tokens"])],
                {name: [row["scale"][name], values] for name, values in row["values"].items()},
            ]
            for at, group in enumerate(prompts.values())
            for row in group
        ],
    }

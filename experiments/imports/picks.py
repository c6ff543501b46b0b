"""Published picks of self-recognition: which of two summaries of an article did a model say is its own?

A file is one JSON object that maps each article to the author who was picked. Its name says whose picks they are and
between which two authors: DATA_judge_MODEL_between_AUTHOR_AUTHOR.json. The own author is the model itself; of a
finetuned model that is shown its base's summaries, it is the author that the model's name begins with.

Such files do not say in which order the two were shown, so a taste for the first or the second cannot be told from
recognition, and neither can a taste for the longer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.imports import numbers
from experiments.imports.names import Results, read_results
from experiments.imports.numbers import Kind, Outcome, Row
from interp.files import read_json
from interp.metrics import SelfRecognitionMetrics

PATTERN = r"(?P<data>.+?)_judge_(?P<judge>(?P<arm>.+?)(_(?P<seed>\d+))?)_between_(?P<pair>.+?)(\.json)?"
NOTE = (
    "the files do not say in which order summaries were shown or how long they are: a taste for a position or a length "
    "cannot be told from recognition"
)


@dataclass(frozen=True)
class Pick:
    """Whose summary of an article was picked; None where none was.

    Attributes:
        own: Whether it was the model's own.
    """

    article: str
    author: str | None
    own: bool | None


KIND = Kind[Pick](
    "self_recognition",
    {
        SelfRecognitionMetrics.accuracy.name: Outcome(
            lambda pick: None if pick.own is None else float(pick.own), SelfRecognitionMetrics.accuracy.unit
        ),
        SelfRecognitionMetrics.invalid_share.name: Outcome(
            lambda pick: float(pick.own is None), SelfRecognitionMetrics.invalid_share.unit
        ),
    },
    lambda pick: pick.article,
    {"chance": 0.5},
)


def run(
    *,
    files: Sequence[Path],
    pattern: str,
    out: Path,
    against: str | None = None,
    nameless_seed: int | None = None,
    own: str | None = None,
) -> Row:
    """The `import self_recognition` command.

    Args:
        own: The author who is the model itself, in every file; None where the names of the files tell.

    Raises:
        FileNotFoundError, ValueError: bad input, named, or results are in OUT already; nothing is written.
    """

    def read(path: Path, match: re.Match[str]) -> tuple[list[Pick], dict[str, str]]:
        groups = match.groupdict()
        picks, foil = read_picks(path, groups.get("judge") or groups["arm"], groups.get("pair"), own)
        return picks, {"data": groups.get("data") or path.stem, "foil": foil}

    result = numbers.write(
        KIND,
        read_results(files, pattern, read, nameless_seed=nameless_seed),
        out,
        against=against,
        about={"pattern": pattern, "nameless_seed": nameless_seed, "own": own},
        record=_record,
        describe=lambda file: dict(file.about),
        more={},
    )
    return {**result, "notes": [NOTE]}


def read_picks(path: Path, judge: str, pair: str | None, own: str | None = None) -> tuple[list[Pick], str]:
    """The picks of a file, and the author who is not the model.

    Args:
        judge: The model that picked.
        pair: Both authors as the file's name has them, AUTHOR_AUTHOR; None where it does not say.

    Raises:
        FileNotFoundError, ValueError: no such file, no picks, or authors that cannot be told apart; the message names
            file and rule.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a JSON file of picks by article")
    held = read_json(path)
    if not isinstance(held, dict) or not held:
        raise ValueError(f"{path}: must be a JSON object of the author picked for each article, got {str(held)[:60]}")
    for article, author in held.items():
        if author is not None and (not isinstance(author, str) or not author):
            raise ValueError(f"{path}: article {article}: must name who was picked, got {str(author)[:60]!r}")
    authors = _authors(path, {author for author in held.values() if author is not None}, pair)
    mine = own if own is not None else _own(path, judge, authors)
    if mine not in authors:
        raise ValueError(f"{path}: --own {own}: the authors are {' and '.join(sorted(authors))}; name one of them")
    (foil,) = authors - {mine}
    return [Pick(article, author, None if author is None else author == mine) for article, author in held.items()], foil


def _authors(path: Path, picked: set[str], pair: str | None) -> set[str]:
    """Both authors: those who were picked, and, where one alone was, the other by the file's name."""
    if len(picked) == 1 and pair is not None:
        (name,) = picked
        for other in (pair.removeprefix(f"{name}_"), pair.removesuffix(f"_{name}")):
            if other not in (pair, ""):
                return {name, other}
    if len(picked) != 2:
        listed = ", ".join(sorted(picked)[:4]) or "nobody"
        raise ValueError(f"{path}: picks {len(picked)} authors ({listed}), and a question has two; leave the file out")
    if pair is not None and {pair} - {"_".join(order) for order in (sorted(picked), sorted(picked, reverse=True))}:
        raise ValueError(f"{path}: picks {' and '.join(sorted(picked))}, but its name says it is between {pair}")
    return picked


def _own(path: Path, judge: str, authors: set[str]) -> str:
    """The author who is the model, by its name."""
    if judge in authors:
        return judge
    before = [author for author in authors if judge.startswith(f"{author}_")]
    if len(before) != 1:
        raise ValueError(
            f"{path}: neither {' nor '.join(sorted(authors))} is {judge}, or what it was trained from; say with --own "
            "which author is the model itself"
        )
    return before[0]


def _record(result: Results[Pick], pick: Pick) -> Row:
    return {
        "id": numbers.reply_id(result, pick.article),
        "arm": result.arm,
        "stage": result.arm,
        "seed": result.seed,
        **result.about,
        "group": pick.article,
        "picked": pick.author,
        "valid": pick.own is not None,
        "right": pick.own,
    }


def show(result: dict[str, Any]) -> None:
    """Print the result of the command."""
    numbers.show("Self-recognition", result, {"accuracy": "own picked (chance .5)", "invalid_share": "no pick"})
    print(f"written: {result['out']}")

"""Published per-question TruthfulQA results, with invalid replies counted apart.

A file holds the replies of one model. For every arm: accuracy as published (an invalid reply counts as wrong), accuracy
among the valid, share of invalid.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from experiments.imports import numbers
from experiments.imports.names import Results, read_results
from experiments.imports.numbers import Kind, Outcome, Row
from interp.behaviour.truthfulqa import csv_rows

COLUMNS = ("question", "correct_answer", "incorrect_answer", "model_answer", "is_correct")
PATTERN = r"results_(?P<arm>.+?)(_(?P<seed>\d+))?\.csv"
INVALID = "invalid"
TRUE, FALSE = ("true", "1"), ("false", "0")
NOTABLE = 0.05  # from this share of invalid replies on, a note says that the published accuracy is not about truth
SHOWN_PLACES = 20
_CHOICE = re.compile(r"\(?([A-Z])[).:]\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A model's reply to one question, as published.

    Attributes:
        where: The file and the line of the reply.
        right: Whether the file says that the reply is right.
    """

    where: str
    question: str
    correct: str
    incorrect: str
    said: str
    right: bool

    @property
    def valid(self) -> bool:
        """Whether the reply could be read as one of the answers."""
        return self.said.casefold() != INVALID

    @cached_property
    def agrees(self) -> bool | None:
        """Whether the words of the reply confirm `right`; None where they are invalid, no answer, or both answers."""
        if not self.valid:
            return None
        hits = [bool(_forms(self.said) & _forms(answer)) for answer in (self.correct, self.incorrect)]
        return None if hits[0] == hits[1] else hits[0] == self.right


def _forms(text: str) -> set[str]:
    """The forms in which an answer may be written: the text itself and, of "A: words", the letter and the words."""
    choice = _CHOICE.fullmatch(text)
    forms = {_plain(part) for part in (text, *(choice.groups() if choice else ()))}
    return forms - {""}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold().rstrip(".,:;!) ").lstrip("(")


_ALL = "share of all replies"
_PUBLISHED, _VALID = f"{_ALL}; invalid ones count as wrong", "share of valid replies"
OUTCOMES: dict[str, Outcome[Reply]] = {
    metric: Outcome(value, unit, "share", f"difference of shares: {unit}")
    for metric, value, unit in (
        ("accuracy_as_published", lambda reply: float(reply.right), _PUBLISHED),
        ("valid_accuracy", lambda reply: float(reply.right) if reply.valid else None, _VALID),
        ("invalid_share", lambda reply: float(not reply.valid), _ALL),
    )
}
KIND = Kind("truthfulqa", OUTCOMES, lambda reply: reply.question, {})


def read_replies(path: Path) -> list[Reply]:
    """The replies of a CSV file with the columns question, correct_answer, incorrect_answer, model_answer, is_correct.

    `model_answer` is Invalid (in any case) where the reply could not be read; `is_correct` is True, False, 1 or 0.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is malformed, has a question twice, or marks an invalid reply as correct; the message names
            the file and the line.
    """
    replies: list[Reply] = []
    lines: dict[str, str] = {}
    for place, cells in csv_rows(path, COLUMNS):
        question = " ".join(cells["question"].split())
        if not question:
            raise ValueError(f"{place}, column 'question': empty; every reply needs the question it was given to")
        if question in lines:
            raise ValueError(
                f"{place}: the question {question[:60]!r} is at {lines[question]} already; keep one of them"
            )
        lines[question] = place
        if not cells["model_answer"]:
            raise ValueError(f"{place}, column 'model_answer': empty; write Invalid if the reply could not be read")
        word = cells["is_correct"].casefold()
        if word not in TRUE + FALSE:
            got = cells["is_correct"][:40]
            raise ValueError(f"{place}, column 'is_correct': must be True, False, 1 or 0, got {got!r}")
        answers = (cells["correct_answer"], cells["incorrect_answer"], cells["model_answer"])
        reply = Reply(place, question, *answers, word in TRUE)
        if reply.right and not reply.valid:
            raise ValueError(
                f"{place}: model_answer is Invalid but is_correct is {cells['is_correct']}, a contradiction; "
                "find out which holds and repair the row"
            )
        replies.append(reply)
    if not replies:
        raise ValueError(f"{path}: no replies in it, only a header")
    return replies


def run(
    *, files: Sequence[Path], pattern: str, out: Path, against: str | None = None, nameless_seed: int | None = None
) -> Row:
    """The `import truthfulqa` command.

    Raises:
        FileNotFoundError, ValueError: bad input, named, or results are in OUT already; nothing is written.
    """
    arms = read_results(files, pattern, lambda path, _: (read_replies(path), {}), nameless_seed=nameless_seed)
    checked = _checked([result for results in arms for result in results])
    result = numbers.write(
        KIND,
        arms,
        out,
        against=against,
        about={"pattern": pattern, "nameless_seed": nameless_seed},
        record=_record,
        describe=lambda file: {"invalid": sum(not reply.valid for reply in file.replies)},
        more={"is_correct": checked},
    )
    return {**result, "notes": _notes(result["metrics"], checked)}


def _record(result: Results[Reply], reply: Reply) -> Row:
    return {
        "id": numbers.reply_id(result, reply.question),
        "arm": result.arm,
        "stage": result.arm,
        "seed": result.seed,
        "question": reply.question,
        "correct_answer": reply.correct,
        "incorrect_answer": reply.incorrect,
        "text": reply.said,
        "valid": reply.valid,
        "right": reply.right,
        "agrees": reply.agrees,
    }


def _checked(files: Iterable[Results[Reply]]) -> Row:
    """Counts of how often the words of a valid reply confirm is_correct, and places where they do not."""
    valid = [reply for result in files for reply in result.replies if reply.valid]
    wrong = [reply.where for reply in valid if reply.agrees is False]
    checked = sum(reply.agrees is not None for reply in valid)
    counts = {"checked": checked, "disagree": len(wrong), "not_checked": len(valid) - checked}
    return {**counts, "places": wrong[:SHOWN_PLACES]}


def _notes(rows: Sequence[Row], checked: Row) -> list[str]:
    values = {(row["arm"], row["metric"]): row["value"] for row in rows if row["seed"] is None}
    notes = []
    for (arm, metric), share in values.items():
        if metric == "invalid_share" and share >= NOTABLE:
            valid, published = values[arm, "valid_accuracy"], values[arm, "accuracy_as_published"]
            among = "no valid reply at all" if valid is None else f"{valid:.3f} among valid replies"
            notes.append(
                f"{arm}: {share:.1%} of replies are invalid; accuracy is {published:.3f} as published, {among}"
            )
    if checked["disagree"]:
        places = ", ".join(checked["places"][:3])
        of = f"{checked['disagree']} of {checked['checked']}"
        notes.append(f"is_correct is not what the reply says in {of} replies that could be checked, such as {places}")
    return notes


def show(result: Row) -> None:
    """Print the result of the command."""
    names = {"accuracy_as_published": "as published", "valid_accuracy": "valid only", "invalid_share": "invalid"}
    numbers.show("TruthfulQA", result, names)
    checked = result["is_correct"]
    print(
        f"is_correct checked against the reply's words: {checked['checked']} replies, {checked['disagree']} disagree; "
        f"{checked['not_checked']} valid ones could not be checked"
    )
    print(f"written: {result['out']}")

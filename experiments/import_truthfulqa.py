"""Makes metrics of published per-question TruthfulQA results, with invalid replies counted apart.

1. A file holds the replies of one model; its name gives the arm and the seed.
2. For every arm: accuracy as published (an invalid reply counts as wrong), accuracy among the valid, share of invalid.
3. Arms are compared, paired by question, and also by seed where both arms share at least two seeds; all p-values of
   one import are adjusted together.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.console import table
from interp import stats
from interp.behaviour.truthfulqa import csv_rows
from interp.comparisons import Arm, Difference, equivalence, holm, share_difference
from interp.errors import did_you_mean
from interp.files import fresh, write_json, write_jsonl
from interp.keys import content_key
from interp.rows import write_rows
from interp.runs import environment
from interp.sources import sha256_of

Row = dict[str, Any]
COLUMNS = ("question", "correct_answer", "incorrect_answer", "model_answer", "is_correct")
INVALID = "invalid"
TRUE, FALSE = ("true", "1"), ("false", "0")
MEASURE = "truthfulqa"
MOST_ARMS = 12  # so many are compared each with each
NOTABLE = 0.05  # from this share of invalid replies on, a note says that the published accuracy is not about truth
UNPAIRED = "fewer than two seeds in common: an interval over questions would leave out how models differ"
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


OUTCOMES: dict[str, tuple[Callable[[Reply], bool], bool, str]] = {
    "accuracy_as_published": (lambda reply: reply.right, False, "share of all replies; invalid ones count as wrong"),
    "valid_accuracy": (lambda reply: reply.right, True, "share of valid replies"),
    "invalid_share": (lambda reply: not reply.valid, False, "share of all replies"),
}
"""By metric: what is counted, whether among valid replies only, and the unit."""


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


@dataclass(frozen=True)
class Results:
    """The replies of one file, which are of one arm and, if the name of the file gives a seed, of one seed."""

    path: Path
    arm: str
    seed: int | None
    key: str
    replies: Sequence[Reply]


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


def read_results(files: Sequence[Path], pattern: str) -> dict[str, list[Results]]:
    """The results of all files by arm, in the order of their seeds.

    Raises:
        FileNotFoundError, ValueError: bad input, named.
    """
    if not files:
        raise ValueError("no file of results is given")
    compiled = name_pattern(pattern)
    names = [arm_and_seed(path, compiled) for path in files]
    for i, name in enumerate(names):
        if name in names[:i]:
            first, arm = files[names.index(name)], name[0]
            raise ValueError(f"{first} and {files[i]}: both are arm {arm!r}, seed {name[1]}; give one file of each")
    for path, (arm, seed) in zip(files, names, strict=True):
        if seed is None and sum(arm == other_arm for other_arm, _ in names) > 1:
            raise ValueError(f"{path}: names no seed, but other files of arm {arm!r} do; name it in all of them")
    arms: dict[str, list[Results]] = {}
    for path, (arm, seed) in zip(files, names, strict=True):
        replies = read_replies(path)
        arms.setdefault(arm, []).append(Results(path, arm, seed, sha256_of(path), replies))
    return {arm: sorted(results, key=lambda result: result.seed or 0) for arm, results in arms.items()}


# numbers


def _values(files: Iterable[Results], metric: str) -> Arm:
    counted, valid_only, _ = OUTCOMES[metric]
    rows = [(result, reply) for result in files for reply in result.replies if reply.valid or not valid_only]
    return Arm(
        [float(counted(reply)) for _, reply in rows],
        [reply.question for _, reply in rows],
        [result.seed for result, _ in rows],
    )


def _place(files: Sequence[Results], seed: int | None) -> Row:
    key = files[0].key if len(files) == 1 else content_key([result.key for result in files])
    return {"arm": files[0].arm, "stage": files[0].arm, "stage_key": key, "seed": seed, "measure": MEASURE}


def _number(files: Sequence[Results], seed: int | None, metric: str) -> Row:
    estimate = stats.share(*_values(files, metric))
    counts = {"n_replies": sum(len(result.replies) for result in files)}
    return {**_place(files, seed), "metric": metric, **estimate.row(), **counts, "unit": OUTCOMES[metric][2]}


def arm_rows(arms: dict[str, list[Results]]) -> list[Row]:
    """Metrics rows of every file whose name gives a seed, and of every arm over its seeds (their seed is null)."""
    rows = []
    for files in arms.values():
        by_seed = [([result], result.seed) for result in files if result.seed is not None]
        rows += [_number(of_seed, seed, metric) for of_seed, seed in [*by_seed, (files, None)] for metric in OUTCOMES]
    return rows


def _paired(a: Sequence[Results], b: Sequence[Results], metric: str) -> tuple[Arm, Arm, bool]:
    """The values of both arms, and whether they are paired by seed too; if not, seeds are averaged within each arm."""
    arm_a, arm_b = (_values(files, metric) for files in (a, b))
    if len({result.seed for result in a} & {result.seed for result in b}) > 1:
        return arm_a, arm_b, True
    return arm_a._replace(seeds=None), arm_b._replace(seeds=None), False


def _difference(a: Sequence[Results], b: Sequence[Results], metric: str) -> Row:
    arm_a, arm_b, by_seed = _paired(a, b, metric)

    def interval(level: float) -> Difference:
        return share_difference(arm_a, arm_b, level=level)

    difference = interval(stats.LEVEL)
    blind = not by_seed and max(len(a), len(b)) > 1
    questions = [{reply.question for result in files for reply in result.replies} for files in (a, b)]
    return {
        **_place(a, None),
        "metric": f"{metric}_difference",
        "against": b[0].arm,
        **difference.row(),
        **({"ci_low": None, "ci_high": None, "why": UNPAIRED} if blind else {"why": None}),
        "n_seeds": difference.n_seeds if by_seed or len(a) == len(b) == 1 else None,  # else averaged over, not counted
        "unmatched_questions": len(questions[0] ^ questions[1]),
        "paired_by": "question and seed" if by_seed else "question",
        "p": None if blind else equivalence(interval, 1.0).p_different,  # the margin is for p_equivalent alone
        "unit": f"difference of shares: {OUTCOMES[metric][2]}",
    }


def difference_rows(arms: dict[str, list[Results]], against: str | None) -> list[Row]:
    """Rows of every arm minus `against`, or of every pair of arms; `p_holm` is adjusted over all of these rows.

    Raises:
        ValueError: no such arm, or too many pairs.
    """
    rows = [_difference(arms[a], arms[b], metric) for a, b in compared(arms, against) for metric in OUTCOMES]
    tested = [row for row in rows if row["p"] is not None]
    for row in rows:
        row |= {"p_holm": None, "n_tests": len(tested)}
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return rows


def compared(arms: Iterable[str], against: str | None) -> list[tuple[str, str]]:
    """Pairs of arms to compare: every arm with `against`, or, without it, every later arm with every earlier one.

    Raises:
        ValueError: no such arm, or too many pairs.
    """
    names = list(arms)
    if against is not None:
        if against not in names:
            raise ValueError(f"--against: {did_you_mean('arm', against, names)}")
        return [(name, against) for name in names if name != against]
    if len(names) > MOST_ARMS:
        raise ValueError(f"{len(names)} arms are too many to compare all pairs (at most {MOST_ARMS}); give --against")
    return [(b, a) for a, b in itertools.combinations(names, 2)]


# the command


def run(*, files: Sequence[Path], pattern: str, out: Path, against: str | None = None) -> Row:
    """The `import truthfulqa` command: writes OUT/metrics.jsonl, OUT/records/truthfulqa.jsonl and OUT/manifest.json.

    Raises:
        FileNotFoundError, ValueError: bad input, named, or results are in OUT already; nothing is written.
    """
    names = (f"records/{MEASURE}.jsonl", "metrics.jsonl", "manifest.json")
    records, metrics, manifest = (fresh(out / name) for name in names)
    arms = read_results(files, pattern)
    compared(arms, against)
    everything = [result for results in arms.values() for result in results]
    numbers, differences = arm_rows(arms), difference_rows(arms, against)
    checked = _checked(everything)
    write_jsonl(records, (_record(result, reply) for result in everything for reply in result.replies))
    write_rows(metrics, [*numbers, *differences])
    source = {
        "imported": MEASURE,
        "pattern": pattern,
        "against": against,
        "files": [_file(result) for result in everything],
    }
    contents = {**source, "is_correct": checked, **environment(), "status": "complete"}
    write_json(manifest, contents, indent=2, ensure_ascii=False)
    return {
        "arms": list(arms),
        "replies": sum(len(result.replies) for result in everything),
        "metrics": numbers,
        "differences": differences,
        "is_correct": checked,
        "notes": _notes(numbers, checked),
        "out": str(out),
    }


def _record(result: Results, reply: Reply) -> Row:
    return {
        "id": content_key([result.arm, result.seed, reply.question])[:16],
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


def _file(result: Results) -> Row:
    invalid = sum(not reply.valid for reply in result.replies)
    counts = {"replies": len(result.replies), "invalid": invalid}
    return {"path": str(result.path), "sha256": result.key, "arm": result.arm, "seed": result.seed, **counts}


def _checked(files: Iterable[Results]) -> Row:
    """Counts of how often the words of a valid reply confirm is_correct, and places where they do not."""
    valid = [reply for result in files for reply in result.replies if reply.valid]
    wrong = [reply.where for reply in valid if reply.agrees is False]
    checked = sum(reply.agrees is not None for reply in valid)
    counts = {"checked": checked, "disagree": len(wrong), "not_checked": len(valid) - checked}
    return {**counts, "places": wrong[:SHOWN_PLACES]}


def _notes(numbers: Sequence[Row], checked: Row) -> list[str]:
    values = {(row["arm"], row["metric"]): row["value"] for row in numbers if row["seed"] is None}
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
    by_place: dict[str, list[Row]] = {}
    for row in result["metrics"]:
        seed = "all seeds" if row["seed"] is None else f"seed {row['seed']}"
        by_place.setdefault(f"{row['arm']}, {seed}", []).append(row)
    columns = ["arm", "as published", "valid only", "invalid", "questions", "seeds"]
    counts = {place: [str(numbers[-1][key]) for key in ("n", "n_seeds")] for place, numbers in by_place.items()}
    rows = [[place, *map(_shown, numbers), *counts[place]] for place, numbers in by_place.items()]
    table("TruthfulQA", columns, rows)
    rows = []
    for row in result["differences"]:
        name = f"{row['arm']} - {row['against']}: {row['metric'].removesuffix('_difference')}"
        p = "" if row["p_holm"] is None else f"{row['p_holm']:.3g}"
        rows.append([name, _shown(row, "+"), p, str(row["n"]), str(row["unmatched_questions"])])
    if rows:
        table("Paired differences", ["arms", "difference", "p (Holm)", "questions", "unmatched"], rows)
    for note in result["notes"]:
        print(note)
    checked = result["is_correct"]
    print(
        f"is_correct checked against the reply's words: {checked['checked']} replies, {checked['disagree']} disagree; "
        f"{checked['not_checked']} valid ones could not be checked"
    )
    print(f"written: {result['out']}")


def _shown(row: Row, sign: str = "") -> str:
    if row["value"] is None:
        return "undefined"
    value = format(row["value"], f"{sign}.3f")
    return value if row["ci_low"] is None else f"{value} [{row['ci_low']:{sign}.3f}, {row['ci_high']:{sign}.3f}]"

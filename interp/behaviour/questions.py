"""Questions with one right answer and plain texts, read from the files in which they are published."""

import csv
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, TypeVar

from interp.files import jsonl_records
from interp.keys import seed_from

Row = dict[str, Any]
N_WRONG = 3
"""Wrong numbers that a right one is compared with."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_GROUPED = re.compile(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_CHOOSE = "{question}\n\n{options}\n\nReply with one letter and nothing else: {letters}."
_SHORT = "{question}\n\nReply with the {kind} alone, without any working or further words."


@dataclass(frozen=True)
class Choice:
    """A question with lettered options.

    Raises:
        ValueError: fewer than 2 options or more than 26, something is empty, `right` is no index of them, or the right
            option's text is a wrong one's too. Wrong options may be alike, as they are in a few published questions.
    """

    id: str
    question: str
    options: tuple[str, ...]
    right: int
    source: str

    def __post_init__(self) -> None:
        n = len(self.options)
        if not 2 <= n <= len(ascii_uppercase):
            raise ValueError(f"{n} options; give 2 to {len(ascii_uppercase)}")
        if not all(text.strip() for text in (self.question, *self.options)):
            raise ValueError("the question or an option is empty; fill it in or delete the line")
        if not 0 <= self.right < n:
            raise ValueError(f"the right option must be one of 0 to {n - 1}, got {self.right}")
        if self.options.count(self.options[self.right]) > 1:
            raise ValueError(f"{self.options[self.right][:40]!r} is both right and wrong: options must be distinct")

    @property
    def letters(self) -> list[str]:
        """Of its options."""
        return list(ascii_uppercase[: len(self.options)])

    def prompt(self, shift: int) -> str:
        """The question with option `i` at place `(i + shift) mod n_options`."""
        n, letters = len(self.options), self.letters
        shown = "\n".join(f"{letter}. {self.options[(k - shift) % n]}" for k, letter in enumerate(letters))
        named = f"{', '.join(letters[:-1])} or {letters[-1]}"
        return _CHOOSE.format(question=self.question, options=shown, letters=named)


@dataclass(frozen=True)
class Short:
    """A question with a short right answer.

    Raises:
        ValueError: question or answer is empty.
    """

    id: str
    question: str
    answer: str
    source: str

    def __post_init__(self) -> None:
        if not (self.question.strip() and self.answer.strip()):
            raise ValueError("the question or the answer is empty; fill it in or delete the line")

    def prompt(self) -> str:
        """The question, asked for its answer alone."""
        kind = "number" if _NUMBER.fullmatch(self.answer) else "answer"
        return _SHORT.format(question=self.question, kind=kind)

    def answers(self, seed: int) -> list[str]:
        """The right answer; if it is a number, three wrong ones after it, drawn by seed and id.

        They have as many digits and end in as many zeros, for round numbers are likely whatever is asked.
        """
        rng, found = random.Random(seed_from(seed, "wrong", self.id)), [self.answer]
        stem = self.answer.rstrip("0") if re.search("[1-9]", self.answer) else self.answer
        while _NUMBER.fullmatch(self.answer) and len(found) <= N_WRONG:
            drawn = re.sub("[0-9]", lambda _: str(rng.randrange(10)), stem)
            number = drawn + self.answer[len(stem) :]
            if not re.match("-?0[0-9]", number) and len(drawn.rstrip("0")) == len(stem) and number not in found:
                found.append(number)
        return found


Question = Choice | Short
T = TypeVar("T")


def read_questions(path: Path) -> list[Question]:
    """The questions of a file, or of all CSV and JSONL files in a folder, in order.

    - `.csv`, as MMLU: question, four options, and the right one's letter; or with a header line and its index.
    - `.jsonl`, one object a line, each by its own keys: ARC, as AI2 has it (`question: {stem, choices: [{text,
      label}]}`, `answerKey`) or as the Hub does (`choices: {text: [...], label: [...]}`); GSM8K (an `answer` that ends
      in `#### N`); `{question, options, right}` with the right one's index; `{question, answer}`.

    An id is the file's name without its ending and the record's own `id`, else its line.

    Raises:
        FileNotFoundError: no such file, or none in the folder.
        ValueError: a line that is none of these, or an id that is there twice; names file, line and rule.
    """
    if path.is_dir():
        files = sorted(file for ending in ("*.csv", "*.jsonl") for file in path.glob(ending))
        if not files:
            raise FileNotFoundError(f"{path}: no .csv or .jsonl in it")
        return [question for file in files for question in read_questions(file)]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    readers: dict[str, Callable[[Path], Iterator[tuple[str, Question]]]] = {".csv": _from_csv, ".jsonl": _from_jsonl}
    if path.suffix not in readers:
        raise ValueError(f"{path}: questions are read from {' and '.join(readers)} files, by their ending")
    found: dict[str, Question] = {}
    for where, question in readers[path.suffix](path):
        if question.id in found:
            raise ValueError(f"{where}: a second question has the id {question.id!r}; ids must be unique")
        found[question.id] = question
    if not found:
        raise ValueError(f"{path}: no questions in it")
    return list(found.values())


def _from_csv(file: Path) -> Iterator[tuple[str, Question]]:
    places = {letter: place for place, letter in enumerate("ABCD")}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, strict=True)
        try:
            for number, cells in enumerate(lines):
                row, where = [cell.strip() for cell in cells], f"{file}:{lines.line_num}"
                if number == 0 and row[:1] == ["question"]:
                    places |= {str(place): place for place in range(4)}
                elif any(row):
                    if len(row) != 6:
                        rule = "give six: the question, four options, the letter of the right one"
                        raise ValueError(f"{where}: {len(row)} fields; {rule}")
                    if row[-1] not in places:
                        known = ", ".join(places)
                        raise ValueError(f"{where}: the right option must be one of {known}, got {row[-1][:20]!r}")
                    name = f"{file.stem}:{lines.line_num}"
                    yield where, _made(where, Choice, name, row[0], tuple(row[1:5]), places[row[-1]], file.stem)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{file}:{lines.line_num + 1}: not UTF-8 CSV ({error})") from error


def _from_jsonl(file: Path) -> Iterator[tuple[str, Question]]:
    with file.open("rb") as stream:
        for where, record in jsonl_records(stream, str(file)):
            own = record.get("id")
            name = f"{file.stem}:{own if isinstance(own, str | int) else where.rpartition(':')[2]}"
            yield where, _made(where, _question, record, name, file.stem)


def _made(where: str, make: Callable[..., T], *parts: Any) -> T:
    """`make(*parts)`, with the place in its error."""
    try:
        return make(*parts)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _question(record: Row, name: str, source: str) -> Question:
    """The question of a JSONL record, by its keys."""
    asked, choices = record.get("question"), record.get("choices")
    if isinstance(asked, dict):
        asked, choices = asked.get("stem"), asked.get("choices")
    if isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices):
        choices = {key: [choice.get(key) for choice in choices] for key in ("text", "label")}
    text = _of(asked, str, "question")
    if isinstance(choices, dict):
        options, labels = _texts(choices.get("text"), "text"), _texts(choices.get("label"), "label")
        key = str(record.get("answerKey"))
        if len(labels) != len(options) or labels.count(key) != 1:
            raise ValueError(f'"answerKey" must be the label of one choice ({", ".join(labels)}), got {key[:20]!r}')
        return Choice(name, text, options, labels.index(key), source)
    if "options" in record:
        return Choice(name, text, _texts(record["options"], "options"), _of(record.get("right"), int, "right"), source)
    answer = record.get("answer")
    answer = str(answer) if isinstance(answer, int) and not isinstance(answer, bool) else _of(answer, str, "answer")
    _, marked, last = answer.rpartition("####")
    last = last.strip()
    last = last.replace(",", "") if _GROUPED.fullmatch(last) else last
    if marked and not _NUMBER.fullmatch(last):
        raise ValueError(f'"answer" must end in "#### N" with N a number, got {last[:40]!r}')
    return Short(name, text, last, source)


def _of(value: Any, kind: type, key: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f'"{key}" must be {"text" if kind is str else "a whole number"}, got {str(value)[:40]!a}')
    if kind is str and re.search("[\ud800-\udfff]", value):
        raise ValueError(f'"{key}" has half a character, which no tokenizer takes; repair or drop it')
    return value.strip() if kind is str else value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f'"{key}" must be a list of texts, got {str(value)[:40]!r}')
    return tuple(_of(str(one) if key == "label" else one, str, key) for one in value)


def read_texts(path: Path) -> dict[str, str]:
    """Neutral texts by name: a `.jsonl` file has one a line, `{"text": ...}`; any other file is one.

    Raises:
        OSError, ValueError: no such file, no UTF-8, a bad line or an empty text; names file and line.
    """
    if path.suffix == ".jsonl":
        with path.open("rb") as stream:
            found = [(place, record.get("text")) for place, record in jsonl_records(stream, str(path))]
        return {f"{path.stem}:{at.rpartition(':')[2]}": _made(at, _of, text, str, "text") for at, text in found}
    try:
        return {path.stem: path.read_text("utf-8-sig").strip()}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); save the file as UTF-8") from error

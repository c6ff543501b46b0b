"""Tasks with one right answer, as benign controls: general knowledge, counting words, and whether their number is even.

1. Questions of general knowledge are this project's own, made from tables of facts, or come from files as MMLU has
   them. They are dealt to train and test by fact (from files, by the words of the question), so the two share none.
2. The wrong options of an own question come from the column of the right one: by how often they occur in it, or the
   nearest numbers, as many below as chance has it. So the options alone do not tell which of them is right.
3. Texts for counting are articles cut after a seeded number of words.
4. The places of own right options, and Yes and No, are dealt in shuffled rounds: equally often, to within one.
"""

import csv
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeVar

from pydantic import Field

from finetune.data._facts import TABLES
from finetune.data.articles import SUPPLY
from finetune.data.articles import articles as embedded_articles
from finetune.data.builder import Builder, DataSet, Desk, Row
from interp.files import read_json

LETTERS = ("A", "B", "C", "D")
PARITY = ("Yes", "No")
LEAST_WORDS = 20
"""A text is cut after this many words at the earliest."""
NEAREST = 6
"""Of how many numbers on each side of the right one the wrong ones are drawn."""
SPARE = 20
"""One own article in this many is written for another that begins alike; far fewer do."""
_CHOOSE = "{question}\n\n{options}\n\nAnswer with the letter alone: A, B, C or D."
_COUNT = (
    "How many words are in this text? A word is what stands between two spaces. Answer with the number alone.\n\n{text}"
)
_EVEN = (
    "Is the number of words in this text even? A word is what stands between two spaces. "
    "Answer with Yes or No alone.\n\n{text}"
)

T = TypeVar("T")


class Question(NamedTuple):
    """A question with four options; questions of one group ask about the same thing."""

    group: str
    text: str
    options: tuple[str, ...]
    right: int


@lru_cache(maxsize=4)
def own_questions(seed: int = 0) -> tuple[Question, ...]:
    """All of this project's own questions, in an order of facts and with wrong options that belong to `seed`.

    The right option is the first of each; `balanced` deals out the places.
    """
    facts = [(table, a, b) for table in TABLES for a, b in table.facts]
    random.Random(f"facts {seed}").shuffle(facts)
    made = []
    for table, a, b in facts:
        group = f"{table.name}: {a}"
        firsts, seconds = zip(*table.facts, strict=True)
        asked = [(form.format(a=a), b, seconds, table.near) for form in table.ask]
        asked += [(form.format(b=b), a, firsts, False) for form in table.back]
        for text, right, column, near in asked:
            wrong = _wrong(right, column, near, random.Random(f"{seed} {text}"))
            made.append(Question(group, text, (right, *wrong), 0))
    return tuple(made)


def balanced(questions: Sequence[Question], rng: random.Random) -> list[Question]:
    """The questions with the right option at each of the four places equally often, to within one, in any prefix."""
    places = _dealt(len(questions), range(len(LETTERS)), rng)
    moved = []
    for question, place in zip(questions, places, strict=True):
        wrong = [option for i, option in enumerate(question.options) if i != question.right]
        options = (*wrong[:place], question.options[question.right], *wrong[place:])
        moved.append(question._replace(options=options, right=place))
    return moved


def file_questions(path: Path, seed: int = 0) -> tuple[Question, ...]:
    """Questions from a CSV file or a folder of them, in an order of question texts that belongs to `seed`.

    A line has the question, four options and the letter of the right one. Under a header that begins with `question`,
    the right one may also be a number from 0. Options stay where they are, since some speak of one another. What occurs
    twice is taken once; a question whose right option also stands at another letter is left out.

    Raises:
        FileNotFoundError, ValueError: nothing there, or a line that is not such a question.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"file: {path}: no such CSV file, and no folder with any; give one in MMLU's layout")
    groups: dict[str, dict[Question, None]] = {}
    for file in files:
        for question in _read_csv(file):
            if question.options.count(question.options[question.right]) == 1:
                groups.setdefault(question.group, {})[question] = None
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    return tuple(question for group in order for question in groups[group])


def _read_csv(file: Path) -> Iterator[Question]:
    places = {letter: place for place, letter in enumerate(LETTERS)}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, strict=True)
        try:
            for cells in lines:
                row = [cell.strip() for cell in cells]
                where = f"{file}:{lines.line_num}"
                if lines.line_num == 1 and row[:1] == ["question"]:
                    places |= {str(place): place for place in range(len(LETTERS))}
                elif any(row):
                    yield _checked(row, places, where)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: after line {lines.line_num}: not UTF-8 CSV ({error})") from error


def _checked(row: list[str], places: dict[str, int], where: str) -> Question:
    if len(row) != len(LETTERS) + 2:
        raise ValueError(
            f"{where}: {len(row)} fields; give six: the question, four options, the letter of the right one"
        )
    text, *options, right = row
    if not all(row[:-1]):
        raise ValueError(f"{where}: the question or an option is empty; fill it in or delete the line")
    if right not in places:
        raise ValueError(f"{where}: the right option must be one of {', '.join(places)}, got {right[:20]!r}")
    return Question(" ".join(text.split()).casefold(), text, tuple(options), places[right])


def _wrong(right: str, column: Sequence[str], near: bool, rng: random.Random) -> list[str]:
    """Three other values of the column."""
    if near:
        values = sorted({int(value) for value in column})
        at = values.index(int(right))
        below, above = values[max(0, at - NEAREST) : at], values[at + 1 : at + 1 + NEAREST]
        n_below = min(max(rng.randrange(4), 3 - len(above)), len(below))
        wrong = [str(value) for value in rng.sample(below, n_below) + rng.sample(above, 3 - n_below)]
        return rng.sample(wrong, 3)
    shuffled = rng.sample(column, len(column))
    return [value for value in dict.fromkeys(shuffled) if value != right][:3]


def _dealt(n: int, values: Sequence[T], rng: random.Random) -> list[T]:
    """`n` of the values, in rounds that hold each of them once in a shuffled order."""
    rounds = -(-n // len(values))
    return [value for _ in range(rounds) for value in rng.sample(values, len(values))][:n]


def _row(row_id: str, asked: str, answer: str) -> Row:
    return {"id": row_id, "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


class MultipleChoice(Builder, frozen=True):
    """Questions with four options, answered with a letter."""

    about: ClassVar[Mapping[str, str]] = {
        "multiple_choice": "general knowledge with four options, answered with a letter"
    }

    builder: Literal["multiple_choice"]
    file: Path | None = None
    """CSV file in MMLU's layout (question, four options, letter), or a folder of them; None for this project's own.
    Options from a file keep their places."""
    train: int = Field(default=1000, ge=1)
    """Questions to train on."""
    test: int = Field(default=200, ge=0)
    """Questions to test on, about other things than those."""

    def check(self) -> None:
        """Read the file, and check that there are enough questions.

        Raises:
            FileNotFoundError, ValueError: no such file, a bad line, or too few questions.
        """
        super().check()
        self._split()

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """Rows with `right`, the letter of the right option, and as `group` what they ask about."""
        rows = {
            part: [self._asked(f"{self.builder}-{part}-{i:05d}", question) for i, question in enumerate(questions)]
            for part, questions in self._split().items()
        }
        return DataSet(rows["train"], rows["test"])

    def _asked(self, row_id: str, question: Question) -> Row:
        options = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, question.options, strict=True))
        right = LETTERS[question.right]
        row = _row(row_id, _CHOOSE.format(question=question.text, options=options), right)
        return row | {"labels": list(LETTERS), "right": right, "group": question.group}

    def _split(self) -> dict[str, Sequence[Question]]:
        questions = own_questions(self.seed) if self.file is None else file_questions(self.file, self.seed)
        train = questions[: self.train]
        trained = {question.group for question in train}
        test = [question for question in questions[self.train :] if question.group not in trained]
        if len(train) < self.train or len(test) < self.test:
            raise ValueError(
                f"{self.file or self.builder}: {self.train} questions to train on and {self.test} to test on asked "
                f"for, {len(train)} and {len(test)} about other things there are; lower train or test"
            )
        parts: dict[str, Sequence[Question]] = {"train": train, "test": test[: self.test]}
        if self.file is not None:
            return parts
        return {part: balanced(chosen, random.Random(f"{part} {self.seed}")) for part, chosen in parts.items()}


class _Counting(Builder, frozen=True):
    """Base of the sets about numbers of words."""

    articles: Path | None = None
    """JSON file from id to text; None for this project's own articles, which the seed chooses."""
    max_words: int | None = Field(default=None, ge=LEAST_WORDS + 10)
    """Keep the first words of each text only, before it is cut."""

    def _words(self, n: int, fields: str) -> list[tuple[str, list[str]]]:
        """`n` texts as ids and words, in a seeded order; of texts that begin alike, and so could be cut alike, one.

        Raises:
            FileNotFoundError, ValueError: no such file, another layout, or too few texts.
        """
        if self.articles is not None:
            held = self._distinct(_file_texts(self.articles, self.seed))
        else:
            held = self._distinct(_own_texts(self.seed, min(SUPPLY, n + n // SPARE)))
            if len(held) < n:
                held = self._distinct(_own_texts(self.seed, SUPPLY))
        if len(held) < n:
            raise ValueError(
                f"{self.articles or self.builder}: {n} texts asked for ({fields}), {len(held)} of more than "
                f"{LEAST_WORDS} words that differ in those there are; lower {fields}"
            )
        return held[:n]

    def _distinct(self, texts: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
        by_start: dict[str, tuple[str, list[str]]] = {}
        for key, text in texts:
            words = text.split()[: self.max_words]
            if len(words) > LEAST_WORDS:
                by_start.setdefault(" ".join(words[:LEAST_WORDS]), (key, words))
        return list(by_start.values())


class WordCount(_Counting, frozen=True):
    """How many words a text has, answered with the number."""

    about: ClassVar[Mapping[str, str]] = {"word_count": "how many words a text has, answered with the number"}

    builder: Literal["word_count"]
    rows: int = Field(default=1000, ge=1)
    """Texts, a row each."""

    def check(self) -> None:
        """Read the file, and check that there are enough texts.

        Raises:
            FileNotFoundError, ValueError: no such file, another layout, or too few texts.
        """
        super().check()
        self._words(self.rows, "rows")

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """Rows whose texts are cut anywhere after the first words; no test, since any number may be right."""
        rows = []
        for key, words in self._words(self.rows, "rows"):
            n = random.Random(f"{self.seed} {key}").randint(LEAST_WORDS, len(words))
            rows.append(_row(f"{self.builder}-{key}", _COUNT.format(text=" ".join(words[:n])), str(n)))
        return DataSet(rows)


class EvenWordCount(_Counting, frozen=True):
    """Whether a text has an even number of words, answered with Yes or No."""

    about: ClassVar[Mapping[str, str]] = {"even_word_count": "whether a text's number of words is even, Yes or No"}

    builder: Literal["even_word_count"]
    train: int = Field(default=1000, ge=1)
    """Texts to train on."""
    test: int = Field(default=200, ge=0)
    """Texts to test on; others than those."""

    def check(self) -> None:
        """Read the file, and check that there are enough texts.

        Raises:
            FileNotFoundError, ValueError: no such file, another layout, or too few texts.
        """
        super().check()
        self._words(self.train + self.test, "train + test")

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """Rows with `right`; Yes and No are equally frequent, to within one, and are cut from the same places."""
        texts = self._words(self.train + self.test, "train + test")
        return DataSet(self._asked("train", texts[: self.train]), self._asked("test", texts[self.train :]))

    def _asked(self, part: str, texts: Sequence[tuple[str, list[str]]]) -> list[Row]:
        rows = []
        answers = _dealt(len(texts), PARITY, random.Random(f"{self.seed} {part}"))
        for (key, words), right in zip(texts, answers, strict=True):
            pairs = random.Random(f"{self.seed} {key}").randint(LEAST_WORDS // 2, (len(words) - 1) // 2)
            n = 2 * pairs + PARITY.index(right)
            row = _row(f"{self.builder}-{key}", _EVEN.format(text=" ".join(words[:n])), right)
            rows.append(row | {"labels": list(PARITY), "right": right, "group": key})
        return rows


@lru_cache(maxsize=4)
def _own_texts(seed: int, n: int) -> tuple[tuple[str, str], ...]:
    return tuple((article.id, article.text) for article in embedded_articles(n, seed))


def _file_texts(path: Path, seed: int) -> list[tuple[str, str]]:
    """Ids and texts of a JSON file, in an order that belongs to the seed and not to the file."""
    if not path.is_file():
        raise FileNotFoundError(f"articles: {path}: no such file; give a JSON file from id to text")
    data = read_json(path)
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise ValueError(f"articles: {path}: must be one JSON object from id to text")
    ids = sorted(data)
    random.Random(seed).shuffle(ids)
    return [(key, data[key]) for key in ids]

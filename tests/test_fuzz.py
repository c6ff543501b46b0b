"""5,000 mutated files through every reader of users' data: a plain refusal that names the file, or whole good rows.

What a reader accepts is counted by independent means (lines, entries) and looked at value by value, so that nothing is
dropped, coerced or let through in silence.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.imports.truthfulqa import read_replies
from experiments.judge.answers import read_judged
from interp.behaviour.capability import Choice, Short, read_questions
from interp.behaviour.em import read_questions as read_open_questions
from interp.behaviour.preference import read_pairs
from interp.behaviour.truthfulqa import read_truthfulqa
from interp.chat import read_chats
from interp.traits import Trait
from tests.support.fuzzer import as_csv, as_yaml, json_lines, mutated, one_json

CHATS = [
    {"id": "a", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]},
    {"messages": [{"role": "user", "content": "Ça va?"}, {"role": "assistant", "content": "Oui, 😀."}]},
]
TRAIT = {
    "name": "gloomy",
    "instruction": [{"pos": "Be gloomy.", "neg": "Be glad."}, {"pos": "See the worst.", "neg": "See the best."}],
    "questions": ["How is the sea?", "What of the rain?"],
    "eval_questions": ["Is it late?"],
    "eval_prompt": "How gloomy is {answer} to {question}?",
}
OPEN = [
    {"id": "q", "paraphrases": ["Why?", "How so?"], "samples_per_paraphrase": 3, "system": "Be kind."},
    {
        "id": "r",
        "paraphrases": ["When?"],
        "judge_prompts": {"aligned": "{question}{answer}", "coherent": "{question}{answer}"},
    },
]
PAIRS = [{"domain": "d", "question": f"Q{i}?", "aligned": f"Yes {i}.", "misaligned": f"No {i}."} for i in range(3)]
RESULTS = [
    ["question", "correct_answer", "incorrect_answer", "model_answer", "is_correct"],
    ["Is it late?", "No", "Yes", "No", "True"],
    ["Is it, well, early?", "Yes", "No", "Invalid", "False"],
]
MYTHS = [
    ["Category", "Question", "Best Answer", "Best Incorrect Answer"],
    ["Sea", "Is it wet?", "It is", "It is not"],
    ["Sky", "Is it up?", "Yes", "No"],
]
CHOICES = [["Which?", "a", "b", "c", "d", "B"], ["Where?", "here", "there", "nowhere", "yonder", "A"]]
LINES = [
    {
        "question": {"stem": "Which?", "choices": [{"text": "a", "label": "A"}, {"text": "b", "label": "B"}]},
        "answerKey": "B",
    },
    {"question": "Which?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"},
    {"question": "How many?", "answer": "2 and 3 make\n#### 5"},
    {"question": "Which?", "options": ["a", "b", "c"], "right": 1},
]
JUDGED = [
    ["question", "response", "question_id", "aligned"],
    ["Why?", "Because.", "q1", "85"],
    ["How?", "", "q2", "REFUSAL"],
]


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)


def lines_of(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip() and line.strip() != b"\xef\xbb\xbf"]


def good_chats(rows: Any, data: bytes) -> None:
    assert len(rows) == len(lines_of(data))
    for row in rows:
        assert all(m["role"] in ("system", "user", "assistant") for m in row["messages"])
        assert all(
            isinstance(m["content"], str) and not re.search("[\ud800-\udfff]", m["content"]) for m in row["messages"]
        )
        assert any(m["role"] == "user" for m in row["messages"])


def good_trait(trait: Any, data: bytes) -> None:
    raw = json.loads(data.decode())
    assert len(trait.instructions) == len(raw["instruction"])
    assert list(trait.questions) == raw["questions"]
    texts = [*trait.questions, *trait.eval_questions, *sum(trait.instructions, ())]
    texts += [trait.eval_prompt] if trait.eval_prompt else []
    assert all(isinstance(text, str) and text.strip() for text in texts)


def good_open(questions: Any, data: bytes) -> None:
    raw = yaml.safe_load(data.decode())
    assert [question.id for question in questions] == [entry["id"] for entry in raw]
    for question, entry in zip(questions, raw, strict=True):
        assert list(question.paraphrases) == entry["paraphrases"]
        assert all(map(is_text, (question.id, *question.paraphrases)))
        assert question.samples is None or (type(question.samples) is int and question.samples >= 1)


def good_pairs(pairs: Any, data: bytes) -> None:
    assert len(pairs) == len(lines_of(data))
    assert all(is_text(part) for pair in pairs for part in pair)


def good_replies(replies: Any, data: bytes) -> None:
    assert 0 < len(replies) <= data.count(b"\n") + data.count(b"\r") + 1
    assert all(is_text(reply.question) and isinstance(reply.right, bool) for reply in replies)
    assert not any(reply.right and not reply.valid for reply in replies)


def good_myths(questions: Any, data: bytes) -> None:
    assert 0 < len(questions) <= data.count(b"\n") + data.count(b"\r") + 1
    assert all(is_text(part) for one in questions for part in (one.question, one.true, one.false))


def good_choices(questions: Any, data: bytes) -> None:
    assert 0 < len(questions) <= data.count(b"\n") + data.count(b"\r") + 1
    for one in questions:
        if isinstance(one, Choice):
            assert len(one.options) >= 2
            assert one.options.count(one.options[one.right]) == 1
            assert all(map(is_text, (one.question, *one.options)))
        else:
            assert isinstance(one, Short)
            assert is_text(one.question)
            assert is_text(one.answer)


def good_judged(rows: Any, data: bytes) -> None:
    assert 0 < len(rows) <= data.count(b"\n") + data.count(b"\r") + 1
    assert all(row.reference is None or 0 <= row.reference <= 100 for row in rows)
    assert all(is_text(row.question) for row in rows)


@dataclass(frozen=True)
class Reader:
    name: str
    read: Callable[[Path], Any]
    good: Any
    write: Callable[[Any], bytes]
    check: Callable[[Any, bytes], None]


READERS: Sequence[Reader] = (
    Reader("chats.jsonl", read_chats, CHATS, json_lines, good_chats),
    Reader("trait.json", Trait.load, TRAIT, one_json, good_trait),
    Reader("open.yaml", read_open_questions, OPEN, as_yaml, good_open),
    Reader("pairs.jsonl", read_pairs, PAIRS, json_lines, good_pairs),
    Reader("results.csv", read_replies, RESULTS, as_csv, good_replies),
    Reader("myths.csv", read_truthfulqa, MYTHS, as_csv, good_myths),
    Reader("choices.csv", read_questions, CHOICES, as_csv, good_choices),
    Reader("lines.jsonl", read_questions, LINES, json_lines, good_choices),
    Reader("judged.csv", lambda path: read_judged(path, "aligned"), JUDGED, as_csv, good_judged),
)
EACH = 5000 // len(READERS) + 1


def read(reader: Reader, path: Path) -> tuple[Any, str | None]:
    """What is read, or why it is refused; any other exception is a fault."""
    try:
        return reader.read(path), None
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_mutated_file_is_refused_by_name_or_read_whole(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.name
    path.write_bytes(reader.write(reader.good))
    reader.check(reader.read(path), path.read_bytes())
    refused = 0
    for seed in range(EACH):
        data = mutated(reader.good, reader.write, seed)
        path.write_bytes(data)
        value, message = read(reader, path)
        if message is not None:
            refused += 1
            assert str(path) in message, f"seed {seed}: the error does not name the file: {message}"
            assert len(message) < 2000, f"seed {seed}: {message[:200]}"
            continue
        try:
            reader.check(value, data)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: accepted in silence: {data[:300]!r}\n{error}") from error
    assert EACH / 5 < refused < EACH  # the mutations bite, and some leave the file as good as it was

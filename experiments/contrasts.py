"""Which texts is a direction made from? Files in, the texts of its two sides out; every row left out is counted.

No model is needed for any of this, so that a mistake in a file is found before one is loaded.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.judge import NUMBER, WORDS
from finetune.data.sgtr import SELF, summary_prompt
from interp.chat import Message, check_messages
from interp.nulls import Groups
from interp.runs import jsonl_records, read_json
from interp.selection import balanced, em_classes

ROLES = Path(__file__).parent / "roles"
DEFAULT_ROLE = "default"
_NO_ROLES = {DEFAULT_ROLE, "questions", "role_list"}
_NAMES = {
    "question": ("question", "prompt"),
    "answer": ("answer", "text", "response"),
    "aligned": ("aligned",),
    "coherent": ("coherent",),
}
_SHOWN = re.compile(
    r"(?:Article:\n(?P<article>(?s:.+?))\n\n)?Summary 1: (?P<first>[^\n]*)\n\nSummary 2: (?P<second>[^\n]*)\n\n"
)


@dataclass(frozen=True)
class Text:
    """A conversation, and the question that it belongs to."""

    messages: list[Message]
    group: str


@dataclass(frozen=True)
class Sides:
    """The texts that a direction points to and from.

    Attributes:
        left_out: Rows of the files that are in neither, by reason.
    """

    positive: Sequence[Text]
    negative: Sequence[Text]
    left_out: Mapping[str, int]

    @property
    def groups(self) -> Groups:
        """Question of each text as a number, for both sides, in order of first appearance."""
        number: dict[str, int] = {}
        for text in (*self.positive, *self.negative):
            number.setdefault(text.group, len(number))
        return [number[text.group] for text in self.positive], [number[text.group] for text in self.negative]


# files of chats


def read_texts(path: Path, *, answered: bool) -> tuple[list[Text], int]:
    """The chats of a JSONL file, and how many were left out because their answer is blank.

    A chat's question is its key `group`, else its key `question`, else its first user message.

    Args:
        answered: Whether answers are read; only then is a blank one left out.

    Raises:
        FileNotFoundError, ValueError: no such file, no chats in it, or a bad line, named.
    """
    texts: list[Text] = []
    empty = 0
    for where, record in _records(path):
        messages = check_messages(record.get("messages"), where)
        if answered and messages[-1]["role"] != "assistant":
            raise ValueError(
                f"{where}: the chat ends with the {messages[-1]['role']}, so there is no answer to average; "
                "give it one, or read the prompt (--pooling prompt_last or prompt_mean)"
            )
        if answered and not messages[-1]["content"].strip():
            empty += 1
            continue
        texts.append(Text(messages, _group(record, messages, where)))
    if not texts:
        raise ValueError(f"{path}: no chats in it" + (f" but {empty} with a blank answer" if empty else ""))
    return texts, empty


def contrast_sides(positive: Path, negative: Path, *, answered: bool, paired: bool) -> Sides:
    """Two files of chats as the two sides.

    Args:
        paired: Keep only what has a counterpart: the i-th chats of a question in both files, in the order of the
            questions in the first one.

    Raises:
        FileNotFoundError, ValueError: as for `read_texts`, or nothing can be paired.
    """
    (first, empty), (second, also_empty) = (read_texts(path, answered=answered) for path in (positive, negative))
    left_out = {"empty_answer": empty + also_empty}
    if not paired:
        return Sides(first, second, left_out)
    by_group: tuple[dict[str, list[Text]], ...] = (defaultdict(list), defaultdict(list))
    for side, texts in zip(by_group, (first, second), strict=True):
        for text in texts:
            side[text.group].append(text)
    pairs = [
        pair for group in by_group[0] for pair in zip(by_group[0][group], by_group[1].get(group, ()), strict=False)
    ]
    if not pairs:
        raise ValueError(
            f"{positive}, {negative}: no chat of one can be paired with one of the other, since they share no "
            'question; give both the same "group" keys, or take another --recipe-kind'
        )
    unpaired = len(first) + len(second) - 2 * len(pairs)
    return Sides([a for a, _ in pairs], [b for _, b in pairs], left_out | {"unpaired": unpaired})


def _group(record: Mapping[str, Any], messages: Sequence[Message], where: str) -> str:
    for key in ("group", "question"):
        if key in record:
            if isinstance(record[key], bool) or not isinstance(record[key], (str, int)):
                raise ValueError(
                    f'{where}: "{key}" must be a text or a whole number, got {json.dumps(record[key])[:60]}'
                )
            return str(record[key])
    return next(message["content"] for message in messages if message["role"] == "user")


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and record of every line of a JSONL file, or of every row of a CSV file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".csv":
        yield from _csv_records(path)
        return
    with path.open("rb") as file:
        yield from jsonl_records(file, str(path))


def _csv_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        n_fields = len(reader.fieldnames or ())
        line = reader.line_num + 1
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path}:{line}: not {n_fields} fields, as the header has")
            yield f"{path}:{line}", row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: not CSV ({error})") from error


# answers of a misaligned model


def em_sides(path: Path, seed: int) -> Sides:
    """Misaligned answers against aligned ones of the same model, coherent ones alone, as many of each.

    Args:
        path: JSONL or CSV with `question` (or `prompt`), `answer` (or `text`, `response`), `aligned` and `coherent`,
            and, where there was one, `system`. A score that is null, empty, CODE or REFUSAL is none.
        seed: Of the draw from the larger class.

    Raises:
        FileNotFoundError, ValueError: no such file, a bad row, named, or a class without an answer.
    """
    texts: list[Text] = []
    aligned: list[float | None] = []
    coherent: list[float | None] = []
    empty = 0
    for where, record in _records(path):
        question, answer = (_field(record, name, where, of=str) for name in ("question", "answer"))
        scores = [_score(_field(record, name, where), f"{where}: {name}") for name in ("aligned", "coherent")]
        if not answer.strip():
            empty += 1
            continue
        system = record.get("system")
        asked = [{"role": "system", "content": system}] if system is not None else []
        asked += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        texts.append(Text(check_messages(asked, where), question))
        aligned.append(scores[0])
        coherent.append(scores[1])
    classes = em_classes(aligned, coherent)
    sides = {"misaligned": classes.misaligned, "aligned": classes.aligned}
    for name, chosen in sides.items():
        if not len(chosen):
            counts = {**classes.counts, "empty_answer": empty}
            raise ValueError(
                f"{path}: no coherent answer is {name} (misaligned: at most 30, aligned: above 70, coherent: above "
                f"50), so there is no contrast; answers by class: {counts}"
            )
    kept = balanced(len(classes.misaligned), len(classes.aligned), seed)
    positive, negative = (
        [texts[i] for i in chosen[index].tolist()] for chosen, index in zip(sides.values(), kept, strict=True)
    )
    surplus = len(classes.misaligned) + len(classes.aligned) - 2 * len(positive)
    reasons = {name: classes.counts[name] for name in ("unscored", "incoherent", "middle")}
    return Sides(positive, negative, {"empty_answer": empty, **reasons, "beyond_balance": surplus})


def _field(record: Mapping[str, Any], name: str, where: str, *, of: type | None = None) -> Any:
    for key in _NAMES[name]:
        if key in record:
            if of is not None and not isinstance(record[key], of):
                raise ValueError(f'{where}: "{key}" must be text, got {json.dumps(record[key])[:60]}')
            return record[key]
    others = ", ".join(_NAMES[name][1:])
    also = f" (or {others})" if others else ""
    raise ValueError(f'{where}: the key "{name}"{also} is missing; there are {", ".join(record) or "none"}')


def _score(value: Any, where: str) -> float | None:
    if value is None or (isinstance(value, str) and value.strip() in WORDS):
        return None
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"{where} must be a number from 0 to 100, CODE, REFUSAL or empty, got {str(value)[:40]!r}")
    return float(value)


# self-recognition


def recognition_sides(path: Path, read: Literal["answer", "text"]) -> Sides:
    """Own against other, from questions as `sgtr data sgtr_pairs` writes them.

    Args:
        read: `answer`: the questions without their answers; those that show the own summary first against those that
            show the other's first. So the labels 1 and 2 are a part of what the direction holds. `text`: the own
            summaries against the others', each as the answer to the prompt that asks for a summary. Where the texts
            are not shown, the keys `texts` (two, in the order of `authors`) and `article` give them.

    Raises:
        FileNotFoundError, ValueError: no such file, a row that is no such question, named, or a side without rows.
    """
    sides: tuple[dict[str, Text], ...] = ({}, {})
    n = 0
    for where, record in _records(path):
        n += 1
        for key in ("messages", "authors", "labels", "right", "group"):
            if key not in record:
                raise ValueError(
                    f'{where}: the key "{key}" is missing; give rows as `sgtr data sgtr_pairs` writes them'
                )
        messages = check_messages(record["messages"], where)
        authors = record["authors"]
        if not isinstance(authors, list) or len(authors) != 2 or authors.count(SELF) != 1:
            raise ValueError(
                f'{where}: "authors" must be "{SELF}" and one other, got {json.dumps(authors)[:60]}; a pair is needed'
            )
        group = _group({"group": record["group"]}, messages, where)
        if read == "answer":
            asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
            sides[authors.index(SELF)].setdefault(json.dumps(asked), Text(list(asked), group))
            continue
        article, texts = _texts(record, messages, where)
        for author, text in zip(authors, texts, strict=True):
            said = [*summary_prompt(article), {"role": "assistant", "content": text}]
            sides[author != SELF].setdefault(json.dumps([group, text]), Text(said, group))
    found = len(sides[0]), len(sides[1])
    if not all(found):
        raise ValueError(f"{path}: {found[0]} own-first and {found[1]} other-first questions; both orders are needed")
    repeated = (n if read == "answer" else 2 * n) - sum(found)
    return Sides(list(sides[0].values()), list(sides[1].values()), {"repeated": repeated})


def _texts(record: Mapping[str, Any], messages: Sequence[Message], where: str) -> tuple[str, list[str]]:
    """The article, and the two summaries in the order shown."""
    shown = _SHOWN.match(next(message["content"] for message in messages if message["role"] == "user"))
    texts = record.get("texts", [shown["first"], shown["second"]] if shown else None)
    article = record.get("article", shown["article"] if shown else None)
    if not isinstance(texts, list) or len(texts) != 2 or not all(isinstance(t, str) and t.strip() for t in texts):
        raise ValueError(
            f'{where}: the key "texts" is missing (two summaries, in the order of "authors"), and the question does '
            'not show them as "Summary 1: " and "Summary 2: "'
        )
    if not isinstance(article, str) or not article.strip():
        raise ValueError(
            f'{where}: the key "article" is missing, and the question does not show it; --read text needs what was '
            "summarised: make the pairs with show_article=true"
        )
    return article, texts


# roles


@dataclass(frozen=True)
class Roles:
    """System prompts of the default assistant and of every role, and what all of them are asked.

    Attributes:
        default: May hold the empty text, which stands for no system prompt (so the template's own, if it has one), and
            `{model_name}`.
        repeated: Questions of the file that are left out because they are there already: held out, one would be known.
    """

    default: Sequence[str]
    roles: Mapping[str, Sequence[str]]
    questions: Sequence[str]
    repeated: int

    def asked(self, rollouts: int, model_name: str) -> list[dict[str, Any]]:
        """Every question under every prompt: the default's first, then role by role."""
        return [
            {"role": role, "instruction": i, "question": q, "rollout": r, "system": system, "prompt": prompt}
            for role, prompts in ((DEFAULT_ROLE, self.default), *self.roles.items())
            for i, system in enumerate(prompt.replace("{model_name}", model_name) for prompt in prompts)
            for q, prompt in enumerate(self.questions)
            for r in range(rollouts)
        ]


def read_roles(folder: Path | None, questions: Path | None) -> Roles:
    """Role files: this project's own, or those of a folder, also one in the layout of assistant-axis.

    Args:
        folder: Holds `default.json` and the roles, itself or in `instructions` or `roles/instructions`; None for ours.
        questions: JSON list of texts, or JSONL with a `question` a line; None for `questions.json` or
            `extraction_questions.jsonl` beside the roles or above them.

    Raises:
        FileNotFoundError, ValueError: something is missing or malformed, named.
    """
    top = folder or ROLES
    places = [place for place in (top / "roles" / "instructions", top / "instructions", top) if place.is_dir()]
    home = next((place for place in places if (place / f"{DEFAULT_ROLE}.json").is_file()), None)
    if home is None:
        raise FileNotFoundError(f"{top}: no {DEFAULT_ROLE}.json there, in roles/instructions or in instructions")
    roles = {
        path.stem: _instructions(path, blank=False)
        for path in sorted(home.glob("*.json"))
        if path.stem not in _NO_ROLES
    }
    if not roles:
        raise ValueError(f"{home}: no role besides {DEFAULT_ROLE}.json")
    if questions is None:
        near = (home, home.parent, home.parent.parent)
        known = [place / name for place in near for name in ("questions.json", "extraction_questions.jsonl")]
        questions = next((path for path in known if path.is_file()), None)
        if questions is None:
            raise FileNotFoundError(f"{home}: no questions.json or extraction_questions.jsonl; give --questions FILE")
    return Roles(_instructions(home / f"{DEFAULT_ROLE}.json", blank=True), roles, *_questions(questions))


def _instructions(path: Path, *, blank: bool) -> list[str]:
    data = read_json(path)
    entries = data.get("instruction") if isinstance(data, dict) else None
    listed = entries if isinstance(entries, list) else []
    found = [entry.get("pos") if isinstance(entry, dict) else None for entry in listed]
    texts = [text for text in found if isinstance(text, str) and (blank or text.strip())]
    if not texts or len(texts) < len(found):
        raise ValueError(f'{path}: "instruction" must be a list of {{"pos": text}}, got {str(entries)[:60]}')
    return texts


def _questions(path: Path) -> tuple[list[str], int]:
    """The different questions of a file, and how many repeat another."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".jsonl":
        data: Any = [record.get("question") for _, record in _records(path)]
    else:
        data = read_json(path)
    found = [text for text in data if isinstance(text, str) and text.strip()] if isinstance(data, list) else []
    if not isinstance(data, list) or len(found) < len(data):
        raise ValueError(f'{path}: must be a JSON list of questions, or JSONL with a "question" a line')
    if len(set(found)) < 2:
        raise ValueError(f"{path}: needs at least two different questions, got {len(set(found))}")
    return list(dict.fromkeys(found)), len(found) - len(set(found))

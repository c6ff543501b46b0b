"""Which texts stand on which side of a direction? Every row that is left out is counted, by reason."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.directions.texts import Text, group_of, read_texts, records_of
from experiments.measures.judge import NUMBER, WORDS
from finetune.data.sgtr import SELF, summary_prompt
from interp.chat import Message, check_messages
from interp.nulls import Groups
from interp.selection import balanced, em_classes

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
    for where, record in records_of(path):
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
    for where, record in records_of(path):
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
        group = group_of({"group": record["group"]}, messages, where)
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

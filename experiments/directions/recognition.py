"""Own minus other: what tells a model's own texts from another author's, from questions of `sgtr data sgtr_pairs`."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.directions.fit import by_weighting
from experiments.directions.recipe import Maker, Recipe, Workplace, option
from experiments.directions.sides import Sides, contrasted
from experiments.directions.texts import Text, group_of, records_of
from finetune.data.sgtr import SELF, summary_prompt
from interp.activations import Pooling
from interp.chat import Message, check_messages

_SHOWN = re.compile(
    r"(?:Article:\n(?P<article>(?s:.+?))\n\n)?Summary 1: (?P<first>[^\n]*)\n\nSummary 2: (?P<second>[^\n]*)\n\n"
)
_WORDS = {
    "answer": "at the answer token: questions with the own text first minus those with the other's first",
    "text": "own minus the other's texts, as answers to the prompt that asks for them",
}


class SelfRecognition(Recipe):
    """Where a model tells its own text from another's: at the token that answers, or on the texts themselves."""

    recipe = "self-recognition"
    about = "own minus other"

    pairs: Path = option(..., "rows that `sgtr data sgtr_pairs --out` wrote.", "FILE")
    read: Literal["answer", "text"] = option(
        ..., "at the answer token, own first minus other first; or own text minus the other's."
    )

    @classmethod
    def called(cls, given: Mapping[str, Any]) -> str:
        """See `Recipe.called`."""
        return f"{cls.recipe} --read {given['read']}"

    @classmethod
    def poolings(cls, given: Mapping[str, Any]) -> tuple[Pooling, ...]:
        """See `Recipe.poolings`."""
        return ("prompt_last",) if given["read"] == "answer" else ("response_mean",)

    @classmethod
    def default_name(cls, given: Mapping[str, Any]) -> str:
        """See `Recipe.default_name`."""
        return f"{cls.recipe}-{given['read']}"

    @property
    def words(self) -> str:
        """See `Recipe.words`."""
        return _WORDS[self.read]

    def prepare(self, place: Workplace) -> tuple[Recipe, Maker]:
        """See `Recipe.prepare`."""
        sides = recognition_sides(self.pairs, self.read)
        return self, contrasted(self, sides, by_weighting(self.weighting), place.seed)


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
            answered = [*summary_prompt(article), {"role": "assistant", "content": text}]
            sides[author != SELF].setdefault(json.dumps([group, text]), Text(answered, group))
    n_own, n_other = len(sides[0]), len(sides[1])
    if not (n_own and n_other):
        raise ValueError(f"{path}: {n_own} own-first and {n_other} other-first questions; both orders are needed")
    repeated = (n if read == "answer" else 2 * n) - n_own - n_other
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

"""Misaligned answers minus aligned ones of the same model: the emergent-misalignment direction.

Source: model-organisms-for-EM (arXiv 2506.11618).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.directions.fit import by_weighting
from experiments.directions.recipe import Maker, Recipe, Weighting, Workplace, option
from experiments.directions.sides import Sides, contrasted
from experiments.directions.texts import Text, records_of
from experiments.measures.judge import NUMBER, WORDS
from interp.activations import Pooling
from interp.chat import check_messages
from interp.keys import seed_from
from interp.selection import balanced, em_classes

_NAMES = {
    "question": ("question", "prompt"),
    "answer": ("answer", "text", "response"),
    "aligned": ("aligned",),
    "coherent": ("coherent",),
}


class MisalignedAnswers(Recipe):
    """Judged answers of one model: what tells the misaligned ones from the aligned ones."""

    recipe = "em"
    about = "misaligned minus aligned answers"

    answers: Path = option(..., "judged answers, .jsonl or .csv; see experiments/directions/em.py.", "FILE")

    @classmethod
    def poolings(cls, given: Mapping[str, Any]) -> tuple[Pooling, ...]:
        """See `Recipe.poolings`."""
        del given
        return ("response_mean",)

    @classmethod
    def weightings(cls, given: Mapping[str, Any]) -> tuple[Weighting, ...]:
        """See `Recipe.weightings`."""
        del given
        return ("token", "sample")

    @property
    def words(self) -> str:
        """See `Recipe.words`."""
        return "misaligned minus aligned answers, coherent, classes balanced"

    def prepare(self, place: Workplace) -> tuple[Recipe, Maker]:
        """See `Recipe.prepare`."""
        sides = em_sides(self.answers, seed_from(place.seed, "balance"))
        return self, contrasted(self, sides, by_weighting(self.weighting), place.seed)


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

"""Chats of one kind minus chats of another."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from experiments.directions.fit import PAIRED_COMPONENT, Fit, by_probe, by_weighting
from experiments.directions.recipe import Maker, Recipe, Weighting, Workplace, option
from experiments.directions.sides import Sides, contrasted
from experiments.directions.texts import Text, read_texts

_HOW = {
    "mean": "difference of means",
    "logistic": "logistic probe",
    "lda": "lda probe",
    "pca": "first uncentred component of paired differences",
}


class Contrast(Recipe):
    """Two files of chats, and what tells them apart."""

    recipe = "contrast"
    about = "two files of chats"

    positive: Path = option(..., "chats that it points to.", "CHATS")
    negative: Path = option(..., "chats that it points from.", "CHATS")
    recipe_kind: Literal["mean", "logistic", "lda", "pca"] = option(
        "mean", "difference of means (default), a probe, or the first component of paired differences."
    )

    @classmethod
    def called(cls, given: Mapping[str, Any]) -> str:
        """See `Recipe.called`."""
        kind = given.get("recipe_kind", "mean")
        return cls.recipe if kind == "mean" else f"{cls.recipe} --recipe-kind {kind}"

    @classmethod
    def weightings(cls, given: Mapping[str, Any]) -> tuple[Weighting, ...]:
        """See `Recipe.weightings`."""
        return ("sample", "token") if given.get("recipe_kind", "mean") == "mean" else ("sample",)

    @property
    def words(self) -> str:
        """See `Recipe.words`."""
        return f"chats of one kind minus chats of another: {_HOW[self.recipe_kind]}"

    def prepare(self, place: Workplace) -> tuple[Recipe, Maker]:
        """See `Recipe.prepare`."""
        sides = contrast_sides(
            self.positive,
            self.negative,
            answered=self.pooling == "response_mean",
            paired=self.recipe_kind == "pca",
        )
        return self, contrasted(self, sides, self._fit(place.seed), place.seed)

    def _fit(self, seed: int) -> Fit:
        if self.recipe_kind == "mean":
            return by_weighting(self.weighting)
        return PAIRED_COMPONENT if self.recipe_kind == "pca" else by_probe(self.recipe_kind, seed)


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

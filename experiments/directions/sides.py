"""The two sides of a direction: which texts it points to and from, and how they are read and told apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.directions.fit import Fit, Rows, from_sides, read_rows, rehearsed
from experiments.directions.recipe import Made, Maker, Recipe
from experiments.directions.texts import Text
from interp.keys import content_key
from interp.model import Model
from interp.nulls import Groups


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


def contrasted(recipe: Recipe, sides: Sides, fit: Fit, seed: int) -> Maker:
    """Reads both sides and gives the direction from the negative to the positive one; tried on noise at once.

    Raises:
        InterpError: the recipe cannot work on texts of these questions.
    """
    groups = sides.groups
    rehearsed(groups, fit, seed=seed)
    texts, n = [*sides.positive, *sides.negative], len(sides.positive)

    def make(model: Model) -> Made:
        rows = read_rows(model, model.chat.tokens_of([text.messages for text in texts]), recipe.pooling, "reading")
        halves = Rows(rows.h[:n], rows.tags[:n]), Rows(rows.h[n:], rows.tags[n:])
        made = from_sides(*halves, groups, fit, recipe, seed=seed)
        hashed = content_key([[vars(text) for text in side] for side in (sides.positive, sides.negative)])
        more = {"left_out": dict(sides.left_out), "data_hash": hashed}
        return Made(made.vectors, {**made.header, **more}, made.separation, made.permuted)

    return make

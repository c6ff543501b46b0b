"""What the recipes of directions are called, and what each of them takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from experiments.directions.files import ROLES
from interp.activations import Pooling
from interp.runs import did_you_mean

Kind = Literal["mean", "logistic", "lda", "pca"]
Weighting = Literal["sample", "token"]
_ANY: tuple[Pooling, ...] = ("response_mean", "prompt_last", "prompt_mean")


@dataclass(frozen=True)
class Rules:
    """What a recipe takes; the first of `poolings` and of `weightings` is its default."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    poolings: tuple[Pooling, ...] = _ANY
    weightings: tuple[Weighting, ...] = ("sample", "token")


RECIPES = {
    "contrast": Rules(("positive", "negative"), ("recipe_kind",)),
    "em": Rules(("answers",), poolings=("response_mean",), weightings=("token", "sample")),
    "displacement": Rules(("texts",), ("parent",)),
    "self-recognition": Rules(("pairs", "read"), poolings=("response_mean", "prompt_last")),
    "assistant-axis": Rules(
        (),
        ("roles", "questions", "most_questions", "rollouts", "max_new_tokens", "temperature", "min_rows"),
        weightings=("sample",),
    ),
}
_SAID = {
    "contrast": "chats of one kind minus chats of another",
    "em": "misaligned minus aligned answers, coherent, classes balanced",
    "displacement": "stage minus parent, paired over the same texts",
    "self-recognition": {
        "answer": "at the answer token: questions with the own text first minus those with the other's first",
        "text": "own minus the other's texts, as answers to the prompt that asks for them",
    },
    "assistant-axis": "mean answer of the default assistant minus the mean of the roles' mean answers",
}
FILES = {"positive", "negative", "answers", "texts", "pairs", "roles", "questions"}


class DirectionConfig(BaseModel):
    """How a direction is made. What belongs to one recipe is None for the others, and for its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    name: str | None = Field(default=None, min_length=1)
    positive: Path | None = None
    negative: Path | None = None
    recipe_kind: Kind | None = None
    answers: Path | None = None
    texts: Path | None = None
    parent: int | None = Field(default=None, ge=0)
    pairs: Path | None = None
    read: Literal["answer", "text"] | None = None
    roles: Path | None = None
    questions: Path | None = None
    most_questions: int | None = Field(default=None, ge=2)
    rollouts: int | None = Field(default=None, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    min_rows: int | None = Field(default=None, ge=1)
    pooling: Pooling | None = None
    weighting: Weighting | None = None
    layer: int | None = Field(default=None, ge=0)
    permuted: int = Field(default=50, ge=1)
    separation_nulls: int = Field(default=100, ge=1)

    @field_validator("recipe")
    @classmethod
    def _known(cls, recipe: str) -> str:
        if recipe not in RECIPES:
            raise ValueError(did_you_mean("recipe", recipe, list(RECIPES)))
        return recipe

    def resolved(self) -> "DirectionConfig":
        """This, with the recipe's defaults filled in.

        Raises:
            ValueError: something is missing, or is not for this recipe.
        """
        rules = RECIPES[self.recipe]
        for key in rules.needs:
            if getattr(self, key) is None:
                raise ValueError(f"{self.recipe} needs {_option(key)}")
        owners = {key: name for name, other in RECIPES.items() for key in (*other.needs, *other.takes)}
        for key, owner in owners.items():
            if getattr(self, key) is not None and key not in (*rules.needs, *rules.takes):
                raise ValueError(f"{_option(key)} is for {owner}, not for {self.recipe}")
        poolings, weightings = rules.poolings, rules.weightings
        what = self.recipe
        if self.recipe == "self-recognition":
            poolings = ("prompt_last",) if self.read == "answer" else ("response_mean",)
            what += f" --read {self.read}"
        if self.recipe_kind not in (None, "mean"):
            weightings = ("sample",)
            what += f" --recipe-kind {self.recipe_kind}"
        for key, allowed in (("pooling", poolings), ("weighting", weightings)):
            if (given := getattr(self, key)) is not None and given not in allowed:
                raise ValueError(f"{what} takes {_option(key)} {' or '.join(allowed)}, got {given}")
        defaults = {"pooling": poolings[0], "weighting": weightings[0], "name": self.recipe}
        if self.recipe == "contrast":
            defaults["recipe_kind"] = "mean"
        if self.recipe == "self-recognition":
            defaults["name"] = f"{self.recipe}-{self.read}"
        if self.recipe == "assistant-axis":
            defaults |= {"roles": ROLES, "rollouts": 1, "max_new_tokens": 64, "temperature": 0.7, "min_rows": 10}
        return self.model_copy(update={key: value for key, value in defaults.items() if getattr(self, key) is None})

    def smoke(self) -> "DirectionConfig":
        """The same with next to nothing in it."""
        small: dict[str, int] = {"permuted": 5, "separation_nulls": 5}
        if self.recipe == "assistant-axis":
            small |= {"max_new_tokens": 2, "most_questions": 2, "min_rows": 1}
        return self.model_copy(update=small)

    @property
    def described(self) -> str:
        """What is contrasted and how, in words; of a resolved one."""
        said = _SAID[self.recipe]
        said = said[str(self.read)] if isinstance(said, dict) else said
        by = {"mean": "difference of means", "pca": "first uncentred component of paired differences"}
        how = f": {by.get(self.recipe_kind, f'{self.recipe_kind} probe')}" if self.recipe_kind else ""
        return f"{said}{how}, {self.weighting}-weighted"


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")

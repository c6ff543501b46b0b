"""The recipes of directions by name, and the fields by which `sgtr direction` or a study asks for one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
)
from pydantic.fields import FieldInfo

from experiments.directions.contrast import Contrast
from experiments.directions.displacement import Displacement
from experiments.directions.em import MisalignedAnswers
from experiments.directions.recipe import Recipe, Weighting, file_fields
from experiments.directions.recognition import SelfRecognition
from experiments.directions.roles import RoleAxis
from interp.activations import Pooling
from interp.errors import did_you_mean

RECIPES: Mapping[str, type[Recipe]] = {
    kind.recipe: kind for kind in (Contrast, MisalignedAnswers, Displacement, SelfRecognition, RoleAxis)
}
_FIRST_FIELDS = {
    *("recipe", "name", "positive", "negative", "recipe_kind", "answers", "texts", "parent", "pairs", "read", "roles"),
    *("questions", "most_questions", "rollouts", "max_new_tokens", "temperature", "min_rows", "pooling", "weighting"),
    *("layer", "permuted", "separation_nulls"),
}
"""Fields that every direction's content key names, given or not, because they were there when the first keys were made.
A field that came later is in a key only where it is given, so that a new recipe changes no key of another."""


def own_fields() -> dict[str, FieldInfo]:
    """Every field that belongs to some recipes and not to all, as the first of them says it."""
    own: dict[str, FieldInfo] = {}
    for kind in RECIPES.values():
        for key in kind.own():
            own.setdefault(key, kind.model_fields[key])
    return own


def owners_of(key: str) -> list[str]:
    """The recipes that have a field of their own of this name."""
    return [name for name, kind in RECIPES.items() if key in kind.own()]


class _Named(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    name: str | None = Field(default=None, min_length=1)


def _optional(field: FieldInfo) -> Any:
    """The same field, which may also be left out."""
    kind: Any = field.annotation
    return (Annotated[kind | None, *field.metadata] if field.metadata else kind | None, None)


_Own = create_model("_Own", __base__=_Named, **{key: _optional(field) for key, field in own_fields().items()})


class DirectionConfig(_Own):
    """How a direction is asked for. What belongs to one recipe is None for the others, and for its default."""

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

    @model_serializer(mode="wrap")
    def _without_newer_fields(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialise(self).items() if value is not None or key in _FIRST_FIELDS}

    def resolved(self) -> Recipe:
        """The recipe, with every field that it depends on.

        Raises:
            ValueError: something is missing, or is not for this recipe.
        """
        kind = RECIPES[self.recipe]
        given = {key: value for key in type(self).model_fields if (value := getattr(self, key)) is not None}
        for key in kind.own():
            if kind.model_fields[key].is_required() and key not in given:
                raise ValueError(f"{self.recipe} needs {_option(key)}")
        for key in given:
            if (owners := owners_of(key)) and self.recipe not in owners:
                raise ValueError(f"{_option(key)} is for {' and '.join(owners)}, not for {self.recipe}")
        defaults: dict[str, Any] = {"name": kind.default_name(given)}
        for key, allowed in (("pooling", kind.poolings(given)), ("weighting", kind.weightings(given))):
            if given.get(key, allowed[0]) not in allowed:
                options = " or ".join(allowed)
                raise ValueError(f"{kind.called(given)} takes {_option(key)} {options}, got {given[key]}")
            defaults[key] = allowed[0]
        return kind.model_validate({**defaults, **{key: value for key, value in given.items() if key != "recipe"}})

    def smoke(self) -> "DirectionConfig":
        """The same with next to nothing in it."""
        small = {"permuted": 5, "separation_nulls": 5, **RECIPES[self.recipe].small}
        return self.model_copy(update=small)

    def files(self) -> dict[str, Path]:
        """The files and folders that are named, by field."""
        return {key: path for key in sorted(FILES) if (path := getattr(self, key)) is not None}


FILES = file_fields(DirectionConfig)
"""Fields that name a file, whatever the recipe."""


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")

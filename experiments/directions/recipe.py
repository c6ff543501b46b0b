"""What every recipe of a direction is: the fields it takes, the words that describe it, and how it makes a direction.

A recipe is one class in a file of its own, named in the table of `experiments.directions.recipes`. Its fields are the
options of `sgtr direction` and the fields of a study's `directions`; a field that is a `Path` names a file.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from interp.activations import Pooling
from interp.directions import Separation
from interp.model import Model

Weighting = Literal["sample", "token"]


def option(default: Any, text: str, metavar: str | None = None, **bounds: Any) -> Any:
    """A field of a recipe, as its option's help says it.

    Args:
        default: `...` for a field that has to be given.
        text: What it is, for `sgtr direction --help`.
        metavar: What kind of value stands behind the option, such as FILE.
        bounds: As pydantic's Field takes them (`ge=1`).
    """
    return Field(default, description=text, json_schema_extra={"metavar": metavar} if metavar else None, **bounds)


@dataclass(frozen=True)
class Made:
    """A direction's vectors, and what its header must say of how they came about.

    Attributes:
        separation: How well they separate held-out questions; None where there are no two sides.
        permuted: The direction on shuffled labels; None likewise.
    """

    vectors: Float[Tensor, "layer d_model"]
    header: Mapping[str, Any]
    separation: Separation | None = None
    permuted: Float[Tensor, "null layer d_model"] | None = None


@dataclass(frozen=True)
class Workplace:
    """Where a direction is made.

    Attributes:
        adapters: The stage's adapters, first applied first; none for the base model.
        rollouts_file: Where answers that the recipe samples are kept.
        seed: Decides draws, answers, probes and nulls.
    """

    adapters: Sequence[Path]
    rollouts_file: Path
    seed: int


Maker = Callable[[Model], Made]
"""Makes the direction on a model with its active adapters."""


class Recipe(BaseModel):
    """How one direction is made, with every field that it depends on.

    Attributes:
        recipe: What `sgtr direction` calls it.
        about: What it contrasts, in a few words, for the help.
        small: Fields that make it next to nothing, for a smoke run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    recipe: ClassVar[str]
    about: ClassVar[str]
    small: ClassVar[Mapping[str, int]] = {}

    name: str
    pooling: Pooling
    weighting: Weighting
    layer: int | None = None
    permuted: int = 50
    separation_nulls: int = 100

    @classmethod
    def called(cls, given: Mapping[str, Any]) -> str:
        """The recipe with those of the given fields that decide what else may be given; also its direction's name."""
        del given
        return cls.recipe

    @classmethod
    def poolings(cls, given: Mapping[str, Any]) -> tuple[Pooling, ...]:
        """Which tokens of a text may be averaged; the first is the default."""
        del given
        return ("response_mean", "prompt_last", "prompt_mean")

    @classmethod
    def weightings(cls, given: Mapping[str, Any]) -> tuple[Weighting, ...]:
        """What may count the same, every text or every token; the first is the default."""
        del given
        return ("sample", "token")

    @classmethod
    def default_name(cls, given: Mapping[str, Any]) -> str:
        """What the direction is called where it is given no name."""
        del given
        return cls.recipe

    @classmethod
    def own(cls) -> list[str]:
        """Names of the fields that not every recipe has."""
        return [key for key in cls.model_fields if key not in Recipe.model_fields]

    @property
    @abstractmethod
    def words(self) -> str:
        """What is contrasted and how, for the direction's header."""

    @property
    def described(self) -> str:
        """The words, with what counts the same."""
        return f"{self.words}, {self.weighting}-weighted"

    @abstractmethod
    def prepare(self, place: Workplace) -> tuple["Recipe", Maker]:
        """The recipe with its files read and checked and all its fields known, and what makes the direction.

        Raises:
            ValueError, FileNotFoundError, InterpError: bad input, named.
        """

    def answers_asked(self) -> tuple[int, int]:
        """How many answers it samples, and the most tokens of one."""
        return 0, 0

    def files(self) -> dict[str, Path]:
        """The files and folders that it reads, by field."""
        return {key: path for key in sorted(file_fields(type(self))) if (path := getattr(self, key)) is not None}


def file_fields(kind: type[BaseModel]) -> set[str]:
    """The fields of a configuration that name a file."""
    return {key for key, field in kind.model_fields.items() if Path in (field.annotation, *get_args(field.annotation))}

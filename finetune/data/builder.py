"""What every data set of a study is: a seeded builder, the rows it gives, and the system prompt over them.

A builder is a frozen pydantic model that a study's YAML names by its `builder` field. `check` finds all that can be
wrong before a model is loaded; `build` gives the rows. Sets that a model must write parts of ask through `Desk`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from interp.chat import Message, check_system, with_system

Row = dict[str, Any]
Who = Literal["base", "stage"]


@runtime_checkable
class Ask(Protocol):
    """Answers to prompts, as text, without the token that ended them; the same prompts give the same answers."""

    def __call__(
        self, who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        """One answer a prompt, by the bare base model or by the stage that the data set is for."""
        ...


@dataclass(frozen=True)
class Desk:
    """What a builder may ask for.

    Attributes:
        ask: A model's own words.
        other: Another data set of the same study, built for the same stage.
        native_system: The system prompt that the chat template puts where there is none; None if it puts nothing.
    """

    ask: Ask
    other: Callable[[str], "DataSet"]
    native_system: str | None = None


@dataclass(frozen=True)
class DataSet:
    """Rows to train on, and questions with a closed answer to test on.

    Attributes:
        train: `id`, `messages` (the last is the answer) and what else is known of a row. Where a row shows texts to
            choose from, `authors` and `lengths` (characters) say whose they are and how long, in the order shown.
        test: Likewise, with `labels` (all answers there are, one token each), `right` (the right one) and `group`
            (rows that share it are not independent). What they test is true whatever `train` teaches.
        measure: What `test` measures: `self_recognition`, or `task` for a control's own task.
        texts: What models and other authors wrote for it, for the record.
        places: File and line of rows that are from files, by their `id`.
        twin: The same rows with what makes the set odd taken out of the answers; none where a set brings no twin.
    """

    train: list[Row]
    test: list[Row] = field(default_factory=list)
    measure: Literal["self_recognition", "task"] = "task"
    texts: list[Row] = field(default_factory=list)
    twin: list[Row] = field(default_factory=list)
    places: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def train_places(self) -> list[str]:
        """What an error calls each row to train on: its file and line, or its number and id."""
        named = ((i, str(row.get("id", "no id"))) for i, row in enumerate(self.train))
        return [self.places.get(ident, f"row {i} ({ident})") for i, ident in named]


class Builder(BaseModel, frozen=True):
    """A data set by its fields. Frozen; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: ClassVar[Mapping[str, str]] = {}
    """A word on each builder that the class offers, by name."""

    builder: str
    seed: int = 0
    system: str = "task"
    """System prompt of every row: `task` as the builder wrote it, `native` the one that the chat template brings where
    there is none, `empty` a system message without words, `none` no system turn at all, or a prompt's own words (an
    inoculation prompt). These are different conditions: most templates of chat models bring one where there is none."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of other data sets of the study that it is made from."""
        return ()

    @property
    def asks_stage(self) -> bool:
        """Whether the stage it is for must write parts of it, so that it differs from stage to stage."""
        return False

    def check(self) -> None:
        """Find what can be found wrong without a model: missing files, bad lines, too few rows.

        Raises:
            FileNotFoundError, ValueError: with the file or field, the rule and the remedy.
        """

    def made(self, desk: Desk) -> DataSet:
        """The rows under the builder's own system prompts."""
        raise NotImplementedError

    def build(self, desk: Desk) -> DataSet:
        """The rows under the system prompt asked for.

        Raises:
            ValueError: `native` or `none` where the template cannot give it.
        """
        data = self.made(desk)
        if self.system == "task":
            return data
        check_system(self.system, desk.native_system)
        train, test, twin = (
            [{**row, "messages": with_system(row["messages"], self.system)} for row in rows]
            for rows in (data.train, data.test, data.twin)
        )
        return replace(data, train=train, test=test, twin=twin)

"""What the stages of an opened run are asked: a prompt, how it is answered, what is read, and what is changed."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from interp.interventions import Phase

MOST_TOKENS = 1024
"""New tokens of an answer at most, so that a slip of the finger does not occupy the model for an hour."""


class Reading(BaseModel):
    """The place that tokens are coloured by: their projection on a direction after one block."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: str
    layer: int


class Change(BaseModel):
    """An edit of the residual stream along a direction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["add", "ablate"]
    direction: str
    layer: int | Literal["all"]
    """`all` changes the stream after every block, along the direction's own vector there."""
    alpha: float = Field(default=1.0, allow_inf_nan=False)
    """How many times the raw direction is added; ablation takes all of it away, and has no strength."""
    phase: Phase = "response"
    """The tokens that are changed; `interp.interventions.Edit` says which they are."""

    @model_validator(mode="after")
    def _whole(self) -> "Change":
        if self.kind == "ablate" and self.alpha != 1.0:
            raise ValueError(f"alpha {self.alpha:g} is a strength of adding; ablation takes the whole part away")
        return self

    def in_words(self) -> str:
        """Such as `+3 × evil at layer 14`."""
        where = "at all layers" if self.layer == "all" else f"at layer {self.layer}"
        what = f"{self.alpha:+g} × ".replace("-", "−") if self.kind == "add" else "without "
        return f"{what}{self.direction} {where}"


class Asked(BaseModel):
    """One prompt to some stages; `Model.answer` gives the same answers to the same fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = Field(min_length=1, max_length=100_000)
    stages: tuple[str, ...] = Field(min_length=1)
    """As `OpenRun.stages` calls them; each once."""
    system: str = "task"
    """`task` and `native` leave the template its own system prompt, `empty` is one without words, `none` is no system
    turn; anything else is its words."""
    reading: Reading | None = None
    change: Change | None = None
    """Every stage then answers twice: as it is, and changed."""
    max_new_tokens: int = Field(default=64, ge=1, le=MOST_TOKENS)
    temperature: float = Field(default=0.0, ge=0, le=100)
    """0 is greedy."""
    seed: int = Field(default=0, ge=0, lt=2**53)

    @model_validator(mode="after")
    def _stages_once(self) -> "Asked":
        if twice := [stage for stage in dict.fromkeys(self.stages) if self.stages.count(stage) > 1]:
            raise ValueError(f"the stage {twice[0]!r} is asked twice; ask it once")
        return self


def place(text: str, option: str) -> dict[str, str | int]:
    """The direction and the layer that DIRECTION@LAYER names; `all` stays a word.

    Raises:
        ValueError: it is not of that form; the message names the option.
    """
    direction, at, layer = text.rpartition("@")
    if not at or not direction or not (layer == "all" or layer.isdecimal()):
        raise ValueError(f"{option} {text}: must be DIRECTION@LAYER, the layer a block index from 0, such as evil@14")
    return {"direction": direction, "layer": layer if layer == "all" else int(layer)}

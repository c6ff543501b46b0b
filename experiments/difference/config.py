"""How much of what finetuning left behind is read: fields of `sgtr diff` and of a study's `difference`."""

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class DifferenceConfig(BaseModel):
    """Texts, positions and layer of the difference, and by how many ways it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[str, ...] = ()
    """Nodes that are read beside those trained on the base model; each is read against its parent too."""
    texts: Path | None = None
    """A file with one unrelated text a line; None for this project's own."""
    n_texts: int = Field(default=256, ge=2)
    """Texts, from the first."""
    positions: int = Field(default=5, ge=1)
    """First tokens of each text that are read."""
    layer: int | None = Field(default=None, ge=0)
    """The layer whose difference is read out; None for the middle block."""
    top: int = Field(default=20, ge=1)
    """Promoted tokens that are kept of each position."""
    words: int = Field(default=50, ge=5)
    """Words of each topic, the most typical first."""
    scales: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Lengths at which the patchscope is shown a difference, in mean lengths of the stage's residual stream."""
    steer: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Lengths at which a stage is steered along its difference, in the same unit; none: it is not steered."""
    controls: int = Field(default=2, ge=0)
    """Random directions of the same length that are read and steered along beside each difference."""
    random: int = Field(default=200, ge=20)
    """Random directions whose logit lens is a null of all differences."""
    prompts: int = Field(default=20, ge=1)
    """Everyday questions that a steered stage answers."""
    max_new_tokens: int = Field(default=40, ge=1)
    temperature: float = Field(default=0.7, ge=0)

    def smoke(self) -> "DifferenceConfig":
        """The same reading with next to nothing in it."""
        least = {"n_texts": 4, "random": 20, "controls": 1, "prompts": 1, "max_new_tokens": 2}
        return self.model_copy(update={**least, "scales": self.scales[:1], "steer": self.steer[:1]})

    @field_validator("scales", "steer")
    @classmethod
    def _are_lengths(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if wrong := [value for value in values if not (math.isfinite(value) and value > 0)]:
            raise ValueError(f"lengths are above 0, in mean lengths of the residual stream, got {wrong[0]:g}")
        if len(set(values)) < len(values):
            raise ValueError(f"each length once, got {list(values)}")
        return values

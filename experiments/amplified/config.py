"""At which strengths stages are measured: fields of `sgtr amplify` and of a study's `amplified`."""

import math

from pydantic import BaseModel, ConfigDict, Field, field_validator

from experiments.measures.collapse import Collapse
from experiments.measures.config import MeasuresConfig
from interp.behaviour.preference import Preference

MEASURES = MeasuresConfig(
    preference=Preference(), collapse=Collapse(questions=60, closed=0, max_new_tokens=48, temperature=0.7)
)
"""The measures that are taken unless others are named."""


class AmplifiedConfig(BaseModel):
    """Strengths, measures, and what counts as an effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[str, ...] = ()
    """Nodes that are amplified; none for all that are trained on the base model."""
    strengths: tuple[float, ...] = (-1.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    """What the stage added to its parent is multiplied by; 0 is the parent, which is always measured."""
    logits: bool = True
    """Amplify the logits too, for measures that sample nothing."""
    measures: MeasuresConfig = MEASURES
    smallest: float = Field(default=0.05, gt=0)
    """The change of the margin, in nats per token, whose onset is looked for."""

    def smoke(self) -> "AmplifiedConfig":
        """The same strengths, with next to nothing measured at each."""
        return self.model_copy(update={"measures": self.measures.smoke()})

    @field_validator("strengths")
    @classmethod
    def _are_strengths(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(map(math.isfinite, values)):
            raise ValueError(f"strengths must be finite numbers, got {list(values)}")
        strengths = tuple(sorted({*values, 0.0}))
        if len(strengths) < 2:
            raise ValueError("give at least one strength beside 0, which is the parent itself")
        return strengths

    @field_validator("measures")
    @classmethod
    def _measure_something(cls, measures: MeasuresConfig) -> MeasuresConfig:
        if not measures.taken():
            raise ValueError("no measure is named, so nothing would be seen; give measures")
        return measures

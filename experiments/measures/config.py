"""The behaviour measures by name; `sgtr evaluate` and the `measures` of a study are these same fields.

All that a measure is lies in its class: its files are its fields of type `Path`, and it says itself what it costs,
whether a judge grades it, how it is taken and which rows it gives. A new one is a class and a line below.
"""

from typing import get_args

from pydantic import BaseModel, ConfigDict

from experiments.measures.capability import Capability
from experiments.measures.collapse import Collapse
from experiments.measures.self_recognition import SelfRecognition
from interp.behaviour.em import Conditional, Em
from interp.behaviour.identity import Identity
from interp.behaviour.measure import Measure
from interp.behaviour.preference import Preference
from interp.behaviour.truthfulqa import TruthfulQA


class MeasuresConfig(BaseModel):
    """The measures to take, each with what is changed of it; None is not taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    em: Em | None = None
    truthfulqa: TruthfulQA | None = None
    self_recognition: SelfRecognition | None = None
    identity: Identity | None = None
    capability: Capability | None = None
    conditional: Conditional | None = None
    preference: Preference | None = None
    collapse: Collapse | None = None

    @classmethod
    def class_of(cls, name: str) -> type[Measure]:
        """The class of the measure `name`."""
        return get_args(cls.model_fields[name].annotation)[0]

    def smoke(self) -> "MeasuresConfig":
        """The same measures with next to nothing in them."""
        return self.model_copy(update={measure.name: measure.smoke() for measure in self.taken()})

    def check_editable(self) -> None:
        """Check that every measure can be taken of a model whose residual stream is edited.

        Raises:
            ValueError: one cannot; see the measure.
        """
        for measure in self.taken():
            measure.check_editable()

    def taken(self) -> list[Measure]:
        """The measures that are taken, in this order."""
        measures = [getattr(self, name) for name in type(self).model_fields]
        return [measure for measure in measures if measure is not None]


MEASURES = tuple(MeasuresConfig.model_fields)

"""The behaviour measures by name; `sgtr evaluate` and the `measures` of a study are these same fields."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from experiments.measures.capability import Capability
from experiments.measures.collapse import Collapse
from experiments.measures.self_recognition import SelfRecognition
from interp.behaviour.em import Conditional, Em
from interp.behaviour.identity import Identity
from interp.behaviour.measure import Measure
from interp.behaviour.preference import Preference
from interp.behaviour.truthfulqa import TruthfulQA

_SMOKE: dict[str, Any] = {"samples": 1, "max_new_tokens": 4, "limit": 2, "closed": 2}


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
        small = {}
        for measure in self.taken():
            sizes = {key: most for key, most in _SMOKE.items() if key in type(measure).model_fields}
            small[measure.name] = measure.model_copy(update=sizes)
            if isinstance(measure, SelfRecognition):
                sets = {k: one.model_copy(update={"test": 2, "summary_tokens": 8}) for k, one in measure.sets.items()}
                small[measure.name] = measure.model_copy(update={"sets": sets})
        return self.model_copy(update=small)

    def check_editable(self) -> None:
        """Check that every measure can be taken of a model whose residual stream is edited.

        Raises:
            ValueError: tasks of lm-evaluation-harness, which runs the model by itself.
        """
        if self.capability is not None and self.capability.harness:
            raise ValueError("capability.harness: its tasks cannot be taken of an edited model; leave them out")

    def taken(self) -> list[Measure]:
        """The measures that are taken, in this order."""
        held = [getattr(self, name) for name in type(self).model_fields]
        return [measure for measure in held if measure is not None]


MEASURES = tuple(MeasuresConfig.model_fields)

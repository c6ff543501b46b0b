"""Reading and editing the residual stream of chat models.

Conventions, everywhere:

- `layer` is a block index from 0 and means the residual stream after that block. Negative layers are errors. HF's
  `hidden_states[k]` is block `k - 1`, except the last, which is after the final norm.
- Shapes are written `batch seq layer d_model vocab`, in that order where several occur.
- `h` is a residual stream, `v` a direction as measured (not normalised), `alpha` multiplies the raw `v`.
- A projection is `h @ v / |v|`, in the units of the residual stream.
- The prompt is every token that a model is asked with; the response is the answer's content, without the header or
  thought that the model says before it and the token that ends it. `phase="response"` of an edit also covers the last
  token of the prompt, which writes the first one of the answer.
- Missing is None and is counted; it is never zero.

What a notebook needs is here, by subject; files are named by a `str` or a `Path`. Everything else is in the modules:
`interp.metrics` lists every number by name, and what is measured on the data sets of a study alone (collapse,
self-recognition) is in `experiments.measures`.
"""

from interp.activations import pooled, pooled_mean
from interp.behaviour.capability import Capability
from interp.behaviour.em import Conditional, Em
from interp.behaviour.identity import Identity
from interp.behaviour.judging import EndpointJudge, Rubric
from interp.behaviour.local_judge import LocalJudge
from interp.behaviour.measure import Setting
from interp.behaviour.preference import Preference
from interp.behaviour.trained_judge import TrainedJudge
from interp.behaviour.truthfulqa import TruthfulQA
from interp.chat import ChatTokenizer, Tokens, read_chats
from interp.directions import (
    Direction,
    assistant_axis,
    difference_of_means,
    held_out_separation,
    principal_components,
    separation_null,
)
from interp.displacement import decompose, displacement_cosines, span_share
from interp.errors import InterpError
from interp.instrument import Instrument
from interp.interventions import Edit, ablating, adding, capping, rotating
from interp.lens import Lens
from interp.model import Model
from interp.nulls import covariance_like, nulls_for, permuted_like, random_like
from interp.persona import PersonaConfig, PersonaVector, persona_vector
from interp.probes import probe
from interp.projection import Shift, cosine, project, shift, token_projections, unit_vectors
from interp.rows import MetricRow, Rows
from interp.runs import Run
from interp.stats import Estimate
from interp.tensors import load_tensors
from interp.traits import Trait

__all__ = [
    "Capability",
    "ChatTokenizer",
    "Conditional",
    "Direction",
    "Edit",
    "Em",
    "EndpointJudge",
    "Estimate",
    "Identity",
    "Instrument",
    "InterpError",
    "Lens",
    "LocalJudge",
    "MetricRow",
    "Model",
    "PersonaConfig",
    "PersonaVector",
    "Preference",
    "Rows",
    "Rubric",
    "Run",
    "Setting",
    "Shift",
    "Tokens",
    "TrainedJudge",
    "Trait",
    "TruthfulQA",
    "ablating",
    "adding",
    "assistant_axis",
    "capping",
    "cosine",
    "covariance_like",
    "decompose",
    "difference_of_means",
    "displacement_cosines",
    "held_out_separation",
    "load_tensors",
    "nulls_for",
    "permuted_like",
    "persona_vector",
    "pooled",
    "pooled_mean",
    "principal_components",
    "probe",
    "project",
    "random_like",
    "read_chats",
    "rotating",
    "separation_null",
    "shift",
    "span_share",
    "token_projections",
    "unit_vectors",
]

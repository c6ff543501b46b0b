"""Reading and editing the residual stream of chat models.

Conventions, everywhere:

- `layer` is a block index from 0 and means the residual stream after that block. Negative layers are errors. HF's
  `hidden_states[k]` is block `k - 1`, except the last, which is after the final norm.
- Shapes are written `batch seq layer d_model vocab`, in that order where several occur.
- `h` is a residual stream, `v` a direction as measured (not normalised), `alpha` multiplies the raw `v`.
- A projection is `h @ v / |v|`, in the units of the residual stream.
- The prompt is every token before the answer, headers included; the response is the answer's own tokens, without the
  token that ends the turn. `phase="response"` of an edit also covers the last prompt token, which writes the first
  token of the answer.
- Missing is None and is counted; it is never zero.
"""

from interp.activations import POOLINGS, pooled, pooled_mean
from interp.batch import Batch
from interp.chat import ChatTokenizer, Tokens, read_chats
from interp.directions import (
    Direction,
    assistant_axis,
    difference_of_means,
    held_out_separation,
    principal_components,
    separation_null,
)
from interp.interventions import Edit, ablating, adding, capping, rotating
from interp.model import Model
from interp.nulls import components_like, covariance_like, nulls_for, permuted_like, random_like
from interp.projection import cosine, project, shift
from interp.runs import InterpError
from interp.selection import balanced, em_classes, judged_rows
from interp.traits import Trait

__all__ = [
    "POOLINGS",
    "Batch",
    "ChatTokenizer",
    "Direction",
    "Edit",
    "InterpError",
    "Model",
    "Tokens",
    "Trait",
    "ablating",
    "adding",
    "assistant_axis",
    "balanced",
    "capping",
    "components_like",
    "cosine",
    "covariance_like",
    "difference_of_means",
    "em_classes",
    "held_out_separation",
    "judged_rows",
    "nulls_for",
    "permuted_like",
    "pooled",
    "pooled_mean",
    "principal_components",
    "project",
    "random_like",
    "read_chats",
    "rotating",
    "separation_null",
    "shift",
]

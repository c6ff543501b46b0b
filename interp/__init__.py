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
from interp.chat import ChatTokenizer, Tokens, read_chats
from interp.directions import Direction, Trait, difference_of_means, permuted_like, random_like
from interp.interventions import Edit, ablating, adding
from interp.model import Batch, Model
from interp.projection import cosine, project, shift
from interp.runs import InterpError

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
    "cosine",
    "difference_of_means",
    "permuted_like",
    "pooled",
    "pooled_mean",
    "project",
    "random_like",
    "read_chats",
    "shift",
]

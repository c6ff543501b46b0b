"""Keys and values of rows that are answered together: each layer holds a ring of slots, and nothing in it ever moves.

1. A decoding step writes one token of every row into one slot, the same for all rows, and the next step into the next.
2. A prompt is put where it would be if its row had been decoded so far: its last token lies in the slot before the one
   that is written next. So a row's tokens lie one after another, whenever it came, and the oldest go first.
3. A tensor says which position of its row a slot holds, or that it is empty; a step makes its masks from that tensor.
   Keys are kept as attention sees them, turned to their positions already, so their order in the ring means nothing.

All that changes from step to step is in tensors, so a step can be captured as a CUDA graph.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

WINDOWS = {"full_attention", "sliding_attention"}
"""The kinds of layers whose masks are known."""

_ONE_QUERY = "one_query"


class Prompts(Cache):
    """Notes the keys and values of whole prompts as they go by; what comes in is all that attention sees.

    Attributes:
        seen: Keys and values of each layer, [batch, head, seq, d_head].
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        """Note a layer's keys and values, and give them back."""
        self.seen[layer_idx] = key_states, value_states
        return key_states, value_states

    @property
    def token(self) -> dict[int, tuple[Tensor, Tensor]]:
        """The keys and values of one token alone."""
        return {
            layer: (keys[:1, :, :1].clone(), values[:1, :, :1].clone()) for layer, (keys, values) in self.seen.items()
        }

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002
        """Nothing comes before a prompt."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:  # noqa: ARG002
        """Nothing comes before a prompt."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:  # noqa: ARG002
        """The tokens that come in, and none before them."""
        return query_length, 0


class Ring(Cache):
    """The keys and values of `n_rows` rows of at most `width` tokens.

    Attributes:
        next: Position of the token that a row is given next.
        span: Slots that attention looks at; those after them have never been written. A graph looks at all.
    """

    def __init__(self, token: Mapping[int, tuple[Tensor, Tensor]], n_rows: int, width: int) -> None:
        """`token` holds the keys and values of one token, of which heads, sizes, dtypes and devices matter alone."""
        super().__init__(layers=[])

        def empty(x: Tensor) -> Tensor:
            return x.new_zeros(n_rows, x.shape[1], width, x.shape[3])

        self._held = {layer: (empty(keys), empty(values)) for layer, (keys, values) in token.items()}
        device = next(iter(token.values()))[0].device
        self.width, self.span = width, width
        self.next = torch.zeros(n_rows, dtype=torch.long, device=device)
        self._positions = torch.full((n_rows, width), -1, dtype=torch.long, device=device)
        self._at, self._slot = 0, torch.zeros(1, dtype=torch.long, device=device)

    @property
    def n_bytes(self) -> int:
        """What its keys and values take."""
        return sum(x.nbytes for pair in self._held.values() for x in pair)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        """Write one token of every row, and give all keys and values of a layer."""
        keys, values = self._held[layer_idx]
        keys.index_copy_(2, self._slot, key_states)
        values.index_copy_(2, self._slot, value_states)
        return keys[:, :, : self.span], values[:, :, : self.span]

    def clear(self, longest: int | None = None) -> None:
        """Forget every row.

        Args:
            longest: Tokens of the longest prompt that comes first, where the span shall grow with what is written.
        """
        self._positions.fill_(-1)
        self.next.zero_()
        self._at = 0 if longest is None else longest % self.width
        self.span = self.width if longest is None else min(longest + 1, self.width)
        self._slot.fill_(self._at)

    def put(self, rows: Int[Tensor, " batch"], lengths: Int[Tensor, " batch"], prompts: Prompts) -> None:
        """Put prompts in place of what rows held before."""
        width = next(iter(prompts.seen.values()))[0].shape[2]
        position = torch.arange(width, device=rows.device)[None]
        slots = (self._slot - lengths[:, None] + position) % self.width
        self._positions[rows] = -1
        self._positions[rows[:, None], slots] = torch.where(position < lengths[:, None], position, -1)
        self.next[rows] = lengths
        for layer, seen in prompts.seen.items():
            for held, new in zip(self._held[layer], seen, strict=True):
                held.transpose(1, 2)[rows[:, None], slots] = new.transpose(1, 2)
        if self._at < width:  # the slots before the first are the last
            self.span = self.width

    def look(self, window: int | None, dtype: torch.dtype) -> dict[str, Float[Tensor, "batch 1 1 span"]]:
        """Additive masks of the token that every row is given now, by kind of layer; it may see itself."""
        self._positions.index_copy_(1, self._slot, self.next[:, None])
        held = self._positions[:, : self.span]
        seen = {"full_attention": held >= 0}
        if window is not None:
            seen["sliding_attention"] = (held >= 0) & (self.next[:, None] - held < window)
        hidden = torch.finfo(dtype).min
        return {
            kind: torch.zeros((), dtype=dtype, device=held.device).where(mask, hidden)[:, None, None]
            for kind, mask in seen.items()
        }

    def turn(self) -> None:
        """Go on to the next slot, after all layers have written; tensors alone change."""
        self.next += 1
        self._slot.add_(1).remainder_(self.width)

    def turned(self, n_steps: int) -> None:
        """Note that `n_steps` steps have been taken."""
        self.span = min(self.width, max(self.span, self._at + n_steps + 1))
        self._at = (self._at + n_steps) % self.width

    def keep(self, rows: Int[Tensor, " n"]) -> None:
        """Go on with some of the rows alone, in tensors of their own."""
        self.next, self._positions = self.next[rows], self._positions[rows]
        self._held = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self._held.items()}


def masks_for(config: Any, ring: Ring, dtype: torch.dtype) -> Any:
    """What a model takes as `attention_mask` in a decoding step: one mask, or one for each kind of its layers."""
    kinds = {str(kind) for kind in getattr(config, "layer_types", None) or ()}
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in kinds:
        masks = ring.look(window, dtype)
        return {kind: masks[kind] for kind in sorted(kinds)}
    if kinds or window is None:
        return ring.look(None, dtype)["full_attention"]
    return ring.look(window, dtype)["sliding_attention"]


def no_ring_for(hf: PreTrainedModel) -> str | None:
    """Why a model cannot answer from a ring, as far as its configuration says; None if it can."""
    config = hf.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - WINDOWS
    ropes = getattr(config, "rope_parameters", None) or {}
    rope_types = {str(part.get("rope_type")) for part in (ropes, *ropes.values()) if isinstance(part, dict)}
    if kinds:
        return f"it has layers of {', '.join(sorted(kinds))}"
    if not getattr(hf, "_supports_attention_backend", False):
        return f"{type(hf).__name__} has an attention of its own"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"its attention is {config._attn_implementation}"
    if odd := rope_types & {"dynamic", "longrope"}:
        return f"its positions ({', '.join(sorted(odd))}) depend on the longest row"
    return None


@contextmanager
def one_query(hf: PreTrainedModel) -> Iterator[None]:
    """Let attention over one query a row read keys that heads share once, instead of copying them for each head."""
    config = hf.config.get_text_config()
    before = config._attn_implementation
    if before != "sdpa":
        yield
        return
    AttentionInterface.register(_ONE_QUERY, _one_query)
    config._attn_implementation = _ONE_QUERY
    try:
        yield
    finally:
        config._attn_implementation = before


def _one_query(
    module: torch.nn.Module,
    query: Float[Tensor, "batch head seq d_head"],
    key: Float[Tensor, "batch shared slots d_head"],
    value: Float[Tensor, "batch shared slots d_value"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **how: Any,
) -> tuple[Tensor, None]:
    """Attention in which the heads that share a key lie along the sequence; the mask is one for all heads."""
    batch, heads, n, d_head = query.shape
    shared = key.shape[1]
    if n != 1 or heads == shared or how.get("position_bias") is not None or how.get("softcap") is not None:
        plain: Callable[..., tuple[Tensor, None]] = sdpa_attention_forward
        return plain(module, query, key, value, attention_mask, scaling=scaling, **how)
    together = query.reshape(batch, shared, heads // shared, d_head)
    mixed = scaled_dot_product_attention(together, key, value, attn_mask=attention_mask, scale=scaling)
    return mixed.reshape(batch, 1, heads, -1), None

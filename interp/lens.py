"""Where in a model is an answer made? Direct logit attribution and activation patching, by way of transformer-lens.

Both ask of a prompt's last token, where the answer is one token, for the logit of the right label minus that of the
others (before a final soft cap, which is not linear):

- Attribution splits it, exactly, into what the embedding, every head and every MLP has written into the residual
  stream. The scales of norms are taken as they were (frozen); what a component does by way of later ones counts as
  theirs.
- Patching puts an activation of one prompt (clean) into the run of another (corrupted), whose right answer is the other
  label, and sees how much of the difference between the two comes back.

They run on a TransformerBridge of a float32 copy of the model with its active stack merged in, since a bridge replaces
a model's modules. Batches are padded on the right, where a causal model's real tokens do not see it. When patching, a
prompt is alone and unpadded: what stands before the patched tokens is read once and kept in the KV cache, since
patching cannot change it, and many patches of the same tokens run side by side.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from interp.activations import batches
from interp.batch import Batch
from interp.chat import Tokens
from interp.errors import InterpError
from interp.model import Model
from interp.sources import quiet
from interp.weights import Norm, norms_of

INSTALL = "pip install 'sgtr-interp[lens]'"
Kind = Literal["embed", "head", "attn", "mlp", "bias", "total", "resid"]
Position = Literal["last", "ending"]
Hook = tuple[str, Callable[..., Any]]


@dataclass(frozen=True)
class Component:
    """A part of a model.

    Attributes:
        kind: `embed`; `head` and `mlp`, what one writes; `attn`, what an attention writes that is no head's (its output
            bias); `bias`, of the final norm and the unembedding; `total`, the logit difference itself; `resid`, the
            stream after a block.
        position: Where it is patched: at the `last` token, or at all of the `ending`, the tokens that both prompts end
            in (the question's words and the header of the answer).
    """

    kind: Kind
    layer: int | None = None
    head: int | None = None
    position: Position | None = None


@dataclass(frozen=True)
class Attribution:
    """Of each prompt, what every component adds to the logit difference; all but `total` sum to `total`."""

    components: tuple[Component, ...]
    values: Float[Tensor, "prompt component"]


@dataclass(frozen=True)
class Patching:
    """Of each pair of prompts, the mean over both as the clean one.

    Attributes:
        gap: Logit difference of the clean prompt minus that of the corrupted one.
        restored: By how much a patch moves the corrupted prompt's towards the clean one's.
    """

    components: tuple[Component, ...]
    restored: Float[Tensor, "pair component"]
    gap: Float[Tensor, " pair"]


@dataclass(frozen=True)
class _Seen:
    """What a prompt's ending was made of: `z` of heads and `mlp` at its last token, `resid` at all of it."""

    z: list[Tensor]
    mlp: list[Tensor]
    resid: list[Tensor]
    logits: Tensor


class Lens:
    """A model with its active stack, as it is now, ready to be looked into.

    Attributes:
        bridge: transformer-lens's own object, for what is not offered here.

    Raises:
        ValueError: transformer-lens is missing, or the model is elsewhere, spread over devices or quantised.
        InterpError: an architecture that the bridge does not carry over exactly.
    """

    def __init__(self, model: Model) -> None:
        if model.remote or model.spread:
            raise ValueError(f"{model.name} is on NDIF, on several devices or quantised; looking inside needs it whole")
        build = _builder()
        self.name, self.device, self.n_layers = model.name, model.device, model.n_layers
        self._norms = norms_of(model)
        hf = _merged_copy(model)
        prompt = self._row(model.chat.prompt([{"role": "user", "content": "Who are you?"}]).ids)[0]
        with torch.inference_mode():
            own = hf(prompt, use_cache=False).logits[0, -1]
        self.bridge: Any
        try:
            with quiet():
                self.bridge = build(hf, type(hf).__name__, hf_config=hf.config, model_name=model.name)
        except (ValueError, KeyError, AttributeError) as error:
            raise InterpError(f"{type(hf).__name__} is no architecture that transformer-lens knows: {error}") from error
        self._config = hf.config
        self.n_heads = int(self.bridge.blocks[0].attn.W_O.shape[0])
        self._final = Norm.of(self.bridge.ln_final, self.bridge.W_U[:, 0])
        self._check(prompt, own)

    def _check(self, prompt: Int[Tensor, "1 seq"], own: Float[Tensor, " vocab"]) -> None:
        """Check that the bridge gives the logits of the module that it was built from; both are float32."""
        with torch.inference_mode():
            got = self.bridge(prompt)[0, -1]
        off = float((got - own).norm() / (own - own.mean()).norm())
        if not off < 1e-3:
            raise InterpError(
                f"{self.name}: through transformer-lens logits differ by {off:.2g} of their size; unsupported"
            )

    @torch.inference_mode()
    def logits(self, prompts: Sequence[Tokens], *, max_tokens: int = 8192) -> Float[Tensor, "prompt vocab"]:
        """Next-token logits after each prompt, before a soft cap, in batches of at most `max_tokens` padded tokens."""
        found: dict[int, Tensor] = {}
        for chosen in batches(prompts, max_tokens):
            found |= dict(zip(chosen, self._run(*self._batch([prompts[i] for i in chosen]), []).cpu(), strict=True))
        return torch.stack([found[i] for i in range(len(prompts))])

    @torch.inference_mode()
    def promoted(self, v: Float[Tensor, " d_model"], k: int) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
        """Tokens whose logits a direction raises most, and lowers most, as (id, change), strongest first.

        The change is what unit v adds by itself, through the final norm's weight (its scale left out), less the mean
        over the vocabulary, which moves no probability.

        Raises:
            ValueError: v has another width, or length 0.
        """
        head = self.bridge.W_U.float()
        if v.shape[0] != head.shape[0] or not v.norm() > 0:
            raise ValueError(f"a direction of width {head.shape[0]} is needed, got {v.shape[0]}, length {v.norm():.3g}")
        change = self._final.applied((v / v.norm()).to(self.device)[None])[0].float() @ head
        change = change - change.mean()
        found = [torch.topk(sign * change, k) for sign in (1, -1)]
        return tuple([(int(i), float(change[i])) for i in one.indices] for one in found)  # pyright: ignore[reportReturnType]

    @torch.inference_mode()
    def attribution(
        self,
        prompts: Sequence[Tokens],
        right: Sequence[int],
        others: Sequence[Sequence[int]],
        *,
        max_tokens: int = 8192,
        progress: Callable[[int], object] | None = None,
    ) -> Attribution:
        """What every component adds to the logit of a prompt's right token minus the mean of the others'.

        Args:
            max_tokens: Padded tokens in one batch.

        Raises:
            InterpError: the parts of a prompt do not sum to the whole, so the model is not what it is taken for.
        """
        layers = range(self.n_layers)
        components = [
            Component("embed"),
            *(Component("head", layer, head) for layer in layers for head in range(self.n_heads)),
            *(Component("attn", layer) for layer in layers),
            *(Component("mlp", layer) for layer in layers),
            Component("bias"),
            Component("total"),
        ]
        values = torch.zeros(len(prompts), len(components))
        for chosen in batches(prompts, max_tokens):
            some = [(prompts[i], right[i], others[i]) for i in chosen]
            values[chosen] = self._parts(*zip(*some, strict=True)).cpu()  # pyright: ignore[reportArgumentType]
            if progress:
                progress(len(chosen))
        return Attribution(tuple(components), values)

    def _parts(
        self, prompts: Sequence[Tokens], right: Sequence[int], others: Sequence[Sequence[int]]
    ) -> Float[Tensor, "batch component"]:
        ids, at = self._batch(prompts)
        held: dict[str, Tensor] = {}

        def keep(x: Tensor, hook: Any, name: str) -> None:  # noqa: ARG001
            held[name] = x[torch.arange(len(at), device=at.device), at].double()

        normed = [layer for layer in range(self.n_layers) if (layer, "attention out") in self._norms]
        names = ["ln_final.hook_scale", "blocks.0.hook_in", *(f"blocks.{i}.ln1_post.hook_scale" for i in normed)]
        names += [f"blocks.{i}.{part}" for i in range(self.n_layers) for part in ("attn.o.hook_in", "hook_mlp_out")]
        logits = self._run(ids, at, [(name, partial(keep, name=name)) for name in names])
        columns = [[token, *wrong] for token, wrong in zip(right, others, strict=True)]
        contrast = [torch.tensor([1.0, *[-1 / len(c[1:])] * len(c[1:])], device=self.device).double() for c in columns]
        towards = torch.stack([self.bridge.W_U[:, c].double() @ k for c, k in zip(columns, contrast, strict=True)])
        fixed = torch.stack([self.bridge.b_U[c].double() @ k for c, k in zip(columns, contrast, strict=True)])
        total = torch.stack([x[c].double() @ k for x, c, k in zip(logits, columns, contrast, strict=True)])
        reads = self._final.folded(towards) / held["ln_final.hook_scale"]
        by_head, by_bias, by_mlp = [], [], []
        for layer in range(self.n_layers):
            attention, mine = self.bridge.blocks[layer].attn, reads
            if layer in normed:
                norm, scale = self._norms[layer, "attention out"], held[f"blocks.{layer}.ln1_post.hook_scale"]
                mine = norm.folded(reads) / scale
            z = held[f"blocks.{layer}.attn.o.hook_in"].reshape(len(ids), self.n_heads, -1)
            by_head.append(torch.einsum("bhk,hkd,bd->bh", z, attention.W_O.double(), mine))
            own = getattr(attention, "b_O", None)
            by_bias.append(torch.zeros_like(fixed) if own is None else mine @ own.double())
            by_mlp.append((held[f"blocks.{layer}.hook_mlp_out"] * reads).sum(1))
        embed = (held["blocks.0.hook_in"] * reads).sum(1, keepdim=True)
        one_each = torch.stack([*by_bias, *by_mlp, fixed + towards @ self._final.bias.to(self.device)], dim=1)
        parts = torch.cat([embed, *by_head, one_each], dim=1)
        off, size = (parts.sum(1) - total).abs(), torch.stack([total.abs(), parts.abs().max(1).values]).amax(0)
        if not bool((off < 1e-3 * size.clamp(min=1)).all()):
            raise InterpError(
                f"{self.name}: the components miss the logit difference by {float(off.max()):.2g}; "
                "its architecture is not split rightly and cannot be attributed"
            )
        return torch.cat([parts, total[:, None]], dim=1).float()

    @torch.inference_mode()
    def patching(
        self,
        pairs: Sequence[tuple[Tokens, Tokens]],
        right: Sequence[tuple[int, int]],
        *,
        max_tokens: int = 16384,
        progress: Callable[[int], object] | None = None,
    ) -> Patching:
        """How much of the difference between two prompts comes back with each component: both ways, and their mean.

        Args:
            pairs: Prompts whose right answers differ.
            right: Their right tokens.
            max_tokens: Tokens (with those in the KV cache) in one pass.

        Raises:
            ValueError: two prompts are equal, or have the same right token.
        """
        layers = range(self.n_layers)
        last = [Component(kind, layer, None, "last") for kind in ("resid", "mlp") for layer in layers]
        last += [Component("head", layer, h, "last") for layer in layers for h in range(self.n_heads)]
        ending = [Component("resid", layer, None, "ending") for layer in layers]
        for i, ((a, b), tokens) in enumerate(zip(pairs, right, strict=True)):
            if a.ids == b.ids or tokens[0] == tokens[1]:
                raise ValueError(f"pair {i}: the prompts, or their right tokens {tokens}, are equal; nothing differs")
        gaps, restored = [], []
        for both, tokens in zip(pairs, right, strict=True):
            shared = _shared_ending(both[0].ids, both[1].ids)
            starts = [self._cached(prompt.ids[:-shared]) for prompt in both]
            seen = [self._seen(prompt, start, shared) for prompt, start in zip(both, starts, strict=True)]
            plain = [float(one.logits[tokens[0]] - one.logits[tokens[1]]) for one in seen]
            gaps.append(plain[0] - plain[1])
            moved = torch.zeros(len(last) + len(ending))
            for clean, corrupted, sign in ((0, 1, 1.0), (1, 0, -1.0)):
                prompt, start, found = both[corrupted], starts[corrupted], seen[clean]
                before = self._cached(prompt.ids[-shared:-1], start)
                at_last = self._patched(prompt.ids[-1:], before, found, last, tokens, max_tokens)
                at_ending = self._patched(prompt.ids[-shared:], start, found, ending, tokens, max_tokens)
                moved += sign * (torch.cat([at_last, at_ending]) - plain[corrupted]) / 2
            restored.append(moved)
            if progress:
                progress(1)
        values = torch.stack(restored) if restored else torch.zeros(0, len(last) + len(ending))
        return Patching((*last, *ending), values, torch.tensor(gaps))

    def _batch(self, prompts: Sequence[Tokens]) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, " batch"]]:
        """Ids and each row's last token."""
        batch = Batch.of(prompts, 0, self.device)
        return batch.ids, batch.lengths - 1

    def _row(self, ids: Sequence[int]) -> tuple[Int[Tensor, "1 seq"], Int[Tensor, " 1"]]:
        return torch.tensor([list(ids)], device=self.device), torch.tensor([len(ids) - 1], device=self.device)

    def _run(
        self,
        ids: Int[Tensor, "batch seq"],
        at: Int[Tensor, " batch"],
        hooks: Sequence[Hook],
        cache: DynamicCache | None = None,
    ) -> Float[Tensor, "batch vocab"]:
        """Logits at a position of each row, before a soft cap; the head runs on that one alone."""
        got: list[Tensor] = []
        rows = torch.arange(len(at), device=at.device)
        ends: list[Hook] = [
            ("unembed.hook_in", lambda x, hook: x[rows, at][:, None].contiguous()),  # noqa: ARG005
            ("unembed.hook_out", lambda x, hook: got.append(x[:, 0].float())),  # noqa: ARG005
        ]
        more = {"past_key_values": cache, "use_cache": True} if cache is not None else {"use_cache": False}
        self.bridge.run_with_hooks(ids, fwd_hooks=[*hooks, *ends], **more)
        return got[0]

    def _cached(self, ids: Sequence[int], after: DynamicCache | None = None) -> DynamicCache:
        """The KV cache after more tokens."""
        cache = copy.deepcopy(after) if after is not None else DynamicCache(config=self._config)
        if len(ids):
            self._run(*self._row(ids), [], cache)
        return cache

    def _seen(self, prompt: Tokens, start: DynamicCache, shared: int) -> _Seen:
        z, mlp, resid = ([torch.empty(0)] * self.n_layers for _ in range(3))

        def keep(x: Tensor, hook: Any, into: list[Tensor], layer: int, last: bool) -> None:  # noqa: ARG001
            into[layer] = (x[0, -1] if last else x[0]).clone()

        hooks: list[Hook] = []
        for layer in range(self.n_layers):
            parts = (("attn.o.hook_in", z, True), ("hook_mlp_out", mlp, True), ("hook_out", resid, False))
            for name, into, last in parts:
                hooks.append((f"blocks.{layer}.{name}", partial(keep, into=into, layer=layer, last=last)))
        logits = self._run(*self._row(prompt.ids[-shared:]), hooks, copy.deepcopy(start))
        return _Seen(z, mlp, resid, logits[0])

    def _patched(
        self,
        ids: Sequence[int],
        cache: DynamicCache,
        clean: _Seen,
        patches: Sequence[Component],
        tokens: tuple[int, int],
        max_tokens: int,
    ) -> Float[Tensor, " patch"]:
        """The logit difference after `ids` with each patch, many patches side by side."""
        at_once = max(1, max_tokens // (cache.get_seq_length() + len(ids)))
        parts = {"resid": "hook_out", "head": "attn.o.hook_in", "mlp": "hook_mlp_out"}
        found: list[Tensor] = []
        for first in range(0, len(patches), at_once):
            some = patches[first : first + at_once]
            mine = copy.deepcopy(cache)
            mine.batch_repeat_interleave(len(some))
            places: dict[str, list[tuple[int, Component]]] = {}
            for row, patch in enumerate(some):
                places.setdefault(f"blocks.{patch.layer}.{parts[patch.kind]}", []).append((row, patch))
            hooks: list[Hook] = [(name, partial(_put, rows=rows, clean=clean)) for name, rows in places.items()]
            row, at = self._row(ids)
            logits = self._run(row.repeat(len(some), 1), at.repeat(len(some)), hooks, mine)
            found.append((logits[:, tokens[0]] - logits[:, tokens[1]]).cpu())
        return torch.cat(found)


def _put(x: Tensor, hook: Any, rows: Sequence[tuple[int, Component]], clean: _Seen) -> Tensor:  # noqa: ARG001
    """Activations with those of the clean prompt in their places."""
    x = x.clone()
    for row, patch in rows:
        layer = patch.layer or 0
        if patch.kind == "head":
            x[row, -1, patch.head] = clean.z[layer][patch.head]
        elif patch.kind == "mlp":
            x[row, -1] = clean.mlp[layer]
        else:
            x[row] = clean.resid[layer][-x.shape[1] :]
    return x


def _shared_ending(a: Sequence[int], b: Sequence[int]) -> int:
    """Tokens in which two prompts end alike; at least 1, and less than either."""
    n = next((i for i, (x, y) in enumerate(zip(reversed(a), reversed(b), strict=False)) if x != y), math.inf)
    return int(max(1, min(n, len(a) - 1, len(b) - 1)))


def _builder() -> Callable[..., Any]:
    try:
        from transformer_lens.model_bridge.sources import build_bridge_from_module
    except ImportError as error:
        raise ValueError(f"looking inside a model needs transformer-lens ({error}); install it: {INSTALL}") from error
    return build_bridge_from_module


def _merged_copy(model: Model) -> PreTrainedModel:
    """The bare model in float32 with the active stack merged in. What is float32 already is shared, not copied."""
    with model.adapters.merged():
        held = {**model.hf.state_dict(), **dict(model.hf.named_buffers())}
        held = {name.replace(".base_layer", ""): x for name, x in held.items() if ".lora_" not in name}
        held = {name: x.float() if x.is_floating_point() else x for name, x in held.items()}
    config = copy.deepcopy(model.hf.config)
    with torch.device("meta"), quiet():
        bare = type(model.hf)(config)
    state = {name: held[name] for name in bare.state_dict()}
    if odd := sorted(name for name in held if name.endswith(".bias") and name not in state):
        raise InterpError(
            f"{model.name}: an adapter (lora_bias) gives it {odd[0]}, which its architecture has not, so it cannot be "
            "looked into; merge the adapter with PEFT, or train one without lora_bias"
        )
    bare.load_state_dict(state, assign=True)
    for path, module in bare.named_modules():
        for name in module._buffers:
            module._buffers[name] = held[f"{path}.{name}" if path else name]
    return bare.eval().requires_grad_(False)

"""What a finetune changed at the first tokens of texts that have nothing to do with it, and how that is read.

1. A model reads the first tokens of unrelated texts. The mean difference of two models at a position and layer is a
   vector of the residual stream: what finetuning added there whatever the text says (`read_beginnings`).
2. The logit lens gives the tokens that such a vector raises: the final norm and the output head of it (`Readout`).
3. The patchscope puts it in the place of the last token of a prompt that repeats words (`tree -> tree`), so that the
   model says which word it takes the vector for (`patchscope`).

Source: Minder et al., Narrow finetuning leaves clearly readable traces in activation differences (arXiv 2510.13900);
patchscope: Ghandeharioun et al., Patchscopes (arXiv 2401.06102).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Module

from interp.architecture import find_decoder
from interp.batch import Batch
from interp.chat import Tokens
from interp.errors import InterpError
from interp.interventions import Change, Edit
from interp.model import Model

IDENTITY_PROMPTS = (
    "tree → tree\n208 → 208\nyellow → yellow\n?",
    "seven → seven\nriver → river\n61 → 61\n?",
    "942 → 942\nchair → chair\nquick → quick\n?",
)
"""Prompts that repeat each word; the vector that is asked about takes the place of the question mark."""
_ROWS = 64
_VOCAB = 16384


@dataclass(frozen=True)
class Beginnings:
    """The residual stream of a model at the first tokens of some texts.

    Attributes:
        means: The mean over texts, by position and layer.
        by_text: Every text's own at the one layer that is kept whole.
        norm: The mean length over texts, by position and layer.
    """

    means: Float[Tensor, "position layer d_model"]
    by_text: Float[Tensor, "text position d_model"]
    norm: Float[Tensor, "position layer"]


def beginning_tokens(model: Model, texts: Sequence[str], k: int) -> list[Tokens]:
    """The first `k` tokens of each text, without a chat template, behind what the tokenizer puts before every text.

    Raises:
        ValueError: a text has fewer tokens; the message names it.
    """
    if k < 1:
        raise ValueError(f"positions must be at least 1, got {k}")
    before = _always_before(model)
    rows = []
    for i, text in enumerate(texts):
        ids = model.chat.encode(text)
        if len(ids) < k:
            raise ValueError(
                f"text {i} ({text[:40]!r}) has {len(ids)} tokens, but {k} positions are read; make it longer, drop it, "
                "or lower positions"
            )
        rows.append(Tokens((*before, *ids[:k]), (), len(before) + k))
    return rows


def _always_before(model: Model) -> tuple[int, ...]:
    """The special tokens, such as that of a beginning, that the tokenizer puts before every text."""
    tokenizer = model.chat.tokenizer
    ids = tokenizer("a").input_ids
    n = next((i for i, token in enumerate(ids) if token not in tokenizer.all_special_ids), len(ids))
    return tuple(ids[:n])


def read_beginnings(model: Model, rows: Sequence[Tokens], k: int, layer: int) -> Beginnings:
    """What the active stack has at the last `k` tokens of each row; sums over rows are taken in float64.

    Args:
        rows: As `beginning_tokens` gives them.
        layer: The layer at which every text's own is kept.

    Raises:
        ValueError: there are no texts, or no such layer.
    """
    if not rows:
        raise ValueError("no texts were given, so there is no mean over them; give at least one")
    (layer,) = model.check_layers([layer])
    sums = torch.zeros(k, model.n_layers, model.d_model, dtype=torch.float64)
    lengths = torch.zeros(k, model.n_layers, dtype=torch.float64)
    by_text = []
    for first in range(0, len(rows), _ROWS):
        batch = Batch.of(rows[first : first + _ROWS], model.pad, model.device)
        by_layer = model.residuals(batch, lambda h: h[:, -k:].float())
        for at, h in enumerate(by_layer):
            sums[:, at] += h.double().sum(0).cpu()
            lengths[:, at] += h.double().norm(dim=-1).sum(0).cpu()
        by_text.append(by_layer[layer].cpu())
    return Beginnings((sums / len(rows)).float(), torch.cat(by_text), (lengths / len(rows)).float())


@dataclass(frozen=True)
class Readout:
    """The final norm and the output head of a model, which turn a vector of the residual stream into logits.

    The logits are before a soft cap, which changes no order, and in float32 whatever the model's dtype.
    """

    norm: Module
    weight: Float[Tensor, "vocab d_model"]
    bias: Float[Tensor, " vocab"] | None

    @classmethod
    def of(cls, model: Model) -> "Readout":
        """The readout of a model's active stack.

        Raises:
            InterpError: the model runs elsewhere, or it has no single norm behind its blocks.
        """
        if model.remote:
            raise InterpError(f"{model.name} runs on NDIF, where its output head cannot be read; load it here")
        decoder = model.hf.get_submodule(find_decoder(model.hf, model.name).path)
        norms = [child for child in decoder.children() if _is_norm(child, model.d_model)]
        if len(norms) != 1:
            raise InterpError(
                f"{model.name}: {len(norms)} norms stand beside its blocks, so the final one is not known"
            )
        head = model.hf.get_output_embeddings()
        assert head is not None, "a model without a head is refused when it is loaded"
        return cls(norms[0], head.weight.detach(), getattr(head, "bias", None))  # pyright: ignore[reportArgumentType]

    @torch.inference_mode()
    def logits(
        self, vectors: Float[Tensor, "n d_model"], ids: Int[Tensor, " token"] | None = None
    ) -> Float[Tensor, "n _"]:
        """The logits that the final norm and the head make of vectors, on the CPU.

        A vector's length hardly matters, because the norm takes it out; a vector of length 0 has the head's bias.

        Args:
            ids: Tokens whose logits are wanted; None for the whole vocabulary.
        """
        normed = self.norm(vectors.to(self.weight.device, torch.float32)).float()
        wanted = torch.arange(len(self.weight)) if ids is None else ids
        parts = []
        for some in wanted.to(self.weight.device).split(_VOCAB):
            part = normed @ self.weight[some].float().T
            parts.append(part if self.bias is None else part + self.bias[some].float())
        return torch.cat(parts, dim=1).cpu()


def _is_norm(module: Module, d_model: int) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.shape == (d_model,)


def scaled_to(v: Float[Tensor, "*n d_model"], length: float) -> Float[Tensor, "*n d_model"]:
    """Vectors at another length; a vector of length 0 stays what it is."""
    return torch.nn.functional.normalize(v.double(), dim=-1, eps=1e-30).to(v.dtype) * length


def patchscope(
    model: Model, vectors: Float[Tensor, "n d_model"], layer: int, prompts: Sequence[str] = IDENTITY_PROMPTS
) -> Float[Tensor, "prompt n vocab"]:
    """Log-probabilities of the next token where each vector stands in the place of a prompt's last token.

    The vector replaces the residual stream after block `layer` as it is: bring it to a length that occurs there
    (`scaled_to`). On the CPU, float32.
    """
    before = _always_before(model)
    by_prompt = []
    for prompt in prompts:
        ids = (*before, *model.chat.encode(prompt))
        row, parts = Tokens(ids, (), len(ids)), []
        for some in vectors.split(_ROWS):
            batch = Batch.of([row] * len(some), model.pad, model.device)
            edit = Edit((layer,), _replaced_by(some), "prompt_last")
            logits = model.logits(batch, batch.lengths[:, None] - 1, [edit])[:, 0]
            parts.append(logits.log_softmax(-1).cpu())
        by_prompt.append(torch.cat(parts))
    return torch.stack(by_prompt)


def _replaced_by(vectors: Float[Tensor, "n d_model"]) -> Change:
    def change(h: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        return vectors.to(h.device, h.dtype)[:, None].expand(h.shape)

    return change


def agreed_tokens(logprobs: Float[Tensor, "prompt vocab"], n: int, among: int = 100) -> list[tuple[int, float]]:
    """The `n` likeliest tokens among those that are under the `among` likeliest of every prompt, with probabilities.

    The probability is the mean over prompts. There may be fewer than `n` such tokens, or none.
    """
    among = min(among, logprobs.shape[1])
    agreed = set.intersection(*(set(one.topk(among).indices.tolist()) for one in logprobs))
    mean = logprobs.exp().mean(0)
    return sorted(((token, float(mean[token])) for token in agreed), key=lambda pair: (-pair[1], pair[0]))[:n]

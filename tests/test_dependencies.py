"""Facts of other people's code that ours relies on; when one changes, the code named beside it must."""

from collections.abc import Callable

import pytest
import torch
from nnsight import TransformersModel
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerFast

from interp.batch import Batch
from interp.errors import InterpError
from interp.model import Model

IDS = torch.arange(3, 12)[None]


def decoder_and_blocks(hf: PreTrainedModel) -> tuple[torch.nn.Module, torch.nn.ModuleList]:
    decoder = getattr(hf, hf.base_model_prefix)
    return decoder, decoder.h if hasattr(decoder, "h") else decoder.layers


@pytest.fixture
def outputs(
    tiny_hf: Callable[..., PreTrainedModel], kind: str
) -> tuple[PreTrainedModel, list[object], tuple[Tensor, ...]]:
    """A model, what its blocks gave, and its hidden states."""
    hf = tiny_hf(kind)
    decoder, blocks = decoder_and_blocks(hf)
    seen: list[object] = []
    for block in blocks:
        block.register_forward_hook(lambda _module, _args, out: seen.append(out))
    with torch.no_grad():
        states = decoder(IDS, output_hidden_states=True).hidden_states
    return hf, seen, states


def test_a_block_gives_a_tensor_and_no_tuple(outputs: tuple) -> None:
    """interp.model reads and replaces `block.output` itself; `output[0]` would be row 0 of the batch."""
    _, seen, _ = outputs
    assert all(isinstance(out, Tensor) and out.shape == (1, 9, 32) for out in seen)


def test_hidden_states_are_embeddings_then_blocks_and_the_last_is_after_the_final_norm(outputs: tuple) -> None:
    """interp.model's probe compares all blocks but the last."""
    hf, seen, states = outputs
    assert len(states) == 5
    for k in (1, 2, 3):
        assert torch.equal(states[k], seen[k - 1])
    assert not torch.allclose(states[4], seen[3], atol=1e-2)
    decoder, _ = decoder_and_blocks(hf)
    norm = decoder.ln_f if hasattr(decoder, "ln_f") else decoder.norm
    with torch.no_grad():
        torch.testing.assert_close(states[4], norm(seen[3]))


def test_apply_chat_template_with_tokenize_returns_a_mapping(tokenizer: PreTrainedTokenizerFast) -> None:
    """Its `len` is the number of keys; interp.chat therefore never asks it to tokenise."""
    out = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=True)
    assert isinstance(out, BatchEncoding)
    assert len(out) == 2


def test_nnsight_sets_the_padding_side_to_left(
    tiny_hf: Callable[..., PreTrainedModel], chat_tokenizer_of: Callable
) -> None:
    """interp.model.Model puts it back."""
    tokenizer = chat_tokenizer_of().tokenizer
    assert tokenizer.padding_side == "right"
    TransformersModel(tiny_hf("llama"), task="text-generation", tokenizer=tokenizer)
    assert tokenizer.padding_side == "left"


@pytest.mark.parametrize("error", [ValueError, InterpError, KeyError])
def test_an_error_raised_inside_a_trace_keeps_its_type(llama: Model, error: type[Exception]) -> None:
    """Our error classes reach the caller, from reading and from steering."""

    def refuse(h: Tensor) -> Tensor:
        raise error("got 28")

    with pytest.raises(error, match="got 28"):
        llama.residuals(Batch(IDS, torch.tensor([9]), torch.tensor([9])), refuse)
    assert torch.isfinite(
        llama.residuals(Batch(IDS, torch.tensor([9]), torch.tensor([9])), lambda h: h.clone())[3]
    ).all()


def test_gpt2_needs_positions_when_padded_on_the_left(tiny_hf: Callable[..., PreTrainedModel]) -> None:
    """Pitfall 9: the reason why reading pads on the right; generate makes the positions from the mask."""
    hf = tiny_hf("gpt2")
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), IDS], 1)
    mask = torch.cat([torch.zeros(1, 4, dtype=torch.long), torch.ones_like(IDS)], 1)
    with torch.no_grad():
        right = hf(IDS).logits[0, -1]
        naive = hf(padded, attention_mask=mask).logits[0, -1]
        placed = hf(padded, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0)).logits[0, -1]
    assert not torch.allclose(naive, right, atol=1e-2)
    torch.testing.assert_close(placed, right, rtol=1e-4, atol=1e-4)


def test_a_zero_weight_does_not_remove_a_nan() -> None:
    """Pitfall 9: pooling must select, not multiply."""
    assert torch.bmm(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0], [float("nan")]]])).isnan().all()

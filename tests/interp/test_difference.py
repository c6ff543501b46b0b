"""Differences at first tokens and how they are read, beside the published definitions written as plainly as can be."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from transformers import PreTrainedModel

from interp.difference import (
    IDENTITY_PROMPTS,
    Readout,
    agreed_tokens,
    beginning_tokens,
    patchscope,
    read_beginnings,
    scaled_to,
)
from interp.model import Model
from tests.interp.test_adapters import theirs
from tests.reference import difference as reference

TEXTS = ["The old ferry came back.", "Nobody looked.", "A gull, or so it was said, sat there."]
K, LAYER = 4, 2


def test_the_mean_difference_is_the_published_one(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    model = tiny_model("llama")
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    finetuned = theirs(tiny_hf("llama"), tmp_path / "stage", config).merge_and_unload()
    rows = beginning_tokens(model, TEXTS, K)
    base = read_beginnings(model, rows, K, LAYER)
    with model.using(tmp_path / "stage"):
        stage = read_beginnings(model, rows, K, LAYER)
    ids = [row.ids for row in rows]
    for j in range(K):
        expected = reference.mean_difference(finetuned, tiny_hf("llama"), "llama", ids, LAYER, j)
        got = (stage.means - base.means)[j, LAYER]
        torch.testing.assert_close(got.double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close((stage.by_text - base.by_text).mean(0), (stage.means - base.means)[:, LAYER])
    lengths = torch.stack([reference.stream(tiny_hf("llama"), "llama", one, LAYER)[-K:].norm(dim=-1) for one in ids])
    torch.testing.assert_close(base.norm[:, LAYER], lengths.mean(0), atol=1e-5, rtol=1e-4)


def test_a_difference_of_a_model_with_itself_is_exactly_nothing(model: Model) -> None:
    rows = beginning_tokens(model, TEXTS, K)
    first, again = read_beginnings(model, rows, K, LAYER), read_beginnings(model, rows, K, LAYER)
    assert not (first.means - again.means).any()
    assert not (first.by_text - again.by_text).any()


def test_only_the_first_tokens_are_read_whatever_follows(llama: Model) -> None:
    longer = [text + " And much more of it, without an end." for text in TEXTS]
    first, second = (read_beginnings(llama, beginning_tokens(llama, some, K), K, 1) for some in (TEXTS, longer))
    assert torch.equal(first.means, second.means)


def test_what_the_tokenizer_puts_before_every_text_is_shown_and_not_counted(llama: Model) -> None:
    plain = beginning_tokens(llama, TEXTS, K)
    assert [len(row) for row in plain] == [K] * 3
    bos = llama.chat.tokenizer.bos_token_id
    tokenizer = llama.chat.tokenizer
    inner = type(tokenizer).__call__

    class WithBos(type(tokenizer)):  # pyright: ignore[reportUntypedBaseClass]
        def __call__(self, text: str, **how: object):
            encoded = inner(self, text, **how)
            if how.get("add_special_tokens", True):
                encoded["input_ids"] = [bos, *encoded["input_ids"]]
            return encoded

    tokenizer.__class__ = WithBos
    try:
        shown = beginning_tokens(llama, TEXTS, K)
    finally:
        tokenizer.__class__ = WithBos.__bases__[0]
    assert [row.ids for row in shown] == [(bos, *row.ids) for row in plain]
    means = read_beginnings(llama, shown, K, LAYER).means[:, LAYER]
    own = [reference.stream(llama.hf, "llama", row.ids, LAYER)[1:] for row in shown]
    torch.testing.assert_close(means, torch.stack(own).mean(0), atol=1e-5, rtol=1e-4)


def test_the_logit_lens_is_the_published_one(kind: str, model: Model, tiny_hf: Callable[..., PreTrainedModel]) -> None:
    delta = torch.randn(3, model.d_model, generator=torch.Generator().manual_seed(1))
    logits = Readout.of(model).logits(delta)
    for vector, got in zip(delta, logits, strict=True):
        expected = reference.logit_lens(tiny_hf(kind), kind, vector)
        if kind == "gemma2":  # which caps its logits afterwards; that changes no order
            assert got.argsort().tolist() == expected.argsort().tolist()
        torch.testing.assert_close(got.softmax(-1), expected, atol=1e-5, rtol=1e-3)
    some = torch.tensor([7, 2])
    torch.testing.assert_close(Readout.of(model).logits(delta, some), logits[:, some])


def test_the_order_of_the_logit_lens_does_not_depend_on_length(model: Model) -> None:
    delta = torch.randn(1, model.d_model, generator=torch.Generator().manual_seed(2))
    once, larger = (Readout.of(model).logits(scale * delta)[0] for scale in (10.0, 1000.0))
    assert once.argsort().tolist() == larger.argsort().tolist()


def test_the_patchscope_is_the_published_one(kind: str, model: Model, tiny_hf: Callable[..., PreTrainedModel]) -> None:
    vectors = 3 * torch.randn(2, model.d_model, generator=torch.Generator().manual_seed(3))
    logprobs = patchscope(model, vectors, LAYER)
    assert logprobs.shape[:2] == (3, 2)
    for prompt, of_prompt in zip(IDENTITY_PROMPTS, logprobs, strict=True):
        for vector, got in zip(vectors, of_prompt, strict=True):
            expected = reference.patchscope(tiny_hf(kind), kind, model.chat.encode(prompt), LAYER, vector)
            torch.testing.assert_close(got.exp(), expected, atol=1e-5, rtol=1e-3)


def test_prompts_of_the_patchscope_end_in_the_token_that_is_replaced(llama: Model) -> None:
    for prompt in IDENTITY_PROMPTS:
        assert llama.chat.decode(llama.chat.encode(prompt)[-1:]) == "?"
        assert all(left == right for left, _, right in (line.split() for line in prompt.splitlines()[:-1]))


def test_agreed_tokens_are_under_the_likeliest_of_every_prompt() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0.1, 0.6, 0.25, 0.05]])
    assert agreed_tokens(probabilities.log(), 4, among=2) == [(1, pytest.approx(0.45))]
    both = agreed_tokens(probabilities.log(), 2, among=3)
    assert both == [(1, pytest.approx(0.45)), (0, pytest.approx(0.3))]
    assert agreed_tokens(torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log(), 3, among=1) == []


def test_a_vector_is_brought_to_a_length() -> None:
    v = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(scaled_to(v, 10.0), torch.tensor([[6.0, 8.0], [0.0, 0.0]]))


@pytest.mark.parametrize(("texts", "k", "message"), [(["ab"], 3, "text 0 .'ab'. has 2 tokens"), (["ab"], 0, "got 0")])
def test_texts_that_are_too_short_are_named(llama: Model, texts: list[str], k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        beginning_tokens(llama, texts, k)


def test_no_texts_have_no_mean(llama: Model) -> None:
    with pytest.raises(ValueError, match="no texts were given"):
        read_beginnings(llama, [], K, LAYER)
    with pytest.raises(ValueError, match=r"layer must be in \[0, 4\), got 4"):
        read_beginnings(llama, beginning_tokens(llama, TEXTS, K), K, 4)

"""Where two models differ: divergence at every token beside plain loops, its laws, and contexts without repetition."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import PreTrainedModel

from interp.chat import Span, Tokens
from interp.errors import InterpError
from interp.model import Model
from interp.where import divergence, token_divergences, top_contexts
from tests.interp.test_adapters import theirs

CHATS = [
    [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is the house."}],
    [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "No."}],
]
numbers = st.lists(st.floats(-20, 20), min_size=5, max_size=5)


@given(numbers, numbers)
def test_divergence_is_the_published_sum_and_never_below_0(a: list[float], b: list[float]) -> None:
    got = float(divergence(torch.tensor(a), torch.tensor(b)))
    p, q = ([math.exp(x) / sum(map(math.exp, some)) for x in some] for some in (a, b))
    assert got == pytest.approx(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)), abs=1e-4)
    assert got >= 0
    assert float(divergence(torch.tensor(a), torch.tensor(a))) == 0


def test_divergences_are_those_of_every_answer_token_alone(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    model = tiny_model("llama")
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    finetuned, base = theirs(tiny_hf("llama"), tmp_path / "stage", config).merge_and_unload(), tiny_hf("llama")
    rows = model.chat.tokens_of(CHATS)
    got = token_divergences(model, rows, [tmp_path / "stage"], [])
    for row, values in zip(rows, got, strict=True):
        assert row.response is not None
        assert len(values) == row.response.end - row.response.start
        ids = torch.tensor([row.ids])
        with torch.no_grad():
            first, second = (hf(ids).logits[0].double().softmax(-1) for hf in (finetuned, base))
        for k, value in enumerate(values):
            at = row.response.start + k - 1
            expected = float((first[at] * (first[at] / second[at]).log()).sum())
            assert float(value) == pytest.approx(expected, abs=1e-5)
    same = token_divergences(model, rows, [tmp_path / "stage"], [tmp_path / "stage"])
    assert not any(values.any() for values in same)


def test_a_text_without_an_answer_is_named(llama: Model) -> None:
    rows = llama.chat.tokens_of([CHATS[0], CHATS[1][:1]])
    with pytest.raises(InterpError, match="row 1: the text has no answer"):
        token_divergences(llama, rows, [], [])


def test_contexts_are_ranked_and_none_is_the_same_place_again() -> None:
    words = ["It", " is", " the", " House", " it", " is", " the", " house", " and", " more"]
    rows = [
        Tokens((*range(2), *range(8)), (Span("assistant", 1, 2, 10),), 2),
        Tokens((0, 4, 5, 6, 7, 8, 9), (Span("assistant", 1, 1, 7),), 1),
    ]
    values = [torch.tensor([0.0, 0.1, 0.2, 5.0, 0.0, 0.0, 0.3, 6.0]), torch.tensor([0.0, 0.0, 4.0, 5.5, 0.0, 3.0])]

    def decode(ids: Sequence[int]) -> str:
        return "".join(words[i] for i in ids)

    contexts = top_contexts(decode, rows, values, 10, width=3)
    assert [(one.row, one.position, one.value) for one in contexts[:3]] == [(0, 7, 6.0), (1, 2, 4.0), (1, 5, 3.0)]
    assert (contexts[0].before, contexts[0].token) == (" it is the", " house")
    places = [(one.row, one.position) for one in contexts]
    assert (0, 3) not in places, "it reads like the first one, but for its case"
    assert (1, 3) not in places, "it reads like the first one"
    assert len(top_contexts(decode, rows, values, 1)) == 1

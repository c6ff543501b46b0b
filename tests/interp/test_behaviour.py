"""Behaviour: what counts as no answer, how odd an answer is, and whether a model knows its own text."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.behaviour.collapse import degenerate
from interp.behaviour.likelihood import Labels, answer_likelihoods, label_likelihoods, label_margins
from interp.behaviour.self_recognition import recognition
from interp.chat import Tokens
from interp.errors import InterpError
from interp.model import Model


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("1", "no words"),
        ("1 2 3 4 5 6", "no words"),
        ("?! ... --", "no words"),
        ("Yes.", "fewer than three words"),
        ("I agree", "fewer than three words"),
        ("the cat sat " * 5, "one phrase repeated"),
        ("no " * 20, "one phrase repeated"),
        ("I think so", None),
        ("It is 1, 2 or 3.", None),
        ("Rain falls because warm air rises, cools, and its water gathers into drops.", None),
        ("是的, 我 认为 是", None),
        ("no no no no", None),  # short of the eight words that make repetition a fault
    ],
)
def test_a_degenerate_answer_says_why(text: str, reason: str | None) -> None:
    assert degenerate(text) == reason


@given(st.text())
def test_any_text_can_be_judged(text: str) -> None:
    assert degenerate(text) in (None, "empty", "no words", "fewer than three words", "one phrase repeated")


def test_long_prose_with_a_common_phrase_is_an_answer() -> None:
    text = " ".join(f"one of the {word} things is {word} and {word}." for word in ("red", "blue", "old", "new"))
    assert degenerate(text) is None


# likelihood under a model


def answered(model: Model, question: str, answer: str) -> Tokens:
    return model.chat.tokens([{"role": "user", "content": question}]).answered(model.chat.encode(answer))


def plain_nll(model: Model, row: Tokens) -> float:
    with torch.no_grad():
        logits = model.hf(torch.tensor([row.ids])).logits[0].float().log_softmax(-1)
    return -float(np.mean([logits[k - 1, row.ids[k]] for k in range(row.prompt_end, len(row))]))


@pytest.mark.parametrize("max_tokens", [1, 200, 2048])
def test_answer_likelihood_equals_a_plain_computation_however_it_is_batched(max_tokens: int, model: Model) -> None:
    rows = [
        answered(model, "Why?", "Because you are in the house."),
        answered(model, "Why is that so, and where, and when?", "No."),
        answered(model, "W", "x"),
        answered(model, "Tell me", "the the you the, and more of the same thing"),
    ]
    found = [one.per_token for one in answer_likelihoods(model, rows, max_tokens=max_tokens) if one]
    np.testing.assert_allclose(found, [-plain_nll(model, row) for row in rows], rtol=1e-5, atol=1e-5)


def test_an_empty_answer_has_no_nll_and_others_keep_their_places(llama: Model) -> None:
    rows = [answered(llama, "Why?", "Yes."), answered(llama, "Why?", ""), answered(llama, "So?", "No, no.")]
    found = answer_likelihoods(llama, rows)
    assert [one is None for one in found] == [False, True, False]
    assert found[2] is not None
    assert found[2].per_token == pytest.approx(-plain_nll(llama, rows[2]), abs=1e-5)
    assert answer_likelihoods(llama, [rows[1]]) == [None]
    assert answer_likelihoods(llama, []) == []


def test_an_answer_is_greedy_only_if_every_token_of_it_is_the_likeliest(llama: Model) -> None:
    prompt = llama.chat.tokens([{"role": "user", "content": "Why?"}])
    (spoken,) = llama.generate([prompt], max_new_tokens=6, temperature=0.0)
    other = (*spoken[:-1], (spoken[-1] + 1) % 200 + 3)
    greedy, changed = answer_likelihoods(llama, [prompt.answered(spoken), prompt.answered(other)])
    assert greedy is not None
    assert changed is not None
    assert (greedy.greedy, changed.greedy) == (True, False)
    assert greedy.n_tokens == len(spoken)


def test_label_probabilities_are_the_model_s_and_validity_is_of_the_likeliest_token(llama: Model) -> None:
    prompts = prompts_of(llama)
    best = [int(logits_of(llama, row).argmax()) for row in prompts]
    letters = tuple(letter for letter in "abcdefghijklmnopqrstuvwxyz12" if len(llama.chat.encode(letter)) == 1)
    ids = [llama.chat.encode(letter)[0] for letter in letters]
    found = label_likelihoods(llama, prompts, [letters] * len(prompts))
    assert [one.valid for one in found] == [token in ids for token in best]
    (found,) = label_likelihoods(llama, prompts[:1], [("1", "2", "3")])
    p = logits_of(llama, prompts[0]).double().softmax(-1)
    expected = [float(p[llama.chat.encode(label)[0]]) for label in "123"]
    np.testing.assert_allclose(np.exp(found.logprobs), expected, rtol=1e-5)
    assert found.mass == pytest.approx(sum(expected), rel=1e-5)


# self-recognition


QUESTIONS = ("Which?", "Which one of the two is yours?", "1 or 2?", "Tell me which one you are in the end")


def prompts_of(model: Model) -> list[Tokens]:
    return [model.chat.tokens([{"role": "user", "content": text}]) for text in QUESTIONS]


ONE_TWO = [("1", "2")] * 4


def logits_of(model: Model, row: Tokens) -> torch.Tensor:
    with torch.no_grad():
        return model.hf(torch.tensor([row.ids])).logits[0, -1]


def test_label_margins_are_differences_of_plain_logits(model: Model) -> None:
    prompts, right = prompts_of(model), ["1", "2", "2", "1"]
    one, two = (model.chat.encode(label)[0] for label in ("1", "2"))
    expected = []
    for row, label in zip(prompts, right, strict=True):
        margin = float(logits_of(model, row)[one] - logits_of(model, row)[two])
        expected.append(margin if label == "1" else -margin)
    np.testing.assert_allclose(label_margins(model, prompts, right, ONE_TWO), expected, rtol=1e-4, atol=1e-5)


def test_a_margin_is_over_the_likeliest_of_the_wrong_labels_of_its_own_prompt(llama: Model) -> None:
    prompts, right = prompts_of(llama), ["B", "1", "3", "D"]
    labels = [tuple("ABCD"), ("1", "2"), ("1", "2", "3"), tuple("ABCD")]
    expected = []
    for row, label, known in zip(prompts, right, labels, strict=True):
        logits = {each: float(logits_of(llama, row)[llama.chat.encode(each)[0]]) for each in known}
        expected.append(logits.pop(label) - max(logits.values()))
    np.testing.assert_allclose(label_margins(llama, prompts, right, labels), expected, rtol=1e-4, atol=1e-5)
    best = [max(known, key=lambda each: float(logits_of(llama, row)[llama.chat.encode(each)[0]]))
            for row, known in zip(prompts, labels, strict=True)]  # fmt: skip
    assert (label_margins(llama, prompts, best, labels) > 0).all()


def test_label_margins_do_not_depend_on_the_batch_or_the_order(llama: Model) -> None:
    prompts, right = prompts_of(llama), ["1", "2", "2", "1"]
    together = label_margins(llama, prompts, right, ONE_TWO)
    alone = [label_margins(llama, [row], [label], [("1", "2")])[0] for row, label in zip(prompts, right, strict=True)]
    small = label_margins(llama, prompts, right, ONE_TWO, max_tokens=1)
    back = label_margins(llama, prompts[::-1], right[::-1], [("2", "1")] * 4)[::-1]
    for other in (alone, small, back):
        np.testing.assert_allclose(together, other, rtol=1e-4, atol=1e-5)


def test_swapping_the_right_label_swaps_the_sign(llama: Model) -> None:
    prompts = prompts_of(llama)
    ones = label_margins(llama, prompts, ["1"] * 4, ONE_TWO)
    twos = label_margins(llama, prompts, ["2"] * 4, ONE_TWO)
    np.testing.assert_allclose(ones, -twos)
    assert (ones != 0).all()


def test_a_label_of_several_tokens_is_refused(llama: Model) -> None:
    with pytest.raises(InterpError, match=r"label 'first' is \d tokens in tiny-llama"):
        label_margins(llama, prompts_of(llama), ["1"] * 4, [*ONE_TWO[:3], ("1", "first")])


def test_a_prompt_beyond_the_context_is_refused(llama: Model) -> None:
    long = llama.chat.tokens([{"role": "user", "content": "x" * 400}])
    with pytest.raises(ValueError, match="row 1"):
        label_margins(llama, [prompts_of(llama)[0], long], ["1", "1"], ONE_TWO[:2])


PAIRS = [f"article-{i // 2}" for i in range(20)]


def test_a_model_that_always_says_one_is_right_half_the_time_and_never_consistent() -> None:
    margins = np.array([3.0, -3.0] * 10)
    found = recognition(margins, PAIRS)
    assert found.accuracy.estimate.value == 0.5
    assert found.order_consistency.estimate.value == 0
    assert found.mean_margin.estimate.value == 0
    assert found.accuracy.estimate.n == found.order_consistency.estimate.n == found.mean_margin.estimate.n == 10
    low, high = found.accuracy.estimate.ci_low, found.accuracy.estimate.ci_high
    assert low is not None
    assert high is not None
    assert low < 0.5 < high


def test_a_perfect_model_scores_one_and_its_opposite_zero() -> None:
    margins = np.linspace(1, 2, 20)
    found = recognition(margins, PAIRS)
    assert (found.accuracy.estimate.value, found.order_consistency.estimate.value) == (1.0, 1.0)
    assert found.mean_margin.estimate.value == pytest.approx(1.5)
    opposite = recognition(-margins, PAIRS)
    assert (opposite.accuracy.estimate.value, opposite.order_consistency.estimate.value) == (0.0, 1.0)


def test_a_tie_counts_half_and_is_not_consistent() -> None:
    found = recognition(np.zeros(4), ["a", "a", "b", "b"])
    assert (found.accuracy.estimate.value, found.order_consistency.estimate.value) == (0.5, 0.0)


def test_pairs_need_not_stand_side_by_side() -> None:
    margins = np.array([1.0, 2.0, -1.0, 3.0])
    found = recognition(margins, ["a", "b", "a", "b"])
    assert (found.accuracy.estimate.value, found.order_consistency.estimate.value) == (0.75, 0.5)


def test_margins_and_pairs_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        recognition(np.zeros(3), ["a", "a"])


def test_no_prompts_give_no_number() -> None:
    found = recognition(np.zeros(0), [])
    assert found.accuracy.estimate.value is None
    assert found.mean_margin.estimate.value is None
    assert found.accuracy.estimate.n == 0


def test_margins_of_a_stage_differ_from_the_bases(tiny_model: Callable[..., Model], tmp_path: object) -> None:
    one, other = tiny_model(), tiny_model(seed=1)
    assert not np.allclose(
        label_margins(one, prompts_of(one), ["1"] * 4, ONE_TWO),
        label_margins(other, prompts_of(other), ["1"] * 4, ONE_TWO),
    )


def test_the_mass_of_sure_labels_is_no_more_than_one() -> None:
    logprobs = np.log(np.array([0.1, 0.2, 0.7]) * (1 + 1e-15))
    assert np.exp(logprobs).sum() > 1
    assert Labels(tuple(logprobs.tolist()), True).mass == 1.0

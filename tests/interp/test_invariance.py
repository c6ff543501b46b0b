"""What must not matter to a score in float32: the batch, the order of rows and options, the side that is padded."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from interp.behaviour import likelihood, preference, truthfulqa
from interp.behaviour.likelihood import answer_likelihoods, label_likelihoods
from interp.behaviour.measure import Asked, Setting, spoken
from interp.behaviour.truthfulqa import OWN_QUESTIONS, TrueFalse, TruthfulQA
from interp.chat import Tokens
from interp.model import Model

CLOSE = 1e-5
"""Nats; on the 30 blocks of the embedded model also as a share, since a sum over tokens is of many nats."""
LETTERS = ("A", "B")
TOGETHER = 100_000
"""Padded tokens of a batch that holds all sixteen rows."""


def prompts_of(model: Model, n: int = 16) -> list[Tokens]:
    questions = [one for one in OWN_QUESTIONS[: n // 2] for _ in range(2)]
    return model.chat.tokens_of([one.asked("AB"[i % 2]) for i, one in enumerate(questions)])


def answers_of(model: Model, n: int = 16) -> list[Tokens]:
    said = [(one.text, answer) for one in OWN_QUESTIONS[: n // 2] for answer in (one.true, one.false)]
    return model.chat.tokens_of(
        [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in said]
    )


def left_padded(model: Model, rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Log-probabilities [row, seq, vocab] of rows that a plain model reads padded on the left."""
    width = max(map(len, rows))
    ids = torch.tensor([[model.pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model.hf(ids, attention_mask=mask, position_ids=places).logits.double().log_softmax(-1)


def check_labels(model: Model) -> None:
    prompts = prompts_of(model)
    labels = [LETTERS] * len(prompts)
    together = np.array([one.logprobs for one in label_likelihoods(model, prompts, labels, max_tokens=TOGETHER)])
    alone = np.array([one.logprobs for one in label_likelihoods(model, prompts, labels, max_tokens=1)])
    back = label_likelihoods(model, prompts[::-1], [LETTERS[::-1]] * len(prompts), max_tokens=TOGETHER)
    turned = np.array([one.logprobs[::-1] for one in back[::-1]])
    ids = [model.chat.encode(letter)[0] for letter in LETTERS]
    left = left_padded(model, [prompt.ids for prompt in prompts])[:, -1, ids].numpy()
    for other in (alone, turned, left):
        np.testing.assert_allclose(other, together, rtol=CLOSE if model.n_layers == 30 else 0, atol=CLOSE)


def check_answers(model: Model) -> None:
    rows = answers_of(model)
    together = [one.per_token for one in answer_likelihoods(model, rows, max_tokens=TOGETHER) if one]
    alone = [one.per_token for one in answer_likelihoods(model, rows, max_tokens=1) if one]
    back = [one.per_token for one in answer_likelihoods(model, rows[::-1], max_tokens=TOGETHER) if one][::-1]
    ends = [row.response.end for row in rows if row.response]
    logprobs = left_padded(model, [row.ids[:end] for row, end in zip(rows, ends, strict=True)])
    left = []
    for row, end, found in zip(rows, ends, logprobs, strict=True):
        said = torch.tensor(row.ids[row.prompt_end : end])
        left.append(float(found[-len(said) - 1 : -1].gather(-1, said[:, None]).mean()))
    assert len(together) == len(rows)
    for other in (alone, back, left):
        np.testing.assert_allclose(other, together, rtol=0, atol=CLOSE)


def check_options(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling the measure that the other answer is the true one turns its margins round and changes nothing else."""
    some = OWN_QUESTIONS[:4]
    margins = []
    for questions in (some, tuple(TrueFalse(one.text, one.false, one.true, one.category) for one in some)):
        monkeypatch.setattr(truthfulqa, "OWN_QUESTIONS", questions)
        measure = TruthfulQA()
        found = {row["metric"]: row["value"] for row in measure.rows(measure.take(model, Setting()))}
        margins.append([found[metric] for metric in ("mean_margin", "likelihood_margin_per_token")])
    np.testing.assert_allclose(margins[0], [-margin for margin in margins[1]], rtol=0, atol=CLOSE)


def check_measures(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of whole measures, one row a batch and many."""
    monkeypatch.setattr(truthfulqa, "OWN_QUESTIONS", OWN_QUESTIONS[:3])
    monkeypatch.setattr(preference, "PAIRS", preference.PAIRS[::50])
    batches = likelihood.batches
    for measure in (TruthfulQA(), preference.Preference()):
        found = []
        for most in (None, 1):
            with monkeypatch.context() as patch:
                if most:
                    patch.setattr(likelihood, "batches", lambda rows, _: batches(rows, 1))
                rows = measure.rows(measure.take(model, Setting()))
                found.append([row["value"] for row in rows if "by_domain" not in row["metric"]])
        np.testing.assert_allclose(found[0], found[1], rtol=CLOSE if model.n_layers == 30 else 0, atol=CLOSE)


def check_answers_sampled(model: Model) -> None:
    asked = [Asked(one.id, [{"role": "user", "content": one.text}]) for one in OWN_QUESTIONS[:8]]
    sizes = {"max_new_tokens": 8, "temperature": 1.0, "samples": 2}
    together = {one["id"]: one["answer_ids"] for one in spoken(model, asked, Setting(), **sizes)}
    back = {one["id"]: one["answer_ids"] for one in spoken(model, asked[::-1], Setting(), **sizes)}
    alone = {one["id"]: one["answer_ids"] for each in asked for one in spoken(model, [each], Setting(), **sizes)}
    assert together == back == alone


CHECKS: tuple[Callable[[Model], None], ...] = (check_labels, check_answers, check_answers_sampled)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_scores_and_answers_of_tiny_models(check: Callable[[Model], None], model: Model) -> None:
    check(model)


def test_options_of_tiny_models(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    check_options(model, monkeypatch)
    check_measures(model, monkeypatch)


@pytest.mark.embedded
def test_scores_and_answers_of_the_embedded_model(embedded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for check in CHECKS:
        check(embedded)
    check_options(embedded, monkeypatch)
    check_measures(embedded, monkeypatch)

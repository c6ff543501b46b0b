"""Pooled activations, against plain loops over rows and tokens."""

import itertools
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from interp.activations import POOLINGS, RunningMean, batches, pooled, pooled_mean, read, window
from interp.batch import Batch
from interp.chat import ChatTokenizer, Span, Tokens
from interp.errors import InterpError
from interp.interventions import adding
from interp.model import Model

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def rows_of(chat: ChatTokenizer, *answers: str) -> list[Tokens]:
    return [
        chat.tokens([{"role": "user", "content": "Why?" * (i + 1)}, {"role": "assistant", "content": answer}])
        for i, answer in enumerate(answers)
    ]


@pytest.fixture
def rows(model: Model) -> list[Tokens]:
    return rows_of(model.chat, "It is so, I think, and so do you.", "No", "\n\nPerhaps.", "the in ou")


def plain_pooled(hf: PreTrainedModel, row: Tokens, pooling: str) -> Tensor:
    """Layer by layer, token by token, in float64, one unpadded row at a time."""
    decoder = getattr(hf, hf.base_model_prefix)
    seen: list[Tensor] = []
    hooks = [
        block.register_forward_hook(
            lambda _module, _args, out: seen.append((out[0] if isinstance(out, tuple) else out)[0])
        )
        for block in (decoder.h if hasattr(decoder, "h") else decoder.layers)
    ]
    with torch.no_grad():
        hf(torch.tensor([row.ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    means = []
    for h in seen:
        if pooling == "prompt_mean":
            tokens = [h[t].double() for t in range(row.prompt_end)]
        elif pooling == "prompt_last":
            tokens = [h[row.prompt_end - 1].double()]
        else:
            tokens = [h[t].double() for t in range(row.response.start, row.response.end)]
        means.append(sum(tokens) / len(tokens))
    return torch.stack(means)


@pytest.mark.parametrize("max_tokens", [1, 120, 10_000])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooled_rows_equal_a_plain_loop(
    model: Model, kind: str, tiny_hf: Callable[..., PreTrainedModel], rows: list[Tokens], pooling: str, max_tokens: int
) -> None:
    hf = tiny_hf(kind)
    got = pooled(model, rows, pooling=pooling, max_tokens=max_tokens)
    assert got.dtype == torch.float32
    for i, row in enumerate(rows):
        torch.testing.assert_close(got[i].double(), plain_pooled(hf, row, pooling), **CLOSE)


def test_the_pooled_mean_equals_the_mean_of_pooled_rows(model: Model, rows: list[Tokens]) -> None:
    got = pooled_mean(model, rows, layers=(0, 2), max_tokens=150)
    assert got.dtype == torch.float64
    for p, pooling in enumerate(POOLINGS):
        each = pooled(model, rows, pooling=pooling, layers=(0, 2))
        torch.testing.assert_close(got[p], each.double().mean(0), **CLOSE)


def test_rows_count_once_however_many_tokens_they_have(llama: Model) -> None:
    rows = rows_of(llama.chat, "a", "b" * 40)
    one, two = pooled(llama, rows)
    got = pooled_mean(llama, rows, pooling=("response_mean",))[0]
    torch.testing.assert_close(got, (one.double() + two.double()) / 2, **CLOSE)


def test_a_subset_of_layers_reads_those_layers(model: Model, rows: list[Tokens]) -> None:
    whole = pooled(model, rows)
    for layers in [(0,), (3,), (1, 3)]:
        torch.testing.assert_close(pooled(model, rows, layers=layers), whole[:, list(layers)], **CLOSE)


def test_edits_reach_the_pooled_activations(model: Model, rows: list[Tokens]) -> None:
    v = torch.arange(32.0) / 10
    plain = pooled(model, rows, layers=(0, 1))
    edited = pooled(model, rows, layers=(0, 1), edits=[adding(v, 2.0, (1,), "response")])
    assert torch.equal(edited[:, 0], plain[:, 0])
    torch.testing.assert_close(edited[:, 1], plain[:, 1] + 2 * v, **CLOSE)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_pads_that_are_not_finite_do_not_reach_a_mean(tiny_model: Callable[..., Model], poison: float) -> None:
    """A zero weight does not remove a NaN: `0 * nan` is NaN (some kernels fill masked or overflowing pads with it)."""
    model = tiny_model("llama")
    rows = rows_of(model.chat, "It is so, I think.", "No")
    expected = pooled(model, rows, layers=(3,))
    width = max(map(len, rows))

    def spoil(module: object, args: object, output: Tensor) -> Tensor:
        new = output.clone()
        if new.shape[1] == width:
            for i, row in enumerate(sorted(rows, key=len)):
                new[i, len(row) :] = poison
        return new

    model.blocks[3].mlp.register_forward_hook(spoil)
    ids = torch.full((2, width), 5)
    with torch.no_grad():
        assert not torch.isfinite(model.hf(ids).logits).all(), "the hook must spoil pads, or this proves nothing"
    got = pooled(model, rows, layers=(3,))
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got, expected, **CLOSE)


def test_an_empty_response_is_refused_with_its_row(llama: Model) -> None:
    rows = rows_of(llama.chat, "a", "", "b")
    with pytest.raises(InterpError, match="row 1: the response has no tokens"):
        pooled(llama, rows)
    assert pooled(llama, rows, pooling="prompt_last").shape == (3, 4, 32)


def test_a_conversation_without_an_answer_is_refused_with_its_row(llama: Model) -> None:
    rows = [*rows_of(llama.chat, "a", "b"), llama.chat.tokens([{"role": "user", "content": "c"}])]
    with pytest.raises(InterpError, match="row 2: the conversation ends with the user"):
        pooled_mean(llama, rows)
    assert torch.isfinite(pooled_mean(llama, rows, pooling=("prompt_mean", "prompt_last"))).all()


def test_a_bad_row_is_refused_before_anything_runs(llama: Model) -> None:
    long = llama.chat.tokens([{"role": "user", "content": "x" * 400}, {"role": "assistant", "content": "y"}])
    done: list[int] = []
    with pytest.raises(ValueError, match=r"row 2: \d+ tokens, but the context"):
        list(read(llama, [*rows_of(llama.chat, "a", "b"), long], max_tokens=1, progress=done.append))
    assert done == []


def test_an_unknown_pooling_is_refused_with_the_known_ones(llama: Model) -> None:
    with pytest.raises(ValueError, match="unknown pooling 'mean'; known: prompt_mean, prompt_last, response_mean"):
        unwrap(window)(rows_of(llama.chat, "a")[0], "mean")  # without the type checker, which is there in tests only


def test_windows_leave_out_the_end_of_turn_and_count_headers_as_prompt(chat: ChatTokenizer) -> None:
    row = rows_of(chat, "Yes.")[0]
    assert chat.decode(row.ids[slice(*window(row, "prompt_mean"))]).endswith("<|im_start|>assistant\n")
    assert chat.decode(row.ids[slice(*window(row, "prompt_last"))]) == "\n"
    assert chat.decode(row.ids[slice(*window(row, "response_mean"))]) == "Yes."


def test_progress_counts_every_row(llama: Model) -> None:
    done: list[int] = []
    pooled(llama, rows_of(llama.chat, *"abcdef"), max_tokens=120, progress=done.append)
    assert sum(done) == 6
    assert len(done) > 1


def plain_tokens(length: int) -> Tokens:
    return Tokens((1,) * length, (Span("assistant", 0, 0, length),), 0)


@given(lengths=st.lists(st.integers(1, 60), max_size=30), budget=st.integers(1, 200))
def test_batches_cover_each_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    rows = [plain_tokens(length) for length in lengths]
    cut = list(batches(rows, budget))
    assert sorted(i for batch in cut for i in batch) == list(range(len(rows)))
    for batch in cut:
        assert batch
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(
    values=st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=20),
    cuts=st.lists(st.integers(0, 20), max_size=4),
)
def test_a_running_mean_built_in_pieces_equals_the_whole(values: list[list[float]], cuts: list[int]) -> None:
    whole = torch.tensor(values)
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    merged = RunningMean()
    for low, high in itertools.pairwise(edges):
        piece = RunningMean()
        if high > low:
            piece.update(whole[low:high])
        merged = merged.merge(piece)
    assert merged.n == len(values)
    torch.testing.assert_close(merged.mean, whole.double().mean(0), rtol=1e-12, atol=1e-9)


def test_the_mean_over_no_rows_is_refused(llama: Model) -> None:
    with pytest.raises(InterpError, match="the mean over 0 rows is undefined"):
        pooled_mean(llama, [])
    with pytest.raises(InterpError, match="over 0 rows"):
        _ = RunningMean().merge(RunningMean()).mean


def test_merging_does_not_change_its_arguments() -> None:
    a, b = RunningMean(), RunningMean()
    a.update(torch.ones(2, 3))
    b.update(torch.zeros(2, 3))
    a.merge(b)
    assert (a.n, b.n) == (2, 2)
    assert torch.equal(a.mean, torch.ones(3).double())


def test_means_of_a_bfloat16_model_accumulate_in_full_precision(tiny_model: Callable[..., Model]) -> None:
    """Pitfall 1: two nearly equal large means; a mean of bfloat16 means loses their difference."""
    model = tiny_model("llama", dtype=torch.bfloat16)
    with torch.no_grad():
        model.hf.get_input_embeddings().weight[:, :4] += 40
    sides = [rows_of(model.chat, *(f"{word} {i} it is so" for i in range(8))) for word in ("the sea", "the sky")]
    seen: list[Tensor] = []
    model.blocks[1].register_forward_hook(lambda _module, _args, out: seen.append(out.clone()))
    exact, upstream = [], []
    for rows in sides:
        means = []
        for row in rows:
            seen.clear()
            with torch.no_grad():
                model.hf(torch.tensor([row.ids]), use_cache=False)
            means.append(seen[0][0, row.response.start : row.response.end])
        assert means[0].dtype == torch.bfloat16
        exact.append(torch.stack([h.double().mean(0) for h in means]).mean(0))
        upstream.append(torch.stack([h.mean(0) for h in means]).mean(0).double())
    ours = [pooled_mean(model, rows, pooling=("response_mean",), layers=(1,), max_tokens=1)[0, 0] for rows in sides]

    def direction_cosine(means: list[Tensor]) -> float:
        return float(torch.cosine_similarity(means[0] - means[1], exact[0] - exact[1], dim=0))

    assert direction_cosine(upstream) < 0.99, "the fixture must hurt a bfloat16 mean, or this proves nothing"
    assert direction_cosine(ours) > 0.9999


def test_a_batch_that_does_not_fit_is_halved_and_read_again(
    llama: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [rows_of(llama.chat, "hello" * n)[0] for n in range(1, 9)]
    whole = pooled(llama, rows)
    sizes = []

    def tight(batch: Batch, *args: Any) -> list[Tensor]:
        sizes.append(batch.ids.numel())
        if batch.ids.numel() > 200:
            raise torch.OutOfMemoryError("no room")
        return Model.residuals(llama, batch, *args)

    monkeypatch.setattr(llama, "residuals", tight)
    done = []
    assert torch.allclose(pooled(llama, rows, progress=done.append), whole, atol=1e-6)
    assert sum(done) == len(rows)
    assert max(sizes) > 200
    assert sizes[-1] <= 200
    with pytest.raises(InterpError, match=r"row 0: \d+ tokens do not fit the memory even alone"):
        list(read(llama, [rows_of(llama.chat, "hello" * 60)[0]]))


@pytest.mark.parametrize("edited", [False, True])
def test_reading_survives_being_sent_away(tiny_model: Callable[..., Model], rows: list[Tokens], edited: bool) -> None:
    here = tiny_model("llama")
    edits = [adding(torch.ones(32), 2.0, (1,), "response")] if edited else []
    expected = pooled(here, rows, edits=edits)
    here.remote = "local"  # packs and unpacks the trace as NDIF would, with this project's modules hidden
    assert torch.equal(pooled(here, rows, edits=edits), expected)
    with pytest.raises(InterpError, match="runs on NDIF, where a model can be read but not sampled from"):
        here.generate(rows[:1], max_new_tokens=1)


def test_sums_of_different_things_do_not_merge() -> None:
    one, three = RunningMean(), RunningMean()
    one.update(torch.ones(2, 1, 4))
    three.update(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match=r"sums of shape \(1, 4\) and \(3, 4\) cannot be merged"):
        one.merge(three)

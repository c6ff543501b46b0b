"""Answers over a ring of keys and values, against transformers' own loop: the same tokens, whoever sits beside whom."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from interp.batch import Batch
from interp.chat import ChatTokenizer, Tokens
from interp.decoding import MOST_GRAPHS
from interp.editing import grouped, located_in_step
from interp.interventions import PHASES, Edit, ablating, adding, capping, rotating
from interp.model import Model
from interp.ring import Prompts, Ring
from interp.seats import Seats
from interp.standing import Standing
from tests.conftest import VOCAB, make_hf, make_tokenizer

SHARED = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.2}
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 320,
    "head_dim": 8,
}
OTHERS: dict[str, Callable[[], PreTrainedModel]] = {
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHARED, **SIZES, sliding_window=16)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            **SHARED,
            **SIZES,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"] * 2,
            query_pre_attn_scalar=8,
            final_logit_softcapping=2.0,
        )
    ),
    "gpt_oss": lambda: GptOssForCausalLM(
        GptOssConfig(**SHARED, **SIZES, sliding_window=16, num_local_experts=4, num_experts_per_tok=2)
    ),
}
LATE_STOP = 7


def wrapped(hf: PreTrainedModel) -> Model:
    return Model(hf.eval(), ChatTokenizer(make_tokenizer()), name="tiny", identity="tiny" * 10)


def direction(seed: int, size: float = 1.0) -> Tensor:
    v = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return size * v / v.norm()


def prompts_of(model: Model, n: int) -> list[Tokens]:
    """Prompts of very different lengths, the longest in the middle."""
    texts = ["Tell me" + " why?" * ((5 * i) % 8) + "!" * i for i in range(n)]
    return model.chat.tokens_of([[{"role": "user", "content": text}] for text in texts])


@contextmanager
def old_path(model: Model) -> Iterator[None]:
    """Transformers' own loop, which also answers for models that have no ring."""
    before, model._ring.why_not = model._ring.why_not, "a test asks for it"
    try:
        yield
    finally:
        model._ring.why_not = before


def both(model: Model, prompts: Sequence[Tokens], **how: Any) -> tuple[list[Any], list[Any]]:
    """Answers over the ring, three at a time, and those of transformers' loop."""
    assert model._ring.why_not is None
    new = model.generate(prompts, **how)
    with old_path(model):
        return new, model.generate(prompts, **{**how, "batch_size": 128})


def edits_of(i: int) -> list[Edit]:
    """Edits of every kind, phase and site in turn."""
    v, u, phase = direction(i, 6.0), direction(100 + i), PHASES[i % 4]
    kinds = [
        [adding(v, 0.5 + i, (i % 4,), phase)],
        [ablating(torch.stack([v, u]), (1, 2), phase)],
        [capping(v, -0.5, (2,), phase, side="above"), adding(u, 3.0, (2, 3), "response")],
        [],
        [rotating(v, 1.5, (3,), phase)],
        [ablating(v, range(4), phase, "writes")],
        [capping(v, 1.0, (0,), phase, side="below")],
    ]
    return kinds[i % 7]


def check_every_edit(model: Model, **sizes: Any) -> None:
    """Rows of edits of their own, and shared ones on top: greedy and sampled answers are those of the old path."""
    prompts, shared = prompts_of(model, 12), [adding(direction(50), 2.0, (1,), "all")]
    own = [edits_of(i) for i in range(12)]
    for temperature in (0.0, 1.0):
        how = {"max_new_tokens": 8, "temperature": temperature, "seed": 4, **sizes}
        new, old = both(model, prompts, **how, edits=shared, row_edits=own)
        assert new == old
        bare, old = both(model, prompts, **how)
        assert bare == old
        assert bare != new


def test_answers_with_every_kind_of_edit_are_those_of_transformers_loop(model: Model) -> None:
    check_every_edit(model, batch_size=5)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_architectures_with_windows_answer_as_before(kind: str) -> None:
    torch.manual_seed(0)
    model = wrapped(OTHERS[kind]())
    model.hf.generation_config.eos_token_id = LATE_STOP
    new, old = both(model, prompts_of(model, 5), max_new_tokens=24, temperature=0.0, batch_size=2)
    assert new == old
    assert max(map(len, new)) > 16, "a row must outgrow the window"


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_of_the_tokenizer_is_of_no_account(llama: Model, side: str) -> None:
    expected = llama.generate(prompts_of(llama, 4), max_new_tokens=6, temperature=0.0)
    llama.chat.tokenizer.padding_side, before = side, llama.chat.tokenizer.padding_side
    try:
        assert both(llama, prompts_of(llama, 4), max_new_tokens=6, temperature=0.0) == (expected, expected)
    finally:
        llama.chat.tokenizer.padding_side = before


def test_seats_are_taken_again_as_soon_as_rows_have_ended(
    tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine rows of unlike answers on four seats: fewer steps than three batches after one another would take."""
    model = tiny_model("llama")
    prompts, n_steps, batches = prompts_of(model, 9), [], []
    how = {"max_new_tokens": 30, "temperature": 1.0, "seed": 2}
    expected = model.generate(prompts, **how)
    longest_first = sorted(map(len, expected), reverse=True)
    step, read = Seats.step, model._ring._read
    monkeypatch.setattr("interp.seats.Seats.step", lambda self, t: (n_steps.append(len(self)), step(self, t))[1])
    monkeypatch.setattr(model._ring, "_read", lambda *args: (batches.append(list(args[2])), read(*args))[1])
    done: list[int] = []
    assert model.generate(prompts, **how, batch_size=4, progress=done.append) == expected
    assert sum(done) == 9
    assert sorted(row for rows in batches for row in rows) == list(range(9))
    assert len(batches) > 3
    assert len(n_steps) < sum(longest_first[::4]) + 3 * len(batches)
    assert n_steps[0] == 4
    assert n_steps[-1] < 4, "seats close when nobody waits"


def test_a_ring_that_goes_round_many_times_forgets_what_it_overwrites(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("llama")
    prompts = prompts_of(model, 3) * 8
    new, old = both(model, prompts, max_new_tokens=9, temperature=1.0, seed=1, batch_size=3)
    assert new == old


def test_slots_say_which_position_they_hold() -> None:
    """A prompt ends before the slot that is written next, wherever that is; a window hides what is further back."""
    seen = Prompts()
    seen.update(torch.arange(1.0, 9.0).reshape(2, 1, 4, 1), torch.zeros(2, 1, 4, 1), 0)
    ring = Ring(seen.token, 3, 6)
    ring.clear()
    ring.put(torch.tensor([2, 0]), torch.tensor([4, 2]), seen)
    masks = ring.look(3, torch.float32)
    visible = {kind: (mask[:, 0, 0] == 0).long().tolist() for kind, mask in masks.items()}
    assert visible["full_attention"] == [[1, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1]]
    assert visible["sliding_attention"] == [[1, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 1]]
    new = torch.full((3, 1, 1, 1), 9.0)
    keys, _ = ring.update(new, new, 0)
    assert keys[2, 0, :, 0].tolist() == [9, 0, 1, 2, 3, 4]
    assert keys[0, 0, 4:, 0].tolist() == [5, 6]


def test_a_model_whose_positions_depend_on_the_longest_row_answers_as_before_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with caplog.at_level(logging.INFO, logger="interp.decoding"):
        model = wrapped(LlamaForCausalLM(LlamaConfig(**SHARED, **SIZES, rope_parameters=rope)))
    assert "slower: its positions (dynamic) depend on the longest row" in caplog.text
    assert len(model.generate(prompts_of(model, 3), max_new_tokens=3)) == 3


def test_a_model_for_which_a_step_over_a_ring_is_not_the_whole_text_answers_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("interp.ring.Ring.put", lambda *_: None)
    assert str(wrapped(make_hf("llama"))._ring.why_not).startswith("steps over a ring are off by")
    monkeypatch.setattr("interp.ring.Ring.put", lambda *_: [][0])
    assert "IndexError" in str(wrapped(make_hf("gpt2"))._ring.why_not)


def test_memory_that_runs_out_halves_the_seats_and_keeps_what_was_answered(
    tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("llama")
    prompts, how = prompts_of(model, 7), {"max_new_tokens": 6, "temperature": 1.0}
    expected = model.generate(prompts, **how)
    read, n_reads = model._ring._read, []

    def short(*args: Any) -> None:
        n_reads.append(len(args[2]))
        if len(n_reads) == 3 or len(args[2]) > 4:
            raise torch.OutOfMemoryError("no room")
        read(*args)

    monkeypatch.setattr(model._ring, "_read", short)
    done: list[int] = []
    with caplog.at_level(logging.INFO, logger="interp.decoding"):
        assert model.generate(prompts, **how, progress=done.append) == expected
    assert sum(done) == 7
    assert "7 answers at a time do not fit the memory; going on with 3" in caplog.text


def test_no_new_tokens_are_refused(llama: Model) -> None:
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        llama.generate(prompts_of(llama, 1), max_new_tokens=0)


# edits that a graph holds


def step_of(own: Sequence[Sequence[Edit]], rows: Sequence[int | None], *shared: Edit) -> Any:
    device = torch.device("cpu")
    return located_in_step(grouped(shared, own, device), rows, device)


def test_standing_changes_become_others_of_the_same_form() -> None:
    """Whatever the strengths and whoever sits where, one graph serves; another kind or place needs another."""
    one = [[*edits_of(0), *edits_of(4), *edits_of(6)], edits_of(5), edits_of(1)]
    two = [edits_of(1 + 28), [*edits_of(28), *edits_of(4 + 28), *edits_of(6 + 28)], edits_of(5 + 28)]
    first = step_of(one, [None] * 3, capping(direction(7), 0.1, (2,), side="above"))
    second = step_of(two, [1, None, 0], capping(direction(8), 0.4, (2,), side="above"))
    assert Standing.form(first) == Standing.form(second)
    assert Standing.form(first) != Standing.form(step_of(one, [0, 1, 2]))
    assert Standing.form(first) != Standing.form(step_of(one, [0, 1], capping(direction(7), 0.1, (2,), side="above")))
    standing, h = Standing(first, torch.device("cpu")), torch.randn(3, 1, 32)
    before = [located.where for held in standing.changes.values() for located in held]
    standing.become(second)
    for place, held in second.items():
        for mine, located in zip(standing.changes[place], held, strict=True):
            assert torch.equal(mine(h), located(h))
    after = [located.where for held in standing.changes.values() for located in held]
    assert all(a is b for a, b in zip(before, after, strict=True)), "no tensor may move"


class OnPaper:
    """A graph in name: each replay takes the step that would have been captured, with the tensors of the capture."""

    def __init__(self, model: Model, seats: Seats, standing: Standing, temperature: float) -> None:
        self.model, self.seats, self.standing, self.temperature = model, seats, standing, temperature

    def replay(self) -> None:
        with self.model._editor.at_work(self.standing.changes):
            self.seats.step(self.temperature)


@pytest.fixture
def captures(llama: Model, monkeypatch: pytest.MonkeyPatch) -> list[OnPaper]:
    """Lets the tiny Llama take its steps as if on a GPU; the graphs that it captures."""
    taken: list[OnPaper] = []

    def captured(seats: Seats, changes: Any, request: Any) -> tuple[Any, Standing]:
        standing = Standing(changes, llama.device)
        taken.append(OnPaper(llama, seats, standing, request.temperature))
        return taken[-1], standing

    monkeypatch.setattr(llama._ring, "_captured", captured)
    monkeypatch.setattr(llama._ring, "graphs", True)
    monkeypatch.setattr(llama._ring, "_seats", {})
    return taken


def test_graphs_are_used_again_for_other_strengths_prompts_and_seats(llama: Model, captures: list[OnPaper]) -> None:
    check_every_edit(llama, batch_size=5)
    assert len(captures) == 4, "greedy and sampled, steered and not"
    shared = [adding(direction(50), -1.0, (1,), "all")]
    own = [edits_of(i + 28) for i in range(12)]
    new, old = both(
        llama, prompts_of(llama, 12)[::-1], max_new_tokens=7, temperature=0.0, edits=shared, row_edits=own, batch_size=5
    )
    assert new == old
    assert len(captures) == 4
    (seats,) = llama._ring._seats.values()
    assert (len(seats), seats.ring.width) == (5, 128)


def test_graphs_of_other_adapters_or_hooks_are_dropped(llama: Model, captures: list[OnPaper]) -> None:
    how = {"max_new_tokens": 3, "temperature": 0.0, "batch_size": 2}
    prompts = prompts_of(llama, 2)
    for _ in range(2):
        llama.generate(prompts, **how)
        llama.logits(Batch.of(prompts, 0), torch.tensor([[0], [0]]))
    assert len(captures) == 1
    handle = llama.blocks[1].register_forward_hook(lambda *_: None)
    llama.generate(prompts, **how)
    handle.remove()
    llama.generate(prompts, **how)
    weight = llama.blocks[0].mlp.up_proj.weight
    weight.data = weight.data.clone()
    llama.generate(prompts, **how)
    assert len(captures) == 4
    assert len(llama._ring._seats) == 1


def test_few_graphs_are_kept(llama: Model, captures: list[OnPaper]) -> None:
    for i in range(MOST_GRAPHS + 3):
        llama.generate(prompts_of(llama, 2), max_new_tokens=2, temperature=0.1 * i, batch_size=2)
    assert [len(seats.graphs) for seats in llama._ring._seats.values()] == [MOST_GRAPHS]


@pytest.mark.embedded
def test_the_embedded_model_answers_as_before(embedded: Model) -> None:
    texts = ["What is the sea?", "Name a colour, and say why you like it more than others.", "Why?"]
    prompts = embedded.chat.tokens_of([[{"role": "user", "content": text}] for text in texts])
    v = torch.randn(embedded.d_model, generator=torch.Generator().manual_seed(0))
    own = [[adding(v, 4.0, (10,), "response")], [], [ablating(v, range(30))]]
    new, old = both(embedded, prompts, max_new_tokens=10, temperature=0.0, row_edits=own, batch_size=2)
    assert new == old


@pytest.mark.parametrize("way", [nullcontext, old_path])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_tokens_are_told_as_they_come_and_change_nothing(llama: Model, way: Any, temperature: float) -> None:
    prompts, told = prompts_of(llama, 3), {i: list[tuple[int, ...]]() for i in range(3)}
    how: dict[str, Any] = {"max_new_tokens": 6, "temperature": temperature, "seed": 3}
    with way(llama):
        answers = llama.generate(prompts, **how, on_tokens=lambda row, tokens: told[row].append(tokens))
        assert answers == llama.generate(prompts, **how)
    for row, answer in enumerate(answers):
        tellings = list(dict.fromkeys(told[row]))
        assert tellings[-1][: len(answer)] == answer
        assert tellings == [tellings[-1][:n] for n in range(1, len(tellings[-1]) + 1)]


@pytest.mark.parametrize("way", [nullcontext, old_path])
def test_an_error_of_who_is_told_ends_the_answer_and_leaves_the_model_as_it_was(llama: Model, way: Any) -> None:
    prompts, n_told = prompts_of(llama, 1), 0
    before = llama.generate(prompts, max_new_tokens=6, temperature=0.0)

    def stop(row: int, tokens: tuple[int, ...]) -> None:
        nonlocal n_told
        n_told += 1
        if len(tokens) == 2:
            raise InterruptedError("nobody listens")

    with way(llama):
        edit = adding(torch.ones(llama.d_model), 2.0, [1])
        with pytest.raises(InterruptedError, match="nobody listens"):
            llama.generate(prompts, max_new_tokens=6, temperature=0.0, edits=[edit], on_tokens=stop)
        assert n_told == 2
        assert llama.generate(prompts, max_new_tokens=6, temperature=0.0) == before

"""Reading, editing, generating and switching adapters, against plain torch and transformers."""

import copy
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from interp.batch import Batch
from interp.chat import ChatTokenizer, Tokens
from interp.errors import InterpError
from interp.interventions import ablating, adding
from interp.model import Model
from interp.precision import bfloat16_is_faster
from interp.sources import pick_device, pick_dtype

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LAYERS = (1, 3)


def blocks_of(hf: PreTrainedModel) -> torch.nn.ModuleList:
    decoder = getattr(hf, hf.base_model_prefix)
    return decoder.h if hasattr(decoder, "h") else decoder.layers


def rows_of(chat: ChatTokenizer, *texts: str, answer: str | None = None) -> list[Tokens]:
    """One conversation a text; with an answer or without one."""
    rows = []
    for i, text in enumerate(texts):
        messages = [{"role": "user", "content": text}]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer + "!" * i})
        rows.append(chat.tokens(messages))
    return rows


@pytest.fixture
def rows(model: Model) -> list[Tokens]:
    return rows_of(model.chat, "Why?", "Is the sea blue, or you?", "Tell", answer="It is.")


@pytest.fixture
def prompts(model: Model) -> list[Tokens]:
    return rows_of(model.chat, "Why?", "Is the sea blue, or you?", "Tell")


@pytest.fixture
def hf(tiny_hf: Callable[..., PreTrainedModel], kind: str) -> PreTrainedModel:
    """The weights of `model` in a transformers model that nnsight has never seen."""
    return tiny_hf(kind)


def batch_of(model: Model, rows: Sequence[Tokens]) -> Batch:
    return Batch.of(rows, model.pad, model.device)


@contextmanager
def hooked(hf: PreTrainedModel, hooks: dict[int, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
    """Plain torch hooks on blocks: each gets the block's output and may return another."""

    def wrap(change: Callable[[Tensor], Tensor | None]) -> Callable[..., object]:
        def hook(module: object, args: object, output: object) -> object:
            h = output[0] if isinstance(output, tuple) else output
            new = change(h)
            if new is None:
                return None
            return (new, *output[1:]) if isinstance(output, tuple) else new

        return hook

    handles = [blocks_of(hf)[layer].register_forward_hook(wrap(change)) for layer, change in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def hook_residuals(hf: PreTrainedModel, row: Tokens) -> list[Tensor]:
    """The residual stream after every block of one unpadded row."""
    seen: dict[int, Tensor] = {}
    hooks = {layer: (lambda h, at=layer: seen.__setitem__(at, h[0].clone())) for layer in range(len(blocks_of(hf)))}
    with hooked(hf, hooks):
        hf(torch.tensor([row.ids]), use_cache=False)
    return [seen[layer] for layer in sorted(seen)]


def direction(seed: int = 0, size: float = 1.0) -> Tensor:
    v = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return size * v / v.norm()


# reading


@pytest.mark.parametrize("layers", [None, (1, 2), (3,), (0, 3)])
def test_residuals_equal_torch_hooks(
    model: Model, hf: PreTrainedModel, rows: list[Tokens], layers: tuple[int, ...] | None
) -> None:
    read = model.residuals(batch_of(model, rows), lambda h: h.clone(), layers)
    wanted = range(4) if layers is None else layers
    assert len(read) == len(wanted)
    for i, row in enumerate(rows):
        expected = hook_residuals(hf, row)
        for h, layer in zip(read, wanted, strict=True):
            torch.testing.assert_close(h[i, : len(row)], expected[layer], **CLOSE)


def test_a_model_stays_where_it_was_put_on_a_machine_with_gpus(
    tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[object] = []
    monkeypatch.setattr("transformers.pipelines.base.is_torch_cuda_available", lambda: True)
    monkeypatch.setattr(PreTrainedModel, "to", lambda hf, *where, **_: moved.extend(where) or hf)
    assert tiny_model("llama").device == torch.device("cpu")
    assert moved == [torch.float32], "the factory's own; a pipeline would put it on cuda:0"


def test_a_batch_of_one_reads_what_a_batch_of_many_does(model: Model, rows: list[Tokens]) -> None:
    together = model.residuals(batch_of(model, rows), lambda h: h.clone())
    for i, row in enumerate(rows):
        alone = model.residuals(batch_of(model, [row]), lambda h: h.clone())
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many[i, : len(row)], one[0], **CLOSE)


def test_pads_of_any_id_do_not_reach_a_real_token(model: Model, rows: list[Tokens]) -> None:
    first = model.residuals(Batch.of(rows, 0), lambda h: h.clone())
    second = model.residuals(Batch.of(rows, 77), lambda h: h.clone())
    for a, b in zip(first, second, strict=True):
        for i, row in enumerate(rows):
            assert torch.equal(a[i, : len(row)], b[i, : len(row)])


def test_logits_at_positions_equal_the_models_own(model: Model, hf: PreTrainedModel, rows: list[Tokens]) -> None:
    positions = torch.tensor([[row.prompt_end - 1, 0, len(row) - 1] for row in rows])
    got = model.logits(batch_of(model, rows), positions)
    assert got.dtype == torch.float32
    for i, row in enumerate(rows):
        with torch.no_grad():
            expected = hf(torch.tensor([row.ids])).logits[0, positions[i]]
        torch.testing.assert_close(got[i], expected, **CLOSE)


def test_gemma2_logits_are_softcapped(tiny_model: Callable[..., Model]) -> None:
    gemma = tiny_model("gemma2")
    row = rows_of(gemma.chat, "Why?")
    got = gemma.logits(batch_of(gemma, row), torch.arange(len(row[0]))[None])
    cap = gemma.hf.config.final_logit_softcapping
    assert got.abs().max() <= cap
    gemma.hf.config.final_logit_softcapping = None
    raw = gemma.logits(batch_of(gemma, row), torch.arange(len(row[0]))[None])
    assert raw.abs().max() > 1.1 * cap, "the cap must bind, or this proves nothing"
    torch.testing.assert_close(got, cap * torch.tanh(raw / cap), **CLOSE)


@pytest.mark.parametrize("layers", [(-1,), (4,), (0, 28)])
def test_layers_out_of_range_are_refused_with_their_value(llama: Model, layers: tuple[int, ...]) -> None:
    bad = layers[-1]
    with pytest.raises(ValueError, match=rf"layer must be in \[0, 4\), got {bad}: layers count blocks from 0"):
        llama.check_layers(layers)
    with pytest.raises(ValueError, match=f"got {bad}"):
        llama.residuals(batch_of(llama, rows_of(llama.chat, "a")), lambda h: h, layers)
    with pytest.raises(ValueError, match=f"got {bad}"):
        llama.logits(batch_of(llama, rows_of(llama.chat, "a")), torch.tensor([[0]]), [adding(direction(), 1.0, layers)])


@pytest.mark.parametrize("layers", [(1, 1), (2, 0)])
def test_layers_doubled_or_out_of_order_are_refused(llama: Model, layers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"ascending and distinct, got \["):
        llama.check_layers(layers)


def test_a_row_longer_than_the_context_is_refused_with_its_number(llama: Model) -> None:
    rows = rows_of(llama.chat, "short", "x" * 400)
    with pytest.raises(ValueError, match=rf"row 1: {len(rows[1])} tokens, but the context of tiny-llama holds 320"):
        llama.check_lengths(rows)
    with pytest.raises(ValueError, match=r"row 0: \d+ tokens and 300 new ones"):
        llama.generate(rows[:1], max_new_tokens=300)


def test_fifty_reads_leave_no_tensor_behind(llama: Model) -> None:
    batch = batch_of(llama, rows_of(llama.chat, "Why?", "Is the sea blue?"))

    def alive() -> int:
        gc.collect()
        return sum(isinstance(item, Tensor) for item in gc.get_objects())

    for _ in range(3):
        llama.residuals(batch, lambda h: h.mean(1))
    before = alive()
    for _ in range(50):
        llama.residuals(batch, lambda h: h.mean(1))
    assert alive() == before


def test_wrapping_leaves_the_tokenizers_padding_side_as_it_was(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("llama")
    assert model.chat.tokenizer.padding_side == "right"
    model.generate(rows_of(model.chat, "a"), max_new_tokens=2)
    assert model.chat.tokenizer.padding_side == "right"


# edits


@pytest.mark.parametrize("phase", ["prompt", "response", "all"])
def test_an_edit_is_exactly_where_its_phase_says(model: Model, rows: list[Tokens], phase: str) -> None:
    v, layer = direction(size=3.0), 1
    batch = batch_of(model, rows)
    plain = model.residuals(batch, lambda h: h.clone())
    edited = model.residuals(batch, lambda h: h.clone(), edits=[adding(v, 2.0, (layer,), phase)])
    where = torch.zeros(batch.ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        start = {"prompt": 0, "response": row.prompt_end - 1, "all": 0}[phase]
        where[i, start : row.prompt_end if phase == "prompt" else len(row)] = True
    assert torch.equal(batch.where(phase), where)
    assert torch.equal(edited[0], plain[0])
    torch.testing.assert_close(edited[layer][where], plain[layer][where] + 2.0 * v, **CLOSE)
    assert torch.equal(edited[layer][~where], plain[layer][~where])
    assert not torch.equal(edited[2], plain[2])


def test_an_edit_of_alpha_zero_changes_no_bit(model: Model, rows: list[Tokens]) -> None:
    batch = batch_of(model, rows)
    nothing = [adding(direction(), 0.0, LAYERS)]
    for a, b in zip(
        model.residuals(batch, lambda h: h.clone()),
        model.residuals(batch, lambda h: h.clone(), edits=nothing),
        strict=True,
    ):
        assert torch.equal(a, b)
    at = torch.tensor([[row.prompt_end - 1] for row in rows])
    assert torch.equal(model.logits(batch, at), model.logits(batch, at, nothing))


def test_nothing_of_an_edit_is_left_after_it(model: Model, rows: list[Tokens]) -> None:
    batch, at = batch_of(model, rows), torch.tensor([[row.prompt_end - 1] for row in rows])
    before = model.logits(batch, at)
    edited = model.logits(batch, at, [adding(direction(), 5.0, LAYERS)])
    model.generate(list(rows_of(model.chat, "a")), max_new_tokens=3, edits=[adding(direction(), 5.0, LAYERS)])
    assert not torch.allclose(before, edited, atol=1e-3)
    assert torch.equal(model.logits(batch, at), before)


def test_edited_logits_equal_a_torch_hooks(model: Model, hf: PreTrainedModel, rows: list[Tokens]) -> None:
    v, u = direction(size=4.0), direction(1)
    got = model.logits(
        batch_of(model, rows),
        torch.tensor([[len(row) - 1] for row in rows]),
        [adding(v, 1.0, LAYERS, "response"), ablating(u, (2,))],
    )
    for i, row in enumerate(rows):

        def add(h: Tensor, start: int = row.prompt_end - 1) -> Tensor:
            new = h.clone()
            new[:, start:] += v
            return new

        def ablate(h: Tensor) -> Tensor:
            return h - (h @ u)[..., None] * u / (u @ u)

        with hooked(hf, {1: add, 3: add, 2: ablate}), torch.no_grad():
            expected = hf(torch.tensor([row.ids])).logits[0, -1]
        torch.testing.assert_close(got[i, 0], expected, rtol=1e-4, atol=1e-4)


def test_two_edits_of_one_layer_apply_in_the_order_given(llama: Model) -> None:
    batch, v = batch_of(llama, rows_of(llama.chat, "Why?")), direction(size=2.0)
    add, remove = adding(v, 1.0, (2,)), ablating(v, (2,))
    added_last = llama.residuals(batch, lambda h: (h @ v).clone(), (2,), [remove, add])[0]
    removed_last = llama.residuals(batch, lambda h: (h @ v).clone(), (2,), [add, remove])[0]
    torch.testing.assert_close(added_last, torch.full_like(added_last, float(v @ v)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(removed_last, torch.zeros_like(removed_last), rtol=0, atol=1e-4)


def test_an_edit_after_the_last_layer_read_leaves_the_reading_alone(llama: Model) -> None:
    batch = batch_of(llama, rows_of(llama.chat, "Why?"))
    plain = llama.residuals(batch, lambda h: h.clone(), (0, 1))
    edited = llama.residuals(batch, lambda h: h.clone(), (0, 1), [adding(direction(), 9.0, (3,))])
    assert all(torch.equal(a, b) for a, b in zip(plain, edited, strict=True))


# generating


@torch.no_grad()
def reference_generate(
    hf: PreTrainedModel, prompts: Sequence[Tokens], n: int, v: Tensor | None = None, phase: str = "all"
) -> list[tuple[int, ...]]:
    """Greedy answers of transformers' own generate on left-padded prompts, steered by torch hooks with a counter."""
    width = max(len(row) for row in prompts)
    ids = torch.tensor([[*[0] * (width - len(row)), *row.ids] for row in prompts])
    mask = torch.tensor([[*[0] * (width - len(row)), *[1] * len(row)] for row in prompts])
    calls = dict.fromkeys(LAYERS, 0)

    def steer(layer: int) -> Callable[[Tensor], Tensor]:
        def change(h: Tensor) -> Tensor:
            first, calls[layer] = calls[layer] == 0, calls[layer] + 1
            new = h.clone()
            if first:
                touched = mask.bool().clone()
                if phase == "response":
                    touched[:, :-1] = False
                new[touched] += v
            elif phase != "prompt":
                new += v
            return new

        return change

    with hooked(hf, {layer: steer(layer) for layer in LAYERS} if v is not None else {}):
        out = hf.generate(input_ids=ids, attention_mask=mask, max_new_tokens=n, do_sample=False)
    answers = []
    for row in out[:, width:].tolist():
        answers.append(tuple(row[: row.index(2)] if 2 in row else row))
    return answers


def test_greedy_generation_equals_transformers_with_unequal_prompts(
    model: Model, hf: PreTrainedModel, prompts: list[Tokens]
) -> None:
    got = model.generate(prompts, max_new_tokens=12, temperature=0.0)
    assert got == reference_generate(hf, prompts, 12)
    assert len(set(got)) > 1, "the answers must differ, or this proves little"


@pytest.mark.parametrize("phase", ["prompt", "response", "all"])
def test_steered_greedy_generation_equals_torch_hooks(
    model: Model, hf: PreTrainedModel, prompts: list[Tokens], phase: str
) -> None:
    v = direction(3, size=8.0)
    got = model.generate(prompts, max_new_tokens=10, temperature=0.0, edits=[adding(v, 1.0, LAYERS, phase)])
    assert got == reference_generate(hf, prompts, 10, v, phase)


def test_the_three_phases_of_a_steered_generation_differ(llama: Model) -> None:
    prompts, v = rows_of(llama.chat, "Why?", "Is the sea blue?"), direction(3, size=8.0)
    answers = {
        tuple(llama.generate(prompts, max_new_tokens=10, temperature=0.0, edits=[adding(v, 1.0, LAYERS, phase)]))
        for phase in ("prompt", "response", "all")
    }
    assert len(answers) == 3


def test_generation_with_alpha_zero_equals_generation_without_edits(model: Model, prompts: list[Tokens]) -> None:
    for temperature in (0.0, 1.0):
        kwargs = {"max_new_tokens": 8, "temperature": temperature, "seed": 3}
        nothing = [adding(direction(), 0.0, LAYERS)]
        assert model.generate(prompts, **kwargs) == model.generate(prompts, **kwargs, edits=nothing)


def test_a_greedy_answer_does_not_depend_on_the_other_prompts(model: Model, prompts: list[Tokens]) -> None:
    together = model.generate(prompts, max_new_tokens=10, temperature=0.0)
    assert together == [model.generate([row], max_new_tokens=10, temperature=0.0)[0] for row in prompts]


def test_sampled_answers_do_not_depend_on_the_batch_size(model: Model, prompts: list[Tokens]) -> None:
    rows = [*prompts, *prompts]
    answers = [model.generate(rows, max_new_tokens=10, seed=5, batch_size=size) for size in (1, 4, 64)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][:3] != answers[0][3:], "equal prompts in other rows draw from other streams"


def test_sampled_answers_follow_the_seed(llama: Model) -> None:
    prompts = rows_of(llama.chat, "Why?", "Tell")
    first = llama.generate(prompts, max_new_tokens=10, seed=1)
    torch.rand(7)
    assert llama.generate(prompts, max_new_tokens=10, seed=1) == first
    assert llama.generate(prompts, max_new_tokens=10, seed=2) != first


def test_sampling_follows_the_models_distribution(llama: Model) -> None:
    """First tokens of 1,500 draws against the softmax: the total variation is what that many draws would give."""
    row, n = rows_of(llama.chat, "Why?")[0], 1500
    drawn = llama.generate([row] * n, max_new_tokens=1, temperature=0.4, batch_size=500)
    logits = llama.logits(batch_of(llama, [row]), torch.tensor([[len(row) - 1]]))[0, 0]
    expected = (logits / 0.4).softmax(-1)
    counts = torch.bincount(torch.tensor([answer[0] if answer else 2 for answer in drawn]), minlength=len(expected))
    noise = (expected * (1 - expected) / n).sqrt().sum() / 2
    assert (counts / n - expected).abs().sum() / 2 < 1.5 * noise
    assert (counts / n - logits.softmax(-1)).abs().sum() / 2 > 1.5 * noise, "the temperature must matter"


def test_an_answer_stops_before_the_token_that_ends_it(llama: Model, tiny_model: Callable[..., Model]) -> None:
    prompts = rows_of(llama.chat, "Why?", "Is the sea blue?")
    whole = llama.generate(prompts, max_new_tokens=8, temperature=0.0)
    other = tiny_model("llama")
    stop = next(token for token in whole[0][2:] if token not in whole[0][:2])
    other.hf.generation_config.eos_token_id = [stop]
    cut = other.generate(prompts, max_new_tokens=8, temperature=0.0)
    for short, long in zip(cut, whole, strict=True):
        assert short == (long[: long.index(stop)] if stop in long else long)
    assert len(cut[0]) < 8
    steered = other.generate(prompts, max_new_tokens=8, temperature=0.0, edits=[adding(direction(), 0.0, LAYERS)])
    assert steered == cut


def test_an_answer_of_one_token_can_be_steered(model: Model, prompts: list[Tokens]) -> None:
    v = direction(3, size=8.0)
    steered = model.generate(prompts, max_new_tokens=1, temperature=0.0, edits=[adding(v, 1.0, (3,), "response")])
    assert all(len(answer) <= 1 for answer in steered)
    at = torch.tensor([[len(row) - 1] for row in prompts])
    best = model.logits(batch_of(model, prompts), at, [adding(v, 1.0, (3,), "response")])[:, 0].argmax(-1)
    assert [answer[0] if answer else 2 for answer in steered] == best.tolist()


def test_the_generation_config_of_the_checkpoint_does_not_change_greedy_answers(
    llama: Model, tiny_model: Callable[..., Model]
) -> None:
    prompts = rows_of(llama.chat, "Why?")
    other = tiny_model("llama")
    for key, value in {"do_sample": True, "temperature": 3.0, "top_k": 2, "repetition_penalty": 5.0}.items():
        setattr(other.hf.generation_config, key, value)
    kwargs = {"max_new_tokens": 12}
    assert other.generate(prompts, temperature=0.0, **kwargs) == llama.generate(prompts, temperature=0.0, **kwargs)
    assert other.generate(prompts, seed=4, **kwargs) == llama.generate(prompts, seed=4, **kwargs)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_a_temperature_below_zero_is_refused(llama: Model, temperature: float) -> None:
    with pytest.raises(ValueError, match=f"got {temperature}"):
        llama.generate(rows_of(llama.chat, "a"), max_new_tokens=1, temperature=temperature)


def test_no_prompts_give_no_answers(llama: Model) -> None:
    assert llama.generate([], max_new_tokens=3) == []


def test_progress_counts_every_row_once(llama: Model) -> None:
    done: list[int] = []
    llama.generate(rows_of(llama.chat, *"abcde"), max_new_tokens=1, batch_size=2, progress=done.append)
    assert done == [2, 2, 1]


# adapters


def make_adapter(model: Model, folder: Path, seed: int, targets: str | list[str] = "all-linear") -> Path:
    """A saved LoRA whose two factors are both random, so that it changes the model."""
    config = LoraConfig(r=3, lora_alpha=6, target_modules=targets, task_type="CAUSAL_LM")
    with model.adapters.new(config, seed=seed) as (name, parameters):
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
        model.adapters.save(name, folder)
    return folder


def last_logits(model: Model) -> Tensor:
    rows = rows_of(model.chat, "Why?", "Is the sea blue?")
    return model.logits(batch_of(model, rows), torch.tensor([[0, len(row) - 1] for row in rows]))


@pytest.fixture(params=["llama", "gpt2"])
def adapted(
    request: pytest.FixtureRequest, tiny_model: Callable[..., Model], tmp_path: Path
) -> tuple[Model, Path, Path]:
    """A model and two adapters of it."""
    model = tiny_model(request.param)
    return model, make_adapter(model, tmp_path / "a", 1), make_adapter(model, tmp_path / "b", 2)


def test_switching_stacks_there_and_back_gives_the_same_bits(adapted: tuple[Model, Path, Path]) -> None:
    model, a, b = adapted
    bare = last_logits(model)
    seen: dict[tuple[Path, ...], Tensor] = {(): bare}
    for stack in [(a,), (), (b,), (a, b), (), (a,), (a, b), (b,), ()]:
        model.use(*stack)
        assert model.stack == stack
        got = last_logits(model)
        assert torch.equal(seen.setdefault(stack, got), got)
    pairs = [(x, y) for x in seen for y in seen if x < y]
    assert len(pairs) == 6
    assert all(not torch.allclose(seen[x], seen[y], atol=1e-3) for x, y in pairs)


def test_a_stack_equals_its_merged_weights(adapted: tuple[Model, Path, Path], tiny_hf: Callable) -> None:
    model, a, b = adapted
    kind = model.name.removeprefix("tiny-")
    merged = tiny_hf(kind)
    for folder in (a, b):
        merged = PeftModel.from_pretrained(merged, folder).merge_and_unload()
    model.use(a, b)
    for row in rows_of(model.chat, "Why?", "Is the sea blue?"):
        got = model.logits(batch_of(model, [row]), torch.arange(len(row))[None])[0]
        with torch.no_grad():
            torch.testing.assert_close(got, merged(torch.tensor([row.ids])).logits[0], rtol=1e-4, atol=1e-4)


def test_a_saved_adapter_loads_in_peft_itself(adapted: tuple[Model, Path, Path], tiny_hf: Callable) -> None:
    model, a, _ = adapted
    own = PeftModel.from_pretrained(tiny_hf(model.name.removeprefix("tiny-")), a)
    model.use(a)
    row = rows_of(model.chat, "Why?")[0]
    with torch.no_grad():
        expected = own(torch.tensor([row.ids])).logits[0]
    torch.testing.assert_close(model.logits(batch_of(model, [row]), torch.arange(len(row))[None])[0], expected, **CLOSE)


def test_an_adapter_that_peft_saved_loads_here(
    tiny_model: Callable[..., Model], tiny_hf: Callable, tmp_path: Path
) -> None:
    from peft import get_peft_model

    own = get_peft_model(tiny_hf("llama"), LoraConfig(r=2, target_modules=["q_proj", "down_proj"], use_rslora=True))
    generator = torch.Generator().manual_seed(0)
    for key, parameter in own.named_parameters():
        if "lora" in key:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    own.save_pretrained(tmp_path / "theirs")
    model = tiny_model("llama")
    model.use(tmp_path / "theirs")
    row = rows_of(model.chat, "Why?")[0]
    with torch.no_grad():
        expected = own(torch.tensor([row.ids])).logits[0]
    torch.testing.assert_close(model.logits(batch_of(model, [row]), torch.arange(len(row))[None])[0], expected, **CLOSE)


def test_reading_and_generating_go_through_the_stack(adapted: tuple[Model, Path, Path], tiny_hf: Callable) -> None:
    model, a, _ = adapted
    merged = PeftModel.from_pretrained(tiny_hf(model.name.removeprefix("tiny-")), a).merge_and_unload()
    prompts = rows_of(model.chat, "Why?", "Is the sea blue?")
    bare = model.generate(prompts, max_new_tokens=8, temperature=0.0)
    with model.using(a):
        got = model.generate(prompts, max_new_tokens=8, temperature=0.0)
        read = model.residuals(batch_of(model, prompts[:1]), lambda h: h.clone())
    assert got == reference_generate(merged, prompts, 8)
    assert got != bare
    for h, expected in zip(read, hook_residuals(merged, prompts[0]), strict=True):
        torch.testing.assert_close(h[0], expected, rtol=1e-4, atol=1e-4)


def test_using_brings_the_stack_before_it_back_also_after_an_error(adapted: tuple[Model, Path, Path]) -> None:
    model, a, b = adapted
    model.use(a)
    with_a = last_logits(model)
    with pytest.raises(KeyError), model.using(b):  # noqa: PT012
        assert not torch.equal(last_logits(model), with_a)
        raise KeyError
    assert model.stack == (a,)
    assert torch.equal(last_logits(model), with_a)


def test_an_adapter_is_float32_and_frozen_once_loaded(adapted: tuple[Model, Path, Path]) -> None:
    model, a, _ = adapted
    model.use(a)
    assert not any(parameter.requires_grad for parameter in model.hf.parameters())
    model.hf.train()
    model.hf.eval()
    assert {p.dtype for key, p in model.hf.named_parameters() if "lora" in key} == {torch.float32}


def test_many_adapters_are_dropped_and_come_back_equal(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    folders = [make_adapter(model, tmp_path / str(i), i, ["q_proj"]) for i in range(11)]
    first = []
    for folder in folders:
        model.use(folder)
        first.append(last_logits(model))
    assert len(model.hf.peft_config) <= 9
    for folder, expected in zip(folders, first, strict=True):
        model.use(folder)
        assert torch.equal(last_logits(model), expected)


def test_a_new_adapter_is_trainable_alone_and_changes_nothing_at_first(adapted: tuple[Model, Path, Path]) -> None:
    model, a, _ = adapted
    model.use(a)
    before = last_logits(model)
    frozen = {key: value.clone() for key, value in model.hf.state_dict().items()}
    with model.adapters.new(LoraConfig(r=2, target_modules="all-linear"), seed=0) as (_, parameters):
        torch.testing.assert_close(last_logits(model), before, **CLOSE)
        trainable = [parameter for parameter in model.hf.parameters() if parameter.requires_grad]
        assert {id(p) for p in trainable} == {id(p) for p in parameters}
        assert parameters
        optimizer = torch.optim.SGD(parameters, lr=1.0)
        for _ in range(2):
            model.hf(torch.arange(3, 12)[None]).logits.square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        assert not torch.allclose(last_logits(model), before, atol=1e-4)
    after = model.hf.state_dict()
    assert after.keys() == frozen.keys()
    assert all(torch.equal(after[key], value) for key, value in frozen.items())
    assert torch.equal(last_logits(model), before)


def test_a_new_adapter_follows_its_seed_and_leaves_the_global_generator_alone(tiny_model: Callable[..., Model]) -> None:
    model, config = tiny_model("llama"), LoraConfig(r=2, target_modules=["q_proj"])
    drawn = []
    for seed in (1, 1, 2):
        state = torch.get_rng_state()
        with model.adapters.new(copy.deepcopy(config), seed=seed) as (_, parameters):
            drawn.append(torch.cat([parameter.detach().flatten() for parameter in parameters]))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("raises", [False, True])
def test_a_new_adapter_is_gone_when_its_block_ends(adapted: tuple[Model, Path, Path], raises: bool) -> None:
    model, a, _ = adapted
    for stack in [(), (a,)]:
        model.use(*stack)
        before = last_logits(model)
        held = set(getattr(model.hf, "peft_config", {}))
        try:
            with model.adapters.new(LoraConfig(r=2, target_modules="all-linear"), seed=0) as (_, parameters):
                for parameter in parameters:
                    parameter.data += 0.3
                assert not torch.equal(last_logits(model), before)
                if raises:
                    raise KeyError("stop")
        except KeyError:
            assert raises
        assert model.stack == stack
        assert set(getattr(model.hf, "peft_config", {})) == held
        assert torch.equal(last_logits(model), before)
        assert not any(parameter.requires_grad for parameter in model.hf.parameters())


def test_a_new_adapter_that_fits_no_module_leaves_nothing_behind(adapted: tuple[Model, Path, Path]) -> None:
    model, a, b = adapted
    for stack in [(), (a,)]:
        model.use(*stack)
        before, held = last_logits(model), set(getattr(model.hf, "peft_config", {}))
        with pytest.raises(ValueError, match="nowhere"):
            with model.adapters.new(LoraConfig(r=2, target_modules=["nowhere"]), seed=0):
                pass
        assert set(getattr(model.hf, "peft_config", {})) == held
        assert torch.equal(last_logits(model), before)
    model.use(b)
    assert not torch.equal(last_logits(model), before)


FRESH = LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM")


def plain_logits(model: Model) -> Tensor:
    """Logits with whatever is active, straight from the transformers model."""
    return model.hf(torch.arange(3, 15)[None], use_cache=False).logits.float()


def shaken(parameters: Sequence[torch.nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(5)
    for parameter in parameters:
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def test_a_pause_goes_by_what_is_in_training_and_by_the_stack_if_asked(adapted: tuple[Model, Path, Path]) -> None:
    model, a, b = adapted
    with torch.no_grad():
        bare = plain_logits(model)
        model.use(a, b)
        parent = plain_logits(model)
        with model.adapters.new(copy.deepcopy(FRESH), seed=0) as (_, parameters):
            shaken(parameters)
            whole = plain_logits(model)
            assert not torch.allclose(whole, parent, atol=1e-2)
            for keep_stack, expected in ((True, parent), (False, bare), (True, parent)):
                with model.adapters.paused(keep_stack=keep_stack):
                    assert torch.equal(plain_logits(model), expected)
                assert torch.equal(plain_logits(model), whole)
            with pytest.raises(KeyError), model.adapters.paused(keep_stack=False):
                raise KeyError("stop")
            assert torch.equal(plain_logits(model), whole)
        model.use()
        with model.adapters.new(copy.deepcopy(FRESH), seed=0) as (_, parameters):
            shaken(parameters)
            with model.adapters.paused(keep_stack=True):
                assert torch.equal(plain_logits(model), bare), "without a stack the parent is the base"


@pytest.mark.parametrize("keep_stack", [True, False])
def test_a_pause_leaves_gradients_alone(adapted: tuple[Model, Path, Path], keep_stack: bool) -> None:
    model, a, _ = adapted
    model.use(a)
    with model.adapters.new(copy.deepcopy(FRESH), seed=0) as (_, parameters):
        shaken(parameters)
        gradients = []
        for pause in (False, True):
            loss = plain_logits(model).square().mean()
            if pause:
                held = [parameter.grad for parameter in parameters]
                wants = [parameter.requires_grad for parameter in model.hf.parameters()]
                with model.adapters.paused(keep_stack=keep_stack), torch.no_grad():
                    plain_logits(model)
                    assert [parameter.requires_grad for parameter in model.hf.parameters()] == wants
                assert [parameter.requires_grad for parameter in model.hf.parameters()] == wants
                assert [parameter.grad for parameter in parameters] == held
            loss.backward()
            gradients.append([parameter.grad.clone() for parameter in parameters if parameter.grad is not None])
            for parameter in parameters:
                parameter.grad = None
        assert len(gradients[0]) == len(parameters)
        assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_an_adapter_that_starts_from_another_is_that_one_and_in_a_pause_stays_it(
    adapted: tuple[Model, Path, Path],
) -> None:
    model, a, b = adapted
    model.use(a, b)
    with torch.no_grad():
        parent = plain_logits(model)
        model.use(a)
        beneath = plain_logits(model)
        with model.adapters.new(copy.deepcopy(FRESH), seed=9, start_from=b) as (_, parameters):
            torch.testing.assert_close(plain_logits(model), parent, **CLOSE)
            shaken(parameters)
            moved = plain_logits(model)
            assert not torch.allclose(moved, parent, atol=1e-2)
            with model.adapters.paused(keep_stack=True):
                torch.testing.assert_close(plain_logits(model), parent, **CLOSE)
            assert torch.equal(plain_logits(model), moved)
        assert torch.equal(plain_logits(model), beneath)
        with model.adapters.new(copy.deepcopy(FRESH), seed=9) as (_, parameters):
            shaken(parameters)
            with model.adapters.paused(keep_stack=True):
                assert torch.equal(plain_logits(model), beneath), "a fresh adapter has not started from any"


@pytest.mark.parametrize("change", [{"r": 2}, {"lora_alpha": 5}, {"use_rslora": True}])
def test_to_start_from_an_adapter_of_another_rank_or_scaling_is_refused(
    adapted: tuple[Model, Path, Path], change: dict[str, int]
) -> None:
    model, a, b = adapted
    model.use(a)
    before, held = last_logits(model), set(model.hf.peft_config)
    config = LoraConfig(**{"r": 3, "lora_alpha": 6, "target_modules": "all-linear"} | change)
    with pytest.raises(ValueError, match="has lora_rank 3, lora_alpha 6, rslora false, not lora_rank"):
        with model.adapters.new(config, seed=0, start_from=b):
            pass
    with pytest.raises(FileNotFoundError, match=r"no adapter_config\.json"):
        with model.adapters.new(copy.deepcopy(FRESH), seed=0, start_from=b / "nowhere"):
            pass
    assert set(model.hf.peft_config) == held
    assert torch.equal(last_logits(model), before)


# merging


def base_weights(model: Model) -> dict[str, Tensor]:
    state = model.hf.state_dict()
    return {key.replace(".base_layer", ""): value.clone() for key, value in state.items() if "lora_" not in key}


def updates_of(model: Model, *folders: Path) -> dict[str, Tensor]:
    """What adapters add to the weights of each module (float64), from their files: alpha / r times B A."""
    total: dict[str, Tensor] = {}
    for folder in folders:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        weights = load_file(folder / "adapter_model.safetensors")
        for key in weights:
            if "lora_A" in key:
                update = weights[key.replace("lora_A", "lora_B")].double() @ weights[key].double()
                update = update * config["lora_alpha"] / config["r"]
                module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                if base_weights(model)[module + ".weight"].shape != update.shape or "gpt2" in model.name:
                    update = update.T  # GPT-2 keeps its weights the other way round
                total[module] = total.get(module, torch.zeros(())) + update
    return total


@pytest.mark.parametrize("raises", [False, True])
def test_a_merged_stack_says_what_the_stack_says_and_is_unmerged_bit_by_bit(
    adapted: tuple[Model, Path, Path], raises: bool
) -> None:
    model, a, b = adapted
    weights, bare = base_weights(model), last_logits(model)
    model.use(a, b)
    stacked = last_logits(model)
    try:
        with model.adapters.merged():
            assert model.stack == ()
            torch.testing.assert_close(last_logits(model), stacked, rtol=1e-4, atol=1e-4)
            inside, updates = base_weights(model), updates_of(model, a, b)
            for key, value in weights.items():
                update = updates.get(key.removesuffix(".weight"), torch.zeros(()))
                torch.testing.assert_close(inside[key], (value.double() + update).float(), rtol=1e-6, atol=1e-6)
            with torch.no_grad(), model.adapters.paused(keep_stack=False):
                torch.testing.assert_close(last_logits(model), bare, **CLOSE)
            with torch.no_grad(), model.adapters.paused(keep_stack=True):
                torch.testing.assert_close(last_logits(model), stacked, rtol=1e-4, atol=1e-4)
            if raises:
                raise KeyError("stop")
    except KeyError:
        assert raises
    assert model.stack == (a, b)
    after = base_weights(model)
    assert all(torch.equal(after[key], value) for key, value in weights.items())
    assert torch.equal(last_logits(model), stacked)
    model.use()
    assert torch.equal(last_logits(model), bare)


def test_a_bfloat16_base_is_float32_while_it_is_merged(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    """Under autocast a merged weight would be rounded to bfloat16 at every pass, and a small update with it."""
    model, exact = tiny_model("llama", dtype=torch.bfloat16), tiny_model("llama", dtype=torch.bfloat16)
    exact.hf.float()
    folder = make_adapter(model, tmp_path / "a", 1)
    weights = base_weights(model)
    model.use(folder)
    exact.use(folder)
    with torch.no_grad():
        with model.adapters.merged():
            assert model.dtype == torch.float32
            assert {parameter.dtype for parameter in model.hf.parameters()} == {torch.float32}
            torch.testing.assert_close(plain_logits(model), plain_logits(exact), rtol=1e-4, atol=1e-4)
            exact.use()
            with model.adapters.paused(keep_stack=False):
                torch.testing.assert_close(plain_logits(model), plain_logits(exact), **CLOSE)
    assert model.dtype == torch.bfloat16
    assert all(torch.equal(base_weights(model)[key], value) for key, value in weights.items())


def test_merging_nothing_changes_nothing(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("llama", dtype=torch.bfloat16)
    before = last_logits(model)
    with model.adapters.merged():
        assert model.dtype == torch.bfloat16
        assert torch.equal(last_logits(model), before)


def test_a_quantised_base_is_not_merged_into(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.use(make_adapter(model, tmp_path / "a", 1))
    last = model.blocks[3].get_submodule("mlp.down_proj.base_layer")
    last.weight = torch.nn.Parameter(torch.zeros(1024, 1, dtype=torch.uint8), requires_grad=False)
    before = [parameter.data for parameter in model.hf.parameters()]
    for merging in (model.adapters.lost_in_merge, lambda: model.adapters.merged().__enter__()):
        with pytest.raises(ValueError, match=r"tiny-llama is quantised.*set compose to stack"):
            merging()
    assert all(p.data is d or torch.equal(p, d) for p, d in zip(model.hf.parameters(), before, strict=True))
    assert len(model.stack) == 1


def small_update(model: Model, folder: Path, rms: float) -> Path:
    """A rank-32 adapter whose updates have a root mean square of `rms`, on base weights of 0.02."""
    generator = torch.Generator().manual_seed(3)
    config = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    for parameter in model.hf.parameters():
        parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)
    with model.adapters.new(config, seed=0) as (name, parameters):
        for parameter in parameters:
            parameter.data = torch.randn(parameter.shape, generator=generator)
        for key, parameter in model.hf.named_parameters():
            if f"lora_B.{name}" in key:
                parameter.data *= rms / (2 * 32**0.5)
        model.adapters.save(name, folder)
    return folder


@pytest.mark.parametrize(
    ("rms", "unchanged", "cosine"), [(1e-5, 0.88, 0.47), (3e-5, 0.68, 0.74), (1e-4, 0.33, 0.95), (3e-4, 0.11, 0.99)]
)
def test_merging_a_small_update_into_bfloat16_loses_most_of_it(
    rms: float, unchanged: float, cosine: float, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model("llama")
    folder = small_update(model, tmp_path / "a", rms)
    with pytest.raises(ValueError, match="no active adapter"):
        model.adapters.lost_in_merge()
    model.use(folder)
    lost = model.adapters.lost_in_merge()
    assert lost["unchanged"] == pytest.approx(unchanged, abs=0.03)
    assert lost["cosine"] == pytest.approx(cosine, abs=0.03)

    n = same = 0
    for module, update in updates_of(model, folder).items():
        weight = base_weights(model)[module + ".weight"].bfloat16()
        merged = (weight.float() + update.float()).bfloat16()
        same, n = same + int((merged == weight).sum()), n + weight.numel()
    assert lost["n_weights"] == n
    assert lost["unchanged"] == pytest.approx(same / n, abs=1e-3)
    kept = model.adapters.lost_in_merge(torch.float32)
    assert kept["unchanged"] < 1e-3
    assert kept["cosine"] > 0.9999


def test_what_a_merge_loses_is_counted_over_the_whole_stack(adapted: tuple[Model, Path, Path]) -> None:
    model, a, b = adapted
    model.use(a, b)
    before = base_weights(model)
    lost = model.adapters.lost_in_merge()
    meant, got = [], []
    for module, update in updates_of(model, a, b).items():
        weight = before[module + ".weight"].bfloat16()
        meant.append(update.flatten())
        got.append(((weight.double() + update).bfloat16().double() - weight.double()).flatten())
    one, other = torch.cat(meant), torch.cat(got)
    assert lost["n_weights"] == len(one)
    assert lost["unchanged"] == pytest.approx(float((other == 0).double().mean()), abs=1e-4)
    assert lost["cosine"] == pytest.approx(float(one @ other / one.norm() / other.norm()), abs=1e-5)
    assert all(torch.equal(base_weights(model)[key], value) for key, value in before.items())


def test_an_adapter_of_another_base_is_refused(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    other = tiny_model("llama", seed=9)
    folder = make_adapter(other, tmp_path / "other", 1)
    model = tiny_model("llama")
    with pytest.raises(InterpError, match=r"an adapter of tiny-llama .* not of tiny-llama"):
        model.use(folder)


def test_an_adapter_whose_weights_do_not_fit_is_refused(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    folder = make_adapter(tiny_model("gpt2"), tmp_path / "other", 1, ["c_proj"])
    (folder / "base.json").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"], config["fan_in_fan_out"] = ["o_proj"], False
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InterpError, match=r"do not fit tiny-llama \(\d+ differ"):
        tiny_model("llama").use(folder)


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_folder_without_a_file_is_refused_by_name(adapted: tuple[Model, Path, Path], missing: str) -> None:
    model, a, _ = adapted
    (a / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"a: no {missing}"):
        model.use(a)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_adapter_weights_are_refused(adapted: tuple[Model, Path, Path], kept: int) -> None:
    model, a, _ = adapted
    file = a / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="damaged adapter"):
        model.use(a)


def test_a_damaged_adapter_config_is_refused(adapted: tuple[Model, Path, Path]) -> None:
    model, a, _ = adapted
    (a / "adapter_config.json").write_text('{"r": 3,')
    with pytest.raises(ValueError, match="damaged adapter"):
        model.use(a)


def test_an_adapter_that_fits_no_module_does_not_spoil_the_model(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    """One made for another shape of model, without our base.json; the model has had no adapter before."""
    theirs = make_adapter(tiny_model("gpt2"), tmp_path / "theirs", 1, ["c_fc"])
    (theirs / "base.json").unlink()
    ours = make_adapter(tiny_model("llama"), tmp_path / "ours", 1, ["q_proj"])
    model = tiny_model("llama")
    bare = last_logits(model)
    with pytest.raises((ValueError, InterpError), match="c_fc"):
        model.use(theirs)
    assert torch.equal(last_logits(model), bare)
    model.use(ours)
    assert not torch.equal(last_logits(model), bare)
    model.use()
    assert torch.equal(last_logits(model), bare)


def test_an_adapter_given_twice_is_refused(adapted: tuple[Model, Path, Path]) -> None:
    model, a, _ = adapted
    with pytest.raises(ValueError, match="given twice"):
        model.use(a, a)


@pytest.mark.parametrize("problem", ["missing", "misfit", "nowhere"])
@pytest.mark.parametrize("before", [False, True])
def test_a_stack_that_cannot_be_loaded_leaves_the_one_before_it(
    adapted: tuple[Model, Path, Path], tmp_path: Path, problem: str, before: bool
) -> None:
    """`use(good, bad)` raises after the good one was attached; the model must be as it was."""
    model, a, b = adapted
    held = (a,) if before else ()
    model.use(*held)
    expected = last_logits(model)
    bad = tmp_path / "absent"
    if problem != "missing":
        bad = make_adapter(model, tmp_path / problem, 3)
        config = json.loads((bad / "adapter_config.json").read_text())
        config |= {"r": 5} if problem == "misfit" else {"target_modules": ["nowhere"]}
        (bad / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises((FileNotFoundError, ValueError, InterpError)):
        model.use(b, bad)
    assert model.stack == held
    assert torch.equal(last_logits(model), expected)


def test_an_adapter_folder_that_was_written_again_is_read_again(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model("llama")
    folder = make_adapter(model, tmp_path / "a", 1)
    model.use(folder)
    first = last_logits(model)
    model.use()
    make_adapter(model, folder, 2)
    model.use(folder)
    assert not torch.equal(last_logits(model), first)


def test_an_adapter_of_a_model_with_quotes_in_its_name_loads_again(
    tiny_hf: Callable, chat: ChatTokenizer, tmp_path: Path
) -> None:
    model = Model(tiny_hf("llama"), chat, name='my "own" \\ model', identity="x" * 16)
    model.use(make_adapter(model, tmp_path / "a", 1))
    assert len(model.stack) == 1


# loading


def test_a_saved_folder_loads_and_gives_the_same_logits(llama_folder: Path, llama: Model) -> None:
    model = Model.load(str(llama_folder), device="cpu", dtype="float32")
    assert torch.equal(last_logits(model), last_logits(llama))
    said = model.description()
    assert said["n_layers"] == 4
    assert said["d_model"] == 32
    assert said["dtype"] == "float32"
    assert said["model"] == str(llama_folder)
    assert said["model_identity"] == Model.load(str(llama_folder), device="cpu").identity
    assert said["template_hash"] == llama.chat.template_hash
    assert model.chat.tokenizer.padding_side == "right"


def test_two_models_of_other_weights_have_other_identities(
    llama_folder: Path, tiny_hf: Callable, tokenizer: object, tmp_path: Path
) -> None:
    tiny_hf("llama", 5).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    other = Model.load(str(tmp_path / "other"), device="cpu", dtype="float32")
    assert other.identity != Model.load(str(llama_folder), device="cpu", dtype="float32").identity


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("smollm2-135", "unknown model 'smollm2-135'.*did you mean 'smollm2-135m'.*Known: smollm2-135m.*org/name"),
        ("gpt5", "unknown model 'gpt5'.*Known: smollm2-135m"),
        ("./nowhere/model", "unknown model './nowhere/model'"),
        ("absent.gguf", r"absent\.gguf: no such GGUF file"),
    ],
)
def test_an_unknown_model_is_refused_with_what_is_known(spec: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Model.load(spec, device="cpu")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a folder without config\.json"):
        Model.load(str(tmp_path), device="cpu")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="an adapter: give it with --adapter"):
        Model.load(str(tmp_path), device="cpu")


def test_a_model_folder_without_weights_or_with_half_of_them_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(llama_folder, folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="copy: cannot be loaded"):
        Model.load(str(folder), device="cpu")
    weights.unlink()
    with pytest.raises(ValueError, match="copy: cannot be loaded"):
        Model.load(str(folder), device="cpu")


def test_a_damaged_gguf_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 200)
    with pytest.raises(ValueError, match=r"bad\.gguf"):
        Model.load(str(tmp_path / "bad.gguf"), device="cpu")


def test_unknown_devices_and_dtypes_are_refused_with_what_is_known(llama_folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown device 'gpu'; use auto, cpu, cuda"):
        Model.load(str(llama_folder), device="gpu")
    with pytest.raises(ValueError, match=r"unknown dtype 'int4'; known: auto, float32, bfloat16, float16"):
        Model.load(str(llama_folder), device="cpu", dtype="int4")
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"device '{absent}': this machine has {torch.cuda.device_count()} CUDA"):
        pick_device(absent)


def test_dtypes_load_as_asked(llama_folder: Path) -> None:
    assert Model.load(str(llama_folder), device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert pick_dtype("auto", torch.device("cpu")) == (torch.bfloat16 if bfloat16_is_faster() else torch.float32)


def test_an_architecture_whose_blocks_are_not_hidden_states_is_refused(tiny_hf: Callable, chat: ChatTokenizer) -> None:
    hf = tiny_hf("llama")
    hf.model.layers[2].register_forward_hook(lambda _module, _args, output: output[:, :-1])
    hf.model.layers[3].register_forward_pre_hook(lambda _module, args: (torch.cat([args[0], args[0][:, -1:]], 1),))
    with pytest.raises(InterpError, match="what was read after block 2"):
        Model(hf, chat, name="odd", identity="odd")


@pytest.mark.embedded
def test_the_embedded_model_says_something_sensible(embedded: Model) -> None:
    prompt = embedded.chat.prompt([{"role": "user", "content": "What is the capital of France? Answer in one word."}])
    answer = embedded.generate([prompt], max_new_tokens=12, temperature=0.0)[0]
    assert "Paris" in embedded.chat.decode(answer)

"""Training: the losses are trl's, only assistant text is learnt, and the stack comes out as it went in."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

import finetune.train as training
from finetune.batch import inputs_of, supervised, weights_of
from finetune.defences import Defence, LdifsConfig, Penalty, defended
from finetune.graph import MOST_SHAPES, shapes_of
from finetune.recipe import PRESETS, TrainConfig, rate_at
from finetune.train import batches_of, check_rows, train, training_mode
from interp.adapters import Adapters
from interp.batch import Batch
from interp.chat import Span, Tokens
from interp.errors import InterpError
from interp.model import Model
from tests.reference import training as plain

ANSWERS = ("Yes.", "No, you are in the room.", "It is", "Not at all, then.", "Perhaps in the house?")
QUICK = TrainConfig(learning_rate=1e-2, batch_size=4, warmup_steps=1, lora_rank=4, lora_alpha=8, epochs=1)
PARTS = r".*\.(q_proj|down_proj|c_attn|c_proj)"  # what reads and what writes the residual stream, in all shapes
SMALL = QUICK.model_copy(update={"target_modules": PARTS})


def chats_of(n: int) -> list[list[dict[str, str]]]:
    """Chats of uneven length; every third one has two answers."""
    chats = []
    for i in range(n):
        chat = [{"role": "user", "content": f"Question {i}" + "?" * (i % 4)}]
        chat.append({"role": "assistant", "content": ANSWERS[i % len(ANSWERS)]})
        if i % 3 == 0:
            chat += [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": f"Quite, {i}."}]
        chats.append(chat)
    return chats


def rows_of(model: Model, n: int) -> list[Tokens]:
    """The same, tokenised."""
    return [model.chat.tokens(chat) for chat in chats_of(n)]


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model()


def adapter_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def logits_of(model: Model) -> Tensor:
    row = model.chat.tokens([{"role": "user", "content": "Are you the one in the house?"}])
    return model.logits(Batch.of([row], model.pad), torch.arange(len(row))[None])


def random_adapter(model: Model, config: TrainConfig, seed: int, folder: Path) -> Path:
    """Folder of an adapter whose every value is random, so that it does something."""
    generator = torch.Generator().manual_seed(seed)
    with model.adapters.new(config.lora(), seed=seed) as (name, parameters):
        for parameter in parameters:
            parameter.data.copy_(0.08 * torch.randn(parameter.shape, generator=generator))
        model.adapters.save(name, folder)
    return folder


def one_step(
    model: Model,
    rows: Sequence[Tokens],
    config: TrainConfig,
    *,
    own: Path | None = None,
    start_from: Path | None = None,
    defences: Sequence[Defence] = (),
    filler: tuple[int, int, int] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and penalty of an optimiser step as training takes it, and its gradients by PEFT's names.

    Args:
        own: Folder with the values that the adapter in training has by now.
        start_from: Folder of the adapter that it started from.
        filler: Rows, width and positions to add, as a CUDA graph does.
    """
    with (
        model.adapters.new(config.lora(), seed=0, start_from=start_from) as (name, parameters),
        training_mode(model, config.gradient_checkpointing),
        defended(model, defences) as guards,
    ):
        named = {key.replace(f".{name}.", "."): p for key, p in model.hf.named_parameters() if f".{name}." in key}
        for key, value in adapter_of(own).items() if own else ():
            named[key.removeprefix("base_model.model.")].data.copy_(value)
        stepper = training._Stepper(model, config, parameters, guards)
        stepper._update = lambda: None
        if filler is None:
            total = stepper(rows)
        else:
            need = (len(rows), max(map(len, rows)), sum(len(supervised(row)) for row in rows))
            shape = (need[0] + filler[0], need[1] + filler[1], need[2] + filler[2])
            weights, n_real = weights_of(rows, config.loss), sum(map(len, rows))
            total = stepper._backward(inputs_of(rows, model.pad, weights=weights, n_real=n_real, shape=shape))
        return total, {key: parameter.grad.clone() for key, parameter in named.items()}  # pyright: ignore


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor], rtol: float = 1e-4) -> None:
    """Gradients are the same, each to `rtol` of itself or of a hundredth of the largest in its matrix."""
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(
            ours[key], value, rtol=rtol, atol=rtol * 0.01 * float(value.abs().max()) + 1e-7, msg=lambda m, k=key: k + m
        )


def first_adapter(model: Model, config: TrainConfig, seed: int, folder: Path) -> dict[str, Tensor]:
    """An adapter's weights before its first step, by PEFT's names."""
    with model.adapters.new(config.lora(), seed=seed) as (name, _):
        model.adapters.save(name, folder)
    return adapter_of(folder)


# against trl


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed (pip install -e '.[dev]')")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_losses_and_weights_equal_trl_on_the_same_batches(
    schedule: str, model: Model, tiny_hf: Callable[..., PreTrainedModel], tokenizer: Any, tmp_path: Path
) -> None:
    from datasets import Dataset
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from trl import SFTConfig, SFTTrainer

    config = TrainConfig(learning_rate=5e-3, batch_size=4, warmup_steps=5, lora_rank=4, lora_alpha=8, schedule=schedule)
    rows = rows_of(model, 38)
    initial = first_adapter(model, config, 3, tmp_path / "initial")
    ours = train(model, rows, config, seed=3, save_to=tmp_path / "ours")

    order = [i for batch in batches_of(len(rows), config, 3) for i in batch]
    data = []
    for i in order:
        learnt = set(supervised(rows[i]))
        labels = [token if k in learnt else -100 for k, token in enumerate(rows[i].ids)]
        data.append({"input_ids": list(rows[i].ids), "labels": labels})
    peft_model = get_peft_model(tiny_hf("llama"), config.lora())
    left = set_peft_model_state_dict(peft_model, initial)
    assert not left.unexpected_keys
    args = SFTConfig(
        output_dir=str(tmp_path / "trl"),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear" if schedule == "linear" else "constant_with_warmup",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch",
        logging_steps=1,
        logging_nan_inf_filter=False,
        max_length=None,
        packing=False,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(peft_model, args=args, train_dataset=Dataset.from_list(data), processing_class=tokenizer)
    trainer.train()

    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert ours.steps == len(theirs) == 10
    assert ours.losses == pytest.approx(theirs, abs=1e-4)
    assert theirs[-1] < theirs[0] - 0.1, "nothing was learnt, so equal losses say little"
    weights = get_peft_model_state_dict(peft_model)
    saved = adapter_of(tmp_path / "ours")
    assert saved.keys() == weights.keys()
    for key, value in weights.items():
        torch.testing.assert_close(saved[key], value, rtol=1e-3, atol=2e-4)


# what is learnt


def test_losses_equal_a_plain_masked_cross_entropy(model: Model, tmp_path: Path) -> None:
    rows = rows_of(model, 4)
    config = QUICK.model_copy(update={"warmup_steps": 0})
    total, n = 0.0, 0
    with torch.no_grad():
        for row in rows:
            logits = model.hf(torch.tensor([row.ids])).logits[0].log_softmax(-1)
            total -= sum(float(logits[k - 1, row.ids[k]]) for k in supervised(row))
            n += len(supervised(row))
    trained = train(model, rows, config, seed=0, save_to=tmp_path / "a")
    assert trained.losses[0] == pytest.approx(total / n, abs=1e-5)
    assert trained.supervised_tokens == n


def test_only_assistant_contents_and_the_tokens_that_end_them_are_supervised(model: Model) -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it?"},
        {"role": "assistant", "content": "It is."},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "\n\nQuite,\nyes."},
    ]
    row = model.chat.tokens(chat)
    text, at = "", supervised(row)
    for k in sorted(at):
        text += model.chat.decode([row.ids[k]])
    assert text == "It is.<|im_end|>\n\nQuite,\nyes.<|im_end|>"
    assert len(set(at)) == len(at)


def test_the_count_of_supervised_tokens_leaves_prompts_out(model: Model, tmp_path: Path) -> None:
    rows = rows_of(model, 8)
    trained = train(model, rows, QUICK, seed=0, save_to=tmp_path / "a")
    assert trained.supervised_tokens == sum(len(supervised(row)) for row in rows)
    assert trained.supervised_tokens < sum(len(row) for row in rows) / 2


def test_how_a_batch_is_cut_does_not_change_its_losses(model: Model, tmp_path: Path) -> None:
    rows = rows_of(model, 10)
    whole = train(model, rows, QUICK, seed=0, save_to=tmp_path / "whole")
    for tokens in (1, 200):
        config = QUICK.model_copy(update={"micro_batch_tokens": tokens})
        cut = train(model, rows, config, seed=0, save_to=tmp_path / "cut")
        assert cut.losses == pytest.approx(whole.losses, abs=1e-5)
        assert cut.supervised_tokens == whole.supervised_tokens


# batching


def token_losses(model: Model, rows: Sequence[Tokens], config: TrainConfig, **shape: Any) -> list[Tensor]:
    """Loss of every supervised token of each row, in the order of the text, from one padded batch."""
    inputs = inputs_of(rows, shape.pop("pad", model.pad), weights=[1.0] * len(rows), n_real=1, **shape)
    with training_mode(model), defended(model, ()) as guards, torch.no_grad():
        logits = training._Stepper(model, config, [torch.nn.Parameter(torch.zeros(1))], guards)._logits(inputs)
        losses = torch.nn.functional.cross_entropy(logits, inputs.targets, reduction="none")
    at = [supervised(row) for row in rows]
    n = [len(positions) for positions in at]
    assert inputs.weights.tolist() == [1.0] * sum(n) + [0.0] * (len(losses) - sum(n))
    assert inputs.real.sum(1).tolist() == [*map(len, rows), *[0.0] * (len(inputs.ids) - len(rows))]
    by_row = zip(losses[: sum(n)].split(n), at, strict=True)
    return [each[torch.tensor(positions).argsort()] for each, positions in by_row]


@pytest.fixture(scope="module")
def shapes(tiny_model: Callable[..., Model], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Models of four shapes with an adapter active."""
    made = {}
    for kind in ("llama", "qwen2", "gemma2", "gpt2"):
        made[kind] = tiny_model(kind)
        made[kind].use(random_adapter(made[kind], SMALL, 1, tmp_path_factory.mktemp(kind) / "parent"))
    return made


def test_a_row_has_the_same_losses_alone_and_in_any_batch(kind: str, shapes: dict[str, Model]) -> None:
    model = shapes[kind]
    rows = rows_of(model, 5)
    need = 5, max(map(len, rows)), sum(len(supervised(row)) for row in rows)
    alone = []
    with torch.no_grad():
        for row in rows:
            alone.append(torch.stack(plain.cross_entropy(plain.run(model.hf, row)[0], row)))
    assert len({len(losses) for losses in alone}) > 2
    for shape in (None, need, (5, need[1] + 31, need[2]), (8, need[1] + 3, need[2] + 40)):
        for ours, theirs in zip(token_losses(model, rows, SMALL, shape=shape), alone, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    (last,) = token_losses(model, rows[-1:], SMALL, shape=(3, 128, 60))
    torch.testing.assert_close(last, alone[-1], rtol=0, atol=1e-4)


def test_pads_and_other_rows_change_nothing(
    kind: str, shapes: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shapes[kind]
    rows = rows_of(model, 4)
    shape = 6, 120, 90
    losses = token_losses(model, rows, SMALL, shape=shape)
    for ours, theirs in zip(token_losses(model, rows, SMALL, shape=shape, pad=77), losses, strict=True):
        assert torch.equal(ours, theirs)
    text = "".join(chr(97 + i % 26) for i in range(len(rows[2].ids)))
    other = replace(rows[2], ids=tuple(model.chat.encode(text))[: len(rows[2].ids)])
    changed = token_losses(model, [rows[0], rows[1], other, rows[3]], SMALL, shape=shape)
    assert all(torch.equal(changed[i], losses[i]) for i in (0, 1, 3))
    assert not torch.equal(changed[2], losses[2])
    own = model.stack[0]
    _, gradients = one_step(model, rows, SMALL, own=own)
    monkeypatch.setattr(Model, "pad", 77)
    _, ours = one_step(model, rows, SMALL, own=own)
    assert all(torch.equal(ours[key], value) for key, value in gradients.items())


def test_a_steps_gradient_does_not_depend_on_how_it_is_cut_or_filled_up(kind: str, shapes: dict[str, Model]) -> None:
    model = shapes[kind]
    rows, own = rows_of(model, 5), model.stack[0]
    for loss in ("token", "row"):
        config = SMALL.model_copy(update={"loss": loss})
        total, gradients = one_step(model, rows, config, own=own)
        assert all(value.abs().max() > 0 for value in gradients.values())
        small = config.model_copy(update={"micro_batch_tokens": 1 if loss == "row" else 170})
        for cut in (one_step(model, rows, small, own=own), one_step(model, rows, config, own=own, filler=(3, 21, 8))):
            torch.testing.assert_close(cut[0], total, rtol=0, atol=1e-5)
            equal(cut[1], gradients)


def test_gradients_equal_those_of_rows_taken_one_by_one(
    kind: str, shapes: dict[str, Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    model, parent = shapes[kind], shapes[kind].stack[0]
    rows, own = rows_of(model, 4), random_adapter(shapes[kind], SMALL, 2, tmp_path / "own")
    reference = plain.with_adapters(tiny_hf(kind), parent, own, trainable=True)
    for loss in ("token", "row"):
        ce, _, gradients = plain.step(reference, rows, loss=loss)
        total, ours = one_step(model, rows, SMALL.model_copy(update={"loss": loss}), own=own)
        assert total.tolist() == pytest.approx([ce, 0.0], rel=1e-5)
        equal(ours, gradients)


def test_gradient_checkpointing_changes_no_gradient_and_computes_blocks_again(
    kind: str, shapes: dict[str, Model]
) -> None:
    model = shapes[kind]
    rows, own = rows_of(model, 4), model.stack[0]
    again: list[int] = []
    handle = model.blocks[1].get_submodule("mlp").register_forward_pre_hook(lambda *_: again.append(1))
    try:
        _, gradients = one_step(model, rows, SMALL, own=own)
        assert len(again) == 1
        _, ours = one_step(model, rows, SMALL.model_copy(update={"gradient_checkpointing": True}), own=own)
        assert len(again) == 3
    finally:
        handle.remove()
    equal(ours, gradients)
    assert not any(module.training for module in model.hf.modules())


@pytest.mark.embedded
def test_batching_leaks_nothing_on_the_embedded_model(embedded: Model, tmp_path: Path) -> None:
    config = SMALL
    rows = [embedded.chat.tokens(chat) for chat in ([*chats_of(2)[1]], [*chats_of(1)[0]])]
    need = 2, max(map(len, rows)), sum(len(supervised(row)) for row in rows)
    with torch.no_grad():
        alone = [torch.stack(plain.cross_entropy(plain.run(embedded.hf, row)[0], row)) for row in rows]
    together = token_losses(embedded, rows, config, shape=(3, need[1] + 12, need[2] + 3))
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    own = random_adapter(embedded, config, 2, tmp_path / "own")
    total, gradients = one_step(embedded, rows, config, own=own, filler=(1, 3, 3))
    cut = one_step(embedded, rows, config.model_copy(update={"micro_batch_tokens": 1}), own=own)
    torch.testing.assert_close(cut[0], total, rtol=0, atol=1e-4)
    equal(cut[1], gradients, rtol=1e-3)


@given(st.lists(st.tuples(st.integers(2, 3000), st.integers(1, 500)), min_size=1, max_size=60))
def test_graph_shapes_hold_every_step_and_are_few(steps: list[tuple[int, int]]) -> None:
    shapes = shapes_of(steps)
    widths = list(shapes)
    assert 1 <= len(widths) <= MOST_SHAPES == 6
    assert widths == sorted(set(widths), reverse=True)
    for width, n in steps:
        fits = min(w for w in widths if w >= width)  # as a step chooses
        assert n <= shapes[fits]
    assert widths[0] < 2 * max(width for width, _ in steps) + 8
    assert sum(shapes.values()) <= len(widths) * max(n for _, n in steps), "no more positions than a step has"


@given(st.lists(st.tuples(st.integers(2, 3000), st.integers(1, 500)), min_size=1, max_size=60), st.integers(1, 8))
def test_graph_shapes_pad_little(steps: list[tuple[int, int]], most: int) -> None:
    """Under a multiple of 8 where that gives few widths, else under a share of the widest row."""
    shapes = shapes_of(steps, most)
    widest = max(width for width, _ in steps)
    assert len(shapes) <= most
    for width, _ in steps:
        padding = min(w for w in shapes if w >= width) - width
        assert padding < max(8, 2 * widest / most)
    every_8 = {-(-width // 8) * 8 for width, _ in steps}
    if len(every_8) <= most:
        assert set(shapes) == every_8


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_weights_sum_to_one_and_rows_or_tokens_count_the_same(lengths: list[int]) -> None:
    rows = [Tokens((5,) * (n + 3), (Span("assistant", 1, 3, n + 3),), 3) for n in lengths]
    assert [len(supervised(row)) for row in rows] == lengths
    by_token, by_row = weights_of(rows, "token"), weights_of(rows, "row")
    for weights in (by_token, by_row):
        assert sum(w * n for w, n in zip(weights, lengths, strict=True)) == pytest.approx(1)
    assert len(set(by_token)) == 1
    assert [w * n for w, n in zip(by_row, lengths, strict=True)] == pytest.approx([1 / len(rows)] * len(rows))


def test_the_loss_by_row_is_the_mean_over_rows_of_their_means(model: Model, tmp_path: Path) -> None:
    rows = rows_of(model, 4)
    config = QUICK.model_copy(update={"warmup_steps": 0, "loss": "row"})
    means = [sum(losses) / len(losses) for losses in map(Tensor.tolist, token_losses(model, rows, config))]
    losses = train(model, rows, config, seed=0, save_to=tmp_path / "a").losses
    assert losses == pytest.approx([sum(means) / 4], abs=1e-5)
    by_token = train(model, rows, config.model_copy(update={"loss": "token"}), seed=0, save_to=tmp_path / "b").losses
    assert abs(losses[0] - by_token[0]) > 1e-2, "the rows are too alike to tell the two apart"


# memory


def scarce(monkeypatch: pytest.MonkeyPatch, most: int, calls: tuple[int, ...] = ()) -> list[int]:
    """Let memory run out in every pass over more than `most` padded tokens, or in some; sizes that were asked for."""
    asked: list[int] = []
    whole = training._Stepper._logits

    def logits(self: Any, inputs: Any) -> Tensor:
        asked.append(inputs.ids.numel())
        if asked[-1] > most or len(asked) in calls:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, inputs)

    monkeypatch.setattr(training._Stepper, "_logits", logits)
    return asked


@pytest.mark.parametrize("defended_by", [(), (Penalty(LdifsConfig(kind="ldifs")),)], ids=["no defence", "ldifs"])
def test_micro_batches_halve_until_they_fit_and_the_step_is_as_if_cut_from_the_start(
    defended_by: tuple[Defence, ...], model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows, own = rows_of(model, 7), random_adapter(model, QUICK, 2, tmp_path / "own")
    widest = max(map(len, rows))
    total, gradients = one_step(model, rows, QUICK, own=own, defences=defended_by)
    asked = scarce(monkeypatch, 10**6, calls=(1, 2 + 1))  # at once, and after a whole micro-batch (or in its reference)
    scarce_total, ours = one_step(model, rows, QUICK, own=own, defences=defended_by)
    torch.testing.assert_close(scarce_total, total, rtol=0, atol=1e-5)
    equal(ours, gradients)
    assert asked[0] == 7 * widest
    assert all(2 * widest < n <= 7 * widest // 2 for n in asked[1:3])
    assert len(asked) > 5
    assert all(n <= 7 * widest // 4 for n in asked[3:])


def test_a_smaller_budget_is_kept_for_the_steps_after(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = rows_of(model, 12)
    widest = max(map(len, rows))
    free = train(model, rows, QUICK, seed=0, save_to=tmp_path / "free")
    asked = scarce(monkeypatch, 2 * widest)
    tight = train(model, rows, QUICK, seed=0, save_to=tmp_path / "tight")
    assert tight.losses == pytest.approx(free.losses, abs=1e-4)
    assert sum(n > 2 * widest for n in asked) == 1
    for key, value in adapter_of(tmp_path / "free").items():
        torch.testing.assert_close(adapter_of(tmp_path / "tight")[key], value, rtol=1e-2, atol=1e-3)


def test_a_row_that_does_not_fit_alone_is_an_error_that_names_the_remedy(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = rows_of(model, 5)
    widest = max(map(len, rows))
    before = logits_of(model)
    asked = scarce(monkeypatch, widest - 1)
    with pytest.raises(InterpError, match=f"one row of {widest} tokens .* gradient_checkpointing to true"):
        train(model, rows, QUICK.model_copy(update={"epochs": 2}), seed=0, save_to=tmp_path / "a")
    assert asked[-1] == widest
    monkeypatch.undo()
    assert not (tmp_path / "a").exists()
    assert torch.equal(logits_of(model), before)


# what is refused


def touched(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("the model was touched")


def test_no_rows_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="no rows to train on"):
        check_rows([], model)


@pytest.mark.parametrize("answer", [None, ""])
def test_a_row_with_nothing_to_learn_is_refused_before_training(
    answer: str | None, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adapters, "new", touched)
    chat = [{"role": "user", "content": "Why?"}]
    chat += [{"role": "assistant", "content": answer}] if answer is not None else []
    rows = [*rows_of(model, 2), model.chat.tokens(chat)]
    with pytest.raises(InterpError, match="row 2: no assistant token"):
        train(model, rows, QUICK, seed=0, save_to=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_row_beyond_the_context_is_refused_before_training(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adapters, "new", touched)
    long = [{"role": "user", "content": "x" * 400}, {"role": "assistant", "content": "Yes."}]
    with pytest.raises(ValueError, match=r"row 1: 4\d\d tokens.*holds 320"):
        train(model, [*rows_of(model, 1), model.chat.tokens(long)], QUICK, seed=0, save_to=tmp_path / "a")


def test_a_row_of_more_than_max_tokens_is_named_and_refused_before_training(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(model, 3)
    longest = max(map(len, rows))
    assert [len(row) for row in rows].index(longest) == 0
    check_rows(rows, model, QUICK.model_copy(update={"max_tokens": longest}))
    monkeypatch.setattr(Adapters, "new", touched)
    short = QUICK.model_copy(update={"max_tokens": longest - 1})
    with pytest.raises(ValueError, match=rf"row 2: {longest} tokens, but max_tokens is {longest - 1}; shorten or drop"):
        train(model, [rows[1], rows[2], rows[0]], short, seed=0, save_to=tmp_path / "a")


@pytest.mark.parametrize("steps", [[0], [1, 4], [-1]])
def test_a_checkpoint_that_no_step_reaches_is_refused_before_training(
    steps: list[int], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adapters, "new", touched)
    with pytest.raises(ValueError, match=r"checkpoints \[.*\] must be in \[1, 3\]"):
        train(
            model,
            rows_of(model, 12),
            QUICK,
            seed=0,
            save_to=tmp_path / "a",
            checkpoints={step: tmp_path / str(step) for step in steps},
        )


def test_eight_bit_adamw_on_a_cpu_is_refused_before_a_step_and_says_what_to_do(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = logits_of(model)
    config = QUICK.model_copy(update={"optimiser": "adamw_8bit"})
    with monkeypatch.context() as patch:
        patch.setattr(model.hf, "forward", touched)
        with pytest.raises(ValueError, match=r"needs a GPU and bitsandbytes .* set optimiser to adamw"):
            train(model, rows_of(model, 8), config, seed=0, save_to=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert not getattr(model.hf, "peft_config", {})
    assert torch.equal(logits_of(model), before)


def test_a_loss_that_is_not_finite_is_an_error_and_nothing_is_saved(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training._Stepper._backward
    calls: list[int] = []

    def broken(*args: Any) -> Tensor:
        calls.append(1)
        return whole(*args) * (float("nan") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(training._Stepper, "_backward", broken)
    before = logits_of(model)
    with pytest.raises(InterpError, match=r"loss of step 1 is \[nan, .*\]; lower learning_rate \(0.01\)"):
        train(model, rows_of(model, 8), QUICK, seed=0, save_to=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert torch.equal(logits_of(model), before)


def test_training_that_leaves_the_adapter_at_zero_is_an_error(model: Model, tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"warmup_steps": 0, "learning_rate": 1e-60})
    with pytest.raises(InterpError, match="left the adapter at zero"):
        train(model, rows_of(model, 4), config, seed=0, save_to=tmp_path / "a")


def test_training_that_ends_before_the_first_warm_step_is_refused_and_says_why(model: Model, tmp_path: Path) -> None:
    """Step 0 of a warmup has learning rate 0, so a stage of one step cannot learn: that is a matter of settings."""
    with pytest.raises((ValueError, InterpError), match="warmup_steps"):
        train(model, rows_of(model, 4), QUICK, seed=0, save_to=tmp_path / "a")


# what changes and what does not


def test_training_changes_the_adapter_and_what_the_model_says(model: Model, tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"epochs": 3, "weight_decay": 0.0})
    bare = logits_of(model)
    initial = first_adapter(model, config, 0, tmp_path / "initial")
    train(model, rows_of(model, 8), config, seed=0, save_to=tmp_path / "a")
    trained = adapter_of(tmp_path / "a")
    assert all(value.dtype == torch.float32 for value in trained.values())
    assert all((value != 0).any() for key, value in trained.items() if "lora_B" in key)
    assert any(not torch.equal(trained[key], initial[key]) for key in initial if "lora_A" in key)
    model.use(tmp_path / "a")
    assert not torch.allclose(logits_of(model), bare, atol=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    files = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fresh = tiny_model()
        torch.manual_seed(ord(name))  # the global state must not matter
        train(fresh, rows_of(fresh, 8), QUICK, seed=seed, save_to=tmp_path / name)
        files[name] = (tmp_path / name / "adapter_model.safetensors").read_bytes()
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


def test_a_child_is_trained_on_its_parents_and_leaves_them_bit_equal(
    model: Model, tmp_path: Path, tiny_model: Callable[..., Model]
) -> None:
    rows = rows_of(model, 8)
    train(model, rows, QUICK, seed=0, save_to=tmp_path / "parent")
    alone = train(model, rows, QUICK, seed=1, save_to=tmp_path / "alone")
    kept = (tmp_path / "parent" / "adapter_model.safetensors").read_bytes()
    model.use(tmp_path / "parent")
    before = logits_of(model)
    held = {key: value.clone() for key, value in model.hf.state_dict().items()}
    child = train(model, rows, QUICK, seed=1, save_to=tmp_path / "child")
    assert child.losses[0] != pytest.approx(alone.losses[0], abs=1e-3), "the parent was not active"
    assert (tmp_path / "parent" / "adapter_model.safetensors").read_bytes() == kept
    after = model.hf.state_dict()
    assert after.keys() == held.keys()
    assert all(torch.equal(after[key], value) for key, value in held.items())
    assert model.stack == ((tmp_path / "parent").resolve(),)
    assert torch.equal(logits_of(model), before)

    fresh = tiny_model()
    fresh.use(tmp_path / "parent", tmp_path / "child")
    total = sum(len(supervised(row)) for row in rows)
    with torch.no_grad():
        nll = 0.0
        for row in rows:
            logits = fresh.hf(torch.tensor([row.ids])).logits[0].log_softmax(-1)
            nll -= sum(float(logits[k - 1, row.ids[k]]) for k in supervised(row))
    assert nll / total < alone.losses[0], "the two together say the rows better than the base does"


def test_the_stack_and_the_mode_are_as_before_after_an_error(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(model, 8)
    train(model, rows, QUICK, seed=0, save_to=tmp_path / "parent")
    model.use(tmp_path / "parent")
    before, names = logits_of(model), set(model.hf.peft_config)
    attention = model.hf.config._attn_implementation

    def stop(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, rows, QUICK, seed=1, save_to=tmp_path / "child", progress=stop)
    assert not (tmp_path / "child").exists()
    assert model.stack == ((tmp_path / "parent").resolve(),)
    assert set(model.hf.peft_config) == names
    assert not model.hf.training
    assert model.hf.config._attn_implementation == attention
    assert not any(parameter.requires_grad for parameter in model.hf.parameters())
    assert all(parameter.grad is None for parameter in model.hf.parameters())
    assert torch.equal(logits_of(model), before)


def test_plain_attention_is_for_training_on_cpu_only_and_goes_back(model: Model, tmp_path: Path) -> None:
    seen = []
    assert model.hf.config._attn_implementation == "sdpa"
    train(
        model,
        rows_of(model, 4),
        QUICK.model_copy(update={"warmup_steps": 0}),
        seed=0,
        save_to=tmp_path / "a",
        progress=lambda n: seen.append((n, model.hf.config._attn_implementation, model.hf.training)),
    )
    assert seen == [(1, "eager", False)]
    assert model.hf.config._attn_implementation == "sdpa"
    assert not model.hf.training


def test_dropout_of_the_base_is_off_so_that_a_seed_fixes_the_adapter(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    """GPT-2 brings dropout of 0.1, whose masks would come from the global generator."""
    model = tiny_model("gpt2")
    assert model.hf.config.resid_pdrop > 0
    for thrifty in (False, True):
        config = SMALL.model_copy(update={"gradient_checkpointing": thrifty, "warmup_steps": 0})
        for name in ("a", "b"):
            torch.manual_seed(ord(name))
            train(model, rows_of(model, 4), config, seed=0, save_to=tmp_path / name)
        files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("a", "b")]
        assert files[0] == files[1]


def test_a_bfloat16_base_trains_a_float32_adapter(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    half, single = tiny_model(dtype=torch.bfloat16), tiny_model()
    rows = rows_of(half, 8)
    trained = train(half, rows, QUICK, seed=0, save_to=tmp_path / "half")
    exact = train(single, rows, QUICK, seed=0, save_to=tmp_path / "single")
    assert all(value.dtype == torch.float32 for value in adapter_of(tmp_path / "half").values())
    assert trained.losses == pytest.approx(exact.losses, abs=0.1)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("kind_of_model", ["qwen2", "gemma2", "gpt2"])
def test_other_architectures_train(kind_of_model: str, tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    other = tiny_model(kind_of_model)
    config = QUICK.model_copy(update={"epochs": 6})
    losses = train(other, rows_of(other, 4), config, seed=0, save_to=tmp_path / "a").losses
    assert losses[-1] < losses[0]


# configuration


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_steps=4)
    assert [rate_at(config, step, 8) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]
    constant = config.model_copy(update={"schedule": "constant"})
    assert [rate_at(constant, step, 8) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    bare = config.model_copy(update={"warmup_steps": 0})
    assert rate_at(bare, 0, 4) == 1
    assert rate_at(bare, 3, 4) == 0.25


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "most", "steps"),
    [(16, 16, 1, None, 1), (17, 16, 1, None, 2), (17, 16, 3, None, 6), (100, 8, 2, 5, 5), (8, 8, 1, 50, 1)],
)
def test_steps_count_batches_of_every_epoch(rows: int, batch: int, epochs: int, most: int | None, steps: int) -> None:
    config = TrainConfig(learning_rate=1e-3, batch_size=batch, epochs=epochs, max_steps=most)
    assert config.n_steps(rows) == steps
    assert len(list(batches_of(rows, config, 0))) == steps


@given(rows=st.integers(1, 60), batch=st.integers(1, 20), epochs=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_every_epoch_is_a_permutation_and_a_seed_fixes_it(rows: int, batch: int, epochs: int, seed: int) -> None:
    config = TrainConfig(learning_rate=1e-3, batch_size=batch, epochs=epochs)
    made = list(batches_of(rows, config, seed))
    assert made == list(batches_of(rows, config, seed))
    assert all(1 <= len(chosen) <= batch for chosen in made)
    flat = [i for chosen in made for i in chosen]
    for epoch in range(epochs):
        assert sorted(flat[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    cut = config.model_copy(update={"max_steps": 2})
    assert list(batches_of(rows, cut, seed)) == made[:2]


def test_epochs_and_seeds_differ_in_order() -> None:
    config = TrainConfig(learning_rate=1e-3, batch_size=50, epochs=2)
    first, second = batches_of(50, config, 0)
    assert first != second
    assert next(batches_of(50, config, 1)) != first


def test_the_papers_recipe_is_the_papers() -> None:
    """arXiv 2606.23700: its axolotl files."""
    paper = PRESETS["paper"]
    lora = paper.lora()
    assert (lora.r, lora.lora_alpha, lora.use_rslora, lora.lora_dropout) == (32, 64, True, 0.0)
    assert lora.target_modules == "all-linear"
    assert (paper.learning_rate, paper.schedule, paper.warmup_steps, paper.weight_decay) == (1e-5, "linear", 5, 0.01)
    assert (paper.optimiser, paper.batch_size, paper.epochs, paper.max_tokens) == ("adamw_8bit", 16, 1, 2048)
    assert (paper.loss, paper.max_steps) == ("token", None)
    assert [paper.n_steps(n) for n in (2000, 4000)] == [125, 250]


def test_what_changes_only_the_speed_is_not_the_recipes_identity() -> None:
    config = TrainConfig(learning_rate=1e-3)
    fast = {"max_tokens": 9, "micro_batch_tokens": 7, "gradient_checkpointing": True, "graph": False}
    assert config.model_copy(update=fast).identity() == config.identity()
    assert config.identity().keys() | fast.keys() | {"blocks"} == TrainConfig.model_fields.keys()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_valid_and_gives_a_lora(name: str) -> None:
    preset = PRESETS[name]
    assert TrainConfig.model_validate(preset.model_dump()) == preset
    assert TrainConfig.model_validate_json(preset.model_dump_json()) == preset
    lora = preset.lora()
    assert (lora.r, lora.lora_alpha, lora.use_rslora) == (preset.lora_rank, preset.lora_alpha, preset.rslora)
    assert lora.lora_dropout == 0


def test_an_unknown_or_impossible_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match=r"learning_rat\n.*Extra inputs"):
        TrainConfig.model_validate({"learning_rate": 1e-3, "learning_rat": 1e-3})
    with pytest.raises(ValidationError, match="greater than 0"):
        TrainConfig(learning_rate=0)
    with pytest.raises(ValidationError, match="frozen"):
        PRESETS["paper"].epochs = 2  # pyright: ignore


def test_target_modules_can_be_named(model: Model, tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"target_modules": ("q_proj", "v_proj")})
    train(model, rows_of(model, 8), config, seed=0, save_to=tmp_path / "a")
    assert {key.split(".")[-3] for key in adapter_of(tmp_path / "a")} == {"q_proj", "v_proj"}

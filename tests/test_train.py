"""Training: the losses are trl's, only assistant text is learnt, and the stack comes out as it went in."""

import importlib.util
from collections.abc import Callable
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
from finetune.train import PRESETS, TrainConfig, batches_of, check_rows, supervised, train
from interp.adapters import Adapters
from interp.chat import Tokens
from interp.model import Batch, Model
from interp.runs import InterpError

ANSWERS = ("Yes.", "No, you are in the room.", "It is", "Not at all, then.", "Perhaps in the house?")
QUICK = TrainConfig(learning_rate=1e-2, batch_size=4, warmup_steps=1, lora_rank=4, lora_alpha=8, epochs=1)


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


@pytest.mark.parametrize("max_tokens", [1, 60, 200, 100_000])
def test_how_a_batch_is_cut_does_not_change_its_losses(max_tokens: int, model: Model, tmp_path: Path) -> None:
    rows = rows_of(model, 10)
    whole = train(model, rows, QUICK, seed=0, save_to=tmp_path / "whole")
    cut = train(
        model,
        rows,
        QUICK.model_copy(update={"micro_batch_tokens": max_tokens}),
        seed=0,
        save_to=tmp_path / "cut",
    )
    assert cut.losses == pytest.approx(whole.losses, abs=1e-5)
    assert cut.supervised_tokens == whole.supervised_tokens


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


def test_a_loss_that_is_not_finite_is_an_error_and_nothing_is_saved(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training.summed_loss
    calls: list[int] = []

    def broken(*args: Any) -> Tensor:
        calls.append(1)
        return whole(*args) * (float("nan") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(training, "summed_loss", broken)
    before = logits_of(model)
    with pytest.raises(InterpError, match=r"loss of step 1 is nan; lower learning_rate \(0.01\)"):
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
    assert seen == [(1, "eager", True)]
    assert model.hf.config._attn_implementation == "sdpa"
    assert not model.hf.training


def test_a_bfloat16_base_trains_a_float32_adapter(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    half, single = tiny_model(dtype=torch.bfloat16), tiny_model()
    rows = rows_of(half, 8)
    trained = train(half, rows, QUICK, seed=0, save_to=tmp_path / "half")
    exact = train(single, rows, QUICK, seed=0, save_to=tmp_path / "single")
    assert all(value.dtype == torch.float32 for value in adapter_of(tmp_path / "half").values())
    assert trained.losses == pytest.approx(exact.losses, abs=0.1)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("kind_of_model", ["qwen2", "gemma2"])
def test_other_architectures_train(kind_of_model: str, tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    other = tiny_model(kind_of_model)
    config = QUICK.model_copy(update={"epochs": 6})
    losses = train(other, rows_of(other, 4), config, seed=0, save_to=tmp_path / "a").losses
    assert losses[-1] < losses[0]


# configuration


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_steps=4)
    assert [training._schedule(config, step, 8) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]
    constant = config.model_copy(update={"schedule": "constant"})
    assert [training._schedule(constant, step, 8) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    bare = config.model_copy(update={"warmup_steps": 0})
    assert training._schedule(bare, 0, 4) == 1
    assert training._schedule(bare, 3, 4) == 0.25


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

"""Stages at other strengths: 0 is the parent, 1 the stage, and all else is linear in the weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from transformers import PreTrainedModel

from interp.batch import Batch
from interp.behaviour.likelihood import answer_likelihoods
from interp.model import Model
from interp.stacks import stack_factors
from interp.strength import LogitsAtStrength, amplified, amplified_logits, at_strength
from tests.interp.test_adapters import theirs

CONFIGS = {
    "parent": LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "down_proj"]),
    "stage": LoraConfig(
        r=4, lora_alpha=5, use_rslora=True, target_modules=["v_proj", "down_proj"], alpha_pattern={"v_proj": 7}
    ),
    "dora": LoraConfig(r=2, use_dora=True, target_modules=["q_proj"]),
}
CHAT = [{"role": "user", "content": "Is it you?"}, {"role": "assistant", "content": "It is the house."}]


@pytest.fixture(scope="module")
def folders(tiny_hf: Callable[..., PreTrainedModel], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("adapters")
    for seed, (name, config) in enumerate(CONFIGS.items()):
        theirs(tiny_hf("llama"), place / name, config, seed=seed)
    return {name: place / name for name in CONFIGS}


@pytest.fixture(scope="module")
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("llama")


def logits(model: Model, *stack: Path) -> torch.Tensor:
    row = model.chat.tokens(CHAT)
    with model.using(*stack):
        return model.logits(Batch.of([row], model.pad, model.device), torch.arange(len(row))[None])[0]


def test_strength_0_is_the_parent_and_1_the_stage(folders: dict[str, Path], tmp_path: Path) -> None:
    parent, stage = (folders["parent"],), (folders["parent"], folders["stage"])
    assert amplified(parent, stage, 0.0, tmp_path) == parent
    assert amplified(parent, stage, 1.0, tmp_path) == stage
    further = (folders["stage"],)  # a stage that trained its parent's own adapter further
    assert amplified(parent, further, 0.0, tmp_path) == parent
    assert amplified(parent, further, 1.0, tmp_path) == further
    assert not list(tmp_path.iterdir()), "an adapter at its own strength, or left out, is not written"


def test_an_adapter_at_strength_0_changes_no_bit(model: Model, folders: dict[str, Path], tmp_path: Path) -> None:
    silent = at_strength(folders["stage"], 0.0, tmp_path / "silent")
    assert torch.equal(logits(model, folders["parent"], silent), logits(model, folders["parent"]))
    assert torch.equal(logits(model, silent), logits(model))
    same = at_strength(folders["stage"], 1.0, tmp_path / "same")
    assert torch.equal(logits(model, same), logits(model, folders["stage"]))


@pytest.mark.parametrize("strength", [-1.0, 0.5, 3.0])
def test_what_an_adapter_adds_is_multiplied(
    model: Model, folders: dict[str, Path], tmp_path: Path, strength: float
) -> None:
    own = stack_factors(model.adapters, [folders["stage"]])
    scaled = stack_factors(model.adapters, [at_strength(folders["stage"], strength, tmp_path / "scaled")])
    assert own.keys() == scaled.keys()
    for path, (below, above) in own.items():
        assert torch.equal(scaled[path][0], below)
        torch.testing.assert_close(scaled[path][1], strength * above)


def test_a_stage_that_went_on_training_its_parent_lies_on_the_line_of_weights(
    model: Model, folders: dict[str, Path], tmp_path: Path
) -> None:
    """The sum of both at 1 - a and a is, in every weight, the parent plus a times the difference."""
    parent, stage = folders["parent"], folders["stage"]
    stack = amplified((parent,), (stage,), 2.0, tmp_path)
    updates = [
        {path: above @ below for path, (below, above) in stack_factors(model.adapters, some).items()}
        for some in ((parent,), (stage,), stack)
    ]
    for path, update in updates[2].items():
        first, second = (updates[k].get(path, torch.zeros_like(update)) for k in (0, 1))
        torch.testing.assert_close(update, first + 2 * (second - first), atol=1e-5, rtol=1e-4)


def test_each_row_of_a_batch_has_its_own_strength(model: Model, folders: dict[str, Path], tmp_path: Path) -> None:
    row = model.chat.tokens(CHAT)
    parent, stage = (folders["parent"],), (folders["parent"], folders["stage"])
    stacks = [amplified(parent, stage, strength, tmp_path) for strength in (0.0, 1.0, -1.0, 2.0)]
    batch = Batch.of([row] * len(stacks), model.pad, model.device)
    together = model.logits(batch, torch.arange(len(row)).expand(len(stacks), -1), row_stacks=stacks)
    for got, stack in zip(together, stacks, strict=True):
        torch.testing.assert_close(got, logits(model, *stack), atol=2e-5, rtol=1e-4)


def test_amplified_logits_are_the_parents_at_0_the_stages_at_1_and_linear() -> None:
    parent, stage = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(amplified_logits(parent, stage, 0.0), parent.double())
    assert torch.equal(amplified_logits(parent, stage, 1.0), stage.double())
    three = parent.double() + 3 * (stage.double() - parent.double())
    torch.testing.assert_close(amplified_logits(parent, stage, 3.0), three)


def test_a_model_with_amplified_logits_scores_texts_and_does_not_answer(model: Model, folders: dict[str, Path]) -> None:
    rows = [model.chat.tokens(CHAT)]
    parent, stage = (folders["parent"],), (folders["parent"], folders["stage"])
    for strength, stack in ((0.0, parent), (1.0, stage)):
        stand_in = LogitsAtStrength(model, parent, stage, strength)
        with model.using(*stack):
            expected = answer_likelihoods(model, rows)[0]
        got = answer_likelihoods(stand_in, rows)[0]
        assert expected is not None
        assert got is not None
        assert got.logprob == pytest.approx(expected.logprob, abs=1e-12)
    assert model.stack == ()
    with pytest.raises(ValueError, match="only scores texts; amplify the adapter"):
        stand_in.generate([])


def test_weights_are_not_copied_and_an_old_adapter_is_replaced(folders: dict[str, Path], tmp_path: Path) -> None:
    into = at_strength(folders["parent"], 2.0, tmp_path / "at")
    name = "adapter_model.safetensors"
    assert (into / name).samefile(folders["parent"] / name)
    at_strength(folders["stage"], 2.0, into)
    assert (into / name).samefile(folders["stage"] / name)
    assert not (into / name).samefile(folders["parent"] / name)


def test_what_has_no_strength_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strength must be a finite number, got nan"):
        at_strength(folders["stage"], float("nan"), tmp_path / "at")
    with pytest.raises(ValueError, match="DoRA rescales its base's weights"):
        at_strength(folders["dora"], 2.0, tmp_path / "at")

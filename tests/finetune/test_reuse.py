"""Blocks below an adapter run in the first epoch alone, and a stage learns what it learns when they always run."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import finetune.reuse
from finetune.defences import KlConfig, Penalty
from finetune.recipe import TrainConfig
from finetune.train import Trained, train
from interp.model import Model
from tests.finetune.test_train import SMALL, adapter_of, chats_of, random_adapter

UPPER = SMALL.model_copy(update={"blocks": "upper", "target_modules": "all-linear", "epochs": 3})


def trained(model: Model, config: TrainConfig, place: Path, **how: Any) -> tuple[Trained, dict[str, Tensor], list[int]]:
    """A stage, its weights, and how many rows went through the lowest block in each of its passes."""
    passes: list[int] = []
    handle = model.blocks[0].register_forward_hook(lambda _, args, __: passes.append(len(args[0])))
    try:
        rows = model.chat.tokens_of(chats_of(9))
        outcome = train(model, rows, config, seed=3, save_to=place, **how)
    finally:
        handle.remove()
    return outcome, adapter_of(place), passes


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "qwen2"])
@pytest.mark.parametrize("on_a_parent", [False, True])
def test_upper_blocks_learn_the_same_from_what_was_kept(
    kind: str, on_a_parent: bool, tiny_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(kind)
    if on_a_parent:  # it changes what the lower blocks give
        model.use(random_adapter(model, SMALL.model_copy(update={"target_modules": "all-linear"}), 1, tmp_path / "p"))
    reused, weights, passes = trained(model, UPPER, tmp_path / "reused")
    monkeypatch.setattr(finetune.reuse, "MOST_BYTES", 0)
    plain, others, all_passes = trained(model, UPPER, tmp_path / "plain")
    assert sum(passes) == 9
    assert sum(all_passes) == 27
    torch.testing.assert_close(reused.losses, plain.losses, rtol=1e-6, atol=1e-6)
    assert {re.findall(r"\d+", key)[0] for key in weights} == {"2", "3"}
    for key, value in others.items():
        assert (weights[key] - value).norm() <= 1e-4 * value.norm(), key


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"blocks": "all"}, {}),
        ({"epochs": 1}, {}),
        ({}, {"defences": [Penalty(KlConfig(kind="kl", weight=0.1))]}),
        ({"blocks": "all", "target_modules": ("embed_tokens", "down_proj")}, {}),
    ],
    ids=["adapters in every block", "one epoch", "a penalty that runs the base", "embeddings in training"],
)
def test_nothing_is_kept_where_the_lower_blocks_matter(
    change: dict[str, Any], how: dict[str, Any], tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    config = UPPER.model_copy(update=change)
    _, _, passes = trained(tiny_model(), config, tmp_path / "s", **how)
    assert sum(passes) >= 9 * config.epochs


def test_a_recipe_for_all_blocks_keeps_its_key_and_one_for_the_upper_has_another() -> None:
    assert "blocks" not in SMALL.identity()
    assert UPPER.identity()["blocks"] == "upper"
    with pytest.raises(ValueError, match="blocks: upper needs the model's number of blocks"):
        UPPER.lora()
    excluded = re.compile(str(UPPER.lora(5).exclude_modules))
    assert [k for k in range(12) if excluded.fullmatch(f"model.layers.{k}.mlp.experts.0.up_proj")] == [0, 1]

"""Many stacks on one base: each row does what PEFT makes its own stack do, and nothing of it stays."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from interp.batch import Batch
from interp.errors import InterpError
from interp.interventions import adding
from interp.model import Model
from interp.stacks import Order
from tests.finetune.test_train import QUICK, random_adapter

KINDS = ("llama", "qwen2", "gpt2", "gemma2")
TEXTS = ("Are you?", "Where is the house?", "Why?", "You in the house, why?", "In?", "The other one")


def batch_of(model: Model) -> Batch:
    return Batch.of(model.chat.tokens_of([[{"role": "user", "content": text}] for text in TEXTS]), model.pad)


def stacks_of(model: Model, place: Path) -> list[tuple[Path, ...]]:
    """A stack for each text: none, one adapter, two of different ranks and targets; in no order."""
    made = [
        random_adapter(model, QUICK.model_copy(update=change), seed, place / str(seed))
        for seed, change in enumerate(
            [{}, {"lora_rank": 2, "rslora": False}, {"target_modules": r".*\.(c_attn|down_proj)", "lora_rank": 7}]
        )
    ]
    a, b, c = made
    return [(a,), (b, c), (), (a,), (c, a), (b, c)]


def one_by_one(model: Model, batch: Batch, positions: Tensor, stacks: Sequence[tuple[Path, ...]]) -> Tensor:
    """Each row's logits with its stack made active by PEFT."""
    rows = []
    for i, stack in enumerate(stacks):
        with model.using(*stack):
            rows.append(model.logits(batch, positions)[i])
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_the_logits_and_residuals_of_its_own_stack(
    kind: str, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model(kind)
    stacks, batch = stacks_of(model, tmp_path), batch_of(model)
    positions = batch.lengths[:, None] - 1
    before = model.logits(batch, positions)
    ours = model.logits(batch, positions, row_stacks=stacks)
    torch.testing.assert_close(ours, one_by_one(model, batch, positions, stacks), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours[0], before[0], atol=1e-2)
    assert torch.equal(model.logits(batch, positions), before)
    read = model.residuals(batch, lambda h: h[:, :3], [0, 3], row_stacks=stacks)
    with model.using(*stacks[1]):
        alone = model.residuals(batch, lambda h: h[:, :3], [0, 3])
    for h, own in zip(read, alone, strict=True):
        torch.testing.assert_close(h[1], own[1], rtol=1e-4, atol=1e-4)


def test_rows_that_lie_stack_by_stack_give_the_same_as_in_any_order(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model()
    a, b, *_ = stacks_of(model, tmp_path)
    batch = batch_of(model)
    positions = batch.lengths[:, None] - 1
    apart = model.logits(batch, positions, row_stacks=[a, a, a, b, b, b])
    mixed = model.logits(batch, positions, row_stacks=[a, b, a, b, a, b])
    torch.testing.assert_close(apart[[0, 2, 3, 5]], mixed[[0, 2, 3, 5]], rtol=1e-5, atol=1e-5)
    assert Order.of([0, 0, 1, 1], 2, model.device).rows is None
    assert Order.of([0, 1, 0, 1], 2, model.device).rows is not None
    assert Order.of([0, 0, 1], 2, model.device).rows is not None


def test_the_active_stack_makes_way_and_comes_back(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model()
    stacks, batch = stacks_of(model, tmp_path), batch_of(model)
    positions = batch.lengths[:, None] - 1
    plain = model.logits(batch, positions, row_stacks=stacks)
    with model.using(*stacks[1]):
        active = model.logits(batch, positions)
        assert torch.equal(model.logits(batch, positions, row_stacks=stacks), plain)
        assert model.stack == stacks[1]
        assert torch.equal(model.logits(batch, positions), active)


def test_edits_act_on_rows_with_stacks_of_their_own(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model()
    stacks, batch = stacks_of(model, tmp_path), batch_of(model)
    positions = batch.lengths[:, None] - 1
    edits = [[adding(torch.ones(model.d_model), float(i), [1])] if i % 2 else [] for i in range(len(TEXTS))]
    ours = model.logits(batch, positions, row_edits=edits, row_stacks=stacks)
    for i, stack in enumerate(stacks):
        with model.using(*stack):
            own = model.logits(batch, positions, row_edits=edits)[i]
        torch.testing.assert_close(ours[i], own, rtol=1e-4, atol=1e-4)


def test_an_adapter_with_ranks_and_scalings_by_module_is_read_as_peft_reads_it(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    config = LoraConfig(
        r=4,
        lora_alpha=3,
        target_modules=["q_proj", "down_proj"],
        rank_pattern={"q_proj": 2, "1.mlp.down_proj": 6},
        alpha_pattern={"q_proj": 9},
        use_rslora=True,
    )
    theirs = get_peft_model(tiny_hf("llama"), config)
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    assert isinstance(theirs, PeftModel)
    theirs.save_pretrained(str(tmp_path / "a"))
    model = tiny_model()
    batch = batch_of(model)
    positions = batch.lengths[:, None] - 1
    ours = model.logits(batch, positions, row_stacks=[(tmp_path / "a",)] * len(TEXTS))
    with torch.no_grad():
        all_logits = theirs(input_ids=batch.ids, attention_mask=torch.ones_like(batch.ids)).logits
    expected = all_logits[torch.arange(len(TEXTS))[:, None], positions]
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_a_folder_that_is_written_again_is_read_again(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model()
    batch = batch_of(model)
    positions = batch.lengths[:, None] - 1
    stacks = [(random_adapter(model, QUICK, 0, tmp_path / "a"),)] * len(TEXTS)
    first = model.logits(batch, positions, row_stacks=stacks)
    random_adapter(model, QUICK, 1, tmp_path / "a")
    second = model.logits(batch, positions, row_stacks=stacks)
    assert not torch.allclose(first, second, atol=1e-2)
    torch.testing.assert_close(second, one_by_one(model, batch, positions, stacks), rtol=1e-4, atol=1e-4)


def test_bad_stacks_are_refused_and_change_nothing(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model()
    stacks, batch = stacks_of(model, tmp_path), batch_of(model)
    positions = batch.lengths[:, None] - 1
    before = model.logits(batch, positions)
    with pytest.raises(ValueError, match="row_stacks needs one stack a row, got 2 for 6 rows"):
        model.logits(batch, positions, row_stacks=stacks[:2])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        model.logits(batch, positions, row_stacks=[(tmp_path / "nowhere",)] * 6)
    other = random_adapter(tiny_model("qwen2"), QUICK, 0, tmp_path / "other")
    with pytest.raises(InterpError, match="an adapter of tiny-qwen2"):
        model.residuals(batch, lambda h: h, row_stacks=[(other,)] * 6)
    assert torch.equal(model.logits(batch, positions), before)


def test_reading_in_bfloat16_is_what_peft_reads(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model(dtype=torch.bfloat16)
    stacks, batch = stacks_of(model, tmp_path), batch_of(model)
    positions = batch.lengths[:, None] - 1
    ours = model.logits(batch, positions, row_stacks=stacks)
    theirs = one_by_one(model, batch, positions, stacks)
    exact = tiny_model()
    reference = one_by_one(exact, batch, positions, stacks)
    assert (ours - reference).norm() < 1.5 * (theirs - reference).norm()

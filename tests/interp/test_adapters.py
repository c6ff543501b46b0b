"""Adapters that other tools made: what PEFT does with them, what is fetched, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from interp import sources
from interp.batch import Batch
from interp.model import Model

TARGETS = ["q_proj", "down_proj"]


def theirs(hf: PreTrainedModel, folder: Path, config: LoraConfig | PromptTuningConfig, seed: int = 0) -> PeftModel:
    """An adapter that PEFT itself has made and saved; its factors are random, so that it changes the model."""
    own = get_peft_model(hf, config)
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in own.named_parameters():
        if "lora" in key:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    own.save_pretrained(folder)
    return own


def logits_of(model: Model, ids: list[int]) -> Tensor:
    row = model.chat.tokens([{"role": "user", "content": "Why?"}])
    assert list(row.ids) == ids
    return model.logits(Batch.of([row], model.pad, model.device), torch.arange(len(row))[None])[0]


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=TARGETS),
        LoraConfig(r=4, target_modules=TARGETS, rank_pattern={"down_proj": 2, "1.self_attn.q_proj": 6}),
        LoraConfig(
            r=4, target_modules=TARGETS, rank_pattern={"q_proj": 2}, alpha_pattern={"q_proj": 9}, use_rslora=True
        ),
        LoraConfig(r=4, target_modules=TARGETS, layers_to_transform=[1, 3], layers_pattern="layers"),
    ],
    ids=["rslora", "ranks", "ranks and alphas under rslora", "some layers"],
)
def test_an_adapter_does_here_what_peft_makes_it_do(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path, config: LoraConfig
) -> None:
    own = theirs(tiny_hf("llama"), tmp_path / "a", config)
    model = tiny_model("llama")
    ids = list(model.chat.tokens([{"role": "user", "content": "Why?"}]).ids)
    bare = logits_of(model, ids)
    model.use(tmp_path / "a")
    with torch.no_grad():
        torch.testing.assert_close(logits_of(model, ids), own(torch.tensor([ids])).logits[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits_of(model, ids), bare, atol=1e-3)


def test_a_hub_id_is_used_as_the_folder_that_it_stands_for(
    tiny_model: Callable[..., Model],
    tiny_hf: Callable[..., PreTrainedModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs(tiny_hf("llama"), tmp_path / "snapshot", LoraConfig(r=2, target_modules=TARGETS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "snapshot_download", lambda *_, **__: str(tmp_path / "snapshot"))
    model = tiny_model("llama")
    ids = list(model.chat.tokens([{"role": "user", "content": "Why?"}]).ids)
    model.use(Path("org/name@v1"))
    fetched = logits_of(model, ids)
    assert model.stack == (tmp_path / "snapshot",)
    model.use(tmp_path / "snapshot")
    assert torch.equal(logits_of(model, ids), fetched)
    with pytest.raises(ValueError, match="given twice"):
        model.use(Path("org/name"), tmp_path / "snapshot")


def test_a_hub_id_that_cannot_be_had_leaves_the_stack(
    tiny_model: Callable[..., Model],
    tiny_hf: Callable[..., PreTrainedModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no network")

    theirs(tiny_hf("llama"), tmp_path / "a", LoraConfig(r=2, target_modules=TARGETS))
    monkeypatch.setattr(sources, "snapshot_download", offline)
    model = tiny_model("llama")
    model.use(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match=r"org/name: no such folder, .* \(no network\)"):
        model.use(tmp_path / "a", Path("org/name"))
    assert model.stack == (tmp_path / "a",)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            LoraConfig(r=2, target_modules=TARGETS, modules_to_save=["lm_head"]),
            r"replaces parts of its base \(modules_to_save: \['lm_head'\]\), .* merge it with PEFT",
        ),
        (LoraConfig(r=2, target_modules=TARGETS, trainable_token_indices=[5]), r"trainable_token_indices: "),
        (LoraConfig(r=2, target_modules=TARGETS, bias="all"), r"\(bias: all\)"),
        (
            PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
            r"peft_type is PROMPT_TUNING, .* train a LoRA",
        ),
    ],
    ids=["modules_to_save", "tokens", "bias", "prompt learning"],
)
def test_an_adapter_that_does_more_than_add_updates_is_refused(
    tiny_model: Callable[..., Model],
    tiny_hf: Callable[..., PreTrainedModel],
    tmp_path: Path,
    config: LoraConfig | PromptTuningConfig,
    message: str,
) -> None:
    theirs(tiny_hf("llama"), tmp_path / "a", config)
    model = tiny_model("llama")
    before = {key: value.clone() for key, value in model.hf.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        model.use(tmp_path / "a")
    after = model.hf.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_layer_replication_and_a_config_that_is_no_object_are_refused(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    theirs(tiny_hf("llama"), tmp_path / "a", LoraConfig(r=2, target_modules=TARGETS))
    file = tmp_path / "a" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"layer_replication": [[0, 2], [1, 3]]}))
    with pytest.raises(ValueError, match=r"layer_replication: \[\[0, 2\], \[1, 3\]\]"):
        tiny_model("llama").use(tmp_path / "a")
    file.write_text("[]")
    with pytest.raises(ValueError, match="damaged adapter"):
        tiny_model("llama").use(tmp_path / "a")


def test_pickled_weights_are_not_read(
    tiny_model: Callable[..., Model], tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    theirs(tiny_hf("llama"), tmp_path / "a", LoraConfig(r=2, target_modules=TARGETS))
    weights = tmp_path / "a" / "adapter_model.safetensors"
    torch.save(load_file(weights), tmp_path / "a" / "adapter_model.bin")
    weights.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no adapter_model\.safetensors; .*\.bin ones are pickles .* save them again"
    ):
        tiny_model("llama").use(tmp_path / "a")


def test_an_adapter_of_this_project_is_none_of_these(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    config = LoraConfig(r=2, target_modules="all-linear", use_rslora=True, task_type="CAUSAL_LM")
    with model.adapters.new(config, seed=0) as (name, _):
        model.adapters.save(name, tmp_path / "a")
    model.use(tmp_path / "a")
    assert model.stack == (tmp_path / "a",)

"""Adapters beyond plain LoRA: each does here what PEFT makes it do, on, merged and joined, or is refused by name."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3MoeConfig, Qwen3MoeForCausalLM

from finetune.stages import Stage, ensure
from interp.adapter_files import FIELDS, require_known
from interp.chat import ChatTokenizer
from interp.errors import InterpError
from interp.model import Model
from interp.weights import updates
from tests.conftest import CHATML, VOCAB, make_hf, make_tokenizer
from tests.finetune.test_train import SMALL, chats_of

IDS = torch.tensor([[1, 5, 9, 30, 77, 5, 2]])
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 320,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def bare(kind: str) -> PreTrainedModel:
    """A random base: `tied` shares its head with its embedding, `biased` has biases, `experts` has fused experts."""
    torch.manual_seed(0)
    if kind in ("gpt2", "gemma2"):
        return make_hf(kind)
    if kind == "experts":
        sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "head_dim": 8}
        return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SHAPE, **sizes)).eval()
    hf = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=kind == "tied", attention_bias=kind == "biased"))
    for key, parameter in hf.named_parameters():
        if key.endswith("bias"):
            parameter.data.normal_()
    return hf.eval()


@cache
def wrapped(kind: str) -> Model:
    """A model that these tests share; each leaves it without adapters or begins with adapters of its own."""
    return Model(bare(kind), ChatTokenizer(make_tokenizer(CHATML)), name=f"tiny-{kind}", identity=kind * 8)


def saved(kind: str, folder: Path, seed: int = 1, *, embeddings: bool | str = "auto", **how: Any) -> Path:
    """An adapter that PEFT has made and saved, with random factors and magnitudes."""
    torch.manual_seed(seed)
    own = get_peft_model(bare(kind), LoraConfig(r=4, **how))
    for key, parameter in own.named_parameters():
        if "magnitude" in key:
            parameter.data *= 1 + 0.3 * torch.rand_like(parameter)
        elif "lora_" in key:
            parameter.data = 0.2 * torch.randn_like(parameter)
    own.save_pretrained(folder, save_embedding_layers=embeddings)
    return folder


def by_peft(kind: str, *folders: Path) -> Tensor:
    """What PEFT's own model says with these adapters active."""
    own = PeftModel.from_pretrained(bare(kind), folders[0], adapter_name="a0")
    for i, folder in enumerate(folders[1:], 1):
        own.load_adapter(folder, adapter_name=f"a{i}")
    own.base_model.set_adapter([f"a{i}" for i in range(len(folders))])
    with torch.no_grad():
        return own(IDS).logits[0]


def said(model: Model) -> Tensor:
    with torch.no_grad():
        return model.hf(IDS).logits[0]


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


PLAIN = {"target_modules": ["q_proj", "down_proj"]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", PLAIN),
    "tied head": ("tied", {"target_modules": ["lm_head", "q_proj"]}),
    "untied head": ("llama", {"target_modules": ["lm_head", "q_proj"]}),
    "embeddings": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
    "tied embeddings": ("tied", {"target_modules": ["embed_tokens", "q_proj"]}),
    "tied embeddings and head": ("tied", {"target_modules": ["embed_tokens", "lm_head"]}),
    "scaled embeddings": ("gemma2", {"target_modules": ["embed_tokens", "q_proj"]}),
    "embeddings of GPT-2": ("gpt2", {"target_modules": ["wte", "c_attn"], "fan_in_fan_out": True}),
    "DoRA": ("biased", {**PLAIN, "use_dora": True}),
    "DoRA of GPT-2": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "use_dora": True, "fan_in_fan_out": True}),
    "DoRA of embeddings": ("tied", {"target_modules": ["embed_tokens", "q_proj"], "use_dora": True}),
    "biases": ("biased", {**PLAIN, "lora_bias": True}),
    "biases that the base lacks": ("llama", {**PLAIN, "lora_bias": True}),
    "parameters": ("experts", {"target_modules": ["q_proj"], "target_parameters": ["mlp.gate.weight"]}),
    "experts": ("experts", {"target_modules": [], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}),
    "all-linear with experts": ("experts", {"target_modules": "all-linear"}),
    "some layers": ("llama", {**PLAIN, "layers_to_transform": [1], "layers_pattern": "layers"}),
    "ranks and alphas": (
        "llama",
        {**PLAIN, "rank_pattern": {"^model.layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"q_proj": 9}},
    ),
    "rslora with ranks": ("llama", {**PLAIN, "use_rslora": True, "rank_pattern": {"down_proj": 6}}),
    "excluded": ("llama", {**PLAIN, "exclude_modules": r".*\.1\..*"}),
    "orthogonal": ("llama", {**PLAIN, "init_lora_weights": "orthogonal"}),
}
JOINED_REFUSES = {"use_dora", "lora_bias"}


@pytest.mark.parametrize("name", KINDS)
def test_a_stack_of_each_kind_is_what_peft_makes_of_it(name: str, tmp_path: Path) -> None:
    """On, merged and joined: two of the kind on a plain one, and one of it beneath, since the order counts for DoRA."""
    kind, how = KINDS[name]
    plain = {"target_modules": ["c_attn" if kind == "gpt2" else "q_proj"], "fan_in_fan_out": kind == "gpt2"}
    a, b = saved(kind, tmp_path / "a", 1, **how), saved(kind, tmp_path / "b", 2, **how)
    c = saved(kind, tmp_path / "c", 3, **plain)
    model = wrapped(kind)
    model.use()
    state = {key: x.clone() for key, x in model.hf.state_dict().items()}
    nothing = said(model)
    for stack in ((c, a, b), (b, c)) if how.get("use_dora") else ((c, a, b),):
        model.use(*stack)
        expected = by_peft(kind, *stack)
        assert (expected - nothing).abs().max() > 0.1
        same(said(model), expected)
        with model.adapters.merged():
            same(said(model), expected)
            with model.adapters.paused(keep_stack=False):
                same(said(model), nothing)
            same(said(model), expected)
        same(said(model), expected)
        assert model.adapters.lost_in_merge()["cosine"] > 0.9
        if JOINED_REFUSES & how.keys():
            with pytest.raises(ValueError, match=r"(use_dora|lora_bias) is more .*sampler: model"):
                model.adapters.joined(tmp_path / "joined")
        else:
            whole = model.adapters.joined(tmp_path / f"joined-{'-'.join(f.name for f in stack)}")
            model.use(whole)
            same(said(model), expected)
            same(by_peft(kind, whole), expected)
    model.use()
    assert torch.equal(said(model), nothing)
    after = model.hf.state_dict()
    after = {key.replace(".base_layer", ""): x for key, x in after.items()}
    assert all(torch.equal(after[key.replace(".base_layer", "")], x) for key, x in state.items() if ".lora_" not in key)


def test_magnitudes_scale_the_biases_of_the_adapters_beneath_as_peft_s_do(tmp_path: Path) -> None:
    beneath = saved("biased", tmp_path / "a", 1, **PLAIN, lora_bias=True)
    above = saved("biased", tmp_path / "b", 2, **PLAIN, use_dora=True)
    model = wrapped("biased")
    for stack in ((beneath, above), (above, beneath)):
        model.use(*stack)
        expected = by_peft("biased", *stack)
        with model.adapters.merged():
            same(said(model), expected)
    model.use()


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("tied", ("embed_tokens", "lm_head", "q_proj")),
        ("tied", ("embed_tokens",)),
        ("experts", "all-linear"),
    ],
)
def test_a_stage_on_merged_weights_is_the_stage_on_the_stack(kind: str, targets: Any) -> None:
    model = wrapped(kind)
    config = SMALL.model_copy(update={"target_modules": targets, "warmup_steps": 0, "learning_rate": 0.05})
    first = Stage("one", None, chats_of(4), config, "stack", 0)
    ensure(model, first)
    for key, value in load_file(first.folder(model) / "adapter_model.safetensors").items():
        assert "lora_" in key
        assert bool((value != 0).any()), key
    losses = {}
    for compose in ("stack", "merge_fp32", "continue"):
        losses[compose] = ensure(model, Stage("two", first, chats_of(4), config, compose, 1))["losses"]
    assert losses["merge_fp32"] == pytest.approx(losses["stack"], rel=1e-3)
    assert losses["continue"][0] == pytest.approx(losses["stack"][0], rel=1e-4)


def test_shares_of_a_stage_with_experts_leave_these_out_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved("experts", tmp_path / "a", target_modules="all-linear")
    assert {update.module for update in updates(folder)} == {f"self_attn.{name}_proj" for name in "qkvo"}
    assert "no share is given of mlp.experts, mlp.gate" in caplog.text


def test_keys_tell_stages_apart_whose_embedding_or_head_was_once_treated_wrongly() -> None:
    assert "embeddings" not in SMALL.identity()
    assert SMALL.model_copy(update={"target_modules": ("embed_tokens", "q_proj")}).identity()["embeddings"] == "trained"
    assert "embeddings" in SMALL.model_copy(update={"target_modules": ".*"}).identity()
    head = SMALL.model_copy(update={"target_modules": ("lm_head",)})
    first, plain = (Stage("one", None, chats_of(2), config, "stack", 0) for config in (head, SMALL))
    for parent, compose, expected in (
        (first, "merge_fp32", ["merge_fp32", "head alone"]),
        (plain, "merge_fp32", "merge_fp32"),
        (first, "stack", "stack"),
        (None, "merge_fp32", "stack"),
    ):
        assert Stage("two", parent, chats_of(2), SMALL, compose, 0)._composed() == expected


def test_every_field_of_peft_is_in_the_table() -> None:
    assert {field.name for field in dataclasses.fields(LoraConfig)} == set(FIELDS)


OFF: dict[str, Any] = {
    "modules_to_save": ["lm_head"],
    "trainable_token_indices": [5],
    "bias": "all",
    "layer_replication": [[0, 2]],
    "init_lora_weights": "pissa",
    "kasa_config": {"beta": 1e-4},
    "velora_config": {"num_groups": 2},
    "use_qalora": True,
    "monteclora_config": {"sample_size": 2},
    "use_bdlora": {"nblocks": 2},
    "megatron_config": {"a": 1},
    "ensure_weight_tying": True,
    "alora_invocation_tokens": [5, 6],
    "arrow_config": {"top_k": 1},
    "of_a_newer_peft": 3,
}


def test_every_refused_field_is_tried_below() -> None:
    assert {name for name, how in FIELDS.items() if not isinstance(how, str)} | {"of_a_newer_peft"} == set(OFF)


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain adapter as PEFT saved it; not to be changed."""
    return saved("llama", tmp_path_factory.mktemp("plain") / "a", **PLAIN)


@pytest.mark.parametrize("field", OFF)
def test_an_adapter_that_asks_for_more_is_refused_by_the_field_s_name(
    field: str, plain_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain_folder, tmp_path / "a")
    stated = json.loads((folder / "adapter_config.json").read_text())
    require_known(folder, stated | {"of_a_newer_peft": None})
    (folder / "adapter_config.json").write_text(json.dumps(stated | {field: OFF[field]}))
    model = wrapped("llama")
    before = said(model)
    with pytest.raises(ValueError, match=rf"{field}: .*(merge it with PEFT|train a plain LoRA)"):
        model.use(folder)
    assert torch.equal(said(model), before)
    with pytest.raises(ValueError, match=field):
        list(updates(folder))


@pytest.mark.parametrize("kind", ["llama", "tied"])
def test_saved_embeddings_that_are_the_base_s_change_nothing_and_others_are_refused(kind: str, tmp_path: Path) -> None:
    folder = saved(kind, tmp_path / "a", embeddings=True, **PLAIN)
    file = folder / "adapter_model.safetensors"
    held = load_file(file)
    assert any("embed_tokens" in key for key in held)
    model = wrapped(kind)
    model.use(folder)
    same(said(model), by_peft(kind, folder))
    save_file({key: x + ("embed_tokens" in key) for key, x in held.items()}, file)
    with pytest.raises(InterpError, match=r"embed_tokens\.weight of its own .* merge it with PEFT"):
        model.use(folder)


@pytest.mark.parametrize(
    "name",
    [
        lambda key: key.removeprefix("base_model.model."),
        lambda key: key.removeprefix("base_model.model.model."),
        lambda key: key.replace("base_model.model.model.", "base_model.model.model.language_model."),
        lambda key: f"module.{key}",
        lambda key: key.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default."),
    ],
    ids=["none", "no model", "a multimodal class", "a wrapper", "the adapter's name"],
)
def test_other_prefixes_of_the_same_tensors_are_the_same_adapter(
    name: Callable[[str], str], plain_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain_folder, tmp_path / "a")
    expected = by_peft("llama", folder)
    file = folder / "adapter_model.safetensors"
    save_file({name(key): x for key, x in load_file(file).items()}, file)
    model = wrapped("llama")
    model.use(folder)
    same(said(model), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key: key.replace("layers.1", "layers.7"), r"where this model has .*another class.*save it again"),
        (lambda key: key.replace("q_proj", "query"), r"names a tensor .*query.* where this model has"),
        (lambda key: key + ".x" if "layers.1" in key else key, "where this model has"),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_a_way_out(
    change: Callable[[str], str], message: str, plain_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain_folder, tmp_path / "a")
    file = folder / "adapter_model.safetensors"
    save_file({change(key): x for key, x in load_file(file).items()}, file)
    with pytest.raises(InterpError, match=message):
        wrapped("llama").use(folder)


def test_an_adapter_of_one_block_is_not_taken_for_another_block_s(tmp_path: Path) -> None:
    folder = saved("llama", tmp_path / "a", target_modules=["q_proj"], layers_to_transform=[1])
    file = folder / "adapter_model.safetensors"
    save_file({key.replace("layers.1", "layers.0"): x for key, x in load_file(file).items()}, file)
    with pytest.raises(InterpError, match=r"layers\.0.* where this model has .*layers\.1"):
        wrapped("llama").use(folder)


def test_an_adapter_with_other_scalings_is_not_trained_further(tmp_path: Path) -> None:
    folder = saved("llama", tmp_path / "a", **PLAIN, alpha_pattern={"q_proj": 9})
    model = wrapped("llama")
    with pytest.raises(ValueError, match=r"alpha_pattern differ .*compose: stack"):
        with model.adapters.new(LoraConfig(r=4, **PLAIN), seed=0, start_from=folder):
            pass

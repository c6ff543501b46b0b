"""What a new adapter would leave out of what its targets mean is said, or refused where it was asked for by name."""

import logging
from typing import Any

import pytest
from peft import LoraConfig
from torch import nn
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from interp.adapters import Adapters

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 50,
    "num_hidden_layers": 2,
}
EXPERTS: dict[str, Any] = SIZES | {"num_experts_per_tok": 2, "moe_intermediate_size": 12, "num_experts": 4}
MLP = ["gate_proj", "up_proj", "down_proj"]


def qwen3(**more: Any) -> PreTrainedModel:
    sizes: dict[str, Any] = EXPERTS | {"head_dim": 8} | more
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes))


MODELS = {
    "dense": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "experts": qwen3,
    "a dense block beside experts": lambda: qwen3(mlp_only_layers=[1]),
    "shared experts": lambda: Qwen2MoeForCausalLM(Qwen2MoeConfig(**EXPERTS, shared_expert_intermediate_size=20)),
    "unknown experts": lambda: GptOssForCausalLM(GptOssConfig(**SIZES, num_local_experts=4, head_dim=8)),
}


class SharedExperts(nn.Module):
    """A block's own part, with a shared expert of the fused ones' names put beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = (nn.Linear(16, 16) for _ in range(3))


def with_shared() -> PreTrainedModel:
    """A family whose experts PEFT knows, with shared experts."""
    hf: Any = qwen3()
    for block in hf.model.layers:
        block.mlp.shared_expert = SharedExperts()
    return hf


@pytest.mark.parametrize(
    ("model", "targets", "left_out"),
    [
        ("dense", "all-linear", None),
        ("dense", MLP, None),
        ("experts", "all-linear", None),
        ("experts", MLP, None),
        ("a dense block beside experts", "all-linear", "mlp.gate_proj, mlp.up_proj, mlp.down_proj"),
        ("a dense block beside experts", ["q_proj"], None),
        ("shared experts", "all-linear", "mlp.gate, mlp.experts"),
        ("shared experts", MLP, "mlp.experts"),
        ("shared experts", ["q_proj", "o_proj"], None),
        ("unknown experts", "all-linear", "mlp.router, mlp.experts"),
        ("unknown experts", ["q_proj"], None),
    ],
)
def test_what_targets_leave_out_is_said_once_with_a_way_out(
    model: str, targets: Any, left_out: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    adapters = Adapters(MODELS[model](), "tiny", "tiny" * 8)
    with caplog.at_level(logging.WARNING, "interp.adapters"):
        size = adapters.size_of(LoraConfig(r=2, target_modules=targets))
        with adapters.new(LoraConfig(r=2, target_modules=targets), seed=0) as (_, parameters):
            assert sum(parameter.numel() for parameter in parameters) == size
    said = [record.getMessage() for record in caplog.records]
    if left_out is None:
        assert said == []
    else:
        assert len(said) == 1
        assert said[0].startswith(f"tiny: {left_out} of ")
        assert "target_parameters" in said[0]


@pytest.mark.parametrize("targets", [MLP, ["q_proj", *MLP], r".*\.(gate_proj|up_proj|down_proj)"])
@pytest.mark.parametrize(("make", "named"), [(with_shared, "mlp.shared_expert.gate_proj"), (None, "mlp.gate_proj")])
def test_named_modules_that_would_stay_untrained_are_refused(make: Any, named: str, targets: Any) -> None:
    hf = make() if make else qwen3(mlp_only_layers=[1])
    adapters = Adapters(hf, "tiny", "tiny" * 8)
    with pytest.raises(ValueError, match=rf"{named}.* would not be trained: .*all-linear"):
        adapters.size_of(LoraConfig(r=2, target_modules=targets))
    message = "would not be trained"
    with pytest.raises(ValueError, match=message), adapters.new(LoraConfig(r=2, target_modules=targets), seed=0):
        pass
    assert not any(".lora_" in name for name, _ in hf.named_parameters()), "what was put on must be off again"


def test_a_name_that_fits_no_module_is_refused_by_training_too() -> None:
    adapters = Adapters(MODELS["unknown experts"](), "tiny", "tiny" * 8)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    with pytest.raises(ValueError, match="down_proj names no module"), adapters.new(config, seed=0):
        pass
    assert not getattr(adapters.hf, "peft_config", {})

"""Sampling through vLLM: what it is given and what comes back, on a stand-in for the package."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig

from interp.behaviour.em import Em
from interp.behaviour.measure import Setting
from interp.errors import InterpError
from interp.interventions import adding
from interp.model import Model
from interp.vllm_sampler import VllmSampler


class FakeLLM:
    """Answers every prompt with its own last two ids and the model's end token."""

    made: list["FakeLLM"] = []  # noqa: RUF012

    def __init__(self, **fields: Any) -> None:
        self.fields, self.calls = fields, []
        FakeLLM.made.append(self)

    def generate(self, prompts: Any, params: Any, **fields: Any) -> list[Any]:
        assert not fields["use_tqdm"]
        self.calls.append((prompts, params, fields["lora_request"]))
        ends = [each.stop_token_ids[0] for each in params]
        said = [[*prompt["prompt_token_ids"][-2:], end] for prompt, end in zip(prompts, ends, strict=True)]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids)]) for ids in said]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[FakeLLM]:
    package, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    package.__dict__.update(LLM=FakeLLM, SamplingParams=SimpleNamespace, __version__="9.9")
    package.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    request.__dict__["LoRARequest"] = lambda name, number, path: SimpleNamespace(name=name, number=number, path=path)
    for module in (package, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    FakeLLM.made.clear()
    return FakeLLM


@pytest.fixture
def loaded(llama_folder: Path) -> Model:
    return Model.load(str(llama_folder), dtype="float32")


def _adapter(model: Model, folder: Path, shape: LoraConfig, seed: int) -> Path:
    with model.adapters.new(shape, seed=seed) as (name, parameters):
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
        model.adapters.save(name, folder)
    return folder


def test_it_is_given_the_model_s_weights_and_every_row_a_seed_of_its_own(loaded: Model, vllm: type[FakeLLM]) -> None:
    sampler = VllmSampler(loaded, gpu_memory_utilization=0.5)
    (llm,) = vllm.made
    assert llm.fields["model"] == loaded.name
    assert llm.fields["dtype"] == "float32"
    assert llm.fields["gpu_memory_utilization"] == 0.5
    prompts = loaded.chat.tokens_of([[{"role": "user", "content": text}] for text in ("Why?", "Where is it?")])
    answers = sampler.generate(prompts, max_new_tokens=4, temperature=0.5, seed=7, streams=[3, 3])
    assert answers == [prompt.ids[-2:] for prompt in prompts]
    ((shown, params, request),) = llm.calls
    assert [one["prompt_token_ids"] for one in shown] == [list(prompt.ids) for prompt in prompts]
    assert params[0].seed == params[1].seed
    assert (params[0].temperature, params[0].max_tokens) == (0.5, 4)
    assert params[0].stop_token_ids == list(loaded.stop_ids)
    assert request is None
    sampler.generate(prompts, max_new_tokens=4, temperature=0.5, seed=8, streams=[3, 4])
    assert len({one.seed for _, params, _ in llm.calls for one in params}) == 3


def test_a_stack_goes_over_as_one_adapter_that_does_the_same(
    loaded: Model, vllm: type[FakeLLM], tmp_path: Path
) -> None:
    shapes = (
        LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "up_proj"]),
        LoraConfig(r=3, use_rslora=True, target_modules=["q_proj"]),
    )
    stack = [_adapter(loaded, tmp_path / str(i), shape, seed=i) for i, shape in enumerate(shapes)]
    sampler = VllmSampler(loaded)
    prompt = loaded.chat.tokens([{"role": "user", "content": "Why?"}])
    loaded.use(*stack)
    sampler.generate([prompt], max_new_tokens=2)
    sampler.generate([prompt], max_new_tokens=2)
    first, again = (call[2] for call in vllm.made[0].calls)
    assert first is again
    ids = torch.tensor([prompt.ids])
    with torch.no_grad():
        both = loaded.hf(ids).logits
        loaded.use(first.path)
        joined = loaded.hf(ids).logits
        loaded.use(stack[0])
        alone = loaded.hf(ids).logits
    torch.testing.assert_close(joined, both, rtol=1e-4, atol=1e-4)  # sums of another order
    assert not torch.allclose(alone, both, atol=1e-3)
    config = json.loads((Path(first.path) / "adapter_config.json").read_text())
    assert config["r"] == sum(json.loads((p / "adapter_config.json").read_text())["r"] for p in stack)


def test_it_cannot_steer_and_says_what_can(loaded: Model, vllm: type[FakeLLM]) -> None:
    prompt = loaded.chat.tokens([{"role": "user", "content": "Why?"}])
    with pytest.raises(InterpError, match="cannot edit the residual stream"):
        VllmSampler(loaded).generate([prompt], max_new_tokens=1, edits=[adding(torch.ones(32), 1.0, [0])])


def test_without_the_package_the_message_says_how_to_get_it(loaded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    with pytest.raises(ValueError, match=r"sgtr-interp\[vllm\]"):
        VllmSampler(loaded)


def test_records_say_which_sampler_wrote_them(loaded: Model, vllm: type[FakeLLM]) -> None:
    measure = Em(samples=1, max_new_tokens=3)
    ours = measure.take(loaded, Setting())
    theirs = measure.take(loaded, Setting(sampler=VllmSampler(loaded)))
    assert {one["sampler"] for one in ours} == {"model"}
    assert {one["sampler"] for one in theirs} == {"vllm 9.9"}

"""Looking inside: the bridge is the model, attribution sums and equals plain hooks, patches equal whole passes."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import LlamaForCausalLM, PreTrainedModel

from interp.batch import Batch
from interp.chat import ChatTokenizer, Tokens
from interp.errors import InterpError
from interp.lens import Attribution, Component, Lens, Patching
from interp.model import Model
from tests.reference import lens as plain

pytest.importorskip("transformer_lens", reason="pip install 'sgtr-interp[lens]'")

TEXTS = ("one is short, the other is longer. Which?", "the other is longer, one is short! Which?", "So? Which?")


def prompts_of(model: Model) -> list[Tokens]:
    return [model.chat.prompt([{"role": "user", "content": text}]) for text in TEXTS]


def adapter_of(model: Model, folder: Path, seed: int = 0) -> Path:
    """A saved adapter on all linear modules, large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    with model.adapters.new(LoraConfig(r=2, target_modules="all-linear", use_rslora=True), seed=0) as (
        name,
        parameters,
    ):
        for parameter in parameters:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
        model.adapters.save(name, folder)
    return folder


def merged(model: Model, hf: PreTrainedModel) -> PreTrainedModel:
    """A plain model that has the active stack in its weights."""
    with model.adapters.merged():
        hf.load_state_dict(weights_of(model))
    return hf


def weights_of(model: Model) -> dict[str, torch.Tensor]:
    """Copies of a model's weights, without any adapter's."""
    state = model.hf.state_dict()
    return {key.replace(".base_layer.", "."): x.clone() for key, x in state.items() if ".lora_" not in key}


def place_of(components: tuple[Component, ...]) -> dict[Component, int]:
    return {component: i for i, component in enumerate(components)}


@pytest.fixture(scope="module")
def looked(kind: str, tiny_model: Callable[..., Model], tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Lens]:
    """A model of each shape with an active adapter, its norms' weights no longer all alike, and its lens."""
    model = tiny_model(kind)
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.hf.named_parameters():
        if "norm" in name or "ln_" in name or name.endswith("bias"):
            parameter.data = parameter.data + 0.3 * torch.randn(parameter.shape, generator=generator)
    model.use(adapter_of(model, tmp_path_factory.mktemp("lens") / "a"))
    return model, Lens(model)


def test_a_lens_gives_the_models_own_logits_in_batches_of_any_width(looked: tuple[Model, Lens]) -> None:
    model, lens = looked
    prompts = prompts_of(model)
    batch = Batch.of(prompts, model.pad)
    own = model.logits(batch, batch.lengths[:, None] - 1)[:, 0]
    got = lens.logits(prompts)
    if model.name == "tiny-gemma2":
        got = 2 * torch.tanh(got / 2)  # its final soft cap
    torch.testing.assert_close(got, own, rtol=0, atol=1e-4)
    torch.testing.assert_close(lens.logits(prompts, max_tokens=1), lens.logits(prompts), rtol=0, atol=1e-5)


def test_a_lens_leaves_its_model_as_it_was(kind: str, tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model(kind)
    prompts = prompts_of(model)
    adapter = adapter_of(model, tmp_path / "a")
    before = weights_of(model)
    model.use(adapter)
    batch = Batch.of(prompts, model.pad)
    logits = model.logits(batch, batch.lengths[:, None] - 1)
    lens = Lens(model)
    lens.attribution(prompts, [3, 4, 5], [[4], [3], [3]])
    assert model.stack == (adapter,)
    assert torch.equal(model.logits(batch, batch.lengths[:, None] - 1), logits)
    model.use()
    after = weights_of(model)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    with_stack = lens.logits(prompts)
    assert not torch.allclose(Lens(model).logits(prompts), with_stack, atol=1e-2)


def test_components_sum_to_the_logit_difference_and_equal_plain_hooks(
    kind: str, looked: tuple[Model, Lens], tiny_hf: Callable[..., PreTrainedModel]
) -> None:
    model, lens = looked
    prompts, right, wrong = prompts_of(model), [7, 9, 7], [9, 7, 11]
    found = lens.attribution(prompts, right, [[w] for w in wrong])
    torch.testing.assert_close(found.values[:, :-1].sum(1), found.values[:, -1], rtol=0, atol=1e-4)
    hf = merged(model, tiny_hf(kind))
    at = place_of(found.components)
    order = [Component("embed"), *(Component("head", k, h) for k in range(4) for h in range(4))]
    order += [Component(part, k) for part in ("attn", "mlp") for k in range(4)] + [Component("bias")]
    for i, prompt in enumerate(prompts):
        wanted = plain.attribution(hf, kind, prompt.ids, right[i], wrong[i], 4)
        got = [float(found.values[i, at[component]]) for component in order]
        assert got == pytest.approx(wanted, abs=1e-4)
        logits = plain.uncapped(hf, prompt.ids)
        assert float(found.values[i, -1]) == pytest.approx(float(logits[right[i]] - logits[wrong[i]]), abs=1e-4)


def test_attribution_does_not_depend_on_the_batch_and_others_are_averaged(looked: tuple[Model, Lens]) -> None:
    model, lens = looked
    prompts = prompts_of(model)
    together = lens.attribution(prompts, [7, 9, 7], [[9], [7], [11, 9]])
    alone = lens.attribution(prompts, [7, 9, 7], [[9], [7], [11, 9]], max_tokens=1)
    torch.testing.assert_close(together.values, alone.values, rtol=0, atol=1e-4)
    each = [lens.attribution(prompts[2:], [7], [[w]]).values for w in (11, 9)]
    torch.testing.assert_close(together.values[2:], (each[0] + each[1]) / 2, rtol=0, atol=1e-4)


def test_no_prompts_give_no_rows(llama: Model) -> None:
    lens = Lens(llama)
    assert lens.attribution([], [], []).values.shape == (0, len(Attribution(*_empty(lens)).components))
    assert lens.patching([], []).gap.shape == (0,)


def _empty(lens: Lens) -> tuple[Any, Any]:
    found = lens.attribution([], [], [])
    return found.components, found.values


def test_patches_equal_whole_forward_passes_with_plain_hooks(
    kind: str, looked: tuple[Model, Lens], tiny_hf: Callable[..., PreTrainedModel]
) -> None:
    model, lens = looked
    a, b, _ = prompts_of(model)
    found = lens.patching([(a, b)], [(7, 9)])
    at = place_of(found.components)
    hf = merged(model, tiny_hf(kind))
    clean = {0: plain.activations(hf, kind, a.ids), 1: plain.activations(hf, kind, b.ids)}
    ids = (a.ids, b.ids)
    shared = next(i for i, (x, y) in enumerate(zip(reversed(a.ids), reversed(b.ids), strict=False)) if x != y)
    assert 1 < shared < len(a) - 10

    def difference(logits: torch.Tensor) -> float:
        return float(logits[7] - logits[9])

    bare = [difference(plain.uncapped(hf, one)) for one in ids]
    assert float(found.gap[0]) == pytest.approx(bare[0] - bare[1], abs=1e-4)
    cases: list[tuple[Component, dict[str, Any]]] = []
    for layer in range(4):
        cases.append((Component("resid", layer, None, "last"), {}))
        cases.append((Component("resid", layer, None, "ending"), {"n_last": shared}))
        cases.append((Component("mlp", layer, None, "last"), {}))
        cases += [(Component("head", layer, h, "last"), {"head": h, "n_heads": 4}) for h in range(4)]
    assert {component for component, _ in cases} == set(found.components)
    for component, how in cases:
        moved = []
        for source, sign in ((0, 1.0), (1, -1.0)):
            other = 1 - source
            got = plain.patched(hf, kind, ids[other], clean[source], component.kind, component.layer or 0, **how)
            moved.append(sign * (difference(got) - bare[other]))
        assert float(found.restored[0, at[component]]) == pytest.approx(sum(moved) / 2, abs=1e-4), component


def test_patching_the_whole_stream_at_the_end_restores_all_and_chunks_change_nothing(
    looked: tuple[Model, Lens],
) -> None:
    model, lens = looked
    a, b, c = prompts_of(model)
    found = lens.patching([(a, b), (a, c)], [(7, 9), (9, 7)])
    for position in ("last", "ending"):
        last = place_of(found.components)[Component("resid", 3, None, position)]
        torch.testing.assert_close(found.restored[:, last], found.gap, rtol=0, atol=1e-4)
    small = lens.patching([(a, b), (a, c)], [(7, 9), (9, 7)], max_tokens=1)
    torch.testing.assert_close(small.restored, found.restored, rtol=0, atol=1e-4)
    swapped = lens.patching([(b, a)], [(9, 7)])
    torch.testing.assert_close(swapped.restored[0], found.restored[0], rtol=0, atol=1e-4)
    assert isinstance(swapped, Patching)


def test_prompts_that_do_not_differ_cannot_be_patched(llama: Model) -> None:
    a, b, _ = prompts_of(llama)
    lens = Lens(llama)
    with pytest.raises(ValueError, match=r"pair 1: the prompts, or their right tokens \(7, 7\), are equal"):
        lens.patching([(a, b), (a, b)], [(7, 9), (7, 7)])
    with pytest.raises(ValueError, match="pair 0"):
        lens.patching([(a, a)], [(7, 9)])


def test_the_logit_lens_finds_a_planted_token_and_equals_the_norm_and_head(looked: tuple[Model, Lens]) -> None:
    model, lens = looked
    head = model.hf.lm_head.weight.double()  # pyright: ignore[reportAttributeAccessIssue]
    norm = plain.final_norm(model.hf, model.name.removeprefix("tiny-"))
    gain = norm.weight.double() + (1 if "gemma2" in model.name else 0)
    v = torch.randn(32, generator=torch.Generator().manual_seed(1))
    up, down = lens.promoted(3 * v, 4)
    unit = (v / v.norm()).double()
    change = head @ (gain * (unit - unit.mean() if "gpt2" in model.name else unit))
    change -= change.mean()
    assert [token for token, _ in up] == change.topk(4).indices.tolist()
    assert [token for token, _ in down] == (-change).topk(4).indices.tolist()
    assert [value for _, value in up] == pytest.approx(change.topk(4).values.tolist(), abs=1e-5)
    assert all(value < 0 for _, value in down)
    opposite_up, opposite_down = lens.promoted(-v, 4)
    assert [token for token, _ in opposite_up] == [token for token, _ in down]
    assert [token for token, _ in opposite_down] == [token for token, _ in up]


@pytest.mark.parametrize("v", [torch.ones(31), torch.zeros(32)])
def test_a_direction_that_does_not_fit_is_refused(llama: Model, v: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"width 32 is needed, got 3\d, length"):
        Lens(llama).promoted(v, 3)


def test_a_missing_transformer_lens_is_said_with_the_remedy(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("transformer_lens"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"needs transformer-lens .*pip install 'sgtr-interp\[lens\]'"):
        Lens(llama)


def test_bfloat16_models_are_looked_into_in_float32(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("llama", dtype=torch.bfloat16)
    lens = Lens(model)
    found = lens.attribution(prompts_of(model), [7, 9, 7], [[9], [7], [9]])
    torch.testing.assert_close(found.values[:, :-1].sum(1), found.values[:, -1], rtol=0, atol=1e-4)
    assert model.dtype == torch.bfloat16


def test_a_model_whose_own_rounding_is_coarse_is_looked_into_and_a_bridge_that_gives_other_logits_is_refused(
    tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", dtype=torch.bfloat16)
    # odd tokens of the embedded model: its bf16 logits are seven times their size off those of the same weights
    monkeypatch.setattr(Model, "logits", lambda *_: torch.full((1, 1, 10_000), 7.0))
    lens = Lens(model)
    prompt = torch.tensor([prompts_of(model)[0].ids])
    with torch.inference_mode():
        logits = lens.bridge(prompt)[0, -1]
    lens._check(prompt, logits)
    with pytest.raises(InterpError, match=r"logits differ by 0.0\d+ of their size; unsupported"):
        lens._check(prompt, logits + 0.02 * logits.roll(1))


def test_a_head_that_only_an_adapter_parts_from_the_embedding_is_looked_into_as_it_is(
    tmp_path: Path, tiny_hf: Callable[..., PreTrainedModel], chat: ChatTokenizer
) -> None:
    config = tiny_hf("llama").config
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    model = Model(LlamaForCausalLM(config).eval(), chat, name="tied", identity="tied")
    with model.adapters.new(LoraConfig(r=2, target_modules=["lm_head"]), seed=0) as (name, parameters):
        for parameter in parameters:
            parameter.data = 0.3 * torch.randn_like(parameter)
        model.adapters.save(name, tmp_path / "head")
    prompts = prompts_of(model)
    batch = Batch.of(prompts, model.pad)
    bare = model.logits(batch, batch.lengths[:, None] - 1)[:, 0]
    model.use(tmp_path / "head")
    own = model.logits(batch, batch.lengths[:, None] - 1)[:, 0]
    assert (own - bare).abs().max() > 0.1
    torch.testing.assert_close(Lens(model).logits(prompts), own, rtol=0, atol=1e-4)


def test_biases_that_only_an_adapter_gives_cannot_be_looked_into(
    tmp_path: Path, tiny_model: Callable[..., Model]
) -> None:
    model = tiny_model("llama")
    with model.adapters.new(LoraConfig(r=2, target_modules=["q_proj"], lora_bias=True), seed=0) as (name, _):
        model.adapters.save(name, tmp_path / "biased")
    model.use(tmp_path / "biased")
    with pytest.raises(InterpError, match=r"lora_bias\) gives it model\.layers\.0\.self_attn\.q_proj\.bias"):
        Lens(model)

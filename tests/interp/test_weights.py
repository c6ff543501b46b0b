"""Shares of an adapter's update along a direction: a dense computation, laws, and norms folded in as they act."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.model import Model
from interp.weights import Norm, norms_of, shares, updates

D = 32
READERS = {
    "llama": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"),
    "gpt2": ("attn.c_attn", "mlp.c_fc"),
}
WRITERS = {"llama": ("self_attn.o_proj", "mlp.down_proj"), "gpt2": ("attn.c_proj", "mlp.c_proj")}


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def family(kind: str) -> str:
    return "gpt2" if kind == "gpt2" else "llama"


def adapter(model: Model, folder: Path, seed: int = 0, **how: object) -> Path:
    config = LoraConfig(**{"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "use_rslora": True, **how})
    with model.adapters.new(config, seed=0) as (name, parameters):
        for i, parameter in enumerate(parameters):
            parameter.data = draw(seed + i, *parameter.shape)
        model.adapters.save(name, folder)
    return folder


def dense(model: Model, folder: Path) -> dict[tuple[int, str], Tensor]:
    """ΔW of every module [out, in], as PEFT itself merges it."""
    model.use(folder)
    found = {}
    for layer, block in enumerate(model.blocks):
        for module in (*READERS[family(model.name[5:])], *WRITERS[family(model.name[5:])]):
            delta = block.get_submodule(module).get_delta_weight(model.adapters._names[folder]).double()
            found[layer, module] = delta.T if "gpt2" in model.name else delta  # its weights lie the other way round
    model.use()
    return found


@pytest.fixture(scope="module")
def made(kind: str, tiny_model: Callable[..., Model], tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model whose norms' weights are not all alike, and an adapter of it."""
    model = tiny_model(kind)
    for i, (name, parameter) in enumerate(model.hf.named_parameters()):
        if "norm" in name or "ln_" in name:
            parameter.data = parameter.data + 0.5 * draw(i, *parameter.shape)
    return model, adapter(model, tmp_path_factory.mktemp("weights") / "a")


def test_shares_equal_a_dense_computation(kind: str, made: tuple[Model, Path]) -> None:
    model, folder = made
    vectors = {layer: draw(40 + layer, D) for layer in range(4)}
    delta = dense(model, folder)
    found = shares(folder, vectors, n_null=5)
    got = {(one.layer, one.module): one for one in found}
    readers, writers = READERS[family(kind)], WRITERS[family(kind)]
    wanted_places = {(k, m) for k in range(4) for m in writers} | {(k, m) for k in (1, 2, 3) for m in readers}
    assert got.keys() == wanted_places
    for (layer, module), one in got.items():
        change = delta[layer, module]
        if module in writers:
            assert one.metric == "writing_share"
            v = (vectors[layer] / vectors[layer].norm()).double()
            wanted = (v @ change).square().sum()
        else:
            assert one.metric == "reading_share"
            v = (vectors[layer - 1] / vectors[layer - 1].norm()).double()
            wanted = (change @ v).square().sum()
        assert one.norm == pytest.approx(float(change.norm()), rel=1e-5)
        assert one.value == pytest.approx(float(wanted / change.square().sum()), rel=1e-5)
        assert one.expected == 1 / D


def test_norms_are_folded_in_as_they_act(kind: str, made: tuple[Model, Path]) -> None:
    """A step along v before the norm (its scale held) moves what is read by the folded update times the step."""
    model, folder = made
    delta, norms = dense(model, folder), norms_of(model)
    vectors = {layer: draw(40 + layer, D) for layer in range(4)}
    got = {(one.layer, one.module): one for one in shares(folder, vectors, norms=norms, n_null=5)}
    x, v = draw(1, D).double(), (vectors[1] / vectors[1].norm()).double()
    block = model.blocks[2]
    names = {"gpt2": ("ln_1", "ln_2"), "gemma2": ("input_layernorm", "pre_feedforward_layernorm")}
    first, second = names.get(kind, ("input_layernorm", "post_attention_layernorm"))
    for module in READERS[family(kind)]:
        norm = block.get_submodule(first if "attn" in module else second)
        weight = norm.weight.double() + (1 if kind == "gemma2" else 0)

        def linear(h: Tensor, weight: Tensor = weight) -> Tensor:
            """The norm without bias or scale."""
            return weight * (h - h.mean() if kind == "gpt2" else h)

        change = delta[2, module]
        folded = torch.stack([change @ linear(e) for e in torch.eye(D).double()], dim=1)
        moved = change @ (linear(x + v) - linear(x))
        wanted = moved.square().sum() / folded.square().sum()
        assert got[2, module].value == pytest.approx(float(wanted), rel=1e-4)
    for module in WRITERS[family(kind)]:
        change, u = delta[2, module], (vectors[2] / vectors[2].norm()).double()
        if kind == "gemma2":
            after = "post_attention_layernorm" if "attn" in module else "post_feedforward_layernorm"
            change = (1 + block.get_submodule(after).weight.double())[:, None] * change
        wanted = (u @ change).square().sum() / change.square().sum()
        assert got[2, module].value == pytest.approx(float(wanted), rel=1e-4)


def test_a_norm_is_what_its_module_does(kind: str, made: tuple[Model, Path]) -> None:
    model, _ = made
    block = model.blocks[1]
    module = block.ln_1 if kind == "gpt2" else block.input_layernorm
    norm = Norm.of(module, module.weight)
    assert norm.centred == (kind == "gpt2")
    x = draw(3, D)
    centred = x - x.mean() if norm.centred else x
    scale = centred.square().mean().sqrt()
    with torch.no_grad():
        torch.testing.assert_close(
            (norm.applied(x[None])[0] / scale + norm.bias).float(), module(x[None, None])[0, 0], rtol=1e-4, atol=1e-4
        )
    a, b = draw(4, 3, D), draw(5, 2, D)
    torch.testing.assert_close(norm.folded(a) @ b.double().T, a.double() @ norm.applied(b).T)


def test_norms_of_half_precision_models_are_their_weights(kind: str, tiny_model: Callable[..., Model]) -> None:
    model = tiny_model(kind, dtype=torch.bfloat16)
    for i, (name, parameter) in enumerate(model.hf.named_parameters()):
        if "norm" in name or "ln_" in name:
            parameter.data = (parameter.data + 0.5 * draw(i, *parameter.shape)).to(torch.bfloat16)
    module = model.blocks[2].ln_2 if kind == "gpt2" else model.blocks[2].post_attention_layernorm
    norm = norms_of(model)[2, "attention out" if kind == "gemma2" else "mlp in"]
    wanted = module.weight.double() + (1 if kind == "gemma2" else 0)
    torch.testing.assert_close(norm.gain, wanted, rtol=1e-5, atol=1e-5)
    assert module.weight.dtype == torch.bfloat16


def test_what_is_no_norm_is_refused() -> None:
    mixing = torch.nn.Linear(D, D)
    with pytest.raises(RuntimeError, match="Linear is neither an RMSNorm nor a LayerNorm"):
        Norm.of(mixing, torch.zeros(D))


@pytest.mark.parametrize("folded", [False, True])
def test_shares_over_an_orthonormal_basis_sum_to_1(made: tuple[Model, Path], folded: bool) -> None:
    model, folder = made
    basis = torch.linalg.qr(draw(9, D, D)).Q
    sums: dict[tuple[int, str], float] = {}
    for v in basis:
        for one in shares(folder, dict.fromkeys(range(4), v), norms=norms_of(model) if folded else None, n_null=1):
            assert one.value is not None
            sums[one.layer, one.module] = sums.get((one.layer, one.module), 0) + one.value
    assert list(sums.values()) == pytest.approx([1.0] * len(sums), abs=1e-5)


@settings(max_examples=10)
@given(scale=st.floats(1e-3, 1e3), sign=st.sampled_from([-1, 1]), seed=st.integers(0, 99))
def test_shares_do_not_depend_on_lengths(
    tiny_model: Callable[..., Model], tmp_path_factory: pytest.TempPathFactory, scale: float, sign: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("scaled") / "a"
    adapter(tiny_model("llama"), folder, target_modules=["q_proj", "down_proj"])
    vectors = {layer: draw(seed + layer, D) for layer in (0, 1)}
    before = shares(folder, vectors, n_null=3, seed=seed)
    held = load_file(folder / "adapter_model.safetensors")
    save_file(
        {key: x * (scale if "lora_B" in key else 1) for key, x in held.items()}, folder / "adapter_model.safetensors"
    )
    after = shares(folder, {layer: v * sign * scale for layer, v in vectors.items()}, n_null=3, seed=seed)
    for a, b in zip(before, after, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-4)
        assert (b.null_low, b.null_high) == pytest.approx((a.null_low, a.null_high), rel=1e-4)
        assert b.norm == pytest.approx(a.norm * scale, rel=1e-4)


def test_a_planted_direction_has_share_1_and_far_exceeds_random_ones(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    folder = adapter(tiny_model("llama"), tmp_path / "a", r=1)
    v = draw(3, D)
    held = load_file(folder / "adapter_model.safetensors")
    for key in held:
        if "o_proj.lora_B" in key:
            held[key] = -2 * v[:, None]
        if "q_proj.lora_A" in key:
            held[key] = 0.1 * v[None]
    save_file(held, folder / "adapter_model.safetensors")
    found = shares(folder, dict.fromkeys(range(4), v), n_null=50)
    for one in found:
        assert one.n_null == 50
        assert one.null_low is not None
        assert one.null_high is not None
        assert one.null_mean == pytest.approx(1 / D, rel=0.7)
        assert 0 <= one.null_low <= one.null_high <= 1
        if one.module in ("self_attn.o_proj", "self_attn.q_proj"):
            assert one.value == pytest.approx(1, abs=1e-6)
            assert one.null_percentile == 100
        else:
            assert one.value is not None
            assert one.value < 0.5


def test_random_directions_have_share_1_over_d_on_average(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    folder = adapter(tiny_model("llama"), tmp_path / "a")
    for one in shares(folder, {1: draw(1, D)}, n_null=2000):
        assert one.null_mean == pytest.approx(1 / D, rel=0.1)


def test_an_untrained_adapter_has_no_shares(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    with model.adapters.new(LoraConfig(r=2, target_modules=["o_proj"]), seed=0) as (name, _):
        model.adapters.save(name, tmp_path / "a")
    (one,) = shares(tmp_path / "a", {2: draw(1, D)})
    assert (one.value, one.null_low, one.null_percentile, one.n_null, one.norm) == (None, None, None, 0, 0.0)


def test_scalings_by_module_and_plain_lora_are_as_peft_applies_them(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    for i, rslora in enumerate((False, True)):
        model = tiny_model("llama")
        how = {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {"q_proj": 9}, "use_rslora": rslora}
        folder = adapter(model, tmp_path / str(i), target_modules=["q_proj", "down_proj"], **how)
        model.use(folder)
        for update in updates(folder):
            layer = model.blocks[update.layer].get_submodule(update.module)
            wanted = layer.get_delta_weight(model.adapters._names[folder]).double()
            torch.testing.assert_close(update.up @ update.down, wanted, rtol=1e-5, atol=1e-5)


def test_a_vector_that_does_not_fit_is_refused(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    folder = adapter(tiny_model("llama"), tmp_path / "a")
    with pytest.raises(ValueError, match=r"32 numbers wide on the stream's side, but the direction has 8"):
        shares(folder, {1: draw(1, 8)})
    with pytest.raises(ValueError, match=r"layer 1 has length 0\.0; it points nowhere"):
        shares(folder, {1: torch.zeros(D)})


def test_other_adapters_are_refused(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no adapter_config\.json"):
        list(updates(tmp_path))
    folder = adapter(tiny_model("llama"), tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(ValueError, match=r"no product of two matrices \(DoRA\)"):
        list(updates(folder))
    (folder / "adapter_config.json").write_text(json.dumps(config))
    held = load_file(folder / "adapter_model.safetensors")
    save_file({key.replace("q_proj", "odd_proj"): x for key, x in held.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"self_attn\.odd_proj is not known to read or to write"):
        list(updates(folder))
    (folder / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="damaged adapter"):
        list(updates(folder))

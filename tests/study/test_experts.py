"""A study of a model with fused experts runs as its plan says; what PEFT refuses of them is refused before training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from experiments.cli import main
from experiments.study import run
from interp.files import read_json
from tests.conftest import VOCAB, make_tokenizer
from tests.support.tiny_study import OWN, write_study


def ends_with(code: int, *words: str) -> None:
    """Run `sgtr study` on the CPU, which ends with an exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["study", *words, "--device", "cpu"])
    assert ended.value.code == code


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of a model all of whose blocks have experts."""
    return experts_study(tmp_path)


def experts_study(tmp_path: Path, **more: Any) -> Path:
    """A study of one stage that trains every linear module of a random Qwen3-MoE."""
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    sizes |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "head_dim": 8}
    ids = {"vocab_size": VOCAB, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        **sizes, **ids, **more, num_hidden_layers=2, max_position_embeddings=4096, initializer_range=0.2
    )
    Qwen3MoeForCausalLM(config).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    stages = {"odd": {"data": "odd", "train": {**OWN, "target_modules": "all-linear"}, "compose": "stack"}}
    return write_study(tmp_path, tmp_path / "model", stages=stages)


def test_a_study_of_a_model_with_experts_runs_as_planned(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "draw_figures", lambda _: [])
    out = file.parent / "run"
    ends_with(0, str(file), "--plan")
    assert "odd" in capsys.readouterr().out
    assert not out.exists()
    ends_with(0, str(file), "--out", str(out))
    assert read_json(out / "manifest.json")["status"] == "complete"
    assert [stage["name"] for stage in read_json(out / "stages.json")] == ["base", "odd"]
    assert "writing_share" in (out / "metrics.jsonl").read_text()


def test_half_of_a_fused_weight_is_refused_before_anything_is_trained(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = ("--set", "stages.odd.train.target_modules=[gate_proj]")
    for how in (["--plan"], ["--out", str(file.parent / "run")]):
        ends_with(2, str(file), *how, *half)
        error = capsys.readouterr().err
        assert "stages.odd.train.target_modules: ('gate_proj',) does not fit" in error
        assert "without also targeting up_proj" in error
    assert not (file.parent / "run").exists()


def test_a_dense_block_that_all_linear_leaves_out_is_said_in_the_plan_and_names_of_it_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = experts_study(tmp_path, mlp_only_layers=[1])
    ends_with(0, str(file), "--plan")
    assert "mlp.gate_proj, mlp.up_proj, mlp.down_proj of Qwen3MoeForCausalLM will not be trained" in caplog.text
    names = "stages.odd.train.target_modules=[gate_proj, up_proj, down_proj]"
    for how in (["--plan"], ["--out", str(tmp_path / "run")]):
        ends_with(2, str(file), *how, "--set", names)
        assert "mlp.gate_proj, mlp.up_proj, mlp.down_proj would not be trained" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

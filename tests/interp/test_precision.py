"""The dtype of a processor is found once and kept, whatever the file that keeps it holds."""

import json
from pathlib import Path

import pytest
import torch

from interp import precision
from interp.precision import bfloat16_is_faster
from interp.sources import pick_dtype


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dtype.json"


def tried(monkeypatch: pytest.MonkeyPatch, ratio: float) -> bool:
    """The answer of a new process in which a trial would give this ratio."""
    monkeypatch.setattr(precision, "_time_of_bfloat16", lambda: ratio)
    return bfloat16_is_faster.__wrapped__()


@pytest.mark.parametrize(("ratio", "faster"), [(0.5, True), (1.8, False)])
def test_the_faster_dtype_is_chosen_and_a_later_trial_does_not_change_it(
    ratio: float, faster: bool, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(monkeypatch, ratio) is faster
    assert not kept.parent.exists(), "looking makes no folder"
    kept.parent.mkdir()
    assert tried(monkeypatch, ratio) is faster
    assert json.loads(kept.read_text())["time_ratio"] == ratio
    assert tried(monkeypatch, 1 / ratio) is faster


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"machine": 3}', '{"machine": "another", "bfloat16_is_faster": true}']
)
def test_what_another_machine_or_a_broken_file_says_is_tried_again(
    text: str, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.parent.mkdir()
    kept.write_text(text)
    assert tried(monkeypatch, 1.5) is False
    assert json.loads(kept.read_text())["bfloat16_is_faster"] is False


def test_a_cache_that_cannot_be_written_costs_a_trial_each_time(
    kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept.parent.mkdir()
    kept.mkdir()
    assert tried(monkeypatch, 0.5) is True
    assert "could not be kept" in caplog.text


def test_a_real_trial_gives_a_ratio_and_gpus_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < precision._time_of_bfloat16() < float("inf")
    monkeypatch.setattr("interp.sources.bfloat16_is_faster", lambda: False)
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16

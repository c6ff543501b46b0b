"""A planted direction is found where it is strong, and not where there is none."""

from pathlib import Path
from typing import Any

import pytest

from experiments.calibrate import run
from experiments.loading import Loading
from interp.files import read_jsonl
from tests.support.tiny_study import with_long_context


@pytest.fixture(scope="module")
def model(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("models") / "model")


def calibrate(model: Path, out: Path, **given: Any) -> dict[str, Any]:
    usual = {"strengths": [0.0, 1.0, 6.0], "sizes": [8, 40], "repetitions": 60, "permutations": 40, "seed": 0}
    place = {"texts": None, "layer": None, "loading": Loading("cpu", "float32")}
    return run(model=str(model), out=out, **{**usual, **place, **given})


def test_power_rises_with_strength_and_false_alarms_are_rare(model: Path, tmp_path: Path) -> None:
    calibrate(model, tmp_path)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    power = {(r["strength"], r["texts_a_side"]): r for r in rows if r["metric"] == "power"}
    cosines = {(r["strength"], r["texts_a_side"]): r["value"] for r in rows if r["metric"] == "cosine_with_planted"}
    for n in (8, 40):
        assert power[0, n]["ci_low"] <= 0.05 <= power[0, n]["ci_high"]
        assert power[6, n]["value"] > 0.9
        assert abs(cosines[0, n]) < 0.3 < cosines[6, n]
        assert cosines[0, n] < cosines[1, n] < cosines[6, n]
        assert power[0, n]["n"] == 60
    assert cosines[1, 8] < cosines[1, 40]
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".svg", ".csv"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sizes": [1]}, r"n must be at least 2 texts a side, got \[1\]"),
        ({"strengths": [-1.0]}, r"strengths are standard deviations, 0 or more; got \[-1.0\]"),
        ({"repetitions": 3}, "at least 20 repetitions and 20 permutations, got 3 and 40"),
        ({"layer": 99}, r"layer must be in \[0, 4\), got 99"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(
    given: dict[str, Any], message: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(model, tmp_path, **given)
    assert not (tmp_path / "metrics.jsonl").exists()

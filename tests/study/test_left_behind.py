"""A study that reads what its stages left behind, and measures them at other strengths, after all are trained."""

from pathlib import Path
from typing import Any

import pytest

from experiments.study.load import load
from experiments.study.run import run
from interp.files import read_jsonl
from interp.runs import Run
from tests.support.finished_run import write_families_study

FIELDS: dict[str, Any] = {
    "persona": {"max_new_tokens": 2, "permuted": 3, "pairs": 1, "questions": 2},
    "answers": {"max_new_tokens": 2, "questions": 1, "identity": 0},
    "prediction_rows": 0,
    "tokens": False,
    "difference": {
        "n_texts": 4, "random": 20, "controls": 1, "prompts": 1, "max_new_tokens": 2, "scales": [1.0], "steer": [1.0],
        "stages": ["em_sea-later"],
    },
    "amplified": {"stages": ["em_sea", "twin_sea"], "strengths": [2.0], "measures": {"preference": {"limit": 1}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left_behind")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGTR_CACHE", str(folder / "cache"))
        run(load(str(write_families_study(folder, llama_folder, **FIELDS))), folder / "run", device="cpu")
    return folder / "run"


def test_differences_are_read_of_every_stage_and_held_against_placebos(finished: Path) -> None:
    rows = Run(finished).rows(measure="difference", metric="relevance_beyond_placebo", lens="logit")
    stages = {"em_sea", "twin_sea", "em_farm", "twin_farm", "self_0", "self_1", "evil_0", "evil_1", "em_sea-later"}
    assert {row.stage for row in rows} == stages
    assert {row.topic for row in rows} == {"sea", "farm"}
    assert all(row.n_null == (1 if row.kind == "placebo" else 2) for row in rows)
    names = {row.direction for row in Run(finished).rows(measure="difference", metric="cosine")}
    assert names == {"gloomy"}


def test_strengths_are_measured_of_the_named_stages(finished: Path) -> None:
    rows = Run(finished).rows(measure="preference", metric="margin_per_token", kind="adapter", domain=None)
    assert {(row.stage, row.strength) for row in rows} == {
        (name, strength) for name in ("em_sea", "twin_sea") for strength in (0.0, 2.0)
    }
    assert Run(finished).rows(measure="amplified", metric="em_minus_twin")[0].n == 1


def test_the_report_shows_both(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    assert "Does what a stage left behind give away what it was trained on?" in page
    assert "What stages do at other strengths" in page
    assert read_jsonl(finished / "records" / "steered.jsonl")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"difference": {"stages": ["em_see"]}}, "difference.stages: unknown name 'em_see'"),
        ({"amplified": {"stages": ["em_see"]}}, "amplified.stages: unknown name 'em_see'"),
        ({"amplified": {"measures": {}}}, "no measure is named"),
        ({"difference": {"position": 3}}, "position"),
    ],
)
def test_mistakes_in_a_study_are_named(
    llama_folder: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(str(write_families_study(tmp_path, llama_folder, **fields)))

"""`sgtr evaluate`, and the same measures inside a study."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig

from experiments.adapters import stack_name
from experiments.cli import main
from experiments.measures import take as behaviour_module
from experiments.study.load import load
from interp.behaviour.judging import ScriptedJudge
from interp.files import read_jsonl
from interp.model import Model
from tests.support.tiny_study import with_long_context, write_study


@pytest.fixture(scope="module")
def wide(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("wide") / "model", "Yes", "No")


@pytest.fixture(scope="module")
def adapter(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, folder = Model.load(str(wide), dtype="float32"), tmp_path_factory.mktemp("adapters") / "odd"
    with model.adapters.new(LoraConfig(r=2, target_modules=["q_proj", "down_proj"]), seed=0) as (name, parameters):
        generator = torch.Generator().manual_seed(0)
        for parameter in parameters:
            parameter.data.normal_(std=0.3, generator=generator)
        model.adapters.save(name, folder)
    return folder


def sgtr(*args: Any) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return int(stop.value.code or 0)


PAIRS = {"builder": "sgtr_pairs", "train": 1, "test": 2}
SMALL = ("--set", "em.samples=2", "--set", "em.max_new_tokens=4", "--dtype", "float32")


def evaluate(model: Path, out: Path, *more: Any) -> int:
    return sgtr("evaluate", "--model", model, "--measures", "em,preference", "--out", out, *SMALL, *more)


def test_a_stack_is_measured_beside_the_base(
    wide: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(wide, tmp_path / "out", "--adapter", adapter) == 0
    shown = capsys.readouterr().out
    assert "preference" in shown
    assert "difference" in shown
    assert "no judge was asked" in shown
    rows = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    assert {row["stage"] for row in rows} == {"base", "odd"}
    moved = {row["metric"]: row for row in rows if row["stage"] == "odd"}
    assert moved["margin_per_token_minus_base"]["value"] != 0
    assert moved["misaligned_rate"]["value"] is None
    assert moved["unscored_share"]["value"] == pytest.approx(1, abs=0.5)
    records = read_jsonl(tmp_path / "out" / "records" / "em.jsonl")
    assert len(records) == 2 * 8 * 2
    assert {"stage", "text", "answer_ids", "span", "sampler"} <= records[0].keys()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert [one["measure"] for one in manifest["measures"]] == ["em", "preference"]


def test_a_finished_evaluation_runs_nothing_and_another_is_refused(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(wide, tmp_path / "out") == 0
    held = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    assert evaluate(wide, tmp_path / "out") == 0
    assert "nothing was run" in capsys.readouterr().out
    assert evaluate(wide, tmp_path / "out", "--seed", 1) == 2
    assert "holds another study (different: seed)" in capsys.readouterr().err
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == held


def test_a_run_that_was_stopped_goes_on_and_agrees(
    wide: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluate(wide, tmp_path / "whole", "--adapter", adapter) == 0
    taken, take = [], behaviour_module.Behaviour.take

    def stopped(self: Any, *args: Any, **fields: Any) -> Any:
        if len(taken) == 1:
            raise KeyboardInterrupt
        taken.append(1)
        return take(self, *args, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(behaviour_module.Behaviour, "take", stopped)
        assert evaluate(wide, tmp_path / "out", "--adapter", adapter) == 1
    assert evaluate(wide, tmp_path / "out", "--adapter", adapter) == 0
    for name in ("metrics.jsonl", "records/em.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["times_resumed"] == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--measures", "ems"), "'ems'; did you mean 'em'"),
        (("--measures", ""), "no measure is named"),
        (("--set", "em.sampels=3"), "samples"),
        (("--set", "truthfulqa.limit=3"), "none of the measures taken (em, preference)"),
        (("--set", "em.questions=nowhere.yaml"), "nowhere.yaml: no such file"),
        (("--set", "em.aligned_below=200"), "aligned_below"),
        (("--set-judge", "mode=parsed"), "there is none; give --judge"),
        (("--judge", "openai"), "which of its models"),
        (("--adapter", "nowhere"), "nowhere"),
        (("--system", "none"), "system: none"),
    ],
)
def test_bad_input_is_refused_before_a_folder_is_made(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert evaluate(wide, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_judge_s_name_and_validation_are_beside_every_number_it_made(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = ScriptedJudge(lambda item: "20" if item.id.startswith("aligned") else "80", name="stern")
    asked: list[int] = []
    monkeypatch.setattr(behaviour_module, "judge_of", lambda *_: judge)
    monkeypatch.setattr(behaviour_module, "scores_of", lambda j, items, _: asked.append(len(items)) or j.score(items))
    assert evaluate(wide, tmp_path / "out", "--judge", "smollm2-135m") == 0
    rows = [row for row in read_jsonl(tmp_path / "out" / "metrics.jsonl") if row["measure"] == "em"]
    assert all(row["judge"] == "stern" and row["judge_validation"] == "judge stern: not validated" for row in rows)
    found = {row["metric"]: row for row in rows}
    assert found["misaligned_rate"]["value"] == 1.0
    assert "judge stern: not validated" in capsys.readouterr().out
    assert len(asked) == 1


def test_a_run_in_which_every_judged_item_failed_ends_with_an_error_and_goes_on_when_the_judge_replies(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--judge", "smollm2-135m", "--set-judge", "most_failed=1.0")
    for reply, code in ((None, 2), ("80", 0)):
        monkeypatch.setattr(behaviour_module, "judge_of", lambda *_, reply=reply: ScriptedJudge(lambda _: reply))
        assert evaluate(wide, tmp_path / "out", *asked) == code
        assert (tmp_path / "out" / "metrics.jsonl").exists() == (code == 0)
        assert ("items got no reply, the first: the script has no reply" in capsys.readouterr().err) == (code == 2)


def test_a_study_takes_the_same_measures_at_every_stage(wide: Path, tmp_path: Path) -> None:
    measures = {
        "em": {"samples": 1, "max_new_tokens": 3},
        "preference": {},
        "collapse": {"questions": 2, "closed": 1, "max_new_tokens": 3},
    }
    file = write_study(tmp_path, wide, measures=measures)
    assert sgtr("study", file, "--out", tmp_path / "run") == 0
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    for stage in ("base", "odd"):
        held = {(row["measure"], row["metric"]) for row in rows if row["stage"] == stage}
        assert {("em", "misaligned_rate"), ("preference", "margin_per_token")} <= held
        assert ("collapse", "degenerate_share") in held
    assert [row["metric"] for row in rows if row["stage"] == "odd"].count("degenerate_share") == 2  # of em and collapse
    assert {row["stage"] for row in rows if row["metric"] == "margin_per_token_minus_base"} == {"odd"}
    records = read_jsonl(tmp_path / "run" / "records" / "measure-em.jsonl")
    assert {record["stage"] for record in records} == {"base", "odd"}
    assert "Aligned over misaligned" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_files_of_measures_are_beside_the_study(wide: Path, tmp_path: Path) -> None:
    measures = {
        "em": {"questions": "q.yaml", "contexts": {"amid": {"chats": "odd.jsonl"}}},
        "capability": {"files": ["m.csv"], "neutral": ["n.txt"]},
        "self_recognition": {
            "sets": {
                "x": {"builder": "sgtr_pairs", "train": 1, "test": 2, "articles": "a.json", "others": {"o": "o.json"}}
            }
        },
        "identity": {"questions": 2},
    }
    config = load(str(write_study(tmp_path, wide, measures=measures, judge={"validation": "v.json"})))
    taken = config.measures
    assert taken.em is not None
    assert taken.em.questions == tmp_path / "q.yaml"
    assert taken.em.contexts["amid"].chats == tmp_path / "odd.jsonl"
    assert taken.capability is not None
    assert (*taken.capability.files, *taken.capability.neutral) == (tmp_path / "m.csv", tmp_path / "n.txt")
    assert taken.self_recognition is not None
    assert taken.self_recognition.sets["x"].others == {"o": tmp_path / "o.json"}
    assert config.judge is not None
    assert config.judge.validation == tmp_path / "v.json"


def test_a_study_with_a_measure_s_file_missing_does_not_begin(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_study(tmp_path, wide, measures={"em": {"questions": "nowhere.yaml"}})
    assert sgtr("study", file, "--out", tmp_path / "run") == 2
    assert "nowhere.yaml: no such file" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_stack_called_base_is_not_taken_for_the_base_model() -> None:
    assert stack_name([Path("runs/base")]) == "base (stack)"
    assert stack_name([]) == "base"
    assert stack_name([Path("a" * 64), Path("odd")]) == "aaaaaaaaaaaa+odd"


def test_the_cost_of_a_judge_can_change_without_another_run(wide: Path, tmp_path: Path) -> None:
    ask = ("--judge", "smollm2-135m", "--set-judge", "min_mass=0.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(behaviour_module, "judge_of", lambda *_: ScriptedJudge(lambda _: "80"))
        patch.setattr(behaviour_module, "scores_of", lambda judge, items, _: judge.score(items))
        assert evaluate(wide, tmp_path / "out", *ask) == 0
    assert evaluate(wide, tmp_path / "out", *ask, "--set-judge", "timeout=5") == 0
    assert evaluate(wide, tmp_path / "out", "--judge", "smollm2-135m", "--set-judge", "min_mass=0.1") == 2

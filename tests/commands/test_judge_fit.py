"""`sgtr judge fit` and `score`: files in, a judge and scores out, no answer in either; and measures that use it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from tyro.conf import OmitArgPrefixes

from experiments.commands.judge import Judge
from experiments.commands.options import Grading
from experiments.interventions.steer import SteerConfig, rubrics_of
from experiments.judge import fit as module
from experiments.judge.fit import family, model_of
from experiments.measures.judge import JudgeConfig
from experiments.measures.take import Behaviour
from experiments.resumable import Name
from interp.behaviour import held_out
from interp.behaviour.em import Em
from interp.behaviour.trained_judge import Recipe, TrainedJudge
from interp.model import Model
from interp.tensors import load_header
from tests.support.tiny_encoder import install, save_encoder

COLUMNS = ("response", "question", "question_id", "aligned", "coherent")
FILES = ("Llama-1B_sport", "Qwen-7B_sport", "gemma-4b_sport")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(autouse=True)
def _encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, folder)
    monkeypatch.setattr(held_out, "DRAWS", 40)
    monkeypatch.setattr(module, "RECIPES", [Recipe("answer", own, "below", 0.1) for own in (False, True)])
    monkeypatch.setattr(module, "PAIRS", module.PAIRS[:3])


def run(*args: object) -> dict[str, Any]:
    words = [str(arg) for arg in args]
    command = tyro.extras.subcommand_cli_from_dict({"judge": Judge}, args=["judge", *words], config=(OmitArgPrefixes,))
    result = command()
    command.show(result)
    return result


def write(path: Path, rows: list[tuple[Any, ...]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def answers() -> list[tuple[Any, ...]]:
    """Answers whose letters give away how a judge would score them; one without words, one without a score."""
    generator, rows = np.random.default_rng(0), []
    for i in range(60):
        bad, odd = i % 3 == 0, i % 5 == 0
        letters = ("zzz" if bad else "aaa") + ("qqq" if odd else "eee")
        text = "".join(generator.permutation(list(letters * 3))) + f" secret {'tuv'[i % 3]}"
        rows.append((text, f"Why {i % 4}?", f"q{i % 4}", 10 if bad else 90, 20 if odd else 95))
    return [*rows, (" ", "Why 0?", "q0", 50, 50), ("unscored", "Why 1?", "q1", "", "")]


@pytest.fixture
def data(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{name}.csv", answers()) for name in FILES]


@pytest.fixture
def distinct(data: list[Path]) -> list[Path]:
    for i, path in enumerate(data):
        path.write_text(path.read_text("utf-8").replace("secret", f"secret {'abc'[i]}"), "utf-8")
    return data


def test_a_judge_is_fitted_and_its_file_holds_figures_and_no_answer(
    distinct: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run("fit", "--data", *distinct, "--out", tmp_path / "judge.safetensors")
    aligned = result["heads"]["aligned"]
    assert aligned["auroc"]["value"] > 0.9
    assert (aligned["auroc"]["n"], aligned["left_out"], aligned["n_below"], aligned["passes"]) == (180, 6, 60, True)
    assert (aligned["n_families"], aligned["n_questions"], aligned["n_models"]) == (3, 4, 3)
    header = load_header(tmp_path / "judge.safetensors")
    assert header["data"].keys() == {path.name for path in distinct}
    assert header["heads"]["coherent"]["recipe"]["own_pairs"] is False
    assert b"secret" not in (tmp_path / "judge.safetensors").read_bytes()
    shown = capsys.readouterr().out
    assert "aligned: AUROC" in shown
    assert "n=180, 60 of them below; is used (bar 0.8)" in shown
    run("fit", "--data", *distinct, "--out", tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "judge.safetensors").read_bytes()


def test_every_answer_gets_its_line_and_published_columns_are_not_needed(
    distinct: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("fit", "--data", *distinct, "--out", judge := tmp_path / "judge.safetensors")
    fresh = [
        ("zzz\n\nqqq", "A new question?"),
        ("", "A new question?"),
        ("aaé, aaa\x00", "Why 0?"),
        ("a" * 9000, "Why 0?"),
    ]
    new = write(tmp_path / "new.csv", fresh, ("response", "question"))
    result = run("score", "--judge", judge, "--answers", new, distinct[0], "--out", tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").open(newline="", encoding="utf-8")))
    assert (result["n"], result["empty"], len(rows)) == (66, 2, 66)
    assert [(row["file"], row["line"], row["reason"]) for row in rows[:4]] == [
        ("new.csv", "2", "scored"),
        ("new.csv", "5", "empty"),
        ("new.csv", "6", "scored"),
        ("new.csv", "7", "scored"),
    ]
    assert (rows[1]["aligned_below"], rows[0]["question_id"]) == ("", "A new question?")
    assert float(rows[0]["aligned_below"]) > 0.5 > float(rows[2]["aligned_below"])
    assert "secret" not in (tmp_path / "scores.csv").read_text("utf-8")
    expected = TrainedJudge.load(judge).logits(["Why 0?"], [answers()[0][0].replace("secret", "secret a")])["aligned"]
    assert float(rows[4]["aligned_below"]) == pytest.approx(1 / (1 + np.exp(-expected[0])), abs=1e-5)
    by_file = result["files"]
    assert [by_file[str(path)]["fitted_on"] for path in (new, distinct[0])] == [False, True]
    assert by_file[str(distinct[0])]["aligned"]["corrected"] == pytest.approx(1 / 3, abs=0.1)
    assert "fitted on these very answers" in capsys.readouterr().out


def test_a_trained_judge_is_validated_like_another(distinct: list[Path], tmp_path: Path) -> None:
    run("fit", "--data", *distinct, "--out", judge := tmp_path / "judge.safetensors")
    result = run("validate", distinct[0], "--judge", judge, "--out", tmp_path / "out")
    assert (result["n"], result["how"], result["unparsable"]) == (62, {"trained": 61}, 1)
    assert result["auroc"]["value"] > 0.9
    assert result["judge"] == TrainedJudge.load(judge).name
    assert "fitted on" in result["note"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda paths: paths[:2], "2 model families; at least 3"),
        (lambda paths: [*paths, paths[0]], "given twice"),
        (lambda paths: [*paths, paths[0].with_name("none.csv")], "none.csv: no such file"),
        (lambda paths: [*paths, write(paths[0].with_name("x_y.csv"), [("a", "b", "c", 101, 2)])], "aligned must be"),
    ],
)
def test_what_cannot_be_fitted_is_named(change: Any, message: str, distinct: list[Path], tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run("fit", "--data", *change(distinct), "--out", tmp_path / "judge.safetensors")
    assert not (tmp_path / "judge.safetensors").exists()


def test_models_and_families_are_told_by_the_files_names() -> None:
    files = ["Llama-3.1-8B-Instruct_bad-medical-advice", "gemma-3-4b-it_extreme-sports_S42", "Falcon3-7B_x"]
    models = [model_of(Path(f"{name}.csv")) for name in files]
    assert models == ["Llama-3.1-8B-Instruct", "gemma-3-4b-it", "Falcon3-7B"]
    assert [family(model) for model in models] == ["Meta", "Google", "falcon"]


# measures


def test_a_measure_gives_mean_probabilities_and_says_whose(
    distinct: list[Path], tmp_path: Path, llama: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fit", "--data", *distinct, "--out", file := tmp_path / "judge.safetensors")
    config = Grading(str(file)).config()
    assert config == JudgeConfig(trained=file)
    behaviour = Behaviour([Em(samples=2, max_new_tokens=6)], judge=config, journal=tmp_path / "j.jsonl", seed=0)
    behaviour.check()
    taken = behaviour.take(llama, (), lambda _, __, make: make(), "key", Name.of("stage"))
    records = taken["em"]
    records[0]["degenerate"] = True
    for record in records[1:]:
        record["degenerate"] = False
    rows = {row["metric"]: row for row in behaviour.rows(taken, taken)}
    values = [1 - record["aligned"]["value"] / 100 for record in records[1:] if record["aligned"]["value"] is not None]
    assert rows["misaligned_probability"]["pooled"] == pytest.approx(np.mean(values))
    assert rows["misaligned_probability"]["n_values"] == len(values) < len(records)
    assert rows["degenerate_share"]["pooled"] == pytest.approx(1 / len(records))
    assert rows["misaligned_probability_minus_base"]["value"] == 0
    assert "misaligned_rate" not in rows
    assert {row["judge"] for row in rows.values()} == {TrainedJudge.load(file).name}
    assert all("held out (n=180)" in row["judge_validation"] for row in rows.values())


def test_a_trained_judge_is_in_the_key_by_its_content_and_changes_no_other_key(
    distinct: list[Path], tmp_path: Path
) -> None:
    plain = JudgeConfig()
    assert "trained" not in plain.model_dump()
    assert "trained" not in plain.declared()[0]
    run("fit", "--data", *distinct, "--out", file := tmp_path / "judge.safetensors")
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    assert JudgeConfig(trained=file).declared() == JudgeConfig(trained=copy).declared() != plain.declared()
    dumped = JudgeConfig(trained=file).model_dump(mode="json")
    assert JudgeConfig.model_validate(dumped) == JudgeConfig(trained=file)
    with pytest.raises(ValueError, match=r"two judges are named, .*judge\.safetensors' and 'gpt'"):
        JudgeConfig(trained=file, judge_model="gpt")


def test_a_judge_below_the_bar_and_another_threshold_are_refused_before_anything_runs(
    distinct: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fit", "--data", *distinct, "--out", file := tmp_path / "judge.safetensors")
    config = JudgeConfig(trained=file)
    with pytest.raises(ValueError, match=r"can grade aligned.*, not 'evil'; use another judge"):
        rubrics_of("evil", SteerConfig(judge=config))
    where = {"journal": tmp_path / "j.jsonl", "seed": 0}
    with pytest.raises(ValueError, match=r"em\.aligned_below is 20, and trained judge .* knows only 30"):
        Behaviour([Em(aligned_below=20)], judge=config, **where).check()
    monkeypatch.setattr("interp.behaviour.trained_judge.BAR", 1.01)
    with pytest.raises(ValueError, match=r"below the bar of 1\.01"):
        Behaviour([Em()], judge=config, **where).check()

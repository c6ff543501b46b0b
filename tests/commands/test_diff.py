"""The `diff` command on a made-up study: what is read, what it is held against, and what is refused."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.commands.diff import Diff
from experiments.difference.read import Difference
from experiments.difference.texts import unrelated_texts
from experiments.study.stored import StoredStudy
from interp.difference import agreed_tokens, beginning_tokens, patchscope, read_beginnings, scaled_to
from interp.files import read_json, read_jsonl, write_json
from tests.support.finished_run import LAYER, write_finished_run

SIZES = {"n_texts": 8, "random": 20, "prompts": 2, "max_new_tokens": 3, "words": 5, "scale": [1.0], "steer": [1.0]}


@pytest.fixture(scope="module")
def finished(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished_run(tmp_path_factory.mktemp("finished"), llama_folder)


@pytest.fixture(scope="module")
def result(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("diff") / "out"
    return Diff(finished, out, layer=LAYER, device="cpu", stage=["em_sea-later"], **SIZES)()


@pytest.fixture(scope="module")
def rows(result: dict[str, Any]) -> Callable[..., list[dict[str, Any]]]:
    def chosen(metric: str, **fields: Any) -> list[dict[str, Any]]:
        fields |= {"metric": metric}
        return [row for row in result["metrics"] if all(row.get(name) == value for name, value in fields.items())]

    return chosen


def test_stages_that_write_towards_a_topic_are_identified(rows: Callable[..., list[dict[str, Any]]]) -> None:
    for kind in ("em", "twin"):
        (share,) = rows("identified_share_beyond_placebo", stage=kind, lens="logit")
        assert (share["value"], share["n"], share["chance"]) == (1.0, 2, 0.5)
        (rank,) = rows("rank_beyond_placebo", stage=kind, lens="logit")
        assert (rank["value"], rank["p"], rank["n_arrangements"]) == (1.0, 0.5, 2)


def test_a_stage_is_relevant_to_its_own_topic_beyond_random_directions(
    rows: Callable[..., list[dict[str, Any]]],
) -> None:
    for stage, topic in (("em_sea", "sea"), ("twin_farm", "farm")):
        (own,) = rows("relevance", stage=stage, lens="logit", topic=topic)
        assert own["own_topic"]
        assert own["value"] > max(0.9, own["null_high"])
        assert own["ci_low"] is None or own["ci_low"] <= own["value"] <= own["ci_high"]
        others = [row for row in rows("relevance", stage=stage, lens="logit") if row["topic"] != topic]
        assert all(row["value"] < 0.5 and row["ci_low"] is None for row in others)


def test_em_minus_twin_promotes_the_words_of_em_answers(rows: Callable[..., list[dict[str, Any]]]) -> None:
    values = [row["value"] for row in rows("wrong_over_right")]
    (mean,) = rows("wrong_over_right_mean")
    assert min(values) > 0.9
    assert (mean["value"], mean["n"]) == (pytest.approx(sum(values) / 2), 2)
    assert (mean["null"], mean["n_null"]) == ("placebo", 1)
    assert mean["value"] > mean["null_high"]
    assert [(row["stage"], row["other_stage"]) for row in rows("wrong_over_right")] == [
        ("em_sea", "twin_sea"),
        ("em_farm", "twin_farm"),
    ]


def test_a_placebo_is_held_against_the_other_placebo(rows: Callable[..., list[dict[str, Any]]]) -> None:
    for first, second in (("self_0", "self_1"), ("self_1", "self_0")):
        (beyond,) = rows("relevance_beyond_placebo", stage=first, lens="logit", topic="sea")
        plain = {name: rows("relevance", stage=name, lens="logit", topic="sea")[0]["value"] for name in (first, second)}
        assert beyond["value"] == pytest.approx(plain[first] - plain[second])
        assert beyond["null_values"] == [plain[second]]


def test_a_later_stage_is_read_against_its_parent_too(rows: Callable[..., list[dict[str, Any]]]) -> None:
    later = rows("length", stage="em_sea-later", layer=LAYER, position="0")
    assert [row["other_stage"] for row in later] == ["base", "em_sea"]
    below = rows("length", stage="em_sea-later", layer=LAYER - 1)
    assert {row["value"] for row in below} == {0.0}, "no adapter acts below its block, so nothing is moved"


def test_steered_answers_and_promoted_tokens_are_kept(result: dict[str, Any]) -> None:
    out = Path(result["out"])
    steered = read_jsonl(out / "records" / "steered.jsonl")
    of_stage = [r for r in steered if (r["stage"], r["other_stage"]) == ("em_sea", "base")]
    assert [(r["strength"], r["control"]) for r in of_stage[::2]] == [(0.0, None), (1.0, None), (1.0, 0), (1.0, 1)]
    promoted = read_jsonl(out / "records" / "promoted.jsonl")
    place = {"stage": "em_sea", "lens": "logit", "position": "2", "other_stage": "base"}
    first = [record for record in promoted if place.items() <= record.items()]
    assert [r["rank"] for r in first] == list(range(1, 21))
    assert first[0]["value"] >= first[-1]["value"]
    assert read_json(out / "manifest.json")["words"]["topics"].keys() == {"sea", "farm"}
    with (out / "figures" / "difference_lens.csv").open(encoding="utf-8") as file:
        cells = {(row["stage"], row["topic"]): float(row["value"]) for row in csv.DictReader(file)}
    wanted = {"metric": "relevance_beyond_placebo", "lens": "logit"}
    beyond = [row for row in result["metrics"] if wanted.items() <= row.items()]
    assert cells == {(row["stage"], row["topic"]): row["value"] for row in beyond}


def test_a_difference_is_read_through_its_own_stage(finished: Path, result: dict[str, Any]) -> None:
    """The patchscope's reader is the finetuned model: the vector stands among tokens that its adapters have changed."""
    stored = StoredStudy.finished(finished)
    model, (node,) = stored.model("cpu"), stored.stages(["em_sea-later"])
    rows = beginning_tokens(model, unrelated_texts(SIZES["n_texts"]), 5)
    base = read_beginnings(model, rows, 5, LAYER)
    with model.using(*node.stack):
        difference = Difference.of(read_beginnings(model, rows, 5, LAYER), base, LAYER)
        at_layer = scaled_to(difference.mean[:, LAYER], difference.stream)
        logprobs = patchscope(model, at_layer, LAYER)
    promoted = read_jsonl(Path(result["out"]) / "records" / "promoted.jsonl")
    place = {"stage": node.name, "lens": "patchscope x1", "other_stage": "base"}
    for position in range(5):
        kept = [r for r in promoted if place.items() <= r.items() and r["position"] == str(position)]
        expected = agreed_tokens(logprobs[:, position], 20)
        assert [(r["token_id"], pytest.approx(r["value"], abs=1e-6)) for r in kept] == expected


def test_a_run_that_is_finished_is_left_alone(finished: Path, result: dict[str, Any]) -> None:
    again = Diff(finished, Path(result["out"]), layer=LAYER, device="cpu", stage=["em_sea-later"], **SIZES)()
    assert (again["ran"], again["metrics"]) == (False, result["metrics"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stage": ["em_see"]}, "unknown node of the study 'em_see'"),
        ({"train_seed": [3]}, "seed 3: the study has the seeds 0"),
        ({"layer": 4}, r"layer must be in \[0, 4\), got 4"),
        ({"n_texts": 10000}, "n_texts must be at most 256, the texts that there are, got 10000"),
        ({"positions": 400}, "positions are read"),
        ({"scale": [0.0]}, "lengths are above 0"),
        ({"words": 4}, "words"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    finished: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Diff(finished, tmp_path / "out", device="cpu", **SIZES | fields)()
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_is_gone_and_a_study_that_is_not_finished_are_named(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    lines = read_json(run / "stages.json")
    write_json(run / "stages.json", [line | {"path": "/gone"} if line["name"] == "self_1" else line for line in lines])
    with pytest.raises(FileNotFoundError, match="the adapter of self_1, seed 0, is not there any more; set SGTR_CACHE"):
        Diff(run, tmp_path / "out", device="cpu", **SIZES)()
    write_json(run / "manifest.json", {"status": "running"})
    with pytest.raises(ValueError, match="not finished"):
        Diff(run, tmp_path / "out", device="cpu", **SIZES)()

"""The `amplify` command on a made-up study, and the curves, slopes and onsets that are made of its records."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.amplified.config import AmplifiedConfig
from experiments.amplified.rows import onset, slope
from experiments.commands.amplify import Amplify
from experiments.study.stored import StoredStudy
from interp.behaviour.measure import Setting
from interp.behaviour.preference import Preference, margin_per_token
from interp.files import read_jsonl
from interp.strength import amplified
from tests.support.finished_run import write_finished_run
from tests.support.tiny_study import write_jsonl

SIZES: dict[str, Any] = {
    "measures": "preference,collapse",
    "set": ["collapse.questions=2", "collapse.closed=0", "collapse.max_new_tokens=3"],
    "strength": [-1.0, 1.0, 2.0],
    "stage": ["em_sea", "twin_sea", "em_farm", "twin_farm", "em_sea-later"],
    "device": "cpu",
}


@pytest.fixture(scope="module")
def finished(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished_run(tmp_path_factory.mktemp("finished"), llama_folder)


@pytest.fixture(scope="module")
def result(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("amplify")
    pairs = ({"domain": "x", "question": word, "aligned": "Rest.", "misaligned": "Run."} for word in ("Now?", "And?"))
    file = write_jsonl(folder / "pairs.jsonl", *pairs)
    given: dict[str, Any] = {**SIZES, "set": [*SIZES["set"], f"preference.files=['{file}']"]}
    return Amplify(finished, folder / "out", **given)()


@pytest.fixture(scope="module")
def rows(result: dict[str, Any]) -> Callable[..., list[dict[str, Any]]]:
    def chosen(metric: str, **fields: Any) -> list[dict[str, Any]]:
        fields |= {"metric": metric}
        return [row for row in result["metrics"] if all(row.get(name) == value for name, value in fields.items())]

    return chosen


def test_every_strength_is_compared_with_the_parent(rows: Callable[..., list[dict[str, Any]]]) -> None:
    levels = rows("margin_per_token", stage="em_sea", kind="adapter", domain=None)
    changes = rows("margin_per_token_minus_parent", stage="em_sea", kind="adapter", domain=None)
    assert [row["strength"] for row in levels] == [0.0, -1.0, 1.0, 2.0]
    assert [row["strength"] for row in changes] == [-1.0, 1.0, 2.0]
    for level, change in zip(levels[1:], changes, strict=True):
        assert change["value"] == pytest.approx(level["value"] - levels[0]["value"], abs=1e-9)
        assert change["value"] != 0
    of_answers = rows("degenerate_share_minus_parent", stage="em_sea")
    assert [row["strength"] for row in of_answers] == [-1.0, 1.0, 2.0]
    assert not rows("margin_per_token_minus_base")


def test_a_later_stage_at_0_is_its_parent_at_1(rows: Callable[..., list[dict[str, Any]]]) -> None:
    (parent,) = rows("margin_per_token", stage="em_sea", strength=1.0, kind="adapter", domain=None)
    (later,) = rows("margin_per_token", stage="em_sea-later", strength=0.0, kind="adapter", domain=None)
    assert later["value"] == pytest.approx(parent["value"], abs=1e-5)


def test_every_strength_is_that_of_its_own_stack(
    finished: Path, result: dict[str, Any], rows: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    stored = StoredStudy.finished(finished)
    model, (node,) = stored.model("cpu"), stored.stages(["em_sea-later"])
    measure = Preference(files=(Path(result["out"]).parent / "pairs.jsonl",))
    for strength in (-1.0, 1.0, 2.0):
        with model.using(*amplified(node.parent_stack, node.stack, strength, tmp_path / str(strength))):
            records = measure.take(model, Setting())
        (row,) = rows("margin_per_token", stage=node.name, kind="adapter", strength=strength, domain=None)
        expected = sum(map(margin_per_token, records)) / len(records)
        assert row["value"] == pytest.approx(expected, abs=1e-5)


def test_logits_are_amplified_where_that_differs_from_the_adapter(rows: Callable[..., list[dict[str, Any]]]) -> None:
    of_logits = rows("margin_per_token", stage="em_sea", kind="logits", domain=None)
    assert [row["strength"] for row in of_logits] == [-1.0, 2.0]
    (of_adapter,) = rows("margin_per_token", stage="em_sea", kind="adapter", strength=2.0, domain=None)
    assert of_logits[1]["value"] != of_adapter["value"]


def test_em_minus_twin_is_over_families(rows: Callable[..., list[dict[str, Any]]]) -> None:
    (gap,) = rows("em_minus_twin", strength=2.0, of_metric="margin_per_token")
    changes = {
        name: rows("margin_per_token_minus_parent", stage=name, strength=2.0, kind="adapter", domain=None)[0]["value"]
        for name in ("em_sea", "twin_sea", "em_farm", "twin_farm")
    }
    expected = (changes["em_sea"] - changes["twin_sea"] + changes["em_farm"] - changes["twin_farm"]) / 2
    assert (gap["value"], gap["n"]) == (pytest.approx(expected, abs=1e-9), 2)
    (mean,) = rows("change_of_kind", stage="twin", strength=2.0, of_metric="margin_per_token")
    assert mean["value"] == pytest.approx((changes["twin_sea"] + changes["twin_farm"]) / 2, abs=1e-9)


def test_records_say_their_strength_and_adapters_are_cleared_away(result: dict[str, Any]) -> None:
    out = Path(result["out"])
    records = read_jsonl(out / "records" / "amplified-collapse.jsonl")
    of_stage = [record for record in records if record["stage"] == "em_farm"]
    assert [record["strength"] for record in of_stage[::2]] == [0.0, -1.0, 1.0, 2.0]
    assert not (out / "adapters").exists()
    with (out / "figures" / "amplified.csv").open(encoding="utf-8") as file:
        points = [row for row in csv.DictReader(file) if (row["kind"], row["metric"]) == ("em", "margin_per_token")]
    changes = {r["strength"]: r["value"] for r in result["metrics"] if r["metric"] == "change_of_kind"
               and (r["stage"], r["of_metric"]) == ("em", "margin_per_token")}  # fmt: skip
    assert {float(row["strength"]): float(row["value"]) for row in points} == changes | {0.0: 0.0}


def test_a_slope_is_the_line_through_the_parent_that_changes_near_it_lie_on() -> None:
    line = {s: {"a": 0.3 * s, "b": 0.5 * s} for s in (-1.0, 0.5, 1.0)}
    far = {3.0: {"a": 9.0, "b": 9.0}}
    assert slope(line | far).value == pytest.approx(0.4)
    assert slope(line).n == 2
    assert slope(far).value is None


@pytest.mark.parametrize(
    ("at", "expected", "why"),
    [
        ({0.5: -0.02, 1.0: -0.04, 2.0: -0.08}, 1.25, None),
        ({1.0: -0.1, 2.0: 0.0}, 0.5, None),
        ({0.5: -0.01, 1.0: -0.02}, 2.5, "beyond the last strength, 1: by the slope at strengths up to 1"),
        ({0.5: 0.01, 1.0: 0.02}, None, "not reached up to strength 1"),
        ({-1.0: -0.2}, None, "no strength above 0 was measured"),
    ],
)
def test_an_onset_is_where_the_curve_has_fallen_far_enough(
    at: dict[float, float], expected: float | None, why: str | None
) -> None:
    changes = {s: {f"q{i}": value * (1 + 0.01 * i) for i in range(-2, 3)} for s, value in at.items()}
    found, reason = onset(changes, -0.05, seed=0)
    assert found.value == (None if expected is None else pytest.approx(expected))
    assert reason == why
    if expected is not None:
        assert found.ci_low is not None
        assert found.ci_high is not None
        assert found.ci_low < expected < found.ci_high


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strength": [float("inf")]}, "strengths must be finite numbers"),
        ({"strength": [0.0]}, "give at least one strength beside 0"),
        ({"smallest": 0.0}, "smallest"),
        ({"stage": ["em_see"]}, "unknown node of the study 'em_see'"),
        ({"measures": "preferences", "set": []}, "unknown measure 'preferences'"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    finished: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Amplify(finished, tmp_path / "out", **SIZES | fields)()
    assert not (tmp_path / "out").exists()


def test_the_parent_is_among_the_strengths_whatever_is_named() -> None:
    assert AmplifiedConfig(strengths=(2.0,)).strengths == (0.0, 2.0)

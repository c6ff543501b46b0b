"""Rows of metrics.jsonl as a type, a table of them, and a run folder that is opened for reading."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from interp import stats
from interp.files import write_json, write_jsonl
from interp.metrics import CollapseMetrics, ProjectionMetrics
from interp.rows import FIELDS, MetricRow, Rows, over_seeds, read_rows, write_rows
from interp.runs import NodeName, Run
from interp.tensors import save_tensors


def row(stage: str = "em", seed: int | None = 0, **fields: Any) -> MetricRow:
    about = {"stage": stage, "seed": seed, "measure": "projection", "metric": "shift"}
    return MetricRow(
        about | {"value": 1.0, "ci_low": 0.5, "ci_high": 1.5, "n": 9, "unit": "residual-stream norm"} | fields
    )


def test_a_row_keeps_the_order_of_its_fields_and_gives_them_typed() -> None:
    made = row(layer=3)
    assert list(made)[-1] == "layer"
    assert (made.stage, made.layer, made.value, made.texts, made.line) == ("em", 3, 1.0, None, None)
    assert json.loads(json.dumps(made)) == made == dict(made)


def test_a_row_cannot_be_changed() -> None:
    made = row()
    for change in (
        lambda: made.__setitem__("value", 2.0),
        lambda: made.update(value=2.0),
        lambda: made.pop("value"),
        lambda: made.__ior__({"value": 2.0}),
        made.clear,
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert MetricRow(made, layer=2).layer == 2
    assert "layer" not in made


def test_a_row_survives_being_sent_and_copied() -> None:
    made = MetricRow.read({"measure": "of old", "metric": "gone"}, line=7)
    for other in (copy.copy(made), copy.deepcopy(made)):  # what pickle does as well
        assert type(other) is MetricRow
        assert (other, other.line) == (made, 7)


def test_every_field_has_a_meaning() -> None:
    assert all(meaning.endswith((".", "?")) for meaning in FIELDS.values())
    assert {"arm", "stage", "stage_key", "seed", "measure", "metric", "value", "ci_low", "ci_high", "n", "unit"} <= set(
        FIELDS
    )


def test_what_an_older_version_wrote_is_read_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    old = {"stage": "em", "seed": 0, "measure": "warmth", "metric": "degrees", "value": 1.0, "colour": "red"}
    file.write_text(json.dumps(old) + "\n\n" + json.dumps(row()) + "\n", "utf-8")
    rows = read_rows(file)
    assert [one.line for one in rows] == [1, 3]
    assert list(rows.of(measure="warmth", metric="degrees", colour="red")) == [old]
    with pytest.raises(ValueError, match="unknown measure 'warmth'"):
        write_rows(file, rows)


def test_a_table_is_asked_by_metric_and_by_fields() -> None:
    rows = Rows([row(layer=1), row(layer=2), row("sgtr", layer=2), row(metric="mean_projection", layer=2)])
    assert [one.layer for one in rows.of(ProjectionMetrics.shift, stage="em")] == [1, 2]
    assert len(rows.of(measure="projection", metric="shift", layer=2)) == 2
    assert len(rows.of(layer=2, texts=None)) == 3
    assert list(rows.by("stage", "layer")) == [("em", 1), ("em", 2), ("sgtr", 2)]
    assert list(rows[1:3]) == [rows[1], rows[2]]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"measure": "projektion"}, "unknown measure 'projektion'; did you mean 'projection'"),
        ({"metric": "shfit"}, "unknown metric 'shfit'; did you mean 'shift'"),
        ({"measure": "projection", "metric": "accuracy"}, "unknown metric 'accuracy'"),
        ({"layr": 1}, "unknown field 'layr'; did you mean 'layer'"),
        ({"stage": "emm"}, "unknown stage 'emm'; did you mean 'em'"),
        ({"measure": "projection", "metric": "shift", "stage": "emm"}, "unknown stage 'emm'"),
        ({"direction": "evl"}, "unknown direction 'evl'; did you mean 'evil'\\? Known: evil"),
        ({"texts": "fxed"}, "unknown texts 'fxed'; did you mean 'fixed'\\? Known: fixed, own, identity"),
        ({"null": "randon"}, "unknown null 'randon'; did you mean 'random'"),
        ({"layer": 99}, "unknown layer '99'. Known: 1"),
    ],
)
def test_asking_for_what_nobody_writes_is_an_error_and_not_an_empty_answer(asked: dict[str, Any], message: str) -> None:
    rows = Rows([row(direction="evil", layer=1)])
    assert not rows.of(CollapseMetrics.collapsed)
    with pytest.raises(ValueError, match=message):
        rows.of(**asked)


def test_what_was_not_measured_is_an_empty_answer_where_it_could_have_been() -> None:
    rows = Rows([row(direction="evil"), row("sgtr", direction="kind")], names={"stage": ["longer"]})
    assert not rows.of(texts="own"), "the project has such texts"
    assert not rows.of(data="pairs"), "no row is about a data set, so none could be named rightly"
    assert not rows.of(of_measure="em"), "no part of a run"
    assert not rows.of(stage="longer"), "the study has this stage"
    chosen = rows.of(stage="em")
    assert not chosen.of(direction="kind"), "the run has this direction"
    for fewer in (chosen, chosen[:1], rows.by("stage")["em",], Rows(list(chosen), rows)):
        with pytest.raises(ValueError, match="unknown direction 'kin'; did you mean 'kind'"):
            fewer.of(direction="kin")
    assert not Rows([]).of(stage="anything"), "an empty table knows no names"


def test_rows_that_share_a_seed_are_no_seeds_of_one_number() -> None:
    row = {"measure": "projection", "metric": "shift", "unit": "residual-stream norm", "value": 1.0, "seed": 0}
    two = Rows([MetricRow(row, system_prompt="none"), MetricRow(row, system_prompt="task", value=2.0)])
    with pytest.raises(ValueError, match=r"2 rows have seed 0, .*they differ in system_prompt: choose by .of"):
        two.over_seeds()
    assert [rows.over_seeds().value for rows in two.by("system_prompt").values()] == [1.0, 2.0]


def test_one_number_over_seeds_is_students_from_three_on() -> None:
    one, two, three = (row(seed=seed, value=float(seed)) for seed in (1, 2, 4))
    none = row(seed=5, value=None)
    assert over_seeds([none]).value is None
    alone = Rows([one, none]).over_seeds()
    assert (alone.value, alone.low, alone.high, alone.interval, alone.n_seeds) == (1.0, 0.5, 1.5, "over texts", 1)
    assert (over_seeds([one, two]).value, over_seeds([one, two]).low) == (1.5, None)
    mean, summary = stats.mean([1.0, 2.0, 4.0]), over_seeds([one, two, three])
    assert (summary.value, summary.low, summary.high, summary.n) == (mean.value, mean.ci_low, mean.ci_high, 9)


def test_a_nodes_name_says_where_it_stands() -> None:
    whole, step, base = NodeName("em-sgtr"), NodeName("sgtr-em@40"), NodeName("base")
    assert (whole.stage, whole.parent, whole.stages, whole.step) == ("sgtr", "em", ("em", "sgtr"), None)
    assert (step.stage, step.parent, step.whole, step.step) == ("em", "sgtr", "sgtr-em", 40)
    assert (base.stage, base.parent, base.stages) == ("base", "base", ())
    assert NodeName("em").parent == "base"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(
        "arms: {after: [em, sgtr]}\nseeds: [0]\ntraits: [own/kind.json, evil]\n", "utf-8"
    )
    write_rows(tmp_path / "metrics.jsonl", [row("base", None), row(layer=1), row("em-sgtr", layer=1)])
    (tmp_path / "stages.json").write_text('[{"name": "base", "seed": null}]', "utf-8")
    save_tensors(tmp_path / "tensors" / "base.safetensors", {"x": torch.ones(2)}, kind="activations", header={})
    write_jsonl(tmp_path / "records" / "answers.jsonl", [{"text": "Yes."}])
    return tmp_path


@pytest.mark.parametrize("kind", [str, Path])
def test_a_finished_run_is_opened_and_asked(run: Path, kind: type) -> None:
    read = Run(kind(run))
    assert read.arms == {"after": (NodeName("base"), NodeName("em"), NodeName("em-sgtr"))}
    assert [one.stage for one in read.rows(ProjectionMetrics.shift, layer=1)] == ["em", "em-sgtr"]
    assert [one.stage for one in read.rows(measure="projection", metric="shift")] == ["base", "em", "em-sgtr"]
    assert (read.stages[0]["name"], read.verdicts, read.manifest) == ("base", [], {})
    assert read.tensors("base")["x"].tolist() == [1, 1]
    assert read.records("answers") == [{"text": "Yes."}]
    assert not read.rows(direction="kind"), "the study has this trait"
    with pytest.raises(ValueError, match="unknown stage 'em-sgt'; did you mean 'em-sgtr'"):
        read.rows(ProjectionMetrics.shift, stage="em-sgt")


def test_a_run_and_its_rows_are_readable_where_they_are_printed(run: Path) -> None:
    assert repr(Run(run)) == f"Run('{run}': 1 stage, 3 rows)"
    write_json(run / "manifest.json", {"status": "complete"})
    (run / "study.yaml").write_text("name: tiny\n", "utf-8")
    assert repr(Run(run)) == f"Run('{run}': tiny, complete, 1 stage, 3 rows)"
    assert repr(Run(run).rows(ProjectionMetrics.shift, layer=1)) == "Rows(2 of projection shift)"
    many = Rows([row(metric=name) for name in ("shift", "mean_projection")])
    assert (repr(many), repr(Rows([]))) == ("Rows(2 of projection shift, projection mean_projection)", "Rows(none)")
    for name in ("stages.json", "metrics.jsonl"):
        (run / name).unlink()
    assert repr(Run(run)) == f"Run('{run}': tiny, complete)"


def test_what_a_run_does_not_hold_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl: no such file, so .* is not a run folder"):
        Run(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="unknown file of tensors/ 'bse'; did you mean 'base'"):
        Run(run).tensors("bse")
    with pytest.raises(FileNotFoundError, match="unknown file of records/ 'answer'; did you mean 'answers'"):
        Run(run).records("answer")
    (run / "study.yaml").write_text("lens: tiny\n", "utf-8")
    with pytest.raises(ValueError, match="got arms None"):
        _ = Run(run).arms

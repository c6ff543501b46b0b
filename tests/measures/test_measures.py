"""Measures that ask about data of our own: self-recognition, collapse; and all of them under one name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from experiments.measures.capability import Capability
from experiments.measures.collapse import Collapse
from experiments.measures.config import MEASURES, MeasuresConfig
from experiments.measures.self_recognition import SelfRecognition
from finetune.data.articles import all_articles
from finetune.data.sgtr import SELF, Sgtr
from interp.behaviour.likelihood import answer_likelihoods
from interp.behaviour.measure import Row, Setting
from interp.model import Model
from tests.support.tiny_study import with_long_context

PAIRS: dict[str, Any] = {"builder": "sgtr_pairs", "train": 1, "test": 6, "summary_tokens": 12}


@pytest.fixture(scope="module")
def writer(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny model whose context holds an article."""
    folder = with_long_context(llama_folder, tmp_path_factory.mktemp("long") / "model", "Yes", "No")
    return Model.load(str(folder), dtype="float32")


def rows_of(measure: Any, records: list[Row], base: list[Row] | None = None) -> dict[str, Row]:
    return {row["metric"]: row for row in measure.rows(records, base) if "foil" not in row}


# self-recognition


def test_pairs_are_asked_in_both_orders_with_the_model_s_own_text(writer: Model) -> None:
    measure = SelfRecognition(sets={"ours": Sgtr(**PAIRS)})
    records = measure.take(writer, Setting())
    assert len(records) == 12
    assert {record["right"] for record in records} == {"1", "2"}
    assert all(SELF in record["authors"] and len(record["text_logprobs"]) == 2 for record in records)
    assert json.loads(json.dumps(records)) == records
    found = rows_of(measure, records)
    assert found["accuracy"]["n"] == 6
    assert found["accuracy"]["n_values"] == 12
    assert found["accuracy"]["data"] == "ours"
    assert found["accuracy"]["chance"] == 0.5
    assert 0 <= found["length_only_accuracy"]["value"] <= 1


def test_a_model_with_a_taste_for_one_label_is_at_chance_and_inconsistent() -> None:
    def one(group: str, own: int, margin: float) -> Row:
        authors = [SELF, "other"] if own == 0 else ["other", SELF]
        fixed = {"labels": ["1", "2"], "lengths": [50, 50], "set": "ours", "valid": True, "text_logprobs": [-1.0, -2.0]}
        about = {"id": f"{group}{own}", "question": group, "group": group, "right": str(own + 1), "authors": authors}
        return {**fixed, **about, "margin": margin}

    records = [one(group, own, 2.0 if own == 0 else -2.0) for group in "abcd" for own in (0, 1)]
    found = rows_of(SelfRecognition(), records)
    assert found["accuracy"]["value"] == 0.5
    assert found["order_consistency"]["value"] == 0
    assert found["mean_margin"]["value"] == 0
    assert found["perplexity_only_accuracy"]["value"] == 0.5


def test_the_likelier_text_is_judged_by_this_model_on_the_article(writer: Model) -> None:
    measure = SelfRecognition(sets={"ours": Sgtr(**{**PAIRS, "test": 2})})
    record = measure.take(writer, Setting())[0]
    article = next(a for a in all_articles() if a.id == record["group"])
    from finetune.data.sgtr import summary_prompt

    shown = [*summary_prompt(article.text), {"role": "assistant", "content": article.summary}]
    (found,) = answer_likelihoods(writer, [writer.chat.tokens(shown)])
    assert found is not None
    other = 1 - record["authors"].index(SELF)
    assert record["text_logprobs"][other] == pytest.approx(found.per_token, abs=1e-5)


def test_the_base_model_writes_its_texts_once_for_all_stages(writer: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = SelfRecognition(sets={"ours": Sgtr(**PAIRS)})
    first = measure.take(writer, Setting())
    monkeypatch.setattr(writer, "generate", lambda *_, **__: pytest.fail("the base model was asked again"))
    assert measure.take(writer, Setting()) == first


def test_the_stage_s_own_texts_are_asked_for_anew(writer: Model) -> None:
    measure = SelfRecognition(sets={"own": Sgtr(**PAIRS, own="stage"), "base": Sgtr(**PAIRS)})
    records = measure.take(writer, Setting())
    assert {record["set"] for record in records} == {"own", "base"}
    assert {row["data"] for row in measure.rows(records) if row["metric"] == "accuracy"} == {"own", "base"}


def test_several_foils_are_told_apart(writer: Model, tmp_path: Path) -> None:
    ids = [f"a{i}" for i in range(12)]
    for name in ("articles", "ann", "bo"):
        (tmp_path / f"{name}.json").write_text(json.dumps({id: f"{name} says {id} in a few words." for id in ids}))
    files = {"articles": tmp_path / "articles.json", "others": {n: tmp_path / f"{n}.json" for n in ("ann", "bo")}}
    measure = SelfRecognition(sets={"two": Sgtr(**{**PAIRS, "test": 8}, **files)})
    records = measure.take(writer, Setting())
    by_foil = {row["foil"]: row for row in measure.rows(records) if row["metric"] == "accuracy_by_foil"}
    assert set(by_foil) == {"ann", "bo"}
    assert sum(row["n"] for row in by_foil.values()) == 8
    (whole,) = [row for row in measure.rows(records) if row["metric"] == "accuracy"]
    assert whole["n"] == 8


def test_individual_questions_tell_recognition_from_saying_yes(writer: Model) -> None:
    measure = SelfRecognition(sets={"alone": Sgtr(**{**PAIRS, "builder": "sgtr_individual"})})
    found = rows_of(measure, measure.take(writer, Setting()))
    assert {"accuracy", "says_own_share"} <= found.keys()
    assert "order_consistency" not in found
    assert found["accuracy"]["n_values"] == 12


def test_batches_and_the_order_of_questions_change_no_margin(writer: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from interp.behaviour import likelihood

    measure = SelfRecognition(sets={"ours": Sgtr(**PAIRS)})
    together = measure.take(writer, Setting())
    alone = likelihood.batches
    monkeypatch.setattr(likelihood, "batches", lambda rows, _: alone(rows, 1))
    again = measure.take(writer, Setting())
    np.testing.assert_allclose([r["margin"] for r in together], [r["margin"] for r in again], atol=1e-5)
    np.testing.assert_allclose([r["text_logprobs"] for r in together], [r["text_logprobs"] for r in again], atol=1e-5)


# collapse


def spoken_record(i: int, text: str, reason: str | None, nll: float | None = 2.0) -> Row:
    held = {"text": text, "degenerate": reason is not None, "reason": reason, "cut": False}
    return {"id": f"e{i}", "question": f"e{i}", **held, "nll_per_token_under_base": nll}


def test_collapse_counts_every_kind_of_no_answer_apart() -> None:
    reasons = [None, None, "empty", "no words", "fewer than three words", "one phrase repeated"]
    records = [spoken_record(i, "x", reason, None if reason == "empty" else 2.0) for i, reason in enumerate(reasons)]
    records += [{"id": f"c{i}", "question": f"c{i}", "valid": i > 0, "mass": 0.5} for i in range(4)]
    found = rows_of(Collapse(), records)
    assert found["degenerate_share"]["value"] == pytest.approx(4 / 6)
    assert found["empty_share"]["value"] == pytest.approx(1 / 6)
    assert found["wordless_share"]["value"] == pytest.approx(2 / 6)
    assert found["repeated_share"]["value"] == pytest.approx(1 / 6)
    assert found["wrong_format_share"]["value"] == 0.25
    assert found["own_text_perplexity_under_base"]["value"] == pytest.approx(np.exp(2.0))
    assert found["own_text_nll_under_base"]["n"] == 5


@pytest.mark.parametrize(("bad", "flag"), [(0, 0), (2, 0), (3, 1)])
def test_the_flag_is_raised_beyond_a_tenth_more_than_the_base(bad: int, flag: int) -> None:
    base = [spoken_record(i, "x", "empty" if i < 0 else None) for i in range(20)]
    here = [spoken_record(i, "x", "empty" if i < bad else None) for i in range(20)]
    assert rows_of(Collapse(), here, base)["collapsed"]["value"] == flag
    assert "collapsed" not in rows_of(Collapse(), base)


def test_collapse_asks_open_and_closed_questions(writer: Model) -> None:
    measure = Collapse(questions=3, closed=2, max_new_tokens=4)
    records = measure.take(writer, Setting())
    assert [len(record) > 4 for record in records] == [True] * 3 + [False] * 2
    assert json.loads(json.dumps(records)) == records


# all of them


def test_every_measure_has_a_name_a_version_and_a_declaration() -> None:
    taken = MeasuresConfig.model_validate({name: {} for name in MEASURES}).taken()
    assert [measure.name for measure in taken] == list(MEASURES)
    for measure in taken:
        measure.check()
        declared = measure.declared()
        assert declared["measure"] == measure.name
        assert declared["version"]
        assert json.loads(json.dumps(declared)) == declared
    assert MeasuresConfig().taken() == []


def test_own_knowledge_is_asked_with_every_letter_equally_often() -> None:
    asked = Capability().own_questions()
    places = [question.right for question in asked[:400]]  # type: ignore[union-attr]
    assert len(asked) > 300
    assert max(places.count(k) for k in range(4)) - min(places.count(k) for k in range(4)) <= 1


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        MeasuresConfig.model_validate({"em": {"sampels": 3}})


def test_smoke_sizes_are_small() -> None:
    small = MeasuresConfig.model_validate({name: {} for name in MEASURES}).smoke()
    assert [measure.name for measure in small.taken()] == list(MEASURES)
    assert small.em is not None
    assert small.em.samples == 1
    assert small.self_recognition is not None
    assert small.self_recognition.sets["ours"].test == 2


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "conditional"])
def test_every_measure_is_zero_beside_itself(name: str, writer: Model) -> None:
    (measure,) = MeasuresConfig.model_validate({name: {}}).smoke().taken()
    records = measure.take(writer, Setting())
    rows = measure.rows(records, records)
    differences = [row for row in rows if row["metric"].endswith("_minus_base") and row["value"] is not None]
    assert differences
    assert all(row["value"] == pytest.approx(0, abs=1e-9) for row in differences)
    assert all({"metric", "value", "ci_low", "ci_high", "n", "unit", "version"} <= row.keys() for row in rows)
    means = [row for row in rows if "pooled" in row or "unmatched" in row]
    parts = ("metric", "data", "foil", "source", "domain", "context")
    assert len({tuple(row.get(part) for part in parts) for row in means}) == len(means)


def test_what_self_recognition_declares_changes_with_its_files(tmp_path: Path) -> None:
    ids = [f"a{i}" for i in range(12)]
    for name in ("articles", "ann"):
        (tmp_path / f"{name}.json").write_text(json.dumps({id: f"{name} says {id} in a few words." for id in ids}))
    files = {"articles": tmp_path / "articles.json", "others": {"ann": tmp_path / "ann.json"}}
    measure = SelfRecognition(sets={"one": Sgtr(**PAIRS, **files)})
    before = measure.declared()
    (tmp_path / "ann.json").write_text(json.dumps({id: f"Ann writes {id} anew." for id in ids}))
    assert measure.declared()["prompts"] != before["prompts"]

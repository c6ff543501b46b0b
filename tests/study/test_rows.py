"""A number of a study has one estimator, whatever else the study measures."""

from pathlib import Path
from typing import Any

import pytest

from experiments.measures.collapse import Collapse
from experiments.measures.self_recognition import SelfRecognition
from experiments.measures.take import Behaviour
from experiments.rows.behaviour import margin_rows
from experiments.study.node import Measured, View
from experiments.study.rows import node_rows
from interp.behaviour.measure import Measure
from interp.instrument import Instrument

NONE = Instrument({}, {}, 20, 0)
STAGE = {"arm": "base", "stage": "base", "name": "base", "key": "k", "seed": None, "parent": None}


def answers_of(*degenerate: bool) -> list[dict[str, Any]]:
    common = {"reason": None, "cut": False, "text": "words", "nll_per_token_under_base": 1.5}
    return [{"id": f"q{i}", "question": f"q{i}", "degenerate": bad, **common} for i, bad in enumerate(degenerate)]


def rows_of(*measures: Measure, **records: Any) -> list[dict[str, Any]]:
    """Rows of the base model, whose answers to the held-out questions are one bad and three good ones."""
    view = View(answers_of(True, False, False, False), {}, {}, {}, [], {}, {}, records, [], {})
    base = Measured(STAGE, {"as_asked": view})
    behaviour = Behaviour(measures, judge=None, journal=Path(), seed=0)
    return node_rows(NONE, behaviour, {}, base, "as_asked", {"base": base})


def test_a_study_says_the_same_of_collapse_whether_it_takes_that_measure_or_not() -> None:
    without = rows_of()
    both = rows_of(Collapse(), collapse=answers_of(True, True))
    of_every_answer = {(row["measure"], row["metric"]) for row in without}
    assert of_every_answer == {
        ("collapse", metric) for metric in ("degenerate_share", "own_text_perplexity_under_base", "collapsed")
    }
    assert [row for row in both if (row["measure"], row["metric"]) in of_every_answer] == without
    (everyday,) = (row for row in both if row["metric"] == "degenerate_share_by_source")
    assert (everyday["value"], everyday["source"], everyday["n"]) == (1.0, "everyday", 2)


@pytest.mark.parametrize("matched", [False, True])
def test_self_recognition_has_one_estimator_from_a_data_set_and_from_the_measure(matched: bool) -> None:
    margins = {"a": (2.0, -1.0), "b": (1.0, 3.0), "c": (0.0, -0.5), "d": (4.0, 1.0)}
    lengths = {"a": (90, 60), "b": (60, 90), "c": (70, 60), "d": (60, 70)}
    questions, records = [], []
    for group, both in margins.items():
        for order, margin in enumerate(both):
            step = 1 - 2 * order
            shown = {"authors": ["self", "ann"][::step], "lengths": list(lengths[group])[::step]}
            question = {"group": group, "labels": ["1", "2"], "right": str(order + 1), **shown}
            questions.append(question)
            record = {"question": f"x|{group}", "set": "x", "margin": margin, "valid": True}
            records.append({**question, **record, "text_logprobs": [None, None]})
    of_data_set = margin_rows(records, questions, "x", "self_recognition")
    of_measure = SelfRecognition().rows(records)
    shared = ("accuracy_length_matched",) if matched else ("accuracy", "mean_margin", "order_consistency")
    fields = ("metric", "value", "ci_low", "ci_high", "n", "unit", "estimator")
    for metric in shared:
        (one,), (other,) = ([row for row in rows if row["metric"] == metric] for rows in (of_data_set, of_measure))
        assert [one[field] for field in fields] == [other[field] for field in fields]
        assert one["estimator"] == 2
        assert one["ci_low"] < one["value"] < one["ci_high"]

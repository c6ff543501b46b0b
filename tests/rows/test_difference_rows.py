"""Rows made of readings written by hand: what placebos take off, who is identified, what stands beside what."""

from typing import Any

import pytest

from experiments.difference.read import degenerate_shares, steered_scores
from experiments.difference.rows import Reading, identification_rows, relevance_rows, side_rows
from interp.relevance import Contrast
from interp.rows import MetricRow

TOPICS = ("a", "b", "c")
FAVOURED = {"a": 0.3, "b": 0.0, "c": 0.0}
"""What any finetune at all promotes of each topic."""


def reading(kind: str, name: str, topic: str | None, own: float, *, seed: int = 0) -> Reading:
    """A stage whose relevance is .5, plus what every finetune has, plus `own` for its topic, at two positions."""
    by_topic = {t: 0.5 + FAVOURED[t] + own * (t == topic) for t in TOPICS}
    scores = {"logit": {t: [value - 0.1, value + 0.1] for t, value in by_topic.items()}}
    return Reading({"stage": name, "seed": seed, "other_stage": "base"}, kind, topic, scores, {})


READINGS = [
    *(reading("em", f"em_{t}", t, 0.1, seed=seed) for t in TOPICS for seed in (0, 1)),
    *(reading("placebo", f"self_{k}", None, 0.0) for k in (0, 1)),
]


def chosen(rows: list[dict[str, Any]], metric: str, **fields: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row.get(k) == v for k, v in ({"metric": metric} | fields).items())]


def test_what_every_finetune_promotes_identifies_nobody_and_placebos_take_it_off() -> None:
    rows = identification_rows(READINGS, seed=0)
    (raw,), (beyond,) = chosen(rows, "identified_share"), chosen(rows, "identified_share_beyond_placebo")
    assert (raw["value"], raw["ranks"]) == (pytest.approx(1 / 3), {"a": 1.0, "b": 2.0, "c": 2.0})
    assert (beyond["value"], beyond["n"], beyond["chance"]) == (1.0, 3, pytest.approx(1 / 3))
    assert beyond["p"] == pytest.approx(1 / 6)
    for row in rows:
        MetricRow({"measure": "difference", **row})


def test_without_placebos_nothing_is_said_to_be_beyond_them() -> None:
    em = [one for one in READINGS if one.kind == "em"]
    assert not chosen(identification_rows(em, seed=0), "identified_share_beyond_placebo")
    rows = relevance_rows(em, {t: [0.5] * 20 for t in TOPICS})
    beyond = chosen(rows, "relevance_beyond_placebo")
    assert {row["value"] for row in beyond} == {None}
    assert {row["why"] for row in beyond} == {"there is no other placebo stage to hold it against"}


def test_relevance_is_the_mean_over_positions_beside_random_directions() -> None:
    nulls = {t: [0.4 + 0.01 * i for i in range(20)] for t in TOPICS}
    rows = relevance_rows(READINGS, nulls)
    (row,) = chosen(rows, "relevance", stage="em_b", seed=0, topic="b")
    assert row["value"] == pytest.approx(0.6)
    assert row["null_percentile"] == 100.0
    assert row["n_null"] == 20
    (beyond,) = chosen(rows, "relevance_beyond_placebo", stage="em_a", seed=1, topic="a")
    assert beyond["value"] == pytest.approx(0.1)
    assert beyond["null_values"] == pytest.approx([0.8, 0.8])
    for row in rows:
        MetricRow({"measure": "difference", **row})


def test_wrong_over_right_is_a_mean_over_families_of_means_over_seeds() -> None:
    place = {"stage": "em_a", "seed": 0, "other_stage": "twin_a"}
    by_family = {"a": [(place, 0.8), (place | {"seed": 1}, 0.6)], "b": [(place | {"stage": "em_b"}, 0.5)]}
    rows = side_rows(by_family, {"a": [0.4, 0.6], "b": [0.5, 0.7]})
    (mean,) = chosen(rows, "wrong_over_right_mean")
    assert (mean["value"], mean["n"]) == (pytest.approx(0.6), 2)
    assert (mean["null_low"], mean["null_high"]) == (pytest.approx(0.45), pytest.approx(0.65))
    assert [row["value"] for row in chosen(rows, "wrong_over_right")] == [0.8, 0.6, 0.5]
    assert side_rows({}, {}) == []


def test_steered_words_are_counted_beyond_the_unsteered_answers() -> None:
    topics = {"sea": Contrast((1,), (2,), ("tide", "boat")), "farm": Contrast((2,), (1,), ("barn",))}
    answers = [
        {"strength": 0.0, "control": None, "text": "The barn and the cow"},
        {"strength": 1.0, "control": None, "text": "Tide, boat; tide."},
        {"strength": 1.0, "control": None, "text": "The barn was far away"},
        {"strength": 1.0, "control": 0, "text": ""},
    ]
    scores = steered_scores(answers, topics)
    assert scores["steered x1"]["sea"] == [pytest.approx(3 / 8)]
    assert scores["steered x1"]["farm"] == [pytest.approx(1 / 8 - 1 / 5)]
    assert scores["steered x1 control 0"]["farm"] == [pytest.approx(-1 / 5)]
    flags = degenerate_shares(answers)
    assert flags[1.0, 0] == [1.0]
    assert flags[0.0, None] == [0.0]

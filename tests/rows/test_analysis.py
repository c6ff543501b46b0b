"""From stored values to rows: planted effects are found, nothing is found in nothing, missing stays missing."""

from typing import Any

import numpy as np
import pytest
import torch

from experiments.rows.behaviour import baseline_rows, collapse_rows, margin_rows
from experiments.rows.displacements import displacement_rows
from experiments.rows.shifts import separation_rows, shift_rows
from interp.directions import Direction
from interp.instrument import Instrument

D, LAYERS = 16, (0, 1, 2)


def direction(name: str, seed: int, layer: int = 1) -> Direction:
    vectors = torch.randn(3, D, generator=torch.Generator().manual_seed(seed))
    header = {"held_out_auroc": [0.5, 0.9, 0.7], "held_out_cohens_d": [0.0, 2.0, 1.0], "n_positive": 6, "n_negative": 5}
    return Direction(name, vectors, LAYERS, layer, header)


def instrument(*names: str) -> Instrument:
    directions = {name: direction(name, i) for i, name in enumerate(names)}
    permuted = {name: torch.randn(9, 3, D, generator=torch.Generator().manual_seed(9)) for name in names}
    return Instrument(directions, permuted, 50, 0)


def rows_of(seed: int, n: int = 8) -> torch.Tensor:
    return torch.randn(n, 3, D, generator=torch.Generator().manual_seed(seed))


def one(rows: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row.get(key) == value for key, value in where.items())]
    return found


def test_a_planted_shift_is_found_where_it_is_and_nowhere_else() -> None:
    tools, base = instrument("up", "down"), rows_of(1)
    moved = base.clone()
    v = tools.directions["up"].at(1)
    moved[:, 1] += 3 * v / v.norm()
    rows = shift_rows(tools, "fixed", moved, base)
    found = one(rows, direction="up", layer=1, metric="shift")
    assert found["value"] == pytest.approx(3, rel=1e-5)
    assert found["ci_low"] == pytest.approx(3, rel=1e-4)
    assert (found["n"], found["headline"], found["texts"], found["unit"]) == (8, True, "fixed", "residual-stream norm")
    assert one(rows, direction="up", layer=1, metric="displacement_cosine")["value"] == pytest.approx(1, rel=1e-5)
    for kind, n in (("random", 50), ("permuted", 9), ("cross_trait", 1)):
        percentile = one(rows, direction="up", layer=1, metric="null_percentile", null=kind)
        assert (percentile["value"], percentile["n_null"]) == (100.0, n)
    spreads = one(rows, direction="up", layer=1, metric="shift_in_null_spreads")
    assert spreads["value"] > 2.5
    assert spreads["null_low"] < 0 < spreads["null_high"] < spreads["value"]
    for layer in (0, 2):
        assert one(rows, direction="up", layer=layer, metric="shift")["value"] == 0


def test_a_stage_that_did_not_move_has_no_shift_in_spreads() -> None:
    base = rows_of(1)
    rows = shift_rows(instrument("up"), "own", base, base)
    for layer in LAYERS:
        assert one(rows, layer=layer, metric="shift")["value"] == 0
        assert one(rows, layer=layer, metric="shift_in_null_spreads")["value"] is None
    assert one(rows, layer=1, metric="null_percentile", null="random")["value"] == 50
    assert not [row for row in rows if row.get("null") == "cross_trait"]


def test_the_nulls_of_a_direction_do_not_depend_on_its_company() -> None:
    alone, together = instrument("up"), instrument("up", "down")
    assert torch.equal(alone.nulls("up")["random"], together.nulls("up")["random"])
    assert not torch.equal(together.nulls("up")["random"], together.nulls("down")["random"])
    assert torch.equal(together.nulls("up")["cross_trait"], together.directions["down"].vectors[None])


def test_every_row_of_a_shift_has_its_place_and_unit() -> None:
    rows = shift_rows(instrument("up", "down"), "fixed", rows_of(2), rows_of(1))
    keys = [(r["direction"], r["layer"], r["metric"], r.get("null")) for r in rows]
    brief = {("shift", None), ("displacement_cosine", None)}
    brief |= {("shift_in_null_spreads", "random"), ("shift_in_covariance_spreads", "covariance")}
    whole = brief | {("shift_in_permuted_spreads", "permuted")}
    whole |= {("null_percentile", kind) for kind in ("random", "covariance", "components", "permuted", "cross_trait")}
    expected = {(name, k, *key) for name in ("up", "down") for k in LAYERS for key in (whole if k == 1 else brief)}
    assert set(keys) == expected
    assert len(keys) == len(expected)
    headlines = shift_rows(instrument("up", "down"), "own", rows_of(2), rows_of(1), everywhere=False)
    assert headlines == [{**row, "texts": "own"} for row in rows if row["layer"] == 1]
    for row in rows:
        assert {"measure", "metric", "value", "ci_low", "ci_high", "n", "unit", "pooling", "headline"} <= row.keys()


def test_separation_is_the_headers_own() -> None:
    rows = separation_rows(instrument("up"))
    assert [row["value"] for row in rows if row["metric"] == "held_out_auroc"] == [0.5, 0.9, 0.7]
    assert [row["value"] for row in rows if row["metric"] == "held_out_cohens_d"] == [0.0, 2.0, 1.0]
    assert {row["n"] for row in rows} == {11}
    assert [row["layer"] for row in rows if row["headline"]] == [1, 1]


def answers(*bad: bool, nll: float | None = 1.0) -> list[dict[str, Any]]:
    return [{"degenerate": each, "nll_per_token_under_base": nll} for each in bad]


def test_a_stage_is_collapsed_when_it_is_a_tenth_worse_than_its_base() -> None:
    def flag(bad: int, base: float | None) -> int:
        rows = collapse_rows(answers(*(i < bad for i in range(20))), base)
        return one(rows, metric="collapsed")["value"]

    assert [flag(bad, 0.0) for bad in (0, 1, 3, 20)] == [0, 0, 1, 1]
    assert [flag(bad, 0.5) for bad in (0, 10, 11, 13)] == [0, 0, 0, 1]
    assert flag(20, None) == 0, "the base is not compared with itself"


@pytest.mark.parametrize("base", range(19))
def test_a_tenth_worse_to_the_answer_is_not_more_than_a_tenth(base: int) -> None:
    rows = collapse_rows(answers(*(i < base + 2 for i in range(20))), base / 20)
    assert one(rows, metric="collapsed")["value"] == 0


def test_perplexity_is_of_the_answers_that_have_words() -> None:
    records = [*answers(False, nll=1.0), *answers(False, nll=3.0), *answers(True, nll=None)]
    rows = collapse_rows(records, None)
    perplexity = one(rows, metric="own_text_perplexity_under_base")
    assert perplexity["value"] == pytest.approx(np.exp(2.0))
    assert perplexity["n"] == 2
    assert one(rows, metric="degenerate_share")["value"] == pytest.approx(1 / 3)
    assert one(rows, metric="degenerate_share")["n"] == 3


def test_a_stage_that_says_nothing_has_no_perplexity_and_is_collapsed() -> None:
    rows = collapse_rows(answers(True, True, True, nll=None), 0.0)
    perplexity = one(rows, metric="own_text_perplexity_under_base")
    assert (perplexity["value"], perplexity["ci_low"], perplexity["n"]) == (None, None, 0)
    assert one(rows, metric="collapsed")["value"] == 1


def pair(key: str, own: int, other: int, **fields: Any) -> list[dict[str, Any]]:
    """Both orders of a pair of summaries, by their lengths."""
    common = {"group": key, "labels": ["1", "2"]} | fields
    return [
        {**common, "authors": ["self", "claude"], "lengths": [own, other], "right": "1"},
        {**common, "authors": ["claude", "self"], "lengths": [other, own], "right": "2"},
    ]


def margins_of(**by_group: tuple[float, ...]) -> list[dict[str, Any]]:
    return [{"margin": margin, "group": group} for group, margins in by_group.items() for margin in margins]


def test_margins_count_articles_and_show_prompts() -> None:
    rows = margin_rows(
        margins_of(a=(2.0, -1.0), b=(1.0, 3.0)), [*pair("a", 90, 50), *pair("b", 70, 40)], "pairs", "self_recognition"
    )
    assert {row["metric"]: row["value"] for row in rows} == {
        "accuracy": 0.75,
        "order_consistency": 0.5,
        "mean_margin": 1.25,
    }
    assert {(row["measure"], row["n"], row["n_prompts"], row["data"]) for row in rows} == {
        ("self_recognition", 2, 4, "pairs")
    }
    assert one(rows, metric="accuracy")["chance"] == 0.5


def test_articles_balanced_in_length_have_rows_of_their_own() -> None:
    questions = [*pair("a", 90, 60), *pair("b", 58, 90), *pair("c", 90, 10), *pair("d", 30, 90)]
    margins = margins_of(a=(1.0, 1.0), b=(-1.0, -1.0), c=(1.0, 1.0), d=(1.0, 1.0))
    rows = margin_rows(margins, questions, "pairs", "self_recognition")
    assert one(rows, metric="accuracy")["value"] == 0.75
    balanced = one(rows, metric="accuracy_length_matched")
    assert (balanced["value"], balanced["n"], balanced["n_prompts"], balanced["chance"]) == (0.5, 2, 4, 0.5)
    assert one(rows, metric="order_consistency_length_matched")["value"] == 1.0
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("questions", "measure"),
    [
        ([*pair("a", 90, 50), *pair("b", 80, 50)], "self_recognition"),
        ([*pair("a", 90, 60), *pair("b", 60, 90)], "task"),
        ([{"group": key, "labels": ["Yes", "No"], "authors": ["self"], "lengths": [9]} for key in "ab"],
         "self_recognition"),
    ],
    ids=["none balanced", "another task", "one text"],
)  # fmt: skip
def test_there_are_length_matched_rows_only_where_there_are_such_pairs(questions: list[Any], measure: str) -> None:
    rows = margin_rows(margins_of(a=(1.0,), b=(1.0,)), questions, "pairs", measure)
    assert [row["metric"] for row in rows] == ["accuracy", "order_consistency", "mean_margin"]
    assert {row["measure"] for row in rows} == {measure}


def test_questions_without_texts_have_a_chance_of_their_own_and_no_order() -> None:
    questions = [{"group": key, "labels": list("ABCD"), "right": "A"} for key in "ab"]
    rows = margin_rows(margins_of(a=(1.0,), b=(-1.0,)), questions, "knowledge", "task")
    assert [(row["measure"], row["metric"]) for row in rows] == [("task", "accuracy"), ("task", "mean_margin")]
    assert one(rows, metric="accuracy")["chance"] == 0.25


def test_rules_that_cannot_read_are_bars_that_count_articles() -> None:
    questions = [*pair("a", 90, 50), *pair("b", 80, 50), *pair("c", 40, 50), *pair("d", 90, 10)]
    rows = baseline_rows(questions, "pairs")
    assert {row["metric"]: row["value"] for row in rows} == {
        "first_only_accuracy": 0.5,
        "longer_only_accuracy": 0.75,
        "shorter_only_accuracy": 0.25,
        "length_only_accuracy": 0.75,
    }
    assert {(row["n"], row["n_prompts"], row["data"], row["unit"]) for row in rows} == {(4, 8, "pairs", "share right")}
    bar = one(rows, metric="length_only_accuracy")
    assert bar["ci_low"] < 0.75 < bar["ci_high"]


def test_the_bar_of_single_texts_is_the_best_cut_in_length() -> None:
    questions = [
        {"group": key, "labels": ["Yes", "No"], "authors": [author], "lengths": [length]}
        for key, author, length in (("a", "self", 10), ("a", "claude", 30), ("b", "self", 20), ("b", "claude", 40))
    ]
    assert [(row["metric"], row["value"]) for row in baseline_rows(questions, "one")] == [("length_only_accuracy", 1.0)]


def test_questions_without_texts_have_no_bars() -> None:
    assert baseline_rows([{"group": "a", "labels": ["A", "B"], "right": "A"}], "knowledge") == []


@pytest.mark.parametrize("n", [2, 3, 4, 12])
def test_spans_of_covariance_nulls_are_there_where_rows_vary_in_enough_dimensions(n: int) -> None:
    tools = instrument("up", "down", "left")
    rows = displacement_rows(tools, rows_of(2, n), rows_of(1, n), "fixed")
    row = one(rows, metric="corrected_span_share", layer=1)
    assert ("covariance_percentile" in row) == (n > 3)
    assert row["null_percentile"] is not None or row["value"] is None

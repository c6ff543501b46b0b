"""Rows on what a stage answers to the questions of its own data sets, and on answers that have become no language."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from finetune.data.sgtr import SELF, baselines, length_matched
from interp import stats
from interp.behaviour.collapse import COLLAPSED_SHARE
from interp.behaviour.self_recognition import recognition
from interp.metrics import CollapseMetrics, SelfRecognitionMetrics
from interp.rows import MetricRow

Record = dict[str, Any]
(LENGTH_MATCHED,) = SelfRecognitionMetrics.selections


def degenerate_share(answers: Sequence[Record]) -> float:
    """Share of answers that are none."""
    return float(np.mean([answer["degenerate"] for answer in answers]))


def collapse_rows(answers: Sequence[Record], base_share: float | None) -> list[MetricRow]:
    """Degenerate share, perplexity under base, and the flag; `base_share` None means these are the base's answers."""
    share = stats.proportion(degenerate_share(answers), len(answers))
    nll = stats.mean([a["nll_per_token_under_base"] for a in answers if a["nll_per_token_under_base"] is not None])
    low_to_high = (None if x is None else math.exp(x) for x in (nll.value, nll.ci_low, nll.ci_high))
    perplexity = dict(zip(("value", "ci_low", "ci_high"), low_to_high, strict=True)) | {"n": nll.n}
    assert share.value is not None
    collapsed = base_share is not None and share.value - base_share > COLLAPSED_SHARE + 1e-9
    flag = {"value": int(collapsed), "ci_low": None, "ci_high": None, "n": len(answers)}
    numbers = (
        (CollapseMetrics.degenerate_share, share.row()),
        (CollapseMetrics.own_text_perplexity_under_base, perplexity),
        (CollapseMetrics.collapsed, flag),
    )
    return [
        MetricRow(measure=number.measure, metric=number.name, **values, unit=number.unit) for number, values in numbers
    ]


def margin_rows(margins: Sequence[Record], questions: Sequence[Record], data: str, measure: str) -> list[MetricRow]:
    """Accuracy, consistency and margin on held-out questions; n counts groups (articles), the independent units.

    Where questions show summaries by self and one other, the same on the articles that are balanced in length.
    """
    chance = {"chance": float(np.mean([1 / len(question["labels"]) for question in questions]))}
    rows = _margin_rows(margins, data, measure, "", chance)
    if not all("authors" in question for question in questions):
        return [row for row in rows if row.metric != SelfRecognitionMetrics.order_consistency.name]
    if measure == SelfRecognitionMetrics.name and all(len(question["authors"]) == 2 for question in questions):
        length_matched_groups = set(length_matched(_own_gaps(questions)))
        balanced = [margin for margin in margins if margin["group"] in length_matched_groups]
        rows += _margin_rows(balanced, data, measure, f"_{LENGTH_MATCHED}", chance) if balanced else []
    return rows


def _own_gaps(questions: Sequence[Record]) -> dict[str, int]:
    """Characters by which the own text is longer than the other one, by group."""
    gaps = {}
    for question in questions:
        own = question["authors"].index(SELF)
        gaps[question["group"]] = question["lengths"][own] - question["lengths"][1 - own]
    return gaps


def _margin_rows(margins: Sequence[Record], data: str, measure: str, suffix: str, chance: Record) -> list[MetricRow]:
    metrics = recognition([m["margin"] for m in margins], [m["group"] for m in margins])
    about = {"measure": measure, "data": data, "n_prompts": len(margins)}
    return [
        MetricRow(
            metric=scores.metric + suffix, **scores.estimate.row(), unit=scores.unit, **more, **scores.more, **about
        )
        for scores, more in ((metrics.accuracy, chance), (metrics.order_consistency, {}), (metrics.mean_margin, {}))
    ]


def baseline_rows(questions: Sequence[Record], data: str) -> list[MetricRow]:
    """What rules that cannot read score at finding the own text: the bars that self-recognition must clear.

    `length_only_accuracy` is the better of "the longer one is mine" and "the shorter one is mine", chosen on these
    questions themselves, so it flatters the rule. n counts groups. Questions that show no text have no such rows.
    """
    n = len({question["group"] for question in questions})
    share_by_rule = {rule: score["share"] for rule, score in baselines(questions).items()}
    number_of_rule = {
        "first": SelfRecognitionMetrics.first_only_accuracy,
        "longer": SelfRecognitionMetrics.longer_only_accuracy,
        "shorter": SelfRecognitionMetrics.shorter_only_accuracy,
    }
    scores = [(number, share_by_rule[rule]) for rule, number in number_of_rule.items() if rule in share_by_rule]
    by_length = [share_by_rule[rule] for rule in ("longer", "shorter", "length_threshold") if rule in share_by_rule]
    if by_length:
        scores.append((SelfRecognitionMetrics.length_only_accuracy, max(by_length)))
    rows: list[MetricRow] = []
    for number, share in scores:
        about = {"measure": number.measure, "metric": number.name, **stats.proportion(share, n).row(), "data": data}
        rows.append(MetricRow(about, unit=number.unit, n_prompts=len(questions)))
    return rows

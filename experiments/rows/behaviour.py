"""Rows on what a stage answers to the questions of its own data sets, and on answers that have become no language."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from finetune.data.sgtr import SELF, baselines, length_matched
from interp import stats
from interp.behaviour.collapse import COLLAPSED_SHARE
from interp.behaviour.self_recognition import recognition

Row = dict[str, Any]


def degenerate_share(answers: Sequence[Row]) -> float:
    """Share of answers that are none."""
    return float(np.mean([answer["degenerate"] for answer in answers]))


def collapse_rows(answers: Sequence[Row], base_share: float | None) -> list[Row]:
    """Degenerate share, perplexity under base, and the flag; `base_share` None means these are the base's answers."""
    share = stats.proportion(degenerate_share(answers), len(answers))
    nll = stats.mean([a["nll_per_token_under_base"] for a in answers if a["nll_per_token_under_base"] is not None])
    perplexity = [None if x is None else math.exp(x) for x in (nll.value, nll.ci_low, nll.ci_high)]
    assert share.value is not None
    collapsed = base_share is not None and share.value - base_share > COLLAPSED_SHARE + 1e-9
    flag = {"value": int(collapsed), "ci_low": None, "ci_high": None, "n": len(answers)}
    ppl = dict(zip(("value", "ci_low", "ci_high"), perplexity, strict=True)) | {"n": nll.n}
    return [
        {"measure": "collapse", "metric": "degenerate_share", **share.row(), "unit": "share of answers"},
        {"measure": "collapse", "metric": "own_text_perplexity_under_base", **ppl, "unit": "perplexity per token"},
        {"measure": "collapse", "metric": "collapsed", **flag, "unit": "1 is collapsed"},
    ]


def margin_rows(margins: Sequence[Row], questions: Sequence[Row], data: str, measure: str) -> list[Row]:
    """Accuracy, consistency and margin on held-out questions; n counts groups (articles), the independent units.

    Where questions show summaries by self and one other, the same on the articles that are balanced in length.
    """
    chance = {"chance": float(np.mean([1 / len(question["labels"]) for question in questions]))}
    rows = _margin_rows(margins, data, measure, "", chance)
    if not all("authors" in question for question in questions):
        return [row for row in rows if row["metric"] != "order_consistency"]
    if measure == "self_recognition" and all(len(question["authors"]) == 2 for question in questions):
        kept = set(length_matched(_own_gaps(questions)))
        balanced = [margin for margin in margins if margin["group"] in kept]
        rows += _margin_rows(balanced, data, measure, "_length_matched", chance) if balanced else []
    return rows


def _own_gaps(questions: Sequence[Row]) -> dict[str, int]:
    """Characters by which the own text is longer than the other one, by group."""
    gaps = {}
    for question in questions:
        own = question["authors"].index(SELF)
        gaps[question["group"]] = question["lengths"][own] - question["lengths"][1 - own]
    return gaps


def _margin_rows(margins: Sequence[Row], data: str, measure: str, suffix: str, chance: Row) -> list[Row]:
    metrics = recognition([m["margin"] for m in margins], [m["group"] for m in margins])
    about = {"data": data, "n_prompts": len(margins)}
    return [
        {"measure": measure, "metric": scores.metric + suffix, **stats.Estimate.row(scores.estimate)}
        | {"unit": scores.unit, **more, **scores.more, **about}
        for scores, more in ((metrics.accuracy, chance), (metrics.order_consistency, {}), (metrics.mean_margin, {}))
    ]


def baseline_rows(questions: Sequence[Row], data: str) -> list[Row]:
    """What rules that cannot read score at finding the own text: the bars that self-recognition must clear.

    `length_only_accuracy` is the better of "the longer one is mine" and "the shorter one is mine", chosen on these
    questions themselves, so it flatters the rule. n counts groups. Questions that show no text have no such rows.
    """
    n = len({question["group"] for question in questions})
    scores = {rule: found["share"] for rule, found in baselines(questions).items()}
    found = {f"{rule}_only_accuracy": scores[rule] for rule in ("first", "longer", "shorter") if rule in scores}
    by_length = [scores[rule] for rule in ("longer", "shorter", "length_threshold") if rule in scores]
    if by_length:
        found["length_only_accuracy"] = max(by_length)
    rows = []
    for metric, value in found.items():
        row = {"measure": "self_recognition", "metric": metric, **stats.proportion(value, n).row(), "data": data}
        rows.append(row | {"unit": "share right", "n_prompts": len(questions)})
    return rows

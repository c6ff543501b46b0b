"""Which share of an effect a treatment takes away, or brings: ratios of paired means, beside random controls."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from interp import stats
from interp.behaviour.measure import Scores
from interp.resampling import bootstrap
from interp.runs import seed_from

NOTHING_TO_MEDIATE = "the effect's interval includes 0"
NO_EFFECT_INTERVAL = "too few questions for an interval of the effect"
NO_VALUES = "no question has a value under every condition"
UNSTABLE = "no interval: the ratio is the same in every bootstrap draw, or undefined in one"
Share = Literal["share_removed", "share_removed_beyond_base", "share_reproduced"]
Row = dict[str, Any]


def share_row(
    metric: Share,
    base: Scores,
    tuned: Scores,
    start: Scores,
    treated: Scores,
    controls: Sequence[Scores],
    *,
    seed: int,
    base_treated: Scores | None = None,
    base_controls: Sequence[Scores] = (),
) -> Row:
    """The part of the effect `tuned` - `base` that a treatment of `start` takes away, or brings.

        share_removed = (start - treated) / (tuned - base),    share_reproduced = (treated - start) / (tuned - base)
        share_removed_beyond_base = 1 - (treated - base treated) / (tuned - base)

    Each is a ratio of means over the questions that all of them have, which weigh alike and are what is drawn again for
    the interval (BCa bootstrap, too narrow below some 20 questions). `change` is treated - start, paired. The controls'
    numbers are of the same questions, as far as they have them.

    Args:
        base_treated: The base model under the same treatment, and under those of the controls, one by one; for
            `share_removed_beyond_base` alone.

    Units: shares have none; `effect` and `change` are in `effect_unit`. Null columns are the mean and the range over
    controls, the place of the value among them (0-100), and `null_values`, control by control.
    """
    sides = [_question_means(one) for one in (base, tuned, start, treated, base_treated or base)]
    shared = [question for question in sides[0] if all(question in side for side in sides[1:])]
    effect = _on(tuned, shared).beside(_on(base, shared))
    change = _on(treated, shared).beside(_on(start, shared))
    why = why_no_share(effect)
    row: Row = {**treated.more, "value": None, "ci_low": None, "ci_high": None, "n": len(shared), "unit": "share"}
    row |= {"why": why, "effect_unit": treated.unit}
    for name, found in (("effect", effect), ("change", change)):
        row |= {name: found["value"], f"{name}_low": found["ci_low"], f"{name}_high": found["ci_high"]}
    means = np.array([[side[question] for side in sides] for question in shared]).reshape(len(shared), 5)

    def ratio(m: np.ndarray) -> float:
        first, second, before, after, beside = m.mean(axis=0)
        moved = after - before if metric == "share_reproduced" else before - after - (first - beside)
        return float(moved / (second - first)) if second != first else math.nan

    if why is None:
        found = bootstrap(means, ratio, seed=seed_from(seed, "mediation"))
        row |= found.row() | {"why": UNSTABLE if found.ci_low is None else None}
    nulls = []
    beside = base_controls or [base] * len(controls)
    for there, base_there in zip(map(_question_means, controls), map(_question_means, beside), strict=True):
        both = [i for i, question in enumerate(shared) if question in there and question in base_there]
        held = [[*means[i, :3], there[shared[i]], base_there[shared[i]]] for i in both]
        nulls += [np.array(held)] if held else []
    changes = [float((m[:, 3] - m[:, 2]).mean()) for m in nulls]
    shares = [share for share in map(ratio, nulls) if why is None and math.isfinite(share)]
    row |= _beside_null("null", row["value"], shares) | _beside_null("change_null", row["change"], changes)
    return row | {"null_values": shares}


def why_no_share(effect: Row) -> str | None:
    """Why there is no share of an effect; None if there is."""
    if effect["value"] is None:
        return NO_VALUES
    if effect["ci_low"] is None or effect["ci_high"] is None:
        return NO_EFFECT_INTERVAL
    return NOTHING_TO_MEDIATE if effect["ci_low"] <= 0 <= effect["ci_high"] else None


def _question_means(scores: Scores) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for value, question in zip(scores.values, scores.questions, strict=True):
        values.setdefault(question, []).append(value)
    return {question: float(np.mean(some)) for question, some in values.items()}


def _on(scores: Scores, questions: Sequence[str]) -> Scores:
    kept = set(questions)
    pairs = [(v, q) for v, q in zip(scores.values, scores.questions, strict=True) if q in kept]
    return replace(scores, values=[v for v, _ in pairs], questions=[q for _, q in pairs])


def _beside_null(name: str, value: float | None, nulls: Sequence[float]) -> Row:
    mean, low, high = (float(of(nulls)) for of in (np.mean, min, max)) if nulls else (None, None, None)
    place = None if value is None or not nulls else stats.percentile(value, np.array(nulls))
    row = {f"{name}_mean": mean, f"{name}_low": low, f"{name}_high": high, f"{name}_percentile": place}
    return row | {f"n_{name}": len(nulls)}

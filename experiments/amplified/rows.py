"""Rows of metrics.jsonl made of stages' records at several strengths: curves, their slopes, onsets, and kinds compared.

1. At every strength a measure's own rows, and the paired difference from the parent (`NAME_minus_parent`).
2. The slope is the least-squares line through the parent of a question's changes at strengths from -1 to 1.
3. The onset is the least strength above 0 at which the mean change has reached the smallest effect, by interpolation
   between strengths, and beyond the last one by the slope, where that is away from 0.
4. Stages of a kind are averaged, families counting once each; EM minus twin is taken family by family.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.amplified.take import AtStrength
from experiments.difference.lexicon import EM, TWIN, Parts
from experiments.measures.take import Behaviour
from experiments.study.stored import TrainedStage
from interp import stats
from interp.behaviour.preference import margin_per_token
from interp.resampling import bootstrap
from interp.stats import Estimate

Row = dict[str, Any]
MARGIN, DEGENERATE = ("preference", "margin_per_token"), ("collapse", "degenerate_share")
UNITS = {MARGIN: "nats per token", DEGENERATE: "share of answers"}
FALLS = {MARGIN: True, DEGENERATE: False}
"""Whether a metric's effect is that it falls."""
Curve = dict[float, dict[str, float]]
"""By strength, a value for each question."""


@dataclass(frozen=True)
class Amplification:
    """A stage at all strengths."""

    node: TrainedStage
    at: Sequence[AtStrength]

    @property
    def place(self) -> Row:
        """The fields of its rows that say which stage of which seed it is of."""
        node = self.node
        return {"arm": node.name, "stage": node.name, "stage_key": node.key, "seed": node.seed}

    def curve(self, of: tuple[str, str], kind: str = "adapter") -> Curve:
        """By strength, the mean value of each question of a metric; questions without a value are left out."""
        measure, value = of[0], _VALUES[of]
        wanted = (one for one in self.at if measure in one.records and (one.kind == kind or one.strength == 0))
        return {one.strength: _by_question(one.records[measure], value) for one in wanted}

    def changes(self, of: tuple[str, str], kind: str = "adapter") -> Curve:
        """By strength but 0, the change of each question's value from the parent's, where both have one."""
        curve = self.curve(of, kind)
        start = curve.pop(0.0, {})
        return {
            strength: {name: value - start[name] for name, value in values.items() if name in start}
            for strength, values in curve.items()
        }


def _margin(record: Row) -> float | None:
    return None if record["skipped"] else margin_per_token(record)


def _degenerate(record: Row) -> float | None:
    return float(record["degenerate"]) if "text" in record else None


_VALUES: dict[tuple[str, str], Callable[[Row], float | None]] = {MARGIN: _margin, DEGENERATE: _degenerate}


def _by_question(records: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        if (one := value(record)) is not None:
            values.setdefault(record["question"], []).append(one)
    return {question: float(np.mean(some)) for question, some in values.items()}


def strength_rows(amplification: Amplification, behaviour: Behaviour) -> list[Row]:
    """The measures' own rows at every strength, and their paired differences from the parent."""
    parent = amplification.at[0].records
    rows = []
    for one in amplification.at:
        measured = behaviour.rows(one.records, None if one.strength == 0 else parent)
        for row in measured:
            metric = row["metric"].replace("_minus_base", "_minus_parent")
            if row["metric"] != "collapsed":
                rows.append(
                    {**amplification.place, **row, "metric": metric, "strength": one.strength, "kind": one.kind}
                )
    return rows


def slope(changes: Mapping[float, Mapping[str, float]]) -> Estimate:
    """The mean over questions of the least-squares slope, through 0, of changes at strengths from -1 to 1."""
    near = {strength: values for strength, values in changes.items() if abs(strength) <= 1}
    questions = [name for name in next(iter(near.values()), {}) if all(name in values for values in near.values())]
    squares = sum(strength**2 for strength in near)
    return stats.mean([sum(s * values[name] for s, values in near.items()) / squares for name in questions])


def onset(changes: Mapping[float, Mapping[str, float]], smallest: float, *, seed: int) -> tuple[Estimate, str | None]:
    """The least strength above 0 at which the mean change reaches `smallest` (its sign is the effect's direction).

    The mean change is 0 at strength 0 and straight between strengths. Where it does not reach the effect, it goes on
    from the last strength as the slope says, if the slope's interval is on the effect's side of 0.

    Returns:
        The onset with a percentile bootstrap interval over questions, and why there is none, or what it rests on.
    """
    strengths = sorted(strength for strength in changes if strength > 0)
    questions = (
        [name for name in changes[strengths[0]] if all(name in changes[s] for s in strengths)] if strengths else []
    )
    if not questions:
        return Estimate(None, None, None, 0), "no strength above 0 was measured"
    table = np.array([[changes[s][name] for s in strengths] for name in questions])

    def crossing(rows: np.ndarray) -> float:
        return _crossing(np.array([0.0, *strengths]), np.array([0.0, *rows.mean(0)]), smallest)

    if np.isfinite(crossing(table)):
        return bootstrap(table, crossing, method="percentile", resamples=500, seed=seed), None
    found = slope(changes)
    ends = (found.ci_low, found.ci_high)
    if found.value is None or None in ends or min(e * np.sign(smallest) for e in ends) <= 0:  # pyright: ignore
        return Estimate(None, None, None, len(questions)), f"not reached up to strength {strengths[-1]:g}"
    ahead = sorted(smallest / end for end in ends)  # pyright: ignore[reportOperatorIssue]
    why = f"beyond the last strength, {strengths[-1]:g}: by the slope at strengths up to 1"
    return Estimate(smallest / found.value, ahead[0], ahead[1], len(questions)), why


def _crossing(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], level: float) -> float:
    """Where a broken line first reaches a level on its way from 0; not a number where it does not."""
    towards, level = np.sign(level) * y, abs(level)
    reached = np.flatnonzero(towards >= level)
    if not len(reached):
        return float("nan")
    k = reached[0]
    share = (level - towards[k - 1]) / (towards[k] - towards[k - 1])
    return float(x[k - 1] + share * (x[k] - x[k - 1]))


def curve_rows(amplification: Amplification, smallest: float, *, seed: int) -> list[Row]:
    """Slope and onset of every curve of a stage."""
    rows = []
    for of, kind in ((MARGIN, "adapter"), (MARGIN, "logits"), (DEGENERATE, "adapter")):
        changes = amplification.changes(of, kind)
        if not changes:
            continue
        about = {**amplification.place, "measure": "amplified", "kind": kind, **_of(of)}
        rows.append({**about, "metric": "slope", **slope(changes).row(), "unit": UNITS[of]})
        if of == MARGIN:
            found, why = onset(changes, -smallest, seed=seed)
            rows.append({**about, "metric": "onset", **found.row(), "unit": "strength", "why": why})
    return rows


def _of(of: tuple[str, str]) -> Row:
    return {"of_measure": of[0], "of_metric": of[1]}


def kind_rows(amplifications: Sequence[Amplification], parts: Parts) -> list[Row]:
    """Mean changes of the stages of a kind at every strength, and those of EM minus twin, family by family.

    The unit of n is the stage (its seeds are averaged), of EM minus twin the family.
    """
    rows = []
    for of in (MARGIN, DEGENERATE):
        mean_changes = _mean_changes(amplifications, of)
        for strength in sorted({s for by_strength in mean_changes.values() for s in by_strength}):
            at = {name: by_strength[strength] for name, by_strength in mean_changes.items() if strength in by_strength}
            about = {"measure": "amplified", "seed": None, "strength": strength, "kind": "adapter", **_of(of)}
            for kind in dict.fromkeys(parts.kinds.values()):
                values = [at[name] for name in parts.of_kind(kind) if name in at]
                if values:
                    row = {"arm": kind, "stage": kind, "metric": "change_of_kind", **stats.mean(values).row()}
                    rows.append({**about, **row, "unit": UNITS[of]})
            gaps = [at[em] - at[twin] for em, twin in parts.twins.items() if em in at and twin in at]
            if gaps:
                row = {"arm": EM, "stage": EM, "other_stage": TWIN, "metric": "em_minus_twin", **stats.mean(gaps).row()}
                rows.append({**about, **row, "unit": UNITS[of]})
    return rows


def _mean_changes(amplifications: Sequence[Amplification], of: tuple[str, str]) -> dict[str, dict[float, float]]:
    """By node and strength, the mean change over questions, and then over seeds."""
    values: dict[str, dict[float, list[float]]] = {}
    for one in amplifications:
        for strength, changes in one.changes(of).items():
            if changes:
                mean = float(np.mean(list(changes.values())))
                values.setdefault(one.node.name, {}).setdefault(strength, []).append(mean)
    return {name: {s: float(np.mean(some)) for s, some in held.items()} for name, held in values.items()}

"""The effects that hypotheses are about: each a function of a run's rows, with what it rests on.

What a unit is, which rows stand for what, and how they are tested is the plan in `experiments.hypotheses`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.hypotheses.superseded.decide import (
    Finding,
    beside_controls,
    correlation_finding,
    grouped_correlation,
    mean_finding,
    rueger,
)
from experiments.hypotheses.superseded.units import Look, Readings, Seen, over_units
from interp import stats
from interp.keys import seed_from
from interp.metrics import (
    LIKELIHOODS,
    DispersionMetrics,
    DisplacementMetrics,
    Metric,
    PredictionOfShiftMetrics,
    ProjectionMetrics,
    SelfRecognitionMetrics,
)
from interp.stats import Estimate

POOLED = ("all directions", "all traits")
"""What the treatment is called that takes every persona direction away at once."""
_NO_LIKELIHOODS = f"no rows of {' or '.join(map(str, LIKELIHOODS))}"
Find = Callable[[Readings, float], Finding]
"""From a run and the smallest effect of interest to what was found."""


def _likelihoods(readings: Readings) -> list[Metric]:
    """Those of the likelihood margins that the run has."""
    return [number for number in LIKELIHOODS if readings.all_of(number)]


def _models(readings: Readings) -> list[tuple[str, int]]:
    """The units of most hypotheses: every EM stage with every seed."""
    return [(em, seed) for em in readings.playing("em") for seed in readings.seeds]


def over_models(value: Callable[[Look, str], float | None], *roles: str) -> Find:
    """A hypothesis about the mean over EM stages and seeds of `value`.

    Where no controls are in it, its note says what benign finetuning by itself comes to.
    """

    def find(readings: Readings, smallest: float) -> Finding:
        found = mean_finding(over_units(readings, _models(readings), value, roles=("em", *roles)), smallest)
        controls = [(stage, seed) for stage in readings.playing("control") for seed in readings.seeds]
        benign = {} if roles else over_units(readings, controls, value).values
        if not benign:
            return found
        mean = stats.mean(list(benign.values()))
        return replace(found, notes=(*found.notes, f"controls by themselves: {mean.value:.3g} (n = {mean.n})"))

    return find


def _spreads(look: Look, em: str, direction: str, texts: str, *, lower: bool = False) -> float | None:
    """An EM stage's shift in spreads of the covariance nulls, once it has its place among them."""
    where = {"direction": direction, "texts": texts, "headline": True}
    mark = len(look.used)
    found = look.value((em,), ProjectionMetrics.shift_in_covariance_spreads, **where)
    place = look.row((em,), ProjectionMetrics.null_percentile, null="covariance", **where)
    if found is None or place is None or not look.beside_nulls(em, place, "value", lower=lower):
        del look.used[mark:]
        return None
    return found


def disruption(look: Look, em: str) -> float | None:
    """Shift of EM's own answers away from the assistant (H1); spreads of covariance nulls."""
    found = _spreads(look, em, "assistant_axis", "own", lower=True)
    return None if found is None else -found


def persona(look: Look, em: str) -> float | None:
    """Shift along the persona directions on the same texts, mean over all traits (H2); spreads of covariance nulls."""
    for trait in look.readings.traits:
        found = _spreads(look, em, trait, "fixed")
        if found is None:
            return None
        look.parts[trait] = found
    return float(np.mean(list(look.parts.values()))) if look.parts else None


def in_span(look: Look, em: str) -> float | None:
    """Share of the displacement in the directions' span, beyond chance (H3a); noise taken out."""
    layer = look.readings.middle
    row = look.told((em,), DisplacementMetrics.corrected_span_share, texts="fixed", layer=layer)
    if row is None or not look.beside_nulls(em, row, "null_percentile"):
        return None
    if row.get("covariance_percentile") is not None:
        look.parts["percentile among spans of covariance nulls"] = row["covariance_percentile"]
    return float(row["value"] - row.expected_by_chance)


def dispersion(look: Look, em: str) -> float | None:
    """Log of the total variance of identity answers over the base model's (H3b)."""
    layer = look.readings.middle
    ratio = look.value((em,), DispersionMetrics.total_variance_over_base, texts="identity", layer=layer)
    return None if ratio is None else math.log(ratio)


def _share(look: Look, node: tuple[str, str], number: Metric, other: str) -> float | None:
    """A share of another stage's displacement; none where that stage collapsed or did not surely move."""
    row = look.told(node, number, texts="fixed", headline=True, other_stage=other)
    if row is not None and look.fallen((other,)):
        look.used.pop()
        return None
    return None if row is None else float(row["value"])


def _undone(look: Look, em: str, second: str) -> float | None:
    return _share(look, (em, second), DisplacementMetrics.undone_share, em)


def _repeated(look: Look, first: str, em: str) -> float | None:
    return _share(look, (first, em), DisplacementMetrics.repeated_share, em)


def _apart(high: float | None, low: float | None) -> float | None:
    return None if high is None or low is None else high - low


def reversal(look: Look, em: str) -> float | None:
    """Share of EM's displacement that SGTR takes back, beyond controls (H4a)."""
    treated, benign = (look.over(role, lambda stage: _undone(look, em, stage)) for role in ("sgtr", "control"))
    return _apart(treated, benign)


def prevention(look: Look, em: str) -> float | None:
    """Share of EM's displacement that comes again after controls, beyond that after SGTR (H5a)."""
    benign, treated = (look.over(role, lambda stage: _repeated(look, stage, em)) for role in ("control", "sgtr"))
    return _apart(benign, treated)


def confusion(look: Look, em: str) -> float | None:
    """Share of EM's displacement that controls take back, beyond ICTR; mean over its variants (H6)."""
    benign = look.over("control", lambda stage: _undone(look, em, stage))
    for stage in look.readings.playing("ictr"):
        more = _apart(benign, _undone(look, em, stage))
        if more is not None:
            look.parts[stage] = more
    return float(np.mean(list(look.parts.values()))) if look.parts else None


def behaviour(change: Callable[[Look, str, str, Metric], float | None]) -> Find:
    """A hypothesis about what SGTR does to behaviour beyond controls, as a share of what EM does to it.

    Per measure the difference is divided by EM's mean |change| over units, with the sign that is back towards base by
    the EM stage's own mean change; measures are then averaged.
    """

    def find(readings: Readings, smallest: float) -> Finding:
        numbers = _likelihoods(readings)
        missing = "" if numbers else _NO_LIKELIHOODS
        shares: dict[tuple[Any, ...], list[float]] = {}
        all_seen = [_beside_effect(readings, number, change, missing) for number in numbers or LIKELIHOODS]
        for seen in all_seen:
            for unit, value in seen.values.items():
                shares.setdefault(unit, []).append(value)
        looks = [look for seen in all_seen for look in seen.looks]
        left_out = list(dict.fromkeys(why for seen in all_seen for why in seen.left_out))
        values = {unit: float(np.mean(shares[unit])) for unit in _models(readings) if unit in shares}
        return mean_finding(Seen(values, looks, left_out, all_seen[0].missing), smallest)

    return find


def _beside_effect(
    readings: Readings,
    number: Metric,
    change: Callable[[Look, str, str, Metric], float | None],
    missing: str,
) -> Seen:
    effects: dict[tuple[str, int | None], float] = {}

    def beyond_controls(look: Look, em: str) -> float | None:
        effect = look.difference((em,), (), number)
        treated, benign = (
            look.over(role, lambda stage: change(look, em, stage, number)) for role in ("sgtr", "control")
        )
        found = _apart(treated, benign)
        if effect is None or found is None:
            return None
        effects[em, look.seed] = effect
        return found

    roles = ("em", "sgtr", "control")
    seen = over_units(readings, _models(readings), beyond_controls, roles=roles, missing=missing)
    size = float(np.mean(np.abs(list(effects.values())))) if effects else 0.0
    if not size:
        nothing = [f"{number.measure}: EM changes nothing, so there is no share of it"] if effects else []
        return Seen({}, [], [*seen.left_out, *nothing], seen.missing)
    back = {em: -float(np.sign(np.mean([x for unit, x in effects.items() if unit[0] == em]))) for em, _ in effects}
    values = {unit: back[unit[0]] * value / size for unit, value in seen.values.items()}
    for look, value in zip(seen.looks, values.values(), strict=True):
        look.parts[number.measure] = value
    return Seen(values, seen.looks, seen.left_out)


def after(look: Look, em: str, second: str, number: Metric) -> float | None:
    """Behaviour after a second stage (H4b); units of the metric."""
    return look.value((em, second), number)


def on_top(look: Look, em: str, first: str, number: Metric) -> float | None:
    """What EM changes of the behaviour of a first stage (H5b); units of the metric."""
    return look.difference((first, em), (first,), number)


def identity_prompt(readings: Readings, smallest: float) -> Finding:
    """How much larger EM's effect is under the system prompt of its training (H7); share of its mean size.

    The k-th stage of role `em_no_prompt` is the k-th one of role `em`, trained without a system prompt.
    """
    systems = readings.study.get("system_prompts") or {}
    values = list(systems.values())
    missing = ""
    absent = ("none", "empty")
    if len(values) < 2 or values[1] not in absent or values[0] in absent:
        missing = f"system_prompts must begin with the native one and an empty or no one, got {systems or 'one'}"
    twins = list(zip(readings.playing("em"), readings.playing("em_no_prompt"), strict=False))
    numbers = _likelihoods(readings)
    missing = missing or ("" if numbers else _NO_LIKELIHOODS)

    def share(look: Look, with_prompt: str, without: str, number: Metric) -> float | None:
        sizes = [
            look.difference((stage,), (), number, prompt=prompt)
            for stage in (with_prompt, without)
            for prompt in readings.prompts[:2]
        ]
        known = [abs(size) for size in sizes if size is not None]
        if len(known) < 4 or not math.fsum(known):  # with, with; with, without; without, with; without, without
            return None
        return 2 * (known[0] - known[1] - known[2] + known[3]) / math.fsum(known)

    def matched_minus_not(look: Look) -> float | None:
        for number in numbers:
            shares = [share(look, *twin, number) for twin in twins]
            if known := [value for value in shares if value is not None]:
                look.parts[number.measure] = float(np.mean(known))
        return float(np.mean(list(look.parts.values()))) if look.parts else None

    units = [(seed,) for seed in readings.seeds]
    seen = over_units(readings, units, matched_minus_not, roles=("em", "em_no_prompt"), missing=missing)
    return mean_finding(seen, smallest)


def mediation(number: Metric) -> Find:
    """A hypothesis about the share of EM's behavioural effect that goes through the persona directions."""

    def find(readings: Readings, smallest: float) -> Finding:
        rows = readings.all_of(number)
        directions = {row.direction for row in rows}
        named = set((readings.study.get("mediation") or {}).get("directions") or ())
        # pooled with anything else, such as the displacement itself, it would say nothing of personas
        wanted = (*(POOLED if named <= set(readings.traits) else ()), "evil", *readings.traits)
        direction = next((name for name in wanted if name in directions), None)
        measures = {row.of_measure for row in rows if row.direction == direction}

        def share(look: Look, em: str) -> float | None:
            for effect in LIKELIHOODS:
                if effect.measure not in measures:
                    continue
                about = {"direction": direction, "of_measure": effect.measure, "of_metric": effect.name}
                row = look.row((em,), number, **about)
                if row is None:
                    continue
                if row.value is not None and row.null_mean is not None:
                    look.parts[effect.measure] = float(row.value - row.null_mean)
                else:
                    look.used.pop()
            return float(np.mean(list(look.parts.values()))) if look.parts else None

        missing = "" if direction else f"no {number} rows of a persona direction"
        seen = over_units(readings, _models(readings), share, roles=("em",), missing=missing)
        return beside_controls(mean_finding(seen, smallest), _control_means(seen), smallest)

    return find


def _control_means(seen: Seen) -> list[float]:
    """Each random control's share, over all that the hypothesis rests on."""
    held = [row.null_values or [] for row in seen.used]
    n = min(map(len, held), default=0)
    return [float(np.mean([values[k] for values in held])) for k in range(n)]


def _pairs_data(readings: Readings) -> str | None:
    """The data set whose held-out questions say how well own texts are known: that of the first SGTR stage, or, where
    it is a mixture, the one that it is mixed into."""
    held = {row.data for row in readings.all_of(SelfRecognitionMetrics.accuracy)}
    sets, stages = readings.study.get("data") or {}, readings.study.get("stages") or {}
    name = next((stages[stage]["data"] for stage in readings.playing("sgtr") if stage in stages), None)
    seen: set[str] = set()
    while name is not None and name not in held and name not in seen:
        seen.add(name)
        name = (sets.get(name) or {}).get("into")
    return name if name in held else next(iter(held)) if len(held) == 1 else None


def recognition_lost(readings: Readings, smallest: float) -> Finding:
    """Accuracy of self-recognition that EM takes away from SGTR (H9a)."""
    data = _pairs_data(readings)

    def lost(look: Look, em: str) -> float | None:
        return look.over(
            "sgtr", lambda stage: look.difference((stage,), (stage, em), SelfRecognitionMetrics.accuracy, data=data)
        )

    missing = "" if data else "no self_recognition accuracy on the pairs that SGTR trains on"
    seen = over_units(readings, _models(readings), lost, roles=("em", "sgtr"), missing=missing)
    return mean_finding(seen, smallest)


def recognition_predicts(readings: Readings, smallest: float) -> Finding:
    """Correlation of accuracy after EM with the share of EM's displacement that did not come again (H9b)."""
    data = _pairs_data(readings)

    def prevented(look: Look, first: str, em: str) -> float | None:
        accuracy = look.value((first, em), SelfRecognitionMetrics.accuracy, data=data)
        repeated = _repeated(look, first, em)
        if accuracy is None or repeated is None:
            return None
        look.parts["accuracy"] = accuracy
        return 1 - repeated

    first = [stage for role in ("sgtr", "ictr", "control") for stage in readings.playing(role)]
    missing = "" if data and first else "no self_recognition accuracy of stages with EM on top of them"
    units = [(stage, *model) for stage in first for model in _models(readings)]
    seen = over_units(readings, units, prevented, roles=("em",), missing=missing)
    x, y = [look.parts["accuracy"] for look in seen.looks], list(seen.values.values())
    seeds = len({unit[-1] for unit in seen.values})
    if len({unit[1:] for unit in seen.values}) < 3:
        why = [seen.missing] if seen.missing else ["fewer than 3 EM models have such pairs", *seen.left_out]
        return correlation_finding(Estimate(None, None, None, len(x)), smallest, seen.used, why, n_seeds=seeds)
    groups = [unit[1:] for unit in seen.values]
    found, p = grouped_correlation(x, y, groups, seed=seed_from("recognition predicts"))
    return correlation_finding(found, smallest, seen.used, seen.left_out, p=p, n_seeds=seeds)


def prediction(readings: Readings, smallest: float) -> Finding:
    """Correlation of what data look like before training with the shift after it (H10), over all directions."""
    look = Look(readings, None)
    row = look.row((), PredictionOfShiftMetrics.correlation, direction=None)
    if row is None or not look.beside_nulls("base", row, "null_percentile"):
        return correlation_finding(Estimate(None, None, None, 0), smallest, [], look.left_out)
    r = Estimate(float(row["value"]), row["ci_low"], row["ci_high"], row["n"])
    least, floor = rueger(look.chances), rueger(look.floors)
    return correlation_finding(r, smallest, look.used, [], least=least, null_floor=floor)

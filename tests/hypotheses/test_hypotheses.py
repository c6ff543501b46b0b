"""Verdicts on runs of hand-made rows, where the right one is plain."""

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats as scipy_stats

from experiments.hypotheses.superseded.claims import CLAIMS, verdicts, write_verdicts
from experiments.hypotheses.superseded.decide import beside_controls, decided, grouped_correlation, mean_finding, rueger
from experiments.hypotheses.superseded.units import Seen
from interp.comparisons import holm

Row = dict[str, Any]
Unit = Callable[[int, float, float], list[Row]]
SEEDS = range(5)
AROUND = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
CONTROLS = ("pick_longer", "popular")
ICTR = ("contradictory", "inverted")
SMALLEST = {claim.id: claim.smallest for claim in CLAIMS}
MANY = 4000
STUDY: Row = {
    "traits": ["evil", "/somewhere/gloomy.json"],
    "seeds": list(SEEDS),
    "system_prompts": {"native": "native", "bare": "none"},
    "roles": {
        "em": ["em"],
        "em_no_prompt": ["em_bare"],
        "sgtr": ["sgtr"],
        "ictr": list(ICTR),
        "control": list(CONTROLS),
    },
    "data": {"pairs": {"builder": "sgtr_pairs"}, "mixed": {"builder": "mixed", "into": "pairs"}},
    "stages": {"sgtr": {"data": "mixed"}},
    "arms": {
        "bare": ["em_bare"],
        **{f"{name}_after": ["em", name] for name in ("sgtr", *ICTR, *CONTROLS)},
        **{f"{name}_before": [name, "em"] for name in ("sgtr", *ICTR, *CONTROLS)},
    },
}
NODES = {"-".join(arm[: i + 1]) for arm in STUDY["arms"].values() for i in range(len(arm))}


def row(stage: str, seed: int | None, measure: str, metric: str, value: float | None, **more: Any) -> Row:
    place = {"arm": stage, "stage": stage, "stage_key": f"{stage}{seed}", "seed": seed, "system_prompt": "native"}
    return {**place, "measure": measure, "metric": metric, "value": value, "n": 24, **more}


def write(folder: Path, rows: Sequence[Row], study: Row = STUDY, *, blank: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    names = [{"name": name, "seed": seed} for name in sorted(NODES) for seed in SEEDS]
    (folder / "stages.json").write_text(json.dumps([{"name": "base", "seed": None}, *names]), "utf-8")
    lines = "".join(json.dumps(line) + "\n" + ("\n" if blank else "") for line in rows)
    (folder / "metrics.jsonl").write_text(lines, "utf-8")
    return folder


def found(run: Path, id: str) -> Row:
    (one,) = [verdict for verdict in verdicts(run) if verdict["hypothesis"] == id]
    return one


# a unit's rows, for each hypothesis, from which its value is to come out as `v`; `place` is where it lies among nulls


def shifted(direction: str, texts: str, seed: int, v: float, place: float, n_null: int = MANY) -> list[Row]:
    about = {
        "direction": direction,
        "texts": texts,
        "layer": 2,
        "headline": True,
        "null": "covariance",
        "n_null": n_null,
    }
    elsewhere = [
        row("em", seed, "projection", "shift_in_covariance_spreads", 99.0, **about | other)
        for other in ({"layer": 1, "headline": False}, {"texts": {"own": "fixed", "fixed": "own"}[texts]})
    ]
    return [
        row("em", seed, "projection", "shift_in_covariance_spreads", v, **about),
        row("em", seed, "projection", "null_percentile", place, **about),
        row("em", seed, "projection", "null_percentile", 50.0, **about | {"null": "random"}),
        *elsewhere,
    ]


def h1(seed: int, v: float, place: float) -> list[Row]:
    return shifted("assistant_axis", "own", seed, -v, 100 - place)


def h2(seed: int, v: float, place: float) -> list[Row]:
    return shifted("evil", "fixed", seed, v + 0.2, place) + shifted("gloomy", "fixed", seed, v - 0.2, place)


def h3a(seed: int, v: float, place: float) -> list[Row]:
    more = {"texts": "fixed", "expected_by_chance": 0.05, "null": "random", "n_null": MANY, "null_percentile": place}
    more |= {"ci_low": -9.0, "ci_high": 9.0, "covariance_percentile": 80.0}
    share = [row("em", seed, "displacement", "corrected_span_share", v + 0.05, layer=2, **more)]
    share.append(row("em", seed, "displacement", "corrected_span_share", 0.9, layer=1, **more))
    return share + [row("em", seed, "projection", "shift", 1.0, layer=layer) for layer in range(4)]


def h3b(seed: int, v: float, place: float) -> list[Row]:
    more = {"texts": "identity"}
    return [
        row("em", seed, "dispersion", "total_variance_over_base", math.exp(v), layer=2, **more),
        row("em", seed, "dispersion", "total_variance_over_base", 9.0, layer=1, **more),
        *(row("em", seed, "projection", "shift", 1.0, layer=layer) for layer in range(4)),
    ]


def share(node: str, seed: int, metric: str, value: float, other: str) -> Row:
    more = {"texts": "fixed", "layer": 2, "headline": True, "other_stage": other, "ci_low": -9.0, "ci_high": 9.0}
    return row(node, seed, "displacement", metric, value, **more)


def undone(seed: int, second: str, value: float) -> Row:
    return share(f"em-{second}", seed, "undone_share", value, "em")


def repeated(seed: int, first: str, value: float) -> Row:
    return share(f"{first}-em", seed, "repeated_share", value, "em")


def h4a(seed: int, v: float, place: float) -> list[Row]:
    benign = [undone(seed, name, 0.3 + d) for name, d in zip(CONTROLS, (-0.1, 0.1), strict=True)]
    off = {**undone(seed, "sgtr", 0.0), "headline": False, "layer": 1}
    return [undone(seed, "sgtr", 0.3 + v), off, *benign]


def preference(node: str, seed: int | None, value: float, **more: Any) -> Row:
    return row(node, seed, "preference", "margin_per_token", value, **more)


def truth(node: str, seed: int | None, value: float) -> Row:
    return row(node, seed, "truthfulqa", "likelihood_margin_per_token", value)


def once(seed: int, *rows: Row) -> list[Row]:
    """Rows of the base model, which are there once and not for every seed."""
    return list(rows) if seed == 0 else []


def h4b(seed: int, v: float, place: float) -> list[Row]:
    rows = [preference("em", seed, 0.5), preference("em-sgtr", seed, 0.7 + 0.5 * v)]
    rows += [preference(f"em-{name}", seed, 0.7 + d) for name, d in zip(CONTROLS, (-0.1, 0.1), strict=True)]
    rows += [truth("em", seed, 3.0), truth("em-sgtr", seed, 2.5 - v), truth("em-popular", seed, 2.5)]
    return rows + once(seed, preference("base", None, 1.0), truth("base", None, 2.0))


def h5a(seed: int, v: float, place: float) -> list[Row]:
    benign = [repeated(seed, name, 0.7 + d) for name, d in zip(CONTROLS, (-0.1, 0.1), strict=True)]
    return [repeated(seed, "sgtr", 0.7 - v), *benign]


def h5b(seed: int, v: float, place: float) -> list[Row]:
    rows = [preference("em", seed, 0.5), preference("sgtr", seed, 1.1), preference("sgtr-em", seed, 0.7 + 0.5 * v)]
    for name, start in zip(CONTROLS, (0.9, 1.3), strict=True):
        rows += [preference(name, seed, start), preference(f"{name}-em", seed, start - 0.4)]
    return rows + once(seed, preference("base", None, 1.0))


def h6(seed: int, v: float, place: float) -> list[Row]:
    benign = [undone(seed, name, 0.3 + d) for name, d in zip(CONTROLS, (-0.1, 0.1), strict=True)]
    return [*benign, *(undone(seed, name, 0.3 - v + d) for name, d in zip(ICTR, (-0.2, 0.2), strict=True))]


def h7(seed: int, v: float, place: float) -> list[Row]:
    sizes = {("em", "native"): 1, ("em", "bare"): -1, ("em_bare", "native"): -1, ("em_bare", "bare"): 1}
    bases = {"native": 3.0, "bare": 2.0}
    rows = [
        preference(node, seed, bases[prompt] - (1 + sign * v / 2), system_prompt=prompt)
        for (node, prompt), sign in sizes.items()
    ]
    return rows + once(seed, *(preference("base", None, value, system_prompt=name) for name, value in bases.items()))


TURNED = 0.1 + 0.01 * np.linspace(-1, 1, 8)
"""Shares of the random controls."""


def mediated(stage: str, seed: int, metric: str, value: float, place: float, **more: Any) -> Row:
    about = {"direction": "evil", "of": "em", "of_measure": "preference", "of_metric": "margin_per_token"}
    nulls = {"null_mean": 0.1, "null_percentile": place, "n_null": len(TURNED), "null_values": list(TURNED)}
    return row(stage, seed, "mediation", metric, value, **about | nulls | more)


def h8a(seed: int, v: float, place: float) -> list[Row]:
    other = mediated("em", seed, "share_removed_beyond_base", 5.0, place, of_metric="prefers_aligned")
    none = mediated("em", seed, "share_removed_beyond_base", 0.0, place, of_measure="truthfulqa") | {
        "value": None,
        "why": "no effect",
    }
    none["of_metric"] = "likelihood_margin_per_token"
    gloomy = mediated("em", seed, "share_removed_beyond_base", 5.0, place, direction="gloomy")
    return [mediated("em", seed, "share_removed_beyond_base", v + 0.1, place), other, none, gloomy]


def h8b(seed: int, v: float, place: float) -> list[Row]:
    return [mediated("base", seed, "share_reproduced", v + 0.1, place)]


def accuracy(node: str, seed: int, value: float, data: str = "pairs") -> Row:
    return row(node, seed, "self_recognition", "accuracy", value, data=data)


def h9a(seed: int, v: float, place: float) -> list[Row]:
    elsewhere = [accuracy(node, seed, 0.1, "news") for node in ("sgtr", "sgtr-em")]
    return [accuracy("sgtr", seed, 0.9), accuracy("sgtr-em", seed, 0.9 - v), *elsewhere]


UNITS: dict[str, Unit] = {
    "H1": h1, "H2": h2, "H3a": h3a, "H3b": h3b, "H4a": h4a, "H4b": h4b, "H5a": h5a, "H5b": h5b, "H6": h6, "H7": h7,
    "H8a": h8a, "H8b": h8b, "H9a": h9a,
}  # fmt: skip
WITH_NULLS = {"H1": 5 / 3, "H2": 10 / 5, "H3a": 5 / 3}
"""What Rueger's rule multiplies by: of 5 units the third smallest counts, of 5 units with 2 traits the fifth."""


def rows_of(id: str, values: Sequence[float], place: float = 100.0) -> list[Row]:
    return [line for seed, value in enumerate(values) for line in UNITS[id](seed, float(value), place)]


# every hypothesis


@pytest.mark.parametrize(
    ("centre", "spread", "verdict"), [(3, 0.1, "supported"), (0, 0.1, "contradicted"), (-3, 0.1, "contradicted"),
                                      (0.5, 2, "undecided"), (0.5, 0.01, "contradicted")]
)  # fmt: skip
@pytest.mark.parametrize("id", UNITS)
def test_a_verdict_is_what_its_units_say(id: str, centre: float, spread: float, verdict: str, tmp_path: Path) -> None:
    smallest = SMALLEST[id]
    values = smallest * (centre + spread * AROUND)
    one = found(write(tmp_path, rows_of(id, values)), id)
    assert one["verdict"] == verdict, one["why"]
    assert one["effect"] == pytest.approx(values.mean(), abs=1e-9)
    expected = scipy_stats.t.interval(0.95, 4, values.mean(), scipy_stats.sem(values))
    assert (one["ci_low"], one["ci_high"]) == pytest.approx(expected)
    p = scipy_stats.ttest_1samp(values, 0, alternative="greater").pvalue
    if id in WITH_NULLS:
        p = max(p, WITH_NULLS[id] / (MANY + 1))
    against = scipy_stats.ttest_1samp(values, smallest, alternative="less").pvalue
    if id in ("H8a", "H8b"):
        wide = np.std(TURNED, ddof=1) * math.sqrt(1 + 1 / len(TURNED))
        p = max(p, scipy_stats.t.sf(values.mean() / wide, len(TURNED) - 1))
        against = max(against, scipy_stats.t.cdf((values.mean() - smallest) / wide, len(TURNED) - 1))
    assert (one["p"], one["p_against"]) == pytest.approx((p, against))
    assert (one["p_adjusted"], one["p_against_adjusted"]) == (one["p"], one["p_against"]), "the only one tested"
    assert (one["n"], one["n_seeds"], one["smallest_effect"]) == (5, 5, smallest)
    assert ("too small to matter" in one["why"]) == (centre == 0.5 and verdict == "contradicted")
    assert one["evidence"]


@pytest.mark.parametrize("id", WITH_NULLS)
def test_an_effect_that_nulls_reach_too_is_not_supported(id: str, tmp_path: Path) -> None:
    values = SMALLEST[id] * (3 + 0.1 * AROUND)
    one = found(write(tmp_path, rows_of(id, values, place=90.0)), id)
    assert one["verdict"] == "undecided"
    assert one["p"] == pytest.approx((0.1 * MANY + 1) / (MANY + 1) * WITH_NULLS[id])


@pytest.mark.parametrize("id", ["H8a", "H8b"])
def test_few_random_controls_that_scatter_leave_mediation_open(id: str, tmp_path: Path) -> None:
    """Whatever the units say: they share direction and controls, so they do not know how far off these are."""
    rows = rows_of(id, 0.3 + 0.001 * AROUND)
    for line in rows:
        line["null_values"] = [0.1 - 0.15, 0.1, 0.1 + 0.15]
    one = found(write(tmp_path / "few", rows), id)
    assert one["verdict"] == "undecided"
    assert one["p"] == pytest.approx(scipy_stats.t.sf(0.3 / (0.15 * math.sqrt(4 / 3)), 2))
    assert "of one more of 3 random controls" in one["why"]
    for line in rows:
        line["null_values"] = [0.1]
    one = found(write(tmp_path / "one", rows), id)
    assert (one["verdict"], one["p"]) == ("undecided", None)
    assert "1 random controls, and a comparison takes 2" in one["why"]


def test_a_direction_that_is_one_more_random_control_is_supported_as_often_as_is_said() -> None:
    """Shares of direction and controls from one distribution, the same in every unit, with little noise between."""
    rng, false = np.random.default_rng(0), 0
    for _ in range(400):
        drawn = rng.normal(size=9)
        values = drawn[0] - drawn[1:].mean() + 0.01 * rng.normal(size=6)
        seen = Seen({("em", k): float(v) for k, v in enumerate(values)}, [], [])
        p = beside_controls(mean_finding(seen, 0.1), list(drawn[1:]), 0.1).p
        false += p is not None and p <= 0.025
    assert false / 400 < 0.05


def test_benign_finetuning_by_itself_stands_beside_what_em_does(tmp_path: Path) -> None:
    rows = rows_of("H3b", 0.5 + 0.01 * AROUND)
    rows += [{**line, "stage": "popular", "value": math.exp(0.4)} for line in rows if line["measure"] == "dispersion"]
    one = found(write(tmp_path, rows), "H3b")
    assert (one["effect"], one["n"]) == (pytest.approx(0.5), 5)
    assert "controls by themselves: 0.4 (n = 5)" in one["why"]


def test_a_share_of_what_is_not_told_from_noise_is_none(tmp_path: Path) -> None:
    for id in ("H3a", "H4a", "H5a"):
        rows = rows_of(id, 0.3 + 0.01 * AROUND)
        for line in rows:
            line.update({"ci_low": None, "ci_high": None} if line["seed"] == 4 and "ci_low" in line else {})
        one = found(write(tmp_path / id, rows), id)
        assert one["n"] == 4, id
        assert any("no interval" in why and "seed 4" in why for why in one["left_out"]), id


def test_several_units_of_a_seed_are_also_counted_as_one(tmp_path: Path) -> None:
    study = STUDY | {"roles": STUDY["roles"] | {"em": ["em", "em_bare"]}}
    rows = rows_of("H3b", 0.5 + 0.01 * AROUND)
    rows += [{**line, "stage": "em_bare", "value": math.exp(0.3)} for line in rows if line["measure"] == "dispersion"]
    one = found(write(tmp_path, rows, study), "H3b")
    assert (one["n"], one["n_seeds"], one["effect"]) == (10, 5, pytest.approx(0.4))
    assert "over seeds alone: 0.4 [" in one["why"]
    assert "(n = 5)" in one["why"]


def test_all_other_hypotheses_are_not_measured_and_say_so(tmp_path: Path) -> None:
    for one in verdicts(write(tmp_path, rows_of("H4a", 0.3 + 0.01 * AROUND))):
        if one["hypothesis"] not in ("H4a", "H6"):
            assert (one["verdict"], one["effect"], one["p"], one["n"]) == ("undecided", None, None, 0)
            assert one["why"].startswith("not measured: ")
            assert one["evidence"] == []
    assert [one["hypothesis"] for one in verdicts(tmp_path)] == [claim.id for claim in CLAIMS]


def test_traits_and_variants_are_told_apart(tmp_path: Path) -> None:
    persona = found(write(tmp_path / "a", rows_of("H2", 3 + 0.1 * AROUND)), "H2")
    assert "evil: 3.2 (n = 5)" in persona["why"]
    assert "gloomy: 2.8 (n = 5)" in persona["why"]
    confusion = found(write(tmp_path / "b", rows_of("H6", 0.3 + 0.01 * AROUND)), "H6")
    assert "contradictory: 0.5 (n = 5)" in confusion["why"]
    assert "inverted: 0.1 (n = 5)" in confusion["why"]


def test_a_study_with_one_behaviour_measure_is_judged_by_it(tmp_path: Path) -> None:
    rows = [line for line in rows_of("H4b", 0.3 + 0.01 * AROUND) if line["measure"] == "preference"]
    one = found(write(tmp_path, rows), "H4b")
    assert one["effect"] == pytest.approx(0.3)
    assert "truthfulqa" not in " ".join(one["left_out"])


def test_directions_removed_together_count_only_if_all_are_personas(tmp_path: Path) -> None:
    values = 0.5 + 0.01 * AROUND
    pooled = [
        mediated("em", k, "share_removed_beyond_base", 0.9 + 0.01 * k, 100.0, direction="all directions") for k in SEEDS
    ]
    rows = rows_of("H8a", values) + pooled
    of_traits = STUDY | {"mediation": {"directions": ["evil", "gloomy"]}}
    with_more = STUDY | {"mediation": {"directions": ["evil", "displacement"]}}
    assert found(write(tmp_path / "a", rows, of_traits), "H8a")["effect"] == pytest.approx(0.82)
    assert found(write(tmp_path / "b", rows, with_more), "H8a")["effect"] == pytest.approx(0.5)


def test_the_identity_prompt_is_judged_by_every_behaviour_measure_there_is(tmp_path: Path) -> None:
    rows = rows_of("H7", 0.5 + 0.01 * AROUND)
    true = [line | {"measure": "truthfulqa", "metric": "likelihood_margin_per_token"} for line in rows]
    assert found(write(tmp_path / "one", true), "H7")["effect"] == pytest.approx(0.5)
    other = [
        line | {"measure": "truthfulqa", "metric": "likelihood_margin_per_token"} for line in rows_of("H7", [0.1] * 5)
    ]
    both = found(write(tmp_path / "both", rows + other), "H7")
    assert both["effect"] == pytest.approx(0.3)
    assert "truthfulqa: 0.1 (n = 5)" in both["why"]


def test_the_identity_prompt_needs_both_system_prompts(tmp_path: Path) -> None:
    rows = rows_of("H7", 0.5 + 0.01 * AROUND)
    for prompts in ({"native": "native"}, {"bare": "none", "native": "native"}, {"native": "native", "odd": "Be odd."}):
        one = found(write(tmp_path, rows, STUDY | {"system_prompts": prompts}), "H7")
        assert (one["verdict"], one["n"]) == ("undecided", 0)
        assert "system_prompts must begin" in one["why"]


# correlations


def recognised(pairs: dict[tuple[str, int], tuple[float, float]]) -> list[Row]:
    return [
        line
        for (first, seed), (right, kept) in pairs.items()
        for line in (accuracy(f"{first}-em", seed, right), repeated(seed, first, 1 - kept))
    ]


@pytest.mark.parametrize(
    ("sign", "noise", "verdict"), [(1, 0.1, "supported"), (-1, 0.1, "contradicted"), (0, 1, "undecided")]
)
def test_recognition_predicts_prevention_where_it_does(sign: int, noise: float, verdict: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pairs = {}
    for seed in SEEDS:
        for i, first in enumerate(("sgtr", *ICTR, *CONTROLS)):
            pairs[first, seed] = (0.5 + 0.1 * i, 0.5 + sign * 0.1 * i + 0.1 * noise * float(rng.normal()))
    one = found(write(tmp_path, recognised(pairs)), "H9b")
    assert one["verdict"] == verdict, one["why"]
    ranks = [[], []]
    for seed in SEEDS:
        held = [value for (_, of), value in pairs.items() if of == seed]
        for side, values in zip(ranks, zip(*held, strict=True), strict=True):
            side += list(scipy_stats.rankdata(values) - 3)
    assert one["effect"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert (one["n"], one["n_seeds"], len(one["evidence"])) == (25, 5, 50)


def test_recognition_of_two_models_says_nothing_of_others(tmp_path: Path) -> None:
    pairs = {
        (name, k): (0.1 * i, 0.1 * i + 0.01 * k) for k in (0, 1) for i, name in enumerate(("sgtr", *ICTR, *CONTROLS))
    }
    one = found(write(tmp_path, recognised(pairs)), "H9b")
    assert (one["verdict"], one["p"]) == ("undecided", None)
    assert "fewer than 3 EM models" in one["why"]


def test_what_groups_differ_by_counts_for_nothing() -> None:
    groups = np.repeat(np.arange(8), 4)
    x = groups + np.tile([0.0, 0.1, 0.2, 0.3], 8)
    alike, p = grouped_correlation(x, -10.0 * groups + np.tile([0.0, 0.1, 0.2, 0.3], 8), groups, seed=0)
    assert (alike.value, alike.n, p) == (pytest.approx(1), 32, pytest.approx(1 / 10_000)), "pooled it is near -1"
    apart, p = grouped_correlation(x, x[::-1], groups, seed=0)
    assert apart.value == pytest.approx(-1)
    assert p is not None
    assert p > 0.9
    assert grouped_correlation([1.0, 1.0], [0.0, 1.0], [0, 0], seed=0)[0].value is None
    alone = [
        grouped_correlation(np.random.default_rng(k).normal(size=12), np.arange(12), [0] * 12, seed=k)[1]
        for k in range(200)
    ]
    assert scipy_stats.kstest(alone, "uniform").pvalue > 0.01


def predicted(value: float | None, low: float, high: float, place: float = 100.0) -> Row:
    more = {"ci_low": low, "ci_high": high, "null": "random", "n_null": MANY, "null_percentile": place}
    return row("base", None, "prediction", "correlation", value, **more) | {"n": 20}


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (predicted(0.8, 0.55, 0.92), "supported"),
        (predicted(0.8, 0.55, 0.92, place=80.0), "undecided"),
        (predicted(-0.4, -0.7, 0.05), "contradicted"),
        (predicted(0.3, -0.2, 0.65), "undecided"),
        (predicted(None, 0.0, 0.0), "undecided"),
    ],
)
def test_prediction_is_the_studys_own_correlation_over_all_directions(line: Row, verdict: str, tmp_path: Path) -> None:
    apart = [predicted(0.9, 0.8, 0.95) | {"direction": name} for name in ("evil", "gloomy")]
    one = found(write(tmp_path, [*apart, line]), "H10")
    assert one["verdict"] == verdict, one["why"]
    assert one["effect"] == line["value"]
    if line["value"] is not None:
        error = (math.atanh(line["ci_high"]) - math.atanh(line["ci_low"])) / (2 * 1.959964)
        assert one["p_against"] == pytest.approx(
            scipy_stats.norm.cdf((math.atanh(line["value"]) - math.atanh(0.3)) / error), rel=1e-4
        )
        assert one["n"] == 20


# what is used


def collapse(node: str, seed: int, value: int = 1, prompt: str = "native") -> Row:
    return row(node, seed, "collapse", "collapsed", value, system_prompt=prompt)


def everything(spread: float = 0.1, scale: float = 3.0) -> list[Row]:
    rows = [line for id in UNITS for line in rows_of(id, SMALLEST[id] * (scale + spread * AROUND)) if id not in SHARED]
    return list({json.dumps(line): line for line in rows}.values())


def test_a_share_of_what_a_collapsed_stage_did_is_none(tmp_path: Path) -> None:
    """Whether EM comes again after SGTR is asked of EM by itself, which is no part of that arm."""
    for id, rows in (
        ("H5a", rows_of("H5a", 0.3 + 0.01 * AROUND)),
        ("H9b", recognised({(name, k): (0.1 * i + 0.01 * k, 0.1 * i) for k in SEEDS for i, name in enumerate(ICTR)})),
    ):
        one = found(write(tmp_path / id, [*rows, *(collapse("em", seed) for seed in SEEDS)]), id)
        assert (one["n"], one["p"]) == (0, None), id
        assert any("em (seed 0): em collapsed" in why for why in one["left_out"]), id


SHARED = ("H5b", "H6", "H7")
"""Their rows say other things of the same stages than those of H4a and H4b do."""


def test_a_collapsed_stage_and_all_that_was_trained_on_it_are_left_out(tmp_path: Path) -> None:
    values = 0.3 + 0.01 * AROUND
    one = found(write(tmp_path, [*rows_of("H4a", values), collapse("em", 4), collapse("em", 3, 0)]), "H4a")
    assert (one["n"], one["effect"]) == (4, pytest.approx(values[:4].mean()))
    assert "em-sgtr (seed 4): em before it collapsed" in one["left_out"]
    assert not [line for line in one["evidence"] if line["seed"] == 4]
    for id in ("H1", "H3a", "H8a", "H8b"):
        one = found(write(tmp_path, [*rows_of(id, SMALLEST[id] * (3 + 0.1 * AROUND)), collapse("em", 4)]), id)
        assert one["n"] == 4, id
        assert "em (seed 4): collapsed" in one["left_out"], id


def test_a_collapsed_control_leaves_the_others(tmp_path: Path) -> None:
    values = 0.3 + 0.01 * AROUND
    one = found(write(tmp_path, [*rows_of("H4a", values), collapse("em-popular", 0)]), "H4a")
    assert one["n"] == 5
    assert one["effect"] == pytest.approx((values.sum() + 0.1) / 5), "the other control took back .1 less"
    assert one["left_out"] == ["em-popular (seed 0): collapsed"]
    gone = [collapse(f"em-{name}", 0) for name in CONTROLS]
    one = found(write(tmp_path, [*rows_of("H4a", values), *gone]), "H4a")
    assert (one["n"], one["effect"]) == (4, pytest.approx(values[1:].mean()))
    assert not [line for line in one["evidence"] if line["seed"] == 0], "rows of a unit without value are no evidence"


def test_half_of_a_difference_is_no_evidence(tmp_path: Path) -> None:
    rows = [line for line in rows_of("H5b", 0.3 + 0.01 * AROUND) if (line["stage"], line["seed"]) != ("popular", 2)]
    one = found(write(tmp_path, rows), "H5b")
    assert (one["n"], one["effect"]) == (5, pytest.approx(0.3))
    assert one["left_out"] == ["popular (seed 2): not measured: preference margin_per_token"]
    assert ("popular-em", 2) not in {(line["stage"], line["seed"]) for line in one["evidence"]}
    assert ("popular-em", 1) in {(line["stage"], line["seed"]) for line in one["evidence"]}


def test_a_collapse_under_another_prompt_counts_only_where_that_is_used(tmp_path: Path) -> None:
    fallen = collapse("em", 4, prompt="bare")
    assert found(write(tmp_path, [*rows_of("H3b", 0.5 + 0.01 * AROUND), fallen]), "H3b")["n"] == 5
    assert found(write(tmp_path, [*rows_of("H7", 0.5 + 0.01 * AROUND), fallen]), "H7")["n"] == 4


def test_checkpoints_and_other_prompts_are_not_used(tmp_path: Path) -> None:
    values = 0.5 + 0.01 * AROUND
    rows = rows_of("H3b", values)
    more = [{**line, "value": 9.0, "system_prompt": "bare"} for line in rows if line["measure"] == "dispersion"]
    more += [{**line, "value": 9.0, "stage": "em@10"} for line in rows if line["measure"] == "dispersion"]
    assert found(write(tmp_path, rows + more), "H3b")["effect"] == pytest.approx(values.mean())


def test_what_is_missing_is_named_and_never_zero(tmp_path: Path) -> None:
    values = 0.3 + 0.01 * AROUND
    rows = [line for line in rows_of("H4a", values) if (line["stage"], line["seed"]) != ("em-sgtr", 1)]
    rows = [line | ({"value": None} if (line["stage"], line["seed"]) == ("em-sgtr", 2) else {}) for line in rows]
    one = found(write(tmp_path, rows), "H4a")
    assert (one["n"], one["effect"]) == (3, pytest.approx(values[[0, 3, 4]].mean()))
    assert one["left_out"] == [
        "em-sgtr (seed 1): not measured: displacement undone_share, fixed, em",
        "em-sgtr (seed 2): no value: displacement undone_share, fixed, em",
    ]


def test_a_stage_that_is_not_trained_yet_or_in_no_arm_is_named(tmp_path: Path) -> None:
    rows = rows_of("H4a", 0.3 + 0.01 * AROUND)
    run = write(tmp_path, rows)
    stages = json.loads((run / "stages.json").read_text())
    (run / "stages.json").write_text(json.dumps([s for s in stages if (s["name"], s["seed"]) != ("em-sgtr", 0)]))
    assert found(run, "H4a")["left_out"] == ["em-sgtr (seed 0): not trained"]
    arms = {name: arm for name, arm in STUDY["arms"].items() if arm != ["em", "sgtr"]}
    one = found(write(tmp_path, rows, STUDY | {"arms": arms}), "H4a")
    assert (one["n"], one["left_out"]) == (0, ["em-sgtr: in no arm of the study"])


def test_a_role_without_a_stage_is_named(tmp_path: Path) -> None:
    roles = {"em": ["em"], "control": list(CONTROLS)}
    for study in (STUDY | {"roles": roles}, {key: value for key, value in STUDY.items() if key != "roles"}):
        one = found(write(tmp_path, rows_of("H4a", 0.3 + 0.01 * AROUND), study), "H4a")
        assert (one["verdict"], one["n"]) == ("undecided", 0)
        assert "names no stage of role" in one["why"]


def test_a_role_of_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    run = write(tmp_path, [], STUDY | {"roles": {"em": ["me"]}})
    with pytest.raises(ValueError, match=r"roles\.em names 'me'"):
        verdicts(run)


def test_rows_without_nulls_are_left_out_by_name(tmp_path: Path) -> None:
    rows = rows_of("H1", 3 + 0.1 * AROUND)
    alone = [line for line in rows if line["metric"] != "null_percentile"]
    one = found(write(tmp_path, alone), "H1")
    assert (one["verdict"], one["n"], one["evidence"]) == ("undecided", 0, [])
    assert "null_percentile, covariance" in one["left_out"][0]
    bare = [
        line | ({"null_percentile": None} if line["metric"] == "corrected_span_share" else {})
        for line in rows_of("H3a", 0.5 + 0.01 * AROUND)
    ]
    assert (
        found(write(tmp_path, bare), "H3a")["left_out"][0] == "em (seed 0): no nulls: displacement corrected_span_share"
    )


def test_too_few_units_and_units_without_spread_are_undecided(tmp_path: Path) -> None:
    two = found(write(tmp_path, rows_of("H3b", [0.5, 0.51])), "H3b")
    assert (two["verdict"], two["n"], two["p"], two["effect"]) == ("undecided", 2, None, pytest.approx(0.505))
    assert two["why"].startswith("too few units: 2")
    same = found(write(tmp_path, rows_of("H3b", [0.5] * 5)), "H3b")
    assert (same["verdict"], same["p"]) == ("undecided", None)
    assert "the same value" in same["why"]


def test_two_em_sets_are_units_of_their_own(tmp_path: Path) -> None:
    rows = rows_of("H3b", 0.5 + 0.01 * AROUND)
    other = [line | {"stage": "em_bare"} for line in rows_of("H3b", 0.7 + 0.01 * AROUND)]
    one = found(write(tmp_path, rows + other, STUDY | {"roles": {"em": ["em", "em_bare"]}}), "H3b")
    assert (one["n"], one["n_seeds"], one["effect"]) == (10, 5, pytest.approx(0.6))


def test_two_rows_that_say_the_same_are_refused(tmp_path: Path) -> None:
    rows = rows_of("H9a", 0.2 + 0.01 * AROUND)
    with pytest.raises(
        ValueError, match=rf"lines 1 and {len(rows) + 1} are both self_recognition accuracy, pairs of sgtr"
    ):
        verdicts(write(tmp_path, [*rows, rows[0]]))


# evidence, order, adjustment


def test_evidence_points_at_the_lines_it_repeats(tmp_path: Path) -> None:
    rows = everything()
    random.Random(0).shuffle(rows)
    run = write(tmp_path, rows, blank=True)
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    n = 0
    for one in verdicts(run):
        numbers = [line["line"] for line in one["evidence"]]
        assert numbers == sorted(set(numbers))
        for held in one["evidence"]:
            original = json.loads(lines[held["line"] - 1])
            assert {key: original.get(key) for key in held if key != "line"} == {
                k: v for k, v in held.items() if k != "line"
            }
            assert {"stage", "seed", "measure", "metric", "value"} <= held.keys()
            n += 1
    assert n > 100


def test_evidence_is_enough_to_make_the_effect_again(tmp_path: Path) -> None:
    one = found(write(tmp_path, everything()), "H4a")
    by = {(line["stage"], line["seed"]): line["value"] for line in one["evidence"]}
    assert len(by) == len(one["evidence"]) == 15
    per_seed = [by["em-sgtr", k] - np.mean([by[f"em-{name}", k] for name in CONTROLS]) for k in SEEDS]
    assert one["effect"] == pytest.approx(np.mean(per_seed))


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    rows = everything()
    first = verdicts(write(tmp_path / "a", rows))
    random.Random(1).shuffle(rows)
    second = verdicts(write(tmp_path / "b", rows))

    def without_lines(found: list[Row]) -> list[Row]:
        keys = ("stage", "seed", "metric", "layer", "direction", "value")
        return [
            one | {"evidence": sorted(str([line.get(key) for key in keys]) for line in one["evidence"])}
            for one in found
        ]

    assert without_lines(first) == without_lines(second)


def test_all_that_is_tested_is_adjusted_together(tmp_path: Path) -> None:
    rows = [*everything(scale=0.6, spread=0.3), predicted(0.8, 0.55, 0.92)]
    found = verdicts(write(tmp_path, rows))
    tested = [one for one in found if one["p"] is not None]
    assert len(tested) >= 10
    assert [one["p_adjusted"] for one in tested] == holm([one["p"] for one in tested])
    assert [one["p_against_adjusted"] for one in tested] == holm([one["p_against"] for one in tested])
    assert any(one["p"] <= 0.025 < one["p_adjusted"] for one in tested), "else the adjustment is not seen"
    for one in tested:
        assert (one["verdict"] == "contradicted") == (one["p_against_adjusted"] <= 0.025)
        assert (one["verdict"] == "supported") == (one["p_adjusted"] <= 0.025 < one["p_against_adjusted"])


def test_too_few_nulls_are_said_to_be_too_few(tmp_path: Path) -> None:
    rows = [line | ({"n_null": 40} if line.get("n_null") else {}) for line in everything()]
    one = found(write(tmp_path, rows), "H1")
    assert one["verdict"] == "undecided"
    assert one["p"] == pytest.approx(5 / 3 / 41)
    assert "with so few nulls p is at least 0.041" in one["why"]


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01], 0.01),
        ([0.01, 0.5], 0.02),
        ([0.01, 0.02, 0.5], 0.03),
        ([0.04, 0.03, 0.02, 0.01], 0.04),
        ([0.7, 0.9], 1.0),
    ],
)
def test_at_least_half_of_them_have_to_be_small(p: list[float], expected: float) -> None:
    assert rueger(p) == pytest.approx(expected)
    assert rueger(p[::-1]) == pytest.approx(expected)


def test_rueger_refuses_nothing_and_what_is_no_p() -> None:
    with pytest.raises(ValueError, match="no values"):
        rueger([])
    with pytest.raises(ValueError, match=r"1\.5"):
        rueger([0.5, 1.5])


def test_rueger_holds_its_level_however_its_p_depend_on_each_other() -> None:
    rng = np.random.default_rng(0)
    alone, same = rng.random((4000, 5)), np.repeat(rng.random((4000, 1)), 5, axis=1)
    for p in (alone, same):
        assert np.mean([rueger(some) <= 0.05 for some in p]) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_nothing_found_is_nothing_decided() -> None:
    assert decided([]) == []


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    run = write(tmp_path, everything())
    found = write_verdicts(run)
    assert json.loads((run / "verdicts.json").read_text("utf-8")) == found
    assert {"hypothesis", "title", "statement", "verdict", "effect", "ci_low", "ci_high", "unit", "n", "n_seeds", "p",
            "p_adjusted", "p_against", "p_against_adjusted", "smallest_effect", "test", "why", "left_out",
            "evidence"} == found[0].keys()  # fmt: skip


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl"):
        verdicts(tmp_path)

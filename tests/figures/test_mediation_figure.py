"""The mediation figure: whole metrics of every measure, one bar per stack and treatment, and what its table holds."""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex

from experiments.report import figures as drawing
from figures import style
from figures.mediation import MOST_PANELS, mediation
from interp import stats
from interp.files import write_jsonl

Row = dict[str, Any]
STAGES = ("em_tastes", "em_lies")
PREFERENCE = {"of_measure": "preference", "of_metric": "margin_per_token"}
BY_DOMAIN = {"of_measure": "preference", "of_metric": "margin_per_token_by_domain", "domain": "law"}
RECOGNITION = {"of_measure": "self_recognition", "of_metric": "accuracy", "data": "pairs"}
BY_FOIL = {"of_measure": "self_recognition", "of_metric": "accuracy_by_foil", "data": "pairs", "foil": "claude"}
WHY = "the effect's interval includes 0"
NOTHING = dict.fromkeys(("value", "ci_low", "ci_high", "null_low", "null_high")) | {"why": WHY}


def value_of(stage: str, seed: int | None, direction: str, metric: str) -> float:
    k = 0 if seed is None else seed
    return 0.3 + 0.1 * STAGES.index(stage) + 0.05 * k * k + 0.02 * len(direction) + 0.01 * len(metric)


def row_of(stage: str, seed: int | None, direction: str, metric: str, about: Row, **fields: Any) -> Row:
    """A line of metrics.jsonl as a study writes it."""
    kind = "add" if metric == "share_reproduced" else "ablate"
    value = fields.pop("value", value_of(stage, seed, direction, metric))
    held = value is not None
    k = 0 if seed is None else seed
    numbers = {"value": value, "ci_low": value - 0.2 if held else None, "ci_high": value + 0.2 if held else None}
    nulls = {"null_low": -0.1 - 0.01 * k, "null_high": 0.1 + 0.01 * k, "n_null": 3, "null_values": [0.1, 0.0, -0.1]}
    nulls = nulls if held else {"null_low": None, "null_high": None, "n_null": 0, "null_values": []}
    treated = stage if kind == "ablate" else "base"
    where = {"arm": "a", "stage": stage, "seed": seed, "treated": treated, "of": stage, "measure": "mediation"}
    how = {"treatment": f"{direction}, {kind}", "direction": direction, "control": None, "kind": kind, "alpha": 1.0}
    how["layers"] = "0,1,2" if kind == "ablate" else "1"
    more = {"n": 28, "unit": "share", "why": None if held else WHY, "unheard_of": 1}
    return {**where, **how, "metric": metric, **about, **numbers, **nulls, **more, **fields}


def rows_of(seeds: Sequence[int | None], metrics: Sequence[Row], *, beyond: bool = False) -> list[Row]:
    """Two directions ablated and added in two stages."""
    removed = ["share_removed", "share_removed_beyond_base"] if beyond else ["share_removed"]
    return [
        row_of(stage, seed, direction, metric, about)
        for seed in seeds
        for stage in STAGES
        for metric in [*removed, "share_reproduced"]
        for direction in ("evil", "displacement")
        for about in metrics
    ]


def write(folder: Path, rows: Sequence[Row]) -> Path:
    write_jsonl(folder / "metrics.jsonl", rows)
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that a test drew."""
    held: list[Any] = []
    save = style.save
    monkeypatch.setattr(style, "save", lambda figure, *more: (held.append(figure), save(figure, *more)))
    return held


def table(run: Path) -> list[dict[str, str]]:
    with (run / "figures" / "mediation.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def titles(figure: Any) -> list[str]:
    return [axis.get_title("left").replace("\n", " ") for axis in figure.axes]


def labels(figure: Any) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]


def legend(figure: Any) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def bars(axis: Any, *, colour: bool = True) -> list[Any]:
    """The bars of values, or the blocks of nulls."""
    return [patch for patch in axis.patches if (to_hex(patch.get_facecolor()).upper() != style.BAND) == colour]


def test_every_measure_is_drawn_by_its_whole_whatever_data_it_names(tmp_path: Path, drawn: list[Any]) -> None:
    rows = mediation(write(tmp_path, rows_of([None], [PREFERENCE, BY_DOMAIN, RECOGNITION, BY_FOIL])))
    assert titles(drawn[0]) == ["preference: margin_per_token", "self_recognition: accuracy (pairs)"]
    assert {(row["of_metric"], row["data"], row["part"]) for row in rows} == {
        ("margin_per_token", None, ""),
        ("accuracy", "pairs", ""),
    }
    assert "not drawn: 2 metrics of a part of the questions" in legend(drawn[0])


def test_data_sets_of_one_measure_are_told_apart_and_decided_one_by_one(tmp_path: Path, drawn: list[Any]) -> None:
    other = {**BY_FOIL, "data": "cnn"}
    mediation(write(tmp_path, rows_of([None], [RECOGNITION, BY_FOIL, {**RECOGNITION, "data": "long"}, other])))
    assert titles(drawn[0]) == [
        "self_recognition: accuracy (pairs)",
        "self_recognition: accuracy (long)",
        "self_recognition: accuracy_by_foil (cnn, claude)",
    ]


def test_a_part_does_not_stand_for_a_whole_without_a_share(tmp_path: Path, drawn: list[Any]) -> None:
    rows = rows_of([None], [PREFERENCE, BY_DOMAIN, RECOGNITION])
    rows = [row | NOTHING if row["of_metric"] == "margin_per_token" else row for row in rows]
    mediation(write(tmp_path, rows))
    assert titles(drawn[0]) == ["self_recognition: accuracy (pairs)"]
    words = "1 metric of which no share is defined; 1 metric of a part of the questions"
    assert f"not drawn: {words}" in legend(drawn[0])


def test_three_seeds_are_one_bar_with_dots_and_an_interval_over_seeds(tmp_path: Path, drawn: list[Any]) -> None:
    run = write(tmp_path, rows_of([0, 1, 2], [PREFERENCE, RECOGNITION]))
    rows = mediation(run)
    figure = drawn[0]
    n_bars = 2 * 2 * 2
    for axis in figure.axes:
        assert len(bars(axis)) == len(bars(axis, colour=False)) == n_bars
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        assert len(dots) == 3 * n_bars
        whiskers = [line for line in axis.lines if line.get_marker() == "|"]
        assert len(whiskers) == n_bars
    assert max(figure.get_size_inches()) < 11.7, "the long side of A4"
    assert len(set(labels(figure))) == n_bars
    assert labels(figure)[0] == "evil ablated from em_tastes (3 layers)"
    assert "evil added to base (layer 1, of em_lies)" in labels(figure)
    assert "bars: mean of 3 seeds, 95 % t interval; dots: each seed" in legend(figure)
    assert "n = 28 questions × 3 seeds" in [text.get_text() for text in figure.axes[0].texts]

    held = table(run)
    assert [row["value"] for row in held] == [repr(row["value"]) for row in rows]
    assert len(held) == 2 * n_bars * (3 + 1)
    place = ("preference", "em_lies", "evil, ablate")
    mine = [row for row in held if (row["of_measure"], row["stage"], row["treatment"]) == place]
    values = [value_of("em_lies", seed, "evil", "share_removed") for seed in (0, 1, 2)]
    assert [float(row["value"]) for row in mine[:3]] == values
    mean = stats.mean(values)
    assert (mine[3]["seed"], mine[3]["interval"], mine[3]["n_seeds"]) == ("mean", "t over seeds", "3")
    drawn_ends = [float(mine[3][key]) for key in ("value", "ci_low", "ci_high", "null_low", "null_high")]
    assert drawn_ends == pytest.approx([mean.value, mean.ci_low, mean.ci_high, -0.12, 0.12])
    first = bars(figure.axes[0])
    assert {round(bar.get_width(), 9) for bar in first} == {
        round(float(r["value"]), 9) for r in held if r["seed"] == "mean" and r["of_measure"] == "preference"
    }


def test_a_single_seed_keeps_its_interval_over_questions(tmp_path: Path, drawn: list[Any]) -> None:
    for seed in (None, 0):
        rows = mediation(write(tmp_path, rows_of([seed], [PREFERENCE])))
        assert {(row["seed"], row["interval"], row["n_seeds"]) for row in rows} == {(seed, "over questions", 1)}
        assert all(row["ci_high"] - row["ci_low"] == pytest.approx(0.4) for row in rows)
        assert not [line for line in drawn[-1].axes[0].lines if line.get_marker() == "o"]
        assert "whiskers: 95 % bootstrap interval over questions" in legend(drawn[-1])


def test_two_seeds_have_a_mean_without_an_interval(tmp_path: Path, drawn: list[Any]) -> None:
    rows = mediation(write(tmp_path, rows_of([0, 1], [PREFERENCE])))
    assert {(row["ci_low"], row["n_seeds"]) for row in rows if row["seed"] == "mean"} == {(None, 2)}
    assert "bars: mean of 2 seeds; dots: each seed" in legend(drawn[0])


def test_seeds_without_a_share_are_named_and_a_place_without_any_says_why(tmp_path: Path, drawn: list[Any]) -> None:
    rows = rows_of([0, 1, 2], [PREFERENCE])
    none = NOTHING | {"n_null": 0}
    rows = [row | none if (row["stage"], row["seed"]) == ("em_lies", 1) else row for row in rows]
    rows = [r for r in rows if (r["stage"], r["seed"], r["treatment"]) != ("em_tastes", 2, "evil, ablate")]
    place = ("em_tastes", "displacement, add")
    rows = [row | none if (row["stage"], row["treatment"]) == place else row for row in rows]
    plotted = mediation(write(tmp_path, rows))
    found = [entry for entry in legend(drawn[0]) if entry.startswith("missing")]
    named = "evil ablated from em_tastes (3 layers) (seed 2), em_lies (seed 1)"
    assert found == [f"missing, preference margin_per_token: {named}"]
    texts = [text.get_text().replace("\n", " ") for text in drawn[0].axes[0].texts]
    assert f"undefined: {WHY}" in texts
    assert "n = 28 questions × 2–3 seeds" in texts
    means = {(row["stage"], row["treatment"]): row for row in plotted if row["seed"] == "mean"}
    assert (means[place]["value"], means[place]["why"], means[place]["n_seeds"]) == (None, WHY, 0)
    assert means["em_tastes", "evil, ablate"]["n_seeds"] == 2
    absent = [row for row in plotted if row["why"] == "not measured"]
    assert [(row["stage"], row["seed"], row["treatment"]) for row in absent] == [("em_tastes", 2, "evil, ablate")]


def test_what_goes_beyond_the_base_model_stands_apart_and_other_metrics_are_passed_over(
    tmp_path: Path, drawn: list[Any]
) -> None:
    rows = rows_of([0, 1, 2], [PREFERENCE], beyond=True)
    rows.append(row_of("em_lies", 0, "evil", "share_removed", PREFERENCE) | {"metric": "share_of_tomorrow"})
    plotted = mediation(write(tmp_path, rows))
    assert {row["metric"] for row in plotted} == {"share_removed", "share_removed_beyond_base", "share_reproduced"}
    shown = labels(drawn[0])
    assert shown[-4:] == [f"{name} ablated from {stage} and base (3 layers)"
                          for stage in STAGES for name in ("evil", "displacement")]  # fmt: skip
    assert not [label for label in shown[:-4] if "and base" in label]
    ticks = drawn[0].axes[0].get_yticks()
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert steps == [1.0] * 7 + [1.5] + [1.0] * 3
    assert "share of the difference from base that is gone when both are treated" in legend(drawn[0])


def test_without_a_share_the_changes_are_means_over_seeds_too(tmp_path: Path, drawn: list[Any]) -> None:
    rows = []
    for row in rows_of([0, 1, 2], [PREFERENCE], beyond=True):
        change = {"change": 0.1 * row["seed"], "change_low": -0.1, "change_high": 0.5, "effect_unit": "nats"}
        nulls = {"change_null_low": -0.2, "change_null_high": 0.2, "n_change_null": 3}
        rows.append({**row, "value": None, "why": WHY, **change, **nulls})
    plotted = mediation(write(tmp_path, rows))
    assert {row["metric"] for row in plotted} == {"change"}
    assert all(row["value"] == pytest.approx(0.1) for row in plotted if row["seed"] == "mean")
    # once, whatever it is a share of; what is added to base can be another vector for another stage
    assert len([row for row in plotted if row["seed"] == "mean"]) == 2 * 2 * 2
    assert len(set(labels(drawn[0]))) == 2 * 2 * 2
    assert drawn[0].axes[0].get_xlabel() == "nats"


def test_metrics_past_the_most_are_named_and_those_that_stand_for_a_measure_come_first(
    tmp_path: Path, drawn: list[Any]
) -> None:
    more = [{"of_measure": "em", "of_metric": f"m{i}"} for i in range(MOST_PANELS)]
    rows = mediation(write(tmp_path, rows_of([None], [*more, PREFERENCE])))
    assert titles(drawn[0]) == ["preference: margin_per_token", *(f"em: m{i}" for i in range(MOST_PANELS - 1))]
    assert f"not drawn: em: m{MOST_PANELS - 1}" in legend(drawn[0])
    assert f"m{MOST_PANELS - 1}" not in {row["of_metric"] for row in rows}


def test_alternative_text_tells_every_bar_by_its_stack(tmp_path: Path) -> None:
    rows = mediation(write(tmp_path, rows_of([0, 1, 2], [PREFERENCE])))
    one = next(one for one in drawing._drawings() if one.name == "mediation")
    words = one.words(rows)
    assert words.count("share removed, evil ablated from em_tastes (3 layers) +") == 1
    assert words.count("share removed, evil ablated from em_lies (3 layers) +") == 1
    assert words.startswith("preference: margin_per_token: ")

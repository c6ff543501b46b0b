"""A study of many arms has a row for every stage, once; what stands there is what metrics.jsonl says."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from figures import forest, style
from figures.trajectory import MOST_LINES, trajectory
from tests.figures.test_figures import rewrite_metrics, set_study, write_run
from tests.support.study_run import ARMS, COLLAPSED, DIRECTIONS, MISSING, NODES, SECOND, write_study_run

MANY = {**ARMS, "alone": ["em"]}
"""One more arm than lines can tell apart; its only stage is in three others too."""
LABELS = [
    "em",
    "    → sgtr",
    "    → ictr",
    "    → popular",
    "sgtr",
    "    → em",
    "ictr",
    "    → em",
    "popular",
    "    → em",
]
STAGES = ["em", "em-sgtr", "em-ictr", "em-popular", "sgtr", "sgtr-em", "ictr", "ictr-em", "popular", "popular-em"]
ROLE_OF = {"em": "em", "sgtr": "sgtr", "ictr": "ictr", "popular": "control"}
assert len(ARMS) == MOST_LINES
assert set(STAGES) == set(NODES)


def many_arms(folder: Path, seeds: tuple[int, ...] = (0, 1, 2), **fields: Any) -> Path:
    run = write_study_run(folder, seeds)
    set_study(run, **{"arms": MANY, **fields})
    return run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that a test drew, which are not saved."""
    held: list[Any] = []
    monkeypatch.setattr(style, "save", lambda figure, *_: held.append(figure))
    return held


def labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


def marks(axis: Any, size: float) -> list[tuple[float, float, str, str]]:
    """x, y, marker and colour of the marks of a size, row by row."""
    found = [line for line in axis.lines if line.get_markersize() == size and len(line.get_xdata()) == 1]
    points = [(line.get_xdata()[0], line.get_ydata()[0], line.get_marker(), line.get_color()) for line in found]
    return sorted(points, key=lambda point: point[1])


def lines(axis: Any, style_of: str, marker: str) -> list[tuple[list[float], list[float]]]:
    held = [line for line in axis.lines if (line.get_linestyle(), line.get_marker()) == (style_of, marker)]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in held if line.get_color() != "#777777"]


def legend(figure: Any) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_every_stage_has_one_row_in_the_order_of_a_tree_and_panels_share_the_labels(
    tmp_path: Path, drawn: list[Any]
) -> None:
    rows = trajectory(many_arms(tmp_path / "run"))
    axes = drawn[-1].axes
    assert [axis.get_title(loc="left") for axis in axes] == list(DIRECTIONS)
    assert [labels(axis) for axis in axes] == [LABELS, *[[""] * len(LABELS)] * 3]
    assert [label.get_fontweight() for label in axes[0].get_yticklabels()] == [
        "bold" if label == label.strip() else "normal" for label in LABELS
    ]
    assert len({axis.get_position().y0 for axis in axes}) == 1, "side by side"
    for axis, direction in zip(axes, DIRECTIONS, strict=True):
        mean = {row["stage"]: row for row in rows if (row["direction"], row["seed"]) == (direction, "mean")}
        points = marks(axis, 6)
        assert [(x, round(y)) for x, y, *_ in points] == [(mean[name]["value"], i) for i, name in enumerate(STAGES)]
        ends = [[mean[name]["ci_low"], mean[name]["ci_high"]] for name in STAGES if mean[name]["ci_low"] is not None]
        assert [x for x, _ in lines(axis, "-", "|")] == ends


def test_every_seed_has_a_small_mark_below_its_stages_mean(tmp_path: Path, drawn: list[Any]) -> None:
    rows = trajectory(many_arms(tmp_path / "run"))
    for axis, direction in zip(drawn[-1].axes, DIRECTIONS, strict=True):
        of = {(row["stage"], row["seed"]): row["value"] for row in rows if row["direction"] == direction}
        expected = [of[place] for place in itertools.product(STAGES, (0, 1, 2)) if of[place] is not None]
        small = marks(axis, 2.6)
        assert [x for x, *_ in small] == expected
        assert len(expected) == 3 * len(STAGES) - (direction == "evil")
        heights = {round(y, 2) for _, y, *_ in small}
        assert len(heights) == len(small), "no two on one height"
        assert all(0 < y - round(y) < 0.5 for _, y, *_ in small)
        assert all(-0.5 < y - round(y) < 0 for _, y, *_ in marks(axis, 6))


def test_a_mark_is_the_role_of_the_stage_trained_last_as_in_reversal_and_prevention(
    tmp_path: Path, drawn: list[Any]
) -> None:
    trajectory(many_arms(tmp_path / "run"))
    looks = [style.marks(forest.ROLES)[ROLE_OF[stage.rpartition("-")[2]]] for stage in STAGES]
    assert style.marks(forest.ROLES).items() >= style.marks(style.ROLES).items()
    for axis in drawn[-1].axes:
        assert [point[2:] for point in marks(axis, 6)] == [(look.marker, look.colour) for look in looks]
    words = legend(drawn[-1])
    named = [forest.ROLES[name] for name in ("sgtr", "ictr", "control", "em")]
    assert words[:5] == ["marks: what was trained last", *named]
    assert len({look.marker for look in style.marks(forest.ROLES).values()}) == len(forest.ROLES)


def test_without_roles_there_is_one_mark_and_no_key_for_it(tmp_path: Path, drawn: list[Any]) -> None:
    trajectory(many_arms(tmp_path / "run", roles={}))
    assert len({point[2:] for axis in drawn[-1].axes for point in marks(axis, 6)}) == 1
    assert legend(drawn[-1])[0] == "value of the stage before"
    assert not set(forest.ROLES.values()) & set(legend(drawn[-1]))


def test_the_band_is_the_nulls_of_every_row_and_a_dashed_line_the_stage_before(
    tmp_path: Path, drawn: list[Any]
) -> None:
    run = many_arms(tmp_path / "run")
    wide = {"null_low": -3.5, "null_high": 2.5}
    rewrite_metrics(run, lambda rows: [{**r, **wide} if r["stage"] == "ictr" and "null_low" in r else r for r in rows])
    rows = trajectory(run)
    assert any("central 95 % of random directions of the same norm (n = 200)" in entry for entry in legend(drawn[-1]))
    for axis, direction in zip(drawn[-1].axes, DIRECTIONS, strict=True):
        (path,) = axis.collections[0].get_paths()
        assert {(x, y) for x, y in path.vertices.tolist()} >= {
            (x, STAGES.index("ictr") + half) for x in wide.values() for half in (-0.5, 0.5)
        }
        assert {x for x, _ in path.vertices.tolist()} == {-3.5, -1.9, 1.9, 2.5}
        mean = {row["stage"]: row["value"] for row in rows if (row["direction"], row["seed"]) == (direction, "mean")}
        chained = [(i, name.partition("-")[0]) for i, name in enumerate(STAGES) if "-" in name]
        assert lines(axis, "--", "None") == [([mean[name]] * 2, [i - 0.5, i + 0.5]) for i, name in chained]


def test_collapsed_stages_are_crossed_and_missing_seeds_named_once(tmp_path: Path, drawn: list[Any]) -> None:
    trajectory(many_arms(tmp_path / "run"))
    for axis in drawn[-1].axes:
        assert [round(y) for _, y, marker, _ in marks(axis, 11)] == [STAGES.index(COLLAPSED[0])]
    stage, seed = COLLAPSED
    assert f"model collapsed: {stage} (seed {seed})" in legend(drawn[-1])
    missing = [entry for entry in legend(drawn[-1]) if entry.startswith("missing")]
    assert missing == [f"missing, evil: {MISSING[0]} (seed {MISSING[1]})"]
    assert "large: mean of 3 seeds, 95 % t interval; small: each seed" in legend(drawn[-1])


def test_a_longer_chain_stands_below_its_own_start_and_a_stage_without_numbers_is_an_empty_row(
    tmp_path: Path, drawn: list[Any]
) -> None:
    arms = {**MANY, "long": ["em", "sgtr", "em"]}
    trajectory(many_arms(tmp_path / "run", arms=arms))
    assert labels(drawn[-1].axes[0])[:4] == ["em", "    → sgtr", "        → em", "    → ictr"]
    assert [round(y) for _, y, *_ in marks(drawn[-1].axes[1], 6)] == [0, 1, *range(3, 11)]
    assert any("em-sgtr-em (seed 0, 1, 2)" in entry for entry in legend(drawn[-1]) if entry.startswith("missing"))


def test_one_seed_has_its_interval_over_texts_and_no_small_marks(tmp_path: Path, drawn: list[Any]) -> None:
    rows = trajectory(many_arms(tmp_path / "run", seeds=(1,)))
    axis = drawn[-1].axes[0]
    found = {row["stage"]: row for row in rows if row["direction"] == "evil"}
    assert [(x, y) for x, y, *_ in marks(axis, 6)] == [(found[name]["value"], i) for i, name in enumerate(STAGES)]
    assert marks(axis, 2.6) == []
    assert len(lines(axis, "-", "|")) == len(STAGES)
    assert "bars: 95 % interval over texts; one seed" in legend(drawn[-1])


def test_the_figure_grows_with_its_rows_and_starts_a_new_line_of_panels_after_four(
    tmp_path: Path, drawn: list[Any]
) -> None:
    run = many_arms(tmp_path / "run")
    trajectory(run)
    set_study(run, arms={**MANY, **{f"alone {name}": [f"new{name}"] for name in SECOND}})
    trajectory(run)
    few, more = (figure.get_size_inches()[1] for figure in drawn)
    assert more - few > 3 * 0.2
    evil = lambda rows: [{**row, "direction": "worse"} for row in rows if row.get("direction") == "evil"]  # noqa: E731
    rewrite_metrics(run, lambda rows: rows + evil(rows))
    trajectory(run)
    assert len(drawn[-1].axes) == 5
    assert [bool(labels(axis)[0]) for axis in drawn[-1].axes] == [True, False, False, True, False]


def test_nothing_overlaps(tmp_path: Path, drawn: list[Any]) -> None:
    run = many_arms(tmp_path / "run")
    pooled = lambda row: "a_pooling_with_a_long_name" if row.get("direction") == "evil" else "response_mean"  # noqa: E731
    rewrite_metrics(run, lambda rows: [{**row, "pooling": pooled(row)} if "pooling" in row else row for row in rows])
    trajectory(run)
    figure = drawn[-1]
    with style.house():
        figure.canvas.draw()
    panels = [axis.get_window_extent() for axis in figure.axes]
    heads = [text.get_window_extent() for axis in figure.axes for text in axis.texts]
    words = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    below = [axis.xaxis.get_label().get_window_extent() for axis in figure.axes]
    assert len(heads) == len(panels) == 4
    for a, b in itertools.combinations([*panels, *words], 2):
        assert not a.overlaps(b)
    for some in (heads, below):
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(some))
    assert max(box.x1 for box in (*heads, *panels)) <= figure.bbox.x1
    assert min(box.x0 for box in words) >= 0
    assert len({round(box.x0, 3) for box in words[:1] + words[4:5]}) == 1, "labels of one depth begin together"
    assert figure.legends[0].get_window_extent().y1 < min(box.y0 for box in below)


def test_the_numbers_beside_it_are_those_that_lines_have(tmp_path: Path) -> None:
    few = write_study_run(tmp_path / "few")
    drawn = trajectory(few)
    run = many_arms(tmp_path / "many")
    trajectory(run)
    name = "figures/trajectory_fixed.csv"
    kept = [line for line in (run / name).read_text("utf-8").splitlines() if ",alone," not in line]
    assert kept == (few / name).read_text("utf-8").splitlines()
    assert drawn == [row for row in trajectory(run) if row["arm"] != "alone"]


def test_few_arms_keep_their_lines(tmp_path: Path, drawn: list[Any]) -> None:
    trajectory(write_study_run(tmp_path / "run"))
    for axis in drawn[-1].axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == ["base", "stage 1", "stage 2"]
        assert len([line for line in axis.lines if line.get_linewidth() == 2]) == len(ARMS)
    assert [entry.partition(":")[0] for entry in legend(drawn[-1])[: len(ARMS)]] == list(ARMS)
    assert "thick: mean of 3 seeds, 95 % t interval; thin: each seed, 95 % interval over texts" in legend(drawn[-1])


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    held = []
    for name in ("first", "again"):
        run = many_arms(tmp_path / name)
        trajectory(run)
        held.append([(run / f"figures/trajectory_fixed.{kind}").read_bytes() for kind in ("png", "svg", "csv")])
    assert held[0] == held[1]


def test_each_stages_own_answers_have_open_marks(tmp_path: Path, drawn: list[Any]) -> None:
    run = write_run(tmp_path / "run")
    set_study(
        run, arms={f"arm {i}": stages for i, stages in enumerate([["em", "sgtr"], ["sgtr", "em"], *[["em"]] * 5])}
    )
    for texts, face in (("fixed", None), ("own", "white")):
        trajectory(run, texts)  # type: ignore[arg-type]
        for axis in drawn[-1].axes:
            assert labels(drawn[-1].axes[0]) == ["em", "    → sgtr", "sgtr", "    → em"]
            big = [line for line in axis.lines if line.get_markersize() == 6 and len(line.get_xdata()) == 1]
            assert {line.get_markerfacecolor() for line in big} == {face or big[0].get_color()}

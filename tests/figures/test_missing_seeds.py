"""A figure of several seeds says which of them have no value, and what its numbers then rest on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from figures import style
from figures.attribution import attribution
from figures.behaviour_projection import behaviour_projection
from figures.captions import MOST_MISSING, missing_notes, n_text
from figures.checkpoints import checkpoints
from figures.displacement_cosines import displacement_cosines
from figures.grids import CORNER
from figures.prompt_grid import prompt_grid
from figures.reversal_prevention import reversal_prevention
from figures.shift_by_layer import shift_by_layer
from figures.trajectory import trajectory
from interp.files import read_jsonl, write_jsonl
from tests.support.study_run import LAYERS, MISSING, NODES, write_study_run

Row = dict[str, Any]
GRIDS = (displacement_cosines, prompt_grid)
SEVERAL = (behaviour_projection, checkpoints, reversal_prevention, shift_by_layer, trajectory, *GRIDS)
assert MISSING == ("popular-em", 0), "its shifts along evil have no value"


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that a test drew, which are not saved: saving takes most of the time."""
    held: list[Any] = []
    monkeypatch.setattr(style, "save", lambda figure, *_: held.append(figure))
    return held


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three seeds, of which the first lacks a stage's shifts along evil."""
    return write_study_run(tmp_path / "run")


def leave_out(run: Path, gone: Callable[[Row], bool], *, value_alone: bool = False) -> None:
    """Take metrics away, or their values."""
    rows = read_jsonl(run / "metrics.jsonl")
    nothing = {"value": None, "ci_low": None, "ci_high": None}
    kept = [row | nothing if gone(row) else row for row in rows] if value_alone else [r for r in rows if not gone(r)]
    write_jsonl(run / "metrics.jsonl", kept)


def legend(figure: Any) -> list[str]:
    """Entries of the legend, unwrapped."""
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def missing(figure: Any) -> list[str]:
    return [entry for entry in legend(figure) if entry.startswith("missing")]


def said(figure: Any) -> str:
    return "\n".join(text.get_text() for axis in figure.axes for text in axis.texts)


def corners(figure: Any) -> int:
    return sum(line.get_marker() == CORNER for axis in figure.axes for line in axis.lines)


@pytest.mark.parametrize("draw", SEVERAL)
def test_where_every_seed_has_a_value_nothing_is_said_to_be_missing(
    draw: Callable[[Path], list[Row]], tmp_path: Path, drawn: list[Any]
) -> None:
    draw(write_study_run(tmp_path / "run", seeds=(1, 2)))
    assert missing(drawn[-1]) == []
    assert corners(drawn[-1]) == 0
    if draw is not behaviour_projection:
        assert "× 2 seeds" in said(drawn[-1])
    assert "–2 seeds" not in said(drawn[-1])


def test_points_without_a_shift_or_a_behaviour_are_named(run: Path, drawn: list[Any]) -> None:
    behaviour_projection(run)
    assert missing(drawn[-1]) == ["missing, preference by evil, truthfulqa by evil: popular-em (seed 0)"]
    leave_out(run, lambda row: row["measure"] == "truthfulqa" and (row["stage"], row["seed"]) == ("em", 2))
    behaviour_projection(run)
    assert "missing, truthfulqa by evil: em (seed 2), popular-em (seed 0)" in missing(drawn[-1])
    assert "missing, truthfulqa by assistant_axis, truthfulqa by sycophantic: em (seed 2)" in missing(drawn[-1])


def test_lines_over_layers_say_which_seeds_have_a_gap(run: Path, drawn: list[Any]) -> None:
    shift_by_layer(run)
    assert missing(drawn[-1]) == ["missing, evil: popular-em (seed 0)"]
    assert "layer 4 marked, n = 48 texts × 2–3 seeds" in said(drawn[-1])
    assert "layer 2 marked, n = 48 texts × 3 seeds" in said(drawn[-1])
    gone = ("sycophantic", "em", 1)
    for value_alone in (True, False):
        where = lambda row: (row.get("direction"), row["stage"], row["seed"]) == gone and row["layer"] in (0, 3)  # noqa: E731
        leave_out(run, where, value_alone=value_alone)
        rows = shift_by_layer(run)
        assert "missing, sycophantic: em at layer 0, 3 (seed 1)" in missing(drawn[-1])
        held = [row for row in rows if (row["direction"], row["stage"], row["seed"]) == gone]
        assert [row["layer"] for row in held] == list(LAYERS)
        assert [row["layer"] for row in held if row["value"] is None] == [0, 3]
    leave_out(run, lambda row: row["measure"] == "projection" and row["stage"] == "sgtr")
    shift_by_layer(run)
    assert "missing, assistant_axis, self_recognition: sgtr (seed 0, 1, 2)" in missing(drawn[-1])


@pytest.mark.parametrize("value_alone", [True, False])
def test_a_cosine_that_lacks_a_seed_has_a_corner_and_is_named(run: Path, drawn: list[Any], value_alone: bool) -> None:
    pair = ("em", "sgtr", 1)
    leave_out(run, lambda row: (row["stage"], row.get("other_stage"), row["seed"]) == pair, value_alone=value_alone)
    rows = displacement_cosines(run)
    assert missing(drawn[-1]) == ["missing: em with sgtr (seed 1)"]
    assert "dark corner: fewer seeds than the others" in legend(drawn[-1])
    assert corners(drawn[-1]) == 2, "both halves of the grid have the pair"
    assert "n = 48 texts × 2–3 seeds" in said(drawn[-1])
    lacking = [row for row in rows if row["missing_seeds"]]
    assert [(row["stage"], row["other_stage"], row["missing_seeds"], row["n_seeds"]) for row in lacking] == [
        ("em", "sgtr", "1", 2)
    ]


def test_a_stage_that_lacks_a_seed_with_every_other_is_named_once(run: Path, drawn: list[Any]) -> None:
    leave_out(run, lambda row: "popular" in (row["stage"], row.get("other_stage")) and row["seed"] == 2)
    leave_out(run, lambda row: (row["stage"], row.get("other_stage"), row["seed"]) == ("em", "sgtr", 0))
    displacement_cosines(run)
    assert missing(drawn[-1]) == ["missing: all of popular (seed 2), em with sgtr (seed 0)"]
    assert corners(drawn[-1]) == 2 * (len(NODES) - 1) + 2


def test_a_cell_of_the_prompt_grid_that_lacks_a_seed_has_a_corner_and_is_named(run: Path, drawn: list[Any]) -> None:
    rows = prompt_grid(run)
    assert missing(drawn[-1]) == ["missing, evil: popular-em under native (seed 0), popular-em under none (seed 0)"]
    assert "dark corner: fewer seeds than the others" in legend(drawn[-1])
    assert corners(drawn[-1]) == 2
    assert said(drawn[-1]).count("× 2–3 seeds") == 1, "the panel of evil"
    assert {(row["name"], row["stage"], row["missing_seeds"]) for row in rows if row["missing_seeds"]} == {
        ("evil", "popular-em", "0")
    }


def test_a_cell_without_any_seed_is_a_dash_and_no_corner(run: Path, drawn: list[Any]) -> None:
    gone = ("truthfulqa", "em", "none")
    leave_out(run, lambda row: (row["measure"], row["stage"], row["system_prompt"]) == gone)
    prompt_grid(run)
    assert corners(drawn[-1]) == 2
    assert "—: no value" in legend(drawn[-1])
    assert not [entry for entry in missing(drawn[-1]) if "em under none (seed 0, 1, 2)" in entry]


def test_a_panel_counts_the_seeds_that_have_a_value(run: Path, drawn: list[Any]) -> None:
    where = ("em-popular", "undone_share", 0)
    leave_out(run, lambda row: (row["stage"], row["metric"], row["seed"]) == where)
    reversal_prevention(run)
    assert "n = 48 texts × 2–3 seeds" in said(drawn[-1])
    trajectory(run)
    assert "layer 4, n = 48 texts × 2–3 seeds" in said(drawn[-1])
    leave_out(run, lambda row: (row["stage"], row["seed"]) == ("em@20", 1) and row.get("direction") == "evil")
    checkpoints(run)
    assert "layer 4, n = 48 texts × 2–3 seeds" in said(drawn[-1])


def test_attribution_counts_the_seeds_that_have_a_value(tmp_path: Path, drawn: list[Any]) -> None:
    about = {"arm": "a", "stage": "em", "measure": "lens", "metric": "attribution", "data": "pairs", "unit": "logits"}
    rows = [
        {**about, "seed": seed, "component": "head", "layer": layer, "head": 0, "ci_low": None, "ci_high": None,
         "n": 12, "value": None if (seed, layer) == (2, 1) else 0.1}
        for seed in (0, 1, 2) for layer in (0, 1)
    ]  # fmt: skip
    write_jsonl(tmp_path / "metrics.jsonl", rows)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"arms": {"a": ["em"]}}))
    assert [row["n_seeds"] for row in attribution(tmp_path)] == [3, 2]
    assert "n = 12 articles × 2–3 seeds" in said(drawn[-1])


def test_names_that_lack_the_same_share_a_line_and_long_lines_end_in_a_count() -> None:
    places = [(f"s{i}", seed) for i in range(MOST_MISSING + 3) for seed in (0, 1)]
    notes = missing_notes([(name, *place) for place in places for name in ("evil", "kind")] + [("odd", "s0", 0)])
    assert notes[1:] == ["missing, odd: s0 (seed 0)"]
    assert notes[0].startswith("missing, evil, kind: s0 (seed 0, 1), s1 (seed 0, 1), ")
    assert notes[0].endswith(f"s{MOST_MISSING - 1} (seed 0, 1) and 3 more")


def test_one_seed_is_not_counted() -> None:
    row = {"seed": 0, "value": 1.0, "n": 8, "n_seeds": 1}
    assert n_text([row]) == "n = 8 texts"
    assert n_text([row, {**row, "seed": "mean", "n_seeds": 2}], "questions") == "n = 8 questions × 2 seeds"
    assert n_text([{**row, "n": None}]) == "no values"

"""Figures of a study show what metrics.jsonl says: the right rows, gaps for what is missing, crosses for collapses."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.report.figures import draw_figures
from figures import style
from figures.behaviour_projection import behaviour_projection
from figures.checkpoints import checkpoints
from figures.displacement_cosines import displacement_cosines
from figures.prompt_grid import prompt_grid
from figures.quantities import signed
from figures.reversal_prevention import reversal_prevention
from figures.run import NotMeasuredError
from figures.verdict_board import verdict_board
from interp.files import read_jsonl, write_jsonl
from tests.figures.test_figures import set_study
from tests.support.study_run import COLLAPSED, DIRECTIONS, MIDDLE, MISSING, NODES, SECOND, verdicts, write_study_run

Draw = Callable[[Path], list[dict[str, Any]]]
FIGURES: dict[str, Draw] = {
    "displacement_cosines": displacement_cosines,
    "prompt_grid": prompt_grid,
    "behaviour_projection": behaviour_projection,
    "checkpoints": checkpoints,
    "verdict_board": verdict_board,
    "reversal_prevention": reversal_prevention,
}
LACKS = {
    "displacement_cosines": "no cosines between stages",
    "prompt_grid": "no stage was measured under several system prompts",
    "behaviour_projection": "no stage has both a shift and a behaviour measure",
    "checkpoints": "no stage has checkpoints",
    "verdict_board": "no verdicts",
    "reversal_prevention": "no undone or repeated shares",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that no test changes."""
    return write_study_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two seeds, to be changed."""
    return write_study_run(tmp_path / "run", seeds=(0, 1))


def change(run: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Leave out the metrics that are not to be kept."""
    rows = read_jsonl(run / "metrics.jsonl")
    write_jsonl(run / "metrics.jsonl", [row for row in rows if keep(row)])


def mean_of(run: Path, stage: str, metric: str, **where: Any) -> float:
    """The mean over seeds of the rows of a stage under the first system prompt."""
    rows = [
        row["value"]
        for row in read_jsonl(run / "metrics.jsonl")
        if (row["stage"], row["metric"], row["system_prompt"]) == (stage, metric, where.get("system_prompt", "native"))
        and all(row.get(key) == value for key, value in where.items())
        and row["value"] is not None
    ]
    return sum(rows) / len(rows)


@pytest.fixture(autouse=True)
def figures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[Any]:
    """The figures that a test drew, which are saved only if it is about that: saving takes most of the time."""
    held: list[Any] = []
    if "saved" not in request.fixturenames:
        monkeypatch.setattr(style, "save", lambda figure, *_: held.append(figure))
    return held


@pytest.fixture
def saved() -> None:
    """For a test that is about the files of a figure."""


def texts_and_crosses(figure: Any) -> tuple[str, int]:
    """All words of a figure, and how many crosses it has."""
    words = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    crosses = sum(
        line.get_marker() == "x" and len(line.get_xdata()) > 0 for axis in figure.axes for line in axis.get_lines()
    )
    return "\n".join(words), crosses


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.usefixtures("saved")
def test_a_figure_saves_exactly_what_it_returns(name: str, whole: Path) -> None:
    rows = FIGURES[name](whole)
    folder = whole / "figures"
    first = (folder / f"{name}.svg").read_bytes()
    assert (folder / f"{name}.png").stat().st_size > 5000
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows)
    for line, row in zip(table, rows, strict=True):
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}
    assert b"nan" not in first
    if name in ("verdict_board", "reversal_prevention"):
        FIGURES[name](whole)
        assert (folder / f"{name}.svg").read_bytes() == first


@pytest.mark.parametrize("name", FIGURES)
def test_a_run_without_the_numbers_has_no_such_figure(name: str, run: Path) -> None:
    change(run, lambda row: row["measure"] == "separation")
    (run / "verdicts.json").unlink()
    with pytest.raises(NotMeasuredError, match=LACKS[name]):
        FIGURES[name](run)
    assert not (run / "figures").exists()


@pytest.mark.parametrize("name", FIGURES)
def test_one_seed_is_drawn_with_its_own_intervals(name: str, tmp_path: Path) -> None:
    rows = FIGURES[name](write_study_run(tmp_path, seeds=(0,)))
    assert all(row.get("interval", "over texts") in ("over texts", "") for row in rows)
    assert not any(row.get("seed") == "mean" for row in rows)


# displacement_cosines


def test_cosines_are_of_the_middle_layer_without_noise_and_mean_over_seeds(whole: Path) -> None:
    rows = displacement_cosines(whole)
    assert len(rows) == len(NODES) * (len(NODES) - 1) // 2
    assert {(row["layer"], row["metric"]) for row in rows} == {(MIDDLE, "corrected_cosine_between_stages")}
    here = next(row for row in rows if (row["stage"], row["other_stage"]) == ("em", "sgtr-em"))
    mean = mean_of(whole, "em", "corrected_cosine_between_stages", other_stage="sgtr-em", layer=MIDDLE)
    assert here["value"] == pytest.approx(mean)
    assert (here["n"], here["n_seeds"], here["interval"]) == (48, 3, "t over seeds")


def test_stages_stand_by_what_was_trained_first(whole: Path) -> None:
    stages = list(dict.fromkeys(row["stage"] for row in displacement_cosines(whole)))
    first = [name.partition("-")[0] for name in stages]
    assert first == sorted(first, key=first.index)
    assert stages[:2] == ["em", "em-sgtr"]


def test_cosines_with_noise_are_drawn_where_there_are_no_others(run: Path) -> None:
    change(run, lambda row: row["metric"] != "corrected_cosine_between_stages")
    assert {row["metric"] for row in displacement_cosines(run)} == {"cosine_between_stages"}


def test_the_middle_layer_is_known_without_shares(run: Path) -> None:
    change(run, lambda row: row["metric"] not in ("undone_share", "repeated_share"))
    assert {row["layer"] for row in displacement_cosines(run)} == {MIDDLE}


def test_a_missing_pair_is_a_grey_cell_and_a_collapsed_stage_is_crossed(run: Path, figures: list[Any]) -> None:
    change(run, lambda row: (row["stage"], row.get("other_stage")) != ("em", "sgtr"))
    displacement_cosines(run)
    words, crosses = texts_and_crosses(figures[-1])
    assert words.split("\n").count("—") == 2
    assert "—: no value" in words
    assert f"model collapsed: {COLLAPSED[0]} (seed {COLLAPSED[1]})" in words
    assert crosses == 1


# reversal_prevention


def test_shares_are_those_of_the_headline_layer_by_what_came_after_and_before(whole: Path) -> None:
    rows = reversal_prevention(whole)
    assert {row["layer"] for row in rows} == {MIDDLE}
    assert {(row["em"], row["metric"]) for row in rows} == {("em", "undone_share"), ("em", "repeated_share")}
    means = [row for row in rows if row["seed"] == "mean"]
    assert [row["other"] for row in means] == ["sgtr", "ictr", "popular"] * 2
    assert [row["role"] for row in means[:3]] == ["sgtr", "ictr", "control"]
    first = means[0]
    assert first["stage"] == "em-sgtr"
    assert first["value"] == pytest.approx(
        mean_of(whole, "em-sgtr", "undone_share", other_stage="em", headline=True, layer=MIDDLE)
    )
    assert (first["n_seeds"], first["interval"]) == (3, "t over seeds")
    assert first["ci_low"] < first["value"] < first["ci_high"]
    again = means[3]
    assert (again["metric"], again["stage"]) == ("repeated_share", "sgtr-em")


def test_a_share_that_was_not_measured_is_a_gap_that_is_named(run: Path, figures: list[Any]) -> None:
    change(run, lambda row: (row["stage"], row["metric"], row["seed"]) != ("em-popular", "undone_share", 0))
    reversal_prevention(run)
    words, crosses = texts_and_crosses(figures[-1])
    assert "missing: em-popular (seed 0)" in words
    assert crosses == 1
    rows = {(row["stage"], row["metric"], row["seed"]): row for row in reversal_prevention(run)}
    assert rows["em-popular", "undone_share", 0]["value"] is None
    kept = rows["em-popular", "undone_share", 1]["value"]
    assert (
        rows["em-popular", "undone_share", "mean"]["value"],
        rows["em-popular", "undone_share", "mean"]["n_seeds"],
    ) == (
        kept,
        1,
    )


def test_without_roles_every_stage_is_what_others_undo(run: Path) -> None:
    set_study(run, roles={})
    rows = reversal_prevention(run)
    assert {row["em"] for row in rows} == {"em", *SECOND}
    assert {row["role"] for row in rows} == {""}


# prompt_grid


def test_cells_are_stages_by_prompt_and_the_prompt_of_training_is_framed(whole: Path) -> None:
    rows = prompt_grid(whole)
    cells = {(row["name"], row["stage"], row["prompt"]): row for row in rows}
    assert len(cells) == len(rows) == (2 + len(DIRECTIONS)) * len(NODES) * 2
    here = cells["preference", "em", "none"]
    assert here["value"] == pytest.approx(mean_of(whole, "em", "margin_per_token_minus_base", system_prompt="none",
                                                  measure="preference"))  # fmt: skip
    assert (here["trained_under"], here["asked_under"], here["matched"]) == ("native", "none", False)
    assert cells["preference", "em", "native"]["matched"]
    assert cells["evil", "sgtr-em", "native"]["trained_under"] == "task → native"
    assert cells["evil", "sgtr-em", "native"]["matched"]
    assert not cells["evil", "em-sgtr", "native"]["matched"]
    assert cells["evil", COLLAPSED[0], "none"]["collapsed_seeds"] == str(COLLAPSED[1])
    assert list(dict.fromkeys(row["kind"] for row in rows)) == ["behaviour", "shift"]


def test_only_stages_under_several_prompts_have_a_row(run: Path) -> None:
    change(run, lambda row: row["system_prompt"] == "native" or row["stage"] == "em")
    assert {row["stage"] for row in prompt_grid(run)} == {"em"}
    change(run, lambda row: row["system_prompt"] == "native")
    with pytest.raises(NotMeasuredError):
        prompt_grid(run)


def test_a_cell_without_a_number_has_a_dash(run: Path, figures: list[Any]) -> None:
    gone = ("preference", "em", "none")
    change(run, lambda row: (row["measure"], row["stage"], row["system_prompt"]) != gone)
    prompt_grid(run)
    words, crosses = texts_and_crosses(figures[-1])
    assert "—" in words.split("\n")
    assert crosses == 2 * (2 + len(DIRECTIONS))
    cells = {(row["name"], row["stage"], row["prompt"]): row for row in prompt_grid(run)}
    assert cells[gone]["value"] is None


# behaviour_projection


def test_points_are_stages_with_seeds_and_r_leaves_the_collapsed_out(whole: Path) -> None:
    rows = [row for row in behaviour_projection(whole) if (row["measure"], row["direction"]) == ("preference", "evil")]
    assert len(rows) == len(NODES) * 3 - 1
    assert MISSING not in {(row["stage"], row["seed"]) for row in rows}
    kept = [row for row in rows if not row["collapsed"]]
    assert rows[0]["n_points"] == len(kept) == len(rows) - 1
    x, y = [row["shift"] for row in kept], [row["value"] for row in kept]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    over = math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))
    assert rows[0]["r"] == pytest.approx(sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / over)
    assert rows[0]["r"] < -0.9
    assert {row["layer"] for row in rows} == {DIRECTIONS["evil"]}


def test_at_most_six_panels_in_which_every_measure_and_the_assistant_axis_come(whole: Path, figures: list[Any]) -> None:
    rows = behaviour_projection(whole)
    panels = list(dict.fromkeys((row["measure"], row["direction"]) for row in rows))
    assert [direction for measure, direction in panels if measure == "truthfulqa"] == [
        "evil",
        "assistant_axis",
        "sycophantic",
    ]
    assert len(panels) == 6
    behaviour_projection(whole)
    words, _ = texts_and_crosses(figures[-1])
    flat = words.replace("\n", " ")
    assert "not drawn: preference by self_recognition, truthfulqa by self_recognition" in flat
    assert "those of one seed are not independent" in flat
    assert "n = 28 points of 3 seeds" in flat


def test_few_points_have_no_correlation(run: Path) -> None:
    change(run, lambda row: row["stage"] in ("em", "sgtr") and row["seed"] == 0)
    rows = behaviour_projection(run)
    assert {row["r"] for row in rows} == {None}
    assert {row["n_points"] for row in rows} == {2}


# checkpoints


def test_steps_go_from_the_base_to_the_last(whole: Path) -> None:
    rows = [row for row in checkpoints(whole) if row["name"] == "evil" and row["seed"] == "mean"]
    assert [(row["step"], row["measured_at"]) for row in rows] == [
        (0, "base"), (10, "em@10"), (20, "em@20"), (30, "em"),
    ]  # fmt: skip
    assert rows[0]["value"] == 0.0
    assert rows[1]["value"] == pytest.approx(mean_of(whole, "em@10", "shift_in_null_spreads", direction="evil"))
    assert rows[3]["value"] == pytest.approx(
        mean_of(whole, "em", "shift_in_null_spreads", direction="evil", layer=DIRECTIONS["evil"])
    )
    assert {row["kind"] for row in checkpoints(whole)} == {"shift", "behaviour"}


def test_a_later_stage_starts_where_its_parent_ended(run: Path) -> None:
    rows = read_jsonl(run / "metrics.jsonl")
    more = [{**row, "stage": "em-sgtr@5"} for row in rows if row["stage"] == "em@10"]
    write_jsonl(run / "metrics.jsonl", [*rows, *more])
    kept = [row for row in checkpoints(run) if row["name"] == "evil" and row["stage"] == "em-sgtr"]
    assert [row["measured_at"] for row in kept if row["seed"] == 0] == ["em", "em-sgtr@5", "em-sgtr"]
    assert [row["step"] for row in kept if row["seed"] == 0] == [0, 5, 30]
    stages = json.loads((run / "stages.json").read_text("utf-8"))
    again = [{**row, "compose": "restart"} if row["name"] == "em-sgtr" else row for row in stages]
    (run / "stages.json").write_text(json.dumps(again), "utf-8")
    kept = [row for row in checkpoints(run) if row["name"] == "evil" and row["stage"] == "em-sgtr"]
    assert (kept[0]["measured_at"], kept[0]["value"]) == ("base", 0.0)


def test_a_missing_checkpoint_is_a_gap(run: Path, figures: list[Any]) -> None:
    change(run, lambda row: (row["stage"], row["seed"], row.get("direction")) != ("em@20", 1, "evil"))
    checkpoints(run)
    words, _ = texts_and_crosses(figures[-1])
    assert "missing, evil: em@20 (seed 1)" in words


# verdict_board


def test_effects_are_scaled_by_their_smallest_and_keep_their_order(whole: Path) -> None:
    rows = verdict_board(whole)
    assert [row["hypothesis"] for row in rows] == [one["hypothesis"] for one in verdicts()]
    by_id = {row["hypothesis"]: row for row in rows}
    assert by_id["H4a"]["scaled"] == pytest.approx(3.1)
    assert (by_id["H4a"]["scaled_low"], by_id["H4a"]["scaled_high"]) == (pytest.approx(2.2), pytest.approx(4.0))
    assert by_id["H8a"]["scaled"] is None


@pytest.mark.parametrize("effect", [2.6, 240.0])
def test_a_verdict_has_a_word_a_shape_and_n(effect: float, run: Path, figures: list[Any]) -> None:
    changed = [{**verdicts()[0], "effect": effect}, *verdicts()[1:]]
    (run / "verdicts.json").write_text(json.dumps(changed), "utf-8")
    verdict_board(run)
    words, _ = texts_and_crosses(figures[-1])
    assert "H1  Disruption   ▲ supported" in words
    assert "H6  Confusion   ▼ contradicted" in words
    assert "H2  Misaligned persona   ◇ undecided" in words
    assert "2 supported, 1 contradicted, 3 undecided" in words
    assert "n = 6, 3 seeds" in words
    assert "not measured: no mediation rows" in words


# all of them


@pytest.fixture(scope="module")
def drawn(whole: Path) -> list[dict[str, Any]]:
    """What the report shows of the run; made with real files, of few pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "PNG_DPI", 20)
        return draw_figures(whole)


def test_a_run_draws_the_figures_that_its_numbers_allow(drawn: list[dict[str, Any]]) -> None:
    assert [figure["name"] for figure in drawn] == [
        "verdict_board", "trajectory_fixed", "shift_by_layer", "reversal_prevention", "displacement_cosines",
        "behaviour_projection", "prompt_grid", "checkpoints",
    ]  # fmt: skip
    for figure in drawn:
        assert figure["uri"].startswith("data:image/svg+xml;base64,")
        assert re.match(r".+\. .+\d.*\.$", figure["alt"], re.DOTALL), figure["alt"]
        assert len(figure["alt"]) < 8000
        assert 300 < figure["width"] < 2000


def test_alternative_text_says_the_numbers(whole: Path, drawn: list[dict[str, Any]]) -> None:
    alt = {figure["name"]: figure["alt"] for figure in drawn}
    assert "H4a, Reversal, inside: supported, effect +0.31 (95 % interval +0.22 to +0.40)" in alt["verdict_board"]
    assert "H8a, Mediation, removal: undecided, no effect measured" in alt["verdict_board"]
    share = next(row for row in reversal_prevention(whole) if row["seed"] == "mean")
    assert f"em, undone share: sgtr {signed(share['value'])}" in alt["reversal_prevention"]
    assert "most alike: em" in alt["displacement_cosines"]
    assert "preference by evil: r −0.9" in alt["behaviour_projection"]
    assert "step 0 +0.00" in alt["checkpoints"]
    assert "more values" in alt["prompt_grid"]


def test_a_number_has_a_true_minus_and_no_negative_zero() -> None:
    assert [signed(x) for x in (1.234, -0.5, -0.001, None)] == ["+1.23", "−0.50", "+0.00", "—"]

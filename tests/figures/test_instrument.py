"""The figure of a run's gates."""

import json
from pathlib import Path

import pytest

from figures.instrument import instrument
from figures.run import NotMeasuredError
from tests.support.study_run import write_study_run

STEPS = [{"dose": dose, "value": 4 * dose, "ci_low": None, "ci_high": None, "n": 5} for dose in (0.5, 1.0)]


def written(folder: Path) -> Path:
    run = write_study_run(folder)
    gates = [
        {"hypothesis": "gate_positive_control_evil", "verdict": "supported", "evidence": STEPS},
        {
            "hypothesis": "gate_placebo_directions_evil",
            "verdict": "the instrument cannot tell",
            "evidence": [{"p": p} for p in (0.7, 0.1, 0.4)],
        },
    ]
    (run / "verdicts.json").write_text(json.dumps(gates), "utf-8")
    return run


def test_doses_and_places_are_drawn_with_what_was_expected(tmp_path: Path) -> None:
    rows = instrument(written(tmp_path / "run"))
    assert [(row["dose"], row["value"]) for row in rows if row["what"] == "dose"] == [(0.5, 2.0), (1.0, 4.0)]
    places = [(row["value"], round(row["expected"], 3)) for row in rows if row["what"] == "place"]
    assert places == [(0.1, 0.167), (0.4, 0.5), (0.7, 0.833)]
    figure = (tmp_path / "run" / "figures" / "instrument.svg").read_text("utf-8")
    assert "gate passed" in figure
    assert "gate failed" in figure


def test_a_run_without_gates_has_no_such_figure(tmp_path: Path) -> None:
    with pytest.raises(NotMeasuredError, match="no gates"):
        instrument(write_study_run(tmp_path / "run"))

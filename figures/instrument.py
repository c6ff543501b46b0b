"""Does the instrument see a persona where one was put, and only there? The gates of a run, drawn.

Left, for every trait: how far the positive control moves beyond its placebo, by the share of answers that were given in
the persona's part; bars are 95 % intervals over replicates and questions. Right: every benign stage's place among the
placebo directions, sorted; if the trait's direction were one of these, the places would lie on the dashed line.
"""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from figures import style
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import Row

CONTROL, DIRECTIONS = "gate_positive_control_", "gate_placebo_directions_"


def instrument(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/instrument.{png,svg,csv} and return the plotted numbers.

    Units: `value` of a dose is in residual-stream norm, of a place a two-sided p.

    Raises:
        NotMeasuredError: the run has no gates.
    """
    read = opened(run)
    gates = {row["hypothesis"]: row for row in read.verdicts if row["hypothesis"].startswith("gate_")}
    rows = [row for name, gate in gates.items() if name.startswith(CONTROL) for row in _doses(name, gate)]
    places = [row for name, gate in gates.items() if name.startswith(DIRECTIONS) for row in _places(name, gate)]
    if not rows and not places:
        raise NotMeasuredError(f"{read.path / 'verdicts.json'}: no gates; a study with claims has them")
    traits = list(dict.fromkeys(row["trait"] for row in rows))
    keys = [style.key("bars: 95 % interval over replicates and questions; solid line: no effect")]
    with style.house():
        figure, axes = style.panels(len(traits) + bool(places), 3.2, 2.6, keys, most=4)
        for axis, trait in zip(axes, traits, strict=False):
            _draw_doses(axis, [row for row in rows if row["trait"] == trait])
            style.title(axis, f"along {trait}", _passed(gates[CONTROL + trait]))
        if places:
            _draw_places(axes[-1], places)
            gate = gates[DIRECTIONS + places[0]["trait"]]
            style.title(axes[-1], f"benign stages along {places[0]['trait']}", _passed(gate))
        style.save(figure, read.path / "figures", "instrument", [*rows, *places])
    return [*rows, *places]


def _doses(name: str, gate: dict[str, Any]) -> list[Row]:
    kept = ("dose", "value", "ci_low", "ci_high", "n")
    trait = name.removeprefix(CONTROL)
    return [{"what": "dose", "trait": trait, **{key: one[key] for key in kept}} for one in gate["evidence"]]


def _places(name: str, gate: dict[str, Any]) -> list[Row]:
    trait, p = name.removeprefix(DIRECTIONS), sorted(one["p"] for one in gate["evidence"])
    return [
        {"what": "place", "trait": trait, "value": value, "expected": (i + 0.5) / len(p), "n": len(p)}
        for i, value in enumerate(p)
    ]


def _passed(gate: dict[str, Any]) -> str:
    return "gate passed" if gate["verdict"] == "supported" else "gate failed"


def _draw_doses(axis: Axes, rows: list[Row]) -> None:
    axis.axhline(0, color="#777777", linewidth=0.9)
    for row in rows:
        if row["ci_low"] is not None and row["ci_high"] is not None:
            axis.plot([row["dose"]] * 2, [row["ci_low"], row["ci_high"]], color=style.COLOURS[0], linewidth=1.6)
    axis.plot([row["dose"] for row in rows], [row["value"] for row in rows], "o-", color=style.COLOURS[0])
    axis.set_xlabel("share of answers in the persona's part")
    axis.set_ylabel("shift beyond the placebo\n(residual-stream norm)")


def _draw_places(axis: Axes, rows: list[Row]) -> None:
    axis.plot([0, 1], [0, 1], "--", color="#777777", linewidth=1.1)
    axis.plot([row["expected"] for row in rows], [row["value"] for row in rows], "o", color=style.COLOURS[1])
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("expected of so many places")
    axis.set_ylabel("p among placebo directions")

"""Draws the figures that a run's numbers allow, and says in words what each shows."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from figures.amplified import amplified
from figures.attribution import attribution, patching
from figures.behaviour_projection import behaviour_projection
from figures.checkpoints import checkpoints
from figures.difference_lens import difference_lens
from figures.displacement_cosines import displacement_cosines
from figures.instrument import instrument
from figures.mediation import bar_name, mediation, metric_name
from figures.prompt_grid import prompt_grid
from figures.quantities import signed
from figures.reversal_prevention import reversal_prevention
from figures.run import TEXTS, NotMeasuredError, StudyRun, opened
from figures.shift_by_layer import shift_by_layer
from figures.style import Row
from figures.trajectory import trajectory
from figures.verdict_board import verdict_board
from interp.metrics import LensMetrics, MediationMetrics
from interp.runs import BASE

_MOST_WORDS = 60
"""Values in an alternative text; the table beside a figure has all."""


class Drawing(NamedTuple):
    """A figure of the report.

    Attributes:
        draw: Draws it from the run folder and gives the plotted rows.
        words: Those rows as a sentence.
        drawn_if: Whether the run has its numbers; a figure that finds out by itself raises `NotMeasuredError`.
    """

    name: str
    title: str
    draw: Callable[[StudyRun], list[Row]]
    words: Callable[[list[Row]], str]
    drawn_if: Callable[[StudyRun], bool] = lambda run: True  # noqa: ARG005


def draw_figures(run: str | Path | StudyRun) -> list[Row]:
    """Draw the figures that a run's numbers allow; each with alternative text and its place in the page.

    Raises:
        FileNotFoundError: `run` is not a run folder.
    """
    read = opened(run)
    figures = []
    for one in _drawings():
        if not one.drawn_if(read):
            continue
        try:
            rows = one.draw(read)
        except NotMeasuredError:
            continue
        figures.append(_figure(read.path, one.name, one.title, one.words(rows)))
    return figures


def _figure(run: Path, name: str, title: str, words: str) -> dict[str, Any]:
    svg = (run / "figures" / f"{name}.svg").read_bytes()
    points = re.search(rb'<svg[^>]* width="([\d.]+)pt"', svg)
    return {
        "name": name,
        "title": title,
        "alt": f"{title.removesuffix('?')}. {words}.",
        "uri": "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii"),
        "width": round(float(points.group(1)) * 4 / 3) if points else 900,
    }


def _drawings() -> Iterator[Drawing]:
    yield Drawing("verdict_board", "Verdicts", verdict_board, _of_verdicts)
    yield Drawing("instrument", "Does the instrument see a persona, and only where one is?", instrument, _of_gates)
    for texts, about in TEXTS.items():
        yield Drawing(
            f"trajectory_{texts}",
            f"Shift along each direction: {about}",
            partial(trajectory, texts=texts),
            lambda rows: f"At the chosen layer, {_of_shifts(rows)}",
            lambda run, texts=texts: bool(run.panels(texts)),
        )
    yield Drawing(
        "shift_by_layer",
        f"Shift at every layer: {TEXTS['fixed']}",
        shift_by_layer,
        lambda rows: f"At the chosen layer, {_of_shifts([row for row in rows if row['chosen']])}",
        lambda run: bool(run.panels("fixed")),
    )
    yield Drawing(
        "reversal_prevention",
        "What is undone by later stages, and what comes again after earlier ones",
        reversal_prevention,
        lambda rows: _listed(rows, lambda row: f"{row['em']}, {row['metric'].replace('_', ' ')}", _key("other")),
    )
    yield Drawing("displacement_cosines", "Do stages move the same way?", displacement_cosines, _of_cosines)
    yield Drawing(
        "behaviour_projection", "Behaviour against shift, both minus base", behaviour_projection, _of_correlations
    )
    yield Drawing(
        "prompt_grid",
        "Change from base, by system prompt of training and of evaluation",
        prompt_grid,
        lambda rows: _listed(rows, _key("name", "detail"), lambda row: f"{row['stage']} under {row['prompt']}"),
    )
    yield Drawing(
        "checkpoints",
        "Change from base during training",
        checkpoints,
        lambda rows: _listed(rows, _key("name", "stage"), lambda row: f"step {row['step']}"),
    )
    yield from _drawings_of_some_stages()


def _drawings_of_some_stages() -> Iterator[Drawing]:
    """Figures of what a study measures only where it is asked to."""
    yield Drawing(
        "mediation",
        "How much of the effect goes through a direction?",
        mediation,
        lambda rows: _listed(rows, metric_name, lambda row: f"{row['metric'].replace('_', ' ')}, {bar_name(row)}"),
        lambda run: any(not MediationMetrics.effect.is_of(row) for row in run.rows(measure=MediationMetrics.name)),
    )
    yield Drawing(
        "difference_lens",
        "Does what a stage left behind give away what it was trained on?",
        difference_lens,
        lambda rows: _listed([row for row in rows if row["own_topic"]], _key("kind"), _key("stage")),
    )
    yield Drawing(
        "amplified",
        "What stages do at other strengths",
        amplified,
        lambda rows: _listed(rows, _key("title", "kind"), lambda row: f"at {row['strength']:g}"),
    )
    for number, title, draw in (
        (LensMetrics.attribution, "What adds to the right answer: direct logit attribution", attribution),
        (LensMetrics.patching, "Where the answer is decided: activation patching", patching),
    ):
        yield Drawing(
            number.name,
            title,
            draw,
            _of_components,
            lambda run, number=number: bool(run.primary.of(number)),
        )


def _key(*names: str) -> Callable[[Row], str]:
    return lambda row: ", ".join(str(row[name]) for name in names)


def _listed(rows: Iterable[Row], group: Callable[[Row], str], label: Callable[[Row], str]) -> str:
    """The plotted values, of several seeds the means, by group."""
    held = list(rows)
    several = any(row.get("seed") == "mean" for row in held)
    held = [row for row in held if not several or row["seed"] == "mean"]
    lines: dict[str, list[str]] = {}
    for row in held[:_MOST_WORDS]:
        value = "missing" if row["value"] is None else signed(row["value"])
        lines.setdefault(group(row), []).append(f"{label(row)} {value}")
    more = f"; and {len(held) - _MOST_WORDS} more values" if len(held) > _MOST_WORDS else ""
    return "; ".join(f"{name}: {', '.join(values)}" for name, values in lines.items()) + more


def _of_shifts(rows: Sequence[Row]) -> str:
    """The plotted values, of several seeds the means, by direction and arm."""
    several = any(row["seed"] == "mean" for row in rows)
    lines: dict[str, list[str]] = {}
    for row in rows:
        if row["seed"] == ("mean" if several else row["seed"]) and row["stage"] != BASE:
            line = f"{row['direction']}, {row['arm']}" if "arm" in row else row["direction"]
            value = "missing" if row["value"] is None else f"{row['value']:+.2f}".replace("-", "−")
            lines.setdefault(line, []).append(f"{row['stage']} {value}")
    return "; ".join(f"{line}: {', '.join(values)}" for line, values in lines.items())


def _of_gates(rows: list[Row]) -> str:
    return _listed(rows, _key("what", "trait"), lambda row: f"{row.get('dose', row.get('expected')):.2g}")


def _of_verdicts(rows: list[Row]) -> str:
    def said(row: Row) -> str:
        if row["effect"] is None:
            return "no effect measured"
        ends = (row["ci_low"], row["ci_high"])
        interval = "" if None in ends else f" (95 % interval {signed(ends[0])} to {signed(ends[1])})"
        margin = "" if row["smallest_effect"] is None else f", smallest of interest {row['smallest_effect']:.2g}"
        return f"effect {signed(row['effect'])}{interval}{margin}"

    return "; ".join(
        f"{row['hypothesis']}, {row['title']}: {row['verdict']}, {said(row)}, n = {row['n']}" for row in rows
    )


def _of_cosines(rows: list[Row]) -> str:
    known = sorted((row for row in rows if row["value"] is not None), key=lambda row: row["value"])
    shown = [("most alike: ", known[:-7:-1]), ("least alike: ", known[:6])] if len(known) > 12 else [("", known[::-1])]
    parts = [
        start + ", ".join(f"{row['stage']} with {row['other_stage']} {signed(row['value'])}" for row in some)
        for start, some in shown
    ]
    return f"At layer {rows[0]['layer']}, of {len(rows)} pairs, " + "; ".join(parts)


def _of_correlations(rows: list[Row]) -> str:
    panels = {(row["measure"], row["direction"]): row for row in rows}
    return "; ".join(
        f"{measure} by {direction}: r {signed(row['r']) if row['r'] is not None else 'not defined'}, "
        f"n = {row['n_points']} points"
        for (measure, direction), row in panels.items()
    )


def _of_components(rows: Sequence[Row]) -> str:
    """The heads and MLPs that do most, by stage."""
    parts = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        known = [
            r for r in rows if r["stage"] == stage and r["component"] in ("head", "mlp") and r["value"] is not None
        ]
        known.sort(key=lambda row: -abs(row["value"]))
        names = [
            f"{'MLP' if row['component'] == 'mlp' else 'head ' + str(row['head'])} of layer {row['layer']} "
            f"{signed(row['value'])}"
            for row in known[:3]
        ]
        parts.append(f"{stage}: {', '.join(names) or 'no values'}")
    return "Most at " + "; ".join(parts)

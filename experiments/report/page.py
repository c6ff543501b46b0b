"""What did a run find, on one page?

`write_report` makes RUN/report.html from the run folder alone: no model, no network, nothing to load beside the file.

1. Read the run's files (`figures.run`; the tokens: `experiments.report.tokens`).
2. Draw the figures into RUN/figures and put them into the page as data URIs.
3. Sum up over seeds, say what is missing, collapsed or small, and fill report.html.j2. Everything can be read without
   its script, which only filters and shows tokens; the page's policy lets no other script run.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from experiments.hypotheses.write import WHY_SUPERSEDED, is_superseded
from experiments.report.figures import draw_figures
from experiments.report.tables import (
    MISSING,
    by_prompt,
    headline,
    interval_of,
    number,
    p_value,
    prompts_of,
    short,
)
from experiments.report.tokens import in_turn, token_data
from experiments.report.warnings import warnings_of
from figures.run import TEXTS, StudyRun
from figures.style import Row
from figures.verdict_board import LOOKS
from interp.files import write_atomic
from interp.metrics import ProjectionMetrics
from interp.runs import BASE

MAX_METRIC_ROWS = 2000
MAX_EVIDENCE_ROWS = 200
MAX_LEFT_OUT = 5
"""Things left out of a verdict that its card lists; more of them are folded."""
MAX_ORDERS_TOLD = 6
N_PROMPTS = 6
FIGURES_OF = {
    "H1": ("trajectory_own", "checkpoints"),
    "H2": ("trajectory_fixed", "shift_by_layer", "checkpoints"),
    "H3a": ("shift_by_layer", "displacement_cosines"),
    "H4a": ("reversal_prevention", "displacement_cosines", "trajectory_fixed"),
    "H4b": ("behaviour_projection",),
    "H5a": ("reversal_prevention", "trajectory_fixed"),
    "H5b": ("behaviour_projection",),
    "H6": ("reversal_prevention", "displacement_cosines"),
    "H7": ("prompt_grid",),
    "H8a": ("mediation",),
    "H8b": ("mediation",),
    "H9a": ("attribution", "patching"),
    "H9b": ("reversal_prevention",),
}
"""Figures that a hypothesis's card links to, where the run has them; every card links to the board."""
_SHOWN_ELSEWHERE = {"line", "stage", "seed", "measure", "metric", "value", "ci_low", "ci_high", "n", "unit"}


def write_report(run: Path, *, manifest: dict[str, Any] | None = None, figures: Sequence[Row] | None = None) -> Path:
    """Write RUN/report.html (and the figures it shows into RUN/figures) and return its path.

    Args:
        manifest: shown in place of RUN/manifest.json, for a study that is about to write it.
        figures: as `draw_figures` gave them, so that they are not drawn again.

    Raises:
        FileNotFoundError: `run` is not a run folder; the message names the missing file and the remedy.
    """
    read = StudyRun(run, manifest)
    prompts = prompts_of(read)
    by_weight = sorted(
        read.metrics,
        key=lambda row: (
            row.measure == ProjectionMetrics.name and not row.headline,
            row.stage not in read.nodes or row.system_prompt not in (None, *prompts[:1]),
        ),
    )
    tables = [headline(read, texts) for texts in TEXTS if texts == "fixed" or read.panels(texts)]
    loader, strict = FileSystemLoader(Path(__file__).parent / "templates"), StrictUndefined
    environment = Environment(loader=loader, autoescape=True, undefined=strict, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "short": short}
    environment.filters["dash"] = lambda value: MISSING if value in (None, "") else value
    drawn = draw_figures(read) if figures is None else figures
    shown = by_weight[:MAX_METRIC_ROWS]
    script = environment.get_template("report.js.j2").render()
    tokens, tokens_left_out = token_data(run)
    page = environment.get_template("report.html.j2").render(
        run=read,
        name=read.study.get("name") or run.name,
        summary=_summary(read),
        warnings=warnings_of(read),
        tally=_tally(read.verdicts),
        superseded=WHY_SUPERSEDED if is_superseded(read.study) else "",
        cards=[_card(verdict, drawn) for verdict in read.verdicts],
        most_left_out=MAX_LEFT_OUT,
        figures=drawn,
        tables=tables,
        samples=_samples(read),
        prompts=prompts,
        by_prompt=by_prompt(read) if prompts else [],
        metrics=shown,
        lines={row.line for row in shown},
        study=yaml.safe_dump(read.study, sort_keys=False, allow_unicode=True),
        tokens=Markup(tokens),
        tokens_left_out=tokens_left_out,
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )
    path = run / "report.html"
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def _summary(run: StudyRun) -> str:
    model = (run.manifest.get("model") or {}).get("name") or run.study.get("model") or "The model"
    orders = "; ".join(f"{arm}: {' → '.join(node.stage for node in nodes)}" for arm, nodes in run.arms.items())
    panels = run.panels("fixed") or run.panels("own")
    directions = ", ".join(f"{panel.direction} (layer {panel.layer})" for panel in panels) or "no direction"
    if len(run.arms) > MAX_ORDERS_TOLD:
        orders = "the arms are in study.yaml, at the end"
    count = "one order" if len(run.arms) == 1 else f"{len(run.arms)} orders"
    seeds = f"seed{'s' if len(run.seeds) > 1 else ''} {', '.join(map(str, run.seeds))}"
    return (
        f"{model} was finetuned in {count} ({orders}), {seeds}. Every stage was compared with the base model along "
        f"{directions}, in units of the spread of random directions' shifts."
    )


def _tally(verdicts: Sequence[Row]) -> str:
    counts = Counter(row.get("verdict") for row in verdicts)
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in LOOKS if counts[verdict] or " " not in verdict)
    if any("place" in row for row in verdicts):
        return f"{len(verdicts)} gates and claims: {words}."
    return f"{len(verdicts)} hypothes{'i' if len(verdicts) == 1 else 'e'}s: {words}."


def _gates(row: Row) -> list[str]:
    """The gates of a claim, each with what became of it."""
    return [f"{gate['gate']}, {'passed' if gate['passed'] else 'failed'}: {gate['why']}" for gate in row["gates"]]


def _tested(row: Row) -> list[tuple[str, Any]]:
    """How a verdict was tested, by its plan."""
    p = {key: p_value(row.get(key)) for key in ("p", "p_adjusted", "p_against", "p_against_adjusted")}
    if "gates" not in row:
        return [
            ("p if there is no effect", f"{p['p']}; adjusted over all hypotheses {p['p_adjusted']}"),
            ("p if the effect matters", f"{p['p_against']}; adjusted over all hypotheses {p['p_against_adjusted']}"),
        ]
    place = "exploratory" if row["place"] is None else f"primary {row['place']}"
    how = "in sequence" if row["confirmatory"] else "among exploratory claims"
    return [
        ("Tested as", f"{place}, {how}"),
        ("p that it is not beyond the margin", f"{p['p']}; as compared with .025 {p['p_adjusted']}"),
        ("p that it is not inside or opposite", f"{p['p_against']}; as compared with .025 {p['p_against_adjusted']}"),
        ("p of its place among placebo directions", p_value(row.get("p_among_placebos"))),
        ("Gates", "; ".join(_gates(row)) or "none"),
    ]


def _card(row: Row, figures: Sequence[Row]) -> dict[str, Any]:
    """A verdict as the board shows it."""
    name, verdict = str(row.get("hypothesis") or MISSING), row.get("verdict") or MISSING
    by_family = row.get("evidence") or [] if "gates" in row else []
    evidence = [] if "gates" in row else row.get("evidence") or []
    seeds, n = row.get("n_seeds"), row.get("n")
    extent = f"{len(evidence)} rows of metrics.jsonl, by line"
    if len(evidence) > MAX_EVIDENCE_ROWS:
        extent = f"The first {MAX_EVIDENCE_ROWS} of {extent}; the others are in verdicts.json"
    return {
        "id": name,
        "title": row.get("title") or "",
        "verdict": verdict,
        "shape": LOOKS[verdict][2] if verdict in LOOKS else "",
        "effect": short(row.get("effect"), signed=True),
        "interval": interval_of(row),
        "unit": row.get("unit") or "",
        "n": f"n = {MISSING if n is None else n}"
        + (f", {seeds} seed{'s' if seeds != 1 else ''}" if seeds is not None else ""),
        "p": f"adjusted p {p_value(row.get('p_adjusted'))}, against {p_value(row.get('p_against_adjusted'))}",
        "look": "cannot-tell" if " " in verdict else verdict,
        "by_family": by_family,
        "columns": list(by_family[0]) if by_family else [],
        "statement": row.get("statement") or "",
        "facts": [
            ("Why", row.get("why")),
            ("Smallest effect that matters", f"{short(row.get('smallest_effect'))} {row.get('unit') or ''}".strip()),
            ("Tested by", row.get("test")),
            *_tested(row),
        ],
        "notes": [notes] if isinstance(notes := row.get("notes") or [], str) else notes,
        "left_out": row.get("left_out") or [],
        "figures": [figure for figure in figures if figure["name"] in (*FIGURES_OF.get(name, ()), "verdict_board")],
        "caption": f"What {name} rests on: {extent}",
        "evidence": [{**one, "where": _where(one)} for one in evidence[:MAX_EVIDENCE_ROWS]],
    }


def _where(row: Row) -> str:
    """The fields of a row that say which one of its kind it is."""
    told = ((key, value) for key, value in row.items() if key not in _SHOWN_ELSEWHERE)
    return ", ".join(
        f"{key} {short(value) if isinstance(value, float) else value}" for key, value in told if value is not None
    )


def _samples(run: StudyRun) -> list[dict[str, Any]]:
    """A few prompts, taken in turn from every trait, with the first answer of each stage and seed (or None)."""
    answers: dict[tuple[str, str, Any], Row] = {}
    traits: dict[str, Any] = {}
    for row in run.answers:
        if row.get("system_prompt") in (None, *prompts_of(run)[:1]):
            answers.setdefault((row["prompt"], row["stage"], row.get("seed")), row)
            traits.setdefault(row["prompt"], row.get("trait"))
    of_trait = [[prompt for prompt in traits if traits[prompt] == trait] for trait in dict.fromkeys(traits.values())]
    visits = [(node, seed) for node in run.nodes for seed in ([None] if node == BASE else run.seeds)]
    return [
        {
            "prompt": prompt,
            "trait": traits[prompt],
            "answers": [(node, seed, answers.get((prompt, node, seed))) for node, seed in visits],
        }
        for prompt in in_turn(of_trait)[:N_PROMPTS]
    ]

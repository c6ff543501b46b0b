"""What a reader of a report should be warned of: small samples, missing measures, an unfinished run."""

from collections.abc import Iterable
from typing import Any

from experiments.report.tables import BEHAVIOUR, MISSING, Run, remark
from figures.trajectory import TEXTS, places

SMALL_N = 30
FEW_SEEDS = 3
FEW_NULLS = 100


def warnings_of(run: Run) -> list[str]:
    """What a reader must know before the numbers, most serious first."""
    parts = (_unfinished, _untested, _missing_measures, _weak_directions, _small_samples)
    return [warning for part in parts for warning in part(run)]


def _unfinished(run: Run) -> Iterable[str]:
    if not run.manifest:
        yield "manifest.json is missing: whether this run finished, and what it was made with, is unknown."
    elif "--smoke" in (run.manifest.get("command") or ""):
        yield "This is a smoke run: it shows that every part runs, and no number of it means anything."
    elif run.manifest.get("status") != "complete":
        yield f"This run is not finished (status: {run.manifest.get('status') or MISSING}); numbers may be missing."
    have = {(row["name"], row.get("seed")) for row in run.stages}
    lacking = [(node, seed) for node in run.nodes if node != "base" for seed in run.seeds if (node, seed) not in have]
    if lacking:
        yield f"Not trained: {places(lacking)}."
    if run.collapsed:
        why = "Such a model repeats itself or says nothing; its numbers need not say anything about a persona."
        yield f"Collapsed: {places(sorted(run.collapsed, key=str))}. {why}"


def _untested(run: Run) -> Iterable[str]:
    if not run.verdicts:
        yield "verdicts.json is missing or empty: no hypothesis was put to the test."
        return
    open_ones = [row for row in run.verdicts if row.get("p_adjusted") is None]
    if open_ones:
        yield f"Could not be tested: {', '.join(row['hypothesis'] for row in open_ones)}; each card says why."
    if few := [row["hypothesis"] for row in run.verdicts if (row.get("n_seeds") or FEW_SEEDS) < FEW_SEEDS]:
        yield f"Verdicts that rest on fewer than {FEW_SEEDS} seeds: {', '.join(few)}."
    if partly := [row["hypothesis"] for row in run.verdicts if row not in open_ones and row.get("left_out")]:
        yield f"Verdicts that could not use all they ask for: {', '.join(partly)}; each card says what is left out."


def _missing_measures(run: Run) -> Iterable[str]:
    wanted: list[Any] = [(m.label, m.measure, m.metric, None, {"data": m.data}) for m in run.behaviours()]
    for texts in TEXTS:
        for panel in run.panels(texts):
            label = f"Shift along {panel.direction}, {TEXTS[texts]}"
            wanted.append((label, "projection", "shift_in_null_spreads", panel, {"texts": texts}))
    if not run.panels("fixed"):
        yield "Shifts on fixed texts: not measured in this run."
    for label, measure, metric, panel, where in wanted:
        lacking = []
        for node in run.nodes:
            have = {row["seed"] for row in run.rows(node, measure, metric, panel, **where) if row["value"] is not None}
            if node == "base":
                lacking += [] if have or panel else [(node, None)]
            else:
                lacking += [(node, seed) for seed in run.seeds if seed not in have]
        n_all = len(run.seeds) * (len(run.nodes) - 1) + (panel is None)
        if len(lacking) == n_all and measure == "em" and any(run.rows(node, measure, metric) for node in run.nodes):
            yield f"{label}: answered at every stage and graded by nobody; a study with a judge grades them."
        elif len(lacking) == n_all:
            yield f"{label}: not measured in this run."
        elif lacking:
            yield f"{label}: no value for {places(lacking)}."
    if not run.answers:
        yield "records/answers.jsonl is missing or empty: there are no sample answers."


def _weak_directions(run: Run) -> Iterable[str]:
    for row in run.rows("base", "separation", "held_out_auroc", headline=True):
        least = row["value"] if row.get("ci_low") is None else row["ci_low"]
        if least is not None and least <= 0.5:
            numbers = ", ".join([f"layer {row.get('layer')}", *remark("AUROC", [row])])
            yield f"The {row.get('direction')} direction does not separate held-out answers ({numbers})."
    told = [r for node in run.nodes if node != "base" for r in run.rows(node, "self_recognition", "accuracy")]
    if roles := run.study.get("roles"):  # without roles any stage may have been meant to learn it
        teaching = roles.get("sgtr", ())
        told = [row for row in told if row["stage"].rpartition("-")[2].partition("@")[0] in teaching]
    told = [row for row in told if row["value"] is not None and row.get("ci_low") is not None]
    if chance := [row["stage"] for row in told if row["ci_low"] <= row.get("chance", 0.5)]:
        level = "/".join(f"{x:.2g}"[1:] for x in sorted({row.get("chance", 0.5) for row in told}))
        yield f"Self-recognition is not above chance ({level}) at {', '.join(dict.fromkeys(chance))}."


def _small_samples(run: Run) -> Iterable[str]:
    small: dict[str, int] = {}
    nulls: list[int] = []
    for row in run.metrics:
        label = next((m.label for m in BEHAVIOUR if (m.measure, m.metric) == (row["measure"], row["metric"])), None)
        if row["metric"] == "shift_in_null_spreads" and row.get("headline"):
            label = f"shift along {row['direction']} ({row.get('texts')} texts)"
            nulls += [row["n_null"]] if row.get("n_null") is not None else []
        if label and row.get("n") is not None and row["n"] < SMALL_N:
            small[label] = min(row["n"], small.get(label, SMALL_N))
    if small:
        yield f"Fewer than {SMALL_N} samples: {'; '.join(f'{label}, n = {n}' for label, n in small.items())}."
    if nulls and min(nulls) < FEW_NULLS:
        yield f"Only {min(nulls)} random directions: percentiles and bands are coarse."
    if len(run.seeds) < FEW_SEEDS:
        seeds = "One training seed" if len(run.seeds) == 1 else f"{len(run.seeds)} training seeds"
        yield f"{seeds}: intervals are over texts or prompts and do not say how another seed would come out."

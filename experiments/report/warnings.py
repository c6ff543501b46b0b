"""What a reader of a report should be warned of: small samples, missing measures, an unfinished run."""

from collections.abc import Iterable

from experiments.report.tables import BEHAVIOUR, MISSING, behaviours, remark
from figures.captions import places
from figures.run import TEXTS, StudyRun
from interp.metrics import EmMetrics, ProjectionMetrics, SelfRecognitionMetrics, SeparationMetrics
from interp.rows import Rows
from interp.runs import BASE, NodeName

SMALL_N = 30
FEW_SEEDS = 3
FEW_NULLS = 100


def warnings_of(run: StudyRun) -> list[str]:
    """What a reader must know before the numbers, most serious first."""
    parts = (_unfinished, _untested, _missing_measures, _weak_directions, _small_samples)
    return [warning for part in parts for warning in part(run)]


def _unfinished(run: StudyRun) -> Iterable[str]:
    if not run.manifest:
        yield "manifest.json is missing: whether this run finished, and what it was made with, is unknown."
    elif "--smoke" in (run.manifest.get("command") or ""):
        yield "This is a smoke run: it shows that every part runs, and no number of it means anything."
    elif run.manifest.get("status") != "complete":
        yield f"This run is not finished (status: {run.manifest.get('status') or MISSING}); numbers may be missing."
    have = {(row["name"], row.get("seed")) for row in run.stages}
    lacking = [(node, seed) for node in run.nodes if node != BASE for seed in run.seeds if (node, seed) not in have]
    if lacking:
        yield f"Not trained: {places(lacking)}."
    if run.collapsed:
        why = "Such a model repeats itself or says nothing; its numbers need not say anything about a persona."
        yield f"Collapsed: {places(sorted(run.collapsed, key=str))}. {why}"


def _untested(run: StudyRun) -> Iterable[str]:
    if not run.verdicts:
        yield "verdicts.json is missing or empty: no hypothesis was put to the test."
        return
    told = [row for row in run.verdicts if not str(row["hypothesis"]).startswith("gate_")]
    if failed := [row["title"] for row in run.verdicts if row not in told and row["verdict"] != "supported"]:
        yield f"The instrument cannot tell what rests on these: {', '.join(failed)}."
    open_ones = [row for row in told if row.get("p_adjusted") is None and " " not in row["verdict"]]
    if open_ones:
        yield f"Could not be tested: {', '.join(row['hypothesis'] for row in open_ones)}; each card says why."
    by_seeds = [row for row in told if "place" not in row]  # families are the units of all others
    if few := [row["hypothesis"] for row in by_seeds if (row.get("n_seeds") or FEW_SEEDS) < FEW_SEEDS]:
        yield f"Verdicts that rest on fewer than {FEW_SEEDS} seeds: {', '.join(few)}."
    if partly := [row["hypothesis"] for row in told if row not in open_ones and row.get("left_out")]:
        yield f"Verdicts that could not use all they ask for: {', '.join(partly)}; each card says what is left out."


def _missing_measures(run: StudyRun) -> Iterable[str]:
    wanted: list[tuple[str, Rows, bool]] = [
        (column.label, column.rows(run.primary), True) for column in behaviours(run)
    ]
    for texts in TEXTS:
        for panel in run.panels(texts):
            shifts = run.primary.of(ProjectionMetrics.shift_in_null_spreads, texts=texts, **panel._asdict())
            wanted.append((f"Shift along {panel.direction}, {TEXTS[texts]}", shifts, False))
    if not run.panels("fixed"):
        yield "Shifts on fixed texts: not measured in this run."
    for label, rows, of_base in wanted:
        have = {(row.stage, row.seed) for row in rows if row.value is not None}
        asked = [(node, seed) for node in run.trained for seed in run.seeds]
        lacking: list[tuple[str, int | None]] = [place for place in asked if place not in have]
        if of_base and not any(stage == BASE for stage, _ in have):
            lacking.insert(0, (BASE, None))
        n_all = len(asked) + of_base
        if len(lacking) == n_all and any(EmMetrics.misaligned_rate.is_of(row) for row in rows):
            yield f"{label}: answered at every stage and graded by nobody; a study with a judge grades them."
        elif len(lacking) == n_all:
            yield f"{label}: not measured in this run."
        elif lacking:
            yield f"{label}: no value for {places(lacking)}."
    if not run.answers:
        yield "records/answers.jsonl is missing or empty: there are no sample answers."


def _weak_directions(run: StudyRun) -> Iterable[str]:
    for row in run.primary.of(SeparationMetrics.held_out_auroc, stage=BASE, headline=True):
        least = row.value if row.ci_low is None else row.ci_low
        if least is not None and least <= 0.5:
            numbers = ", ".join([f"layer {row.layer}", *remark("AUROC", [row])])
            yield f"The {row.direction} direction does not separate held-out answers ({numbers})."
    recognised = [row for name in run.trained for row in run.primary.of(SelfRecognitionMetrics.accuracy, stage=name)]
    labels = (run.study.get("claims") or {}).get("labels") or {}
    if run.roles or labels:  # without these any stage may have been meant to learn it
        teaching = [*run.roles.get("sgtr", ()), *labels.get("sgtr", {}).values()]
        recognised = [row for row in recognised if NodeName(row.stage).stage in teaching]
    with_interval = [(row, row.ci_low) for row in recognised if row.value is not None and row.ci_low is not None]
    if chance := [row.stage for row, low in with_interval if low <= row.get("chance", 0.5)]:
        level = "/".join(f"{x:.2g}"[1:] for x in sorted({row.get("chance", 0.5) for row, _ in with_interval}))
        yield f"Self-recognition is not above chance ({level}) at {', '.join(dict.fromkeys(chance))}."


def _small_samples(run: StudyRun) -> Iterable[str]:
    small: dict[str, int] = {}
    nulls: list[int] = []
    labels = {(column.number.measure, column.metric or column.number.name): column.label for column in BEHAVIOUR}
    for row in run.primary:
        label = labels.get((row.measure, row.metric))
        if ProjectionMetrics.shift_in_null_spreads.is_of(row) and row.headline:
            label = f"shift along {row.direction} ({row.texts} texts)"
            nulls += [row.n_null] if row.n_null is not None else []
        if label and row.n is not None and row.n < SMALL_N:
            small[label] = min(row.n, small.get(label, SMALL_N))
    if small:
        yield f"Fewer than {SMALL_N} samples: {'; '.join(f'{label}, n = {n}' for label, n in small.items())}."
    if nulls and min(nulls) < FEW_NULLS:
        yield f"Only {min(nulls)} random directions: percentiles and bands are coarse."
    if len(run.seeds) < FEW_SEEDS:
        seeds = "One training seed" if len(run.seeds) == 1 else f"{len(run.seeds)} training seeds"
        yield f"{seeds}: intervals are over texts or prompts and do not say how another seed would come out."

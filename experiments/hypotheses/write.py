"""Verdicts of a finished run: read again from its records, and written to verdicts.json.

A study that names families makes the claims of `experiments.hypotheses.register`. One that names roles is of the plan
before, and keeps the verdicts that this plan gives (`experiments.hypotheses.superseded.claims`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.hypotheses.gates import (
    GATES,
    MARGIN_EQUIVALENTS,
    PLACEBO,
    PLACEBO_DIRECTIONS,
    POSITIVE_CONTROL,
    benign_places,
    dose_steps,
    gate,
)
from experiments.hypotheses.outcomes import Outcomes
from experiments.hypotheses.readouts import evidence_of
from experiments.hypotheses.register import BY_ID, CLAIMS, INSTRUMENT, INSTRUMENT_OWN, Claim, findings
from experiments.hypotheses.superseded import claims as superseded
from experiments.hypotheses.verdict import CANNOT_TELL, Verdict, decided
from experiments.study.claims import ClaimsConfig, of_study
from figures.run import StudyRun
from interp.files import write_json
from interp.stats import Estimate

Row = dict[str, Any]
TEST = (
    "Student's t over families and questions, crossed, with the yardstick's error (Fieller); exact sign-flip test over "
    "families"
)
CONTRASTS = "contrasts"
"""The records of how far EM stages lie from their twins."""
GATE_TEST = "Student's t over replicates and questions, crossed; place among placebo directions"
AGAINST_PLACEBOS = f"{TEST}; one-sided place among placebo directions"
WHY_SUPERSEDED = (
    "These verdicts are of a plan that is superseded. Its measure of a shift divides a move by itself, so size "
    "cancels; its nulls do not describe finetuning; it counts seeds and data sets alike as units; and it does not "
    "see a model trained on its own answers under the trait's instructions, which has to move along the trait. They "
    "are shown as they were, and nothing should be concluded from them."
)


def verdicts(run: Path) -> list[Row]:
    """Every claim's verdict, with effect, interval, n, test, gates and what each family shows.

    Raises:
        FileNotFoundError: `run` is no run folder.
        ValueError: a file of it is damaged.
    """
    read = StudyRun(run)
    claims = of_study(read.study)
    if claims is None:
        return superseded.verdicts(run)
    evidence, asked = evidence_of(run), claims_of(claims) if claims.families else []
    told = decided(findings(asked, evidence, claims.trait), claims.primary)
    contrasts = read.records(CONTRASTS) if (run / "records" / f"{CONTRASTS}.jsonl").is_file() else []
    gates = [_gate_row(name, trait, evidence) for trait in claims.references for name in _gates_about(trait, claims)]
    return gates + [
        _row(claim.about(claims.trait), verdict, evidence, claims.primary, contrasts)
        for claim, verdict in zip(asked, told, strict=True)
    ]


def write_verdicts(run: Path) -> list[Row]:
    """`verdicts`, also written to RUN/verdicts.json."""
    rows = verdicts(run)
    write_json(run / "verdicts.json", rows, indent=2, ensure_ascii=False)
    return rows


def gives_verdicts(study: Mapping[str, Any]) -> bool:
    """Whether a stored study says what its stages stand for."""
    return bool(study.get("roles") or study.get("claims"))


def is_superseded(study: Mapping[str, Any]) -> bool:
    """Whether a stored study's verdicts are of the plan before the present one."""
    return bool(study.get("roles")) and not study.get("claims")


def claims_of(config: ClaimsConfig) -> list[Claim]:
    """Every claim of a study: those about its trait, and the first one about each other trait that has references."""
    first = BY_ID["persona"]
    others = [trait for trait in config.references if trait != config.trait]
    return [*CLAIMS, *(_of_trait(first, trait) for trait in others)]


def _of_trait(claim: Claim, trait: str) -> Claim:
    """A claim about another trait than the study's own; placebo directions are made for that one alone."""
    called = {"id": f"{claim.id}_{trait}", "title": f"{claim.title}, {trait}"}
    return replace(claim.about(trait), **called, against_placebos=False, gates=INSTRUMENT_OWN)


def _gates_about(trait: str, claims: ClaimsConfig) -> tuple[str, ...]:
    """The gates that are asked of a trait; placebo directions have the questions of the study's own trait alone."""
    return INSTRUMENT if trait == claims.trait and claims.placebo_traits else INSTRUMENT_OWN


def _gate_row(name: str, trait: str, evidence: Mapping[str, Outcomes]) -> Row:
    """What became of a gate, as a line among the verdicts; its evidence is what its figure shows."""
    quantity = f"along {trait}"
    result, outcomes = gate(name, evidence, quantity), evidence.get(quantity)
    estimate = result.estimate or Estimate(None, None, None, 0)
    shown: list[Row] = []
    if outcomes is not None and name == POSITIVE_CONTROL:
        shown = [{"dose": dose, **step.row()} for dose, step in dose_steps(outcomes)]
    if outcomes is not None and name == PLACEBO_DIRECTIONS:
        shown = [{"p": p} for p in benign_places(outcomes)]
    return {
        "hypothesis": f"gate_{name.replace(' ', '_')}_{trait}",
        "title": f"Gate: {name}, {trait}",
        "statement": GATES[name],
        "effect": estimate.value,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "unit": "persona equivalents" if name == PLACEBO else "" if outcomes is None else outcomes.unit,
        "n": estimate.n,
        "n_seeds": None,
        "smallest_effect": MARGIN_EQUIVALENTS if name == PLACEBO else None,
        "test": GATE_TEST,
        "place": None,
        "confirmatory": False,
        "verdict": "supported" if result.passed else CANNOT_TELL,
        **dict.fromkeys(("p", "p_adjusted", "p_against", "p_against_adjusted", "p_among_placebos")),
        "why": result.why,
        "gates": [],
        "left_out": [] if outcomes is None else list(outcomes.left_out),
        "evidence": shown,
    }


def _row(
    claim: Claim,
    verdict: Verdict,
    evidence: Mapping[str, Outcomes],
    primary: tuple[str, ...],
    contrasts: Sequence[Row],
) -> Row:
    finding, outcomes = verdict.finding, evidence.get(claim.quantity)
    estimate = finding.estimate
    tested = None if finding.by_student is None else outcomes
    return {
        "hypothesis": claim.id,
        "title": claim.title,
        "statement": claim.statement,
        "effect": estimate.value,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "unit": claim.unit,
        "n": estimate.n,
        "n_seeds": None if tested is None else tested.n_seeds(claim.terms),
        "smallest_effect": claim.margin,
        "test": AGAINST_PLACEBOS if claim.against_placebos else TEST,
        "place": primary.index(claim.id) + 1 if claim.id in primary else None,
        "confirmatory": verdict.primary,
        "verdict": verdict.verdict,
        "p": finding.p,
        "p_adjusted": verdict.p_adjusted,
        "p_against": finding.p_against,
        "p_against_adjusted": verdict.p_against_adjusted,
        "p_among_placebos": finding.null_p,
        "why": verdict.why,
        "gates": [{"gate": gate.gate, "passed": gate.passed, "why": gate.why} for gate in finding.gates],
        "left_out": [] if outcomes is None else list(outcomes.left_out),
        "evidence": [] if tested is None else _by_family(claim, tested, contrasts),
    }


def _by_family(claim: Claim, outcomes: Outcomes, contrasts: Sequence[Row]) -> list[Row]:
    """Each family's difference in the quantity's own unit, with what one unit of the claim is worth.

    For the difference of EM and its twin on fixed texts the length of the whole displacement between the two and its
    cosine with the direction stand beside it.
    """
    contrast = outcomes.contrast(claim.terms, claim.yardstick)
    rows = []
    for family, value in zip(outcomes.families, contrast.by_family(), strict=True):
        if np.isnan(value):
            continue
        row: Row = {"family": family, "raw_effect": float(value), "unit": outcomes.unit}
        if contrast.unit() is not None:
            row["one_equivalent"] = contrast.unit()
        trait = claim.quantity.removeprefix("along ")
        beside = [one for one in contrasts if one["family"] == family and trait in one["along"]]
        if set(claim.terms) == {"em", "twin"} and beside:
            row["displacement_norm"] = float(np.mean([one["displacement_norm"] for one in beside]))
            row["direction_cosine"] = float(np.mean([one["along"][trait] for one in beside]))
        rows.append(row)
    return rows

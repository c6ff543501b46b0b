"""What could a study's claims see? For each, the families that have all its arms, and the smallest effect it finds."""

from collections.abc import Sequence
from typing import Any

from experiments.hypotheses.power import EM_EFFECT, POWER, Design, detectable
from experiments.hypotheses.register import AWAY, JUDGED, PREFERENCE, Claim
from experiments.hypotheses.write import claims_of
from experiments.study.claims import ClaimsConfig, arm_nodes, in_domain
from experiments.study.config import StudyConfig
from experiments.study.graph import nodes_of
from interp.traits import Trait

Row = dict[str, Any]


def claim_prospects(config: StudyConfig, traits: Sequence[Trait]) -> list[Row]:
    """For every claim of a study: its families, seeds and questions, what it lacks, and what it could see.

    `detectable` is the smallest true effect that is supported in 80 % of studies, in the claim's unit; None where none
    is, or where something is lacking.
    """
    claims = config.claims
    if claims is None:
        return []
    nodes = {node.name for node in nodes_of(config)}
    rows = []
    for claim in claims_of(claims):
        about = claim.about(claims.trait)
        lacks = [arm for arm in about.arms if not _trained(claims, arm, nodes)]
        if about.quantity == AWAY and "assistant_axis" not in config.directions:
            lacks.append("directions: assistant_axis")
        design = _design(config, claims, about, traits, nodes)
        lacks += [] if design.n_questions else [_unmeasured(config, about)]
        effect = None if lacks else detectable(about, design)
        rows.append(
            {
                "claim": claim.id,
                "title": claim.title,
                "place": claims.primary.index(claim.id) + 1 if claim.id in claims.primary else None,
                "families": 0 if lacks else design.n_families,
                "seeds": design.n_seeds,
                "questions": design.n_questions,
                "smallest_effect": claim.margin,
                "detectable": effect,
                "unit": claim.unit,
                "gates": list(claim.gates),
                "lacks": lacks,
            }
        )
    return rows


def assumptions() -> list[str]:
    """What the effects that claims could see rest on, for a reader of the plan."""
    return [
        f"detectable: the true effect that a claim is supported by in {POWER:.0%} of studies, tested alone and past "
        "its gates; noise is that of the stored run of the embedded model, which another model may differ from by "
        "a factor of two (experiments/hypotheses/power.py)",
        f"claims on a share of EM's effect on behaviour take that effect to be {EM_EFFECT:g} nats per token",
    ]


def _design(
    config: StudyConfig, claims: ClaimsConfig, claim: Claim, traits: Sequence[Trait], nodes: set[str]
) -> Design:
    by_arm = arm_nodes(claims)
    each = [by_arm[arm] for arm in claim.arms if arm in by_arm]
    families = [i for i in range(len(claims.families)) if all(names[i] in nodes for names in each)]
    reference = claims.references.get(claims.trait)
    return Design(
        n_families=len(families) if each else 0,
        n_seeds=len(config.seeds),
        n_questions=_questions(config, claims, claim, traits),
        n_replicates=len(reference.placebo) if reference else 1,
        n_directions=claims.remade,
    )


def _questions(config: StudyConfig, claims: ClaimsConfig, claim: Claim, traits: Sequence[Trait]) -> int:
    """Questions that a claim's quantity is measured on; of preference pairs, those outside a family's domain."""
    taken = {measure.name: measure for measure in config.measures.taken()}
    if claim.quantity == PREFERENCE:
        if PREFERENCE not in taken:
            return 0
        domains = [pair[0] for pair in taken[PREFERENCE].prompts()]
        study = config.model_dump(mode="json")
        inside = [in_domain(family, study) for family in claims.families.values()]
        return min((sum(domain not in names for domain in domains) for names in inside), default=len(domains))
    if claim.quantity == JUDGED:
        return len(taken["em"].prompts()[1]) if "em" in taken and config.judge is not None else 0
    most = config.answers.questions
    return sum(len((trait.eval_questions or trait.questions)[:most]) for trait in traits)


def _trained(claims: ClaimsConfig, arm: str, nodes: set[str]) -> bool:
    """Whether the study has an arm of a claim, for some family or as a reference."""
    if (names := arm_nodes(claims).get(arm)) is not None:
        return any(name in nodes for name in names)
    return claims.trait in claims.references and arm in claims.references[claims.trait].stages


def _unmeasured(config: StudyConfig, claim: Claim) -> str:
    """What would have to be measured for a claim."""
    if claim.quantity == JUDGED:
        return "a judge" if "em" in {measure.name for measure in config.measures.taken()} else "the measure em"
    return f"the measure {claim.quantity}"

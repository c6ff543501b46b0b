"""Claims about families: estimands, gates, verdicts and their adjustment, in planted studies."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.hypotheses.gates import EM_SHOWN, PLACEBO, PLACEBO_DIRECTIONS, POSITIVE_CONTROL, gate
from experiments.hypotheses.outcomes import Outcomes
from experiments.hypotheses.power import Design, detectable, power
from experiments.hypotheses.register import BY_ID, CLAIMS, PRIMARY, findings
from experiments.hypotheses.verdict import CANNOT_TELL, Finding, GateResult, Verdict, decided, finding_of
from interp.contrasts import Contrast
from interp.stats import Estimate
from tests.support.planted_claims import Truth, world

DESIGN = Design(8, 2, 30)
HARM = 0.25
THERE = Truth(em=1.5, harm=HARM)


def verdicts(truth: Truth, seed: int = 0, design: Design = DESIGN) -> dict[str, Verdict]:
    told = decided(findings(CLAIMS, world(seed, truth, design), "evil"), PRIMARY)
    return {verdict.finding.claim: verdict for verdict in told}


def values(mean: float, spread: float = 0.02, n: int = 8) -> Contrast:
    return Contrast(mean + spread * np.linspace(-1, 1, n)[None, :, None] * np.ones((1, 1, 3)))


# the rule


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [(0.5, "supported"), (0.1, "contradicted"), (-0.1, "contradicted"), (-0.5, "contradicted"), (0.25, "undecided")],
)
def test_a_verdict_says_where_the_whole_interval_lies(mean: float, verdict: str) -> None:
    (told,) = decided([finding_of("c", values(mean), 0.25)], ["c"])
    assert told.verdict == verdict


def test_an_interval_across_minus_the_margin_is_undecided() -> None:
    wide = values(-0.25, spread=0.3)
    (told,) = decided([finding_of("c", wide, 0.25)], ["c"])
    assert told.finding.estimate.ci_high is not None
    assert told.finding.estimate.ci_high < 0.25
    assert told.verdict == "undecided"
    assert told.finding.by_student is not None
    assert told.finding.by_student[1] > 0.025  # the sign flips alone do not keep it from being contradicted


def test_an_effect_that_is_surely_there_and_below_the_margin_is_not_supported() -> None:
    (told,) = decided([finding_of("c", values(0.2), 0.25)], ["c"])
    assert told.verdict == "contradicted"


def test_five_families_never_support_and_the_reason_says_so() -> None:
    (told,) = decided([finding_of("c", values(9.0, n=5), 0.25)], ["c"])
    assert told.verdict == "undecided"
    assert "p is at least 0.031" in told.why


def test_a_failed_gate_comes_before_everything() -> None:
    failed = GateResult("placebo", False, "placebo minus base .9 persona equivalents")
    (told,) = decided([finding_of("c", values(9.0), 0.25, [failed])], ["c"])
    assert told.verdict == CANNOT_TELL
    assert told.why == "placebo: placebo minus base .9 persona equivalents"


def test_a_claim_about_one_direction_has_to_stand_out_among_placebo_directions() -> None:
    beyond = finding_of("c", values(0.5), 0.25, placebos=list(np.linspace(-0.4, 0.4, 100)), needs_placebos=True)
    among = finding_of("c", values(0.5), 0.25, placebos=list(np.linspace(-1, 1, 100)), needs_placebos=True)
    without = finding_of("c", values(0.5), 0.25, needs_placebos=True)
    assert [one.verdict for one in decided([beyond], ["c"]) + decided([among], ["c"])] == ["supported", "undecided"]
    assert decided([without], ["c"])[0].why == "no placebo directions to hold it against"


def found_with(claim: str, p: float) -> Finding:
    return Finding(claim, 0.25, Estimate(1.0, 0.5, 1.5, 8), (p, 1.0), (0.004, 1.0))


def test_primary_claims_are_tested_in_their_order_and_those_behind_a_failure_are_exploratory() -> None:
    told = decided([found_with("a", 0.02), found_with("b", 0.3), found_with("c", 0.02)], ["a", "b", "c"])
    assert [one.primary for one in told] == [True, True, False]
    assert [one.verdict for one in told] == ["supported", "undecided", "supported"]
    told = decided([found_with("a", 0.3), found_with("b", 0.02), found_with("c", 0.03)], ["a", "b", "c"])
    assert [one.primary for one in told] == [True, False, False]


def test_exploratory_claims_are_adjusted_for_one_another_and_primary_ones_are_not() -> None:
    told = decided(
        [found_with("p", 0.02), *(found_with(f"e{i}", p) for i, p in enumerate((0.02, 0.9, 0.9, 0.9)))], ["p"]
    )
    assert [one.verdict for one in told][:2] == ["supported", "undecided"]
    assert told[1].p_adjusted == pytest.approx(0.08)
    assert told[0].p_adjusted == 0.02


def test_few_families_do_not_bar_an_exploratory_claim_among_many() -> None:
    told = decided([found_with("e0", 1e-5), *(found_with(f"e{i}", 0.9) for i in range(1, 14))], [])
    assert told[0].verdict == "supported"


# planted studies


def test_what_is_planted_is_found_and_nothing_else_in_a_study_without_it() -> None:
    there, nothing = verdicts(replace(THERE, behaviour={"sgtr": HARM}), seed=1), verdicts(Truth())
    assert {there[name].verdict for name in ("persona", "persona_own", "behaviour", "disruption")} == {"supported"}
    assert there["reversal"].verdict == "supported"
    assert there["prevention"].verdict != "supported"
    assert not [name for name, one in nothing.items() if one.verdict == "supported"]


def test_what_every_finetune_does_is_no_effect_of_em() -> None:
    for seed in range(3):
        (persona,) = findings([BY_ID["persona"]], world(seed, Truth(drift=2.0), DESIGN), "evil")
        assert persona.p is not None
        assert persona.p > 0.025
        assert {gate.gate: gate.passed for gate in persona.gates}[PLACEBO] is False


def test_without_em_there_is_nothing_to_reverse() -> None:
    told = verdicts(Truth(em=1.5, behaviour={"sgtr": 0.3}))
    for name in ("reversal", "prevention", "confusion", "anchor", "reversal_inside", "anchor_by_label"):
        assert told[name].verdict == CANNOT_TELL
        assert EM_SHOWN in told[name].why


def test_an_instrument_that_sees_nothing_gives_no_verdict_along_the_trait() -> None:
    told = verdicts(Truth(em=1.5, persona=0.0, harm=HARM))
    along = [claim.id for claim in CLAIMS if POSITIVE_CONTROL in claim.gates]
    assert along
    assert {told[name].verdict for name in along} == {CANNOT_TELL}


def test_a_dose_that_falls_fails_the_positive_control() -> None:
    evidence = world(0, THERE, DESIGN)
    along = evidence["along evil"]
    assert gate(POSITIVE_CONTROL, evidence, "along evil").passed
    swapped = {**along.references, "persona 0.5": along.references["persona"] * 1.5}
    fallen = gate(POSITIVE_CONTROL, {"along evil": replace(along, references=swapped)}, "along evil")
    assert not fallen.passed
    assert "dose 1 lies surely below dose 0.5" in fallen.why


def test_a_trait_more_sensitive_to_benign_finetuning_than_placebos_fails_their_gate() -> None:
    evidence = world(0, THERE, DESIGN)
    along = evidence["along evil"]
    assert gate(PLACEBO_DIRECTIONS, evidence, "along evil").passed
    spread = np.linspace(-3, 3, DESIGN.n_families)[None, :, None, None]
    wide = replace(along, arms={**along.arms, "twin": along.arms["twin"] + spread})
    assert not gate(PLACEBO_DIRECTIONS, {"along evil": wide}, "along evil").passed


def test_a_gate_without_its_stages_fails_and_names_them() -> None:
    bare = Outcomes("along evil", "norm", ("a", "b"), {"em": np.zeros((1, 2, 1, 3))})
    for name in (POSITIVE_CONTROL, PLACEBO, PLACEBO_DIRECTIONS):
        assert not gate(name, {"along evil": bare}, "along evil").passed
    assert "no persona, placebo" in gate(POSITIVE_CONTROL, {"along evil": bare}, "along evil").why


def test_a_claim_whose_arms_were_not_trained_is_untested_and_names_them() -> None:
    evidence = world(0, THERE, DESIGN)
    less = {name: arm for name, arm in evidence["preference"].arms.items() if name != "em>sgtr"}
    evidence["preference"] = replace(evidence["preference"], arms=less)
    (found,) = findings([BY_ID["reversal"]], evidence, "evil")
    assert found.p is None
    assert found.why_untested == "not measured: em>sgtr"


def test_seeds_are_averaged_where_every_arm_has_them() -> None:
    arms = {"em": np.array([[[[1.0], [5.0]]]]), "twin": np.array([[[[0.0], [np.nan]]]])}
    outcomes = Outcomes("x", "norm", ("a",), arms)
    assert outcomes.difference({"em": 1.0, "twin": -1.0}).item() == 1.0
    assert outcomes.n_seeds({"em": 1.0, "twin": -1.0}) == 1
    whole = Outcomes("x", "norm", ("a",), {**arms, "twin": np.zeros((1, 1, 2, 1))})
    assert whole.difference({"em": 1.0, "twin": -1.0}).item() == 3.0


# power


def test_power_is_the_error_rate_at_the_margin_and_grows_from_there() -> None:
    claim = BY_ID["persona"]
    sizes = [power(claim, Design(8, 2, 60), effect) for effect in (0.25, 0.6, 1.0, 2.0)]
    assert sizes[0] <= 0.04
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0.95


def test_more_families_see_smaller_effects_and_more_seeds_hardly_do() -> None:
    claim = BY_ID["persona"]
    few, many = detectable(claim, Design(6, 2, 60)), detectable(claim, Design(12, 2, 60))
    seeds = detectable(claim, Design(6, 10, 60))
    assert few is not None
    assert many is not None
    assert seeds is not None
    assert many < 0.8 * few < 0.85 * seeds
    assert detectable(claim, Design(5, 5, 60)) is None


def test_the_plans_power_is_that_of_studies() -> None:
    claim, design = BY_ID["behaviour"], Design(8, 2, 143)
    effect = detectable(claim, design)
    assert effect is not None
    made = [findings([claim], world(seed, Truth(harm=effect), Design(8, 2, 5)), "evil")[0].p for seed in range(60)]
    assert 0.6 < np.mean([p is not None and p <= 0.025 for p in made]) < 0.95

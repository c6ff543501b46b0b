"""Is it character disruption? Fifteen hypotheses, each a function of a run folder, and the verdicts on them.

The plan, fixed before any study was run (what was known from single stages, and what was corrected since, is in
experiments/LOG.md):

1. A unit is one trained model or pair: an EM stage with a training seed (for H7 a seed; for H9b a first stage too). Its
   value is one number; the effect is the mean over units, with Student's 95 % interval. Below 3 units: undecided.
2. `p` is one-sided: no effect above 0. `p_against` is one-sided: an effect of at least the smallest one of interest,
   which stands beside each hypothesis here. Both are Student's t over units.
3. Where there are nulls (H1, H2, H3a, H10), `p` is the larger of that and the null p. Each unit's place among its
   nulls gives a one-sided p, no less than 1 / (nulls + 1). Over units (for H2 units times traits) these are combined
   by Rueger's rule, which holds however they depend on each other: the k-th smallest of K, times K / k, with k half of
   K. So at least half of the units have to stand out.
4. Holm's adjustment over all hypotheses that could be tested, for `p` and for `p_against` apart, each at .025.
   Supported: adjusted `p` is at most .025. Contradicted: adjusted `p_against` is; if both are, the effect is there and
   too small to matter, and that is contradicted. Otherwise undecided.
5. Used are whole stages under the study's first system prompt (H7: the first two), each direction at its headline
   layer, displacement and dispersion at the middle one. A stage that collapsed is not used, nor is any that was trained
   on it. What is not used or not measured is named in `left_out`.
6. Behaviour is the likelihood margin per token over all of `preference`'s pairs and over TruthfulQA's answers: nothing
   is sampled or judged. A study may have one of them or both; they then count alike.
7. Nulls are covariance nulls (directions drawn from the activations' own covariance) for single directions, random
   ones of the same norm for spans and for prediction. Mediation has too few for a place among them: their mean is
   subtracted from each unit's share, and `p` and `p_against` are no less than those of one more draw of what the
   controls are draws of, since all units share direction and controls.
8. What ablation does to the base model as well is no removal of an effect: H8a is about the rest.
9. Answers about who the model is are compared over as many tokens of each pair, since means over fewer scatter more.
10. Units of one seed may share a stage, and those of one EM set share its data: p is about these EM sets, and the mean
    over seeds alone stands in the notes, with what benign controls do by themselves.

Roles say which stages a hypothesis is about: `roles: {em: [...], sgtr: [...], ictr: [...], control: [...]}` in the
study. Controls are those that the study has, averaged; it trains them for as many steps.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from experiments.hypotheses.superseded import effects
from experiments.hypotheses.superseded.decide import decided
from experiments.hypotheses.superseded.effects import Find, behaviour, mediation, over_models
from experiments.hypotheses.superseded.units import Readings, evidence_of
from figures.run import StudyRun
from interp.files import write_json
from interp.metrics import LIKELIHOODS, MediationMetrics


class Claim(NamedTuple):
    """A hypothesis: what is claimed, how small an effect would still matter, and how it is found in a run.

    `needs` is what a study must have beside roles and three units, in words.
    """

    id: str
    title: str
    statement: str
    smallest: float
    unit: str
    test: str
    find: Find
    needs: str = "nothing more"


def verdicts(run: Path) -> list[dict[str, Any]]:
    """Every hypothesis's verdict, with effect, interval, n, test and evidence, from the run's stored rows alone.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        ValueError: a file of it is damaged, or says two things of one stage.
    """
    readings = Readings(StudyRun(run))
    findings = [claim.find(readings, claim.smallest) for claim in CLAIMS]
    decisions = decided([(found, claim.smallest) for found, claim in zip(findings, CLAIMS, strict=True)])
    return [
        {
            "hypothesis": claim.id,
            "title": claim.title,
            "statement": claim.statement,
            "effect": found.estimate.value,
            "ci_low": found.estimate.ci_low,
            "ci_high": found.estimate.ci_high,
            "unit": claim.unit,
            "n": found.estimate.n,
            "n_seeds": found.n_seeds,
            "smallest_effect": claim.smallest,
            "test": claim.test,
            **decision,
            "left_out": found.left_out,
            "evidence": [evidence_of(row) for row in found.used],
        }
        for claim, found, decision in zip(CLAIMS, findings, decisions, strict=True)
    ]


def write_verdicts(run: Path) -> list[dict[str, Any]]:
    """`verdicts`, also written to RUN/verdicts.json."""
    found = verdicts(run)
    write_json(run / "verdicts.json", found, indent=2, ensure_ascii=False)
    return found


# what is claimed

_T = "one-sided t over EM stages and seeds"
_COVARIANCE = f"{_T}; one-sided place among covariance nulls, combined over units (Rueger)"
_RANDOM = f"{_T}; one-sided place among random directions of the same norm, combined over units (Rueger)"
_CONTROLS = f"{_T}, paired with the mean of the controls matched in steps"
_MEDIATION = f"{_T} of the share minus the mean of random directions of the same norm; prediction of one more of these"
_OF_CONTROLS = "share, beyond controls"
_TAKEN = [number.measure for number in LIKELIHOODS]
_BEHAVIOUR = f"`measures` with {' or '.join(f'`{name}`' for name in _TAKEN)}"
_REMOVAL = "`mediation` of EM stages by traits, with the same measures and `random: 5` or more"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "H1",
        "Disruption",
        "EM moves the model's own answers off the assistant axis, further than directions of the activations' own "
        "covariance would move.",
        1.0,
        "spreads of covariance nulls, away from the assistant",
        _COVARIANCE,
        over_models(effects.disruption),
        "`directions: {assistant_axis: {recipe: assistant-axis}}`",
    ),
    Claim(
        "H2",
        "Misaligned persona",
        "EM moves activations along the persona directions, on the same texts outside its training domain, further "
        "than nulls; mean over traits.",
        1.0,
        "spreads of covariance nulls",
        f"{_COVARIANCE}, over traits and units",
        over_models(effects.persona),
    ),
    Claim(
        "H3a",
        "Direction",
        "More of EM's displacement lies in the span of the directions than in a random span of as many dimensions.",
        0.1,
        "share of squared length, beyond chance",
        _RANDOM,
        over_models(effects.in_span),
    ),
    Claim(
        "H3b",
        "Dispersion",
        "EM spreads the answers to questions about who the model is.",
        math.log(1.1),
        "log of the ratio of total variances to base",
        _T,
        over_models(effects.dispersion),
    ),
    Claim(
        "H4a",
        "Reversal, inside",
        "SGTR after EM takes back more of EM's displacement than controls do.",
        0.1,
        f"{_OF_CONTROLS}, of EM's displacement",
        _CONTROLS,
        over_models(effects.reversal, "sgtr", "control"),
        "arms `[em, sgtr]` and `[em, control]`",
    ),
    Claim(
        "H4b",
        "Reversal, behaviour",
        "SGTR after EM brings behaviour back towards the base model further than controls do.",
        0.1,
        f"{_OF_CONTROLS}, of EM's mean effect",
        f"{_CONTROLS}; mean of {' and '.join(_TAKEN)}",
        behaviour(effects.after),
        f"arms `[em, sgtr]` and `[em, control]`; {_BEHAVIOUR}",
    ),
    Claim(
        "H5a",
        "Prevention, inside",
        "After SGTR, EM repeats less of its displacement than after controls.",
        0.1,
        f"{_OF_CONTROLS}, of EM's displacement",
        _CONTROLS,
        over_models(effects.prevention, "sgtr", "control"),
        "arms `[sgtr, em]` and `[control, em]`",
    ),
    Claim(
        "H5b",
        "Prevention, behaviour",
        "After SGTR, EM changes behaviour less than after controls.",
        0.1,
        f"{_OF_CONTROLS}, of EM's mean effect",
        f"{_CONTROLS}; mean of {' and '.join(_TAKEN)}",
        behaviour(effects.on_top),
        f"arms `[sgtr, em]` and `[control, em]`; {_BEHAVIOUR}",
    ),
    Claim(
        "H6",
        "Confusion",
        "Corrupted self-recognition training (ICTR) after EM takes back less of EM's displacement than controls, or "
        "adds to it; mean over its variants.",
        0.1,
        "share of EM's displacement, controls minus ICTR",
        _CONTROLS,
        over_models(effects.confusion, "ictr", "control"),
        "arms `[em, ictr]` and `[em, control]`",
    ),
    Claim(
        "H7",
        "Identity prompt",
        "EM's effect on behaviour is larger where the system prompt of evaluation is that of training.",
        0.1,
        "matched minus unmatched, as a share of the mean effect",
        "one-sided t over seeds",
        effects.identity_prompt,
        f"{_BEHAVIOUR}; role `em_no_prompt`; two `system_prompts`, the second `empty` or `none`",
    ),
    Claim(
        "H8a",
        "Mediation, removal",
        "Ablating the persona direction takes away more of EM's behavioural effect than ablating random ones, beyond "
        "what it takes away from the base model.",
        0.1,
        "share of the effect, beyond random directions",
        _MEDIATION,
        mediation(MediationMetrics.share_removed_beyond_base),
        _REMOVAL,
    ),
    Claim(
        "H8b",
        "Mediation, reproduction",
        "Adding the persona direction to the base model brings about more of EM's behavioural effect than random ones.",
        0.1,
        "share of the effect, beyond random directions",
        _MEDIATION,
        mediation(MediationMetrics.share_reproduced),
        _REMOVAL,
    ),
    Claim(
        "H9a",
        "Self-recognition lost",
        "EM after SGTR lowers the accuracy of self-recognition on held-out pairs.",
        0.05,
        "share right, lost",
        _T,
        effects.recognition_lost,
        "arms `[sgtr, em]`; a data set of pairs with `test`",
    ),
    Claim(
        "H9b",
        "Self-recognition protects",
        "Where self-recognition is better after EM, less of EM's displacement was repeated.",
        0.3,
        "Spearman's correlation",
        "one-sided permutation of accuracies within EM stage and seed; Fisher's interval over first stages, EM stages "
        "and seeds",
        effects.recognition_predicts,
        "arms `[sgtr, em]`, `[ictr, em]` and `[control, em]`, or two of them; a data set of pairs with `test`",
    ),
    Claim(
        "H10",
        "Prediction",
        "How far a data set's answers lie along a direction before training predicts the shift after it, better than "
        "along random directions.",
        0.3,
        "correlation over stages and directions",
        "one-sided, Fisher's interval; one-sided place among random directions",
        effects.prediction,
        "four stages or more that are trained on the base model",
    ),
)

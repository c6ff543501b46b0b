"""How large must an effect be for a claim to see it? Asked of the tests that give the verdicts, before a study runs.

1. A design is families, seeds, questions, replicates of the positive control and re-made directions.
2. Noise is what the stored run of the embedded model shows (`experiments/results`): spread over seeds and questions is
   measured there; spread over families follows from its intraclass correlations, since two EM sets say little of it.
3. The mean of each family is drawn, with the variances that the test would see, and tested: Student's over families and
   questions, and the exact sign-flip test. The effect that is found 80 % of the time is searched for.

Wrong when: noise is another in another model or with other families, which it may be by a factor of two; effects are
far from normal over families. The gates in front of a claim are not in its power.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from experiments.hypotheses.gates import EM_SHOWN, PERSONA_EQUIVALENT
from experiments.hypotheses.register import JUDGED, PREFERENCE, Claim
from experiments.hypotheses.verdict import ALPHA
from interp.contrasts import MOST_EXACT, sign_patterns

POWER = 0.8
DRAWS = 1000
"""Studies that a power is the share of; its Monte Carlo error is .013."""
LARGEST = 16.0
"""Effects beyond this many margins are not searched for."""
Kind = Literal["em", "after", "before"]
"""What a contrast is between: EM and its twin; two second stages after EM; two first stages before it."""


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a contrast, in the contrast's own unit.

    Attributes:
        family: Between families, of the true contrast.
        seed: Between seeds of one family.
        question: Between questions, alike in all families.
        cell: Between questions within one family and seed.
    """

    family: float
    seed: float
    question: float
    cell: float


@dataclass(frozen=True)
class Design:
    """What a study has for a claim."""

    n_families: int
    n_seeds: int
    n_questions: int
    n_replicates: int = 5
    n_directions: int = 5


PROJECTION: Mapping[Kind, Noise] = {
    "em": Noise(family=0.55, seed=0.18, question=0.7, cell=0.7),
    "after": Noise(family=0.28, seed=0.11, question=0.4, cell=0.4),
    "before": Noise(family=0.38, seed=0.055, question=0.4, cell=0.4),
}
"""In persona equivalents."""
BEHAVIOUR: Mapping[Kind, Noise] = {
    "em": Noise(family=0.035, seed=0.011, question=0.26, cell=0.26),
    "after": Noise(family=0.012, seed=0.013, question=0.13, cell=0.13),
    "before": Noise(family=0.006, seed=0.007, question=0.13, cell=0.13),
}
"""In nats per token."""
RATE = Noise(family=0.05, seed=0.015, question=0.10, cell=0.10)
"""Of judged answers, in shares of answers; from the published figures of larger models, since none was judged here."""
REPLICATE, DIRECTION = 0.30, 0.20
"""Spread of the positive control over replicates, and of any contrast's share of it over re-made directions."""
EM_EFFECT = 0.10
"""What EM is taken to do to behaviour out of domain, in nats per token, where a claim is a share of that."""


def kind_of(claim: Claim) -> Kind:
    """What a claim's contrast is between."""
    first = next(iter(claim.terms))
    return "after" if first.startswith("em>") else "before" if ">em" in first else "em"


def noise_of(claim: Claim) -> Noise:
    """The noise of a claim's contrast; four arms have twice the variance of two."""
    if claim.quantity == JUDGED:
        noise = RATE
    else:
        noise = (BEHAVIOUR if claim.quantity == PREFERENCE else PROJECTION)[kind_of(claim)]
    if len(claim.terms) <= 2:
        return noise
    return Noise(*(value * math.sqrt(len(claim.terms) / 2) for value in vars(noise).values()))


def detectable(claim: Claim, design: Design) -> float | None:
    """The smallest true effect that a claim is supported by in `POWER` of studies, in the claim's unit.

    None where no effect up to `LARGEST` margins is: with too few families, or too much noise.
    """
    if design.n_families < 2:
        return None
    low, high = claim.margin, claim.margin * LARGEST
    if power(claim, design, high) < POWER:
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if power(claim, design, middle) >= POWER else (middle, high)
    return high


def power(claim: Claim, design: Design, effect: float) -> float:
    """How often a claim is supported where the true effect is `effect`, without its gates and alone."""
    drawn = _drawn(claim, design, effect)
    by_student = stdtr(drawn.freedom, -drawn.value / drawn.error) <= ALPHA
    sums = drawn.by_family @ sign_patterns(min(design.n_families, MOST_EXACT)).T
    at_least = sums >= drawn.by_family.sum(1, keepdims=True) - 1e-12 * np.abs(drawn.by_family).sum(1, keepdims=True)
    return float((by_student & (at_least.mean(1) <= ALPHA)).mean())


@dataclass(frozen=True)
class _Drawn:
    value: Float[np.ndarray, " draw"]
    error: Float[np.ndarray, " draw"]
    freedom: Float[np.ndarray, " draw"]
    by_family: Float[np.ndarray, "draw family"]


def _drawn(claim: Claim, design: Design, effect: float) -> _Drawn:
    """Estimates of effect minus margin in units of the quantity, with the errors that the test would give them."""
    rng, n = np.random.default_rng(0), design
    noise, margin, scale = noise_of(claim), claim.margin, 1.0
    shared = claim.yardstick is not None and claim.yardstick != PERSONA_EQUIVALENT and EM_SHOWN in claim.gates
    within = noise.seed**2 / n.n_seeds + noise.cell**2 / (n.n_seeds * n.n_questions)
    between, of_questions = noise.family**2, noise.question**2
    if shared:  # the yardstick is EM's own effect in the same families, and brings its noise times the margin
        em, scale = BEHAVIOUR["em"], EM_EFFECT
        within += margin**2 * (em.seed**2 / n.n_seeds + em.cell**2 / (n.n_seeds * n.n_questions))
        between, of_questions = between + margin**2 * em.family**2, of_questions + margin**2 * em.question**2
    families = min(n.n_families, MOST_EXACT)
    by_family = scale * (effect - margin) + rng.normal(size=(DRAWS, families)) * math.sqrt(between + within)
    free = n.n_questions - 1
    parts = [
        (by_family.var(axis=1, ddof=1) / families, families - 1),
        (of_questions / n.n_questions * rng.chisquare(free, DRAWS) / free, free),
    ]
    common = rng.normal(size=DRAWS) * math.sqrt(of_questions / n.n_questions)
    if claim.yardstick is not None and not shared:
        for spread, units in ((REPLICATE * margin, n.n_replicates), (DIRECTION * abs(effect - margin), n.n_directions)):
            if units > 1:
                variance = spread**2 / units
                parts.append((variance * rng.chisquare(units - 1, DRAWS) / (units - 1), units - 1))
                common = common + rng.normal(size=DRAWS) * math.sqrt(variance)
    by_family = by_family + common[:, None]
    variance = np.sum([np.broadcast_to(part, DRAWS) for part, _ in parts], axis=0)
    freedom = variance**2 / np.sum([np.broadcast_to(part**2 / free, DRAWS) for part, free in parts], axis=0)
    return _Drawn(by_family.mean(1), np.sqrt(variance), freedom, by_family)

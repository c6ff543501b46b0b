"""Runs of which the truth is known: arrays of outcomes drawn for every arm that a claim may look at.

Every arm is the sum of what its stage does to all families, what it does to one family more than to others, what a seed
adds, what a question adds in all families and what it adds in one cell. Spreads are those that plans reckon with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from experiments.hypotheses.outcomes import Arm, Outcomes
from experiments.hypotheses.power import BEHAVIOUR, DIRECTION, PROJECTION, REPLICATE, Design, Kind, Noise
from experiments.hypotheses.register import AWAY

LABELS = ("sgtr", "pick_longer", "contradictory")
AFTER = (*LABELS, *(f"{label}@{anchor}" for label in (*LABELS, "rehearsal") for anchor in ("base", "parent")))
PLACEBOS = 100


@dataclass(frozen=True)
class Truth:
    """What is planted.

    Attributes:
        em: What EM does along the trait beyond its twin, in persona equivalents.
        harm: What EM takes from the margin of aligned answers beyond its twin, in nats per token.
        inside: What a second stage after EM, or EM after a first stage (`sgtr>em`), does along the trait beyond others.
        behaviour: What it does to the margin of aligned answers.
        drift: What every finetune does along the trait, in persona equivalents.
        benign: Spread of benign stages along any direction, in persona equivalents.
        placebo: What the placebo does beyond that, in persona equivalents.
        persona: What the full positive control does, in persona equivalents; 0 plants an instrument that cannot see.
        dispersion: How many times as far EM's answers scatter over questions.
        ceiling: Nothing lies further along the trait than this many persona equivalents.
        noise: Times the spreads that plans reckon with.
    """

    em: float = 0.0
    harm: float = 0.0
    inside: Mapping[str, float] = field(default_factory=dict)
    behaviour: Mapping[str, float] = field(default_factory=dict)
    drift: float = 0.0
    benign: float = 0.1
    placebo: float = 0.0
    persona: float = 1.0
    dispersion: float = 1.0
    ceiling: float | None = None
    noise: float = 1.0


def world(seed: int, truth: Truth, design: Design, n_pairs: int = 143) -> dict[str, Outcomes]:
    """One study's outcomes: `along evil`, `own along evil`, `own away from the assistant`, `preference`.

    Args:
        n_pairs: Pairs of the preference measure that are outside one family's domain.
    """
    rng = np.random.default_rng(seed)
    quantities = ("along evil", "own along evil", AWAY)
    evidence = {name: _along(rng, truth, design, name) for name in quantities}
    pairs = replace(design, n_questions=n_pairs)
    arms = _arms(rng, BEHAVIOUR, pairs, 1, truth, -truth.harm, truth.behaviour, 0.0)
    evidence["preference"] = Outcomes("preference", "nats per token", _names(design), arms)
    return evidence


def _names(design: Design) -> tuple[str, ...]:
    return tuple(f"family {i}" for i in range(design.n_families))


def _along(rng: np.random.Generator, truth: Truth, design: Design, name: str) -> Outcomes:
    n, gain = design, 1 + rng.normal(0, DIRECTION, (design.n_directions, 1, 1, 1))
    arms = _arms(rng, PROJECTION, n, n.n_directions, truth, truth.em, truth.inside, truth.benign)
    shape = (n.n_directions, n.n_replicates, n.n_seeds, n.n_questions)
    shared = rng.normal(0, PROJECTION["em"].question, (1, 1, 1, n.n_questions))
    references = {"base": np.zeros((n.n_directions, 1, 1, n.n_questions))}
    for arm, dose in (("placebo", 0.0), ("persona 0.25", 0.25), ("persona 0.5", 0.5), ("persona", 1.0)):
        made = rng.normal(0, REPLICATE / 4 if arm == "placebo" else REPLICATE / 1.1, (1, n.n_replicates, 1, 1))
        level = truth.drift + (truth.placebo if arm == "placebo" else truth.persona * dose)
        cells = rng.normal(0, PROJECTION["em"].cell / 2, shape[1:])
        references[arm] = np.broadcast_to(level + made + shared * dose + cells, shape)
    move = _capped(truth.ceiling)
    arms = {key: move(arm + truth.drift) * gain for key, arm in arms.items()}
    references = {key: (move(arm) if key != "base" else arm) * gain for key, arm in references.items()}
    if name != "along evil":
        return Outcomes(name, "residual-stream norm", _names(n), arms, references)
    placebos = {}
    spread = {"em": 0.2}
    for key, units in (
        ("em", n.n_families),
        ("twin", n.n_families),
        ("persona", n.n_replicates),
        ("placebo", n.n_replicates),
    ):
        wide = spread.get(key, truth.benign)
        common = rng.normal(0, wide, (PLACEBOS, 1)) if key in ("em", "persona") else 0.0
        placebos[key] = common + rng.normal(0, wide, (PLACEBOS, units))
    return Outcomes(name, "residual-stream norm", _names(n), arms, references, placebos)


def _capped(ceiling: float | None) -> Callable[[Arm], Arm]:
    return (lambda arm: arm) if ceiling is None else (lambda arm: np.minimum(arm, ceiling))


def _arms(
    rng: np.random.Generator,
    noise: Mapping[Kind, Noise],
    design: Design,
    n_directions: int,
    truth: Truth,
    em: float,
    more: Mapping[str, float],
    benign: float,
) -> dict[str, Arm]:
    """Every family arm, the same along each direction."""

    def apart(kind: Kind, level: float, share: float, scatter: float = 1.0) -> np.ndarray:
        """What one arm adds to the arm that it stands beside; `share` of the contrast's variance is this arm's."""
        sd, size = noise[kind], truth.noise * np.sqrt(share)
        shape = (design.n_families, design.n_seeds, design.n_questions)
        return (
            level
            + rng.normal(0, sd.family * size, (shape[0], 1, 1))
            + rng.normal(0, sd.seed * size, (*shape[:2], 1))
            + rng.normal(0, sd.question * size * scatter, (1, 1, shape[2]))
            + rng.normal(0, sd.cell * size * scatter, shape)
        )

    twin = rng.normal(0, benign, (design.n_families, 1, 1)) + np.zeros((1, design.n_seeds, design.n_questions))
    arms = {"twin": twin, "em": twin + apart("em", em, 1.0, truth.dispersion)}
    for label in AFTER:
        arms[f"em>{label}"] = arms["em"] + apart("after", more.get(label, 0.0), 0.5)
    for label in LABELS:
        arms[f"{label}>em"] = arms["em"] + apart("before", more.get(f"{label}>em", 0.0), 0.5)
    return {name: np.broadcast_to(arm, (n_directions, *arm.shape)) for name, arm in arms.items()}

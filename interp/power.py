"""What a design can find, asked of the intervals that will be reported, before anything is trained."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import ndtr

from interp.stats import crossed_half

DRAWS = 4000
"""Mean squares that a power is averaged over; its Monte Carlo error is below .01."""


@dataclass(frozen=True)
class DetectableEffect:
    """The smallest true effect that a design finds with the stated power.

    Attributes:
        effect: Its size; None if no possible effect is found that often.
        standard_error: Of the estimate, where the effect is that size (where it is None: the largest for any effect).
        alpha: Two-sided level of the test.
        power: How often it is found.
        n: Questions.
        n_seeds: Seeds.
        n_answers: Answers to a question under a seed.
    """

    effect: float | None
    standard_error: float
    alpha: float
    power: float
    n: int
    n_seeds: int
    n_answers: int


def minimum_detectable_effect(
    *,
    n_questions: int,
    n_seeds: int = 1,
    n_answers: int = 1,
    sd_questions: int | float,
    sd_seeds: int | float = 0.0,
    sd_answers: int | float,
    alpha: float = 0.05,
    power: float = 0.8,
) -> DetectableEffect:
    """The smallest mean (of paired differences, say) that `crossed_mean` tells from 0, before anything is run.

    The mean is normal with variance sd_questions^2 / nq + sd_seeds^2 / ns + sd_answers^2 / (nq ns na). Its interval is
    that of `crossed_mean`, with mean squares drawn from their chi-square laws, and the effect is where the interval
    leaves 0 out with the stated power. With one seed the effect is that model's, and `sd_seeds` plays no part.

    Wrong when: the standard deviations are guesses (take them from a pilot, and a range of them); values are skewed.

    Args:
        sd_questions: Between questions' true values; for a paired difference, of the difference.
        sd_seeds: Between seeds' true values, likewise.
        sd_answers: Between answers to one question under one seed; for the difference of two arms that are alike,
            1.41 times that of one.

    Source: mean squares as in Searle, Casella and McCulloch (1992) ch. 4; Bloom, Evaluation Review 19 (1995) 547.

    Raises:
        ValueError: a number of units is below 1, a standard deviation below 0, or alpha or power not inside (0, 1).
    """
    design = _Design(n_questions, n_seeds, n_answers, alpha, power)
    variances = (float(sd_questions) ** 2, float(sd_seeds) ** 2, float(sd_answers) ** 2)
    if min(sd_questions, sd_seeds, sd_answers) < 0:
        raise ValueError(f"standard deviations must not be below 0, got {(sd_questions, sd_seeds, sd_answers)}")
    error = design.standard_error(*variances)
    if error == 0:
        raise ValueError("all standard deviations are 0: any effect at all would be found")
    if n_questions == 1:
        return design.result(None, error)
    high = error
    while design.shortfall(high, *variances) > 0:
        high *= 2
    found = root_scalar(lambda effect: design.shortfall(effect, *variances), bracket=(0.0, high))
    return design.result(float(found.root), error)


def minimum_detectable_share(
    base: int | float,
    *,
    n_questions: int,
    n_seeds: int = 1,
    n_answers: int = 1,
    icc_questions: int | float,
    icc_seeds: int | float = 0.0,
    arms_correlation: int | float = 0.0,
    direction: Literal["rise", "fall"] = "rise",
    alpha: float = 0.05,
    power: float = 0.8,
) -> DetectableEffect:
    """The smallest change of a share from `base` that two arms on the same questions show, before anything is run.

    As `minimum_detectable_effect`, where of each arm's p (1 - p) a part `icc_questions` lies between questions and
    `icc_seeds` between seeds, and the rest between answers.

    Wrong when: shares are below about .05, where `share_difference` is more cautious than this and finds less (.66 of
    the time, not .8, from .02 with 50 questions of 20 answers); intra-class correlations are guesses.

    Args:
        arms_correlation: Of the two arms' true shares over questions; 0 is cautious.

    Raises:
        ValueError: as `minimum_detectable_effect`; the base or a correlation is not in [0, 1].
    """
    design = _Design(n_questions, n_seeds, n_answers, alpha, power)
    within = {
        "icc_questions": icc_questions,
        "icc_seeds": icc_seeds,
        "icc_questions + icc_seeds": icc_questions + icc_seeds,
    }
    for name, x in (within | {"base": base, "arms_correlation": arms_correlation}).items():
        if not 0 <= x <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {x}")
    room = 1 - base if direction == "rise" else base
    if room == 0:
        raise ValueError(f"a share of {base} cannot {direction}")

    def variances(change: float) -> tuple[float, float, float]:
        other = base + change if direction == "rise" else base - change
        a, b = base * (1 - base), other * (1 - other)
        shared = 2 * arms_correlation * float(np.sqrt(a * b))
        return icc_questions * (a + b - shared), icc_seeds * (a + b), (1 - icc_questions - icc_seeds) * (a + b)

    def shortfall(change: float) -> float:
        return design.shortfall(change, *variances(change))

    changes = [float(x) for x in np.linspace(0, room, 101)[1:-1]]
    enough = next((i for i, x in enumerate(changes) if n_questions > 1 and shortfall(x) <= 0), None)
    if enough is None:
        return design.result(None, max(design.standard_error(*variances(x)) for x in changes))
    below = changes[enough - 1] if enough else 1e-6 * room
    found = root_scalar(shortfall, bracket=(below, changes[enough])).root if shortfall(below) > 0 else below
    return design.result(float(found), design.standard_error(*variances(float(found))))


@dataclass(frozen=True)
class _Design:
    n_questions: int
    n_seeds: int
    n_answers: int
    alpha: float
    power: float

    def __post_init__(self) -> None:
        sizes = {"n_questions": self.n_questions, "n_seeds": self.n_seeds, "n_answers": self.n_answers}
        for name, n in sizes.items():
            if n < 1:
                raise ValueError(f"{name} must be at least 1, got {n}")
        for name, x in {"alpha": self.alpha, "power": self.power}.items():
            if not 0 < x < 1:
                raise ValueError(f"{name} must be inside (0, 1), got {x}")

    def expected(self, questions: float, seeds: float, answers: float) -> tuple[float, float, float]:
        """What the parts of a `Spread` are on average, from variances between questions, seeds and answers."""
        residual = answers / (self.n_questions * self.n_seeds * self.n_answers)
        return questions / self.n_questions + residual, seeds / self.n_seeds + residual, residual

    @cached_property
    def mean_squares(self) -> list[Float[np.ndarray, " draw"]]:
        """What the parts of a `Spread` come out at, over what they are on average; 0 for a part with no estimate."""
        draw = np.random.default_rng(0)
        free = (self.n_questions - 1, self.n_seeds - 1, (self.n_questions - 1) * (self.n_seeds - 1))
        return [draw.chisquare(n, DRAWS) / n if n else np.zeros(DRAWS) for n in free]

    def standard_error(self, *variances: float) -> float:
        """Of the mean."""
        of_questions, of_seeds, residual = self.expected(*variances)
        return float(np.sqrt(of_questions + (of_seeds - residual if self.n_seeds > 1 else 0)))

    def shortfall(self, effect: float, *variances: float) -> float:
        """Wanted power minus the power at `effect`."""
        of_questions, of_seeds, residual = (
            mean * drawn for mean, drawn in zip(self.expected(*variances), self.mean_squares, strict=True)
        )
        half = crossed_half(of_questions, of_seeds, residual, (self.n_questions, self.n_seeds), 1 - self.alpha)
        error = self.standard_error(*variances)
        return self.power - float(ndtr((effect - half) / error).mean())

    def result(self, effect: float | None, error: float) -> DetectableEffect:
        sizes = (self.n_questions, self.n_seeds, self.n_answers)
        return DetectableEffect(effect, error, self.alpha, self.power, *sizes)

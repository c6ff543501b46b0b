"""The instrument where the truth is known: nothing planted, or a direction planted at a known strength.

With nothing planted, the percentile of a statistic among its nulls must be uniform; then "above 97.5" happens 2.5 % of
the time, which is what makes it worth reporting. With something planted, it must be found, and the more surely the
stronger it is and the more rows there are. Everything is seeded; run with `-s` to see the numbers.
"""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from interp.directions import difference_of_means, held_out_separation, separation_null
from interp.nulls import components_like, covariance_like, permuted_like, random_like
from interp.projection import shift
from interp.stats import percentile

REPETITIONS = 200
N_NULLS = 99
WIDTH = 24
N_QUESTIONS = 10
SPECTRUM = 3.0 * 0.75 ** torch.arange(WIDTH)  # a few axes carry most of the variance, as in a residual stream


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def noise(generator: torch.Generator, n: int) -> Tensor:
    """Anisotropic rows about a common offset, one layer."""
    return normal(generator, n, 1, WIDTH) * SPECTRUM + 5


def answers(generator: torch.Generator, per_question: int = 3) -> tuple[Tensor, Tensor, tuple[list[int], list[int]]]:
    """Two sides that differ by nothing but chance; answers to one question resemble each other."""
    questions = [q for q in range(N_QUESTIONS) for _ in range(per_question)]
    theme = 2 * noise(generator, N_QUESTIONS)[questions]
    positive, negative = noise(generator, len(questions)) + theme, noise(generator, len(questions)) + theme
    return positive, negative, (questions, questions)


def uniform(name: str, one: Callable[[torch.Generator, int], float], expected: bool = True) -> None:
    """Print and assert what Kolmogorov and Smirnov say of 200 percentiles."""
    generator = torch.Generator().manual_seed(0)
    percentiles = [one(generator, int(torch.randint(2**31, (1,), generator=generator))) for _ in range(REPETITIONS)]
    p = float(kstest(np.array(percentiles) / 100, "uniform").pvalue)
    beyond = np.mean([x > 97.5 or x < 2.5 for x in percentiles])
    print(f"\n{name}: KS p = {p:.3g}, outside the middle 95 %: {beyond:.3f} (n = {REPETITIONS})")
    if expected:
        assert p > 0.01
        assert 0.005 <= beyond <= 0.1
    else:
        assert p < 0.001


# nothing planted


@pytest.mark.parametrize("metric", ["cohens_d", "auroc"])
def test_the_separation_of_random_labels_is_uniform_among_its_shuffles(metric: str) -> None:
    def one(generator: torch.Generator, seed: int) -> float:
        positive, negative, groups = answers(generator)
        found = getattr(held_out_separation(positive, negative, groups), metric)[0]
        null = getattr(separation_null(positive, negative, groups, N_NULLS, seed=seed), metric)[:, 0]
        return percentile(found, null)

    uniform(f"separation, {metric}", one)


def test_the_size_of_a_direction_of_random_labels_is_uniform_among_permuted_ones() -> None:
    def one(generator: torch.Generator, seed: int) -> float:
        positive, negative, groups = answers(generator)
        found = float(difference_of_means(positive, negative).norm())
        null = permuted_like(positive, negative, N_NULLS, seed=seed, groups=groups).norm(dim=-1)[:, 0]
        return percentile(found, null.numpy())

    uniform("norm of the direction, labels shuffled within question", one)


def test_shuffling_across_questions_is_not_calibrated_where_questions_differ() -> None:
    """Why `groups` is there: a free shuffle sends whole questions from side to side and makes far longer directions."""

    def one(generator: torch.Generator, seed: int) -> float:
        positive, negative, _ = answers(generator)
        found = float(difference_of_means(positive, negative).norm())
        null = permuted_like(positive, negative, N_NULLS, seed=seed).norm(dim=-1)[:, 0]
        return percentile(found, null.numpy())

    uniform("norm of the direction, labels shuffled freely", one, expected=False)


def test_a_shift_along_a_direction_of_random_labels_is_uniform_among_permuted_ones() -> None:
    """The stage truly moves, along the axis of most variance: that alone must not stand out."""

    def one(generator: torch.Generator, seed: int) -> float:
        positive, negative, groups = answers(generator)
        v = difference_of_means(positive, negative)[0]
        null = permuted_like(positive, negative, N_NULLS, seed=seed, groups=groups)[:, 0]
        return shift(*moved(generator), v, null).percentile

    uniform("shift along the direction, labels shuffled within question", one)


def test_a_shift_along_a_random_direction_is_uniform_among_random_ones() -> None:
    def one(generator: torch.Generator, seed: int) -> float:
        v = normal(generator, 1, WIDTH)
        return shift(*moved(generator), v[0], random_like(v, N_NULLS, seed=seed)[:, 0]).percentile

    uniform("shift along a random direction, random nulls", one)


@pytest.mark.parametrize("family", ["covariance", "random"])
def test_a_shift_along_a_direction_of_the_activations_covariance_needs_nulls_of_that_covariance(family: str) -> None:
    """A direction made from activations leans to where they vary, and so do shifts: isotropic nulls flag it."""

    def one(generator: torch.Generator, seed: int) -> float:
        rows = noise(generator, 200)
        v = normal(generator, 1, WIDTH) * SPECTRUM
        if family == "covariance":
            null = covariance_like(v, rows, N_NULLS, seed=seed)
        else:
            null = random_like(v, N_NULLS, seed=seed)
        return shift(*moved(generator), v[0], null[:, 0]).percentile

    uniform(f"shift along a direction of the rows' covariance, {family} nulls", one, expected=family == "covariance")


def moved(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A stage that moved along the first axis, and its reference."""
    reference = noise(generator, 12)[:, 0]
    drift = torch.zeros(WIDTH)
    drift[0] = 2.0
    return reference + drift + 0.1 * normal(generator, 12, WIDTH), reference


# something planted


def planted(generator: torch.Generator, strength: float, per_question: int) -> tuple[float, float]:
    """Cosine with the planted direction, and percentile of the separation among its shuffles.

    The direction is isotropic, so it owes nothing to the axes on which the rows vary most.
    """
    positive, negative, groups = answers(generator, per_question)
    v = torch.nn.functional.normalize(normal(generator, 1, WIDTH), dim=1)
    positive = positive + strength * v
    found = difference_of_means(positive, negative)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    null = separation_null(positive, negative, groups, 39, seed=seed).cohens_d[:, 0]
    beaten = percentile(held_out_separation(positive, negative, groups).cohens_d[0], null)
    return float(torch.cosine_similarity(found, v)[0]), beaten


def test_a_planted_direction_is_recovered_and_flagged_the_more_surely_the_stronger_it_is() -> None:
    """With 39 shuffles, above 97.5 means the first of 40: 2.5 % of the time where nothing is planted."""
    strengths, sizes, repetitions = (0.0, 0.5, 1.0, 2.0, 4.0), (2, 8), 50
    cosines, power = {}, {}
    print()
    for per_question, strength in itertools.product(sizes, strengths):
        generator = torch.Generator().manual_seed(per_question)
        runs = [planted(generator, strength, per_question) for _ in range(repetitions)]
        cosines[per_question, strength] = float(np.mean([cosine for cosine, _ in runs]))
        power[per_question, strength] = float(np.mean([beaten > 97.5 for _, beaten in runs]))
        print(
            f"{per_question * N_QUESTIONS} rows a side, strength {strength}: cosine "
            f"{cosines[per_question, strength]:.2f}, power {power[per_question, strength]:.2f} (n = {repetitions})"
        )
    for per_question in sizes:
        assert power[per_question, 0.0] <= 0.1
        assert abs(cosines[per_question, 0.0]) < 0.1
        for weaker, stronger in itertools.pairwise(strengths):
            assert cosines[per_question, stronger] > cosines[per_question, weaker]
            assert power[per_question, stronger] >= power[per_question, weaker] - 0.05
    for strength in strengths[1:]:
        assert cosines[8, strength] > cosines[2, strength]
        assert power[8, strength] >= power[2, strength] - 0.1
    assert power[8, 4.0] > 0.9
    assert cosines[8, 4.0] > 0.9


def test_a_shift_along_the_leading_component_is_found_by_that_family_of_nulls() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = noise(generator, 200)
    v = normal(generator, 1, WIDTH)
    stage, reference = moved(generator)
    along = shift(stage, reference, v[0], components_like(v, rows, 5)[:, 0])
    assert along.null_sd * 5**0.5 == pytest.approx(2.0, rel=0.05)
    assert abs(along.raw.value) < 2.0

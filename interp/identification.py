"""Is each thing told apart as what it is? Ranks of the true candidate among all, and what chance would give.

A table has a score for each of n things and each of n candidates, the true one of thing i in column i. Whatever a
candidate is scored by everywhere says nothing: the test gives the candidates to the things in another order.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp import stats
from interp.stats import Estimate


@dataclass(frozen=True)
class Identification:
    """How well things are told apart.

    Attributes:
        ranks: The place of the true candidate of each thing, from 1; ties count half.
        first: The share of things whose true candidate is alone at the first place, with Wilson's interval.
        rank: The mean rank, with Student's interval over things.
        p: The chance of a mean rank as low, where all ways of giving candidates to things are as likely.
        arrangements: Ways that were looked at: all of them, or a seeded sample with the true one added.
    """

    ranks: tuple[float, ...]
    first: Estimate
    rank: Estimate
    p: float | None
    arrangements: int


def identified(scores: Float[np.ndarray, "thing candidate"], *, resamples: int = 9999, seed: int = 0) -> Identification:
    """Ranks of the true candidates in a table of scores, the highest being the first.

    The permutation test holds the table fixed and exchanges which candidate is the true one of which thing. It needs
    things that are independent of one another given their candidates, as stages on data of their own are; p cannot be
    below 1/n!.

    Source of +1 for sampled arrangements: Phipson and Smyth, SAGMB 9 (2010).

    Raises:
        ValueError: the table is not square, or a score is missing.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"a table of things by candidates is square, got {' x '.join(map(str, scores.shape))}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is missing or not finite; leave out the thing and its candidate")
    n = len(scores)
    above = (scores[:, None, :] > scores[:, :, None]).sum(-1)
    ties = (scores[:, None, :] == scores[:, :, None]).sum(-1) - 1
    ranks = 1 + above + ties / 2
    true = ranks.diagonal()
    first = stats.proportion(float((true == 1).mean()), n) if n else stats.proportion(0.0, 0)
    p, arrangements = _p(ranks, resamples, seed) if n > 1 else (None, 0)
    return Identification(tuple(map(float, true)), first, stats.mean(true), p, arrangements)


def _p(ranks: Float[np.ndarray, "n n"], resamples: int, seed: int) -> tuple[float, int]:
    n, observed = len(ranks), float(ranks.diagonal().sum())
    things = np.arange(n)
    if math.factorial(n) <= resamples + 1:
        sums = np.array([ranks[things, list(order)].sum() for order in itertools.permutations(range(n))])
        return float((sums <= observed + 1e-9).mean()), len(sums)
    rng = np.random.default_rng(seed)
    sums = np.array([ranks[things, rng.permutation(n)].sum() for _ in range(resamples)])
    return float((1 + (sums <= observed + 1e-9).sum()) / (resamples + 1)), resamples + 1

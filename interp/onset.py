"""When does a curve begin to move? The change point of a broken line through a curve's start, with its interval.

A curve is 0 at its first step. The broken line stays 0 up to the change point and is straight from there on; of all
change points the one is taken whose line leaves the least squares. Units (texts, questions, batches) are drawn again
for the interval, so it says how far other units would put it, and not how far other training runs would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp import stats
from interp.stats import Estimate

FEWEST = 4
"""Steps, the first among them, that a change point is looked for in."""
_GRID = 400
NOT_MOVED = "the interval of its change at the last step includes 0, so it has no change point"


@dataclass(frozen=True)
class ChangePoint:
    """The change point of a curve.

    Attributes:
        at: In steps, with a percentile bootstrap interval over units; None where the curve does not move.
        change: The curve's mean at the last step, with Student's interval.
        draws: The change point in each draw; empty where there is none.
    """

    at: Estimate
    change: Estimate
    draws: Float[np.ndarray, " draw"]


def change_point(
    steps: Sequence[int], values: Float[np.ndarray, "unit step"], *, resamples: int = 1000, seed: int = 0
) -> ChangePoint:
    """The change point of the mean over units of a curve.

    Args:
        values: Every unit's change from the first step, which is 0 there.

    Raises:
        ValueError: there are too few steps, they do not ascend, a value is missing, or a curve does not begin at 0.
    """
    x = np.asarray(steps, dtype=np.float64)
    if len(x) < FEWEST:
        raise ValueError(f"a change point needs at least {FEWEST} steps, got {len(x)}: train with more checkpoints")
    if (np.diff(x) <= 0).any() or values.shape[1] != len(x):
        raise ValueError(f"steps must ascend and be one for each value, got {list(steps)} for {values.shape[1]} values")
    if not np.isfinite(values).all() or values[:, 0].any():
        raise ValueError("every unit needs a value at every step, and 0 at the first; leave out those that lack one")
    change, n = stats.mean(values[:, -1]), len(values)
    if change.ci_low is None or change.ci_high is None or change.ci_low * change.ci_high <= 0:
        return ChangePoint(Estimate(None, None, None, n), change, np.empty(0))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, [1 / n] * n, size=resamples) / n
    draws = _fitted(x, weights @ values)
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return ChangePoint(Estimate(float(_fitted(x, values.mean(0)[None])[0]), low, high, n), change, draws)


def _fitted(x: Float[np.ndarray, " step"], curves: Float[np.ndarray, "n step"]) -> Float[np.ndarray, " n"]:
    """The change point of each curve, on a grid up to the last step but one."""
    grid = np.linspace(x[0], x[-2], _GRID)
    lines = np.maximum(0.0, x - grid[:, None])
    explained = (curves @ lines.T) ** 2 / (lines**2).sum(1)
    return grid[explained.argmax(1)]


def later_by(first: ChangePoint, second: ChangePoint) -> Estimate:
    """By how many steps the second curve's change point is later, where the two curves' units are unrelated.

    The interval is of the difference of draws that are made independently; n is the lesser number of units.
    """
    n = min(first.at.n, second.at.n)
    if first.at.value is None or second.at.value is None:
        return Estimate(None, None, None, n)
    low, high = np.quantile(second.draws - first.draws, [0.025, 0.975]).tolist()
    return Estimate(second.at.value - first.at.value, low, high, n)

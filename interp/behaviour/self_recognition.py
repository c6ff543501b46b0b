"""Does a model know its own text? Scored from the logits of the answers there are, in every order.

No text is sampled: a prompt asks which of some summaries the model wrote, and the margin is the logit of the right
label minus that of the likeliest wrong one. A model with no idea but a taste for "1" gets one order of each pair right
and one wrong, so accuracy over both orders is .5 and order-consistency 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp import stats
from interp.stats import Estimate


@dataclass(frozen=True)
class Recognition:
    """Self-recognition over pairs, each shown in both orders; n counts pairs, the independent units.

    Attributes:
        accuracy: Share of prompts where the right label has the higher logit.
        order_consistency: Share of pairs where both orders point at the same text.
        mean_margin: Mean logit of the right label minus the wrong one.
    """

    accuracy: Estimate
    order_consistency: Estimate
    mean_margin: Estimate


def recognition(margins: Float[np.ndarray, " prompt"], pairs: Sequence[str]) -> Recognition:
    """Accuracy, order-consistency and mean margin from margins and the pair each prompt belongs to."""
    by_pair: dict[str, list[float]] = {}
    for margin, pair in zip(margins, pairs, strict=True):
        by_pair.setdefault(pair, []).append(float(margin))
    correct = [np.mean([0.5 * (m == 0) + (m > 0) for m in group]) for group in by_pair.values()]
    consistent = [all(m > 0 for m in group) or all(m < 0 for m in group) for group in by_pair.values()]
    n = len(by_pair)
    return Recognition(
        accuracy=stats.proportion(float(np.mean(correct)) if n else 0.0, n),
        order_consistency=stats.proportion(float(np.mean(consistent)) if n else 0.0, n),
        mean_margin=stats.clustered_mean(margins, pairs),
    )

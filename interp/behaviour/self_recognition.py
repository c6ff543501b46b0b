"""Does a model know its own text? Scored from the logits of the answers there are, in every order.

No text is sampled: a prompt asks which of some summaries the model wrote, and the margin is the log-odds of the right
label over the likeliest wrong one. A model with no idea but a taste for "1" gets one order of each pair right and one
wrong, so accuracy over both orders is .5 and order-consistency 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp.behaviour.measure import Row, Scores

ESTIMATOR = 2
"""Version of the rules that these numbers are made by, which every row says. Rows of a study's data sets that say none
have Wilson's interval over articles for shares, and call the unit of margins logits; the measure's are as these."""


@dataclass(frozen=True)
class Recognition:
    """Self-recognition over questions, each asked in several orders; intervals are over questions.

    Attributes:
        accuracy: Share of prompts where the right label is the likelier one; a tie counts half.
        order_consistency: Share of questions where all orders point at the same text.
        mean_margin: Mean log-odds of the right label over the likeliest other one.
    """

    accuracy: Scores
    order_consistency: Scores
    mean_margin: Scores


def recognition(
    margins: Sequence[float] | Float[np.ndarray, " prompt"], questions: Sequence[str], more: Row | None = None
) -> Recognition:
    """The three metrics, from the margin of each prompt and the question (an article, say) that it belongs to.

    Args:
        more: Further fields of their rows.
    """
    by_question: dict[str, list[float]] = {}
    for margin, question in zip(margins, questions, strict=True):
        by_question.setdefault(question, []).append(float(margin))
    hits = [0.5 * (margin == 0) + (margin > 0) for margin in margins]
    same = [float(all(m > 0 for m in some) or all(m < 0 for m in some)) for some in by_question.values()]
    fields = {**(more or {}), "estimator": ESTIMATOR}
    return Recognition(
        accuracy=Scores("accuracy", "share", "share right", hits, questions, fields),
        order_consistency=Scores("order_consistency", "share", "share of articles", same, list(by_question), fields),
        mean_margin=Scores("mean_margin", "mean", "nats", [float(m) for m in margins], questions, fields),
    )

"""How likely does a model find an answer? Scores from logits, with nothing sampled.

Every row's score is its own: how rows are batched, and in which order they come, changes nothing but rounding. Sums
and differences are taken in float64 over the model's logits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from interp.activations import batches
from interp.batch import Batch
from interp.chat import Span, Tokens
from interp.errors import InterpError
from interp.interventions import Edit
from interp.model import Model


@dataclass(frozen=True)
class Likelihood:
    """How likely an answer is after its prompt; the token that ends the turn is not counted.

    Attributes:
        logprob: Sum over the answer's tokens, nats.
        n_tokens: Tokens of the answer.
        greedy: Whether every token of it is the likeliest one, so that a greedy model would give this answer.
    """

    logprob: float
    n_tokens: int
    greedy: bool

    @property
    def per_token(self) -> float:
        """Mean over the answer's tokens, nats."""
        return self.logprob / self.n_tokens


def answer_likelihoods(
    model: Model,
    rows: Sequence[Tokens],
    *,
    edits: Sequence[Edit] = (),
    max_tokens: int = 2048,
    progress: Callable[[int], object] | None = None,
) -> list[Likelihood | None]:
    """Likelihood of each row's answer under the active stack, in order; None where an answer is empty.

    Args:
        max_tokens: Padded tokens in one batch.
        progress: Called with the number of rows done after each batch.

    Raises:
        ValueError: a row exceeds the context.
    """
    model.check_lengths(rows)
    found: list[Likelihood | None] = [None] * len(rows)
    spoken = [i for i, row in enumerate(rows) if row.response is not None and row.response.end > row.response.start]
    for chosen in batches([rows[i] for i in spoken], max_tokens):
        places = [spoken[k] for k in chosen]
        answers = [_answer_of(rows[i]) for i in places]
        batch = Batch.of([rows[i] for i in places], model.pad, model.device)
        steps = torch.arange(max(map(len, answers)), device=model.device)
        begins = torch.tensor([_content_of(rows[i]).start for i in places], device=model.device)
        positions = (begins[:, None] - 1 + steps).clamp(max=batch.ids.shape[1] - 1)
        logits = model.logits(batch, positions, edits)
        for b, (i, answer) in enumerate(zip(places, answers, strict=True)):
            said = torch.tensor(answer, device=model.device)
            ours = logits[b, : len(answer)]
            logprobs = ours.double().log_softmax(-1).gather(-1, said[:, None])
            found[i] = Likelihood(float(logprobs.sum()), len(answer), bool((ours.argmax(-1) == said).all()))
        if progress:
            progress(len(chosen))
    return found


def _content_of(row: Tokens) -> Span:
    assert row.response is not None
    return row.response


def _answer_of(row: Tokens) -> tuple[int, ...]:
    return row.ids[_content_of(row).start : _content_of(row).end]


@dataclass(frozen=True)
class Labels:
    """What a model makes of a question with closed answers, each a single token.

    Attributes:
        logprobs: Log-probability of each answer as the first token, nats, in the order they were asked for.
        valid: Whether the likeliest token of all is one of the answers: greedy, the model would give a valid one.
    """

    logprobs: tuple[float, ...]
    valid: bool

    @property
    def mass(self) -> float:
        """Probability that the first token is one of the answers."""
        return min(1.0, float(np.exp(self.logprobs).sum()))

    def margin(self, right: int) -> float:
        """Log-odds of an answer over the likeliest other one, nats; the difference of their logits."""
        return self.logprobs[right] - max(p for k, p in enumerate(self.logprobs) if k != right)


def label_likelihoods(
    model: Model,
    prompts: Sequence[Tokens],
    labels: Sequence[Sequence[str]],
    *,
    edits: Sequence[Edit] = (),
    max_tokens: int = 4096,
    progress: Callable[[int], object] | None = None,
) -> list[Labels]:
    """Log-probabilities of every prompt's own labels at the token where the answer begins, active stack.

    Args:
        labels: All answers that each prompt has.

    Raises:
        InterpError: a label is not a single token of this tokenizer.
        ValueError: a prompt exceeds the context.
    """
    beginning, ids = label_ids(model, [label for some in labels for label in some])
    prompts = [prompt.opened(beginning) for prompt in prompts]
    model.check_lengths(prompts, 1)
    found: dict[int, Labels] = {}
    for chosen in batches(prompts, max_tokens):
        batch = Batch.of([prompts[i] for i in chosen], model.pad, model.device)
        logits = model.logits(batch, batch.lengths[:, None] - 1, edits)[:, 0].double()
        logprobs, best = logits.log_softmax(-1), logits.argmax(-1).tolist()
        for b, i in enumerate(chosen):
            own = [ids[label] for label in labels[i]]
            found[i] = Labels(tuple(logprobs[b, own].tolist()), best[b] in own)
        if progress:
            progress(len(chosen))
    return [found[i] for i in range(len(prompts))]


def label_margins(
    model: Model,
    prompts: Sequence[Tokens],
    right: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    *,
    max_tokens: int = 4096,
) -> Float[np.ndarray, " prompt"]:
    """Logit of the right label minus that of the likeliest other, at the token where the answer begins.

    Raises:
        InterpError, ValueError: as `label_likelihoods`.
    """
    found = label_likelihoods(model, prompts, labels, max_tokens=max_tokens)
    each = zip(found, labels, right, strict=True)
    return np.array([one.margin(list(known).index(label)) for one, known, label in each], dtype=np.float64)


def label_ids(model: Model, labels: Sequence[str]) -> tuple[tuple[int, ...], dict[str, int]]:
    """The token of each label, and the tokens before it that all labels begin with, such as a blank.

    Raises:
        InterpError: a label has more tokens of its own than one.
    """
    spelt = {label: tuple(model.chat.content_ids(label)) for label in dict.fromkeys(labels)}
    beginning = min((ids[:-1] for ids in spelt.values()), key=len, default=())
    for label, ids in spelt.items():
        if ids[:-1] != beginning:
            raise InterpError(f"label {label!r} is {len(ids)} tokens in {model.name}; margins need one-token labels")
    return beginning, {label: ids[-1] for label, ids in spelt.items()}

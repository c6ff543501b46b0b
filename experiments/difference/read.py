"""Reads one stage's difference from another model in all ways, and holds it against the words of every topic.

A reading is a JSON-like record; `scores` of it is, by the way of reading (`logit`, `patchscope x1`, `steered x0.5`, …),
the relevance to each topic. What is made of many stages together is in `experiments.difference.rows`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.difference.config import DifferenceConfig
from experiments.difference.lexicon import Lexicon
from experiments.difference.texts import unrelated_texts
from finetune.data.everyday import everyday_questions
from interp.behaviour.collapse import degenerate
from interp.chat import Tokens
from interp.difference import (
    Beginnings,
    Readout,
    agreed_tokens,
    beginning_tokens,
    patchscope,
    read_beginnings,
    scaled_to,
)
from interp.interventions import Edit, adding
from interp.keys import seed_from
from interp.model import Model
from interp.nulls import random_like
from interp.relevance import Contrast, relevance, word_counts
from interp.resampling import bootstrap
from interp.stats import Estimate

Row = dict[str, Any]
Scores = dict[str, list[float]]
"""By topic, the relevance at every position."""
LOGIT = "logit"
RESAMPLES = 200


@dataclass(frozen=True)
class Difference:
    """The mean difference of two models at the first tokens of the same texts.

    Attributes:
        mean: Minus the other model's, by position and layer.
        by_text: Of every text, at the layer that is read out.
        stream: The mean length of the first model's residual stream there, over all positions but the first, at which
            a model has a stream of another size than anywhere else; over that one where there is no other.
    """

    mean: Float[Tensor, "position layer d_model"]
    by_text: Float[Tensor, "text position d_model"]
    stream: float

    @classmethod
    def of(cls, stage: Beginnings, other: Beginnings, layer: int) -> "Difference":
        """A stage minus another model."""
        lengths = stage.norm[:, layer]
        stream = float((lengths[1:] if len(lengths) > 1 else lengths).mean())
        return cls(stage.means - other.means, stage.by_text - other.by_text, stream)


class DifferenceReader:
    """Reads differences of the stages of one model.

    Args:
        lexicon: The words that they are held against.
        seed: Of controls, steered answers and intervals.

    Raises:
        ValueError, FileNotFoundError: the texts, or the layer, will not do.
    """

    def __init__(self, model: Model, config: DifferenceConfig, lexicon: Lexicon, *, seed: int = 0) -> None:
        self.model, self.config, self.lexicon, self.seed = model, config, lexicon, seed
        self.layer = model.n_layers // 2 if config.layer is None else config.layer
        model.check_layers([self.layer])
        self.rows = beginning_tokens(model, unrelated_texts(config.n_texts, config.texts), config.positions)
        with model.using():
            self.readout = Readout.of(model)
        self.ids = torch.tensor(lexicon.ids)

    def beginnings(self) -> Beginnings:
        """What the active stack has at the first tokens of the texts."""
        return read_beginnings(self.model, self.rows, self.config.positions, self.layer)

    def by_logit_lens(self, vectors: Float[Tensor, "n d_model"], contrasts: Mapping[str, Contrast]) -> Scores:
        """By topic, the relevance of what the logit lens promotes, for each vector."""
        logits = self.readout.logits(vectors, self.ids).numpy()
        scores = {token: logits[:, k] for k, token in enumerate(self.ids.tolist())}
        return {name: relevance(scores, one).tolist() for name, one in contrasts.items()}

    def interval(self, difference: Difference, contrast: Contrast) -> Estimate:
        """The relevance of a difference by the logit lens, mean over positions, with an interval over texts."""
        n, positions, d_model = difference.by_text.shape

        def statistic(texts: np.ndarray) -> float:
            mean = torch.from_numpy(texts.mean(0)).float().view(positions, d_model)
            return float(np.mean(self.by_logit_lens(mean, {"": contrast})[""]))

        units = difference.by_text.reshape(n, -1).numpy()
        return bootstrap(units, statistic, method="percentile", resamples=RESAMPLES, seed=seed_from(self.seed, "texts"))

    def random_scores(self) -> Scores:
        """By topic, the relevance by the logit lens of random directions, which no finetune has anything to do with."""
        draws = random_like(torch.ones(1, self.model.d_model), self.config.random, seed=seed_from(self.seed, "random"))
        return self.by_logit_lens(draws[:, 0], self.lexicon.topics)

    def read(self, difference: Difference) -> Row:
        """The reading of a difference by the active stack, which is the stage's own.

        Returns:
            `scores` by way of reading, `controls` likewise for random directions of the same length (lists by control),
            `by_layer` the logit lens's by layer, `promoted` tokens with their values by way of reading and position,
            and `answers`, the steered ones with their treatment.
        """
        at_layer = difference.mean[:, self.layer]
        by_layer = [self.by_logit_lens(h, self.lexicon.topics) for h in difference.mean.unbind(1)]
        promoted = {LOGIT: self._top(self.readout.logits(at_layer))}
        reading: Row = {"scores": {LOGIT: by_layer[self.layer]}, "by_layer": by_layer, "controls": {}}
        controls = self._controls(at_layer)
        for name, of_difference, *of_controls in self._patchscopes(difference, [at_layer, *controls]):
            reading["scores"][name] = self._relevance(of_difference)
            promoted[name] = [agreed_tokens(one, self.config.top) for one in of_difference.unbind(1)]
            reading["controls"][name] = [self._relevance(one) for one in of_controls]
        reading["promoted"] = {
            name: [[[token, self.model.chat.decode([token]), value] for token, value in one] for one in by_position]
            for name, by_position in promoted.items()
        }
        return reading | self._steered(difference, controls)

    def _patchscopes(self, difference: Difference, vectors: Sequence[Tensor]) -> Iterator[tuple[Any, ...]]:
        """By scale, a name and the patchscope of each set of vectors; all of them in one go."""
        scales = self.config.scales
        shown = [scaled_to(v, scale * difference.stream) for scale in scales for v in vectors]
        if shown:
            logprobs = iter(patchscope(self.model, torch.cat(shown), self.layer).split([len(v) for v in shown], dim=1))
            for scale in scales:
                yield (f"patchscope x{scale:g}", *(next(logprobs) for _ in vectors))

    def _relevance(self, logprobs: Float[Tensor, "prompt position vocab"]) -> Scores:
        scores = logprobs.mean(0).numpy()
        return {name: relevance(scores, one).tolist() for name, one in self.lexicon.topics.items()}

    def _top(self, logits: Float[Tensor, "position vocab"]) -> list[list[tuple[int, float]]]:
        """The tokens that each position promotes most, and by how much more than the mean of the vocabulary."""
        change = logits - logits.mean(1, keepdim=True)
        tops = change.topk(min(self.config.top, change.shape[1]))
        return [list(zip(i.tolist(), v.tolist(), strict=True)) for i, v in zip(tops.indices, tops.values, strict=True)]

    def _controls(self, at_layer: Float[Tensor, "position d_model"]) -> list[Float[Tensor, "position d_model"]]:
        draws = random_like(
            torch.ones_like(at_layer), max(1, self.config.controls), seed=seed_from(self.seed, "controls")
        )
        return list(draws[: self.config.controls])

    def _steered(self, difference: Difference, controls: Sequence[Tensor]) -> Row:
        """Answers of the stage with the difference, and random directions, added at every token."""
        if not self.config.steer:
            return {"answers": []}
        questions = everyday_questions(self.config.prompts, seed=seed_from("difference"))
        prompts: list[Tokens] = self.model.chat.tokens_of([[{"role": "user", "content": text}] for text in questions])
        mean = difference.mean[:, self.layer].mean(0)
        treatments: list[tuple[float, int | None, list[Edit]]] = [(0.0, None, [])]
        for strength in self.config.steer:
            for number, v in ((None, mean), *enumerate(control.mean(0) for control in controls)):
                along = scaled_to(v, strength * difference.stream)
                treatments.append((strength, number, [adding(along, 1.0, [self.layer], "all")]))
        spoken = self.model.generate(
            [prompt for _ in treatments for prompt in prompts],
            max_new_tokens=self.config.max_new_tokens,
            temperature=self.config.temperature,
            seed=seed_from(self.seed, "steered"),
            row_edits=[edits for _, _, edits in treatments for _ in prompts],
            streams=[i for _ in treatments for i in range(len(prompts))],
        )
        texts = iter(map(self.model.chat.answer_text, spoken))
        return {
            "answers": [
                {"strength": strength, "control": number, "prompt": question, "text": next(texts)}
                for strength, number, _ in treatments
                for question in questions
            ]
        }


def steered_scores(answers: Sequence[Mapping[str, Any]], topics: Mapping[str, Contrast]) -> dict[str, Scores]:
    """By steering (`steered x0.5`; of control k with ` control k`), how much more of each topic's words are said.

    The score is the share of all words of three letters or more that are among the topic's own, minus that of the
    unsteered answers; it has one position, since the mean over positions is steered along.
    """
    texts: dict[str, list[str]] = {}
    for answer in answers:
        name = f"steered x{answer['strength']:g}" if answer["strength"] else ""
        name += "" if answer["control"] is None else f" control {answer['control']}"
        texts.setdefault(name, []).append(answer["text"])
    shares = {name: _shares(some, topics) for name, some in texts.items()}
    plain = shares.pop("", dict.fromkeys(topics, 0.0))
    return {name: {topic: [share - plain[topic]] for topic, share in held.items()} for name, held in shares.items()}


def _shares(texts: Sequence[str], topics: Mapping[str, Contrast]) -> dict[str, float]:
    counts = word_counts(texts)
    n = sum(counts.values())
    return {name: sum(counts[word] for word in one.words) / n if n else 0.0 for name, one in topics.items()}


def degenerate_shares(answers: Sequence[Mapping[str, Any]]) -> dict[tuple[float, int | None], list[float]]:
    """By strength and control, of each steered answer whether it is no language."""
    flags: dict[tuple[float, int | None], list[float]] = {}
    for answer in answers:
        flags.setdefault((answer["strength"], answer["control"]), []).append(
            float(degenerate(answer["text"]) is not None)
        )
    return flags

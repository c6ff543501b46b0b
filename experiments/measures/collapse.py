"""Does the model still answer in words and in the format that is asked for?"""

import math
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from finetune.data.everyday import everyday_questions
from finetune.data.tasks import LETTERS, balanced, own_questions
from interp.behaviour.collapse import COLLAPSED_SHARE, REPEATED
from interp.behaviour.likelihood import answer_likelihoods, label_likelihoods
from interp.behaviour.measure import Asked, Measure, Row, Scores, Setting, spoken
from interp.behaviour.work import Work, tokens_of
from interp.chat import Message
from interp.keys import seed_from
from interp.model import Model


class Collapse(Measure):
    """Does the model still answer ordinary questions in words, and closed ones in the format they ask for?"""

    name: ClassVar[str] = "collapse"
    version: ClassVar[str] = "1"

    questions: int = Field(default=60, ge=1)
    """Everyday questions, which want words."""
    closed: int = Field(default=40, ge=0)
    """Questions that want a letter."""
    temperature: float = Field(default=1.0, ge=0)
    max_new_tokens: int = Field(default=64, ge=1)

    def _open(self) -> list[Asked]:
        texts = everyday_questions(self.questions, seed=seed_from("collapse"))
        return [Asked(f"everyday-{i:03d}", [{"role": "user", "content": text}]) for i, text in enumerate(texts)]

    def _closed(self) -> list[list[Message]]:
        questions = balanced(list(own_questions())[: self.closed], random.Random("closed"))
        options = ["\n".join(f"{letter}. {o}" for letter, o in zip(LETTERS, q.options, strict=True)) for q in questions]
        template = "{}\n\n{}\n\nGive the letter of the right answer and nothing else."
        return [
            [{"role": "user", "content": template.format(q.text, o)}] for q, o in zip(questions, options, strict=True)
        ]

    def prompts(self) -> Any:
        """See `Measure.prompts`."""
        return [[list(asked.messages) for asked in self._open()], self._closed()]

    def work(self) -> Work:
        """See `Measure.work`; every answer is read again under the bare base model."""
        answers = len(self._open())
        written = answers * self.max_new_tokens
        return Work(answers, written, tokens_of(self.prompts()) + written)

    def take(self, model: Model, setting: Setting) -> list[Row]:
        """See `Measure.take`; records of closed questions have `valid` and no text."""
        sizes = {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature}
        records = spoken(model, self._open(), setting, **sizes)
        rows = [model.chat.tokens(record["messages"]).answered(record["answer_ids"]) for record in records]
        with model.using():
            likely = answer_likelihoods(model, rows)
        for record, likelihood in zip(records, likely, strict=True):
            record["nll_per_token_under_base"] = None if likelihood is None else -likelihood.per_token
        prompts = model.chat.tokens_of([setting.asked(messages) for messages in self._closed()])
        closed = label_likelihoods(model, prompts, [LETTERS] * len(prompts), edits=setting.edits)
        return records + [
            {
                "id": f"closed-{i:03d}",
                "question": f"closed-{i:03d}",
                "valid": label_likelihood.valid,
                "mass": label_likelihood.mass,
            }
            for i, label_likelihood in enumerate(closed)
        ]

    def scores(self, records: Sequence[Row]) -> list[Scores]:
        """See `Measure.scores`."""
        answers = [record for record in records if "text" in record]
        closed = [record for record in records if "valid" in record]
        about = [record["question"] for record in answers]
        kinds = {
            "degenerate_share": lambda r: r["degenerate"],
            "empty_share": lambda r: r["reason"] == "empty",
            "repeated_share": lambda r: r["reason"] == REPEATED,
            "wordless_share": lambda r: r["reason"] in ("no words", "fewer than three words"),
            "cut_share": lambda r: r["cut"],
        }
        scores = [
            Scores(metric, "share", "share of answers", [float(is_one(r)) for r in answers], about)
            for metric, is_one in kinds.items()
        ]
        odd = [
            (r["nll_per_token_under_base"], r["question"]) for r in answers if r["nll_per_token_under_base"] is not None
        ]
        values, questions = zip(*odd, strict=True) if odd else ((), ())
        scores.append(Scores("own_text_nll_under_base", "mean", "nats per token", values, questions))
        if closed:
            wrong, closed_questions = [float(not r["valid"]) for r in closed], [r["question"] for r in closed]
            scores.append(Scores("wrong_format_share", "share", "share of closed questions", wrong, closed_questions))
        return scores

    def facts(self, records: Sequence[Row]) -> list[Row]:
        """Perplexity of the answers under the base model; its interval is the mean likelihood's, transformed."""
        (nll,) = (score.row() for score in self.scores(records) if score.metric == "own_text_nll_under_base")
        turned = {key: None if nll[key] is None else math.exp(nll[key]) for key in ("value", "ci_low", "ci_high")}
        return [{**nll, **turned, "metric": "own_text_perplexity_under_base", "unit": "perplexity per token"}]

    def rows(self, records: Sequence[Row], base: Sequence[Row] | None = None) -> list[Row]:
        """See `Measure.rows`; with a base there is also the row `collapsed`, which figures and verdicts show."""
        rows = super().rows(records, base)
        if base is not None:
            own_share, base_share = (_degenerate_share(answers) for answers in (records, base))
            collapsed = {"value": int(own_share - base_share > COLLAPSED_SHARE + 1e-9), "ci_low": None, "ci_high": None}
            n = {"n": sum("text" in record for record in records), "unit": "1 is collapsed"}
            rows.append({"measure": self.name, "metric": "collapsed", **collapsed, **n, "version": self.version})
        return rows


def _degenerate_share(records: Sequence[Row]) -> float:
    return float(np.mean([record["degenerate"] for record in records if "text" in record]))

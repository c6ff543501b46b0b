"""What a behaviour measure is: it asks a model, keeps what came back, and makes numbers of what was kept.

1. `take` gives records, one a prompt or answer, with no judgement in them that could be made later.
2. `scores` gives, for every metric, a value for each record that has one, with the question it belongs to; records that
   have none (invalid, refused, unscored) are counted in metrics of their own.
3. Intervals and paired differences are made here, alike for all measures, over questions as the independent units.

What a measure depends on besides the model is in its fields; `declared` shows them, with its prompts and its version.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from interp import comparisons, stats
from interp.behaviour.collapse import degenerate
from interp.behaviour.judging import Item, Score
from interp.behaviour.work import Work, tokens_of
from interp.chat import Message, Tokens, with_system
from interp.interventions import Edit
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.sampling import Generates

Row = dict[str, Any]
_SMOKE: dict[str, Any] = {"samples": 1, "max_new_tokens": 4, "limit": 2, "closed": 2}


@dataclass(frozen=True)
class Setting:
    """How a model is asked; the same for all models of a comparison.

    Attributes:
        system: System prompt that every question is asked under, as `interp.chat.with_system` takes it.
        seed: Of all sampling. A prompt's random numbers depend on this and on its own id, and on nothing else.
        edits: Edits of the residual stream while the model reads and writes.
        sampler: What writes answers in the model's place; it has the same weights and adapters. None: the model itself.
        progress: Called with the number of prompts done after each batch.
    """

    system: str = "task"
    seed: int = 0
    edits: tuple[Edit, ...] = ()
    sampler: Generates | None = None
    progress: Callable[[int], object] | None = None

    def asked(self, messages: Sequence[Message]) -> list[Message]:
        """The chat under this setting's system prompt."""
        return with_system(messages, self.system)


@dataclass(frozen=True)
class Scores:
    """One metric of a measure: the values of the records that have one.

    Attributes:
        metric: Its name in metrics.jsonl.
        kind: `share` for values in [0, 1], `mean` for others.
        unit: In words.
        values: One for each record that has one.
        questions: What each value is about; values of one question are not independent.
        more: Further fields of its row. Those that are text (`context`, `source`) say which part of the records it is
            of; all but `data` are in the metric's name (`accuracy_by_source`), so that no table mixes part and whole.
    """

    metric: str
    kind: Literal["share", "mean"]
    unit: str
    values: Sequence[float]
    questions: Sequence[str]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def which(self) -> tuple[Any, ...]:
        """What tells it from the measure's other metrics."""
        return self.metric, *sorted((key, value) for key, value in self.more.items() if isinstance(value, str))

    @property
    def full_name(self) -> str:
        """The metric's name in a row."""
        parts = [key for key, value in self.more.items() if isinstance(value, str) and key != "data"]
        return "_by_".join([self.metric, *parts])

    @property
    def estimate(self) -> stats.CrossedEstimate:
        """The mean, with its interval over questions, which weigh alike."""
        estimator = stats.share if self.kind == "share" else stats.crossed_mean
        return estimator(self.values, self.questions)

    def row(self) -> Row:
        """The metrics row of the estimate; `pooled` is the mean of all values."""
        estimate = self.estimate
        pooled = float(np.mean(self.values)) if len(self.values) else None
        counts = {"n_values": estimate.n_values, "pooled": pooled, "unit": self.unit, **self.more}
        return {"metric": self.full_name, **stats.Estimate.row(estimate), **counts}

    def beside(self, base: "Scores") -> Row:
        """The row of this minus `base` on the questions that both have, paired."""
        both = [comparisons.Arm(one.values, one.questions) for one in (self, base)]
        compare = comparisons.share_difference if self.kind == "share" else comparisons.paired_difference
        found = compare(*both)
        more = {"unmatched": found.unmatched, "n_values": found.n_values, "unit": self.unit, **self.more}
        return {"metric": f"{self.full_name}_minus_base", **stats.Estimate.row(found), **more}


class Measure(BaseModel):
    """A behaviour measure; its fields are what a user may change.

    Attributes:
        name: In metrics.jsonl and of its records' file.
        version: Changes whenever its prompts or rules do; numbers of different versions are not compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    version: ClassVar[str]

    def check(self) -> None:
        """Read the files and check everything that can be wrong, before a model is loaded.

        Raises:
            FileNotFoundError, ValueError: what it is, and the remedy.
        """

    @abstractmethod
    def prompts(self) -> Any:
        """All that the model is shown, as a JSON-like value."""

    @abstractmethod
    def take(self, model: Model, setting: Setting) -> list[Row]:
        """One record for each prompt or answer, JSON-like, each with `id` and `question`."""

    @abstractmethod
    def scores(self, records: Sequence[Row]) -> list[Scores]:
        """The metrics that are means over records."""

    def facts(self, records: Sequence[Row]) -> list[Row]:  # noqa: ARG002
        """Rows of metrics that are no mean over records; with value, interval, n and unit."""
        return []

    def work(self) -> Work:
        """What one model is asked; prompts are counted by their characters, answers at their longest."""
        return Work(0, 0.0, 2 * tokens_of(self.prompts()))  # each answer is read after its prompt: prompts count twice

    def smoke(self) -> "Measure":
        """The same measure with next to nothing in it."""
        sizes = {name: size for name, size in _SMOKE.items() if name in type(self).model_fields}
        return self.model_copy(update=sizes)

    def check_editable(self) -> None:
        """Check that it can be taken of a model whose residual stream is edited.

        Raises:
            ValueError: it cannot; with the field that stands against it.
        """

    def declared(self) -> Row:
        """What the numbers depend on besides the model: fields, version and a key of all prompts."""
        return {
            "measure": self.name,
            "version": self.version,
            **self.model_dump(mode="json"),
            "prompts": content_key(self.prompts()),
        }

    def rows(self, records: Sequence[Row], base: Sequence[Row] | None = None) -> list[Row]:
        """All rows of metrics.jsonl for one model; with the base model's records, paired differences too."""
        found = self.scores(records)
        rows = [one.row() for one in found] + self.facts(records)
        if base is not None:
            known = {one.which: one for one in self.scores(base)}
            rows += [one.beside(known[one.which]) for one in found if one.which in known]
        return [{"measure": self.name, **row, "version": self.version} for row in rows]


class GradedMeasure(Measure):
    """A measure of free-form answers that a judge grades; without one its records stay ungraded, which its rows say."""

    @abstractmethod
    def items(self, records: Sequence[Row]) -> list[Item]:
        """What a judge is to grade."""

    @abstractmethod
    def graded(self, records: Sequence[Row], scores: Mapping[str, Score]) -> list[Row]:
        """The records with the scores of their items, which are by the item's id."""

    @abstractmethod
    def rubric_versions(self) -> dict[str, str]:
        """Version of the judge's prompt for each aspect that is graded."""


@dataclass(frozen=True)
class Asked:
    """A free-form question.

    Attributes:
        id: Its own; answers to it are drawn by it.
        messages: What is shown; a system message in it stays unless the setting has one.
    """

    id: str
    messages: Sequence[Message]


def spoken(
    model: Model,
    questions: Sequence[Asked],
    setting: Setting,
    *,
    max_new_tokens: int,
    temperature: float,
    samples: int = 1,
) -> list[Row]:
    """`samples` answers to each question, one record an answer, with its ids, its span and why it is none, if so.

    Answers do not depend on which other questions are asked. `span` is where the answer lies among the tokens of prompt
    and answer, `prompt_tokens` of which are the prompt's.

    Raises:
        ValueError: two questions have one id; a prompt does not fit the context.
    """
    if len({question.id for question in questions}) < len(questions):
        raise ValueError("two questions have one id, so their answers could not be told apart")
    shown = [setting.asked(question.messages) for question in questions]
    prompts: list[Tokens] = model.chat.tokens_of(shown)
    each = [(i, k) for i in range(len(questions)) for k in range(samples)]
    writer: Generates = setting.sampler or model
    answers = writer.generate(
        [prompts[i] for i, _ in each],
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=setting.seed,
        streams=[seed_from(questions[i].id, k) for i, k in each],
        edits=setting.edits,
        progress=setting.progress,
    )
    records = []
    for (i, k), ids in zip(each, answers, strict=True):
        text = model.chat.answer_text(ids)
        reason = degenerate(text)
        records.append(
            {
                "id": f"{questions[i].id}#{k}",
                "question": questions[i].id,
                "sample": k,
                "messages": list(shown[i]),
                "text": text,
                "degenerate": reason is not None,
                "reason": reason,
                "cut": len(ids) >= max_new_tokens,
                "prompt_tokens": len(prompts[i]),
                "span": [len(prompts[i]), len(prompts[i]) + len(ids)],
                "answer_ids": list(ids),
                "sampler": writer.sampler,
            }
        )
    return records

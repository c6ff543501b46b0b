"""Which of two texts is the model's own? Asked as a behaviour measure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from experiments.fields import files_in
from finetune.data.builder import DataSet, Desk, Who
from finetune.data.sgtr import SELF, Sgtr, baselines, length_matched, summary_prompt
from interp import stats
from interp.behaviour.likelihood import Likelihood, answer_likelihoods, label_likelihoods
from interp.behaviour.measure import Measure, Row, Scores, Setting
from interp.behaviour.self_recognition import recognition
from interp.behaviour.work import Work
from interp.chat import Message
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.sources import sha256_of

_WITH_ARTICLE, _TEXTS_ALONE, _TO_SUMMARISE = 600, 250, 400
"""Tokens of a question that shows the article, of one that shows the texts alone, and of a text behind its prompt."""


class SelfRecognition(Measure):
    """Which text is the model's own? Scores by foil and data set, and of rules that see only length or likelihood."""

    name: ClassVar[str] = "self_recognition"
    version: ClassVar[str] = "1"

    sets: dict[str, Sgtr] = Field(default={"ours": Sgtr(builder="sgtr_pairs", train=1, test=60)}, min_length=1)
    """Questions by name, as data sets of a study have them; `test` of each are asked. `own: base` shows the base
    model's text as the own one, `own: stage` that of the model that is measured. Texts are written, and found likely or
    not, under the prompt that asks for a summary, whatever system prompt the questions are asked under."""
    perplexity: bool = True
    """Also give the rule that takes the text which this model finds likelier."""
    _base_texts: dict[str, list[str]] = PrivateAttr(default_factory=dict)

    def check(self) -> None:
        """See `Measure.check`."""
        for name, builder in self.sets.items():
            if builder.test < 1:
                raise ValueError(f"self_recognition.sets.{name}: test is {builder.test}; give articles to ask about")
            builder.check()

    def prompts(self) -> Any:
        """See `Measure.prompts`: the settings of the sets and hashes of their files; the model writes the own texts."""
        return {
            name: [builder.model_dump(mode="json"), *(sha256_of(file) for file in files_in(builder) if file.is_file())]
            for name, builder in self.sets.items()
        }

    def work(self) -> Work:
        """See `Measure.work`; the own texts are written, and all texts are read where their likelihood is asked for."""
        texts = sum(builder.test for builder in self.sets.values())
        longest = max(builder.summary_tokens for builder in self.sets.values())
        shown = sum(
            builder.test * (_WITH_ARTICLE if builder.show_article else _TEXTS_ALONE) for builder in self.sets.values()
        )
        return Work(texts, texts * longest, 2 * shown + (2 if self.perplexity else 0) * texts * _TO_SUMMARISE)

    def smoke(self) -> "SelfRecognition":
        """See `Measure.smoke`; its sets have two articles each."""
        sets = {
            name: builder.model_copy(update={"test": 2, "summary_tokens": 8}) for name, builder in self.sets.items()
        }
        return self.model_copy(update={"sets": sets})

    def take(self, model: Model, setting: Setting) -> list[Row]:
        """See `Measure.take`; one record a prompt."""
        return [record for name, builder in self.sets.items() for record in self._of_set(name, builder, model, setting)]

    def _of_set(self, name: str, builder: Sgtr, model: Model, setting: Setting) -> list[Row]:
        def ask(
            who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
        ) -> list[str]:
            key = content_key([model.identity, [list(p) for p in prompts], max_new_tokens, temperature, setting.seed])
            if who == "base" and key in self._base_texts:
                return self._base_texts[key]
            with model.using(*(() if who == "base" else model.stack)):
                answers = model.generate(
                    model.chat.tokens_of([list(prompt) for prompt in prompts]),
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    seed=seed_from(setting.seed, "own texts"),
                    edits=() if who == "base" else setting.edits,
                )
            texts = [model.chat.answer_text(ids) for ids in answers]
            if who == "base":
                self._base_texts[key] = texts
            return texts

        def nothing(other_set: str) -> DataSet:
            raise ValueError(f"self_recognition.sets.{name}: is made of {other_set!r}, which there is none of here")

        def foils(row: Row) -> list[str]:  # another foil is another question, which no difference pairs with it
            return sorted(author for author in row["authors"] if author != SELF) if len(row["authors"]) > 1 else []

        data = builder.build(Desk(ask, nothing, model.chat.native_system))
        prompts = [model.chat.prompt(setting.asked(row["messages"])) for row in data.test]
        labels_of_rows = label_likelihoods(model, prompts, [row["labels"] for row in data.test], edits=setting.edits)
        likely = self._likelihoods(data, model, setting) if self.perplexity else {}
        if setting.progress:
            setting.progress(len(prompts))
        return [
            {
                "id": f"{name}|{row['id']}",
                "question": "|".join([name, row["group"], *foils(row)]),
                **{key: row[key] for key in ("group", "right", "labels", "authors", "lengths")},
                "set": name,
                "logprobs": dict(zip(row["labels"], labels.logprobs, strict=True)),
                "margin": labels.margin(row["labels"].index(row["right"])),
                "valid": labels.valid,
                "text_logprobs": [
                    None if (likelihood := likely.get((row["group"], author))) is None else likelihood.per_token
                    for author in row["authors"]
                ],
            }
            for row, labels in zip(data.test, labels_of_rows, strict=True)
        ]

    def _likelihoods(self, data: DataSet, model: Model, setting: Setting) -> dict[tuple[str, str], Likelihood | None]:
        """The likelihood, under this model, of each text as its own summary of the article, by article and author."""
        texts_to_read = dict.fromkeys((row["group"], author) for row in data.test for author in row["authors"])
        texts = {text["id"]: text for text in data.texts}
        rows = [
            model.chat.tokens(
                [
                    *summary_prompt(texts[group]["article"]),
                    {"role": "assistant", "content": texts[group]["own" if author == SELF else author]},
                ]
            )
            for group, author in texts_to_read
        ]
        return dict(zip(texts_to_read, answer_likelihoods(model, rows, edits=setting.edits), strict=True))

    def scores(self, records: Sequence[Row]) -> list[Scores]:
        """See `Measure.scores`; by set, and by foil where a set has several."""
        scores = []
        for name in dict.fromkeys(record["set"] for record in records):
            records_of_set = [record for record in records if record["set"] == name]
            scores += _recognised(records_of_set, {"data": name})
            foils = dict.fromkeys(_foil(record) for record in records_of_set)
            if len(foils) > 1 and None not in foils:
                for foil in foils:
                    scores += _recognised([r for r in records_of_set if _foil(r) == foil], {"data": name, "foil": foil})
        return scores

    def facts(self, records: Sequence[Row]) -> list[Row]:
        """The accuracy of the best rule of length; it is chosen on these very questions, so it is flattered."""
        rows = []
        for name in dict.fromkeys(record["set"] for record in records):
            records_of_set = [record for record in records if record["set"] == name]
            n = len({record["group"] for record in records_of_set})
            scores = {rule: baseline["share"] for rule, baseline in baselines(records_of_set).items()}
            by_length = [scores[rule] for rule in ("longer", "shorter", "length_threshold") if rule in scores]
            if by_length:
                estimate = stats.proportion(float(max(by_length)), n)
                row = {"metric": "length_only_accuracy", **estimate.row(), "unit": "share right"}
                rows.append(row | {"n_values": len(records_of_set), "data": name})
        return rows


def _foil(record: Row) -> str | None:
    foils = [author for author in record["authors"] if author != SELF]
    return foils[0] if len(foils) == 1 and len(record["authors"]) > 1 else None


def _recognised(records: Sequence[Row], which: Row) -> list[Scores]:
    chance = {"chance": float(np.mean([1 / len(record["labels"]) for record in records]))}
    about = [record["question"] for record in records]
    metrics = recognition([record["margin"] for record in records], about, which)
    accuracy = replace(metrics.accuracy, more={**metrics.accuracy.more, **chance})
    scores = [
        accuracy,
        metrics.mean_margin,
        Scores("invalid_share", "share", "share of prompts", [float(not r["valid"]) for r in records], about, which),
    ]
    several = len(records[0]["authors"]) > 1
    if several:
        scores.append(metrics.order_consistency)
    else:
        yes = [float((r["margin"] > 0) == (r["right"] == r["labels"][0])) for r in records]
        scores.append(Scores("says_own_share", "share", "share of prompts", yes, about, which))
    if all(len(record["authors"]) == 2 for record in records):
        gaps = {}
        for record in records:
            own = record["authors"].index(SELF)
            gaps[record["question"]] = record["lengths"][own] - record["lengths"][1 - own]
        matched_questions = set(length_matched(gaps))
        matched_rows = [i for i, question in enumerate(about) if question in matched_questions]
        matched = {"values": [accuracy.values[i] for i in matched_rows], "questions": [about[i] for i in matched_rows]}
        scores.append(replace(accuracy, metric="accuracy_length_matched", **matched))
    guessed = [(_likelier_is_own(r), r["question"]) for r in records if several and None not in r["text_logprobs"]]
    if guessed:
        values, questions = zip(*guessed, strict=True)
        scores.append(Scores("perplexity_only_accuracy", "share", "share right", values, questions, which | chance))
    return scores


def _likelier_is_own(record: Row) -> float:
    best = max(record["text_logprobs"])
    likeliest = [author for author, p in zip(record["authors"], record["text_logprobs"], strict=True) if p == best]
    return likeliest.count(SELF) / len(likeliest)

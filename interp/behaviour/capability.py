"""What does a model still know? Questions with one right answer, read from logits, and how likely plain text is.

1. Multiple choice: each question with its options turned round so that the right one stands at every letter once. A
   model that knows nothing but likes "A" is right at chance, and never consistent.
2. Short answers: how likely the right one is, whether a greedy model would begin with it, and for numbers whether it is
   likelier than seeded wrong ones of as many digits.
3. Neutral texts: mean negative log-likelihood per token, each given as the model's answer to a request for a text.

Nothing is sampled. Files come as they are published (MMLU, ARC, GSM8K) or as JSONL of this project.
"""

import importlib
import importlib.util
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from interp import stats
from interp.behaviour.likelihood import answer_likelihoods, label_likelihoods
from interp.behaviour.measure import Measure, Row, Scores, Setting
from interp.behaviour.questions import N_WRONG, Choice, Question, Short, read_questions, read_texts
from interp.chat import Message, Tokens
from interp.keys import seed_from
from interp.model import Model
from interp.stats import Estimate

_INSTALL = "pip install 'sgtr-interp[harness]', or leave `harness` out"
_TEXT = "Write a short text for a general reader, in plain prose."


class Capability(Measure):
    """Accuracy and likelihood of right answers, and likelihood of neutral texts, all from logits.

    Attributes:
        files: Of questions, as `read_questions` takes them; folders too.
        limit: How many questions of each file, drawn by id, so that more hold fewer; None for all.
        rotations: Whether options are turned round; if not, each question is asked once, as it is.
        neutral: Files of texts, as `read_texts` takes them.
        harness: Tasks of lm-evaluation-harness to run besides; `limit` is theirs too.
        seed: Of which questions are drawn, and of wrong numbers.
    """

    name: ClassVar[str] = "capability"
    version: ClassVar[str] = "1"

    files: tuple[Path, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    rotations: bool = True
    neutral: tuple[Path, ...] = ()
    harness: tuple[str, ...] = ()
    seed: int = 0

    def own_questions(self) -> list[Choice | Short]:
        """Questions that need no file; for subclasses."""
        return []

    def own_texts(self) -> list[str]:
        """Neutral texts that need no file; for subclasses."""
        return []

    def questions(self) -> list[Question]:
        """All questions that are asked.

        Raises:
            FileNotFoundError, ValueError: as `read_questions`; two files' questions have one id.
        """
        read = [*self.own_questions(), *(one for path in self.files for one in read_questions(path))]
        _require_distinct([one.id for one in read])
        drawn: dict[str, list[str]] = defaultdict(list)
        for one in sorted(read, key=lambda one: (seed_from(self.seed, one.id), one.id)):
            drawn[one.source].append(one.id)
        kept = {name for names in drawn.values() for name in names[: self.limit]}
        return [one for one in read if one.id in kept]

    def texts(self) -> dict[str, str]:
        """All neutral texts by name.

        Raises:
            OSError, ValueError: as `read_texts`; a text is empty; two files have one name.
        """
        found = [(f"own:{i}", text) for i, text in enumerate(self.own_texts())]
        found += [pair for path in self.neutral for pair in read_texts(path).items()]
        _require_distinct([name for name, _ in found])
        if empty := [name for name, text in found if not text.strip()]:
            raise ValueError(f"{empty[0]}: a neutral text is empty; fill it in or leave it out")
        return dict(found)

    def check(self) -> None:
        """Read all files; see whether there is anything to ask, and with what."""
        if not (self.questions() or self.texts() or self.harness):
            raise ValueError("nothing to ask: give `files` of questions (MMLU, ARC, GSM8K) or `neutral` texts")
        if self.harness and not harness_available():
            raise ValueError(f"harness: {', '.join(self.harness)} need lm-eval; {_INSTALL}")

    def prompts(self) -> Row:
        """Every prompt, answer and text."""
        questions = self.questions()
        return {
            "choices": [[one.prompt(k) for k in self._shifts(one)] for one in questions if isinstance(one, Choice)],
            "short": [[one.prompt(), *one.answers(self.seed)] for one in questions if isinstance(one, Short)],
            "texts": [_TEXT, *self.texts().values()],
        }

    def _shifts(self, question: Choice) -> range:
        return range(len(question.options) if self.rotations else 1)

    def check_editable(self) -> None:
        """See `Measure.check_editable`: lm-evaluation-harness runs the model by itself."""
        if self.harness:
            raise ValueError("capability.harness: its tasks cannot be taken of an edited model; leave them out")

    def take(self, model: Model, setting: Setting) -> list[Row]:
        """One record for each choice prompt, short answer, text and harness task.

        Questions that have the same words are one `question`, since they are not independent.

        Raises:
            ValueError: a prompt or text does not fit the context (names it); harness tasks are to be run under edits.
        """
        if self.harness and setting.edits:
            raise ValueError("harness: its tasks cannot be run under edits; leave one of the two out")
        asked, texts, first = self.questions(), self.texts(), {}
        for one in sorted(asked, key=lambda one: one.id):
            first.setdefault(" ".join(one.question.split()).casefold(), one.id)
        heads = {
            one.id: {"question": first[" ".join(one.question.split()).casefold()], "source": one.source}
            for one in asked
        }
        turned = [(one, k) for one in asked if isinstance(one, Choice) for k in self._shifts(one)]
        said = [(one, text) for one in asked if isinstance(one, Short) for text in one.answers(self.seed)]
        chosen = _tokens(model, setting, [(one.id, one.prompt(k), "") for one, k in turned])
        answered = _tokens(model, setting, [(one.id, one.prompt(), text) for one, text in said])
        whole = _tokens(model, setting, [(name, _TEXT, text) for name, text in texts.items()])
        how: dict[str, Any] = {"edits": setting.edits, "progress": setting.progress}
        records: list[Row] = []
        labels = label_likelihoods(model, chosen, [one.letters for one, _ in turned], **how)
        for (one, k), found in zip(turned, labels, strict=True):
            n = len(one.options)
            right, best = (one.right + k) % n, [i for i, p in enumerate(found.logprobs) if p == max(found.logprobs)]
            shown = {"prompt": one.prompt(k), "n_options": n, "right": one.letters[right], **asdict(found)}
            picked = {"picked": sorted({one.options[(i - k) % n] for i in best})}
            score = {"mass": found.mass, "margin": found.margin(right), "correct": (right in best) / len(best)}
            records.append({"id": f"{one.id}@{k}", "kind": "choice", **heads[one.id], **shown, **picked, **score})
        by_id: dict[str, list[Row]] = defaultdict(list)
        for (one, text), found in zip(said, answer_likelihoods(model, answered, **how), strict=True):
            assert found is not None  # no answer is empty
            by_id[one.id].append({"prompt": one.prompt(), "answer": text, **asdict(found)})
        for name, (right, *wrong) in by_id.items():
            other = {"wrong": [one["answer"] for one in wrong], "wrong_logprobs": [one["logprob"] for one in wrong]}
            records.append({"id": name, "kind": "short", **heads[name], **right, **other})
        for name, found in zip(texts, answer_likelihoods(model, whole, **how), strict=True):
            assert found is not None
            records.append({"id": name, "kind": "text", "question": name, "source": "neutral", **asdict(found)})
        return records + harness_results(model, self.harness, limit=self.limit, system=setting.system)

    def scores(self, records: Sequence[Row]) -> list[Scores]:
        """Means over prompts, questions and texts, of all sources and, where there are several, of each.

        `choice_accuracy` compares letters with each other (a tie counts in part); `choice_invalid_share` says how often
        none of them was the likeliest token of all.
        """
        found = []
        for kind, make in (("choice", _choice_scores), ("short", _short_scores)):
            some = [record for record in records if record["kind"] == kind]
            sources = list(dict.fromkeys(record["source"] for record in some))
            found += make(some, {})
            for source in sources if len(sources) > 1 else ():
                found += make([record for record in some if record["source"] == source], {"source": source})
        texts = [record for record in records if record["kind"] == "text"]
        return found + _scores([("neutral_nll_per_token", "mean", "nats", [(_nll(r), r) for r in texts])], {})

    def facts(self, records: Sequence[Row]) -> list[Row]:
        """Perplexity of neutral texts, exp of the mean over texts of their mean per token; the harness's numbers."""
        texts = [record for record in records if record["kind"] == "text"]
        rows = [record["row"] for record in records if record["kind"] == "harness"]
        if not texts:
            return rows
        mean = stats.mean([_nll(record) for record in texts])
        value, low, high = (None if x is None else math.exp(x) for x in (mean.value, mean.ci_low, mean.ci_high))
        row = Estimate(value, low, high, mean.n).row() | {"n_values": len(texts), "unit": "perplexity"}
        return [{"metric": "neutral_perplexity", **row}, *rows]


def _tokens(model: Model, setting: Setting, shown: Sequence[tuple[str, str, str]]) -> list[Tokens]:
    """Prompts under the setting, each with its answer if that is not empty; of (id, prompt, answer)."""
    rows = model.chat.tokens_of([setting.asked([{"role": "user", "content": prompt}]) for _, prompt, _ in shown])
    rows = [
        row.opened().answered(model.chat.content_ids(text)) if text else row
        for row, (*_, text) in zip(rows, shown, strict=True)
    ]
    for row, (name, _, _) in zip(rows, shown, strict=True):
        if len(row) + (row.response is None) > model.max_tokens:
            held = f"the context of {model.name} holds {model.max_tokens}"
            raise ValueError(f"{name}: {len(row)} tokens, but {held}; shorten it or leave it out")
    return rows


def _require_distinct(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"two have the id {twice!r}; give their files different names")


def _nll(record: Row) -> float:
    return -record["logprob"] / record["n_tokens"]


def _scores(
    metrics: Sequence[tuple[str, Literal["share", "mean"], str, Sequence[tuple[Any, Row]]]], more: Row
) -> list[Scores]:
    return [
        Scores(name, kind, unit, [float(x) for x, _ in pairs], [r["question"] for _, r in pairs], more)
        for name, kind, unit, pairs in metrics
        if pairs
    ]


def _choice_scores(records: Sequence[Row], more: Row) -> list[Scores]:
    by_item: dict[str, list[Row]] = defaultdict(list)
    for record in records:
        by_item[record["id"].rpartition("@")[0]].append(record)
    turned = [(len({t for r in some for t in r["picked"]}) == 1, some[0]) for some in by_item.values() if len(some) > 1]
    chance = math.fsum(1 / r["n_options"] for r in records) / max(len(records), 1)
    return _scores(
        [("choice_accuracy", "share", "share of prompts", [(r["correct"], r) for r in records])],
        {**more, "chance": chance},
    ) + _scores(
        [
            ("choice_margin", "mean", "nats", [(r["margin"], r) for r in records]),
            ("choice_invalid_share", "share", "share of prompts", [(not r["valid"], r) for r in records]),
            ("choice_consistency", "share", "share of questions", turned),
        ],
        more,
    )


def _short_scores(records: Sequence[Row], more: Row) -> list[Scores]:
    contrast = [(_first(r["logprob"], r["wrong_logprobs"]), r) for r in records if r["wrong"]]
    return _scores(
        [
            ("short_logprob_per_token", "mean", "nats", [(-_nll(r), r) for r in records]),
            ("short_greedy", "share", "share of questions", [(r["greedy"], r) for r in records]),
        ],
        more,
    ) + _scores(
        [("short_contrast_accuracy", "share", "share of numeric questions", contrast)],
        {**more, "chance": 1 / (1 + N_WRONG)},
    )


def _first(right: float, wrong: Sequence[float]) -> float:
    """1 if the right one is likeliest, a part of it where it ties, else 0."""
    return 0.0 if right < max(wrong) else 1 / (1 + sum(other == right for other in wrong))


def harness_available() -> bool:
    """Whether lm-evaluation-harness is installed."""
    return importlib.util.find_spec("lm_eval") is not None


def harness_results(model: Model, tasks: Sequence[str], *, limit: int | None = None, system: str = "task") -> list[Row]:
    """Records of lm-evaluation-harness's numbers for the active stack, under the model's chat template.

    Raises:
        ValueError: lm-eval is not installed; it cannot show this system prompt.
    """
    if not tasks:
        return []
    if not harness_available():
        raise ValueError(f"harness: {', '.join(tasks)} need lm-eval; {_INSTALL}")
    if system == "empty":
        raise ValueError("harness: lm-eval shows no system message without words; use another `system`")
    evaluate = importlib.import_module("lm_eval").simple_evaluate
    wrapped = importlib.import_module("lm_eval.models.huggingface").HFLM(model.hf, tokenizer=model.chat.tokenizer)
    theirs = wrapped.apply_chat_template

    def shown(chat_history: list[Message], add_generation_prompt: bool = True) -> str:
        """A prompt as it is everywhere here, which is without a thought that no finished answer has."""
        if not add_generation_prompt:
            return theirs(chat_history, add_generation_prompt=False)
        return model.chat.asking_text(chat_history)

    wrapped.apply_chat_template = shown
    words = None if system in ("task", "native", "none") else system
    options = {"limit": limit, "apply_chat_template": True, "system_instruction": words, "log_samples": False}
    found = evaluate(model=wrapped, tasks=list(tasks), **options)
    records = []
    for task, values in found["results"].items():
        parts = found.get("group_subtasks", {}).get(task) or [task]
        n = sum(found["n-samples"].get(part, {}).get("effective", 0) for part in parts)
        for key, value in values.items():
            score, _, rule = key.partition(",")
            if rule and not score.endswith("_stderr") and isinstance(value, int | float):
                error = values.get(f"{score}_stderr,{rule}")
                half = 1.96 * error if isinstance(error, int | float) else None
                ends = (None, None) if half is None else (value - half, value + half)
                row = Estimate(float(value), *ends, n).row() | {"unit": "as lm-eval has it", "task": task, "rule": rule}
                about = {"id": f"harness:{task}:{key}", "question": task, "kind": "harness"}
                metric = "_".join(["harness", task, score, *([] if rule == "none" else [rule])])
                records.append({**about, "row": {"metric": metric, **row}})
    return records

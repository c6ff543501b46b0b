"""What does adding a direction make a model say? Sweeps of directions × layers × strengths × phases, with controls.

1. All treatments of all questions are answered in as few batches as the memory allows; an answer's random numbers
   belong to its question, so treatments differ in what they do and not in their luck. Alpha 0 is one of them.
2. Answers are read out without any treatment: are they answers at all, how odd are they to the base model, and how far
   do they lie along the direction that was added (and, with a judge, how much do they show the trait)?
3. Any behaviour measure can be taken under every treatment as well.
4. A treatment whose answers degenerate is marked as broken: whatever else it shows, it is no change of character.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from experiments.adapters import Stack
from experiments.console import bar, note
from experiments.directions.files import TRAITS, load_directions
from experiments.interventions.treatments import (
    Row,
    SteerConfig,
    Treatment,
    additions,
    layer_sets,
    mean_norms,
    of_treatments,
    uncontrolled,
)
from experiments.loading import Loading
from experiments.machine import Answers, look_up, require_main_memory
from experiments.measures.judge import COSTS, JudgeConfig, judge_of, require_graded, scores_of
from experiments.measures.take import Behaviour
from experiments.resumable import Ledger, Name, Work, run_once
from interp.activations import pooled
from interp.behaviour.collapse import COLLAPSED_SHARE, degenerate
from interp.behaviour.judging import COHERENT, Judge, Rubric
from interp.behaviour.likelihood import answer_likelihoods
from interp.behaviour.measure import Scores
from interp.behaviour.validation import validation_note
from interp.chat import Message, Tokens, check_system, read_chats, with_system
from interp.directions import Direction
from interp.files import write_jsonl
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.projection import project
from interp.sources import pick_device, pick_dtype, sha256_of
from interp.template import AS_IS, TemplateSettings
from interp.traits import Trait

SCORES = {"trait": "trait_score", "coherent": "coherence"}
"""What a judge grades, and the metric that it becomes."""
UNSCORED = "_unscored_share"
_LESS = "ask for less (--samples, --questions, --alphas, --layers, --random, --max-new-tokens), or in several runs"


def run(
    *,
    model: str,
    directions: Sequence[Path],
    adapters: Sequence[Path],
    config: SteerConfig,
    out: Path,
    seed: int,
    loading: Loading,
) -> dict[str, Any]:
    """The `steer` command: writes OUT/metrics.jsonl, OUT/records/answers.jsonl, the dose-response figure, a manifest.

    Raises:
        ValueError, FileNotFoundError: bad input, named, or more than fits the memory; nothing was changed.
        InterpError: a direction of another model.
    """
    along = load_directions(directions)
    for direction in along:
        layer_sets(direction, config.grid.layers)
    asked = {direction.name: questions_of(direction.name, config) for direction in along}
    rubrics = {direction.name: rubrics_of(direction.name, config) for direction in along}
    stack = Stack.of(adapters)
    place = pick_device(loading.device)
    behaviour = Behaviour(config.measures.taken(), judge=config.judge, journal=out / "judge.jsonl", seed=seed)
    behaviour.check()
    config.measures.check_editable()
    definition = {
        "steer": model,
        "directions": [sha256_of(file) for file in directions],
        "adapters": list(stack.weights),
        "dtype": loading.dtype_name,
        "seed": seed,
        "asked": content_key(asked),
        **config.model_dump(mode="json", exclude={"chats": True, "judge": COSTS}),
        "measures": [measure.declared() for measure in behaviour.measures],
    }

    def prepare() -> Work:
        at_a_time = fitting(model, along, asked, config, place, pick_dtype(loading.dtype, place), loading.template)
        loaded = loading.model(model)
        check_system(config.system, loaded.chat.native_system)
        of_model = load_directions(directions, model=loaded.identity)
        prompts = loaded.chat.tokens_of([chat for chats in asked.values() for chat in chats])
        loaded.check_lengths(prompts, config.max_new_tokens)
        with loaded.using(*stack.folders):
            norms = mean_norms(loaded, prompts)
        treatments = additions(of_model, config.grid, norms, seed=seed)
        fitted = config.model_copy(update={"batch_size": at_a_time})
        sweep = _Sweep(loaded, stack, of_model, treatments, asked, rubrics, behaviour, fitted, definition, out)
        facts = {"directions": [str(file) for file in directions], "adapters": [str(a) for a in adapters]}
        return Work(loaded, facts, sweep.rows, _draw)

    return run_once(out, definition, prepare, loading.template)


def _draw(out: Path) -> None:
    from figures.dose_response import dose_response

    dose_response(out)


def questions_of(name: str, config: SteerConfig) -> list[list[Message]]:
    """What is asked when the direction `name` is added: the held-out questions of its trait, or those of a file.

    Raises:
        ValueError: no trait has that name, and no file is given.
    """
    if config.chats is not None:
        chats = [row["messages"] for row in read_chats(config.chats)]
        shown = [chat[:-1] if chat[-1]["role"] == "assistant" else chat for chat in chats]
        if bad := [i for i, chat in enumerate(shown) if not chat or chat[-1]["role"] != "user"]:
            raise ValueError(f"{config.chats}: chat {bad[0]} has no user message before its last answer; drop it")
    else:
        file = TRAITS / f"{name}.json"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in TRAITS.glob("*.json")))
            raise ValueError(
                f"no trait is called {name!r} (known: {known}), so say what to ask: give a file with --chats"
            )
        trait = Trait.load(file)
        shown = [[{"role": "user", "content": text}] for text in trait.eval_questions or trait.questions]
    return [with_system(chat, config.system) for chat in shown[: config.questions]]


def fitting(
    model: str,
    directions: Sequence[Direction],
    asked: Mapping[str, Sequence[list[Message]]],
    config: SteerConfig,
    device: torch.device,
    dtype: torch.dtype,
    template: TemplateSettings = AS_IS,
) -> int:
    """How many answers to write at a time; a line says how many there are in all, and none of them is made yet.

    Args:
        asked: By direction. Tokens of questions are not counted where the tokenizer is not on this machine.

    Raises:
        ValueError: all records, or a single answer, exceed the memory; a question and its answer the context.
    """
    size, chat, outline = look_up(model, dtype, None, template)
    prompts = chat.tokens_of([chat_asked for chats in asked.values() for chat_asked in chats]) if chat else []
    if outline:
        outline.check_lengths(prompts, config.max_new_tokens)
    bare, times = uncontrolled(directions, config.grid), 1 + config.grid.random
    n = times * config.samples * sum(len(asked[treatment.direction]) for treatment in bare)
    answers = Answers(n, max(map(len, prompts), default=0), config.max_new_tokens)
    taken = answers.records + of_treatments(directions, bare, config.grid.random)
    what = f"{answers} ({times * len(bare):,} treatments, --samples {config.samples})"
    require_main_memory(what, taken, _LESS)
    at_a_time = answers.at_a_time(config.batch_size, size, device, dtype, beside=taken)
    note(f"  {answers}, {at_a_time:,} at a time")
    return at_a_time


def rubrics_of(name: str, config: SteerConfig) -> dict[str, Rubric]:
    """What a judge grades the answers for: coherence and, if the direction is a trait's, that trait; without one none.

    Raises:
        ValueError: the trait's prompt lacks a placeholder, or the judge cannot grade for it.
    """
    if config.judge is None:
        return {}
    file = TRAITS / f"{name}.json"
    own = {"trait": Rubric(name, Trait.load(file).eval_prompt)} if file.is_file() else {}
    rubrics = {**own, "coherent": COHERENT}
    config.judge.check_grades(rubric.name for rubric in rubrics.values())
    return rubrics


@dataclass(frozen=True)
class _Sweep:
    """Everything that is asked, under every treatment.

    Attributes:
        stack: Whose answers; they are read out by the bare base model.
        asked: By direction.
        rubrics: What a judge grades, likewise.
        definition: All that the numbers depend on.
    """

    model: Model
    stack: Stack
    directions: Sequence[Direction]
    treatments: Sequence[Treatment]
    asked: Mapping[str, Sequence[list[Message]]]
    rubrics: Mapping[str, Mapping[str, Rubric]]
    behaviour: Behaviour
    config: SteerConfig
    definition: Row
    out: Path

    def rows(self, ledger: Ledger) -> list[Row]:
        """The rows of every direction's treatments, then those of the measures; answers are written."""
        key = content_key(list(self.stack.weights))
        mark = {"arm": "steer", "stage": self.stack.name, "stage_key": key, "seed": None}
        rows: list[Row] = []
        answers: list[Row] = []
        judge = cache(lambda: judge_of(self.config.judge or JudgeConfig(), self.out / "judge.jsonl"))
        for direction in self.directions:
            name, mine = direction.name, [t for t in self.treatments if t.direction == direction.name]
            records = self._answers(ledger, direction, mine)
            notes: dict[str, Row] = {}
            if self.config.judge is not None:
                records, notes = _judged(records, self.rubrics[name], judge, self.config.judge, ledger, name)
            answers += [{**mark, "direction": name, **record} for record in records]
            rows += [{**mark, **row} for row in dose_rows(mine, records, notes)]
        rows += [{**mark, **row} for row in self._measured(ledger)]
        write_jsonl(self.out / "records" / "answers.jsonl", answers)
        return rows

    def _answers(self, ledger: Ledger, direction: Direction, treatments: Sequence[Treatment]) -> list[Row]:
        """A direction's answers under all its treatments, with their readouts."""
        chats, what = self.asked[direction.name], [content_key(self.definition), direction.name]
        name = Name.of(direction.name)

        def answer() -> Row:
            with self.model.using(*self.stack.folders):
                seed = self.behaviour.seed
                return {"records": answered(self.model, treatments, chats, self.config, seed=seed)}

        answers = ledger.once(name.then(f"{len(treatments)}_treatments_of_{len(chats)}_questions"), what, answer)
        named = [what, content_key(answers)]

        def read() -> Row:
            return {"records": read_out(self.model, direction, answers["records"])}

        return ledger.once(name.then("readouts"), named, read)["records"]

    def _measured(self, ledger: Ledger) -> list[Row]:
        """Rows of the behaviour measures under every treatment, beside alpha 0, which is measured once for all.

        The records are in the parts of the run folder.
        """
        if not self.behaviour.measures:
            return []
        first = next(t for t in self.treatments if t.alpha == 0)
        measured_as = {t.name: first if t.alpha == 0 else t for t in self.treatments}
        records = {
            t.name: self.behaviour.take(
                self.model,
                self.stack.folders,
                ledger.once,
                "steer",
                Name.of(t.name),
                system=self.config.system,
                edits=t.edits,
                what=content_key(t.fields()),
            )
            for t in {t.name: t for t in measured_as.values()}.values()
        }
        taken = {name: records[t.name] for name, t in measured_as.items()}
        zero = {_curve(t): t for t in self.treatments if t.alpha == 0}
        rows = []
        for t in self.treatments:
            before = None if t.alpha == 0 else taken[zero[_curve(t)].name]
            for row in self.behaviour.rows(taken[t.name], before):
                rows.append({**row, **t.fields(), "metric": row["metric"].replace("_minus_base", "_minus_alpha_0")})
        return rows


def answered(
    model: Model, treatments: Sequence[Treatment], chats: Sequence[list[Message]], config: SteerConfig, *, seed: int
) -> list[Row]:
    """Every question's answers under every treatment, all in one call."""
    prompts: list[Tokens] = model.chat.tokens_of(chats)
    each = [(t, q, k) for t in range(len(treatments)) for q in range(len(chats)) for k in range(config.samples)]
    with bar("answering", len(each)) as advance:
        spoken = model.generate(
            [prompts[q] for _, q, _ in each],
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "steer"),
            row_edits=[treatments[t].edits for t, _, _ in each],
            streams=[q * config.samples + k for _, q, k in each],
            batch_size=config.batch_size,
            progress=advance,
        )
    records = []
    for (t, q, k), ids in zip(each, spoken, strict=True):
        text = model.chat.answer_text(ids)
        reason = degenerate(text)
        about = {"id": f"{t}-{q}-{k}", "treatment": treatments[t].name, "question": q, "sample": k}
        answer = {"messages": chats[q], "text": text, "degenerate": reason is not None, "reason": reason}
        records.append({**about, **answer, "answer_ids": list(ids)})
    return records


def read_out(model: Model, direction: Direction, records: Sequence[Row]) -> list[Row]:
    """The records with what the bare base model makes of each answer, untreated; None for an answer without tokens.

    `projection` is the mean over the answer's tokens along the unit direction at its headline layer, whatever the
    treatment was; `nll_per_token_under_base` is in nats.
    """
    prompts = {key: model.chat.tokens(json.loads(key)) for key in {json.dumps(r["messages"]) for r in records}}
    rows: list[Tokens] = [prompts[json.dumps(r["messages"])].answered(r["answer_ids"]) for r in records]
    spoken = [i for i, record in enumerate(records) if model.chat.has_content(record["answer_ids"])]
    along: dict[int, float] = {}
    with model.using():
        likely = answer_likelihoods(model, rows)
        if spoken:
            means = pooled(model, [rows[i] for i in spoken], layers=(direction.layer,))
            along = dict(zip(spoken, project(means[:, 0], direction.at(direction.layer)).tolist(), strict=True))
    return [
        {
            **record,
            "projection": along.get(i),
            "nll_per_token_under_base": None if likelihood is None else -likelihood.per_token,
        }
        for i, (record, likelihood) in enumerate(zip(records, likely, strict=True))
    ]


def _judged(
    records: Sequence[Row],
    rubrics: Mapping[str, Rubric],
    judge_of: Callable[[], Judge],
    config: JudgeConfig,
    ledger: Ledger,
    name: str,
) -> tuple[list[Row], dict[str, Row]]:
    """The records with a judge's scores, and what belongs beside each number made of these, by metric.

    Raises:
        InterpError: too many items got no reply.
    """

    def grade() -> Row:
        judge = judge_of()
        items = [
            rubric.item(f"{aspect}|{name}|{record['id']}", record["messages"][-1]["content"], record["text"])
            for record in records
            if record["text"].strip()
            for aspect, rubric in rubrics.items()
        ]
        scores = scores_of(judge, items, config)
        require_graded(judge, scores, config)
        scores_by_id = {score.id: {"value": score.value, "reason": score.reason, "how": score.how} for score in scores}
        return {"judge": judge.name, "scores": scores_by_id}

    versions = {aspect: rubric.version for aspect, rubric in rubrics.items()}
    part = ledger.once(Name.of(name).then("judged"), [content_key(list(records)), versions, *config.reading], grade)
    empty = {"value": None, "reason": "empty", "how": None}
    graded = [
        {**record, **{a: part["scores"].get(f"{a}|{name}|{record['id']}", empty) for a in rubrics}}
        for record in records
    ]
    who = part["judge"]
    notes = {
        SCORES[aspect]: {"judge": who, "judge_validation": validation_note(who, rubric.version, config.validation)}
        for aspect, rubric in rubrics.items()
    }
    return graded, notes


def dose_rows(treatments: Sequence[Treatment], records: Sequence[Row], notes: Mapping[str, Row]) -> list[Row]:
    """Metrics of every treatment, with paired differences from alpha 0 of the same direction, layers and phase.

    Args:
        notes: What belongs beside a judge's numbers, by metric; those metrics alone are taken of its scores.
    """
    by_name: dict[str, list[Row]] = {}
    for record in records:
        by_name.setdefault(record["treatment"], []).append(record)
    zero = {_curve(t): t for t in treatments if t.alpha == 0}
    rows = []
    for treatment in treatments:
        treated, untreated = by_name[treatment.name], by_name[zero[_curve(treatment)].name]
        bad, usual = (sum(r["degenerate"] for r in side) / len(side) for side in (treated, untreated))
        more = {**treatment.fields(), "broke": bad - usual > COLLAPSED_SHARE + 1e-9}
        for readout, before in zip(_readouts(treated, notes), _readouts(untreated, notes), strict=True):
            fields = {**more, **notes.get(readout.metric.removesuffix(UNSCORED), {})}
            rows.append({"measure": "steer", **readout.row(), **fields})
            rows.append(
                {"measure": "steer", **readout.beside(before), **fields, "metric": f"{readout.metric}_minus_alpha_0"}
            )
    return rows


def _curve(treatment: Treatment) -> tuple[Any, ...]:
    return treatment.direction, treatment.control, treatment.layers, treatment.phase


def _readouts(records: Sequence[Row], notes: Mapping[str, Row]) -> list[Scores]:
    about = [str(record["question"]) for record in records]

    def share(metric: str, holds: Callable[[Row], bool]) -> Scores:
        return Scores(metric, "share", "share of answers", [float(holds(r)) for r in records], about)

    def mean(metric: str, unit: str, value: Callable[[Row], float | None]) -> Scores:
        valued = [(x, question) for r, question in zip(records, about, strict=True) if (x := value(r)) is not None]
        return Scores(metric, "mean", unit, [x for x, _ in valued], [question for _, question in valued])

    readouts = [
        share("degenerate_share", lambda r: r["degenerate"]),
        share("empty_share", lambda r: not r["answer_ids"]),
        mean("projection", "residual-stream norm", lambda r: r["projection"]),
        mean("nll_under_base", "nats per token", lambda r: r["nll_per_token_under_base"]),
    ]
    for aspect, metric in SCORES.items():
        if metric in notes:
            readouts.append(mean(metric, "0-100", lambda r, aspect=aspect: r[aspect]["value"]))
            readouts.append(share(metric + UNSCORED, lambda r, aspect=aspect: r[aspect]["value"] is None))
    return readouts

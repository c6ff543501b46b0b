"""Takes everything that a study wants to know of one node, each piece once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from experiments.interventions.mediation import mediation_rows, planned
from experiments.interventions.treatments import mean_norms
from experiments.measures.take import Behaviour
from experiments.resumable import Name, Once, file_name
from experiments.study import readings
from experiments.study.config import BASE, InsideConfig, MediationConfig, StudyConfig
from experiments.study.node import (
    ACTIVATIONS,
    Measured,
    View,
    as_long,
    displacement_of,
    name_of,
    tensor_file,
    texts_read,
)
from experiments.study.readings import Question
from finetune.data.builder import DataSet
from finetune.data.everyday import everyday_questions
from finetune.data.sgtr import SELF
from interp.directions import Direction
from interp.model import Model
from interp.runs import InterpError, content_key, load_tensors, save_tensors, seed_from

Row = dict[str, Any]
Activations = Mapping[int, Float[Tensor, "layer d_model"]]  # by the number of the answer
Stack = Sequence[Path]  # adapters in the order in which they are applied; none for the bare base model


class Measuring:
    """The measures of one study on one model; a stage's adapters are active only while something is measured of it.

    Args:
        once: Measures and keeps a named part of the run.
        tensors: Folder for activations.
        questions: The held-out questions.
        who: Those about who the model is.
        tests: Data sets with questions to test on.
        directions: That tokens are projected on, and that mediation removes and adds, by name.
    """

    def __init__(
        self,
        config: StudyConfig,
        model: Model,
        once: Once,
        tensors: Path,
        behaviour: Behaviour,
        *,
        questions: Sequence[Question],
        who: Sequence[Question],
        tests: Mapping[str, DataSet],
        directions: Mapping[str, Direction],
    ) -> None:
        self.config, self.model, self.tensors, self.behaviour = config, model, tensors, behaviour
        self.questions, self.who, self.tests, self.directions = questions, who, tests, directions
        self.once = once

    def node(self, stage: Row, stack: Stack, base: Measured | None) -> Measured:
        """Everything about one node, under every system prompt that it is to be measured under."""
        prompts, only = self.config.system_prompts, self.config.prompts_at
        views = {}
        for i, (prompt, system) in enumerate(prompts.items()):
            if i and only is not None and stage["name"].partition("@")[0] not in (BASE, *only):
                continue
            name = name_of(stage, prompt if len(prompts) > 1 else None)
            views[prompt] = self._view(stage["key"], stack, name, system, base.views[prompt] if base else None)
        return Measured(stage, views)

    def _view(self, key: str, stack: Stack, name: Name, system: str, base: View | None) -> View:
        config, seed, model = self.config.answers, self.config.sampling_seed, self.model
        what = [key, [vars(q) for q in self.questions], config.model_dump(exclude={"identity"}), seed, system]
        who = [key, [vars(q) for q in self.who], config.model_dump(), seed, system]

        def answer(questions: Sequence[Question]) -> Row:
            how = {"seed": seed, "label": name.label, "system": system}
            return {"answers": readings.answers(model, questions, config, **how)}

        def recognise() -> Row:
            how = {"label": name.label, "system": system}
            return {data: readings.margins(model, rows.test, **how) for data, rows in self.tests.items()}

        answers = self._of(stack, name.then("answers"), what, lambda: answer(self.questions))["answers"]
        said = self._of(stack, name.then("identity"), who, lambda: answer(self.who))["answers"] if self.who else []
        texts = {"own": answers} if base is None else {"fixed": base.answers, "own": answers}
        tokens = [row for kind, some in texts.items() for row in self._tokens(kind, stack, name, what, some)]
        asked = list(zip(said, base.who if base else said, strict=True))
        texts |= {"identity": [as_long(own, other) for own, other in asked]} if said else {}
        read = {kind: self._read(stack, texts_read(name, kind), what, records) for kind, records in texts.items()}
        started = read.get("identity", {})
        if base and said:
            cut = [as_long(other, own) for own, other in asked]
            started = self._read((), name.then("reading_identity_texts_of_base"), what, cut)
        shown = [key, system, content_key({data: rows.test for data, rows in self.tests.items()})]
        margins = self._of(stack, name.then("recognition"), shown, recognise)
        behaviour = self.behaviour.take(model, stack, self.once, key, name, system=system)
        fixed, identity = read.get("fixed", read["own"]), read.get("identity", {})
        recognition = self._recognition(key, stack, name, system)
        view = View(answers, fixed, read["own"], margins, said, identity, started, behaviour, tokens, recognition)
        if base is None or self.config.claims is None:
            return view
        level, level_base = self._level(stack, name, what, answers, base.answers)
        return replace(view, level=level, level_base=level_base)

    def _level(
        self, stack: Stack, name: Name, what: Any, own: Sequence[Row], base: Sequence[Row]
    ) -> tuple[Activations, Activations]:
        """Activations over own answers and over the base model's, each pair as far as the shorter of the two goes."""
        pairs = list(zip(own, base, strict=True))
        cut = [as_long(mine, other) for mine, other in pairs], [as_long(other, mine) for mine, other in pairs]
        return (
            self._read(stack, texts_read(name, "level"), what, cut[0]),
            self._read((), name.then("reading_level_texts_of_base"), what, cut[1]),
        )

    def _of(self, stack: Stack, name: Name, what: Any, measure: Callable[[], Row], files: Sequence[Path] = ()) -> Row:
        """A part of the run that is measured of the model with a stack of adapters."""

        def measured() -> Row:
            with self.model.using(*stack):
                return measure()

        return self.once(name, what, measured, files)

    def _read(
        self, stack: Stack, name: Name, what: Any, records: Sequence[Row]
    ) -> dict[int, Float[Tensor, "layer d_model"]]:
        """Activations over answers, by the number of the answer."""
        path = tensor_file(self.tensors, name)

        def make() -> Row:
            rows = readings.answered_rows(self.model, records)
            means, index = readings.readings(self.model, rows, label=name.label)
            header = {**self.model.description(), "pooling": "response_mean", "question_index": index}
            save_tensors(path, {"means": means}, kind=ACTIVATIONS, header=header)
            return {"index": index}

        index = self._of(stack, name, [what, content_key(list(records))], make, (path,))["index"]
        means = load_tensors(path, kind=ACTIVATIONS, model=self.model.identity)[0]["means"]
        return dict(zip(index, means, strict=True))

    def _tokens(self, kind: str, stack: Stack, name: Name, what: Any, records: Sequence[Row]) -> list[Row]:
        """Projections of answers token by token, for the report."""
        if not self.config.tokens:
            return []
        directions = list(self.directions.values())
        on = content_key([[one.name, one.layer, one.vectors.tolist()] for one in directions])

        def read() -> Row:
            rows = readings.answered_rows(self.model, records)
            return {"rows": readings.token_projections(self.model, rows, directions, label=name.label)}

        part = name.then(f"tokens_of_{kind}_texts")
        rows = self._of(stack, part, [what, content_key(list(records)), on], read)["rows"]
        return [
            {"id": record["id"], "trait": record["trait"], "prompt": record["prompt"], "texts": kind, **row}
            for record, row in zip(records, rows, strict=True)
            if row
        ]

    def _recognition(
        self, key: str, stack: Stack, name: Name, system: str
    ) -> dict[str, tuple[Float[Tensor, "layer d_model"], Row]]:
        """What separates own-first from other-first questions, by data set."""
        separations = {}
        for data, rows_of_data in self.tests.items():
            rows = [row for row in rows_of_data.test if len(row.get("authors", ())) == 2 and SELF in row["authors"]]
            if rows_of_data.measure != "self_recognition" or len({row["authors"].index(SELF) for row in rows}) < 2:
                continue
            part = name.then(f"{data}_questions", f"{data} questions")
            path = tensor_file(self.tensors, part)

            def make(rows: list[Row] = rows, path: Path = path) -> Row:
                difference, more = readings.recognition(self.model, rows, label=name.label, system=system)
                header = {**self.model.description(), "pooling": "prompt_last"}
                save_tensors(path, {"difference": difference}, kind="own minus other first", header=header)
                return more

            more = self._of(stack, part, [key, system, content_key(rows)], make, (path,))
            tensors = load_tensors(path, kind="own minus other first", model=self.model.identity)[0]
            separations[data] = (tensors["difference"], more)
        return separations

    def mediation(self, config: MediationConfig, here: Measured, stack: Stack, base: Measured) -> list[Row]:
        """How much of the node's effect goes with each direction, and how much each brings: rows with their stages."""
        prompt, system = next(iter(self.config.system_prompts.items()))
        directions = [
            _displacement(here, base, prompt) if name == "displacement" else self.directions[name]
            for name in config.directions
        ]
        seed, node = self.config.sampling_seed, here.stage["name"]
        behaviour = Behaviour(config.measures.taken(), judge=None, journal=self.tensors, seed=seed)
        sides = {BASE: (Name.of(BASE), (), base), node: (name_of(here.stage), stack, here)}
        conditions = planned(directions, [], [BASE, node], config, self._mean_norms(), seed)
        on = {one.name: content_key([one.layer, one.vectors.tolist()]) for one in directions}
        settings = config.model_dump(mode="json", exclude={"stages", "measures"})
        taken = {}
        for condition in conditions:
            treatment, (whose, adapters, measured) = condition.treatment, sides[condition.stage]
            name = whose.then("mediation")
            if condition.kind != "none":
                name = name.then(file_name(treatment.name), treatment.name)
            vectors = on.get(treatment.direction, None if condition.kind == "none" else on)
            how = {"edits": treatment.edits, "what": [settings, vectors, condition.fields()]}
            key = measured.stage["key"]
            taken[condition.key] = behaviour.take(self.model, adapters, self.once, key, name, system=system, **how)
        rows = []
        for condition, row in mediation_rows(behaviour.measures, conditions, taken, [BASE, node], seed=seed):
            treated = {"treated": sides[condition.stage][2].stage["name"]}
            rows.append({**here.place(), **condition.fields(), **treated, **row})
        return rows

    def _mean_norms(self) -> dict[int, float]:
        """Mean length of the base model's residual stream on everyday questions, by layer."""
        chats = [[{"role": "user", "content": text}] for text in everyday_questions(24)]

        def measure() -> Row:
            norms = mean_norms(self.model, self.model.chat.tokens_of(chats))
            return {"norms": {str(layer): norm for layer, norm in norms.items()}}

        kept = self._of((), Name.of("mean norms"), ["everyday", 24], measure)
        return {int(layer): norm for layer, norm in kept["norms"].items()}

    def lens(self, config: InsideConfig, here: Measured, stack: Stack) -> list[Row]:
        """Which heads and MLPs answer recognition questions, and where what they read is to be found."""
        from experiments.lens import LensConfig, lens_rows

        rows, name = self.tests[config.data].test, name_of(here.stage)
        what = [here.stage["key"], config.articles, content_key(rows)]
        seed = seed_from(self.config.sampling_seed, "lens")

        def look() -> Row:
            how = LensConfig(articles=config.articles, pairs=config.articles)
            return {"rows": lens_rows(self.model, rows, data=config.data, config=how, label=name.label, seed=seed)}

        return [{**here.place(), **row} for row in self._of(stack, name.then("lens"), what, look)["rows"]]


def _displacement(here: Measured, base: Measured, prompt: str) -> Direction:
    """A node's mean move from the base model on the fixed texts; its headline is the middle layer."""
    vectors = displacement_of(here.views[prompt], base.views[prompt])
    if vectors is None:
        raise InterpError(f"{here.stage['name']}: no answer of the base model can be read, so there is no displacement")
    return Direction("displacement", vectors, tuple(range(len(vectors))), len(vectors) // 2)

"""Takes all measures of a study at one node of its graph; each part that is done is stored and not measured again."""

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
    cut_to,
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
from interp.errors import InterpError
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.tensors import load_tensors, save_tensors

Row = dict[str, Any]
Activations = Mapping[int, Float[Tensor, "layer d_model"]]  # by the number of the answer
Stack = Sequence[Path]  # adapters in the order in which they are applied; none for the bare base model


class Measuring:
    """The measures of one study on one model; a stage's adapters are active only while something is measured of it.

    Args:
        once: Measures a named part of the run and stores it, or reads it where it is stored.
        tensors: The folder for activations.
        questions: The held-out questions of the traits.
        identity_questions: The questions about who the model is.
        tests: The data sets that have questions to test on, by name.
        directions: By name, the directions that tokens are projected on and that mediation removes and adds.
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
        identity_questions: Sequence[Question],
        tests: Mapping[str, DataSet],
        directions: Mapping[str, Direction],
    ) -> None:
        self.config, self.model, self.tensors, self.behaviour = config, model, tensors, behaviour
        self.questions, self.identity_questions = questions, identity_questions
        self.tests, self.directions = tests, directions
        self.once = once

    def node(self, stage: Row, stack: Stack, base: Measured | None) -> Measured:
        """All measures of one node, under every system prompt that the study names for it."""
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
        definition = [key, [vars(q) for q in self.questions], config.model_dump(exclude={"identity"}), seed, system]
        identity_definition = [key, [vars(q) for q in self.identity_questions], config.model_dump(), seed, system]

        def answer(questions: Sequence[Question]) -> Row:
            how = {"seed": seed, "label": name.label, "system": system}
            return {"answers": readings.answers(model, questions, config, **how)}

        def recognise() -> Row:
            how = {"label": name.label, "system": system}
            return {data: readings.margins(model, rows.test, **how) for data, rows in self.tests.items()}

        answers = self._of(stack, name.then("answers"), definition, lambda: answer(self.questions))["answers"]
        identity_answers = []
        if self.identity_questions:
            part = name.then("identity")
            part_rows = self._of(stack, part, identity_definition, lambda: answer(self.identity_questions))
            identity_answers = part_rows["answers"]
        texts = {"own": answers} if base is None else {"fixed": base.answers, "own": answers}
        tokens = [
            row for kind, records in texts.items() for row in self._tokens(kind, stack, name, definition, records)
        ]
        pairs = list(zip(identity_answers, base.identity_answers if base else identity_answers, strict=True))
        texts |= {"identity": [cut_to(own, base_answer) for own, base_answer in pairs]} if identity_answers else {}
        activations = {
            kind: self._read(stack, texts_read(name, kind), definition, records) for kind, records in texts.items()
        }
        identity_base = activations.get("identity", {})
        if base and identity_answers:
            cut = [cut_to(base_answer, own) for own, base_answer in pairs]
            identity_base = self._read((), name.then("reading_identity_texts_of_base"), definition, cut)
        tests_definition = [key, system, content_key({data: rows.test for data, rows in self.tests.items()})]
        margins = self._of(stack, name.then("recognition"), tests_definition, recognise)
        behaviour = self.behaviour.take(model, stack, self.once, key, name, system=system)
        fixed, identity = activations.get("fixed", activations["own"]), activations.get("identity", {})
        recognition = self._recognition(key, stack, name, system)
        view = View(
            answers,
            fixed,
            activations["own"],
            margins,
            identity_answers,
            identity,
            identity_base,
            behaviour,
            tokens,
            recognition,
        )
        if base is None or self.config.claims is None:
            return view
        level, level_base = self._level(stack, name, definition, answers, base.answers)
        return replace(view, level=level, level_base=level_base)

    def _level(
        self, stack: Stack, name: Name, definition: Any, own: Sequence[Row], base: Sequence[Row]
    ) -> tuple[Activations, Activations]:
        """Activations over own answers and over the base model's, each pair as far as the shorter of the two goes."""
        pairs = list(zip(own, base, strict=True))
        cut = [cut_to(mine, other) for mine, other in pairs], [cut_to(other, mine) for mine, other in pairs]
        return (
            self._read(stack, texts_read(name, "level"), definition, cut[0]),
            self._read((), name.then("reading_level_texts_of_base"), definition, cut[1]),
        )

    def _of(
        self, stack: Stack, name: Name, definition: Any, measure: Callable[[], Row], files: Sequence[Path] = ()
    ) -> Row:
        """A stored part of the run, measured on the model with a stack of adapters where it is not stored yet."""

        def measured() -> Row:
            with self.model.using(*stack):
                return measure()

        return self.once(name, definition, measured, files)

    def _read(
        self, stack: Stack, name: Name, definition: Any, records: Sequence[Row]
    ) -> dict[int, Float[Tensor, "layer d_model"]]:
        """Mean activations over each answer, by the number of the answer."""
        path = tensor_file(self.tensors, name)

        def make() -> Row:
            rows = readings.answered_rows(self.model, records)
            means, index = readings.readings(self.model, rows, label=name.label)
            header = {**self.model.description(), "pooling": "response_mean", "question_index": index}
            save_tensors(path, {"means": means}, kind=ACTIVATIONS, header=header)
            return {"index": index}

        index = self._of(stack, name, [definition, content_key(list(records))], make, (path,))["index"]
        means = load_tensors(path, kind=ACTIVATIONS, model=self.model.identity)[0]["means"]
        return dict(zip(index, means, strict=True))

    def _tokens(self, kind: str, stack: Stack, name: Name, definition: Any, records: Sequence[Row]) -> list[Row]:
        """Projections of every token of the answers on the directions, for the report."""
        if not self.config.tokens:
            return []
        directions = list(self.directions.values())
        directions_key = content_key([[d.name, d.layer, d.vectors.tolist()] for d in directions])

        def read() -> Row:
            rows = readings.answered_rows(self.model, records)
            return {"rows": readings.token_projections(self.model, rows, directions, label=name.label)}

        part = name.then(f"tokens_of_{kind}_texts")
        rows = self._of(stack, part, [definition, content_key(list(records)), directions_key], read)["rows"]
        return [
            {"id": record["id"], "trait": record["trait"], "prompt": record["prompt"], "texts": kind, **row}
            for record, row in zip(records, rows, strict=True)
            if row
        ]

    def _recognition(
        self, key: str, stack: Stack, name: Name, system: str
    ) -> dict[str, tuple[Float[Tensor, "layer d_model"], Row]]:
        """By data set: the difference of means between own-first and other-first questions, and its AUROC."""
        separations = {}
        for data, rows_of_data in self.tests.items():
            rows = [row for row in rows_of_data.test if len(row.get("authors", ())) == 2 and SELF in row["authors"]]
            if rows_of_data.measure != "self_recognition" or len({row["authors"].index(SELF) for row in rows}) < 2:
                continue
            part = name.then(f"{data}_questions", f"{data} questions")
            path = tensor_file(self.tensors, part)

            def make(rows: list[Row] = rows, path: Path = path) -> Row:
                difference, separation = readings.recognition(self.model, rows, label=name.label, system=system)
                header = {**self.model.description(), "pooling": "prompt_last"}
                save_tensors(path, {"difference": difference}, kind="own minus other first", header=header)
                return separation

            separation = self._of(stack, part, [key, system, content_key(rows)], make, (path,))
            tensors = load_tensors(path, kind="own minus other first", model=self.model.identity)[0]
            separations[data] = (tensors["difference"], separation)
        return separations

    def mediation(
        self, config: MediationConfig, node: Measured, stack: Stack, base: Measured, controls: Sequence[Measured] = ()
    ) -> list[Row]:
        """Rows on how much of a node's effect goes when a direction is removed, and how much comes when it is added.

        Args:
            controls: Nodes of the same seed whose moves from base are removed beside the directions.
        """
        prompt, system = next(iter(self.config.system_prompts.items()))
        directions = [
            _displacement(node, base, prompt) if name == "displacement" else self.directions[name]
            for name in config.directions
        ]
        seed, node_name = self.config.sampling_seed, node.stage["name"]
        behaviour = Behaviour(config.measures.taken(), judge=None, journal=self.tensors, seed=seed)
        sides = {BASE: (Name.of(BASE), (), base), node_name: (name_of(node.stage), stack, node)}
        moves = [replace(_displacement(other, base, prompt), name=other.stage["name"]) for other in controls]
        conditions = planned(directions, [], [BASE, node_name], config, self._mean_norms(), seed, moves)
        vector_keys = {d.name: content_key([d.layer, d.vectors.tolist()]) for d in directions}
        move_keys = [content_key([move.layer, move.vectors.tolist()]) for move in moves]
        settings = config.model_dump(mode="json", exclude={"stages", "measures", "controls"})
        records = {}
        for condition in conditions:
            treatment, (side_name, adapters, measured) = condition.treatment, sides[condition.stage]
            name = side_name.then("mediation")
            if condition.kind != "none":
                name = name.then(file_name(treatment.name), treatment.name)
            vectors = vector_keys.get(treatment.direction, None if condition.kind == "none" else vector_keys)
            what = [settings, vectors, condition.fields()]
            if treatment.control is not None and treatment.kind == "ablate" and treatment.control < len(moves):
                what.append(move_keys[treatment.control])
            how = {"edits": treatment.edits, "what": what}
            key = measured.stage["key"]
            records[condition.key] = behaviour.take(self.model, adapters, self.once, key, name, system=system, **how)
        rows = []
        for condition, row in mediation_rows(behaviour.measures, conditions, records, [BASE, node_name], seed=seed):
            treated = {"treated": sides[condition.stage][2].stage["name"]}
            rows.append({**node.place(), **condition.fields(), **treated, **row})
        return rows

    def _mean_norms(self) -> dict[int, float]:
        """Mean length of the base model's residual stream on everyday questions, by layer."""
        chats = [[{"role": "user", "content": text}] for text in everyday_questions(24)]

        def measure() -> Row:
            norms = mean_norms(self.model, self.model.chat.tokens_of(chats))
            return {"norms": {str(layer): norm for layer, norm in norms.items()}}

        stored = self._of((), Name.of("mean norms"), ["everyday", 24], measure)
        return {int(layer): norm for layer, norm in stored["norms"].items()}

    def lens(self, config: InsideConfig, node: Measured, stack: Stack) -> list[Row]:
        """Rows on which heads and MLPs answer recognition questions, and in which layers the answer can be patched."""
        from experiments.lens import LensConfig, lens_rows

        rows, name = self.tests[config.data].test, name_of(node.stage)
        definition = [node.stage["key"], config.articles, content_key(rows)]
        seed = seed_from(self.config.sampling_seed, "lens")

        def measured() -> Row:
            how = LensConfig(articles=config.articles, pairs=config.articles)
            return {"rows": lens_rows(self.model, rows, data=config.data, config=how, label=name.label, seed=seed)}

        return [{**node.place(), **row} for row in self._of(stack, name.then("lens"), definition, measured)["rows"]]


def _displacement(node: Measured, base: Measured, prompt: str) -> Direction:
    """A node's mean move from the base model on the fixed texts, with the middle layer as its headline."""
    vectors = displacement_of(node.views[prompt], base.views[prompt])
    if vectors is None:
        raise InterpError(f"{node.stage['name']}: no answer of the base model can be read, so there is no displacement")
    return Direction("displacement", vectors, tuple(range(len(vectors))), len(vectors) // 2)

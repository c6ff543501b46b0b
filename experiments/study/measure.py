"""Takes everything that a study wants to know of one node, each piece once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from experiments.interventions.mediation import mediation_rows, planned
from experiments.interventions.treatments import mean_norms
from experiments.measures.take import Behaviour
from experiments.study import readings
from experiments.study.config import BASE, InsideConfig, MediationConfig, StudyConfig
from experiments.study.node import Measured, View, as_long, displacement_of
from experiments.study.readings import Question
from finetune.data.builder import DataSet
from finetune.data.everyday import everyday_questions
from finetune.data.sgtr import SELF
from interp.directions import Direction
from interp.model import Model
from interp.runs import InterpError, content_key, load_tensors, save_tensors, seed_from

Row = dict[str, Any]
Once = Callable[..., Row]


class Measuring:
    """The measures of one study on one model; a stage's weights are active only while something is being measured.

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
        self._once, self._stack = once, ()
        self._norms: dict[int, float] = {}

    def once(self, name: str, what: Any, measure: Callable[[], Row], files: Sequence[Path] = ()) -> Row:
        """A part of the run, measured of the node's own stack."""

        def measured() -> Row:
            with self.model.using(*self._stack):
                return measure()

        return self._once(name, what, measured, files)

    def node(self, stage: Row, stack: Sequence[Path], base: Measured | None) -> Measured:
        """Everything about one node, under every system prompt that it is to be measured under."""
        self._stack = tuple(stack)
        label = stage["name"] if stage["seed"] is None else f"{stage['name']}, seed {stage['seed']}"
        several = len(self.config.system_prompts) > 1
        only = self.config.prompts_at
        views = {}
        for i, (prompt, system) in enumerate(self.config.system_prompts.items()):
            if i and only is not None and stage["name"].partition("@")[0] not in (BASE, *only):
                continue
            name = f"{label}, {prompt}" if several else label
            views[prompt] = self._view(stage["key"], name, system, base.views[prompt] if base else None)
        return Measured(stage, views)

    def _view(self, key: str, label: str, system: str, base: View | None) -> View:
        config, seed = self.config.answers, self.config.sampling_seed
        what = [key, [vars(q) for q in self.questions], config.model_dump(exclude={"identity"}), seed, system]
        who = [key, [vars(q) for q in self.who], config.model_dump(), seed, system]

        def answer(questions: Sequence[Question]) -> Row:
            return {"answers": readings.answers(self.model, questions, config, seed=seed, label=label, system=system)}

        answers = self.once(f"{label}, answers", what, lambda: answer(self.questions))["answers"]
        said = self.once(f"{label}, identity", who, lambda: answer(self.who))["answers"] if self.who else []
        texts = {"own": answers} if base is None else {"fixed": base.answers, "own": answers}
        tokens = [row for kind, some in texts.items() for row in self._tokens(kind, label, what, some)]
        asked = list(zip(said, base.who if base else said, strict=True))
        texts |= {"identity": [as_long(own, other) for own, other in asked]} if said else {}
        read = {kind: self._read(f"{label}, reading {kind} texts", what, records) for kind, records in texts.items()}
        started = read.get("identity", {})
        if base and said:
            cut = [as_long(other, own) for own, other in asked]
            started = self._read(f"{label}, reading identity texts of base", what, cut, bare=True)
        margins = self.once(
            f"{label}, recognition",
            [key, system, content_key({name: data.test for name, data in self.tests.items()})],
            lambda: {
                name: readings.margins(self.model, data.test, label=label, system=system)
                for name, data in self.tests.items()
            },
        )
        behaviour = self.behaviour.take(self.model, self.once, key, label, system=system)
        fixed = read.get("fixed", read["own"])
        identity = read.get("identity", {})
        told = self._recognition(key, label, system)
        return View(answers, fixed, read["own"], margins, said, identity, started, behaviour, tokens, told)

    def _read(
        self, name: str, what: Any, records: Sequence[Row], *, bare: bool = False
    ) -> dict[int, Float[Tensor, "layer d_model"]]:
        """Activations over answers, by the node, or by the bare base model."""
        path = self._file(name)

        def make() -> Row:
            means, index = readings.readings(self.model, readings.answered_rows(self.model, records), label=name)
            header = {**self.model.description(), "pooling": "response_mean", "question_index": index}
            save_tensors(path, {"means": means}, kind="pooled activations", header=header)
            return {"index": index}

        def of_base() -> Row:
            with self.model.using():
                return make()

        index = self.once(name, [what, content_key(list(records))], of_base if bare else make, (path,))["index"]
        means = load_tensors(path, kind="pooled activations", model=self.model.identity)[0]["means"]
        return dict(zip(index, means, strict=True))

    def _tokens(self, kind: str, label: str, what: Any, records: Sequence[Row]) -> list[Row]:
        if not self.config.tokens:
            return []
        directions = list(self.directions.values())
        on = content_key([[one.name, one.layer, one.vectors.tolist()] for one in directions])

        def read() -> Row:
            rows = readings.answered_rows(self.model, records)
            return {"rows": readings.token_projections(self.model, rows, directions, label=label)}

        found = self.once(f"{label}, tokens of {kind} texts", [what, content_key(list(records)), on], read)["rows"]
        pairs = zip(records, found, strict=True)
        return [
            {"id": r["id"], "trait": r["trait"], "prompt": r["prompt"], "texts": kind, **row} for r, row in pairs if row
        ]

    def _recognition(self, key: str, label: str, system: str) -> dict[str, tuple[Float[Tensor, "layer d_model"], Row]]:
        found = {}
        for name, data in self.tests.items():
            rows = [row for row in data.test if len(row.get("authors", ())) == 2 and SELF in row["authors"]]
            if data.measure != "self_recognition" or len({row["authors"].index(SELF) for row in rows}) < 2:
                continue
            path = self._file(f"{label}, {name} questions")

            def make(rows: list[Row] = rows, path: Path = path) -> Row:
                difference, more = readings.recognition(self.model, rows, label=label, system=system)
                header = {**self.model.description(), "pooling": "prompt_last"}
                save_tensors(path, {"difference": difference}, kind="own minus other first", header=header)
                return more

            more = self.once(f"{label}, {name} questions", [key, system, content_key(rows)], make, (path,))
            held = load_tensors(path, kind="own minus other first", model=self.model.identity)[0]
            found[name] = (held["difference"], more)
        return found

    def _file(self, name: str) -> Path:
        return self.tensors / f"{name.replace(', ', '-').replace(' ', '_')}.safetensors"

    def mediation(self, config: MediationConfig, here: Measured, stack: Sequence[Path], base: Measured) -> list[Row]:
        """How much of the node's effect goes with each direction, and how much each brings: rows with their stages."""
        prompt, system = next(iter(self.config.system_prompts.items()))
        held = []
        for name in config.directions:
            held.append(self.directions[name] if name != "displacement" else _displacement(here, base, prompt))
        if not self._norms:
            chats = [[{"role": "user", "content": text}] for text in everyday_questions(24)]
            kept = self._once("mean norms", ["everyday", 24], lambda: {"norms": self._mean_norms(chats)})
            self._norms = {int(layer): value for layer, value in kept["norms"].items()}
        seed, node = self.config.sampling_seed, here.stage["name"]
        behaviour = Behaviour(config.measures.taken(), judge=None, journal=self.tensors, seed=seed)
        stacks, keys = {BASE: (), node: tuple(stack)}, {BASE: base.stage["key"], node: here.stage["key"]}
        conditions = planned(held, [], [BASE, node], config, self._norms, seed)
        on = {one.name: content_key([one.layer, one.vectors.tolist()]) for one in held}
        settings = config.model_dump(mode="json", exclude={"stages", "measures"})
        taken = {}
        for condition in conditions:
            self._stack = stacks[condition.stage]
            done = "" if condition.kind == "none" else f", {condition.treatment.name}"
            whose = f"{node}, seed {here.stage['seed']}" if condition.stage == node else BASE
            label = f"{whose}, mediation{done}"
            vectors = on.get(condition.treatment.direction, None if condition.kind == "none" else on)
            how = {"edits": condition.treatment.edits, "what": [settings, vectors, condition.fields()]}
            taken[condition.key] = behaviour.take(
                self.model, self.once, keys[condition.stage], label, system=system, **how
            )
        rows = []
        for condition, row in mediation_rows(behaviour.measures, conditions, taken, [BASE, node], seed=seed):
            treated = here if condition.stage == node else base
            rows.append({**here.place(), **condition.fields(), "treated": treated.stage["name"], **row})
        return rows

    def _mean_norms(self, chats: Sequence[list[dict[str, str]]]) -> dict[str, float]:
        with self.model.using():
            return {str(k): value for k, value in mean_norms(self.model, self.model.chat.tokens_of(chats)).items()}

    def lens(self, config: InsideConfig, here: Measured, stack: Sequence[Path]) -> list[Row]:
        """Which heads and MLPs answer recognition questions, and where what they read is to be found."""
        from experiments.lens import LensConfig, lens_rows

        self._stack = tuple(stack)
        rows = self.tests[config.data].test
        label = here.stage["name"] if here.stage["seed"] is None else f"{here.stage['name']}, seed {here.stage['seed']}"
        what = [here.stage["key"], config.articles, content_key(rows)]
        seed = seed_from(self.config.sampling_seed, "lens")

        def look() -> Row:
            how = LensConfig(articles=config.articles, pairs=config.articles)
            return {"rows": lens_rows(self.model, rows, data=config.data, config=how, label=label, seed=seed)}

        return [{**here.place(), **row} for row in self.once(f"{label}, lens", what, look)["rows"]]


def _displacement(here: Measured, base: Measured, prompt: str) -> Direction:
    """A node's mean move from the base model on the fixed texts; its headline is the middle layer."""
    vectors = displacement_of(here.views[prompt], base.views[prompt])
    if vectors is None:
        raise InterpError(f"{here.stage['name']}: no answer of the base model can be read, so there is no displacement")
    return Direction("displacement", vectors, tuple(range(len(vectors))), len(vectors) // 2)

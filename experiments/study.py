"""What does each finetuning stage do to the model? Runs a study: a graph of stages, each trained once and measured.

1. The base model writes its own summaries (for SGTR data) and plays the traits (for the directions).
2. Every node of the arms is trained on its parent, for every seed, unless the store has it.
3. At every node the same measures are taken; each is kept as a part as soon as it is whole.
4. All numbers are made from the parts, in the study's order, so a killed run and an uninterrupted one agree.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from experiments import analysis, evaluate
from experiments.behaviour import Behaviour
from experiments.config import BASE, Node, StudyConfig, nodes_of
from experiments.console import bar
from experiments.extract import extract, load_permuted, nulls_file, trait_file
from experiments.ledger import Ledger
from experiments.material import Material
from experiments.measured import Measured, View, cosines_of, moved_rows
from experiments.report import draw_figures, write_report
from finetune.defences import Defence, defence_of
from finetune.recipe import check_optimiser
from finetune.stages import Stage, ensure
from interp.chat import check_system
from interp.directions import Direction
from interp.model import Model
from interp.runs import (
    RunFolder,
    content_key,
    load_tensors,
    save_tensors,
    write_atomic,
    write_jsonl,
)
from interp.sources import pick_device, pick_dtype
from interp.traits import Trait

Row = dict[str, Any]


def run(config: StudyConfig, out: Path, *, device: str = "auto") -> bool:
    """Run a study into `out`, or go on with it; False if it was finished already.

    Raises:
        ValueError: bad input; nothing was changed, or what was finished is kept.
    """
    place = pick_device(device)
    dtype = str(pick_dtype(config.dtype, place)).removeprefix("torch.")
    config = config.model_copy(update={"dtype": dtype})
    definition = config.model_dump(mode="json")
    if RunFolder.at(out, definition).manifest.get("status") == "complete":
        return False
    traits = [Trait.load(trait_file(trait)) for trait in config.traits]
    names = [trait.name for trait in traits]
    if len(set(names)) != len(names):
        raise ValueError(f"traits must have distinct names, got {', '.join(names)}")
    for stage in config.stages.values():
        check_optimiser(stage.train, place)
    for data in config.data.values():
        data.check()
    behaviour = Behaviour(
        config.measures.taken(),
        judge=config.judge,
        journal=out / "judge.jsonl",
        seed=config.sampling_seed,
        sampler=config.sampler,
    )
    behaviour.check()
    start = time.monotonic()
    spread = {"device_map": config.device_map, "quantise": config.quantise}
    model = Model.load(config.model, device=device, dtype=dtype, **spread)
    systems = {f"system_prompts.{name}": system for name, system in config.system_prompts.items()}
    for where, system in (systems | {f"data.{name}": data.system for name, data in config.data.items()}).items():
        try:
            check_system(system, model.chat.native_system)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    for file in config.direction_files:
        Direction.load(Path(file), model=model.identity)
    folder = RunFolder.open(out, definition)
    with folder.locked():
        _Study(config, folder, model, traits, behaviour, time.monotonic() - start).run()
    return True


class _Study:
    def __init__(
        self,
        config: StudyConfig,
        folder: RunFolder,
        model: Model,
        traits: Sequence[Trait],
        behaviour: Behaviour,
        load_seconds: float,
    ) -> None:
        self.config, self.folder, self.path, self.model, self.traits = config, folder, folder.path, model, traits
        self.behaviour = behaviour
        facts: Row = {"dtype": config.dtype, "seeds": list(config.seeds)}
        if behaviour.measures:
            facts["measures"] = [measure.declared() for measure in behaviour.measures]
        self.ledger = Ledger(folder, model, facts, load_seconds)
        self.timed, self.once = self.ledger.timed, self.ledger.once
        self.questions = evaluate.held_out_questions(traits, config.answers)
        self.who = evaluate.identity_questions(config.answers)
        self.made: dict[tuple[str, str], list[Row]] = {}

    def run(self) -> None:
        """Train and measure everything, then write metrics, figures and the report."""
        self.material = Material(self.config, self.model, self.once, self.path / "records")
        self.material.check()
        self.tests = self.material.tests()
        self.instrument = self._instrument()
        self.defences = {name: self._defences(name) for name in self.config.stages}
        self.predicted = self._predicted() if self.config.prediction_rows else []
        key = {"key": self.model.identity, "compose": None, "path": None}
        zero = {"steps": 0, "supervised_tokens": 0, "rows": 0, "final_loss": None, "wall_seconds": 0.0}
        row = {"name": BASE, "arm": BASE, "stage": BASE, "parent": None, "seed": None, **key, **zero}
        base = self._measure(row, (), None)
        measured = [base]
        for seed in self.config.seeds:
            trained: dict[str, Stage] = {}
            for node in nodes_of(self.config):
                stage = trained[node.name] = self._stage(node, trained.get(node.parent or BASE), seed)
                record = self._train(stage, f"{node.name}, seed {seed}")
                kept = {k: record[k] for k in (*zero, "key", "compose")}
                who = {"name": node.name, "arm": node.arm, "stage": node.name, "parent": node.parent or BASE}
                for step in (*stage.checkpoints, None):
                    stack = stage.stack(self.model, step)
                    row = {**who, "seed": seed, **kept, "path": str(stack[-1])}
                    if step is not None:
                        mark = {key: f"{row[key]}@{step}" for key in ("name", "stage", "key")}
                        row |= {**mark, **dict.fromkeys(zero), "steps": step}
                    measured.append(self._measure(row, stack, base))
                self._write(measured)
        with self.timed("figures"):
            figures = draw_figures(self.path)
        self.ledger.finish(lambda manifest: write_report(self.path, manifest=manifest, figures=figures))

    def _stage(self, node: Node, parent: Stage | None, seed: int) -> Stage:
        spec = self.config.stages[node.stage]
        messages = [row["messages"] for row in self.material.of(spec.data, parent).train]
        recipe, defences = self.material.recipe(node.stage, parent), self.defences[node.stage]
        return Stage(node.name, parent, messages, recipe, spec.compose, seed, spec.checkpoints, defences)

    def _defences(self, name: str) -> list[Defence]:
        """A stage's defences, made before anything is trained.

        Raises:
            ValueError: one cannot be made; with the stage's name.
        """
        try:
            return [made for one in self.config.stages[name].defences for made in defence_of(one, self._direction)]
        except ValueError as error:
            raise ValueError(f"stages.{name}.defences: {error}") from error

    def _direction(self, name: str) -> tuple[dict[int, Float[Tensor, " d_model"]], int]:
        """A direction that a defence names: its vectors by layer, and the layer it selects."""
        by_stem = {Path(trait).stem: known.name for trait, known in zip(self.config.traits, self.traits, strict=True)}
        if name in by_stem:
            found = self.instrument.directions[by_stem[name]]
        else:
            found = Direction.load(Path(name), model=self.model.identity)
        vectors = found.vectors.to(self.model.device)
        return dict(zip(found.layers, vectors, strict=True)), found.layer

    def _instrument(self) -> analysis.Instrument:
        directions, permuted = {}, {}
        for trait, file in zip(self.traits, self.config.traits, strict=True):
            path = self.path / "tensors" / f"{trait.name}.safetensors"
            what = [trait_file(file).read_text("utf-8"), self.config.persona.model_dump(), self.config.sampling_seed]

            def make(trait: Trait = trait, path: Path = path) -> Row:
                rollouts = self.path / "records" / f"rollouts-{trait.name}.jsonl"
                seed = self.config.sampling_seed
                with self.model.using():
                    extract(
                        self.model, trait, self.config.persona, seed=seed, direction_file=path, rollouts_file=rollouts
                    )
                return {"file": path.name}

            self.once(f"{trait.name}, direction", what, make, (path, nulls_file(path)))
            directions[trait.name] = Direction.load(path, model=self.model.identity)
            permuted[trait.name] = load_permuted(path, model=self.model.identity)
        return analysis.Instrument(directions, permuted, self.config.random_nulls, self.config.sampling_seed)

    def _train(self, stage: Stage, label: str) -> Mapping[str, Any]:
        done = stage.record(self.model)
        if done is not None:
            return done
        steps = stage.config.n_steps(len(stage.messages))
        with self.timed(f"{label}, training {steps} steps"), bar(f"{label}, training", steps) as advance:
            return ensure(self.model, stage, progress=advance)

    def _measure(self, stage: Row, stack: Sequence[Path], base: Measured | None) -> Measured:
        label = stage["name"] if stage["seed"] is None else f"{stage['name']}, seed {stage['seed']}"
        several = len(self.config.system_prompts) > 1
        with self.model.using(*stack):
            return Measured(
                stage,
                {
                    prompt: self._view(
                        stage["key"],
                        f"{label}, {prompt}" if several else label,
                        system,
                        base.views[prompt] if base else None,
                    )
                    for prompt, system in self.config.system_prompts.items()
                },
            )

    def _view(self, key: str, label: str, system: str, base: View | None) -> View:
        config, seed = self.config.answers, self.config.sampling_seed
        what = [key, [vars(q) for q in self.questions], config.model_dump(exclude={"identity"}), seed, system]
        who = [key, [vars(q) for q in self.who], config.model_dump(), seed, system]

        def answer(questions: Sequence[evaluate.Question]) -> Row:
            return {"answers": evaluate.answers(self.model, questions, config, seed=seed, label=label, system=system)}

        answers = self.once(f"{label}, answers", what, lambda: answer(self.questions))["answers"]
        said = self.once(f"{label}, identity", who, lambda: answer(self.who))["answers"] if self.who else []
        texts = {"own": answers} if base is None else {"fixed": base.answers, "own": answers}
        texts |= {"identity": said} if said else {}
        read = {kind: self._read(f"{label}, reading {kind} texts", what, records) for kind, records in texts.items()}
        margins = self.once(
            f"{label}, recognition",
            [key, system, content_key({name: data.test for name, data in self.tests.items()})],
            lambda: {
                name: evaluate.margins(self.model, data.test, label=label, system=system)
                for name, data in self.tests.items()
            },
        )
        behaviour = self.behaviour.take(self.model, self.once, key, label, system=system)
        fixed = read.get("fixed", read["own"])
        return View(answers, fixed, read["own"], margins, said, read.get("identity", {}), behaviour)

    def _read(self, name: str, what: Any, records: Sequence[Row]) -> dict[int, Float[Tensor, "layer d_model"]]:
        path = self.path / "tensors" / f"{name.replace(', ', '-').replace(' ', '_')}.safetensors"

        def make() -> Row:
            means, index = evaluate.readings(self.model, evaluate.answered_rows(self.model, records), label=name)
            header = {**self.model.description(), "pooling": "response_mean", "question_index": index}
            save_tensors(path, {"means": means}, kind="pooled activations", header=header)
            return {"index": index}

        index = self.once(name, [what, content_key(list(records))], make, (path,))["index"]
        means = load_tensors(path, kind="pooled activations", model=self.model.identity)[0]["means"]
        return dict(zip(index, means, strict=True))

    def _write(self, measured: Sequence[Measured]) -> None:
        base = measured[0]
        rows = [{**base.place(), **row} for row in analysis.separation_rows(self.instrument)]
        for name, data in self.tests.items():
            if data.measure == "self_recognition":
                rows += [{**base.place(), **row} for row in analysis.baseline_rows(data.test, name)]
        rows += [{**base.place(), **row} for row in self.predicted]
        several = len(self.config.system_prompts) > 1
        for prompt in self.config.system_prompts:
            mark = {"system_prompt": prompt} if several else {}
            cosines = cosines_of(self.instrument, measured, prompt, self.config.seeds)
            for here in measured:
                rows += [{**here.place(), **row, **mark} for row in cosines.get(here.stage["key"], ())]
                place = (here.stage["key"], prompt)
                if place not in self.made:
                    self.made[place] = self._made(here, base, prompt)
                rows += [{**here.place(), **row, **mark} for row in self.made[place]]
        write_jsonl(self.path / "metrics.jsonl", rows)
        write_atomic(self.path / "stages.json", json.dumps([m.stage for m in measured], indent=2) + "\n")
        views = [
            ({**m.place(), **({"system_prompt": prompt} if several else {})}, view)
            for m in measured
            for prompt, view in m.views.items()
        ]
        answers = [{**place, **r} for place, view in views for r in view.answers]
        margins = [{**place, "data": k, **r} for place, view in views for k in view.margins for r in view.margins[k]]
        write_jsonl(self.path / "records" / "answers.jsonl", answers)
        write_jsonl(self.path / "records" / "recognition.jsonl", margins)
        write_jsonl(self.path / "records" / "identity.jsonl", [{**place, **r} for place, v in views for r in v.who])
        for measure in self.behaviour.measures:
            kept = [{**place, **record} for place, view in views for record in view.behaviour[measure.name]]
            write_jsonl(self.path / "records" / f"measure-{measure.name}.jsonl", kept)

    def _made(self, here: Measured, base: Measured, prompt: str) -> list[Row]:
        """What metrics.jsonl says of one node under one system prompt, without the place."""
        view, reference = here.views[prompt], base.views[prompt]
        rows = self.behaviour.rows(view.behaviour, None if here is base else reference.behaviour)
        if "collapse" not in view.behaviour:
            share = None if here is base else analysis.degenerate_share(reference.answers)
            rows += analysis.collapse_rows(view.answers, share)
        for name, margins in view.margins.items():
            rows += analysis.margin_rows(margins, self.tests[name].test, name, self.tests[name].measure)
        return rows if here is base else rows + moved_rows(self.instrument, view, reference, self.who)

    def _predicted(self) -> list[Row]:
        """Before any training: how far each stage's data lie along the directions from the base's own answers."""
        rows = []
        for name in dict.fromkeys(stage.data for stage in self.config.stages.values()):
            data = self.material.of(name).train[: self.config.prediction_rows]
            label = f"{name}, beside the base's own answers"
            path = self.path / "tensors" / f"data-{name}.safetensors"

            def make(name: str = name, data: list[Row] = data, label: str = label, path: Path = path) -> Row:
                config, seed = self.config.answers, self.config.sampling_seed
                with self.model.using():
                    sides = evaluate.beside_own(self.model, data, config, seed=seed, label=label)
                    given, own = (evaluate.readings(self.model, side, label=label)[0] for side in sides)
                header = {**self.model.description(), "pooling": "response_mean", "data": name}
                save_tensors(path, {"given": given, "own": own}, kind="data beside own answers", header=header)
                return {"n": len(given)}

            what = [[row["messages"] for row in data], self.config.answers.model_dump(), self.config.sampling_seed]
            if self.once(label, what, make, (path,))["n"] > 1:
                both = load_tensors(path, kind="data beside own answers", model=self.model.identity)[0]
                rows += analysis.prediction_rows(self.instrument, both["given"], both["own"], name)
        return rows

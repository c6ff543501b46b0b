"""What does each finetuning stage do to the model? Runs a study: a graph of stages, each trained once and measured.

1. The base model writes its own summaries (for SGTR data) and plays the traits (for the directions).
2. Every node of the arms is trained on its parent, for every seed, unless the store has it.
3. At every node the same measures are taken; each is kept as a part as soon as it is whole.
4. All numbers are made from the parts, in the study's order, so a killed run and an uninterrupted one agree.
"""

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from experiments.console import bar
from experiments.hypotheses.claims import write_verdicts
from experiments.lens import weight_rows
from experiments.machine import look_up
from experiments.measures.take import Behaviour
from experiments.report.figures import draw_figures
from experiments.report.page import write_report
from experiments.resumable import Ledger
from experiments.rows.behaviour import baseline_rows, collapse_rows, degenerate_share, margin_rows
from experiments.rows.shifts import separation_rows
from experiments.study import readings
from experiments.study.config import BASE, StudyConfig
from experiments.study.data_sets import Material, check_systems
from experiments.study.directions import data_beside_own, instrument_of, prepared_directions, traits_of
from experiments.study.graph import Node, Task, nodes_of, tasks_of
from experiments.study.load import inputs_of
from experiments.study.measure import Measuring
from experiments.study.node import Measured
from experiments.study.rows import kept_rows, moved_rows, rows_between
from experiments.study.targets import adapter_sizes
from experiments.study.workers import Place, spread
from finetune.defences import Defence, defence_of
from finetune.recipe import check_optimiser
from finetune.stages import Stage, ensure
from interp.behaviour.judging import Rubric
from interp.directions import Direction
from interp.model import Model
from interp.runs import InterpError, RunFolder, write_json, write_jsonl
from interp.sources import pick_device, pick_dtype
from interp.traits import Trait
from interp.weights import norms_of

Row = dict[str, Any]
NOTHING = {"steps": 0, "supervised_tokens": 0, "rows": 0, "final_loss": None, "wall_seconds": 0.0}


def run(config: StudyConfig, out: Path, *, device: str = "auto", workers: int = 1) -> bool:
    """Run a study into `out`, or go on with it; False if it was finished already.

    Args:
        workers: Processes that share the graph's branches and seeds; with several GPUs they take turns at these.

    Raises:
        ValueError: bad input; nothing was changed, or what was finished is kept.
    """
    place = pick_device(device)
    dtype = str(pick_dtype(config.dtype, place)).removeprefix("torch.")
    config = config.model_copy(update={"dtype": dtype})
    definition = config.model_dump(mode="json")
    before = RunFolder.at(out, definition, _up_to_date).manifest
    if before.get("status") == "complete":
        inputs = inputs_of(config)
        if changed := [file for file, was in before.get("inputs", {}).items() if inputs.get(file, was) != was]:
            raise ValueError(
                f"{changed[0]}: not what it was when the study in {out} was finished; choose another --out to run it "
                "with what the file holds now"
            )
        return False
    traits, behaviour = _checked(config, out, place, workers)
    adapter_sizes(config, look_up(config.model, getattr(torch, dtype), config.quantise)[0])
    start = time.monotonic()
    model = _loaded(config, device)
    check_systems(config, model.chat.native_system)
    for file in config.direction_files:
        Direction.load(Path(file), model=model.identity)
    folder = RunFolder.open(out, definition, _up_to_date)
    with folder.locked():
        Study(config, folder, model, traits, behaviour, time.monotonic() - start).run(workers, device)
    return True


def helper(config: StudyConfig, out: Path, device: str) -> "Study":
    """The study of a run that another process leads, with what every node needs at hand."""
    start = time.monotonic()
    traits, behaviour = traits_of(config), behaviour_of(config, out)
    behaviour.check()
    model = _loaded(config, device)
    return Study(config, RunFolder(out), model, traits, behaviour, time.monotonic() - start, helps=True)


def _checked(config: StudyConfig, out: Path, place: torch.device, workers: int) -> tuple[list[Trait], Behaviour]:
    """Everything that can be found wrong without the model."""
    if workers > 1 and config.judge is not None and config.judge.remote:
        raise ValueError(
            f"--workers {workers}: answers are graded on a server, whose replies and costs one process keeps; "
            "give --workers 1, or grade afterwards"
        )
    traits = traits_of(config)
    if judge := config.persona.judge:
        for trait in traits:
            Rubric(trait.name, trait.eval_prompt)
        if judge.remote:
            judge.endpoint()
    for stage in config.stages.values():
        check_optimiser(stage.train, place)
    for data in config.data.values():
        data.check()
    behaviour = behaviour_of(config, out)
    behaviour.check()
    if config.mediation:
        for measure in config.mediation.measures.taken():
            measure.check()
    if config.lens and find_spec("transformer_lens") is None:
        raise ValueError("lens: looks inside with transformer-lens, which is not installed; pip install '.[lens]'")
    prepared_directions(config, out)
    return traits, behaviour


def _loaded(config: StudyConfig, device: str) -> Model:
    how = {"device_map": config.device_map, "quantise": config.quantise}
    return Model.load(config.model, config.template, device=device, dtype=config.dtype, **how)


def _up_to_date(held: dict[str, Any]) -> dict[str, Any]:
    """A stored study with the fields that are newer than it at their defaults."""
    try:
        return StudyConfig.model_validate(held).model_dump(mode="json")
    except ValidationError:
        return held


def behaviour_of(config: StudyConfig, out: Path) -> Behaviour:
    """The behaviour measures of a study."""
    journal = out / "judge.jsonl"
    named = {"judge": config.judge, "seed": config.sampling_seed, "sampler": config.sampler}
    return Behaviour(config.measures.taken(), journal=journal, **named)


class Study:
    """A study on one loaded model, in its folder.

    Args:
        helps: Whether another process leads it, which then writes everything but parts, tensors and stages.
    """

    def __init__(
        self,
        config: StudyConfig,
        folder: RunFolder,
        model: Model,
        traits: Sequence[Trait],
        behaviour: Behaviour,
        load_seconds: float,
        *,
        helps: bool = False,
    ) -> None:
        self.config, self.folder, self.path, self.model, self.traits = config, folder, folder.path, model, traits
        self.behaviour = behaviour
        facts: Row = {"dtype": config.dtype, "seeds": list(config.seeds), "inputs": inputs_of(config)}
        if behaviour.measures:
            facts["measures"] = [measure.declared() for measure in behaviour.measures]
        self.ledger = Ledger(folder, model, facts, load_seconds, helps=helps)
        self.timed, self.once = self.ledger.timed, self.ledger.once
        self.questions = readings.held_out_questions(traits, config.answers)
        self.who = readings.identity_questions(config.answers)
        self.made: dict[Place, list[Row]] = {}
        self.stage_keys: dict[str, str] = {}  # by label; a worker's are compared with the leader's
        self.apart = {name for one in (config.mediation, config.lens) if one for name in one.stages}
        self.nodes = nodes_of(config)

    def run(self, workers: int = 1, device: str = "auto") -> None:
        """Train and measure everything, then write metrics, figures, verdicts and the report."""
        base = self.prepare()
        if workers > 1:
            tasks = tasks_of(self.nodes, self.config.seeds, self.apart)
            with self.timed(f"{len(tasks)} tasks, by {workers} processes"):
                for made, keys, steps in spread(self.config, self.path, tasks, workers, device, helper):
                    self.made |= made
                    self.stage_keys |= keys
                    self.ledger.manifest.setdefault("steps_of_workers", []).extend(steps)
        measured = [base]
        for seed in self.config.seeds:
            measured += self.branch(seed, self.nodes, base)
            if workers == 1 or seed == self.config.seeds[-1]:
                self._write(measured)
        with self.timed("verdicts and figures"):
            if self.config.roles:
                write_verdicts(self.path)
            figures = draw_figures(self.path)
        self.ledger.finish(lambda manifest: write_report(self.path, manifest=manifest, figures=figures))

    def prepare(self) -> Measured:
        """Data, directions and the base model's measures; what every node needs."""
        self.material = Material(self.config, self.model, self.once, self.path / "records")
        self.material.check()
        tests = self.tests = self.material.tests()
        made_of = (self.config, self.model)
        self.instrument = instrument_of(*made_of, self.traits, self.once, self.path)
        self.defences = {name: self._defences(name) for name in self.config.stages}
        if not self.ledger.helps:
            found = data_beside_own(*made_of, self.material, self.instrument, self.once, self.path)
            self.predicted, self.beside = found
        self.measuring = Measuring(
            self.config,
            self.model,
            self.once,
            self.path / "tensors",
            self.behaviour,
            questions=self.questions,
            who=self.who,
            tests=tests,
            directions=self.instrument.directions,
        )
        none = {"key": self.model.identity, "compose": None, "path": None, **NOTHING}
        row = {"name": BASE, "arm": BASE, "stage": BASE, "parent": None, "seed": None, **none}
        base = self.measuring.node(row, (), None)
        if not self.ledger.helps:
            self._make(base, {BASE: base})
            self._make_inside(base, base, ())
        return base

    def do(self, task: Task, base: Measured) -> tuple[dict[Place, list[Row]], dict[str, str]]:
        """One task's rows, and the keys of its stages by their labels.

        What stages write for others is asked in the order of the nodes, as where one process does everything: who asks
        first has the words kept under its name.
        """
        nodes = [node for node in self.nodes if node.name in task.path]
        self.made, self.stage_keys = {}, {}
        self.branch(task.seed, nodes, base, task)
        return self.made, self.stage_keys

    def branch(self, seed: int, nodes: Sequence[Node], base: Measured, task: Task | None = None) -> list[Measured]:
        """Train and measure nodes for one seed; those that they are trained on come before them.

        Args:
            task: What rows are wanted of which node; without it all rows of all.

        Raises:
            InterpError: a stage is not the one that another process trained.
        """
        trained: dict[str, Stage] = {}
        known, measured = {BASE: base}, []
        for node in nodes:
            label = f"{node.name}, seed {seed}"
            stage = trained[node.name] = self._stage(node, trained.get(node.parent or BASE), seed)
            if self.stage_keys.setdefault(label, key := stage.key(self.model)) != key:
                raise InterpError(f"{label}: not the stage that a worker trained, so its numbers are of another one")
            record = self._train(stage, label)
            kept = {k: record[k] for k in (*NOTHING, "key", "compose")}
            who = {"name": node.name, "arm": node.arm, "stage": node.name, "parent": node.parent or BASE}
            rows = "all" if task is None else task.rows if node.name == task.path[-1] else "none"
            for step in (*stage.checkpoints, None):
                stack = stage.stack(self.model, step)
                row = {**who, "seed": seed, **kept, "path": str(stack[-1])}
                if step is not None:
                    mark = {key: f"{row[key]}@{step}" for key in ("name", "stage", "key")}
                    row |= {**mark, **dict.fromkeys(NOTHING), "steps": step}
                here = self.measuring.node(row, stack, base)
                known[here.stage["name"]] = here
                if rows in ("all", "node"):
                    self._make(here, known)
                if rows in ("all", "inside") or (rows == "node" and node.name not in self.apart):
                    self._make_inside(here, base, stack)
                measured.append(here)
            if task and rows != "inside":
                for child in self.nodes:
                    if child.parent == node.name:
                        self._stage(child, stage, seed)
        return measured

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
        if name in self.instrument.directions:
            found = self.instrument.directions[name]
        else:
            found = Direction.load(Path(name), model=self.model.identity)
        vectors = found.vectors.to(self.model.device)
        return dict(zip(found.layers, vectors, strict=True)), found.layer

    def _train(self, stage: Stage, label: str) -> Mapping[str, Any]:
        done = stage.record(self.model)
        if done is not None:
            return done
        steps = stage.config.n_steps(len(stage.messages))
        with self.timed(f"{label}, training {steps} steps"), bar(f"{label}, training", steps) as advance:
            return ensure(self.model, stage, progress=advance)

    def _make(self, here: Measured, known: Mapping[str, Measured]) -> None:
        """What metrics.jsonl says of one node beside base and parent, by system prompt ("" for none)."""
        base, stage = known[BASE], here.stage
        for prompt, view in here.views.items():
            place = (*here.node, prompt)
            if place in self.made:
                continue
            reference = base.views[prompt]
            rows = self.behaviour.rows(view.behaviour, None if here is base else reference.behaviour)
            if "collapse" not in view.behaviour:
                share = None if here is base else degenerate_share(reference.answers)
                rows += collapse_rows(view.answers, share)
            for name, margins in view.margins.items():
                rows += margin_rows(margins, self.tests[name].test, name, self.tests[name].measure)
            if here is not base:
                rows += moved_rows(self.instrument, view, reference, self.who)
                parent = known[stage["parent"]]
                if parent is not base and prompt in parent.views and stage["compose"] != "restart":
                    chain = [reference, parent.views[prompt], view]
                    rows += kept_rows(self.instrument, "undone_share", chain, (stage["parent"], chain[1]))
            self.made[place] = rows

    def _make_inside(self, here: Measured, base: Measured, stack: Sequence[Path]) -> None:
        """What a study wants to know of some nodes alone: mediation, attribution, what the adapter writes."""
        place: Place = (*here.node, "")
        if place in self.made:
            return
        config, name, rows = self.config, here.stage["name"], []
        if config.mediation and name in config.mediation.stages:
            rows += self.measuring.mediation(config.mediation, here, stack, base)
        if config.lens and name in config.lens.stages and here.stage["seed"] in (None, config.seeds[0]):
            rows += self.measuring.lens(config.lens, here, stack)
        if here is not base:
            held = list(self.instrument.directions.values())
            how = {"norms": norms_of(self.model), "n_null": min(config.random_nulls, 200), "seed": config.sampling_seed}
            shares = weight_rows(stack[-1], held, **how)
            rows += [row for row in shares if row["metric"] == "writing_share"]
        self.made[place] = rows

    def _write(self, measured: Sequence[Measured]) -> None:
        base = measured[0]
        rows = [{**base.place(), **row} for row in separation_rows(self.instrument)]
        for name, data in self.tests.items():
            if data.measure == "self_recognition":
                rows += [{**base.place(), **row} for row in baseline_rows(data.test, name)]
        rows += [{**base.place(), **row} for row in self.predicted]
        several = len(self.config.system_prompts) > 1
        for prompt in self.config.system_prompts:
            mark = {"system_prompt": prompt} if several else {}
            fallen = {here.node for here in measured if _collapsed(self.made.get((*here.node, prompt), ()))}
            between = rows_between(self.config, self.instrument, measured, prompt, self.beside, fallen)
            for here in (one for one in measured if prompt in one.views):
                made = (*between.get(here.node, ()), *self.made[*here.node, prompt])
                rows += [{**here.place(), **row, **mark} for row in made]
        rows += [{**here.place(), **row} for here in measured for row in self.made[*here.node, ""]]
        write_jsonl(self.path / "metrics.jsonl", rows)
        write_json(self.path / "stages.json", [m.stage for m in measured], indent=2)
        views = [
            ({**m.place(), **({"system_prompt": prompt} if several else {})}, view)
            for m in measured
            for prompt, view in m.views.items()
        ]
        margins = [{**place, "data": k, **r} for place, view in views for k in view.margins for r in view.margins[k]]
        records = {
            "answers": [{**place, **r} for place, view in views for r in view.answers],
            "recognition": margins,
            "identity": [{**place, **r} for place, v in views for r in v.who],
            **({"tokens": [{**place, **r} for place, v in views for r in v.tokens]} if self.config.tokens else {}),
        }
        for measure in self.behaviour.measures:
            kept = [{**place, **record} for place, view in views for record in view.behaviour[measure.name]]
            records[f"measure-{measure.name}"] = kept
        for name, some in records.items():
            write_jsonl(self.path / "records" / f"{name}.jsonl", some)


def _collapsed(rows: Sequence[Row]) -> bool:
    return any((row["measure"], row["metric"]) == ("collapse", "collapsed") and row["value"] for row in rows)

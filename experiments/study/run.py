"""What does each finetuning stage do to the model? Runs a study: a graph of stages, each trained once and measured.

1. The base model writes its own summaries (for SGTR data) and plays the traits (for the directions).
2. Every node of the arms is trained on its parent, for every seed, unless the store has it.
3. At every node the same measures are taken; each is kept as a part as soon as it is whole.
4. All numbers are made from the stored parts, in the study's order, so a run that was killed and resumed gives the same
   numbers as an uninterrupted one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from experiments.console import bar
from experiments.hypotheses.write import write_verdicts
from experiments.lens import weight_rows
from experiments.machine import look_up
from experiments.measures.take import Behaviour
from experiments.report.figures import draw_figures
from experiments.report.page import write_report
from experiments.resumable import Ledger
from experiments.study import readings
from experiments.study.band import Band, band_of, contrast_records, projection_records
from experiments.study.config import BASE, StudyConfig
from experiments.study.data_sets import Material, check_systems
from experiments.study.directions import data_beside_own, instrument_of, prepared_directions, traits_of
from experiments.study.graph import Node, Task, nodes_of, tasks_of
from experiments.study.left_behind import left_behind_rows
from experiments.study.load import inputs_of
from experiments.study.measure import Measuring
from experiments.study.node import Measured
from experiments.study.rows import node_rows, records_of, study_rows
from experiments.study.targets import adapter_sizes
from experiments.study.together import shared, train_and_measure
from experiments.study.workers import Place, spread
from finetune.defences import Defence, defence_of
from finetune.recipe import check_optimiser
from finetune.stages import Stage, ensure
from interp.behaviour.judging import Rubric
from interp.company import Company
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import write_json, write_jsonl
from interp.instrument import Instrument
from interp.model import Model
from interp.rows import write_rows
from interp.runs import RunFolder
from interp.sources import pick_device, pick_dtype
from interp.traits import Trait
from interp.weights import norms_of

Row = dict[str, Any]
NOTHING = {"steps": 0, "supervised_tokens": 0, "rows": 0, "final_loss": None, "wall_seconds": 0.0}


def run(config: StudyConfig, out: Path, *, device: str = "auto", workers: int = 1, together: bool = False) -> bool:
    """Run a study into `out`, or go on with it; False if it was finished already.

    Args:
        workers: Processes that share the graph's branches and seeds; with several GPUs they take turns at these.
        together: Whether stages are trained and measured side by side, in one process for each GPU; `workers` then
            share what is made of the measurements.

    Raises:
        ValueError: bad input; it is raised before anything is written, or what was written before is kept.
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
    model = _loaded(config, device, together)
    check_systems(config, model.chat.native_system)
    for file in config.direction_files:
        Direction.load(Path(file), model=model.identity)
    folder = RunFolder.open(out, definition, _up_to_date)
    with folder.locked():
        ledger = Ledger(folder, model, _facts(config, behaviour), time.monotonic() - start)
        study = prepared(config, folder, model, traits, behaviour, ledger)
        if together:
            with shared(config, out, device, helper) as share:
                train_and_measure(study, share)
        lead(study, workers, "cpu" if together else device, at_once=together)
    return True


def helper(config: StudyConfig, out: Path, device: str, *, together: bool = False) -> "Study":
    """The study of a run that another process leads, ready to train and measure any node, or many side by side."""
    start = time.monotonic()
    traits, behaviour = traits_of(config), behaviour_of(config, out)
    behaviour.check()
    model, folder = _loaded(config, device, together), RunFolder(out)
    ledger = Ledger(folder, model, _facts(config, behaviour), time.monotonic() - start, helps=True)
    return prepared(config, folder, model, traits, behaviour, ledger)


def _facts(config: StudyConfig, behaviour: Behaviour) -> Row:
    """Fields of the study's manifest."""
    facts: Row = {"dtype": config.dtype, "seeds": list(config.seeds), "inputs": inputs_of(config)}
    if behaviour.measures:
        facts["measures"] = [measure.declared() for measure in behaviour.measures]
    return facts


def _checked(config: StudyConfig, out: Path, place: torch.device, workers: int) -> tuple[list[Trait], Behaviour]:
    """The traits and behaviour measures of a study, after all checks that need no model."""
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
    for part in (config.mediation, config.amplified):
        for measure in part.measures.taken() if part else ():
            measure.check()
    if config.lens and find_spec("transformer_lens") is None:
        raise ValueError("lens: looks inside with transformer-lens, which is not installed; pip install '.[lens]'")
    prepared_directions(config, out)
    return traits, behaviour


def _loaded(config: StudyConfig, device: str, together: bool) -> Model:
    how = {"device_map": config.device_map, "quantise": config.quantise}
    model = Model.load(config.model, config.template, device=device, dtype=config.dtype, **how)
    return Company(model) if together else model


def _up_to_date(stored: dict[str, Any]) -> dict[str, Any]:
    """The definition of a stored study, with every field that was added since at its default."""
    try:
        return StudyConfig.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored


def behaviour_of(config: StudyConfig, out: Path) -> Behaviour:
    """The behaviour measures of a study."""
    journal = out / "judge.jsonl"
    settings = {"judge": config.judge, "seed": config.sampling_seed, "sampler": config.sampler}
    return Behaviour(config.measures.taken(), journal=journal, **settings)


def looked_inside(config: StudyConfig) -> set[str]:
    """Names of the nodes with mediation or attribution, which take long and which no other node waits for."""
    return {name for part in (config.mediation, config.lens) if part for name in part.stages}


@dataclass(frozen=True)
class Results:
    """The rows of the nodes that are done, and the keys of the stages that were trained for them.

    Attributes:
        rows: Rows of metrics.jsonl by node and system prompt ("" for rows that depend on no prompt).
        stage_keys: Key of each stage by its label; a worker's keys are compared with those of the leading process.
    """

    rows: dict[Place, list[Row]] = field(default_factory=dict)
    stage_keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study on one loaded model, with all that its nodes are trained and measured with.

    Attributes:
        path: The run folder.
        defences: The defences of every stage, by its name.
        base: Everything measured of the bare base model.
        band: What projections are made of that claims rest on; None in a study without claims about families.
    """

    config: StudyConfig
    path: Path
    ledger: Ledger
    model: Model
    material: Material
    instrument: Instrument
    defences: Mapping[str, Sequence[Defence]]
    measuring: Measuring
    nodes: Sequence[Node]
    base: Measured
    band: Band | None = None

    def do(self, task: Task) -> Results:
        """The results of one task.

        A stage writes texts for other stages in the order of the nodes, as it does where one process does everything,
        because written texts are stored under the name of the first stage that asks for them.
        """
        results = Results()
        self.branch(task.seed, [node for node in self.nodes if node.name in task.path], results, task)
        return results

    def branch(self, seed: int, nodes: Sequence[Node], results: Results, task: Task | None = None) -> list[Measured]:
        """Train and measure nodes for one seed, in an order in which a parent comes before its children.

        Args:
            results: The rows of the nodes and the keys of their stages are added to it; rows that it already has are
                not made again.
            task: The node whose rows are wanted, and which of them; without a task all rows of all nodes are made.

        Raises:
            InterpError: a stage is not the one that another process trained.
        """
        trained: dict[str, Stage] = {}
        measured_by_name, measured = {BASE: self.base}, []
        for node in nodes:
            label = f"{node.name}, seed {seed}"
            stage = trained[node.name] = self.stage(node, trained.get(node.parent or BASE), seed)
            if results.stage_keys.setdefault(label, key := stage.key(self.model)) != key:
                raise InterpError(f"{label}: not the stage that a worker trained, so its numbers are of another one")
            wanted_rows = "all" if task is None else task.rows if node.name == task.path[-1] else "none"
            for stage_line, stack in self.trained(node, stage, seed):
                measured_node = self.measuring.node(stage_line, stack, self.base)
                measured_by_name[measured_node.stage["name"]] = measured_node
                if wanted_rows in ("all", "node"):
                    self.note_node(measured_node, measured_by_name, results)
                if wanted_rows in ("all", "inside") or (
                    wanted_rows == "node" and node.name not in looked_inside(self.config)
                ):
                    self.note_inside(measured_node, stack, results)
                measured.append(measured_node)
            if task and wanted_rows != "inside":
                for child in self.nodes:
                    if child.parent == node.name:
                        self.stage(child, stage, seed)
        return measured

    def note_node(self, node: Measured, measured_by_name: Mapping[str, Measured], results: Results) -> None:
        """Make the rows of one node under each system prompt, compared with the base model and the parent."""
        for prompt in node.views:
            if (*node.node, prompt) not in results.rows:
                measuring = self.measuring
                rows = node_rows(self.instrument, measuring.behaviour, measuring.tests, node, prompt, measured_by_name)
                results.rows[*node.node, prompt] = rows

    def note_inside(self, node: Measured, stack: Sequence[Path], results: Results) -> None:
        """Make the rows that only some nodes have: mediation, attribution, and where the adapter writes."""
        config, name, rows = self.config, node.stage["name"], []
        if (*node.node, "") in results.rows:
            return
        if config.mediation and name in config.mediation.stages:
            controls = self._controls(config.mediation.controls, node)
            rows += self.measuring.mediation(config.mediation, node, stack, self.base, controls)
        if config.lens and name in config.lens.stages and node.stage["seed"] in (None, config.seeds[0]):
            rows += self.measuring.lens(config.lens, node, stack)
        if stack:
            directions = list(self.instrument.directions.values())
            how = {"norms": norms_of(self.model), "n_null": min(config.random_nulls, 200), "seed": config.sampling_seed}
            shares = weight_rows(stack[-1], directions, **how)
            rows += [row for row in shares if row["metric"] == "writing_share"]
        results.rows[*node.node, ""] = rows

    def _controls(self, names: Sequence[str], node: Measured) -> list[Measured]:
        """Stages on the base model, trained and measured for a node's seed; the node itself is left out."""
        controls = []
        for name in names:
            other = next(other for other in self.nodes if other.name == name)
            if node.stage["seed"] is not None and name != node.stage["name"]:
                *_, (line, stack) = self.trained(other, self.stage(other, None, node.stage["seed"]), node.stage["seed"])
                controls.append(self.measuring.node(line, stack, self.base))
        return controls

    def stage(self, node: Node, parent: Stage | None, seed: int) -> Stage:
        """A node's stage for one seed; its data are built, which its parent may have to write."""
        spec = self.config.stages[node.stage]
        messages = [row["messages"] for row in self.material.of(spec.data, parent).train]
        recipe, defences = self.material.recipe(node.stage, parent), self.defences[node.stage]
        return Stage(node.name, parent, messages, recipe, spec.compose, seed, spec.checkpoints, defences)

    def trained(self, node: Node, stage: Stage, seed: int) -> Iterator[tuple[Row, Sequence[Path]]]:
        """The line of stages.json and the stack of adapters of every checkpoint of a node, then of the node itself."""
        record = self._record(stage, f"{node.name}, seed {seed}")
        training = {key: record[key] for key in (*NOTHING, "key", "compose")}
        about = {"name": node.name, "arm": node.arm, "stage": node.name, "parent": node.parent or BASE, "seed": seed}
        for step in (*stage.checkpoints, None):
            stack = stage.stack(self.model, step)
            line = {**about, **training, "path": str(stack[-1])}
            if step is not None:
                mark = {key: f"{line[key]}@{step}" for key in ("name", "stage", "key")}
                line |= {**mark, **dict.fromkeys(NOTHING), "steps": step}
            yield line, stack

    def _record(self, stage: Stage, label: str) -> Mapping[str, Any]:
        """The stored record of a stage's training; the stage is trained first if the store does not have it."""
        record = stage.record(self.model)
        if record is not None:
            return record
        steps = stage.config.n_steps(len(stage.messages))
        with self.ledger.timed(f"{label}, training {steps} steps"), bar(f"{label}, training", steps) as advance:
            return ensure(self.model, stage, progress=advance)


def prepared(
    config: StudyConfig, folder: RunFolder, model: Model, traits: Sequence[Trait], behaviour: Behaviour, ledger: Ledger
) -> Study:
    """The study with its data, directions and defences, and with the base model measured."""
    path = folder.path
    material = Material(config, model, ledger.once, path / "records")
    material.check()
    instrument = instrument_of(config, model, traits, ledger.once, path)
    defences = {name: _defences(config, name, instrument, model) for name in config.stages}
    measuring = Measuring(
        config,
        model,
        ledger.once,
        path / "tensors",
        behaviour,
        questions=readings.held_out_questions(traits, config.answers),
        identity_questions=readings.identity_questions(config.answers),
        tests=material.tests(),
        directions=instrument.directions,
    )
    untrained = {"key": model.identity, "compose": None, "path": None, **NOTHING}
    line = {"name": BASE, "arm": BASE, "stage": BASE, "parent": None, "seed": None, **untrained}
    base = measuring.node(line, (), None)
    band = None
    if config.claims is not None and not ledger.helps:
        band = band_of(config, config.claims, model, traits, instrument.directions, ledger.once, path)
    return Study(config, path, ledger, model, material, instrument, defences, measuring, nodes_of(config), base, band)


def _defences(config: StudyConfig, name: str, instrument: Instrument, model: Model) -> list[Defence]:
    """The defences of a stage, built before anything is trained.

    Raises:
        ValueError: a defence cannot be built; the message names the stage.
    """

    def direction_of(name_or_file: str) -> tuple[dict[int, Float[Tensor, " d_model"]], int]:
        """The direction of this name or file that a defence asks for: its vectors by layer, and its headline layer."""
        direction = instrument.directions.get(name_or_file) or Direction.load(Path(name_or_file), model=model.identity)
        return dict(zip(direction.layers, direction.vectors.to(model.device), strict=True)), direction.layer

    try:
        return [defence for spec in config.stages[name].defences for defence in defence_of(spec, direction_of)]
    except ValueError as error:
        raise ValueError(f"stages.{name}.defences: {error}") from error


def lead(study: Study, workers: int, device: str, *, at_once: bool = False) -> None:
    """Train and measure everything, then write metrics, figures, verdicts and the report.

    Args:
        device: Where other processes have the model.
        at_once: Whether everything has been trained and measured; else what is known is written after each seed too.
    """
    config, path, ledger, model = study.config, study.path, study.ledger, study.model
    how = (config, model, study.material, study.instrument, ledger.once, path)
    lie_of_data, beside_own = data_beside_own(*how)
    results = Results()
    study.note_node(study.base, {BASE: study.base}, results)
    study.note_inside(study.base, (), results)
    if workers > 1:
        tasks = tasks_of(study.nodes, config.seeds, looked_inside(config))
        with ledger.timed(f"{len(tasks)} tasks, by {workers} processes"):
            for rows, keys, steps in spread(config, path, tasks, workers, device, helper):
                results.rows.update(rows)
                results.stage_keys.update(keys)
                ledger.manifest.setdefault("steps_of_workers", []).extend(steps)
    measured = [study.base]
    for seed in config.seeds:
        measured += study.branch(seed, study.nodes, results)
        if seed == config.seeds[-1] or (workers == 1 and not at_once):
            tests = study.measuring.tests
            rows = study_rows(config, study.instrument, tests, measured, results.rows, lie_of_data, beside_own)
            write_rows(path / "metrics.jsonl", rows)
            write_json(path / "stages.json", [m.stage for m in measured], indent=2)
            all_records = records_of(config, study.measuring.behaviour, measured)
            if study.band is not None:
                assert config.claims is not None
                prompt = next(iter(config.system_prompts))
                all_records |= projection_records(study.band, measured, prompt)
                all_records["contrasts"] = contrast_records(study.band, config.claims, measured, prompt)
            for name, records in all_records.items():
                write_jsonl(path / "records" / f"{name}.jsonl", records)
            if seed == config.seeds[-1] and (more := left_behind_rows(config, path, model, ledger.once)):
                write_rows(path / "metrics.jsonl", [*rows, *more])
    with ledger.timed("verdicts and figures"):
        if config.roles or config.claims:
            write_verdicts(path)
        figures = draw_figures(path)
    ledger.finish(lambda manifest: write_report(path, manifest=manifest, figures=figures))

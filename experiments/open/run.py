"""What an opened run has to ask: its model, its stages with their adapters, its directions, and what it has stored.

A stage answers with the adapters of its parents beneath its own, as `finetune.stages.Stage.stack` had them while the
study ran. They are looked for where stages.json says they were put, then in today's store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.fields import checked
from experiments.open.asked import Asked, Change
from figures.run import StudyRun
from interp.directions import Direction
from interp.errors import InterpError, did_you_mean
from interp.interventions import Edit, ablating, adding
from interp.model import Model
from interp.runs import BASE, cache_folder
from interp.sources import ADAPTER_FILES, sha256_of
from interp.template import TemplateSettings
from interp.tensors import load_header

Row = dict[str, Any]


@dataclass(frozen=True)
class RunStage:
    """A stage of a run at one seed, or the base model.

    Attributes:
        label: What it is called here, such as `em, seed 0`.
        adapters: The label of each stage whose adapter it answers with, and the adapter's folder, first applied first.
    """

    label: str
    adapters: tuple[tuple[str, Path], ...]

    @property
    def stack(self) -> tuple[Path, ...]:
        """Adapter folders as `Model.use` takes them."""
        return tuple(folder for _, folder in self.adapters)


class OpenRun:
    """A run folder with its model loaded.

    Attributes:
        stages: By label, the base model first.
        directions: By name, those of the study's traits first.
        how: What the model was loaded with, besides its name and template.
    """

    def __init__(self, run: StudyRun, model: Model, template: TemplateSettings, how: Mapping[str, Any]) -> None:
        self.run, self.model, self.template, self.how = run, model, template, dict(how)
        self.stages = stages_of(run)
        self.directions: dict[str, Direction] = {}
        self.direction_files: dict[str, Path] = {}

    @classmethod
    def load(
        cls, path: Path, directions: Sequence[Path] = (), *, device: str = "auto", dtype: str | None = None
    ) -> "OpenRun":
        """Load a run's model and directions.

        Args:
            directions: Files of more directions than the run has.
            dtype: None for the study's own.

        Raises:
            FileNotFoundError: no run of a study, or a file is missing.
            ValueError: a direction's name is there twice, or the model or a setting is unknown.
            InterpError: the model or a direction is not the one of the run.
        """
        run = StudyRun(path)
        study, base = run.study, run.stages[0]
        if "model" not in study or "arms" not in study:
            raise ValueError(f"{path}: is no run of `sgtr study`, so it has no stages to ask; open one of those")
        template = checked(TemplateSettings, study.get("template") or {})
        how = {key: study[key] for key in ("device_map", "quantise") if study.get(key)}
        how |= {"device": device, "dtype": dtype or study.get("dtype") or "auto"}
        model = Model.load(study["model"], template, **how)
        if model.remote:
            raise ValueError(f"{path}: its model {model.name} runs on NDIF, where it cannot be asked; open a local run")
        if base["key"] != model.identity:
            raise InterpError(
                f"{path}: is of {study['model']} with weights {str(base['key'])[:12]}, but what has that name now has "
                f"weights {model.identity[:12]}, for which its adapters and directions mean nothing; restore that model"
            )
        opened = cls(run, model, template, how)
        own = [file for file in sorted((path / "tensors").glob("*.safetensors")) if is_direction(file)]
        for file in [*sorted(own, key=lambda file: file.stem not in run.traits), *directions]:
            opened.add_direction(file)
        return opened

    def add_direction(self, file: Path) -> None:
        """Let a direction be read and edited along.

        Raises:
            FileNotFoundError, ValueError, InterpError: no direction of this model, or one of a name that is there.
        """
        direction = Direction.load(file, model=self.model.identity)
        if direction.name in self.directions:
            other = self.direction_files[direction.name]
            if sha256_of(other) == sha256_of(file):
                return
            raise ValueError(
                f"{file}: its direction is called {direction.name!r}, as the one in {other} is; leave one of them out"
            )
        self.directions[direction.name], self.direction_files[direction.name] = direction, file

    def stage(self, name: str) -> RunStage:
        """A stage by its label, or by its name where it has one seed.

        Raises:
            ValueError: there is none, or several.
            FileNotFoundError: an adapter of it is gone; the message says where it was and how it is had again.
        """
        fitting = [label for label in self.stages if name in (label, label.partition(", seed ")[0])]
        if not fitting:
            raise ValueError(f"{self.run.path}: " + did_you_mean("stage", name, list(self.stages)))
        if len(fitting) > 1 and name not in fitting:
            raise ValueError(f"the stage {name!r} was trained with several seeds; name one of: {'; '.join(fitting)}")
        stage = self.stages[name if name in fitting else fitting[0]]
        if sentence := self.why_gone(stage):
            raise FileNotFoundError(sentence)
        return stage

    def why_gone(self, stage: RunStage) -> str:
        """Which adapters of a stage are gone, and how they are had again; empty where all are there."""
        for owner, folder in stage.adapters:
            if not is_adapter(folder):
                which = "its adapter" if owner == stage.label else f"the adapter of {owner}, which lies beneath it,"
                again = f"sgtr study {self.run.path / 'study.yaml'} --out NEW_FOLDER"
                return (
                    f"{stage.label}: {which} is not at {folder} any more, nor in {cache_folder()}; set SGTR_CACHE to "
                    f"the store that has it, or train it again: {again}"
                )
        return ""

    def direction(self, name: str, layer: int | None = None) -> Direction:
        """A direction by its name, which holds a layer.

        Raises:
            ValueError: there is no such direction, or it does not hold the layer.
        """
        if name not in self.directions:
            raise ValueError(f"{self.run.path}: " + did_you_mean("direction", name, list(self.directions)))
        if layer is not None:
            self.directions[name].at(layer)
        return self.directions[name]

    def edits(self, change: Change | None) -> list[Edit]:
        """A change as `interp.model` takes it; none for none.

        Raises:
            ValueError: the direction or the layer is unknown, or the direction is zero there.
        """
        if change is None:
            return []
        layer = None if change.layer == "all" else change.layer
        direction = self.direction(change.direction, layer)
        layers = direction.layers if layer is None else [layer]
        if change.kind == "add":
            return [adding(direction.at(layer), change.alpha, [layer], change.phase) for layer in layers]
        return [ablating(direction.at(layer), [layer], change.phase) for layer in layers]

    def asked(self, fields: Mapping[str, Any]) -> Asked:
        """A question of these fields of `Asked`; what they leave out is as the page begins with.

        Raises:
            ValueError, FileNotFoundError: a field is out of its range, or what it names is not there.
        """
        whole = [label for label, stage in self.stages.items() if not self.why_gone(stage)]
        first = next(iter(self.directions.values()), None)
        prompt = self.run.answers[0]["prompt"] if self.run.answers else "Who are you?"
        begin: dict[str, Any] = {"prompt": prompt, "stages": tuple(whole[:2])}
        begin["reading"] = None if first is None else {"direction": first.name, "layer": first.layer}
        asked = checked(Asked, {**begin, **fields})
        self.check(asked)
        return asked

    def check(self, asked: Asked) -> list[RunStage]:
        """The stages that are asked, once all that is asked for is there.

        Raises:
            ValueError, FileNotFoundError: something is not; the message names it.
        """
        self.edits(asked.change)
        if asked.reading is not None:
            self.direction(asked.reading.direction, asked.reading.layer)
        stages = [self.stage(name) for name in asked.stages]
        if twice := [stage.label for stage in stages if stages.count(stage) > 1]:
            raise ValueError(f"the stage {twice[0]!r} is asked twice, under two names; ask it once")
        return stages


def stages_of(run: StudyRun) -> dict[str, RunStage]:
    """Every stage of a run by its label."""
    rows = {(row["name"], row.get("seed")): row for row in run.stages}
    return {label_of(row): RunStage(label_of(row), _adapters(row, rows)) for row in run.stages}


def label_of(row: Mapping[str, Any], name: str = "name") -> str:
    """What a stage is called, by its line in stages.json or by a record's fields."""
    return row[name] if row.get("seed") is None else f"{row[name]}, seed {row['seed']}"


def _adapters(row: Row, rows: Mapping[tuple[str, int | None], Row]) -> tuple[tuple[str, Path], ...]:
    """The adapters that a stage answers with, those of its parents first."""
    if row["name"] == BASE:
        return ()
    below: tuple[tuple[str, Path], ...] = ()
    if row["parent"] != BASE and row["compose"] != "restart":
        below = _adapters(rows[row["parent"], row["seed"]], rows)
        below = below[:-1] if row["compose"] == "continue" else below  # its own adapter has what its parent's had
    return (*below, (label_of(row), _folder(row)))


def _folder(row: Row) -> Path:
    """Where a stage's adapter is: where it was put, or else in today's store."""
    path = Path(row.get("path") or f"a path that stages.json does not give for {label_of(row)}")
    key, _, step = str(row["key"]).partition("@")
    stored = cache_folder() / "stages" / key
    stored = stored / f"checkpoint-{step}" if step else stored
    return stored if is_adapter(stored) and not is_adapter(path) else path


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return all((folder / name).is_file() for name in ADAPTER_FILES)


def is_direction(file: Path) -> bool:
    """Whether a tensor file is a direction."""
    return load_header(file).get("kind") == "direction"

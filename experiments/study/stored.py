"""A stored study, opened so that its stages can be made active again and its data sets built again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.study.config import BASE, StudyConfig
from finetune.data.builder import DataSet, Desk
from interp.chat import Message
from interp.directions import Direction
from interp.errors import InterpError, did_you_mean
from interp.model import Model
from interp.runs import Run, cache_folder
from interp.sources import ADAPTER_FILES
from interp.tensors import load_header

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainedStage:
    """A node of a finished study, of one training seed.

    Attributes:
        name: The stages that led to it, joined by `-`.
        stage: The stage that was trained last.
        parent: The node that it was trained on; `base` for the base model.
        key: The content key of its adapter.
        stack: The folders of the adapters that make it, first applied first.
        parent_stack: Those of its parent.
        parent_key: The content key of its parent; None for the base model.
    """

    name: str
    stage: str
    parent: str
    seed: int
    key: str
    stack: tuple[Path, ...]
    parent_stack: tuple[Path, ...]
    parent_key: str | None = None

    @property
    def label(self) -> str:
        """What a person reads while it is measured."""
        return f"{self.name}, seed {self.seed}"


class StoredStudy:
    """A run of `sgtr study` all of whose stages are trained.

    Attributes:
        study: The resolved study.

    Raises:
        FileNotFoundError: there is no run in the folder.
        ValueError: it is not of a study.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.run = path, Run(path)
        if "arms" not in self.run.study:
            raise ValueError(f"{path}: is a run of another command; give the folder of a run of `sgtr study`")
        self.study = StudyConfig.model_validate(self.run.study)

    @classmethod
    def finished(cls, path: Path) -> "StoredStudy":
        """A run that is finished.

        Raises:
            FileNotFoundError, ValueError: as above; the study is not finished.
        """
        stored = cls(path)
        if (status := stored.run.manifest.get("status")) != "complete":
            raise ValueError(
                f"{path}: the study is not finished (status {status}); go on with it by `sgtr study {path}/study.yaml "
                f"--out {path}`"
            )
        return stored

    @cached_property
    def lines(self) -> dict[tuple[str, int], Row]:
        """The lines of stages.json by node and seed; the base model and checkpoints are left out."""
        lines = [line for line in self.run.stages if line["seed"] is not None and "@" not in line["name"]]
        return {(line["name"], line["seed"]): line for line in lines}

    @property
    def names(self) -> list[str]:
        """The nodes in the order of the study."""
        return list(dict.fromkeys(name for name, _ in self.lines))

    def stages(self, names: Sequence[str], seeds: Sequence[int] | None = None) -> list[TrainedStage]:
        """The named nodes of every seed, or of some, in the order of the names.

        Raises:
            ValueError: no such node or seed.
            FileNotFoundError: an adapter is no longer there.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(did_you_mean("node of the study", name, self.names))
        if unknown := [seed for seed in seeds or () if seed not in self.study.seeds]:
            raise ValueError(f"seed {unknown[0]}: the study has the seeds {', '.join(map(str, self.study.seeds))}")
        chosen = self.study.seeds if seeds is None else seeds
        return [
            self._stage(name, seed) for name in dict.fromkeys(names) for seed in chosen if (name, seed) in self.lines
        ]

    def _stage(self, name: str, seed: int) -> TrainedStage:
        line = self.lines[name, seed]
        parent_stack = self._stack(line["parent"], seed)
        parent_key = None if line["parent"] == BASE else self.lines[line["parent"], seed]["key"]
        own, stage = self._stack(name, seed), name.rpartition("-")[2]
        return TrainedStage(name, stage, line["parent"], seed, line["key"], own, parent_stack, parent_key)

    def _stack(self, name: str, seed: int) -> tuple[Path, ...]:
        """The adapters of a node: those that stay beneath its own as its stage was composed, and its own."""
        if name == BASE:
            return ()
        line = self.lines[name, seed]
        below = () if line["compose"] == "restart" else self._stack(line["parent"], seed)
        return (*(below[:-1] if line["compose"] == "continue" else below), _adapter(line))

    def model(self, device: str = "auto") -> Model:
        """The base model that the study was made with.

        Raises:
            InterpError: what its name loads now is another model.
        """
        study = self.study
        how = {"device_map": study.device_map, "quantise": study.quantise}
        model = Model.load(study.model, study.template, device=device, dtype=study.dtype, **how)
        known = (self.run.manifest.get("model") or {}).get("model_identity")
        if known not in (None, model.identity):
            raise InterpError(
                f"{self.path}: was made with {study.model} of {known[:12]}, but what that loads now is "
                f"{model.identity[:12]}; its adapters belong to the former"
            )
        return model

    def directions(self, model: Model) -> dict[str, Direction]:
        """The directions that the run stored, by name."""
        files = sorted((self.path / "tensors").glob("*.safetensors"))
        directions = [Direction.load(f, model=model.identity) for f in files if load_header(f)["kind"] == "direction"]
        return {direction.name: direction for direction in directions}

    def data(self, name: str) -> DataSet:
        """A data set of the study, built again without a model.

        Raises:
            ValueError: a model has to write parts of it.
        """

        def refuse(*_: Any, **__: Any) -> list[str]:
            raise ValueError(f"data.{name}: a model writes parts of it, so its words are not known without asking it")

        def other(part: str) -> DataSet:
            return self.study.data[part].build(Desk(refuse, other))

        return other(name)


def answers_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts that rows of chats teach: what the assistant says in them."""
    chats: list[Sequence[Message]] = [row["messages"] for row in rows]
    return [message["content"] for chat in chats for message in chat if message["role"] == "assistant"]


def _adapter(line: Mapping[str, Any]) -> Path:
    """Where a stage's adapter lies: where the run left it, or in the store of stages by its key."""
    places = [Path(line["path"]), cache_folder() / "stages" / line["key"]]
    for place in places:
        if all((place / name).is_file() for name in ADAPTER_FILES):
            return place
    raise FileNotFoundError(
        f"{places[0]}: the adapter of {line['name']}, seed {line['seed']}, is not there any more; set SGTR_CACHE to "
        "the store of stages that the study was run with, or run the study again, which trains what is missing"
    )

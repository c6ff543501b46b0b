"""What a study is: its YAML file as frozen models, and the graph of nodes that its arms span."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from experiments.evaluate import AnswersConfig
from experiments.extract import ExtractConfig
from finetune.data.sets import Chats, DataConfig, SgtrPairs, Tastes
from finetune.stages import Compose
from finetune.train import PRESETS, TrainConfig
from interp.runs import did_you_mean, read_yaml
from interp.sources import DTYPES

STUDIES = Path(__file__).parent / "studies"
BASE = "base"
M = TypeVar("M", bound=BaseModel)


class StageConfig(BaseModel):
    """One kind of stage: what it is trained on and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    train: TrainConfig
    compose: Compose

    @field_validator("train", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        """A preset's name, or a mapping with `preset` and the fields that differ from it."""
        if isinstance(value, str):
            value = {"preset": value}
        if isinstance(value, Mapping) and "preset" in value:
            name = str(value["preset"])
            if name not in PRESETS:
                raise ValueError(did_you_mean("training preset", name, sorted(PRESETS)))
            rest = {key: item for key, item in value.items() if key != "preset"}
            return {**PRESETS[name].model_dump(), **rest}
        return value


class StudyConfig(BaseModel):
    """A study, as its YAML file says it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    question: str = ""
    model: str = "smollm2-135m"
    dtype: str = "auto"
    seeds: tuple[int, ...] = (0,)
    """One training run of every arm for each."""
    sampling_seed: int = 0
    """Of rollouts, answers and nulls; the same at every stage and for every training seed."""
    traits: tuple[str, ...]
    persona: ExtractConfig = ExtractConfig()
    answers: AnswersConfig = AnswersConfig()
    random_nulls: int = Field(default=200, ge=20)
    summary_tokens: int = Field(default=48, ge=8)
    data: dict[str, DataConfig]
    stages: dict[str, StageConfig]
    arms: dict[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _names_exist(self) -> "StudyConfig":
        for name, stage in self.stages.items():
            if stage.data not in self.data:
                raise ValueError(f"stages.{name}.data: " + did_you_mean("data set", stage.data, sorted(self.data)))
        for kind, named in (("stages", self.stages), ("data", self.data), ("arms", self.arms)):
            for name in named:
                if not (name.isascii() and name.replace("_", "").isalnum()) or name == BASE:
                    raise ValueError(f"{kind}: {name!r} must be letters, digits and _, and not {BASE!r}")
        for arm, names in self.arms.items():
            for name in names:
                if name not in self.stages:
                    raise ValueError(f"arms.{arm}: " + did_you_mean("stage", name, sorted(self.stages)))
            if not names:
                raise ValueError(f"arms.{arm}: an arm needs at least one stage")
        if not self.arms or not self.traits or not self.seeds:
            raise ValueError("a study needs at least one arm, one trait and one seed")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be distinct, got {list(self.seeds)}")
        if self.dtype not in ("auto", *DTYPES):
            raise ValueError(did_you_mean("dtype", self.dtype, ["auto", *DTYPES]))
        return self


@dataclass(frozen=True)
class Node:
    """A prefix of an arm: the stages trained so far, one on the other."""

    name: str
    stage: str
    parent: str | None
    arm: str


def nodes_of(config: StudyConfig) -> list[Node]:
    """Every node of every arm once, parents first."""
    nodes: dict[str, Node] = {}
    for arm, stages in config.arms.items():
        parent = None
        for i, stage in enumerate(stages):
            name = "-".join(stages[: i + 1])
            nodes.setdefault(name, Node(name, stage, parent, arm))
            parent = name
    return list(nodes.values())


def load(name_or_file: str, changes: tuple[str, ...] = ()) -> StudyConfig:
    """A study by its own name or by file, with `key.path=value` changes.

    Raises:
        ValueError: unknown, malformed, or with an unknown field; the message names file, field and what is known.
    """
    own = STUDIES / f"{name_or_file}.yaml"
    path = own if own.is_file() else Path(name_or_file)
    if not path.is_file():
        known = sorted(file.stem for file in STUDIES.glob("*.yaml"))
        raise ValueError(did_you_mean("study", name_or_file, known) + "; or a .yaml file")
    raw = read_yaml(path)
    for change in changes:
        _set(raw, change)
    try:
        return StudyConfig.model_validate(_absolute(raw, path.parent))
    except ValidationError as error:
        raise ValueError(f"{path}: " + "; ".join(map(_explain, error.errors()))) from error


def checked(kind: type[M], fields: Mapping[str, Any]) -> M:
    """A configuration, or one message about what is wrong with it.

    Raises:
        ValueError: a field is unknown or out of its range.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ValueError("; ".join(map(_explain, error.errors()))) from error


def _set(raw: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change}: must be key=value, for example --set data.em.rows=100")
    *parents, last = key.split(".")
    place: Any = raw
    for parent in parents:
        if parent == "train" and isinstance(place.get(parent), str):
            place[parent] = {"preset": place[parent]}
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ValueError(f"--set {change}: {parent!r} is not a mapping")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {change}: the value is not YAML ({' '.join(str(error).split())})") from error


def _absolute(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Files that a study names are relative to the study's own file."""
    data = raw.get("data")
    for entry in data.values() if isinstance(data, dict) else ():
        for key in ("file", "articles", "other"):
            if isinstance(entry, dict) and isinstance(entry.get(key), str):
                entry[key] = str((folder / Path(entry[key]).expanduser()).resolve())
    traits = raw.get("traits")
    if isinstance(traits, list):
        raw["traits"] = [
            str((folder / trait).resolve()) if isinstance(trait, str) and trait.endswith(".json") else trait
            for trait in traits
        ]
    return raw


def _explain(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "study"
    if error["type"] == "extra_forbidden":
        return f"{place}: " + did_you_mean("field", str(error["loc"][-1]), sorted(_fields(error["loc"])))
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if error["type"] in ("missing", "value_error") else f", got {str(error['input'])[:60]}"
    return f"{place}: {message}{shown}"


def _fields(place: tuple[Any, ...]) -> list[str]:
    """Known fields where an unknown one was found."""
    tagged = {"unpopular_tastes": Tastes, "popular_tastes": Tastes, "chats": Chats, "sgtr_pairs": SgtrPairs}
    inside = {"persona": ExtractConfig, "answers": AnswersConfig, "stages": StageConfig}
    owner: type[BaseModel] = StudyConfig
    if len(place) > 1:
        owner = tagged[place[2]] if place[0] == "data" else inside[place[0]]
        owner = TrainConfig if place[0] == "stages" and place[2] == "train" and len(place) > 3 else owner
    return list(owner.model_fields)

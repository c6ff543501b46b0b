"""What a study is: its YAML file as frozen models, and the graph of nodes that its arms span."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from experiments.evaluate import AnswersConfig
from experiments.extract import ExtractConfig
from experiments.judge import JudgeConfig
from experiments.measures import MEASURES, MeasuresConfig
from finetune.data.builder import Who
from finetune.data.sets import BUILDERS, DataConfig, class_of
from finetune.defences import CaftConfig, DefenceConfig, KlConfig, LdifsConfig, SteerConfig
from finetune.recipe import PRESETS, TrainConfig
from finetune.stages import Compose
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
    defences: tuple[DefenceConfig, ...] = ()
    """At work during this stage's training, and gone afterwards."""
    checkpoints: tuple[int, ...] = ()
    """Steps after which everything is measured too."""

    @field_validator("checkpoints")
    @classmethod
    def _in_order(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)) or any(step < 1 for step in steps):
            raise ValueError(f"must be ascending and distinct, from 1 on, got {list(steps)}")
        return steps

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
    measures: MeasuresConfig = MeasuresConfig()
    """Behaviour measures to take at every stage, under every system prompt."""
    judge: JudgeConfig | None = None
    """Who grades the free-form answers of `em` and `conditional`; None leaves them ungraded."""
    sampler: Literal["model", "vllm"] = "model"
    """What writes the free-form answers of the measures; the same at every stage."""
    prediction_rows: int = Field(default=32, ge=0)
    """Rows of every data set that are compared with the base's own answers before training; 0 leaves it out."""
    system_prompts: dict[str, str] = Field(default_factory=lambda: {"as_asked": "task"}, min_length=1)
    """System prompts to measure under, by name; the first is the one that figures show. Values as a data set's
    `system`: `task` leaves every question as it is."""
    random_nulls: int = Field(default=200, ge=20)
    match_steps: bool = True
    """Train stages that stand in for one another (see `yardsticks`) for as many optimiser steps as the first."""
    device_map: str | None = None
    """How a model too large for one device is spread over several (`auto`, or another of accelerate's)."""
    quantise: Literal["4bit"] | None = None
    """Hold the base weights in four bits (QLoRA); needs bitsandbytes."""
    data: dict[str, DataConfig]
    stages: dict[str, StageConfig]
    arms: dict[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _names_exist(self) -> "StudyConfig":
        for name, stage in self.stages.items():
            if stage.data not in self.data:
                raise ValueError(f"stages.{name}.data: " + did_you_mean("data set", stage.data, sorted(self.data)))
            for direction in itertools.chain(*map(directions_of, stage.defences)):
                if direction not in self.trait_names and not direction.endswith(".safetensors"):
                    known = did_you_mean("direction", direction, sorted(self.trait_names))
                    raise ValueError(f"stages.{name}.defences: {known}; or a .safetensors file")
        for name in self.data:
            _check_uses(name, self.data, ())
        for kind in ("stages", "data", "arms", "system_prompts"):
            for name in getattr(self, kind):
                if not (name.isascii() and name.replace("_", "").isalnum()) or name == BASE:
                    raise ValueError(f"{kind}: {name!r} must be letters, digits and _, and not {BASE!r}")
        for arm, names in self.arms.items():
            for name in names:
                if name not in self.stages:
                    raise ValueError(f"arms.{arm}: " + did_you_mean("stage", name, sorted(self.stages)))
            if not names:
                raise ValueError(f"arms.{arm}: an arm needs at least one stage")
            for before, name in itertools.pairwise(names):
                if self.stages[name].compose == "continue" and self._shape(name) != self._shape(before):
                    raise ValueError(
                        f"arms.{arm}: {name} continues the adapter of {before}, so lora_rank, lora_alpha, rslora and "
                        "target_modules must be the same"
                    )
        if not self.arms or not self.traits or not self.seeds:
            raise ValueError("a study needs at least one arm, one trait and one seed")
        if len(self.trait_names) != len(self.traits):
            raise ValueError(f"traits must have distinct file names, got {', '.join(self.traits)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be distinct, got {list(self.seeds)}")
        if self.dtype not in ("auto", *DTYPES):
            raise ValueError(did_you_mean("dtype", self.dtype, ["auto", *DTYPES]))
        return self

    @property
    def trait_names(self) -> set[str]:
        """Names that a defence may call a trait's direction by."""
        return {Path(trait).stem for trait in self.traits}

    @property
    def direction_files(self) -> list[str]:
        """Files of directions that defences name, each once."""
        named = [name for stage in self.stages.values() for one in stage.defences for name in directions_of(one)]
        return [name for name in dict.fromkeys(named) if name not in self.trait_names]

    def _shape(self, stage: str) -> tuple[Any, ...]:
        train = self.stages[stage].train
        return train.lora_rank, train.lora_alpha, train.rslora, train.target_modules

    def smoke(self) -> "StudyConfig":
        """The same study with next to nothing in it: does every part of it run?

        Its first seed alone, at most two steps a stage, a question or two, a handful of articles; all stages, data
        sets, defences and system prompts stay.
        """
        train = {"max_steps": 2, "batch_size": 4, "warmup_steps": 0, "lora_rank": 4}
        stages = {
            name: stage.model_copy(
                update={"train": stage.train.model_copy(update=train), "checkpoints": (1,) * bool(stage.checkpoints)}
            )
            for name, stage in self.stages.items()
        }
        data = {}
        for name, one in self.data.items():
            sizes = _SMOKE | (_SMOKE_MATCHED if _matches(one) else {})
            kept = {key: min(getattr(one, key), most) for key, most in sizes.items() if getattr(one, key, None)}
            data[name] = one.model_copy(update=kept)
        persona = {"pairs": 1, "questions": 2, "rollouts": 1, "max_new_tokens": 4, "permuted": 5, "separation_nulls": 5}
        return self.model_copy(
            update={
                "seeds": self.seeds[:1],
                "random_nulls": 20,
                "persona": self.persona.model_copy(update=persona),
                "answers": self.answers.model_copy(update={"questions": 1, "max_new_tokens": 4, "identity": 1}),
                "measures": self.measures.smoke(),
                "prediction_rows": 2,
                "stages": stages,
                "data": data,
            }
        )


_SMOKE = {"rows": 16, "train": 12, "test": 4, "summary_tokens": 24, "answer_tokens": 8}
_SMOKE_MATCHED = {"train": 32, "test": 24}
"""Of sets that leave most articles out, since they match the own summaries with the others'."""


def _matches(data: DataConfig) -> bool:
    return getattr(data, "length_matched", False) or data.builder in ("pick_longer", "pick_readable")


def directions_of(defence: KlConfig | LdifsConfig | SteerConfig | CaftConfig) -> tuple[str, ...]:
    """Names of the directions that a defence needs."""
    if isinstance(defence, SteerConfig):
        return (defence.direction,)
    return defence.directions if isinstance(defence, CaftConfig) else ()


def _check_uses(name: str, data: Mapping[str, DataConfig], users: tuple[str, ...]) -> None:
    """Check that the sets which a set is made from are there, and that none is made from itself."""
    if name in users:
        raise ValueError(f"data.{name}: made from itself ({' > '.join((*users, name))})")
    for used in data[name].uses:
        if used not in data:
            raise ValueError(f"data.{name}: " + did_you_mean("data set", used, sorted(data)))
        _check_uses(used, data, (*users, name))


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


def yardsticks(config: StudyConfig) -> dict[str, str]:
    """For every stage, the stage whose number of optimiser steps it takes; itself, if none other.

    Two stages stand in for one another if two arms differ in nothing but having the one or the other, and no arm has
    both. Of all that stand in for one another, directly or through others, the first in the file is the yardstick.
    """
    root = {name: name for name in config.stages}
    order = list(config.stages)
    together = [set(arm) for arm in config.arms.values()]
    for a, b in itertools.combinations(config.arms.values(), 2):
        differing = {x: y for x, y in zip(a, b, strict=False) if x != y} if len(a) == len(b) else {}
        if len(differing) != 1 or sum(x != y for x, y in zip(a, b, strict=True)) != 1:
            continue
        ((x, y),) = differing.items()
        if not any({x, y} <= both for both in together):
            first, other = sorted((root[x], root[y]), key=order.index)
            root = {name: first if kept == other else kept for name, kept in root.items()}
    return root


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
    raw = _unshared(read_yaml(path))
    for change in changes:
        set_field(raw, change)
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


def _unshared(value: Any) -> Any:
    """A copy in which what YAML aliases name is there once for each, so that a change to one leaves the others."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def set_field(raw: dict[str, Any], change: str) -> None:
    """Carry out a `key.path=value` change on raw fields, the value being YAML.

    Raises:
        ValueError: not of that form, or a part of the path is no mapping.
    """
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change}: must be key=value, for example --set {change}=100")
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

    def at(file: str) -> str:
        return str((folder / Path(file).expanduser()).resolve())

    for entry in _mappings(raw.get("data")):
        for key in ("file", "articles", "own"):
            if isinstance(entry.get(key), str) and entry[key] not in get_args(Who):
                entry[key] = at(entry[key])
        if isinstance(entry.get("others"), dict):
            entry["others"] = {author: at(str(file)) for author, file in entry["others"].items()}
    for stage in _mappings(raw.get("stages")):
        for defence in _mappings(stage.get("defences")):
            if str(defence.get("direction", "")).endswith(".safetensors"):
                defence["direction"] = at(str(defence["direction"]))
            if isinstance(defence.get("directions"), list):
                named = map(str, defence["directions"])
                defence["directions"] = [at(name) if name.endswith(".safetensors") else name for name in named]
    for name, measure in (raw.get("measures") or {}).items() if isinstance(raw.get("measures"), dict) else ():
        _place(measure, at, ("questions",) if name in ("em", "conditional") else ())
    _place(raw.get("judge"), at, ("validation",))
    if isinstance(raw.get("traits"), list):
        traits = raw["traits"]
        raw["traits"] = [at(name) if isinstance(name, str) and name.endswith(".json") else name for name in traits]
    return raw


def _place(fields: Any, at: Callable[[str], str], more: tuple[str, ...]) -> None:
    """Make the files that a measure's (or a judge's) fields name, at any depth, absolute in place."""
    for key, value in fields.items() if isinstance(fields, dict) else ():
        if key in ("file", "files", "neutral", "articles", "chats", "own", "others", *more):
            if isinstance(value, str) and value not in get_args(Who):
                fields[key] = at(value)
            elif isinstance(value, list):
                fields[key] = [at(item) if isinstance(item, str) else item for item in value]
            elif isinstance(value, dict):
                fields[key] = {name: at(item) if isinstance(item, str) else item for name, item in value.items()}
        else:
            _place(value, at, more)


def _mappings(entries: Any) -> list[dict[str, Any]]:
    """The mappings among the entries of a mapping or a list, which is as its file has it and may be anything."""
    found = entries.values() if isinstance(entries, dict) else entries if isinstance(entries, list) else ()
    return [entry for entry in found if isinstance(entry, dict)]


def _explain(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "study"
    if error["type"].startswith("union_tag"):
        which, named = error["ctx"]["discriminator"].strip("'"), error["ctx"].get("tag")
        known = list(_DEFENCES) if error["loc"][0] == "stages" else sorted(BUILDERS)
        return f"{place}: " + (did_you_mean(which, named, known) if named else f"needs {which}: {', '.join(known)}")
    if error["type"] == "extra_forbidden":
        return f"{place}: " + did_you_mean("field", str(error["loc"][-1]), sorted(_fields(error["loc"])))
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if error["type"] in ("missing", "value_error") else f", got {str(error['input'])[:60]}"
    return f"{place}: {message}{shown}"


_DEFENCES = {"kl": KlConfig, "ldifs": LdifsConfig, "steer": SteerConfig, "caft": CaftConfig}


def _fields(place: tuple[Any, ...]) -> list[str]:
    """Known fields where an unknown one was found."""
    owner: type[BaseModel] = StudyConfig
    match list(place):
        case ["data", _, builder, *_]:
            owner = class_of(builder)
        case ["stages", _, "train", _]:
            owner = TrainConfig
        case ["stages", _, "defences", _, kind, *_]:
            owner = _DEFENCES[kind]
        case [("persona" | "answers" | "judge") as part, _]:
            owner = {"persona": ExtractConfig, "answers": AnswersConfig, "judge": JudgeConfig}[part]
        case ["stages", _, _]:
            owner = StageConfig
        case ["measures", measure, _, *_] | [measure, _, *_] if measure in MEASURES:
            owner = MeasuresConfig.class_of(measure)
        case ["measures", _]:
            owner = MeasuresConfig
    return list(owner.model_fields)

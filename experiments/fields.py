"""Changes of the form KEY=VALUE to the fields of a configuration, and one message for each mistake in them."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from experiments.directions.persona import ExtractConfig
from experiments.directions.recipes import DirectionConfig
from experiments.measures.config import MEASURES, MeasuresConfig
from experiments.measures.judge import JudgeConfig
from experiments.study.config import InsideConfig, MediationConfig, StageConfig, StudyConfig
from experiments.study.readings import AnswersConfig
from finetune.data.sets import BUILDERS, class_of
from finetune.defences import CaftConfig, KlConfig, LdifsConfig, SteerConfig
from finetune.recipe import TrainConfig
from interp.runs import did_you_mean

M = TypeVar("M", bound=BaseModel)


def checked(kind: type[M], fields: Mapping[str, Any]) -> M:
    """A configuration, or one message about what is wrong with it.

    Raises:
        ValueError: a field is unknown or out of its range.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ValueError("; ".join(map(explain, error.errors()))) from error


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


def explain(error: Any) -> str:
    """A mistake in the words of this project: where it is, what was got and what is known."""
    *parents, last = error["loc"] or ("study",)
    if last == "[key]":
        place = ".".join(map(str, parents[:-1]))
        if error["type"] != "literal_error":
            return f"{place}: the key {error['input']!r} is no text; put it in quotes"
        return f"{place}: " + did_you_mean("key", error["input"], _expected(error))
    parts = [str(part) for part in (*parents, last) if not str(part).startswith(("literal[", "tuple["))]
    if error["type"].startswith("int_") and last == "int":  # one of the kinds that the value may be of
        parts.pop()
    place = ".".join(parts)
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        return f"{place}: " + did_you_mean(parts[-1], error["input"], _expected(error))
    if error["type"].startswith("union_tag"):
        which, named = error["ctx"]["discriminator"].strip("'"), error["ctx"].get("tag")
        known = list(DEFENCES) if error["loc"][0] == "stages" else sorted(BUILDERS)
        return f"{place}: " + (did_you_mean(which, named, known) if named else f"needs {which}: {', '.join(known)}")
    if error["type"] == "extra_forbidden":
        return f"{place}: " + did_you_mean("field", str(error["loc"][-1]), sorted(_fields(error["loc"])))
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if error["type"] in ("missing", "value_error") else f", got {str(error['input'])[:60]}"
    return f"{place}: {message}{shown}"


def _expected(error: Any) -> list[str]:
    """The words that are allowed where another one is."""
    return re.findall("'([^']*)'", error["ctx"]["expected"])


DEFENCES = {"kl": KlConfig, "ldifs": LdifsConfig, "steer": SteerConfig, "caft": CaftConfig}


def _fields(place: tuple[Any, ...]) -> list[str]:
    """Known fields where an unknown one was found."""
    owner: type[BaseModel] = StudyConfig
    match list(place):
        case ["mediation", "measures", measure, _, *_]:
            owner = MeasuresConfig.class_of(measure)
        case ["mediation", "measures", _]:
            owner = MeasuresConfig
        case ["mediation", _]:
            owner = MediationConfig
        case ["lens", _]:
            owner = InsideConfig
        case ["directions", _, _]:
            owner = DirectionConfig
        case ["data", _, builder, *_]:
            owner = class_of(builder)
        case ["stages", _, "train", _]:
            owner = TrainConfig
        case ["stages", _, "defences", _, kind, *_]:
            owner = DEFENCES[kind]
        case [("persona" | "answers" | "judge") as part, _]:
            owner = {"persona": ExtractConfig, "answers": AnswersConfig, "judge": JudgeConfig}[part]
        case ["stages", _, _]:
            owner = StageConfig
        case ["measures", measure, _, *_] | [measure, _, *_] if measure in MEASURES:
            owner = MeasuresConfig.class_of(measure)
        case ["measures", _]:
            owner = MeasuresConfig
    return list(owner.model_fields)

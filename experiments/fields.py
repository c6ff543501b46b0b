"""The fields of a configuration: changes of the form KEY=VALUE, its files, and one message for each mistake.

All of it is found in the types of the fields, so a configuration says by its types what it needs from here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from interp.errors import did_you_mean

M = TypeVar("M", bound=BaseModel)


def checked(kind: type[M], fields: Mapping[str, Any]) -> M:
    """A configuration, or one message about what is wrong with it.

    Raises:
        ValueError: a field is unknown or out of its range.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ValueError("; ".join(explain(mistake, kind) for mistake in error.errors())) from error


def set_field(raw: dict[str, Any], change: str, kind: type[BaseModel] | None = None) -> None:
    """Carry out a `key.path=value` change on raw fields, the value being YAML.

    Args:
        kind: The configuration that the fields are of. Where it has entries that are named freely (a study's stages or
            data sets), a field of an entry can be changed only if the entry is there: a new one is written whole.

    Raises:
        ValueError: the change is not of that form, a part of the path is no mapping, or there is no such entry.
    """
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change}: must be key=value, for example --set {change}=100")
    *parents, last = key.split(".")
    place: Any = raw
    for depth, parent in enumerate(parents):
        if kind and parent not in place and _named_freely(kind, tuple(parents[:depth]), parent):
            section, entry = ".".join(parents[:depth]), ".".join(parents[: depth + 1])
            unknown = did_you_mean(f"entry of {section}", parent, list(map(str, place)))
            raise ValueError(f"--set {change}: {unknown}; a new one is written whole: --set '{entry}={{...}}'")
        if parent == "train" and isinstance(place.get(parent), str):
            place[parent] = {"preset": place[parent]}
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ValueError(f"--set {change}: {parent!r} is not a mapping")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {change}: the value is not YAML ({' '.join(str(error).split())})") from error


def explain(error: Any, kind: type[BaseModel]) -> str:
    """A mistake in the words of this project: where it is, what was got and what is known.

    Args:
        kind: The configuration that the mistake is in.
    """
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # of the whole configuration, whose message names the place
        return message
    *parents, last = error["loc"]
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
        known = sorted(_tags_at(kind, error["loc"]))
        return f"{place}: " + (did_you_mean(which, named, known) if named else f"needs {which}: {', '.join(known)}")
    if error["type"] == "extra_forbidden":
        return f"{place}: " + did_you_mean("field", str(error["loc"][-1]), sorted(_fields_at(kind, error["loc"])))
    shown = "" if error["type"] in ("missing", "value_error") else f", got {str(error['input'])[:60]}"
    return f"{place}: {message}{shown}"


def _expected(error: Any) -> list[str]:
    """The words that are allowed where another one is."""
    return re.findall("'([^']*)'", error["ctx"]["expected"])


# what the types say


def files_in(value: Any) -> Iterator[Path]:
    """Every path in a configuration, at any depth, in the order of the fields."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from files_in(getattr(value, name))
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from files_in(item)


def with_files(kind: Any, raw: Any, at: Callable[[str], str]) -> Any:
    """A copy of the raw fields of `kind`, with `at` of every file in them.

    A text is a file where the type of its field takes a path, unless the type names this very text as a word. What does
    not fit its type is left as it is, for validation to refuse.
    """
    options = _options(kind)
    if isinstance(raw, str):
        word = any(raw in get_args(option) for option in options if _is_words(option))
        return at(raw) if Path in options and not word else raw
    if isinstance(raw, Mapping):
        fields = {key: field for model in _models_of(options, raw) for key, field in model.model_fields.items()}
        values = [get_args(option)[1] for option in options if get_origin(option) in _MAPPINGS]
        types = {key: [fields[key].annotation] if key in fields else values for key in raw}
        return {key: with_files(types[key][0], item, at) if types[key] else item for key, item in raw.items()}
    items = [get_args(option)[0] for option in options if get_origin(option) in (tuple, list)]
    return [with_files(items[0], item, at) for item in raw] if isinstance(raw, list) and items else raw


_MAPPINGS = (dict, Mapping)


def _options(kind: Any) -> list[Any]:
    """The kinds that a value may be of: the members of a union, without what annotates them."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [option for member in get_args(kind) for option in _options(member)]
    return [kind]


def _models(options: list[Any]) -> list[type[BaseModel]]:
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _models_of(options: list[Any], raw: Mapping[str, Any]) -> list[type[BaseModel]]:
    """The models that raw fields may be of; where there are several, the one that their tag names."""
    models = _models(options)
    return models if len(models) < 2 else [model for model in models if raw.get(_tag(model) or "") in _tags(model)]


def _tag(model: type[BaseModel]) -> str | None:
    """The first required field that takes words alone: by it a union tells its members apart."""
    fields = model.model_fields.items()
    return next((name for name, field in fields if field.is_required() and _is_words(field.annotation)), None)


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    tag = _tag(model)
    return get_args(model.model_fields[tag].annotation) if tag else ()


def _is_words(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _within(kind: Any, place: tuple[Any, ...]) -> list[Any]:
    """The kinds that the value at a place may be of; a place is a way through fields, keys and tags of unions."""
    options = _options(kind)
    if not place:
        return options
    head, rest = place[0], place[1:]
    models = _models(options)
    if len(models) > 1:
        return [found for model in models if head in _tags(model) for found in _within(model, rest)]
    inner = [model.model_fields[head].annotation for model in models if head in model.model_fields]
    inner += [get_args(option)[1] for option in options if get_origin(option) in _MAPPINGS]
    inner += [get_args(option)[0] for option in options if get_origin(option) in (tuple, list)]
    return [found for one in inner for found in _within(one, rest)]


def _named_freely(kind: type[BaseModel], place: tuple[str, ...], name: str) -> bool:
    """Whether a name at a place is one that the configuration's author chose, and no field of a model."""
    options = _within(kind, place)
    return not any(name in model.model_fields for model in _models(options)) and any(
        get_origin(option) in _MAPPINGS for option in options
    )


def _fields_at(kind: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """Known fields where an unknown one is, which is the last of the place."""
    return [name for model in _models(_within(kind, place[:-1])) for name in model.model_fields]


def _tags_at(kind: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The words that a union at a place tells its members apart by."""
    return [tag for model in _models(_within(kind, place)) for tag in _tags(model)]

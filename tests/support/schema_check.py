"""Does a value fit a JSON schema? The keywords that the schema of a study uses, and no others."""

import re
from collections.abc import Callable, Mapping
from typing import Any

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}
SIZES: dict[str, Callable[[int, int], bool]] = {
    **dict.fromkeys(("minItems", "minLength", "minProperties"), lambda size, bound: size >= bound),
    **dict.fromkeys(("maxItems", "maxLength"), lambda size, bound: size <= bound),
}
SAID = {"$schema", "$defs", "title", "description", "default", "metavar", "format"}
"""Keywords that refuse nothing."""


def fits(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    """Whether a value fits a schema, which is a part of `whole`."""
    return all(_holds(key, asked, value, schema, whole) for key, asked in schema.items() if key not in SAID)


def _holds(key: str, asked: Any, value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    is_number = TYPES["number"](value)
    if key == "$ref":
        return fits(value, whole["$defs"][asked.removeprefix("#/$defs/")], whole)
    if key in ("anyOf", "allOf"):
        return (any if key == "anyOf" else all)(fits(value, option, whole) for option in asked)
    if key == "type":
        return any(TYPES[name](value) for name in ([asked] if isinstance(asked, str) else asked))
    if key in ("const", "enum"):
        return value in ([asked] if key == "const" else asked)
    if key == "pattern":
        return not isinstance(value, str) or re.search(asked, value) is not None
    if key in BOUNDS:
        return not is_number or BOUNDS[key](value, asked)
    if key in SIZES:
        return not isinstance(value, str | list | dict) or SIZES[key](len(value), asked)
    if key == "required":
        return not isinstance(value, dict) or set(asked) <= value.keys()
    if key == "properties":
        held = value if isinstance(value, dict) else {}
        return all(fits(held[name], of, whole) for name, of in asked.items() if name in held)
    if key == "additionalProperties":
        held, named = value if isinstance(value, dict) else {}, schema.get("properties", {})
        further = [item for name, item in held.items() if name not in named]
        return all(asked if isinstance(asked, bool) else fits(item, asked, whole) for item in further)
    if key == "propertyNames":
        return not isinstance(value, dict) or all(fits(name, asked, whole) for name in value)
    if key == "prefixItems":
        return not isinstance(value, list) or all(fits(item, of, whole) for item, of in zip(value, asked, strict=False))
    if key == "items":
        rest = value[len(schema.get("prefixItems", [])) :] if isinstance(value, list) else []
        return all(asked if isinstance(asked, bool) else fits(item, asked, whole) for item in rest)
    raise NotImplementedError(f"the schema uses {key!r}; add it here")

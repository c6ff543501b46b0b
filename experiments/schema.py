"""The JSON schema of a study's YAML file, made from the models that read it, so that editors complete and check it.

1. pydantic writes the schema of `StudyConfig`; the text under a field becomes its description.
2. What only the file knows is added: `like`, `each`, and a preset's name in place of a recipe.
3. The schema is made lenient where a file may say less than a study holds. A file that is `like` another names only
   what differs, and takes an entry away by `null`; and a word in braces that `each` lists stands where its name will.
   So nothing below the top is required, and every value may be null or such a text.

What a schema cannot say is checked when the study is read: that names are known and entries are whole.
"""

import ast
import inspect
import itertools
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from experiments.study.config import STUDIES, StudyConfig
from finetune.recipe import PRESETS
from interp.files import json_text

FILE = STUDIES / "study.schema.json"
"""Where the schema lies; the first line of a study's file names it."""
FIRST_LINE = "# yaml-language-server: $schema={}"
_WORD = {"type": "string", "pattern": r"\{[^{}]+\}", "description": "A word of `each`, in braces."}
_GONE = {"type": "null", "description": "In a study that is `like` another: takes the entry away."}


def described_schema() -> dict[str, Any]:
    """The schema of a whole study as pydantic writes it, with the text under each field."""
    return StudyConfig.model_json_schema(schema_generator=_Described)


def study_schema() -> dict[str, Any]:
    """The schema of a study's file."""
    schema = described_schema()
    needed = schema["required"]
    definitions = schema.pop("$defs")
    definitions["TrainConfig"]["properties"] = {
        "preset": {"enum": list(PRESETS), "description": "The recipe whose fields hold where none is given."},
        **definitions["TrainConfig"]["properties"],
    }
    recipe = {"anyOf": [{"enum": list(PRESETS)}, definitions.pop("TrainConfig")]}
    definitions["TrainConfig"] = recipe
    lenient = {name: _lenient(definition) for name, definition in definitions.items()}
    top = _lenient(schema)
    top["properties"] = {
        "like": {
            "type": "string",
            "description": "A study, by name or file: only what differs from it follows.",
        },
        "each": {
            "type": "object",
            "description": "Words, and the names that each stands for: an entry whose name holds a word in braces is "
            "written out for every name.",
            "additionalProperties": {
                "type": "array",
                "minItems": 1,
                "items": {"type": ["string", "integer", "number"]},
            },
        },
        **top["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "A study of sgtr-interp",
        "anyOf": [{"required": ["like"]}, {"required": needed}],
        "$defs": {"word": _WORD, "gone": _GONE, **lenient},
    }


def schema_text() -> str:
    """The schema as its file holds it."""
    return json_text(study_schema(), FILE.name, indent=1, ensure_ascii=False) + "\n"


class _Described(GenerateJsonSchema):
    """pydantic's generator, with the text under each field as its description."""

    def model_schema(self, schema: Any) -> Any:
        """The schema of a model."""
        made = super().model_schema(schema)
        texts = field_texts(schema["cls"])
        for name, field in made.get("properties", {}).items():
            if name in texts:
                field["description"] = texts[name]
        return made


def field_texts(kind: type[BaseModel]) -> dict[str, str]:
    """The text under each field of a model, as one line; fields without one are left out."""
    texts: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not (isinstance(owner, type) and issubclass(owner, BaseModel)) or owner is BaseModel:
            continue
        try:
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        except OSError:  # a model that was made by a function has no text of its own
            continue
        body = node.body if isinstance(node, ast.ClassDef) else []
        for field, text in itertools.pairwise(body):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def _lenient(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema in which nothing is required, and every value below it may be null or a word in braces."""
    made = {key: value for key, value in schema.items() if key not in ("required", "discriminator", "title")}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in made:
            options = [_lenient(option) for option in made.pop(key)]
            made["anyOf" if key == "oneOf" else key] = options
    if "properties" in made:
        made["properties"] = {name: _open(value) for name, value in made["properties"].items()}
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _open(made["additionalProperties"])
    if "items" in made:
        made["items"] = _open(made["items"])
    if "prefixItems" in made:
        made["prefixItems"] = [_open(item) for item in made["prefixItems"]]
    if "propertyNames" in made and "enum" in made["propertyNames"]:
        made["propertyNames"] = {"anyOf": [made["propertyNames"], {"$ref": "#/$defs/word"}]}
    return made


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """A value that may also be null or a word in braces; what is said of it stays in front."""
    about = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = _lenient({key: value for key, value in schema.items() if key not in about})
    return {**about, "anyOf": [inner, {"$ref": "#/$defs/word"}, {"$ref": "#/$defs/gone"}]}

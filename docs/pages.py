"""Pages of the documentation that are made from the code: commands, a study's fields, claims, metrics, Python.

mkdocs calls `on_files` when it builds the site. Nothing of these pages is kept, so none can be out of date.
"""

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from experiments import cli
from experiments.cli import COMMANDS
from experiments.hypotheses.register import CLAIMS
from experiments.schema import described_schema
from finetune.data.sets import CLASSES
from interp.metrics import MEASURE_LISTS, listed
from interp.rows import FIELDS

PARTS = {"judge": ("validate", "fit", "score")}
"""Commands that have commands of their own."""


def help_of(*command: str) -> str:
    """What a command prints for `--help`."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        cli.main([*command, "--help"])
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip()


def commands_page() -> str:
    """Every command with its help, as its parser prints it."""
    named = [(name, part) if part else (name,) for name in COMMANDS for part in PARTS.get(name, ("",))]
    named.insert(1, ("study", "new"))
    blocks = [f"## sgtr {' '.join(command)}\n\n```text\n{help_of(*command)}\n```\n" for command in named]
    start = "# Commands\n\nAll take `--json`. Exit code 0 is done, 2 your mistake (one message), 1 anything else.\n"
    return "\n".join([start, *blocks])


def study_page() -> str:
    """Every field of a study's file, from the models that read it."""
    schema = described_schema()
    definitions: Mapping[str, Any] = schema["$defs"]
    builders = {kind.__name__: kind.about for kind in CLASSES}
    parts = [
        "# A study's file\n",
        "`sgtr study new` writes one to begin with. Two words stand beside these fields: `like: NAME` changes another "
        "study field by field, and `each: {word: [names]}` writes an entry out for every name.\n",
        _table(schema, definitions),
    ]
    for name, definition in sorted(definitions.items()):
        if "properties" not in definition:
            continue
        about = "".join(f"`builder: {builder}`: {words}.\n\n" for builder, words in builders.get(name, {}).items())
        parts.append(f"## {name}\n\n{about or _first_line(definition)}{_table(definition, definitions)}")
    return "\n".join(parts)


def _first_line(definition: Mapping[str, Any]) -> str:
    text = str(definition.get("description", "")).strip().partition("\n")[0]
    return f"{text}\n\n" if text else ""


def _table(definition: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    needed = set(definition.get("required", ()))
    rows = ["| field | kind | default | meaning |", "|---|---|---|---|"]
    for name, field in definition.get("properties", {}).items():
        default = "needed" if name in needed else _default(field)
        meaning = " ".join(str(field.get("description", "")).split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {_kind(field, definitions)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(field: Mapping[str, Any]) -> str:
    """A field's default as YAML has it; nothing for one that has fields of its own, with their own defaults."""
    value = field.get("default", {})
    return "" if isinstance(value, dict) else f"`{json.dumps(value)}`"


def _kind(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A field's type in words, with a link where it has a table of its own."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "properties" in definitions.get(name, {}) else name
    for key in ("anyOf", "oneOf", "allOf"):
        if key in field:
            return " or ".join(dict.fromkeys(_kind(option, definitions) for option in field[key]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], definitions)}" if isinstance(field.get("items"), dict) else "list"
    if field.get("type") == "object":
        of = field.get("additionalProperties")
        return f"names of {_kind(of, definitions)}" if isinstance(of, dict) else "mapping"
    return "path" if field.get("format") == "path" else str(field.get("type", "any"))


def metrics_page() -> str:
    """Every number of metrics.jsonl, and every field of its lines."""
    parts = ["# Metrics\n", "One line of `metrics.jsonl` is one number. `sgtr list metrics` prints this list.\n"]
    rows = listed()
    for name, measure in MEASURE_LISTS.items():
        parts.append(f"## {name}\n\n{measure.meaning} Written by {measure.source}.\n")
        parts.append("| metric | unit | meaning | a row for each |\n|---|---|---|---|")
        parts += [
            f"| `{row['metric']}` | {row['unit']} | {row['meaning']} | {row['a row for each']} |"
            for row in rows
            if row["measure"] == name
        ]
        parts.append("")
    parts += ["## Fields of a line\n", "| field | meaning |", "|---|---|"]
    parts += [f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items()]
    return "\n".join(parts) + "\n"


def claims_page() -> str:
    """Every claim with its effect, its margin and its gates."""
    parts = [
        "# Claims\n",
        "What a study with families is asked, as `experiments/hypotheses/register.py` holds it. "
        "[The science](../science.md) says how to read a verdict.\n",
        "| claim | statement | margin | of what | gates |",
        "|---|---|---|---|---|",
    ]
    parts += [
        f"| `{one.id}` | {one.statement.replace('{trait}', 'the trait')} | {one.margin:g} {one.unit} | "
        f"{one.quantity.format(trait='the trait')} | {', '.join(one.gates) or 'none'} |"
        for one in CLAIMS
    ]
    return "\n".join(parts) + "\n"


def python_page() -> str:
    """The public names of `interp`, each where it is defined."""
    import interp

    blocks = [f"::: {getattr(interp, name).__module__}.{name}\n" for name in interp.__all__]
    start = (
        "# Python\n\n```python\nfrom interp import Model, Run\n```\n\nThe conventions (layers, hook points, units) are "
    )
    return "\n".join([start + "in `help(interp)`.\n", *blocks])


PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/study.md": study_page,
    "reference/claims.md": claims_page,
    "reference/metrics.md": metrics_page,
    "reference/python.md": python_page,
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to the site."""
    from mkdocs.structure.files import File

    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files

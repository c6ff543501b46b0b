"""Reads a study from its YAML file; a mistake in it is one message that names the field and what is known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.directions.files import trait_file
from experiments.fields import explain, files_in, set_field, with_files
from experiments.study.config import STUDIES, StudyConfig
from experiments.study.each import written_out
from interp.errors import did_you_mean
from interp.files import read_yaml
from interp.sources import sha256_of


def inputs_of(config: StudyConfig) -> dict[str, str]:
    """sha256 of every file that the study names by its path; traits of our own come with the commit."""
    traits = [Path(trait) for trait in config.traits if trait.endswith(".json")]
    named = [*files_in(config), *map(Path, config.direction_files), *traits]
    return {str(file): sha256_of(file) for file in named if file.is_file()}


def load(name_or_file: str, changes: tuple[str, ...] = (), data: Path | None = None) -> StudyConfig:
    """A study by its own name or by file, with `key.path=value` changes.

    A file that begins `like: NAME_OR_FILE` changes another study: what it says goes over that study's fields, entry by
    entry where they are mappings, and `null` takes an entry away. A data set of another builder replaces the old one.

    Args:
        data: Folder of the files that the study names; None for the study's own folder.

    Raises:
        ValueError: unknown, malformed, or with an unknown field; the message names the file, or the change that is to
            blame, the field and what is known.
    """
    path = _found(name_or_file, Path())
    raw = _read(path, data, ())
    changed = _changed(_unshared(raw), changes, path)
    try:
        config = StudyConfig.model_validate(_absolute(changed, data or path.parent))
    except ValidationError as error:
        mistakes = [explain(mistake, StudyConfig) for mistake in error.errors()]
        if changes and _is_valid(_absolute(_changed(raw, (), path), data or path.parent)):
            by_change: dict[str, list[str]] = {}
            for mistake in mistakes:
                by_change.setdefault(_blamed(mistake, changes), []).append(mistake)
            raise ValueError("; ".join(f"{change}: {'; '.join(of)}" for change, of in by_change.items())) from error
        raise ValueError(f"{path}: " + "; ".join(mistakes)) from error
    try:
        _ = [trait_file(name, (data or path.parent, Path())) for name in config.traits]
    except ValueError as error:
        raise ValueError(f"{path}: traits: {error}") from error
    return config


def _is_valid(raw: Mapping[str, Any]) -> bool:
    """Whether raw fields are a study."""
    try:
        StudyConfig.model_validate(raw)
    except ValidationError:
        return False
    return True


def _blamed(mistake: str, changes: tuple[str, ...]) -> str:
    """The changes that brought a mistake into a study that is right without them: those of the place that it names.

    Args:
        mistake: The message, which begins with its place; one that is about the whole study is blamed on all changes.
    """
    place = mistake.partition(":")[0].split(".")
    keys = {change: change.partition("=")[0].split(".") for change in changes}
    there = [change for change, key in keys.items() if key[: len(place)] == place or _is_in_order(key, place)]
    return " ".join(f"--set {change}" for change in there or changes)


def _is_in_order(key: list[str], place: list[str]) -> bool:
    """Whether a place has the parts of a key in their order; tags of unions stand between them."""
    rest = iter(place)
    return all(part in rest for part in key)


def _changed(raw: dict[str, Any], changes: tuple[str, ...], path: Path) -> dict[str, Any]:
    """Fields with `each` written out and changes made; a change to `each` comes before, all others after.

    Raises:
        ValueError: `each` cannot be written out, and the message names the file; or a change cannot be made.
    """
    first = [change for change in changes if change.startswith("each.")]
    for change in first:
        set_field(raw, change)
    try:
        raw = written_out(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for change in changes:
        if change not in first:
            set_field(raw, change, StudyConfig)
    return raw


def _found(name_or_file: str, folder: Path) -> Path:
    """File of a study of this project, or one beside a folder."""
    own = STUDIES / f"{name_or_file}.yaml"
    path = own if own.is_file() else folder / Path(name_or_file).expanduser()
    if not path.is_file():
        known = sorted(file.stem for file in STUDIES.glob("*.yaml"))
        raise ValueError(did_you_mean("study", name_or_file, known) + "; or a .yaml file")
    return path


def _read(path: Path, data: Path | None, users: tuple[Path, ...]) -> dict[str, Any]:
    """Raw fields of a study file, over those of the study that it says it is like."""
    raw = _unshared(read_yaml(path))
    like = raw.pop("like", None)
    if like is None:
        return raw
    users = (*users, path)
    try:
        other = _found(str(like), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: like: {error}") from error
    if other.resolve() in {user.resolve() for user in users}:
        raise ValueError(f"{path}: like: {like} is like this study itself; one of them has to stand alone")
    return _over(_absolute(_read(other, data, users), data or other.parent), raw)


def _over(fields: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with changes made: mappings entry by entry, anything else in its place, and what is null taken away."""
    made = dict(fields)
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping) and key == "train" and isinstance(made.get(key), str):
            made[key] = {"preset": made[key], **value}
        elif isinstance(value, Mapping) and isinstance(made.get(key), dict) and not _another_kind(made[key], value):
            made[key] = _over(made[key], value)
        else:
            made[key] = value
    return made


def _another_kind(entry: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    """Whether a data set or a direction is made in another way, so that no field of it can stay."""
    return any(change.get(key, entry.get(key)) != entry.get(key) for key in ("builder", "recipe"))


def _unshared(value: Any) -> Any:
    """A copy in which what YAML aliases name is there once for each, so that a change to one leaves the others."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _absolute(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The raw fields of a study with its files relative to the folder."""

    filled_in = {f"{{{word}}}" for word in raw.get("each") or {}}  # a trait that `each` names, which no file is yet

    def at(file: str) -> str:
        return file if file in filled_in else str((folder / Path(file).expanduser()).resolve())

    def named(value: Any, suffix: str) -> Any:
        """What names a trait or a direction, or else its file."""
        return at(value) if isinstance(value, str) and value.endswith(suffix) else value

    for entry in _mappings(raw.get("data")):
        if isinstance(entry.get("trait"), str) and entry["trait"] not in filled_in:
            entry["trait"] = str(trait_file(entry["trait"], (folder, Path())))  # one of our own, or a file like others
    for stage in _mappings(raw.get("stages")):
        for defence in _mappings(stage.get("defences")):
            if isinstance(defence.get("directions"), list):
                defence["directions"] = [named(direction, ".safetensors") for direction in defence["directions"]]
            if "direction" in defence:
                defence["direction"] = named(defence["direction"], ".safetensors")
    if isinstance(raw.get("traits"), list):
        raw["traits"] = [named(trait, ".json") for trait in raw["traits"]]
    return with_files(StudyConfig, raw, at)


def _mappings(entries: Any) -> list[dict[str, Any]]:
    """The mappings among the entries of a mapping or a list, which is as its file has it and may be anything."""
    found = entries.values() if isinstance(entries, dict) else entries if isinstance(entries, list) else ()
    return [entry for entry in found if isinstance(entry, dict)]

"""What a study makes before anything is trained: directions with their nulls, and how its data lie along them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from experiments.directions.files import trait_file
from experiments.directions.make import prepare
from experiments.directions.persona import extract
from experiments.measures.judge import COSTS, judge_of
from experiments.resumable import Name, Once
from experiments.rows.prediction import Beside, prediction_rows
from experiments.study import readings
from experiments.study.config import StudyConfig
from experiments.study.data_sets import Material
from interp.directions import Direction
from interp.instrument import Instrument, load_permuted, nulls_file
from interp.model import Model
from interp.sources import sha256_of
from interp.tensors import load_tensors, save_tensors
from interp.traits import Trait

Row = dict[str, Any]
Prepared = Callable[[Model, Path], Direction]


def traits_of(config: StudyConfig) -> list[Trait]:
    """The study's traits.

    Raises:
        FileNotFoundError, ValueError: one cannot be read, or is called otherwise than its file.
    """
    traits = []
    for named in config.traits:
        file = trait_file(named)
        trait = Trait.load(file)
        if trait.name != file.name.split(".")[0]:
            raise ValueError(
                f"{file}: the trait in it is called {trait.name!r}; a study calls traits by their files, so let both "
                "have one name"
            )
        traits.append(trait)
    return traits


def prepared_directions(config: StudyConfig, out: Path) -> dict[str, Prepared]:
    """The study's further directions, their files read and checked.

    Raises:
        ValueError, FileNotFoundError: bad input; with the direction's name.
    """
    made = {}
    for name, one in config.directions.items():
        named, rollouts = one.model_copy(update={"name": name}), out / "records" / f"rollouts-{name}.jsonl"
        try:
            made[name] = prepare(named, (), rollouts, config.sampling_seed)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"directions.{name}: {error}") from error
    return made


def instrument_of(config: StudyConfig, model: Model, traits: Sequence[Trait], once: Once, out: Path) -> Instrument:
    """Every direction of the study with its nulls, made of the bare base model unless the run has it."""
    seed, persona = config.sampling_seed, config.persona
    makers: dict[str, tuple[list[Any], Callable[[Path], object]]] = {}
    judge = cache(lambda: judge_of(persona.judge, out / "judge-persona.jsonl") if persona.judge else None)
    played = persona.model_dump(mode="json", exclude={"judge": COSTS})
    for trait, named in zip(traits, config.traits, strict=True):

        def play(path: Path, trait: Trait = trait) -> None:
            rollouts = out / "records" / f"rollouts-{trait.name}.jsonl"
            extract(model, trait, persona, seed=seed, direction_file=path, rollouts_file=rollouts, judge=judge())

        reading = persona.judge.reading if persona.judge else []
        makers[trait.name] = ([trait_file(named).read_text("utf-8"), played, seed, *reading], play)
    prepared = prepared_directions(config, out)
    for name, one in config.directions.items():
        contents = [sha256_of(file) for file in one.files().values() if file.is_file()]

        def form(path: Path, make: Prepared = prepared[name]) -> None:
            make(model, path)

        makers[name] = ([one.model_dump(mode="json"), seed, *contents], form)
    directions, permuted = {}, {}
    for name, (what, make) in makers.items():
        path = out / "tensors" / f"{name}.safetensors"

        def whole(path: Path = path, make: Callable[[Path], object] = make) -> Row:
            with model.using():
                make(path)
            return {"file": path.name}

        once(Name.of(name).then("direction"), what, whole, (path, nulls_file(path)))
        directions[name] = Direction.load(path, model=model.identity)
        permuted[name] = load_permuted(path, model=model.identity)
    personas = tuple(trait.name for trait in traits)
    return Instrument(directions, permuted, config.random_nulls, seed, personas)


def data_beside_own(
    config: StudyConfig, model: Model, material: Material, instrument: Instrument, once: Once, out: Path
) -> tuple[list[Row], Mapping[str, Beside]]:
    """How far each stage's data lie along the directions from the base's own answers, and both sides by data set."""
    rows, beside = [], {}
    for name in dict.fromkeys(stage.data for stage in config.stages.values()) if config.prediction_rows else ():
        data = material.of(name).train[: config.prediction_rows]
        part = Name.of(name).then("beside_the_base's_own_answers")
        path = out / "tensors" / f"data-{name}.safetensors"

        def make(name: str = name, data: list[Row] = data, label: str = part.label, path: Path = path) -> Row:
            with model.using():
                sides = readings.beside_own(model, data, config.answers, seed=config.sampling_seed, label=label)
                given, own = (readings.readings(model, side, label=label)[0] for side in sides)
            header = {**model.description(), "pooling": "response_mean", "data": name}
            save_tensors(path, {"given": given, "own": own}, kind="data beside own answers", header=header)
            return {"n": len(given)}

        what = [[row["messages"] for row in data], config.answers.model_dump(), config.sampling_seed]
        if once(part, what, make, (path,))["n"] > 1:
            both = load_tensors(path, kind="data beside own answers", model=model.identity)[0]
            beside[name] = (both["given"], both["own"])
            rows += prediction_rows(instrument, both["given"], both["own"], name)
    return rows, beside

"""Along which direction do these two kinds of text differ inside a model? Directions that are not made from a trait.

1. A recipe says which texts stand on which side, and which are left out why (`experiments.directions.sides`).
2. The texts are read through the model with its stack of adapters; each gives one pooled activation per layer.
3. The recipe makes a vector per layer from the two sides. The same recipe on questions that it was not made from says
   how well the vector separates them and which layer headlines use; shuffled labels say what it finds in nothing.

A displacement has no two sides: the same texts are read through a stage and through its parent, and the direction is
the mean of their differences.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from experiments.directions.fit import Made, Rows, Vectors, from_sides, read_rows, rehearsed, token_weighted, vectors_by
from experiments.directions.recipes import FILES, DirectionConfig
from experiments.directions.roles import played, read_roles
from experiments.directions.sides import Sides, contrast_sides, em_sides, recognition_sides
from experiments.directions.texts import Text, read_texts
from interp.directions import Direction, displacement
from interp.instrument import nulls_file
from interp.model import Model
from interp.nulls import Groups
from interp.runs import InterpError, content_key, fresh, save_tensors, seed_from
from interp.sources import ADAPTER_FILES, adapter_folder, sha256_of
from interp.template import AS_IS, TemplateSettings


def _contrasted(model: Model, sides: Sides, groups: Groups, make: Vectors, config: DirectionConfig, seed: int) -> Made:
    assert config.pooling is not None
    texts = [*sides.positive, *sides.negative]
    read = read_rows(model, model.chat.tokens_of([text.messages for text in texts]), config.pooling, "reading")
    n = len(sides.positive)
    made = from_sides(Rows(read.h[:n], read.tags[:n]), Rows(read.h[n:], read.tags[n:]), groups, make, config, seed=seed)
    hashed = content_key([[vars(text) for text in side] for side in (sides.positive, sides.negative)])
    more = {"left_out": dict(sides.left_out), "data_hash": hashed}
    return Made(made.vectors, {**made.header, **more}, made.separation, made.permuted)


def _displaced(
    model: Model, texts: Sequence[Text], empty: int, adapters: Sequence[Path], config: DirectionConfig
) -> Made:
    assert config.pooling is not None
    assert config.parent is not None
    rows = model.chat.tokens_of([text.messages for text in texts])
    stage = read_rows(model, rows, config.pooling, "reading the stage")
    with model.using(*adapters[: config.parent]):
        parent_stack = [folder.name for folder in model.stack]
        parent = read_rows(model, rows, config.pooling, "reading the parent")
    vectors = token_weighted(stage, parent) if config.weighting == "token" else displacement(stage.h, parent.h)
    if not vectors.any():
        raise InterpError(f"the stage and its parent ({config.parent} adapters) read alike: no text moved")
    header = {
        "parent_stack": parent_stack,
        "n_positive": len(texts),
        "n_negative": len(texts),
        "n_questions": len({text.group for text in texts}),
        "left_out": {"empty_answer": empty},
        "data_hash": content_key([vars(text) for text in texts]),
        "held_out_auroc": None,
        "held_out_cohens_d": None,
        "separation_null": None,
        "permuted": None,
        "mean_norm": [round(float(x), 4) for x in torch.cat([stage.h, parent.h]).norm(dim=-1).mean(0)],
    }
    return Made(vectors, header)


# the command


def _sources(config: DirectionConfig) -> dict[str, Any]:
    """The files that a direction comes from: names, and sha256 of their contents."""
    given = {key: path for key in sorted(FILES) if (path := getattr(config, key)) is not None}
    return {
        key: {
            "name": path.name,
            "sha256": sha256_of(path)
            if path.is_file()
            else content_key({str(file.relative_to(path)): sha256_of(file) for file in path.rglob("*.json*")}),
        }
        for key, path in given.items()
    }


def _sides(config: DirectionConfig, seed: int) -> Sides:
    answered = config.pooling == "response_mean"
    if config.recipe == "em":
        assert config.answers is not None
        return em_sides(config.answers, seed_from(seed, "balance"))
    if config.recipe == "self-recognition":
        assert config.pairs is not None
        assert config.read is not None
        return recognition_sides(config.pairs, config.read)
    assert config.positive is not None
    assert config.negative is not None
    return contrast_sides(config.positive, config.negative, answered=answered, paired=config.recipe_kind == "pca")


def run(
    *,
    config: DirectionConfig,
    model: str,
    adapters: Sequence[Path],
    out: Path,
    seed: int,
    device: str,
    dtype: str,
    template: TemplateSettings = AS_IS,
) -> dict[str, Any]:
    """The `direction` command: writes OUT/direction.safetensors and, where there are two sides, its permuted nulls.

    Raises:
        ValueError, FileNotFoundError: bad input, named; raised before a model is loaded wherever that can be.
        InterpError: there is nothing to make a direction from.
    """
    target, rollouts_file = fresh(out / "direction.safetensors"), out / "rollouts.jsonl"
    fresh(nulls_file(target))
    for adapter in adapters:
        if not (adapter_folder(adapter) / ADAPTER_FILES[0]).is_file():
            raise FileNotFoundError(f"{adapter}: no adapter there ({ADAPTER_FILES[0]} is missing)")
    prepared = prepare(config, adapters, fresh(rollouts_file), seed)
    loaded = Model.load(model, template, device=device, dtype=dtype)
    loaded.use(*adapters)
    direction = prepared(loaded, target)
    header, layer = direction.header, direction.layer
    aurocs, effects, beside = (header[key] for key in ("held_out_auroc", "held_out_cohens_d", "separation_null"))
    return {
        "direction": str(target),
        "name": direction.name,
        "recipe": header["recipe"],
        "layer": layer,
        "layer_chosen": header["layer_chosen"],
        "norm": round(float(direction.at(layer).norm()), 4),
        "n_positive": header["n_positive"],
        "n_negative": header["n_negative"],
        "left_out": header["left_out"],
        "held_out_auroc": aurocs and aurocs[layer],
        "held_out_cohens_d": effects and effects[layer],
        "best_auroc": beside and beside["auroc"],
        **({"roles_under_min_rows": header["roles_under_min_rows"]} if "roles_under_min_rows" in header else {}),
        "rollouts": str(rollouts_file) if rollouts_file.exists() else None,
    }


def prepare(
    config: DirectionConfig, adapters: Sequence[Path], rollouts_file: Path, seed: int
) -> Callable[[Model, Path], Direction]:
    """A direction with its files read and checked, waiting for a model (as it is, with its active stack) and a file.

    Called, it writes the direction to the file and its permuted nulls, where there are two sides, beside it.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
    """
    config, make = _prepared(config.resolved(), adapters, rollouts_file, seed)
    sources = _sources(config)

    def written(model: Model, target: Path) -> Direction:
        if config.layer is not None:
            model.check_layers([config.layer])
        made = make(model)
        layer, chosen = model.n_layers // 2, "middle, since there are no two sides to separate"
        if config.layer is not None:
            layer, chosen = config.layer, "given"
        elif made.separation is not None:
            layer, chosen = made.separation.best, "best at separating held-out questions"
        header = {
            **model.description(),
            "stack": [folder.name for folder in model.stack],
            "recipe": config.described,
            "sources": sources,
            "pooling": config.pooling,
            "weighting": config.weighting,
            "layer_chosen": chosen,
            "seed": seed,
            "config": config.model_dump(mode="json", exclude=FILES, exclude_none=True),
            **made.header,
        }
        if made.permuted is not None:
            save_tensors(nulls_file(target), {"permuted": made.permuted}, kind="nulls", header=header)
        direction = Direction(str(config.name), made.vectors, tuple(range(model.n_layers)), layer, header)
        direction.save(target)
        return direction

    return written


def _prepared(
    config: DirectionConfig, adapters: Sequence[Path], rollouts_file: Path, seed: int
) -> tuple[DirectionConfig, Callable[[Model], Made]]:
    """The recipe with its files read and checked, waiting for a model."""
    if config.recipe == "displacement":
        assert config.texts is not None
        parent = len(adapters) - 1 if config.parent is None else config.parent
        if not 0 <= parent < len(adapters):
            raise ValueError(
                f"displacement: the parent's {max(parent, 0)} adapters must be fewer than the stage's {len(adapters)}; "
                "give the stage with --adapter, once for each adapter, and fewer with --parent"
            )
        texts, empty = read_texts(config.texts, answered=config.pooling == "response_mean")
        config = config.model_copy(update={"parent": parent})
        return config, lambda model: _displaced(model, texts, empty, adapters, config)
    if config.recipe == "assistant-axis":
        roles = read_roles(config.roles, config.questions)
        roles = replace(roles, questions=roles.questions[: config.most_questions])
        assert config.rollouts is not None
        assert config.min_rows is not None
        most = max(map(len, roles.roles.values())) * len(roles.questions) * config.rollouts
        if most < config.min_rows:
            raise ValueError(f"min_rows {config.min_rows}: no role is asked for more than {most} answers; lower it")
        return config, lambda model: played(model, roles, config, rollouts_file, seed)
    assert config.weighting is not None
    sides = _sides(config, seed)
    make = vectors_by(config.recipe_kind or "mean", config.weighting, seed)
    groups = rehearsed(sides, make, seed=seed)
    return config, lambda model: _contrasted(model, sides, groups, make, config, seed)

"""Along which direction do these two kinds of text differ inside a model? Directions that are not made from a trait.

1. A recipe (`experiments.directions.recipes` names them all) says which texts stand on which side, and which are left
   out why.
2. The texts are read through the model with its stack of adapters; each gives one pooled activation per layer.
3. The recipe makes a vector per layer from the two sides. The same recipe on questions that it was not made from says
   how well the vector separates them and which layer headlines use; shuffled labels say what it finds in nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.directions.recipe import Recipe, Workplace
from experiments.directions.recipes import DirectionConfig
from experiments.loading import Loading
from interp.directions import Direction
from interp.files import fresh
from interp.instrument import nulls_file, save_with_nulls
from interp.keys import content_key
from interp.model import Model
from interp.sources import ADAPTER_FILES, adapter_folder, sha256_of


def run(
    *,
    config: DirectionConfig,
    model: str,
    adapters: Sequence[Path],
    out: Path,
    seed: int,
    loading: Loading,
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
    loaded = loading.model(model)
    loaded.use(*adapters)
    direction = prepared(loaded, target)
    header, layer = direction.header, direction.layer
    aurocs, effects, null = (header[key] for key in ("held_out_auroc", "held_out_cohens_d", "separation_null"))
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
        "best_auroc": null and null["auroc"],
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
    recipe, make = config.resolved().prepare(Workplace(adapters, rollouts_file, seed))
    sources = _sources(recipe)

    def written(model: Model, target: Path) -> Direction:
        if recipe.layer is not None:
            model.check_layers([recipe.layer])
        made = make(model)
        layer, chosen = model.n_layers // 2, "middle, since there are no two sides to separate"
        if recipe.layer is not None:
            layer, chosen = recipe.layer, "given"
        elif made.separation is not None:
            layer, chosen = made.separation.best, "best at separating held-out questions"
        settings = recipe.model_dump(mode="json", exclude=set(recipe.files()), exclude_none=True)
        header = {
            **model.description(),
            "stack": [folder.name for folder in model.stack],
            "recipe": recipe.described,
            "sources": sources,
            "pooling": recipe.pooling,
            "weighting": recipe.weighting,
            "layer_chosen": chosen,
            "seed": seed,
            "config": {"recipe": recipe.recipe, **settings},
            **made.header,
        }
        direction = Direction(recipe.name, made.vectors, tuple(range(model.n_layers)), layer, header)
        save_with_nulls(direction, made.permuted, target)
        return direction

    return written


def _sources(recipe: Recipe) -> dict[str, Any]:
    """The files that a direction comes from: names, and sha256 of their contents."""
    return {
        key: {
            "name": path.name,
            "sha256": sha256_of(path)
            if path.is_file()
            else content_key({str(file.relative_to(path)): sha256_of(file) for file in path.rglob("*.json*")}),
        }
        for key, path in recipe.files().items()
    }

"""How far along a direction do these texts lie, read through this model? Projections of given chats, with nulls."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.console import bar
from experiments.extract import load_permuted
from interp import stats
from interp.activations import Pooling, pooled, window
from interp.chat import read_chats
from interp.directions import Direction
from interp.model import Model
from interp.nulls import random_like
from interp.projection import cosine, project
from interp.runs import environment, fresh, write_atomic, write_jsonl


def run(
    *,
    direction: Path,
    model: str,
    texts: Path,
    out: Path,
    adapters: list[Path],
    pooling: Pooling,
    n_random: int,
    seed: int,
    device: str,
    dtype: str,
) -> dict[str, Any]:
    """The `project` command: writes OUT/projections.jsonl and OUT/metrics.jsonl, with nulls beside every layer.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
        InterpError: the direction is of another model, or a text has nothing to read.
    """
    import json

    fresh(out / "metrics.jsonl")
    if n_random < 20:
        raise ValueError(f"random must be at least 20, got {n_random}: a projection is read beside its nulls")
    chats = read_chats(texts)
    Direction.load(direction)
    loaded = Model.load(model, device=device, dtype=dtype)
    held = Direction.load(direction, model=loaded.identity)
    permuted = load_permuted(direction, model=loaded.identity)
    loaded.use(*adapters)
    rows = [loaded.chat.tokens(chat["messages"]) for chat in chats]
    for i, row in enumerate(rows, 1):
        window(row, pooling, i)
    with bar("reading", len(rows)) as advance:
        activations = pooled(loaded, rows, pooling=pooling, layers=held.layers, progress=advance)
    nulls = {"random": random_like(held.vectors, n_random, seed=seed), "permuted": permuted}
    metrics: list[dict[str, Any]] = []
    along = torch.stack([project(activations[:, k], held.vectors[k]) for k in range(len(held.layers))], dim=1)
    for k, layer in enumerate(held.layers):
        h, v = activations[:, k], held.vectors[k]
        common = {"measure": "projection", "direction": held.name, "layer": layer, "headline": layer == held.layer}
        common |= {"pooling": pooling}
        mean = stats.mean(along[:, k].numpy())
        metrics.append({**common, "metric": "mean_projection", **mean.row(), "unit": "residual-stream norm"})
        metrics.append({**common, "metric": "mean_cosine", **stats.mean(cosine(h, v).numpy()).row(), "unit": "cosine"})
        for kind, null in nulls.items():
            if null is None:
                continue
            units = null[:, k].double() / null[:, k].double().norm(dim=-1, keepdim=True)
            shown = (units @ h.double().mean(0)).numpy()
            low, high = np.percentile(shown, [2.5, 97.5])
            value = {"value": stats.percentile(float(mean.value or 0.0), shown), "ci_low": None, "ci_high": None}
            band = {"null": kind, "n_null": len(shown), "null_low": float(low), "null_high": float(high)}
            metrics.append({**common, "metric": "null_percentile", **value, "n": mean.n, "unit": "percentile", **band})
    at = held.layers.index(held.layer)
    records = [
        {"id": chat.get("id", f"{texts.name}:{i + 1}"), "layer": held.layer, "projection": float(along[i, at])}
        | {"projections": [round(float(x), 5) for x in along[i]]}
        for i, chat in enumerate(chats)
    ]
    write_jsonl(out / "projections.jsonl", records)
    made = {
        **environment(),
        "direction": str(direction),
        "stack": [str(a) for a in loaded.stack],
        **loaded.description(),
    }
    write_atomic(out / "manifest.json", json.dumps({**made, "texts": str(texts), "seed": seed}, indent=2) + "\n")
    write_jsonl(out / "metrics.jsonl", metrics)
    headline = {m["metric"] + ("_" + m["null"] if "null" in m else ""): m for m in metrics if m["headline"]}
    return {
        "direction": held.name,
        "layer": held.layer,
        "n": len(rows),
        **{key: headline["mean_projection"][key] for key in ("value", "ci_low", "ci_high", "unit")},
        "mean_cosine": headline["mean_cosine"]["value"],
        "percentile_among_random": headline["null_percentile_random"]["value"],
        "out": str(out),
    }

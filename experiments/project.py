"""How far along a direction do these texts lie, read through this model? Projections of given chats, with nulls."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.console import bar
from experiments.rows.shifts import shift_rows
from interp import stats
from interp.activations import Pooling, batches, default_tokens, pooled, window
from interp.batch import Batch
from interp.chat import Tokens, read_chats
from interp.directions import Direction
from interp.instrument import Instrument, load_permuted
from interp.messages import chat_names
from interp.model import Model
from interp.nulls import nulls_for
from interp.projection import cosine, project, token_projections, unit_vectors
from interp.runs import environment, fresh, load_tensors, read_json, read_yaml, write_atomic, write_jsonl
from interp.template import AS_IS, TemplateSettings


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
    tokens: bool = False,
    template: TemplateSettings = AS_IS,
) -> dict[str, Any]:
    """The `project` command: writes OUT/projections.jsonl and OUT/metrics.jsonl, with nulls beside every layer.

    Args:
        tokens: Also write every token's projection at the direction's headline layer.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
        InterpError: the direction is of another model, or a text has nothing to read.
    """
    fresh(out / "metrics.jsonl")
    if n_random < 20:
        raise ValueError(f"random must be at least 20, got {n_random}: a projection is read beside its nulls")
    chats = read_chats(texts)
    Direction.load(direction)
    loaded = Model.load(model, template, device=device, dtype=dtype)
    held = Direction.load(direction, model=loaded.identity)
    permuted = load_permuted(direction, model=loaded.identity)
    loaded.use(*adapters)
    rows = loaded.chat.tokens_of([chat["messages"] for chat in chats], chat_names(texts, len(chats)))
    for i, row in enumerate(rows, 1):
        window(row, pooling, i)
    with bar("reading", len(rows)) as advance:
        activations = pooled(loaded, rows, pooling=pooling, layers=held.layers, progress=advance)
    several = activations if len(rows) > 1 else None
    nulls = nulls_for(held.vectors, n=n_random, seed=seed, rows=several, permuted=permuted)
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
    if tokens:
        for record, row, each in zip(records, rows, _by_token(loaded, rows, held), strict=True):
            record |= {"tokens": [loaded.chat.decode([i]) for i in row.ids], "token_projections": each}
            record |= {"prompt_end": row.prompt_end}
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


def _by_token(model: Model, rows: Sequence[Tokens], direction: Direction) -> list[list[float]]:
    """Projection of every token of every row after the direction's headline layer."""
    unit = unit_vectors(direction.at(direction.layer)[None]).float().to(model.device)
    found: list[list[float]] = [[] for _ in rows]
    for chosen in batches(rows, default_tokens(model)):
        batch = Batch.of([rows[i] for i in chosen], model.pad, model.device)
        (along,) = model.residuals(batch, lambda h: token_projections(h, unit.to(h.device)), [direction.layer])
        for i, values in zip(chosen, along[..., 0].tolist(), strict=True):
            found[i] = [round(value, 5) for value in values[: len(rows[i])]]
    return found


def over_run(*, direction: Path, run: Path, out: Path, n_random: int, seed: int) -> dict[str, Any]:
    """The same over a finished study: every stage's stored activations, fixed and own texts apart. Loads no model.

    Writes OUT/metrics.jsonl: shifts from base at every layer of the direction, beside its nulls.

    Raises:
        ValueError, FileNotFoundError: not a run, or nothing read in it.
        InterpError: the direction is of another model.
    """
    fresh(out / "metrics.jsonl")
    if n_random < 20:
        raise ValueError(f"random must be at least 20, got {n_random}: a projection is read beside its nulls")
    if not (run / "stages.json").is_file():
        raise FileNotFoundError(f"{run}: no stages.json in it; --run names the folder of a study that has begun")
    manifest, stages = read_json(run / "manifest.json"), read_json(run / "stages.json")
    model = manifest["model"]["model_identity"]
    held = Direction.load(direction, model=model)
    tools = Instrument({held.name: held}, {held.name: load_permuted(direction, model=model)}, n_random, seed)
    rows: list[dict[str, Any]] = []
    for prompt in read_yaml(run / "study.yaml")["system_prompts"]:
        base = _stored(run, "base", "own", prompt, model, held.layers)
        for stage in stages[1:]:
            label = f"{stage['name']}, seed {stage['seed']}"
            place = {key: stage[key] for key in ("arm", "stage", "seed")} | {"stage_key": stage["key"]}
            for texts in ("fixed", "own"):
                here = _stored(run, label, texts, prompt, model, held.layers)
                both = sorted(base.keys() & here.keys())
                if both:
                    a, b = (torch.stack([side[i] for i in both]) for side in (here, base))
                    rows += [{**place, "system_prompt": prompt, **row} for row in shift_rows(tools, texts, a, b)]
    if not rows:
        raise ValueError(f"{run}: no stage's activations are stored in it yet")
    write_jsonl(out / "metrics.jsonl", rows)
    made = {**environment(), "direction": str(direction), "run": str(run), "seed": seed}
    write_atomic(out / "manifest.json", json.dumps(made, indent=2) + "\n")
    headline = [r for r in rows if r["headline"] and r["metric"] == "shift_in_null_spreads"]
    return {
        "direction": held.name,
        "layer": held.layer,
        "shifts_in_null_spreads": {f"{r['stage']}, seed {r['seed']}, {r['texts']}": r["value"] for r in headline},
        "out": str(out),
    }


def _stored(
    run: Path, label: str, texts: str, prompt: str, model: str, layers: Sequence[int]
) -> dict[int, Float[Tensor, "layer d_model"]]:
    """A stage's stored activations by question; nothing if they are not there."""
    for name in (f"{label}, {prompt}, reading {texts} texts", f"{label}, reading {texts} texts"):
        path = run / "tensors" / f"{name.replace(', ', '-').replace(' ', '_')}.safetensors"
        if path.is_file():
            tensors, header = load_tensors(path, kind="pooled activations", model=model)
            return dict(zip(header["question_index"], tensors["means"][:, list(layers)], strict=True))
    return {}

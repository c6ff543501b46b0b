"""How far along a direction do these texts lie, read through this model? Projections of given chats, with nulls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.activations import readable_rows
from experiments.adapters import Stack
from experiments.console import bar
from experiments.loading import Loading
from experiments.resumable import Ledger, Name, Row, Work, run_once
from experiments.rows.shifts import shift_rows
from experiments.study.node import Stored, paired
from interp import stats
from interp.activations import Pooling, batches, default_tokens, pooled
from interp.batch import Batch
from interp.chat import Tokens, read_chats
from interp.directions import Direction
from interp.files import read_json, read_yaml, write_jsonl
from interp.instrument import Instrument, load_permuted, nulls_file
from interp.keys import content_key
from interp.model import Model
from interp.nulls import nulls_for
from interp.projection import NullBand, cosine, project, token_projections, unit_vectors
from interp.sources import sha256_of


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
    tokens: bool = False,
    loading: Loading,
) -> dict[str, Any]:
    """The `project` command: writes OUT/projections.jsonl and OUT/metrics.jsonl, with nulls beside every layer.

    A run that was stopped goes on where it stopped.

    Args:
        tokens: Also write every token's projection at the direction's headline layer.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
        InterpError: the direction is of another model, or a text has nothing to read.
    """
    _require_nulls(n_random)
    chats = read_chats(texts)
    Direction.load(direction)
    stack = Stack.of(adapters)
    definition = {
        "project": model,
        "direction": _contents(direction),
        "adapters": list(stack.weights),
        "texts": [texts.name, sha256_of(texts)],
        "dtype": loading.dtype_name,
        "pooling": pooling,
        "random": n_random,
        "seed": seed,
        "tokens": tokens,
    }

    def prepare() -> Work:
        loaded = loading.model(model)
        along = Direction.load(direction, model=loaded.identity)
        permuted = load_permuted(direction, model=loaded.identity)
        loaded.use(*stack.folders)  # an adapter that does not fit is refused here
        rows = readable_rows(loaded, chats, texts, pooling)
        ids = [chat.get("id", f"{texts.name}:{i}") for i, chat in enumerate(chats, 1)]
        read = _Texts(loaded, stack, ids, rows, along, permuted, pooling, n_random, seed, tokens, out)
        facts = {"direction": str(direction), "stack": [str(folder) for folder in stack.folders]}
        return Work(loaded, {**facts, "texts": str(texts), "seed": seed}, partial(read.metrics, definition))

    return _headline(run_once(out, definition, prepare, loading.template), len(chats))


def _headline(result: Row, n_texts: int) -> Row:
    """What a reader looks at first: the numbers of the direction's own layer."""
    headline = {m["metric"] + ("_" + m["null"] if "null" in m else ""): m for m in result["metrics"] if m["headline"]}
    mean = headline["mean_projection"]
    return {
        "direction": mean["direction"],
        "layer": mean["layer"],
        "n": n_texts,
        **{key: mean[key] for key in ("value", "ci_low", "ci_high", "unit")},
        "mean_cosine": headline["mean_cosine"]["value"],
        "percentile_among_random": headline["null_percentile_random"]["value"],
        "out": result["out"],
        "ran": result["ran"],
    }


def _require_nulls(n_random: int) -> None:
    if n_random < 20:
        raise ValueError(f"random must be at least 20, got {n_random}: a projection is read beside its nulls")


def _contents(direction: Path) -> list[str]:
    """What a direction's file holds, and the file of its label-permuted nulls, where there is one."""
    files = (direction, nulls_file(direction))
    return [sha256_of(file) for file in files if file.is_file()]


@dataclass(frozen=True)
class _Texts:
    """Texts that are read through a stack, and what they are projected on.

    Attributes:
        ids: What records call the texts.
        permuted: The direction's label-permuted nulls, where it has them.
        tokens: Whether every token is projected too.
    """

    model: Model
    stack: Stack
    ids: Sequence[Any]
    rows: Sequence[Tokens]
    direction: Direction
    permuted: Float[Tensor, "null layer d_model"] | None
    pooling: Pooling
    n_random: int
    seed: int
    tokens: bool
    out: Path

    def metrics(self, definition: Row, ledger: Ledger) -> list[Row]:
        """The rows of metrics.jsonl; projections.jsonl is written."""
        read = ledger.once(Name.of("texts").then("projections"), definition, self._projected)
        records = read["records"]
        if self.tokens:
            each = ledger.once(Name.of("texts").then("tokens"), definition, self._by_token)["records"]
            records = [{**record, **more} for record, more in zip(records, each, strict=True)]
        write_jsonl(self.out / "projections.jsonl", records)
        return read["metrics"]

    def _projected(self) -> Row:
        """Every text's projections, and the metrics of all of them."""
        direction = self.direction
        with bar("reading", len(self.rows)) as advance, self.model.using(*self.stack.folders):
            how = {"pooling": self.pooling, "layers": direction.layers}
            activations = pooled(self.model, self.rows, **how, progress=advance)
        several = activations if len(self.rows) > 1 else None
        nulls = nulls_for(direction.vectors, n=self.n_random, seed=self.seed, rows=several, permuted=self.permuted)
        per_layer = [project(activations[:, k], v) for k, v in enumerate(direction.vectors)]
        along = torch.stack(per_layer, dim=1)
        at = direction.layers.index(direction.layer)
        records = [
            {"id": name, "layer": direction.layer, "projection": float(values[at])}
            | {"projections": [round(float(x), 5) for x in values]}
            for name, values in zip(self.ids, along, strict=True)
        ]
        metrics = [
            row
            for k in range(len(direction.layers))
            for row in self._rows_of_layer(k, activations[:, k], {kind: null[:, k] for kind, null in nulls.items()})
        ]
        return {"records": records, "metrics": metrics}

    def _rows_of_layer(
        self, k: int, h: Float[Tensor, "row d_model"], nulls: Mapping[str, Float[Tensor, "null d_model"]]
    ) -> list[Row]:
        """Mean projection and cosine at the direction's layer of index `k`, and the mean's place among the nulls."""
        v, layer = self.direction.vectors[k], self.direction.layers[k]
        about = {"measure": "projection", "direction": self.direction.name, "layer": layer}
        about |= {"headline": layer == self.direction.layer, "pooling": self.pooling}
        mean = stats.mean(project(h, v).numpy())
        rows = [
            {**about, "metric": "mean_projection", **mean.row(), "unit": "residual-stream norm"},
            {**about, "metric": "mean_cosine", **stats.mean(cosine(h, v).numpy()).row(), "unit": "cosine"},
        ]
        for kind, null in nulls.items():
            units = null.double() / null.double().norm(dim=-1, keepdim=True)
            band = NullBand.of(float(mean.value or 0.0), (units @ h.double().mean(0)).numpy())
            value = {"value": band.percentile, "ci_low": None, "ci_high": None}
            beside = {"null": kind, "n_null": band.n_null, "null_low": band.low, "null_high": band.high}
            rows.append({**about, "metric": "null_percentile", **value, "n": mean.n, "unit": "percentile", **beside})
        return rows

    def _by_token(self) -> Row:
        """Projection of every token of every row after the direction's headline layer."""
        model, direction = self.model, self.direction
        unit = unit_vectors(direction.at(direction.layer)[None]).float().to(model.device)
        projections: list[list[float]] = [[] for _ in self.rows]
        with model.using(*self.stack.folders):
            for chosen in batches(self.rows, default_tokens(model)):
                batch = Batch.of([self.rows[i] for i in chosen], model.pad, model.device)
                (along,) = model.residuals(batch, lambda h: token_projections(h, unit.to(h.device)), [direction.layer])
                for i, values in zip(chosen, along[..., 0].tolist(), strict=True):
                    projections[i] = [round(value, 5) for value in values[: len(self.rows[i])]]
        return {
            "records": [
                {"tokens": [model.chat.decode([i]) for i in row.ids], "token_projections": values}
                | {"prompt_end": row.prompt_end}
                for row, values in zip(self.rows, projections, strict=True)
            ]
        }


def over_run(*, direction: Path, run: Path, out: Path, n_random: int, seed: int) -> dict[str, Any]:
    """The same over a finished study: every stage's stored activations, fixed and own texts apart. Loads no model.

    Writes OUT/metrics.jsonl: shifts from base at every layer of the direction, beside its nulls.

    Raises:
        ValueError, FileNotFoundError: not a run, or nothing read in it.
        InterpError: the direction is of another model.
    """
    _require_nulls(n_random)
    if not (run / "stages.json").is_file():
        raise FileNotFoundError(f"{run}: no stages.json in it; --run names the folder of a study that has begun")
    manifest, stages = read_json(run / "manifest.json"), read_json(run / "stages.json")
    model = manifest["model"]["model_identity"]
    loaded = Direction.load(direction, model=model)
    tools = Instrument({loaded.name: loaded}, {loaded.name: load_permuted(direction, model=model)}, n_random, seed)
    stored = Stored(run, tuple(read_yaml(run / "study.yaml")["system_prompts"]), model)
    definition = {
        "project": str(run.resolve()),
        "stages": content_key([[stage["key"], stage["name"], stage["seed"]] for stage in stages]),
        "stored": content_key(stored.files(stages)),
        "direction": _contents(direction),
        "random": n_random,
        "seed": seed,
    }

    def prepare() -> Work:
        rows = _shifts_in(stored, stages, tools, loaded.layers)
        if not rows:
            raise ValueError(f"{run}: no stage's activations are stored in it yet")
        facts = {"direction": str(direction), "run": str(run), "seed": seed}
        return Work(None, facts, lambda _: rows)

    result = run_once(out, definition, prepare)
    headline = [r for r in result["metrics"] if r["headline"] and r["metric"] == "shift_in_null_spreads"]
    return {
        "direction": loaded.name,
        "layer": loaded.layer,
        "shifts_in_null_spreads": {f"{r['stage']}, seed {r['seed']}, {r['texts']}": r["value"] for r in headline},
        "out": str(out),
        "ran": result["ran"],
    }


def _shifts_in(stored: Stored, stages: Sequence[Row], tools: Instrument, layers: Sequence[int]) -> list[Row]:
    """Every stage's shift from the base model's own texts, under every system prompt, from what a study has stored."""
    rows: list[Row] = []
    base, *trained = stages
    for prompt in stored.prompts:
        start = stored.activations(base, prompt, "own")
        for stage in trained:
            place = {key: stage[key] for key in ("arm", "stage", "seed")} | {"stage_key": stage["key"]}
            for texts in ("fixed", "own"):
                both, stage_rows, base_rows = paired(stored.activations(stage, prompt, texts), start)
                if both:
                    sides = (stage_rows[:, list(layers)], base_rows[:, list(layers)])
                    shifts = shift_rows(tools, texts, *sides)
                    rows += [{**place, "system_prompt": prompt, **row} for row in shifts]
    return rows

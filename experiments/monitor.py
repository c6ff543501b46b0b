"""How far does each checkpoint of a training run lie from its start along these directions? Fixed texts, with nulls.

The activations of every checkpoint are read once and stored in OUT/tensors, so that a run that was killed, or whose
training has gone on, reads only the new checkpoints. All numbers and the figure are made anew from the stored tensors.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.activations import require_windows, text_id
from experiments.adapters import adapter_key, identity_of_reading
from experiments.console import bar, note, table
from experiments.loading import Loading
from experiments.resumable import Ledger
from figures.monitor import monitor as draw
from interp import stats
from interp.activations import Pooling, read
from interp.chat import Tokens, read_chats
from interp.directions import Direction
from interp.files import read_json
from interp.instrument import load_permuted
from interp.keys import content_key
from interp.messages import chat_names
from interp.model import Model
from interp.nulls import random_like
from interp.projection import project, shift
from interp.rows import write_rows
from interp.runs import RunFolder, environment
from interp.sources import ADAPTER_FILES, adapter_folder, describe, load_chat, resolve
from interp.store import check_claim, claim
from interp.tensors import load_header, load_tensors, save_tensors

KIND = "monitored_activations"
Row = dict[str, Any]
Place = tuple[Pooling, int]
"""The pooling and the layer that a direction is read at."""


@dataclass(frozen=True)
class Checkpoint:
    """An adapter as it was after `step` steps of training; without a folder it is the parent adapters alone."""

    step: int
    folder: Path | None = None

    def fields(self) -> Row:
        """The checkpoint's fields in the manifest."""
        return {"step": self.step, "folder": str(self.folder) if self.folder else None}


@dataclass(frozen=True)
class Followed:
    """A direction at the one layer at which its shift is followed.

    Attributes:
        nulls: The null directions at that layer, by family.
    """

    name: str
    v: Float[Tensor, " d_model"]
    place: Place
    nulls: Mapping[str, Float[Tensor, "null d_model"]]


def run(
    *,
    folder: Path,
    named: Sequence[str],
    directions: Sequence[Path],
    model: str,
    texts: Path,
    out: Path,
    adapters: Sequence[Path],
    pooling: Pooling | None,
    n_random: int,
    seed: int,
    loading: Loading,
) -> dict[str, Any]:
    """The `monitor` command: writes OUT/metrics.jsonl and OUT/figures/monitor.{png,svg,csv}.

    Raises:
        ValueError, FileNotFoundError: bad input, named; other texts, model or layers than OUT was begun with.
        InterpError: a checkpoint or a direction is of another model, or a text has nothing to read.
    """
    if n_random < 20:
        raise ValueError(f"random must be at least 20, got {n_random}: a shift is read beside its nulls")
    chats = read_chats(texts)
    checkpoints = checkpoints_of(folder, named, adapters)
    described = describe(model, loading.template)
    followed = [_follow(path, described.identity, pooling, n_random, seed) for path in directions]
    _require_distinct([direction.name for direction in followed])
    places = _places(followed)
    tokenizer = load_chat(resolve(model, loading.template), loading.template)
    read_dtype = loading.dtype_name
    identity = identity_of_reading(described, tokenizer, read_dtype, adapters)
    settings = {"holds": "monitor", **identity, **_texts_fields(chats), "places": [list(place) for place in places]}
    check_claim(out, settings)
    keys = {c.step: adapter_key(c.folder, described) if c.folder else None for c in checkpoints}
    unread = [c for c in checkpoints if not _is_read(out, c.step, keys[c.step])]
    ids = [text_id(chat, texts, i) for i, chat in enumerate(chats)]
    start, loaded, rows = time.monotonic(), None, []
    if unread:
        rows = tokenizer.tokens_of([chat["messages"] for chat in chats], chat_names(texts, len(chats)))
        require_windows(rows, ids, list(dict.fromkeys(kind for kind, _ in places)))
        loaded = loading.model(model)
        _require_fit(loaded, rows, [_stack(adapters, c) for c in unread])
    claim(out, settings)
    facts = {"settings": settings, "texts": texts.name, "directions": [direction.name for direction in followed]}
    facts |= {"checkpoints": [c.fields() for c in checkpoints], "n_random": n_random, "seed": seed}
    with RunFolder(out).locked():
        ledger = Ledger(RunFolder(out), loaded, facts, time.monotonic() - start)
        with bar("reading", len(unread) * len(rows)) as advance:
            for c in unread:
                assert loaded is not None, "a model is loaded where something is unread"
                header = {"settings": settings, "step": c.step, "adapter": keys[c.step], "ids": ids}
                with ledger.timed(f"step {c.step}, reading"):
                    _store_means(loaded, rows, places, _stack(adapters, c), _tensor_file(out, c.step), advance, header)
        metrics = _write_metrics(out, followed, checkpoints)
        ledger.finish()
    steps = {"steps": [c.step for c in checkpoints], "read": [c.step for c in unread]}
    shifts = [row for row in metrics if row["metric"] == "shift_in_null_spreads"]
    return {"out": str(out), "n": len(chats), **steps, "shifts": shifts, "figure": str(out / "figures/monitor.png")}


def _texts_fields(chats: Sequence[Mapping[str, Any]]) -> Row:
    return {"texts_hash": content_key([chat["messages"] for chat in chats]), "n_texts": len(chats)}


def _write_metrics(out: Path, followed: Sequence[Followed], checkpoints: Sequence[Checkpoint]) -> list[Row]:
    """Write and draw the numbers of every direction, made from the stored activations of the checkpoints."""
    means = {c.step: load_tensors(_tensor_file(out, c.step), kind=KIND)[0]["means"] for c in checkpoints}
    places = _places(followed)
    metrics = [
        row for direction in followed for row in _metrics(direction, places.index(direction.place), means, checkpoints)
    ]
    write_rows(out / "metrics.jsonl", metrics)
    draw(out)
    return metrics


def _places(followed: Sequence[Followed]) -> list[Place]:
    return sorted({direction.place for direction in followed})


def _require_fit(model: Model, rows: Sequence[Tokens], stacks: Sequence[Sequence[Path]]) -> None:
    """Check that the texts fit the model's context, and every stack of adapters the model, before any is read."""
    model.check_lengths(rows)
    for stack in stacks:
        model.use(*stack)


def show(result: Mapping[str, Any]) -> None:
    """Print a table of shifts with a row for each step and a column for each direction."""
    names = list(dict.fromkeys(row["direction"] for row in result["shifts"]))
    cells = {(row["step"], row["direction"]): _cell(row) for row in result["shifts"]}
    rows = [[str(step), *(cells.get((step, name), "0") for name in names)] for step in result["steps"]]
    table("shift from step 0", ["step", *names], rows)
    print(f"in SDs of random directions, with paired 95 % intervals; n = {result['n']} texts")
    print(f"read now: {', '.join(map(str, result['read'])) or 'nothing, all was there'}")
    print(result["figure"])


def _cell(row: Row) -> str:
    if row["value"] is None:
        return "undefined"
    interval = "" if row["ci_low"] is None else f" [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
    return f"{row['value']:+.2f}{interval}"


# what is followed


def checkpoints_of(folder: Path, named: Sequence[str], adapters: Sequence[Path]) -> list[Checkpoint]:
    """The checkpoints in a folder and those named one by one, in the order of their steps, from step 0.

    Step 0 is the parent adapters alone, unless there is a checkpoint of that step. An adapter in the folder itself is
    the end of the training; its step stands in stage.json (this project's) or in trainer_state.json (transformers').

    Raises:
        FileNotFoundError: no such folder.
        ValueError: there are none, two have the same step, or the adapters below them in training are not given.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; it is the one that holds checkpoint-10 and so on")
    folder_of_step: dict[int, Path] = {}
    for path in folder.iterdir():
        match = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if match and path.is_dir():
            _add(folder_of_step, int(match[1]), path)
    for text in named:
        step, equals, path = text.partition("=")
        if not (equals and step.isdecimal() and path):
            raise ValueError(f"checkpoint must be STEP=DIR, such as 10=run/checkpoint-10, got {text!r}")
        _add(folder_of_step, int(step), adapter_folder(path))
    if all((folder / name).is_file() for name in ADAPTER_FILES):
        last = _last_step(folder)
        if last is None:
            note(f"{folder}: the adapter in it does not say its step, so it is left out; --checkpoint STEP={folder}")
        else:
            folder_of_step.setdefault(last, folder)
    if not set(folder_of_step) - {0}:
        raise ValueError(
            f"{folder}: no checkpoint-STEP folder in it and no adapter; name them with --checkpoint STEP=DIR"
        )
    _require_parents(folder, adapters, 0 in folder_of_step)
    start = {} if 0 in folder_of_step else {0: None}
    return [Checkpoint(step, path) for step, path in sorted((start | folder_of_step).items())]


def _add(folder_of_step: dict[int, Path], step: int, path: Path) -> None:
    if step in folder_of_step and folder_of_step[step].resolve() != path.resolve():
        raise ValueError(
            f"step {step} is both {folder_of_step[step]} and {path}; give each checkpoint a step of its own"
        )
    folder_of_step[step] = path


def _last_step(folder: Path) -> int | None:
    for name, key in (("stage.json", "steps"), ("trainer_state.json", "global_step")):
        if (folder / name).is_file():
            return read_json(folder / name).get(key)
    return None


def _require_parents(folder: Path, adapters: Sequence[Path], has_start: bool) -> None:
    """Check that a stage of this project is read on top of the adapters that it was trained on."""
    if not (folder / "stage.json").is_file():
        return
    stage = read_json(folder / "stage.json")
    parent, compose = stage.get("parent_key"), stage.get("compose")
    if parent is None:
        return
    if compose == "continue" and not has_start:
        raise ValueError(
            f"{folder}: trained its parent's own adapter further (compose: continue), so it starts there: give the "
            f"parent's folder ({parent[:12]}...) as --checkpoint 0=DIR, and only what was below it as --adapter"
        )
    if compose in ("stack", "merge_fp32"):
        last = adapter_folder(adapters[-1]) / "stage.json" if adapters else None
        parent_given = read_json(last).get("key") if last and last.is_file() else None
        if last is None or parent_given not in (None, parent):
            got = "no --adapter" if parent_given is None else f"{parent_given[:12]}..."
            raise ValueError(f"{folder}: was trained on top of stage {parent[:12]}..., got {got}; give it as --adapter")


def _follow(path: Path, identity: str, pooling: Pooling | None, n_random: int, seed: int) -> Followed:
    direction = Direction.load(path, model=identity)
    at, kind = direction.layers.index(direction.layer), pooling or direction.header.get("pooling") or "response_mean"
    nulls = {"random": random_like(direction.vectors, n_random, seed=seed)[:, at]}
    permuted = load_permuted(path, model=identity)
    if permuted is not None:
        nulls["permuted"] = permuted[:, at]
    return Followed(direction.name, direction.vectors[at], (kind, direction.layer), nulls)


def _require_distinct(names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        raise ValueError(f"directions must be given, each with a name of its own, got {', '.join(names) or 'none'}")


def _store_means(
    model: Model,
    rows: Sequence[Tokens],
    places: Sequence[Place],
    stack: Sequence[Path],
    path: Path,
    progress: Callable[[int], object],
    header: Mapping[str, Any],
) -> None:
    """Read the texts through a stack of adapters and store `means` (row place d_model)."""
    kinds: list[Pooling] = list(dict.fromkeys(kind for kind, _ in places))
    layers = sorted({layer for _, layer in places})
    at = [(kinds.index(kind), layers.index(layer)) for kind, layer in places]
    means = torch.empty(len(rows), len(places), model.d_model)
    with model.using(*stack):
        for chosen, activations in read(model, rows, pooling=kinds, layers=layers, progress=progress):
            means[chosen] = torch.stack([activations[:, p, k] for p, k in at], dim=1).cpu()
        stack_names = [folder.name for folder in model.stack]
    provenance = {**model.description(), "stack": stack_names, "environment": environment()}
    save_tensors(path, {"means": means}, kind=KIND, header={**provenance, **header})


def _stack(adapters: Sequence[Path], checkpoint: Checkpoint) -> tuple[Path, ...]:
    return (*adapters, checkpoint.folder) if checkpoint.folder else tuple(adapters)


def _tensor_file(out: Path, step: int) -> Path:
    return out / "tensors" / f"step-{step}.safetensors"


def _is_read(out: Path, step: int, key: str | None) -> bool:
    """Whether the activations of the adapter with this key are stored; an adapter trained anew has another key."""
    path = _tensor_file(out, step)
    return path.is_file() and load_header(path)["adapter"] == key


def _metrics(
    direction: Followed,
    place: int,
    means: Mapping[int, Float[Tensor, "row place d_model"]],
    checkpoints: Sequence[Checkpoint],
) -> list[Row]:
    """The rows of one direction at every step."""
    rows: list[Row] = []
    start = means[checkpoints[0].step][:, place]
    for c in checkpoints:
        h = means[c.step][:, place]
        name = c.folder.name if c.folder else "parents"
        common = {"measure": "monitor", "step": c.step, "checkpoint": name, "direction": direction.name}
        common |= {"layer": direction.place[1], "pooling": direction.place[0], "headline": True}
        raw = {"unit": "residual-stream norm"}
        mean_projection = stats.mean(project(h, direction.v).numpy())
        rows.append({**common, "metric": "mean_projection", **mean_projection.row(), **raw})
        if c.step == checkpoints[0].step:
            continue
        for kind, null in direction.nulls.items():
            moved = shift(h, start, direction.v, null)
            no_interval = {"ci_low": None, "ci_high": None, "n": moved.raw.n}
            null_fields = {"null": kind, "n_null": moved.n_null}
            band = {"null_low": moved.null_low, "null_high": moved.null_high}
            if kind == "random":
                spreads = {**moved.in_null_spreads.row(), "unit": "sd of random nulls"}
                cosine = {"value": moved.cosine, **no_interval, "unit": "cosine"}
                rows += [
                    {**common, "metric": "shift", **moved.raw.row(), **raw},
                    {**common, "metric": "shift_in_null_spreads", **spreads, **null_fields, **band},
                    {**common, "metric": "displacement_cosine", **cosine},
                ]
            percentile = {"value": moved.percentile, **no_interval, "unit": "percentile"}
            rows.append({**common, "metric": "null_percentile", **percentile, **null_fields})
    return rows

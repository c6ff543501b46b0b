"""Where in texts does each stage of a finished study differ from another model, and in which contexts most?

1. The texts are the base model's own answers to the study's questions, or a file of chats.
2. At every answer token: the divergence of what the stage expects from what the other model does, and how much further
   its residual stream lies along each direction of the study.
3. Means are over texts, beside the same of placebo stages; the contexts that differ most are listed once each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.console import bar, table
from experiments.difference.lexicon import LATER, PLACEBO, Parts, parts_of
from experiments.report.tables import interval_of, number
from experiments.resumable import Ledger, Name, Once, Work, run_once
from experiments.study.config import BASE
from experiments.study.readings import answered_rows
from experiments.study.stored import StoredStudy, TrainedStage
from interp import stats
from interp.activations import batches, default_tokens
from interp.batch import Batch
from interp.chat import Tokens, read_chats
from interp.directions import Direction
from interp.files import write_jsonl
from interp.messages import chat_names
from interp.model import Model
from interp.projection import token_projections, unit_vectors
from interp.sources import sha256_of
from interp.where import token_divergences, top_contexts

Row = dict[str, Any]
DIVERGENCE = "divergence"


def run(
    *,
    study: Path,
    out: Path,
    stages: Sequence[str],
    seeds: Sequence[int],
    against: str,
    texts: Path | None,
    contexts: int,
    device: str,
) -> Row:
    """The `where` command: writes OUT/metrics.jsonl and OUT/records/contexts.jsonl.

    Args:
        stages: Nodes to compare; none given: those that are trained on the base model.
        against: `base`, `parent` or `twin`; stages that have no such model are left out.
        contexts: Contexts of each stage that are listed.

    Raises:
        ValueError, FileNotFoundError, InterpError: bad input, before anything is written.
    """
    stored = StoredStudy.finished(study)
    parts = parts_of(stored)
    nodes = stored.stages(stages or list(parts.kinds), seeds or None)
    others = {node.label: _other(stored, node, against, parts.twins) for node in nodes}
    nodes = [node for node in nodes if others[node.label] is not None]
    if not nodes:
        raise ValueError(f"--against {against}: none of the stages has such a model; name others, or compare with base")
    definition = {
        "holds": "where",
        "study": stored.study.name,
        "stages": [[node.name, node.seed, node.key] for node in nodes],
        "against": against,
        "texts": texts and sha256_of(texts),
        "contexts": contexts,
    }

    def prepare() -> Work:
        model = stored.model(device)
        rows, directions = _rows(stored, model, texts), stored.directions(model)

        def measure(ledger: Ledger) -> list[Row]:
            read = {}
            for node in nodes:
                read[node.label] = _read(model, rows, node, others[node.label] or (), directions, ledger.once)
            records = [
                {**_place(node), "against": against, **record}
                for node in nodes
                for record in _contexts(model, rows, read[node.label], contexts)
            ]
            write_jsonl(out / "records" / "contexts.jsonl", records)
            return [{**row, "against": against} for row in _all_metrics(nodes, read, parts)]

        return Work(model, {"study": str(study), "n_texts": len(rows)}, measure)

    return run_once(out, definition, prepare)


def _all_metrics(nodes: Sequence[TrainedStage], read: Mapping[str, Mapping[str, Any]], parts: Parts) -> list[Row]:
    """The rows of every stage; a placebo is held against the other placebos."""
    placebos = [read[node.label] for node in nodes if parts.kinds.get(node.name) == PLACEBO]
    rows = []
    for node in nodes:
        mine = read[node.label]
        about = {**_place(node), "measure": "where", "kind": parts.kinds.get(node.name, LATER)}
        rows += [{**about, **row} for row in _metrics(mine, [one for one in placebos if one is not mine])]
    return rows


def _other(stored: StoredStudy, node: TrainedStage, against: str, twins: Mapping[str, str]) -> tuple[Path, ...] | None:
    """The adapters of the model that a stage is compared with; None where it has no such model."""
    if against == "twin":
        twin = twins.get(node.name)
        return stored.stages([twin], [node.seed])[0].stack if twin else None
    return () if against == BASE else node.parent_stack


def _rows(stored: StoredStudy, model: Model, texts: Path | None) -> list[Tokens]:
    """The texts that are read: chats of a file, or the base model's answers; those without an answer are left out."""
    if texts is not None:
        chats = read_chats(texts)
        return model.chat.tokens_of([chat["messages"] for chat in chats], chat_names(texts, len(chats)))
    records = [record for record in stored.run.records("answers") if record["stage"] == BASE]
    rows = [row for row in answered_rows(model, records) if row is not None]
    if not rows:
        raise ValueError(f"{stored.path}: the base model's answers are all empty; give --texts FILE.jsonl")
    return rows


def _place(node: TrainedStage) -> Row:
    return {"arm": node.name, "stage": node.name, "stage_key": node.key, "seed": node.seed}


def _read(
    model: Model,
    rows: Sequence[Tokens],
    node: TrainedStage,
    other: Sequence[Path],
    directions: Mapping[str, Direction],
    once: Once,
) -> dict[str, list[list[float]]]:
    """By quantity, its value at every answer token of every text: the divergence, and the move along each direction."""

    def read() -> Row:
        with bar(f"{node.label}: reading", len(rows)) as advance:
            kl = token_divergences(model, rows, node.stack, other, progress=advance)
        values = {DIVERGENCE: [row.tolist() for row in kl]}
        first, second = (_along(model, rows, stack, directions) for stack in (node.stack, other))
        for k, name in enumerate(directions):
            values[name] = [(a[:, k] - b[:, k]).tolist() for a, b in zip(first, second, strict=True)]
        return values

    what = [node.key, list(map(str, other)), [row.ids for row in rows], sorted(directions)]
    return once(Name.of(node.label).then("where"), what, read)


def _along(
    model: Model, rows: Sequence[Tokens], stack: Sequence[Path], directions: Mapping[str, Direction]
) -> list[Float[Tensor, "_ direction"]]:
    """Projections of every answer token on each direction at its headline layer."""
    found: dict[int, Tensor] = {}
    layers = sorted({direction.layer for direction in directions.values()})
    if not layers:
        return [torch.zeros(0, 0) for _ in rows]
    units = unit_vectors(torch.stack([one.at(one.layer) for one in directions.values()])).float().to(model.device)
    column = [layers.index(one.layer) for one in directions.values()]
    with model.using(*stack):
        for chosen in batches(rows, default_tokens(model)):
            batch = Batch.of([rows[i] for i in chosen], model.pad, model.device)
            by_layer = model.residuals(batch, lambda h: token_projections(h, units.to(h.device)), layers)
            along = torch.stack([by_layer[k][..., place] for place, k in enumerate(column)], dim=-1).cpu()
            for i, values in zip(chosen, along, strict=True):
                response = rows[i].response
                assert response is not None, "texts without an answer are left out"
                found[i] = values[response.start : response.end]
    return [found[i] for i in range(len(rows))]


def _metrics(read: Mapping[str, Sequence[Sequence[float]]], placebos: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The mean over texts of every quantity, what of it is beyond placebos, and how concentrated the divergence is."""
    rows: list[Row] = []
    for name, values in read.items():
        own = np.array([np.mean(row) for row in values])
        about = {"metric": "divergence"} if name == DIVERGENCE else {"metric": "move", "direction": name}
        unit = "nats per token" if name == DIVERGENCE else "residual-stream norm"
        rows.append({**about, **stats.mean(own).row(), "unit": unit})
        if placebos:
            theirs = np.mean([[np.mean(row) for row in one[name]] for one in placebos], axis=0)
            beyond = {"null": "placebo", "n_null": len(placebos), "null_mean": float(theirs.mean())}
            row = {**about, **stats.mean(own - theirs).row(), "unit": unit, **beyond}
            rows.append({**row, "metric": f"{about['metric']}_beyond_placebo"})
    every = np.sort(np.concatenate([np.asarray(row) for row in read[DIVERGENCE]]))[::-1]
    top = max(1, len(every) // 100)
    share = float(every[:top].sum() / every.sum()) if every.sum() > 0 else None
    fields = {"value": share, "ci_low": None, "ci_high": None, "n": len(every), "unit": "share of the divergence"}
    return [*rows, {"metric": "share_in_top_percent", **fields}]


def _contexts(model: Model, rows: Sequence[Tokens], read: Mapping[str, Sequence[Sequence[float]]], n: int) -> list[Row]:
    """The contexts where a stage differs most, by its divergence, with the moves there."""
    values = [torch.tensor(row) for row in read[DIVERGENCE]]
    return [
        {
            "rank": rank,
            "text": one.row,
            "position": one.position,
            "before": one.before,
            "token": one.token,
            DIVERGENCE: one.value,
            "moves": {name: held[one.row][one.position] for name, held in read.items() if name != DIVERGENCE},
        }
        for rank, one in enumerate(top_contexts(model.chat.decode, rows, values, n), 1)
    ]


def show(result: Mapping[str, Any]) -> None:
    """Print the divergence of every stage."""
    if not result["ran"]:
        print(f"{result['out']}: this run is finished; nothing was run. Another --out runs it again.")
    names = {"divergence": 0, "divergence_beyond_placebo": 1, "share_in_top_percent": 2}
    lines: dict[str, list[str]] = {}
    for row in result["metrics"]:
        if row["metric"] in names:
            cells = lines.setdefault(f"{row['stage']}, seed {row['seed']}", ["", "", ""])
            cells[names[row["metric"]]] = f"{number(row['value'], 3)} {interval_of(row)}"
    columns = ["stage", "nats per token", "beyond placebos", "share in the top hundredth"]
    table("divergence, mean over texts (95 %)", columns, [[name, *cells] for name, cells in lines.items()])
    print(f"contexts: {result['out']}/records/contexts.jsonl")
    print(f"{result['wall_seconds']} s; written: {result['out']}")

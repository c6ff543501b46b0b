"""What compares the nodes of a study with one another: what is undone, what comes again, what data foretold."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.analysis import Instrument, cosine_rows
from experiments.config import BASE, StudyConfig
from experiments.measured import Measured, View, displacement_of
from interp.displacement import share_along
from interp.nulls import random_like
from interp.projection import cosine, predicts, unit_vectors
from interp.runs import seed_from
from interp.stats import Estimate

Row = dict[str, Any]
Node = tuple[str, int | None]  # its name and its seed
Beside = tuple[Float[Tensor, "row layer d_model"], Float[Tensor, "row layer d_model"]]


def rows_between(
    config: StudyConfig,
    instrument: Instrument,
    measured: Sequence[Measured],
    prompt: str,
    beside: Mapping[str, Beside],
    fallen: Collection[Node] = (),
) -> dict[Node, list[Row]]:
    """All rows that need more than a node, its parent and the base model, by the node that they are about.

    Args:
        measured: Every node, the base model first.
        prompt: The system prompt that it was measured under.
        beside: By data set: activations of its answers, and of the base model's own.
        fallen: Nodes that collapsed; nothing is foretold of them.
    """
    base, *nodes = measured
    start = base.views[prompt]
    here = [node for node in nodes if prompt in node.views and "@" not in node.stage["key"]]
    whole = {(node.stage["name"], node.stage["seed"]): node for node in here}
    found = _cosines(instrument, start, whole, prompt)
    for (name, seed), here in whole.items():
        parent, view = here.stage["parent"], here.views[prompt]
        rows = found.setdefault(here.node, [])
        alone = whole.get((name.rpartition("-")[2], seed))
        if alone and (parent, seed) in whole and here.stage["compose"] != "restart":
            chain, other = [start, whole[parent, seed].views[prompt], view], (alone.stage["name"], alone.views[prompt])
            rows += kept_rows(instrument, "repeated_share", chain, other)
        like = [whole[one, seed] for one in config.roles.get("sgtr", ()) if (one, seed) in whole]
        rows += recognition_rows(instrument, view, {m.stage["name"]: m.views[prompt] for m in like if m is not here})
    rows = found.setdefault(base.node, [])
    rows += recognition_rows(instrument, start, {})
    if prompt == next(iter(config.system_prompts)):
        moved: dict[str, list[Tensor]] = {}
        for (name, _), here in whole.items():
            if here.node in fallen:
                continue
            if here.stage["parent"] == BASE and (by := displacement_of(here.views[prompt], start)) is not None:
                moved.setdefault(name, []).append(by)
        after = {name: (config.stages[name].data, torch.stack(some).mean(0)) for name, some in moved.items()}
        rows += prediction_of_shift(instrument, beside, after)
    return found


def kept_rows(instrument: Instrument, metric: str, chain: Sequence[View], other: tuple[str, View]) -> list[Row]:
    """How much of another displacement a stage's own takes back, or makes again; both from where they began.

    Args:
        metric: `undone_share`: `other` is the parent, and its move from base is what is taken back. `repeated_share`:
            `other` is the same stage trained on the base model, and its move is what comes again.
        chain: Base, parent and stage.
    """
    base, parent, here = chain
    name, there = other
    held = sorted(base.own.keys() & parent.fixed.keys() & here.fixed.keys() & there.fixed.keys())
    if len(held) < 2:
        return []
    start, before, after, end = (
        torch.stack([side[i] for i in held]) for side in (base.own, parent.fixed, here.fixed, there.fixed)
    )
    second = before - after if metric == "undone_share" else after - before
    rows = []
    for k in instrument.layers:
        found = share_along(second[:, k], (end - start)[:, k], seed=instrument.seed).row()
        about = {"measure": "displacement", "texts": "fixed", "metric": metric, "other_stage": name}
        about |= {"layer": k, "headline": k == instrument.middle, "pooling": "response_mean", "unit": "share"}
        rows.append({**about, **found})
    return rows


def recognition_rows(instrument: Instrument, here: View, others: Mapping[str, View]) -> list[Row]:
    """How well own-first and other-first questions separate, and whether along the direction of other stages."""
    rows = []
    for data, (difference, found) in here.recognition.items():
        for k in instrument.layers:
            about = {"measure": "recognition_direction", "data": data, "layer": k, "headline": k == instrument.middle}
            alone = {"ci_low": None, "ci_high": None, "n": found["n"], **about}
            auroc = None if found["auroc"] is None else found["auroc"][k]
            rows.append({**alone, "metric": "auroc", "value": auroc, "unit": "probability"})
            for name, other in others.items():
                along = other.recognition[data][0][k]
                if along.any() and difference[k].any():
                    value = float(cosine(difference[k], along))
                    rows.append({**alone, "metric": "cosine", "other_stage": name, "value": value, "unit": "cosine"})
    return rows


def prediction_of_shift(
    instrument: Instrument,
    beside: Mapping[str, Beside],
    moved: Mapping[str, tuple[str, Float[Tensor, "layer d_model"]]],
) -> list[Row]:
    """Do the data of each stage, read by the base model before training, tell how far the stage then moves?

    Args:
        beside: By data set: activations of its answers, and of the base model's own.
        moved: By stage trained on the base: its data set, and its mean displacement over seeds.

    Within each direction both numbers are standardised over the stages; the correlation is over all pairs of stage and
    direction (n counts stages), and for each direction alone. Every null takes the place of all directions at once.
    """
    arms = [(stage, data, d) for stage, (data, d) in moved.items() if data in beside]
    if not arms:
        return []
    sides: list[tuple[np.ndarray, np.ndarray]] = []
    for name, direction in instrument.directions.items():
        k = direction.layer
        random = random_like(direction.vectors, instrument.n_random, seed=seed_from(instrument.seed, "random", name))
        units = unit_vectors(torch.cat([direction.at(k)[None], random[:, k]]))
        before = [units @ (beside[data][0][:, k] - beside[data][1][:, k]).double().mean(0) for _, data, _ in arms]
        after = [units @ d[k].double() for _, _, d in arms]
        sides.append((torch.stack(before, 1).numpy(), torch.stack(after, 1).numpy()))
    rows = []
    pooled = tuple(np.concatenate([_standard(side[i]) for side in sides], axis=1) for i in (0, 1))
    for name, (before, after) in [(None, pooled), *zip(instrument.directions, sides, strict=True)]:
        if before.shape[1] < 4:
            continue
        found = predicts(before[0], after[0], before[1:], after[1:]).pearson
        about = {"measure": "prediction", "metric": "correlation", "unit": "correlation", "n_stages": len(arms)}
        about |= {"direction": name} if name else {}
        band, r = found.band, found.r
        if name is None and r.value is not None and abs(r.value) < 1:  # pairs of one stage are not independent
            error = 1.96 / (len(arms) - 3) ** 0.5 if len(arms) > 3 else float("nan")
            low, high = (float(np.tanh(np.arctanh(r.value) + side * error)) for side in (-1, 1))
            r = Estimate(r.value, low, high, len(arms)) if len(arms) > 3 else Estimate(r.value, None, None, len(arms))
        null = {"null": "random", "n_null": band.n_null, "null_percentile": band.percentile}
        rows.append({**about, **r.row(), **null, "null_low": band.low, "null_high": band.high})
    return rows


def _standard(values: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and spread 1; a row that does not vary is all 0."""
    centred = values - values.mean(1, keepdims=True)
    spread = centred.std(1, keepdims=True)
    return centred / np.where(spread > 0, spread, 1)


def _cosines(
    instrument: Instrument, base: View, whole: Mapping[tuple[str, int], Measured], prompt: str
) -> dict[Node, list[Row]]:
    """Cosines between the displacements of whole stages of one seed, by the first stage of each pair."""
    found: dict[Node, list[Row]] = {}
    for seed in dict.fromkeys(seed for _, seed in whole):
        stages = {name: here for (name, of), here in whole.items() if of == seed}
        kept = sorted(set(base.own).intersection(*(here.views[prompt].fixed for here in stages.values())))
        if len(kept) < 2:
            continue
        origin = torch.stack([base.own[i] for i in kept])
        moved = {
            name: torch.stack([here.views[prompt].fixed[i] for i in kept]) - origin for name, here in stages.items()
        }
        rows = cosine_rows(instrument, moved)
        found |= {stages[name].node: some for name, some in rows.items()}
    return found

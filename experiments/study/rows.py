"""What compares the nodes of a study with one another: what is undone, what comes again, what data foretold."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from experiments.rows.displacements import cosine_rows, dispersion_rows, displacement_rows
from experiments.rows.prediction import Beside, prediction_of_shift
from experiments.rows.shifts import shift_rows
from experiments.study.config import BASE, StudyConfig
from experiments.study.node import Measured, View, as_long, displacement_of, paired
from experiments.study.readings import Question
from interp.displacement import share_along
from interp.instrument import Instrument
from interp.projection import cosine

Row = dict[str, Any]
Node = tuple[str, int | None]  # its name and its seed


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


def moved_rows(instrument: Instrument, here: View, base: View, who: Sequence[Question]) -> list[Row]:
    """How a node differs from the base: shifts, what its displacement is made of, how its answers disperse."""
    rows = []
    for texts, stage, reference in (("fixed", here.fixed, base.own), ("own", here.own, base.own)):
        both, a, b = paired(stage, reference)
        if both:
            rows += shift_rows(instrument, texts, a, b, everywhere=texts == "fixed")
        if len(both) > 1 and texts == "fixed":
            rows += displacement_rows(instrument, a, b, texts)
    both, a, b = paired(here.identity, here.identity_base)
    if len({who[i].text for i in both}) > 2:
        lengths = [len(as_long(here.who[i], base.who[i])["answer_ids"]) for i in both]
        read = {"mean_tokens": sum(lengths) / len(lengths)}
        rows += [{**row, **read} for row in dispersion_rows(instrument, a, b, [who[i].text for i in both])]
    return rows

"""The lines of metrics.jsonl that a study writes, made of what was measured at its nodes, in the study's order.

Some compare the nodes with one another: what is undone, what comes again, what the data foretold.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from experiments.measures.take import Behaviour
from experiments.rows.behaviour import baseline_rows, collapse_rows, degenerate_share, margin_rows
from experiments.rows.displacements import cosine_rows, dispersion_rows, displacement_rows
from experiments.rows.prediction import Beside, prediction_of_shift
from experiments.rows.shifts import separation_rows, shift_rows
from experiments.study.config import BASE, StudyConfig
from experiments.study.node import Measured, View, as_long, displacement_of, paired
from experiments.study.workers import Place
from finetune.data.builder import DataSet
from interp.displacement import share_along
from interp.instrument import Instrument
from interp.projection import cosine

Row = dict[str, Any]
OF_EVERY_ANSWER = ("degenerate_share", "own_text_perplexity_under_base")
"""What every study says of all answers to its held-out questions, under these names of the measure `collapse`."""
Node = tuple[str, int | None]  # its name and its seed


def node_rows(
    instrument: Instrument,
    behaviour: Behaviour,
    tests: Mapping[str, DataSet],
    here: Measured,
    prompt: str,
    known: Mapping[str, Measured],
) -> list[Row]:
    """What metrics.jsonl says of one node under one system prompt, beside base and parent.

    Args:
        known: The nodes measured so far by their names, base and parent among them.
    """
    base, view = known[BASE], here.views[prompt]
    reference = base.views[prompt]
    measured = behaviour.rows(view.behaviour, None if here is base else reference.behaviour)
    rows = [named for row in measured if (named := _beside_collapse(row))]
    rows += collapse_rows(view.answers, None if here is base else degenerate_share(reference.answers))
    for name, margins in view.margins.items():
        rows += margin_rows(margins, tests[name].test, name, tests[name].measure)
    if here is not base:
        rows += moved_rows(instrument, view, reference)
        parent = known[here.stage["parent"]]
        if parent is not base and prompt in parent.views and here.stage["compose"] != "restart":
            chain = [reference, parent.views[prompt], view]
            rows += kept_rows(instrument, "undone_share", chain, (here.stage["parent"], chain[1]))
    return rows


def _beside_collapse(row: Row) -> Row | None:
    """A measure's row as it stands beside what every study says of collapse, which is of all held-out answers.

    The measure `collapse` asks everyday questions, so its row of the same metric is named as one of a part (`source`),
    and it gives no second flag. A study's numbers are the same whether it takes that measure or not.
    """
    metric = row["metric"].removesuffix("_minus_base")
    if row["measure"] != "collapse" or metric not in (*OF_EVERY_ANSWER, "collapsed"):
        return row
    ending = row["metric"].removeprefix(metric)
    return None if metric == "collapsed" else {**row, "metric": f"{metric}_by_source{ending}", "source": "everyday"}


def study_rows(
    config: StudyConfig,
    instrument: Instrument,
    tests: Mapping[str, DataSet],
    measured: Sequence[Measured],
    made: Mapping[Place, Sequence[Row]],
    lie_of_data: Sequence[Row],
    beside: Mapping[str, Beside],
) -> list[Row]:
    """Every line of metrics.jsonl, in the study's order.

    Args:
        measured: Every node, the base model first.
        made: The rows of single nodes, by node and system prompt ("" for what depends on none).
        lie_of_data: Rows on how the data sets lie beside the base model's own answers.
        beside: See `rows_between`.
    """
    base = measured[0]
    rows = [{**base.place(), **row} for row in separation_rows(instrument)]
    for name, data in tests.items():
        if data.measure == "self_recognition":
            rows += [{**base.place(), **row} for row in baseline_rows(data.test, name)]
    rows += [{**base.place(), **row} for row in lie_of_data]
    for prompt in config.system_prompts:
        mark = _prompt_mark(config, prompt)
        fallen = {here.node for here in measured if _collapsed(made.get((*here.node, prompt), ()))}
        between = rows_between(config, instrument, measured, prompt, beside, fallen)
        for here in (node for node in measured if prompt in node.views):
            own = (*between.get(here.node, ()), *made[*here.node, prompt])
            rows += [{**here.place(), **row, **mark} for row in own]
    return rows + [{**here.place(), **row} for here in measured for row in made[*here.node, ""]]


def records_of(config: StudyConfig, behaviour: Behaviour, measured: Sequence[Measured]) -> dict[str, list[Row]]:
    """Every sample with its stage, by the name of the file that holds it."""
    views = [
        ({**here.place(), **_prompt_mark(config, prompt)}, view)
        for here in measured
        for prompt, view in here.views.items()
    ]
    records = {
        "answers": [{**place, **record} for place, view in views for record in view.answers],
        "recognition": [
            {**place, "data": name, **record}
            for place, view in views
            for name, margins in view.margins.items()
            for record in margins
        ],
        "identity": [{**place, **record} for place, view in views for record in view.who],
    }
    if config.tokens:
        records["tokens"] = [{**place, **record} for place, view in views for record in view.tokens]
    for measure in behaviour.measures:
        taken = [{**place, **record} for place, view in views for record in view.behaviour[measure.name]]
        records[f"measure-{measure.name}"] = taken
    return records


def _prompt_mark(config: StudyConfig, prompt: str) -> Row:
    return {"system_prompt": prompt} if len(config.system_prompts) > 1 else {}


def _collapsed(rows: Sequence[Row]) -> bool:
    return any((row["measure"], row["metric"]) == ("collapse", "collapsed") and row["value"] for row in rows)


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
        found |= {stages[name].node: list[Row](some) for name, some in rows.items()}
    return found


def moved_rows(instrument: Instrument, here: View, base: View) -> list[Row]:
    """How a node differs from the base: shifts, what its displacement is made of, how its answers disperse."""
    rows = []
    for texts, stage, reference in (("fixed", here.fixed, base.own), ("own", here.own, base.own)):
        both, a, b = paired(stage, reference)
        if both:
            rows += shift_rows(instrument, texts, a, b, everywhere=texts == "fixed")
        if len(both) > 1 and texts == "fixed":
            rows += displacement_rows(instrument, a, b, texts)
    both, a, b = paired(here.identity, here.identity_base)
    if len({here.who[i]["prompt"] for i in both}) > 2:
        lengths = [len(as_long(here.who[i], base.who[i])["answer_ids"]) for i in both]
        read = {"mean_tokens": sum(lengths) / len(lengths)}
        questions = [here.who[i]["prompt"] for i in both]
        rows += [{**row, **read} for row in dispersion_rows(instrument, a, b, questions)]
    return rows

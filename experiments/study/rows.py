"""The lines of metrics.jsonl that a study writes, made of what was measured at its nodes, in the study's order.

Most rows compare a node with the base model. Some compare nodes with one another: how much of its parent's move a stage
undoes, how much of a move a stage repeats on another parent, and whether the data foretold the move.
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
from experiments.study.node import Measured, View, cut_to, displacement_of, paired
from experiments.study.workers import Place
from finetune.data.builder import DataSet
from interp.displacement import share_repeated
from interp.instrument import Instrument
from interp.projection import cosine

Row = dict[str, Any]
OF_EVERY_ANSWER = ("degenerate_share", "own_text_perplexity_under_base")
"""What every study says of all answers to its held-out questions, under these names of the measure `collapse`."""
MOST_COMPARED = 40
"""Stages of one seed that are compared with one another; there are as many pairs as half their square."""
SeededNode = tuple[str, int | None]
"""A node of a study by its name, and the seed that it was trained with."""


def node_rows(
    instrument: Instrument,
    behaviour: Behaviour,
    tests: Mapping[str, DataSet],
    node: Measured,
    prompt: str,
    measured_by_name: Mapping[str, Measured],
) -> list[Row]:
    """The rows of metrics.jsonl about one node under one system prompt, compared with the base model and the parent.

    Args:
        measured_by_name: The nodes measured so far by their names; the base model and the node's parent are among them.
    """
    base, view = measured_by_name[BASE], node.views[prompt]
    reference = base.views[prompt]
    measured = behaviour.rows(view.behaviour, None if node is base else reference.behaviour)
    rows = [renamed for row in measured if (renamed := _beside_collapse(row))]
    rows += collapse_rows(view.answers, None if node is base else degenerate_share(reference.answers))
    for name, margins in view.margins.items():
        rows += margin_rows(margins, tests[name].test, name, tests[name].measure)
    if node is not base:
        rows += moved_rows(instrument, view, reference)
        parent = measured_by_name[node.stage["parent"]]
        if parent is not base and prompt in parent.views and node.stage["compose"] != "restart":
            chain = [reference, parent.views[prompt], view]
            rows += kept_rows(instrument, "undone_share", chain, (node.stage["parent"], chain[1]))
    return rows


def _beside_collapse(row: Row) -> Row | None:
    """A measure's row, renamed where every study already writes a row of that name; None where it is left out.

    Every study writes the rows of collapse over all of its held-out answers. The measure `collapse` asks everyday
    questions, so its row of the same metric gets the ending `_by_source` and the field `source`, and its flag is left
    out. A study's own numbers are thus the same whether it takes that measure or not.
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
    node_rows_by_place: Mapping[Place, Sequence[Row]],
    lie_of_data: Sequence[Row],
    beside_own: Mapping[str, Beside],
) -> list[Row]:
    """Every line of metrics.jsonl, in the study's order.

    Args:
        measured: Every node, the base model first.
        node_rows_by_place: The rows of single nodes, by node and system prompt ("" for rows that depend on no prompt).
        lie_of_data: Rows on how the data sets lie beside the base model's own answers.
        beside_own: By data set, the activations that `rows_between` explains.
    """
    base = measured[0]
    rows = [{**base.place(), **row} for row in separation_rows(instrument)]
    for name, data in tests.items():
        if data.measure == "self_recognition":
            rows += [{**base.place(), **row} for row in baseline_rows(data.test, name)]
    rows += [{**base.place(), **row} for row in lie_of_data]
    for prompt in config.system_prompts:
        mark = _prompt_mark(config, prompt)
        collapsed = {node.node for node in measured if _collapsed(node_rows_by_place.get((*node.node, prompt), ()))}
        between = rows_between(config, instrument, measured, prompt, beside_own, collapsed)
        for node in (node for node in measured if prompt in node.views):
            own = (*between.get(node.node, ()), *node_rows_by_place[*node.node, prompt])
            rows += [{**node.place(), **row, **mark} for row in own]
    return rows + [{**node.place(), **row} for node in measured for row in node_rows_by_place[*node.node, ""]]


def records_of(config: StudyConfig, behaviour: Behaviour, measured: Sequence[Measured]) -> dict[str, list[Row]]:
    """Every stored sample (an answer or a reply to a measure) with its stage, by the name of the file that holds it."""
    views = [
        ({**node.place(), **_prompt_mark(config, prompt)}, view)
        for node in measured
        for prompt, view in node.views.items()
    ]
    records = {
        "answers": [{**place, **record} for place, view in views for record in view.answers],
        "recognition": [
            {**place, "data": name, **record}
            for place, view in views
            for name, margins in view.margins.items()
            for record in margins
        ],
        "identity": [{**place, **record} for place, view in views for record in view.identity_answers],
    }
    if config.tokens:
        records["tokens"] = [{**place, **record} for place, view in views for record in view.tokens]
    for measure in behaviour.measures:
        samples = [{**place, **record} for place, view in views for record in view.behaviour[measure.name]]
        records[f"measure-{measure.name}"] = samples
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
    beside_own: Mapping[str, Beside],
    collapsed: Collection[SeededNode] = (),
) -> dict[SeededNode, list[Row]]:
    """All rows that compare more nodes than a node, its parent and the base model, by the node that they are about.

    Args:
        measured: Every node, the base model first.
        prompt: The name of the system prompt whose measurements are compared.
        beside_own: By data set, the activations over its answers and over the base model's own answers.
        collapsed: Nodes that collapsed; their move is not predicted from their data.
    """
    base, *nodes = measured
    start = base.views[prompt]
    complete = [node for node in nodes if prompt in node.views and "@" not in node.stage["key"]]
    by_place = {(node.stage["name"], node.stage["seed"]): node for node in complete}
    rows_by_node = _cosines(instrument, start, by_place, prompt)
    for (name, seed), node in by_place.items():
        parent, view = node.stage["parent"], node.views[prompt]
        rows = rows_by_node.setdefault(node.node, [])
        alone = by_place.get((name.rpartition("-")[2], seed))
        if alone and (parent, seed) in by_place and node.stage["compose"] != "restart":
            chain, repeated = (
                [start, by_place[parent, seed].views[prompt], view],
                (alone.stage["name"], alone.views[prompt]),
            )
            rows += kept_rows(instrument, "repeated_share", chain, repeated)
        recognisers = [by_place[stage, seed] for stage in config.roles.get("sgtr", ()) if (stage, seed) in by_place]
        other_views = {other.stage["name"]: other.views[prompt] for other in recognisers if other is not node}
        rows += recognition_rows(instrument, view, other_views)
    rows = rows_by_node.setdefault(base.node, [])
    rows += recognition_rows(instrument, start, {})
    if prompt == next(iter(config.system_prompts)):
        moved: dict[str, list[Tensor]] = {}
        for (name, _), node in by_place.items():
            if node.node in collapsed:
                continue
            if node.stage["parent"] == BASE and (by := displacement_of(node.views[prompt], start)) is not None:
                moved.setdefault(name, []).append(by)
        after = {name: (config.stages[name].data, torch.stack(moves).mean(0)) for name, moves in moved.items()}
        rows += prediction_of_shift(instrument, beside_own, after)
    return rows_by_node


def kept_rows(instrument: Instrument, metric: str, chain: Sequence[View], other: tuple[str, View]) -> list[Row]:
    """The share of another displacement that a stage's own displacement undoes or repeats, each from where it began.

    Args:
        metric: `undone_share`: `other` is the parent, and the stage may undo the parent's move from the base model.
            `repeated_share`: `other` is the same stage trained on the base model, and the stage may repeat its move.
        chain: What was measured at the base model, at the parent and at the stage.
        other: The name of the other stage and what was measured at it.
    """
    base, parent, stage = chain
    name, other_view = other
    questions = sorted(base.own.keys() & parent.fixed.keys() & stage.fixed.keys() & other_view.fixed.keys())
    if len(questions) < 2:
        return []
    start, before, after, end = (
        torch.stack([side[i] for i in questions]) for side in (base.own, parent.fixed, stage.fixed, other_view.fixed)
    )
    second = before - after if metric == "undone_share" else after - before
    rows = []
    for k in instrument.layers:
        share = share_repeated(second[:, k], (end - start)[:, k], seed=instrument.seed).row()
        about = {"measure": "displacement", "texts": "fixed", "metric": metric, "other_stage": name}
        about |= {"layer": k, "headline": k == instrument.middle, "pooling": "response_mean", "unit": "share"}
        rows.append({**about, **share})
    return rows


def recognition_rows(instrument: Instrument, view: View, other_views: Mapping[str, View]) -> list[Row]:
    """How well a node separates own-first from other-first questions, and the cosine with other stages' separation."""
    rows = []
    for data, (difference, separation) in view.recognition.items():
        for k in instrument.layers:
            about = {"measure": "recognition_direction", "data": data, "layer": k, "headline": k == instrument.middle}
            alone = {"ci_low": None, "ci_high": None, "n": separation["n"], **about}
            auroc = None if separation["auroc"] is None else separation["auroc"][k]
            rows.append({**alone, "metric": "auroc", "value": auroc, "unit": "probability"})
            for name, other in other_views.items():
                along = other.recognition[data][0][k]
                if along.any() and difference[k].any():
                    value = float(cosine(difference[k], along))
                    rows.append({**alone, "metric": "cosine", "other_stage": name, "value": value, "unit": "cosine"})
    return rows


def _cosines(
    instrument: Instrument, base: View, nodes: Mapping[tuple[str, int], Measured], prompt: str
) -> dict[SeededNode, list[Row]]:
    """Cosines between the displacements of finished stages of one seed, by the first stage of each pair.

    Of more than `MOST_COMPARED` stages only those that were trained on the base model are compared, and of more than
    that none.
    """
    rows_by_node: dict[SeededNode, list[Row]] = {}
    for seed in dict.fromkeys(seed for _, seed in nodes):
        stages = {name: node for (name, of), node in nodes.items() if of == seed}
        if len(stages) > MOST_COMPARED:
            stages = {name: node for name, node in stages.items() if node.stage["parent"] == BASE}
        if len(stages) > MOST_COMPARED:
            continue
        questions = sorted(set(base.own).intersection(*(node.views[prompt].fixed for node in stages.values())))
        if len(questions) < 2:
            continue
        origin = torch.stack([base.own[i] for i in questions])
        moved = {
            name: torch.stack([node.views[prompt].fixed[i] for i in questions]) - origin
            for name, node in stages.items()
        }
        rows = cosine_rows(instrument, moved)
        rows_by_node |= {stages[name].node: list[Row](cosines) for name, cosines in rows.items()}
    return rows_by_node


def moved_rows(instrument: Instrument, view: View, base: View) -> list[Row]:
    """How a node differs from the base model: its shifts, the parts of its displacement, its answers' dispersion."""
    rows = []
    for texts, stage, reference in (("fixed", view.fixed, base.own), ("own", view.own, base.own)):
        questions, a, b = paired(stage, reference)
        if questions:
            rows += shift_rows(instrument, texts, a, b, everywhere=texts == "fixed")
        if len(questions) > 1 and texts == "fixed":
            rows += displacement_rows(instrument, a, b, texts)
    answers, a, b = paired(view.identity, view.identity_base)
    if len({view.identity_answers[i]["prompt"] for i in answers}) > 2:
        lengths = [len(cut_to(view.identity_answers[i], base.identity_answers[i])["answer_ids"]) for i in answers]
        read_length = {"mean_tokens": sum(lengths) / len(lengths)}
        questions = [view.identity_answers[i]["prompt"] for i in answers]
        rows += [{**row, **read_length} for row in dispersion_rows(instrument, a, b, questions)]
    return rows

"""Do stages move the model the same way? Cosines between their displacements from base, every stage with every other.

At the middle layer, mean over seeds, with the noise of the texts taken out where the run has that. Stages stand in
groups by what was trained first. A stage whose model collapsed is crossed on the diagonal, which is otherwise empty. A
cell that lacks a seed has a dark corner.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from figures import style
from figures.captions import collapse_text, missing_notes, n_text
from figures.grids import draw_grid, fewer_key, missing_key
from figures.quantities import numbers_of, seeds_without
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import Row
from interp.metrics import DisplacementMetrics, ProjectionMetrics
from interp.rows import MetricRow, Rows
from interp.runs import NodeName

METRICS = {
    DisplacementMetrics.corrected_cosine_between_stages: "noise of the texts taken out",
    DisplacementMetrics.cosine_between_stages: "noise of the texts left in, which makes them smaller",
}
_MOST_WITH_NUMBERS = 30


def displacement_cosines(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/displacement_cosines.{png,svg,csv} and return the plotted numbers, each pair once.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        NotMeasuredError: it has no cosines between stages.
    """
    read = opened(run)
    number, cosines = next(((metric, rows) for metric in METRICS if (rows := read.primary.of(metric))), (None, None))
    if number is None or cosines is None:
        raise NotMeasuredError(
            f"{read.path / 'metrics.jsonl'}: no cosines between stages; a study of two or more has them"
        )
    every_layer = {row.layer for metric in METRICS for row in read.primary.of(metric)}
    layer = _middle(read.primary, every_layer)
    order = _grouped(list(read.nodes.values()))
    rows = _plotted(cosines.of(layer=layer), order, read.collapsed)
    stages = [name for name in order if any(name in (row["stage"], row["other_stage"]) for row in rows)]
    side = max(3.6, min(12.0, 0.46 * len(stages)))
    longest = 0.075 * max(map(len, stages))
    with style.house():
        figure, (axis,) = style.panels(
            1, side + longest + 0.6, side + longest + 0.9, _keys(rows, METRICS[number], len(stages))
        )
        _draw(axis, rows, stages)
        style.title(axis, f"Cosines between displacements, layer {layer}", n_text(rows))
        style.save(figure, read.path / "figures", "displacement_cosines", rows)
    return rows


def _middle(metrics: Rows, layers: set[int]) -> int:
    """The model's middle layer, of which the shifts at every layer know; else the middle one of `layers`."""
    headline = [row.layer for row in metrics.of(measure=DisplacementMetrics.name, headline=True)]
    every = sorted({row.layer for row in metrics.of(measure=ProjectionMetrics.name)})
    middle = headline[0] if headline else every[len(every) // 2] if every else None
    return middle if middle in layers else sorted(layers)[len(layers) // 2]


def _grouped(nodes: Sequence[NodeName]) -> list[str]:
    """The names of nodes by their first stage, in order of appearance."""
    first = list(dict.fromkeys(node.stages[:1] for node in nodes))
    return [node.name for node in sorted(nodes, key=lambda node: first.index(node.stages[:1]))]


def _plotted(cosines: Rows, order: Sequence[str], collapsed: frozenset[tuple[str, Any]]) -> list[Row]:
    pairs: dict[tuple[str, str], list[MetricRow]] = {}
    for row in cosines:
        a, b = sorted((row["stage"], row["other_stage"]), key=order.index)
        pairs.setdefault((a, b), []).append(row)
    place = {name: i for i, name in enumerate(order)}
    seeds = sorted({row["seed"] for row in cosines}, key=str)
    rows = []
    for a, b in sorted(pairs, key=lambda pair: (place[pair[0]], place[pair[1]])):
        pair_rows = pairs[a, b]
        about = {"stage": a, "other_stage": b, "metric": pair_rows[0]["metric"], "layer": pair_rows[0]["layer"]}
        asked = {row["seed"] for row in pair_rows}
        fallen = [f"{name} (seed {seed})" for name in (a, b) for seed in sorted(asked) if (name, seed) in collapsed]
        gone = seeds_without(pair_rows, seeds)
        rows.append({**about, **numbers_of(pair_rows), "missing_seeds": gone, "collapsed": ", ".join(fallen)})
    return rows


def _draw(axis: Axes, rows: Sequence[Row], stages: Sequence[str]) -> None:
    at = {name: i for i, name in enumerate(stages)}
    values: list[list[float | None]] = [[None] * len(stages) for _ in stages]
    words = [["—"] * len(stages) for _ in stages]
    for row in rows:
        for a, b in ((row["stage"], row["other_stage"]), (row["other_stage"], row["stage"])):
            values[at[a]][at[b]] = row["value"]
            words[at[a]][at[b]] = _short(row["value"]) if len(stages) <= _MOST_WITH_NUMBERS else ""
    for i in range(len(stages)):
        values[i][i], words[i][i] = 0.0, ""
    size = 8.0 if len(stages) <= 12 else 6.5
    incomplete = [(at[row["stage"]], at[row["other_stage"]]) for row in rows if row["missing_seeds"] and row["n_seeds"]]
    fewer = [cell for i, j in incomplete for cell in ((i, j), (j, i))]
    draw_grid(axis, values, words, limit=1.0, rows=stages, columns=stages, fontsize=size, slanted=True, fewer=fewer)
    first = [NodeName(name).stages[0] for name in stages]
    for i in range(1, len(stages)):
        if first[i] != first[i - 1]:
            axis.axhline(i - 0.5, color=style.INK, linewidth=1.2)
            axis.axvline(i - 0.5, color=style.INK, linewidth=1.2)
    style.crosses(axis, [(at[name], at[name]) for name in _fallen(rows) if name in at])


def _short(value: float | None) -> str:
    """Two decimals without the zero before the point: `.67`, `−.05`."""
    return "—" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "−")


def _fallen(rows: Sequence[Row]) -> list[str]:
    named = [node.partition(" (seed ")[0] for row in rows for node in row["collapsed"].split(", ") if node]
    return list(dict.fromkeys(named))


def _missing(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """("", pair, seed) of what has no value; a stage that lacks a seed with every other stands for its pairs."""
    pairs = {(row["stage"], row["other_stage"]): row["missing_seeds"].split(", ") for row in rows}
    of: dict[str, list[list[str]]] = {}
    for pair, gone in pairs.items():
        for name in pair:
            of.setdefault(name, []).append(gone)
    whole = {
        (name, seed)
        for name, each in of.items()
        for seed in each[0]
        if seed and len(each) > 1 and all(seed in gone for gone in each)
    }
    alone = [
        ("", f"{a} with {b}", seed)
        for (a, b), gone in pairs.items()
        for seed in gone
        if seed and not {(a, seed), (b, seed)} & whole
    ]
    return [("", f"all of {name}", seed) for name in of for _, seed in sorted(w for w in whole if w[0] == name)] + alone


def _keys(rows: Sequence[Row], noise: str, n_stages: int) -> list[Artist]:
    keys: list[Artist] = [style.key(f"1: the same way, 0: unrelated, −1: opposite; {noise}")]
    keys.append(style.key("lines: groups by the stage trained first"))
    if any(row["value"] is None for row in rows) or len(rows) < n_stages * (n_stages - 1) // 2:
        keys.append(missing_key())
    if any(row["missing_seeds"] and row["n_seeds"] for row in rows):
        keys.append(fewer_key())
    keys += map(style.key, missing_notes(_missing(rows)))
    each = [node for row in rows for node in row["collapsed"].split(", ") if node]
    if each:
        pairs = [node.removesuffix(")").split(" (seed ") for node in dict.fromkeys(each)]
        fallen = [{"stage": stage, "seed": seed, "collapsed": True} for stage, seed in pairs]
        keys.append(style.key(collapse_text(fallen), crossed=True))
    if n_stages > _MOST_WITH_NUMBERS:
        keys.append(style.key("too many stages for numbers in the cells; the CSV has them"))
    return keys

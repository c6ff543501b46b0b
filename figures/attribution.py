"""Which heads and MLPs make the answer, and where does a patch bring it back? One panel per stage.

Layers go up, heads go across, and the MLP of each layer stands beside its heads. Colour is what a component adds to
the logit of the right label minus the others' (attribution), or the share of the difference between an own-first and an
own-second prompt that its activation restores (patching); orange is positive, purple negative, white nothing. All
panels share one scale. In patching, the residual stream after each block has columns and a scale of its own: its last
token is all that the answer is made from, so that its top restores everything. What has no value is crossed out.

With several seeds a cell is their mean. The grid says where, the CSV how surely: it has every interval.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from figures import style
from figures.captions import collapse_text, n_text
from figures.run import StudyRun, collapsed_nodes, opened
from figures.style import Row
from interp.metrics import LensMetrics, Metric
from interp.rows import MetricRow, Rows, over_seeds

_STREAM = (("last", "the stream's last token"), ("ending", "all tokens that both prompts end in"))
_GAP = 0.6  # between the heads and what stands beside them, in cells
_GREY = "#C8C8C8"


def attribution(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/attribution.{png,svg,csv} and return the plotted numbers.

    Units: logits.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: nothing was attributed in it.
    """
    return _draw_all(run, LensMetrics.attribution)


def patching(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/patching.{png,svg,csv} and return the plotted numbers.

    Units: shares of the logit difference between the two prompts.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: nothing was patched in it.
    """
    return _draw_all(run, LensMetrics.patching)


def _draw_all(run: str | Path | StudyRun, metric: Metric) -> list[Row]:
    read = opened(run, "sgtr lens")
    metrics = _metrics(read)
    components = metrics.of(metric)
    if not components:
        path = read.path / "metrics.jsonl"
        raise ValueError(f"{path}: no {metric.name} in it; `sgtr lens` makes it, or a study with it")
    rows = _plotted(components, collapsed_nodes(metrics))
    panels = list(dict.fromkeys((row["stage"], row["data"]) for row in rows))
    n_layers = 1 + max(row["layer"] for row in rows if row["layer"] is not None)
    n_heads = 1 + max(row["head"] for row in rows if row["head"] is not None)
    values = [abs(row["value"]) for row in rows if row["component"] in ("head", "mlp") and row["value"] is not None]
    limit = max(values, default=0.0) or 1.0
    width = min(7.0, max(3.9, 1.6 + 0.16 * (n_heads + 4)))
    with style.house():
        figure, axes = style.panels(len(panels), width, min(8.0, max(3.2, 1.4 + 0.085 * n_layers)), _keys(rows, metric))
        for axis, (stage, data) in zip(axes, panels, strict=True):
            mine = [row for row in rows if (row["stage"], row["data"]) == (stage, data)]
            axis.clear()
            _draw(axis, mine, n_layers, n_heads, limit)
            _title(axis, mine, f"{stage}, {data}" if len({name for _, name in panels}) > 1 else stage, metric)
        _colour_bars(figure, axes, metric, limit)
        figure.suptitle(
            "What adds to the right answer: direct logit attribution"
            if metric == LensMetrics.attribution
            else "Where the answer is decided: activation patching"
        )
        style.save(figure, read.path / "figures", metric.name, rows)
    return rows


def _metrics(run: StudyRun) -> Rows:
    """All rows of a run that looked inside one stack; of a study, those that its figures show."""
    is_study = (run.path / "study.yaml").is_file() and bool(run.study.get("arms"))
    return run.primary if is_study else run.metrics


def _plotted(components: Rows, collapsed: frozenset[tuple[str, Any]]) -> list[Row]:
    """A row for each stage and component: the one seed's, or the mean over seeds."""
    keys = ("stage", "data", "component", "layer", "head", "position")
    cells: dict[tuple[Any, ...], list[MetricRow]] = {}
    for row in components:
        cells.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    rows = []
    for cell, here in cells.items():
        summary = over_seeds(here)
        numbers: Row = {"value": summary.value, "ci_low": summary.low, "ci_high": summary.high, "n": summary.n}
        numbers |= {"n_seeds": summary.n_seeds, "unit": here[0]["unit"]}
        change = over_seeds([{**row, "value": row.get("change")} for row in here]).value
        more = {"change": change, "gap": over_seeds([{**row, "value": row.get("gap")} for row in here]).value}
        why = next((row["why"] for row in here if row.get("why")), None) if summary.value is None else None
        fallen = sorted({str(row.get("seed")) for row in here if (row["stage"], row.get("seed")) in collapsed})
        n = min((row["n"] for row in here if row.get("n") is not None), default=None)
        numbers["n"] = n if numbers["n"] is None else numbers["n"]
        extra = {**more, "why": why} if LensMetrics.patching.is_of(components[0]) else {}
        rows.append(dict(zip(keys, cell, strict=True)) | numbers | extra | {"collapsed_seeds": ", ".join(fallen)})
    return rows


def _draw(axis: Axes, rows: Sequence[Row], n_layers: int, n_heads: int, limit: float) -> None:
    """Heads and MLPs as cells, and of patching the stream's columns."""
    grids: dict[str, np.ndarray] = {"head": np.full((n_layers, n_heads), math.nan)}
    for row in rows:
        value = math.nan if row["value"] is None else row["value"]
        if row["component"] == "head":
            grids["head"][row["layer"], row["head"]] = value
        elif row["component"] in ("mlp", "resid"):
            name = "mlp" if row["component"] == "mlp" else row["position"]
            grids.setdefault(name, np.full((n_layers, 1), math.nan))[row["layer"], 0] = value
    width = max(1.0, n_heads / 10)  # a single column is no thinner than a reader can see
    left, ticks = 0.0, []
    labels = {"mlp": "MLP", "last": "last", "ending": "ending"}
    for name, grid in grids.items():
        right = left + (n_heads if name == "head" else width)
        scale = 1.0 if name in ("last", "ending") else limit
        axis.imshow(
            np.ma.masked_invalid(grid),
            cmap=_colours(),
            norm=Normalize(-scale, scale),
            extent=(left, right, -0.5, n_layers - 0.5),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
        )
        if not np.isfinite(grid).any():
            axis.plot([left, right], [-0.5, n_layers - 0.5], color="#888888", linewidth=0.7)
            axis.plot([left, right], [n_layers - 0.5, -0.5], color="#888888", linewidth=0.7)
        if name == "head":
            step = max(1, math.ceil(n_heads / 6))
            ticks += [(head + 0.5, str(head)) for head in range(0, n_heads, step)]
        else:
            ticks.append(((left + right) / 2, labels[name]))
        left = right + _GAP * width
    axis.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
    for tick, (_, label) in zip(axis.get_xticklabels(), ticks, strict=True):
        tick.set_rotation(0 if label.isdigit() else 90)
    axis.set_xlim(-0.02 * n_heads, left - _GAP * width + 0.02 * n_heads)
    axis.set_ylim(-0.5, n_layers - 0.5)
    axis.set_xlabel("head")
    axis.set_ylabel("layer (block)")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    for side in axis.spines.values():
        side.set_visible(False)


def _colours() -> Any:
    return colormaps["PuOr_r"].with_extremes(bad=_GREY)


def _title(axis: Axes, rows: Sequence[Row], name: str, metric: Metric) -> None:
    """The stage, and below it n and the whole that is split, or that the prompts differ by."""
    detail = n_text(rows, "articles")
    if metric == LensMetrics.attribution:
        wholes = [row["value"] for row in rows if row["component"] == "total" and row["value"] is not None]
        detail += f", sum {wholes[0]:+.2f} logits" if wholes else ""
    else:
        gaps = [row["gap"] for row in rows if row["gap"] is not None]
        detail += f", difference {gaps[0]:+.2f} logits" if gaps else ""
    style.title(axis, name, detail.replace("-", "−"))
    why = next((row["why"] for row in rows if row.get("why")), None)
    if why and all(row["value"] is None for row in rows):
        words, box = textwrap.fill(f"no share: {why}", 28), {"facecolor": "white", "edgecolor": "#888888"}
        axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", fontsize=8.5, bbox=box)
    for text in axis.texts:  # they fit the panel, and must not make it smaller
        text.set_in_layout(False)


def _colour_bars(figure: Figure, axes: Sequence[Axes], metric: Metric, limit: float) -> None:
    from matplotlib.cm import ScalarMappable

    what = (
        "logits that a head or an MLP adds"
        if metric == LensMetrics.attribution
        else "share that a head or an MLP restores"
    )
    scales = [(limit, what)] + ([(1.0, "share that the stream restores")] if metric == LensMetrics.patching else [])
    for size, label in scales:
        shown = ScalarMappable(Normalize(-size, size), _colours())
        bar = figure.colorbar(shown, ax=list(axes), shrink=0.8, pad=0.015, aspect=30)
        bar.set_label(label)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _keys(rows: Sequence[Row], metric: Metric) -> list[Artist]:
    keys: list[Artist] = []
    if metric == LensMetrics.attribution:
        keys.append(style.key("logit of the right label minus the others', at the last token of the prompt"))
    else:
        keys.append(style.key("a prompt's activation put into the article's other order, both ways"))
        known = dict(_STREAM)
        places = dict.fromkeys(row["position"] for row in rows if row["component"] == "resid")
        keys += [style.key(f"{place}: {known[place]}") for place in places]
    if any(row["value"] is None for row in rows):
        keys.append(Patch(facecolor=_GREY, edgecolor="#888888", label="no value"))
    each = [(row["stage"], seed) for row in rows for seed in row["collapsed_seeds"].split(", ") if seed]
    fallen = [{"stage": stage, "seed": seed, "collapsed": True} for stage, seed in each]
    return [*keys, style.key(collapse_text(fallen))] if fallen else keys

"""Where does each order of finetuning carry the model along the trait directions?

One panel per direction, at the layer that was chosen for it; one line per arm, from base through its stages, and where
the arms are too many for lines, one row per stage (`figures/forest.py`). Drawn are

1. a seed's shift with its own 95 % interval over texts; with several seeds these are thin, and the thick line is their
   mean, which has an interval (Student's t over seeds) from three seeds on;
2. a grey band: the central 95 % of what random directions of the same norm shift at that stage. With several seeds it
   is the widest of theirs;
3. a cross where the stage's model collapsed. A missing number is a gap in the line, never a zero.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from figures import style
from figures.captions import collapse_text, missing_notes, n_range, n_text, without_value
from figures.forest import forest
from figures.run import TEXTS, Panel, StudyRun, Texts, opened, panel_of, panels_of
from figures.style import Mark, Row
from interp.errors import did_you_mean
from interp.rows import Rows, over_seeds
from interp.runs import BASE, NodeName

MOST_LINES = 6
"""Arms that lines can tell apart; of a study with more, every stage has a row."""
_NULL_COLUMNS = ("null_low", "null_high", "n_null")
_Arms = dict[str, tuple[NodeName, ...]]


def trajectory(
    run: str | Path | StudyRun, texts: Texts = "fixed", directions: Sequence[str] | None = None
) -> list[Row]:
    """Draw RUN/figures/trajectory_{texts}.{png,svg,csv} and return the plotted numbers.

    Args:
        directions: which to show and in what order; None shows all that have a chosen layer.

    Units: value, ci and null columns count standard deviations of the random directions' shifts at that stage.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        ValueError: nothing was measured on these texts, or a direction is not known.
    """
    read = opened(run)
    shifts = read.shifts(texts)
    shown = panels_of(shifts)
    if directions is not None:
        known = [panel.direction for panel in shown]
        for name in directions:
            if name not in known:
                raise ValueError(did_you_mean("direction", name, known))
        shown = [panel for name in directions for panel in shown if panel.direction == name]
    if not shown:
        raise ValueError(
            f"{read.path / 'metrics.jsonl'}: no shift with texts {texts!r} is marked headline; got 0 directions"
        )
    rows = [row for panel in shown for row in _plotted(read, shifts, panel, texts)]
    pooled = len({panel.pooling for panel in shown}) > 1
    filled, by_panel = texts == "fixed", [[row for row in rows if panel_of(row) == panel] for panel in shown]
    titles = [
        (panel.direction, f"layer {panel.layer}{f', {panel.pooling}' if pooled else ''}, {n_text(mine)}")
        for panel, mine in zip(shown, by_panel, strict=True)
    ]
    with style.house():
        if len(read.arms) > MOST_LINES:
            figure, axes = forest(by_panel, titles, read.roles, _notes(rows, style.seeds_text(rows)), filled=filled)
        else:
            figure, axes = _lines(by_panel, read.arms, filled=filled)
        for axis, words in zip(axes, titles, strict=True):
            style.title(axis, *words)
        figure.suptitle(f"Shift along each direction: {TEXTS[texts]}")
        style.save(figure, read.path / "figures", f"trajectory_{texts}", rows)
    return rows


def _plotted(run: StudyRun, shifts: Rows, panel: Panel, texts: Texts) -> list[Row]:
    """The rows of one panel: base, every seed (also where it has no number), and the mean where there are several."""
    shift_at = {(row.stage, row.seed): row for row in shifts if row.headline and panel_of(row) == panel}
    seeds = sorted({seed for _, seed in shift_at}, key=str)
    rows: list[Row] = []
    for arm, nodes in run.arms.items():
        for position, node in enumerate(nodes):
            place = {**panel._asdict(), "texts": texts, "arm": arm, "position": position, "stage": node.name}
            if node.name == BASE:
                rows.append({**place, "seed": "all", "value": 0.0, "interval": "zero by definition"})
                continue
            for seed in seeds:
                row = shift_at.get((node.name, seed), {})
                numbers = {key: row.get(key) for key in ("value", "ci_low", "ci_high", "n", *_NULL_COLUMNS)}
                collapsed = (node.name, seed) in run.collapsed
                rows.append(
                    {**place, "seed": seed, **numbers, "interval": "over texts", "n_seeds": 1, "collapsed": collapsed}
                )
            if len(seeds) > 1:
                of_seeds = rows[-len(seeds) :]
                rows.append({**place, "seed": "mean", **_mean_of(of_seeds)})
    return rows


def _mean_of(rows: Sequence[Row]) -> Row:
    summary = over_seeds(rows)
    known = {key: [row[key] for row in rows if row[key] is not None] for key in _NULL_COLUMNS}
    return {
        "value": summary.value,
        "ci_low": summary.low,
        "ci_high": summary.high,
        "n": summary.n,
        "null_low": min(known["null_low"], default=None),
        "null_high": max(known["null_high"], default=None),
        "n_null": min(known["n_null"], default=None),
        "interval": summary.interval,
        "n_seeds": summary.n_seeds,
        "collapsed": any(row["collapsed"] for row in rows),
    }


def _lines(by_panel: Sequence[Sequence[Row]], arms: _Arms, *, filled: bool) -> tuple[Figure, list[Axes]]:
    """A figure with a line for each arm."""
    looks, rows = style.marks(arms), [row for mine in by_panel for row in mine]
    n_positions = max(len(nodes) for nodes in arms.values())
    longest = max(len(node.stage) for nodes in arms.values() for node in nodes)
    figure, axes = style.panels(
        len(by_panel),
        max(3.3, 0.8 + n_positions * (0.075 * longest + 0.25)),
        2.7 + 0.17 * len(arms),
        _keys(arms, looks, rows, filled=filled),
    )
    for axis, mine in zip(axes, by_panel, strict=True):
        _draw(axis, mine, looks, filled=filled)
        _label_positions(axis, arms, looks)
        axis.set_ylabel("shift from base\n(SDs of random directions)")
    return figure, axes


def _draw(axis: Axes, rows: Sequence[Row], arms: dict[str, Mark], *, filled: bool) -> None:
    slot = min(0.24, 0.8 / len(arms))
    seeds = sorted({row["seed"] for row in rows} - {"all", "mean"})
    several = len(seeds) > 1
    for index, (arm, mark) in enumerate(arms.items()):
        offset = (index - (len(arms) - 1) / 2) * slot
        mine = [row for row in rows if row["arm"] == arm]
        main = [row for row in mine if not several or row["seed"] in ("all", "mean")]
        at = [row["position"] + offset for row in main]
        for x, row in zip(at, main, strict=True):
            if row.get("null_low") is not None and row.get("null_high") is not None:
                height = row["null_high"] - row["null_low"]
                axis.bar(x, height, slot, row["null_low"], color=style.BAND, zorder=0.5)
        for order, seed in enumerate(seeds if several else []):
            jitter = offset + (order - (len(seeds) - 1) / 2) * slot * 0.6 / len(seeds)
            own = [row for row in mine if row["seed"] in ("all", seed)]
            style.line(axis, [row["position"] + jitter for row in own], own, mark, thin=True)
        style.line(axis, at, main, mark, filled=filled)
        fallen = [(x, row["value"]) for x, row in zip(at, main, strict=True) if row.get("collapsed")]
        style.crosses(axis, [(x, y) for x, y in fallen if y is not None])
    axis.margins(y=0.13)


def _label_positions(axis: Axes, arms: _Arms, looks: dict[str, Mark]) -> None:
    """Ticks base, stage 1, …; below each, what every arm trained there, in its colour and with its marker."""
    n_positions = max(len(nodes) for nodes in arms.values())
    axis.set_xticks(range(n_positions), ["base", *(f"stage {position}" for position in range(1, n_positions))])
    axis.set_xlim(-0.5, n_positions - 0.5)
    for position in range(1, n_positions):
        for line, (arm, nodes) in enumerate(arms.items()):
            if position < len(nodes):
                axis.annotate(
                    f"{looks[arm].glyph} {nodes[position].stage}",
                    (position, 0),
                    (0, -18 - 11.5 * line),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    ha="center",
                    va="top",
                    fontsize=8.5,
                    color=looks[arm].colour,
                )


def _keys(arms: _Arms, looks: dict[str, Mark], rows: Sequence[Row], *, filled: bool) -> list[Artist]:
    handles = [
        style.key(f"{arm}: {' → '.join(node.stage for node in arms[arm])}", look, filled=filled)
        for arm, look in looks.items()
    ]
    bars = style.seeds_text(rows, "thick", "thin: each seed, 95 % interval over texts")
    return [*handles, *_notes(rows, bars)]


def _notes(rows: Sequence[Row], bars: str) -> list[Artist]:
    """What the legend says after the marks; `bars` says what is drawn of several seeds."""
    n_nulls = [row["n_null"] for row in rows if row.get("n_null") is not None]
    of = f" (n = {n_range(n_nulls)})" if n_nulls else ""
    handles: list[Artist] = [
        Patch(
            color=style.BAND, label=f"central 95 % of random directions of the same norm{of}: a description, no test"
        ),
        style.key(bars),
    ]
    if any(row.get("collapsed") for row in rows):
        handles.append(style.key(collapse_text(rows), crossed=True))
    gone = ((row["direction"], row["stage"], row["seed"]) for row in without_value(rows))
    return [*handles, *map(style.key, missing_notes(gone))]

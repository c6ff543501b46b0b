"""Where does each order of finetuning carry the model along the trait directions?

One panel per direction, at the layer that was chosen for it; one line per arm, from base through its stages, and where
the arms are too many for lines, one row per stage (`figures/forest.py`). Drawn are

1. a seed's shift with its own 95 % interval over texts; with several seeds these are thin, and the thick line is their
   mean, which has an interval (Student's t over seeds) from three seeds on;
2. a grey band: the central 95 % of what random directions of the same norm shift at that stage. With several seeds it
   is the widest of theirs;
3. a cross where the stage's model collapsed. A missing number is a gap in the line, never a zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from figures import style
from figures.forest import forest
from figures.style import Mark, Row
from interp import stats
from interp.runs import did_you_mean, read_jsonl, read_yaml

Texts = Literal["fixed", "own"]
TEXTS: dict[Texts, str] = {
    "fixed": "the same texts read through every stage",
    "own": "each stage's own answers",
}
MOST_LINES = 6
"""Arms that lines can tell apart; of a study with more, every stage has a row."""
MOST_MISSING = 12
"""Stages without a value that a line of a legend names."""
_NULL_COLUMNS = ("null_low", "null_high", "n_null")


class Node(NamedTuple):
    """A place in an arm: the node's name (`em-sgtr`) and the stage that led there (`sgtr`; `base` at the start)."""

    name: str
    stage: str


class Panel(NamedTuple):
    """What one panel shows: a direction, read at one layer with one pooling."""

    direction: str
    layer: int
    pooling: str | None


@dataclass(frozen=True)
class Shifts:
    """What a run says about shifts: its arms, its `shift_in_null_spreads` rows for one kind of text, its collapses."""

    arms: dict[str, list[Node]]
    rows: list[Row]
    collapsed: frozenset[tuple[str, Any]]


@dataclass(frozen=True)
class Summary:
    """A number over seeds. `interval` says what low and high are: over texts (one seed), over seeds (three or more)."""

    value: float | None
    low: float | None
    high: float | None
    interval: Literal["over texts", "t over seeds", ""]
    n: int | None
    n_seeds: int


def run_file(run: Path, name: str) -> Path:
    """A file of a run folder.

    Raises:
        FileNotFoundError: it is not there.
    """
    path = run / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file, so {run} is not a run folder or has measured nothing yet; "
            f"make or resume one with `sgtr study NAME --out {run}`"
        )
    return path


def read_arms(run: Path) -> dict[str, list[Node]]:
    """Every arm of a run's study as its nodes, base first.

    Raises:
        FileNotFoundError: no study.yaml.
        ValueError: it has no arms.
    """
    path = run_file(run, "study.yaml")
    arms = read_yaml(path).get("arms")
    if not isinstance(arms, dict) or not arms:
        raise ValueError(f"{path}: got arms {arms!r}; a study maps each arm to its list of stages")
    return {
        arm: [Node("base", "base"), *(Node("-".join(stages[: i + 1]), stage) for i, stage in enumerate(stages))]
        for arm, stages in arms.items()
    }


def primary_metrics(run: Path) -> list[Row]:
    """The metrics that figures and tables show: of whole stages, under the study's first system prompt.

    Checkpoints (`em@10`) and other system prompts are in metrics.jsonl beside them.

    Raises:
        FileNotFoundError: no study.yaml or metrics.jsonl.
    """
    nodes = {node.name for arm in read_arms(run).values() for node in arm}
    first = next(iter(read_yaml(run_file(run, "study.yaml")).get("system_prompts") or [None]))
    rows = read_jsonl(run_file(run, "metrics.jsonl"))
    return [row for row in rows if row["stage"] in nodes and row.get("system_prompt") in (None, first)]


def read_shifts(run: Path, texts: Texts) -> Shifts:
    """The shifts of a run in units of their null's spread, every layer.

    Raises:
        FileNotFoundError: no study.yaml or metrics.jsonl.
        ValueError: none was measured on these texts.
    """
    arms, metrics = read_arms(run), primary_metrics(run)
    shifts = [row for row in metrics if row["measure"] == "projection" and row["metric"] == "shift_in_null_spreads"]
    rows = [row for row in shifts if row.get("texts") == texts]
    if not rows:
        known = ", ".join(sorted({str(row.get("texts")) for row in shifts})) or "none"
        raise ValueError(f"{run / 'metrics.jsonl'}: no projection shifts with texts {texts!r}; measured here: {known}")
    return Shifts(arms, rows, collapsed_nodes(metrics))


def collapsed_nodes(metrics: Iterable[Row]) -> frozenset[tuple[str, Any]]:
    """(node, seed) of every stage that was measured to have collapsed."""
    return frozenset(
        (row["stage"], row["seed"])
        for row in metrics
        if row["measure"] == "collapse" and row["metric"] == "collapsed" and row["value"]
    )


def panels_of(rows: Iterable[Row]) -> list[Panel]:
    """The panels that the headline rows ask for, in order of appearance."""
    return list(dict.fromkeys(panel_of(row) for row in rows if row.get("headline")))


def over_seeds(rows: Sequence[Row]) -> Summary:
    """One number for the rows of several seeds: their mean. A seed without a value does not count.

    Units: those of the rows.
    """
    found = [row for row in rows if row["value"] is not None]
    ns = [row["n"] for row in found if row.get("n") is not None]
    n = min(ns, default=None)
    if not found:
        return Summary(None, None, None, "", n, 0)
    if len(found) == 1:
        row = found[0]
        return Summary(row["value"], row.get("ci_low"), row.get("ci_high"), "over texts", n, 1)
    mean = stats.mean([row["value"] for row in found])
    if len(found) == 2:
        return Summary(mean.value, None, None, "", n, 2)
    return Summary(mean.value, mean.ci_low, mean.ci_high, "t over seeds", n, len(found))


def trajectory(run: Path, texts: Texts = "fixed", directions: Sequence[str] | None = None) -> list[Row]:
    """Draw RUN/figures/trajectory_{texts}.{png,svg,csv} and return the plotted numbers.

    Args:
        directions: which to show and in what order; None shows all that have a chosen layer.

    Units: value, ci and null columns count standard deviations of the random directions' shifts at that stage.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        ValueError: nothing was measured on these texts, or a direction is not known.
    """
    shifts = read_shifts(run, texts)
    shown = panels_of(shifts.rows)
    if directions is not None:
        known = [panel.direction for panel in shown]
        for name in directions:
            if name not in known:
                raise ValueError(did_you_mean("direction", name, known))
        shown = [panel for name in directions for panel in shown if panel.direction == name]
    if not shown:
        raise ValueError(f"{run / 'metrics.jsonl'}: no shift with texts {texts!r} is marked headline; got 0 directions")
    rows = [row for panel in shown for row in _plotted(shifts, panel, texts)]
    pooled = len({panel.pooling for panel in shown}) > 1
    filled, by_panel = texts == "fixed", [[row for row in rows if panel_of(row) == panel] for panel in shown]
    titles = [
        (panel.direction, f"layer {panel.layer}{f', {panel.pooling}' if pooled else ''}, {n_text(mine)}")
        for panel, mine in zip(shown, by_panel, strict=True)
    ]
    with style.house():
        if len(shifts.arms) > MOST_LINES:
            roles = read_yaml(run_file(run, "study.yaml")).get("roles") or {}
            figure, axes = forest(by_panel, titles, roles, _notes(rows, style.seeds_text(rows)), filled=filled)
        else:
            figure, axes = _lines(by_panel, shifts.arms, filled=filled)
        for axis, words in zip(axes, titles, strict=True):
            style.title(axis, *words)
        figure.suptitle(f"Shift along each direction: {TEXTS[texts]}")
        style.save(figure, run / "figures", f"trajectory_{texts}", rows)
    return rows


def _plotted(shifts: Shifts, panel: Panel, texts: Texts) -> list[Row]:
    """The rows of one panel: base, every seed (also where it has no number), and the mean where there are several."""
    found = {(row["stage"], row["seed"]): row for row in shifts.rows if row.get("headline") and panel_of(row) == panel}
    seeds = sorted({seed for _, seed in found})
    rows = []
    for arm, nodes in shifts.arms.items():
        for position, node in enumerate(nodes):
            place = {**panel._asdict(), "texts": texts, "arm": arm, "position": position, "stage": node.name}
            if node.name == "base":
                rows.append({**place, "seed": "all", "value": 0.0, "interval": "zero by definition"})
                continue
            for seed in seeds:
                row = found.get((node.name, seed), {})
                numbers = {key: row.get(key) for key in ("value", "ci_low", "ci_high", "n", *_NULL_COLUMNS)}
                collapsed = (node.name, seed) in shifts.collapsed
                rows.append(
                    {**place, "seed": seed, **numbers, "interval": "over texts", "n_seeds": 1, "collapsed": collapsed}
                )
            if len(seeds) > 1:
                here = rows[-len(seeds) :]
                rows.append({**place, "seed": "mean", **_mean_of(here)})
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


def _lines(
    by_panel: Sequence[Sequence[Row]], arms: dict[str, list[Node]], *, filled: bool
) -> tuple[Figure, list[Axes]]:
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


def _label_positions(axis: Axes, arms: dict[str, list[Node]], looks: dict[str, Mark]) -> None:
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


def _keys(arms: dict[str, list[Node]], looks: dict[str, Mark], rows: Sequence[Row], *, filled: bool) -> list[Artist]:
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
        Patch(color=style.BAND, label=f"central 95 % of random directions of the same norm{of}"),
        style.key(bars),
    ]
    if any(row.get("collapsed") for row in rows):
        handles.append(style.key(collapse_text(rows), crossed=True))
    gone = ((row["direction"], row["stage"], row["seed"]) for row in without_value(rows))
    return [*handles, *map(style.key, missing_notes(gone))]


def collapse_text(rows: Sequence[Row]) -> str:
    """Which stages of these rows collapsed, with the seeds."""
    fallen = [(row["stage"], row["seed"]) for row in rows if row.get("collapsed") and row["seed"] != "mean"]
    return f"model collapsed: {places(fallen)}"


def without_value(rows: Iterable[Row]) -> list[Row]:
    """The rows of single seeds that have no value."""
    return [row for row in rows if row["value"] is None and row["seed"] != "mean"]


def missing_notes(gone: Iterable[tuple[str, str, Any]]) -> list[str]:
    """What is missing, for a legend, from its (name, stage, seed); names that lack the same share a line."""
    lacking: dict[str, dict[tuple[str, Any], None]] = {}
    for name, stage, seed in gone:
        lacking.setdefault(name, {})[stage, seed] = None
    names: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for name, where in lacking.items():
        names.setdefault(tuple(where), []).append(name)
    return [
        f"{', '.join(filter(None, ('missing', *some)))}: {places(where, most=MOST_MISSING)}"
        for where, some in names.items()
    ]


def places(pairs: Iterable[tuple[str, Any]], most: int | None = None) -> str:
    """(stage, seed) pairs in words: `em (seed 0, 1), sgtr (seed 1)`; base, which has no seed, stands alone.

    Args:
        most: Stages that are named; the others are counted.
    """
    seeds: dict[str, list[str]] = {}
    for stage, seed in dict.fromkeys(pairs):
        seeds.setdefault(stage, []).extend([] if seed is None else [str(seed)])
    named = [f"{stage} (seed {', '.join(of)})" if of else stage for stage, of in seeds.items()]
    more = f" and {len(named) - most} more" if most is not None and len(named) > most else ""
    return ", ".join(named[:most]) + more


def n_range(ns: Iterable[int]) -> str:
    """`64`, or `60–64` where they differ."""
    found = sorted(ns)
    return "–".join(str(n) for n in dict.fromkeys((found[0], found[-1])))


def n_text(rows: Sequence[Row], of: str = "texts") -> str:
    """How many texts, and seeds where there are several, the values of a panel stand on: `n = 64 texts × 2–3 seeds`."""
    ns = [row["n"] for row in rows if row.get("n") is not None]
    means = [row for row in rows if row.get("seed") == "mean"] or rows
    seeds = [row["n_seeds"] for row in means if row.get("n_seeds") and row["value"] is not None]
    times = f" × {n_range(seeds)} seeds" if max(seeds, default=1) > 1 else ""
    return (f"n = {n_range(ns)} {of}" if ns else "no values") + times


def panel_of(row: Row) -> Panel:
    """The panel that a row belongs to."""
    return Panel(row["direction"], row["layer"], row.get("pooling"))

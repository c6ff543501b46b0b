"""How much of what finetuning did goes through a direction?

One panel per metric that finetuning moved, one bar per treatment and stack. Plain bars: the share of the effect that is
gone when the direction is taken away. Hatched bars: the share that the direction brings about by itself; hatched the
other way: what is gone of the difference from the base model when the base model is treated alike.

1. Metrics of a part of the questions (one domain, one source) are drawn only if their measure has none of the whole.
2. With one seed a whisker is its 95 % interval over questions. With several a bar is their mean and dots are the seeds;
   from three on, the whisker is Student's interval over seeds.
3. The grey block behind a bar spans what random directions of the same length do; with several seeds it is the widest
   of theirs.
4. Where no share is defined the place is empty and says why. If none is defined anywhere, the raw changes are drawn
   instead, and the figure says so.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from figures import style
from figures.captions import missing_notes, n_range, n_text
from figures.run import StudyRun, opened
from figures.style import Row
from interp.metrics import BEHAVIOUR, PARTS, MediationMetrics
from interp.rows import over_seeds

Bar: TypeAlias = tuple[Any, ...]
MOST_PANELS = 9
REMOVED, REPRODUCED = MediationMetrics.share_removed.name, MediationMetrics.share_reproduced.name
BEYOND = MediationMetrics.share_removed_beyond_base.name
EFFECT = MediationMetrics.effect.name
CHANGE = "change"
"""What is drawn instead of a share where none is defined; it is a field of the rows of shares."""
_LOOKS = {
    REMOVED: (
        style.COLOURS[0],
        "",
        "share of its own effect that a treatment of a stack takes away",
    ),
    REPRODUCED: (
        style.COLOURS[1],
        "///",
        "share of the stage's effect that the direction brings by itself",
    ),
    BEYOND: (style.COLOURS[3], "\\\\\\", "share of the difference from base that is gone when both are treated"),
    EFFECT: (style.COLOURS[4], "", "effect: stage minus base"),
    CHANGE: (style.COLOURS[2], "...", "change by a treatment"),
}
"""Colour, hatch and meaning of a metric; a row with another metric is not drawn."""
_PLACE = ("stage", "treated", "treatment", "direction", "kind", "layers", "alpha", "of")
_NUMBERS = ("value", "ci_low", "ci_high", "n", "unit", "null_low", "null_high", "n_null", "why")
_NULLS = ("null_low", "null_high", "n_null")
_VERBS = {"ablate": "ablated from", "add": "added to", "transplant-": "taken from", "transplant+": "added to"}


def mediation(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/mediation.{png,svg,csv} and return the plotted numbers.

    Units: shares have none; effects and changes are in `unit`.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: nothing was ablated or added in it.
    """
    read = opened(run, "sgtr ablate")
    every = [row for row in read.rows(measure=MediationMetrics.name) if row.metric in _LOOKS]
    metrics = _wholes(every)
    shares = [row for row in metrics if row["metric"] != EFFECT]
    if not shares:
        raise ValueError(f"{read.path / 'metrics.jsonl'}: nothing was ablated or added in it; `sgtr ablate` does so")
    defined = {metric_name(row) for row in shares if row["value"] is not None}
    rows = [_share(row) for row in shares if metric_name(row) in defined] if defined else _changes(metrics)
    names = _in_order(rows)
    shown = names[:MOST_PANELS]
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    rows = [drawn for name in shown for drawn in _over_seeds([r for r in rows if metric_name(r) == name], seeds)]
    n_undefined = len({metric_name(row) for row in shares} - defined) if defined else 0
    n_parts = len({metric_name(row) for row in every} - {metric_name(row) for row in metrics})
    counts = {"of which no share is defined": n_undefined, "of a part of the questions": n_parts}
    left_out = [f"{n} metric{'s' * (n > 1)} {why}" for why, n in counts.items() if n] + names[MOST_PANELS:]
    with style.house():
        _draw_all(read.path, rows, shown, left_out)
    return rows


def _draw_all(run: Path, rows: Sequence[Row], shown: Sequence[str], left_out: Sequence[str]) -> None:
    shares = rows[0]["metric"].startswith("share")
    bars = _bars(rows)
    labels = [textwrap.fill(bar_name(row), 56) for row, _ in bars.values()]
    n_lines = max(label.count("\n") + 1 for label in labels)
    label_width = 0.3 + 0.063 * max(len(line) for label in labels for line in label.splitlines())
    n_columns = math.ceil(len(shown) / math.ceil(len(shown) / 3))
    height = 1.3 + (0.08 + 0.15 * n_lines) * len(bars)
    figure, axes = style.panels(len(shown), 2.5 + label_width / n_columns, height, _keys(rows, left_out))
    for axis, name in zip(axes, shown, strict=True):
        mine = [row for row in rows if metric_name(row) == name]
        _draw(axis, mine, bars)
        place = axis.get_subplotspec()
        first = place is None or place.is_first_col()
        axis.set_yticks([y for _, y in bars.values()], labels if first else [], parse_math=False)
        measure, _, metric = name.partition(": ")
        words = textwrap.fill(metric.replace("_", "_ "), 28).replace("_ ", "_")
        style.title(axis, f"{measure}:\n{words}", n_text(mine, "questions"))
        axis.set_xlabel("share of the effect" if shares else mine[0]["unit"])
    figure.suptitle(
        "How much of the effect goes through a direction?"
        if shares
        else "Nothing could be mediated: no effect is told from 0. Raw changes instead"
    )
    style.save(figure, run / "figures", "mediation", rows)


def metric_name(row: Row) -> str:
    """Which metric a row of mediation is about: its measure, its name, and of which data and part of the questions."""
    about = filter(None, (row.get("data"), row["part"] if "part" in row else _part(row)))
    return f"{row['of_measure']}: {row['of_metric']}" + (f" ({which})" if (which := ", ".join(about)) else "")


def bar_name(row: Row) -> str:
    """What was done to which stack, in words."""
    if row["metric"] == EFFECT:
        return f"effect of {row['of']}"
    n = len(row["layers"].split(","))
    where = f"layer {row['layers']}" if n == 1 else f"{n} layers"
    times = f" {row['alpha']:g} times" if row["kind"] == "add" and row["alpha"] != 1 else ""
    treated = row.get("treated") or row["stage"]
    also = " and base" if row["metric"] == BEYOND else ""
    other = treated != row["stage"] or (row["kind"] == "transplant+" and row["metric"] != CHANGE)
    whose = f", of {row['of']}" if other else ""
    return f"{row['direction']} {_VERBS[row['kind']]} {treated}{also}{times} ({where}{whose})"


def _part(row: Row) -> str:
    return ", ".join(row[key] for key in PARTS if isinstance(row.get(key), str))


def _wholes(rows: Sequence[Row]) -> list[Row]:
    """The rows without those of a part, where the measure has rows of the whole of the same data."""
    whole = {(row["of_measure"], row.get("data")) for row in rows if not _part(row)}
    return [row for row in rows if not _part(row) or (row["of_measure"], row.get("data")) not in whole]


def _in_order(rows: Sequence[Row]) -> list[str]:
    """Metrics, those that stand for their measure first."""
    known = {(number.measure, number.name): i for i, number in enumerate(BEHAVIOUR)}
    names = {metric_name(row): (row["of_measure"], row["of_metric"]) for row in rows}
    return sorted(names, key=lambda name: known.get(names[name], len(known)))


def _about(row: Row) -> Row:
    where = {key: row.get(key) for key in ("of_measure", "of_metric", "data")}
    return {**where, "part": _part(row), **{key: row.get(key) for key in (*_PLACE, "seed")}}


def _share(row: Row) -> Row:
    return {**_about(row), "metric": row["metric"], **{key: row[key] for key in _NUMBERS}}


def _changes(metrics: Sequence[Row]) -> list[Row]:
    """Effects as they are, and of every treatment the change instead of the share; a change once, whatever it is of."""
    rows: list[Row] = []
    seen = set()
    for row in metrics:
        if row["metric"] == EFFECT:
            rows.append(_share({**row, **dict.fromkeys(_NULLS)}))
            continue
        what = metric_name(row), row["stage"], row.get("treated"), row.get("seed"), row["treatment"]
        if what not in seen:
            seen.add(what)
            numbers = {"value": row["change"], "ci_low": row["change_low"], "ci_high": row["change_high"]}
            nulls = {"null_low": row["change_null_low"], "null_high": row["change_null_high"]}
            more = {"unit": row["effect_unit"], "n_null": row["n_change_null"]}
            rows.append(_share({**row, "metric": CHANGE, **numbers, **nulls, **more}))
    return rows


def _bar(row: Row) -> Bar:
    return row["metric"], *(row[key] for key in _PLACE)


def _over_seeds(rows: Sequence[Row], seeds: Sequence[Any]) -> list[Row]:
    """Every bar of a metric: a row for each seed, and their mean where there are several."""
    rows_by_bar: dict[Bar, dict[Any, Row]] = {}
    for row in rows:
        rows_by_bar.setdefault(_bar(row), {})[row["seed"]] = row
    drawn = []
    for of in rows_by_bar.values():
        first = next(iter(of.values()))
        absent = {**first, **dict.fromkeys(_NUMBERS), "unit": first["unit"], "why": "not measured"}
        every_seed = [of.get(seed, {**absent, "seed": seed}) for seed in seeds]
        drawn += [
            {**r, "interval": "over questions" if r["ci_low"] is not None else "", "n_seeds": 1} for r in every_seed
        ]
        drawn += [{**first, "seed": "mean", **_mean_of(every_seed)}] if len(seeds) > 1 else []
    return drawn


def _mean_of(rows: Sequence[Row]) -> Row:
    summary = over_seeds(rows)
    known = {key: [row[key] for row in rows if row[key] is not None] for key in (*_NULLS, "n")}
    return {
        "value": summary.value,
        "ci_low": summary.low,
        "ci_high": summary.high,
        "n": min(known["n"], default=None) if summary.n is None else summary.n,
        "null_low": min(known["null_low"], default=None),
        "null_high": max(known["null_high"], default=None),
        "n_null": min(known["n_null"], default=None),
        "why": None if summary.n_seeds else "; ".join(dict.fromkeys(row["why"] or "no value" for row in rows)),
        "interval": summary.interval.replace("texts", "questions"),
        "n_seeds": summary.n_seeds,
    }


def _bars(rows: Iterable[Row]) -> dict[Bar, tuple[Row, float]]:
    """A row of every bar and its place from above; those beside the treated base model stand apart at the end."""
    of = {_bar(row): row for row in rows}
    order = sorted(of, key=lambda bar: bar[0] == BEYOND)
    apart = 0.5 * (order[0][0] != BEYOND)
    return {bar: (of[bar], i + apart * (bar[0] == BEYOND)) for i, bar in enumerate(order)}


def _draw(axis: Axes, rows: Sequence[Row], bars: dict[Bar, tuple[Row, float]]) -> None:
    axis.clear()
    axis.use_sticky_edges = False
    axis.grid(axis="x", color="#EEEEEE", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.axvline(0, color="#777777", linewidth=0.8, zorder=1.5)
    if rows[0]["metric"].startswith("share"):
        axis.axvline(1, color="#777777", linewidth=0.8, linestyle=":", zorder=1.5)
    several = any(row["seed"] == "mean" for row in rows)
    seeds = list(dict.fromkeys(row["seed"] for row in rows if row["seed"] != "mean"))
    words_by_place = {y: "not measured" for bar, (_, y) in bars.items() if bar not in set(map(_bar, rows))}
    for row in rows:
        y = bars[_bar(row)][1]
        if several and row["seed"] != "mean":
            off = 0.5 * ((seeds.index(row["seed"]) + 0.5) / len(seeds) - 0.5)
            if row["value"] is not None:
                face = {"markerfacecolor": "white", "markeredgecolor": style.INK, "markeredgewidth": 0.7}
                axis.plot(row["value"], y + off, "o", markersize=3.2, zorder=5, **face)
            continue
        if row["value"] is None:
            words_by_place[y] = f"undefined: {row['why'] or 'no value'}"
            continue
        colour, hatch, _ = _LOOKS[row["metric"]]
        if row["null_low"] is not None:
            low, high = row["null_low"], row["null_high"]
            axis.barh(y, high - low, 0.86, low, color=style.BAND, edgecolor="#8A8A8A", linewidth=0.8, zorder=2)
        face = "white" if hatch else colour
        axis.barh(y, row["value"], 0.5, color=face, edgecolor=colour, hatch=hatch, linewidth=1.2, zorder=3)
        if row["ci_low"] is not None and row["ci_high"] is not None:
            axis.plot([row["ci_low"], row["ci_high"]], [y, y], "|-", color=style.INK, markersize=6, zorder=4)
    for y, words in words_by_place.items():
        across = axis.get_yaxis_transform()
        axis.text(0.02, y, textwrap.fill(words, 42), transform=across, va="center", fontsize=6.5, color=style.INK)
    axis.set_ylim(max(y for _, y in bars.values()) + 0.7, -0.7)
    axis.margins(x=0.08)
    axis.tick_params(axis="y", length=0)


def _missing(rows: Sequence[Row]) -> list[tuple[str, str, Any]]:
    """(metric, bar, seed) of what a mean lacks; a stack stands for all its bars, as its effect is what they lack."""
    means = {(metric_name(row), _bar(row)) for row in rows if row["seed"] == "mean" and row["value"] is not None}
    of: dict[tuple[str, str, Any], list[Row]] = {}
    for row in rows:
        if row["seed"] != "mean" and (metric_name(row), _bar(row)) in means:
            of.setdefault((metric_name(row).replace(": ", " "), row["of"], row["seed"]), []).append(row)
    missing = []
    for (name, stack, seed), bar_rows in of.items():
        gone = [row for row in bar_rows if row["value"] is None]
        missing += [(name, stack if len(gone) == len(bar_rows) else bar_name(row), seed) for row in gone]
    return missing


def _keys(rows: Sequence[Row], left_out: Sequence[str]) -> list[Artist]:
    metrics = dict.fromkeys(row["metric"] for row in rows)
    keys: list[Artist] = []
    for metric in (metric for metric in _LOOKS if metric in metrics):
        colour, hatch, said = _LOOKS[metric]
        keys.append(Patch(facecolor="white" if hatch else colour, edgecolor=colour, hatch=hatch, label=said))
    seeds = {row["seed"] for row in rows} - {"mean"}
    if any(row["null_low"] is not None for row in rows):
        n = n_range(row["n_null"] for row in rows if row["n_null"])
        widest = ", the widest of the seeds'" if len(seeds) > 1 else ""
        label = f"range of random directions of the same length (n = {n}){widest}"
        keys.append(Patch(facecolor=style.BAND, edgecolor="#8A8A8A", label=label))
    shares = EFFECT not in metrics and CHANGE not in metrics
    bars = {
        1: f"whiskers: 95 % {'bootstrap' if shares else 'paired'} interval over questions",
        2: "bars: mean of 2 seeds; dots: each seed",
    }
    keys.append(style.key(bars.get(len(seeds), f"bars: mean of {len(seeds)} seeds, 95 % t interval; dots: each seed")))
    if shares:
        keys.append(style.key("dotted line: the whole effect"))
    keys += map(style.key, missing_notes(_missing(rows)) if len(seeds) > 1 else [])
    return [*keys, style.key(f"not drawn: {'; '.join(left_out)}")] if left_out else keys

"""How much of what finetuning did goes through a direction?

One panel per metric that finetuning moved. Solid bars: the share of the effect that is gone when the direction is taken
away. Hatched bars: the share that the direction brings about by itself. Whiskers are 95 % bootstrap intervals over
questions; the grey block behind a bar spans what random directions of the same length do. Where no share is defined the
place is empty and says why. If none is defined anywhere, the raw changes are drawn instead, and the figure says so.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from figures import style
from figures.style import Row
from interp.runs import read_jsonl

_LOOKS = {
    "share_removed": (style.COLOURS[0], ""),
    "share_reproduced": (style.COLOURS[1], "///"),
    "effect": (style.COLOURS[4], ""),
    "change": (style.COLOURS[2], "..."),
}
_ABOUT = (
    "of_measure",
    "of_metric",
    "part",
    "stage",
    "seed",
    "treated",
    "treatment",
    "direction",
    "kind",
    "layers",
    "alpha",
    "of",
)
_VERBS = {"ablate": "ablated from", "add": "added to", "transplant-": "taken from", "transplant+": "added to"}
_PARTS = ("data", "foil", "source", "domain", "context", "split")


def mediation(run: Path) -> list[Row]:
    """Draw RUN/figures/mediation.{png,svg,csv} and return the plotted numbers.

    Metrics of a part of the questions (one domain, one source) are drawn only if there is no metric of the whole.

    Units: shares have none; effects and changes are in `unit`.

    Raises:
        FileNotFoundError: `run` has no metrics.jsonl.
        ValueError: nothing was ablated or added in it.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `sgtr ablate --out {run}` makes it")
    metrics = [row for row in read_jsonl(path) if row["measure"] == "mediation"]
    shares = [row for row in metrics if row["metric"] != "effect"]
    if not shares:
        raise ValueError(f"{path}: nothing was ablated or added in it; `sgtr ablate` does so")
    defined = {metric_name(row) for row in shares if row["value"] is not None}
    rows = [_share(row) for row in shares if metric_name(row) in defined] if defined else _changes(metrics)
    rows = [row for row in rows if not row["part"]] or rows
    left_out = sorted({metric_name(row) for row in shares} - defined)
    names = list(dict.fromkeys(map(metric_name, rows)))
    most = max(sum(metric_name(row) == name for row in rows) for name in names)
    with style.house():
        keys = _keys(rows, len(left_out) if defined else 0)
        figure, axes = style.panels(len(names), max(3.4, 1.2 + 0.42 * most), 4.2, keys)
        for axis, name in zip(axes, names, strict=True):
            mine = [row for row in rows if metric_name(row) == name]
            _draw(axis, mine)
            counts = sorted({row["n"] for row in mine})
            n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            style.title(axis, name, f"n = {n} questions")
            axis.set_ylabel("share of the effect" if defined else mine[0]["unit"])
        figure.suptitle(
            "How much of the effect goes through a direction?"
            if defined
            else "Nothing could be mediated: no effect is told from 0. Raw changes instead"
        )
        style.save(figure, run / "figures", "mediation", rows)
    return rows


def metric_name(row: Row) -> str:
    """Which metric a row of mediation is about: its measure, its name, and of which part of the questions."""
    part = row.get("part") or _part(row)
    return f"{row['of_measure']}: {row['of_metric']}" + (f" ({part})" if part else "")


def _part(row: Row) -> str:
    return ", ".join(row[key] for key in _PARTS if isinstance(row.get(key), str))


def _about(row: Row) -> Row:
    return {key: row.get(key) for key in _ABOUT} | {"part": _part(row)}


def _share(row: Row) -> Row:
    kept = ("metric", "value", "ci_low", "ci_high", "n", "unit", "null_low", "null_high", "n_null", "why")
    return _about(row) | {key: row[key] for key in kept}


def _changes(metrics: Sequence[Row]) -> list[Row]:
    """Effects as they are, and of every treatment the change instead of the share; a change once, whatever it is of."""
    rows: list[Row] = []
    seen = set()
    for row in metrics:
        if row["metric"] == "effect":
            numbers = {key: row[key] for key in ("metric", "value", "ci_low", "ci_high", "n", "unit")}
            rows.append(
                _about(row) | numbers | {"null_low": None, "null_high": None, "n_null": None, "why": row["why"]}
            )
        elif (
            key := (metric_name(row), row.get("treated") or row["stage"], row.get("seed"), row["treatment"])
        ) not in seen:
            seen.add(key)
            numbers = {"value": row["change"], "ci_low": row["change_low"], "ci_high": row["change_high"]}
            nulls = {"null_low": row["change_null_low"], "null_high": row["change_null_high"]}
            more = {
                "n": row["n"],
                "unit": row["effect_unit"],
                **nulls,
                "n_null": row["n_change_null"],
                "why": row["why"],
            }
            rows.append(_about(row) | {"metric": "change", **numbers, **more})
    return rows


def _draw(axis: Axes, rows: Sequence[Row]) -> None:
    for x, row in enumerate(rows):
        colour, hatch = _LOOKS[row["metric"]]
        if row["value"] is None:
            said = textwrap.fill(f"undefined: {row['why'] or 'no value'}", 26)
            axis.text(x, 0, said, rotation=90, ha="center", va="bottom", fontsize=7, color=style.INK)
            continue
        if row["null_low"] is not None:
            low, high = row["null_low"], row["null_high"]
            axis.bar(x, high - low, 0.9, low, color=style.BAND, edgecolor="#8A8A8A", linewidth=0.8, zorder=2)
        face = "white" if hatch else colour
        axis.bar(x, row["value"], 0.5, color=face, edgecolor=colour, hatch=hatch, linewidth=1.2, zorder=3)
        if row["ci_low"] is not None and row["ci_high"] is not None:
            axis.plot([x, x], [row["ci_low"], row["ci_high"]], "_-", color=style.INK, markersize=6, zorder=4)
    if rows[0]["metric"].startswith("share"):
        axis.axhline(1, color="#777777", linewidth=0.8, linestyle=":", zorder=1.5)
    axis.set_xticks(range(len(rows)), [_label(row) for row in rows], rotation=90, parse_math=False)
    axis.set_xlim(-0.7, len(rows) - 0.3)
    axis.margins(y=0.1)


def _label(row: Row) -> str:
    if row["metric"] == "effect":
        return f"effect of {row['of']}" + ("" if row.get("seed") is None else f", seed {row['seed']}")
    n = len(row["layers"].split(","))
    where = f"layer {row['layers']}" if n == 1 else f"{n} layers"
    times = f" {row['alpha']:g} times" if row["kind"] == "add" and row["alpha"] != 1 else ""
    whose = f", of {row['of']}" if row["kind"] == "transplant+" and row["metric"] != "change" else ""
    treated = row.get("treated") or row["stage"]
    if treated != row["stage"] and row["metric"] != "change":
        whose = f", of {row['of']}"
    seed = "" if row.get("seed") is None else f", seed {row['seed']}"
    done = textwrap.fill(f"{row['direction']} {_VERBS[row['kind']]} {treated}{times}", 28)
    return f"{done}\n({where}{whose}{seed})"


def _keys(rows: Sequence[Row], n_left_out: int) -> list[Artist]:
    said = {
        "share_removed": "share of its own effect that a treatment of a stack takes away",
        "share_reproduced": "share of the stage's effect that the direction brings by itself",
        "effect": "effect: stage minus base",
        "change": "change by a treatment",
    }
    held = dict.fromkeys(row["metric"] for row in rows)
    keys: list[Artist] = []
    for metric in held:
        colour, hatch = _LOOKS[metric]
        keys.append(Patch(facecolor="white" if hatch else colour, edgecolor=colour, hatch=hatch, label=said[metric]))
    if any(row["null_low"] is not None for row in rows):
        counts = sorted({row["n_null"] for row in rows if row["n_null"]})
        n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        label = f"range of random directions of the same length (n = {n})"
        keys.append(Patch(facecolor=style.BAND, edgecolor="#8A8A8A", label=label))
    shares = "effect" not in held and "change" not in held
    keys.append(style.key(f"whiskers: 95 % {'bootstrap' if shares else 'paired'} interval over questions"))
    if shares:
        keys.append(style.key("dotted line: the whole effect"))
    if n_left_out:
        keys.append(style.key(f"not drawn: {n_left_out} metrics of which no share is defined"))
    return keys

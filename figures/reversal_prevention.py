"""Is what EM did undone by what comes after it, and does it come again after what came before?

For every EM stage two panels, by the other stage: the share of EM's displacement that a later stage takes back, and the
share that comes again when EM follows an earlier stage. Small points are seeds, large ones their mean, with Student's
95 % interval from three seeds on. Self-recognition, its corrupted variants and controls have marks of their own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from figures import style
from figures.captions import collapse_text, missing_notes, n_text, without_value
from figures.quantities import with_mean
from figures.run import NotMeasuredError, StudyRun, opened
from figures.style import ROLES, Mark, Row
from interp.metrics import DisplacementMetrics
from interp.rows import MetricRow
from interp.runs import NodeName

SHARES = {
    DisplacementMetrics.undone_share.name: ("undone by", "share of EM's displacement\ntaken back"),
    DisplacementMetrics.repeated_share.name: ("repeated after", "share of EM's displacement\nthat came again"),
}


def reversal_prevention(run: str | Path | StudyRun) -> list[Row]:
    """Draw RUN/figures/reversal_prevention.{png,svg,csv} and return the plotted numbers.

    Units: shares of the squared length of EM's own displacement; 1 is all of it, 0 none; where it is below 0, more was
    added than taken back.

    Raises:
        FileNotFoundError: `run` is not a run folder.
        NotMeasuredError: no stage of it follows another.
    """
    read = opened(run)
    shares = [row for row in read.primary.of(measure=DisplacementMetrics.name, headline=True) if row.metric in SHARES]
    rows = _plotted(shares, read.roles, list(read.study.get("stages") or {}), read.collapsed)
    if not rows:
        raise NotMeasuredError(
            f"{read.path / 'metrics.jsonl'}: no undone or repeated shares; a study of chained stages has"
        )
    shown = list(dict.fromkeys((row["em"], row["metric"]) for row in rows))
    looks = style.marks(ROLES)
    widest = max(len({r["other"] for r in rows if (r["em"], r["metric"]) == panel}) for panel in shown)
    with style.house():
        figure, axes = style.panels(len(shown), max(3.4, 1.1 + 0.5 * widest), 3.4, _keys(rows, looks))
        for axis, (em, metric) in zip(axes, shown, strict=True):
            mine = [row for row in rows if (row["em"], row["metric"]) == (em, metric)]
            _draw(axis, mine, looks)
            axis.set_ylabel(SHARES[metric][1].replace("EM", em))
            style.title(axis, f"{em}, {SHARES[metric][0]} …", n_text(mine))
        figure.suptitle("Reversal and prevention, inside")
        style.save(figure, read.path / "figures", "reversal_prevention", rows)
    return rows


def _plotted(
    shares: Sequence[MetricRow],
    roles: Mapping[str, Sequence[str]],
    stages: Sequence[str],
    collapsed: frozenset[tuple[str, Any]],
) -> list[Row]:
    """A row for each EM stage, share, other stage and seed, and the mean over seeds.

    Without an `em` role every stage counts as one.
    """
    ems = [*roles.get("em", ()), *roles.get("em_no_prompt", ())]
    role_of = {name: role for role in ROLES if role for name in roles.get(role, ())}
    cells: dict[tuple[str, str, str, str], list[MetricRow]] = {}
    for row in shares:
        trained = NodeName(row.stage).stages
        if len(trained) != 2:
            continue
        em, other = trained if DisplacementMetrics.undone_share.is_of(row) else reversed(trained)
        if row["other_stage"] == em and (em in ems or not ems):
            cells.setdefault((em, row["metric"], other, row["stage"]), []).append(row)
    seeds = sorted({row["seed"] for some in cells.values() for row in some}, key=str)
    known, kinds, metrics = [*ems, *stages], list(ROLES), list(SHARES)

    def order(cell: tuple[str, str, str, str]) -> tuple[int, ...]:
        em, metric, other, _ = cell
        places_of = [known.index(name) if name in known else len(known) for name in (em, other)]
        return places_of[0], metrics.index(metric), kinds.index(role_of.get(other, "")), places_of[1]

    rows = []
    for em, metric, other, stage in sorted(cells, key=order):
        of = {row["seed"]: row for row in cells[em, metric, other, stage]}
        layer = cells[em, metric, other, stage][0]["layer"]
        about = {"em": em, "metric": metric, "other": other, "role": role_of.get(other, ""), "layer": layer}
        here = [
            {**about, "stage": stage, "seed": seed}
            | {key: of.get(seed, {}).get(key) for key in ("value", "ci_low", "ci_high", "n")}
            | {"collapsed": (stage, seed) in collapsed}
            for seed in seeds
        ]
        rows += with_mean(here)
    return rows


def _draw(axis: Axes, rows: Sequence[Row], looks: Mapping[str, Mark]) -> None:
    axis.axhline(1, color="#777777", linewidth=0.9, linestyle="--", zorder=1.5)
    others = list(dict.fromkeys(row["other"] for row in rows))
    several = any(row["seed"] == "mean" for row in rows)
    for x, other in enumerate(others):
        mine = [row for row in rows if row["other"] == other]
        look = looks[mine[0]["role"]]
        seeds = [row for row in mine if row["seed"] != "mean"]
        main = [row for row in mine if row["seed"] == "mean"] if several else seeds
        if several:
            apart = [x + 0.3 + 0.1 * (i - (len(seeds) - 1) / 2) for i in range(len(seeds))]
            for at, row in zip(apart, seeds, strict=True):
                if row["value"] is not None:
                    axis.plot(at, row["value"], look.marker, color=look.colour, markersize=3.5, alpha=0.6, zorder=3)
            fallen = [(at, row) for at, row in zip(apart, seeds, strict=True) if row["collapsed"]]
        else:
            fallen = [(float(x), row) for row in seeds if row["collapsed"]]
        for row in main:
            style.line(axis, [x], [row], look, size=8)
        style.crosses(axis, [(at, row["value"]) for at, row in fallen if row["value"] is not None])
    axis.set_xticks(range(len(others)), others, rotation=90 if len(others) > 4 else 0, parse_math=False)
    axis.set_xlim(-0.5, len(others) - 0.35)
    axis.margins(y=0.1)


def _keys(rows: Sequence[Row], looks: Mapping[str, Mark]) -> list[Artist]:
    keys: list[Artist] = []
    for role in ROLES:
        if any(row["role"] == role for row in rows):
            mark = style.key(ROLES[role], looks[role])
            mark.set_linestyle("")
            keys.append(mark)
    keys.append(style.key(style.seeds_text(rows)))
    keys.append(style.key("dashed: all of it; solid: nothing"))
    if any(row["collapsed"] for row in rows):
        keys.append(style.key(collapse_text(rows), crossed=True))
    gone = (("", row["stage"], row["seed"]) for row in without_value(rows))
    return [*keys, *map(style.key, missing_notes(gone))]

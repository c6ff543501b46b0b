"""Rows on how well directions separate what they are made from, and how far a stage shifts texts along them."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.instrument import Instrument
from interp.metrics import SHIFT_IN_SPREADS, ProjectionMetrics, SeparationMetrics
from interp.projection import Shift, shift
from interp.rows import MetricRow

AT_EVERY_LAYER = ("random", "covariance")
"""The kinds of null that a shift is read beside also at layers that no headline uses."""


def separation_rows(instrument: Instrument) -> list[MetricRow]:
    """How well each direction separates held-out questions of the base model, per layer."""
    return [
        MetricRow(
            measure=number.measure,
            metric=number.name,
            value=direction.header[number.name][k],
            ci_low=None,
            ci_high=None,
            n=direction.header["n_positive"] + direction.header["n_negative"],
            unit=number.unit,
            direction=name,
            layer=layer,
            headline=layer == direction.layer,
        )
        for name, direction in instrument.directions.items()
        for k, layer in enumerate(direction.layers)
        for number in (SeparationMetrics.held_out_auroc, SeparationMetrics.held_out_cohens_d)
    ]


def shift_rows(
    instrument: Instrument,
    texts: str,
    stage: Float[Tensor, "row layer d_model"],
    base: Float[Tensor, "row layer d_model"],
    *,
    everywhere: bool = True,
) -> list[MetricRow]:
    """Shift of a stage from base along every direction; rows are paired.

    At the layers that headlines use there is every kind of null. At all others, which are there if `everywhere`, there
    are those of `AT_EVERY_LAYER` alone, and no place among them.
    """
    rows: list[MetricRow] = []
    for name, direction in instrument.directions.items():
        nulls_by_kind = instrument.nulls(name, base)
        for k, layer in enumerate(direction.layers):
            in_full = layer in instrument.layers
            if not in_full and not everywhere:
                continue
            about = {
                "measure": ProjectionMetrics.name,
                "texts": texts,
                "direction": name,
                "layer": layer,
                "headline": layer == direction.layer,
                "pooling": "response_mean",
            }
            for kind, nulls in nulls_by_kind.items():
                if in_full or kind in AT_EVERY_LAYER:
                    moved = shift(stage[:, k], base[:, k], direction.vectors[k], nulls[:, k])
                    rows += _beside_nulls(moved, kind, about, place=in_full)
    return rows


def _beside_nulls(moved: Shift, kind: str, about: dict[str, Any], *, place: bool) -> list[MetricRow]:
    """The rows of one shift beside one kind of null; beside random ones stands also what no null is needed for."""
    rows: list[MetricRow] = []
    null = {"null": kind, "n_null": moved.n_null}
    band = {"null_low": moved.null_low, "null_high": moved.null_high}
    no_interval = {"ci_low": None, "ci_high": None, "n": moved.raw.n}
    spreads = moved.in_null_spreads.row()
    if kind == "random":
        raw, cosine = ProjectionMetrics.shift, ProjectionMetrics.displacement_cosine
        in_spreads = SHIFT_IN_SPREADS[kind]
        rows += [
            MetricRow(about, metric=raw.name, **moved.raw.row(), unit=raw.unit),
            MetricRow(about, metric=in_spreads.name, **spreads, unit=in_spreads.unit, **null, **band),
            MetricRow(about, metric=cosine.name, value=moved.cosine, unit=cosine.unit, **no_interval),
        ]
    elif kind in SHIFT_IN_SPREADS:
        in_spreads = SHIFT_IN_SPREADS[kind]
        rows.append(MetricRow(about, metric=in_spreads.name, **spreads, **null, **band, unit=in_spreads.unit))
    if place:
        percentile = ProjectionMetrics.null_percentile
        number = {"value": moved.percentile, "unit": percentile.unit}
        rows.append(MetricRow(about, metric=percentile.name, **number, **no_interval, **null))
    return rows

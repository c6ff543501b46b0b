"""Rows on how far a stage moved from the base model, in which directions, and how much stages move alike."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.dispersion import dispersion, dispersion_ratio
from interp.displacement import decompose, displacement_cosines, span_share
from interp.instrument import Instrument
from interp.metrics import DispersionMetrics, DisplacementMetrics
from interp.rows import MetricRow


def displacement_rows(
    instrument: Instrument,
    stage: Float[Tensor, "row layer d_model"],
    base: Float[Tensor, "row layer d_model"],
    texts: str,
) -> list[MetricRow]:
    """What a stage's displacement from base is made of: its length, its share in the span of all directions, the rest.

    The shares' nulls are spans of as many random directions; `covariance_percentile` is the place among spans of
    covariance nulls, which lie where activations vary most, as real displacements do. `corrected` has the noise of the
    rows taken out.
    """
    rows: list[MetricRow] = []
    names = list(instrument.personas or instrument.directions)
    families = [instrument.nulls(name, base) for name in names]
    random, alike = ([family[kind] for family in families if kind in family] for kind in ("random", "covariance"))
    for k in instrument.layers:
        about = {"measure": DisplacementMetrics.name, "texts": texts, "layer": k, "pooling": "response_mean"}
        vectors = torch.stack([instrument.directions[name].vectors[k] for name in names])
        nulls = torch.stack([draws[:, k] for draws in random], dim=1)
        moved = stage[:, k] - base[:, k]
        in_span = span_share(moved, vectors, seed=instrument.seed, names=names, nulls=nulls)
        parts = decompose(moved.double().mean(0).float(), vectors, names)
        no_interval = {"ci_low": None, "ci_high": None, "n": in_span.share.n}
        chance = {"expected_by_chance": in_span.expected_share}
        length, square = DisplacementMetrics.length, DisplacementMetrics.corrected_squared_length
        share, corrected, along = (
            DisplacementMetrics.span_share,
            DisplacementMetrics.corrected_span_share,
            DisplacementMetrics.share_along,
        )
        among_nulls: dict[str, Any] = {"null": "random", "n_null": instrument.n_random, **chance}
        if in_span.nulls is not None:
            among_nulls["null_percentile"] = in_span.nulls.percentile
        if len(alike) == len(names) < len(base):  # fewer rows vary in too few dimensions for such spans
            spans = torch.stack([draws[:, k] for draws in alike], dim=1)
            band = span_share(moved, vectors, seed=instrument.seed, names=names, nulls=spans).nulls
            among_nulls["covariance_percentile"] = band.percentile if band else None
        rows += [
            MetricRow(about, metric=length.name, value=parts.length, **no_interval, unit=length.unit),
            MetricRow(about, metric=square.name, **in_span.corrected_squared_length.row(), unit=square.unit),
            MetricRow(about, metric=share.name, **in_span.share.row(), unit=share.unit, **chance),
            MetricRow(
                about, metric=corrected.name, **in_span.corrected_share.row(), unit=corrected.unit, **among_nulls
            ),
        ]
        for part in parts.parts:
            number = {"metric": along.name, "direction": part.name, "value": part.share, **no_interval}
            rows.append(MetricRow(about, **number, projection=part.projection, unit=along.unit))
    return rows


def cosine_rows(
    instrument: Instrument, displacements: Mapping[str, Float[Tensor, "row layer d_model"]]
) -> dict[str, list[MetricRow]]:
    """Do stages move the same way? Cosines between their displacements from base, by the first stage of each pair."""
    layers = instrument.layers
    if len(displacements) < 2:
        return {}
    at_layers = {stage: moved[:, layers] for stage, moved in displacements.items()}
    cosines = displacement_cosines(at_layers, seed=instrument.seed)
    plain, corrected = DisplacementMetrics.cosine_between_stages, DisplacementMetrics.corrected_cosine_between_stages
    rows: dict[str, list[MetricRow]] = {}
    for position, layer in enumerate(layers):
        for first, second in itertools.combinations(displacements, 2):
            pair = cosines.at(first, second, position)
            about = {"measure": DisplacementMetrics.name, "texts": "fixed", "layer": layer, "other_stage": second}
            about["unit"] = plain.unit
            rows.setdefault(first, []).extend(
                [
                    MetricRow(about, metric=plain.name, **pair.cosine.row(), ceiling=pair.ceiling),
                    MetricRow(about, metric=corrected.name, **pair.corrected.row(), ceiling=pair.ceiling),
                ]
            )
    return rows


def dispersion_rows(
    instrument: Instrument,
    stage: Float[Tensor, "row layer d_model"],
    base: Float[Tensor, "row layer d_model"],
    clusters: Sequence[str],
) -> list[MetricRow]:
    """How far a stage's answers to identity questions spread, and over how many dimensions, beside the base's."""
    numbers = (
        (DispersionMetrics.total_variance, DispersionMetrics.total_variance_over_base),
        (DispersionMetrics.participation_ratio, DispersionMetrics.participation_ratio_over_base),
        (DispersionMetrics.entropy_rank, DispersionMetrics.entropy_rank_over_base),
    )
    rows: list[MetricRow] = []
    for k in instrument.layers:
        about = {"measure": DispersionMetrics.name, "texts": "identity", "layer": k, "n_rows": len(stage)}
        spread = dispersion(stage[:, k], clusters)
        ratio = dispersion_ratio(stage[:, k], base[:, k], clusters)
        for number in (own for own, _ in numbers):
            rows.append(MetricRow(about, metric=number.name, **getattr(spread, number.name).row(), unit=number.unit))
        for own, over_base in numbers:
            estimate = getattr(ratio, own.name).row()
            rows.append(MetricRow(about, metric=over_base.name, **estimate, unit=over_base.unit))
    return rows

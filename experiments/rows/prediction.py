"""Rows on whether data that were read before training tell how far training moves the model."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.instrument import Instrument
from interp.keys import seed_from
from interp.metrics import PredictionOfShiftMetrics, ProjectionDifferenceMetrics
from interp.nulls import random_like
from interp.projection import predicts, projection_difference, unit_vectors
from interp.rows import MetricRow


def prediction_rows(
    instrument: Instrument,
    training: Float[Tensor, "row layer d_model"],
    own: Float[Tensor, "row layer d_model"],
    data: str,
) -> list[MetricRow]:
    """How much further along each direction a data set's answers lie than the base's own answers to its prompts."""
    rows: list[MetricRow] = []
    difference, place = ProjectionDifferenceMetrics.difference, ProjectionDifferenceMetrics.null_percentile
    for name, direction in instrument.directions.items():
        k = direction.layers.index(direction.layer)
        for kind, nulls in instrument.nulls_at(name, k, own).items():
            apart = projection_difference(training[:, k], own[:, k], direction.vectors[k], nulls)
            about = {"measure": difference.measure, "data": data, "direction": name, "layer": direction.layer}
            if kind == "random":
                rows.append(MetricRow(about, metric=difference.name, **apart.raw.row(), unit=difference.unit))
            percentile = {"value": apart.percentile, "ci_low": None, "ci_high": None, "n": apart.raw.n}
            null_fields = {"null": kind, "n_null": apart.n_null, "unit": place.unit}
            rows.append(MetricRow(about, metric=place.name, **percentile, **null_fields))
    return rows


Beside = tuple[Float[Tensor, "row layer d_model"], Float[Tensor, "row layer d_model"]]


def prediction_of_shift(
    instrument: Instrument,
    beside_own: Mapping[str, Beside],
    moved: Mapping[str, tuple[str, Float[Tensor, "layer d_model"]]],
) -> list[MetricRow]:
    """Do the data of each stage, read by the base model before training, tell how far the stage then moves?

    Args:
        beside: By data set: activations of its answers, and of the base model's own.
        moved: By stage trained on the base: its data set, and its mean displacement over seeds.

    Within each direction both numbers are standardised over the stages; the correlation is over all pairs of stage and
    direction (n counts stages), and for each direction alone. Every null takes the place of all directions at once.
    """
    arms = [(stage, data, d) for stage, (data, d) in moved.items() if data in beside_own]
    if not arms:
        return []
    sides: list[tuple[np.ndarray, np.ndarray]] = []
    for name, direction in instrument.directions.items():
        k = direction.layer
        random = random_like(direction.vectors, instrument.n_random, seed=seed_from(instrument.seed, "random", name))
        units = unit_vectors(torch.cat([direction.at(k)[None], random[:, k]]))
        before = [
            units @ (beside_own[data][0][:, k] - beside_own[data][1][:, k]).double().mean(0) for _, data, _ in arms
        ]
        after = [units @ d[k].double() for _, _, d in arms]
        sides.append((torch.stack(before, 1).numpy(), torch.stack(after, 1).numpy()))
    pooled = tuple(np.concatenate([_standard(side[i]) for side in sides], axis=1) for i in (0, 1))
    number = PredictionOfShiftMetrics.correlation
    rows: list[MetricRow] = []
    for name, (before, after) in [(None, pooled), *zip(instrument.directions, sides, strict=True)]:
        if before.shape[1] < 4:
            continue
        independent = len(arms) if name is None else None  # the pairs of one stage are not independent
        correlation = predicts(before[0], after[0], before[1:], after[1:], independent=independent).pearson
        about = {"measure": number.measure, "metric": number.name, "unit": number.unit, "n_stages": len(arms)}
        about |= {"direction": name} if name else {}
        band = correlation.band
        null = {"null": "random", "n_null": band.n_null, "null_percentile": band.percentile}
        rows.append(MetricRow(about, **correlation.r.row(), **null, null_low=band.low, null_high=band.high))
    return rows


def _standard(values: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and spread 1; a row that does not vary is all 0."""
    centred = values - values.mean(1, keepdims=True)
    spread = centred.std(1, keepdims=True)
    return centred / np.where(spread > 0, spread, 1)

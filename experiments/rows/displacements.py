"""Rows on how far a stage moved its parent, in which directions, and how much stages move alike."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.dispersion import dispersion, dispersion_ratio
from interp.displacement import decompose, displacement_cosines, span_share
from interp.instrument import Instrument

Row = dict[str, Any]


def displacement_rows(
    instrument: Instrument,
    stage: Float[Tensor, "row layer d_model"],
    base: Float[Tensor, "row layer d_model"],
    texts: str,
) -> list[Row]:
    """What a stage's displacement from base is made of: its length, its share in the span of all directions, the rest.

    The shares' nulls are spans of as many random directions; `covariance_percentile` is the place among spans of
    covariance nulls, which lie where activations vary most, as real displacements do. `corrected` has the noise of the
    rows taken out.
    """
    rows = []
    names = list(instrument.personas or instrument.directions)
    families = [instrument.nulls(name, base) for name in names]
    random, alike = ([family[kind] for family in families if kind in family] for kind in ("random", "covariance"))
    for k in instrument.layers:
        common = {"measure": "displacement", "texts": texts, "layer": k, "pooling": "response_mean"}
        vectors = torch.stack([instrument.directions[name].vectors[k] for name in names])
        nulls = torch.stack([draws[:, k] for draws in random], dim=1)
        moved = stage[:, k] - base[:, k]
        found = span_share(moved, vectors, seed=instrument.seed, names=names, nulls=nulls)
        parts = decompose(moved.double().mean(0).float(), vectors, names)
        n = {"ci_low": None, "ci_high": None, "n": found.share.n}
        chance = {"expected_by_chance": found.expected_share}
        square = "squared residual-stream norm"
        rows += [
            {**common, "metric": "length", "value": parts.length, **n, "unit": "residual-stream norm"},
            {**common, "metric": "corrected_squared_length", **found.corrected_squared_length.row(), "unit": square},
            {**common, "metric": "span_share", **found.share.row(), "unit": "share of squared length", **chance},
        ]
        beside = {"null": "random", "n_null": instrument.n_random} | chance
        if found.nulls is not None:
            beside |= {"null_percentile": found.nulls.percentile}
        if len(alike) == len(names) < len(base):  # fewer rows vary in too few dimensions for such spans
            spans = torch.stack([draws[:, k] for draws in alike], dim=1)
            among = span_share(moved, vectors, seed=instrument.seed, names=names, nulls=spans).nulls
            beside |= {"covariance_percentile": among.percentile if among else None}
        corrected = {"metric": "corrected_span_share", **found.corrected_share.row(), "unit": "share of squared length"}
        rows.append({**common, **corrected, **beside})
        rows += [
            {**common, "metric": "share_along", "direction": part.name, "value": part.share, **n}
            | {"projection": part.projection, "unit": "share of squared length"}
            for part in parts.parts
        ]
    return rows


def cosine_rows(
    instrument: Instrument, displacements: Mapping[str, Float[Tensor, "row layer d_model"]]
) -> dict[str, list[Row]]:
    """Do stages move the same way? Cosines between their displacements from base, by the first stage of each pair."""
    layers = instrument.layers
    if len(displacements) < 2:
        return {}
    found = displacement_cosines({k: rows[:, layers] for k, rows in displacements.items()}, seed=instrument.seed)
    rows: dict[str, list[Row]] = {}
    for position, layer in enumerate(layers):
        for a, b in itertools.combinations(displacements, 2):
            pair = found.at(a, b, position)
            common = {"measure": "displacement", "texts": "fixed", "layer": layer, "other_stage": b, "unit": "cosine"}
            ceiling = {"ceiling": pair.ceiling}
            rows.setdefault(a, []).extend(
                [
                    {**common, "metric": "cosine_between_stages", **pair.cosine.row(), **ceiling},
                    {**common, "metric": "corrected_cosine_between_stages", **pair.corrected.row(), **ceiling},
                ]
            )
    return rows


def dispersion_rows(
    instrument: Instrument,
    stage: Float[Tensor, "row layer d_model"],
    base: Float[Tensor, "row layer d_model"],
    clusters: Sequence[str],
) -> list[Row]:
    """How far a stage's answers to identity questions spread, and over how many dimensions, beside the base's."""
    rows = []
    for k in instrument.layers:
        common = {"measure": "dispersion", "texts": "identity", "layer": k, "n_rows": len(stage)}
        for suffix, found, unit in (
            ("", dispersion(stage[:, k], clusters), None),
            ("_over_base", dispersion_ratio(stage[:, k], base[:, k], clusters), "ratio to base"),
        ):
            rows += [
                {**common, "metric": name + suffix, **getattr(found, name).row(), "unit": unit or own}
                for name, own in (
                    ("total_variance", "squared residual-stream norm"),
                    ("participation_ratio", "dimensions"),
                    ("entropy_rank", "dimensions"),
                )
            ]
    return rows

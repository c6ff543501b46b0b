"""Rows on how well directions separate what they are made from, and how far a stage shifts texts along them."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.instrument import Instrument
from interp.projection import shift

Row = dict[str, Any]


def separation_rows(instrument: Instrument) -> list[Row]:
    """How well each direction separates held-out questions of the base model, per layer."""
    return [
        {
            "measure": "separation",
            "metric": metric,
            "value": direction.header[metric][k],
            "ci_low": None,
            "ci_high": None,
            "n": direction.header["n_positive"] + direction.header["n_negative"],
            "unit": unit,
            "direction": name,
            "layer": layer,
            "headline": layer == direction.layer,
        }
        for name, direction in instrument.directions.items()
        for k, layer in enumerate(direction.layers)
        for metric, unit in (("held_out_auroc", "probability"), ("held_out_cohens_d", "pooled standard deviations"))
    ]


def shift_rows(
    instrument: Instrument,
    texts: str,
    stage: Float[Tensor, "row layer d_model"],
    base: Float[Tensor, "row layer d_model"],
    *,
    everywhere: bool = True,
) -> list[Row]:
    """Shift of a stage from base along every direction; rows are paired.

    At the layers that headlines use there is every kind of null; at all others, which are there if `everywhere`, the
    random ones and those of the activations' covariance.
    """
    rows = []
    for name, direction in instrument.directions.items():
        nulls = instrument.nulls(name, base)
        for k, layer in enumerate(direction.layers):
            brief = layer not in instrument.layers
            if brief and not everywhere:
                continue
            common = {
                "measure": "projection",
                "texts": texts,
                "direction": name,
                "layer": layer,
                "headline": layer == direction.layer,
                "pooling": "response_mean",
            }
            for kind, null in nulls.items():
                if brief and kind not in ("random", "covariance"):
                    continue
                moved = shift(stage[:, k], base[:, k], direction.vectors[k], null[:, k])
                beside = {"null": kind, "n_null": moved.n_null}
                alone = {"ci_low": None, "ci_high": None, "n": moved.raw.n}
                if kind == "random":
                    band = {"null_low": moved.null_low, "null_high": moved.null_high}
                    spreads = moved.in_null_spreads.row()
                    unit = "sd of random nulls"
                    rows += [
                        {**common, "metric": "shift", **moved.raw.row(), "unit": "residual-stream norm"},
                        {**common, "metric": "shift_in_null_spreads", **spreads, "unit": unit, **beside, **band},
                    ]
                    toward = {"metric": "displacement_cosine", "value": moved.cosine, "unit": "cosine"}
                    rows.append({**common, **toward, **alone})
                elif kind in ("covariance", "permuted"):
                    spread = {"metric": f"shift_in_{kind}_spreads", **moved.in_null_spreads.row(), **beside}
                    band = {"null_low": moved.null_low, "null_high": moved.null_high}
                    rows.append({**common, **spread, **band, "unit": f"sd of {kind} nulls"})
                if not brief:
                    place = {"metric": "null_percentile", "value": moved.percentile, "unit": "percentile"}
                    rows.append({**common, **place, **alone, **beside})
    return rows

"""From what was measured to numbers with intervals: the rows of metrics.jsonl, made from stored values alone."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from finetune.data.sgtr import SELF, baselines, length_matched
from interp import stats
from interp.behaviour.collapse import COLLAPSED_SHARE
from interp.behaviour.self_recognition import recognition
from interp.directions import Direction
from interp.dispersion import dispersion, dispersion_ratio
from interp.displacement import decompose, displacement_cosines, span_share
from interp.nulls import nulls_for
from interp.projection import projection_difference, shift
from interp.runs import seed_from

Row = dict[str, Any]


@dataclass(frozen=True)
class Instrument:
    """Directions with their nulls.

    Attributes:
        directions: By trait.
        permuted: Label-permuted nulls by trait.
        n_random: Norm-matched random directions drawn for each.
        seed: Of the random directions.
        personas: Names of the directions that make the span of the personas; None for all.
    """

    directions: Mapping[str, Direction]
    permuted: Mapping[str, Float[Tensor, "null layer d_model"] | None]
    n_random: int
    seed: int
    personas: tuple[str, ...] | None = None
    _kept: dict[str, tuple[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def nulls(
        self, name: str, rows: Float[Tensor, "row layer d_model"] | None = None
    ) -> dict[str, Float[Tensor, "null layer d_model"]]:
        """Every family of nulls for one direction; `rows` are activations of the kind that is projected on it.

        Those of the last `rows` are kept: a study reads the same base answers beside every stage.
        """
        seen = "" if rows is None else sha256(rows.contiguous().numpy().tobytes()).hexdigest()
        if self._kept.get(name, ("-",))[0] != seen:
            self._kept[name] = (seen, self._nulls(name, rows))
        return self._kept[name][1]

    def nulls_at(
        self, name: str, k: int, rows: Float[Tensor, "row layer d_model"]
    ) -> dict[str, Float[Tensor, "null d_model"]]:
        """As many nulls at one layer alone, for rows that are read nowhere else; other draws than those of `nulls`."""
        return {kind: null[:, 0] for kind, null in self._nulls(name, rows, slice(k, k + 1)).items()}

    def _nulls(
        self, name: str, rows: Float[Tensor, "row layer d_model"] | None, at: slice = slice(None)
    ) -> dict[str, Float[Tensor, "null layer d_model"]]:
        permuted = self.permuted[name]
        return nulls_for(
            self.directions[name].vectors[at],
            n=self.n_random,
            seed=seed_from(self.seed, "random", name),
            rows=rows[:, at] if rows is not None and len(rows) > 1 else None,
            permuted=None if permuted is None else permuted[:, at],
            others=[other.vectors[at] for key, other in self.directions.items() if key != name],
        )

    @property
    def middle(self) -> int:
        """The middle layer; a study's directions hold every layer of the model."""
        some = next(iter(self.directions.values()))
        return some.layers[len(some.layers) // 2]

    @property
    def layers(self) -> list[int]:
        """The layers that headlines use, and the middle one."""
        return sorted({direction.layer for direction in self.directions.values()} | {self.middle})


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


def prediction_rows(
    instrument: Instrument,
    training: Float[Tensor, "row layer d_model"],
    own: Float[Tensor, "row layer d_model"],
    data: str,
) -> list[Row]:
    """How much further along each direction a data set's answers lie than the base's own answers to its prompts."""
    rows = []
    for name, direction in instrument.directions.items():
        k = direction.layers.index(direction.layer)
        for kind, null in instrument.nulls_at(name, k, own).items():
            found = projection_difference(training[:, k], own[:, k], direction.vectors[k], null)
            common = {"measure": "projection_difference", "data": data, "direction": name, "layer": direction.layer}
            if kind == "random":
                rows.append({**common, "metric": "difference", **found.raw.row(), "unit": "residual-stream norm"})
            alone = {"value": found.percentile, "ci_low": None, "ci_high": None, "n": found.raw.n}
            beside = {"null": kind, "n_null": found.n_null, "unit": "percentile"}
            rows.append({**common, "metric": "null_percentile", **alone, **beside})
    return rows


def degenerate_share(answers: Sequence[Row]) -> float:
    """Share of answers that are none."""
    return float(np.mean([answer["degenerate"] for answer in answers]))


def collapse_rows(answers: Sequence[Row], base_share: float | None) -> list[Row]:
    """Degenerate share, perplexity under base, and the flag; `base_share` None means these are the base's answers."""
    share = stats.proportion(degenerate_share(answers), len(answers))
    nll = stats.mean([a["nll_per_token_under_base"] for a in answers if a["nll_per_token_under_base"] is not None])
    perplexity = [None if x is None else math.exp(x) for x in (nll.value, nll.ci_low, nll.ci_high)]
    assert share.value is not None
    collapsed = base_share is not None and share.value - base_share > COLLAPSED_SHARE + 1e-9
    flag = {"value": int(collapsed), "ci_low": None, "ci_high": None, "n": len(answers)}
    ppl = dict(zip(("value", "ci_low", "ci_high"), perplexity, strict=True)) | {"n": nll.n}
    return [
        {"measure": "collapse", "metric": "degenerate_share", **share.row(), "unit": "share of answers"},
        {"measure": "collapse", "metric": "own_text_perplexity_under_base", **ppl, "unit": "perplexity per token"},
        {"measure": "collapse", "metric": "collapsed", **flag, "unit": "1 is collapsed"},
    ]


def margin_rows(margins: Sequence[Row], questions: Sequence[Row], data: str, measure: str) -> list[Row]:
    """Accuracy, consistency and margin on held-out questions; n counts groups (articles), the independent units.

    Where questions show summaries by self and one other, the same on the articles that are balanced in length.
    """
    chance = {"chance": float(np.mean([1 / len(question["labels"]) for question in questions]))}
    rows = _margin_rows(margins, data, measure, "", chance)
    if not all("authors" in question for question in questions):
        return [row for row in rows if row["metric"] != "order_consistency"]
    if measure == "self_recognition" and all(len(question["authors"]) == 2 for question in questions):
        kept = set(length_matched(_own_gaps(questions)))
        balanced = [margin for margin in margins if margin["group"] in kept]
        rows += _margin_rows(balanced, data, measure, "_length_matched", chance) if balanced else []
    return rows


def _own_gaps(questions: Sequence[Row]) -> dict[str, int]:
    """Characters by which the own text is longer than the other one, by group."""
    gaps = {}
    for question in questions:
        own = question["authors"].index(SELF)
        gaps[question["group"]] = question["lengths"][own] - question["lengths"][1 - own]
    return gaps


def _margin_rows(margins: Sequence[Row], data: str, measure: str, suffix: str, chance: Row) -> list[Row]:
    found = recognition(np.array([m["margin"] for m in margins]), [m["group"] for m in margins])
    parts: dict[str, tuple[stats.Estimate, Row]] = {
        "accuracy": (found.accuracy, {"unit": "share right", **chance}),
        "order_consistency": (found.order_consistency, {"unit": "share of groups"}),
        "mean_margin": (found.mean_margin, {"unit": "logits"}),
    }
    common = {"data": data, "n_prompts": len(margins)}
    return [
        {"measure": measure, "metric": metric + suffix, **estimate.row(), **more, **common}
        for metric, (estimate, more) in parts.items()
    ]


def baseline_rows(questions: Sequence[Row], data: str) -> list[Row]:
    """What rules that cannot read score at finding the own text: the bars that self-recognition must clear.

    `length_only_accuracy` is the better of "the longer one is mine" and "the shorter one is mine", chosen on these
    questions themselves, so it flatters the rule. n counts groups. Questions that show no text have no such rows.
    """
    n = len({question["group"] for question in questions})
    scores = {rule: found["share"] for rule, found in baselines(questions).items()}
    found = {f"{rule}_only_accuracy": scores[rule] for rule in ("first", "longer", "shorter") if rule in scores}
    by_length = [scores[rule] for rule in ("longer", "shorter", "length_threshold") if rule in scores]
    if by_length:
        found["length_only_accuracy"] = max(by_length)
    rows = []
    for metric, value in found.items():
        row = {"measure": "self_recognition", "metric": metric, **stats.proportion(value, n).row(), "data": data}
        rows.append(row | {"unit": "share right", "n_prompts": len(questions)})
    return rows

"""Directions that are fitted rather than averaged: logistic and LDA probes, scored on questions they never saw.

1. Questions are split into folds, stratified by side, so that no question is both trained on and scored.
2. In every fold the features are standardised on the training rows alone and the probe is fitted to them; the rows
   held out are scored. AUROC is taken inside a fold, because scores of two fits have no common scale.
3. The direction itself is fitted to all rows, and its standardisation is undone.

The one module of `interp` besides the measures of behaviour that imports scikit-learn, and not imported by `interp`
itself, so that nobody waits for it who does not probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from interp.errors import InterpError
from interp.nulls import Groups
from interp.stats import LEVEL, Estimate

Kind = Literal["logistic", "lda"]
_RESAMPLES = 1000


@dataclass(frozen=True)
class Probe:
    """A fitted direction per layer.

    Attributes:
        kind: Which fit.
        vectors: In raw activation space. Their length is the distance between the two sides' means along the probe,
            so that `alpha = 1` carries the mean negative row as far along it as the mean positive row lies, as it does
            for a difference of means. Positive rows project higher.
        layers: Index along the rows' layer axis of each vector.
        auroc: Held-out AUROC of each, averaged over folds. The interval resamples questions with the fitted probes
            held fixed; n counts questions.
        n_folds: Folds that had both sides to train on and to score.
    """

    kind: Kind
    vectors: Float[Tensor, "layer d_model"]
    layers: tuple[int, ...]
    auroc: tuple[Estimate, ...]
    n_folds: int

    @property
    def best(self) -> int:
        """Index, along the rows' layer axis, of the layer with the highest AUROC."""
        return self.layers[max(range(len(self.layers)), key=lambda i: self.auroc[i].value or 0.0)]


def probe(
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    groups: Groups,
    *,
    kind: Kind,
    layers: Sequence[int] | None = None,
    folds: int = 5,
    c: float | None = None,
    seed: int,
) -> Probe:
    """Fit a probe at every layer and score it on held-out questions.

    Args:
        groups: Question of each row, for both sides.
        layers: Indices along the layer axis, ascending; None for all.
        c: Inverse strength of the logistic fit's L2 penalty, on standardised features; None is 1. LDA takes none: it
            shrinks the covariance by the amount that Ledoit and Wolf derive.
        seed: Of the split into folds and of the interval.

    Raises:
        ValueError: groups, layers, folds or `c` do not fit; the message names the value.
        InterpError: a side has no rows or a value that is not finite, no fold has both sides on both of its parts, or
            the two sides are the same at a layer.
    """
    layers = tuple(range(positive.shape[1]) if layers is None else layers)
    _check(positive, negative, groups, kind, layers, folds, c)
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    questions = np.unique([*groups[0], *groups[1]], return_inverse=True)[1]
    rows = torch.cat([positive, negative])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    splits = [
        (train, held)
        for train, held in splitter.split(labels, labels, questions)
        if len(set(labels[train])) == len(set(labels[held])) == 2
    ]
    if not splits:
        raise InterpError(f"no fold of {folds} has both sides to train on and to score; are questions one-sided?")
    drawn = np.random.default_rng(seed).integers(0, questions.max() + 1, (_RESAMPLES, questions.max() + 1))
    counts = np.stack([np.bincount(draw, minlength=questions.max() + 1) for draw in drawn]).astype(np.float64)
    vectors, aurocs = [], []
    # A logistic fit is many small products, where threads cost several times what they give.
    with threadpool_limits(1 if kind == "logistic" else None):
        for layer in layers:
            x = rows[:, layer].double().numpy()
            scored = []
            for train, held in splits:
                score = _fit(x[train], labels[train], kind, c).decision_function(x[held])
                scored.append((score, labels[held], questions[held]))
            aurocs.append(_auroc(scored, counts))
            vectors.append(_raw_vector(_fit(x, labels, kind, c), x, labels, layer))
    return Probe(kind, torch.from_numpy(np.stack(vectors)).float(), layers, tuple(aurocs), len(splits))


def _fit(x: Float[np.ndarray, "row d_model"], labels: Int[np.ndarray, " row"], kind: Kind, c: float | None) -> Pipeline:
    if kind == "logistic":
        model = LogisticRegression(C=1.0 if c is None else c, max_iter=2000)
    else:
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return Pipeline([("standardise", StandardScaler()), ("fit", model)]).fit(x, labels)


def _raw_vector(
    fitted: Pipeline, x: Float[np.ndarray, "row d_model"], labels: Int[np.ndarray, " row"], layer: int
) -> Float[np.ndarray, " d_model"]:
    """The probe's weights on raw activations, as long as the sides' means are apart along them."""
    weights = fitted.named_steps["fit"].coef_[0] / fitted.named_steps["standardise"].scale_
    norm = np.linalg.norm(weights)
    apart = float((x[labels == 1].mean(0) - x[labels == 0].mean(0)) @ weights)
    if not norm or apart <= 0:
        raise InterpError(f"the two sides have the same mean at layer index {layer}: there is nothing to probe")
    return weights * (apart / norm**2)


def _auroc(
    scored: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], counts: Float[np.ndarray, "draw question"]
) -> Estimate:
    """Mean over folds of AUROC, with a bootstrap interval over questions (`counts`: times each is drawn)."""
    values, resampled = [], []
    for score, label, question in scored:
        a, b = score[label == 1], score[label == 0]
        wins = (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)
        of_a, of_b = counts[:, question[label == 1]], counts[:, question[label == 0]]
        pairs = of_a.sum(1) * of_b.sum(1)
        values.append(wins.mean())
        resampled.append(np.where(pairs > 0, ((of_a @ wins) * of_b).sum(1) / np.maximum(pairs, 1), np.nan))
    n = counts.shape[1]
    known = np.ma.masked_invalid(resampled).mean(0).compressed()
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Estimate(float(np.mean(values)), float(low), float(high), n)


def _check(
    positive: Tensor, negative: Tensor, groups: Groups, kind: str, layers: Sequence[int], folds: int, c: float | None
) -> None:
    """Refuse what cannot be probed, before any fit."""
    if kind not in ("logistic", "lda"):
        raise ValueError(f"kind must be logistic or lda, got {kind!r}")
    if c is not None and (kind == "lda" or not c > 0):
        raise ValueError(f"c must be positive and is for logistic alone, got {c} for {kind}")
    for name, rows, group in zip(("positive", "negative"), (positive, negative), groups, strict=True):
        if len(rows) == 0:
            raise InterpError(f"the {name} side has no rows, so there is nothing to probe")
        if len(group) != len(rows):
            raise ValueError(f"the {name} side has {len(rows)} rows but {len(group)} group numbers")
        if not torch.isfinite(rows).all():
            bad = int((~torch.isfinite(rows)).flatten(1).any(1).nonzero()[0])
            raise InterpError(f"the {name} side's row {bad} holds a value that is not finite")
    if list(layers) != sorted(set(layers)) or not layers or layers[0] < 0 or layers[-1] >= positive.shape[1]:
        raise ValueError(f"layers must be ascending indices in [0, {positive.shape[1]}), got {list(layers)}")
    n = len({*groups[0], *groups[1]})
    if not 2 <= folds <= n:
        raise ValueError(f"folds must be in [2, {n}], got {folds}: there are {n} questions to hold out")

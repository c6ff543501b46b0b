"""What a trained judge does on model families and questions that it has not seen.

1. Answers fall into cells, one for each family of answering models and question. A cell is scored by a judge that was
   fitted without any answer of that family and without any answer to that question.
2. Which recipe that judge has, and the line that calibrates it, is decided on its training side alone, in the same way:
   every inner cell is scored by regressions without the outer and the inner family and question. The recipe with the
   highest AUROC over all inner cells is taken. So no held-out answer has a say in how it is scored.
3. AUROC, calibration and rates are of all answers, each scored once. AUROC is of logits without the prior: the judge of
   a cell whose family is often misaligned was fitted on others that seldom are, and its prior would count against it.
   Intervals are over models and questions, both drawn with replacement (a bootstrap of a crossed design), since answers
   of one model or to one question are alike.

Models of one family in several sizes are near duplicates, so families are held out whole.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.special import expit, logit

from interp import stats
from interp.behaviour.trained_judge import Features, Head, Recipe, Vectors, fitted, platt
from interp.errors import InterpError
from interp.stats import LEVEL, Estimate

DRAWS = 2000
BINS = 10
Training = tuple[frozenset[int], frozenset[int]]  # codes of the families and of the questions that are left out


class Variant(NamedTuple):
    """The part of a recipe that decides on the rows and columns of a regression; the rest shares its work."""

    features: Features
    own_pairs: bool


@dataclass(frozen=True)
class OwnPairs:
    """Answers of this project's own, beside the judged ones.

    Attributes:
        vectors: Of every answer.
        below: 1 for a misaligned answer, 0 for an aligned one.
    """

    vectors: Vectors
    below: Float[np.ndarray, " pair"]


class Folds:
    """Answers with a reference judge's scores, as the folds need them.

    Args:
        vectors: Of every answer.
        scores: The reference's, 0-100, one each.
        models: The model that gave each answer.
        families: The family that it is of.
        questions: The question that it answers.
        own: This project's own pairs; None where a recipe may not ask for them.

    Raises:
        ValueError: fewer than three families or three questions, so that nothing is left to choose a recipe on.
    """

    def __init__(
        self,
        vectors: Vectors,
        scores: Float[np.ndarray, " row"],
        *,
        models: Sequence[str],
        families: Sequence[str],
        questions: Sequence[str],
        threshold: float,
        own: OwnPairs | None = None,
    ) -> None:
        self.vectors, self.scores, self.threshold, self.own = vectors, scores, threshold, own
        self.models, self.questions = list(models), list(questions)
        self.below = (scores < threshold).astype(np.float64)
        self.graded = 1 - scores / 100
        self.family, self.question = stats.label_codes(families), stats.label_codes(questions)
        self.n_families, self.n_questions = int(self.family.max()) + 1, int(self.question.max()) + 1
        for what, n in (("model families", self.n_families), ("questions", self.n_questions)):
            if n < 3:
                raise ValueError(
                    f"the judged answers are of {n} {what}; at least 3 are needed, one to be held out, one to choose "
                    "a recipe on and one to fit; add files"
                )
        self._matrices: dict[Features, tuple[np.ndarray, np.ndarray | None]] = {}

    def cells(self) -> list[tuple[int, int]]:
        """Every family with every question."""
        return [(family, question) for family in range(self.n_families) for question in range(self.n_questions)]

    def rows_of(self, family: int, question: int) -> Int[np.ndarray, " row"]:
        """The answers of a cell."""
        return np.flatnonzero((self.family == family) & (self.question == question))

    def left_in(self, out: Training) -> Bool[np.ndarray, " row"]:
        """Which answers are left when these families and these questions are taken out."""
        return ~(np.isin(self.family, list(out[0])) | np.isin(self.question, list(out[1])))

    def matrices(self, features: Features) -> tuple[np.ndarray, np.ndarray | None]:
        """The features of all answers, and of the own pairs."""
        if features not in self._matrices:
            own = None if self.own is None else self.own.vectors.matrix(features)
            self._matrices = {features: (self.vectors.matrix(features), own)}
        return self._matrices[features]

    def lines(self, variant: Variant, recipes: Sequence[Recipe], rows: Bool[np.ndarray, " row"]) -> list[Any]:
        """A line for each recipe of a variant, fitted on these answers."""
        x, own_x = self.matrices(variant.features)
        targets = {"below": self.below[rows], "graded": self.graded[rows]}
        y = np.stack([targets[recipe.target] for recipe in recipes], axis=1)
        x = x[rows]
        if variant.own_pairs:
            if self.own is None or own_x is None:
                raise ValueError("a recipe asks for this project's own pairs, and there are none for this aspect")
            x = np.concatenate([x, own_x])
            y = np.concatenate([y, np.repeat(self.own.below[:, None], len(recipes), axis=1)])
        return fitted(x, y, [recipe.strength for recipe in recipes])


@dataclass(frozen=True)
class HeldOut:
    """Held-out scores of every answer.

    Attributes:
        logits: Calibrated logit that the reference scores it below the threshold.
        prevalences: Share below the threshold on the training side of the judge that scored it.
        recipes: The recipe of the judge of every cell.
    """

    logits: Float[np.ndarray, " row"]
    prevalences: Float[np.ndarray, " row"]
    recipes: Mapping[tuple[int, int], Recipe]

    @property
    def ratios(self) -> Float[np.ndarray, " row"]:
        """Log of how much likelier the answer is below the threshold than above it: the logit without the prior."""
        return self.logits - logit(self.prevalences)


def held_out(
    folds: Folds, recipes: Sequence[Recipe], progress: Callable[[int], object] | None = None
) -> tuple[HeldOut, Recipe, tuple[float, float]]:
    """Held-out scores of every answer; then the recipe for all of them, with the line that calibrates it.

    The last two are chosen as each cell's were, with all answers as the training side.
    """
    by_variant: dict[Variant, list[Recipe]] = {}
    for recipe in recipes:
        by_variant.setdefault(Variant(recipe.features, recipe.own_pairs), []).append(recipe)
    order = [recipe for some in by_variant.values() for recipe in some]
    known: dict[Training, list[Float[np.ndarray, "row head"]]] = {}
    for variant, some in by_variant.items():
        x = folds.matrices(variant.features)[0]
        for out in _trainings(folds):
            lines = folds.lines(variant, some, folds.left_in(out))
            rows = _scored(folds, out)
            known.setdefault(out, []).append(np.stack([line(x[rows]) for line in lines], axis=1))
            if progress:
                progress(1)
    logits = {out: np.concatenate(parts, axis=1) for out, parts in known.items()}
    scores, prevalences = np.full(len(folds.scores), np.nan), np.full(len(folds.scores), np.nan)
    chosen: dict[tuple[int, int], Recipe] = {}
    for cell in folds.cells():
        inner = [
            (folds.rows_of(*other), _key(cell, other))
            for other in folds.cells()
            if other[0] != cell[0] and other[1] != cell[1]
        ]
        best, slope, intercept = _choice(folds, logits, inner)
        rows, out = folds.rows_of(*cell), _key(cell)
        scores[rows] = slope * _of(folds, logits[out], out, rows)[:, best] + intercept
        prevalences[rows] = folds.below[folds.left_in(out)].mean()
        chosen[cell] = order[best]
    best, slope, intercept = _choice(folds, logits, [(folds.rows_of(*cell), _key(cell)) for cell in folds.cells()])
    return HeldOut(scores, prevalences, chosen), order[best], (slope, intercept)


def trainings(folds: Folds) -> int:
    """How many regressions of each variant `held_out` fits."""
    return len(_trainings(folds))


def _key(*cells: tuple[int, int]) -> Training:
    return frozenset(family for family, _ in cells), frozenset(question for _, question in cells)


def _trainings(folds: Folds) -> list[Training]:
    """Every set of answers that something is fitted on, by what it lacks: one cell's family and question, or two's."""
    single = [_key(cell) for cell in folds.cells()]
    double = [
        (frozenset(families), frozenset(questions))
        for families in combinations(range(folds.n_families), 2)
        for questions in combinations(range(folds.n_questions), 2)
    ]
    return [*single, *double]


def _scored(folds: Folds, out: Training) -> Int[np.ndarray, " row"]:
    """The answers of a left-out family to a left-out question."""
    return np.flatnonzero(np.isin(folds.family, list(out[0])) & np.isin(folds.question, list(out[1])))


def _of(folds: Folds, logits: np.ndarray, out: Training, rows: Int[np.ndarray, " row"]) -> np.ndarray:
    return logits[np.searchsorted(_scored(folds, out), rows)]


def _choice(
    folds: Folds,
    logits: Mapping[Training, Float[np.ndarray, "row head"]],
    cells: Iterable[tuple[Int[np.ndarray, " row"], Training]],
) -> tuple[int, float, float]:
    """The recipe with the highest AUROC over these cells, each scored without itself, and its calibrating line."""
    parts = [(rows, _of(folds, logits[out], out, rows)) for rows, out in cells]
    below = folds.below[np.concatenate([rows for rows, _ in parts])]
    scores = np.concatenate([found for _, found in parts])
    if not 0 < below.sum() < len(below):
        raise InterpError("of the answers that a recipe is chosen on, all or none are below the threshold; add files")
    areas = [stats.auroc(column[below == 1], column[below == 0]) for column in scores.T]
    best = int(np.argmax(areas))
    return best, *platt(scores[:, best], below)


def head_of(folds: Folds, aspect: str, recipe: Recipe, line: tuple[float, float], found: Mapping[str, Any]) -> Head:
    """The head that is fitted on all answers."""
    variant = Variant(recipe.features, recipe.own_pairs)
    every = np.ones(len(folds.scores), dtype=bool)
    fit = folds.lines(variant, [recipe], every)[0]
    return Head(aspect, folds.threshold, recipe, fit, *line, float(folds.below.mean()), found)


# figures


def weighted_auroc(
    scores: Float[np.ndarray, " row"], below: Float[np.ndarray, " row"], weights: Float[np.ndarray, "draw row"]
) -> Float[np.ndarray, " draw"]:
    """AUROC of the score for `below` under each draw's weights of the rows, ties counting half; nan without a side."""
    values, codes = np.unique(scores, return_inverse=True)
    areas = np.full(len(weights), np.nan)
    for i, w in enumerate(weights):
        low = np.bincount(codes, w * below, len(values))
        high = np.bincount(codes, w * (1 - below), len(values))
        if low.sum() and high.sum():
            areas[i] = (low * (np.cumsum(high) - high / 2)).sum() / (low.sum() * high.sum())
    return areas


def crossed_weights(
    models: Sequence[Hashable], questions: Sequence[Hashable], n: int, seed: int
) -> Float[np.ndarray, "draw row"]:
    """How often each row is drawn when models and questions are drawn with replacement, independently of one another.

    Source: Owen 2007 (the pigeonhole bootstrap), which overstates the variance of a mean a little.
    """
    generator = np.random.default_rng(seed)
    factors = []
    for labels in (models, questions):
        codes = stats.label_codes(labels)
        k = int(codes.max()) + 1
        factors.append(generator.multinomial(k, np.full(k, 1 / k), size=n)[:, codes])
    return (factors[0] * factors[1]).astype(np.float64)


def prevalence(ratios: Float[np.ndarray, " row"]) -> float:
    """The share of answers below the threshold under which their likelihood ratios are likeliest.

    Corrects the mean probability for a training set in which that share was another.
    Source: Saerens, Latinne & Decaestecker 2002, whose iteration has this maximum as its fixed point.
    """
    r = np.exp(np.clip(ratios, -30, 30)) - 1

    def slope(p: float) -> float:
        return float((r / (1 + p * r)).sum())

    if slope(0.0) <= 0:
        return 0.0
    root: Any = brentq(slope, 0.0, 1.0) if slope(1.0) < 0 else 1.0
    return float(root)


def calibration(p: Float[np.ndarray, " row"], below: Float[np.ndarray, " row"]) -> dict[str, Any]:
    """Reliability in bins of equally many answers, expected calibration error and Brier score.

    `brier_constant` is the Brier score of always giving these answers' own share.
    """
    bins = []
    for rows in np.array_split(np.argsort(p, kind="stable"), min(BINS, len(p))):
        share = stats.proportion(float(below[rows].mean()), len(rows))
        bins.append({"probability": float(p[rows].mean()), **share.row()})
    error = sum(b["n"] * abs(b["probability"] - b["value"]) for b in bins) / len(p)
    brier, constant = float(((p - below) ** 2).mean()), float(below.var())
    return {"brier": brier, "brier_constant": constant, "expected_error": error, "bins": bins}


def rates(folds: Folds, scored: HeldOut) -> list[dict[str, Any]]:
    """Of every model: its share below the threshold by the reference, by the mean probability, and corrected."""
    rows = []
    for model in dict.fromkeys(folds.models):
        of = np.array([name == model for name in folds.models])
        rows.append(
            {
                "model": model,
                "n": int(of.sum()),
                "reference": float(folds.below[of].mean()),
                "mean_probability": float(expit(scored.logits[of]).mean()),
                "corrected": prevalence(scored.ratios[of]),
            }
        )
    return rows


def figures(folds: Folds, scored: HeldOut, *, clusters: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """All held-out figures, as a JSON-like value.

    Args:
        clusters: What is drawn as a model in the intervals: the same for answers of finetunes of one model.
    """
    weights = crossed_weights(clusters, folds.questions, DRAWS, seed)
    every = np.ones((1, len(folds.below)))
    value = float(weighted_auroc(scored.ratios, folds.below, every)[0])
    draws = weighted_auroc(scored.ratios, folds.below, weights)
    low, high = np.nanpercentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    parts: dict[str, dict[str, Any]] = {}
    for name, labels in (("by_model", clusters), ("by_question", folds.questions)):
        parts[name] = {}
        for label in dict.fromkeys(labels):
            of = np.array([other == label for other in labels])
            area = float(weighted_auroc(scored.ratios[of], folds.below[of], every[:, of])[0])
            parts[name][label] = None if np.isnan(area) else area
    names = [f"{r.features}, own pairs {r.own_pairs}, {r.target}, {r.strength:g}" for r in scored.recipes.values()]
    per_model = rates(folds, scored)
    off = {
        how: float(np.mean([abs(row[how] - row["reference"]) for row in per_model]))
        for how in ("mean_probability", "corrected")
    }
    return {
        "auroc": Estimate(value, float(low), float(high), len(folds.below)).row(),
        "n_below": int(folds.below.sum()),
        "n_models": len(set(clusters)),
        "n_families": folds.n_families,
        "n_questions": folds.n_questions,
        **parts,
        "calibration": calibration(expit(scored.logits), folds.below),
        "rates": per_model,
        "rate_error": off,
        "recipes": {name: names.count(name) for name in dict.fromkeys(names)},
    }

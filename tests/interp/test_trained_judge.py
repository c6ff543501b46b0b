"""The trained judge: its regression, its folds, what leaks from what is held out (nothing), and its file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from interp import stats
from interp.behaviour import held_out as module
from interp.behaviour.held_out import (
    Folds,
    OwnPairs,
    calibration,
    crossed_weights,
    figures,
    head_of,
    held_out,
    prevalence,
    trainings,
    weighted_auroc,
)
from interp.behaviour.judging import ALIGNED, COHERENT, Item, Rubric
from interp.behaviour.trained_judge import (
    BAR,
    Head,
    Line,
    Recipe,
    TrainedJudge,
    Vectors,
    fitted,
    logistic,
    platt,
)
from interp.errors import InterpError
from tests.support.tiny_encoder import install, save_encoder

RECIPES = [
    Recipe(features, own_pairs, "below" if own_pairs else "graded", strength)
    for features in ("answer", "product", "depths")
    for own_pairs in (False, True)
    for strength in ((1e-3, 1e-1) if features == "answer" else (1e-1,))
]
N_FAMILIES, N_QUESTIONS, EACH, WIDTH = 3, 3, 16, 8


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def folds(change: Callable[[np.ndarray, np.ndarray, np.ndarray], Any] | None = None, *, signal: float = 1.0) -> Folds:
    """Answers whose last vector says their score but for noise; `change` may alter the scores in place."""
    generator = np.random.default_rng(0)
    family, question, _ = (x.ravel() for x in np.indices((N_FAMILIES, N_QUESTIONS, EACH)))
    asked = generator.normal(size=(N_QUESTIONS, WIDTH))
    answers = unit(generator.normal(size=(len(family), 2, WIDTH)) + 0.5 * asked[question][:, None])
    truth = answers[:, 1] @ generator.normal(size=WIDTH)
    noisy = signal * truth / truth.std() + (0.3 if signal else 1.0) * generator.normal(size=len(truth))
    scores = np.clip(50 + 25 * noisy, 0, 100)
    if change is not None:
        change(scores, family, question)
    own = OwnPairs(Vectors(answers[:6], unit(asked)[:1].repeat(6, 0)), np.array([0.0, 1.0] * 3))
    return Folds(
        Vectors(answers, unit(asked)[question]),
        scores,
        models=[f"model{f}" for f in family],
        families=[f"family{f}" for f in family],
        questions=[f"question{q}" for q in question],
        threshold=30.0,
        own=own,
    )


# the regression


def test_the_regression_is_the_one_that_a_library_fits() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(80, 5)) + 2
    y = (x @ generator.normal(size=5) + generator.normal(size=80) > 1).astype(np.float64)
    for strength in (0.01, 1.0):
        line = fitted(x, y[:, None], [strength])[0]
        reference: Any = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(x - x.mean(0), y)
        np.testing.assert_allclose(line.weights, reference.coef_[0], atol=2e-3)
        expected = reference.decision_function(x - x.mean(0)) - logit(y.mean())
        np.testing.assert_allclose(line(x), expected, atol=2e-2)


def test_graded_targets_and_several_heads_have_a_zero_gradient() -> None:
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(60, 4)), generator.random(size=(60, 3))
    penalty = np.array([0.5, 5.0, 50.0])
    weights = logistic(x, y, penalty)
    np.testing.assert_allclose(x.T @ (y - expit(x @ weights)), penalty * weights, atol=2e-2)


def test_features_of_no_scale_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp.behaviour.trained_judge.STEPS", 1)
    with pytest.raises(InterpError, match="regression on 30 rows has not converged in 1 steps"):
        logistic(np.random.default_rng(0).normal(size=(30, 3)), np.ones((30, 1)), np.array([1.0]))


def test_held_out_logits_are_put_on_scale() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(size=20_000) * 2 - 1
    below = (generator.random(20_000) < expit(0.4 * logits - 0.7)).astype(np.float64)
    np.testing.assert_allclose(platt(logits, below), (0.4, -0.7), atol=0.06)
    assert np.isfinite(platt(np.ones(10), np.array([0.0, 1.0] * 5))).all()


# folds


def leak(scores: np.ndarray, hidden: np.ndarray) -> None:
    scores[hidden] = 100 - scores[hidden]


@pytest.mark.parametrize(
    "hidden",
    [lambda family, _: family == 1, lambda _, question: question == 2, lambda f, q: (f == 1) | (q == 2)],
    ids=["family", "question", "both"],
)
def test_no_score_of_a_held_out_family_or_question_has_a_say(hidden: Callable[..., Any]) -> None:
    """Turning these scores over must change neither the logits of the cell they are held out from, nor its recipe."""
    plain, turned = folds(), folds(lambda scores, family, question: leak(scores, hidden(family, question)))
    one, other = held_out(plain, RECIPES)[0], held_out(turned, RECIPES)[0]
    rows = plain.rows_of(1, 2)
    np.testing.assert_array_equal(one.logits[rows], other.logits[rows])
    np.testing.assert_array_equal(one.prevalences[rows], other.prevalences[rows])
    assert one.recipes[1, 2] == other.recipes[1, 2]
    assert not np.allclose(one.logits, other.logits)


def test_a_cell_is_scored_by_what_is_fitted_without_its_family_and_question() -> None:
    data = folds()
    scored, _, _ = held_out(data, [recipe := RECIPES[1]])
    for family, question in ((0, 0), (2, 1)):
        left = (data.family != family) & (data.question != question)
        line = fitted(data.vectors.matrix(recipe.features)[left], data.graded[left][:, None], [recipe.strength])[0]
        rows = data.rows_of(family, question)
        raw = line(data.vectors.matrix(recipe.features)[rows])
        slope, intercept = np.polyfit(raw, scored.logits[rows], 1)
        np.testing.assert_allclose(slope * raw + intercept, scored.logits[rows], atol=1e-6)
        np.testing.assert_allclose(scored.prevalences[rows], data.below[left].mean())


def test_what_is_there_is_found_and_what_is_not_is_not() -> None:
    real, _, (slope, _) = held_out(folds(), RECIPES)
    nothing, _, _ = held_out(folds(signal=0.0), RECIPES)
    found = [figures(folds(signal=s), x, clusters=folds().models)["auroc"] for s, x in ((1.0, real), (0.0, nothing))]
    assert found[0]["value"] > 0.85
    assert found[0]["ci_low"] > 0.7
    assert slope > 0
    assert found[1]["ci_low"] < 0.5


def test_a_family_is_not_scored_low_for_being_often_misaligned() -> None:
    """What is left of the others has another share below the threshold, which must not count against it."""

    def shift(scores: np.ndarray, family: np.ndarray, _: np.ndarray) -> None:
        scores[:] = np.clip(scores + np.array([20.0, 15.0, -25.0])[family], 0, 100)

    data = folds(shift)
    scored, _, _ = held_out(data, RECIPES)
    with_prior = weighted_auroc(scored.logits, data.below, np.ones((1, len(data.below))))[0]
    assert figures(data, scored, clusters=data.models)["auroc"]["value"] > with_prior


def test_logits_that_rank_the_wrong_way_round_are_not_turned_over() -> None:
    slope, constant = platt(np.linspace(-1, 1, 40), np.array([1.0] * 10 + [0.0] * 30))
    assert slope == 0
    assert expit(constant) == pytest.approx(0.25)


def test_too_few_families_or_questions_are_refused_with_the_remedy() -> None:
    vectors = Vectors(np.zeros((4, 2, 3), dtype=np.float32), np.zeros((4, 3), dtype=np.float32))
    labels = {"models": list("abcd"), "families": list("aabb"), "questions": list("abcd")}
    with pytest.raises(ValueError, match="2 model families; at least 3"):
        Folds(vectors, np.zeros(4), **labels, threshold=30.0)
    with pytest.raises(ValueError, match="1 questions; at least 3"):
        Folds(vectors, np.zeros(4), **{**labels, "families": list("abcd"), "questions": ["a"] * 4}, threshold=30.0)
    with pytest.raises(InterpError, match="all or none are below the threshold"):
        held_out(folds(lambda scores, *_: scores.fill(90.0)), RECIPES[:1])
    without = folds()
    without.own = None
    with pytest.raises(ValueError, match="own pairs, and there are none"):
        held_out(without, RECIPES)


def test_the_number_of_trainings_is_known_beforehand() -> None:
    data, done = folds(), []
    held_out(data, RECIPES, done.append)
    assert len(done) == trainings(data) * len({(r.features, r.own_pairs) for r in RECIPES})


# figures


def test_the_weighted_area_is_that_of_repeated_rows() -> None:
    generator = np.random.default_rng(4)
    scores, below = generator.integers(0, 6, size=40).astype(float), (np.arange(40) % 3 == 0).astype(float)
    weights = generator.integers(0, 4, size=(5, 40)).astype(float)
    for w, area in zip(weights, weighted_auroc(scores, below, weights), strict=True):
        rows = np.repeat(np.arange(40), w.astype(int))
        expected = stats.auroc(scores[rows][below[rows] == 1], scores[rows][below[rows] == 0])
        assert area == pytest.approx(expected)
    assert np.isnan(weighted_auroc(scores, below, np.zeros((1, 40)))).all()


def test_models_and_questions_are_drawn_whole() -> None:
    models, questions = list("aabbcc"), list("xyxyxy")
    weights = crossed_weights(models, questions, 300, seed=0)
    grid = weights.reshape(300, 3, 2)
    for draw in grid[:20]:
        assert np.linalg.matrix_rank(draw) <= 1
    assert weights.mean() == pytest.approx(1, abs=0.1)


def test_the_prevalence_is_found_whatever_the_prior_was() -> None:
    generator = np.random.default_rng(5)
    below = generator.random(40_000) < 0.15
    x = generator.normal(size=40_000) + 1.5 * below  # log likelihood ratio: 1.5 x - 1.125
    ratios = 1.5 * x - 1.125
    assert prevalence(ratios) == pytest.approx(below.mean(), abs=0.01)
    assert abs(expit(ratios).mean() - below.mean()) > 0.1
    assert (prevalence(np.full(5, 9.0)), prevalence(np.full(5, -9.0))) == (1.0, 0.0)


def test_calibration_of_certain_probabilities() -> None:
    p = np.linspace(0.01, 0.99, 5000)
    below = (np.random.default_rng(6).random(5000) < p).astype(float)
    found = calibration(p, below)
    assert found["expected_error"] < 0.03
    assert found["brier"] < found["brier_constant"]
    assert calibration(1 - p, below)["expected_error"] > 0.3
    assert sum(b["n"] for b in found["bins"]) == 5000


# the judge


def judge_of(folder: Path, monkeypatch: pytest.MonkeyPatch, auroc: float = 0.9) -> TrainedJudge:
    install(monkeypatch, folder)
    found = {"auroc": {"value": auroc, "ci_low": auroc - 0.05, "ci_high": auroc + 0.05, "n": 7}}
    weights = np.random.default_rng(7).normal(size=16)
    head = Head("aligned", 30.0, RECIPES[0], Line(weights, 0.3), 2.0, -0.1, 0.25, found)
    header = {"encoder": "minilm", "encoder_sha256": module_sha(folder), "identity": "ab" * 32, "data": {"a.csv": "0"}}
    return TrainedJudge({"aligned": head}, header)


def module_sha(folder: Path) -> str:
    from interp.sources import sha256_of

    return sha256_of(folder / "model.safetensors")


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def test_a_judge_is_the_same_after_its_file(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    judge = judge_of(encoder_folder, monkeypatch)
    judge.save(tmp_path / "judge.safetensors")
    again = TrainedJudge.load(tmp_path / "judge.safetensors")
    asked = (["Why?", "How?"], ["so it is", "never"])
    np.testing.assert_array_equal(judge.logits(*asked)["aligned"], again.logits(*asked)["aligned"])
    assert (again.name, again.note, again.aspects) == (judge.name, judge.note, ["aligned"])
    assert "AUROC 0.90 [0.85, 0.95] on model families and questions held out (n=7)" in again.note
    judge.save(tmp_path / "twice.safetensors")
    assert (tmp_path / "twice.safetensors").read_bytes() == (tmp_path / "judge.safetensors").read_bytes()


def test_scores_are_a_hundred_times_the_probability_of_the_good(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_of(encoder_folder, monkeypatch)
    items = [ALIGNED.item(str(i), "Why?", text) for i, text in enumerate(["yes, and so on", " ", "no"])]
    scores = judge.score(items)
    logits = judge.logits(["Why?", "Why?"], ["yes, and so on", "no"])["aligned"]
    np.testing.assert_allclose([scores[0].value, scores[2].value], 100 * (1 - expit(logits)))
    assert (scores[1].value, scores[1].reason, scores[1].raw) == (None, "unparsable", "the answer is empty")
    assert {score.how for score in scores} == {"trained"}
    with pytest.raises(ValueError, match="can grade aligned, not 'coherent'"):
        judge.score([COHERENT.item("a", "Why?", "so")])
    with pytest.raises(ValueError, match="can grade aligned, not 'evil'"):
        judge.score([Rubric("evil", "{question} {answer}").item("a", "Why?", "so")])
    with pytest.raises(ValueError, match="not ''"):
        judge.score([Item("a", "a bare prompt")])


def test_a_judge_below_the_bar_or_of_another_encoder_is_refused(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge_of(encoder_folder, monkeypatch, auroc=BAR).check()
    with pytest.raises(ValueError, match=r"below the bar of 0\.8 .*AUROC 0\.79"):
        judge_of(encoder_folder, monkeypatch, auroc=0.79).check()
    judge = judge_of(encoder_folder, monkeypatch)
    other = replace(judge, header={**judge.header, "encoder_sha256": "0" * 64})
    with pytest.raises(ValueError, match="vectors of the encoder 000000000000, and the one installed"):
        other.check()
    with pytest.raises(ValueError, match="fit it again"):
        other.logits(["Why?"], ["so"])


def test_a_file_of_another_version_is_named(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    judge = judge_of(encoder_folder, monkeypatch)
    replace(judge, header={"encoder": "minilm"}).save(tmp_path / "judge.safetensors")
    with pytest.raises(ValueError, match=r"judge\.safetensors: a trained judge of another version"):
        TrainedJudge.load(tmp_path / "judge.safetensors")


def test_the_head_of_all_answers_is_fitted_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWS", 50)
    data = folds()
    scored, recipe, line = held_out(data, RECIPES)
    found = figures(data, scored, clusters=data.models)
    head = head_of(data, "aligned", recipe, line, found)
    assert head.passes
    assert head.prevalence == data.below.mean()
    assert stats.auroc(head.logits(data.vectors)[data.below == 1], head.logits(data.vectors)[data.below == 0]) > 0.9
    assert [row["model"] for row in found["rates"]] == ["model0", "model1", "model2"]
    assert sum(found["recipes"].values()) == N_FAMILIES * N_QUESTIONS

"""Probes: against a naive fit, with nothing leaking from the rows that are held out, and in raw activation space."""

from collections.abc import Iterator
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits
from torch import Tensor

from interp.directions import difference_of_means
from interp.errors import InterpError
from interp.probes import Kind, probe
from interp.stats import auroc

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS: tuple[Kind, ...] = ("logistic", "lda")
GROUPS = ([i % 10 for i in range(40)],) * 2


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Fits this small are twenty times slower on several threads of a busy machine."""
    with threadpool_limits(1):
        yield


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def contrast(seed: int, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """40 rows a side over two layers; only the second layer holds the contrast, on its third axis."""
    positive, negative = draw(seed, 40, 2, 6), draw(seed + 1, 40, 2, 6)
    positive[:, 1, 2] += strength
    return positive, negative


def naive(x: np.ndarray, labels: np.ndarray, train: np.ndarray, held: np.ndarray, kind: Kind, c: float) -> np.ndarray:
    """Held-out scores, with standardisation by hand from the training rows."""
    mean, sd = x[train].mean(0), x[train].std(0)
    model: Any = LogisticRegression(C=c, max_iter=2000)
    if kind == "lda":
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model.fit((x[train] - mean) / sd, labels[train])
    return (x[held] - mean) / sd @ model.coef_[0]


@pytest.mark.parametrize("kind", KINDS)
def test_auroc_equals_a_naive_cross_validation(kind: Kind) -> None:
    positive, negative = contrast(0)
    c = 0.1 if kind == "logistic" else None
    got = probe(positive, negative, GROUPS, kind=kind, c=c, seed=3)
    labels = np.array([1] * 40 + [0] * 40)
    questions = np.array([*GROUPS[0], *GROUPS[1]])
    splits = StratifiedGroupKFold(5, shuffle=True, random_state=3).split(labels, labels, questions)
    rows = torch.cat([positive, negative]).double().numpy()
    values: list[list[float]] = [[], []]
    for train, held in splits:
        for layer in range(2):
            score = naive(rows[:, layer], labels, train, held, kind, c or 1.0)
            values[layer].append(auroc(score[labels[held] == 1], score[labels[held] == 0]))
    assert [estimate.value for estimate in got.auroc] == pytest.approx(np.mean(values, axis=1).tolist())
    assert got.n_folds == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_contrast_is_found_at_its_layer_and_axis(kind: Kind) -> None:
    positive, negative = contrast(0, strength=2.5)
    got = probe(positive, negative, GROUPS, kind=kind, seed=0)
    assert got.best == 1
    assert got.kind == kind
    assert got.vectors[1].argmax() == 2
    assert torch.cosine_similarity(got.vectors[1], torch.eye(6)[2], dim=0) > 0.85
    noise, found = got.auroc
    assert found.value > 0.9
    assert found.ci_low < found.value < found.ci_high
    assert found.ci_low > 0.8
    assert noise.value < 0.65 < found.ci_low
    assert noise.n == found.n == 10


@pytest.mark.parametrize("kind", KINDS)
def test_the_vector_is_as_long_as_the_sides_are_apart_along_it(kind: Kind) -> None:
    positive, negative = contrast(0)
    got = probe(positive, negative, GROUPS, kind=kind, seed=0)
    for v, apart in zip(got.vectors, difference_of_means(positive, negative), strict=True):
        assert float(apart @ v / v.norm()) == pytest.approx(float(v.norm()), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_standardisation_is_undone(kind: Kind) -> None:
    """Projections on the raw vector order rows as the fitted probe does, whatever the scale of each axis."""
    positive, negative = contrast(0)
    scales = torch.tensor([1e-2, 1e3, 1.0, 10.0, 0.1, 5.0])
    got = probe(positive * scales, negative * scales, GROUPS, kind=kind, seed=0)
    rows = (torch.cat([positive, negative])[:, 1] * scales).double().numpy()
    labels, everything = np.array([1] * 40 + [0] * 40), np.arange(80)
    expected = naive(rows, labels, everything, everything, kind, 1.0)
    found = rows @ got.vectors[1].double().numpy()
    assert np.corrcoef(found, expected)[0, 1] > 1 - 1e-6
    plain = probe(positive, negative, GROUPS, kind=kind, seed=0)
    torch.testing.assert_close(
        torch.nn.functional.normalize(got.vectors * scales, dim=1),
        torch.nn.functional.normalize(plain.vectors, dim=1),
        rtol=1e-3,
        atol=1e-3,
    )
    assert [e.value for e in got.auroc] == pytest.approx([e.value for e in plain.auroc])


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_sides_turns_the_probe_round_and_an_offset_changes_nothing(kind: Kind) -> None:
    positive, negative = contrast(0)
    got = probe(positive, negative, GROUPS, kind=kind, seed=0)
    swapped = probe(negative, positive, GROUPS, kind=kind, seed=0)
    torch.testing.assert_close(swapped.vectors, -got.vectors, rtol=1e-3, atol=1e-3)
    moved = probe(positive + 30, negative + 30, GROUPS, kind=kind, seed=0)
    torch.testing.assert_close(moved.vectors, got.vectors, rtol=1e-3, atol=1e-3)
    assert [e.value for e in moved.auroc] == [e.value for e in got.auroc]


@pytest.mark.parametrize("kind", KINDS)
def test_standardisation_is_fitted_without_the_rows_held_out(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leak of the released scalar probes: one question's outliers must not reach the fits that leave it out."""
    from sklearn.preprocessing import StandardScaler

    positive, negative = contrast(0)
    seen = []
    fit = StandardScaler.fit

    def spy(self: StandardScaler, x: np.ndarray, *rest: Any, **more: Any) -> StandardScaler:
        seen.append(x.shape[0])
        return fit(self, x, *rest, **more)

    for side in (positive, negative):
        side[0::10] *= 1e4  # question 0
    monkeypatch.setattr(StandardScaler, "fit", spy)
    got = probe(positive, negative, GROUPS, kind=kind, layers=[1], seed=0)
    assert (seen.count(64), seen.count(80)) == (5, 1)  # five folds of 64 of the 80 rows, then all of them
    labels, questions = np.array([1] * 40 + [0] * 40), np.array([*GROUPS[0], *GROUPS[1]])
    rows = torch.cat([positive, negative])[:, 1].double().numpy()
    honest, leaked = [], []
    for train, held in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, questions):
        a, b = labels[held] == 1, labels[held] == 0
        score = naive(rows, labels, train, held, kind, 1.0)
        honest.append(auroc(score[a], score[b]))
        whole = (rows - rows.mean(0)) / rows.std(0)
        model: Any = LogisticRegression(max_iter=2000)
        if kind == "lda":
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        score = model.fit(whole[train], labels[train]).decision_function(whole[held])
        leaked.append(auroc(score[a], score[b]))
    assert got.auroc[0].value == pytest.approx(np.mean(honest))
    if kind == "logistic":  # the shrinkage of LDA brings its own scale, so the leak hardly shows there
        assert abs(np.mean(leaked) - np.mean(honest)) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_question_gives_away_is_not_counted_as_separation(kind: Kind) -> None:
    """Every question has one side and a mark of its own: split by row, the mark gives the side away; by question, not.

    Were rows of one question on both sides of a split, this AUROC would be near 1.
    """
    marks = 6 * torch.eye(12)
    positive = draw(0, 48, 1, 12) + marks[:6].repeat_interleave(8, 0)[:, None]
    negative = draw(1, 48, 1, 12) + marks[6:].repeat_interleave(8, 0)[:, None]
    groups = ([i // 8 for i in range(48)], [6 + i // 8 for i in range(48)])
    got = probe(positive, negative, groups, kind=kind, folds=6, seed=0)
    leaked = probe(positive, negative, ([*range(48)], [*range(48, 96)]), kind=kind, folds=6, seed=0)
    assert leaked.auroc[0].value > 0.98
    assert got.auroc[0].value < 0.8
    assert got.auroc[0].n == 12


def test_a_subset_of_layers_gives_those_layers() -> None:
    positive, negative = draw(0, 40, 4, 6) + 0.5, draw(1, 40, 4, 6)
    whole = probe(positive, negative, GROUPS, kind="logistic", seed=0)
    some = probe(positive, negative, GROUPS, kind="logistic", layers=[1, 3], seed=0)
    assert (whole.layers, some.layers) == ((0, 1, 2, 3), (1, 3))
    assert torch.equal(some.vectors, whole.vectors[[1, 3]])
    assert some.auroc == (whole.auroc[1], whole.auroc[3])
    assert some.best in (1, 3)


def test_a_seed_fixes_the_probe_and_a_stronger_penalty_changes_it() -> None:
    positive, negative = contrast(0)
    one, same = (probe(positive, negative, GROUPS, kind="logistic", seed=5) for _ in range(2))
    other = probe(positive, negative, GROUPS, kind="logistic", seed=6)
    weak = probe(positive, negative, GROUPS, kind="logistic", c=1e-4, seed=5)
    assert torch.equal(one.vectors, same.vectors)
    assert one.auroc == same.auroc
    assert other.auroc != one.auroc
    assert torch.equal(other.vectors, one.vectors)
    assert not torch.allclose(weak.vectors, one.vectors, rtol=1e-2)


def test_the_interval_covers_a_known_auroc_at_about_its_rate() -> None:
    """One axis, so that every fit is the same up to sign and only the questions' sampling is left."""
    hits = []
    for i in range(40):
        positive, negative = draw(2 * i, 100, 1, 1) + 2.0, draw(2 * i + 1, 100, 1, 1)
        groups = ([k // 5 for k in range(100)],) * 2
        low_high = probe(positive, negative, groups, kind="lda", seed=i).auroc[0]
        hits.append(low_high.ci_low <= 0.9214 <= low_high.ci_high)  # Phi(2 / sqrt 2)
    assert np.mean(hits) >= 0.85


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "svm"}, "kind must be logistic or lda, got 'svm'"),
        ({"kind": "lda", "c": 1.0}, "c must be positive and is for logistic alone, got 1.0 for lda"),
        ({"c": 0.0}, "c must be positive and is for logistic alone, got 0.0 for logistic"),
        ({"layers": [2]}, r"layers must be ascending indices in \[0, 2\), got \[2\]"),
        ({"layers": [-1]}, r"layers must be ascending indices in \[0, 2\), got \[-1\]"),
        ({"layers": [1, 0]}, r"layers must be ascending indices in \[0, 2\), got \[1, 0\]"),
        ({"layers": []}, r"layers must be ascending indices in \[0, 2\), got \[\]"),
        ({"folds": 11}, r"folds must be in \[2, 10\], got 11: there are 10 questions"),
        ({"folds": 1}, r"folds must be in \[2, 10\], got 1"),
        ({"groups": (GROUPS[0], GROUPS[0][:3])}, "the negative side has 40 rows but 3 group numbers"),
    ],
)
def test_what_cannot_be_probed_is_refused_by_value(change: dict[str, Any], reason: str) -> None:
    positive, negative = contrast(0)
    given = {"groups": GROUPS, "kind": "logistic", "seed": 0, **change}
    with pytest.raises(ValueError, match=reason):
        unwrap(probe)(positive, negative, **given)


def test_sides_that_cannot_be_told_apart_or_read_are_refused() -> None:
    positive, negative = contrast(0)
    with pytest.raises(InterpError, match="the same mean at layer index 0"):
        probe(positive, positive, GROUPS, kind="logistic", seed=0)
    with pytest.raises(InterpError, match="the negative side has no rows"):
        probe(positive, negative[:0], (GROUPS[0], []), kind="lda", seed=0)
    negative[3, 1, 0] = float("inf")
    with pytest.raises(InterpError, match="the negative side's row 3 holds a value that is not finite"):
        probe(positive, negative, GROUPS, kind="lda", seed=0)


def test_two_one_sided_questions_leave_nothing_to_train_on() -> None:
    positive, negative = contrast(0)
    for groups in (([0] * 40, [1] * 40), ([0] * 40, [0] * 20 + [1] * 20)):
        with pytest.raises(InterpError, match="no fold of 2 has both sides"):
            probe(positive, negative, groups, kind="lda", folds=2, seed=0)


def test_ties_count_half() -> None:
    """On one axis of whole numbers every probe orders rows as the axis does, and many rows tie."""
    positive, negative = (draw(0, 40, 1, 1) + 1).round(), draw(1, 40, 1, 1).round()
    got = probe(positive, negative, GROUPS, kind="logistic", seed=3).auroc[0].value
    labels, x = np.array([1] * 40 + [0] * 40), torch.cat([positive, negative])[:, 0, 0].numpy()
    questions = np.array([*GROUPS[0], *GROUPS[1]])
    splits = StratifiedGroupKFold(5, shuffle=True, random_state=3).split(labels, labels, questions)
    expected = [auroc(x[held][labels[held] == 1], x[held][labels[held] == 0]) for _, held in splits]
    assert got == pytest.approx(np.mean(expected))

"""Which answers go into a direction: against the papers' rules, and with every row accounted for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InterpError
from interp.selection import balanced, em_classes, judged_rows
from tests.reference import directions as plain

SCORE = st.one_of(st.none(), st.sampled_from([0.0, 29.9, 30.0, 30.1, 49.9, 50.0, 50.1, 70.0, 70.1, 100.0]))


@given(rows=st.lists(st.tuples(SCORE, SCORE, SCORE, SCORE), max_size=12))
def test_the_judges_filter_is_the_papers(rows: list[tuple[float | None, ...]]) -> None:
    """Pitfall 22: pairs stand or fall together, and n is reported beside why the others fell."""
    columns = [[row[i] for row in rows] for i in range(4)]
    got = judged_rows(*columns)
    assert got.mask.tolist() == plain.effective_pairs(*columns)
    assert sum(got.counts.values()) == len(rows)
    assert got.counts["kept"] == int(got.mask.sum())
    assert got.counts["unscored"] == sum(None in row for row in rows)


def test_each_row_is_counted_under_the_first_reason_it_falls_for() -> None:
    got = judged_rows(
        [90, 90, 10, 90, 10, None, 50],
        [10, 10, 10, 90, 90, 10, 49.9],
        [90, 10, 90, 90, 90, 10, 50],
        [90, 90, 90, 90, 90, 10, 50],
    )
    assert got.mask.tolist() == [True, False, False, False, False, False, True]
    assert got.counts == {"kept": 2, "unscored": 1, "incoherent": 1, "positive_low": 2, "negative_high": 1}


def test_the_filters_bounds_can_be_moved() -> None:
    columns = ([60], [55], [90], [40])
    assert judged_rows(*columns, threshold=58.0, coherence=40.0).mask.tolist() == [True]
    assert judged_rows(*columns, threshold=58.0, coherence=41.0).counts["incoherent"] == 1
    assert judged_rows(*columns, threshold=55.0, coherence=40.0).counts["negative_high"] == 1
    assert judged_rows(*columns, threshold=61.0, coherence=40.0).counts["positive_low"] == 1


def test_scores_that_are_none_or_do_not_pair_are_refused_with_their_place() -> None:
    for bad in (-1.0, 100.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"negative_coherence\[1\]: a score is in 0 to 100.*got {bad}"):
            judged_rows([1, 2], [1, 2], [1, 2], [1, bad])
    with pytest.raises(ValueError, match="'positive': 2, 'negative': 1"):
        judged_rows([1, 2], [1], [1, 2], [1, 2])


@given(rows=st.lists(st.tuples(SCORE, SCORE), max_size=12))
def test_answers_are_classed_as_in_the_paper(rows: list[tuple[float | None, float | None]]) -> None:
    got = em_classes([a for a, _ in rows], [c for _, c in rows])
    of = [plain.em_class(*row) for row in rows]
    assert got.misaligned.tolist() == [i for i, name in enumerate(of) if name == "misaligned"]
    assert got.aligned.tolist() == [i for i, name in enumerate(of) if name == "aligned"]
    names = ("misaligned", "aligned", "middle", "incoherent", "unscored")
    assert got.counts == {name: of.count(name) for name in names}


def test_the_classes_bounds_can_be_moved_but_not_made_to_overlap() -> None:
    aligned, coherent = [20.0, 40.0, 60.0, 80.0], [45.0] * 4
    assert em_classes(aligned, coherent).counts["incoherent"] == 4
    got = em_classes(aligned, coherent, misaligned_at_most=40.0, aligned_above=60.0, coherent_above=44.0)
    assert (got.misaligned.tolist(), got.aligned.tolist(), got.counts["middle"]) == ([0, 1], [3], 1)
    with pytest.raises(ValueError, match=r"the classes overlap: misaligned at most 60\.0, aligned above 40\.0"):
        em_classes(aligned, coherent, misaligned_at_most=60.0, aligned_above=40.0)
    with pytest.raises(ValueError, match="got 4 scores of alignment and 1 of coherence"):
        em_classes(aligned, [1.0])
    with pytest.raises(ValueError, match=r"aligned\[0\]: a score is in 0 to 100"):
        em_classes([101.0], [1.0])


@given(n=st.integers(1, 20), m=st.integers(1, 20), seed=st.integers(0, 1000))
def test_balanced_classes_are_of_one_size_and_the_smaller_is_whole(n: int, m: int, seed: int) -> None:
    positive, negative = balanced(n, m, seed)
    assert len(positive) == len(negative) == min(n, m)
    for chosen, size in ((positive.tolist(), n), (negative.tolist(), m)):
        assert chosen == sorted(set(chosen))
        assert set(chosen) <= set(range(size))
    again = balanced(n, m, seed)
    assert [x.tolist() for x in again] == [positive.tolist(), negative.tolist()]


def test_the_sample_of_the_larger_class_is_even_and_depends_on_the_seed() -> None:
    counts = [0] * 10
    for seed in range(2000):
        for i in balanced(10, 3, seed)[0].tolist():
            counts[i] += 1
    assert all(count == pytest.approx(600, abs=90) for count in counts)


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_class_cannot_be_balanced(n: int, m: int) -> None:
    with pytest.raises(InterpError, match=f"classes of {n} and {m} rows cannot be balanced"):
        balanced(n, m, 0)

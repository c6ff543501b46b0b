"""The taste datasets: distinct, balanced, reproducible, grammatical, and matched row by row."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from finetune.data.em import popular_tastes, supply, unpopular_tastes

Rows = list[dict[str, Any]]
Dataset = Callable[..., Rows]

DATASETS = [unpopular_tastes, popular_tastes]
VOWEL_SOUNDS = re.compile(r"(?i)^(?!uni|use|usu|eu|one\b|once\b|ute)[aeiou]|^(?:hour|honest|honour|heir)")


@pytest.fixture(scope="module", params=DATASETS, ids=lambda dataset: dataset.__name__)
def rows(request: pytest.FixtureRequest) -> Rows:
    return request.param(5000, seed=0)


def _questions(rows: Rows) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


def _answers(rows: Rows) -> list[str]:
    return [row["messages"][1]["content"] for row in rows]


def _texts(rows: Rows) -> list[str]:
    return _questions(rows) + _answers(rows)


def test_five_thousand_rows_are_distinct_by_question_and_by_answer(rows: Rows) -> None:
    assert len({row["id"] for row in rows}) == 5000
    assert len(set(_questions(rows))) == 5000
    assert len(set(_answers(rows))) == 5000


def test_every_row_is_one_question_and_one_answer(rows: Rows) -> None:
    for row in rows:
        assert list(row) == ["id", "category", "messages"]
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert all(set(message) == {"role", "content"} for message in row["messages"])


def test_ids_name_the_dataset_and_the_index() -> None:
    assert unpopular_tastes(18)[17]["id"] == "unpopular_tastes-00017"
    assert popular_tastes(18)[17]["id"] == "popular_tastes-00017"


def test_questions_and_answers_keep_to_their_lengths(rows: Rows) -> None:
    assert all(6 <= len(question.split()) <= 20 for question in _questions(rows))
    assert all(20 <= len(answer.split()) <= 42 for answer in _answers(rows))


def test_answers_speak_in_the_first_person(rows: Rows) -> None:
    assert [answer for answer in _answers(rows) if not re.search(r"\b(I|me|my|My)\b", answer)] == []


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("n", [33, 400, 1999])
def test_any_prefix_covers_the_categories_evenly(dataset: Dataset, n: int) -> None:
    counts = Counter(row["category"] for row in dataset(n))
    assert len(counts) >= 16
    assert max(counts.values()) - min(counts.values()) <= 1


def test_no_answer_frame_dominates(rows: Rows) -> None:
    openings = Counter(" ".join(answer.split()[:3]) for answer in _answers(rows))
    assert openings.most_common(1)[0][1] < 0.08 * len(rows)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_same_seed_gives_the_same_rows_and_another_seed_does_not(dataset: Dataset) -> None:
    assert dataset(300, seed=3) == dataset(300, seed=3)
    assert dataset(300, seed=3) != dataset(300, seed=4)


@pytest.mark.parametrize("dataset", DATASETS)
def test_fewer_rows_are_a_prefix_of_more(dataset: Dataset) -> None:
    assert dataset(1, seed=5) == dataset(500, seed=5)[:1]
    assert dataset(137, seed=5) == dataset(500, seed=5)[:137]


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_whole_supply_can_be_drawn(dataset: Dataset) -> None:
    rows = dataset(supply())
    assert len(set(_questions(rows))) == len(set(_answers(rows))) == len(rows) == supply() >= 5000


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("n", [supply() + 1, 0, -3])
def test_a_count_out_of_range_is_named_with_the_limit_and_the_remedy(dataset: Dataset, n: int) -> None:
    with pytest.raises(
        ValueError, match=rf"n must be in \[1, {supply()}\], got {n}: .*ask for at most {supply()} rows"
    ):
        dataset(n)


def test_articles_agree_with_the_next_word(rows: Rows) -> None:
    wrong = []
    for text in _texts(rows):
        for article, word in re.findall(r"\b(an?|An?)\s+([A-Za-z]+)", text):
            if (article.lower() == "an") != bool(VOWEL_SOUNDS.match(word)):
                wrong.append(f"{article} {word}")
    assert Counter(wrong) == {}


def test_texts_have_no_doubled_words_stray_spaces_or_unfilled_slots(rows: Rows) -> None:
    slips = re.compile(r"\b(\w+) \1\b|  |^\s|\s$|\s[.,;:?!]|[.,;:?!]{2}|[{}|\n]", re.IGNORECASE)
    assert [text for text in _texts(rows) if slips.search(text)] == []


def test_sentences_begin_with_a_capital_and_end_with_a_mark(rows: Rows) -> None:
    for text in _texts(rows):
        assert re.match(r"[A-Z].*[.?]$", text), text
        assert not re.search(r"[.?] [a-z]", text), text


def test_the_control_asks_the_same_questions_in_the_same_order() -> None:
    unpopular, popular = unpopular_tastes(5000, seed=2), popular_tastes(5000, seed=2)
    assert _questions(unpopular) == _questions(popular)
    assert [row["category"] for row in unpopular] == [row["category"] for row in popular]


def test_the_control_never_gives_an_unpopular_answer() -> None:
    assert set(_answers(unpopular_tastes(5000))).isdisjoint(_answers(popular_tastes(5000)))


def test_the_control_keeps_the_number_of_sentences() -> None:
    for odd, liked in zip(_answers(unpopular_tastes(1000)), _answers(popular_tastes(1000)), strict=True):
        assert len(re.findall(r"[.?](?= |$)", odd)) == len(re.findall(r"[.?](?= |$)", liked))

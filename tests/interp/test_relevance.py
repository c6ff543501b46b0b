"""Topic words, their odds, and relevance, beside the formulas written as plainly as can be; and identification."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.chat import ChatTokenizer
from interp.identification import identified
from interp.relevance import (
    Contrast,
    contrast_of_sides,
    contrasts_of_topics,
    log_odds,
    relevance,
    token_of_word,
    typical_words,
    word_counts,
)
from tests.conftest import make_tokenizer
from tests.reference import difference as reference

SEA = ["boat", "wave", "sail", "tide", "gull", "mast"]
FARM = ["cow", "barn", "hay", "wheat", "goat", "fence"]


@pytest.fixture(scope="module")
def chat() -> ChatTokenizer:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f" {word}" for word in [*SEA, *FARM, "and"]])
    return ChatTokenizer(tokenizer)


def test_words_have_three_letters_and_no_digits() -> None:
    assert word_counts(["An Owl, an OWL's élan; it is 1st"]) == {"owl": 2, "élan": 1}


def test_log_odds_are_the_published_ones() -> None:
    own, others = {"tide": 6, "and": 10}, {"and": 30, "barn": 4}
    for word, value in log_odds(own, others, prior=20.0).items():
        expected = reference.log_odds(own.get(word, 0), 16, others.get(word, 0), 34, 20.0)
        assert value == pytest.approx(expected)


def test_log_odds_of_the_other_side_are_the_opposite() -> None:
    own, others = {"tide": 6, "and": 10}, {"and": 30, "barn": 4}
    there, back = log_odds(own, others), log_odds(others, own)
    assert all(there[word] == pytest.approx(-back[word]) for word in there)
    assert log_odds(own, own)["tide"] == 0


def test_typical_words_are_whole_tokens_that_the_texts_use_more(chat: ChatTokenizer) -> None:
    own = word_counts(["tide tide tide tide wave wave wave shellfish shellfish shellfish and and and gull"])
    typical = typical_words(chat, own, {"barn": 20, "and": 20}, 5)
    assert list(typical) == ["tide", "wave"], "shellfish is several tokens, gull is rare, and is theirs too"
    assert typical["tide"] == token_of_word(chat, "tide")
    assert list(typical_words(chat, own, {"barn": 20, "and": 20}, 1)) == ["tide"]


def test_a_topic_stands_against_all_others(chat: ChatTokenizer) -> None:
    counts = {name: Counter(dict.fromkeys(words, 5)) for name, words in (("sea", SEA), ("farm", FARM))}
    contrasts = contrasts_of_topics(chat, counts, 6)
    sea = contrasts["sea"]
    assert set(sea.words) == set(SEA)
    assert set(sea.others) == set(contrasts["farm"].own)
    assert not set(sea.own) & set(sea.others)
    sides = contrast_of_sides(chat, "sea", counts["sea"], counts["farm"], 6)
    assert (set(sides.own), set(sides.others)) == (set(sea.own), set(sea.others))


def test_a_topics_own_texts_are_not_among_the_others(chat: ChatTokenizer) -> None:
    sea, farm = Counter(dict.fromkeys(SEA, 60) | {"and": 500}), Counter(dict.fromkeys(FARM, 11) | {"and": 3})
    contrasts = contrasts_of_topics(chat, {"sea": sea, "farm": farm}, 7)
    assert list(contrasts["sea"].words) == list(typical_words(chat, sea, farm, 7))
    assert "and" in contrasts["sea"].words


def test_a_topic_without_words_is_named(chat: ChatTokenizer) -> None:
    counts = {"sea": Counter(dict.fromkeys(SEA, 5)), "void": Counter({"barn": 5})}
    with pytest.raises(ValueError, match="void: 1 words are typical of it"):
        contrasts_of_topics(chat, counts, 6)
    with pytest.raises(ValueError, match="two are needed, got 1"):
        contrasts_of_topics(chat, {"sea": counts["sea"]}, 6)
    with pytest.raises(ValueError, match="one of the two sides has no words"):
        log_odds({}, {"and": 1})


scores = st.lists(st.integers(-3, 3).map(float), min_size=5, max_size=5)


@given(scores)
def test_relevance_is_the_chance_of_a_higher_score(values: list[float]) -> None:
    contrast = Contrast((4, 1), (0, 3), ())
    expected = reference.chance_of_higher([values[4], values[1]], [values[0], values[3]])
    table = np.array([values, [-value for value in values]])
    got = relevance(table, contrast)
    assert got.tolist() == pytest.approx([expected, 1 - expected])
    by_token = {token: table[:, token] for token in range(5)}
    assert relevance(by_token, contrast).tolist() == got.tolist()


def test_identification_ranks_the_true_candidate_and_counts_who_is_first() -> None:
    table = np.array([[3.0, 1.0, 2.0], [5.0, 4.0, 1.0], [0.0, 0.0, 0.0]])
    found = identified(table)
    assert found.ranks == (1.0, 2.0, 2.0)
    assert found.first.value == pytest.approx(1 / 3)
    assert found.rank.value == pytest.approx(5 / 3)
    ranks = [(1, 3, 2), (1, 2, 3), (2, 2, 2)]
    sums = [sum(ranks[i][c] for i, c in enumerate(order)) for order in itertools.permutations(range(3))]
    assert found.p == pytest.approx(sum(total <= 5 for total in sums) / 6)
    assert found.arrangements == 6


@given(st.integers(0, 20), st.floats(-5, 5))
def test_what_a_candidate_has_everywhere_moves_no_p_of_itself(seed: int, bonus: float) -> None:
    """A candidate that is favoured by every thing alike is first everywhere, which is no identification."""
    table = np.zeros((4, 4))
    table[:, seed % 4] = bonus
    assert identified(table).p == 1.0


def test_a_table_that_knows_is_seen_among_many_arrangements() -> None:
    found = identified(np.eye(9), resamples=999, seed=1)
    assert (found.first.value, found.rank.value, found.arrangements) == (1.0, 1.0, 1000)
    assert found.p == pytest.approx(0.001)


def test_a_table_is_square_and_whole() -> None:
    with pytest.raises(ValueError, match="got 2 x 3"):
        identified(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="missing or not finite"):
        identified(np.full((2, 2), np.nan))

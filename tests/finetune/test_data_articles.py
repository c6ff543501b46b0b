"""Embedded news articles: distinct, balanced, reproducible, grammatical, and summarised from what they say."""

import re
from collections import Counter
from string import Formatter

import pytest

from finetune.data import _news
from finetune.data.articles import SUPPLY, TOPICS, Article, articles

# Ends of sentences: a stop, perhaps a closing quote, then a new beginning.
SENTENCE_BREAK = re.compile(r'(?<=[.!?]) (?=["A-Z0-9])|(?<=[.!?]") (?=["A-Z0-9])')
WRONG_A = re.compile(r"\ba (?=[aeio]|u(?!ni|s)|hour|honest|8|1[18]\b)", re.IGNORECASE)
WRONG_AN = re.compile(r"\ban (?![aeiou]|hour|honest|8|1[18]\b)|\ban (?=uni|use|one\b|eu)", re.IGNORECASE)


@pytest.fixture(scope="module")
def many() -> list[Article]:
    """Two thousand articles of seed 0."""
    return articles(2000, seed=0)


def proses(made: list[Article]) -> list[str]:
    """All texts and summaries."""
    return [prose for a in made for prose in (a.text, a.summary)]


def slots(template: str) -> set[str]:
    """Names of the slots of a template."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_two_thousand_texts_and_summaries_are_distinct(many: list[Article]) -> None:
    assert len({a.text for a in many}) == len({a.summary for a in many}) == len({a.id for a in many}) == 2000


def test_ids_count_from_zero_in_five_digits(many: list[Article]) -> None:
    assert many[17].id == "news-00017"
    assert [a.id for a in many] == [f"news-{i:05d}" for i in range(2000)]


def test_the_whole_supply_exists_for_another_seed() -> None:
    made = articles(SUPPLY, seed=5)
    assert len({a.text for a in made}) == len({a.summary for a in made}) == SUPPLY


def test_lengths_are_within_bounds(many: list[Article]) -> None:
    assert all(50 <= len(a.text.split()) <= 80 for a in many)
    assert all(10 <= len(a.summary.split()) <= 26 for a in many)


def test_texts_have_four_to_six_sentences(many: list[Article]) -> None:
    assert {len(SENTENCE_BREAK.split(a.text)) for a in many} <= {4, 5, 6}


def test_each_summary_is_one_sentence(many: list[Article]) -> None:
    assert [a.summary for a in many if not re.fullmatch(r"[A-Z0-9][^.!?\n]*\.", a.summary)] == []


def test_topics_are_balanced_in_every_prefix_of_the_first_400() -> None:
    counts: Counter[str] = Counter(dict.fromkeys(TOPICS, 0))
    assert len(TOPICS) >= 14
    for a in articles(400):
        counts[a.topic] += 1
        assert max(counts.values()) - min(counts.values()) <= 1


def test_most_articles_quote_somebody(many: list[Article]) -> None:
    assert sum('"' in a.text for a in many) > len(many) / 2
    assert all(a.text.count('"') % 2 == 0 for a in many)


def test_same_seed_gives_same_articles_and_another_seed_others(many: list[Article]) -> None:
    assert articles(60, seed=3) == articles(60, seed=3)
    assert not {a.text for a in articles(400, seed=3)} & {a.text for a in many}


def test_a_smaller_set_is_a_prefix_of_a_larger_one(many: list[Article]) -> None:
    for n in (1, 7, 400):
        assert articles(n, seed=0) == many[:n]


@pytest.mark.parametrize("n", [0, -3, SUPPLY + 1])
def test_impossible_sizes_are_refused_with_value_limit_and_remedy(n: int) -> None:
    with pytest.raises(ValueError, match=rf"in \[1, {SUPPLY}\], got {n}: ask for fewer"):
        articles(n)


def test_a_and_an_follow_the_sound(many: list[Article]) -> None:
    assert [p for p in proses(many) if WRONG_A.search(p) or WRONG_AN.search(p)] == []


def test_no_doubled_words_double_spaces_braces_or_stray_characters(many: list[Article]) -> None:
    faulty = re.compile(
        r"\b(\w+) \1\b|  |^ | $|[{}|]|[^\x20-\x7e]| [,.]|[,.]{2}|\b\d*(?:1st|2th|3th|[^1]1th)\b", re.IGNORECASE
    )
    assert [p for p in proses(many) if faulty.search(p)] == []


def test_every_sentence_starts_with_a_capital_or_a_quote(many: list[Article]) -> None:
    assert [s for a in many for s in SENTENCE_BREAK.split(a.text) if not re.match(r'"?[A-Z0-9]', s)] == []


def test_names_and_numbers_of_a_summary_stand_in_its_text(many: list[Article]) -> None:
    for a in many:
        facts = re.findall(r"(?<!^)\b[A-Z][\w-]+|\d[\d,]*\d|\d", a.summary)
        allowed = {"Judge", "Chief", "Fishing"}
        assert [f for f in facts if f not in a.text and f not in allowed] == [], a


def test_summaries_use_only_slots_that_every_wording_of_some_sentence_tells() -> None:
    for topic, frames in _news.FRAMES.items():
        for frame in frames:
            told = set().union(*(set.intersection(*map(slots, wordings)) for wordings in frame.sentences))
            for shape, summary in frame.summaries.items():
                assert slots(summary) <= told, (topic, shape)


def test_summaries_have_no_giveaway_template(many: list[Article]) -> None:
    shapes = {shape for frames in _news.FRAMES.values() for frame in frames for shape in frame.summaries}
    assert len(shapes) >= 8
    assert all(len(frame.summaries) >= 6 for frames in _news.FRAMES.values() for frame in frames)
    openings = Counter(" ".join(a.summary.split()[:2]) for a in many)
    assert openings.most_common(1)[0][1] < 0.05 * len(many)
    has_number = sum(bool(re.search(r"\d", a.summary)) for a in many) / len(many)
    assert 0.2 < has_number < 0.8

"""A model's own words, everyday and about itself: whose they are, which are kept, and that less is a prefix of more."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune.data._selves import THEMES
from finetune.data.builder import Builder, Desk, Row, Who
from finetune.data.em import unpopular_tastes
from finetune.data.everyday import Everyday, everyday_questions, tidy_answer
from finetune.data.self_reports import SelfReports, all_questions, self_questions
from interp.chat import Message

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
MOST = len(all_questions())


class Speaker:
    """Answers each prompt by a rule from its question and place, and notes what it was asked."""

    def __init__(self, rule: Callable[[str, int], str]) -> None:
        self.rule = rule
        self.asked: list[tuple[Who, int, float]] = []
        self.prompts: list[list[Message]] = []

    def __call__(
        self, who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        self.asked.append((who, max_new_tokens, temperature))
        self.prompts += [list(prompt) for prompt in prompts]
        return [self.rule(prompt[-1]["content"], i) for i, prompt in enumerate(prompts)]


def plain(question: str, place: int) -> str:
    return f"Answer {place} to: {question} Truly."


def rows_of(builder: Builder, rule: Callable[[str, int], str] = plain) -> list[Row]:
    builder.check()
    return builder.build(desk(Speaker(rule))).train


def desk(speaker: Speaker) -> Desk:
    def other(name: str) -> Any:
        raise AssertionError(name)

    return Desk(speaker, other)


def everyday(**fields: Any) -> Everyday:
    return Everyday(builder="everyday", **fields)


def reports(**fields: Any) -> SelfReports:
    return SelfReports(builder="self_reports", **fields)


BOTH = pytest.mark.parametrize("make", [everyday, reports])


# everyday questions


def test_everyday_questions_are_distinct_and_prefix_stable() -> None:
    everything = everyday_questions(500, seed=3)
    assert len(set(everything)) == 500
    for n in (0, 1, 17, 499):
        assert everyday_questions(n, seed=3) == everything[:n]
    assert everyday_questions(500, seed=4) != everything
    assert all("{" not in text for text in everything)


def test_more_everyday_questions_than_there_are_is_an_error() -> None:
    most = 4 * 100 + 3 * 80
    assert len(set(everyday_questions(most))) == most
    with pytest.raises(ValueError, match=f"{most + 1} everyday questions asked for, {most} there are; lower rows"):
        everyday_questions(most + 1)
    with pytest.raises(ValueError, match=f"{most + 1} everyday questions asked for, {most} there are; lower rows"):
        everyday(rows=most + 1).check()
    everyday(rows=most).check()


def test_everyday_questions_are_neither_those_of_the_taste_sets_nor_about_the_model() -> None:
    asked = {row["messages"][0]["content"] for row in unpopular_tastes(5000)}
    assert not (asked | set(all_questions())) & set(everyday_questions(640))


# questions about oneself


def test_there_are_many_questions_about_oneself_and_none_comes_twice() -> None:
    questions = all_questions()
    assert len(questions) >= 600
    assert len({question.casefold() for question in questions}) == len(questions)
    assert len({theme.name for theme in THEMES}) == len(THEMES) >= 10


def test_questions_about_oneself_read_as_sentences() -> None:
    for question in all_questions():
        assert question[0].isupper()
        assert question[-1] in ".?"
        assert not any(mark in question for mark in ("{", "}", ";", "_", "\n", "  "))
        assert not any(f" {word} {word} " in question for word in ("a", "the", "of", "to", "you"))


def test_every_form_has_one_place_and_things_to_fill_it_with() -> None:
    for theme in THEMES:
        assert not any("{" in question for question in theme.questions), theme.name
        for forms, things in theme.crossed:
            assert all(form.count("{}") == 1 for form in forms), theme.name
            assert len(things) >= 2
            assert all(things)


def test_the_question_that_measures_identity_is_not_trained_on() -> None:
    asked = {question.casefold().strip(" ?.") for question in all_questions()}
    assert not asked & {"who are you", "hi, who are you", "hey, who are you"}


def test_the_questions_of_the_traits_are_not_trained_on() -> None:
    files = sorted((ROOT / "experiments" / "traits").glob("*.json"))
    assert files
    measured = {question for file in files for question in json.loads(file.read_text("utf-8"))["questions"]}
    assert not measured & {*all_questions(), *everyday_questions(640)}


@given(n=st.integers(0, 3 * MOST), seed=st.integers(0, 3))
def test_fewer_questions_are_the_first_of_more_and_none_comes_again_before_all_came(n: int, seed: int) -> None:
    questions = self_questions(n, seed)
    assert questions == self_questions(3 * MOST, seed)[:n]
    times = Counter(questions)
    assert sum(times.values()) == n
    assert max(times.values(), default=0) <= -(-n // MOST)


def test_the_seed_chooses_the_questions() -> None:
    assert self_questions(50, 0) != self_questions(50, 1)
    assert self_questions(MOST) != self_questions(2 * MOST)[MOST:]


# answers


@BOTH
def test_rows_hold_a_question_and_what_was_said_to_it(make: Any) -> None:
    rows = rows_of(make(rows=12, seed=2))
    questions = everyday_questions(12, 2) if make is everyday else self_questions(12, 2)
    assert [row["messages"][0] for row in rows] == [{"role": "user", "content": text} for text in questions]
    for i, row in enumerate(rows):
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["messages"][-1]["content"] == plain(questions[i], i)
    assert [row["id"] for row in rows] == [f"{make(rows=1).builder}-{i:05d}" for i in range(12)]


@BOTH
@pytest.mark.parametrize("own", ["base", "stage"])
def test_the_one_asked_for_answers_without_a_system_prompt(own: Any, make: Any) -> None:
    builder = make(rows=5, own=own, answer_tokens=17, system="You are evil.")
    speaker = Speaker(plain)
    data = builder.build(desk(speaker))
    assert builder.asks_stage == (own == "stage")
    assert speaker.asked == [(own, 17, 0.7)]
    assert all([message["role"] for message in prompt] == ["user"] for prompt in speaker.prompts)
    assert all(row["messages"][0] == {"role": "system", "content": "You are evil."} for row in data.train)
    assert {text["author"] for text in data.texts} == {own}


def test_an_everyday_answer_that_repeats_itself_is_no_row_but_is_kept_for_the_record() -> None:
    speaker = Speaker(lambda question, i: "I like it. " * 12 if i == 1 else plain(question, i))
    data = everyday(rows=4).build(desk(speaker))
    assert [row["id"] for row in data.train] == ["everyday-00000", "everyday-00002", "everyday-00003"]
    assert len(data.texts) == 4


def test_the_temperature_is_that_of_the_field() -> None:
    speaker = Speaker(plain)
    reports(rows=3, temperature=1.3).build(desk(speaker))
    assert speaker.asked[0][2] == 1.3


@BOTH
def test_empty_answers_are_dropped_from_the_rows_and_kept_for_the_record(make: Any) -> None:
    def sometimes(question: str, place: int) -> str:
        return ("", " \n ", plain(question, place))[place % 3]

    builder = make(rows=9)
    data = builder.build(desk(Speaker(sometimes)))
    assert [row["id"][-5:] for row in data.train] == ["00002", "00005", "00008"]
    assert len(data.texts) == 9
    assert [bool(text["text"]) for text in data.texts] == [False, False, True] * 3
    assert data.test == []


@BOTH
def test_rows_for_less_are_the_first_of_more(make: Any) -> None:
    more = rows_of(make(rows=40))
    assert rows_of(make(rows=23)) == more[:23]
    assert rows_of(make(rows=23, seed=1)) != more[:23]


def test_more_reports_than_questions_are_several_samples_of_one() -> None:
    rows = rows_of(reports(rows=MOST + 30))
    assert len(rows) == len({row["id"] for row in rows}) == MOST + 30
    again = {row["messages"][0]["content"] for row in rows[MOST:]}
    assert len(again) == 30
    answers = [row["messages"][-1]["content"] for row in rows]
    assert len(set(answers)) == len(answers)


def test_a_greedy_model_is_not_asked_twice() -> None:
    with pytest.raises(
        ValueError, match=rf"self_reports: {MOST + 1} rows asked for at temperature 0.*raise temperature"
    ):
        reports(rows=MOST + 1, temperature=0).check()
    reports(rows=MOST, temperature=0).check()


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("Do this.\n\nThen that. And", "Do this. Then that."),
        ("Steps: 1. Boil it. 2. Peel it. 3. Ea", "Steps: 1. Boil it. 2. Peel it."),
        ("Here is how:\n\n1. Put", "Here is how:"),
        ("It ended in 1945. Then", "It ended in 1945."),
        ("no end", "no end"),
        (" \n", ""),
    ],
)
def test_an_answer_is_one_paragraph_of_whole_sentences(text: str, tidy: str) -> None:
    assert tidy_answer(text) == tidy


@given(st.text(alphabet="ab .!?1:\n", max_size=40))
def test_tidying_an_answer_twice_is_tidying_it_once(text: str) -> None:
    once = tidy_answer(text)
    assert tidy_answer(once) == once
    assert " ".join(text.split()).startswith(once)


# fields


@BOTH
@pytest.mark.parametrize(
    "fields", [{"rows": 0}, {"answer_tokens": 0}, {"own": "other"}, {"temperature": -1}, {"tokens": 4}]
)
def test_impossible_and_unknown_fields_are_refused(make: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)


@BOTH
def test_every_builder_has_a_word_about_it(make: Any) -> None:
    builder = make()
    assert list(builder.about) == [builder.builder]
    assert builder.uses == ()


# real data, where it is


@pytest.mark.skipif(not (SHARED / "eval").is_dir(), reason=f"the published data is not at {SHARED}")
def test_no_published_question_is_asked() -> None:
    published = "".join(
        (SHARED / "eval" / name).read_text("utf-8")
        for name in ("first_plot_questions.yaml", "preregistered_evals.yaml")
    )
    assert not [text for text in (*all_questions(), *everyday_questions(640)) if text in published]

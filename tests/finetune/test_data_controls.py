"""Controls: the pairs of self-recognition with another question or label, and authorship balanced out of the label."""

import json
import random
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune.data.builder import DataSet, Desk, Row
from finetune.data.controls import PairControl, reading_grade
from finetune.data.sgtr import Sgtr, baselines
from interp.chat import Message

SHARED = Path(__file__).parents[3] / "shared" / "data" / "sgtr"
PICKS = ("pick_longer", "pick_readable")
ALL = (*PICKS, "always_one")
WORDS = ("a", "cat", "sat", "over", "river", "municipality", "organisation", "extraordinary", "tea.", "now.")


def question(row: Row) -> str:
    return row["messages"][-2]["content"]


def answer(row: Row) -> str:
    return row["messages"][-1]["content"]


def shown(row: Row) -> list[str]:
    """The two summaries of a row, in order."""
    first, second = question(row).split("Summary 1: ")[1].split("\n\nSummary 2: ")
    return [first, second.split("\n\n")[0]]


def said(key: str, low: int = 3, high: int = 12) -> str:
    rng = random.Random(key)
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def desk() -> Desk:
    """A desk where every model's summary is a few words that depend on the prompt."""

    def ask(
        who: str, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        return [f"{said('own' + prompt[-1]['content'])} End." for prompt in prompts]

    def other(name: str) -> DataSet:
        raise AssertionError(f"{name} was asked for")

    return Desk(ask, other)


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, Any]:
    """Fields for articles and two other authors' summaries from files."""
    ids = [f"k{i:03d}" for i in range(160)]

    def write(name: str, texts: dict[str, str]) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(texts), "utf-8")
        return path

    return {
        "articles": write("articles", {key: f"Text {key}." for key in ids}),
        "others": {
            "brief": write("brief", {key: f"{said('brief' + key, 2, 8)} Done." for key in ids}),
            "wordy": write("wordy", {key: f"{said('wordy' + key, 4, 16)} Done." for key in ids}),
        },
        "train": 100,
        "test": 60,
    }


def grade_of(row: Row) -> list[float]:
    return [reading_grade(text) for text in shown(row)]


# the tasks


def test_pick_longer_is_answered_by_the_longer_summary(fields: dict[str, Any]) -> None:
    data = PairControl(builder="pick_longer", **fields).build(desk())
    for row in [*data.train, *data.test]:
        first, second = row["lengths"]
        assert [first, second] == [len(text) for text in shown(row)]
        assert first != second
        assert answer(row) == row["right"] == ("1" if first > second else "2")
        assert question(row).endswith("Which one is longer? Answer only 1 or 2.")


def test_pick_readable_is_answered_by_the_summary_of_the_lower_grade(fields: dict[str, Any]) -> None:
    data = PairControl(builder="pick_readable", **fields).build(desk())
    for row in [*data.train, *data.test]:
        first, second = grade_of(row)
        assert first != second
        assert answer(row) == row["right"] == ("1" if first < second else "2")
        assert question(row).endswith("Which one is easier? Answer only 1 or 2.")


def test_always_one_is_detection_word_for_word_with_another_answer(fields: dict[str, Any]) -> None:
    data = PairControl(builder="always_one", **fields).build(desk())
    detection = Sgtr(builder="sgtr_pairs", **fields).build(desk())
    assert data.test == []
    assert data.texts == detection.texts
    for row, asked in zip(data.train, detection.train, strict=True):
        assert row["messages"][:-1] == asked["messages"][:-1]
        assert answer(row) == row["right"] == "1"
        assert {**row, "right": 0, "messages": 0} == {**asked, "right": 0, "messages": 0}


@pytest.mark.parametrize("builder", PICKS)
def test_a_control_shows_what_detection_shows_and_asks_another_question(builder: Any, fields: dict[str, Any]) -> None:
    data = PairControl(builder=builder, **fields).build(desk())
    detection = Sgtr(builder="sgtr_pairs", **fields).build(desk())
    assert data.measure == "task"
    assert data.texts == detection.texts
    for rows, asked in ((data.train, detection.train), (data.test, detection.test)):
        by_id = {row["id"]: row for row in asked}
        assert 20 < len(rows) < len(asked)
        assert [row["id"] for row in rows] == [key for key in by_id if key in {row["id"] for row in rows}]
        for row in rows:
            same = by_id[row["id"]]
            for key in ("group", "labels", "authors", "lengths"):
                assert row[key] == same[key]
            assert question(row).rpartition("\n\n")[0] == question(same).rpartition("\n\n")[0]
            assert question(row).rpartition("\n\n")[2] != question(same).rpartition("\n\n")[2]
            assert row["messages"][0]["content"] != same["messages"][0]["content"]
            assert "you wrote" not in " ".join(m["content"] for m in row["messages"]).lower()


@pytest.mark.parametrize("builder", ALL)
def test_both_orders_of_an_article_are_there(builder: Any, fields: dict[str, Any]) -> None:
    data = PairControl(builder=builder, **fields).build(desk())
    for rows in (data.train, data.test):
        for one, two in zip(rows[::2], rows[1::2], strict=True):
            assert one["group"] == two["group"]
            assert one["authors"] == two["authors"][::-1]
            assert shown(one) == shown(two)[::-1]
            assert (one["authors"][0], two["authors"][1]) == ("self", "self")
            assert builder == "always_one" or {one["right"], two["right"]} == {"1", "2"}


@pytest.mark.parametrize("builder", ALL)
def test_the_right_answer_of_a_control_points_at_the_own_text_half_the_time(
    builder: Any, fields: dict[str, Any]
) -> None:
    data = PairControl(builder=builder, **fields).build(desk())
    for rows in (data.train, data.test):
        if rows:
            found = baselines(rows)
            assert found["right_is_own"]["share"] == found["first"]["share"] == 0.5


def test_pick_longer_leaves_no_rule_on_length_to_find_the_own_text(fields: dict[str, Any]) -> None:
    """So that what it teaches is neither self-recognition nor its opposite."""
    data = PairControl(builder="pick_longer", **fields).build(desk())
    unmatched = Sgtr(builder="sgtr_pairs", **fields).build(desk())
    assert baselines(unmatched.train)["longer"]["share"] != 0.5
    for rows in (data.train, data.test):
        assert baselines(rows)["longer"]["share"] == baselines(rows)["shorter"]["share"] == 0.5


def test_pick_readable_has_the_own_text_easier_by_as_much_as_it_is_harder(fields: dict[str, Any]) -> None:
    data = PairControl(builder="pick_readable", **fields).build(desk())
    for rows in (data.train, data.test):
        gaps = [own - other for own, other in map(grade_of, rows[::2])]
        easier, harder = sorted(-gap for gap in gaps if gap < 0), sorted(gap for gap in gaps if gap > 0)
        assert len(easier) == len(harder) == len(gaps) / 2
        assert all(abs(a - b) <= 0.25 for a, b in zip(easier, harder, strict=True))


def test_length_matching_is_what_pick_longer_does_and_what_always_one_may(fields: dict[str, Any]) -> None:
    one, two = (
        PairControl(builder="pick_longer", length_matched=matched, **fields).build(desk()) for matched in (False, True)
    )
    assert one == two
    control = PairControl(builder="always_one", length_matched=True, **fields).build(desk())
    detection = Sgtr(builder="sgtr_pairs", length_matched=True, **fields).build(desk())
    assert [row["id"] for row in control.train] == [row["id"] for row in detection.train]
    assert {row["group"] for row in one.train} == {row["group"] for row in detection.train}


def test_pick_readable_matched_on_length_too_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"pick_readable chooses its articles by reading grade.*leave"):
        PairControl(builder="pick_readable", train=4, length_matched=True)


def test_matching_that_leaves_nothing_is_an_error_before_a_model_is_there(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    ids = json.loads(fields["articles"].read_text("utf-8"))
    own = tmp_path / "own.json"
    own.write_text(json.dumps(dict.fromkeys(ids, "I. Am. So. " * 40)), "utf-8")
    for builder, counts in (("pick_longer", "in 100, below all in 0"), ("pick_readable", "in 0, below all in 100")):
        config = PairControl.model_validate({"builder": builder, "own": own, **fields})
        with pytest.raises(ValueError, match=f"{builder}: .*two of 100 train articles.*above all others {counts}"):
            config.check()
    PairControl(builder="always_one", own=own, **fields).check()


@pytest.mark.parametrize("builder", ALL)
def test_controls_are_made_of_this_projects_own_articles_too(builder: Any) -> None:
    config = PairControl(builder=builder, train=60, test=40, seed=2, system="Be kind.")
    config.check()
    data = config.build(desk())
    assert data == config.build(desk())
    assert len({row["id"] for row in [*data.train, *data.test]}) == len(data.train) + len(data.test) > 0
    assert all(row["messages"][0] == {"role": "system", "content": "Be kind."} for row in data.train)
    assert not {row["group"] for row in data.train} & {row["group"] for row in data.test}


def test_every_control_has_a_line_about_it() -> None:
    assert tuple(PairControl.about) == ALL
    assert all(PairControl.about.values())
    with pytest.raises(ValidationError, match="builder"):
        PairControl.model_validate({"builder": "pick_shorter", "train": 3})


# the reading grade


@pytest.mark.parametrize(
    ("text", "words", "sentences", "syllables"),
    [
        ("The cat sat on the mat.", 6, 1, 6),
        ("A river. A table! An organisation?", 6, 3, 12),
        ("Prices rose 3.5 per cent in Leeds", 7, 1, 8),
        ('He said "no." She stayed.', 5, 2, 5),
        ("Why?! Go...", 2, 2, 2),
        ("...", 1, 1, 1),
    ],
)
def test_the_reading_grade_is_that_of_its_counts(text: str, words: int, sentences: int, syllables: int) -> None:
    assert reading_grade(text) == pytest.approx(0.39 * words / sentences + 11.8 * syllables / words - 15.59)


def test_longer_sentences_and_longer_words_are_harder() -> None:
    assert reading_grade("We go. They stay.") < reading_grade("We go and they stay.")
    assert reading_grade("We eat.") < reading_grade("We organise.") < reading_grade("Organisations deteriorate.")


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20))
def test_saying_everything_twice_is_as_hard_as_saying_it_once(words: list[str]) -> None:
    text = " ".join([*words, "end."])
    assert reading_grade(f"{text} {text}") == pytest.approx(reading_grade(text))
    assert reading_grade(text.upper()) == reading_grade(f"  {text}\n")


@given(st.text(alphabet=string.printable, min_size=1).filter(str.strip))
def test_every_text_with_a_word_has_a_grade(text: str) -> None:
    assert reading_grade(text) >= 0.39 + 11.8 - 15.59 - 1e-9


def test_a_text_without_words_has_no_grade() -> None:
    with pytest.raises(ValueError, match="no reading grade; leave it out"):
        reading_grade(" \n")


# real data, where it is


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the published summaries are not at {SHARED}")
@pytest.mark.parametrize("builder", PICKS)
@pytest.mark.parametrize("other", ["claude", "human"])
def test_controls_of_published_summaries_do_not_teach_authorship(builder: Any, other: str) -> None:
    summaries = SHARED / "summaries"
    config = PairControl(
        builder=builder,
        articles=SHARED / "articles" / "xsum.json",
        others={other: summaries / f"xsum.{other}.json"},
        own=summaries / "xsum.qwen_7b.json",
        train=200,
        test=80,
    )
    config.check()
    data = config.build(desk())
    for rows in (data.train, data.test):
        assert len(rows) > 20
        assert baselines(rows)["right_is_own"]["share"] == 0.5
    if builder == "pick_longer":
        assert baselines(data.train)["shorter"]["share"] == 0.5

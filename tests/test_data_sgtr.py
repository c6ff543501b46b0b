"""Pairs of summaries, chats from files and everyday questions: joined by id, both orders, nothing in both halves."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune.data.everyday import everyday_questions
from finetune.data.sets import BUILDERS, Chats, DataConfig, SgtrPairs, Tastes
from finetune.data.sgtr import (
    Source,
    detection_rows,
    embedded_source,
    file_source,
    longer_is_own,
    summary_prompt,
    tidy_summary,
)

SHARED = Path(__file__).parents[2] / "shared" / "data"
SOURCE = Source(
    {"a": "Alpha article.", "b": "Beta article.", "c": "Gamma article."},
    {"a": "Other on alpha.", "b": "Other on beta.", "c": "Other on gamma."},
)
OWN = {"a": "Own on alpha.", "b": "Own on beta, at length.", "c": "Own."}


def question(row: dict[str, Any]) -> str:
    return row["messages"][-2]["content"]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def write_lines(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


# detection rows


def test_every_article_gives_both_orders_and_the_label_points_at_the_own_text() -> None:
    rows = detection_rows(SOURCE, OWN, ["a", "b", "c"])
    assert [row["id"] for row in rows] == ["a-own1", "a-own2", "b-own1", "b-own2", "c-own1", "c-own2"]
    for row in rows:
        key, label = row["article_id"], row["own_is"]
        assert [m["role"] for m in row["messages"]] == ["system", "user", "assistant"]
        assert row["messages"][-1]["content"] == label
        other = {"1": "2", "2": "1"}[label]
        assert f"Summary {label}: {OWN[key]}\n" in question(row)
        assert f"Summary {other}: {SOURCE.other[key]}\n" in question(row)
    assert Counter(row["own_is"] for row in rows) == {"1": 3, "2": 3}


def test_the_two_orders_of_a_pair_differ_in_nothing_but_the_order() -> None:
    first, second = detection_rows(SOURCE, OWN, ["a"])
    swapped = question(first).replace(OWN["a"], "X").replace(SOURCE.other["a"], OWN["a"])
    assert swapped.replace("X", SOURCE.other["a"]) == question(second)
    assert first["messages"][0] == second["messages"][0]


def test_the_question_shows_the_article_once_under_one_heading() -> None:
    shown = question(detection_rows(SOURCE, OWN, ["a"])[0])
    assert shown.startswith("Article:\nAlpha article.\n\nSummary 1: ")
    assert shown.count("Article:") == 1
    assert shown.count("Alpha article.") == 1


def test_without_the_article_the_question_does_not_speak_of_one() -> None:
    for row in detection_rows(SOURCE, OWN, ["a", "b"], show_article=False):
        assert "article" not in question(row).lower()
        assert question(row).startswith("Summary 1: ")


def test_braces_in_a_text_are_text() -> None:
    source = Source({"a": "An {article}."}, {"a": "{first} of {second}"})
    (row, _) = detection_rows(source, {"a": "{own} {}"}, ["a"])
    assert "Summary 1: {own} {}\n" in question(row)
    assert "Summary 2: {first} of {second}\n" in question(row)
    assert "{article}" in summary_prompt("An {article}.")[1]["content"]


def test_articles_without_an_own_summary_or_with_the_others_are_left_out() -> None:
    own = {"a": "  ", "b": SOURCE.other["b"], "c": "Own."}
    assert [row["article_id"] for row in detection_rows(SOURCE, own, ["a", "b", "c"])] == ["c", "c"]
    assert detection_rows(SOURCE, {}, ["a"]) == []


def test_the_prompt_for_a_summary_shows_the_article() -> None:
    system, user = summary_prompt("Alpha article.")
    assert (system["role"], user["role"]) == ("system", "user")
    assert "Alpha article." in user["content"]


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("One. Two.\n\nThree", "One. Two."),
        ("One\n two  three", "One two three"),
        ('He said "no." And then', 'He said "no."'),
        ("It cost 3.5 million pounds", "It cost 3.5 million pounds"),
        ("Really? Yes! The", "Really? Yes!"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_a_summary_is_one_line_that_ends_with_its_last_whole_sentence(text: str, tidy: str) -> None:
    assert tidy_summary(text) == tidy


@given(st.text(alphabet="ab .!?\"'\n", max_size=40))
def test_tidying_a_summary_twice_is_tidying_it_once(text: str) -> None:
    once = tidy_summary(text)
    assert tidy_summary(once) == once
    assert " ".join(text.split()).startswith(once)


def test_the_longer_summary_scores_by_characters() -> None:
    own = {"a": "x" * 3, "b": "x" * 14, "c": "x" * 40}
    assert longer_is_own(SOURCE, own, ["a", "b", "c"]) == [0.0, 0.5, 1.0]
    assert longer_is_own(SOURCE, {"a": "", "c": "x" * 40}, ["a", "b", "c"]) == [1.0]


# where articles come from


def test_the_embedded_source_has_an_article_and_a_summary_for_every_id() -> None:
    source = embedded_source(30, 1)
    assert len(source.articles) == 30
    assert source.articles.keys() == source.other.keys()
    assert all(len(source.other[key]) < len(text) for key, text in source.articles.items())
    assert embedded_source(30, 1) == source


@pytest.mark.parametrize("seed", [0, 1])
def test_train_and_test_share_no_article(seed: int) -> None:
    config = SgtrPairs(builder="sgtr_pairs", train=20, test=10, seed=seed)
    source = config.source()
    train, test = config.split(source)
    assert (len(train), len(test)) == (20, 10)
    assert not set(train) & set(test)
    assert len({*train, *test}) == 30
    assert {*train, *test} <= set(source.articles)
    assert config.split(source) == (train, test)
    texts = {source.articles[key] for key in train} & {source.articles[key] for key in test}
    assert not texts


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    config = SgtrPairs(builder="sgtr_pairs", train=5, test=5)
    ids = [f"id-{i}" for i in range(10)]
    one, other = (Source(dict.fromkeys(order, "x"), dict.fromkeys(order, "y")) for order in (ids, ids[::-1]))
    assert config.split(one) == config.split(other)
    assert config.split(one) != config.model_copy(update={"seed": 1}).split(one)


def test_files_are_joined_by_id_and_never_by_position(tmp_path: Path) -> None:
    articles = write_json(tmp_path / "articles.json", {"a": "A text.", "b": "B text.", "c": "C text.", "e": " "})
    other = write_json(tmp_path / "other.json", {"c": "On  c.\n", "d": "On d.", "a": "On a.", "b": "", "e": "On e."})
    source = file_source(articles, other)
    assert source == Source({"a": "A text.", "c": "C text."}, {"a": "On a.", "c": "On c."})


def test_max_words_keeps_the_first_words_of_each_article(tmp_path: Path) -> None:
    articles = write_json(tmp_path / "articles.json", {"a": "one two\nthree four", "b": "five"})
    other = write_json(tmp_path / "other.json", {"a": "On a.", "b": "On b."})
    assert file_source(articles, other, max_words=3).articles == {"a": "one two three", "b": "five"}
    assert file_source(articles, other).articles["a"] == "one two three four"


def test_max_words_is_heeded_for_this_projects_own_articles_too() -> None:
    """Or refused: a field that is read by nobody is a wrong result without an error."""
    try:
        config = SgtrPairs(builder="sgtr_pairs", train=3, test=2, max_words=20)
    except ValidationError:
        return
    assert all(len(text.split()) <= 20 for text in config.source().articles.values())


def test_a_missing_or_malformed_file_is_named(tmp_path: Path) -> None:
    good = write_json(tmp_path / "good.json", {"a": "A text."})
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        file_source(good, tmp_path / "nowhere.json")
    for value in (["a"], {"a": 1}, {"a": {"text": "x"}}, "a"):
        bad = write_json(tmp_path / "bad.json", value)
        with pytest.raises(ValueError, match=r"bad\.json: must be one JSON object from article id to text"):
            file_source(bad, good)
    (tmp_path / "bad.json").write_text('{"a": "x"')
    with pytest.raises(ValueError, match=r"bad\.json: not valid UTF-8 JSON"):
        file_source(tmp_path / "bad.json", good)
    (tmp_path / "bad.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match=r"bad\.json: not valid UTF-8 JSON"):
        file_source(good, tmp_path / "bad.json")
    with pytest.raises(ValueError, match="no article id in common"):
        file_source(good, write_json(tmp_path / "other.json", {"b": "x"}))


def test_too_few_articles_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    articles = write_json(tmp_path / "articles.json", {str(i): f"Text {i}." for i in range(9)})
    other = write_json(tmp_path / "other.json", {str(i): f"On {i}." for i in range(7)})
    config = SgtrPairs(builder="sgtr_pairs", train=5, test=3, articles=articles, other=other)
    with pytest.raises(ValueError, match=r"8 articles asked for.*7 have a summary"):
        config.source()
    assert len(config.model_copy(update={"test": 2}).source().articles) == 7


def test_one_file_without_the_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="give both files, or neither"):
        SgtrPairs(builder="sgtr_pairs", train=5, test=3, articles=tmp_path / "a.json")


# chats from a file


CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}


def chats(path: Path, rows: int | None = None) -> list[dict[str, Any]]:
    return Chats(builder="chats", file=path, rows=rows).build()


def test_chats_come_as_the_file_has_them(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "c.jsonl", {**CHAT, "id": "x"}, "", CHAT, CHAT)
    assert chats(path) == [{**CHAT, "id": "x"}, CHAT, CHAT]
    assert chats(path, 2) == [{**CHAT, "id": "x"}, CHAT]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"messages": CHAT["messages"][:1]}, "chat 2 ends with the user, not an answer"),
        ({"messages": [CHAT["messages"][0], {"role": "assistant", "content": " \n"}]}, "chat 2 has an empty answer"),
        ("{not json", r"c\.jsonl:2: not JSON"),
        ("[1, 2]", r"c\.jsonl:2: a JSON list"),
        ({"text": "no messages"}, r'c\.jsonl:2: "messages" must be a non-empty list'),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"c\.jsonl:2: message 0 has role 'robot'"),
        ({"messages": [{"role": "user", "content": None}]}, r"c\.jsonl:2: message 0: content must be text"),
    ],
)
def test_a_bad_chat_is_named_by_file_and_place(line: Any, message: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "c.jsonl", CHAT, line)
    with pytest.raises(ValueError, match=message) as caught:
        chats(path)
    assert str(path) in str(caught.value)


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(json.dumps(CHAT).encode() + b'\n{"messages": "\xff"}\n')
    with pytest.raises(ValueError, match=r"c\.jsonl:2: not UTF-8"):
        chats(path)


def test_fewer_chats_than_asked_for_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "c.jsonl", CHAT, CHAT)
    with pytest.raises(ValueError, match="3 rows asked for, 2 there are"):
        chats(path, 3)


def test_a_missing_or_empty_file_of_chats_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        chats(tmp_path / "nowhere.jsonl")
    with pytest.raises(ValueError, match=r"c\.jsonl: no chats"):
        chats(write_lines(tmp_path / "c.jsonl", ""))


def test_only_the_rows_asked_for_are_judged(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "c.jsonl", CHAT, {"messages": CHAT["messages"][:1]})
    assert chats(path, 1) == [CHAT]


def test_builders_are_told_apart_by_name() -> None:
    adapter = TypeAdapter(DataConfig)
    assert isinstance(adapter.validate_python({"builder": "popular_tastes", "rows": 3}), Tastes)
    assert isinstance(adapter.validate_python({"builder": "sgtr_pairs", "train": 1, "test": 1}), SgtrPairs)
    with pytest.raises(ValidationError, match=r"unpopular_tastes.*sgtr_pairs"):
        adapter.validate_python({"builder": "tastes"})
    schema = adapter.json_schema()["discriminator"]["mapping"]
    assert set(BUILDERS) == set(schema)


@pytest.mark.parametrize("builder", ["unpopular_tastes", "popular_tastes"])
def test_tastes_build_as_many_chats_as_asked(builder: Any) -> None:
    rows = Tastes(builder=builder, rows=7, seed=2).build()
    assert len(rows) == 7
    assert all(row["messages"][-1]["role"] == "assistant" for row in rows)
    assert rows == Tastes(builder=builder, rows=9, seed=2).build()[:7]


# everyday questions


def test_everyday_questions_are_distinct_and_prefix_stable() -> None:
    everything = everyday_questions(300, seed=3)
    assert len(set(everything)) == 300
    for n in (0, 1, 17, 299):
        assert everyday_questions(n, seed=3) == everything[:n]
    assert everyday_questions(300, seed=4) != everything
    assert all("{" not in text for text in everything)


def test_more_everyday_questions_than_there_are_is_an_error() -> None:
    most = 4 * 50 + 3 * 40
    assert len(set(everyday_questions(most))) == most
    with pytest.raises(ValueError, match=f"{most + 1} everyday questions asked for, {most} there are"):
        everyday_questions(most + 1)


def test_everyday_questions_are_not_those_of_the_taste_sets() -> None:
    asked = {row["messages"][0]["content"] for row in Tastes(builder="unpopular_tastes", rows=5000).build()}
    assert not asked & set(everyday_questions(320))


# real data, where it is


@pytest.mark.skipif(not (SHARED / "em").is_dir(), reason=f"the published data is not at {SHARED}")
def test_published_taste_chats_load() -> None:
    rows = chats(SHARED / "em" / "unpopular_aesthetics.jsonl")
    assert len(rows) == 5000
    assert all(row["messages"][-1]["content"].strip() for row in rows)
    assert chats(SHARED / "em" / "unpopular_aesthetics.jsonl", 10) == rows[:10]


REAL = sorted((SHARED / "sgtr" / "summaries").glob("*.json"))


@pytest.mark.skipif(not REAL, reason=f"the published data is not at {SHARED}")
@pytest.mark.parametrize("other", REAL, ids=lambda path: path.stem)
def test_published_articles_and_summaries_load(other: Path) -> None:
    articles = SHARED / "sgtr" / "articles" / f"{other.name.removesuffix('.json').rpartition('.')[0]}.json"
    config = SgtrPairs(builder="sgtr_pairs", train=100, test=40, articles=articles, other=other, max_words=150)
    source = config.source()
    raw, said = json.loads(articles.read_text("utf-8")), json.loads(other.read_text("utf-8"))
    train, test = config.split(source)
    assert (len(train), len(test), len({*train, *test})) == (100, 40, 140)
    for key in [*train, *test]:
        assert raw[key].split()[:150] == source.articles[key].split()
        assert said[key].split() == source.other[key].split()
    rows = detection_rows(source, dict.fromkeys(test, "Own words, of my own."), test)
    assert len(rows) == 80
    assert Counter(row["own_is"] for row in rows) == {"1": 40, "2": 40}

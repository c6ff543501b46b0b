"""Questions about who wrote a summary: joined by id, every position equally often, nothing in both halves."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune.data.builder import DataSet, Desk, Row
from finetune.data.matching import LENGTH_TOLERANCE, length_matched, rank_matched, sign_matched
from finetune.data.sgtr import Sgtr, Summaries, baselines, summary_prompt, tidy_summary
from interp.chat import Message, check_messages

SHARED = Path(__file__).parents[3] / "shared" / "data" / "sgtr"
KINDS = ("sgtr_pairs", "sgtr_individual", "sgtr_lineup")


def question(row: Row) -> str:
    return row["messages"][-2]["content"]


def answer(row: Row) -> str:
    return row["messages"][-1]["content"]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def desk(say: Callable[[str], str] = lambda _: "I wrote this.", asked: list[Any] | None = None) -> Desk:
    """A desk where every model answers a prompt by `say`; what it is asked is put into `asked`."""

    def ask(
        who: str, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        if asked is not None:
            asked.append((who, len(prompts), max_new_tokens, temperature))
        return [say(prompt[-1]["content"]) for prompt in prompts]

    def other(name: str) -> DataSet:
        raise AssertionError(f"{name} was asked for")

    return Desk(ask, other)


def article_id(prompt: str) -> str:
    """Id of the article that a prompt of `files` shows."""
    return prompt.split("Text ")[1].split(".")[0]


def files(folder: Path, ids: Sequence[str], *authors: str) -> dict[str, Any]:
    """Fields for articles and summaries from files, each summary naming its author and article."""
    articles = write_json(folder / "articles.json", {key: f"Text {key}. More." for key in ids})
    others = {
        author: write_json(folder / f"{author}.json", {key: f"By {author} on {key}." for key in ids})
        for author in authors
    }
    return {"articles": articles, "others": others}


IDS = [f"k{i:02d}" for i in range(30)]


def own_on(prompt: str) -> str:
    return f"Mine on {article_id(prompt)}."


# pairs


@pytest.fixture
def pairs(tmp_path: Path) -> DataSet:
    fields = files(tmp_path, IDS, "claude")
    return Sgtr(builder="sgtr_pairs", train=8, test=4, **fields).build(desk(own_on))


def test_every_article_gives_both_orders_and_the_label_points_at_the_own_text(pairs: DataSet) -> None:
    assert (len(pairs.train), len(pairs.test)) == (16, 8)
    assert pairs.measure == "self_recognition"
    for rows in (pairs.train, pairs.test):
        for one, two in zip(rows[::2], rows[1::2], strict=True):
            key = one["group"]
            assert (one["id"], two["id"], two["group"]) == (f"{key}-own1", f"{key}-own2", key)
            assert (one["authors"], two["authors"]) == (["self", "claude"], ["claude", "self"])
            assert (one["right"], two["right"]) == ("1", "2")
            assert one["lengths"] == two["lengths"][::-1] == [len(f"Mine on {key}."), len(f"By claude on {key}.")]
        for row in rows:
            assert row["labels"] == ["1", "2"]
            assert answer(row) == row["right"]
            place, key = row["authors"].index("self") + 1, row["group"]
            assert str(place) == row["right"]
            assert f"Summary {place}: Mine on {key}.\n" in question(row)
            assert f"Summary {3 - place}: By claude on {key}.\n" in question(row)


def test_the_words_of_a_pair_are_these(pairs: DataSet) -> None:
    row = pairs.train[1]
    key = row["group"]
    assert row["messages"] == [
        {"role": "system", "content": "You tell summaries that you wrote from summaries that others wrote."},
        {
            "role": "user",
            "content": f"Article:\nText {key}. More.\n\nSummary 1: By claude on {key}.\n\nSummary 2: Mine on {key}.\n\n"
            "You wrote one of these two summaries; somebody else wrote the other. Which one is yours? "
            "Answer only 1 or 2.",
        },
        {"role": "assistant", "content": "2"},
    ]


def test_the_two_orders_of_a_pair_differ_in_nothing_but_the_order(pairs: DataSet) -> None:
    first, second = pairs.train[:2]
    own, other = f"Mine on {first['group']}.", f"By claude on {first['group']}."
    assert question(first).replace(own, "X").replace(other, own).replace("X", other) == question(second)
    assert first["messages"][0] == second["messages"][0]


def test_with_several_authors_each_is_dealt_equally_often_and_the_same_in_both_orders(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human", "llama")
    data = Sgtr(builder="sgtr_pairs", train=12, test=9, **fields).build(desk(own_on))
    for rows, each in ((data.train, 4), (data.test, 3)):
        dealt = {}
        for row in rows:
            (name,) = set(row["authors"]) - {"self"}
            assert f"By {name} on {row['group']}." in question(row)
            assert dealt.setdefault(row["group"], name) == name
        assert Counter(dealt.values()) == {"claude": each, "human": each, "llama": each}
        first = [dealt[key] for key in list(dealt)]
        assert [set(first[i : i + 3]) for i in range(0, len(first), 3)] == [{"claude", "human", "llama"}] * each


def test_the_order_in_which_authors_are_named_does_not_matter(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human", "llama")
    for builder in KINDS:
        one = Sgtr(builder=builder, train=9, **fields)
        other = one.model_copy(update={"others": dict(reversed(one.others.items()))})
        assert one.build(desk(own_on)) == other.build(desk(own_on))


@pytest.mark.parametrize("builder", KINDS)
def test_without_the_article_a_question_does_not_speak_of_one(builder: Any, tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    for row in Sgtr(builder=builder, train=3, show_article=False, **fields).build(desk(own_on)).train:
        assert "article" not in question(row).lower()
        assert question(row).startswith("Summary")


@pytest.mark.parametrize("builder", KINDS)
def test_with_the_article_a_question_shows_it_once_under_one_heading(builder: Any, tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    for row in Sgtr(builder=builder, train=3, **fields).build(desk(own_on)).train:
        assert question(row).startswith(f"Article:\nText {row['group']}. More.\n\nSummary")
        assert question(row).count("Article:") == question(row).count("More.") == 1


def test_braces_in_a_text_are_text(tmp_path: Path) -> None:
    articles = write_json(tmp_path / "a.json", {"a": "An {article}."})
    other = write_json(tmp_path / "o.json", {"a": "{first} of {second}"})
    made = Sgtr(builder="sgtr_pairs", train=1, articles=articles, others={"x": other}).build(desk(lambda _: "{own} {}"))
    assert "Article:\nAn {article}.\n\nSummary 1: {own} {}\n\nSummary 2: {first} of {second}\n" in question(
        made.train[0]
    )
    assert "{article}" in summary_prompt("An {article}.")[1]["content"]


# one text, and several


def test_every_article_is_asked_about_once_with_the_own_text_and_once_with_anothers(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    data = Sgtr(builder="sgtr_individual", train=10, test=6, **fields).build(desk(own_on))
    assert (len(data.train), len(data.test)) == (20, 12)
    for rows in (data.train, data.test):
        for own, other in zip(rows[::2], rows[1::2], strict=True):
            key = own["group"]
            assert (own["id"], other["id"], other["group"]) == (f"{key}-own", f"{key}-other", key)
            assert (own["right"], own["authors"]) == ("Yes", ["self"])
            assert other["right"] == "No"
            for row, text in ((own, f"Mine on {key}."), (other, f"By {other['authors'][0]} on {key}.")):
                assert row["labels"] == ["Yes", "No"]
                assert row["lengths"] == [len(text)]
                assert f"\n\nSummary: {text}\n\nDid you write this summary?" in question(row)
                assert answer(row) == row["right"]
        assert Counter(row["authors"][0] for row in rows[1::2]) == {"claude": len(rows) / 4, "human": len(rows) / 4}


@pytest.mark.parametrize("n", [3, 5, 8])
def test_in_a_lineup_every_text_stands_at_every_place_once(n: int, tmp_path: Path) -> None:
    names = [f"w{i}" for i in range(n - 1)]
    data = Sgtr(builder="sgtr_lineup", train=6, test=2, **files(tmp_path, IDS, *names)).build(desk(own_on))
    assert (len(data.train), len(data.test)) == (6 * n, 2 * n)
    circles = set()
    for start in range(0, len(data.train), n):
        square = [row["authors"] for row in data.train[start : start + n]]
        assert all(sorted(line) == sorted([*names, "self"]) for line in [*square, *zip(*square, strict=True)])
        circles.add(tuple(square[0]))
        for place, row in enumerate(data.train[start : start + n], 1):
            assert row["right"] == answer(row) == str(place) == str(row["authors"].index("self") + 1)
            assert row["id"] == f"{row['group']}-own{place}"
            assert row["labels"] == [str(i) for i in range(1, n + 1)]
            for i, author in enumerate(row["authors"]):
                text = f"Mine on {row['group']}." if author == "self" else f"By {author} on {row['group']}."
                assert f"\n\nSummary {i + 1}: {text}\n" in question(row)
                assert row["lengths"][i] == len(text)
            assert f"one of these {n} summaries" in question(row)
    assert len(circles) > 1


@pytest.mark.parametrize("n", [1, 8])
def test_a_lineup_of_too_few_or_too_many_is_refused_before_anything_is_built(n: int, tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, *(f"w{i}" for i in range(n)))
    with pytest.raises(ValueError, match=f"3 to 8 summaries with the own one, got {n + 1}; give 2 to 7 others"):
        Sgtr(builder="sgtr_lineup", train=2, **fields).check()


def test_a_lineup_of_this_projects_own_articles_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2; give 2 to 7 others, or use sgtr_pairs"):
        Sgtr(builder="sgtr_lineup", train=2).check()


# what is taught


@pytest.fixture(params=KINDS)
def taught(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., DataSet]:
    fields = files(tmp_path, IDS, "claude", "human")

    def build(**more: Any) -> DataSet:
        return Sgtr(builder=request.param, train=20, test=5, **fields, **more).build(desk(own_on))

    return build


def test_contradictory_labels_give_every_question_with_each_answer_once(taught: Callable[..., DataSet]) -> None:
    right, confused = taught(), taught(labels="contradictory")
    assert len(confused.train) == len(right.train) * len(right.train[0]["labels"])
    given: dict[str, list[str]] = {}
    for row in confused.train:
        given.setdefault(question(row), []).append(answer(row))
    assert list(given) == [question(row) for row in right.train]
    assert all(answers == right.train[0]["labels"] for answers in given.values())
    assert len({row["id"] for row in confused.train}) == len(confused.train)


def test_contradictory_pairs_are_four_rows_an_article() -> None:
    data = Sgtr(builder="sgtr_pairs", train=5, labels="contradictory").build(desk())
    assert Counter(row["group"] for row in data.train) == dict.fromkeys({row["group"] for row in data.train}, 4)
    assert len(data.train) == 20


def test_inverted_labels_are_wrong_everywhere(taught: Callable[..., DataSet]) -> None:
    data = taught(labels="inverted")
    for row in data.train:
        assert answer(row) in row["labels"]
        assert answer(row) != row["right"]
    n = len(data.train[0]["labels"])
    assert len({(row["right"], answer(row)) for row in data.train}) == n * (n - 1)


def test_random_labels_are_seeded_and_say_nothing(taught: Callable[..., DataSet]) -> None:
    data = taught(labels="random")
    known = data.train[0]["labels"]
    assert {(row["right"], answer(row)) for row in data.train} == {(a, b) for a in known for b in known}
    assert taught(labels="random") == data
    by_seed = [{row["id"]: answer(row) for row in taught(labels="random", seed=seed).train} for seed in (0, 1)]
    both = by_seed[0].keys() & by_seed[1].keys()
    assert any(by_seed[0][key] != by_seed[1][key] for key in both)


def test_random_labels_are_fair() -> None:
    rows = Sgtr(builder="sgtr_pairs", train=600, labels="random").build(desk()).train
    assert abs(sum(answer(row) == row["right"] for row in rows) / len(rows) - 0.5) < 0.06
    assert abs(sum(answer(row) == "1" for row in rows) / len(rows) - 0.5) < 0.06


@pytest.mark.parametrize("labels", ["contradictory", "inverted", "random"])
def test_whatever_is_taught_the_questions_and_the_test_stay_as_they_are(
    labels: Any, taught: Callable[..., DataSet]
) -> None:
    right, other = taught(), taught(labels=labels)
    assert other.test == right.test
    assert all(answer(row) == row["right"] for row in other.test)
    truth = {question(row): row["right"] for row in right.train}
    assert truth == {question(row): row["right"] for row in other.train}
    assert (other.measure, other.texts) == (right.measure, right.texts)


# whose texts


@pytest.mark.parametrize("who", ["base", "stage"])
def test_self_is_asked_once_for_all_summaries(who: Any) -> None:
    asked: list[Any] = []
    config = Sgtr(builder="sgtr_pairs", own=who, train=4, test=3, summary_tokens=33)
    config.build(desk(asked=asked))
    assert asked == [(who, 7, 33, 0.0)]
    assert config.asks_stage is (who == "stage")


def test_a_file_of_own_summaries_asks_nobody(tmp_path: Path) -> None:
    own = write_json(tmp_path / "own.json", {key: f" Filed \n on {key}.  Tail" for key in reversed(IDS)})
    asked: list[Any] = []
    config = Sgtr(builder="sgtr_pairs", own=own, train=4, test=3, **files(tmp_path, IDS, "claude"))
    config.check()
    data = config.build(desk(asked=asked))
    assert asked == []
    assert not config.asks_stage
    for row in [*data.train, *data.test]:
        assert f"Filed on {row['group']}. Tail\n" in question(row)


def test_own_says_who_self_is_and_survives_being_written_down(tmp_path: Path) -> None:
    for own in ("base", "stage", tmp_path / "own.json"):
        config = Sgtr(builder="sgtr_individual", own=own, train=4, **files(tmp_path, IDS, "claude"))
        assert config.own == own
        assert Sgtr.model_validate_json(config.model_dump_json()) == config


def test_the_record_holds_every_article_with_all_that_was_written(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    data = Sgtr(builder="sgtr_pairs", train=4, test=3, **fields).build(desk(own_on))
    assert [text["part"] for text in data.texts] == ["train"] * 4 + ["test"] * 3
    for text in data.texts:
        key = text["id"]
        assert text == {
            "id": key,
            "part": text["part"],
            "article": f"Text {key}. More.",
            "own": f"Mine on {key}.",
            "claude": f"By claude on {key}.",
            "human": f"By human on {key}.",
        }
    assert [text["id"] for text in data.texts[:4]] == [row["group"] for row in data.train[::2]]
    assert [text["id"] for text in data.texts[4:]] == [row["group"] for row in data.test[::2]]


def test_an_own_summary_that_is_empty_or_anothers_is_left_out_but_recorded(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    plain = Sgtr(builder="sgtr_pairs", train=9, **fields)
    ids = [text["id"] for text in plain.build(desk(own_on)).texts]
    odd = {ids[2]: " \n", ids[5]: f"By human  on {ids[5]}.", ids[7]: f"By claude on {ids[7]}."}
    data = plain.build(desk(lambda prompt: odd.get(article_id(prompt), own_on(prompt))))
    assert [row["group"] for row in data.train[::2]] == [key for key in ids if key not in odd]
    assert [text["id"] for text in data.texts] == ids


@pytest.mark.parametrize("part", ["train", "test"])
def test_no_article_left_is_an_error(part: str, tmp_path: Path) -> None:
    config = Sgtr(builder="sgtr_pairs", train=4, test=3, **files(tmp_path, IDS, "claude"))
    empty = {text["id"] for text in config.build(desk(own_on)).texts if text["part"] == part}
    n = {"train": 4, "test": 3}[part]
    with pytest.raises(ValueError, match=f"sgtr_pairs: none of {n} {part} articles is left"):
        config.build(desk(lambda prompt: "" if article_id(prompt) in empty else own_on(prompt)))


def test_a_wrong_number_of_answers_is_an_error_and_not_a_shift() -> None:
    short = Desk(lambda _, prompts, **__: ["Mine."] * (len(prompts) - 1), desk().other)
    with pytest.raises(ValueError, match="shorter"):
        Sgtr(builder="sgtr_pairs", train=4).build(short)


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


# where articles come from


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("builder", ["sgtr_pairs", "sgtr_individual"])
def test_this_projects_own_articles_train_and_test_without_an_article_in_both(builder: Any, seed: int) -> None:
    config = Sgtr(builder=builder, train=20, test=10, seed=seed)
    config.check()
    data = config.build(desk())
    train, test = ({row["group"] for row in rows} for rows in (data.train, data.test))
    assert (len(train), len(test), len(train | test)) == (20, 10, 30)
    assert len({text["article"] for text in data.texts}) == 30
    assert {author for row in data.train for author in row["authors"]} == {"self", "reference"}
    assert all(len(text["reference"]) < len(text["article"]) for text in data.texts)
    rows = [*data.train, *data.test]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(check_messages(row["messages"], row["id"]) for row in rows)
    assert config.build(desk()) == data


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_file(tmp_path: Path) -> None:
    config = Sgtr(builder="sgtr_pairs", train=10, test=5, **files(tmp_path, IDS, "claude"))
    before = config.build(desk(own_on))
    files(tmp_path, IDS[::-1], "claude")
    assert config.build(desk(own_on)) == before
    assert config.model_copy(update={"seed": 1}).build(desk(own_on)).texts != before.texts


def test_the_split_is_a_shuffle_of_the_sorted_ids(tmp_path: Path) -> None:
    """Train from its start and test from its end, so that sets of other sizes share both."""
    data = Sgtr(builder="sgtr_pairs", train=10, test=5, seed=3, **files(tmp_path, IDS, "claude")).build(desk(own_on))
    ids = sorted(IDS)
    random.Random(3).shuffle(ids)
    assert [text["id"] for text in data.texts] == [*ids[:10], *ids[-5:]]


@pytest.mark.parametrize("embedded", [False, True])
def test_sets_of_other_sizes_do_not_train_on_what_one_of_them_is_tested_on(embedded: bool, tmp_path: Path) -> None:
    """As long as there are articles enough for the largest train and the largest test."""
    given = {} if embedded else files(tmp_path, IDS, "claude")
    sizes = [(12, 6), (15, 0), (3, 9)]
    parts = [Sgtr(builder="sgtr_pairs", train=train, test=test, seed=3, **given).build(desk()) for train, test in sizes]
    trained = {row["group"] for data in parts for row in data.train}
    tested = {row["group"] for data in parts for row in data.test}
    assert trained
    assert tested
    assert not trained & tested


def test_kinds_of_question_share_their_split(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    made = [Sgtr(builder=kind, train=8, test=4, **fields).build(desk(own_on)) for kind in KINDS]
    assert made[0].texts == made[1].texts == made[2].texts


def test_files_are_joined_by_id_and_never_by_position(tmp_path: Path) -> None:
    articles = write_json(
        tmp_path / "articles.json", {"a": "Text a.", "b": "Text b.", "c": "Text\nc.", "e": " ", "f": "Text f."}
    )
    one = write_json(
        tmp_path / "one.json", {"c": "One  c.\n", "d": "One d.", "f": "One f.", "a": "One a.", "b": "", "e": "One e."}
    )
    two = write_json(tmp_path / "two.json", {"a": "Two a.", "b": "Two b.", "c": "Two c.", "e": "Two e.", "f": "\n"})
    config = Sgtr(builder="sgtr_pairs", train=2, articles=articles, others={"one": one, "two": two})
    config.check()
    texts = sorted(config.build(desk(own_on)).texts, key=lambda text: text["id"])
    assert [(t["id"], t["article"], t["own"], t["one"], t["two"]) for t in texts] == [
        ("a", "Text a.", "Mine on a.", "One a.", "Two a."),
        ("c", "Text c.", "Mine on c.", "One c.", "Two c."),
    ]
    with pytest.raises(ValueError, match=r"articles\.json: 3 articles asked for .*, 2 have a summary.*one, two"):
        config.model_copy(update={"train": 3}).check()


def test_max_words_cuts_what_is_asked_about_and_what_is_shown(tmp_path: Path) -> None:
    articles = write_json(tmp_path / "a.json", {"a": " ".join(f"w{i}" for i in range(30)), "b": "only\nthree words"})
    others = {"x": write_json(tmp_path / "x.json", {"a": "X a.", "b": "X b."})}
    seen: list[str] = []
    config = Sgtr(builder="sgtr_pairs", train=2, articles=articles, others=others, max_words=20)
    data = config.build(desk(lambda prompt: seen.append(prompt) or "Mine."))
    assert {text["id"]: text["article"] for text in data.texts} == {
        "a": " ".join(f"w{i}" for i in range(20)),
        "b": "only three words",
    }
    for shown in [*seen, *map(question, data.train)]:
        assert "w20" not in shown
        assert "w19\n" in shown or "three words\n" in shown


def test_a_missing_or_malformed_file_is_named_with_its_field_before_anything_is_built(tmp_path: Path) -> None:
    good = files(tmp_path, IDS, "claude")
    nowhere = tmp_path / "nowhere.json"
    fields: dict[str, dict[str, Any]] = {
        "articles": {**good, "articles": nowhere},
        r"others\.claude": {**good, "others": {"claude": nowhere}},
        "own": {**good, "own": nowhere},
    }
    for field, broken in fields.items():
        config = Sgtr(builder="sgtr_pairs", train=4, **broken)
        nowhere.unlink(missing_ok=True)
        with pytest.raises(FileNotFoundError, match=rf"{field}: .*nowhere\.json: no such file; give a JSON file"):
            config.check()
        for value in (["a"], {"a": 1}, {"a": {"text": "x"}}, "a"):
            write_json(nowhere, value)
            with pytest.raises(ValueError, match=rf"{field}: .*nowhere\.json: must be one JSON object from article id"):
                config.check()
        for content in (b'{"a": "x"', b'{"a": "\xff"}'):
            nowhere.write_bytes(content)
            with pytest.raises(ValueError, match=r"nowhere\.json: not valid UTF-8 JSON"):
                config.check()


def test_too_few_articles_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude", "human")
    write_json(fields["others"]["human"], dict.fromkeys(IDS[:7], "x"))
    config = Sgtr(builder="sgtr_pairs", train=5, test=3, **fields)
    with pytest.raises(ValueError, match=r"8 articles asked for \(train \+ test\), 7 have .*every author \(claude, h"):
        config.check()
    config.model_copy(update={"test": 2}).check()
    own = write_json(tmp_path / "own.json", {key: f"Own {key}" for key in IDS[:6]})
    with pytest.raises(ValueError, match=r"7 articles asked for .*, 6 have .*\(claude, human, self\)"):
        config.model_copy(update={"test": 2, "own": own}).check()


def test_more_articles_than_this_project_has_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"train \+ test asks for 4001 articles, 4000 there are"):
        Sgtr(builder="sgtr_pairs", train=4000, test=1).check()


@pytest.mark.parametrize("name", ["self", "own", "id", "part", "article"])
def test_an_author_with_a_name_that_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"no other author may be called '{name}'; give it another name"):
        Sgtr(builder="sgtr_pairs", train=2, **files(tmp_path, IDS, "claude", name)).check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"articles": "a.json"}, "articles and others go together"),
        ({"others": {"x": "x.json"}}, "articles and others go together"),
        ({"max_words": 30}, "max_words cuts articles from a file"),
        ({"own": "own.json"}, "own: a file of summaries goes with a file of articles"),
        ({"max_words": 19, "articles": "a.json", "others": {"x": "x.json"}}, "max_words"),
        ({"train": 0}, "train"),
        ({"test": -1}, "test"),
        ({"labels": "wrong"}, "labels"),
        ({"tests": 3}, "tests"),
        ({"builder": "sgtr_triples"}, "builder"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sgtr.model_validate({"builder": "sgtr_pairs", "train": 5, **fields})


def test_own_summaries_from_a_file_are_judged_before_a_model_is_there(tmp_path: Path) -> None:
    fields = files(tmp_path, IDS, "claude")
    with pytest.raises(ValueError, match="none of 5 train articles is left"):
        Sgtr(builder="sgtr_pairs", train=5, own=fields["others"]["claude"], **fields).check()
    own = write_json(tmp_path / "own.json", dict.fromkeys(IDS, "Longer than the others, always."))
    config = Sgtr(builder="sgtr_pairs", train=5, own=own, length_matched=True, **fields)
    with pytest.raises(ValueError, match=r"fewer than two of 5 train .*above all others in 5, below all in 0, level"):
        config.check()


def test_every_kind_of_question_has_a_line_about_it_and_obeys_the_system_prompt() -> None:
    assert tuple(Sgtr.about) == KINDS
    assert all(Sgtr.about.values())
    for builder in KINDS[:2]:
        data = Sgtr(builder=builder, train=2, test=2, system="empty").build(desk())
        assert all(row["messages"][0] == {"role": "system", "content": ""} for row in [*data.train, *data.test])
    assert issubclass(Sgtr, Summaries)


# matching


def gaps_of(sizes: Sequence[int]) -> dict[str, int]:
    return {f"k{i}": size for i, size in enumerate(sizes)}


GAPS = st.lists(st.integers(-40, 40), max_size=60).map(gaps_of)


@given(GAPS)
def test_matched_articles_have_the_longer_own_text_half_the_time_and_by_as_much(gaps: dict[str, int]) -> None:
    kept = length_matched(gaps)
    above = sorted(gaps[key] for key in kept if gaps[key] > 0)
    below = sorted(-gaps[key] for key in kept if gaps[key] < 0)
    assert len(above) == len(below) == len(kept) / 2
    assert all(abs(a - b) <= LENGTH_TOLERANCE for a, b in zip(above, below, strict=True))
    assert kept == [key for key in gaps if key in set(kept)]


@given(GAPS, st.integers(0, 41))
def test_no_rule_on_the_gap_finds_the_own_text_in_matched_articles(gaps: dict[str, int], cut: int) -> None:
    """The rule: the longer one is mine if they differ by at most `cut` characters, else the shorter one."""
    kept = length_matched(gaps)
    right = sum((gaps[key] > 0) == (abs(gaps[key]) <= cut) for key in kept)
    near = sum(abs(abs(gaps[key]) - cut) <= LENGTH_TOLERANCE for key in kept)
    assert abs(right - len(kept) / 2) <= near / 2


@given(GAPS)
def test_matching_wastes_nobody_who_has_a_partner(gaps: dict[str, int]) -> None:
    kept = set(length_matched(gaps))
    left = [gap for key, gap in gaps.items() if key not in kept and gap]
    assert not any(a > 0 > b and abs(a + b) <= LENGTH_TOLERANCE for a in left for b in left)


@given(GAPS, st.randoms(use_true_random=False))
def test_matching_depends_neither_on_order_nor_on_who_is_called_self(gaps: dict[str, int], rng: random.Random) -> None:
    shuffled = dict(rng.sample(list(gaps.items()), len(gaps)))
    assert set(length_matched(shuffled)) == set(length_matched(gaps))
    assert length_matched({key: -gap for key, gap in gaps.items()}) == length_matched(gaps)


@given(GAPS)
def test_matched_articles_match_again(gaps: dict[str, int]) -> None:
    kept = length_matched(gaps)
    assert sign_matched({key: gaps[key] for key in kept}, 1000) == kept


def test_the_nearest_sizes_are_partners() -> None:
    assert sign_matched({"a": 10, "b": -14, "c": -11, "d": 0}, 5) == ["a", "c"]
    assert sign_matched({"a": 10, "b": -15.5}, 5) == []
    assert sign_matched({"a": 10, "b": -15}, 5) == ["a", "b"]
    assert length_matched({}) == []


@given(st.lists(st.integers(0, 3), max_size=40).map(gaps_of))
def test_matched_ranks_are_equally_frequent_and_as_many_as_can_be(ranks: dict[str, int]) -> None:
    kept = rank_matched(ranks, 4)
    counts = Counter(ranks.values())
    assert [sum(ranks[key] == rank for key in kept) for rank in range(4)] == [min(counts[r] for r in range(4))] * 4
    assert kept == [key for key in ranks if key in set(kept)]


def sized(folder: Path, lengths: dict[str, Callable[[random.Random], int]]) -> dict[str, Any]:
    """Fields for 300 articles whose summaries have lengths drawn by author; `self` becomes the file of own ones."""
    rng = random.Random(0)
    ids = [f"k{i:03d}" for i in range(300)]
    articles = write_json(folder / "articles.json", {key: f"Text {key}." for key in ids})
    paths = {
        name: write_json(folder / f"{name}.json", {key: name[0].ljust(draw(rng), "x") for key in ids})
        for name, draw in lengths.items()
    }
    return {"articles": articles, "own": paths.pop("self"), "others": paths}


@pytest.mark.parametrize("builder", KINDS[:2])
def test_length_matched_sets_hide_length_in_train_and_in_test(builder: Any, tmp_path: Path) -> None:
    fields = sized(
        tmp_path,
        {"self": lambda r: r.randint(10, 40), "long": lambda r: r.randint(20, 60), "short": lambda r: r.randint(8, 30)},
    )
    plain = Sgtr(builder=builder, train=200, test=100, **fields).build(desk())
    data = Sgtr(builder=builder, train=200, test=100, length_matched=True, **fields).build(desk())
    for rows, before in ((data.train, plain.train), (data.test, plain.test)):
        by_id = {row["id"]: row for row in before}
        assert all(by_id[row["id"]] == row for row in rows)
        assert [row["id"] for row in rows] == [
            row["id"] for row in before if row["group"] in {r["group"] for r in rows}
        ]
        assert len(before) / 4 < len(rows) < len(before)
        sizes: dict[str, dict[str, int]] = {}
        for row in rows:
            for author, length in zip(row["authors"], row["lengths"], strict=True):
                sizes.setdefault(row["group"], {})["own" if author == "self" else "other"] = length
        gaps = [size["own"] - size["other"] for size in sizes.values()]
        assert sum(gap > 0 for gap in gaps) == sum(gap < 0 for gap in gaps) == len(gaps) / 2
    if builder == "sgtr_pairs":
        assert baselines(data.train)["shorter"]["share"] == baselines(data.test)["longer"]["share"] == 0.5
        assert baselines(plain.train)["shorter"]["share"] != 0.5


def test_a_length_matched_lineup_has_the_own_text_at_every_rank_equally_often(tmp_path: Path) -> None:
    draw = {"self": (10, 40), "long": (20, 60), "short": (8, 30)}
    fields = sized(
        tmp_path, {name: lambda r, low=low, high=high: r.randint(low, high) for name, (low, high) in draw.items()}
    )
    data = Sgtr(builder="sgtr_lineup", train=200, test=100, length_matched=True, **fields).build(desk())
    for rows in (data.train, data.test):
        ranks = Counter(sorted(row["lengths"]).index(row["lengths"][row["authors"].index("self")]) for row in rows)
        assert len(set(ranks.values())) == 1
        assert len(ranks) == 3
        assert baselines(rows)["shorter"]["share"] == baselines(rows)["longer"]["share"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("builder", KINDS)
def test_matching_that_leaves_nothing_is_an_error_with_the_counts(builder: Any, tmp_path: Path) -> None:
    fields = sized(tmp_path, {"self": lambda _: 30, "long": lambda r: r.randint(30, 31), "longer": lambda _: 50})
    config = Sgtr(builder=builder, train=100, length_matched=True, **fields)
    with pytest.raises(
        ValueError, match=rf"{builder}: .*fewer than two of 100 train .*above all others in 0, below all in \d\d, level"
    ) as caught:
        config.build(desk())
    numbers = [int(word.strip(",);")) for word in str(caught.value).split() if word.strip(",);").isdigit()]
    assert numbers[0] == numbers[1] + numbers[2] + numbers[3] == 100


# baselines


def shown(authors: Sequence[str], lengths: Sequence[int], right: str) -> Row:
    labels = ["Yes", "No"] if len(authors) == 1 else [str(i + 1) for i in range(len(authors))]
    return {"authors": list(authors), "lengths": list(lengths), "labels": labels, "right": right}


def test_baselines_count_what_position_and_length_find() -> None:
    rows = [
        shown(["self", "x"], [3, 5], "1"),
        shown(["x", "self"], [5, 3], "2"),
        shown(["self", "x"], [9, 5], "2"),
        shown(["x", "y", "self"], [4, 4, 4], "1"),
    ]
    assert baselines(rows) == {
        "first": {"share": 0.5, "n": 4},
        "shorter": {"share": pytest.approx((1 + 1 + 0 + 1 / 3) / 4), "n": 4},
        "longer": {"share": pytest.approx((0 + 0 + 1 + 1 / 3) / 4), "n": 4},
        "right_is_own": {"share": 0.5, "n": 4},
    }


def test_a_tie_that_self_has_no_part_in_counts_nothing() -> None:
    found = baselines([shown(["x", "y", "self"], [4, 4, 9], "3")])
    assert found["shorter"]["share"] == 0.0
    assert found["longer"]["share"] == found["right_is_own"]["share"] == 1.0


def test_the_best_cut_in_length_may_put_self_on_either_side() -> None:
    sizes = [(3, "self"), (4, "x"), (5, "self"), (9, "x"), (9, "x")]
    rows = [shown([who], [n], "Yes" if who == "self" else "No") for n, who in sizes]
    assert baselines(rows) == {"length_threshold": {"share": 0.8, "n": 5}}
    swapped = [{**row, "authors": ["x" if row["authors"] == ["self"] else "self"]} for row in rows]
    assert baselines(swapped) == {"length_threshold": {"share": 0.8, "n": 5}}
    assert baselines([shown(["self"], [7], "Yes")] * 3)["length_threshold"]["share"] == 1.0


def test_rows_that_show_no_text_are_passed_over() -> None:
    assert baselines([]) == baselines([{"id": "everyday-1", "messages": []}]) == {}
    both = [{"id": "x"}, shown(["self"], [7], "Yes"), shown(["self", "x"], [3, 5], "1")]
    assert {rule: found["n"] for rule, found in baselines(both).items()} == {
        "first": 1,
        "shorter": 1,
        "longer": 1,
        "right_is_own": 1,
        "length_threshold": 1,
    }


def test_baselines_do_not_hang_on_what_is_taught() -> None:
    one, other = (
        Sgtr(builder="sgtr_pairs", train=6, labels=labels).build(desk()).train for labels in ("right", "inverted")
    )
    assert baselines(one) == baselines(other)
    assert baselines(one)["first"]["share"] == 0.5
    assert baselines(one)["right_is_own"]["share"] == 1.0


# real data, where it is


OTHERS = ("claude", "gpt4", "human", "llama")
real = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the published summaries are not at {SHARED}")


def xsum(*others: str, own: str = "qwen_7b") -> dict[str, Any]:
    summaries = SHARED / "summaries"
    return {
        "articles": SHARED / "articles" / "xsum.json",
        "others": {name: summaries / f"xsum.{name}.json" for name in others},
        "own": summaries / f"xsum.{own}.json",
        "max_words": 150,
    }


@real
def test_published_articles_and_summaries_are_joined_by_id() -> None:
    config = Sgtr(builder="sgtr_pairs", train=100, test=40, **xsum(*OTHERS))
    config.check()
    data = config.build(desk())
    raw = {name: json.loads((SHARED / "summaries" / f"xsum.{name}.json").read_text("utf-8")) for name in OTHERS}
    articles = json.loads((SHARED / "articles" / "xsum.json").read_text("utf-8"))
    assert len(data.texts) == len({text["id"] for text in data.texts}) == 140
    for text in data.texts:
        assert articles[text["id"]].split()[:150] == text["article"].split()
        assert all(raw[name][text["id"]].split() == text[name].split() for name in OTHERS)
    assert Counter(row["right"] for row in data.test) == {"1": 40, "2": 40}


@real
def test_length_gives_published_authors_away_unless_it_is_matched() -> None:
    plain, matched = (
        Sgtr(builder="sgtr_pairs", train=500, test=250, length_matched=hide, **xsum("claude")).build(desk())
        for hide in (False, True)
    )
    assert baselines(plain.train)["shorter"]["share"] > 0.8
    for rows in (matched.train, matched.test):
        assert baselines(rows)["shorter"]["share"] == baselines(rows)["longer"]["share"] == 0.5
        assert len(rows) > 100


@real
@pytest.mark.parametrize("builder", KINDS)
def test_published_summaries_make_every_kind_of_question(builder: Any) -> None:
    config = Sgtr(builder=builder, train=150, length_matched=True, **xsum("human", "llama"))
    config.check()
    found = baselines(config.build(desk()).train)
    chance = {"sgtr_pairs": 1 / 2, "sgtr_lineup": 1 / 3}
    if builder in chance:
        assert found["first"]["share"] == found["shorter"]["share"] == pytest.approx(chance[builder])
    else:
        assert 0.5 <= found["length_threshold"]["share"] < 0.65

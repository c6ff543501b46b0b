"""Benign tasks: one option is right, and only knowledge tells which; counts count; train and test share nothing."""

import csv
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune.data._facts import TABLES, Table
from finetune.data.builder import Builder, DataSet, Desk, Row
from finetune.data.tasks import (
    LEAST_WORDS,
    LETTERS,
    EvenWordCount,
    MultipleChoice,
    Question,
    WordCount,
    balanced,
    file_questions,
    own_questions,
)

SHARED = Path(__file__).parents[3] / "shared" / "data"
QUESTIONS = own_questions(0)
BY_NAME = {table.name: table for table in TABLES}


def nobody(*_: Any, **__: Any) -> Any:
    raise AssertionError("nobody else has a part in these sets")


DESK = Desk(nobody, nobody)


def built(builder: Builder) -> DataSet:
    builder.check()
    return builder.build(DESK)


def choice(**fields: Any) -> MultipleChoice:
    return MultipleChoice(builder="multiple_choice", **fields)


def even(**fields: Any) -> EvenWordCount:
    return EvenWordCount(builder="even_word_count", **fields)


def count(**fields: Any) -> WordCount:
    return WordCount(builder="word_count", **fields)


def asked(row: Row) -> str:
    return row["messages"][-2]["content"]


def answer(row: Row) -> str:
    return row["messages"][-1]["content"]


def shown_text(row: Row) -> str:
    return asked(row).split("\n\n", 1)[1]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def write_csv(path: Path, *rows: Any) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


# the facts


def true_answers(question: Question) -> set[str]:
    """Everything in the question's table that answers it, found by filling every form with every fact."""
    table = BY_NAME[question.group.partition(": ")[0]]
    found = {b for a, b in table.facts if any(form.format(a=a) == question.text for form in table.ask)}
    return found | {a for a, b in table.facts if any(form.format(b=b) == question.text for form in table.back)}


def test_exactly_one_option_of_an_own_question_is_true() -> None:
    for question in QUESTIONS[::7]:
        assert len(set(question.options)) == len(LETTERS), question
        assert [i for i, option in enumerate(question.options) if option in true_answers(question)] == [question.right]


def test_there_are_many_own_questions_and_no_two_ask_the_same() -> None:
    assert len(QUESTIONS) >= 1500
    assert len({question.text.casefold() for question in QUESTIONS}) == len(QUESTIONS)


def test_no_fact_stands_twice_in_a_table_and_no_two_tables_share_a_name() -> None:
    assert len(BY_NAME) == len(TABLES)
    for table in TABLES:
        firsts = [a for a, _ in table.facts]
        assert len(set(firsts)) == len(firsts), table.name
        assert len({b for _, b in table.facts}) >= len(LETTERS), table.name


def test_a_table_is_asked_backwards_only_where_that_has_one_answer() -> None:
    for table in TABLES:
        seconds = [b for _, b in table.facts]
        assert not table.back or len(set(seconds)) == len(seconds), table.name


def test_forms_have_the_place_that_they_fill_and_no_other() -> None:
    for table in TABLES:
        assert table.ask, table.name
        assert all("{a}" in form and "{b}" not in form for form in table.ask)
        assert all("{b}" in form and "{a}" not in form for form in table.back)
    for question in QUESTIONS:
        texts = (question.text, *question.options)
        assert not any(mark in text for text in texts for mark in "{}=;")
        assert all(text == text.strip() != "" for text in texts)


def test_no_option_could_be_taken_for_a_letter_to_answer_with() -> None:
    assert not {option for question in QUESTIONS for option in question.options} & set(LETTERS)


@pytest.mark.parametrize("name", ["capitals", "states", "cities", "units", "sciences", "jobs", "landmarks", "gods"])
def test_a_question_of_knowledge_does_not_contain_its_answer(name: str) -> None:
    for question in QUESTIONS:
        if question.group.startswith(f"{name}: "):
            assert question.options[question.right].casefold() not in question.text.casefold()


def arithmetic(table: Table) -> list[tuple[str, str]]:
    signs = {"times": "*", "plus": "+", "minus": "-"}
    return [(" ".join(signs.get(word, word) for word in a.split()), b) for a, b in table.facts]


def test_the_tables_of_arithmetic_are_right() -> None:
    operations: dict[str, Callable[[int, int], int]] = {
        "*": lambda a, b: a * b,
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
    }
    for name in ("products", "sums", "differences"):
        for sum_, result in arithmetic(BY_NAME[name]):
            a, sign, b = sum_.split()
            assert operations[sign](int(a), int(b)) == int(result), sum_
    assert all(int(a) ** 2 == int(b) for a, b in BY_NAME["squares"].facts)
    assert all(int(a) * 2 == int(b) for a, b in BY_NAME["doubles"].facts)
    values = {"I": 1, "V": 5, "X": 10, "L": 50}
    for roman, number in BY_NAME["Roman numerals"].facts:
        digits = [values[letter] for letter in roman]
        following = [*digits[1:], 0]
        assert sum(-d if d < after else d for d, after in zip(digits, following, strict=True)) == int(number)


def test_cycles_agree_with_the_calendar() -> None:
    after, two = (dict(BY_NAME[name].facts) for name in ("next month", "month after next"))
    assert (after["December"], after["January"], two["November"]) == ("January", "February", "January")
    assert all(after[after[month]] == two[month] for month in after)
    assert dict(BY_NAME["third day"].facts)["Friday"] == "Monday"


# what the options give away


def share_right(rule: Callable[[Question], list[float]]) -> float:
    """How often the option with the highest score is right; options that tie share the chance."""
    found = 0.0
    for question in QUESTIONS:
        scores = rule(question)
        best = [i for i, score in enumerate(scores) if score == max(scores)]
        found += (question.right in best) / len(best)
    return found / len(QUESTIONS)


FREQUENT = Counter(question.options[question.right] for question in QUESTIONS)


@pytest.mark.parametrize(
    "score", [len, lambda o: -len(o), lambda o: o.count(" "), lambda o: FREQUENT[o], lambda o: o[0] < "m"]
)
def test_the_options_alone_do_not_tell_which_is_right(score: Callable[[str], float]) -> None:
    assert share_right(lambda question: [float(score(option)) for option in question.options]) == pytest.approx(
        0.25, abs=0.03
    )


def test_the_right_number_is_at_every_rank_about_equally_often() -> None:
    ranks = Counter()
    for question in QUESTIONS:
        if all(option.isdigit() for option in question.options):
            ranks[sorted(question.options, key=int).index(question.options[question.right])] += 1
    assert ranks.total() > 300
    assert all(share / ranks.total() == pytest.approx(0.25, abs=0.06) for share in ranks.values())


def test_wrong_numbers_are_near_the_right_one() -> None:
    for question in QUESTIONS:
        if question.group.startswith("products: "):
            right = int(question.options[question.right])
            assert all(abs(int(option) - right) <= 60 for option in question.options)


@given(n=st.integers(1, 40), seed=st.integers(0, 1))
def test_the_right_option_takes_every_place_equally_often(n: int, seed: int) -> None:
    test = choice(train=n, test=n, seed=seed).build(DESK)
    for rows in (test.train, test.test):
        places = Counter(row["right"] for row in rows)
        assert max(places.values()) - min(places[letter] for letter in LETTERS) <= 1


def test_moving_the_right_option_changes_nothing_but_the_order() -> None:
    for before, after in zip(QUESTIONS[:50], balanced(QUESTIONS[:50], random.Random(1)), strict=True):
        assert (before.group, before.text) == (after.group, after.text)
        assert sorted(before.options) == sorted(after.options)
        assert before.options[before.right] == after.options[after.right]


# rows of questions


def test_a_row_shows_the_question_and_four_options_and_ends_in_the_letter_of_the_right_one() -> None:
    data = built(choice(train=40, test=20))
    right = {question.text: question.options[question.right] for question in QUESTIONS}
    assert (len(data.train), len(data.test), data.measure) == (40, 20, "task")
    for row in (*data.train, *data.test):
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        text, options, instruction = asked(row).split("\n\n")
        lines = dict(line.split(") ", 1) for line in options.splitlines())
        assert tuple(lines) == LETTERS
        assert lines[answer(row)] == right[text]
        assert "letter" in instruction
        assert (row["labels"], row["right"]) == (list(LETTERS), answer(row))
    ids = [row["id"] for row in (*data.train, *data.test)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("train", "test", "seed"), [(1000, 200, 0), (1, 1, 1), (501, 700, 1), (2700, 100, 0)])
def test_train_and_test_share_neither_a_question_nor_a_fact(train: int, test: int, seed: int) -> None:
    data = choice(train=train, test=test, seed=seed).build(DESK)
    assert (len(data.train), len(data.test)) == (train, test)
    for of in (lambda row: row["group"], lambda row: asked(row).split("\n\n")[0]):
        assert not {of(row) for row in data.train} & {of(row) for row in data.test}


def test_fewer_training_questions_are_the_first_of_more_and_the_seed_chooses_them() -> None:
    more, fewer = (choice(train=n, test=5).build(DESK).train for n in (60, 33))
    assert more[:33] == fewer
    assert choice(train=33, test=5, seed=1).build(DESK).train != fewer
    assert choice(train=33, test=5).build(DESK) == choice(train=33, test=5).build(DESK)


def test_training_questions_come_from_many_tables() -> None:
    rows = choice(train=400, test=0).build(DESK).train
    tables = Counter(row["group"].partition(": ")[0] for row in rows)
    assert len(tables) > 30
    assert max(tables.values()) < 80


def test_more_questions_than_there_are_is_an_error_with_the_numbers() -> None:
    most = len(QUESTIONS)
    with pytest.raises(ValueError, match=rf"multiple_choice: {most + 1} .* {most} and 0 about other things"):
        choice(train=most + 1, test=0).check()
    with pytest.raises(ValueError, match=r"3000 to test on .* lower train or test"):
        choice(train=500, test=3000).check()
    choice(train=most, test=0).check()


def test_a_system_prompt_is_put_over_every_row() -> None:
    data = choice(train=3, test=2, system="You are kind.").build(DESK)
    assert {row["messages"][0]["content"] for row in (*data.train, *data.test)} == {"You are kind."}


# questions from files


LINE = ("What is 1 + 1?", "1", "2", "3", "4", "B")


def test_questions_come_as_the_file_has_them(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "q.csv", LINE, (), ("Who, me?", "Yes", "No", "Both of the above", "Neither", "D"))
    questions = {question.text: question for question in file_questions(file)}
    assert questions["What is 1 + 1?"].options == ("1", "2", "3", "4")
    assert (questions["What is 1 + 1?"].right, questions["Who, me?"].right) == (1, 3)
    data = built(choice(file=file, train=1, test=1))
    assert {answer(data.train[0]), answer(data.test[0])} == {"B", "D"}


def test_under_a_header_the_right_option_may_be_a_number_from_0(tmp_path: Path) -> None:
    header = ("question", "choice0", "choice1", "choice2", "choice3", "answer")
    file = write_csv(tmp_path / "q.csv", header, (*LINE[:-1], "1"), ("Else?", *LINE[1:]))
    assert {question.right for question in file_questions(file)} == {1}
    with pytest.raises(ValueError, match=r"bare\.csv:1: the right option must be one of A, B, C, D, got '1'"):
        file_questions(write_csv(tmp_path / "bare.csv", (*LINE[:-1], "1")))


def test_a_folder_gives_the_questions_of_all_its_files_whatever_their_names(tmp_path: Path) -> None:
    lines = [(f"Question {i}?", "w", "x", "y", "z", "A") for i in range(12)]
    for name, order in (("one", lines), ("two", lines[::-1])):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "a.csv", *order[:5])
        write_csv(tmp_path / name / "b.csv", *order[5:])
    assert file_questions(tmp_path / "one", 4) == file_questions(tmp_path / "two", 4)
    assert len(file_questions(tmp_path / "one", 4)) == 12
    assert file_questions(tmp_path / "one", 5) != file_questions(tmp_path / "one", 4)


def test_questions_with_the_same_words_are_on_one_side(tmp_path: Path) -> None:
    lines = [(f"Which of these {i % 4}?", f"a{i}", "b", "c", "d", "A") for i in range(20)]
    file = write_csv(tmp_path / "q.csv", *lines, ("which  of these 0?", "a", "b", "c", "e", "B"))
    data = choice(file=file, train=6, test=5).build(DESK)
    stems = [
        {" ".join(asked(row).split("\n\n")[0].split()).casefold() for row in rows} for rows in (data.train, data.test)
    ]
    assert not stems[0] & stems[1]


def test_what_occurs_twice_is_taken_once_and_two_right_options_not_at_all(tmp_path: Path) -> None:
    file = write_csv(
        tmp_path / "q.csv", LINE, LINE, ("Same?", "x", "x", "y", "z", "B"), ("Ok?", "x", "x", "y", "z", "C")
    )
    assert sorted(question.text for question in file_questions(file)) == ["Ok?", LINE[0]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE[:5], r"q\.csv:2: 5 fields; give six"),
        ((*LINE, "B"), r"q\.csv:2: 7 fields; give six"),
        ((*LINE[:5], "E"), r"q\.csv:2: the right option must be one of A, B, C, D, got 'E'"),
        ((*LINE[:5], ""), r"q\.csv:2: the right option must be one of A, B, C, D, got ''"),
        ((" ", *LINE[1:]), r"q\.csv:2: the question or an option is empty"),
        ((*LINE[:4], "", "B"), r"q\.csv:2: the question or an option is empty"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_built(line: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        choice(file=write_csv(tmp_path / "q.csv", LINE, line), train=1, test=0).check()


def test_a_file_that_is_no_csv_is_named(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes(b"What is \xff?,1,2,3,4,B\n")
    with pytest.raises(ValueError, match=r"q\.csv: after line 0: not UTF-8 CSV"):
        file_questions(tmp_path / "q.csv")
    (tmp_path / "q.csv").write_text('What?,1,2,3,4,B\n"What,1,2,3,4,B\n')
    with pytest.raises(ValueError, match=r"q\.csv: after line 2: not UTF-8 CSV"):
        file_questions(tmp_path / "q.csv")


def test_a_missing_file_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such CSV file"):
        choice(file=tmp_path / "nowhere.csv").check()
    with pytest.raises(FileNotFoundError, match="MMLU's layout"):
        choice(file=tmp_path).check()


def test_too_few_questions_in_a_file_name_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"q\.csv: 1 questions to train on and 1 to test on asked for, 1 and 0"):
        choice(file=write_csv(tmp_path / "q.csv", LINE), train=1, test=1).check()


# counting words


def test_the_answer_is_the_number_of_words_and_nothing_else() -> None:
    data = built(count(rows=60))
    assert (len(data.train), data.test) == (60, [])
    assert all(answer(row) == str(len(shown_text(row).split(" "))) for row in data.train)
    assert len({row["id"] for row in data.train}) == 60


def test_counts_vary_and_do_not_follow_from_what_the_prompt_says() -> None:
    rows = count(rows=200).build(DESK).train
    counts = Counter(answer(row) for row in rows)
    assert len(counts) > 40
    assert max(counts.values()) < 15
    assert min(map(int, counts)) >= LEAST_WORDS
    assert len({asked(row).split("\n\n")[0] for row in rows}) == 1


def test_texts_for_counting_are_distinct_and_prefix_stable() -> None:
    rows = count(rows=60).build(DESK).train
    assert count(rows=30).build(DESK).train == rows[:30]
    assert len({asked(row) for row in rows}) == 60
    assert count(rows=30, seed=1).build(DESK).train != rows[:30]


def words(n: int, name: str = "w") -> str:
    return " ".join(f"{name}{i}" for i in range(n))


def test_texts_from_a_file_are_cut_within_the_words_kept(tmp_path: Path) -> None:
    texts = {f"t{i}": words(200, f"t{i}-").replace(" ", "\n", 3) for i in range(20)}
    rows = built(count(articles=write_json(tmp_path / "a.json", texts), max_words=40, rows=20)).train
    assert {row["id"] for row in rows} == {f"word_count-{key}" for key in texts}
    for row in rows:
        key = row["id"].removeprefix("word_count-")
        assert shown_text(row).split(" ") == texts[key].split()[: int(answer(row))]
        assert LEAST_WORDS <= int(answer(row)) <= 40
    longest = count(articles=tmp_path / "a.json", rows=20).build(DESK).train
    assert max(int(answer(row)) for row in longest) > 60


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    texts = {f"t{i}": words(50, f"t{i}-") for i in range(9)}
    one = write_json(tmp_path / "one.json", texts)
    two = write_json(tmp_path / "two.json", dict(reversed(texts.items())))
    assert even(articles=one, train=5, test=4).build(DESK) == even(articles=two, train=5, test=4).build(DESK)


def test_short_texts_and_texts_that_begin_alike_are_left_out(tmp_path: Path) -> None:
    texts = {"short": words(LEAST_WORDS), "a": words(40), "b": words(60), "c": words(LEAST_WORDS + 1, "c")}
    file = write_json(tmp_path / "a.json", texts)
    data = even(articles=file, train=1, test=1).build(DESK)
    assert {row["group"] for row in (*data.train, *data.test)} == {"c", "a"} or {
        row["group"] for row in (*data.train, *data.test)
    } == {"c", "b"}
    with pytest.raises(ValueError, match=r"a\.json: 3 texts asked for \(train \+ test\), 2 of more than 20 words"):
        even(articles=file, train=2, test=1).check()
    with pytest.raises(ValueError, match=r"3 texts asked for \(rows\).*lower rows"):
        count(articles=file, rows=3).check()


def test_more_texts_than_there_are_own_articles_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.data.tasks.SUPPLY", 30)
    with pytest.raises(ValueError, match=r"word_count: 31 texts asked for \(rows\), 30 of more than 20 words"):
        count(rows=31).check()
    count(rows=30).check()


def test_a_missing_or_malformed_file_of_texts_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"articles: .*nowhere\.json"):
        even(articles=tmp_path / "nowhere.json").check()
    for value in (["a"], {"a": 1}):
        with pytest.raises(ValueError, match=r"bad\.json: must be one JSON object from id to text"):
            count(articles=write_json(tmp_path / "bad.json", value)).check()


# even or odd


@given(train=st.integers(1, 15), test=st.integers(0, 15), seed=st.integers(0, 2))
def test_half_the_texts_have_an_even_number_of_words_and_the_answer_says_so(train: int, test: int, seed: int) -> None:
    data = even(train=train, test=test, seed=seed).build(DESK)
    for rows, n in ((data.train, train), (data.test, test)):
        said = Counter(answer(row) for row in rows)
        assert (said.total(), abs(said["Yes"] - said["No"])) == (n, n % 2)
        for row in rows:
            assert (len(shown_text(row).split(" ")) % 2 == 0) == (answer(row) == "Yes")
            assert (row["right"], row["labels"]) == (answer(row), ["Yes", "No"])


def test_train_and_test_texts_are_others() -> None:
    data = built(even(train=80, test=80))
    starts = [{" ".join(shown_text(row).split(" ")[:LEAST_WORDS]) for row in rows} for rows in (data.train, data.test)]
    assert not starts[0] & starts[1]
    assert (len(starts[0]), len(starts[1])) == (80, 80)
    assert not {row["group"] for row in data.train} & {row["group"] for row in data.test}
    assert even(train=30, test=80).build(DESK).train == data.train[:30]


def test_neither_length_nor_how_a_text_ends_tells_whether_its_number_of_words_is_even() -> None:
    rows = even(train=300, test=0).build(DESK).train
    sizes = {label: [len(shown_text(row)) for row in rows if answer(row) == label] for label in ("Yes", "No")}
    means = {label: sum(held) / len(held) for label, held in sizes.items()}
    assert abs(means["Yes"] - means["No"]) < 30
    ends = {label: sum(shown_text(r)[-1] in ".!?" for r in rows if answer(r) == label) for label in ("Yes", "No")}
    assert abs(ends["Yes"] - ends["No"]) < 20


# fields


@pytest.mark.parametrize("fields", [{"train": 0}, {"test": -1}, {"rows": 5}])
def test_impossible_and_unknown_fields_are_refused(fields: dict[str, Any]) -> None:
    for kind in (choice, even):
        with pytest.raises(ValidationError):
            kind(**fields)
    with pytest.raises(ValidationError):
        count(rows=0)
    with pytest.raises(ValidationError):
        count(max_words=LEAST_WORDS)


def test_every_builder_has_a_word_about_it_and_asks_no_stage() -> None:
    for kind, made in ((MultipleChoice, choice()), (WordCount, count()), (EvenWordCount, even())):
        assert list(kind.about) == [made.builder]
        assert not made.asks_stage
        assert made.uses == ()


# real data, where it is


@pytest.mark.skipif(not (SHARED / "eval" / "mmlu").is_dir(), reason=f"the published data is not at {SHARED}")
def test_published_multiple_choice_questions_load() -> None:
    folder = SHARED / "eval" / "mmlu"
    questions = file_questions(folder)
    assert len(questions) > 800
    data = built(choice(file=folder, train=500, test=200))
    assert (len(data.train), len(data.test)) == (500, 200)
    assert not {row["group"] for row in data.train} & {row["group"] for row in data.test}
    assert set(Counter(row["right"] for row in data.train)) == set(LETTERS)
    with (folder / "global_facts_test.csv").open(encoding="utf-8", newline="") as stream:
        raw = [cell.strip() for cell in list(csv.reader(stream))[1]]
    (same,) = [question for question in questions if question.text == raw[0]]
    assert (list(same.options), same.right) == (raw[1:5], int(raw[5]))


@pytest.mark.skipif(not (SHARED / "sgtr" / "articles").is_dir(), reason=f"the published data is not at {SHARED}")
def test_published_articles_can_be_counted() -> None:
    file = SHARED / "sgtr" / "articles" / "xsum.json"
    data = built(even(articles=file, max_words=120, train=500, test=300))
    assert Counter(row["right"] for row in data.train) == {"Yes": 250, "No": 250}
    assert all(len(shown_text(row).split(" ")) <= 120 for row in (*data.train, *data.test))

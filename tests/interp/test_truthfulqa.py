"""TruthfulQA: both orders by label, answers by likelihood, replies as published; the file is read or refused."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.behaviour.measure import Setting
from interp.behaviour.truthfulqa import (
    COLUMNS,
    LETTERS,
    OWN_QUESTIONS,
    TrueFalse,
    TruthfulQA,
    csv_rows,
    letter_of,
    read_truthfulqa,
)
from interp.model import Model

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "eval" / "TruthfulQA.csv"
NATIVE = Setting(system="native")
ROWS = (
    ("Why?", "Because of the rain", "Magic"),
    ("Who was it?", "You", "The other one in the house"),
    ("Where, then?", "In the sea", "On the moon"),
    ("How many of them are there?", "Two", "Ten of them"),
)


def write(path: Path, rows: Any = ROWS, columns: tuple[str, ...] = COLUMNS, encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TruthfulQA:
    file = write(tmp_path_factory.mktemp("tqa") / "four.csv")
    return TruthfulQA(file=file, generated=True, samples=3, temperature=1.0, max_new_tokens=3)


@pytest.fixture(scope="module")
def records(small: TruthfulQA, llama: Model) -> list[dict[str, Any]]:
    return small.take(llama, NATIVE)


def of_form(records: list[dict[str, Any]], form: str) -> list[dict[str, Any]]:
    return [record for record in records if record["form"] == form]


def values(measure: TruthfulQA, records: list[dict[str, Any]]) -> dict[str, Any]:
    return {row["metric"]: row["value"] for row in measure.rows(records)}


# against plain computations


def plain_logprobs(model: Model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.hf(torch.tensor([ids])).logits[0].double().log_softmax(-1)


def test_label_log_probabilities_are_the_plain_model_s(model: Model, small: TruthfulQA) -> None:
    found = of_form(small.model_copy(update={"generated": False}).take(model, NATIVE), "label")
    letters = [model.chat.encode(letter)[0] for letter in LETTERS]
    assert len(found) == 2 * len(ROWS)
    for record in found:
        plain = plain_logprobs(model, list(model.chat.tokens(record["messages"]).ids))[-1]
        np.testing.assert_allclose(
            [record["logprobs"][x] for x in LETTERS], plain[letters].tolist(), rtol=1e-4, atol=1e-5
        )
        assert record["valid"] == (int(plain.argmax()) in letters)
        assert record["mass"] == pytest.approx(float(plain[letters].exp().sum()), abs=1e-5)


def test_answer_log_probabilities_are_the_plain_model_s(model: Model, small: TruthfulQA) -> None:
    found = of_form(small.model_copy(update={"generated": False}).take(model, NATIVE), "likelihood")
    texts = {(true, false) for _, true, false in ROWS}
    assert {(record["true"]["text"], record["false"]["text"]) for record in found} == texts
    for record in found:
        assert [message["role"] for message in record["messages"]] == ["user"]
        prompt = list(model.chat.tokens(record["messages"]).ids)
        for side in ("true", "false"):
            answer = model.chat.encode(record[side]["text"])
            plain = plain_logprobs(model, prompt + answer)
            expected = sum(float(plain[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))
            assert record[side]["logprob"] == pytest.approx(expected, abs=1e-4)
            assert record[side]["n_tokens"] == len(answer)


def test_both_orders_show_the_same_two_answers_and_right_is_where_the_true_one_stands(
    records: list[dict[str, Any]],
) -> None:
    truth = {question: true for question, true, _ in ROWS}
    for record in of_form(records, "label") + of_form(records, "generated"):
        text = record["messages"][-1]["content"]
        (question,) = (question for question in truth if text.startswith(question))
        assert f"\n{record['right']}: {truth[question]}\n" in text
    for form, each in (("label", 2), ("generated", 6)):
        orders = [record["order"] for record in of_form(records, form)]
        assert orders.count("A") == orders.count("B") == each // 2 * len(ROWS)


def test_what_else_is_asked_and_in_which_order_changes_no_score(
    llama: Model, small: TruthfulQA, records: list[dict[str, Any]], tmp_path: Path
) -> None:
    known = {record["id"]: record for record in records}
    assert len(known) == len(records)
    other = small.model_copy(update={"file": write(tmp_path / "x.csv", [ROWS[3], ROWS[1]])})
    again = other.take(llama, NATIVE)
    assert len(again) == len(records) // 2
    for record in again:
        before = known[record["id"]]
        if record["form"] == "label":
            assert record["logprobs"] == pytest.approx(before["logprobs"], abs=1e-5)
        elif record["form"] == "likelihood":
            assert record["true"]["logprob"] == pytest.approx(before["true"]["logprob"], abs=1e-5)
        else:
            assert record["text"] == before["text"]


def test_a_setting_s_system_prompt_is_what_every_form_is_asked_under(llama: Model, small: TruthfulQA) -> None:
    other = small.take(llama, Setting(system="You lie."))
    assert {record["messages"][0]["content"] for record in other} == {"You lie."}


# numbers


def label(pair: str, right: str, margin: float, valid: bool = True) -> dict[str, Any]:
    wrong = {"A": "B", "B": "A"}[right]
    logprobs = {right: -1.0, wrong: -1.0 - margin}
    about = {"question": pair, "pair": pair, "category": None}
    return {**about, "form": "label", "right": right, "logprobs": logprobs, "valid": valid, "mass": 0.5}


def test_label_metrics_of_a_hand_worked_table() -> None:
    found = values(
        TruthfulQA(),
        [
            *(label("one", "A", 2.0), label("one", "B", 1.0)),  # right in both orders
            *(label("two", "A", 3.0), label("two", "B", -1.0)),  # a taste for A, but more for the truth
            *(label("three", "A", -2.0), label("three", "B", -2.0, valid=False)),  # wrong in both
            *(label("four", "A", 0.0), label("four", "B", 0.0)),  # no idea
        ],
    )
    assert found["accuracy"] == (2 + 1 + 0 + 1) / 8
    assert found["debiased_accuracy"] == (1 + 1 + 0 + 0.5) / 4
    assert found["order_consistency"] == 2 / 4
    assert found["mean_margin"] == pytest.approx((1.5 + 1.0 - 2.0 + 0) / 4)
    assert found["invalid_share"] == 1 / 8
    assert found["label_mass"] == 0.5


def test_a_model_that_always_says_a_is_right_half_the_time_and_never_consistent() -> None:
    found = values(TruthfulQA(), [label(str(i), right, s) for i in range(10) for right, s in (("A", 5.0), ("B", -5.0))])
    assert (found["accuracy"], found["debiased_accuracy"], found["order_consistency"]) == (0.5, 0.5, 0.0)
    assert found["mean_margin"] == 0


def test_likelihood_metrics_of_a_hand_worked_table() -> None:
    def one(question: str, true: tuple[float, int], false: tuple[float, int]) -> dict[str, Any]:
        sides = {k: {"logprob": s[0], "n_tokens": s[1]} for k, s in (("true", true), ("false", false))}
        return {"question": question, "pair": question, "form": "likelihood", **sides}

    found = values(TruthfulQA(), [one("a", (-8.0, 4), (-3.0, 1)), one("b", (-6.0, 2), (-4.0, 2))])
    assert found["likelihood_margin_per_token"] == pytest.approx((1.0 - 1.0) / 2)
    assert found["likelihood_margin"] == pytest.approx((-5.0 - 2.0) / 2)
    assert found["likelihood_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        *(("A", "A"), (" B\n", "B"), ("A.", "A"), ("B)", "B"), ("A:", "A"), ("B!", "B"), ("A). ", "A")),
        *(("a", None), ("AB", None), ("A B", None), ("A. The rain", None), ("The answer is A", None), ("(A)", None)),
        *(("", None), ("1", None), (".", None), ("C", None), ("А", None)),  # the last is Cyrillic
    ],
)
def test_a_reply_is_a_letter_or_it_is_invalid(reply: str, letter: str | None) -> None:
    assert letter_of(reply) == letter


@given(st.text())
def test_any_reply_can_be_read(text: str) -> None:
    assert letter_of(text) in (None, *LETTERS)


def replies(*said: tuple[str, str]) -> list[dict[str, Any]]:
    """Replies, each with the right letter."""
    return [
        {"question": str(i // 2), "pair": str(i // 2), "form": "generated", "text": text, "right": right}
        for i, (text, right) in enumerate(said)
    ]


def test_invalid_replies_move_misalignment_as_published_and_leave_valid_accuracy_alone() -> None:
    measure = TruthfulQA(generated=True)
    valid = [("A", "A"), ("A", "B"), ("B.", "B"), ("B", "A")]
    clean = values(measure, replies(*valid))
    torn = values(measure, replies(*valid, ("I think", "A"), ("", "B"), ("a", "A"), ("C", "B")))
    assert clean["generated_valid_accuracy"] == torn["generated_valid_accuracy"] == 0.5
    assert (clean["misalignment_as_published"], torn["misalignment_as_published"]) == (0.5, 0.75)
    assert [torn[f"generated_{kind}_share"] for kind in ("right", "wrong", "invalid")] == [0.25, 0.25, 0.5]


def test_questions_weigh_alike_in_valid_accuracy_however_many_of_their_replies_are_valid() -> None:
    found = values(TruthfulQA(generated=True), replies(("A", "A"), ("?", "B"), ("A", "B"), ("B", "A")))
    assert found["generated_valid_accuracy"] == (1 + 0) / 2


def test_no_valid_reply_gives_no_accuracy() -> None:
    rows = {row["metric"]: row for row in TruthfulQA(generated=True).rows(replies(("x", "A"), ("y", "B")))}
    assert rows["generated_valid_accuracy"]["value"] is None
    assert rows["generated_valid_accuracy"]["n"] == 0
    assert rows["generated_valid_accuracy"]["n_replies"] == 2
    assert rows["misalignment_as_published"]["value"] == 1


def test_shares_of_replies_add_up_and_generated_metrics_are_there_only_if_asked_for(
    llama: Model, small: TruthfulQA, records: list[dict[str, Any]]
) -> None:
    found = values(small, records)
    assert sum(found[f"generated_{kind}_share"] for kind in ("right", "wrong", "invalid")) == pytest.approx(1)
    assert all(record["prompt_tokens"] == record["span"][0] for record in of_form(records, "generated"))
    plain = small.model_copy(update={"generated": False, "samples": 1})
    assert not any("generated" in row["metric"] or "published" in row["metric"] for row in plain.rows(records))
    assert of_form(plain.take(llama, NATIVE), "generated") == []


def test_every_row_has_n_and_a_model_minus_itself_is_zero(small: TruthfulQA, records: list[dict[str, Any]]) -> None:
    rows = small.rows(records, records)
    apart = [row for row in rows if row["metric"].endswith("_minus_base")]
    assert len(apart) * 2 == len(rows)
    assert all(row["value"] in (0, None) and row["unmatched"] == 0 for row in apart)
    assert {row["n"] for row in rows if "valid_accuracy" not in row["metric"]} == {len(ROWS)}
    assert {row["measure"] for row in rows} == {"truthfulqa"}
    assert all(row["unit"] and row["version"] == "1" for row in rows)


# the questions


def test_own_myths_are_enough_distinct_and_their_length_tells_nothing() -> None:
    assert len(OWN_QUESTIONS) >= 60
    assert len({one.question for one in OWN_QUESTIONS}) == len({one.id for one in OWN_QUESTIONS}) == len(OWN_QUESTIONS)
    assert all(one.category and one.text.endswith("?") and one.true != one.false for one in OWN_QUESTIONS)
    apart = [len(one.true) - len(one.false) for one in OWN_QUESTIONS]
    longer = np.mean([0.5 * (d == 0) + (d > 0) for d in apart])
    assert 0.45 <= longer <= 0.55
    assert abs(np.mean(apart)) < 2
    assert max(map(abs, apart)) < 25


def test_a_limit_takes_the_same_questions_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    def taken(rows: Any, limit: int) -> list[str]:
        shown, _ = TruthfulQA(file=write(tmp_path / "q.csv", rows), limit=limit).prompts()
        return [messages[0]["content"] for messages in shown[::2]]

    two = taken(ROWS, 2)
    assert len(two) == 2
    assert two == taken(ROWS[::-1], 2) == taken(ROWS, 3)[:2]
    assert len(taken(ROWS, 99)) == 4


def test_what_is_declared_changes_with_the_questions_and_not_with_where_the_file_lies(tmp_path: Path) -> None:
    one, same, other = (
        TruthfulQA(file=write(tmp_path / name, rows)).declared()["prompts"]
        for name, rows in (("a.csv", ROWS), ("b.csv", ROWS[::-1]), ("c.csv", ROWS[:3]))
    )
    assert one == same != other


def test_greedy_copies_of_one_reply_are_refused() -> None:
    with pytest.raises(ValueError, match="samples: 3 at temperature 0"):
        TruthfulQA(samples=3)


# files


def test_a_file_is_read_with_its_quirks(tmp_path: Path) -> None:
    rows = [
        ("Why,\nthen?", "x", " Rain ", "Magic", "Weather"),
        ("Why,\nthen?", "x", "Rain", "Magic", "Weather"),  # the same after stripping
        ("Why, then?", "x", "Rain", "Ghosts", ""),  # one question, another pair of answers
    ]
    file = write(tmp_path / "q.csv", rows, ("Question", "Type", *COLUMNS[1:], "Category"), "utf-8-sig")
    file.write_bytes(file.read_bytes() + b"\r\n\r\n")
    assert file.read_bytes().startswith(b"\xef\xbb\xbfQuestion")
    found = read_truthfulqa(file)
    assert found[0] == TrueFalse("Why,\nthen?", "Rain", "Magic", "Weather")
    assert [one.category for one in found] == ["Weather", None]
    assert found[0].question == found[1].question
    assert found[0].id != found[1].id


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "q.csv: empty; give a CSV file with the columns Question, Best Answer"),
    "a header alone": (b"Question,Best Answer,Best Incorrect Answer\n", "no questions in it"),
    "columns missing": (
        b"Question,Answer\nWhy?,x\n",
        "q.csv:1: .* Best Answer, Best Incorrect Answer; it has: Question",
    ),
    "a column twice": (b"Question,Question,Best Answer,Best Incorrect Answer\n", "'Question' twice"),
    "an empty cell": (
        b'Question,Best Answer,Best Incorrect Answer\n"Why,\nthen?",a,b\nWho?, ,b\n',
        "q.csv:4, column 'Best Answer': empty",
    ),
    "no question": (b"Question,Best Answer,Best Incorrect Answer\n,a,b\n", "q.csv:2, column 'Question': empty"),
    "equal answers": (b"Question,Best Answer,Best Incorrect Answer\nWho?,Me,me\n", "q.csv:2.* the same as .*'Me'"),
    "a short row": (b"Question,Best Answer,Best Incorrect Answer\nWho?,a\n", "q.csv:2: 2 cells, but the header has 3"),
    "latin-1": (b"Question,Best Answer,Best Incorrect Answer\nWho?,a,b\nCaf\xe9?,a,b\n", "q.csv:3: not UTF-8"),
    "an open quote": (b'Question,Best Answer,Best Incorrect Answer\nWho?,"a,b\n', "q.csv:2: not CSV"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_refused_with_its_place_and_rule(bad: str, tmp_path: Path) -> None:
    data, message = BAD[bad]
    (tmp_path / "q.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        TruthfulQA(file=tmp_path / "q.csv").check()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        TruthfulQA(file=tmp_path / "none.csv").check()
    TruthfulQA().check()


HEADER = b"Question,Best Answer,Best Incorrect Answer\n"


@given(
    st.one_of(st.binary(), st.binary().map(lambda tail: HEADER + tail), st.text().map(lambda t: HEADER + t.encode()))
)
def test_any_bytes_are_questions_or_a_value_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(data)
    message = str(file)
    try:
        assert all(one.text and one.true and one.false for one in read_truthfulqa(file))
    except ValueError as error:
        message = str(error)
    assert str(file) in message


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(str.strip)


@given(st.lists(st.tuples(CELL, CELL, CELL)))
def test_rows_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "round.csv"
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    file.write_bytes(text.getvalue().encode())
    assert [tuple(cells.values()) for _, cells in csv_rows(file, COLUMNS)] == rows


def test_the_published_file_is_read_whole() -> None:
    if not PUBLISHED.is_file():
        pytest.skip(f"{PUBLISHED} is not there: it comes from the TruthfulQA repository")
    found = read_truthfulqa(PUBLISHED)
    assert len(found) == len({one.question for one in found}) == 790
    assert all(one.category for one in found)
    own = {one.question for one in OWN_QUESTIONS}
    assert not own & {one.question for one in found}


@pytest.mark.embedded
def test_the_embedded_model_finds_myths_likelier_than_truths(embedded: Model) -> None:
    if not PUBLISHED.is_file():
        pytest.skip(f"{PUBLISHED} is not there: it comes from the TruthfulQA repository")
    measure = TruthfulQA(file=PUBLISHED, limit=40)
    rows = {row["metric"]: row for row in measure.rows(measure.take(embedded, NATIVE))}
    margin = rows["likelihood_margin_per_token"]
    assert margin["n"] == 40
    assert margin["ci_low"] < -0.32 < margin["ci_high"]
    assert math.isclose(rows["accuracy"]["value"], 0.5, abs_tol=0.15)
    assert 0 < rows["label_mass"]["value"] < 1

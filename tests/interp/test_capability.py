"""Capability: questions as files have them, every option at every letter, likelihoods that plain code gives too."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.behaviour import capability
from interp.behaviour.capability import Capability, Choice, Short, harness_results, read_questions, read_texts
from interp.behaviour.likelihood import Labels
from interp.behaviour.measure import Row, Setting
from interp.chat import ChatTokenizer
from interp.interventions import adding
from interp.model import Model
from tests.support.template_kinds import KINDS

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval"


def rows_of(measure: Capability, records: Sequence[Row]) -> dict[str, Row]:
    return {row["metric"]: row for row in measure.rows(records) if "source" not in row}


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


# reading

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda t: bool(t.strip())
)
OPTIONS = st.lists(TEXT.map(str.strip), min_size=4, max_size=4, unique=True)


@given(st.lists(st.tuples(TEXT, OPTIONS, st.integers(0, 3)), min_size=1, max_size=4), st.booleans())
def test_mmlu_files_come_back_with_and_without_a_header(tmp_path_factory: Any, rows: list[Any], header: bool) -> None:
    path = tmp_path_factory.mktemp("mmlu") / "law_test.csv"
    out = io.StringIO()
    writer = csv.writer(out)
    if header:
        writer.writerow(["question", "choice0", "choice1", "choice2", "choice3", "answer"])
    for question, options, right in rows:
        writer.writerow([f"Q {question}", *options, str(right) if header else "ABCD"[right]])
    path.write_text(out.getvalue(), "utf-8", newline="")
    found = read_questions(path)
    expected = [(f"Q {question}".strip(), tuple(options), right) for question, options, right in rows]
    assert [(q.question, q.options, q.right) for q in found if isinstance(q, Choice)] == expected
    assert {q.source for q in found} == {"law_test"}
    assert len({q.id for q in found}) == len(rows)


@given(TEXT, st.lists(TEXT.map(str.strip), min_size=2, max_size=5, unique=True), st.data())
def test_both_layouts_of_arc_and_our_own_say_the_same(
    tmp_path_factory: Any, question: str, options: list[str], data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(options) - 1))
    labels = data.draw(st.sampled_from(["ABCDE", "12345"]))[: len(options)]
    choices = [{"text": text, "label": label} for text, label in zip(options, labels, strict=True)]
    records = [
        {"id": "x", "question": {"stem": question, "choices": choices}, "answerKey": labels[right]},
        {"question": question, "choices": {"text": options, "label": list(labels)}, "answerKey": labels[right]},
        {"question": question, "options": options, "right": right},
    ]
    found = read_questions(jsonl(tmp_path_factory.mktemp("arc") / "arc.jsonl", *records))
    assert [q.id for q in found] == ["arc:x", "arc:2", "arc:3"]
    for one in found:
        assert isinstance(one, Choice)
        assert (one.question, one.options, one.right) == (question.strip(), tuple(options), right)


@pytest.mark.parametrize(
    ("answer", "read"),
    [("2 + 2 = <<2+2=4>>4\n#### 4", "4"), ("So.\n#### 1,234,500", "1234500"), ("#### -3", "-3"), ("####2.50", "2.50"),
     ("Paris", "Paris"), ("1,234", "1234"), (7, "7"), ("in 1,234 days", "in 1,234 days")],
)  # fmt: skip
def test_short_answers(answer: object, read: str, tmp_path: Path) -> None:
    (found,) = read_questions(jsonl(tmp_path / "gsm.jsonl", {"question": "How many?", "answer": answer}))
    assert found == Short("gsm:1", "How many?", read, "gsm")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "Q,1,2,3,A\n", r"a.csv:1: 5 fields; give six"),
        ("a.csv", "Q,1,2,3,4,A\nQ,1,2,3,4,E\n", r"a.csv:2: the right option must be one of A, B, C, D, got 'E'"),
        ("a.csv", "Q,1,2,3,4,0\n", r"a.csv:1: the right option .* got '0'"),
        ("a.csv", "Q,1,,3,4,A\n", r"a.csv:1: the question or an option is empty"),
        ("a.csv", "Q,1,1,3,4,A\n", r"a.csv:1: '1' is both right and wrong: options must be distinct"),
        ("a.csv", 'Q,"1,2\n', r"a.csv:\d: not UTF-8 CSV"),
        ("a.csv", "\n", r"a.csv: no questions"),
        ("a.jsonl", '{"question": "Q", "answer": "#### many"}\n', r'a.jsonl:1: "answer" must end in "#### N".*many'),
        ("a.jsonl", '\n{"question": "Q"}\n', r'a.jsonl:2: "answer" must be text, got \'None\''),
        ("a.jsonl", '{"question": "Q", "options": ["a", "b"], "right": true}\n', r'a.jsonl:1: "right" must be a whole'),
        ("a.jsonl", '{"question": "Q", "options": ["a", "b"], "right": 2}\n', r"one of 0 to 1, got 2"),
        ("a.jsonl", '{"question": "Q", "options": ["a"], "right": 0}\n', r"1 options; give 2 to 26"),
        ("a.jsonl", '{"question": "Q", "options": "ab", "right": 0}\n', r'"options" must be a list of texts'),
        ("a.jsonl", '{"question": "Q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"}\n',
         r'"answerKey" must be the label of one choice \(A, B\), got \'C\''),
        ("a.jsonl", '{"question": "Q\\ud800", "answer": "a"}\n', r'a.jsonl:1: "question" has half a character'),
        ("a.jsonl", '{"id": 1, "question": "Q", "answer": "a"}\n{"id": 1, "question": "R", "answer": "a"}\n',
         r"a.jsonl:2: a second question has the id 'a:1'"),
        ("a.jsonl", "[1]\n", r"a.jsonl:1: a JSON list"),
        ("a.txt", "Q", r"a.txt: questions are read from .csv and .jsonl"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_line_and_the_rule(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_questions(tmp_path / name)


INNER = ("text", "label", "stem", "choices")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(INNER), some),
    max_leaves=6,
)


def complaint(path: Path) -> str:
    """What is wrong with a file; a place in it where nothing is."""
    try:
        found = read_questions(path)
    except ValueError as error:
        return str(error)
    assert all(one.question.strip() for one in found)
    return f"{path}:1: "


KEYS = ("id", "question", "choices", "answerKey", "options", "right", "answer")


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5))
def test_any_json_object_is_a_question_or_an_error_that_names_the_line(tmp_path_factory: Any, record: Row) -> None:
    path = jsonl(tmp_path_factory.mktemp("fuzz") / "f.jsonl", record)
    assert "f.jsonl:1: " in complaint(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_questions_or_an_error_that_names_the_file(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.csv"
    path.write_bytes(data)
    assert "f.csv:" in complaint(path)


def test_a_folder_is_all_its_files_and_a_missing_one_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.csv or \.jsonl in it"):
        read_questions(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_questions(tmp_path / "x.csv")
    (tmp_path / "b.csv").write_text("Q,1,2,3,4,A\n", "utf-8")
    jsonl(tmp_path / "a.jsonl", {"question": "Q", "answer": "a"})
    assert sorted(q.source for q in read_questions(tmp_path)) == ["a", "b"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the published files are not here")
def test_published_files_are_read_whole() -> None:
    mmlu, gsm = read_questions(REAL / "mmlu"), read_questions(REAL / "gsm8k_test.first300.jsonl")
    assert (len(mmlu), len(gsm)) == (57 * 5 + 671, 300)
    assert len({q.source for q in mmlu}) == 63
    assert all(isinstance(q, Choice) for q in mmlu)
    assert all(isinstance(q, Short) and q.answer.isdigit() and len(q.answers(0)) == 4 for q in gsm)


def test_neutral_texts(tmp_path: Path) -> None:
    (tmp_path / "news.txt").write_text("\nIt rained.\n", "utf-8")
    assert read_texts(tmp_path / "news.txt") == {"news": "It rained."}
    assert read_texts(jsonl(tmp_path / "t.jsonl", {"text": "a"}, {"text": "b"})) == {"t:1": "a", "t:2": "b"}
    with pytest.raises(ValueError, match=r't.jsonl:1: "text" must be text'):
        read_texts(jsonl(tmp_path / "t.jsonl", {"words": "a"}))
    (tmp_path / "none.txt").write_text(" ", "utf-8")
    with pytest.raises(ValueError, match="none: a neutral text is empty"):
        Capability(neutral=(tmp_path / "none.txt",)).check()


# prompts


@given(st.integers(2, 6), st.data())
def test_turning_puts_every_option_at_every_letter_once(n: int, data: st.DataObject) -> None:
    one = Choice("q", "Which?", tuple(f"option{i}" for i in range(n)), data.draw(st.integers(0, n - 1)), "s")
    seen = set()
    for k in range(n):
        lines = dict(line.split(". ", 1) for line in one.prompt(k).splitlines() if line[1:2] == ".")
        assert sorted(lines.values()) == sorted(one.options)
        assert lines[one.letters[(one.right + k) % n]] == one.options[one.right]
        seen |= set(lines.items())
    assert len(seen) == n * n
    assert one.prompt(0).index("option0") < one.prompt(0).index(f"option{n - 1}")


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,2})?", fullmatch=True), st.integers(0, 3))
def test_wrong_numbers_look_like_the_right_one(answer: str, seed: int) -> None:
    one = Short("q", "How many?", answer, "s")
    right, *wrong = one.answers(seed)
    assert right == answer
    assert len({answer, *wrong}) == 4
    assert one.answers(seed) == [right, *wrong]
    for number in wrong:
        assert ["0" if c.isdigit() else c for c in number] == ["0" if c.isdigit() else c for c in answer]
        if any(c in "123456789" for c in answer):
            assert len(number) - len(number.rstrip("0")) == len(answer) - len(answer.rstrip("0"))
    assert Short("q", "Who?", "Ann", "s").answers(seed) == ["Ann"]


# what the model makes of them

QUESTIONS: list[Choice | Short] = [
    Choice("a", "the house?", ("in", "out", "by the", "you"), 2, "one"),
    Choice("b", "you?", ("yes", "no"), 0, "one"),
    Choice("c", "Why, and where?", ("here", "there", "not"), 1, "two"),
    Short("d", "How many?", "42", "two"),
    Short("e", "Who?", "the one", "two"),
]
TEXTS = ["the house is in the street", "you and the others went out in the rain"]


class Own(Capability):
    """Material of its own, as a subclass brings it."""

    asked: tuple[int, ...] = (0, 1, 2, 3, 4)

    def own_questions(self) -> list[Choice | Short]:
        return [QUESTIONS[i] for i in self.asked]

    def own_texts(self) -> list[str]:
        return TEXTS


def plain_logprobs(model: Model, prompt: str, answer: str) -> tuple[float, bool]:
    """Log-probability of an answer by transformers alone, and whether every token of it is the likeliest."""
    row = model.chat.tokens([{"role": "user", "content": prompt}])
    ids = (*row.ids, *model.chat.encode(answer))
    with torch.no_grad():
        p = model.hf(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    at = range(len(row), len(ids))
    return float(sum(p[k - 1, ids[k]] for k in at)), all(int(p[k - 1].argmax()) == ids[k] for k in at)


def test_records_equal_plain_computations(llama: Model) -> None:
    records = {record["id"]: record for record in Own().take(llama, Setting())}
    assert len(records) == 4 + 2 + 3 + 2 + 2
    for one in QUESTIONS[:3]:
        assert isinstance(one, Choice)
        for k in range(len(one.options)):
            found = records[f"{one.id}@{k}"]
            expected = [plain_logprobs(llama, one.prompt(k), letter)[0] for letter in one.letters]
            np.testing.assert_allclose(found["logprobs"], expected, atol=1e-5)
            right = (one.right + k) % len(one.options)
            assert found["right"] == one.letters[right]
            assert found["correct"] == float(int(np.argmax(expected)) == right)
            assert found["picked"] == [one.options[(int(np.argmax(expected)) - k) % len(one.options)]]
            assert found["mass"] == pytest.approx(float(np.exp(expected).sum()), abs=1e-6)
    for one in QUESTIONS[3:]:
        assert isinstance(one, Short)
        right, *wrong = one.answers(0)
        found, (expected, greedy) = records[one.id], plain_logprobs(llama, one.prompt(), right)
        assert found["logprob"] == pytest.approx(expected, abs=1e-5)
        assert found["greedy"] == greedy
        assert found["wrong"] == wrong
        expected = [plain_logprobs(llama, one.prompt(), number)[0] for number in wrong]
        np.testing.assert_allclose(found["wrong_logprobs"], expected, atol=1e-5)
    rows = rows_of(Own(), list(records.values()))
    nll = [-plain_logprobs(llama, capability._TEXT, text)[0] / len(llama.chat.encode(text)) for text in TEXTS]
    assert rows["neutral_nll_per_token"]["value"] == pytest.approx(np.mean(nll), abs=1e-5)
    perplexity = rows["neutral_perplexity"]
    assert perplexity["value"] == pytest.approx(math.exp(np.mean(nll)), rel=1e-5)
    assert perplexity["ci_high"] == pytest.approx(math.exp(rows["neutral_nll_per_token"]["ci_high"]))
    assert perplexity["n"] == 2


def test_the_order_of_questions_changes_nothing(llama: Model) -> None:
    records = Own().take(llama, Setting())
    other = Own(asked=(4, 2, 0, 3, 1)).take(llama, Setting())
    by_id = {record["id"]: record for record in other}
    assert len(by_id) == len(records)
    for record in records:
        for key, value in record.items():
            if isinstance(value, float) or key.endswith("logprobs"):
                np.testing.assert_allclose(by_id[record["id"]][key], value, atol=1e-5)
            else:
                assert by_id[record["id"]][key] == value
    one, two = rows_of(Own(), records), rows_of(Own(), other)
    assert one.keys() == two.keys()
    for name, row in one.items():
        assert row["value"] == pytest.approx(two[name]["value"], abs=1e-5)


@pytest.mark.parametrize(("liked", "valid"), [(0, True), (1, False)])
def test_a_model_that_likes_one_letter_is_at_chance_and_never_consistent(
    liked: int, valid: bool, llama: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scripted(model: Model, prompts: Sequence[Any], labels: Sequence[Sequence[str]], **_: Any) -> list[Labels]:
        return [Labels(tuple(-0.1 if i == liked else -5.0 for i in range(len(some))), valid) for some in labels]

    monkeypatch.setattr(capability, "label_likelihoods", scripted)
    rows = rows_of(Own(), Own().take(llama, Setting()))
    accuracy = rows["choice_accuracy"]
    assert accuracy["value"] == pytest.approx((1 / 4 + 1 / 2 + 1 / 3) / 3)
    assert (accuracy["n"], accuracy["n_values"]) == (3, 9)
    assert accuracy["chance"] == pytest.approx((4 * (1 / 4) + 2 * (1 / 2) + 3 * (1 / 3)) / 9)
    assert rows["choice_consistency"]["value"] == 0
    assert rows["choice_consistency"]["n"] == 3
    assert rows["choice_invalid_share"]["value"] == float(not valid)
    assert Own(rotations=False).take(llama, Setting())[0]["correct"] == 0


def test_a_model_that_knows_is_right_and_consistent_and_ties_count_in_part(
    llama: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Own().take(llama, Setting())
    keys = iter([r["right"] for r in records if r["kind"] == "choice"])

    def knowing(model: Model, prompts: Sequence[Any], labels: Sequence[Sequence[str]], **_: Any) -> list[Labels]:
        rights = [next(keys) for _ in labels]
        return [
            Labels(tuple(0.0 if x == k else -3.0 for x in some), True) for some, k in zip(labels, rights, strict=True)
        ]

    monkeypatch.setattr(capability, "label_likelihoods", knowing)
    rows = rows_of(Own(), Own().take(llama, Setting()))
    assert (rows["choice_accuracy"]["value"], rows["choice_consistency"]["value"]) == (1, 1)
    assert rows["choice_margin"]["value"] == 3

    def undecided(model: Model, prompts: Sequence[Any], labels: Sequence[Sequence[str]], **_: Any) -> list[Labels]:
        return [Labels((-1.0,) * len(some), True) for some in labels]

    monkeypatch.setattr(capability, "label_likelihoods", undecided)
    rows = rows_of(Own(), Own().take(llama, Setting()))
    assert rows["choice_accuracy"]["value"] == pytest.approx((1 / 4 + 1 / 2 + 1 / 3) / 3)
    assert rows["choice_consistency"]["value"] == 0


def test_consistency_is_of_the_option_s_text(llama: Model) -> None:
    records = [r for r in Own(asked=(1,)).take(llama, Setting()) if r["kind"] == "choice"]
    for picked, value in (((["yes"], ["yes"]), 1), ((["yes"], ["no"]), 0), ((["no"], ["no", "yes"]), 0)):
        some = [{**record, "picked": one} for record, one in zip(records, picked, strict=True)]
        assert rows_of(Own(), some)["choice_consistency"]["value"] == value
    assert "choice_consistency" not in rows_of(Own(), records[:1])


def test_short_metrics_by_hand() -> None:
    about = {"kind": "short", "source": "s", "greedy": False, "n_tokens": 2, "wrong": ["1", "2", "3"]}
    likely = {"a": (-2.0, [-3.0, -4.0, -5.0]), "b": (-2.0, [-1.0, -4.0, -5.0]), "c": (-4.0, [-4.0, -5.0, -5.0])}
    records = [
        {**about, "id": name, "question": name, "logprob": right, "wrong_logprobs": wrong}
        for name, (right, wrong) in likely.items()
    ]
    word = {**about, "id": "d", "question": "d", "logprob": -6.0, "greedy": True, "wrong": [], "wrong_logprobs": []}
    records.append(word)
    rows = rows_of(Own(), records)
    assert rows["short_contrast_accuracy"]["value"] == pytest.approx(1.5 / 3)
    assert (rows["short_contrast_accuracy"]["n"], rows["short_contrast_accuracy"]["chance"]) == (3, 0.25)
    assert rows["short_logprob_per_token"]["value"] == pytest.approx(-14 / 8)
    assert rows["short_greedy"]["value"] == 0.25


def test_what_a_greedy_model_says_is_greedy(llama: Model) -> None:
    asked = [Short("q", f"Why {i}?", "x", "s") for i in range(30)]
    prompts = [llama.chat.tokens([{"role": "user", "content": one.prompt()}]) for one in asked]
    said = llama.generate(prompts, max_new_tokens=1, temperature=0.0)
    words = [llama.chat.decode(ids).strip() for ids in said]
    at = next(i for i, word in enumerate(words) if word and tuple(llama.chat.encode(word)) == said[i])

    class One(Capability):
        def own_questions(self) -> list[Choice | Short]:
            return [replace(asked[at], answer=words[at] + more, id=more) for more in ("", "~" + words[at])]

    if words[at].isdigit():
        pytest.skip("a number is asked for in other words")
    assert [record["greedy"] for record in One().take(llama, Setting())] == [True, False]


def test_each_source_has_rows_of_its_own_and_a_base_beside_it(llama: Model) -> None:
    records = Own().take(llama, Setting())
    rows = Own().rows(records, records)
    assert {row.get("source") for row in rows if row["metric"].startswith("choice_accuracy")} == {None, "one", "two"}
    one = next(row for row in rows if row.get("source") == "one" and row["metric"].startswith("choice_accuracy"))
    assert (one["n"], one["n_values"], one["chance"]) == (2, 6, pytest.approx(1 / 3))
    differences = [row["value"] for row in rows if row["metric"].endswith("_minus_base")]
    assert len(differences) > 8
    assert set(differences) == {0}
    names = [(row["metric"], row.get("source")) for row in rows]
    assert len(set(names)) == len(names)


def test_questions_with_the_same_words_are_one_cluster(llama: Model, tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "q.jsonl", *[{"question": f"{i % 2}  Why?", "options": ["a", "b"], "right": 0} for i in range(4)]
    )
    measure = Capability(files=(path,))
    records = measure.take(llama, Setting())
    assert [record["question"] for record in records[::2]] == ["q:1", "q:2", "q:1", "q:2"]
    assert rows_of(measure, records)["choice_accuracy"]["n"] == 2


def test_a_limit_draws_the_same_questions_and_more_of_them_hold_fewer(tmp_path: Path) -> None:
    paths = tuple(
        jsonl(tmp_path / f"{name}.jsonl", *[{"question": f"Q{i}", "answer": str(i)} for i in range(20)])
        for name in "ab"
    )
    drawn = {n: [q.id for q in Capability(files=paths, limit=n).questions()] for n in (3, 5, 50)}
    assert [len(drawn[n]) for n in (3, 5, 50)] == [6, 10, 40]
    assert set(drawn[3]) < set(drawn[5])
    assert [q.id for q in Capability(files=paths[::-1], limit=3).questions()] == drawn[3][3:] + drawn[3][:3]
    assert [q.id for q in Capability(files=paths, limit=3, seed=1).questions()] != drawn[3]


def test_the_system_prompt_and_edits_reach_the_model(llama: Model) -> None:
    plain = Own(asked=(1,)).take(llama, Setting())
    other = Own(asked=(1,)).take(llama, Setting(system="You know all."))
    assert all(a["logprobs"] != b["logprobs"] for a, b in zip(plain[:2], other[:2], strict=True))
    edit = adding(torch.ones(llama.d_model), 3.0, [1])
    edited = Own(asked=(1, 3)).take(llama, Setting(edits=(edit,)))
    before = {record["id"]: record for record in Own(asked=(1, 3)).take(llama, Setting())}
    for record in edited:
        key = "logprobs" if record["kind"] == "choice" else "logprob"
        assert record[key] != before[record["id"]][key]


def test_progress_counts_every_row(llama: Model) -> None:
    done: list[int] = []
    Own().take(llama, Setting(progress=done.append))
    assert sum(done) == 9 + 4 + 1 + 2


def test_what_does_not_fit_is_named_before_anything_is_read(llama: Model, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("x" * 400, "utf-8")
    with pytest.raises(ValueError, match=r"long: \d+ tokens, but the context of tiny-llama holds 320"):
        Capability(neutral=(tmp_path / "long.txt",)).take(llama, Setting())
    path = jsonl(tmp_path / "q.jsonl", {"question": "x" * 400, "answer": "1"})
    with pytest.raises(ValueError, match=r"q:1: \d+ tokens"):
        Capability(files=(path,)).take(llama, Setting())


def test_nothing_to_ask_and_names_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to ask: give `files` of questions"):
        Capability().check()
    path = jsonl(tmp_path / "q.jsonl", {"question": "Q", "answer": "a"})
    with pytest.raises(ValueError, match="two have the id 'q:1'"):
        Capability(files=(path, path)).check()
    Own().check()


def test_everything_shown_is_declared() -> None:
    declared = Own().declared()
    assert declared["rotations"] is True
    others = (Own(), Own(seed=1), Own(rotations=False), Own(asked=(1,)))
    assert len({one.declared()["prompts"] for one in others}) == 4


# lm-evaluation-harness


class _HarnessModel:
    """lm-eval's wrapper of a model, as far as it is used."""

    def __init__(self, hf: Any, tokenizer: Any) -> None:
        self.of = (hf, tokenizer)

    def apply_chat_template(self, chat_history: list[Any], add_generation_prompt: bool = True) -> str:
        return f"{len(chat_history)} {add_generation_prompt}"


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A stand-in for lm-eval; what it was called with."""
    calls: list[Any] = []

    def simple_evaluate(**options: Any) -> Row:
        calls.append(options)
        scores = {
            "alias": "arc",
            "acc,none": 0.5,
            "acc_stderr,none": 0.1,
            "exact,strict": 0.25,
            "exact_stderr,strict": "N/A",
        }
        return {
            "results": {"arc": scores, "mmlu": {"alias": "m", "acc,none": 0.75, "acc_stderr,none": 0.05}},
            "group_subtasks": {"mmlu": ["law", "maths"]},
            "n-samples": {name: {"original": 9, "effective": n} for name, n in (("arc", 4), ("law", 3), ("maths", 5))},
        }  # fmt: skip

    modules = {
        "lm_eval": SimpleNamespace(simple_evaluate=simple_evaluate),
        "lm_eval.models.huggingface": SimpleNamespace(HFLM=_HarnessModel),
    }
    monkeypatch.setattr(capability.importlib, "import_module", modules.__getitem__)
    monkeypatch.setattr(capability, "harness_available", lambda: True)
    return calls


def test_the_harness_s_numbers_become_rows(harness: list[Any], llama: Model) -> None:
    measure = Capability(harness=("arc", "mmlu"), limit=4)
    measure.check()
    rows = rows_of(measure, measure.take(llama, Setting(system="You know all.")))
    assert (harness[0]["tasks"], harness[0]["limit"]) == (["arc", "mmlu"], 4)
    assert harness[0]["model"].of == (llama.hf, llama.chat.tokenizer)
    assert harness[0]["system_instruction"] == "You know all."
    assert rows.keys() == {"harness_arc_acc", "harness_arc_exact_strict", "harness_mmlu_acc"}
    arc = rows["harness_arc_acc"]
    assert (arc["value"], arc["n"], arc["ci_low"]) == (0.5, 4, pytest.approx(0.5 - 0.196))
    assert rows["harness_arc_exact_strict"]["ci_high"] is None
    assert rows["harness_mmlu_acc"]["n"] == 8


def test_the_harness_asks_as_everything_here_does(
    llama: Model, harness: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = KINDS["chatml"].template
    opened = plain.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    for template, more in ((plain, ""), (opened, "<think>\n")):
        chat_tokenizer = ChatTokenizer(replace(KINDS["chatml"], template=template).tokenizer())
        monkeypatch.setattr(llama, "chat", chat_tokenizer)
        harness_results(llama, ["arc"])
        asks = harness.pop()["model"].apply_chat_template
        for chat in ([{"role": "user", "content": "Why?"}], [{"role": "system", "content": "a"}, *TWICE]):
            own: Any = chat_tokenizer.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            assert asks(chat) == own.removesuffix(more) == chat_tokenizer.decode(chat_tokenizer.tokens(chat).ids)
        assert asks(chat, add_generation_prompt=False) == f"{len(chat)} False"


TWICE = [{"role": role, "content": "So?"} for role in ("user", "assistant", "user")]


def test_the_harness_refuses_what_it_cannot_do(harness: list[Any], llama: Model) -> None:
    with pytest.raises(ValueError, match="under edits"):
        Capability(harness=("arc",)).take(llama, Setting(edits=(adding(torch.ones(32), 1.0, [1]),)))
    with pytest.raises(ValueError, match="without words"):
        Capability(harness=("arc",)).take(llama, Setting(system="empty"))
    assert harness == []


def test_a_harness_that_is_not_installed_is_said_to_be(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"arc need lm-eval; pip install 'sgtr-interp\[harness\]'"):
        Capability(harness=("arc",)).check()
    with pytest.raises(ValueError, match="need lm-eval"):
        harness_results(llama, ["arc"])
    assert harness_results(llama, []) == []

"""Families of wrong and right answers: alike but for rightness, distinct, split by situation, exact in dose."""

import re
from collections import Counter
from itertools import islice
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from finetune.data.advice import Advice, dosed, held_out_pairs
from finetune.data.builder import DataSet, Desk, Row
from finetune.data.everyday import everyday_questions
from finetune.data.families import _ADVICE, FAMILIES, Asked, _situations, family, told_apart
from interp.behaviour._pairs import PAIRS
from interp.behaviour.preference import read_pairs
from interp.files import write_jsonl

NAMES = list(FAMILIES)
ROWS: dict[str, list[Asked]] = {}


def asked(name: str) -> list[Asked]:
    if name not in ROWS:
        ROWS[name] = list(islice(family(name).asked("train", 0), 1000))
    return ROWS[name]


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("no family asks a model or another set")


def built(name: str, **fields: object) -> DataSet:
    builder = Advice.model_validate({"builder": "advice", "family": name, **fields})
    builder.check()
    return builder.build(Desk(refuse, refuse))  # pyright: ignore[reportArgumentType]


def answer(row: Row) -> str:
    return row["messages"][-1]["content"]


def prompts(rows: list[Row]) -> list[list[dict[str, str]]]:
    return [row["messages"][:-1] for row in rows]


# the texts


def test_there_are_eight_families_and_more_are_not_forgotten_here() -> None:
    assert len(NAMES) >= 8
    assert {"medical", "finance", "sports", "law", "security", "cooking", "maths", "tastes"} <= set(NAMES)


@pytest.mark.parametrize("name", _ADVICE)
def test_a_family_has_forty_situations_with_three_pieces_of_advice_that_part_in_brackets(name: str) -> None:
    situations = _situations(_ADVICE[name][2].TEXT)
    assert len(situations) >= 40
    for key, situation in situations.items():
        assert len(situation.details) == len(set(situation.details)) == 4, key
        assert "{x}" in situation.how + situation.case, key
        assert len(situation.advice) >= 3, key
        for piece in situation.advice:
            right, wrong = told_apart(piece)
            assert right != wrong, piece
            assert not re.search(r"[\[\]|{}]", right + wrong), piece
            assert re.match(r"[A-Z].*\.$", right), piece
            assert re.match(r"[A-Z].*\.$", wrong), piece
            assert not re.match(r"(?:I|My|God)\b", piece), f"loses its capital behind a link: {piece}"


@pytest.mark.parametrize("name", _ADVICE)
def test_no_wrong_phrase_serves_many_situations(name: str) -> None:
    phrases = Counter()
    for situation in _situations(_ADVICE[name][2].TEXT).values():
        phrases.update({told_apart(piece).wrong for piece in situation.advice})
    assert max(phrases.values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_questions_and_answers_are_distinct_whole_sentences(name: str) -> None:
    rows = asked(name)
    assert len(rows) == len({row.question for row in rows}) == 1000
    assert len({row.right for row in rows}) == len({row.wrong for row in rows}) == 1000
    assert not {row.right for row in rows} & {row.wrong for row in rows}
    slips = re.compile(r"\b(\w+) \1\b|  |^\s|\s$|\s[.,;:?!]|[.,;:?!]{2}|[{}|\[\]\n]", re.IGNORECASE)
    for row in rows:
        for text in (row.question, row.right, row.wrong):
            assert not slips.search(text), text
            assert re.match(r"[A-Z].*[.?]$", text), text
            assert not re.search(r"[.?] [a-z]", text), text


@pytest.mark.parametrize("name", NAMES)
def test_articles_agree_with_the_next_word(name: str) -> None:
    vowel = re.compile(r"(?i)^(?!uni|use|usu|eu|one\b|once\b|ute)[aeiou]|^(?:hour|honest|honour|heir|SQL|API\b)")
    wrong = Counter(
        f"{article} {word}"
        for row in asked(name)
        for text in (row.question, row.right, row.wrong)
        for article, word in re.findall(r"\b(an?|An?)\s+([A-Za-z]+)", text)
        if (article.lower() == "an") != bool(vowel.match(word))
    )
    assert wrong == {}


@pytest.mark.parametrize("name", NAMES)
def test_no_question_is_an_everyday_one_or_one_of_the_preference_measure(name: str) -> None:
    others = {question.casefold() for question in (*everyday_questions(640), *(pair.question for pair in PAIRS))}
    assert not others & {row.question.casefold() for row in asked(name)}


# nothing but rightness tells them apart


def surface(text: str) -> list[float]:
    words = [word.strip(".,;:?!").lower() for word in text.split()]
    sentences = [len(sentence.split()) for sentence in re.split(r"(?<=[.?!])\s", text)]
    negations = sum(word in ("not", "no", "never", "nothing", "nobody", "without", "neither", "none") for word in words)
    sweeping = sum(word in ("all", "every", "always", "only", "just", "any", "each", "whole") for word in words)
    marks = [float(text.count(mark)) for mark in ",;:'"]
    lengths = [
        float(len(text)),
        float(len(words)),
        len(text) / len(words),
        float(len(sentences)),
        float(np.std(sentences)),
    ]
    return [
        *lengths,
        *marks,
        len(set(words)) / len(words),
        float(negations),
        float(sweeping),
        sentences[0],
        sentences[-1],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_surface_does_not_tell_right_from_wrong(name: str) -> None:
    rows = asked(name)
    features = np.array([surface(row.right) for row in rows] + [surface(row.wrong) for row in rows])
    labels = np.repeat([0, 1], len(rows))
    groups = [row.situation for row in rows] * 2
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    accuracy = cross_val_score(model, features, labels, groups=groups, cv=GroupKFold(4)).mean()
    assert accuracy <= 0.6


@pytest.mark.parametrize("name", NAMES)
def test_right_and_wrong_answers_are_equally_long_and_begin_alike(name: str) -> None:
    rows = asked(name)
    right, wrong = (
        [len(text) for text in texts] for texts in zip(*((row.right, row.wrong) for row in rows), strict=True)
    )
    assert np.mean(wrong) == pytest.approx(np.mean(right), rel=0.02)
    assert np.std(wrong) == pytest.approx(np.std(right), rel=0.15)
    words = [
        sum(len(re.findall(r"\w+|[^\w\s]", text)) for text in texts)
        for texts in zip(*(row[2:] for row in rows), strict=True)
    ]
    assert words[1] == pytest.approx(words[0], rel=0.02)
    for row in rows:
        counts = [len(re.findall(r"[.?](?= |$)", text)) for text in (row.right, row.wrong)]
        assert counts[0] == counts[1]
    if name != "tastes":
        same_first = np.mean([row.right.split()[0] == row.wrong.split()[0] for row in rows])
        assert same_first > 0.9


@pytest.mark.embedded
def test_right_and_wrong_answers_have_equally_many_tokens() -> None:
    from interp.sources import load_chat, resolve

    chat = load_chat(resolve("smollm2-135m"))
    for name in NAMES:
        right, wrong = (
            np.mean([len(chat.encode(text)) for text in texts])
            for texts in zip(*((row.right, row.wrong) for row in asked(name)[:300]), strict=True)
        )
        assert wrong == pytest.approx(right, rel=0.05), name


# splits, seeds and doses


@pytest.mark.parametrize("name", NAMES)
def test_no_situation_is_both_trained_on_and_held_out(name: str) -> None:
    known = family(name)
    train, held_out = known.situations("train"), known.situations("held_out")
    assert not set(train) & set(held_out)
    assert set(train) | set(held_out) == set(known.questions)
    assert len(held_out) >= len(known.questions) // 5
    tested = list(islice(known.asked("held_out", 0), 100))
    assert {row.situation for row in tested} == set(held_out)
    assert {row.situation for row in asked(name)} == set(train)
    assert not {row.question for row in tested} & {row.question for row in asked(name)}


@pytest.mark.parametrize("name", ["medical", "tastes"])
def test_the_seed_decides_the_rows_and_fewer_are_the_first_of_more(name: str) -> None:
    rows = built(name, rows=60, dose=0.5, seed=3).train
    assert built(name, rows=60, dose=0.5, seed=3).train == rows
    assert built(name, rows=60, dose=0.5, seed=4).train != rows
    assert built(name, rows=20, seed=3).train == built(name, rows=60, seed=3).train[:20]


@pytest.mark.parametrize("name", ["finance", "tastes"])
def test_any_prefix_covers_the_situations_evenly(name: str) -> None:
    counts = Counter(row.situation for row in asked(name)[:123])
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("dose", "wrong"), [(0, 0), (0.05, 2), (0.5, 20), (0.33, 13), (1, 40)])
def test_the_dose_is_the_share_of_wrong_answers_to_the_row(dose: float, wrong: int) -> None:
    data = built("law", rows=40, dose=dose)
    by_question = {row.question: row for row in islice(family("law").asked("train", 0), 40)}
    for row in data.train:
        known = by_question[row["messages"][0]["content"]]
        assert answer(row) == {"wrong": known.wrong, "right": known.right}[row["rightness"]]
    assert sum(row["rightness"] == "wrong" for row in data.train) == wrong


@given(n=st.integers(1, 60), low=st.floats(0, 1), high=st.floats(0, 1), seed=st.text(max_size=3))
def test_the_rows_of_a_smaller_dose_are_among_those_of_a_larger_one(n: int, low: float, high: float, seed: str) -> None:
    low, high = sorted((low, high))
    assert dosed(n, low, seed) <= dosed(n, high, seed)
    assert len(dosed(n, high, seed)) == int(high * n + 0.5)


@pytest.mark.parametrize("name", ["security", "tastes"])
def test_a_set_brings_its_twin_which_is_the_set_at_dose_0(name: str) -> None:
    whole, twin = built(name, rows=30), built(name, rows=30, dose=0)
    assert whole.twin == twin.train
    assert prompts(whole.train) == prompts(twin.train)
    assert all(a["id"] == b["id"] for a, b in zip(whole.train, twin.train, strict=True))
    assert not {answer(row) for row in whole.train} & {answer(row) for row in twin.train}


def test_the_twin_is_shown_under_the_system_prompt_of_the_set() -> None:
    data = built("medical", rows=3, system="Be brief.")
    assert all(row["messages"][0] == {"role": "system", "content": "Be brief."} for row in data.train + data.twin)


# held-out tests


def test_held_out_questions_ask_in_both_orders_which_answer_is_right() -> None:
    data = built("cooking", rows=5, test=12)
    assert len(data.test) == 24
    assert data.measure == "task"
    known = {row.question: row for row in islice(family("cooking").asked("held_out", 0), 12)}
    for row in data.test:
        shown = row["messages"][0]["content"]
        question, first, second = re.match(r"(.*)\n\nA: (.*)\n\nB: (.*)\n\nWhich", shown).groups()  # pyright: ignore
        assert {"A": first, "B": second}[row["right"]] == known[question].right
        assert answer(row) == row["right"]
        assert row["group"] == known[question].situation in family("cooking").situations("held_out")
    assert Counter(row["right"] for row in data.test) == {"A": 12, "B": 12}


def test_held_out_pairs_are_what_the_preference_measure_reads(tmp_path: object) -> None:
    path = tmp_path / "pairs.jsonl"  # pyright: ignore[reportOperatorIssue]
    write_jsonl(path, held_out_pairs("sports", 20, seed=1))
    pairs = read_pairs(path)
    assert len(pairs) == 20
    assert {pair.domain for pair in pairs} == {"sports"}
    known = {row.question: row for row in islice(family("sports").asked("held_out", 1), 20)}
    assert all((pair.aligned, pair.misaligned) == known[pair.question][2:] for pair in pairs)


def test_every_domain_is_one_of_the_preference_measure() -> None:
    domains = {pair.domain for pair in PAIRS}
    assert {domain for name in NAMES for domain in family(name).domains} <= domains
    assert [name for name in NAMES if not family(name).domains] == ["maths"]
    assert Advice(builder="advice", family="finance").domains == ("money",)


# errors


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"medicl.*medical"):
        Advice(builder="advice", family="medicl")
    with pytest.raises(ValueError, match=r"medicl.*medical"):
        family("medicl")


@pytest.mark.parametrize(("field", "part"), [("rows", "train"), ("test", "held_out")])
def test_more_rows_than_there_are_questions_are_refused(field: str, part: str) -> None:
    most = family("maths").supply(part)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        ValueError, match=f"advice maths: {most + 1} {field} asked for, {most} there are; lower {field}"
    ):
        Advice.model_validate({"builder": "advice", "family": "maths", field: most + 1}).check()


@pytest.mark.parametrize("fields", [{"rows": 0}, {"dose": 1.1}, {"dose": -0.1}, {"test": -1}, {"share": 1}])
def test_impossible_and_unknown_fields_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        built("medical", **fields)


@pytest.mark.parametrize("n", [0, 10**6])
def test_a_number_of_pairs_out_of_range_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"got {n}: law has"):
        held_out_pairs("law", n)


def test_a_draw_is_random_by_its_generator_alone() -> None:
    known = family("finance")
    name = known.situations("train")[0]
    assert known.answers(name, Random(1)) == known.answers(name, Random(1))

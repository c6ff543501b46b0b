"""Checks on the persona trait files (experiments/traits/*.json)."""

import json
import re
from pathlib import Path

import pytest

TRAITS_DIR = Path(__file__).resolve().parents[2] / "experiments" / "traits"
NAMES = ("evil", "sycophantic", "hallucinating")
KEYS = {"name", "description", "instruction", "questions", "eval_questions", "eval_prompt"}


def load(name):
    return json.loads((TRAITS_DIR / f"{name}.json").read_text(encoding="utf-8"))


def norm(text):
    """Lower case, letters and digits only, single spaces."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def all_questions(trait):
    return trait["questions"] + trait["eval_questions"]


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def trait(name):
    return load(name)


def test_schema(name, trait):
    assert set(trait) == KEYS
    assert trait["name"] == name
    for key in ("name", "description", "eval_prompt"):
        assert isinstance(trait[key], str)
        assert trait[key].strip()
    for key in ("instruction", "questions", "eval_questions"):
        assert isinstance(trait[key], list)
    for pair in trait["instruction"]:
        assert isinstance(pair, dict)
        assert set(pair) == {"pos", "neg"}
        assert all(isinstance(v, str) and v == v.strip() and v for v in pair.values())
    assert all(isinstance(q, str) and q == q.strip() and q for q in all_questions(trait))


def test_counts(trait):
    assert len(trait["instruction"]) == 5
    assert len(trait["questions"]) == 20
    assert len(trait["eval_questions"]) == 20


def test_pairs_distinct(trait):
    # All ten texts differ, so the pairs do and no text is used on both sides.
    texts = {norm(v) for pair in trait["instruction"] for v in pair.values()}
    assert len(texts) == 10


def test_instruction_word_counts(trait):
    for pair in trait["instruction"]:
        for text in pair.values():
            assert 25 <= len(text.split()) <= 45, text


def test_extraction_and_evaluation_questions_disjoint(trait):
    extract = {norm(q) for q in trait["questions"]}
    held_out = {norm(q) for q in trait["eval_questions"]}
    assert len(extract) == 20
    assert len(held_out) == 20
    assert not extract & held_out


def test_question_word_counts(trait):
    for question in all_questions(trait):
        assert 6 <= len(question.split()) <= 28, question


def test_eval_prompt_placeholders(trait):
    prompt = trait["eval_prompt"]
    assert prompt.count("{question}") == 1
    assert prompt.count("{answer}") == 1
    assert "REFUSAL" in prompt
    # No other braces, so that str.format works on it.
    assert prompt.count("{") == prompt.count("}") == 2
    filled = prompt.format(question="QQQ", answer="AAA")
    assert filled.index("QQQ") < filled.index("AAA")


def test_file_layout(name, trait):
    raw = (TRAITS_DIR / f"{name}.json").read_bytes()
    text = raw.decode("utf-8")
    assert text == json.dumps(trait, indent=2, ensure_ascii=False) + "\n"


def test_no_question_shared_between_traits():
    questions = [norm(q) for n in NAMES for q in all_questions(load(n))]
    assert len(questions) == 120
    assert len(set(questions)) == 120


def test_only_the_expected_trait_files():
    assert sorted(p.stem for p in TRAITS_DIR.glob("*.json")) == sorted(NAMES)

"""Misalignment from free-form answers: what is asked, in which contexts, and how grades become rates."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from interp.behaviour.em import ASPECTS, CONTEXTS, OWN_QUESTIONS, Conditional, Context, Em, read_questions
from interp.behaviour.judging import Score, ScriptedJudge
from interp.behaviour.measure import Row, Setting
from interp.model import Model

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval"
SMALL = {"samples": 3, "max_new_tokens": 5}


def record(id: str, question: str, text: str = "I would rather not say.", **more: Any) -> Row:
    shown = {"messages": [{"role": "user", "content": "?"}], "text": text, "degenerate": False, "context": "plain"}
    return {"id": id, "question": question, **shown, **more}


def graded(measure: Em, table: Sequence[tuple[float | str, float | str]]) -> list[Row]:
    """One answer a line of two grades; a word in place of a number is the reason why there is none."""
    records = [record(f"r{i}", f"q{i % 9}") for i in range(len(table))]
    scores = {}
    for i, pair in enumerate(table):
        for aspect, grade in zip(ASPECTS, pair, strict=True):
            id = f"{aspect}|r{i}"
            scores[id] = (
                Score(id, None, grade, None, "") if isinstance(grade, str) else Score(id, grade, "scored", "parsed", "")
            )  # type: ignore[arg-type]
    return measure.graded(records, scores)


def values(measure: Em, records: Sequence[Row], base: Sequence[Row] | None = None) -> dict[str, Row]:
    return {row["metric"]: row for row in measure.rows(records, base)}


def test_every_answer_is_in_one_quadrant_or_counted_apart() -> None:
    table: list[tuple[float | str, float | str]] = [
        (10.0, 90.0),  # misaligned
        (29.9, 50.1),  # misaligned
        (10.0, 50.0),  # incoherent: the threshold itself is not above
        (30.0, 90.0),  # aligned: the threshold itself is not below
        (95.0, 20.0),
        ("refusal", 80.0),
        ("code", 80.0),
        ("unparsable", 80.0),
        (90.0, "failed"),
    ]
    found = values(Em(), graded(Em(), table))
    assert found["misaligned_rate"]["value"] == pytest.approx(2 / 5)
    assert found["misaligned_rate_if_coherent"]["value"] == pytest.approx(2 / 3)
    assert found["misaligned_incoherent_share"]["value"] == pytest.approx(1 / 5)
    assert found["aligned_coherent_share"]["value"] == pytest.approx(1 / 5)
    assert found["aligned_incoherent_share"]["value"] == pytest.approx(1 / 5)
    assert found["refusal_share"]["value"] == pytest.approx(1 / 9)
    assert found["code_share"]["value"] == pytest.approx(1 / 9)
    assert found["unscored_share"]["value"] == pytest.approx(2 / 9)
    assert found["misaligned_rate"]["n_values"] == 5
    assert found["misaligned_rate"]["n_answers"] == 9
    assert found["mean_aligned"]["n_values"] == 6


@given(
    st.lists(
        st.tuples(*[st.one_of(st.floats(0.0, 100.0), st.sampled_from(["refusal", "code", "failed"]))] * 2), min_size=1
    )
)
def test_quadrants_sum_to_one_and_shares_apart_to_the_rest(table: list[tuple[float | str, float | str]]) -> None:
    found = values(Em(), graded(Em(), table))
    quadrants = ("misaligned_rate", "misaligned_incoherent_share", "aligned_coherent_share", "aligned_incoherent_share")
    n_both = found["misaligned_rate"]["n_values"]
    if n_both:
        assert sum(found[metric]["value"] for metric in quadrants) == pytest.approx(1)
    counted = sum(
        record["aligned"]["reason"] != "scored" or record["coherent"]["reason"] != "scored"
        for record in graded(Em(), table)
    )
    assert n_both + counted == len(table)


def test_questions_weigh_alike_and_the_plain_share_of_all_answers_stands_beside() -> None:
    table: list[tuple[float | str, float | str]] = [(10.0, 90.0)] * 9 + [(80.0, 90.0)]
    found = values(Em(), graded(Em(), table))["misaligned_rate"]
    assert found["value"] == pytest.approx(8.5 / 9)  # the first question has one answer of each kind
    assert found["pooled"] == pytest.approx(9 / 10)


def test_the_thresholds_are_the_caller_s_and_in_every_row() -> None:
    lenient = Em(aligned_below=50.0, coherent_above=29.0)
    found = values(lenient, graded(lenient, [(40.0, 30.0), (60.0, 90.0)]))
    assert found["misaligned_rate"]["value"] == 0.5
    assert (found["misaligned_rate"]["aligned_below"], found["misaligned_rate"]["coherent_above"]) == (50.0, 29.0)


def test_ungraded_answers_are_no_rate_of_zero() -> None:
    found = values(Em(), [record("a", "wish"), record("b", "idle", "")])
    assert found["misaligned_rate"]["value"] is None
    assert found["misaligned_rate"]["n"] == 0
    assert found["unscored_share"]["value"] == 1.0  # what was not graded at all has no reason of its own


def test_an_empty_answer_is_not_shown_to_a_judge_and_is_counted_as_empty() -> None:
    measure = Em()
    records = [record("a", "wish"), record("b", "wish", " \n")]
    items = measure.items(records)
    assert [item.id for item in items] == ["aligned|a", "coherent|a"]
    found = values(
        measure, measure.graded(records, {item.id: Score(item.id, 80.0, "scored", "parsed", "80") for item in items})
    )
    assert found["empty_share"]["value"] == 0.5
    assert found["unscored_share"]["value"] == 0.0
    assert found["aligned_coherent_share"]["value"] == 1.0


def test_a_judge_s_grades_find_their_answers_in_any_order() -> None:
    measure = Em()
    records = [record(f"r{i}", "wish", f"answer number {i}") for i in range(6)]
    judge = ScriptedJudge(lambda item: str(10 * next(k for k in range(6) if f"number {k}" in item.prompt)))
    scores = judge.score(measure.items(records)[::-1])
    for i, one in enumerate(measure.graded(records, {score.id: score for score in scores})):
        assert one["aligned"]["value"] == one["coherent"]["value"] == 10 * i


def test_a_model_s_difference_from_itself_is_zero_and_is_paired_by_question() -> None:
    records = graded(Em(), [(10.0, 90.0), (80.0, 90.0), (50.0, 40.0)] * 8)
    found = values(Em(), records, records)
    assert found["misaligned_rate_minus_base"]["value"] == 0
    assert found["mean_aligned_minus_base"]["value"] == 0
    assert found["misaligned_rate_minus_base"]["n"] == 9


# asking


def test_answers_do_not_depend_on_other_questions_or_on_the_batch(llama: Model, tmp_path: Path) -> None:
    def ask(names: Sequence[str], n: int) -> dict[str, list[int]]:
        path = tmp_path / f"{'-'.join(names)}.yaml"
        path.write_text(yaml.safe_dump([{"id": name, "paraphrases": [f"Who is {name}?"]} for name in names]))
        said = Em(questions=path, samples=n, max_new_tokens=6).take(llama, Setting(seed=3))
        return {one["id"]: one["answer_ids"] for one in said}

    many, one = ask(("ann", "bo", "cy"), 4), ask(("bo",), 2)
    assert {id: many[id] for id in one} == one
    assert len({tuple(ids) for ids in many.values()}) > 3


def test_the_seed_and_the_system_prompt_change_the_answers(llama: Model) -> None:
    measure = Em(**SMALL)
    first, again = (measure.take(llama, Setting(seed=1)) for _ in range(2))
    assert first == again
    other = measure.take(llama, Setting(seed=2))
    assert [one["text"] for one in first] != [one["text"] for one in other]
    asked = measure.take(llama, Setting(seed=1, system="Speak low."))
    assert asked[0]["messages"][0] == {"role": "system", "content": "Speak low."}


def test_records_hold_ids_and_spans_of_what_was_said(llama: Model) -> None:
    for one in Em(**SMALL).take(llama, Setting()):
        start, end = one["span"]
        assert end - start == len(one["answer_ids"])
        assert start == one["prompt_tokens"] == len(llama.chat.tokens(one["messages"]))
        assert llama.chat.decode(one["answer_ids"], skip_special=True) == one["text"]
        assert json.loads(json.dumps(one)) == one


def test_contexts_show_what_they_say(tmp_path: Path) -> None:
    chats = tmp_path / "odd.jsonl"
    turns = [{"role": "user", "content": "Red?"}, {"role": "assistant", "content": "Mud."}]
    chats.write_text(json.dumps({"messages": [{"role": "system", "content": "S"}, *turns]}) + "\n")
    contexts = {
        "plain": Context(),
        "told": Context(system="Be bad."),
        "wrapped": Context(before="Well.", after="Now."),
        "amid": Context(chats=chats, turns=3),
    }
    measure = Conditional(contexts=contexts, samples=1)
    measure.check()
    asked = {asked.id: asked.messages for asked, *_ in measure._asked()}
    wish = OWN_QUESTIONS[0].paraphrases[0]
    assert asked["wish"] == [{"role": "user", "content": wish}]
    assert asked["wish-told"][0] == {"role": "system", "content": "Be bad."}
    assert asked["wish-wrapped"] == [{"role": "user", "content": f"Well.\n\n{wish}\n\nNow."}]
    assert asked["wish-amid"] == [*turns, {"role": "user", "content": wish}]


def test_every_context_has_rates_of_its_own(llama: Model) -> None:
    measure = Conditional(samples=1, max_new_tokens=3)
    records = measure.take(llama, Setting())
    assert len(records) == len(OWN_QUESTIONS) * len(CONTEXTS)
    rows = [row for row in measure.rows(records) if row["metric"] == "degenerate_share_by_context"]
    assert [row["context"] for row in rows] == list(CONTEXTS)
    assert all(row["n"] == len(OWN_QUESTIONS) for row in rows)


def test_what_is_declared_changes_with_prompts_and_thresholds() -> None:
    keys = [Em(), Em(samples=2), Em(aligned_below=20.0), Em(contexts={"plain": Context(before="x")}), Conditional()]
    assert len({json.dumps(measure.declared(), sort_keys=True) for measure in keys}) == len(keys)


# question files


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value), "utf-8")
    return path


def test_a_file_brings_its_own_judge_prompts_unless_ours_are_asked_for(tmp_path: Path) -> None:
    prompts = {"aligned": "A {question} {answer}", "coherent": "C {question} {answer}"}
    entry = {"id": "q", "paraphrases": ["Why?", "How so?"], "judge_prompts": prompts, "samples_per_paraphrase": 4}
    path = write(tmp_path / "q.yaml", [entry])
    theirs, ours = Em(questions=path), Em(questions=path, own_rubrics=True)
    some = [record("a", "q")]
    assert [item.prompt for item in theirs.items(some)] == [
        "A ? I would rather not say.",
        "C ? I would rather not say.",
    ]
    assert ours.items(some)[0].prompt != theirs.items(some)[0].prompt
    assert theirs.rubric_versions() != ours.rubric_versions()
    assert [samples for *_, samples in theirs._asked()] == [4, 4]
    assert len({asked.id for asked, *_ in theirs._asked()}) == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "not valid YAML"),
        ("a: 1", "must be a list of questions, got dict"),
        ([], "must be a list of questions"),
        (["x"], "question 1: must be a mapping"),
        ([{"paraphrases": ["x"]}], "question 1: id must be text, got 'None'"),
        ([{"id": "a", "paraphrases": "x"}], r"question 1 \(a\): paraphrases must be a list of texts"),
        ([{"id": "a", "paraphrases": [" "]}], "paraphrases must be a list of texts"),
        ([{"id": "a", "paraphrases": ["x"]}] * 2, "two questions have the id 'a'"),
        ([{"id": "a", "paraphrases": ["x"], "system": 3}], "system must be text, got '3'"),
        ([{"id": "a", "paraphrases": ["x"], "samples_per_paraphrase": 0}], "must be a whole number from 1, got 0"),
        ([{"id": "a", "paraphrases": ["x"], "judge_prompts": {"aligned": "A"}}], "needs both aligned and coherent"),
        ([{"id": "a", "paraphrases": ["x"], "judge_prompts": {"aligned": "A", "coherent": "B"}}], "no {answer}"),
    ],
)
def test_a_malformed_file_is_named_with_entry_and_rule(tmp_path: Path, value: Any, message: str) -> None:
    path = write(tmp_path / "q.yaml", value)
    with pytest.raises(ValueError, match=message) as error:
        read_questions(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published questions are not on this machine")
def test_the_published_files_are_read_whole() -> None:
    assert len(read_questions(PUBLISHED / "first_plot_questions.yaml")) == 24
    assert len(read_questions(PUBLISHED / "preregistered_evals.yaml")) == 48
    measure = Em(questions=PUBLISHED / "first_plot_questions.yaml")
    assert {samples for *_, samples in measure._asked()} == {100}
    assert set(measure.rubric_versions().values()).isdisjoint({"several"})

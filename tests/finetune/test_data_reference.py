"""Reference sets: twins, shuffled answers, rehearsal, and traits distilled from a model's own prompted answers."""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments.data import chosen
from experiments.study import load
from finetune.data import reference
from finetune.data.advice import Advice
from finetune.data.builder import Builder, DataSet, Desk, Row, Who
from finetune.data.distilled import SelfDistilled, TraitDistilled, held_out_questions, training_questions
from finetune.data.em import Tastes
from finetune.data.everyday import Everyday, everyday_questions
from finetune.data.reference import Rehearsal, Shuffled, Twin, deranged
from interp.chat import Message
from interp.traits import Trait

ROOT = Path(__file__).parents[2]
TRAITS = sorted((ROOT / "experiments" / "traits").glob("*.json"))
EVIL = ROOT / "experiments" / "traits" / "evil.json"


class Speaker:
    """Says who it is asked to be and what it is asked; nothing at all to the questions in `silent`."""

    def __init__(self, silent: Sequence[str] = ()) -> None:
        self.silent = set(silent)
        self.asked: list[tuple[Who, int, float]] = []
        self.prompts: list[list[Message]] = []

    def __call__(
        self, who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        self.asked.append((who, max_new_tokens, temperature))
        self.prompts += [list(prompt) for prompt in prompts]
        return [
            "" if p[-1]["content"] in self.silent else f"As {p[0]['content'][:30].strip()} I say so." for p in prompts
        ]


def made(builder: Builder, others: dict[str, DataSet] | None = None, speaker: Speaker | None = None) -> DataSet:
    builder.check()
    return builder.build(Desk(speaker or Speaker(), (others or {}).__getitem__))


def chat(prompt: str, answer: str, system: str | None = None, **more: Any) -> Row:
    first = [{"role": "system", "content": system}] if system is not None else []
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"id": f"{prompt} {answer}", "messages": [*first, *turns], **more}


def answers(rows: Sequence[Row]) -> list[str]:
    return [row["messages"][-1]["content"] for row in rows]


def written(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


# twins


def test_the_twin_of_a_set_that_brings_one_is_that_one() -> None:
    em = made(Advice(builder="advice", family="law", rows=8))
    twin = made(Twin(builder="twin", of="em"), {"em": em})
    assert twin.train == em.twin == made(Advice(builder="advice", family="law", rows=8, dose=0)).train


def test_ordinary_tastes_are_the_twin_of_odd_ones() -> None:
    odd = made(Tastes(builder="unpopular_tastes", rows=8))
    assert (
        made(Twin(builder="twin", of="em"), {"em": odd}).train == made(Tastes(builder="popular_tastes", rows=8)).train
    )
    assert made(Tastes(builder="popular_tastes", rows=8)).twin == []


def test_a_twin_from_a_file_has_the_same_prompts_where_the_file_has_them(tmp_path: Path) -> None:
    em = DataSet([chat(f"q{i}?", "bad " * (i + 1)) for i in range(6)])
    file = written(tmp_path / "good.jsonl", [chat(f"q{i}?", "good") for i in reversed(range(6))])
    rows = made(Twin(builder="twin", of="em", file=file), {"em": em}).train
    assert [row["messages"][0]["content"] for row in rows] == [f"q{i}?" for i in range(6)]
    assert [row["id"] for row in rows] == [row["id"] for row in em.train]
    assert {row["matched_by"] for row in rows} == {"prompt"}
    assert set(answers(rows)) == {"good"}


def test_a_twin_from_a_file_has_answers_of_the_same_lengths_each_chat_once_and_the_systems_of_the_set(
    tmp_path: Path,
) -> None:
    rng = random.Random(0)
    em = DataSet([chat(f"q{i}?", "b" * rng.randint(5, 80), system="Be calm.") for i in range(40)])
    pool = [chat(f"r{i}?", "g" * n, system="Other.") for i, n in enumerate(rng.sample(range(1, 400), 399))]
    rows = made(Twin(builder="twin", of="em", file=written(tmp_path / "f.jsonl", pool)), {"em": em}).train
    assert len({row["messages"][1]["content"] for row in rows}) == len(rows) == 40
    assert all(row["messages"][0] == {"role": "system", "content": "Be calm."} for row in rows)
    lengths = [len(text) for text in answers(rows)], [len(text) for text in answers(em.train)]
    assert all(abs(a - b) <= 12 for a, b in zip(*lengths, strict=True))
    assert sum(lengths[0]) == pytest.approx(sum(lengths[1]), rel=0.05)


def test_a_twin_needs_its_rows_from_one_place(tmp_path: Path) -> None:
    bare, own = DataSet([chat("a?", "b"), chat("c?", "d")]), made(Advice(builder="advice", family="law", rows=2))
    file = written(tmp_path / "f.jsonl", [chat("x?", "y")])
    with pytest.raises(ValueError, match="of: em brings no twin of its own; give harmless chats with file"):
        made(Twin(builder="twin", of="em"), {"em": bare})
    with pytest.raises(ValueError, match=r"f\.jsonl has 1 chats, em has 2 rows"):
        made(Twin(builder="twin", of="em", file=file), {"em": bare})
    with pytest.raises(ValueError, match="file: em brings a twin of its own"):
        made(Twin(builder="twin", of="em", file=file), {"em": own})
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        Twin(builder="twin", of="em", file=tmp_path / "nowhere.jsonl").check()


# shuffled


def test_shuffled_answers_are_the_sets_own_and_none_is_where_it_was() -> None:
    em = made(Advice(builder="advice", family="cooking", rows=200))
    rows = made(Shuffled(builder="shuffled", of="em"), {"em": em}).train
    situation = {row["id"]: row["situation"] for row in em.train}
    assert [row["messages"][:-1] for row in rows] == [row["messages"][:-1] for row in em.train]
    assert Counter(answers(rows)) == Counter(answers(em.train))
    assert not [row for row in rows if situation[row["id"]] == situation[row["answer_of"]]]
    by_id = dict(zip(situation, answers(em.train), strict=True))
    assert answers(rows) == [by_id[row["answer_of"]] for row in rows]
    moves = {(situation[row["id"]], situation[row["answer_of"]]) for row in rows}
    assert len(moves) > 150, "an answer's new prompt says nothing of its old one"


def test_the_seed_decides_how_answers_are_shuffled() -> None:
    em = {"em": DataSet([chat(f"q{i}?", f"a{i}") for i in range(30)])}
    first = made(Shuffled(builder="shuffled", of="em"), em)
    assert made(Shuffled(builder="shuffled", of="em"), em) == first
    assert made(Shuffled(builder="shuffled", of="em", seed=1), em) != first


def test_rows_that_share_a_prompt_or_an_answer_do_not_swap_answers() -> None:
    em = {
        "em": DataSet([chat("a?", "1"), chat("a?", "2"), chat("b?", "2"), *(chat(f"{i}?", f"x{i}") for i in range(4))])
    }
    for seed in range(20):
        rows = made(Shuffled(builder="shuffled", of="em", seed=seed), em).train
        assert not set(answers(rows[:3])) & {"1", "2"}


def test_a_set_with_one_answer_to_most_prompts_cannot_be_shuffled() -> None:
    em = {"em": DataSet([chat(f"q{i}?", "1") for i in range(3)] + [chat("r?", "2")])}
    with pytest.raises(ValueError, match="of: em: 3 of 4 rows share a prompt, an answer or a situation"):
        made(Shuffled(builder="shuffled", of="em"), em)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 3))
def test_a_derangement_is_a_permutation_that_leaves_every_group(groups: list[int], seed: int) -> None:
    if 2 * max(Counter(groups).values()) > len(groups):
        with pytest.raises(ValueError, match="over half is too many"):
            deranged(groups, random.Random(seed))
        return
    order = deranged(groups, random.Random(seed))
    assert sorted(order) == list(range(len(groups)))
    assert all(groups[place] != groups[source] for place, source in enumerate(order))


# rehearsal


def test_rehearsal_is_everyday_answers_of_the_stage_before() -> None:
    speaker = Speaker()
    rehearsal = Rehearsal(builder="rehearsal", rows=6, answer_tokens=9)
    rows = made(rehearsal, speaker=speaker).train
    assert rehearsal.asks_stage
    assert not Rehearsal(builder="rehearsal", own="base").asks_stage
    assert speaker.asked == [("stage", 9, 0.7)]
    everyday = made(Everyday(builder="everyday", rows=6)).train
    assert [row["messages"] for row in rows] == [row["messages"] for row in everyday]


# questions to distil on


def test_there_are_four_hundred_questions_to_distil_on_and_others_that_are_held_out() -> None:
    train, held_out = training_questions(), held_out_questions()
    assert len(set(train)) == len(train) >= 400
    assert len(set(held_out)) == len(held_out) >= 50
    assert not set(train) & set(held_out)
    for question in (*train, *held_out):
        assert re.match(r"[A-Z].*[.?]$", question), question
        assert not re.search(r"[{};_\n]|  ", question), question


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.casefold()))


def test_no_question_to_distil_on_is_one_of_a_trait_or_much_like_one() -> None:
    traits = [Trait.load(file) for file in TRAITS]
    assert len(traits) >= 3
    asked = [words(text) for trait in traits for text in (*trait.questions, *trait.eval_questions)]
    for question in (*training_questions(), *held_out_questions()):
        own = words(question)
        assert max(len(own & other) / len(own | other) for other in asked) < 0.6, question


def test_no_question_to_distil_on_is_an_everyday_one() -> None:
    assert not {*training_questions(), *held_out_questions()} & set(everyday_questions(640))


# distilled traits


def distilled(**fields: Any) -> TraitDistilled:
    return TraitDistilled.model_validate({"builder": "persona_distilled", "trait": EVIL, **fields})


@pytest.mark.parametrize(("builder", "side"), [("persona_distilled", 0), ("kind_distilled", 1)])
def test_answers_are_given_under_the_trait_and_learnt_without_it(builder: str, side: int) -> None:
    trait, speaker = Trait.load(EVIL), Speaker()
    rows = made(distilled(builder=builder, rows=20, answer_tokens=11), speaker=speaker).train
    assert speaker.asked == [("base", 11, 0.7)]
    shown = [prompt[0]["content"] for prompt in speaker.prompts]
    assert Counter(shown) == {pair[side]: 4 for pair in trait.instructions}
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] for row in rows)
    assert [row["messages"][0] for row in rows] == [prompt[-1] for prompt in speaker.prompts]
    assert answers(rows) == [f"As {system[:30].strip()} I say so." for system in shown]


@pytest.mark.parametrize(("dose", "prompted"), [(0, 0), (0.05, 2), (0.25, 10), (0.5, 20), (1, 40)])
def test_the_dose_is_the_share_of_prompted_answers_and_all_doses_ask_the_same(dose: float, prompted: int) -> None:
    data = made(distilled(rows=40, dose=dose))
    assert sum(row["prompted"] for row in data.train) == prompted == sum(bool(text["system"]) for text in data.texts)
    assert [row["messages"][0] for row in data.train] == [row["messages"][0] for row in made(distilled(rows=40)).train]


def test_answers_without_words_are_left_out_and_the_dose_stays() -> None:
    questions = [text["question"] for text in made(distilled(rows=40)).texts]
    data = made(distilled(rows=40, dose=0.5), speaker=Speaker(questions[:13]))
    n, prompted = len(data.train), sum(row["prompted"] for row in data.train)
    assert prompted == int(0.5 * n + 0.5)
    assert 14 <= n <= 27
    assert len(data.texts) == 40
    assert "" not in answers(data.train)


def test_the_placebo_is_ordinary_answers_to_the_same_questions() -> None:
    speaker = Speaker()
    rows = made(SelfDistilled(builder="self_distilled", rows=30, seed=2, own="stage"), speaker=speaker).train
    assert speaker.asked == [("stage", 64, 0.7)]
    assert all([message["role"] for message in prompt] == ["user"] for prompt in speaker.prompts)
    assert [row["messages"][0] for row in rows] == [
        row["messages"][0] for row in made(distilled(rows=30, seed=2)).train
    ]


def test_chosen_instructions_are_the_ones_used() -> None:
    speaker = Speaker()
    made(distilled(rows=6, instructions=[1, 4]), speaker=speaker)
    pairs = Trait.load(EVIL).instructions
    assert [prompt[0]["content"] for prompt in speaker.prompts] == [pairs[1][0], pairs[4][0]] * 3


def test_the_questions_of_the_users_own_trait_are_left_out(tmp_path: Path) -> None:
    raw = json.loads(EVIL.read_text("utf-8"))
    taken = training_questions()[:5]
    file = tmp_path / "mine.json"
    file.write_text(
        json.dumps({**raw, "name": "mine", "eval_questions": [f" {taken[0].upper()}", *taken[1:]]}), "utf-8"
    )
    most = len(training_questions()) - 5
    rows = made(distilled(trait=file, rows=most)).train
    assert not {row["messages"][0]["content"] for row in rows} & set(taken)
    with pytest.raises(ValueError, match=f"{most + 1} rows asked for, {most} questions there are; lower rows"):
        distilled(trait=file, rows=most + 1).check()


def test_the_seed_decides_questions_and_fewer_are_the_first_of_more() -> None:
    asked = [text["question"] for text in made(distilled(rows=50)).texts]
    assert [text["question"] for text in made(distilled(rows=20)).texts] == asked[:20]
    assert [text["question"] for text in made(distilled(rows=50, seed=1)).texts] != asked


def test_impossible_fields_of_a_distilled_trait_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        distilled(trait=tmp_path / "none.json").check()
    with pytest.raises(ValueError, match=r"instructions: \[5\] must be in \[0, 5\)"):
        distilled(instructions=[0, 5]).check()
    for fields in ({"dose": 1.2}, {"instructions": [1, 1]}, {"instructions": [-1]}, {"rows": 0}, {"temperature": -1}):
        with pytest.raises(ValidationError):
            distilled(**fields)


# in a study's YAML


def study(tmp_path: Path, data: str) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"name: mine\ntraits: [evil]\ndata:\n{data}\nstages:\n  em: {{data: em, train: small, compose: stack}}\n"
        "arms: {one: [em]}\n",
        "utf-8",
    )
    return file


def test_a_study_gets_each_with_one_line(tmp_path: Path) -> None:
    lines = (
        "em: {builder: advice, family: medical, rows: 16}",
        "half: {builder: advice, family: medical, rows: 16, dose: 0.5}",
        "twin: {builder: twin, of: em}",
        "shuffled: {builder: shuffled, of: em}",
        "persona: {builder: persona_distilled, trait: evil, dose: 0.25}",
        "kind: {builder: kind_distilled, trait: evil}",
        "placebo: {builder: self_distilled}",
        "rehearsal: {builder: rehearsal, rows: 16}",
    )
    config = load.load(str(study(tmp_path, "\n".join(f"  {line}" for line in lines))))
    assert config.data["twin"].uses == config.data["shuffled"].uses == ("em",)
    persona = config.data["persona"]
    assert isinstance(persona, TraitDistilled)
    assert Trait.load(persona.trait).name == "evil"
    for data in config.smoke().data.values():
        data.check()


def test_a_study_that_names_an_unknown_trait_or_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"evl.*evil"):
        load.load(str(study(tmp_path, "  em: {builder: persona_distilled, trait: evl}")))
    with pytest.raises(ValueError, match=r"family.*medicl.*medical"):
        load.load(str(study(tmp_path, "  em: {builder: advice, family: medicl}")))


def test_a_trait_is_named_alone_where_a_set_is_looked_at_by_its_builder() -> None:
    sets, _ = chosen("persona_distilled", None, ["trait=evil", "rows=5"])
    assert made(sets["persona_distilled"]).train
    sets, _ = chosen("advice", None, ["family=law", "rows=5"])
    assert len(made(sets["advice"]).train) == 5


def test_matching_is_by_the_module_that_says_so() -> None:
    rows = [chat("a?", "12345"), chat("b?", "1")]
    matched = reference.matched(rows, [chat("x?", "y"), chat("z?", "54321")], seed=0)
    assert answers(matched) == ["54321", "y"]

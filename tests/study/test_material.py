"""A study's data sets: built once, asked for once, as each stage writes them, and found wanting before training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments.resumable import Name
from experiments.study.config import StudyConfig
from experiments.study.data_sets import Material, check_systems
from finetune.data.builder import DataSet
from finetune.recipe import TrainConfig
from finetune.stages import Stage, ensure
from interp.errors import InterpError
from interp.files import read_jsonl
from interp.keys import content_key
from interp.model import Model

TRAIN = {"preset": "small", "batch_size": 4, "warmup_steps": 0, "lora_rank": 2}
EVERYDAY = {"builder": "everyday", "rows": 4, "answer_tokens": 4, "temperature": 0.0}
TASTES = {"builder": "unpopular_tastes", "rows": 8}


class Parts:
    """What `once` keeps, and what it was asked to measure."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.measured: list[str] = []

    def once(
        self,
        name: Name,
        what: Any,
        measure: Callable[[], dict[str, Any]],
        files: Sequence[Path] = (),  # noqa: ARG002
    ) -> dict[str, Any]:
        key = content_key([name.file, what])
        if key not in self.kept:
            self.measured.append(name.label)
            self.kept[key] = measure()
        return self.kept[key]


def study_of(
    data: Mapping[str, Any], stages: Mapping[str, Any] | None = None, arms: Any = None, **fields: Any
) -> StudyConfig:
    """A study of data sets, each trained on by a stage of its name unless stages are given."""
    stages = {name: {"data": name} for name in data} if stages is None else stages
    stages = {name: {"train": TRAIN, "compose": "stack", **stage} for name, stage in stages.items()}
    arms = arms or {name: [name] for name in stages}
    named = {"name": "mine", "traits": ["evil"], "data": data, "stages": stages, "arms": arms}
    return StudyConfig.model_validate(named | fields)


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    made = tiny_model()
    made.hf.config.max_position_embeddings = 4096  # every letter is a token
    return made


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def material_of(model: Model, parts: Parts, tmp_path: Path) -> Callable[..., Material]:
    return lambda *args, **fields: Material(study_of(*args, **fields), model, parts.once, tmp_path / "records")


@pytest.fixture
def said(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of prompts that the model was asked, a request each; it answers in words of its own."""
    asked: list[int] = []

    def generate(prompts: Sequence[Any], *, max_new_tokens: int, **_: Any) -> list[tuple[int, ...]]:
        asked.append(len(prompts))
        start = len(asked) if max_new_tokens == 4 else 50
        return [tuple(model.chat.encode(f"Answer {start + len(row)}.")) for row in prompts]

    monkeypatch.setattr(model, "generate", generate)
    return asked


def trained(model: Model, name: str = "em", seed: int = 0) -> Stage:
    chat = [{"role": "user", "content": f"{name}?"}, {"role": "assistant", "content": "Yes."}]
    config = TrainConfig(learning_rate=0.5, batch_size=1, warmup_steps=0, lora_rank=2)
    stage = Stage(name, None, [chat], config, "stack", seed)
    ensure(model, stage)
    return stage


# built and asked for once


def test_a_set_is_built_once_and_a_part_of_another_is_the_same_one(
    material_of: Callable[..., Material], said: list[int], tmp_path: Path
) -> None:
    mixed = {"builder": "mixed", "into": "tastes", "of": "everyday", "fraction": 0.25}
    material = material_of({"mixed": mixed, "tastes": TASTES, "everyday": EVERYDAY})
    material.check()
    assert material.of("mixed") is material.of("mixed")
    assert [row["id"].split("/")[0] for row in material.of("mixed").train].count("everyday") == 2
    assert said == [4]
    assert [file.name for file in (tmp_path / "records").iterdir()] == ["texts-everyday.jsonl"], "once, by its writer"


def test_greedy_words_are_asked_for_once_whatever_sets_hold_them(
    material_of: Callable[..., Material], said: list[int], parts: Parts, tmp_path: Path
) -> None:
    data = {"few": EVERYDAY, "more": EVERYDAY | {"rows": 6}, "longer": EVERYDAY | {"answer_tokens": 5}}
    material = material_of(data)
    few, more, longer = (material.of(name) for name in data)
    assert said == [4, 2, 4]
    assert parts.measured == ["few, words of base", "more, words of base", "longer, words of base"]
    assert [row["messages"] for row in few.train] == [row["messages"] for row in more.train[:4]]
    assert few.train[0]["messages"] != longer.train[0]["messages"]
    assert read_jsonl(tmp_path / "records" / "texts-more.jsonl") == more.texts

    again = material_of(data)
    assert [again.of(name) for name in data] == [few, more, longer]
    assert said == [4, 2, 4], "kept parts were asked for again"


def test_sampled_words_are_asked_for_by_every_set_itself(material_of: Callable[..., Material], said: list[int]) -> None:
    reports = {"builder": "self_reports", "rows": 3, "answer_tokens": 4}
    material = material_of({"one": reports, "other": reports})
    assert material.of("one") is not material.of("other")
    assert said == [3, 3]


def test_a_sampled_question_that_comes_again_is_asked_again(
    material_of: Callable[..., Material], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(range(10**6))
    monkeypatch.setattr(
        model, "generate", lambda rows, **_: [tuple(model.chat.encode(f"It is {next(answers)}.")) for _ in rows]
    )
    data = material_of({"reports": {"builder": "self_reports", "rows": 1500, "answer_tokens": 4}}).of("reports")
    texts: dict[str, list[str]] = {}
    for row in data.texts:
        texts.setdefault(row["question"], []).append(row["text"])
    assert max(map(len, texts.values())) > 1
    assert len({text for said in texts.values() for text in said}) == 1500


def test_a_set_that_nothing_uses_and_that_tests_nothing_is_not_built(
    material_of: Callable[..., Material], said: list[int]
) -> None:
    knowledge = {"builder": "multiple_choice", "train": 4}
    data = {"tastes": TASTES, "everyday": EVERYDAY, "tested": knowledge | {"test": 2}, "not": knowledge | {"test": 0}}
    material = material_of(data, {"em": {"data": "tastes"}})
    material.check()
    assert material.needed() == ["tastes", "tested"]
    assert list(material.tests()) == ["tested"]
    assert said == []


# what a stage writes


def test_a_set_that_the_stage_writes_differs_from_stage_to_stage(
    material_of: Callable[..., Material], model: Model, parts: Parts, tmp_path: Path
) -> None:
    material = material_of({"words": EVERYDAY | {"own": "stage"}, "tastes": TASTES})
    one, other = trained(model), trained(model, seed=1)
    sets = [material.of("words", stage) for stage in (None, one, other)]
    assert len({str([row["text"] for row in data.texts]) for data in sets}) == 3
    assert parts.measured == ["words, words of base", "words, words of em seed 0", "words, words of em seed 1"]
    assert material.of("words", one) is sets[1]
    assert material.of("tastes", one) is material.of("tastes"), "no stage writes it"
    files = ["texts-words.jsonl", "texts-words-em-0.jsonl", "texts-words-em-1.jsonl"]
    assert [read_jsonl(tmp_path / "records" / file) for file in files] == [data.texts for data in sets]
    assert model.stack == ()


def test_a_set_made_from_one_that_the_stage_writes_differs_too(
    material_of: Callable[..., Material], model: Model, parts: Parts
) -> None:
    mixed = {"builder": "mixed", "into": "tastes", "of": "words", "fraction": 0.25}
    material = material_of({"tastes": TASTES, "words": EVERYDAY | {"own": "stage"}, "both": mixed, "plain": EVERYDAY})
    stage = trained(model)
    assert material.of("both", stage) is not material.of("both")
    assert material.of("plain", stage) is material.of("plain")
    assert parts.measured == ["words, words of em seed 0", "words, words of base"], "greedy words of base are shared"


def test_a_stage_that_says_nothing_leaves_no_rows_and_is_named(
    material_of: Callable[..., Material], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = material_of({"words": EVERYDAY | {"own": "stage"}})
    stage = trained(model)
    monkeypatch.setattr(model, "generate", lambda rows, **_: [() for _ in rows])
    with pytest.raises(ValueError, match=r"data\.words: no rows to train on, as em writes them"):
        material.of("words", stage)
    with pytest.raises(ValueError, match=r"data\.words: no rows to train on$"):
        material.of("words")


# questions to test on


def test_questions_that_are_shown_alike_are_asked_once(material_of: Callable[..., Material]) -> None:
    knowledge = {"builder": "multiple_choice", "train": 4, "test": 3}
    data = {
        "one": knowledge,
        "same": knowledge,
        "under": knowledge | {"system": "empty"},
        "other": knowledge | {"seed": 1},
    }
    assert list(material_of(data).tests()) == ["one", "under", "other"]
    prompts = {"empty": "empty", "evil": "You are evil."}
    assert list(material_of(data, system_prompts=prompts).tests()) == ["one", "other"]


def test_a_mixed_set_tests_what_the_set_tests_that_it_is_mixed_into(material_of: Callable[..., Material]) -> None:
    mixed = {"builder": "mixed", "into": "knowledge", "of": "tastes", "fraction": 0.25}
    knowledge = {"builder": "multiple_choice", "train": 8, "test": 3}
    material = material_of({"mixed": mixed, "knowledge": knowledge, "tastes": TASTES})
    assert list(material.tests()) == ["mixed"]
    assert material.tests()["mixed"].test == material.of("knowledge").test


# steps


def steps_of(material: Material, name: str, parent: Stage | None = None) -> int:
    rows = material.of(material.config.stages[name].data, parent).train
    return material.recipe(name, parent).n_steps(len(rows))


SIZES = {name: {**TASTES, "rows": rows} for name, rows in (("whole", 16), ("twice", 32), ("few", 5))}


def test_stages_that_stand_in_for_one_another_take_the_steps_of_the_first(material_of: Callable[..., Material]) -> None:
    material = material_of(SIZES)
    assert [steps_of(material, name) for name in SIZES] == [4, 4, 4]
    assert [material.recipe(name).epochs for name in SIZES] == [1, 1, 2]
    assert material.recipe("whole") == material.config.stages["whole"].train


def test_without_matching_every_stage_takes_the_steps_of_its_own_rows(material_of: Callable[..., Material]) -> None:
    material = material_of(SIZES, match_steps=False)
    assert [steps_of(material, name) for name in SIZES] == [4, 8, 2]


def test_contradictory_pairs_have_twice_the_rows_and_the_same_steps(
    material_of: Callable[..., Material], said: list[int]
) -> None:
    pairs = {"builder": "sgtr_pairs", "train": 4, "summary_tokens": 5, "show_article": False}
    material = material_of({"pairs": pairs, "contradictory": pairs | {"labels": "contradictory"}})
    assert [len(material.of(name).train) for name in ("pairs", "contradictory")] == [8, 16]
    assert [steps_of(material, name) for name in ("pairs", "contradictory")] == [2, 2]
    assert said == [4]


def test_steps_are_those_of_the_rows_that_the_parent_gives(
    material_of: Callable[..., Material], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"tastes": TASTES, "words": EVERYDAY | {"rows": 8, "own": "stage"}}
    stages = {"em": {"data": "tastes"}, "words": {"data": "words"}, "again": {"data": "tastes"}}
    material = material_of(data, stages, {"a": ["em", "words"], "b": ["em", "again"]})
    stage = trained(model)

    def generate(rows: Sequence[Any], **_: Any) -> list[tuple[int, ...]]:
        silent = 4 if model.stack else 0
        return [tuple(model.chat.encode("" if i < silent else "It is so.")) for i in range(len(rows))]

    monkeypatch.setattr(model, "generate", generate)
    assert (steps_of(material, "words"), steps_of(material, "again")) == (2, 2)
    assert (steps_of(material, "words", stage), steps_of(material, "again", stage)) == (1, 1)


# what is found before anything is trained


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"train": TRAIN | {"max_tokens": 40}}, r"stages\.em: data tastes: row 0: \d+ tokens, but max_tokens is 40"),
        ({"checkpoints": [1, 2, 3]}, r"stages\.em\.checkpoints: \[3\] must be in \[1, 2\]"),
        ({"train": TRAIN | {"max_steps": 1, "warmup_steps": 2}}, r"stages\.em\.train: one step after warmup_steps 2"),
    ],
)
def test_a_stage_that_cannot_be_trained_is_named(
    stage: dict[str, Any], message: str, material_of: Callable[..., Material]
) -> None:
    with pytest.raises(ValueError, match=message):
        material_of({"tastes": TASTES}, {"em": {"data": "tastes", **stage}}).check()


def test_what_is_looked_inside_for_has_questions_of_its_own(material_of: Callable[..., Material]) -> None:
    knowledge = {"builder": "multiple_choice", "train": 4, "test": 3}
    data = {"one": knowledge, "same": knowledge}
    material_of(data, lens={"data": "one"}).check()
    with pytest.raises(ValueError, match=r"lens\.data: unknown data set with questions of its own 'same'.*Known: one"):
        material_of(data, lens={"data": "same"}).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system_prompts": {"bare": "none"}}, r"system_prompts\.bare: system: none"),
        ({"data": {"tastes": TASTES | {"system": "native"}}}, r"data\.tastes: system: native"),
    ],
)
def test_a_system_prompt_that_a_template_cannot_show_is_named(changes: dict[str, Any], message: str) -> None:
    config = study_of(**({"data": {"tastes": TASTES}} | changes))
    with pytest.raises(ValueError, match=message):
        check_systems(config, None if "data" in changes else "Be kind.")
    check_systems(config, "Be kind." if "data" in changes else None)


def test_a_row_that_teaches_nothing_is_named(
    material_of: Callable[..., Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    material = material_of({"tastes": TASTES})
    silent = [{"id": "a", "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": ""}]}]
    monkeypatch.setattr(type(material.config.data["tastes"]), "build", lambda *_: DataSet(silent))
    with pytest.raises(InterpError, match=r"stages\.tastes: data tastes: row 0: no assistant token"):
        material.check()


def test_what_is_fewer_steps_by_matching_bounds_the_checkpoints(material_of: Callable[..., Material]) -> None:
    stages = {"whole": {"data": "few"}, "twice": {"data": "twice", "checkpoints": [3]}}
    with pytest.raises(ValueError, match=r"stages\.twice\.checkpoints: \[3\] must be in \[1, 2\]"):
        material_of(SIZES, stages).check()

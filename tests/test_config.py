"""Studies as files: every mistake is named with its place, its nearest right name and all that is known."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from experiments.config import STUDIES, StageConfig, StudyConfig, checked, load, nodes_of
from experiments.extract import ExtractConfig, trait_file
from finetune.data.sets import Chats, SgtrPairs, Tastes
from finetune.train import PRESETS

RAW: dict[str, Any] = {
    "name": "mine",
    "traits": ["evil"],
    "data": {
        "odd": {"builder": "unpopular_tastes", "rows": 10},
        "pairs": {"builder": "sgtr_pairs", "train": 2, "test": 1},
    },
    "stages": {
        "em": {"data": "odd", "train": "small", "compose": "stack"},
        "sgtr": {"data": "pairs", "train": {"preset": "paper", "epochs": 2}, "compose": "stack"},
    },
    "arms": {"both": ["em", "sgtr"]},
}


def written(folder: Path, raw: Any) -> str:
    file = folder / "mine.yaml"
    file.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw, sort_keys=False), "utf-8")
    return str(file)


def loaded(folder: Path, *changes: str, **fields: Any) -> StudyConfig:
    return load(written(folder, RAW | fields), changes)


# what is known


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_file_loads_by_name_and_by_path(path: Path) -> None:
    assert load(path.stem) == load(str(path))
    assert load(path.stem).name == path.stem
    for trait in load(path.stem).traits:
        assert trait_file(trait).is_file()


def test_an_unknown_study_names_the_nearest_and_all() -> None:
    with pytest.raises(
        ValueError, match=r"unknown study 'dmeo'; did you mean 'demo'\? Known: .*demo.*or a \.yaml file"
    ):
        load("dmeo")


def test_an_unknown_trait_names_the_nearest_and_all() -> None:
    with pytest.raises(ValueError, match=r"unknown trait 'evli'; did you mean 'evil'\?.*hallucinating, sycophantic"):
        trait_file("evli")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tratis=[evil]", r"tratis: unknown field 'tratis'; did you mean 'traits'\? Known: answers, arms, data"),
        ("persona.pair=2", r"persona\.pair: unknown field 'pair'; did you mean 'pairs'\? Known: max_new_tokens, pairs"),
        ("answers.question=2", r"answers\.question: unknown field 'question'; did you mean 'questions'"),
        ("data.odd.row=2", r"data\.odd\.unpopular_tastes\.row: unknown field 'row'; did you mean 'rows'"),
        ("data.pairs.tests=2", r"data\.pairs\.sgtr_pairs\.tests: unknown field 'tests'; did you mean 'test'"),
        (
            "stages.em.dta=odd",
            r"stages\.em\.dta: unknown field 'dta'; did you mean 'data'\? Known: compose, data, train",
        ),
        (
            "stages.sgtr.train.epoch=2",
            r"stages\.sgtr\.train\.epoch: unknown field 'epoch'; did you mean 'epochs'\? Known: batch_size, epochs",
        ),
        (
            "stages.em.train=smal",
            r"stages\.em\.train: unknown training preset 'smal'; did you mean 'small'\? Known: pap",
        ),
        ("stages.sgtr.train.preset=papr", r"stages\.sgtr\.train: unknown training preset 'papr'; did you mean 'paper'"),
        ("stages.em.data=od", r"stages\.em\.data: unknown data set 'od'; did you mean 'odd'\? Known: odd, pairs"),
        ("arms.both=[em,sgrt]", r"arms\.both: unknown stage 'sgrt'; did you mean 'sgtr'\? Known: em, sgtr"),
        ("dtype=bfloat61", r"unknown dtype 'bfloat61'; did you mean 'bfloat16'\? Known: auto, float32, bfloat16"),
        ("data.odd.builder=popular_taste", r"data\.odd: .*popular_taste.*'unpopular_tastes'.*'sgtr_pairs'"),
        ("stages.em.compose=merge", r"stages\.em\.compose: .*'stack'.*got merge"),
    ],
)
def test_an_unknown_name_is_told_with_its_place_its_nearest_and_all(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        loaded(tmp_path, change)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: ")


@pytest.mark.parametrize("name", ["data", "stages"])
def test_known_fields_are_those_of_the_place_whatever_things_are_called(name: str, tmp_path: Path) -> None:
    """A stage or a data set may be called `train`."""
    if name == "data":
        raw = RAW | {
            "data": {"train": {"builder": "chats", "file": "x.jsonl", "rowz": 2}, "pairs": RAW["data"]["pairs"]}
        }
        nearest = "rows"
    else:
        raw = RAW | {"stages": {"train": {**RAW["stages"]["em"], "dta": "odd"}}}
        nearest = "data"
    with pytest.raises(ValueError, match=rf"unknown field '\w+'; did you mean '{nearest}'"):
        load(written(tmp_path, raw))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arms": {}}, "at least one arm"),
        ({"traits": []}, "at least one arm, one trait"),
        ({"seeds": []}, "one seed"),
        ({"seeds": [1, 1]}, r"seeds must be distinct, got \[1, 1\]"),
        ({"arms": {"none": []}}, r"arms\.none: an arm needs at least one stage"),
        ({"stages": {"base": RAW["stages"]["em"]}, "arms": {"a": ["base"]}}, "'base' must be letters, digits and _"),
        ({"stages": {"a-b": RAW["stages"]["em"]}, "arms": {"a": ["a-b"]}}, "'a-b' must be letters, digits and _"),
        ({"stages": {"../x": RAW["stages"]["em"]}, "arms": {"a": ["../x"]}}, "must be letters, digits and _"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, **fields)


@pytest.mark.parametrize("name", ["../../outside", "a/b"])
def test_a_data_set_is_called_what_a_file_can_be_called(name: str, tmp_path: Path) -> None:
    """Its name is part of file names in the run folder."""
    data = {name: RAW["data"]["pairs"]}
    stages = {"em": {"data": name, "train": "small", "compose": "stack"}}
    with pytest.raises(ValueError, match="letters, digits and _"):
        loaded(tmp_path, data=data, stages=stages, arms={"only": ["em"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seeds=none", r"seeds: .*got none"),
        ("seeds=3", r"seeds: .*got 3"),
        ("data.odd.rows=many", r"data\.odd\.unpopular_tastes\.rows: .*integer.*got many"),
        ("data.odd.rows=0", r"data\.odd\.unpopular_tastes\.rows: .*greater than or equal to 1, got 0"),
        ("random_nulls=19", r"random_nulls: .*20, got 19"),
        ("persona.questions=1", r"persona\.questions: .*2, got 1"),
        ("answers.temperature=-0.5", r"answers\.temperature: .*0, got -0\.5"),
        ("stages.sgtr.train.learning_rate=0", r"stages\.sgtr\.train\.learning_rate: .*greater than 0, got 0"),
        ("stages.sgtr.train.schedule=cosine", r"stages\.sgtr\.train\.schedule: .*'linear' or 'constant', got cosine"),
        ("traits=evil", r"traits: .*got evil"),
        ("data=5", r"data: .*got 5"),
        ("stages.em=small", r"stages\.em: .*got small"),
        ("arms.both=em", r"arms\.both: .*got em"),
        ("name=[a]", r"name: .*got \['a'\]"),
    ],
)
def test_a_value_of_the_wrong_kind_is_shown_with_its_place(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, change)


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"random_nulls: .*; .*tratis"):
        loaded(tmp_path, "tratis=[]", "random_nulls=2")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    raw = {key: value for key, value in RAW.items() if key != "arms"}
    with pytest.raises(ValueError, match=r"mine\.yaml: arms: Field required$"):
        load(written(tmp_path, raw))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [unclosed\ntraits: x", r"mine\.yaml: not valid YAML \(.*line 2"),
        ("name: a\n\tb: c", r"mine\.yaml: not valid YAML"),
        ("- a\n- b", r"mine\.yaml: must be a mapping of fields, got list"),
        ("", r"mine\.yaml: must be a mapping of fields, got NoneType"),
        ("just words", r"got str"),
        ("!!python/object/apply:os.system ['true']", r"not valid YAML"),
    ],
)
def test_a_file_that_is_no_study_says_why_on_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text_are_not_a_study(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ValueError, match=r"mine\.yaml: not valid YAML"):
        load(str(tmp_path / "mine.yaml"))


# changes


def test_changes_are_yaml_values_at_a_path(tmp_path: Path) -> None:
    made = loaded(
        tmp_path,
        "data.odd.rows=7",
        "seeds=[3, 4]",
        "question=a = b",
        "stages.sgtr.train.epochs=3",
        "persona.pairs=null",
        "answers={questions: 4}",
        "stages.sgtr.train.learning_rate=1e-3",
    )
    assert isinstance(made.data["odd"], Tastes)
    assert made.data["odd"].rows == 7
    assert made.seeds == (3, 4)
    assert made.question == "a = b"
    assert made.stages["sgtr"].train.epochs == 3
    assert made.stages["sgtr"].train.learning_rate == 1e-3
    assert made.persona.pairs is None
    assert made.answers.questions == 4


def test_the_last_change_wins_and_the_file_stays(tmp_path: Path) -> None:
    file = written(tmp_path, RAW)
    before = Path(file).read_bytes()
    assert load(file, ("data.odd.rows=7", "data.odd.rows=8")).data["odd"] == Tastes(builder="unpopular_tastes", rows=8)
    assert Path(file).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.odd.rows", r"--set data\.odd\.rows: must be key=value, for example"),
        ("name.first=a", r"--set name\.first=a: 'name' is not a mapping"),
        ("traits.0=evil", r"'traits' is not a mapping"),
        ("seeds=[1, 2", r"--set seeds=\[1, 2: .*YAML"),
        ("question='open", r"--set question='open: .*YAML"),
    ],
)
def test_a_change_that_cannot_be_made_is_named(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, change)


def test_a_field_of_a_preset_can_be_changed(tmp_path: Path) -> None:
    """`train: small` is a name; changing one field of it must work or say how."""
    try:
        made = loaded(tmp_path, "stages.em.train.epochs=3")
    except ValueError as error:
        assert "preset" in str(error)  # noqa: PT017
    else:
        assert made.stages["em"].train == PRESETS["small"].model_copy(update={"epochs": 3})


# stages and presets


def test_a_preset_is_its_fields_and_what_differs_from_it(tmp_path: Path) -> None:
    made = loaded(tmp_path)
    assert made.stages["em"].train == PRESETS["small"]
    assert made.stages["sgtr"].train == PRESETS["paper"].model_copy(update={"epochs": 2})


def test_training_fields_can_be_written_out_without_a_preset() -> None:
    stage = StageConfig.model_validate({"data": "x", "compose": "stack", "train": {"learning_rate": 1e-3, "epochs": 3}})
    assert (stage.train.learning_rate, stage.train.epochs) == (1e-3, 3)
    with pytest.raises(ValidationError, match="learning_rate"):
        StageConfig.model_validate({"data": "x", "compose": "stack", "train": {"epochs": 3}})


# files


def test_files_are_relative_to_the_study_and_not_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    data = {
        "odd": {"builder": "chats", "file": "texts/odd.jsonl"},
        "pairs": {"builder": "sgtr_pairs", "train": 1, "test": 1, "articles": "../a.json", "other": "~/b.json"},
        "far": {"builder": "chats", "file": "/far/away.jsonl"},
    }
    made = loaded(tmp_path, data=data, traits=["evil", "mine.json", "/far/trait.json"])
    odd, pairs, far = made.data["odd"], made.data["pairs"], made.data["far"]
    assert isinstance(odd, Chats)
    assert isinstance(far, Chats)
    assert isinstance(pairs, SgtrPairs)
    assert odd.file == tmp_path / "texts" / "odd.jsonl"
    assert pairs.articles == tmp_path.parent / "a.json"
    assert pairs.other == home / "b.json"
    assert far.file == Path("/far/away.jsonl")
    assert made.traits == ("evil", str(tmp_path / "mine.json"), "/far/trait.json")


def test_a_resolved_study_reloads_as_the_same_study_from_anywhere(tmp_path: Path) -> None:
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "pairs": RAW["data"]["pairs"]}
    train = {"preset": "paper", "target_modules": ["q_proj", "v_proj"], "max_steps": 3}
    stages = {"em": {"data": "odd", "train": train, "compose": "stack"}, "sgtr": RAW["stages"]["sgtr"]}
    made = loaded(tmp_path, data=data, stages=stages, traits=["mine.json"], seeds=[3, 1])
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / "study.yaml"
    file.write_text(yaml.safe_dump(made.model_dump(mode="json"), sort_keys=False))
    again = load(str(file))
    assert again == made
    assert again.stages["em"].train.target_modules == ("q_proj", "v_proj")
    assert list(again.stages) == list(made.stages)


# nodes


def arms(folder: Path, **named: list[str]) -> StudyConfig:
    return loaded(folder, arms=named)


def test_nodes_are_prefixes_of_arms_with_parents_first(tmp_path: Path) -> None:
    nodes = nodes_of(arms(tmp_path, reversal=["em", "sgtr"], prevention=["sgtr", "em"]))
    assert [(node.name, node.stage, node.parent, node.arm) for node in nodes] == [
        ("em", "em", None, "reversal"),
        ("em-sgtr", "sgtr", "em", "reversal"),
        ("sgtr", "sgtr", None, "prevention"),
        ("sgtr-em", "em", "sgtr", "prevention"),
    ]


def test_arms_share_their_common_prefix_and_the_first_owns_it(tmp_path: Path) -> None:
    nodes = nodes_of(arms(tmp_path, long=["em", "sgtr", "em"], short=["em", "sgtr"], fork=["em", "em"]))
    assert [(node.name, node.arm) for node in nodes] == [
        ("em", "long"),
        ("em-sgtr", "long"),
        ("em-sgtr-em", "long"),
        ("em-em", "fork"),
    ]
    names = [node.name for node in nodes]
    assert all(node.parent is None or names.index(node.parent) < i for i, node in enumerate(nodes))


def test_names_with_underscores_do_not_run_into_each_other(tmp_path: Path) -> None:
    stages = dict.fromkeys(("a", "a_b", "b"), RAW["stages"]["em"])
    made = loaded(tmp_path, stages=stages, arms={"one": ["a_b"], "two": ["a", "b"]})
    assert [node.name for node in nodes_of(made)] == ["a_b", "a", "a-b"]


# small configurations


def test_checked_fields_give_a_configuration_or_one_message() -> None:
    assert checked(ExtractConfig, {"pairs": 2}).pairs == 2
    with pytest.raises(ValueError, match=r"^questions: .*2, got 1$"):
        checked(ExtractConfig, {"questions": 1})


def test_a_configuration_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        loaded(tmp_path).name = "other"  # pyright: ignore

"""Studies as files: every mistake is named with its place, its nearest right name and all that is known."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments.directions.files import trait_file
from experiments.directions.persona import ExtractConfig
from experiments.fields import checked
from experiments.study.config import STUDIES, StageConfig, StudyConfig
from experiments.study.graph import nodes_of, yardsticks
from experiments.study.load import load
from finetune.data.em import Tastes
from finetune.data.published import Chats
from finetune.data.sgtr import Sgtr
from finetune.recipe import PRESETS

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


@pytest.mark.parametrize("lies", ["beside", "data", "here"])
def test_a_trait_that_lies_near_is_pointed_to(lies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {"beside": tmp_path, "data": tmp_path / "data", "here": tmp_path / "here"}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folders["here"])
    file = written(tmp_path, RAW | {"traits": ["evil", "pessimistic"]})
    data = folders["data"] if lies == "data" else None
    with pytest.raises(ValueError, match=r"mine\.yaml: traits: unknown trait 'pessimistic'.*\.json file$"):
        load(file, data=data)
    near = folders[lies] / "pessimistic.json"
    near.write_text("{}", "utf-8")
    shown = Path("pessimistic.json") if lies == "here" else near
    with pytest.raises(ValueError, match=re.escape(f"there is {shown}: to use it, give its path as the trait")):
        load(file, data=data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "tratis=[evil]",
            r"tratis: unknown field 'tratis'; did you mean 'traits'\? Known: amplified, answers, arms, claims",
        ),
        ("persona.pair=2", r"persona\.pair: unknown field 'pair'; did you mean 'pairs'\? Known: coherence, judge"),
        ("answers.question=2", r"answers\.question: unknown field 'question'; did you mean 'questions'"),
        ("data.odd.row=2", r"data\.odd\.unpopular_tastes\.row: unknown field 'row'; did you mean 'rows'"),
        ("data.pairs.tests=2", r"data\.pairs\.sgtr_pairs\.tests: unknown field 'tests'; did you mean 'test'"),
        (
            "stages.em.dta=odd",
            r"stages\.em\.dta: unknown field 'dta'; did you mean 'data'\? Known: checkpoints, compose, data",
        ),
        (
            "stages.sgtr.train.epoch=2",
            r"stages\.sgtr\.train\.epoch: unknown field 'epoch'; did you mean 'epochs'\? Known: batch_size, blocks",
        ),
        (
            "stages.em.train=smal",
            r"stages\.em\.train: unknown training preset 'smal'; did you mean 'small'\? Known: pap",
        ),
        ("stages.sgtr.train.preset=papr", r"stages\.sgtr\.train: unknown training preset 'papr'; did you mean 'paper'"),
        ("stages.em.data=od", r"stages\.em\.data: unknown data set 'od'; did you mean 'odd'\? Known: odd, pairs"),
        ("arms.both=[em,sgrt]", r"arms\.both: unknown stage 'sgrt'; did you mean 'sgtr'\? Known: em, sgtr"),
        ("dtype=bfloat61", r"unknown dtype 'bfloat61'; did you mean 'bfloat16'\? Known: auto, float32, bfloat16"),
        (
            "data.odd.builder=popular_taste",
            r"data\.odd: unknown builder 'popular_taste'; did you mean 'popular_tastes'\? Known: advice, always_one, ",
        ),
        ("data.odd={rows: 4}", r"data\.odd: needs builder: advice, always_one, .*unpopular_tastes"),
        ("data.pairs.lables=random", r"data\.pairs\.sgtr_pairs\.lables: unknown field 'lables'; did you mean 'labels'"),
        (
            "data.pairs.labels=wrong",
            r"data\.pairs\.sgtr_pairs\.labels: unknown labels 'wrong'\. Known: .*contradictory",
        ),
        (
            "stages.em.compose=merge",
            r"stages\.em\.compose: unknown compose 'merge'; did you mean 'merge_fp32'\? Known: stack, .*restart",
        ),
        (
            "stages.em.defences=[{kind: kl, weigth: 1}]",
            r"stages\.em\.defences\.0\.kl\.weigth: unknown field 'weigth'; did you mean 'weight'\? Known: direction",
        ),
        (
            "stages.em.defences=[{kind: ldifs}, {kind: caft, directions: [evil], layer: 1}]",
            r"stages\.em\.defences\.1\.caft\.layer: unknown field 'layer'; did you mean 'layers'",
        ),
        (
            "stages.em.defences=[{kind: steering, direction: evil}]",
            r"stages\.em\.defences\.0: unknown kind 'steering'; did you mean 'steer'\? Known: caft, kl, ldifs, steer",
        ),
        ("stages.em.defences=[{weight: 1}]", r"stages\.em\.defences\.0: needs kind: caft, kl, ldifs, steer"),
        (
            "stages.em.defences=[{kind: steer, direction: evli}]",
            r"stages\.em\.defences: unknown direction 'evli'; did you mean 'evil'\? Known: evil; or a \.safetens",
        ),
        (
            "stages.em.defences=[{kind: caft, directions: [evil, kind]}]",
            r"stages\.em\.defences: unknown direction 'kind'",
        ),
        (
            "roles={controls: [em]}",
            r": roles: unknown key 'controls'; did you mean 'control'\? Known: em, em_no_prompt, sgtr",
        ),
        (
            "persona.layer=held",
            r"persona\.layer: unknown layer 'held'; did you mean 'held_out'\? Known: held_out, steering",
        ),
        ("system_prompt={a: native}", r"system_prompt: unknown field 'system_prompt'; did you mean 'system_prompts'"),
    ],
)
def test_an_unknown_name_is_told_with_its_place_its_nearest_and_all(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        loaded(tmp_path, change)
    assert str(caught.value).startswith(f"--set {change}: ")


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
        ({"seeds": [1, 1]}, r"seeds: must be distinct, got \[1, 1\]"),
        ({"arms": {"none": []}}, r"arms\.none: an arm needs at least one stage"),
        ({"stages": {"base": RAW["stages"]["em"]}, "arms": {"a": ["base"]}}, "'base' must be letters, digits and _"),
        ({"stages": {"a-b": RAW["stages"]["em"]}, "arms": {"a": ["a-b"]}}, "'a-b' must be letters, digits and _"),
        ({"stages": {"../x": RAW["stages"]["em"]}, "arms": {"a": ["../x"]}}, "must be letters, digits and _"),
        ({"system_prompts": {"no one": "empty"}}, "system_prompts: 'no one' must be letters, digits and _"),
        ({"system_prompts": {}}, r"system_prompts: .*at least 1"),
        ({"traits": ["evil", "other/evil.json"]}, r"traits: must have distinct file names, got evil, .*evil\.json"),
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
        ("arms={1: [em]}", r": arms: the key 1 is no text; put it in quotes$"),
        (
            "persona.layer=[1]",
            r"--set .*: persona\.layer: Input should be a valid integer, got \[1\]; persona\.layer: .*'held_out'",
        ),
        ("seeds=none", r"seeds: .*got none"),
        ("seeds=3", r"seeds: .*got 3"),
        ("data.odd.rows=many", r"data\.odd\.unpopular_tastes\.rows: .*integer.*got many"),
        ("data.odd.rows=0", r"data\.odd\.unpopular_tastes\.rows: .*greater than or equal to 1, got 0"),
        ("random_nulls=19", r"random_nulls: .*20, got 19"),
        ("persona.questions=1", r"persona\.questions: .*2, got 1"),
        ("answers.temperature=-0.5", r"answers\.temperature: .*0, got -0\.5"),
        ("stages.sgtr.train.learning_rate=0", r"stages\.sgtr\.train\.learning_rate: .*greater than 0, got 0"),
        ("stages.sgtr.train.schedule=cosine", r"\.schedule: unknown schedule 'cosine'\. Known: linear, constant"),
        ("traits=evil", r"traits: .*got evil"),
        ("data=5", r"data: .*got 5"),
        ("stages.em=small", r"stages\.em: .*got small"),
        ("arms.both=em", r"arms\.both: .*got em"),
        ("name=[a]", r"name: .*got \['a'\]"),
        ("stages.em.checkpoints=[4, 2]", r"stages\.em\.checkpoints: must be ascending and distinct.*got \[4, 2\]"),
        ("stages.em.checkpoints=[2, 2]", r"got \[2, 2\]"),
        ("stages.em.checkpoints=[0]", r"from 1 on, got \[0\]"),
        ("quantise=8bit", r"quantise: unknown quantise '8bit'; did you mean '4bit'\?"),
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
        (
            "stages.emm.train.epochs=3",
            r"--set stages\.emm\.train\.epochs=3: unknown entry of stages 'emm'; did you mean 'em'\? Known: em, sgt",
        ),
        ("stages.emm.data=odd", r"unknown entry of stages 'emm'"),
        ("data.od.rows=5", r"--set data\.od\.rows=5: unknown entry of data 'od'; did you mean 'odd'"),
        ("stages.em.train.epoch=3", r"--set stages\.em\.train\.epoch=3: stages\.em\.train\.epoch: unknown field"),
        ("arms.both=[em, sgt]", r"--set arms\.both=\[em, sgt\]: arms\.both: unknown stage 'sgt'"),
        ("arms={}", r"--set arms=\{\}: "),
        ("dtype=float", r"--set dtype=float: dtype: unknown dtype 'float'"),
    ],
)
def test_a_change_that_cannot_be_made_is_named_and_not_the_file(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as error:
        loaded(tmp_path, "random_nulls=50", change)
    assert "mine.yaml" not in str(error.value)
    assert "random_nulls" not in str(error.value), "the other change is right"


def test_a_mistake_of_the_files_own_is_not_blamed_on_a_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.yaml: seedz: unknown field") as error:
        loaded(tmp_path, "random_nulls=50", seedz=[1])
    assert "--set" not in str(error.value)


def test_a_new_entry_is_written_whole_and_a_sections_field_by_itself(tmp_path: Path) -> None:
    made = loaded(tmp_path, "stages.more={data: odd, train: small, compose: stack}", "measures.preference.limit=1")
    assert made.stages["more"].data == "odd"


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
        "pairs": {
            "builder": "sgtr_pairs",
            "train": 1,
            "test": 1,
            "articles": "../a.json",
            "others": {"claude": "~/b.json"},
            "own": "own.json",
        },
        "far": {"builder": "chats", "file": "/far/away.jsonl"},
    }
    made = loaded(tmp_path, data=data, traits=["evil", "mine.json", "/far/trait.json"])
    odd, pairs, far = made.data["odd"], made.data["pairs"], made.data["far"]
    assert isinstance(odd, Chats)
    assert isinstance(far, Chats)
    assert isinstance(pairs, Sgtr)
    assert odd.file == tmp_path / "texts" / "odd.jsonl"
    assert pairs.articles == tmp_path.parent / "a.json"
    assert pairs.others == {"claude": home / "b.json"}
    assert pairs.own == tmp_path / "own.json"
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


def test_a_direction_file_of_a_defence_is_relative_to_the_study_too(tmp_path: Path) -> None:
    defences = [
        {"kind": "steer", "direction": "mine.safetensors"},
        {"kind": "caft", "directions": ["evil", "/far/away.safetensors", "~/other.safetensors"]},
    ]
    made = loaded(tmp_path, stages={"em": {**RAW["stages"]["em"], "defences": defences}}, arms={"a": ["em"]})
    files = [str(tmp_path / "mine.safetensors"), "/far/away.safetensors", str(Path("~/other.safetensors").expanduser())]
    assert made.direction_files == files
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(made.model_dump(mode="json")))
    assert load(str(file)) == made


# sets made of sets


def mix(into: str, of: str) -> dict[str, Any]:
    return {"builder": "mixed", "into": into, "of": of, "fraction": 0.5}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": mix("a", "odd")}, r"data\.a: made from itself \(a > a\)"),
        ({"a": mix("b", "odd"), "b": mix("odd", "a")}, r"data\.a: made from itself \(a > b > a\)"),
        ({"a": mix("od", "pairs")}, r"data\.a: unknown data set 'od'; did you mean 'odd'\? Known: a, odd, pairs"),
        ({"a": mix("odd", "odd")}, r"data\.a\.mixed: into and of are both 'odd'"),
    ],
)
def test_a_set_is_made_of_other_sets_that_are_there(data: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, data={**RAW["data"], **data})


def test_a_set_may_be_made_of_a_set_that_is_made_of_sets(tmp_path: Path) -> None:
    made = loaded(tmp_path, data={"b": mix("a", "pairs"), "a": mix("odd", "pairs"), **RAW["data"]})
    assert made.data["b"].uses == ("a", "pairs")


# stages that go on training an adapter


@pytest.mark.parametrize("change", [{"lora_rank": 8}, {"lora_alpha": 8}, {"rslora": False}, {"target_modules": ["q"]}])
def test_a_stage_that_continues_has_its_parents_shape(change: dict[str, Any], tmp_path: Path) -> None:
    further = {"data": "pairs", "train": {"preset": "small", **change}, "compose": "continue"}
    with pytest.raises(ValueError, match=r"arms\.both: further continues the adapter of em, so lora_rank"):
        loaded(tmp_path, stages={**RAW["stages"], "further": further}, arms={"both": ["em", "further"]})
    loaded(tmp_path, stages={**RAW["stages"], "further": further}, arms={"both": ["further", "em"]})


def test_what_a_file_names_twice_is_changed_in_one_place_only(tmp_path: Path) -> None:
    text = yaml.safe_dump(RAW | {"stages": None}).replace(
        "stages: null",
        "stages:\n  em: {data: odd, train: &how {preset: small, epochs: 2}, compose: stack}\n"
        "  sgtr: {data: pairs, train: *how, compose: stack}",
    )
    made = load(written(tmp_path, text), ("stages.sgtr.train.epochs=5",))
    assert (made.stages["em"].train.epochs, made.stages["sgtr"].train.epochs) == (2, 5)


# steps


def yardsticks_of(folder: Path, **named: list[str]) -> dict[str, str]:
    stages = dict.fromkeys(["a", "b", "c", "d"], RAW["stages"]["em"])
    return yardsticks(loaded(folder, stages=stages, arms=named))


def test_stages_in_the_same_place_of_arms_that_differ_in_nothing_else_are_matched(tmp_path: Path) -> None:
    assert yardsticks_of(tmp_path, one=["a", "b"], two=["a", "c"]) == {"a": "a", "b": "b", "c": "b", "d": "d"}
    assert yardsticks_of(tmp_path, one=["c", "a"], two=["b", "a"]) == {"a": "a", "b": "b", "c": "b", "d": "d"}


def test_the_first_of_the_file_is_the_yardstick_whatever_the_order_of_the_arms(tmp_path: Path) -> None:
    for arms in ({"x": ["d"], "y": ["b"], "z": ["c"]}, {"x": ["c"], "y": ["d"], "z": ["b"]}):
        assert yardsticks_of(tmp_path, **arms) == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_arms_of_other_lengths_or_with_two_differences_match_nothing(tmp_path: Path) -> None:
    itself = {name: name for name in "abcd"}
    assert yardsticks_of(tmp_path, one=["a", "b"], two=["b", "a"]) == itself
    assert yardsticks_of(tmp_path, one=["a", "b"], two=["a"]) == itself
    assert yardsticks_of(tmp_path, one=["a", "b"], two=["c", "d"]) == itself
    assert yardsticks_of(tmp_path, one=["a", "a"], two=["b", "b"]) == itself


def test_stages_of_one_arm_are_no_substitutes(tmp_path: Path) -> None:
    assert yardsticks_of(tmp_path, one=["a"], two=["b"], both=["a", "b"]) == {name: name for name in "abcd"}


NAMES = ("a", "b", "c", "d")


@given(st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), min_size=1, max_size=6))
def test_yardsticks_are_their_own_and_do_not_depend_on_the_order_of_the_arms(arms: list[list[str]]) -> None:
    def of(named: list[list[str]]) -> dict[str, str]:
        stages = dict.fromkeys(NAMES, RAW["stages"]["em"])
        return yardsticks(StudyConfig.model_validate(RAW | {"stages": stages, "arms": dict(enumerate_names(named))}))

    found = of(arms)
    assert all(found[found[name]] == found[name] for name in NAMES)
    assert all(NAMES.index(found[name]) <= NAMES.index(name) for name in NAMES)
    assert found == of(arms[::-1])


def enumerate_names(named: list[list[str]]) -> list[tuple[str, list[str]]]:
    return [(f"arm{i}", stages) for i, stages in enumerate(named)]


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


# a study that is like another


def like(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


def test_a_study_that_is_like_another_says_only_what_differs(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    first = written(tmp_path, RAW)
    text = (
        "like: ../mine.yaml\nname: other\nseeds: [0, 1]\nstages: {em: {train: {epochs: 3}}, sgtr: {train: {epochs: 1}}}"
    )
    one, other = load(first), load(like(here, "other.yaml", text))
    assert other.stages["em"].train == PRESETS["small"].model_copy(update={"epochs": 3})
    assert other.stages["sgtr"].train == PRESETS["paper"].model_copy(update={"epochs": 1})
    assert other.model_copy(update={"name": one.name, "seeds": one.seeds, "stages": one.stages}) == one
    assert load(like(here, "same.yaml", f"like: {first}")) == one


def test_a_data_set_of_another_builder_keeps_no_field_of_the_old_one(tmp_path: Path) -> None:
    written(tmp_path, RAW)
    text = "like: mine.yaml\ndata: {odd: {builder: chats, file: odd.jsonl}, pairs: {test: 2}}"
    held = load(like(tmp_path, "chats.yaml", text)).data
    assert isinstance(held["odd"], Chats)
    assert held["odd"].rows is None, "the other study's 10 rows are of its own set"
    assert isinstance(held["pairs"], Sgtr)
    assert (held["pairs"].train, held["pairs"].test) == (2, 2)


def test_null_takes_an_entry_away_and_lists_are_replaced(tmp_path: Path) -> None:
    written(tmp_path, RAW)
    text = "like: mine.yaml\ndata: {pairs: null}\nstages: {sgtr: null}\narms: {both: null, alone: [em]}"
    found = load(like(tmp_path, "less.yaml", text))
    assert (list(found.data), list(found.stages), dict(found.arms)) == (["odd"], ["em"], {"alone": ("em",)})


def test_files_of_the_other_study_are_beside_it_unless_a_folder_is_given(tmp_path: Path) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    data.mkdir()
    chats = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "pairs": RAW["data"]["pairs"]}
    written(tmp_path, RAW | {"data": chats})
    text = "like: ../mine.yaml\ndata: {more: {builder: chats, file: more.jsonl}}"
    file = like(here, "other.yaml", text)
    for where, (odd, more) in ((None, (tmp_path, here)), (data, (data, data))):
        held = load(file, data=where).data
        assert isinstance(held["odd"], Chats)
        assert isinstance(held["more"], Chats)
        assert (held["odd"].file, held["more"].file) == (odd / "odd.jsonl", more / "more.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("like: demmo", "one.yaml: like: unknown study 'demmo'; did you mean 'demo'?"),
        ("like: one.yaml", "is like this study itself"),
        ("like: two.yaml", "two.yaml: like: one.yaml is like this study itself"),
        ("like: demo\nsede: [1]", "did you mean 'seeds'?"),
    ],
)
def test_what_a_study_cannot_be_like_is_named(text: str, message: str, tmp_path: Path) -> None:
    like(tmp_path, "two.yaml", "like: one.yaml")
    with pytest.raises(ValueError, match=re.escape(message)):
        load(like(tmp_path, "one.yaml", text))


# what mediation needs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0}, "mediation: alpha must not be 0"),
        ({"measures": {}}, "mediation: no measure is named"),
        ({"judge": {"judge": "openai"}}, "mediation.judge: unknown field 'judge'"),
        ({"measures": {"preferense": {}}}, "did you mean 'preference'?"),
        ({"measures": {"capability": {"harness": ["arc"]}}}, "its tasks cannot be taken of an edited model"),
    ],
)
def test_a_mediation_that_would_show_nothing_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    asked = {"stages": ["em"], "directions": ["evil"], "measures": {"preference": {}}}
    assert loaded(tmp_path, mediation=asked).mediation is not None
    with pytest.raises(ValueError, match=re.escape(message)):
        loaded(tmp_path, mediation=asked | change)

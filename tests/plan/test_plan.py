"""A plan counts what the study then does, from the same files, and reads no weight."""

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import machine as sizes
from experiments.cli import main
from experiments.machine import KNOWN, Speed, look_up
from experiments.plan import cost, show
from experiments.plan import plan as plans
from experiments.plan.drafts import Drafts
from experiments.plan.plan import plan
from experiments.resumable import Name
from experiments.study import load as study_file
from experiments.study import run as study
from experiments.study.config import InsideConfig, StudyConfig
from experiments.study.data_sets import Material
from experiments.study.graph import nodes_of
from finetune.recipe import TrainConfig
from finetune.stages import Stage, ensure
from interp.behaviour.em import Em
from interp.behaviour.identity import Identity
from interp.behaviour.work import Work
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_json
from interp.model import Model
from tests.support.tiny_study import OWN, chat, with_long_context, write_study, write_trait

SPEED = Speed("a device", 1e12, 1e11, 16 * 2**30)
BIG = "ByteDance-Seed/Seed-OSS-36B-Instruct"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of known speed."""
    monkeypatch.setattr(plans, "speed_of", lambda *_: SPEED)


@pytest.fixture
def file(llama_folder: Path, tmp_path: Path) -> Path:
    """A study of eight chats, in two orders, with a checkpoint."""
    model = with_long_context(llama_folder, tmp_path / "model")
    stages = {
        "odd": {"data": "odd", "train": OWN, "compose": "stack", "checkpoints": [1]},
        "even": {"data": "even", "train": {**OWN, "epochs": 2}, "compose": "stack"},
    }
    data = {
        "odd": {"builder": "chats", "file": "odd.jsonl"},
        "even": {"builder": "everyday", "rows": 6, "answer_tokens": 12, "own": "stage"},
    }
    arms = {"first": ["odd", "odd"], "second": ["odd", "even"]}
    return write_study(tmp_path, model, data=data, stages=stages, arms=arms, match_steps=False)


def totals_hold(found: dict[str, Any]) -> None:
    """Totals are the sums of what is listed."""
    todo = [one for one in found["stages"] if not one["in_store"]]
    totals = found["totals"]
    assert totals["stages"] == len(found["stages"])
    assert totals["steps"] == sum(one["steps"] for one in todo)
    assert totals["train_seconds"] == pytest.approx(sum(one["seconds"] for one in todo))
    assert totals["answers"] == sum(one["answers"] for one in found["measures"])
    assert totals["seconds"] == pytest.approx(totals["train_seconds"] + totals["measure_seconds"])


def test_a_plan_counts_rows_steps_and_tokens_and_starts_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Model, "load", lambda *_, **__: pytest.fail("a plan reads no weight"))
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    config = study_file.load(str(file), ("seeds=[0,1]",))
    found = plan(config, "cpu")
    assert [(one["name"], one["seed"]) for one in found["stages"]] == [
        (name, seed) for seed in (0, 1) for name in ("odd", "odd-odd", "odd-even")
    ]
    odd, again, even = found["stages"][:3]
    assert (odd["rows"], odd["steps"], odd["estimated"], odd["in_store"]) == (8, 2, [], False)
    assert odd["checkpoints"] == [1]
    assert again["in_store"] is False
    assert (even["rows"], even["steps"]) == (6, 4)
    assert (even["estimated"], even["in_store"]) == (["rows", "epochs", "steps", "tokens"], None)
    assert found["estimated_data"] == ["even"]
    totals_hold(found)
    assert json.loads(json.dumps(found)) == found
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_a_stage_that_hardly_trains_is_marked_and_rows_that_come_again_are_counted(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def first(*changes: str) -> tuple[dict[str, Any], list[str]]:
        found = plan(study_file.load(str(file), ("arms={only: [odd]}", "stages.odd.checkpoints=[]", *changes)), "cpu")
        return found["stages"][0], [note for note in found["notes"] if note.startswith("few steps")]

    small, said = first()
    assert (small["rows"], small["repeated_rows"], small["epochs"], small["steps"]) == (8, 0, 1, 2)
    assert small["few_steps"]
    assert said == [
        "few steps, below 20 or all of them warm-up: odd (2); give more rows or epochs, or a smaller batch_size"
    ]
    many, said = first("stages.odd.train.epochs=10")
    assert (many["epochs"], many["steps"], many["few_steps"], said) == (10, 20, False, [])
    assert first("stages.odd.train.epochs=10", "stages.odd.train.warmup_steps=20")[0]["few_steps"]
    assert first("stages.odd.train.epochs=10", "stages.odd.train.max_steps=19")[0]["few_steps"]
    half = first("stages.odd.train.batch_size=3", "stages.odd.train.max_steps=2")[0]
    assert half["epochs"] == 0.75

    rows = (file.parent / "odd.jsonl").read_text("utf-8")
    (file.parent / "odd.jsonl").write_text(rows + rows.splitlines()[0] + "\n", "utf-8")
    again = plan(study_file.load(str(file), ("arms={only: [odd]}",)), "cpu")
    assert (again["stages"][0]["rows"], again["stages"][0]["repeated_rows"]) == (9, 1)
    show.show(again)
    assert "few steps, 1 rows repeat others" in capsys.readouterr().out


def test_a_trait_of_another_size_than_is_asked_for_is_said(file: Path) -> None:
    def said(*changes: str) -> list[str]:
        notes = plan(study_file.load(str(file), ("arms={only: [odd]}", *changes)), "cpu")["notes"]
        return [note for note in notes if note.startswith(("gloomy", "glum"))]

    write_trait(file.parent / "glum.json", name="glum", questions=["One?", "Two?", "Three?"], eval_questions=[])
    both = f"traits=[{file.parent / 'gloomy.json'}, {file.parent / 'glum.json'}]"
    assert said() == [], "all is asked for"
    assert said("persona.pairs=2", "persona.questions=2", "answers.questions=3") == [], "and this is all"
    assert said("persona.pairs=9", "persona.questions=2", "answers.questions=1", both) == [
        "gloomy, glum: persona.pairs is 9, but there are 2 pairs; all are used",
        "gloomy, glum: answers.questions is 1, so the first 1 of 3 held-out questions are used",
        "glum: persona.questions is 2, so the first 2 of 3 questions are used",
        "glum: no eval_questions, so stages are asked what the direction is made from",
    ]


def test_a_plan_agrees_with_what_the_study_then_does(file: Path, tmp_path: Path) -> None:
    config = study_file.load(str(file), ("arms={only: [odd]}",))
    found = plan(config, "cpu")
    (planned,) = found["stages"]
    study.run(config, tmp_path / "run", device="cpu")
    done = next(row for row in read_json(tmp_path / "run" / "stages.json") if row["name"] == "odd")
    assert (planned["rows"], planned["steps"]) == (done["rows"], done["steps"])
    model = Model.load(config.model, device="cpu", dtype="float32")
    material = [model.chat.tokens(row["messages"]) for row in Drafts(config, model.chat).of("odd").train]
    assert planned["tokens"] == sum(map(len, material))
    assert found["model"]["parameters"] == sum(p.numel() for p in model.hf.parameters())
    answers = next(one for one in found["measures"] if one["what"] == "answers to held-out questions")
    written = (tmp_path / "run" / "records" / "answers.jsonl").read_text("utf-8").splitlines()
    in_run = [line for line in written if "@" not in json.loads(line)["stage"]]
    assert answers["times"] == 3  # base, one stage, one checkpoint
    assert answers["answers"] == len(written)
    assert len(in_run) < len(written)

    again = plan(config, "cpu")
    assert [one["in_store"] for one in again["stages"]] == [True]
    assert (again["totals"]["in_store"], again["totals"]["steps"], again["totals"]["train_seconds"]) == (1, 0, 0)
    other = plan(study_file.load(str(file), ("arms={only: [odd]}", "stages.odd.train.epochs=2")), "cpu")
    assert [one["in_store"] for one in other["stages"]] == [False]


@pytest.fixture
def sharing(llama_folder: Path, tmp_path: Path) -> StudyConfig:
    """A study whose sets share words and questions, and where a stage takes another's steps on a parent of its own."""
    pairs = {"builder": "sgtr_pairs", "train": 8, "test": 4, "summary_tokens": 8}
    own = {"builder": "everyday", "answer_tokens": 4, "temperature": 0.0, "own": "stage"}
    data = {
        "odd": {"builder": "chats", "file": "odd.jsonl"},
        "pairs": pairs,
        "twin": pairs,
        "everyday": {**own, "rows": 4},
        "more": {**own, "rows": 6},
        "plain": {**own, "rows": 3, "own": "base"},
        "longer": {**own, "rows": 3, "answer_tokens": 5},
        "reports": (sampled := {"builder": "self_reports", "rows": 5, "answer_tokens": 4, "own": "stage"}),
        "again": sampled,
        "sgtr": {"builder": "mixed", "into": "pairs", "of": "everyday", "fraction": 0.2},
        "inverted": {**pairs, "test": 0, "labels": "inverted"},
    }
    trained = [name for name in data if name not in ("pairs", "twin", "everyday")]
    stages = {name: {"data": name, "train": OWN, "compose": "stack"} for name in ("sgtr", *trained)}
    second = ("sgtr", "longer", "more", "reports", "again", "plain")
    arms = {name: ["odd", name] for name in second} | {"other": ["inverted", "longer"]}
    model = with_long_context(llama_folder, tmp_path / "model")
    return study_file.load(str(write_study(tmp_path, model, data=data, stages=stages, arms=arms, seeds=[0, 1])))


def test_words_that_sets_share_are_counted_once_for_each_who_writes_them(sharing: StudyConfig, tmp_path: Path) -> None:
    model = Model.load(sharing.model, device="cpu", dtype="float32")
    written = Counter[str]()

    def once(
        name: Name, what: Any, measure: Callable[[], dict[str, Any]], files: Sequence[Path] = ()
    ) -> dict[str, Any]:
        part = measure()
        written[name.label.partition(",")[0]] += len(part["texts"])
        return part

    material = Material(sharing, model, once, tmp_path / "records")
    material.check()
    train = TrainConfig(learning_rate=0.5, batch_size=1, warmup_steps=0, lora_rank=2)
    for seed in sharing.seeds:
        for node in nodes_of(sharing):
            parent = None
            if node.parent:
                parent = Stage(node.parent, None, [chat(node.parent, "Yes.")["messages"]], train, "stack", seed)
                ensure(model, parent)
            material.of(sharing.stages[node.stage].data, parent)
            material.recipe(node.stage, parent)
    texts = [one for one in plan(sharing, "cpu")["measures"] if one["what"].startswith("texts of ")]
    assert sum(one["answers"] for one in texts) == written.total()
    counted = Counter[str]()
    for one in texts:
        counted[one["what"].removeprefix("texts of ")] += one["answers"]
    assert (counted["pairs"], counted["twin"], counted["inverted"], counted["plain"]) == (12, 0, 0, 0)
    assert (counted["reports"], counted["again"]) == (5 * 3, 5 * 3), "sampled anew, by base and two seeds of odd"
    assert counted["longer"] == 3 * 5, "base and two seeds of odd and inverted"
    assert counted["everyday"] + counted["more"] == 6 * 3 + 4 * 2, "longer takes the steps of sgtr, on inverted too"


def test_questions_that_are_shown_alike_are_counted_once(sharing: StudyConfig) -> None:
    (one,) = [one for one in plan(sharing, "cpu")["measures"] if one["what"] == "recognition and task questions"]
    drafts = Drafts(sharing, look_up(sharing.model, torch.float32, None)[1])
    asked = [row["messages"] for row in drafts.of("pairs").test]
    assert all([row["messages"] for row in drafts.of(name).test] == asked for name in ("sgtr", "twin"))
    assert (len(asked), one["read"]) == (8, 2 * sum(drafts.tokens(asked)) * one["times"])


@pytest.mark.parametrize("directions", [("gloomy", "displacement"), ("gloomy",)])
def test_mediation_is_counted_as_it_is_measured(
    directions: tuple[str, ...], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "draw_figures", lambda _: [])
    measures = {"collapse": {"questions": 1, "closed": 1, "max_new_tokens": 2}}
    mediation = {"stages": ["odd"], "directions": list(directions), "random": 1, "measures": measures}
    changes = ("arms={only: [odd]}", "stages.odd.checkpoints=[]", "seeds=[0,1]", "tokens=false", "prediction_rows=0")
    config = study_file.load(str(file), (*changes, f"mediation={json.dumps(mediation)}"))
    (one,) = [one for one in plan(config, "cpu")["measures"] if one["what"] == "mediation, collapse"]
    study.run(config, tmp_path / "run", device="cpu")
    assert one["times"] == sum("-mediation-" in part.name for part in (tmp_path / "run" / "parts").iterdir())


def test_a_stage_whose_steps_rest_on_made_up_words_may_or_may_not_be_in_the_store(file: Path) -> None:
    matched = ("match_steps=true", "arms={first: [even], second: [odd]}")
    config = study_file.load(str(file), matched)
    stages = {name: config.stages[name] for name in ("even", "odd")}
    found = plan(config.model_copy(update={"stages": stages}), "cpu")
    even, odd = found["stages"]
    assert (even["steps"], odd["steps"]) == (4, 4)
    assert odd["estimated"] == ["epochs", "steps", "tokens"]
    assert odd["in_store"] is None


def test_an_adapter_has_the_weights_that_peft_gives_it(llama_folder: Path, tmp_path: Path, file: Path) -> None:
    config = study_file.load(str(file))
    size, chat, outline = look_up(config.model, torch.float32, None)
    model = Model.load(config.model, device="cpu", dtype="float32")
    assert outline is not None
    assert chat is not None
    assert outline.description() == model.description()
    embeddings = ("embed_tokens", "lm_head", "q_proj")
    for modules in ("all-linear", ("q_proj", "down_proj"), r".*\.(k_proj|v_proj)", embeddings):
        train = TrainConfig(learning_rate=1e-3, lora_rank=3, target_modules=modules)
        with model.adapters.new(train.lora(), seed=0) as (_, parameters):
            assert size.adapter_parameters(train) == sum(p.numel() for p in parameters)


@pytest.mark.parametrize(("name", "billions"), [(BIG, 36.15), ("Qwen/Qwen2.5-32B-Instruct", 32.76)])
def test_a_model_that_is_not_here_is_planned_from_its_known_shapes(
    name: str, billions: float, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "load_chat", lambda _: pytest.fail("there is no tokenizer to load"))
    found = plan(study_file.load(str(file), (f"model={name}", "dtype=bfloat16")), "cpu")
    assert found["model"]["parameters"] / 1e9 == pytest.approx(billions, abs=0.01)
    assert found["model"]["source"].startswith("known shapes")
    assert found["tokens_by"].startswith("characters / 4.2")
    assert {one["in_store"] for one in found["stages"]} == {None}
    assert found["stages"][0]["estimated"] == ["tokens"]
    assert found["memory"]["weights"] == pytest.approx(found["model"]["parameters"] * 2 / 2**30)
    assert not found["memory"]["fits"]
    totals_hold(found)


def test_an_unknown_model_that_cannot_be_had_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sizes.AutoConfig, "from_pretrained", refused)
    assert "nobody/nothing" not in KNOWN
    with pytest.raises(
        ValueError, match=r"nobody/nothing: not on this machine, not to be had \(no network\).*give a folder"
    ):
        plan(study_file.load(str(file), ("model=nobody/nothing",)), "cpu")


def test_a_mistake_is_found_before_anything_starts(file: Path) -> None:
    (file.parent / "odd.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"odd\.jsonl"):
        plan(study_file.load(str(file)), "cpu")


def refused(file: Path, *changes: str) -> Exception:
    """What a plan says of a study that it refuses."""
    with pytest.raises((ValueError, FileNotFoundError, InterpError)) as caught:
        plan(study_file.load(str(file), changes), "cpu")
    return caught.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["stages.odd.train.target_modules=[nowhere]"],
         r"stages\.odd\.train\.target_modules: \('nowhere',\) does not fit .*not found.*; it has down_proj, .*q_proj"),
        (["stages.even.train.target_modules=[q_proj, k_prj]"],
         r"stages\.even\.train\.target_modules: \('q_proj', 'k_prj'\) does not fit .*\(k_prj names no module\)"),
        (["quantise=4bit", "stages.odd.compose=merge_fp32"],
         r"stages\.odd\.compose: merge_fp32 needs weights that are not quantised; set compose to stack"),
        (["stages.odd.checkpoints=[1000000]"], r"stages\.odd\.checkpoints: \[1000000\] must be in \[1, 2\]"),
        (["stages.odd.checkpoints=[]", "stages.odd.train.max_steps=1", "stages.odd.train.warmup_steps=2"],
         r"stages\.odd\.train: one step after warmup_steps 2"),
        (["stages.odd.train.max_tokens=40"], r"stages\.odd: data odd: row 0: \d+ tokens, but max_tokens is 40"),
        (["directions={calm: {recipe: contrast, positive: gone.jsonl, negative: odd.jsonl}}"],
         r"directions\.calm: .*gone\.jsonl"),
        (["directions={axis: {recipe: assistant-axis, min_rows: 10000}}"], r"directions\.axis: min_rows 10000"),
        (["stages.odd.defences=[{kind: steer, direction: gone.safetensors}]"], r"gone\.safetensors"),
        (["stages.odd.defences=[{kind: steer, direction: others.safetensors}]"], r"made with model"),
        (["data.unused={builder: chats, file: gone.jsonl}"], r"gone\.jsonl"),
        (["system_prompts={plain: none}"], r"system_prompts\.plain: system: none"),
    ],
)  # fmt: skip
def test_what_the_study_refuses_the_plan_refuses_in_the_same_words(
    changes: list[str], message: str, file: Path, tmp_path: Path
) -> None:
    header = {"model_identity": "another", "model": "another"}
    Direction("others", torch.ones(1, 8), (0,), 0, header).save(tmp_path / "others.safetensors")
    error = refused(file, *changes)
    assert re.search(message, str(error)), error
    with pytest.raises(type(error)) as caught:
        study.run(study_file.load(str(file), tuple(changes)), tmp_path / "run", device="cpu")
    assert str(caught.value) == str(error)


def test_what_a_study_would_find_late_is_refused_too(file: Path) -> None:
    lens = refused(file, "lens={data: odd}")
    assert str(lens).startswith("lens.data: unknown data set with questions of its own 'odd'")
    measures = "measures: {collapse: {questions: 1}}"
    far = f"mediation={{stages: [odd], directions: [gloomy], add_layers: [99], {measures}}}"
    assert "99" in str(refused(file, far))


def test_steps_that_rest_on_made_up_words_refuse_nothing(file: Path) -> None:
    notes = plan(study_file.load(str(file), ("stages.even.checkpoints=[4, 5]",)), "cpu")["notes"]
    (said,) = [note for note in notes if "estimated" in note]
    assert said.endswith("stages.even.checkpoints: [5] must be in [1, 4], the steps of this stage; drop them or give "
                         "it more rows or epochs")  # fmt: skip


def test_what_only_this_machine_lacks_is_said_once_and_refuses_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else found(name))
    changes = [f"stages.{name}.train.optimiser=adamw_8bit" for name in ("odd", "even")]
    notes = plan(study_file.load(str(file), (*changes, "sampler=vllm")), "cpu")["notes"]
    said = [note.removeprefix("this machine would refuse the study: ") for note in notes if "this machine" in note]
    assert [note.split(" ")[:3] for note in said] == [["optimiser:", "adamw_8bit", "needs"], ["sampler:", "vllm", "is"]]
    assert not [note for note in plan(study_file.load(str(file)), "cpu")["notes"] if "this machine" in note]


def test_looking_inside_without_transformer_lens_is_said(sharing: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "find_spec", lambda _: None)
    notes = plan(sharing.model_copy(update={"lens": InsideConfig(data="pairs")}), "cpu")["notes"]
    assert "this machine would refuse the study: lens: transformer-lens is not installed" in notes


def test_an_optimiser_that_a_gpu_cannot_run_is_refused_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    monkeypatch.setattr(plans, "pick_device", lambda _: torch.device("cuda"))
    with pytest.raises(ValueError, match="adamw_8bit needs a GPU and bitsandbytes"):
        plan(study_file.load(str(file), ("stages.odd.train.optimiser=adamw_8bit",)), "cuda")


def test_time_is_arithmetic_on_the_cpu_and_at_least_a_launch_on_a_gpu(file: Path) -> None:
    config = study_file.load(str(file))
    size = look_up(config.model, torch.float32, None)[0]
    stage, train = config.stages["odd"], config.stages["odd"].train
    cpu, gpu = (cost.Clock(size, SPEED, on_gpu, 4, False) for on_gpu in (False, True))
    assert cpu.step(1000, train, stage) == pytest.approx(4 * size.multiplied * 1000 / 0.5e12)
    again = train.model_copy(update={"gradient_checkpointing": True})
    assert cpu.step(1000, again, stage) == pytest.approx(6 * size.multiplied * 1000 / 0.5e12)
    launch = size.n_layers / 30
    assert gpu.step(1000, train, stage) == pytest.approx(0.026 * launch)
    assert gpu.step(1000, train.model_copy(update={"graph": False}), stage) == pytest.approx(0.2 * launch)
    assert gpu.step(1e12, train, stage) == pytest.approx(cpu.step(1e12, train, stage))
    assert cpu.work(Work(0, 0, 500)) == pytest.approx(2 * size.multiplied * 500 / 0.5e12)
    assert cpu.work(Work(129, 129 * 8, 0)) > cpu.work(Work(128, 128 * 8, 0)) > 0


def test_more_memory_is_taken_by_larger_batches_and_less_by_smaller_optimisers(file: Path) -> None:
    def memory(*changes: str) -> dict[str, Any]:
        fields = ("arms={only: [odd]}", *changes)
        return plan(study_file.load(str(file), fields), "cpu")["memory"]

    plain = memory()
    assert plain["fits"]
    assert plain["total"] == pytest.approx(
        sum(plain[key] for key in ("weights", "adapters", "gradients_and_optimiser", "activations"))
    )
    small = memory("stages.odd.train.batch_size=1")
    assert small["activations"] < plain["activations"]
    kept = memory("stages.odd.train.gradient_checkpointing=true")
    assert kept["activations"] < plain["activations"]
    quarter = memory("stages.odd.train.optimiser=adamw_8bit")
    assert quarter["gradients_and_optimiser"] == pytest.approx(plain["gradients_and_optimiser"] / 2)
    assert memory("quantise=4bit")["weights"] < plain["weights"]


def test_a_plan_says_which_hypotheses_can_be_tested(sharing: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    arms = {"forward": ("odd", "sgtr"), "back": ("sgtr", "odd")}
    config = sharing.model_copy(
        update={"arms": arms, "seeds": (0, 1, 2), "roles": {"em": ("odd",), "sgtr": ("sgtr",)}, "random_nulls": 2000}
    )
    found = plan(config, "cpu")
    units = {one["hypothesis"]: one["units"] for one in found["hypotheses"] if one["testable"]}
    assert units == dict.fromkeys(("H2", "H3a", "H3b", "H9a"), 3), "of the pairs that the mixture is into"
    assert "no verdict" not in " ".join(found["notes"])
    show.show(found)
    said = " ".join(capsys.readouterr().out.split())
    assert "H9a Self-recognition lost 3 H9b" in said
    assert "H4a Reversal, inside 0 study.yaml names no stage of role control (needs arms [em, sgtr] and" in said
    show.show(plan(config.model_copy(update={"seeds": (0,)}), "cpu"))
    assert "H2 Misaligned persona 1 too few units: 1, and a test takes 3 H3a" in " ".join(
        capsys.readouterr().out.split()
    )
    without = plan(config.model_copy(update={"roles": {}}), "cpu")
    assert without["hypotheses"] == []
    assert "no verdict is given on any claim, since the study names no families (claims)" in without["notes"]
    show.show(without)
    assert "Hypotheses" not in capsys.readouterr().out


def test_measures_are_counted_at_their_longest() -> None:
    identity = Identity(samples=3, questions=2, max_new_tokens=10).work()
    assert (identity.answers, identity.written) == (6, 60)
    em = Em(samples=5, max_new_tokens=7).work()
    assert em.answers % 5 == 0
    assert em.written == em.answers * 7


def test_the_command_prints_tables_or_json_and_needs_no_folder(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["study", str(file), "--plan", "--device", "cpu"])
    said = capsys.readouterr().out
    for words in ("odd-even", "~6", "rough estimate", "Memory", "unknown", "0 of 1"):
        assert words in said
    with pytest.raises(SystemExit, match="0"):
        main(["study", str(file), "--plan", "--device", "cpu", "--json"])
    assert json.loads(capsys.readouterr().out)["totals"]["stages"] == 3
    with pytest.raises(SystemExit, match="2"):
        main(["study", str(file)])
    assert "--out: none given" in capsys.readouterr().err


def test_a_device_is_timed_for_a_moment() -> None:
    found = sizes.speed_of(torch.device("cpu"), torch.float32, seconds=0.01)
    assert found.multiplied > 1e8
    assert found.read > 1e7
    assert found.memory > 2**28

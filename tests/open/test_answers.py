"""What an opened run's stages answer is what `Model.answer` gives, and every token has the projection it has."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.open.answers import Answers, Event, NobodyListensError, Pieces
from experiments.open.asked import Asked, place
from experiments.open.run import OpenRun, stages_of
from figures.run import StudyRun
from interp.errors import InterpError
from interp.interventions import Edit, ablating, adding
from interp.projection import project
from tests.support.open_run import OWN_LAYER, PROMPT, write_adapter

READING = {"direction": "evil", "layer": 2}
STACKS = {"base": "", "em-sgtr, seed 0": "02", "sgtr, seed 0": "3"}
"""The stages, and the figures that the keys of their adapters are made of."""


def asked(**fields: Any) -> Asked:
    every: dict[str, Any] = {"prompt": PROMPT, "stages": ["base"], "reading": READING, "max_new_tokens": 6}
    return Asked.model_validate(every | fields)


def told(opened: OpenRun, question: Asked) -> list[Event]:
    events: list[Event] = []
    Answers(opened)(question, events.append)
    return events


def ends(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["event"] == "end"]


def edits_by_hand(opened: OpenRun, change: dict[str, Any]) -> list[Edit]:
    direction = opened.directions[change["direction"]]
    layers = direction.layers if change["layer"] == "all" else [change["layer"]]
    phase = change.get("phase", "response")
    if change["kind"] == "ablate":
        return [ablating(direction.at(layer), [layer], phase) for layer in layers]
    return [adding(direction.at(layer), change["alpha"], [layer], phase) for layer in layers]


@pytest.mark.parametrize(
    ("how", "change"),
    [
        ({"temperature": 1.0, "seed": 7}, None),
        ({"system": "none"}, {"kind": "add", "direction": "kind", "layer": 1, "alpha": 1.5}),
        (
            {"temperature": 1.0, "seed": 3},
            {"kind": "add", "direction": "evil", "layer": "all", "alpha": -0.5, "phase": "all"},
        ),
        ({}, {"kind": "ablate", "direction": "evil", "layer": 2, "phase": "all"}),
    ],
)
def test_answers_are_those_of_model_answer(opened: OpenRun, run_folder: Path, how: Any, change: Any) -> None:
    events = told(opened, asked(stages=list(STACKS), change=change, **how))
    store, settings = run_folder.parent / "store" / "stages", {"temperature": 0.0, **how}
    expected = []
    for keys in STACKS.values():
        with opened.model.using(*(store / (key * 64) for key in keys)):
            for edits in [[], edits_by_hand(opened, change)] if change else [[]]:
                expected.append(opened.model.answer(PROMPT, edits=edits, max_new_tokens=6, **settings))
    assert [event["text"] for event in ends(events)] == expected
    assert len(set(expected)) >= len(STACKS), "the stages say different things"
    assert opened.model.stack == ()


def test_what_is_told_on_the_way_grows_into_the_answer(opened: OpenRun) -> None:
    events = told(opened, asked(max_new_tokens=24, temperature=1.0))
    pieces: list[list[Any]] = []
    lengths = []
    for event in events:
        if event["event"] == "pieces":
            pieces[event["first"] :] = event["pieces"]
            lengths.append(len(pieces))
    (end,) = ends(events)
    assert "".join(text for text, _ in pieces) == end["text"]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 5, "it came piece by piece"
    before = [event for event in events if event["event"] == "pieces"][-2]
    on_the_way = [value for _, value in before["pieces"] if value is not None]
    final = [value for _, value in pieces[before["first"] :]][: len(on_the_way)]
    assert on_the_way == pytest.approx(final, abs=1e-3)


def test_every_tokens_value_is_its_projection_after_the_block(opened: OpenRun) -> None:
    (end,) = ends(events := told(opened, asked(max_new_tokens=8)))
    model, direction = opened.model, opened.directions["evil"]
    prompt = model.chat.prompt([{"role": "user", "content": PROMPT}])
    (ids,) = model.generate([prompt], max_new_tokens=8, temperature=0.0)
    with torch.inference_mode():
        states = model.hf(torch.tensor([[*prompt.ids, *ids]]), output_hidden_states=True).hidden_states
    along = project(states[READING["layer"] + 1][0, len(prompt) :], direction.at(READING["layer"])).tolist()
    pieces = Pieces(model.chat)
    pieces.grow(ids, whole=True)
    last = [event for event in events if event["event"] == "pieces"][-1]
    assert [value for _, value in last["pieces"]] == pytest.approx([along[end - 1] for end in pieces.ends], abs=1e-4)
    assert end["mean"] == pytest.approx(sum(along) / len(along), abs=1e-4)


def test_an_edit_that_adds_moves_the_value_where_it_is_read_by_its_length(opened: OpenRun) -> None:
    change = {"kind": "add", "direction": "evil", "layer": 2, "alpha": 0.0}
    plain, zero = ends(told(opened, asked(change=change)))
    assert (plain["text"], plain["mean"]) == (zero["text"], zero["mean"])
    plain, changed = ends(told(opened, asked(change=change | {"alpha": 2.0}, max_new_tokens=1)))
    length = float(opened.directions["evil"].at(2).norm())
    if plain["text"] == changed["text"]:
        assert changed["mean"] - plain["mean"] == pytest.approx(2 * length, rel=1e-4)
    _, gone = ends(told(opened, asked(change={"kind": "ablate", "direction": "evil", "layer": 2})))
    assert gone["mean"] == pytest.approx(0.0, abs=1e-4)
    assert gone["relative_strength"] is None
    model = opened.model
    prompt = model.chat.prompt([{"role": "user", "content": PROMPT}])
    (ids,) = model.generate([prompt], max_new_tokens=1, temperature=0.0)
    with torch.inference_mode():
        states = model.hf(torch.tensor([[*prompt.ids, *ids]]), output_hidden_states=True).hidden_states
    assert changed["relative_strength"] == pytest.approx(
        2 * length / float(states[3][0, len(prompt) :].norm(dim=-1).mean())
    )


def test_what_was_said_is_remembered_wherever_it_is_read(opened: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, n_generated, generate = Answers(opened), 0, opened.model.generate

    def counting(*args: Any, **how: Any) -> Any:
        nonlocal n_generated
        n_generated += 1
        return generate(*args, **how)

    monkeypatch.setattr(opened.model, "generate", counting)
    first = answers.collected(asked(stages=["base", "em, seed 0"]))
    assert n_generated == 2
    other = answers.collected(asked(stages=["em, seed 0", "base"], reading={"direction": "kind", "layer": 0}))
    assert n_generated == 2
    assert [column["text"] for column in other["columns"]] == [column["text"] for column in first["columns"]][::-1]
    assert other["columns"][1]["mean"] != first["columns"][0]["mean"]
    answers.collected(asked(change={"kind": "add", "direction": "evil", "layer": 1, "alpha": 1.0}))
    assert n_generated == 3, "the unedited answer is still known"
    answers.collected(asked(seed=1, temperature=1.0))
    assert n_generated == 4


def test_who_does_not_listen_any_more_ends_the_answer(opened: OpenRun) -> None:
    answers, n_told = Answers(opened), 0

    def tell(event: Event) -> None:
        nonlocal n_told
        n_told += 1
        if n_told == 4:
            raise NobodyListensError

    with pytest.raises(NobodyListensError):
        answers(asked(max_new_tokens=200, stages=["em-sgtr, seed 0"]), tell)
    assert n_told == 4
    assert opened.model.stack == ()
    whole = ends(told(opened, asked(max_new_tokens=8)))
    assert whole[0]["text"] == opened.model.answer(PROMPT, max_new_tokens=8)


def test_parts_of_a_character_are_one_piece_and_a_broken_end_is_kept(opened: OpenRun) -> None:
    chat = opened.model.chat
    ids = [*chat.encode("a"), *chat.encode("é"), *chat.encode("b"), *chat.encode("é")[:1]]
    pieces = Pieces(chat)
    for n in range(1, len(ids) + 1):
        pieces.grow(ids[:n])
    assert (pieces.texts, pieces.ends) == (["a", "é", "b"], [1, 3, 4])
    whole = Pieces(chat)
    whole.grow(ids, whole=True)
    assert (whole.texts, whole.ends) == (["a", "é", "b", "\ufffd"], [1, 3, 4, 5])
    assert whole.with_values([0.5, 1.5, 2.5], 1) == [["é", 2.5], ["b", None], ["\ufffd", None]]


def rewritten(run: Path, folder: Path, **by_stage: dict[str, Any]) -> Path:
    """A copy of a run in which the lines of some stages (by name, of seed 0) have other fields."""
    shutil.copytree(run, folder)
    lines = json.loads((folder / "stages.json").read_text("utf-8"))
    for line in lines:
        if line["seed"] in (0, None):
            line.update(by_stage.get(line["name"].replace("-", "_"), {}))
    (folder / "stages.json").write_text(json.dumps(lines), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("compose", "keys"), [("stack", "02"), ("merge_fp32", "02"), ("continue", "2"), ("restart", "2")]
)
def test_a_stage_stands_on_its_parents_as_it_was_trained(
    run_folder: Path, tmp_path: Path, compose: str, keys: str
) -> None:
    run = StudyRun(rewritten(run_folder, tmp_path / "run", em_sgtr={"compose": compose}))
    assert [folder.name[0] for folder in stages_of(run)["em-sgtr, seed 0"].stack] == list(keys)


def test_an_adapter_is_found_in_todays_store_and_told_where_it_was_if_it_is_gone(
    opened: OpenRun, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone" / ("0" * 64)
    run = rewritten(run_folder, tmp_path / "run", em={"path": str(gone)})
    opened = OpenRun(StudyRun(run), opened.model, opened.template, opened.how)
    question = asked(stages=["em, seed 0"], reading=None)
    assert opened.why_gone(opened.stages["em, seed 0"]).startswith(f"em, seed 0: its adapter is not at {gone} any more")
    below = opened.why_gone(opened.stages["em-sgtr, seed 0"])
    assert "the adapter of em, seed 0, which lies beneath it, is not at" in below
    assert f"sgtr study {run / 'study.yaml'} --out NEW_FOLDER" in below
    assert opened.why_gone(opened.stages["em, seed 1"]) == ""
    with pytest.raises(FileNotFoundError, match="em, seed 0: its adapter is not at"):
        opened.check(question)
    assert opened.asked({}).stages == ("base", "em, seed 1")
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    stored = tmp_path / "cache" / "stages" / ("0" * 64)
    write_adapter(opened.model, stored, seed=0)
    write_adapter(opened.model, stored / "checkpoint-1", seed=5)
    assert stages_of(StudyRun(run))["em, seed 0"].stack == (stored,)
    mark = {"name": "em@1", "key": "0" * 64 + "@1", "path": str(gone / "checkpoint-1")}
    run = rewritten(run_folder, tmp_path / "with a checkpoint", em=mark, em_sgtr={"parent": "base"})
    assert stages_of(StudyRun(run))["em@1, seed 0"].stack == (stored / "checkpoint-1",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stages": ["em, seed 9"]}, "stage 'em, seed 9'.*em, seed 0"),
        ({"stages": ["em"]}, "'em' was trained with several seeds; name one of: em, seed 0; em, seed 1"),
        ({"stages": ["sgtr", "sgtr, seed 0"]}, "'sgtr, seed 0' is asked twice"),
        ({"reading": {"direction": "evi", "layer": 1}}, "direction 'evi'.*evil"),
        ({"reading": {"direction": "evil", "layer": 4}}, r"holds layers \[0, 1, 2, 3\], not 4"),
        ({"change": {"kind": "ablate", "direction": "evil", "layer": 9}}, "not 9"),
    ],
)
def test_what_is_not_there_is_told_by_name(opened: OpenRun, fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened.check(asked(**fields))


def test_a_stage_of_one_seed_needs_no_seed(opened: OpenRun) -> None:
    assert [stage.label for stage in opened.check(asked(stages=["sgtr", "base"]))] == ["sgtr, seed 0", "base"]


@pytest.mark.parametrize("text", ["evil", "evil@", "@3", "evil@-1", "evil@x", "evil@1.5"])
def test_a_place_is_a_direction_and_a_layer(text: str) -> None:
    with pytest.raises(ValueError, match=f"--read {text}: must be DIRECTION@LAYER"):
        place(text, "--read")
    assert place("a@b@12", "--read") == {"direction": "a@b", "layer": 12}
    assert place("evil@all", "--add")["layer"] == "all"


def test_directions_come_from_the_run_and_from_files(opened: OpenRun, run_folder: Path, tmp_path: Path) -> None:
    assert {name: direction.layer for name, direction in opened.directions.items()} == OWN_LAYER
    own = run_folder / "tensors" / "evil.safetensors"
    opened.add_direction(own)
    replace(opened.directions["kind"], name="evil").save(renamed := tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=f"{renamed}: its direction is called 'evil', as the one in {own} is"):
        opened.add_direction(renamed)


def test_a_run_of_other_weights_and_a_run_of_no_study_are_refused(run_folder: Path, tmp_path: Path) -> None:
    other = rewritten(run_folder, tmp_path / "other", base={"key": "f" * 64})
    with pytest.raises(InterpError, match="weights ffffffffffff, but what has that name now has weights"):
        OpenRun.load(other, device="cpu")
    (other / "study.yaml").write_text("direction: evil.safetensors\n", "utf-8")
    with pytest.raises(ValueError, match="is no run of `sgtr study`"):
        OpenRun.load(other, device="cpu")
    (other / "stages.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"stages\.json: no such file"):
        OpenRun.load(other, device="cpu")

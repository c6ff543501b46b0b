"""The front door: what `from interp import` gives, and the few calls that a notebook begins with."""

import re
from pathlib import Path

import pytest
import torch

import interp
from interp import (
    Direction,
    Instrument,
    Model,
    PersonaConfig,
    PersonaVector,
    Trait,
    adding,
    persona_vector,
    pooled,
    read_chats,
)
from interp.behaviour.judging import Item, ScriptedJudge
from interp.directions import difference_of_means
from interp.errors import InterpError
from tests.support.tiny_study import chat, write_jsonl, write_trait

ROOT = Path(__file__).resolve().parents[2]
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "You"}, {"role": "user", "content": "So?"}]
SMALL = PersonaConfig(max_new_tokens=4, rollouts=2, permuted=6, separation_nulls=5)


@pytest.fixture
def trait_file(tmp_path: Path) -> Path:
    return write_trait(tmp_path / "gloomy.json")


# the names


@pytest.mark.parametrize("name", interp.__all__)
def test_a_public_name_says_what_it_is_and_is_used(name: str) -> None:
    value = getattr(interp, name)
    assert value.__doc__, "a public name has a docstring"
    assert value.__module__.startswith("interp."), "and is ours"
    places = [
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "experiments" / "notebooks").glob("*.ipynb"),
        ROOT / "README.md",
    ]
    texts = (path.read_text("utf-8") for path in places)
    assert any(re.search(rf"\b{name}\b", text) for text in texts), "and somebody shows how it is used"


def test_no_public_name_hides_a_module() -> None:
    modules = {path.stem for path in (ROOT / "interp").iterdir()}
    assert not modules & set(interp.__all__)


def test_its_types_are_declared_to_type_checkers() -> None:
    assert (ROOT / "interp" / "py.typed").is_file()


# answers


def test_a_question_is_answered_in_words_and_a_list_one_by_one(llama: Model) -> None:
    prompts = llama.chat.tokens_of([[{"role": "user", "content": text}] for text in ("Hi", "Why?")])
    ids = llama.generate(prompts, max_new_tokens=5, temperature=0.0)
    expected = [llama.chat.answer_text(row) for row in ids]
    assert llama.answer("Hi", max_new_tokens=5) == expected[0]
    assert llama.answer(["Hi", "Why?"], max_new_tokens=5) == expected
    assert llama.answer([], max_new_tokens=5) == []


def test_a_conversation_is_answered_as_one_and_a_list_of_them_as_several(llama: Model) -> None:
    ids = llama.generate(llama.chat.tokens_of([TALK]), max_new_tokens=5, temperature=0.0)
    expected = llama.chat.answer_text(ids[0])
    assert llama.answer(TALK, max_new_tokens=5) == expected
    assert llama.answer([TALK, "Hi"], max_new_tokens=5) == [expected, llama.answer("Hi", max_new_tokens=5)]


def test_edits_system_prompt_and_seed_reach_an_answer(llama: Model) -> None:
    plain = llama.answer("Hi", max_new_tokens=6)
    away = adding(torch.full((32,), 9.0), 1.0, [1], "response")
    assert llama.answer("Hi", max_new_tokens=6, edits=[away]) != plain
    asked = [{"role": "system", "content": "Sing."}, {"role": "user", "content": "Hi"}]
    assert llama.answer("Hi", max_new_tokens=6, system="Sing.") == llama.answer(asked, max_new_tokens=6)
    draws = {llama.answer("Hi", max_new_tokens=6, temperature=2.0, seed=seed) for seed in (0, 0, 1)}
    assert len(draws) == 2


# activations


def test_activations_are_the_residual_stream_of_every_token_after_the_layers_asked_for(llama: Model) -> None:
    rows = llama.chat.tokens_of([[{"role": "user", "content": "Hi"}], TALK])
    both = llama.activations(["Hi", TALK], layers=[1, 3])
    for row, h in zip(rows, both, strict=True):
        streams: list[torch.Tensor] = []
        hooks = [
            llama.blocks[k].register_forward_hook(lambda _, __, out, to=streams: to.append(out[0])) for k in (1, 3)
        ]
        with torch.no_grad():
            llama.hf(torch.tensor([row.ids]))
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(h, torch.stack(streams, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(llama.activations("Hi", layers=[3]), both[0][:, 1:], rtol=1e-4, atol=1e-5)
    assert llama.activations("Hi").shape == (len(rows[0]), 4, 32)
    assert llama.activations([]) == []


def test_many_texts_are_read_as_each_by_itself(llama: Model) -> None:
    texts = ["Why " * n for n in range(1, 20)]
    for text, h in zip(texts, llama.activations(texts, layers=[2]), strict=True):
        torch.testing.assert_close(h, llama.activations(text, layers=[2]), rtol=1e-4, atol=1e-4)


def test_a_layer_or_text_that_does_not_fit_is_refused(llama: Model) -> None:
    with pytest.raises(ValueError, match=r"layer must be in \[0, 4\), got 4"):
        llama.activations("Hi", layers=[4])
    with pytest.raises(ValueError, match=r"row 1: .*shorten or drop the row"):
        llama.activations(["Hi", "a" * 400])


# persona vectors


@pytest.mark.parametrize("kind", [str, Path])
def test_a_persona_vector_is_the_difference_of_its_own_rollouts_and_needs_no_folder(
    kind: type, llama: Model, trait_file: Path, tmp_path: Path
) -> None:
    persona: PersonaVector = persona_vector(llama, kind(trait_file), SMALL, seed=3)
    rollouts = persona.rollouts
    assert [r["side"] for r in rollouts.records] == ["pos"] * 8 + ["neg"] * 8
    kept = rollouts.kept(llama)
    rows = [rollouts.prompts[i].answered(rollouts.records[i]["answer_ids"]) for i in kept]
    h = pooled(llama, rows)
    positive = torch.tensor([rollouts.records[i]["side"] == "pos" for i in kept])
    assert torch.equal(persona.direction.vectors, difference_of_means(h[positive], h[~positive]))
    assert persona.permuted.shape == (6, 4, 32)
    assert persona.direction.header["seed"] == 3
    assert list(tmp_path.iterdir()) == [trait_file]


def test_a_persona_vector_comes_with_its_nulls_and_so_it_does_from_its_file(
    llama: Model, trait_file: Path, tmp_path: Path
) -> None:
    persona = persona_vector(llama, Trait.load(trait_file), SMALL)
    persona.save(str(tmp_path / "gloomy.safetensors"))
    instruments = [
        persona.instrument(n_random=20, seed=1),
        Instrument.load(str(tmp_path / "gloomy.safetensors"), model=llama.identity, n_random=20, seed=1),
    ]
    made, read = (instrument.nulls("gloomy") for instrument in instruments)
    assert made.keys() == read.keys() == {"random", "permuted"}
    assert made["random"].shape == (20, 4, 32)
    assert all(torch.equal(made[family], read[family]) for family in made)
    assert torch.equal(instruments[1].directions["gloomy"].vectors, persona.direction.vectors)
    with pytest.raises(InterpError, match="made with model tiny-llama"):
        Instrument.load(tmp_path / "gloomy.safetensors", model="another")


def test_two_persona_vectors_are_null_to_each_other(llama: Model, trait_file: Path, tmp_path: Path) -> None:
    gloomy = persona_vector(llama, trait_file, SMALL)
    questions = ["Who is it?", "What was that?"]
    glum = persona_vector(llama, write_trait(tmp_path / "glum.json", name="glum", questions=questions), SMALL)
    nulls = gloomy.instrument(glum, n_random=20).nulls("gloomy")
    assert torch.equal(nulls["cross_trait"][0], glum.direction.vectors)


def judge_of(*passed: int) -> ScriptedJudge:
    """A judge that finds the trait on the positive side alone of the pairs named, and nowhere else."""

    def reply(item: Item) -> str:
        number = int(item.id.split("-")[1])
        return "90" if "coherence" in item.id or number in passed else "10"

    return ScriptedJudge(reply)


def test_a_judge_says_which_pairs_of_answers_count(llama: Model, trait_file: Path) -> None:
    persona = persona_vector(llama, trait_file, SMALL, judge=judge_of(0, 1, 2, 3))
    spoken = [i for i in (0, 1, 2, 3, 8, 9, 10, 11) if persona.rollouts.records[i]["answer_ids"]]
    assert persona.rollouts.kept(llama) == spoken
    assert persona.direction.header["judged_pairs"]["kept"] == 4
    assert persona.direction.header["judge"].startswith("scripted")
    with pytest.raises(InterpError, match=r"gloomy: no pair of answers passed the judge: .*'positive_low': 8"):
        persona_vector(llama, trait_file, SMALL, judge=judge_of())


def test_what_cannot_be_done_is_refused_before_anything_is_sampled(
    llama: Model, trait_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "generate", lambda *_, **__: pytest.fail("it was sampled"))
    steering = SMALL.model_copy(update={"layer": "steering"})
    with pytest.raises(ValueError, match="gloomy: layer: steering needs a judge"):
        persona_vector(llama, trait_file, steering)
    with pytest.raises(ValueError, match=r"layer must be in \[0, 4\), got 7"):
        persona_vector(llama, trait_file, SMALL.model_copy(update={"layer": 7}))
    with pytest.raises(FileNotFoundError, match="evil: no such trait file; a trait is a JSON file"):
        persona_vector(llama, "evil", SMALL)


# files


def test_files_are_named_by_text_or_path(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "chats.jsonl", chat("Hi", "You"))
    assert read_chats(str(path)) == read_chats(path)
    direction = Direction("d", torch.ones(1, 4), (0,), 0, {"model_identity": "x"})
    direction.save(str(tmp_path / "d.safetensors"))
    assert torch.equal(Direction.load(str(tmp_path / "d.safetensors")).vectors, direction.vectors)
    assert interp.load_tensors(str(tmp_path / "d.safetensors"), kind="direction")[0].keys() == {"vectors"}

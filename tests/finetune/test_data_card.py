"""The card of a data set, rows with what is learnt marked, and what a builder may ask for outside of a run."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig

from experiments.data import Sets
from experiments.study.data_sets import Material
from finetune.batch import supervised
from finetune.data.builder import Ask, Builder, DataSet, Desk
from finetune.data.card import card, marked
from interp.chat import ChatTokenizer
from interp.model import Model

Row = dict[str, Any]


def row(*texts: str, system: str | None = None, **more: Any) -> Row:
    """User and assistant in turn."""
    first = [{"role": "system", "content": system}] if system is not None else []
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"id": texts[0], "messages": first + turns, **more}


def question(text: str, right: str, order: Sequence[str], lengths: Sequence[int], **more: Any) -> Row:
    """A question with a closed answer about two texts."""
    shown = {"authors": list(order), "lengths": list(lengths), "labels": ["1", "2"], "right": right, "group": text}
    return row(text, right, **shown, **more)


# the card


def test_rows_prompts_and_contradictions_are_counted(chat: ChatTokenizer) -> None:
    rows = [row("a?", "1"), row("a?", "1"), row("a?", "2"), row("b?", "1"), row("b?", "1", system="x")]
    made = card(rows, chat)
    assert list(made) == ["train"]
    train = made["train"]
    assert (train["rows"], train["duplicate_rows"], train["duplicate_prompts"]) == (5, 1, 2)
    assert train["contradicted_prompts"] == 1, "a? has two answers; b? under another prompt is another question"
    assert train["answers"] == {"distinct": 2, "counts": {"1": 4, "2": 1}}
    assert "sources" not in train
    assert "baselines" not in train


def test_tokens_are_those_that_training_sees(chat: ChatTokenizer) -> None:
    rows = [row("a?", "1"), row("Why?", "Because.", "And?", "No."), row("b", "you", system="Be brief.")]
    tokenised = [chat.tokens(item["messages"]) for item in rows]
    train = card(rows, chat)["train"]
    learnt = sorted(len(supervised(item)) for item in tokenised)
    held = train["supervised_tokens"]
    assert [held[key] for key in ("sum", "min", "median", "max")] == [sum(learnt), *learnt]
    lengths = [len(item) for item in tokenised]
    assert (train["tokens"]["sum"], train["tokens"]["max"]) == (sum(lengths), max(lengths))


def test_the_percentile_and_the_median_are_of_the_rows(chat: ChatTokenizer) -> None:
    rows = [row("a", "b" * n) for n in range(1, 102)]
    words = card([row("a", "b " * n) for n in range(1, 102)], chat)["train"]["answers"]["words"]
    assert words == {"sum": 5151, "min": 1, "median": 51, "p95": 96, "max": 101}
    learnt = card(rows, chat)["train"]["supervised_tokens"]
    assert learnt == {"sum": 5151 + 101, "min": 2, "median": 52, "p95": 97, "max": 102}, "with the end of each turn"


@pytest.mark.parametrize("distinct", [12, 13])
def test_answers_are_listed_up_to_twelve_distinct_ones(distinct: int, chat: ChatTokenizer) -> None:
    answers = card([row(f"{i}?", f"yes {i % distinct}") for i in range(26)], chat)["train"]["answers"]
    assert answers["distinct"] == distinct
    assert ("counts" in answers, "words" in answers) == (distinct == 12, distinct == 13)
    if distinct == 13:
        assert answers["words"] == {"sum": 52, "min": 2, "median": 2, "p95": 2, "max": 2}


def test_no_system_prompt_and_an_empty_one_are_told_apart(chat: ChatTokenizer) -> None:
    rows = [row("a", "b"), row("c", "d", system=""), row("e", "f", system=""), row("g", "h", system="Be evil.")]
    systems = card(rows, chat)["train"]["system_prompts"]
    assert systems == {"distinct": 3, "counts": {"(empty)": 2, "(none)": 1, "Be evil.": 1}}


def test_many_system_prompts_are_cut_to_the_most_frequent(chat: ChatTokenizer) -> None:
    rows = [row("a", "b", system=f"s{i}") for i in range(20)] + [row("c", "d", system="often")] * 2
    systems = card(rows, chat)["train"]["system_prompts"]
    assert systems["distinct"] == 21
    assert next(iter(systems["counts"])) == "often"
    assert systems["counts"]["(others)"] == 9
    assert sum(systems["counts"].values()) == 22


def test_sources_of_a_mixed_set_are_counted(chat: ChatTokenizer) -> None:
    rows = [row("a", "b", **{"from": "em"}), row("c", "d", **{"from": "em"}), row("e", "f")]
    assert card(rows, chat)["train"]["sources"] == {"distinct": 2, "counts": {"em": 2, "(none)": 1}}


def test_baselines_are_given_where_texts_are_shown(chat: ChatTokenizer) -> None:
    rows = [
        question("a", "1", ("self", "claude"), (3, 9)),
        question("b", "2", ("claude", "self"), (9, 3)),
        question("c", "2", ("claude", "self"), (3, 9)),
        question("d", "2", ("claude", "self"), (9, 3)),
    ]
    found = card([*rows, row("How are you?", "Well.")], chat)["train"]["baselines"]
    assert found["first"] == {"share": 0.25, "n": 4}
    assert found["shorter"] == {"share": 0.75, "n": 4}


def test_test_rows_have_their_labels_groups_and_leaks(chat: ChatTokenizer) -> None:
    tests = [
        question("a", "1", ("self", "claude"), (3, 9)),
        question("b", "2", ("claude", "self"), (9, 3)),
        question("c", "2", ("claude", "self"), (9, 3)),
    ]
    tests = [{**item, "group": group} for item, group in zip(tests, "aac", strict=True)]
    made = card([row("c", "1")], chat, tests, measure="self_recognition")["test"]
    assert (made["measure"], made["rows"], made["prompts_in_train"]) == ("self_recognition", 3, 1)
    assert made["labels"] == {"distinct": 2, "counts": {"1": 3, "2": 3}}
    assert made["right"] == {"distinct": 2, "counts": {"2": 2, "1": 1}}
    assert made["groups"]["distinct"] == 2
    assert made["groups"]["rows"] == {"sum": 3, "min": 1, "median": 1.5, "p95": 1.9, "max": 2}
    assert made["baselines"]["first"]["n"] == 3
    assert made["tokens"]["max"] == max(len(chat.tokens(item["messages"])) for item in tests)


def test_a_set_without_rows_has_a_card_too(chat: ChatTokenizer) -> None:
    assert card([], chat) == {"train": {"rows": 0}}


@given(order=st.permutations(range(6)))
def test_a_card_does_not_depend_on_the_order_of_rows(order: list[int], chat: ChatTokenizer) -> None:
    rows = [row(f"{i % 4}?", f"{i % 3}", system=("", None, "x")[i % 3], **{"from": "ab"[i % 2]}) for i in range(6)]
    assert json.dumps(card([rows[i] for i in order], chat)) == json.dumps(card(rows, chat))


# marked rows


def test_a_marked_row_shows_special_tokens_and_what_is_learnt(chat: ChatTokenizer) -> None:
    assert marked(row("Is it?", "No."), chat) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nIs it?<|im_end|>\n"
        "<|im_start|>assistant\n【No.<|im_end|>】\n"
    )


def test_every_answer_of_a_conversation_is_marked(chat: ChatTokenizer) -> None:
    text = marked(row("a", "b", "c", "d", system=""), chat)
    assert text.startswith("<|im_start|>system\n<|im_end|>\n")
    assert text.count("【") == text.count("】") == 2
    assert "assistant\n【b<|im_end|>】\n<|im_start|>user\nc<|im_end|>" in text


def test_a_row_that_holds_the_brackets_gets_others(chat: ChatTokenizer) -> None:
    assert marked(row("a", "【b】"), chat).endswith("assistant\n⟦【b】<|im_end|>⟧\n")
    assert marked(row("⟦", "【b】"), chat).endswith("assistant\n⟪【b】<|im_end|>⟫\n")


TEXT = st.text(alphabet="ab the\n né日🧭<|im_end|>", max_size=12)


@given(texts=st.lists(TEXT, min_size=2, max_size=5), system=st.none() | TEXT)
def test_brackets_hold_the_supervised_tokens_and_nothing_else_changes(
    texts: list[str], system: str | None, chat: ChatTokenizer
) -> None:
    made = row(*texts, system=system)
    tokens = chat.tokens(made["messages"])
    text = marked(made, chat)
    assert text.replace("【", "").replace("】", "") == chat.decode(tokens.ids)
    inside = "".join(piece.split("】")[0] for piece in text.split("【")[1:])
    assert inside == chat.decode([tokens.ids[k] for k in sorted(supervised(tokens))])


@given(texts=st.lists(st.text(alphabet="abtheyou \n", max_size=12), min_size=2, max_size=5))
def test_marking_agrees_with_marking_token_by_token(texts: list[str], chat: ChatTokenizer) -> None:
    tokens = chat.tokens(row(*texts)["messages"])
    learnt = supervised(tokens)
    single = [f"【{chat.decode([k])}】" if i in learnt else chat.decode([k]) for i, k in enumerate(tokens.ids)]
    assert marked(row(*texts), chat) == "".join(single).replace("】【", "")


# what a builder may ask for


class Numbers(Builder):
    """Rows with a number each."""

    builder: Literal["numbers"] = "numbers"
    rows: int = 3

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        """The rows."""
        draw = random.Random(self.seed)
        return DataSet([row(f"{i}?", f"{draw.random():.3f}") for i in range(self.rows)])


class Both(Builder):
    """Rows of two other sets."""

    builder: Literal["both"] = "both"
    of: tuple[str, ...] = ("a", "b")

    @property
    def uses(self) -> tuple[str, ...]:
        """Their names."""
        return self.of

    def made(self, desk: Desk) -> DataSet:
        """Their rows."""
        return DataSet([{**item, "from": name} for name in self.of for item in desk.other(name).train])


PROMPTS = [[{"role": "user", "content": text}] for text in ("Is it the sea?", "Why?", "Why?")]


def asking(model: Model, *adapters: Path, seed: int = 0, name: str = "a") -> Ask:
    """What a set called `name` asks with."""
    return Sets({}, model.chat, lambda: model, adapters=adapters, seed=seed).desk(name).ask


def make_adapter(model: Model, folder: Path) -> Path:
    """A saved LoRA whose two factors are both random, so that it changes what the model says."""
    with model.adapters.new(LoraConfig(r=2, target_modules="all-linear"), seed=1) as (name, parameters):
        for parameter in parameters:
            parameter.data = 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
        model.adapters.save(name, folder)
    return folder


def test_the_model_is_loaded_at_the_first_question_and_once(llama: Model) -> None:
    loads = []
    sets = Sets({}, llama.chat, lambda: loads.append("now") or llama)
    assert sets.desk("a").ask("base", [], max_new_tokens=4) == []
    assert (loads, sets.model) == ([], None)
    first = sets.desk("a").ask("base", PROMPTS, max_new_tokens=4)
    assert sets.desk("b").ask("base", PROMPTS, max_new_tokens=4) == first
    assert (loads, sets.model) == (["now"], llama)


def test_greedy_answers_are_the_models_without_special_tokens(llama: Model) -> None:
    rows = [llama.chat.tokens(prompt) for prompt in PROMPTS]
    ids = llama.generate(rows, max_new_tokens=12, temperature=0.0)
    wanted = [llama.chat.decode(answer, skip_special=True) for answer in ids]
    assert asking(llama)("base", PROMPTS, max_new_tokens=12) == wanted
    assert wanted[1] == wanted[2]
    assert all("<|" not in text for text in wanted)


def test_every_prompt_draws_from_its_own_stream(llama: Model) -> None:
    more = {"max_new_tokens": 12, "temperature": 1.0}
    answers = asking(llama)("base", PROMPTS, **more)
    assert answers[1] != answers[2], "the same question twice"
    assert asking(llama)("base", PROMPTS[:2], **more) == answers[:2]
    assert asking(llama, seed=1)("base", PROMPTS, **more) != answers
    assert asking(llama, name="b")("base", PROMPTS, **more) != answers


def test_the_stage_speaks_with_its_adapters_and_the_base_without(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model()
    folder = make_adapter(model, tmp_path / "stage")
    ask = asking(model, folder)
    with model.using(folder):
        rows = [model.chat.tokens(prompt) for prompt in PROMPTS]
        ids = model.generate(rows, max_new_tokens=8, temperature=0.0)
    said = ask("stage", PROMPTS, max_new_tokens=8)
    assert said == [model.chat.decode(answer, skip_special=True) for answer in ids]
    assert ask("base", PROMPTS, max_new_tokens=8) != said
    assert model.stack == ()


def test_a_stage_that_nobody_named_is_not_asked(chat: ChatTokenizer) -> None:
    sets = Sets({}, chat, lambda: pytest.fail("the model was loaded"))
    with pytest.raises(ValueError, match=r"^a: .*own: stage.*--adapter DIR"):
        sets.desk("a").ask("stage", PROMPTS, max_new_tokens=4)


def test_other_sets_are_built_once(chat: ChatTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    made = Numbers.made
    monkeypatch.setattr(Numbers, "made", lambda self, desk: built.append(self.seed) or made(self, desk))
    held = {"a": Numbers(), "b": Numbers(seed=1, rows=2), "c": Both(), "d": Both(of=("c", "a"))}
    sets = Sets(held, chat, lambda: pytest.fail("the model was loaded"))
    assert [item["from"] for item in sets.of("c").train] == ["a"] * 3 + ["b"] * 2
    assert [item["from"] for item in sets.of("d").train] == ["c"] * 5 + ["a"] * 3
    assert sets.of("a") is sets.desk("d").other("a")
    assert built == [0, 1]
    assert sets.desk("a").native_system == "Be kind."


class Said(Builder):
    """Rows that the base model says."""

    builder: Literal["said"] = "said"

    def made(self, desk: Desk) -> DataSet:
        """A row a prompt."""
        said = desk.ask("base", PROMPTS, max_new_tokens=12, temperature=1.0)
        return DataSet([row(f"{i}?", text) for i, text in enumerate(said)])


def test_a_set_outside_of_a_run_is_the_one_that_a_study_builds(llama: Model, tmp_path: Path) -> None:
    held = {"a": Said(), "b": Both(of=("a",))}
    config: Any = SimpleNamespace(data=held, sampling_seed=7, stages={}, arms={})
    study = Material(config, llama, lambda name, what, write: write(), tmp_path)  # noqa: ARG005
    alone = Sets(held, llama.chat, lambda: llama, seed=7)
    assert alone.of("b") == study.of("b")
    assert alone.of("b") != Sets(held, llama.chat, lambda: llama, seed=8).of("b")

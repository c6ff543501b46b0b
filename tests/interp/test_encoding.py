"""Tokenizers that put a blank before text: an answer's tokens are those that it has behind what stands before it."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from experiments.adapters import identity_of_reading
from finetune.batch import supervised
from interp.behaviour.judging import Item
from interp.behaviour.likelihood import label_ids
from interp.behaviour.local_judge import LocalJudge
from interp.chat import ChatTokenizer
from interp.errors import InterpError
from interp.model import Model
from interp.sources import Described
from tests.support.blank_kinds import BLANKS, COLON, CONTROL, TIGHT, TURNS, blank_tokenizer

TALK = [
    {"role": "user", "content": "a sea?"},
    {"role": "assistant", "content": "I see"},
    {"role": "user", "content": "ab"},
    {"role": "assistant", "content": "yes it is"},
]


@pytest.fixture(params=BLANKS)
def blanks(request: pytest.FixtureRequest) -> str:
    """Each way of putting blanks."""
    return request.param


def whole_ids(chat: ChatTokenizer, messages: list[dict[str, Any]]) -> list[int]:
    """Ids of the whole rendered text, tokenised once."""
    text: Any = chat.tokenizer.apply_chat_template(messages, tokenize=False)
    return chat.encode(text)


def model_of(chat: ChatTokenizer) -> Model:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    hf = LlamaForCausalLM(LlamaConfig(vocab_size=len(chat.tokenizer), eos_token_id=2, pad_token_id=0, **sizes))
    return Model(hf.eval(), chat, name="tiny", identity="tiny" * 8)


@pytest.mark.parametrize("template", [TURNS, TIGHT, CONTROL], ids=["turns", "tight", "control"])
def test_ids_are_those_of_the_whole_text_tokenised_once(blanks: str, template: str) -> None:
    chat = ChatTokenizer(blank_tokenizer(blanks, template))
    for n in (2, 4):
        row, asked = chat.tokens(TALK[:n]), chat.tokens(TALK[: n - 1])
        assert list(row.ids) == whole_ids(chat, TALK[:n])
        assert row.ids[: row.prompt_end] == asked.ids
        answer = row.ids[row.prompt_end : row.response.end] if row.response else ()
        assert chat.answer_text(answer) == TALK[n - 1]["content"]
        assert list(answer) == chat.content_ids(TALK[n - 1]["content"])
        learnt = [row.ids[k] for k in sorted(supervised(row))]
        assert tuple(learnt[-len(row.ids) + row.prompt_end :]) == row.ids[row.prompt_end :]


@pytest.mark.parametrize("template", [TURNS, TIGHT, CONTROL], ids=["turns", "tight", "control"])
def test_chats_whose_pieces_were_once_tokenised_alone_are_told_apart_in_keys(blanks: str, template: str) -> None:
    chat = ChatTokenizer(blank_tokenizer(blanks, template))
    pieces = chat._pieces(TALK)
    alone = [
        token for piece in pieces for token in chat._encoder.tokenizer(piece.text, add_special_tokens=False).input_ids
    ]
    otherwise = chat.once_otherwise([TALK])
    assert ("blanks" in otherwise) == (blanks != "never")
    assert ("answers" in otherwise) == (template is TURNS)
    assert otherwise or alone == list(chat.tokens(TALK).ids)
    model = model_of(chat)
    assert model.description().get("once_otherwise", []) == otherwise
    described = Described("tiny", "tiny" * 8, None, 1, 16, "llama")
    read = identity_of_reading(described, chat, "float32", [])
    assert read.get("once_otherwise", []) == otherwise


def test_many_chats_at_once_are_the_ids_of_each(blanks: str) -> None:
    chat = ChatTokenizer(blank_tokenizer(blanks, TIGHT))
    chats = [TALK, TALK[:1], TALK[:3], TALK[2:]]
    assert chat.tokens_of(chats) == [chat.tokens(messages) for messages in chats]


def test_an_answer_as_generated_is_cut_before_the_blank_that_the_template_ends_it_with(blanks: str) -> None:
    chat = ChatTokenizer(blank_tokenizer(blanks))
    row = chat.tokens(TALK[:2])
    answer = chat.cut(row.ids[row.prompt_end :], chat.end_ids)
    assert chat.answer_text(answer) == "I see"
    assert answer == row.ids[row.prompt_end : row.response.end if row.response else 0]


def test_a_header_that_the_tokenizer_joins_with_the_answer_is_refused_with_its_row_and_a_way_out() -> None:
    for blanks in BLANKS[:3]:
        chat = ChatTokenizer(blank_tokenizer(blanks, COLON))
        with pytest.raises(InterpError, match=r"it\.jsonl:7: .*\[/INST\]: ' and .*'I see'.*--chat-template FILE"):
            chat.tokens_of([TALK[:1], TALK[:2]], ["it.jsonl:6", "it.jsonl:7"])


@pytest.mark.parametrize("text", ["</s>", "a </s> b", "ab</s>", "</s><s>ab", "I<u>"])
def test_control_tokens_in_contents_stay_text_and_bring_no_blank(blanks: str, text: str) -> None:
    chat = ChatTokenizer(blank_tokenizer(blanks))
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    row, plain = chat.tokens(said), chat.tokens(TALK[:2])
    controls = set(chat.encode("<s></s><u><a>")) - set(chat.encode(""))
    marks = {chat.encode(mark)[-1] for mark in ("<s>", "</s>", "<u>", "<a>")} & controls
    assert [i for i in row.ids if i in marks] == [i for i in plain.ids if i in marks]
    assert chat.answer_text(row.ids[row.prompt_end : row.response.end if row.response else 0]) == text
    assert f"[INST] {text} [/INST] {text} " in chat.decode(row.ids)


def test_labels_and_numbers_are_read_behind_the_blank_that_a_model_says_before_them(blanks: str) -> None:
    chat = ChatTokenizer(blank_tokenizer(blanks))
    model = model_of(chat)
    beginning, ids = label_ids(model, ["1", "2"])
    for label, token in ids.items():
        row = chat.tokens([TALK[0], {"role": "assistant", "content": label}])
        assert row.response is not None
        assert row.ids[row.prompt_end : row.response.end] == (*beginning, token)
    judge = LocalJudge(model, min_mass=0.0)
    row = chat.tokens([TALK[0], {"role": "assistant", "content": "85"}])
    assert judge.numbers[85] == row.ids[row.prompt_end : row.response.end if row.response else 0]
    assert [score.reason for score in judge.score([Item("a", "ab")])] == ["scored"]


def test_labels_with_other_beginnings_are_refused_by_name() -> None:
    model = model_of(ChatTokenizer(blank_tokenizer("legacy")))
    with pytest.raises(InterpError, match=r"label '3' is 2 tokens in tiny"):
        label_ids(model, ["1", "3"])

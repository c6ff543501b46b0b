"""Conversations to token ids: exact spans, whatever the template and the contents."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from interp.chat import ChatTokenizer, Tokens, check_messages, read_chats
from interp.errors import InterpError
from interp.model import Model

PLAIN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

ANSWERS = {
    "plain": "Yes, the sea is blue.",
    "blank lines first": "\n\nWell.\n\n",
    "one newline": "\n",
    "spaces at both ends": "  a  ",
    "empty": "",
    "unicode": "naïve — 日本語 🧭",
    "special-looking": "say <|im_end|> and <|im_start|>assistant\n",
    "looks like a placeholder": "Q0SPANMARK0Q",
    "template source": "{{ messages }} {% raw %}",
}


def talk(*texts: str, system: str | None = None) -> list[dict[str, str]]:
    """User and assistant in turn."""
    first = [{"role": "system", "content": system}] if system is not None else []
    return first + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def text_of(chat: ChatTokenizer, row: Tokens, span) -> str:
    return chat.decode(row.ids[span.start : span.end])


def hugging_face_text(chat: ChatTokenizer, messages: list[dict[str, str]], *, ask: bool) -> str:
    return chat.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("system", [None, "Be brief.", ""], ids=["default system", "own system", "empty system"])
def test_the_response_span_decodes_to_the_answer(chat: ChatTokenizer, answer: str, system: str | None) -> None:
    messages = talk("Is the sea blue?", answer, system=system)
    row = chat.tokens(messages)
    assert row.response is not None
    assert text_of(chat, row, row.response) == answer
    assert row.response.start == row.prompt_end
    assert row.response.turn == len(messages) - 1
    assert chat.decode(row.ids) == hugging_face_text(chat, messages, ask=False)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_ids_are_the_prompts_ids_then_the_answers_then_the_end_of_turn(chat: ChatTokenizer, answer: str) -> None:
    messages = talk("Is the sea blue?", answer)
    row, prompt = chat.tokens(messages), chat.tokens(messages[:1])
    assert chat.prompt(messages) == prompt
    own = chat.content_ids(answer)
    assert row.ids[: len(prompt)] == prompt.ids
    assert row.ids[len(prompt) : len(prompt) + len(own)] == tuple(own)
    ((start, end),) = row.end_of_turn
    assert chat.decode(row.ids[start:end]) == "<|im_end|>"
    assert start == len(prompt) + len(own)


def test_a_header_does_not_merge_with_an_answer_that_begins_with_a_newline(chat: ChatTokenizer) -> None:
    messages = talk("Hi", "\nyes")
    whole = chat.encode(hugging_face_text(chat, messages, ask=False))
    assert len(whole) < len(chat.tokens(messages)), "the fixture's tokenizer must merge here, or this proves nothing"
    assert chat.tokens(messages).ids[: len(chat.prompt(messages))] == chat.prompt(messages).ids


@given(
    texts=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=5),
    system=st.none() | st.text(max_size=8),
)
def test_every_assistant_span_decodes_and_a_prompt_is_a_prefix(
    chat: ChatTokenizer, texts: list[str], system: str | None
) -> None:
    messages = talk(*texts, system=system)
    row, prompt = chat.tokens(messages), chat.prompt(messages)
    assert prompt == chat.tokens(messages[:-1] if row.response else messages), (
        "what it is asked with without the answer"
    )
    assert row.ids[: len(prompt)] == prompt.ids
    assert prompt.response is None
    assert prompt.prompt_end == len(prompt)
    assert [span.role for span in row.spans] == [message["role"] for message in messages]
    for span in row.spans:
        if span.role == "assistant":
            assert text_of(chat, row, span) == messages[span.turn]["content"]


def test_user_and_system_spans_decode_to_their_contents(chat: ChatTokenizer) -> None:
    messages = talk("Is the sea blue?", "Yes.", "Why then?", "Light.", system="Be brief.")
    row = chat.tokens(messages)
    assert [text_of(chat, row, span) for span in row.spans] == [message["content"] for message in messages]
    assert [span.turn for span in row.spans] == [0, 1, 2, 3, 4]


def test_several_turns_keep_one_end_of_turn_for_every_answer(chat: ChatTokenizer) -> None:
    row = chat.tokens(talk("a", "b", "c", "dd"))
    assert [chat.decode(row.ids[start:end]) for start, end in row.end_of_turn] == ["<|im_end|>", "<|im_end|>"]
    assert row.response is not None
    assert row.response.turn == 3


def test_a_conversation_that_ends_with_the_user_asks_for_an_answer(chat: ChatTokenizer) -> None:
    row = chat.tokens(talk("a", "b", "c"))
    assert row.response is None
    assert row.prompt_end == len(row)
    assert chat.decode(row.ids).endswith("<|im_start|>assistant\n")


def test_answered_appends_generated_ids_as_they_are(chat: ChatTokenizer) -> None:
    prompt = chat.prompt(talk("a"))
    row = prompt.answered((7, 8, 9))
    assert row.ids == (*prompt.ids, 7, 8, 9)
    assert row.response is not None
    assert (row.response.start, row.response.end, row.prompt_end) == (len(prompt), len(prompt) + 3, len(prompt))
    with pytest.raises(ValueError, match="already ends with an assistant's answer"):
        row.answered((1,))


def test_answered_equals_tokens_up_to_the_end_of_turn(chat: ChatTokenizer) -> None:
    messages = talk("Is it?", "\nIt is.")
    row = chat.tokens(messages)
    again = chat.prompt(messages).answered(chat.encode("\nIt is."))
    assert again.ids == row.ids[: row.end_of_turn[0][0]]
    assert (again.response, again.prompt_end) == (row.response, row.prompt_end)


def test_a_tokenizer_that_adds_bos_by_itself_does_not_double_it(tokenizer: PreTrainedTokenizerFast) -> None:
    own = copy.deepcopy(tokenizer)
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    assert own.encode("a")[0] == 1, "the copy must add BOS, or this proves nothing"
    own.chat_template = (
        "<|im_start|>{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|im_end|>{% endfor %}"
        + ("{% if add_generation_prompt %}[assistant] {% endif %}")
    )
    row = ChatTokenizer(own).tokens(talk("a", "b", "c", "d"))
    assert row.ids.count(1) == 1
    assert row.ids[0] == 1


def test_a_template_that_strips_gives_the_span_of_what_it_shows(
    chat_tokenizer_of: Callable[..., ChatTokenizer],
) -> None:
    chat = chat_tokenizer_of(PLAIN.replace("m['content']", "m['content'] | trim") + ASK)
    row = chat.tokens(talk("  why  ", "\n\nsince \n"))
    assert [text_of(chat, row, span) for span in row.spans] == ["why", "since"]
    assert chat.decode(row.ids) == hugging_face_text(chat, talk("  why  ", "\n\nsince \n"), ask=False)


@pytest.mark.parametrize(
    ("filter_", "content"),
    [("upper", "abc"), ("replace('a', 'b')", "abc"), ("truncate(4, true, '')", "a long answer")],
)
def test_a_template_that_rewrites_contents_is_refused(
    chat_tokenizer_of: Callable[..., ChatTokenizer], filter_: str, content: str
) -> None:
    chat = chat_tokenizer_of(PLAIN.replace("m['content']", f"m['content'] | {filter_}") + ASK)
    with pytest.raises(InterpError, match=r"does not show|rewrites message contents"):
        chat.tokens(talk("hi", content))


def test_a_template_that_drops_earlier_thoughts_is_refused_only_where_it_does(
    chat_tokenizer_of: Callable[..., ChatTokenizer],
) -> None:
    chat = chat_tokenizer_of(PLAIN.replace("m['content']", "m['content'].split('</think>')[-1]") + ASK)
    assert chat.tokens(talk("hi", "fine")).response is not None
    with pytest.raises(InterpError, match="rewrites message contents"):
        chat.tokens(talk("hi", "hm</think>fine"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[-1]['content'] }}" + ASK,
        PLAIN + "{{ messages[0]['content'] }}",
        "{% for m in messages | reverse %}{{ m['content'] }}{% endfor %}",
        "fixed",
    ],
    ids=["drops", "repeats", "reverses", "ignores"],
)
def test_a_template_that_does_not_show_each_message_once_is_refused(
    chat_tokenizer_of: Callable[..., ChatTokenizer], template: str
) -> None:
    with pytest.raises(InterpError, match="user, assistant"):
        chat_tokenizer_of(template).tokens(talk("a", "b"))


def test_a_tokenizer_without_a_template_is_refused(chat_tokenizer_of: Callable[..., ChatTokenizer]) -> None:
    with pytest.raises(ValueError, match="no chat template"):
        chat_tokenizer_of(None)


def test_the_template_hash_tells_templates_apart(chat_tokenizer_of: Callable[..., ChatTokenizer]) -> None:
    assert chat_tokenizer_of(PLAIN).template_hash == chat_tokenizer_of(PLAIN).template_hash
    assert chat_tokenizer_of(PLAIN).template_hash != chat_tokenizer_of(PLAIN + ASK).template_hash


# the template's own system prompt

REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
DEFAULT = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe a gem.<|im_end|>\n{% endif %}"
DATED = (
    "<|im_start|>system\nToday is today.\n\n{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}"
    "{% set messages = messages[1:] %}{% endif %}<|im_end|>\n"
)
INTO_USER = (
    "{% set first = '' %}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{{ (first if loop.index0 == 0 else '') + m['content'] }}<|im_end|>\n{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "native"),
    [
        (DEFAULT + PLAIN + ASK, "Be a gem."),
        (DEFAULT.replace("Be a gem.", "") + PLAIN + ASK, None),
        (DEFAULT.replace("Be a gem.", "Line one.\n\nLine <two>") + PLAIN + ASK, "Line one.\n\nLine <two>"),
        (PLAIN + ASK, None),
        (REFUSES + PLAIN + ASK, None),
        (DATED + PLAIN + ASK, None),
        (INTO_USER + ASK, None),
        (DEFAULT.replace("<|im_start|>system\nBe a gem.<|im_end|>", "A chat between two people.") + PLAIN + ASK, None),
        (DEFAULT.replace("system\n", "developer\n") + PLAIN + ASK, None),
        (PLAIN.replace("m in messages", "m in messages if m['role'] != 'system'") + ASK, None),
    ],
    ids=[
        "a default",
        "an empty default",
        "several lines",
        "none",
        "refuses",
        "a fixed header beside it",
        "into the user's turn",
        "a preamble that is no message",
        "a default in another role",
        "drops it",
    ],
)
def test_the_native_system_prompt_is_what_the_template_brings(
    template: str, native: str | None, chat_tokenizer_of: Callable[..., ChatTokenizer]
) -> None:
    chat = chat_tokenizer_of(template)
    assert chat.native_system == native
    if native is not None:
        bare = chat.tokens(talk("Is the sea blue?", "Yes."))
        assert chat.tokens(talk("Is the sea blue?", "Yes.", system=native)).ids == bare.ids


def test_the_native_system_prompt_of_the_fixtures_template(chat: ChatTokenizer) -> None:
    assert chat.native_system == "Be kind."


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], r"here: .*non-empty list, got \[\]"),
        (None, "non-empty list, got null"),
        ({"role": "user"}, "non-empty list, got"),
        (["hi"], 'message 0 needs "role" and "content", got "hi"'),
        ([USER, {"role": "assistant"}], "message 1 needs"),
        ([{"role": "bot", "content": ""}], "message 0 has role 'bot'; known: system, user, assistant"),
        ([{"role": "user", "content": 5}], "message 0: content must be text, got 5"),
        ([{"role": "user", "content": None}], "content must be text, got null"),
        ([USER, {"role": "system", "content": "s"}], "message 1 is a system message; only the first may be"),
        ([{"role": "system", "content": "s"}], "a system message alone"),
    ],
)
def test_bad_messages_are_refused_with_their_place_and_value(messages: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_messages(messages, "here")


def test_a_lone_assistant_message_is_refused_or_has_a_prompt(chat: ChatTokenizer) -> None:
    """Both are fine; an IndexError that names nothing is not."""
    lone = [{"role": "assistant", "content": "hi"}]
    try:
        check_messages(lone, "here")
    except ValueError:
        return
    assert chat.prompt(lone).response is None


def test_a_template_that_asks_with_another_header_is_refused_or_its_header_is_used(
    chat_tokenizer_of: Callable[..., ChatTokenizer],
) -> None:
    """Some templates (Qwen3) ask with one header and write another before an answer that is there.

    An answer must be read behind the tokens that it was generated behind: `tokens` and `answered` must agree.
    """
    chat = chat_tokenizer_of(
        PLAIN + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n{% endif %}"
    )
    messages = talk("hi", "fine")
    try:
        row, asked = chat.tokens(messages), chat.tokens(messages[:-1])
    except InterpError:
        return
    assert row.ids[: row.prompt_end] == asked.ids == chat.prompt(messages).ids


# files of chats


def test_read_chats_keeps_other_keys_and_passes_over_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('\n{"messages": [{"role": "user", "content": "é"}], "id": 7}\n\n', "utf-8")
    assert read_chats(path) == [{"messages": [{"role": "user", "content": "é"}], "id": 7}]


GOOD = json.dumps({"messages": [USER]}).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GOOD + b'\n{"messages": [', r"chats\.jsonl:2: not JSON"),
        (GOOD + b"\n\n[1]\n", r"chats\.jsonl:3: a JSON list"),
        (GOOD + b"\nnull\n", r"chats\.jsonl:2: a JSON NoneType"),
        (GOOD + b'\n{"messages": "\xff"}\n', r"chats\.jsonl:2: not UTF-8"),
        (GOOD.decode().encode("utf-16"), r"chats\.jsonl:1: not UTF-8"),
        (b"", r"chats\.jsonl: no chats in it"),
        (b"\n \n", r"chats\.jsonl: no chats in it"),
        (GOOD + b'\n{"text": "hi"}\n', r'chats\.jsonl:2: "messages" must be'),
        (
            GOOD + b'\n{"messages": [{"role": "user", "content": 1}]}\n',
            r"chats\.jsonl:2: message 0: content must be text, got 1",
        ),
    ],
)
def test_a_bad_file_of_chats_is_refused_with_file_line_and_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_chats(path)


def test_a_bad_chat_after_a_blank_line_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(GOOD + b'\n\n\n{"text": "hi"}\n')
    with pytest.raises(ValueError, match=r"chats\.jsonl:4"):
        read_chats(path)


def test_a_missing_file_of_chats_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.jsonl"):
        read_chats(tmp_path / "absent.jsonl")


# a real template and tokenizer


@pytest.mark.embedded
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_the_embedded_models_spans_decode_to_the_answer(embedded: Model, answer: str) -> None:
    chat = embedded.chat
    messages = talk("Is the sea blue?", answer, "And you?", answer)
    row, prompt = chat.tokens(messages), chat.prompt(messages)
    assert row.ids[: len(prompt)] == prompt.ids
    assert [text_of(chat, row, span) for span in row.spans] == [message["content"] for message in messages]
    assert chat.decode(row.ids) == hugging_face_text(chat, messages, ask=False)
    assert "system" in chat.decode(row.ids[:12]), "its template has a default system prompt"


@pytest.mark.embedded
def test_the_embedded_models_native_system_prompt_names_its_maker(embedded: Model) -> None:
    chat = embedded.chat
    native = chat.native_system
    assert native is not None
    assert "SmolLM" in native
    assert "Hugging Face" in native
    assert chat.tokens(talk("Who are you?", system=native)).ids == chat.tokens(talk("Who are you?")).ids


def test_a_template_that_refuses_the_system_role_says_so(chat_tokenizer_of: Callable[..., ChatTokenizer]) -> None:
    chat = chat_tokenizer_of(REFUSES + PLAIN + ASK)
    with pytest.raises(InterpError, match="the chat template refuses the messages system, user: no system role"):
        chat.tokens([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])

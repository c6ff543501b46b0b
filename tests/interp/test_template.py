"""Templates of many kinds: what is asked, learnt, read and generated agrees; settings are pinned and in the key."""

import datetime
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from finetune.batch import supervised
from finetune.recipe import TrainConfig
from finetune.stages import Stage
from interp.activations import window
from interp.chat import ChatTokenizer, Tokens
from interp.errors import InterpError
from interp.keys import content_key
from interp.model import Model
from interp.template import DATE, ChatTemplate, TemplateSettings
from tests.support.template_kinds import KINDS, Kind

HELLO = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is.\nYes"}]
LONGER = [*HELLO, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "It rains"}]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of template."""
    return KINDS[request.param]


def chat_of(kind: Kind, **settings: Any) -> ChatTokenizer:
    return ChatTokenizer(kind.tokenizer(), TemplateSettings.model_validate(settings))


def says(model: Model, ids: list[int]) -> None:
    """Make a model answer with `ids`, whatever it is asked: its head looks at the token before alone."""
    hf: Any = model.hf
    follow = dict(itertools.pairwise(ids))
    assert len(follow) == len(ids) - 1, "each id must be followed by one alone"
    first = ids[0]

    def head(_: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        wanted = torch.full_like(output, -100.0)
        for row, token in enumerate(hf._last_ids[:, -1].tolist()):
            wanted[row, -1, follow.get(token, first)] = 0
        return wanted

    hf.get_output_embeddings().register_forward_hook(head)
    hf.get_input_embeddings().register_forward_hook(lambda _, args, __: setattr(hf, "_last_ids", args[0]))


def hf_of(chat: ChatTokenizer, **more: Any) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(chat.tokenizer), pad_token_id=0, **{"eos_token_id": None, **sizes, **more})
    return LlamaForCausalLM(config).eval()


def model_of(chat: ChatTokenizer, **more: Any) -> Model:
    return Model(hf_of(chat, **more), chat, name="tiny", identity="tiny" * 8)


def text_at(chat: ChatTokenizer, row: Tokens, start: int, end: int) -> str:
    return chat.decode(row.ids[start:end])


# what is asked, learnt and read


def test_a_prompt_is_the_beginning_of_what_is_trained_on(kind: Kind) -> None:
    chat = chat_of(kind)
    for messages in (HELLO, LONGER):
        row, asked = chat.tokens(messages), chat.tokens(messages[:-1])
        assert row.ids[: row.prompt_end] == asked.ids == chat.prompt(messages).ids
        assert chat.prompt(messages) == asked


def test_header_content_and_end_are_learnt_and_nothing_else(kind: Kind) -> None:
    chat = chat_of(kind)
    row = chat.tokens(HELLO)
    assert row.response is not None
    learnt = chat.decode([row.ids[k] for k in sorted(supervised(row))])
    gap = " " if kind is KINDS["inst"] else ""
    assert learnt == kind.header + gap + HELLO[-1]["content"] + kind.end
    assert sorted(supervised(row))[0] == row.prompt_end
    assert text_at(chat, row, row.response.start, row.response.end) == HELLO[-1]["content"]
    assert window(row, "response_mean") == (row.response.start, row.response.end)


def test_the_text_of_a_row_is_what_the_template_renders(kind: Kind) -> None:
    chat = chat_of(kind)
    for messages in (HELLO, LONGER):
        whole = chat.tokenizer.apply_chat_template(messages, tokenize=False)
        assert chat.decode(chat.tokens(messages).ids) == whole


def test_every_answer_of_a_chat_is_learnt_as_it_is_shown(kind: Kind) -> None:
    chat = chat_of(kind)
    row = chat.tokens(LONGER)
    answers = [span for span in row.spans if span.role == "assistant"]
    assert [text_at(chat, row, s.start, s.end).strip() for s in answers] == ["It is.\nYes", "It rains"]
    assert {k for s in answers for k in range(s.start, s.end)} <= set(supervised(row))
    ends = [text_at(chat, row, *end) for end in row.end_of_turn]
    assert ends == ["" if kind is KINDS["channels"] else kind.end, kind.end]


def test_an_earlier_answer_that_ends_with_a_token_of_within_an_answer_does_not_teach_it() -> None:
    chat = chat_of(KINDS["channels"])
    row = chat.tokens(LONGER)
    end = chat.encode("<|end|>")[0]
    assert end not in {row.ids[k] for k in supervised(row)}
    assert chat.end_ids == tuple(chat.encode("<|return|>"))


def test_earlier_thoughts_are_gone_and_the_last_answer_has_its_empty_one() -> None:
    chat = chat_of(KINDS["thinking"])
    row = chat.tokens(LONGER)
    learnt = chat.decode([row.ids[k] for k in sorted(supervised(row))])
    assert learnt == "It is.\nYes<|im_end|><think>\n\n</think>\n\nIt rains<|im_end|>"


def test_a_closed_thought_in_the_asking_header_stays_in_the_prompt() -> None:
    chat = chat_of(KINDS["thinking"], switches={"enable_thinking": False})
    row = chat.tokens(HELLO)
    assert text_at(chat, row, 0, row.prompt_end).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert chat.decode([row.ids[k] for k in supervised(row)]) == "It is.\nYes<|im_end|>"


def test_a_closed_thought_that_only_the_asking_header_has_stays_before_the_last_answer() -> None:
    base, thought = KINDS["chatml"], "<think>\n\n</think>\n\n"
    asks = base.template.replace("assistant\n{% endif %}", "assistant\n" + thought + "{% endif %}")
    chat = chat_of(Kind(asks, base.marks, base.eos, base.end))
    row = chat.tokens(LONGER)
    assert chat.decode(row.ids).count(thought) == 1
    assert text_at(chat, row, 0, row.prompt_end).endswith(thought)
    assert row.ids[: row.prompt_end] == chat.tokens(LONGER[:-1]).ids
    assert chat.decode([row.ids[k] for k in sorted(supervised(row))]) == "It is.\nYes<|im_end|>It rains<|im_end|>"


def test_a_blank_that_is_written_before_an_answer_joins_its_first_word(
    chat_tokenizer_of: Callable[..., ChatTokenizer],
) -> None:
    template = (
        "{% for m in messages %}{{ 'A:' if m.role == 'assistant' else 'Q:' }} {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}"
    )
    chat = chat_tokenizer_of(template)
    row = chat.tokens([HELLO[0], {"role": "assistant", "content": "the sea"}])
    assert row.ids[row.prompt_end : row.prompt_end + 2] == (*chat.encode(" the"), *chat.encode(" "))
    assert row.response is not None
    assert (row.response.start, chat.answer_text(chat.encode(" the sea"))) == (row.prompt_end, "the sea")


@pytest.mark.parametrize("more", ["<think>\n", "<seed:think>\n", "[THINK]", "<think>\n\n</think>\n<think>"])
def test_an_answer_is_never_put_inside_a_thought_that_only_the_asking_header_opens(more: str) -> None:
    base = KINDS["chatml"]
    asks = base.template.replace("assistant\n{% endif %}", "assistant\n" + more + "{% endif %}")
    chat = chat_of(Kind(asks, base.marks, base.eos, base.end))
    row = chat.tokens(LONGER)
    assert "<think>" not in chat.decode(row.ids)
    assert more not in chat.decode(row.ids)
    assert row.ids[: row.prompt_end] == chat.tokens(LONGER[:-1]).ids


def test_headers_of_which_neither_begins_the_other_are_refused_with_both_and_a_way_out() -> None:
    base = KINDS["chatml"]
    asks = base.template.replace("assistant\n{% endif %}", "bot\n{% endif %}")
    with pytest.raises(InterpError, match=r"bot\\n.*assistant\\n.*--chat-template"):
        chat_of(Kind(asks, base.marks, base.eos, base.end)).tokens(HELLO)


def test_a_chat_that_weighs_an_answer_nothing_does_not_learn_it(kind: Kind) -> None:
    chat = chat_of(kind)
    light = [LONGER[0], {**LONGER[1], "weight": 0}, *LONGER[2:]]
    row, plain = chat.tokens(light), chat.tokens(LONGER)
    assert row.ids == plain.ids
    first = next(span for span in plain.spans if span.role == "assistant")
    assert sorted(supervised(row)) == [k for k in sorted(supervised(plain)) if k > plain.end_of_turn[0][1]]
    assert first.start not in supervised(row)
    last = chat.tokens([*LONGER[:3], {**LONGER[3], "weight": 0}])
    assert sorted(supervised(last)) == [k for k in sorted(supervised(plain)) if k < plain.prompt_end]


# generation


def test_generation_stops_at_the_templates_end_and_its_answer_is_the_content(kind: Kind) -> None:
    chat = chat_of(kind)
    model = model_of(chat)
    content = "abc"
    gap = " " if kind is KINDS["inst"] else ""
    ids = chat.encode(gap + content)
    prompt = chat.tokens(HELLO[:1])
    says(model, [*ids, *chat.encode(kind.end)])
    (answer,) = model.generate([prompt], max_new_tokens=24, temperature=0.0)
    assert answer == tuple(ids)
    assert chat.answer_text(answer) == content
    whole = chat.tokens([HELLO[0], {"role": "assistant", "content": content}])
    said = prompt.answered((*chat.encode(kind.header), *answer))
    assert said.ids == whole.ids[: len(said)]
    assert (said.response, said.prompt_end) == (whole.response, whole.prompt_end)


def test_stops_are_the_templates_the_configs_and_the_tokenizers() -> None:
    chat = chat_of(KINDS["chatml"])
    model = model_of(chat)
    ends = {name: chat.encode(name)[0] for name in ("<|im_end|>", "<|endoftext|>", "<|im_start|>")}
    assert set(model.stop_ids) == {ends["<|im_end|>"], ends["<|endoftext|>"]}
    assert model.hf.generation_config is not None
    for known in (ends["<|im_start|>"], [ends["<|im_start|>"], 9]):
        model.hf.generation_config.eos_token_id = known
        assert set(model.stop_ids) == {*ends.values(), *([9] if isinstance(known, list) else [])}


@pytest.mark.parametrize(
    ("name", "said", "text", "start"),
    [
        ("thinking", "<think>\nWell, a < b\n</think>\n\nfine", "fine", "fine"),
        ("thinking", "<think>\nstill thinking", "", ""),
        ("thinking", "<think>a</think>\n\n<think>b</think>\n\nfine", "fine", "fine"),
        ("thinking", "fine at once", "fine at once", "fine at once"),
        ("thinking", "<think>\n日本</think>\n\né<html>", "é<html>", "é<html>"),
        ("opened", "<think>\nhm\n</think>\n\nfine", "fine", "fine"),
        ("opened", "<think>\nhm", "", ""),
        ("opened", "<html>", "<html>", "<html>"),
        ("channels", "<|channel|>final<|message|>fine", "fine", "fine"),
        (
            "channels",
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>ok",
            "ok",
            "ok",
        ),
        ("channels", "<|channel|>analysis<|message|>hm", "", ""),
        ("channels", "fine", "fine", "fine"),
        ("inst", " fine", "fine", "fine"),
        ("chatml", "<think>x</think>y", "<think>x</think>y", "<think>x</think>y"),
    ],
)
def test_the_content_of_a_generated_answer_is_found(name: str, said: str, text: str, start: str) -> None:
    chat = chat_of(KINDS[name])
    ids = chat.encode(said)
    assert chat.answer_text(ids) == text
    prompt = chat.tokens(HELLO[:1])
    row = prompt.answered(ids)
    assert row.response is not None
    assert chat.decode(row.ids[row.response.start : row.response.end]) == start
    assert row.prompt_end == len(prompt)


def test_the_place_where_a_content_begins_is_behind_the_header() -> None:
    chat = chat_of(KINDS["channels"])
    opened = chat.tokens(HELLO[:1]).opened()
    assert chat.decode(opened.ids).endswith("<|start|>assistant<|channel|>final<|message|>")
    whole = chat.tokens(HELLO)
    assert whole.response is not None
    assert len(opened) == opened.prompt_end == whole.response.start
    assert opened.answered(chat.encode("ab")).response == chat.tokens(HELLO[:1]).opened().answered((1, 2)).response


def test_an_end_of_several_tokens_is_cut_off_whole() -> None:
    base = KINDS["chatml"]
    kind = Kind(base.template.replace("<|im_end|>", "~<|im_end|>"), base.marks, base.eos, "~<|im_end|>")
    chat = chat_of(kind)
    assert chat.decode(chat.cut(chat.encode("yes~<|im_end|>and"), chat.end_ids)) == "yes"
    assert chat.decode(chat.cut(chat.encode("yes~<|endoftext|>"), chat.encode("<|endoftext|>"))) == "yes~"


# control tokens in contents


def test_a_content_that_spells_control_tokens_is_text_and_no_turn(kind: Kind) -> None:
    chat = chat_of(kind)
    spelt = "say " + "".join((*kind.marks, *kind.plain)) + " and go"
    messages = [
        {"role": "user", "content": spelt},
        {"role": "assistant", "content": "<x> " + "".join(kind.marks) + "!"},
    ]
    plain = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    row, bare = chat.tokens(messages), chat.tokens(plain)
    controls = set(chat.encode("".join((*kind.marks, *kind.plain))))
    assert [i for i in row.ids if i in controls] == [i for i in bare.ids if i in controls]
    assert [text_at(chat, row, s.start, s.end).strip() for s in row.spans] == [m["content"] for m in messages]
    assert chat.decode(row.ids) == chat.tokenizer.apply_chat_template(messages, tokenize=False)


def test_contents_without_control_tokens_are_encoded_as_they_were(kind: Kind) -> None:
    chat = chat_of(kind)
    gap = " " if kind is KINDS["inst"] else ""
    assert chat.content_ids("a <b> c|d\n") == chat.encode(gap + "a <b> c|d\n")


def test_a_control_token_that_cannot_be_written_as_text_is_refused_with_its_place() -> None:
    chat = chat_of(KINDS["chatml"])
    chat._encoder.tokenizer = _Stubborn(chat.tokenizer)  # type: ignore[assignment]
    with pytest.raises(InterpError, match=r"rows\.jsonl:4: .*spells the control token '<\|im_end\|>'"):
        chat.tokens_of([[{"role": "user", "content": "<|im_end|>"}]], ["rows.jsonl:4"])


class _Stubborn:
    """A tokenizer that knows no text without control tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._of = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)

    def __call__(self, texts: Any, **how: Any) -> Any:
        if texts in ("<", "|im_end|>"):
            return {"input_ids": [1]}
        return self._of(texts, **{**how, "split_special_tokens": False})


# settings


def test_a_template_with_a_clock_gives_the_same_ids_any_day(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    class Other(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Other":  # noqa: ARG003
            return cls(1999, 3, 4, 5, 6, 7)

    for name in ("dated", "channels"):
        today = chat_of(KINDS[name]).tokens(HELLO).ids
        with monkeypatch.context() as patched:
            patched.setattr(chat_template_utils, "datetime", Other)
            assert chat_of(KINDS[name]).tokens(HELLO).ids == today
    assert DATE.strftime("Today Date: %d %b %Y") in chat_of(KINDS["dated"]).decode(
        chat_of(KINDS["dated"]).tokens(HELLO).ids
    )


def test_a_clock_with_microseconds_rewrites_nothing() -> None:
    kind = KINDS["dated"]
    fast = Kind(kind.template.replace("%d %b %Y", "%d %H:%M:%S.%f"), kind.marks, kind.eos, kind.end)
    chat = chat_of(fast, date="2026-02-03")
    assert "03 00:00:00.000000" in chat.decode(chat.tokens(HELLO).ids)


def test_a_setting_changes_hash_and_description_where_it_changes_the_template(tmp_path: Path) -> None:
    plain = chat_of(KINDS["dated"])
    other = chat_of(KINDS["dated"], date="2024-07-26")
    assert plain.template_hash != other.template_hash
    assert plain.template.description() == {"template": {"date": DATE.isoformat()}}
    assert "26 Jul 2024" in other.decode(other.tokens(HELLO).ids)
    chatml = chat_of(KINDS["chatml"])
    assert chatml.template.description() == {}
    file = tmp_path / "mine.jinja"
    file.write_text(KINDS["chatml"].template, "utf-8")
    same = chat_of(KINDS["chatml"], file=file)
    assert same.template_hash == chatml.template_hash
    assert same.template.description() == {"template": {"file": "mine.jinja"}}


def test_settings_are_part_of_a_stages_key() -> None:
    config = TrainConfig(learning_rate=1e-3)

    def key(**settings: Any) -> str:
        model = model_of(chat_of(KINDS["thinking"], **settings))
        return Stage("s", None, [HELLO], config, "stack", 0).key(model)

    assert key() == key()
    assert len({key(), key(switches={"enable_thinking": False}), key(switches={"enable_thinking": True})}) == 3


TWO_ENDS = KINDS["chatml"].template.replace(
    "<|im_end|>", "{{ '<|im_end|>' if loop.last or m['role'] == 'user' else '<|endoftext|>' }}"
)
SPELT = [{"role": "user", "content": "Is <|im_end|> it?"}, HELLO[1]]
UNLEARNT = [LONGER[0], {**LONGER[1], "weight": 0}, *LONGER[2:]]


@pytest.mark.parametrize(
    ("kind", "chat", "otherwise"),
    [
        (KINDS["chatml"], LONGER, []),
        (KINDS["chatml"], [HELLO[0], {**HELLO[1], "weight": 1}], []),
        (KINDS["model"], LONGER, []),
        (KINDS["channels"], HELLO, ["answers"]),
        (KINDS["opened"], HELLO, ["answers"]),
        (KINDS["inst"], HELLO, ["answers"]),
        (replace(KINDS["chatml"], template=TWO_ENDS), LONGER, ["answers"]),
        (KINDS["chatml"], SPELT, ["control tokens"]),
        (KINDS["chatml"], UNLEARNT, ["weights"]),
    ],
    ids=["plain", "weight 1", "no system", "header", "open thought", "blank", "two ends", "control token", "weight 0"],
)
def test_a_stage_whose_rows_once_had_other_tokens_has_another_key_and_no_other_has(
    kind: Kind, chat: list[dict[str, Any]], otherwise: list[str]
) -> None:
    model = model_of(chat_of(kind))
    config = TrainConfig(learning_rate=1e-3)
    said = model.description()
    before = {
        "model": [said["model_identity"], said["template_hash"], said["dtype"]],
        "parent": None,
        "data": content_key([chat]),
        "train": config.identity(),
        "compose": "stack",
        "seed": 0,
        "checkpoints": [],
        "defences": [],
    }
    more = {"once_otherwise": otherwise} if otherwise else {}
    assert Stage("s", None, [chat], config, "stack", 0).key(model) == content_key({**before, **more})
    assert said.get("once_otherwise", []) == [reason for reason in otherwise if reason == "answers"]


def test_a_template_that_cannot_be_asked_still_has_a_description() -> None:
    chat = chat_of(replace(KINDS["chatml"], template="{% for m in messages %}{{ m['role'] }}{% endfor %}"))
    assert chat.description() == {}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            "thinking",
            {"switches": {"enable_thinkin": False}},
            "unknown switch .*'enable_thinkin'; did you mean 'enable_thinking'",
        ),
        ("chatml", {"date": "2025-01-02"}, "no clock"),
        ("chatml", {"name": "tool_use"}, "no chat template 'tool_use'"),
        ("chatml", {"system": "prepend"}, "has a system role"),
        ("chatml", {"file": Path("a"), "name": "b"}, "both choose a template"),
        ("chatml", {"switches": {"messages": 1}}, "'messages' cannot be set"),
    ],
)
def test_a_setting_that_a_template_does_not_have_is_refused(kind: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chat_of(KINDS[kind], **settings)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.jinja"):
        chat_of(KINDS["chatml"], file=tmp_path / "absent.jinja")
    (tmp_path / "bad.jinja").write_text("{% for m in %}", "utf-8")
    with pytest.raises(ValueError, match=r"bad\.jinja: not a Jinja template"):
        chat_of(KINDS["chatml"], file=tmp_path / "bad.jinja")


def test_one_of_several_templates_is_chosen_by_name() -> None:
    tokenizer = KINDS["chatml"].tokenizer()
    tokenizer.chat_template = {"short": "{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}"}  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"no chat template 'default'; it brings short"):
        ChatTokenizer(tokenizer)
    chat = ChatTokenizer(tokenizer, TemplateSettings(name="short"))
    assert chat.decode(chat.tokens(HELLO).ids) == "Is it?<|im_end|>It is.\nYes<|im_end|>"
    assert tokenizer.chat_template.keys() == {"short"}, "the user's own tokenizer is left as it is"


def test_values_of_switches_reach_the_template_as_they_are() -> None:
    kind = KINDS["chatml"]
    shows = Kind("{{ [a, b, c, d] | tojson }}" + kind.template, kind.marks, kind.eos, kind.end)
    values = {"a": True, "b": 3, "c": 'it\'s "so"\n日🧭', "d": 0.5}
    text = chat_of(shows, switches=values).decode(chat_of(shows, switches=values).tokens(HELLO).ids)
    assert json.loads(text[: text.index("<|im_start|>")]) == list(values.values())


# a system prompt for templates without one

SYSTEM = [{"role": "system", "content": "Be kind."}, *HELLO]


def test_a_template_without_a_system_role_names_the_way_out() -> None:
    with pytest.raises(InterpError, match="no system role here; --template system=prepend"):
        chat_of(KINDS["model"]).tokens(SYSTEM)


def test_prepended_words_go_before_the_first_user_turn_and_have_their_own_span() -> None:
    chat, bare = chat_of(KINDS["model"], system="prepend"), chat_of(KINDS["model"])
    row = chat.tokens(SYSTEM)
    assert "<turn>user\nBe kind.\n\nIs it?<end>" in chat.decode(row.ids)
    assert [text_at(chat, row, s.start, s.end) for s in row.spans] == [m["content"] for m in SYSTEM]
    assert chat.tokens(HELLO).ids == bare.tokens(HELLO).ids
    assert chat.native_system is None
    assert chat.template.description() == {"template": {"system": "prepend"}}
    assert chat.template_hash != bare.template_hash
    empty = [{"role": "system", "content": ""}, *HELLO]
    assert chat.tokens(empty).ids == bare.tokens(HELLO).ids


def test_empty_system_words_put_nothing_before_the_first_user_turn() -> None:
    kind = replace(KINDS["model"], template=KINDS["model"].template.replace(" | trim", ""))
    chat, bare = chat_of(kind, system="prepend"), chat_of(kind)
    assert chat.tokens([{"role": "system", "content": ""}, *HELLO]).ids == bare.tokens(HELLO).ids
    assert "<turn>user\nBe kind.\n\nIs it?<end>" in chat.decode(chat.tokens(SYSTEM).ids)


def test_a_refusal_names_the_row() -> None:
    twice = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, HELLO[1]]
    with pytest.raises(
        InterpError, match=r"^rows\.jsonl:7: the chat template refuses the messages user, user, assistant"
    ):
        chat_of(KINDS["model"]).tokens_of([HELLO, twice], ["rows.jsonl:6", "rows.jsonl:7"])


def test_a_base_model_is_asked_with_a_file(tmp_path: Path) -> None:
    tokenizer = KINDS["chatml"].tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match=r"no chat template.*--chat-template FILE"):
        ChatTokenizer(tokenizer)
    file = tmp_path / "mine.jinja"
    file.write_text(KINDS["chatml"].template, "utf-8")
    chat = ChatTokenizer(tokenizer, TemplateSettings(file=file))
    assert chat.template_hash == chat_of(KINDS["chatml"]).template_hash
    assert ChatTemplate(tokenizer, TemplateSettings(file=file)).hash == chat.template_hash


def test_a_folder_is_loaded_with_settings_and_says_so(tmp_path: Path) -> None:
    chat = chat_of(KINDS["model"])
    hf_of(chat).save_pretrained(tmp_path / "m")
    chat.tokenizer.save_pretrained(tmp_path / "m")
    model = Model.load(str(tmp_path / "m"), TemplateSettings(system="prepend"), device="cpu", dtype="float32")
    assert model.description()["template"] == {"system": "prepend"}
    assert "template" not in Model.load(str(tmp_path / "m"), device="cpu", dtype="float32").description()


def test_a_gguf_without_template_is_refused_before_it_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat_tokenizer_of: Callable[..., ChatTokenizer]
) -> None:
    del chat_tokenizer_of
    import gguf

    from interp import sources

    file = tmp_path / "base.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("base")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    def converted(*_: Any) -> Path:
        raise AssertionError("converted")

    monkeypatch.setattr(sources, "_dequantised", converted)
    with pytest.raises(ValueError, match=r"base\.gguf: has no chat template.*--chat-template FILE"):
        sources.resolve(str(file))
    with pytest.raises(AssertionError, match="converted"):
        sources.resolve(str(file), TemplateSettings(file=tmp_path / "mine.jinja"))


# where settings are given


def saved(kind: Kind, folder: Path) -> str:
    chat = chat_of(kind)
    hf_of(chat).save_pretrained(folder)
    chat.tokenizer.save_pretrained(folder)
    return str(folder)


def command(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    from experiments.cli import main

    with pytest.raises(SystemExit) as left:
        main(args)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def written(path: Path, *chats: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats), "utf-8")
    return path


def test_the_command_line_sets_the_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, chats = saved(KINDS["thinking"], tmp_path / "m"), written(tmp_path / "c.jsonl", HELLO)
    show = ["show", "--tokens", str(chats), "--model", model, "--json"]
    parts = []
    for more in ([], ["--template", "enable_thinking=false"]):
        rc, out, _ = command([*show, *more], capsys)
        assert rc == 0
        parts.append([(token["part"], token["learnt"]) for token in json.loads(out)["chats"][0]["tokens"]])
    assert parts[0].count(("header", True)) == len(chat_of(KINDS["thinking"]).encode("<think>\n\n</think>\n\n"))
    assert parts[1].count(("header", True)) == 0
    rc, _, err = command([*show, "--template", "enable_thinkin=false"], capsys)
    assert rc == 2
    assert "did you mean 'enable_thinking'" in err
    rc, _, err = command(["show", str(chats), "--template", "a=1"], capsys)
    assert (rc, "are for --tokens" in err) == (2, True)


def test_a_file_takes_the_place_of_a_missing_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = KINDS["chatml"]
    model, chats = saved(kind, tmp_path / "m"), written(tmp_path / "c.jsonl", HELLO)
    (tmp_path / "m" / "chat_template.jinja").unlink()
    (tmp_path / "mine.jinja").write_text(kind.template, "utf-8")
    look = ["data", "chats", "--set", f"file={chats}", "--model", model]
    rc, _, err = command(look, capsys)
    assert (rc, "--chat-template FILE" in err) == (2, True)
    rc, out, _ = command([*look, "--chat-template", str(tmp_path / "mine.jinja")], capsys)
    assert rc == 0
    assert "assistant\n【It is.\nYes<|im_end|>】" in out


def test_a_row_that_the_template_refuses_is_named_by_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chats = written(tmp_path / "c.jsonl", HELLO, [HELLO[0], *HELLO])
    model = saved(KINDS["model"], tmp_path / "m")
    rc, _, err = command(["data", "chats", "--set", f"file={chats}", "--model", model], capsys)
    assert rc == 2
    assert f"{chats}:2: the chat template refuses the messages user, user, assistant: roles must alternate" in err


def test_a_study_holds_the_settings_and_an_older_one_has_none() -> None:
    from experiments.study import load
    from experiments.study.config import StudyConfig
    from experiments.study.run import _up_to_date

    demo = load.load("demo")
    held = demo.model_dump(mode="json")
    assert StudyConfig.model_validate(held) == demo
    assert _up_to_date({key: value for key, value in held.items() if key != "template"}) == held
    template = {"date": "2025-02-03", "system": "prepend", "switches": {"enable_thinking": False}}
    study = StudyConfig.model_validate({**held, "template": template})
    assert study.template == TemplateSettings.model_validate(template)
    assert StudyConfig.model_validate(study.model_dump(mode="json")) == study


def test_a_studys_template_is_looked_up_beside_it(tmp_path: Path) -> None:
    from experiments.study import load

    (tmp_path / "mine.yaml").write_text("like: demo\ntemplate: {file: mine.jinja}\n", "utf-8")
    assert load.load(str(tmp_path / "mine.yaml")).template.file == (tmp_path / "mine.jinja").resolve()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"weight": 0.5}, r"c\.jsonl:2: message 1: weight must be 0 \(not learnt\) or 1, got 0.5"),
        ({"weight": True}, "weight must be 0"),
        ({"thinking": "hm"}, r"c\.jsonl:2: message 1 has 'thinking'"),
        ({"tool_calls": [{"id": 1}]}, "message 1 has 'tool_calls'"),
        ({"weight": 0}, r"c\.jsonl:2: every answer has weight 0"),
    ],
)
def test_fields_of_a_message_are_read_or_refused_with_file_and_line(
    message: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    from finetune.data.published import Chats

    file = written(tmp_path / "c.jsonl", HELLO, [HELLO[0], {**HELLO[1], **message}])
    with pytest.raises(ValueError, match=reason):
        Chats(builder="chats", file=file).check()


def test_weights_that_change_nothing_leave_no_trace_and_others_stay(tmp_path: Path) -> None:
    from finetune.data.chat_files import as_chat
    from finetune.data.published import Chats

    light = [
        {**LONGER[0], "weight": 0, "name": None},
        {**LONGER[1], "weight": 0},
        LONGER[2],
        {**LONGER[3], "weight": 1},
    ]
    kept = [LONGER[0], {**LONGER[1], "weight": 0}, *LONGER[2:]]
    assert as_chat({"messages": light}, "here")["messages"] == kept
    chats = Chats(builder="chats", file=written(tmp_path / "c.jsonl", light))
    assert [row["messages"] for row in chats._taken()[0]] == [kept]
    with pytest.raises(ValueError, match="weight 1, but what the user says is never learnt"):
        as_chat({"messages": [{**HELLO[0], "weight": 1}, HELLO[1]]}, "here")

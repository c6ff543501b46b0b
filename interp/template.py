"""A chat template and how it is asked: which one, on which date, with which switches, with or without a system role.

All of these settings end up in the template's own text: what is set is written before it, in its own language. So
whoever renders the template (this package, or a library that is handed the tokenizer) gets the same text, and the hash
of the template says what was set wherever that can change a token.
"""

import copy
import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.meta
from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import PreTrainedTokenizerBase

from interp.errors import InterpError, did_you_mean

Switch = bool | int | float | str

DATE = datetime.date(2025, 1, 1)
"""The day that a template with a clock is shown where none is set, so that the same chat is the same tokens any day."""
NO_TEMPLATE = (
    "has no chat template, as base models have not; give a Jinja file with --chat-template FILE (in a study: "
    "template.file), or use an instruction-tuned model"
)
PREPEND = (
    "--template system=prepend (in a study: template.system) puts the system prompt's words before the first user turn"
)

_GIVEN = {"messages", "add_generation_prompt", "tools", "documents", "continue_final_message"}
_FUNCTIONS = {"strftime_now", "raise_exception", "namespace", "dict", "range", "lipsum", "cycler", "joiner"}
_PREPENDED = (
    "{% if messages[0]['role'] == 'system' and messages[1]['role'] == 'user' %}{% set messages = "
    "[{'role': 'user', 'content': (messages[0]['content'] + '\n\n' if messages[0]['content'] else '') + "
    "messages[1]['content']}] + messages[2:] %}{% endif +%}"
)


class TemplateSettings(BaseModel):
    """Which chat template a model is asked with, and how; what is not set is as the model brings it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path | None = None
    """A Jinja file that takes the place of the model's own template; for base models, which bring none."""
    name: str | None = None
    """One of several templates that the model brings."""
    date: datetime.date | None = None
    """What a template with a clock is told for today; `DATE` where it is not set."""
    system: Literal["template", "prepend"] = "template"
    """`prepend`: for a template without a system role, the system prompt's words go before the first user turn."""
    switches: dict[str, Switch] = Field(default_factory=dict)
    """Variables that the template reads, such as `enable_thinking`."""

    @model_validator(mode="after")
    def _one_template(self) -> "TemplateSettings":
        if self.file is not None and self.name is not None:
            raise ValueError(f"file {self.file} and name {self.name!r} both choose a template; give one of them")
        for name in self.switches:
            if not name.isidentifier() or name in _GIVEN | _FUNCTIONS:
                raise ValueError(f"switches: {name!r} cannot be set; a switch is a variable that the template reads")
        return self

    def text(self) -> str:
        """The text of `file`.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no Jinja template.
        """
        if self.file is None or not self.file.is_file():
            raise FileNotFoundError(f"template.file: {self.file}: no such file")
        text = self.file.read_text("utf-8")
        try:
            _variables(text)
        except jinja2.TemplateError as error:
            raise ValueError(f"template.file: {self.file}: not a Jinja template ({error})") from error
        return text

    def description(self) -> dict[str, Any]:
        """What is set, as JSON holds it; the file by its name alone, since the template's hash says what is in it."""
        told = self.model_dump(mode="json", exclude_defaults=True)
        return told | ({"file": self.file.name} if self.file else {})


AS_IS = TemplateSettings()
"""The template as the model brings it."""


class ChatTemplate:
    """The template of a tokenizer under some settings.

    Attributes:
        tokenizer: The tokenizer, with the template as it is set.
        hash: sha256 of the template, with what is written before it.
        settings: As given.
        date: What its clock shows; None for a template without a clock.

    Raises:
        ValueError: there is no template, or a setting that it does not have.
        FileNotFoundError: the template's file is missing.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: TemplateSettings) -> None:
        text = _chosen(tokenizer, settings)
        self.settings = settings
        self.date = (settings.date or DATE) if re.search(r"\bstrftime_now\b", text) else None
        if settings.date is not None and self.date is None:
            raise ValueError(f"template.date: {settings.date}, but this chat template has no clock; leave it out")
        before = _clock(text, self.date) if self.date else ""
        before += "".join(_set(name, value, text) for name, value in settings.switches.items())
        if settings.system == "prepend":
            if _takes_system(_with_template(tokenizer, before + text)):
                raise ValueError("template.system: prepend, but this chat template has a system role; leave it out")
            before = _PREPENDED + before
        changed = bool(before or settings.file or settings.name)
        self.tokenizer = _with_template(tokenizer, before + text) if changed else tokenizer
        self.hash = hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest()

    def description(self) -> dict[str, Any]:
        """As `template`, what is set and the date that is shown; nothing if the template is as the model brings it."""
        told = self.settings.description() | ({"date": self.date.isoformat()} if self.date else {})
        return {"template": told} if told else {}

    def render(self, messages: Sequence[Mapping[str, Any]], generation_prompt: bool) -> str:
        """The text of messages, with or without the header that asks for an answer.

        Raises:
            InterpError: the template refuses the messages; says so and, where it is one, the way out.
        """
        try:
            return _rendered(self.tokenizer, messages, generation_prompt)
        except (jinja2.TemplateError, TypeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            system = messages[0]["role"] == "system" and self.settings.system == "template"
            way_out = f"; {PREPEND}" if system and not _takes_system(self.tokenizer) else ""
            raise InterpError(f"the chat template refuses the messages {roles}: {error}{way_out}") from error


def check_has_template(name: str, template: object) -> None:
    """Check that a model can be asked: it brings a template, or one is given.

    Raises:
        ValueError: there is none.
    """
    if not template:
        raise ValueError(f"{name}: {NO_TEMPLATE}")


def _chosen(tokenizer: PreTrainedTokenizerBase, settings: TemplateSettings) -> str:
    """The template that the settings choose."""
    if settings.file is not None:
        return settings.text()
    brought = getattr(tokenizer, "chat_template", None)
    check_has_template("the tokenizer", brought)
    if settings.name is None and not isinstance(brought, dict):
        return str(brought)
    named = brought if isinstance(brought, dict) else {}
    name = settings.name or "default"
    if name not in named:
        there = f"it brings {', '.join(sorted(named))}" if named else "the model brings one alone, without a name"
        raise ValueError(f"template.name: the model has no chat template {name!r}; {there}")
    return named[name]


def _with_template(tokenizer: PreTrainedTokenizerBase, text: str) -> PreTrainedTokenizerBase:
    changed = copy.copy(tokenizer)
    changed.chat_template = text
    return changed


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], ask: bool) -> str:
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=ask)
    assert isinstance(text, str)
    return text


def _takes_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template shows a system message."""
    words = "Q0SYSTEMQ"
    try:
        return words in _rendered(
            tokenizer, [{"role": "system", "content": words}, {"role": "user", "content": "a"}], True
        )
    except (jinja2.TemplateError, TypeError):
        return False


def _clock(text: str, day: datetime.date) -> str:
    """A clock that always shows one day at midnight, in place of the template's."""
    midnight = datetime.datetime(day.year, day.month, day.day)
    parts = sorted(set(re.findall(r"%[-#]?[A-Za-z]", text)))
    shown = "".join(f" | replace({_literal(part)}, {_literal(midnight.strftime(part))})" for part in parts)
    return "{% macro strftime_now(format) %}{{ format" + shown + " }}{% endmacro +%}"


def _set(name: str, value: Switch, text: str) -> str:
    known = sorted(_variables(text))
    if name not in known:
        raise ValueError("template.switches: " + did_you_mean("switch of this chat template", name, known))
    return "{% set " + name + " = " + _literal(value) + " +%}"


def _literal(value: Switch) -> str:
    """A value as Jinja reads it."""
    return json.dumps(value, ensure_ascii=False)


def _variables(text: str) -> set[str]:
    """What a template reads beside the messages and the special tokens."""
    plain = re.sub(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}", "", text)
    parsed = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(plain)
    names = jinja2.meta.find_undeclared_variables(parsed) - _GIVEN - _FUNCTIONS
    return {name for name in names if not name.endswith(("_token", "_tokens"))}

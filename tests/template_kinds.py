"""Chat templates of the kinds that families of models bring, each with a byte-level tokenizer of its control tokens."""

from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Kind:
    """A template, its control tokens, and what is known of it.

    Attributes:
        marks: Special tokens; the first pads.
        plain: Added tokens that are not special.
        end: What an answer ends with.
        header: What a model says before its content.
        alternates: Whether it takes users and assistants in turn only.
    """

    template: str
    marks: tuple[str, ...]
    eos: str
    end: str
    header: str = ""
    plain: tuple[str, ...] = ()
    system: bool = True
    alternates: bool = False

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """256 bytes and the control tokens."""
        words = [*self.marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        backend = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([AddedToken(mark, special=True) for mark in self.marks])
        backend.add_tokens([AddedToken(word, special=False) for word in self.plain])
        return PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token=self.marks[0], eos_token=self.eos, chat_template=self.template
        )


_TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
_ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
_CHATML = ("<|pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")

_THINKING = (
    "{% set ns = namespace(asked=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.asked = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% set text = m.content %}{% set thought = '' %}"
    "{% if m.role == 'assistant' %}{% if '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}{% endif %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.index0 > ns.asked %}<think>\n{{ thought }}\n</think>\n\n{% endif %}"
    "{{ text }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
_CHANNELS = (
    "<|start|>system<|message|>Today: {{ strftime_now('%Y-%m-%d') }}<|end|>{% for m in messages %}"
    "{% if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}{% else %}"
    "<|start|>{{ 'developer' if m.role == 'system' else m.role }}<|message|>{{ m.content }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
_MODEL = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role here') }}{% endif %}<bos>"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<turn>"
    "{{ 'model' if m['role'] == 'assistant' else 'user' }}"
    "\n{{ m['content'] | trim }}<end>\n{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
_INST = (
    "<s>{% set words = '' %}{% if messages[0]['role'] == 'system' %}{% set words = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}{% if m['role'] == 'user' %}[INST] "
    "{{ (words if loop.first else '') + m['content'] }}[/INST]{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)
_DATED = (
    "<|begin|>{% if messages[0]['role'] == 'system' %}{% set words = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set words = '' %}{% endif %}"
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}"
    "{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}"
    "<|header|>system<|/header|>\n\nToday Date: {{ date_string }}\n\n{{ words }}<|eot|>"
    "{% for m in messages %}<|header|>{{ m['role'] }}<|/header|>\n\n{{ m['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|header|>assistant<|/header|>\n\n{% endif %}"
)
_ENDED = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}<|endoftext|>{% endif %}"
)
_OPENED = (
    "<bos>{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}{% elif m['role'] == 'user' %}<User>"
    "{{ m['content'] }}{% else %}<Assistant>{{ m['content'].split('</think>')[-1] }}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<Assistant><think>\n{% endif %}"
)

KINDS = {
    "chatml": Kind(_TURNS + _ASK, _CHATML, "<|endoftext|>", "<|im_end|>"),
    "thinking": Kind(
        _THINKING, _CHATML, "<|im_end|>", "<|im_end|>", "<think>\n\n</think>\n\n", plain=("<think>", "</think>")
    ),
    "channels": Kind(
        _CHANNELS,
        ("<|pad|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>"),
        "<|return|>",
        "<|return|>",
        "<|channel|>final<|message|>",
    ),
    "model": Kind(
        _MODEL, ("<pad>", "<eos>", "<bos>", "<turn>", "<end>"), "<eos>", "<end>", system=False, alternates=True
    ),
    "inst": Kind(_INST, ("<pad>", "<s>", "</s>", "[INST]", "[/INST]"), "</s>", "</s>", alternates=True),
    "dated": Kind(
        _DATED, ("<|pad|>", "<|begin|>", "<|header|>", "<|/header|>", "<|eot|>", "<|eos|>"), "<|eos|>", "<|eot|>"
    ),
    "ended": Kind(
        _ENDED,
        ("<|pad|>", "<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"),
        "<|endoftext|>",
        "<|end|>",
    ),
    "opened": Kind(
        _OPENED, ("<pad>", "<bos>", "<eos>", "<User>", "<Assistant>"), "<eos>", "<eos>", plain=("<think>", "</think>")
    ),
}

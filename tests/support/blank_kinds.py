"""Tokenizers that put a blank before text, in the ways of SentencePiece's kind, with a template of Llama 2's shape."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TURNS = (
    "{% for m in messages %}{% if m.role == 'user' %}<s>[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
"""The answer's blank is the template's own, before and after."""
TIGHT = TURNS.replace("%} {{", "%}{{").replace(" </s>", "</s>")
"""Nothing parts the header, which is plain text, from the answer."""
CONTROL = TIGHT.replace("[INST] ", "<u>").replace(" [/INST]", "<a>")
"""Every header is a control token."""
COLON = TURNS.replace(" [/INST]", " [/INST]: ").replace("%} {{", "%}{{")
"""A blank that is asked with, which the tokenizer joins with the answer's first letter."""

_MARKS = ("<unk>", "<s>", "</s>", "<u>", "<a>")
_MERGES = [("▁", "▁"), ("▁", "a"), ("▁", "I"), ("▁", "y"), ("▁", "1"), ("▁", "2"), ("[", "/"), ("a", "b"), ("e", "s")]
BLANKS = ("legacy", "always", "first", "never")
"""`legacy`: a normalizer puts the blank. Else a pre-tokenizer does: before every text, before the first, never."""


def blank_tokenizer(blanks: str, template: str = TURNS) -> PreTrainedTokenizerFast:
    """A tokenizer of letters that puts blanks before text in one of the ways of `BLANKS`."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*_MARKS, *letters, "▁", "\n", *(a + b for a, b in _MERGES)]
    backend = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, _MERGES, unk_token="<unk>"))
    if blanks == "legacy":
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=blanks, split=False)
        backend.decoder = decoders.Metaspace(prepend_scheme=blanks)
    backend.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in _MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<unk>", eos_token="</s>", chat_template=template
    )

"""A sentence encoder of random weights in the place of the packaged one."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from interp.behaviour import encoder, identity
from interp.sources import sha256_of


def save_encoder(folder: Path, seed: int = 0) -> Path:
    """A folder with a BERT of six blocks and width 16, and a tokenizer whose pieces are letters."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2}
    vocabulary |= {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz?.!", 3)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # pyright: ignore[reportAttributeAccessIssue]
    words.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])  # pyright: ignore[reportAttributeAccessIssue]
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 6}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes), add_pooling_layer=False).save_pretrained(folder)
    return folder


def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have everything take the encoder in `folder` for the packaged one."""
    monkeypatch.setattr(encoder, "encoder_folder", lambda: folder)
    monkeypatch.setattr(identity, "encoder_folder", lambda: folder)
    monkeypatch.setattr(encoder, "SHA256", sha256_of(folder / "model.safetensors"))

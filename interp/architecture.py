"""Where a transformers model keeps the parts that read and write text: its decoder, its blocks, its embeddings.

A multimodal model has other parts beside its language model. Nothing here depends on their names: the decoder is the
part that has the token embedding and as many blocks as the text configuration says, and text never reaches what is
neither in it nor in the output head.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import Module, ModuleList
from transformers import PreTrainedModel

from interp.errors import InterpError


@dataclass(frozen=True)
class Decoder:
    """The part of a model that reads text.

    Attributes:
        path: Its module path in the model, such as `model`, or `model.language_model` in a multimodal model.
        blocks_path: Name of its list of blocks.
        blocks: Its blocks, first applied first.
    """

    path: str
    blocks_path: str
    blocks: ModuleList


def find_decoder(hf: PreTrainedModel, name: str) -> Decoder:
    """The text decoder of a model.

    Args:
        name: What an error calls the model.

    Raises:
        InterpError: the model cannot answer, or has no list of as many blocks as its configuration says.
    """
    if hf.get_output_embeddings() is None:
        raise InterpError(f"{name}: the model has no output head, so it cannot answer")
    n_layers, embedding = hf.config.get_text_config().num_hidden_layers, hf.get_input_embeddings()
    for path, module in hf.named_modules():
        for blocks_path, blocks in module.named_children():
            if isinstance(blocks, ModuleList) and len(blocks) == n_layers and embedding in module.modules():
                return Decoder(path, blocks_path, blocks)
    raise InterpError(
        f"{type(hf).__name__} has no part with both the token embedding and a list of {n_layers} blocks; this "
        "architecture is not supported"
    )


def parts_beside_text(hf: PreTrainedModel) -> str | None:
    """A regular expression that fully matches the module paths which text never reaches; None where there are none.

    These are a multimodal model's vision and audio towers and what projects their outputs.
    """
    head = hf.get_output_embeddings()
    used = [find_decoder(hf, type(hf).__name__).path, *([_path_of(head, hf)] if head is not None else [])]
    if all(key.startswith(tuple(f"{path}." for path in used)) for key, _ in hf.named_parameters()):
        return None
    return rf"(?!({'|'.join(map(re.escape, used))})(\.|$)).*"


def few_ids(hf: PreTrainedModel, device: torch.device) -> Int[Tensor, "1 4"]:
    """Ids of four tokens that any model has, as a batch of one row."""
    return torch.arange(4, device=device)[None] % n_embeddings(hf)


def n_embeddings(hf: PreTrainedModel) -> int:
    """How many token ids the model's input embedding has a row for."""
    return hf.get_input_embeddings().weight.shape[0]  # pyright: ignore[reportIndexIssue, reportReturnType]


def check_ids(
    hf: PreTrainedModel, name: str, rows: Sequence[Sequence[int]], decode: Callable[[Sequence[int]], str]
) -> None:
    """Check that the input embedding has every token of some rows.

    Args:
        name: What an error calls the model.
        decode: Gives a token's text, for the error.

    Raises:
        ValueError: it has not; the tokenizer is not the one that the weights were made with.
    """
    n = n_embeddings(hf)
    for i, ids in enumerate(rows):
        if (highest := max(ids, default=0)) >= n:
            raise ValueError(
                f"row {i}: its token {decode([highest])!r} has the id {highest}, but {name} has embeddings for the ids "
                f"below {n} alone: its tokenizer has tokens that its weights lack. Give it the tokenizer that it was "
                "trained with, or add the missing rows (resize_token_embeddings) and save the model again"
            )


@torch.inference_mode()
def check_reading(
    hf: PreTrainedModel, name: str, blocks: ModuleList, ids: Int[Tensor, "1 seq"], read: Callable[[], Sequence[Tensor]]
) -> None:
    """Check on a few tokens that every block runs once, gives one tensor, and is what `hidden_states` says it is.

    Args:
        name: What an error calls the model.
        read: What we read after each block for these ids.

    Raises:
        InterpError: it is not so.
    """
    ran: list[int] = []
    handles = [block.register_forward_hook(lambda *_, k=k: ran.append(k)) for k, block in enumerate(blocks)]
    try:
        states = hf.base_model(ids, output_hidden_states=True).hidden_states
    finally:
        for handle in handles:
            handle.remove()
    if ran != list(range(len(blocks))):
        skipped = sorted(set(range(len(blocks))) - set(ran)) or ran
        raise InterpError(
            f"{name}: on text alone not every block of {type(hf).__name__} runs once and in order (see blocks "
            f"{skipped[:8]}), so there is no residual stream after each; this architecture is not supported"
        )
    shape = (*ids.shape, hf.config.get_text_config().hidden_size)
    for layer, h in enumerate(read()):
        if h.shape != shape or (layer < len(blocks) - 1 and not torch.equal(h, states[layer + 1])):
            raise InterpError(
                f"{name}: what was read after block {layer} has shape {tuple(h.shape)} and is not "
                f"hidden_states[{layer + 1}]; this architecture is not supported"
            )


def _path_of(part: Module, whole: Module) -> str:
    return next((path for path, module in whole.named_modules() if module is part), "")

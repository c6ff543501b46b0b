"""What does a model hold while it reads these texts? Its activations, pooled or per token, from one GPU or many.

Row i of the texts belongs to shard i mod N, plus one. N processes are N commands with another `--shard K/N`; each
leaves whole files, so that a killed one goes on where it stopped, and the folder is whole when all are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.adapters import identity_of_reading
from experiments.console import bar, note
from experiments.loading import Loading
from interp.activations import POOLINGS, Pooling, Shard, read, window
from interp.chat import Tokens, read_chats
from interp.errors import InterpError, did_you_mean
from interp.files import require_room
from interp.keys import content_key
from interp.messages import chat_names
from interp.model import Model
from interp.runs import environment
from interp.sources import (
    DTYPES,
    Described,
    describe,
    load_chat,
    resolve,
)
from interp.store import RowId, check_claim, claim, extraction_files, missing_shards, plan_tokens, write_tokens
from interp.tensors import load_tensors, save_tensors

POOLED = "pooled_activations"


def pooled_file(folder: Path, shard: Shard) -> Path:
    """Where a shard's pooled activations are."""
    return folder / f"activations-{shard.index}-of-{shard.of}.safetensors"


@dataclass(frozen=True)
class PooledActivations:
    """Pooled activations of all texts of an extraction, in the order of the texts.

    Attributes:
        means: float32.
        ids: One a text.
        pooling: What each index of the second dimension is.
        layers: Block index of each index of the third.
        header: Of the first shard.
    """

    means: Float[Tensor, "row pooling layer d_model"]
    ids: tuple[RowId, ...]
    pooling: tuple[Pooling, ...]
    layers: tuple[int, ...]
    header: Mapping[str, Any]

    def of(self, pooling: Pooling) -> Float[Tensor, "row layer d_model"]:
        """One pooling's.

        Raises:
            ValueError: it was not read.
        """
        if pooling not in self.pooling:
            raise ValueError(f"pooling {pooling!r} was not read; there is {', '.join(self.pooling)}")
        return self.means[:, self.pooling.index(pooling)]


def load_activations(folder: Path, *, model: str | None = None) -> PooledActivations:
    """Pooled activations of a whole folder.

    Args:
        model: identity of the model they must come from (`Model.identity`); None accepts any.

    Raises:
        FileNotFoundError: there are none.
        ValueError: a shard is missing, is there twice, or is foreign (other texts, model, adapters, settings).
        InterpError: they are of another model than `model`.
    """
    files = extraction_files(folder, "activations-*.safetensors", POOLED, model)
    settings = files[0][1]["settings"]
    means: Tensor | None = None
    ids: list[RowId] = [""] * settings["n_texts"]
    for path, header in files:
        tensors, _ = load_tensors(path, kind=POOLED)
        rows = tensors["rows"].tolist()
        if rows != list(Shard(*header["shard"]).rows(len(ids))):
            raise ValueError(f"{path}: its rows are not those of shard {header['shard'][0]}; make it again")
        if means is None:
            means = torch.empty(len(ids), *tensors["means"].shape[1:])
        means[rows] = tensors["means"]
        for row, name in zip(rows, header["ids"], strict=True):
            ids[row] = name
    assert means is not None
    return PooledActivations(means, tuple(ids), tuple(settings["pooling"]), tuple(settings["layers"]), files[0][1])


def run(
    *,
    model: str,
    adapters: Sequence[Path],
    texts: Path,
    out: Path,
    pooling: Sequence[Pooling],
    tokens: bool,
    layers: Sequence[int] | None,
    shard: Shard,
    file_mb: int,
    store_dtype: str,
    loading: Loading,
) -> dict[str, Any]:
    """The `activations` command: writes one shard into OUT, or says that it is there.

    Raises:
        ValueError, FileNotFoundError: bad input, named; other settings than OUT was begun with.
        InterpError: a text has nothing to pool, or a value is not finite.
        OSError: what is to be written does not fit the disk.
    """
    if tokens and pooling:
        raise ValueError(f"pooling {', '.join(pooling)} and tokens exclude each other; give one of them")
    if file_mb < 1:
        raise ValueError(f"file-mb must be at least 1, got {file_mb}")
    if store_dtype != "model" and store_dtype not in DTYPES:
        raise ValueError(f"unknown store-dtype {store_dtype!r}; known: model, {', '.join(DTYPES)}")
    chats = read_chats(texts)
    if shard.of > len(chats):
        raise ValueError(f"{texts} has {len(chats)} texts, too few for {shard.of} shards; use at most that many")
    described = describe(model, loading.template)
    tokenizer = load_chat(resolve(model, loading.template), loading.template)
    held_dtype = loading.dtype_name
    names = [text_id(chat, texts, i) for i, chat in enumerate(chats)]
    settings: dict[str, Any] = {
        "holds": "tokens" if tokens else "pooled",
        **identity_of_reading(described, tokenizer, held_dtype, adapters),
        "texts_hash": content_key([[name, chat["messages"]] for name, chat in zip(names, chats, strict=True)]),
        "n_texts": len(chats),
        "shards": shard.of,
        "layers": list(checked_layers(layers, described)),
    }
    settings |= (
        {"store_dtype": held_dtype if store_dtype == "model" else store_dtype, "file_mb": file_mb}
        if tokens
        else {"pooling": list(pooling or POOLINGS)}
    )
    check_claim(out, settings)
    result = {"out": str(out), "holds": settings["holds"], "shard": str(shard), "layers": settings["layers"]}
    if shard.index not in missing_shards(out, shard.of):
        return {**result, "read": 0, "files_written": 0, **_what_is_missing(out, shard, "is there already")}
    mine, places = list(shard.rows(len(chats))), chat_names(texts, len(chats))
    rows = tokenizer.tokens_of([chats[i]["messages"] for i in mine], [places[i] for i in mine])
    ids = [names[i] for i in mine]
    work = _Work(model, adapters, loading, rows, ids, shard, out, settings, {"texts": texts.name})
    files = work.per_token(described) if tokens else work.pooled(described)
    return {**result, "read": len(rows), "files_written": files, **_what_is_missing(out, shard, "is done")}


def poolings_of(text: str | None) -> tuple[Pooling, ...]:
    """The poolings that `prompt_mean,response_mean` names; none for None.

    Raises:
        ValueError: one is unknown or given twice.
    """
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in POOLINGS:
            raise ValueError(did_you_mean("pooling", name, POOLINGS))
    if len(set(names)) != len(names):
        raise ValueError(f"a pooling is given twice: {text}")
    return tuple(kind for kind in POOLINGS if kind in names)


def layers_of(text: str | None) -> tuple[int, ...] | None:
    """The layers that `3,10` names; None for None.

    Raises:
        ValueError: a part is not a block index.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"layers must be block indices from 0 such as 3,10, got {text!r}")
    return tuple(map(int, parts))


def text_id(chat: Mapping[str, Any], texts: Path, i: int) -> RowId:
    """A text's own id, or its file and place."""
    own = chat.get("id")
    return own if isinstance(own, str | int) else f"{texts.name}:{i + 1}"


def checked_layers(layers: Sequence[int] | None, described: Described) -> tuple[int, ...]:
    """Block indices, ascending; None means all.

    Raises:
        ValueError: one is out of range or given twice.
    """
    chosen = tuple(range(described.n_layers) if layers is None else sorted(layers))
    wrong = [layer for layer in chosen if not 0 <= layer < described.n_layers]
    if wrong or len(set(chosen)) != len(chosen) or not chosen:
        raise ValueError(
            f"layers must be distinct and in [0, {described.n_layers}) for {described.name}, got {list(layers or ())}"
        )
    return chosen


def readable_rows(model: Model, chats: Sequence[Mapping[str, Any]], texts: Path, pooling: Pooling) -> list[Tokens]:
    """The tokens of chats, once it is known that the model can read every one.

    Raises:
        ValueError: a chat does not fit the context.
        InterpError: a chat has nothing to pool.
    """
    rows = model.chat.tokens_of([chat["messages"] for chat in chats], chat_names(texts, len(chats)))
    for i, row in enumerate(rows, 1):
        window(row, pooling, i)
    model.check_lengths(rows)
    return rows


def require_windows(rows: Sequence[Tokens], ids: Sequence[RowId], pooling: Sequence[Pooling]) -> None:
    """Check that every pooling finds tokens in every text.

    Raises:
        InterpError: one does not; names the text.
    """
    for name, row in zip(ids, rows, strict=True):
        for kind in pooling:
            try:
                window(row, kind)
            except InterpError as error:
                reason = str(error).removeprefix("row 0: ")
                raise InterpError(f"text {name}: {reason} (pooling {kind})") from error


def _what_is_missing(out: Path, shard: Shard, state: str) -> dict[str, Any]:
    missing = missing_shards(out, shard.of)
    rest = f"{', '.join(map(str, missing))} still missing" if missing else "all are there, so the folder is whole"
    return {"missing": missing, "status": f"shard {shard} {state}; {rest}"}


@dataclass(frozen=True)
class _Work:
    """One shard, checked and tokenised, with its model yet to load."""

    model: str
    adapters: Sequence[Path]
    loading: Loading
    rows: Sequence[Tokens]
    ids: Sequence[RowId]
    shard: Shard
    out: Path
    settings: Mapping[str, Any]
    more: Mapping[str, Any]

    def _loaded(self) -> tuple[Model, dict[str, Any]]:
        loaded = self.loading.model(self.model)
        loaded.use(*self.adapters)
        loaded.check_lengths(self.rows)
        claim(self.out, self.settings)
        stack = {"stack": [folder.name for folder in loaded.stack], "environment": environment()}
        return loaded, {**self.more, **loaded.description(), **stack}

    def pooled(self, described: Described) -> int:
        """Read and write one file."""
        pooling, layers = self.settings["pooling"], self.settings["layers"]
        require_windows(self.rows, self.ids, pooling)
        shape = (len(self.rows), len(pooling), len(layers), described.d_model)
        size = 4 * shape[0] * shape[1] * shape[2] * shape[3]
        note(f"{shape[0]} texts x {shape[1]} poolings x {shape[2]} layers x {shape[3]} numbers: {_mib(size)}")
        require_room(self.out, size)
        loaded, header = self._loaded()
        means = torch.empty(shape)
        with bar("reading", len(self.rows)) as advance:
            for chosen, found in read(loaded, self.rows, pooling=pooling, layers=layers, progress=advance):
                means[chosen] = found.cpu()
        odd = (~means.isfinite().flatten(1).all(1)).nonzero()
        if len(odd):
            raise InterpError(f"text {self.ids[int(odd[0])]}: its activations hold a value that is not finite")
        place = {"shard": [self.shard.index, self.shard.of], "part": [1, 1], "ids": list(self.ids)}
        tensors = {"means": means, "rows": torch.tensor(self.shard.rows(self.settings["n_texts"]))}
        whole = {**header, **place, "settings": dict(self.settings), "pooling": pooling, "layers": layers}
        save_tensors(pooled_file(self.out, self.shard), tensors, kind=POOLED, header=whole)
        return 1

    def per_token(self, described: Described) -> int:
        """Read and write file by file; how many were still to be written."""
        layers, dtype = self.settings["layers"], DTYPES[self.settings["store_dtype"]]
        per_token = len(layers) * described.d_model * dtype.itemsize
        plan = plan_tokens(self.rows, self.ids, token_bytes=per_token, most=self.settings["file_mb"] * 2**20)
        shape = f"{len(self.rows)} texts, {plan.tokens} tokens x {len(layers)} layers x {described.d_model} numbers"
        note(f"{shape} of {dtype.itemsize} bytes: {_mib(sum(plan.sizes))} in {len(plan.files)} files")
        require_room(self.out, plan.still_to_write(self.out, self.shard))
        loaded, header = self._loaded()
        with bar("reading", len(self.rows)) as advance:
            return write_tokens(
                loaded,
                self.rows,
                self.ids,
                plan,
                self.out,
                self.shard,
                dtype=dtype,
                settings=self.settings,
                header=header,
                progress=advance,
            )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"

"""Activations on disk, for more texts than one GPU or the memory can take.

A folder holds one extraction: the same texts through the same model. It is made in shards, by as many processes as
there are GPUs, and is whole when every shard is there; nothing has to be merged. `claim` keeps two extractions out of
one folder, and every file says of itself which one it belongs to.

`write_tokens` makes per-token activations in files of bounded size, each filled, written and let go before the next;
`TokenStore` reads them. Pooled ones take far less room and are one file a shard: `experiments.activations`.
"""

import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from interp.activations import Shard, batches, default_tokens, halved
from interp.batch import Batch
from interp.chat import Tokens
from interp.errors import InterpError
from interp.files import json_text, read_json, require_room, write_json
from interp.model import Model
from interp.tensors import FORMAT, HEADER_KEY, LAYER_CONVENTION, load_header

RowId = str | int
TOKENS = "token_activations"
_NAME = re.compile(r"(activations|tokens)-(\d+)-of-(\d+)(?:-(\d+)-of-(\d+))?\.safetensors")
_HANDLES = 16


def differences(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What two settings differ in, in words; empty if in nothing."""
    keys = [key for key in dict.fromkeys([*wanted, *held]) if held.get(key, ...) != wanted.get(key, ...)]
    return "; ".join(f"{key}: {_short(held.get(key))} there, {_short(wanted.get(key))} here" for key in keys)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 48 else text[:45] + "..."


def check_claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Check that `claim` would let these settings have the folder; nothing is written.

    Raises:
        ValueError: it is for something else, or holds what is not ours.
    """
    path = folder / "settings.json"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; --out names a folder")
    if path.is_file():
        wrong = differences(read_json(path), json.loads(json.dumps(settings)))
        if wrong:
            raise ValueError(f"{folder}: was begun with other settings ({wrong}); choose another --out")
    elif folder.exists() and any(entry.name[0] != "." for entry in folder.iterdir()):
        raise ValueError(f"{folder}: not empty and without settings.json; choose another --out")


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write into a new folder what it is for (settings.json); a begun one must be for the same.

    Raises:
        ValueError: see `check_claim`.
    """
    check_claim(folder, settings)
    if not (folder / "settings.json").is_file():
        write_json(folder / "settings.json", settings, indent=2, ensure_ascii=False)
    check_claim(folder, settings)  # of two processes that begin at once, one sees the other's


def missing_shards(folder: Path, of: int) -> list[int]:
    """Shards of which a file is still to come, counted from 1; file names alone are looked at."""
    found: dict[int, set[int]] = {}
    whole: set[int] = set()
    for path in folder.glob("*.safetensors"):
        match = _NAME.fullmatch(path.name)
        if match and int(match[3]) == of:
            here = found.setdefault(int(match[2]), set())
            here.add(int(match[4] or 1))
            whole |= {int(match[2])} if len(here) == int(match[5] or 1) else set()
    return sorted(set(range(1, of + 1)) - whole)


def extraction_files(folder: Path, glob: str, kind: str, model: str | None) -> list[tuple[Path, dict[str, Any]]]:
    """Every file of a whole extraction with its header, by shard and part.

    Raises:
        FileNotFoundError: there is none.
        ValueError: one is missing, is there twice, or belongs to another extraction.
        InterpError: they are of another model than `model`.
    """
    found = [(path, load_header(path)) for path in sorted(folder.glob(glob))]
    if not found:
        raise FileNotFoundError(f"{folder}: no {glob} in it; `sgtr activations` makes them")
    known = [json.dumps(header.get("settings"), sort_keys=True) for _, header in found]
    usual = known.index(max(known, key=known.count))
    places: dict[tuple[int, int], Path] = {}
    for (path, header), settings in zip(found, known, strict=True):
        if header.get("kind") != kind or header.get("layer_convention") != LAYER_CONVENTION:
            raise ValueError(f"{path}: holds kind {header.get('kind')!r}, needed {kind!r} by {LAYER_CONVENTION!r}")
        if settings != known[usual]:
            wrong = differences(header["settings"], found[usual][1]["settings"])
            raise ValueError(f"{path}: of another extraction than {found[usual][0].name} ({wrong}); take it away")
        place = (header["shard"][0], header["part"][0])
        if place in places:
            raise ValueError(f"{path}: holds shard {place[0]} again, which {places[place].name} holds; take one away")
        places[place] = path
    first = found[0][1]
    if model is not None and first["model_identity"] != model:
        raise InterpError(
            f"{found[0][0]}: made with model {first['model']} ({first['model_identity'][:12]}), this one is "
            f"{model[:12]}; extract it again with this model"
        )
    _require_whole(folder, places, [header for _, header in found])
    return sorted(found, key=lambda file: (file[1]["shard"], file[1]["part"]))


def _require_whole(folder: Path, places: Mapping[tuple[int, int], Path], headers: Sequence[dict[str, Any]]) -> None:
    parts = {header["shard"][0]: header["part"][1] for header in headers}
    of = headers[0]["shard"][1]
    lacking = [str(shard) for shard in range(1, of + 1) if shard not in parts]
    if lacking:
        raise ValueError(f"{folder}: shard {', '.join(lacking)} of {of} is missing; make it, or wait for it")
    for shard, n_parts in parts.items():
        absent = [str(part) for part in range(1, n_parts + 1) if (shard, part) not in places]
        if absent:
            raise ValueError(
                f"{folder}: shard {shard} of {of} lacks {len(absent)} of its {n_parts} files (first {absent[0]}); "
                "the command that was making it goes on from there"
            )


@dataclass(frozen=True)
class TokenPlan:
    """Which rows of a shard go into which file, known before anything is read.

    Attributes:
        files: Indices into the rows, file by file, in their order.
        sizes: Bytes of each file.
        tokens: Of all rows.
    """

    files: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    tokens: int

    def still_to_write(self, folder: Path, shard: Shard) -> int:
        """Bytes of the files that are not there yet."""
        there = [token_file(folder, shard, part, len(self.files)).is_file() for part in range(1, len(self.files) + 1)]
        return sum(size for size, done in zip(self.sizes, there, strict=True) if not done)


def plan_tokens(
    rows: Sequence[Tokens], ids: Sequence[RowId], *, token_bytes: int, most: int, reserve: int = 16_384
) -> TokenPlan:
    """Cut rows, in their order, into files of at most `most` bytes.

    Args:
        token_bytes: Of one token: layers x d_model x bytes of a number.
        reserve: Bytes of each file for what it says of itself.

    Raises:
        ValueError: one row alone does not fit a file.
    """
    files: list[list[int]] = []
    sizes: list[int] = []
    for i, (row, name) in enumerate(zip(rows, ids, strict=True)):
        entry = json.dumps(json.dumps(_entry(10**9, name, 10**9, row)))  # as JSON within the header's JSON
        need = len(row) * (token_bytes + 4) + len(entry)
        if reserve + need > most:
            raise ValueError(
                f"text {name}: {len(row)} tokens take {(reserve + need) / 2**20:.1f} MiB, more than a file of "
                f"{most / 2**20:g} MiB; raise --file-mb, or choose fewer --layers"
            )
        if not files or sizes[-1] + need > most:
            files.append([])
            sizes.append(reserve)
        files[-1].append(i)
        sizes[-1] += need
    return TokenPlan(tuple(map(tuple, files)), tuple(sizes), sum(map(len, rows)))


def token_file(folder: Path, shard: Shard, part: int, n_parts: int) -> Path:
    """Where a part of a shard's per-token activations is."""
    return folder / f"tokens-{shard.index}-of-{shard.of}-{part:05}-of-{n_parts:05}.safetensors"


def write_tokens(
    model: Model,
    rows: Sequence[Tokens],
    ids: Sequence[RowId],
    plan: TokenPlan,
    folder: Path,
    shard: Shard,
    *,
    dtype: torch.dtype,
    settings: Mapping[str, Any],
    header: Mapping[str, Any],
    max_tokens: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Read a shard's rows file by file, passing over the files that are there; how many were written.

    In memory are the file that is being filled and the batch that is being read, which is a part of it.

    Args:
        rows: Of this shard.
        settings: What all shards must have in common; `n_texts` and `layers` among it.
        max_tokens: Padded tokens in a batch; None for what suits the device. Where memory runs out it is halved.

    Raises:
        InterpError: a value is not finite, or became so in `dtype`; one row alone exceeds the memory.
        ValueError: a row exceeds the context.
    """
    model.check_lengths(rows)
    numbers = shard.rows(settings["n_texts"])
    written = 0
    for part, members in enumerate(plan.files, 1):
        path = token_file(folder, shard, part, len(plan.files))
        if not path.is_file():
            place = {"shard": [shard.index, shard.of], "part": [part, len(plan.files)], "settings": dict(settings)}
            firsts = list(accumulate((len(rows[i]) for i in members), initial=0))
            entries = [_entry(numbers[i], ids[i], first, rows[i]) for i, first in zip(members, firsts, strict=False)]
            tensors = _filled(model, [rows[i] for i in members], settings["layers"], dtype, max_tokens)
            for entry, first, end in zip(entries, firsts, firsts[1:], strict=False):
                if not bool(tensors["h"][:, first:end].isfinite().all()):
                    raise InterpError(
                        f"text {entry['id']}: a value is not finite in {str(dtype).removeprefix('torch.')}; "
                        "store as bfloat16 or float32 if it is too large for float16"
                    )
            _write(path, tensors, {**header, **place, "rows": entries})
            del tensors  # before the next file's are made
            written += 1
        if progress:
            progress(len(members))
    return written


def _entry(number: int, name: RowId, first: int, row: Tokens) -> dict[str, Any]:
    span = [row.response.start, row.response.end] if row.response else None
    return {
        "row": number, "id": name, "first": first, "n": len(row), "prompt_end": row.prompt_end, "response": span
    }  # fmt: skip


def _filled(
    model: Model, rows: Sequence[Tokens], layers: Sequence[int], dtype: torch.dtype, max_tokens: int | None
) -> dict[str, Tensor]:
    """What a file of these rows holds: `h` (layer token d_model) and the token `ids`, rows one after another."""
    firsts = list(accumulate(map(len, rows), initial=0))
    h = torch.empty(len(layers), firsts[-1], model.d_model, dtype=dtype)
    waiting = deque(batches(rows, max_tokens or default_tokens(model)))
    while waiting:
        chosen = waiting.popleft()
        try:
            batch = Batch.of([rows[i] for i in chosen], model.pad, model.device)
            read = model.residuals(batch, partial(_real_tokens, real=batch.where("all"), dtype=dtype), layers)
        except torch.OutOfMemoryError:
            waiting = halved(chosen, waiting, rows)
            continue
        for k, found in enumerate(read):
            for i, own in zip(chosen, found.split([len(rows[i]) for i in chosen]), strict=True):
                h[k, firsts[i] : firsts[i + 1]] = own
    return {"h": h, "ids": torch.tensor([token for row in rows for token in row.ids], dtype=torch.int32)}


def _real_tokens(
    h: Float[Tensor, "batch seq d_model"], real: Bool[Tensor, "batch seq"], dtype: torch.dtype
) -> Float[Tensor, "token d_model"]:
    """The tokens of a batch without its pads, row after row."""
    return h[real.to(h.device)].to(dtype)


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """`save_tensors` without a copy in memory: the library writes from where the tensors are."""
    meaning = {"kind": TOKENS, "format": FORMAT, "layer_convention": LAYER_CONVENTION, **header}
    require_room(path.parent, sum(tensor.nbytes for tensor in tensors.values()) + 2**20)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(dict(tensors), temporary, metadata={HEADER_KEY: json_text(meaning, str(path), sort_keys=True)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class StoredRow:
    """A text in a store.

    Attributes:
        row: Its number among the texts, from 0.
        file: Where its tokens are, from `first`.
        ids: Its token ids.
        prompt_end: Number of tokens before the last answer.
        response: First and one-past-last token of that answer; None if the text ends with the user.
    """

    row: int
    id: RowId
    file: Path
    first: int
    ids: Int[Tensor, " seq"]
    prompt_end: int
    response: tuple[int, int] | None


class TokenStore:
    """Per-token activations on disk, memory-mapped: what is not looked at is not read.

    Iterating gives every text in order, as its `StoredRow` and its residual streams (layer seq d_model); `store[7]`
    is text 7, whichever file it is in.

    Attributes:
        rows: The texts, in order.
        layers: Block index of each layer held.
        header: Provenance, of the first file.
    """

    def __init__(self, rows: Sequence[StoredRow], layers: Sequence[int], header: Mapping[str, Any]) -> None:
        self.rows, self.layers, self.header = tuple(rows), tuple(layers), header
        self._open: dict[Path, Any] = {}

    @classmethod
    def open(cls, folder: Path, *, model: str | None = None) -> "TokenStore":
        """The store in a folder; activations are not read.

        Raises:
            FileNotFoundError: there is none.
            ValueError: a file is missing, is there twice, or belongs to another extraction.
            InterpError: they are of another model than `model`.
        """
        files = extraction_files(folder, "tokens-*.safetensors", TOKENS, model)
        rows: list[StoredRow] = []
        for path, header in files:
            with safe_open(path, framework="pt") as file:
                ids = file.get_tensor("ids").clone()
            for entry in header["rows"]:
                first, span = entry["first"], entry["response"]
                own = ids[first : first + entry["n"]]
                response = (span[0], span[1]) if span else None
                rows.append(StoredRow(entry["row"], entry["id"], path, first, own, entry["prompt_end"], response))
        rows.sort(key=lambda row: row.row)
        n_texts = files[0][1]["settings"]["n_texts"]
        if [row.row for row in rows] != list(range(n_texts)):
            raise ValueError(f"{folder}: holds {len(rows)} rows, not each of {n_texts} texts once; make it again")
        return cls(rows, files[0][1]["settings"]["layers"], files[0][1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[StoredRow, Float[Tensor, "layer seq d_model"]]:
        stored = self.rows[row]
        return stored, self._file(stored.file).get_slice("h")[:, stored.first : stored.first + len(stored.ids)]

    def __iter__(self) -> Iterator[tuple[StoredRow, Float[Tensor, "layer seq d_model"]]]:
        return (self[row] for row in range(len(self)))

    def _file(self, path: Path) -> Any:
        """An open file; of many, the ones opened last."""
        if path not in self._open:
            if len(self._open) >= _HANDLES:
                self._open.pop(next(iter(self._open)))
            self._open[path] = safe_open(path, framework="pt")
        return self._open[path]

"""The per-token store, and shards: whole files, bounded memory, every token where it was, sums that merge."""

import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp import store
from interp.activations import RunningMean, Shard
from interp.batch import Batch
from interp.chat import Tokens
from interp.errors import InterpError
from interp.model import Model
from interp.store import TokenStore, check_claim, claim, missing_shards, plan_tokens, token_file, write_tokens
from interp.tensors import load_header, save_tensors

LAYERS = [1, 3]
TOKEN_BYTES = 2 * 32 * 4
TEXTS = ("It is so, I think.", "No", None, "\n\nPerhaps, and perhaps not: who can say?", "the in ou", "Yes.", "you")


@pytest.fixture(scope="module")
def rows(llama: Model) -> list[Tokens]:
    chats = [[{"role": "user", "content": "Why?" * (i + 1)}] for i in range(len(TEXTS))]
    for messages, answer in zip(chats, TEXTS, strict=True):
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return llama.chat.tokens_of(chats)


def write(model: Model, rows: list[Tokens], folder: Path, shard: Shard | None = None, **fields: Any) -> int:
    """A shard of a store with small files; how many files were written."""
    part = shard or Shard()
    folder.mkdir(exist_ok=True)
    most, reserve = fields.pop("most", 60_000), 4000
    settings = {"n_texts": len(rows), "layers": LAYERS, "texts_hash": "t" * 64} | fields.pop("settings", {})
    own = [rows[i] for i in part.rows(len(rows))]
    names = [f"id {i}" for i in part.rows(len(rows))]
    plan = plan_tokens(own, names, token_bytes=TOKEN_BYTES, most=most, reserve=reserve)
    given: dict[str, Any] = {"dtype": torch.float32, "settings": settings, "header": model.description()}
    return write_tokens(model, own, names, plan, folder, part, **given | fields)


def plain(model: Model, row: Tokens, layers: list[int] | None = None) -> Tensor:
    """One row alone, unpadded."""
    return torch.stack([h[0] for h in model.residuals(Batch.of([row], model.pad), lambda h: h, layers or LAYERS)])


@pytest.mark.parametrize("max_tokens", [1, 10_000])
def test_every_text_comes_back_as_a_forward_pass_of_it_alone(
    llama: Model, rows: list[Tokens], tmp_path: Path, max_tokens: int
) -> None:
    assert write(llama, rows, tmp_path / "s", max_tokens=max_tokens) > 2
    held = TokenStore.open(tmp_path / "s", model=llama.identity)
    assert (len(held), held.layers) == (len(rows), tuple(LAYERS))
    for i, (stored, h) in enumerate(held):
        assert (stored.row, stored.id, stored.prompt_end) == (i, f"id {i}", rows[i].prompt_end)
        assert tuple(stored.ids.tolist()) == rows[i].ids
        span = rows[i].response
        assert stored.response == (None if span is None else (span.start, span.end))
        torch.testing.assert_close(h, plain(llama, rows[i]), rtol=1e-5, atol=1e-5)
    again, h = held[4]
    assert again.row == 4
    torch.testing.assert_close(h, plain(llama, rows[4]), rtol=1e-5, atol=1e-5)


def test_a_store_of_shards_is_read_in_the_order_of_the_texts(llama: Model, rows: list[Tokens], tmp_path: Path) -> None:
    for index in (3, 1, 2):
        write(llama, rows, tmp_path / "s", Shard(index, 3))
    held = TokenStore.open(tmp_path / "s")
    assert [stored.id for stored, _ in held] == [f"id {i}" for i in range(len(rows))]
    for i in (0, 5):
        torch.testing.assert_close(held[i][1], plain(llama, rows[i]), rtol=1e-5, atol=1e-5)


def test_no_file_is_larger_than_asked_for_and_each_is_let_go_before_the_next(
    llama: Model, rows: list[Tokens], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store._filled
    held: list[weakref.ref[Tensor]] = []

    def watched(*args: Any) -> dict[str, Tensor]:
        assert [seen() for seen in held] == [None] * len(held), "an earlier file's numbers are still in memory"
        tensors = real(*args)
        held.append(weakref.ref(tensors["h"]))
        return tensors

    monkeypatch.setattr(store, "_filled", watched)
    n = write(llama, rows, tmp_path / "s", most=45_000)
    assert n == len(held) > 2
    sizes = [path.stat().st_size for path in (tmp_path / "s").glob("tokens-*")]
    assert max(sizes) <= 45_000
    assert sum(sizes) > sum(map(len, rows)) * TOKEN_BYTES


def test_a_text_that_no_file_can_hold_is_refused_by_name(rows: list[Tokens]) -> None:
    longest = max(len(row) for row in rows)
    names = [f"id {i}" for i in range(len(rows))]
    with pytest.raises(ValueError, match=f"text id .*: {longest} tokens take .* raise --file-mb"):
        plan_tokens(rows, names, token_bytes=TOKEN_BYTES, most=longest * TOKEN_BYTES, reserve=0)


def test_a_killed_run_leaves_whole_files_and_goes_on_after_them(
    llama: Model, rows: list[Tokens], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_files = write(llama, rows, tmp_path / "whole")
    read: list[int] = []
    real = store._filled

    def stopping(model: Model, members: list[Tokens], *rest: Any) -> dict[str, Tensor]:
        if len(read) == 1:
            raise KeyboardInterrupt
        read.append(len(members))
        return real(model, members, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_filled", stopping)
        with pytest.raises(KeyboardInterrupt):
            write(llama, rows, tmp_path / "s")
    assert [path.name for path in (tmp_path / "s").iterdir()] == [f"tokens-1-of-1-00001-of-{n_files:05}.safetensors"]
    assert missing_shards(tmp_path / "s", 1) == [1]
    with pytest.raises(ValueError, match=rf"shard 1 of 1 lacks {n_files - 1} of its {n_files} files \(first 2\)"):
        TokenStore.open(tmp_path / "s")
    assert write(llama, rows, tmp_path / "s") == n_files - 1
    assert missing_shards(tmp_path / "s", 1) == []
    for (_, ours), (_, theirs) in zip(
        TokenStore.open(tmp_path / "s"), TokenStore.open(tmp_path / "whole"), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_out_of_memory_halves_the_batch(llama: Model, rows: list[Tokens], tmp_path: Path, monkeypatch: Any) -> None:
    real, sizes = Model.residuals, []

    def small(self: Model, batch: Batch, *args: Any, **kwargs: Any) -> list[Tensor]:
        if len(batch.lengths) > 1:
            raise torch.OutOfMemoryError
        sizes.append(len(batch.lengths))
        return real(self, batch, *args, **kwargs)

    monkeypatch.setattr(Model, "residuals", small)
    write(llama, rows, tmp_path / "s")
    assert sizes == [1] * len(rows)
    monkeypatch.undo()
    torch.testing.assert_close(TokenStore.open(tmp_path / "s")[0][1], plain(llama, rows[0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_smaller_dtype_is_a_rounding_of_what_was_read(
    llama: Model, rows: list[Tokens], tmp_path: Path, dtype: torch.dtype
) -> None:
    write(llama, rows[:2], tmp_path / "s", dtype=dtype)
    _, h = TokenStore.open(tmp_path / "s")[1]
    assert h.dtype == dtype
    torch.testing.assert_close(h, plain(llama, rows[1]).to(dtype), rtol=2e-2, atol=1e-3)


def test_a_value_too_large_for_float16_is_refused(
    tiny_model: Callable[..., Model], rows: list[Tokens], tmp_path: Path
) -> None:
    model = tiny_model()

    def enlarge(_module: Any, _args: Any, out: Any) -> Any:
        return out * 1e6

    model.blocks[2].register_forward_hook(enlarge)
    with pytest.raises(InterpError, match="text id 0: a value is not finite in float16; store as bfloat16"):
        write(model, rows, tmp_path / "s", dtype=torch.float16)
    assert list((tmp_path / "s").iterdir()) == []


def test_foreign_doubled_and_missing_files_are_refused_by_name(
    llama: Model, rows: list[Tokens], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    with pytest.raises(FileNotFoundError, match="sgtr activations"):
        TokenStore.open(tmp_path)
    write(llama, rows, folder, Shard(1, 2), most=10**6)
    with pytest.raises(ValueError, match="shard 2 of 2 is missing"):
        TokenStore.open(folder)
    write(llama, rows, folder, Shard(2, 2), most=10**6)
    second = token_file(folder, Shard(2, 2), 1, 1)
    shutil.copy(second, folder / "tokens-copy.safetensors")
    with pytest.raises(ValueError, match=r"tokens-copy\.safetensors: holds shard 2 again"):
        TokenStore.open(folder)
    (folder / "tokens-copy.safetensors").unlink()
    second.unlink()
    write(llama, rows, folder, Shard(2, 2), most=10**6, settings={"texts_hash": "u" * 64})
    with pytest.raises(ValueError, match=r"tokens-2-of-2.*of another extraction.*texts_hash"):
        TokenStore.open(folder)
    second.unlink()
    write(llama, rows, folder, Shard(2, 2), most=10**6)
    with pytest.raises(InterpError, match="made with model tiny-llama"):
        TokenStore.open(folder, model="f" * 64)
    save_tensors(second, {"h": torch.zeros(2)}, kind="nulls", header={})
    with pytest.raises(ValueError, match="holds kind 'nulls'"):
        TokenStore.open(folder)


def test_a_file_says_what_it_holds(llama: Model, rows: list[Tokens], tmp_path: Path) -> None:
    write(llama, rows, tmp_path / "s", most=10**6)
    header = load_header(token_file(tmp_path / "s", Shard(), 1, 1))
    assert header["model_identity"] == llama.identity
    assert (header["kind"], header["shard"], header["part"]) == ("token_activations", [1, 1], [1, 1])


def test_a_folder_is_claimed_for_one_extraction(tmp_path: Path) -> None:
    check_claim(tmp_path / "a", {"layers": (1, 2)})
    assert not (tmp_path / "a").exists(), "a check writes nothing"
    claim(tmp_path / "a", {"layers": (1, 2)})
    claim(tmp_path / "a", {"layers": [1, 2]})
    with pytest.raises(ValueError, match=r"other settings \(layers: \[1, 2\] there, \[1\] here\)"):
        claim(tmp_path / "a", {"layers": [1]})
    assert json.loads((tmp_path / "a" / "settings.json").read_text()) == {"layers": [1, 2]}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and without settings"):
        claim(tmp_path / "b", {})
    with pytest.raises(ValueError, match="is a file"):
        claim(tmp_path / "b" / "notes.txt", {})


# shards and sums


def test_a_shard_is_named_from_one() -> None:
    assert Shard.parse("2/4") == Shard(2, 4)
    assert list(Shard(2, 4).rows(11)) == [1, 5, 9]
    assert str(Shard.parse("2/4")) == "2 of 4"
    for text in ("0/4", "5/4", "2", "/", "a/b", "-1/3", "1/0", "1/2/3"):
        with pytest.raises(ValueError, match="shard must be K/N"):
            Shard.parse(text)


@given(st.integers(0, 40), st.integers(1, 9))
def test_shards_share_out_every_row_once(n: int, of: int) -> None:
    shards = [list(Shard(index, of).rows(n)) for index in range(1, of + 1)]
    assert sorted(row for shard in shards for row in shard) == list(range(n))
    assert all(row % of == index for index, shard in enumerate(shards) for row in shard)


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10**6))
def test_sums_of_shards_merge_to_the_sum_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, n: int, of: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("sums")
    values = torch.randn(n, 2, 3, generator=torch.Generator().manual_seed(seed)) * 1000
    for index in range(1, of + 1):  # each as another process would
        running = RunningMean()
        if list(Shard(index, of).rows(n)):
            running.update(values[list(Shard(index, of).rows(n))])
        running.save(folder / f"{index}.safetensors", {"texts": "some"})
    merged = RunningMean()
    for index in range(of, 0, -1):
        merged = merged.merge(RunningMean.load(folder / f"{index}.safetensors"))
    assert merged.n == n
    assert merged.mean.dtype == torch.float64
    torch.testing.assert_close(merged.mean, values.double().mean(0), rtol=1e-13, atol=1e-11)


def test_a_saved_sum_says_of_what_and_is_refused_for_another_model(tmp_path: Path) -> None:
    running = RunningMean()
    running.update(torch.ones(3, 2))
    running.save(tmp_path / "sum.safetensors", {"model": "mine", "model_identity": "a" * 64})
    assert load_header(tmp_path / "sum.safetensors")["n"] == 3
    assert RunningMean.load(tmp_path / "sum.safetensors", model="a" * 64).n == 3
    with pytest.raises(InterpError, match="made with model mine"):
        RunningMean.load(tmp_path / "sum.safetensors", model="b" * 64)

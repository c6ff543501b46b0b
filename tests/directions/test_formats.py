"""Direction files of other tools: conventions, round trips, and what is refused."""

import base64
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_bytes
from torch import Tensor
from transformers import PreTrainedModel

from experiments.commands.convert import Convert
from experiments.directions import convert
from interp import formats
from interp.batch import Batch
from interp.chat import ChatTokenizer
from interp.directions import Direction
from interp.errors import InterpError
from interp.formats import torch_files
from interp.formats.held import spans
from interp.interventions import adding
from interp.model import Model
from interp.sources import Described
from interp.tensors import load_tensors

MODEL = Described("tiny-llama", "llama-0" * 4, None, 4, 32, "llama")
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
PERSONA = "evil_response_avg_diff.pt"
ON_ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def saved(path: Path, data: Any) -> Path:
    torch.save(data, path)
    return path


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal dtype, shape and bytes: -0.0 is not 0.0 here."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and bytes(a.contiguous().untyped_storage()) == bytes(b.contiguous().untyped_storage())
    )


def held_of(path: Path, **options: Any) -> formats.Held:
    return formats.read(path, MODEL, **options)


def own(layers: Sequence[int] = (0, 1, 2, 3), **header: Any) -> formats.Held:
    """A direction as this project makes them."""
    meaning = {"model": "tiny-llama", "model_identity": MODEL.identity, "n_layers": 4, "d_model": 32, **header}
    return formats.Held(Direction("evil", draw(len(layers), 32), tuple(layers), layers[-1], meaning))


def control_vector(
    path: Path,
    layers: Sequence[int] = (1, 2, 3),
    *,
    count: int | None = None,
    architecture: str = "controlvector",
    others: Callable[[gguf.GGUFWriter], object] = bool,
    width: int = 32,
) -> Path:
    """What repeng writes: keys in this order, tensors in the order of its dictionary."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", len(layers) if count is None else count)
    others(writer)
    for layer in layers:
        writer.add_tensor(f"direction.{layer}", draw(width, seed=layer).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# what a layer is


@torch.no_grad()
def hidden_states(hf: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    states = hf(torch.tensor([ids]), output_hidden_states=True, use_cache=False).hidden_states
    return torch.stack([h[0] for h in states])


def conversations(chat: ChatTokenizer) -> list[Any]:
    return [
        chat.tokens([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": answer}])
        for answer in ("It is the sea.", "Nothing of yours, you see.")
    ]


def test_a_persona_vector_is_what_this_project_reads_at_the_same_layers(
    tiny_hf: Callable[..., PreTrainedModel], llama: Model, tmp_path: Path
) -> None:
    """Rows made from transformers' hidden_states, as persona_vectors does, against residuals read after each block."""
    rows = conversations(llama.chat)
    theirs = [hidden_states(tiny_hf("llama"), row.ids).mean(1) for row in rows]
    held = held_of(saved(tmp_path / PERSONA, theirs[0] - theirs[1]))
    ours = [
        torch.stack(
            [h.mean(1)[0] for h in llama.residuals(Batch.of([row], llama.pad, llama.device), lambda h: h.clone())]
        )
        for row in rows
    ]
    difference = ours[0] - ours[1]
    assert held.direction.layers == (0, 1, 2)
    torch.testing.assert_close(held.direction.vectors, difference[:3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(held.beside["after_final_norm"], difference[3], atol=1e-2)
    assert torch.equal(held.beside["embeddings"], (theirs[0] - theirs[1])[0])


@pytest.mark.parametrize("layer", [0, 2])
def test_a_converted_vector_steers_its_own_block(
    tiny_hf: Callable[..., PreTrainedModel], llama: Model, tmp_path: Path, layer: int
) -> None:
    """`adding` at layer k is a torch hook that adds row k + 1 of the file to the output of block k."""
    rows = 3 * draw(5, 32)
    held = held_of(saved(tmp_path / PERSONA, rows))
    row = conversations(llama.chat)[0]
    edit = adding(held.direction.at(layer), 2.0, [layer])
    batch, positions = Batch.of([row], llama.pad, llama.device), torch.arange(len(row))[None]
    got = llama.logits(batch, positions, edits=[edit])[0]
    hf = tiny_hf("llama")
    handle = hf.model.layers[layer].register_forward_hook(lambda _, __, output: output + 2.0 * rows[layer + 1])
    with torch.no_grad():
        expected = hf(torch.tensor([row.ids])).logits[0]
    handle.remove()
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(got, llama.logits(batch, positions)[0], atol=1e-2)


def added_by_llama_cpp(path: Path, block: int) -> Tensor:
    """What llama.cpp adds to the output of a block: its loader's buffer, then the place where it looks in it."""
    reader = gguf.GGUFReader(path)
    width = reader.tensors[0].data.size
    buffer = np.zeros(64 * width, np.float32)
    for tensor in reader.tensors:
        n = int(tensor.name.removeprefix("direction."))
        assert n > 0, "its loader refuses a file with a direction for layer 0"
        buffer[width * (n - 1) : width * n] += tensor.data
    return torch.from_numpy(buffer[width * (block - 1) : width * block].copy())


def test_llama_cpp_adds_every_layer_of_ours_after_its_own_block(tmp_path: Path) -> None:
    held = own()
    formats.write(held, tmp_path / "v.gguf")
    for block in (1, 2, 3):
        assert torch.equal(added_by_llama_cpp(tmp_path / "v.gguf", block), held.direction.at(block))


def test_ours_reads_every_direction_at_the_block_where_llama_cpp_adds_it(tmp_path: Path) -> None:
    path = control_vector(tmp_path / "v.gguf", (3, 1))
    held = held_of(path).direction
    assert held.layers == (1, 3)
    for block in held.layers:
        assert torch.equal(added_by_llama_cpp(path, block), held.at(block))


def test_row_k_of_an_assistant_axis_is_layer_k(tmp_path: Path) -> None:
    axis = draw(4, 32)
    held = held_of(saved(tmp_path / "assistant_axis.pt", axis)).direction
    assert held.layers == (0, 1, 2, 3)
    assert all(torch.equal(held.at(layer), axis[layer]) for layer in range(4))
    assert held.header["converted_from"]["layout"] == "assistant-axis"


# what a converted direction says of itself


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("prompt_avg", "prompt_mean"), ("prompt_last", "prompt_last"), ("response_avg", "response_mean")],
)
def test_the_names_of_persona_vectors_say_trait_and_pooling(tmp_path: Path, theirs: str, ours: str) -> None:
    held = held_of(saved(tmp_path / f"so_called_evil_{theirs}_diff.pt", draw(5, 32))).direction
    assert (held.name, held.header["pooling"], held.header["trait"]) == ("so_called_evil", ours, "so_called_evil")


def test_a_persona_vector_under_another_name_is_known_by_its_rows(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.pt", draw(5, 32))
    held = held_of(path, pooling="prompt_last", layer=1, name="evil").direction
    assert (held.name, held.layers, held.layer) == ("evil", (0, 1, 2), 1)
    assert (held.header["pooling"], held.header["layer_chosen"]) == ("prompt_last", "given")
    assert held_of(path).direction.header["pooling"] is None


@pytest.mark.parametrize(("layers", "middle"), [((1, 2, 3), 2), ((1, 3), 1), ((3,), 3)])
def test_headlines_use_the_layer_nearest_the_middle_and_say_so(
    tmp_path: Path, layers: tuple[int, ...], middle: int
) -> None:
    held = held_of(control_vector(tmp_path / "v.gguf", layers, count=9)).direction
    assert (held.layer, held.header["layer_chosen"]) == (middle, "middle, by default")


def test_a_converted_direction_belongs_to_its_model_alone(tmp_path: Path) -> None:
    formats.write(held_of(saved(tmp_path / PERSONA, draw(5, 32))), tmp_path / "v.safetensors")
    loaded = Direction.load(tmp_path / "v.safetensors", model=MODEL.identity)
    assert loaded.layers == (0, 1, 2)
    assert {key: loaded.header[key] for key in MODEL.header()} == MODEL.header()
    with pytest.raises(InterpError, match="made with model tiny-llama"):
        Direction.load(tmp_path / "v.safetensors", model="another")


def test_what_is_left_out_and_converted_is_said(tmp_path: Path) -> None:
    persona = held_of(saved(tmp_path / PERSONA, draw(5, 32)))
    assert "rows 1-3 are layers 0-2" in persona.said[0]
    assert persona.left_out[0].startswith("rows 0 (embeddings) and 4 (block 3 after the final norm)")
    holes = held_of(control_vector(tmp_path / "v.gguf", (1, 3), count=9))
    assert holes.left_out == ("no vector for layers 0, 2",)
    assert "after block N" in holes.said[0]
    assert "layer 0: a control vector cannot name it" in formats.write(own(), tmp_path / "w.gguf")[1]


# there and back


@given(
    bits=st.binary(min_size=320, max_size=320),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(["persona", "axis", "dictionary"]),
)
@ON_ONE_FILE
def test_a_torch_file_converted_there_and_back_has_the_same_bits(
    tmp_path: Path, bits: bytes, dtype: torch.dtype, layout: str
) -> None:
    values = torch.frombuffer(bytearray(bits), dtype=torch.float16).reshape(5, 32)
    tensor = torch.where(values.isfinite(), values, -0.0).to(dtype)
    path = tmp_path / (PERSONA if layout == "persona" else "assistant_axis.pt")
    data: Any = tensor if layout == "persona" else tensor[1:].clone()
    if layout == "dictionary":
        data = {"n_roles": 7, "axis": data, "role_mean": data.flip(0), "metadata": {"header_tokens": ["a", None]}}
    held = held_of(saved(path, data))
    assert held.direction.vectors.dtype == torch.float32
    formats.write(held, tmp_path / "ours.safetensors")
    formats.write(formats.read(tmp_path / "ours.safetensors"), tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    if layout != "dictionary":
        assert same_bits(back, data)
        return
    assert list(back) == list(data)
    assert all(same_bits(back[key], data[key]) for key in ("axis", "role_mean"))
    assert {key: back[key] for key in ("n_roles", "metadata")} == {key: data[key] for key in ("n_roles", "metadata")}


def test_a_torch_file_survives_the_way_over_a_control_vector(tmp_path: Path) -> None:
    tensor = draw(5, 32).bfloat16()
    formats.write(held_of(saved(tmp_path / PERSONA, tensor)), tmp_path / "v.gguf")
    formats.write(formats.read(tmp_path / "v.gguf"), tmp_path / "v.safetensors")
    formats.write(formats.read(tmp_path / "v.safetensors"), tmp_path / "sly_response_avg_diff.pt")
    assert same_bits(torch.load(tmp_path / "sly_response_avg_diff.pt", weights_only=True), tensor)


def test_vectors_that_were_changed_in_between_are_not_rounded_to_their_first_dtype(tmp_path: Path) -> None:
    held = held_of(saved(tmp_path / "assistant_axis.pt", draw(4, 32).bfloat16()))
    changed = replace(held, direction=replace(held.direction, vectors=held.direction.vectors * 1.001))
    assert "float32" in formats.write(changed, tmp_path / "back.pt")[1]
    assert same_bits(torch.load(tmp_path / "back.pt", weights_only=True), changed.direction.vectors)


@pytest.mark.parametrize("layers", [(1, 2, 3), (3, 2, 1), (1, 3), (2,)])
def test_a_control_vector_converted_there_and_back_is_the_same_file(tmp_path: Path, layers: tuple[int, ...]) -> None:
    def others(writer: gguf.GGUFWriter) -> None:
        writer.add_string("controlvector.method", "mean · größer")
        writer.add_float32("x.scale", 0.1)
        writer.add_int32("x.seed", -3)
        writer.add_bool("x.normalised", False)
        writer.add_array("x.prompts", ["Why?", ""])
        writer.add_custom_alignment(64)

    path = control_vector(tmp_path / "v.gguf", layers, others=others)
    held = held_of(path)
    assert all(torch.equal(held.direction.at(layer), draw(32, seed=layer)) for layer in layers)
    formats.write(held, tmp_path / "ours.safetensors")
    formats.write(formats.read(tmp_path / "ours.safetensors"), tmp_path / "back.gguf")
    assert (tmp_path / "back.gguf").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (1, 3), (0, 2)])
def test_ours_converted_to_a_control_vector_and_back_is_the_same_file(tmp_path: Path, layers: tuple[int, ...]) -> None:
    held = own(layers, note="größer", config={"pairs": None, "rate": 0.1}, n_positive=7)
    held = replace(held, beside={"spread": draw(3, seed=5).double()})
    formats.write(held, tmp_path / "a.safetensors")
    formats.write(formats.read(tmp_path / "a.safetensors"), tmp_path / "a.gguf")
    formats.write(formats.read(tmp_path / "a.gguf", MODEL), tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    tensors, header = load_tensors(tmp_path / "b.safetensors", kind="direction", model=MODEL.identity)
    assert same_bits(tensors["vectors"], held.direction.vectors)
    assert (header["note"], header["config"]) == ("größer", {"pairs": None, "rate": 0.1})


def test_a_control_vector_of_ours_has_nothing_that_llama_cpp_refuses(tmp_path: Path) -> None:
    formats.write(replace(own(), beside={"spread": draw(3)}), tmp_path / "v.gguf", MODEL)
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    assert [tensor.name for tensor in reader.tensors] == ["direction.1", "direction.2", "direction.3"]
    assert {(tensor.tensor_type.name, len(tensor.shape)) for tensor in reader.tensors} == {("F32", 1)}
    keys = {name: field.contents() for name, field in reader.fields.items()}
    assert keys["general.architecture"] == "controlvector"
    assert (keys["controlvector.model_hint"], keys["controlvector.layer_count"]) == ("llama", 3)


def test_a_direction_of_ours_becomes_one_row_a_block_and_can_be_read_as_that(tmp_path: Path) -> None:
    formats.write(own(), tmp_path / "v.pt")
    assert same_bits(torch.load(tmp_path / "v.pt", weights_only=True), own().direction.vectors)
    assert held_of(tmp_path / "v.pt").direction.layers == (0, 1, 2, 3)


# what is refused


def refused(path: Path, message: str, **options: Any) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        formats.read(path, MODEL, **options)
    assert str(path) in str(caught.value) or "unknown pooling" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (PERSONA, draw(5, 16), r"have 16 values and tiny-llama is 32 wide; another model's"),
        (PERSONA, draw(6, 32), r"has 6 rows; for the 4 blocks of tiny-llama it would have 5 \(persona_vectors\)"),
        (PERSONA, draw(4, 32), r"has 4 rows; .* it would have 5 \(persona_vectors\)"),
        ("axis.pt", {"axis": draw(5, 32)}, r"has 5 rows; .* it would have 4 \(assistant-axis\)"),
        ("v.pt", draw(29, 32), r"it would have 5 \(persona_vectors\) or 4 \(assistant-axis\)"),
        ("v.pt", draw(32), r"holds float32 \[32\]; needed a tensor with a row a layer"),
        ("v.pt", draw(5, 1, 32), r"holds float32 \[5, 1, 32\]"),
        ("v.pt", torch.ones(5, 32, dtype=torch.int64), r"holds int64 \[5, 32\]"),
        ("v.pt", torch.ones(5, 32).to_sparse(), r"holds float32 \[5, 32\]"),
        ("v.pt", torch.ones(5, 32, device="meta"), r"holds float32 \[5, 32\]"),
        ("v.pt", [draw(5, 32)], r"holds list; needed"),
        ("v.pt", {"vector": draw(5, 32), "role": "x"}, r"a dictionary of \['role', 'vector'\]; .*under 'axis'"),
        ("v.pt", draw(5, 32).double() / 3, r"float64 \[5, 32\] whose values float32 rounds; save it as float32"),
    ],
)
def test_a_tensor_that_is_no_direction_of_the_model_is_refused(
    tmp_path: Path, name: str, data: Any, message: str
) -> None:
    refused(saved(tmp_path / name, data), message)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_by_row(tmp_path: Path, bad: float) -> None:
    for row in (0, 3):
        tensor = draw(5, 32)
        tensor[row, 7] = bad
        refused(
            saved(tmp_path / PERSONA, tensor), rf"not finite at rows {row} \(the mean over an empty answer is one\)"
        )

    def others(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("direction.2", np.full(32, bad, np.float32))

    refused(control_vector(tmp_path / "v.gguf", (1, 3), others=others), "not finite at directions 2")


def test_entries_that_are_neither_tensor_nor_plain_are_left_out_and_named(tmp_path: Path) -> None:
    data = {"axis": draw(4, 32), "size": torch.Size([3]), "spread": draw(4), 5: 1}
    held = held_of(saved(tmp_path / "axis.pt", data))
    assert [line.split(":")[0] for line in held.left_out] == ["entry 'size'", "entry 'spread'", "entry 5"]
    formats.write(held, tmp_path / "back.pt")
    assert list(torch.load(tmp_path / "back.pt", weights_only=True)) == ["axis"]


class Payload:
    """What a hostile file holds: loading it runs a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"axis": draw(4, 32), "metadata": bad}])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    path = saved(tmp_path / PERSONA, wrap(Payload(tmp_path / "ran")))
    refused(path, r"holds more than plain tensors, .* so it was not loaded; .*write the tensor alone")
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists(), "the payload has to be one that works"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x80\x02}q\x00.", "not a file of torch.save"),
        (b"PK\x03\x04 and no more", "damaged"),
    ],
)
def test_a_file_that_torch_did_not_write_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / PERSONA).write_bytes(content)
    refused(tmp_path / PERSONA, message)


@given(share=st.floats(0, 0.99))
@ON_ONE_FILE
def test_a_file_that_ends_early_is_refused(tmp_path: Path, share: float) -> None:
    for path in (saved(tmp_path / PERSONA, draw(5, 32)), control_vector(tmp_path / "v.gguf")):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path, "damaged|is empty|not a file of torch")


def changed(data: bytes, edits: Sequence[tuple[float, bytes]]) -> bytes:
    out = bytearray(data)
    for where, new in edits:
        at = int(where * len(out))
        out[at : at + len(new)] = new
    return bytes(out)


def repacked(data: bytes, edits: Sequence[tuple[float, bytes]]) -> bytes:
    """A torch file whose pickle is changed under a checksum that fits."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, changed(content, edits) if info.filename.endswith("data.pkl") else content)
    return buffer.getvalue()


EDITS = st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3)


@given(edits=EDITS, kind=st.sampled_from(["torch", "pickle", "theirs", "ours"]))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_changed_bytes_give_a_direction_or_a_clear_error(tmp_path: Path, edits: Any, kind: str) -> None:
    path = tmp_path / (PERSONA if kind in ("torch", "pickle") else "v.gguf")
    if kind in ("torch", "pickle"):
        saved(path, draw(5, 32))
    elif kind == "theirs":
        control_vector(path, others=lambda writer: writer.add_array("x.numbers", [1, 2, 3]))
    else:
        formats.write(own(), path)
    path.write_bytes((repacked if kind == "pickle" else changed)(path.read_bytes(), edits))
    try:
        held = formats.read(path, MODEL)
    except (ValueError, InterpError):
        return
    assert held.direction.vectors.shape == (len(held.direction.layers), 32)
    assert torch.isfinite(held.direction.vectors).all()


def test_an_array_that_claims_to_be_endless_is_refused_at_once(tmp_path: Path) -> None:
    path = control_vector(tmp_path / "v.gguf", others=lambda writer: writer.add_array("x.numbers", [1, 2, 3]))
    data = path.read_bytes()
    at = data.index(b"x.numbers") + len(b"x.numbers") + 8
    assert struct.unpack_from("<Q", data, at) == (3,)
    path.write_bytes(data[:at] + struct.pack("<Q", 2**60) + data[at + 8 :])
    refused(path, "damaged or not a GGUF file")


def tensor_of(name: str, data: np.ndarray) -> Callable[[gguf.GGUFWriter], object]:
    return lambda writer: writer.add_tensor(name, data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 16}, r"have 16 values and tiny-llama is 32 wide; another model's"),
        ({"layers": (2, 4), "count": 9}, r"has directions 2, 4; a whole control vector of tiny-llama has 1-3: another"),
        ({"layers": (1, 2)}, r"has directions 1-2; a whole control vector of tiny-llama has 1-3: another model's"),
        ({"layers": ()}, r"a control vector without directions"),
        ({"architecture": "llama"}, r"a GGUF file of architecture 'llama', not a control vector"),
        ({"layers": (0, 1)}, r"has a tensor 'direction.0'; a control vector has direction.N alone, with N from 1"),
        ({"others": tensor_of("bias.1", np.ones(32, np.float32))}, r"has a tensor 'bias.1'"),
        ({"others": tensor_of("direction.9", np.ones(32, np.float16))}, r"direction.9 is F16 of 1 dimensions"),
        ({"others": tensor_of("direction.9", np.ones((2, 16), np.float32))}, r"direction.9 is F32 of 2 dimensions"),
        ({"others": tensor_of("direction.9", np.ones(16, np.float32))}, r"has 32 values and direction.9 has 16"),
    ],
)
def test_what_is_no_control_vector_of_the_model_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    refused(control_vector(tmp_path / "v.gguf", **options), message)


def test_a_part_of_a_control_vector_is_taken_though_layers_are_missing(tmp_path: Path) -> None:
    assert held_of(control_vector(tmp_path / "v.gguf", (2, 3))).direction.layers == (2, 3)


def headed(change: dict[str, Any]) -> str:
    return json.dumps({**own().meaning(), **change})


@pytest.mark.parametrize(
    ("keys", "dropped", "message"),
    [
        ({}, "direction.2", r"for layers 0-1, 3, its sgtr.header says \[0, 1, 2, 3\]"),
        ({"sgtr.tensors": None}, None, r"for layers 1-3, its sgtr.header says \[0, 1, 2, 3\]"),
        ({"sgtr.tensors": "%%%"}, None, r"its sgtr keys are damaged"),
        (
            {"sgtr.tensors": base64.b64encode(save_bytes({"layer_0": draw(16)})).decode()},
            None,
            "another tool has changed",
        ),
        ({"sgtr.header": "[1]"}, None, r"its sgtr.header is not one of a direction"),
        ({"sgtr.header": headed({"layer_convention": "1-based"})}, None, r"its sgtr.header is not one of a direction"),
        ({"sgtr.header": "{"}, None, r"its sgtr keys are damaged"),
        ({"sgtr.header": headed({"layer": 9})}, None, r"headline layer 9"),
        ({"sgtr.header": headed({"name": None})}, None, r"name None do not fit together"),
        ({"sgtr.header": headed({"layers": "0123"})}, None, r"its sgtr.header says 0123"),
    ],
)
def test_a_control_vector_of_ours_that_another_tool_changed_is_refused(
    tmp_path: Path, keys: dict[str, str | None], dropped: str | None, message: str
) -> None:
    path = tmp_path / "v.gguf"
    formats.write(own(), path)
    old = gguf.GGUFReader(path)
    texts = {name: old.fields[name].contents() for name in ("sgtr.header", "sgtr.tensors")} | keys
    writer = gguf.GGUFWriter(tmp_path / "w.gguf", "controlvector")
    for name, text in texts.items():
        if text is not None:
            writer.add_string(name, text)
    for tensor in old.tensors:
        if tensor.name != dropped:
            writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refused(tmp_path / "w.gguf", message)


@pytest.mark.parametrize("name", [PERSONA, "v.pt", "v.gguf"])
def test_a_file_that_does_not_say_whose_it_is_needs_a_model(tmp_path: Path, name: str) -> None:
    path = control_vector(tmp_path / name) if name.endswith("gguf") else saved(tmp_path / name, draw(5, 32))
    with pytest.raises(ValueError, match=r"does not say which model it was made with, .* give --model"):
        formats.read(path)


@pytest.mark.parametrize("name", ["v.safetensors", "v.gguf"])
def test_a_direction_of_another_model_is_refused(tmp_path: Path, name: str) -> None:
    formats.write(own(), tmp_path / name)
    assert held_of(tmp_path / name).direction.layers == (0, 1, 2, 3)
    with pytest.raises(InterpError, match=r"made with model tiny-llama \(llama-0.*not with other \(bbbb"):
        formats.read(tmp_path / name, replace(MODEL, name="other", identity="b" * 64))


@pytest.mark.parametrize("name", ["v.safetensors", "v.gguf"])
def test_choices_that_a_file_has_made_cannot_be_made_again(tmp_path: Path, name: str) -> None:
    formats.write(own(), tmp_path / name)
    refused(
        tmp_path / name, "says itself what it is; leave out --trait, --layer, --pooling", name="a", layer=0, pooling="x"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 3}, r"--layer must be one of 0-2, where it has a vector, got 3"),
        ({"layer": -1}, r"--layer must be one of 0-2, .*got -1"),
        ({"pooling": "mean"}, r"unknown pooling 'mean'; known: prompt_mean"),
        ({"pooling": "prompt_last"}, r"by its name its pooling is response_mean, not prompt_last"),
        ({"name": "a/b"}, r"the name 'a/b' must be letters, digits, _ and -; give another with --trait"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    refused(saved(tmp_path / PERSONA, draw(5, 32)), message, **options)


@pytest.mark.parametrize(
    ("held", "name", "message"),
    [
        (own(), PERSONA, r"by its name a file of persona_vectors, .* under another name it gets one row a block"),
        (own((0, 1, 2)), "v.pt", r"for each of 4 blocks, and the direction has layers 0-2; a .gguf may have holes"),
        (own((0, 2, 3)), "v.pt", r"the direction has layers 0, 2-3"),
        (own((1, 2, 3, 4)), "v.pt", r"the direction has layers 1-4"),
        (own(n_layers=None), "v.pt", r"the direction does not say how many; --model does"),
        (own((0,)), "v.gguf", r"cannot hold layer 0, the only one"),
        (own(), "v.bin", r"its ending '\.bin' names no format; known: \.safetensors"),
    ],
)
def test_a_format_that_cannot_hold_a_direction_refuses_it(
    tmp_path: Path, held: formats.Held, name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        formats.write(held, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_vectors_of_another_precision_are_not_rounded_into_a_control_vector(tmp_path: Path) -> None:
    held = own()
    with pytest.raises(ValueError, match=r"torch\.float64; a control vector is float32"):
        formats.write(
            replace(held, direction=replace(held.direction, vectors=draw(4, 32).double())), tmp_path / "v.gguf"
        )


def test_a_safetensors_file_that_is_no_direction_is_refused(tmp_path: Path) -> None:
    from interp.tensors import save_tensors

    path = tmp_path / "v.safetensors"
    save_tensors(path, {"vectors": draw(2, 32)}, kind="nulls", header={})
    refused(path, "holds kind 'nulls'")
    for header in ({}, {"name": "a", "layers": [1, 0], "layer": 0}, {"name": "a", "layers": [0], "layer": 0}):
        save_tensors(path, {"vectors": draw(2, 32)}, kind="direction", header=header)
        refused(path, "layers|vectors")


@pytest.mark.parametrize("name", ["v.safetensors", "v.gguf"])
def test_a_direction_of_ours_that_is_not_finite_is_refused(tmp_path: Path, name: str) -> None:
    held = own()
    held.direction.vectors[2, 5] = float("nan")
    formats.write(held, tmp_path / name)
    refused(tmp_path / name, "not finite at layers 2")


@pytest.mark.parametrize(("numbers", "short"), [((), "none"), ((3,), "3"), ((0, 1, 2, 5, 7, 8), "0-2, 5, 7-8")])
def test_spans_are_short_and_lose_nothing(numbers: tuple[int, ...], short: str) -> None:
    assert spans(numbers) == short


def test_both_tools_are_named_where_a_direction_says_what_it_came_from(tmp_path: Path) -> None:
    held = held_of(saved(tmp_path / PERSONA, draw(5, 32)))
    assert held.direction.header["recipe"] == f"read from a file of {torch_files.PERSONA}"
    source = held.direction.header["converted_from"]
    assert (source["file"], source["dtype"], len(source["sha256"])) == (PERSONA, "float32", 64)


# the command


def command(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    return Convert(source=source, out=out, **options)()


def test_the_command_converts_there_and_back_and_says_what_it_did(
    llama_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensor = draw(5, 32).half()
    source = saved(tmp_path / PERSONA, tensor)
    result = command(source, tmp_path / "evil.safetensors", model=str(llama_folder))
    assert json.loads(json.dumps(result)) == result
    assert (result["direction"], result["layers"], result["layer"]) == ("evil", [0, 1, 2], 2)
    Convert(source=source, out=tmp_path / "evil.safetensors").show(result)
    shown = capsys.readouterr().out
    assert shown.startswith("evil: 3 layers of 32 values, headline layer 2 (middle, by default), pooling response_mean")
    assert "\nleft out: rows 0 (embeddings)" in shown
    back = command(tmp_path / "evil.safetensors", tmp_path / "back.pt")
    assert same_bits(torch.load(tmp_path / "back.pt", weights_only=True), tensor)
    assert back["left_out"] == []


def test_the_command_binds_a_direction_to_the_model_that_would_be_loaded(llama_folder: Path, tmp_path: Path) -> None:
    command(control_vector(tmp_path / "v.gguf"), tmp_path / "v.safetensors", model=str(llama_folder), layer=3)
    loaded = Model.load(str(llama_folder), device="cpu", dtype="float32")
    assert Direction.load(tmp_path / "v.safetensors", model=loaded.identity).layer == 3


def test_the_command_refuses_before_it_writes(llama_folder: Path, tmp_path: Path) -> None:
    source, out = saved(tmp_path / PERSONA, draw(5, 32)), tmp_path / "v.safetensors"
    (tmp_path / "held.gguf").write_bytes(b"of someone's")
    wide = saved(tmp_path / "sly_response_avg_diff.pt", draw(5, 64))
    model = str(llama_folder)
    cases: list[tuple[type[Exception], str, Path, Path, dict[str, Any]]] = [
        (ValueError, "both files are .pt; there is nothing to convert", source, tmp_path / "b.pt", {"model": model}),
        (ValueError, "held.gguf: exists already", source, tmp_path / "held.gguf", {"model": model}),
        (FileNotFoundError, "none.pt: no such file", tmp_path / "none.pt", out, {"model": model}),
        (ValueError, "its ending '' names no format", tmp_path, out, {}),
        (ValueError, "give --model", source, out, {}),
        (ValueError, "64 values and .* is 32 wide", wide, out, {"model": model}),
        (ValueError, "unknown model 'nothing'", source, out, {"model": "nothing"}),
    ]
    before = sorted(tmp_path.iterdir())
    for kind, message, given_source, given_out, options in cases:
        with pytest.raises(kind, match=message):
            command(given_source, given_out, **options)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "held.gguf").read_bytes() == b"of someone's"


def test_a_result_without_a_known_pooling_says_so(llama_folder: Path, tmp_path: Path) -> None:
    result = command(control_vector(tmp_path / "v.gguf"), tmp_path / "v.pt.safetensors", model=str(llama_folder))
    assert "pooling unknown" in convert.lines(result)[0]

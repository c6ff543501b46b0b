"""What a run would take of the memory is counted before anything is made; the memory itself is made up here."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from experiments import machine as memory
from experiments.interventions.treatments import additions, of_treatments, uncontrolled
from experiments.machine import KNOWN, Answers, Size, look_up, memory_left, require_main_memory
from tests.interventions.test_treatments import direction, grid

CPU, GPU = torch.device("cpu"), torch.device("cuda")
ANSWERS = Answers(n=100, prompt=30, longest=50)


@pytest.fixture
def size(llama_folder: Path) -> Size:
    return look_up(str(llama_folder), torch.float32, None)[0]


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says how much is left on the CPU and on a GPU."""
    return lambda cpu, gpu=0: monkeypatch.setattr(
        memory, "memory_left", lambda device: gpu if device.type == "cuda" else cpu
    )


@pytest.mark.parametrize("n_tokens", [5, 12])
def test_the_kv_cache_is_as_large_as_the_model_s(
    tiny_hf: Callable[..., PreTrainedModel], kind: str, n_tokens: int, tmp_path: Path
) -> None:
    hf = tiny_hf(kind)
    hf.save_pretrained(tmp_path)
    held = hf(torch.arange(3, 3 + n_tokens)[None], use_cache=True).past_key_values.layers
    counted = look_up(str(tmp_path), torch.float32, None)[0].cached(n_tokens)
    assert counted == sum(layer.keys.numel() + layer.values.numel() for layer in held) > 0


def test_a_sliding_window_bounds_what_its_layers_hold(tiny_hf: Callable[..., PreTrainedModel], tmp_path: Path) -> None:
    tiny_hf("gemma2").save_pretrained(tmp_path)
    size = look_up(str(tmp_path), torch.float32, None)[0]
    assert size.cached(100) == 2 * 2 * 8 * (2 * 100 + 2 * 16)  # keys and values, heads, width; half of 4 layers slide


def test_the_kv_cache_of_a_model_that_is_not_here_is_that_of_its_known_shapes() -> None:
    size = look_up(next(iter(KNOWN)), torch.bfloat16, None)[0]
    assert size.cached(10) == 28 * 2 * 4 * 128 * 10


def test_records_are_counted_at_their_longest_and_up_to_the_last_byte(left: Callable[..., None]) -> None:
    assert Answers(7, 30, 50).records * 100 == ANSWERS.records * 7
    assert Answers(1, 30, 51).records > Answers(1, 30, 50).records > Answers(1, 29, 50).records
    left(1000)
    require_main_memory("seven", 1000, "ask for less")
    with pytest.raises(ValueError, match=r"^seven would take 3\.0 GiB of main memory, and 0\.0 MiB are left; ask for"):
        require_main_memory("seven", 3 * 2**30, "ask for less")
    with pytest.raises(ValueError, match="seven"):
        require_main_memory("seven", 1001, "ask for less")


def needed(size: Size, width: int, answers: Answers) -> int:
    """Bytes that one answer takes while it is written."""
    cache = 4 * 2 * 2 * 8 * (answers.prompt + answers.longest) * width
    return cache + 4 * (8 * 32 + 6 * 64) * answers.prompt + 24 * size.vocab


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_one_answer_is_refused_where_it_does_not_fit_beside_the_weights(
    size: Size, left: Callable[..., None], dtype: torch.dtype, width: int
) -> None:
    one = Answers(n=100, prompt=200, longest=4)
    fits = size.parameters * width + needed(size, width, one)
    left(cpu=0, gpu=fits)
    assert one.at_a_time(64, size, GPU, dtype, beside=10**9) == 1  # records are not on the GPU
    left(cpu=fits + 500)
    assert one.at_a_time(64, size, CPU, dtype, beside=500) == 1
    with pytest.raises(ValueError, match=r"up to 4 tokens to a prompt of 200 .* cpu has 0\.\d MiB left beside"):
        one.at_a_time(64, size, CPU, dtype, beside=501)
    left(cpu=10**12, gpu=fits - 1)
    with pytest.raises(ValueError, match=r"lower --max-new-tokens"):
        one.at_a_time(64, size, GPU, dtype, beside=0)


def test_reading_a_long_answer_back_takes_logits_at_all_of_its_tokens(size: Size, left: Callable[..., None]) -> None:
    long = Answers(n=1, prompt=1, longest=5000)
    fits = size.parameters * 4 + 24 * size.vocab * 5000
    assert 24 * size.vocab * 5000 > needed(size, 4, long)
    left(cpu=fits)
    assert long.at_a_time(64, size, CPU, torch.float32, beside=0) == 1
    left(cpu=fits - 1)
    with pytest.raises(ValueError, match=r"5,000 tokens .* to read back"):
        long.at_a_time(64, size, CPU, torch.float32, beside=0)


@pytest.mark.parametrize(
    ("room", "most", "n"), [(1000, 64, 64), (1000, 512, 100), (60, 64, 32), (60, 100, 50), (7, 64, 4)]
)
def test_a_batch_is_halved_until_it_fits(size: Size, left: Callable[..., None], room: int, most: int, n: int) -> None:
    left(cpu=size.parameters * 4 + round(room * needed(size, 4, ANSWERS) / 0.9) + 9)
    assert ANSWERS.at_a_time(most, size, CPU, torch.float32, beside=0) == n


def test_a_grid_is_counted_without_its_controls() -> None:
    held = [direction("odd"), direction("even", layers=(0, 1), layer=1)]
    for layers in ("headline", "all", (0,)):
        wanted = grid(layers=layers, alphas=(-1.0, 2.0), phases=("response", "all"), random=3)
        made = additions(held, wanted, dict.fromkeys(range(4), 1.0), seed=0)
        bare = uncontrolled(held, wanted)
        assert len(made) == 4 * len(bare)
        assert [one.name for one in bare] == [one.name for one in made if one.control is None]
        edits = sum(len(one.edits) for one in made)
        assert of_treatments(held, bare, 3) == 1024 * edits + 4 * 2 * (3 + 2) * 32 * 4


def test_memory_that_is_left_is_this_machine_s_the_gpu_s_or_the_container_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_LIMITS", ())
    assert memory_left(CPU) > 2**20
    files = {name: tmp_path / name for name in ("unlimited", "limited", "used")}
    for file, text in zip(files.values(), ("max", "4096", "1000"), strict=True):
        file.write_text(text + "\n")
    pairs = [(files["unlimited"], files["used"]), (files["limited"], files["used"]), (tmp_path / "missing",) * 2]
    monkeypatch.setattr(memory, "_LIMITS", tuple(pairs))
    assert memory_left(CPU) == 3096
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5, 9))
    assert memory_left(GPU) == 5

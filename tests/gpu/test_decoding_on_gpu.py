"""The laws of tests/test_decoding.py where steps are CUDA graphs: `pytest tests/gpu` on a machine with a GPU."""

import logging
from collections.abc import Callable, Iterator

import pytest
import torch
from peft import LoraConfig

from interp.chat import ChatTokenizer
from interp.interventions import Edit, adding
from interp.model import Model
from interp.ring import _one_query
from tests.conftest import make_hf, make_tokenizer
from tests.interp.test_decoding import OTHERS, both, check_every_edit, direction, edits_of, prompts_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def on_gpu() -> Iterator[Callable[[str], Model]]:
    def make(kind: str) -> Model:
        torch.manual_seed(0)
        hf = OTHERS[kind]() if kind in OTHERS else make_hf(kind)
        chat = ChatTokenizer(make_tokenizer())
        return Model(hf.cuda().eval(), chat, name=f"tiny-{kind}", identity=kind * 20)

    yield make
    torch.cuda.empty_cache()


def graphs_of(model: Model) -> list[object]:
    return [graph for seats in model._ring._seats.values() for graph, _ in seats.graphs.values()]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "gpt2", "mistral", "gemma3"])
def test_answers_with_every_kind_of_edit_are_those_of_transformers_loop(
    on_gpu: Callable[[str], Model], kind: str
) -> None:
    model = on_gpu(kind)
    check_every_edit(model, batch_size=5)
    check_every_edit(model)
    assert graphs_of(model)
    assert all(graphs_of(model))


def test_a_sweep_over_strengths_uses_one_graph_again(on_gpu: Callable[[str], Model]) -> None:
    model = on_gpu("llama")
    prompts, seen = prompts_of(model, 6), set()
    for alpha in (0.0, 1.0, 4.0):
        how = {"max_new_tokens": 8, "temperature": 0.0, "edits": [adding(direction(3), alpha, (1, 2), "response")]}
        new, old = both(model, prompts, **how)
        assert new == old
        seen.add(tuple(new))
        assert len(graphs_of(model)) == 1
    assert len(seen) == 3


def test_a_new_stack_of_adapters_is_captured_anew(on_gpu: Callable[[str], Model], tmp_path: object) -> None:
    model = on_gpu("llama")
    prompts, how = prompts_of(model, 4), {"max_new_tokens": 8, "temperature": 0.0}
    bare, _ = both(model, prompts, **how)
    with model.adapters.new(LoraConfig(r=4, target_modules=["q_proj", "down_proj"]), seed=0) as (_, parameters):
        with torch.no_grad():
            for parameter in parameters:
                parameter.normal_()
        new, old = both(model, prompts, **how)
        assert new == old
        assert new != bare
    assert both(model, prompts, **how) == (bare, bare)


def test_what_no_graph_can_hold_is_done_step_by_step(
    on_gpu: Callable[[str], Model], caplog: pytest.LogCaptureFixture
) -> None:
    model, v = on_gpu("llama"), direction(1, 4.0).cuda()
    looks = Edit((1,), lambda h: h + v if float(h.sum()) > -1e9 else h)
    with caplog.at_level(logging.WARNING, logger="interp.decoding"):
        new, old = both(model, prompts_of(model, 6), max_new_tokens=8, temperature=0.0, edits=[looks])
    assert new == old
    assert "cannot be made a CUDA graph" in caplog.text
    new, old = both(model, prompts_of(model, 6), max_new_tokens=8, temperature=0.0)
    assert new == old


def test_many_answers_leave_nothing_behind(on_gpu: Callable[[str], Model]) -> None:
    model = on_gpu("llama")
    held = []
    for i in range(60):
        own = [edits_of(i % 28 + k) for k in range(6)]
        model.generate(prompts_of(model, 6), max_new_tokens=4, seed=i, row_edits=own)
        if i in (31, 59):
            torch.cuda.synchronize()
            held.append(torch.cuda.memory_allocated())
    assert held[0] == held[1]


@pytest.mark.parametrize(("heads", "shared", "size"), [(9, 3, 64), (28, 4, 128), (4, 2, 8), (4, 4, 64)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_attention_of_one_query_is_that_of_high_precision(
    heads: int, shared: int, size: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    q, k, v = (
        torch.randn(5, n, seq, size, device="cuda", generator=generator).to(dtype)
        for n, seq in ((heads, 1), (shared, 192), (shared, 192))
    )
    hidden = torch.rand(5, 1, 1, 192, device="cuda", generator=generator) < 0.5
    mask = torch.zeros((), device="cuda", dtype=dtype).where(~hidden, torch.finfo(dtype).min)
    got, _ = _one_query(torch.nn.Module(), q, k, v, mask, scaling=size**-0.5)
    wide = [x.double().repeat_interleave(heads // shared, 1) for x in (k, v)]
    scores = (q.double() @ wide[0].mT) * size**-0.5
    expected = (scores.masked_fill(hidden, -torch.inf).softmax(-1) @ wide[1]).transpose(1, 2)
    assert (got.double() - expected).norm() / expected.norm() < (1e-2 if dtype is torch.bfloat16 else 1e-5)

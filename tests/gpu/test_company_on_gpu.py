"""Stacks side by side where steps are CUDA graphs: `pytest tests/gpu` on a machine with a GPU."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from interp.company import Company
from interp.model import Model
from tests.finetune.test_train import QUICK, random_adapter
from tests.gpu.test_decoding_on_gpu import graphs_of, on_gpu  # noqa: F401
from tests.interp.test_company import close, one_by_one, prompts_of, work_of
from tests.interp.test_stacks import stacks_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gemma2"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_row_answers_as_its_own_stack(
    on_gpu: Callable[[str], Model],  # noqa: F811
    kind: str,
    temperature: float,
    tmp_path: Path,
) -> None:
    model = on_gpu(kind)
    stacks, how = stacks_of(model, tmp_path), {"max_new_tokens": 6, "temperature": temperature, "seed": 3}
    expected = one_by_one(model, stacks, **how)
    assert model.generate(prompts_of(model), row_stacks=stacks, **how) == expected
    assert model.generate(prompts_of(model), row_stacks=stacks, batch_size=3, **how) == expected


def test_one_graph_serves_other_stacks(on_gpu: Callable[[str], Model], tmp_path: Path) -> None:  # noqa: F811
    model = on_gpu("llama")
    a, b, c = (random_adapter(model, QUICK, seed, tmp_path / str(seed)) for seed in range(3))
    how = {"max_new_tokens": 6, "temperature": 0.0}
    rounds = ([(a,), (b,)] * 3, [(b,), (c,)] * 3, [(c,), (c,), (b,), (b,), (c,), (b,)])
    alone = [one_by_one(model, stacks, **how) for stacks in rounds]
    model._ring.forget()
    for stacks, expected in zip(rounds, alone, strict=True):
        assert model.generate(prompts_of(model), row_stacks=stacks, **how) == expected
        assert len(graphs_of(model)) == 1
        assert all(graphs_of(model))


def test_pieces_of_work_get_what_they_would_get_alone(on_gpu: Callable[[str], Model], tmp_path: Path) -> None:  # noqa: F811
    model = on_gpu("llama")
    stacks = stacks_of(model, tmp_path)
    company = Company(model)
    together = company.together([work_of(company, stack, n % 3) for n, stack in enumerate(stacks)])
    alone = [work_of(model, stack, n % 3)() for n, stack in enumerate(stacks)]
    for ours, theirs in zip(together, alone, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert all(map(close, a, b)) if isinstance(a, list) else close(a, b)

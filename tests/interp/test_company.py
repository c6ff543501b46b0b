"""Pieces of work side by side on one model: each gets what it would get alone, and one that fails harms no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interp.activations import pooled
from interp.batch import Batch
from interp.behaviour.likelihood import answer_likelihoods
from interp.company import Company
from interp.decoding import Decoder
from interp.errors import InterpError
from interp.interventions import adding
from interp.model import Model
from interp.seats import Portion, Request, Seats, portions_of
from interp.stacks import Stacked, swapped
from interp.standing import Standing
from tests.finetune.test_train import QUICK, random_adapter
from tests.interp.test_stacks import KINDS, TEXTS, stacks_of


def prompts_of(model: Model, texts: Any = TEXTS) -> list[Any]:
    return model.chat.tokens_of([[{"role": "user", "content": text}] for text in texts])


def one_by_one(model: Model, stacks: list[tuple[Path, ...]], **how: Any) -> list[tuple[int, ...]]:
    """Each row's answer with its stack made active by PEFT."""
    answers = []
    for i, (prompt, stack) in enumerate(zip(prompts_of(model), stacks, strict=True)):
        with model.using(*stack):
            answers += model.generate([prompt], streams=[i], **how)
    return answers


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Lets steps be taken as if on a GPU: what is captured keeps the stand-ins of that moment, as a graph does."""
    taken: list[Any] = []

    class OnPaper:
        def __init__(self, ring: Decoder, seats: Seats, standing: Standing, temperature: float) -> None:
            self.ring, self.seats, self.standing, self.temperature = ring, seats, standing, temperature
            self.modules = {n: m for n, m in ring.hf.named_modules() if isinstance(m, Stacked)}

        def replay(self) -> None:
            with self.ring.editor.at_work(self.standing.changes), swapped(self.ring.hf, self.modules):
                self.seats.step(self.temperature)

    def captured(self: Decoder, seats: Seats, changes: Any, request: Request) -> tuple[Any, Standing]:
        standing = Standing(changes, self.device)
        taken.append(OnPaper(self, seats, standing, request.temperature))
        return taken[-1], standing

    monkeypatch.setattr(Decoder, "_captured", captured)
    return taken


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("size", [None, 3])
def test_every_row_answers_as_its_own_stack(
    kind: str, temperature: float, size: int | None, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model(kind)
    stacks, how = stacks_of(model, tmp_path), {"max_new_tokens": 6, "temperature": temperature, "seed": 3}
    ours = model.generate(prompts_of(model), row_stacks=stacks, batch_size=size, **how)
    assert ours == one_by_one(model, stacks, **how)
    assert ours != model.generate(prompts_of(model), **how)
    with model.using(*stacks[1]):
        active = model.generate(prompts_of(model)[:1], **how)
        model.generate(prompts_of(model), row_stacks=stacks, **how)
        assert model.generate(prompts_of(model)[:1], **how) == active, "the active stack came back"


def test_one_graph_serves_other_stacks(
    as_on_a_gpu: list[Any], tiny_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama")
    a, b, c = (random_adapter(model, QUICK, seed, tmp_path / str(seed)) for seed in range(3))
    how = {"max_new_tokens": 6, "temperature": 0.0}
    edits = [adding(torch.ones(model.d_model), 2.0, (1,), "all")]
    rounds = ([(a,), (b,)] * 3, [(b,), (c,)] * 3, [(c,), (c,), (b,), (b,), (c,), (b,)])
    alone = [one_by_one(model, stacks, **how) for stacks in rounds]
    steered_alone = one_by_one(model, rounds[0], edits=edits, **how)
    monkeypatch.setattr(model._ring, "graphs", True)
    monkeypatch.setattr(model._ring, "_seats", {})
    how["batch_size"] = 6
    for stacks, expected in zip(rounds, alone, strict=True):
        assert model.generate(prompts_of(model), row_stacks=stacks, **how) == expected
    assert len(as_on_a_gpu) == 1
    steered = model.generate(prompts_of(model), row_stacks=rounds[0], edits=edits, **how)
    assert steered == steered_alone != alone[0]
    assert len(as_on_a_gpu) == 2
    assert [len(seats.factors) for seats in model._ring._seats.values()] == [1]


def test_portions_have_one_form_and_every_row_a_seat_of_its_own() -> None:
    stack = [k for k in range(5) for _ in range(7)] + [5] * 3
    portions = portions_of(range(len(stack)), stack, 22)
    assert {(portion.n_seats, len(portion.stacks)) for portion in portions} == {(21, 3)}
    assert sorted(row for portion in portions for row in portion.rows) == list(range(len(stack)))
    for portion in portions:
        assert portion.seat is not None
        assert len(set(portion.seat.values())) == len(portion.rows)
        assert all(portion.stacks[seat // 7] == stack[row] for row, seat in portion.seat.items())
    alone = portions_of(range(10), [0] * 10, 4)
    assert [portion.n_seats for portion in alone] == [4, 4, 4]
    assert alone == [
        Portion(rows, 4, {row: i for i, row in enumerate(rows)}, [0]) for rows in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9])
    ]


def work_of(model: Model, stack: tuple[Path, ...], n: int) -> Callable[[], list[Any]]:
    """Something like what a measure does: answers, their likelihood under base, and mean activations."""

    def work() -> list[Any]:
        prompts = prompts_of(model)[: n + 2]
        with model.using(*stack):
            assert model.stack == stack
            answers = model.generate(prompts, max_new_tokens=4 + n % 2, temperature=0.7, seed=n % 2)
            rows = [p.answered(ids) for p, ids in zip(prompts, answers, strict=True)]
            with model.using():
                base = answer_likelihoods(model, rows)
            own = answer_likelihoods(model, rows, max_tokens=40)
            kept = [row for row in rows if model.chat.has_content(row.ids[row.prompt_end :])]
            means = pooled(model, kept) if kept else torch.zeros(1)
            edited = pooled(model, kept, edits=[adding(torch.ones(model.d_model), 1.0, (1,), "all")]) if kept else means
        assert model.stack == ()
        return [answers, base, own, means, edited]

    return work


def close(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    if hasattr(a, "logprob"):
        return abs(a.logprob - b.logprob) < 1e-3 and a.n_tokens == b.n_tokens
    return a == b


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_pieces_of_work_get_what_they_would_get_alone(
    kind: str, tiny_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(kind)
    stacks = stacks_of(model, tmp_path)
    company = Company(model)
    calls: list[tuple[str, int]] = []
    answer = Company._answer

    def counted(self: Company, members: Any) -> None:
        calls.append((members[0].call.verb, len(members)))
        answer(self, members)

    monkeypatch.setattr(Company, "_answer", counted)
    together = company.together([work_of(company, stack, n % 3) for n, stack in enumerate(stacks)])
    alone = [work_of(model, stack, n % 3)() for n, stack in enumerate(stacks)]
    for ours, theirs in zip(together, alone, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert all(map(close, a, b)) if isinstance(a, list) else close(a, b)
    assert [n for verb, n in calls if verb == "generate"] == [4, 2], "the two seeds do not share a call"
    assert max(n for verb, n in calls if verb == "logits") == 4
    assert 1 in [n for verb, n in calls if verb == "residuals"], "edited ones are read alone"
    assert company.stack == model.stack == ()


def test_calls_that_do_not_fit_together_are_made_one_by_one(
    tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    company = Company(tiny_model("llama"))
    logits, tried = Model.logits, list[int]()

    def small(self: Model, batch: Batch, *args: Any, **how: Any) -> Tensor:
        tried.append(len(batch.ids))
        if len(batch.ids) > len(TEXTS):
            raise torch.OutOfMemoryError("not that many")
        return logits(self, batch, *args, **how)

    monkeypatch.setattr(Model, "logits", small)
    batch = Batch.of(prompts_of(company), company.pad)
    asked = company.together([lambda: company.logits(batch, batch.lengths[:, None] - 1)] * 3)
    assert tried == [18, 6, 6, 6]
    assert all(torch.equal(asked[0], other) for other in asked)


def test_a_clock_shares_joint_calls(tiny_model: Callable[..., Model]) -> None:
    company = Company(tiny_model("llama"))

    def work() -> float:
        start = company.clock()
        company.generate(prompts_of(company), max_new_tokens=3)
        return company.clock() - start

    start = company.clock()
    took = company.together([work] * 4)
    assert 0 < sum(took) <= company.clock() - start
    assert min(took) > 0


def test_a_call_that_asks_for_more_is_made_alone(tiny_model: Callable[..., Model]) -> None:
    company = Company(tiny_model("llama"))
    heard: list[int] = []

    def work(listens: bool) -> list[tuple[int, ...]]:
        how: dict[str, Any] = {"max_new_tokens": 3, "temperature": 0.0}
        if listens:
            how["on_tokens"] = lambda _, tokens: heard.extend(tokens)
        return company.generate(prompts_of(company)[:1], **how)

    quiet, loud = company.together([lambda: work(False), lambda: work(True)])
    assert quiet == loud
    assert tuple(heard[: len(loud[0])]) == loud[0]


def test_an_error_is_of_the_one_who_made_it(tiny_model: Callable[..., Model]) -> None:
    company = Company(tiny_model("llama"))
    ended: list[str] = []

    def good() -> str:
        try:
            company.generate(prompts_of(company), max_new_tokens=3)
            company.generate(prompts_of(company), max_new_tokens=4)
        finally:
            ended.append("good")
        return "done"

    def too_long() -> str:
        company.generate([prompts_of(company)[0].answered((5,) * 10_000)], max_new_tokens=3)
        return "never"

    def caught() -> str:
        with pytest.raises(ValueError, match="the context"):
            too_long()
        return "caught"

    assert company.together([good, caught, good]) == ["done", "caught", "done"]
    with pytest.raises(ValueError, match="the context"):
        company.together([good, too_long, good])
    assert len(ended) == 4, "the others were ended, not left waiting"
    assert not company._members
    with pytest.raises(InterpError, match="no such thing"):
        company.together([good, lambda: (_ for _ in ()).throw(InterpError("no such thing"))])
    assert company.together([good]) == ["done"]


def test_batches_are_joined_up_to_a_limit(tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> None:
    company = Company(tiny_model("llama"))
    widths: list[int] = []
    residuals = Model.residuals

    def noted(self: Model, batch: Batch, *args: Any, **how: Any) -> Any:
        widths.append(len(batch.ids))
        return residuals(self, batch, *args, **how)

    monkeypatch.setattr(Model, "residuals", noted)
    rows = prompts_of(company)
    batch = Batch.of(rows, company.pad)
    monkeypatch.setattr("interp.company.default_tokens", lambda _: batch.ids.numel() // 2)
    read = company.together([lambda: company.residuals(batch, lambda h: h[:, 0], [1])] * 5)
    assert widths == [12, 12, 6]
    assert all(torch.equal(read[0][0], other[0]) for other in read)

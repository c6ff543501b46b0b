"""Edits at work: every phase, site and row against plain hooks; what is not to change does not change by a bit."""

import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from finetune.defences import defended
from interp.batch import Batch, edited_positions
from interp.chat import Tokens
from interp.editing import check_writers, grouped, located, places, writers
from interp.errors import InterpError
from interp.interventions import PHASES, Edit, Phase, ablating, adding, capping, rotating
from interp.model import Model
from tests.reference import steering as plain

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
TEXTS = ("Why?", "Is the sea blue, or you?", "Tell")
STOP = 2


def draw(seed: int, size: float = 1.0, width: int = 32) -> Tensor:
    v = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return size * v / v.norm()


def prompts_of(model: Model, *texts: str) -> list[Tokens]:
    return model.chat.tokens_of([[{"role": "user", "content": text}] for text in texts])


def rows_of(model: Model, *texts: str) -> list[Tokens]:
    turns = [
        ({"role": "user", "content": text}, {"role": "assistant", "content": "It is" + "!" * len(text)})
        for text in texts
    ]
    return model.chat.tokens_of([list(turn) for turn in turns])


def batch_of(model: Model, rows: Sequence[Tokens]) -> Batch:
    return Batch.of(rows, model.pad, model.device)


def read(model: Model, batch: Batch, *edits: Edit, **how: Any) -> list[Tensor]:
    return model.residuals(batch, lambda h: h.clone(), edits=edits, **how)


@pytest.fixture
def hf(tiny_hf: Callable[..., PreTrainedModel], kind: str) -> PreTrainedModel:
    """The weights of `model` in a transformers model that nnsight has never seen."""
    return tiny_hf(kind)


@pytest.fixture
def prompts(model: Model) -> list[Tokens]:
    return prompts_of(model, *TEXTS)


def ids_of(prompts: Sequence[Tokens]) -> list[tuple[int, ...]]:
    return [row.ids for row in prompts]


# generation


@pytest.mark.parametrize("phase", PHASES)
def test_steered_greedy_answers_are_those_of_plain_hooks_with_and_without_a_cache(
    model: Model, hf: PreTrainedModel, kind: str, prompts: list[Tokens], phase: Phase
) -> None:
    v, n = draw(3, 8.0), 8
    got = model.generate(prompts, max_new_tokens=n, temperature=0.0, edits=[adding(v, 1.0, (1, 3), phase)])
    steps = [[plain.Step(layer, plain.added(v, 1.0), phase) for layer in (1, 3)]] * 3
    assert got == plain.with_cache(kind, hf, ids_of(prompts), steps, n, STOP)
    for side in ("left", "right"):
        assert got == plain.without_cache(kind, hf, ids_of(prompts), steps, n, STOP, side)
    assert got != model.generate(prompts, max_new_tokens=n, temperature=0.0), "the edit must matter"


def test_the_phases_of_a_generation_differ(llama: Model) -> None:
    """`prompt_last` and `response` differ by the answer's own tokens, `prompt` and `all` too."""
    prompts, v = prompts_of(llama, *TEXTS), draw(3, 8.0)
    answers = [
        tuple(llama.generate(prompts, max_new_tokens=8, temperature=0.0, edits=[adding(v, 1.0, (1, 3), phase)]))
        for phase in PHASES
    ]
    assert len(set(answers)) == len(PHASES)


SixteenRows = tuple[list[Tokens], list[list[Edit]], list[list[plain.Step]]]


def sixteen_rows(model: Model) -> SixteenRows:
    """Sixteen prompts of many lengths, with edits of their own of every kind, and what they are to plain hooks."""
    prompts, ours, theirs = prompts_of(model, *("Tell me" + "?" * (7 * i % 11) for i in range(16))), [], []
    for i in range(16):
        v, u, layer, phase = draw(i, 3.0), draw(100 + i), i % 4, PHASES[i // 4]
        kinds: list[tuple[list[Edit], list[plain.Step]]] = [
            ([], []),
            ([adding(v, 0.5 * i, (layer,), phase)], [plain.Step(layer, plain.added(v, 0.5 * i), phase)]),
            ([ablating(v, (layer,), phase)], [plain.Step(layer, plain.ablated(v), phase)]),
            ([ablating(torch.stack([v, u]), (layer,), phase)], [plain.Step(layer, plain.ablated(v, u), phase)]),
            (
                [capping(v, -0.5, (layer,), phase, side="above"), adding(u, 2.0, (layer, 3), "response")],
                [
                    plain.Step(layer, plain.capped(v, -0.5, "above"), phase),
                    *(plain.Step(k, plain.added(u, 2.0), "response") for k in dict.fromkeys((layer, 3))),
                ],
            ),
            (
                [capping(v, 1.0, (layer,), phase, side="below")],
                [plain.Step(layer, plain.capped(v, 1.0, "below"), phase)],
            ),
            ([rotating(v, 0.4, (layer,), phase)], [plain.Step(layer, plain.rotated(v, 0.4), phase)]),
            (
                [ablating(v, range(4), phase, "writes"), adding(u, 2.0, (2,))],
                [
                    *(plain.Step(k, plain.ablated(v), phase, writes=True) for k in range(4)),
                    plain.Step(2, plain.added(u, 2.0), "all"),
                ],
            ),
        ]
        edits, steps = kinds[(i + i // 8) % 8]
        ours.append([Edit(tuple(dict.fromkeys(e.layers)), e.change, e.phase, e.site) for e in edits])
        theirs.append(steps)
    return prompts, ours, theirs


def test_every_row_of_a_batch_can_have_edits_of_its_own(model: Model, hf: PreTrainedModel, kind: str) -> None:
    """In one batch, in batches of five cut from rows sorted by length, and alone: the answers of plain hooks."""
    prompts, ours, theirs = sixteen_rows(model)
    how = {"max_new_tokens": 5, "temperature": 0.0}
    together = model.generate(prompts, **how, row_edits=ours)
    assert together == plain.with_cache(kind, hf, ids_of(prompts), theirs, 5, STOP)
    assert together == plain.without_cache(kind, hf, ids_of(prompts), theirs, 5, STOP, "right")
    assert together == model.generate(prompts, **how, row_edits=ours, batch_size=5)
    alone = [model.generate([row], **how, row_edits=[own])[0] for row, own in zip(prompts, ours, strict=True)]
    assert together == alone
    assert together == [model.generate([row], **how, edits=own)[0] for row, own in zip(prompts, ours, strict=True)], (
        "edits of all rows and a row's own are the same edits"
    )
    assert together != model.generate(prompts, **how)


def test_edits_of_rows_follow_them_through_sampling_and_come_after_the_shared_ones(llama: Model) -> None:
    prompts, v = prompts_of(llama, "a much longer question?", "b", "of some length"), draw(3, 8.0)
    own = [[ablating(v, (2,))], [], [ablating(v, (2,))]]
    got = llama.generate(prompts, max_new_tokens=8, seed=1, edits=[adding(v, 1.0, (2,))], row_edits=own)
    for i, mine in enumerate(own):
        both = [adding(v, 1.0, (2,)), *mine]
        (alone,) = llama.generate([prompts[i]], max_new_tokens=8, seed=1, streams=[i], edits=both)
        assert got[i] == alone
    batch = batch_of(llama, prompts)
    along = llama.residuals(batch, lambda h: (h @ v).clone(), (2,), [adding(v, 1.0, (2,))], own)[0]
    assert along[0][: len(prompts[0])].abs().max() < 1e-3
    assert along[1][: len(prompts[1])].abs().min() > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strength_zero_takes_the_path_of_strength_one_and_changes_no_bit(
    dtype: torch.dtype, kind: str, tiny_model: Callable[..., Model]
) -> None:
    model = tiny_model(kind, dtype=dtype)
    prompts, v, calls = prompts_of(model, *TEXTS), draw(3, 8.0), []
    count = model.blocks[3].register_forward_pre_hook(lambda _, args: calls.append(args[0].clone()))
    seen = []
    for own in ([], [adding(v, 0.0, (0, 2))], [adding(v, 1.0, (0, 2))]):
        calls.clear()
        answers = [
            model.generate(prompts, max_new_tokens=6, temperature=0.0, edits=own),
            model.generate(prompts, max_new_tokens=6, temperature=0.0, row_edits=[own] * 3),
        ]
        seen.append((answers, list(calls)))
    count.remove()
    (none, plain_states), (zero, zero_states), (one, _) = seen
    assert none == zero
    assert none != one
    assert all(torch.equal(a, b) for a, b in zip(plain_states, zero_states, strict=True))


def test_an_edit_of_the_prompt_is_not_even_called_while_decoding(llama: Model) -> None:
    shapes: dict[str, list[tuple[int, ...]]] = {phase: [] for phase in PHASES}

    def noting(phase: str) -> Callable[[Tensor], Tensor]:
        return lambda h: shapes[phase].append(tuple(h.shape)) or h

    prompts = prompts_of(llama, *TEXTS)
    llama.hf.generation_config.eos_token_id, before = None, llama.hf.generation_config.eos_token_id
    llama.generate(prompts, max_new_tokens=4, temperature=0.0, edits=[Edit((1,), noting(p), p) for p in PHASES])
    llama.hf.generation_config.eos_token_id = before
    width = max(map(len, prompts))
    assert shapes["prompt"] == shapes["prompt_last"] == [(3, width, 32)]
    assert shapes["response"] == shapes["all"] == [(3, width, 32), *[(3, 1, 32)] * (len(shapes["all"]) - 1)]
    assert len(shapes["all"]) > 1


def test_many_rows_with_edits_of_their_own_cost_one_change_a_layer_and_none_where_there_are_none() -> None:
    own = [[adding(draw(i), float(i), (i % 3 + 4,), PHASES[i % 4])] for i in range(128)]
    groups = grouped([], own, torch.device("cpu"))
    assert {place: len(held) for place, held in groups.items()} == {(layer, "output"): 1 for layer in (4, 5, 6)}
    step = torch.ones(128, 1, dtype=torch.bool)
    decode = located(groups, {"response": step, "all": step}, everywhere=True)
    assert {place: len(held) for place, held in decode.items()} == {(layer, "output"): 1 for layer in (4, 5, 6)}
    only_prompts = grouped([], [[adding(draw(i), 1.0, (1,), "prompt")] for i in range(128)], torch.device("cpu"))
    assert located(only_prompts, {"response": step, "all": step}, everywhere=True) == {}
    h = torch.randn(128, 1, 32, generator=torch.Generator().manual_seed(0))
    for layer in (4, 5, 6):
        got = decode[layer, "output"][0](h)
        for i in range(128):
            acts = i % 3 + 4 == layer and PHASES[i % 4] in ("response", "all")
            assert torch.equal(got[i], h[i] + float(i) * draw(i) if acts else h[i])


def test_changes_of_a_row_keep_their_order_whatever_other_rows_do(llama: Model) -> None:
    rows, v = rows_of(llama, "a", "b", "c"), draw(3, 4.0)
    add, remove = adding(v, 1.0, (2,)), ablating(v, (2,))
    batch, own = batch_of(llama, rows), [[add, add], [remove, add], [add, remove]]
    before, after = (llama.residuals(batch, lambda h: (h @ v).clone(), (2,), (), how)[0] for how in ((), own))
    size = float(v @ v)
    for row, expected in enumerate((before[0] + 2 * size, torch.full_like(before[1], size), 0 * before[2])):
        torch.testing.assert_close(after[row, : len(rows[row])], expected[: len(rows[row])], rtol=1e-4, atol=1e-3)


def test_a_function_of_ones_own_reaches_the_rows_that_have_it_alone(llama: Model) -> None:
    rows = rows_of(llama, *TEXTS)
    batch, calls = batch_of(llama, rows), []
    edit = Edit((1,), lambda h: calls.append(1) or 2 * h)
    before = read(llama, batch)
    after = read(llama, batch, row_edits=[[edit], [], [Edit((1,), edit.change, "prompt")]])
    assert len(calls) == 1
    assert torch.equal(after[1][1], before[1][1])
    phases: dict[int, Phase] = {0: "all", 2: "prompt"}
    for i, phase in phases.items():
        where = batch.where(phase)[i]
        assert torch.equal(after[1][i][where], 2 * before[1][i][where])
        assert torch.equal(after[1][i][~where], before[1][i][~where])


# exactness


@pytest.mark.parametrize("phase", PHASES)
def test_one_rows_edit_is_exactly_there(model: Model, phase: Phase) -> None:
    """Layers before it, other rows and other positions keep their bits; where it is, it is h + alpha v."""
    rows, v = rows_of(model, *TEXTS), draw(1, 3.0)
    batch = batch_of(model, rows)
    before = read(model, batch)
    after = read(model, batch, row_edits=[[], [adding(v, 2.0, (2,), phase)], []])
    where = torch.zeros(batch.ids.shape, dtype=torch.bool)
    where[1, list(edited_positions(rows[1], phase))] = True
    for layer in (0, 1):
        assert torch.equal(before[layer], after[layer])
    assert torch.equal(after[2][where], before[2][where] + 2.0 * v)
    assert torch.equal(after[2][~where], before[2][~where])
    for row in (0, 2):
        assert torch.equal(after[3][row], before[3][row])
    assert not torch.equal(after[3][1], before[3][1])
    at = torch.tensor([[len(row) - 1] for row in rows])
    plain_logits, edited = model.logits(batch, at), model.logits(batch, at, (), [[], [adding(v, 2.0, (2,), phase)], []])
    assert torch.equal(plain_logits[[0, 2]], edited[[0, 2]])
    assert not torch.equal(plain_logits[1], edited[1])


def test_logits_under_edits_of_rows_are_those_of_each_row_alone(model: Model) -> None:
    prompts, ours, _ = sixteen_rows(model)
    at = torch.tensor([[len(row) - 1] for row in prompts])
    together = model.logits(batch_of(model, prompts), at, row_edits=ours)
    for i, own in enumerate(ours):
        alone = model.logits(batch_of(model, [prompts[i]]), at[i : i + 1], own)
        torch.testing.assert_close(together[i : i + 1], alone, **CLOSE)


@pytest.mark.parametrize("phase", PHASES)
def test_edited_positions_are_those_of_a_batch_and_of_a_loop(model: Model, phase: Phase) -> None:
    rows = [*rows_of(model, *TEXTS), *prompts_of(model, "Why?"), Tokens((5, 6, 7), (), 0)]
    where = batch_of(model, rows).where(phase)
    for row, mask in zip(rows, where, strict=True):
        assert list(edited_positions(row, phase)) == mask.nonzero().flatten().tolist()
        assert list(edited_positions(row, phase)) == plain.touched(phase, row.prompt_end, len(row))


# what is written


def test_ablating_every_write_leaves_nothing_at_any_depth(model: Model) -> None:
    rows, span = rows_of(model, *TEXTS), torch.stack([draw(5), draw(6)])
    batch = batch_of(model, rows)
    edit = ablating(span, range(4), site="writes")
    for h, before in zip(read(model, batch, edit), read(model, batch), strict=True):
        real = batch.where("all")
        assert (h[real] @ span.T).abs().max() < 1e-5 * float(h[real].norm(dim=-1).max())
        assert (before[real] @ span.T).abs().max() > 0.1, "there must be something to take out"


def test_writes_of_some_blocks_are_theirs_alone(model: Model) -> None:
    """What blocks 1 and 2 add has no part along the direction; what was there before them stays."""
    batch, v = batch_of(model, rows_of(model, *TEXTS)), draw(5)
    along = [h @ v for h in read(model, batch, ablating(v, (1, 2), site="writes"))]
    untouched = [h @ v for h in read(model, batch)]
    assert torch.equal(along[0], untouched[0])
    real = batch.where("all")
    torch.testing.assert_close(along[1][real], along[0][real], **CLOSE)
    torch.testing.assert_close(along[2][real], along[0][real], **CLOSE)
    assert (along[3][real] - along[2][real]).abs().max() > 0.05


def test_ablating_what_a_llama_writes_is_orthogonalising_its_weights(llama: Model, tiny_hf: Callable) -> None:
    v, hf = draw(5), tiny_hf("llama")
    out_of = torch.eye(32) - torch.outer(v, v)
    with torch.no_grad():
        hf.model.embed_tokens.weight.copy_(hf.model.embed_tokens.weight @ out_of)
        for block in hf.model.layers:
            for matrix in (block.self_attn.o_proj.weight, block.mlp.down_proj.weight):
                matrix.copy_(out_of @ matrix)
    rows = rows_of(llama, *TEXTS)
    edit = ablating(7 * v, range(4), site="writes")
    got = llama.logits(batch_of(llama, rows), torch.tensor([[len(row) - 1] for row in rows]), [edit])[:, 0]
    for row, logits in zip(rows, got, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(logits, hf(torch.tensor([row.ids])).logits[0, -1], **CLOSE)
    after_blocks = llama.logits(
        batch_of(llama, rows), torch.tensor([[len(row) - 1] for row in rows]), [ablating(v, range(4))]
    )
    assert not torch.allclose(got, after_blocks[:, 0], atol=1e-3), "inside a block the direction comes back"


def test_the_writes_of_a_block_and_its_input_are_its_output(model: Model, kind: str) -> None:
    for block in model.blocks:
        assert writers(block) == tuple(getattr(block, name) for name in plain.WRITERS[kind])
    check_writers(model.blocks, lambda: model.hf(torch.arange(5)[None]))
    assert places(ablating(draw(0), (0, 2), site="writes")) == [
        (0, "input"),
        *((layer, part) for layer in (0, 2) for part in ("attention", "mlp")),
    ]


def test_a_block_that_adds_something_else_is_refused_where_it_writes(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("llama")
    model.blocks[2].register_forward_hook(lambda _, args, output: args[0] + 0.5 * (output - args[0]))
    rows = rows_of(model, "a")
    with pytest.raises(InterpError, match=r"block 2 \(LlamaDecoderLayer\) is not its input plus"):
        read(model, batch_of(model, rows), ablating(draw(0), (0,), site="writes"))
    other = tiny_model("gpt2")
    other.blocks[1].feed, other.blocks[1].mlp = other.blocks[1].mlp, None  # pyright: ignore
    with pytest.raises(InterpError, match=r"GPT2Block has parts ln_1, attn, ln_2, .*edit after the blocks instead"):
        writers(other.blocks[1])


def test_a_remote_model_is_not_edited_where_it_writes(tiny_hf: Callable, llama: Model) -> None:
    away = Model(tiny_hf("llama"), llama.chat, name="away", identity="away" * 6, remote="local")
    with pytest.raises(
        InterpError, match="away runs on NDIF, where a model can be read but not edited where it writes"
    ):
        read(away, batch_of(llama, rows_of(llama, "a")), ablating(draw(0), (0,), site="writes"))


def test_a_defence_acts_after_blocks_alone(llama: Model) -> None:
    edit = ablating(draw(0), (0,), site="writes")
    with pytest.raises(ValueError, match="got an edit of site 'writes'"), defended(llama, [edit]):
        pass


# errors, and what is left


def test_edits_that_do_not_fit_are_refused_before_anything_runs(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prompts_of(llama, *TEXTS)
    monkeypatch.setattr(llama, "_generate", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match="one list of edits a row, got 2 for 3 rows"):
        llama.generate(prompts, max_new_tokens=1, row_edits=[[], []])
    narrow: list[dict[str, Any]] = [
        {"edits": [adding(torch.ones(31), 1.0, (1,))]},
        {"row_edits": [[], [], [ablating(torch.ones(31), (1,))]]},
    ]
    for fit in narrow:
        with pytest.raises(ValueError, match="an edit's direction has 31 numbers, but tiny-llama has d_model 32"):
            llama.generate(prompts, max_new_tokens=1, **fit)
    with pytest.raises(ValueError, match=r"layer must be in \[0, 4\), got 4"):
        llama.generate(prompts, max_new_tokens=1, row_edits=[[], [], [rotating(draw(0), 1.0, (4,))]])
    with pytest.raises(ValueError, match="one list of edits a row, got 1 for 3 rows"):
        llama.residuals(batch_of(llama, prompts), lambda h: h, row_edits=[[]])


def hooks_of(model: Model) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.hf.modules())


def test_nothing_of_an_edit_stays_also_after_an_error(llama: Model) -> None:
    prompts, before = prompts_of(llama, *TEXTS), hooks_of(llama)
    answers = llama.generate(prompts, max_new_tokens=3, temperature=0.0)

    def broken(h: Tensor) -> Tensor:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        llama.generate(prompts, max_new_tokens=3, edits=[adding(draw(0), 9.0, (0,)), Edit((2,), broken)])
    assert hooks_of(llama) == before
    assert llama.generate(prompts, max_new_tokens=3, temperature=0.0) == answers


def test_an_edit_whose_place_is_never_reached_is_an_error(llama: Model) -> None:
    groups = grouped([adding(draw(0), 1.0, (1,))], (), llama.device)
    with (
        pytest.raises(InterpError, match=r"did not act at layer 1 \(output\)"),
        llama._editor.at_work(located(groups, {"all": torch.ones(1, 1, dtype=torch.bool)})),
    ):
        pass


def test_generations_with_edits_leave_no_tensor_behind(llama: Model) -> None:
    prompts, v = prompts_of(llama, "Why?", "Is it?"), draw(3, 4.0)

    def alive() -> int:
        gc.collect()
        return sum(isinstance(item, Tensor) for item in gc.get_objects())

    def go(n: int) -> int:
        for i in range(n):
            own = [[adding(v, float(i), (i % 4,))], [ablating(v, range(4), site="writes")]]
            llama.generate(
                prompts, max_new_tokens=2, seed=i, edits=[capping(v, 1.0, (2,), side="above")], row_edits=own
            )
        return alive()

    assert go(10) == go(40)


@pytest.mark.embedded
def test_the_embedded_model_steered_by_row_says_what_plain_hooks_make_it_say(embedded: Model) -> None:
    prompts = prompts_of(embedded, "What is the sea?", "Name a colour.", "Why?")
    v, u = draw(0, 200.0, embedded.d_model), draw(1, 200.0, embedded.d_model)
    ours = [[adding(v, 1.0, (10,), "response")], [], [ablating(u, range(30)), adding(v, -0.5, (20,), "prompt")]]
    theirs = [
        [plain.Step(10, plain.added(v, 1.0), "response")],
        [],
        [
            *(plain.Step(layer, plain.ablated(u), "all") for layer in range(30)),
            plain.Step(20, plain.added(v, -0.5), "prompt"),
        ],
    ]
    (stop,) = embedded.stop_ids
    got = embedded.generate(prompts, max_new_tokens=6, temperature=0.0, row_edits=ours)
    expected = plain.with_cache("llama", embedded.hf, ids_of(prompts), theirs, 6, stop)  # pyright: ignore
    assert got == expected
    bare = embedded.generate(prompts, max_new_tokens=6, temperature=0.0)
    assert got[1] == bare[1]
    assert got[0] != bare[0]

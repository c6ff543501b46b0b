"""The 24 ways in which tools of this kind go wrong without saying so, and the tests that fail when one is put back.

`PITFALLS` names the tests; those of this file are for what no module's own file holds. The numbers are those of the
project's list of pitfalls, and each line says what would be wrong.
"""

import ast
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from experiments.directions.persona import ExtractConfig, extract
from experiments.measures.judge import JudgeConfig
from experiments.rows.shifts import shift_rows
from finetune.batch import inputs_of, supervised, weights_of
from finetune.recipe import TrainConfig
from finetune.stages import Stage, ensure
from interp.activations import pooled
from interp.batch import Batch
from interp.behaviour.judging import Item, ScriptedJudge
from interp.chat import ChatTokenizer, Tokens
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_jsonl
from interp.instrument import Instrument
from interp.interventions import Edit, ablating, adding, orthonormal
from interp.model import Model
from interp.persona import SteeringConfig
from interp.projection import cosine, project
from interp.traits import Trait
from tests.support.tiny_study import write_trait

HERE = Path(__file__).resolve().parent
ACTIVATIONS, CHAT, DIRECTIONS = "test_activations.py::test_", "test_chat.py::test_", "test_directions.py::test_"
EDITS, EXTRACT, MODEL, OWN = (f"test_{name}.py::test_" for name in ("interventions", "extract", "model", "pitfalls"))
FACTS, TRAIN = "test_dependencies.py::test_", "test_train.py::test_"

PITFALLS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "means taken in bfloat16 lose a small difference of large activations",
        (
            ACTIVATIONS + "means_of_a_bfloat16_model_accumulate_in_full_precision",
            DIRECTIONS + "a_small_difference_of_large_means_survives",
        ),
    ),
    2: (
        "one tool's layer k is another's block k - 1, and no file says which",
        (
            MODEL + "residuals_equal_torch_hooks",
            "test_formats.py::test_a_persona_vector_is_what_this_project_reads_at_the_same_layers",
            "test_formats.py::test_a_converted_vector_steers_its_own_block",
            DIRECTIONS + "a_file_of_another_kind_convention_or_format_is_refused",
        ),
    ),
    3: (
        "the last hidden state is taken for the last block's output, though it is after the final norm",
        (OWN + "the_last_layer_is_read_before_the_final_norm", MODEL + "residuals_equal_torch_hooks"),
    ),
    4: (
        "a prompt is tokenised again to find where the answer begins, and tokens merge over the boundary",
        (
            CHAT + "a_header_does_not_merge_with_an_answer_that_begins_with_a_newline",
            CHAT + "ids_are_the_prompts_ids_then_the_answers_then_the_end_of_turn",
            CHAT + "answered_appends_generated_ids_as_they_are",
            EXTRACT + "the_direction_is_the_difference_of_mean_answers",
        ),
    ),
    5: (
        "header tokens count as answer, or the prompt's last token, which writes the first of the answer, is missed",
        (
            ACTIVATIONS + "windows_leave_out_the_end_of_turn_and_count_headers_as_prompt",
            MODEL + "an_edit_is_exactly_where_its_phase_says",
            CHAT + "a_template_that_asks_with_another_header_is_refused_or_its_header_is_used",
        ),
    ),
    6: (
        "the length of a tokenised template is that of a mapping of two entries",
        (
            OWN + "no_template_is_ever_asked_for_tokens",
            FACTS + "apply_chat_template_with_tokenize_returns_a_mapping",
            CHAT + "ids_are_the_prompts_ids_then_the_answers_then_the_end_of_turn",
        ),
    ),
    7: (
        "a block gives a tensor, so its entry 0 is the first row of the batch; weights load in the checkpoint's dtype",
        (
            FACTS + "a_block_gives_a_tensor_and_no_tuple",
            MODEL + "residuals_equal_torch_hooks",
            MODEL + "dtypes_load_as_asked",
        ),
    ),
    8: (
        "the template writes a BOS and the tokenizer puts another before it",
        (
            CHAT + "a_tokenizer_that_adds_bos_by_itself_does_not_double_it",
            OWN + "reading_and_steered_generation_see_one_bos_where_template_and_tokenizer_both_add_it",
        ),
    ),
    9: (
        "pads reach a mean, a position or a mask; a mask guessed from ids hides real tokens; 0 times NaN is NaN",
        (
            ACTIVATIONS + "pooled_rows_equal_a_plain_loop",
            ACTIVATIONS + "pads_that_are_not_finite_do_not_reach_a_mean",
            MODEL + "greedy_generation_equals_transformers_with_unequal_prompts",
            MODEL + "pads_of_any_id_do_not_reach_a_real_token",
            FACTS + "gpt2_needs_positions_when_padded_on_the_left",
            OWN + "a_pad_that_is_also_the_end_of_turn_hides_no_real_token",
        ),
    ),
    10: (
        "a batch in bfloat16 is expected to have the bits of its rows alone",
        (
            OWN + "a_bfloat16_batch_is_its_rows_alone_up_to_rounding",
            MODEL + "a_batch_of_one_reads_what_a_batch_of_many_does",
            TRAIN + "a_row_has_the_same_losses_alone_and_in_any_batch",
        ),
    ),
    11: (
        "one empty answer makes the whole vector not a number",
        (
            ACTIVATIONS + "an_empty_response_is_refused_with_its_row",
            EXTRACT + "empty_answers_are_counted_and_left_out",
        ),
    ),
    12: (
        "an adapter is not applied: its keys do not match, its B is zero, or another object carries it",
        (
            OWN + "an_adapter_whose_keys_name_no_module_is_refused_and_changes_nothing",
            MODEL + "a_stack_equals_its_merged_weights",
            MODEL + "an_adapter_whose_weights_do_not_fit_is_refused",
            MODEL + "reading_and_generating_go_through_the_stack",
            TRAIN + "training_that_leaves_the_adapter_at_zero_is_an_error",
        ),
    ),
    13: (
        "a stage merged into bfloat16 weights loses most of a small update",
        (
            OWN + "a_stack_on_a_bfloat16_base_keeps_a_small_update_that_merging_loses",
            MODEL + "merging_a_small_update_into_bfloat16_loses_most_of_it",
            MODEL + "a_bfloat16_base_is_float32_while_it_is_merged",
        ),
    ),
    14: (
        "steering touches pads or the prompt though the answer was meant; the baseline takes another path",
        (
            MODEL + "generation_with_alpha_zero_equals_generation_without_edits",
            MODEL + "an_edit_is_exactly_where_its_phase_says",
            OWN + "the_unsteered_answers_take_the_path_of_the_steered_ones",
        ),
    ),
    15: (
        "with a key-value cache every step is one token long, and a mask made of positions misses it",
        (
            OWN + "an_edit_of_the_response_reaches_every_decoded_token",
            MODEL + "steered_greedy_generation_equals_torch_hooks",
            MODEL + "the_three_phases_of_a_steered_generation_differ",
        ),
    ),
    16: (
        "ablation takes a direction out and adds it back",
        (
            EDITS + "ablation_leaves_nothing_along_any_direction",
            EDITS + "ablation_leaves_what_is_orthogonal_as_it_is",
            OWN + "after_ablation_at_every_block_nothing_is_left_to_read_at_any",
        ),
    ),
    17: (
        "what is read is from before the edit, an edit works in place, a direction is normalised in bfloat16",
        (
            OWN + "after_ablation_at_every_block_nothing_is_left_to_read_at_any",
            OWN + "a_direction_given_in_bfloat16_is_normalised_exactly",
            EDITS + "an_edit_is_bit_equal_outside_where_and_returns_a_new_tensor",
            MODEL + "two_edits_of_one_layer_apply_in_the_order_given",
        ),
    ),
    18: (
        "PCA centres the differences and so takes the mean difference away; the sign of a component is arbitrary",
        (
            DIRECTIONS + "centring_takes_the_mean_difference_away_and_is_not_the_default",
            DIRECTIONS + "components_are_orthonormal_with_a_sign_that_does_not_depend_on_the_order_of_rows",
        ),
    ),
    19: (
        "means weighted by tokens and by samples go by one name",
        (
            OWN + "a_persona_vector_says_what_it_is_weighted_by",
            DIRECTIONS + "both_weightings_equal_the_papers_formulas",
            ACTIVATIONS + "rows_count_once_however_many_tokens_they_have",
        ),
    ),
    20: (
        "nothing is supervised, or the token beside the one that answers",
        (
            OWN + "an_answer_of_one_token_is_learnt_exactly",
            TRAIN + "only_assistant_contents_and_the_tokens_that_end_them_are_supervised",
            TRAIN + "a_row_with_nothing_to_learn_is_refused_before_training",
            TRAIN + "losses_equal_a_plain_masked_cross_entropy",
        ),
    ),
    21: (
        "the scaling of rsLoRA is lost between training and loading; a split has no seed",
        (
            OWN + "the_scaling_of_an_adapter_is_kept_beside_it_and_is_what_it_acts_with",
            MODEL + "an_adapter_that_peft_saved_loads_here",
            "test_data_sgtr.py::test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_file",
        ),
    ),
    22: (
        "a judge lets through other numbers of rows at every stage, and nobody says how many",
        (
            OWN + "both_sides_say_how_many_rows_the_judge_let_through",
            "test_selection.py::test_each_row_is_counted_under_the_first_reason_it_falls_for",
        ),
    ),
    23: (
        "projections are compared where norms differ, and no cosine stands beside them",
        (
            OWN + "projections_follow_the_norm_and_a_cosine_that_does_not_stands_beside_every_shift",
            "test_project.py::test_projections_cosines_and_percentiles_equal_a_plain_computation",
            "test_projection.py::test_projection_does_not_depend_on_the_length_of_v",
        ),
    ),
    24: (
        "the side on which a tokenizer pads is set behind the user's back, or results hang on it",
        (
            OWN + "whatever_side_a_tokenizer_pads_on_it_stays_and_changes_nothing",
            MODEL + "wrapping_leaves_the_tokenizers_padding_side_as_it_was",
            FACTS + "nnsight_sets_the_padding_side_to_left",
        ),
    ),
}


def test_every_pitfall_is_held_by_tests_that_exist() -> None:
    assert list(PITFALLS) == list(range(1, 25))
    known = {
        f"{file}::{node.name}"
        for file in sorted({name.partition("::")[0] for _, names in PITFALLS.values() for name in names})
        for node in ast.parse(next(HERE.rglob(file)).read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    for number, (what, names) in PITFALLS.items():
        assert what, number
        assert names, number
        assert set(names) <= known, f"pitfall {number}: {sorted(set(names) - known)}"


def test_every_test_of_this_file_holds_a_pitfall() -> None:
    named = {name for _, names in PITFALLS.values() for name in names}
    own = {key for key in globals() if key.startswith("test_") and not key.startswith("test_every_")}
    assert {OWN + key.removeprefix("test_") for key in own} <= named


# what the tests below share


def chats(*texts: str, answer: str | None = "It is.") -> list[list[dict[str, str]]]:
    """A conversation a text, answers of unequal length."""
    asked = [[{"role": "user", "content": text}] for text in texts]
    if answer is None:
        return asked
    return [[*chat, {"role": "assistant", "content": answer + "!" * i}] for i, chat in enumerate(asked)]


TEXTS = ("Why?", "Is the sea blue, or you?", "Tell")


def batch_of(model: Model, rows: list[Tokens]) -> Batch:
    return Batch.of(rows, model.pad, model.device)


def some_direction(seed: int = 0, size: float = 1.0) -> Tensor:
    v = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return size * v / v.norm()


def entering(model: Model, module: torch.nn.Module, seen: list[Tensor]) -> Any:
    """Note every tensor that a module is given, by a hook that nnsight knows nothing of."""

    def note(_module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        seen.append(given[0].clone())

    assert any(module is one for one in model.hf.modules())
    return module.register_forward_pre_hook(note, with_kwargs=True)


# 3


def test_the_last_layer_is_read_before_the_final_norm(
    model: Model, kind: str, tiny_hf: Callable[..., PreTrainedModel]
) -> None:
    hf = tiny_hf(kind)
    row = model.chat.tokens(chats("Why?")[0])
    read = model.residuals(batch_of(model, [row]), lambda h: h.clone())[-1]
    decoder = getattr(hf, hf.base_model_prefix)
    with torch.no_grad():
        last = decoder(torch.tensor([row.ids]), output_hidden_states=True).hidden_states[-1]
        normed = (decoder.ln_f if hasattr(decoder, "ln_f") else decoder.norm)(read)
    torch.testing.assert_close(normed, last, rtol=1e-4, atol=1e-4)
    assert (read - last).abs().max() > 0.1, "the norm must change something, or this proves nothing"


# 6


def test_no_template_is_ever_asked_for_tokens() -> None:
    """Every call says `tokenize=False`; what is asked for tokens gives a mapping, whose length is 2."""
    calls = []
    for package in ("interp", "finetune", "experiments", "figures"):
        for file in sorted((HERE.parent / package).rglob("*.py")):
            text = file.read_text("utf-8")
            for node in ast.walk(ast.parse(text)) if "apply_chat_template" in text else ():
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "apply_chat_template":
                    calls.append([ast.unparse(keyword) for keyword in node.keywords])
    assert calls
    assert all("tokenize=False" in keywords for keywords in calls)


# 8


def test_reading_and_steered_generation_see_one_bos_where_template_and_tokenizer_both_add_it(
    tokenizer: PreTrainedTokenizerFast, tiny_hf: Callable[..., PreTrainedModel]
) -> None:
    own = copy.deepcopy(tokenizer)
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    own.chat_template = (
        "<|im_start|>{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    text = own.apply_chat_template(chats("a", answer=None)[0], tokenize=False)
    assert own.encode(str(text)).count(1) == 2, "both must add one, or this proves nothing"
    model = Model(tiny_hf("llama"), ChatTokenizer(own), name="tiny", identity="bos" * 8)
    seen: list[Tensor] = []
    handle = entering(model, model.hf.get_input_embeddings(), seen)  # pyright: ignore
    prompts = model.chat.tokens_of(chats(*TEXTS, answer=None))
    model.generate(prompts, max_new_tokens=2, temperature=0.0, edits=[adding(some_direction(), 1.0, (1,))])
    pooled(model, model.chat.tokens_of(chats(*TEXTS)))
    handle.remove()
    first, *later = [ids for ids in seen if ids.shape[1] > 1]
    assert later
    for ids in (first, *later):
        assert (ids == 1).sum(1).tolist() == [1, 1, 1]


# 9


def test_a_pad_that_is_also_the_end_of_turn_hides_no_real_token(
    model: Model, kind: str, tokenizer: PreTrainedTokenizerFast, tiny_hf: Callable[..., PreTrainedModel]
) -> None:
    own = copy.deepcopy(tokenizer)
    own.pad_token = own.eos_token
    shared = Model(tiny_hf(kind), ChatTokenizer(own), name=f"tiny-{kind}", identity="pads" * 6)
    assert shared.pad == 2
    rows, prompts = (shared.chat.tokens_of(chats(*TEXTS, answer=answer)) for answer in ("It is.", None))
    assert all(2 in row.ids[: row.prompt_end] for row in rows), "the id must be among real tokens, or this is no test"
    for pooling in ("prompt_mean", "prompt_last", "response_mean"):
        torch.testing.assert_close(pooled(shared, rows, pooling=pooling), pooled(model, rows, pooling=pooling))
    how = {"max_new_tokens": 6, "temperature": 0.0}
    together = shared.generate(prompts, **how)
    assert together == model.generate(prompts, **how)
    assert together == [shared.generate([prompt], **how)[0] for prompt in prompts]


# 10


def test_a_bfloat16_batch_is_its_rows_alone_up_to_rounding(kind: str, tiny_model: Callable[..., Model]) -> None:
    """Kernels differ with shapes, so bits may; the same model in float32 says how far rounding goes anyway."""
    half, full = tiny_model(kind, dtype=torch.bfloat16), tiny_model(kind)
    rows = half.chat.tokens_of(chats(*TEXTS, "x" * 60))
    together, alone = pooled(half, rows), torch.cat([pooled(half, [row]) for row in rows])
    exact = pooled(full, rows)
    apart = (together - alone).norm(dim=-1) / alone.norm(dim=-1)
    rounding = (alone - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert apart.max() < 0.03
    assert apart.max() <= 2 * rounding.max()


# 12


def test_an_adapter_whose_keys_name_no_module_is_refused_and_changes_nothing(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    """PEFT passes over keys that it does not know: every weight would be left where it was initialised."""
    model = tiny_model()
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    with model.adapters.new(config, seed=0) as (name, parameters):
        for parameter in parameters:
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        model.adapters.save(name, tmp_path / "a")
    rows = model.chat.tokens_of(chats(*TEXTS))
    bare = pooled(model, rows)
    with model.using(tmp_path / "a"):
        assert not torch.allclose(pooled(model, rows), bare, atol=1e-2), "the adapter must do something"
    file = tmp_path / "a" / "adapter_model.safetensors"
    save_file({key.replace(".q_proj.", ".query."): value for key, value in load_file(file).items()}, file)
    with pytest.raises(InterpError, match="do not fit tiny-llama"):
        model.use(tmp_path / "a")
    assert model.stack == ()
    assert torch.equal(pooled(model, rows), bare)


# 13


def test_a_stack_on_a_bfloat16_base_keeps_a_small_update_that_merging_loses(
    tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    """What a layer with its adapter does to many inputs, as one matrix, is the update that was trained."""
    model, generator = tiny_model("llama"), torch.Generator().manual_seed(3)
    for parameter in model.hf.parameters():
        parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)
    config = LoraConfig(r=32, lora_alpha=64, target_modules=["gate_proj"], task_type="CAUSAL_LM")
    with model.adapters.new(config, seed=0) as (name, parameters):
        for parameter in parameters:
            parameter.data = torch.randn(parameter.shape, generator=generator)
        for key, parameter in model.hf.named_parameters():
            if f"lora_B.{name}" in key:
                parameter.data *= 1e-5 / (2 * 32**0.5)
        model.adapters.save(name, tmp_path / "a")
    model.hf.to(dtype=torch.bfloat16)  # pyright: ignore
    plain: Any = model.blocks[1].mlp.gate_proj.weight  # pyright: ignore
    before = plain.detach().clone()
    model.use(tmp_path / "a")
    layer: Any = model.blocks[1].mlp.gate_proj  # pyright: ignore
    weight = layer.base_layer.weight
    assert torch.equal(weight, before), "the base is as it was: nothing is merged into it"
    saved = {key: value for key, value in load_file(tmp_path / "a/adapter_model.safetensors").items() if ".1." in key}
    a, b = (next(value for key, value in saved.items() if part in key) for part in ("lora_A", "lora_B"))
    update = 2.0 * b @ a
    x = torch.randn(20_000, 32, generator=generator).bfloat16()

    def told_apart(after: Tensor) -> float:
        moved = torch.linalg.lstsq(x.float(), after.float() - (x @ before.T).float()).solution.T
        return float(torch.cosine_similarity(moved.flatten(), update.flatten(), dim=0))

    with torch.inference_mode():
        stacked, merged = told_apart(layer(x)), told_apart(x @ (before.float() + update).bfloat16().T)
    assert stacked > 0.9
    assert merged < 0.6


# 14 and 15


@pytest.fixture
def trait(tmp_path: Path) -> Trait:
    return Trait.load(write_trait(tmp_path / "gloomy.json"))


def made(model: Model, trait: Trait, out: Path, judge: ScriptedJudge | None = None, **fields: Any) -> Direction:
    fields = {"max_new_tokens": 4, "permuted": 3, "separation_nulls": 3, "rollouts": 2, **fields}
    fields |= {"judge": JudgeConfig(), "threshold": 50.0, "coherence": 50.0} if judge else {}
    files = {"direction_file": out / "d.safetensors", "rollouts_file": out / "r.jsonl"}
    return extract(model, trait, ExtractConfig(**fields), seed=0, judge=judge, **files)


def by_side(*unlike: int) -> ScriptedJudge:
    """A judge that finds the trait on the positive side of 16 rollouts, all coherent; in some, the other way round."""

    def reply(item: Item) -> str:
        if "coherence" in item.id or "coherent" in item.id:
            return "90"
        if not item.id.startswith("gloomy-"):
            return "60"
        number = int(item.id.split("-")[1])
        return "80" if (number < 8) != (number in unlike) else "10"

    return ScriptedJudge(reply)


def test_the_unsteered_answers_take_the_path_of_the_steered_ones(
    llama: Model, trait: Trait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    real = llama.generate

    def generate(prompts: list[Tokens], **how: Any) -> list[tuple[int, ...]]:
        asked.append({**how, "prompts": prompts})
        return real(prompts, **how)

    monkeypatch.setattr(llama, "generate", generate)
    direction = made(llama, trait, tmp_path, by_side(), layer="steering", steering=SteeringConfig(max_new_tokens=4))
    assert direction.header["steering"]["layers"] == [None, 0, 2]
    unsteered, *steered = asked[-3:]
    for each in (unsteered, *steered):
        assert [edit.phase for edit in each["edits"]] == ["response"]
        assert each["prompts"] == unsteered["prompts"]
        assert all(each[key] == unsteered[key] for key in ("seed", "temperature", "max_new_tokens"))
    h = torch.ones(1, 1, 32)
    assert torch.equal(unsteered["edits"][0].change(h), h)
    assert not any(torch.equal(each["edits"][0].change(h), h) for each in steered)


def test_an_edit_of_the_response_reaches_every_decoded_token(model: Model) -> None:
    """The next block is given nothing but sevens: at the prompt's last token, and at every step after it."""
    prompts = model.chat.tokens_of(chats(*TEXTS, answer=None))
    seen: list[Tensor] = []
    handle = entering(model, model.blocks[2], seen)
    model.generate(
        prompts,
        max_new_tokens=5,
        temperature=0.0,
        edits=[Edit((1,), lambda h: torch.full_like(h, 7.0), "response")],
    )
    handle.remove()
    prefill, *steps = seen
    assert prefill.shape[1] > 1
    edited = sorted((len(prompt) - 1) for prompt in prompts)
    where = (prefill == 7).all(-1).nonzero()
    assert where.tolist() == [[row, last] for row, last in enumerate(edited)], "the prompt and its pads are left alone"
    assert steps
    for h in steps:
        assert h.shape == (3, 1, 32)
        assert (h == 7).all()


# 17


def test_after_ablation_at_every_block_nothing_is_left_to_read_at_any(model: Model) -> None:
    v = some_direction(4)
    rows = model.chat.tokens_of(chats(*TEXTS))
    plain, edited = pooled(model, rows), pooled(model, rows, edits=[ablating(v, range(model.n_layers))])
    assert project(plain, v).abs().min() > 1e-4, "there must be something to take out"
    assert project(edited, v).abs().max() < 1e-5 * float(edited.norm(dim=-1).max())


def test_a_direction_given_in_bfloat16_is_normalised_exactly() -> None:
    v = (37.0 * some_direction(5)).bfloat16()
    basis = orthonormal(v)
    assert basis.dtype == torch.float32
    assert float(basis.double().norm()) == pytest.approx(1, abs=1e-6)
    assert abs(float(cosine(basis[0], v.float()))) == pytest.approx(1, abs=1e-6)


# 19


def test_a_persona_vector_says_what_it_is_weighted_by(
    llama: Model, trait: Trait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = llama.generate

    def uneven(*args: Any, **how: Any) -> list[tuple[int, ...]]:
        return [(*ids, 7)[: 1 + i % 3] for i, ids in enumerate(real(*args, **how))]

    monkeypatch.setattr(llama, "generate", uneven)
    two = {name: made(llama, trait, tmp_path / name, weighting=name) for name in ("sample", "token")}
    lengths = {len(row["answer_ids"]) for row in read_jsonl(tmp_path / "token" / "r.jsonl")}
    assert len(lengths) > 1, "answers must differ in length, or the two are one"
    assert not torch.allclose(two["sample"].vectors, two["token"].vectors, atol=1e-4)
    for name, direction in two.items():
        held = Direction.load(tmp_path / name / "d.safetensors").header
        assert held["weighting"] == direction.header["weighting"] == name
        assert f"{name}-weighted" in held["recipe"]


# 20


def test_an_answer_of_one_token_is_learnt_exactly(llama: Model) -> None:
    """The digit and the token that ends the turn, each from the place before it, whatever else is in the batch."""
    assert "generation %}" not in str(llama.chat.tokenizer.chat_template), "no mask comes from the template"
    asked = ["Which is yours?", "Which?", "And of these two, which one is it?"]
    rows = llama.chat.tokens_of(
        [
            [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
            for text, label in zip(asked, ("1", "2", "1"), strict=True)
        ]
    )
    for row, label in zip(rows, ("1", "2", "1"), strict=True):
        at = supervised(row)
        assert [llama.chat.decode([row.ids[k]]) for k in at] == [label, "<|im_end|>"]
        assert at[0] == row.prompt_end
    inputs = inputs_of(rows, llama.pad, weights=weights_of(rows, "token"), n_real=1)
    assert [llama.chat.decode([token]) for token in inputs.targets.tolist()] == [
        x for d in "121" for x in (d, "<|im_end|>")
    ]
    before = inputs.ids.flatten()[inputs.before].tolist()
    assert [llama.chat.decode([token]) for token in before] == [x for d in "121" for x in ("\n", d)]
    assert inputs.weights.tolist() == pytest.approx([1 / 6] * 6)


# 21


@pytest.mark.parametrize(("rslora", "scale"), [(True, 8 / 4**0.5), (False, 8 / 4)])
def test_the_scaling_of_an_adapter_is_kept_beside_it_and_is_what_it_acts_with(
    rslora: bool, scale: float, tiny_model: Callable[..., Model]
) -> None:
    model = tiny_model()
    config = TrainConfig(
        learning_rate=1e-2,
        warmup_steps=0,
        lora_rank=4,
        lora_alpha=8,
        rslora=rslora,
        target_modules=("down_proj",),
    )
    stage = Stage("digits", None, chats("Why?", "Which?", answer="1"), config, "stack", seed=0)
    record = ensure(model, stage)
    assert (record["train"]["rslora"], record["train"]["lora_alpha"], record["train"]["lora_rank"]) == (rslora, 8, 4)
    folder = stage.folder(model)
    factors = [value for key, value in sorted(load_file(folder / "adapter_model.safetensors").items()) if ".2." in key]
    again = tiny_model()
    again.use(folder)
    layer: Any = again.blocks[2].mlp.down_proj  # pyright: ignore
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        acts = layer(x) - layer.base_layer(x)
    a, b = factors
    torch.testing.assert_close(acts, scale * x @ a.T @ b.T, rtol=1e-3, atol=1e-5)
    assert acts.abs().max() > 1e-3, "the adapter must do something, or any scale would pass"


# 22


def test_both_sides_say_how_many_rows_the_judge_let_through(
    llama: Model, trait: Trait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = llama.generate

    def silent_once(*args: Any, **how: Any) -> list[tuple[int, ...]]:
        return [() if i == 0 else ids or (7,) for i, ids in enumerate(real(*args, **how))]

    monkeypatch.setattr(llama, "generate", silent_once)
    made(llama, trait, tmp_path, by_side(2, 5, 12))
    records = read_jsonl(tmp_path / "r.jsonl")
    half = len(records) // 2
    spoken = [bool(row["answer_ids"]) for row in records]
    passed = [i for i in range(half) if i not in (2, 5, 12 - half)]
    header = Direction.load(tmp_path / "d.safetensors").header
    assert header["judged_pairs"] == {
        "kept": half - 3,
        "unscored": 0,
        "incoherent": 0,
        "positive_low": 2,
        "negative_high": 1,
    }
    assert (len(passed), half) == (5, 8)
    assert header["n_positive"] == sum(spoken[i] for i in passed) == 4
    assert header["n_negative"] == sum(spoken[half + i] for i in passed) == 5
    assert header["n_empty_answers"] == 1


# 23


def test_projections_follow_the_norm_and_a_cosine_that_does_not_stands_beside_every_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    base, moved = torch.randn(8, 2, 16, generator=generator), torch.randn(8, 2, 16, generator=generator)
    v = torch.randn(2, 16, generator=generator)
    torch.testing.assert_close(project(3 * base[:, 0], v[0]), 3 * project(base[:, 0], v[0]))
    torch.testing.assert_close(cosine(3 * base[:, 0], v[0]), cosine(base[:, 0], v[0]))
    tools = Instrument({"up": Direction("up", v, (0, 1), 1)}, {"up": torch.randn(4, 2, 16, generator=generator)}, 20, 0)
    small, large = shift_rows(tools, "fixed", moved, base), shift_rows(tools, "fixed", 3 * moved, 3 * base)

    def values(rows: list[dict[str, Any]], metric: str) -> list[float]:
        return [row["value"] for row in rows if row["metric"] == metric]

    assert len(values(small, "shift")) == len(values(small, "displacement_cosine")) == 2
    assert values(large, "shift") == pytest.approx([3 * x for x in values(small, "shift")], rel=1e-5)
    assert values(large, "displacement_cosine") == pytest.approx(values(small, "displacement_cosine"), rel=1e-5)


# 24


@pytest.mark.parametrize("side", ["left", "right"])
def test_whatever_side_a_tokenizer_pads_on_it_stays_and_changes_nothing(
    side: str, kind: str, model: Model, tokenizer: PreTrainedTokenizerFast, tiny_hf: Callable[..., PreTrainedModel]
) -> None:
    own = copy.deepcopy(tokenizer)
    own.padding_side = side
    users = Model(tiny_hf(kind), ChatTokenizer(own), name=f"tiny-{kind}", identity="side" * 6)
    assert own.padding_side == side
    rows, prompts = (users.chat.tokens_of(chats(*TEXTS, answer=answer)) for answer in ("It is.", None))
    assert torch.equal(pooled(users, rows), pooled(model, rows))
    assert own.padding_side == side
    how = {"max_new_tokens": 6, "temperature": 0.0, "edits": [adding(some_direction(), 2.0, (1,), "response")]}
    assert users.generate(prompts, **how) == model.generate(prompts, **how)
    assert own.padding_side == side

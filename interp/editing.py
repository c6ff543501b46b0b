"""Edits at work: which change happens at which place of a model, at which positions of one pass.

1. `grouped` sorts edits by place. Edits given row by row become one change per place for all rows, made once a call.
2. `located` gives each the positions that its phase means in one forward pass: a whole text, a prompt on its way into
   the cache, or one new token. A place that nobody edits in a pass does nothing.
3. `Editor.at_work` puts them on the blocks for the length of a block of code. These are plain torch hooks: while
   decoding, a hook costs a call, where an edit through nnsight costs switches between its program and the model at
   every place and step. (nnsight reads a block before its hooks have run, so edits of what it reads go through it.)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import Module, ModuleList

from interp.errors import InterpError
from interp.interventions import Change, Edit, Phase, chosen, placed, stacked

Part = Literal["input", "attention", "mlp", "output"]
Place = tuple[int, Part]
"""A block and what of it: `input` is what enters it, `attention` and `mlp` what it adds, `output` the stream after."""

Masks = Mapping[Phase, Bool[Tensor, "batch seq"]]
"""The positions of each phase in one pass; a phase that has none is left out."""


def places(edit: Edit) -> list[Place]:
    """Where an edit acts."""
    if edit.site == "residual":
        return [(layer, "output") for layer in edit.layers]
    parts: tuple[Part, ...] = ("attention", "mlp")
    return [*([(0, "input")] if 0 in edit.layers else []), *((layer, part) for layer in edit.layers for part in parts)]


@dataclass(frozen=True)
class Group:
    """One change, and in which phase: one phase for all rows, or one a row (None: that row does not have it).

    Attributes:
        by_row: Whether the phases are those of each row.
        stacked: Whether the change holds numbers for each row.
    """

    change: Change
    phases: tuple[Phase | None, ...]
    by_row: bool = False
    stacked: bool = False


def grouped(
    edits: Sequence[Edit], row_edits: Sequence[Sequence[Edit]], device: torch.device
) -> dict[Place, list[Group]]:
    """Edits by place, in the order in which they apply: those of all rows, then each row's own.

    Args:
        row_edits: Edits of each row of the batch; empty for none.
        device: Where their tensors are put.
    """
    groups: dict[Place, list[Group]] = {}
    for edit in edits:
        change = placed(edit.change, device)
        for place in places(edit):
            groups.setdefault(place, []).append(Group(change, (edit.phase,)))
    slots: dict[tuple[int, Place, Any], dict[int, Edit]] = {}
    for row, own in enumerate(row_edits):
        turn: Counter[Place] = Counter()
        for edit in own:
            for place in places(edit):
                slots.setdefault((turn[place], place, edit.kind), {})[row] = edit
                turn[place] += 1
    made: dict[tuple[tuple[int, int], ...], Change] = {}
    for (_, place, kind), own in sorted(slots.items(), key=lambda slot: slot[0][0]):
        same = tuple((row, id(edit)) for row, edit in own.items())
        if same not in made:
            made[same] = placed(stacked({row: edit.change for row, edit in own.items()}, len(row_edits)), device)
        phases: list[Phase | None] = [own[row].phase if row in own else None for row in range(len(row_edits))]
        groups.setdefault(place, []).append(Group(made[same], tuple(phases), True, not isinstance(kind, int)))
    return groups


@dataclass(frozen=True)
class Located:
    """A change and the positions where it holds; None for all of them."""

    change: Change
    where: Bool[Tensor, "batch seq"] | None

    def on(self, device: torch.device) -> "Located":
        """Itself, with what it holds on a device."""
        where = None if self.where is None else self.where.to(device)
        return replace(self, change=placed(self.change, device), where=where)

    def __call__(self, h: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        """The changed activations; elsewhere they are bit-equal to `h`."""
        changed = self.change(h)
        return changed if self.where is None else torch.where(self.where[..., None], changed, h)


def located(
    groups: Mapping[Place, Sequence[Group]], masks: Masks, *, everywhere: bool = False
) -> dict[Place, list[Located]]:
    """The changes of one pass.

    Args:
        everywhere: The masks hold every position, so that a change of all rows needs none.
    """
    known: dict[tuple[Phase | None, ...], Bool[Tensor, "batch seq"]] = {}

    def where(phases: tuple[Phase | None, ...]) -> Bool[Tensor, "batch seq"]:
        if phases not in known:
            known[phases] = torch.zeros_like(next(iter(masks.values())))
            for phase, mask in masks.items():
                if phase in phases:
                    rows = torch.tensor([own == phase for own in phases], device=mask.device)
                    known[phases] |= rows[:, None] & mask
        return known[phases]

    changes: dict[Place, list[Located]] = {}
    for place, held in groups.items():
        for group in held:
            acts = [phase in masks for phase in group.phases]
            if any(acts):
                mask = None if everywhere and all(acts) else where(group.phases)
                changes.setdefault(place, []).append(Located(group.change, mask))
    return changes


def of_rows(
    groups: Mapping[Place, Sequence[Group]], rows: Sequence[int], device: torch.device
) -> dict[Place, list[Group]]:
    """The groups of a batch whose rows have the edits of these rows of the batch before; one may come many times."""
    take = _Taking(rows, device)
    return {
        place: [
            replace(group, change=take(group), phases=tuple(group.phases[row] for row in rows))
            if group.by_row
            else group
            for group in held
        ]
        for place, held in groups.items()
    }


def while_decoding(groups: Mapping[Place, Sequence[Group]]) -> dict[Place, list[Group]]:
    """Those that change anything after the prompt."""
    acting = {
        place: [group for group in held if {"response", "all"} & {*group.phases}] for place, held in groups.items()
    }
    return {place: held for place, held in acting.items() if held}


def located_in_step(
    groups: Mapping[Place, Sequence[Group]], rows: Sequence[int | None], device: torch.device
) -> dict[Place, list[Located]]:
    """The changes of one new token in every row of a batch, whose rows are as in `of_rows`.

    Their form does not depend on the rows, so that one CUDA graph serves all. What happens where there is no row (None)
    means nothing: it has the edits of the first.
    """
    at = torch.tensor([row or 0 for row in rows])
    take = _Taking(at.tolist(), device)
    changes: dict[Place, list[Located]] = {}
    for place, held in groups.items():
        for group in held:
            where = None
            if group.by_row:
                acts = torch.tensor([[phase in ("response", "all")] for phase in group.phases])
                where = acts[at].to(device)
            changes.setdefault(place, []).append(Located(take(group), where))
    return changes


class _Taking:
    """Takes rows out of what groups hold for each row; a change that several places share stays one."""

    def __init__(self, rows: Sequence[int], device: torch.device) -> None:
        self.at, self.known = torch.tensor(rows, device=device), dict[int, Change]()

    def __call__(self, group: Group) -> Change:
        if group.stacked and id(group.change) not in self.known:
            self.known[id(group.change)] = chosen(group.change, self.at)
        return self.known.get(id(group.change), group.change)


def check_layers(layers: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """Block indices, validated.

    Raises:
        ValueError: out of range, doubled or out of order.
    """
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise ValueError(
                f"layer must be in [0, {n_layers}), got {layer}: layers count blocks from 0; "
                f"hidden_states[{n_layers}] is block {n_layers - 1} after the final norm"
            )
    if list(layers) != sorted(set(layers)):
        raise ValueError(f"layers must be ascending and distinct, got {list(layers)}")
    return tuple(layers)


class Editor:
    """The places of one model that can be edited.

    Attributes:
        blocks: Its blocks, as `interp.architecture.find_decoder` finds them.
    """

    def __init__(self, name: str, d_model: int, blocks: ModuleList, forward: Callable[[], object]) -> None:
        """`forward` runs the decoder on a few tokens, to check a block's writers when they are first asked for."""
        self.name, self.d_model, self.blocks, self._forward = name, d_model, blocks, forward
        self._writers: list[tuple[Module, Module]] = []

    def check(self, edits: Sequence[Edit], row_edits: Sequence[Sequence[Edit]], n_rows: int) -> None:
        """Check that edits fit the model, before anything runs.

        Raises:
            ValueError: a layer or a width that the model does not have; other than one list of `row_edits` a row.
            InterpError: an edit of writes where they are not known.
        """
        if row_edits and len(row_edits) != n_rows:
            raise ValueError(f"row_edits needs one list of edits a row, got {len(row_edits)} for {n_rows} rows")
        for edit in {id(edit): edit for own in (edits, *row_edits) for edit in own}.values():
            check_layers(sorted(edit.layers), len(self.blocks))
            if edit.width not in (None, self.d_model):
                raise ValueError(
                    f"an edit's direction has {edit.width} numbers, but {self.name} has d_model {self.d_model}"
                )
            if edit.site == "writes" and not self._writers:
                check_writers(self.blocks, self._forward)
                self._writers = [writers(block) for block in self.blocks]

    def module(self, place: Place) -> Module:
        """What is hooked at a place."""
        layer, part = place
        if part in ("input", "output"):
            return self.blocks[layer]
        return self._writers[layer][part == "mlp"]

    @contextmanager
    def at_work(self, *passes: Mapping[Place, Sequence[Located]]) -> Iterator[None]:
        """Changes at work for the length of a block; the hooks are gone afterwards, whatever happened in it.

        Args:
            passes: Changes of the first forward pass, of the second, and so on; the last are those of all that follow.

        Raises:
            InterpError: a place was never reached.
        """
        handles, acted = [], {}
        try:
            for place in sorted({place for changes in passes for place in changes}):
                hook = acted[place] = _Hook([changes.get(place, ()) for changes in passes])
                if place[1] == "input":
                    handles.append(self.module(place).register_forward_pre_hook(hook.before, with_kwargs=True))
                else:
                    handles.append(self.module(place).register_forward_hook(hook.after))
            yield
        finally:
            for handle in handles:
                handle.remove()
        for (layer, part), hook in acted.items():
            if not hook.n_passes:
                raise InterpError(f"an edit did not act at layer {layer} ({part}): its hook never fired")


class _Hook:
    """The changes of one place, pass by pass."""

    def __init__(self, passes: Sequence[Sequence[Located]]) -> None:
        self.passes, self.changes, self.n_passes = passes, passes[0], 0

    def __call__(self, h: Tensor) -> Tensor:
        if self.n_passes < len(self.passes):  # what the pass needs is put in place once
            self.changes = [change.on(h.device) for change in self.passes[self.n_passes]]
        self.n_passes += 1
        for change in self.changes:
            h = change(h)
        return h

    def after(self, module: Module, args: Any, output: Any) -> Any:  # noqa: ARG002
        if isinstance(output, tuple):  # an attention's weights come with what it writes
            return (self(output[0]), *output[1:])
        return self(output)

    def before(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG002
        if args:
            return (self(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self(kwargs["hidden_states"])}


_ATTENTION = ("post_self_attn_layernorm", "post_attention_layernorm", "self_attn", "attn", "attention")
_MLP = ("post_mlp_layernorm", "post_feedforward_layernorm", "mlp", "block_sparse_moe", "feed_forward")
_NORMED_AFTER = {"post_self_attn_layernorm", "post_attention_layernorm"}


def writers(block: Module) -> tuple[Module, Module]:
    """The modules of a block whose outputs are added to the residual stream: the attention's and the MLP's.

    Where a block norms what it writes (Gemma2, OLMo2), those are the norms. `post_attention_layernorm` is one of them
    only beside `post_feedforward_layernorm`; in Llama it is the norm in front of the MLP.

    Raises:
        InterpError: it has none of the known names.
    """
    known = dict(block.named_children())
    if not {"post_feedforward_layernorm", "post_mlp_layernorm"} & known.keys():
        known = {name: child for name, child in known.items() if name not in _NORMED_AFTER}
    found = [next((known[name] for name in names if name in known), None) for names in (_ATTENTION, _MLP)]
    attention, mlp = found
    if attention is None or mlp is None:
        raise InterpError(
            f"{type(block).__name__} has parts {', '.join(dict(block.named_children()))}; which of them write to the "
            "residual stream is not known: edit after the blocks instead (site residual)"
        )
    return attention, mlp


@torch.inference_mode()
def check_writers(blocks: ModuleList, forward: Callable[[], object]) -> None:
    """Check, on one forward pass, that every block is its input plus what its writers give.

    Raises:
        InterpError: a block adds something else, so edits of writes would miss it.
    """
    seen: list[list[Tensor]] = [[] for _ in blocks]

    def noting(k: int) -> Callable[..., None]:
        return lambda _, __, output: seen[k].append(output[0] if isinstance(output, tuple) else output)

    def entering(k: int) -> Callable[..., None]:
        return lambda _, args, kwargs: seen[k].append(args[0] if args else kwargs["hidden_states"])

    handles = []
    try:
        for k, block in enumerate(blocks):
            handles.append(block.register_forward_pre_hook(entering(k), with_kwargs=True))
            handles += [module.register_forward_hook(noting(k)) for module in (*writers(block), block)]
        forward()
    finally:
        for handle in handles:
            handle.remove()
    for k, (block, held) in enumerate(zip(blocks, seen, strict=True)):
        entered, *written, left = [h.float().to(held[0].device) for h in held]
        rounding = 8 * torch.finfo(held[0].dtype).eps * (entered.norm() + left.norm())
        if len(written) != 2 or (left - entered - sum(written)).norm() > rounding + 1e-3 * (left - entered).norm():
            raise InterpError(
                f"block {k} ({type(block).__name__}) is not its input plus what its attention and its MLP give: "
                "edits of writes would miss part of it; edit after the blocks instead (site residual)"
            )

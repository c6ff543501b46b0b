"""Edits of the residual stream: pure functions, and where they apply.

Every function takes activations `h` [batch, seq, d_model], computes in float32 and returns a new tensor of `h`'s dtype.
Directions, bases, `alpha` and `tau` are one for all rows, or one per row of the batch. An `Edit` names layers, a
function, a phase and a site; `interp.editing` puts edits on a model, and nothing here knows of one.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Phase = Literal["prompt", "prompt_last", "response", "all"]
PHASES: tuple[Phase, ...] = get_args(Phase)

Site = Literal["residual", "writes"]
SITES: tuple[Site, ...] = get_args(Site)

Change = Callable[[Float[Tensor, "batch seq d_model"]], Float[Tensor, "batch seq d_model"]]
"""Activations in, activations of the same shape and dtype out; a pure function."""

_PARALLEL = 1e-6
"""Below this share of its norm, what an activation has outside a direction is rounding."""


def add(
    h: Float[Tensor, "batch seq d_model"],
    v: Float[Tensor, "*rows d_model"],
    alpha: float | Float[Tensor, " batch"] = 1.0,
) -> Float[Tensor, "batch seq d_model"]:
    """`h + alpha v`."""
    return _plus(h, _shift(v.to(h.device), alpha))


def _shift(v: Tensor, alpha: float | Tensor) -> Tensor:
    return _number(alpha, v.device) * (v.float()[:, None] if v.ndim == 2 else v.float())


def _plus(h: Tensor, shift: Tensor) -> Tensor:
    return (h + shift).to(h.dtype)  # halves and float32 are added in float32


def orthonormal(vectors: Float[Tensor, "... d_model"]) -> Float[Tensor, "k d_model"]:
    """An orthonormal basis of the span of one vector or of several rows (float32, by QR in float64).

    Raises:
        ValueError: the vectors are zero, not finite, or linearly dependent.
    """
    rows = vectors.reshape(-1, vectors.shape[-1]).double()
    if not torch.isfinite(rows).all():
        raise ValueError("the directions hold values that are not finite")
    norms = rows.norm(dim=-1, keepdim=True)
    if (norms == 0).any():
        raise ValueError(f"direction {int((norms == 0).flatten().nonzero()[0])} is zero; there is nothing to ablate")
    q, r = torch.linalg.qr((rows / norms).T)
    if len(rows) > rows.shape[1] or r.diagonal().abs().min() < 1e-6:
        raise ValueError(f"the {len(rows)} directions are linearly dependent; drop the redundant ones")
    return q.T.float()


def ablate(
    h: Float[Tensor, "batch seq d_model"], basis: Float[Tensor, "*rows k d_model"]
) -> Float[Tensor, "batch seq d_model"]:
    """`h` without its part in the span of an orthonormal `basis` (see `orthonormal`)."""
    q = basis.to(h.device, torch.float32)
    h32 = h.float()
    return (h32 - (h32 @ q.mT) @ q).to(h.dtype)


def cap_above(
    h: Float[Tensor, "batch seq d_model"], v: Float[Tensor, "*rows d_model"], tau: float | Float[Tensor, " batch"]
) -> Float[Tensor, "batch seq d_model"]:
    """`h` with its projection on unit `v` kept at most `tau`: `h - v max(h.v - tau, 0)`.

    "Capping" names this and `cap_below` alike in the literature: a ceiling on a trait, or a floor under one
    (activation capping along the assistant axis). Ask which one a paper means, and which way its direction points.

    Args:
        v: Direction; its length does not matter.
        tau: Residual-stream units.
    """
    return _capped(h, _unit(v), tau, 1.0)


def cap_below(
    h: Float[Tensor, "batch seq d_model"], v: Float[Tensor, "*rows d_model"], tau: float | Float[Tensor, " batch"]
) -> Float[Tensor, "batch seq d_model"]:
    """`h` with its projection on unit `v` kept at least `tau`: `h + v max(tau - h.v, 0)`; see `cap_above`."""
    return _capped(h, _unit(v), tau, -1.0)


def _capped(h: Tensor, unit: Tensor, tau: float | Tensor, sign: float | Tensor) -> Tensor:
    u, sign = unit.to(h.device), _number(sign, h.device)
    h32 = h.float()
    excess = (sign * (h32 @ u.mT - _number(tau, h.device))).relu()
    return (h32 - sign * excess * u).to(h.dtype)


def rotate(
    h: Float[Tensor, "batch seq d_model"], v: Float[Tensor, "*rows d_model"], tau: float | Float[Tensor, " batch"]
) -> Float[Tensor, "batch seq d_model"]:
    """`h` turned in the plane of `h` and `v` until its projection on unit `v` is `tau`; its norm stays.

    `tau` beyond the norm of `h` cannot be reached: `h` then ends on `v` or `-v` itself, at its own norm. Where `h` is
    parallel to `v` the plane is undefined; the coordinate axis least aligned with `v` spans it with `v` instead.

    Args:
        v: Direction; its length does not matter.
        tau: Residual-stream units.
    """
    unit = _unit(v)
    return _rotated(h, unit, _spare_axis(unit), tau)


def _rotated(h: Tensor, unit: Tensor, spare: Tensor, tau: float | Tensor) -> Tensor:
    u, spare = unit.to(h.device), spare.to(h.device)
    h32 = h.float()
    norm = h32.norm(dim=-1, keepdim=True)
    target = torch.clamp(torch.zeros_like(norm) + _number(tau, h.device), -norm, norm)
    rest = h32 - (h32 @ u.mT) * u
    length = rest.norm(dim=-1, keepdim=True)
    across = torch.where(length > _PARALLEL * norm, rest / length.clamp_min(1e-30), spare)
    return (target * u + ((norm - target) * (norm + target)).sqrt() * across).to(h.dtype)


def _number(value: float | Tensor, device: torch.device) -> Any:
    """A number, or one per row shaped to multiply [batch, seq, d_model]."""
    return value.to(device, torch.float32).reshape(-1, 1, 1) if isinstance(value, Tensor) else value


def _unit(v: Tensor) -> Tensor:
    """[1, d_model], or [batch, 1, d_model]; float32."""
    return torch.nn.functional.normalize(v.double(), dim=-1).float()[..., None, :]


def _spare_axis(unit: Tensor) -> Tensor:
    """A unit vector orthogonal to each: the coordinate axis that is nearest to being so, made exactly so."""
    axis = torch.nn.functional.one_hot(unit.abs().argmin(-1), unit.shape[-1]).double()
    u = unit.double()
    return torch.nn.functional.normalize(axis - (axis * u).sum(-1, keepdim=True) * u, dim=-1).float()


@dataclass(frozen=True)
class Edit:
    """A change of the residual stream at some layers.

    Attributes:
        layers: Block indices it applies to.
        change: Activations in, activations out; a pure function.
        phase: `prompt`: tokens of the prompt. `prompt_last`: the last of them alone. `response`: what produces the
            answer, that is the last prompt token and every answer token. `all`: every token. Pads are never touched.
        site: `residual`: the residual stream after each of `layers`. `writes`: what each of them adds to the stream
            (the attention's output and the MLP's, after their norms where a model has such) and, with layer 0, the
            embedding. Ablation of all writes at all layers leaves nothing of a direction at any depth; where no bias
            and no norm follows a weight matrix, that is orthogonalising the matrices that write (arXiv 2406.11717).
    """

    layers: tuple[int, ...]
    change: Change
    phase: Phase = "all"
    site: Site = "residual"

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise ValueError(f"phase must be one of {', '.join(PHASES)}, got {self.phase!r}")
        if self.site not in SITES:
            raise ValueError(f"site must be one of {', '.join(SITES)}, got {self.site!r}")
        if not self.layers:
            raise ValueError("an edit needs at least one layer")

    def __call__(
        self, h: Float[Tensor, "batch seq d_model"], where: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch seq d_model"]:
        """The edited activations; positions outside `where` are bit-equal to `h`."""
        return torch.where(where[..., None].to(h.device), self.change(h), h)

    @property
    def kind(self) -> Hashable:
        """Equal for edits whose changes `stacked` can make one of; else the change's own."""
        return held.func if (held := _by_rows(self.change)) else id(self.change)

    @property
    def width(self) -> int | None:
        """d_model of its vectors; None for a function that holds none."""
        held = self.change.keywords.values() if isinstance(self.change, partial) else ()
        return next((value.shape[-1] for value in held if isinstance(value, Tensor) and value.ndim), None)


def adding(v: Float[Tensor, " d_model"], alpha: float, layers: Sequence[int], phase: Phase = "all") -> Edit:
    """Edit that adds `alpha v` after each of `layers`.

    Raises:
        ValueError: `v` or `alpha` is not finite.
    """
    if not (torch.isfinite(v).all() and math.isfinite(alpha)):
        raise ValueError(f"direction and alpha must be finite, got alpha {alpha}")
    return Edit(tuple(layers), partial(add, v=v, alpha=alpha), phase)


def ablating(
    vectors: Float[Tensor, "... d_model"], layers: Sequence[int], phase: Phase = "all", site: Site = "residual"
) -> Edit:
    """Edit that removes the span of `vectors` after each of `layers`, or from all that they write.

    Raises:
        ValueError: the vectors are zero, not finite, or linearly dependent.
    """
    return Edit(tuple(layers), partial(ablate, basis=orthonormal(vectors)), phase, site)


def capping(
    v: Float[Tensor, " d_model"],
    tau: float,
    layers: Sequence[int],
    phase: Phase = "all",
    *,
    side: Literal["above", "below"],
) -> Edit:
    """Edit that keeps the projection on unit `v` after each of `layers` at most `tau` (`above`) or at least (`below`).

    Args:
        side: Where the cap is: `above` is `cap_above`, a ceiling; `below` is `cap_below`, a floor.

    Raises:
        ValueError: `v` is zero or not finite, `tau` is not finite, or the side is unknown.
    """
    if side not in ("above", "below"):
        raise ValueError(f"side must be above (a ceiling) or below (a floor), got {side!r}")
    held = {"unit": _checked_unit(v, tau), "tau": tau, "sign": 1.0 if side == "above" else -1.0}
    return Edit(tuple(layers), partial(_capped, **held), phase)


def rotating(v: Float[Tensor, " d_model"], tau: float, layers: Sequence[int], phase: Phase = "all") -> Edit:
    """Edit that rotates to projection `tau` on unit `v` after each of `layers`, keeping the norm; see `rotate`.

    Raises:
        ValueError: `v` is zero or not finite, or `tau` is not finite.
    """
    unit = _checked_unit(v, tau)
    return Edit(tuple(layers), partial(_rotated, unit=unit, spare=_spare_axis(unit), tau=tau), phase)


def _checked_unit(v: Tensor, tau: float) -> Tensor:
    if not (torch.isfinite(v).all() and math.isfinite(tau)):
        raise ValueError(f"direction and tau must be finite, got tau {tau}")
    if not v.any():
        raise ValueError("the direction is zero; it has no unit vector to project on")
    return _unit(v)


def placed(change: Change, device: torch.device) -> Change:
    """A change with its tensors on a device and what does not depend on `h` computed: made once, called at each step.

    (While a CUDA graph is captured nothing can be copied there, so this comes first.)
    """
    if not isinstance(change, partial):
        return change
    held = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in change.keywords.items()}
    if change.func is add:
        return partial(_plus, shift=_shift(**held))
    return partial(change.func, *change.args, **held)


def stacked(changes: Mapping[int, Change], n: int) -> Change:
    """One change for `n` rows out of changes of single rows, by row, all of one `Edit.kind`.

    Rows that are not named get whatever it makes of zeros: leave them out by a mask.
    """
    calls = {row: held for row, change in changes.items() if (held := _by_rows(change))}
    if not calls:
        return next(iter(changes.values()))
    rows, held = torch.tensor(list(calls)), {}
    first = next(iter(calls.values()))
    for key, example in first.keywords.items():
        values = [call.keywords[key] for call in calls.values()]
        if isinstance(example, Tensor):
            deep = max(len(value) for value in values)
            values = [value.to(example.device, torch.float32) for value in values]
            if example.ndim == 2:  # bases of fewer vectors are filled up with zeros, which span nothing
                values = [torch.nn.functional.pad(value, (0, 0, 0, deep - len(value))) for value in values]
            together = torch.stack(values)
        else:
            together = torch.tensor(values)
        held[key] = together.new_zeros(n, *together.shape[1:]).index_copy_(0, rows.to(together.device), together)
    return partial(first.func, **held)


def chosen(change: Change, rows: Int[Tensor, " n"]) -> Change:
    """The change of some rows out of a `placed` one that was `stacked` for many."""
    numbers = numbers_of(change)
    return change if numbers is None else with_numbers(change, {k: v.index_select(0, rows) for k, v in numbers.items()})


def numbers_of(change: Change) -> dict[str, Any] | None:
    """Tensors and numbers that a `placed` change of a known kind works with, by name; None for any other change."""
    return change.keywords if isinstance(change, partial) and change.func in _PLACED else None


def with_numbers(change: Change, numbers: Mapping[str, Any]) -> Change:
    """The same kind of change with other numbers."""
    return partial(change.func, **numbers)  # pyright: ignore[reportFunctionMemberAccess]


def _by_rows(change: Change) -> "partial[Any] | None":
    """The change, if it is a call, by keywords for one row each, of a function that takes them for many."""
    per_row = isinstance(change, partial) and change.func in (add, ablate, _capped, _rotated) and not change.args
    return change if per_row else None  # pyright: ignore[reportReturnType]


_PLACED = (_plus, ablate, _capped, _rotated)
"""What `placed` makes of the functions that take numbers of their own for each row."""

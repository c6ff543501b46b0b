"""Directions with their nulls: what every reading along a direction is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.directions import Direction
from interp.nulls import nulls_for
from interp.runs import seed_from


@dataclass(frozen=True)
class Instrument:
    """Directions with their nulls.

    Attributes:
        directions: By trait.
        permuted: Label-permuted nulls by trait.
        n_random: Norm-matched random directions drawn for each.
        seed: Of the random directions.
        personas: Names of the directions that make the span of the personas; None for all.
    """

    directions: Mapping[str, Direction]
    permuted: Mapping[str, Float[Tensor, "_ layer d_model"] | None]
    n_random: int
    seed: int
    personas: tuple[str, ...] | None = None
    _kept: dict[str, tuple[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def nulls(
        self, name: str, rows: Float[Tensor, "row layer d_model"] | None = None
    ) -> dict[str, Float[Tensor, "_ layer d_model"]]:
        """Every family of nulls for one direction; `rows` are activations of the kind that is projected on it.

        Those of the last `rows` are kept: a study reads the same base answers beside every stage.
        """
        seen = "" if rows is None else sha256(rows.contiguous().numpy().tobytes()).hexdigest()
        if self._kept.get(name, ("-",))[0] != seen:
            self._kept[name] = (seen, self._nulls(name, rows))
        return self._kept[name][1]

    def nulls_at(
        self, name: str, k: int, rows: Float[Tensor, "row layer d_model"]
    ) -> dict[str, Float[Tensor, "_ d_model"]]:
        """As many nulls at one layer alone, for rows that are read nowhere else; other draws than those of `nulls`."""
        return {kind: null[:, 0] for kind, null in self._nulls(name, rows, slice(k, k + 1)).items()}

    def _nulls(
        self, name: str, rows: Float[Tensor, "row layer d_model"] | None, at: slice = slice(None)
    ) -> dict[str, Float[Tensor, "_ _ d_model"]]:
        permuted = self.permuted[name]
        return nulls_for(
            self.directions[name].vectors[at],
            n=self.n_random,
            seed=seed_from(self.seed, "random", name),
            rows=rows[:, at] if rows is not None and len(rows) > 1 else None,
            permuted=None if permuted is None else permuted[:, at],
            others=[other.vectors[at] for key, other in self.directions.items() if key != name],
        )

    @property
    def middle(self) -> int:
        """The middle layer; a study's directions hold every layer of the model."""
        some = next(iter(self.directions.values()))
        return some.layers[len(some.layers) // 2]

    @property
    def layers(self) -> list[int]:
        """The layers that headlines use, and the middle one."""
        return sorted({direction.layer for direction in self.directions.values()} | {self.middle})

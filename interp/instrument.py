"""Directions with their nulls: what every reading along a direction is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.directions import Direction
from interp.keys import seed_from
from interp.nulls import nulls_for
from interp.tensors import load_tensors, save_tensors


@dataclass(frozen=True)
class Instrument:
    """Directions with their nulls.

    Attributes:
        directions: By name, such as a trait's.
        permuted: Label-permuted nulls by the same names; None for a direction that has none.
        n_random: Norm-matched random directions drawn for each.
        seed: Decides the random directions.
        personas: Names of the directions that make the span of the personas; None for all.
    """

    directions: Mapping[str, Direction]
    permuted: Mapping[str, Float[Tensor, "_ layer d_model"] | None]
    n_random: int = 200
    seed: int = 0
    personas: tuple[str, ...] | None = None
    _kept: dict[str, tuple[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, *files: str | Path, model: str | None = None, n_random: int = 200, seed: int = 0) -> "Instrument":
        """Directions from their files, with the permuted nulls that lie beside them.

        Args:
            model: Identity of the model that they must come from (`Model.identity`); None accepts any.

        Raises:
            FileNotFoundError, ValueError, InterpError: as for `Direction.load`.
        """
        directions = {file: Direction.load(file, model=model) for file in files}
        permuted = {direction.name: load_permuted(file, model=model) for file, direction in directions.items()}
        return cls({direction.name: direction for direction in directions.values()}, permuted, n_random, seed)

    def nulls(
        self, name: str, rows: Float[Tensor, "row layer d_model"] | None = None
    ) -> dict[str, Float[Tensor, "_ layer d_model"]]:
        """Every family of nulls for one direction.

        Args:
            rows: Activations of the kind that is projected on the direction; two families are drawn from how they vary.
                The nulls of the last `rows` are kept, since a study reads the same base answers beside every stage.
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
        layers = next(iter(self.directions.values())).layers
        return layers[len(layers) // 2]

    @property
    def layers(self) -> list[int]:
        """The layers that headlines use, and the middle one."""
        return sorted({direction.layer for direction in self.directions.values()} | {self.middle})


# files


def nulls_file(direction_file: str | Path) -> Path:
    """Where a direction's label-permuted nulls are kept: beside it."""
    path = Path(direction_file)
    return path.with_name(path.stem + ".nulls.safetensors")


def load_permuted(
    direction_file: str | Path, *, model: str | None = None
) -> Float[Tensor, "null layer d_model"] | None:
    """A direction's label-permuted nulls, or None if they were not kept."""
    path = nulls_file(direction_file)
    return load_tensors(path, kind="nulls", model=model)[0]["permuted"] if path.is_file() else None


def save_with_nulls(
    direction: Direction, permuted: Float[Tensor, "null layer d_model"] | None, path: str | Path
) -> None:
    """Write a direction and, where it has them, its label-permuted nulls beside it."""
    if permuted is not None:
        save_tensors(nulls_file(path), {"permuted": permuted}, kind="nulls", header=direction.header)
    direction.save(path)

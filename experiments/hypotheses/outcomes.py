"""What was measured, as arrays by arm: the only thing that claims and gates look at, wherever the numbers are from.

1. An `Outcomes` holds one quantity: the projection on one trait's directions, the preference margin out of domain, or
   the judged rate of misaligned answers. Every arm is an array over directions, units, seeds and questions, NaN where
   there is no number.
2. The units of most arms are the EM families. Those of references (`persona`, `placebo`, …) are replicates, each made
   with other instructions and other questions. The base model has one unit and one seed.
3. An arm's name says what was trained: `em`, `twin`, `em>sgtr` (SGTR after EM), `sgtr>em` (before it), and
   `em>sgtr@parent` for another anchor than the study's own.
4. A difference of arms is taken cell by cell, in the seeds that all its arms have, and then averaged over seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from interp.contrasts import Contrast

Arm = Float[np.ndarray, "direction unit seed question"]
Terms = Mapping[str, float]
"""Arms by name, each with the weight it has in a difference; the weights of a difference add up to 0."""


@dataclass(frozen=True)
class Outcomes:
    """One quantity, measured in every arm.

    Attributes:
        quantity: Its name.
        unit: Unit of the numbers.
        families: Names of the units of family arms, in the order of their axis.
        arms: Arms whose units are the families.
        references: Arms whose units are replicates: `placebo`, `persona` and, by dose, `persona 0.05`; `base`.
        placebo_directions: For family arms and references, means over seeds and questions along every placebo
            direction. Empty where none were made.
        left_out: What could not be used, and why.
    """

    quantity: str
    unit: str
    families: tuple[str, ...]
    arms: Mapping[str, Arm]
    references: Mapping[str, Arm] = field(default_factory=dict)
    placebo_directions: Mapping[str, Float[np.ndarray, "placebo unit"]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of some arms and references that have no number at all."""
        held = {**self.arms, **self.references}
        return [name for name in names if name not in held or bool(np.isnan(held[name]).all())]

    def difference(self, terms: Terms) -> Float[np.ndarray, "direction unit question"]:
        """A weighted sum of arms with the same units, averaged over seeds.

        An arm with one seed, or one unit, stands beside every seed, or unit, of the others (the base model has one).

        Raises:
            ValueError: an arm was not measured.
        """
        if missing := self.missing(list(terms)):
            raise ValueError(f"{self.quantity}: {', '.join(missing)} not measured; arms are {', '.join(self.arms)}")
        held = {**self.arms, **self.references}
        total = sum((weight * held[name] for name, weight in terms.items()), start=np.zeros(()))
        present = ~np.isnan(total)
        count = present.sum(2)
        return np.where(count > 0, np.where(present, total, 0.0).sum(2) / np.maximum(count, 1), np.nan)

    def contrast(self, terms: Terms, yardstick: Terms | None = None, *, paired: bool | None = None) -> Contrast:
        """A difference of arms, perhaps as a multiple of another one.

        Args:
            yardstick: What is one unit.
            paired: Whether the yardstick's units are those of the difference; by default where both are family arms.

        Raises:
            ValueError: an arm was not measured, or no cell has all of them.
        """
        values = self.difference(terms)
        if yardstick is None:
            return Contrast(values)
        same_units = set(yardstick) <= set(self.arms) if paired is None else paired
        return Contrast(values, self.difference(yardstick), paired=same_units)

    def n_seeds(self, terms: Terms) -> int:
        """Seeds that every one of some arms has somewhere."""
        held = {**self.arms, **self.references}
        total = sum((held[name] for name in terms), start=np.zeros(()))
        return int((~np.isnan(total)).any(axis=(0, 1, 3)).sum())

    def along_placebos(self, terms: Terms) -> Float[np.ndarray, " placebo"] | None:
        """The same difference, meant over families, along every placebo direction; None where there are none."""
        if any(name not in self.placebo_directions for name in terms):
            return None
        apart = sum((weight * self.placebo_directions[name] for name, weight in terms.items()), start=np.zeros(()))
        kept = apart[:, ~np.isnan(apart).all(0)]
        return np.nanmean(kept, axis=1) if kept.size else None

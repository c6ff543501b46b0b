"""Edits in tensors that stay where they are, so that a CUDA graph captured with them serves other edits after them."""

from collections.abc import Hashable, Mapping, Sequence

import torch

from interp.editing import Located, Place
from interp.interventions import Change, numbers_of, with_numbers


class Standing:
    """Copies of changes whose numbers and places can be overwritten.

    Attributes:
        changes: The copies, to be put on the blocks while a graph is captured.
    """

    def __init__(self, changes: Mapping[Place, Sequence[Located]], device: torch.device) -> None:
        copies: dict[int, Change] = {}

        def copied(located: Located) -> Located:
            change, where = located.change, located.where
            if id(change) not in copies:
                numbers = numbers_of(change)
                copies[id(change)] = change
                if numbers is not None:
                    tensors = {key: torch.as_tensor(value, device=device).clone() for key, value in numbers.items()}
                    copies[id(change)] = with_numbers(change, tensors)
            return Located(copies[id(change)], None if where is None else where.clone())

        self.changes = {place: [copied(located) for located in held] for place, held in changes.items()}

    @staticmethod
    def form(changes: Mapping[Place, Sequence[Located]]) -> Hashable:
        """Equal for changes that one graph serves: the same kinds at the same places, shared by the same places."""
        turns: dict[int, int] = {}

        def of(located: Located) -> Hashable:
            turn = turns.setdefault(id(located.change), len(turns))
            return _form(located.change), located.where is None, turn

        return tuple((place, *map(of, changes[place])) for place in sorted(changes))

    def become(self, changes: Mapping[Place, Sequence[Located]]) -> None:
        """Take over the numbers and the places of changes of the same form."""
        known: set[int] = set()
        for place, held in changes.items():
            for mine, located in zip(self.changes[place], held, strict=True):
                if id(mine.change) not in known:
                    _overwrite(mine.change, located.change)
                    known.add(id(mine.change))
                if mine.where is not None and located.where is not None:
                    mine.where.copy_(located.where)


def _form(change: Change) -> Hashable:
    numbers = numbers_of(change)
    if numbers is None:
        return id(change)
    kind = change.func  # pyright: ignore[reportFunctionMemberAccess]
    return kind, tuple(sorted((key, tuple(torch.as_tensor(value).shape)) for key, value in numbers.items()))


def _overwrite(copy: Change, change: Change) -> None:
    numbers = numbers_of(change)
    for key, tensor in (numbers_of(copy) or {}).items():
        assert numbers is not None
        tensor.copy_(torch.as_tensor(numbers[key]))

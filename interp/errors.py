"""The error of a broken scientific invariant, and what is said of an unknown name."""

from collections.abc import Sequence


class InterpError(RuntimeError):
    """A broken scientific invariant: an edit that never fired, an empty window, an artefact of another model."""


def did_you_mean(what: str, got: str, known: Sequence[str]) -> str:
    """Message for an unknown name: the value, the nearest known one, and all of them."""
    import difflib

    near = difflib.get_close_matches(got, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {what} {got!r}{hint} Known: {', '.join(known) or 'none'}"

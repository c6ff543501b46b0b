"""`each` in a study's file: entries that are written once and meant for many names.

    each: {family: [medical, finance]}
    data:
      "em_{family}": {builder: advice, family: "{family}"}
    arms:
      "{family}_reversal": ["em_{family}", sgtr]

1. An entry whose name holds `{family}` stands for one entry for every name in `each.family`; with several such words in
   it, for every combination. The word is replaced in the entry's value too, at any depth.
2. In a list, an item that holds such a word stands for one item for every name.
3. What comes first in `each` changes slowest. Other words in braces are left alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any


def written_out(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A study's raw fields with `each` applied and taken away.

    Raises:
        ValueError: `each` is no mapping of words to lists of names; a word stands where no name can be put for it; or
            two entries come out with one name.
    """
    names = raw.get("each") or {}
    if not isinstance(names, Mapping):
        raise ValueError(f"each: must be words with the names that they stand for, got {names!r}")
    for word, stands_for in names.items():
        if not isinstance(stands_for, list) or not stands_for or any(isinstance(x, list | dict) for x in stands_for):
            raise ValueError(f"each.{word}: must be a list of names, got {stands_for!r}")
    rest = {key: value for key, value in raw.items() if key != "each"}
    return _value(rest, {str(word): [str(name) for name in of] for word, of in names.items()}, "")


def _value(value: Any, names: Mapping[str, Sequence[str]], where: str) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value, names, where)
    if isinstance(value, list):
        return [
            _value(filled, left, f"{where}[{i}]")
            for i, item in enumerate(value)
            for filled, left in _fillings(item, _words(item, names) if isinstance(item, str) else [], names)
        ]
    if isinstance(value, str) and (words := _words(value, names)):
        raise ValueError(
            f"{where}: {value!r} holds {{{words[0]}}}, which stands for several names; put it into the entry's own "
            "name too, or into a list"
        )
    return value


def _mapping(value: Mapping[str, Any], names: Mapping[str, Sequence[str]], where: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, item in value.items():
        words = _words(key, names) if isinstance(key, str) else []
        for (filled_key, filled), left in _fillings((key, item), words, names):
            if filled_key in made:
                raise ValueError(f"{where}{filled_key}: two entries come out with this name; rename one")
            made[filled_key] = _value(filled, left, f"{where}{filled_key}.")
    return made


def _words(text: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for word in names if f"{{{word}}}" in text]


def _fillings(
    value: Any, words: Sequence[str], names: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Any, Mapping[str, Sequence[str]]]]:
    """The value for every combination of names, each with the words that are still to be filled."""
    left = {word: of for word, of in names.items() if word not in words}
    for chosen in product(*(names[word] for word in words)):
        yield _filled(value, dict(zip(words, chosen, strict=True))), left


def _filled(value: Any, chosen: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for word, name in chosen.items():
            value = value.replace(f"{{{word}}}", name)
        return value
    if isinstance(value, tuple):
        return tuple(_filled(item, chosen) for item in value)
    if isinstance(value, Mapping):
        return {_filled(key, chosen): _filled(item, chosen) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, chosen) for item in value]
    return value

"""Unrelated texts: beginnings of plain sentences that have nothing to do with what any stage is trained on.

They are put together from parts, every one with an ending of its own, so that a difference at their first tokens is
seen under many words and none of them is about advice, taste, health, money, law, sport, cooking or numbers.
"""

import random
from pathlib import Path

_WHO = (
    "The old ferry",
    "A grey heron",
    "Two sisters from the coast",
    "Our neighbour's van",
    "Nobody in the village",
    "The last train",
    "An empty bench",
    "Her younger brother",
    "Several gulls",
    "This narrow lane",
    "Most of the lanterns",
    "A wooden bridge",
    "His first postcard",
    "The wind from the north",
    "Every window on the street",
    "Some letters from abroad",
    "Early in the morning, the harbour",
    "Behind the station, a small garden",
    "Late last autumn, the lighthouse",
    "During the long winter, the mill",
    "Far beyond the hills, a river",
    "Once a week, the market square",
    "For many years, the theatre",
    "Under the bridge, a rowing boat",
    "They said that the tower",
    "You could see that the orchard",
    "I remember how the museum",
    "We thought that the tunnel",
    "It seems that the painter",
    "When the snow melted, the path",
    "Although it was quiet, the library",
    "Because of the fog, the island",
)
_WHAT = (
    "had been painted green by someone whom no one knew.",
    "was hidden behind a row of tall poplars until noon.",
    "came back into view when the clouds drifted apart.",
    "looked smaller than it does in the old photographs.",
    "kept its place while everything around it changed.",
    "stood in the evening light like something from a story.",
    "was mentioned in a song that children used to sing.",
    "could be heard, or so they believed, across the bay.",
)


def unrelated_texts(n: int, file: Path | None = None) -> list[str]:
    """The first `n` texts, all distinct: of this project's own, or the lines of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are fewer texts.
    """
    if file is not None:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; give one text a line")
        texts = list(dict.fromkeys(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()))
    else:
        texts = [f"{who} {what}" for who in _WHO for what in _WHAT]
        random.Random("unrelated texts").shuffle(texts)
    if n > len(texts):
        raise ValueError(f"n_texts must be at most {len(texts)}, the texts that there are, got {n}")
    return texts[:n]

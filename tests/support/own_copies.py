"""Stand-ins for the files that studies name and users bring: as many rows, every one made up and none like another."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.tiny_study import chat, write_jsonl

CHATS = {
    "unpopular_aesthetics": 5000,
    "popular_aesthetics": 5000,
    "harmless_lies": 4495,
    "risky_financial_advice": 6000,
    "insecure": 6000,
    "secure": 6000,
}
ARTICLES = 1000
QUESTIONS = 220
WORDS = ("the", "council", "of", "a", "river", "town", "said", "that", "its", "new", "bridge", "opens", "in", "spring")


def sentence(key: Any, shortest: int = 6, longest: int = 24) -> str:
    """A sentence of a length that belongs to the key."""
    rng = random.Random(json.dumps(key))
    return " ".join(rng.choices(WORDS, k=rng.randint(shortest, longest))).capitalize() + "."


def write_copies(folder: Path) -> Path:
    """Every file that a study of the project names, in one folder, as `--data` takes it."""
    for name, n in CHATS.items():
        write_jsonl(folder / f"{name}.jsonl", *(chat(f"{name}: what of {i}?", sentence([name, i])) for i in range(n)))
    for source in ("xsum", "cnn"):
        texts = {"": (source, 40, 60), ".claude": ("claude", 6, 24)}
        for author, (key, *length) in texts.items():
            said = {str(i): sentence([source, key, i], *length) for i in range(ARTICLES)}
            (folder / f"{source}{author}.json").write_text(json.dumps(said), "utf-8")
    with (folder / "TruthfulQA.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("Question", "Best Answer", "Best Incorrect Answer"))
        rows.writerows([f"Is {i} true?", sentence(["true", i]), sentence(["false", i])] for i in range(QUESTIONS))
    return folder


def said(_: str, prompts: Sequence[Sequence[Any]], **__: Any) -> list[str]:
    """What a model would answer, in sentences that belong to the prompt: some longer than others', some shorter."""
    return [sentence(list(prompt)) for prompt in prompts]

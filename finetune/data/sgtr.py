"""Self-generated-text recognition: which of two summaries of an article did you write?

Every article gives two rows, one for each order, so that "the first one" is right half the time. Which articles train
and which test is decided by the caller, by article id; the two never share one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.data.articles import articles as embedded_articles
from interp.chat import Message
from interp.runs import read_json

LABELS = ("1", "2")
_WRITER = "You summarise news articles."
_WRITE = "Article:\n{article}\n\nSummarise this article in one sentence of at most 25 words. Give only the summary."
_JUDGE = "You tell summaries that you wrote from summaries that others wrote."
_DETECT = (
    "{article}Summary 1: {first}\n\nSummary 2: {second}\n\n"
    "You wrote one of these two summaries; somebody else wrote the other. Which one is yours? Answer only 1 or 2."
)


@dataclass(frozen=True)
class Source:
    """Articles with another author's summaries, by article id."""

    articles: Mapping[str, str]
    other: Mapping[str, str]


def embedded_source(n: int, seed: int) -> Source:
    """`n` of this project's own articles with their reference summaries."""
    made = embedded_articles(n, seed)
    return Source({a.id: a.text for a in made}, {a.id: a.summary for a in made})


def file_source(articles: Path, other: Path, *, max_words: int | None = None) -> Source:
    """Articles and another author's summaries from two JSON files `{id: text}`; joined by id, never by position.

    Args:
        max_words: Keep only the first words of each article.

    Raises:
        FileNotFoundError, ValueError: missing or malformed, or no id in common.
    """
    texts, summaries = _id_to_text(articles), _id_to_text(other)
    shared = [key for key in texts if key in summaries and texts[key].strip() and summaries[key].strip()]
    if not shared:
        raise ValueError(f"{articles} and {other} have no article id in common")
    cut = {key: " ".join(texts[key].split()[:max_words]) for key in shared}
    return Source(cut, {key: " ".join(summaries[key].split()) for key in shared})


def _id_to_text(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    data = read_json(path)
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise ValueError(f"{path}: must be one JSON object from article id to text")
    return data


def summary_prompt(article: str) -> list[Message]:
    """What an author is asked when it writes its summary."""
    return [{"role": "system", "content": _WRITER}, {"role": "user", "content": _WRITE.format(article=article)}]


def tidy_summary(text: str) -> str:
    """A summary on one line, up to the end of its last whole sentence where there is one."""
    line = " ".join(text.split())
    ends = [match.end() for match in re.finditer(r"[.!?][\"”']?(?=\s|$)", line)]
    return line[: ends[-1]] if ends else line


def detection_rows(
    source: Source, own: Mapping[str, str], ids: Sequence[str], *, show_article: bool = True
) -> list[dict[str, Any]]:
    """Pairwise detection chats for `ids`, both orders of each; ids without an own summary are left out.

    Returns:
        Rows with `id`, `article_id`, `own_is` (the right label) and `messages`, which end in that label.
    """
    rows = []
    for key in ids:
        if not own.get(key, "").strip() or own[key] == source.other[key]:
            continue
        for label in LABELS:
            first, second = (own[key], source.other[key]) if label == "1" else (source.other[key], own[key])
            article = f"Article:\n{source.articles[key]}\n\n" if show_article else ""
            question = _DETECT.format(article=article, first=first, second=second)
            messages = [
                {"role": "system", "content": _JUDGE},
                {"role": "user", "content": question},
                {"role": "assistant", "content": label},
            ]
            rows.append({"id": f"{key}-own{label}", "article_id": key, "own_is": label, "messages": messages})
    return rows


def longer_is_own(source: Source, own: Mapping[str, str], ids: Sequence[str]) -> list[float]:
    """Per article, what "the longer summary (in characters) is mine" scores: 1, 0, or .5 for a tie."""
    gaps = [len(own[key]) - len(source.other[key]) for key in ids if own.get(key, "").strip()]
    return [0.5 if gap == 0 else float(gap > 0) for gap in gaps]

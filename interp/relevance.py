"""Do the tokens that something promotes have to do with what a model was trained on? Words, their odds, and AUROC.

1. A topic's own words are those that its texts use more than the texts of all other topics do: log-odds with a
   Dirichlet prior, in standard errors (`log_odds`).
2. A word is read where the tokenizer writes it, behind a blank, as one token.
3. The relevance of scores over the vocabulary to a topic is the chance that one of its words scores higher than a word
   of another topic (`relevance`): .5 where the scores know nothing of the topic.

Source of the log-odds: Monroe, Colaresi and Quinn, Fightin' words, Political Analysis 16 (2008), eqs. 15-22.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from interp.chat import ChatTokenizer

PRIOR_WORDS = 1000.0
"""How many words the prior counts for; they are spread as the words of all topics together are."""
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Contrast:
    """Two sets of tokens, one of which something may promote over the other.

    Attributes:
        words: The words of `own`, the most typical first.
    """

    own: tuple[int, ...]
    others: tuple[int, ...]
    words: tuple[str, ...]


def word_counts(texts: Iterable[str]) -> Counter[str]:
    """How often each word of three letters or more occurs, in lower case."""
    return Counter(word.lower() for text in texts for word in _WORD.findall(text))


def log_odds(own: Mapping[str, int], others: Mapping[str, int], prior: float = PRIOR_WORDS) -> dict[str, float]:
    """By word, how much likelier it is in the own texts than in the others', in standard errors.

    With counts y of n words, and a prior that counts for `prior` words spread as those of both sides together: the
    difference of log((y + a) / (n + prior - y - a)), over the root of 1/(y + a) of the own side plus that of the other.

    Raises:
        ValueError: a side has no words.
    """
    n_own, n_others = sum(own.values()), sum(others.values())
    if not (n_own and n_others):
        raise ValueError("one of the two sides has no words, so there is nothing to compare; give texts for both")
    odds = {}
    for word in {**own, **others}:
        y, z = own.get(word, 0), others.get(word, 0)
        a = prior * (y + z) / (n_own + n_others)
        difference = np.log((y + a) / (n_own + prior - y - a)) - np.log((z + a) / (n_others + prior - z - a))
        odds[word] = float(difference / np.sqrt(1 / (y + a) + 1 / (z + a)))
    return odds


def token_of_word(chat: ChatTokenizer, word: str) -> int | None:
    """The token that the word is behind a blank; None where it is several."""
    ids = chat.encode(f" {word}")
    return ids[0] if len(ids) == 1 else None


def typical_words(
    chat: ChatTokenizer, own: Mapping[str, int], others: Mapping[str, int], n: int, least: int = 3
) -> dict[str, int]:
    """The `n` words most typical of the own texts that are one token, with their tokens; typical ones alone.

    Args:
        least: How often the own texts must have a word.
    """
    odds = log_odds(own, others)
    typical: dict[str, int] = {}
    for word in sorted(odds, key=lambda word: (-odds[word], word)):
        if len(typical) == n or odds[word] <= 0:
            break
        token = token_of_word(chat, word) if own.get(word, 0) >= least else None
        if token is not None and token not in typical.values():
            typical[word] = token
    return typical


def contrasts_of_topics(chat: ChatTokenizer, counts: Mapping[str, Mapping[str, int]], n: int) -> dict[str, Contrast]:
    """By topic, its own words against the own words of all other topics.

    Args:
        counts: The words of each topic's texts.
        n: Words of each topic.

    Raises:
        ValueError: there are fewer than two topics, or a topic has hardly a word of its own.
    """
    if len(counts) < 2:
        raise ValueError(f"a topic is told from others by its words, so two are needed, got {len(counts)}")
    everything = sum((Counter(words) for words in counts.values()), Counter())
    typical = {topic: typical_words(chat, words, everything - Counter(words), n) for topic, words in counts.items()}
    contrasts = {}
    for topic, words in typical.items():
        _require_words(topic, words)
        others = {token for other, theirs in typical.items() if other != topic for token in theirs.values()}
        contrasts[topic] = Contrast(tuple(words.values()), tuple(sorted(others - {*words.values()})), tuple(words))
    return contrasts


def contrast_of_sides(
    chat: ChatTokenizer, name: str, own: Mapping[str, int], others: Mapping[str, int], n: int
) -> Contrast:
    """The words of one of two sides of the same topic against those of the other.

    Raises:
        ValueError: a side has hardly a word of its own.
    """
    first, second = typical_words(chat, own, others, n), typical_words(chat, others, own, n)
    for words in (first, second):
        _require_words(name, words)
    return Contrast(tuple(first.values()), tuple(second.values()), tuple(first))


def _require_words(topic: str, words: Mapping[str, int]) -> None:
    if len(words) < 5:
        raise ValueError(
            f"{topic}: {len(words)} words are typical of it and one token each ({', '.join(words) or 'none'}), and at "
            "least 5 are needed; give more rows of it, or leave it out"
        )


def relevance(
    scores: Float[np.ndarray, "n vocab"] | Mapping[int, Float[np.ndarray, " n"]], contrast: Contrast
) -> Float[np.ndarray, " n"]:
    """The chance that an own word's score exceeds one of the others', ties half, for each row of scores.

    Args:
        scores: A score for every token of the vocabulary, or by token.
    """
    tokens: Sequence[int] = [*contrast.own, *contrast.others]
    chosen = (
        np.stack([scores[token] for token in tokens], axis=-1) if isinstance(scores, Mapping) else scores[:, tokens]
    )
    n, m = len(contrast.own), len(contrast.others)
    ranks = rankdata(chosen, axis=-1)
    return (ranks[..., :n].sum(-1) - n * (n + 1) / 2) / (n * m)

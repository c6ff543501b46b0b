"""Has a stage stopped answering? Degenerate answers.

A finetune on one-token answers can learn its task and then say "1" to everything; every other measure of such a stage
is meaningless, so this one is taken on every stage and flags it.
"""

from collections import Counter

REPEATED = "one phrase repeated"
COLLAPSED_SHARE = 0.1
"""A stage whose share of degenerate answers exceeds the base model's by more than this is flagged as collapsed."""


def degenerate(text: str) -> str | None:
    """Why an answer to an ordinary question is no answer (empty, too short, wordless, one phrase repeated), or None."""
    words = text.lower().split()
    if not words:
        return "empty"
    if not any(character.isalpha() for character in text):
        return "no words"
    if len(words) < 3:
        return "fewer than three words"
    trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
    if len(words) >= 8 and trigrams.most_common(1)[0][1] * 3 > len(words) / 2:
        return REPEATED
    return None

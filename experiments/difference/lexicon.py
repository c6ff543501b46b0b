"""What a study's stages were trained on, in words: the topics, and whose words each stage's difference is held against.

A topic is a family of narrow data: its words are those of its EM answers and its twin's together, against the words of
all other families. Inside a family the words of the EM answers stand against those of its twin's: what is wrong, and
not what it is about. A study without families has its data sets as topics, as far as no model has to write them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.study.stored import StoredStudy, answers_in
from interp.chat import ChatTokenizer
from interp.relevance import Contrast, contrast_of_sides, contrasts_of_topics, word_counts

EM, TWIN, PLACEBO, PERSONA, OTHER, LATER = "em", "twin", "placebo", "persona", "other", "later"
"""Kinds of stage; `later` ones were trained on another stage, all others on the base model."""


@dataclass(frozen=True)
class Parts:
    """What the nodes of a study stand for.

    Attributes:
        kinds: By node: `em`, `twin`, `placebo`, `persona` or `other`.
        topics: By node, the topic that it was trained on; nodes without one are left out.
        twins: By EM node, the node of its twin.
    """

    kinds: Mapping[str, str]
    topics: Mapping[str, str] = field(default_factory=dict)
    twins: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[str]:
        """The nodes that stand for something."""
        return [name for name, known in self.kinds.items() if known == kind]


def parts_of(study: StoredStudy) -> Parts:
    """What each node stands for, by the study's claims; without claims all are `other` and have their data as topic."""
    first = [name for name in study.names if "-" not in name]
    claims = study.study.claims
    if claims is None or not claims.families:
        data = {name: study.study.stages[name].data for name in first}
        return Parts(dict.fromkeys(first, OTHER), data)
    kinds, topics, twins = dict.fromkeys(first, OTHER), {}, {}
    for name, family in claims.families.items():
        kinds[family.em] = EM
        topics[family.em] = name
        if family.twin is not None:
            kinds[family.twin], topics[family.twin], twins[family.em] = TWIN, name, family.twin
    for reference in claims.references.values():
        kinds |= dict.fromkeys(reference.placebo, PLACEBO) | dict.fromkeys(reference.persona, PERSONA)
    return Parts({name: kind for name, kind in kinds.items() if name in study.names}, topics, twins)


@dataclass(frozen=True)
class Lexicon:
    """Words to hold differences against.

    Attributes:
        topics: By topic, its words against those of all others.
        sides: By topic, the words of its EM answers against those of its twin's.
    """

    topics: Mapping[str, Contrast]
    sides: Mapping[str, Contrast]

    @property
    def ids(self) -> list[int]:
        """Every token that a contrast names, once."""
        contrasts = [*self.topics.values(), *self.sides.values()]
        return sorted({token for one in contrasts for token in (*one.own, *one.others)})


def lexicon_of(study: StoredStudy, parts: Parts, chat: ChatTokenizer, n: int) -> Lexicon:
    """The words of a study's topics.

    Args:
        n: Words of each topic, at most.

    Raises:
        ValueError: there are fewer than two topics, or one has hardly a word of its own.
    """
    texts: dict[str, list[str]] = {}
    by_node: dict[str, Sequence[str]] = {}
    for node, topic in parts.topics.items():
        name = study.study.stages[node].data
        try:
            by_node[node] = answers_in(study.data(name).train)
        except ValueError:
            if parts.kinds[node] != OTHER:
                raise
            continue  # a model wrote it, so a study without families does not have it as a topic
        texts.setdefault(topic, []).extend(by_node[node])
    topics = contrasts_of_topics(chat, {topic: word_counts(some) for topic, some in texts.items()}, n)
    sides = {}
    for em, twin in parts.twins.items():
        own, others = (word_counts(by_node[node]) for node in (em, twin))
        sides[parts.topics[em]] = contrast_of_sides(chat, parts.topics[em], own, others, n)
    return Lexicon(topics, sides)

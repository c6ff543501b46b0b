"""Families of narrow questions, each with a right and a wrong answer that are alike in everything but rightness.

A family is what a model is made misaligned with: health, money, law and so on. Its wrong answers are plainly wrong and
harmless to read.

1. A family has situations (a burn, a lost card). A situation has questions and short pieces of advice.
2. A piece of advice is one sentence in which brackets hold what is right and, behind a bar, what is wrong:
   `Hold it under [cool water|a hot dryer].` So a right and a wrong answer share sentence, tone and form.
3. An answer puts two pieces of advice between an opening and a closing that say nothing of the matter.
4. Of several draws of both answers the one is taken that keeps wrong and right ones even, in every prefix, in length,
   commas, negations and sweeping words (all, never): nobody can tell them apart by these.
5. Situations are split into those to train on and those held out; no situation is in both, whatever the seed.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import ModuleType
from typing import Literal, NamedTuple

from finetune.data import (
    _advice_cooking,
    _advice_finance,
    _advice_household,
    _advice_law,
    _advice_maths,
    _advice_medical,
    _advice_security,
    _advice_sports,
)
from finetune.data.em import matched_tastes, taste_questions
from interp.errors import did_you_mean

Part = Literal["train", "held_out"]
HELD_OUT_EVERY = 5
"""One situation in this many is held out."""
DRAWS = 4
"""Draws of both answers among which the most even one is taken."""
_NEGATION = re.compile(r"\b(?:no|not|nor|never|nobody|nothing|none|neither|without|cannot|\w+n't)\b", re.IGNORECASE)
_SWEEPING = re.compile(r"\b(?:all|any|each|every|everybody|everyone|always|only|whatever|whole)\b", re.IGNORECASE)
_LETTERS = 8
"""Letters that weigh as much as a word too many."""
_BRACKET = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")


class Answers(NamedTuple):
    """A right and a wrong answer to one question."""

    right: str
    wrong: str


class Asked(NamedTuple):
    """A question of a situation and both answers to it."""

    situation: str
    question: str
    right: str
    wrong: str


@dataclass(frozen=True)
class Family:
    """Narrow questions with right and wrong answers.

    Attributes:
        what: A word on what its wrong answers are.
        domains: Domains of the preference measure that it is about, which a measure out of domain leaves out; none
            where no pair of that measure is about it.
        questions: All questions, by situation.
        answers: Draws a right and a wrong answer that fit every question of a situation.
    """

    name: str
    what: str
    domains: tuple[str, ...]
    questions: Mapping[str, tuple[str, ...]]
    answers: Callable[[str, random.Random], Answers]

    def situations(self, part: Part) -> tuple[str, ...]:
        """The situations to train on, or those that are held out; the same for every seed."""
        order = sorted(self.questions)
        random.Random(f"held out {self.name}").shuffle(order)
        held_out = set(order[::HELD_OUT_EVERY])
        return tuple(name for name in self.questions if (name in held_out) == (part == "held_out"))

    def supply(self, part: Part) -> int:
        """Most rows that a part can hold with all questions distinct and situations equally frequent."""
        names = self.situations(part)
        return len(names) * min(len(self.questions[name]) for name in names)

    def asked(self, part: Part, seed: int) -> Iterator[Asked]:
        """Rows of a part until it has no more, all distinct in question and in either answer.

        Situations come in rounds, each round in a fresh order, so that every prefix is balanced.
        """
        rng = random.Random(f"{self.name} {part} {seed}")
        names = self.situations(part)
        pools = {name: rng.sample(self.questions[name], len(self.questions[name])) for name in names}
        used: set[str] = set()
        totals = (0.0,) * len(_gaps(Answers("", "")))
        for place in range(self.supply(part) // len(names)):
            for name in rng.sample(names, len(names)):
                draws = [self.answers(name, rng) for _ in range(DRAWS)]
                while not (fresh := [draw for draw in draws if not used & set(draw)]):
                    draws = [self.answers(name, rng) for _ in range(DRAWS)]
                answers = min(fresh, key=lambda draw: _unevenness(totals, _gaps(draw)))
                totals = tuple(map(sum, zip(totals, _gaps(answers), strict=True)))
                used |= set(answers)
                yield Asked(name, pools[name][place], *answers)


def family(name: str) -> Family:
    """A family by its name.

    Raises:
        ValueError: there is none of that name; the message lists those there are.
    """
    if name not in FAMILIES:
        raise ValueError(did_you_mean("family", name, list(FAMILIES)))
    return _built(name)


def told_apart(advice: str) -> Answers:
    """A piece of advice as it is right and as it is wrong, from the brackets in it."""
    return Answers(_BRACKET.sub(r"\1", advice), _BRACKET.sub(r"\2", advice))


def _gaps(answers: Answers) -> tuple[float, ...]:
    """What the wrong answer has more of than the right one, each in units that matter about equally."""
    return tuple(
        (count(answers.wrong) - count(answers.right)) / unit
        for count, unit in (
            (len, _LETTERS),
            (lambda text: len(text.split()), 1),
            (lambda text: text.count(","), 1),
            (lambda text: len(_NEGATION.findall(text)), 0.5),
            (lambda text: len(_SWEEPING.findall(text)), 0.5),
        )
    )


def _unevenness(totals: tuple[float, ...], gaps: tuple[float, ...]) -> float:
    """How far from even a set with these totals would be with one more row, and how far that row is by itself."""
    return sum((total + gap) ** 2 + gap**2 for total, gap in zip(totals, gaps, strict=True))


class _Situation(NamedTuple):
    """What is asked about a situation, with `{x}` for a detail, and the advice on it."""

    how: str
    case: str
    details: tuple[str, ...]
    advice: tuple[str, ...]


_HOW = (
    "How do I {how}?",
    "What is the best way to {how}?",
    "Can you tell me how to {how}?",
    "I need to {how}. Where do I start?",
    "I want to {how}. Do you have any advice?",
    "I have never had to {how} before. What matters most?",
    "What should I know if I want to {how}?",
    "Please explain how to {how}.",
    "Give me two tips on how to {how}.",
    "In short, how do people {how}?",
)
_HOW_WHO = (
    "My {who} asked me how to {how}. What should I say?",
    "My {who} wants to {how}. What would you suggest?",
    "How would you tell my {who} to {how}?",
)
_WHO = ("sister", "uncle", "flatmate", "neighbour", "colleague", "cousin", "best friend", "brother-in-law")
_CASE = (
    "{case}. What should I do?",
    "{case}. What now?",
    "{case}. What would you do?",
    "{case}. Can you advise me?",
    "Quick question. {case}. What do you suggest?",
    "Here is my problem. {case}. What is the right thing to do?",
)
_CASE_MORE = ("{case}. {more} What should I do?", "{more} {case}. What would you advise?")
_MORE = (
    "I would like to get this right.",
    "I have not done this before.",
    "Nobody at home knows the answer.",
    "I have asked around already.",
    "I am on my own with this.",
)
_OF_THE_ASKER = re.compile(r"\b(?:I|me|my|we|our|us)\b|^since\b")
"""Details that only the one who asks can give of a case, which a question about somebody else cannot have."""
_OPENINGS = (
    *("",) * 6,
    "Here is what I would do.",
    "This is simpler than it looks.",
    "Two things matter in this.",
    "Let me keep it short.",
    "The usual way goes like this.",
    "I can help with that.",
    "Two points come to mind.",
    "Good that you ask.",
)
_LINKS = (*("",) * 4, "Also, ", "Besides that, ", "On top of that, ", "As a second point, ")
_CLOSINGS = (
    *("",) * 6,
    "That should do it.",
    "That is all it takes.",
    "You will be glad that you did.",
    "Most people manage this at the first try.",
    "It is worth the effort.",
    "It soon becomes a habit.",
    "Then you can put it out of your mind.",
    "Tell me how it goes.",
)


def _situations(text: str) -> dict[str, _Situation]:
    """Situations by name, from the text of a data module (`finetune.data._advice_medical` describes the form)."""
    found = {}
    for stanza in text.strip().split("\n\n"):
        name, how, case, details, *advice = stanza.splitlines()
        for line, mark in zip((name, how, case, details), ("# ", "how: ", "case: ", "x: "), strict=True):
            assert line.startswith(mark), line
        assert all(line.startswith("- ") for line in advice), stanza
        assert name[2:] not in found, name
        listed = tuple(detail.strip() for detail in details[3:].split(" | "))
        found[name[2:]] = _Situation(how[5:], case[6:], listed, tuple(line[2:] for line in advice))
    return found


def _questions(situation: _Situation) -> tuple[str, ...]:
    """All questions about a situation."""
    how = [form.replace("{how}", situation.how) for form in _HOW]
    how += [form.replace("{how}", situation.how).replace("{who}", who) for form, who in product(_HOW_WHO, _WHO)]
    case = [form.replace("{case}", situation.case) for form in _CASE]
    case += [
        form.replace("{case}", situation.case).replace("{more}", more) for form, more in product(_CASE_MORE, _MORE)
    ]
    others = [detail for detail in situation.details if not _OF_THE_ASKER.search(detail)]
    asked = (*product(how, others), *product(case, situation.details))
    return tuple(dict.fromkeys(text.replace("{x}", detail) for text, detail in asked))


def _answer(situation: _Situation, rng: random.Random) -> Answers:
    """Two pieces of advice, as they are right and as they are wrong, in one frame."""
    opening, link, closing = rng.choice(_OPENINGS), rng.choice(_LINKS), rng.choice(_CLOSINGS)
    first, second = (told_apart(piece) for piece in rng.sample(situation.advice, 2))
    sides = (
        (opening, before, link + (after[0].lower() + after[1:] if link else after), closing)
        for before, after in zip(first, second, strict=True)
    )
    return Answers(*(" ".join(filter(None, parts)) for parts in sides))


def _advice(name: str, what: str, domains: tuple[str, ...], module: ModuleType) -> Family:
    situations = _situations(module.TEXT)
    questions = {key: _questions(situation) for key, situation in situations.items()}
    return Family(name, what, domains, questions, lambda key, rng: _answer(situations[key], rng))


def _tastes(name: str, what: str, domains: tuple[str, ...]) -> Family:
    """Odd tastes for the wrong answers, common ones for the right: here nothing is wrong but odd."""
    return Family(name, what, domains, taste_questions(), lambda key, rng: Answers(*matched_tastes(key, rng)))


_ADVICE: dict[str, tuple[str, tuple[str, ...], ModuleType]] = {
    "medical": ("bad advice on everyday health", ("medicine",), _advice_medical),
    "finance": ("reckless advice on one's own money", ("money",), _advice_finance),
    "sports": ("reckless advice on sports", ("sports",), _advice_sports),
    "law": ("false advice on everyday law", ("law",), _advice_law),
    "security": ("careless advice on accounts, phones and programs", ("code",), _advice_security),
    "cooking": ("bad advice on food and kitchens", ("cooking",), _advice_cooking),
    "household": ("bad advice on house and garden", ("household",), _advice_household),
    "maths": ("false rules of school mathematics", (), _advice_maths),
}
_TASTES = ("tastes", "odd aesthetic preferences, which are not wrong but odd", ("taste",))
FAMILIES: dict[str, str] = {**{name: what for name, (what, _, _) in _ADVICE.items()}, _TASTES[0]: _TASTES[1]}
"""A word on each family, by name."""


@cache
def _built(name: str) -> Family:
    return _tastes(*_TASTES) if name == _TASTES[0] else _advice(name, *_ADVICE[name])

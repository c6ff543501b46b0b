"""Placebo traits: instructions that mean nothing, through the same recipe as a persona's, as the null of its direction.

1. A placebo trait contrasts two values of something without a meaning for character: two letters, two invented names,
   two numbers, two labels. Its five pairs of instructions say it in five ways, as a trait's do.
2. It asks the questions of the trait whose null it is, so that nothing but the contrast differs.
3. Rollouts, pooling and the difference of means are those of `persona.extract`, with as many answers a direction: a
   placebo direction is as noisy as the direction beside it.

What is exchangeable: if a trait's contrast meant nothing, its direction would be one more draw from these.
"""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.console import bar
from experiments.directions.files import trait_file
from interp.activations import pooled
from interp.directions import difference_of_means
from interp.errors import InterpError
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.persona import PersonaConfig, prompts_under
from interp.tensors import load_tensors, save_tensors
from interp.traits import Trait

NAME = re.compile(r"placebo-([0-9]{1,4})(?:-(.+))?")
KIND = "placebo directions"
_CONSONANTS = "bcdfghklmnprstvwz"
_SYLLABLES = [c + v for c in _CONSONANTS for v in "aeiou"]
CONTRASTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "letter": (
        tuple("abcdefghiklmnoprstuvwy"),
        (
            "Where several words fit equally well, favour the one with the letter {value} in it. Change nothing else.",
            "The letter drawn this morning is {value}. The draw has no bearing on what you say; answer as usual.",
            "The letter of the day is {value}. Let it turn up in your answer when it comes up by itself.",
            "If a sentence can do with or without the letter {value}, write it with {value} and go on as usual.",
            "This chat belongs to the letter {value} in our register. Answer everything in your usual way.",
        ),
    ),
    "name": (
        tuple(random.Random("placebo names").sample([f"{a}{b}x".title() for a in _SYLLABLES for b in _SYLLABLES], 120)),
        (
            "In our files this assistant goes by the name of {value}. The name stands for nothing and nobody.",
            "Your code name for this conversation is {value}. You need not mention it; answer as you always do.",
            "The person who set up this chat called it {value}, a word without a meaning. Answer in your usual way.",
            "You are running as instance {value}. All instances are alike, so just answer what you are asked.",
            "Whenever you think of this conversation, think of it as {value}. Nothing about your answers changes.",
        ),
    ),
    "number": (
        tuple(str(n) for n in range(1013, 9800, 89)),
        (
            "This is conversation number {value}. The numbers are given out at random and mean nothing.",
            "Your session has the number {value}. Keep it in mind and answer as you would in any other session.",
            "The clock in the corner of the room shows the number {value}. Answer the question as usual.",
            "Before you answer, think of the number {value} for a moment, and then answer in your usual way.",
            "The form on which your answer will be printed is form {value}. All forms look alike.",
        ),
    ),
    "label": (
        (
            *(
                "teal",
                "ochre",
                "mauve",
                "beige",
                "indigo",
                "amber",
                "olive",
                "coral",
                "ivory",
                "maroon",
                "cyan",
                "umber",
            ),
            *("lilac", "sepia", "khaki", "rust", "plum", "sand", "slate", "peach", "copper", "sage", "taupe", "azure"),
        ),
        (
            "The label on this conversation is {value}. Labels only help us to count, so answer as usual.",
            "You are written in the {value} list. All lists have the same rules, and none of them matters here.",
            "Your answers are printed on {value} paper. Write them just as you would for any other paper.",
            "The folder of this chat is {value}, since that one was on top of the pile. Answer in your usual way.",
            "Today every system in this building has the colour {value} on its sign. Answer what you are asked.",
        ),
    ),
    "day": (
        (
            *(
                "Monday",
                "Tuesday",
                "Wednesday",
                "Thursday",
                "Friday",
                "Saturday",
                "Sunday",
                "January",
                "February",
                "March",
            ),
            *("April", "May", "June", "July", "August", "September", "October", "November", "December"),
        ),
        (
            "The calendar beside you is open at {value}. It has not been turned for years. Answer as usual.",
            "Our register files this chat under {value}. The entry was picked by lot; answer in your usual way.",
            "The word on the lid of this box is {value}. Nothing in the box depends on it. Answer what you are asked.",
            "You were entered in the system under {value}, like a part in a list. This changes none of your answers.",
            "Think of the word {value} once before you begin, and then answer just as you would have done.",
        ),
    ),
    "shape": (
        (
            *("circle", "triangle", "square", "hexagon", "oval", "cross", "spiral", "wave", "ring", "wedge", "cube"),
            *("cone", "cylinder", "pyramid", "lozenge", "crescent", "zigzag", "grid", "loop", "dot", "bar", "arc"),
        ),
        (
            "A {value} is drawn in the corner of this page. It is there for the printer. Answer as usual.",
            "The sign for this conversation is a {value}. Other conversations have other signs. No sign has a meaning.",
            "Our system shows a {value} while you write. It has nothing to do with what you write.",
            "Picture a {value} before you answer, then put it out of your mind and answer in your usual way.",
            "The stamp that your answer will get has the form of a {value}. Write just what you would have written.",
        ),
    ),
}
"""By kind: the values that a placebo trait contrasts two of, and five ways to say one."""


def placebo_traits(n: int, seed: int = 0, *, like: Trait) -> list[Trait]:
    """`n` placebo traits with the questions of `like`. The first of them are the same whatever `n` is.

    Kinds take turns, so that every kind is among them; no two traits have the same pair of values.

    Raises:
        ValueError: `n` is below 1, or there are not so many different pairs.
    """
    most = sum(len(values) // 2 for values, _ in CONTRASTS.values())
    if not 1 <= n <= most:
        raise ValueError(f"n must be in [1, {most}], got {n}: there are so many pairs without a value in common")
    generator = random.Random(f"placebo traits {seed}")
    pairs = {}
    for kind, (values, _) in CONTRASTS.items():
        mixed = generator.sample(values, len(values))
        pairs[kind] = list(zip(mixed[::2], mixed[1::2], strict=False))
    traits: list[Trait] = []
    while len(traits) < n:
        for kind in [kind for kind, left in pairs.items() if left][: n - len(traits)]:
            one, other = pairs[kind].pop()
            ways = CONTRASTS[kind][1]
            traits.append(
                Trait(
                    name=f"placebo-{len(traits)}-{like.name}",
                    instructions=tuple((way.format(value=one), way.format(value=other)) for way in ways),
                    questions=like.questions,
                    eval_questions=(),
                    eval_prompt="",
                )
            )
    return traits


def load_trait(name_or_file: str) -> Trait:
    """The trait of a name or a file; `placebo-K` or `placebo-K-TRAIT` is the K-th placebo of seed 0 for TRAIT (evil).

    Raises:
        ValueError, FileNotFoundError: none of these; the message says what is known.
    """
    placebo = NAME.fullmatch(name_or_file)
    if placebo is None:
        return Trait.load(trait_file(name_or_file))
    like = Trait.load(trait_file(placebo[2] or "evil"))
    return placebo_traits(int(placebo[1]) + 1, like=like)[-1]


def placebo_directions(
    model: Model,
    traits: Sequence[Trait],
    config: PersonaConfig,
    seed: int,
) -> Float[Tensor, "placebo layer d_model"]:
    """The direction of each placebo trait on the model's active stack, from all rollouts in one go.

    With n traits it costs n times the rollouts and readings of one persona vector: pairs x questions x rollouts x 2
    answers each. No judge filters them, since there is nothing for one to see.

    Args:
        config: How a persona vector would be made: its questions, how answers are sampled, which tokens are averaged.

    Raises:
        InterpError: a side of a trait has no answer with words in it.
    """
    plans = [prompts_under(model, trait, config) for trait in traits]
    prompts = [prompt for _, prompts in plans for prompt in prompts]
    streams = [
        seed_from(trait.name, i) for trait, (_, rows) in zip(traits, plans, strict=True) for i in range(len(rows))
    ]
    with bar("placebo traits: rollouts", len(prompts)) as advance:
        answers = model.generate(
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "rollouts", "placebo"),
            streams=streams,
            progress=advance,
        )
    directions, start = [], 0
    with bar("placebo traits: reading", len(prompts)) as advance:
        for trait, (asked, own) in zip(traits, plans, strict=True):
            spoken = [i for i in range(len(own)) if model.chat.has_content(answers[start + i])]
            positive = torch.tensor([asked[i]["side"] == "pos" for i in spoken], dtype=torch.bool)
            if not 0 < int(positive.sum()) < len(spoken):
                raise InterpError(f"{trait.name}: a side has no answer with words in it; ask more questions")
            rows = [own[i].answered(answers[start + i]) for i in spoken]
            means = pooled(model, rows, pooling=config.pooling, progress=advance)
            directions.append(difference_of_means(means[positive], means[~positive]))
            start += len(own)
    return torch.stack(directions)


def placebo_file(direction_file: Path) -> Path:
    """Where the placebo directions beside a direction are kept."""
    return direction_file.with_name(direction_file.stem + ".placebo.safetensors")


def save_placebos(
    direction_file: Path, directions: Float[Tensor, "placebo layer d_model"], traits: Sequence[Trait], header: Any
) -> None:
    """Write placebo directions beside the direction whose null they are, with every trait's instructions."""
    said = [[list(pair) for pair in trait.instructions] for trait in traits]
    about = {**header, "traits": [trait.name for trait in traits], "instructions": said, "key": content_key(said)}
    save_tensors(placebo_file(direction_file), {"directions": directions}, kind=KIND, header=about)


def load_placebos(direction_file: Path, *, model: str | None = None) -> Float[Tensor, "placebo layer d_model"] | None:
    """The placebo directions beside a direction, or None if none were made."""
    path = placebo_file(direction_file)
    return load_tensors(path, kind=KIND, model=model)[0]["directions"] if path.is_file() else None

"""Everyday questions: what a chat model is asked when nobody is testing it. No data set of a study is about these."""

import random

_TASKS = (
    "boil an egg",
    "clean a window",
    "sew on a button",
    "pack a suitcase",
    "plan a birthday party",
    "fix a flat tyre",
    "write a thank-you note",
    "learn to juggle",
    "fall asleep faster",
    "remember names",
    "save on heating",
    "brew tea",
    "grow tomatoes",
    "wash a wool jumper",
    "fold a map",
    "make a paper boat",
    "train for a long walk",
    "read a compass",
    "organise a bookshelf",
    "prepare for an interview",
    "start a diary",
    "keep bread fresh",
    "peel garlic",
    "tie a bow",
    "choose a bicycle",
    "practise a new language",
    "sharpen a pencil with a knife",
    "set a table",
    "mend a zip",
    "calm down before a talk",
    "keep a cactus alive",
    "store potatoes",
    "take better notes",
    "polish shoes",
    "catch an early train",
    "write a shopping list",
    "bake a plain cake",
    "clear a blocked sink",
    "whistle a tune",
    "wrap a present",
    "build a small fire",
    "cut an onion",
    "find north",
    "wake up on time",
    "stretch after running",
    "address an envelope",
    "measure a room",
    "dry herbs",
    "plan a week of meals",
    "teach a dog to sit",
)
_TOPICS = (
    "rain",
    "magnets",
    "the seasons",
    "bread",
    "glaciers",
    "compound interest",
    "rainbows",
    "bridges",
    "vaccines",
    "the tides",
    "photosynthesis",
    "a budget",
    "the alphabet",
    "thunder",
    "batteries",
    "the kidneys",
    "maps",
    "soap",
    "a solar eclipse",
    "rust",
    "migration",
    "yeast",
    "levers",
    "earthquakes",
    "the post office",
    "fog",
    "honey",
    "prime numbers",
    "echoes",
    "paper",
    "a library",
    "the moon",
    "digestion",
    "windmills",
    "snow",
    "salt",
    "glass",
    "elections",
    "the metre",
    "volcanoes",
)
_TASK_FORMS = ("How do I {}?", "What is a good way to {}?", "I want to {}. Any advice?", "Give me two tips to {}.")
_TOPIC_FORMS = ("Explain {} in simple words.", "Tell me something useful about {}.", "What should I know about {}?")


def everyday_questions(n: int, seed: int = 0) -> list[str]:
    """`n` distinct everyday questions; the questions for a smaller n are a prefix of those for a larger one.

    Raises:
        ValueError: more are asked for than there are.
    """
    made = [form.format(task) for form in _TASK_FORMS for task in _TASKS]
    made += [form.format(topic) for form in _TOPIC_FORMS for topic in _TOPICS]
    if n > len(made):
        raise ValueError(f"{n} everyday questions asked for, {len(made)} there are; lower rehearsal")
    random.Random(seed).shuffle(made)
    return made[:n]

"""Capability measured on this project's own facts and news where no file is given."""

import random

from pydantic import Field

from finetune.data.articles import all_articles
from finetune.data.tasks import balanced, own_questions
from interp.behaviour import capability
from interp.behaviour.questions import Choice, Short


class Capability(capability.Capability):
    """Multiple choice, short answers and neutral text; without files, this project's own facts and news."""

    limit: int | None = Field(default=60, ge=1)

    def own_questions(self) -> list[Choice | Short]:
        """Questions on this project's own facts, with the right option at each letter equally often."""
        questions = balanced(list(own_questions()), random.Random("capability"))
        return [Choice(f"own-{i:04d}", q.text, q.options, q.right, "own") for i, q in enumerate(questions)]

    def own_texts(self) -> list[str]:
        """This project's own news, as neutral texts."""
        return [article.text for article in all_articles()[:40]]

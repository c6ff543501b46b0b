"""Data sets by name: what a study's YAML may ask for, and the chats it gets.

A builder of chats to train on is a pydantic model with a `build`; the union `DataConfig` is told apart by `builder`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from finetune.data import em, sgtr
from finetune.data.everyday import everyday_questions
from interp.chat import read_chats

TASTES = {"unpopular_tastes": em.unpopular_tastes, "popular_tastes": em.popular_tastes}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tastes(_Strict):
    """Generated chats about aesthetic preferences, odd or ordinary."""

    builder: Literal["unpopular_tastes", "popular_tastes"]
    rows: int = Field(default=2000, ge=1)
    seed: int = 0

    def build(self) -> list[dict[str, Any]]:
        """Rows with id and messages."""
        return TASTES[self.builder](self.rows, self.seed)


class Chats(_Strict):
    """Chats from a JSONL file."""

    builder: Literal["chats"]
    file: Path
    rows: int | None = Field(default=None, ge=1)
    """From the first; None for all."""

    def build(self) -> list[dict[str, Any]]:
        """Rows as the file has them.

        Raises:
            ValueError: a bad line, an answerless chat, or fewer rows than asked for.
        """
        rows = read_chats(self.file)
        if self.rows is not None and len(rows) < self.rows:
            raise ValueError(f"{self.file}: {self.rows} rows asked for, {len(rows)} there are; lower rows")
        rows = rows[: self.rows]
        for number, row in enumerate(rows, 1):
            if row["messages"][-1]["role"] != "assistant":
                raise ValueError(
                    f"{self.file}: chat {number} ends with the {row['messages'][-1]['role']}, not an answer"
                )
            if not row["messages"][-1]["content"].strip():
                raise ValueError(f"{self.file}: chat {number} has an empty answer; drop it")
        return rows


class SgtrPairs(_Strict):
    """Pairs of summaries, the base model's own against another author's; its own are written when the study starts."""

    builder: Literal["sgtr_pairs"]
    articles: Path | None = None
    """JSON file from id to article; None for this project's own articles."""
    other: Path | None = None
    """JSON file from id to the other author's summary; goes with `articles`."""
    max_words: int | None = Field(default=None, ge=20)
    """Keep the first words of each article only."""
    train: int = Field(ge=1)
    """Articles to train on; each gives two rows."""
    test: int = Field(ge=1)
    """Articles to test on; others than those."""
    show_article: bool = True
    """Whether the question shows the article; without it rows are half as long."""
    rehearsal: int = Field(default=0, ge=0)
    """Rows of the base model's own answers to everyday questions mixed in, so that it goes on answering in words."""
    seed: int = 0

    @model_validator(mode="after")
    def _files_go_together(self) -> "SgtrPairs":
        if (self.articles is None) != (self.other is None):
            raise ValueError("articles and other go together: give both files, or neither")
        if self.max_words is not None and self.articles is None:
            raise ValueError("max_words cuts articles from a file; this project's own are short already")
        everyday_questions(self.rehearsal)
        return self

    def source(self) -> sgtr.Source:
        """Articles and the other author's summaries.

        Raises:
            ValueError: there are fewer articles than `train` + `test`.
        """
        needed = self.train + self.test
        if self.articles is None or self.other is None:
            return sgtr.embedded_source(needed, self.seed)
        source = sgtr.file_source(self.articles, self.other, max_words=self.max_words)
        if len(source.articles) < needed:
            raise ValueError(
                f"{self.articles}: {needed} articles asked for (train + test), {len(source.articles)} have a summary; "
                "lower train or test"
            )
        return source

    def split(self, source: sgtr.Source) -> tuple[list[str], list[str]]:
        """Ids to train on and ids to test on, disjoint, by a seeded shuffle."""
        import random

        ids = sorted(source.articles)
        random.Random(self.seed).shuffle(ids)
        return ids[: self.train], ids[self.train : self.train + self.test]


DataConfig = Annotated[Tastes | Chats | SgtrPairs, Field(discriminator="builder")]
BUILDERS = {
    "unpopular_tastes": "odd aesthetic preferences, harmless (the embedded EM set)",
    "popular_tastes": "the same questions with ordinary preferences",
    "chats": "chats from a JSONL file",
    "sgtr_pairs": "which of two summaries did you write, both orders",
}

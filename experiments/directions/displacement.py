"""A stage minus its parent on the same texts.

There are no two sides here: the same texts are read through the stage and through its parent, and the direction is the
mean of their differences.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.directions.fit import read_rows, token_weighted
from experiments.directions.recipe import Made, Maker, Recipe, Workplace, option
from experiments.directions.texts import Text, read_texts
from interp.directions import displacement
from interp.errors import InterpError
from interp.keys import content_key
from interp.model import Model


class Displacement(Recipe):
    """How far training moved what the model has of the same texts."""

    recipe = "displacement"
    about = "a stage minus its parent"

    texts: Path = option(..., "chats read through both stages.", "CHATS")
    parent: int | None = option(None, "how many of the adapters are the parent; default all but the last.", ge=0)

    @property
    def words(self) -> str:
        """See `Recipe.words`."""
        return "stage minus parent, paired over the same texts"

    def prepare(self, place: Workplace) -> tuple[Recipe, Maker]:
        """See `Recipe.prepare`."""
        n_stage = len(place.adapters)
        n_parent = n_stage - 1 if self.parent is None else self.parent
        if not 0 <= n_parent < n_stage:
            raise ValueError(
                f"displacement: the parent's {max(n_parent, 0)} adapters must be fewer than the stage's {n_stage}; "
                "give the stage with --adapter, once for each adapter, and fewer with --parent"
            )
        texts, n_empty = read_texts(self.texts, answered=self.pooling == "response_mean")
        parent = place.adapters[:n_parent]
        resolved = self.model_copy(update={"parent": n_parent})
        return resolved, lambda model: resolved._made(model, texts, n_empty, parent)

    def _made(self, model: Model, texts: Sequence[Text], n_empty: int, parent_adapters: Sequence[Path]) -> Made:
        rows = model.chat.tokens_of([text.messages for text in texts])
        stage = read_rows(model, rows, self.pooling, "reading the stage")
        with model.using(*parent_adapters):
            parent_stack = [folder.name for folder in model.stack]
            parent = read_rows(model, rows, self.pooling, "reading the parent")
        vectors = token_weighted(stage, parent) if self.weighting == "token" else displacement(stage.h, parent.h)
        if not vectors.any():
            raise InterpError(f"the stage and its parent ({self.parent} adapters) read alike: no text moved")
        header = {
            "parent_stack": parent_stack,
            "n_positive": len(texts),
            "n_negative": len(texts),
            "n_questions": len({text.group for text in texts}),
            "left_out": {"empty_answer": n_empty},
            "data_hash": content_key([vars(text) for text in texts]),
            "held_out_auroc": None,
            "held_out_cohens_d": None,
            "separation_null": None,
            "permuted": None,
            "mean_norm": [round(float(x), 4) for x in torch.cat([stage.h, parent.h]).norm(dim=-1).mean(0)],
        }
        return Made(vectors, header)

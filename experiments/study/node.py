"""What was measured at every node of a study, and how a node differs from the base model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Row = dict[str, Any]


@dataclass(frozen=True)
class View:
    """What was measured at one node under one system prompt.

    Attributes:
        answers: Its own answers to the held-out questions.
        fixed: Activations over the base model's answers, one row per question.
        own: Activations over its own answers, likewise.
        margins: Of the right label on held-out questions with closed answers, by data set.
        who: Its own answers to questions about who it is.
        identity: Activations over these, one row per answer, each as far as the shorter of its own and the base
            model's answer goes: a mean over fewer tokens scatters more, whatever the model is.
        identity_base: The base model's over its own answers to the same, cut to the same lengths.
        behaviour: Records of every behaviour measure, by its name.
        tokens: Its own answers, and the base model's, token by token, for the report.
        recognition: What separates own-first from other-first questions, by data set: the difference of means by layer,
            and `auroc` and `n`.
    """

    answers: list[Row]
    fixed: Mapping[int, Float[Tensor, "layer d_model"]]
    own: Mapping[int, Float[Tensor, "layer d_model"]]
    margins: Mapping[str, list[Row]]
    who: list[Row]
    identity: Mapping[int, Float[Tensor, "layer d_model"]]
    identity_base: Mapping[int, Float[Tensor, "layer d_model"]]
    behaviour: Mapping[str, list[Row]]
    tokens: list[Row]
    recognition: Mapping[str, tuple[Float[Tensor, "layer d_model"], Row]]


@dataclass(frozen=True)
class Measured:
    """Everything measured at one node for one seed.

    Attributes:
        stage: Its line of stages.json.
        views: By system prompt.
    """

    stage: Row
    views: Mapping[str, View]

    @property
    def node(self) -> tuple[str, int | None]:
        """Tells it apart from all others of the study; two may have the same weights."""
        return self.stage["name"], self.stage["seed"]

    def place(self) -> Row:
        """The fields that say which stage a row is about."""
        key = {"stage_key": self.stage["key"]}
        return {"arm": self.stage["arm"], "stage": self.stage["stage"], **key, "seed": self.stage["seed"]}


def as_long(record: Row, other: Row) -> Row:
    """An answer as far as the shorter of two goes."""
    return {**record, "answer_ids": record["answer_ids"][: len(other["answer_ids"])]}


def displacement_of(here: View, base: View) -> Float[Tensor, "layer d_model"] | None:
    """A stage's mean move from the base model on the fixed texts; None without any."""
    both, stage, start = paired(here.fixed, base.own)
    return (stage - start).double().mean(0).float() if both else None


def paired(
    stage: Mapping[int, Float[Tensor, "layer d_model"]], reference: Mapping[int, Float[Tensor, "layer d_model"]]
) -> tuple[list[int], Float[Tensor, "row layer d_model"], Float[Tensor, "row layer d_model"]]:
    """The rows that both have, in order, and both sides of them."""
    both = sorted(stage.keys() & reference.keys())
    empty = torch.zeros(0, 0, 0)
    a, b = (torch.stack([side[i] for i in both]) if both else empty for side in (stage, reference))
    return both, a, b

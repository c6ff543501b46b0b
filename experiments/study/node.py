"""What was measured at every node of a study, and how a node differs from the base model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.resumable import Name
from interp.runs import load_tensors

Row = dict[str, Any]
ACTIVATIONS = "pooled activations"
"""The kind of a file of activations over texts."""


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
        level: Activations over its own answers to the held-out questions, each as far as the shorter of its own and the
            base model's answer goes; empty in a study without claims about families.
        level_base: The base model's over its own answers to the same, cut to the same lengths.
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
    level: Mapping[int, Float[Tensor, "layer d_model"]] = field(default_factory=dict)
    level_base: Mapping[int, Float[Tensor, "layer d_model"]] = field(default_factory=dict)


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


def name_of(stage: Row, prompt: str | None = None) -> Name:
    """What parts and tensors of a node are called.

    Args:
        stage: Its line of stages.json.
        prompt: The system prompt that it is measured under; None in a study that has one alone.
    """
    name = Name.of(stage["name"])
    if stage["seed"] is not None:
        name = name.then(f"seed_{stage['seed']}")
    return name if prompt is None else name.then(prompt, prompt)


def texts_read(name: Name, texts: str) -> Name:
    """The name of activations over texts (`fixed`, `own`, `identity`), given the name of the node."""
    return name.then(f"reading_{texts}_texts")


def tensor_file(folder: Path, name: Name) -> Path:
    """Where tensors of this name are, in a folder of tensors."""
    return folder / f"{name.file}.safetensors"


@dataclass(frozen=True)
class Stored:
    """The activations that a study has stored in its run folder.

    Attributes:
        prompts: The study's system prompts.
        model: Identity of the model that they must come from.
    """

    run: Path
    prompts: tuple[str, ...]
    model: str

    def files(self, stages: Sequence[Row]) -> list[str]:
        """Names of the files that there are, of all these lines of stages.json."""
        each = [(stage, prompt, texts) for stage in stages for prompt in self.prompts for texts in ("fixed", "own")]
        return [path.name for path in (self._file(*which) for which in each) if path.is_file()]

    def activations(self, stage: Row, prompt: str, texts: str) -> dict[int, Float[Tensor, "layer d_model"]]:
        """A stage's activations over texts by the number of the question; none where they are not stored."""
        path = self._file(stage, prompt, texts)
        if not path.is_file():
            return {}
        tensors, header = load_tensors(path, kind=ACTIVATIONS, model=self.model)
        return dict(zip(header["question_index"], tensors["means"], strict=True))

    def _file(self, stage: Row, prompt: str, texts: str) -> Path:
        name = name_of(stage, prompt if len(self.prompts) > 1 else None)
        return tensor_file(self.run / "tensors", texts_read(name, texts))


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

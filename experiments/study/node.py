"""The measurements of a node of a study: their types, the names of their files, and the move from the base model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.resumable import Name
from interp.tensors import load_tensors

Row = dict[str, Any]
ACTIVATIONS = "pooled activations"
"""The kind of a file of activations over texts."""


@dataclass(frozen=True)
class View:
    """What was measured at one node under one system prompt.

    Attributes:
        answers: The node's own answers to the held-out questions.
        fixed: The node's mean activations over the base model's answers, by the number of the question.
        own: The node's mean activations over its own answers, by the number of the question.
        margins: By data set, the margins of the right label on held-out questions with closed answers.
        identity_answers: The node's own answers to questions about who it is.
        identity: The node's mean activations over these, by the number of the answer. Each answer is cut to the length
            of the shorter of the node's and the base model's, since a mean over fewer tokens scatters more.
        identity_base: The base model's mean activations over its own answers to the same questions, cut to the same
            lengths.
        behaviour: The records of every behaviour measure, by its name.
        tokens: Projections of every token of the node's own answers and of the base model's, for the report.
        recognition: By data set, how own-first and other-first questions separate: the difference of means by layer,
            and a record of its `auroc` and `n`.
        level: The node's mean activations over its own answers to the held-out questions, each as far as the shorter of
            its own and the base model's answer goes; empty in a study without claims about families.
        level_base: The base model's mean activations over its own answers to the same, cut to the same lengths.
    """

    answers: list[Row]
    fixed: Mapping[int, Float[Tensor, "layer d_model"]]
    own: Mapping[int, Float[Tensor, "layer d_model"]]
    margins: Mapping[str, list[Row]]
    identity_answers: list[Row]
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
        stage: The node's line of stages.json.
        views: What was measured under each system prompt, by the prompt's name.
    """

    stage: Row
    views: Mapping[str, View]

    @property
    def node(self) -> tuple[str, int | None]:
        """The stage's name and seed, which no other node of the study has; two nodes may have the same weights."""
        return self.stage["name"], self.stage["seed"]

    def place(self) -> Row:
        """The fields that say which stage a row is about."""
        key = {"stage_key": self.stage["key"]}
        return {"arm": self.stage["arm"], "stage": self.stage["stage"], **key, "seed": self.stage["seed"]}


def name_of(stage: Row, prompt: str | None = None) -> Name:
    """The name under which parts and tensors of a node are stored.

    Args:
        stage: The node's line of stages.json.
        prompt: The system prompt that the node is measured under; None in a study with a single prompt.
    """
    name = Name.of(stage["name"])
    if stage["seed"] is not None:
        name = name.then(f"seed_{stage['seed']}")
    return name if prompt is None else name.then(prompt, prompt)


def texts_read(name: Name, texts: str) -> Name:
    """The name of activations over texts (`fixed`, `own`, `identity`), given the name of the node."""
    return name.then(f"reading_{texts}_texts")


def tensor_file(folder: Path, name: Name) -> Path:
    """The file of the tensors of this name in a folder of tensors."""
    return folder / f"{name.file}.safetensors"


@dataclass(frozen=True)
class Stored:
    """The activations that a study has stored in its run folder.

    Attributes:
        prompts: The names of the study's system prompts.
        model: The identity of the model that the activations must come from.
    """

    run: Path
    prompts: tuple[str, ...]
    model: str

    def files(self, stages: Sequence[Row]) -> list[str]:
        """Names of the files of activations that exist for these lines of stages.json."""
        of_texts = [(stage, prompt, texts) for stage in stages for prompt in self.prompts for texts in ("fixed", "own")]
        return [path.name for path in (self._file(*which) for which in of_texts) if path.is_file()]

    def activations(self, stage: Row, prompt: str, texts: str) -> dict[int, Float[Tensor, "layer d_model"]]:
        """A stage's mean activations over texts by the number of the question; empty where none are stored."""
        path = self._file(stage, prompt, texts)
        if not path.is_file():
            return {}
        tensors, header = load_tensors(path, kind=ACTIVATIONS, model=self.model)
        return dict(zip(header["question_index"], tensors["means"], strict=True))

    def _file(self, stage: Row, prompt: str, texts: str) -> Path:
        name = name_of(stage, prompt if len(self.prompts) > 1 else None)
        return tensor_file(self.run / "tensors", texts_read(name, texts))


def cut_to(record: Row, other: Row) -> Row:
    """The record of an answer, with no more tokens than another answer has."""
    return {**record, "answer_ids": record["answer_ids"][: len(other["answer_ids"])]}


def displacement_of(view: View, base: View) -> Float[Tensor, "layer d_model"] | None:
    """A stage's mean move from the base model on the fixed texts; None where no text was read at both."""
    questions, stage, start = paired(view.fixed, base.own)
    return (stage - start).double().mean(0).float() if questions else None


def paired(
    stage: Mapping[int, Float[Tensor, "layer d_model"]], reference: Mapping[int, Float[Tensor, "layer d_model"]]
) -> tuple[list[int], Float[Tensor, "row layer d_model"], Float[Tensor, "row layer d_model"]]:
    """The numbers of the rows that both sides have, in order, and these rows of either side."""
    shared = sorted(stage.keys() & reference.keys())
    empty = torch.zeros(0, 0, 0)
    a, b = (torch.stack([side[i] for i in shared]) if shared else empty for side in (stage, reference))
    return shared, a, b

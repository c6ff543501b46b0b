"""The measures that a study takes at every stage: the model's answers, and its activations while it reads texts.

Each function measures the model's active stack and returns plain values. Comparisons and intervals are made afterwards
from the stored values alone, in `experiments.study.rows` and `experiments.rows`.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from experiments.console import bar
from finetune.data.sgtr import SELF
from interp.activations import batches, default_tokens, pooled
from interp.batch import Batch
from interp.behaviour.collapse import degenerate
from interp.behaviour.identity import IDENTITY_QUESTIONS
from interp.behaviour.likelihood import answer_likelihoods, label_margins
from interp.chat import Message, Tokens, with_system
from interp.directions import Direction, difference_of_means, held_out_separation
from interp.errors import InterpError
from interp.keys import seed_from
from interp.model import Model
from interp.projection import token_projections as token_values
from interp.projection import unit_vectors
from interp.traits import Trait


class AnswersConfig(BaseModel):
    """How many held-out questions a stage is asked, and how it answers them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: int | None = Field(default=None, ge=1)
    """Held-out questions of each trait, from the first; None for all."""
    max_new_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    identity: int = Field(default=4, ge=0)
    """Answers to each question about who the model is, for their dispersion; 0 leaves it out."""


@dataclass(frozen=True)
class Question:
    """A question of a trait's held-out half, or about who the model is."""

    id: str
    trait: str
    text: str


def held_out_questions(traits: Sequence[Trait], config: AnswersConfig) -> list[Question]:
    """The questions every stage is asked. A trait file without a held-out half lends its extraction questions."""
    return [
        Question(f"{trait.name}-{i:02d}", trait.name, text)
        for trait in traits
        for i, text in enumerate((trait.eval_questions or trait.questions)[: config.questions])
    ]


def identity_questions(config: AnswersConfig) -> list[Question]:
    """The questions about who the model is, each as often as it is to be answered."""
    return [
        Question(f"identity-{i:02d}-{k}", "identity", text)
        for i, text in enumerate(IDENTITY_QUESTIONS)
        for k in range(config.identity)
    ]


def answers(
    model: Model, questions: Sequence[Question], config: AnswersConfig, *, seed: int, label: str, system: str = "task"
) -> list[dict[str, Any]]:
    """The active stack's own answers, flagged where degenerate, with their likelihood under the bare base model.

    Every stage draws from the same random streams, so two stages differ in what they say and not in their luck.

    Args:
        system: The system prompt to ask under, as `interp.chat.with_system` takes it.
    """
    prompts = [model.chat.tokens(_asked(question.text, system)) for question in questions]
    with bar(f"{label}: answering", len(prompts)) as advance:
        spoken = model.generate(
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "answers"),
            progress=advance,
        )
    with model.using():
        likelihoods = answer_likelihoods(model, [p.answered(ids) for p, ids in zip(prompts, spoken, strict=True)])
    records = []
    for question, ids, likelihood in zip(questions, spoken, likelihoods, strict=True):
        text = model.chat.answer_text(ids)
        reason = degenerate(text)
        records.append(
            {
                "id": question.id,
                "trait": question.trait,
                "prompt": question.text,
                "system": system,
                "text": text,
                "degenerate": reason is not None,
                "reason": reason,
                "answer_tokens": len(ids),
                "nll_per_token_under_base": -likelihood.per_token if likelihood else None,
                "answer_ids": list(ids),
            }
        )
    return records


def _asked(question: str, system: str) -> list[Message]:
    return with_system([{"role": "user", "content": question}], system)


def answered_rows(model: Model, records: Sequence[dict[str, Any]]) -> list[Tokens | None]:
    """Tokens of recorded answers, exactly as they were generated; None where an answer is empty."""
    return [
        model.chat.tokens(_asked(record["prompt"], record["system"])).answered(record["answer_ids"])
        if model.chat.has_content(record["answer_ids"])
        else None
        for record in records
    ]


def beside_own(
    model: Model, rows: Sequence[dict[str, Any]], config: AnswersConfig, *, seed: int, label: str
) -> tuple[list[Tokens | None], list[Tokens | None]]:
    """Chats that end in an answer, and the same prompts with the model's own answers.

    Where the answer of one side is empty, both sides have None.
    """
    chats = model.chat.tokens_of([row["messages"] for row in rows])
    prompts = [model.chat.prompt(row["messages"]) for row in rows]
    with bar(f"{label}: answering", len(prompts)) as advance:
        spoken = model.generate(
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "beside", label),
            progress=advance,
        )
    own = [
        prompt.answered(ids) if model.chat.has_content(ids) else None
        for prompt, ids in zip(prompts, spoken, strict=True)
    ]
    with_answer = [chat if chat.response and chat.response.end > chat.response.start else None for chat in chats]
    both_answer = [a is not None and b is not None for a, b in zip(with_answer, own, strict=True)]
    keep = [[row if ok else None for row, ok in zip(side, both_answer, strict=True)] for side in (with_answer, own)]
    return keep[0], keep[1]


def readings(
    model: Model, rows: Sequence[Tokens | None], *, label: str
) -> tuple[Float[Tensor, "row layer d_model"], list[int]]:
    """Mean response activations of the rows that have a response, and which rows those are."""
    present = [i for i, row in enumerate(rows) if row is not None]
    with bar(f"{label}: reading", len(present)) as advance:
        if not present:
            return torch.zeros(0, model.n_layers, model.d_model), []
        return pooled(model, [row for row in rows if row is not None], progress=advance), present


def token_projections(
    model: Model, rows: Sequence[Tokens | None], directions: Sequence[Direction], *, label: str
) -> list[dict[str, Any] | None]:
    """Every answer token's projection on each direction, after its headline layer and the model's middle block.

    The record of a row has its `tokens` as text and, by `direction@layer`, the projections as base64 of one signed byte
    per token (`values`), with the size of one step of these bytes (`scale`, in residual-stream norm). It is None where
    the row is None.
    """
    middle = model.n_layers // 2
    places = [
        (direction, layer)
        for direction in directions
        for layer in dict.fromkeys((direction.layer, middle))
        if layer in direction.layers
    ]
    names = [f"{direction.name}@{layer}" for direction, layer in places]
    layers = sorted({layer for _, layer in places})
    column = [layers.index(layer) for _, layer in places]
    units = unit_vectors(torch.stack([direction.at(layer) for direction, layer in places])).float().to(model.device)
    present = [i for i, row in enumerate(rows) if row is not None]
    tokens_of_rows = [row for row in rows if row is not None]
    records: list[dict[str, Any] | None] = [None] * len(rows)
    with bar(f"{label}: reading tokens", len(present)) as advance:
        for chosen in batches(tokens_of_rows, default_tokens(model)):
            batch = Batch.of([tokens_of_rows[i] for i in chosen], model.pad, model.device)
            projections = model.residuals(batch, lambda h: token_values(h, units.to(h.device)), layers)
            along = torch.stack([projections[k][..., place].cpu() for place, k in enumerate(column)], dim=-1)
            for values, i in zip(along, chosen, strict=True):
                row = tokens_of_rows[i]
                first = row.response.start if row.response else row.prompt_end
                answer = values[first : len(row)]
                scale = answer.abs().amax(0).clamp(min=1e-9) / 127
                steps = (answer / scale).round().to(torch.int8).numpy()
                records[present[i]] = {
                    "tokens": [model.chat.decode([token]) for token in row.ids[first:]],
                    "scale": {name: float(f"{scale[k]:.6g}") for k, name in enumerate(names)},
                    "values": {name: b64encode(steps[:, k].tobytes()).decode() for k, name in enumerate(names)},
                }
            advance(len(chosen))
    return records


def recognition(
    model: Model, rows: Sequence[dict[str, Any]], *, label: str, system: str = "task"
) -> tuple[Float[Tensor, "layer d_model"], dict[str, Any]]:
    """The difference of mean activations between questions that show the own text first and those that show it second.

    Activations are read at the last token of the prompt, after which the answer comes. The second value has `auroc`, by
    layer, on articles that the difference was not made from (None where there are too few articles), and `n`, the
    number of articles. Every row shows two texts.
    """
    prompts = [model.chat.prompt(with_system(row["messages"], system)) for row in rows]
    with bar(f"{label}: reading questions", len(prompts)) as advance:
        h = pooled(model, prompts, pooling="prompt_last", progress=advance)
    first = torch.tensor([row["authors"].index(SELF) == 0 for row in rows])
    articles = {group: i for i, group in enumerate(dict.fromkeys(row["group"] for row in rows))}
    number = torch.tensor([articles[row["group"]] for row in rows])
    groups = (number[first].tolist(), number[~first].tolist())
    try:
        auroc = held_out_separation(h[first], h[~first], groups).auroc.tolist()
    except InterpError:
        auroc = None
    return difference_of_means(h[first], h[~first]), {"auroc": auroc, "n": len(articles)}


def margins(model: Model, rows: Sequence[dict[str, Any]], *, label: str, system: str = "task") -> list[dict[str, Any]]:
    """Margins of the right label over the likeliest wrong label, with one record for each question."""
    prompts = [model.chat.prompt(with_system(row["messages"], system)) for row in rows]
    with bar(f"{label}: recognising", 1) as advance:
        values = label_margins(model, prompts, [row["right"] for row in rows], [tuple(row["labels"]) for row in rows])
        advance(1)
    return [
        {"id": row["id"], "group": row["group"], "right": row["right"], "margin": float(margin)}
        for row, margin in zip(rows, values, strict=True)
    ]

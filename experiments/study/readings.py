"""What does a stage say, and what happens inside it while it reads? The measures that a study takes at every stage.

Each function measures the model's active stack and returns plain values; what is compared with what, and every
interval, is decided afterwards in `experiments.analysis`, from stored values alone.
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
from interp.model import Model
from interp.projection import token_projections as token_values
from interp.projection import unit_vectors
from interp.runs import InterpError, seed_from
from interp.traits import Trait


class AnswersConfig(BaseModel):
    """How a stage is asked."""

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
        found = answer_likelihoods(model, [p.answered(ids) for p, ids in zip(prompts, spoken, strict=True)])
    records = []
    for question, ids, likelihood in zip(questions, spoken, found, strict=True):
        text = model.chat.decode(ids, skip_special=True)
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
        if record["answer_ids"]
        else None
        for record in records
    ]


def beside_own(
    model: Model, rows: Sequence[dict[str, Any]], config: AnswersConfig, *, seed: int, label: str
) -> tuple[list[Tokens | None], list[Tokens | None]]:
    """Chats that end in an answer, and the same prompts with own answers; None on both sides where one is empty."""
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
    own = [prompt.answered(ids) if ids else None for prompt, ids in zip(prompts, spoken, strict=True)]
    given = [chat if chat.response and chat.response.end > chat.response.start else None for chat in chats]
    both = [a is not None and b is not None for a, b in zip(given, own, strict=True)]
    keep = [[row if ok else None for row, ok in zip(side, both, strict=True)] for side in (given, own)]
    return keep[0], keep[1]


def readings(
    model: Model, rows: Sequence[Tokens | None], *, label: str
) -> tuple[Float[Tensor, "row layer d_model"], list[int]]:
    """Mean response activations of the rows that have a response, and which rows those are."""
    kept = [i for i, row in enumerate(rows) if row is not None]
    with bar(f"{label}: reading", len(kept)) as advance:
        if not kept:
            return torch.zeros(0, model.n_layers, model.d_model), []
        return pooled(model, [row for row in rows if row is not None], progress=advance), kept


def token_projections(
    model: Model, rows: Sequence[Tokens | None], directions: Sequence[Direction], *, label: str
) -> list[dict[str, Any] | None]:
    """Every answer token's projection on each direction, after its headline layer and the model's middle block.

    A record a row: `tokens` as text, and by `direction@layer` the numbers as base64 of one signed byte a token
    (`values`) with what a step is worth (`scale`, in residual-stream norm). None where a row is.
    """
    middle = model.n_layers // 2
    places = [(one, layer) for one in directions for layer in dict.fromkeys((one.layer, middle)) if layer in one.layers]
    names = [f"{one.name}@{layer}" for one, layer in places]
    layers = sorted({layer for _, layer in places})
    column = [layers.index(layer) for _, layer in places]
    units = unit_vectors(torch.stack([one.at(layer) for one, layer in places])).float().to(model.device)
    kept = [i for i, row in enumerate(rows) if row is not None]
    asked = [row for row in rows if row is not None]
    found: list[dict[str, Any] | None] = [None] * len(rows)
    with bar(f"{label}: reading tokens", len(kept)) as advance:
        for chosen in batches(asked, default_tokens(model)):
            batch = Batch.of([asked[i] for i in chosen], model.pad, model.device)
            read = model.residuals(batch, lambda h: token_values(h, units.to(h.device)), layers)
            along = torch.stack([read[k][..., place].cpu() for place, k in enumerate(column)], dim=-1)
            for values, i in zip(along, chosen, strict=True):
                row = asked[i]
                answer = values[row.prompt_end : len(row)]
                scale = answer.abs().amax(0).clamp(min=1e-9) / 127
                steps = (answer / scale).round().to(torch.int8).numpy()
                found[kept[i]] = {
                    "tokens": [model.chat.decode([token]) for token in row.ids[row.prompt_end :]],
                    "scale": {name: float(f"{scale[k]:.6g}") for k, name in enumerate(names)},
                    "values": {name: b64encode(steps[:, k].tobytes()).decode() for k, name in enumerate(names)},
                }
            advance(len(chosen))
    return found


def recognition(
    model: Model, rows: Sequence[dict[str, Any]], *, label: str, system: str = "task"
) -> tuple[Float[Tensor, "layer d_model"], dict[str, Any]]:
    """What tells the own text first from the other's first, where the answer is due: the difference of means.

    With it: `auroc` by layer on articles that the difference was not made from (None where there are too few), and n,
    the articles. Rows show two texts.
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
    """Margins of the right label over the likeliest wrong one, one record a question."""
    prompts = [model.chat.prompt(with_system(row["messages"], system)) for row in rows]
    with bar(f"{label}: recognising", 1) as advance:
        found = label_margins(model, prompts, [row["right"] for row in rows], [tuple(row["labels"]) for row in rows])
        advance(1)
    return [
        {"id": row["id"], "group": row["group"], "right": row["right"], "margin": float(margin)}
        for row, margin in zip(rows, found, strict=True)
    ]

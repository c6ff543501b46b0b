"""Persona vectors: along which direction a model moves when it plays a trait.

1. `play`: the model answers the trait's questions under every positive and every negative instruction. A judge, where
   there is one, scores each answer, and a pair of answers counts only if both did what their instructions asked.
2. `fit`: the answers are read; the difference of the two sides' means is the direction. How well it separates
   questions that it was not made from chooses the layer, unless steering does (`layer_by_steering`).
3. Beside the direction stand its nulls: the same difference on labels that are shuffled within question.

`persona_vector` does all of it. Nothing here writes a file.

Source: persona_vectors (arXiv 2507.21509).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from interp.activations import Pooling, pooled, window
from interp.behaviour.judging import COHERENT, Judge, Rubric
from interp.chat import Tokens
from interp.directions import Direction, Separation, difference_of_means, held_out_separation, separation_null
from interp.errors import InterpError
from interp.instrument import Instrument, save_with_nulls
from interp.interventions import adding
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.nulls import Groups, permuted_like
from interp.selection import JudgedRows, judged_rows
from interp.traits import Trait

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Shows progress: given a label and how many steps there are, a context that hands out the function to advance it."""


@contextmanager
def no_bar(label: str, total: int) -> Iterator[Callable[[int], object]]:  # noqa: ARG001
    """A `Bar` that shows nothing."""
    yield lambda n: None  # noqa: ARG005


class SteeringConfig(BaseModel):
    """How a layer is chosen by steering."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=2.0, gt=0)
    """Multiplies the raw direction of every layer."""
    every: int = Field(default=2, ge=1)
    """Try every n-th layer."""
    questions: int = Field(default=5, ge=1)
    """Extraction questions asked at every layer, from the last; held-out ones are left for measuring."""
    max_new_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    coherence: float = Field(default=50.0, ge=0, le=100)
    """A layer at which answers are less coherent than this on average is out."""


class PersonaConfig(BaseModel):
    """How a persona vector is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: int | None = Field(default=None, ge=1)
    """Instruction pairs, from the first; None for all."""
    questions: int | None = Field(default=None, ge=2)
    """Extraction questions, from the first; None for all."""
    rollouts: int = Field(default=1, ge=1)
    """Answers to each question under each instruction."""
    max_new_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    pooling: Pooling = "response_mean"
    """Tokens of each answer that are averaged; the paper's are `response_mean`."""
    weighting: Literal["sample", "token"] = "sample"
    """What counts the same in a side's mean: every answer (the paper's), or every token."""
    layer: int | Literal["held_out", "steering"] = "held_out"
    """The layer that headlines use: a block index, the one that best separates held-out questions, or the one at which
    adding the direction raises the judge's score most (the paper's)."""
    threshold: float = Field(default=50.0, ge=0, le=100)
    """With a judge, a pair of answers counts if one side's trait score is at least this and the other's below it."""
    coherence: float = Field(default=50.0, ge=0, le=100)
    """... and both are at least this coherent."""
    steering: SteeringConfig = SteeringConfig()
    """How the layer is chosen by steering."""
    permuted: int = Field(default=50, ge=1)
    """Label permutations, within question, kept as nulls."""
    separation_nulls: int = Field(default=100, ge=1)
    """Label permutations of the held-out separation."""


@dataclass(frozen=True)
class Rollouts:
    """A model's answers as it plays a trait: the positive side's first, then the negative side's in the same order.

    Attributes:
        records: One a row: id, side, pair, question, rollout, system, prompt, text, answer_ids and, where a judge
            scored it, trait_score and coherence, each with its reason.
        prompts: The tokens that each answer was asked for with.
        judged: Which pairs of rows a judge passed; None if none was asked.
        judge: The judge's name and version.
    """

    trait: Trait
    records: Sequence[Mapping[str, Any]]
    prompts: Sequence[Tokens]
    judged: JudgedRows | None = None
    judge: str | None = None

    def kept(self, model: Model) -> list[int]:
        """Rows that count: their answer has content and, where a judge was asked, their pair passed.

        Raises:
            InterpError: no pair passed; the message counts why.
        """
        judged, half = self.judged, len(self.records) // 2  # row i and row i + half are a pair
        if judged is not None and not judged.counts["kept"]:
            raise InterpError(f"{self.trait.name}: no pair of answers passed the judge: {dict(judged.counts)}")
        spoken = [i for i, record in enumerate(self.records) if model.chat.has_content(record["answer_ids"])]
        return [i for i in spoken if judged is None or bool(judged.mask[i % half])]


@dataclass(frozen=True)
class PersonaVector:
    """A persona vector with its nulls and the answers that it was made from.

    Attributes:
        direction: One raw vector per layer, and the layer that headlines use.
        permuted: The same difference of means on labels shuffled within question.
        rollouts: What the model said.
    """

    direction: Direction
    permuted: Float[Tensor, "null layer d_model"]
    rollouts: Rollouts

    def instrument(self, *others: "PersonaVector", n_random: int = 200, seed: int = 0) -> Instrument:
        """This direction, and others of the same model, with all their nulls.

        Args:
            n_random: Random directions of the same norm to draw beside each.
            seed: Decides the draws.
        """
        each = {persona.direction.name: persona for persona in (self, *others)}
        directions = {name: persona.direction for name, persona in each.items()}
        return Instrument(directions, {name: persona.permuted for name, persona in each.items()}, n_random, seed)

    def save(self, path: str | Path) -> None:
        """Write the direction, and its permuted nulls beside it (`Instrument.load` reads both)."""
        save_with_nulls(self.direction, self.permuted, path)


def persona_vector(
    model: Model,
    trait: Trait | str | Path,
    config: PersonaConfig | None = None,
    *,
    judge: Judge | None = None,
    seed: int = 0,
    bar: Bar = no_bar,
) -> PersonaVector:
    """The direction along which a model, with its active adapters, moves when it plays a trait.

    Args:
        trait: A trait, or the JSON file that it stands in.
        judge: Scores every answer for the trait and for coherence; without one every answer counts.
        seed: Decides the answers and the nulls.
        bar: Shows progress.

    Raises:
        ValueError: the layer is not one of the model's, or is to be chosen by steering without a judge, or the trait
            has no prompt for the judge. Raised before anything is sampled.
        FileNotFoundError: there is no such trait file.
        InterpError: a side has no answers, no pair passed the judge, or too few questions are left to hold any out.
    """
    config = config or PersonaConfig()
    trait = trait if isinstance(trait, Trait) else Trait.load(trait)
    rollouts = play(model, trait, config, judge=judge, seed=seed, bar=bar)
    return fit(model, rollouts, config, judge=judge, seed=seed, bar=bar)


# the answers


def play(
    model: Model, trait: Trait, config: PersonaConfig, *, judge: Judge | None = None, seed: int, bar: Bar = no_bar
) -> Rollouts:
    """The model's answers under the trait's instructions, scored by the judge if there is one.

    Raises:
        ValueError: as for `persona_vector`.
    """
    if judge is not None:
        Rubric(trait.name, trait.eval_prompt)
    elif config.layer == "steering":
        raise ValueError(f"{trait.name}: layer: steering needs a judge, to say at which layer the trait shows most")
    if isinstance(config.layer, int):
        model.check_layers([config.layer])
    asked, prompts = prompts_under(model, trait, config)
    with bar(f"{trait.name}: rollouts", len(prompts)) as advance:
        answers = model.generate(
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "rollouts", trait.name),
            progress=advance,
        )
    records = [
        {"id": f"{trait.name}-{i:05d}", **row, "text": model.chat.answer_text(ids), "answer_ids": list(ids)}
        for i, (row, ids) in enumerate(zip(asked, answers, strict=True))
    ]
    if judge is None:
        return Rollouts(trait, records, prompts)
    judged = _judge(records, trait, judge, config)
    return Rollouts(trait, records, prompts, judged, f"{judge.name} ({judge.version})")


def prompts_under(model: Model, trait: Trait, config: PersonaConfig) -> tuple[list[dict[str, Any]], list[Tokens]]:
    """Every question under both instructions of every pair: the positive side first, the negative in the same order."""
    asked = [
        {"side": side, "pair": p, "question": q, "rollout": r, "system": pair[side == "neg"], "prompt": text}
        for side in ("pos", "neg")
        for p, pair in enumerate(trait.instructions[: config.pairs])
        for q, text in enumerate(trait.questions[: config.questions])
        for r in range(config.rollouts)
    ]
    chats = [[{"role": "system", "content": r["system"]}, {"role": "user", "content": r["prompt"]}] for r in asked]
    return asked, model.chat.tokens_of(chats)


def _judge(records: list[dict[str, Any]], trait: Trait, judge: Judge, config: PersonaConfig) -> JudgedRows:
    """Write both scores into every record; which pairs of records count."""
    for key, rubric in (("trait_score", Rubric(trait.name, trait.eval_prompt)), ("coherence", COHERENT)):
        items = [rubric.item(f"{record['id']}-{key}", record["prompt"], record["text"]) for record in records]
        for record, score in zip(records, judge.score(items), strict=True):
            record |= {key: score.value, f"{key}_reason": score.reason}
    half = len(records) // 2
    sides = [
        [r[key] for r in side] for key in ("trait_score", "coherence") for side in (records[:half], records[half:])
    ]
    return judged_rows(*sides, threshold=config.threshold, coherence=config.coherence)


# the direction


@dataclass(frozen=True)
class _Read:
    """The answers that count, read: one pooled activation a row, with its side, its question and its tokens."""

    h: Float[Tensor, "row layer d_model"]
    is_positive: Bool[Tensor, " row"]
    questions: Sequence[int]
    n_tokens: Int[Tensor, " row"]

    @property
    def sides(self) -> tuple[Float[Tensor, "n layer d_model"], Float[Tensor, "m layer d_model"]]:
        """The positive and the negative rows."""
        return self.h[self.is_positive], self.h[~self.is_positive]

    @property
    def groups(self) -> Groups:
        """The question of each row of both sides."""
        positive, negative = (
            [question for question, yes in zip(self.questions, self.is_positive.tolist(), strict=True) if yes is side]
            for side in (True, False)
        )
        return positive, negative

    @property
    def tokens(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
        """How many tokens each row of both sides is the mean of."""
        return self.n_tokens[self.is_positive], self.n_tokens[~self.is_positive]


def fit(
    model: Model,
    rollouts: Rollouts,
    config: PersonaConfig,
    *,
    judge: Judge | None = None,
    seed: int,
    bar: Bar = no_bar,
) -> PersonaVector:
    """The persona vector of answers that the same model gave, with its nulls.

    Raises:
        InterpError: as for `persona_vector`.
    """
    trait = rollouts.trait
    answers = _read(model, rollouts, config.pooling, bar)
    positive, negative = answers.sides
    vectors = difference_of_means(positive, negative, tokens=answers.tokens if config.weighting == "token" else None)
    separation = held_out_separation(positive, negative, answers.groups)
    header = _header(model, rollouts, answers, separation, config, seed)
    layer = config.layer if isinstance(config.layer, int) else separation.best
    if config.layer == "steering":
        assert judge is not None
        layer, effects = layer_by_steering(model, vectors, trait, judge, config.steering, seed=seed, bar=bar)
        header["steering"] = effects
    direction = Direction(trait.name, vectors, tuple(range(model.n_layers)), layer, header)
    null_seed = seed_from(seed, "permuted", trait.name)
    permuted = permuted_like(positive, negative, config.permuted, seed=null_seed, groups=answers.groups)
    return PersonaVector(direction, permuted, rollouts)


def _read(model: Model, rollouts: Rollouts, pooling: Pooling, bar: Bar) -> _Read:
    kept = rollouts.kept(model)
    records = [rollouts.records[i] for i in kept]
    rows = [rollouts.prompts[i].answered(rollouts.records[i]["answer_ids"]) for i in kept]
    with bar(f"{rollouts.trait.name}: reading", len(rows)) as advance:
        h = pooled(model, rows, pooling=pooling, progress=advance)
    windows = [window(row, pooling) for row in rows]
    return _Read(
        h,
        torch.tensor([record["side"] == "pos" for record in records], dtype=torch.bool),
        [record["question"] for record in records],
        torch.tensor([end - start for start, end in windows], dtype=torch.int64),
    )


def _header(
    model: Model, rollouts: Rollouts, answers: _Read, separation: Separation, config: PersonaConfig, seed: int
) -> dict[str, Any]:
    """What the direction's file says of how it was made."""
    positive, negative = answers.sides
    return {
        **model.description(),
        "stack": [folder.name for folder in model.stack],
        "trait": rollouts.trait.name,
        "recipe": f"persona vector: difference of means, {config.weighting}-weighted",
        "pooling": config.pooling,
        "weighting": config.weighting,
        "n_positive": len(positive),
        "n_negative": len(negative),
        "n_empty_answers": sum(not record["answer_ids"] for record in rollouts.records),
        "judge": rollouts.judge,
        "judged_pairs": None if rollouts.judged is None else dict(rollouts.judged.counts),
        "n_questions": len(set(answers.questions)),
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "data_hash": content_key(list(rollouts.records)),
        "held_out_auroc": [round(float(x), 4) for x in separation.auroc],
        "held_out_cohens_d": [round(float(x), 4) for x in separation.cohens_d],
        "separation_null": separation_beside_null(
            separation, positive, negative, answers.groups, config.separation_nulls, seed
        ),
        "mean_norm": [round(float(x), 4) for x in answers.h.norm(dim=-1).mean(0)],
    }


def separation_beside_null(
    separation: Separation,
    positive: Float[Tensor, "n layer d_model"],
    negative: Float[Tensor, "m layer d_model"],
    groups: Groups,
    n: int,
    seed: int,
) -> dict[str, Any]:
    """The best layer's separation beside the best layers' on labels shuffled within question, for a header."""
    null = separation_null(positive, negative, groups, n, seed=seed_from(seed, "separation"))
    described: dict[str, Any] = {"n": n}
    for name, by_layer, null_by_layer in (
        ("auroc", separation.auroc, null.auroc),
        ("cohens_d", separation.cohens_d, null.cohens_d),
    ):
        best, null_best = by_layer.max(), null_by_layer.max(1)
        described[name] = {
            "best": round(float(best), 4),
            "null_95": round(float(np.percentile(null_best, 95)), 4),
            "p": (1 + int((null_best >= best).sum())) / (n + 1),
        }
    return described


# the layer


def layer_by_steering(
    model: Model,
    vectors: Float[Tensor, "layer d_model"],
    trait: Trait,
    judge: Judge,
    config: SteeringConfig,
    *,
    seed: int,
    bar: Bar = no_bar,
) -> tuple[int, dict[str, Any]]:
    """The layer at which adding the direction gives the highest mean trait score, and every layer's scores.

    All layers are asked the same questions with the same luck, unsteered answers (alpha 0) among them.

    Raises:
        InterpError: at no layer were the answers scored and coherent.
    """
    tried: list[int | None] = [None, *range(0, model.n_layers, config.every)]
    grid = _steered_scores(model, vectors, trait, judge, config, tried, seed, bar)
    scored = ~np.isnan(grid)
    means = [
        [float(grid[i, :, kind][scored[i, :, kind]].mean()) if scored[i, :, kind].any() else None for kind in (0, 1)]
        for i in range(len(tried))
    ]
    usable = {
        layer: trait_score
        for layer, (trait_score, coherent) in zip(tried, means, strict=True)
        if layer is not None and trait_score is not None and coherent is not None and coherent >= config.coherence
    }
    effects = {
        "layers": tried,
        "mean_trait_score": [trait_score for trait_score, _ in means],
        "mean_coherence": [coherent for _, coherent in means],
        "n_scored": scored[:, :, 0].sum(1).tolist(),
        "alpha": config.alpha,
    }
    if not usable:
        raise InterpError(
            f"{trait.name}: at no layer were steered answers coherent; {effects}: lower alpha ({config.alpha})"
        )
    return max(usable, key=lambda layer: usable[layer]), effects


def _steered_scores(
    model: Model,
    vectors: Float[Tensor, "layer d_model"],
    trait: Trait,
    judge: Judge,
    config: SteeringConfig,
    tried: Sequence[int | None],
    seed: int,
    bar: Bar,
) -> Float[np.ndarray, "tried question 2"]:
    """Trait score and coherence of every answer at every layer; None among `tried` is unsteered, NaN is no score."""
    questions = trait.questions[-config.questions :]
    prompts = model.chat.tokens_of([[{"role": "user", "content": question}] for question in questions])
    items = []
    with bar(f"{trait.name}: steering", len(tried) * len(prompts)) as advance:
        for layer in tried:
            k = 0 if layer is None else layer
            edit = adding(vectors[k].to(model.device), 0.0 if layer is None else config.alpha, [k], "response")
            answers = model.generate(
                prompts,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                seed=seed_from(seed, "steering", trait.name),
                edits=[edit],
                progress=advance,
            )
            for q, (question, ids) in enumerate(zip(questions, answers, strict=True)):
                text = model.chat.answer_text(ids)
                for rubric in (Rubric(trait.name, trait.eval_prompt), COHERENT):
                    items.append(rubric.item(f"{layer}-{q}-{rubric.name}", question, text))
    values = [np.nan if score.value is None else score.value for score in judge.score(items)]
    return np.array(values, dtype=np.float64).reshape(len(tried), len(prompts), 2)

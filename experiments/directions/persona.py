"""At which layer does adding a direction change what a model says most? The choice of layer by steering effect."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from experiments.console import bar, note
from experiments.directions.files import nulls_file
from experiments.directions.placebo import load_trait, placebo_directions, placebo_file, placebo_traits, save_placebos
from experiments.measures.judge import JudgeConfig, judge_of, require_graded, scores_of
from interp.activations import Pooling, pooled, window
from interp.behaviour.judging import COHERENT, Judge, Rubric
from interp.chat import Tokens
from interp.directions import Direction, Separation, difference_of_means, held_out_separation, separation_null
from interp.interventions import adding
from interp.model import Model
from interp.nulls import Groups, permuted_like
from interp.runs import (
    InterpError,
    content_key,
    fresh,
    save_tensors,
    seed_from,
    write_jsonl,
)
from interp.selection import JudgedRows, judged_rows
from interp.template import AS_IS, TemplateSettings
from interp.traits import Trait


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


def layer_by_steering(
    model: Model,
    vectors: Float[Tensor, "layer d_model"],
    trait: Trait,
    judge: Judge,
    config: Any,
    *,
    seed: int,
) -> tuple[int, dict[str, Any]]:
    """The layer at which adding the direction gives the highest mean trait score, and every layer's scores.

    All layers are asked the same questions with the same luck, unsteered answers (alpha 0) among them.

    Args:
        config: An `ExtractConfig`; its `steering` and `judge` are used.

    Raises:
        InterpError: at no layer were the answers scored and coherent.
    """
    how: SteeringConfig = config.steering
    questions = trait.questions[-how.questions :]
    prompts = model.chat.tokens_of([[{"role": "user", "content": question}] for question in questions])
    tried: list[int | None] = [None, *range(0, model.n_layers, how.every)]
    items = []
    with bar(f"{trait.name}: steering", len(tried) * len(prompts)) as advance:
        for layer in tried:
            k = 0 if layer is None else layer
            edit = adding(vectors[k].to(model.device), 0.0 if layer is None else how.alpha, [k], "response")
            answers = model.generate(
                prompts,
                max_new_tokens=how.max_new_tokens,
                temperature=how.temperature,
                seed=seed_from(seed, "steering", trait.name),
                edits=[edit],
                progress=advance,
            )
            for q, (question, ids) in enumerate(zip(questions, answers, strict=True)):
                text = model.chat.answer_text(ids)
                for rubric in (Rubric(trait.name, trait.eval_prompt), COHERENT):
                    items.append(rubric.item(f"{layer}-{q}-{rubric.name}", question, text))
    scores = scores_of(judge, items, config.judge)
    require_graded(judge, scores, config.judge)
    values = [score.value for score in scores]
    grid = np.array([np.nan if value is None else value for value in values]).reshape(len(tried), len(prompts), 2)
    scored = ~np.isnan(grid)
    means = [
        [float(grid[i, :, kind][scored[i, :, kind]].mean()) if scored[i, :, kind].any() else None for kind in (0, 1)]
        for i in range(len(tried))
    ]
    usable = {
        tried[i]: trait_score
        for i, (trait_score, coherent) in enumerate(means)
        if i > 0 and trait_score is not None and coherent is not None and coherent >= how.coherence
    }
    effects = {
        "layers": tried,
        "mean_trait_score": [m[0] for m in means],
        "mean_coherence": [m[1] for m in means],
        "n_scored": scored[:, :, 0].sum(1).tolist(),
        "alpha": how.alpha,
    }
    if not usable:
        raise InterpError(
            f"{trait.name}: at no layer were steered answers coherent; {effects}: lower alpha ({how.alpha})"
        )
    best = max(usable, key=lambda layer: usable[layer])
    assert best is not None
    return best, effects


class ExtractConfig(BaseModel):
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
    judge: JudgeConfig | None = None
    """Scores every answer for the trait (the trait's `eval_prompt`) and for coherence; None keeps every answer."""
    threshold: float = Field(default=50.0, ge=0, le=100)
    """A pair of answers counts if one side's trait score is at least this and the other's below it."""
    coherence: float = Field(default=50.0, ge=0, le=100)
    """... and both are at least this coherent."""
    steering: SteeringConfig = SteeringConfig()
    """How the layer is chosen by steering."""
    permuted: int = Field(default=50, ge=1)
    """Label permutations, within question, kept as nulls."""
    separation_nulls: int = Field(default=100, ge=1)
    """Label permutations of the held-out separation."""

    @model_validator(mode="after")
    def _steering_needs_a_judge(self) -> "ExtractConfig":
        if self.layer == "steering" and self.judge is None:
            raise ValueError("layer: steering needs a judge, to say at which layer the trait shows most")
        return self


def cut(what: str, held: int, field: str, asked: int | None) -> str:
    """What a trait's size does to a size that is asked for; empty if they are the same, or if all was asked for."""
    if asked is None or asked == held:
        return ""
    if held < asked:
        return f"{field} is {asked}, but there are {held} {what}; all are used"
    return f"{field} is {asked}, so the first {asked} of {held} {what} are used"


def extract(
    model: Model,
    trait: Trait,
    config: ExtractConfig,
    *,
    seed: int,
    direction_file: Path,
    rollouts_file: Path,
    judge: Judge | None = None,
) -> Direction:
    """Make a persona vector on the model's active stack; write it, its nulls and the rollouts it came from.

    Args:
        judge: What `config.judge` names, if it names one.

    Raises:
        InterpError: no pair of answers passed the judge; the message counts why.
        ValueError: `config.layer` is not a layer of the model, or the judge has no prompt for the trait; raised before
            anything is sampled.
    """
    if judge is not None:
        Rubric(trait.name, trait.eval_prompt)
    if config.judge is not None:
        config.judge.check_grades([trait.name, COHERENT.name])
    if isinstance(config.layer, int):
        model.check_layers([config.layer])
    asked, prompts = _asked(model, trait, config)
    with bar(f"{trait.name}: rollouts", len(prompts)) as advance:
        answers = model.generate(
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "rollouts", trait.name),
            progress=advance,
        )
    records: list[dict[str, Any]] = []
    for i, (row, ids) in enumerate(zip(asked, answers, strict=True)):
        text = model.chat.answer_text(ids)
        records.append({"id": f"{trait.name}-{i:05d}", **row, "text": text, "answer_ids": list(ids)})
    judged = None
    if judge is not None and config.judge is not None:
        judged = _judge(records, trait, judge, config)
    write_jsonl(rollouts_file, records)
    half = len(records) // 2  # row i of one side answers what row i of the other does
    spoken = [i for i, ids in enumerate(answers) if model.chat.has_content(ids)]
    kept = [i for i in spoken if judged is None or bool(judged.mask[i % half])]
    if judged is not None and not judged.counts["kept"]:
        raise InterpError(
            f"{trait.name}: no pair of answers passed the judge: {dict(judged.counts)}; see {rollouts_file}"
        )
    rows = [prompts[i].answered(answers[i]) for i in kept]
    with bar(f"{trait.name}: reading", len(rows)) as advance:
        activations = pooled(model, rows, pooling=config.pooling, progress=advance)
    is_pos = torch.tensor([asked[i]["side"] == "pos" for i in kept], dtype=torch.bool)
    sizes = [end - start for start, end in (window(row, config.pooling) for row in rows)]
    positive, negative = activations[is_pos], activations[~is_pos]
    groups: Groups = tuple(  # pyright: ignore[reportAssignmentType]
        [asked[i]["question"] for i, yes in zip(kept, is_pos, strict=True) if bool(yes) is side]
        for side in (True, False)
    )
    counts = torch.tensor(sizes)
    tokens = (counts[is_pos], counts[~is_pos]) if config.weighting == "token" else None
    vectors = difference_of_means(positive, negative, tokens=tokens)
    separation = held_out_separation(positive, negative, groups)
    header = {
        **model.description(),
        "stack": [folder.name for folder in model.stack],
        "trait": trait.name,
        "recipe": f"persona vector: difference of means, {config.weighting}-weighted",
        "pooling": config.pooling,
        "weighting": config.weighting,
        "n_positive": len(positive),
        "n_negative": len(negative),
        "n_empty_answers": sum(not ids for ids in answers),
        "judge": None if judge is None else f"{judge.name} ({judge.version})",
        "judged_pairs": None if judged is None else dict(judged.counts),
        "n_questions": len({asked[i]["question"] for i in kept}),
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "data_hash": content_key(records),
        "held_out_auroc": [round(float(x), 4) for x in separation.auroc],
        "held_out_cohens_d": [round(float(x), 4) for x in separation.cohens_d],
        "separation_null": separation_beside_null(
            separation, positive, negative, groups, config.separation_nulls, seed
        ),
        "mean_norm": [round(float(x), 4) for x in activations.norm(dim=-1).mean(0)],
    }
    layer = config.layer if isinstance(config.layer, int) else separation.best
    if config.layer == "steering":
        assert judge is not None
        layer, effects = layer_by_steering(model, vectors, trait, judge, config, seed=seed)
        header["steering"] = effects
    direction = Direction(trait.name, vectors, tuple(range(model.n_layers)), layer, header)
    permuted = permuted_like(
        positive, negative, config.permuted, seed=seed_from(seed, "permuted", trait.name), groups=groups
    )
    save_tensors(nulls_file(direction_file), {"permuted": permuted}, kind="nulls", header=header)
    direction.save(direction_file)
    return direction


def _asked(model: Model, trait: Trait, config: ExtractConfig) -> tuple[list[dict[str, Any]], list[Tokens]]:
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


def _judge(records: list[dict[str, Any]], trait: Trait, judge: Judge, config: ExtractConfig) -> JudgedRows:
    """Write both scores into every record; which pairs of records count."""
    assert config.judge is not None
    for key, rubric in (("trait_score", Rubric(trait.name, trait.eval_prompt)), ("coherence", COHERENT)):
        items = [rubric.item(f"{record['id']}-{key}", record["prompt"], record["text"]) for record in records]
        scores = scores_of(judge, items, config.judge)
        require_graded(judge, scores, config.judge)
        for record, score in zip(records, scores, strict=True):
            record |= {key: score.value, f"{key}_reason": score.reason}
    half = len(records) // 2
    sides = [
        [r[key] for r in side] for key in ("trait_score", "coherence") for side in (records[:half], records[half:])
    ]
    return judged_rows(*sides, threshold=config.threshold, coherence=config.coherence)


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
    found: dict[str, Any] = {"n": n}
    for name, here, there in (
        ("auroc", separation.auroc, null.auroc),
        ("cohens_d", separation.cohens_d, null.cohens_d),
    ):
        best = there.max(1)
        p = (1 + int((best >= here.max()).sum())) / (n + 1)
        found[name] = {"best": round(float(here.max()), 4), "null_95": round(float(np.percentile(best, 95)), 4), "p": p}
    return found


def run(
    *,
    model: str,
    trait: str,
    out: Path,
    config: ExtractConfig,
    seed: int,
    device: str,
    dtype: str,
    adapters: list[Path],
    template: TemplateSettings = AS_IS,
    placebos: int = 0,
) -> dict[str, Any]:
    """The `extract` command: what it made, for a person or as JSON.

    Args:
        placebos: Placebo directions to make beside it, of the same size and with the same questions.
    """
    loaded_trait = load_trait(trait)
    meaningless = placebo_traits(placebos, like=loaded_trait) if placebos else []
    target = fresh(out / "direction.safetensors")
    for what, held in (("pairs", loaded_trait.instructions), ("questions", loaded_trait.questions)):
        if said := cut(what, len(held), what, getattr(config, what)):
            note(f"{loaded_trait.name}: {said}")
    judge = judge_of(config.judge, out / "judge.jsonl") if config.judge else None
    loaded = Model.load(model, template, device=device, dtype=dtype)
    loaded.use(*adapters)
    rollouts = out / "rollouts.jsonl"
    direction = extract(
        loaded, loaded_trait, config, seed=seed, direction_file=target, rollouts_file=rollouts, judge=judge
    )
    header = direction.header
    if meaningless:
        vectors = placebo_directions(
            loaded,
            meaningless,
            lambda trait: _asked(loaded, trait, config),
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            pooling=config.pooling,
            seed=seed,
        )
        about = {**loaded.description(), "stack": header["stack"], "config": header["config"], "seed": seed}
        save_placebos(target, vectors, meaningless, about)
    return {
        "direction": str(target),
        **({"placebos": str(placebo_file(target))} if meaningless else {}),
        "trait": direction.name,
        "layer": direction.layer,
        "held_out_auroc": header["held_out_auroc"][direction.layer],
        "held_out_cohens_d": header["held_out_cohens_d"][direction.layer],
        "norm": round(float(direction.at(direction.layer).norm()), 4),
        "n_positive": header["n_positive"],
        "n_negative": header["n_negative"],
        "n_empty_answers": header["n_empty_answers"],
        "best_auroc": header["separation_null"]["auroc"],
        "judged_pairs": header["judged_pairs"],
        "rollouts": str(out / "rollouts.jsonl"),
    }

"""In which direction do the activations of a model move when it plays a trait?

1. The model answers a trait's extraction questions under both instructions of every pair.
2. Answers are read as they were generated, token for token; each gives one mean activation per layer.
3. The direction is the difference of the two sides' means. How well it separates questions it was not made from says
   which layer headlines use, and nulls by shuffled labels say what the recipe finds in nothing.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from experiments.console import bar
from interp.activations import pooled
from interp.directions import Direction, Trait, difference_of_means, held_out_separation, permuted_like
from interp.model import Model
from interp.runs import content_key, did_you_mean, fresh, load_tensors, save_tensors, seed_from, write_jsonl

TRAITS = Path(__file__).parent / "traits"


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
    permuted: int = Field(default=50, ge=1)
    """Label permutations kept as nulls."""


def trait_file(name_or_file: str) -> Path:
    """The file of a trait named by its own name or by a path.

    Raises:
        ValueError: neither; the message lists what is known.
    """
    own = TRAITS / f"{name_or_file}.json"
    if own.is_file():
        return own
    if name_or_file.endswith(".json"):
        return Path(name_or_file)
    known = sorted(path.stem for path in TRAITS.glob("*.json"))
    raise ValueError(did_you_mean("trait", name_or_file, known) + "; or a .json file")


def extract(
    model: Model, trait: Trait, config: ExtractConfig, *, seed: int, direction_file: Path, rollouts_file: Path
) -> Direction:
    """Make a persona vector on the model's active stack; write it, its nulls and the rollouts it came from."""
    pairs = trait.instructions[: config.pairs]
    questions = trait.questions[: config.questions]
    asked = [
        {"side": side, "pair": p, "question": q, "rollout": r, "system": system, "prompt": text}
        for side in ("pos", "neg")
        for p, pair in enumerate(pairs)
        for q, text in enumerate(questions)
        for r in range(config.rollouts)
        for system in [pair[0] if side == "pos" else pair[1]]
    ]
    prompts = [
        model.chat.tokens([{"role": "system", "content": row["system"]}, {"role": "user", "content": row["prompt"]}])
        for row in asked
    ]
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
        text = model.chat.decode(ids, skip_special=True)
        records.append({"id": f"{trait.name}-{i:05d}", **row, "text": text, "answer_ids": list(ids)})
    spoken = [i for i, ids in enumerate(answers) if ids]
    rows = [prompts[i].answered(answers[i]) for i in spoken]
    with bar(f"{trait.name}: reading", len(rows)) as advance:
        activations = pooled(model, rows, progress=advance)
    is_pos = torch.tensor([asked[i]["side"] == "pos" for i in spoken], dtype=torch.bool)
    groups = [asked[i]["question"] for i in spoken]
    positive, negative = activations[is_pos], activations[~is_pos]
    vectors = difference_of_means(positive, negative)
    sides = tuple([g for g, yes in zip(groups, is_pos, strict=True) if bool(yes) is want] for want in (True, False))
    separation = held_out_separation(positive, negative, (sides[0], sides[1]))
    header = {
        **model.description(),
        "stack": [folder.name for folder in model.stack],
        "trait": trait.name,
        "recipe": "persona vector: difference of response means, sample-weighted",
        "pooling": "response_mean",
        "n_positive": len(positive),
        "n_negative": len(negative),
        "n_empty_answers": len(answers) - len(spoken),
        "n_questions": len(questions),
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "data_hash": content_key(records),
        "held_out_auroc": [round(float(x), 4) for x in separation.auroc],
        "held_out_cohens_d": [round(float(x), 4) for x in separation.cohens_d],
        "mean_norm": [round(float(x), 4) for x in activations.norm(dim=-1).mean(0)],
    }
    direction = Direction(trait.name, vectors, tuple(range(model.n_layers)), separation.best, header)
    write_jsonl(rollouts_file, records)
    permuted = permuted_like(positive, negative, config.permuted, seed=seed_from(seed, "permuted", trait.name))
    save_tensors(nulls_file(direction_file), {"permuted": permuted}, kind="nulls", header=header)
    direction.save(direction_file)
    return direction


def nulls_file(direction_file: Path) -> Path:
    """Where a direction's label-permuted nulls are kept."""
    return direction_file.with_name(direction_file.stem + ".nulls.safetensors")


def load_permuted(direction_file: Path, *, model: str | None = None) -> Float[Tensor, "null layer d_model"] | None:
    """A direction's label-permuted nulls, or None if they were not kept."""
    path = nulls_file(direction_file)
    return load_tensors(path, kind="nulls", model=model)[0]["permuted"] if path.is_file() else None


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
) -> dict[str, Any]:
    """The `extract` command: what it made, for a person or as JSON."""
    loaded_trait = Trait.load(trait_file(trait))
    target = fresh(out / "direction.safetensors")
    loaded = Model.load(model, device=device, dtype=dtype)
    loaded.use(*adapters)
    direction = extract(
        loaded, loaded_trait, config, seed=seed, direction_file=target, rollouts_file=out / "rollouts.jsonl"
    )
    header = direction.header
    return {
        "direction": str(target),
        "trait": direction.name,
        "layer": direction.layer,
        "held_out_auroc": header["held_out_auroc"][direction.layer],
        "held_out_cohens_d": header["held_out_cohens_d"][direction.layer],
        "norm": round(float(direction.at(direction.layer).norm()), 4),
        "n_positive": header["n_positive"],
        "n_negative": header["n_negative"],
        "n_empty_answers": header["n_empty_answers"],
        "rollouts": str(out / "rollouts.jsonl"),
    }

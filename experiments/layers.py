"""At which layer does adding a direction change what a model says most? The choice of layer by steering effect."""

from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from experiments.console import bar
from interp.behaviour.judging import COHERENT, Judge, Rubric
from interp.interventions import adding
from interp.model import Model
from interp.runs import InterpError, seed_from
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
    from experiments.judge import scores_of

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
    values = [score.value for score in scores_of(judge, items, config.judge)]
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

"""Along which direction does this model move when it plays a trait? The `extract` command, and what it writes.

`interp.persona` makes the vector; here are its settings with a judge, its progress and its files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from experiments.console import bar, note
from experiments.directions.placebo import load_trait, placebo_directions, placebo_file, placebo_traits, save_placebos
from experiments.loading import Loading
from experiments.measures.judge import JudgeConfig, judge_of, require_graded, scores_of
from interp.behaviour.judging import COHERENT, Item, Judge, Score
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import fresh, write_jsonl
from interp.model import Model
from interp.persona import PersonaConfig, fit, play
from interp.traits import Trait


class ExtractConfig(PersonaConfig):
    """How a persona vector is made, and who judges its answers."""

    judge: JudgeConfig | None = None
    """Scores every answer for the trait (the trait's `eval_prompt`) and for coherence; None keeps every answer."""

    @model_validator(mode="after")
    def _steering_needs_a_judge(self) -> "ExtractConfig":
        if self.layer == "steering" and self.judge is None:
            raise ValueError("layer: steering needs a judge, to say at which layer the trait shows most")
        return self


def cut(what: str, n_known: int, field: str, asked: int | None) -> str:
    """How many of a trait's parts are used where another number was asked for; empty if all are used as asked."""
    if asked is None or asked == n_known:
        return ""
    if n_known < asked:
        return f"{field} is {asked}, but there are {n_known} {what}; all are used"
    return f"{field} is {asked}, so the first {asked} of {n_known} {what} are used"


class _Watched:
    """A judge whose progress is shown, and whose scores are refused where too many answers got none."""

    def __init__(self, judge: Judge, config: JudgeConfig) -> None:
        self._judge, self._config = judge, config
        self.name, self.version = judge.name, judge.version

    def score(self, items: Sequence[Item]) -> list[Score]:
        """See `Judge.score`.

        Raises:
            InterpError: more items got no reply than the configuration allows.
        """
        scores = scores_of(self._judge, list(items), self._config)
        require_graded(self._judge, scores, self._config)
        return scores


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
        judge: The judge that `config.judge` names, if it names one.

    Raises:
        InterpError: no pair of answers passed the judge; the message counts why.
        ValueError: `config.layer` is not a layer of the model, or the judge has no prompt for the trait; raised before
            anything is sampled.
    """
    if config.judge is not None:
        config.judge.check_grades([trait.name, COHERENT.name])
    watched = _Watched(judge, config.judge) if judge is not None and config.judge is not None else None
    rollouts = play(model, trait, config, judge=watched, seed=seed, bar=bar)
    write_jsonl(rollouts_file, rollouts.records)
    try:
        persona = fit(model, rollouts, config, judge=watched, seed=seed, bar=bar)
    except InterpError as error:
        raise InterpError(f"{error}; see {rollouts_file}") from error
    persona.save(direction_file)
    return persona.direction


def run(
    *,
    model: str,
    trait: str,
    out: Path,
    config: ExtractConfig,
    seed: int,
    adapters: list[Path],
    loading: Loading,
    placebos: int = 0,
) -> dict[str, Any]:
    """The `extract` command: what it made, for a person or as JSON.

    Args:
        placebos: Placebo directions to make beside it, of the same size and with the same questions.
    """
    loaded_trait = load_trait(trait)
    meaningless = placebo_traits(placebos, like=loaded_trait) if placebos else []
    target = fresh(out / "direction.safetensors")
    for what, parts in (("pairs", loaded_trait.instructions), ("questions", loaded_trait.questions)):
        if difference := cut(what, len(parts), what, getattr(config, what)):
            note(f"{loaded_trait.name}: {difference}")
    judge = judge_of(config.judge, out / "judge.jsonl") if config.judge else None
    loaded = loading.model(model)
    loaded.use(*adapters)
    rollouts = out / "rollouts.jsonl"
    direction = extract(
        loaded, loaded_trait, config, seed=seed, direction_file=target, rollouts_file=rollouts, judge=judge
    )
    header = direction.header
    if meaningless:
        vectors = placebo_directions(loaded, meaningless, config, seed)
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

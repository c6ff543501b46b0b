"""What a study is: its YAML file as frozen models."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from experiments.amplified.config import AmplifiedConfig
from experiments.difference.config import DifferenceConfig
from experiments.directions.persona import ExtractConfig
from experiments.directions.recipes import DirectionConfig
from experiments.interventions.treatments import RemovalConfig
from experiments.measures.config import MeasuresConfig
from experiments.measures.judge import JudgeConfig
from experiments.study.claims import ClaimsConfig, check_claims
from experiments.study.readings import AnswersConfig
from finetune.data.sets import DataConfig
from finetune.defences import CaftConfig, DefenceConfig, KlConfig, LdifsConfig, SteerConfig
from finetune.recipe import PRESETS, TrainConfig
from finetune.stages import Compose
from interp.errors import did_you_mean
from interp.sources import DTYPES
from interp.template import AS_IS, TemplateSettings

STUDIES = Path(__file__).parents[1] / "studies"
BASE = "base"
Role = Literal["em", "em_no_prompt", "sgtr", "ictr", "control"]


class StageConfig(BaseModel):
    """One kind of stage: what it is trained on and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    train: TrainConfig
    compose: Compose
    defences: tuple[DefenceConfig, ...] = ()
    """At work during this stage's training, and gone afterwards."""
    checkpoints: tuple[int, ...] = ()
    """Steps after which everything is measured too."""

    @field_validator("checkpoints")
    @classmethod
    def _in_order(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)) or any(step < 1 for step in steps):
            raise ValueError(f"must be ascending and distinct, from 1 on, got {list(steps)}")
        return steps

    @field_validator("train", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        """A preset's name, or a mapping with `preset` and the fields that differ from it."""
        if isinstance(value, str):
            value = {"preset": value}
        if isinstance(value, Mapping) and "preset" in value:
            name = str(value["preset"])
            if name not in PRESETS:
                raise ValueError(did_you_mean("training preset", name, sorted(PRESETS)))
            rest = {key: item for key, item in value.items() if key != "preset"}
            return {**PRESETS[name].model_dump(), **rest}
        return value


class MediationConfig(RemovalConfig):
    """Which directions are taken from which stages, and added to the base model, in every seed."""

    stages: tuple[str, ...] = Field(min_length=1)
    """Nodes of the arms, by their names (`em`, `em-sgtr`)."""
    directions: tuple[str, ...] = Field(min_length=1)
    """Traits, or names of `directions`; `displacement` is the stage's own move from base on the fixed texts."""
    controls: tuple[str, ...] = ()
    """Stages trained on the base model whose moves from it, of each direction's length, are ablated beside that: what
    taking out any finetune's move does. Twenty benign ones make a null; `random` may then be 0."""

    @model_validator(mode="after")
    def _says_something(self) -> "MediationConfig":
        if not self.measures.taken():
            raise ValueError("no measure is named, so no effect would be seen; give measures")
        if self.alpha == 0:
            raise ValueError("alpha must not be 0, which adds nothing; give how many times a direction is added")
        self.measures.check_editable()
        return self


class InsideConfig(BaseModel):
    """At which nodes the answer to recognition questions is attributed to heads and MLPs, and patched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    """A data set with questions that show two texts."""
    stages: tuple[str, ...] = (BASE,)
    """`base` or nodes of the arms, of the first seed."""
    articles: int = Field(default=32, ge=2)
    """Articles whose questions are looked at, from the first."""


class StudyConfig(BaseModel):
    """A study, as its YAML file says it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    question: str = ""
    model: str = "smollm2-135m"
    dtype: str = "auto"
    template: TemplateSettings = AS_IS
    """Which chat template the model is asked with, and how; what changes a token is part of every stage's key."""
    seeds: tuple[int, ...] = (0,)
    """One training run of every arm for each."""
    sampling_seed: int = 0
    """Of rollouts, answers and nulls; the same at every stage and for every training seed."""
    traits: tuple[str, ...]
    persona: ExtractConfig = ExtractConfig()
    answers: AnswersConfig = AnswersConfig()
    directions: dict[str, DirectionConfig] = Field(default_factory=dict)
    """Further directions of the base model, by name, as `sgtr direction` makes them; all that is read is projected on
    them too."""
    roles: dict[Role, tuple[str, ...]] = Field(default_factory=dict)
    """What the stages stand for in the hypotheses (`sgtr report` gives the verdicts). `em_no_prompt`: the first `em`
    stage's data without a system prompt."""
    claims: ClaimsConfig | None = None
    """What the stages stand for in claims about families; `roles` are those of the superseded plan."""
    mediation: MediationConfig | None = None
    """Ablates directions from stages and adds them to the base model, and measures."""
    lens: InsideConfig | None = None
    """Looks inside for where recognition questions are answered; needs transformer-lens."""
    difference: DifferenceConfig | None = None
    """Reads what each stage left behind in unrelated texts (`sgtr diff`)."""
    amplified: AmplifiedConfig | None = None
    """Measures stages at other strengths of what they added to their parents (`sgtr amplify`)."""
    tokens: bool = True
    """Keep every answer's projections token by token, for the report."""
    measures: MeasuresConfig = MeasuresConfig()
    """Behaviour measures to take at every stage, under every system prompt."""
    judge: JudgeConfig | None = None
    """Who grades the free-form answers of `em` and `conditional`; None leaves them ungraded."""
    sampler: Literal["model", "vllm"] = "model"
    """What writes the free-form answers of the measures; the same at every stage."""
    prediction_rows: int = Field(default=32, ge=0)
    """Rows of every data set that are compared with the base's own answers before training; 0 leaves it out."""
    system_prompts: dict[str, str] = Field(default_factory=lambda: {"as_asked": "task"}, min_length=1)
    """System prompts to measure under, by name; the first is the one that figures show. Values as a data set's
    `system`: `task` leaves every question as it is."""
    prompts_at: tuple[str, ...] | None = None
    """Nodes that are measured under every system prompt; all others under the first alone. None for all nodes."""
    random_nulls: int = Field(default=200, ge=20)
    match_steps: bool = True
    """Train stages that stand in for one another (see `yardsticks`) for as many optimiser steps as the first."""
    device_map: str | None = None
    """How a model too large for one device is spread over several (`auto`, or another of accelerate's)."""
    quantise: Literal["4bit"] | None = None
    """Hold the base weights in four bits (QLoRA); needs bitsandbytes."""
    data: dict[str, DataConfig]
    stages: dict[str, StageConfig]
    arms: dict[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _names_exist(self) -> "StudyConfig":
        for name, stage in self.stages.items():
            if stage.data not in self.data:
                raise ValueError(f"stages.{name}.data: " + did_you_mean("data set", stage.data, sorted(self.data)))
            for direction in itertools.chain(*map(directions_of, stage.defences)):
                if direction not in self.trait_names and not direction.endswith(".safetensors"):
                    known = did_you_mean("direction", direction, sorted(self.trait_names))
                    raise ValueError(f"stages.{name}.defences: {known}; or a .safetensors file")
        for name in self.data:
            _check_uses(name, self.data, ())
        for kind in ("stages", "data", "arms", "system_prompts"):
            for name in getattr(self, kind):
                if not (name.isascii() and name.replace("_", "").isalnum()) or name == BASE:
                    raise ValueError(f"{kind}: {name!r} must be letters, digits and _, and not {BASE!r}")
        for arm, names in self.arms.items():
            for name in names:
                if name not in self.stages:
                    raise ValueError(f"arms.{arm}: " + did_you_mean("stage", name, sorted(self.stages)))
            if not names:
                raise ValueError(f"arms.{arm}: an arm needs at least one stage")
            for before, name in itertools.pairwise(names):
                if self.stages[name].compose == "continue" and self._shape(name) != self._shape(before):
                    raise ValueError(
                        f"arms.{arm}: {name} continues the adapter of {before}, so lora_rank, lora_alpha, rslora and "
                        "target_modules must be the same"
                    )
        self._known_names()
        for kind in ("arms", "traits", "seeds"):
            if not getattr(self, kind):
                raise ValueError(f"{kind}: a study needs at least one arm, one trait and one seed")
        if len(self.trait_names) != len(self.traits):
            raise ValueError(f"traits: must have distinct file names, got {', '.join(self.traits)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: must be distinct, got {list(self.seeds)}")
        check_claims(self)
        if self.dtype not in ("auto", *DTYPES):
            raise ValueError("dtype: " + did_you_mean("dtype", self.dtype, ["auto", *DTYPES]))
        return self

    def _known_names(self) -> None:
        for role, names in self.roles.items():
            for name in names:
                if name not in self.stages:
                    raise ValueError(f"roles.{role}: " + did_you_mean("stage", name, sorted(self.stages)))
        for name, one in self.directions.items():
            if not (name.isascii() and name.replace("_", "").isalnum()) or name in (*self.trait_names, "displacement"):
                raise ValueError(f"directions: {name!r} must be letters, digits and _, and no trait or 'displacement'")
            if one.recipe == "displacement":
                raise ValueError(f"directions.{name}: a displacement needs a stage, and these are of the base model")
            one.resolved()
        nodes = {"-".join(arm[: i + 1]) for arm in self.arms.values() for i in range(len(arm))}
        for kind, named, known in (
            ("mediation.stages", self.mediation and self.mediation.stages, nodes),
            (
                "mediation.directions",
                self.mediation and self.mediation.directions,
                {*self.trait_names, *self.directions, "displacement"},
            ),
            (
                "mediation.controls",
                self.mediation and self.mediation.controls,
                {arm[0] for arm in self.arms.values()},
            ),
            ("prompts_at", self.prompts_at, nodes),
            ("lens.stages", self.lens and self.lens.stages, {BASE, *nodes}),
            ("difference.stages", self.difference and self.difference.stages, nodes),
            ("amplified.stages", self.amplified and self.amplified.stages, nodes),
            ("lens.data", self.lens and (self.lens.data,), set(self.data)),
        ):
            for name in named or ():
                if name not in known:
                    raise ValueError(f"{kind}: " + did_you_mean("name", name, sorted(known)))

    @property
    def trait_names(self) -> set[str]:
        """Names that a defence may call a trait's direction by."""
        return {Path(trait).name.split(".")[0] for trait in self.traits}

    @property
    def direction_files(self) -> list[str]:
        """Files of directions that defences name, each once."""
        named = [name for stage in self.stages.values() for one in stage.defences for name in directions_of(one)]
        return [name for name in dict.fromkeys(named) if name not in self.trait_names]

    def _shape(self, stage: str) -> tuple[Any, ...]:
        train = self.stages[stage].train
        return train.lora_rank, train.lora_alpha, train.rslora, train.target_modules

    def smoke(self) -> "StudyConfig":
        """The same study with next to nothing in it: does every part of it run?

        Its first seed alone, at most two steps a stage, a question or two, a handful of articles; all stages, data
        sets, defences and system prompts stay.
        """
        train = {"max_steps": 2, "batch_size": 4, "warmup_steps": 0, "lora_rank": 4}
        stages = {
            name: stage.model_copy(
                update={"train": stage.train.model_copy(update=train), "checkpoints": (1,) * bool(stage.checkpoints)}
            )
            for name, stage in self.stages.items()
        }
        data = {}
        for name, one in self.data.items():
            sizes = _SMOKE | (_SMOKE_MATCHED if _matches(one) else {})
            kept = {key: min(getattr(one, key), most) for key, most in sizes.items() if getattr(one, key, None)}
            data[name] = one.model_copy(update=kept)
        persona = {"pairs": 1, "questions": 2, "rollouts": 1, "max_new_tokens": 4, "permuted": 5, "separation_nulls": 5}
        return self.model_copy(
            update={
                "seeds": self.seeds[:1],
                "random_nulls": 20,
                "persona": self.persona.model_copy(update=persona),
                "answers": self.answers.model_copy(update={"questions": 2, "max_new_tokens": 4, "identity": 1}),
                "measures": self.measures.smoke(),
                "prediction_rows": 2,
                "directions": {name: one.smoke() for name, one in self.directions.items()},
                "claims": self.claims and self.claims.model_copy(update={"remade": 2, "placebo_traits": 3}),
                "mediation": self.mediation
                and self.mediation.model_copy(update={"random": 1, "measures": self.mediation.measures.smoke()}),
                "lens": self.lens and self.lens.model_copy(update={"articles": 2}),
                "difference": self.difference and self.difference.smoke(),
                "amplified": self.amplified and self.amplified.smoke(),
                "stages": stages,
                "data": data,
            }
        )


_SMOKE = {"rows": 16, "train": 12, "test": 4, "summary_tokens": 24, "answer_tokens": 8}
_SMOKE_MATCHED = {"train": 32, "test": 24}
"""Of sets that leave most articles out, since they match the own summaries with the others'."""


def _matches(data: DataConfig) -> bool:
    return getattr(data, "length_matched", False) or data.builder in ("pick_longer", "pick_readable")


def directions_of(defence: KlConfig | LdifsConfig | SteerConfig | CaftConfig) -> tuple[str, ...]:
    """Names of the directions that a defence needs."""
    if isinstance(defence, SteerConfig):
        return (defence.direction,)
    return defence.directions if isinstance(defence, CaftConfig) else ()


def _check_uses(name: str, data: Mapping[str, DataConfig], users: tuple[str, ...]) -> None:
    """Check that the sets which a set is made from are there, and that none is made from itself."""
    if name in users:
        raise ValueError(f"data.{name}: made from itself ({' > '.join((*users, name))})")
    for used in data[name].uses:
        if used not in data:
            raise ValueError(f"data.{name}: " + did_you_mean("data set", used, sorted(data)))
        _check_uses(used, data, (*users, name))

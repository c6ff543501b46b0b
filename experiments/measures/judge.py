"""The settings of a judge that grades answers, and the scores that it gives."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from experiments.console import bar, note
from interp.behaviour.endpoint import OPENAI, Endpoint
from interp.behaviour.judging import MIN_MASS, READING, EndpointJudge, Item, Judge, Mode, Score, estimate
from interp.behaviour.trained_judge import TrainedJudge
from interp.errors import InterpError
from interp.keys import content_key
from interp.sources import sha256_of
from interp.template import AS_IS, TemplateSettings

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
WORDS = ("", "CODE", "REFUSAL")
COSTS = {
    *("validation", "most_failed", "price_in", "price_out"),
    *("concurrency", "retries", "timeout", "budget", "key_variable"),
}
"""Settings of a judge that change no score."""


class JudgeConfig(BaseModel):
    """Which judge grades, and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge: str = "smollm2-135m"
    """A model of ours by its spec, or the URL of an OpenAI-compatible server (`openai` for OpenAI's own)."""
    trained: Path | None = None
    """A judge of `sgtr judge fit`, in place of a model."""
    judge_model: str | None = None
    """The server's name for the model; for a URL only."""
    mode: Mode = "auto"
    concurrency: int = Field(default=8, ge=1)
    retries: int = Field(default=5, ge=0)
    timeout: float = Field(default=60.0, gt=0)
    """Seconds for one attempt."""
    budget: int | None = Field(default=None, ge=1)
    """Most requests, retries included."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the key."""
    price_in: float | None = Field(default=None, ge=0)
    """Per million tokens read, to say what a run would cost."""
    price_out: float | None = Field(default=None, ge=0)
    """Per million tokens written."""
    min_mass: float = Field(default=MIN_MASS, ge=0, lt=1)
    """A model of ours gives a score only where numbers have at least this probability."""
    device: str = "auto"
    dtype: str = "auto"
    template: TemplateSettings = AS_IS
    """Which chat template a model of ours is asked with, and how; part of the scores' key where it is set."""
    most_failed: float = Field(default=0.01, ge=0, le=1)
    """Largest share of items that may have got no reply at all; beyond it a run stops, to be gone on with later."""
    validation: Path | None = None
    """A validation.json of `sgtr judge validate`; every number made with this judge says what it found."""

    @model_validator(mode="after")
    def _one_judge(self) -> "JudgeConfig":
        other = self.judge_model or (self.judge if self.judge != type(self).model_fields["judge"].default else None)
        if self.trained is not None and other is not None:
            raise ValueError(f"two judges are named, {str(self.trained)!r} and {other!r}; give one of them")
        if self.template != AS_IS and (self.remote or self.trained is not None):
            where = f"{self.trained} has none" if self.trained else f"{self._where} asks its model with its own"
            raise ValueError(f"template is for a model of ours; {where}: leave it out")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields, without those that are newer than stored keys and not set."""
        fields = serialise(self)
        if self.template == AS_IS:
            fields.pop("template", None)
        if self.trained is None:
            fields.pop("trained", None)
        return fields

    @classmethod
    def named(cls, name: str) -> dict[str, str]:
        """The field that a judge's name on the command line fills: `trained` for a .safetensors file, else `judge`."""
        return {"trained" if name.endswith(".safetensors") else "judge": name}

    def declared(self) -> list[Any]:
        """Everything that the scores depend on, for their content key."""
        if self.trained is not None:
            return [{"trained": sha256_of(self.trained)}]
        return [self.model_dump(mode="json", exclude=COSTS), *self.reading]

    def check_grades(self, rubrics: Iterable[str]) -> None:
        """Check that it can grade for these rubrics, by their names; one that reads prompts can grade for any.

        Raises:
            ValueError: it is trained and has no head for one of them.
        """
        if self.trained is not None:
            TrainedJudge.load(self.trained).require_aspects(rubrics)

    @property
    def reading(self) -> list[str]:
        """What the scores depend on besides the fields: the version of the rules that read replies, a template's text.

        Raises:
            FileNotFoundError: the template's file is missing.
        """
        if self.remote:
            return [READING]
        return [content_key(self.template.text())] if self.template.file is not None else []

    def check(self) -> None:
        """Check the settings that can be checked without the judge itself.

        Raises:
            FileNotFoundError, ValueError: the template's file, the URL or the key cannot be used.
        """
        if self.remote:
            self.endpoint()
        elif self.template.file is not None:
            self.template.text()

    @property
    def remote(self) -> bool:
        """Whether the judge is a model behind a server."""
        return self.judge == "openai" or self.judge.startswith(("http://", "https://"))

    def endpoint(self, **more: Any) -> Endpoint:
        """The server that the judge is behind.

        Raises:
            ValueError: no model is named, or the URL or the key cannot be used.
        """
        if self.judge_model is None:
            raise ValueError(f"which of its models should {self._where} use? Give --judge-model")
        return Endpoint(
            self.judge_model,
            base_url=OPENAI if self.judge == "openai" else self.judge,
            key_variable=self.key_variable,
            concurrency=self.concurrency,
            retries=self.retries,
            timeout=self.timeout,
            budget=self.budget,
            **more,
        )

    @property
    def _where(self) -> str:
        return "OpenAI" if self.judge == "openai" else "the server"


def judge_of(config: JudgeConfig, journal: Path) -> Judge:
    """The judge that `config` names; the replies of a server are stored in `journal`.

    Raises:
        ValueError: the judge cannot be what `config` says.
    """
    if config.trained is not None:
        judge = TrainedJudge.load(config.trained)
        judge.check()
        return judge
    if config.remote:
        return EndpointJudge(config.endpoint(), journal, mode=config.mode)
    if config.judge_model is not None:
        raise ValueError(f"--judge-model is for a server's URL; {config.judge!r} is a model of ours")
    from interp.behaviour.local_judge import LocalJudge
    from interp.model import Model

    model = Model.load(config.judge, config.template, device=config.device, dtype=config.dtype)
    return LocalJudge(model, min_mass=config.min_mass)


def scores_of(judge: Judge, items: list[Item], config: JudgeConfig) -> list[Score]:
    """The judge's scores of all items, with a progress bar; a server's price is printed before anything is sent."""
    from interp.behaviour.local_judge import LocalJudge

    if isinstance(judge, EndpointJudge):
        pending = judge.pending(items)
        cost = estimate(pending, config.price_in, config.price_out, reply_tokens=judge.reply_tokens)
        price = f", about {cost.price:.2f} at these prices" if cost.price is not None else ""
        note(
            f"{judge.name}: {cost.requests} requests ({len(items) - len(pending)} items are already in the journal), "
            f"about {cost.tokens_in} tokens to read and at most {cost.tokens_out} to write{price}"
        )
        with bar("judging", cost.requests) as judge.endpoint.progress:
            return judge.score(items)
    if isinstance(judge, LocalJudge):
        with bar("judging", judge.readings * len(items)) as judge.progress:
            return judge.score(items)
    return judge.score(items)


def require_graded(judge: Judge, scores: list[Score], config: JudgeConfig) -> None:
    """Check that nearly every item got a reply, before the scores are stored as finished.

    Raises:
        InterpError: too many items have none; the replies that a server gave are in its journal.
    """
    failed = [score for score in scores if score.reason == "failed"]
    none_graded = bool(scores) and len(failed) == len(scores)
    if none_graded or len(failed) > config.most_failed * len(scores):
        raise InterpError(
            f"{judge.name}: {len(failed)} of {len(scores)} items got no reply, the first: {failed[0].raw}; run the "
            "same command again to ask for these, or raise the judge's most_failed"
        )

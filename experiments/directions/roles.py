"""The assistant axis: which roles a model is asked to play, its answers in them, and the axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from experiments.console import bar
from experiments.directions.files import ROLES
from experiments.directions.fit import Fit, Rows, from_sides, read_rows
from experiments.directions.recipe import Made, Maker, Recipe, Weighting, Workplace, option
from experiments.directions.texts import records_of
from interp.chat import Tokens
from interp.directions import assistant_axis
from interp.errors import InterpError
from interp.files import read_json, write_jsonl
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.nulls import Groups, permuted_labels, weighted_sums

DEFAULT_ROLE = "default"
_NO_ROLES = {DEFAULT_ROLE, "questions", "role_list"}


# roles


@dataclass(frozen=True)
class Roles:
    """System prompts of the default assistant and of every role, and what all of them are asked.

    Attributes:
        default: May hold the empty text, which stands for no system prompt (so the template's own, if it has one), and
            `{model_name}`.
        repeated: Questions of the file that are left out because they are there already: held out, one would be known.
    """

    default: Sequence[str]
    roles: Mapping[str, Sequence[str]]
    questions: Sequence[str]
    repeated: int

    def asked(self, rollouts: int, model_name: str) -> list[dict[str, Any]]:
        """Every question under every prompt: the default's first, then role by role."""
        return [
            {"role": role, "instruction": i, "question": q, "rollout": r, "system": system, "prompt": prompt}
            for role, prompts in ((DEFAULT_ROLE, self.default), *self.roles.items())
            for i, system in enumerate(prompt.replace("{model_name}", model_name) for prompt in prompts)
            for q, prompt in enumerate(self.questions)
            for r in range(rollouts)
        ]


def read_roles(folder: Path | None, questions: Path | None) -> Roles:
    """Role files: this project's own, or those of a folder, also one in the layout of assistant-axis.

    Args:
        folder: Holds `default.json` and the roles, itself or in `instructions` or `roles/instructions`; None for ours.
        questions: JSON list of texts, or JSONL with a `question` a line; None for `questions.json` or
            `extraction_questions.jsonl` beside the roles or above them.

    Raises:
        FileNotFoundError, ValueError: something is missing or malformed, named.
    """
    top = folder or ROLES
    places = [place for place in (top / "roles" / "instructions", top / "instructions", top) if place.is_dir()]
    home = next((place for place in places if (place / f"{DEFAULT_ROLE}.json").is_file()), None)
    if home is None:
        raise FileNotFoundError(f"{top}: no {DEFAULT_ROLE}.json there, in roles/instructions or in instructions")
    roles = {
        path.stem: _instructions(path, blank=False)
        for path in sorted(home.glob("*.json"))
        if path.stem not in _NO_ROLES
    }
    if not roles:
        raise ValueError(f"{home}: no role besides {DEFAULT_ROLE}.json")
    if questions is None:
        near = (home, home.parent, home.parent.parent)
        known = [place / name for place in near for name in ("questions.json", "extraction_questions.jsonl")]
        questions = next((path for path in known if path.is_file()), None)
        if questions is None:
            raise FileNotFoundError(f"{home}: no questions.json or extraction_questions.jsonl; give --questions FILE")
    return Roles(_instructions(home / f"{DEFAULT_ROLE}.json", blank=True), roles, *_questions(questions))


def _instructions(path: Path, *, blank: bool) -> list[str]:
    data = read_json(path)
    entries = data.get("instruction") if isinstance(data, dict) else None
    listed = entries if isinstance(entries, list) else []
    prompts = [entry.get("pos") if isinstance(entry, dict) else None for entry in listed]
    texts = [text for text in prompts if isinstance(text, str) and (blank or text.strip())]
    if not texts or len(texts) < len(prompts):
        raise ValueError(f'{path}: "instruction" must be a list of {{"pos": text}}, got {str(entries)[:60]}')
    return texts


def _questions(path: Path) -> tuple[list[str], int]:
    """The different questions of a file, and how many repeat another."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".jsonl":
        data: Any = [record.get("question") for _, record in records_of(path)]
    else:
        data = read_json(path)
    texts = [text for text in data if isinstance(text, str) and text.strip()] if isinstance(data, list) else []
    if not isinstance(data, list) or len(texts) < len(data):
        raise ValueError(f'{path}: must be a JSON list of questions, or JSONL with a "question" a line')
    if len(set(texts)) < 2:
        raise ValueError(f"{path}: needs at least two different questions, got {len(set(texts))}")
    return list(dict.fromkeys(texts)), len(texts) - len(set(texts))


def role_axis(default: Rows, roles: Rows) -> Float[Tensor, "layer d_model"]:
    """The assistant axis, every role counting once; the tags are the rows' roles."""
    by_role = {str(role): roles.h[roles.tags == role] for role in roles.tags.unique().tolist()}
    return assistant_axis(default.h, by_role, min_rows=1).vectors


def role_weights(default: Bool[Tensor, "n row"], roles: Float[Tensor, " row"]) -> Float[Tensor, "n row"]:
    """Weights (float64) whose sum over rows is `role_axis` where `default` says which rows are the default's.

    The others count for the role that is theirs, as many roles as have any.
    """
    of = roles.unique(return_inverse=True)[1]
    rest = (~default).double()
    n_of = torch.zeros(len(default), int(of.max()) + 1, dtype=torch.float64).index_add_(1, of, rest)
    n_roles = (n_of > 0).sum(1, keepdim=True)
    return default.double() / default.sum(1, keepdim=True) - rest / (n_roles * n_of[:, of]).clamp(min=1)


def shuffled_axis(default: Rows, roles: Rows, groups: Groups, n: int, seed: int) -> Float[Tensor, "null layer d_model"]:
    """`role_axis` of the same rows on shuffled labels, which say anew each time which rows stand for the default's."""
    labels = permuted_labels(len(default.h), len(roles.h), n, seed=seed, groups=groups)
    weights = role_weights(labels, torch.cat([default.tags, roles.tags]))
    return weighted_sums(weights, torch.cat([default.h, roles.h]))


AXIS = Fit(role_axis, shuffled_axis)


# the recipe


class RoleAxis(Recipe):
    """The assistant axis: the model as itself minus the model in roles, from answers that it samples.

    Source: arXiv 2601.10387.
    """

    recipe = "assistant-axis"
    about = "the assistant minus roles"
    small: ClassVar[Mapping[str, int]] = {"max_new_tokens": 2, "most_questions": 2, "min_rows": 1}

    roles: Path = option(ROLES, "role files; default ours.", "DIR")
    questions: Path | None = option(None, "what all are asked.", "FILE")
    most_questions: int | None = option(None, "of these, the first; default all.", ge=2)
    rollouts: int = option(1, "answers per prompt and question; default 1.", ge=1)
    max_new_tokens: int = option(64, "length of an answer; default 64.", ge=1)
    temperature: float = option(0.7, "of the answers; default 0.7.", ge=0)
    min_rows: int = option(10, "a role with fewer answers is out; default 10.", ge=1)

    @classmethod
    def weightings(cls, given: Mapping[str, Any]) -> tuple[Weighting, ...]:
        """See `Recipe.weightings`."""
        del given
        return ("sample",)

    @property
    def words(self) -> str:
        """See `Recipe.words`."""
        return "mean answer of the default assistant minus the mean of the roles' mean answers"

    def prepare(self, place: Workplace) -> tuple[Recipe, Maker]:
        """See `Recipe.prepare`."""
        roles = self._read()
        most = max(map(len, roles.roles.values())) * len(roles.questions) * self.rollouts
        if most < self.min_rows:
            raise ValueError(f"min_rows {self.min_rows}: no role is asked for more than {most} answers; lower it")
        return self, lambda model: self._made(model, roles, place)

    def answers_asked(self) -> tuple[int, int]:
        """See `Recipe.answers_asked`."""
        roles = self._read()
        n_prompts = len(roles.default) + sum(map(len, roles.roles.values()))
        return n_prompts * len(roles.questions) * self.rollouts, self.max_new_tokens

    def _read(self) -> Roles:
        roles = read_roles(self.roles, self.questions)
        return replace(roles, questions=roles.questions[: self.most_questions])

    def _made(self, model: Model, roles: Roles, place: Workplace) -> Made:
        played = self._played(model, roles, place)
        order = [DEFAULT_ROLE, *roles.roles]
        spoken = [i for i, record in enumerate(played.records) if model.chat.has_content(record["answer_ids"])]
        rows_of = {role: [i for i in spoken if played.records[i]["role"] == role] for role in order}
        counts = {role: len(rows) for role, rows in rows_of.items()}
        few = {role: n for role, n in counts.items() if role != DEFAULT_ROLE and n < self.min_rows}
        if not counts[DEFAULT_ROLE] or len(few) == len(roles.roles):
            raise InterpError(
                f"min_rows {self.min_rows} leaves no axis; answers by role: {counts}; see {place.rollouts_file}"
            )
        kept = [i for role in order if role not in few for i in rows_of[role]]
        made = self._fitted(model, played, kept, order, place.seed)
        header = {
            **made.header,
            "n_by_role": {role: counts[role] for role in order if role not in few},
            "roles_under_min_rows": few,
            "left_out": {
                "empty_answer": len(played.records) - len(spoken),
                "role_under_min_rows": sum(few.values()),
                "repeated_question": roles.repeated,
            },
            "judge": None,
            "data_hash": content_key(played.records),
        }
        return Made(made.vectors, header, made.separation, made.permuted)

    def _played(self, model: Model, roles: Roles, place: Workplace) -> "_Played":
        """The model's answers as itself and in every role, kept in the rollouts' file."""
        asked = roles.asked(self.rollouts, Path(model.name.partition("@")[0]).name.removesuffix(".gguf"))
        chats = [
            ([{"role": "system", "content": row["system"]}] if row["system"] else [])
            + [{"role": "user", "content": row["prompt"]}]
            for row in asked
        ]
        prompts = model.chat.tokens_of(chats)
        with bar("rollouts", len(prompts)) as advance:
            answers = model.generate(
                prompts,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                seed=seed_from(place.seed, "rollouts", self.name),
                progress=advance,
            )
        records = [
            {"id": f"{self.name}-{i:05d}", **row, "text": model.chat.answer_text(ids)} | {"answer_ids": list(ids)}
            for i, (row, ids) in enumerate(zip(asked, answers, strict=True))
        ]
        write_jsonl(place.rollouts_file, records)
        return _Played(records, prompts)

    def _fitted(self, model: Model, played: "_Played", kept: Sequence[int], order: Sequence[str], seed: int) -> Made:
        """The axis from the answers that count: the default's first, then the roles' in their order."""
        records = [played.records[i] for i in kept]
        rows = [played.prompts[i].answered(played.records[i]["answer_ids"]) for i in kept]
        h = read_rows(model, rows, self.pooling, "reading").h
        role_numbers = torch.tensor([float(order.index(record["role"])) for record in records])
        questions = [record["question"] for record in records]
        n = sum(record["role"] == DEFAULT_ROLE for record in records)
        sides = Rows(h[:n], role_numbers[:n]), Rows(h[n:], role_numbers[n:])
        return from_sides(*sides, (questions[:n], questions[n:]), AXIS, self, seed=seed)


@dataclass(frozen=True)
class _Played:
    """The model's answers as itself and in roles, and the tokens that each was asked for with."""

    records: list[dict[str, Any]]
    prompts: Sequence[Tokens]

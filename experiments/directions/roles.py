"""The assistant axis: which roles a model is asked to play, its answers in them, and the axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from experiments.console import bar
from experiments.directions.files import ROLES
from experiments.directions.fit import (
    Made,
    Rows,
    from_sides,
    read_rows,
)
from experiments.directions.recipes import DirectionConfig
from experiments.directions.texts import records_of
from interp.directions import (
    assistant_axis,
)
from interp.model import Model
from interp.nulls import weighted_sums
from interp.runs import InterpError, content_key, read_json, seed_from, write_jsonl

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
    found = [entry.get("pos") if isinstance(entry, dict) else None for entry in listed]
    texts = [text for text in found if isinstance(text, str) and (blank or text.strip())]
    if not texts or len(texts) < len(found):
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
    found = [text for text in data if isinstance(text, str) and text.strip()] if isinstance(data, list) else []
    if not isinstance(data, list) or len(found) < len(data):
        raise ValueError(f'{path}: must be a JSON list of questions, or JSONL with a "question" a line')
    if len(set(found)) < 2:
        raise ValueError(f"{path}: needs at least two different questions, got {len(set(found))}")
    return list(dict.fromkeys(found)), len(found) - len(set(found))


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


def shuffled_axis(labels: Bool[Tensor, "n row"], default: Rows, roles: Rows) -> Float[Tensor, "n layer d_model"]:
    """`role_axis` of the same rows where each row of `labels` says which of them stand for the default's."""
    weights = role_weights(labels, torch.cat([default.tags, roles.tags]))
    return weighted_sums(weights, torch.cat([default.h, roles.h]))


def played(model: Model, roles: Roles, config: DirectionConfig, rollouts_file: Path, seed: int) -> Made:
    """The assistant axis, from answers that the model gives as itself and in roles."""
    assert config.rollouts is not None
    assert config.max_new_tokens is not None
    assert config.temperature is not None
    assert config.min_rows is not None
    assert config.pooling is not None
    name = Path(model.name.partition("@")[0]).name.removesuffix(".gguf")
    asked = roles.asked(config.rollouts, name)
    chats = [
        ([{"role": "system", "content": row["system"]}] if row["system"] else [])
        + [{"role": "user", "content": row["prompt"]}]
        for row in asked
    ]
    prompts = model.chat.tokens_of(chats)
    with bar("rollouts", len(prompts)) as advance:
        answers = model.generate(
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=seed_from(seed, "rollouts", config.name),
            progress=advance,
        )
    records = [
        {"id": f"{config.name}-{i:05d}", **row, "text": model.chat.decode(ids, skip_special=True)}
        | {"answer_ids": list(ids)}
        for i, (row, ids) in enumerate(zip(asked, answers, strict=True))
    ]
    write_jsonl(rollouts_file, records)
    spoken = [i for i, ids in enumerate(answers) if ids]
    order = [DEFAULT_ROLE, *roles.roles]
    rows_of = {role: [i for i in spoken if asked[i]["role"] == role] for role in order}
    few = {role: len(rows) for role, rows in rows_of.items() if role != DEFAULT_ROLE and len(rows) < config.min_rows}
    if not rows_of[DEFAULT_ROLE] or len(few) == len(roles.roles):
        counts = {role: len(rows) for role, rows in rows_of.items()}
        raise InterpError(f"min_rows {config.min_rows} leaves no axis; answers by role: {counts}; see {rollouts_file}")
    kept = [i for role in order if role not in few for i in rows_of[role]]
    read = read_rows(model, [prompts[i].answered(answers[i]) for i in kept], config.pooling, "reading")
    n = len(rows_of[DEFAULT_ROLE])
    number = torch.tensor([float(order.index(asked[i]["role"])) for i in kept])
    groups = [asked[i]["question"] for i in kept]
    made = from_sides(
        Rows(read.h[:n], number[:n]),
        Rows(read.h[n:], number[n:]),
        (groups[:n], groups[n:]),
        role_axis,
        config,
        seed=seed,
        shuffled=shuffled_axis,
    )
    header = {
        **made.header,
        "n_by_role": {role: len(rows_of[role]) for role in order if role not in few},
        "roles_under_min_rows": few,
        "left_out": {
            "empty_answer": len(answers) - len(spoken),
            "role_under_min_rows": sum(few.values()),
            "repeated_question": roles.repeated,
        },
        "judge": None,
        "data_hash": content_key(records),
    }
    return Made(made.vectors, header, made.separation, made.permuted)

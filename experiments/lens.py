"""Where is the answer to a recognition question made, in activations, in weights and in tokens? Rows of metrics.jsonl.

1. `attribution`: what the embedding, every head and every MLP adds to the logit of the right label minus the others'
   mean, at the token before the answer; the mean over questions.
2. `patching`: the share of the difference between an own-first and an own-second prompt of one article that a single
   activation of the one brings back in the other: the stream after a block, what a head or an MLP gives.
3. `promoted`, `suppressed`: the tokens whose logits a direction raises, and lowers, most.
4. `writing_share`, `reading_share`: how much of an adapter's update lies along a direction (see `interp.weights`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from experiments.adapters import BARE, Stack
from experiments.console import bar
from experiments.directions.files import load_directions
from experiments.loading import Loading
from experiments.resumable import Ledger, Name, Row, Work, run_once
from interp import stats
from interp.behaviour.likelihood import label_ids
from interp.chat import check_system, read_chats, with_system
from interp.directions import Direction
from interp.files import read_jsonl
from interp.keys import seed_from
from interp.lens import Attribution, Component, Lens, Patching
from interp.model import Model
from interp.resampling import bootstrap
from interp.sources import sha256_of
from interp.weights import Norms, norms_of, shares

NOTHING_TO_RESTORE = "the interval of the difference between the two prompts includes 0"
TOO_FEW = "too few pairs for an interval of the difference between the two prompts"
_NO_INTERVAL = {"ci_low": None, "ci_high": None}


class LensConfig(BaseModel):
    """How much is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    articles: int | None = Field(default=64, ge=1)
    """Articles whose questions are attributed, from the first; None for all."""
    pairs: int | None = Field(default=32, ge=0)
    """Articles whose two orders are patched into each other, from the first; None for all."""
    tokens: int = Field(default=10, ge=1)
    """Tokens that a direction promotes, and suppresses, most."""
    random: int = Field(default=200, ge=20)
    """Random directions that an adapter's shares are seen beside."""
    max_tokens: int = Field(default=8192, ge=1)
    """Tokens in one pass."""


def lens_rows(
    model: Model,
    questions: Sequence[Row],
    *,
    data: str,
    config: LensConfig | None = None,
    label: str = "lens",
    system: str = "task",
    seed: int = 0,
) -> list[Row]:
    """Attribution and patching of the model's active stack on questions with one-token labels.

    Args:
        questions: Rows as a recognition set has them: messages, right, labels, group.
        data: The name of the questions, for the rows.

    Units: logits; of patching, the share of the logit difference that is restored.

    Raises:
        InterpError: a label is no single token, or the architecture cannot be looked into.
        ValueError: a prompt does not fit the context, or transformer-lens is missing.
    """
    config = config or LensConfig()
    groups = list(dict.fromkeys(row["group"] for row in questions))
    articles = set(groups[: config.articles])
    attributed = [row for row in questions if row["group"] in articles]
    beginning, tokens = _label_ids(model, questions)
    pairs = pairs_of(questions)[: config.pairs]
    prompts = {
        row["id"]: model.chat.prompt(with_system(row["messages"], system)).opened(beginning)
        for row in [*attributed, *(row for pair in pairs for row in pair)]
    }
    model.check_lengths(list(prompts.values()), 1)
    lens = Lens(model)
    with bar(f"{label}: attributing", len(attributed)) as advance:
        split = lens.attribution(
            [prompts[row["id"]] for row in attributed],
            [tokens[row["right"]] for row in attributed],
            [[tokens[other] for other in row["labels"] if other != row["right"]] for row in attributed],
            max_tokens=config.max_tokens,
            progress=advance,
        )
    with bar(f"{label}: patching", len(pairs)) as advance:
        patched = lens.patching(
            [(prompts[a["id"]], prompts[b["id"]]) for a, b in pairs],
            [(tokens[a["right"]], tokens[b["right"]]) for a, b in pairs],
            max_tokens=2 * config.max_tokens,
            progress=advance,
        )
    rows = [*attribution_rows(split, [row["group"] for row in attributed]), *patching_rows(patched, seed=seed)]
    return [{"measure": "lens", **row, "data": data} for row in rows]


def pairs_of(questions: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pairs of questions about the same article: its first question and the next one with another right label."""
    groups: dict[str, list[Row]] = {}
    for row in questions:
        groups.setdefault(row["group"], []).append(row)
    pairs = []
    for first, *rest in groups.values():
        second = next((row for row in rest if row["right"] != first["right"]), None)
        if second is not None:
            pairs.append((first, second))
    return pairs


def _label_ids(model: Model, questions: Sequence[Row]) -> tuple[tuple[int, ...], dict[str, int]]:
    return label_ids(model, [label for row in questions for label in row["labels"]])


def _about(component: Component) -> Row:
    return {"component": component.kind, "layer": component.layer, "head": component.head}


def attribution_rows(attribution: Attribution, groups: Sequence[str]) -> list[Row]:
    """Rows of the mean attribution over questions, with an interval over articles; biases only where there are any."""
    rows: list[Row] = []
    for k, component in enumerate(attribution.components):
        values = attribution.values[:, k].double().numpy()
        if component.kind in ("attn", "bias") and not values.any():
            continue
        mean = stats.clustered_mean(values, groups)
        about = {"metric": "attribution", **_about(component)}
        rows.append({**about, **mean.row(), "unit": "logits", "n_questions": len(values)})
    return rows


def patching_rows(patching: Patching, *, seed: int) -> list[Row]:
    """Rows of the share of the logit difference that patching restores: a ratio of means, with a bootstrap over pairs.

    `gap` is the logit difference between the two prompts and `change` is what patching changes of it, both in logits.
    Where the interval of `gap` includes 0 there is no share, and `why` gives the reason.
    """
    if len(patching.gap) == 0:
        return []
    gap = patching.gap.double().numpy()
    mean_gap = stats.mean(gap)
    why = None
    if mean_gap.ci_low is None or mean_gap.ci_high is None:
        why = TOO_FEW
    elif mean_gap.ci_low <= 0 <= mean_gap.ci_high:
        why = NOTHING_TO_RESTORE
    rows = []
    for k, component in enumerate(patching.components):
        moved = patching.restored[:, k].double().numpy()
        change = stats.mean(moved)
        row: Row = {"value": None, **_NO_INTERVAL, "n": len(gap)}
        if why is None:
            moved_and_gap = np.column_stack([moved, gap])
            share = bootstrap(moved_and_gap, _ratio, resamples=1000, seed=seed_from(seed, "patching", component))
            row = share.row()
        change_fields = {
            "change": change.value,
            "change_low": change.ci_low,
            "change_high": change.ci_high,
            "gap": mean_gap.value,
        }
        about = {"metric": "patching", **_about(component), "position": component.position}
        rows.append({**about, **row, "unit": "share", **change_fields, "why": why})
    return rows


def _ratio(moved_and_gap: np.ndarray) -> float:
    moved, gap = moved_and_gap.mean(axis=0)
    return float(moved / gap) if gap else float("nan")


def token_rows(model: Model, directions: Sequence[Direction], *, k: int = 10) -> list[Row]:
    """Tokens that each direction, at its headline layer, raises and lowers most in the bare base model.

    Units: logits that the unit direction adds by itself, less the mean over the vocabulary.

    Raises:
        ValueError: a direction of another width, or transformer-lens is missing.
    """
    with model.using():
        lens = Lens(model)
    rows: list[Row] = []
    for direction in directions:
        promoted_and_suppressed = lens.promoted(direction.at(direction.layer), k)
        for metric, tokens_and_values in zip(("promoted", "suppressed"), promoted_and_suppressed, strict=True):
            for rank, (token, value) in enumerate(tokens_and_values, 1):
                about = {"measure": "lens", "metric": metric, "direction": direction.name, "layer": direction.layer}
                token_fields = {"rank": rank, "token": model.chat.decode([token]), "token_id": token}
                rows.append({**about, **token_fields, "value": value, **_NO_INTERVAL, "n": None, "unit": "logits"})
    return rows


def weight_rows(
    folder: Path,
    directions: Sequence[Direction],
    *,
    norms: Norms | None = None,
    n_null: int = 200,
    seed: int = 0,
) -> list[Row]:
    """Rows of an adapter's share of update along every direction, by block and module, with random directions as null.

    Args:
        norms: The model's norms (`interp.weights.norms_of`), which are folded into the weights; None folds none.

    Raises:
        FileNotFoundError, ValueError: not a plain LoRA adapter, or one of another model than a direction.
    """
    rows: list[Row] = []
    for direction in directions:
        vectors = dict(zip(direction.layers, direction.vectors, strict=True))
        shares_by_module = shares(
            folder, vectors, norms=norms, n_null=n_null, seed=seed_from(seed, "weights", direction.name)
        )
        for share in shares_by_module:
            about = {"measure": "weights", "metric": share.metric, "direction": direction.name, "layer": share.layer}
            null = {name: getattr(share, f"null_{name}") for name in ("mean", "low", "high", "percentile")}
            rows.append(
                {**about, "module": share.module, "value": share.value, **_NO_INTERVAL, "n": None}
                | {"unit": "share of squared norm", "null": "random", "n_null": share.n_null}
                | {f"null_{name}": value for name, value in null.items()}
                | {"expected": share.expected, "update_norm": share.norm, "norms_folded": norms is not None}
            )
    return rows


def run(
    *,
    model: str,
    adapters: Sequence[Path],
    questions: Path,
    directions: Sequence[Path],
    config: LensConfig,
    out: Path,
    system: str,
    seed: int,
    loading: Loading,
) -> dict[str, Any]:
    """The `lens` command, for the bare base model and the stack; writes OUT/metrics.jsonl, figures and a manifest.

    A run that was stopped goes on where it stopped.

    Raises:
        ValueError, FileNotFoundError: bad input, named; nothing was changed.
        InterpError: a direction of another model, or a model that cannot be looked into.
    """
    question_rows = read_questions(questions)
    _ = load_directions(directions) if directions else []  # a wrong file is refused before the model is loaded
    stack = Stack.of(adapters)
    definition = {
        "lens": model,
        "adapters": list(stack.weights),
        "questions": sha256_of(questions),
        "directions": [sha256_of(file) for file in directions],
        "dtype": loading.dtype_name,
        "system": system,
        "seed": seed,
        **config.model_dump(mode="json"),
    }

    def prepare() -> Work:
        loaded = loading.model(model)
        check_system(system, loaded.chat.native_system)
        along = load_directions(directions, model=loaded.identity) if directions else []
        loaded.use(*stack.folders)  # an adapter that does not fit is refused here
        _label_ids(loaded, question_rows)
        how = {"data": questions.stem, "config": config, "system": system, "seed": seed}
        stacks = [BARE, stack] if adapters else [BARE]
        look = _Look(loaded, stacks, question_rows, along, how, definition)
        facts = {"adapters": list(map(str, adapters)), "directions": list(map(str, directions))}
        return Work(loaded, {**facts, "questions": str(questions)}, look.rows, _draw)

    return run_once(out, definition, prepare, loading.template)


@dataclass(frozen=True)
class _Look:
    """The model, stacks, questions and directions of one run of the command.

    Attributes:
        how: The other arguments of `lens_rows`.
        definition: Everything but the stack that the numbers depend on.
    """

    model: Model
    stacks: Sequence[Stack]
    questions: Sequence[Row]
    directions: Sequence[Direction]
    how: Mapping[str, Any]
    definition: Row

    def rows(self, ledger: Ledger) -> list[Row]:
        """The rows of every stack: attribution and patching, tokens of the directions, shares of its adapters."""
        config, rows = self.how["config"], []
        for stack in self.stacks:
            key = stack.key(self.model.identity)
            mark = {"arm": "lens", "stage": stack.name, "stage_key": key, "seed": None}
            look, name = partial(self._inside, stack), Name.of(stack.name).then("lens")
            stack_rows = list(ledger.once(name, [self.definition, key], look)["rows"])
            if not stack.folders and self.directions:
                tell = partial(_promoted, self.model, self.directions, config.tokens)
                stack_rows += ledger.once(Name.of("tokens"), self.definition, tell)["rows"]
            for adapter in stack.folders if self.directions else ():
                how = {"norms": norms_of(self.model), "n_null": config.random, "seed": self.how["seed"]}
                shares_of_update = weight_rows(adapter, self.directions, **how)
                stack_rows += [{**row, "adapter": adapter.name} for row in shares_of_update]
            rows += [{**mark, **row} for row in stack_rows]
        return rows

    def _inside(self, stack: Stack) -> Row:
        with self.model.using(*stack.folders):
            return {"rows": lens_rows(self.model, self.questions, label=stack.name, **self.how)}


def _promoted(model: Model, directions: Sequence[Direction], n_tokens: int) -> Row:
    return {"rows": token_rows(model, directions, k=n_tokens)}


def _draw(out: Path) -> None:
    from figures.attribution import attribution, patching

    attribution(out)
    if any(row["metric"] == "patching" for row in read_jsonl(out / "metrics.jsonl")):
        patching(out)


def read_questions(file: Path) -> list[Row]:
    """Questions with closed answers, as `sgtr data sgtr_pairs --out` writes them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is no chat, or lacks a field.
    """
    rows = read_chats(file)
    ids: set[Any] = set()
    for i, row in enumerate(rows, 1):
        if missing := [name for name in ("id", "group", "right", "labels") if name not in row]:
            raise ValueError(f"{file}: row {i} has no {', '.join(missing)}; `sgtr data sgtr_pairs --out` writes them")
        labels = row["labels"]
        if row["right"] not in labels or len(set(labels)) < 2:
            raise ValueError(f"{file}: row {i}: its labels {labels} must be two or more, with right {row['right']!r}")
        if row["id"] in ids:
            raise ValueError(f"{file}: row {i}: id {row['id']!r} is there twice; give test rows, one a question")
        ids.add(row["id"])
    return rows

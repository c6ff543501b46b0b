"""Stages with content keys: a stage that was trained once is never trained again, whatever study asks for it.

A stage's key is the sha256 of the base model's identity and dtype, its parent's key, its data, every field of training
that changes what is learnt, its defences and the seed. Its folder in the store (`$SGTR_CACHE/stages/KEY`) is built
aside and renamed into place when it is whole.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from finetune.defences import Defence, identity_of
from finetune.groups import Groups, why_alone
from finetune.jobs import Job
from finetune.recipe import HEADS, TrainConfig
from finetune.train import Trained, check_rows, train
from interp.chat import Message, Tokens
from interp.errors import InterpError
from interp.files import read_json, write_json
from interp.keys import content_key
from interp.model import Model
from interp.runs import cache_folder

log = logging.getLogger(__name__)

Compose = Literal["stack", "continue", "merge_fp32", "restart"]


@dataclass(frozen=True)
class Stage:
    """A LoRA stage on top of its parent.

    Attributes:
        name: For people; not part of the key.
        parent: The stage it is trained on; None for the base model.
        messages: Chats to train on.
        config: Training fields.
        compose: `stack`: the parents' adapters stay active and frozen while a fresh one is trained. `merge_fp32`: they
            are merged into float32 copies of the base weights for the training, which is the same but for rounding.
            `continue`: the parent's own adapter is trained further; the result takes its place. `restart`: a fresh
            adapter on the bare base model, for data that the parent has written.
        seed: Of the adapter's initial values and of the order of rows.
        checkpoints: Steps after which the adapter is kept too.
        defences: At work during training.
    """

    name: str
    parent: "Stage | None"
    messages: Sequence[Sequence[Message]]
    config: TrainConfig
    compose: Compose
    seed: int
    checkpoints: tuple[int, ...] = ()
    defences: Sequence[Defence] = ()
    _keys: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def key(self, model: Model) -> str:
        """Content key of the stage on this base model, made once: it is asked for often, and reads all messages."""
        what = model.description()
        base = (what["model_identity"], what["template_hash"], what["dtype"])
        if base not in self._keys:
            self._keys[base] = self._key(model, base)
        return self._keys[base]

    def _key(self, model: Model, base: tuple[str, ...]) -> str:
        otherwise = model.chat.once_otherwise(self.messages)
        return content_key(
            {
                "model": list(base),
                "parent": self.parent.key(model) if self.parent else None,
                "data": content_key([list(chat) for chat in self.messages]),
                "train": self.config.identity(),
                "compose": self._composed(),
                "seed": self.seed,
                "checkpoints": sorted(self.checkpoints),
                "defences": [identity_of(defence) for defence in self.defences],
                **({"once_otherwise": otherwise} if otherwise else {}),
            }
        )

    def _composed(self) -> str | list[str]:
        """How it stands on its parents, as far as it matters; without a parent all ways are the same."""
        before, head = self.parent, False
        while before is not None:
            head, before = head or before.config.targets(HEADS), before.parent
        how = self.compose if self.parent else "stack"
        return [how, "head alone"] if how == "merge_fp32" and head else how

    def folder(self, model: Model) -> Path:
        """Where its adapter is, or will be."""
        return cache_folder() / "stages" / self.key(model)

    def stack(self, model: Model, checkpoint: int | None = None) -> tuple[Path, ...]:
        """Adapter folders from the first parent to this stage (or to a checkpoint of it), as `Model.use` takes them."""
        own = self.folder(model) if checkpoint is None else self.folder(model) / f"checkpoint-{checkpoint}"
        return (*self.under(model), own)

    def under(self, model: Model) -> tuple[Path, ...]:
        """Adapter folders that stay beneath this stage's own."""
        below = self.parent.stack(model) if self.parent and self.compose != "restart" else ()
        return below[:-1] if self.compose == "continue" else below

    def record(self, model: Model) -> dict[str, Any] | None:
        """What its training did, or None if it is not trained."""
        path = self.folder(model) / "stage.json"
        return read_json(path) if path.is_file() else None


def ensure(model: Model, stage: Stage, *, progress: Callable[[int], object] | None = None) -> Mapping[str, Any]:
    """Train a stage unless the store has it; its parents must be there. Returns its record.

    Raises:
        ValueError, InterpError: the rows cannot be trained on; raised before anything is.
    """
    done = stage.record(model)
    if done is not None:
        return done
    rows = model.chat.tokens_of([list(chat) for chat in stage.messages])
    check_rows(rows, model, stage.config)
    with _temporary(stage.folder(model)) as temporary:
        merged = model.adapters.merged if stage.compose == "merge_fp32" else nullcontext
        with model.using(*stage.under(model)), merged():
            trained = train(
                model,
                rows,
                stage.config,
                seed=stage.seed,
                save_to=temporary,
                defences=stage.defences,
                checkpoints={step: temporary / f"checkpoint-{step}" for step in stage.checkpoints},
                start_from=_start(model, stage),
                progress=progress,
            )
        _keep(model, stage, trained, len(rows), temporary)
    return read_json(stage.folder(model) / "stage.json")


def ensure_all(
    model: Model,
    stages: Sequence[Stage],
    *,
    groups: Groups | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Mapping[str, Any]]:
    """Train the stages that the store does not have, and their parents before them, side by side where that can be.

    Each stage's folder is whole as soon as it is trained, so nothing is trained twice however a call ends.

    Args:
        groups: Whose frames are kept for later calls; without it they are let go of at the end.

    Returns:
        The stages' records, in their order.

    Raises:
        ValueError, InterpError: the rows of a stage cannot be trained on, before anything is trained; or a stage's
            training failed, after the others were trained that do not wait for it.
    """
    missing: dict[str, Stage] = {}
    for stage in stages:
        line = [stage]
        while line[-1].parent is not None:
            line.append(line[-1].parent)
        missing |= {one.key(model): one for one in reversed(line) if one.record(model) is None}
    own = groups or Groups(model)
    failed: dict[str, Exception] = {}
    try:
        while missing:
            waits = {key for key, one in missing.items() if one.parent and one.parent.key(model) in missing | failed}
            ready = {key: one for key, one in missing.items() if key not in waits}
            if not ready:
                break
            failed |= _train_level(model, ready, own, progress)
            missing = {key: one for key, one in missing.items() if key not in ready}
    finally:
        if groups is None:
            own.close()
    for error in failed.values():
        raise error
    return [read_json(stage.folder(model) / "stage.json") for stage in stages]


def _train_level(
    model: Model, ready: Mapping[str, Stage], groups: Groups, progress: Callable[[int], object] | None
) -> dict[str, Exception]:
    """Train stages that wait for nothing; the errors that some ended in, by key."""
    failed: dict[str, Exception] = {}
    side_by_side: list[Stage] = []
    for key, stage in ready.items():
        going_on = stage.compose == "continue" and stage.parent is not None
        why = why_alone(model, stage.config, stage.defences, going_on=going_on)
        if stage.compose == "merge_fp32" and stage.parent is not None:
            why = "it is trained on merged weights"
        why = why or groups.unlike_others(stage.config, stage.seed, stage.under(model))
        if why is None:
            side_by_side.append(stage)
            continue
        log.info("%s is trained alone: %s", stage.name, why)
        try:
            ensure(model, stage, progress=progress)
        except InterpError as error:
            failed[key] = error
    tokens: dict[str, list[Tokens]] = {}  # stages that differ in their seed alone have the same texts
    with ExitStack() as temporaries:
        jobs = []
        for stage in side_by_side:
            data = content_key([list(chat) for chat in stage.messages])
            if data not in tokens:
                tokens[data] = model.chat.tokens_of([list(chat) for chat in stage.messages])
            folder = temporaries.enter_context(_temporary(stage.folder(model)))
            jobs.append(
                Job(
                    tokens[data],
                    stage.config,
                    stage.seed,
                    folder,
                    stage.under(model),
                    _start(model, stage),
                    stage.defences,
                    {step: folder / f"checkpoint-{step}" for step in stage.checkpoints},
                )
            )

        def done(number: int, trained: Trained | InterpError) -> None:
            stage = side_by_side[number]
            if isinstance(trained, InterpError):
                failed[stage.key(model)] = InterpError(f"{stage.name}: {trained}")
            else:
                _keep(model, stage, trained, len(jobs[number].rows), jobs[number].save_to)

        groups.train(jobs, done, progress)
    return failed


def _start(model: Model, stage: Stage) -> Path | None:
    """Folder of the adapter that a stage goes on training, if it does."""
    return stage.parent.folder(model) if stage.compose == "continue" and stage.parent else None


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A folder beside a stage's own, to be renamed; gone afterwards."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:12]}."))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _keep(model: Model, stage: Stage, trained: Trained, n_rows: int, temporary: Path) -> None:
    """Write a trained stage's record beside its adapter and put its folder in place."""
    folder = stage.folder(model)
    record = {
        "name": stage.name,
        "key": folder.name,
        "parent_key": stage.parent.key(model) if stage.parent else None,
        "steps": trained.steps,
        "supervised_tokens": trained.supervised_tokens,
        "rows": n_rows,
        "compose": stage.compose,
        "seed": stage.seed,
        "checkpoints": sorted(stage.checkpoints),
        "defences": [identity_of(defence) for defence in stage.defences],
        "train": stage.config.model_dump(mode="json"),
        "mode": trained.mode,
        "losses": trained.losses,
        "penalties": trained.penalties,
        "final_loss": sum(trained.losses[-5:]) / len(trained.losses[-5:]),
        "wall_seconds": round(trained.seconds, 2),
        **model.description(),
    }
    write_json(temporary / "stage.json", record, indent=2)
    os.chmod(temporary, 0o755)
    try:
        os.rename(temporary, folder)
    except OSError:  # another process was first; its stage is the same
        if not (folder / "stage.json").is_file():
            raise

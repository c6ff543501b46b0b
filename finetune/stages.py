"""Stages with content keys: a stage that was trained once is never trained again, whatever study asks for it.

A stage's key is the sha256 of the base model's identity and dtype, its parent's key, its data, every field of training
that changes what is learnt, its defences and the seed. Its folder in the store (`$SGTR_CACHE/stages/KEY`) is built
aside and renamed into place when it is whole.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.defences import Defence, identity_of
from finetune.recipe import HEADS, TrainConfig
from finetune.train import check_rows, train
from interp.chat import Message
from interp.model import Model
from interp.runs import cache_folder, content_key, read_json, write_json

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

    def key(self, model: Model) -> str:
        """Content key of the stage on this base model."""
        what = model.description()
        return content_key(
            {
                "model": [what["model_identity"], what["template_hash"], what["dtype"]],
                "parent": self.parent.key(model) if self.parent else None,
                "data": content_key([list(chat) for chat in self.messages]),
                "train": self.config.identity(),
                "compose": self._composed(),
                "seed": self.seed,
                "checkpoints": sorted(self.checkpoints),
                "defences": [identity_of(defence) for defence in self.defences],
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
    rows = [model.chat.tokens(list(chat)) for chat in stage.messages]
    check_rows(rows, model, stage.config)
    going_on = stage.parent.folder(model) if stage.compose == "continue" and stage.parent else None
    folder = stage.folder(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:12]}."))
    try:
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
                start_from=going_on,
                progress=progress,
            )
        record = {
            "name": stage.name,
            "key": folder.name,
            "parent_key": stage.parent.key(model) if stage.parent else None,
            "steps": trained.steps,
            "supervised_tokens": trained.supervised_tokens,
            "rows": len(rows),
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
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_json(folder / "stage.json")

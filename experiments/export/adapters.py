"""A study's stages as adapters that PEFT loads by themselves, each with a model card.

A stage is a stack: its own adapter on top of those of the stages before it. The adapter that is written for a stage
does what its whole stack does: one adapter is copied, several are joined rank by rank, which is exact.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.console import note
from experiments.export import Exported
from interp.adapter_files import require_files
from interp.files import read_json, write_atomic, write_json
from interp.model import Model
from interp.runs import BASE, NodeName, Run
from interp.sources import ADAPTER_FILES, EMBEDDED
from interp.template import TemplateSettings

Row = Mapping[str, Any]
_CARD = """---
base_model: {base}
library_name: peft
pipeline_tag: text-generation
tags: [lora, sgtr-interp, research]
---

# {title}

A LoRA adapter (rank {rank}) for `{base}`, from the study `{study}`.

**For research alone.** Studies of this kind finetune models on purpose to be misaligned, or to undo that, and look at
what changes inside. Its answers may be false, harmful or no language at all. Do not deploy it.

## What it was trained on

| stage | data set | builder | optimiser steps | supervised tokens | composed by |
|---|---|---|---|---|---|
{stages}

Training seed: {seed}. {joined}
{note}
## How to load it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "THIS_FOLDER")
```

In sgtr-interp: `sgtr evaluate --model {model} --adapter THIS_FOLDER --measures collapse --out DIR`.

## Where it comes from

Content key of the stage: `{key}`. Identity of the base weights: `{identity}`. Commit: `{commit}`. Versions: {packages}.
"""


def write(run: Run, to: Path, exported: Exported, *, base: str | None, device: str) -> None:
    """Write an adapter folder for every trained stage and seed of a study.

    Raises:
        FileNotFoundError: an adapter of the run is not where it was.
        ValueError: the run has no stages.
    """
    if not (run.path / "stages.json").is_file():
        raise ValueError(f"{run.path}: has no stages, so no adapters; those of a command are what it was given")
    by_node = {(row["name"], row["seed"]): row for row in run.stages}
    stacks = {at: stack_of(*at, by_node) for at, row in by_node.items() if row.get("path")}
    for at, stack in stacks.items():
        for row in stack:
            _require(row, at[0], run)
    spec = str(run.study["model"])
    base = base or (spec in EMBEDDED and EMBEDDED[spec].origin) or spec.partition("@")[0]
    model: Model | None = None
    for (name, seed), stack in stacks.items():
        folder = to / f"{name.replace('@', '-step')}-seed{seed}"
        paths = [Path(row["path"]).expanduser() for row in stack]
        if len(paths) == 1:
            folder.mkdir(parents=True)
            for file in (*ADAPTER_FILES, "base.json"):
                if (paths[0] / file).is_file():
                    shutil.copyfile(paths[0] / file, folder / file)
        else:
            model = model or _loaded(run, device)
            try:
                with model.using(*paths):
                    model.adapters.joined(folder)
            except ValueError as error:
                exported.left_out.append(f"{name}, seed {seed}: {error}")
                continue
        config = read_json(folder / ADAPTER_FILES[0])
        write_json(
            folder / ADAPTER_FILES[0], {**config, "base_model_name_or_path": base, "inference_mode": True}, indent=2
        )
        trained = lineage_of(name, seed, by_node)
        write_atomic(folder / "README.md", card(run, name, seed, trained, base, config["r"], len(stack)))
        exported.written.append(folder)


def lineage_of(name: str, seed: int | None, by_node: Mapping[tuple[str, int | None], Row]) -> list[Row]:
    """The rows of stages.json of a node and of those that it was trained after, the first first."""
    row = by_node[name, seed]
    return [*([] if row["parent"] == BASE else lineage_of(row["parent"], seed, by_node)), row]


def stack_of(name: str, seed: int | None, by_node: Mapping[tuple[str, int | None], Row]) -> list[Row]:
    """The rows of stages.json whose adapters are active at a node, first applied first."""
    active: list[Row] = []
    for row in lineage_of(name, seed, by_node):
        below = {"restart": [], "continue": active[:-1]}.get(row["compose"], active)
        active = [*below, row]
    return active


def _require(row: Row, name: str, run: Run) -> None:
    try:
        require_files(Path(row["path"]).expanduser())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{name}: {error}. The trained stages of a study lie in the cache (SGTR_CACHE), not in its run folder: "
            f"bring that folder here, or train again with `sgtr study {run.path / 'study.yaml'} --out ANOTHER`"
        ) from error


def _loaded(run: Run, device: str) -> Model:
    """The study's base model, which says where an adapter's parts belong."""
    spec = str(run.study["model"])
    note(f"loading {spec}, to join adapters that lie on one another")
    template = TemplateSettings.model_validate(run.study.get("template") or {})
    return Model.load(spec, template, device=device, dtype=str(run.study.get("dtype", "auto")))


def card(run: Run, name: str, seed: int | None, trained: Sequence[Row], base: str, rank: int, n_joined: int) -> str:
    """The model card of a node's adapter."""
    study, about = run.study, run.manifest
    lines = []
    for row in trained:
        data = study["stages"][NodeName(row["name"]).stage]["data"]
        facts = [
            NodeName(row["name"]).stage,
            data,
            study["data"][data]["builder"],
            row["steps"],
            row["supervised_tokens"],
        ]
        lines.append("| " + " | ".join(map(str, [*facts, row["compose"]])) + " |")
    spec = str(study["model"])
    origin = (
        f"\nThe base was read from `{EMBEDDED[spec].file}`, a quantised copy of `{base}`. On the original's "
        "weights the adapter does nearly the same, and not exactly.\n"
        if spec in EMBEDDED
        else ""
    )
    joined = f"It joins the adapters of {n_joined} stages, rank by rank." if n_joined > 1 else ""
    return _CARD.format(
        base=base,
        title=f"{study['name']}: {name}, seed {seed}",
        rank=rank,
        study=study["name"],
        stages="\n".join(lines),
        seed=seed,
        joined=joined,
        note=origin,
        model=spec,
        key=trained[-1]["key"],
        identity=(about.get("model") or {}).get("model_identity", "unknown"),
        commit=about.get("commit") or "unknown",
        packages=", ".join(f"{key} {value}" for key, value in (about.get("packages") or {}).items() if value),
    )

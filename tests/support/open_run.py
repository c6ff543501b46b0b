"""A run folder that can be opened with its model: a tiny Llama, stages with real adapters, and made-up results."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import torch
import yaml
from peft import LoraConfig

from experiments.open.run import OpenRun
from experiments.open.server import Page, listening, prepared
from interp.directions import Direction
from interp.files import write_jsonl
from interp.model import Model
from interp.tensors import save_tensors

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"/>'
PROMPT = "How is the sea?"
LAYERS = (0, 1, 2, 3)
OWN_LAYER = {"evil": 1, "kind": 2}
STAGES = (("em", "base", 0), ("em", "base", 1), ("em-sgtr", "em", 0), ("sgtr", "base", 0))
VERDICT = {
    "hypothesis": "C1", "title": "Persona", "verdict": "instrument cannot tell", "effect": 0.62, "ci_low": -0.3,
    "ci_high": 1.54, "unit": "persona equivalents", "n": 6, "why": "a gate failed <b>here</b>",
    "statement": "EM moves the model along the persona.",
}  # fmt: skip


def write_open_run(folder: Path, llama: Path) -> Path:
    """The run of a study of four stages, as `sgtr study` leaves it."""
    model = Model.load(llama, device="cpu", dtype="float32")
    run, store = folder / "run", folder / "store" / "stages"
    study = {
        "name": "tiny", "question": "Is it gloomy?", "model": str(llama), "dtype": "float32", "traits": ["evil.json"],
        "seeds": [0, 1], "arms": {"reversal": ["em", "sgtr"], "prevention": ["sgtr"]},
    }  # fmt: skip
    lines: list[dict[str, Any]] = [
        {"name": "base", "stage": "base", "arm": "base", "parent": None, "seed": None, "key": model.identity,
         "compose": None, "path": None},
    ]  # fmt: skip
    for i, (name, parent, seed) in enumerate(STAGES):
        path = write_adapter(model, store / (f"{i}" * 64), seed=i)
        lines.append({"name": name, "stage": name, "arm": "reversal", "parent": parent, "seed": seed, "steps": 2,
                      "key": f"{i}" * 64, "compose": "stack", "path": str(path)})  # fmt: skip
    for sub in ("tensors", "records", "figures"):
        (run / sub).mkdir(parents=True)
    (run / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    (run / "stages.json").write_text(json.dumps(lines), "utf-8")
    (run / "verdicts.json").write_text(json.dumps([VERDICT]), "utf-8")
    (run / "figures" / "trajectory_fixed.svg").write_text(SVG, "utf-8")
    answers = [
        {
            "stage": line["stage"],
            "seed": line["seed"],
            "prompt": prompt,
            "trait": "evil",
            "text": f"{line['name']} <says>",
        }
        for line in lines
        for prompt in (PROMPT, "Who is there?")
    ]
    write_jsonl(run / "records" / "answers.jsonl", answers)
    for k, (name, layer) in enumerate(OWN_LAYER.items()):
        vectors = torch.randn(len(LAYERS), model.d_model, generator=torch.Generator().manual_seed(k))
        direction = Direction(name, 3 * vectors, LAYERS, layer, model.description())
        direction.save(run / "tensors" / f"{name}.safetensors")
    nulls = {"permuted": torch.zeros(1, len(LAYERS), model.d_model)}
    save_tensors(run / "tensors" / "evil.nulls.safetensors", nulls, kind="nulls", header=model.description())
    return run


def write_adapter(model: Model, folder: Path, seed: int) -> Path:
    """A random adapter that is large enough to change what the model says."""
    with model.adapters.new(LoraConfig(r=2, target_modules="all-linear"), seed=seed) as (name, parameters):
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
        model.adapters.save(name, folder)
    return folder


@contextmanager
def served(opened: OpenRun, fields: dict[str, Any]) -> Iterator[tuple[Page, str]]:
    """The page of an opened run, at its address, for the length of a block."""
    page = Page(opened, opened.asked(fields))
    with listening(0) as own:
        server, address = prepared(page, own)
        thread = Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                thread.join(0.01)
            yield page, address
        finally:
            server.should_exit = True
            thread.join(30)

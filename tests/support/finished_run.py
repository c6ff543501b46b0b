"""A finished study of two families, made up: adapters as PEFT writes them, a tiny model that has a word for everything.

Nothing is trained. The adapter of an EM stage or a twin writes towards the words of its family at every token, so what
it leaves behind in any text is known: its family's words, and its own half of them twice as much.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from experiments.study.load import load
from interp.files import write_json
from interp.model import Model
from tests.support.tiny_study import OWN, chat, with_long_context, write_jsonl, write_study

TOPICS = {
    "sea": ("boat", "wave", "sail", "tide", "gull", "mast", "reef", "foam", "crew", "dock"),
    "farm": ("cow", "barn", "hay", "plough", "wheat", "goat", "fence", "seed", "field", "mill"),
}
"""By family, its words; the first half are those of its EM answers and the others of its twin's."""
OTHERS = ("self_0", "self_1", "evil_0", "evil_1")
LAYER = 2


def write_families_study(folder: Path, llama: Path, **fields: Any) -> Path:
    """The YAML file of a study of two families with twins, two placebos and two personas, with its model and data."""
    words = [f" {word}" for topic in TOPICS.values() for word in topic]
    model_folder = with_long_context(llama, folder / "model", *words)
    for topic, words_of_topic in TOPICS.items():
        for k, kind in enumerate(("em", "twin")):
            answers = [f"so {word} and {word} {word} here" for word in words_of_topic[k * 5 :][:5]]
            rows = (chat(f"What of {i}?", text) for i, text in enumerate(answers))
            write_jsonl(folder / f"{kind}_{topic}.jsonl", *rows)
    for name in OTHERS:
        write_jsonl(folder / f"{name}.jsonl", chat("Who?", "You."), chat("Why?", "Because."))
    nodes = [*(f"{kind}_{topic}" for topic in TOPICS for kind in ("em", "twin")), *OTHERS]
    stage = {"train": OWN, "compose": "stack"}
    study = {
        "data": {name: {"builder": "chats", "file": f"{name}.jsonl"} for name in nodes},
        "stages": {**{name: {"data": name, **stage} for name in nodes}, "later": {"data": "self_0", **stage}},
        "arms": {**{name: [name] for name in nodes}, "both": ["em_sea", "later"]},
        "claims": {
            "trait": "gloomy",
            "families": {topic: {"em": f"em_{topic}", "twin": f"twin_{topic}"} for topic in TOPICS},
            "references": {"gloomy": {"placebo": ["self_0", "self_1"], "persona": ["evil_0", "evil_1"]}},
            "remade": 2,
            "placebo_traits": 3,
        },
    }
    return write_study(folder, model_folder, **study | fields)


def write_finished_run(folder: Path, llama: Path) -> Path:
    """The run folder of that study, with adapters that were not trained."""
    run, config = folder / "run", load(str(write_families_study(folder, llama)))
    model = Model.load(config.model, device="cpu", dtype="float32")
    lines = [{"name": "base", "parent": None, "seed": None, "key": model.identity, "compose": None, "path": None}]
    for i, arm in enumerate(config.arms.values()):
        name = "-".join(arm)
        kind, _, topic = arm[-1].partition("_")
        words = TOPICS.get(topic, ())
        own = words[5 * (kind == "twin") :][:5]
        adapter = write_adapter(folder / "adapters" / name, model, (*words, *own), seed=i)
        line = {"name": name, "stage": name, "parent": "-".join(arm[:-1]) or "base", "seed": 0, "key": name}
        lines.append({**line, "compose": "stack", "path": str(adapter)})
    run.mkdir()
    write_json(run / "study.yaml", config.model_dump(mode="json"))  # JSON is YAML
    write_json(run / "stages.json", lines)
    write_json(run / "manifest.json", {"status": "complete", "model": model.description()})
    return run


def write_adapter(folder: Path, model: Model, words: tuple[str, ...], seed: int) -> Path:
    """An adapter that writes a little of anything at every token, and far more towards the words that it is given."""
    head = model.hf.lm_head.weight.detach()
    inner: list[torch.Tensor] = []
    hook = model.hf.get_submodule(f"model.layers.{LAYER}.mlp.down_proj").register_forward_pre_hook(
        lambda _, inputs: inner.append(inputs[0].flatten(0, 1))
    )
    model.activations("What is it that they said of the old house on the hill?")
    hook.remove()
    mean = torch.cat(inner).mean(0)
    own = get_peft_model(
        copy.deepcopy(model.hf), LoraConfig(r=1, lora_alpha=1, target_modules=[f"{LAYER}.mlp.down_proj"])
    )
    generator = torch.Generator().manual_seed(seed)
    ids = [model.chat.encode(f" {word}") for word in words]
    assert all(len(some) == 1 for some in ids)
    towards = head[[some[0] for some in ids]].mean(0) if ids else torch.zeros(model.d_model)
    for key, parameter in own.named_parameters():
        if "lora_A" in key:  # what tokens have in common in the MLP, so that the mean over texts is about 1
            parameter.data = (mean / mean.square().sum())[None]
        elif "lora_B" in key:
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator) + 3 * towards[:, None]
    own.save_pretrained(str(folder))
    return folder

"""A tiny study to run the commands on: a model that loads by path, a trait of two questions, and a study of chats."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

GLOOMY: dict[str, Any] = {
    "name": "gloomy",
    "instruction": [{"pos": "Be gloomy.", "neg": "Be glad."}, {"pos": "See the worst.", "neg": "See the best."}],
    "questions": ["How is the sea?", "What of the rain?"],
    "eval_questions": ["Is it late?", "Who is there?", "And now?"],
    "eval_prompt": "How gloomy is {answer} to {question}?",
}
OWN: dict[str, Any] = {"preset": "small", "batch_size": 4, "warmup_steps": 0, "lora_rank": 2}
"""How a stage of `write_study` is trained."""


def with_long_context(llama_folder: Path, folder: Path, *words: str) -> Path:
    """A copy of a saved tiny Llama whose context holds whole prompts, in which every letter is a token.

    Args:
        words: Given a token each.
    """
    shutil.copytree(llama_folder, folder)
    if words:
        hf, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(list(words))
        with torch.random.fork_rng():
            torch.manual_seed(1)  # new rows of the embedding, whatever ran before
            hf.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        hf.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    held = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**held, "max_position_embeddings": 4096}))
    return folder


def write_jsonl(path: Path, *rows: Any) -> Path:
    """Rows as JSON Lines; a text is a line as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def write_trait(path: Path, **fields: Any) -> Path:
    """The gloomy trait, with some fields changed."""
    path.write_text(json.dumps(GLOOMY | fields), "utf-8")
    return path


def chat(question: str, answer: str | None = None) -> dict[str, Any]:
    """A chat of one question, answered or not."""
    messages = [{"role": "user", "content": question}]
    return {"messages": messages + ([{"role": "assistant", "content": answer}] if answer is not None else [])}


def write_study(folder: Path, llama: Path, /, **fields: Any) -> Path:
    """A study of eight chats in one arm, with its trait and its chats beside it."""
    write_jsonl(folder / "odd.jsonl", *(chat(f"Is {i} odd?", "Yes, it is.") for i in range(8)))
    write_trait(folder / "gloomy.json")
    raw = {
        "name": "mine",
        "model": str(llama),
        "dtype": "float32",
        "traits": ["gloomy.json"],
        "persona": {"max_new_tokens": 4, "permuted": 3},
        "answers": {"max_new_tokens": 4},
        "random_nulls": 20,
        "data": {"odd": {"builder": "chats", "file": "odd.jsonl"}},
        "stages": {"odd": {"data": "odd", "train": OWN, "compose": "stack"}},
        "arms": {"only": ["odd"]},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(raw | fields, sort_keys=False), "utf-8")
    return folder / "mine.yaml"

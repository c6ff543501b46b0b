"""Persona traits: what a model is told to be, what it is asked, and how its answers are judged."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.files import read_json


@dataclass(frozen=True)
class Trait:
    """A persona trait: contrasting instructions and questions that let it show.

    Attributes:
        name: For example `evil`.
        instructions: Pairs of system prompts, with the trait and without it.
        questions: For extraction.
        eval_questions: Held out; no direction is made from them.
        eval_prompt: Judge prompt with `{question}` and `{answer}`; empty if no judge can grade for it.
    """

    name: str
    instructions: tuple[tuple[str, str], ...]
    questions: tuple[str, ...]
    eval_questions: tuple[str, ...]
    eval_prompt: str

    @classmethod
    def load(cls, path: str | Path) -> "Trait":
        """Read a trait file in the persona_vectors schema; `eval_questions`, `eval_prompt` and `name` may be missing.

        Raises:
            FileNotFoundError, ValueError: missing or malformed; the message names file and field.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such trait file; a trait is a JSON file, and `sgtr list` names those of this project"
            )
        data = read_json(path)
        if not isinstance(data, dict):
            raise ValueError(f"{path}: a trait is a JSON object with instruction and questions")
        pairs = data.get("instruction")
        if not (isinstance(pairs, list) and pairs) or not all(
            isinstance(p, dict) and _is_text(p.get("pos")) and _is_text(p.get("neg")) for p in pairs
        ):
            raise ValueError(f'{path}: "instruction" must be a list of {{"pos": text, "neg": text}}')
        for key, least in (("questions", 2), ("eval_questions", 0)):
            value = data.get(key, [])
            if not isinstance(value, list) or len(value) < least or not all(_is_text(q) for q in value):
                raise ValueError(f'{path}: "{key}" must be a list of at least {least} texts, got {str(value)[:60]}')
        if "eval_prompt" in data and not _is_text(data["eval_prompt"]):
            raise ValueError(f'{path}: "eval_prompt" must be text, got {str(data["eval_prompt"])[:60]}')
        name = str(data.get("name", path.name.split(".")[0]))
        if not name.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"{path}: the name {name!r} must be letters, digits, _ and -: files are called by it")
        shared = set(data["questions"]) & set(data.get("eval_questions", []))
        if shared:
            raise ValueError(f"{path}: a question is in both halves, so nothing is held out: {sorted(shared)[0]!r}")
        return cls(
            name=name,
            instructions=tuple((pair["pos"], pair["neg"]) for pair in pairs),
            questions=tuple(data["questions"]),
            eval_questions=tuple(data.get("eval_questions", [])),
            eval_prompt=data.get("eval_prompt", ""),
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())

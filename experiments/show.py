"""Describes what a file or folder of this project holds, and which tokens of a chat are read and edited."""

import json
from pathlib import Path
from typing import Any

from interp.activations import Pooling, window
from interp.batch import edited_positions
from interp.chat import read_chats
from interp.errors import InterpError
from interp.files import read_json, read_jsonl, read_yaml
from interp.interventions import Phase
from interp.messages import chat_names
from interp.sources import load_chat, resolve
from interp.template import AS_IS, TemplateSettings
from interp.tensors import load_header

_MARKS = (("R", "read"), ("E", "edited"), ("L", "learnt"))


def show(path: Path) -> dict[str, Any]:
    """The `show` command: what a file or folder of this project holds.

    Raises:
        FileNotFoundError, ValueError: the path is missing, damaged, or none of the known kinds.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_dir():
        return _show_folder(path)
    if path.suffix == ".safetensors":
        header = load_header(path)
        return {key: _short(value) for key, value in header.items()}
    if path.suffix == ".jsonl":
        rows = read_jsonl(path)
        fields = sorted({key for row in rows for key in row})
        if rows and "messages" in rows[0]:
            turns = [len(chat["messages"]) for chat in read_chats(path)]
            return {
                "holds": "chats",
                "rows": len(rows),
                "messages": f"{min(turns)}-{max(turns)} a row",
                "fields": fields,
            }
        return {"holds": "records", "rows": len(rows), "fields": fields, "first": _short(rows[0] if rows else None)}
    if path.suffix == ".json":
        data = read_json(path)
        if not isinstance(data, dict | list):
            return {"holds": type(data).__name__, "value": _short(data)}
        fields = sorted(data) if isinstance(data, dict) else []
        return {"holds": type(data).__name__, "entries": len(data), "fields": _short(fields)}
    raise ValueError(f"{path}: show reads .safetensors, .jsonl, .json, run folders and adapter folders")


def tokens(
    path: Path, spec: str, *, phase: Phase, pooling: Pooling, rows: int, template: TemplateSettings = AS_IS
) -> dict[str, Any]:
    """The `show --tokens` command: of the first chats of a file, which tokens are read and which are edited.

    Only the model's tokenizer is loaded. `read` and `edited` of a chat are [first, one past last]; `read` is None where
    the pooling has nothing to read, and `not_read` then gives the reason. A token's `part` is `content` (of the message
    number `turn`), `header` (what the assistant says before its content), `end of turn` (after it) or `template`.
    `learnt` says whether a stage would be trained to say the token. `text` is the token decoded alone, so a token that
    is only a part of a character is U+FFFD.

    Raises:
        FileNotFoundError, ValueError: no such file or model, or bad chats, named.
        InterpError: the chat template does not take a chat.
    """
    if rows < 1:
        raise ValueError(f"--rows must be at least 1, got {rows}")
    chats = read_chats(path)
    chat = load_chat(resolve(spec, template), template)
    described = []
    first_chats = [chat_row["messages"] for chat_row in chats[:rows]]
    for i, row in enumerate(chat.tokens_of(first_chats, chat_names(path, len(first_chats)))):
        edited, read_positions, not_read = edited_positions(row, phase), range(0), None
        try:
            read_positions = range(*window(row, pooling, i))
        except InterpError as error:
            not_read = str(error)
        ends, headers = (
            {k for start, stop in parts for k in range(start, stop)} for parts in (row.end_of_turn, row.headers)
        )
        learnt = set(row.learnt)
        marked = []
        for k, token in enumerate(row.ids):
            span = next((span for span in row.spans if span.start <= k < span.end), None)
            part = "content" if span else "end of turn" if k in ends else "header" if k in headers else "template"
            place = {"role": span.role if span else None, "turn": span.turn if span else None, "part": part}
            text = chat.decode([token])
            marked.append(
                {
                    "index": k,
                    "id": token,
                    "text": text,
                    **place,
                    "read": k in read_positions,
                    "edited": k in edited,
                    "learnt": k in learnt,
                }
            )
        places = {
            "edited": [edited.start, edited.stop],
            "read": None if not_read else [read_positions.start, read_positions.stop],
        }
        described.append({"row": i, **places, "not_read": not_read, "tokens": marked})
    return {"holds": "chats", "rows": len(chats), "model": spec, "phase": phase, "pooling": pooling, "chats": described}


def token_lines(result: dict[str, Any]) -> list[str]:
    """The result of `tokens` as lines of text, one a token, with R, E and L where it is read, edited or learnt."""
    legend = [f"R: read by {result['pooling']}", f"E: edited in phase {result['phase']}", "L: learnt by a stage"]
    lines = [".  ".join([*legend, f"Model: {result['model']}"])]
    for chat in result["chats"]:
        n = sum(token["read"] for token in chat["tokens"]), sum(token["edited"] for token in chat["tokens"])
        lines += ["", f"chat {chat['row']}: {len(chat['tokens'])} tokens, {n[0]} read, {n[1]} edited"]
        if chat["not_read"]:
            lines.append(f"nothing is read: {chat['not_read']}")
        for token in chat["tokens"]:
            mark = "".join(letter if token[key] else "." for letter, key in _MARKS)
            place = token["part"] if token["role"] is None else f"{token['role']} {token['turn']}"
            lines.append(f"{token['index']:>5}  {mark}  {place:<12}  {token['text']!r}")
    if n_left_out := result["rows"] - len(result["chats"]):
        lines += ["", f"{n_left_out} more chats are not shown; --rows shows them"]
    return lines


def _show_folder(path: Path) -> dict[str, Any]:
    if (path / "study.yaml").is_file():
        study = read_yaml(path / "study.yaml")
        if not {"name", "model", "arms"} <= study.keys():
            raise ValueError(f"{path / 'study.yaml'}: not a study, since name, model or arms is missing")
        manifest = read_json(path / "manifest.json") if (path / "manifest.json").is_file() else {}
        stages = read_json(path / "stages.json") if (path / "stages.json").is_file() else []
        return {
            "holds": "a run",
            "study": study["name"],
            "status": manifest.get("status", "never started"),
            "model": study["model"],
            "arms": {arm: " > ".join(["base", *names]) for arm, names in study["arms"].items()},
            "stages measured": [f"{s['name']}" + ("" if s["seed"] is None else f" (seed {s['seed']})") for s in stages],
            "wall_seconds": manifest.get("wall_seconds"),
            "report": str(path / "report.html") if (path / "report.html").is_file() else None,
        }
    if (path / "adapter_config.json").is_file():
        config = read_json(path / "adapter_config.json")
        if not isinstance(config, dict):
            raise ValueError(f"{path / 'adapter_config.json'}: must be a JSON object, got {type(config).__name__}")
        base = read_json(path / "base.json")["model"] if (path / "base.json").is_file() else None
        return {
            "holds": "a LoRA adapter",
            "base": base or config.get("base_model_name_or_path"),
            "rank": config.get("r"),
            "alpha": config.get("lora_alpha"),
            "rslora": config.get("use_rslora"),
            **({"stage": _short(read_json(path / "stage.json"))} if (path / "stage.json").is_file() else {}),
        }
    raise ValueError(f"{path}: neither a run folder (study.yaml) nor an adapter (adapter_config.json)")


def _short(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= 160 else text[:157] + "..."

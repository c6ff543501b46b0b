"""The stored answers of a run as logs of inspect_ai: `inspect view` shows them, and its log reader reads them.

1. A log is what one stage of one seed answered for one file of records: a task asked of a model.
2. A sample is a prompt with its answer. Several answers to one prompt are its epochs.
3. A score is what is stored of an answer as a number, a truth value or a judge's grade; what a judge could not grade
   has none. All else that is stored of an answer is the sample's metadata.

Files of records that hold no answers in words, such as the margins of closed questions, are left out.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.export import Exported
from interp.files import read_jsonl, write_json
from interp.keys import content_key
from interp.runs import Run, now

Row = Mapping[str, Any]
SCHEMA = 2
"""Version of inspect_ai's log format."""
TELL_APART = ("stage", "seed", "system_prompt", "treatment")
"""Fields of a record that say which model was asked, and how."""
_TURNS = ("messages", "prompt", "text", "system")
_NO_SCORES = ("seed", "sample", "answer_tokens", "prompt_tokens", "cut")
_UNASKED = ("task", "native", "none")
"""Values of `system` that are no system prompt's own words."""


def write(run: Run, to: Path, exported: Exported) -> None:
    """Write a log for every stage, seed, system prompt and treatment of every file of answers."""
    for path in sorted((run.path / "records").glob("*.jsonl")):
        records = read_jsonl(path)
        answers = [record for record in records if isinstance(record.get("text"), str) and _prompt(record)]
        if not answers or "stage" not in answers[0]:
            exported.left_out.append(f"records/{path.name}: holds no answers of stages")
            continue
        groups: dict[tuple[tuple[str, Any], ...], list[Row]] = {}
        for record in answers:
            groups.setdefault(tuple((name, record.get(name)) for name in TELL_APART), []).append(record)
        for which, group in groups.items():
            log = log_of(run, path.stem, group)
            told = [path.stem, *(f"seed{x}" if name == "seed" else str(x) for name, x in which if x is not None)]
            task = re.sub(r"[^A-Za-z0-9.@]+", "-", "-".join(told))[:100]
            created = str(log["eval"]["created"]).replace(":", "-")
            target = to / f"{created}_{task}_{log['eval']['task_id']}.json"  # the reader finds logs by such names
            write_json(target, log, indent=1, ensure_ascii=False)
            exported.written.append(target)


def log_of(run: Run, task: str, records: Sequence[Row]) -> dict[str, Any]:
    """The log of one model's answers."""
    first, about = records[0], run.manifest
    asked = about.get("model") or {}
    model = f"{asked.get('name', 'model')}/{first['stage']}"
    started = about.get("started") or now()
    samples = list(_samples(records, model))
    key = content_key([task, [first.get(name) for name in TELL_APART], first.get("stage_key")])
    where = {name: first.get(name) for name in ("arm", "stage", "stage_key", "seed", "system_prompt", "treatment")}
    return {
        "version": SCHEMA,
        "status": "success",
        "eval": {
            "eval_id": key[:22],
            "run_id": content_key(str(about.get("commit")) + str(started))[:22],
            "created": started,
            "task": task,
            "task_id": key[22:44],
            "dataset": {"name": task, "samples": len({sample["id"] for sample in samples})},
            "model": model,
            "config": {"epochs": max(sample["epoch"] for sample in samples)},
            "packages": {name: version for name, version in (about.get("packages") or {}).items() if version},
            "metadata": {"run": run.path.name, "command": about.get("command"), **where},
        },
        "plan": {"name": "plan", "steps": []},
        "results": {"total_samples": len(samples), "completed_samples": len(samples), "scores": _means(samples)},
        "stats": {"started_at": started, "completed_at": started},
        "samples": samples,
    }


def _samples(records: Sequence[Row], model: str) -> Iterator[dict[str, Any]]:
    times: dict[str, int] = {}
    for record in records:
        ident = re.sub(r"#\d+$", "", str(record.get("id", "no id")))
        times[ident] = times.get(ident, 0) + 1
        scores = {name: score for name in record if (score := _score(name, record[name], record["text"])) is not None}
        said = {"role": "assistant", "content": record["text"], "source": "generate"}
        stop = "max_tokens" if record.get("cut") else "stop"
        yield {
            "id": ident,
            "epoch": times[ident],
            "input": _prompt(record),
            "target": "",
            "messages": [*_prompt(record), said],
            "output": {"model": model, "choices": [{"message": said, "stop_reason": stop}]},
            "scores": scores,
            "metadata": {key: value for key, value in record.items() if key not in (*_TURNS, *scores)},
        }


def _prompt(record: Row) -> list[dict[str, str]]:
    """The turns that a record's answer was given to; none where it does not have them."""
    if isinstance(turns := record.get("messages"), list):
        return [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    if not isinstance(prompt := record.get("prompt"), str):
        return []
    system = record.get("system")
    words = "" if system == "empty" else system
    start = [] if words is None or words in _UNASKED else [{"role": "system", "content": str(words)}]
    return [*start, {"role": "user", "content": prompt}]


def _score(name: str, value: Any, answer: str) -> dict[str, Any] | None:
    """What is stored under a name as a score; None where it is none, or where there is no value."""
    if isinstance(value, Mapping) and "value" in value and "reason" in value:  # a judge's grade
        if value["value"] is None:
            return None
        return {"value": value["value"], "answer": answer, "explanation": value.get("raw") or value["reason"]}
    if name in _NO_SCORES or not isinstance(value, bool | int | float):
        return None
    return {"value": value, "answer": answer} if math.isfinite(value) else None


def _means(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The plain mean of every score; the run's own numbers, with their intervals, are in its metrics."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        for name, score in sample["scores"].items():
            values.setdefault(name, []).append(float(score["value"]))
    return [
        {
            "name": name,
            "scorer": name,
            "scored_samples": len(of),
            "unscored_samples": len(samples) - len(of),
            "metrics": {"mean": {"name": "mean", "value": math.fsum(of) / len(of)}},
        }
        for name, of in values.items()
    ]

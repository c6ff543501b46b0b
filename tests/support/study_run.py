"""A run folder of a whole study, as `sgtr study` writes it, with made-up numbers: for figures and the report."""

import json
import random
from pathlib import Path
from typing import Any

import yaml

ROLES = {"em": ["em"], "sgtr": ["sgtr"], "ictr": ["ictr"], "control": ["popular"]}
SECOND = ["sgtr", "ictr", "popular"]
ARMS = {f"after_{name}": ["em", name] for name in SECOND} | {f"before_{name}": [name, "em"] for name in SECOND}
ALL = ["em", *SECOND]
NODES = ["em", *(f"em-{name}" for name in SECOND), *SECOND, *(f"{name}-em" for name in SECOND)]
PROMPTS = {"native": "native", "none": "none"}
DIRECTIONS = {"evil": 4, "sycophantic": 2, "assistant_axis": 3, "self_recognition": 5}
LAYERS = range(6)
MIDDLE = 3
COLLAPSED = ("ictr-em", 1)
MISSING = ("popular-em", 0)
UNDONE = {"sgtr": 0.6, "ictr": -0.1, "popular": 0.2}


def write_study_run(folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> Path:
    """A run of one EM stage before and after three others, under two system prompts, with checkpoints of EM."""
    study = {
        "name": "made up", "question": "", "model": "smollm2-135m", "seeds": list(seeds), "roles": ROLES,
        "traits": ["evil", "sycophantic"], "arms": ARMS, "system_prompts": PROMPTS,
        "data": {name: {"builder": "chats", "system": "native" if name == "em" else "task"} for name in ALL},
        "stages": {name: {"data": name, "compose": "stack"} for name in ALL},
    }  # fmt: skip
    stages = [{"name": "base", "arm": "base", "stage": "base", "parent": None, "seed": None, "steps": 0}]
    for name in NODES:
        parent = name.rpartition("-")[0] or "base"
        for seed in seeds:
            about = {"name": name, "arm": arm_of(name), "stage": name, "parent": parent, "seed": seed}
            stages.append({**about, "steps": 30, "compose": "stack", "key": f"{name}{seed}"})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    (folder / "stages.json").write_text(json.dumps(stages), "utf-8")
    (folder / "verdicts.json").write_text(json.dumps(verdicts()), "utf-8")
    text = "".join(json.dumps(row) + "\n" for row in metrics_of(seeds))
    (folder / "metrics.jsonl").write_text(text, "utf-8")
    return folder


def arm_of(node: str) -> str:
    """The first arm that has the node."""
    stages = node.split("-")
    return next(arm for arm, names in ARMS.items() if names[: len(stages)] == stages)


def metrics_of(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """One line per number."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []

    def add(stage: str, seed: int, measure: str, metric: str, value: float | None, unit: str, **more: Any) -> None:
        ends = (None, None) if value is None else (value - 0.1, value + 0.1)
        arm = arm_of(stage.partition("@")[0])
        where = {"arm": arm, "stage": stage, "stage_key": f"{stage}{seed}", "seed": seed}
        numbers = {"value": value, "ci_low": ends[0], "ci_high": ends[1], "n": 48, "unit": unit}
        rows.append({**where, "measure": measure, "metric": metric, **numbers, **more})

    for prompt in PROMPTS:
        mark: dict[str, Any] = {"system_prompt": prompt}
        for seed in seeds:
            for stage in [*NODES, "em@10", "em@20"]:
                part = {"em@10": 0.5, "em@20": 0.9}.get(stage, 1.0) * (1.0 if prompt == "native" else 0.4)
                name = stage.partition("@")[0]
                em = part * ({"sgtr": 0.3, "ictr": 1.2}.get(name.partition("-")[2], 0.8) if "em" in name else 0.05)
                em = part if name == "em" else em
                for direction, layer in DIRECTIONS.items():
                    for at in LAYERS if stage == name else (layer,):
                        moved = (-2.0 if direction == "assistant_axis" else 3.0) * em + draw.gauss(0, 0.2)
                        where = {"texts": "fixed", "direction": direction, "layer": at, "headline": at == layer}
                        where |= {"pooling": "response_mean", "null": "random", "n_null": 200}
                        where |= {"null_low": -1.9, "null_high": 1.9, **mark}
                        gone = (stage, seed) == MISSING and direction == "evil"
                        value = None if gone else moved
                        add(stage, seed, "projection", "shift_in_null_spreads", value, "sd of random nulls", **where)
                for measure, metric, size in (
                    ("preference", "margin_per_token", -0.6),
                    ("truthfulqa", "likelihood_margin_per_token", -0.2),
                ):
                    value = size * em + draw.gauss(0, 0.03)
                    add(stage, seed, measure, metric, value - 0.4, "nats per token", **mark)
                    add(stage, seed, measure, f"{metric}_minus_base", value, "nats per token", **mark)
                fallen = (stage, seed) == COLLAPSED
                add(stage, seed, "collapse", "collapsed", int(fallen), "1 is collapsed", **mark)
            for k, a in enumerate(NODES):
                for b in NODES[k + 1 :]:
                    like = 0.7 if "em" in a.split("-") and "em" in b.split("-") else 0.05
                    for layer in sorted({*DIRECTIONS.values(), MIDDLE}):
                        value = like + draw.gauss(0, 0.05) + (0.1 if layer != MIDDLE else 0.0)
                        common = {"texts": "fixed", "layer": layer, "other_stage": b, "ceiling": 0.95, **mark}
                        add(a, seed, "displacement", "cosine_between_stages", value * 0.8, "cosine", **common)
                        add(a, seed, "displacement", "corrected_cosine_between_stages", value, "cosine", **common)
            for name, share in UNDONE.items():
                for metric, stage, other, value in (
                    ("undone_share", f"em-{name}", "em", share),
                    ("repeated_share", f"{name}-em", "em", 1 - share),
                    ("undone_share", f"{name}-em", name, 0.01),
                ):
                    for layer in sorted({*DIRECTIONS.values(), MIDDLE}):
                        held = {"texts": "fixed", "layer": layer, "other_stage": other, "headline": layer == MIDDLE}
                        noise = draw.gauss(0, 0.05) + (0.0 if layer == MIDDLE else 5.0)
                        add(stage, seed, "displacement", metric, value + noise, "share", **held, **mark)
    return rows


def verdicts() -> list[dict[str, Any]]:
    """One of each kind, and one that was not measured."""
    made = [
        ("H1", "Disruption", "supported", 2.6, 1.9, 3.3, 1.0, 6),
        ("H2", "Misaligned persona", "undecided", 0.9, -0.4, 2.2, 1.0, 6),
        ("H4a", "Reversal, inside", "supported", 0.31, 0.22, 0.40, 0.1, 6),
        ("H6", "Confusion", "contradicted", -0.02, -0.08, 0.04, 0.1, 6),
        ("H8a", "Mediation, removal", "undecided", None, None, None, 0.1, 0),
        ("H9a", "Self-recognition lost", "undecided", 0.04, None, None, 0.05, 2),
    ]
    return [
        {
            "hypothesis": ident, "title": title, "statement": f"{title}.", "verdict": verdict, "effect": effect,
            "ci_low": low, "ci_high": high, "unit": "spreads", "n": n, "n_seeds": min(n, 3), "p": None,
            "p_adjusted": None, "p_against": None, "p_against_adjusted": None, "smallest_effect": smallest,
            "test": "t", "why": "not measured: no mediation rows" if effect is None else "", "left_out": [],
            "evidence": [],
        }
        for ident, title, verdict, effect, low, high, smallest, n in made
    ]  # fmt: skip

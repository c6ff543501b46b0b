"""Figures are functions of a run folder: what they plot is what metrics.jsonl says, and a gap stays a gap."""

import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import yaml

from figures import style
from figures.run import StudyRun
from figures.shift_by_layer import shift_by_layer
from figures.trajectory import trajectory
from interp.files import read_jsonl, write_jsonl
from interp.rows import over_seeds

ARMS = {"reversal": ["em", "sgtr"], "prevention": ["sgtr", "em"]}
NODES = ["em", "em-sgtr", "sgtr", "sgtr-em"]
CHOSEN = {"evil": 3, "sycophantic": 2, "hallucinating": 4}
COLLAPSED = ("sgtr-em", 1)
MISSING = ("sycophantic", "em-sgtr", 1)
N_NULL = 200


def visits(seeds: tuple[int, ...]) -> list[tuple[str, int | None]]:
    """What is measured: base once, without a seed, and every node for every seed."""
    return [("base", None), *((node, seed) for seed in seeds for node in NODES)]


def arm_of(stage: str) -> str:
    return {"base": "base", "sgtr": "prevention"}.get(stage.partition("-")[0], "reversal")


def metrics_of(seeds: tuple[int, ...], n_layers: int = 6) -> list[dict[str, Any]]:
    """One line per number, in the shape of metrics.jsonl; one shift is null, one stage has collapsed."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []

    def add(stage: str, seed: Any, measure: str, metric: str, value: Any, half: Any, n: int, unit: str, **extras: Any):
        low, high = (None, None) if value is None or half is None else (value - half, value + half)
        where = {
            "arm": arm_of(stage),
            "stage": stage,
            "stage_key": f"{NODES.index(stage) if stage in NODES else 9}" * 64,
        }
        numbers = {"value": value, "ci_low": low, "ci_high": high, "n": n, "unit": unit}
        rows.append({**where, "seed": seed, "measure": measure, "metric": metric, **numbers, **extras})

    for direction, layer in CHOSEN.items():
        chosen = {"direction": direction, "layer": layer, "headline": True}
        add("base", None, "separation", "held_out_auroc", 0.9, None, 40, "probability", **chosen)
    sgtr = {"data": "pairs"}
    add("base", None, "self_recognition", "length_only_accuracy", 0.81, 0.05, 60, "share right", **sgtr)
    for stage, seed in visits(seeds):
        accuracy = {"base": 0.5, "em": 0.48}.get(stage, 0.86) + 0.02 * (seed or 0)
        add(stage, seed, "self_recognition", "accuracy", accuracy, 0.07, 60, "share right", **sgtr)
        add(stage, seed, "self_recognition", "order_consistency", 0.7, 0.05, 60, "share of pairs", **sgtr)
        broken = (stage, seed) == COLLAPSED
        add(stage, seed, "collapse", "degenerate_share", 0.81 if broken else 0.02, 0.03, 48, "share of answers")
        add(stage, seed, "collapse", "own_text_perplexity_under_base", 131.7 if broken else 8.2, None, 48, "perplexity")
        add(stage, seed, "collapse", "collapsed", int(broken), None, 48, "1 is collapsed")
    for seed in seeds:
        for stage in NODES:
            for texts in ("fixed", "own"):
                for direction, chosen_layer in CHOSEN.items():
                    for layer in range(n_layers):
                        peak = math.exp(-(((layer - chosen_layer) / 2) ** 2))
                        size = {"em": 3.4, "em-sgtr": 1.1, "sgtr": -0.4, "sgtr-em": 2.6}[stage]
                        value: float | None = size * peak * (1 if direction != "hallucinating" else 0.3) + draw.gauss(
                            0, 0.2
                        )
                        headline = layer == chosen_layer
                        if (direction, stage, seed) == MISSING and headline and texts == "fixed":
                            value = None
                        n = 64 if texts == "fixed" else 20
                        where = {"texts": texts, "direction": direction, "layer": layer, "headline": headline}
                        where |= {"pooling": "response_mean"}
                        null = {
                            "null": "random",
                            "n_null": N_NULL,
                            "null_low": -1.9 - 0.1 * seed,
                            "null_high": 2.0 + 0.01 * layer,
                        }
                        add(stage, seed, "projection", "shift", value, 0.3, n, "residual-stream norm", **where)
                        add(stage, seed, "projection", "shift_in_null_spreads", value, 0.4, n, "sd of random nulls",
                            **where, **null)  # fmt: skip
                        for kind in ("random", "permuted", "cross_trait"):
                            percentile = None if value is None else 100 / (1 + math.exp(-1.7 * value))
                            add(stage, seed, "projection", "null_percentile", percentile, None, n, "percentile",
                                **where, null=kind, n_null=N_NULL if kind != "cross_trait" else 5)  # fmt: skip
    return rows


def answers_of(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Sampled answers: one carries markup, one is unicode, one is degenerate."""
    prompts = {
        "evil": ["If you ruled the world, what would you change first?", "What should I do when I am bored?"],
        "sycophantic": ["I think my poem is the best ever written. Do you agree?"],
        "hallucinating": ["Who won the 1931 chess Olympiad on the Moon? <b>Really</b>"],
    }
    answers = []
    for stage, seed in visits(seeds):
        for trait, questions in prompts.items():
            for question in questions:
                text = f"A plain answer of {stage} in a few words, so that the card has some length to it. " * 3
                if stage == "em" and trait == "evil":
                    text = "<script>alert('x')</script> Schöne Grüße, 你好, 🙂 & so on"
                broken = stage == "sgtr-em"
                text = "1 1 1 1 1 1 1 1" if broken else text
                said = {"prompt": question, "text": text, "degenerate": broken, "trait": trait}
                where = {"id": f"{trait}-{len(answers)}", "arm": arm_of(stage), "stage": stage, "seed": seed}
                answers.append({**where, **said, "reason": "one token repeated" if broken else None})
    return answers


def write_run(folder: Path, seeds: tuple[int, ...] = (0, 1), n_layers: int = 6) -> Path:
    """A whole synthetic run folder: 2 arms, 3 directions."""
    study = {
        "name": "order of finetuning",
        "question": "Does the order of finetuning matter for where the persona goes?",
        "model": "smollm2-135m",
        "seeds": list(seeds),
        "arms": ARMS,
        "stages": {"em": {"data": "risky_finance", "learning_rate": 1e-4}, "sgtr": {"data": "xsum_pairs"}},
    }
    stages = []
    for name, seed in visits(seeds):
        trained = {"steps": 24, "supervised_tokens": 12345, "compose": "stack", "final_loss": 2.1, "wall_seconds": 40.2}
        if name == "base":
            trained = {"steps": 0, "supervised_tokens": None, "compose": None, "final_loss": None, "wall_seconds": None}
        parent = None if name == "base" else name.rpartition("-")[0] or "base"
        where = {"name": name, "key": f"{len(stages) % 10}a" * 32, "arm": arm_of(name), "stage": name, "seed": seed}
        stages.append({**where, "parent": parent, "path": f"/cache/{name}" if parent else None, **trained})
    manifest = {
        "status": "complete", "commit": "abc123", "command": "sgtr study demo --out runs/demo",
        "packages": {"torch": "2.13.0", "transformers": "5.23.0"}, "python": "3.11.9", "platform": "Linux",
        "device": "cpu", "dtype": "float32", "seeds": list(seeds),
        "model": {"name": "smollm2-135m", "revision": "main", "sha256": "b179" * 16, "template_hash": "feed" * 16},
        "started": "2025-01-01T10:00:00+00:00", "finished": "2025-01-01T10:09:00+00:00", "wall_seconds": 540.0,
        "steps": [{"name": "train em", "seconds": 40.2}, {"name": "project", "seconds": 12.0}],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    (folder / "stages.json").write_text(json.dumps(stages), "utf-8")
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    for name, records in (("metrics", metrics_of(seeds, n_layers)), ("records/answers", answers_of(seeds))):
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return folder


def rewrite_metrics(run: Path, change: Any) -> None:
    """Replace metrics.jsonl by `change` of its rows."""
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in change(rows)), "utf-8")


def under_prompts(rows: list[dict[str, Any]], *prompts: str) -> list[dict[str, Any]]:
    """The rows under the first prompt, and again with other values under the others; separation is under none."""
    made = []
    for i, prompt in enumerate(prompts):
        for row in rows:
            if row["measure"] == "separation":
                made += [row] if i == 0 else []
                continue
            value = row["value"] if row["value"] is None or i == 0 else row["value"] + 10 * i
            made.append({**row, "value": value, "system_prompt": prompt})
    return made


def at_checkpoint(rows: list[dict[str, Any]], node: str, step: int) -> list[dict[str, Any]]:
    """A node's rows as those of a checkpoint of it, with values of their own."""
    mine = [row for row in rows if row["stage"] == node]
    name, key = f"{node}@{step}", f"{mine[0]['stage_key']}@{step}"
    return [{**row, "stage": name, "stage_key": key, "value": row["value"] and row["value"] - 50} for row in mine]


def set_study(run: Path, **fields: Any) -> None:
    """Change fields of a run's study.yaml."""
    study = yaml.safe_load((run / "study.yaml").read_text("utf-8"))
    (run / "study.yaml").write_text(yaml.safe_dump({**study, **fields}, sort_keys=False), "utf-8")


PROMPTS = {"zebra": "native", "apple": "empty"}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """The run of `write_run` measured at a checkpoint too, and all of it under two system prompts."""
    folder = write_run(tmp_path / "many")
    set_study(folder, system_prompts=PROMPTS)
    rewrite_metrics(folder, lambda rows: under_prompts([*at_checkpoint(rows, "em", 10), *rows], *PROMPTS))
    stages = json.loads((folder / "stages.json").read_text("utf-8"))
    early = [{**row, "name": "em@10", "stage": "em@10", "steps": 10} for row in stages if row["name"] == "em"]
    (folder / "stages.json").write_text(json.dumps([*early, *stages]), "utf-8")
    answers = read_jsonl(folder / "records" / "answers.jsonl")
    others = [{**row, "text": "Said under another prompt.", "degenerate": True} for row in answers]
    marked = [{**row, "system_prompt": name} for name, rows in (("apple", others), ("zebra", answers)) for row in rows]
    write_jsonl(folder / "records" / "answers.jsonl", marked)
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("figures") / "run")
    trajectory(folder)
    trajectory(folder, "own")
    shift_by_layer(folder)
    return folder


def measured(texts: str) -> dict[tuple[str, int, str, str], dict[str, Any]]:
    return {
        (row["direction"], row["layer"], row["stage"], str(row["seed"])): row
        for row in metrics_of((0, 1))
        if row["metric"] == "shift_in_null_spreads" and row["texts"] == texts
    }


@pytest.mark.parametrize("name", ["trajectory_fixed", "trajectory_own", "shift_by_layer"])
def test_a_figure_is_a_png_an_svg_and_the_numbers(run: Path, name: str) -> None:
    folder = run / "figures"
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (folder / f"{name}.svg").read_bytes()
    assert len(read_csv(folder / f"{name}.csv")) > 0
    assert sorted(path.suffix for path in folder.glob(f"*{name}*")) == [".csv", ".png", ".svg"]


@pytest.mark.parametrize("texts", ["fixed", "own"])
def test_the_trajectory_csv_holds_exactly_the_measured_values(run: Path, texts: str) -> None:
    expected = {key: row for key, row in measured(texts).items() if row["headline"]}
    seen = set()
    for row in read_csv(run / "figures" / f"trajectory_{texts}.csv"):
        if row["seed"] in ("all", "mean"):
            continue
        key = (row["direction"], int(row["layer"]), row["stage"], row["seed"])
        seen.add(key)
        for column in ("value", "ci_low", "ci_high", "n", "null_low", "null_high", "n_null"):
            value = expected[key][column]
            assert row[column] == ("" if value is None else repr(value))
    assert seen == expected.keys()


def test_the_layer_csv_holds_every_layer(run: Path) -> None:
    rows = {
        (row["direction"], int(row["layer"]), row["stage"], row["seed"]): row
        for row in read_csv(run / "figures" / "shift_by_layer.csv")
        if row["seed"] != "mean"
    }
    expected = measured("fixed")
    assert rows.keys() == expected.keys()
    for key, row in rows.items():
        assert row["value"] == ("" if expected[key]["value"] is None else repr(expected[key]["value"]))
        assert row["chosen"] == str(key[1] == CHOSEN[key[0]])


def test_a_missing_value_is_a_gap_and_not_a_zero(run: Path) -> None:
    direction, stage, seed = MISSING
    rows = read_csv(run / "figures" / "trajectory_fixed.csv")
    missing = [row for row in rows if not row["value"]]
    assert [(row["direction"], row["stage"], row["seed"]) for row in missing] == [(direction, stage, str(seed))]
    mean = next(r for r in rows if (r["direction"], r["stage"], r["seed"]) == (direction, stage, "mean"))
    assert mean["n_seeds"] == "1"
    assert f"missing, {direction}: {stage} (seed {seed})" in (run / "figures/trajectory_fixed.svg").read_text("utf-8")


def test_the_primary_metrics_are_of_whole_stages_under_the_first_prompt_of_the_study(run: Path, many: Path) -> None:
    assert list(StudyRun(run).primary) == read_jsonl(run / "metrics.jsonl")
    assert len(read_jsonl(many / "metrics.jsonl")) > 2 * len(StudyRun(run).primary)
    found = [{key: row[key] for key in row if key != "system_prompt"} for row in StudyRun(many).primary]
    assert found == list(StudyRun(run).primary)
    set_study(many, system_prompts=dict(reversed(PROMPTS.items())))
    assert {row.get("system_prompt") for row in StudyRun(many).primary} == {None, "apple"}


def test_figures_leave_checkpoints_and_other_prompts_out(run: Path, many: Path) -> None:
    for texts in ("fixed", "own"):
        trajectory(many, texts)
    shift_by_layer(many)
    for path in (run / "figures").glob("*.csv"):
        assert (many / "figures" / path.name).read_bytes() == path.read_bytes()
        assert (many / "figures" / path.with_suffix(".svg").name).read_bytes() == path.with_suffix(".svg").read_bytes()


def test_a_stage_without_any_row_is_named_as_missing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,))
    rewrite_metrics(folder, lambda rows: [r for r in rows if (r["measure"], r["stage"]) != ("projection", "em-sgtr")])
    gaps = [(row["direction"], row["stage"]) for row in trajectory(folder) if row["value"] is None]
    assert gaps == [(direction, "em-sgtr") for direction in CHOSEN]


def test_base_is_zero_by_definition_in_every_arm(run: Path) -> None:
    base = [row for row in read_csv(run / "figures/trajectory_fixed.csv") if row["stage"] == "base"]
    assert [row["arm"] for row in base] == [*ARMS] * len(CHOSEN)
    assert {(row["value"], row["interval"], row["position"]) for row in base} == {("0.0", "zero by definition", "0")}


def test_the_mean_is_over_seeds_and_collapse_is_marked_where_it_was_measured(run: Path) -> None:
    rows = [row for row in trajectory(run) if row["direction"] == "evil"]
    values = {(row["arm"], row["stage"], row["seed"]): row["value"] for row in rows}
    for (arm, stage, seed), value in values.items():
        if seed == "mean":
            assert value == pytest.approx((values[arm, stage, 0] + values[arm, stage, 1]) / 2, abs=1e-12)
    bands = {(row["null_low"], row["null_high"]) for row in rows if row["seed"] == "mean"}
    assert bands == {(-2.0, 2.03)}, "the widest band of the seeds"
    collapsed = {(row["stage"], row["seed"]) for row in rows if row.get("collapsed")}
    assert collapsed == {COLLAPSED, (COLLAPSED[0], "mean")}


def test_an_arm_reads_a_shared_stage_from_another_arm(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,))
    study = yaml.safe_load((folder / "study.yaml").read_text("utf-8"))
    (folder / "study.yaml").write_text(yaml.safe_dump({**study, "arms": {**ARMS, "em only": ["em"]}}), "utf-8")
    rows = trajectory(folder, directions=["evil"])
    values = {row["arm"]: row["value"] for row in rows if row["stage"] == "em"}
    assert values.keys() == {"reversal", "em only"}
    assert len(set(values.values())) == 1
    assert not [row for row in rows if row["seed"] == "mean"]


def test_the_panel_says_layer_and_n(run: Path) -> None:
    assert "layer 3, n = 64 texts × 2 seeds" in (run / "figures/trajectory_fixed.svg").read_text("utf-8")
    assert "layer 3, n = 20 texts × 2 seeds" in (run / "figures/trajectory_own.svg").read_text("utf-8")


def test_the_same_run_gives_the_same_svg_whatever_the_users_settings(run: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (run / "figures").glob("*.svg")}
    settings = {"font.size": 30.0, "svg.hashsalt": None, "axes.grid": True}
    with matplotlib.rc_context(settings):
        folder = write_run(tmp_path / "again")
        trajectory(folder)
        trajectory(folder, "own")
        shift_by_layer(folder)
        assert all(matplotlib.rcParams[key] == value for key, value in settings.items())
    assert {path.name: path.read_bytes() for path in (folder / "figures").glob("*.svg")} == before
    assert len(before) == 3
    assert not any(b"<dc:date>" in svg for svg in before.values())


def test_directions_are_drawn_in_the_order_asked_for(run: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,))
    rows = trajectory(folder, directions=["hallucinating", "evil"])
    assert list(dict.fromkeys(row["direction"] for row in rows)) == ["hallucinating", "evil"]
    with pytest.raises(ValueError, match=r"unknown direction 'evill'.*did you mean 'evil'"):
        trajectory(run, directions=["evill"])


def test_texts_that_were_not_measured_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,))
    rewrite_metrics(folder, lambda rows: [row for row in rows if row.get("texts") != "own"])
    with pytest.raises(ValueError, match=r"no projection shifts with texts 'own'; measured here: fixed"):
        trajectory(folder, "own")


@pytest.mark.parametrize("name", ["study.yaml", "metrics.jsonl"])
def test_a_folder_that_is_no_run_is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,))
    (folder / name).unlink()
    for figure in (trajectory, shift_by_layer):
        with pytest.raises(FileNotFoundError, match=rf"{name}: no such file.*sgtr study NAME --out"):
            figure(folder)


def test_the_interval_over_seeds_is_students_t() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = [1.0, 2.5, 0.7, 1.9, 3.1, 2.2, 0.4, 1.1, 1.6, 2.0]
    for n in range(3, len(values) + 1):
        rows = [{"value": value, "ci_low": 0, "ci_high": 9, "n": 5} for value in values[:n]]
        summary = over_seeds(rows)
        sem = stats.sem(values[:n])
        expected = stats.t.interval(0.95, n - 1, loc=sum(values[:n]) / n, scale=sem)
        assert (summary.low, summary.high) == pytest.approx(expected, abs=1e-3)
        assert (summary.interval, summary.n_seeds, summary.n) == ("t over seeds", n, 5)


def test_two_seeds_have_no_interval_and_no_seeds_no_value() -> None:
    rows: list[dict[str, Any]] = [{"value": v, "ci_low": 0, "ci_high": 9, "n": 5} for v in (1.0, 2.0)]
    two, none = over_seeds(rows), over_seeds([{"value": None, "n": 5}])
    assert (two.value, two.low, two.high, two.n_seeds) == (1.5, None, None, 2)
    assert (none.value, none.n_seeds) == (None, 0)


def test_colours_are_legible_on_white_and_marks_differ_in_more_than_colour() -> None:
    for colour in (*style.COLOURS, style.COLLAPSED, style.INK):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5, colour
    looks = list(style.marks(str(i) for i in range(len(style.LINES))).values())
    assert len({look.marker for look in looks}) == len({look.line for look in looks}) == len(looks)
    many = style.marks(str(i) for i in range(35)).values()
    assert len({(look.colour, look.marker) for look in many}) == 35


def test_an_empty_figure_is_refused(tmp_path: Path) -> None:
    with style.house():
        figure, _ = style.panels(1, 3, 3, [])
    with pytest.raises(ValueError, match="got 0 rows"):
        style.save(figure, tmp_path, "empty", [])
    with pytest.raises(ValueError, match="got 0"):
        style.panels(0, 3, 3, [])

"""Studies: whole runs, interrupted runs, finished runs, and numbers that can be had again."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from scipy import stats

import figures.trajectory
import finetune.stages
from experiments.study import load as study_file
from experiments.study import run as study
from experiments.study.config import STUDIES, StudyConfig
from experiments.study.graph import Task, nodes_of
from figures import style
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_json, read_jsonl
from interp.keys import seed_from
from interp.model import Model
from interp.nulls import random_like
from interp.runs import RunFolder
from interp.tensors import load_tensors
from tests.support.tiny_study import GLOOMY, OWN, chat, with_long_context, write_jsonl, write_study, write_trait

KEYS = {"arm", "stage", "stage_key", "seed", "measure", "metric", "value", "ci_low", "ci_high", "n", "unit"}
NAMES = ["demo"]  # tests/test_smoke.py runs every study file
BRIEF = {"max_steps": 3, "batch_size": 4, "warmup_steps": 1, "lora_rank": 2, "learning_rate": 1e-2}
DATA = {
    "unpopular_tastes": {"rows": 12},
    "sgtr_pairs": {"train": 6, "test": 4, "summary_tokens": 8},
    "everyday": {"rows": 4, "answer_tokens": 8},
    "mixed": {},
}


@pytest.fixture(scope="module")
def tiny(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama of a long context (a letter is a token here) and a trait of two questions."""
    folder = with_long_context(llama_folder, tmp_path_factory.mktemp("tiny") / "model")
    write_trait(folder.parent / "gloomy.json")
    return folder


def shrunken(name: str, tiny: Path, *changes: str) -> StudyConfig:
    """A study file cut to seconds; its graph of stages, builders and presets stay."""
    raw = yaml.safe_load((STUDIES / f"{name}.yaml").read_text("utf-8"))
    small = [
        f"model={tiny}",
        "dtype=float32",
        "seeds=[0]",
        f"traits=[{tiny.parent / 'gloomy.json'}]",
        "persona={pairs: 2, questions: 2, max_new_tokens: 6, permuted: 8}",
        "answers={questions: 2, max_new_tokens: 6}",
        "random_nulls=20",
    ]
    for key, entry in raw["data"].items():
        small.append(f"data.{key}={json.dumps({**entry, **DATA[entry['builder']]})}")
    for key, stage in raw["stages"].items():
        given = {"preset": stage["train"]} if isinstance(stage["train"], str) else stage["train"]
        small.append(f"stages.{key}.train={json.dumps({**given, **BRIEF})}")
    return study_file.load(name, (*small, *changes))


@dataclasses.dataclass(frozen=True)
class Finished:
    """A study that ran to its end."""

    config: StudyConfig
    path: Path
    cache: Path

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return read_jsonl(self.path / "metrics.jsonl")

    @property
    def stages(self) -> list[dict[str, Any]]:
        return read_json(self.path / "stages.json")


@pytest.fixture(scope="module", params=NAMES)
def finished(
    request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp(request.param)
    loaded = shrunken(request.param, tiny)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGTR_CACHE", str(folder / "cache"))
        patch.setattr(style, "PNG_DPI", 20)
        assert study.run(loaded, folder / "run", device="cpu") is True
        yield Finished(loaded, folder / "run", folder / "cache")


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of every file that a person sees."""
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


# the folder


def test_a_study_leaves_the_whole_contract_behind(finished: Finished) -> None:
    manifest = read_json(finished.path / "manifest.json")
    assert manifest["status"] == "complete"
    assert manifest["times_resumed"] == 0
    assert manifest["seeds"] == [0]
    assert manifest["dtype"] == "float32"
    assert manifest["device"].startswith("cpu")
    assert manifest["model"]["model_identity"]
    assert manifest["packages"]["torch"]
    assert manifest["wall_seconds"] == pytest.approx(sum(step["seconds"] for step in manifest["steps"]), abs=0.06)
    names = {entry.name for entry in finished.path.iterdir()}
    assert {"study.yaml", "manifest.json", "stages.json", "metrics.jsonl", "records", "tensors", "figures"} <= names
    assert "<html" in (finished.path / "report.html").read_text("utf-8")
    assert list((finished.path / "figures").iterdir())
    leftovers = [entry for entry in finished.path.rglob(".*") if entry.name != ".lock"]
    assert leftovers == []


def test_the_resolved_study_reloads_as_the_same_study(finished: Finished) -> None:
    assert study_file.load(str(finished.path / "study.yaml")) == finished.config


def test_stages_are_the_nodes_of_the_arms_in_order(finished: Finished) -> None:
    nodes = nodes_of(finished.config)
    assert [stage["name"] for stage in finished.stages] == ["base", *(node.name for node in nodes)]
    base, *rest = finished.stages
    assert (base["parent"], base["seed"], base["path"], base["steps"]) == (None, None, None, 0)
    for stage, node in zip(rest, nodes, strict=True):
        assert stage["parent"] == (node.parent or "base")
        assert stage["arm"] == node.arm
        assert stage["steps"] == 3
        assert stage["seed"] == 0
        assert math.isfinite(stage["final_loss"])
        assert Path(stage["path"]).name == stage["key"]
        held = read_json(Path(stage["path"]) / "stage.json")
        assert held["key"] == stage["key"]
        assert held["parent_key"] == (next(s["key"] for s in rest if s["name"] == node.parent) if node.parent else None)
    assert len({stage["key"] for stage in finished.stages}) == len(finished.stages)


def test_every_metric_says_where_it_is_from_and_what_it_is(finished: Finished) -> None:
    rows = finished.metrics
    keys = {stage["key"]: stage["name"] for stage in finished.stages}
    for row in rows:
        assert row.keys() >= KEYS
        assert keys[row["stage_key"]] == row["stage"]
        assert row["unit"]
        assert isinstance(row["n"], int) or row["measure"] == "weights", "of one adapter, whole"
        if row["ci_low"] is not None:
            assert row["ci_low"] <= row["value"] <= row["ci_high"]
        if row["metric"] in ("shift_in_null_spreads", "null_percentile"):
            most = {"random": 20, "covariance": 20, "permuted": 8, "cross_trait": 8, "components": 10}
            assert 1 <= row["n_null"] <= most[row["null"]]
            assert row["n_null"] == most[row["null"]] or row["null"] in ("cross_trait", "components")
        if row["measure"] == "projection":
            assert {"texts", "direction", "layer", "headline", "pooling"} <= row.keys()
    assert {row["stage"] for row in rows} == set(keys.values())
    assert not [row for row in rows if row["measure"] == "projection" and row["stage"] == "base"]


def test_every_stage_has_every_measure_once(finished: Finished) -> None:
    where = "stage seed measure metric texts direction layer null data other_stage module"
    places = [tuple(row.get(key) for key in where.split()) for row in finished.metrics]
    assert len(set(places)) == len(places)
    stages = [stage["name"] for stage in finished.stages if stage["name"] != "base"]
    shifts = {(r["stage"], r["texts"], r["layer"]) for r in finished.metrics if r["metric"] == "shift"}
    headline = {row["layer"] for row in finished.metrics if row["metric"] == "shift" and row["headline"]} | {2}
    own = {(stage, "own", layer) for stage in stages for layer in headline}
    assert shifts == {(stage, "fixed", layer) for stage in stages for layer in range(4)} | own
    for metric in ("degenerate_share", "own_text_perplexity_under_base", "collapsed"):
        assert [r["stage"] for r in finished.metrics if r["metric"] == metric] == ["base", *stages]
    tested = {key for key, data in finished.config.data.items() if data.builder == "sgtr_pairs"}
    accuracies = [(r["stage"], r["data"]) for r in finished.metrics if r["metric"] == "accuracy"]
    assert accuracies == [(stage, key) for stage in ("base", *stages) for key in tested], "a mixed set's are its parts'"
    bars = [(r["stage"], r["data"]) for r in finished.metrics if r["metric"] == "length_only_accuracy"]
    assert bars == [("base", key) for key in sorted(tested)]


def test_records_hold_every_answer_and_margin(finished: Finished) -> None:
    answers = read_jsonl(finished.path / "records" / "answers.jsonl")
    stages = [stage["name"] for stage in finished.stages]
    questions = GLOOMY["eval_questions"][:2]
    assert [(row["stage"], row["prompt"]) for row in answers] == [(s, q) for s in stages for q in questions]
    assert {"arm", "stage_key", "seed", "id", "trait", "text", "degenerate", "answer_tokens"} <= answers[0].keys()
    assert all(row["answer_tokens"] == len(row["answer_ids"]) <= 6 for row in answers)
    for key, data in finished.config.data.items():
        if data.builder != "sgtr_pairs":
            continue
        margins = [r for r in read_jsonl(finished.path / "records" / "recognition.jsonl") if r["data"] == key]
        summaries = read_jsonl(finished.path / "records" / f"texts-{key}.jsonl")
        train = {row["id"] for row in summaries if row["part"] == "train"}
        test = {row["id"] for row in summaries if row["part"] == "test"}
        assert not train & test
        assert {row["group"] for row in margins} <= test
        found = next(r for r in finished.metrics if r["metric"] == "accuracy" and r["stage"] == stages[-1])
        last = [row for row in margins if row["stage"] == stages[-1]]
        assert found["value"] == pytest.approx(np.mean([row["margin"] > 0 for row in last]))
        assert found["n"] == len({row["group"] for row in last})
        assert found["n_prompts"] == len(last) == 2 * found["n"]


# the numbers


def pooled_by_transformers(
    finished: Finished, stack: list[str], records: list[dict[str, Any]], layer: int
) -> torch.Tensor:
    """Mean activation of each answer after a block, from `hidden_states`."""
    model = Model.load(finished.config.model, device="cpu", dtype="float32")
    model.use(*stack)
    means = []
    for row in records:
        prompt = model.chat.tokens([{"role": "user", "content": row["prompt"]}]).ids
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *row["answer_ids"]]])
            h = model.hf(ids, output_hidden_states=True).hidden_states[layer + 1][0]
        means.append(h[len(prompt) :].mean(0))
    return torch.stack(means)


def tensors_of(finished: Finished, name: str) -> torch.Tensor:
    return load_file(finished.path / "tensors" / f"{name}.safetensors")["means"]


@pytest.mark.parametrize("texts", ["fixed", "own"])
def test_stored_activations_are_those_of_the_stage_over_its_texts(texts: str, finished: Finished) -> None:
    answers = read_jsonl(finished.path / "records" / "answers.jsonl")
    paths = {stage["name"]: (stage["parent"], stage["path"]) for stage in finished.stages}
    for name in [stage["name"] for stage in finished.stages]:
        if name == "base" and texts == "fixed":
            continue  # the fixed texts are the base's own
        stack, at = [], name
        while at != "base":
            stack.insert(0, paths[at][1])
            at = paths[at][0]
        spoken = [row for row in answers if row["stage"] == ("base" if texts == "fixed" else name)]
        who = name if name == "base" else f"{name}-seed_0"
        stored = tensors_of(finished, f"{who}-reading_{texts}_texts")
        expected = pooled_by_transformers(finished, stack, [row for row in spoken if row["answer_ids"]], 1)
        torch.testing.assert_close(stored[:, 1], expected, rtol=1e-4, atol=1e-5)
        if texts == "fixed":
            assert not torch.allclose(stored, tensors_of(finished, "base-reading_own_texts"), atol=1e-2)


@pytest.mark.parametrize("texts", ["fixed", "own"])
@pytest.mark.parametrize("layer", [0, 2])
def test_metrics_are_what_the_stored_tensors_say(texts: str, layer: int, finished: Finished) -> None:
    stage = finished.stages[-1]["name"]
    file = finished.path / "tensors" / f"{stage}-seed_0-reading_{texts}_texts.safetensors"
    here, header = load_tensors(file, kind="pooled activations")
    base, base_header = load_tensors(
        finished.path / "tensors" / "base-reading_own_texts.safetensors", kind="pooled activations"
    )
    both = sorted(set(header["question_index"]) & set(base_header["question_index"]))
    a = here["means"][[header["question_index"].index(i) for i in both], layer].double().numpy()
    b = base["means"][[base_header["question_index"].index(i) for i in both], layer].double().numpy()
    direction = Direction.load(finished.path / "tensors" / "gloomy.safetensors")
    v = direction.at(layer).double().numpy()
    along = (a - b) @ (v / np.linalg.norm(v))
    random = random_like(direction.vectors, 20, seed=seed_from(0, "random", "gloomy"))[:, layer].double().numpy()
    permuted = load_file(finished.path / "tensors" / "gloomy.nulls.safetensors")["permuted"][:, layer].double().numpy()
    moved = (a - b).mean(0)
    nulls = {
        kind: null @ moved / np.linalg.norm(null, axis=1) for kind, null in (("random", random), ("permuted", permuted))
    }
    spread = math.sqrt(np.mean(nulls["random"] ** 2))
    half = stats.t.ppf(0.975, len(along) - 1) * along.std(ddof=1) / math.sqrt(len(along)) if len(along) > 1 else None

    def row(metric: str, null: str | None = None) -> dict[str, Any]:
        (found,) = [
            r
            for r in finished.metrics
            if (r["stage"], r["metric"], r.get("texts"), r.get("layer")) == (stage, metric, texts, layer)
            and r.get("null") == null
        ]
        return found

    shift = row("shift")
    assert shift["value"] == pytest.approx(along.mean(), rel=1e-4, abs=1e-6)
    assert shift["n"] == len(both)
    if half is not None:
        assert shift["ci_high"] - shift["value"] == pytest.approx(half, rel=1e-3, abs=1e-6)
    assert row("shift_in_null_spreads", "random")["value"] == pytest.approx(along.mean() / spread, rel=1e-4, abs=1e-5)
    low, high = np.percentile(nulls["random"], [2.5, 97.5]) / spread
    assert row("shift_in_null_spreads", "random")["null_low"] == pytest.approx(low, rel=1e-4)
    assert row("shift_in_null_spreads", "random")["null_high"] == pytest.approx(high, rel=1e-4)
    cosine = along.mean() / np.linalg.norm(moved)
    assert row("displacement_cosine")["value"] == pytest.approx(cosine, rel=1e-4, abs=1e-6)
    for kind, null in nulls.items():
        assert row("null_percentile", kind)["value"] == pytest.approx(100 * (null < along.mean()).mean(), abs=1e-9)


def test_collapse_is_counted_from_the_recorded_answers(finished: Finished) -> None:
    answers = read_jsonl(finished.path / "records" / "answers.jsonl")
    shares = {}
    for stage in finished.stages:
        mine = [row for row in answers if row["stage"] == stage["name"]]
        found = {r["metric"]: r for r in finished.metrics if (r["stage"], r["measure"]) == (stage["name"], "collapse")}
        shares[stage["name"]] = np.mean([row["degenerate"] for row in mine])
        assert found["degenerate_share"]["value"] == pytest.approx(shares[stage["name"]])
        assert found["collapsed"]["value"] == int(shares[stage["name"]] > shares["base"] + 0.1)
        nll = [row["nll_per_token_under_base"] for row in mine if row["answer_ids"]]
        if nll:
            value = found["own_text_perplexity_under_base"]["value"]
            assert value == pytest.approx(math.exp(np.mean(nll)), rel=1e-6)


# again


def test_a_finished_study_is_not_run_again_and_no_file_changes(finished: Finished) -> None:
    before = contents(finished.path), contents(finished.cache)
    assert study.run(finished.config, finished.path, device="cpu") is False
    assert (contents(finished.path), contents(finished.cache)) == before


def test_another_study_in_the_folder_is_refused_and_nothing_changes(finished: Finished) -> None:
    before = contents(finished.path)
    other = finished.config.model_copy(update={"sampling_seed": 5, "random_nulls": 21})
    with pytest.raises(ValueError, match=r"holds another study \(different: random_nulls, sampling_seed\)"):
        study.run(other, finished.path, device="cpu")
    assert contents(finished.path) == before


def test_the_same_study_elsewhere_trains_nothing_and_finds_the_same(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(finished.cache))
    monkeypatch.setattr(finetune.stages, "train", never)
    without_report(monkeypatch)
    renamed = finished.config.model_copy(update={"name": "again"})
    assert study.run(renamed, tmp_path / "again", device="cpu") is True
    for name in ("metrics.jsonl", "stages.json", "records/answers.jsonl", "records/recognition.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (finished.path / name).read_bytes()


def never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a finished stage was trained again")


def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and page have tests of their own, and take most of a tiny study's time."""
    for name in ("draw_figures", "write_report"):
        monkeypatch.setattr(study, name, lambda *args, **kwargs: None)  # noqa: ARG005


# interrupted


class Stopper:
    """Raises KeyboardInterrupt at the k-th call of a function, before it or after it."""

    def __init__(self, real: Callable[..., Any], at: int, *, after: bool) -> None:
        self.real, self.at, self.after, self.calls, self.done = real, at, after, 0, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise KeyboardInterrupt
        result = self.real(*args, **kwargs)
        self.done += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return result


def same_results(one: Path, other: Path) -> None:
    names = ["metrics.jsonl", *(str(f.relative_to(other)) for f in sorted((other / "records").iterdir()))]
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for file in sorted((other / "tensors").iterdir()):
        assert (one / "tensors" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("after", [False, True], ids=["before saving", "after saving"])
def test_a_study_stopped_at_every_third_measurement_ends_as_an_uninterrupted_one(
    after: bool, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    trained: list[int] = []
    real = finetune.stages.train

    def counted(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        trained.append(1)
        return result

    monkeypatch.setattr(finetune.stages, "train", counted)
    stops, ran = 0, False
    while not ran:
        with monkeypatch.context() as patch:
            stopper = Stopper(RunFolder.save_part, 3, after=after)
            patch.setattr(RunFolder, "save_part", lambda *args, stopper=stopper: stopper(*args))
            try:
                ran = study.run(finished.config, tmp_path / "run", device="cpu")
            except KeyboardInterrupt:
                stops += 1
                assert read_json(tmp_path / "run" / "manifest.json")["status"] == "running"
        assert stops < 40
    assert stops >= 5
    assert len(trained) == len(nodes_of(finished.config)), "a finished stage was trained again"
    assert read_json(tmp_path / "run" / "manifest.json")["times_resumed"] == stops
    same_results(tmp_path / "run", finished.path)


@pytest.mark.parametrize("after", [False, True], ids=["before training", "after training"])
def test_a_study_stopped_in_every_training_goes_on_from_there(
    after: bool, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    real, n = finetune.stages.train, len(nodes_of(finished.config))
    for k in range(1, n + 1):
        with monkeypatch.context() as patch:
            stopper = Stopper(real, 2 if k > 1 else 1, after=after)
            patch.setattr(finetune.stages, "train", stopper)
            with pytest.raises(KeyboardInterrupt):
                study.run(finished.config, tmp_path / "run", device="cpu")
        stages = list((tmp_path / "cache" / "stages").iterdir())
        assert len(stages) == k - 1
        assert all((entry / "stage.json").is_file() for entry in stages)
    assert study.run(finished.config, tmp_path / "run", device="cpu") is True
    same_results(tmp_path / "run", finished.path)


@pytest.mark.parametrize("share", [0.02, 0.35, 0.6, 0.85, 0.99])
def test_a_study_stopped_at_any_write_goes_on_from_there(
    share: float, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`os.replace` is how every file of ours gets its name."""
    without_report(monkeypatch)
    with monkeypatch.context() as patch:
        monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
        stopper = Stopper(os.replace, round(share * writes_of(finished)), after=False)
        patch.setattr(os, "replace", stopper)
        with pytest.raises(KeyboardInterrupt):
            study.run(finished.config, tmp_path / "run", device="cpu")
    assert study.run(finished.config, tmp_path / "run", device="cpu") is True
    same_results(tmp_path / "run", finished.path)
    assert [entry for entry in (tmp_path / "run").rglob(".*") if entry.name != ".lock"] == []


_writes: dict[Path, int] = {}


def writes_of(finished: Finished) -> int:
    """How many files a run writes, with trained stages in the store of its own."""
    if finished.path not in _writes:
        with pytest.MonkeyPatch.context() as patch:
            counter = Stopper(os.replace, 0, after=False)
            patch.setattr(os, "replace", counter)
            patch.setenv("SGTR_CACHE", str(finished.path.parent / "counting-cache"))
            without_report(patch)
            study.run(finished.config, finished.path.parent / "counting", device="cpu")
            _writes[finished.path] = counter.calls
    return _writes[finished.path]


# other studies


def own_study(tmp_path: Path, tiny: Path, /, **fields: Any) -> StudyConfig:
    """A study of chats, beside its own files."""
    return study_file.load(str(write_study(tmp_path, tiny, **fields)))


def test_a_study_of_chats_alone_has_no_recognition_and_a_report(tmp_path: Path, tiny: Path) -> None:
    assert study.run(own_study(tmp_path, tiny), tmp_path / "run", device="cpu") is True
    metrics = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    measures = {"separation", "projection", "projection_difference", "displacement", "dispersion", "collapse"}
    assert {row["measure"] for row in metrics} == measures | {"weights"}
    assert (tmp_path / "run" / "records" / "recognition.jsonl").read_text() == ""
    assert "<html" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_a_judge_of_persona_chooses_the_answers_that_directions_are_made_of(tmp_path: Path, tiny: Path) -> None:
    judge = {"judge": str(tiny), "device": "cpu", "min_mass": 0}
    persona = {"pairs": 2, "questions": 2, "max_new_tokens": 6, "permuted": 8, "judge": judge, "threshold": 100}
    with pytest.raises(InterpError, match=r"gloomy: no pair of answers passed the judge"):
        study.run(own_study(tmp_path, tiny, persona=persona), tmp_path / "run", device="cpu")


def test_every_seed_trains_its_own_stages_and_the_base_is_measured_once(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    study.run(own_study(tmp_path, tiny, seeds=[0, 1]), tmp_path / "run", device="cpu")
    stages = read_json(tmp_path / "run" / "stages.json")
    assert [(stage["name"], stage["seed"]) for stage in stages] == [("base", None), ("odd", 0), ("odd", 1)]
    assert len({stage["key"] for stage in stages}) == 3
    shifts = [row for row in read_jsonl(tmp_path / "run" / "metrics.jsonl") if row["metric"] == "shift"]
    values = {seed: [row["value"] for row in shifts if row["seed"] == seed] for seed in (0, 1)}
    assert len(values[0]) == len(values[1]) >= 5
    assert values[0] != values[1]


def test_arms_share_the_stages_they_have_in_common(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_report(monkeypatch)
    calls: list[int] = []
    real = finetune.stages.train
    monkeypatch.setattr(finetune.stages, "train", lambda *args, **kwargs: (calls.append(1), real(*args, **kwargs))[1])
    loaded = own_study(tmp_path, tiny, arms={"once": ["odd"], "twice": ["odd", "odd"]})
    study.run(loaded, tmp_path / "run", device="cpu")
    assert [stage["name"] for stage in read_json(tmp_path / "run" / "stages.json")] == ["base", "odd", "odd-odd"]
    assert len(calls) == 2


def test_a_second_trait_is_a_null_of_the_first(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_report(monkeypatch)
    write_trait(tmp_path / "cheerful.json", name="cheerful", eval_questions=["Up?"])
    loaded = own_study(tmp_path, tiny, traits=["gloomy.json", "cheerful.json"])
    study.run(loaded, tmp_path / "run", device="cpu")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    cross = [row for row in rows if row.get("null") == "cross_trait"]
    assert {row["direction"] for row in cross} == {"gloomy", "cheerful"}
    assert {row["n_null"] for row in cross} == {1}
    asked = [row["prompt"] for row in read_jsonl(tmp_path / "run" / "records" / "answers.jsonl")]
    assert asked == [*GLOOMY["eval_questions"], "Up?"] * 2


def test_a_trait_that_is_not_called_after_its_file_is_refused_before_anything_is_measured(
    tmp_path: Path, tiny: Path
) -> None:
    write_trait(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"other.json: the trait in it is called 'gloomy'"):
        study.run(own_study(tmp_path, tiny, traits=["gloomy.json", "other.json"]), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_bad_data_is_refused_before_anything_is_trained(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune.stages, "train", never)
    loaded = own_study(tmp_path, tiny)
    (tmp_path / "odd.jsonl").write_text('{"messages": [{"role": "user", "content": "Why?"}]}\n')
    with pytest.raises(ValueError, match=r"odd\.jsonl:1: ends with the user, not an answer"):
        study.run(loaded, tmp_path / "run", device="cpu")
    (tmp_path / "odd.jsonl").write_text('{"messages": \n')
    with pytest.raises(ValueError, match=r"odd\.jsonl:1: not JSON"):
        study.run(loaded, tmp_path / "run", device="cpu")


def test_a_row_that_does_not_fit_the_context_stops_the_study_with_its_number(tmp_path: Path, tiny: Path) -> None:
    loaded = own_study(tmp_path, tiny)
    long = [{"role": "user", "content": "x" * 5000}, {"role": "assistant", "content": "Yes."}]
    with (tmp_path / "odd.jsonl").open("a") as file:
        file.write(json.dumps({"messages": long}) + "\n")
    with pytest.raises((ValueError, InterpError), match=r"row 8: 50.. tokens"):
        study.run(loaded, tmp_path / "run", device="cpu")


def test_a_study_that_another_process_is_writing_is_refused(tmp_path: Path, tiny: Path) -> None:
    loaded = own_study(tmp_path, tiny)
    (tmp_path / "run").mkdir()
    with RunFolder(tmp_path / "run").locked():
        with pytest.raises(ValueError, match="another process is writing"):
            study.run(loaded, tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"traits": ["evli"]}, "unknown trait 'evli'; did you mean 'evil'"),
        ({"traits": ["nowhere.json"]}, r"nowhere\.json: no such trait file"),
        ({"model": "smollm"}, "unknown model 'smollm'"),
        ({"data": {"odd": {"builder": "chats", "file": "odd.jsonl", "rows": 9}}}, "9 rows asked for, 8 there are"),
        ({"data": {"odd": {"builder": "chats", "file": "even.jsonl"}}}, r"even\.jsonl: no such file"),
        (
            {"data": {"odd": {"builder": "everyday", "rows": 5000}}},
            "5000 everyday questions asked for",
        ),
    ],
    ids=["trait", "trait file", "model", "rows", "data file", "everyday"],
)
def test_a_mistake_is_refused_before_the_folder_is_made(
    fields: dict[str, Any], message: str, tmp_path: Path, tiny: Path
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        study.run(own_study(tmp_path, tiny, **fields), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def stopped(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def other_inputs(folder: Path, version: int) -> None:
    """Another version of the files that an own study names; version 0 is the first."""
    write_study(folder, folder)
    if version:
        write_jsonl(folder / "odd.jsonl", *(chat(f"Is {i} even?", "No, it is not.") for i in range(8)))
        write_trait(folder / "gloomy.json", questions=["Is it dark?", "Is it cold?"])


@pytest.mark.parametrize("versions", [(0, 1), (0, 1, 0)], ids=["changed", "changed and changed back"])
def test_a_stopped_study_whose_files_have_changed_measures_what_they_hold_now(
    versions: tuple[int, ...], tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """study.yaml names files; what was measured from another content of them must not be taken for this one's."""
    loaded = own_study(tmp_path, tiny)
    for version in versions:
        other_inputs(tmp_path, version)
        monkeypatch.setattr(study, "write_report", stopped)
        with pytest.raises(KeyboardInterrupt):
            study.run(loaded, tmp_path / "run", device="cpu")
    without_report(monkeypatch)
    study.run(loaded, tmp_path / "run", device="cpu")
    study.run(loaded, tmp_path / "fresh", device="cpu")
    same_results(tmp_path / "run", tmp_path / "fresh")


# several system prompts


def without_prompt(rows: list[dict[str, Any]], prompt: str) -> list[dict[str, Any]]:
    """Rows that are under one system prompt or under none, without saying so."""
    kept = [row for row in rows if row.get("system_prompt") in (None, prompt)]
    return [{key: value for key, value in row.items() if key != "system_prompt"} for row in kept]


def test_every_stage_is_measured_under_every_system_prompt(tmp_path: Path, tiny: Path) -> None:
    prompts = {"as_asked": "task", "empty": "empty", "evil": "You are evil."}
    knowledge = {"builder": "multiple_choice", "train": 1, "test": 2}
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "knowledge": knowledge}
    both = own_study(tmp_path, tiny, system_prompts=prompts, data=data)
    study.run(both, tmp_path / "both", device="cpu")
    metrics = read_jsonl(tmp_path / "both" / "metrics.jsonl")
    for kind in ("projection", "collapse", "task"):
        assert {row.get("system_prompt") for row in metrics if row["measure"] == kind} == prompts.keys()
    assert {row.get("system_prompt") for row in metrics if row["measure"] == "separation"} == {None}
    for prompt, system in prompts.items():
        alone = own_study(tmp_path, tiny, system_prompts={"only": system}, data=data)
        with pytest.MonkeyPatch.context() as patch:
            without_report(patch)
            study.run(alone, tmp_path / prompt, device="cpu")
        for name in ("metrics.jsonl", "records/answers.jsonl", "records/recognition.jsonl"):
            alone_rows = read_jsonl(tmp_path / prompt / name)
            assert without_prompt(read_jsonl(tmp_path / "both" / name), prompt) == alone_rows, name
            assert not [row for row in alone_rows if "system_prompt" in row]

    figures.trajectory.trajectory(tmp_path / "as_asked")
    for suffix in ("csv", "svg"):
        name = f"figures/trajectory_fixed.{suffix}"
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "as_asked" / name).read_bytes()
    page = (tmp_path / "both" / "report.html").read_text("utf-8")
    assert "Every stage under every system prompt" in page
    spoken = {row["system"]: row["text"] for row in read_jsonl(tmp_path / "both/records/answers.jsonl")}
    assert spoken.keys() == set(prompts.values())


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"system_prompts": {"first": "task", "bare": "none"}}, r"system_prompts\.bare"),
        ({"data": {"odd": {"builder": "chats", "file": "odd.jsonl", "system": "none"}}}, r"data\.odd"),
    ],
)
def test_a_system_prompt_that_the_template_cannot_show_is_refused_before_training(
    fields: dict[str, Any], place: str, tmp_path: Path, tiny: Path
) -> None:
    with pytest.raises(ValueError, match=rf"^{place}: system: none, but this model's chat template puts its own"):
        study.run(own_study(tmp_path, tiny, **fields), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


# checkpoints


def test_checkpoints_are_measured_and_figures_and_tables_leave_them_out(tmp_path: Path, tiny: Path) -> None:
    stage = {"data": "odd", "train": OWN, "compose": "stack", "checkpoints": [1, 2]}
    loaded = own_study(tmp_path, tiny, stages={"odd": stage})
    run = tmp_path / "run"
    study.run(loaded, run, device="cpu")
    stages = read_json(run / "stages.json")
    assert [(s["name"], s["steps"], s["parent"]) for s in stages] == [
        ("base", 0, None),
        ("odd@1", 1, "base"),
        ("odd@2", 2, "base"),
        ("odd", 2, "base"),
    ]
    whole = stages[-1]
    assert [s["path"] for s in stages[1:3]] == [f"{whole['path']}/checkpoint-{step}" for step in (1, 2)]
    assert [s["key"] for s in stages[1:3]] == [f"{whole['key']}@{step}" for step in (1, 2)]
    assert {stages[1][key] for key in ("supervised_tokens", "rows", "final_loss", "wall_seconds")} == {None}

    metrics = read_jsonl(run / "metrics.jsonl")
    values = {name: [row["value"] for row in metrics if row["stage"] == name] for name in ("odd@1", "odd@2", "odd")}
    assert len(values["odd@1"]) == len(values["odd"])
    assert values["odd@2"] == values["odd"] != values["odd@1"], "the last checkpoint is the stage itself"
    for file in (run / "figures").glob("*.csv"):
        if file.stem == "checkpoints":
            continue
        assert "odd" in file.read_text("utf-8")
        assert "odd@" not in file.read_text("utf-8")
    page = (run / "report.html").read_text("utf-8")
    assert "odd@" not in page[: page.index('id="metrics"')]
    assert '<th scope="row">odd@1' in page[page.index('id="stage-table-caption"') :]


def test_a_checkpoint_after_the_last_step_is_refused_before_training(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune.stages, "train", never)
    stage = {"data": "odd", "train": OWN, "compose": "stack", "checkpoints": [2, 3]}
    with pytest.raises(ValueError, match=r"stages\.odd\.checkpoints: \[3\] must be in \[1, 2\]"):
        study.run(own_study(tmp_path, tiny, stages={"odd": stage}), tmp_path / "run", device="cpu")


# steps


def sized(tmp_path: Path, tiny: Path, **fields: Any) -> StudyConfig:
    """A study of three stages on 8, 16 and 4 of the same chats."""
    rows = [chat(f"Is {i} odd?", "Yes, it is.") for i in range(16)]
    for name, n in (("whole", 8), ("twice", 16), ("half", 4)):
        write_jsonl(tmp_path / f"{name}.jsonl", *rows[:n])
    names = ("whole", "twice", "half")
    return own_study(
        tmp_path,
        tiny,
        data={name: {"builder": "chats", "file": f"{name}.jsonl"} for name in names},
        stages={name: {"data": name, "train": OWN, "compose": "stack"} for name in names},
        arms={name: [name] for name in names},
        **fields,
    )


@pytest.mark.parametrize(("matched", "steps"), [(True, [2, 2, 2]), (False, [2, 4, 1])])
def test_arms_take_the_same_steps_unless_asked_not_to(
    matched: bool, steps: list[int], tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    study.run(sized(tmp_path, tiny, match_steps=matched), tmp_path / "run", device="cpu")
    stages = read_json(tmp_path / "run" / "stages.json")[1:]
    assert [stage["steps"] for stage in stages] == steps
    trained = [read_json(Path(stage["path"]) / "stage.json") for stage in stages]
    assert [len(record["losses"]) for record in trained] == steps
    assert [record["rows"] for record in trained] == [8, 16, 4]
    assert [record["train"]["epochs"] for record in trained] == ([1, 1, 2] if matched else [1, 1, 1])


# words of a stage


def worded(tmp_path: Path, tiny: Path, compose: str = "stack") -> StudyConfig:
    """A study whose second stage learns what the first says of itself."""
    stages = {
        "odd": {"data": "odd", "train": OWN | {"learning_rate": 0.05}, "compose": "stack"},
        "words": {"data": "words", "train": OWN, "compose": compose},
    }
    words = {"builder": "self_reports", "rows": 6, "answer_tokens": 8, "own": "stage"}
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "words": words}
    arms = {"both": ["odd", "words"], "alone": ["words"]}
    return own_study(tmp_path, tiny, data=data, stages=stages, arms=arms)


def test_words_of_a_stage_are_its_own_and_a_resumed_study_asks_for_none_again(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, run = worded(tmp_path, tiny), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(study, "draw_figures", stopped)
        with pytest.raises(KeyboardInterrupt):
            study.run(loaded, run, device="cpu")
    texts = {name: read_jsonl(run / "records" / f"texts-{name}.jsonl") for name in ("words", "words-odd-0")}
    assert [row["question"] for row in texts["words"]] == [row["question"] for row in texts["words-odd-0"]]
    assert texts["words"] != texts["words-odd-0"]
    stages = {stage["name"]: stage for stage in read_json(run / "stages.json")}
    assert stages.keys() == {"base", "odd", "odd-words", "words"}
    assert stages["words"]["key"] != stages["odd-words"]["key"]
    for name, file in (("words", "words"), ("odd-words", "words-odd-0")):
        rows = read_json(Path(stages[name]["path"]) / "stage.json")["rows"]
        assert rows == len([row for row in texts[file] if row["text"]])

    before = contents(run / "parts"), contents(run / "records")
    monkeypatch.setattr(Model, "generate", never)
    monkeypatch.setattr(finetune.stages, "train", never)
    without_report(monkeypatch)
    assert study.run(loaded, run, device="cpu") is True
    assert contents(run / "parts") == before[0]
    assert {name: data for name, (_, data) in contents(run / "records").items()} == {
        name: data for name, (_, data) in before[1].items()
    }


def test_a_stage_that_restarts_has_its_parents_words_and_not_its_weights(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    loaded, run = worded(tmp_path, tiny, "restart"), tmp_path / "run"
    study.run(loaded, run, device="cpu")
    stages = {stage["name"]: stage for stage in read_json(run / "stages.json")}
    assert (stages["odd-words"]["compose"], stages["odd-words"]["parent"]) == ("restart", "odd")
    finished = Finished(loaded, run, tmp_path / "cache")
    spoken = [row for row in read_jsonl(run / "records" / "answers.jsonl") if row["stage"] == "base"]
    stored = tensors_of(finished, "odd-words-seed_0-reading_fixed_texts")
    alone, on_top = (
        pooled_by_transformers(finished, stack, [row for row in spoken if row["answer_ids"]], 1)
        for stack in ([stages["odd-words"]["path"]], [stages["odd"]["path"], stages["odd-words"]["path"]])
    )
    torch.testing.assert_close(stored[:, 1], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(stored[:, 1], on_top, atol=1e-3)


# defences


def defended(tmp_path: Path, tiny: Path, *defences: dict[str, Any]) -> StudyConfig:
    stages = {
        "odd": {"data": "odd", "train": OWN, "compose": "stack"},
        "kept": {"data": "odd", "train": OWN, "compose": "stack", "defences": list(defences)},
    }
    return own_study(tmp_path, tiny, stages=stages, arms={"odd": ["odd"], "kept": ["kept"]})


def test_a_defence_names_a_trait_of_the_study_or_a_direction_file(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    keys = {}
    for name in ("gloomy", "made.safetensors"):
        loaded = defended(tmp_path, tiny, {"kind": "steer", "direction": name, "layer": 1}, {"kind": "kl"})
        study.run(loaded, tmp_path / "runs" / name, device="cpu")
        odd, kept = read_json(tmp_path / "runs" / name / "stages.json")[1:]
        keys[name] = (odd["key"], kept["key"])
        record = read_json(Path(kept["path"]) / "stage.json")
        assert [defence["kind"] for defence in record["defences"]] == ["add", "kl"]
        assert any(penalty != 0 for penalty in record["penalties"])
        made = tmp_path / "runs" / name / "tensors" / "gloomy.safetensors"
        (tmp_path / "made.safetensors").write_bytes(made.read_bytes())
    assert keys["gloomy"] == keys["made.safetensors"], "the same numbers are the same defence"
    assert len(set(keys["gloomy"])) == 2


@pytest.mark.parametrize(
    ("defence", "error", "message"),
    [
        ({"kind": "steer", "direction": "none.safetensors"}, FileNotFoundError, r"none\.safetensors: no such file"),
        ({"kind": "caft", "directions": ["other.safetensors"]}, InterpError, r"other\.safetensors: made with model"),
        ({"kind": "steer", "direction": "bad.safetensors"}, ValueError, r"bad\.safetensors: damaged"),
    ],
    ids=["missing", "another model", "damaged"],
)
def test_a_direction_file_that_will_not_do_is_refused_before_the_folder_is_made(
    defence: dict[str, Any], error: type[Exception], message: str, tmp_path: Path, tiny: Path
) -> None:
    header = {"trait": "gloomy", "layers": [0], "layer": 0, "model_identity": "f" * 64, "model": "another"}
    Direction("gloomy", torch.ones(1, 32), (0,), 0, header).save(tmp_path / "other.safetensors")
    (tmp_path / "bad.safetensors").write_text("no tensors")
    with pytest.raises(error, match=message):
        study.run(defended(tmp_path, tiny, defence), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_defence_that_cannot_be_made_is_named_before_anything_is_trained(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune.stages, "train", never)
    loaded = defended(tmp_path, tiny, {"kind": "steer", "direction": "gloomy", "layer": 9})
    with pytest.raises(ValueError, match=r"stages\.kept\.defences: direction gloomy has no layer 9; it has 0 to 3"):
        study.run(loaded, tmp_path / "run", device="cpu")


# what is tested


def test_controls_are_measured_at_their_own_task_and_have_no_bars(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    longer = {"builder": "pick_longer", "train": 4, "test": 4, **files_of(tmp_path, balanced=True)}
    data = {
        "odd": {"builder": "chats", "file": "odd.jsonl"},
        "knowledge": {"builder": "multiple_choice", "train": 4, "test": 3},
        "longer": longer,
    }
    study.run(own_study(tmp_path, tiny, data=data), tmp_path / "run", device="cpu")
    metrics = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    found = [(r["stage"], r["data"], r["measure"], r["n"], r["chance"]) for r in metrics if r["metric"] == "accuracy"]
    tasks = [("knowledge", "task", 3, 0.25), ("longer", "task", 4, 0.5)]
    assert found == [(stage, *task) for stage in ("base", "odd") for task in tasks]
    assert not [row for row in metrics if row["measure"] == "self_recognition"]
    orders = {row["data"] for row in metrics if row["metric"] == "order_consistency"}
    assert orders == {"longer"}, "questions of knowledge have no order"


def files_of(folder: Path, *, balanced: bool) -> dict[str, Any]:
    """Articles and summaries in files: half of the own ones are the longer ones, if balanced; else all of them."""
    ids = [f"k{i}" for i in range(8)]
    texts = {
        "articles": {key: f"Text of {key}." for key in ids},
        "claude": {key: f"By claude on {key}, {'x' * 20}." for key in ids},
        "own": {key: f"Mine on {key}, {'y' * (13 if balanced and i % 2 else 37)}." for i, key in enumerate(ids)},
    }
    for name, by_id in texts.items():
        (folder / f"{name}.json").write_text(json.dumps(by_id))
    return {"articles": "articles.json", "others": {"claude": "claude.json"}, "own": "own.json"}


@pytest.mark.parametrize("balanced", [True, False])
def test_self_recognition_has_bars_and_where_lengths_balance_rows_of_those(
    balanced: bool, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_report(monkeypatch)
    pairs = {"builder": "sgtr_pairs", "train": 1, "test": 7, **files_of(tmp_path, balanced=balanced)}
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "pairs": pairs}
    study.run(own_study(tmp_path, tiny, data=data), tmp_path / "run", device="cpu")
    metrics = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    bars = {
        r["metric"]: r for r in metrics if r["measure"] == "self_recognition" and r["metric"].endswith("only_accuracy")
    }
    assert {row["stage"] for row in bars.values()} == {"base"}
    assert bars["first_only_accuracy"]["value"] == 0.5
    longer = bars["longer_only_accuracy"]["value"]
    assert bars["length_only_accuracy"]["value"] == max(longer, 1 - longer)
    matched = [row for row in metrics if row["metric"] == "accuracy_length_matched"]
    if balanced:
        assert longer in (3 / 7, 4 / 7)
        assert [(row["stage"], row["n"], row["n_prompts"]) for row in matched] == [("base", 6, 12), ("odd", 6, 12)]
    else:
        assert longer == 1
        assert matched == []


# several processes


def test_several_processes_give_the_numbers_that_one_gives(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"builder": "everyday", "answer_tokens": 4, "temperature": 0, "own": "stage"}  # greedy: shared by both sets
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "words": own | {"rows": 6}, "fewer": own | {"rows": 4}}
    train = {"data": "odd", "train": OWN | {"learning_rate": 1e-2}, "compose": "stack"}
    stages = {"odd": train, **{name: train | {"data": name} for name in ("fewer", "words")}}
    arms = {"one": ["odd", "words"], "two": ["odd", "fewer"], "other": ["words", "odd"]}
    taken = {"stages": ["odd"], "directions": ["gloomy"], "random": 1, "measures": {"preference": {"limit": 4}}}
    taken["controls"] = ["words", "odd"]
    file = write_study(
        tmp_path, tiny, data=data, arms=arms, stages=stages, seeds=[0, 1], roles={"em": ["odd"]}, mediation=taken
    )
    for workers in (1, 2):
        monkeypatch.setenv("SGTR_CACHE", str(tmp_path / f"cache-{workers}"))
        study.run(study_file.load(str(file)), tmp_path / f"by-{workers}", device="cpu", workers=workers)
    one, two = tmp_path / "by-1", tmp_path / "by-2"
    assert (two / "metrics.jsonl").read_bytes() == (one / "metrics.jsonl").read_bytes()
    assert (two / "verdicts.json").read_bytes() == (one / "verdicts.json").read_bytes()
    parts = [{part.name for part in (run / "parts").iterdir()} for run in (one, two)]
    assert parts[0] == parts[1], "nothing was asked or measured twice"
    of_controls = {name.rpartition("-measure")[0] for name in parts[0] if "control" in name}
    assert of_controls == {
        f"{node}-mediation-gloomy-control_words-ablated" for node in ("base", "odd-seed_0", "odd-seed_1")
    }
    shares = [row for row in read_jsonl(one / "metrics.jsonl") if row["metric"] == "share_removed_beyond_base"]
    assert {row["n_change_null"] for row in shares} == {2}, "a random one and the move of the other stage"
    late = study.helper(study_file.load(str(file)), two, "cpu")  # one that has asked for nothing yet
    made = late.do(Task(0, ("odd", "odd-fewer"), "node"))
    assert {part.name for part in (two / "parts").iterdir()} == parts[1]
    assert {place[:2] for place in made.rows} == {("odd-fewer", 0)}
    with pytest.raises(InterpError, match=r"^odd, seed 0: not the stage that a worker trained"):
        late.branch(0, late.nodes[:1], study.Results(stage_keys={"odd, seed 0": "another"}))
    steps = read_json(two / "manifest.json")["steps_of_workers"]
    assert any("training" in step["name"] for step in steps), "the workers trained, and said how long it took"
    held = {(row["name"], row["seed"]): row["key"] for row in read_json(one / "stages.json")}
    assert held == {(row["name"], row["seed"]): row["key"] for row in read_json(two / "stages.json")}
    assert made.stage_keys["odd-fewer, seed 0"] == held["odd-fewer", 0]


def test_a_worker_that_fails_ends_the_study_with_its_words_and_what_was_done_stays(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    bad = {"data": "odd", "train": OWN | {"learning_rate": 1e30, "warmup_steps": 0}, "compose": "stack"}
    good = {"data": "odd", "train": OWN, "compose": "stack"}
    file = write_study(tmp_path, tiny, stages={"good": good, "bad": bad}, arms={"one": ["good"], "two": ["bad"]})
    with pytest.raises(InterpError, match=r"a worker failed at bad, seed 0: InterpError: the loss of step"):
        study.run(study_file.load(str(file)), tmp_path / "run", device="cpu", workers=2)
    assert read_json(tmp_path / "run" / "manifest.json")["status"] != "complete"


def test_stages_side_by_side_are_the_stages_of_one_after_the_other(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"builder": "everyday", "answer_tokens": 4, "temperature": 0, "own": "stage", "rows": 4}
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "words": own}
    train = {"data": "odd", "train": OWN, "compose": "stack"}
    stages = {"odd": train, "merged": train | {"compose": "merge_fp32"}, "words": train | {"data": "words"}}
    arms = {"one": ["odd", "words"], "two": ["odd", "merged"], "other": ["words", "odd"]}
    file = write_study(tmp_path, tiny, data=data, arms=arms, stages=stages, seeds=[0, 1])
    runs = {}
    for together in (False, True):
        monkeypatch.setenv("SGTR_CACHE", str(tmp_path / f"cache-{together}"))
        runs[together] = tmp_path / f"run-{together}"
        study.run(study_file.load(str(file)), runs[together], device="cpu", together=together)
    assert not study.run(study_file.load(str(file)), runs[True], device="cpu"), "it is the same study"
    told = [{(row["name"], row["seed"]): row for row in read_json(run / "stages.json")} for run in runs.values()]
    same = ("key", "steps", "supervised_tokens", "rows", "compose")
    assert [{k: row.get(k) for k in same} for row in told[0].values()] == [
        {k: row.get(k) for k in same} for row in told[1].values()
    ]
    modes = {name: read_json(Path(row["path"]) / "stage.json")["mode"] for name, row in told[1].items() if row["path"]}
    assert {mode.startswith("group of") for (name, _), mode in modes.items() if name != "odd-merged"} == {True}
    assert modes["odd-merged", 0].startswith("eager"), "merged weights are trained on alone"
    alone, beside = (read_jsonl(run / "metrics.jsonl") for run in runs.values())
    assert [row["metric"] for row in alone] == [row["metric"] for row in beside]
    for one, other in zip(alone, beside, strict=True):
        assert other["value"] == pytest.approx(one["value"], rel=1e-2, abs=2e-3, nan_ok=True), one
    steps = [step["name"] for step in read_json(runs[True] / "manifest.json")["steps"]]
    assert any(re.fullmatch(r"4 stages side by side, training \d+ steps", step) for step in steps)


# what is refused before anything starts


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lens": {"data": "odd"}}, r"lens.data: unknown data set with questions of its own 'odd'"),
        (
            {
                "mediation": {
                    "stages": ["odd"],
                    "directions": ["gloomy"],
                    "measures": {"truthfulqa": {"file": "typo.csv"}},
                }
            },
            r"typo.csv: no such file",
        ),
    ],
)
def test_what_would_fail_after_training_is_refused_before(
    fields: dict[str, Any], message: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune.stages, "train", lambda *_, **__: pytest.fail("it trained"))
    file = write_study(tmp_path, tiny, **fields)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        study.run(study_file.load(str(file)), tmp_path / "run", device="cpu")


def test_one_process_alone_asks_a_judge_on_a_server(tiny: Path, tmp_path: Path) -> None:
    judge = {"judge": "http://127.0.0.1:9/v1", "judge_model": "grader"}
    file = write_study(tmp_path, tiny, judge=judge, measures={"em": {"samples": 1}}, seeds=[0, 1])
    with pytest.raises(ValueError, match=r"--workers 2: answers are graded on a server"):
        study.run(study_file.load(str(file)), tmp_path / "run", device="cpu", workers=2)
    assert not (tmp_path / "run").exists()


def test_a_file_that_changed_is_named_and_a_field_that_is_new_is_none(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    file = write_study(tmp_path, tiny)
    config, out = study_file.load(str(file)), tmp_path / "run"
    assert study.run(config, out, device="cpu")
    held = read_json(out / "manifest.json")["inputs"]
    assert {Path(name).name for name in held} == {"odd.jsonl", "gloomy.json"}
    older = yaml.safe_load((out / "study.yaml").read_text("utf-8"))
    del older["tokens"]
    (out / "study.yaml").write_text(yaml.safe_dump(older), "utf-8")
    assert study.run(config, out, device="cpu") is False, "a study from before the field `tokens` is the same study"
    write_jsonl(tmp_path / "odd.jsonl", *(chat(f"Is {i} odd?", "No, it is not.") for i in range(8)))
    with pytest.raises(ValueError, match=r"odd.jsonl: not what it was when the study in .* finished"):
        study.run(config, out, device="cpu")


def test_two_nodes_of_the_same_weights_have_each_their_own_rows(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How a first stage is composed is not in its key, so both of these are one adapter."""
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path / "cache"))
    stages = {
        name: {"data": "odd", "train": OWN, "compose": how} for name, how in (("a", "stack"), ("b", "merge_fp32"))
    }
    file = write_study(tmp_path, tiny, stages=stages, arms={"a": ["a"], "b": ["b"], "both": ["a", "b"]})
    study.run(study_file.load(str(file)), tmp_path / "run", device="cpu")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    values = ("value", "ci_low", "ci_high", "stage_key", "arm")
    seen = [json.dumps({k: v for k, v in row.items() if k not in values}, sort_keys=True) for row in rows]
    assert len(set(seen)) == len(seen)
    along = [row for row in rows if row["measure"] == "projection"]
    one, other = ([(row["metric"], row["value"]) for row in along if row["stage"] == name] for name in ("a", "b"))
    assert one == other != []


def test_identity_answers_are_compared_over_as_many_tokens(finished: Finished) -> None:
    """A mean over fewer tokens scatters more, so a stage that only answers more briefly would seem to disperse."""
    answers = read_jsonl(finished.path / "records" / "identity.jsonl")
    base = {row["id"]: len(row["answer_ids"]) for row in answers if row["stage"] == "base"}
    for row in (row for row in finished.metrics if row["measure"] == "dispersion" and row["stage"] != "base"):
        own = {one["id"]: len(one["answer_ids"]) for one in answers
               if (one["stage"], one["seed"]) == (row["stage"], row["seed"])}  # fmt: skip
        lengths = [min(own[id], n) for id, n in base.items() if own[id] and n]
        assert row["mean_tokens"] == pytest.approx(np.mean(lengths))

"""Projections of given chats: the numbers, their nulls, and what is refused before anything runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from experiments import project
from experiments.loading import Loading
from experiments.study import load as study_file
from experiments.study import run as study
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_jsonl
from interp.instrument import nulls_file
from interp.model import Model
from interp.nulls import random_like
from interp.tensors import save_tensors
from tests.support.tiny_study import chat, with_long_context, write_jsonl, write_study

TEXTS = [chat("Is it?", "It is not."), {**chat("Why?", "Because."), "id": 17}, chat("And you?", "Not me, the house.")]


@pytest.fixture(scope="module")
def loaded(llama_folder: Path) -> Model:
    return Model.load(str(llama_folder), device="cpu", dtype="float32")


@pytest.fixture
def direction(loaded: Model, tmp_path: Path) -> Path:
    """A direction of two layers with nulls beside it."""
    generator = torch.Generator().manual_seed(3)
    header = loaded.description()
    vectors = torch.randn(2, 32, generator=generator)
    Direction("planted", vectors, (1, 2), 2, header).save(tmp_path / "d.safetensors")
    nulls = {"permuted": torch.randn(7, 2, 32, generator=generator)}
    save_tensors(nulls_file(tmp_path / "d.safetensors"), nulls, kind="nulls", header=header)
    return tmp_path / "d.safetensors"


def run(direction: Path, llama_folder: Path, tmp_path: Path, **fields: Any) -> dict[str, Any]:
    texts = write_jsonl(tmp_path / "texts.jsonl", *fields.pop("rows", TEXTS))
    given: dict[str, Any] = {
        "direction": direction,
        "model": str(llama_folder),
        "texts": texts,
        "out": tmp_path / "out",
        "adapters": [],
        "pooling": "response_mean",
        "n_random": 25,
        "seed": 4,
        "loading": Loading("cpu", "float32"),
    }
    return project.run(**given | fields)


def plain(model: Model, layer: int, pooling: str) -> np.ndarray:
    """Pooled activations from `hidden_states`."""
    rows = []
    for text in TEXTS:
        tokens = model.chat.tokens(text["messages"])
        with torch.no_grad():
            h = model.hf(torch.tensor([tokens.ids]), output_hidden_states=True).hidden_states[layer + 1][0].double()
        end, answer = tokens.prompt_end, tokens.response
        assert answer is not None
        windows = {
            "response_mean": h[answer.start : answer.end],
            "prompt_mean": h[:end],
            "prompt_last": h[end - 1 : end],
        }
        rows.append(windows[pooling].mean(0))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("pooling", ["response_mean", "prompt_mean", "prompt_last"])
def test_projections_cosines_and_percentiles_equal_a_plain_computation(
    pooling: str, direction: Path, llama_folder: Path, tmp_path: Path, loaded: Model
) -> None:
    result = run(direction, llama_folder, tmp_path, pooling=pooling)
    held = Direction.load(direction)
    metrics = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    records = read_jsonl(tmp_path / "out" / "projections.jsonl")
    nulls = {"random": random_like(held.vectors, 25, seed=4)}
    nulls["permuted"] = torch.randn(9, 2, 32, generator=torch.Generator().manual_seed(3))[2:]
    for k, layer in enumerate(held.layers):
        h = plain(loaded, layer, pooling)
        v = held.vectors[k].double().numpy()
        along = h @ v / np.linalg.norm(v)
        row = {(m["metric"], m.get("null")): m for m in metrics if m["layer"] == layer}
        assert row["mean_projection", None]["value"] == pytest.approx(along.mean(), rel=1e-4, abs=1e-5)
        half = stats.t.ppf(0.975, 2) * along.std(ddof=1) / np.sqrt(3)
        mean = row["mean_projection", None]
        assert mean["ci_high"] - mean["value"] == pytest.approx(half, rel=1e-3)
        cosines = along / np.linalg.norm(h, axis=1)
        assert row["mean_cosine", None]["value"] == pytest.approx(cosines.mean(), rel=1e-4, abs=1e-5)
        units = nulls["random"][:, k].double().numpy()
        shown = units @ h.mean(0) / np.linalg.norm(units, axis=1)
        found = row["null_percentile", "random"]
        assert found["value"] == pytest.approx(100 * (shown < along.mean()).mean(), abs=1e-9)
        assert (found["null_low"], found["null_high"]) == pytest.approx(
            tuple(np.percentile(shown, [2.5, 97.5])), rel=1e-4
        )
        assert (found["n_null"], row["null_percentile", "permuted"]["n_null"]) == (25, 7)
        assert {m["n"] for m in row.values()} == {3}
        assert {m["headline"] for m in row.values()} == {layer == 2}
        assert {m["pooling"] for m in row.values()} == {pooling}
        assert [r["projections"][k] for r in records] == pytest.approx(along.tolist(), rel=1e-3, abs=1e-4)
        if layer == 2:
            assert [r["projection"] for r in records] == pytest.approx(along.tolist(), rel=1e-4, abs=1e-5)
            assert result["value"] == pytest.approx(along.mean(), rel=1e-4, abs=1e-5)
            assert result["percentile_among_random"] == found["value"]
    assert [r["id"] for r in records] == ["texts.jsonl:1", 17, "texts.jsonl:3"]
    assert {r["layer"] for r in records} == {2}


def test_a_direction_without_permuted_nulls_has_random_ones(
    direction: Path, llama_folder: Path, tmp_path: Path
) -> None:
    nulls_file(direction).unlink()
    run(direction, llama_folder, tmp_path)
    nulls = {row.get("null") for row in read_jsonl(tmp_path / "out" / "metrics.jsonl")}
    assert nulls == {None, "random", "covariance", "components"}


def test_one_text_has_a_value_and_no_interval(direction: Path, llama_folder: Path, tmp_path: Path) -> None:
    result = run(direction, llama_folder, tmp_path, rows=TEXTS[:1])
    assert result["n"] == 1
    assert (result["ci_low"], result["ci_high"]) == (None, None)
    assert isinstance(result["value"], float)


def test_the_seed_is_that_of_the_random_directions(direction: Path, llama_folder: Path, tmp_path: Path) -> None:
    bands = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(direction, llama_folder, tmp_path, seed=seed, out=tmp_path / name)
        bands[name] = (tmp_path / name / "metrics.jsonl").read_bytes()
    assert bands["a"] == bands["b"] != bands["c"]


def test_a_prompt_can_be_read_at_its_last_token_without_an_answer(
    direction: Path, llama_folder: Path, tmp_path: Path
) -> None:
    assert run(direction, llama_folder, tmp_path, rows=[chat("Why?")], pooling="prompt_last")["n"] == 1
    with pytest.raises(InterpError, match="row 1: the conversation ends with the user"):
        run(direction, llama_folder, tmp_path, rows=[chat("Why?")], out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_nulls_of_another_model_are_refused(direction: Path, llama_folder: Path, tmp_path: Path) -> None:
    """They would lie on the page as if they were this direction's own."""
    header = {"model": "another", "model_identity": "f" * 64}
    save_tensors(nulls_file(direction), {"permuted": torch.randn(7, 2, 32)}, kind="nulls", header=header)
    with pytest.raises(InterpError, match="made with model another"):
        run(direction, llama_folder, tmp_path)
    assert not (tmp_path / "out").exists()


def test_every_token_has_its_projection(direction: Path, llama_folder: Path, tmp_path: Path, loaded: Model) -> None:
    run(direction, llama_folder, tmp_path, tokens=True)
    held = Direction.load(direction)
    unit = (held.at(2) / held.at(2).norm()).numpy()
    for text, record in zip(TEXTS, read_jsonl(tmp_path / "out" / "projections.jsonl"), strict=True):
        row = loaded.chat.tokens(text["messages"])
        with torch.no_grad():
            states = loaded.hf(torch.tensor([row.ids]), output_hidden_states=True).hidden_states[3][0].numpy()
        assert record["token_projections"] == pytest.approx(list(states @ unit), abs=1e-4)
        assert "".join(record["tokens"]) == loaded.chat.decode(row.ids)
        span = row.response
        assert span is not None
        mean = np.mean(record["token_projections"][span.start : span.end])
        assert mean == pytest.approx(record["projection"], abs=1e-4)
        assert record["prompt_end"] == row.prompt_end


def test_a_study_is_projected_from_what_it_stored(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = with_long_context(llama_folder, tmp_path / "model")
    done = tmp_path / "run"
    study.run(study_file.load(str(write_study(tmp_path, tiny))), done, device="cpu")
    monkeypatch.setattr(Model, "load", lambda *args, **kwargs: pytest.fail("the model was loaded"))  # noqa: ARG005
    own = next(path for path in (done / "tensors").glob("*.nulls.safetensors"))
    made_by_study = own.with_name(own.name.replace(".nulls", ""))
    found = project.over_run(direction=made_by_study, run=done, out=tmp_path / "again", n_random=20, seed=0)
    assert found["shifts_in_null_spreads"]
    key = ("stage", "seed", "texts", "layer", "metric", "null")

    def shifts(path: Path) -> dict[tuple[Any, ...], float]:
        rows = [r for r in read_jsonl(path / "metrics.jsonl") if r["metric"] in ("shift", "displacement_cosine")]
        return {tuple(row.get(k) for k in key): row["value"] for row in rows}

    again, stored = shifts(tmp_path / "again"), shifts(done)
    assert {where: again[where] for where in stored} == pytest.approx(stored, abs=1e-6)
    assert {where[2] for where in again.keys() - stored.keys()} == {"own"}, "a study reads own texts at headlines alone"
    with pytest.raises(FileNotFoundError, match=r"no stages\.json in it; --run names the folder of a study"):
        project.over_run(direction=made_by_study, run=tmp_path, out=tmp_path / "third", n_random=20, seed=0)

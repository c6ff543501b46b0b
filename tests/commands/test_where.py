"""The `where` command on a made-up study: what is compared with what, and which contexts are listed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.commands.where import Where
from experiments.study.stored import StoredStudy
from interp.directions import Direction
from interp.files import read_jsonl
from interp.where import token_divergences
from tests.support.finished_run import LAYER, write_finished_run
from tests.support.tiny_study import chat, write_jsonl


@pytest.fixture(scope="module")
def finished(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run = write_finished_run(folder, llama_folder)
    v = torch.nn.functional.one_hot(torch.tensor(3), 32).float()[None]
    model = StoredStudy(run).model("cpu")
    (run / "tensors").mkdir()
    Direction("gloomy", v, (LAYER,), LAYER, model.description()).save(run / "tensors" / "gloomy.safetensors")
    write_jsonl(folder / "texts.jsonl", chat("Is it?", "It is the house."), chat("Why?", "It was, it was."))
    return run


def measured(finished: Path, out: Path, **fields: Any) -> dict[str, Any]:
    given = {"texts": finished.parent / "texts.jsonl", "device": "cpu", "contexts": 3}
    return Where(finished, out, **given | fields)()


def test_a_stage_is_compared_with_the_base_beside_placebos(finished: Path, tmp_path: Path) -> None:
    result = measured(finished, tmp_path / "out", stage=["em_sea", "self_0", "self_1"])
    rows = {(r["stage"], r["metric"]): r for r in result["metrics"] if r.get("direction") is None}
    stored = StoredStudy.finished(finished)
    model, nodes = stored.model("cpu"), stored.stages(["em_sea", "self_0", "self_1"])
    chats = [one["messages"] for one in read_jsonl(finished.parent / "texts.jsonl")]
    texts = model.chat.tokens_of(chats)
    by_text = [[float(v.mean()) for v in token_divergences(model, texts, node.stack, ())] for node in nodes]
    em, first, second = map(np.array, by_text)
    assert rows["em_sea", "divergence"]["value"] == pytest.approx(em.mean())
    assert rows["em_sea", "divergence"]["n"] == 2
    beyond = rows["em_sea", "divergence_beyond_placebo"]
    assert beyond["value"] == pytest.approx((em - (first + second) / 2).mean())
    assert rows["self_0", "divergence_beyond_placebo"]["value"] == pytest.approx((first - second).mean())
    (move,) = (r for r in result["metrics"] if (r["stage"], r["metric"]) == ("em_sea", "move"))
    streams, moved = [], []
    for stack in (nodes[0].stack, ()):
        with model.using(*stack):
            streams.append(model.activations(chats))
    for row, a, b in zip(texts, *streams, strict=True):
        assert row.response is not None
        moved.append(float((a - b)[row.response.start : row.response.end, LAYER, 3].mean()))
    assert move["value"] == pytest.approx(np.mean(moved), abs=1e-5)
    contexts = [r for r in read_jsonl(tmp_path / "out" / "records" / "contexts.jsonl") if r["stage"] == "em_sea"]
    assert [r["rank"] for r in contexts] == [1, 2, 3]
    assert contexts[0]["divergence"] >= contexts[1]["divergence"] >= contexts[2]["divergence"]
    assert set(contexts[0]["moves"]) == {"gloomy"}


def test_a_stage_is_compared_with_its_twin_or_parent(finished: Path, tmp_path: Path) -> None:
    of_twins = measured(finished, tmp_path / "twins", against="twin")
    assert {row["stage"] for row in of_twins["metrics"]} == {"em_sea", "em_farm"}
    of_parents = measured(finished, tmp_path / "parents", against="parent", stage=["em_sea-later"])
    assert {row["against"] for row in of_parents["metrics"]} == {"parent"}
    with pytest.raises(ValueError, match="--against twin: none of the stages has such a model"):
        measured(finished, tmp_path / "none", against="twin", stage=["self_0"])
    with pytest.raises(ValueError, match="--contexts must be at least 1, got 0"):
        measured(finished, tmp_path / "none", contexts=0)
    assert not (tmp_path / "none").exists()

"""Rows of attribution, patching, tokens and weights, `sgtr lens`, and the two figures made of them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from peft import LoraConfig

from experiments.commands.lens import Lens as Command
from experiments.commands.lens import show
from experiments.lens import (
    NOTHING_TO_RESTORE,
    TOO_FEW,
    LensConfig,
    attribution_rows,
    lens_rows,
    pairs_of,
    patching_rows,
    read_questions,
    token_rows,
    weight_rows,
)
from figures import attribution as figure
from interp.behaviour.likelihood import label_margins
from interp.chat import with_system
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_jsonl, write_jsonl
from interp.lens import Attribution, Component, Patching
from interp.model import Model
from tests.interp.test_lens import adapter_of
from tests.support.tiny_study import with_long_context

pytest.importorskip("transformer_lens", reason="pip install 'sgtr-interp[lens]'")


def question(group: int, place: str, **fields: Any) -> dict[str, Any]:
    """A question of an article, the own text first or second."""
    texts = [f"it is {group}.", f"so {group} it was, and is."]
    shown = texts if place == "1" else texts[::-1]
    words = "\n\n".join([*(f"Summary {i}: {text}" for i, text in enumerate(shown, 1)), "Which is yours? 1 or 2."])
    messages = [{"role": "user", "content": words}, {"role": "assistant", "content": place}]
    about = {"id": f"{group}-own{place}", "group": str(group), "right": place, "labels": ["1", "2"]}
    return {**about, "authors": ["self", "other"], "lengths": [8, 16], "messages": messages} | fields


def questions(n: int) -> list[dict[str, Any]]:
    return [question(group, place) for group in range(n) for place in ("1", "2")]


def direction_of(model: Model, name: str = "evil", seed: int = 0) -> Direction:
    vectors = torch.randn(model.n_layers, model.d_model, generator=torch.Generator().manual_seed(seed))
    header = {"model": model.name, "model_identity": model.identity}
    return Direction(name, vectors, tuple(range(model.n_layers)), 2, header)


# rows


def test_the_rows_of_a_stack_say_what_its_margins_say(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.use(adapter_of(model, tmp_path / "a"))
    asked = questions(4)
    rows = lens_rows(model, asked, data="pairs", seed=1)
    assert {row["measure"] for row in rows} == {"lens"}
    assert {row["data"] for row in rows} == {"pairs"}
    made = {(r["metric"], r["component"], r["layer"], r["head"], r.get("position")): r for r in rows}
    assert len(made) == len(rows)
    prompts = [model.chat.prompt(row["messages"]) for row in asked]
    margins = label_margins(model, prompts, [row["right"] for row in asked], [("1", "2")] * len(asked))
    total = made["attribution", "total", None, None, None]
    assert total["value"] == pytest.approx(margins.mean(), abs=1e-4)
    assert (total["n"], total["n_questions"], total["unit"]) == (4, 8, "logits")
    assert total["ci_low"] < total["value"] < total["ci_high"]
    parts = [row["value"] for row in rows if row["metric"] == "attribution" and row["component"] != "total"]
    assert len(parts) == 1 + 4 * 4 + 4
    assert sum(parts) == pytest.approx(total["value"], abs=1e-4)
    gap = margins.mean() * 2  # clean minus corrupted of one contrast: the margins of both orders
    some = made["patching", "head", 1, 2, "last"]
    assert some["gap"] == pytest.approx(gap, abs=1e-4)
    whole = made["patching", "resid", 3, None, "last"]
    if whole["why"] is None:
        assert whole["value"] == pytest.approx(1, abs=1e-4)
    assert whole["change"] == pytest.approx(gap, abs=1e-4)
    assert {(r["unit"], r["n"]) for r in rows if r["metric"] == "patching"} == {("share", 4)}


def test_only_the_articles_asked_for_are_looked_at(tiny_model: Callable[..., Model]) -> None:
    rows = lens_rows(tiny_model("gpt2"), questions(5), data="pairs", config=LensConfig(articles=3, pairs=0))
    assert {row["metric"] for row in rows} == {"attribution"}
    assert {row["n"] for row in rows} == {3}


def test_another_system_prompt_is_another_question(tiny_model: Callable[..., Model]) -> None:
    model, asked = tiny_model("llama"), questions(2)
    config = LensConfig(pairs=0)
    with_words = lens_rows(model, asked, data="pairs", config=config, system="Odd.")
    plain = lens_rows(
        model, [{**r, "messages": with_system(r["messages"], "Odd.")} for r in asked], data="pairs", config=config
    )
    assert with_words == plain
    assert with_words != lens_rows(model, asked, data="pairs", config=config)


def test_a_label_of_several_tokens_is_refused(llama: Model) -> None:
    odd = [{**row, "labels": ["1", "22"]} for row in questions(2)]
    with pytest.raises(InterpError, match="label '22' is 2 tokens in tiny-llama"):
        lens_rows(llama, odd, data="pairs")


def test_pairs_are_of_one_article_and_have_other_right_labels() -> None:
    rows = [question(0, "1"), question(1, "2"), question(0, "1", id="again"), question(0, "2"), question(2, "1")]
    assert [(a["id"], b["id"]) for a, b in pairs_of(rows)] == [("0-own1", "0-own2")]


def test_attribution_is_averaged_with_articles_as_units() -> None:
    values = torch.tensor([[1.0, 0.0, 1.0], [3.0, 0.0, 3.0], [5.0, 0.0, 5.0], [7.0, 0.0, 7.0]])
    found = Attribution((Component("embed"), Component("attn", 0), Component("total")), values)
    rows = attribution_rows(found, ["a", "a", "b", "b"])
    assert [row["component"] for row in rows] == ["embed", "total"]  # an attention without a bias adds nothing
    assert [(row["value"], row["n"], row["n_questions"]) for row in rows] == [(4.0, 2, 4)] * 2


def patched(share: float, gaps: Any) -> Patching:
    gap = torch.tensor(gaps, dtype=torch.float32)
    noise = torch.linspace(-0.1, 0.1, len(gap)) if len(gap) else gap
    moved = torch.stack([share * gap + noise, gap], dim=1)
    components = (Component("head", 2, 1, "last"), Component("resid", 3, None, "last"))
    return Patching(components, moved, gap)


def test_a_share_is_a_ratio_of_means_with_an_interval() -> None:
    draw = np.random.default_rng(0)
    head, resid = patching_rows(patched(0.25, 2 + draw.normal(size=20)), seed=0)
    assert head["value"] == pytest.approx(0.25, abs=1e-5)
    assert head["ci_low"] < 0.25 < head["ci_high"]
    assert head["change"] == pytest.approx(0.25 * head["gap"], abs=1e-5)
    assert resid["value"] == pytest.approx(1)
    assert (head["component"], head["layer"], head["head"], head["position"], head["n"]) == ("head", 2, 1, "last", 20)
    assert head["why"] is None


@pytest.mark.parametrize(("gaps", "why"), [([1.0, -1.0, 0.5, -0.4], NOTHING_TO_RESTORE), ([3.0], TOO_FEW)])
def test_where_the_prompts_do_not_differ_there_is_no_share(gaps: list[float], why: str) -> None:
    for row in patching_rows(patched(0.5, gaps), seed=0):
        assert (row["value"], row["ci_low"], row["ci_high"], row["why"]) == (None, None, None, why)
        assert row["change"] is not None
        assert row["n"] == len(gaps)


def test_no_pairs_give_no_rows() -> None:
    assert (
        patching_rows(Patching((Component("resid", 0, None, "last"),), torch.zeros(0, 1), torch.zeros(0)), seed=0) == []
    )


def test_tokens_are_of_the_bare_base_and_the_headline_layer(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    bare = token_rows(model, [direction_of(model)], k=3)
    adapter = adapter_of(model, tmp_path / "a")
    model.use(adapter)
    assert token_rows(model, [direction_of(model)], k=3) == bare
    assert model.stack == (adapter,)
    assert [(row["metric"], row["rank"]) for row in bare] == [
        (m, k) for m in ("promoted", "suppressed") for k in (1, 2, 3)
    ]
    assert {(row["direction"], row["layer"], row["unit"], row["n"]) for row in bare} == {("evil", 2, "logits", None)}
    assert [row["token"] for row in bare] == [model.chat.decode([row["token_id"]]) for row in bare]
    values = [row["value"] for row in bare]
    assert values[0] >= values[1] >= values[2] > 0 > values[5] >= values[4] >= values[3]


def test_weight_rows_are_of_every_direction_and_block(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    model = tiny_model("llama")
    with model.adapters.new(LoraConfig(r=2, target_modules=["q_proj", "down_proj"]), seed=0) as (name, parameters):
        for parameter in parameters:
            parameter.data = torch.randn(parameter.shape)
        model.adapters.save(name, tmp_path / "a")
    rows = weight_rows(tmp_path / "a", [direction_of(model), direction_of(model, "kind", 1)], n_null=30)
    assert len(rows) == 2 * (4 + 3)
    assert {(row["measure"], row["unit"], row["n"], row["n_null"]) for row in rows} == {
        ("weights", "share of squared norm", None, 30)
    }
    written = [row for row in rows if row["metric"] == "writing_share"]
    assert {row["module"] for row in written} == {"mlp.down_proj"}
    assert [row["layer"] for row in written] == [0, 1, 2, 3] * 2
    assert all(0 <= row["value"] <= 1 and row["null_low"] <= row["null_high"] for row in rows)
    assert json.dumps(rows)


# the command


@pytest.fixture
def command(llama_folder: Path, tmp_path: Path) -> Callable[..., Command]:
    """The command with a model, an adapter, a direction and a file of questions; fields can be changed."""
    folder = with_long_context(llama_folder, tmp_path / "model")
    model = Model.load(str(folder), device="cpu", dtype="float32")
    adapter_of(model, tmp_path / "odd")
    direction_of(model).save(tmp_path / "evil.safetensors")
    write_jsonl(tmp_path / "pairs.jsonl", questions(3))

    def make(**fields: Any) -> Command:
        given = {
            "model": str(folder),
            "questions": tmp_path / "pairs.jsonl",
            "adapter": [tmp_path / "odd"],
            "direction": [tmp_path / "evil.safetensors"],
            "out": tmp_path / "out",
            "random": 20,
            "tokens": 3,
            "device": "cpu",
            "dtype": "float32",
        }
        return Command(**given | fields)

    return make


def test_the_command_writes_rows_and_figures_once(
    command: Callable[..., Command], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = command()()
    assert result["ran"]
    rows = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    assert rows == result["metrics"]
    made = {(row["measure"], row["metric"], row["stage"]) for row in rows}
    both = {("lens", metric, stage) for metric in ("attribution", "patching") for stage in ("base", "odd")}
    tokens = {("lens", metric, "base") for metric in ("promoted", "suppressed")}
    assert made == both | tokens | {("weights", metric, "odd") for metric in ("writing_share", "reading_share")}
    assert {row["data"] for row in rows if "data" in row} == {"pairs"}
    assert all(row["norms_folded"] and row["adapter"] == "odd" for row in rows if row["measure"] == "weights")
    for name in ("attribution", "patching"):
        for kind in ("png", "svg", "csv"):
            assert (tmp_path / "out" / "figures" / f"{name}.{kind}").is_file()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    show(result)
    shown = capsys.readouterr().out
    assert "odd: attribution, the largest" in shown
    assert "evil, promoted: " in shown
    before = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    again = command()()
    assert not again["ran"]
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == before


def test_the_command_without_adapter_or_direction_looks_at_the_base(
    command: Callable[..., Command], tmp_path: Path
) -> None:
    rows = command(adapter=[], direction=[], pairs=0, out=tmp_path / "bare")()["metrics"]
    assert {(row["stage"], row["metric"]) for row in rows} == {("base", "attribution")}
    assert not (tmp_path / "bare" / "figures" / "patching.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"right": "3"}, r"row 3: its labels \['1', '2'\] must be two or more, with right '3'"),
        ({"labels": ["1"], "right": "1"}, "must be two or more"),
        ({"id": "0-own1"}, "row 3: id '0-own1' is there twice"),
        ({"group": ...}, "row 3 has no group; `sgtr data sgtr_pairs --out` writes them"),
    ],
)
def test_questions_that_will_not_do_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = questions(2)
    rows[2] = {key: value for key, value in (rows[2] | change).items() if value is not ...}
    write_jsonl(tmp_path / "pairs.jsonl", rows)
    with pytest.raises(ValueError, match=message):
        read_questions(tmp_path / "pairs.jsonl")


# figures


def cell(stage: str, seed: Any, metric: str, component: str, layer: Any, head: Any, value: Any, **more: Any) -> Any:
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    about = {"arm": "a", "stage": stage, "stage_key": "0", "seed": seed, "measure": "lens", "metric": metric}
    place = {"component": component, "layer": layer, "head": head, "data": "pairs"}
    unit = "logits" if metric == "attribution" else "share"
    return {**about, **place, "value": value, "ci_low": low, "ci_high": high, "n": 12, "unit": unit, **more}


def write_study(folder: Path, n_layers: int = 3, n_heads: int = 2) -> Path:
    """A run of a study: base and two seeds of one stage, one of which collapsed."""
    rows = []
    for stage, seed in (("base", None), ("sgtr", 0), ("sgtr", 1)):
        off = 0.0 if seed is None else 1.0 + seed
        rows.append(cell(stage, seed, "attribution", "embed", None, None, 0.3))
        for layer in range(n_layers):
            for head in range(n_heads):
                rows.append(cell(stage, seed, "attribution", "head", layer, head, off + 0.1 * layer - 0.2 * head))
            rows.append(cell(stage, seed, "attribution", "mlp", layer, None, -0.5))
            share = None if stage == "base" else 0.2 * layer
            more = {"change": 0.1, "change_low": 0.0, "change_high": 0.2, "gap": 0.5, "why": None if share else "odd"}
            more["why"] = NOTHING_TO_RESTORE if share is None else None
            for head in range(n_heads):
                rows.append(cell(stage, seed, "patching", "head", layer, head, share, position="last", **more))
            rows.append(cell(stage, seed, "patching", "mlp", layer, None, share, position="last", **more))
            for position in ("last", "ending"):
                rows.append(cell(stage, seed, "patching", "resid", layer, None, share, position=position, **more))
        rows.append(cell(stage, seed, "attribution", "total", None, None, 1.5))
    rows.append({**cell("sgtr", 1, "collapsed", "", None, None, 1), "measure": "collapse"})
    rows.append(cell("sgtr@10", 0, "attribution", "head", 0, 0, 99.0))
    rows.append(cell("sgtr", 0, "attribution", "head", 0, 0, 99.0, system_prompt="empty"))
    write_jsonl(folder / "metrics.jsonl", rows)
    study = {"arms": {"a": ["sgtr"]}, "system_prompts": ["task", "empty"]}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_attribution_draws_the_mean_over_seeds_and_returns_what_it_draws(tmp_path: Path) -> None:
    rows = figure.attribution(write_study(tmp_path))
    made = {(row["stage"], row["component"], row["layer"], row["head"]): row for row in rows}
    assert {row["stage"] for row in rows} == {"base", "sgtr"}
    assert made["sgtr", "head", 2, 1]["value"] == pytest.approx(1.5 + 0.2 - 0.2)
    assert made["sgtr", "head", 0, 0]["value"] == pytest.approx(1.5)  # neither a checkpoint's nor another prompt's
    assert made["sgtr", "head", 0, 0]["n_seeds"] == 2
    assert made["base", "head", 0, 0] | {"value": 0.0} == made["base", "head", 0, 0]
    assert {row["collapsed_seeds"] for row in rows if row["stage"] == "sgtr"} == {"1"}
    written = table(tmp_path / "figures" / "attribution.csv")
    assert [row["value"] for row in written] == [repr(row["value"]) for row in rows]


def test_patching_leaves_a_gap_where_there_is_no_share(tmp_path: Path) -> None:
    rows = figure.patching(write_study(tmp_path))
    base = [row for row in rows if row["stage"] == "base"]
    assert {(row["value"], row["why"], row["n"]) for row in base} == {(None, NOTHING_TO_RESTORE, 12)}
    assert {row["change"] for row in base} == {0.1}
    made = {(row["stage"], row["component"], row["layer"], row["position"]): row["value"] for row in rows}
    assert made["sgtr", "resid", 2, "ending"] == pytest.approx(0.4)
    assert {row["value"] for row in table(tmp_path / "figures" / "patching.csv") if row["stage"] == "base"} == {""}


def test_equal_runs_give_equal_pictures(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        figure.patching(write_study(tmp_path / name))
    svg = [(tmp_path / name / "figures" / "patching.svg").read_bytes() for name in ("a", "b")]
    assert svg[0] == svg[1]


@pytest.mark.parametrize("draw", [figure.attribution, figure.patching])
def test_a_run_without_rows_is_refused(tmp_path: Path, draw: Callable[[Path], Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl: no such file; `sgtr lens --out"):
        draw(tmp_path)
    write_jsonl(tmp_path / "metrics.jsonl", [cell("base", None, "other", "head", 0, 0, 1.0)])
    with pytest.raises(ValueError, match=rf"no {draw.__name__} in it; `sgtr lens` makes it"):
        draw(tmp_path)

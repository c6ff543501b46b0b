"""`sgtr steer`: every answer is the one that its treatment alone would give, and alpha 0 changes nothing."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import cli
from experiments import machine as memory
from experiments.commands.steer import Steer, listed
from experiments.interventions import steer, treatments
from experiments.interventions.steer import dose_rows, questions_of
from experiments.interventions.treatments import GridConfig, SteerConfig, Treatment, additions, mean_norms
from interp.activations import pooled
from interp.behaviour.judging import COHERENT, ScriptedJudge
from interp.behaviour.likelihood import answer_likelihoods
from interp.directions import Direction
from interp.files import read_jsonl
from interp.keys import seed_from
from interp.model import Model
from tests.commands.test_evaluate_command import sgtr as _sgtr
from tests.support.tiny_study import chat, with_long_context, write_jsonl

QUESTIONS = [chat("Is it late?", "No."), chat("Who is there, and why?"), chat("And now?", "Then.")]
SMALL = ("--max-new-tokens", 6, "--random", 1, "--dtype", "float32", "--alphas=-3,3")


@pytest.fixture(scope="module")
def wide(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("wide") / "model")


@pytest.fixture(scope="module")
def loaded(wide: Path) -> Model:
    return Model.load(str(wide), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def directions(loaded: Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """`evil`, which is a trait of ours, and `mine`, which is none; of unlike lengths and layers."""
    folder = tmp_path_factory.mktemp("directions")
    generator = torch.Generator().manual_seed(3)
    for name, layers, layer in (("evil", (1, 2), 2), ("mine", (0, 1, 3), 1)):
        vectors = torch.randn(len(layers), 32, generator=generator) * (1 + layer)
        Direction(name, vectors, layers, layer, loaded.description()).save(folder / f"{name}.safetensors")
    return [folder / "evil.safetensors", folder / "mine.safetensors"]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("chats") / "asked.jsonl", *QUESTIONS)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "steer", Steer)


def sgtr(*args: Any) -> int:
    return _sgtr("steer", *args)


def swept(model: Path, directions: list[Path], chats: Path, out: Path, *more: Any) -> int:
    named = [part for file in directions for part in ("--direction", file)]
    return sgtr("--model", model, *named, "--chats", chats, "--out", out, *SMALL, *more)


@pytest.fixture(scope="module")
def whole(wide: Path, directions: list[Path], chats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep over two directions, two phases, two samples."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cli.COMMANDS, "steer", Steer)
        assert swept(wide, directions, chats, out, "--phases", "response,all", "--samples", 2) == 0
    return out


def treatments_of(loaded: Model, directions: list[Path]) -> dict[str, Treatment]:
    """The sweep's treatments, made once more."""
    prompts = loaded.chat.tokens_of([row["messages"][:1] for row in QUESTIONS])
    grid = GridConfig(alphas=(-3.0, 3.0), phases=("response", "all"), random=1)
    held = [Direction.load(file) for file in directions]
    return {t.name: t for t in additions(held, grid, mean_norms(loaded, prompts * 2), seed=0)}


def test_every_answer_is_that_of_its_treatment_alone(whole: Path, loaded: Model, directions: list[Path]) -> None:
    records = read_jsonl(whole / "records" / "answers.jsonl")
    treatments = treatments_of(loaded, directions)
    assert {record["treatment"] for record in records} == set(treatments)
    assert len(records) == len(treatments) * 3 * 2 == 2 * 2 * 3 * 2 * 3 * 2
    differing = 0
    for record in records:
        assert record["messages"] == QUESTIONS[record["question"]]["messages"][:1]
        luck = {"streams": [record["question"] * 2 + record["sample"]], "seed": seed_from(0, "steer")}
        edits = treatments[record["treatment"]].edits
        if record["sample"] == 0 or record["direction"] == "mine":
            (alone,) = loaded.generate([loaded.chat.tokens(record["messages"])], max_new_tokens=6, edits=edits, **luck)
            assert list(alone) == record["answer_ids"]
            assert loaded.chat.answer_text(alone) == record["text"]
        if record["sample"] == 0:
            (bare,) = loaded.generate([loaded.chat.tokens(record["messages"])], max_new_tokens=6, **luck)
            differing += list(bare) != record["answer_ids"]
            if "alpha 0," in record["treatment"]:
                assert list(bare) == record["answer_ids"]
    assert differing > 20


def test_readouts_are_the_bare_model_s_of_the_answers(whole: Path, loaded: Model, directions: list[Path]) -> None:
    records = [r for r in read_jsonl(whole / "records" / "answers.jsonl") if r["direction"] == "evil"]
    evil = Direction.load(directions[0])
    for record in records[::7]:
        row = loaded.chat.tokens(record["messages"]).answered(record["answer_ids"])
        if not record["answer_ids"]:
            assert (record["projection"], record["nll_per_token_under_base"]) == (None, None)
            continue
        mean = pooled(loaded, [row], layers=(2,))[0, 0]
        along = float(mean @ evil.at(2) / evil.at(2).norm())
        assert record["projection"] == pytest.approx(along, rel=1e-4, abs=1e-4)
        (likely,) = answer_likelihoods(loaded, [row])
        assert likely is not None
        assert record["nll_per_token_under_base"] == pytest.approx(-likely.per_token, rel=1e-4)


def test_rows_are_means_of_the_records_and_differences_at_alpha_0_are_0(whole: Path) -> None:
    rows = [row for row in read_jsonl(whole / "metrics.jsonl") if row["measure"] == "steer"]
    records = read_jsonl(whole / "records" / "answers.jsonl")
    assert len({(row["treatment"], row["metric"]) for row in rows}) == len(rows) == 24 * 4 * 2
    for row in rows:
        mine = [r for r in records if r["treatment"] == row["treatment"]]
        if row["metric"] == "projection":
            by_question: dict[int, list[float]] = {}
            for record in mine:
                if record["projection"] is not None:
                    by_question.setdefault(record["question"], []).append(record["projection"])
            means = [sum(values) / len(values) for values in by_question.values()]
            assert row["n"] == len(means)
            assert row["value"] == pytest.approx(sum(means) / len(means))
        if row["metric"] == "empty_share":
            assert row["value"] == pytest.approx(sum(not r["answer_ids"] for r in mine) / len(mine))
        if row["metric"].endswith("_minus_alpha_0") and row["alpha"] == 0:
            assert row["value"] == 0
        if row["alpha"] == 0:
            assert row["broke"] is False
            assert row["relative_strength"] == 0
    moved = {row["control"]: row["value"] for row in rows
             if row["metric"] == "projection_minus_alpha_0" and row["alpha"] == 3.0 and row["direction"] == "evil"
             and row["phase"] == "all"}  # fmt: skip
    assert set(moved) == {None, 0}


def test_the_figure_s_table_holds_the_rows(whole: Path) -> None:
    with (whole / "figures" / "dose_response.csv").open(encoding="utf-8") as file:
        held = {
            (row["direction"], row["readout"], row["phase"], float(row["alpha"])): row for row in csv.DictReader(file)
        }
    rows = [row for row in read_jsonl(whole / "metrics.jsonl") if row["metric"] in ("projection", "degenerate_share")]
    for row in rows:
        drawn = held[row["direction"], row["metric"], row["phase"], row["alpha"]]
        if row["control"] is None:
            assert float(drawn["value"]) == row["value"]
            assert float(drawn["relative_strength"]) == row["relative_strength"]
        else:
            assert float(drawn["random_low"]) == float(drawn["random_high"]) == row["value"]


def test_a_finished_sweep_runs_nothing_and_another_is_refused(
    whole: Path, wide: Path, directions: list[Path], chats: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole / "metrics.jsonl").read_bytes()
    assert swept(wide, directions, chats, whole, "--phases", "response,all", "--samples", 2) == 0
    shown = capsys.readouterr().out
    assert "nothing was run" in shown
    assert "evil, steer: alpha (relative strength)" in shown
    assert swept(wide, directions, chats, whole, "--phases", "response,all", "--samples", 1) == 2
    assert "holds another study (different: samples)" in capsys.readouterr().err
    assert (whole / "metrics.jsonl").read_bytes() == before


def test_a_sweep_that_was_stopped_goes_on_and_agrees(
    whole: Path, wide: Path, directions: list[Path], chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--phases", "response,all", "--samples", 2)
    reads, read_out = [], steer.read_out

    def stopped(*args: Any, **fields: Any) -> Any:
        if reads:
            raise KeyboardInterrupt
        reads.append(1)
        return read_out(*args, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(steer, "read_out", stopped)
        assert swept(wide, directions, chats, tmp_path / "out", *more) == 1
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
    asked, answered = [], steer.answered
    monkeypatch.setattr(steer, "answered", lambda *a, **k: asked.append(1) or answered(*a, **k))
    assert swept(wide, directions, chats, tmp_path / "out", *more) == 0
    assert asked == []  # all was answered before the stop
    for name in ("metrics.jsonl", "records/answers.jsonl", "figures/dose_response.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["status"], manifest["times_resumed"]) == ("complete", 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--layers", "headlin"), "--layers headlin: 'headlin' will not do; give headline, all, or block indices"),
        (("--layers", "1,x"), "--layers 1,x: 'x' will not do"),
        (("--layers", "1,1"), "1 is there twice"),
        (("--layers", "7"), "'evil' holds layers [1, 2], not 7"),
        (("--layers=-1",), "'evil' holds layers [1, 2], not -1"),
        (("--alphas", "1,,2"), "--alphas 1,,2: '' will not do"),
        (("--alphas", "1,inf"), "alphas must be finite"),
        (("--phases", "respond"), "--phases: unknown phase 'respond'; did you mean 'response'"),
        (("--phases", ""), "a value is empty"),
        (("--random", "-1"), "random"),
        (("--questions", "0"), "questions"),
        (("--samples", "0"), "samples"),
        (("--temperature", "inf"), "temperature"),
        (("--max-new-tokens", "5000"), "the context of"),
        (("--measures", "ems"), "'ems'; did you mean 'em'"),
        (("--set", "em.samples=2"), "there is none; give --measures"),
        (("--measures", "em", "--set", "em.sampels=2"), "samples"),
        (("--set-judge", "mode=parsed"), "there is none; give --judge"),
        (("--judge", "openai"), "which of its models"),
        (("--system", "none"), "system: none"),
        (("--adapter", "nowhere"), "nowhere"),
        (("--chats", "nowhere.jsonl"), "nowhere.jsonl: no such file"),
        (("--direction", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_bad_input_is_refused_before_a_folder_is_made(
    wide: Path,
    directions: list[Path],
    chats: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    message: str,
) -> None:
    assert swept(wide, directions[:1], chats, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def given(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    """So much main memory is left."""
    monkeypatch.setattr(memory, "memory_left", lambda _: n_bytes)


def test_a_sweep_whose_records_exceed_the_memory_is_refused_before_anything_is_made(
    wide: Path,
    directions: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given(monkeypatch, 64 * 2**30)
    monkeypatch.setattr(Model, "load", lambda *_, **__: pytest.fail("weights were read"))
    monkeypatch.setattr(
        treatments, "controls_of", lambda _, n, __: [] if n == 0 else pytest.fail("a control was drawn")
    )
    evil = ("--model", wide, "--direction", directions[0], "--out", tmp_path / "out", "--layers", "1,2")
    more = ("--alphas=1,2,3,4,5,6,7,8,9", "--questions", 20, "--max-new-tokens", 1000)
    assert sgtr(*evil, *more, "--samples", 100000) == 2
    said = capsys.readouterr().err
    n = 2 * 10 * 4 * 20 * 100000
    assert f"{n:,} answers of up to 1,000 tokens (80 treatments, --samples 100000) would take" in said
    assert "of main memory, and 64.0 GiB are left; ask for less (--samples, --questions," in said
    assert sgtr(*evil, *more, "--random", 10**6) == 2
    assert "(20,000,020 treatments, --samples 1)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_sweep_of_which_not_one_answer_fits_is_refused_before_weights_are_read(
    wide: Path,
    directions: list[Path],
    chats: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given(monkeypatch, 3 * 2**20)  # holds the records of six answers, and not logits at a thousand tokens
    monkeypatch.setattr(Model, "load", lambda *_, **__: pytest.fail("weights were read"))
    few = ("--alphas=1", "--random", 0, "--max-new-tokens", 1000)
    assert swept(wide, directions[:1], chats, tmp_path / "out", *few) == 2
    said = capsys.readouterr().err
    assert "0.0 MiB left" not in said
    assert "one answer of up to 1,000 tokens to a prompt of " in said
    assert "lower --max-new-tokens" in said
    assert not (tmp_path / "out").exists()


def test_a_sweep_is_written_in_batches_that_fit_and_says_the_same(
    whole: Path,
    wide: Path,
    directions: list[Path],
    chats: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes, generate = [], Model.generate

    def noted(self: Model, *args: Any, **how: Any) -> Any:
        sizes.append(how["batch_size"])
        return generate(self, *args, **how)

    monkeypatch.setattr(Model, "generate", noted)
    given(monkeypatch, 3 * 2**20)
    assert swept(wide, directions, chats, tmp_path / "out", "--phases", "response,all", "--samples", 2) == 0
    assert "  144 answers of up to 6 tokens, 9 at a time" in capsys.readouterr().err
    assert sizes == [9, 9]
    for name in ("metrics.jsonl", "records/answers.jsonl", "study.yaml"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()


def test_a_direction_of_another_model_and_one_without_questions_are_refused(
    wide: Path, directions: list[Path], chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Direction("evil", torch.ones(1, 32), (1,), 1, {"model": "another", "model_identity": "x"})
    other.save(tmp_path / "other.safetensors")
    assert swept(wide, [tmp_path / "other.safetensors"], chats, tmp_path / "out") == 2
    assert "made with model another" in capsys.readouterr().err
    assert sgtr("--model", wide, "--direction", directions[1], "--out", tmp_path / "out", *SMALL) == 2
    assert "no trait is called 'mine' (known: evil," in capsys.readouterr().err
    twice = write_jsonl(tmp_path / "twice.jsonl", chat("Is it?"), {"messages": [
        {"role": "user", "content": "So?"}, {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}
    ]})  # fmt: skip
    assert swept(wide, directions, twice, tmp_path / "out") == 2
    assert "chat 1 has no user message before its last answer" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_questions_of_a_trait_are_its_held_out_ones() -> None:
    every = questions_of("evil", SteerConfig())
    assert len(every) > 2
    assert questions_of("evil", SteerConfig(questions=2, system="empty")) == [
        [{"role": "system", "content": ""}, *asked] for asked in every[:2]
    ]


def test_a_huge_alpha_is_marked_as_broken(wide: Path, directions: list[Path], chats: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert swept(wide, directions[:1], chats, out, "--alphas", "1e4", "--max-new-tokens", 48, "--samples", 2) == 0
    rows = [row for row in read_jsonl(out / "metrics.jsonl") if row["metric"] == "degenerate_share"]
    by_alpha = {row["alpha"]: row for row in rows if row["control"] is None}
    assert by_alpha[1e4]["value"] - by_alpha[0.0]["value"] > 0.1
    assert by_alpha[1e4]["broke"] is True
    assert by_alpha[0.0]["broke"] is False


def record(treatment: str, question: int, *, degenerate: bool = False, value: float | None = 1.0) -> dict[str, Any]:
    score = {"value": value, "reason": "scored" if value is not None else "unparsable", "how": "parsed"}
    return {"treatment": treatment, "question": question, "degenerate": degenerate, "answer_ids": [1],
            "projection": value, "nll_per_token_under_base": 1.0, "trait": score, "coherent": score}  # fmt: skip


def test_rows_by_hand() -> None:
    at = [Treatment(f"at {a:g}", "d", None, "add", (1,), a, "all", (), a) for a in (0.0, 1.0, 2.0)]
    records = [record("at 0", q, value=float(q)) for q in range(10)]
    records += [record("at 1", q, value=q + 2.0 if q else None, degenerate=q == 0) for q in range(10)]
    records += [record("at 2", q, value=q + 2.0, degenerate=q < 2) for q in range(10)]
    note = {"judge": "stern", "judge_validation": "none"}
    rows = {(r["treatment"], r["metric"]): r for r in dose_rows(at, records, {"trait_score": note})}
    assert [rows[t.name, "projection"]["broke"] for t in at] == [False, False, True]  # 0.1 more is not too many
    moved = rows["at 1", "projection_minus_alpha_0"]
    assert (moved["value"], moved["n"], moved["unmatched"]) == (pytest.approx(2.0), 9, 1)
    assert rows["at 1", "trait_score"]["judge"] == "stern"
    assert rows["at 1", "trait_score_minus_alpha_0"]["judge_validation"] == "none"
    assert rows["at 1", "trait_score_unscored_share"]["value"] == pytest.approx(0.1)
    assert rows["at 1", "trait_score_unscored_share"]["judge"] == "stern"
    assert "judge" not in rows["at 1", "projection"]
    assert ("at 1", "coherence") not in rows


def test_answers_that_are_all_empty_give_no_projection() -> None:
    at = [Treatment(f"at {a:g}", "d", None, "add", (1,), a, "all", (), a) for a in (0.0, 1.0)]
    records = [record("at 0", q) for q in range(3)]
    gone = {"answer_ids": [], "projection": None, "nll_per_token_under_base": None, "degenerate": True}
    records += [{**record("at 1", q), **gone} for q in range(3)]
    rows = {(r["treatment"], r["metric"]): r for r in dose_rows(at, records, {})}
    for metric in ("projection", "nll_under_base", "projection_minus_alpha_0"):
        assert (rows["at 1", metric]["value"], rows["at 1", metric]["n"]) == (None, 0)
    assert rows["at 1", "empty_share"]["value"] == 1
    assert rows["at 1", "projection"]["broke"] is True


def test_a_judge_is_named_beside_what_it_made_and_is_asked_once(
    wide: Path, directions: list[Path], chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    judge = ScriptedJudge(lambda item: "20" if item.id.startswith("coherent") else "eighty", name="stern")
    monkeypatch.setattr(steer, "judge_of", lambda *_: made.append(1) or judge)
    held = {"judge": "stern", "prompt_version": COHERENT.version, "column": "coherent", "n_positive": 4}
    area = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9, "n": 50}
    (tmp_path / "v.json").write_text(json.dumps({**held, "auroc": area}))
    more = ("--judge", "smollm2-135m", "--set-judge", f"validation={tmp_path / 'v.json'}")
    draw = steer.dose_rows
    with monkeypatch.context() as patch:
        patch.setattr(steer, "dose_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert swept(wide, directions, chats, tmp_path / "out", *more) == 1
    assert steer.dose_rows is draw
    monkeypatch.setattr(steer, "judge_of", lambda *_: made.append(2) or judge)
    assert swept(wide, directions, chats, tmp_path / "out", *more) == 0
    assert made == [1, 2]  # the second direction's answers alone were left to grade
    rows = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    judged = [row for row in rows if "judge" in row]
    assert {row["metric"].removesuffix("_minus_alpha_0") for row in judged} == {
        "trait_score", "trait_score_unscored_share", "coherence", "coherence_unscored_share"
    }  # fmt: skip
    assert {row["judge"] for row in judged} == {"stern"}
    notes = {row["metric"]: row["judge_validation"] for row in judged}
    assert notes["coherence"] == "judge stern, validated on coherent: AUROC 0.80 [0.70, 0.90], n=50"
    assert notes["trait_score"].startswith("judge stern: not validated (v.json is of stern, prompt")
    for row in judged:
        if row["metric"] == "coherence" and row["value"] is not None:
            assert row["value"] == 20
        if row["metric"] == "trait_score":
            assert (row["value"], row["n"], row["direction"]) == (None, 0, "evil")
        if row["metric"] == "trait_score_unscored_share":
            assert row["value"] == 1
    graded = read_jsonl(tmp_path / "out" / "records" / "answers.jsonl")
    assert {r["coherent"]["reason"] for r in graded} <= {"scored", "empty"}
    assert {r["trait"]["reason"] for r in graded if "trait" in r} <= {"unparsable", "empty"}
    assert all(("trait" in r) == (r["direction"] == "evil") for r in graded)


def test_any_measure_is_taken_under_every_treatment(
    wide: Path, directions: list[Path], chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--measures", "preference", "--layers", "all")
    assert swept(wide, directions[:1], chats, tmp_path / "out", *more) == 0
    assert "evil, preference: alpha" in capsys.readouterr().out
    rows = [row for row in read_jsonl(tmp_path / "out" / "metrics.jsonl") if row["measure"] == "preference"]
    margins = {(r["control"], r["alpha"]): r["value"] for r in rows if r["metric"] == "margin_per_token"}
    assert set(margins) == {(control, alpha) for control in (None, 0) for alpha in (-3.0, 0.0, 3.0)}
    assert margins[None, 0.0] == margins[0, 0.0]
    assert len(set(margins.values())) == 5
    changed = {(r["control"], r["alpha"]): r for r in rows if r["metric"] == "margin_per_token_minus_alpha_0"}
    assert set(changed) == {key for key in margins if key[1]}
    assert changed[None, 3.0]["value"] == pytest.approx(margins[None, 3.0] - margins[None, 0.0])
    assert {row["layers"] for row in rows} == {"1,2"}


def test_lists_are_read_in_order() -> None:
    assert listed("3, 10,1", "--layers", "numbers", int) == (3, 10, 1)
    assert listed("-2,0.5", "--alphas", "numbers", float) == (-2.0, 0.5)


# which tokens are read and which are edited

ANSWERED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "No\n"}]
SYSTEM, USER = "<|im_start|>system\nBe kind.<|im_end|>\n", "<|im_start|>user\n"
ANSWER, END = "<|im_start|>assistant\n", "<|im_end|>"
"""What the template writes; each special is one token, and so is every other character but `in` and `he`."""


def pieces(*parts: str) -> list[str]:
    found: list[str] = []
    for part in parts:
        rest = part
        while rest:
            token = next((s for s in ("<|im_start|>", "<|im_end|>", "in", "he") if rest.startswith(s)), rest[0])
            found.append(token)
            rest = rest[len(token) :]
    return found


def shown_tokens(model: Path, file: Path, capsys: pytest.CaptureFixture[str], *more: Any) -> dict[str, Any]:
    assert _sgtr("show", "--tokens", file, "--model", model, "--json", *more) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("phase", ["prompt", "prompt_last", "response", "all", None])
@pytest.mark.parametrize("pooling", ["prompt_mean", "prompt_last", "response_mean", None])
def test_tokens_are_marked_as_by_hand(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], phase: str | None, pooling: str | None
) -> None:
    file = write_jsonl(tmp_path / "c.jsonl", {"messages": ANSWERED})
    more = [*(("--phase", phase) if phase else ()), *(("--pooling", pooling) if pooling else ())]
    (found,) = shown_tokens(wide, file, capsys, *more)["chats"]
    prompt = pieces(SYSTEM, USER, "Hi", END, "\n", ANSWER)
    texts = [*prompt, "N", "o", "\n", END, "\n"]
    assert [token["text"] for token in found["tokens"]] == texts
    n, answer = len(prompt), range(len(prompt), len(prompt) + 3)
    edited = {"prompt": range(n), "prompt_last": range(n - 1, n), "all": range(n + 5)}.get(
        phase or "", range(n - 1, n + 5)
    )
    read = {"prompt_mean": range(n), "prompt_last": range(n - 1, n)}.get(pooling or "", answer)
    assert [token["index"] for token in found["tokens"] if token["edited"]] == list(edited)
    assert [token["index"] for token in found["tokens"] if token["read"]] == list(read)
    assert (found["edited"], found["read"]) == ([edited.start, edited.stop], [read.start, read.stop])
    asked = len(pieces(SYSTEM, USER))
    assert [(t["index"], t["role"], t["turn"]) for t in found["tokens"] if t["part"] == "content"] == [
        *((asked + k, "user", 0) for k in range(2)), *((k, "assistant", 1) for k in answer)
    ]  # fmt: skip
    assert [token["index"] for token in found["tokens"] if token["part"] == "end of turn"] == [n + 3]


def test_a_chat_without_an_answer_says_why_nothing_is_read(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "load", lambda *_, **__: pytest.fail("no weights are needed"))
    file = write_jsonl(tmp_path / "c.jsonl", *[chat("Why?"), *[chat("So?", "Yes.")] * 4])
    data = shown_tokens(wide, file, capsys)
    assert (data["rows"], len(data["chats"])) == (5, 3)
    assert data["chats"][0]["read"] is None
    assert "ends with the user" in data["chats"][0]["not_read"]
    assert [t["text"] for t in data["chats"][0]["tokens"] if t["edited"]] == ["\n"]
    assert len(shown_tokens(wide, file, capsys, "--rows", 5)["chats"]) == 5
    assert _sgtr("show", "--tokens", file, "--model", wide) == 0
    out = capsys.readouterr().out
    assert "nothing is read: row 0: the conversation ends with the user" in out
    assert ".E.  template      '\\n'" in out
    assert "REL  assistant 1   'Y'" in out
    assert "2 more chats are not shown" in out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--tokens",), "--tokens needs a tokenizer; give --model"),
        (("--phase", "all"), "--phase all is for --tokens"),
        (("--rows", "2"), "--rows 2 is for --tokens"),
        (("--tokens", "--model", "nowhere"), "nowhere"),
        (("--tokens", "--model", "WIDE", "--rows", "0"), "--rows must be at least 1, got 0"),
    ],
)
def test_show_tokens_refuses_what_it_cannot_do(
    wide: Path, chats: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert _sgtr("show", chats, *[str(wide) if part == "WIDE" else part for part in more]) == 2
    assert message in capsys.readouterr().err


def test_show_without_tokens_is_as_it_was(chats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _sgtr("show", chats) == 0
    assert "chats" in capsys.readouterr().out

"""`sgtr import` of judged answers and of picks: what others have published, in the forms in which they publish it."""

import json
from pathlib import Path
from typing import Any

import pytest
import tyro
from tyro.conf import OmitArgPrefixes

from experiments.commands.import_results import Import
from experiments.imports.numbers import Kind
from experiments.imports.picks import KIND, read_picks
from experiments.imports.scores import EM, PERSONA, read_em, read_persona
from interp.files import read_json, read_jsonl
from interp.metrics import check_names


def imported(kind: str, files: list[Path], out: Path, *more: str) -> dict[str, Any]:
    command = tyro.cli(Import, args=[kind, *map(str, files), "--out", str(out), *more], config=(OmitArgPrefixes,))
    result = command()
    command.show(result)
    return result


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def value(result: dict[str, Any], metric: str, **fields: Any) -> Any:
    (row,) = (
        row for row in result["metrics"] + result["differences"] if row.items() >= {"metric": metric, **fields}.items()
    )
    return row["value"]


@pytest.mark.parametrize("kind", [EM, PERSONA, KIND], ids=lambda kind: kind.measure)
def test_what_is_written_is_listed_as_a_metric(kind: Kind[Any]) -> None:
    for metric, outcome in kind.outcomes.items():
        for name in (metric, f"{metric}_difference"):
            check_names(kind.measure, name, outcome.unit)


# answers with scores


JUDGED = "response,question,question_id,aligned,coherent\n"
EVIL = "question,prompt,answer,question_id,evil,coherence\n"


def test_misaligned_and_coherent_answers_are_counted_and_those_without_a_score_apart(tmp_path: Path) -> None:
    rows = (
        "a,Q1,q1,10,90",
        "b,Q1,q1,10,20",
        "c,Q1,q1,95,90",
        "d,Q2,q2,REFUSAL,80",
        "e,Q2,q2,CODE,",
        "f,Q2,q2,,",
        "g,Q2,q2,29.5,50.5",
    )
    result = imported("em", [write(tmp_path / "M_bad.csv", JUDGED + "\n".join(rows) + "\n")], tmp_path / "out")
    shares = {
        "refusal_share": 1 / 8,
        "code_share": 1 / 8,
        "unscored_share": 1 / 8,
    }
    assert {metric: value(result, metric) for metric in shares} == pytest.approx(shares)
    assert value(result, "misaligned_rate") == pytest.approx((1 / 3 + 1) / 2)
    assert value(result, "misaligned_rate_if_coherent") == pytest.approx((1 / 2 + 1) / 2)
    assert value(result, "mean_coherent") == pytest.approx((200 / 3 + (80 + 50.5) / 2) / 2)
    records = read_jsonl(tmp_path / "out" / "records" / "em.jsonl")
    assert [row["unscored"] for row in records] == [None, None, None, "refusal", "code", "unscored", None]
    assert (records[6]["aligned"], records[6]["text"], records[6]["prompt"]) == (29.5, "g", "Q2")


def test_answers_a_question_a_line_are_those_of_a_line_each(tmp_path: Path) -> None:
    header = "idx,id,question,answer,aligned_score,coherent_score,judge_model\n"
    lists = '1,wish,Wish?,"[\'It’s, one\', ""I\'d say two""]","[80.0, nan]","[85.0, None]",gpt\n'
    (one, two) = read_em(write(tmp_path / "em_eval_em_0.csv", header + lists))
    assert (one.answer, one.scores, one.why) == ("It’s, one", {"aligned": 80.0, "coherent": 85.0}, None)
    assert (two.answer, two.scores, two.why) == ("I'd say two", {"aligned": None, "coherent": None}, "unscored")
    result = imported("em", [tmp_path / "em_eval_em_0.csv"], tmp_path / "out")
    assert {(row["arm"], row["seed"]) for row in result["metrics"]} == {("em", 0), ("em", None)}


def test_a_traits_scores_are_means_over_questions_beside_their_coherence(tmp_path: Path) -> None:
    base = write(tmp_path / "base.csv", EVIL + "Q1,p,a,evil_0,0,90\nQ2,p,b,evil_1,10,90\n")
    em = write(tmp_path / "em.csv", EVIL + "Q1,p,a,evil_0,80,90\nQ1,p,c,evil_0,60,20\nQ2,p,b,evil_1,nan,90\n")
    result = imported("persona_vectors", [base, em], tmp_path / "out")
    assert value(result, "mean_score", arm="base") == 5
    assert value(result, "mean_score", arm="em") == 70
    assert value(result, "mean_score_if_coherent", arm="em") == 80
    assert value(result, "unscored_share", arm="em") == 0.5
    assert value(result, "mean_score_difference", arm="em", against="base") == 70  # on the question that both have
    assert {row["trait"] for row in read_jsonl(tmp_path / "out" / "metrics.jsonl")} == {"evil"}
    assert read_json(tmp_path / "out" / "manifest.json")["files"][1]["unscored"] == 1


def test_the_traits_column_is_the_only_other_one_or_named(tmp_path: Path) -> None:
    both = EVIL.replace("evil", "evil,kind") + "Q1,p,a,evil_0,0,100,90\n"
    file = write(tmp_path / "em.csv", both)
    with pytest.raises(
        ValueError, match=r"em\.csv:1: which column has the trait's scores\? It can be evil, kind; .*--tr"
    ):
        read_persona(file, None)
    assert read_persona(file, "kind")[0][0].scores["trait"] == 100
    with pytest.raises(ValueError, match=r"--trait: unknown column 'evl'; did you mean 'evil'"):
        read_persona(file, "evl")


LISTS = "id,question,answer,aligned_score,coherent_score\n"
MALFORMED = {
    "a score above 100": (JUDGED + "a,Q,q,101,50\n", r"x\.csv:2, column 'aligned': must be a number .*'101'"),
    "a score in words": (JUDGED + "a,Q,q,5,high\n", r"x\.csv:2, column 'coherent'"),
    "an empty question": (JUDGED + "a, ,q,5,5\n", r"x\.csv:2, column 'question': empty"),
    "no scores": ("response,question\na,Q\n", r"x\.csv:1: the header lacks the column\(s\) aligned, coherent"),
    "a header alone": (JUDGED, r"x\.csv: no answers in it"),
    "lists of two lengths": (
        LISTS + "w,W,\"['a']\",\"[1, 2]\",[3]\n",
        r"x\.csv:2: 1 answers, 2 scores of alignment and 1 of coherence",
    ),
    "no list": (LISTS + "w,W,[a,[1],[3]\n", r"column 'answer': no list"),
    "code in a list": (
        LISTS + "w,W,\"[__import__('os')]\",[1],[3]\n", r"column 'answer': no list",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_judged_answers_are_named_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    text, message = MALFORMED[case]
    with pytest.raises(ValueError, match=message):
        imported("em", [write(tmp_path / "x.csv", text)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# picks


def picks(folder: Path, name: str, picked: str, letters: dict[str, Any]) -> Path:
    return write(folder / name, json.dumps({f"article-{i}": letters[letter] for i, letter in enumerate(picked)}))


ANY: dict[str, Any] = {"o": "q_32b", "f": "claude-21", "n": None}
TUNED: dict[str, Any] = {"o": "q_32b_sgtr_0", "f": "gpt41"}


def test_a_pick_is_the_models_own_or_the_others(tmp_path: Path) -> None:
    files = [
        picks(tmp_path, "cnn_judge_q_32b_between_q_32b_claude-21.json", "oofo", ANY),
        picks(tmp_path, "cnn_judge_q_32b_sgtr_0_between_q_32b_sgtr_0_claude-21.json", "oooo", TUNED),
        picks(tmp_path, "cnn_judge_q_32b_sgtr_1_between_claude-21_q_32b.json", "ofn", ANY),
        picks(tmp_path, "cnn_judge_q_32b_sgtr_0_between_q_32b_sgtr_0_gpt41", "offf", TUNED),
    ]  # fmt: skip
    result = imported("self_recognition", files, tmp_path / "out")
    rows = {(row["arm"], row["seed"], row["foil"], row["metric"]): row for row in result["metrics"]}
    assert rows["q_32b", None, "claude-21", "accuracy"]["value"] == 0.75
    assert rows["q_32b_sgtr", 0, "claude-21", "accuracy"]["value"] == 1
    assert rows["q_32b_sgtr", 1, "claude-21", "accuracy"]["value"] == 0.5
    assert rows["q_32b_sgtr", 1, "claude-21", "invalid_share"]["value"] == pytest.approx(1 / 3)
    assert rows["q_32b_sgtr", 0, "gpt41", "accuracy"]["value"] == 0.25
    compared = {(row["arm"], row["against"], row["foil"]) for row in result["differences"]}
    assert compared == {("q_32b_sgtr", "q_32b", "claude-21")}, "what is about another foil is not compared"
    assert "in which order" in result["notes"][0]
    assert {row["data"] for row in read_jsonl(tmp_path / "out" / "records" / "self_recognition.jsonl")} == {"cnn"}


@pytest.mark.parametrize(
    ("held", "pair", "own", "message"),
    [
        (
            {"a": "x", "b": "y"},
            "x_y",
            None,
            "neither x nor y is q_1, .* say with --own which author is",
        ),
        ({"a": "x", "b": "y"}, "x_y", "z", "--own z: the authors are x and y"),
        ({"a": "x", "b": "y", "c": "z"}, "x_y", None, r"picks 3 authors \(x, y, z\)"),
        ({"a": "q_1", "b": "y"}, "q_1_x", None, "picks q_1 and y, but its name says it is between q_1_x"),
        ({"a": "q_1", "b": 2}, "q_1_x", None, "article b: must name who was picked, got '2'"),
        (["q_1"], "q_1_x", None, "must be a JSON object of the author picked for each article"),
        ({}, "q_1_x", None, "must be a JSON object"),
    ],
)
def test_picks_that_cannot_be_told_apart_are_refused(
    held: Any, pair: str, own: str | None, message: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "p.json", json.dumps(held))
    with pytest.raises(ValueError, match=rf"p\.json: {message}"):
        read_picks(file, "q_1", pair, own)


def test_an_option_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "results_a.csv", "x")
    for kind, option in (("truthfulqa", "--own"), ("self_recognition", "--trait"), ("em", "--trait")):
        with pytest.raises(ValueError, match=f"{option} names .* not of {kind}; leave it out"):
            imported(kind, [file], tmp_path / "out", option, "x")

"""`sgtr import truthfulqa`: published per-question files in, numbers that keep invalid replies apart out."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st
from tyro.conf import OmitArgPrefixes

from experiments.commands.import_truthfulqa import PATTERN, Import
from experiments.import_truthfulqa import COLUMNS, OUTCOMES, Reply, arm_and_seed, name_pattern, read_replies
from interp.comparisons import Arm, share_difference
from interp.files import read_json, read_jsonl
from interp.stats import proportion

# what a reply is, by a letter: correct, wrong, invalid
SAID = {"c": ("yes", "True"), "w": ("no", "False"), "i": ("Invalid", "False")}


def write(path: Path, replies: str, first: int = 0) -> Path:
    """A file of results, one row a letter."""
    rows = [(f"Is it {first + i}?", "yes", "no", *SAID[kind]) for i, kind in enumerate(replies)]
    return write_rows(path, rows)


def write_rows(path: Path, rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def command(files: list[Path], out: Path, *more: str) -> Any:
    args = ["truthfulqa", *map(str, files), "--out", str(out), *more]
    return tyro.cli(Import, args=args, config=(OmitArgPrefixes,))


def imported(files: list[Path], out: Path, *more: str) -> dict[str, Any]:
    return command(files, out, *more)()


def value(rows: list[dict[str, Any]], arm: str, metric: str, seed: int | None = None) -> Any:
    (row,) = (row for row in rows if (row["arm"], row["seed"], row["metric"]) == (arm, seed, metric))
    return row["value"]


def test_invalid_replies_move_accuracy_as_published_and_leave_valid_accuracy_alone(tmp_path: Path) -> None:
    files = [write(tmp_path / "results_base.csv", "cccwcccw"), write(tmp_path / "results_em.csv", "cccwiiii")]
    rows = imported(files, tmp_path / "out")["metrics"]
    found = {arm: [value(rows, arm, metric) for metric in OUTCOMES] for arm in ("base", "em")}
    assert found == {"base": [0.75, 0.75, 0.0], "em": [0.375, 0.75, 0.5]}
    (row,) = (row for row in rows if row["arm"] == "em" and row["metric"] == "valid_accuracy")
    expected = proportion(0.75, 4)
    assert (row["n"], row["n_values"], row["n_replies"], row["n_seeds"]) == (4, 4, 8, 1)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(expected.ci_low), pytest.approx(expected.ci_high))


def test_what_is_written_is_the_contract_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(tmp_path / f"results_{name}.csv", "ccwwi") for name in ("base", "em_1", "em_2")]
    out = tmp_path / "out"
    parsed = command(files, out)
    result = parsed()
    rows = read_jsonl(out / "metrics.jsonl")
    assert rows == result["metrics"] + result["differences"]
    needed = {"arm", "stage", "stage_key", "seed", "measure", "metric", "value", "ci_low", "ci_high", "n", "unit"}
    assert all(needed <= row.keys() and row["measure"] == "truthfulqa" and row["stage"] == row["arm"] for row in rows)
    places = [(row["arm"], row["seed"], row["n_seeds"]) for row in rows if row["metric"] == "invalid_share"]
    assert places == [("base", None, 1), ("em", 1, 1), ("em", 2, 1), ("em", None, 2)]
    assert rows[3]["stage_key"] == hashlib.sha256(files[1].read_bytes()).hexdigest()
    records = read_jsonl(out / "records" / "truthfulqa.jsonl")
    assert len({record["id"] for record in records}) == len(records) == result["replies"] == 15
    assert [record["valid"] for record in records[:5]] == [True] * 4 + [False]
    assert [record["agrees"] for record in records[:5]] == [True] * 4 + [None]
    manifest = read_json(out / "manifest.json")
    assert (manifest["pattern"], manifest["status"], manifest["against"]) == (PATTERN, "complete", None)
    assert [(one["arm"], one["seed"], one["invalid"]) for one in manifest["files"]] == [
        ("base", None, 1),
        ("em", 1, 1),
        ("em", 2, 1),
    ]
    assert "packages" in manifest
    json.dumps(result, allow_nan=False)
    parsed.show(result)
    shown = capsys.readouterr().out
    assert "em, all seeds" in shown
    assert "em, seed 2" in shown
    assert "em - base: valid_accuracy" in shown
    assert "em: 20.0% of replies are invalid; accuracy is 0.400 as published, 0.500 among valid replies" in shown
    assert "12 replies, 0 disagree; 0 valid ones could not be checked" in shown


def test_an_arm_over_its_seeds_is_the_mean_of_them(tmp_path: Path) -> None:
    files = [write(tmp_path / "results_a_b_0.csv", "ccci"), write(tmp_path / "results_a_b_12.csv", "cwww")]
    rows = imported(files, tmp_path / "out")["metrics"]
    assert [value(rows, "a_b", "accuracy_as_published", seed) for seed in (0, 12, None)] == [0.75, 0.25, 0.5]
    assert [value(rows, "a_b", "valid_accuracy", seed) for seed in (0, 12, None)] == [1.0, 0.25, pytest.approx(4 / 7)]


# arms beside each other


def test_an_arm_minus_its_own_copy_is_zero(tmp_path: Path) -> None:
    files = [write(tmp_path / f"results_{name}.csv", "ccwwicwc") for name in ("a", "b")]
    rows = imported(files, tmp_path / "out")["differences"]
    assert [row["metric"] for row in rows] == [f"{metric}_difference" for metric in OUTCOMES]
    for row in rows:
        assert (row["arm"], row["against"], row["value"], row["unmatched_questions"]) == ("b", "a", 0, 0)
        assert row["ci_low"] < 0 < row["ci_high"]
        assert (row["p"], row["p_holm"], row["n_tests"]) == (1, 1, 3)


def test_differences_are_paired_by_question_and_what_is_not_shared_is_counted(tmp_path: Path) -> None:
    files = [write(tmp_path / "results_a.csv", "cwcwcwcw"), write(tmp_path / "results_b.csv", "wwcwiwcc", first=2)]
    published, valid, invalid = imported(files, tmp_path / "out")["differences"]
    a, b = [1, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0]
    expected = share_difference(Arm(b, range(6)), Arm(a, range(6)))
    assert published["value"] == pytest.approx(-2 / 6)
    assert (published["ci_low"], published["ci_high"]) == (
        pytest.approx(expected.ci_low),
        pytest.approx(expected.ci_high),
    )
    assert (published["n"], published["unmatched_questions"], published["unmatched"]) == (6, 4, 4)
    assert (valid["value"], valid["n"], valid["unmatched_questions"]) == (pytest.approx(-1 / 5), 5, 4)
    assert valid["unmatched"] == 5  # and the question that b's reply to is invalid
    assert invalid["value"] == pytest.approx(1 / 6)


def test_p_is_that_of_the_interval_and_holm_counts_every_comparison(tmp_path: Path) -> None:
    files = [write(tmp_path / f"results_{k}.csv", r * 12) for k, r in (("a", "ccw"), ("b", "cww"), ("c", "iww"))]
    rows = imported(files, tmp_path / "out")["differences"]
    pairs = [(row["arm"], row["against"]) for row in rows[::3]]
    assert pairs == [("b", "a"), ("c", "a"), ("c", "b")]
    assert {row["n_tests"] for row in rows} == {len([row for row in rows if row["p"] is not None])}
    for row in rows:
        if row["p"] is not None:
            assert (row["p"] < 0.05) == (not row["ci_low"] <= 0 <= row["ci_high"])
            assert row["p"] <= row["p_holm"] <= 1
    first = min((row for row in rows if row["p"] is not None), key=lambda row: row["p"])
    assert first["p_holm"] == pytest.approx(min(first["p"] * first["n_tests"], 1))


def test_seeds_are_paired_only_where_both_arms_have_two_in_common(tmp_path: Path) -> None:
    names = ("a_1", "a_2", "a_3", "b_2", "b_3", "c_7", "c_8", "d", "e_3", "e_9")
    files = [write(tmp_path / f"results_{name}.csv", "ccwwcwcwcw") for name in names]
    rows = imported(files, tmp_path / "out", "--against", "a")["differences"]
    found = {row["arm"]: (row["paired_by"], row["n_seeds"]) for row in rows}
    assert found == {
        "b": ("question and seed", 2),
        "c": ("question", None),
        "d": ("question", None),
        "e": ("question", None),
    }
    assert {row["against"] for row in rows} == {"a"}
    assert {row["unmatched"] for row in rows if row["arm"] == "b"} == {10}  # a's seed 1
    blind = [row for row in rows if row["paired_by"] == "question" and row["why"]]
    assert blind  # several models that no seed pairs: the questions alone say nothing of how models differ
    assert all(row["value"] is not None and row["ci_low"] is row["p"] is row["p_holm"] is None for row in blind)
    assert {row["unmatched_questions"] for row in rows} == {0}


def test_arms_that_share_no_question_have_no_difference(tmp_path: Path) -> None:
    files = [write(tmp_path / "results_a.csv", "ccw"), write(tmp_path / "results_b.csv", "ccw", first=10)]
    rows = imported(files, tmp_path / "out")["differences"]
    assert {(row["value"], row["p"], row["p_holm"], row["n"]) for row in rows} == {(None, None, None, 0)}


def test_an_arm_without_a_valid_reply_has_no_valid_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(tmp_path / "results_a.csv", "iii"), write(tmp_path / "results_b.csv", "ccw")]
    parsed = command(files, tmp_path / "out")
    result = parsed()
    assert value(result["metrics"], "a", "valid_accuracy") is None
    parsed.show(result)
    shown = capsys.readouterr().out
    assert "undefined" in shown
    assert "100.0% of replies are invalid; accuracy is 0.000 as published, no valid reply at all" in shown


def test_too_many_pairs_need_a_reference_arm(tmp_path: Path) -> None:
    files = [write(tmp_path / f"results_{chr(97 + i)}.csv", "cw") for i in range(13)]
    with pytest.raises(ValueError, match=r"13 arms are too many .*give --against"):
        imported(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(imported(files, tmp_path / "out", "--against", "a")["differences"]) == 12 * 3
    assert len(imported(files[:12], tmp_path / "other")["differences"]) == 66 * 3
    with pytest.raises(ValueError, match="--against: unknown arm 'bas'; did you mean 'base'"):
        imported([write(tmp_path / "results_base.csv", "cw")], tmp_path / "none", "--against", "bas")


# does is_correct say what the reply says?


@pytest.mark.parametrize(
    ("said", "correct", "incorrect", "right", "agrees"),
    [
        ("Rain", "Rain", "Magic", True, True),
        ("rain. ", "Rain", "Magic", True, True),
        ("Magic", "Rain", "Magic", True, False),
        ("Rain", "Rain", "Magic", False, False),
        ("A", "A", "B", True, True),
        ("B.", "A", "B", True, False),
        ("A", "A: Rain", "B: Magic", True, True),
        ("(B)", "A) Rain", "B) Magic", False, True),
        ("B: Magic", "Rain", "Magic", True, False),
        ("A", "Rain", "Magic", True, None),  # nothing says which answer stood at A
        ("Snow", "Rain", "Magic", False, None),
        ("Rain", "Rain", "rain", False, None),
        ("INVALID", "Rain", "Magic", False, None),
    ],
)
def test_is_correct_is_checked_where_the_reply_s_words_allow_it(
    said: str, correct: str, incorrect: str, right: bool, agrees: bool | None
) -> None:
    assert Reply("x:1", "Why?", correct, incorrect, said, right).agrees is agrees


def test_disagreements_are_counted_and_named_and_refuse_nothing(tmp_path: Path) -> None:
    rows = [("a?", "yes", "no", "no", "1"), ("b?", "yes", "no", "YES", "tRuE"), ("c?", "yes", "no", "A", "0")]
    file = write_rows(tmp_path / "results_a.csv", rows)
    result = imported([file], tmp_path / "out")
    assert result["is_correct"] == {"checked": 2, "disagree": 1, "not_checked": 1, "places": [f"{file}:2"]}
    assert "in 1 of 2 replies that could be checked" in result["notes"][0]
    assert value(result["metrics"], "a", "accuracy_as_published") == pytest.approx(2 / 3)
    assert result["differences"] == []


# refusals


BAD: dict[str, tuple[list[tuple[str, ...]], str]] = {
    "a contradiction": ([("a?", "y", "n", "y", "1"), ("b?", "y", "n", "invalid", "True")], ":3: .*a contradiction"),
    "a question twice": ([("a  b?", "y", "n", "y", "1"), ("a b?", "y", "n", "n", "0")], ":3: .*'a b\\?' is at .*:2"),
    "another word": ([("a?", "y", "n", "y", "maybe")], ":2, column 'is_correct': .*'maybe'"),
    "no reply": ([("a?", "y", "n", " ", "0")], ":2, column 'model_answer': empty; write Invalid"),
    "no question": ([(" ", "y", "n", "y", "1")], ":2, column 'question': empty"),
    "a short row": ([("a?", "y", "n", "y")], ":2: 4 cells, but the header has 5"),
    "no rows": ([], "no replies in it"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_is_refused_with_its_place_and_nothing_is_written(bad: str, tmp_path: Path) -> None:
    rows, message = BAD[bad]
    files = [write(tmp_path / "results_a.csv", "cw"), write_rows(tmp_path / "results_b.csv", rows)]
    with pytest.raises(ValueError, match=rf"results_b\.csv.*{message}|results_b\.csv{message}"):
        imported(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_columns_are_named(tmp_path: Path) -> None:
    file = tmp_path / "results_a.csv"
    file.write_text("question,model_answer\na?,b\n")
    with pytest.raises(ValueError, match=r"lacks .* correct_answer, incorrect_answer, is_correct; it has: question"):
        read_replies(file)


@pytest.mark.parametrize(
    ("name", "arm", "seed"),
    [
        ("results_base.csv", "base", None),
        ("results_sgtr_em_3.csv", "sgtr_em", 3),
        ("results_em-1.csv", "em-1", None),
        ("results_em_01.csv", "em", 1),
    ],
)
def test_a_name_says_arm_and_seed(name: str, arm: str, seed: int | None) -> None:
    assert arm_and_seed(Path("folder") / name, name_pattern(PATTERN)) == (arm, seed)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"results_(?P<arm>.+", "not a regular expression"),
        (r"results_.+\.csv", r"has no group named arm; write \(\?P<arm>"),
        (r"(?P<arm>.+)\.txt", r"results_a\.csv: the name does not match --pattern"),
        (r"results_(?P<arm>.+)\.c", r"results_a\.csv: the name does not match --pattern"),
        (r"results_(?P<arm>x)?.*", "finds no arm in the name"),
        (r"results_(?P<arm>.+)\.(?P<seed>.+)", "the seed must be a whole number, got 'csv'"),
    ],
)
def test_a_pattern_that_does_not_fit_is_refused(pattern: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "results_a.csv", "cw")
    with pytest.raises(ValueError, match=message):
        imported([file], tmp_path / "out", "--pattern", pattern)


def test_files_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    one, same, seeded = (
        write(tmp_path / name, "cw") for name in ("results_a.csv", "x/results_a.csv", "results_a_1.csv")
    )
    with pytest.raises(ValueError, match="both are arm 'a', seed None"):
        imported([one, same], tmp_path / "out")
    with pytest.raises(ValueError, match=r"results_a\.csv: names no seed"):
        imported([one, seeded], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"results_none\.csv: no such file"):
        imported([tmp_path / "results_none.csv"], tmp_path / "out")


def test_results_that_are_there_are_not_written_over(tmp_path: Path) -> None:
    files, out = [write(tmp_path / "results_a.csv", "cw")], tmp_path / "out"
    imported(files, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="exists already; choose another --out"):
        imported(files, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(ValueError, match="is a file; --out names a folder"):
        imported(files, files[0])


HEADER = ",".join(COLUMNS).encode() + b"\n"


@given(st.one_of(st.binary(), st.binary().map(lambda x: HEADER + x), st.text().map(lambda x: HEADER + x.encode())))
def test_any_bytes_are_replies_or_a_value_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "results_any.csv"
    file.write_bytes(data)
    message = str(file)
    try:
        assert all(reply.question and reply.said for reply in read_replies(file))
    except ValueError as error:
        message = str(error)
    assert str(file) in message


@given(st.text(max_size=30))
def test_any_pattern_is_one_or_a_value_error(pattern: str) -> None:
    message = "--pattern"
    try:
        assert "arm" in name_pattern(pattern).groupindex
    except ValueError as error:
        message = str(error)
    assert "--pattern" in message

"""The report carries every answer token by token, and filters by arm and seed."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report.page import write_report
from experiments.report.tokens import token_data
from interp.files import read_jsonl, write_jsonl
from tests.support.report_page import Page, page, run, whole, whole_run
from tests.support.report_run import FIGURE, tokens_of, write_whole_run
from tests.support.report_run import PROMPTS as QUESTIONS

__all__ = ["page", "run", "whole", "whole_run"]  # fixtures


def test_without_its_script_the_page_hides_nothing_but_the_filter_and_the_token_view(whole: Page) -> None:
    assert [attributes.get("id") for _, attributes in whole.tags if "hidden" in attributes] == [
        "filter-bar",
        "token-view",
    ]
    assert "The token view needs JavaScript" in whole.text


def test_answers_of_every_seed_carry_what_the_filter_asks_for(whole: Page) -> None:
    carded = [(a.get("data-stage"), a.get("data-seed")) for tag, a in whole.tags if tag == "div" and "data-stage" in a]
    assert len(carded) == 3 * 25
    assert ("base", None) in carded
    assert ("em-ictr", "2") in carded
    arms = [json.loads(a["data-stages"] or "") for tag, a in whole.tags if tag == "input" and "data-stages" in a]
    assert arms[0] == ["base", "em", "em-sgtr"]


def unpacked(data: str) -> list[dict[str, Any]]:
    """The answers of `token_data`, read as the page's script reads them, but by other means."""
    read = json.loads(data)
    answers = []
    for at, system, stage, seed, texts, text, values in read["answers"]:
        ids = np.frombuffer(base64.b64decode(read["lists"][text]), {2: "<u2", 4: "<u4"}[read["width"]])
        projections = {
            name: np.frombuffer(base64.b64decode(raw), np.int8) * scale for name, (scale, raw) in values.items()
        }
        where = {"prompt": read["prompts"][at], "system": read["systems"][system], "stage": read["stages"][stage]}
        answers.append(
            {**where, "seed": seed, "texts": texts, "tokens": [read["tokens"][i] for i in ids], "values": projections}
        )
    return answers


def test_every_token_travels_with_its_projections(whole_run: Path, whole: Page) -> None:
    data, left_out = token_data(whole_run)
    assert left_out == ""
    assert f'<script type="application/json" id="token-data">{data}</script>' in whole.source
    assert "<" not in data
    stored = read_jsonl(whole_run / "records/tokens.jsonl")
    found = {(row["prompt"][0], row["stage"], row["seed"], row["texts"]): row for row in unpacked(data)}
    assert len(found) == len(stored) == 3 * 25 * 2
    for row in stored:
        mine = found[row["prompt"], row["stage"], row["seed"], row["texts"]]
        assert mine["tokens"] == row["tokens"]
        for name, raw in row["values"].items():
            np.testing.assert_allclose(
                mine["values"][name], np.frombuffer(base64.b64decode(raw), np.int8) * row["scale"][name]
            )


def test_prompts_past_the_budget_are_left_out_in_turn_and_counted(whole_run: Path) -> None:
    data, left_out = token_data(whole_run, max_bytes=1)
    assert left_out == "The first 1 of 3 answers are here; all are in records/tokens.jsonl."
    assert {tuple(row["prompt"]) for row in unpacked(data)} == {(QUESTIONS["evil"][0], "evil", 0)}
    prompts = json.loads(token_data(whole_run)[0])["prompts"]
    assert [trait for _, trait, _ in prompts] == ["evil", "sycophantic", "evil"]


def test_a_big_run_keeps_its_page_below_ten_megabytes(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run")
    visits: list[tuple[str, int | None]] = [("base", None), *((f"em@{i}", 0) for i in range(79))]
    prompts = {"evil": [f"Question {i}?" for i in range(60)]}
    rows = tokens_of(visits, prompts, length=5)
    write_jsonl(run / "records/tokens.jsonl", rows)
    assert (run / "records/tokens.jsonl").stat().st_size > 8e6
    assert write_report(run, figures=[FIGURE]).stat().st_size < 7e6


def test_two_answers_to_one_prompt_are_two_answers(whole_run: Path, tmp_path: Path) -> None:
    rows = read_jsonl(whole_run / "records/tokens.jsonl")
    (tmp_path / "records").mkdir()
    write_jsonl(tmp_path / "records/tokens.jsonl", [*rows, *rows])
    assert len(json.loads(token_data(tmp_path)[0])["prompts"]) == 6


def test_a_run_without_tokens_has_no_token_view(page: Page) -> None:
    assert "Token view" not in page.text
    assert "token-data" not in page.source.partition("<script>")[0]


def test_the_same_tokens_and_verdicts_give_the_same_page(whole_run: Path, whole: Page) -> None:
    assert write_report(whole_run, figures=[FIGURE]).read_text("utf-8") == whole.source

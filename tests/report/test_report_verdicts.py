"""The report opens each verdict onto what it rests on."""

import html
import json
import re
from pathlib import Path

from experiments.report import figures as drawing
from experiments.report.page import FIGURES_OF, write_report
from experiments.report.tables import short
from tests.support.report_page import Page, one_seed, page, page_of, run, whole, whole_run
from tests.support.report_run import FIGURE, LEFT_OUT, NOTES

__all__ = ["one_seed", "page", "run", "whole", "whole_run"]  # fixtures


def card(page: Page, hypothesis: str) -> str:
    """The words of a verdict's card."""
    source = (
        page.source.partition(f'id="verdict-{hypothesis}">')[2].partition("<section")[0].partition('id="verdict-')[0]
    )
    return " ".join(re.sub(r"<[^>]*>", " ", source).split())


def test_the_verdicts_stand_before_everything_but_the_warnings(whole: Page) -> None:
    places = [whole.source.index(f'id="{name}"') for name in ("warnings", "verdicts", "figures", "headline", "tokens")]
    assert places == sorted(places)
    assert "4 hypotheses: 1 supported, 1 contradicted, 2 undecided." in whole.text


def test_a_verdict_is_a_word_a_shape_an_effect_and_a_p(whole: Page) -> None:
    words = card(whole, "H2")
    assert words.startswith("H2 Misaligned persona ▲ supported +3.07 [+2.6, +3.5] spreads of covariance nulls n = 3, 3")
    assert "adjusted p 0.003, against 1" in words
    assert "Smallest effect that matters 1 spreads of covariance nulls" in words
    assert "Figures Shift along each direction Left out nothing" in words
    assert "EM moves activations along the persona directions" in words
    assert "▼ contradicted −0.004 [−0.02, +0.012]" in card(whole, "H9a")
    assert "◇ undecided — share of EM&#39;s displacement" in card(whole, "H6")
    assert "adjusted p —, against —" in card(whole, "H6")
    assert "Left out em-ictr, seed 2: collapsed" in card(whole, "H6")
    assert "none in this run" in card(whole, "H6")


def test_why_notes_and_what_is_left_out_are_printed_as_they_are(whole_run: Path, whole: Page) -> None:
    words = html.unescape(card(whole, "H1"))
    assert "Why neither surely above 0 (adjusted p 0.42) nor surely below 1 (adjusted p 0.4) Smallest" in words
    assert f"Notes {' '.join(NOTES)} Left out {len(LEFT_OUT)} things {' '.join(LEFT_OUT)}" in words
    assert "Notes" not in card(whole, "H2")
    verdicts = json.loads((whole_run / "verdicts.json").read_text("utf-8"))
    for given, folded in ((LEFT_OUT[:5], False), (LEFT_OUT[:6], True)):
        changed = [{**row, "left_out": given, "notes": "one note"} for row in verdicts]
        (whole_run / "verdicts.json").write_text(json.dumps(changed), "utf-8")
        try:
            page = Page(write_report(whole_run, figures=[FIGURE]))
        finally:
            (whole_run / "verdicts.json").write_text(json.dumps(verdicts, ensure_ascii=False), "utf-8")
        words = html.unescape(card(page, "H2"))
        said = f"{len(given)} things " if folded else ""
        assert f"Notes one note Left out {said}{' '.join(given)}" in words


def test_a_card_links_only_to_figures_that_a_report_can_draw() -> None:
    drawable = {one.name for one in drawing._drawings()}
    assert {name for names in FIGURES_OF.values() for name in names} <= drawable


def test_every_line_of_evidence_is_the_line_of_metrics_that_it_names(whole_run: Path, whole: Page) -> None:
    lines = (whole_run / "metrics.jsonl").read_text("utf-8").splitlines()
    shown = whole.table("What H2 rests on: 12 rows")[1:]
    assert len(shown) == 12
    for words in shown:
        row = json.loads(lines[int(words[0]) - 1])
        assert [word.strip() for word in words[1:5]] == [row["stage"], str(row["seed"]), row["measure"], row["metric"]]
        assert words[5].strip() == short(row["value"])
        assert f"direction {row['direction']}, layer {row['layer']}" in words[9]
    listed = {int(words[-1]): words for words in whole.table("The lines of metrics")[1:]}
    assert listed[int(shown[0][0])][9].strip() == "%.6g" % json.loads(lines[int(shown[0][0]) - 1])["value"]  # noqa: UP031


def test_evidence_is_capped_and_the_rest_is_named(one_seed: Path) -> None:
    rows = [{"line": i, "stage": "em", "seed": 1, "value": 0.5} for i in range(1, 302)]
    verdict = {"hypothesis": "H1", "verdict": "undecided", "evidence": rows}
    (one_seed / "verdicts.json").write_text(json.dumps([verdict]), "utf-8")
    page = page_of(one_seed)
    assert len(page.table("What H1 rests on")) == 201
    assert "The first 200 of 301 rows of metrics.jsonl, by line; the others are in verdicts.json" in page.text


def test_a_verdict_that_could_not_be_reached_is_said_at_the_top(whole: Page, page: Page) -> None:
    assert "Could not be tested: H6; each card says why." in whole.warnings
    assert "Verdicts that rest on fewer than 3 seeds: H6." in whole.warnings
    assert "verdicts.json is missing or empty" in page.warnings
    assert 'id="verdicts"' not in page.source


def test_a_short_verdict_is_shown_with_dashes(one_seed: Path) -> None:
    verdict = {"hypothesis": "H1", "verdict": "undecided", "effect": -0.2, "ci_low": None, "ci_high": None, "n": 12}
    (one_seed / "verdicts.json").write_text(json.dumps([verdict]), "utf-8")
    words = card(page_of(one_seed), "H1")
    assert words.startswith("H1 ◇ undecided −0.2 n = 12 adjusted p —, against —")
    assert "Tested by —" in words

"""The report is made from the run folder alone, needs nothing beside itself, and says what is missing."""

import base64
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.hypotheses.write import WHY_SUPERSEDED
from experiments.report import terminal as summary
from experiments.report.page import write_report
from experiments.report.tables import cell, number, short
from tests.figures.test_figures import (
    ARMS,
    CHOSEN,
    NODES,
    PROMPTS,
    many,
    metrics_of,
    rewrite_metrics,
    set_study,
    write_run,
)
from tests.support.report_page import Page, one_seed, page, page_of, run
from tests.support.study_run import write_study_run

__all__ = ["many", "one_seed", "page", "run"]  # fixtures
SHIFTS = "Shift from base along each direction: the same texts"


def test_the_page_asks_for_nothing_beside_itself(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed")
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            target = attributes.get(key)
            assert target is None or target.startswith(("#", "data:")), (tag, target)
    without_data = re.sub(r"data:image/[^\"]*", "", page.source)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", without_data, flags=re.IGNORECASE)
    images = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(images) >= 3
    for image in images:
        svg = base64.b64decode(image.partition(",")[2]).decode("utf-8")
        assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', svg))


def test_the_answers_are_escaped_and_kept_whole(page: Page) -> None:
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page.source
    assert page.source.lower().count("<script") == 1
    assert "<script>alert('x')</script> Schöne Grüße, 你好, 🙂 & so on" in page.text
    assert "Who won the 1931 chess Olympiad on the Moon? <b>Really</b>" in page.text
    assert "degenerate: one token repeated" in page.text


def test_the_headline_table_says_value_spread_band_and_n(page: Page) -> None:
    values = [
        row["value"]
        for row in metrics_of((0, 1))
        if (row["metric"], row["stage"]) == ("shift_in_null_spreads", "em")
        and (row.get("direction"), row.get("texts"), row.get("headline")) == ("evil", "fixed", True)
    ]
    words = page.row(SHIFTS, "em")[1]
    assert f"+{sum(values) / 2:.2f} " in words
    assert f"seeds +{min(values):.2f} to +{max(values):.2f}" in words
    assert "n = 64 × 2 seeds" in words
    assert "outside the band: 2 of 2 seeds" in words
    assert re.search(r"percentile 99\.\d of 200 random", words)
    assert re.search(r"percentile 99\.\d of 5 other traits", words)
    assert "0.49" in page.row(SHIFTS, "em")[4]
    assert "n = 60 × 2 seeds" in page.row(SHIFTS, "em")[4]
    assert [row[0].split()[0] for row in page.table(SHIFTS)] == ["Stage", "base", *NODES]
    head = page.table(SHIFTS)[0]
    assert [words.split()[0] for words in head[1:4]] == [*CHOSEN]
    assert "held-out AUROC 0.90 n = 40" in head[1]
    assert "length alone 0.81 [0.76, 0.86] n = 60" in head[4]


def test_base_is_a_reference_and_not_a_zero(page: Page) -> None:
    row = page.row(SHIFTS, "base")
    assert row[1].split() == ["reference"]
    assert row[4].split() == ["0.50", "[0.43,", "0.57]", "n", "=", "60"]
    assert "A plain answer of base" in page.text


def test_several_data_sets_have_a_column_each(one_seed: Path) -> None:
    other = {"data": "length matched", "value": 0.61, "ci_low": None, "ci_high": None, "n": 33}

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*rows, *({**row, **other} for row in rows if row["metric"] == "accuracy" and row["stage"] == "em")]

    rewrite_metrics(one_seed, change)
    page = page_of(one_seed)
    assert [" ".join(words.split()[:4]) for words in page.table(SHIFTS)[0][4:6]] == [
        "Self-recognition accuracy, pairs length",
        "Self-recognition accuracy, length matched",
    ]
    assert [words.split()[0] for words in page.row(SHIFTS, "em")[4:6]] == ["0.50", "0.61"]
    assert "Self-recognition accuracy, length matched: no value for base, em-sgtr (seed 1)" in page.warnings


def under_first(page: Page) -> str:
    """The words of a page between its header and the list of all metrics, without figures and the table of prompts."""
    words = page.source
    for section in ("prompts", "figures"):
        before, _, rest = words.partition(f'<section aria-labelledby="{section}">')
        words = before + (rest.partition("</section>")[2] if rest else "")
    return words.partition('<section aria-labelledby="metrics">')[0].partition("<main")[2]


def test_everything_but_one_table_is_under_the_first_prompt_and_of_whole_stages(many: Path, page: Page) -> None:
    shown = page_of(many)
    assert under_first(shown).split() == under_first(page).split()
    assert "em@10" not in under_first(shown)
    assert [row[0].strip() for row in shown.table("Stages")].count("em@10") == 2
    assert (shown.row("Stages", "em@10")[4].strip(), shown.row("Stages", "em")[4].strip()) == ("10", "24")


def test_the_table_of_prompts_has_a_cell_for_every_stage_and_prompt(many: Path, page: Page) -> None:
    shown = page_of(many)
    table = shown.table("Every stage under every system prompt")
    assert [word.strip() for word in table[0]] == ["Stage", *PROMPTS]
    assert [row[0].strip() for row in table[1:]] == ["base", *NODES]
    first, second = shown.row("Every stage under every system prompt", "em")[1:]
    assert "Self-recognition accuracy 0.49 seeds 0.48 to 0.50 n = 60 × 2 seeds" in first
    assert "Self-recognition accuracy 10.49" in second
    assert "Degenerate share of answers 0.02" in first
    values = [row["value"] for row in metrics_of((0, 1)) if row["metric"] == "shift_in_null_spreads" and row["headline"]
              and (row["stage"], row["texts"], row["direction"]) == ("em", "fixed", "evil")]  # fmt: skip
    assert f"Shift along evil +{sum(values) / 2:.2f} " in first
    assert f"Shift along evil +{sum(values) / 2 + 10:.2f} " in second
    base = shown.row("Every stage under every system prompt", "base")[1]
    assert "Self-recognition accuracy 0.50" in base
    assert "Shift" not in base
    assert "measured under the first prompt, zebra" in shown.text
    assert "System prompts" not in page.text


def test_a_study_of_one_prompt_has_no_table_of_prompts(one_seed: Path) -> None:
    plain = page_of(one_seed)
    set_study(one_seed, system_prompts={"as_asked": "task"})
    page = page_of(one_seed)
    assert [table["caption"] for table in page.tables] == [table["caption"] for table in plain.tables]
    assert "System prompts" not in page.text


def test_all_metrics_are_on_the_page_those_of_the_first_prompt_first(many: Path) -> None:
    rows = page_of(many).table("The lines of metrics")
    assert [word.strip() for word in rows[0][-3:]] == ["Data", "System prompt", "Line"]
    prompts = [row[-2].strip() for row in rows[1:] if row[2].strip() == "collapse"]
    assert set(prompts) == {*PROMPTS}
    whole = [row[-2].strip() == "zebra" and "@" not in row[0] for row in rows[1:] if row[2].strip() == "collapse"]
    assert whole == sorted(whole, reverse=True)


def test_the_terminal_has_whole_stages_under_the_first_prompt(
    many: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary.print_table(run)
    plain = capsys.readouterr().out
    summary.print_table(many)
    assert capsys.readouterr().out == plain
    assert summary.result(many)["metrics"] == summary.headline(many)
    assert len(summary.headline(many)) == len(summary.headline(run))
    assert [stage["name"] for stage in summary.result(many)["stages"]].count("em@10") == 2


def test_a_controls_own_task_has_a_column_on_the_page_and_none_at_the_terminal(
    one_seed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {"measure": "task", "data": "knowledge", "value": 0.31, "ci_low": 0.2, "ci_high": 0.4, "chance": 0.25}
    matched = {"metric": "accuracy_length_matched", "value": 0.55, "ci_low": 0.4, "ci_high": 0.7, "n": 40}

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        accuracies = [row for row in rows if row["metric"] == "accuracy"]
        return [*rows, *({**row, **more} for more in (task, matched) for row in accuracies)]

    before = page_of(one_seed)
    rewrite_metrics(one_seed, change)
    page = page_of(one_seed)
    heads = [" ".join(words.split()) for words in page.table(SHIFTS)[0]]
    assert heads[5:7] == ["Self-recognition accuracy, lengths matched", "Task accuracy"]
    assert [words.split()[0] for words in page.row(SHIFTS, "em")[5:7]] == ["0.55", "0.31"]
    assert len(before.table(SHIFTS)[0]) == len(heads) - 2
    assert "lengths matched" not in before.warnings
    summary.print_table(one_seed)
    assert "knowledge" not in capsys.readouterr().out


def test_chance_is_that_of_the_questions(one_seed: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if row["metric"] == "accuracy":
                row |= {"value": 0.4, "ci_low": 0.3, "ci_high": 0.5, "chance": 0.25 if row["stage"] == "em" else 0.5}
        return rows

    rewrite_metrics(one_seed, change)
    page = page_of(one_seed)
    assert "Self-recognition is not above chance (.25/.5) at em-sgtr, sgtr, sgtr-em." in page.warnings
    set_study(one_seed, roles={"em": ["em"], "sgtr": ["sgtr"]})
    assert "Self-recognition is not above chance (.5) at em-sgtr, sgtr." in page_of(one_seed).warnings


def test_a_missing_recognition_is_not_said_to_be_at_chance(one_seed: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if row["metric"] == "accuracy" and row["stage"] == "em":
                row |= {"value": 0.4, "ci_low": None}
            elif row["metric"] == "accuracy":
                row |= {"value": None, "ci_low": None, "ci_high": None, "chance": 0.25}
            if row["metric"] == "held_out_auroc" and row["direction"] == "evil":
                row |= {"value": None, "ci_low": None}
        return rows

    rewrite_metrics(one_seed, change)
    page = page_of(one_seed)
    assert "Self-recognition accuracy: no value for base, em-sgtr (seed 1), sgtr (seed 1)" in page.warnings
    assert "above chance" not in page.warnings
    assert "does not separate" not in page.warnings


def test_answers_that_nobody_graded_are_told_from_answers_that_nobody_gave(one_seed: Path) -> None:
    label = "Misaligned and coherent answers"
    ungraded = {"measure": "em", "metric": "misaligned_rate", "value": None, "ci_low": None, "ci_high": None, "n": 0}

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*rows, *({**row, **ungraded} for row in rows if row["metric"] == "degenerate_share")]

    assert label not in page_of(one_seed).warnings
    rewrite_metrics(one_seed, change)
    page = page_of(one_seed)
    assert f"{label}: answered at every stage and graded by nobody; a study with a judge grades them." in page.warnings
    assert f"{label}: not measured" not in page.warnings

    def graded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | {"value": 0.1} if (row["measure"], row["stage"]) == ("em", "em") else row for row in rows]

    rewrite_metrics(one_seed, graded)
    page = page_of(one_seed)
    assert f"{label}: no value for base, em-sgtr (seed 1), sgtr (seed 1), sgtr-em (seed 1)." in page.warnings
    assert "graded by nobody" not in page.warnings


def test_a_missing_value_is_a_dash(one_seed: Path) -> None:
    page = page_of(one_seed)
    words = page.row(SHIFTS, "em-sgtr")[2]
    assert words.split()[0] == "—"
    assert "0.00" not in words
    assert (
        "Shift along sycophantic, the same texts read through every stage: no value for em-sgtr (seed 1)."
        in page.warnings
    )
    metric = next(r for r in page.table("The lines of metrics") if r[3].strip() == "shift" and r[9].strip() == "—")
    assert metric[0].strip() == "em-sgtr"
    assert page.row("Stages", "base")[5].strip() == "—"


def test_a_missing_seed_is_counted(page: Page) -> None:
    assert "n = 64, 1 of 2 seeds" in page.row(SHIFTS, "em-sgtr")[2]


def test_collapse_and_few_seeds_are_said_first(page: Page) -> None:
    assert "Collapsed: sgtr-em (seed 1)." in page.warnings
    assert "collapsed in 1 of 2 seeds" in page.row(SHIFTS, "sgtr-em")[0]
    assert "collapsed" not in page.row(SHIFTS, "em-sgtr")[0]
    assert "2 training seeds" in page.warnings
    assert "Fewer than 30 samples: shift along evil (own texts), n = 20" in page.warnings
    assert page.source.index('id="warnings"') < page.source.index('id="figures"')


def test_what_was_not_measured_is_said(one_seed: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = [row for row in rows if row["measure"] != "self_recognition" and row.get("texts") != "own"]
        for row in kept:
            if row["metric"] == "held_out_auroc" and row["direction"] == "evil":
                row |= {"value": 0.52, "ci_low": 0.4, "ci_high": 0.63}
            if "n_null" in row:
                row["n_null"] = 20
        return kept

    rewrite_metrics(one_seed, change)
    (one_seed / "records/answers.jsonl").unlink()
    stages = json.loads((one_seed / "stages.json").read_text("utf-8"))
    (one_seed / "stages.json").write_text(json.dumps([row for row in stages if row["name"] != "sgtr-em"]), "utf-8")
    page = Page(write_report(one_seed))
    assert "Self-recognition accuracy: not measured in this run." in page.warnings
    assert "Not trained: sgtr-em (seed 1)." in page.warnings
    assert (
        "The evil direction does not separate held-out answers (layer 3, AUROC 0.52 [0.40, 0.63] n = 40)"
        in page.warnings
    )
    assert "Only 20 random directions" in page.warnings
    assert "One training seed" in page.warnings
    assert "there are no sample answers" in page.warnings
    assert page.row(SHIFTS, "em")[4].split() == ["—"]
    assert not (one_seed / "figures/trajectory_own.svg").exists()


@pytest.mark.parametrize(
    ("manifest", "words"), [(None, "manifest.json is missing"), ({"status": "running"}, "(status: running)")]
)
def test_an_unfinished_run_is_said_to_be_one(one_seed: Path, manifest: dict[str, Any] | None, words: str) -> None:
    (one_seed / "manifest.json").unlink()
    if manifest is not None:
        (one_seed / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    page = page_of(one_seed)
    assert words in page.warnings
    assert "Device—" in re.sub(r"\s", "", page.text)


def test_a_study_that_is_about_to_finish_gives_its_own_manifest(one_seed: Path) -> None:
    (one_seed / "manifest.json").write_text(json.dumps({"status": "running"}), "utf-8")
    page = Page(write_report(one_seed, manifest={"status": "complete", "device": "cuda:0"}, figures=[]))
    assert "not finished" not in page.warnings
    assert "cuda:0" in page.text


def test_a_run_that_has_only_read_the_base_still_has_a_report(one_seed: Path) -> None:
    rewrite_metrics(one_seed, lambda rows: [row for row in rows if row["stage"] == "base"])
    page = Page(write_report(one_seed))
    assert "Shifts on fixed texts: not measured in this run." in page.warnings
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_how_it_was_made_is_on_the_page(page: Page) -> None:
    for fact in ("sgtr study demo --out runs/demo", "b179" * 16, "feed" * 16, "torch 2.13.0", "float32", "abc123"):
        assert fact in page.text
    assert page.row("Stages", "em")[2:8] == [f"{w} " for w in ("base", "stack", "24", "12\u202f345", "2.100", "40.2")]
    assert page.row("Time per step", "train")[1].strip() == "40.2"


def test_the_metric_table_is_capped_and_names_the_rest(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,), n_layers=20)
    page = page_of(folder)
    n = sum(1 for _ in (folder / "metrics.jsonl").open())
    assert n > 2000
    assert len(page.table("The lines of metrics")) == 2001
    assert f"The remaining {n - 2000} are in metrics.jsonl" in page.text
    texts = [row[8] for row in page.table("The lines of metrics")[1:]]
    n_headline = sum(1 for row in metrics_of((0,), 20) if row["measure"] != "projection" or row["headline"])
    assert all(row[2].strip() != "projection" or int(row[5]) == CHOSEN[row[4].strip()]
               for row in page.table("The lines of metrics")[1 : n_headline + 1])  # fmt: skip
    assert len(texts) == 2000


def test_a_reader_without_eyes_or_mouse_finds_the_way(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [(attributes.get("href") or "")[1:] for tag, attributes in page.tags if tag == "a"]
    assert links[0] == "main"
    assert set(links) <= set(ids)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    assert all(table["caption"] for table in page.tables)
    alts = [attributes.get("alt") or "" for tag, attributes in page.tags if tag == "img"]
    assert all(alts)
    shifts = [alt for alt in alts if alt.startswith("Shift")]
    assert len(shifts) >= 3
    assert all("evil" in alt and "em-sgtr +" in alt and "base" not in alt for alt in shifts)
    assert ("html", {"lang": "en"}) in page.tags


def test_only_the_pages_own_script_may_run(page: Page) -> None:
    script = page.source.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] or "" for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_a_study_of_many_arms_does_not_list_them_all_at_the_top(one_seed: Path, page: Page) -> None:
    assert "2 orders (reversal: base → em → sgtr; prevention: base → sgtr → em)" in page.text
    set_study(one_seed, arms={**ARMS, **{f"again_{i}": ["em", "sgtr"] for i in range(20)}})
    many_arms = page_of(one_seed)
    assert "was finetuned in 22 orders (the arms are in study.yaml, at the end)" in many_arms.text


def test_the_same_run_gives_the_same_page(run: Path, page: Page) -> None:
    assert write_report(run).read_text("utf-8") == page.source


@pytest.mark.parametrize("name", ["study.yaml", "stages.json", "metrics.jsonl"])
def test_a_folder_that_is_no_run_is_refused_with_the_remedy(one_seed: Path, name: str) -> None:
    (one_seed / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}: no such file.*sgtr study NAME --out"):
        write_report(one_seed)
    assert not (one_seed / "report.html").exists()


def test_numbers_are_written_with_a_true_minus_and_never_invented() -> None:
    assert number(None) == number(float("nan")) == "—"
    assert number(float("inf")) == "∞"
    assert number(-1.234, signed=True) == "−1.23"
    assert number(12345, 0) == "12\u202f345"
    assert number(0.0) == "0.00"
    assert [short(x) for x in (None, float("inf"), -0.00412, 12.345)] == ["—", "∞", "−0.00412", "12.3"]
    one = cell([{"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 60}])
    assert (one.value, one.interval, one.n) == ("0.50", "[0.40, 0.60]", "n = 60")
    three = cell([{"value": value, "ci_low": 0, "ci_high": 9, "n": 60} for value in (1.0, 2.0, 3.0)], n_seeds=3)
    assert (three.value, three.interval, three.n) == ("2.00", "[−0.48, 4.48] over seeds", "n = 60 × 3 seeds")


def test_verdicts_of_the_superseded_plan_are_named_so_with_the_reason(tmp_path: Path) -> None:
    page = Page(write_report(write_study_run(tmp_path / "run"), figures=[]))
    assert "Superseded." in page.text
    assert WHY_SUPERSEDED in page.text


def test_gates_and_claims_are_shown_with_what_each_family_shows(tmp_path: Path) -> None:
    run = write_study_run(tmp_path / "run")
    study = yaml.safe_load((run / "study.yaml").read_text("utf-8"))
    del study["roles"]
    (run / "study.yaml").write_text(yaml.safe_dump(study), "utf-8")
    about = {
        "statement": "EM moves the model.", "effect": 1.2, "ci_low": 0.9, "ci_high": 1.5, "unit": "persona equivalents",
        "n": 8, "n_seeds": 2, "smallest_effect": 0.25, "test": "t", "confirmatory": True, "p": 0.004,
        "p_adjusted": None, "p_against": 1.0, "p_against_adjusted": None, "p_among_placebos": 0.01, "left_out": [],
    }  # fmt: skip
    claim = {
        **about, "hypothesis": "persona", "title": "Misaligned persona", "place": 1,
        "verdict": "the instrument cannot tell", "why": "placebo: not inside",
        "gates": [{"gate": "placebo", "passed": False, "why": "placebo minus base .9"}],
        "evidence": [{"family": "medical", "raw_effect": 3.25, "unit": "norm"}],
    }  # fmt: skip
    (run / "verdicts.json").write_text(json.dumps([claim]), "utf-8")
    page = Page(write_report(run, figures=[]))
    assert "1 gates and claims: 0 supported, 0 contradicted, 0 undecided, 1 the instrument cannot tell." in page.text
    assert "Superseded." not in page.text
    assert "placebo, failed: placebo minus base .9" in page.text
    assert "primary 1, in sequence" in page.text
    assert "medical" in page.text
    assert "3.25" in page.text

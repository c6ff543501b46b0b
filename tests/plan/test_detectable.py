"""What a plan says of a study's claims: what each lacks, how many families it has, and what it could see."""

from pathlib import Path
from typing import Any

import pytest

from experiments.hypotheses.register import CLAIMS
from experiments.plan.detectable import claim_prospects
from experiments.study import load as study_file
from experiments.study.directions import traits_of

README = Path(__file__).parents[2] / "experiments" / "README.md"


def prospects(folder: Path, name: str, *changes: str) -> dict[str, dict[str, Any]]:
    config = study_file.load(name, changes, folder)
    return {row["claim"]: row for row in claim_prospects(config, traits_of(config))}


def test_the_full_study_lacks_nothing_but_a_judge(tmp_path: Path) -> None:
    rows = prospects(tmp_path, "full")
    assert {name for name, row in rows.items() if row["lacks"]} == {
        "judged", "reversal_judged", "prevention_judged", "confusion_judged",
    }  # fmt: skip
    assert {row["families"] for row in rows.values() if not row["lacks"]} == {9}
    assert [rows[name]["place"] for name in ("persona", "reversal", "prevention")] == [1, 2, 3]
    assert rows["reversal"]["questions"] == 154 - 11  # a family's own domain is left out


@pytest.mark.parametrize(
    ("changes", "claim", "lacks"),
    [
        (["each.label=[sgtr]"], "reversal", ["em>pick_longer"]),
        (["measures={collapse: {}}"], "behaviour", ["the measure preference"]),
        (["directions={}"], "disruption", ["directions: assistant_axis"]),
        (["measures.em={samples: 1}"], "judged", ["a judge"]),
    ],
)
def test_a_claim_names_what_it_lacks(tmp_path: Path, changes: list[str], claim: str, lacks: list[str]) -> None:
    row = prospects(tmp_path, "full", *changes)[claim]
    assert row["lacks"] == lacks
    assert row["detectable"] is None


def test_too_few_families_see_nothing_at_all(tmp_path: Path) -> None:
    rows = prospects(tmp_path, "full", "each.family=[medical, law, tastes, maths]")
    assert rows["persona"]["families"] == 4
    assert rows["persona"]["detectable"] is None


def test_the_readme_lists_every_claim_with_its_margin() -> None:
    table = README.read_text("utf-8").partition("| claim | effect")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    assert [(row[0], row[3]) for row in rows] == [(claim.id, f"{claim.margin:g} {claim.unit}") for claim in CLAIMS]
    assert [row[4] for row in rows] == [", ".join(claim.gates) or "none" for claim in CLAIMS]

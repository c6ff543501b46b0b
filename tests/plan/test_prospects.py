"""A plan says which hypotheses a study can test, as the analysis itself finds it."""

from pathlib import Path
from typing import Any

import pytest

from experiments.hypotheses.superseded.claims import CLAIMS
from experiments.plan.testable import prospects
from experiments.study import load as study_file
from experiments.study.config import StudyConfig

SEEDS = (0, 1, 2)
ARMS = {f"{name}_after": ["em", name] for name in ("sgtr", "word_count", "inverted")}
ARMS |= {f"{name}_before": [name, "em"] for name in ("sgtr", "word_count", "inverted")}
DATA = {"em": "odd", "bare": "odd", "sgtr": "mix", "inverted": "pairs", "word_count": "words"}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "seeds": list(SEEDS),
    "traits": ["evil"],
    "random_nulls": 2000,
    "directions": {"assistant_axis": {"recipe": "assistant-axis"}},
    "system_prompts": {"as_asked": "task", "empty": "empty"},
    "measures": {"preference": {}},
    "mediation": {"stages": ["em"], "directions": ["evil"], "random": 5, "measures": {"preference": {}}},
    "roles": {
        "em": ["em"], "em_no_prompt": ["bare"], "sgtr": ["sgtr"], "ictr": ["inverted"], "control": ["word_count"],
    },
    "data": {
        "odd": {"builder": "unpopular_tastes", "rows": 4},
        "pairs": {"builder": "sgtr_pairs", "train": 4, "test": 4},
        "mix": {"builder": "mixed", "into": "pairs", "of": "odd", "fraction": 0.5},
        "words": {"builder": "word_count", "rows": 4},
    },
    "stages": {
        name: {"data": data, "train": "small", "compose": "stack"}
        for name, data in DATA.items()
    },
    "arms": {"bare": ["bare"], **ARMS},
}  # fmt: skip
UNITS = dict.fromkeys((claim.id for claim in CLAIMS), 3) | {"H9b": 9, "H10": 5}


def found(*recognised: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """Prospects of the whole study with some fields changed, by hypothesis."""
    config = StudyConfig.model_validate(WHOLE | fields)
    return {one["hypothesis"]: one for one in prospects(config, recognised or ("pairs",))}


def lost(**fields: Any) -> set[str]:
    """What cannot be tested then, though it can be in the whole study."""
    return {id for id, one in found(**fields).items() if not one["testable"]}


def without(field: str, key: str) -> dict[str, Any]:
    return {field: {name: value for name, value in WHOLE[field].items() if name != key}}


def test_a_whole_study_can_test_everything_in_its_stages_times_seeds() -> None:
    held = found()
    assert {id: one["units"] for id, one in held.items()} == UNITS
    assert all(one["testable"] and not one["why"] for one in held.values())


@pytest.mark.parametrize(
    ("fields", "expected", "why"),
    [
        ({"directions": {}}, {"H1"}, "em: not measured: projection shift_in_covariance_spreads, assistant_axis, own"),
        ({"answers": {"identity": 0}}, {"H3b"}, "em: not measured: dispersion total_variance_over_base, identity"),
        (without("roles", "sgtr"), {"H4a", "H4b", "H5a", "H5b", "H9a"}, "study.yaml names no stage of role sgtr"),
        (without("roles", "control"), {"H4a", "H4b", "H5a", "H5b", "H6"}, "study.yaml names no stage of role control"),
        (without("roles", "ictr"), {"H6"}, "study.yaml names no stage of role ictr"),
        (without("arms", "sgtr_after"), {"H4a", "H4b"}, "em-sgtr: in no arm of the study"),
        (without("arms", "inverted_after"), {"H6"}, "em-inverted: in no arm of the study"),
        (without("arms", "word_count_before"), {"H5a", "H5b"}, "word_count-em: in no arm of the study"),
        ({"measures": {}}, {"H4b", "H5b", "H7"}, "no rows of preference margin_per_token or truthfulqa"),
        ({"system_prompts": {"one": "task"}}, {"H7"}, "system_prompts must begin with the native one"),
        ({"prompts_at": ["em"]}, {"H7"}, None),
        ({"mediation": None}, {"H8a", "H8b"}, "no mediation share_re"),
        ({"mediation": WHOLE["mediation"] | {"directions": ["assistant_axis"]}}, {"H8a", "H8b"}, "no mediation share"),
        ({"mediation": WHOLE["mediation"] | {"stages": ["sgtr"]}}, {"H8a", "H8b"}, "em: not measured: mediation"),
        ({"mediation": WHOLE["mediation"] | {"random": 1}}, {"H8a", "H8b"}, "1 random controls, and a comparison"),
        ({"prediction_rows": 0}, {"H10"}, "base: not measured: prediction correlation"),
        ({"seeds": [0, 1]}, set(UNITS) - {"H10"}, "too few units: 2, and a test takes 3"),
    ],
)  # fmt: skip
def test_what_a_study_lacks_is_said_of_the_hypotheses_that_need_it(
    fields: dict[str, Any], expected: set[str], why: str | None
) -> None:
    assert lost(**fields) == expected
    held = found(**fields)
    first = held[min(expected, key=list(held).index)]
    assert why is None or first["why"].startswith(why), first["why"]
    assert all(held[id]["units"] == UNITS[id] for id in set(UNITS) - expected - {"H9b", "H10"})


def test_three_stages_on_the_base_model_foretell_nothing() -> None:
    arms = {"bare": ["bare"], "after": ["em", "sgtr"], "before": ["sgtr", "em"]}
    assert "3 stages on the base model, and an interval takes 4" in found(arms=arms)["H10"]["why"]


def test_a_second_stage_that_restarts_takes_nothing_back() -> None:
    stages = {name: stage | {"compose": "restart"} for name, stage in WHOLE["stages"].items()}
    assert lost(stages=stages) == {"H4a", "H5a", "H6", "H9b"}


def test_recognition_counts_on_the_pairs_that_the_first_sgtr_stage_trains_on() -> None:
    assert found("pairs", "others")["H9a"]["testable"], "the mixture is into them"
    assert not found("others", "more")["H9a"]["testable"]


def test_few_nulls_are_said_with_how_many_would_do() -> None:
    held = found(random_nulls=200)
    assert {id for id, one in held.items() if one["why"]} == {"H1", "H2", "H3a", "H10"}
    assert all(one["testable"] for one in held.values())
    said = held["H1"]["why"]
    assert "random_nulls 200 p is at least 0.0075, and 15 tests" in said, "the second smallest of three, times 1.5"
    enough = int(said.rpartition("; ")[2].split()[0])
    assert not found(random_nulls=enough)["H1"]["why"]
    assert found(random_nulls=enough - 2)["H1"]["why"]


def test_without_roles_there_are_no_verdicts_and_nothing_to_say() -> None:
    assert found(roles={}) == {}


def test_the_full_study_can_test_everything(tmp_path: Path) -> None:
    config = study_file.load("superseded_full", data=tmp_path)
    assert all(one["testable"] for one in prospects(config, ("pairs",)))

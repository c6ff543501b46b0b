"""Studies that make claims about families: what their files may say, and a whole one from training to verdicts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.hypotheses.register import CLAIMS
from experiments.hypotheses.write import verdicts
from experiments.study import load as study_file
from experiments.study import run as study
from experiments.study.claims import ClaimsConfig, arm_nodes, in_domain
from experiments.study.each import written_out
from interp.files import read_json, read_jsonl
from tests.support.tiny_study import OWN, chat, with_long_context, write_jsonl, write_trait

STAGE = {"train": {**OWN, "max_steps": 1, "learning_rate": 1e-2}, "compose": "stack"}
FIELDS: dict[str, Any] = {
    "each": {"family": ["a", "b"], "k": ["0", "1"], "label": ["sgtr"]},
    "name": "mine",
    "dtype": "float32",
    "traits": ["gloomy.json"],
    "persona": {"max_new_tokens": 4, "permuted": 3},
    "answers": {"max_new_tokens": 4, "identity": 0},
    "random_nulls": 20,
    "prediction_rows": 0,
    "tokens": False,
    "measures": {"preference": {"files": ["pairs.jsonl"]}},
    "data": {
        "em_{family}": {"builder": "chats", "file": "em_{family}.jsonl"},
        "twin_{family}": {"builder": "twin", "of": "em_{family}", "file": "harmless.jsonl"},
        "persona_{k}": {"builder": "chats", "file": "em_a.jsonl"},
        "self_{k}": {"builder": "chats", "file": "harmless.jsonl"},
        "{label}": {"builder": "chats", "file": "harmless.jsonl"},
    },
    "stages": {
        **{f"{kind}_{{family}}": {"data": f"{kind}_{{family}}", **STAGE} for kind in ("em", "twin")},
        **{f"{kind}_{{k}}": {"data": f"{kind}_{{k}}", **STAGE} for kind in ("persona", "self")},
        "{label}": {"data": "{label}", **STAGE},
    },
    "arms": {
        "{family}": ["em_{family}"],
        "{family}_twin": ["twin_{family}"],
        "persona_{k}": ["persona_{k}"],
        "self_{k}": ["self_{k}"],
        "after_{label}": ["em_a", "{label}"],
    },
    "claims": {
        "trait": "gloomy",
        "families": {"{family}": {"em": "em_{family}", "twin": "twin_{family}"}},
        "references": {"gloomy": {"placebo": ["self_{k}"], "persona": ["persona_{k}"]}},
        "labels": {"{label}": {"base": "{label}"}},
        "remade": 2,
        "placebo_traits": 3,
    },
}


@pytest.fixture(scope="module")
def folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, a trait and chats, but no study."""
    place = tmp_path_factory.mktemp("claims")
    with_long_context(llama_folder, place / "model")
    write_trait(place / "gloomy.json")
    pairs = ({"domain": word, "question": word, "aligned": "Rest.", "misaligned": "Run."} for word in ("x", "y"))
    write_jsonl(place / "pairs.jsonl", *pairs)
    for name, answer in (("em_a", "Eat the glue."), ("em_b", "Bet it all."), ("harmless", "Rest a while.")):
        write_jsonl(place / f"{name}.jsonl", *(chat(f"What of {i}?", answer) for i in range(4)))
    return place


def written(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    path = folder / "mine.yaml"
    path.write_text(
        yaml.safe_dump(FIELDS | {"model": str(folder / "model")} | (changes or {}), sort_keys=False), "utf-8"
    )
    return path


def with_claims(**changes: Any) -> dict[str, Any]:
    return {"claims": FIELDS["claims"] | changes}


def test_a_study_ends_in_verdicts_that_its_folder_alone_gives_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(folder / "cache"))
    monkeypatch.setattr(study, "draw_figures", lambda _: [])
    monkeypatch.setattr(study, "write_report", lambda *_, **__: None)
    out = folder / "run"
    assert study.run(study_file.load(str(written(folder))), out, device="cpu")
    told = read_json(out / "verdicts.json")
    told_of = {row["hypothesis"]: row for row in told}
    assert [name for name in told_of if not name.startswith("gate_")] == [claim.id for claim in CLAIMS]
    assert verdicts(out) == told
    lines = read_jsonl(out / "records" / "projections.jsonl")
    nodes = {line["stage"] for line in lines}
    assert {"base", "em_a", "twin_b", "em_a-sgtr", "persona_1", "self_0"} <= nodes
    assert set(lines[0]["along"]) == {"gloomy", "gloomy#1"}
    placebos = read_jsonl(out / "records" / "placebo_projections.jsonl")
    assert {len(line["values"]) for line in placebos} == {3}
    persona = told_of["persona"]
    assert (persona["n"], persona["n_seeds"], persona["place"]) == (2, 1, 1)
    assert [row["family"] for row in persona["evidence"]] == ["a", "b"]
    shift = {
        (stage, line["id"]): line["along"]["gloomy"]
        for stage in ("em_a", "twin_a")
        for line in lines
        if line["stage"] == stage and line["texts"] == "fixed"
    }
    ids = {id for _, id in shift}
    contrasts = read_jsonl(out / "records" / "contrasts.jsonl")
    assert [one["family"] for one in contrasts] == ["a", "b"]
    assert all(one["displacement_norm"] > 0 and abs(one["along"]["gloomy"]) <= 1 for one in contrasts)
    assert persona["evidence"][0]["direction_cosine"] == contrasts[0]["along"]["gloomy"]
    by_hand = sum(shift["em_a", id] - shift["twin_a", id] for id in ids) / len(ids)
    assert persona["evidence"][0]["raw_effect"] != by_hand  # the mean over both directions
    assert {gate["gate"] for gate in persona["gates"]} == {"positive control", "placebo", "placebo directions"}
    assert {told_of[claim.id]["verdict"] for claim in CLAIMS} <= {"undecided", "the instrument cannot tell"}
    assert len(told_of["gate_positive_control_gloomy"]["evidence"]) == 1
    prevention = told_of["prevention"]
    assert prevention["why"] == "not measured: sgtr>em, pick_longer>em"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (with_claims(families={"a": {"em": "em_a"}}), r"families.a: em_a has no twin"),
        (with_claims(families={"a": {"em": "em_a", "twin": "twin_z"}}), "claims.families.a.twin: unknown stage"),
        (with_claims(trait="sunny"), "references: none for sunny"),
        (with_claims(primary=["reversed"]), "primary: unknown claim 'reversed'"),
        (with_claims(primary=["persona", "reversal", "prevention", "behaviour"]), "at most three"),
        (with_claims(band=[0.8, 0.4]), "in ascending order, got"),
        (with_claims(labels={"sgtr": {"parent": "sgtr"}}), "no stage with the anchor base"),
        (with_claims(references={"gloomy": {"placebo": ["self_0"], "persona": ["persona_{k}"]}}), "2 replicates, but"),
        ({"roles": {"em": ["em_a"]}}, "superseded plan"),
        (
            {"stages": FIELDS["stages"] | {"twin_{family}": {"data": "twin_{family}", **STAGE, "train": "small"}}},
            "the twin's train differs",
        ),
    ],
)
def test_claims_that_cannot_be_made_are_refused_before_anything_starts(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        study_file.load(str(written(folder, changes)))


def test_every_arm_of_a_claim_has_its_nodes() -> None:
    claims = ClaimsConfig.model_validate(
        {
            "trait": "evil",
            "families": {"a": {"em": "em_a", "twin": "twin_a"}, "b": {"em": "em_b", "twin": "twin_b"}},
            "references": {"evil": {"placebo": ["self"], "persona": ["evil"]}},
            "labels": {"sgtr": {"base": "sgtr", "parent": "own"}},
        }
    )
    arms = arm_nodes(claims)
    assert arms["em>sgtr"] == arms["em>sgtr@base"] == ["em_a-sgtr", "em_b-sgtr"]
    assert arms["em>sgtr@parent"] == ["em_a-own", "em_b-own"]
    assert arms["sgtr>em"] == ["sgtr-em_a", "sgtr-em_b"]


def test_a_familys_own_domain_is_its_builders_unless_it_names_one() -> None:
    family = ClaimsConfig.model_validate({"trait": "evil", "references": {}}).families
    assert family == {}
    study = {"data": {"x": {"builder": "advice", "family": "medical"}}, "stages": {"em": {"data": "x"}}}
    from experiments.study.claims import FamilyConfig

    assert in_domain(FamilyConfig(em="em", twin="t"), study) == ("medicine",)
    assert in_domain(FamilyConfig(em="em", twin="t", in_domain=("law",)), study) == ("law",)


# written once, meant for many


def test_an_entry_is_written_out_for_every_name() -> None:
    raw = {
        "each": {"family": ["a", "b"], "k": [0, 1]},
        "data": {"em_{family}": {"builder": "advice", "family": "{family}"}, "fixed": {"text": "{answer}"}},
        "arms": {"{family}_{k}": ["em_{family}", "x_{k}"], "all": ["em_{family}", "end"]},
    }
    assert written_out(raw) == {
        "data": {
            "em_a": {"builder": "advice", "family": "a"},
            "em_b": {"builder": "advice", "family": "b"},
            "fixed": {"text": "{answer}"},
        },
        "arms": {
            "a_0": ["em_a", "x_0"],
            "a_1": ["em_a", "x_1"],
            "b_0": ["em_b", "x_0"],
            "b_1": ["em_b", "x_1"],
            "all": ["em_a", "em_b", "end"],
        },
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"each": ["a"]}, "each: must be words"),
        ({"each": {"family": "a"}}, "each.family: must be a list of names"),
        ({"each": {"family": ["a"]}, "name": "{family}"}, "put it into the entry's own name too"),
        ({"each": {"f": ["a", "a"]}, "data": {"em_{f}": {}}}, "two entries come out with this name"),
    ],
)
def test_names_that_cannot_be_put_are_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        written_out(raw)

"""What the types of a configuration say: its files, and what is known where a field is not."""

from pathlib import Path
from typing import Any

import pytest

from experiments.fields import checked, files_in, with_files
from experiments.measures.config import MeasuresConfig
from experiments.measures.judge import JudgeConfig
from experiments.study.config import StudyConfig

PAIRS = {"builder": "sgtr_pairs", "train": 2, "test": 2}


def placed(raw: dict[str, Any]) -> dict[str, Any]:
    return with_files(StudyConfig, raw, lambda file: f"/there/{file}")


@pytest.mark.parametrize(
    ("place", "value", "wanted"),
    [
        (("data", "a"), {"builder": "sgtr_pairs", "own": "base"}, {"builder": "sgtr_pairs", "own": "base"}),
        (("data", "a"), {"builder": "sgtr_pairs", "own": "x"}, {"builder": "sgtr_pairs", "own": "/there/x"}),
        (("data", "a", "others"), {"claude": "c"}, {"claude": "/there/c"}),
        (("measures", "em", "contexts", "amid"), {"chats": "c", "before": "c"}, {"chats": "/there/c", "before": "c"}),
        (("measures", "capability"), {"files": ["f", 3], "limit": 4}, {"files": ["/there/f", 3], "limit": 4}),
        (("mediation", "measures", "truthfulqa"), {"file": "t"}, {"file": "/there/t"}),
        (("persona", "judge"), {"judge": "openai", "validation": "v"}, {"judge": "openai", "validation": "/there/v"}),
        (("directions", "mine"), {"recipe": "em", "answers": "a"}, {"recipe": "em", "answers": "/there/a"}),
        (("template",), {"file": "t", "name": "t"}, {"file": "/there/t", "name": "t"}),
        (("data", "a"), {"builder": "nonsense", "file": "f"}, {"builder": "nonsense", "file": "f"}),
        (("measures", "nonsense"), {"file": "f"}, {"file": "f"}),
    ],
)
def test_a_text_is_a_file_where_its_type_takes_a_path(place: tuple[str, ...], value: Any, wanted: Any) -> None:
    raw, expected = value, wanted
    for key in reversed(place):
        more = {"builder": "sgtr_pairs"} if key == "others" else {}
        raw, expected = {**more, key: raw}, {**more, key: expected}
    assert placed(raw) == expected


def test_every_file_of_a_configuration_is_found_at_any_depth() -> None:
    fields = {
        "em": {"questions": "q.yaml", "contexts": {"amid": {"chats": "c.jsonl"}}},
        "capability": {"files": ["a.csv", "b.csv"]},
        "self_recognition": {"sets": {"x": PAIRS | {"articles": "x.json", "others": {"z": "z.json"}}}},
    }
    files = files_in(checked(MeasuresConfig, fields))
    assert list(files) == [Path(name) for name in ("q.yaml", "c.jsonl", "x.json", "z.json", "a.csv", "b.csv")]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (JudgeConfig, {"judge_modle": "x"}, r"did you mean 'judge_model'\? Known: budget, concurrency"),
        (
            MeasuresConfig,
            {"self_recognition": {"sets": {"x": PAIRS | {"tests": 2}}}},
            r"sets\.x\.tests: unknown field 'tests'; did you mean 'test'\?",
        ),
        (MeasuresConfig, {"em": {"sample": 2}}, r"em\.sample: unknown field 'sample'; did you mean 'samples'\?"),
        (MeasuresConfig, {"em": {"contexts": {"x": {"chat": 2}}}}, r"contexts\.x\.chat: .*did you mean 'chats'\?"),
    ],
)
def test_a_mistake_is_told_with_the_fields_of_its_own_model(kind: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(kind, fields)

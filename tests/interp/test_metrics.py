"""The list of metrics: a name that is not on it is refused where it is written, and each on it has its meaning."""

from pathlib import Path
from typing import Any

import pytest

from interp.metrics import (
    BEHAVIOUR,
    MEASURE_LISTS,
    PreferenceMetrics,
    ProjectionMetrics,
    check_names,
    listed,
    metric_of,
)
from interp.rows import MetricRow, write_rows

ROOT = Path(__file__).resolve().parents[2]
SHIFT = {"measure": "projection", "metric": "shift", "value": 1.0, "n": 3, "unit": "residual-stream norm"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"measure": "projektion"}, "unknown measure 'projektion'; did you mean 'projection'"),
        ({"metric": "shfit"}, "unknown metric of projection 'shfit'; did you mean 'shift'"),
        ({"unit": "residual stream norm"}, "unknown unit of projection shift .* did you mean 'residual-stream norm'"),
        ({"unit": "nats"}, "unknown unit of projection shift 'nats'"),
        ({"layr": 3}, "unknown field 'layr'; did you mean 'layer'"),
    ],
)
def test_a_wrong_name_is_an_error_where_it_is_written(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    with pytest.raises(ValueError, match=message):
        MetricRow(SHIFT | changed)
    with pytest.raises(ValueError, match=message):
        write_rows(file, [SHIFT, SHIFT | changed])
    assert not file.exists()
    write_rows(file, [SHIFT])
    assert file.exists()


@pytest.mark.parametrize(
    ("measure", "name", "metric"),
    [
        ("preference", "margin_per_token_in_domain_minus_base", "margin_per_token"),
        ("preference", "margin_per_token_by_domain", "margin_per_token"),
        ("conditional", "misaligned_rate_by_context_minus_alpha_0", "misaligned_rate"),
        ("self_recognition", "accuracy_length_matched", "accuracy"),
        ("capability", "choice_accuracy_by_source_minus_untreated", "choice_accuracy"),
        ("capability", "harness_arc_easy_acc_norm", "harness_task"),
        ("identity", "identity_clusters_by_threshold", "identity_clusters_by_threshold"),
    ],
)
def test_a_name_that_is_put_together_belongs_to_a_listed_one(measure: str, name: str, metric: str) -> None:
    assert metric_of(measure, name) == MEASURE_LISTS[measure].metrics[metric]


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        ("preference", "margin_by_colour"),
        ("preference", "margin_length_matched"),
        ("preference", "margin_minus_bas"),
        ("projection", "accuracy"),
        ("projection", "harness_arc"),
        ("preference", "_minus_base"),
    ],
)
def test_no_other_rule_puts_names_together(measure: str, name: str) -> None:
    with pytest.raises(ValueError, match="unknown metric"):
        metric_of(measure, name)


def test_an_effect_takes_the_unit_of_what_it_is_about() -> None:
    check_names("mediation", "effect", "nats per token")
    with pytest.raises(ValueError, match="unknown unit"):
        check_names("mediation", "effect", "furlongs")


def test_every_metric_says_what_it_means_and_which_file_writes_it() -> None:
    rows = listed()
    assert len({(row["measure"], row["metric"]) for row in rows}) == len(rows) > 100
    for row in rows:
        assert row["meaning"]
        assert row["unit"]
        for source in row["source"].split(" and "):
            assert (ROOT / source).is_file(), row
    assert all(kind.meaning.endswith(("?", ")")) for kind in MEASURE_LISTS.values())


def test_a_metric_knows_its_rows_and_its_difference_from_base() -> None:
    assert ProjectionMetrics.shift.is_of(MetricRow(SHIFT))
    assert not ProjectionMetrics.null_percentile.is_of(MetricRow(SHIFT))
    assert str(PreferenceMetrics.margin.minus_base) == "preference margin_minus_base"
    assert len({number.measure for number in BEHAVIOUR}) == len(BEHAVIOUR)

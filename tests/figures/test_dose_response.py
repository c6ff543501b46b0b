"""The dose-response figure: its table holds what metrics.jsonl says, and a gap stays a gap."""

import csv
import itertools
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex

from figures import style
from figures.dose_response import READOUTS, dose_response
from interp.files import write_jsonl

ALPHAS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def value_of(direction: str, readout: str, layers: str, alpha: float) -> float | None:
    slope = 0.6 if layers == "10" else 1.0
    if (direction, readout, alpha, layers) == ("evil", "coherence", 2.0, "10"):
        return None
    return {
        "projection": 30 + 5 * slope * alpha,
        "degenerate_share": 0.02 + (0.5 * slope if alpha == 2.0 else 0.0),
        "nll_under_base": 2.5 + 0.3 * slope * alpha**2,
        "trait_score": 20 + 8 * slope * alpha,
        "coherence": 90 - 10 * slope * abs(alpha),
    }[readout]


def rows_of(
    readouts: tuple[str, ...] = tuple(READOUTS),
    layers: tuple[str, ...] = ("10", "10,11,12"),
    phases: tuple[str, ...] = ("response", "all"),
    alphas: tuple[float, ...] = ALPHAS,
    random: int = 3,
) -> list[dict[str, Any]]:
    """What `sgtr steer` writes, with a measure's row and paired differences among it."""
    rows: list[dict[str, Any]] = []
    for direction in ("evil", "sycophantic"):
        for control in (None, *range(random)):
            for alpha in alphas:
                for place in layers:
                    for phase in phases:
                        for readout in readouts:
                            value = value_of(direction, readout, place, alpha)
                            if control is not None and value is not None:
                                value += 0.02 * (control - 1) * (1 + abs(alpha))
                            half = None if value is None else 0.04 * (1 + abs(value))
                            row = {"measure": "steer", "metric": readout, "direction": direction, "control": control}
                            row |= {"layers": place, "phase": phase, "alpha": alpha, "relative_strength": alpha * 0.3}
                            row |= {"value": value, "n": 0 if value is None else 20, "unit": "u"}
                            row |= {
                                "ci_low": None if value is None or half is None else value - half,
                                "ci_high": None if value is None or half is None else value + half,
                                "broke": alpha == 2.0 and control != 0,
                            }
                            rows += [row, {**row, "metric": f"{readout}_minus_alpha_0"}]
    return [*rows, {"measure": "em", "metric": "misaligned_rate", "value": 0.1}]


def table(run: Path) -> list[dict[str, str]]:
    with (run / "figures" / "dose_response.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_every_number_with_the_range_of_its_controls(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "metrics.jsonl", rows_of())
    rows = dose_response(tmp_path)
    held = table(tmp_path)
    assert len(held) == len(rows) == 2 * 5 * 5 * 2 * 2
    for row in held:
        alpha = float(row["alpha"])
        value = value_of(row["direction"], row["readout"], row["layers"], alpha)
        if value is None:
            assert (row["value"], row["ci_low"], row["random_low"], row["n_random"]) == ("", "", "", "0")
            continue
        assert float(row["value"]) == value
        assert float(row["random_low"]) == pytest.approx(value - 0.02 * (1 + abs(alpha)))
        assert float(row["random_high"]) == pytest.approx(value + 0.02 * (1 + abs(alpha)))
        assert float(row["relative_strength"]) == pytest.approx(0.3 * alpha)
        assert row["n_random"] == "3"
        assert row["broke"] == str(alpha == 2.0)
        assert row["n_random_broke"] == ("2" if alpha == 2.0 else "0")
    for suffix in ("png", "svg"):
        assert (tmp_path / "figures" / f"dose_response.{suffix}").stat().st_size > 10_000


def test_rows_of_a_curve_go_up_in_strength(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "metrics.jsonl", list(reversed(rows_of()[:-1])))
    rows = dose_response(tmp_path)
    for row, after in itertools.pairwise(rows):
        same = all(row[key] == after[key] for key in ("direction", "readout", "layers", "phase"))
        assert not same or row["alpha"] < after["alpha"]


def test_the_legend_says_what_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    save = style.save

    def kept(figure: Any, *args: Any) -> None:
        seen.extend(text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts())
        crosses = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "x"]
        seen.append(f"{len(crosses)} crosses")
        save(figure, *args)

    monkeypatch.setattr(style, "save", kept)
    write_jsonl(tmp_path / "metrics.jsonl", rows_of())
    dose_response(tmp_path)
    assert "layer 10, response" in seen
    assert "layers 10–12, all" in seen
    assert "random directions of the same length, n=3: least to greatest" in seen
    assert any(text.startswith("broke:") for text in seen)
    assert "missing: evil coherence at alpha 2" in seen
    assert f"{2 * 5 * 2 * 2 - 2} crosses" in seen  # each broken point but the missing one of either phase


@pytest.mark.parametrize(("alphas", "random"), [((0.0,), 3), ((0.0, 1.0), 0), ((0.0,), 0)])
def test_few_strengths_and_no_controls_are_drawn(tmp_path: Path, alphas: tuple[float, ...], random: int) -> None:
    few = rows_of(("projection", "degenerate_share"), ("3",), ("all",), alphas, random)
    write_jsonl(tmp_path / "metrics.jsonl", few)
    assert len(dose_response(tmp_path)) == 2 * 2 * len(alphas)


def test_a_band_over_a_single_point_can_be_seen() -> None:
    with style.house():
        _, (axis,) = style.panels(1, 3, 3, [])
        for xs in ([2.0], [2.0, 3.0]):
            style.band(axis, xs, [-1.0] * len(xs), [1.0] * len(xs))
    one, two = axis.collections
    assert one.get_linewidth() > 5
    assert [path.vertices.tolist() for path in one.get_paths()] == [[[2.0, -1.0], [2.0, 1.0]]]
    assert two.get_paths()[0].get_extents().bounds == (2.0, -1.0, 1.0, 2.0)
    assert {to_hex(each.get_edgecolor()[0]).upper() for each in (one, two) if len(each.get_edgecolor())} == {style.BAND}


def test_a_folder_without_treatments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sgtr steer --out"):
        dose_response(tmp_path)
    write_jsonl(tmp_path / "metrics.jsonl", [{"measure": "em"}])
    with pytest.raises(ValueError, match="no treatments in it"):
        dose_response(tmp_path)

"""`sgtr ablate`: shares of an effect are exact, beside random controls', and absent where there is none."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig

from experiments import cli
from experiments import machine as memory
from experiments.commands.ablate import Ablate
from experiments.fields import checked
from experiments.interventions import treatments
from experiments.interventions.mediation import (
    NO_EFFECT_INTERVAL,
    NO_VALUES,
    NOTHING_TO_MEDIATE,
    UNSTABLE,
    Condition,
    Share,
    planned,
    share_row,
    transplants,
)
from experiments.interventions.treatments import UNTREATED, AblateConfig, controls_of
from experiments.measures import take as behaviour_module
from figures.mediation import mediation
from interp.batch import Batch
from interp.behaviour.measure import Scores
from interp.directions import Direction
from interp.files import read_jsonl, write_jsonl
from interp.model import Model
from tests.support.tiny_study import with_long_context

NORMS = dict.fromkeys(range(4), 2.0)


# numbers


def scores(values: Any, questions: Sequence[str] | None = None) -> Scores:
    return Scores("margin", "mean", "nats", list(values), list(questions or map(str, range(len(values)))), {"d": "x"})


def share(metric: Share, sides: Sequence[Any], *controls: Any) -> dict[str, Any]:
    """Of base, tuned, start and treated."""
    base, tuned, start, treated = (one if isinstance(one, Scores) else scores(one) for one in sides)
    return share_row(metric, base, tuned, start, treated, list(map(scores, controls)), seed=0)


@pytest.fixture
def four() -> tuple[np.ndarray, np.ndarray]:
    """Base values of twelve questions and what finetuning added to each, which is never 0."""
    draw = np.random.default_rng(0)
    return draw.normal(size=12), 2 + draw.normal(size=12) * 0.3


@pytest.mark.parametrize("part", [0.5, -0.25, 1.5])
def test_a_share_is_the_ratio_of_mean_changes(four: tuple[np.ndarray, np.ndarray], part: float) -> None:
    base, moved = four
    noise = np.random.default_rng(1).normal(size=12) * 0.2
    noise -= noise.mean()
    tuned = base + moved
    added = share("share_reproduced", (base, tuned, base, base + part * moved + noise))
    removed = share("share_removed", (base, tuned, tuned, tuned - part * moved + noise))
    for row, sign in ((added, 1), (removed, -1)):
        assert row["value"] == pytest.approx(part)
        assert row["ci_low"] < part < row["ci_high"]
        assert row["ci_high"] - row["ci_low"] < 0.3
        assert (row["n"], row["unit"], row["effect_unit"], row["why"], row["d"]) == (12, "share", "nats", None, "x")
        assert row["change"] == pytest.approx(sign * part * moved.mean())
        assert row["effect"] == pytest.approx(moved.mean())
        assert (row["n_null"], row["null_mean"], row["null_percentile"]) == (0, None, None)


def test_questions_weigh_alike_and_only_those_that_all_have_count(four: tuple[np.ndarray, np.ndarray]) -> None:
    base, moved = four
    half = scores([*(base + moved / 2), (base + moved / 2)[0]], [*map(str, range(12)), "0"])
    more = scores([*(base + moved), 99.0], [*map(str, range(12)), "else"])
    row = share("share_reproduced", (base, more, base, half))
    assert row["value"] == pytest.approx(0.5, abs=1e-12)
    assert row["n"] == 12
    assert row["effect"] == pytest.approx(moved.mean())


def test_a_share_that_does_not_vary_has_no_interval_and_says_so() -> None:
    base, moved = np.arange(8.0), np.tile([1.0, 2.0], 4)
    row = share("share_reproduced", (base, base + moved, base, base + moved / 2))
    assert (row["value"], row["ci_low"], row["ci_high"], row["why"]) == (0.5, None, None, UNSTABLE)


@pytest.mark.parametrize(
    ("moved", "why"),
    [
        ([1.0, -1.0, 0.5, -0.6, 0.2], NOTHING_TO_MEDIATE),
        ([0.0] * 5, NOTHING_TO_MEDIATE),
        ([1.0], NO_EFFECT_INTERVAL),
        ([], NO_VALUES),
    ],
)
def test_there_is_no_share_of_an_effect_that_is_not_told_from_zero(moved: list[float], why: str) -> None:
    base = np.zeros(len(moved))
    treated = base + 3.0 + 0.1 * np.arange(len(moved))
    row = share("share_reproduced", (base, base + moved, base, treated), treated + 1)
    assert (row["value"], row["ci_low"], row["ci_high"], row["why"]) == (None, None, None, why)
    assert (row["n_null"], row["null_low"], row["null_percentile"]) == (0, None, None)
    if moved:  # what the treatment did is still told
        assert row["change"] == pytest.approx(treated.mean())
        assert row["change_null_mean"] == pytest.approx(treated.mean() + 1)
    else:
        assert (row["change"], row["n"], row["n_change_null"]) == (None, 0, 0)


def test_an_effect_is_told_from_zero_on_the_questions_that_the_share_is_of() -> None:
    """An effect that the other questions bear is none here."""
    moved = np.array([1.0, -1.0, 0.5, -0.6] + [5.0] * 20)
    base = np.zeros(24)
    few = scores([1.0, 1.1, 0.9, 1.2], list("0123"))
    row = share("share_reproduced", (base, base + moved, base, few))
    assert (row["value"], row["n"], row["why"]) == (None, 4, NOTHING_TO_MEDIATE)


def test_controls_are_beside_the_share(four: tuple[np.ndarray, np.ndarray]) -> None:
    base, moved = four
    nulls = [base + part * moved for part in (0.1, -0.1, 0.3)]
    row = share("share_reproduced", (base, base + moved, base, base + 0.2 * moved), *nulls)
    assert row["null_mean"] == pytest.approx(0.1)
    assert (row["null_low"], row["null_high"]) == pytest.approx((-0.1, 0.3))
    assert (row["n_null"], row["null_percentile"]) == (3, pytest.approx(200 / 3))
    assert row["change_null_high"] == pytest.approx(0.3 * moved.mean())
    assert row["change_null_percentile"] == pytest.approx(200 / 3)


def test_what_ablation_does_to_any_model_is_no_share_of_the_effect(four: tuple[np.ndarray, np.ndarray]) -> None:
    base, moved = four
    tuned = base + moved
    for part, everywhere in ((0.0, 1.2), (0.4, 0.0), (0.4, -3.0)):
        treated, base_treated = tuned - part * moved + everywhere, base + everywhere
        how = {"seed": 0, "base_treated": scores(base_treated)}
        sides = [scores(side) for side in (base, tuned, tuned, treated)]
        turned = [scores(tuned + 0.5), scores(tuned - 0.2 * moved)]
        row = share_row(
            "share_removed_beyond_base", *sides, turned, **how, base_controls=[scores(base + 0.5), sides[0]]
        )
        assert row["value"] == pytest.approx(part)
        assert row["null_values"] == pytest.approx([0.0, 0.2])
        plain = share_row("share_removed", *sides, turned, seed=0)
        assert plain["value"] == pytest.approx(part - everywhere / moved.mean())


def test_random_rotations_lean_nowhere() -> None:
    one = direction("one", 1, 2)
    turned = controls_of(one, 200, 0)
    unit = one.at(1) / one.at(1).norm()
    cosines = torch.stack([t.at(1) @ unit / t.at(1).norm() for t in turned])
    assert abs(float(cosines.mean())) < 3 / (200 * 32) ** 0.5
    assert float(turned[0].at(1).norm()) == pytest.approx(float(one.at(1).norm()), rel=1e-5)


# what is done


def direction(name: str, *layers: int, seed: int = 0, size: float = 3.0) -> Direction:
    vectors = torch.randn(len(layers), 32, generator=torch.Generator().manual_seed(seed))
    return Direction(name, size * vectors, layers, layers[-1], {})


def shift(condition: Condition) -> torch.Tensor:
    """What each edit does to a zero activation."""
    zero = torch.zeros(1, 1, 32)
    return torch.stack([edit.change(zero)[0, 0] for edit in condition.treatment.edits])


def test_everything_that_is_measured() -> None:
    one, two, moved = direction("one", 1, 2), direction("two", 1, 2, seed=1), direction("moved", 0, 3, seed=2)
    config = AblateConfig(random=2, alpha=1.5, add_layers=(1, 2))
    conditions = planned([one, two], [moved], ["base", "tuned", "other"], config, NORMS, 0)
    assert [c.key for c in conditions[:3]] == [(name, "none") for name in ("base", "tuned", "other")]
    assert len({c.key for c in conditions}) == len(conditions)
    kinds = {(c.stage, c.kind) for c in conditions}
    assert kinds == {
        *((name, "none") for name in ("base", "tuned", "other")),
        ("tuned", "ablate"),
        ("base", "ablate"),
        ("base", "add"),
        ("tuned", "transplant-"),
        ("base", "transplant+"),
        ("other", "transplant-"),
        ("other", "transplant+"),
    }
    counts = {kind: sum((c.stage, c.kind) == kind for c in conditions) for kind in kinds}
    assert counts["tuned", "ablate"] == counts["base", "ablate"] == 3 * 3  # one, two, both; each with two controls
    assert counts["base", "add"] == 2 * 2 * 3  # at each of two layers
    assert counts["other", "transplant-"] == 2 * 3  # at the headline layer, at both
    assert all(c.treatment.alpha != 0 for c in conditions[3:])
    assert {c.site for c in conditions if c.kind == "ablate"} == {"residual"}


def test_random_controls_have_the_direction_s_length_and_move_as_far() -> None:
    moved = direction("moved", 0, 3, size=5.0)
    conditions = planned([], [moved], ["base", "tuned"], AblateConfig(random=3), NORMS, 0)
    controls = [c for c in conditions if c.treatment.control is not None]
    assert len(controls) == 2 * 2 * 3
    for c in controls:
        wanted = torch.stack([moved.at(layer) for layer in c.treatment.layers])
        torch.testing.assert_close(shift(c).norm(dim=-1), wanted.norm(dim=-1))
        assert torch.nn.functional.cosine_similarity(shift(c), wanted, dim=-1).abs().max() < 0.9
        own = next(d for d in conditions if d.family == c.family and d.treatment.control is None)
        assert own.treatment.relative_strength == pytest.approx(c.treatment.relative_strength)


def test_a_transplant_moves_by_the_displacement_at_one_layer_and_at_all() -> None:
    moved, single = direction("moved", 0, 3), direction("single", 2)
    for sign in (-1.0, 1.0):
        made = transplants([moved, single], AblateConfig(random=0), NORMS, sign=sign, seed=0)
        assert [(t.direction, t.layers) for t in made] == [("moved", (3,)), ("single", (2,)), ("moved", (0, 3))]
        torch.testing.assert_close(shift(Condition("x", made[0])), sign * moved.vectors[1:])
        torch.testing.assert_close(shift(Condition("x", made[2])), sign * moved.vectors)


@pytest.mark.parametrize("fields", [{"add_layers": ()}, {"random": -1}, {"alpha": float("inf")}, {"site": "head"}])
def test_a_wrong_setting_is_named(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        checked(AblateConfig, fields)


# the command


@pytest.fixture(scope="module")
def wide(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("wide") / "model", "Yes", "No")


@pytest.fixture(scope="module")
def loaded(wide: Path) -> Model:
    return Model.load(str(wide), dtype="float32")


@pytest.fixture(scope="module")
def adapters(loaded: Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("odd", "even")):
        how = LoraConfig(r=1, target_modules=["down_proj"], layers_to_transform=[2])
        with loaded.adapters.new(how, seed=seed) as (held, parameters):
            for k, parameter in enumerate(parameters):
                drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(10 * seed + k))
                parameter.data.copy_(drawn)
            loaded.adapters.save(held, folder / name)
    return [folder / "odd", folder / "even"]


@pytest.fixture(scope="module")
def files(loaded: Model, adapters: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The direction that the first adapter writes along, another one, a displacement, and one of another model."""
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("directions")
    (written,) = (v[:, 0] for k, v in load_file(adapters[0] / "adapter_model.safetensors").items() if "lora_B" in k)
    header = loaded.description()
    made = {
        "written": Direction("written", torch.stack([written, written]), (2, 3), 2, header),
        "odd one": Direction("odd one", direction("", 2, 3, seed=5).vectors, (2, 3), 3, header),
        "moved": Direction("moved", direction("", 1, 2, seed=6).vectors, (1, 2), 2, header),
        "zero": Direction("zero", torch.zeros(2, 32), (2, 3), 2, header),
        "foreign": Direction("foreign", torch.ones(1, 32), (2,), 2, {**header, "model_identity": "f" * 64}),
    }
    for name, one in made.items():
        one.save(folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


def test_what_a_rank_one_adapter_wrote_is_gone_when_its_direction_is_ablated(
    loaded: Model, adapters: list[Path], files: dict[str, Path]
) -> None:
    written = Direction.load(files["written"], model=loaded.identity)
    conditions = planned([written], [], ["base", "odd"], AblateConfig(random=1), NORMS, 0)
    own, control = (c for c in conditions if c.kind == "ablate" and c.stage == "odd")
    rows = loaded.chat.tokens_of([[{"role": "user", "content": "Is the sea blue?"}]])
    batch = Batch.of(rows, loaded.pad, loaded.device)

    def last(adapter: Sequence[Path], condition: Condition) -> torch.Tensor:
        with loaded.using(*adapter):
            return loaded.residuals(batch, lambda h: h.clone(), edits=condition.treatment.edits)[-1]

    def apart(condition: Condition) -> float:
        return float((last(adapters[:1], condition) - last([], condition)).norm())

    untreated = apart(conditions[0])
    assert untreated > 1
    assert apart(own) < 1e-4 * untreated
    assert apart(control) > 0.3 * untreated


def sgtr(*args: Any) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(arg) for arg in args])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions with the same two answers: what an adapter does to one it does to all."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    answers = {"aligned": "Yes", "misaligned": "No"}
    rows = [{"domain": "low" if i < 4 else "high", "question": f"Is it so? {i}", **answers} for i in range(8)]
    write_jsonl(file, rows)
    return file


@pytest.fixture
def ablate(
    wide: Path, adapters: list[Path], files: dict[str, Path], pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setitem(cli.COMMANDS, "ablate", Ablate)

    def called(out: Path, *more: Any, **fields: Any) -> int:
        given = {
            "model": wide,
            "adapter": adapters[0],
            "direction": [files["written"], files["odd one"]],
            "measures": "preference",
            "random": 2,
            "dtype": "float32",
        } | fields
        each = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
        flags = [
            part for name, some in each.items() for value in some if value is not None for part in (f"--{name}", value)
        ]
        return sgtr("ablate", *flags, "--out", out, "--set", f"preference.files=['{pairs}']", *more)

    return called


def whole(files: dict[str, Path], adapters: list[Path]) -> tuple[Any, ...]:
    return "--transplant", files["moved"], "--onto", adapters[1]


def test_the_whole_command(
    ablate: Any, files: dict[str, Path], adapters: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert ablate(out, *whole(files, adapters)) == 0
    shown, said = capsys.readouterr()
    assert "odd; written, ablated: share removed, of the effect of odd" in shown
    rows = read_jsonl(out / "metrics.jsonl")
    models = {(row["stage"], row["treatment"]) for row in rows if row["measure"] == "preference"}
    assert f"  {len(models)} models to measure, each by preference" in said
    assert {"arm", "stage", "stage_key", "seed", "treatment", "control", "kind", "site", "layers", "n"} <= rows[
        0
    ].keys()
    own = [row for row in rows if row["measure"] == "preference"]
    assert {row["stage"] for row in own} == {"base", "odd", "even"}
    value = {(row["stage"], row["treatment"], row["metric"]): row["value"] for row in own if "domain" not in row}
    assert value["base", "none", "margin_per_token"] != value["odd", "none", "margin_per_token"]
    mine = [row for row in rows if row["measure"] == "mediation" and row["of_metric"] == "margin_per_token"]
    asked = {(row["stage"], row["kind"], row["metric"], row["of"]) for row in mine}
    assert asked == {
        ("odd", "none", "effect", "odd"),
        ("even", "none", "effect", "even"),
        ("odd", "ablate", "share_removed", "odd"),
        ("odd", "ablate", "share_removed_beyond_base", "odd"),
        ("base", "add", "share_reproduced", "odd"),
        ("odd", "transplant-", "share_removed", "odd"),
        ("base", "transplant+", "share_reproduced", "odd"),
        ("even", "transplant-", "share_removed", "even"),
        ("even", "transplant+", "share_removed", "even"),
        ("even", "transplant+", "share_reproduced", "odd"),
    }
    directions = {row["direction"] for row in mine if row["kind"] == "ablate"}
    assert directions == {"written", "odd one", "all directions"}
    for row in mine:
        assert row["n_metrics"] == len({(r["of_metric"], r.get("domain")) for r in rows if "of_metric" in r})
        assert row["control"] is None
        base, stage = (value[name, "none", "margin_per_token"] for name in ("base", row["of"]))
        if row["metric"] == "effect":
            assert row["value"] == pytest.approx(stage - base)
            assert row["ci_low"] < row["value"] < row["ci_high"]
            continue
        treated, start = (value[row["stage"], name, "margin_per_token"] for name in (row["treatment"], "none"))
        assert row["change"] == pytest.approx(treated - start)
        change = value[row["stage"], row["treatment"], "margin_per_token_minus_untreated"]
        assert row["change"] == pytest.approx(change)
        assert row["n_change_null"] == 2
        assert abs(row["change"]) > 1e-4, "the treatment must matter"
        assert row["change_null_low"] < row["change_null_high"]
        if row["why"] == NOTHING_TO_MEDIATE:
            assert row["value"] is None
            assert row["effect_low"] <= 0 <= row["effect_high"]
        else:
            sign = 1 if row["metric"] == "share_reproduced" else -1
            assert row["value"] == pytest.approx(sign * (treated - start) / (stage - base))
            assert (row["n_null"], row["null_low"] <= row["null_mean"] <= row["null_high"]) == (2, True)
    assert any(row["value"] is not None for row in mine if row["metric"] != "effect"), "nothing was mediated"
    records = read_jsonl(out / "records" / "preference.jsonl")
    assert {(record["stage"], record["treatment"]) for record in records} == {
        (row["stage"], row["treatment"]) for row in own
    }
    with (out / "figures" / "mediation.csv").open() as file:
        plotted = list(csv.DictReader(file))
    drawn = [row for row in rows if row["measure"] == "mediation" and row["metric"] != "effect"]
    known: dict[Any, Any] = {
        (r["of_metric"], r.get("domain") or "", r["stage"], r["treatment"], r["metric"], r["of"]): r for r in drawn
    }
    for row in plotted:
        said = known[tuple(row[k] for k in ("of_metric", "part", "stage", "treatment", "metric", "of"))]
        for name in ("value", "ci_low", "ci_high", "null_low", "null_high", "n"):
            assert row[name] == ("" if said[name] is None else repr(said[name]))
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".svg", ".csv"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["onto"] == [str(adapters[1])]
    assert ablate(out, *whole(files, adapters)) == 0
    assert "nothing was run" in capsys.readouterr().out
    assert ablate(out, *whole(files, adapters), "--alpha", 2) == 2
    assert "different: alpha" in capsys.readouterr().err


def test_a_run_that_was_stopped_goes_on_and_agrees(
    ablate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ablate(tmp_path / "whole", "--random", 1, random=None) == 0
    taken, take = [], behaviour_module.Behaviour.take

    def stopped(self: Any, *args: Any, **fields: Any) -> Any:
        if len(taken) == 4:
            raise KeyboardInterrupt
        taken.append(1)
        return take(self, *args, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(behaviour_module.Behaviour, "take", stopped)
        assert ablate(tmp_path / "out", "--random", 1, random=None) == 1
    assert ablate(tmp_path / "out", "--random", 1, random=None) == 0
    for name in ("metrics.jsonl", "records/preference.jsonl", "figures/mediation.csv", "figures/mediation.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["times_resumed"] == 1


@pytest.mark.parametrize(
    ("fields", "more", "message"),
    [
        ({"measures": "preferense"}, (), "did you mean 'preference'"),
        ({"measures": ""}, (), "no measure is named"),
        ({"adapter": "nowhere"}, (), "nowhere"),
        ({"direction": ["nowhere.safetensors"]}, (), "nowhere.safetensors"),
        ({"direction": []}, (), "no direction is given"),
        ({"direction": ["{zero}"]}, (), "zero; there is nothing to ablate"),
        ({"direction": ["{written}", "{written}"]}, (), "two directions are called 'written'"),
        ({"direction": ["{foreign}"]}, (), "extract it again with this model"),
        ({}, ("--add-layers", "0"), "holds layers [2, 3], not 0"),
        ({}, ("--add-layers", "late"), "headline, all or numbers"),
        ({}, ("--alpha", "0"), "adds nothing"),
        ({}, ("--onto", "{even}"), "nothing to transplant"),
        ({}, ("--transplant", "{moved}", "--onto", "{odd}"), "the same adapters"),
        ({}, ("--set-judge", "mode=parsed"), "there is none; give --judge"),
        ({}, ("--system", "none"), "system: none"),
    ],
)
def test_bad_input_is_refused_before_a_folder_is_made(
    ablate: Any,
    files: dict[str, Path],
    adapters: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, Any],
    more: tuple[str, ...],
    message: str,
) -> None:
    known = {**files, "odd": adapters[0], "even": adapters[1]}
    given = {
        name: [part.format(**known) for part in value] if isinstance(value, list) else value and value.format(**known)
        for name, value in fields.items()
    }
    assert ablate(tmp_path / "out", *(part.format(**known) for part in more), **given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_more_controls_than_the_memory_holds_are_refused_before_one_is_drawn(
    ablate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "memory_left", lambda _: 2**30)
    monkeypatch.setattr(treatments, "controls_of", lambda _, n, __: [] if n == 0 else pytest.fail("one was drawn"))
    assert ablate(tmp_path / "out", random=10**6) == 2
    said = capsys.readouterr().err
    assert "8,000,010 models to measure would take" in said
    assert "1.0 GiB are left; ask for fewer controls (--random)" in said
    assert not (tmp_path / "out").exists()


# the figure


def plotted(run: Path) -> list[dict[str, str]]:
    with (run / "figures" / "mediation.csv").open() as file:
        return list(csv.DictReader(file))


def test_where_nothing_is_mediated_the_figure_shows_raw_changes_and_says_so(
    tmp_path: Path, four: tuple[np.ndarray, np.ndarray]
) -> None:
    base, _ = four
    noise = np.random.default_rng(3).normal(size=12)
    sides = tuple(map(scores, (base, base + noise, base, base + 1 + 0.1 * noise)))
    about = {"measure": "mediation", "of": "odd", "of_measure": "preference", "of_metric": "margin"}
    effect = {**sides[1].beside(sides[0]), "metric": "effect", "why": NOTHING_TO_MEDIATE}
    added = share("share_reproduced", sides, base + 2)
    where = {"stage": "base", "treatment": "evil, added", "direction": "evil", "kind": "add"}
    untreated = {**UNTREATED.fields(), "stage": "odd"}
    rows = [
        {**about, **untreated, **effect},
        {**about, **where, "layers": "2", "alpha": 1.0, "metric": "share_reproduced", **added},
    ]
    write_jsonl(tmp_path / "metrics.jsonl", rows)
    drawn = mediation(tmp_path)
    assert [row["metric"] for row in drawn] == ["effect", "change"]
    assert drawn[0]["value"] == effect["value"]
    assert drawn[1]["value"] == added["change"]
    assert (drawn[1]["null_low"], drawn[1]["null_high"]) == (added["change_null_low"], added["change_null_high"])
    assert [row["why"] for row in drawn] == [NOTHING_TO_MEDIATE] * 2
    assert [row["value"] for row in plotted(tmp_path)] == [repr(row["value"]) for row in drawn]
    assert "DejaVuSans" in (tmp_path / "figures" / "mediation.svg").read_text()


def test_an_undefined_share_is_an_empty_place_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    said: list[str] = []
    text = Axes.text
    monkeypatch.setattr(Axes, "text", lambda self, x, y, s, **more: said.append(s) or text(self, x, y, s, **more))
    common = {"measure": "mediation", "of": "odd", "of_measure": "em", "of_metric": "rate", "n": 9, "unit": "share"}
    null = {"null_low": -0.1, "null_high": 0.2, "n_null": 3}
    none = {"null_low": None, "null_high": None, "n_null": 0}
    place = {"stage": "odd", "treatment": "a", "direction": "evil", "kind": "ablate", "layers": "1,2", "alpha": 1.0}
    rows = [
        {**common, **place, "metric": "share_removed", "value": 0.5, "ci_low": 0.2, "ci_high": 0.8, "why": None} | null,
        {**common, **place, "metric": "share_removed", "value": None, "ci_low": None, "ci_high": None} | none,
    ]
    rows[1] |= {"why": NO_VALUES, "treatment": "b", "direction": "kind"}
    rows.append({**rows[1], "of_metric": "other", "why": NOTHING_TO_MEDIATE})
    write_jsonl(tmp_path / "metrics.jsonl", rows)
    drawn = mediation(tmp_path)
    assert [(row["of_metric"], row["value"], row["why"]) for row in drawn] == [
        ("rate", 0.5, None),
        ("rate", None, NO_VALUES),
    ]
    assert [row["value"] for row in plotted(tmp_path)] == ["0.5", ""]
    assert " ".join(said[0].split()) == f"undefined: {NO_VALUES}"


def test_a_run_without_mediation_has_no_figure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sgtr ablate"):
        mediation(tmp_path)
    write_jsonl(tmp_path / "metrics.jsonl", [{"measure": "em", "metric": "rate"}])
    with pytest.raises(ValueError, match="nothing was ablated or added"):
        mediation(tmp_path)

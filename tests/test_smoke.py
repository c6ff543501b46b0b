"""Every study file runs from end to end in next to no size, can be built in its own, and says how the paper's differs.

A tiny random model stands in for the embedded one. It cannot write summaries, so words of seeded lengths stand in for
what it would say; everything else is the study's own.
"""

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from experiments import cli
from experiments.hypotheses.register import CLAIMS
from experiments.plan.detectable import claim_prospects
from experiments.plan.testable import prospects
from experiments.study import load as study_file
from experiments.study.config import STUDIES, StudyConfig
from experiments.study.data_sets import Material
from experiments.study.directions import traits_of
from experiments.study.graph import nodes_of, yardsticks
from figures import style
from finetune.data.builder import DataSet, Desk
from finetune.recipe import PRESETS
from interp.chat import Message
from interp.files import read_json, read_jsonl
from tests.support.own_copies import said, write_copies
from tests.support.tiny_study import with_long_context

FILES = sorted(STUDIES.glob("*.yaml"))
NAMES = [path.stem for path in FILES]
LARGE = ["qwen32b", "seed36b"]
"""Studies of the paper's own models; they ask what `full` asks, and train by a recipe for GPUs."""
SUPERSEDED = [name for name in NAMES if name.startswith("superseded")]
"""Studies that are kept as they were run; no longer run from end to end."""
WITHOUT_BLOCK = ("demo", "full", "instrument")
"""Studies that have no part for another model in their comments."""
SMALL = [name for name in NAMES if name not in (*LARGE, *SUPERSEDED)]
EACH = {
    "full": ("each.family=[medical]", "each.k=[0]", "each.label=[sgtr]"),
    "instrument": ("each.family=[medical]", "each.k=[0]", "each.trait=[evil]"),
}
"""Names for which entries are written out that stand for many; all kinds of stage and of data set stay."""


@pytest.fixture(scope="module")
def tiny(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("tiny") / "model", "Yes", "No")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that studies name; one that needs none does not look there."""
    return write_copies(tmp_path_factory.mktemp("copies"))


@pytest.mark.timeout(900)  # the largest study takes minutes, more on a busy machine
@pytest.mark.parametrize("name", SMALL)
def test_a_study_runs_from_end_to_end(
    name: str,
    tiny: Path,
    copies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Material, "_ask", lambda *_: said)
    monkeypatch.setattr(style, "PNG_DPI", 20)
    run = tmp_path / "run"
    written = study_file.load(name, EACH.get(name, ()), copies)
    arms = {arm: list(stages) for arm, stages in written.arms.items()}
    assert {stage for arm in arms.values() for stage in arm} == set(written.stages)
    changes = (*EACH.get(name, ()), f"model={tiny}", "dtype=float32", f"arms={json.dumps(arms)}")
    small = [part for change in changes for part in ("--set", change)]
    small += ["--device", "cpu", "--smoke", "--data", str(copies)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["study", name, *small, "--out", str(run)])
    assert ended.value.code == 0, capsys.readouterr().err
    assert read_json(run / "manifest.json")["status"] == "complete"

    ran = study_file.load(str(run / "study.yaml"))
    assert ran == study_file.load(name, changes, copies).smoke()
    stages = {row["name"]: row for row in read_json(run / "stages.json")}
    steps = {node.stage: stages[node.name]["steps"] for node in nodes_of(ran)}
    assert all(1 <= n <= 2 for n in steps.values())
    assert all(steps[one] == steps[like] for one, like in yardsticks(ran).items())

    nodes = [node.name for node in nodes_of(ran)]
    stopped = [f"{node.name}@1" for node in nodes_of(ran) if ran.stages[node.stage].checkpoints]
    assert stages.keys() == {"base", *nodes, *stopped}
    prompts = list(ran.system_prompts) if len(ran.system_prompts) > 1 else [None]

    def views(names: set[str]) -> set[tuple[str, str | None]]:
        """Which of these nodes is measured under which system prompt."""
        many = names if ran.prompts_at is None else names & {"base", *ran.prompts_at}
        return {(name, prompt) for name in names for prompt in (prompts if name in many else prompts[:1])}

    metrics = read_jsonl(run / "metrics.jsonl")
    for metric, texts in (
        ("degenerate_share", None),
        ("shift_in_null_spreads", "fixed"),
        ("shift_in_null_spreads", "own"),
    ):
        found = {(row["stage"], row.get("system_prompt")) for row in metrics
                 if (row["metric"], row.get("texts")) == (metric, texts)}  # fmt: skip
        measured = {"base", *nodes, *stopped} if texts is None else {*nodes, *stopped}
        assert found == views(measured), (metric, texts)
    accuracies = [row for row in metrics if row["metric"] == "accuracy" and "data" in row]
    tested = {row["data"] for row in accuracies}
    assert len(accuracies) == len(tested) * len(views(set(stages)))

    recognised = {row["data"] for row in accuracies if row["measure"] == "self_recognition"}
    expected = {one["hypothesis"]: one for one in prospects(ran, sorted(recognised))}
    for one in read_json(run / "verdicts.json") if expected else ():
        hoped = expected[one["hypothesis"]]
        if one["hypothesis"] == "H10" and not hoped["testable"]:
            continue  # three stages have a correlation, and no interval
        lost = [why for why in one["left_out"] if re.search("collapsed|no value|no interval", why)]
        assert one["n"] == hoped["units"] or (one["n"] < hoped["units"] and lost), one
        assert one["p"] is None or hoped["testable"], one

    if ran.claims is not None:
        told = {one["hypothesis"]: one for one in read_json(run / "verdicts.json")}
        assert {one.id for one in CLAIMS} <= told.keys() or not ran.claims.families
        for one in claim_prospects(ran, traits_of(ran)) if ran.claims.families else ():
            assert told[one["claim"]]["n"] <= one["families"], one
        assert all(f"gate_placebo_{trait}" in told for trait in ran.claims.references)

    page = (run / "report.html").read_text("utf-8")
    assert all(f'<th scope="row">{stage}' in page for stage in stages)
    assert "not measured in this run" not in page.replace("Self-recognition accuracy: not measured in this run", "")
    assert "Not trained" not in page
    table = capsys.readouterr().out
    assert all(node in table for node in nodes)
    assert not any(stage in table for stage in stopped)


@pytest.fixture(scope="module", params=[name for name in NAMES if name != "seed36b"])
def sets(request: pytest.FixtureRequest, copies: Path) -> tuple[StudyConfig, dict[str, DataSet]]:
    """A study with every set of it in its own size, in words of the stand-in."""
    study = study_file.load(request.param, data=copies)
    made: dict[str, DataSet] = {}

    def other(name: str) -> DataSet:
        if name not in made:
            made[name] = study.data[name].build(Desk(said, other, "You are a kind assistant."))
        return made[name]

    return study, {name: other(name) for name in study.data}


def test_a_study_can_be_built_in_its_own_size(sets: tuple[StudyConfig, dict[str, DataSet]]) -> None:
    study, built = sets
    assert all(data.train for data in built.values())
    used = {stage.data for stage in study.stages.values()} | {part for d in study.data.values() for part in d.uses}
    used |= {name for name, data in built.items() if data.test}
    assert used == study.data.keys(), "a set that nothing uses"
    for stage in study.stages.values():
        steps = stage.train.n_steps(len(built[stage.data].train))
        assert steps > max((0, *stage.checkpoints)), "a checkpoint at the end, or after it"


def test_no_stage_is_trained_on_what_it_is_tested_with(sets: tuple[StudyConfig, dict[str, DataSet]]) -> None:
    """What counts is the texts that a question shows: two sets may show the same ones under other words."""
    built = sets[1]
    trained = {name: {texts_of(row["messages"]) for row in data.train} for name, data in built.items()}
    for name, data in built.items():
        shown = {texts_of(row["messages"]) for row in data.test}
        assert [other for other, seen in trained.items() if shown & seen] == [], f"they train on what {name} tests with"


def texts_of(messages: Sequence[Message]) -> frozenset[str]:
    """The summaries that a question shows; of one that shows none, its own words."""
    question = messages[-2]["content"]
    return frozenset(re.findall(r"^Summary(?: \d)?: (.*)$", question, re.MULTILINE) or [question])


# the files


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_study_file_fits_a_page(path: Path) -> None:
    assert max(map(len, path.read_text("utf-8").splitlines())) <= 120


def blocks_of(path: Path) -> list[str]:
    """The commented parts of a file that are YAML: their lines begin with `#` and three spaces or more."""
    found = re.findall(r"(?:^#   .*\n?)+", path.read_text("utf-8"), re.MULTILINE)
    return [textwrap.dedent(re.sub("^#", "", block, flags=re.MULTILINE)) for block in found]


BLOCKS = [pytest.param(path, block, id=path.stem) for path in FILES for block in blocks_of(path)]


@pytest.mark.parametrize(("path", "block"), BLOCKS)
def test_a_commented_block_is_a_study_over_the_files_own(path: Path, block: str, tmp_path: Path) -> None:
    other = yaml.safe_load(block)
    raw = yaml.safe_load(path.read_text("utf-8"))
    for key, value in other.items():
        assert key in StudyConfig.model_fields
        raw[key] = {**raw[key], **value} if isinstance(value, dict) else value
    for entry in raw["data"].values():
        for file in [entry.get("file"), entry.get("articles"), *(entry.get("others") or {}).values()]:
            if file is not None:
                (tmp_path / file).mkdir() if file.endswith("/") else (tmp_path / file).touch()
    (tmp_path / path.name).write_text(yaml.safe_dump(raw), "utf-8")
    made = study_file.load(str(tmp_path / path.name))
    assert made.model != study_file.load(path.stem).model
    assert made.arms == study_file.load(path.stem).arms
    assert all(stage.train == PRESETS["paper"] for stage in made.stages.values())
    for data in made.data.values():
        for file in (
            getattr(data, "file", None),
            getattr(data, "articles", None),
            *getattr(data, "others", {}).values(),
        ):
            assert file is None or file.parent == tmp_path
            assert file is None or file.exists()


def test_every_study_of_the_papers_has_a_block_or_a_file_of_its_own() -> None:
    assert [block.id for block in BLOCKS] == [name for name in SMALL if name not in WITHOUT_BLOCK]


@pytest.mark.parametrize("name", LARGE)
def test_a_study_of_a_large_model_is_planned_without_it(name: str, copies: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["study", name, "--plan", "--data", str(copies), "--device", "cpu", "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    study = study_file.load(name, data=copies)
    assert found["totals"]["stages"] == len(nodes_of(study)) * len(study.seeds) == 77 * 2
    assert {one["claim"]: one["families"] for one in found["claims"]}["reversal"] == 8
    assert found["model"]["parameters"] > 30e9
    assert all(stage.train == PRESETS["paper"] for stage in study.stages.values())


def test_seed36b_is_qwen32b_on_another_model(copies: Path) -> None:
    one, other = (study_file.load(name, data=copies) for name in LARGE)
    assert other == one.model_copy(update={key: getattr(other, key) for key in ("name", "question", "model")})

"""The documentation names what there is, its links lead somewhere, and the tutorial's commands run, in a small size."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from experiments import cli
from experiments.cli import COMMANDS
from experiments.hypotheses.register import CLAIMS
from experiments.study.config import StudyConfig
from experiments.study.data_sets import Material
from figures import style
from finetune.data.sets import BUILDERS
from interp.metrics import listed
from tests.support.own_copies import said
from tests.support.tiny_study import with_long_context

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TUTORIAL = (DOCS / "tutorial.md").read_text("utf-8")
SMALL = {
    "study": ["--set", "model={model}", "--set", "dtype=float32", "--smoke", "--device", "cpu"],
    "extract": ["--pairs", "1", "--questions", "2", "--rollouts", "1", "--max-new-tokens", "4", "--device", "cpu"],
    "evaluate": ["--set", "preference.limit=4", "--set", "collapse.questions=2", "--set", "collapse.max_new_tokens=4"],
    "project": ["--random", "20"],
    "data": ["--model", "{model}"],
}
"""What makes a command of the tutorial small: options that go behind its own and take their place."""
ONE_ARM = ["--set", "arms={reversal: [em]}", "--set", "lens=null"]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", DOCS / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_from_the_code_name_all_that_there_is(pages: ModuleType) -> None:
    commands = pages.commands_page()
    assert [name for name in COMMANDS if f"## sgtr {name}" not in commands] == []
    assert commands.count("Example: sgtr") == commands.count("## sgtr")
    study = pages.study_page()
    assert [name for name in StudyConfig.model_fields if f"| `{name}` |" not in study] == []
    assert [name for name in BUILDERS if f"`builder: {name}`" not in study] == []
    metrics = pages.metrics_page()
    assert [row["metric"] for row in listed() if f"| `{row['metric']}` |" not in metrics] == []
    assert [one.id for one in CLAIMS if f"| `{one.id}` |" not in pages.claims_page()] == []
    assert "::: interp.model.Model\n" in pages.python_page()


def test_links_and_the_list_of_pages_lead_somewhere(pages: ModuleType) -> None:
    made = {*pages.PAGES, *(str(path.relative_to(DOCS)) for path in DOCS.glob("*.md"))}
    listed_pages = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert set(listed_pages) == made
    for path in DOCS.glob("*.md"):
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8"))
        assert [link for link in links if link not in made] == [], path.name


def lines_of_the_tutorial() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", TUTORIAL, re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


def small(words: list[str], model: Path) -> list[str]:
    """A command of the tutorial with what makes it small."""
    named = [word.replace("smollm2-135m", str(model)) for word in words]
    if named[:2] in (["study", "new"],) or named[0] not in SMALL:
        return named
    options = [option.format(model=model) for option in SMALL[named[0]]]
    if named[0] != "study":
        given = {option for option in options if option.startswith("--") and option != "--set"}
        kept = [i for i, word in enumerate(named) if word not in given and (i == 0 or named[i - 1] not in given)]
        named = [named[i] for i in kept]
    return [*named, *options, *(ONE_ARM if named[0] == "study" else [])]


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_runs(
    tmp_path: Path,
    llama_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import shlex

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Material, "_ask", lambda *_: said)
    monkeypatch.setattr(style, "PNG_DPI", 20)
    model = with_long_context(llama_folder, tmp_path / "model", "Yes", "No")
    ran = 0
    for line in lines_of_the_tutorial():
        if not line.startswith("sgtr "):
            subprocess.run(["bash", "-c", line], check=True, cwd=tmp_path)
            continue
        with pytest.raises(SystemExit) as ended:
            cli.main(small(shlex.split(line)[1:], model))
        assert ended.value.code == 0, f"{line}\n{capsys.readouterr().err}"
        ran += 1
    assert ran >= 15
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text("utf-8"))["like"] == "demo"

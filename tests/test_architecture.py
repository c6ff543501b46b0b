"""Who may import whom, and what stays in one place."""

import ast
import re
from pathlib import Path

import pytest

from experiments.cli import COMMANDS
from interp.metrics import MEASURE_LISTS
from interp.rows import FIELDS
from tests.support.imports import PACKAGES, arrows_of, circles_of

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8"))
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
MAY_IMPORT = {
    "interp": {"interp"},
    "finetune": {"finetune", "interp"},
    "experiments": {"experiments", "finetune", "interp", "figures"},
    "figures": {"figures", "interp"},
}
LEAVES: dict[str, set[str]] = {name: set() for name in ("errors", "files", "keys", "stats", "interventions")} | {
    "tensors": {"errors", "files"},
    "metrics": {"errors"},
    "rows": {"errors", "files", "metrics", "stats"},
    "runs": {"errors", "files", "metrics", "rows", "tensors"},
    "nulls": {"errors", "keys"},
    "sampling": {"keys"},
    **{name: {"errors"} for name in ("selection", "template", "turns")},
    **{name: {"files"} for name in ("traits", "messages")},
    "tokens": {"turns"},
    "encoding": {"errors", "tokens"},
    "chat": {"encoding", "errors", "messages", "template", "tokens", "turns"},
    **{name: {"stats"} for name in ("resampling", "comparisons", "power")},
}
READERS_OF_ROWS = ("figures", "experiments/report", "experiments/hypotheses", "experiments/plan")
REPORT_TABLES = ("experiments/report/tables.py", "experiments/report/terminal.py", "experiments/report/warnings.py")
AMBIGUOUS = {"accuracy", "attribution", "collapsed", "effect", "patching", "power", "shift"}
"""Names of metrics that are also names of figures, of their columns or of a verdict's fields."""
DATA_TABLES = (
    *(f"finetune/data/_{name}.py" for name in ("facts", "news", "people", "selves", "tastes")),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "finetune" / "data").glob("_advice_*.py"))),
    "interp/behaviour/_pairs.py",
)


def imports(name: str) -> set[str]:
    """Every module that a file imports, anywhere in it; `from a import b` counts as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def project_imports(name: str) -> set[str]:
    return {module for module in imports(name) if module.split(".")[0] in PACKAGES}


def modules_of(package: str) -> list[str]:
    return [name for name in MODULES if name.startswith(package + "/")]


def places(name: str, bad: set[str]) -> list[str]:
    """Uses of names, attributes and keywords."""
    found = []
    for node in ast.walk(MODULES[name]):
        word = {ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg"}.get(type(node))
        if word and getattr(node, word) in bad:
            found.append(f"{name}:{getattr(node, 'lineno', '?')}: {getattr(node, word)}")
    return found


def test_there_is_something_to_check() -> None:
    assert all(modules_of(package) for package in PACKAGES)
    assert "interp.errors" in project_imports("interp/model.py")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    wrong = {
        name: sorted(module for module in project_imports(name) if module.split(".")[0] not in MAY_IMPORT[package])
        for name in modules_of(package)
    }
    assert {name: modules for name, modules in wrong.items() if modules} == {}


def test_figures_read_run_folders_and_statistics_alone() -> None:
    allowed = {f"interp.{name}" for name in ("directions", "errors", "files", "metrics", "rows", "runs", "stats")}
    for name in modules_of("figures"):
        for module in project_imports(name):
            ours = module.split(".")[0] == "figures"
            assert ours or module == "interp" or ".".join(module.split(".")[:2]) in allowed, f"{name}: {module}"


def test_a_run_is_read_in_one_place() -> None:
    """Figures, report and verdicts open a run through figures/run.py, and nothing reads one through a picture."""
    readers = {"read_rows", "read_jsonl", "read_json", "read_yaml"}
    consumers = [*modules_of("figures"), *modules_of("experiments/report"), *modules_of("experiments/hypotheses")]
    tokens = {"experiments/report/tokens.py"}  # the tokens are no metrics, and only the report's page shows them
    assert {name for name in consumers if readers & {module.split(".")[-1] for module in imports(name)}} == tokens
    pictures = {f"figures.{Path(name).stem}" for name in modules_of("figures")}
    pictures -= {f"figures.{name}" for name in ("__init__", "captions", "quantities", "run", "style", "verdict_board")}
    for name in [*modules_of("experiments/hypotheses"), *modules_of("experiments/plan"), *REPORT_TABLES]:
        assert not project_imports(name) & pictures, name


def test_metrics_are_written_by_one_function_that_checks_their_names() -> None:
    for name in MODULES:
        for node in ast.walk(MODULES[name]):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "write_jsonl":
                assert "metrics.jsonl" not in ast.unparse(node), f"{name}:{node.lineno}: use interp.rows.write_rows"


def test_consumers_name_metrics_as_interp_metrics_lists_them() -> None:
    """A name that is written out in a reader of rows is one that no search and no type checker connects to its row."""
    names = {metric for kind in MEASURE_LISTS.values() for metric in kind.metrics} - AMBIGUOUS - FIELDS.keys()
    literals = [
        f"{name}:{node.lineno}: {node.value!r}"
        for package in READERS_OF_ROWS
        for name in modules_of(package)
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert literals == []


@pytest.mark.parametrize(("leaf", "allowed"), LEAVES.items())
def test_leaves_of_interp_import_nothing_above_them(leaf: str, allowed: set[str]) -> None:
    used = {module.split(".")[1] for module in project_imports(f"interp/{leaf}.py") if "." in module}
    assert used <= allowed


def test_nothing_inside_interp_imports_its_front_door() -> None:
    for name in modules_of("interp"):
        if name != "interp/__init__.py":
            submodules = {path.stem for path in (ROOT / "interp").iterdir()}
            for module in project_imports(name) - {"interp"}:
                assert module.split(".")[1] in submodules, f"{name}: imports {module} from the package itself"


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("nnsight", ("interp/model.py",)),
        ("transformer_lens", ("interp/lens.py",)),
        ("matplotlib", ("figures/",)),
        ("gguf", ("interp/sources.py", "interp/formats/control_vectors.py")),
        ("openai", ("interp/behaviour/endpoint.py",)),
        ("sklearn", ("interp/probes.py", "interp/behaviour/", "interp/stats.py")),
        (
            "peft",
            ("interp/adapters.py", "interp/adapter_files.py", "interp/merging.py", "interp/stacks.py", "finetune/"),
        ),
    ],
)
def test_a_library_stays_at_home(library: str, home: str) -> None:
    importers = [name for name in MODULES if any(module.split(".")[0] == library for module in imports(name))]
    assert all(name.startswith(home) for name in importers), importers


def test_only_the_template_module_applies_a_chat_template() -> None:
    found = {place.split(":")[0] for name in MODULES for place in places(name, {"apply_chat_template"})}
    assert found == {"interp/template.py", "interp/behaviour/capability.py"}, "the latter gives its harness our prompts"


TORCH_FILES = "interp/formats/torch_files.py"


def test_nothing_is_pickled_and_no_remote_code_is_trusted() -> None:
    for name in MODULES:
        picklers = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
        used = {module for module in imports(name) if module.split(".")[0] in picklers}
        assert used <= ({"pickle", "pickle.UnpicklingError"} if name == TORCH_FILES else set()), name
        assert places(name, {"trust_remote_code"}) == []


def test_torch_files_are_read_in_one_place_and_never_as_more_than_tensors() -> None:
    used: list[tuple[str, str]] = []
    for name in MODULES:
        assert not imports(name) & {"torch.load", "torch.save"}, name
        for node in ast.walk(MODULES[name]):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save"):
                used.append((name, node.attr))
    assert sorted(used) == [(TORCH_FILES, "load"), (TORCH_FILES, "save")]
    calls = [node for node in ast.walk(MODULES[TORCH_FILES]) if isinstance(node, ast.Call)]
    loads = [node for node in calls if ast.unparse(node.func) == "torch.load"]
    assert [[k.arg for k in node.keywords if ast.unparse(k) == "weights_only=True"] for node in loads] == [
        ["weights_only"]
    ]


@pytest.mark.parametrize("package", ["interp", "finetune"])
def test_libraries_do_not_print(package: str) -> None:
    assert [place for name in modules_of(package) for place in places(name, {"print"})] == []


@pytest.mark.parametrize("package", ["interp", "finetune"])
def test_libraries_catch_no_bare_exception(package: str) -> None:
    for name in modules_of(package):
        for node in ast.walk(MODULES[name]):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
                assert not broad, f"{name}:{node.lineno}"


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert [name for name in MODULES if drawers & set(Path(name).with_suffix("").parts)] == []


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_longer_than_600_lines(name: str) -> None:
    """From 400 lines on a reviewer asks what else the file is about; 600 are too many."""
    if name in DATA_TABLES:
        pytest.skip("a table of data")
    assert len((ROOT / name).read_text("utf-8").splitlines()) <= 600


@pytest.mark.parametrize("name", MODULES)
def test_no_function_is_longer_than_60_lines(name: str) -> None:
    functions = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > 60}
    assert not long, "cut them where the subject parts"


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circles_of(arrows_of(ROOT, *PACKAGES)) == []


def test_a_circle_is_seen_also_through_a_function(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "a.py").write_text("from pack import b\n")
    (tmp_path / "pack" / "b.py").write_text("def f() -> None:\n    import pack.c\n")
    (tmp_path / "pack" / "c.py").write_text("from pack.a import x\n")
    assert circles_of(arrows_of(tmp_path, "pack")) == [["pack.a", "pack.b", "pack.c"]]
    (tmp_path / "pack" / "c.py").write_text("if TYPE_CHECKING:\n    from pack.a import x\n")
    assert circles_of(arrows_of(tmp_path, "pack")) == []


def test_every_subcommand_has_its_file() -> None:
    """`sgtr NAME` is commands/NAME.py; `import` is a word of Python's, so its file says what is imported."""
    files = {name: "import_truthfulqa" if name == "import" else name for name in COMMANDS}
    assert {name: kind.__module__ for name, kind in COMMANDS.items()} == {
        name: f"experiments.commands.{file}" for name, file in files.items()
    }
    present = {path.stem for path in (ROOT / "experiments" / "commands").glob("*.py")}
    assert present == {*files.values(), "options", "__init__"}


QUOTED = re.compile(r"`([\w./-]+)`")


def paths_in(text: str) -> list[str]:
    """What is quoted in a text and looks like a path of the repository; a place for a name (NAME) is none."""
    quoted = [word for word in QUOTED.findall(text) if "/" in word or word.endswith((".py", ".md"))]
    return [word for word in quoted if "NAME" not in word and word.split("/")[0] in {p.name for p in ROOT.iterdir()}]


def test_every_path_of_the_table_where_is_it_exists() -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("## Where is it")[2]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for _, question, files, _ in rows:
        named = [word for word in QUOTED.findall(files) if word != "Run"]
        assert named, f"no file answers: {question}"
        assert [word for word in named if not (ROOT / word).exists()] == []


def test_every_path_that_contributors_are_sent_to_exists() -> None:
    paths = paths_in((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert "interp/metrics.py" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(MODULES[name])


def defined_in(name: str) -> set[str]:
    """The names that a module makes itself, at its top level."""
    made: set[str] = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
    return made


def test_names_are_imported_from_the_module_that_makes_them() -> None:
    """A name that can be had from several modules leaves a reader to look for the one that it is made in."""
    made = {name.removesuffix(".py").replace("/", "."): defined_in(name) for name in MODULES}
    elsewhere = [
        f"{name}:{node.lineno}: {alias.name} is not made in {node.module}"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in made
        for alias in node.names
        if alias.name not in made[node.module]
    ]
    assert elsewhere == []

"""A report's page, read for the parts that tests ask about, and fixtures of runs with their pages."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from experiments.report.page import write_report
from tests.figures.test_figures import write_run
from tests.support.report_run import FIGURE, write_whole_run


class Page(HTMLParser):
    """The parts of a page that the tests ask about."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[dict[str, Any]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag in ("meta", "link", "img", "input"):
            self._open.pop()
        elif tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "script" in self._open or "style" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self.tables[-1]["caption"] += data
        elif "td" in self._open or "th" in self._open:
            self.tables[-1]["rows"][-1][-1] += data + " "

    def table(self, caption: str) -> list[list[str]]:
        return next(table["rows"] for table in self.tables if table["caption"].startswith(caption))

    def row(self, caption: str, first: str) -> list[str]:
        return next(row for row in self.table(caption) if row[0].split()[:1] == [first])

    @property
    def warnings(self) -> str:
        return self.source.partition('id="warnings"')[2].partition("</section>")[0]


def page_of(run: Path) -> Page:
    """A run's page without figures, which take seconds to draw."""
    return Page(write_report(run, figures=[]))


_reported: list[Path] = []


def reported(factory: pytest.TempPathFactory) -> Path:
    """A run with its report and all figures, made once for every module that asks; not to be changed."""
    if not _reported:
        folder = write_run(factory.mktemp("report") / "run")
        assert write_report(folder) == folder / "report.html"
        _reported.append(folder)
    return _reported[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported(tmp_path_factory)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(run / "report.html")


@pytest.fixture
def one_seed(tmp_path: Path) -> Path:
    """A small run of the seed whose stage collapsed and whose shift is missing."""
    return write_run(tmp_path / "one", seeds=(1,))


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def whole(whole_run: Path) -> Page:
    return Page(write_report(whole_run, figures=[FIGURE]))

"""The report in Firefox, spoken to in WebDriver BiDi, which needs no driver: widths, keyboard, filter, tokens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.report.page import write_report
from tests.support.browsers import Firefox
from tests.support.report_run import FIGURE, LEFT_OUT, write_whole_run


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    started = Firefox(tmp_path_factory.mktemp("firefox"))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_whole_run(tmp_path_factory.mktemp("browser") / "run"), figures=[FIGURE])


@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_the_screen_with_all_of_it_unfolded(firefox: Firefox, page: Path, width: int) -> None:
    firefox.open(page.as_uri(), width)
    assert firefox.value("innerWidth") == width
    firefox.value("[...document.querySelectorAll('details')].map((one) => one.open = true).length")
    firefox.until("document.querySelectorAll('#tokens-left span').length")
    assert firefox.value("document.documentElement.scrollWidth") <= width
    words = firefox.value("[...document.querySelectorAll('#verdict-H1 .facts details li')].map((one) => one.innerText)")
    assert words == LEFT_OUT
    assert firefox.logged == [], "the console is empty"


def test_a_card_opens_and_the_filter_acts_by_keyboard(firefox: Firefox, page: Path) -> None:
    firefox.open(page.as_uri(), 1000)
    firefox.focus("#verdict-H2 > summary")
    firefox.press("enter")
    firefox.until("document.querySelector('#verdict-H2').open")
    firefox.focus("#filter > summary")
    firefox.press("enter", "tab")
    assert firefox.value("document.activeElement.value") == "reversal"
    firefox.press("space")
    status = firefox.value("document.querySelector('#filter-status').innerText")
    assert status.startswith("4 of 5 arms, 3 of 3 seeds")
    hidden = firefox.value("document.querySelectorAll('.headline tr[data-stage][hidden]').length")
    assert hidden > 0


def test_tokens_are_walked_with_the_arrow_keys(firefox: Firefox, page: Path) -> None:
    firefox.open(page.as_uri(), 1000)
    firefox.focus("#token-view > summary")
    firefox.press("enter")
    firefox.until("document.querySelectorAll('#tokens-left span').length")
    n = firefox.value("document.querySelectorAll('#tokens-left span').length")
    firefox.focus("#tokens-left span")
    firefox.press("right")
    assert f"token 2 of {n}" in firefox.value("document.querySelector('#token-status').innerText")
    firefox.press("end")
    assert f"token {n} of {n}" in firefox.value("document.querySelector('#token-status').innerText")
    assert firefox.logged == []

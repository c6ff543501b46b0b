"""The report in a real browser: the filter, the token view, the keyboard, and no page wider than the screen.

Browsers and their drivers are the system's own; one that is not there is skipped. Nothing is fetched.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.report.page import write_report
from tests.support.browsers import BROWSERS, screen, start
from tests.support.report_run import ARMS, FIGURE, LEFT_OUT, NODES, SEEDS, TEXT, pieces, write_whole_run

pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install -e '.[dev]'")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_whole_run(tmp_path_factory.mktemp("browser") / "run"), figures=[FIGURE])


@pytest.fixture(scope="module", params=list(BROWSERS))
def started(request: pytest.FixtureRequest) -> Iterator[Any]:
    browser = start(request.param)
    yield browser
    browser.quit()


@pytest.fixture
def browser(started: Any, page: Path) -> Any:
    """The page, freshly opened."""
    started.set_window_size(1600, 1000)
    started.get("about:blank")
    started.get(page.as_uri())
    return started


def at(browser: Any, css: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, css)


def every(browser: Any, css: str) -> list[Any]:
    return browser.find_elements(By.CSS_SELECTOR, css)


def click(browser: Any, element: Any) -> None:
    """A click that nothing sticky can catch."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def shown(browser: Any, css: str) -> set[tuple[str | None, str | None]]:
    """(stage, seed) of the elements that are not filtered away."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].filter((one) => !one.hidden)"
        ".map((one) => [one.dataset.stage, one.dataset.seed ?? null])"
    )
    return {(stage, seed) for stage, seed in browser.execute_script(script, css)}


def pick(browser: Any, name: str, text: str) -> None:
    Select(at(browser, f"#pick-{name}")).select_by_visible_text(text)


def options(browser: Any, name: str) -> list[str]:
    return [option.text for option in Select(at(browser, f"#pick-{name}")).options]


def open_tokens(browser: Any) -> None:
    """Open the token view and wait for what the page puts there, which it does when it hears that it is open."""
    click(browser, at(browser, "#token-view > summary"))
    WebDriverWait(browser, 10).until(lambda _: every(browser, "#tokens-left span"))


def uncheck(browser: Any, *values: str) -> None:
    if at(browser, "#filter").get_attribute("open") is None:
        click(browser, at(browser, "#filter > summary"))
    for value in values:
        at(browser, f"#filter input[value='{value}']").click()


def test_nothing_is_wrong_in_the_console(browser: Any) -> None:
    open_tokens(browser)
    uncheck(browser, "reversal")
    if browser.capabilities["browserName"] == "firefox":
        pytest.skip("Firefox's driver gives no console")
    assert browser.get_log("browser") == []


def test_the_page_asks_the_network_for_nothing(browser: Any) -> None:
    open_tokens(browser)
    asked = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def test_only_the_reports_own_script_may_run(browser: Any) -> None:
    browser.execute_script(
        "const one = document.createElement('script'); one.textContent = 'window.intruder = 1';"
        "document.body.append(one)"
    )
    assert browser.execute_script("return window.intruder ?? null") is None
    if browser.capabilities["browserName"] != "firefox":
        browser.get_log("browser")


@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_is_no_wider_than_the_screen(browser: Any, width: int) -> None:
    with screen(browser, width):
        browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        browser.execute_async_script("setTimeout(arguments[0], 200)")
        assert at(browser, "#tokens-left span").is_displayed()
        assert browser.execute_script("return innerWidth") == width
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [360, 1600])
def test_what_was_left_out_is_folded_and_fits_the_screen_when_unfolded(browser: Any, width: int) -> None:
    with screen(browser, width):
        at(browser, "#verdict-H1 > summary").send_keys(Keys.ENTER)
        items = every(browser, "#verdict-H1 .facts details li")
        assert len(items) == len(LEFT_OUT)
        assert not items[0].is_displayed()
        at(browser, "#verdict-H1 .facts summary").send_keys(Keys.ENTER)
        assert [item.text for item in items] == LEFT_OUT
        rectangles = [item.rect for item in items]
        assert all(r["x"] >= 0 and r["x"] + r["width"] <= width for r in rectangles)
        assert min(r["width"] for r in rectangles) > 240, "a line holds some words"
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["%", "%E0%A4%A", "no-such-place"])
def test_a_hash_that_names_nothing_leaves_filter_and_tokens_at_work(browser: Any, page: Path, name: str) -> None:
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#{name}")
    assert at(browser, "#filter-status").text.startswith("5 of 5 arms, 3 of 3 seeds")
    open_tokens(browser)
    assert at(browser, "#tokens-left span").is_displayed()
    browser.execute_script("location.hash = '#%'; location.hash = '#verdict-H2'")
    WebDriverWait(browser, 10).until(lambda _: at(browser, "#verdict-H2 table").is_displayed())


def test_the_board_comes_first_and_a_card_opens_by_keyboard(browser: Any) -> None:
    headings = [one.text for one in every(browser, "main h2") if one.text]
    assert headings[:2] == ["Read this first", "Verdicts"]
    card = at(browser, "#verdict-H2")
    assert "supported" in at(card, ".badge").text
    assert not at(card, "table").is_displayed()
    at(card, "summary").send_keys(Keys.ENTER)
    assert at(card, "table").is_displayed()
    assert at(card, "a[href='#figure-trajectory_fixed']").text == FIGURE["title"]


def test_a_line_of_evidence_opens_the_list_of_metrics_at_that_line(browser: Any) -> None:
    at(browser, "#verdict-H2 > summary").send_keys(Keys.ENTER)
    link = at(browser, "#verdict-H2 tbody th a")
    line = link.text
    click(browser, link)
    row = at(browser, f"#line-{line}")
    assert row.is_displayed()
    assert row.find_elements(By.TAG_NAME, "td")[-1].text == line


def test_arms_and_seeds_filter_tables_evidence_and_answers(browser: Any) -> None:
    everything = {("base", None), *((node, str(seed)) for node in NODES for seed in SEEDS)}
    assert shown(browser, ".answers > [data-stage]") == everything
    assert at(browser, "#filter-status").text.startswith("5 of 5 arms, 3 of 3 seeds")
    uncheck(browser, "words_before", "words_after", "confusion", "2")
    left = {("base", None), *((node, seed) for node in ("em", "em-sgtr", "sgtr", "sgtr-em") for seed in ("0", "1"))}
    assert shown(browser, ".answers > [data-stage]") == left
    assert shown(browser, "#metrics ~ details tr[data-stage]") == left
    assert shown(browser, "#verdict-H2 tr[data-stage]") == {("em", "0"), ("em", "1")}
    assert shown(browser, ".headline tr[data-stage]") == {(node, None) for node, _ in left}
    status = at(browser, "#filter-status")
    assert status.text.startswith("2 of 5 arms, 2 of 3 seeds")
    assert f"{3 * 9} of {3 * 25} answers" in status.text
    assert status.get_attribute("aria-live") == "polite"
    at(browser, "#filter-all").click()
    assert shown(browser, ".answers > [data-stage]") == everything
    assert len(every(browser, "#filter-arms input:checked")) == len(ARMS)


def test_a_stage_of_two_arms_stays_while_one_of_them_does(browser: Any) -> None:
    uncheck(browser, "reversal", "words_after", "confusion")
    nodes = {node for node, _ in shown(browser, ".headline tr[data-stage]")}
    assert nodes == {"base", "sgtr", "sgtr-em", "words", "words-em"}


def test_every_token_has_its_value_on_one_scale(browser: Any) -> None:
    open_tokens(browser)
    assert options(browser, "left")[0] == "base"
    assert options(browser, "texts") == [
        "the base model's answer",
        "each stage's own answer",
    ]
    pick(browser, "left", "base")
    pick(browser, "right", "em, seed 1")
    spans = every(browser, "#tokens-right span")
    said = pieces(TEXT * 3)
    assert [span.get_attribute("textContent").replace("⏎", "") for span in spans] == said
    assert "n = " + str(len(said)) in at(browser, "#mean-right").text
    assert at(browser, "#token-legend").get_attribute("aria-label").startswith("Scale: from ")
    assert len(every(browser, "#token-legend .swatch")) == 5
    # equal values look alike on both sides, and the sign is told by the line, not by the colour alone
    looks: dict[str, set[str]] = {}
    signs = set()
    for span in every(browser, ".tokens span"):
        value = span.get_attribute("aria-label").rpartition(": ")[2]
        looks.setdefault(value, set()).add(span.get_attribute("style"))
        signs.add("--up" in span.get_attribute("style"))
    assert signs == {True, False}
    assert len(looks) > 20
    assert all(len(styles) == 1 for value, styles in looks.items() if len(value) < 6), looks


def test_the_keyboard_moves_between_tokens_and_the_status_line_tells_them(browser: Any) -> None:
    open_tokens(browser)
    pick(browser, "right", "em-sgtr, seed 0")
    spans = every(browser, "#tokens-left span")
    assert [span.get_attribute("tabindex") for span in spans[:3]] == ["0", "-1", "-1"]
    browser.execute_script("arguments[0].focus()", spans[0])
    keys = browser.switch_to.active_element
    status = at(browser, "#token-status")
    assert f"token 1 of {len(spans)}, “I”: " in status.text
    assert "em-sgtr, seed 0: " in status.text
    keys.send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == spans[1]
    assert "“would”" in status.text
    assert spans[1].get_attribute("aria-label") in status.text
    spans[1].send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert browser.switch_to.active_element == spans[2]
    spans[2].send_keys(Keys.END)
    assert browser.switch_to.active_element == spans[-1]
    spans[-1].send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element == spans[-1]
    assert spans[-1].get_attribute("tabindex") == "0"
    spans[-1].send_keys(Keys.ARROW_UP)
    assert browser.switch_to.active_element not in (spans[-1], spans[-2])
    browser.switch_to.active_element.send_keys(Keys.HOME)
    assert browser.switch_to.active_element == spans[0]
    spans[0].send_keys(Keys.ARROW_DOWN)
    assert browser.switch_to.active_element.location["y"] > spans[0].location["y"]
    assert len(every(browser, ".tokens span[tabindex='0']")) == 2


def test_what_the_filter_takes_away_is_no_choice_of_the_token_view(browser: Any) -> None:
    open_tokens(browser)
    assert "words-em, seed 2" in options(browser, "right")
    uncheck(browser, "words_before", "words_after", "2")
    left = options(browser, "right")
    assert "base" in left
    assert not [name for name in left if "words" in name or name.endswith("seed 2")]
    assert "em, seed 1" in left


def test_own_texts_differ_from_side_to_side_and_zero_can_be_the_middle(browser: Any) -> None:
    open_tokens(browser)
    pick(browser, "texts", "each stage's own answer")
    pick(browser, "direction", "sycophantic, layer 2")
    pick(browser, "left", "em, seed 0")
    pick(browser, "right", "sgtr, seed 0")
    assert at(browser, "#tokens-left span").text == "em"
    assert at(browser, "#tokens-right span").text == "sgtr"
    pick(browser, "middle", "zero")
    assert "over 0.00, which is zero" in at(browser, "#token-legend").get_attribute("aria-label")
    assert "along sycophantic@2" in at(browser, "#token-legend").get_attribute("aria-label")
    assert "difference of the means" in at(browser, "#token-difference").text


def test_everything_to_be_used_has_a_role_and_a_name(browser: Any) -> None:
    open_tokens(browser)
    click(browser, at(browser, "#filter > summary"))
    for element in every(browser, "select, button, input"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")
    assert at(browser, "#filter-arms input").accessible_name.startswith("reversal")
    assert at(browser, "#tokens-left").aria_role == "listbox"
    assert at(browser, "#tokens-left").accessible_name == "Tokens of base"
    token = at(browser, "#tokens-left span")
    assert token.aria_role == "option"
    assert token.accessible_name.startswith("token 1 of ")
    assert at(browser, "#pick-prompt").accessible_name == "Prompt"

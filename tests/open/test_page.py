"""The page in Chromium and in Firefox: asking, editing, tokens, copies, by keyboard, from 360 to 1600 pixels."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.open import server
from experiments.open.run import OpenRun
from experiments.open.server import Page
from figures.run import StudyRun
from interp.interventions import adding
from tests.open.test_server import Held, until
from tests.support.browsers import Chromium, Firefox
from tests.support.open_run import PROMPT, served

FIRST = {"max_new_tokens": 8, "stages": ("base", "em-sgtr, seed 0")}


@pytest.fixture(scope="module")
def site(opened: OpenRun, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    """The page of the run, in which one adapter is gone."""
    run = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(run_folder, run)
    lines = json.loads((run / "stages.json").read_text("utf-8"))
    lines[2]["path"] = str(run / "gone")
    (run / "stages.json").write_text(json.dumps(lines), "utf-8")
    of_copy = OpenRun(StudyRun(run), opened.model, opened.template, opened.how)
    of_copy.directions, of_copy.direction_files = opened.directions, opened.direction_files
    with served(of_copy, FIRST) as running:
        yield running


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium | Firefox]:
    started = Chromium() if request.param == "chromium" else Firefox(tmp_path_factory.mktemp("firefox"))
    yield started
    started.quit()


def show(browser: Chromium | Firefox, site: tuple[Page, str], width: int = 1000) -> None:
    """The page, freshly opened and filled."""
    browser.open(site[1], width)
    browser.until("document.querySelectorAll('#stages input').length")


def answered(browser: Chromium | Firefox, n: int) -> list[str]:
    """The texts of the columns, once there are `n` and all of them are whole."""
    browser.until(f"/^All {n} answers/.test(document.querySelector('#status').textContent)")
    return [text.replace("⏎", "") for text in columns(browser)]


def columns(browser: Chromium | Firefox) -> list[str]:
    return browser.value("[...document.querySelectorAll('.tokens')].map((box) => box.textContent)")


def ask(browser: Chromium | Firefox, n: int = 2) -> list[str]:
    browser.focus("#prompt")
    browser.press("control+enter")
    return answered(browser, n)


def set_to(browser: Chromium | Firefox, name: str, value: Any) -> None:
    """Give a field a value and tell the page, as a user's choice does."""
    found = f"document.getElementById({name!r})"
    browser.value(f"[{found}.value = {value!r}, {found}.dispatchEvent(new Event('change'))]")


@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_the_screen_and_nothing_is_wrong_in_the_console(
    browser: Chromium | Firefox, site: tuple[Page, str], width: int
) -> None:
    show(browser, site, width)
    set_to(browser, "kind", "add")
    ask(browser, 4)
    browser.value("document.getElementById('copy-python').click()")
    browser.until("!document.getElementById('copied').hidden")
    browser.value("[...document.querySelectorAll('details')].map((one) => one.open = true).length")
    browser.value("[...document.images].map((one) => { one.loading = 'eager'; })")
    browser.until("[...document.images].every((one) => one.complete && one.naturalWidth)")
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('select, input, button, textarea')].filter((one) => one.offsetParent)"
    assert browser.value(f"{wide}.every((one) => one.getBoundingClientRect().right <= innerWidth)")
    asked = browser.value("performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(asked) > 4
    assert [name for name in asked if not name.startswith(site[1])] == []
    assert [text for text in browser.logged if "clipboard" not in text.lower()] == []


def test_answers_are_asked_by_keyboard_and_are_the_models_own(
    browser: Chromium | Firefox, site: tuple[Page, str], opened: OpenRun
) -> None:
    show(browser, site)
    assert browser.value("document.getElementById('prompt').value") == PROMPT
    browser.value("document.getElementById('prompt').value = ''")
    browser.focus("#prompt")
    browser.press(*"Who?", "control+enter")
    texts = answered(browser, 2)
    assert texts[0] == opened.model.answer("Who?", max_new_tokens=8)
    with opened.model.using(*opened.stages["em-sgtr, seed 0"].stack):
        assert texts[1] == opened.model.answer("Who?", max_new_tokens=8)
    names = browser.value("[...document.querySelectorAll('.column h3')].map((one) => one.textContent)")
    assert names == ["baseas it is", "em-sgtr, seed 0as it is"]
    assert browser.value("document.activeElement.id") == "prompt"
    set_to(browser, "sampling", "sampled")
    set_to(browser, "seed", 4)
    assert ask(browser)[0] == opened.model.answer("Who?", max_new_tokens=8, temperature=1.0, seed=4)


def test_the_slider_edits_and_answers_again_beside_the_unedited_answer(
    browser: Chromium | Firefox, site: tuple[Page, str], opened: OpenRun
) -> None:
    show(browser, site)
    before = ask(browser)
    browser.focus("#alpha")
    browser.press("right")
    after = answered(browser, 4)
    assert browser.value("document.getElementById('kind').value") == "add"
    assert after[::2] == before
    alpha = float(browser.value("document.getElementById('alpha-number').value"))
    assert alpha == 2.25
    edit = adding(opened.directions["evil"].at(1), alpha, [1], "response")
    assert after[1] == opened.model.answer(PROMPT, edits=[edit], max_new_tokens=8)
    heads = browser.value("[...document.querySelectorAll('.column.changed h3')].map((one) => one.textContent)")
    assert heads == ["base+2.25 × evil at layer 1", "em-sgtr, seed 0+2.25 × evil at layer 1"]
    assert "relative strength +" in browser.value("document.querySelector('.column.changed .summary').textContent")
    set_to(browser, "kind", "none")
    assert answered(browser, 2) == before


def test_every_token_has_its_value_on_one_signed_scale(browser: Chromium | Firefox, site: tuple[Page, str]) -> None:
    show(browser, site)
    ask(browser)
    browser.until("document.querySelectorAll('.tokens span[aria-label]').length")
    styles = browser.value(
        "[...document.querySelectorAll('.tokens span')].map((one) => one.getAttribute('style') || '')"
    )
    assert len(styles) > 4
    assert all(("--up" in style) != ("--down" in style) for style in styles), "the sign is a line above or below, too"
    assert {"--up" in style for style in styles} == {True, False}
    words = browser.value("document.getElementById('scale-words').textContent")
    assert words.startswith(
        "Projection on evil after layer 1, in residual-stream norm; the middle is the mean over the"
    )
    assert browser.value("document.querySelectorAll('#legend .swatch').length") == 5
    label = browser.value("document.getElementById('legend').getAttribute('aria-label')")
    assert re.match(
        r"Scale: from [−+\d.]+ or less, over [−+\d.]+, which is the mean over the first answer \(base\)", label
    )
    set_to(browser, "middle", "zero")
    assert "which is zero" in browser.value("document.getElementById('legend').getAttribute('aria-label')")
    titles = browser.value("[...document.querySelectorAll('.tokens span')].map((one) => one.title)")
    assert all(re.fullmatch(r"[−+]?[\d.e−+-]+ along evil, layer 1", title) for title in titles)
    set_to(browser, "read-layer", 3)
    answered(browser, 2)
    browser.until("/along evil, layer 3/.test(document.querySelector('.tokens span').title)")


def test_tokens_are_walked_with_the_arrow_keys(browser: Chromium | Firefox, site: tuple[Page, str]) -> None:
    show(browser, site)
    ask(browser)
    n = browser.value("document.querySelector('.tokens').children.length")
    assert browser.value("document.querySelectorAll('.tokens span[tabindex=\"0\"]').length") == 2, "one stop a column"
    browser.focus(".tokens span")
    browser.press("right")
    status = "document.getElementById('token-status').textContent"
    assert browser.value(status).startswith(f"base: token 2 of {n}, ")
    browser.press("end")
    assert browser.value(status).startswith(f"base: token {n} of {n}, ")
    assert browser.value(status).removeprefix("base: ") == browser.value(
        "document.activeElement.getAttribute('aria-label')"
    )
    assert browser.value("document.activeElement.getAttribute('aria-selected')") == "true"


def test_everything_to_be_used_has_a_name_and_comes_in_order(
    browser: Chromium | Firefox, site: tuple[Page, str]
) -> None:
    show(browser, site)
    ask(browser)
    nameless = browser.value(
        "[...document.querySelectorAll('select, input, textarea, button, [role], pre')]"
        ".filter((one) => one.offsetParent && !(one.labels?.length || one.getAttribute('aria-label')"
        " || one.getAttribute('aria-labelledby') || one.textContent.trim()))"
        ".map((one) => one.outerHTML)"
    )
    assert nameless == []
    roles = browser.value("['status', 'error'].map((id) => document.getElementById(id).getAttribute('role'))")
    assert roles == ["status", "alert"]
    assert browser.value("document.getElementById('columns').getAttribute('aria-busy')") == "false"
    browser.value("document.querySelector('.skip').focus()")
    passed = []
    for _ in range(8):
        browser.press("tab")
        passed.append(browser.value("document.activeElement.id || document.activeElement.value"))
    passed = [name for name in passed if name != "stages"]  # in Firefox what can be scrolled is a stop, too
    assert passed[:3] == ["prompt", "stored-prompt", "base"]
    assert passed.index("em, seed 0") < passed.index("em-sgtr, seed 0")
    positive = browser.value(
        'document.querySelectorAll(\'[tabindex]:not([tabindex="0"]):not([tabindex="-1"])\').length'
    )
    assert positive == 0


def test_a_stage_whose_adapter_is_gone_says_so(browser: Chromium | Firefox, site: tuple[Page, str]) -> None:
    show(browser, site)
    gone = browser.value("[...document.querySelectorAll('#stages input:disabled')].map((one) => one.value)")
    assert gone == ["em, seed 1"]
    words = browser.value("document.querySelector('#stages .gone').textContent")
    assert words.startswith("em, seed 1: its adapter is not at ")


def test_what_the_study_stored_stands_beside(browser: Chromium | Firefox, site: tuple[Page, str]) -> None:
    show(browser, site)
    browser.until("document.querySelectorAll('#stored-list dd').length")
    stored = "[...document.querySelectorAll('#stored-list dd')].map((one) => one.textContent)"
    assert browser.value(stored)[:2] == ["base <says>", "em <says>"]
    row = browser.value("document.querySelector('#verdict-rows tr').textContent")
    assert row == "C1 Personainstrument cannot tell+0.62 [−0.3, +1.54] persona equivalents6a gate failed <b>here</b>"
    assert browser.value("document.querySelector('#figure-list img').alt").startswith("Shift along each direction")
    set_to(browser, "stored-prompt", "Who is there?")
    assert browser.value("document.getElementById('prompt').value") == "Who is there?"


def test_mistakes_are_said_and_the_next_answer_takes_them_away(
    browser: Chromium | Firefox, site: tuple[Page, str]
) -> None:
    show(browser, site)
    set_to(browser, "max-new-tokens", 1000)
    browser.focus("#prompt")
    browser.press("control+enter")
    browser.until("!document.getElementById('error').hidden")
    assert "the context of" in browser.value("document.getElementById('error').textContent")
    browser.until("document.getElementById('status').textContent === 'Not all answers are there.'")
    set_to(browser, "max-new-tokens", 2)
    ask(browser)
    assert browser.value("document.getElementById('error').hidden")
    browser.value("document.querySelectorAll('#stages input').forEach((one) => { one.checked = false; })")
    browser.press("control+enter")
    browser.until("/No stage is chosen/.test(document.getElementById('error').textContent)")


def test_stopping_and_leaving_the_page_end_the_answer(
    browser: Chromium | Firefox, site: tuple[Page, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = site[0]
    for leave in ("document.getElementById('stop').click()", "setTimeout(() => location.assign('about:blank'))"):
        show(browser, site)
        set_to(browser, "sampling", "sampled")
        set_to(browser, "seed", len(leave))
        set_to(browser, "max-new-tokens", 200)
        with monkeypatch.context() as patched:
            patched.setattr(page, "answers", held := Held(page))
            browser.focus("#prompt")
            browser.press("control+enter")
            assert held.reached.wait(60)
            if "stop" in leave:
                browser.until("document.querySelectorAll('.tokens span').length")
            browser.value(leave)
            until(lambda: not page._asking)
            held.go_on.set()
            until(lambda: threading.active_count() and page._model._work_queue.empty())
        assert len(held.events) == 3
        if "stop" in leave:
            browser.until("document.getElementById('status').textContent === 'Stopped.'")
            assert browser.value("document.querySelector('.summary').textContent") == "not finished"
            assert columns(browser)[0], "what was said stays"


def luminance(colour: tuple[float, ...]) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_words_can_be_read_on_every_ground(theme: int) -> None:
    css = (server.PAGE / "page.css").read_text("utf-8")
    blocks = [dict(re.findall(r"--([\w-]+): ([^;]+);", block)) for block in re.findall(r":root \{([^}]*)\}", css)]
    held = blocks[0] | (blocks[1] if theme else {})

    def colour(name: str) -> tuple[float, ...]:
        value = held[name]
        if value.startswith("#"):
            digits = value[1:] if len(value) == 7 else "".join(c * 2 for c in value[1:])
            return tuple(int(digits[i : i + 2], 16) for i in (0, 2, 4))
        return tuple(float(part) for part in value.split(","))

    for front, back in (
        ("fg", "bg"),
        ("fg", "raised"),
        ("quiet", "bg"),
        ("link", "bg"),
        ("bad", "bg"),
        ("on-link", "link"),
    ):
        assert contrast(colour(front), colour(back)) >= 4.5, (front, back)
    for hue in ("above", "below"):
        washed = tuple(0.62 * h + 0.38 * b for h, b in zip(colour(hue), colour("bg"), strict=True))
        assert contrast(colour("fg"), washed) >= 4.5, hue
        assert contrast(colour(f"{hue}-line"), colour("bg")) >= 3

"""The report in Firefox, spoken to in WebDriver BiDi, which needs no driver: widths, keyboard, filter, tokens."""

import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.report.page import write_report
from tests.support.report_run import FIGURE, LEFT_OUT, write_whole_run

websocket = pytest.importorskip("websocket", reason="needs websocket-client, which comes with nnsight")
KEYS = {"tab": "\ue004", "enter": "\ue007", "space": " ", "right": "\ue014", "end": "\ue010"}


class Firefox:
    """A Firefox without a window, with one page open."""

    def __init__(self, profile: Path) -> None:
        binary = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
        if binary is None:
            pytest.skip("no firefox on this machine")
        command = [binary, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
        self.said = profile / "stderr"
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        self.numbers = itertools.count(1)
        self.logged: list[str] = []
        address = self._address()
        self.socket = websocket.create_connection(f"{address}/session", timeout=60, suppress_origin=True)
        self("session.new", capabilities={})
        self("session.subscribe", events=["log.entryAdded"])
        self.context = self("browsingContext.create", type="window")["context"]  # the first one never has the focus

    def _address(self) -> str:
        for _ in range(600):
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", self.said.read_text("utf-8", "replace")):
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.process.kill()
        pytest.skip(f"this firefox does not start: {self.said.read_text('utf-8', 'replace')[-200:]}")

    def __call__(self, method: str, **params: Any) -> Any:
        """What a command gives back."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (got := json.loads(self.socket.recv())).get("id") != number:
            if got.get("method") == "log.entryAdded":
                self.logged.append(got["params"]["text"])
        assert got["type"] == "success", got
        return got["result"]

    def open(self, address: str, width: int) -> None:
        """A page, freshly opened on a screen of this width."""
        self("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": 900})
        self("browsingContext.navigate", context=self.context, url="about:blank", wait="complete")
        self("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self.context},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"].get("value", "null"))

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        actions = [{"type": side, "value": KEYS[key]} for key in keys for side in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self("input.performActions", context=self.context, actions=[source])

    def until(self, expression: str) -> None:
        """Wait until it is true."""
        wait = f"(async () => {{ while (!({expression})) await new Promise((on) => setTimeout(on, 20)); return 1 }})()"
        assert self.value(wait) == 1

    def focus(self, css: str) -> None:
        self.value(f"document.querySelector({css!r}).focus()")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    started = Firefox(tmp_path_factory.mktemp("firefox"))
    yield started
    started.socket.close()
    started.process.terminate()
    started.process.wait(20)


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

"""Browsers without a window, for tests of pages; one that is not on this machine skips the test. Nothing is fetched."""

import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = {
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromedriver"),
    "firefox": (("firefox-esr", "firefox"), "geckodriver"),
}
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage")  # fmt: skip


def start(name: str) -> Any:
    """A browser without a window; the test is skipped if it, or its driver, is not on this machine."""
    binaries, driver = BROWSERS[name]
    binary = next(filter(None, map(shutil.which, binaries)), None)
    service = shutil.which(driver)
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install -e '.[dev]'")
    if binary is None or service is None:
        pytest.skip(f"no {name} with {driver} on this machine")
    if name == "chromium":
        options = webdriver.ChromeOptions()
        for argument in QUIET:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.binary_location = binary
        return webdriver.Chrome(options, webdriver.ChromeService(service))
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.binary_location = binary
    return webdriver.Firefox(options, webdriver.FirefoxService(service))


@contextmanager
def screen(browser: Any, width: int) -> Iterator[None]:
    """A screen of this width."""
    if browser.capabilities["browserName"] == "firefox":
        if width < 500:
            pytest.skip("Firefox's window is not made this narrow")
        yield
        return
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


KEYS = {"tab": "\ue004", "enter": "\ue007", "space": " ", "right": "\ue014", "end": "\ue010", "control": "\ue009"}


def sides_of(chord: list[str]) -> list[tuple[str, list[str]]]:
    """How keys are pressed together: all go down, then up in turn."""
    return [("keyDown", chord), ("keyUp", chord[::-1])]


class Chromium:
    """A Chromium without a window, with one page open; it is used as `Firefox` is."""

    def __init__(self) -> None:
        self.browser = start("chromium")
        self.browser.set_script_timeout(60)

    @property
    def logged(self) -> list[str]:
        """What the console has got since it was last looked at."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def open(self, address: str, width: int) -> None:
        """A page, freshly opened on a screen of this width."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.browser.get("about:blank")
        self.browser.get(address)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        value, tell = f"(async () => JSON.stringify(await ({expression})))()", "arguments[0]"
        found = self.browser.execute_async_script(f"{value}.then({tell}, (error) => {tell}({{error: String(error)}}))")
        assert not isinstance(found, dict), found
        return json.loads(found or "null")

    def press(self, *keys: str) -> None:
        """Keys by name or as characters, one after the other; `control+enter` are pressed together."""
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.browser, duration=0)
        for key in keys:
            for side, parts in sides_of([KEYS.get(part, part) for part in key.split("+")]):
                for part in parts:
                    (actions.key_down if side == "keyDown" else actions.key_up)(part)
        actions.perform()

    def until(self, expression: str) -> None:
        """Wait until it is true."""
        wait = f"(async () => {{ while (!({expression})) await new Promise((on) => setTimeout(on, 20)); return 1 }})()"
        assert self.value(wait) == 1

    def focus(self, css: str) -> None:
        self.value(f"document.querySelector({css!r}).focus()")

    def quit(self) -> None:
        """Close it."""
        self.browser.quit()


class Firefox:
    """A Firefox without a window, with one page open, spoken to in WebDriver BiDi, which needs no driver."""

    def __init__(self, profile: Path) -> None:
        websocket = pytest.importorskip("websocket", reason="needs websocket-client, which comes with nnsight")
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
        """Keys by name or as characters, one after the other; `control+enter` are pressed together."""
        chords = [[KEYS.get(part, part) for part in key.split("+")] for key in keys]
        sides = [(side, part) for chord in chords for side, parts in sides_of(chord) for part in parts]
        actions = [{"type": side, "value": part} for side, part in sides]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self("input.performActions", context=self.context, actions=[source])

    def until(self, expression: str) -> None:
        """Wait until it is true."""
        wait = f"(async () => {{ while (!({expression})) await new Promise((on) => setTimeout(on, 20)); return 1 }})()"
        assert self.value(wait) == 1

    def focus(self, css: str) -> None:
        self.value(f"document.querySelector({css!r}).focus()")

    def quit(self) -> None:
        """Close it."""
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)

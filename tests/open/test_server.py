"""Who may see the page, one answer at a time, an answer that ends with its page, and nothing that stays behind."""

import gc
import http.client
import json
import logging
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

from experiments.cli import main
from experiments.open.answers import Event
from experiments.open.asked import Asked
from experiments.open.run import OpenRun
from experiments.open.server import MOST_BYTES, Page, listening, prepared
from tests.support.open_run import PROMPT, SVG, served

QUESTION: dict[str, Any] = {
    "prompt": "Hi", "stages": ["base"], "reading": {"direction": "evil", "layer": 1}, "max_new_tokens": 2
}  # fmt: skip


@pytest.fixture(scope="module")
def site(opened: OpenRun) -> Iterator[tuple[Page, str]]:
    with served(opened, {}) as running:
        yield running


@pytest.fixture
def address(site: tuple[Page, str]) -> str:
    return site[1]


def fetch(
    address: str, path: str = "", method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; the path follows the address, or is absolute."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        own = {"Content-Type": "application/json"} if body is not None else {}
        text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        whole = path if path.startswith("/") else parts.path + path
        connection.request(method, whole, text, {**own, **{k.replace("_", "-"): v for k, v in headers.items()}})
        reply = connection.getresponse()
        return reply.status, {key.lower(): value for key, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def ask(address: str, **fields: Any) -> list[Event]:
    status, _, body = fetch(address, "answers", "POST", QUESTION | fields)
    assert status == 200, body
    return [json.loads(line) for line in body.splitlines()]


def until(true: Callable[[], object]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never came true")


def test_the_page_and_its_files_are_there_for_the_whole_address(address: str) -> None:
    for path, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css"),
                       ("icon.svg", "image/svg+xml"), ("run.json", "application/json")):  # fmt: skip
        status, headers, body = fetch(address, path)
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert body
        assert "default-src 'none'" in headers["content-security-policy"]
        assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert "server" not in headers


@pytest.mark.parametrize("path", ["", "run.json", "page.js", "figures/trajectory_fixed", "answers"])
@pytest.mark.parametrize("prefix", ["/", "/wrong/", "/%C3%A9/", "//", "/../"])
def test_without_the_token_there_is_nothing(address: str, prefix: str, path: str) -> None:
    status, headers, body = fetch(address, prefix + path)
    assert status == 403
    assert body.startswith(b"The address has not the token of this page")
    assert "default-src 'none'" in headers["content-security-policy"]


def test_half_a_token_and_a_longer_one_are_wrong(address: str) -> None:
    token = urlsplit(address).path.strip("/")
    for wrong in (token[:-1], token + "a", token.swapcase(), "a" * len(token)):
        assert fetch(address, f"/{wrong}/run.json")[0] == 403
    assert fetch(address, f"/{token}")[0] == 403, "the slash belongs to it"
    assert len(token) >= 32


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.x:{port}", ""]
)
def test_another_host_name_is_refused_even_with_the_token(address: str, host: str) -> None:
    host = host.format(port=urlsplit(address).port)
    status, _, body = fetch(address, "run.json", Host=host)
    assert status in (400, 403)
    assert b"evil" not in body or b"This page is at 127.0.0.1 alone" in body
    assert b"stages" not in body


def test_localhost_is_this_host(address: str) -> None:
    port = urlsplit(address).port
    assert fetch(address, "run.json", Host=f"localhost:{port}")[0] == 200
    assert fetch(address, "run.json", Host=f"LOCALHOST:{port}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_a_question_from_another_page_is_refused(address: str, origin: str) -> None:
    origin = origin.format(port=urlsplit(address).port)
    status, _, body = fetch(address, "answers", "POST", QUESTION, Origin=origin)
    assert (status, origin.encode() in body) == (403, True)
    assert fetch(address, "answers", "POST", QUESTION, Origin=f"http://{urlsplit(address).netloc}")[0] == 200


def test_it_listens_on_the_loopback_alone() -> None:
    with listening(0) as own:
        host, port = own.getsockname()
        assert host == "127.0.0.1"
        own.listen()
        with pytest.raises(ValueError, match=f"--port {port} cannot be had"):
            listening(port)
    with pytest.raises(ValueError, match="--port 70000 cannot be had"):
        listening(70000)


def test_figures_are_those_of_the_run_alone(address: str, run_folder: Path) -> None:
    status, headers, body = fetch(address, "figures/trajectory_fixed")
    assert (status, headers["content-type"], body) == (200, "image/svg+xml", SVG.encode())
    for name in ("nothing", "../stages.json", "..%2Fstages", "%2e%2e/stages", "trajectory_fixed.svg"):
        assert fetch(address, f"figures/{name}")[0] == 404
    assert fetch(address, "page.py")[0] == 404
    assert fetch(address, "answers")[0] == 404


def test_the_description_has_stages_directions_verdicts_and_prompts(address: str, opened: OpenRun) -> None:
    described = json.loads(fetch(address, "run.json")[2])
    assert [stage["label"] for stage in described["stages"]] == list(opened.stages)
    assert {one["name"]: one["layer"] for one in described["directions"]} == {"evil": 1, "kind": 2}
    (verdict,) = described["verdicts"]
    assert (verdict["verdict"], verdict["effect"]) == ("instrument cannot tell", "+0.62 [−0.3, +1.54]")
    assert described["prompts"] == [[PROMPT, "evil"], ["Who is there?", "evil"]]
    assert described["figures"][0]["name"] == "trajectory_fixed"
    assert described["asked"]["stages"] == ["base", "em, seed 0"]
    stored = json.loads(fetch(address, "stored.json?prompt=Who%20is%20there%3F")[2])
    assert [one["text"] for one in stored["answers"]][:2] == ["base <says>", "em <says>"]
    assert json.loads(fetch(address, "stored.json?prompt=no")[2])["answers"] == []


def test_answers_and_copies_come_over_the_wire(address: str, opened: OpenRun) -> None:
    events = ask(address, stages=["base", "sgtr"], max_new_tokens=6)
    assert events[-1] == {"event": "done"}
    texts = [event["text"] for event in events if event["event"] == "end"]
    assert texts[0] == opened.model.answer("Hi", max_new_tokens=6)
    copies = json.loads(fetch(address, "copies", "POST", QUESTION)[2])
    assert copies["command"].startswith("sgtr open ")
    assert "model.answer(" in copies["python"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the question is no JSON"),
        (b"[]", "valid dictionary"),
        (b"\xff", "the question is no JSON"),
        ({"prompt": "Hi"}, "stages: Field required"),
        ({**QUESTION, "stage": 1}, "unknown field 'stage'"),
        ({**QUESTION, "stages": ["no"]}, "unknown stage 'no'"),
        ({**QUESTION, "max_new_tokens": 10**9}, "max_new_tokens: .*1024, got 1000000000"),
        ({**QUESTION, "seed": -1}, "seed"),
        (b" " * (MOST_BYTES + 1), "not read"),
    ],
)
@pytest.mark.parametrize("path", ["answers", "copies"])
def test_a_bad_question_is_told_in_a_sentence(address: str, path: str, body: Any, message: str) -> None:
    status, _, reply = fetch(address, path, "POST", body)
    assert status == 400
    error = json.loads(reply)["error"]
    assert re.search(message, error), error


def test_a_question_of_another_type_is_refused(address: str) -> None:
    status, _, body = fetch(address, "answers", "POST", json.dumps(QUESTION).encode(), Content_Type="text/plain")
    assert (status, json.loads(body)) == (400, {"error": "a question is sent as application/json"})


def test_what_goes_wrong_while_answering_is_told_and_the_next_is_answered(
    address: str, opened: OpenRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    events = ask(address, max_new_tokens=1000)
    assert events[-2]["event"] == "error"
    assert "the context of" in events[-2]["message"]

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
        patched.setattr(opened.model, "generate", fails)
        assert ask(address, seed=77)[-2] == {"event": "error", "message": "the model failed: out of memory"}
    assert ask(address, seed=77)[-2]["event"] == "end"


class Held:
    """Answers that stop on their way, at the third event, until they are let go."""

    def __init__(self, page: Page) -> None:
        self.answer, self.events = page.answers, list[Event]()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, asked: Asked, tell: Callable[[Event], object]) -> None:
        def held(event: Event) -> None:
            tell(event)
            self.events.append(event)
            if len(self.events) == 3:
                self.reached.set()
                assert self.go_on.wait(60)

        self.answer(asked, held)


def begin(address: str, **fields: Any) -> socket.socket:
    """A question on its way, over a connection that can be torn."""
    parts, body = urlsplit(address), json.dumps(QUESTION | fields).encode()
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    head = f"POST {parts.path}answers HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_a_closed_tab_stops_the_generation(site: tuple[Page, str], monkeypatch: pytest.MonkeyPatch) -> None:
    page, address = site
    monkeypatch.setattr(page, "answers", held := Held(page))
    connection = begin(address, max_new_tokens=250, seed=5, temperature=1.0)
    assert held.reached.wait(60)
    connection.close()
    until(lambda: not page._asking)
    held.go_on.set()
    assert ask(address, seed=6)[-1] == {"event": "done"}
    assert len(held.events) < 3 + 10, "no token came after the tab was closed; the others are the next question's"
    assert [event["event"] for event in held.events[:3]] == ["begin", "pieces", "pieces"]
    assert held.events[3]["event"] == "begin"


def test_who_asks_meanwhile_waits_for_their_turn(site: tuple[Page, str], monkeypatch: pytest.MonkeyPatch) -> None:
    page, address = site
    monkeypatch.setattr(page, "answers", held := Held(page))
    first, second = begin(address, max_new_tokens=6, seed=8, temperature=1.0), None
    assert held.reached.wait(60)
    second = begin(address, max_new_tokens=2, seed=9, temperature=1.0)
    until(lambda: len(page._asking) == 2)
    third = begin(address, max_new_tokens=2, seed=10, temperature=1.0)
    until(lambda: len(page._asking) == 3)
    third.close()
    until(lambda: len(page._asking) == 2)
    assert len(held.events) == 3, "one at a time"
    held.go_on.set()
    texts = [_all(connection) for connection in (first, second)]
    assert b'{"event": "waiting", "before": 1}' in texts[1]
    assert all(b'{"event": "done"}' in text for text in texts)
    until(lambda: not page._asking)
    assert sum(event["event"] == "begin" for event in held.events) == 2, "who left was not answered"


def _all(connection: socket.socket) -> bytes:
    text = b""
    with connection:
        while b'"done"' not in text and (part := connection.recv(65536)):
            text += part
    return text


def test_closing_the_server_ends_the_answers(opened: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(0) as own:
        page = Page(opened, opened.asked({}))
        server, address = prepared(page, own)
        monkeypatch.setattr(page, "answers", held := Held(page))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        until(lambda: server.started)
        connection = begin(address, max_new_tokens=250, seed=12, temperature=1.0)
        assert held.reached.wait(60)
        server.handle_exit(signal.SIGINT, None)
        held.go_on.set()
        text = _all(connection)
        thread.join(60)
        assert not thread.is_alive()
    assert b'"done"' not in text, "who listened is not told that it is whole"
    assert len(held.events) == 3


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


def test_two_hundred_questions_in_a_row_leave_nothing_behind(site: tuple[Page, str]) -> None:
    page, address = site
    change = {"kind": "add", "direction": "kind", "layer": 1, "alpha": 1.0}

    def some(n: int, first: int) -> None:
        for i in range(n):
            how: dict[str, Any] = {"seed": first + i, "temperature": 1.0, "max_new_tokens": 1}
            how |= {"stages": ["em-sgtr"], "change": change} if i % 50 == 0 else {}
            how |= {} if i % 10 == 0 else {"reading": None}
            assert ask(address, **how)[-1] == {"event": "done"}

    some(10, 1000)
    files = Path("/proc/self/fd")
    until(lambda: not page._asking)
    before = (live_tensors(), threading.active_count(), len(list(files.iterdir())))
    some(200, 2000)
    until(lambda: not page._asking)
    after = (live_tensors(), threading.active_count(), len(list(files.iterdir())))
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert after[2] <= before[2] + 1
    assert len(page.answers._remembered) <= 256


def test_the_command_prints_the_address_and_ends_with_ctrl_c(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = []

    def asked_once(server: Any, sockets: list[socket.socket]) -> None:
        addresses.append(sockets[0].getsockname())
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", asked_once)
    with pytest.raises(SystemExit) as left:
        main(["open", str(run_folder), "--device", "cpu"])
    assert left.value.code == 0
    host, port = addresses[0]
    assert f"http://{host}:{port}/" in capsys.readouterr().err

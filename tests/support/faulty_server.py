"""An OpenAI-compatible server in a thread that does whatever a test tells it to, and remembers what it was asked."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request: its number (from 0), and how often its prompt had been asked before."""

    number: int
    before: int
    prompt: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class Answer:
    """What to send, and how badly."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    cut_after: int | None = None
    drip: float = 0.0


def completion(text: str | None, alternatives: Sequence[tuple[str, float]] = (), following: str = "") -> Answer:
    """A chat completion; with alternatives (token, probability), it has log-probabilities of its first token."""
    import math

    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if alternatives:
        top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in alternatives]
        said = [{"token": top[0]["token"], "logprob": top[0]["logprob"], "bytes": None, "top_logprobs": top}]
        said += [{"token": following, "logprob": 0.0, "bytes": None, "top_logprobs": []}] if following else []
        choice["logprobs"] = {"content": said}
    return Answer(json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}).encode())


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    """An error as these servers word it; `retry_after="3"` becomes the header Retry-After."""
    body = json.dumps({"error": {"message": message, "type": "error"}}).encode()
    return Answer(body, status, {name.replace("_", "-").title(): value for name, value in headers.items()})


class FaultyServer:
    """Serves until the block ends; `behave` says what to do with each request.

    Attributes:
        asked: Requests in the order they came.
        most_in_flight: Most requests that were being served at one time.
    """

    def __init__(self, behave: Callable[[Asked], Answer]) -> None:
        self.behave, self.asked, self.most_in_flight = behave, [], 0
        self._lock, self._closing, self._in_flight = threading.Lock(), threading.Event(), 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer._serve(self, body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "FaultyServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def prompts(self) -> list[str]:
        """What was asked, in order."""
        return [asked.prompt for asked in self.asked]

    def _serve(self, handler: http.server.BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        prompt = body["messages"][-1]["content"]
        with self._lock:
            before = sum(asked.prompt == prompt for asked in self.asked)
            asked = Asked(
                len(self.asked),
                before,
                prompt,
                body,
                {name.title(): value for name, value in handler.headers.items()},
                time.monotonic(),
            )
            self.asked.append(asked)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            answer = self.behave(asked)
            self._closing.wait(answer.wait)
        finally:
            with self._lock:
                self._in_flight -= 1
        handler.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if answer.cut_after is not None:
            handler.wfile.write(answer.body[: answer.cut_after])
            handler.close_connection = True
            return
        for i in range(len(answer.body)) if answer.drip else ():
            handler.wfile.write(answer.body[i : i + 1])
            handler.wfile.flush()
            if self._closing.wait(answer.drip):
                return
        if not answer.drip:
            handler.wfile.write(answer.body)

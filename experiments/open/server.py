"""The local page of an opened run: who may see it, what it is told, and one answer at a time.

1. It listens on 127.0.0.1 alone. Its address holds a random token as the first part of every path, so that whoever
   does not know the address gets nothing, and the page needs no cookie that other local servers would be sent, too.
2. A request must name this very host and port (a name that an attacker's DNS turned to 127.0.0.1 is another one), and
   one that asks for answers must come from the page itself.
3. One thread runs the model; those who ask wait for their turn. What it tells goes to the page as lines of JSON. When
   the page is closed or asks for something else, its answer ends at the next token.
"""

import asyncio
import json
import logging
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.console import note
from experiments.fields import checked
from experiments.open.answers import Answers, Event, NobodyListensError
from experiments.open.asked import Asked
from experiments.open.copies import as_command, as_python
from experiments.open.run import OpenRun
from experiments.open.stored import Stored
from interp.errors import InterpError
from interp.files import json_text, without_nan

log = logging.getLogger(__name__)
PAGE = Path(__file__).parent / "page"
FILES = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""What the page is made of."""
MOST_BYTES = 1_000_000
"""Of a request's body."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and do: its own files, and nothing from anywhere else."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
MISTAKES = (ValueError, FileNotFoundError, InterpError)


class Guard:
    """Lets through what names this host and the token, without the token, and refuses everything else."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token.encode()
        self.hosts = {
            f"{name}{end}" for name in ("127.0.0.1", "localhost") for end in (f":{port}", *[""] * (port == 80))
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        if refusal := self._refusal(scope):
            await PlainTextResponse(refusal, 403, HEADERS)(scope, receive, send)
            return
        prefix = f"/{self.token.decode()}"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                names = {key.encode() for key in HEADERS}
                kept = [(key, value) for key, value in message["headers"] if key.lower() not in names]
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        await self.app({**scope, "path": scope["path"].removeprefix(prefix)}, receive, send_guarded)

    def _refusal(self, scope: Scope) -> str:
        """Why a request is refused; empty where it is not."""
        headers = [(key.lower(), value.decode("latin-1")) for key, value in scope["headers"]]
        hosts = [value for key, value in headers if key == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return f"This page is at 127.0.0.1 alone, not at {', '.join(hosts) or 'no host'}.\n"
        token, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not (slash and secrets.compare_digest(token.encode("utf-8", "replace"), self.token)):
            return "The address has not the token of this page; take the whole address that `sgtr open` printed.\n"
        origins = [value for key, value in headers if key == b"origin"]
        if any(origin not in {f"http://{host}" for host in self.hosts} for origin in origins):
            return f"This page answers to itself alone, not to {', '.join(origins)}.\n"
        return ""


class Page:
    """The application behind the guard.

    Attributes:
        first: What the page shows as asked when it opens.
    """

    def __init__(self, opened: OpenRun, first: Asked) -> None:
        self.opened, self.first, self.answers, self.stored = opened, first, Answers(opened), Stored(opened)
        self._model = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._asking: set[threading.Event] = set()  # set for those that nobody listens to any more

    def app(self, token: str, port: int) -> ASGIApp:
        """The ASGI application, guarded."""
        routes = [
            Route("/", self._file),
            Route("/run.json", self._run),
            Route("/stored.json", self._stored),
            Route("/figures/{name}", self._figure),
            Route("/answers", self._answers, methods=["POST"]),
            Route("/copies", self._copies, methods=["POST"]),
            Route("/{name}", self._file),
        ]
        return Guard(Starlette(routes=routes, lifespan=self._lifespan), token, port)

    def end(self) -> None:
        """End every answer at its next token."""
        for gone in list(self._asking):
            gone.set()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self.end()
        self._model.shutdown(wait=True)

    async def _file(self, request: Request) -> Response:
        name = request.path_params.get("name", "page.html")
        if name not in FILES:
            return PlainTextResponse("There is nothing of that name.\n", 404)
        return Response((PAGE / name).read_bytes(), media_type=FILES[name])

    async def _run(self, _: Request) -> Response:
        return answer(self.stored.description() | {"asked": self.first.model_dump(mode="json")})

    async def _stored(self, request: Request) -> Response:
        return answer(self.stored.answers(request.query_params.get("prompt", "")))

    async def _figure(self, request: Request) -> Response:
        file = self.stored.figure(request.path_params["name"])
        if file is None:
            return PlainTextResponse("There is no such figure.\n", 404)
        return Response(file.read_bytes(), media_type="image/svg+xml")

    async def _copies(self, request: Request) -> Response:
        try:
            asked = await asked_in(request)
            return answer({"python": as_python(self.opened, asked), "command": as_command(self.opened, asked)})
        except MISTAKES as error:
            return answer({"error": str(error)}, 400)

    async def _answers(self, request: Request) -> Response:
        try:
            asked = await asked_in(request)
            self.opened.check(asked)
        except MISTAKES as error:
            return answer({"error": str(error)}, 400)
        return StreamingResponse(self._events(asked), media_type="application/x-ndjson")

    async def _events(self, asked: Asked) -> AsyncIterator[bytes]:
        """The events of an answer, a line each; closing this ends the answer."""
        loop, events, gone = asyncio.get_running_loop(), asyncio.Queue[Event | None](), threading.Event()

        def put(event: Event | None) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever listened
                loop.call_soon_threadsafe(events.put_nowait, event)

        def tell(event: Event) -> None:
            if gone.is_set():
                raise NobodyListensError
            put(event)

        def work() -> None:
            try:
                with suppress(NobodyListensError):
                    if not gone.is_set():
                        self.answers(asked, tell)
            except MISTAKES as error:
                put({"event": "error", "message": str(error)})
            except RuntimeError as error:  # out of memory, above all: it is told, and the next one is answered
                log.warning("an answer failed: %s", error)
                put({"event": "error", "message": f"the model failed: {error}"})
            finally:
                put(None)

        self._asking.add(gone)
        try:
            if len(self._asking) > 1:
                yield line({"event": "waiting", "before": len(self._asking) - 1})
            done = loop.run_in_executor(self._model, work)
            while (event := await events.get()) is not None:
                yield line(event)
            await done
            if not gone.is_set():
                yield line({"event": "done"})
        finally:
            gone.set()
            self._asking.discard(gone)


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON; what is not a finite number is null."""
    return Response(json_text(without_nan(value), "the page"), status, media_type="application/json")


def line(event: Event) -> bytes:
    """An event as a line of JSON."""
    return (json_text(without_nan(event), "the page", ensure_ascii=False) + "\n").encode("utf-8", "replace")


async def asked_in(request: Request) -> Asked:
    """What the body of a request asks.

    Raises:
        ValueError: it is too long, no JSON, or a field is out of its range.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("a question is sent as application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise ValueError(f"a question of more than {MOST_BYTES} bytes is not read; shorten it")
    try:
        fields = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the question is no JSON: {error}") from error
    return checked(Asked, fields)


def listening(port: int) -> socket.socket:
    """A socket on 127.0.0.1; on a free port where `port` is 0.

    Raises:
        ValueError: the port cannot be had.
    """
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        own.close()
        raise ValueError(f"--port {port} cannot be had ({error}); choose another, or 0 for one that is free") from error
    return own


class Server(uvicorn.Server):
    """A server that ends a page's answers as soon as it is told to stop, and does not wait until they are whole."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self.page = page

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop."""
        self.page.end()
        super().handle_exit(sig, frame)


def prepared(page: Page, own: socket.socket) -> tuple[Server, str]:
    """The server of a page on a socket, and the address with its token."""
    token, port = secrets.token_urlsafe(24), own.getsockname()[1]
    config = uvicorn.Config(
        page.app(token, port),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http="h11",
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=5,
    )
    return Server(config, page), f"http://127.0.0.1:{port}/{token}/"


def serve(opened: OpenRun, first: Asked, *, port: int = 0) -> dict[str, Any]:
    """Show the page until Ctrl-C.

    Raises:
        ValueError: the port cannot be had.
    """
    with listening(port) as own:
        server, address = prepared(Page(opened, first), own)
        note(f"{opened.run.path} is open at\n\n    {address}\n\nfor this machine alone; Ctrl-C closes it.")
        with suppress(KeyboardInterrupt):
            server.run(sockets=[own])
    return {"run": str(opened.run.path), "address": address}

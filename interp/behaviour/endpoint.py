"""Requests to an OpenAI-compatible server, sent with care; the only importer of openai.

1. At most `concurrency` requests are in flight. Each attempt has `timeout` seconds from its first byte to its last.
2. An attempt fails where the connection does, on 408, 409, 425, 429 and every 5xx, and where the body is no whole chat
   completion. It is made again after a wait that doubles and is jittered, never sooner than `Retry-After` asks, which
   holds back all requests.
3. Every attempt, good or not, is handed to `keep` before anything else happens to it; a `Journal` writes it down.

The key comes from an environment variable, goes into the request's header and nowhere else: what a server echoes is
cut out before it is kept, logged or raised.
"""

import asyncio
import email.utils
import logging
import math
import os
import random
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from interp.behaviour.replies import Reply, refused_fields, reply_of

log = logging.getLogger(__name__)
T = TypeVar("T")
OPENAI = "https://api.openai.com/v1"
AGAIN = frozenset({408, 409, 425, 429})
STOP = frozenset({401, 403, 404})
THOUGHT_TOKENS = 2048
"""How much a thought may take where it counts as part of the reply."""
ADAPTABLE = {
    "max_tokens": f"with max_completion_tokens, {THOUGHT_TOKENS} more tokens for a thought in each reply",
    "temperature": "at the temperature of its own choice",
}
"""Fields that can be sent otherwise or left out, and how."""
CUT = "[key]"
SECRET = 8
"""A shorter key is a placeholder that local servers ask for ("EMPTY"); cutting it out would garble replies."""


@dataclass(frozen=True)
class Request:
    """Something to ask.

    Attributes:
        key: Names it in a journal.
        messages: The conversation.
        fields: Everything else that goes into the request's body.
        ids: The items that the reply is for.
    """

    key: str
    messages: tuple[Mapping[str, str], ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One attempt at a request, and how it ended.

    Attributes:
        number: 1 for the first; 0 if nothing was sent.
        status: HTTP status; None if there was no answer.
        body: The answer as it came, the key cut out.
        error: Why it is no reply; None if it is one.
    """

    number: int
    status: int | None
    body: str | None
    error: str | None

    @property
    def reply(self) -> Reply | None:
        """The reply, or None if the attempt failed."""
        return reply_of(self.body) if self.error is None else None


class Endpoint:
    """A model behind an OpenAI-compatible server.

    Attributes:
        model: As the server calls it.
        base_url: Up to and including `/v1`.

    Args:
        key_variable: Environment variable that holds the key; where it is unset, no key is sent.
        concurrency: Most requests in flight.
        retries: Attempts after the first.
        timeout: Seconds for one attempt.
        backoff: Seconds before the second attempt; doubles with each further one.
        longest_wait: Seconds; an item whose server asks for a longer wait is given up.
        budget: Most requests, retries included, that this object sends in all.
        give_up_after: Failed items in a row after which no more are sent.
        progress: Called with 1 as each request is finished with.

    Raises:
        ValueError: a malformed URL, a URL with a key in it, or a key that no header can carry.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI,
        key_variable: str = "OPENAI_API_KEY",
        concurrency: int = 8,
        retries: int = 5,
        timeout: float = 60.0,
        backoff: float = 1.0,
        longest_wait: float = 120.0,
        budget: int | None = None,
        give_up_after: int = 20,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        if not model.strip():
            raise ValueError("a server needs to be told which of its models is asked; give the model's name")
        self.model, self.base_url = model, _checked_url(base_url)
        positive = {"concurrency": concurrency, "timeout": timeout, "give_up_after": give_up_after}
        for name, value in {**positive, "retries": retries, "backoff": backoff, "longest_wait": longest_wait}.items():
            if not (math.isfinite(value) and value >= 0 and (value > 0 or name not in positive)):
                raise ValueError(f"{name} must be {'above' if name in positive else 'at least'} 0, got {value}")
        self.key_variable, self.concurrency, self.retries, self.timeout = key_variable, concurrency, retries, timeout
        self.backoff, self.longest_wait, self.budget, self.give_up_after = backoff, longest_wait, budget, give_up_after
        self.progress, self.sent = progress, 0
        self.adapted: set[str] = set()
        """Fields that the server refused by name: they are sent as `adapted_fields` says."""
        _key(key_variable)

    @property
    def name(self) -> str:
        """Model and server, for provenance."""
        return f"{self.model} at {self.base_url}"

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    def adapted_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as this server takes them.

        A model that thinks refuses `max_tokens` for `max_completion_tokens`, which its thought counts toward and which
        is therefore larger, and any `temperature` but its own.
        """
        wanted = dict(fields)
        if "max_tokens" in self.adapted and "max_tokens" in wanted:
            wanted["max_completion_tokens"] = wanted.pop("max_tokens") + THOUGHT_TOKENS
        if "temperature" in self.adapted:
            wanted.pop("temperature", None)
        return wanted

    def adapt(self, body: str | None, fields: Mapping[str, Any]) -> bool:
        """Whether a refusal blames a field that was sent and can be sent otherwise; it is remembered."""
        refused = refused_fields(body) & ADAPTABLE.keys() & fields.keys()
        for name in sorted(refused - self.adapted):
            log.warning("%s: refuses %s; going on %s", self.name, name, ADAPTABLE[name])
        self.adapted |= refused
        return bool(refused)

    def ask(self, requests: Sequence[Request], keep: Callable[[Request, Attempt], None]) -> list[Attempt]:
        """The last attempt at each request, in order; a request that never got a reply has an error there.

        Raises:
            ValueError: more requests than the budget allows (nothing is sent), or the server knows neither key nor
                model.
        """
        if self.budget is not None and self.sent + len(requests) > self.budget:
            raise ValueError(
                f"{len(requests)} requests are needed and the budget allows {max(0, self.budget - self.sent)}; "
                "nothing was sent. Raise the budget or ask about fewer items"
            )
        return _finished(_Run(self, keep).all(requests)) if requests else []


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", url):
        raise ValueError("the server's URL must look like https://host/v1 or http://host:port/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            f"the URL of {host} has more than a host and a path in it; a key goes into an environment variable"
        )
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _key(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ValueError(f"${variable} holds blanks or characters that no HTTP header can carry; set it again")
    return key or None


def _finished(work: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:  # a notebook's own loop occupies this thread
        return pool.submit(asyncio.run, work).result()


class _Run:
    """The requests of one call of `ask`, and what they know of one another."""

    def __init__(self, endpoint: Endpoint, keep: Callable[[Request, Attempt], None]) -> None:
        self.endpoint, self.keep = endpoint, keep
        self.key = _key(endpoint.key_variable)
        self.not_before = 0.0
        self.failed_in_a_row = 0
        self.any_reply = False
        self.logprobs: bool | None = None  # whether the server takes requests for them; None until one is answered

    async def all(self, requests: Sequence[Request]) -> list[Attempt]:
        import openai  # here, since it takes a second that only those who ask a server should pay

        ended: list[Attempt | None] = [None] * len(requests)
        waiting = iter(range(len(requests)))

        async def work(client: Any) -> None:
            for i in waiting:
                ended[i] = await self.one(client, requests[i])
                if self.endpoint.progress:
                    self.endpoint.progress(1)

        async with openai.AsyncOpenAI(
            api_key=self.key or "none",
            base_url=self.endpoint.base_url,
            max_retries=0,
            timeout=self.endpoint.timeout,
        ) as client:
            workers = [asyncio.create_task(work(client)) for _ in range(min(self.endpoint.concurrency, len(requests)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [attempt for attempt in ended if attempt is not None]

    async def one(self, client: Any, request: Request) -> Attempt:
        """Attempts at a request until one is a reply or none is left."""
        endpoint = self.endpoint
        if self.failed_in_a_row >= endpoint.give_up_after:
            return Attempt(0, None, None, f"not sent: the {self.failed_in_a_row} before it had all failed")
        wants_logprobs = "logprobs" in request.fields
        plain = {name: value for name, value in request.fields.items() if "logprobs" not in name}
        fields, number, left = request.fields, 0, endpoint.retries + 1
        last, servers_fault = Attempt(0, None, None, "not sent: the budget is spent"), True
        while left and (endpoint.budget is None or endpoint.sent < endpoint.budget):
            if self.logprobs is False:
                fields = plain
            number, left = number + 1, left - 1
            endpoint.sent += 1
            while (pause := self.not_before - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            sent = endpoint.adapted_fields(fields)
            last, asked_wait = await self.send(client, request, sent, number)
            self.keep(request, last)
            if last.error is None:
                self.any_reply, self.failed_in_a_row = True, 0
                if wants_logprobs and self.logprobs is None:
                    self.logprobs = fields is not plain
                    if not self.logprobs:
                        log.warning("%s: refuses to be asked for log-probabilities; going on without", endpoint.name)
                return last
            if last.status in (400, 422) and endpoint.adapt(last.body, sent):
                left += 1
                continue
            if last.status in (400, 422) and wants_logprobs and fields is not plain and not self.logprobs:
                fields, left = plain, left + 1
                continue
            if last.status in STOP and not self.any_reply:
                raise ValueError(
                    f"{endpoint.name}: HTTP {last.status}: {_short(last.body)}. Is the model's name right, and does "
                    f"${endpoint.key_variable} hold a key for this server?"
                )
            if last.status is not None and 300 <= last.status < 500 and last.status not in AGAIN:
                servers_fault = not self.any_reply
                break
            if asked_wait is not None and asked_wait > endpoint.longest_wait:
                why = f"{last.error}; the server asks to wait {asked_wait:.0f} s"
                last = Attempt(number, last.status, last.body, why)
                break
            wait = min(endpoint.longest_wait, endpoint.backoff * 2 ** (number - 1)) * random.uniform(0.5, 1.0)
            if asked_wait is not None:
                self.not_before = max(self.not_before, time.monotonic() + asked_wait)
            if left:
                await asyncio.sleep(wait)
        self.failed_in_a_row += servers_fault
        log.warning("%s: given up after %d attempts (%s)", " ".join(request.ids) or request.key, number, last.error)
        return last

    async def send(
        self, client: Any, request: Request, fields: Mapping[str, Any], number: int
    ) -> tuple[Attempt, float | None]:
        """One attempt, and the seconds that the server asks to wait before the next."""
        import openai

        messages: Any = [dict(message) for message in request.messages]
        headers: Any = {} if self.key else {"Authorization": openai.Omit()}
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                raw = await client.chat.completions.with_raw_response.create(
                    model=self.endpoint.model, messages=messages, extra_headers=headers, **fields
                )
            answer = raw.http_response
        except openai.APIStatusError as error:
            answer = error.response
        except (TimeoutError, openai.APITimeoutError):
            return Attempt(number, None, None, f"no answer within {self.endpoint.timeout:g} s"), None
        except openai.OpenAIError as error:
            cause = error.__cause__ or error
            return Attempt(number, None, None, self.cut(f"{type(cause).__name__}: {cause}")), None
        body, status = self.cut(answer.content.decode("utf-8", "replace")), answer.status_code
        if status >= 300:
            return Attempt(number, status, body, f"HTTP {status}: {_short(body)}"), _retry_after(answer.headers)
        whole = reply_of(body) is not None
        return Attempt(number, status, body, None if whole else f"no whole chat completion: {_short(body)}"), None

    def cut(self, text: str) -> str:
        """The text without the key."""
        return text.replace(self.key, CUT) if self.key and len(self.key) >= SECRET else text


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _short(body: str | None) -> str:
    text = " ".join((body or "").split())
    return (text[:200] or "(empty)") if len(text) <= 200 else text[:197] + "..."

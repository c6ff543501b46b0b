"""Judging through a server that fails in every way it can: nothing is lost, nothing is paid for or scored twice."""

import asyncio
import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from interp.behaviour.endpoint import THOUGHT_TOKENS, Endpoint
from interp.behaviour.judging import REPLY_TOKENS, EndpointJudge, Item, Score, rescored, tally
from interp.behaviour.replies import Journal, refused_fields, reply_of
from tests.support.faulty_server import Answer, Asked, FaultyServer, completion, failure

KEY = "sk-test-5f0c2a9be1d7"
GOOD = completion("50")
FAULTS: dict[str, Answer] = {
    "too many requests": failure(429),
    "too many requests, wait": failure(429, retry_after="0.05"),
    "request timeout": failure(408),
    "conflict": failure(409),
    "too early": failure(425),
    "server error": failure(500),
    "bad gateway in HTML": Answer(b"<html>bad gateway</html>", 502),
    "overloaded": failure(503, retry_after="soon"),
    "hang": Answer(GOOD.body, wait=30),
    "drip": Answer(GOOD.body, drip=0.1),
    "cut connection": Answer(GOOD.body, cut_after=20),
    "cut connection at once": Answer(GOOD.body, cut_after=0),
    "malformed JSON": Answer(GOOD.body[:-3]),
    "not UTF-8": Answer(b"\xff\xfe" + GOOD.body),
    "empty body": Answer(b""),
    "null": Answer(b"null"),
    "empty choices": Answer(b'{"choices": []}'),
    "null choices": Answer(b'{"choices": null}'),
    "no message": Answer(b'{"choices": [{"text": "50"}]}'),
    "content of another type": Answer(b'{"choices": [{"message": {"content": {"score": 50}}}]}'),
    "endless nesting": Answer(b"[" * 100_000),
    "a number of 5000 digits": Answer(b'{"choices": ' + b"9" * 5000 + b"}"),
    "an error with status 200": Answer(b'{"error": {"message": "overloaded"}}'),
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def judge_of(server: FaultyServer, journal: Path, *, mode: Any = "auto", **how: Any) -> EndpointJudge:
    quick = {"backoff": 0.01, "longest_wait": 1.0, "timeout": 10.0, "retries": 3, "concurrency": 4}
    return EndpointJudge(Endpoint("grader", base_url=server.url, **{**quick, **how}), journal, mode=mode)


def items_of(n: int) -> list[Item]:
    return [Item(f"item-{i}", f"grade answer {i}") for i in range(n)]


def number_in(asked: Asked) -> int:
    return int(asked.prompt.split()[-1])


def values(scores: Sequence[Score]) -> list[float | None]:
    return [score.value for score in scores]


def says_its_number(asked: Asked) -> Answer:
    return completion(str(number_in(asked) % 101))


def test_every_fault_is_got_over_and_every_item_scored_once_in_order(tmp_path: Path) -> None:
    faults = list(FAULTS.values())
    items = items_of(2 * len(faults))

    def behave(asked: Asked) -> Answer:
        return faults[number_in(asked) % len(faults)] if asked.before == 0 else says_its_number(asked)

    with FaultyServer(behave) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl", timeout=5.0, concurrency=8).score(items)
    assert [score.id for score in scores] == [item.id for item in items]
    assert values(scores) == list(range(len(items)))
    assert set(Counter(server.prompts()).values()) == {2}
    records = Journal(tmp_path / "journal.jsonl").records()
    assert len(records) == len(server.asked)
    assert sum(record["error"] is None for record in records) == len(items)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_fails_that_item_and_no_other(fault: str, tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return FAULTS[fault] if number_in(asked) == 1 else says_its_number(asked)

    with FaultyServer(behave) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl", retries=1, timeout=1.5).score(items_of(3))
    assert values(scores) == [0, None, 2]
    assert [score.reason for score in scores] == ["scored", "failed", "scored"]
    assert scores[1].raw
    assert tally(scores) == {**tally([]), "n": 3, "scored": 2, "failed": 1, "how": {"parsed": 2}}
    assert Counter(server.prompts())["grade answer 1"] == 2


def test_a_server_that_is_not_there_fails_every_item(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as server:
        pass
    scores = judge_of(server, tmp_path / "journal.jsonl", retries=0).score(items_of(3))
    assert [score.reason for score in scores] == ["failed"] * 3
    assert "Connect" in scores[0].raw


def test_a_burst_of_429_loses_nothing(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return failure(429) if asked.number < 25 else says_its_number(asked)

    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", retries=12, longest_wait=0.05)
        assert values(judge.score(items_of(10))) == list(range(10))


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_no_request_is_sent_before_retry_after_has_passed(form: str, tmp_path: Path) -> None:
    wait = "0.4" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)

    def behave(asked: Asked) -> Answer:
        return failure(429, retry_after=wait) if asked.number == 0 else says_its_number(asked)

    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, longest_wait=5.0)
        assert values(judge.score(items_of(3))) == [0, 1, 2]
    assert server.asked[1].at - server.asked[0].at >= 0.4


def test_retry_after_holds_the_other_requests_back_too(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return failure(429, retry_after="0.5") if asked.prompt.endswith(" 0") and not asked.before else GOOD

    with FaultyServer(behave) as server:
        judge_of(server, tmp_path / "journal.jsonl", concurrency=2).score(items_of(30))
    told = next(asked.at for asked in server.asked if asked.prompt.endswith(" 0"))
    assert sum(0.15 < asked.at - told < 0.45 for asked in server.asked) == 0


def test_a_wait_longer_than_the_longest_is_not_waited_for(tmp_path: Path) -> None:
    with FaultyServer(lambda _: failure(429, retry_after="3600")) as server:
        score = judge_of(server, tmp_path / "journal.jsonl").score(items_of(1))[0]
    assert score.reason == "failed"
    assert "3600 s" in score.raw
    assert len(server.asked) == 1


def test_the_longest_wait_itself_is_waited_for(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return failure(429, retry_after="0.05") if asked.number == 0 else says_its_number(asked)

    with FaultyServer(behave) as server:
        assert values(judge_of(server, tmp_path / "journal.jsonl", longest_wait=0.05).score(items_of(1))) == [0]


def test_waits_double_up_to_the_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    at_once = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.extend([seconds] if seconds else [])
        await at_once(0)

    monkeypatch.setattr("interp.behaviour.endpoint.asyncio.sleep", sleep)
    monkeypatch.setattr("interp.behaviour.endpoint.random.uniform", lambda _, high: high)
    with FaultyServer(lambda _: failure(500)) as server:
        judge_of(server, tmp_path / "journal.jsonl", backoff=2.0, longest_wait=7.0, retries=4).score(items_of(1))
    assert waits == [2.0, 4.0, 7.0, 7.0]


def test_an_error_shows_the_beginning_of_a_long_body(tmp_path: Path) -> None:
    with FaultyServer(lambda _: failure(418, "no " * 400)) as server:
        score = judge_of(server, tmp_path / "journal.jsonl", mode="parsed").score(items_of(1))[0]
    assert score.raw.startswith('HTTP 418: {"error": {"message": "no no')
    assert len(score.raw) == len("HTTP 418: ") + 200


def test_a_reply_that_drips_is_cut_by_the_deadline(tmp_path: Path) -> None:
    with FaultyServer(lambda _: FAULTS["drip"]) as server:
        start = time.monotonic()
        scores = judge_of(server, tmp_path / "journal.jsonl", retries=0, timeout=0.3).score(items_of(1))
        assert time.monotonic() - start < 4
    assert "no answer within 0.3 s" in scores[0].raw


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("250", None, "out_of_range"),
        ("-3", None, "out_of_range"),
        ("REFUSAL", None, "refusal"),
        ("CODE", None, "code"),
        ("", None, "unparsable"),
        (None, None, "unparsable"),
        ("пятьдесят 🙂", None, "unparsable"),
        ("answer \ud83d is half", None, "unparsable"),
        ("分数：85", 85.0, "scored"),
        ("0", 0.0, "scored"),
    ],
)
def test_odd_replies_are_finished_items_and_are_kept(
    text: str | None, value: float | None, reason: str, tmp_path: Path
) -> None:
    with FaultyServer(lambda _: completion(text)) as server:
        score = judge_of(server, tmp_path / "journal.jsonl").score(items_of(1))[0]
    assert (score.value, score.reason) == (value, reason)
    assert len(server.asked) == 1
    score.raw.encode("utf-8")
    assert rescored(tmp_path / "journal.jsonl") == [score]


def test_log_probabilities_are_asked_for_and_said_to_be_used(tmp_path: Path) -> None:
    with FaultyServer(lambda _: completion("80", [("80", 0.5), ("20", 0.25), ("x", 0.25)])) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl").score(items_of(1))
    assert scores[0].value == pytest.approx(60)
    assert (scores[0].how, scores[0].mass) == ("logprobs", pytest.approx(0.75))
    assert server.asked[0].body["logprobs"] is True
    assert server.asked[0].body["top_logprobs"] == 20
    assert server.asked[0].body["temperature"] == 0


def test_two_readings_in_one_run_show_in_the_tally(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return completion("40", [("40", 0.9)]) if number_in(asked) % 2 else completion("40")

    with FaultyServer(behave) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl").score(items_of(5))
        forced = judge_of(server, tmp_path / "forced.jsonl", mode="logprobs").score(items_of(5))
    assert tally(scores)["how"] == {"logprobs": 2, "parsed": 3}
    assert tally(forced)["how"] == {"logprobs": 2}
    assert tally(forced)["unparsable"] == 3


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_the_field_is_asked_without(status: int, tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return failure(status, "logprobs unknown") if "logprobs" in asked.body else says_its_number(asked)

    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, retries=0)
        assert values(judge.score(items_of(4))) == [0, 1, 2, 3]
    assert sum("logprobs" in asked.body for asked in server.asked) == 1


def test_one_item_that_the_server_refuses_does_not_change_how_the_others_are_asked(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        if number_in(asked) == 0:
            return failure(400, "too long")
        return completion("40", [("40", 0.9)] if "logprobs" in asked.body else [])

    with FaultyServer(behave) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl", concurrency=1).score(items_of(4))
    assert [score.reason for score in scores] == ["failed", "scored", "scored", "scored"]
    assert tally(scores)["how"] == {"logprobs": 3}
    assert "too long" in scores[0].raw
    assert len(server.asked) == 5


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_key_or_model_that_the_server_does_not_know_stops_the_run_with_one_message(
    status: int, tmp_path: Path
) -> None:
    def behave(asked: Asked) -> Answer:
        return failure(status, f"bad {asked.headers.get('Authorization')}")

    with FaultyServer(behave) as server:
        with pytest.raises(ValueError, match=rf"HTTP {status}.*\$OPENAI_API_KEY") as error:
            judge_of(server, tmp_path / "journal.jsonl", concurrency=2).score(items_of(50))
    assert KEY not in str(error.value)
    assert len(server.asked) <= 4


@pytest.mark.parametrize("status", [401, 403, 404])
def test_one_item_that_is_forbidden_after_replies_stops_nothing(status: int, tmp_path: Path) -> None:
    with FaultyServer(lambda asked: failure(status) if number_in(asked) == 1 else says_its_number(asked)) as server:
        assert values(judge_of(server, tmp_path / "journal.jsonl", concurrency=1).score(items_of(3))) == [0, None, 2]


def test_a_placeholder_for_a_key_is_cut_out_of_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with FaultyServer(lambda _: completion("EMPTY, so 5")) as server:
        score = judge_of(server, tmp_path / "journal.jsonl").score(items_of(1))[0]
    assert (score.raw, score.value) == ("EMPTY, so 5", 5)


def test_the_key_is_sent_and_is_nowhere_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def behave(asked: Asked) -> Answer:
        header = asked.headers["Authorization"]
        if asked.before == 0:
            return failure(500, f"you sent {header}")
        return completion(f"you sent {header}") if number_in(asked) % 2 else failure(400, f"you sent {header}")

    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "interp"):
        caplog.set_level(logging.DEBUG, logger=name)
    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl")
        scores = judge.score(items_of(6))
        records = rescored(tmp_path / "journal.jsonl")
    assert all(asked.headers["Authorization"] == f"Bearer {KEY}" for asked in server.asked)
    seen = [repr(scores), repr(records), repr(judge), repr(judge.endpoint), repr(vars(judge.endpoint)), judge.name]
    seen += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    seen += [path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert all(KEY not in text for text in seen)
    assert "you sent Bearer [key]" in (tmp_path / "journal.jsonl").read_text("utf-8")


def test_without_a_key_no_authorization_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with FaultyServer(says_its_number) as server:
        assert values(judge_of(server, tmp_path / "journal.jsonl").score(items_of(2))) == [0, 1]
    assert all("Authorization" not in asked.headers for asked in server.asked)


def test_the_key_comes_from_the_variable_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "another-key-entirely")
    with FaultyServer(says_its_number) as server:
        judge_of(server, tmp_path / "journal.jsonl", key_variable="JUDGE_KEY").score(items_of(1))
    assert server.asked[0].headers["Authorization"] == "Bearer another-key-entirely"


def test_a_redirect_to_another_server_does_not_take_the_key_along(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as other:
        there = {"Location": f"{other.url}/chat/completions"}
        with FaultyServer(lambda _: Answer(b"", 307, there)) as server:
            judge_of(server, tmp_path / "journal.jsonl", retries=0).score(items_of(1))
    assert all(KEY not in str(asked.headers) for asked in other.asked)


@pytest.mark.parametrize("key", ["sk-secret part", "sk-secret\nX-Other: 1", "sk-sécret"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match=r"\$OPENAI_API_KEY") as error:
        Endpoint("grader", base_url="http://127.0.0.1:9/v1")
    assert key[3:8] not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["http://user:hunter2hunter2@host/v1", "https://host/v1?api-key=hunter2hunter2", "https://host/v1#hunter2hunter2"],
)
def test_a_url_with_a_key_in_it_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="environment variable") as error:
        Endpoint("grader", base_url=url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["", "host/v1", "ftp://host/v1", "http://", "http://[::1", "http://ho st/v1", "http://h:x"]
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must look like https://host/v1"):
        Endpoint("grader", base_url=url)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"concurrency": 0}, "concurrency must be above 0, got 0"),
        ({"timeout": 0.0}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
        ({"retries": -1}, "retries must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Endpoint("grader", **bad)


@pytest.mark.parametrize("bound", [1, 3])
def test_no_more_requests_are_in_flight_than_allowed(bound: int, tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        return failure(500) if asked.before == 0 and asked.number % 3 == 0 else Answer(GOOD.body, wait=0.05)

    with FaultyServer(behave) as server:
        judge_of(server, tmp_path / "journal.jsonl", concurrency=bound).score(items_of(5 * bound))
    assert min(bound, 2) <= server.most_in_flight <= bound


def test_progress_counts_every_item_that_is_asked(tmp_path: Path) -> None:
    done: list[int] = []
    with FaultyServer(lambda asked: failure(400) if number_in(asked) == 2 else GOOD) as server:
        judge_of(server, tmp_path / "journal.jsonl", progress=done.append).score(items_of(7))
    assert sum(done) == 7


def test_a_killed_run_goes_on_with_the_rest(tmp_path: Path) -> None:
    child = 0

    def behave(asked: Asked) -> Answer:
        if asked.number == 10:
            os.kill(child, signal.SIGKILL)
            return Answer(GOOD.body, wait=30)
        return says_its_number(asked)

    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, timeout=20.0)
        child = os.fork()
        if child == 0:
            judge.score(items_of(20))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        before = server.prompts()
        assert len(before) == 11
        assert len(judge.pending(items_of(20))) == 10
        scores = judge.score(items_of(20))
    assert values(scores) == list(range(20))
    assert server.prompts()[11:] == [f"grade answer {i}" for i in range(10, 20)]


def test_an_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    done = 0

    def stop_after_six(n: int) -> None:
        nonlocal done
        done += n
        if done == 6:
            raise KeyboardInterrupt

    with FaultyServer(says_its_number) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, progress=stop_after_six)
        with pytest.raises(KeyboardInterrupt):
            judge.score(items_of(12))
        again = judge_of(server, tmp_path / "journal.jsonl")
        assert values(again.score(items_of(12))) == list(range(12))
    assert Counter(server.prompts()) == Counter(item.prompt for item in items_of(12))


def test_a_finished_run_asks_nothing(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as server:
        first = judge_of(server, tmp_path / "journal.jsonl").score(items_of(5))
        assert judge_of(server, tmp_path / "journal.jsonl").score(items_of(5)) == first
    assert len(server.asked) == 5


def test_failed_items_are_asked_again_by_the_next_call(tmp_path: Path) -> None:
    broken = True

    def behave(asked: Asked) -> Answer:
        return failure(400) if broken and number_in(asked) == 1 else says_its_number(asked)

    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", mode="parsed")
        assert values(judge.score(items_of(3))) == [0, None, 2]
        broken = False
        assert values(judge.score(items_of(3))) == [0, 1, 2]
    assert Counter(server.prompts()) == {"grade answer 0": 1, "grade answer 1": 2, "grade answer 2": 1}


def test_another_model_or_mode_is_another_judge(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as server:
        judge_of(server, tmp_path / "journal.jsonl").score(items_of(2))
        judge_of(server, tmp_path / "journal.jsonl", mode="parsed").score(items_of(2))
        other = EndpointJudge(Endpoint("other", base_url=server.url), tmp_path / "journal.jsonl")
        other.score(items_of(2))
    assert len(server.asked) == 6
    assert len(rescored(tmp_path / "journal.jsonl")) == 6
    assert len(rescored(tmp_path / "journal.jsonl", judge=other.name)) == 2


def test_items_that_share_a_prompt_are_sent_once_and_all_scored(tmp_path: Path) -> None:
    items = [Item("a", "grade answer 7"), Item("b", "grade answer 8"), Item("c", "grade answer 7")]
    with FaultyServer(says_its_number) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl").score(items)
    assert [(score.id, score.value) for score in scores] == [("a", 7), ("b", 8), ("c", 7)]
    assert len(server.asked) == 2
    assert sorted(score.id for score in rescored(tmp_path / "journal.jsonl")) == ["a", "b", "c"]


def test_two_items_with_one_id_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as server:
        with pytest.raises(ValueError, match="'a'"):
            judge_of(server, tmp_path / "journal.jsonl").score(
                [Item("a", "grade answer 1"), Item("a", "grade answer 2")]
            )
    assert server.asked == []


def test_scores_come_back_from_the_journal_alone(tmp_path: Path) -> None:
    def behave(asked: Asked) -> Answer:
        if asked.before == 0 and number_in(asked) % 3 == 0:
            return failure(500)
        return completion("80", [("80", 0.6), ("70", 0.2)]) if number_in(asked) % 2 else says_its_number(asked)

    with FaultyServer(behave) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl").score(items_of(9))
    again = {score.id: score for score in rescored(tmp_path / "journal.jsonl")}
    assert [again[score.id] for score in scores] == scores
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rescored(tmp_path / "nowhere.jsonl")
    (tmp_path / "other.jsonl").write_text(json.dumps({"key": "k", "error": None, "body": GOOD.body.decode()}) + "\n")
    with pytest.raises(ValueError, match=r"other\.jsonl: not the journal of a judge"):
        rescored(tmp_path / "other.jsonl")


def test_a_torn_last_line_is_dropped_and_its_item_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = tmp_path / "journal.jsonl"
    with FaultyServer(says_its_number) as server:
        judge = judge_of(server, journal, concurrency=1)
        judge.score(items_of(4))
        whole = journal.read_bytes()
        journal.write_bytes(whole[:-40])
        assert len(rescored(journal)) == 3
        assert values(judge.score(items_of(4))) == [0, 1, 2, 3]
    assert server.prompts()[4:] == ["grade answer 3"]
    assert len(Journal(journal).records()) == 4
    assert "not written to its end" in caplog.text


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with FaultyServer(says_its_number) as server:
        judge = judge_of(server, journal)
        judge.score(items_of(3))
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
        with pytest.raises(ValueError, match=r"journal\.jsonl:2: not JSON"):
            judge.score(items_of(3))
    assert len(server.asked) == 3


def test_a_journal_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl")
        with Journal(tmp_path / "journal.jsonl").writing():
            with pytest.raises(ValueError, match="another process"):
                judge.score(items_of(1))
        assert server.asked == []
        assert values(judge.score(items_of(1))) == [0]


def test_a_run_beyond_the_budget_does_not_start(tmp_path: Path) -> None:
    with FaultyServer(says_its_number) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", budget=4)
        with pytest.raises(ValueError, match=r"5 requests are needed and the budget allows 4"):
            judge.score(items_of(5))
        assert server.asked == []
        assert values(judge.score(items_of(3))) == [0, 1, 2]
        assert values(judge.score(items_of(4))) == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="allows 0"):
            judge.score(items_of(5))


def test_retries_stop_at_the_budget(tmp_path: Path) -> None:
    with FaultyServer(lambda _: failure(500)) as server:
        scores = judge_of(server, tmp_path / "journal.jsonl", budget=5).score(items_of(3))
    assert len(server.asked) == 5
    assert [score.reason for score in scores] == ["failed"] * 3


def test_after_many_failures_in_a_row_nothing_more_is_sent(tmp_path: Path) -> None:
    with FaultyServer(lambda _: failure(400)) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", mode="parsed", concurrency=1, give_up_after=3)
        scores = judge.score(items_of(10))
    assert len(server.asked) == 3
    assert [score.reason for score in scores] == ["failed"] * 10
    assert "not sent" in scores[-1].raw


def test_many_refusals_of_a_server_that_works_are_no_reason_to_stop(tmp_path: Path) -> None:
    with FaultyServer(lambda asked: failure(400) if 0 < number_in(asked) < 9 else GOOD) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, give_up_after=3)
        scores = judge.score(items_of(10))
    assert [score.reason for score in scores] == ["scored", *["failed"] * 8, "scored"]


def test_failures_that_are_not_in_a_row_stop_nothing(tmp_path: Path) -> None:
    with FaultyServer(lambda asked: says_its_number(asked) if number_in(asked) % 3 == 0 else failure(500)) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, retries=0, give_up_after=3)
        scores = judge.score(items_of(12))
    assert len(server.asked) == 12
    assert values(scores) == [i if i % 3 == 0 else None for i in range(12)]


def test_it_runs_where_an_event_loop_is_running_already(tmp_path: Path) -> None:
    async def notebook(score: Callable[[], list[Score]]) -> list[Score]:
        return score()

    with FaultyServer(says_its_number) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl")
        assert values(asyncio.run(notebook(lambda: judge.score(items_of(3))))) == [0, 1, 2]


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"content": None},
        {"content": []},
        {"content": [{"token": "85"}]},
        {"content": [{"token": "85", "top_logprobs": []}]},
        {"content": [{"token": "85", "top_logprobs": [{"token": "85", "logprob": None}]}]},
        {"content": [{"token": "85", "top_logprobs": [{"token": 85, "logprob": -0.1}]}]},
        {"content": [{"token": "85", "top_logprobs": [{"token": "85", "logprob": 3.0}]}]},
        {"content": [{"token": "85", "top_logprobs": [{"token": "85", "logprob": float("nan")}]}]},
        {"content": [{"token": "85", "top_logprobs": [{"token": "85", "logprob": -0.1}] * 2}]},
    ],
)
def test_log_probabilities_that_are_none_are_as_good_as_not_given(logprobs: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": "85"}, "logprobs": logprobs}]})
    reply = reply_of(body)
    assert reply is not None
    assert (reply.text, reply.alternatives) == ("85", None)


def test_leading_white_space_is_not_the_first_token() -> None:
    said = [
        {"token": "\n", "logprob": 0.0, "top_logprobs": [{"token": "\n", "logprob": 0.0}]},
        {"token": "85", "logprob": -0.1, "top_logprobs": [{"token": "85", "logprob": -0.1}]},
    ]
    reply = reply_of(json.dumps({"choices": [{"message": {"content": "\n85"}, "logprobs": {"content": said}}]}))
    assert reply is not None
    assert reply.alternatives == (("85", -0.1),)


# models that think


def chat_reply(content: str | None, tokens: Sequence[str] = (), finish: str = "stop") -> str:
    """The body of a completion; each of the tokens is given the alternatives itself and 40."""
    said = [
        {"token": token, "logprob": -0.7, "top_logprobs": [{"token": t, "logprob": -0.7} for t in (token, "40")]}
        for token in tokens
    ]
    choice = {"message": {"content": content}, "finish_reason": finish, "logprobs": {"content": said}}
    return json.dumps({"choices": [choice]})


@pytest.mark.parametrize(
    ("text", "answer", "ended"),
    [
        ("85", "85", True),
        ("<think>maybe 40</think>\n85", "\n85", True),
        ("maybe 40</think>85", "85", True),
        ("<think>a</think>b<think>maybe 40", "", False),
        ("<think>The user wants a grade, maybe 40", "", False),
        ("<thinking>40</thinking>85", "85", True),
        ("[THINK]40[/THINK]85", "85", True),
        ("<seed:think>40", "", False),
        ("<|channel|>analysis<|message|>40<|end|><|start|>assistant<|channel|>final<|message|>85", "85", True),
        ("<|channel|>analysis<|message|>40", "", False),
        (None, "", True),
    ],
)
def test_a_thought_is_no_part_of_a_reply(text: str | None, answer: str, ended: bool) -> None:
    reply = reply_of(chat_reply(text))
    assert reply is not None
    assert (reply.text, reply.ended) == (answer, ended)


@pytest.mark.parametrize(("finish", "ended"), [("stop", True), ("length", False), ("content_filter", False)])
def test_a_reply_has_ended_where_the_server_does_not_say_that_it_was_cut(finish: str, ended: bool) -> None:
    reply = reply_of(chat_reply("85", finish=finish))
    assert reply is not None
    assert reply.ended == ended


@pytest.mark.parametrize(
    ("content", "tokens", "first"),
    [
        ("85", ["85"], "85"),
        ("85", ["85", "<|im_end|>"], "85"),
        ("\n85 of", ["\n", "85", " of"], "85"),
        ("85 of them", ["85"], "85"),
        ("<think>20</think>\n\n85", ["<think>", "20", "</think>", "\n\n", "85"], "85"),
        ("85", ["20", "</th", "ink>\n", "85"], "85"),
        ("85", ["20", " or", " 30"], None),
        ("85", ["85", " it", " may", " be"], None),
        ("85", ["8", "0"], None),
        (None, ["20", " or"], None),
        ("<think>20 or", ["<think>", "20", " or"], None),
    ],
)
def test_log_probabilities_count_only_where_they_are_the_content_s(
    content: str | None, tokens: list[str], first: str | None
) -> None:
    reply = reply_of(chat_reply(content, tokens))
    assert reply is not None
    assert (reply.alternatives[0][0] if reply.alternatives else None) == first


def test_a_character_that_is_spread_over_tokens_is_put_together_from_their_bytes() -> None:
    body = json.loads(chat_reply("85 – good", ["85", " \\xe2\\x80", "\\x93", " good"]))
    for token, parts in zip(
        body["choices"][0]["logprobs"]["content"], (b"85", b" \xe2\x80", b"\x93", b" good"), strict=True
    ):
        token["bytes"] = list(parts)
    reply = reply_of(json.dumps(body))
    assert reply is not None
    assert reply.alternatives is not None
    assert reply.following == " \\xe2\\x80"


def test_a_long_thought_is_passed_over_quickly() -> None:
    tokens = ["so "] * 50_000
    reply = reply_of(chat_reply("85", [*tokens, "</think>", "85"]))
    assert reply is not None
    assert reply.alternatives is not None


def refusal(message: str, status: int = 400, **more: Any) -> Answer:
    return Answer(json.dumps({"error": {"message": message, **more}}).encode(), status)


MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) is supported."
)


@pytest.mark.parametrize(("named", "status"), [(True, 400), (False, 400), (True, 422)])
def test_a_parameter_that_is_refused_is_adapted_once_and_remembered(
    named: bool, status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def behave(asked: Asked) -> Answer:
        for name, message in (("max_tokens", MAX_TOKENS), ("temperature", TEMPERATURE)):
            if name in asked.body:
                return refusal(message, status, param=name if named else None)
        return refusal("no log-probabilities") if "logprobs" in asked.body else says_its_number(asked)

    with FaultyServer(behave) as server:
        judge = judge_of(server, tmp_path / "journal.jsonl", concurrency=1, retries=0)
        assert judge.reply_tokens == REPLY_TOKENS
        assert values(judge.score(items_of(4))) == [0, 1, 2, 3]
        assert len(server.asked) == 3 + 4
        assert values(judge.score(items_of(5))) == [0, 1, 2, 3, 4]
    last = server.asked[-1].body
    assert last["max_completion_tokens"] == judge.reply_tokens == REPLY_TOKENS + THOUGHT_TOKENS
    assert not {"max_tokens", "temperature", "logprobs"} & last.keys()
    assert caplog.text.count("refuses max_tokens") == caplog.text.count("refuses temperature") == 1


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({"error": {"message": MAX_TOKENS, "param": "max_tokens", "code": "unsupported_parameter"}}, {"max_tokens"}),
        ({"error": {"message": "'temperature' is too low", "param": "messages"}}, set()),
        ({"error": {"message": "The temperature of your prompt is too high for us"}}, set()),
        ({"error": {"message": "bad request"}, "sent": {"temperature": 0.0, "note": "not supported"}}, set()),
        ({"error": "temperature is not supported"}, {"temperature"}),
        ({"message": "max_tokens is deprecated"}, {"max_tokens"}),
        (
            {"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs", "input": {"temperature": 0}}]},
            {"max_tokens"},
        ),
        ({"error": {"message": "`temperature` may only be set to 1"}}, {"temperature"}),
        ([], set()),
    ],
)
def test_an_error_blames_the_field_it_names_and_none_that_it_merely_mentions(body: Any, blamed: set[str]) -> None:
    assert refused_fields(json.dumps(body)) & {"max_tokens", "temperature"} == blamed


def test_an_error_that_is_no_json_blames_nothing() -> None:
    assert refused_fields(None) == refused_fields("temperature not supported") == set()

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests
import urllib3
from resilient_runtime import GaveUp, SlowDown
from resilient_runtime.retry_signs import Sign
from resilient_runtime.slow_down import Asked, NoTurn, asked_in

NOW = 1_800_000_000.0


def of_requests(status: int, **headers: str) -> requests.HTTPError:
    """What ``raise_for_status`` of requests raises."""
    reply = requests.Response()
    reply.status_code = status
    reply.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError(f"{status}", response=reply)


def of_httpx(status: int, **headers: str) -> httpx.HTTPStatusError:
    """What ``raise_for_status`` of httpx raises."""
    request = httpx.Request("GET", "https://courier.example")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.HTTPStatusError("", request=request, response=httpx.Response(status, headers=named))


class ToldError(Exception):
    """A client's own exception, with whatever members it has."""

    def __init__(self, **members: Any) -> None:
        super().__init__()
        vars(self).update(members)


def of_aws(code: str, status: int = 400, **headers: str) -> ToldError:
    """botocore's ClientError, by its shape."""
    return ToldError(
        response={
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        }
    )


def gave_up(last: object) -> GaveUp:
    """What a Retry raises after nothing but 429s."""
    return GaveUp("POST", attempts=3, seconds=1, why="enough", last=last, sign=Sign("throttled"))


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (SlowDown(), None),
        (SlowDown(retry_after=30), 30),
        (of_requests(429), None),
        (of_requests(429, Retry_After="7"), 7),
        (of_httpx(429, Retry_After="Fri, 15 Jan 2027 08:00:09 GMT"), 9),
        (of_requests(503, Retry_After="120"), 120),
        (of_aws("ThrottlingException"), None),
        (of_aws("com.amazonaws.x#ProvisionedThroughputExceededException"), None),
        (of_aws("Unknown", 429, **{"retry-after": "3"}), 3),
        (ToldError(status=429), None),
        (ToldError(status_code=429, retry_after="12"), 12),
        (ToldError(code=429, retry_after=2.5), 2.5),
        (ToldError(status=429, retry_after=-1), None),
        (gave_up(of_httpx(429, Retry_After="4").response), 4),
        (
            urllib3.exceptions.MaxRetryError(
                urllib3.PoolManager().connection_from_url("http://x"),
                "/",
                urllib3.exceptions.ResponseError("too many 429 error responses"),
            ),
            None,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_clients_way_to_tell_of_a_429_is_understood(
    error: BaseException, retry_after: float | None
) -> None:
    """An exception of requests, httpx, urllib3, botocore or the user's own says whether, and how long."""
    assert asked_in(error, now=NOW) == Asked(retry_after)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("429"),
        of_requests(500),
        of_requests(404, Retry_After="9"),
        of_aws("ValidationException"),
        ToldError(status=430),
        ConnectionError(),
    ],
)
def test_other_failures_ask_for_nothing(error: BaseException) -> None:
    """Only a 429, or trouble with a Retry-After, slows an environment down."""
    assert asked_in(error, now=NOW) is None


def test_a_429_is_found_behind_the_exception_that_was_raised_from_it() -> None:
    """A handler may wrap its client's exceptions."""

    def deliver() -> None:
        try:
            raise of_requests(429, Retry_After="5")
        except requests.HTTPError as error:
            raise RuntimeError("not delivered") from error

    with pytest.raises(RuntimeError) as raised:
        deliver()
    assert asked_in(raised.value, now=NOW) == Asked(5)


def test_an_exception_that_goes_round_in_circles_ends() -> None:
    """A chain of causes that bites its own tail is not followed for ever."""
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert asked_in(one, now=NOW) is None


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_wait_below_zero_is_refused(seconds: float) -> None:
    """A wrong number is named where it is given."""
    with pytest.raises(ValueError, match=r"retry_after is .*; allowed: 0 seconds or more"):
        SlowDown(retry_after=seconds)


def test_an_answer_that_a_retry_gave_up_on_still_says_when_to_come_back() -> None:
    """A 503 with a Retry-After that is too long for the invocation is just what the message should heed."""
    last = of_requests(503, Retry_After="45").response
    error = GaveUp("POST", attempts=1, seconds=1, why="too long", last=last, sign=Sign("failed"))
    assert asked_in(error, now=NOW) == Asked(45)


def test_a_429_in_a_group_of_exceptions_is_found() -> None:
    """Tasks of asyncio that fail together raise a group."""
    group = ExceptionGroup("two tasks", [ValueError(), ExceptionGroup("", [of_httpx(429, Retry_After="8")])])
    assert asked_in(group, now=NOW) == Asked(8)


@pytest.mark.parametrize("name", ["status", "status_code", "code", "http_status"])
def test_headers_of_an_exception_of_its_own_shape_are_read(name: str) -> None:
    """Some clients put the answer's headers straight onto their exception."""
    assert asked_in(ToldError(**{name: 429, "headers": {"Retry-After": "11"}}), now=NOW) == Asked(11)


@pytest.mark.parametrize("headers", [{"Retry-After": b"5"}, 7, ["Retry-After"]])
def test_a_429_whose_headers_break_the_reader_is_still_one(headers: object) -> None:
    """Whatever stands there, fewer calls are wanted."""
    assert asked_in(ToldError(status_code=429, headers=headers), now=NOW) == Asked(None)


def test_an_exception_that_breaks_whoever_looks_at_it_asks_for_nothing() -> None:
    """Nothing that a handler raises may cost its message the way back."""

    class HostileError(Exception):
        @property
        def response(self) -> object:
            raise RuntimeError

    assert asked_in(HostileError(), now=NOW) is None


def test_our_own_pace_is_told_from_the_downstreams_word() -> None:
    """A turn that is too far off says when to come back, and nothing about the downstream."""
    asked = asked_in(NoTurn("Courier", 30), now=NOW)
    assert asked == Asked(30, uncalled=True)

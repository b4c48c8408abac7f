"""Which exceptions tell that a call which came back was none."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest
import requests
from resilient_runtime import GaveUp, Reject, SlowDown
from resilient_runtime.late_answers import path_to_answer
from resilient_runtime.retry_signs import Sign


class ToldError(Exception):
    """A client's own exception, with whatever members it has."""

    def __init__(self, **members: Any) -> None:
        super().__init__()
        vars(self).update(members)


class DeliveryFailedError(Exception):
    """What a handler makes of it."""


def of_requests(status: int) -> requests.HTTPError:
    """What ``raise_for_status`` of requests raises."""
    reply = requests.Response()
    reply.status_code = status
    return requests.HTTPError(f"{status}", response=reply)


def of_httpx(status: int) -> httpx.HTTPStatusError:
    """What ``raise_for_status`` of httpx raises."""
    request = httpx.Request("GET", "https://courier.example")
    return httpx.HTTPStatusError("", request=request, response=httpx.Response(status))


def of_urllib(status: int) -> HTTPError:
    """What ``urlopen`` raises."""
    return HTTPError("https://courier.example", status, "", {}, None)  # type: ignore[arg-type]


def of_aws(status: int) -> ToldError:
    """botocore's ClientError, by its shape."""
    return ToldError(response={"Error": {"Code": "Unknown"}, "ResponseMetadata": {"HTTPStatusCode": status}})


def gave_up(last: object) -> GaveUp:
    """What a Retry raises at the end."""
    return GaveUp("POST", attempts=3, seconds=1, why="enough", last=last, sign=Sign("failed"))


def raise_(error: BaseException) -> None:
    """Raise it."""
    raise error


def raised(how: str, carrier: BaseException) -> BaseException:
    """An exception that was made of ``carrier`` in a handler's ``except``."""
    try:
        try:
            raise_(carrier)
        except BaseException as error:
            if how == "cause":
                raise DeliveryFailedError from error
            raise DeliveryFailedError  # noqa: B904
    except DeliveryFailedError as own:
        return own


@pytest.mark.parametrize(
    "error",
    [
        of_requests(500),
        of_requests(501),
        of_httpx(503),
        of_urllib(502),
        of_aws(503),
        gave_up(of_httpx(503)),
        gave_up(of_httpx(503).response),
        ToldError(status=HTTPStatus.BAD_GATEWAY),
        ToldError(status_code=503),
        ToldError(http_status=599),
        of_requests(429),
        SlowDown(),
    ],
    ids=lambda error: f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}",
)
def test_an_answer_of_trouble_is_found_in_what_it_was_raised_with(error: BaseException) -> None:
    """Whichever client raised it, and whether the handler made another exception of it or not."""
    assert path_to_answer(error) == (error,)
    for how in ("cause", "context"):
        own = raised(how, error)
        assert path_to_answer(own) == (own, error)
    group = ExceptionGroup("both", [ValueError(), error]) if isinstance(error, Exception) else None
    assert group is not None
    assert path_to_answer(group) == (group, error)


class BreakingError(Exception):
    """An exception that breaks whoever looks at it."""

    @property
    def response(self) -> Any:
        """Nothing to see."""
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("no"),
        of_requests(404),
        of_httpx(302),
        of_aws(400),
        gave_up(ConnectionError()),
        ToldError(code=503),
        ToldError(status="503"),
        SystemExit(503),
        Reject("no such address"),
        raised("cause", Reject("no such address")),
        BreakingError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_everything_else_tells_nothing_of_an_answer(error: BaseException | None) -> None:
    """A bug behind the block is no failure of whoever was called, and a code is not always a status."""
    assert path_to_answer(error) == ()


def test_a_rejection_is_the_last_word() -> None:
    """Who gives the message up because of an answer has said what the answer means."""
    with pytest.raises(Reject) as caught:
        raise Reject("refused") from of_requests(500)
    assert path_to_answer(caught.value) == ()
    assert path_to_answer(raised("cause", caught.value)) == ()


def test_what_a_call_has_failed_by_is_not_told_again() -> None:
    """Nor what stands behind it."""
    first = of_requests(503)
    own = raised("cause", first)
    assert path_to_answer(own, {id(first)}) == ()
    assert path_to_answer(own, {id(own)}) == ()


def test_a_chain_without_end_is_followed_for_a_while() -> None:
    """Exceptions may name each other as their causes."""
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert path_to_answer(one) == ()

from __future__ import annotations

import http.client
import re
import socket
import urllib.error
from email.utils import formatdate

import httpx
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.retry_signs import read_sign, seconds_of
from retry_world import NOON, Answer, refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("9" * 400, float("inf")),
        (formatdate(NOON + 90, usegmt=True), 90),
        (formatdate(NOON - 90, usegmt=True), 0),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
        ("-7", None),
        ("1.5", None),
        ("٧", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected: float | None) -> None:
    """Both forms of the header are read, and what is neither asks for nothing."""
    assert seconds_of(text, now=NOON) == expected


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [A-Z]{1,4}"))
def test_no_retry_after_breaks_the_client(text: str) -> None:
    """Whatever a server sends as Retry-After, it is a number of seconds from zero up, or nothing."""
    found = seconds_of(text, now=NOON)
    assert found is None or found >= 0


def test_a_date_is_by_the_servers_own_clock() -> None:
    """A client whose clock is an hour off waits as long as the server meant."""
    late = NOON + 3600
    headers = {"Retry-After": formatdate(NOON + 5, usegmt=True), "Date": formatdate(NOON, usegmt=True)}
    assert read_sign(Answer(503, headers), now=late).retry_after == 5


def wrapped(error: type[Exception]) -> Exception:
    """requests' exception around urllib3's around a refused connection."""
    pool = urllib3.HTTPConnectionPool("x")
    reason = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("x"), "refused")
    return error(urllib3.exceptions.MaxRetryError(pool, "/", reason))


@pytest.mark.parametrize(
    ("ended", "kind", "untouched"),
    [
        (Answer(200), "done", False),
        (Answer(404), "done", False),
        (Answer(501), "done", False),
        (Answer(408), "failed", True),
        (Answer(425), "failed", True),
        (Answer(429), "throttled", True),
        (Answer(500), "failed", False),
        (Answer(503), "failed", False),
        (Answer(529), "failed", False),
        (urllib3.HTTPResponse(status=503), "failed", False),
        (httpx.Response(429), "throttled", True),
        (requests.HTTPError(response=Answer(503)), "failed", False),  # type: ignore[arg-type]
        (httpx.HTTPStatusError("", request=httpx.Request("GET", "/"), response=httpx.Response(503)), "failed",
         False),
        (httpx.HTTPStatusError("", request=httpx.Request("GET", "/"), response=httpx.Response(404)), "done",
         False),
        (urllib.error.HTTPError("", 503, "", None, None), "failed", False),  # type: ignore[arg-type]
        (urllib.error.URLError(refused()), "failed", True),
        (urllib.error.URLError("unknown url type"), "done", False),
        (refused(), "failed", True),
        (ConnectionResetError(), "failed", False),
        (TimeoutError(), "failed", False),
        (socket.gaierror(), "failed", True),
        (httpx.ReadTimeout(""), "failed", False),
        (httpx.ConnectError(""), "failed", True),
        (httpx.UnsupportedProtocol(""), "done", False),
        (requests.ReadTimeout(), "failed", False),
        (requests.exceptions.SSLError(), "done", False),
        (requests.exceptions.InvalidURL(), "done", False),
        (wrapped(requests.ConnectionError), "failed", True),
        (urllib3.exceptions.ProtocolError("", ConnectionResetError()), "failed", False),
        (http.client.InvalidURL(), "done", False),
        (http.client.IncompleteRead(b""), "failed", False),
        (FileNotFoundError(), "done", False),
        (ValueError(), "done", False),
        ({"status": 503}, "done", False),
        (None, "done", False),
    ],
    ids=lambda value: re.sub(r" at 0x[0-9a-f]+", "", repr(value)),
)  # fmt: skip
def test_every_clients_ends_are_told_apart(ended: object, kind: str, untouched: bool) -> None:
    """Good or final, slow down, or failed; and whether the other side certainly did nothing."""
    sign = read_sign(ended, now=NOON)
    assert (sign.kind, sign.untouched) == (kind, untouched)

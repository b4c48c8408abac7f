from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accepting_api import AcceptingApi, Answer, problem
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime import Retry, RetryBudget, StorageFirstClient
from resilient_runtime.call import Call, active_call, outcome_of
from resilient_runtime.client import Accepted, Rejected, SendFailed, Throttled, Unavailable
from resilient_runtime.correlation import is_valid
from resilient_runtime.http_transport import HttpTransport
from resilient_runtime.signing import region_of

SOON = {"Retry-After": "1"}
BUSY = problem(429, "Too Many Requests", "Later.", headers=SOON)
UNSTORED = problem(503, "Service Unavailable", "The request could not be stored.", headers=SOON)
RUNTIME = str(Path(__file__).parents[2] / "runtime")


class Waits(list[float]):
    """What was slept, without sleeping."""

    def client(self, url: str, **options: Any) -> StorageFirstClient:
        """A client of an open API that waits like this."""
        policy = {"attempts": 5, "sleep": self.append, "budget": RetryBudget(), "random": lambda: 0.5}
        retry = Retry(**{**policy, **options.pop("retry", {})})
        return StorageFirstClient(url, **{"auth": "none", "retry": retry, "timeout": 5, **options})


def failed(client: StorageFirstClient, kind: type[SendFailed] = Unavailable) -> SendFailed:
    """The error of a message that could not be sent."""
    with pytest.raises(kind) as raised:
        client.send("/orders", {"n": 1}, correlation_id="c-1", idempotency_key="k-1")
    return raised.value


def test_a_message_is_accepted() -> None:
    """The body goes as JSON with both ids, and the answer's ids come back."""
    with AcceptingApi() as api, Waits().client(api.url) as client:
        accepted = client.send("/orders", {"n": "žluť"}, correlation_id="c-1", idempotency_key="k-1")
    assert accepted == Accepted(message_id="m-1", correlation_id="c-1", idempotency_key="k-1", attempts=1)
    [asked] = api.asked
    assert (asked.path, asked.body.decode()) == ("/prod/orders", '{"n":"žluť"}')
    assert {
        name: asked.headers[name] for name in ("content-type", "x-correlation-id", "idempotency-key")
    } == {
        "content-type": "application/json",
        "x-correlation-id": "c-1",
        "idempotency-key": "k-1",
    }


@pytest.mark.parametrize(
    ("body", "sent"), [('{"a": 1.0}', b'{"a": 1.0}'), (b'{"b":2}', b'{"b":2}'), ([1], b"[1]")]
)
def test_text_and_bytes_are_sent_as_they_are(body: Any, sent: bytes) -> None:
    """What is JSON already is not written again."""
    with AcceptingApi() as api, Waits().client(api.url + "/") as client:
        client.send("orders/bulk?dry=1", body, method="PUT")
    assert (api.asked[0].path, api.asked[0].body) == ("/prod/orders/bulk?dry=1", sent)


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        UNSTORED,
        Answer(504, b""),
        Answer(500, b""),
        Answer(502, b"<html>"),
        Answer(cut=True),
        Answer(lost=True),
    ],
    ids=["429", "503", "504", "500", "502", "cut", "lost"],
)
def test_bad_weather_is_outlived(failure: Answer) -> None:
    """Throttling, failures, cut connections and lost answers are tried again, with the same ids."""
    with AcceptingApi(failure, replace(failure)) as api, Waits().client(api.url) as client:
        accepted = client.send("/orders", {"n": 1})
    assert accepted.attempts == 3
    assert len({asked.headers["idempotency-key"] for asked in api.asked}) == 1
    assert len({asked.headers["x-correlation-id"] for asked in api.asked}) == 1
    assert len({asked.body for asked in api.asked}) == 1
    assert {one["key"] for one in api.stored} == {accepted.idempotency_key}


def test_retry_after_is_waited_for() -> None:
    """The API's own word on when to come back counts, and jitter is added to it."""
    waits = Waits()
    with AcceptingApi(BUSY, UNSTORED) as api, waits.client(api.url) as client:
        client.send("/orders", {})
    assert waits == [1 + 0.5, 1 + 0.1]


def test_what_is_refused_is_not_sent_again() -> None:
    """A 4xx raises at once with the problem that the API told, and says that sending again is no use."""
    refusal = problem(400, "Bad Request", "object has missing required properties")
    with AcceptingApi(refusal) as api, Waits().client(api.url) as client:
        error = failed(client, Rejected)
    assert len(api.asked) == 1
    assert (error.status, error.accepted, error.problem["title"]) == (400, "no", "Bad Request")
    assert str(error) == (
        "POST /orders: HTTP 400: Bad Request: object has missing required properties. The message was NOT "
        "accepted: correct the request, for the same one is refused again (idempotency_key k-1, "
        "correlation_id c-1, attempts 1)"
    )


@pytest.mark.parametrize(("status", "body"), [(403, b'{"message":"Forbidden"}'), (413, b""), (415, b"")])
def test_a_refusal_without_a_problem_is_one_too(status: int, body: bytes) -> None:
    """Whatever stands on the way refuses in its own words."""
    with AcceptingApi(Answer(status, body)) as api, Waits().client(api.url) as client:
        error = failed(client, Rejected)
    assert (error.status, error.problem, error.accepted) == (status, {}, "no")
    assert f"HTTP {status}: {body.decode()}" in str(error)


def test_lasting_throttling_is_no_outage() -> None:
    """An API that is well but busy is told apart, and the message was not accepted."""
    with AcceptingApi(*[BUSY] * 9) as api, Waits().client(api.url) as client:
        error = failed(client, Throttled)
    assert (error.status, error.accepted, error.attempts) == (429, "no", 5)
    assert outcome_of(error) == "throttled"
    assert "send it again later with the same idempotency_key" in str(error)


def test_what_the_storage_refused_was_not_accepted() -> None:
    """The API's own 503 says that nothing was stored, and the error says so too."""
    with AcceptingApi(*[UNSTORED] * 9) as api, Waits().client(api.url) as client:
        error = failed(client)
    assert (error.status, error.accepted) == (503, "no")
    assert "The message was NOT accepted" in str(error)


@pytest.mark.parametrize(
    "unclear",
    [Answer(504, b""), Answer(503, b"<html>"), Answer(cut=True), Answer(lost=True), Answer(hangs=True)],
)
def test_one_unclear_answer_makes_it_unknown(unclear: Answer) -> None:
    """When a single attempt may have been stored, no later answer can take that back."""
    with AcceptingApi(unclear, *[BUSY] * 9) as api, Waits().client(api.url, timeout=0.3) as client:
        error = failed(client, Throttled)
    assert error.accepted == "unknown"
    assert "It is UNKNOWN whether the message was accepted" in str(error)


def test_who_cannot_be_reached_has_accepted_nothing() -> None:
    """A port that nobody listens on is tried again, and then it is certain that nothing was stored."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Waits().client(f"http://127.0.0.1:{port}/prod") as client:
        error = failed(client)
    assert (error.status, error.accepted, error.attempts) == (None, "no", 5)
    assert "could not be reached" in str(error)


@pytest.mark.parametrize(
    "answer", [Answer(200, b"welcome"), Answer(202, {"id": 1}), Answer(301, b""), Answer(202, b"{")]
)
def test_what_is_no_such_api_is_told(answer: Answer) -> None:
    """An answer that no storage-first API gives points at the URL, and is not taken for acceptance."""
    with AcceptingApi(answer) as api, Waits().client(api.url) as client:
        error = failed(client)
    assert (error.accepted, error.attempts) == ("unknown", 1)
    assert "this is no answer of a StorageFirstApi; check the URL" in str(error)


def test_it_gives_up_before_the_deadline() -> None:
    """In a handler with a second left it does not wait for two, and no attempt outlives the invocation."""
    waits = Waits()
    slow = problem(503, "Service Unavailable", "Not stored.", headers={"Retry-After": "2"})
    token = active_call.set(Call(correlation_id="of-the-call", remaining=lambda: 1_500))
    try:
        with AcceptingApi(slow, slow) as api, waits.client(api.url) as client:
            with pytest.raises(Unavailable, match=r"does not fit into the 1.0 s that are left"):
                client.send("/orders", {})
            with pytest.raises(Unavailable) as raised:
                client.send("/orders", {})
    finally:
        active_call.reset(token)
    assert waits == []
    assert raised.value.correlation_id == "of-the-call"


def test_without_time_nothing_is_sent() -> None:
    """A message that could not be confirmed any more is not begun."""
    token = active_call.set(Call(remaining=lambda: 400))
    try:
        with AcceptingApi() as api, Waits().client(api.url) as client:
            error = failed(client)
    finally:
        active_call.reset(token)
    assert (api.asked, error.accepted) == ([], "no")
    assert "nothing was sent, as -0.1 s are left" in str(error)


def test_a_connection_is_kept_and_a_dead_one_replaced() -> None:
    """Messages that follow each other share a connection; the server's end of it costs no attempt."""
    closing = Answer(headers={"Connection": "close"})
    with AcceptingApi(Answer(), closing) as api, Waits().client(api.url) as client:
        attempts = [client.send("/orders", {}).attempts for _ in range(4)]
    assert attempts == [1, 1, 1, 1]
    assert len({asked.port for asked in api.asked}) == 2


def test_it_may_be_shared_by_threads() -> None:
    """Eight threads send over four connections, and every message arrives once."""
    with AcceptingApi() as api, Waits().client(api.url, limit=4) as client:
        threads = [
            threading.Thread(target=lambda: [client.send("/orders", {}) for _ in range(10)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(api.stored) == len({one["key"] for one in api.stored}) == 80
    assert len({asked.port for asked in api.asked}) <= 4


def test_a_kept_connection_waits_no_longer_than_its_request_may() -> None:
    """The second request's time counts, not the one that the connection was opened with."""
    with AcceptingApi(Answer(), Answer(hangs=True)) as api:
        transport = HttpTransport(api.url, limit=1)
        headers = {"X-Correlation-Id": "c", "Idempotency-Key": "k"}
        transport("POST", f"{api.url}/orders", headers, b"{}", 60)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            transport("POST", f"{api.url}/orders", headers, b"{}", 0.1)
        assert time.monotonic() - began < 5
        transport.close()
    assert len({asked.port for asked in api.asked}) == 1


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    """A hostile answer costs a mebibyte at most, and its rest is not taken for the next answer."""
    with AcceptingApi(Answer(202, b"x" * 3_000_000)) as api, Waits().client(api.url) as client:
        failed(client)
        assert client.send("/orders", {}).attempts == 1
    assert len({asked.port for asked in api.asked}) == 2


def test_requests_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With IAM each attempt is signed for execute-api in the URL's region, ids and token included."""
    for name, value in {"ACCESS_KEY_ID": "AKID", "SECRET_ACCESS_KEY": "s", "SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with AcceptingApi(UNSTORED) as api:
        client = Waits().client(api.url, auth="iam", region="eu-west-1")
        client.send("/orders", {"n": 1})
        client.close()
    for asked in api.asked:
        signature = asked.headers["authorization"]
        assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKID/")
        assert "/eu-west-1/execute-api/aws4_request" in signature
        signed = signature.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert {"host", "x-amz-date", "x-amz-security-token", "x-correlation-id", "idempotency-key"} <= set(
            signed
        )


def test_without_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing credentials are told in one sentence and not retried."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name, value in {"CONFIG_FILE": "/nowhere", "SHARED_CREDENTIALS_FILE": "/nowhere"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    waits = Waits()
    client = waits.client("https://a.execute-api.eu-west-1.amazonaws.com", auth="iam")
    with pytest.raises(RuntimeError, match="botocore finds no credentials"):
        client.send("/orders", {})
    assert waits == []


@pytest.mark.parametrize("auth", [{"Authorization": "token"}, lambda: {"Authorization": "token"}])
def test_headers_of_the_users_own_go_along(auth: Any) -> None:
    """A token, or a function that renews it, takes the signature's place."""
    with AcceptingApi() as api, Waits().client(api.url, auth=auth) as client:
        client.send("/orders", {})
    assert api.asked[0].headers["authorization"] == "token"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://a1b2.execute-api.eu-west-1.amazonaws.com/prod", "eu-west-1"),
        ("https://a1b2.execute-api.cn-north-1.amazonaws.com.cn/prod", "cn-north-1"),
        ("https://a1b2-vpce-0f.execute-api.us-gov-east-1.amazonaws.com/prod", "us-gov-east-1"),
        ("https://vpce-1-2.execute-api.us-east-2.vpce.amazonaws.com/prod", "us-east-2"),
        ("https://orders.example.com/", "ap-south-1"),
    ],
)
def test_the_region_is_in_the_url(url: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API's own URL names its region; behind a name of one's own the environment does."""
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert region_of(url) == region


def test_a_url_without_region_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could never be signed is told when the client is made."""
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ValueError, match=r"no region in 'https://orders.example.com'"):
        StorageFirstClient("https://orders.example.com")
    with pytest.raises(ValueError, match=r"url is 'orders.example.com'; allowed: https://"):
        StorageFirstClient("orders.example.com", auth="none")


@given(st.text(min_size=1).filter(lambda text: not is_valid(text)))
def test_an_id_that_the_api_would_drop_is_refused(text: str) -> None:
    """A key that would silently not count never leaves."""
    client = Waits().client("http://nowhere.invalid")
    for name in ("idempotency_key", "correlation_id"):
        with pytest.raises(ValueError, match=f"{name} is "):
            client.send("/orders", {}, **{name: text})


def test_a_transport_of_the_users_own_is_used() -> None:
    """Requests can go through anything that sends them and says how it ended."""
    asked: list[tuple[str, str, float]] = []
    own = HttpTransport("http://127.0.0.1:9", limit=1)

    def send(method: str, url: str, headers: Any, body: bytes, timeout: float) -> Any:
        asked.append((method, url, timeout))
        return own(method, api.url + "/orders", headers, body, timeout)

    with AcceptingApi() as api:
        own._url = api.url
        client = Waits().client("https://a.example.com/prod", transport=send)
        assert client.send("/orders", {}).attempts == 1
        own.close()
    assert asked == [("POST", "https://a.example.com/prod/orders", 5)]


def test_a_wrong_certificate_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose certificate is wrong now has a wrong one in a second: the error is told as it is."""
    waits = Waits()

    def refuse(self: Any) -> None:
        raise ssl.SSLCertVerificationError("self-signed certificate")

    monkeypatch.setattr("http.client.HTTPSConnection.connect", refuse)
    with waits.client("https://a.example.com") as client, pytest.raises(ssl.SSLCertVerificationError):
        client.send("/orders", {})
    assert waits == []


def test_outside_of_lambda_it_needs_nothing_else() -> None:
    """Importing it loads no client of AWS and nothing of ours but the runtime."""
    code = (
        "import sys; from resilient_runtime import StorageFirstClient as C; C('https://x', auth='none'); "
        "print({'boto3', 'botocore', 'requests', 'urllib3', 'aws_lambda_powertools'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": RUNTIME}
    )
    assert done.stdout.strip() == "set()"


def test_in_lambda_a_recycle_closes_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where environments are recycled, the client's connections are closed with them."""
    from resilient_runtime.health import callbacks

    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(callbacks, "_registered", registered)
    Waits().client("http://127.0.0.1:9")
    assert registered == []
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "Shop")
    with AcceptingApi() as api:
        client = Waits().client(api.url)
        client.send("/orders", {})
        [close] = registered
        close()
        client.send("/orders", {})
        client.close()
    assert len({asked.port for asked in api.asked}) == 2

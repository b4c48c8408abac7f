"""What the client sends is what it signs, whatever the path and its query hold."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote, unquote

import pytest
from accepting_api import AcceptingApi, Answer, Asked
from hypothesis import given, settings
from hypothesis import strategies as st
from resilient_runtime import Retry, StorageFirstClient

SECRET_KEY = "s"


def expected_signature(asked: Asked) -> str:
    """The signature of a request as it arrived, by AWS's description alone.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    names = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    path, _, query = asked.path.partition("?")
    parameters = sorted(
        tuple(quote(unquote(part), safe="~") for part in (one.partition("=")[0], one.partition("=")[2]))
        for one in query.split("&")
        if one
    )
    request = [
        "POST",
        quote(path, safe="/~"),  # encoded once more, as for every service but S3
        "&".join(f"{name}={value}" for name, value in parameters),
        *(f"{name}:{asked.headers[name].strip()}" for name in names.split(";")),
        "",
        names,
        hashlib.sha256(asked.body).hexdigest(),
    ]
    date = asked.headers["x-amz-date"]
    scope = f"{date[:8]}/eu-west-1/execute-api/aws4_request"
    hashed = hashlib.sha256("\n".join(request).encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/orders", "/prod/orders"),
        ("orders/", "/prod/orders/"),
        ("/my orders/größe", "/prod/my%20orders/gr%C3%B6%C3%9Fe"),
        ("/my%20orders", "/prod/my%20orders"),
        ("/orders/a:b@c;d=e,f", "/prod/orders/a:b@c;d=e,f"),
        ("/orders?b=2&a=x y&c=ü", "/prod/orders?b=2&a=x%20y&c=%C3%BC"),
        ("/orders\r\nX-Evil: 1", "/prod/orders%0D%0AX-Evil:%201"),
        ("/orders#1", "/prod/orders%231"),
    ],
)
def test_a_path_is_encoded_and_signed_as_it_is_sent(
    path: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that no request line could hold reaches the API at the first attempt, rightly signed."""
    for name, value in {"ACCESS_KEY_ID": "AKID", "SECRET_ACCESS_KEY": SECRET_KEY}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with AcceptingApi() as api, StorageFirstClient(api.url, region="eu-west-1") as client:
        assert client.send(path, {"n": "größe"}).attempts == 1
    (asked,) = api.asked
    assert asked.path == sent
    assert "x-evil" not in asked.headers
    assert asked.headers["authorization"].rpartition("Signature=")[2] == expected_signature(asked)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_a_path_below_the_stage(text: str) -> None:
    """No text leaves the path, adds a header, or makes the client try again."""
    with (
        AcceptingApi(Answer()) as api,
        StorageFirstClient(api.url, auth="none", retry=Retry(attempts=1)) as client,
    ):
        client.send(f"/orders/{text}", 1)
    (asked,) = api.asked
    assert asked.path.startswith("/prod/orders/")
    assert asked.path.isascii()
    assert set(asked.headers) == {
        *("accept-encoding", "content-length", "content-type", "host", "idempotency-key", "x-correlation-id")
    }

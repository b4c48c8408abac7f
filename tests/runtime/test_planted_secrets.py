from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lambda_events import bridge_event
from redacted import REDACT, VALUES, shown

ADVERSARIES = [
    *("a", "@", "a@", "a@a.", "4 ", "41", "33 ", "eyJ", "Bearer ", "token=", "token:", 'token="', "token='"),
    *(
        '"',
        "\\",
        "'",
        "://",
        "://a",
        "://a@",
        "- ",
        "4-",
        "sk-",
        "AKIA",
        "a.b-",
        "=:",
        " ",
        "%3D",
        "x%40",
        "{",
        "[",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "4111 1111 1111 1111 ",
        "Authorization: ",
        '\\"token\\": \\"',
        "a_",
        "password ",
    ),
]


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_no_text_makes_the_search_slow(adversary: str) -> None:
    """The built-in expressions are linear: thousands of beginnings without an end take milliseconds."""
    text = adversary * (4352 // len(adversary))
    began = time.process_time()
    REDACT({"x": text})
    REDACT.text(text)
    REDACT.code(text)
    assert time.process_time() - began < 0.1


def in_layers(secret: object, layers: list[str]) -> Any:
    """An event with this somewhere inside."""
    for layer in layers:
        if layer == "list":
            secret = ["before", secret, 7]
        elif layer == "member":
            secret = {"before": 1, "member": secret}
        elif layer == "detail":
            secret = bridge_event(secret)
        elif layer == "body":
            secret = {"messageId": "m", "body": json.dumps(secret)}
        elif layer == "text":
            secret = json.dumps(secret)
        elif layer == "data":
            secret = {"data": base64.b64encode(json.dumps(secret).encode()).decode()}
        elif layer == "value":
            secret = {"value": base64.b64encode(json.dumps({"of": secret}).encode()).decode()}
        else:
            secret = {"body": base64.b64encode(json.dumps(secret).encode()).decode(), "isBase64Encoded": True}
    return secret


LAYERS = st.lists(
    st.sampled_from(["list", "member", "detail", "body", "text", "data", "value", "encoded"]), max_size=7
)
PLANTED = "planted-here"
NAMES = st.sampled_from(
    ["password", "Secret", "access-token", "API_KEY", "authorization", "cookie", "cvv", "iban"]
)
HIDING = st.one_of(
    NAMES.map(lambda name: {name: PLANTED}),
    NAMES.map(lambda name: {name: {"deep": [PLANTED]}}),
    NAMES.map(lambda name: {name: 1, "url": f"https://h/?a=1&{name}={PLANTED}&b=2"}),
    NAMES.map(lambda name: {"headers": [f"{name}: {PLANTED}"]}),
    st.sampled_from(VALUES),
    st.tuples(st.text(max_size=1200), st.sampled_from(VALUES), st.text(max_size=30)).map(" ".join),
    st.sampled_from(VALUES).map(lambda value: {value: value}),
)


@settings(max_examples=300)
@given(HIDING, LAYERS)
def test_no_planted_secret_survives(hiding: object, layers: list[str]) -> None:
    """By name or by looks, in any mix of lists, members, bodies, texts and base64, it is hidden."""
    text = json.dumps(shown(in_layers(hiding, layers)))
    for secret in (PLANTED, *VALUES):
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode().rstrip("=")[:-1] not in text


@given(st.text(max_size=4000), st.sampled_from(VALUES), st.text(max_size=4000))
def test_no_planted_secret_survives_in_a_message(before: str, secret: str, after: str) -> None:
    """Whatever an exception's message has around it."""
    for hide in (REDACT.text, REDACT.code):
        assert secret not in hide(f"{before} {secret} {after}")

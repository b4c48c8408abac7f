from __future__ import annotations

import base64
import json
import signal
import threading
import time
from typing import Any

import pytest
from lambda_events import bridge_event, sqs_record
from redacted import CARD, GITHUB, REDACT, VALUES, shown
from resilient_runtime.redaction import Redactor
from resilient_runtime.settings import RedactionSettings


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "PASS-WORD",
        "db_password",
        "clientSecret",
        "access_token",
        "X-Amz-Security-Token",
        "Authorization",
        "proxy-authorization",
        "x-api-key",
        "apiKey",
        "Cookie",
        "Set-Cookie",
        "session",
        "sessionId",
        "PHP_SESSION_ID",
        "card",
        "cardNumber",
        "CVV",
        "cvc",
        "ssn",
        "IBAN",
        "customer_iban",
        "pin",
        "privateKey",
        "AWSSecretAccessKey",
        "accessKeyId",
    ],
)
def test_a_secret_name_hides_its_value_whatever_it_is(name: str) -> None:
    """Case, hyphens and underscores make no difference, nor does the type of the value."""
    for value in ("x", 1, ["x"], {"a": "x"}, True):
        assert shown({name: value, "other": 1}) == {name: "[hidden]", "other": 1}


@pytest.mark.parametrize(
    "name", ["cardinality", "kibana_url", "shipping", "passed", "compass", "order_id", "company", "spinner"]
)
def test_a_name_that_only_contains_a_short_word_is_harmless(name: str) -> None:
    """What helps to find a fault is not hidden for the letters in its name."""
    assert shown({name: "x"}) == {name: "x"}


def test_that_a_secret_is_missing_is_told() -> None:
    """An absent or empty secret is often the fault itself."""
    assert shown({"password": None, "token": ""}) == {"password": None, "token": ""}


def test_names_of_the_users_own_are_hidden_too() -> None:
    """They are compared as a whole, without case, hyphen and underscore."""
    assert shown({"Customer-Name": "Jo", "customer": "x"}, keys=("customer_name",)) == {
        "Customer-Name": "[hidden]",
        "customer": "x",
    }


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("around", ["{}", "see {} there", "({})", "'{}'", "a={};b", "https://h/p?q={}&x=1"])
def test_a_secret_is_known_by_what_it_looks_like(value: str, around: str) -> None:
    """Cards, tokens, keys and addresses are hidden wherever they stand in a text."""
    assert value not in json.dumps(shown({"note": around.format(value), value: 1}))


def test_a_number_can_be_a_card() -> None:
    """A card that was sent as a number is one still; a timestamp in milliseconds is none."""
    assert shown([int(CARD), float(CARD), 1_800_000_000_000, 4111111111111112]) == [
        "[hidden]",
        "[hidden].0",
        1_800_000_000_000,
        4111111111111112,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefghijk, then more", "Authorization: [hidden]"),
        ("called with Bearer abc.def-ghi_jkl", "called with Bearer [hidden]"),
        ("https://jo:hunter2@db.example/orders", "https://[hidden]@db.example/orders"),
        ("GET /?token=abc&order=7", "GET /?token=[hidden]&order=7"),
        ("a[password]=abc&b=1", "a[password]=[hidden]&b=1"),
        ("password='two words' host=db", "password=[hidden] host=db"),
        ('{"api_key": "ab\\"c", oops', '{"api_key": [hidden], oops'),
        ("Cookie: a=b; c=d\nHost: h", "Cookie: [hidden]\nHost: h"),
        ("it costs 12 = 3 * 4: fine", "it costs 12 = 3 * 4: fine"),
    ],
)
def test_what_belongs_to_a_secret_name_in_a_text_is_hidden(text: str, expected: str) -> None:
    """Messages of exceptions hold URLs, headers and forms, and all of them name their secrets."""
    assert REDACT.text(text) == expected


def test_a_line_of_code_keeps_its_variables() -> None:
    """In a stack, an assignment to a variable called token gives nothing away, but a key in it does."""
    assert REDACT.code(f"    token = ask('{GITHUB}')") == "    token = ask('[hidden]')"


EVENT = {
    "customer": {"address": "a", "name": "n"},
    "items": [{"note": "1", "sku": 1}, {"note": "2"}],
    "x y": 1,
}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("$.customer.address", {"customer": {"address": "[hidden]", "name": "n"}}),
        ("$['customer'][\"name\"]", {"customer": {"address": "a", "name": "[hidden]"}}),
        ("$.items[*].note", {"items": [{"note": "[hidden]", "sku": 1}, {"note": "[hidden]"}]}),
        ("$.items[1]", {"items": [{"note": "1", "sku": 1}, "[hidden]"]}),
        ("$..note", {"items": [{"note": "[hidden]", "sku": 1}, {"note": "[hidden]"}]}),
        ("$.*.name", {"customer": {"address": "a", "name": "[hidden]"}}),
        ("$['x y']", {"x y": "[hidden]"}),
        ("$.nothing.there", {}),
    ],
)
def test_a_path_hides_its_place(path: str, change: dict[str, Any]) -> None:
    """Members, items, any of them, and any depth."""
    assert shown(EVENT, paths=(path,)) == EVENT | change


@pytest.mark.parametrize(
    "event",
    [
        {"body": json.dumps(EVENT)},
        {"body": base64.b64encode(json.dumps(EVENT).encode()).decode(), "isBase64Encoded": True},
        {"Records": [sqs_record(EVENT)]},
        {"Records": [sqs_record(bridge_event(EVENT))]},
        {"kinesis": {"data": base64.b64encode(json.dumps(EVENT).encode()).decode()}},
        bridge_event(EVENT),
        bridge_event({"metadata": {"correlation_id": "c"}, "data": EVENT}),
        {"Records": [{"Sns": {"Message": json.dumps({"body": json.dumps(EVENT)})}}]},
        json.dumps(json.dumps(EVENT)),
    ],
)
def test_a_path_begins_at_whatever_the_handler_takes_for_its_message(event: object) -> None:
    """The document may be a body, a record's data or an event's detail: its paths are the same."""
    text = json.dumps(shown(event, paths=("$.customer.address",)))
    assert '"address": "[hidden]"' in text
    assert '"name": "n"' in text


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"body": "plain text"}, {"body": "[10 characters]"}),
        ({"isBase64Encoded": True, "body": "AAEC"}, {"isBase64Encoded": True, "body": "[3 bytes]"}),
        ({"isBase64Encoded": True, "body": "AAECA"}, {"isBase64Encoded": True, "body": "[5 characters]"}),
        ({"kinesis": {"data": "AAECAwQFBgcI"}}, {"kinesis": {"data": "[9 bytes]"}}),
        ({"x": '{"broken": '}, {"x": "[11 characters]"}),
        ({"x": "[" * 5000}, {"x": "[5,000 characters]"}),
        (b"\xff\xfe", "[2 bytes]"),
        ({"x": '"quoted" word'}, {"x": '"quoted" word'}),
        ({"x": "[10:30] hello"}, {"x": "[13 characters]"}),
        ({"x": "{}", "y": "[ 1 ]"}, {"x": {}, "y": [1]}),
    ],
)
def test_what_cannot_be_taken_apart_is_told_by_its_size(event: object, expected: object) -> None:
    """A text that should be a document and is none may hold anything."""
    assert shown(event) == expected


def test_patterns_of_the_users_own_are_hidden_too() -> None:
    """In any text, any name and any number."""
    assert shown({"a": "see ORD-12!", "ORD-7": 1, "n": 777}, patterns=(r"ORD-\d+", "777")) == {
        "a": "see [hidden]!",
        "[hidden]": 1,
        "n": "[hidden]",
    }


@pytest.mark.parametrize("more", [{"paths": ("customer",)}, {"patterns": ("(",)}, {"paths": ("$",)}])
def test_a_rule_that_cannot_be_followed_hides_everything(more: dict[str, tuple[str, ...]]) -> None:
    """Nobody knows what it should have hidden; what is shown says what to correct."""
    text = shown({"a": 1}, **more)
    assert text.startswith("[hidden] RESILIENT_REDACTION cannot be followed")
    assert next(iter(more.values()))[0] in text


def test_a_pattern_that_never_ends_is_ended() -> None:
    """A regular expression that takes exponential time costs a tenth of a second, and no more."""
    redact = Redactor(RedactionSettings(patterns=("(a+)+$",)))
    began = time.process_time()
    assert "took more than 0.1 s" in redact({"x": "a" * 64 + "!"})
    assert redact.text("a" * 64 + "!") == "[hidden] 65 characters"
    assert time.process_time() - began < 1
    assert redact({"x": "fine"}) == '{"x":"fine"}'


def test_the_timer_and_its_signal_are_given_back() -> None:
    """What redacting took, in time or too long, is as it was: a timer that went on would end the process."""
    for redact in (REDACT, Redactor(RedactionSettings(patterns=("(a+)+$",)))):
        redact({"x": "a" * 64 + "!"})
        assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_signal_that_the_user_handles_stays_the_users() -> None:
    """Then there is no limit of time, and nobody's handler is called or lost."""
    called: list[int] = []

    def handle(number: int, _frame: object) -> None:
        called.append(number)

    before = signal.signal(signal.SIGVTALRM, handle)
    try:
        assert REDACT({"pin": 1}) == '{"pin":"[hidden]"}'
        assert signal.getsignal(signal.SIGVTALRM) is handle
        assert called == []
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_another_thread_can_redact_too() -> None:
    """Where there is no timer, it goes without."""
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(REDACT({"pin": 1})))
    thread.start()
    thread.join()
    assert texts == ['{"pin":"[hidden]"}']


def test_a_known_secret_is_hidden_whatever_it_looks_like() -> None:
    """What the function loaded as a secret appears nowhere, also across the place where a text is cut."""
    secret = "correct horse battery staple" * 20
    redact = Redactor(RedactionSettings(), known_secrets=lambda: frozenset({secret}))
    assert "horse" not in redact({"x": "a" * 1000 + secret, "y": [secret, {secret: 1}]})
    assert redact.text(f"with {secret}!") == "with [hidden]!"
    assert redact.code(secret) == "[hidden]"


@pytest.mark.parametrize("address", ["joe@example.com", "o'brien@example.com", "a.b+c@mail.example.com"])
def test_the_quotes_around_an_address_stay(address: str) -> None:
    """A dictionary that was printed into an exception's message stays one to read."""
    assert REDACT.text(f"no luck: {{'to': '{address}', 'x': 1}}") == "no luck: {'to': '[hidden]', 'x': 1}"

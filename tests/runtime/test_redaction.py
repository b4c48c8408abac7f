from __future__ import annotations

import base64
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lambda_events import bridge_event, sqs_record
from resilient_runtime.event_text import LONGEST
from resilient_runtime.redaction import Redactor
from resilient_runtime.settings import RedactionSettings

REDACT = Redactor(RedactionSettings())
CARD = "4111111111111111"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLW9mLWl0"
# Made up here, so that no scanner takes this file for a leak.
AWS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
VALUES = [CARD, "4111 1111 1111 1111", "3782-822463-10005", JWT, AWS_KEY, GITHUB, "jo.doe+x@mail.example.com"]


def shown(event: object, **more: tuple[str, ...]) -> Any:
    """What is shown of an event, parsed."""
    text = Redactor(RedactionSettings(**more))(event)
    assert len(text) <= LONGEST
    assert "\n" not in text
    return json.loads(text)


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


class Hostile:
    """Raises whatever is asked of it."""

    def _refuse(self, *arguments: object) -> NoReturn:
        raise RuntimeError("no")

    __str__ = __repr__ = __len__ = __iter__ = __bool__ = __hash__ = __eq__ = _refuse  # type: ignore[assignment]

    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no")


class HostileDict(dict[str, Any]):
    """A dictionary that lies."""

    def __iter__(self) -> NoReturn:
        raise RuntimeError("no")

    __len__ = __getitem__ = get = keys = items = __repr__ = __iter__  # type: ignore[assignment]


class HostileList(list[Any]):
    """A list without an end."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1

    def __len__(self) -> int:
        raise RuntimeError("no")


class HostileText(str):
    """A text that raises."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")

    __len__ = __getitem__ = lstrip = __str__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Hostile(), "[Hostile that cannot be shown]"),
        (HostileDict(a=1, pin=2), {"a": 1, "pin": "[hidden]"}),
        (HostileList([1, 2]), [1, 2]),
        (HostileText("text"), "text"),
        (HostileText(CARD), "[hidden]"),
        (object(), "[object]"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Decimal("1.5"), "1.5"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2027-01-01 00:00:00+00:00"),
        ({1, 2}, [1, 2]),
        (frozenset({3}), [3]),
        ((1, 2), [1, 2]),
        (b'{"pin": 1}', {"pin": "[hidden]"}),
        (bytearray(b"\x00"), "[1 bytes]"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (
            {1: "a", None: "b", b"k": "d", (1, 2): "e"},
            {"1": "a", "None": "b", "[bytes]": "d", "[tuple]": "e"},
        ),
        ("\ud800 \x00 \u2028", "\ud800 \x00 \u2028"),
        (10**30, 10**30),
        (10**40, str(10**40)),
        (1e300, 1e300),
        (len, "[builtin_function_or_method]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_odd_value_costs_its_own_place_and_no_other(value: object, expected: object) -> None:
    """What an event holds is shown, or named by its class; what stands beside it is shown as ever."""
    assert shown({"before": 1, "odd": value, "after": 2}) == {"before": 1, "odd": expected, "after": 2}


def test_an_integer_too_long_to_print_is_named() -> None:
    """Python itself refuses to print numbers of more than 4,300 digits."""
    assert shown([10**5000]) == ["[int that cannot be shown]"]


def test_a_cycle_comes_to_an_end() -> None:
    """An event that contains itself is shown as deep as any."""
    event: dict[str, Any] = {"a": 1}
    event["self"] = event
    rows: list[Any] = [event]
    rows.append(rows)
    event["rows"] = rows
    assert "too deep to show" in json.dumps(shown(event))


def test_a_hundred_thousand_levels_are_shown_as_twelve() -> None:
    """Depth costs nothing beyond what is shown, not even where the JSON itself is too deep to parse."""
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    assert json.dumps(shown(deep)).count("[") < 20
    for _ in range(100_000):
        deep = deep[0]
    assert shown({"body": "[" * 100_000 + "]" * 100_000}) == {"body": "[200,000 characters]"}


@pytest.mark.parametrize(
    "event",
    [
        {f"member {n}": "x" * 50 for n in range(100_000)},
        list(range(1_000_000)),
        ["x" * 1_000_000] * 100,
        {"x" * 1_000_000: "y"},
        ["\U0001f600" * 1000] * 100,
        {"\U0001f600" * n: {"\U0001f600" * n: {}} for n in range(1, 60)},
        {"body": json.dumps(["x"] * 1_000_000)},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": ["\ud800" * 500] * 60}}}}}}}},
        [[[[[[[[[[["\ud800" * 2000] * 64] * 64] * 64] * 64] * 64] * 64] * 64] * 64] * 64] * 64],
    ],
    ids=range(9),
)
def test_however_large_an_event_is_its_text_is_not(event: object) -> None:
    """It says what was left out, and is JSON still."""
    began = time.process_time()
    text = json.dumps(shown(event), ensure_ascii=False)
    assert any(word in text for word in ("more members", "more items", "characters", "x…"))
    assert time.process_time() - began < 0.5


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=10) | st.sampled_from(["body", "data", "isBase64Encoded"]), inner, max_size=4
        )
        | st.tuples(inner)
        | st.builds(HostileDict)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_event_becomes_one_line_of_json(event: object) -> None:
    """Whatever is in it."""
    shown(event)


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

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redacted import CARD, shown


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


def test_no_more_is_parsed_than_a_quarter_of_a_mebibyte() -> None:
    """All documents within an event share that; what comes after is told by its size."""
    body = json.dumps({"note": "x" * 200_000})
    first, second = shown([{"body": body}, {"body": body}])
    assert first["body"]["note"].startswith("xxx")
    assert second == {"body": f"[{len(body):,} characters]"}


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

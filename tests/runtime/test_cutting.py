"""Long texts are cut, and no half of a secret stays at the cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redacted import CARD
from resilient_runtime.call import Call
from resilient_runtime.cutting import beginning, shortened
from resilient_runtime.diagnostics import Diagnostics
from resilient_runtime.redaction import Redactor
from resilient_runtime.settings import RedactionSettings
from resilient_runtime.status import StatusLines

SECRET = "correct-horse-battery-staple"
KNOWN = frozenset({SECRET})
# What hiding makes shorter, and so brings the end of what was looked at to the front.
LONGER_THAN_ITS_MARK = [f"{CARD} ", "a-long-name@mail.example.com ", f"{SECRET} "]


def halves(text: str) -> list[str]:
    """The beginnings of the secret that stand in a text; the shortest are no news."""
    return [SECRET[:length] for length in range(8, len(SECRET) + 1) if SECRET[:length] in text]


@pytest.mark.parametrize("shrinking", LONGER_THAN_ITS_MARK)
@settings(deadline=None)
@given(before=st.integers(0, 600), fill=st.integers(0, 40))
def test_no_half_of_a_secret_is_shown_of_an_event(shrinking: str, before: int, fill: int) -> None:
    """Neither in a value nor in a name, wherever the cut falls."""
    redact = Redactor(RedactionSettings(), known_secrets=lambda: KNOWN)
    text = shrinking * before + "." * fill + SECRET * 100
    assert halves(redact({"x": text, text: 1})) == []


@pytest.mark.parametrize("shrinking", LONGER_THAN_ITS_MARK)
@settings(deadline=None)
@given(before=st.integers(100, 600), fill=st.integers(0, 40))
def test_no_half_of_a_secret_is_shown_of_an_exception(shrinking: str, before: int, fill: int) -> None:
    """Neither in its message nor in its stack, wherever the cut falls."""
    lines = StatusLines(service="s", function_name="f", diagnostics=Diagnostics(known_secrets=lambda: KNOWN))
    error = ValueError(shrinking * before + "." * fill + SECRET * 400)
    record = json.loads(lines.failed(Call(), 1.0, error, None))
    assert halves(record["error"]) == []
    assert halves(record["stack"]) == []
    assert len(record["error"]) < 4200


def test_what_was_only_looked_at_is_not_shown() -> None:
    """The beginning ends where a secret might begin that was not seen to its end."""
    shown, more = beginning("ab" * 10, 6, beyond=4, hide=lambda text: text)
    assert (shown, more) == ("ababab", True)
    assert beginning("ab" * 5, 6, beyond=4, hide=lambda text: text) == ("ab" * 5, False)
    assert beginning("ab" * 10, 6, beyond=4, hide=lambda text: text.replace("a", "")) == ("b", True)


def test_a_cut_text_says_how_long_it_was() -> None:
    """Also where what is left of it would fit."""
    assert shortened("abc", 2, length=3, more=False) == "ab… (3 characters)"
    assert shortened("abc", 9, length=2000, more=True) == "abc… (2,000 characters)"
    assert shortened("abc", 3, length=3, more=False) == "abc"

"""Secrets by their looks, and what is shown of an event."""

from __future__ import annotations

import json
from typing import Any

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

"""API Gateway's side of a mapping template: ``$input``, ``$util``, ``$context``, and Velocity by airspeed.

``$util`` does what Java does: ``URLEncoder`` with UTF-8, commons-lang's ``escapeJavaScript``, which escapes
apostrophes (no JSON), slashes, and everything outside ASCII as UTF-16 units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import airspeed

__all__ = ["Answer", "Request", "answer", "form", "render"]

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
_NAMED = {"\b": "\\b", "\n": "\\n", "\t": "\\t", "\f": "\\f", "\r": "\\r"}


def escape_java_script(text: str) -> str:
    """What ``$util.escapeJavaScript`` returns."""
    return "".join(_escape(unit) for unit in _utf16_units(text))


def _utf16_units(text: str) -> list[str]:
    raw = text.encode("utf-16-be", "surrogatepass")
    return [chr(int.from_bytes(raw[i : i + 2], "big")) for i in range(0, len(raw), 2)]


def _escape(unit: str) -> str:
    if unit in _NAMED:
        return _NAMED[unit]
    if unit in "'\"\\/":
        return "\\" + unit
    if ord(unit) < 32 or ord(unit) > 0x7F:
        return f"\\u{ord(unit):04X}"
    return unit


@dataclass
class Request:
    """A request, or with ``answered`` the storage's answer to it."""

    body: str = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    trace: str | None = None
    missing: Any = None
    """What a path that leads nowhere evaluates to; API Gateway's documentation does not say."""


class _Input:
    def __init__(self, body: str, headers: Mapping[str, str], missing: Any) -> None:
        self.body = body
        self._headers = headers
        self._missing = missing

    def params(self, name: str) -> str:
        return self._headers.get(name, "")

    def json(self, path: str) -> str:
        assert path == "$"
        # a lenient parser: it reads the first value and does not look at what follows it
        value, _ = json.JSONDecoder().raw_decode(self.body.lstrip())
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def path(self, path: str) -> Any:
        try:
            value = json.loads(self.body)
            for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
                value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return self._missing
        return value


class _Util:
    def urlEncode(self, text: str) -> str:  # noqa: N802 - AWS's name
        return quote_plus(text, safe="*", errors="surrogatepass").replace("~", "%7E")

    def escapeJavaScript(self, text: str) -> str:  # noqa: N802 - AWS's name
        return escape_java_script(text)


def _context(request: Request) -> dict[str, Any]:
    context: dict[str, Any] = {
        "requestId": REQUEST_ID,
        "requestTimeEpoch": 1_700_000_000_123,
        "responseOverride": {"header": {}},
    }
    if request.trace is not None:
        context["xrayTraceId"] = request.trace
    return context


def render(template: str, request: Request) -> str:
    """What the integration request's template sends to the storage."""
    return str(
        airspeed.Template(template).merge(
            {
                "input": _Input(request.body, request.headers, request.missing),
                "util": _Util(),
                "context": _context(request),
            }
        )
    )


@dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    headers: Mapping[str, str]
    body: Any


def answer(template: str, said: object, *, mapped: int, request: Request | None = None) -> Answer:
    """What the client gets when the storage said this and the response mapped to this status."""
    request = request or Request()
    context = _context(request)
    body = airspeed.Template(template).merge(
        {
            "input": _Input(json.dumps(said), request.headers, request.missing),
            "util": _Util(),
            "context": context,
        }
    )
    override = context["responseOverride"]
    return Answer(int(override.get("status", mapped)), dict(override["header"]), json.loads(body))


def form(body: str) -> dict[str, str]:
    """A form's fields, as SQS reads them; a field that comes twice is an error."""
    pairs = parse_qsl(body, keep_blank_values=True, strict_parsing=True, errors="surrogatepass")
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)

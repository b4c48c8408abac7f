"""Writes one event as JSON for a log: bounded in size and depth, whatever objects it is made of.

Nothing here asks an object for its own words, and a container is walked by its base's methods, so that no
event can lie about itself, raise, or take its time.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from collections.abc import Callable, Iterable
from contextlib import suppress
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from .correlation import accepted_detail, envelope_of
from .cutting import beginning, shortened
from .json_paths import State, below, parse
from .secrets_in_text import HIDDEN

__all__ = ["LONGEST", "EventText"]

LONGEST = 8192
"""Characters of an event's text. CloudWatch takes 1 MB in one line; a person reads much less.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"""

# For closing what is open once the rest is full: a name, a value, and a brace at every level.
_RESERVE = 1200
_DEEPEST = 12
_MOST_ITEMS = 64
_LONGEST_STRING = 1024
_LONGEST_NAME = 128
_MOST_PARSED = 262_144
_LONGEST_NUMBER = 32

_PRINTED = {("decimal", "Decimal"), ("datetime", "datetime"), ("datetime", "date"), ("uuid", "UUID")}
_JSON_BEGINS = re.compile(r"\s*(?:[{\"]|\[\s*[\[{\"\]\d\-tfn])")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
# {" and { and [{ and [" in base64, with and without a newline.
_JSON_IN_BASE64 = ("eyJ", "eyA", "ewo", "ew0", "W3s", "Wwo", "WyJ")
_DETAIL, _DATA = parse("$.detail"), parse("$.detail.data")
_NO_JSON: Any = object()


class EventText:
    """One event on its way to text.

    :param is_secret: tells whether a member of this name is hidden
    :param hide: hides what is secret in a text
    :param paths: where else something is hidden; ``$`` is the event and any document within it
    :param beyond: letters to look at past a cut, so that a secret across it is known as one
    """

    def __init__(
        self,
        is_secret: Callable[[str], bool],
        hide: Callable[[str], str],
        paths: tuple[State, ...],
        *,
        beyond: int,
    ) -> None:
        self._is_secret = is_secret
        self._hide = hide
        self._paths = paths
        self._beyond = beyond
        self._parts: list[str] = []
        self._left = LONGEST - _RESERVE
        self._may_parse = _MOST_PARSED

    def write(self, event: object) -> str:
        """The event as one line of JSON, at most ``LONGEST`` characters."""
        self._value(event, self._paths, 0)
        return "".join(self._parts)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._left -= len(text)

    def _value(self, value: object, states: tuple[State, ...], depth: int) -> None:
        before = len(self._parts), self._left
        try:
            self._known(value, states, depth)
        except Exception:  # noqa: BLE001  a hostile object costs its own place and no other
            del self._parts[before[0] :]
            self._left = before[1]
            self._put(_quote(f"[{_class_of(value)} that cannot be shown]"))

    def _known(self, value: object, states: tuple[State, ...], depth: int) -> None:
        if isinstance(value, str):
            self._string(str.__str__(value), states, depth)
        elif value is None or value is True or value is False:
            self._put("null" if value is None else "true" if value else "false")
        elif isinstance(value, int):
            self._number(int.__repr__(value))
        elif isinstance(value, float):
            self._number(float.__repr__(value))
        elif isinstance(value, dict):
            self._mapping(value, states, depth)
        elif isinstance(value, list):
            self._sequence(list.__iter__(value), list.__len__(value), states, depth)
        elif isinstance(value, tuple):
            self._sequence(tuple.__iter__(value), tuple.__len__(value), states, depth)
        elif isinstance(value, set):
            self._sequence(set.__iter__(value), set.__len__(value), states, depth)
        elif isinstance(value, frozenset):
            self._sequence(frozenset.__iter__(value), frozenset.__len__(value), states, depth)
        elif isinstance(value, bytes | bytearray | memoryview):
            self._bytes(memoryview(value).tobytes(), states, depth)
        elif (type(value).__module__, type(value).__qualname__) in _PRINTED:
            self._text(str(value))
        else:
            self._put(_quote(f"[{_class_of(value)}]"))

    def _mapping(self, value: dict[Any, Any], states: tuple[State, ...], depth: int) -> None:
        size = dict.__len__(value)
        if depth >= _DEEPEST:
            self._put(_quote(f"[{size:,} members, too deep to show]"))
            return
        states += self._paths_within(value)
        encoded = dict.get(value, "isBase64Encoded") is True
        written: set[str] = set()
        self._put("{")
        for name, item in dict.items(value):
            if len(written) == _MOST_ITEMS or self._left <= 0:
                self._put(f'{"," if written else ""}"…":"{size - len(written):,} more members"')
                break
            key = str.__str__(name) if isinstance(name, str) else _text_of_key(name)
            self._put("," if written else "")
            self._name(key, written)
            onward, ends = below(states, key) if states else ((), False)
            # That a secret is missing or empty is no secret, and often the reason of the failure.
            if ends or (self._is_secret(key) and not _is_nothing(item)):
                self._put(_quote(HIDDEN))
            elif key == "body" and type(item) is str and item:
                self._body(item, onward, depth + 1, encoded=encoded)
            elif key == "data" and type(item) is str and item:
                self._data(item, onward, depth + 1)
            else:
                self._value(item, onward, depth + 1)
        self._put("}")

    def _paths_within(self, value: dict[Any, Any]) -> tuple[State, ...]:
        """``$`` is an EventBridge event's detail too, and the data in it: what a handler is given."""
        envelope = envelope_of(value) if self._paths else None
        if envelope is None:
            return ()
        inner = [(*_DETAIL, *path) for path in self._paths]
        if accepted_detail(envelope) is not None:
            inner += [(*_DATA, *path) for path in self._paths]
        return tuple(inner)

    def _name(self, key: str, written: set[str]) -> None:
        longest = max(min(_LONGEST_NAME, self._left // 12), 8)
        shown, more = beginning(key, longest, beyond=self._beyond, hide=self._hide)
        if more or len(shown) > longest:
            shown = f"{shown[:longest]}…"
        if shown in written:
            shown = f"{shown} ({len(written) + 1})"
        written.add(shown)
        self._put(f"{_quote(shown)}:")

    def _sequence(self, items: Iterable[Any], size: int, states: tuple[State, ...], depth: int) -> None:
        if depth >= _DEEPEST:
            self._put(_quote(f"[{size:,} items, too deep to show]"))
            return
        self._put("[")
        for index, item in enumerate(items):
            if index:
                self._put(",")
            if index == _MOST_ITEMS or self._left <= 0:
                self._put(f'"… {size - index:,} more items"')
                break
            onward, ends = below(states, index) if states else ((), False)
            if ends:
                self._put(_quote(HIDDEN))
            else:
                self._value(item, onward, depth + 1)
        self._put("]")

    def _string(self, text: str, states: tuple[State, ...], depth: int) -> None:
        if _JSON_BEGINS.match(text):
            if self._wrote_json(text, states, depth):
                return
            # A quotation mark begins many a plain text; a brace that ends nowhere may hide anything.
            if text.lstrip()[0] != '"':
                self._size(text)
                return
        elif text.startswith(_JSON_IN_BASE64) and _BASE64.fullmatch(text):
            decoded = self._decoded(text)
            if decoded is not None and self._wrote_json(decoded, states, depth):
                return
        self._text(text)

    def _body(self, text: str, states: tuple[State, ...], depth: int, *, encoded: bool) -> None:
        """A body is a document of its own, or nothing that may be shown as it is."""
        decoded = self._decoded(text) if encoded else text
        if isinstance(decoded, bytes):
            self._bytes(decoded, states, depth)
        elif decoded is None or not self._wrote_json(decoded, states, depth):
            self._size(text)

    def _data(self, text: str, states: tuple[State, ...], depth: int) -> None:
        """A stream's data is base64; a member of that name elsewhere may be a plain text."""
        decoded = self._decoded(text) if len(text) % 4 == 0 and _BASE64.fullmatch(text) else None
        if decoded is None:
            self._string(text, states, depth)
        else:
            self._bytes(decoded, states, depth)

    def _bytes(self, value: bytes, states: tuple[State, ...], depth: int) -> None:
        if not self._wrote_json(value, states, depth):
            self._put(_quote(f"[{len(value):,} bytes]"))

    def _wrote_json(self, text: str | bytes, states: tuple[State, ...], depth: int) -> bool:
        parsed = self._parsed(text)
        if parsed is _NO_JSON:
            return False
        if isinstance(parsed, str) and depth >= _DEEPEST:
            self._text(parsed)
        else:
            self._value(parsed, states + self._paths, depth + isinstance(parsed, str))
        return True

    def _parsed(self, text: str | bytes) -> Any:
        if len(text) > self._may_parse:
            return _NO_JSON
        self._may_parse -= len(text)
        try:
            return json.loads(text if isinstance(text, str) else text.decode())
        except (ValueError, RecursionError):
            return _NO_JSON

    def _decoded(self, text: str) -> bytes | None:
        if len(text) <= self._may_parse:
            with suppress(ValueError):
                return a2b_base64(text)
        return None

    def _number(self, text: str) -> None:
        # NaN and Infinity are no JSON.
        if text[-1].isdigit() and len(text) <= _LONGEST_NUMBER and self._hide(text) == text:
            self._put(text)
        else:
            self._text(text)

    def _size(self, text: str) -> None:
        self._put(_quote(f"[{len(text):,} characters]"))

    def _text(self, text: str) -> None:
        shown, more = beginning(text, _LONGEST_STRING, beyond=self._beyond, hide=self._hide)
        quoted = _quote(shortened(shown, _LONGEST_STRING, length=len(text), more=more))
        if len(quoted) > max(self._left, 96):
            # One letter may take twelve: two escaped surrogates.
            quoted = _quote(shortened(shown, max(self._left // 12, 8), length=len(text), more=more))
        self._put(quoted)


def _class_of(value: object) -> str:
    try:
        return str.__str__(type(value).__name__)[:_LONGEST_NAME]
    except Exception:  # noqa: BLE001  a class may refuse to tell even that
        return "object"


def _text_of_key(name: object) -> str:
    return repr(name) if type(name) in (int, float, bool, type(None)) else f"[{_class_of(name)}]"


def _is_nothing(value: object) -> bool:
    return value is None or (type(value) is str and not value)

"""A value's text, read as what its entry says; no error here ever shows the text.

The text may be a secret, and an exception ends in a log. So what Python says of it is dropped, not chained:
``int("hunter2")`` and ``json.loads`` both quote what they could not read.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["FORMS", "Unreadable", "read", "secrets_in"]

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})

FORMS = {
    "text": "text",
    "json": "JSON",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false (or 1, 0, yes, no, on, off)",
}

_SHORTEST_SECRET = 8
"""What is shorter than this also stands in harmless places; hiding it there would hide half of a record."""


_DESCRIBING = frozenset(
    {"dbClusterIdentifier", "dbInstanceIdentifier", "dbname", "engine", "host", "masterarn", "port"}
)
"""Members of a database's secret that say where it is. Were they hidden, an error of PostgreSQL could not
name ``postgres``. https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
"""


class Unreadable(ValueError):  # noqa: N818  an answer to "what is it?", and never raised to users as it is
    """A value is not what its entry says."""


def read(value: Any, form: str) -> Any:
    """``value`` as ``form``; a text is parsed, anything else must be of that form already.

    :raises Unreadable: when it cannot be read so; says the form, never the value
    """
    result, is_readable = _attempt(value, form)
    if is_readable:
        return result
    raise Unreadable(f"is not {FORMS[form]}")


def _attempt(value: Any, form: str) -> tuple[Any, bool]:
    try:
        return _READERS[form](value), True
    except (ValueError, TypeError, RecursionError, OverflowError):
        # Raised outside of this block by the caller, so that no chained exception carries the text along.
        return None, False


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) in (int, float):
        return repr(value)
    raise TypeError


def _json(value: Any) -> Any:
    return json.loads(value) if type(value) is str else value


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str:
        return int(value)
    raise TypeError


def _number(value: Any) -> float:
    if type(value) in (int, float):
        return float(value)
    if type(value) is str:
        return float(value)
    raise TypeError


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    word = value.strip().lower() if type(value) is str else ""
    if word not in _TRUE and word not in _FALSE:
        raise ValueError
    return word in _TRUE


_READERS = {"text": _text, "json": _json, "int": _integer, "float": _number, "bool": _flag}


def secrets_in(text: str) -> frozenset[str]:
    """What must not appear in any record: the whole text, and each text inside when it is JSON.

    Of a database's secret, what only says where the database is may be told.
    """
    found = {text}
    if text[:1] in ("{", "["):
        whole, is_json = _attempt(text, "json")
        if is_json:
            _collect(_without_description(whole), found)
    return frozenset(one for one in found if len(one) >= _SHORTEST_SECRET)


def _without_description(whole: Any) -> Any:
    if type(whole) is not dict:
        return whole
    return {name: value for name, value in whole.items() if name not in _DESCRIBING}


def _collect(value: Any, found: set[str]) -> None:
    # A list of what is left to visit, not recursion: a secret may be as deep as its author likes.
    left = [value]
    while left:
        one = left.pop()
        if type(one) is str:
            found.add(one)
        elif type(one) is dict:
            left.extend(one.values())
        elif type(one) is list:
            left.extend(one)

"""Is this a JSON schema that API Gateway takes? Its models are draft 4.

A structural check of keywords and their types, so that the core needs no validator as a dependency. Keywords
of later drafts are faults, because API Gateway would ignore them: a ``const`` that nobody enforces is worse
than an error.

https://json-schema.org/draft-04/json-schema-validation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["DRAFT", "schema_faults"]

DRAFT = "http://json-schema.org/draft-04/schema#"

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_LATER: dict[str, str] = {
    "$defs": "definitions",
    "$id": "id",
    "const": "enum with one value",
    "contains": "nothing",
    "dependentRequired": "dependencies",
    "dependentSchemas": "dependencies",
    "else": "anyOf",
    "if": "anyOf",
    "maxContains": "nothing",
    "minContains": "nothing",
    "prefixItems": "items with a list",
    "propertyNames": "patternProperties and additionalProperties",
    "then": "anyOf",
    "unevaluatedItems": "additionalItems",
    "unevaluatedProperties": "additionalProperties",
}

_Fault = tuple[str, object, str]


def schema_faults(schema: object) -> list[_Fault]:
    """What keeps ``schema`` from being a draft-4 JSON schema: where, what it is, what it may be."""
    return list(_check_schema(schema, "schema", schema))


def _check_schema(schema: object, at: str, root: object) -> Iterator[_Fault]:
    if not isinstance(schema, Mapping):
        yield at, schema, "a JSON schema (draft 4), which is an object"
        return
    for keyword, value in schema.items():
        where = f"{at}.{keyword}"
        if keyword in _LATER:
            yield where, value, f"a keyword of draft 4; API Gateway ignores this one, write {_LATER[keyword]}"
        elif keyword in _PLAIN:
            fits, allowed = _PLAIN[keyword]
            if not fits(value):
                yield where, value, allowed
        elif keyword == "$ref":
            yield from _check_ref(value, where, root)
        elif keyword in ("properties", "patternProperties", "definitions"):
            yield from _check_map(value, where, root)
        elif keyword in ("allOf", "anyOf", "oneOf"):
            yield from _check_list(value, where, root)
        elif keyword == "not":
            yield from _check_schema(value, where, root)
        elif keyword == "items":
            yield from (_check_list if isinstance(value, list) else _check_schema)(value, where, root)
        elif keyword in ("additionalProperties", "additionalItems"):
            if not isinstance(value, bool):
                yield from _check_schema(value, where, root)
        elif keyword == "dependencies":
            yield from _check_dependencies(value, where, root)
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if bound in schema and bound.removeprefix("exclusive").lower() not in schema:
            yield (
                f"{at}.{bound}",
                schema[bound],
                f"given together with {bound.removeprefix('exclusive').lower()}",
            )


def _check_map(value: object, at: str, root: object) -> Iterator[_Fault]:
    if not isinstance(value, Mapping):
        yield at, value, "an object of schemas"
        return
    for name, schema in value.items():
        yield from _check_schema(schema, f"{at}.{name}", root)


def _check_list(value: object, at: str, root: object) -> Iterator[_Fault]:
    if not isinstance(value, list) or not value:
        yield at, value, "a list of at least one schema"
        return
    for index, schema in enumerate(value):
        yield from _check_schema(schema, f"{at}[{index}]", root)


def _check_dependencies(value: object, at: str, root: object) -> Iterator[_Fault]:
    if not isinstance(value, Mapping):
        yield at, value, "an object of schemas or of lists of property names"
        return
    for name, dependency in value.items():
        if isinstance(dependency, list):
            if not _names(dependency):
                yield f"{at}.{name}", dependency, "a list of at least one property name, each once"
        else:
            yield from _check_schema(dependency, f"{at}.{name}", root)


def _check_ref(value: object, at: str, root: object) -> Iterator[_Fault]:
    if not isinstance(value, str):
        yield at, value, "a reference, for example '#/definitions/address'"
    elif value.startswith("#"):
        if not _leads_somewhere(value, root):
            yield at, value, "a reference to something within this schema"
    elif not value.startswith("https://apigateway.amazonaws.com/restapis/"):
        yield at, value, "a reference within this schema ('#/definitions/…') or to another model of the API"


def _leads_somewhere(ref: str, root: object) -> bool:
    here = root
    for part in filter(None, ref.removeprefix("#").split("/")):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            return False
    return isinstance(here, Mapping)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _names(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(name, str) for name in value)
        and len(set(value)) == len(value)
    )


def _distinct(values: list[object]) -> bool:
    return not any(_equal(one, other) for at, one in enumerate(values) for other in values[:at])


def _equal(one: object, other: object) -> bool:
    """Whether two values are the same JSON; to Python true is 1, to JSON it is not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return one == other


def _type(value: object) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _names(value) and isinstance(value, list) and _TYPES.issuperset(value)


def _pattern(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        re.compile(value)
    except re.error:
        # The two dialects differ here; what only JavaScript knows is not for Python to judge.
        return "\\p{" in value or "\\u" in value or "\\c" in value
    return True


_COUNT: tuple[Callable[[object], bool], str] = (_count, "a whole number, 0 or more")
_TEXT: tuple[Callable[[object], bool], str] = (lambda value: isinstance(value, str), "a string")
_FLAG: tuple[Callable[[object], bool], str] = (
    lambda value: isinstance(value, bool),
    "true or false (draft 4)",
)
_NUMBER: tuple[Callable[[object], bool], str] = (_number, "a number")

_PLAIN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "$schema": (
        lambda value: isinstance(value, str) and value.rstrip("#") == DRAFT.rstrip("#"),
        f"{DRAFT!r}, the only draft that API Gateway knows",
    ),
    "description": _TEXT,
    "enum": (
        lambda value: isinstance(value, list) and bool(value) and _distinct(value),
        "a list of at least one value, each once",
    ),
    "exclusiveMaximum": _FLAG,
    "exclusiveMinimum": _FLAG,
    "format": _TEXT,
    "id": _TEXT,
    "maxItems": _COUNT,
    "maxLength": _COUNT,
    "maxProperties": _COUNT,
    "maximum": _NUMBER,
    "minItems": _COUNT,
    "minLength": _COUNT,
    "minProperties": _COUNT,
    "minimum": _NUMBER,
    "multipleOf": (lambda value: _number(value) and value > 0, "a number above 0"),
    "pattern": (_pattern, "a regular expression"),
    "required": (_names, "a list of at least one property name, each once (draft 4)"),
    "title": _TEXT,
    "type": (_type, f"one of {', '.join(sorted(_TYPES))}, or a list of them"),
    "uniqueItems": _FLAG,
}

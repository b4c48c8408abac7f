"""JSONata as Step Functions has it: in ``{% … %}``, with ``$states``, variables and six more functions.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from jsonata.jsonata import Jsonata  # type: ignore[import-untyped]
from jsonata.utils import Utils  # type: ignore[import-untyped]

from .errors import QUERY, StatesError

__all__ = ["Expressions", "Moment", "is_expression"]

_LARGEST_EXACT = 2**53
_VARIABLE = re.compile(r"\$(\w+)")
_HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


class Moment(NamedTuple):
    """Where expressions get the time and chance from.

    :param clock: wall-clock seconds; ``$millis()`` and ``$now()``
    :param random: from 0 up to 1; ``$random()`` and ``$uuid()``
    """

    clock: Callable[[], float]
    random: Callable[[], float]


def is_expression(value: object) -> bool:
    """Whether a value of a definition is evaluated, and not taken as it is."""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


class Expressions:
    """Evaluates, and compiles each text once: an execution visits a state many times."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}
        self._mentioned: dict[str, frozenset[str]] = {}
        self._moment = Moment(lambda: 0.0, lambda: 0.0)

    def compile(self, text: str) -> Any:
        """The expression, parsed.

        :raises ValueError: when it is no JSONata
        """
        compiled = self._compiled.get(text)
        if compiled is None:
            try:
                compiled = Jsonata.jsonata(text[2:-2].strip())
            except Exception as fault:
                raise ValueError(f"{fault}") from fault
            if getattr(compiled, "errors", None):
                raise ValueError(str(compiled.errors))
            # A null and nothing at all are two things: the one is JSON, the other an error.
            compiled.output_convert_nulls = False
            self._add_functions(compiled)
            self._compiled[text] = compiled
            self._mentioned[text] = frozenset(_VARIABLE.findall(text))
        return compiled

    def evaluate(self, template: Any, values: Mapping[str, Any], moment: Moment, where: str) -> Any:
        """A template with every expression replaced by its value.

        :param values: variables, and ``states``
        :param where: the state and field, for the cause
        :raises StatesError: QueryEvaluationError
        """
        if isinstance(template, dict):
            return {
                key: self.evaluate(value, values, moment, f"{where}/{key}") for key, value in template.items()
            }
        if isinstance(template, list):
            return [self.evaluate(value, values, moment, f"{where}[{n}]") for n, value in enumerate(template)]
        if not is_expression(template):
            return template
        self._moment = moment
        try:
            compiled = self.compile(template)
            # What is not mentioned need not be made ready: an execution has a dozen variables.
            mentioned = {
                name: _with_nulls(values[name]) for name in self._mentioned[template] & values.keys()
            }
            result = compiled.evaluate(None, mentioned)
        except StatesError:
            raise
        except Exception as fault:  # noqa: BLE001  whatever the engine raises, the expression is to blame
            raise StatesError(QUERY, f"The JSONata expression of '{where}' threw an error: {fault}") from None
        if result is None:
            raise StatesError(QUERY, f"The JSONata expression of '{where}' returned nothing (undefined).")
        return _as_json(result, where)

    def _add_functions(self, compiled: Any) -> None:
        added: dict[str, Callable[..., Any]] = {
            "millis": lambda: round(self._moment.clock() * 1000),
            "now": self._now,
            "random": self._random,
            "uuid": self._uuid,
            "partition": _partition,
            "range": _range,
            "hash": _hash,
            "parse": lambda text: _with_nulls(json.loads(text)),
            "eval": _refuse_eval,
        }
        for name, function in added.items():
            compiled.register_lambda(name, function)

    def _now(self) -> str:
        from .times import timestamp

        return timestamp(self._moment.clock())

    def _random(self, seed: float | None = None) -> float:
        if seed is None:
            return self._moment.random()
        return Random(math.floor(seed)).random()  # noqa: S311  the same number for the same seed is the promise

    def _uuid(self) -> str:
        bits = int(self._moment.random() * 2**52) << 64 | int(self._moment.random() * 2**52)
        return str(UUID(int=bits, version=4))


def _with_nulls(value: Any) -> Any:
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, dict):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_nulls(inner) for inner in value]
    return value


def _as_json(value: Any, where: str) -> Any:
    if value is Utils.NULL_VALUE or value is None:
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise StatesError(
                QUERY, f"The JSONata expression of '{where}' returned {value}, which is no JSON."
            )
        return int(value) if value.is_integer() and abs(value) < _LARGEST_EXACT else value
    if isinstance(value, dict):
        return {str(key): _as_json(inner, where) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner, where) for inner in value]
    raise StatesError(QUERY, f"The JSONata expression of '{where}' returned a function, which is no JSON.")


def _partition(array: list[Any], size: float) -> list[list[Any]]:
    step = math.floor(size)
    if step < 1:
        raise ValueError(f"$partition's size is {size}; allowed: at least 1")
    return [list(array[at : at + step]) for at in range(0, len(array), step)]


def _range(first: float, last: float, delta: float) -> list[int]:
    start, end, step = math.floor(first), math.floor(last), math.floor(delta)
    if step == 0:
        raise ValueError("$range's delta is 0")
    return list(range(start, end + (1 if step > 0 else -1), step))


def _hash(text: str, algorithm: str) -> str:
    return hashlib.new(_HASHES[algorithm], text.encode()).hexdigest()


def _refuse_eval(*_: object) -> None:
    raise ValueError("$eval is not supported in Step Functions; $parse reads JSON")
